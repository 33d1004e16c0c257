# SPDX-License-Identifier: Apache-2.0
"""amphorad as a black box: starts the built program with a state folder of its own and talks to its doors."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

import contract
from processes import alive, command_line, end, free_port, kill, parent_of, processes_naming, wait_for

SOURCE = pathlib.Path(os.environ.get("AMPHORAD_SRC_DIR") or pathlib.Path(__file__).resolve().parents[2]).resolve()
BUILD = pathlib.Path(os.environ.get("AMPHORAD_BUILD_DIR") or SOURCE / "build").resolve()
AMPHORAD = BUILD / "amphorad"
AMPHORACTL = BUILD / "amphoractl"
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|ERROR: LeakSanitizer|WARNING: ThreadSanitizer")
LBS = "/v2/lbaas/loadbalancers"


def find_program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


HAPROXY = find_program("haproxy")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def fault(self):
        """faultstring, after a look at the shape of the error."""
        assert set(self.json) == {"faultcode", "faultstring", "debuginfo"}, self.text
        return self.json["faultstring"]

    def expect(self, *statuses):
        assert self.status in statuses, f"{self.status} instead of {statuses}: {self.text[:2000]}"
        return self

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:500]!r}>"


class Notifications:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.messages = []  # (time, "KEY=value")

    def poll(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                return self.messages
            self.messages += [(time.monotonic(), line) for line in data.decode().splitlines() if line]

    def seen(self, prefix):
        return [line for _, line in self.poll() if line.startswith(prefix)]

    def forget(self):
        self.poll()
        self.messages = []

    def close(self):
        self.socket.close()


class Agent:
    """One amphorad. It may be started, stopped and killed many times over the same state; close() ends all that is
    left, HAProxy included, whatever happened."""

    def __init__(self, amphorad="", health_manager="", template_dir=None, **unused):
        assert not unused
        # Not pytest's tmp_path: a unix socket's name has room for 107 bytes only.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amphorad-"))
        # HAProxy's worker runs as another user and must reach the check programs.
        self.folder.chmod(0o755)
        self.state = self.folder / "state"
        self.run = self.folder / "run"
        self.socket_path = self.folder / "amphorad.sock"
        self.config = self.folder / "amphorad.conf"
        self.log_path = self.folder / "amphorad.log"
        self.amphora_id = str(uuid.uuid4())
        self.process = None
        self.http_port = None
        self.notifications = Notifications(self.folder / "notify.sock")
        self.write_config(amphorad, health_manager, template_dir)

    def write_config(self, amphorad="", health_manager="", template_dir=None):
        """"amphorad" and "health_manager" are more lines of these sections."""
        self.config.write_text(f"""\
[haproxy_amphora]
base_path = {self.state}
haproxy_cmd = {HAPROXY}
[health_manager]
{health_manager}
[amphora_agent]
amphora_id = {self.amphora_id}
agent_server_network_dir = {self.folder}/interfaces
[amphorad]
listen = unix:{self.socket_path}
run_dir = {self.run}
network_namespace =
supervisor = direct
template_dir = {template_dir or SOURCE / "templates"}
tools_dir = {SOURCE / "agent/tools"}
default_vip_address = 127.0.0.1
haproxy_log =
{amphorad}
""")

    def add_http_door(self):
        """For clients that know no unix sockets: on "http_port" of the loopback interface, beside the socket."""
        self.http_port = free_port()
        self.config.write_text(self.config.read_text().replace(f"listen = unix:{self.socket_path}",
            f"listen = unix:{self.socket_path}, http://127.0.0.1:{self.http_port}"))

    # Its process

    def command(self, *options):
        return [str(AMPHORAD), "--config-file", str(self.config), *options]

    def environment(self, **more):
        env = dict(os.environ, NOTIFY_SOCKET=self.notifications.path)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"):
            env.pop(name, None)
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env.update(more)
        return env

    def start(self, env=None, wait=True, wrapper=(), pass_fds=()):
        assert self.process is None
        self.notifications.forget()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*wrapper, *self.command("--log-target", "stderr", "--log-level", "debug")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds,
                env=self.environment(**(env or {})))
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"amphorad ended with {self.process.returncode}:\n{self.log[-4000:]}")
            return self.notifications.seen("READY=1")
        wait_for(ready, timeout, "amphorad is ready")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, timeout=30):
        """Asks it to stop; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.process = None
        return status

    def stop_all(self):
        return subprocess.run(self.command("--stop-all"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, env=self.environment(), check=False)

    def close(self):
        try:
            if self.process is not None:
                end(self.process, timeout=10)
                self.process = None
            if AMPHORAD.exists() and processes_naming(str(self.folder)):
                try:
                    self.stop_all()
                except subprocess.TimeoutExpired:
                    pass
        finally:
            # Masters first: a master that loses its worker ends by itself, the other order makes it complain.
            left = processes_naming(str(self.folder))
            for pid in sorted(left, key=lambda pid: parent_of(pid) in left):
                kill(pid)
            self.notifications.close()
            self.last_log = self.log
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, failed=False):
        """close() at the end of a test: it has run until now, and no sanitizer complained."""
        status = self.process.poll() if self.process else None
        self.close()
        if failed:
            lines = [line for line in self.log.splitlines() if "info: GET" not in line]
            print("\n".join(["--- the last lines of amphorad's log", *lines[-60:]]))
        assert status is None, f"amphorad had ended by itself with status {status}"
        found = SANITIZER.search(self.log)
        assert not found, self.log[max(0, found.start() - 200):found.start() + 6000]

    @contextlib.contextmanager
    def serving(self):
        """For the tests of a module: started, and finished after them."""
        try:
            yield self.start()
        finally:
            self.finish()

    @property
    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except OSError:
            return getattr(self, "last_log", "")

    # Its door

    def exchange(self, method, path, body=None, headers=None, timeout=60):
        """Nothing but the exchange, of bytes: what is measured has no work of this client's in it."""
        connection = UnixConnection(self.socket_path, timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def request(self, method, path, body=None, headers=None, timeout=60):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        reply = self.exchange(method, path, body, headers, timeout)
        contract.check(method, path, reply)
        return reply

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def put(self, lb_id, body, query="", **kwargs):
        return self.request("PUT", f"{LBS}/{lb_id}/definition{query}", body, **kwargs)

    def apply(self, lb_id, body, query=""):
        """PUTs a definition that must be good; the body of the reply."""
        return self.put(lb_id, body, query).expect(200, 201).json

    def definition(self, lb_id):
        return self.get(f"{LBS}/{lb_id}/definition").expect(200).json["loadbalancer"]

    def status(self, lb_id):
        return self.get(f"{LBS}/{lb_id}/status").expect(200).json["statuses"]["loadbalancer"]

    def stats(self, lb_id):
        return self.get(f"{LBS}/{lb_id}/stats").expect(200).json["stats"]

    def rendered(self, lb_id):
        return self.get(f"{LBS}/{lb_id}/haproxy.cfg").expect(200).text

    # What it leaves on disk and runs

    def config_file(self, lb_id):
        return self.state / lb_id / "haproxy.cfg"

    def haproxy_pid(self, lb_id):
        """The master's pid, from its pid file, checked against the process that has it; 0 if none runs."""
        for pid_file in self.state.rglob(f"{lb_id}.pid"):
            text = pid_file.read_text().split()
            if text and alive(int(text[0])) and any(lb_id in a for a in command_line(int(text[0]))):
                return int(text[0])
        for pid_file in self.run.rglob("*.pid"):
            if lb_id in str(pid_file):
                text = pid_file.read_text().split()
                if text and alive(int(text[0])) and any(lb_id in a for a in command_line(int(text[0]))):
                    return int(text[0])
        return 0

    def haproxy_processes(self):
        """Every HAProxy of this agent, masters and workers."""
        return [pid for pid in processes_naming(str(self.folder))
            if os.path.basename(command_line(pid)[0]) == "haproxy"]

    def bytes_on_disk(self):
        """Every file that makes up what is wanted and what runs: path -> bytes. Not those that change by themselves."""
        def lasting(path):
            return not path.name.startswith(".tmp-") and path.is_file() and path.suffix not in (".log", ".sock", ".lock") \
                and "stats_counters" not in path.name and "servers-state" not in path.name
        return {str(path.relative_to(self.state)): path.read_bytes()
            for path in sorted(self.state.rglob("*")) if lasting(path)}


@contextlib.contextmanager
def maker(request, kind=Agent):
    """A function that makes agents (not started) for a test. All are finished, whatever is wrong with one of them."""
    def make(*arguments, **options):
        agent = kind(*arguments, **options)
        agents.callback(lambda: agent.finish(failed=has_failed(request)))
        return agent
    with contextlib.ExitStack() as agents:
        yield make


def has_failed(request):
    report = getattr(request.node, "report_call", None)
    return report is not None and report.failed


# Words for documents


def new_id():
    return str(uuid.uuid4())


def member(port, name=None, address="127.0.0.1", **more):
    return {"name": name or f"member-{port}", "address": address, "protocol_port": port, **more}


def pool(members, name="web", protocol="HTTP", lb_algorithm="ROUND_ROBIN", **more):
    return {"name": name, "protocol": protocol, "lb_algorithm": lb_algorithm, "members": members, **more}


def listener(port, default_pool=None, name=None, protocol="HTTP", **more):
    value = {"name": name or f"listener-{port}", "protocol": protocol, "protocol_port": port, **more}
    if default_pool is not None:
        value["default_pool"] = default_pool
    return value


def document(*listeners, name="lb", vip_address="127.0.0.1", **more):
    return {"loadbalancer": {"name": name, "vip_address": vip_address, "listeners": list(listeners), **more}}


def monitor(kind="HTTP", **more):
    """Notices at once a server that refuses or fails; one that gets no processor for a while is not down by that."""
    return {"type": kind, "delay": 1, "timeout": 5, "max_retries": 1, "max_retries_down": 1, **more}


def run_ctl(agent, *arguments, stdin=None, timeout=60, env=None):
    """amphoractl against this agent's unix socket."""
    command = [str(AMPHORACTL), "--socket", str(agent.socket_path), *map(str, arguments)]
    return subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False)
