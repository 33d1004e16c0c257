# SPDX-License-Identifier: Apache-2.0
"""Every kind of listener, pool, policy and monitor, in one load balancer."""

import re

import pytest

import pki
import shop as goods
from machines import PATIENCE_S
from processes import wait_for
from test_changes import settled

feature = pytest.mark.feature


@feature("fully populated load balancer")
def test_one_request_makes_all(shop):
    if not shop.made_whole:
        pytest.skip("this Octavia forgets what is made with a load balancer")


@feature("operating status")
def test_everything_is_active_and_online(shop):
    shop.wait_online()
    objects = shop.objects()
    names = sorted(value["name"] for value in objects.values() if value.get("name"))
    both = ["tcp", "proxy", "proxyv2", "http", "https", "encrypted", "terminated", "mixed"]
    assert names == sorted(["shop", *both, *both, "tcp", "proxy-http", "proxy-tcp", "http", "https", "encrypted", "https", "ping",
        "other", "a-8083", "b-8080", "b-8081",
        *(f"{host}-{port}" for host in "ab" for port in (8080, 8080, 8081, 8082, 8443, 8444, 8445))])
    assert {value["name"] for value in objects.values() if value.get("operating_status") == "NO_MONITOR"} == {"b-8081"}
    # What each says for itself is the same as in the tree.
    for kinds in ("listeners", "pools"):
        found = [one for one in shop.control_plane.get(f"/lbaas/{kinds}")[kinds] if one["id"] in objects]
        assert {(one["provisioning_status"], one["operating_status"]) for one in found} == {("ACTIVE", "ONLINE")}, found
        assert len(found) == {"listeners": 8, "pools": 9}[kinds]
    [amphora] = shop.amphorae
    assert (amphora["status"], amphora["role"]) == ("ALLOCATED", "STANDALONE")


@pytest.fixture(params=[pytest.param(False, id="vip", marks=feature("IPv4 VIP")),
    pytest.param(True, id="additional_vip", marks=feature("additional VIP"))])
def door(request, shop, client):
    """(address of the load balancer, address of the client), IPv4 and IPv6."""
    shop.wait_online()
    return (shop.additional_vips[0], "fd44::200") if request.param else (shop.vip, client.address)


@pytest.mark.parametrize("port, version", [pytest.param(goods.PROXY, 1, marks=feature("PROXY pool"), id="PROXY"),
    pytest.param(goods.PROXYV2, 2, marks=feature("PROXYV2 pool"), id="PROXYV2")])
def test_members_see_the_client(shop, client, door, port, version):
    vip, address = door
    seen = [client.get(shop.url(port, vip)) for _ in range(6)]
    assert {one["server"] for one in seen} == {"a", "b"}
    assert {tuple(one["proxy"]) for one in seen} == {(version, address, vip)}
    assert address not in {one["peer"] for one in seen}


@feature("TCP listener")
def test_tcp(shop, client, door):
    seen = [client.get(shop.url(goods.TCP, door[0])) for _ in range(4)]
    assert {one["server"] for one in seen} == {"a", "b"}
    assert {one["proxy"] for one in seen} == {None}


@feature("HTTP listener")
def test_http(shop, client, door):
    vip, address = door
    seen = [client.get(shop.url(goods.HTTP, vip)) for _ in range(4)]
    assert {one["server"] for one in seen} == {"a", "b"}
    headers = seen[0]["headers"]
    assert headers["x-forwarded-for"] == address
    assert (headers["x-forwarded-port"], headers["x-forwarded-proto"]) == (str(goods.HTTP), "http")


@feature("HTTPS listener")
def test_https_is_passed_on(shop, client, door):
    replies = [client.request(shop.url(goods.HTTPS, door[0], "https")) for _ in range(4)]
    assert {reply.said["server"] for reply in replies} == {"a", "b"}
    assert pki.serial_of(replies[0].certificate) not in {one.serial for one in shop.certificates.values()}


@feature("TLS to the members")
def test_http_becomes_https(shop, client, door):
    seen = [client.get(shop.url(goods.ENCRYPTED, door[0])) for _ in range(4)]
    assert {one["server"] for one in seen} == {"a", "b"}


@feature("TERMINATED_HTTPS listener", "SNI", "TLS to the members")
def test_https_ends_here(shop, client, door):
    vip, address = door
    for name, expected in (("a.example", "a.example"), ("b.example", "b.example"), ("other.example", "default.example")):
        reply = client.request(shop.url(goods.TERMINATED, vip, "https"), sni=name)
        assert pki.serial_of(reply.certificate) == shop.certificates[expected].serial, name
        assert reply.said["headers"]["x-forwarded-for"] == address
        assert reply.said["headers"]["host"] == name


@feature("L7 policies")
def test_l7_policies(shop, client):
    shop.wait_online()
    url = shop.url(goods.HTTP)
    assert client.request(f"{url}/admin/x").status == 403
    assert set(client.servers(f"{url}/other/x", 4)) == {"b"}
    moved = client.request(f"{url}/old/x?y=1")
    assert (moved.status, moved.headers["Location"]) == (302, "https://new.example/old/x?y=1")
    gone = client.request(f"{url}/gone")
    assert (gone.status, gone.headers["Location"]) == (307, "https://a.example/there")
    assert set(client.servers(f"{url}/else", 4)) == {"a", "b"}


@feature("IPv6 members")
def test_members_of_both_families(shop, client):
    shop.wait_online()
    seen = [client.get(shop.url(goods.MIXED)) for _ in range(4)]
    assert {one["server"] for one in seen} == {"a", "b"}
    assert {":" in one["peer"] for one in seen if one["server"] == "b"} == {True}


# What is broken for each: a member, the listener before it, how it is asked.
ILL = {"HTTP": ("a-8081", goods.HTTP, "http"), "HTTPS": ("a-8444", goods.TERMINATED, "https"),
    "TCP": ("a-8082", goods.TCP, "http"), "TLS-HELLO": ("a-8443", goods.HTTPS, "https"),
    "PING": ("a-8083", goods.MIXED, "http")}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=feature(f"{kind} monitor")) for kind in ILL])
def test_monitors(shop, client, farm, kind):
    """What the monitor looks at fails; it finds that and nothing else, and says so until all is well again."""
    name, port, scheme = ILL[kind]
    if kind == "TLS-HELLO" and shop.hello_in_tls:
        name, port, scheme = "a-8445", goods.ENCRYPTED, "http"
    shop.wait_online()
    member, server, host = shop.named(name), shop.servers["a", int(name[2:])], farm[0].namespace
    context = server.context
    try:
        if kind in ("HTTP", "HTTPS"):
            server.health = 503
        elif kind == "PING":
            host.sysctl("net.ipv4.icmp_echo_ignore_all", "1")
        elif kind == "TCP":
            server.stop()
        else:
            server.context = None  # connections go on, TLS does not

        def wrong():
            return {identifier for identifier, status in shop.operating().items() if status == "ERROR"}
        wait_for(lambda: wrong() == {member}, PATIENCE_S, "the monitor finds what is ill, and nothing else")
        wait_for(lambda: shop.operating()[shop.pool_of(member)] == "DEGRADED", PATIENCE_S, "its pool is DEGRADED")
        assert set(client.servers(shop.url(port, scheme=scheme), 4)) == {"b"}
    finally:
        server.health, server.context = 200, context
        host.sysctl("net.ipv4.icmp_echo_ignore_all", "0")
        if server.server is None:
            server.start()
    shop.wait_online()
    wait_for(lambda: set(client.servers(shop.url(port, scheme=scheme), 4)) == {"a", "b"}, PATIENCE_S, "both serve again")


@feature("member added, changed and removed")
def test_a_member_changes_beside_certificates(shop, client):
    """Without a reload, although newer versions of Octavia give HAProxy another TLS cache whenever other memory is free."""
    shop.wait_online()
    machine = shop.machine()
    config, processes = machine.path(f"var/lib/octavia/{shop.id}/haproxy.cfg"), machine.processes("haproxy")
    memory = machine.path("run/meminfo")
    sizes = []

    def weigh(weight):
        member = shop.named("a-8444")
        shop.change(f"pools/{shop.pool_of(member)}/members/{member}", weight=weight)
        sizes.append(re.search(r"(?m)^ *tune.ssl.cachesize (.*)$", config.read_text()))
    weigh(1)
    memory.write_text(memory.read_text().replace("MemFree: 196608", "MemFree: 180000"))
    weigh(0)
    assert set(client.servers(shop.url(goods.TERMINATED, scheme="https"), 4)) == {"b"}
    weigh(1)
    assert set(client.servers(shop.url(goods.TERMINATED, scheme="https"), 4)) == {"a", "b"}
    assert machine.processes("haproxy") == processes
    assert shop.control_plane.major < 12 or sizes[0][1] != sizes[1][1], sizes


@feature("statistics")
def test_each_listener_counts_its_own(shop, client):
    shop.wait_online()
    objects = shop.objects()
    listeners = {one["name"]: one["id"] for one in shop.control_plane.get("/lbaas/listeners")["listeners"]
        if one["id"] in objects}
    counted = {}

    def counts():
        counted.update({name: shop.listener_stats(listeners[name]) for name in ("tcp", "http")})
        return counted["tcp"]["total_connections"], counted["http"]["total_connections"]

    settled(shop)
    before = counts()
    bytes_before = counted["http"]["bytes_out"]
    received = 0
    for _ in range(5):
        client.get(shop.url(goods.TCP))
    for _ in range(3):
        received += len(client.request(shop.url(goods.HTTP)).body)
    wait_for(lambda: counts() == (before[0] + 5, before[1] + 3), PATIENCE_S, "5 and 3 more connections", interval=0.2)

    # A heartbeat may come between a connection's beginning and its end.
    def ended():
        now = shop.listener_stats(listeners["http"])
        return now["active_connections"] == 0 and now["bytes_out"] - bytes_before >= received
    wait_for(ended, PATIENCE_S, "the connections have ended", interval=0.2)
    wait_for(lambda: shop.stats["total_connections"] == sum(shop.listener_stats(one)["total_connections"]
        for one in listeners.values()), PATIENCE_S, "the sum is that of the listeners", interval=0.2)
