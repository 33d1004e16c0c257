# SPDX-License-Identifier: Apache-2.0
"""Octavia's compute driver of this cloud (octavia/compute/compute_base.py says what a driver has to do)."""

import os
import shutil
import signal
import time
import uuid

from octavia.common import constants, data_models, exceptions
from octavia.compute.drivers.noop_driver import driver as noop
from octavia.network import data_models as network_models

import cloud

if cloud.IMAGE:
    from cloud import virtual as kind
else:
    from cloud import namespaces as kind


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


def _read(content):
    content = content.read() if hasattr(content, "read") else content
    return content if isinstance(content, bytes) else content.encode()


class Compute(noop.NoopComputeDriver):
    def __init__(self):
        """Newer versions of the driver below keep a database in /tmp: not ours."""

    def build(self, name="amphora", network_ids=None, config_drive_files=None, user_data=None, **unused):
        compute_id = str(uuid.uuid4())
        (cloud.FOLDER / compute_id).mkdir(parents=True)
        with cloud.state() as data:
            port = cloud.make_port(data, network_ids[0], name=name, device=compute_id, server=compute_id)
        server = {"id": compute_id, "name": name, "port": port["id"], "address": port["fixed"][0]["address"]}
        files = {path: _read(content) for path, content in (config_drive_files or {}).items()}
        process = kind.boot(server, port, files, _read(user_data or ""))
        with cloud.state() as data:
            data["servers"][compute_id] = server | {"pid": process.pid, "start_time": cloud.start_time(process.pid)}
        return compute_id

    def delete(self, compute_id):
        try:
            server = _server(compute_id)
        except exceptions.ComputeGetException:
            return
        if cloud.start_time(server["pid"]) == server["start_time"]:
            os.kill(server["pid"], signal.SIGKILL)  # where it is unshare's, --kill-child takes the amphora with it
            while cloud.start_time(server["pid"]) == server["start_time"]:
                time.sleep(0.02)
        with cloud.state() as data:
            for port in [port for port in data["ports"].values() if port["server"] == compute_id]:
                kind.unplug(None, port["id"])
                port.update(server=None, device="")
                # Nova deletes the ports that it made.
                if port["name"] == "nova" or port["id"] == server["port"]:
                    del data["ports"][port["id"]]
            del data["servers"][compute_id]
        kind.erase(server)
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
        kind.plug(server, port)
        return _interface(port)

    def detach_port(self, compute_id, port_id):
        with cloud.state() as data:
            server = data["servers"].get(data["ports"].get(port_id, {}).get("server"))
        kind.unplug(server, port_id)
        with cloud.state() as data:
            if port_id in data["ports"]:
                data["ports"][port_id].update(server=None, device="")
