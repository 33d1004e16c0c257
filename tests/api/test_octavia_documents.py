# SPDX-License-Identifier: Apache-2.0
"""Documents as clients of Octavia's API send them: every field of every object, numbers as strings, nulls and empty lists."""

import copy
import json

import pytest

from amphora import document, listener, member, new_id, pool
from clients import server_of
from pki import Authority, put_certificate
from processes import free_port

PREFIX = "http://198.51.100.10:9311/v1/containers/"
WEB, SNI, USERS, REVOKED, CLIENT, MEMBERS = (f"a570068c-d295-4780-91d4-3046a325db5{n}" for n in range(6))


@pytest.fixture
def certificates(agent):
    ca = Authority("a CA")
    for name in (WEB, SNI, CLIENT):
        put_certificate(agent, name, ca.issue("a.example").pem).expect(201)
    for name in (USERS, MEMBERS):
        put_certificate(agent, name, ca.pem).expect(201)
    put_certificate(agent, REVOKED, ca.revoke()).expect(201)


def rule(**fields):
    return {"compare_type": "REGEX", "invert": False, "type": "PATH", "value": "/images*", "admin_state_up": True,
        "tags": ["test_tag"], **fields}


def everything(port, *more_ports):
    """Every field that the API reference has for a load balancer and what is within it."""
    health = {"name": "a monitor", "admin_state_up": True, "delay": "10", "expected_codes": "200", "max_retries": "1",
        "http_method": "GET", "timeout": "5", "url_path": "/", "type": "HTTP", "max_retries_down": 3, "tags": ["test_tag"],
        "http_version": 1.1, "domain_name": "testlab.com"}
    server = {"name": "web-server-1", "weight": "20", "admin_state_up": True, "backup": False,
        "subnet_id": "bbb35f84-35cc-4b2f-84c2-a6a29bba68aa", "address": "127.0.0.1", "protocol_port": str(port),
        "monitor_port": 8080, "monitor_address": "127.0.0.2", "request_sriov": False, "tags": ["test_tag"]}
    web = {"lb_algorithm": "ROUND_ROBIN", "protocol": "HTTP", "description": "Round Robin", "admin_state_up": True,
        "session_persistence": {"cookie_name": "ChocolateChip", "type": "APP_COOKIE"}, "name": "super-pool",
        "tags": ["test_tag"], "tls_container_ref": PREFIX + CLIENT, "ca_tls_container_ref": PREFIX + MEMBERS,
        "crl_container_ref": PREFIX + REVOKED, "tls_enabled": True,
        "tls_ciphers": "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "tls_versions": ["TLSv1.2", "TLSv1.3"],
        "alpn_protocols": ["http/1.1", "http/1.0"], "healthmonitor": health, "members": [server]}
    policies = [
        {"description": "Redirect requests to example.com", "admin_state_up": True, "redirect_url": "http://www.example.com",
            "redirect_http_code": 301, "name": "redirect-example.com", "action": "REDIRECT_TO_URL", "position": "1",
            "tags": ["test_tag"], "rules": [rule(), rule(type="COOKIE", key="a", value="b", compare_type="EQUAL_TO")]},
        {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://www.example.com", "redirect_http_code": "308",
            "rules": [rule(type="SSL_DN_FIELD", key="CN", value="x", compare_type="CONTAINS", invert="true")]},
        {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "super-pool"}, "rules": [rule()]},
        {"action": "REDIRECT_TO_POOL", "rules": [rule()], "redirect_pool":
            {"name": "another", "protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS", "members": []}},
        {"action": "REJECT", "rules": [rule(type="SSL_CONN_HAS_CERT", value="True", compare_type="EQUAL_TO")]},
    ]
    tls = {"protocol": "TERMINATED_HTTPS", "description": "A great TLS listener", "admin_state_up": True,
        "connection_limit": "200", "protocol_port": str(more_ports[0]), "name": "great_tls_listener",
        "insert_headers": {"X-Forwarded-For": "true", "X-Forwarded-Port": True, "X-SSL-Client-CN": "false"},
        "default_tls_container_ref": PREFIX + WEB, "sni_container_refs": [PREFIX + WEB, PREFIX + SNI],
        "timeout_client_data": 50000, "timeout_member_connect": "5000", "timeout_member_data": 50000,
        "timeout_tcp_inspect": 0, "tags": ["test_tag"], "client_ca_tls_container_ref": PREFIX + USERS,
        "client_authentication": "MANDATORY", "client_crl_container_ref": PREFIX + REVOKED,
        "allowed_cidrs": ["192.0.2.0/24", "198.51.100.0/24"],
        "tls_ciphers": "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "tls_versions": ["TLSv1.2", "TLSv1.3"],
        "alpn_protocols": ["http/1.1", "http/1.0"], "hsts_include_subdomains": True, "hsts_max_age": "31536000",
        "hsts_preload": True, "default_pool": web, "l7policies": policies}
    by_name = {"name": "tcp", "protocol": "TCP", "protocol_port": more_ports[1], "default_pool": {"name": "tcp_pool"},
        "proxy_protocol": {"accept": True, "trusted_cidrs": ["127.0.0.0/8"], "header_timeout_ms": "3000"}}
    proxied = {"name": "tcp_pool", "protocol": "PROXYV2", "lb_algorithm": "SOURCE_IP",
        "proxy_protocol_options": ["crc32c", "unique-id"], "session_persistence": {"type": "SOURCE_IP"},
        "healthmonitor": {"type": "TCP", "delay": "3", "max_retries": 2, "timeout": 1, "proxy_protocol": "on"},
        "members": [{"address": "192.0.2.51", "protocol_port": 80}]}
    return {"loadbalancer": {"description": "My favorite load balancer", "admin_state_up": True,
        "project_id": "e3cd678b11784734bc366148aa37580e", "flavor_id": "", "vip_address": "127.0.0.1",
        "vip_subnet_id": "d4af86e1-0051-488c-b7a0-527f97490c9a", "vip_network_id": "d4af86e1-0051-488c-b7a0-527f97490c9b",
        "vip_port_id": "d4af86e1-0051-488c-b7a0-527f97490c9c", "vip_sg_ids": [], "provider": "octavia",
        "additional_vips": [{"subnet_id": "3ca40b2e-c286-4e53-bdb9-dd01c8a0ad6d", "ip_address": "127.0.0.3",
            "port_id": "3ca40b2e-c286-4e53-bdb9-dd01c8a0ad6e"}],
        "vip_qos_policy_id": "ec4f78ca-8da8-4e99-8a1a-e3b94595a7a3", "availability_zone": "my_az", "tags": ["test_tag"],
        "name": "best_load_balancer", "hard_stop_after_s": "600", "max_old_workers": "4",
        "stats_page": {"address": "127.0.0.1", "port": str(more_ports[2]), "uri": "/stats", "username": "ops",
            "password_hash": "$5$rounds=1000$salt$0123456789012345678901234567890123456789012"},
        "listeners": [tls, by_name], "pools": [proxied]}}


@pytest.fixture
def whole(certificates):
    return everything(*(free_port() for _ in range(4)))


def number(text):
    return int(text) if isinstance(text, str) and text.isdigit() else text


def same(sent, got, place=""):
    """Everything that was sent is there, numbers as numbers; what was added is none of our business."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            same(value, got.get(name), f"{place}/{name}")
    elif isinstance(sent, list) and sent and isinstance(sent[0], dict):
        assert len(sent) == len(got), place
        for index, value in enumerate(sent):
            same(value, got[index], f"{place}/{index}")
    elif "insert_headers" in place:
        assert got == str(sent).lower(), place
    elif "http_version" in place:
        assert float(got) == float(sent), place
    elif "invert" in place:
        assert got is (str(sent).lower() == "true"), place
    elif place.endswith(("vip_sg_ids", "flavor_id")):
        assert not got, place
    else:
        wanted = sent if place.endswith("expected_codes") else number(sent)
        assert got == wanted and isinstance(got, type(wanted)), (place, sent, got)


def flat(sent, got):
    """The pools of a stored definition stand in one list; those of what was sent, where they are used."""
    by_name = {each["name"]: each for each in got["pools"]}
    for given, stored in zip(sent["listeners"], got["listeners"]):
        default = given.pop("default_pool")
        assert stored["default_pool_id"] == by_name[default["name"]]["id"]
        if len(default) > 1:
            same(default, by_name[default["name"]], "pool")
        for policy, kept in zip(given.get("l7policies", []), stored.get("l7policies", [])):
            wanted = policy.pop("redirect_pool", None)
            if wanted:
                assert kept["redirect_pool_id"] == by_name[wanted["name"]]["id"]
    for each in sent.pop("pools"):
        same(each, by_name[each["name"]], "pool")


def test_everything_is_taken_applied_and_kept(agent, whole):
    lb_id = new_id()
    agent.apply(lb_id, whole)
    assert agent.haproxy_pid(lb_id)
    sent, got = whole["loadbalancer"], agent.definition(lb_id)
    assert [p["position"] for p in got["listeners"][0]["l7policies"]] == [1, 2, 3, 4, 5]
    assert got["listeners"][0]["l7policies"][0]["redirect_url"] == "http://www.example.com"
    flat(sent, got)
    assert sent["stats_page"].pop("password_hash") and "password_hash" not in got["stats_page"]
    same(sent, got)
    assert agent.put(lb_id, {"loadbalancer": got}).expect(200).headers["Amphorad-Apply"] == "none"


# What may be left out, and so may be null.
REQUIRED = {"vip_address", "protocol", "protocol_port", "lb_algorithm", "address", "ip_address", "type", "delay", "timeout", "max_retries",
    "action", "compare_type", "value", "accept", "port"}


def without(value, null):
    """The document with every field null that may be left out, or without it."""
    if isinstance(value, list):
        return [without(item, null) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: without(item, null) for name, item in value.items()
        if name in REQUIRED or name in ("listeners", "default_pool", "members", "healthmonitor", "name", "loadbalancer")}
    return dict(dict.fromkeys(value), **kept) if null else kept


def test_null_is_the_same_as_absent(agent, whole):
    whole["loadbalancer"]["listeners"][0].update(protocol="HTTP")
    del whole["loadbalancer"]["listeners"][0]["default_pool"]["members"][0]["name"]
    absent, null = without(whole, False), without(whole, True)
    for each in (absent, null):
        each["loadbalancer"]["listeners"][1]["default_pool"] = {"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    assert "null" in json.dumps(null) and "null" not in json.dumps(absent)
    lb_id = new_id()
    agent.apply(lb_id, absent)
    wanted = agent.definition(lb_id)
    assert agent.put(lb_id, null).expect(200).headers["Amphorad-Apply"] == "none"
    assert agent.definition(lb_id) == wanted


def test_empty_lists_and_objects(agent, origins):
    origin, port, lb_id = origins("web"), free_port(), new_id()
    empty = {"id": new_id(), "name": "", "description": "", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [],
        "tags": [], "healthmonitor": None, "session_persistence": None, "tls_container_ref": "", "tls_ciphers": "",
        "ca_tls_container_ref": "", "crl_container_ref": ""}
    agent.apply(lb_id, document(listener(port, pool([dict(member(origin.port), subnet_id="", tags=[])]), description="",
        insert_headers={}, l7policies=[], sni_container_refs=[], allowed_cidrs=[], tags=[], default_tls_container_ref="",
        client_ca_tls_container_ref="", client_crl_container_ref="", tls_ciphers=""),
        listener(free_port(), l7policies=[{"action": "REJECT", "rules": [], "tags": [], "name": ""}]),
        pools=[empty], additional_vips=[], vip_sg_ids=[], tags=[], description="", vip_port_id="", vip_subnet_id="",
        vip_network_id="", vip_qos_policy_id="", availability_zone=""))
    assert server_of(port) == "web"
    assert agent.put(new_id(), {"loadbalancer": {"vip_address": "127.0.0.1", "listeners": [], "pools": []}}).expect(201)


def places(value, path=""):
    """Where there is a value that is neither an object nor a list of objects."""
    if isinstance(value, dict):
        return [place for name, item in value.items() for place in places(item, f"{path}/{name}")]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [place for n, item in enumerate(value) for place in places(item, f"{path}/{n}")]
    return [path]


def put_at(body, place, value):
    *path, last = place.strip("/").split("/")
    for step in path:
        body = body[int(step)] if isinstance(body, list) else body[step]
    body[last] = value


def test_errors_name_the_field(agent, whole):
    """Each of the fields in its turn is something that no field is."""
    lb_id = new_id()
    found = places(whole)
    assert len(found) > 120
    for place in found:
        body = copy.deepcopy(whole)
        put_at(body, place, {"x": {"y": 1}})
        fault = agent.put(lb_id, body).expect(400).fault
        assert fault.startswith(place), (place, fault)
        *parent, _ = place.split("/")
        body = copy.deepcopy(whole)
        put_at(body, "/".join([*parent, "unheard_of"]), 1)
        if not place.endswith(tuple(f"insert_headers/{name}" for name in whole["loadbalancer"]["listeners"][0]["insert_headers"])):
            assert agent.put(lb_id, body).expect(400).fault.startswith("/".join([*parent, "unheard_of"]))
    agent.get(f"/v2/lbaas/loadbalancers/{lb_id}/definition").expect(404)


@pytest.mark.parametrize("written", ["D4AF86E1-0051-488C-B7A0-527F97490C9A", "d4af86e10051488cb7a0527f97490c9a"])
def test_uuids_as_python_reads_them(agent, written):
    """Octavia's API takes what uuid.UUID() takes."""
    canonical, lb_id = "d4af86e1-0051-488c-b7a0-527f97490c9a", new_id()
    agent.apply(lb_id, document(listener(free_port(), default_pool_id=written), vip_subnet_id=written,
        pools=[dict(pool([]), id=canonical)]))
    got = agent.definition(lb_id)
    assert got["vip_subnet_id"] == canonical and got["listeners"][0]["default_pool_id"] == canonical
