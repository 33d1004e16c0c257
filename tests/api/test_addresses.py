# SPDX-License-Identifier: Apache-2.0
"""IPv6 wherever an address may stand, and more than one VIP."""

import ipaddress
import json
import os
import socket
import struct

import pytest

from amphora import document, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import answer, fetch, server_of
from processes import free_port, wait_for


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="there is no ::1")
SIX = {"address": "::1", "source": "::1"}


def refused(port, address, source):
    """Whether nobody listens, or whoever does says nothing."""
    try:
        with socket.create_connection((address, port), 10, (source, 0)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_vip_and_members(agent, origins):
    origin, port, lb_id = origins("six", address="::1"), free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(origin.port, address="::1")],
        healthmonitor=monitor("HTTP", url_path="/health")), insert_headers={"X-Forwarded-For": "true"}),
        vip_address="0:0:0::1"))
    assert agent.definition(lb_id)["vip_address"] == "::1"
    said = answer(port, **SIX)
    assert said["server"] == "six" and said["headers"]["x-forwarded-for"] == ["::1"]
    assert refused(port, "127.0.0.1", "127.0.0.1")

    def member_is(status):
        return lambda: agent.status(lb_id)["listeners"][0]["pools"][0]["members"][0]["operating_status"] == status
    wait_for(member_is("ONLINE"), 10, "the member is up")
    origin.health_status = 500
    wait_for(member_is("ERROR"), 10, "the member is down")


@pytest.mark.parametrize("vip, address", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_vip_and_members_of_different_versions(agent, origins, vip, address):
    origin, port = origins("other", address=address), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port, address=address)])), vip_address=vip))
    assert server_of(port, address=vip, source=vip) == "other"


def test_additional_vips(agent, origins):
    origin, port, lb_id = origins("web"), free_port(), new_id()

    def apply(*vips, **fields):
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)]), **fields),
            additional_vips=[{"ip_address": vip} for vip in vips]))

    apply("127.0.0.3", "::1")
    for vip, source in (("127.0.0.1", "127.0.0.1"), ("127.0.0.3", "127.0.0.1"), ("::1", "::1")):
        assert server_of(port, address=vip, source=source) == "web"
    assert refused(port, "127.0.0.4", "127.0.0.1")
    # Of both versions, as there are VIPs of both.
    apply("127.0.0.3", "::1", allowed_cidrs=["127.0.0.8/30", "2001:db8::/32"])
    assert server_of(port, address="127.0.0.3", source="127.0.0.9") == "web"
    assert refused(port, "127.0.0.3", "127.0.0.1") and refused(port, "::1", "::1")
    apply("::1", allowed_cidrs=["::/127"])
    assert server_of(port, **SIX) == "web"
    assert refused(port, "127.0.0.3", "127.0.0.9")


def test_monitor_address(agent, origins):
    """The last group of an address is no port."""
    traffic, health, port, lb_id = origins("web"), origins("h", address="::1"), free_port(), new_id()
    body = document(listener(port, pool([member(traffic.port, monitor_address="::1", monitor_port=health.port)],
        healthmonitor=monitor("HTTP", url_path="/health"))))
    agent.apply(lb_id, body)
    wait_for(lambda: health.checks and agent.status(lb_id)["operating_status"] == "ONLINE", 10, "checked at ::1")
    assert traffic.checks == 0
    health.health_status = 503
    wait_for(lambda: agent.status(lb_id)["operating_status"] == "ERROR", 10, "down")


def test_monitor_address_without_a_port(agent, origins):
    """Checked at another address, at the member's port."""
    port, number, lb_id = free_port(), free_port(), new_id()
    traffic, health = origins("web", port=number), origins("h", port=number, address="::1")
    agent.apply(lb_id, document(listener(port, pool([member(number, monitor_address="::1")],
        healthmonitor=monitor("HTTP", url_path="/health")))))
    wait_for(lambda: health.checks and agent.status(lb_id)["operating_status"] == "ONLINE", 10, "checked at ::1")
    assert traffic.checks == 0 and server_of(port) == "web"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as ping may")
def test_ping(agent):
    lb_id = new_id()
    agent.apply(lb_id, document(listener(free_port(), pool([member(80, "here", address="::1"),
        member(80, "nowhere", address="2001:db8::1")], healthmonitor=monitor("PING", timeout=1, delay=2)))))

    def states():
        members = agent.status(lb_id)["listeners"][0]["pools"][0]["members"]
        return {m["name"]: m["operating_status"] for m in members} == {"here": "ONLINE", "nowhere": "ERROR"}
    wait_for(states, 30, "the one is up, the other down")


def first_bytes(agent, origins, protocol):
    origin, port = origins("t", kind=TcpOrigin, greet=False), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], protocol=protocol), protocol="TCP"),
        vip_address="::1"))
    with socket.create_connection(("::1", port), 10) as client:
        source_port = client.getsockname()[1]
        client.sendall(b"payload")
        wait_for(lambda: any(origin.first_bytes), 10, "bytes at the member")
    return [data for data in origin.first_bytes if data][0], source_port, port


def test_proxy_v1_on_the_wire(agent, origins):
    data, source_port, port = first_bytes(agent, origins, "PROXY")
    assert data.startswith(f"PROXY TCP6 ::1 ::1 {source_port} {port}\r\n".encode())


def test_proxy_v2_on_the_wire(agent, origins):
    data, source_port, port = first_bytes(agent, origins, "PROXYV2")
    one = ipaddress.ip_address("::1").packed
    assert data[12:16] == struct.pack("!BBH", 0x21, 0x21, 36)
    assert data[16:52] == one + one + struct.pack("!HH", source_port, port)


@pytest.mark.parametrize("header", [b"PROXY TCP6 2001:db8::7 2001:db8::9 40001 80\r\n",
    b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x21, 36) + ipaddress.ip_address("2001:db8::7").packed
    + ipaddress.ip_address("2001:db8::9").packed + struct.pack("!HH", 40001, 80)], ids=["v1", "v2"])
@pytest.mark.parametrize("trusted", [True, False])
def test_proxy_is_accepted(agent, origins, header, trusted):
    origin, port = origins("web"), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)]),
        proxy_protocol={"accept": True, "trusted_cidrs": ["::1/128" if trusted else "2001:db8::/32"]},
        insert_headers={"X-Forwarded-For": "true"}), vip_address="::1"))
    with socket.create_connection(("::1", port), 10) as connection:
        connection.sendall(header + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
    if trusted:
        body = json.loads(said.split(b"\r\n\r\n", 1)[1])
        assert body["headers"]["x-forwarded-for"] == ["2001:db8::7"]
    else:
        assert not said.startswith(b"HTTP/1.1 200")
        assert answer(port, **SIX)["headers"]["x-forwarded-for"] == ["::1"]


def test_persistence(agent, origins):
    """A stick table that knew IPv4 addresses only would send each request elsewhere."""
    port, lb_id = free_port(), new_id()
    members = [member(origins(f"m{n}").port) for n in range(4)]

    def apply(**fields):
        agent.apply(lb_id, document(listener(port, pool(members, session_persistence={"type": "SOURCE_IP"}), **fields),
            vip_address="::1"))
    apply()
    sticky = server_of(port, **SIX)
    assert {server_of(port, **SIX) for _ in range(8)} == {sticky}
    apply(timeout_client_data=44444)
    assert {server_of(port, **SIX) for _ in range(8)} == {sticky}


def test_statistics_page(agent, origins):
    origin, port, page = origins("web"), free_port(), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)])),
        stats_page={"address": "::1", "port": page, "uri": "/stats"}))
    status, _, body = fetch(page, "/stats", **SIX)
    assert status == 200 and b"Statistics Report" in body
    assert refused(page, "127.0.0.1", "127.0.0.1")
