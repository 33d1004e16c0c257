# SPDX-License-Identifier: Apache-2.0
"""The mutual TLS door as openssl, curl and rude clients find it."""

import contextlib
import datetime
import os
import shutil
import socket
import ssl
import stat
import subprocess
import time

import pytest

from amphora import new_id
from octavia_driver import (Connection, amp, client_context,  # noqa: F401
    make_amphora, remote, tls_door)
from pki import CLIENT, DAY, SERVER, Authority, x509
from processes import TIME_FACTOR, wait_for

CURL, OPENSSL = shutil.which("curl"), shutil.which("openssl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
REQUEST = b"GET /1.0/info HTTP/1.1\r\nHost: amphora\r\nConnection: close\r\n\r\n"
HOUR = datetime.timedelta(hours=1)

# Clients that are to be refused: name -> Pair of the Pki (None: no certificate at all).
REFUSED = {
    "no certificate": lambda pki: None,
    "expired": lambda pki: pki.client_ca.issue("octavia", (CLIENT,), -3 * DAY, -HOUR),
    "not yet valid": lambda pki: pki.client_ca.issue("octavia", (CLIENT,), HOUR, 3 * DAY),
    "another CA": lambda pki: Authority("client CA").issue("octavia", (CLIENT,)),
    "the CA of the servers": lambda pki: pki.server_ca.issue("octavia", (CLIENT,)),
    "self-signed": lambda pki: Authority("octavia").pair,
    "wrong purpose": lambda pki: pki.client_ca.issue("octavia", (SERVER,)),
}


@pytest.fixture
def files(amp, tmp_path):
    """The PEM file of a kind of client."""
    def make(kind):
        pair = amp.pki.controller if kind is None else REFUSED[kind](amp.pki)
        return pair.save(tmp_path / f"{kind}.pem") if pair else None
    (tmp_path / "server_ca.pem").write_text(amp.pki.server_ca.pem)
    make.ca = tmp_path / "server_ca.pem"
    return make


def s_client(port, *options, text=REQUEST):
    """(what the server sent as data and what openssl says, exit status)"""
    done = subprocess.run([OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *map(str, options)],
        input=text, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode(errors="replace"), done.returncode


def curl(port, *options, path="/1.0/info", host="127.0.0.1"):
    """(exit status, HTTP status, body and words)"""
    done = subprocess.run([CURL, "--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}",
        *map(str, options), f"https://{host}:{port}{path}"], capture_output=True, text=True, timeout=40, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status or 0), body + done.stderr


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_with_a_good_certificate(amp, files, version):
    text, status = s_client(amp.port, version, "-cert", files(None), "-CAfile", files.ca, "-verify_return_error",
        "-verify_hostname", amp.amphora_id)
    assert "HTTP/1.1 200" in text and "haproxy_version" in text and status == 0


def test_a_first_request_need_not_wait(amp):
    """The client's last message of the handshake is acknowledged at once: its system may hold the request back until then
    (Nagle's algorithm), and Linux delays an acknowledgement by 40 ms at least."""
    def first_answer_s():
        with contextlib.closing(Connection(amp.port, client_context(amp.pki, version=ssl.TLSVersion.TLSv1_3))) as connection:
            began = time.monotonic()
            assert connection.request("GET", "/").status == 200
            return time.monotonic() - began
    assert min(first_answer_s() for _ in range(8)) < 0.035


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("kind", REFUSED)
def test_openssl_refused(amp, files, kind, version):
    file = files(kind)
    text, _ = s_client(amp.port, version, *(("-cert", file) if file else ()))
    assert "HTTP/1.1" not in text and "haproxy_version" not in text
    assert "alert" in text or "errno" in text or "unexpected eof" in text
    text, _ = s_client(amp.port, version, "-cert", files(None))
    assert "HTTP/1.1 200" in text


@needs_curl
@pytest.mark.parametrize("kind", REFUSED)
def test_curl_refused(amp, files, kind):
    file = files(kind)
    status, code, text = curl(amp.port, "--insecure", *(("--cert", file) if file else ()))
    assert status != 0 and code == 0, text
    assert "haproxy_version" not in text
    wait_for(lambda: any("TLS" in line or "certificate" in line or "handshake" in line
        for line in amp.log.splitlines() if "127.0.0.1" in line), 20, "the refusal is logged with the address")
    assert "PRIVATE KEY" not in amp.log


@needs_curl
def test_curl_with_a_good_certificate(amp, files):
    status, code, text = curl(amp.port, "--cert", files(None), "--cacert", files.ca,
        "--resolve", f"{amp.amphora_id}:{amp.port}:127.0.0.1", host=amp.amphora_id)
    assert (status, code) == (0, 200), text
    # Another name is not that of this amphora.
    other = new_id()
    status, code, _ = curl(amp.port, "--cert", files(None), "--cacert", files.ca,
        "--resolve", f"{other}:{amp.port}:127.0.0.1", host=other)
    assert (status, code) == (60, 0)


@needs_curl
def test_no_plain_http(amp):
    done = subprocess.run([CURL, "--silent", "--max-time", "10", f"http://127.0.0.1:{amp.port}/1.0/info"],
        capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0 and "haproxy_version" not in done.stdout


def test_refused_before_the_body(amp):
    """Nothing of a megabyte from a stranger gets anywhere; the connection ends before it is all read."""
    lb_id = new_id()
    with pytest.raises(OSError):
        connection = Connection(amp.port, client_context(amp.pki, False), timeout=20)
        try:
            connection.send("PUT", f"/1.0/loadbalancer/{amp.amphora_id}/{lb_id}/haproxy", b"#" * (64 << 20))
            reply = connection.receive("PUT")
        finally:
            connection.close()
        raise AssertionError(f"was answered: {reply}")
    assert not (amp.state / lb_id).exists()
    assert amp.rest("GET", "/1.0/info").status == 200


@needs_openssl
@pytest.mark.parametrize("version, code", [("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1")])
def test_old_versions_refused(amp, files, version, code):
    """Release note force-controlplane-amphora-communication-to-use-tls1.2-1c4adf72d2ce5a82."""
    text, _ = s_client(amp.port, version, "-cipher", "ALL:@SECLEVEL=0", "-cert", files(None))
    assert "HTTP/1.1" not in text and "haproxy_version" not in text
    assert f"Protocol  : {code}\n    Cipher    : 0000" in text or "protocol version" in text or "alert" in text
    assert "HTTP/1.1 200" in s_client(amp.port, "-tls1_2", "-cert", files(None))[0]


@needs_openssl
def test_minimum_version_is_configurable(make_amphora, tmp_path):
    amp = make_amphora(agent_tls_protocol="TLSv1.3").start()
    file = amp.pki.controller.save(tmp_path / "client.pem")
    assert "HTTP/1.1" not in s_client(amp.port, "-tls1_2", "-cert", file)[0]
    assert "HTTP/1.1 200" in s_client(amp.port, "-tls1_3", "-cert", file)[0]


@needs_openssl
def test_no_weak_ciphers(amp, files):
    for cipher in ("NULL", "aNULL", "RC4", "3DES", "EXPORT"):
        text, _ = s_client(amp.port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", "-cert", files(None))
        assert "HTTP/1.1" not in text, cipher


@needs_openssl
def test_renegotiation_does_nothing(amp, files):
    text, _ = s_client(amp.port, "-tls1_2", "-cert", files(None), text=b"R\n" + REQUEST)
    assert amp.rest("GET", "/1.0/info").status == 200
    assert text.count("HTTP/1.1 200") <= 1


def test_keep_alive(amp):
    connection = amp.connect()
    try:
        for _ in range(5):
            for path in ("/", "//", "/1.0/info", "/1.0/nothing"):
                reply = connection.request("GET", path)
                assert reply.status in (200, 404) and reply.headers.get("Connection", "keep-alive").lower() != "close"
        assert connection.request("PUT", "/1.0/loadbalancer/x/reload").status == 404
        assert connection.request("GET", "/").status == 200
    finally:
        connection.close()


def test_session_resumption_keeps_the_client_verified(amp):
    """A resumed session belongs to a client that was verified, and there is none for a stranger."""
    context = client_context(amp.pki)
    first = context.wrap_socket(socket.create_connection(("127.0.0.1", amp.port), 10))
    first.sendall(REQUEST)
    while first.recv(65536):
        pass
    session = first.session
    first.close()
    again = context.wrap_socket(socket.create_connection(("127.0.0.1", amp.port), 10), session=session)
    again.sendall(REQUEST)
    assert b"HTTP/1.1 200" in again.recv(65536)
    again.close()


# Rude clients


@contextlib.contextmanager
def rude(port, count, send=b""):
    """That many connections which send only so much."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port), 10))
            if send:
                sockets[-1].sendall(send)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def quick(amp):
    """A request takes about as long as without the others."""
    began = time.monotonic()
    reply = amp.rest("GET", "/", timeout=10)
    assert reply.status == 200
    took = time.monotonic() - began
    assert took < 1.5 * TIME_FACTOR, f"{took:.2f} s"
    return took


@pytest.mark.parametrize("send", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n"],
    ids=["nothing", "a byte", "half a hello", "plain HTTP"])
def test_silent_connections_delay_nobody(amp, send, note):
    with rude(amp.port, 200, send):
        note(f"with 200 connections that sent {len(send)} bytes: {max(quick(amp) for _ in range(3)) * 1000:.0f} ms")


@pytest.mark.limit(60)
def test_more_silent_connections_than_there_is_room_for(amp):
    """A thousand: those that sent nothing for longest make room, the controller is served at once."""
    with rude(amp.port, 1000):
        wait_for(lambda: amp.rest("GET", "/", timeout=5).status == 200, 3, "a real request is served", 0.2)
    assert amp.get("/").status == 200  # the other door


def test_idle_tls_connections_delay_nobody(amp):
    """Verified ones that ask nothing, or stop in the middle of a request or of a body."""
    context = client_context(amp.pki)
    head = (f"PUT /1.0/loadbalancer/{amp.amphora_id}/{new_id()}/haproxy HTTP/1.1\r\nHost: a\r\n"
        "Content-Length: 1000\r\n\r\n")
    sockets = []
    try:
        for number in range(60):
            plain = socket.create_connection(("127.0.0.1", amp.port), 10)
            sockets.append(context.wrap_socket(plain))
            sockets[-1].sendall((b"", b"GET / HT", head.encode() + b"half")[number % 3])
            if number % 20 == 19:
                quick(amp)
    finally:
        for each in sockets:
            each.close()
    quick(amp)


def test_connections_that_go_away(amp):
    """In every state, 300 times; the agent has no more files open than before."""
    def descriptors():
        return len(os.listdir(f"/proc/{amp.process.pid}/fd"))
    quick(amp)
    before = descriptors()
    context = client_context(amp.pki)
    for number in range(300):
        plain = socket.create_connection(("127.0.0.1", amp.port), 10)
        if number % 3 == 1:
            plain.sendall(b"\x16\x03\x01\x02")
        elif number % 30 == 2:
            plain = context.wrap_socket(plain)
            plain.sendall(b"GET /1.0/info HTTP/1.1\r\nHost: a\r\n")
        plain.close()
    wait_for(lambda: descriptors() <= before + 2, 30, "its descriptors are closed")
    quick(amp)


# The agent's own certificate


def shown(amp):
    connection = amp.connect(timeout=10)
    try:
        return connection.serial
    finally:
        connection.close()


def test_rotation(amp):
    """Release note amp-agent-py3-cert-upload-binary-74e0ab35c5a85c68: the next connection sees it; no restart."""
    pid, old = amp.process.pid, amp.connect()
    for _ in range(3):
        new = amp.pki.server_ca.issue(amp.amphora_id)
        assert amp.rest("PUT", "/1.0/certificate", new.pem).expect(202).json == {"message": "OK"}
        assert shown(amp) == new.serial
    assert amp.server_cert.read_text() == new.pem
    assert stat.S_IMODE(amp.server_cert.stat().st_mode) == 0o600
    assert old.request("GET", "/").status == 200
    old.close()
    assert amp.process.pid == pid
    amp.stop()
    amp.start()
    assert shown(amp) == new.serial
    assert new.key.splitlines()[2] not in amp.log


# No pair: name -> text, from two good pairs.
WRONG_PAIRS = {
    "nothing": lambda good, other: "",
    "garbage": lambda good, other: "no certificate\n",
    "binary": lambda good, other: "\0\x01\x02\xff" * 1000,
    "certificate without key": lambda good, other: good.certificate,
    "key without certificate": lambda good, other: good.key,
    "key of another certificate": lambda good, other: good.certificate + other.key,
    "cut off": lambda good, other: good.pem[:-40],
    "key cut off": lambda good, other: good.certificate + good.key[:120],
    "broken base64": lambda good, other: good.pem.replace("M", "!", 3),
    "a public key for the key": lambda good, other: good.certificate + good.certificate,
}


@pytest.mark.parametrize("kind", WRONG_PAIRS)
def test_rotation_refuses_what_is_no_pair(amp, kind):
    before = amp.server_cert.read_bytes()
    good, other = (amp.pki.server_ca.issue(amp.amphora_id) for _ in range(2))
    reply = amp.rest("PUT", "/1.0/certificate", WRONG_PAIRS[kind](good, other).encode("latin-1")).expect(400)
    assert reply.json["message"] and "PRIVATE" not in reply.text
    assert shown(amp) == amp.server_pair.serial
    assert amp.server_cert.read_bytes() == before
    assert "PRIVATE KEY" not in amp.log


def test_key_first_and_chain(amp):
    """Either order, intermediates after the certificate: as Octavia's generators write them."""
    new = amp.pki.server_ca.issue(amp.amphora_id)
    amp.rest("PUT", "/1.0/certificate", new.key + new.certificate).expect(202)
    assert shown(amp) == new.serial
    new = amp.pki.server_ca.issue(amp.amphora_id)
    amp.rest("PUT", "/1.0/certificate", new.certificate + amp.pki.server_ca.pem + new.key).expect(202)
    assert shown(amp) == new.serial


def test_does_not_start_without_its_certificates(make_amphora):
    for file in ("server_cert", "client_ca_file"):
        amp = make_amphora()
        getattr(amp, file).unlink()
        with pytest.raises(RuntimeError) as error:
            amp.start()
        assert str(getattr(amp, file)) in str(error.value)
        amp.process = None


def test_ipv6_wildcard(make_amphora):
    """bind_host is "::" in Octavia's default: both families."""
    amp = make_amphora(bind_host="::").start()
    for host in ("127.0.0.1", "::1"):
        try:
            connection = Connection(amp.port, client_context(amp.pki), 10, host)
        except OSError as error:
            if host == "::1":
                pytest.skip(f"this machine has no IPv6: {error}")
            raise
        assert connection.request("GET", "/").status == 200
        connection.close()


def test_tls_versions_are_negotiated(amp):
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        connection = amp.connect(version=version)
        assert connection.socket.version() == name
        connection.close()


def test_links_and_the_amphora_over_tls(amp):
    """Links lead back through the door that was taken, and the amphora says how long its certificate is good."""
    versions = amp.rest("GET", "/").expect(200).json.get("versions")
    if versions is None:
        pytest.skip("Octavia's own agent has no such API")
    assert versions[-1]["links"][0]["href"] == "https://amphora/v2"
    found = amp.rest("GET", "/v2/octavia/amphorae?limit=1").expect(200).json
    assert found["amphorae_links"][0]["href"].startswith("https://amphora/v2/octavia/amphorae?limit=1&marker=")
    certificate = x509.load_pem_x509_certificate(amp.server_pair.certificate.encode())
    assert [a["cert_expiration"] for a in found["amphorae"]] == [certificate.not_valid_after.isoformat(timespec="seconds")]
