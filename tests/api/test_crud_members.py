# SPDX-License-Identifier: Apache-2.0
"""Members many at once, traffic after a change, and what is left of everything after a restart."""

import json
import statistics
import subprocess
import time

import pytest

import amphora
from amphora import document, listener, member, new_id, pool
from clients import Load, server_of
from crud import ids, serving
from processes import free_port, wait_for


@pytest.fixture(scope="module")
def api():
    with serving() as served:
        served.lb = served.load_balancer()
        yield served


@pytest.fixture
def the_pool(api):
    made = api.pool(api.lb, name="batch")
    yield made
    api.delete(f"pools/{made['id']}")


def put_members(api, made, *members, query=""):
    return api.request("PUT", f"pools/{made['id']}/members{query}", {"members": list(members)})


def at(port, **more):
    return {"address": "127.0.0.1", "protocol_port": port, **more}


def by_port(api, made):
    return {each["protocol_port"]: each for each in api.list(f"pools/{made['id']}/members")}


def test_batch(api, the_pool):
    reply = put_members(api, the_pool, at(1, name="one", weight=5, tags=["t"]), at(2)).expect(202)
    assert reply.body == b""
    first = by_port(api, the_pool)
    assert (first[1]["name"], first[1]["weight"], first[2]["weight"]) == ("one", 5, 1)
    # One stays and loses what it does not say, as far as that has a default; one goes, one comes.
    put_members(api, the_pool, at(3, backup=True), at(1)).expect(202)
    second = by_port(api, the_pool)
    assert set(second) == {1, 3}
    assert second[1]["id"] == first[1]["id"]
    assert (second[1]["name"], second[1]["weight"], second[1]["tags"]) == ("one", 1, ["t"])
    assert second[1]["created_at"] == first[1]["created_at"] and second[1]["updated_at"]
    assert second[3]["backup"] is True and second[3]["updated_at"] is None
    # The order of those that stay is theirs, whatever that of the request.
    assert ids(api.show(f"pools/{the_pool['id']}")["members"]) == [second[1]["id"], second[3]["id"]]
    put_members(api, the_pool, at(4), at(3, weight=9), query="?additive_only=true").expect(202)
    third = by_port(api, the_pool)
    assert set(third) == {1, 3, 4} and third[3]["weight"] == 9 and third[3]["id"] == second[3]["id"]
    put_members(api, the_pool, query="?additive_only=True").expect(202)
    assert set(by_port(api, the_pool)) == {1, 3, 4}
    # A project may be named, as Octavia's clients do.
    put_members(api, the_pool, at(1, project_id="p", tenant_id="p")).expect(202)
    assert by_port(api, the_pool)[1]["project_id"] is None
    put_members(api, the_pool).expect(202)
    assert by_port(api, the_pool) == {}


def test_bad_batches_change_nothing(api, the_pool):
    put_members(api, the_pool, at(1), at(2)).expect(202)
    before = by_port(api, the_pool)

    def refused(status, message, *members):
        assert put_members(api, the_pool, *members).expect(status).fault == message
        assert by_port(api, the_pool) == before
    refused(400, "Validation failure: Member must be updated only once in the same request.", at(1), at(3), at(1))
    refused(409, "Another member on this pool is already using ip 127.0.0.1 on protocol_port 3", at(3), at(3))
    refused(400, "/members/1/weight: 257 is not between 0 and 256", at(1), at(2, weight=257))
    refused(400, "/members/1/address: is required", at(1), {"protocol_port": 3})
    refused(400, "/members/2/colour: unknown field of a member", at(1), at(2), at(3, colour="red"))
    # Found when the tree is judged as a whole, and told by the place in the request all the same.
    refused(400, "/members/1/address: 169.254.169.254 is not a valid option for member address", at(3),
        {"address": "169.254.169.254", "protocol_port": 1}, at(1))
    refused(409, "/members/2/id: this id is taken: /loadbalancer/pools/0/members/0/id", at(1), at(2),
        at(3, id=before[1]["id"]))
    for body, message in (({"members": {}}, "/members: must be an array of members"), ({}, "/members: is required"),
            ({"member": []}, "/member: unknown field of the document")):
        assert api.request("PUT", f"pools/{the_pool['id']}/members", body).expect(400).fault == message
    api.request("PUT", f"pools/{new_id()}/members", {"members": []}).expect(404)
    assert "additive_only" in put_members(api, the_pool, query="?additive_only=perhaps").expect(400).fault


def test_too_many(api, the_pool):
    most = [{"address": f"127.{1 + i // 60000}.{i // 250 % 250}.{1 + i % 250}", "protocol_port": 80} for i in range(10001)]
    assert "/members: has 10001 items" in put_members(api, the_pool, *most).expect(413).fault
    put_members(api, the_pool, *most[:10000]).expect(202)
    full = "Quota has been met for resources: Member"
    assert put_members(api, the_pool, at(1), query="?additive_only=true").expect(403).fault == full
    assert api.post(f"pools/{the_pool['id']}/members", **at(1)).expect(403).fault == full
    assert len(api.show(f"pools/{the_pool['id']}")["members"]) == 10000
    put_members(api, the_pool, *most[9998:]).expect(202)
    assert len(api.show(f"pools/{the_pool['id']}")["members"]) == 3


def test_traffic(api, origins):
    """From nothing to a served request, one object after the other, and then without a connection lost."""
    one, two = origins("one"), origins("two")
    port = free_port()
    front = api.listener(api.lb, port)
    back = api.pool(listener_id=front["id"])
    first = api.member(back, one.port)
    wait_for(lambda: server_of(port) == "one", 10, "the first member serves")
    monitor = api.monitor(back, delay=1, timeout=5, max_retries=1, max_retries_down=1, url_path="/health")
    path = f"pools/{back['id']}/members"
    wait_for(lambda: api.show(f"{path}/{first['id']}")["operating_status"] == "ONLINE", 20, "the member is ONLINE")
    with Load(port) as load:
        second = api.member(back, two.port)
        wait_for(lambda: load.servers.get("two"), 20, "the second member serves, too")
        changed = api.put(f"{path}/{first['id']}", weight=0).expect(200)
        assert changed.headers["Amphorad-Apply"] == "runtime"
        assert changed.json["member"]["operating_status"] == "DRAINING"
        described = api.put(f"pools/{back['id']}", description="with two").expect(200)
        assert (described.headers["Amphorad-Apply"], described.json["pool"]["operating_status"]) == ("none", "ONLINE")
        wait_for(lambda: {server_of(port) for _ in range(5)} == {"two"}, 10, "no more for the first member")
        wait_for(lambda: api.show(f"{path}/{first['id']}")["operating_status"] == "DRAINING", 10, "it is DRAINING")
        api.delete(f"{path}/{first['id']}")
        put_members(api, back, at(one.port), at(two.port)).expect(202)
        served = load.servers.get("one", 0)
        wait_for(lambda: load.servers.get("one", 0) > served, 20, "the first one serves again")
        assert by_port(api, back)[two.port]["id"] == second["id"]
    assert load.failures == []
    one.health_status = two.health_status = 500
    wait_for(lambda: api.show(f"pools/{back['id']}")["operating_status"] == "ERROR", 20, "the pool is in ERROR")
    assert api.show(f"loadbalancers/{api.lb['id']}")["operating_status"] == "ERROR"
    assert api.request("GET", f"listeners/{front['id']}/stats").expect(200).json["stats"]["total_connections"] > 10
    api.delete(f"healthmonitors/{monitor['id']}")
    wait_for(lambda: by_port(api, back)[two.port]["operating_status"] == "NO_MONITOR", 10, "nobody asks any more")
    assert server_of(port) in ("one", "two")
    api.delete(f"listeners/{front['id']}")
    with pytest.raises(OSError):
        server_of(port)
    api.delete(f"pools/{back['id']}")


def test_restart_keeps_everything(api):
    front = api.listener(api.lb, free_port(), name="kept")
    back = api.pool(listener_id=front["id"])
    api.monitor(back)
    made = api.member(back, 9)
    policy = api.policy(front)
    api.rule(policy)
    wait_for(lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) > made["created_at"], 20, "a second passes")
    api.update(f"pools/{back['id']}/members/{made['id']}", weight=3)
    paths = ["loadbalancers", "listeners", "pools", f"pools/{back['id']}/members", "healthmonitors", "l7policies",
        f"l7policies/{policy['id']}/rules"]

    def everything():
        return {path: [{k: v for k, v in each.items() if k != "operating_status"} for each in api.list(path)]
            for path in paths}
    before = everything()
    shown = before[f"pools/{back['id']}/members"][0]
    assert shown["created_at"] == made["created_at"] < shown["updated_at"]
    assert all(before.values())
    pid = api.agent.haproxy_pid(api.lb["id"])
    assert api.agent.stop() == 0
    api.agent.start()
    assert everything() == before
    assert api.agent.haproxy_pid(api.lb["id"]) == pid
    # A file of an amphorad that knew no times: they are those of the load balancer.
    assert api.agent.stop() == 0
    newest = max((api.agent.state / api.lb["id"] / "definition").glob("*.json"))
    stored = json.loads(newest.read_text())
    for each in stored["definition"]["loadbalancer"]["listeners"]:
        del each["created_at"]
        each.pop("updated_at", None)
    newest.write_text(json.dumps(stored))
    api.agent.start()
    assert api.show(f"listeners/{front['id']}")["created_at"] == stored["created_at"]
    # One that says nonsense is not used, the revision before it is.
    assert api.agent.stop() == 0
    stored["definition"]["loadbalancer"]["listeners"][0]["created_at"] = "yesterday, or so it seems"
    newest.write_text(json.dumps(stored))
    api.agent.start()
    assert api.show(f"pools/{back['id']}/members/{made['id']}")["weight"] == 1
    for path in (f"listeners/{front['id']}", f"pools/{back['id']}"):
        api.delete(path)


def test_one_among_ten_thousand(api, note):
    """A change of one member costs no more than one of the whole, which HAProxy reads again, too, to judge it."""
    lb_id, port = new_id(), free_port()
    members = [member(80, name=f"m{i}", address=f"127.{1 + i // 60000}.{i // 250 % 250}.{1 + i % 250}") for i in range(10000)]
    api.agent.apply(lb_id, document(listener(port, pool(members))))
    made, = [each for each in api.list("pools") if each["loadbalancers"] == [{"id": lb_id}]]
    path = f"pools/{made['id']}/members/{made['members'][5000]['id']}"

    def seconds(function):
        began = time.monotonic()
        function()
        return time.monotonic() - began
    config = api.agent.config_file(lb_id)
    ours, haproxy = [], []
    for weight in range(2, 7):
        ours.append(seconds(lambda: api.put(path, weight=weight).expect(200)))
        haproxy.append(seconds(lambda: subprocess.run([amphora.HAPROXY, "-c", "-f", config], cwd=config.parent,
            capture_output=True, check=False)))
    shown = seconds(lambda: api.show(path))
    note(f"10 000 members: PUT of one {statistics.median(ours) * 1000:.0f} ms, GET {shown * 1000:.1f} ms; haproxy -c of the "
        f"file {statistics.median(haproxy) * 1000:.0f} ms")
    assert api.show(path)["weight"] == 6
    api.delete(f"loadbalancers/{lb_id}?cascade=true")


def test_unreadable_definitions_can_be_deleted(make_agent):
    """What cannot be read is not there to be changed, and goes when it is told to."""
    agent = make_agent().start()
    lb_id = new_id()
    agent.apply(lb_id, document(listener(free_port())))
    assert agent.stop() == 0
    for path in (agent.state / lb_id / "definition").glob("*.json"):
        path.write_text("{")
    agent.start()
    path = f"{amphora.LBS}/{lb_id}"
    assert agent.request("PUT", path, {"loadbalancer": {"name": "x"}}).expect(404).fault == \
        f"Load Balancer {lb_id} not found."
    agent.request("DELETE", path).expect(404)
    agent.request("DELETE", f"{path}?cascade=true").expect(204)
    assert agent.haproxy_processes() == []
