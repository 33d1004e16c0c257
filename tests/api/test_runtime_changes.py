# SPDX-License-Identifier: Apache-2.0
"""Changes that reach HAProxy while it runs: through both doors, in bursts, beside somebody else, and over crashes. The seed is
printed and may be given: AMPHORAD_CRASH_SEED=…"""

import http.client
import os
import random
import socket
import threading
import time

import pytest

from amphora import LBS, document, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import Load, Session, server_of
from processes import free_port, parent_of, wait_for

SEED = int(os.environ.get("AMPHORAD_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("AMPHORAD_CRASH_ROUNDS", "25"))


def workers(agent, lb_id):
    master = agent.haproxy_pid(lb_id)
    return [pid for pid in agent.haproxy_processes() if parent_of(pid) == master]


def runtime(agent, lb_id, command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(agent.run / f"{lb_id}.sock"))
        connection.sendall(command.encode() + b"\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


def servers_of_backends(agent, lb_id):
    """What HAProxy has: backend -> name of a server -> (address, port, weight, in maintenance)."""
    rows = [line.split() for line in runtime(agent, lb_id, "show servers state").splitlines()]
    names = next(row for row in rows if row[:1] == ["#"])[1:]
    found = {}
    for row in rows:
        if len(row) == len(names):
            value = dict(zip(names, row))
            # Forced by the administrator, 0x01, or by the configuration, 0x04 (HAProxy's server-t.h).
            found.setdefault(value["be_name"], {})[value["srv_name"]] = (value["srv_addr"], int(value["srv_port"]),
                int(value["srv_uweight"]), bool(int(value["srv_admin_state"]) & 0x05))
    return found


def servers(agent, lb_id):
    """The same of all backends together: name -> (address, port, weight, in maintenance)."""
    return {name: value for found in servers_of_backends(agent, lb_id).values() for name, value in found.items()}


def wanted(definition):
    return {m["id"]: (m["address"], m["protocol_port"], m["weight"], not m["admin_state_up"])
        for p in definition["pools"] for m in p["members"]}


class Balanced:
    """A load balancer with one pool whose members come and go."""

    def __init__(self, agent, servers_, protocol="HTTP"):
        self.agent, self.servers, self.protocol = agent, servers_, protocol
        self.lb_id, self.port = new_id(), free_port()
        self.members = [self.member(server) for server in servers_[:2]]
        self.apply()
        self.before = workers(agent, self.lb_id)
        assert len(self.before) == 1

    @staticmethod
    def member(server, **more):
        return member(server.port, server.name, id=new_id(), **more)

    def document(self, **more):
        return document(listener(self.port, pool(self.members, protocol=self.protocol, **more), name="one",
            protocol=self.protocol))

    def apply(self, **more):
        reply = self.agent.put(self.lb_id, self.document(**more)).expect(200, 201)
        return reply.headers["Amphorad-Apply"]

    def untouched(self):
        assert workers(self.agent, self.lb_id) == self.before


@pytest.fixture
def balanced(agent, origins):
    return Balanced(agent, [origins(name) for name in "abcdef"])


def test_members_change_and_nobody_notices(balanced, note):
    chance = random.Random(SEED)
    print(f"seed {SEED}")

    def free():
        used = {m["protocol_port"] for m in balanced.members}
        return [server for server in balanced.servers if server.port not in used]
    with Load(balanced.port) as load:
        for number in range(40):
            verb = chance.choice(["add", "remove", "weight", "drain", "address", "disable"])
            if verb == "add" and free():
                balanced.members.append(balanced.member(chance.choice(free()), weight=chance.randint(1, 9)))
            elif verb == "remove" and len(balanced.members) > 2:
                balanced.members.pop(2)
            elif verb == "address" and len(balanced.members) > 2 and free():
                balanced.members[-1]["protocol_port"] = chance.choice(free()).port
            elif verb == "drain" and len(balanced.members) > 2:
                balanced.members[-1]["weight"] = 0
            elif verb == "disable" and len(balanced.members) > 2:
                balanced.members[-1]["admin_state_up"] = not balanced.members[-1].get("admin_state_up", True)
            else:
                balanced.members[0]["weight"] = number % 8 + 2
            action = balanced.apply()
            assert action in ("runtime", "none"), (verb, action)
            load.wait_more(2)
        definition = balanced.agent.definition(balanced.lb_id)
        has = servers(balanced.agent, balanced.lb_id)
        for name, value in wanted(definition).items():
            assert has.pop(name) == value, name
        assert all(maintenance for _, _, _, maintenance in has.values()), has
    assert load.failures == []
    note(f"seed {SEED}: 40 changes, {len(load.succeeded)} requests, 0 failed")
    balanced.untouched()
    # The status shows members, not what waits in HAProxy.
    shown = balanced.agent.status(balanced.lb_id)["listeners"][0]["pools"][0]["members"]
    assert {m["id"] for m in shown} == set(wanted(definition))


def test_checks_decide_about_new_members(agent, origins):
    """A member that is added at run time is checked as one of a reload is: it leaves with its first failed check."""
    well, ill = origins("well"), origins("ill")
    ill.health_status = 503
    balanced, checks = Balanced(agent, [well, ill]), {"healthmonitor": monitor("HTTP", url_path="/health")}
    balanced.members = balanced.members[:1]
    balanced.apply(**checks)
    balanced.before = workers(agent, balanced.lb_id)
    balanced.members.append(balanced.member(ill))
    assert balanced.apply(**checks) == "runtime"
    wait_for(lambda: agent.status(balanced.lb_id)["listeners"][0]["pools"][0]["operating_status"] == "DEGRADED", 20,
        "the status tells of the failed check")
    assert {server_of(balanced.port) for _ in range(20)} == {"well"}
    ill.health_status = 200
    wait_for(lambda: server_of(balanced.port) == "ill", 20, "it is well now")
    balanced.untouched()


def test_somebody_else_changes_haproxy(balanced):
    """A server is deleted behind the agent's back: the next change reads back, reloads and says why."""
    agent, lb_id = balanced.agent, balanced.lb_id
    victim = next(m["id"] for m in balanced.members)
    backend = next(line.split()[1] for line in agent.rendered(lb_id).splitlines() if line.startswith("backend "))
    runtime(agent, lb_id, f"set server {backend}/{victim} state maint")
    assert "deleted" in runtime(agent, lb_id, f"del server {backend}/{victim}")
    balanced.members[1]["weight"] = 5
    with Load(balanced.port) as load:
        reply = agent.put(lb_id, balanced.document()).expect(200)
        load.wait_more(5)
    assert reply.headers["Amphorad-Apply"] == "reload"
    assert victim in reply.json["apply"]["reasons"][0], reply.json["apply"]
    assert load.failures == []
    assert servers(agent, lb_id) == wanted(agent.definition(lb_id))
    balanced.before = workers(agent, lb_id)[:1]
    balanced.members[1]["weight"] = 6
    assert balanced.apply() == "runtime"


def test_servers_leave_when_their_connections_end(agent, origins):
    balanced = Balanced(agent, [origins(name, kind=TcpOrigin) for name in "abc"], protocol="TCP")
    sessions = [Session(balanced.port) for _ in range(4)]
    assert {session.server for session in sessions} == {"a", "b"}
    gone = balanced.members.pop(0)
    assert balanced.apply() == "runtime"
    for session in sessions:
        session.echo("still here")
    assert {Session(balanced.port).server for _ in range(4)} == {"b"}
    assert gone["id"] in servers(agent, balanced.lb_id)
    tree = agent.get(f"{LBS}/{balanced.lb_id}/status").json
    assert tree["haproxy"]["leaving_servers"] == 1 and tree["haproxy"]["old_workers"] == 0
    assert gone["id"] not in str(tree["statuses"])
    # Known to the next agent, too.
    agent.kill()
    agent.start()
    assert agent.get(f"{LBS}/{balanced.lb_id}/status").json["haproxy"]["leaving_servers"] == 1
    for session in sessions:
        session.echo("and here")
        session.close()
    wait_for(lambda: gone["id"] not in servers(agent, balanced.lb_id), 40, "the server is deleted")
    wait_for(lambda: agent.get(f"{LBS}/{balanced.lb_id}/status").json["haproxy"]["leaving_servers"] == 0, 10, "none left")
    balanced.untouched()


def test_a_name_that_comes_back(agent, origins):
    """Removed, still with connections, and added again."""
    balanced = Balanced(agent, [origins(name, kind=TcpOrigin) for name in "ab"], protocol="TCP")
    sessions = [Session(balanced.port) for _ in range(4)]
    gone = balanced.members.pop(0)
    assert balanced.apply() == "runtime"
    balanced.members.append(gone)
    assert balanced.apply() == "runtime"
    wait_for(lambda: Session(balanced.port).server == "a", 10, "it serves again")
    for session in sessions:
        session.echo("still here")
    assert servers(agent, balanced.lb_id) == wanted(agent.definition(balanced.lb_id))
    balanced.untouched()


def test_burst(balanced, note):
    """50 definitions at once: each is answered for itself, the last one counts, and they take fewer steps than 50."""
    replies, agent = [], balanced.agent
    documents = []
    for number in range(50):
        balanced.members = [dict(m, weight=number + 2) for m in balanced.members]
        documents.append(balanced.document())
    began = time.monotonic()
    threads = [threading.Thread(target=lambda d=d: replies.append((d, agent.put(balanced.lb_id, d)))) for d in documents]
    with Load(balanced.port) as load:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    took = time.monotonic() - began
    assert load.failures == []
    assert len(replies) == 50
    revisions = {}
    for sent, reply in replies:
        reply.expect(200)
        weight = sent["loadbalancer"]["listeners"][0]["default_pool"]["members"][0]["weight"]
        got = reply.json["loadbalancer"]["pools"][0]["members"][0]["weight"]
        assert got == weight
        revisions[reply.json["revision"]] = weight
    assert sorted(revisions) == list(range(2, 52))
    final = agent.definition(balanced.lb_id)
    assert final["pools"][0]["members"][0]["weight"] == revisions[51]
    assert servers(agent, balanced.lb_id) == wanted(final)
    steps = agent.log.count("steps were made and read back")
    note(f"50 changes at once in {steps} steps, {took:.2f} s")
    assert steps < 50
    balanced.untouched()


def test_burst_with_bad_changes(balanced):
    """What is wrong with one is no other's failure."""
    agent, replies = balanced.agent, {}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bad = balanced.document()
        bad["loadbalancer"]["listeners"].append(listener(taken.getsockname()[1], name="taken"))

        def send(number):
            sent = bad if number % 4 == 1 else balanced.document()
            replies[number] = agent.put(balanced.lb_id, sent)
        threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, reply in replies.items():
        if number % 4 == 1:
            assert "Address already in use" in reply.expect(500).fault
        else:
            reply.expect(200)
    assert len(agent.definition(balanced.lb_id)["listeners"]) == 1
    assert server_of(balanced.port)


@pytest.mark.limit(400)
def test_crashes_among_changes(agent, origins, note):
    """kill -9 at random instants: HAProxy then runs what is stored, whatever had been told to it."""
    print(f"seed {SEED}, {ROUNDS} rounds")
    chance = random.Random(SEED)
    balanced = Balanced(agent, [origins(name) for name in "abcd"])
    lb_id, counts = balanced.lb_id, {"old": 0, "new": 0}
    began = time.monotonic()
    balanced.members[0]["weight"] = 2
    assert balanced.apply() == "runtime"
    usual_s = time.monotonic() - began
    for number in range(ROUNDS):
        before = list(balanced.members)
        balanced.members = [balanced.member(server, weight=number + 2) for server in chance.sample(balanced.servers, 3)]
        body, answers = balanced.document(), []

        def send(body=body, answers=answers):
            try:
                answers.append(agent.put(lb_id, body).status)
            except (OSError, http.client.HTTPException):
                pass
        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(chance.uniform(0, 4 * usual_s))
        agent.kill()
        sender.join()
        agent.start()
        stored = agent.definition(lb_id)
        names = {m["id"] for m in stored["pools"][0]["members"]}
        where = f"seed {SEED}, round {number}, answers {answers}"
        assert names in ({m["id"] for m in before}, {m["id"] for m in balanced.members}), where
        new = names == {m["id"] for m in balanced.members}
        assert new or not answers, where
        counts["new" if new else "old"] += 1
        has = servers(agent, lb_id)
        for name, value in wanted(stored).items():
            assert has.pop(name) == value, where
        assert all(maintenance for *_, maintenance in has.values()), (where, has)
        assert agent.config_file(lb_id).read_text() == agent.rendered(lb_id), where
        assert server_of(balanced.port), where
        if not new:
            balanced.members = before
    note(f"seed {SEED}, {ROUNDS} rounds: {counts}")


def test_old_workers_are_told_and_bounded(make_agent, origins):
    agent = make_agent(amphorad="max_old_workers = 2\nruntime_updates = false").start()
    balanced = Balanced(agent, [origins(name, kind=TcpOrigin) for name in "ab"], protocol="TCP")
    sessions = []
    for weight in range(2, 7):
        sessions.append(Session(balanced.port))
        balanced.members[0]["weight"] = weight
        assert balanced.apply() == "reload"

    def figures():
        found = agent.get(f"{LBS}/{balanced.lb_id}/status").expect(200).json["haproxy"]
        assert found["old_workers"] == len([w for w in found["workers"] if w["old"]])
        return found if found["old_workers"] == 2 else None
    found = wait_for(figures, 30, "two old workers")
    assert all(w["memory_bytes"] > 1 << 20 and w["uptime_s"] >= 0 for w in found["workers"])
    # The newest connections go on.
    for session in sessions[-2:]:
        session.echo("still here")


@pytest.mark.limit(240)
def test_one_old_worker_outlives_many_reloads(make_agent, origins):
    """It is the number of old workers that is bounded, not the reloads that one of them lives through."""
    agent = make_agent(amphorad="max_old_workers = 2\nruntime_updates = false").start()
    balanced = Balanced(agent, [origins(name, kind=TcpOrigin) for name in "ab"], protocol="TCP")
    session = Session(balanced.port)
    for weight in range(2, 8):
        balanced.members[0]["weight"] = weight
        assert balanced.apply() == "reload"
        session.echo(f"after weight {weight}")
    assert set(balanced.before) <= set(workers(agent, balanced.lb_id))


CONFIGURATION = """\
global
    daemon
    stats socket {state}/{lb}.sock mode 0666 level user
    server-state-file {state}/{lb}/servers-state
    maxconn 200

defaults
    log global
    retries 3
    option redispatch

frontend {lb}
    maxconn 100
    bind 127.0.0.1:{port}
    mode http
    default_backend pool:{lb}
    timeout client 50000

backend pool:{lb}
    mode http
    balance roundrobin
    timeout connect 5000
    timeout server 50000
"""


class Uploaded:
    def __init__(self, agent):
        self.agent, self.lb_id, self.port = agent, new_id(), free_port()

    def upload(self, servers_):
        text = CONFIGURATION.format(state=self.agent.state, lb=self.lb_id, port=self.port)
        text += "".join(f"    server {name} 127.0.0.1:{port} weight {weight}\n" for name, port, weight in servers_)
        self.agent.request("PUT", f"/1.0/loadbalancer/{self.agent.amphora_id}/{self.lb_id}/haproxy", text,
            headers={"Content-Type": "text/plain"}).expect(202)

    def reload(self):
        return self.agent.request("PUT", f"/1.0/loadbalancer/{self.lb_id}/reload").expect(202)


def test_uploads_are_applied_at_run_time(agent, origins):
    uploaded, a, b = Uploaded(agent), origins("a"), origins("b")
    uploaded.upload([("s1", a.port, 1)])
    assert uploaded.reload().headers["Amphorad-Apply"] == "start"
    before = workers(agent, uploaded.lb_id)
    with Load(uploaded.port) as load:
        for number in range(10):
            uploaded.upload([("s1", a.port, 1 + number), ("s2", b.port, 3)] if number % 2 else [("s1", a.port, 5)])
            reply = uploaded.reload()
            assert reply.json == {"message": "OK", "details": f"Listener {uploaded.lb_id} reloaded"}
            assert reply.headers["Amphorad-Apply"] == "runtime"
            load.wait_more(3)
        assert uploaded.reload().headers["Amphorad-Apply"] == "none"
    assert load.failures == []
    assert load.servers.keys() == {"a", "b"}
    assert workers(agent, uploaded.lb_id) == before
    # And over a restart of the agent.
    agent.kill()
    agent.start()
    uploaded.upload([("s2", b.port, 3)])
    assert uploaded.reload().headers["Amphorad-Apply"] == "runtime"
    assert {server_of(uploaded.port) for _ in range(5)} == {"b"}
    assert workers(agent, uploaded.lb_id) == before


@pytest.mark.limit(300)
def test_crashes_among_uploads(agent, origins):
    """kill -9 around upload and reload: after another reload HAProxy has what was uploaded."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    uploaded, ports = Uploaded(agent), [origins(name).port for name in "abc"]
    uploaded.upload([("s1", ports[0], 1)])
    uploaded.reload()
    for number in range(10):
        rows = [(f"s{n}", port, number + 2) for n, port in enumerate(chance.sample(ports, 2))]
        uploaded.upload(rows)

        def reload():
            try:
                uploaded.reload()
            except (OSError, http.client.HTTPException):
                pass
        sender = threading.Thread(target=reload)
        sender.start()
        time.sleep(chance.uniform(0, 0.05))
        agent.kill()
        sender.join()
        agent.start()
        uploaded.reload()
        has = servers(agent, uploaded.lb_id)
        for name, port, weight in rows:
            assert has.pop(name) == ("127.0.0.1", port, weight, False), (SEED, number)
        assert all(maintenance for *_, maintenance in has.values()), (SEED, number, has)
        assert server_of(uploaded.port)
