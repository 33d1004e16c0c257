# SPDX-License-Identifier: Apache-2.0
"""Lists as clients ask for them: filters, sorting, pages, fields, links. What each parameter does in detail is in
tests/unit/test_listing.c; here it is asked of the real collections."""

import urllib.parse

import pytest

import amphora
from amphora import LBS, document
from processes import free_port

NAMES = ["delta", "alpha", "charlie", "bravo"]


@pytest.fixture(scope="module")
def agent():
    """One agent with four load balancers of one listener, created in the order of NAMES."""
    with amphora.Agent().serving() as running:
        running.ids = {name: amphora.new_id() for name in NAMES}
        for i, name in enumerate(NAMES):
            running.apply(running.ids[name], document(amphora.listener(free_port(), amphora.pool([])), name=name,
                tags=["all", f"tag-{i}"], admin_state_up=i % 2 == 0, project_id="ab" if i < 2 else "cd"))
        yield running


def names(agent, query=""):
    return [lb["name"] for lb in agent.get(f"{LBS}?{query}").expect(200).json["loadbalancers"]]


def ids_in_order(agent):
    """Creation within one second leaves the order to the ids."""
    lbs = agent.get(LBS).expect(200).json["loadbalancers"]
    assert [(lb["created_at"], lb["id"]) for lb in lbs] == sorted((lb["created_at"], lb["id"]) for lb in lbs)
    return [lb["id"] for lb in lbs]


def test_filters(agent):
    assert names(agent, "name=alpha") == ["alpha"]
    assert names(agent, "name=ALPHA") == []
    assert names(agent, "sort=name&admin_state_up=False") == ["alpha", "bravo"]
    assert names(agent, "sort=name&project_id=cd&vip_address=127.0.0.1") == ["bravo", "charlie"]
    assert names(agent, "sort=name&tags=all&not-tags=tag-1") == ["bravo", "charlie", "delta"]
    assert names(agent, "provisioning_status=ERROR") == []
    assert names(agent, f"id={agent.ids['delta']}") == ["delta"]


@pytest.fixture(scope="module")
def collections(agent):
    """Path -> name of every collection, of a load balancer with something in each."""
    policy, back = amphora.new_id(), amphora.new_id()
    listener = amphora.listener(free_port(), amphora.pool([amphora.member(80, tags=["m"])], id=back,
        healthmonitor=amphora.monitor("TCP"), session_persistence={"type": "SOURCE_IP"}),
        l7policies=[{"id": policy, "name": "p", "action": "REJECT",
            "rules": [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/no"}]}])
    agent.apply(agent.ids["delta"], document(listener, name="delta", admin_state_up=True, project_id="ab",
        tags=["all", "tag-0"]))
    return {"loadbalancers": "loadbalancers", "listeners": "listeners", "pools": "pools",
        "healthmonitors": "healthmonitors", "l7policies": "l7policies", f"pools/{back}/members": "members", f"l7policies/{policy}/rules": "rules"}


def test_every_field_is_a_filter(agent, collections):
    """Whatever an object shows can be asked for, and finds the object that shows it."""
    for path, name in collections.items():
        found = agent.get(f"/v2/lbaas/{path}").expect(200).json
        assert found[f"{name}_links"] == []
        for field, value in found[name][0].items():
            query = urllib.parse.urlencode({field: value if value is not None else ""})
            matching = agent.get(f"/v2/lbaas/{path}?{query}").expect(200).json[name]
            if isinstance(value, (str, int)):
                assert found[name][0] in matching, (path, field)


def test_what_belongs_to_what(agent, collections):
    lb_id = agent.ids["delta"]
    for path in ("listeners", "pools"):
        all_of_them = agent.get(f"/v2/lbaas/{path}").json[path]
        assert len(all_of_them) == len(NAMES)
        mine = [item for item in all_of_them if {"id": lb_id} in item["loadbalancers"]]
        assert len(mine) == 1
        assert agent.get(f"/v2/lbaas/{path}?loadbalancer_id={lb_id}").json[path] == mine
    policy, = agent.get("/v2/lbaas/l7policies").json["l7policies"]
    assert agent.get(f"/v2/lbaas/l7policies?listener_id={policy['listener_id']}").json["l7policies"] == [policy]
    monitor, = agent.get("/v2/lbaas/healthmonitors").json["healthmonitors"]
    pool_id = monitor["pools"][0]["id"]
    assert agent.get(f"/v2/lbaas/healthmonitors?pool_id={pool_id}").json["healthmonitors"] == [monitor]
    assert agent.get(f"/v2/lbaas/healthmonitors?pool_id={lb_id}").json["healthmonitors"] == []
    behind = agent.get(f"/v2/lbaas/pools?listener_id={policy['listener_id']}").json["pools"]
    assert [pool["id"] for pool in behind] == [pool_id]
    assert agent.get(f"/v2/lbaas/pools/{pool_id}?fields=id").json == {"pool": {"id": pool_id}}
    members = agent.get(f"/v2/lbaas/pools/{pool_id}/members?limit=1").json
    assert [link["rel"] for link in members["members_links"]] == ["next"]
    href = members["members_links"][0]["href"]
    assert f"/pools/{pool_id}/members?limit=1&marker={members['members'][0]['id']}" in href


def test_sort(agent):
    assert names(agent, "sort=name") == sorted(NAMES)
    assert names(agent, "sort=name:desc") == sorted(NAMES, reverse=True)
    assert names(agent, "sort_key=admin_state_up,name&sort_dir=asc,desc") == ["bravo", "alpha", "delta", "charlie"]


@pytest.mark.parametrize("query, words", [("colour=red", "One or more arguments are either duplicate or invalid"),
    ("sort=colour", "sort key 'colour'"), ("sort=name:up", "sort direction 'up'"), ("limit=x", "limit 'x'"),
    ("marker=x", "marker 'x'"), ("limit=1&limit=2", "limit is given twice")])
def test_refused(agent, query, words):
    assert words in agent.get(f"{LBS}?{query}").expect(400).fault


def links(reply, collection="loadbalancers"):
    return {link["rel"]: link["href"] for link in reply.json[f"{collection}_links"]}


def test_pages(agent):
    """There by "next", back by "previous", over the links as they are given."""
    order = ids_in_order(agent)
    query, seen, last = "limit=3", [], None
    while query:
        last = agent.get(f"{LBS}?{query}", headers={"Host": "lb.example.org:9443"}).expect(200)
        seen += [lb["id"] for lb in last.json["loadbalancers"]]
        href = links(last).get("next")
        assert href is None or href.startswith(f"http://lb.example.org:9443{LBS}?limit=3&marker=")
        query = href and href.partition("?")[2]
    assert seen == order
    back = agent.get(links(last)["previous"].partition("lb.example.org:9443")[2]).expect(200)
    assert [lb["id"] for lb in back.json["loadbalancers"]] == order[:3]
    assert agent.get(LBS).json["loadbalancers_links"] == []


def test_a_page_keeps_its_filters(agent):
    first = agent.get("/v2.0/lbaas/loadbalancers?limit=1&sort=name&admin_state_up=True").expect(200)
    assert [lb["name"] for lb in first.json["loadbalancers"]] == ["charlie"]
    href = links(first)["next"]
    assert href.startswith("http://localhost/v2.0/lbaas/loadbalancers?")
    second = agent.get(href.partition("localhost")[2]).expect(200)
    assert [lb["name"] for lb in second.json["loadbalancers"]] == ["delta"]


def test_fields(agent):
    lb_id = agent.ids["alpha"]
    assert agent.get(f"{LBS}?name=alpha&fields=id&fields=name").expect(200).json["loadbalancers"] == \
        [{"id": lb_id, "name": "alpha"}]
    assert agent.get(f"{LBS}/{lb_id}?fields=name,vip_address").expect(200).json == \
        {"loadbalancer": {"name": "alpha", "vip_address": "127.0.0.1"}}


def test_certificates(agent):
    """An extension is asked like the rest."""
    assert agent.get("/v2/lbaas/certificates?name=x&sort=not_after:desc&limit=5").expect(200).json == \
        {"certificates": [], "certificates_links": []}
    agent.get("/v2/lbaas/certificates?tags=x").expect(400)
