# SPDX-License-Identifier: Apache-2.0
"""A cloud made of this machine: networks are bridges, servers are namespaces with veth pairs for ports (namespaces.py) or, with
AMPHORAD_IMAGE, virtual machines of that disk image with tap devices (virtual.py). Its state is a file, because octavia-api, octavia-worker and octavia-health-manager are processes of their own and each has the drivers."""

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
    "management": {"id": "a0000000-0000-4000-8000-000000000001", "bridge": "br-management", "subnets": [
        {"id": "a0000000-0000-4000-8000-0000000000a1", "cidr": "172.31.0.0/24", "gateway": None, "first": 10}]},
    "vip": {"id": "b0000000-0000-4000-8000-000000000002", "bridge": "br-vip", "subnets": [
        {"id": "b0000000-0000-4000-8000-0000000000b2", "cidr": "10.44.0.0/24", "gateway": "10.44.0.1", "first": 20},
        {"id": "b0000000-0000-4000-8000-0000000000b6", "cidr": "fd44::/64", "gateway": None, "first": 32}]},
    "member": {"id": "c0000000-0000-4000-8000-000000000003", "bridge": "br-member", "subnets": [
        {"id": "c0000000-0000-4000-8000-0000000000c3", "cidr": "10.55.0.0/24", "gateway": None, "first": 100},
        {"id": "c0000000-0000-4000-8000-0000000000c6", "cidr": "fd55::/64", "gateway": None, "first": 256}]},
}
MTU = 1500
IMAGE = os.environ.get("AMPHORAD_IMAGE")


def find_network(identifier):
    """By its id; None when there is no such."""
    return next((net for net in NETWORKS.values() if net["id"] == identifier), None)


def find_subnet(identifier):
    """(network, subnet) by the id of the subnet; None twice when there is no such."""
    return next(((net, subnet) for net in NETWORKS.values() for subnet in net["subnets"] if subnet["id"] == identifier),
        (None, None))


def subnet_of(address):
    """The id of the subnet that an address is of."""
    return next(subnet["id"] for net in NETWORKS.values() for subnet in net["subnets"]
        if ipaddress.ip_address(address) in ipaddress.ip_network(subnet["cidr"]))


def network_of(address):
    """Of the subnet that an address is of."""
    return ipaddress.ip_network(find_subnet(subnet_of(address))[1]["cidr"])


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
        stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout


def make_address(data, subnet_id, address=None):
    """A fixed address of a port: the one asked for, or the first that nobody has."""
    subnet = find_subnet(subnet_id)[1]
    used = {fixed["address"] for port in data["ports"].values() for fixed in port["fixed"]}
    if address is None:
        base = ipaddress.ip_network(subnet["cidr"])[subnet["first"]]
        address = next(str(base + i) for i in range(200) if str(base + i) not in used)
    else:
        address = ipaddress.ip_address(address).compressed
        if address in used:
            raise RuntimeError(f"{address} is in use")
    return {"subnet": subnet_id, "address": address}


def make_port(data, network_id, wanted=(), **more):
    """"wanted": dictionaries with a subnet_id, an ip_address or both, as Octavia and Neutron write them. Without any the
    port gets an address of the first subnet."""
    identifier = str(uuid.uuid4())
    port = {"id": identifier, "network": network_id, "fixed": [], "server": None, "name": "", "device": "",
        "mac": "fa:16:3e:" + ":".join(identifier[i:i + 2] for i in (0, 2, 4)), "vnic_type": "normal"} | more
    data["ports"][identifier] = port
    for one in wanted or [{}]:
        address = one.get("ip_address")
        subnet = one.get("subnet_id") or (subnet_of(address) if address else find_network(network_id)["subnets"][0]["id"])
        port["fixed"].append(make_address(data, subnet, address))
    return port


def ends(port_id):
    """Names of interfaces: the one on the bridge, and the one in the server until the agent gives it another."""
    return f"h{port_id[:8]}", f"g{port_id[:8]}"


def set_link(port_id, state):
    """Cuts a port off, or not any more."""
    run("ip", "link", "set", ends(port_id)[0], state)


def start_time(pid):
    """Of a process that is no zombie; tells whether a pid is still the same process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
