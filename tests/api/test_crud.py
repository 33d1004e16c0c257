# SPDX-License-Identifier: Apache-2.0
"""Single objects, one kind after the other: created, shown, changed, deleted, and refused in Octavia's words."""

import re
import uuid

import pytest

from crud import SINGULAR, UNKNOWN, ids, serving
from processes import free_port

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")


@pytest.fixture(scope="module")
def api():
    with serving() as served:
        yield served


class Tree:
    """A load balancer with one object of each kind."""

    def __init__(self, api):
        self.lb = api.load_balancer(project_id="p-1")
        self.listener = api.listener(self.lb, free_port(), name="l")
        self.pool = api.pool(listener_id=self.listener["id"], name="p")
        self.member = api.member(self.pool, 9001, name="m")
        self.monitor = api.monitor(self.pool, name="h")
        self.other = api.pool(self.lb, name="other")
        self.policy = api.policy(self.listener, action="REDIRECT_TO_POOL", redirect_pool_id=self.other["id"])
        self.rule = api.rule(self.policy)
        self.paths = {"loadbalancers": f"loadbalancers/{self.lb['id']}", "listeners": f"listeners/{self.listener['id']}",
            "pools": f"pools/{self.pool['id']}", "members": f"pools/{self.pool['id']}/members/{self.member['id']}",
            "healthmonitors": f"healthmonitors/{self.monitor['id']}", "l7policies": f"l7policies/{self.policy['id']}",
            "rules": f"l7policies/{self.policy['id']}/rules/{self.rule['id']}"}


@pytest.fixture(scope="module")
def tree(api):
    return Tree(api)


@pytest.mark.parametrize("kind", SINGULAR)
def test_every_object_has_what_all_have(api, tree, kind):
    shown = api.show(tree.paths[kind])
    assert str(uuid.UUID(shown["id"])) == shown["id"]
    assert shown["project_id"] == shown["tenant_id"] == "p-1"
    assert shown["provisioning_status"] == "ACTIVE"
    assert shown["operating_status"] in ("ONLINE", "ERROR", "DEGRADED", "OFFLINE", "NO_MONITOR")
    assert TIME.match(shown["created_at"])
    assert shown["updated_at"] is None or TIME.match(shown["updated_at"])
    assert shown["admin_state_up"] is True
    assert shown["tags"] == []
    collection = tree.paths[kind].rsplit("/", 1)[0]
    assert shown in api.list(collection)
    # Both bases are one.
    assert api.request("GET", tree.paths[kind], base="/v2.0/lbaas").expect(200).json == {SINGULAR[kind]: shown}


@pytest.mark.parametrize("kind, module, name", [
    ("loadbalancers", "load_balancer", "LoadBalancerResponse"), ("listeners", "listener", "ListenerResponse"),
    ("pools", "pool", "PoolResponse"), ("members", "member", "MemberResponse"),
    ("healthmonitors", "health_monitor", "HealthMonitorResponse"), ("l7policies", "l7policy", "L7PolicyResponse"),
    ("rules", "l7rule", "L7RuleResponse")])
def test_nothing_of_octavias_is_missing(api, tree, kind, module, name):
    """By Octavia's own table of what it shows."""
    pytest.importorskip("wsme")
    types = pytest.importorskip(f"octavia.api.v2.types.{module}")
    wanted = {attribute.name for attribute in getattr(types, name)._wsme_attributes}
    assert wanted - set(api.show(tree.paths[kind])) == set()


def test_relatives(api, tree):
    assert ids(api.show(tree.paths["loadbalancers"])["listeners"]) == [tree.listener["id"]]
    assert ids(api.show(tree.paths["loadbalancers"])["pools"]) == [tree.pool["id"], tree.other["id"]]
    listener = api.show(tree.paths["listeners"])
    assert listener["loadbalancers"] == [{"id": tree.lb["id"]}]
    assert listener["default_pool_id"] == tree.pool["id"]
    assert listener["l7policies"] == [{"id": tree.policy["id"]}]
    pool = api.show(tree.paths["pools"])
    assert pool["loadbalancers"] == [{"id": tree.lb["id"]}]
    assert pool["listeners"] == [{"id": tree.listener["id"]}]
    assert pool["members"] == [{"id": tree.member["id"]}]
    assert pool["healthmonitor_id"] == tree.monitor["id"]
    assert "healthmonitor" not in pool
    # By way of the policy.
    assert api.show(f"pools/{tree.other['id']}")["listeners"] == [{"id": tree.listener["id"]}]
    assert api.show(tree.paths["healthmonitors"])["pools"] == [{"id": tree.pool["id"]}]
    assert api.show(tree.paths["l7policies"])["listener_id"] == tree.listener["id"]
    assert api.show(tree.paths["l7policies"])["rules"] == [{"id": tree.rule["id"]}]


# kind, what is changed, what is shown then where that differs
UPDATES = [
    ("loadbalancers", {"name": "n", "description": "d", "tags": ["a"], "admin_state_up": False}, {}),
    ("loadbalancers", {"admin_state_up": True, "vip_qos_policy_id": UNKNOWN}, {}),
    ("listeners", {"name": "n", "connection_limit": 7, "timeout_client_data": 1234,
        "insert_headers": {"X-Forwarded-For": "true"}, "allowed_cidrs": ["127.0.0.0/8"]}, {}),
    ("listeners", {"name": None, "connection_limit": None, "timeout_client_data": None, "insert_headers": None,
        "allowed_cidrs": None}, {"name": "", "connection_limit": -1, "timeout_client_data": 50000, "insert_headers": {}}),
    ("pools", {"name": "n", "lb_algorithm": "LEAST_CONNECTIONS",
        "session_persistence": {"type": "APP_COOKIE", "cookie_name": "c"}},
        {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "c", "persistence_timeout": None,
            "persistence_granularity": None}}),
    ("pools", {"session_persistence": {"cookie_name": "other"}},  # the type stays
        {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "other", "persistence_timeout": None,
            "persistence_granularity": None}}),
    ("pools", {"session_persistence": None, "tls_enabled": False}, {}),
    ("members", {"name": "n", "weight": 0, "backup": True, "monitor_port": 80, "monitor_address": "127.0.0.2",
        "tags": ["x", "y"]}, {}),
    ("members", {"weight": None, "backup": None, "monitor_port": None, "monitor_address": None},
        {"weight": 1, "backup": False}),
    ("members", {"weight": "12", "admin_state_up": False}, {"weight": 12}),
    ("healthmonitors", {"delay": 9, "timeout": 3, "max_retries": 4, "max_retries_down": 5, "url_path": "/up",
        "http_method": "HEAD", "expected_codes": "200-204", "http_version": 1.1, "domain_name": "example.org"}, {}),
    ("healthmonitors", {"url_path": None, "http_method": None, "expected_codes": None, "max_retries_down": None,
        "domain_name": None, "http_version": None},
        {"url_path": "/", "http_method": "GET", "expected_codes": "200", "max_retries_down": 3}),
    ("l7policies", {"name": "n", "description": "d"}, {}),
    ("l7policies", {"redirect_url": "http://example.org/"},  # the action follows
        {"action": "REDIRECT_TO_URL", "redirect_pool_id": None, "redirect_http_code": 302}),
    ("l7policies", {"redirect_prefix": "https://example.org", "redirect_http_code": 308},
        {"action": "REDIRECT_PREFIX", "redirect_url": None}),
    ("l7policies", {"action": "REJECT"}, {"redirect_prefix": None, "redirect_http_code": None}),
    ("rules", {"type": "HEADER", "key": "X-A", "value": "b", "compare_type": "EQUAL_TO", "invert": True}, {}),
    ("rules", {"type": "PATH", "key": None, "invert": None}, {"invert": False}),
]


@pytest.mark.parametrize("kind, fields, shown", UPDATES, ids=[f"{row[0]}-{next(iter(row[1]))}" for row in UPDATES])
def test_update(api, tree, kind, fields, shown):
    before = api.show(tree.paths[kind])
    after = api.update(tree.paths[kind], **fields)
    wanted = {**before, **fields, **shown}
    volatile = ("operating_status", "updated_at", "revision")
    assert {k: v for k, v in after.items() if k not in volatile} == {k: v for k, v in wanted.items() if k not in volatile}
    assert after["created_at"] == before["created_at"]
    assert TIME.match(after["updated_at"])
    seen = api.show(tree.paths[kind])
    assert {k: v for k, v in seen.items() if k != "operating_status"} == \
        {k: v for k, v in after.items() if k != "operating_status"}


@pytest.mark.parametrize("before, given, after", [
    ({"type": "SOURCE_IP", "persistence_timeout": 60, "persistence_granularity": "255.255.0.0"}, {"persistence_timeout": 9},
        {"type": "SOURCE_IP", "persistence_timeout": 9}),
    ({"type": "SOURCE_IP", "persistence_timeout": 60}, {}, {"type": "SOURCE_IP"}),
    ({"type": "SOURCE_IP", "persistence_timeout": 60}, {"type": None}, {"type": "SOURCE_IP"}),
    ({"type": "APP_COOKIE", "cookie_name": "c"}, {"type": "HTTP_COOKIE"}, {"type": "HTTP_COOKIE"}),
    ({"type": "APP_COOKIE", "cookie_name": "c"}, {"type": "APP_COOKIE"}, None),
    ({"type": "APP_COOKIE", "cookie_name": "c"}, {}, None),
    (None, {"cookie_name": "c"}, None)])
def test_persistence_in_part(api, tree, before, given, after):
    """Only the type stays where it is left out: what Octavia's own type and controller make of it."""
    protocol = "HTTP" if before is None or "COOKIE" in before["type"] else "UDP"
    pool = api.create("pools", loadbalancer_id=tree.lb["id"], protocol=protocol, lb_algorithm="ROUND_ROBIN",
        session_persistence=before)
    reply = api.put(f"pools/{pool['id']}", session_persistence=given)
    if after is None:
        assert "/session_persistence/" in reply.expect(400).fault
        assert api.show(f"pools/{pool['id']}")["session_persistence"] == pool["session_persistence"]
        return
    rest = dict.fromkeys(("type", "cookie_name", "persistence_timeout", "persistence_granularity"))
    assert reply.expect(200).json["pool"]["session_persistence"] == {**rest, **after}
    types = pytest.importorskip("octavia.api.v2.types.pool")
    octavias = types.SessionPersistencePUT(**given).to_dict(render_unsets=False)
    assert {"type": before["type"], **{name: value for name, value in octavias.items() if value is not None}} == after


# kind, what cannot be changed
FIXED = [("loadbalancers", "vip_address", "127.0.0.9"), ("loadbalancers", "vip_subnet_id", UNKNOWN),
    ("loadbalancers", "provider", "octavia"), ("loadbalancers", "project_id", "x"), ("loadbalancers", "listeners", []),
    ("listeners", "protocol", "TCP"), ("listeners", "protocol_port", 1), ("listeners", "l7policies", []),
    ("pools", "protocol", "TCP"), ("pools", "members", []), ("pools", "healthmonitor", None),
    ("members", "address", "127.0.0.9"), ("members", "protocol_port", 1), ("members", "subnet_id", UNKNOWN),
    ("healthmonitors", "type", "TCP"), ("l7policies", "rules", []), ("rules", "id", UNKNOWN)]


@pytest.mark.parametrize("kind, field, value", FIXED, ids=[f"{row[0]}-{row[1]}" for row in FIXED])
def test_fields_that_stay(api, tree, kind, field, value):
    before = api.show(tree.paths[kind])
    api.refused(400, f"/{SINGULAR[kind]}/{field}: cannot be changed", "PUT", tree.paths[kind], {SINGULAR[kind]: {field: value}})
    assert {k: v for k, v in api.show(tree.paths[kind]).items() if k != "operating_status"} == \
        {k: v for k, v in before.items() if k != "operating_status"}


# What is no object, and what is not said
@pytest.mark.parametrize("body, message", [
    ({}, "is required"), ({"listener": {}, "x": 1}, "unknown field"), ({"listener": []}, "must be an object"),
    ({"listener": {"colour": 1}}, "/listener/colour: unknown field of a listener"),
    ({"listener": {"created_at": "2026-01-01T00:00:00"}}, "/listener/created_at: unknown field"),
    ({"listener": {"default_pool": {"name": "p"}}}, "/listener/default_pool: unknown field"),
    ({"listener": {"connection_limit": "many"}}, "/listener/connection_limit: must be an integer"),
    ("[]", "must be an object"), ("{", "not a JSON document"), ("", "is needed")])
def test_bad_bodies(api, tree, body, message):
    assert message in api.request("PUT", tree.paths["listeners"], body).expect(400).fault


MISSING = [("Load Balancer", "loadbalancers/{}", "loadbalancer"), ("Listener", "listeners/{}", "listener"),
    ("Pool", "pools/{}", "pool"), ("Health Monitor", "healthmonitors/{}", "healthmonitor"),
    ("L7 Policy", "l7policies/{}", "l7policy"), ("Pool", "pools/{}/members/x", "member"),
    ("L7 Policy", "l7policies/{}/rules/x", "rule")]


@pytest.mark.parametrize("title, path, singular", MISSING, ids=[row[1] for row in MISSING])
def test_what_is_not_there(api, title, path, singular):
    message = f"{title} {UNKNOWN} not found."
    api.refused(404, message, "GET", path.format(UNKNOWN))
    api.refused(404, message, "PUT", path.format(UNKNOWN), {singular: {}})
    api.refused(404, message, "DELETE", path.format(UNKNOWN))


def test_children_of_others_are_not_there(api, tree):
    for method, body in (("GET", None), ("PUT", {"member": {}}), ("DELETE", None)):
        api.refused(404, f"Member {tree.member['id']} not found.", method,
            f"pools/{tree.other['id']}/members/{tree.member['id']}", body)
    api.refused(404, f"Member {UNKNOWN} not found.", "GET", f"pools/{tree.pool['id']}/members/{UNKNOWN}")
    api.refused(404, f"L7 Rule {UNKNOWN} not found.", "GET", f"l7policies/{tree.policy['id']}/rules/{UNKNOWN}")
    api.refused(404, f"Pool {UNKNOWN} not found.", "GET", f"pools/{UNKNOWN}/members")


def test_parents_that_are_not_there(api):
    port = free_port()
    for path, title, fields in [
            ("listeners", "Load Balancer", {"loadbalancer_id": UNKNOWN, "protocol": "TCP", "protocol_port": port}),
            ("pools", "Load Balancer", {"loadbalancer_id": UNKNOWN, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}),
            ("pools", "Listener", {"listener_id": UNKNOWN, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}),
            ("healthmonitors", "Pool", {"pool_id": UNKNOWN, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}),
            ("l7policies", "Listener", {"listener_id": UNKNOWN, "action": "REJECT"}),
            (f"pools/{UNKNOWN}/members", "Pool", {"address": "127.0.0.1", "protocol_port": 1}),
            (f"l7policies/{UNKNOWN}/rules", "L7 Policy", {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"})]:
        assert api.post(path, **fields).expect(404).fault == f"{title} {UNKNOWN} not found."
    assert api.post("pools", protocol="TCP", lb_algorithm="ROUND_ROBIN").expect(400).fault == \
        "Validation failure: Must provide at least one of: loadbalancer_id, listener_id"
    assert api.post("listeners", protocol="TCP", protocol_port=port).expect(400).fault == \
        "/listener/loadbalancer_id: is required"
    assert api.post("listeners", loadbalancer_id="x").expect(400).fault == "/listener/loadbalancer_id: must be a UUID"


def test_only_once(api, tree):
    port = tree.listener["protocol_port"]
    assert api.post("listeners", loadbalancer_id=tree.lb["id"], protocol="TCP", protocol_port=port).expect(409).fault == \
        f"Another Listener on this Load Balancer is already using protocol HTTP and protocol_port {port}"
    assert api.post(f"pools/{tree.pool['id']}/members", address="127.0.0.1", protocol_port=9001).expect(409).fault == \
        "Another member on this pool is already using ip 127.0.0.1 on protocol_port 9001"
    assert api.post("healthmonitors", pool_id=tree.pool["id"], type="TCP", delay=1, timeout=1,
        max_retries=1).expect(409).fault == "This pool already has a health monitor"
    assert api.post("pools", listener_id=tree.listener["id"], protocol="HTTP",
        lb_algorithm="ROUND_ROBIN").expect(409).fault == "This listener already has a default pool"
    assert api.post("loadbalancers", id=tree.lb["id"]).expect(409).fault == "Already an entity with that specified id."
    assert "this id is taken" in api.post(f"pools/{tree.pool['id']}/members", id=tree.member["id"], address="127.0.0.1",
        protocol_port=9002).expect(409).fault


def test_ids_are_of_one_load_balancer(api):
    """Health monitors and policies are found by their ids alone."""
    lbs = [api.load_balancer(vip_address=f"127.0.0.{i}") for i in (1, 2)]
    pools, listeners = [api.pool(lb) for lb in lbs], [api.listener(lb, free_port()) for lb in lbs]
    monitor, policy = api.monitor(pools[0]), api.policy(listeners[0])
    taken = "this id is taken by a {} of load balancer " + lbs[0]["id"]
    assert api.post("healthmonitors", id=monitor["id"], pool_id=pools[1]["id"], type="TCP", delay=1, timeout=1,
        max_retries=1).expect(409).fault.endswith(taken.format("Health Monitor"))
    assert api.post("l7policies", id=policy["id"], listener_id=listeners[1]["id"],
        action="REJECT").expect(409).fault.endswith(taken.format("L7 Policy"))
    for lb in lbs:
        for query in ("", "?cascade=", "?cascade=false"):
            api.request("DELETE", f"loadbalancers/{lb['id']}{query}").expect(400)
        api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_if_match(api):
    """RFC 9110, 13.1.1, of every change; and what cannot be tried is not made."""
    lb = api.load_balancer()
    pool = api.pool(lb)
    member = {"member": {"address": "127.0.0.1", "protocol_port": 9}}

    def change(status, method, path, body, if_match):
        headers = {"If-Match": if_match}
        return api.agent.request(method, f"/v2/lbaas/{path}", body, headers=headers).expect(status).headers.get("ETag")

    path, members = f"pools/{pool['id']}", f"pools/{pool['id']}/members"
    changes = (("POST", members, member), ("PUT", members, {"members": []}), ("DELETE", path, None),
        ("PUT", path, {"pool": {"name": "x"}}), ("POST", "pools", {"pool": {"loadbalancer_id": lb["id"],
            "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}), ("PUT", f"loadbalancers/{lb['id']}",
            {"loadbalancer": {"name": "x"}}), ("DELETE", f"loadbalancers/{lb['id']}?cascade=true", None))
    for each in changes:
        assert change(412, *each, '"1"') is None
        assert "dry_run" in api.request(each[0], each[1].split("?")[0] + "?dry_run=true", each[2]).expect(400).fault
    assert change(412, "DELETE", f"loadbalancers/{lb['id']}", None, '"1"') is None
    change(412, "POST", "loadbalancers", {"loadbalancer": {}}, "*")
    assert api.show(f"loadbalancers/{lb['id']}")["revision"] == 2
    assert change(201, "POST", members, member, '"2"') == '"3"'
    assert change(200, "PUT", path, {"pool": {"name": "x"}}, "*") == '"4"'
    assert change(202, "PUT", members, {"members": []}, '"4"') == '"5"'
    assert change(202, "PUT", members, {"members": []}, '"5"') == '"5"'
    assert change(204, "DELETE", path, None, '"5"') == '"6"'
    change(204, "DELETE", f"loadbalancers/{lb['id']}", None, '"6"')


def test_changes_of_nothing(api):
    """As clients send whole forms: defaults, empty texts and lists, numbers as texts."""
    lb = api.load_balancer()
    pool = api.pool(lb)
    listener, member, monitor = api.listener(lb, free_port()), api.member(pool, 9), api.monitor(pool)
    policy = api.policy(listener)
    for path, fields in ((f"loadbalancers/{lb['id']}", {"name": "lb", "description": "", "tags": []}),
            (f"listeners/{listener['id']}", {"name": "", "connection_limit": "-1", "insert_headers": {}, "tags": []}),
            (f"pools/{pool['id']}", {"description": "", "session_persistence": None}),
            (f"pools/{pool['id']}/members/{member['id']}", {"name": "", "weight": "1", "monitor_port": None, "tags": []}),
            (f"healthmonitors/{monitor['id']}", {"name": "", "delay": "5", "url_path": "/"}),
            (f"l7policies/{policy['id']}", {"name": "", "position": 1, "description": None})):
        before = api.show(f"loadbalancers/{lb['id']}")["revision"]
        reply = api.put(path, **fields).expect(200)
        assert reply.headers["Amphorad-Apply"] == "none" and reply.headers["ETag"] == f'"{before}"', path
    api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_names_may_be_the_same(api):
    lb = api.load_balancer()
    pools = [api.pool(lb, name="same") for _ in range(2)]
    members = [api.member(pools[0], port, name="same") for port in (1, 2)]
    assert len(set(ids(pools))) == len(set(ids(members))) == 2
    api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_references(api):
    lb, other = api.load_balancer(), api.load_balancer()
    listener = api.listener(lb, free_port())
    pool, stranger = api.pool(lb), api.pool(other)
    # A pool of another load balancer is not there, one that does not fit is refused.
    for method, path, body in [
            ("PUT", f"listeners/{listener['id']}", {"listener": {"default_pool_id": stranger["id"]}}),
            ("POST", "listeners", {"listener": {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 1,
                "default_pool_id": stranger["id"]}}),
            ("POST", "l7policies", {"l7policy": {"listener_id": listener["id"], "action": "REDIRECT_TO_POOL",
                "redirect_pool_id": stranger["id"]}})]:
        api.refused(404, f"Pool {stranger['id']} not found.", method, path, body)
    tcp = api.pool(lb, protocol="TCP")
    words = "The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."
    api.refused(400, f"/listener/default_pool_id: {words}", "PUT", f"listeners/{listener['id']}",
        {"listener": {"default_pool_id": tcp["id"]}})
    api.refused(400, f"…{words}", "POST", "pools", {"pool": {"listener_id": listener["id"], "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN"}})
    # A listener lets its pool go, a policy does not.
    assert api.update(f"listeners/{listener['id']}", default_pool_id=pool["id"])["default_pool_id"] == pool["id"]
    policy = api.policy(listener, action="REDIRECT_TO_POOL", redirect_pool_id=pool["id"])
    api.refused(409, f"Pool {pool['id']} is in use by L7 policy {policy['id']}", "DELETE", f"pools/{pool['id']}")
    api.delete(f"l7policies/{policy['id']}")
    api.delete(f"pools/{pool['id']}")
    assert api.show(f"listeners/{listener['id']}")["default_pool_id"] is None
    assert ids(api.show(f"loadbalancers/{lb['id']}")["pools"]) == [tcp["id"]]
    for each in (lb, other):
        api.delete(f"loadbalancers/{each['id']}?cascade=true")


def test_prometheus_has_no_children(api):
    lb = api.load_balancer()
    listener = api.listener(lb, free_port(), protocol="PROMETHEUS")
    pool = api.pool(lb)
    for method, path, body in [
            ("PUT", f"listeners/{listener['id']}", {"listener": {"default_pool_id": pool["id"]}}),
            ("POST", "pools", {"pool": {"listener_id": listener["id"], "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}),
            ("POST", "l7policies", {"l7policy": {"listener_id": listener["id"], "action": "REJECT"}})]:
        api.refused(400, "…Protocol PROMETHEUS listeners can not have child objects.", method, path, body)
    api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_policies_in_order(api):
    lb = api.load_balancer()
    listener = api.listener(lb, free_port())

    def order():
        policies = [api.show(f"l7policies/{each['id']}") for each in api.show(f"listeners/{listener['id']}")["l7policies"]]
        assert [each["position"] for each in policies] == list(range(1, len(policies) + 1))
        return "".join(each["name"] for each in policies)
    made = {name: api.policy(listener, name=name) for name in "ab"}
    made["c"] = api.policy(listener, name="c", position=1)
    made["d"] = api.policy(listener, name="d", position=3)
    assert order() == "cadb"
    for name, position, wanted in (("c", 3, "adcb"), ("b", 1, "badc"), ("a", 4, "bdca"), ("b", 99, "dcab"), ("d", 1, "dcab")):
        api.update(f"l7policies/{made[name]['id']}", position=position)
        assert order() == wanted
    api.delete(f"l7policies/{made['c']['id']}")
    assert order() == "dab"
    for action, target in (("URL", "redirect_url"), ("POOL", "redirect_pool_id or redirect_pool")):
        assert api.put(f"l7policies/{made['a']['id']}", action=f"REDIRECT_TO_{action}").expect(400).fault == \
            f"Invalid L7 Policy arguments: {target} must not be None"
    assert api.post("l7policies", listener_id=listener["id"], action="REDIRECT_TO_POOL",
        redirect_url="http://a/").expect(400).fault.endswith("redirect_pool must not be None")
    assert api.put(f"l7policies/{made['a']['id']}", redirect_url="http://a/", redirect_prefix="http://a",
        redirect_pool_id=UNKNOWN).expect(400).fault == "Invalid L7 Policy arguments: Cannot specify redirect_pool_id and " \
        "redirect_url or redirect_prefix at the same time"
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
    many = api.policy(listener, rules=[rule] * 50)
    assert api.post(f"l7policies/{many['id']}/rules", **rule).expect(409).fault == f"Too many rules on L7 policy {many['id']}"
    api.delete(f"l7policies/{many['id']}/rules/{many['rules'][7]['id']}")
    left = ids(many["rules"][:7] + many["rules"][8:])
    assert ids(api.show(f"l7policies/{many['id']}")["rules"]) == left
    assert set(ids(api.list(f"l7policies/{many['id']}/rules"))) == set(left)
    api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_whole_trees(api):
    port = free_port()
    full = api.create("loadbalancers", name="full", vip_address="127.0.0.1", tenant_id="t", listeners=[
        {"name": "l", "protocol": "HTTP", "protocol_port": port, "default_pool": {"name": "p", "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN", "members": [{"address": "127.0.0.1", "protocol_port": 1, "name": "same"},
                {"address": "127.0.0.1", "protocol_port": 2}],
            "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 2, "max_retries": 2}},
            "l7policies": [{"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "q"},
                "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}] * 2}]}],
        pools=[{"name": "q", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}])
    assert full["project_id"] == full["tenant_id"] == "t"
    listener, = full["listeners"]
    pools = {pool["name"]: pool for pool in full["pools"]}
    assert listener["default_pool_id"] == pools["p"]["id"]
    policy, = listener["l7policies"]
    assert policy["redirect_pool_id"] == pools["q"]["id"]
    assert len(set(ids(policy["rules"]))) == 2
    assert [member["protocol_port"] for member in pools["p"]["members"]] == [1, 2]
    monitor = pools["p"]["healthmonitor"]
    assert "healthmonitor" not in pools["q"]
    every = [full, listener, policy, *policy["rules"], *full["pools"], *pools["p"]["members"], monitor]
    assert {each["operating_status"] for each in every} == {"OFFLINE"}
    assert {each["provisioning_status"] for each in every} == {"ACTIVE"}
    assert all(TIME.match(each["created_at"]) for each in every)
    # What was said in one is there one by one.
    for path, made in [(f"listeners/{listener['id']}", listener), (f"l7policies/{policy['id']}", policy),
            (f"healthmonitors/{monitor['id']}", monitor),
            *((f"pools/{pools['p']['id']}/members/{member['id']}", member) for member in pools["p"]["members"])]:
        shown = api.show(path)
        assert {k: v for k, v in made.items() if k not in ("operating_status", "rules", "l7policies")}.items() <= shown.items()
    # A name that two listeners have is no reason for a refusal, a pool that is nowhere is.
    assert "/loadbalancer/listeners/0/default_pool: no pool of that name" in api.post("loadbalancers", listeners=[
        {"protocol": "HTTP", "protocol_port": 1, "default_pool": {"name": "nowhere"}}]).expect(400).fault
    api.refused(400, f"Validation failure: Cannot delete Load Balancer {full['id']} - it has children", "DELETE",
        f"loadbalancers/{full['id']}")
    api.delete(f"loadbalancers/{full['id']}?cascade=true")
    for path in (f"loadbalancers/{full['id']}", f"listeners/{listener['id']}", f"pools/{pools['p']['id']}"):
        api.request("GET", path).expect(404)


def test_pools_and_policies_with_their_children(api):
    lb = api.load_balancer()
    pool = api.pool(lb, members=[{"address": "127.0.0.1", "protocol_port": 1}],
        healthmonitor={"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1})
    assert len(api.list(f"pools/{pool['id']}/members")) == 1
    assert api.show(f"healthmonitors/{pool['healthmonitor_id']}")["type"] == "TCP"
    listener = api.listener(lb, free_port(), l7policies=[{"action": "REJECT",
        "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}]}], default_pool_id=pool["id"])
    assert len(api.list(f"l7policies/{listener['l7policies'][0]['id']}/rules")) == 1
    api.delete(f"listeners/{listener['id']}")
    api.delete(f"healthmonitors/{pool['healthmonitor_id']}")
    assert api.show(f"pools/{pool['id']}")["healthmonitor_id"] is None
    api.delete(f"pools/{pool['id']}")
    api.delete(f"loadbalancers/{lb['id']}")  # nothing is left in it


def test_status_statistics_failover(api, tree):
    path = tree.paths["loadbalancers"]
    status = api.request("GET", f"{path}/status").expect(200).json["statuses"]["loadbalancer"]
    assert status["listeners"][0]["pools"][0]["members"][0]["id"] == tree.member["id"]
    older = api.request("GET", f"{path}/statuses").expect(200).json["statuses"]["loadbalancer"]
    assert older["listeners"][0]["id"] == status["listeners"][0]["id"]
    numbers = {"bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors"}
    for each in (path, tree.paths["listeners"]):
        assert set(api.request("GET", f"{each}/stats").expect(200).json["stats"]) == numbers
    api.refused(404, f"Listener {UNKNOWN} not found.", "GET", f"listeners/{UNKNOWN}/stats")
    assert "does not support a requested action" in api.request("PUT", f"{path}/failover").expect(501).fault
    api.refused(404, f"Load Balancer {UNKNOWN} not found.", "PUT", f"loadbalancers/{UNKNOWN}/failover")


def test_lists_are_of_all_load_balancers(api, tree):
    other = api.load_balancer()
    listener, pool = api.listener(other, free_port()), api.pool(other)
    assert {tree.listener["id"], listener["id"]} <= set(ids(api.list("listeners")))
    assert {tree.pool["id"], pool["id"]} <= set(ids(api.list("pools")))
    assert ids(api.list(f"pools/{pool['id']}/members")) == []
    assert ids(api.list(f"pools/{tree.pool['id']}/members")) == [tree.member["id"]]
    assert api.request("DELETE", f"listeners/{listener['id']}").expect(204).headers["Amphorad-Apply"] == "reload"
    api.delete(f"loadbalancers/{other['id']}?cascade=true")
    assert listener["id"] not in ids(api.list("listeners"))


def test_the_other_door_sees_the_same(api):
    """A definition and single changes are one thing, revision after revision."""
    lb = api.load_balancer()
    listener = api.listener(lb, free_port(), name="l")
    definition = api.agent.definition(lb["id"])
    assert definition["listeners"][0]["id"] == listener["id"]
    assert "created_at" not in definition["listeners"][0]
    definition["listeners"][0]["name"] = "renamed"
    definition["pools"] = [{"name": "new", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}]
    api.agent.apply(lb["id"], {"loadbalancer": definition})
    changed = api.show(f"listeners/{listener['id']}")
    assert (changed["name"], changed["created_at"]) == ("renamed", listener["created_at"])
    assert changed["updated_at"]
    pool, = [each for each in api.list("pools") if each["name"] == "new"]
    assert pool["updated_at"] is None
    api.delete(f"pools/{pool['id']}")
    assert api.agent.definition(lb["id"])["pools"] == []
    api.delete(f"loadbalancers/{lb['id']}?cascade=true")


def test_what_haproxy_cannot_do_changes_nothing(api):
    """Two load balancers cannot have one port; the reply says which field."""
    a, b = api.load_balancer(), api.load_balancer()
    port = free_port()
    api.listener(a, port)
    fault = api.post("listeners", loadbalancer_id=b["id"], protocol="HTTP", protocol_port=port).expect(409).fault
    assert f"port {port} of 127.0.0.1 is taken by listener" in fault
    assert api.show(f"loadbalancers/{b['id']}")["listeners"] == []
    for each in (a, b):
        api.delete(f"loadbalancers/{each['id']}?cascade=true")
