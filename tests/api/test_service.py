# SPDX-License-Identifier: Apache-2.0
"""amphorad as a service: what it tells the service manager, how it starts and how it ends."""

import http.client
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from amphora import AMPHORAD, LBS, document, listener, member, new_id, pool
from clients import Load, server_of
from processes import alive, free_port, wait_for

# Hands a socket over as systemd does: descriptor 3, named by environment variables that hold our own pid.
ACTIVATE = """
import os, sys
fd = int(sys.argv[1])
os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def run(*options, agent=None, timeout=30):
    return subprocess.run([str(AMPHORAD), *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, check=False, env=agent.environment() if agent else None)


@pytest.fixture
def serving(agent, origins):
    agent.lb_id, agent.port = new_id(), free_port()
    agent.apply(agent.lb_id, document(listener(agent.port, pool([member(origins("a").port)]))))
    assert server_of(agent.port) == "a"
    return agent


def test_ready_comes_when_it_serves(make_agent):
    agent = make_agent()
    agent.start()
    assert agent.notifications.seen("READY=1") == ["READY=1"]
    assert agent.get("/healthz").status == 200
    wait_for(lambda: agent.notifications.seen("STATUS="), 10, "a STATUS")


def test_status_follows(serving):
    wait_for(lambda: any(re.search(r"\b1\b", line) for line in serving.notifications.seen("STATUS=")), 10,
        "STATUS counts one load balancer")


def test_watchdog(make_agent):
    agent = make_agent()
    agent.start(env={"WATCHDOG_USEC": "1000000"})
    wait_for(lambda: len(agent.notifications.seen("WATCHDOG=1")) >= 4, 10, "4 signs of life")
    times = [t for t, line in agent.notifications.poll() if line == "WATCHDOG=1"]
    # One each half of that, from the first on: not one for every half that the machine has been up. On a busy machine one
    # of them, and we, may be late.
    assert 1.0 < times[3] - times[0] < 3.0, times


def test_no_watchdog_unasked(agent):
    for _ in range(20):
        assert agent.get("/healthz").status == 200
    assert agent.stop() == 0
    assert agent.notifications.seen("WATCHDOG=1") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_haproxy_serving(serving, number):
    pid = serving.haproxy_pid(serving.lb_id)
    with Load(serving.port) as load:
        serving.process.send_signal(number)
        assert serving.process.wait(30) == 0
        serving.process = None
        load.wait_more(20)
    assert load.failures == []
    assert serving.notifications.seen("STOPPING=1") == ["STOPPING=1"]
    assert serving.haproxy_pid(serving.lb_id) == pid
    assert not serving.socket_path.exists()


def test_stop_while_a_change_is_applied(serving, origins):
    """A handler that runs finishes and its client gets the answer; one that has not begun is turned away."""
    many = [member(9, f"m{n}", address=f"127.3.{n // 250}.{1 + n % 250}", weight=0) for n in range(1500)]
    body = document(listener(serving.port, pool([member(origins("b").port), *many])))
    replies = []

    def send():
        try:
            replies.append(serving.put(serving.lb_id, body))
        except (OSError, http.client.HTTPException):
            pass  # stopped before it took the request
    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(random.uniform(0, 0.1))
    assert serving.stop() == 0
    sender.join()
    applied = bool(replies) and replies[0].status == 200
    assert applied or not replies or replies[0].status == 503, replies
    serving.start()
    assert server_of(serving.port) == ("b" if applied else "a")


def test_stop_all(serving):
    done = serving.stop_all()
    assert done.returncode == 0, done
    serving.process.wait(30)
    serving.process = None
    assert serving.haproxy_processes() == []
    # What was wanted is still wanted.
    serving.start()
    wait_for(lambda: server_of(serving.port, timeout=1) == "a", 10, "it serves again")


def test_stop_all_without_an_agent(serving):
    serving.kill()
    assert serving.haproxy_processes()
    assert serving.stop_all().returncode == 0
    assert serving.haproxy_processes() == []
    assert serving.stop_all().returncode == 0


@pytest.mark.parametrize("kind", ["unix", "listen", "http"])
def test_socket_activation(make_agent, kind):
    """What systemd hands over is served beside what "listen" names, which may be the same."""
    agent = make_agent()
    path = agent.socket_path if kind == "listen" else agent.folder / "activated.sock"
    if kind != "http":
        path.parent.mkdir(exist_ok=True)
        door = socket.socket(socket.AF_UNIX)
        door.bind(str(path))
    else:
        door = socket.socket()
        door.bind(("127.0.0.1", 0))
    with door:
        door.listen()
        door.set_inheritable(True)
        answers = []

        def ask():
            with socket.socket(door.family) as client:
                client.settimeout(30)
                client.connect(door.getsockname())
                client.sendall(f"GET {LBS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while part := client.recv(65536):
                    data += part
                answers.append(data)
        early = threading.Thread(target=ask)
        early.start()  # connects before anything serves, and is answered
        agent.start(wrapper=[sys.executable, "-c", ACTIVATE, str(door.fileno())], pass_fds=(door.fileno(),))
        early.join()
        assert answers[0].startswith(b"HTTP/1.1 200 "), answers
        assert agent.get("/healthz").status == 200
        agent.stop()
    if kind != "http":
        assert path.exists()  # the service manager's, not ours to remove


def test_doors_and_files_are_private(serving):
    assert stat.S_IMODE(serving.socket_path.stat().st_mode) == 0o660
    for file in serving.state.rglob("*.json"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    for door in serving.run.rglob("*.sock"):
        assert stat.S_IMODE(door.stat().st_mode) & 0o007 == 0, door


def test_second_agent_on_the_same_state_is_refused(serving):
    done = run("--config-file", serving.config, "--log-target", "stderr", agent=serving)
    assert done.returncode != 0 and done.stderr, done
    assert serving.get("/healthz").status == 200
    assert server_of(serving.port) == "a"


def test_stale_socket_is_replaced(serving):
    serving.kill()
    assert serving.socket_path.exists()
    serving.start()
    assert serving.get("/healthz").status == 200


def test_descriptors_do_not_leak(serving):
    """Neither into HAProxy nor over requests."""
    def open_files(pid):
        return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    for name in open_files(serving.haproxy_pid(serving.lb_id)):
        assert "amphorad.sock" not in name and "definition" not in name and "notify" not in name, name

    def change(n):
        serving.apply(serving.lb_id, document(listener(serving.port, pool([member(9)]), timeout_client_data=9000 + n)))
    change(0)
    before = len(open_files(serving.process.pid))
    for n in range(1, 8):
        change(n)
        serving.put(serving.lb_id, b"{").expect(400)
        serving.status(serving.lb_id)
    wait_for(lambda: len(open_files(serving.process.pid)) <= before + 1, 10, "as many descriptors as before")


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and "--config-file" in done.stdout and "--stop-all" in done.stdout
    done = run("--version")
    assert done.returncode == 0 and re.match(r"amphorad \d+\.\d+\.\d+", done.stdout)


@pytest.mark.parametrize("options", [["--no-such-option"], ["an argument"], ["--log-level", "loud"],
    ["--log-target", "printer"], ["--config-file"], ["--config-file", "/nonexistent/amphorad.conf"]])
def test_bad_command_line(options):
    done = run(*options)
    assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV) and done.stderr and not done.stdout, done


@pytest.mark.parametrize("line, word", [
    ("[amphorad]\nno_such_option = 1", "no_such_option"),
    ("[health_manager]\nheartbeat_interval = soon", "heartbeat_interval"),
    ("[health_manager]\nheartbeat_interval = 0", "heartbeat_interval"),
    ("[health_manager]\ncontroller_ip_port_list = 127.0.0.1\nheartbeat_key = k", "127.0.0.1"),
    ("[health_manager]\ncontroller_ip_port_list = 127.0.0.1:99999\nheartbeat_key = k", "99999"),
    ("[health_manager]\ncontroller_ip_port_list = 127.0.0.1:5555\nheartbeat_key =", "heartbeat_key"),
    ("[amphorad]\nsupervisor = somebody", "supervisor"),
    ("[amphorad]\nlisten = https://127.0.0.1:0", "agent_server_cert"),
    ("[amphora_agent]\nagent_server_ca = /nonexistent.pem\nagent_server_cert = /nonexistent.pem", "/nonexistent.pem"),
    ("[haproxy_amphora]\nbase_path = relative/path", "base_path"),
    ("[amphorad]\ndefault_vip_address = everywhere", "default_vip_address"),
    ("this is no INI file", ""),
])
def test_bad_configuration(make_agent, line, word):
    agent = make_agent()
    extra = agent.folder / "extra.conf"
    extra.write_text(line + "\n")
    done = run("--config-file", agent.config, "--config-file", extra, "--check-config", agent=agent)
    assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV), done
    assert word in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_good_configuration(make_agent):
    agent = make_agent(health_manager="controller_ip_port_list = 127.0.0.1:5555, [::1]:5555\n"
        "heartbeat_key = secret-key-1")
    done = run("--config-file", agent.config, "--check-config", agent=agent)
    assert done.returncode == 0, done
    assert "secret-key-1" not in done.stdout + done.stderr
    # Checking starts nothing and makes nothing.
    assert not agent.state.exists() and not agent.run.exists()


def test_octavias_own_file_is_taken(make_agent):
    """As the controller writes it into an amphora; options of parts that are not ours are no error."""
    agent = make_agent()
    octavia = agent.folder / "amphora-agent.conf"
    octavia.write_text(f"""\
[DEFAULT]
debug = False
use_syslog = True

[haproxy_amphora]
base_cert_dir = /var/lib/octavia/certs
base_path = /var/lib/octavia
bind_host = ::
bind_port = 9443
haproxy_cmd = /usr/sbin/haproxy
respawn_count = 2
respawn_interval = 2
user_group = nogroup

[health_manager]
controller_ip_port_list = 127.0.0.1:5555
heartbeat_interval = 10
heartbeat_key = insecure-key

[amphora_agent]
agent_server_ca = /etc/octavia/certs/client_ca.pem
agent_server_cert = /etc/octavia/certs/server.pem
agent_server_network_dir = /etc/octavia/interfaces
agent_request_read_timeout = 180
amphora_id = {agent.amphora_id}
amphora_udp_driver = keepalived_lvs
agent_tls_protocol = TLSv1.2

[controller_worker]
loadbalancer_topology = SINGLE
""")
    files = ["--config-file", octavia, "--config-file", agent.config, "--check-config"]
    done = run(*files, agent=agent)
    assert done.returncode == 1 and "client_ca.pem" in done.stderr, "certificates are looked at: " + done.stderr
    certificates = agent.folder / "certificates.conf"
    certificates.write_text("[amphora_agent]\nagent_server_ca =\nagent_server_cert =\n")
    done = run(*files, "--config-file", certificates, agent=agent)
    assert done.returncode == 0, done


def test_never_logs_the_key_or_bodies(make_agent):
    agent = make_agent(health_manager="controller_ip_port_list = 127.0.0.1:9\nheartbeat_key = very-secret-key").start()
    lb_id = new_id()
    agent.apply(lb_id, document(listener(free_port(), pool([member(9)])), description="words-of-the-body"))
    assert agent.stop() == 0
    assert "very-secret-key" not in agent.log and "words-of-the-body" not in agent.log


def test_as_a_plain_user(make_agent, origins):
    """With a folder of its own it needs no privilege."""
    if os.geteuid() != 0:
        pytest.skip("this run is a plain user's already")
    agent = make_agent()
    agent.folder.chmod(0o777)
    agent.config.chmod(0o644)
    agent.log_path.touch()
    os.chown(agent.notifications.path, 65534, 65534)
    wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    probe = subprocess.run([*wrapper, str(AMPHORAD), "--version"], stdin=subprocess.DEVNULL, capture_output=True,
        check=False)
    if probe.returncode != 0:
        pytest.skip("nobody may not run the program here (is its folder private?)")
    agent.start(wrapper=wrapper)
    lb_id, port = new_id(), free_port()
    agent.apply(lb_id, document(listener(port, pool([member(origins("a").port)]))))
    assert server_of(port) == "a"
    assert os.stat(f"/proc/{agent.process.pid}").st_uid == 65534
    assert alive(agent.haproxy_pid(lb_id))
    agent.apply(lb_id, document(listener(port, pool([member(origins("b").port)]))))
    assert server_of(port) == "b"


def test_hangup_reads_the_configuration_again(make_agent):
    """Heartbeats follow without a restart; a file with a mistake changes nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        for controller in (first, second):
            controller.bind(("127.0.0.1", 0))
            controller.settimeout(15)

        def settings(controller):
            return (f"controller_ip_port_list = 127.0.0.1:{controller.getsockname()[1]}\n"
                "heartbeat_key = k\nheartbeat_interval = 1")
        agent = make_agent(health_manager=settings(first)).start()
        assert first.recv(65536)
        agent.write_config(health_manager=settings(second))
        agent.process.send_signal(signal.SIGHUP)
        assert second.recv(65536)
        agent.write_config(health_manager="heartbeat_interval = never")
        agent.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "never" in agent.log or "heartbeat_interval" in agent.log, 10, "the mistake is logged")
        assert second.recv(65536) and second.recv(65536)
        assert agent.get("/healthz").status == 200
