# SPDX-License-Identifier: Apache-2.0
"""Every type of health monitor against real servers that go down and come back."""

import http.server
import os
import subprocess
import threading

import pytest

from amphora import document, find_program, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import fetch
from pki import Authority, server_context
from processes import free_port, wait_for

IP = find_program("ip")


@pytest.fixture
def watched(agent):
    """watched(pool): a load balancer; returns a function that waits until its only member has that status."""
    def make(pool_, protocol="HTTP"):
        lb_id = new_id()
        agent.apply(lb_id, document(listener(free_port(), pool_, protocol=protocol)))

        def watched_member():
            return agent.status(lb_id)["listeners"][0]["pools"][0]["members"][0]

        def becomes(status):
            wait_for(lambda: watched_member()["operating_status"] == status, 30, f"the member is {status}")
            return watched_member()
        return becomes
    return make


def test_tcp(watched, origins):
    origin = origins("m", kind=TcpOrigin)
    becomes = watched(pool([member(origin.port)], protocol="TCP", healthmonitor=monitor("TCP")), "TCP")
    becomes("ONLINE")
    origin.close()
    assert becomes("ERROR")["reason"] == "L4CON: Connection refused"
    origins("m", kind=TcpOrigin, port=origin.port)
    assert "reason" not in becomes("ONLINE")


@pytest.mark.parametrize("codes, good, bad", [
    ("200", 200, 204), ("200,204", 204, 301), ("200-299", 206, 301),
    ("200, 301, 502", 502, 204)])
def test_http_codes(watched, origins, codes, good, bad):
    origin = origins("m")
    origin.health_status = good
    becomes = watched(pool([member(origin.port)],
        healthmonitor=monitor("HTTP", url_path="/health", expected_codes=codes)))
    becomes("ONLINE")
    origin.health_status = bad
    becomes("ERROR")
    origin.health_status = good
    becomes("ONLINE")


class Recorder:
    """Answers 200 and keeps the first line and the headers of each request."""

    def __init__(self):
        self.requests = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                recorder.requests.append((self.requestline, dict(self.headers.items())))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = answer

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.mark.parametrize("fields, line, host", [
    ({}, "GET / HTTP/1.0", None),
    ({"http_method": "HEAD", "url_path": "/a?b=c&d=%20"}, "HEAD /a?b=c&d=%20 HTTP/1.0", None),
    ({"http_version": 1.0}, "GET / HTTP/1.0", None),
    ({"http_version": 1.1, "domain_name": "www.example.com"}, "GET / HTTP/1.1", "www.example.com"),
    ({"http_method": "OPTIONS", "http_version": "1.1", "domain_name": "a_b.example.com"}, "OPTIONS / HTTP/1.1",
        "a_b.example.com"),
])
def test_the_request_of_an_http_monitor(watched, fields, line, host):
    recorder = Recorder()
    try:
        watched(pool([member(recorder.port)], healthmonitor=monitor("HTTP", **fields)))("ONLINE")
        said, headers = recorder.requests[-1]
        assert said == line
        assert {name.lower(): value for name, value in headers.items()}.get("host") == host
    finally:
        recorder.close()


def test_https(watched, origins):
    ca = Authority("CA")
    origin = origins("m", context=server_context(ca.issue("127.0.0.1")))
    becomes = watched(pool([member(origin.port)], protocol="HTTPS",
        healthmonitor=monitor("HTTPS", url_path="/health", expected_codes="200")), "HTTPS")
    becomes("ONLINE")
    origin.health_status = 503
    becomes("ERROR")
    origin.health_status = 200
    becomes("ONLINE")


def test_tls_hello(watched, origins):
    """A server that speaks TLS is up, one that does not is down, whatever it answers to HTTP."""
    ca = Authority("CA")
    origin = origins("m", context=server_context(ca.issue("127.0.0.1")))
    origin.health_status = 503
    becomes = watched(pool([member(origin.port)], protocol="HTTPS", healthmonitor=monitor("TLS-HELLO")), "HTTPS")
    becomes("ONLINE")
    origin.close()
    becomes("ERROR")
    plain = origins("plain", port=origin.port)
    wait_for(lambda: plain.server is not None, 20, "the plain server listens")
    becomes("ERROR")


@pytest.mark.parametrize("kind", ["HTTP", "HTTPS", "TLS-HELLO"])
@pytest.mark.parametrize("protocol", ["PROXY", "PROXYV2"])
@pytest.mark.parametrize("wanted, proxied", [("auto", True), ("on", True), ("off", False)])
def test_tls_pools_with_the_proxy_protocol(agent, nginx, kind, protocol, wanted, proxied):
    """The PROXY header comes before TLS, or there is none: one of two servers is up, the other does not understand."""
    pair, lb_id, port = Authority("CA").issue("127.0.0.1"), new_id(), free_port()
    servers = {name: nginx(name, proxy_protocol=name == "proxied", pair=pair) for name in ("proxied", "plain")}
    agent.apply(lb_id, document(listener(port, pool([member(server.port, name) for name, server in servers.items()],
        protocol=protocol, tls_enabled=True, healthmonitor=monitor(kind, proxy_protocol=wanted)), protocol="HTTP")))

    def settled():
        members = agent.status(lb_id)["listeners"][0]["pools"][0]["members"]
        return {m["name"]: m["operating_status"] for m in members} == {
            "proxied": "ONLINE" if proxied else "ERROR", "plain": "ERROR" if proxied else "ONLINE"}
    wait_for(settled, 30, "one is up")
    if proxied:
        assert fetch(port, "/x", source="127.0.0.9")[2] == b"proxied 127.0.0.9\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for addresses that appear and go")
def test_ping(watched):
    """An address of loopback that is there and not there."""
    address = f"198.18.{os.getpid() % 250}.7"

    def ip(verb):
        subprocess.run([IP, "address", verb, f"{address}/32", "dev", "lo"], stdin=subprocess.DEVNULL, check=True,
            capture_output=True, timeout=10)
    ip("add")
    try:
        becomes = watched(pool([member(80, address=address)], healthmonitor=monitor("PING", timeout=1, delay=2)))
        becomes("ONLINE")
        ip("del")
        becomes("ERROR")
        ip("add")
        becomes("ONLINE")
    finally:
        subprocess.run([IP, "address", "del", f"{address}/32", "dev", "lo"], stdin=subprocess.DEVNULL, check=False,
            capture_output=True, timeout=10)


def test_monitor_address_and_port(watched, origins):
    """As kube-proxy's healthCheckNodePort: checked elsewhere than where the traffic goes."""
    traffic, health = origins("m"), origins("h", address="127.0.0.77")
    becomes = watched(pool([member(traffic.port, monitor_address="127.0.0.77", monitor_port=health.port)],
        healthmonitor=monitor("HTTP", url_path="/healthz", expected_codes="200")))
    becomes("ONLINE")
    assert traffic.checks == 0
    health.health_status = 503
    becomes("ERROR")


def test_a_monitor_that_is_down_checks_nothing(watched, origins):
    origin = origins("m")
    watched(pool([member(origin.port)], healthmonitor=monitor("HTTP", url_path="/health", admin_state_up=False)))(
        "NO_MONITOR")
    assert origin.checks == 0
