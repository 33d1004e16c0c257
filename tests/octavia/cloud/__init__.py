# SPDX-License-Identifier: Apache-2.0
"""A cloud made of this machine: networks are bridges, ports are veth pairs, servers are namespaces. Its state is a file,
because octavia-api, octavia-worker and octavia-health-manager are processes of their own and each has the drivers."""

import contextlib
import fcntl
import ipaddress
import json
import os
import pathlib
import subprocess
import uuid

FOLDER = pathlib.Path(os.environ.get("AMPHORAD_CLOUD", "/run/cloud"))
NETWORKS = {
    "management": {"id": "a0000000-0000-4000-8000-000000000001", "subnet": "a0000000-0000-4000-8000-0000000000a1",
        "cidr": "172.31.0.0/24", "gateway": None, "bridge": "br-management", "first": 10},
    "vip": {"id": "b0000000-0000-4000-8000-000000000002", "subnet": "b0000000-0000-4000-8000-0000000000b2",
        "cidr": "10.44.0.0/24", "gateway": "10.44.0.1", "bridge": "br-vip", "first": 20},
    "member": {"id": "c0000000-0000-4000-8000-000000000003", "subnet": "c0000000-0000-4000-8000-0000000000c3",
        "cidr": "10.55.0.0/24", "gateway": None, "bridge": "br-member", "first": 100},
}
MTU = 1500


def find_network(**key):
    """find_network(id=…) or find_network(subnet=…); None when there is no such."""
    return next((row for row in NETWORKS.values() if all(row[k] == v for k, v in key.items())), None)


@contextlib.contextmanager
def state():
    """The state, locked; what is changed in it is kept unless the block raises."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = FOLDER / "state.json"
        data = json.loads(path.read_text()) if path.exists() else {"ports": {}, "servers": {}}
        yield data
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1))
        fresh.rename(path)


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout


def make_port(data, network_id, address=None, **more):
    net = find_network(id=network_id)
    used = {port["address"] for port in data["ports"].values()}
    if address is None:
        hosts = list(ipaddress.ip_network(net["cidr"]).hosts())[net["first"] - 1:]
        address = next(str(host) for host in hosts if str(host) not in used)
    elif address in used:
        raise RuntimeError(f"{address} is in use")
    identifier = str(uuid.uuid4())
    port = {"id": identifier, "network": network_id, "subnet": net["subnet"], "address": address, "server": None,
        "mac": "fa:16:3e:" + ":".join(identifier[i:i + 2] for i in (0, 2, 4)), "name": "", "device": ""} | more
    data["ports"][identifier] = port
    return port


def _ends(port_id):
    return f"h{port_id[:8]}", f"g{port_id[:8]}"


def plug(port, namespace):
    """Gives the namespace its end of the port, down and without an address: the agent does the rest."""
    here, there = _ends(port["id"])
    run("ip", "link", "add", here, "mtu", MTU, "type", "veth", "peer", "name", there, "netns", namespace, "address",
        port["mac"], "mtu", MTU)
    run("ip", "link", "set", here, "master", find_network(id=port["network"])["bridge"], "up")
    return there


def unplug(port_id):
    run("ip", "link", "del", _ends(port_id)[0], check=False)


def start_time(pid):
    """Of a process that is no zombie; tells whether a pid is still the same process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
