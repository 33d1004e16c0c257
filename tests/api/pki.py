# SPDX-License-Identifier: Apache-2.0
"""Certificates of a test and the TLS clients and servers that use them."""

import datetime
import http.client
import json
import pathlib
import socket
import ssl
import tempfile

import pytest

crypto = pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
DAY = datetime.timedelta(days=1)
CERTIFICATES = "/v2/lbaas/certificates"


class Pair:
    """A certificate and its key, both PEM."""

    def __init__(self, certificate, key):
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        traditional = isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, dsa.DSAPrivateKey))
        self.key = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
            if traditional else serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        self.serial = certificate.serial_number
        self.pem = self.certificate + self.key

    def save(self, path):
        path = pathlib.Path(path)
        path.touch(mode=0o600)
        path.write_text(self.pem)
        return path


class Authority:
    def __init__(self, name, issuer=None):
        """"issuer": another authority; without one it signs itself."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        issuer = issuer or self
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False)
        self.certificate = issuer._build(self.name, self.key, -DAY, 30 * DAY) \
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True) \
            .add_extension(usage, True) \
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False) \
            .sign(issuer.key, hashes.SHA256())
        self.pair = Pair(self.certificate, self.key)

    def _build(self, subject, key, start, end):
        now = datetime.datetime.utcnow()
        return x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key()) \
            .serial_number(x509.random_serial_number()).not_valid_before(now + start).not_valid_after(now + end)

    def issue(self, name, usages=(SERVER, CLIENT), start=-DAY, end=10 * DAY, hosts=None, key=None):
        """As Octavia's LocalCertGenerator makes them: subject and alternative name are the id, both purposes."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._build(subject, key, start, end) \
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True) \
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts or [name]]), False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), True)
        return Pair(builder.sign(self.key, hashes.SHA256()), key)

    def revoke(self, *pairs):
        """A revocation list, PEM."""
        now = datetime.datetime.utcnow()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - DAY) \
            .next_update(now + 10 * DAY)
        for pair in pairs:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(pair.serial)
                .revocation_date(now - DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    @property
    def pem(self):
        return self.pair.certificate


def serial_of(der):
    return x509.load_der_x509_certificate(der).serial_number


# TLS


def put_certificate(agent, name, pem):
    return agent.request("PUT", f"{CERTIFICATES}/{name}", pem, headers={"Content-Type": "application/x-pem-file"})


def load(context, pair):
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pair.pem)
        file.flush()
        context.load_cert_chain(file.name)


def client(authority=None, pair=None, version=None, alpn=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(cadata=authority.pem)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if pair:
        load(context, pair)
    if version:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Https:
    """One HTTPS request: what the TLS layer said and what the member saw."""

    def __init__(self, port, context, host="a.example", path="/", source="127.0.0.1"):
        with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as plain:
            with context.wrap_socket(plain, server_hostname=host) as tls:
                self.version, self.alpn, self.cipher = tls.version(), tls.selected_alpn_protocol(), tls.cipher()[0]
                self.certificate = tls.getpeercert()
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                response = http.client.HTTPResponse(tls)
                response.begin()
                self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def said(self):
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)

    def seen(self, header):
        """The header as the member got it, or None."""
        values = self.said["headers"].get(header.lower())
        return values[0] if values else None


def server_context(pair, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, pair)
    if client_ca:
        context.load_verify_locations(cadata=client_ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
