# SPDX-License-Identifier: Apache-2.0
"""Who gets in and as whom: PROXY protocol from a load balancer in front, TLVs towards the members, allowed networks; and
the doors for people who look: the PROMETHEUS listener, HAProxy's statistics page."""

import base64
import json
import re
import socket
import struct
import subprocess
import time

import pytest

from amphora import HAPROXY, LBS, document, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import fetch, server_of
from pki import Authority, client, put_certificate
from processes import free_port, wait_for

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.9 40001 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, socket.inet_aton("192.0.2.7"),
    socket.inet_aton("198.51.100.9"), 40001, 80)
HAPROXY_VERSION = tuple(int(n) for n in re.search(r"version (\d+)\.(\d+)", subprocess.run([HAPROXY, "-v"],
    stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout).groups())
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def speak(port, data, source="127.0.0.1", timeout=10):
    """What comes back for these bytes; b"" if the connection is closed without a word."""
    answer = b""
    try:
        # A rejected client may be reset before it knows that it is connected.
        with socket.create_connection(("127.0.0.1", port), timeout, (source, 0)) as connection:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                answer += chunk
    except ConnectionError:
        pass
    return answer


def seen_client(answer):
    """X-Forwarded-For as the member saw it."""
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["headers"]["x-forwarded-for"][0]


@pytest.fixture
def front(agent, origins):
    origin = origins("web")

    def apply(**fields):
        port = free_port()
        agent.apply(new_id(), document(listener(port, pool([member(origin.port)]),
            insert_headers={"X-Forwarded-For": "true"}, **fields)))
        return port
    return apply


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_accepted_from_everyone(front, header):
    port = front(proxy_protocol={"accept": True})
    assert seen_client(speak(port, header + REQUEST)) == "192.0.2.7"
    assert not speak(port, REQUEST).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_accepted_from_trusted_networks(front, header):
    port = front(proxy_protocol={"accept": True, "trusted_cidrs": ["127.0.0.8/29"]})
    assert seen_client(speak(port, header + REQUEST, source="127.0.0.9")) == "192.0.2.7"
    # Others are plain clients, and a header from them is no request.
    assert seen_client(speak(port, REQUEST, source="127.0.0.2")) == "127.0.0.2"
    assert not speak(port, header + REQUEST, source="127.0.0.2").startswith(b"HTTP/1.1 200")


def test_not_accepted_unless_asked_for(front):
    port = front()
    assert not speak(port, V1 + REQUEST).startswith(b"HTTP/1.1 200")
    assert seen_client(speak(port, REQUEST)) == "127.0.0.1"


@pytest.mark.parametrize("trusted", [True, False])
def test_who_sends_no_header_is_cut_off(front, trusted):
    """Before 2.9 HAProxy waits for the header as long as for any data of the client."""
    wait_ms = 1500
    fields = {"timeout_client_data": wait_ms if HAPROXY_VERSION < (2, 9) else 60000}
    proxy = {"accept": True, "header_timeout_ms": wait_ms}
    if trusted:
        proxy["trusted_cidrs"] = ["127.0.0.8/29"]
    port = front(proxy_protocol=proxy, **fields)
    began = time.monotonic()
    assert speak(port, b"", source="127.0.0.9", timeout=30) == b""
    assert 1 < time.monotonic() - began < 6
    for part in (V1[:9], V2[:20]):  # HAProxy need not wait for the rest
        assert speak(port, part, source="127.0.0.9", timeout=6) == b""
    assert seen_client(speak(port, V1 + REQUEST, source="127.0.0.9")) == "192.0.2.7"


def test_allowed_networks_judge_the_true_client(front):
    port = front(proxy_protocol={"accept": True}, allowed_cidrs=["192.0.2.0/24"])
    assert seen_client(speak(port, V1 + REQUEST)) == "192.0.2.7"
    assert speak(port, V1.replace(b"192.0.2.7", b"192.0.3.7") + REQUEST) == b""


def test_allowed_networks(agent, origins):
    origin, port, lb_id = origins("web"), free_port(), new_id()

    def allow(*cidrs):
        return agent.put(lb_id, document(listener(port, pool([member(origin.port)]), allowed_cidrs=list(cidrs)))) \
            .expect(200, 201)
    allow("127.0.0.0/30")
    assert server_of(port, source="127.0.0.2") == "web"
    assert speak(port, REQUEST, source="127.0.0.9") == b""
    allow("127.0.0.8/30", "127.5.0.0/16")
    assert speak(port, REQUEST, source="127.0.0.2") == b""
    assert server_of(port, source="127.0.0.9") == "web" and server_of(port, source="127.5.6.7") == "web"


# TLVs towards the members


def parse_v2(data):
    """{type: value} of a PROXY v2 header, the checksum verified if there is one."""
    assert data[:12] == b"\r\n\r\n\0\r\nQUIT\n"
    command, family, length = struct.unpack("!BBH", data[12:16])
    assert command == 0x21 and family == 0x11
    body, tlvs, rest = data[16:16 + length], {}, data[16 + 12:16 + length]
    assert len(body) == length
    while rest:
        kind, size = struct.unpack("!BH", rest[:3])
        tlvs[kind] = rest[3:3 + size]
        rest = rest[3 + size:]
    return tlvs, data[:16 + length]


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def test_tlvs_as_the_member_sees_them(agent, origins):
    ca, users = Authority("web CA"), Authority("users")
    origin, port = origins("t", kind=TcpOrigin, greet=False), free_port()
    put_certificate(agent, "a.example", ca.issue("a.example", hosts=["a.example"]).pem).expect(201)
    put_certificate(agent, "users", users.pem).expect(201)
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], protocol="PROXYV2",
        proxy_protocol_options=["ssl", "cert-cn", "ssl-cipher", "cert-sig", "cert-key", "authority", "crc32c"]),
        protocol="TERMINATED_HTTPS", default_tls_container_ref="a.example", client_authentication="MANDATORY",
        client_ca_tls_container_ref="users")))
    context = client(ca, users.issue("alice"))
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="a.example") as tls:
            cipher = tls.cipher()[0]
            tls.sendall(REQUEST)
            wait_for(lambda: any(origin.first_bytes), 10, "bytes at the member")
    tlvs, header = parse_v2([data for data in origin.first_bytes if data][0])
    assert tlvs[0x02] == b"a.example"
    checked = bytearray(header)
    at = header.index(b"\x03\x00\x04" + tlvs[0x03]) + 3
    checked[at:at + 4] = bytes(4)
    assert struct.unpack("!I", tlvs[0x03])[0] == crc32c(bytes(checked))
    client_bits, verify = struct.unpack("!BI", tlvs[0x20][:5])
    assert client_bits & 0x01 and client_bits & 0x02 | client_bits & 0x04 and verify == 0
    inner, rest = {}, tlvs[0x20][5:]
    while rest:
        kind, size = struct.unpack("!BH", rest[:3])
        inner[kind] = rest[3:3 + size]
        rest = rest[3 + size:]
    assert inner[0x22] == b"alice" and inner[0x23].decode() == cipher
    assert inner[0x21].startswith(b"TLSv1") and inner[0x24] and inner[0x25]


def test_unique_ids_as_the_member_sees_them(agent, origins):
    """A connection has one, and no other has it."""
    origin, port = origins("t", kind=TcpOrigin, greet=False), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], protocol="PROXYV2",
        proxy_protocol_options=["unique-id"]), protocol="TCP")))
    for count in (1, 2, 3):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"x")
            wait_for(lambda: len([data for data in origin.first_bytes if data]) == count, 10, "bytes at the member")
    found = [parse_v2(data)[0] for data in origin.first_bytes if data]
    assert all(set(tlvs) == {0x05} and 0 < len(tlvs[0x05]) <= 128 for tlvs in found)
    assert len({tlvs[0x05] for tlvs in found}) == 3


def test_no_tlvs_unless_asked_for(agent, origins):
    origin, port = origins("t", kind=TcpOrigin, greet=False), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], protocol="PROXYV2"), protocol="TCP")))
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"x")
        wait_for(lambda: any(origin.first_bytes), 10, "bytes at the member")
    assert parse_v2([data for data in origin.first_bytes if data][0])[0] == {}


# Checks with and without the header


@pytest.mark.parametrize("wanted, separate_port, carried",
    [("auto", False, True), ("auto", True, False), ("on", True, True), ("off", False, False), ("on", False, True)])
@pytest.mark.parametrize("protocol, start", [("PROXY", b"PROXY "), ("PROXYV2", b"\r\n\r\n\0\r\nQUIT\n")])
def test_proxy_header_on_checks(agent, origins, wanted, separate_port, carried, protocol, start):
    origin, checked, port = origins("m", kind=TcpOrigin, greet=False), origins("c", kind=TcpOrigin, greet=False), free_port()
    more = {"monitor_port": checked.port} if separate_port else {}
    target = checked if separate_port else origin
    agent.apply(new_id(), document(listener(port, pool([member(origin.port, **more)], protocol=protocol,
        healthmonitor=monitor("HTTP", proxy_protocol=wanted)), protocol="TCP")))
    wait_for(lambda: [data for data in target.first_bytes if data], 10, "a check")
    data = [data for data in target.first_bytes if data][0]
    assert data.startswith(start) == carried, data[:60]
    if not carried:
        assert data.startswith(b"GET "), data[:60]


# Looking in


def test_prometheus_listener(agent, origins):
    origin, port, metrics = origins("web"), free_port(), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)])),
        listener(metrics, protocol="PROMETHEUS", allowed_cidrs=["127.0.0.2/32"])))
    assert server_of(port) == "web"
    status, headers, body = fetch(metrics, "/metrics", source="127.0.0.2")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert re.search(r"^(haproxy|octavia)_\w+\{?.*\}? [0-9.e+-]+$", body.decode(), re.M)
    assert speak(metrics, REQUEST, source="127.0.0.3") == b""


def test_statistics_page(agent, origins):
    origin, port, page = origins("web"), free_port(), free_port()
    # crypt(3), SHA-512, of "open sesame"
    hashed = "$6$amphora$cmoclr1PQWNmvX7r9HIvBrw/B3Y5X5F/JDzlNTpEXMzkNwyTvudQWBmojDkt6uPeERab6ma6PQLtyr7J1kbFe0"
    lb_id, wanted = new_id(), {"address": "127.0.0.1", "port": page, "uri": "/stats", "username": "ops"}
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], name="shown")),
        stats_page={**wanted, "password_hash": hashed}))

    def ask(password=None, path="/stats"):
        headers = {}
        if password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"ops:{password}".encode()).decode()
        return fetch(page, path, headers=headers)
    assert ask()[0] == 401
    assert ask("wrong")[0] == 401
    status, _, body = ask("open sesame")
    assert status == 200 and b"Statistics Report" in body
    assert ask("open sesame", "/other")[0] in (403, 404, 503)

    # The hash is stored, and in no reply.
    whole = f"{LBS}/{lb_id}"
    for path in ("", "/definition", "/haproxy.cfg", "/revisions/1", "/status"):
        assert "$6$" not in agent.request("GET", whole + path).expect(200).text, path
    assert "$6$" not in agent.request("GET", LBS).expect(200).text
    assert "    user ops password ********\n" in agent.request("GET", whole + "/haproxy.cfg").text
    # What is read can be sent back, and the password stays.
    got = agent.request("GET", whole + "/definition").json["loadbalancer"]
    assert got["stats_page"] == wanted
    tried = agent.put(lb_id, {"loadbalancer": {**got, "stats_page": {**wanted, "uri": "/new"}}}, "?dry_run=true").expect(200)
    assert tried.json["dry_run"]["action"] == "reload" and "$6$" not in tried.text
    assert agent.put(lb_id, {"loadbalancer": got}).expect(200).headers["Amphorad-Apply"] == "none"
    resource = agent.request("GET", whole).json["loadbalancer"]["stats_page"]
    assert resource == {**wanted, "password_hash": None}
    moved = agent.request("PUT", whole, {"loadbalancer": {"stats_page": {**resource, "uri": "/moved"}}}).expect(200)
    assert moved.headers["Amphorad-Apply"] == "reload" and "$6$" not in moved.text
    assert ask(path="/moved")[0] == 401 and ask("open sesame", "/moved")[0] == 200
    # It is not another user's.
    for reply in (agent.put(lb_id, {"loadbalancer": {**got, "stats_page": {**wanted, "username": "other"}}}),
            agent.request("PUT", whole, {"loadbalancer": {"stats_page": {**wanted, "username": "other"}}}),
            agent.put(new_id(), {"loadbalancer": {"name": "x", "stats_page": {**wanted, "port": free_port()}}})):
        assert "password_hash" in reply.expect(400).fault
