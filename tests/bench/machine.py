# SPDX-License-Identifier: Apache-2.0
"""A machine of namespaces with one agent in it, amphorad or Octavia's own, both started by the same process 1."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

import amphora  # noqa: E402
from netns import IP, Namespace  # noqa: E402
from octavia_driver import AGENT_CONF, HEARTBEAT_KEY, Connection, client_context, shared_pki  # noqa: E402
from processes import wait_for  # noqa: E402

UNSHARE = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--propagation", "private", "--fork", "--kill-child"]
CONFIG = "/etc/octavia/amphora-agent.conf"
PYTHON, AMPHORAD = "Octavia's", "amphorad"
COMMANDS = {
    AMPHORAD: ["/usr/local/sbin/amphora-agent", "--config-file", CONFIG],
    PYTHON: ["/usr/bin/amphora-agent", "--config-file", CONFIG],
}
USER_GROUP = "global\n    group nogroup\n    no strict-limits\n"


class Installed:
    """What "make install" puts into an image, and for the other agent nothing: it is on this machine."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amphorad-bench-"))
        (self.folder / "none/usr").mkdir(parents=True)
        subprocess.run(["make", "-C", os.environ["AMPHORAD_BUILD_DIR"], "-s", "install", "prefix=/usr/local",
            f"DESTDIR={self.folder / AMPHORAD}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        prefix = self.folder / AMPHORAD / "usr/local/sbin"
        if not (prefix / "amphora-agent").exists():
            sys.exit("configure with --prefix=/usr/local: the benchmark installs amphorad there")

    def tree(self, kind):
        return self.folder / (AMPHORAD if kind == AMPHORAD else "none")

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Machine:
    """From its start to close(). "address" is the agent's, "here" the controller's."""

    numbers = iter(range(1, 60000))

    def __init__(self, installed, kind, heartbeat_interval=10, manager=None):
        number = next(self.numbers)
        self.kind, self.amphora_id, self.pki = kind, str(uuid.uuid4()), shared_pki()
        self.here, self.address = (f"172.30.{number // 64}.{number % 64 * 4 + i}" for i in (1, 2))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amphorad-bench-"))
        self.context = client_context(self.pki)
        self.namespace = Namespace().create()
        self._plug("eth0", self.here, self.address)
        self._write(heartbeat_interval, manager)
        with open(self.folder / "console.log", "wb") as console:
            self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace.name, *UNSHARE,
                str(HERE / "machine/systemd"), str(self.folder), str(installed.tree(kind)), *COMMANDS[kind]],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        self.connection = None
        self.start_s = self._first_answer()

    def _plug(self, name, here=None, there=None, mac=None):
        outside = f"b{uuid.uuid4().hex[:12]}"
        subprocess.run([IP, "link", "add", outside, "type", "veth", "peer", "name", name, "netns", self.namespace.name,
            *(["address", mac] if mac else [])], check=True)
        subprocess.run([IP, "link", "set", outside, "up"], check=True)
        if here:
            subprocess.run([IP, "address", "add", f"{here}/30", "dev", outside], check=True)
            self.namespace.ip("address", "add", f"{there}/30", "dev", name)
            self.namespace.ip("link", "set", name, "up")
        return outside

    def _write(self, heartbeat_interval, manager):
        drive = self.folder / "drive"
        for folder in ("etc/octavia/certs", "etc/amphorad", "var/lib/octavia/certs"):
            (drive / folder).mkdir(parents=True)
        pair = self.pki.server_ca.issue(self.amphora_id)
        (drive / "etc/octavia/certs/server.pem").write_text(pair.pem)
        (drive / "etc/octavia/certs/client_ca.pem").write_text(self.pki.client_ca.pem)
        (drive / "var/lib/octavia/haproxy-default-user-group.conf").write_text(USER_GROUP)
        text = AGENT_CONF.format(debug=False, administrative_log_facility=1, user_log_facility=0,
            base_cert_dir="/var/lib/octavia/certs", base_path="/var/lib/octavia", bind_host=self.address, bind_port=9443,
            haproxy_cmd=amphora.HAPROXY, controllers=f"{self.here}:{manager.port}" if manager else "",
            heartbeat_interval=heartbeat_interval, heartbeat_key=HEARTBEAT_KEY,
            agent_server_ca="/etc/octavia/certs/client_ca.pem", agent_server_cert="/etc/octavia/certs/server.pem",
            amphora_id=self.amphora_id, agent_tls_protocol="TLSv1.2", topology="SINGLE")
        (drive / CONFIG.lstrip("/")).write_text(text.replace("use_syslog = True", "use_syslog = False"))

    @property
    def log(self):
        return (self.folder / "console.log").read_text(errors="replace")[-3000:]

    def connect(self):
        return Connection(9443, self.context, timeout=60, host=self.address)

    def _first_answer(self):
        """Seconds from the agent's start to its first answer over TLS."""
        deadline = time.time() + 60
        while time.time() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                connection = self.connect()
                try:
                    if connection.request("GET", "/").status == 200:
                        return time.time() - float((self.folder / "started").read_text())
                finally:
                    connection.close()
            time.sleep(0.002)
        raise RuntimeError(f"{self.kind} did not answer:\n{self.log}")

    def request(self, method, path, body=None, headers=None):
        """As Octavia's worker does it: one connection for as long as the agent keeps it."""
        if isinstance(body, str):
            body = body.encode()
        if self.connection is None:
            self.connection = self.connect()
        reply = self.connection.request(method, path, body, headers)
        if reply.headers.get("Connection", "").lower() == "close":
            self.connection.close()
            self.connection = None
        if reply.status not in (200, 201, 202):
            raise RuntimeError(f"{self.kind}: {method} {path}: {reply.status} {reply.text[:2000]}\n{self.log}")
        return reply

    def upload(self, lb_id, text):
        return self.request("PUT", f"/1.0/loadbalancer/{self.amphora_id}/{lb_id}/haproxy", text)

    def reload(self, lb_id):
        return self.request("PUT", f"/1.0/loadbalancer/{lb_id}/reload")

    def processes(self):
        """The agent's and those that it runs, but for HAProxy's."""
        root = int(self.folder.joinpath("agent").read_text())
        # The number is of the machine's process namespace.
        return [pid for pid in descendants(self.process.pid) if own_number(pid) == root or root in ancestors(pid)]

    def agent_processes(self):
        return [pid for pid in self.processes() if command_name(pid) != "haproxy"]

    def plug_vip(self):
        """Seconds that the agent needs for a VIP's port, which is there already."""
        mac = "fa:16:3e:00:00:02"
        self._plug("eth1", mac=mac)
        body = ('{"subnet_cidr": "10.77.0.0/24", "gateway": "10.77.0.1", "mac_address": "%s", "vrrp_ip": "10.77.0.5", '
            '"mtu": 1500, "host_routes": [], "additional_vips": []}' % mac)
        began = time.monotonic()
        self.request("POST", "/1.0/plug/vip/10.77.0.4", body, {"Content-Type": "application/json"})
        return time.monotonic() - began

    def close(self):
        if self.connection:
            self.connection.close()
        self.process.send_signal(signal.SIGKILL)  # of ip/unshare; --kill-child takes the machine with it
        self.process.wait()
        wait_for(lambda: not descendants(self.process.pid), 10, "the machine's end")
        self.namespace.delete()
        shutil.rmtree(self.folder, ignore_errors=True)


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
    return found


def descendants(pid):
    return [each for child in children(pid) for each in (child, *descendants(child))]


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def own_number(pid):
    """Its pid as it sees it itself."""
    with contextlib.suppress(OSError, KeyError):
        return int(status_of(pid)["NSpid"].split()[-1])
    return None


def ancestors(pid):
    found = []
    with contextlib.suppress(OSError, KeyError):
        while pid > 1:
            pid = int(status_of(pid)["PPid"])
            found.append(own_number(pid))
    return found


def command_name(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace").strip()
    return None


def memory_kib(pids):
    """Resident and proportional size (proc(5), smaps_rollup) of all of them."""
    resident = proportional = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                words = line.split()
                resident += int(words[1]) if words[0] == "Rss:" else 0
                proportional += int(words[1]) if words[0] == "Pss:" else 0
    return resident, proportional


def cpu_ms(pids):
    """Time on processors of all threads that live (proc(5), schedstat)."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
    return total / 1e6


