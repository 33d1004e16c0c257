# SPDX-License-Identifier: Apache-2.0
"""Servers that are virtual machines with the disk image of an amphora: QEMU as Nova would start it, with a config drive, the
management port from the start, the others plugged while it runs. Ports are tap devices on the networks' bridges."""

import json
import os
import subprocess
import time

import cloud
from qemu import Control, write_drive

# Emulated, without a right to KVM.
ACCEL = os.environ.get("MACHINE_ACCEL", "tcg")
PATIENCE_S = 60


def _metadata(server, port, files, user_data):
    """{path: content} of the config drive: what Nova writes of a server with injected files, on a network without DHCP."""
    names = {path: f"content/{number:04d}" for number, path in enumerate(sorted(files))}
    latest = {
        "meta_data.json": json.dumps({"uuid": server["id"], "name": server["name"], "hostname": f"{server['name']}.novalocal",
            "files": [{"path": path, "content_path": f"/{name}"} for path, name in names.items()]}),
        "network_data.json": json.dumps({
            "links": [{"id": "tap0", "type": "bridge", "mtu": cloud.MTU, "ethernet_mac_address": port["mac"],
                "vif_id": port["id"]}],
            "networks": [{"id": "network0", "link": "tap0", "type": "ipv4", "ip_address": server["address"],
                "netmask": str(cloud.network_of(server["address"]).netmask), "network_id": port["network"], "routes": []}], "services": []}),
    }
    if user_data:
        latest["user_data"] = user_data
    return {f"openstack/latest/{name}": content for name, content in latest.items()} | {
        f"openstack/{name}": files[path] for path, name in names.items()}


def _tap(port):
    name = cloud.ends(port["id"])[0]
    cloud.run("ip", "tuntap", "add", "dev", name, "mode", "tap")
    cloud.run("ip", "link", "set", name, "mtu", cloud.MTU, "master", cloud.find_network(port["network"])["bridge"], "up")
    return name


def _device(port):
    """QEMU's (back end, device) of a port."""
    name = f"port-{port['id']}"
    return ({"type": "tap", "id": f"net-{port['id']}", "ifname": cloud.ends(port["id"])[0], "script": "no", "downscript": "no"},
        {"driver": "virtio-net-pci", "id": name, "netdev": f"net-{port['id']}", "mac": port["mac"]})


def _option(fields, first):
    return ",".join([fields[first]] + [f"{key}={value}" for key, value in fields.items() if key != first])


def boot(server, port, files, user_data):
    """Its process; whoever ends it ends the server."""
    folder = cloud.FOLDER / server["id"]
    _tap(port)
    write_drive(folder, _metadata(server, port, files, user_data))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", os.environ["AMPHORAD_IMAGE"], "-F", "raw",
        str(folder / "disk.qcow2"), "2G"], check=True)
    netdev, device = _device(port)
    with open(folder / "qemu.log", "ab") as log:
        return subprocess.Popen(["qemu-system-x86_64", "-no-user-config", "-nodefaults", "-M", "pc", "-accel", ACCEL, "-cpu", "max",
            "-smp", "1", "-m", "1024", "-display", "none", "-vga", "std", "-serial", f"file:{folder}/console.log",
            "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=door,path={folder}/door,server=on,wait=off",
            "-device", "virtserialport,chardev=door,name=door",
            "-drive", f"file={folder}/disk.qcow2,if=virtio,format=qcow2,cache=unsafe",
            "-drive", f"file={folder}/drive.iso,if=ide,media=cdrom,readonly=on",
            "-netdev", _option(netdev, "type"), "-device", _option(device, "driver")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def control(server):
    return Control(cloud.FOLDER / server["id"] / "qmp", PATIENCE_S)


def plug(server, port):
    _tap(port)
    netdev, device = _device(port)
    with control(server) as qemu:
        qemu.run("netdev_add", **netdev)
        qemu.run("device_add", **device)


def unplug(server, port_id):
    if server and cloud.start_time(server["pid"]) == server["start_time"]:
        with control(server) as qemu:
            _unplug(qemu, port_id)
    cloud.run("ip", "link", "del", cloud.ends(port_id)[0], check=False)


def _unplug(qemu, port_id):
    """The guest is asked for its consent; its device is there until it says so."""
    def present():
        return any(one["name"] == f"port-{port_id}" for one in qemu.run("qom-list", path="/machine/peripheral"))
    if not present():
        return
    qemu.run("device_del", id=f"port-{port_id}")
    deadline = time.monotonic() + PATIENCE_S
    while present():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server does not let go of port {port_id}")
        time.sleep(0.2)
    qemu.run("netdev_del", id=f"net-{port_id}")


def erase(server):
    """What it leaves when it has ended, but for its logs."""
    for name in ("disk.qcow2", "drive.iso", "qmp", "door"):
        (cloud.FOLDER / server["id"] / name).unlink(missing_ok=True)
