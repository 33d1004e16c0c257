# SPDX-License-Identifier: Apache-2.0
"""HAProxy in a network namespace of its own: the option network_namespace."""

import os
import pathlib
import socket
import subprocess

import pytest

import netns
from amphora import document, listener, member, new_id, pool
from backends import TcpOrigin
from clients import Load, Session, server_of
from netns import Namespace, Wire, namespace_of, namespaces  # noqa: F401
from processes import alive, command_line, free_port, kill, wait_for

VIP, VIP6, CLIENT = "192.0.2.10", "2001:db8::10", "192.0.2.1"


@pytest.fixture
def stage(make_agent, namespaces):  # noqa: F811
    """A running agent whose HAProxy belongs in a namespace, joined to a neighbour's, which has the clients."""
    class Stage:
        pass
    s = Stage()
    s.inside, s.outside = namespaces(), namespaces()
    s.wire = Wire(s.inside, s.outside).address(f"{VIP}/24", f"{CLIENT}/24").address(f"{VIP6}/64", "2001:db8::1/64")
    s.agent = make_agent(amphorad=f"network_namespace = {s.inside.name}").start()
    s.lb_id, s.port = new_id(), free_port()
    return s


@pytest.fixture
def serving(stage, origins):
    """The same with a load balancer for an origin inside."""
    s = stage
    origin = s.inside.inside(lambda: origins("inside"))
    s.web = [member(origin.port)]
    s.change = lambda number, *more: document(
        listener(s.port, pool(s.web), timeout_client_data=50000 + number), *more, vip_address=VIP)
    s.agent.apply(s.lb_id, s.change(0))
    s.pid = s.agent.haproxy_pid(s.lb_id)
    return s


def ask(stage, **kwargs):
    """A client in the neighbour's namespace; what it is answered by."""
    return stage.outside.inside(lambda: server_of(stage.port, address=kwargs.get("address", VIP),
        source=kwargs.get("source", CLIENT)))


def assert_all_inside(stage):
    processes = stage.agent.haproxy_processes()
    assert len(processes) >= 2
    assert {namespace_of(pid) for pid in processes} == {stage.inside.identity}


def test_haproxy_runs_in_the_namespace(serving):
    assert_all_inside(serving)
    assert namespace_of(serving.agent.process.pid) == os.readlink("/proc/self/ns/net") != serving.inside.identity
    assert ask(serving) == "inside"
    with pytest.raises(OSError):
        socket.create_connection((VIP, serving.port), 1)
    # The agent's threads are all where they were.
    tasks = pathlib.Path(f"/proc/{serving.agent.process.pid}/task")
    assert {os.readlink(task / "ns/net") for task in tasks.iterdir()} == {os.readlink("/proc/self/ns/net")}


def test_ipv6(stage, origins):
    origin = stage.inside.inside(lambda: origins("six"))
    stage.agent.apply(stage.lb_id, document(listener(stage.port, pool([member(origin.port)])), vip_address=VIP6))
    assert ask(stage, address=VIP6, source="2001:db8::1") == "six"


def test_status_and_statistics_come_from_inside(serving):
    for _ in range(3):
        ask(serving)
    agent = serving.agent
    assert agent.status(serving.lb_id)["operating_status"] == "ONLINE"
    wait_for(lambda: agent.stats(serving.lb_id)["total_connections"] >= 3, 20, "the connections are counted")


def test_kill_of_the_agent(serving):
    agent = serving.agent
    agent.kill()
    assert alive(serving.pid) and ask(serving) == "inside"
    agent.start()
    assert agent.haproxy_pid(serving.lb_id) == serving.pid
    reply = agent.put(serving.lb_id, serving.change(1)).expect(200)
    assert reply.headers["Amphorad-Apply"] == "reload"
    assert agent.haproxy_pid(serving.lb_id) == serving.pid
    assert_all_inside(serving)
    assert ask(serving) == "inside"


class InsideLoad(Load):
    """Load from within a namespace to the VIP."""

    def __init__(self, stage):
        super().__init__(stage.port)
        self.namespace = stage.outside

    def _run(self):
        fd = os.open(f"/run/netns/{self.namespace.name}", os.O_RDONLY)
        assert netns.libc.setns(fd, netns.CLONE_NEWNET) == 0  # this thread ends with it
        os.close(fd)
        while not self.stopping.is_set():
            try:
                self.servers[server_of(self.port, address=VIP, source=CLIENT)] = 1
                with self.lock:
                    self.succeeded.append(1)
            except Exception as error:  # every one counts
                with self.lock:
                    self.failures.append(repr(error))


def test_reloads_lose_no_connection(serving, note):
    with InsideLoad(serving) as load:
        for number in range(1, 11):
            load.wait_more(3)
            reply = serving.agent.put(serving.lb_id, serving.change(number)).expect(200)
            assert reply.headers["Amphorad-Apply"] == "reload", reply
        load.wait_more(20)
    assert load.failures == []
    note(f"10 reloads, {len(load.succeeded)} requests, 0 failed")
    assert_all_inside(serving)


def test_haproxy_is_started_again_inside(serving):
    for pid in serving.agent.haproxy_processes():
        kill(pid)
    wait_for(lambda: ask(serving) == "inside", 20, "it serves again")
    assert_all_inside(serving)


def test_new_addresses_are_tried_inside(serving):
    """A port that another program has there, and one that is only taken here."""
    taken = serving.inside.inside(lambda: socket.create_server((VIP, 0)))
    with taken:
        port = taken.getsockname()[1]
        reply = serving.agent.put(serving.lb_id, serving.change(1, listener(port, name="second"))).expect(500)
        assert "cannot bind" in reply.fault and "Address already in use" in reply.fault
        assert ask(serving) == "inside"
    with socket.create_server(("0.0.0.0", 0)) as here:
        port = here.getsockname()[1]
        serving.agent.put(serving.lb_id, serving.change(1, listener(port, name="second"))).expect(200)


def test_ping_monitor_runs_inside(stage, origins):
    """The neighbour can be reached from inside only."""
    stage.outside.inside(lambda: origins("far", port=8080, address=CLIENT))
    stage.agent.apply(stage.lb_id, document(listener(stage.port, pool([member(8080, address=CLIENT)],
        healthmonitor={"type": "PING", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1})),
        vip_address=VIP))
    wait_for(lambda: stage.agent.status(stage.lb_id)["listeners"][0]["pools"][0]["members"][0]["operating_status"] ==
        "ONLINE", 20, "the member is up")
    assert ask(stage) == "far"


def test_missing_namespace_is_created(make_agent, namespaces, origins):  # noqa: F811
    namespace = namespaces(create=False)
    agent = make_agent(amphorad=f"network_namespace = {namespace.name}").start()
    assert namespace.exists
    links = namespace.ip("-o", "link", "show").stdout
    assert "LOOPBACK,UP" in links and len(links.splitlines()) == 1
    lb_id, port = new_id(), free_port()
    origin = namespace.inside(lambda: origins("lo"))
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    assert namespace.inside(lambda: server_of(port)) == "lo"


def moving(stage):
    """A load balancer that can be anywhere; the pid of its HAProxy."""
    stage.agent.apply(stage.lb_id, document(listener(stage.port), vip_address="0.0.0.0"))
    return stage.agent.haproxy_pid(stage.lb_id)


def test_namespace_that_was_deleted(stage):
    """HAProxy goes on in the old one, which has no name any more; the next agent starts it in the new one."""
    pid = moving(stage)
    stage.agent.kill()
    stage.inside.delete()
    assert alive(pid)
    stage.agent.start()
    assert not alive(pid)
    assert_all_inside(stage)


def test_option_that_changes(stage):
    """HAProxy moves with the next start of the agent, and back."""
    agent, name = stage.agent, stage.inside.name
    pid = moving(stage)
    agent.stop()
    agent.write_config()
    agent.start()
    assert not alive(pid)
    assert {namespace_of(pid) for pid in agent.haproxy_processes()} == {os.readlink("/proc/self/ns/net")}
    agent.stop()
    agent.write_config(amphorad=f"network_namespace = {name}")
    agent.start()
    assert_all_inside(stage)


def test_default_is_octavias_where_its_file_names_the_amphora(make_agent, namespaces):  # noqa: F811
    """In mounts of its own: the name is that of every amphora."""
    agent = make_agent()
    agent.config.write_text(agent.config.read_text().replace("network_namespace =\n", ""))
    script = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$@"'
    agent.start(wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    pid = agent.process.pid
    assert os.path.exists(f"/proc/{pid}/root/run/netns/amphora-haproxy")
    lb_id = new_id()
    agent.apply(lb_id, document(listener(free_port())))
    made = subprocess.run(["nsenter", "-t", str(pid), "-m", "nsenter", "--net=/run/netns/amphora-haproxy", "readlink",
        "/proc/self/ns/net"], capture_output=True, text=True, check=True).stdout.strip()
    assert {namespace_of(pid) for pid in agent.haproxy_processes()} == {made}
    # The machine's own folder knows nothing of it.
    assert not os.path.exists("/run/netns/amphora-haproxy") or \
        Namespace("amphora-haproxy").identity != made


def test_default_is_none_without_octavia(make_agent, namespaces):  # noqa: F811
    agent = make_agent()
    text = agent.config.read_text().replace("network_namespace =\n", "")
    agent.config.write_text("".join(line for line in text.splitlines(True) if not line.startswith("amphora_id")))
    agent.start()
    agent.apply(new_id(), document(listener(free_port())))
    assert {namespace_of(pid) for pid in agent.haproxy_processes()} == {os.readlink("/proc/self/ns/net")}


def test_without_the_rights(make_agent, namespaces):  # noqa: F811
    """Whoever may not make namespaces is told so, and what to do."""
    name = namespaces(create=False).name
    agent = make_agent(amphorad=f"network_namespace = {name}")
    for path in (agent.folder, agent.config):
        os.chown(path, 65534, -1)
    command = agent.command("--log-target", "stderr")
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command],
        capture_output=True, text=True, timeout=30, env=agent.environment(), check=False)
    assert result.returncode == 1
    assert f"cannot create network namespace {name}" in result.stderr and "CAP_SYS_ADMIN" in result.stderr
    assert "network_namespace" in result.stderr


@pytest.mark.parametrize("name", ["a/b", "..", ".", "-x", "a b", "a;b", "x" * 256])
def test_bad_names(make_agent, name):
    agent = make_agent(amphorad=f"network_namespace = {name}")
    result = subprocess.run(agent.command("--check-config", "--log-target", "stderr"), capture_output=True, text=True,
        timeout=30, env=agent.environment(), check=False)
    assert result.returncode == 1 and "network_namespace must be a name" in result.stderr


def test_stop_all(serving):
    serving.agent.stop()
    assert serving.agent.stop_all().returncode == 0
    assert not alive(serving.pid) and not any("haproxy" in command_line(pid)[0]
        for pid in serving.agent.haproxy_processes())


def test_established_connections_survive_reloads(stage, origins):
    origin = stage.inside.inside(lambda: origins("t", kind=TcpOrigin))
    web = pool([member(origin.port)], protocol="TCP")
    stage.agent.apply(stage.lb_id, document(listener(stage.port, web, protocol="TCP"), vip_address="0.0.0.0"))
    session = stage.inside.inside(lambda: Session(stage.port))
    for number in range(3):
        stage.agent.apply(stage.lb_id,
            document(listener(stage.port, web, protocol="TCP", timeout_client_data=60000 + number), vip_address="0.0.0.0"))
        session.echo(f"after change {number}")
    session.close()
