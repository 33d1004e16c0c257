# SPDX-License-Identifier: Apache-2.0
"""kill -9 of amphorad at random instants while definitions are being sent. The seed is printed and may be given:
AMPHORAD_CRASH_SEED=…, AMPHORAD_CRASH_ROUNDS=…"""

import http.client
import os
import random
import socket
import threading
import time

import pytest

from amphora import LBS, document, listener, member, new_id, pool
from clients import server_of
from processes import free_port, wait_for

ROUNDS = int(os.environ.get("AMPHORAD_CRASH_ROUNDS", "40"))
SEED = int(os.environ.get("AMPHORAD_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))


@pytest.mark.limit(420)
def test_old_or_new_and_nothing_between(agent, origins, note):
    print(f"seed {SEED}, {ROUNDS} rounds")
    chance = random.Random(SEED)
    servers = [origins(name) for name in ("a", "b", "c")]
    lb_id, port = new_id(), free_port()
    path = f"{LBS}/{lb_id}/definition"

    def revision(number):
        """A definition and who answers when it runs: neighbours never share a server."""
        server = servers[number % len(servers)]
        return document(listener(port, pool([member(server.port, server.name)]), name=f"rev-{number}")), server.name

    def marker(definition):
        return definition["listeners"][0]["name"] if definition else None

    def stored():
        reply = agent.get(path).expect(200, 404)
        return reply.json["loadbalancer"] if reply.status == 200 else None

    began = time.monotonic()
    agent.apply(lb_id, revision(0)[0])
    usual_s = max(0.02, time.monotonic() - began)
    current = 0  # number of the revision that is stored, None: no definition
    outcomes = {"old": 0, "new": 0}
    for number in range(1, ROUNDS + 1):
        wanted = None if current is not None and chance.random() < 0.2 else number
        answers = []

        def send(wanted=wanted, answers=answers):
            try:
                if wanted is None:
                    answers.append(agent.request("DELETE", path).status)
                else:
                    answers.append(agent.put(lb_id, revision(wanted)[0]).status)
            except (OSError, http.client.HTTPException):
                pass
        sender = threading.Thread(target=send)
        delay_s = chance.uniform(0, 1.5 * usual_s)
        sender.start()
        time.sleep(delay_s)
        agent.kill()
        sender.join()
        where = f"seed {SEED}, round {number}: {current} -> {wanted}, killed after {delay_s * 1000:.1f} ms, " \
            f"answers {answers}"
        agent.start()
        now = stored()
        possible = {None if n is None else f"rev-{n}": n for n in (current, wanted)}
        assert marker(now) in possible, f"{where}: stored is {marker(now)}"
        got = possible[marker(now)]
        if answers:
            assert answers[0] in (200, 201, 204), f"{where}: refused"
            assert got == wanted, f"{where}: it was answered with success and is not stored"
        outcomes["new" if got == wanted else "old"] += 1
        current = got
        if current is None:
            wait_for(lambda: not agent.haproxy_processes(), 20, f"{where}: no HAProxy runs for what is deleted")
            agent.get(f"{LBS}/{lb_id}/haproxy.cfg").expect(404)
        else:
            server = revision(current)[1]
            wait_for(lambda: server_of(port, timeout=1) == server, 20, f"{where}: {server} answers")
            assert agent.config_file(lb_id).read_text() == agent.rendered(lb_id), where
            assert f":{servers[current % 3].port}" in agent.rendered(lb_id), where
            # And it is a whole definition: applying it again changes nothing.
            again = agent.put(lb_id, {"loadbalancer": now}).expect(200)
            assert again.headers["Amphorad-Apply"] == "none", f"{where}: {again}"
    note(f"seed {SEED}, {ROUNDS} rounds: {outcomes}")
    masters = [p for p in agent.haproxy_processes() if p == agent.haproxy_pid(lb_id)]
    assert len(masters) == (0 if current is None else 1)


def test_no_litter_after_a_crash(agent, origins):
    """Half-written files of a killed agent are gone after the next start."""
    port, lb_id, server = free_port(), new_id(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(server.port)]))))
    names = set(agent.bytes_on_disk())
    chance = random.Random(SEED)
    for number in range(8):
        sender = threading.Thread(target=lambda n=number: quietly(lambda: agent.put(lb_id, document(
            listener(port, pool([member(server.port)]), connection_limit=100 + n)))))
        sender.start()
        time.sleep(chance.uniform(0, 0.1))
        agent.kill()
        sender.join()
        agent.start()
    agent.apply(lb_id, document(listener(port, pool([member(server.port)]), connection_limit=7)))
    litter = [name for name in set(agent.bytes_on_disk()) - names if "tmp" in name or name.endswith(("~", ".new"))]
    assert litter == []


def quietly(action):
    try:
        action()
    except (OSError, http.client.HTTPException):
        pass


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage"])
def test_damaged_definition_does_not_stop_the_agent(agent, origins, damage):
    """What no crash of ours leaves, but a disk may: the agent starts, says so, and serves the others."""
    server, good_port, bad_port = origins("a"), free_port(), free_port()
    good, bad = new_id(), new_id()
    agent.apply(good, document(listener(good_port, pool([member(server.port)]))))
    agent.apply(bad, document(listener(bad_port, pool([member(server.port)]))))
    agent.stop()
    files = [p for p in agent.state.rglob("*.json") if bad in str(p)]
    assert files, "the definitions are JSON files below base_path"
    for file in files:
        text = file.read_bytes()
        file.write_bytes({"empty": b"", "cut": text[:len(text) // 2], "garbage": b"\0\xff{[" * 50}[damage])
    agent.start()
    assert server_of(good_port) == "a"
    assert agent.definition(good)["listeners"][0]["protocol_port"] == good_port
    wait_for(lambda: bad in agent.log, 20, "the log names the damaged one")
    # What runs goes on, also over a dry run and a refused definition, and a new definition heals it.
    assert server_of(bad_port) == "a"
    whole = document(listener(bad_port, pool([member(server.port)])))
    agent.put(bad, whole, query="?dry_run=true").expect(200)
    agent.put(bad, document(listener(good_port, pool([member(server.port)])))).expect(409)
    assert server_of(bad_port) == "a"
    agent.apply(bad, document(listener(bad_port, pool([member(server.port)]), name="healed")))
    assert server_of(bad_port) == "a"


def test_heals_without_hands(agent, origins):
    """Another program holds the port when HAProxy has to be started: ERROR with the reason, and well again afterwards."""
    server, port, lb_id = origins("a"), free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(server.port)]))))
    agent.stop()
    agent.stop_all()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        agent.start()
        shown = agent.get(f"{LBS}/{lb_id}").expect(200).json["loadbalancer"]
        assert shown["provisioning_status"] == "ERROR"
        assert str(port) in shown["trouble"]
        assert agent.definition(lb_id)["listeners"][0]["protocol_port"] == port
    wait_for(lambda: server_of(port, timeout=1) == "a", 40, "HAProxy is started once the port is free")
    wait_for(lambda: agent.get(f"{LBS}/{lb_id}").json["loadbalancer"]["provisioning_status"] == "ACTIVE", 10, "ACTIVE")
