# SPDX-License-Identifier: Apache-2.0
"""What happens to an agent in its life: its configuration, its certificate, restarts, and those of its controllers."""

import re
import signal
import socket
import ssl

import pytest

from control_plane import CONTROLLER, FOLDER
from hosts import Traffic
from processes import wait_for
from test_changes import settled

feature = pytest.mark.feature


def spoil_heartbeat_key(machine):
    """As if somebody had mistyped it."""
    path = machine.path(machine.config)
    text = path.read_text()
    assert "heartbeat_key = only-for-this-test" in text
    path.write_text(text.replace("heartbeat_key = only-for-this-test", "heartbeat_key = another"))
    machine.restart_agent()


@feature("agent configuration update", "wrong heartbeat key")
def test_configuration_update(plain, control_plane):
    """An agent with a wrong key is not believed; the configuration that Octavia sends is in force at once."""
    machine = plain.machine()
    good = machine.path(machine.config).read_text()
    spoil_heartbeat_key(machine)
    try:
        agent = machine.agent
        log = control_plane.log("health-manager")
        begin = log.stat().st_size
        plain.servers["b"].stop()

        def refused():
            with open(log, errors="replace") as lines:
                lines.seek(begin)
                return re.search(r"(?i)hmac|digest", lines.read())
        wait_for(refused, 20, "the health manager refuses the heartbeats")
        assert plain.operating()[plain.members["b"]] == "ONLINE"
        control_plane.request("PUT", f"/octavia/amphorae/{machine.amphora['id']}/config")
        plain.wait_operating(plain.members["b"], "ERROR")
        assert machine.path(machine.config).read_text() == good
    finally:
        # What comes after this counts heartbeats.
        if machine.path(machine.config).read_text() != good:
            machine.path(machine.config).write_text(good)
            machine.restart_agent()
    assert machine.path(machine.config).stat().st_mode & 0o77 == 0
    assert machine.agent == agent, "no restart was needed"


@feature("certificate rotation")
def test_certificate_rotation(plain, control_plane, client):
    machine = plain.machine()

    def certificate():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(FOLDER / "server-ca.pem")
        context.load_cert_chain(FOLDER / "client.pem")
        with socket.create_connection((machine.server["address"], 9443), 5) as plain_socket, \
                context.wrap_socket(plain_socket) as tls:
            return tls.getpeercert(True)

    def expiration():
        return plain.amphorae[0]["cert_expiration"]
    before, expired, agent = certificate(), expiration(), machine.agent
    (FOLDER / "rotate.conf").write_text("[house_keeping]\ncert_interval = 600\ncert_expiry_buffer = 94608000\n"
        "cleanup_interval = 600\n")
    control_plane.start_service("housekeeping", "--config-file", FOLDER / "rotate.conf")
    try:
        wait_for(lambda: expiration() != expired, 60, "Octavia has given the amphora another certificate", interval=0.3)
        wait_for(lambda: certificate() != before, 20, "the agent has it")
    finally:
        control_plane.stop_process("housekeeping", signal.SIGTERM)
    assert machine.agent == agent, "no restart was needed"
    plain.change(f"listeners/{plain.listener}", connection_limit=5000)
    assert set(client.servers(plain.door, 4)) == {"a", "b"}


@feature("agent restarted", "agent upgraded")
def test_agent_is_restarted_and_upgraded(plain, client):
    """Nobody notices: no request fails, no connection ends, nothing is counted twice or not at all."""
    machine = plain.machine()
    before, processes = settled(plain), machine.processes("haproxy")
    program = machine.run("readlink", "-f", f"/proc/{machine.run('pidof', 'amphora-agent').split()[0]}/exe").strip()
    with client.connect(plain.vip, plain.port) as held, Traffic(client, plain.door) as traffic:
        held.sendall(b"GET /held HTTP/1.1\r\n")
        machine.restart_agent(signal.SIGTERM)
        machine.restart_agent(signal.SIGKILL)
        # As a package does it: a new file under the old name.
        machine.run("sh", "-c", f"cp -p {program} {program}.new && mv {program}.new {program}")
        assert "deleted" in machine.run("sh", "-c", "ls -l /proc/$(pidof amphora-agent)/exe")
        machine.restart_agent(signal.SIGTERM)
        assert "deleted" not in machine.run("sh", "-c", "ls -l /proc/$(pidof amphora-agent)/exe")
        plain.change(f"listeners/{plain.listener}", connection_limit=4000)
        held.sendall(b"Host: x\r\n\r\n")
        assert b" 200 " in held.recv(65536)
        wait_for(lambda: traffic.count > 20, 20, "requests go on")
    assert not traffic.failures
    assert processes[0] in machine.processes("haproxy"), "HAProxy's master is the same"
    plain.wait_online()
    wait_for(lambda: plain.counted() == before + traffic.count + 1, 20, "every connection is counted once")


@feature("controllers restarted")
def test_controllers_are_restarted(plain, control_plane, client):
    """What was asked for just before is done, and what happened meanwhile is told."""
    plain.start_change(f"listeners/{plain.listener}", connection_limit=3000)
    with Traffic(client, plain.door) as traffic:
        control_plane.stop_octavia()
        plain.servers["b"].stop()
        control_plane.start_octavia(("health-manager", "api", "worker"))
        plain.settle()
        plain.wait_operating(plain.members["b"], "ERROR")
    assert traffic.count
    assert control_plane.get(f"/lbaas/listeners/{plain.listener}")["listener"]["connection_limit"] == 3000
    machine = plain.machine()
    assert "maxconn 3000" in machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg").read_text()
    assert CONTROLLER in machine.path(machine.config).read_text()
