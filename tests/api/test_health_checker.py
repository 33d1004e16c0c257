# SPDX-License-Identifier: Apache-2.0
"""amphora-health-checker and udp_check.sh against members that are there, gone, mute, or say something odd. The kernel here may
have no SCTP: the members speak it over raw sockets."""

import os
import socket
import struct
import subprocess
import threading
import time

import pytest

import amphora
from netns import Wire, need_namespaces, namespaces  # noqa: F401
from processes import free_port

CHECKER = amphora.BUILD / "amphora-health-checker"
SCRIPT = amphora.SOURCE / "agent/tools/udp_check.sh"
UP, DOWN, TIMEOUT, UNEXPECTED, USAGE = 0, 1, 2, 3, 64
INIT, INIT_ACK, ABORT, COOKIE_ACK = 1, 2, 6, 11


def check(*arguments, command=CHECKER, namespace=None, **options):
    words = [str(word) for word in (command, *arguments)]
    if namespace:
        words = ["ip", "netns", "exec", namespace.name, *words]
    since = time.monotonic()
    result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        **options)
    return result.returncode, result.stdout + result.stderr, time.monotonic() - since


@pytest.fixture(params=["127.0.0.1", "::1"])
def local(request):
    try:
        with socket.socket(socket.AF_INET6 if ":" in request.param else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((request.param, 0))
    except OSError:
        pytest.skip(f"{request.param} is not here")
    return request.param


def udp_server(address):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 0))
    server.settimeout(10)
    return server


def test_udp(local):
    with udp_server(local) as server:
        port = server.getsockname()[1]
        # Silence is good: it is no "port unreachable".
        status, words, seconds = check("udp", "-t", "0.5", local, port)
        assert status == UP, words
        assert 0.4 <= seconds < 3
        assert server.recv(100) == b"X"

        def answer():
            data, client = server.recvfrom(100)
            server.sendto(data, client)
        while True:
            server.setblocking(False)
            try:
                server.recv(100)
            except BlockingIOError:
                break
        server.settimeout(10)
        thread = threading.Thread(target=answer)
        thread.start()
        status, _, seconds = check("udp", "-t", "10", local, port)
        thread.join()
        assert status == UP and seconds < 5
    status, words, seconds = check("udp", "-t", "10", local, port)
    assert status == DOWN and "Connection refused" in words and seconds < 5


def test_udp_check_script(local):
    env = {**os.environ, "PATH": f"{amphora.BUILD}:{os.environ['PATH']}"}
    with udp_server(local) as server:
        port = server.getsockname()[1]
        # keepalived gives it one second at least. What a busy machine adds is no part of it.
        runs = [check(local, port, command=SCRIPT, env=env)]
        while runs[-1][2] >= 1 and len(runs) < 10:
            runs.append(check(local, port, command=SCRIPT, env=env))
        assert {status for status, *_ in runs} == {UP} and runs[-1][2] < 1, runs
    assert check(local, port, command=SCRIPT, env=env)[0] == DOWN


@pytest.mark.parametrize("arguments", [
    [], ["udp"], ["udp", "127.0.0.1"], ["udp", "127.0.0.1", "0"], ["udp", "127.0.0.1", "65536"], ["udp", "localhost", "53"],
    ["udp", "127.0.0.1", "5x"], ["udp", "-t", "0", "127.0.0.1", "5"], ["udp", "-t", "nan", "127.0.0.1", "5"],
    ["sctp", "--frobnicate", "127.0.0.1", "5"], ["sctp", "127.0.0.1", "5", "6"],
])
def test_usage(arguments):
    assert check(*arguments)[0] == USAGE


def test_unsupported_protocol():
    assert check("tcp", "127.0.0.1", "5")[:2] == (DOWN, "Unsupported protocol 'tcp'\n")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def packet(source, destination, tag, chunk):
    head = struct.pack("!HHL", source, destination, tag)
    return head + struct.pack("<L", crc32c(head + bytes(4) + chunk)) + chunk


class SctpMember:
    """Answers an INIT with one chunk ("kind"; None: says nothing) and remembers what it gets. Packets of others come before."""

    def __init__(self, namespace, address, kind):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.kind = kind
        self.got = []
        self.socket = namespace.inside(self.open, address)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def open(self, address):
        opened = socket.socket(self.family, socket.SOCK_RAW, 132)
        opened.bind((address, 0))
        opened.settimeout(0.2)
        self.stopping = False
        return opened

    def run(self):
        while not self.stopping:
            try:
                data, client = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            except OSError:
                return
            data = data[(data[0] & 15) * 4:] if self.family == socket.AF_INET else data
            source, destination, tag = struct.unpack_from("!HHL", data)
            self.got.append((data[12], tag, len(data)))
            if data[12] != INIT or self.kind is None:
                continue
            their_tag = struct.unpack_from("!L", data, 16)[0]
            body = struct.pack("!LLHHL", 0xdeadbeef, 65536, 10, 10, 1) if self.kind == INIT_ACK else b""
            chunk = struct.pack("!BBH", self.kind, 0, 4 + len(body)) + body
            good = packet(destination, source, their_tag, chunk)
            for each in (packet(destination, source ^ 1, their_tag, chunk), packet(destination, source, their_tag ^ 1, chunk),
                    good[:15], b"x", good):
                self.socket.sendto(each, (client[0], 0))

    def close(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()


@pytest.fixture(params=[("10.79.0.1/24", "10.79.0.2/24"), ("fd79::1/64", "fd79::2/64")], ids=["ipv4", "ipv6"])
def sctp(request, namespaces):
    need_namespaces()
    here, there = namespaces(), namespaces()
    mine, theirs = request.param
    Wire(here, there).address(mine, theirs)
    members = []

    def make(kind):
        try:
            members.append(SctpMember(there, theirs.split("/")[0], kind))
        except OSError as error:
            pytest.skip(f"no raw socket: {error}")
        return members[-1], here, theirs.split("/")[0]
    yield make
    for member in members:
        member.close()


@pytest.mark.parametrize("kind,status,words", [
    (INIT_ACK, UP, "Received INIT ACK"), (ABORT, DOWN, "Received ABORT"), (COOKIE_ACK, UNEXPECTED, "type 11"),
    (None, TIMEOUT, "No answer to INIT"),
])
def test_sctp(sctp, kind, status, words):
    member, here, address = sctp(kind)
    got, said, seconds = check("sctp", "-t", "2", address, 3868, namespace=here)
    assert (got, words in said) == (status, True), said
    assert seconds < 6
    assert member.got[0][:2] == (INIT, 0) and member.got[0][2] == 32
    if kind == INIT_ACK:
        # It does not leave the member waiting.
        deadline = time.monotonic() + 5
        while len(member.got) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert member.got[1][:2] == (ABORT, 0xdeadbeef)
    if kind is None:
        assert 1.9 <= seconds and [each[0] for each in member.got] == [INIT] * len(member.got) and 3 <= len(member.got) <= 5


def test_sctp_nobody_there(sctp):
    """The kernel of a machine without SCTP says that it does not know the protocol."""
    _, here, address = sctp(None)
    other = address[:-1] + "9"
    status, words, seconds = check("sctp", "-t", "1", other, 3868, namespace=here)
    assert status in (DOWN, TIMEOUT), words
    assert check("sctp", "-t", "1", "127.0.0.1", free_port(), namespace=here)[0] in (DOWN, TIMEOUT)
