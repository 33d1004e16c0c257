# SPDX-License-Identifier: Apache-2.0
"""Random valid load balancers, as documents of PUT …/definition."""

import os
import random
import string

# The same load balancers each time, unless asked: a change that breaks something is then to blame. "random" draws new ones.
SEED = os.environ.get("AMPHORAD_SEED") or "20261121"
SEED = random.SystemRandom().getrandbits(32) if SEED == "random" else int(SEED)

HEADERS = ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"]
TLS_HEADERS = ["X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer",
    "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After"]
TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
ALPN = ["h2", "http/1.1", "http/1.0"]
CIPHERS = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "DEFAULT:!aNULL"]
# VALID_LISTENER_POOL_PROTOCOL_MAP of octavia/common/constants.py
POOLS_OF = {
    "TCP": ["HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"],
    "HTTP": ["HTTP", "PROXY", "PROXYV2"],
    "HTTPS": ["HTTPS", "PROXY", "PROXYV2", "TCP"],
    "TERMINATED_HTTPS": ["HTTP", "PROXY", "PROXYV2"],
    "PROMETHEUS": [],
}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "CONNECT"]


class Certificates:
    """Names in the store, by what they are good for."""
    pairs = ["web", "web-2", "web.3", "clients", "ca-like", "crt-like", "crl-like"]
    authorities = ["users", "members"]
    lists = ["revoked"]


class Generator:
    """hsts: whether load balancers may have HSTS, which old releases of Octavia do not know."""

    def __init__(self, seed, hsts=True):
        self.random = random.Random(seed)
        self.hsts = hsts

    # Words

    def chance(self, probability):
        return self.random.random() < probability

    def choice(self, values):
        return self.random.choice(values)

    def some(self, values, least=0):
        return self.random.sample(values, self.random.randint(least, len(values)))

    def id(self):
        return "%08x-%04x-4%03x-8%03x-%012x" % tuple(self.random.getrandbits(n) for n in (32, 16, 12, 12, 48))

    def word(self, characters=string.ascii_letters + string.digits, least=1, most=12):
        return "".join(self.choice(characters) for _ in range(self.random.randint(least, most)))

    def address(self, version=4):
        if version == 4:
            return f"192.0.2.{self.random.randint(1, 254)}"
        return f"2001:db8::{self.random.randint(1, 0xffff):x}"

    def header_value(self):
        """octavia.common.constants.HTTP_HEADER_VALUE_REGEX"""
        value = self.word(string.ascii_letters + string.digits + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", most=20)
        return self.choice([value, value, value, f'"{value} {value}"'])

    def cookie_value(self):
        """HTTP_COOKIE_VALUE_REGEX"""
        return self.word(string.ascii_letters + string.digits + "!#$%&'()*+-./:<=>?@[]^_`{|}~", most=20)

    def token(self):
        """HTTP_HEADER_NAME_REGEX, without what Octavia's lines cannot hold."""
        return self.word(string.ascii_letters + string.digits + "-_.", most=12).strip("-") or "x"

    def regex(self):
        return self.choice(["^/api/v[0-9]+/", "(a|b)c?d*$", "\\.jpe?g$", "a b", "x{2,3}", "[^<>&'\"]+", "\\d\\\\", "#1", "$"])

    def url(self):
        query = self.choice(["", "?a=b", "?a=b&c=d", "?q=%20x&y='z'"])
        return f"{self.choice(['http', 'https'])}://{self.word(string.ascii_lowercase)}.example/" \
            f"{self.choice(['', 'p', 'p/%41/q', 'it~s'])}{query}"

    # Objects

    def maybe(self, target, probability=0.5, **fields):
        for name, value in fields.items():
            if self.chance(probability):
                target[name] = value

    def monitor(self, pool):
        kind = self.choice(["TCP", "HTTP", "HTTPS", "TLS-HELLO", "PING"])
        monitor = {"id": self.id(), "type": kind, "delay": self.random.randint(1, 100), "timeout": self.random.randint(1, 100),
            "max_retries": self.random.randint(1, 10), "max_retries_down": self.random.randint(1, 10),
            "admin_state_up": self.chance(0.9)}
        if kind in ("HTTP", "HTTPS"):
            self.maybe(monitor, http_method=self.choice(METHODS),
                url_path=self.choice(["/", "/health", "/a?b=c&d=%20", "/x;y='z'"]),
                expected_codes=self.choice(["200", "200,204", "200-204", "301,404,599"]))
            if self.chance(0.5):
                monitor["http_version"] = self.choice([1.0, 1.1])
                if monitor["http_version"] == 1.1:
                    self.maybe(monitor, domain_name=self.choice(["www.example.com", "a_b.example"]))
        return monitor

    def member(self, version):
        member = {"id": self.id(), "address": self.address(version), "protocol_port": self.random.randint(1, 65535),
            "weight": self.random.randint(0, 256), "backup": self.chance(0.2), "admin_state_up": self.chance(0.8)}
        self.maybe(member, 0.2, monitor_address=self.address(version), monitor_port=self.random.randint(1, 65535))
        return member

    def tls_fields(self):
        fields = {}
        self.maybe(fields, tls_ciphers=self.choice(CIPHERS), tls_versions=self.some(TLS_VERSIONS, 1),
            alpn_protocols=self.some(ALPN, 1))
        return fields

    def pool(self, protocol):
        pool = {"id": self.id(), "protocol": protocol, "lb_algorithm":
            self.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"]), "admin_state_up": self.chance(0.9)}
        version = self.choice([4, 6])
        members = {(m["address"], m["protocol_port"]): m for m in
            (self.member(version) for _ in range(self.random.randint(0, 5)))}
        pool["members"] = list(members.values())
        if self.chance(0.6):
            pool["healthmonitor"] = self.monitor(pool)
        if self.chance(0.5):
            kind = self.choice(["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"] if protocol == "HTTP" else ["SOURCE_IP"])
            pool["session_persistence"] = {"type": kind}
            if kind == "APP_COOKIE":
                pool["session_persistence"]["cookie_name"] = self.token()
        if self.chance(0.4) and protocol != "HTTPS":
            pool.update(self.tls_fields(), tls_enabled=True)
            self.maybe(pool, tls_container_ref=self.choice(Certificates.pairs))
            if self.chance(0.6):
                pool["ca_tls_container_ref"] = self.choice(Certificates.authorities)
                self.maybe(pool, crl_container_ref=self.choice(Certificates.lists))
        return pool

    def rule(self, tls):
        kinds = ["HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE"]
        if tls:
            kinds += ["SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"]
        kind = self.choice(kinds)
        rule = {"id": self.id(), "type": kind, "invert": self.chance(0.3), "admin_state_up": self.chance(0.85)}
        compare = self.choice(["REGEX", "EQUAL_TO"] if kind == "FILE_TYPE" else
            ["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"])
        if kind in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT"):
            return dict(rule, compare_type="EQUAL_TO", value="True" if kind == "SSL_CONN_HAS_CERT" else
                str(self.random.randint(0, 40)))
        if kind in ("HEADER", "COOKIE"):
            rule["key"] = self.token()
        elif kind == "SSL_DN_FIELD":
            rule["key"] = self.choice(["CN", "O", "OU", "emailAddress"])
        value = self.regex() if compare == "REGEX" else self.cookie_value() if kind == "COOKIE" else self.header_value()
        return dict(rule, compare_type=compare, value=value)

    def policy(self, pools, position, tls):
        action = self.choice(["REJECT", "REDIRECT_TO_URL", "REDIRECT_PREFIX"] + (["REDIRECT_TO_POOL"] * 2 if pools else []))
        policy = {"id": self.id(), "action": action, "position": position, "admin_state_up": self.chance(0.85),
            "rules": [self.rule(tls) for _ in range(self.random.randint(0, 4))]}
        if action == "REDIRECT_TO_POOL":
            policy["redirect_pool_id"] = self.choice(pools)["id"]
        elif action != "REJECT":
            policy["redirect_url" if action == "REDIRECT_TO_URL" else "redirect_prefix"] = self.url()
            self.maybe(policy, redirect_http_code=self.choice([301, 302, 303, 307, 308]))
        return policy

    def listener(self, port, pools):
        protocol = self.choice(["TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "TERMINATED_HTTPS", "HTTP", "PROMETHEUS"])
        tls = protocol == "TERMINATED_HTTPS"
        listener = {"id": self.id(), "protocol": protocol, "protocol_port": port, "admin_state_up": self.chance(0.9)}
        self.maybe(listener, 0.3, connection_limit=self.choice([-1, 1, 100, 999999]),
            timeout_client_data=self.choice([0, 1, 50000, 86400000]), timeout_member_connect=self.choice([0, 1, 5000]),
            timeout_member_data=self.choice([0, 1, 50000]), timeout_tcp_inspect=self.choice([0, 1, 1000]))
        if protocol == "PROMETHEUS":
            if self.chance(0.3):
                self.terminate(listener)
            return listener
        usable = [pool for pool in pools if pool["protocol"] in POOLS_OF[protocol]]
        if usable and self.chance(0.85):
            listener["default_pool_id"] = self.choice(usable)["id"]
        if protocol in ("HTTP", "TERMINATED_HTTPS"):
            listener["insert_headers"] = {name: self.choice(["true", "false"])
                for name in self.some(HEADERS + (TLS_HEADERS if tls else []))}
            listener["l7policies"] = [self.policy(usable, position + 1, tls) for position in range(self.random.randint(0, 4))]
        if tls:
            self.terminate(listener)
        return listener

    def terminate(self, listener):
        listener.update(self.tls_fields(), default_tls_container_ref=self.choice(Certificates.pairs))
        if self.chance(0.3):
            listener["sni_container_refs"] = self.some(Certificates.pairs, 1)
            if self.chance(0.2):
                del listener["default_tls_container_ref"]
        if self.chance(0.5):
            listener["client_ca_tls_container_ref"] = self.choice(Certificates.authorities)
            listener["client_authentication"] = self.choice(["OPTIONAL", "MANDATORY"])
            self.maybe(listener, client_crl_container_ref=self.choice(Certificates.lists))
        if self.hsts and listener["protocol"] == "TERMINATED_HTTPS" and self.chance(0.4):
            listener["hsts_max_age"] = self.choice([0, 1, 31536000])
            self.maybe(listener, hsts_include_subdomains=True, hsts_preload=True)

    def load_balancer(self):
        """{"id": …, …}: what stands under "loadbalancer"."""
        lb = {"id": self.id(), "project_id": self.id(), "admin_state_up": self.chance(0.95),
            "vip_address": self.address(self.choice([4, 4, 6]))}
        if self.chance(0.2):
            # Another network, so that it cannot be the VIP.
            lb["additional_vips"] = [{"ip_address": f"2001:db8:1::{n + 1:x}", "subnet_id": self.id()}
                for n in range(self.random.randint(1, 2))]
        lb["pools"] = [self.pool(self.choice(["TCP", "HTTP", "HTTP", "HTTPS", "PROXY", "PROXYV2"]))
            for _ in range(self.random.randint(0, 4))]
        ports = self.random.sample(range(1, 65536), self.random.randint(1, 4))
        lb["listeners"] = [self.listener(port, lb["pools"]) for port in ports]
        if self.chance(0.2):
            self.choice(lb["listeners"])["allowed_cidrs"] = ["192.0.2.0/24", "198.51.100.7/32"] \
                if ":" not in lb["vip_address"] else ["2001:db8::/32"]
        return lb
