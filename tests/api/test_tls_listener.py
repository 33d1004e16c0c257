# SPDX-License-Identifier: Apache-2.0
"""TERMINATED_HTTPS listeners and TLS to the members, as clients and members find them."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess

import pytest

from amphora import document, listener, member, monitor, new_id, pool
from clients import fetch, server_of
from pki import DAY, Authority, Https, client, put_certificate, server_context
from processes import free_port, wait_for

CURL = shutil.which("curl")


@pytest.fixture(scope="module")
def ca():
    return Authority("web CA")


@pytest.fixture
def https(agent, origins, ca):
    """Starts a listener with the certificate of a.example; returns a function that makes requests."""
    class Listener:
        def __init__(self):
            self.port, self.lb_id, self.origin, self.ca = free_port(), new_id(), origins("web"), ca
            self.agent = agent
            self.put("a.example")

        def put(self, name, pem=None):
            pem = pem or ca.issue(name, hosts=[name]).pem
            return put_certificate(agent, name, pem).expect(200, 201)

        def apply(self, pool_=None, **fields):
            fields.setdefault("default_tls_container_ref", "a.example")
            return agent.apply(self.lb_id, document(listener(self.port, pool_ or pool([member(self.origin.port)]),
                protocol="TERMINATED_HTTPS", name="https", **fields)))

        def __call__(self, context=None, **kwargs):
            return Https(self.port, context or client(ca), **kwargs)
    return Listener()


def test_termination(https):
    https.apply()
    reply = https()
    assert reply.said["server"] == "web"
    assert ("DNS", "a.example") in reply.certificate["subjectAltName"]


def test_server_name_indication(https):
    for name in ("b.example", "c.example"):
        https.put(name)
    https.apply(sni_container_refs=["b.example", "c.example"])
    for name in ("a.example", "b.example", "c.example"):
        assert ("DNS", name) in https(host=name).certificate["subjectAltName"]
    with pytest.raises(ssl.SSLCertVerificationError):  # the default certificate is for another name
        https(host="d.example")
    https.apply(sni_container_refs=["c.example"])
    with pytest.raises(ssl.SSLCertVerificationError):
        https(host="b.example")
    assert https(host="c.example").status == 200


def test_a_certificate_is_replaced_under_the_listener(https, ca):
    https.apply()
    before = https().certificate["serialNumber"]
    new = ca.issue("a.example", hosts=["a.example"])
    https.put("a.example", new.pem)
    assert https().certificate["serialNumber"] != before
    assert int(https().certificate["serialNumber"], 16) == new.serial


def test_versions(https):
    https.apply(tls_versions=["TLSv1.3"])
    assert https(client(https.ca, version=ssl.TLSVersion.TLSv1_3)).version == "TLSv1.3"
    with pytest.raises(OSError):
        https(client(https.ca, version=ssl.TLSVersion.TLSv1_2))
    https.apply(tls_versions=["TLSv1.2"])
    assert https(client(https.ca)).version == "TLSv1.2"
    with pytest.raises(OSError):
        https(client(https.ca, version=ssl.TLSVersion.TLSv1_3))


def test_ciphers(https):
    https.apply(tls_versions=["TLSv1.2"], tls_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    assert https(client(https.ca)).cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"
    with pytest.raises(OSError):
        https(client(https.ca, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))


def test_application_protocols(https):
    https.apply(alpn_protocols=["h2", "http/1.1"])
    assert https(client(https.ca, alpn=["http/1.1"])).alpn == "http/1.1"
    if CURL is None:
        pytest.skip("curl is not installed")
    done = subprocess.run([CURL, "--silent", "--insecure", "--http2", "--max-time", "20", "--write-out",
        "\n%{http_version} %{http_code}", f"https://127.0.0.1:{https.port}/"], capture_output=True, text=True,
        timeout=30, check=False)
    body, _, words = done.stdout.rpartition("\n")
    assert words == "2 200" and json.loads(body)["server"] == "web", done
    https.apply(alpn_protocols=["http/1.1"])
    done = subprocess.run([*done.args[:-3], "--write-out", "\n%{http_version} %{http_code}", done.args[-1]],
        capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.endswith("\n1.1 200"), done


def test_strict_transport_security(https):
    https.apply(hsts_max_age=31536000, hsts_include_subdomains=True, hsts_preload=True)
    value = https().headers["Strict-Transport-Security"]
    assert [word.strip() for word in value.split(";") if word.strip()] == ["max-age=31536000", "includeSubDomains", "preload"]
    https.apply(hsts_max_age=0)
    assert https().headers["Strict-Transport-Security"].rstrip("; ") == "max-age=0"
    https.apply()
    assert https().headers["Strict-Transport-Security"] is None


HEADERS = ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert",
    "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before",
    "X-SSL-Client-Not-After"]


def test_headers_without_a_client_certificate(https):
    https.apply(insert_headers={name: "true" for name in HEADERS})
    reply = https(source="127.0.0.5")
    assert reply.seen("X-Forwarded-For") == "127.0.0.5"
    assert reply.seen("X-Forwarded-Port") == str(https.port)
    assert reply.seen("X-Forwarded-Proto") == "https"
    assert reply.seen("X-SSL-Client-Has-Cert") == "0"


def test_headers_with_a_client_certificate(https):
    users = Authority("users")
    put_certificate(https.agent, "users", users.pem).expect(201)
    https.apply(client_authentication="OPTIONAL", client_ca_tls_container_ref="users",
        insert_headers={name: "true" for name in HEADERS})
    user = users.issue("alice", hosts=["alice"])
    reply = https(client(https.ca, user))
    assert reply.seen("X-SSL-Client-Has-Cert") == "1"
    assert reply.seen("X-SSL-Client-Verify") == "0"
    assert reply.seen("X-SSL-Client-CN") == "alice"
    assert "alice" in reply.seen("X-SSL-Client-DN")
    assert "users" in reply.seen("X-SSL-Issuer")
    assert len(reply.seen("X-SSL-Client-SHA1")) == 40
    assert reply.seen("X-SSL-Client-Not-Before") < reply.seen("X-SSL-Client-Not-After")


def test_a_client_cannot_forge_the_headers(https):
    """What a client sends under these names is replaced, not passed on."""
    https.apply(insert_headers={"X-SSL-Client-CN": "true", "X-Forwarded-Proto": "true"})
    with socket.create_connection(("127.0.0.1", https.port), 10) as plain:
        with client(https.ca).wrap_socket(plain, server_hostname="a.example") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-SSL-Client-CN: root\r\n"
                b"X-Forwarded-Proto: gopher\r\nConnection: close\r\n\r\n")
            response = http.client.HTTPResponse(tls)
            response.begin()
            seen = json.loads(response.read())["headers"]
    assert seen.get("x-ssl-client-cn", [""]) == [""] and seen["x-forwarded-proto"] == ["https"]


@pytest.mark.parametrize("mode", ["NONE", "OPTIONAL", "MANDATORY"])
def test_client_authentication(https, mode):
    users = Authority("users")
    put_certificate(https.agent, "users", users.pem).expect(201)
    fields = {"client_ca_tls_container_ref": "users"} if mode != "NONE" else {}
    https.apply(client_authentication=mode, **fields)
    good = client(https.ca, users.issue("alice"))
    stranger = client(https.ca, Authority("strangers").issue("mallory"))
    expired = client(https.ca, users.issue("late", start=-3 * DAY, end=-DAY))
    assert https(good).said["server"] == "web"
    if mode == "MANDATORY":
        with pytest.raises(OSError):
            https()
    else:
        assert https().said["server"] == "web"
    for bad in (stranger, expired):
        if mode == "NONE":
            assert https(bad).said["server"] == "web"
        else:
            with pytest.raises(OSError):
                https(bad)


def test_revoked_clients(https):
    users = Authority("users")
    good, revoked = users.issue("alice"), users.issue("bob")
    put_certificate(https.agent, "users", users.pem).expect(201)
    put_certificate(https.agent, "revoked", users.revoke(revoked)).expect(201)
    https.apply(client_authentication="MANDATORY", client_ca_tls_container_ref="users",
        client_crl_container_ref="revoked")
    assert https(client(https.ca, good)).said["server"] == "web"
    with pytest.raises(OSError):
        https(client(https.ca, revoked))


# L7 rules about the client's certificate


def user_and_guest(https, origins, *rules):
    """Where a client with a certificate and one without go when the rules send them to another pool."""
    users = Authority("users")
    put_certificate(https.agent, "users", users.pem).expect(200, 201)
    other = origins("other")
    https.apply(client_authentication="OPTIONAL", client_ca_tls_container_ref="users",
        l7policies=[{"action": "REDIRECT_TO_POOL", "redirect_pool": pool([member(other.port)], name="other"),
            "rules": list(rules)}])
    user = users.issue("alice.example", hosts=["alice"])
    return https(client(https.ca, user)).said["server"], https().said["server"]


@pytest.mark.parametrize("type_, value, more, user, guest", [
    ("SSL_CONN_HAS_CERT", "True", {}, "other", "web"),
    ("SSL_CONN_HAS_CERT", "True", {"invert": True}, "web", "other"),
    ("SSL_VERIFY_RESULT", "0", {}, "other", "other"),
    ("SSL_VERIFY_RESULT", "0", {"invert": True}, "web", "web"),
    ("SSL_VERIFY_RESULT", "20", {}, "web", "web"),
    ("SSL_DN_FIELD", "alice.example", {"key": "CN"}, "other", "web"),
    ("SSL_DN_FIELD", "alice", {"key": "CN"}, "web", "web"),
    ("SSL_DN_FIELD", "alice.example", {"key": "O"}, "web", "web"),
    ("SSL_DN_FIELD", "alice.example", {"key": "CN", "invert": True}, "web", "other"),
    ("SSL_DN_FIELD", "alice", {"key": "CN", "compare_type": "STARTS_WITH"}, "other", "web"),
    ("SSL_DN_FIELD", ".example", {"key": "CN", "compare_type": "ENDS_WITH"}, "other", "web"),
    ("SSL_DN_FIELD", "ce.ex", {"key": "CN", "compare_type": "CONTAINS"}, "other", "web"),
    ("SSL_DN_FIELD", "^(alice|bob)\\.", {"key": "CN", "compare_type": "REGEX"}, "other", "web"),
    ("SSL_DN_FIELD", "^bob\\.", {"key": "CN", "compare_type": "REGEX"}, "web", "web"),
])
def test_rules_about_client_certificates(https, origins, type_, value, more, user, guest):
    rule = {"type": type_, "compare_type": "EQUAL_TO", "value": value, **more}
    assert user_and_guest(https, origins, rule) == (user, guest)


# TLS to the members


@pytest.mark.parametrize("verified", [False, True])
def test_members_with_tls(agent, origins, ca, verified):
    origin = origins("secure", context=server_context(ca.issue("127.0.0.1", hosts=["member"])))
    port, lb_id = free_port(), new_id()
    fields = {"tls_enabled": True}
    if verified:
        put_certificate(agent, "members-ca", ca.pem).expect(201)
        fields["ca_tls_container_ref"] = "members-ca"
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], **fields))))
    assert server_of(port) == "secure"


def test_members_get_the_name_that_the_client_asked_for(https, origins, ca):
    """And are verified by it."""
    origin = origins("named", context=server_context(ca.issue("member", hosts=["a.example"])))
    https.put("b.example", ca.issue("b.example", hosts=["b.example"]).pem)
    put_certificate(https.agent, "members-ca", ca.pem).expect(201)
    secure = pool([member(origin.port)], tls_enabled=True)
    https.apply(secure, sni_container_refs=["b.example"])
    for name in ("a.example", "b.example"):
        assert https(host=name).said["sni"] == name
    https.apply(dict(secure, ca_tls_container_ref="members-ca"), sni_container_refs=["b.example"])
    assert https(host="a.example").said["sni"] == "a.example"
    assert https(host="b.example").status == 503


def test_members_of_a_revoked_certificate_are_not_spoken_to(agent, origins, ca):
    good, revoked = ca.issue("127.0.0.1"), ca.issue("127.0.0.2")
    put_certificate(agent, "members-ca", ca.pem).expect(201)
    put_certificate(agent, "revoked", ca.revoke(revoked)).expect(201)
    for pair, status in ((good, 200), (revoked, 503)):
        origin, port = origins("member", context=server_context(pair)), free_port()
        agent.apply(new_id(), document(listener(port, pool([member(origin.port)], tls_enabled=True,
            ca_tls_container_ref="members-ca", crl_container_ref="revoked"))))
        assert fetch(port)[0] == status


@pytest.mark.parametrize("fields", [{"tls_versions": ["TLSv1.3"]}, {"tls_versions": ["TLSv1.2"]},
    {"tls_versions": ["TLSv1.2"], "tls_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}, {"alpn_protocols": ["http/1.1"]}])
def test_members_are_spoken_to_as_the_pool_says(agent, origins, ca, fields):
    context = server_context(ca.issue("127.0.0.1"))
    context.set_alpn_protocols(["http/1.1", "http/1.0"])
    origin, port = origins("member", context=context), free_port()
    agent.apply(new_id(), document(listener(port, pool([member(origin.port)], tls_enabled=True, **fields))))
    said = json.loads(fetch(port)[2])
    if "tls_versions" in fields:
        assert said["version"] == fields["tls_versions"][0]
    if "tls_ciphers" in fields:
        assert said["cipher"] == fields["tls_ciphers"]
    if "alpn_protocols" in fields:
        assert said["alpn"] == fields["alpn_protocols"][0]


def test_members_of_a_stranger_are_not_spoken_to(agent, origins, ca):
    origin = origins("stranger", context=server_context(Authority("strangers").issue("127.0.0.1")))
    port, lb_id = free_port(), new_id()
    put_certificate(agent, "members-ca", ca.pem).expect(201)
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], tls_enabled=True,
        ca_tls_container_ref="members-ca", healthmonitor=monitor("HTTPS", url_path="/health")))))
    wait_for(lambda: agent.status(lb_id)["operating_status"] == "ERROR", 20, "the member counts as down")
    assert origin.requests == 0


def test_members_see_our_certificate(agent, origins, ca):
    clients = Authority("balancers")
    origin = origins("mutual", context=server_context(ca.issue("127.0.0.1"), clients))
    port, lb_id = free_port(), new_id()
    put_certificate(agent, "balancer", clients.issue("balancer-1", hosts=["balancer-1"]).pem).expect(201)
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], tls_enabled=True,
        tls_container_ref="balancer"))))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    said = json.loads(connection.getresponse().read())
    connection.close()
    assert said["certificate"]["subject"] == [[["commonName", "balancer-1"]]]


def test_passed_through(agent, origins, ca):
    """An HTTPS listener hands TLS on as it is: the member's certificate is what the client sees."""
    origin = origins("end", context=server_context(ca.issue("a.example", hosts=["a.example"])))
    port, lb_id = free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)], protocol="HTTPS"), protocol="HTTPS")))
    reply = Https(port, client(ca))
    assert reply.said["server"] == "end" and reply.said["sni"] == "a.example"
