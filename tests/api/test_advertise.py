# SPDX-License-Identifier: Apache-2.0
"""Gratuitous ARP and unsolicited neighbor advertisements, as they are on the wire."""

import ipaddress
import select
import socket
import struct
import time

import pytest

from amphora import document, listener, member, new_id, pool
from netns import Wire, namespaces  # noqa: F401
from octavia_driver import haproxy_cfg
from processes import free_port, wait_for

VIP, OTHER_VIP, VIP6 = "192.0.2.10", "192.0.2.11", "2001:db8::10"
ETH_P_ALL, ETH_P_ARP, ETH_P_IPV6 = 3, 0x0806, 0x86dd
NEIGHBOR_ADVERTISEMENT = 136
ROUTER, SOLICITED, OVERRIDE = 1 << 31, 1 << 30, 1 << 29


class Capture:
    """What arrives at the neighbour's end of a wire."""

    def __init__(self, wire):
        def listen():
            capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            capture.bind((wire.there, ETH_P_ALL))
            return capture
        self.socket = wire.neighbour.inside(listen)
        self.socket.setblocking(False)
        self.frames = []

    def poll(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.frames.append(self.socket.recv(65536))
        return self.frames

    def forget(self):
        self.poll()
        self.frames = []

    def arps(self):
        """Announcements: sender and target are one address."""
        frames = [f for f in self.poll() if f[12:14] == struct.pack("!H", ETH_P_ARP)]
        return [f for f in frames if f[28:32] == f[38:42] and f[28:32] != bytes(4)]

    def advertisements(self):
        """Unsolicited: to all nodes."""
        return [f for f in self.poll() if f[12:14] == struct.pack("!H", ETH_P_IPV6) and f[20] == socket.IPPROTO_ICMPV6
            and f[54] == NEIGHBOR_ADVERTISEMENT and f[38:54] == ipaddress.ip_address("ff02::1").packed]

    def close(self):
        self.socket.close()


def address_of(arp):
    return str(ipaddress.ip_address(arp[28:32]))


def target_of(advertisement):
    return str(ipaddress.ip_address(advertisement[62:78]))


def packed_mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum_is_good(frame):
    """RFC 8200, 8.1: over the pseudo header and the message."""
    message = frame[54:54 + struct.unpack("!H", frame[18:20])[0]]
    words = frame[22:54] + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6) + message
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total == 0xffff


class Stage:
    def __init__(self, make_agent, namespaces, topology=None):  # noqa: F811
        self.inside, self.outside = namespaces(), namespaces()
        self.wire = Wire(self.inside, self.outside).address(f"{VIP}/24", "192.0.2.1/24")
        self.wire.address(f"{OTHER_VIP}/24").address(f"{VIP6}/64", "2001:db8::1/64")
        self.capture = Capture(self.wire)
        self.agent = make_agent(amphorad=f"network_namespace = {self.inside.name}")
        if topology:
            with open(self.agent.config, "a", encoding="utf-8") as file:
                file.write(f"[controller_worker]\nloadbalancer_topology = {topology}\n")
        self.agent.start()
        self.agent.amphora_id = new_id()
        self.lb_id, self.port = new_id(), free_port()
        self.capture.forget()

    def wait_arp(self, address):
        return wait_for(lambda: [f for f in self.capture.arps() if address_of(f) == address], 20, f"ARP of {address}")

    def wait_advertisement(self, address):
        return wait_for(lambda: [f for f in self.capture.advertisements() if target_of(f) == address], 20,
            f"advertisement of {address}")


@pytest.fixture
def stage(make_agent, namespaces):  # noqa: F811
    made = []

    def make(**options):
        made.append(Stage(make_agent, namespaces, **options))
        return made[-1]
    yield make
    for each in made:
        each.capture.close()


def define(stage, vip, **more):
    stage.agent.apply(stage.lb_id, document(listener(stage.port, pool([member(9)]), **more), vip_address=vip))


def test_gratuitous_arp(stage):
    s = stage()
    define(s, VIP)
    frame = s.wait_arp(VIP)[0]
    mac = packed_mac(s.wire.mac_here)
    assert frame[:6] == b"\xff" * 6 and frame[6:12] == mac
    # RFC 826: Ethernet, IPv4, sizes, request; sender; target.
    assert frame[14:22] == struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    assert frame[22:28] == mac and frame[28:32] == socket.inet_aton(VIP)
    assert frame[38:42] == socket.inet_aton(VIP)
    # The same bytes as Octavia's garp() packs.
    assert frame[:42] == b"\xff" * 6 + mac + struct.pack("!h", 0x0806) + struct.pack("!h", 1) \
        + struct.pack("!h", 0x0800) + struct.pack("!B", 6) + struct.pack("!B", 4) + struct.pack("!h", 1) + mac \
        + socket.inet_aton(VIP) + b"\xff" * 6 + socket.inet_aton(VIP)
    assert {address_of(f) for f in s.capture.arps()} == {VIP}


@pytest.mark.parametrize("forwarding", [False, True])
def test_neighbor_advertisement(stage, forwarding):
    s = stage()
    s.inside.sysctl("net.ipv6.conf.eth1.forwarding", "1" if forwarding else "0")
    s.capture.forget()
    define(s, VIP6)
    frame = s.wait_advertisement(VIP6)[0]
    mac = packed_mac(s.wire.mac_here)
    assert frame[:6] == bytes.fromhex("333300000001") and frame[6:12] == mac
    assert frame[21] == 255, "the hop limit"
    assert frame[22:38] == ipaddress.ip_address(VIP6).packed, "the source"
    assert frame[55] == 0 and checksum_is_good(frame)
    flags = struct.unpack("!I", frame[58:62])[0]
    assert flags == OVERRIDE | (ROUTER if forwarding else 0)
    assert frame[78:] == b"\x02\x01" + mac, "the link-layer address"


def test_neighbours_learn_it(stage):
    """The point of it: a neighbour that thinks the address is elsewhere."""
    s = stage()
    wrong = "02:00:00:00:00:01"
    s.outside.ip("neigh", "replace", VIP, "lladdr", wrong, "dev", s.wire.there, "nud", "stale")
    s.outside.ip("neigh", "replace", VIP6, "lladdr", wrong, "dev", s.wire.there, "nud", "stale")
    define(s, VIP)
    s.agent.apply(new_id(), document(listener(free_port()), vip_address=VIP6))
    for address in (VIP, VIP6):
        wait_for(lambda: s.wire.mac_here in s.outside.ip("neigh", "show", address).stdout, 20, f"{address} is known")


def test_reload_and_what_needs_none(stage):
    s = stage()
    define(s, VIP)
    s.wait_arp(VIP)
    s.capture.forget()
    define(s, VIP, timeout_client_data=12345)
    s.wait_arp(VIP)
    s.capture.forget()
    define(s, VIP, timeout_client_data=12345)  # nothing changes
    define(s, OTHER_VIP, timeout_client_data=12345)
    s.wait_arp(OTHER_VIP)
    assert {address_of(f) for f in s.capture.arps()} == {OTHER_VIP}


def upload(stage, addresses):
    text = haproxy_cfg(stage.agent, stage.lb_id, stage.port, [])
    binds = "".join(f"    bind {address}:{stage.port}\n" for address in addresses)
    text = "".join(binds if line.lstrip().startswith("bind ") else line for line in text.splitlines(True))
    stage.agent.request("PUT", f"/1.0/loadbalancer/{stage.agent.amphora_id}/{stage.lb_id}/haproxy", text).expect(202)


def control(stage, action):
    stage.agent.request("PUT", f"/1.0/loadbalancer/{stage.lb_id}/{action}").expect(202)
    stage.capture.poll()


def test_uploaded_configuration(stage):
    """All its addresses, whenever a start or a reload is asked for (also one that has nothing to do), not at an upload or
    a stop."""
    s = stage()
    upload(s, [VIP, OTHER_VIP, VIP6])
    assert s.capture.arps() == [] and s.capture.advertisements() == []
    for action in ("start", "start", "reload", "reload"):
        control(s, action)
        s.wait_arp(VIP)
        s.wait_arp(OTHER_VIP)
        s.wait_advertisement(VIP6)
        s.capture.forget()
    control(s, "stop")
    assert s.capture.arps() == [] and s.capture.advertisements() == []


def test_keepalived_advertises_in_active_standby(stage):
    s = stage(topology="ACTIVE_STANDBY")
    upload(s, [VIP, VIP6])
    control(s, "start")
    define_id = new_id()
    s.agent.apply(define_id, document(listener(free_port()), vip_address=OTHER_VIP))
    # What would have been sent was sent before the answers.
    assert s.capture.arps() == [] and s.capture.advertisements() == []


def test_address_that_is_not_here(stage):
    """Of a backup: HAProxy binds it all the same (ip_nonlocal_bind), nobody is told a lie."""
    s = stage()
    s.inside.sysctl("net.ipv4.ip_nonlocal_bind", "1")
    s.inside.sysctl("net.ipv6.ip_nonlocal_bind", "1")
    upload(s, ["192.0.2.77", "2001:db8::77", VIP])
    control(s, "start")
    s.wait_arp(VIP)
    assert {address_of(f) for f in s.capture.arps()} == {VIP}
    assert s.capture.advertisements() == []


def test_interface_that_is_down(stage):
    """Never an error of the request."""
    s = stage()
    s.inside.sysctl("net.ipv4.ip_nonlocal_bind", "1")
    s.inside.ip("link", "set", "eth1", "down")
    define(s, VIP)
    assert f"{VIP} cannot be advertised on eth1" in s.agent.log or f"{VIP} advertised" in s.agent.log
    assert s.capture.arps() == []


def test_label_of_an_address(stage):
    s = stage()
    s.inside.ip("address", "add", "192.0.2.50/24", "dev", "eth1", "label", "eth1:vip")
    define(s, "192.0.2.50")
    s.wait_arp("192.0.2.50")


def test_without_a_namespace(make_agent):
    """Loopback has no neighbours; an address that is nowhere is nobody's."""
    agent = make_agent().start()
    began = time.monotonic()
    agent.apply(new_id(), document(listener(free_port()), vip_address="127.0.0.1"))
    agent.apply(new_id(), document(listener(free_port()), vip_address="0.0.0.0"))
    assert "cannot be advertised" not in agent.log and "are not advertised" not in agent.log
    assert time.monotonic() - began < 30
