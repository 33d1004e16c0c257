# SPDX-License-Identifier: Apache-2.0
"""The control plane of Octavia as Debian packages it: octavia-api, octavia-worker and octavia-health-manager with MariaDB
and RabbitMQ, the cloud of cloud/ below it. Only inside the namespaces that tests/octavia/run makes."""

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

import cloud
from processes import die_with_parent, wait_for

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path("/run/octavia")
INSTALLED = pathlib.Path("/run/installed")
CONTROLLER = "172.31.0.1"
API_PORT = 9876
PROJECT = "0123456789abcdef0123456789abcdef"
SERVICES = ("api", "worker", "health-manager")
# Names of drivers in octavia.conf are entry points of an installed distribution: this is one.
ENTRY_POINTS = """[octavia.compute.drivers]
amphorad_compute = cloud.compute:Compute
[octavia.network.drivers]
amphorad_network = cloud.network:Network
"""


class ControlPlane:
    def __init__(self):
        self.processes = {}
        plugin = FOLDER / "plugin/amphorad_cloud-1.dist-info"
        plugin.mkdir(parents=True)
        (plugin / "entry_points.txt").write_text(ENTRY_POINTS)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: amphorad_cloud\nVersion: 1\n")
        for name in ("certificates", "lock", "log", "rabbitmq"):
            (FOLDER / name).mkdir()
        self.environment = dict(os.environ, HOME=str(FOLDER / "rabbitmq"), AMPHORAD_INSTALLED=str(INSTALLED),
            PYTHONPATH=f"{FOLDER / 'plugin'}:{HERE}", LC_ALL="C.UTF-8")

    # Processes

    def run(self, *command, **options):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, env=self.environment, timeout=120, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout[-3000:]}"
        return done.stdout

    def start_process(self, name, *command, **environment):
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self.environment | environment, preexec_fn=die_with_parent)

    def log(self, name):
        return FOLDER / "log" / f"{name}.log"

    def wait_for(self, name, condition, what):
        ended = self.processes[name].poll
        wait_for(lambda: ended() is not None or condition(), 60, what)
        assert ended() is None, f"{name} ended: {self.log(name).read_text()[-3000:]}"

    def stop(self):
        """Nothing is kept, so nothing has to end well: Octavia's services would take seconds each."""
        for process in reversed(list(self.processes.values())):
            process.kill()
            process.wait()

    # What they need

    def install(self):
        """What "make install" puts on an amphora."""
        self.run("make", "-C", os.environ["AMPHORAD_BUILD_DIR"], "install", f"DESTDIR={INSTALLED}")

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

    def configure(self):
        text = (HERE / "octavia.conf").read_text().format(folder=FOLDER, api_port=API_PORT, controller=CONTROLLER,
            management_network=cloud.NETWORKS["management"]["id"])
        (FOLDER / "octavia.conf").write_text(text)

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

    def start_mariadb(self):
        """On a file system in memory: no direct writes."""
        data, sock = FOLDER / "mysql", FOLDER / "mysql.sock"
        self.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal")
        self.start_process("mariadb", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={sock}",
            "--skip-networking", "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
        self.wait_for("mariadb", sock.exists, "MariaDB has its socket")
        self.run("mariadb", "--no-defaults", f"--socket={sock}", "-uroot", "-e", "CREATE DATABASE octavia")
        self.run("octavia-db-manage", "--config-file", FOLDER / "octavia.conf", "upgrade", "head")

    def start_octavia(self):
        for name in SERVICES:
            self.start_process(name, f"octavia-{name}", "--config-file", FOLDER / "octavia.conf")
        self.wait_for("api", self.answers, "octavia-api answers")
        self.wait_for("worker", lambda: "Starting V2 consumer" in self.log("worker").read_text(), "octavia-worker listens")

    def answers(self):
        try:
            return self.get("/lbaas/loadbalancers") is not None
        except urllib.error.URLError:
            return False

    def start(self):
        self.install()
        self.make_networks()
        self.make_authorities()
        self.configure()
        self.start_rabbitmq()
        self.start_mariadb()
        self.wait_for("rabbitmq", lambda: ":1628 " in pathlib.Path("/proc/net/tcp").read_text(), "RabbitMQ listens on 5672")
        self.start_octavia()
        return self

    # The API

    def request(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{API_PORT}/v2{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Project-Id": PROJECT})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    def get(self, path):
        return self.request("GET", path)

    def console(self):
        """What the agents said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(cloud.FOLDER.glob("*/console.log")))


class LoadBalancer:
    """One, through the API. What changes it returns when the change is ACTIVE in the load balancer and in the object."""

    def __init__(self, control_plane, **fields):
        self.control_plane = control_plane
        made = control_plane.request("POST", "/lbaas/loadbalancers", {"loadbalancer":
            {"name": "lb", "vip_subnet_id": cloud.NETWORKS["vip"]["subnet"]} | fields})["loadbalancer"]
        self.id, self.vip = made["id"], made["vip_address"]
        self.path = f"/lbaas/loadbalancers/{self.id}"
        self.settle()

    def settle(self):
        def settled():
            status = self.control_plane.get(self.path)["loadbalancer"]["provisioning_status"]
            if status == "ERROR":
                raise RuntimeError("the load balancer is in ERROR")
            return status == "ACTIVE"
        wait_for(settled, 120, "the load balancer is ACTIVE", interval=0.1)

    def add(self, kind, path=None, **fields):
        """add("listener", protocol=…) makes one and returns its id. "path": below which, for members."""
        path = path or f"/lbaas/{kind}s"
        made = self.control_plane.request("POST", path, {kind: fields})[kind]
        self.settle()
        status = self.control_plane.get(f"{path}/{made['id']}")[kind]["provisioning_status"]
        assert status == "ACTIVE", (kind, status)
        return made["id"]

    def add_member(self, pool, address, port, **fields):
        return self.add("member", f"/lbaas/pools/{pool}/members", address=address, protocol_port=port,
            subnet_id=cloud.NETWORKS["member"]["subnet"], **fields)

    def remove(self, path):
        self.control_plane.request("DELETE", f"/lbaas/{path}")
        self.settle()

    def delete(self):
        """With all that it has."""
        self.control_plane.request("DELETE", f"{self.path}?cascade=true")

        def gone():
            left = self.control_plane.get("/lbaas/loadbalancers")["loadbalancers"]
            return self.id not in [one["id"] for one in left]
        wait_for(gone, 60, "the load balancer is deleted")

    def operating(self):
        """{object's id: operating status} of everything, as the health manager knows it."""
        found = {}

        def walk(item):
            if isinstance(item, dict):
                if "operating_status" in item:
                    found[item["id"]] = item["operating_status"]
                item = item.values()
            if not isinstance(item, str):
                for part in item if hasattr(item, "__iter__") else ():
                    walk(part)
        walk(self.control_plane.get(f"{self.path}/status"))
        return found

    def wait_operating(self, identifier, status, timeout=30):
        began = time.monotonic()
        wait_for(lambda: self.operating().get(identifier) == status, timeout, f"{identifier} is {status}")
        return time.monotonic() - began

    def wait_online(self, timeout=30):
        wait_for(lambda: set(self.operating().values()) == {"ONLINE"}, timeout, "everything is ONLINE")

    @property
    def stats(self):
        return self.control_plane.get(f"{self.path}/stats")["stats"]

    @property
    def amphorae(self):
        return [one for one in self.control_plane.get("/octavia/amphorae")["amphorae"]
            if one["loadbalancer_id"] == self.id]
