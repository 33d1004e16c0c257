# SPDX-License-Identifier: Apache-2.0
"""What clients of Octavia look for beside load balancers: versions, providers, flavors, quotas, amphorae."""

import pytest

import amphora
from amphora import LBS, document
from clients import fetch
from processes import free_port, wait_for


@pytest.fixture(scope="module")
def agent():
    with amphora.Agent().serving() as running:
        yield running


def test_versions(agent):
    root = agent.get("/", headers={"Host": "lb.example.org"}).expect(200).json
    assert root["api_version"] == "1.0"  # for Octavia's amphora driver
    versions = root["versions"]
    assert [version["id"] for version in versions] == [f"v2.{i}" for i in range(31)]
    assert [version["status"] for version in versions] == ["SUPPORTED"] * 30 + ["CURRENT"]
    assert all(version["links"] == [{"href": "http://lb.example.org/v2", "rel": "self"}] for version in versions)
    assert all(version["updated"].endswith("Z") for version in versions)
    for path in ("/v2", "/v2/", "/v2.0"):
        assert agent.get(path, headers={"Host": "lb.example.org"}).expect(200).json == {"version": versions[-1]}
    # The link is where it says.
    agent.get("/v2").expect(200)


def test_without_lbaas(agent):
    """gophercloud asks for quotas below /v2.0 itself, where Octavia has everything, too."""
    assert agent.get("/v2.0/quotas/abc").expect(200).json == agent.get("/v2/lbaas/quotas/abc").json
    assert agent.get("/v2/loadbalancers").expect(200).json == {"loadbalancers": [], "loadbalancers_links": []}
    agent.get("/v2/octavia/loadbalancers").expect(404)


def test_providers(agent):
    providers = agent.get("/v2/lbaas/providers").expect(200).json
    assert {provider["name"] for provider in providers["providers"]} == {"amphorad", "amphora", "octavia"}
    assert agent.get("/v2.0/lbaas/providers?name=amphora&fields=name").json == {"providers": [{"name": "amphora"}]}
    for name in ("flavor_capabilities", "availability_zone_capabilities"):
        assert agent.get(f"/v2/lbaas/providers/amphora/{name}").expect(200).json == {name: []}
        assert agent.get(f"/v2/lbaas/providers/ovn/{name}").expect(400).fault == "Provider 'ovn' is not enabled."


@pytest.mark.parametrize("path, name, links, words", [
    ("flavors", "flavors", "flavors_links", "Flavor"),
    ("flavorprofiles", "flavorprofiles", "flavorprofile_links", "Flavor Profile"),
    ("availabilityzones", "availability_zones", "availability_zones_links", "Availability Zone"),
    ("availabilityzoneprofiles", "availability_zone_profiles", "availability_zone_profile_links",
        "Availability Zone Profile")])
def test_nothing_to_choose_from(agent, path, name, links, words):
    assert agent.get(f"/v2/lbaas/{path}?name=x").expect(200).json == {name: [], links: []}
    agent.get(f"/v2/lbaas/{path}?colour=x").expect(400)
    assert agent.get(f"/v2/lbaas/{path}/x").expect(404).fault == f"{words} x not found."
    for method, where in (("POST", path), ("PUT", f"{path}/x"), ("DELETE", f"{path}/x")):
        reply = agent.request(method, f"/v2/lbaas/{where}", None if method == "DELETE" else {"x": {}}).expect(501)
        assert "does not support a requested action" in reply.fault


def test_quotas(agent):
    kinds = ["loadbalancer", "load_balancer", "listener", "member", "pool", "healthmonitor", "health_monitor",
        "l7policy", "l7rule"]
    unlimited = dict.fromkeys(kinds, -1)
    assert agent.get("/v2/lbaas/quotas").expect(200).json == {"quotas": [], "quotas_links": []}
    assert agent.get("/v2/lbaas/quotas/abc").expect(200).json == {"quota": {**unlimited, "project_id": "abc"}}
    assert agent.get("/v2/lbaas/quotas/abc/default").expect(200).json == {"quota": {**unlimited, "project_id": "abc"}}
    assert agent.get("/v2/lbaas/quotas/defaults").expect(200).json == {"quota": {**unlimited, "project_id": None}}
    agent.request("PUT", "/v2/lbaas/quotas/abc", {"quota": {"pool": 1}}).expect(501)
    agent.request("DELETE", "/v2/lbaas/quotas/abc").expect(501)


def test_amphora(agent, origins):
    amphorae = "/v2/octavia/amphorae"
    mine = f"{amphorae}/{agent.amphora_id}"
    found = agent.get(amphorae).expect(200).json
    assert found["amphorae_links"] == []
    assert [(a["id"], a["status"], a["role"], a["loadbalancer_id"]) for a in found["amphorae"]] == \
        [(agent.amphora_id, "READY", "STANDALONE", None)]
    assert agent.get(f"{mine}/stats").expect(200).json == {"amphora_stats": []}

    port, lb_id = free_port(), amphora.new_id()
    listener = amphora.new_id()
    agent.apply(lb_id, document(amphora.listener(port, amphora.pool([amphora.member(origins("a").port)]), id=listener)))
    try:
        assert agent.get(mine).expect(200).json["amphora"].items() >= \
            {"status": "ALLOCATED", "loadbalancer_id": lb_id, "ha_ip": "127.0.0.1"}.items()
        assert agent.get(f"{amphorae}?loadbalancer_id={lb_id}&fields=id").json["amphorae"] == [{"id": agent.amphora_id}]
        assert agent.get(f"{amphorae}?role=MASTER").json["amphorae"] == []
        assert fetch(port)[0] == 200

        def counted():
            stats, = agent.get(f"{mine}/stats").expect(200).json["amphora_stats"]
            return stats if stats["total_connections"] else None
        stats = wait_for(counted, 10, "the request is counted")
        assert (stats["id"], stats["loadbalancer_id"], stats["listener_id"]) == (agent.amphora_id, lb_id, listener)
        assert stats["bytes_out"] > 0
    finally:
        agent.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)


def test_amphora_is_not_changed(agent):
    mine = f"/v2/octavia/amphorae/{agent.amphora_id}"
    for method, path in (("PUT", "/config"), ("PUT", "/failover"), ("DELETE", "")):
        assert "does not support" in agent.request(method, mine + path).expect(501).fault
        other = agent.request(method, f"/v2/octavia/amphorae/{amphora.new_id()}{path}")
        assert "not found" in other.expect(404).fault


def test_amphora_without_an_id(make_agent):
    """One that no controller named has an id nevertheless, and keeps it."""
    agent = make_agent()
    agent.config.write_text(agent.config.read_text().replace(f"amphora_id = {agent.amphora_id}\n", ""))
    ids = []
    for _ in range(2):
        agent.start()
        ids += [a["id"] for a in agent.get("/v2/octavia/amphorae").expect(200).json["amphorae"]]
        agent.stop()
    assert len(ids) == 2 and ids[0] == ids[1] != agent.amphora_id
