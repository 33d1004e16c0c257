# SPDX-License-Identifier: Apache-2.0
"""What changes in a load balancer while it lives."""

import collections
import time

import pytest

from control_plane import said_since
from machines import PATIENCE_S, Machine
from processes import wait_for

feature = pytest.mark.feature


@feature("health of members")
def test_health_reaches_the_api(plain, client):
    """A member that dies is ERROR and gets nothing; what is above it is DEGRADED. It comes back."""
    plain.servers["b"].stop()
    plain.wait_operating(plain.members["b"], "ERROR")
    wait_for(lambda: {plain.operating()[one] for one in (plain.pool, plain.id)} == {"DEGRADED"}, PATIENCE_S,
        "the pool is DEGRADED")
    assert plain.operating()[plain.members["a"]] == "ONLINE"
    assert set(client.servers(plain.door)) == {"a"}
    plain.servers["a"].stop()
    plain.wait_operating(plain.pool, "ERROR")
    plain.wait_operating(plain.id, "ERROR")
    for server in plain.servers.values():
        server.start()
    plain.wait_online()
    assert set(client.servers(plain.door)) == {"a", "b"}


@feature("member added, changed and removed")
def test_members_come_and_go(plain, client, make_member):
    c = make_member("c")
    third = plain.add_member(plain.pool, c.address, c.port, weight=2)
    path = f"pools/{plain.pool}/members"
    plain.wait_online()
    counts = collections.Counter(client.servers(plain.door, 16))
    assert set(counts) == {"a", "b", "c"} and counts["c"] > max(counts["a"], counts["b"]), counts
    # Without weight: nothing new, and the API says why.
    plain.change(f"{path}/{plain.members['a']}", weight=0)
    plain.wait_operating(plain.members["a"], "DRAINING")
    assert set(client.servers(plain.door)) == {"b", "c"}
    plain.change(f"{path}/{plain.members['a']}", weight=1)
    plain.change(f"{path}/{third}", backup=True)
    plain.wait_online()
    assert set(client.servers(plain.door)) == {"a", "b"}
    for server in plain.servers.values():
        server.stop()
    plain.wait_operating(plain.members["b"], "ERROR")
    plain.wait_operating(plain.members["a"], "ERROR")
    assert set(client.servers(plain.door, 4)) == {"c"}
    for server in plain.servers.values():
        server.start()
    plain.wait_online()
    # Out of service by the administrator.
    plain.change(f"{path}/{plain.members['b']}", admin_state_up=False)
    plain.wait_operating(plain.members["b"], "OFFLINE")
    assert set(client.servers(plain.door, 4)) == {"a"}
    plain.change(f"{path}/{plain.members['b']}", admin_state_up=True)
    plain.remove(f"{path}/{third}")
    plain.wait_online()
    assert third not in plain.objects()
    assert set(client.servers(plain.door)) == {"a", "b"}


@feature("batch member update")
def test_members_in_one_request(plain, client, farm, make_member):
    c, d = make_member("c"), make_member("d")
    path = f"/lbaas/pools/{plain.pool}/members"

    def put(*wanted, more=""):
        plain.control_plane.request("PUT", path + more, {"members": list(wanted)})
        plain.settle()
        return {one["address"]: one for one in plain.control_plane.get(path)["members"]}
    before = plain.control_plane.get(path)["members"]
    same = [{key: one[key] for key in ("name", "address", "protocol_port", "subnet_id", "weight")} for one in before]
    new = [{"name": one.name, "address": one.address, "protocol_port": one.port} for one in (c, d)]
    # One stays, one changes, one goes, two come.
    found = put(same[0], *new)
    assert set(found) == {same[0]["address"], c.address, d.address}
    assert found[same[0]["address"]]["id"] == before[0]["id"]
    plain.wait_online()
    of_port = {plain.servers[host.name].address: host.name for host in farm}
    assert set(client.servers(plain.door, 12)) == {of_port[same[0]["address"]], "c", "d"}
    found = put(same[1], new[0] | {"weight": 0}, more="?additive_only=true")
    assert len(found) == 4
    plain.wait_operating(found[c.address]["id"], "DRAINING")
    found = put(*same)
    plain.wait_online()
    assert set(found) == {one["address"] for one in same}
    plain.members = {of_port[address]: one["id"] for address, one in found.items()}
    assert set(client.servers(plain.door)) == {"a", "b"}


@feature("statistics over reloads")
def test_every_connection_is_counted_once(plain, client):
    """Also those just before HAProxy is reloaded: another listener needs a reload."""
    workers = plain.machine().processes("haproxy")
    client.servers(plain.door, 3)
    before = settled(plain)
    client.servers(plain.door, 10)
    added = [plain.add("listener", protocol="TCP", protocol_port=81, loadbalancer_id=plain.id, default_pool_id=plain.pool)]
    client.servers(plain.door, 7)
    added.append(plain.add("listener", protocol="HTTP", protocol_port=82, loadbalancer_id=plain.id))
    client.servers(plain.door, 5)
    client.servers(plain.url(81), 4)
    plain.wait_counted(before + 26)
    assert plain.listener_stats(added[0])["total_connections"] == 4
    for one in added:
        plain.remove(f"listeners/{one}")
    assert set(plain.machine().processes("haproxy")) - set(workers), "HAProxy was reloaded"
    assert client.request(plain.door).status == 200


def settled(lb):
    """The number of connections when no more are counted: what was counted a moment ago comes with the next heartbeat of its
    amphora, whenever that is."""
    amphorae = [one["id"] for one in lb.amphorae if one["status"] == "ALLOCATED" and Machine(one).lives]
    seen = heard = None
    since = 0

    def still():
        nonlocal seen, heard, since
        updates = collections.Counter(heard(r"Listener (\S+) / Amphora (\S+) stats: ") if heard else ())
        enough = all(max((n for (_, of), n in updates.items() if of == one), default=0) >= 3 for one in amphorae)
        now = lb.stats["total_connections"]
        if now != seen or heard is None:
            seen, heard, since = now, said_since(lb.control_plane.log("health-manager")), time.monotonic()
            return False
        # What a manager that hung has to catch up with is older.
        return enough and time.monotonic() - since > 2
    wait_for(still, PATIENCE_S, "nothing more is counted", interval=0.2)
    return seen


@feature("administratively down")
def test_a_listener_out_of_service(plain, client):
    plain.change(f"listeners/{plain.listener}", admin_state_up=False)
    plain.wait_operating(plain.listener, "OFFLINE")
    with pytest.raises(OSError):
        client.get(plain.door)
    plain.change(f"listeners/{plain.listener}", admin_state_up=True)
    plain.wait_online()
    assert set(client.servers(plain.door, 4)) == {"a", "b"}
