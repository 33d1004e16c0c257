# SPDX-License-Identifier: Apache-2.0
"""prometheus-proxy: what it makes of the page of a live HAProxy's exporter is what Octavia's own program makes of it.

AMPHORAD_OCTAVIA_PROMETHEUS names the program of another release (octavia/cmd/prometheus_proxy.py) in place of the installed one.
"""

import http.client
import http.server
import importlib.util
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

import amphora
from clients import fetch, server_of
from netns import need_namespaces, namespaces  # noqa: F401
from processes import free_port, wait_for

PROXY = amphora.BUILD / "prometheus-proxy"
OWN = re.compile(r"^(octavia_loadbalancer_(?:cpu|memory)) [0-9]+\.[0-9]$", re.MULTILINE)


class Exporter:
    """Answers every request with these bytes, head included."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                try:
                    connection.sendall(self.answer)
                except OSError:
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def page(body, status="200 OK"):
    body = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\n\r\n".encode() + body


@pytest.fixture
def exporters():
    made = []

    def make(answer):
        made.append(Exporter(answer))
        return made[-1]
    yield make
    for one in made:
        one.close()


class Proxy:
    def __init__(self, folder, exporter_port, network_namespace=""):
        self.port = free_port()
        self.base = folder / "state"
        self.base.mkdir(exist_ok=True)
        config = folder / "proxy.conf"
        config.write_text(f"[haproxy_amphora]\nbase_path = {self.base}\n[amphorad]\n"
            f"network_namespace = {network_namespace}\n")
        self.log_path = folder / "proxy.log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PROXY, "--config-file", config, "--listen", f"127.0.0.1:{self.port}",
                "--exporter", f"127.0.0.1:{exporter_port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def log(self):
        return self.log_path.read_text()

    def wait(self):
        wait_for(lambda: "serving on port" in self.log or self.process.poll() is not None, 10, "the proxy serves")
        assert self.process.poll() is None, self.log
        return self

    def get(self, path="/metrics", method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path)
        reply = connection.getresponse()
        reply.text = reply.read().decode()
        connection.close()
        return reply

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log


@pytest.fixture
def proxies(tmp_path):
    made = []

    def make(exporter_port, **options):
        made.append(Proxy(tmp_path, exporter_port, **options))
        return made[-1]
    yield make
    for proxy in made:
        proxy.stop()
        assert not amphora.SANITIZER.search(proxy.log), proxy.log


@pytest.fixture
def haproxy_page(origins, tmp_path):
    """The exporter's page of a HAProxy that has served something, with members up, down, in maintenance and not checked."""
    first, second = origins("first"), origins("second")
    web, metrics, stats = free_port(), free_port(), tmp_path / "stats.sock"
    config = tmp_path / "haproxy.cfg"
    listener, pool = amphora.new_id(), amphora.new_id()
    config.write_text(f"""\
global
    maxconn 100
    stats socket {stats} level admin
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 1s
frontend {listener}
    bind 127.0.0.1:{web}
    default_backend {pool}:{listener}
frontend prometheus-exporter-internal-endpoint
    bind 127.0.0.1:{metrics}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request reject
backend {pool}:{listener}
    balance roundrobin
    server {amphora.new_id()} 127.0.0.1:{first.port} check inter 100ms
    server {amphora.new_id()} 127.0.0.1:{second.port}
    server {amphora.new_id()} 127.0.0.1:{free_port()} check inter 100ms fall 1
    server {amphora.new_id()} 127.0.0.1:{free_port()} disabled
    server {amphora.new_id()} 127.0.0.1:{free_port()} backup weight 0
""")
    process = subprocess.Popen([amphora.HAPROXY, "-db", "-f", config], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: {server_of(web) for _ in range(4)} == {"first", "second"}, 10, "HAProxy serves")
        fetch(web, "/nowhere")
        status, _, body = fetch(metrics, "/metrics")
        assert status == 200
        return body if isinstance(body, str) else body.decode()
    finally:
        process.kill()
        process.wait()


def octavias_program():
    """Octavia's module, and what later releases have mended of it, so that 11.0.0 can be compared with, too."""
    path = os.environ.get("AMPHORAD_OCTAVIA_PROMETHEUS")
    if path:
        specification = importlib.util.spec_from_file_location("octavia_prometheus_proxy", path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    else:
        module = pytest.importorskip("octavia.cmd.prometheus_proxy", reason="python3-octavia is not installed")
    table = module.METRIC_MAP
    for key in list(table):
        # A misspelt name, and one of HAProxy that never was.
        wanted = key.replace("frontent", "frontend").replace("server_server_idle", "server_idle")
        if wanted != key:
            target, *rest = table.pop(key)
            table[wanted] = (target.replace("frontent", "frontend"), *rest)
    for kind in ("listener", "pool", "member"):
        # The numbers of HAProxy 1.x; since 2.0 there is a sample for each state.
        key = {"listener": "haproxy_frontend_status ", "pool": "haproxy_backend_status ",
            "member": "haproxy_server_status "}[kind]
        target, help_line, *rest = table[key]
        table[key] = (target, re.sub(r" 0=.*", "", help_line), *rest)
    module.METRIC_KEYS = table.keys()
    return module


def ask_octavia(exporter_port):
    module = octavias_program()
    module.METRICS_URL = f"http://127.0.0.1:{exporter_port}/metrics"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), module.PrometheusProxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        reply.text = reply.read().decode()
        connection.close()
        return reply
    finally:
        server.shutdown()
        server.server_close()


def test_the_same_as_octavias(haproxy_page, exporters, proxies, note):
    exporter = exporters(page(haproxy_page))
    ours = proxies(exporter.port).wait().get()
    theirs = ask_octavia(exporter.port)
    assert ours.status == theirs.status == 200
    for header in ("content-type", "cache-control", "connection"):
        assert ours.headers[header] == theirs.headers[header]
    assert len(OWN.findall(ours.text)) == 2
    assert OWN.sub(r"\1", ours.text).splitlines() == OWN.sub(r"\1", theirs.text).splitlines()
    samples = [line for line in ours.text.splitlines() if not line.startswith("#")]
    assert len(samples) > 200 and not any("haproxy" in line.split("{")[0] for line in samples)
    note(f"{len(haproxy_page.splitlines())} lines of HAProxy, {len(samples)} samples the same as Octavia's")
    # HAProxy is asked in a way that it answers without chunks.
    assert exporter.requests[0].startswith(b"GET /metrics HTTP/1.0\r\n")


def test_any_path_head_and_other_methods(exporters, proxies):
    proxy = proxies(exporters(page("haproxy_process_listeners 3\n")).port).wait()
    assert proxy.get("/anything?x=y").text.endswith("octavia_loadbalancer_listeners 3\n")
    assert proxy.get(method="HEAD").status == 200
    assert proxy.get(method="POST").status == 405


@pytest.mark.parametrize("answer", [
    page("x", "503 Service Unavailable"), b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
], ids=["503", "empty", "nonsense", "endless-head", "chunked"])
def test_an_exporter_that_fails(exporters, proxies, answer):
    exporter = exporters(answer)
    proxy = proxies(exporter.port).wait()
    assert proxy.get().status == 502
    exporter.answer = page("haproxy_process_listeners 3\n")
    assert proxy.get().status == 200


def test_no_exporter(proxies):
    assert proxies(free_port()).wait().get().status == 502


def test_large_pages_go_through(exporters, proxies, note):
    """A load balancer of 10 000 members has a page of tens of megabytes; it does not stay in memory."""
    lines = [f'haproxy_server_bytes_in_total{{proxy="p{n // 100}:l",server="{n}"}} {n}' for n in range(200000)]
    proxy = proxies(exporters(page("\n".join(lines) + "\n")).port).wait()
    got = [line for line in proxy.get().text.splitlines() if line.startswith("octavia_member")]
    assert len(got) == len(lines) and got[-1] == 'octavia_member_bytes_in_total{pool="p1999:l",member="199999"} 199999'
    with open(f"/proc/{proxy.process.pid}/status", encoding="ascii") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
    note(f"page of {len(lines)} samples: at most {peak} kB resident")
    if "asan" not in str(amphora.BUILD):
        assert peak < 40000


def test_lvs_listeners_are_there(exporters, proxies):
    listener, pool, member, other = (amphora.new_id() for _ in range(4))
    proxy = proxies(exporters(page("# HELP haproxy_frontend_status Words.\n# TYPE haproxy_frontend_status gauge\n"
        'haproxy_frontend_status{proxy="web",state="UP"} 1\n')).port).wait()
    lvs = proxy.base / "lvs"
    lvs.mkdir()
    (lvs / f"octavia-keepalivedlvs-{listener}.conf").write_text(f"""\
# Configuration for Loadbalancer {amphora.new_id()}
# Configuration for Listener {listener}
virtual_server_group ipv4-group {{
    192.0.2.1 53
}}
virtual_server group ipv4-group {{
    protocol UDP
    # Configuration for Pool {pool}
    # Configuration for Member {member}
    real_server 192.0.2.2 53 {{
        weight 1
    }}
    # Member {other} is disabled
}}
""")
    (lvs / "octavia-keepalivedlvs-x.conf").write_text("nonsense\0\n")
    text = proxy.get().text
    if os.path.exists("/proc/net/ip_vs"):
        pytest.skip("this kernel has IPVS, and none of these in it")
    lines = text.splitlines()
    first = lines.index('octavia_listener_status{listener="web",state="UP"} 1')
    assert lines[first + 1:first + 3] == [f'octavia_listener_status{{listener="{listener}",state="DOWN"}} 0',
        f'octavia_listener_status{{listener="{listener}",state="UP"}} 1']
    assert f'octavia_listener_bytes_in_total{{listener="{listener}"}} 0' in lines
    # Nothing is checked, nothing is there: up, as an unchecked server of HAProxy; the disabled one is in maintenance.
    labels = f'pool="{pool}:{listener}",member="'
    assert f'octavia_member_status{{{labels}{member}",state="UP"}} 1' in lines
    assert f'octavia_member_status{{{labels}{other}",state="MAINT"}} 1' in lines
    assert f'octavia_pool_active_members{{pool="{pool}:{listener}"}} 1' in lines
    assert lines.count("# TYPE octavia_member_status gauge") == 1


def test_the_namespace_may_come_later_and_change(namespaces, exporters, proxies):
    need_namespaces()
    namespace = namespaces(create=False)
    proxy = proxies(1, network_namespace=namespace.name)
    wait_for(lambda: "not yet: there is no network namespace" in proxy.log, 10, "it waits")

    def asked():
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
        connection.request("GET", "/metrics")
        return connection.getresponse().status

    def status():
        try:
            return namespace.inside(asked)
        except OSError:
            return None
    namespace.create()
    wait_for(lambda: status() == 502, 15, "it serves inside")
    namespace.delete()
    namespace.create()
    wait_for(lambda: status() == 502, 20, "it serves in the new one")


def test_options():
    def run(*arguments):
        return subprocess.run([PROXY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
            check=False)
    assert "--exporter" in run("--help").stdout
    assert run("--version").stdout.startswith("prometheus-proxy (")
    for wrong in (["--listen", "x"], ["--exporter", "127.0.0.1:0"], ["--frobnicate"], ["x"]):
        assert run(*wrong).returncode == 2
    assert run("--config-file", "/nonexistent").returncode == 1
