# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around an agent. Afterwards the API tells the truth, nothing is lost that anybody could know of, and nobody
had to help."""

import glob
import signal
import time

import pytest

from control_plane import said_since
from hosts import Traffic
from machines import PATIENCE_S
from processes import wait_for
from test_agent import spoil_heartbeat_key
from test_changes import settled

feature = pytest.mark.feature
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")


@feature("controller unreachable")
def test_the_controllers_are_out_of_reach(plain, control_plane, client):
    machine = plain.machine()
    before = settled(plain)
    said = said_since(control_plane.log("worker"))
    with Traffic(client, plain.door) as traffic:
        machine.cut_off()
        try:
            plain.start_change(f"listeners/{plain.listener}", connection_limit=2500)
            plain.servers["b"].stop()
            wait_for(lambda: said("Could not connect to instance"), PATIENCE_S, "the worker tries in vain", interval=0.3)
            assert plain.provisioning_status() == "PENDING_UPDATE"
        finally:
            machine.cut_off("up")
        plain.settle()
        plain.wait_operating(plain.members["b"], "ERROR")
    assert "maxconn 2500" in machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg").read_text()
    # HAProxy finds out within two checks that b has gone; until then b's clients are sent on to a.
    assert len(traffic.failures) <= 2, traffic.failures
    # Heartbeats are not acknowledged (UDP). What was in those of which the network says that they are lost is in the next one.
    after = settled(plain)
    assert 0 <= after - before - traffic.count <= len(traffic.failures)
    plain.servers["b"].start()
    plain.wait_online()
    # Now nobody is there to be reached.
    control_plane.refuse_heartbeats(machine.server["address"])
    try:
        said = machine.said_from_here()
        assert set(client.servers(plain.door, 6)) == {"a", "b"}
        plain.servers["b"].stop()
        wait_for(lambda: "-> DOWN" in said(), PATIENCE_S, "the agent knows that b has gone")
        refused = control_plane.refused_heartbeats()
        wait_for(lambda: control_plane.refused_heartbeats() > refused + 1, PATIENCE_S, "nobody hears of it")
        assert (plain.operating()[plain.members["b"]], plain.counted()) == ("ONLINE", after)
    finally:
        control_plane.accept_heartbeats()
    plain.wait_operating(plain.members["b"], "ERROR")
    plain.wait_counted(after + 6)


@feature("disk full")
def test_the_disk_is_full(plain, control_plane, client):
    machine = plain.machine()
    config = machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg")
    before, counted = config.read_text(), settled(plain)
    machine.fill_disk()
    try:
        plain.start_change(f"listeners/{plain.listener}", connection_limit=2222)
        listener = f"/lbaas/listeners/{plain.listener}"

        def failed():
            return control_plane.get(listener)["listener"]["provisioning_status"] == "ERROR"
        wait_for(failed, PATIENCE_S, "the API says that it failed", interval=0.3)
        assert config.read_text() == before
        # What serves goes on serving, and its state goes on being told, also by an agent that starts now.
        assert set(client.servers(plain.door, 4)) == {"a", "b"}
        machine.restart_agent(signal.SIGKILL)
        assert set(client.servers(plain.door, 3)) == {"a", "b"}
        plain.wait_counted(counted + 7)
        plain.servers["b"].stop()
        plain.wait_operating(plain.members["b"], "ERROR")
    finally:
        machine.free_disk()
        plain.servers["b"].start()
    plain.change(f"listeners/{plain.listener}", connection_limit=2223)
    assert "maxconn 2223" in config.read_text()
    wait_for(lambda: not [path for path in config.parent.iterdir() if path.name.startswith(".") or path.suffix in (".new", ".tmp")],
        PATIENCE_S, "nothing half-made is left")
    plain.wait_online()
    machine.restart_agent()
    client.servers(plain.door, 2)
    plain.wait_counted(counted + 9)


@feature("HAProxy hangs")
def test_haproxy_hangs(plain, client):
    machine = plain.machine()
    before = settled(plain)
    client.servers(plain.door, 3)
    machine.send("haproxy", signal.SIGSTOP)
    try:
        with client.connect(plain.vip, plain.port) as patient:
            patient.sendall(b"GET /patient HTTP/1.1\r\nHost: x\r\n\r\n")
            plain.wait_operating(plain.listener, "ERROR")
            machine.send("haproxy", signal.SIGCONT)
            assert b" 200 " in patient.recv(65536)
    finally:
        machine.send("haproxy", signal.SIGCONT)
    plain.wait_online()
    client.servers(plain.door, 2)
    plain.wait_counted(before + 6)


@feature("HAProxy hangs")
def test_an_update_while_haproxy_hangs(plain, client):
    """Whatever the agent answers, afterwards what runs is what the API says."""
    machine = plain.machine()
    machine.send("haproxy", signal.SIGSTOP)
    try:
        plain.start_change(f"pools/{plain.pool}/members/{plain.members['a']}", weight=7)
        wait_for(lambda: "reload" in machine.console.rpartition("/haproxy: 202")[2], PATIENCE_S, "the agent is at it",
            interval=0.2)
    finally:
        machine.send("haproxy", signal.SIGCONT)
    wait_for(lambda: not plain.provisioning_status().startswith("PENDING"), 2 * PATIENCE_S, "Octavia has an answer")
    told = plain.control_plane.get(f"/lbaas/pools/{plain.pool}/members/{plain.members['a']}")["member"]
    assert told["provisioning_status"] in ("ACTIVE", "ERROR") and told["weight"] in (1, 7)
    wait_for(lambda: machine.running_weight(plain.id, plain.members["a"]) == told["weight"], PATIENCE_S,
        "what runs is what the API says")
    plain.change(f"pools/{plain.pool}/members/{plain.members['a']}", weight=1)
    plain.wait_online()
    wait_for(lambda: machine.running_weight(plain.id, plain.members["a"]) == 1, PATIENCE_S, "what runs is what was asked for")
    assert set(client.servers(plain.door, 4)) == {"a", "b"}


@feature("clock jumps")
@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (Debian package libfaketime)")
def test_the_clock_jumps(plain, client):
    """The agent's. CLOCK_REALTIME has no namespace: that of a whole amphora jumps in tests/vm/image_cases.py."""
    machine = plain.machine()
    clock = machine.path("run/clock")
    clock.write_text("+0\n")
    machine.restart_agent(environment={"LD_PRELOAD": FAKETIME[0], "FAKETIME_TIMESTAMP_FILE": "/run/clock",
        "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"})
    try:
        plain.wait_online()
        before = settled(plain)
        for number, offset in enumerate(("+5d", "+0", "-3d", "+0"), 1):
            clock.write_text(f"{offset}\n")
            server = plain.servers["ab"[number % 2]]
            server.stop()
            plain.wait_operating(plain.members["ab"[number % 2]], "ERROR")
            server.start()
            plain.wait_online()
            client.servers(plain.door, 2)
            plain.wait_counted(before + 2 * number)
            # Three days ago the controllers' certificate was not valid yet: that is refused.
            if not offset.startswith("-"):
                plain.change(f"listeners/{plain.listener}", connection_limit=6000 + number)
    finally:
        clock.write_text("+0\n")
        machine.restart_agent(environment={})
    plain.wait_online()


@feature("RabbitMQ restarted")
def test_rabbitmq_is_restarted_during_an_update(plain, control_plane, client):
    machine = plain.machine()
    before = settled(plain)
    worker, queue = said_since(control_plane.log("worker")), "octavia_provisioning_v2"
    assert queue in control_plane.consumed_queues()
    with Traffic(client, plain.door) as traffic:
        machine.hold_requests()
        try:
            # Lower than it was: that is done at run time. What an old worker accepts while HAProxy is reloaded nobody counts.
            plain.start_change(f"listeners/{plain.listener}", connection_limit=1900)
            wait_for(lambda: worker(f"listener.*{plain.listener}"), PATIENCE_S, "the worker has been told")
            control_plane.stop_process("rabbitmq")
            control_plane.start_rabbitmq()
            assert plain.provisioning_status() == "PENDING_UPDATE"
        finally:
            machine.release_requests()
        plain.settle()
    assert traffic.count and not traffic.failures
    assert "maxconn 1900" in machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg").read_text()
    control_plane.wait_rabbitmq()
    assert worker("AMQP server .* is unreachable")
    # Until a consumer has made its queue again, what the API sends there is lost.
    wait_for(lambda: queue in control_plane.consumed_queues(), 2 * PATIENCE_S, "the worker is back", interval=0.5)
    plain.change(f"listeners/{plain.listener}", connection_limit=1901)
    assert "maxconn 1901" in machine.path(f"var/lib/octavia/{plain.id}/haproxy.cfg").read_text()
    assert set(client.servers(plain.door, 4)) == {"a", "b"}
    plain.wait_counted(before + traffic.count + 4)


@feature("wrong heartbeat key")
@pytest.mark.long
def test_an_agent_with_a_wrong_key_is_replaced(plain, client):
    """Nobody repairs it: to Octavia it is an amphora that has died."""
    machine = plain.machine()
    spoil_heartbeat_key(machine)
    began = time.monotonic()
    wait_for(lambda: [one["id"] for one in plain.amphorae if one["status"] == "ALLOCATED"] not in
        ([], [machine.amphora["id"]]), 2 * PATIENCE_S, "another amphora is there", interval=0.5)
    print(f"after {time.monotonic() - began:.0f} s")
    plain.settle()
    plain.wait_online()
    assert set(client.servers(plain.door, 4)) == {"a", "b"}
