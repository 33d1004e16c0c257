# SPDX-License-Identifier: Apache-2.0
"""Heartbeats as Octavia's own code reads them."""

import hashlib
import hmac
import json
import socket
import threading
import time
import zlib

import pytest

from amphora import document, listener, member, monitor, new_id, pool
from clients import Load, Session, fetch, server_of
from backends import TcpOrigin
from processes import free_port, kill, wait_for

KEY = "a heartbeat key, with blanks & 100% signs"


@pytest.fixture
def octavia():
    """Octavia's modules (Debian: python3-octavia), their options set for a listener on loopback."""
    heartbeat_udp = pytest.importorskip("octavia.amphorae.drivers.health.heartbeat_udp")
    from octavia.amphorae.backends.health_daemon import status_message
    from octavia.common import config  # registers the options

    class Modules:
        pass
    modules = Modules()
    modules.heartbeat_udp, modules.status_message, modules.config = heartbeat_udp, status_message, config
    return modules


class Controller:
    """A health manager: receives on loopback, keeps what Octavia's unwrap_envelope() makes of it."""

    def __init__(self, unwrap=None, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.2)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.unwrap = unwrap or open_envelope
        self.messages = []  # (time, message)
        self.errors = []
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                self.messages.append((time.monotonic(), self.unwrap(data, KEY)))
            except Exception as error:  # whatever Octavia raises is a failure of the test
                self.errors.append(repr(error))

    def wait(self, count, timeout=20):
        wait_for(lambda: len(self.messages) >= count, timeout, f"{count} heartbeats")
        assert self.errors == []
        return [message for _, message in self.messages]

    def close(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()


def open_envelope(data, key):
    """The format as documented, for machines without Octavia."""
    body, digest = data[:-64], data[-64:]
    assert hmac.compare_digest(digest.decode(), hmac.new(key.encode(), body, hashlib.sha256).hexdigest())
    return json.loads(zlib.decompress(body))


@pytest.fixture
def controllers():
    made = []

    def make(count=1, unwrap=None, port=0):
        made.extend(Controller(unwrap, port) for _ in range(count))
        return made[-count:]
    yield make
    for controller in made:
        controller.close()


def settings(controllers, interval=1):
    return (f"controller_ip_port_list = {', '.join(c.address for c in controllers)}\n"
        f"heartbeat_key = {KEY}\nheartbeat_interval = {interval}")


def ids(agent, lb_id):
    lb = agent.definition(lb_id)
    listener_ = lb["listeners"][0]
    pool_ = listener_.get("default_pool") or next(p for p in lb["pools"] if p["id"] == listener_["default_pool_id"])
    return listener_["id"], pool_["id"], {m["name"]: m["id"] for m in pool_["members"]}


def total(messages, listener_id, field):
    return sum(m["listeners"][listener_id]["stats"][field] for m in messages if listener_id in m["listeners"])


def test_octavia_decodes_them(make_agent, origins, controllers, octavia):
    controller, = controllers(unwrap=octavia.status_message.unwrap_envelope)
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port, "a", weight=3), member(free_port(), "b"),
        member(origin.port, "c", address="127.0.0.2", weight=0), member(free_port(), "d", admin_state_up=False)],
        healthmonitor=monitor("TCP")))))
    listener_id, pool_id, members = ids(agent, lb_id)

    def settled():
        message = controller.messages[-1][1] if controller.messages else {}
        found = message.get("pools", {}).get(f"{pool_id}:{listener_id}", {}).get("members", {})
        return found.get(members["b"]) == "DOWN" and message
    message = wait_for(settled, 20, "the dead member is reported")
    assert controller.errors == []
    assert (message["id"], message["ver"]) == (agent.amphora_id, 3)
    assert message["listeners"].keys() == {listener_id}
    listener_ = message["listeners"][listener_id]
    assert listener_["status"] == "OPEN"
    assert listener_["stats"].keys() == {"tx", "rx", "conns", "totconns", "ereq"}
    assert all(isinstance(v, int) for v in listener_["stats"].values())
    pool_ = message["pools"][f"{pool_id}:{listener_id}"]
    assert pool_["status"] == "UP"
    states = {name: pool_["members"].get(id_) for name, id_ in members.items()}
    assert (states["a"], states["b"]) == ("UP", "DOWN")
    assert states["d"] in (None, "MAINT")
    sequence = [m["seq"] for m in controller.wait(4)]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_member_states(make_agent, origins, controllers):
    """no check without a monitor, DRAIN with weight 0."""
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port, "a")]))))
    listener_id, pool_id, members = ids(agent, lb_id)

    def states():
        message = controller.messages[-1][1] if controller.messages else {"pools": {}}
        return message["pools"].get(f"{pool_id}:{listener_id}", {}).get("members")
    wait_for(lambda: states() == {members["a"]: "no check"}, 20, "no check")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port, "a", weight=0)],
        healthmonitor=monitor("TCP")))))
    listener_id, pool_id, members = ids(agent, lb_id)
    wait_for(lambda: states() == {members["a"]: "DRAIN"}, 20, "DRAIN")


def test_octavia_health_manager_takes_them(make_agent, origins, monkeypatch, octavia):
    """Through UDPStatusGetter.check() as octavia-health-manager runs it; only its pools and its database are stubs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        health_port = probe.getsockname()[1]
    getter_module = octavia.heartbeat_udp
    conf = getter_module.CONF
    for option, value in (("heartbeat_key", KEY), ("bind_ip", "127.0.0.1"), ("bind_port", health_port)):
        conf.set_override(option, value, group="health_manager")

    class Now:
        def __init__(self, *args, **kwargs):
            pass

        def submit(self, function, *args):
            function(*args)

    class Updater:
        def __init__(self):
            self.seen = []

        def update_health(self, health, source):
            self.seen.append((health, source))

    statistics = []
    warnings = []
    monkeypatch.setattr(getter_module.futures, "ProcessPoolExecutor", Now)
    monkeypatch.setattr(getter_module, "UpdateHealthDb", Updater)
    monkeypatch.setattr(getter_module.stats_base, "update_stats_via_driver",
        lambda stats, deltas: statistics.append((stats, deltas)))
    monkeypatch.setattr(getter_module.LOG, "warning", lambda *args: warnings.append(args))
    getter = getter_module.UDPStatusGetter()
    try:
        agent = make_agent(health_manager=f"controller_ip_port_list = 127.0.0.1:{health_port}\n"
            f"heartbeat_key = {KEY}\nheartbeat_interval = 1").start()
        lb_id, port, origin = new_id(), free_port(), origins("a")
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
        for _ in range(10):
            assert server_of(port) == "a"
        listener_id, pool_id, members = ids(agent, lb_id)

        def counted():
            getter.check()
            return sum(s.total_connections for stats, _ in statistics for s in stats) >= 10
        wait_for(counted, 20, "Octavia counted the requests")
    finally:
        getter.sock.close()
        conf.clear_override("heartbeat_key", group="health_manager")
    assert warnings == []
    assert all(deltas for _, deltas in statistics)
    flat = [s for stats, _ in statistics for s in stats]
    assert sum(s.total_connections for s in flat) == 10
    assert {(s.listener_id, s.amphora_id) for s in flat} == {(listener_id, agent.amphora_id)}
    assert sum(s.bytes_in for s in flat) > 0 and sum(s.bytes_out for s in flat) > 0
    health, source = getter.health_updater.seen[-1]
    assert source == "127.0.0.1" and health["pools"].keys() == {f"{pool_id}:{listener_id}"}


def test_other_key_is_refused(make_agent, octavia, controllers):
    controller, = controllers(unwrap=lambda data, key: octavia.status_message.unwrap_envelope(data, "another key"))
    make_agent(health_manager=settings([controller])).start()
    wait_for(lambda: controller.errors, 10, "Octavia refuses")
    assert controller.messages == []


def test_controllers_take_turns(make_agent, controllers):
    several = controllers(3)
    agent = make_agent(health_manager=settings(several)).start()
    wait_for(lambda: sum(len(c.messages) for c in several) >= 7, 30, "7 heartbeats")
    arrived = sorted((message["seq"], number) for number, c in enumerate(several) for _, message in c.messages)
    # Of one of them the latest may not have been read yet.
    assert len({(seq - number) % 3 for seq, number in arrived}) == 1 and len({number for _, number in arrived}) == 3, arrived
    assert agent.get("/healthz").status == 200


def test_a_dead_controller_does_not_stop_the_others(make_agent, controllers):
    alive_one, = controllers()
    make_agent(health_manager=f"controller_ip_port_list = 127.0.0.1:{free_port()}, {alive_one.address}\n"
        f"heartbeat_key = {KEY}\nheartbeat_interval = 1").start()
    assert len(alive_one.wait(3)) >= 3


def test_interval(make_agent, controllers):
    controller, = controllers()
    make_agent(health_manager=settings([controller], interval=2)).start()
    controller.wait(4)
    times = [t for t, _ in controller.messages]
    assert 1.6 < (times[-1] - times[0]) / (len(times) - 1) < 2.6


def test_heartbeats_that_nobody_gets_are_made_up_for(make_agent, origins, controllers):
    """Of two controllers one is away for a while, and the network says so: what it should have been told is told later."""
    first, second = controllers(2)
    agent = make_agent(health_manager=settings([first, second])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    listener_id, _, _ = ids(agent, lb_id)
    everybody = [first, second]

    def counted():
        return total([m for each in everybody for _, m in each.messages], listener_id, "totconns")

    def requests(count):
        for _ in range(count):
            assert fetch(port)[0] == 200
    requests(5)
    wait_for(lambda: counted() == 5, 20, "5 requests counted")
    away = second.socket.getsockname()[1]
    second.close()
    before = len(first.messages)
    for count in (7, 11, 13):
        requests(count)
        first.wait(len(first.messages) + 2)
    # Soon enough what the one did not get is told to the other, before the one is back.
    wait_for(lambda: counted() == 36, 20, "36 requests counted")
    assert len(first.messages) > before + 5
    assert agent.log.count("warning: heartbeat: does not reach") == 1, "the log has it once"
    everybody += controllers(port=away)
    everybody[-1].wait(2)
    requests(17)
    wait_for(lambda: counted() == 53, 20, "53 requests counted")
    everybody[-1].wait(len(everybody[-1].messages) + 2)
    assert counted() == 53


def test_deltas_add_up(make_agent, origins, controllers):
    """Over reloads and a restart of the agent, and with requests while there is no agent."""
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")

    def change(number):
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)]), timeout_client_data=50000 + number,
            name="web")))
    change(0)
    listener_id, _, _ = ids(agent, lb_id)
    made = 0

    def requests(count):
        nonlocal made
        for _ in range(count):
            assert fetch(port)[0] == 200
        made += count
    requests(7)
    change(1)
    requests(11)
    controller.wait(len(controller.messages) + 2)
    assert agent.stop() == 0
    requests(13)
    agent.start()
    requests(17)
    change(2)
    requests(19)

    def counted(field="totconns"):
        return total([m for _, m in controller.messages], listener_id, field)
    wait_for(lambda: counted() >= made, 20, f"{made} requests counted")
    controller.wait(len(controller.messages) + 3)
    assert counted() == made
    # As many bytes as HAProxy and the agent count, and an answer is more than a hundred bytes.
    stats = agent.stats(lb_id)
    assert (stats["total_connections"], stats["bytes_in"], stats["bytes_out"]) == (made, counted("rx"), counted("tx"))
    assert counted("tx") > made * 100
    assert counted("ereq") == 0


def test_requests_during_reloads_are_counted(make_agent, origins, controllers):
    """Those, too, that the old worker takes after it has been asked for the last time before it is replaced, and ends before
    anybody asks it again."""
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")

    def change(number):
        return agent.apply(lb_id, document(listener(port, pool([member(origin.port)]), timeout_client_data=50000 + number)))
    change(0)
    listener_id, _, _ = ids(agent, lb_id)
    with Load(port) as load:
        for number in range(1, 5):
            assert change(number)["apply"]["action"] == "reload"
            load.wait_more(5)
    assert not load.failures
    made = len(load.succeeded)

    def counted():
        return total([m for _, m in controller.messages], listener_id, "totconns")
    controller.wait(len(controller.messages) + 3)
    assert counted() == made
    assert "may not be counted" not in agent.log


def test_restart_of_haproxy_counts_on(make_agent, origins, controllers):
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    listener_id, _, _ = ids(agent, lb_id)

    def counted():
        return total([m for _, m in controller.messages], listener_id, "totconns")
    for _ in range(9):
        fetch(port)
    wait_for(lambda: counted() == 9, 20, "9 requests")
    for pid in agent.haproxy_processes():
        kill(pid)
    # One that gives up waiting would be counted, too.
    wait_for(lambda: server_of(port), 20, "serving again")
    for _ in range(3):
        fetch(port)
    wait_for(lambda: counted() == 13, 20, "13 requests")
    reported = [m["listeners"][listener_id] for _, m in controller.messages if listener_id in m["listeners"]]
    assert all(value >= 0 for listener_ in reported for value in listener_["stats"].values())


def test_current_connections(make_agent, origins, controllers):
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("t", kind=TcpOrigin)
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], protocol="TCP"), protocol="TCP")))
    listener_id, _, _ = ids(agent, lb_id)
    sessions = [Session(port) for _ in range(3)]

    def open_now():
        listeners = controller.messages[-1][1]["listeners"] if controller.messages else {}
        return listeners[listener_id]["stats"]["conns"] if listener_id in listeners else None
    wait_for(lambda: open_now() == 3, 10, "3 connections open")
    for session in sessions:
        session.close()
    wait_for(lambda: open_now() == 0, 10, "none open")


def test_no_definition_is_a_heartbeat_too(make_agent, controllers):
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    message = controller.wait(1)[0]
    assert (message["id"], message["listeners"], message["pools"]) == (agent.amphora_id, {}, {})


def test_deleted_load_balancer_is_gone(make_agent, origins, controllers):
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    wait_for(lambda: controller.messages and controller.messages[-1][1]["listeners"], 10, "a listener")
    agent.request("DELETE", f"/v2/lbaas/loadbalancers/{lb_id}/definition").expect(204)
    wait_for(lambda: controller.messages[-1][1]["listeners"] == {}, 10, "no listener")


def test_heartbeats_go_on_while_a_change_is_applied(make_agent, origins, controllers):
    """Applying never delays the health thread for long."""
    controller, = controllers()
    agent = make_agent(health_manager=settings([controller])).start()
    lb_id, port, origin = new_id(), free_port(), origins("a")
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    with Load(port, threads=1):
        count = len(controller.messages)
        number = 0
        while len(controller.messages) < count + 4:
            number += 1
            agent.apply(lb_id, document(listener(port, pool([member(origin.port)]), connection_limit=100 + number)))
    times = [t for t, _ in controller.messages[count:]]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert max(gaps) < 3, gaps
