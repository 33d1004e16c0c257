# SPDX-License-Identifier: Apache-2.0
"""Definitions in, a load balancer that does what they say out."""

import re
import socket
import subprocess
import threading
import time
import uuid

import pytest

from amphora import HAPROXY, LBS, document, find_program, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import Session, answer, fetch, server_of
from processes import free_port, stopped, wait_for


@pytest.fixture
def web(origins):
    """A definition of one HTTP listener with members a and b."""
    class Web:
        pass
    w = Web()
    w.a, w.b, w.port, w.id = origins("a"), origins("b"), free_port(), new_id()
    w.members = [member(w.a.port, "a"), member(w.b.port, "b")]
    w.document = lambda **more: document(listener(w.port, pool(w.members), name="web", **more))
    return w


def counts(port, requests, **kwargs):
    found = {}
    for _ in range(requests):
        name = server_of(port, **kwargs)
        found[name] = found.get(name, 0) + 1
    return found


def path(lb_id, rest="/definition"):
    return f"{LBS}/{lb_id}{rest}"


# The door


def test_create_and_read_back(agent, web):
    reply = agent.put(web.id, web.document()).expect(201)
    assert reply.headers["Amphorad-Apply"] == "start"
    assert reply.headers["Content-Type"].split(";")[0] == "application/json"
    assert reply.headers["x-openstack-request-id"].startswith("req-")
    assert reply.json["apply"]["action"] == "start"
    assert reply.json["apply"]["duration_ms"] >= 0 and reply.json["apply"]["reasons"]
    assert reply.headers["ETag"] == f'"{reply.json["revision"]}"'
    created = reply.json["loadbalancer"]
    assert created["id"] == web.id and uuid.UUID(created["listeners"][0]["id"])
    got = agent.get(path(web.id)).expect(200)
    assert got.json["loadbalancer"] == created
    assert got.headers["ETag"] == reply.headers["ETag"]
    assert counts(web.port, 10) == {"a": 5, "b": 5}
    # What is read back is a definition: it changes nothing.
    again = agent.put(web.id, {"loadbalancer": created}).expect(200)
    assert again.headers["Amphorad-Apply"] == "none"
    assert again.json["loadbalancer"] == created


def test_same_document_same_objects(agent, make_agent, web):
    first = agent.apply(web.id, web.document())["loadbalancer"]
    again = agent.put(web.id, web.document()).expect(200)
    assert again.headers["Amphorad-Apply"] == "none"
    assert again.headers["ETag"] == agent.get(path(web.id)).headers["ETag"]
    assert again.json["loadbalancer"] == first
    other = make_agent().start()
    reply = other.put(web.id, web.document(), "?dry_run=true").expect(200)
    assert reply.json["loadbalancer"]["listeners"] == first["listeners"]


def test_alias_v2_0_and_slashes(agent, web):
    agent.request("PUT", f"/v2.0/lbaas/loadbalancers/{web.id}/definition", web.document()).expect(201)
    assert agent.get(f"/v2.0/lbaas/loadbalancers/{web.id}").json == agent.get(path(web.id, "/")).json


def test_etag_and_if_match(agent, web):
    first = agent.put(web.id, web.document()).headers["ETag"]
    changed = agent.put(web.id, web.document(connection_limit=10), headers={"If-Match": first}).expect(200)
    assert changed.headers["ETag"] != first
    disk = agent.bytes_on_disk()
    assert agent.put(web.id, web.document(connection_limit=20), headers={"If-Match": first}).expect(412).fault
    assert agent.request("DELETE", path(web.id), headers={"If-Match": first}).status == 412
    assert agent.bytes_on_disk() == disk
    assert agent.definition(web.id)["listeners"][0]["connection_limit"] == 10
    agent.put(web.id, web.document(), headers={"If-Match": changed.headers["ETag"]}).expect(200)
    agent.put(web.id, web.document(connection_limit=5), headers={"If-Match": "*"}).expect(200)


def test_if_match_of_what_is_not_there(agent, web):
    agent.put(web.id, web.document(), headers={"If-Match": '"1"'}).expect(412)
    agent.get(path(web.id)).expect(404)


def test_revision_survives_restart(agent, web):
    agent.apply(web.id, web.document())
    etag = agent.put(web.id, web.document(connection_limit=10)).headers["ETag"]
    before = agent.definition(web.id)
    assert agent.stop() == 0
    agent.start()
    got = agent.get(path(web.id))
    assert (got.headers["ETag"], got.json["loadbalancer"]) == (etag, before)
    agent.put(web.id, web.document(connection_limit=11), headers={"If-Match": etag}).expect(200)


def test_dry_run_changes_nothing(agent, web):
    reply = agent.put(web.id, web.document(), "?dry_run=true").expect(200)
    dry = reply.json["dry_run"]
    assert dry["action"] == "start" and dry["reasons"]
    assert f"bind 127.0.0.1:{web.port}" in dry["haproxy_cfg"]
    assert isinstance(dry["commands"], list) and "haproxy_verdict" in dry
    agent.get(path(web.id)).expect(404)
    assert agent.haproxy_processes() == []
    agent.apply(web.id, web.document())
    disk, processes = agent.bytes_on_disk(), sorted(agent.haproxy_processes())
    dry = agent.put(web.id, web.document(connection_limit=9), "?dry_run=true").expect(200).json["dry_run"]
    assert dry["action"] == "runtime" and "maxconn 9" in dry["haproxy_cfg"]
    assert any("maxconn" in command for command in dry["commands"])
    dry = agent.put(web.id, web.document(timeout_client_data=7777), "?dry_run=true").expect(200).json["dry_run"]
    assert dry["action"] == "reload" and dry["reasons"] and dry["commands"] == []
    dry = agent.put(web.id, web.document(), "?dry_run=true").expect(200).json["dry_run"]
    assert dry["action"] == "none" and dry["haproxy_cfg"] == agent.rendered(web.id)
    assert (agent.bytes_on_disk(), sorted(agent.haproxy_processes())) == (disk, processes)
    agent.put(web.id, web.document(), "?dry_run=true", headers={"If-Match": '"77"'}).expect(412)


def test_dry_run_says_what_apply_does(agent, web):
    dry = agent.put(web.id, web.document(), "?dry_run=true").json["dry_run"]
    agent.apply(web.id, web.document())
    assert agent.rendered(web.id) == dry["haproxy_cfg"] == agent.config_file(web.id).read_text()


def test_list_and_show(agent, web):
    other = new_id()
    agent.apply(web.id, dict(web.document(), loadbalancer=dict(web.document()["loadbalancer"], name="one")))
    agent.apply(other, document(name="two"))
    listed = agent.get(LBS).expect(200).json["loadbalancers"]
    assert {lb["id"]: lb["name"] for lb in listed} == {web.id: "one", other: "two"}
    shown = agent.get(path(web.id, "")).expect(200).json["loadbalancer"]
    assert shown in listed
    assert shown["provisioning_status"] == "ACTIVE" and shown["operating_status"] == "ONLINE"
    definition = agent.definition(web.id)
    assert shown["listeners"] == [{"id": definition["listeners"][0]["id"]}]
    assert len(shown["pools"]) == 1 and shown["vip_address"] == "127.0.0.1"


def test_delete(agent, web):
    agent.apply(web.id, web.document())
    pid = agent.haproxy_pid(web.id)
    reply = agent.request("DELETE", path(web.id)).expect(204)
    assert reply.body == b""
    assert pid and agent.haproxy_processes() == []
    for rest in ("", "/definition", "/status", "/stats", "/haproxy.cfg"):
        agent.get(path(web.id, rest)).expect(404)
    assert agent.get(LBS).json["loadbalancers"] == []
    assert not any(web.id in name for name in agent.bytes_on_disk())
    with pytest.raises(OSError):
        fetch(web.port)
    agent.request("DELETE", path(web.id)).expect(404)
    agent.put(web.id, web.document()).expect(201)
    assert server_of(web.port) in ("a", "b")


def test_deleted_stays_deleted(agent, web):
    agent.apply(web.id, web.document())
    agent.request("DELETE", path(web.id)).expect(204)
    agent.stop()
    agent.start()
    agent.get(path(web.id)).expect(404)
    assert agent.haproxy_processes() == []


def test_without_listeners_nothing_needs_to_run(agent, web):
    agent.apply(web.id, document())
    assert agent.definition(web.id)["listeners"] == []
    agent.apply(web.id, web.document())
    assert server_of(web.port) in ("a", "b")
    agent.apply(web.id, document())
    with pytest.raises(OSError):
        fetch(web.port)


def test_several_load_balancers_are_independent(agent, origins):
    made = []
    for name in ("x", "y", "z"):
        lb_id, port = new_id(), free_port()
        agent.apply(lb_id, document(listener(port, pool([member(origins(name).port)]))))
        made.append((lb_id, port, name))
    pids = {lb_id: agent.haproxy_pid(lb_id) for lb_id, _, _ in made}
    assert len(set(pids.values())) == 3
    agent.request("DELETE", path(made[1][0])).expect(204)
    assert agent.haproxy_pid(made[0][0]) == pids[made[0][0]]
    assert (server_of(made[0][1]), server_of(made[2][1])) == ("x", "z")


def test_rendered_configuration(agent, web):
    """What is given out is what is on disk, in Octavia's names, and HAProxy accepts it."""
    lb = agent.apply(web.id, web.document())["loadbalancer"]
    text = agent.rendered(web.id)
    assert agent.config_file(web.id).read_text() == text
    listener_ = lb["listeners"][0]
    pool_ = listener_.get("default_pool") or lb["pools"][0]
    assert f"frontend {listener_['id']}\n" in text
    assert f"backend {pool_['id']}:{listener_['id']}\n" in text
    for one in pool_["members"]:
        assert re.search(rf"server {one['id']} 127\.0\.0\.1:{one['protocol_port']} id \d+ weight 1\b", text)
    reply = agent.get(path(web.id, "/haproxy.cfg"))
    assert reply.headers["Content-Type"].startswith("text/plain")
    subprocess.run([HAPROXY, "-c", "-q", "-f", str(agent.config_file(web.id))], check=True, timeout=30,
        stdin=subprocess.DEVNULL)


def test_numbers_and_booleans_as_strings(agent, web):
    """As Octavia's clients send them."""
    body = web.document(connection_limit="55", admin_state_up="true")
    body["loadbalancer"]["listeners"][0]["protocol_port"] = str(web.port)
    got = agent.apply(web.id, body)["loadbalancer"]["listeners"][0]
    assert (got["protocol_port"], got["connection_limit"], got["admin_state_up"]) == (web.port, 55, True)


def test_kept_and_echoed(agent, web):
    body = web.document()
    extra = {"vip_subnet_id": new_id(), "vip_network_id": new_id(), "vip_port_id": new_id(), "project_id": "p" * 32,
        "tags": ["blue", "grün"], "description": "of the shop"}
    body["loadbalancer"].update(extra)
    got = agent.apply(web.id, body)["loadbalancer"]
    assert {key: got[key] for key in extra} == extra
    assert agent.get(path(web.id, "")).json["loadbalancer"]["tags"] == extra["tags"]


def test_default_vip(agent, web):
    body = web.document()
    del body["loadbalancer"]["vip_address"]
    agent.apply(web.id, body)
    assert f"bind 127.0.0.1:{web.port}" in agent.rendered(web.id)


def test_pool_shared_by_listeners(agent, origins):
    lb_id, ports, shared = new_id(), [free_port(), free_port()], new_id()
    body = document(*[dict(listener(port), default_pool_id=shared) for port in ports],
        pools=[dict(pool([member(origins("a").port)]), id=shared)])
    agent.apply(lb_id, body)
    assert [server_of(port) for port in ports] == ["a", "a"]
    assert agent.definition(lb_id)["pools"][0]["id"] == shared


def test_concurrent_changes(agent, web):
    """Many clients at once: each change whole, the last revision the sum of all."""
    agent.apply(web.id, web.document())
    revision = agent.apply(web.id, web.document())["revision"]
    replies = []
    threads = [threading.Thread(target=lambda n=n: replies.append(
        agent.put(web.id, web.document(connection_limit=100 + n)))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.status for r in replies] == [200] * 8
    # Changes that waited for one another were made as one, and share its revision.
    revisions = sorted({r.json["revision"] for r in replies})
    assert revisions == list(range(revision + 1, revision + 1 + len(revisions)))
    assert agent.definition(web.id) in [r.json["loadbalancer"] for r in replies if r.json["revision"] == revisions[-1]]
    assert agent.rendered(web.id) == agent.config_file(web.id).read_text()
    assert server_of(web.port) in ("a", "b")


# What it does


def test_weights(agent, origins):
    port = free_port()
    agent.apply(new_id(), document(listener(port, pool([
        member(origins("heavy").port, weight=3), member(origins("light").port, weight=1),
        member(origins("none").port, weight=0)]))))
    assert counts(port, 40) == {"heavy": 30, "light": 10}


def test_backup_member(agent, origins):
    port, lb_id = free_port(), new_id()
    first, spare = origins("first"), origins("spare")
    agent.apply(lb_id, document(listener(port, pool([member(first.port), member(spare.port, backup=True)],
        healthmonitor=monitor("HTTP", url_path="/health")))))
    assert counts(port, 6) == {"first": 6}
    first.health_status = 500
    wait_for(lambda: server_of(port) == "spare", 10, "the backup serves")
    first.health_status = 200
    wait_for(lambda: server_of(port) == "first", 10, "the first is back")


def test_member_admin_state(agent, web):
    agent.apply(web.id, document(listener(web.port, pool([member(web.a.port, admin_state_up=False), web.members[1]]))))
    assert counts(web.port, 6) == {"b": 6}


def test_listener_admin_state(agent, web):
    agent.apply(web.id, web.document())
    agent.apply(web.id, web.document(admin_state_up=False))
    with pytest.raises(OSError):
        fetch(web.port)
    assert agent.definition(web.id)["listeners"][0]["admin_state_up"] is False
    assert agent.status(web.id)["listeners"][0]["operating_status"] == "OFFLINE"
    agent.apply(web.id, web.document())
    assert server_of(web.port) in ("a", "b")


def test_load_balancer_admin_state(agent, web):
    agent.apply(web.id, web.document())
    body = web.document()
    body["loadbalancer"]["admin_state_up"] = False
    agent.apply(web.id, body)
    with pytest.raises(OSError):
        fetch(web.port)
    assert agent.status(web.id)["operating_status"] == "OFFLINE"
    agent.apply(web.id, web.document())
    assert server_of(web.port) in ("a", "b")


def test_pool_admin_state(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members, admin_state_up=False))))
    assert fetch(web.port)[0] == 503


@pytest.mark.parametrize("algorithm", ["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"])
def test_algorithms(agent, web, algorithm):
    agent.apply(web.id, document(listener(web.port, pool(web.members, lb_algorithm=algorithm))))
    if algorithm == "SOURCE_IP":
        by_client = {f"127.0.1.{n}": set(counts(web.port, 4, source=f"127.0.1.{n}")) for n in range(1, 25)}
        assert all(len(servers) == 1 for servers in by_client.values())
        assert set.union(*by_client.values()) == {"a", "b"}
    else:
        assert set(counts(web.port, 40)) == {"a", "b"}


def test_persistence_source_ip(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members, session_persistence={"type": "SOURCE_IP"}))))
    clients = [f"127.0.2.{n}" for n in range(1, 9)]
    first = {client: server_of(web.port, source=client) for client in clients}
    assert set(first.values()) == {"a", "b"}
    for _ in range(3):
        assert {client: server_of(web.port, source=client) for client in clients} == first


def test_persistence_http_cookie(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members, session_persistence={"type": "HTTP_COOKIE"}))))
    _, headers, _ = fetch(web.port)
    cookie = headers["Set-Cookie"].split(";")[0]
    assert cookie.startswith("SRV=")
    sticky = server_of(web.port, headers={"Cookie": cookie})
    assert counts(web.port, 8, headers={"Cookie": cookie}) == {sticky: 8}
    assert set(counts(web.port, 8)) == {"a", "b"}


def test_persistence_app_cookie(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members,
        session_persistence={"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}))))
    for _ in range(2):
        status, headers, body = fetch(web.port, "/login")
        cookie = headers["Set-Cookie"].split(";")[0]
        name = cookie.rpartition("-")[2]
        assert status == 200 and f'"server": "{name}"' in body.decode()
        assert counts(web.port, 6, headers={"Cookie": cookie}) == {name: 6}


def test_connection_limit(agent, origins):
    port, lb_id, origin = free_port(), new_id(), origins("t", kind=TcpOrigin)
    web = pool([member(origin.port)], protocol="TCP")
    agent.apply(lb_id, document(listener(port, web, protocol="TCP", connection_limit=2)))
    sessions = [Session(port), Session(port)]
    with socket.create_connection(("127.0.0.1", port), 5) as third:
        third.settimeout(0.7)
        with pytest.raises(TimeoutError):
            third.recv(100)
        sessions.pop().close()
        third.settimeout(10)
        assert third.recv(100) == b"t\n"
    sessions.pop().close()


def test_insert_headers(agent, web):
    agent.apply(web.id, web.document(insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true",
        "X-Forwarded-Proto": "true"}))
    headers = answer(web.port, source="127.0.0.77")["headers"]
    assert headers["x-forwarded-for"] == ["127.0.0.77"]
    assert headers["x-forwarded-port"] == [str(web.port)]
    assert headers["x-forwarded-proto"] == ["http"]
    agent.apply(web.id, web.document(insert_headers={"X-Forwarded-For": "false"}))
    assert not {"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"} & set(answer(web.port)["headers"])


def test_allowed_cidrs(agent, web):
    agent.apply(web.id, web.document(allowed_cidrs=["127.0.0.4/30", "127.9.0.0/16"]))
    for allowed in ("127.0.0.4", "127.0.0.7", "127.9.255.1"):
        assert server_of(web.port, source=allowed) in ("a", "b")
    for refused in ("127.0.0.1", "127.0.0.8", "127.8.0.1"):
        with pytest.raises(Exception):
            assert fetch(web.port, source=refused)[0] == 200
    assert web.a.requests + web.b.requests == 3
    agent.apply(web.id, web.document())
    assert server_of(web.port, source="127.0.0.8") in ("a", "b")


def test_timeout_client_data(agent, origins):
    port, origin = free_port(), origins("t", kind=TcpOrigin)
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], protocol="TCP"), protocol="TCP",
        timeout_client_data=1000, timeout_member_data=20000)))
    session = Session(port)
    began = time.monotonic()
    session.socket.settimeout(15)
    assert session.socket.recv(10) == b""
    assert 0.7 < time.monotonic() - began < 10
    session.close()


def test_timeout_member_data(agent):
    """A member that takes a request and says nothing is given up after timeout_member_data: 504."""
    port, silent = free_port(), free_port()
    with socket.create_server(("127.0.0.1", silent)):
        agent.apply(new_id(), document(listener(port, pool([member(silent)]), timeout_member_data=1000)))
        began = time.monotonic()
        assert fetch(port, timeout=30)[0] == 504
        assert 0.7 < time.monotonic() - began < 10


def test_timeouts_are_rendered(agent, web):
    agent.apply(web.id, web.document(timeout_client_data=11111, timeout_member_connect=2222, timeout_member_data=33333))
    text = agent.rendered(web.id)
    for line in ("timeout client 11111", "timeout connect 2222", "timeout server 33333"):
        assert line in text


def statuses(agent, lb_id):
    """name -> operating_status of everything in the tree."""
    tree = agent.status(lb_id)
    found = {"lb": tree["operating_status"]}
    for listener_ in tree["listeners"]:
        found[listener_["name"]] = listener_["operating_status"]
        for pool_ in listener_["pools"]:
            found[pool_["name"]] = pool_["operating_status"]
            for member_ in pool_["members"]:
                found[member_["name"]] = member_["operating_status"]
    return found


def wait_statuses(agent, lb_id, wanted):
    def reached():
        now = statuses(agent, lb_id)
        assert wanted.items() <= now.items(), now
        return True
    wait_for(reached, 15, f"{wanted}")


def test_status_without_monitor(agent, web):
    agent.apply(web.id, web.document())
    wait_statuses(agent, web.id, {"lb": "ONLINE", "web": "ONLINE", "a": "NO_MONITOR", "b": "NO_MONITOR"})


def test_monitor_http_down_and_back(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members, name="pool",
        healthmonitor=monitor("HTTP", url_path="/health", expected_codes="200-204")), name="web")))
    up = {"lb": "ONLINE", "web": "ONLINE", "pool": "ONLINE", "a": "ONLINE", "b": "ONLINE"}
    wait_statuses(agent, web.id, up)
    web.a.health_status = 500
    wait_statuses(agent, web.id, {"lb": "DEGRADED", "web": "ONLINE", "pool": "DEGRADED", "a": "ERROR", "b": "ONLINE"})
    assert counts(web.port, 6) == {"b": 6}
    member_id = next(m["id"] for m in find_pool(agent.definition(web.id))["members"] if m["name"] == "a")
    wait_for(lambda: member_id in agent.log, 20, "the log names the member")
    web.b.health_status = 404
    wait_statuses(agent, web.id, {"lb": "ERROR", "pool": "ERROR", "a": "ERROR", "b": "ERROR"})
    assert fetch(web.port)[0] == 503
    web.a.health_status = web.b.health_status = 203
    wait_statuses(agent, web.id, up)
    assert counts(web.port, 6) == {"a": 3, "b": 3}


def find_pool(definition):
    listener_ = definition["listeners"][0]
    return listener_.get("default_pool") or definition["pools"][0]


def test_monitor_tcp_down_and_back(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members, name="pool", protocol="TCP",
        healthmonitor=monitor("TCP")), protocol="TCP")))
    wait_statuses(agent, web.id, {"lb": "ONLINE", "a": "ONLINE", "b": "ONLINE"})
    web.a.stop()
    wait_statuses(agent, web.id, {"lb": "DEGRADED", "a": "ERROR", "b": "ONLINE"})
    assert counts(web.port, 4) == {"b": 4}
    web.a.start()
    wait_statuses(agent, web.id, {"lb": "ONLINE", "a": "ONLINE"})


def test_monitor_ping(agent, web):
    ping = find_program("ping")

    def answers(address):
        return subprocess.run([ping, "-c", "1", "-W", "1", address], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    # 240.0.0.0/4 is reserved (RFC 1112): no packet leaves.
    if ping is None or not answers("127.0.0.1") or answers("240.0.0.1"):
        pytest.skip("no ping that works here")
    agent.apply(web.id, document(listener(web.port, pool([web.members[0], member(80, "far", address="240.0.0.1")],
        name="pool", healthmonitor=monitor("PING")))))
    wait_statuses(agent, web.id, {"lb": "DEGRADED", "pool": "DEGRADED", "a": "ONLINE", "far": "ERROR"})
    assert counts(web.port, 4) == {"a": 4}


def test_monitor_address_and_port(agent, web, origins):
    health = origins("health", address="127.0.0.3")
    agent.apply(web.id, document(listener(web.port, pool([member(web.a.port, "a", monitor_address="127.0.0.3",
        monitor_port=health.port)], healthmonitor=monitor("HTTP", url_path="/health")))))
    wait_statuses(agent, web.id, {"a": "ONLINE"})
    assert health.checks and not web.a.checks
    health.health_status = 500
    wait_statuses(agent, web.id, {"a": "ERROR"})


def test_disabled_monitor_checks_nothing(agent, web):
    agent.apply(web.id, document(listener(web.port, pool(web.members,
        healthmonitor=monitor("HTTP", url_path="/health", admin_state_up=False)))))
    web.a.stop()
    wait_statuses(agent, web.id, {"a": "NO_MONITOR", "b": "NO_MONITOR"})


def test_draining_and_disabled_members(agent, web):
    members = [dict(web.members[0], weight=0), dict(web.members[1], admin_state_up=False)]
    agent.apply(web.id, document(listener(web.port, pool(members, healthmonitor=monitor("TCP")))))
    wait_statuses(agent, web.id, {"a": "DRAINING", "b": "OFFLINE"})


def test_status_when_haproxy_is_stuck(agent, web):
    """A HAProxy that does not answer is no ONLINE load balancer, and no request hangs on it."""
    agent.apply(web.id, web.document())
    with stopped(agent.haproxy_processes()):
        began = time.monotonic()
        wait_for(lambda: agent.status(web.id)["operating_status"] != "ONLINE", 20, "not ONLINE")
        assert time.monotonic() - began < 15
        agent.get(path(web.id, "/stats")).expect(200)
    wait_for(lambda: agent.status(web.id)["operating_status"] == "ONLINE", 20, "ONLINE")


def test_stats(agent, web):
    agent.apply(web.id, web.document())
    for _ in range(5):
        server_of(web.port)
    stats = wait_for(lambda: agent.stats(web.id)["total_connections"] == 5 and agent.stats(web.id), 20, "5 connections")
    assert stats.keys() == {"active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections"}
    assert stats["bytes_in"] > 0 and stats["bytes_out"] > 0 and stats["request_errors"] == 0
    agent.apply(web.id, web.document(timeout_client_data=40404))
    assert agent.stats(web.id)["total_connections"] == 5
    with socket.create_connection(("127.0.0.1", web.port), 5) as client:
        client.sendall(b"this is no HTTP\r\n\r\n")
        assert b"400" in client.recv(1000)
    wait_for(lambda: agent.stats(web.id)["request_errors"] == 1, 20, "the bad request is counted")


def test_root_and_healthz(agent):
    versions = agent.get("/").expect(200).json["versions"]
    assert any(v["id"] == "v2.0" for v in versions)
    agent.get("/healthz").expect(200)
    head = agent.request("HEAD", LBS)
    assert (head.status, head.body) == (200, b"")


def test_loopback_http_door(make_agent, web):
    agent = make_agent()
    agent.add_http_door()
    agent.start()
    status, _, body = fetch(agent.http_port, LBS)
    assert (status, body.replace(b" ", b"").strip()) == (200, b'{"loadbalancers":[],"loadbalancers_links":[]}')


@pytest.mark.parametrize("address", ["http://0.0.0.0:{port}", "http://[::]:{port}", "http://192.0.2.1:{port}",
    "http://localhost.example.org:{port}", "ftp://127.0.0.1:{port}", "unix:relative", ""])
def test_doors_that_are_refused(make_agent, address):
    agent = make_agent()
    text = agent.config.read_text().replace(f"unix:{agent.socket_path}", address.format(port=free_port()))
    agent.config.write_text(text)
    done = subprocess.run(agent.command("--check-config"), capture_output=True, text=True, timeout=30, check=False,
        stdin=subprocess.DEVNULL, env=agent.environment())
    assert done.returncode != 0 and "listen" in done.stderr, done
