# SPDX-License-Identifier: Apache-2.0
"""Servers that are amphora-vm in namespaces of their own, with the amphorad of the build folder."""

import os
import pathlib
import subprocess

import cloud

HERE = pathlib.Path(__file__).resolve().parent.parent
UNSHARE = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--propagation", "private", "--fork", "--kill-child"]


def _write_drive(folder, files):
    for path, content in files.items():
        target = folder / "drive" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(content)


def boot(server, port, files, user_data):
    """Its process; whoever ends it ends the server."""
    folder = cloud.FOLDER / server["id"]
    namespace = server["namespace"] = f"amphora-{server['id'][:8]}"
    _write_drive(folder, files)
    cloud.run("ip", "netns", "add", namespace)
    link = _plug(server, port)
    cloud.run("ip", "-n", namespace, "link", "set", link, "name", "ens3")
    cloud.run("ip", "-n", namespace, "address", "add", f"{server['address']}/{cloud.network_of(server['address']).prefixlen}", "dev", "ens3")
    cloud.run("ip", "-n", namespace, "link", "set", "ens3", "up")
    with open(folder / "console.log", "ab") as console:
        return subprocess.Popen(["ip", "netns", "exec", namespace, *UNSHARE, str(HERE / "amphora-vm"), str(folder),
            os.environ["AMPHORAD_INSTALLED"]], stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)


def _plug(server, port):
    here, there = cloud.ends(port["id"])
    cloud.run("ip", "link", "add", here, "mtu", cloud.MTU, "type", "veth", "peer", "name", there, "netns", server["namespace"],
        "address", port["mac"], "mtu", cloud.MTU)
    cloud.run("ip", "link", "set", here, "master", cloud.find_network(port["network"])["bridge"], "up")
    return there


def plug(server, port):
    """Gives it its end of the port, down and without an address: the agent does the rest."""
    _plug(server, port)


def unplug(server, port_id):
    cloud.run("ip", "link", "del", cloud.ends(port_id)[0], check=False)


def erase(server):
    """What it leaves when it has ended, but for its log."""
    cloud.run("ip", "netns", "delete", server["namespace"], check=False)
