# SPDX-License-Identifier: Apache-2.0
"""Octavia's own amphora driver (Debian: python3-octavia), with its own rendering and certificates, against a running
agent, and traffic through the HAProxy that comes of it."""

import http.client
import json
import re
import socket
import ssl
import stat
import struct
import threading

import pytest

from amphora import LBS, run_ctl
from backends import Origin, TcpOrigin
from clients import Session, answer, fetch, server_of
from octavia_driver import (HEARTBEAT_KEY, VIP, OctaviaAgent,  # noqa: F401
    health_managers, make_amphora, make_controller, remote, tls_door)
from pki import CLIENT, SERVER, Authority
from processes import free_port, wait_for

SOURCE = "127.0.0.77"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def octavia(remote, make_controller):
    return make_controller(remote)


def is_amphorad(agent):
    return isinstance(agent, OctaviaAgent)


def only_amphorad(agent):
    if not is_amphorad(agent):
        pytest.skip("only amphorad does this")


def wait_server(name, port, **kwargs):
    return wait_for(lambda: server_of(port, address=VIP, **kwargs) == name, 10, f"{name} answers")


# Traffic


def talk_tcp(port, text=b"hello\n"):
    with socket.create_connection((VIP, port), 10, (SOURCE, 0)) as client:
        client.sendall(text)
        return client.recv(4096)


def test_tcp(octavia, origins):
    origin = origins("a", kind=TcpOrigin)
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "TCP", octavia.pool("TCP", octavia.member(origin.port)))
    octavia.update(lb)
    assert talk_tcp(listener.protocol_port).startswith(b"a\n")
    # Newer drivers ask for the details too.
    assert [call[:2] for call in octavia.calls if call[1] != "/1.0/details"] == [("GET", "//"), ("GET", "/1.0/info"),
        ("PUT", f"/1.0/loadbalancer/{octavia.amphora.id}/{lb.id}/haproxy"),
        ("PUT", f"/1.0/loadbalancer/{lb.id}/reload")]
    assert {call[2] for call in octavia.calls} == {200, 202}


def test_http_with_all_that_a_pool_can_have(octavia, origins):
    first, second, backup = origins("first"), origins("second"), origins("backup")
    pool = octavia.pool("HTTP", octavia.member(first.port), octavia.member(second.port, weight=3),
        octavia.member(backup.port, backup=True), octavia.member(free_port(), enabled=False),
        octavia.member(free_port()), lb_algorithm="ROUND_ROBIN")
    pool.health_monitor = octavia.monitor("HTTP", http_version=1.1, domain_name="checked.example")
    pool.session_persistence = octavia.models.SessionPersistence(pool_id=pool.id, type="APP_COOKIE",
        cookie_name="JSESSIONID")
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", pool,
        insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"})
    octavia.update(lb)
    port = listener.protocol_port
    # Without a cookie both are asked, with one always the same; the dead one is out after its first check.
    wait_for(lambda: {server_of(port, address=VIP) for _ in range(12)} == {"first", "second"}, 20, "both answer")
    status, headers, body = fetch(port, "/login", address=VIP)
    cookie = headers["Set-Cookie"].split(";")[0]
    name = json.loads(body)["server"]
    assert {server_of(port, address=VIP, headers={"Cookie": cookie}) for _ in range(8)} == {name}
    seen = answer(port, address=VIP, source=SOURCE)["headers"]
    assert seen["x-forwarded-for"] == [SOURCE]
    assert seen["x-forwarded-port"] == [str(port)]
    assert seen["x-forwarded-proto"] == ["http"]
    first.stop()
    second.stop()
    wait_server("backup", port)


def test_http_with_source_ip_and_http_cookie_persistence(octavia, origins):
    lb = octavia.load_balancer()
    listeners = {}
    for kind in ("SOURCE_IP", "HTTP_COOKIE"):
        pool = octavia.pool("HTTP", *(octavia.member(origins(name).port) for name in "abc"),
            lb_algorithm="LEAST_CONNECTIONS")
        pool.session_persistence = octavia.models.SessionPersistence(pool_id=pool.id, type=kind)
        listeners[kind] = octavia.listener(lb, "HTTP", pool).protocol_port
    octavia.update(lb)
    assert len({server_of(listeners["SOURCE_IP"], address=VIP, source=SOURCE) for _ in range(8)}) == 1
    _, headers, body = fetch(listeners["HTTP_COOKIE"], address=VIP)
    cookie = headers["Set-Cookie"].split(";")[0]
    assert cookie.startswith("SRV=")
    assert {server_of(listeners["HTTP_COOKIE"], address=VIP, headers={"Cookie": cookie})
        for _ in range(8)} == {json.loads(body)["server"]}


@pytest.mark.parametrize("protocol", ["PROXY", "PROXYV2"])
def test_proxy_protocol_pools(octavia, origins, protocol):
    origin = origins("a", kind=TcpOrigin, greet=False)
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "TCP", octavia.pool(protocol, octavia.member(origin.port)))
    octavia.update(lb)
    echo = talk_tcp(listener.protocol_port)
    first = origin.first_bytes[0]
    if protocol == "PROXY":
        words = first.split(b"\r\n")[0].decode().split()
        assert words[:4] == ["PROXY", "TCP4", SOURCE, VIP]
        assert words[5] == str(listener.protocol_port)
        rest = first.split(b"\r\n", 1)[1]
    else:
        assert first.startswith(PROXY_V2 + b"\x21\x11")
        length, = struct.unpack(">H", first[14:16])
        source, target, _, target_port = struct.unpack(">4s4sHH", first[16:28])
        assert (socket.inet_ntoa(source), socket.inet_ntoa(target)) == (SOURCE, VIP)
        assert target_port == listener.protocol_port
        rest = first[16 + length:]
    assert rest in (b"hello\n", b"")  # the header may have come alone
    assert echo.startswith(first[:12])


def test_proxy_protocol_pool_behind_http(octavia, nginx):
    ingress = nginx("ingress")
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("PROXY", octavia.member(ingress.port)))
    octavia.update(lb)
    assert fetch(listener.protocol_port, "/who", source=SOURCE, address=VIP)[0] == 200
    assert ingress.wait_log("/who")[0][1] == SOURCE


def test_l7_policies(octavia, origins):
    pool, special = (octavia.pool("HTTP", octavia.member(origins(name).port)) for name in ("default", "special"))
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", pool)
    octavia.policy(listener, "REJECT", [{"type": "HEADER", "key": "X-Bad", "compare_type": "EQUAL_TO", "value": "yes"}])
    octavia.policy(listener, "REDIRECT_TO_URL", [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/old"}],
        redirect_url="https://new.example/", redirect_http_code=301)
    octavia.policy(listener, "REDIRECT_PREFIX", [{"type": "HOST_NAME", "compare_type": "ENDS_WITH",
        "value": "moved.example"}], redirect_prefix="https://there.example", redirect_http_code=307)
    octavia.policy(listener, "REDIRECT_TO_POOL", [
        {"type": "COOKIE", "key": "who", "compare_type": "CONTAINS", "value": "vip"},
        {"type": "FILE_TYPE", "compare_type": "REGEX", "value": "jpe?g", "invert": True},
    ], redirect_pool=special, redirect_pool_id=special.id)
    octavia.update(lb)
    port = listener.protocol_port

    def ask(path="/", **headers):
        status, got, body = fetch(port, path, address=VIP, headers={name.replace("_", "-"): value
            for name, value in headers.items()})
        return status, got.get("Location") or (json.loads(body)["server"] if status == 200 else None)
    assert ask() == (200, "default")
    assert ask(X_Bad="yes") == (403, None)
    assert ask("/old/things") == (301, "https://new.example/")
    assert ask("/x", Host="www.moved.example") == (307, "https://there.example/x")
    assert ask(Cookie="who=a-vip") == (200, "special")
    assert ask("/picture.jpg", Cookie="who=a-vip") == (200, "default")


# TLS


def tls_fetch(port, authority, name, client=None, tmp_path=None, expect_host=True):
    """(status, JSON, serial number of the certificate that was shown)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    context.check_hostname = expect_host
    if client:
        context.load_cert_chain(client.save(tmp_path / "client-of-listener.pem"))
    with socket.create_connection((VIP, port), 10) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        serial = int(tls.getpeercert()["serialNumber"], 16)
        tls.sendall(b"GET / HTTP/1.1\r\nHost: " + name.encode() + b"\r\nConnection: close\r\n\r\n")
        response = http.client.HTTPResponse(tls)
        response.begin()
        return response.status, json.loads(response.read() or "{}"), serial


@pytest.fixture(scope="module")
def public_ca():
    return Authority("public CA")


def terminated(octavia, lb, pool, authority, names, **values):
    """A TERMINATED_HTTPS listener: the first name's certificate is the default one, the others are for SNI."""
    pairs = {name: authority.issue(name, (SERVER,)) for name in names}
    references = [octavia.secret(pairs[name].certificate, pairs[name].key) for name in names]
    listener = octavia.listener(lb, "TERMINATED_HTTPS", pool, tls_certificate_id=references[0], **values)
    octavia.sni(listener, references[1:])
    return listener, pairs


def test_terminated_https_with_sni_and_client_authentication(octavia, origins, public_ca, tmp_path):
    clients = Authority("CA of the users")
    good, revoked = clients.issue("good user", (CLIENT,)), clients.issue("revoked user", (CLIENT,))
    lb = octavia.load_balancer()
    pool = octavia.pool("HTTP", octavia.member(origins("a").port))
    names = ["www.example", "shop.example", "mail.example"]
    listener, pairs = terminated(octavia, lb, pool, public_ca, names,
        client_ca_tls_certificate_id=octavia.secret(clients.pem),
        client_crl_container_id=octavia.secret(clients.revoke(revoked)), client_authentication="MANDATORY",
        tls_versions=["TLSv1.2", "TLSv1.3"], tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
        alpn_protocols=["h2", "http/1.1"],
        insert_headers={"X-Forwarded-Proto": "true", "X-SSL-Client-CN": "true", "X-SSL-Client-Verify": "true"})
    octavia.update(lb)
    port = listener.protocol_port
    for name in names:
        status, body, serial = tls_fetch(port, public_ca, name, good, tmp_path)
        assert (status, serial) == (200, pairs[name].serial)
    assert body["headers"]["x-ssl-client-cn"] == ["good user"]
    assert body["headers"]["x-ssl-client-verify"] == ["0"]
    assert body["headers"]["x-forwarded-proto"] == ["https"]
    assert tls_fetch(port, public_ca, "unknown.example", good, tmp_path, expect_host=False)[2] == pairs[names[0]].serial
    for bad in (None, revoked, public_ca.issue("of another CA", (CLIENT,))):
        with pytest.raises(OSError):
            tls_fetch(port, public_ca, names[0], bad, tmp_path)
    # What came is private: 0600 in a folder 0700.
    folder = octavia.agent.cert_dir / lb.id
    files = sorted(folder.iterdir())
    assert len(files) == 6  # three certificates, the list of them, the users' CA and its revocations
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    if is_amphorad(octavia.agent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_certificates_are_uploaded_once(octavia, origins, public_ca):
    lb = octavia.load_balancer()
    pool = octavia.pool("HTTP", octavia.member(origins("a").port))
    listener, pairs = terminated(octavia, lb, pool, public_ca, ["www.example", "shop.example"])
    octavia.update(lb)
    puts = octavia.calls.of("PUT", "/certificates/")
    assert len(puts) == 3 and {call[2] for call in puts} == {200}
    assert {call[2] for call in octavia.calls.of("GET", "/certificates/")} == {404}
    octavia.calls.clear()
    octavia.update(lb)
    assert octavia.calls.of("PUT", "/certificates/") == []
    assert {call[2] for call in octavia.calls.of("GET", "/certificates/")} == {200}
    # A new one for the same name: other file, other list, and it is what clients see.
    new = public_ca.issue("www.example", (SERVER,))
    listener.tls_certificate_id = octavia.secret(new.certificate, new.key)
    octavia.calls.clear()
    octavia.update(lb)
    assert len(octavia.calls.of("PUT", "/certificates/")) == 2
    wait_for(lambda: tls_fetch(listener.protocol_port, public_ca, "www.example")[2] == new.serial, 10, "the new one")
    assert tls_fetch(listener.protocol_port, public_ca, "shop.example")[2] == pairs["shop.example"].serial


def test_two_tls_listeners_keep_their_certificates_apart(octavia, origins, public_ca):
    """Release note fix-SNI-single-process-879ffce5eaa6c1c3."""
    lb = octavia.load_balancer()
    first, first_pairs = terminated(octavia, lb, octavia.pool("HTTP", octavia.member(origins("a").port)), public_ca,
        ["one.example", "two.example"])
    second, second_pairs = terminated(octavia, lb, octavia.pool("HTTP", octavia.member(origins("b").port)), public_ca,
        ["three.example"])
    octavia.update(lb)
    assert tls_fetch(first.protocol_port, public_ca, "two.example")[1]["server"] == "a"
    status, body, serial = tls_fetch(second.protocol_port, public_ca, "two.example", expect_host=False)
    assert (body["server"], serial) == ("b", second_pairs["three.example"].serial)
    # Deleting one of them deletes its certificates, not the other's.
    octavia.driver.delete(second)
    assert len(octavia.calls.of("DELETE", "/certificates/")) == 1
    assert tls_fetch(first.protocol_port, public_ca, "two.example")[2] == first_pairs["two.example"].serial


class TlsOrigin(Origin):
    """An Origin behind TLS that wants a client certificate; keeps the subject of the last one."""

    def __init__(self, name, context):
        super().__init__(name)
        self.context = context
        self.subjects = set()

    def start(self):
        super().start()
        server, subjects = self.server, self.subjects
        server.socket = self.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        handler = server.RequestHandlerClass
        original = handler.setup

        def setup(self):
            self.request.do_handshake()
            subjects.add(str(self.request.getpeercert()["subject"]))
            original(self)
        handler.setup = setup
        return self


def test_pool_with_tls_and_client_certificate(octavia, origins, tmp_path):
    """Re-encryption: the driver uploads the pool's client certificate, CA and revocation list too."""
    members, lbs = Authority("CA of the members"), Authority("CA of load balancers")
    server, client = members.issue("member", (SERVER,)), lbs.issue("load balancer", (CLIENT,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.save(tmp_path / "member.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=lbs.pem)
    origin = origins("secure", kind=TlsOrigin, context=context)
    pool = octavia.pool("HTTP", octavia.member(origin.port), tls_enabled=True,
        tls_certificate_id=octavia.secret(client.certificate, client.key),
        ca_tls_certificate_id=octavia.secret(members.pem),
        crl_container_id=octavia.secret(members.revoke()), tls_versions=["TLSv1.2", "TLSv1.3"])
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", pool)
    octavia.update(lb)
    assert server_of(listener.protocol_port, address=VIP) == "secure"
    assert len(origin.subjects) == 1 and "load balancer" in origin.subjects.pop()


# Life of a load balancer


def test_two_listeners_then_one_then_none(octavia, origins):
    first, second = origins("first"), origins("second")
    lb = octavia.load_balancer()
    one = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(first.port)))
    octavia.update(lb)
    assert server_of(one.protocol_port, address=VIP) == "first"
    tcp = origins("tcp", kind=TcpOrigin)
    two = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(second.port)))
    three = octavia.listener(lb, "TCP", octavia.pool("TCP", octavia.member(tcp.port)))
    octavia.update(lb)
    if not is_amphorad(octavia.agent):  # Octavia's agent answers before HAProxy has reloaded
        wait_for(lambda: not refused(three.protocol_port), 10, "the new listener is open")
    session = Session.__new__(Session)
    session.socket = socket.create_connection((VIP, three.protocol_port), 10)
    session.file = session.socket.makefile("rwb")
    assert session.file.readline() == b"tcp\n"
    assert server_of(one.protocol_port, address=VIP) == "first"
    assert server_of(two.protocol_port, address=VIP) == "second"
    listed = octavia.driver.clients["1.0"].get_all_listeners(octavia.amphora)
    assert {(item["uuid"], item["status"], item["type"]) for item in listed} == {(one.id, "ACTIVE", "HTTP"),
        (two.id, "ACTIVE", "HTTP"), (three.id, "ACTIVE", "TCP")}
    octavia.driver.delete(two)
    wait_for(lambda: refused(two.protocol_port), 10, "the deleted listener is closed")
    assert server_of(one.protocol_port, address=VIP) == "first"
    session.echo("a connection of the listener that stayed")
    session.close()
    octavia.driver.delete(three)
    octavia.driver.delete(one)
    wait_for(lambda: refused(one.protocol_port), 10, "the last listener is closed")
    assert octavia.calls[-1] == ("DELETE", f"/1.0/listeners/{lb.id}", 200)
    assert octavia.driver.clients["1.0"].get_all_listeners(octavia.amphora) == []
    left = [path for path in octavia.agent.state.rglob("*") if lb.id in str(path)]
    assert left == []


def refused(port):
    try:
        socket.create_connection((VIP, port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_start_and_reload_of_the_driver(octavia, origins):
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(origins("a").port)))
    octavia.update(lb)
    octavia.driver.clients["1.0"]._action("stop", octavia.amphora, lb.id)
    wait_for(lambda: refused(listener.protocol_port), 10, "HAProxy is stopped")
    octavia.driver.start(lb)
    assert server_of(listener.protocol_port, address=VIP) == "a"
    octavia.driver.reload(lb)
    assert server_of(listener.protocol_port, address=VIP) == "a"
    assert {call[2] for call in octavia.calls} <= {200, 202}


def test_failed_configuration_is_reported_and_the_old_one_serves(octavia, origins):
    from octavia.amphorae.drivers.haproxy import exceptions
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(origins("a").port)))
    octavia.update(lb)
    listener.timeout_client_data = "soon"
    with pytest.raises(exceptions.InvalidRequest):
        octavia.update(lb)
    assert server_of(listener.protocol_port, address=VIP) == "a"
    folder = octavia.agent.state / lb.id
    assert "timeout client soon" in (folder / "haproxy.cfg.new-failed").read_text()
    assert "soon" not in (folder / "haproxy.cfg").read_text()


def test_traffic_does_not_stop_for_changes(octavia, origins):
    """Ten members come and go under load; no request fails."""
    backends = [origins(name) for name in "ab"]
    pool = octavia.pool("HTTP", *(octavia.member(origin.port) for origin in backends))
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", pool)
    octavia.update(lb)
    stopping, failures, count = threading.Event(), [], [0]

    def run():
        while not stopping.is_set():
            try:
                server_of(listener.protocol_port, address=VIP)
                count[0] += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                failures.append(repr(error))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        for name in "cdefg":
            pool.members.append(octavia.member(origins(name).port))
            octavia.update(lb)
        for _ in range(5):
            pool.members.pop()
            octavia.update(lb)
    finally:
        stopping.set()
        thread.join()
    assert failures == [] and count[0] > 20


# The amphora itself


def test_info_and_details(octavia, origins):
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(origins("a").port)))
    octavia.update(lb)
    info = octavia.driver.get_info(octavia.amphora)
    assert info["api_version"] == "1.0"
    assert re.match(r"\d+\.\d+\.\d+", info["haproxy_version"])
    assert info["hostname"] == socket.gethostname()
    details = octavia.driver.clients["1.0"].get_details(octavia.amphora)
    assert details["listeners"] == [listener.id]
    assert details["active"] is True
    assert details["memory"]["total"] > details["memory"]["free"] > 0
    assert details["disk"]["available"] > 0
    assert len(details["load"]) == 3
    assert all(float(value) >= 0 for value in details["load"])
    assert int(details["cpu"]["total"]) > int(details["cpu"]["user"])
    assert all({"network_tx", "network_rx"} == set(values) for values in details["networks"].values())


def test_agent_file_is_octavias(octavia):
    """The file that the other tests write is, byte for byte, what Octavia would have written. (Newer ones leave out
    three options that did nothing.)"""
    written = octavia.agent.agent_config.read_text()
    made = octavia.agent_config()
    if "respawn_count" not in made:
        written = re.sub("(respawn_count|respawn_interval|use_upstart) = .*\n", "", written)
    assert made == written


def test_update_amphora_agent_config(octavia, health_managers):
    """Heartbeats follow at once: other controllers, other key, no restart."""
    old, new = health_managers(), health_managers()
    octavia.set("health_manager", controller_ip_port_list=[old.address])
    octavia.driver.update_amphora_agent_config(octavia.amphora, octavia.agent_config())
    assert octavia.agent.agent_config.read_text() == octavia.agent_config()
    only_amphorad(octavia.agent)  # options of health_manager that Octavia 11.0.0's sender does not read again
    pid = octavia.agent.process.pid
    old.wait_more(2)
    new.key = "another key"
    octavia.set("health_manager", controller_ip_port_list=[new.address], heartbeat_key=new.key)
    octavia.driver.update_amphora_agent_config(octavia.amphora, octavia.agent_config())
    messages = new.wait_more(2)
    assert {message["id"] for message in messages} == {octavia.amphora.id}
    new.wait_more(2)
    # Not by their number at an instant: what was sent before may be read later.
    assert all(message["seq"] < messages[0]["seq"] for message in old.messages) and new.errors == []
    assert octavia.agent.process.pid == pid and octavia.agent.process.poll() is None
    assert stat.S_IMODE(octavia.agent.agent_config.stat().st_mode) == 0o600


def rotate(octavia):
    """As octavia-housekeeping does it; the serial number of the new certificate."""
    from cryptography import x509
    from octavia.certificates.generator import local
    made = local.LocalCertGenerator.generate_cert_key_pair(cn=octavia.amphora.id, validity=86400)
    octavia.driver.upload_cert_amp(octavia.amphora, made.certificate + made.private_key)
    return x509.load_pem_x509_certificate(made.certificate).serial_number


def test_upload_cert_amp(octavia, origins):
    agent = octavia.agent
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(origins("a").port)))
    octavia.update(lb)
    old = agent.connect()
    assert old.serial == agent.server_pair.serial
    if not is_amphorad(agent):
        old.close()  # it serves one connection at a time
    serial = rotate(octavia)
    assert octavia.calls[-1] == ("PUT", "/1.0/certificate", 202)

    def serial_now():
        connection = agent.connect()
        try:
            return connection.serial
        finally:
            connection.close()
    if is_amphorad(agent):
        assert serial_now() == serial  # the very next one
        assert old.request("GET", "/").status == 200  # and those that were open go on
    else:
        wait_for(lambda: serial_now() == serial, 20, "the new certificate is shown")
    old.close()
    assert octavia.driver.get_info(octavia.amphora)["api_version"] == "1.0"
    assert server_of(listener.protocol_port, address=VIP) == "a"


# What amphorad adds


def test_uploaded_load_balancers_are_shown_read_only(octavia, origins):
    agent = octavia.agent
    only_amphorad(agent)
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", octavia.pool("HTTP", octavia.member(origins("a").port)))
    octavia.update(lb)
    shown = agent.get(LBS).expect(200).json["loadbalancers"]
    assert [(item["id"], item["owner"]) for item in shown] == [(lb.id, "controller")]
    assert [item["id"] for item in shown[0]["listeners"]] == [listener.id]
    assert lb.id in run_ctl(agent, "list").stdout
    assert "controller" in run_ctl(agent, "show", lb.id).stdout
    assert agent.put(lb.id, {"loadbalancer": {"name": "mine", "listeners": []}}).status == 409
    assert agent.request("DELETE", f"{LBS}/{lb.id}/definition").status == 409
    assert server_of(listener.protocol_port, address=VIP) == "a"


def test_heartbeats_carry_it(octavia, origins, health_managers):
    """With the names that Octavia's health manager looks up."""
    agent = octavia.agent
    only_amphorad(agent)
    manager = health_managers()
    octavia.set("health_manager", controller_ip_port_list=[manager.address])
    octavia.driver.update_amphora_agent_config(octavia.amphora, octavia.agent_config())
    up, drained, off = (octavia.member(origins("a").port), octavia.member(origins("b").port, weight=0),
        octavia.member(free_port(), enabled=False))
    dead = octavia.member(free_port())
    pool = octavia.pool("HTTP", up, drained, off, dead)
    pool.health_monitor = octavia.monitor("TCP")
    lb = octavia.load_balancer()
    listener = octavia.listener(lb, "HTTP", pool)
    octavia.update(lb)
    name = f"{pool.id}:{listener.id}"
    wanted = {up.id: "UP", drained.id: "DRAIN", off.id: "MAINT", dead.id: "DOWN"}
    message = manager.wait_for(lambda m: m["pools"].get(name, {}).get("members") == wanted, "all members as they are")
    assert message["listeners"][listener.id]["status"] == "OPEN"
    assert (message["id"], message["ver"]) == (octavia.amphora.id, 3)

    def counted():
        return sum(m["listeners"].get(listener.id, {"stats": {"totconns": 0}})["stats"]["totconns"] for m in manager.messages)
    before = counted()
    for _ in range(7):
        assert server_of(listener.protocol_port, address=VIP) == "a"
    wait_for(lambda: counted() == before + 7, 10, "seven connections are counted")
    assert manager.key == HEARTBEAT_KEY and manager.errors == []
    # A controller that can get no certificate takes the whole of it away, and sends it again later.
    octavia.driver.delete(listener)
    wait_for(lambda: manager.messages[-1]["listeners"] == {}, 10, "it is gone")
    lb.listeners = [listener]
    octavia.update(lb)
    for _ in range(3):
        assert server_of(listener.protocol_port, address=VIP) == "a"
    wait_for(lambda: counted() == before + 10, 10, "ten connections are counted")
