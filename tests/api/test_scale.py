# SPDX-License-Identifier: Apache-2.0
"""Many members: the agent must not be what takes the time."""

import subprocess
import time

import pytest

from amphora import HAPROXY, LBS, document, listener, member, monitor, new_id, pool
from clients import server_of
from processes import TIME_FACTOR, free_port, processes_naming, wait_for

MEMBERS = 2000


def members(origin, count):
    """One that answers and many that nobody serves: 127.x.y.z on a port where nothing listens."""
    return [member(origin.port, "real")] + [
        member(9, f"m{n}", address=f"127.1.{n // 256}.{n % 256}", weight=0) for n in range(1, count)]


@pytest.mark.limit(300)
def test_two_thousand_members(agent, origins, note):
    lb_id, port, origin = new_id(), free_port(), origins("real")
    body = document(listener(port, pool(members(origin, MEMBERS))))
    began = time.monotonic()
    agent.apply(lb_id, body)
    started = time.monotonic() - began
    assert server_of(port) == "real"
    began = time.monotonic()
    check = subprocess.run([HAPROXY, "-c", "-f", str(agent.config_file(lb_id))], stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60, check=False)
    bare = time.monotonic() - began
    assert check.returncode == 0, check.stderr[-2000:]
    body["loadbalancer"]["listeners"][0]["timeout_client_data"] = 44444
    began = time.monotonic()
    reply = agent.put(lb_id, body).expect(200)
    reloaded = time.monotonic() - began
    assert reply.headers["Amphorad-Apply"] == "reload"
    began = time.monotonic()
    assert agent.put(lb_id, body).expect(200).headers["Amphorad-Apply"] == "none"
    same = time.monotonic() - began
    began = time.monotonic()
    tree = agent.status(lb_id)
    status = time.monotonic() - began
    assert len(tree["listeners"][0]["pools"][0]["members"]) == MEMBERS
    # The HAProxy that was started to judge it waits for nothing that does not come.
    staged = agent.config_file(lb_id).parent / "staged"
    members_ = body["loadbalancer"]["listeners"][0]["default_pool"]["members"]
    for wrong in ({"weight": 1000}, {"address": "nowhere"}):
        good = dict(members_[7])
        members_[7].update(wrong)
        assert f"members/7/{next(iter(wrong))}" in agent.put(lb_id, body).expect(400).fault
        members_[7] = good
    path = f"/v2/lbaas/pools/{agent.definition(lb_id)['pools'][0]['id']}/members/{new_id()}"
    agent.request("PUT", path, {"member": {"weight": 1}}).expect(404)
    agent.put(lb_id, body, "?dry_run=true").expect(200)
    assert not staged.exists() and processes_naming(str(staged)) == []
    assert agent.rendered(lb_id).count("\n\tserver ") + agent.rendered(lb_id).count("\n    server ") == MEMBERS
    note(f"{MEMBERS} members: created in {started * 1000:.0f} ms, changed with a reload in "
        f"{reloaded * 1000:.0f} ms, put again in {same * 1000:.0f} ms, status in {status * 1000:.0f} ms; haproxy -c alone {bare * 1000:.0f} ms")
    agent.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)


def timed(function, *args):
    began = time.monotonic()
    value = function(*args)
    return value, (time.monotonic() - began) * 1000


@pytest.mark.limit(300)
def test_ten_thousand_members_in_a_hundred_pools(agent, origins, note):
    """One of them changed, while HAProxy runs, is no matter of all the others."""
    lb_id, origin, ports = new_id(), origins("real"), [free_port() for _ in range(100)]
    body = document(*[listener(port, pool([member(origin.port, "real")] + [
        member(9, f"m{m}", address=f"127.{p + 1}.0.{m}", weight=0) for m in range(1, 100)], name=f"pool-{p}"))
        for p, port in enumerate(ports)])
    reply, created = timed(agent.put, lb_id, body)
    assert reply.expect(201).headers["Amphorad-Apply"] == "start"
    assert {server_of(port) for port in ports[::9]} == {"real"}
    assert agent.rendered(lb_id).count("\n    server ") == 10000
    check, bare = timed(lambda: subprocess.run([HAPROXY, "-c", "-f", str(agent.config_file(lb_id))],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, cwd=agent.config_file(lb_id).parent))
    assert check.returncode == 0, check.stderr[-2000:]
    dry, dried = timed(agent.put, lb_id, body, "?dry_run=true")
    assert dry.expect(200)
    members_of = [each["default_pool"]["members"] for each in body["loadbalancer"]["listeners"]]
    took, pid = {}, agent.haproxy_pid(lb_id)

    def change(what, action="runtime"):
        reply, took[what] = timed(agent.put, lb_id, body)
        assert reply.expect(200).headers["Amphorad-Apply"] == action, (what, reply.text[-2000:])

    change("nothing", "none")
    members_of[50][7]["weight"] = 3
    change("a weight")
    members_of[60].append(member(9, "new", address="127.61.0.200", weight=0))
    change("one more")
    del members_of[70][9]
    change("one less")
    members_of[80][0].update(protocol_port=origins("moved").port)
    change("another port")
    assert server_of(ports[80]) == "moved"
    assert agent.haproxy_pid(lb_id) == pid
    body["loadbalancer"]["listeners"][0]["timeout_client_data"] = 44444
    change("a timeout", "reload")
    tree, status = timed(agent.status, lb_id)
    assert sum(len(each["pools"][0]["members"]) for each in tree["listeners"]) == 10000
    note(f"10000 members in 100 pools: created in {created:.0f} ms, dry run {dried:.0f} ms, changed: " +
        ", ".join(f"{what} {ms:.0f} ms" for what, ms in took.items()) +
        f"; status {status:.0f} ms; haproxy -c alone {bare:.0f} ms")
    # Every change is checked by HAProxy, which reads the whole file; the agent's own part is of the same order.
    del took["a timeout"]
    assert max(took.values()) < (8 * bare + 1000) * TIME_FACTOR, took


@pytest.mark.limit(300)
def test_many_with_a_monitor(agent, origins):
    """All but one are dead, and the tree says so."""
    lb_id, port, origin = new_id(), free_port(), origins("real")
    many = [dict(m, weight=1) for m in members(origin, 200)]
    agent.apply(lb_id, document(listener(port, pool(many, healthmonitor=monitor("TCP")))))

    def settled():
        pool_ = agent.status(lb_id)["listeners"][0]["pools"][0]
        states = [m["operating_status"] for m in pool_["members"]]
        return states.count("ERROR") == 199 and states.count("ONLINE") == 1 and pool_["operating_status"] == "DEGRADED"
    wait_for(settled, 30, "199 members in ERROR, one ONLINE")
    assert server_of(port) == "real"


@pytest.mark.parametrize("what, count", [("listeners", 1001), ("members", 10001)])
def test_more_than_the_limits(agent, what, count):
    if what == "listeners":
        body = document(*[listener(10000 + n, name=f"l{n}") for n in range(count)])
    else:
        body = document(listener(10000, pool([member(80, f"m{n}", address=f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")
            for n in range(count)])))
    lb_id = new_id()
    reply = agent.put(lb_id, body).expect(400, 413)
    assert reply.fault.startswith("/loadbalancer/listeners"), reply.fault
    agent.get(f"{LBS}/{lb_id}/definition").expect(404)


def test_many_listeners(agent, origins):
    lb_id, origin = new_id(), origins("real")
    ports = [free_port() for _ in range(100)]
    shared = new_id()
    body = document(*[dict(listener(port), default_pool_id=shared) for port in ports],
        pools=[dict(pool([member(origin.port)]), id=shared)])
    agent.apply(lb_id, body)
    assert {server_of(port) for port in ports} == {"real"}
