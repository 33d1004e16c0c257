# SPDX-License-Identifier: Apache-2.0
"""The chain the project exists for: a client, HAProxy that sends the PROXY protocol, nginx as an ingress controller."""

import socket
import struct

import pytest

from amphora import document, listener, member, monitor, new_id, pool
from backends import TcpOrigin
from clients import fetch, server_of
from processes import free_port, wait_for

CLIENTS = ["127.0.0.1", "127.0.0.2", "127.0.0.53", "127.1.2.3"]


@pytest.mark.parametrize("protocol", ["PROXY", "PROXYV2"])
@pytest.mark.parametrize("listener_protocol", ["TCP", "HTTP"])
def test_nginx_logs_the_true_client(agent, nginx, protocol, listener_protocol):
    server, port = nginx("ingress"), free_port()
    agent.apply(new_id(), document(
        listener(port, pool([member(server.port)], protocol=protocol), protocol=listener_protocol)))
    for number, client in enumerate(CLIENTS):
        status, _, body = fetch(port, f"/{number}", source=client)
        assert (status, body.decode()) == (200, f"ingress {client}\n")
        assert server.wait_log(f"/{number}") == [[client, client, "200", f"/{number}"]]


@pytest.mark.parametrize("protocol", ["TCP", "HTTP"])
def test_without_it_nginx_logs_the_load_balancer(agent, nginx, protocol):
    server, port = nginx("plain", proxy_protocol=False), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(server.port)], protocol=protocol), protocol=protocol)))
    status, _, _ = fetch(port, "/x", source="127.0.0.9")
    assert status == 200
    assert server.wait_log("/x") == [["127.0.0.1", "-", "200", "/x"]]


def test_a_tcp_pool_before_an_ingress_that_wants_proxy_is_refused_by_nginx(agent, nginx):
    server, port = nginx("ingress"), free_port()
    agent.apply(new_id(), document(
        listener(port, pool([member(server.port)], protocol="TCP"), protocol="TCP")))
    with pytest.raises(Exception):
        fetch(port, "/x")


def first_bytes(agent, origins, protocol):
    origin, port = origins("t", kind=TcpOrigin, greet=False), free_port()
    agent.apply(new_id(), document(
        listener(port, pool([member(origin.port)], protocol=protocol), protocol="TCP")))
    with socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.42", 0)) as client:
        source_port = client.getsockname()[1]
        client.sendall(b"payload")
        wait_for(lambda: any(origin.first_bytes), 10, "bytes at the member")
    return [data for data in origin.first_bytes if data][0], source_port, port


def test_v1_on_the_wire(agent, origins):
    data, source_port, port = first_bytes(agent, origins, "PROXY")
    assert data.startswith(f"PROXY TCP4 127.0.0.42 127.0.0.1 {source_port} {port}\r\n".encode())


def test_v2_on_the_wire(agent, origins):
    data, source_port, port = first_bytes(agent, origins, "PROXYV2")
    assert data[:12] == b"\r\n\r\n\0\r\nQUIT\n"
    command, family, length = struct.unpack("!BBH", data[12:16])
    assert (command, family) == (0x21, 0x11) and length >= 12
    assert data[16:28] == bytes([127, 0, 0, 42, 127, 0, 0, 1]) + struct.pack("!HH", source_port, port)


@pytest.mark.parametrize("protocol", ["PROXY", "PROXYV2"])
def test_checks_carry_the_header(agent, nginx, protocol):
    """Otherwise a member that insists on it would be taken for down."""
    server, port, lb_id = nginx("ingress"), free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(server.port)], protocol=protocol,
        healthmonitor=monitor("HTTP", url_path="/healthz", expected_codes="200")), protocol="TCP")))
    server.wait_log("/healthz", 2)
    assert {line[2] for line in server.log_of("/healthz")} == {"200"}
    wait_for(lambda: agent.status(lb_id)["operating_status"] == "ONLINE", 10, "ONLINE")
    assert fetch(port, "/x")[0] == 200


def test_check_on_a_separate_port_is_plain(agent, nginx, origins):
    """kube-proxy's healthCheckNodePort speaks HTTP without the header."""
    server, health, port, lb_id = nginx("ingress"), origins("kube-proxy"), free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(server.port, monitor_port=health.port)], protocol="PROXY",
        healthmonitor=monitor("HTTP", url_path="/healthz", expected_codes="200")), protocol="TCP")))
    wait_for(lambda: health.checks >= 2, 10, "checks at the other port")
    wait_for(lambda: agent.status(lb_id)["operating_status"] == "ONLINE", 10, "ONLINE")
    health.health_status = 503
    wait_for(lambda: agent.status(lb_id)["operating_status"] == "ERROR", 10, "ERROR")
    assert server.log_of("/healthz") == []


def test_from_plain_to_proxy_and_back(agent, nginx, origins):
    server, origin, port, lb_id = nginx("ingress"), origins("plain"), free_port(), new_id()
    for _ in range(2):
        agent.apply(lb_id, document(listener(port, pool([member(server.port)], protocol="PROXYV2"), protocol="TCP")))
        assert fetch(port, "/x", source="127.0.0.2")[2] == b"ingress 127.0.0.2\n"
        agent.apply(lb_id, document(listener(port, pool([member(origin.port)], protocol="TCP"), protocol="TCP")))
        assert server_of(port) == "plain"
