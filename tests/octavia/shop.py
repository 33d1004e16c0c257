# SPDX-License-Identifier: Apache-2.0
"""A load balancer with a listener of every kind, made in one request: on an IPv4 address, and on an additional IPv6 one."""

import cloud
import pki
from control_plane import FOLDER, SUBNET6, LoadBalancer
from machines import PATIENCE_S
from processes import wait_for

TCP, PROXY, PROXYV2, HTTP, HTTPS, TERMINATED, MIXED, ENCRYPTED = 80, 81, 82, 8000, 443, 8443, 83, 84
# In a whole load balancer 11.0.0 has no defaults for them.
TLS = {"tls_enabled": True, "tls_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "alpn_protocols": ["http/1.1"]}
NAMES = ("default.example", "a.example", "b.example")


def monitor(kind, **more):
    return {"name": kind.lower(), "type": kind, "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1} | more


def member(host, port, address=None, **more):
    address = address or host.address
    return {"name": f"{host.name}-{port}", "address": address, "protocol_port": port,
        "subnet_id": cloud.subnet_of(address)} | more


class Shop(LoadBalancer):
    def __init__(self, control_plane, a, b):
        self.a, self.b = a, b
        # Up to 13.0 TLS-HELLO was an SSLv3 hello in plain TCP. Since then it is the handshake that checks make where the pool
        # has TLS to its members; in other pools nothing but a connection ("Fix TLS-HELLO healthmonitors in the amphora-driver").
        self.hello_in_tls = control_plane.major >= 14
        self.authority = pki.Authority("shop CA")
        self.serve(a, b)
        self.certificates = {name: self.store(f"{number:08d}-0000-4000-8000-000000000000", self.authority.issue(name))
            for number, name in enumerate(NAMES, 1)}
        super().__init__(control_plane, name="shop", additional_vips=[{"subnet_id": SUBNET6}], listeners=self.listeners())

    def serve(self, a, b):
        """Servers of their own for each monitor, so that each can fail alone."""
        pair = self.authority.issue("member.example")
        self.servers = {}
        for host in (a, b):
            context = pki.ssl.SSLContext(pki.ssl.PROTOCOL_TLS_SERVER)
            pki.load(context, pair)
            for port, tls in ((8081, None), (8082, None), (8083, None), (8443, context), (8444, context), (8445, context)):
                self.servers[host.name, port] = host.serve(port, context=tls)
        self.servers["b6"] = b.serve(8080, address=b.addresses[1])

    @staticmethod
    def store(reference, pair):
        """Where octavia's local certificate manager finds it."""
        folder = FOLDER / "certificates"
        for suffix, text in (("crt", pair.certificate), ("key", pair.key)):
            (folder / f"{reference}.{suffix}").write_text(text)
        pair.reference = reference
        return pair

    def pool_of(self, member):
        """By their ids."""
        [pool] = [one["id"] for one in self.control_plane.get("/lbaas/pools")["pools"] if {"id": member} in one["members"]]
        return pool

    def listeners(self):
        a, b = self.a, self.b

        def listener(name, protocol, port, pool, port_of_members, checked_by, tls=False, members=None, **more):
            return {"name": name, "protocol": protocol, "protocol_port": port, "connection_limit": 1000, "default_pool": {"name": name,
                "protocol": pool, "lb_algorithm": "ROUND_ROBIN", "healthmonitor": checked_by, **(TLS if tls else {}),
                "members": members or [member(host, port_of_members) for host in (a, b)]}} | more
        rules = {"compare_type": "STARTS_WITH", "type": "PATH"}
        policies = [
            {"name": "reject", "action": "REJECT", "position": 1, "rules": [rules | {"value": "/admin"}]},
            {"name": "pool", "action": "REDIRECT_TO_POOL", "position": 2, "rules": [rules | {"value": "/other"}],
                "redirect_pool": {"name": "other", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP",
                    "members": [member(b, 8081)]}},
            {"name": "prefix", "action": "REDIRECT_PREFIX", "position": 3, "rules": [rules | {"value": "/old"}],
                "redirect_prefix": "https://new.example"},
            {"name": "url", "action": "REDIRECT_TO_URL", "position": 4, "redirect_url": "https://a.example/there",
                "redirect_http_code": 307, "rules": [rules | {"value": "/gone"},
                    {"type": "HEADER", "key": "X-No", "compare_type": "EQUAL_TO", "value": "yes", "invert": True}]},
        ]
        return [
            listener("tcp", "TCP", TCP, "TCP", 8082, monitor("TCP")),
            listener("proxy", "TCP", PROXY, "PROXY", 8080, monitor("HTTP", name="proxy-http", url_path="/health")),
            listener("proxyv2", "TCP", PROXYV2, "PROXYV2", 8080, monitor("TCP", name="proxy-tcp")),
            listener("http", "HTTP", HTTP, "HTTP", 8081, monitor("HTTP", url_path="/health", expected_codes="200-204"),
                l7policies=policies, insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true",
                    "X-Forwarded-Proto": "true"}),
            listener("https", "HTTPS", HTTPS, "HTTPS", 8443, monitor("TCP" if self.hello_in_tls else "TLS-HELLO", name="https")),
            listener("encrypted", "HTTP", ENCRYPTED, "HTTP", 8445,
                monitor("TLS-HELLO" if self.hello_in_tls else "TCP", name="encrypted"), tls=True),
            listener("terminated", "TERMINATED_HTTPS", TERMINATED, "HTTP", 8444,
                monitor("HTTPS", url_path="/health"), tls=True, insert_headers={"X-Forwarded-For": "true"},
                default_tls_container_ref=self.certificates[NAMES[0]].reference,
                sni_container_refs=[self.certificates[name].reference for name in NAMES[1:]]),
            listener("mixed", "TCP", MIXED, "TCP", None, monitor("PING"), members=[member(a, 8083),
                member(b, 8080, b.addresses[1])]),
        ]


class Plain(LoadBalancer):
    """One TCP listener on port 80, members with a server of their own on each of these machines."""

    port = 80
    numbers = iter(range(8090, 8190))

    def __init__(self, control_plane, machines, persistence=None, **fields):
        number = next(self.numbers)
        self.servers = {host.name: host.serve(number) for host in machines}
        super().__init__(control_plane, **fields)
        self.listener = self.add("listener", protocol="TCP", protocol_port=self.port, loadbalancer_id=self.id)
        self.pool = self.add("pool", protocol="PROXY", lb_algorithm="ROUND_ROBIN", listener_id=self.listener,
            **({"session_persistence": {"type": persistence}} if persistence else {}))
        self.members = {host.name: self.add_member(self.pool, host.address, number) for host in machines}
        self.add("healthmonitor", pool_id=self.pool, **monitor("HTTP", url_path="/health"))
        for one in self.members.values():
            self.wait_operating(one, "ONLINE")

    @property
    def door(self):
        return self.url(self.port)

    def counted(self):
        return self.stats["total_connections"]

    def wait_counted(self, number):
        """Every connection is counted once."""
        def exact():
            counted = self.counted()
            assert counted == number, f"{counted} are counted"
            return True
        wait_for(exact, PATIENCE_S, f"{number} connections are counted")
