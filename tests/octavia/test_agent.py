# SPDX-License-Identifier: Apache-2.0
"""What happens to an agent in its life: its configuration, its certificate, restarts, and those of its controllers."""

import signal
import socket
import ssl

import pytest

from control_plane import CONTROLLER, FOLDER, said_since
from hosts import Traffic
from machines import PATIENCE_S
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
def test_configuration_update(plain, control_plane, client):
    """An agent with a wrong key is not believed; the configuration that Octavia sends is in force at once."""
    machine = plain.machine()
    good = machine.path(machine.config).read_text()
    before = settled(plain)
    manager = said_since(control_plane.log("health-manager"))
    spoil_heartbeat_key(machine)

    def wait_refused():
        seen = len(manager(r"(?i)hmac|digest"))
        wait_for(lambda: len(manager(r"(?i)hmac|digest")) > seen + 1, PATIENCE_S, "the health manager refuses heartbeats")
    try:
        wait_refused()  # from here on the agent notices what changes
        agent = machine.agent
        client.servers(plain.door, 5)
        said = machine.said_from_here()
        plain.servers["b"].stop()
        wait_for(lambda: "-> DOWN" in said(), PATIENCE_S, "the agent knows that b has gone")
        wait_refused()
        assert (plain.operating()[plain.members["b"]], plain.counted()) == ("ONLINE", before)
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
    # Nobody says to an agent that its heartbeats are not believed: what was counted in them is lost, and nothing else.
    after = settled(plain)
    assert before <= after <= before + 5
    assert client.servers(plain.door, 4) == ["a"] * 4
    plain.wait_counted(after + 4)


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
    before, expired, agent, counted = certificate(), expiration(), machine.agent, settled(plain)
    (FOLDER / "rotate.conf").write_text("[house_keeping]\ncert_interval = 600\ncert_expiry_buffer = 94608000\n"
        "cleanup_interval = 600\n")
    control_plane.start_service("housekeeping", "--config-file", FOLDER / "rotate.conf")
    try:
        with Traffic(client, plain.door) as traffic:
            wait_for(lambda: expiration() != expired, PATIENCE_S, "Octavia has given the amphora another certificate", interval=0.3)
            wait_for(lambda: certificate() != before, PATIENCE_S, "the agent has it")
    finally:
        control_plane.stop_process("housekeeping", signal.SIGTERM)
    assert machine.agent == agent, "no restart was needed"
    plain.change(f"listeners/{plain.listener}", connection_limit=5000)
    assert set(client.servers(plain.door, 4)) == {"a", "b"}
    assert traffic.count and not traffic.failures
    plain.wait_online()
    plain.wait_counted(counted + traffic.count + 4)


@feature("agent restarted", "agent upgraded")
def test_agent_is_restarted_and_upgraded(plain, client, next_version):
    """Nobody notices: no request fails, no connection ends, nothing is counted twice or not at all."""
    machine = plain.machine()
    before, processes = settled(plain), machine.processes("haproxy")
    program, version = next_version
    with client.connect(plain.vip, plain.port) as held, Traffic(client, plain.door) as traffic:
        held.sendall(b"GET /held HTTP/1.1\r\n")
        machine.restart_agent(signal.SIGTERM)
        machine.restart_agent(signal.SIGKILL)
        assert machine.agent_version() != version
        machine.upgrade_agent(program)
        assert machine.agent_version() == version
        plain.change(f"listeners/{plain.listener}", connection_limit=4000)
        held.sendall(b"Host: x\r\n\r\n")
        assert b" 200 " in held.recv(65536)
        wait_for(lambda: traffic.count > 20, PATIENCE_S, "requests go on")
    assert not traffic.failures
    assert processes[0] in machine.processes("haproxy"), "HAProxy's master is the same"
    plain.wait_online()
    plain.wait_counted(before + traffic.count + 1)


@feature("controllers restarted")
def test_controllers_are_restarted(plain, control_plane, client):
    """What was asked for just before is done, and what happened meanwhile is told."""
    before = settled(plain)
    plain.start_change(f"listeners/{plain.listener}", connection_limit=3000)
    with Traffic(client, plain.door) as traffic:
        control_plane.stop_octavia()
        heard_at_most = traffic.count
        plain.servers["b"].stop()
        control_plane.start_octavia(("health-manager", "api", "worker"))
        plain.settle()
        plain.wait_operating(plain.members["b"], "ERROR")
    assert traffic.count
    # HAProxy finds out within two checks that b has gone; a connection that found nobody is one, too.
    assert len(traffic.failures) <= 2, traffic.failures
    # What a health manager has received and not read when it ends is lost with it; what comes while there is none is not.
    after = settled(plain)
    assert traffic.count - heard_at_most <= after - before <= traffic.count + len(traffic.failures)
    client.servers(plain.door, 3)
    plain.wait_counted(after + 3)
    assert control_plane.get(f"/lbaas/listeners/{plain.listener}")["listener"]["connection_limit"] == 3000
    machine = plain.machine()
    assert "maxconn 3000" in machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg").read_text()
    assert CONTROLLER in machine.path(machine.config).read_text()
