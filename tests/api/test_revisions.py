# SPDX-License-Identifier: Apache-2.0
"""What a definition was before, the way back, and what goes on at this moment."""

import threading

import pytest

from amphora import LBS, document, listener, member, new_id, pool
from backends import TcpOrigin
from clients import Session
from processes import free_port, stopped, wait_for


@pytest.fixture
def lb(agent, origins):
    """A TCP load balancer with two members, "a" and "b"."""
    class Lb:
        pass
    lb = Lb()
    lb.agent, lb.id, lb.port = agent, new_id(), free_port()
    lb.origins = [origins(name, kind=TcpOrigin) for name in "ab"]

    def apply(weight=1, members=2, **more):
        return agent.apply(lb.id, document(listener(lb.port, pool([member(o.port, o.name, weight=weight)
            for o in lb.origins[:members]], protocol="TCP"), protocol="TCP", **more)))
    lb.apply = apply
    lb.path = f"{LBS}/{lb.id}"
    lb.revisions = lambda: agent.get(f"{lb.path}/revisions").expect(200).json["revisions"]
    lb.rollback = lambda body=None, query="", **options: agent.request("POST", f"{lb.path}/rollback{query}", body,
        **options)
    lb.activity = lambda: agent.get(f"{lb.path}/activity").expect(200).json["activity"]
    return lb


def weights(definition):
    return [m["weight"] for m in definition["pools"][0]["members"]]


def test_back_to_what_was(lb):
    for weight in (1, 2, 3):
        lb.apply(weight)
    listed = lb.revisions()
    assert [(r["revision"], r["current"], r["members"]) for r in listed] == [(3, True, 2), (2, False, 2), (1, False, 2)]
    first = lb.agent.get(f"{lb.path}/revisions/1").expect(200).json
    assert first["revision"] == 1 and weights(first["loadbalancer"]) == [1, 1]
    assert first["updated_at"] == listed[2]["updated_at"]

    planned = lb.rollback({"revision": 1}, "?dry_run=true").expect(200).json
    assert planned["dry_run"]["action"] == "runtime" and len(lb.revisions()) == 3
    back = lb.rollback().expect(200)
    assert back.headers["Amphorad-Apply"] == "runtime" and back.headers["ETag"] == '"4"'
    assert weights(lb.agent.definition(lb.id)) == [2, 2]
    assert weights(lb.rollback({"revision": 1}).expect(200).json["loadbalancer"]) == [1, 1]
    assert [r["revision"] for r in lb.revisions()] == [5, 4, 3, 2, 1]


def test_what_is_refused(lb):
    assert lb.agent.get(f"{lb.path}/revisions").status == 404
    lb.apply()
    assert "first one" in lb.rollback().expect(409).fault
    lb.apply(2)
    for body in ({"revision": 0}, {"revision": "1"}, {"number": 1}, [], "no json"):
        lb.rollback(body).expect(400)
    lb.rollback({"revision": 7}).expect(404)
    lb.rollback({"revision": 1}, headers={"If-Match": '"1"'}).expect(412)
    for revision in ("0", "3", "x", "-1", "99999999999"):
        lb.agent.get(f"{lb.path}/revisions/{revision}").expect(404)
    assert lb.rollback({}, headers={"If-Match": '"2"'}).expect(200).json["revision"] == 3


def sessions_of(activity):
    return {m["id"]: m["active_connections"] for p in activity["pools"] for m in p["members"]}


def sessions(lb):
    return sessions_of(lb.activity())


def test_activity_counts_what_old_workers_serve(lb):
    lb.apply()
    ids = [m["id"] for m in lb.agent.definition(lb.id)["pools"][0]["members"]]
    held = [Session(lb.port) for _ in range(4)]
    wait_for(lambda: sessions(lb) == dict(zip(ids, (2, 2))), 20, "two sessions each")
    now = lb.activity()
    assert now["answered"] and now["listeners"][0]["active_connections"] == 4
    assert [m["status"] for m in now["pools"][0]["members"]] == ["no check"] * 2

    # The worker that has them is an old one after this.
    assert lb.apply(timeout_client_data=70000)["apply"]["action"] == "reload"
    held.append(Session(lb.port))
    wait_for(lambda: sum(sessions(lb).values()) == 5, 20, "five sessions of two workers")
    # One that is no member any more is told as long as it serves.
    lb.apply(members=1, timeout_client_data=70000)
    wait_for(lambda: {m["id"] for p in lb.activity()["pools"] for m in p["members"] if m["leaving"]} == {ids[1]}, 20,
        "b leaves")
    for session in held:
        session.close()
    wait_for(lambda: sessions(lb) == {ids[0]: 0}, 10, "no session any more")


def test_activity_of_a_haproxy_that_hangs(lb):
    assert lb.agent.get(f"{LBS}/{new_id()}/activity").status == 404
    lb.apply()
    with stopped(lb.agent.haproxy_processes()):
        assert lb.activity() == {"answered": False, "complete": False, "listeners": [], "pools": []}


def test_activity_during_reloads(lb):
    """The master of HAProxy does not answer while it reloads: nobody takes that for the end of the sessions of old
    workers."""
    lb.apply(members=1)
    held, done, wrong, looks = Session(lb.port), threading.Event(), [], []

    def look():
        while not done.is_set():
            now = lb.activity()
            looks.append(now["complete"])
            if now["complete"] and sum(sessions_of(now).values()) != 1:
                wrong.append(now)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(5):
            assert lb.apply(members=1, timeout_client_data=60000 + number)["apply"]["action"] == "reload"
    finally:
        done.set()
        watcher.join()
    assert wrong == [] and any(looks)
    held.echo("still there")
    held.close()
