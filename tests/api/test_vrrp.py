# SPDX-License-Identifier: Apache-2.0
"""Two amphorae with Octavia's own VRRP configuration and real keepalived, each in a network namespace, wired to one
bridge: which of them has the VIP, and how long it takes to move."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import amphora
from netns import need_namespaces, namespaces  # noqa: F401
from octavia_driver import (Connection, OctaviaAgent, client_context,  # noqa: F401
    health_managers, make_controller, md5, tls_door)
from processes import alive, command_line, free_port, kill, processes_naming, wait_for

KEEPALIVED = amphora.find_program("keepalived")
TOOL = amphora.BUILD / "haproxy-vrrp-check"
VIP, VIP6 = "10.77.0.100", "fd77::100"
PORT = 8080

pytestmark = [
    pytest.mark.skipif(KEEPALIVED is None, reason="keepalived is not installed"),
    pytest.mark.limit(180),
]


class Amphora(OctaviaAgent):
    """An amphorad of a pair. Its API is on the loopback of the machine, what it serves in its namespace."""

    def __init__(self, number, namespace, **options):
        self.namespace = namespace
        self.number = number
        self.address = f"10.77.0.{number}"
        super().__init__(topology="ACTIVE_STANDBY", bind_host=f"127.0.0.{number}",
            amphorad=f"network_namespace = {namespace.name}", **options)

    def start(self, **options):
        # keepalived runs the check by its name.
        path = f"{amphora.BUILD}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return super().start(env={"PATH": path}, **options)

    def connect(self, client=None, version=None, timeout=60):
        return Connection(self.port, client_context(self.pki, client, version), timeout, f"127.0.0.{self.number}")

    @property
    def vrrp(self):
        return self.state / "vrrp"

    @property
    def keepalived_pid(self):
        try:
            return int((self.vrrp / "octavia-keepalived.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def addresses(self):
        links = json.loads(self.namespace.ip("-j", "address", "show", "dev", "eth1").stdout)
        return {info["local"] for link in links for info in link["addr_info"]}

    def has_vip(self):
        return VIP in self.addresses()

    def haproxy_pids(self):
        return [pid for pid in processes_naming(str(self.state)) if "haproxy" in command_line(pid)[0]]


class Pair:
    def __init__(self, make_namespace, controller_of, make_agent):
        self.switch = make_namespace()
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("link", "set", "br0", "up")
        self.client = make_namespace()
        self.plug(self.client, "client", "10.77.0.250/24", "fd77::250/64")
        self.agents = []
        for number in (2, 3):
            namespace = make_namespace()
            self.plug(namespace, f"a{number}", f"10.77.0.{number}/24", f"fd77::{number}/64")
            self.agents.append(make_agent(number, namespace))
        self.controllers = {}
        self.controller_of = controller_of

    def plug(self, namespace, port, *addresses):
        subprocess.run(["ip", "link", "add", "eth1", "netns", namespace.name, "type", "veth", "peer", "name", port,
            "netns", self.switch.name], check=True)
        self.switch.ip("link", "set", port, "master", "br0")
        self.switch.ip("link", "set", port, "up")
        for address in addresses:
            namespace.ip("address", "add", address, "dev", "eth1", *(["nodad"] if ":" in address else []))
        namespace.ip("link", "set", "eth1", "up")

    def cut(self, agent, state="down"):
        self.switch.ip("link", "set", f"a{agent.number}", state)

    def master(self):
        """The one with the VIP; None while nobody or both have it."""
        found = [agent for agent in self.agents if agent.has_vip()]
        return found[0] if len(found) == 1 else None

    def other(self, agent):
        return self.agents[1 - self.agents.index(agent)]

    def ask(self, timeout=1, vip=VIP):
        """What answers on the VIP."""
        def fetch():
            with socket.create_connection((vip, PORT), timeout) as connection:
                connection.settimeout(timeout)
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                reply = b""
                while part := connection.recv(4096):
                    reply += part
                return reply.decode()
        try:
            return self.client.inside(fetch)
        except OSError:
            return ""

    def wait_takeover(self, expected, since, what, timeout=30):
        wait_for(lambda: expected.number in served_by(self.ask()), timeout, f"{what}: the other one serves", 0.02)
        return time.monotonic() - since


def served_by(reply):
    return [int(line.split(":")[1]) for line in reply.splitlines() if line.startswith("x-amphora:")]


class Octavia:
    """The driver of one amphora of the pair. The options of oslo.config are the process's: set before each use."""

    def __init__(self, pair, make_controller):
        self.pair = pair
        self.controller = make_controller(pair.agents[0])
        models = self.controller.models
        self.controller.set("haproxy_amphora", bind_host="127.0.0.1")
        self.controller.set("keepalived_vrrp", vrrp_check_interval=1, vrrp_fail_count=2, vrrp_success_count=2,
            vrrp_advert_int=1)
        self.amphorae = [models.Amphora(id=agent.amphora_id, lb_network_ip=f"127.0.0.{agent.number}",
            vrrp_ip=agent.address, ha_ip=VIP, status="ALLOCATED", role=role, vrrp_interface="eth1", vrrp_id=1,
            vrrp_priority=priority)
            for agent, role, priority in zip(pair.agents, ("MASTER", "BACKUP"), (100, 90))]
        self.lb = self.controller.load_balancer(VIP)
        self.lb.topology = "ACTIVE_STANDBY"
        self.lb.amphorae = self.amphorae
        self.lb.additional_vips = [models.AdditionalVip(ip_address=VIP6)]
        self.lb.vrrp_group = models.VRRPGroup(load_balancer_id=self.lb.id, vrrp_group_name="grp", advert_int=1,
            vrrp_auth_type="PASS", vrrp_auth_pass="0123456")

    def network(self):
        subnet = {"cidr": "10.77.0.0/24", "gateway_ip": "10.77.0.250", "host_routes": []}
        subnet6 = {"cidr": "fd77::/64", "gateway_ip": None, "host_routes": []}
        return {one.id: {"vip_subnet": subnet,
            "additional_vip_data": [{"ip_address": VIP6, "subnet": subnet6}]} for one in self.amphorae}

    def select(self, agent):
        self.controller.set("haproxy_amphora", base_path=str(agent.state), base_cert_dir=str(agent.cert_dir),
            bind_port=agent.port)
        return self.amphorae[self.pair.agents.index(agent)]

    def start_vrrp(self):
        for agent in self.pair.agents:
            one = self.select(agent)
            self.controller.driver.update_vrrp_conf(self.lb, self.network(), one)
            self.controller.driver.start_vrrp_service(one)

    def publish(self):
        """A load balancer that says by which amphora it answers."""
        for agent in self.pair.agents:
            agent.publish(self.lb.id, f"""\
global
    daemon
    user nobody
    stats socket {agent.state}/{self.lb.id}.sock mode 0666 level user
    server-state-file {agent.state}/{self.lb.id}/servers-state
    maxconn 100
defaults
    timeout client 5s
frontend {amphora.new_id()}
    bind {VIP}:{PORT}
    bind {VIP6}:{PORT}
    mode http
    http-request return status 200 hdr x-amphora {agent.number}
""")


@pytest.fixture
def pair(namespaces, make_controller, tls_door, request):
    need_namespaces()
    agents = []

    def make_agent(number, namespace):
        agents.append(Amphora(number, namespace))
        return agents[-1]
    made = Pair(namespaces, make_controller, make_agent)
    try:
        for agent in agents:
            agent.start()
        yield made
    finally:
        report = getattr(request.node, "report_call", None)
        for agent in agents:
            log = agent.vrrp / "octavia-keepalived.log"
            if report is not None and report.failed:
                print(f"--- amphora {agent.number}", *agent.log.splitlines()[-40:], sep="\n")
                print("--- keepalived", log.read_text() if log.exists() else "", sep="\n")
            agent.close()
        for agent in agents:
            assert not amphora.SANITIZER.search(agent.log), agent.log


@pytest.fixture
def octavia(pair, make_controller):
    return Octavia(pair, make_controller)


@pytest.fixture
def served(pair, octavia):
    """The pair, serving on the VIP."""
    octavia.start_vrrp()
    octavia.publish()
    wait_for(lambda: pair.master() is pair.agents[0], 30, "the one with the higher priority has the VIP")
    wait_for(lambda: served_by(pair.ask()) == [2], 20, "it serves")
    return pair


def test_takeover_when_haproxy_stops_answering(served, note):
    master = served.master()
    backup = served.other(master)
    since = time.monotonic()
    for pid in master.haproxy_pids():
        os.kill(pid, signal.SIGSTOP)
    seconds = served.wait_takeover(backup, since, "HAProxy hangs")
    note(f"HAProxy hangs: the other amphora answers after {seconds:.1f} s (checked every second, two failures)")
    assert not master.has_vip()
    # The first one comes back as the backup: nobody preempts.
    for pid in master.haproxy_pids():
        kill(pid, signal.SIGCONT)  # a worker may leave with the one before it
    wait_for(lambda: "Entering BACKUP STATE" in (master.vrrp / "octavia-keepalived.log").read_text().split(
        "Entering FAULT STATE")[-1], 20, "the first is well again")
    assert served.master() is backup


def test_takeover_when_haproxy_is_stopped(served, octavia, note):
    """A HAProxy that is gone, with its supervisor kept from starting it again."""
    master = served.master()
    master.process.send_signal(signal.SIGSTOP)
    try:
        since = time.monotonic()
        for pid in master.haproxy_pids():
            kill(pid)
        seconds = served.wait_takeover(served.other(master), since, "HAProxy is gone")
        note(f"HAProxy is gone: the other amphora answers after {seconds:.1f} s (checked every second, two failures)")
    finally:
        master.process.send_signal(signal.SIGCONT)


def test_takeover_when_the_network_is_cut(served, note):
    master = served.master()
    backup = served.other(master)
    since = time.monotonic()
    served.cut(master)
    seconds = served.wait_takeover(backup, since, "cut off")
    note(f"the namespace is cut off: the other amphora answers after {seconds:.1f} s (advertised every second)")
    served.cut(master, "up")
    wait_for(lambda: served.master() is not None, 30, "only one has the VIP again")
    wait_for(lambda: served.ask(), 10, "the VIP answers")


def test_what_octavia_uploads_is_taken(pair, octavia):
    agent = pair.agents[0]
    octavia.start_vrrp()
    calls = [call for call in octavia.controller.calls if "/vrrp/" in call[1]]
    assert calls == [("PUT", "/1.0/vrrp/upload", 200), ("PUT", "/1.0/vrrp/start", 202)] * 2
    assert (agent.vrrp / "octavia-keepalived.conf").stat().st_mode & 0o777 == 0o600
    assert alive(agent.keepalived_pid)
    # Before any load balancer VRRP must not hold the VIP; with one, its socket is asked.
    script = agent.vrrp / "check_scripts/haproxy_check_script.sh"
    assert script.read_text() == "exit 1"
    octavia.publish()
    socket_path = f"{agent.state}/{octavia.lb.id}.sock"
    assert script.read_text() == f"haproxy-vrrp-check {socket_path}; exit $?"
    agent.action(octavia.lb.id, "stop").expect(202)
    assert script.read_text() == "haproxy-vrrp-check; exit $?"
    agent.action(octavia.lb.id, "start").expect(202)
    assert socket_path in script.read_text()
    agent.rest("DELETE", f"/1.0/listeners/{octavia.lb.id}").expect(200)
    assert script.read_text() == "exit 1"
    for name in ("net/ipv4/ip_nonlocal_bind", "net/ipv6/ip_nonlocal_bind"):
        assert agent.namespace.inside(lambda: open(f"/proc/sys/{name}").read()) == "1\n"


def test_actions_answer_as_octavias_agent(pair, octavia):
    agent = pair.agents[0]
    reply = agent.rest("PUT", "/1.0/vrrp/start").expect(500)
    assert reply.json["message"] == "Failed to start octavia-keepalived service"
    octavia.start_vrrp()
    first = agent.keepalived_pid
    assert agent.rest("PUT", "/1.0/vrrp/START").expect(202).json == {"message": "OK", "details": "keepalived reloaded"}
    assert agent.rest("PUT", "/1.0/vrrp/reload").expect(202).json["details"] == "keepalived reloaded"
    assert agent.keepalived_pid == first
    assert agent.rest("PUT", "/1.0/vrrp/explode").expect(400).json == {"message": "Invalid Request",
        "details": "Unknown action: explode"}
    assert agent.rest("PUT", "/1.0/vrrp/stop").expect(202).json == {"message": "OK", "details": "keepalived stoped"}
    assert agent.keepalived_pid is None and not alive(first)
    assert agent.rest("PUT", "/1.0/vrrp/reload").expect(202).json["details"] == "keepalived started"
    assert alive(agent.keepalived_pid)


def test_bad_configurations_are_refused(pair, octavia):
    agent = pair.agents[0]
    octavia.start_vrrp()
    before = (agent.vrrp / "octavia-keepalived.conf").read_bytes()
    for text, words in (("vrrp_instance x {\n    frobnicate 1\n}\n", "frobnicate"), ("", "empty"), (b"a\0b", "NUL"),
            ("vrrp_instance x {\n    interface eth9\n    virtual_router_id 7\n}\n", "eth9")):
        reply = agent.rest("PUT", "/1.0/vrrp/upload", text).expect(400)
        assert reply.json["message"] == "Invalid request"
        assert words in reply.json["details"]
    assert (agent.vrrp / "octavia-keepalived.conf").read_bytes() == before
    assert not list(agent.vrrp.glob("*.new"))
    good = before.replace(b"advert_int 1", b"advert_int 2")
    reply = agent.rest("PUT", "/1.0/vrrp/upload", good).expect(200)
    assert reply.json == {"message": "OK"}
    assert reply.headers["ETag"] == md5(good)


def test_keepalived_that_dies_is_started_again(pair, octavia):
    agent = pair.agents[0]
    octavia.start_vrrp()
    first = agent.keepalived_pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: agent.keepalived_pid not in (None, first) and alive(agent.keepalived_pid), 20, "another one runs")
    # The children of the one that died have gone with it.
    def processes():
        return [pid for pid in processes_naming(str(agent.vrrp / "octavia-keepalived.conf"))
            if "keepalived" in command_line(pid)[0]]
    wait_for(lambda: len(processes()) == 2, 10, "one keepalived with one child")


def test_keepalived_outlives_the_agent(pair, octavia):
    agent = pair.agents[0]
    octavia.start_vrrp()
    first = agent.keepalived_pid
    assert agent.stop() == 0
    assert alive(first)
    agent.start()
    assert agent.keepalived_pid == first
    agent.kill()
    assert alive(first)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not alive(first), 20, "it has died")
    agent.start()
    wait_for(lambda: agent.keepalived_pid not in (None, first), 20, "the next agent has started another")
    assert agent.rest("PUT", "/1.0/vrrp/stop").expect(202)
    assert agent.stop() == 0
    agent.start()
    assert agent.keepalived_pid is None, "a stop by the controller holds"
    agent.rest("PUT", "/1.0/vrrp/start").expect(202)
    second = agent.keepalived_pid
    assert agent.stop() == 0
    agent.stop_all()
    assert not alive(second)


def test_no_heartbeat_while_keepalived_is_down(pair, octavia, health_managers):
    agent = pair.agents[0]
    manager = health_managers()
    agent.rest("PUT", "/1.0/config", agent.agent_conf(controllers=manager.address)).expect(202)
    manager.wait_more(1)
    octavia.start_vrrp()
    manager.wait_more(2)
    agent.rest("PUT", "/1.0/vrrp/stop").expect(202)
    wait_for(lambda: "no heartbeat is sent" in agent.log, 10, "the agent keeps quiet")
    count = len(manager.messages)
    # Three intervals of one second; the round that was under way may still come.
    time.sleep(3)
    assert len(manager.messages) <= count + 1
    agent.rest("PUT", "/1.0/vrrp/start").expect(202)
    manager.wait_more(2)


# The check program


class FakeHAProxy:
    """Takes connections and answers with these bytes, or never."""

    def __init__(self, path, reply):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(5)
        self.reply = reply
        self.connections = []

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            if self.reply is not None:
                connection.recv(1000)
                connection.sendall(self.reply)
                connection.close()


@pytest.fixture
def fake(tmp_path):
    made = []

    def make(name, reply):
        made.append(FakeHAProxy(tmp_path / name, reply))
        threading.Thread(target=made[-1].serve, daemon=True).start()
        return made[-1].path
    yield make
    for one in made:
        one.socket.shutdown(socket.SHUT_RDWR)
        one.socket.close()


def check(*arguments):
    since = time.monotonic()
    result = subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=30, check=False)
    return result.returncode, result.stderr, time.monotonic() - since


def test_check_program(fake, tmp_path):
    good = fake("good", b"# pxname,svname,\nfrontend,FRONTEND,\n\n")
    empty, other, mute = fake("empty", b""), fake("other", b"Permission denied\n"), fake("mute", None)
    assert check()[0] == 0
    assert check(good)[0] == 0
    assert check(good, good)[0] == 0
    assert check(good, empty)[0] == 1
    assert check(other)[0] == 1
    status, words, _ = check(tmp_path / "nobody", good)
    assert status == 1 and "nobody: No such file or directory" in words
    status, words, seconds = check("-t", "1", mute, good)
    assert status == 1 and "mute: Connection timed out" in words and "good: Connection timed out" in words
    assert 0.9 <= seconds < 5
    assert check("--timeout", "x")[0] == 2
    assert check("--frobnicate")[0] == 2


def test_check_program_is_fast(agent, origins, note):
    """Against a real HAProxy with many servers: frontends alone are asked for."""
    members = [{"address": "127.0.0.1", "protocol_port": 1 + number, "name": f"m{number}"} for number in range(1000)]
    lb = amphora.new_id()
    agent.apply(lb, {"loadbalancer": {"name": "many", "listeners": [{"name": "l", "protocol": "TCP",
        "protocol_port": free_port(),
        "default_pool": {"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members}}]}})
    path = agent.run / f"{lb}.sock"
    times = []
    for _ in range(20):
        status, words, seconds = check(path)
        assert status == 0, words
        times.append(seconds)
    note(f"haproxy-vrrp-check with 1000 members: {sorted(times)[10] * 1000:.1f} ms, started from Python")
