# SPDX-License-Identifier: Apache-2.0
"""The chain that amphorad exists for, driven by Octavia: a TCP listener, members that are told the client's address."""

import pytest

from processes import wait_for


def add_pool(lb, listener, protocol, members):
    """A pool with a health monitor; returns its id, its members' and its monitor's."""
    pool = lb.add("pool", listener_id=listener, protocol=protocol, lb_algorithm="ROUND_ROBIN")
    ids = [lb.add_member(pool, member.address, member.port) for member in members]
    monitor = lb.add("healthmonitor", pool_id=pool, type="HTTP", url_path="/health", delay=1, timeout=1, max_retries=1)
    return pool, ids, monitor


@pytest.mark.parametrize("protocol, version", [("PROXY", 1), ("PROXYV2", 2)])
def test_members_see_the_client(load_balancer, client, members, protocol, version):
    a, b = members("a"), members("b")
    lb = load_balancer()
    listener = lb.add("listener", protocol="TCP", protocol_port=80, loadbalancer_id=lb.id)
    pool, ids, monitor = add_pool(lb, listener, protocol, [a, b])
    lb.wait_online()
    assert set(lb.operating()) == {lb.id, listener, pool, monitor, *ids}

    seen = [client.get(f"http://{lb.vip}:80/") for _ in range(6)]
    assert {one["server"] for one in seen} == {"a", "b"}
    assert {tuple(one["proxy"]) for one in seen} == {(version, client.address, lb.vip)}
    assert client.address not in {one["peer"] for one in seen}
    lb.delete()


def test_life_of_a_load_balancer(load_balancer, control_plane, client, members):
    a, b = members("a"), members("b")
    lb = load_balancer()
    listener = lb.add("listener", protocol="TCP", protocol_port=80, loadbalancer_id=lb.id)
    pool, (id_a, id_b), monitor = add_pool(lb, listener, "PROXY", [a, b])
    lb.wait_online()

    def ask(count=10):
        return [client.get(f"http://{lb.vip}:80/")["server"] for _ in range(count)]

    # A member that dies is ERROR and gets nothing; the pool above it is degraded. It comes back.
    b.stop()
    lb.wait_operating(id_b, "ERROR")
    lb.wait_operating(pool, "DEGRADED")
    assert lb.operating()[id_a] == "ONLINE"
    assert set(ask()) == {"a"}
    b.start()
    lb.wait_online()
    assert set(ask()) == {"a", "b"}

    # Every connection is counted once, also those just before HAProxy is reloaded (a second listener needs a reload).
    other = lb.add("listener", protocol="TCP", protocol_port=81, loadbalancer_id=lb.id)
    ask(7)
    second = lb.add("listener", protocol="TCP", protocol_port=82, loadbalancer_id=lb.id)
    ask(5)
    wait_for(lambda: lb.stats["total_connections"] == 32, 20, "32 connections are counted")
    assert a.requests + b.requests == 32

    # Everything away again, one after the other.
    lb.remove(f"pools/{pool}/members/{id_b}")
    assert set(ask(4)) == {"a"}
    lb.remove(f"healthmonitors/{monitor}")
    lb.remove(f"pools/{pool}")
    for one in (other, second, listener):
        lb.remove(f"listeners/{one}")
    [amphora] = lb.amphorae
    assert (amphora["status"], amphora["role"]) == ("ALLOCATED", "STANDALONE")
    lb.delete()
    assert not lb.amphorae
    assert "amphora-agent ended" not in control_plane.console()
