# SPDX-License-Identifier: Apache-2.0
"""What an Octavia controller has and an amphora sees of it: certificates, the configuration file, the TLS door, the
amphora driver with its data models. Fixtures for it; octavia itself is imported by the functions that need it."""

import base64
import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import tempfile
import threading
import uuid
import zlib

import pytest

import amphora
from pki import CLIENT, Authority, serial_of
from processes import free_port, wait_for


VIP = "127.0.0.10"
HEARTBEAT_KEY = "insecure-but-known-Qx7"

# amphora_agent_conf.template of Octavia 11.0.0, filled in; test_amphora_driver.py compares.
AGENT_CONF = """
[DEFAULT]
debug = {debug}
use_syslog = True
syslog_log_facility = LOG_LOCAL{administrative_log_facility}

[haproxy_amphora]
base_cert_dir = {base_cert_dir}
base_path = {base_path}
bind_host = {bind_host}
bind_port = {bind_port}
haproxy_cmd = {haproxy_cmd}
respawn_count = 2
respawn_interval = 2
use_upstart = True
user_log_facility = {user_log_facility}
administrative_log_facility = {administrative_log_facility}

[health_manager]
controller_ip_port_list = {controllers}
heartbeat_interval = {heartbeat_interval}
heartbeat_key = {heartbeat_key}

[amphora_agent]
agent_server_ca = {agent_server_ca}
agent_server_cert = {agent_server_cert}
agent_request_read_timeout = 180
amphora_id = {amphora_id}
amphora_udp_driver = keepalived_lvs
agent_tls_protocol = {agent_tls_protocol}

[controller_worker]
loadbalancer_topology = {topology}"""


# Certificates


class Pki:
    """Octavia's two authorities: amphorae verify controllers by client_ca, controllers verify amphorae by server_ca."""

    def __init__(self):
        self.server_ca = Authority("server CA")
        self.client_ca = Authority("client CA")
        self.controller = self.client_ca.issue("octavia-worker", (CLIENT,))


@functools.lru_cache
def shared_pki():
    return Pki()


# The TLS door


def client_context(pki, client=None, version=None):
    """Verifies the amphora, shows "client" (a Pair; False: nothing). Host names are checked by those who care."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pki.server_ca.pem)
    if version:
        context.minimum_version = context.maximum_version = version
    if client is not False:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write((client or pki.controller).pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context


class Connection:
    """One TLS connection that sends exactly the bytes it is told to; http.client would refuse many of our paths."""

    def __init__(self, port, context, timeout=60, host="127.0.0.1"):
        self.socket = context.wrap_socket(socket.create_connection((host, port), timeout))

    def send(self, method, path, body=None, headers=None, chunked=False):
        lines = {"Host": "amphora", "User-Agent": "Octavia HaProxy Rest Client/1.0", "Accept": "*/*", **(headers or {})}
        if body is not None or method in ("PUT", "POST", "DELETE"):
            if chunked:
                lines["Transfer-Encoding"] = "chunked"
            else:
                lines.setdefault("Content-Length", str(len(body or b"")))
        path = path.encode("latin-1") if isinstance(path, str) else path
        head = b"".join(f"{name}: {value}\r\n".encode() for name, value in lines.items())
        data = method.encode() + b" " + path + b" HTTP/1.1\r\n" + head + b"\r\n"
        if chunked:
            for start in range(0, len(body), 1000):
                part = body[start:start + 1000]
                data += b"%x\r\n%s\r\n" % (len(part), part)
            data += b"0\r\n\r\n"
        else:
            data += body or b""
        self.socket.sendall(data)

    def receive(self, method="GET"):
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        return amphora.Reply(response)

    def request(self, method, path, body=None, headers=None, chunked=False):
        self.send(method, path, body, headers, chunked)
        return self.receive(method)

    @property
    def serial(self):
        return serial_of(self.socket.getpeercert(binary_form=True))

    def close(self):
        self.socket.close()


class TlsDoor:
    """What an agent of either kind offers a controller. The class beside it has: pki, port."""

    def connect(self, client=None, version=None, timeout=60):
        return Connection(self.port, client_context(self.pki, client, version), timeout)

    def rest(self, method, path, body=None, headers=None, chunked=False, client=None, timeout=60):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **(headers or {})}
        if isinstance(body, str):
            body = body.encode()
        connection = self.connect(client, timeout=timeout)
        try:
            return connection.request(method, path, body, headers, chunked)
        finally:
            connection.close()

    def upload(self, lb_id, text):
        return self.rest("PUT", f"/1.0/loadbalancer/{self.amphora_id}/{lb_id}/haproxy", text)

    def action(self, lb_id, action):
        return self.rest("PUT", f"/1.0/loadbalancer/{lb_id}/{action}")

    def put_certificate(self, lb_id, name, text):
        return self.rest("PUT", f"/1.0/loadbalancer/{lb_id}/certificates/{name}", text)

    def publish(self, lb_id, text):
        """As the worker does it: upload, then reload, started or not."""
        self.upload(lb_id, text).expect(202)
        return self.action(lb_id, "reload").expect(202)

    def agent_conf(self, **more):
        """amphora-agent.conf as Octavia would send it."""
        return AGENT_CONF.format(**{**self.options, **more})

    def prepare(self, pki, **options):
        """The certificates and what the file says, from self.folder, self.state and self.amphora_id."""
        self.pki = pki or shared_pki()
        self.cert_dir = self.state / "certs"
        self.port = free_port()
        self.server_pair = self.pki.server_ca.issue(self.amphora_id)
        self.server_cert = self.server_pair.save(self.folder / "server.pem")
        self.client_ca_file = self.folder / "client_ca.pem"
        self.client_ca_file.write_text(self.pki.client_ca.pem)
        self.options = {"debug": False, "administrative_log_facility": 1, "user_log_facility": 0,
            "base_cert_dir": self.cert_dir, "base_path": self.state, "bind_host": "127.0.0.1", "bind_port": self.port,
            "haproxy_cmd": amphora.HAPROXY, "controllers": "", "heartbeat_interval": 1,
            "heartbeat_key": HEARTBEAT_KEY, "agent_server_ca": self.client_ca_file,
            "agent_server_cert": self.server_cert, "amphora_id": self.amphora_id, "agent_tls_protocol": "TLSv1.2",
            "topology": "SINGLE", **options}


class OctaviaAgent(TlsDoor, amphora.Agent):
    """An amphorad under a controller: Octavia's file is one of its two. Its unix socket is open, too."""

    def __init__(self, pki=None, amphora_id=None, amphorad="", **options):
        self.wanted = (pki, amphora_id, options)
        super().__init__(amphorad=amphorad)

    def write_config(self, amphorad="", *unused):
        pki, amphora_id, options = self.wanted
        self.amphora_id = amphora_id or self.amphora_id
        self.prepare(pki, **options)
        self.agent_config = self.folder / "amphora-agent.conf"
        self.agent_config.write_text(self.agent_conf())
        self.config.write_text(f"""\
[amphorad]
listen = unix:{self.socket_path}
run_dir = {self.run}
network_namespace =
supervisor = direct
template_dir = {amphora.SOURCE / "templates"}
tools_dir = {amphora.SOURCE / "agent/tools"}
default_vip_address = {VIP}
{amphorad}
""")

    def command(self, *options):
        return super().command("--config-file", str(self.agent_config), *options)


@functools.lru_cache
def why_not_served():
    """Why tests of the TLS door cannot run, None if they can."""
    agent = OctaviaAgent()
    try:
        agent.start()
        socket.create_connection(("127.0.0.1", agent.port), 5).close()
        return None
    except ConnectionRefusedError:
        return "this amphorad does not listen on [haproxy_amphora] bind_host:bind_port"
    finally:
        agent.close()


@pytest.fixture
def tls_door():
    """Skips as long as the door is not built."""
    reason = why_not_served()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def make_amphora(request, tls_door):
    """make_agent for OctaviaAgent."""
    with amphora.maker(request, OctaviaAgent) as make:
        yield make


# The health manager


class HealthManager:
    """Receives heartbeats; checks and opens each one as documented."""

    def __init__(self, host="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.messages = []
        self.errors = []
        self.key = HEARTBEAT_KEY
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            digest = hmac.new(self.key.encode(), data[:-64], hashlib.sha256).hexdigest()
            if hmac.compare_digest(digest.encode(), data[-64:]):
                self.messages.append(json.loads(zlib.decompress(data[:-64])))
            else:
                self.errors.append(data[-64:])

    def wait_for(self, condition, what, timeout=20):
        """Until a message satisfies "condition"; that message."""
        def found():
            return next((message for message in list(self.messages) if condition(message)), None)
        return wait_for(found, timeout, what)

    def wait_more(self, count=2, timeout=20):
        """"count" further messages."""
        start = len(self.messages)
        wait_for(lambda: len(self.messages) >= start + count, timeout, f"{count} more heartbeats")
        return self.messages[start:]

    def close(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def health_managers():
    made = []

    def make(host="127.0.0.1"):
        made.append(HealthManager(host))
        return made[-1]
    yield make
    for manager in made:
        manager.close()


# haproxy.cfg without Octavia


def haproxy_cfg(agent, lb_id, port, backends=(), listener_id=None, pool_id=None, extra_global="", mode="http",
        extra="", check=False, pool_extra=""):
    """What Octavia's templates render for one listener and one pool. "backends": (id, address, port[, words])."""
    listener_id, pool_id = listener_id or amphora.new_id(), pool_id or amphora.new_id()
    checks = " check inter 1s fall 1 rise 1" if check else ""
    state = "    load-server-state-from-file global\n    timeout check 5s\n" if check else ""
    servers = "".join(f"    server {name} {address}:{number} weight 1{checks} {' '.join(words)}\n"
        for name, address, number, *words in backends)
    return f"""\
# Configuration for loadbalancer {lb_id}
global
    daemon
    user nobody
    log /run/rsyslog/octavia/log local0
    log /run/rsyslog/octavia/log local1 notice
    stats socket {agent.state}/{lb_id}.sock mode 0666 level user
    server-state-file {agent.state}/{lb_id}/servers-state
    maxconn 200
{extra_global}
defaults
    log global
    retries 3
    option redispatch
    option splice-request
    option splice-response
    option http-keep-alive
{extra}
frontend {listener_id}
    maxconn 200
    bind {VIP}:{port}
    mode {mode}
    default_backend {pool_id}:{listener_id}
    timeout client 50000

backend {pool_id}:{listener_id}
    mode {mode}
    balance roundrobin
{state}{pool_extra}    fullconn 200
    option allbackups
    timeout connect 5000
    timeout server 50000
{servers}"""


def md5(data):
    return hashlib.md5(data.encode() if isinstance(data, str) else data, usedforsecurity=False).hexdigest()


def peer_name(amphora_id):
    """octavia.common.utils.base64_sha1_string() without its "="."""
    text = base64.b64encode(hashlib.sha1(amphora_id.encode(), usedforsecurity=False).digest(), b"_-").decode()
    return re.sub("^-", "x", text).rstrip("=")


# Octavia's driver


class Calls(list):
    """Every request of the driver: (method, path, status)."""

    def of(self, method, part=""):
        return [call for call in self if call[0] == method and part in call[1]]


class Controller:
    """Octavia's worker as far as one amphora sees it: its options, its driver, its data models."""

    def __init__(self, agent, folder, **options):
        from octavia.common import config, data_models
        from oslo_config import cfg
        from oslo_log import log
        self.agent = agent
        self.models = data_models
        self.folder = pathlib.Path(folder)
        self.conf = cfg.CONF
        log.register_options(self.conf)
        self.conf([], project="octavia", default_config_files=[], default_config_dirs=[])
        assert config
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir()
        pki = agent.pki
        for name, text in (("server_ca.pem", pki.server_ca.pem), ("server_ca.key", pki.server_ca.pair.key),
                ("client.pem", pki.controller.pem)):
            (self.folder / name).write_text(text)
        self.set("haproxy_amphora", base_path=str(agent.state), base_cert_dir=str(agent.cert_dir),
            bind_host="127.0.0.1", bind_port=agent.port, haproxy_cmd=amphora.HAPROXY,
            client_cert=str(self.folder / "client.pem"), server_ca=str(self.folder / "server_ca.pem"),
            connection_max_retries=2, connection_retry_interval=1, rest_request_conn_timeout=10,
            rest_request_read_timeout=60, **options)
        self.set("certificates", cert_manager="local_cert_manager", storage_path=str(self.secrets),
            ca_certificate=str(self.folder / "server_ca.pem"), ca_private_key=str(self.folder / "server_ca.key"))
        self.set("amphora_agent", agent_server_ca=str(agent.client_ca_file), agent_server_cert=str(agent.server_cert),
            agent_tls_protocol="TLSv1.2")
        self.set("health_manager", heartbeat_key=HEARTBEAT_KEY, heartbeat_interval=1, controller_ip_port_list=[])
        self.driver = self._make_driver()
        self._limit_memory(self.driver.clients["1.0"])
        self.calls = Calls()
        for client in self.driver.clients.values():
            client.session.hooks["response"].append(self._record)
        self.amphora = data_models.Amphora(id=agent.amphora_id, lb_network_ip="127.0.0.1", vrrp_ip=VIP, ha_ip=VIP,
            status="ALLOCATED", role="STANDALONE")

    def set(self, group, **options):
        for name, value in options.items():
            self.conf.set_override(name, value, group=group)

    def _make_driver(self):
        from octavia.amphorae.drivers.haproxy import rest_api_driver
        from octavia.db import api as db_api

        class NoDatabase:
            """The driver swallows a failure of one listener and writes it to the database: here it fails the test."""

            def update(self, *unused, **also_unused):
                raise RuntimeError("the driver gave up on a listener, see the exception before this one")
        rest_api_driver.repo.ListenerRepository = NoDatabase
        db_api.get_session = contextlib.nullcontext
        return rest_api_driver.HaproxyAmphoraLoadBalancerDriver()

    @staticmethod
    def _limit_memory(client):
        """Drivers from 16.x on give HAProxy's TLS cache half of the memory that the amphora has: gigabytes here."""
        get_details = client.get_details

        def get_small_details(*args, **kwargs):
            details = get_details(*args, **kwargs)
            details["memory"].update(free=40000, buffers=1000, cached=1000)
            return details
        client.get_details = get_small_details

    def _record(self, response, *unused, **also_unused):
        path = re.sub("^https://[^/]*", "", response.request.url)
        self.calls.append((response.request.method, path, response.status_code))

    def close(self):
        for client in self.driver.clients.values():
            client.session.close()
        self.conf.reset()

    # Data models. Ids are new, enabled is true, the project is always the same.

    def _new(self, kind, **values):
        return getattr(self.models, kind)(**{"id": str(uuid.uuid4()), "project_id": "p", "enabled": True,
            "provisioning_status": "ACTIVE", "operating_status": "ONLINE", **values})

    def load_balancer(self, vip=VIP):
        lb = self._new("LoadBalancer", topology="SINGLE", amphorae=[self.amphora],
            vip=self.models.Vip(ip_address=vip))
        self.amphora.load_balancer = lb
        return lb

    def listener(self, lb, protocol, pool=None, port=None, other_pools=(), **values):
        pools = ([pool] if pool else []) + list(other_pools)
        values = {"connection_limit": 200, "insert_headers": {}, **values}
        listener = self._new("Listener", protocol=protocol, protocol_port=port or free_port(), load_balancer=lb,
            load_balancer_id=lb.id, default_pool=pool, default_pool_id=pool.id if pool else None, pools=pools,
            peer_port=1025, **values)
        lb.listeners.append(listener)
        lb.pools.extend(pool for pool in pools if pool not in lb.pools)
        return listener

    def pool(self, protocol, *members, lb_algorithm="ROUND_ROBIN", **values):
        return self._new("Pool", protocol=protocol, lb_algorithm=lb_algorithm, members=list(members),
            **{"tls_enabled": False, **values})

    def member(self, port, address="127.0.0.1", weight=1, **values):
        return self._new("Member", ip_address=address, protocol_port=port, weight=weight,
            **{"backup": False, **values})

    def monitor(self, kind="HTTP", **values):
        return self._new("HealthMonitor", type=kind, **{"delay": 1, "timeout": 5, "fall_threshold": 1,
            "rise_threshold": 1, "http_method": "GET", "url_path": "/health", "expected_codes": "200", **values})

    def policy(self, listener, action, rules, **values):
        policy = self._new("L7Policy", action=action, position=len(listener.l7policies) + 1, listener=listener,
            l7rules=[self._new("L7Rule", **rule) for rule in rules], **values)
        listener.l7policies.append(policy)
        if policy.redirect_pool and policy.redirect_pool not in listener.pools:
            listener.pools.append(policy.redirect_pool)
        return policy

    def secret(self, certificate, key="", intermediates=None):
        """Into Octavia's local certificate manager; the reference."""
        from octavia.certificates.manager import local
        return local.LocalCertManager.store_cert(None, certificate, key, intermediates)

    def sni(self, listener, references):
        listener.sni_containers = [self.models.SNI(listener_id=listener.id, position=n, tls_container_id=reference)
            for n, reference in enumerate(references)]

    def update(self, lb):
        self.driver.update_amphora_listeners(lb, self.amphora)

    def agent_config(self):
        """The file as Octavia's own templater makes it."""
        from octavia.amphorae.backends.agent import agent_jinja_cfg
        return agent_jinja_cfg.AgentJinjaTemplater().build_agent_config(self.amphora.id, "SINGLE")


@pytest.fixture
def make_controller(tmp_path):
    pytest.importorskip("octavia.amphorae.drivers.haproxy.rest_api_driver",
        reason="python3-octavia is not installed")
    made = []

    def make(agent, **options):
        folder = tmp_path / f"controller{len(made)}"
        folder.mkdir()
        made.append(Controller(agent, folder, **options))
        return made[-1]
    yield make
    for controller in made:
        controller.close()


@pytest.fixture
def remote(request):
    """The agent that a controller's tests talk to, running: amphorad. With AMPHORAD_TEST_AGENT=python in the
    environment Octavia's own, which tries the tests."""
    if os.environ.get("AMPHORAD_TEST_AGENT") != "python":
        yield request.getfixturevalue("make_amphora")().start()
        return
    import python_agent
    if python_agent.why_not_run():
        pytest.skip(python_agent.why_not_run())
    agent = python_agent.PythonAgent()
    try:
        yield agent.start()
    finally:
        report = getattr(request.node, "report_call", None)
        if report is not None and report.failed:
            print("\n".join(["--- the last lines of the Python agent's log", *agent.log.splitlines()[-60:]]))
        agent.close()


@pytest.fixture
def amp(remote):
    return remote
