# SPDX-License-Identifier: Apache-2.0
"""Certificates by name: which bundles are taken, who uses them, and replacing them under load balancers that run."""

import base64
import http.client
import os
import socket
import stat
import subprocess
import threading

import pytest

from amphora import LBS, document, listener, member, new_id, pool, run_ctl
from pki import CERTIFICATES, DAY, Authority, Https, client, put_certificate, serial_of
from processes import free_port

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography import x509


@pytest.fixture(scope="module")
def root():
    return Authority("root")


@pytest.fixture(scope="module")
def middle(root):
    return Authority("middle", issuer=root)


@pytest.fixture(scope="module")
def leaf(middle):
    return middle.issue("a.example")


@pytest.fixture
def https(agent, origins, leaf, middle, root):
    """Starts a listener with certificate "a"; returns the serial number that a new TLS client is shown."""
    class Listener:
        def __init__(self):
            self.origin = origins("web")
            self.ports = {}

        def start(self, lb_id=None, **fields):
            lb_id = lb_id or new_id()
            self.ports.setdefault(lb_id, free_port())
            fields.setdefault("default_tls_container_ref", "a")
            agent.apply(lb_id, self.document(lb_id, **fields))
            return lb_id

        def document(self, lb_id, **fields):
            self.ports.setdefault(lb_id, free_port())
            return document(listener(self.ports[lb_id], pool([member(self.origin.port)]), protocol="TERMINATED_HTTPS",
                **fields), name=f"lb-{lb_id}")

        def serial(self, lb_id, host="a.example"):
            return int(Https(self.ports[lb_id], client(root), host=host).certificate["serialNumber"], 16)
    put_certificate(agent, "a", leaf.pem + middle.pem).expect(201)
    return Listener()


def get(agent, name):
    return agent.get(f"{CERTIFICATES}/{name}").expect(200).json["certificate"]


def delete(agent, name):
    return agent.request("DELETE", f"{CERTIFICATES}/{name}")


def text_of(key, encryption=None, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption()).decode()


# One certificate


def test_life(agent, leaf, middle, root):
    assert agent.get(CERTIFICATES).expect(200).json == {"certificates": [], "certificates_links": []}
    agent.get(f"{CERTIFICATES}/www.example").expect(404)
    # In any order.
    created = put_certificate(agent, "www.example", root.pem + leaf.key + middle.pem + leaf.certificate).expect(201)
    assert created.headers["Amphorad-Apply"] == "none"
    assert created.json["apply"]["loadbalancers"] == []
    said = created.json["certificate"]
    assert said["name"] == "www.example" and said["type"] == "certificate" and said["count"] == 3
    assert said["subject"] == "CN=a.example" and said["issuer"] == "CN=middle"
    assert said["dns_names"] == ["a.example"] and said["key_type"] == "EC P-256" and said["used_by"] == []
    assert int(said["serial"], 16) == leaf.serial
    assert said["not_before"] < said["not_after"]
    assert get(agent, "www.example") == said
    assert agent.get(CERTIFICATES).json == {"certificates": [said], "certificates_links": []}
    assert agent.get("/v2.0/lbaas/certificates/www.example").expect(200).json["certificate"] == said
    # Stored from the leaf to the root, for the owner only.
    file = agent.state / "certificates/www.example.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    blocks = [line for line in file.read_text().splitlines() if line.startswith("-----BEGIN")]
    assert blocks == [f"-----BEGIN {kind}-----" for kind in ("CERTIFICATE", "PRIVATE KEY", "CERTIFICATE", "CERTIFICATE")]
    stored = [x509.load_pem_x509_certificate(("-----BEGIN CERTIFICATE-----" + part).encode())
        for part in file.read_text().split("-----BEGIN CERTIFICATE-----")[1:]]
    assert [c.subject.rfc4514_string() for c in stored] == ["CN=a.example", "CN=middle", "CN=root"]
    # The same again, and another one.
    put_certificate(agent, "www.example", leaf.pem + middle.pem + root.pem).expect(200)
    other = middle.issue("b.example")
    put_certificate(agent, "www.example", other.pem).expect(200)
    assert int(get(agent, "www.example")["serial"], 16) == other.serial
    delete(agent, "www.example").expect(204)
    agent.get(f"{CERTIFICATES}/www.example").expect(404)
    delete(agent, "www.example").expect(404)


def test_keys_are_never_given_back(agent, https, leaf, middle):
    lb_id = https.start()
    marks = [line for line in leaf.key.splitlines()[1:-1] if len(line) > 20]
    pkcs8 = text_of(serialization.load_pem_private_key(leaf.key.encode(), None))
    marks += [line for line in pkcs8.splitlines()[1:-1] if len(line) > 20]
    replies = [agent.get(CERTIFICATES), agent.get(f"{CERTIFICATES}/a"), agent.get(f"{LBS}/{lb_id}/definition"),
        agent.get(f"{LBS}/{lb_id}/haproxy.cfg"), put_certificate(agent, "a", leaf.pem + middle.pem),
        put_certificate(agent, "a", leaf.pem + leaf.key), put_certificate(agent, "b", leaf.key),
        put_certificate(agent, "a", middle.issue("c").pem), agent.put(lb_id, https.document(lb_id,
            default_tls_container_ref="a"), "?dry_run=true")]
    for reply in replies:
        for mark in marks:
            assert mark not in reply.text
    for mark in marks:
        assert mark not in agent.log
    # What holds one on disk is for the owner only.
    for path in agent.state.rglob("*"):
        if path.is_file() and "PRIVATE KEY" in path.read_text(errors="replace"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("make", [
    lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP384R1()),
    lambda: ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate],
    ids=["RSA 2048", "P-384", "P-521", "Ed25519"])
def test_kinds_of_keys_serve(agent, https, root, make):
    pair = root.issue("a.example", key=make())
    put_certificate(agent, "a", pair.pem).expect(200)
    assert https.serial(https.start()) == pair.serial


@pytest.mark.parametrize("content_type, status", [("application/x-pem-file", 201), ("text/plain; charset=utf-8", 201),
    ("application/octet-stream", 201), ("application/pem-certificate-chain", 201), ("", 201),
    ("application/json", 415), ("application/x-pkcs12", 415), ("application/x-www-form-urlencoded", 415)])
def test_content_types(agent, leaf, content_type, status):
    reply = agent.request("PUT", f"{CERTIFICATES}/a", leaf.pem, headers={"Content-Type": content_type}).expect(status)
    if status == 415:
        assert "application/x-pem-file" in reply.fault
        agent.get(f"{CERTIFICATES}/a").expect(404)


@pytest.mark.parametrize("name", [".hidden", "a%20b", "a%2Fb", "%2e%2e", "a:b", "x" * 201, "%C3%A4"])
def test_names(agent, leaf, name):
    reply = put_certificate(agent, name, leaf.pem).expect(400, 404)
    assert reply.fault
    assert agent.get(CERTIFICATES).json["certificates"] == []
    assert list((agent.state / "certificates").iterdir()) == []


def test_size(agent, leaf, root):
    """Text around the blocks does not matter, up to the limit of a body; large ones never reach a file."""
    put_certificate(agent, "a", leaf.pem + "# comment\n" * 100000).expect(201)
    put_certificate(agent, "a", leaf.pem + "# comment\n" * 200000).expect(413)
    many = "".join(Authority(f"CA {i}").pem for i in range(200))
    assert put_certificate(agent, "many", many).expect(201).json["certificate"]["count"] == 200


# What is wrong with a bundle is said


def bad_bundles():
    root = Authority("root")
    middle = Authority("middle", issuer=root)
    leaf = middle.issue("a.example")
    stranger = Authority("stranger")
    weak = rsa.generate_private_key(65537, 1024)
    p256 = serialization.load_pem_private_key(leaf.key.encode(), None)
    secret = serialization.BestAvailableEncryption(b"password")
    archive = pkcs12.serialize_key_and_certificates(b"x", p256, x509.load_pem_x509_certificate(leaf.certificate.encode()),
        None, serialization.NoEncryption())
    user = middle.issue("user")
    return {
        "empty": ("", "there is no certificate in it"),
        "garbage": ("\x01\x02 garbage", "there is no certificate in it"),
        "JSON": ('{"certificate": 1}', "there is no certificate in it"),
        "no key": (leaf.certificate, "certificate 1 of 1 (CN=a.example) is no CA, and there is no private key"),
        "no certificate": (leaf.key, "a private key, and no certificate"),
        "another key": (leaf.certificate + user.key, "does not belong to certificate 1 of 1 (CN=a.example)"),
        "two keys": (leaf.pem + user.key, "more than one private key: in line"),
        "two pairs": (leaf.pem + user.pem, "more than one private key"),
        "gap in the chain": (leaf.pem + root.pem, "certificate 2 of 2 (CN=root) does not belong to the chain"),
        "stranger in the chain": (leaf.pem + middle.pem + stranger.pem,
            "certificate 3 of 3 (CN=stranger) does not belong to the chain"),
        "expired": (middle.issue("a.example", start=-3 * DAY, end=-DAY).pem, "(CN=a.example) expired on 20"),
        "not yet valid": (middle.issue("a.example", start=DAY, end=2 * DAY).pem, "(CN=a.example) is not valid before 20"),
        "weak": (root.issue("a.example", key=weak).pem, "RSA 1024"),
        "weak curve": (root.issue("a.example", key=ec.generate_private_key(ec.SECP224R1())).pem, "(CN=a.example)"),
        "DSA": (root.issue("a.example", key=dsa.generate_private_key(2048)).pem, "DSA"),
        "encrypted": (leaf.certificate + text_of(p256, secret), "the private key is encrypted"),
        "encrypted as OpenSSL once did": (leaf.certificate
            + text_of(p256, secret, serialization.PrivateFormat.TraditionalOpenSSL), "the private key is encrypted"),
        "cut off": (leaf.pem[:-20], "has no end"),
        "cut in front": (leaf.pem[20:], "cut off"),
        "PKCS #12": (archive, "openssl pkcs12"),
        "PKCS #12 in base64": (base64.encodebytes(archive), "openssl pkcs12"),
        "DER": (x509.load_pem_x509_certificate(leaf.certificate.encode()).public_bytes(serialization.Encoding.DER), "DER"),
        "CRL of another": (stranger.pem + root.revoke(), "CRL 1 of 1 (of CN=root) was not signed"),
        "CRL and key": (leaf.pem + root.revoke(), "a CRL beside a private key"),
        "leaf among authorities": (root.pem + leaf.certificate, "certificate 2 of 2 (CN=a.example) is no CA"),
    }


BAD = bad_bundles()


@pytest.mark.parametrize("what", BAD)
def test_bad_bundles(agent, leaf, middle, what):
    body, words = BAD[what]
    reply = put_certificate(agent, "a", body).expect(400)
    assert words in reply.fault
    agent.get(f"{CERTIFICATES}/a").expect(404)
    # Over a good one: that stays.
    put_certificate(agent, "a", leaf.pem + middle.pem).expect(201)
    before = agent.bytes_on_disk()
    assert words in put_certificate(agent, "a", body).expect(400).fault
    assert agent.bytes_on_disk() == before


# In use


def test_in_use(agent, https):
    lb_id = https.start()
    listener_id = agent.definition(lb_id)["listeners"][0]["id"]
    assert get(agent, "a")["used_by"] == [
        {"loadbalancer_id": lb_id, "listener_id": listener_id, "field": "default_tls_container_ref"}]
    fault = delete(agent, "a").expect(409).fault
    assert lb_id in fault and listener_id in fault
    serial = https.serial(lb_id)
    # Also where what refers to it is disabled.
    agent.apply(lb_id, https.document(lb_id, default_tls_container_ref="a", admin_state_up=False))
    delete(agent, "a").expect(409)
    agent.apply(lb_id, https.document(lb_id, default_tls_container_ref="a"))
    assert https.serial(lb_id) == serial
    agent.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)
    assert get(agent, "a")["used_by"] == []
    delete(agent, "a").expect(204)


def test_every_reference_counts(agent, https, origins, root, leaf, middle):
    put_certificate(agent, "ca", root.pem).expect(201)
    put_certificate(agent, "crl", root.revoke()).expect(201)
    put_certificate(agent, "pool-pair", leaf.pem).expect(201)
    put_certificate(agent, "pool-ca", root.pem).expect(201)
    put_certificate(agent, "pool-crl", root.revoke()).expect(201)
    put_certificate(agent, "sni", leaf.pem + middle.pem).expect(201)
    lb_id = new_id()
    agent.apply(lb_id, document(listener(free_port(), pool([member(https.origin.port)], tls_enabled=True,
        tls_container_ref="pool-pair", ca_tls_container_ref="pool-ca", crl_container_ref="pool-crl"),
        protocol="TERMINATED_HTTPS", default_tls_container_ref="https://barbican.example:9311/v1/containers/a",
        sni_container_refs=["sni"], client_authentication="MANDATORY", client_ca_tls_container_ref="ca",
        client_crl_container_ref="crl")))
    names = {c["name"]: c for c in agent.get(CERTIFICATES).json["certificates"]}
    assert sorted(names) == ["a", "ca", "crl", "pool-ca", "pool-crl", "pool-pair", "sni"]
    for name, said in names.items():
        assert len(said["used_by"]) == 1 and said["used_by"][0]["loadbalancer_id"] == lb_id
        assert ("pool_id" in said["used_by"][0]) == name.startswith("pool-")
        delete(agent, name).expect(409)
    assert names["crl"]["type"] == "crl" and names["ca"]["type"] == "ca" and names["crl"]["subject"] is None


@pytest.mark.parametrize("fields, pointer", [
    ({"default_tls_container_ref": "nowhere"}, "/loadbalancer/listeners/0/default_tls_container_ref"),
    ({"default_tls_container_ref": "a", "sni_container_refs": ["a", "nowhere"]},
        "/loadbalancer/listeners/0/sni_container_refs/1"),
    ({"default_tls_container_ref": "ca"}, "/loadbalancer/listeners/0/default_tls_container_ref"),
    ({"default_tls_container_ref": "a", "client_ca_tls_container_ref": "a", "client_authentication": "OPTIONAL"},
        "/loadbalancer/listeners/0/client_ca_tls_container_ref"),
    ({"default_tls_container_ref": "nowhere", "admin_state_up": False},
        "/loadbalancer/listeners/0/default_tls_container_ref")])
def test_references_that_do_not_fit(agent, https, root, fields, pointer):
    put_certificate(agent, "ca", root.pem).expect(201)
    lb_id = new_id()
    for query in ("", "?dry_run=true"):
        reply = agent.put(lb_id, https.document(lb_id, **fields), query).expect(400)
        assert reply.fault.startswith(pointer + ": "), reply.fault
    agent.get(f"{LBS}/{lb_id}").expect(404)


# Replacing


def test_replaced_under_several_load_balancers(agent, https, middle):
    lbs = sorted([https.start(), https.start()])
    unconcerned = new_id()
    port = free_port()
    agent.apply(unconcerned, document(listener(port, pool([member(https.origin.port)], name="plain")), name="plain"))
    revisions = [agent.get(f"{LBS}/{lb}").json["loadbalancer"]["revision"] for lb in lbs]
    new = middle.issue("a.example")
    reply = put_certificate(agent, "a", new.pem + middle.pem).expect(200)
    applied = reply.json["apply"]["loadbalancers"]
    assert [entry["id"] for entry in applied] == lbs
    for entry in applied:
        assert entry["action"] in ("runtime", "reload") and entry["trouble"] is None
    assert reply.headers["Amphorad-Apply"] == reply.json["apply"]["action"]
    assert reply.headers["Amphorad-Apply"] in [entry["action"] for entry in applied]
    assert [https.serial(lb) for lb in lbs] == [new.serial] * 2
    # The definitions did not change.
    assert [agent.get(f"{LBS}/{lb}").json["loadbalancer"]["revision"] for lb in lbs] == revisions
    # The same again changes nothing.
    again = put_certificate(agent, "a", new.pem + middle.pem).expect(200)
    assert again.headers["Amphorad-Apply"] == "none"
    assert {entry["action"] for entry in again.json["apply"]["loadbalancers"]} == {"none"}
    # And it lasts.
    assert agent.stop() == 0
    agent.start()
    assert [https.serial(lb) for lb in lbs] == [new.serial] * 2


def test_connections_survive_a_replacement(agent, https, middle, root):
    lb_id = https.start()
    with socket.create_connection(("127.0.0.1", https.ports[lb_id]), 10) as plain:
        with client(root).wrap_socket(plain, server_hostname="a.example") as tls:
            before = serial_of(tls.getpeercert(binary_form=True))
            new = middle.issue("a.example")
            put_certificate(agent, "a", new.pem + middle.pem).expect(200)
            assert https.serial(lb_id) == new.serial != before
            tls.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200")


def test_another_kind_is_refused_while_in_use(agent, https, root, leaf):
    lb_id = https.start()
    before, serial = agent.bytes_on_disk(), https.serial(lb_id)
    fault = put_certificate(agent, "a", root.pem).expect(409).fault
    assert lb_id in fault and "default_tls_container_ref" in fault
    assert agent.bytes_on_disk() == before
    assert https.serial(lb_id) == serial


def test_back_when_it_cannot_be_applied(agent, https, middle):
    """The second of two load balancers cannot be told: the first goes back to the old certificate, too."""
    first, second = sorted([https.start(), https.start()])
    serial = https.serial(first)
    stored = (agent.state / "certificates/a.pem").read_bytes()
    copies = {lb: (agent.state / lb / "certificates/a.pem").read_bytes() for lb in (first, second)}
    # Its configuration cannot be staged: a file stands where the folder has to be, and cannot be removed.
    blocked = agent.state / second / "staged"
    blocked.mkdir()
    (blocked / "x").mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root: a folder that even root cannot remove")
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(blocked / "x")], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        new = middle.issue("a.example")
        reply = put_certificate(agent, "a", new.pem + middle.pem).expect(500)
        assert second in reply.fault and "All load balancers go on with what they had." in reply.fault
    finally:
        subprocess.run(["umount", str(blocked / "x")], check=True)
    assert (agent.state / "certificates/a.pem").read_bytes() == stored
    assert {lb: (agent.state / lb / "certificates/a.pem").read_bytes() for lb in (first, second)} == copies
    assert https.serial(first) == https.serial(second) == serial
    # It can be done once the reason has gone.
    put_certificate(agent, "a", new.pem + middle.pem).expect(200)
    assert https.serial(first) == https.serial(second) == new.serial


def test_a_missing_certificate_is_mended_by_putting_it(agent, https, leaf, middle):
    """The file was lost while the machine was down: what runs goes on, and putting it anew ends the trouble."""
    lb_id = https.start()
    agent.kill()
    (agent.state / "certificates/a.pem").write_bytes(b"")
    agent.start()
    assert (agent.state / "certificates/a.pem.corrupt").exists()
    said = agent.get(f"{LBS}/{lb_id}").json["loadbalancer"]
    assert "'a'" in said["trouble"]
    assert https.serial(lb_id) == leaf.serial
    put_certificate(agent, "a", leaf.pem + middle.pem).expect(201)
    assert agent.get(f"{LBS}/{lb_id}").json["loadbalancer"]["trouble"] is None
    assert https.serial(lb_id) == leaf.serial


def test_changes_of_certificates_and_definitions_race(agent, https, leaf, middle):
    """Whoever wins: a definition in force never refers to a certificate that is gone, and serves what is stored."""
    bundle = leaf.pem + middle.pem
    lb_id, plain = new_id(), new_id()
    https.start(plain)
    agent.apply(lb_id, https.document(lb_id, default_tls_container_ref="a"))
    for turn in range(15):
        put_certificate(agent, "b", bundle).expect(200, 201)
        new = middle.issue("a.example")
        outcomes = {}

        def run(name, function):
            outcomes[name] = function().status
        threads = [
            threading.Thread(target=run, args=("use", lambda: agent.put(lb_id,
                https.document(lb_id, default_tls_container_ref="b")))),
            threading.Thread(target=run, args=("delete", lambda: delete(agent, "b"))),
            threading.Thread(target=run, args=("replace", lambda: put_certificate(agent, "a", new.pem + middle.pem)))]
        for thread in threads if turn % 2 else reversed(threads):
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes["replace"] == 200
        names = {c["name"] for c in agent.get(CERTIFICATES).json["certificates"]}
        used = agent.definition(lb_id)["listeners"][0]["default_tls_container_ref"]
        assert used in names, (outcomes, used)
        assert (outcomes["use"], outcomes["delete"]) in ((200, 409), (400, 204)), outcomes
        assert https.serial(lb_id) == (leaf.serial if used == "b" else new.serial)
        assert https.serial(plain) == new.serial
        agent.apply(lb_id, https.document(lb_id, default_tls_container_ref="a"))


@pytest.mark.limit(120)
def test_killed_while_replacing(agent, https, leaf, middle):
    """Killed at any instant: the stored certificate is the old one or the new one, and after a start HAProxy serves it."""
    lb_id = https.start()
    known = {leaf.serial}
    for turn in range(8):
        new = middle.issue("a.example")
        known.add(new.serial)

        def put():
            try:
                put_certificate(agent, "a", new.pem + middle.pem)
            except (OSError, http.client.HTTPException):
                pass  # it was killed under us
        thread = threading.Thread(target=put)
        thread.start()
        thread.join(0.004 * turn)
        agent.kill()
        thread.join()
        agent.start()
        stored = int(get(agent, "a")["serial"], 16)
        assert stored in known
        assert https.serial(lb_id) == stored
        assert not [p for p in (agent.state / "certificates").iterdir() if p.name != "a.pem"]


# amphoractl


def test_amphoractl(agent, https, leaf, middle, tmp_path):
    pair, chain, key = tmp_path / "cert.pem", tmp_path / "chain.pem", tmp_path / "key.pem"
    pair.write_text(leaf.certificate.rstrip("\n"))  # without its last newline
    chain.write_text(middle.pem)
    key.write_text(leaf.key)

    def ctl(*arguments, status=0, **options):
        done = run_ctl(agent, "certificate", *arguments, **options)
        assert done.returncode == status, done
        return done.stdout + done.stderr
    assert "b: created, no load balancer uses it yet" in ctl("add", "b", pair, key, chain)
    assert "CN=a.example" in ctl("show", "b") and "nobody" in ctl("show", "b")
    lb_id = https.start(default_tls_container_ref="b")
    assert lb_id in ctl("show", "b")
    new = middle.issue("a.example")
    out = ctl("add", "b", "-", stdin=new.pem + middle.pem)
    assert lb_id in out and ("reload" in out or "runtime" in out)
    assert https.serial(lb_id) == new.serial
    assert lb_id in ctl("remove", "b", status=3)
    listed = ctl("list")
    assert "VALID UNTIL" in listed and "a.example" in listed
    assert "has no end" in ctl("add", "c", pair, "-", status=3, stdin="-----BEGIN CERTIFICATE-----\n")
    assert "is no CA" in ctl("add", "c", pair, status=3)
    assert "letters" in ctl("add", "../c", pair, status=2)
    assert "cannot read" in ctl("add", "c", tmp_path / "missing", status=2)
    ctl("add", "c", status=2)
    ctl("frobnicate", status=2)
    agent.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)
    assert "removed" in ctl("remove", "b")
    ctl("show", "b", status=3)
