# SPDX-License-Identifier: Apache-2.0
"""Nobody notices: changes, crashes and restarts under continuous requests."""

import os
import re
import socket
import time

import pytest

from amphora import document, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import Load, Session, server_of
from processes import alive, free_port, kill, wait_for

CHANGES = 50


@pytest.fixture
def serving(agent, origins):
    """A load balancer with two members; change(n) gives a definition whose way from the last one needs a reload."""
    class Serving:
        pass
    s = Serving()
    s.agent, s.lb_id, s.port, s.other_port = agent, new_id(), free_port(), free_port()
    s.members = [member(origins(name).port, name) for name in ("a", "b")]

    def change(number):
        second = listener(s.other_port, name="second", default_pool=pool(s.members[:1], name="second"))
        return document(
            listener(s.port, pool(s.members, healthmonitor=monitor("HTTP", url_path="/health")), name="first",
                timeout_client_data=50000 + number), *([second] if number % 2 else []))
    s.change = change
    agent.apply(s.lb_id, change(0))
    s.pid = agent.haproxy_pid(s.lb_id)
    assert s.pid
    wait_for(lambda: server_of(s.port), 10, "it serves")
    return s


@pytest.mark.limit(300)
def test_changes_that_need_reloads(serving, note):
    with Load(serving.port) as load:
        for number in range(1, CHANGES + 1):
            load.wait_more(3)
            reply = serving.agent.put(serving.lb_id, serving.change(number)).expect(200)
            assert reply.headers["Amphorad-Apply"] == "reload", reply
        load.wait_more(50)
    assert load.failures == []
    note(f"{CHANGES} reloads, {len(load.succeeded)} requests, 0 failed")
    assert serving.agent.haproxy_pid(serving.lb_id) == serving.pid


def test_refused_change(serving):
    """The new port is another program's: the change is refused with the reason, and nobody notices."""
    taken = socket.socket()
    with taken, Load(serving.port) as load:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bad = serving.change(1)
        bad["loadbalancer"]["listeners"][1]["protocol_port"] = taken.getsockname()[1]
        load.wait_more(20)
        reply = serving.agent.put(serving.lb_id, bad).expect(500)
        assert "cannot bind" in reply.fault and "Address already in use" in reply.fault
        load.wait_more(50)
    assert load.failures == []
    assert len(serving.agent.definition(serving.lb_id)["listeners"]) == 1
    assert serving.agent.haproxy_pid(serving.lb_id) == serving.pid


def test_established_connections_survive_changes(agent, origins):
    origin, port, lb_id = origins("t", kind=TcpOrigin), free_port(), new_id()
    web = pool([member(origin.port)], protocol="TCP")
    agent.apply(lb_id, document(listener(port, web, protocol="TCP")))
    session = Session(port)
    for number in range(5):
        reply = agent.put(lb_id, document(listener(port, web, protocol="TCP", timeout_client_data=60000 + number)))
        assert reply.expect(200).headers["Amphorad-Apply"] == "reload"
        session.echo(f"after change {number}")
    session.close()


def test_old_workers_are_bounded(agent, origins):
    """The oldest ends first, with what it still serves."""
    origin, port, lb_id = origins("t", kind=TcpOrigin), free_port(), new_id()
    sessions = []
    for number in range(5):
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)], protocol="TCP"), protocol="TCP",
            timeout_client_data=60000 + number), max_old_workers=2))
        sessions.append(Session(port))
    # A master, the worker that serves, and two old ones.
    wait_for(lambda: len(agent.haproxy_processes()) == 4, 20, "two old workers")
    for session in sessions[2:]:
        session.echo("still here")
    for session in sessions[:2]:
        assert session.socket.recv(10) == b""
    for session in sessions:
        session.close()


def test_old_workers_end_in_time(agent, origins):
    origin, port, lb_id = origins("t", kind=TcpOrigin), free_port(), new_id()

    def apply(**fields):
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)], protocol="TCP"), protocol="TCP", **fields),
            hard_stop_after_s=4))
    apply()
    session = Session(port)
    began = time.monotonic()  # the time of the old worker begins within the change
    apply(timeout_client_data=61000)
    session.echo("still here")
    session.socket.settimeout(30)
    assert session.socket.recv(10) == b""
    assert 3.5 < time.monotonic() - began < 30
    wait_for(lambda: len(agent.haproxy_processes()) == 2, 20, "no old worker")
    session.close()


def test_kill_of_the_agent(serving):
    agent = serving.agent
    with Load(serving.port) as load:
        for _ in range(3):
            load.wait_more(20)
            agent.kill()
            load.wait_more(50)
            assert alive(serving.pid)
            agent.start()
            assert agent.haproxy_pid(serving.lb_id) == serving.pid
            load.wait_more(20)
        # Adopted in earnest: it can be changed and is watched.
        assert agent.put(serving.lb_id, serving.change(1)).expect(200).headers["Amphorad-Apply"] == "reload"
        load.wait_more(20)
    assert load.failures == []
    assert agent.haproxy_pid(serving.lb_id) == serving.pid
    assert len([p for p in agent.haproxy_processes() if p == serving.pid]) == 1


def test_stop_and_start_of_the_agent(serving):
    agent = serving.agent
    with Load(serving.port) as load:
        load.wait_more(20)
        assert agent.stop() == 0
        load.wait_more(50)
        agent.start()
        load.wait_more(20)
    assert load.failures == []
    assert agent.haproxy_pid(serving.lb_id) == serving.pid
    assert agent.put(serving.lb_id, serving.change(0)).expect(200).headers["Amphorad-Apply"] == "none"


def restarts(log, lb_id):
    """After how many milliseconds HAProxy was to be started again, each time that it had ended."""
    return [int(ms) for line in log.splitlines() if lb_id in line for ms in re.findall(r"restart in (\d+) ms", line)]


@pytest.mark.parametrize("adopted", [False, True], ids=["own child", "adopted"])
def test_kill_of_haproxy(serving, adopted, note):
    agent = serving.agent
    if adopted:
        agent.kill()
        agent.start()
    log_before = len(agent.log)
    workers = [p for p in agent.haproxy_processes() if p != serving.pid]
    began = time.monotonic()
    for pid in [serving.pid, *workers]:
        kill(pid)
    wait_for(lambda: server_of(serving.port), 20, "serving again", interval=0.02)
    note(f"serving again after {time.monotonic() - began:.3f} s")
    wait_for(lambda: agent.haproxy_pid(serving.lb_id) not in (0, serving.pid), 20, "a new pid")
    assert restarts(agent.log[log_before:], serving.lb_id) == [100]
    assert agent.put(serving.lb_id, serving.change(1)).expect(200).headers["Amphorad-Apply"] == "reload"


def test_kill_of_a_worker(serving):
    """The master ends with its worker; that is an end of HAProxy like any other."""
    agent = serving.agent
    log_before = len(agent.log)
    worker = [p for p in agent.haproxy_processes() if p != serving.pid][-1]
    kill(worker)
    wait_for(lambda: server_of(serving.port), 20, "serving again", interval=0.02)
    assert restarts(agent.log[log_before:], serving.lb_id) == [100]


def test_repeated_kills_back_off_and_recover(serving):
    agent = serving.agent
    for _ in range(4):
        pid = wait_for(lambda: agent.haproxy_pid(serving.lb_id), 20, "HAProxy runs")
        for process in agent.haproxy_processes():
            kill(process)
        wait_for(lambda: not alive(pid), 20, "it is dead")
    wait_for(lambda: server_of(serving.port, timeout=1), 30, "serving again")
    assert agent.get("/healthz").status == 200


def test_haproxy_killed_while_no_agent_runs(serving):
    agent = serving.agent
    agent.kill()
    for process in agent.haproxy_processes():
        kill(process)
    agent.start()
    wait_for(lambda: server_of(serving.port, timeout=1), 10, "serving again")
    assert agent.definition(serving.lb_id)["listeners"]


def test_a_stale_pid_file_names_a_stranger(serving):
    """After a reboot the number in the pid file may be anyone's."""
    agent = serving.agent
    pid_file = next(p for p in [*agent.state.rglob("*.pid"), *agent.run.rglob("*.pid")]
        if p.read_text().split() == [str(serving.pid)])
    agent.kill()
    for process in agent.haproxy_processes():
        kill(process)
    pid_file.write_text(f"{os.getpid()}\n")
    agent.start()
    wait_for(lambda: server_of(serving.port, timeout=1), 10, "serving again")
    agent.request("DELETE", f"/v2/lbaas/loadbalancers/{serving.lb_id}/definition").expect(204)
