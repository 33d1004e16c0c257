# SPDX-License-Identifier: Apache-2.0
"""The harness itself, against HAProxy configured by hand: a broken harness must not look like a working daemon."""

import socket
import subprocess

import pytest

from amphora import HAPROXY
from backends import TcpOrigin
from clients import Load, Session, fetch, server_of
from processes import die_with_parent, end, free_port, wait_for


@pytest.fixture
def haproxy(tmp_path):
    if HAPROXY is None:
        pytest.skip("haproxy is not installed")
    running = []

    def run(mode, target, options=""):
        port = free_port()
        config = tmp_path / f"{port}.cfg"
        config.write_text(f"defaults\n mode {mode}\n timeout client 9s\n timeout server 9s\n timeout connect 3s\n"
            f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{target} {options}\n")
        running.append(subprocess.Popen([HAPROXY, "-db", "-f", str(config)], stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent))
        wait_for(lambda: connects(port), 10, "haproxy listens")
        return port
    yield run
    for process in running:
        end(process)


def connects(port):
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_harness_nginx_logs_the_client(haproxy, nginx, option):
    server = nginx("ingress")
    port = haproxy("tcp", server.port, option)
    status, _, body = fetch(port, "/who", source="127.0.0.7")
    assert (status, body) == (200, b"ingress 127.0.0.7\n")
    assert server.wait_log("/who") == [["127.0.0.7", "127.0.0.7", "200", "/who"]]


def test_harness_load_sees_failures(haproxy, origins):
    origin = origins("a")
    port = haproxy("http", origin.port)
    assert server_of(port) == "a"
    with Load(port) as load:
        load.wait_more(20)
        assert load.failures == []
        origin.stop()
        wait_for(lambda: load.failures, 10, "the load sees the failure")
    assert load.servers.keys() == {"a"}


def test_harness_session(haproxy, origins):
    origin = origins("t", kind=TcpOrigin)
    session = Session(haproxy("tcp", origin.port))
    assert session.server == "t"
    session.echo("hello")
    session.close()
