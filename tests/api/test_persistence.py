# SPDX-License-Identifier: Apache-2.0
"""Clients stay with their servers while the load balancer changes under them."""

import json

import pytest

from amphora import document, listener, member, new_id, pool
from clients import fetch, server_of
from processes import free_port

CLIENTS = [f"127.0.1.{n}" for n in range(1, 21)]


@pytest.fixture
def site(agent, origins):
    class Site:
        def __init__(self):
            self.port, self.lb_id = free_port(), new_id()
            self.members = [member(origins(f"m{n}").port, f"m{n}") for n in range(4)]

        def apply(self, persistence, members=None, **fields):
            reply = agent.put(self.lb_id, document(listener(self.port, pool(members or self.members,
                session_persistence=persistence), **fields))).expect(200, 201)
            return reply.headers["Amphorad-Apply"]

        def servers(self):
            return {client: server_of(self.port, source=client) for client in CLIENTS}
    return Site()


def test_by_address_over_reloads(site):
    site.apply({"type": "SOURCE_IP"})
    before = site.servers()
    assert len(set(before.values())) == 4
    for timeout_ms in (40000, 60000):
        assert site.apply({"type": "SOURCE_IP"}, timeout_client_data=timeout_ms) == "reload"
        assert site.servers() == before


def test_members_in_another_order_and_one_less(site):
    """HAProxy numbers servers as they come; the clients belong to the servers, not to the numbers."""
    site.apply({"type": "SOURCE_IP"})
    before = site.servers()
    assert site.apply({"type": "SOURCE_IP"}, members=site.members[:0:-1], timeout_client_data=40000) == "reload"
    after = site.servers()
    for client in CLIENTS:
        if before[client] != "m0":
            assert after[client] == before[client]
        else:
            assert after[client] in ("m1", "m2", "m3")


def test_by_cookie_of_the_application_over_a_reload(site):
    persistence = {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}
    site.apply(persistence)
    cookies = {}
    for _ in range(8):
        status, headers, _ = fetch(site.port, "/login")
        assert status == 200
        cookie = headers["Set-Cookie"].split(";")[0]
        cookies[cookie] = cookie.rpartition("-")[2]
    assert len(cookies) == 4
    assert site.apply(persistence, timeout_client_data=40000) == "reload"
    for cookie, server in cookies.items():
        for _ in range(3):
            assert server_of(site.port, headers={"Cookie": cookie}) == server


def test_by_cookie_of_the_load_balancer_over_a_reload(site):
    site.apply({"type": "HTTP_COOKIE"})
    cookies = {}
    for _ in range(8):
        status, headers, body = fetch(site.port)
        assert status == 200
        cookies[headers["Set-Cookie"].split(";")[0]] = json.loads(body)["server"]
    assert len(cookies) == 4 and set(cookies.values()) == {"m0", "m1", "m2", "m3"}
    assert site.apply({"type": "HTTP_COOKIE"}, members=site.members[::-1], timeout_client_data=40000) == "reload"
    for cookie, server in cookies.items():
        for _ in range(3):
            assert server_of(site.port, headers={"Cookie": cookie}) == server
