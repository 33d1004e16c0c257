# SPDX-License-Identifier: Apache-2.0
"""Amphorae that die: their partner takes over, Octavia replaces them."""

import contextlib
import signal
import time

import pytest

from control_plane import SUBNET6
from hosts import Traffic
from machines import PATIENCE_S, Machine
from processes import wait_for
from shop import Plain
from test_changes import settled

feature = pytest.mark.feature


@pytest.fixture(scope="session")
def running_pair(running_control_plane, farm):
    flavor = running_control_plane.make_flavor("active-standby", loadbalancer_topology="ACTIVE_STANDBY")
    pair = Plain(running_control_plane, farm, persistence="SOURCE_IP", name="pair", flavor_id=flavor,
        additional_vips=[{"subnet_id": SUBNET6}])
    config = pair.machine("MASTER").path(f"var/lib/octavia/{pair.id}/haproxy.cfg").read_text()
    assert "stick-table type ip" in config
    pair.sticks_ipv6 = "stick-table type ipv6 " in config
    yield pair
    pair.delete()


@pytest.fixture
def pair(running_pair, control_plane):
    return running_pair


def stick(client, lb):
    """Which member each address of the client gets: all have one of their own, in turn. IPv6 goes to the additional VIP; the
    stick tables of older versions of Octavia have no room for it."""
    found = {source: client.get(lb.url(lb.port, lb.additional_vips[0]) if ":" in source else lb.door, source=source)["server"]
        for source in client.addresses}
    return {source: server for source, server in found.items() if "." in source or lb.sticks_ipv6}


def vips(lb, machine):
    """Those of its VIPs that this amphora has."""
    return {lb.vip, *lb.additional_vips} & machine.addresses()


# A BACKUP that hears nothing for so long takes over: three adverts of a second, and a skew below one (RFC 5798, section 6.1).
CLAIM_S = 4


def in_charge(lb):
    """(the amphora that has all VIPs, the one that has none), once nobody claims them any more. Which of them it is depends on
    the version of Octavia: older ones give keepalived "state MASTER", for which it ignores nopreempt, so that an amphora with
    the role BACKUP that starts first has to give the VIPs back; with newer ones it keeps them."""
    machines = [Machine(one) for one in lb.amphorae]
    both = {lb.vip, *lb.additional_vips}
    seen, since = None, 0

    def settled_down():
        nonlocal seen, since
        now = [vips(lb, one) for one in machines]
        if now != seen:
            seen, since = now, time.monotonic()
        return sorted(map(len, now)) == [0, len(both)] and time.monotonic() - since > CLAIM_S
    wait_for(settled_down, PATIENCE_S, f"one amphora has had the VIPs for {CLAIM_S} s")
    return sorted(machines, key=lambda machine: -len(vips(lb, machine)))


@pytest.fixture(scope="session")
def killed():
    """What a case left for the last one: the id of the amphora that died of each load balancer, the BACKUP that took over, which
    member each client had ("sticking"), and the traffic that goes on since then."""
    return {}


@pytest.fixture(scope="session")
def going_on():
    """What has been entered and goes on over several cases."""
    with contextlib.ExitStack() as stack:
        yield stack


@feature("ACTIVE_STANDBY", "agent upgraded")
def test_agents_of_a_pair_are_upgraded(pair, client, next_version):
    """One after the other. The VIPs stay where they are, connections go on."""
    pair.wait_online()
    master, backup = in_charge(pair)
    program, version = next_version
    sticking = stick(client, pair)
    before = settled(pair)
    with client.connect(pair.vip, pair.port) as held, Traffic(client, pair.door) as traffic:
        held.sendall(b"GET /held HTTP/1.1\r\n")
        for machine in (backup, master):
            keepalived = machine.processes("keepalived")[0]
            assert machine.agent_version() != version
            machine.upgrade_agent(program)
            assert machine.agent_version() == version
            assert keepalived in machine.processes("keepalived")
        pair.change(f"listeners/{pair.listener}", connection_limit=4000)
        held.sendall(b"Host: x\r\n\r\n")
        assert b" 200 " in held.recv(65536)
        assert vips(pair, master) and not vips(pair, backup)
    assert traffic.count and not traffic.failures
    pair.wait_online()
    pair.wait_counted(before + traffic.count + 1)
    assert stick(client, pair) == sticking


@feature("HAProxy hangs")
@pytest.mark.long
def test_the_backup_takes_over_from_a_haproxy_that_hangs(pair, client):
    """keepalived asks HAProxy by the agent's check; Octavia has not replaced anything by then."""
    pair.wait_online()
    master, backup = in_charge(pair)
    sticking = stick(client, pair)
    wait_for(lambda: backup.sticking(pair.id) == master.sticking(pair.id), PATIENCE_S, "the BACKUP knows every client")
    ids = {one["id"] for one in pair.amphorae}

    def answers():
        return client.request(pair.door, timeout=2).status == 200
    master.send("haproxy", signal.SIGSTOP)
    try:
        began = time.monotonic()
        wait_for(answers, PATIENCE_S, "the VIP answers again")
        print(f"the BACKUP answers after {time.monotonic() - began:.1f} s")
        wait_for(lambda: [len(vips(pair, one)) for one in (master, backup)] == [0, 2], PATIENCE_S, "the BACKUP has all VIPs")
        assert stick(client, pair) == sticking
    finally:
        master.send("haproxy", signal.SIGCONT)
    pair.wait_online()
    wait_for(lambda: stick(client, pair) == sticking, PATIENCE_S, "every client has the member that it had")
    assert {one["id"] for one in pair.amphorae} == ids


@feature("ACTIVE_STANDBY", "stick tables survive a takeover")
def test_the_backup_takes_over(pair, plain, control_plane, client, killed, going_on):
    pair.wait_online()
    master, backup = in_charge(pair)
    sticking = stick(client, pair)
    assert set(sticking.values()) == {"a", "b"}
    assert stick(client, pair) == sticking
    wait_for(lambda: backup.sticking(pair.id) == master.sticking(pair.id), PATIENCE_S, "the BACKUP knows every client")
    # The one that stands alone dies at the same time: Octavia needs its time to notice, once.
    master.die()
    began = time.monotonic()
    single = plain.machine()
    single.die()
    dead = {"pair": master.amphora["id"], "plain": single.amphora["id"]}

    def answers():
        return client.request(pair.door, timeout=2).status == 200
    wait_for(answers, PATIENCE_S, "the VIP answers again")
    print(f"the BACKUP answers after {time.monotonic() - began:.1f} s")
    wait_for(lambda: vips(pair, backup) == {pair.vip, *pair.additional_vips}, PATIENCE_S, "the BACKUP has all VIPs")
    assert stick(client, pair) == sticking, "every client has the member that it had"
    # What the MASTER counted stays.
    before = settled(pair)
    client.servers(pair.door, 5)
    pair.wait_counted(before + 5)
    killed |= dead | {"backup": backup, "sticking": sticking, "traffic": going_on.enter_context(Traffic(client, pair.door, 0.2))}


@feature("failover")
@pytest.mark.last
def test_octavia_replaces_them(pair, running_plain, control_plane, client, killed, going_on):
    assert killed, "the case that kills them has not ended well"
    for name, lb, count in (("plain", running_plain, 1), ("pair", pair, 2)):
        def replaced():
            found = [one["id"] for one in lb.amphorae if one["status"] == "ALLOCATED"]
            return len(found) == count and killed[name] not in found
        wait_for(replaced, 2 * PATIENCE_S, "another amphora is there", interval=0.3)
        lb.settle()
        lb.wait_online()
    going_on.close()
    traffic, sticking = killed["traffic"], killed["sticking"]
    assert client.request(running_plain.door).status == 200
    assert {one["role"] for one in pair.amphorae} == {"MASTER", "BACKUP"}
    # Up to some version Octavia has keepalived give the VIPs to the new MASTER (see in_charge()), which ends the request that
    # is under way, if any. Else replacing the other one is not noticed.
    moved = not vips(pair, killed["backup"])
    assert len(traffic.failures) <= moved, (moved, traffic.failures)
    assert stick(client, pair) == sticking
