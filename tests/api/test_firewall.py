# SPDX-License-Identifier: Apache-2.0
"""Firewall rules of an interface (PUT /1.0/interface/{ip}/rules) and masquerading, with real packets."""

import itertools
import json
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import pytest

from amphora import BUILD, SOURCE, Agent
from netns import IP, NFT, Wire, namespaces, need_nft  # noqa: F401

VIP, VIP6, CLIENT, CLIENT6 = "192.0.2.10", "2001:db8::10", "192.0.2.1", "2001:db8::1"
STRANGER = "192.0.2.2"
OTHER, OTHER_CLIENT = "198.51.100.10", "198.51.100.1"
VRRP, SCTP = 112, 132
QUIET_S = 0.4  # for a packet that shall not come; those that come take less than a millisecond
MASQUERADE = SOURCE / "agent/tools/lvs-masquerade.sh"


class Stage:
    """An agent, the namespace of its HAProxy with two interfaces, and the neighbour at the other end of both."""

    def __init__(self, make_agent, namespaces):  # noqa: F811
        self.inside, self.outside = namespaces(), namespaces()
        self.agent = make_agent(amphorad=f"network_namespace = {self.inside.name}").start()
        self.wire = Wire(self.inside, self.outside).address(f"{VIP}/24", f"{CLIENT}/24")
        self.wire.address(f"{VIP6}/64", f"{CLIENT6}/64").address(neighbour=f"{STRANGER}/24")
        self.other = Wire(self.inside, self.outside, "eth2", "wire2").address(f"{OTHER}/24", f"{OTHER_CLIENT}/24")
        self.sockets = []

    def put(self, rules, address=VIP, **kwargs):
        return self.agent.request("PUT", f"/1.0/interface/{address}/rules", rules, **kwargs)

    def set(self, *rules, address=VIP):
        assert self.put(list(rules), address).expect(200).json == {"message": "OK"}

    def inside_socket(self, *arguments, bind=None, listen=False):
        def make():
            made = socket.socket(*arguments)
            if arguments[:2] == (socket.AF_INET6, socket.SOCK_STREAM):
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if bind:
                made.bind(bind)
            if listen:
                made.listen(4096)
            return made
        self.sockets.append(self.inside.inside(make))
        return self.sockets[-1]

    def serve(self, port, family=socket.AF_INET):
        """A TCP server that accepts (in the kernel's queue)."""
        return self.inside_socket(family, socket.SOCK_STREAM, bind=("::" if family == socket.AF_INET6 else "0.0.0.0",
            port), listen=True)

    def connects(self, port, address=VIP, source=CLIENT, timeout=QUIET_S):
        """Whether a TCP connection to the port is answered; a refusal counts as a packet that came through."""
        def connect():
            client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            with client:
                client.settimeout(timeout)
                client.bind((source, 0))
                try:
                    client.connect((address, port))
                except ConnectionRefusedError:
                    return "refused"
                except TimeoutError:
                    return False
                return True
        return self.outside.inside(connect)

    def receives(self, receiver, send, timeout=QUIET_S):
        """Whether what send() sends from the neighbour's namespace reaches a socket inside."""
        token = os.urandom(16)
        self.outside.inside(send, token)
        receiver.settimeout(timeout)
        try:
            while token not in receiver.recv(65536):
                pass
            return True
        except TimeoutError:
            return False

    def close(self):
        for each in self.sockets:
            each.close()


@pytest.fixture
def stage(make_agent, namespaces):  # noqa: F811
    need_nft()
    s = Stage(make_agent, namespaces)
    yield s
    s.close()


def rule(protocol, port, cidr=None):
    return {"protocol": protocol, "cidr": cidr, "port": port}


def vrrp(cidr):
    return {"protocol": "vrrp", "cidr": cidr, "port": 112}


def by_udp(port, address=VIP, source=CLIENT):
    def send(token):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.sendto(token, (address, port))
    return send


def by_ip(protocol, address=VIP, source=CLIENT, head=b""):
    def send(token):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_RAW, protocol) as client:
            client.bind((source, 0))
            client.sendto(head + token if not callable(head) else head(token), (address, 0))
    return send


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def sctp_init(port, client_port=40000):
    """RFC 9260, 3.3.2, with the token as a parameter that nobody knows."""
    def build(token):
        parameter = struct.pack("!HH", 0xc0ff, 4 + len(token)) + token
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 0x1234, 65536, 1, 1, 1) + parameter
        packet = struct.pack("!HHI", client_port, port, 0) + b"\0\0\0\0" + chunk
        return packet[:8] + struct.pack("<I", crc32c(packet)) + packet[12:]
    return build


# What is let through


def test_tcp_by_port(stage):
    for port in (80, 81):
        stage.serve(port)
    assert stage.connects(80) and stage.connects(81)
    stage.set(rule("TCP", 80))
    assert stage.connects(80) is True
    assert stage.connects(81) is False
    assert stage.connects(82) is False, "not even a refusal comes back"


def test_tcp_by_source(stage):
    stage.serve(80)
    stage.set(rule("TCP", 80, f"{CLIENT}/32"))
    assert stage.connects(80) is True
    assert stage.connects(80, source=STRANGER) is False
    stage.set(rule("TCP", 80, "192.0.2.2/31"))
    assert stage.connects(80) is False
    assert stage.connects(80, source=STRANGER) is True
    stage.set(rule("TCP", 80, STRANGER), rule("TCP", 80, "192.0.2.0/30"))
    assert stage.connects(80) is True and stage.connects(80, source=STRANGER) is True


@pytest.mark.parametrize("cidr", [None, "0.0.0.0/0", "192.0.2.0/24", "192.0.2.77/24"])
def test_networks(stage, cidr):
    stage.serve(80)
    stage.set(rule("TCP", 80, cidr))
    assert stage.connects(80) is True


def test_ipv6(stage):
    stage.serve(80, socket.AF_INET6)
    stage.serve(80)
    stage.set(rule("TCP", 80, "2001:db8::/64"))
    assert stage.connects(80, VIP6, CLIENT6) is True
    assert stage.connects(80) is False
    stage.set(rule("TCP", 80, "::/0"))
    assert stage.connects(80, VIP6, CLIENT6) is True and stage.connects(80) is False
    # As Octavia's agent has it, "0.0.0.0/0" is everybody.
    stage.set(rule("TCP", 80, "0.0.0.0/0"))
    assert stage.connects(80, VIP6, CLIENT6) is True and stage.connects(80) is True
    stage.set(rule("TCP", 80, "2001:db8:1::/64"))
    assert stage.connects(80, VIP6, CLIENT6) is False


def test_udp(stage):
    server = stage.inside_socket(socket.AF_INET, socket.SOCK_DGRAM, bind=(VIP, 53))
    server.settimeout(QUIET_S)
    stage.set(rule("TCP", 53))
    assert not stage.receives(server, by_udp(53))
    stage.set(rule("UDP", 53, f"{CLIENT}/32"))
    assert stage.receives(server, by_udp(53))
    assert not stage.receives(server, by_udp(53, source=STRANGER))


def test_sctp(stage):
    receiver = stage.inside_socket(socket.AF_INET, socket.SOCK_RAW, SCTP)
    ports = itertools.count(40000)
    assert stage.receives(receiver, by_ip(SCTP, head=sctp_init(9, next(ports)))), "without rules it comes"
    stage.set(rule("SCTP", 9))
    assert stage.receives(receiver, by_ip(SCTP, head=sctp_init(9, next(ports))))
    assert not stage.receives(receiver, by_ip(SCTP, head=sctp_init(10, next(ports))))
    stage.set(rule("SCTP", 10))
    assert not stage.receives(receiver, by_ip(SCTP, head=sctp_init(9, next(ports))))


def test_vrrp(stage):
    receiver = stage.inside_socket(socket.AF_INET, socket.SOCK_RAW, VRRP)
    receiver6 = stage.inside_socket(socket.AF_INET6, socket.SOCK_RAW, VRRP)
    stage.set(rule("TCP", 112))
    assert not stage.receives(receiver, by_ip(VRRP))
    stage.set(vrrp(f"{CLIENT}/32"))
    assert stage.receives(receiver, by_ip(VRRP))
    assert not stage.receives(receiver, by_ip(VRRP, source=STRANGER))
    # Octavia's agent makes a rule of it that nft refuses.
    stage.set(vrrp(f"{CLIENT6}/128"))
    assert stage.receives(receiver6, by_ip(VRRP, VIP6, CLIENT6))
    assert not stage.receives(receiver, by_ip(VRRP))
    stage.set({"protocol": "VRRP", "cidr": None, "port": 112})
    assert stage.receives(receiver, by_ip(VRRP))


def test_members_are_reached_over_an_interface_that_is_not_tracked(stage):
    """The VIP is SR-IOV, the members' network is not: there lvs-masquerade.sh has TCP not tracked, as Octavia's does, and
    no reply belongs to an "established" connection."""
    stage.serve(80)
    stage.inside.run(str(MASQUERADE), "add", "ipv4", "eth2")
    stage.set(rule("TCP", 80))

    def ask():
        with socket.create_connection((OTHER_CLIENT, 8080), 2) as connection:
            connection.sendall(b"x" * 100000)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(10)

    def answer(listening):
        with listening.accept()[0] as connection:
            while connection.recv(65536):
                pass
            connection.sendall(b"answer")
    with stage.outside.inside(lambda: socket.create_server((OTHER_CLIENT, 8080))) as listening:
        thread = threading.Thread(target=answer, args=(listening,), daemon=True)
        thread.start()
        assert stage.inside.inside(ask) == b"answer"
        thread.join(5)
    # In that direction only.
    assert stage.connects(80) is True
    assert stage.connects(80, OTHER, OTHER_CLIENT) is False
    assert stage.connects(81, OTHER, OTHER_CLIENT) is False


def test_established_connections_go_on(stage):
    """Also one whose port is closed meanwhile: only what begins is judged."""
    server = stage.serve(80)

    def connect():
        client = socket.create_connection((VIP, 80), 5, (CLIENT, 0))
        return client
    client = stage.outside.inside(connect)
    accepted = server.accept()[0]
    with client, accepted:
        for rules in ([rule("TCP", 80)], [rule("TCP", 81)], []):
            stage.set(*rules)
            for a, b in ((client, accepted), (accepted, client)):
                a.sendall(b"more")
                b.settimeout(5)
                assert b.recv(10) == b"more"
        assert stage.connects(80) is False


def test_connections_to_members(stage):
    """From inside, everything is allowed, and what comes back."""
    stage.set()
    with stage.outside.inside(lambda: socket.create_server((OTHER_CLIENT, 8080))) as member:
        client = stage.inside.inside(lambda: socket.create_connection((OTHER_CLIENT, 8080), 5))
        with client, member.accept()[0] as accepted:
            accepted.sendall(b"answer")
            assert client.recv(10) == b"answer"


def test_loopback(stage):
    """HAProxy's own addresses, which nobody else may have."""
    server = stage.inside_socket(socket.AF_INET, socket.SOCK_DGRAM, bind=("0.0.0.0", 5000))
    stage.serve(9101)
    stage.set(rule("UDP", 5000))
    stage.inside.inside(lambda: socket.create_connection(("127.0.0.1", 9101), 5).close())
    assert stage.receives(server, by_udp(5000))
    # The kernel refuses them, too ("martians"), unless it is told not to.
    for name in ("all", "eth1"):
        stage.inside.sysctl(f"net.ipv4.conf.{name}.route_localnet", "1")
        stage.inside.sysctl(f"net.ipv4.conf.{name}.rp_filter", "0")
    stage.outside.ip("address", "add", "127.9.9.9/32", "dev", stage.wire.there)
    stage.outside.sysctl("net.ipv4.conf.all.route_localnet", "1")
    assert not stage.receives(server, by_udp(5000, source="127.9.9.9"))
    stage.inside.run(NFT, "flush", "ruleset")
    assert stage.receives(server, by_udp(5000, source="127.9.9.9")), "it was the firewall"


def test_neighbor_discovery(stage):
    """The neighbour has to find the address anew, and to be found."""
    stage.serve(80, socket.AF_INET6)
    stage.set(rule("TCP", 80, f"{CLIENT6}/128"))
    for _ in range(2):
        stage.outside.ip("neigh", "flush", "all")
        stage.inside.ip("neigh", "flush", "all")
        assert stage.connects(80, VIP6, CLIENT6, timeout=5) is True


@pytest.mark.parametrize("version", [4, 6])
def test_path_mtu_discovery(stage, namespaces, version):  # noqa: F811
    """A client behind a link of a smaller MTU: the router's ICMP must come in, or the answer never arrives."""
    far = namespaces()
    subprocess.run([IP, "link", "add", "near", "netns", stage.outside.name, "type", "veth", "peer", "name", "far", "netns",
        far.name], check=True)
    for namespace, name in ((stage.outside, "near"), (far, "far")):
        namespace.ip("link", "set", name, "mtu", "1300", "up")
    near, client, gateway, vip, family = (("203.0.113.1/24", "203.0.113.2", CLIENT, VIP, socket.AF_INET) if version == 4
        else ("2001:db8:2::1/64", "2001:db8:2::2", CLIENT6, VIP6, socket.AF_INET6))
    prefix = near.split("/")[1]
    stage.outside.ip("address", "add", near, "dev", "near")
    far.ip("address", "add", f"{client}/{prefix}", "dev", "far")
    far.ip("route", "add", "default", "via", near.split("/")[0])
    stage.outside.sysctl("net.ipv4.ip_forward", "1")
    stage.outside.sysctl("net.ipv6.conf.all.forwarding", "1")
    stage.inside.ip("-6" if version == 6 else "-4", "route", "add", "default", "via", gateway)
    server = stage.serve(80, family)
    stage.set(rule("TCP", 80))
    size = 300000

    def answer():
        connection = server.accept()[0]
        with connection:
            connection.settimeout(20)
            connection.sendall(bytes(size))
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()

    def fetch():
        with socket.socket(family) as connection:
            # It could say so itself: the larger segment size has to be tried.
            connection.settimeout(10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1200)
            connection.connect((vip, 80))
            received = 0
            while received < size:
                data = connection.recv(65536)
                if not data:
                    break
                received += len(data)
            return received
    assert far.inside(fetch) == size
    thread.join()


def test_icmp_errors_of_connections(stage):
    """A UDP client inside hears that nobody listens; an ICMP echo from outside is not answered."""
    stage.set()

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((CLIENT, 7777))
            client.settimeout(5)
            client.send(b"x")
            try:
                client.recv(10)
            except ConnectionRefusedError:
                return "refused"
            except TimeoutError:
                return "silence"
    assert stage.inside.inside(ask) == "refused"
    ping = stage.outside.run("ping", "-c", "1", "-W", "1", "-n", VIP, check=False)
    assert ping.returncode == 1, ping.stdout + ping.stderr


def test_dhcp_answers(stage):
    client = stage.inside_socket(socket.AF_INET, socket.SOCK_DGRAM, bind=("0.0.0.0", 68))
    stage.set()

    def from_port(port):
        def send(token):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((CLIENT, port))
                server.sendto(token, (VIP, 68))
        return send
    assert stage.receives(client, from_port(67))
    assert not stage.receives(client, from_port(6767))


# Interfaces


def test_interfaces_are_independent(stage):
    stage.serve(80)
    stage.serve(81)
    stage.set(rule("TCP", 80))
    assert stage.connects(80) is True
    assert stage.connects(80, OTHER, OTHER_CLIENT) is False, "no rules, nothing new"
    stage.set(rule("TCP", 81), address=OTHER)
    assert stage.connects(81, OTHER, OTHER_CLIENT) is True
    assert stage.connects(80, OTHER, OTHER_CLIENT) is False
    assert stage.connects(80) is True and stage.connects(81) is False
    stage.set(address=OTHER)
    assert stage.connects(81, OTHER, OTHER_CLIENT) is False and stage.connects(80) is True


def test_addresses_of_one_interface(stage):
    """Both name eth1: the second request replaces the first."""
    stage.set(rule("TCP", 80))
    stage.set(rule("TCP", 81), address="2001:DB8:0:0::10")
    text = json.dumps(stage.inside.ruleset())
    assert '"right": 81' in text and '"right": 80' not in text


@pytest.mark.parametrize("address,status,message", [
    ("192.0.2.99", 404, "Error interface not found for IP address"),
    ("2001:db8::99", 404, "Error interface not found for IP address"),
    ("eth1", 400, "Invalid IP address"), ("192.0.2", 400, "Invalid IP address"),
    ("192.0.2.10%0a", None, None), ("%2e%2e", None, None), ("192.0.2.010", 400, "Invalid IP address"),
    ("192.0.2.10;x", 400, "Invalid IP address"), ("x" * 3000, 400, "Invalid IP address")])
def test_addresses_without_an_interface(stage, address, status, message):
    reply = stage.put([rule("TCP", 80)], address)
    if status is None:
        assert reply.status in (400, 404)
    else:
        assert reply.expect(status).json == {"message": message}
    assert stage.inside.ruleset() == []


# Requests


def normal(ruleset):
    """Without what differs from one transaction to the next."""
    def clean(value):
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if key != "handle"}
        return [clean(item) for item in value] if isinstance(value, list) else value
    return clean(ruleset)


def test_the_same_again(stage):
    """Also in another order and with repetitions."""
    rules = [rule("TCP", 80), rule("UDP", 53, "192.0.2.0/24"), vrrp("192.0.2.9/32"), rule("SCTP", 9, "2001:db8::/64")]
    stage.set(*rules)
    first = normal(stage.inside.ruleset())
    kept = (stage.agent.state / "nftables-vip.json").read_bytes()
    stage.set(*rules)
    assert normal(stage.inside.ruleset()) == first
    stage.set(*reversed(rules), *rules)
    assert normal(stage.inside.ruleset()) == first
    assert (stage.agent.state / "nftables-vip.json").read_bytes() == kept
    # Only ours: another table stays.
    stage.inside.run(NFT, "add", "table", "inet", "mine")
    stage.set(*rules)
    assert [x for x in stage.inside.ruleset() if x.get("table", {}).get("name") == "mine"]


BAD = [b"", b"{", b"null", b"{}", b'"x"', b"[1]", b"[[]]", b"[null]", b"[{}]", b"\xff\xfe", b"[" * 5000,
    [{"protocol": "TCP", "cidr": None}], [{"protocol": "TCP", "port": 80}], [{"cidr": None, "port": 80}],
    [rule("ICMP", 80)], [rule("tcp", 80)], [rule("TCP; drop", 80)], [rule("TCP", 0)], [rule("TCP", 65536)],
    [rule("TCP", "80")], [rule("TCP", "80 accept")], [rule("TCP", -1)], [rule("TCP", 80.5)], [rule("TCP", True)],
    [rule("TCP", [80])], [rule("TCP", 80, "")], [rule("TCP", 80, "10.0.0.0/33")], [rule("TCP", 80, "10.0.0.0/8 accept")],
    [rule("TCP", 80, "@other")], [rule("TCP", 80, "{ 10.0.0.0/8 }")], [rule("TCP", 80, "fe80::%eth1/64")],
    [rule("TCP", 80, "10.0.0.0/8\u0000")], [rule("TCP", 80, 7)], [rule("TCP", 80, ["10.0.0.0/8"])],
    [{**rule("TCP", 80), "more": 1}], [rule("TCP", 80), rule("TCP", 81, "nowhere")], [{"non-sriov-vip": True}],
    b'[{"protocol":"TCP","cidr":null,"port":80,"port":81}]', [rule("TCP", 80)] * 20001]


@pytest.fixture(scope="module")
def guarded(request):
    """One agent for all bad requests."""
    need_nft()
    agents, made = [], []

    def make_agent(**options):
        agents.append(Agent(**options))
        return agents[-1]

    def make_namespace():
        from netns import Namespace
        made.append(Namespace())
        return made[-1].create()
    s = Stage(make_agent, make_namespace)
    yield s
    s.close()
    for agent in agents:
        agent.close()
    for namespace in made:
        namespace.delete()


@pytest.mark.parametrize("body", BAD, ids=[f"{str(body)[:50]} {i}" for i, body in enumerate(BAD)])
def test_bad_rules(guarded, body):
    """Refused as a whole; what was in force stays."""
    guarded.set(rule("TCP", 8080))
    before = guarded.inside.ruleset()
    reply = guarded.put(body).expect(400)
    assert reply.json["message"] == "Invalid rules information"
    assert reply.json["error"] == "400 Bad Request: Invalid rules information" and reply.json["http_code"] == 400
    assert guarded.inside.ruleset() == before


def test_many_rules(stage, note):
    rules = [rule("TCP", 80, f"10.{i >> 8}.{i & 255}.0/24") for i in range(10000)]
    began = time.monotonic()
    stage.set(*rules, rule("TCP", 80, f"{CLIENT}/32"))
    note(f"10001 rules in {time.monotonic() - began:.2f} s")
    stage.serve(80)
    assert stage.connects(80) is True and stage.connects(80, source=STRANGER) is False


def test_updates_are_atomic(stage):
    """While rules are replaced, what is allowed always passes, and what is not never does."""
    listening = stage.serve(80)
    listening.settimeout(0.1)
    server = stage.inside_socket(socket.AF_INET, socket.SOCK_DGRAM, bind=(VIP, 53))
    server.setblocking(False)
    stage.set(rule("TCP", 80))
    stopping, problems, count = threading.Event(), [], [0]

    def knock():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with udp:
            while not stopping.is_set():
                udp.sendto(b"closed", (VIP, 53))
                try:
                    socket.create_connection((VIP, 80), 0.9).close()  # a lost packet is sent again after 1 s
                    count[0] += 1
                except OSError as error:
                    problems.append(repr(error))

    def accept():
        while not stopping.is_set():
            try:
                listening.accept()[0].close()
            except TimeoutError:
                pass
    threads = [threading.Thread(target=lambda: stage.outside.inside(knock)), threading.Thread(target=accept)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):
            stage.set(rule("TCP", 80), rule("TCP", 1000 + number))
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert problems == [] and count[0] > 50
    with pytest.raises(BlockingIOError):
        server.recv(100)


def test_many_clients_at_once(stage):
    """Each of two interfaces ends with the rules of one request, whole."""
    def put(address, number):
        stage.set(*[rule("TCP", number * 100 + i) for i in range(10)], address=address)
    threads = [threading.Thread(target=put, args=(address, number)) for number in range(1, 5) for address in (VIP, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {}
    for item in stage.inside.ruleset():
        if item.get("rule", {}).get("chain", "").startswith("amphora_vip_chain"):
            port = item["rule"]["expr"][0]["match"]["right"]
            found.setdefault(item["rule"]["chain"], []).append(port)
    assert set(found) == {"amphora_vip_chain", "amphora_vip_chain_eth2"}
    for ports in found.values():
        assert len(ports) == 10 and len({port // 100 for port in ports}) == 1
    kept = json.loads((stage.agent.state / "nftables-vip.json").read_text())
    assert {name: sorted(r["port"] for r in rules) for name, rules in kept.items()} == \
        {"eth1": sorted(found["amphora_vip_chain"]), "eth2": sorted(found["amphora_vip_chain_eth2"])}


def test_without_a_namespace(make_agent):
    """It would shut the doors of the machine."""
    agent = make_agent().start()
    reply = agent.request("PUT", "/1.0/interface/127.0.0.1/rules", [rule("TCP", 80)])
    assert reply.status == 501 and "network namespace" in reply.json["details"]


def test_refused_interface(stage):
    """Its name cannot be in that of a chain. The reply says so, and nothing has changed."""
    stage.set(rule("TCP", 80))
    before, kept = normal(stage.inside.ruleset()), (stage.agent.state / "nftables-vip.json").read_bytes()
    Wire(stage.inside, stage.outside, "odd*name", "wire3")
    stage.inside.ip("address", "add", "203.0.113.9/32", "dev", "odd*name")
    reply = stage.put([rule("TCP", 81)], "203.0.113.9")
    assert reply.status == 500 and "cannot have rules" in reply.json["details"]
    assert normal(stage.inside.ruleset()) == before
    assert (stage.agent.state / "nftables-vip.json").read_bytes() == kept


def test_state_that_cannot_be_written(stage):
    """Rules that a reboot would lose are not in force."""
    stage.set(rule("TCP", 80))
    state = stage.agent.state / "nftables-vip.json"
    state.unlink()
    state.mkdir()
    reply = stage.put([rule("TCP", 81)])
    assert reply.status == 500 and "nftables-vip.json" in reply.json["details"]
    assert '"right": 81' not in json.dumps(stage.inside.ruleset())


# Octavia


def test_equals_octavia(stage, namespaces, tmp_path, monkeypatch):  # noqa: F811
    """The same rules by Octavia's own code in a namespace beside: the same ruleset, but for IPv6's VRRP, which Octavia's
    cannot, and the protocol of IPv4's, which it writes as a field of the header."""
    nftable_utils = pytest.importorskip("octavia.amphorae.backends.utils.nftable_utils",
        reason="this Octavia has no nftable_utils")
    constants = pytest.importorskip("octavia.common.constants")
    rules = [rule("TCP", 80), rule("TCP", 443, "192.0.2.0/24"), rule("UDP", 53, "2001:db8::/64"), rule("SCTP", 9,
        "0.0.0.0/0"), vrrp("192.0.2.9/32"), rule("TCP", 81, "198.51.100.7/32")]
    file = tmp_path / "nftables-vip.rules"
    file.write_text("")  # the first call makes it without rules
    monkeypatch.setattr(constants, "NFT_RULES_FILE", str(file))
    nftable_utils.write_nftable_rules_file("eth1", rules)
    beside = namespaces()
    beside.run(NFT, "-f", str(file))
    stage.set(*rules)

    def comparable(ruleset):
        text = json.dumps(normal(ruleset))
        octavias = '{"payload": {"protocol": "ip", "field": "protocol"}}'
        assert json.loads(octavias)
        text = text.replace(octavias, '{"meta": {"key": "l4proto"}}').replace('"right": "vrrp"', '"right": 112')
        items = [json.dumps(item, sort_keys=True) for item in json.loads(text)]
        # The order of rules that all accept means nothing.
        return ([i for i in items if '"chain": "amphora_vip_chain"' not in i],
            sorted(i for i in items if '"chain": "amphora_vip_chain"' in i))
    ours, theirs = comparable(stage.inside.ruleset()), comparable(beside.ruleset())
    assert ours[1] == theirs[1]
    assert sorted(ours[0]) == sorted(theirs[0])
    order = [[i for i in side[0] if '"rule"' in i] for side in (ours, theirs)]
    assert order[0] == order[1]


# Reboot


def interface_file(stage, sriov):
    """What a controller's plug of the VIP leaves behind."""
    folder = stage.agent.folder / "interfaces"
    folder.mkdir(exist_ok=True)
    (folder / "eth1.json").write_text(json.dumps({"name": "eth1", "if_type": "vip", "mtu": 1500, "addresses": [
        {"address": VIP, "prefixlen": 24}], "routes": [], "rules": [], "scripts": {"up": [], "down": []},
        "is_sriov": sriov}))


def up(stage):
    return subprocess.run([str(BUILD / "amphora-interface"), "--config-file", str(stage.agent.config), "up", "eth1"],
        capture_output=True, text=True, timeout=60, check=True)


def test_rules_are_there_after_a_reboot(stage):
    """amphora-interface loads them before the interface comes up, without the agent and without the controller."""
    interface_file(stage, True)
    stage.set(rule("TCP", 80), vrrp("192.0.2.9/32"))
    stage.set(rule("UDP", 53), address=OTHER)
    before = normal(stage.inside.ruleset())
    stage.agent.stop()
    stage.inside.run(NFT, "flush", "ruleset")
    up(stage)
    assert normal(stage.inside.ruleset()) == before
    up(stage)
    assert normal(stage.inside.ruleset()) == before


def test_before_the_first_rules(stage):
    """An SR-IOV port that is new lets nothing in, one that is none has no firewall."""
    stage.serve(80)
    interface_file(stage, False)
    up(stage)
    assert stage.inside.ruleset() == [] and stage.connects(80) is True
    interface_file(stage, True)
    up(stage)
    assert stage.connects(80) is False
    assert any(item.get("chain", {}).get("policy") == "drop" for item in stage.inside.ruleset())


def test_rules_that_octavias_agent_left(stage):
    """They count until the controller has set others."""
    stage.serve(80)
    stage.serve(81)
    interface_file(stage, True)
    (stage.agent.state / "nftables-vip.rules").write_text("""table inet amphora_table {}
delete table inet amphora_table
table inet amphora_table {
  chain amphora_chain {
    type filter hook input priority filter; policy drop;
      ct state vmap { established : accept, related : accept, invalid : drop }
      iifname eth1 goto amphora_vip_chain
  }
  chain amphora_vip_chain {
      tcp dport 80 accept
  }
}
""")
    up(stage)
    assert stage.connects(80) is True and stage.connects(81) is False
    stage.set(rule("TCP", 81))
    up(stage)
    assert stage.connects(80) is False and stage.connects(81) is True


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"eth1":[{"protocol":"TCP"}]}', b'{"a b;":[]}', b"\0" * 100,
    b'{"eth1":{},"eth2":null,"":[],"0123456789abcdefg":[]}'])
def test_damaged_state(stage, damage):
    """After a power cut of another kind: nothing is let in until the controller says so again."""
    stage.serve(80)
    stage.serve(81)
    interface_file(stage, True)
    (stage.agent.state / "nftables-vip.json").write_bytes(damage)
    up(stage)
    assert stage.connects(80) is False
    stage.set(rule("TCP", 81))
    assert stage.connects(80) is False and stage.connects(81) is True
    up(stage)
    assert stage.connects(81) is True


def test_another_start_of_the_agent_changes_nothing(stage):
    stage.set(rule("TCP", 80))
    before = stage.inside.ruleset()
    stage.agent.kill()
    stage.agent.start()
    assert stage.inside.ruleset() == before


# lvs-masquerade.sh


class Masquerade:
    """A router: a client's network, and one of members where the client's addresses are unknown."""

    def __init__(self, namespaces):  # noqa: F811
        self.router, self.client, self.member = namespaces(), namespaces(), namespaces()
        Wire(self.router, self.client, "eth1", "wire").address("192.0.2.10/24", "192.0.2.1/24") \
            .address("2001:db8:1::10/64", "2001:db8:1::1/64")
        Wire(self.router, self.member, "eth2", "wire").address("198.51.100.10/24", "198.51.100.1/24") \
            .address("2001:db8:2::10/64", "2001:db8:2::1/64")
        self.router.sysctl("net.ipv4.ip_forward", "1")
        self.router.sysctl("net.ipv6.conf.all.forwarding", "1")
        self.client.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.10")
        self.client.ip("route", "add", "2001:db8:2::/64", "via", "2001:db8:1::10")

    def script(self, *arguments, check=True):
        return self.router.run(str(MASQUERADE), *arguments, check=check)

    def seen(self, member="198.51.100.1", client="192.0.2.1", protocol=socket.IPPROTO_UDP):
        """The source address of a packet of the client's, as the member sees it."""
        family = socket.AF_INET6 if ":" in member else socket.AF_INET

        def receiver():
            made = socket.socket(family, socket.SOCK_RAW, protocol) if protocol == SCTP else socket.socket(family,
                socket.SOCK_DGRAM)
            made.settimeout(2)
            if protocol != SCTP:
                made.bind((member, 4000))
            return made

        def send():
            with socket.socket(family, socket.SOCK_RAW if protocol == SCTP else socket.SOCK_DGRAM,
                    protocol if protocol == SCTP else 0) as sender:
                sender.bind((client, 0))
                sender.sendto(sctp_init(4000)(b"0123456789abcdef") if protocol == SCTP else b"x",
                    (member, 0 if protocol == SCTP else 4000))
        with self.member.inside(receiver) as listening:
            self.client.inside(send)
            return listening.recvfrom(1000)[1][0]


@pytest.fixture
def masquerade(namespaces):  # noqa: F811
    need_nft()
    return Masquerade(namespaces)


@pytest.mark.parametrize("protocol", [socket.IPPROTO_UDP, SCTP])
def test_masquerade(masquerade, protocol):
    m = masquerade
    m.member.ip("route", "add", "192.0.2.0/24", "via", "198.51.100.10")
    m.script("add", "ipv4", "eth2")
    assert m.seen(protocol=protocol) == "198.51.100.10"
    m.script("delete", "ipv4", "eth2")
    m.client.ip("address", "add", "192.0.2.3/24", "dev", "wire")
    assert m.seen(client="192.0.2.3", protocol=protocol) == "192.0.2.3"


def test_masquerade_ipv6(masquerade):
    m = masquerade
    m.script("add", "ipv6", "eth2")
    assert m.seen("2001:db8:2::1", "2001:db8:1::1") == "2001:db8:2::10"
    assert m.script("add", "ipv4", "eth2").returncode == 0


def tracked(m):
    """TCP connections that the router tracks, from one of its own to the member."""
    def talk():
        with socket.create_connection(("198.51.100.1", 8080), 5):
            return pathlib.Path("/proc/thread-self/net/nf_conntrack").read_text().count("dport=8080")
    with m.member.inside(lambda: socket.create_server(("198.51.100.1", 8080))):
        return m.router.inside(talk)


def test_tcp_is_not_tracked(masquerade):
    m = masquerade
    if not pathlib.Path("/proc/net/nf_conntrack").exists():
        pytest.skip("the kernel does not list tracked connections")
    # Something that wants connections tracked.
    m.router.run(NFT, "add table inet t; add chain inet t c { type filter hook input priority 0; }; "
        "add rule inet t c ct state established counter")
    assert tracked(m) == 1
    m.script("add", "ipv4", "eth2")
    assert tracked(m) <= 1, "none but the old one, which may still be there"
    m.script("delete", "ipv4", "eth2")
    before = tracked(m)
    m.script("add", "ipv4", "eth2", "sriov")
    assert tracked(m) == before + 1


def test_masquerade_again_and_of_two(masquerade):
    """Interfaces come and go without touching each other; each call is repeatable."""
    m = masquerade
    m.script("add", "ipv4", "eth1")
    m.script("add", "ipv4", "eth2", "sriov")
    once = normal(m.router.ruleset())
    m.script("add", "ipv4", "eth2", "sriov")
    m.script("add", "ipv4", "eth1")
    assert sorted(map(json.dumps, normal(m.router.ruleset()))) == sorted(map(json.dumps, once))
    elements = {i["set"]["name"]: i["set"].get("elem", []) for i in once if "set" in i}
    assert {k: set(v) for k, v in elements.items()} == {"masq-interfaces": {"eth1", "eth2"}, "notrack-interfaces": {"eth1"}}
    m.script("delete", "ipv4", "eth1")
    m.script("delete", "ipv4", "eth1")
    assert m.seen() == "198.51.100.10"
    m.script("delete", "ipv4", "eth2")
    assert m.router.ruleset() == []
    m.script("delete", "ipv4", "eth2")
    m.script("delete", "ipv6", "eth7")
    assert m.router.ruleset() == []


def test_masquerade_over_octavias(masquerade):
    """What its program made is replaced, not added to."""
    m = masquerade
    m.router.run(NFT, "add table ip octavia-ipv4; add chain ip octavia-ipv4 ip-udp-masq { type nat hook postrouting "
        "priority 100; }; add rule ip octavia-ipv4 ip-udp-masq oifname eth2 meta l4proto udp masquerade")
    m.script("add", "ipv4", "eth2")
    rules = [i["rule"] for i in m.router.ruleset() if "rule" in i]
    assert [r["chain"] for r in rules] == ["ip-udp-masq", "ip-sctp-masq", "prerouting", "output"]
    assert m.seen() == "198.51.100.10"


@pytest.mark.parametrize("arguments", [[], ["add"], ["add", "ipv4"], ["add", "ipv5", "eth1"], ["remove", "ipv4", "eth1"],
    ["add", "ipv4", "eth*"], ["add", "ipv4", 'a" }'], ["add", "ipv4", "a;b"], ["add", "ipv4", ""], ["add", "ipv4", "x" * 16],
    ["add", "ipv4", "eth1", "fast"], ["add", "ipv4", "eth1", "sriov", "more"]], ids=str)
def test_masquerade_usage(masquerade, arguments):
    result = masquerade.script(*arguments, check=False)
    assert result.returncode == 1 and result.stderr.startswith("usage:")
    assert masquerade.router.ruleset() == []
