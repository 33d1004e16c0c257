# SPDX-License-Identifier: Apache-2.0
"""Amphorae that die: their partner takes over, Octavia replaces them."""

import time

import pytest

from hosts import Traffic
from processes import wait_for
from shop import Plain

feature = pytest.mark.feature


@pytest.fixture(scope="module")
def pair(running_control_plane, farm):
    flavor = running_control_plane.make_flavor("active-standby", loadbalancer_topology="ACTIVE_STANDBY")
    pair = Plain(running_control_plane, farm, persistence="SOURCE_IP", name="pair", flavor_id=flavor)
    yield pair
    pair.delete()


def stick(client, lb):
    """Which member each address of the client gets: all have one of their own, in turn."""
    return {source: client.get(lb.door, source=source)["server"] for source in client.addresses if "." in source}


@pytest.fixture(scope="module")
def killed():
    """Amphorae that a case killed: {load balancer's name: id of the amphora}."""
    return {}


@feature("ACTIVE_STANDBY", "stick tables survive a takeover")
def test_the_backup_takes_over(pair, plain, control_plane, client, killed):
    pair.wait_online(60)
    master, backup = pair.machine("MASTER"), pair.machine("BACKUP")
    wait_for(lambda: pair.vip in master.addresses() and pair.vip not in backup.addresses(), 30, "the MASTER has the VIP")
    sticking = stick(client, pair)
    assert set(sticking.values()) == {"a", "b"}
    assert stick(client, pair) == sticking
    # The one that stands alone dies at the same time: Octavia needs its time to notice, once.
    master.die()
    began = time.monotonic()
    single = plain.machine()
    single.die()
    killed |= {"pair": master.amphora["id"], "plain": single.amphora["id"]}

    def answers():
        return client.request(pair.door, timeout=1).status == 200
    wait_for(answers, 30, "the VIP answers again")
    print(f"the BACKUP answers after {time.monotonic() - began:.1f} s")
    assert pair.vip in backup.addresses()
    assert stick(client, pair) == sticking, "every client has the member that it had"


@feature("failover")
def test_octavia_replaces_them(pair, running_plain, control_plane, client, killed):
    assert killed, "the case before has killed nobody"
    sticking = stick(client, pair)
    with Traffic(client, pair.door) as traffic:
        for name, lb, count in (("plain", running_plain, 1), ("pair", pair, 2)):
            def replaced():
                found = [one["id"] for one in lb.amphorae if one["status"] == "ALLOCATED"]
                return len(found) == count and killed[name] not in found
            wait_for(replaced, 150, "another amphora is there", interval=0.3)
            lb.settle()
            lb.wait_online(60)
    assert client.request(running_plain.door).status == 200
    assert {one["role"] for one in pair.amphorae} == {"MASTER", "BACKUP"}
    assert traffic.failures == [], "replacing the other one is not noticed"
    assert stick(client, pair) == sticking
