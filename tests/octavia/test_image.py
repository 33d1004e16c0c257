# SPDX-License-Identifier: Apache-2.0
"""Amphorae that are virtual machines with our disk image: with a kernel of their own, which has IPVS, and systemd. They are
emulated, so they are few and the cases go on with what earlier ones left."""

import ipaddress
import itertools
import time

import pytest

import datagrams
from control_plane import PATIENCE_S, SUBNET6, LoadBalancer
from processes import wait_for
from shop import member, monitor

feature = pytest.mark.feature
pytestmark = pytest.mark.image

TCP, UDP, SCTP = 80, 5353, 5354
# Of a pool on an emulated machine; keepalived starts a program for each check.
LOOK = {"delay": 3, "timeout": 2, "max_retries": 1, "max_retries_down": 1}


class Service:
    """A listener with a pool of members of both families on the same machines, and a monitor."""

    def __init__(self, lb, name, port, pool, servers, kind, **more):
        self.lb, self.name, self.port, self.servers = lb, name, port, servers
        self.listener = lb.add("listener", name=name, protocol=name.upper(), protocol_port=port, loadbalancer_id=lb.id)
        self.pool = lb.add("pool", name=name, protocol=pool, lb_algorithm="ROUND_ROBIN", listener_id=self.listener)
        self.members = {}
        for server in servers:
            for address in server.host.addresses if name != "tcp" else server.host.addresses[:1]:
                made = member(server.host, server.port, address, name=f"{name}-{server.host.name}-{address}")
                self.members[server.host.name, ipaddress.ip_address(address).version] = lb.add_member(self.pool,
                    made.pop("address"), made.pop("protocol_port"), name=made["name"])
        lb.add("healthmonitor", pool_id=self.pool, **monitor(kind, **LOOK, **more))

    def counted(self):
        return self.lb.listener_stats(self.listener)


def make(control_plane, farm):
    began = time.monotonic()
    lb = LoadBalancer(control_plane, name="image", additional_vips=[{"subnet_id": SUBNET6}])
    print(f"ACTIVE after {time.monotonic() - began:.0f} s")
    lb.tcp = Service(lb, "tcp", TCP, "PROXYV2", [host.serve(8081) for host in farm], "HTTP", url_path="/health")
    return lb


@pytest.fixture(scope="module")
def made():
    """What the cases share: "image", the load balancer, and what they add to it."""
    made = {}
    yield made
    if "image" in made:
        made["image"].delete()
    for server in made.get("servers", ()):
        server.stop()


@pytest.fixture
def image(control_plane, made, farm):
    if made.setdefault("failed", False):
        pytest.fail("there is no load balancer to try it on")
    if "image" not in made:
        made["failed"] = True
        made["image"] = make(control_plane, farm)
        made["failed"] = False
    return made["image"]


def add_service(made, farm, name, port, kind, server, monitor_of):
    """A listener and pool of UDP or SCTP, if there is none yet."""
    if name not in made:
        made.setdefault("servers", []).extend(servers := [server(host, port + 1000) for host in farm])
        made[name] = Service(made["image"], name, port, kind, servers, monitor_of)
    return made[name]


@pytest.fixture
def udp(image, made, farm):
    return add_service(made, farm, "udp", UDP, "UDP", datagrams.UdpServer, "UDP-CONNECT")


@pytest.fixture
def sctp(image, made, farm):
    if datagrams.sctp_is_missing():
        pytest.skip(datagrams.sctp_is_missing())
    return add_service(made, farm, "sctp", SCTP, "SCTP", datagrams.SctpServer, "SCTP")


@feature("disk image")
def test_it_comes_up(image):
    """All is ACTIVE and ONLINE; the amphora has what the config drive and Octavia say."""
    image.wait_online()
    machine = image.machine()
    assert machine.run("findmnt -n -o FSTYPE /") == "squashfs"
    assert machine.run("systemctl is-active amphorad") == "active"
    assert machine.run("systemctl list-units --plain --no-legend --state=failed") == ""
    found = machine.run("ip -n amphora-haproxy -br address")
    assert f"{image.vip}/" in found and f"{image.additional_vips[0]}/" in found and "10.55.0." in found, found
    # What the config drive says of the management network.
    assert machine.server["address"] in machine.run("ip -br address")


@feature("disk image")
def test_members_see_the_client(image, client):
    image.wait_online()
    before = image.tcp.counted()["total_connections"]
    for vip, source in itertools.product((image.vip, image.additional_vips[0]), client.addresses):
        if (":" in vip) == (":" in source):
            seen = client.get(image.url(TCP, vip), source=source, timeout=20)
            assert seen["proxy"] == [2, source, vip], seen
    assert set(client.servers(image.url(TCP), 4, timeout=20)) == {"a", "b"}
    wait_for(lambda: image.tcp.counted()["total_connections"] == before + len(client.addresses) + 4, PATIENCE_S,
        "every connection is counted once", interval=0.5)


def ask(client, service, vip, text="x", count=4):
    """Answers, each to a client's port of its own."""
    source = next(one for one in client.addresses if (":" in one) == (":" in vip))
    function = {"udp": datagrams.ask_udp, "sctp": datagrams.ask_sctp}[service.name]
    return [function(client, source, vip, service.port, text) for _ in range(count)]


def check_traffic(image, client, service):
    """Both families, both members; what each client sends comes back, and is counted."""
    image.wait_online()
    before = service.counted()
    for vip in (image.vip, image.additional_vips[0]):
        seen = ask(client, service, vip, "x" * 500, 6)
        assert {one["server"] for one in seen} == {"a", "b"}, seen
        assert {one["said"] for one in seen} == {"x" * 500}
        # Of the amphora in the network of the members: without that, answers would not find back.
        assert {one["peer"].startswith(("10.55.0.", "fd55::")) for one in seen} == {True}, seen
    wait_for(lambda: service.counted()["total_connections"] == before["total_connections"] + 12, PATIENCE_S,
        "every one is counted once", interval=0.5)
    after = service.counted()
    assert after["bytes_in"] - before["bytes_in"] >= 12 * 500 and after["bytes_out"] - before["bytes_out"] >= 12 * 500, after


def check_monitor(image, client, service):
    """A member that is not there any more is ERROR and gets nothing, in both families; it comes back."""
    image.wait_online()
    gone = [one for (name, _), one in service.members.items() if name == "a"]
    stays = [one for (name, _), one in service.members.items() if name == "b"]
    service.servers[0].stop()
    try:
        for one in gone:
            image.wait_operating(one, "ERROR")
        assert {image.operating()[one] for one in stays} == {"ONLINE"}
        image.wait_operating(service.pool, "DEGRADED")
        for vip in (image.vip, image.additional_vips[0]):
            assert {one["server"] for one in ask(client, service, vip)} == {"b"}
    finally:
        service.servers[0].start()
    image.wait_online()
    for vip in (image.vip, image.additional_vips[0]):
        assert {one["server"] for one in ask(client, service, vip)} == {"a", "b"}


@feature("UDP listener")
def test_udp(image, client, udp):
    check_traffic(image, client, udp)


@feature("UDP-CONNECT monitor")
def test_udp_connect_monitor(image, client, udp):
    check_monitor(image, client, udp)


@feature("SCTP listener")
def test_sctp(image, client, sctp):
    check_traffic(image, client, sctp)


@feature("SCTP monitor")
def test_sctp_monitor(image, client, sctp):
    check_monitor(image, client, sctp)


def check_served(image, made, client):
    """All that it has, without one failure."""
    for vip in (image.vip, image.additional_vips[0]):
        assert set(client.servers(image.url(TCP, vip), 4, timeout=20)) == {"a", "b"}
        for service in (made[name] for name in ("udp", "sctp") if name in made):
            assert {one["server"] for one in ask(client, service, vip)} == {"a", "b"}
    return True


@feature("amphora rebooted")
def test_a_reboot_heals(image, made, client):
    """Without a word of the controllers: the load balancer serves again, and is ONLINE."""
    image.wait_online()
    machine = image.machine()
    before = machine.boot_id()
    began = time.monotonic()
    machine.run("(sleep 1; systemctl reboot) >/dev/null 2>&1 &")

    def booted():
        return machine.boot_id() != before
    wait_for(booted, 2 * PATIENCE_S, "the amphora has booted", interval=1)
    wait_for(lambda: check_served(image, made, client), PATIENCE_S, "all is served", interval=0.5)
    print(f"served {time.monotonic() - began:.0f} s after the reboot began")
    image.wait_online()
    assert [one["id"] for one in image.amphorae] == [machine.amphora["id"]], "it is the same amphora"
    # And it is still one that a controller can change.
    image.change(f"listeners/{image.tcp.listener}", connection_limit=3000)
    check_served(image, made, client)


@feature("amphora powered off")
def test_octavia_replaces_one_that_is_off(image, made, control_plane, client):
    image.wait_online()
    machine = image.machine()
    machine.press_power_button()
    began = time.monotonic()
    # Now it is dead, and not slow.
    control_plane.stop_octavia(("health-manager",))
    control_plane.configure(heartbeat_timeout=60)
    control_plane.start_octavia(("health-manager",))

    def replaced():
        found = [one["id"] for one in image.amphorae if one["status"] == "ALLOCATED"]
        return len(found) == 1 and machine.amphora["id"] not in found
    try:
        wait_for(replaced, 2 * PATIENCE_S, "another amphora is there", interval=1)
        image.settle()
    finally:
        control_plane.stop_octavia(("health-manager",))
        control_plane.configure()
        control_plane.start_octavia(("health-manager",))
    image.wait_online()
    check_served(image, made, client)
    print(f"served {time.monotonic() - began:.0f} s after the power went off")
