# SPDX-License-Identifier: Apache-2.0
"""The control plane of Octavia: octavia-api, octavia-worker and octavia-health-manager with MariaDB and RabbitMQ, the
cloud of cloud/ below it. Octavia is the one that Debian packages, or the one in AMPHORAD_OCTAVIA_VENV. Only inside the
namespaces that tests/octavia/run makes."""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import cloud
from machines import PATIENCE_S, Machine, VirtualMachine
from processes import die_with_parent, wait_for

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path("/run/octavia")
INSTALLED = pathlib.Path("/run/installed")
CONTROLLER = "172.31.0.1"
API_PORT = 9876
PROJECT = "0123456789abcdef0123456789abcdef"
SERVICES = ("api", "worker", "health-manager")
# Between two looks at a tree of statuses, which is work for octavia-api that others wait for.
OF_A_TREE_S = 0.2
# Virtual machines are emulated, on a machine that may have other work. An amphora that is rebooted has the time to come back.
PATIENT = {"connection_max_retries": 600, "rest_request_read_timeout": 300, "heartbeat_interval": 3, "heartbeat_timeout": 1200}
VENV = os.environ.get("AMPHORAD_OCTAVIA_VENV")
BIN = pathlib.Path(VENV or "/usr") / "bin"
SUBNET, SUBNET6 = (subnet["id"] for subnet in cloud.NETWORKS["vip"]["subnets"])
# Names of drivers in octavia.conf are entry points of an installed distribution: this is one.
ENTRY_POINTS = """[octavia.compute.drivers]
amphorad_compute = cloud.compute:Compute
[octavia.network.drivers]
amphorad_network = cloud.network:Network
"""
# Where eventlet is installed, oslo.log 5.0.1 (Debian 12) gives logging eventlet's locks, also to programs like these that do not
# use it and have threads: a thread that waits for such a lock is never woken ("greenlet.error: cannot switch to a different
# thread"), and the worker hangs. Later versions ask whether eventlet is in use.
SITECUSTOMIZE = """import oslo_log.log
oslo_log.log._fix_eventlet_logging = lambda: None
"""


# "glue": cotyledon lists the options, formats of log lines among them.
TROUBLE = re.compile(r" (?!.*glue)(?:ERROR|CRITICAL|WARNING) |Traceback|Stale amphora|status has changed")


def _end(path, count, pattern=re.compile("")):
    """The last lines that the pattern is found in."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join([line[:600] for line in lines if pattern.search(line)][-count:])


def said_since(path):
    """said(pattern): what the log says like that from here on, as of re.findall()."""
    begin = path.stat().st_size if path.exists() else 0

    def said(pattern):
        with open(path, errors="replace") as log:
            log.seek(begin)
            return re.findall(pattern, log.read())
    return said


class ControlPlane:
    def __init__(self):
        self.processes = {}
        plugin = FOLDER / "plugin/amphorad_cloud-1.dist-info"
        plugin.mkdir(parents=True)
        (plugin / "entry_points.txt").write_text(ENTRY_POINTS)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: amphorad_cloud\nVersion: 1\n")
        if not VENV:
            (plugin.parent / "sitecustomize.py").write_text(SITECUSTOMIZE)
        for name in ("certificates", "lock", "log", "rabbitmq"):
            (FOLDER / name).mkdir()
        self.environment = dict(os.environ, HOME=str(FOLDER / "rabbitmq"), AMPHORAD_INSTALLED=str(INSTALLED),
            PYTHONPATH=f"{FOLDER / 'plugin'}:{HERE}:{HERE.parent / 'vm'}", LC_ALL="C.UTF-8")

    # Processes

    def run(self, *command, **options):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, env=self.environment, timeout=4 * PATIENCE_S, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout[-3000:]}"
        return done.stdout

    @functools.cached_property
    def version(self):
        """Of Octavia."""
        return self.run(BIN / "python3", "-c", "import importlib.metadata as m; print(m.version('octavia'))").strip()

    @property
    def major(self):
        return int(self.version.partition(".")[0])

    def start_process(self, name, *command, **environment):
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment | environment, preexec_fn=die_with_parent)

    def log(self, name):
        return FOLDER / "log" / f"{name}.log"

    def wait_for(self, name, condition, what):
        ended = self.processes[name].poll
        wait_for(lambda: ended() is not None or condition(), 2 * PATIENCE_S, what)
        assert ended() is None, f"{name} ended: {self.log(name).read_text()[-3000:]}"

    def stop(self):
        """Nothing is kept, so nothing has to end well: Octavia's services would take seconds each."""
        for name in reversed(list(self.processes)):
            self.stop_process(name)

    def stop_process(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(PATIENCE_S)

    # What they need

    def install(self):
        """What "make install" puts on an amphora."""
        self.run("make", "-C", os.environ["AMPHORAD_BUILD_DIR"], "install", f"DESTDIR={INSTALLED}")

    def make_next_version(self):
        """Another build of amphorad, with a version of its own: (program, what it says of its version). Nothing is written
        where it was built; what does not have the version in it is not compiled again."""
        source, build = (pathlib.Path(os.environ[f"AMPHORAD_{name}_DIR"]) for name in ("SRC", "BUILD"))
        tree = FOLDER / "next"
        tree.mkdir()
        for entry in source.iterdir():
            if entry != build:
                (tree / entry.name).symlink_to(entry)
        copy = tree / "build"
        shutil.copytree(build, copy, symlinks=True, ignore=shutil.ignore_patterns("octavia-*", "test*", "fuzz_*", "*.log"))
        header = copy / "config.h"
        text, count = re.subn(r'(?m)^(#define PACKAGE_VERSION "[^"]*)"$', r'\1.next"', header.read_text())
        assert count == 1
        header.write_text(text)
        for path in [path for folder in ("agent", "api") for path in (source / folder).rglob("*.c")]:
            if "PACKAGE_VERSION" in path.read_text():
                for old in (copy / path.parent.relative_to(source)).glob(f"*{path.stem}.o"):
                    old.unlink()
        self.run("make", "-C", copy, "-o", "config.h", "amphorad")
        return copy / "amphorad", re.search(r'PACKAGE_VERSION "([^"]*)"', text)[1]

    def make_authorities(self):
        """Two authorities, RSA as Octavia's own script makes them, and the controller's certificate, with openssl."""
        for name in ("server", "client"):
            self.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name} CA",
                "-keyout", f"{name}-ca.key", "-out", f"{name}-ca.pem", cwd=FOLDER)
        self.run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=controller", "-keyout", "client.key",
            "-out", "client.csr", cwd=FOLDER)
        (FOLDER / "client.ext").write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
        self.run("openssl", "x509", "-req", "-in", "client.csr", "-CA", "client-ca.pem", "-CAkey", "client-ca.key",
            "-set_serial", "1", "-days", "30", "-extfile", "client.ext", "-out", "client.crt", cwd=FOLDER)
        (FOLDER / "client.pem").write_text((FOLDER / "client.crt").read_text() + (FOLDER / "client.key").read_text())

    def make_networks(self):
        for net in cloud.NETWORKS.values():
            cloud.run("ip", "link", "add", net["bridge"], "type", "bridge")
            cloud.run("ip", "link", "set", net["bridge"], "up")
        cloud.run("ip", "address", "add", f"{CONTROLLER}/24", "dev", cloud.NETWORKS["management"]["bridge"])

    def configure(self, **changes):
        """configure(heartbeat_interval=2) changes that option."""
        text = (HERE / "octavia.conf").read_text().format(folder=FOLDER, api_port=API_PORT, controller=CONTROLLER,
            management_network=cloud.NETWORKS["management"]["id"])
        for option, value in ((PATIENT if cloud.IMAGE else {}) | changes).items():
            text, count = re.subn(rf"(?m)^{option} = .*$", f"{option} = {value}", text)
            assert count == 1, option
        (FOLDER / "octavia.conf").write_text(text)
        # Agents are told the interval by the worker. To the health manager it is the age from which on it leaves a message
        # unread ("processed too slowly", heartbeat_udp.py): with a second of it, amphorae of a busy machine pass for dead.
        (FOLDER / "health-manager.conf").write_text("[health_manager]\nheartbeat_interval = 30\n")

    # The services

    def start_rabbitmq(self):
        folder = FOLDER / "rabbitmq"
        (folder / "rabbitmq.conf").write_text("listeners.tcp.default = 127.0.0.1:5672\nlog.file.level = warning\n"
            "disk_free_limit.absolute = 10MB\n")
        self.start_process("rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmq-server", RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_NODENAME="test@localhost", RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq"), RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(FOLDER / "log"), RABBITMQ_LOGS=str(FOLDER / "log/rabbitmq-server.log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"), RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none")

    def wait_rabbitmq(self):
        def listens():
            sockets = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()]
            return any(words[1].endswith(":1628") and words[3] == "0A" for words in sockets)
        self.wait_for("rabbitmq", listens, "RabbitMQ listens on 5672")

    def consumed_queues(self):
        """Names of RabbitMQ's queues that somebody reads."""
        return {line.split()[0] for line in self.run("/usr/lib/rabbitmq/bin/rabbitmqctl", "--node", "test@localhost", "--quiet",
            "--no-table-headers", "list_consumers").splitlines()}

    def start_mariadb(self):
        """On a file system in memory: no direct writes."""
        data, sock = FOLDER / "mysql", FOLDER / "mysql.sock"
        self.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal")
        self.start_process("mariadb", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}",
            "--skip-networking", "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")

        def listens():
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(sock))
            return True
        self.wait_for("mariadb", listens, "MariaDB listens")
        self.run("mariadb", "--no-defaults", f"--socket={sock}", "-uroot", "-e", "CREATE DATABASE octavia")
        self.run(BIN / "octavia-db-manage", "--config-file", FOLDER / "octavia.conf", "upgrade", "head")

    def start_service(self, name, *more):
        said = said_since(self.log(name))  # it may have run before
        own = FOLDER / f"{name}.conf"
        self.start_process(name, BIN / f"octavia-{name}", "--config-file", FOLDER / "octavia.conf",
            *(("--config-file", own) if own.exists() else ()), *more)
        return said

    def start_octavia(self, services=SERVICES):
        started = {name: self.start_service(name) for name in services}
        if "api" in started:
            self.wait_for("api", self.answers, "octavia-api answers")
        if "worker" in started:
            self.wait_for("worker", lambda: started["worker"]("Starting V2 consumer"), "octavia-worker listens")

    def stop_octavia(self, services=SERVICES):
        """As an operator does: each ends its work."""
        for name in services:
            self.processes[name].send_signal(signal.SIGTERM)
        for name in services:
            self.stop_process(name, signal.SIGTERM)

    def refuse_heartbeats(self, address):
        """Of this amphora, as where no health manager runs: it is told so (ICMP), until accept_heartbeats()."""
        cloud.run("nft", "add table ip refused; add chain ip refused input { type filter hook input priority 0; }; "
            f"add rule ip refused input ip saddr {address} udp dport 5555 counter reject")

    def refused_heartbeats(self):
        return int(re.search(r"counter packets (\d+)", cloud.run("nft", "list", "table", "ip", "refused"))[1])

    def accept_heartbeats(self):
        cloud.run("nft", "delete", "table", "ip", "refused")

    def answers(self):
        try:
            return self.get("/lbaas/loadbalancers") is not None
        except urllib.error.URLError:
            return False

    def start(self):
        if not cloud.IMAGE:
            self.install()
        self.make_networks()
        self.make_authorities()
        self.configure()
        self.start_rabbitmq()
        self.start_mariadb()
        self.wait_rabbitmq()
        self.start_octavia()
        return self

    # The API

    def request(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{API_PORT}/v2{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Project-Id": PROJECT})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def get(self, path):
        return self.request("GET", path)

    def make_flavor(self, name, **data):
        """Its id."""
        profile = self.request("POST", "/lbaas/flavorprofiles", {"flavorprofile": {"name": name, "provider_name": "amphora",
            "flavor_data": json.dumps(data)}})["flavorprofile"]["id"]
        return self.request("POST", "/lbaas/flavors", {"flavor": {"name": name, "enabled": True,
            "flavor_profile_id": profile}})["flavor"]["id"]

    def witnesses(self):
        """What one wants to read when a case has failed: [(headline, text)] of every amphora there is or was, and of Octavia."""
        found = []
        for path in sorted(cloud.FOLDER.glob("*/console.log"), key=lambda path: path.stat().st_mtime):
            found.append((f"what the agent of server {path.parent.name} said", _end(path, 60)))
            if cloud.IMAGE:
                with contextlib.suppress(KeyError, OSError, AssertionError):
                    found.append(("its journal", VirtualMachine({"compute_id": path.parent.name}).journal()))
                continue
            try:
                root = Machine({"compute_id": path.parent.name}).path("")
                found += [(f"its {log.name}", _end(log, 40)) for log in root.glob("var/lib/octavia/vrrp/*.log")]
            except (KeyError, IndexError, OSError):
                pass  # that server has ended
        for name in SERVICES:
            found.append((f"what octavia-{name} said of troubles", _end(self.log(name), 40, TROUBLE)))
        return found


def find_statuses(tree):
    """Every object of a status tree: {id: object without those below it}."""
    found = {}

    def walk(item):
        if isinstance(item, dict):
            if "id" in item:
                found[item["id"]] = {key: value for key, value in item.items() if isinstance(value, str)}
            item = item.values()
        if not isinstance(item, str):
            for part in item if hasattr(item, "__iter__") else ():
                walk(part)
    walk(tree)
    return found


class LoadBalancer:
    """One, through the API. What changes it returns when the change is ACTIVE in the load balancer and in the object."""

    def __init__(self, control_plane, made=None, **fields):
        """"made": the id of one that is there already."""
        self.control_plane = control_plane
        if made is None:
            made = control_plane.request("POST", "/lbaas/loadbalancers", {"loadbalancer":
                {"name": "lb", "vip_subnet_id": SUBNET} | fields})["loadbalancer"]["id"]
        self.id = made
        self.path = f"/lbaas/loadbalancers/{self.id}"
        self.settle()
        # The worker of 11.0.0 forgets all that is made with a load balancer (run_flow() hands "listeners" to the wrong
        # function), says ACTIVE, and makes it at the next failover.
        self.made_whole = self.everything_active()
        if not self.made_whole:
            control_plane.request("PUT", f"{self.path}/failover")
            wait_for(self.everything_active, 2 * PATIENCE_S, "everything in it is ACTIVE", interval=0.1)
            self.settle()
        body = self.control_plane.get(self.path)["loadbalancer"]
        self.vip = body["vip_address"]
        self.additional_vips = [vip["ip_address"] for vip in body.get("additional_vips", [])]

    def everything_active(self):
        return {one["provisioning_status"] for one in self.objects().values()} == {"ACTIVE"}

    def provisioning_status(self):
        return self.control_plane.get(self.path)["loadbalancer"]["provisioning_status"]

    def settle(self, timeout=2 * PATIENCE_S):
        def settled():
            status = self.provisioning_status()
            if status == "ERROR":
                raise RuntimeError("the load balancer is in ERROR")
            return status == "ACTIVE"
        wait_for(settled, timeout, "the load balancer is ACTIVE", interval=0.1)

    def url(self, port, address=None, scheme="http"):
        address = address or self.vip
        return f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}"

    def add(self, kind, path=None, **fields):
        """add("listener", protocol=…) makes one and returns its id. "path": below which, for members and rules."""
        path = path or f"/lbaas/{'l7policie' if kind == 'l7policy' else kind}s"
        made = self.control_plane.request("POST", path, {kind: fields})[kind]
        self.settle()
        self.check_object(f"{path}/{made['id']}", kind)
        return made["id"]

    def check_object(self, path, kind):
        """Its status follows that of the load balancer, not at the same moment."""
        def status():
            return self.control_plane.get(path)[kind]["provisioning_status"]
        wait_for(lambda: not status().startswith("PENDING"), PATIENCE_S, f"{path} is settled")
        assert status() == "ACTIVE", (path, status())

    def add_member(self, pool, address, port, **fields):
        return self.add("member", f"/lbaas/pools/{pool}/members", address=address, protocol_port=port,
            subnet_id=cloud.subnet_of(address), **fields)

    def start_change(self, path, **fields):
        """change() without waiting."""
        kind = path.split("/")[-2].rstrip("s").replace("l7policie", "l7policy")
        self.control_plane.request("PUT", f"/lbaas/{path}", {kind: fields})
        return kind

    def change(self, path, **fields):
        """change("listeners/ID", connection_limit=5)"""
        kind = self.start_change(path, **fields)
        self.settle()
        self.check_object(f"/lbaas/{path}", kind)

    def remove(self, path):
        self.control_plane.request("DELETE", f"/lbaas/{path}")
        self.settle()

    def delete(self):
        """With all that it has."""
        self.control_plane.request("DELETE", f"{self.path}?cascade=true")
        self.wait_gone()

    def wait_gone(self):
        def gone():
            left = self.control_plane.get("/lbaas/loadbalancers")["loadbalancers"]
            return self.id not in [one["id"] for one in left]
        wait_for(gone, 2 * PATIENCE_S, "the load balancer is deleted")

    def objects(self):
        """{object's id: name, provisioning and operating status} of everything."""
        return find_statuses(self.control_plane.get(f"{self.path}/status"))

    def named(self, name):
        """The id of the one object of that name."""
        [found] = [key for key, value in self.objects().items() if value.get("name") == name]
        return found

    def operating(self):
        """{object's id: operating status} of everything that has one, as the health manager knows it."""
        return {key: value["operating_status"] for key, value in self.objects().items() if "operating_status" in value}

    def wait_operating(self, identifier, status, timeout=PATIENCE_S):
        began = time.monotonic()
        wait_for(lambda: self.operating().get(identifier) == status, timeout, f"{identifier} is {status}", OF_A_TREE_S)
        return time.monotonic() - began

    def wait_online(self, timeout=PATIENCE_S):
        """Everything is ACTIVE, and ONLINE unless nobody looks. The health manager has no status for monitors: those that
        were made with their load balancer stay OFFLINE."""
        def well(one):
            return one["provisioning_status"] == "ACTIVE" and (
                "type" in one or one.get("operating_status", "ONLINE") in ("ONLINE", "NO_MONITOR"))

        def wrong():
            return [one for one in self.objects().values() if not well(one)]
        try:
            wait_for(lambda: not wrong(), timeout, "everything is ACTIVE and ONLINE", OF_A_TREE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {wrong()}") from error

    @property
    def stats(self):
        return self.control_plane.get(f"{self.path}/stats")["stats"]

    def listener_stats(self, listener):
        return self.control_plane.get(f"/lbaas/listeners/{listener}/stats")["stats"]

    @property
    def amphorae(self):
        return [one for one in self.control_plane.get("/octavia/amphorae")["amphorae"] if one["loadbalancer_id"] == self.id
            and one["status"] != "DELETED"]

    def machine(self, role=None):
        """Of its only amphora, or of the one with this role."""
        [amphora] = [one for one in self.amphorae if role in (None, one["role"])]
        return (VirtualMachine if cloud.IMAGE else Machine)(amphora)
