# SPDX-License-Identifier: Apache-2.0
"""Octavia's compute driver of this cloud: a server is amphora-vm in namespaces of its own
(octavia/compute/compute_base.py says what a driver has to do)."""

import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid

from octavia.common import constants, data_models, exceptions
from octavia.compute.drivers.noop_driver import driver as noop
from octavia.network import data_models as network_models

import cloud

HERE = pathlib.Path(__file__).resolve().parent.parent
UNSHARE = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--propagation", "private", "--fork", "--kill-child"]


def _server(compute_id):
    with cloud.state() as data:
        server = data["servers"].get(compute_id)
    if server is None:
        raise exceptions.ComputeGetException(id=compute_id, err="there is no such server")
    return server


def _interface(port):
    return network_models.Interface(id=port["id"], compute_id=port["server"], network_id=port["network"],
        port_id=port["id"], fixed_ips=[network_models.FixedIP(subnet_id=fixed["subnet"], ip_address=fixed["address"])
            for fixed in port["fixed"]])


def _write_drive(folder, files):
    for path, content in files.items():
        target = folder / "drive" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        content = content.read() if hasattr(content, "read") else content
        target.touch(mode=0o600)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


class Compute(noop.NoopComputeDriver):
    def __init__(self):
        """Newer versions of the driver below keep a database in /tmp: not ours."""

    def build(self, name="amphora", network_ids=None, config_drive_files=None, **unused):
        compute_id = str(uuid.uuid4())
        namespace = f"amphora-{compute_id[:8]}"
        folder = cloud.FOLDER / compute_id
        folder.mkdir(parents=True)
        _write_drive(folder, config_drive_files or {})
        with cloud.state() as data:
            port = cloud.make_port(data, network_ids[0], name=name, device=compute_id, server=compute_id)
        cloud.run("ip", "netns", "add", namespace)
        link = cloud.plug(port, namespace)
        cloud.run("ip", "-n", namespace, "link", "set", link, "name", "ens3")
        address = port["fixed"][0]["address"]
        prefix = cloud.find_network(port["network"])["subnets"][0]["cidr"].partition("/")[2]
        cloud.run("ip", "-n", namespace, "address", "add", f"{address}/{prefix}", "dev", "ens3")
        cloud.run("ip", "-n", namespace, "link", "set", "ens3", "up")
        with open(folder / "console.log", "ab") as console:
            process = subprocess.Popen(["ip", "netns", "exec", namespace, *UNSHARE, str(HERE / "amphora-vm"), str(folder),
                os.environ["AMPHORAD_INSTALLED"]], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True)
        with cloud.state() as data:
            data["servers"][compute_id] = {"id": compute_id, "namespace": namespace, "port": port["id"],
                "address": address, "pid": process.pid, "start_time": cloud.start_time(process.pid)}
        return compute_id

    def delete(self, compute_id):
        try:
            server = _server(compute_id)
        except exceptions.ComputeGetException:
            return
        if cloud.start_time(server["pid"]) == server["start_time"]:
            os.kill(server["pid"], signal.SIGKILL)  # of unshare; --kill-child takes the amphora with it
            while cloud.start_time(server["pid"]) == server["start_time"]:
                time.sleep(0.02)
        with cloud.state() as data:
            for port in [port for port in data["ports"].values() if port["server"] == compute_id]:
                cloud.unplug(port["id"])
                port.update(server=None, device="")
                # Nova deletes the ports that it made.
                if port["name"] == "nova" or port["id"] == server["port"]:
                    del data["ports"][port["id"]]
            del data["servers"][compute_id]
        cloud.run("ip", "netns", "delete", server["namespace"], check=False)
        shutil.rmtree(cloud.FOLDER / compute_id / "drive", ignore_errors=True)

    def status(self, compute_id):
        return constants.UP

    def get_amphora(self, compute_id, management_network_id=None):
        server = _server(compute_id)
        alive = cloud.start_time(server["pid"]) == server["start_time"]
        return data_models.Amphora(compute_id=compute_id, status="ACTIVE" if alive else constants.ERROR,
            lb_network_ip=server["address"], cached_zone="here", image_id="d0000000-0000-4000-8000-000000000004",
            compute_flavor="namespace"), None if alive else "the amphora has ended"

    def attach_network_or_port(self, compute_id, network_id=None, ip_address=None, port_id=None):
        server = _server(compute_id)
        with cloud.state() as data:
            port = data["ports"][port_id] if port_id else cloud.make_port(data, network_id,
                [{"ip_address": ip_address}] if ip_address else (), name="nova")
            port.update(server=compute_id, device=compute_id)
        cloud.plug(port, server["namespace"])
        return _interface(port)

    def detach_port(self, compute_id, port_id):
        cloud.unplug(port_id)
        with cloud.state() as data:
            if port_id in data["ports"]:
                data["ports"][port_id].update(server=None, device="")
