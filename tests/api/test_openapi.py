# SPDX-License-Identifier: Apache-2.0
"""api/openapi.yaml says what the route table, the field tables and the running agent say."""

import copy
import re
import subprocess

import pytest

import contract
from amphora import BUILD, LBS, Agent, new_id

TABLES = BUILD / "print_tables"
DEFINITIONS = {
    "loadbalancer": "LoadBalancerDefinition",
    "additional_vip": "AdditionalVip",
    "stats_page": "StatsPage",
    "listener": "ListenerDefinition",
    "proxy_protocol": "ListenerProxyProtocol",
    "l7policy": "L7PolicyDefinition",
    "rule": "RuleDefinition",
    "pool": "PoolDefinition",
    "session_persistence": "SessionPersistence",
    "healthmonitor": "HealthMonitorDefinition",
    "member": "MemberDefinition",
}
# A pool that is only referred to has neither of them, so that the field table cannot require them (check_pool.c).
REQUIRED_OF_DEFINED = {"pool": {"protocol", "lb_algorithm"}}

pytestmark = pytest.mark.skipif(contract.MISSING is not None,
    reason=f"no Python module {contract.MISSING} (Debian packages python3-yaml, python3-jsonschema)")


@pytest.fixture(scope="module")
def tables():
    if not TABLES.exists():
        pytest.skip(f"{TABLES} is not built (make check builds it)")
    return contract.json.loads(subprocess.run([TABLES], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout)


@pytest.fixture(scope="module")
def api():
    return contract.contract()


@pytest.fixture(scope="module")
def running():
    with Agent().serving() as agent:
        yield agent


# The document itself


def test_document_is_sound(api):
    """Its schemas are schemas, its references lead somewhere, its ids are unique, nothing in it is unused."""
    ids = [operation.id for operation in api.operations]
    assert len(ids) == len(set(ids))
    for schema in api.document["components"]["schemas"].values():
        contract.jsonschema.Draft202012Validator.check_schema(schema)
    used = set()

    def walk(value):
        if isinstance(value, dict):
            if "$ref" in value:
                used.add("/".join(value["$ref"].split("/")[:4]))
                api.resolve(value)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
    walk(api.document)
    for kind, things in api.document["components"].items():
        assert {f"#/components/{kind}/{name}" for name in things} <= used
    for operation in api.operations:
        assert operation.value["summary"].endswith("."), operation
        assert set(operation.value["tags"]) <= {tag["name"] for tag in api.document["tags"]}, operation


def test_paths_are_the_route_table(api, tables):
    documented = {(operation.method, operation.path) for operation in api.operations}
    known = {(route["method"], route["path"]) for route in tables["routes"]}
    assert documented == known


def test_parameters_are_those_of_the_paths(api):
    for operation in api.operations:
        named = set(re.findall(r"{(\w+)}", operation.path))
        assert set(operation.parameters_in("path")) == named, operation
        assert all(p["required"] for p in operation.parameters_in("path").values()), operation


def test_bodies_are_those_of_the_route_table(api, tables):
    """What a route takes, what it says to another type, and in which door's words."""
    for route in tables["routes"]:
        operation = next(o for o in api.operations if (o.method, o.path) == (route["method"], route["path"]))
        kinds = set(operation.body.get("content", {}))
        assert (route["body"] == "none") == (not kinds), operation
        if route["body"] == "json":
            assert kinds == {"application/json"}, operation
        assert (415 in operation.responses) == (route["body"] in ("json", "pem")), operation
        assert (413 in operation.responses) == (route["body"] != "none"), operation
        error = {"lbaas": "Error", "amphora": "AmphoraError"}[route["style"]]
        assert {400, 503} <= set(operation.responses), operation
        for status, response in operation.responses.items():
            if status >= 400:
                assert response["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{error}"}, \
                    (operation, status)


# The field tables


def described(api, schema):
    """A property with what it refers to merged into it."""
    if "$ref" in schema:
        return {**api.resolve(schema), **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def check_string(schema, field):
    assert schema["type"] == "string"
    if "enum" in schema:
        assert all(field["minimum"] <= len(value) <= field["maximum"] for value in schema["enum"])
    else:
        assert schema.get("minLength", 0) == field["minimum"]
        assert schema["maxLength"] == field["maximum"]
    assert schema.get("default") == field["default"]


def check_integer(schema, field):
    assert schema["type"] == "integer"
    assert schema.get("minimum", min(schema.get("enum", [0]))) == field["minimum"]
    assert schema.get("maximum", max(schema.get("enum", [0]))) == field["maximum"]
    assert schema.get("default") == field["default"]


def check_list(schema, field):
    assert schema["type"] == "array"
    assert schema["maxItems"] == field["maximum"]


def check_field(api, schema, field, limits):
    kind = field["type"]
    reference, schema = schema.get("$ref", ""), described(api, schema)
    name = reference.rpartition("/")[2]
    if kind in ("own_id", "reference"):
        assert name == "Id"
    elif kind == "string":
        check_string(schema, field)
    elif kind == "address":
        assert name == "IpAddress"
    elif kind == "bool":
        assert schema["type"] == "boolean"
        assert schema.get("default") == field["default"]
    elif kind == "integer":
        check_integer(schema, field)
    elif kind == "enum":
        assert schema["type"] == "string" and schema["enum"] == field["choices"]
        assert schema.get("default") == field["default"]
    elif kind == "version":
        assert schema["enum"] == field["choices"] + [float(choice) for choice in field["choices"]]
    elif kind == "cidrs":
        check_list(schema, field)
        assert schema["items"] == {"$ref": "#/components/schemas/Cidr"}
    elif kind == "switches":
        assert list(schema["properties"]) == field["choices"] and schema["additionalProperties"] is False
        assert all(value == {"$ref": "#/components/schemas/Switch"} for value in schema["properties"].values())
    elif kind == "strings":
        check_list(schema, field)
        assert schema.get("minItems", 0) == field["minimum"] and schema["uniqueItems"]
        assert schema["items"].get("enum") == field["choices"]
    elif kind == "tags":
        assert schema["maxItems"] == limits["tags"] and schema["items"]["maxLength"] == limits["tag"]
    elif kind == "object":
        references = [name] if name else [option["$ref"].rpartition("/")[2] for option in schema["anyOf"]]
        assert references[0] == DEFINITIONS[field["object"]]
        assert references[1:] == (["PoolReference"] if field["transient"] else [])
    elif kind == "list":
        check_list(schema, field)
        assert schema["items"] == {"$ref": f"#/components/schemas/{DEFINITIONS[field['object']]}"}
    else:
        pytest.fail(f"fields of type {kind} are not known to this test")


def test_definitions_are_the_field_tables(api, tables):
    """Every object, every field, in the same order: type, limits, choices, default, whether it is required."""
    schemas = api.document["components"]["schemas"]
    assert set(tables["objects"]) == set(DEFINITIONS)
    for name, fields in tables["objects"].items():
        schema = schemas[DEFINITIONS[name]]
        fields = {field: row for field, row in fields.items() if not row["stored"]}
        assert list(schema["properties"]) == list(fields), name
        assert schema["additionalProperties"] is False
        required = {field for field, row in fields.items() if row["required"]} | REQUIRED_OF_DEFINED.get(name, set())
        assert set(schema.get("required", [])) == required, name
        for field, row in fields.items():
            try:
                check_field(api, schema["properties"][field], row, tables["limits"])
                # The children of an object have routes of their own.
                assert schema["properties"][field].get("x-immutable", False) == (row["fixed"] and not row["child"])
            except (AssertionError, KeyError) as error:
                pytest.fail(f"{name}.{field}: {error!r}: openapi.yaml has {schema['properties'][field]}, the table {row}")


def test_pool_reference(api):
    schemas = api.document["components"]["schemas"]
    pool, reference = schemas["PoolDefinition"]["properties"], schemas["PoolReference"]["properties"]
    assert {name: pool[name].get("maxLength") for name in reference} == \
        {name: value.get("maxLength") for name, value in reference.items()}


# What the routes of single objects take and give. Beyond the fields of the tables:
KINDS = {
    "loadbalancer": "LoadBalancer",
    "listener": "Listener",
    "pool": "Pool",
    "member": "Member",
    "healthmonitor": "HealthMonitor",
    "l7policy": "L7Policy",
    "rule": "Rule",
}
STATUSES = {"project_id", "tenant_id", "provisioning_status", "operating_status", "created_at", "updated_at"}
SHOWN = {
    "loadbalancer": {"vip_vnic_type", "revision", "trouble"},
    "listener": {"loadbalancers"},
    "pool": {"loadbalancers", "listeners", "healthmonitor_id"},
    "member": {"vnic_type"},
    "healthmonitor": {"pools"},
    "l7policy": {"listener_id"},
    "rule": set(),
}
HIDDEN = {"pool": {"healthmonitor"}, "member": {"request_sriov"}}
PARENTS = {
    "listener": {"loadbalancer_id"},
    "pool": {"loadbalancer_id", "listener_id"},
    "healthmonitor": {"pool_id"},
    "l7policy": {"listener_id"},
}


def check_same_properties(api, name, kind, fields):
    """What is there of the definition refers to it, so that types and limits are said once."""
    properties = api.document["components"]["schemas"][name]["properties"]
    for field in set(fields) & set(properties):
        if fields[field]["type"] in ("object", "list", "version", "time"):
            continue
        options = properties[field].get("anyOf", [properties[field]])
        assert options[0] == {"$ref": f"#/components/schemas/{DEFINITIONS[kind]}/properties/{field}"}, (name, field)
        assert options[1:] in ([], [{"type": "null"}], [{"$ref": "#/components/schemas/Nothing"}]), (name, field)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_the_field_tables(api, tables, kind):
    schemas, fields = api.document["components"]["schemas"], tables["objects"][kind]
    shown = {field for field, row in fields.items() if not row["transient"]} - HIDDEN.get(kind, set())
    new = {field for field, row in fields.items() if not row["stored"]}
    changed = {field for field, row in fields.items() if not (row["fixed"] or row["stored"] or row["transient"])}
    wanted = {
        KINDS[kind]: shown | STATUSES | SHOWN[kind],
        f"New{KINDS[kind]}": new | {"project_id", "tenant_id"} | PARENTS.get(kind, set()),
        f"Changed{KINDS[kind]}": changed,
    }
    for name, properties in wanted.items():
        assert set(schemas[name]["properties"]) == properties, name
        assert schemas[name]["additionalProperties"] is False
        check_same_properties(api, name, kind, fields)
    assert set(schemas[KINDS[kind]]["required"]) == wanted[KINDS[kind]]
    assert "required" not in schemas[f"Changed{KINDS[kind]}"]
    required = {field for field, row in fields.items() if row["required"]} | REQUIRED_OF_DEFINED.get(kind, set())
    # One of a pool's two parents; what a policy does is said by where it redirects to.
    assert set(schemas[f"New{KINDS[kind]}"].get("required", [])) == \
        (required | PARENTS.get(kind, set()) if kind != "pool" else required) - ({"action"} if kind == "l7policy" else set())


@pytest.mark.parametrize("schema, field, wrong", [("LoadBalancerDefinition", "provider", "haproxy"),
    ("HealthMonitorDefinition", "http_method", "get")])
def test_choices_that_are_no_table(running, api, schema, field, wrong):
    """Strings of which the agent knows a few, by a function of its own."""
    def answer(value):
        monitor = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
        pool = {"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "healthmonitor": monitor}
        body = {"loadbalancer": {"name": "choices", "pools": [pool]}}
        (monitor if field == "http_method" else body["loadbalancer"])[field] = value
        return running.put(new_id(), body, "?dry_run=true")
    choices = api.document["components"]["schemas"][schema]["properties"][field]["enum"]
    for choice in choices:
        answer(choice).expect(200)
    fault = answer(wrong).expect(400).fault
    assert fault.endswith("must be one of " + ", ".join(choices)), fault


# The comparison sees a difference


def broken(api, change):
    changed = copy.deepcopy(api.document["components"]["schemas"]["MemberDefinition"])
    change(changed["properties"])
    return changed["properties"]


@pytest.mark.parametrize("change", [
    lambda fields: fields["weight"].update(maximum=255),
    lambda fields: fields["weight"].update(default=2),
    lambda fields: fields["name"].update(maxLength=64),
    lambda fields: fields["backup"].pop("default"),
    lambda fields: fields["address"].update({"$ref": "#/components/schemas/Id"}),
    lambda fields: fields["monitor_port"].update(default=0),
])
def test_comparison_sees_a_difference(api, tables, change):
    fields = broken(api, change)
    with pytest.raises((AssertionError, KeyError)):
        for name, row in tables["objects"]["member"].items():
            if not row["stored"]:
                check_field(api, fields[name], row, tables["limits"])


class Answer:
    """A reply as check() sees it."""

    def __init__(self, status, body, **headers):
        self.status = status
        self.body = contract.json.dumps(body).encode() if body is not None else b""
        self.headers = {"Content-Type": "application/json", "x-openstack-request-id": f"req-{new_id()}",
            **{name.replace("_", "-"): value for name, value in headers.items()}}


ERROR = {"faultcode": "Client", "faultstring": "x", "debuginfo": None}


@pytest.mark.parametrize("method, path, answer, words", [
    ("GET", "/healthz", Answer(200, {"status": "ok"}), None),
    ("GET", "//healthz/?x=1", Answer(200, {"status": "ok"}), None),
    ("GET", "/healthz", Answer(200, {"status": "fine"}), "'ok' was expected"),
    ("GET", "/healthz", Answer(202, {"status": "ok"}), "202 is not in openapi.yaml"),
    ("GET", "/healthz", Answer(200, {"status": "ok"}, ETag='"1"'), "does not tell of the header ETag"),
    ("GET", "/nothing", Answer(200, {}), "not in openapi.yaml"),
    ("GET", "/nothing", Answer(404, ERROR), None),
    ("GET", LBS + "/x", Answer(404, ERROR), None),
    ("GET", "/v2.0/lbaas/loadbalancers/x", Answer(404, ERROR), None),
    ("GET", "/v2/loadbalancers/x", Answer(404, ERROR), None),
    ("GET", "/v2/loadbalancers/x", Answer(202, {}), "202 is not in openapi.yaml"),
    ("GET", "/v2/octavia/loadbalancers/x", Answer(200, {}), "a path that is not in openapi.yaml"),
    ("GET", "/v2/lbaas/certificates/%2e%2e", Answer(404, ERROR), None),
    ("GET", LBS + "/x", Answer(404, {"message": "x"}), "not as openapi.yaml has it"),
    ("GET", LBS + "/x", Answer(404, {**ERROR, "more": 1}), "not as openapi.yaml has it"),
    ("GET", LBS + "/x/definition", Answer(200, {"loadbalancer": {}}), "lacks the header ETag"),
    ("GET", LBS + "/x/definition", Answer(200, {"loadbalancer": {}}, ETag='"a"'), "header ETag"),
    ("GET", LBS + "/x/definition", Answer(200, {"loadbalancer": {}}, ETag='"1"'), None),
    ("GET", LBS + "/x/definition", Answer(200, {"loadbalancer": {"id": "x"}}, ETag='"1"'), "/loadbalancer/id"),
    ("GET", LBS + "/x/definition", Answer(200, {"loadbalancer": {"vip_address": "1.2.3"}}, ETag='"1"'), "vip_address"),
    ("PATCH", "/healthz", Answer(405, ERROR, Allow="GET, HEAD"), None),
    ("PATCH", "/healthz", Answer(405, ERROR, Allow="GET, PATCH"), "Allow"),
    ("DELETE", LBS + "/x/definition", Answer(204, None, Amphorad_Apply="stop"), None),
    ("DELETE", LBS + "/x/definition", Answer(204, {}, Amphorad_Apply="stop"), "has a body"),
])
def test_judge(api, method, path, answer, words):
    """What check() lets through and what not."""
    if words is None:
        api.check(method, path, answer)
        return
    with pytest.raises(AssertionError, match=re.escape(words)):
        api.check(method, path, answer)


# The running agent


def test_served(running):
    """The document is the one of the sources, with a tag that saves a second transfer; HEAD is as elsewhere."""
    reply = running.get("/openapi.yaml").expect(200)
    assert reply.body == contract.FILE.read_bytes()
    assert reply.headers["Content-Type"] == "application/yaml"
    tag = reply.headers["ETag"]
    for header in (tag, "*", f'"other", W/{tag}'):
        again = running.get("/openapi.yaml", headers={"If-None-Match": header}).expect(304)
        assert again.headers["ETag"] == tag and not again.body
    running.get("/openapi.yaml", headers={"If-None-Match": '"other"'}).expect(200)
    head = running.request("HEAD", "/openapi.yaml").expect(200)
    assert head.headers["Content-Length"] == str(len(reply.body)) and not head.body


CREATE = ["createLoadBalancer", "createPool", "createListener", "createMember", "createHealthMonitor", "createL7Policy",
    "createRule"]
CHANGE = ["updateLoadBalancer", "updatePool", "updateListener", "updateMember", "updateHealthMonitor", "updateL7Policy",
    "updateRule"]
DELETE = ["deleteRule", "deleteL7Policy", "deleteHealthMonitor", "deleteMember", "deleteListener", "deletePool",
    "deleteLoadBalancer"]


def target_of(operation, **more):
    """The path of an operation with the examples of its parameters."""
    path = operation.path
    for name, parameter in operation.parameters_in("path").items():
        path = path.replace("{%s}" % name, str(more.get(name) or parameter["example"]))
    return path


class Examples:
    """Sends operations in the words of their examples, and remembers which had a good answer."""

    def __init__(self, agent, api):
        self.agent, self.api = agent, api
        self.operations = {operation.id: operation for operation in api.operations}
        self.good = set()

    def send(self, operation_id, body=None, headers=None, /, **parameters):
        operation = self.operations[operation_id]
        reply = self.agent.request(operation.method, target_of(operation, **parameters), body, headers=headers)
        self.good.add(operation_id)
        return reply.expect(200, 201, 202, 204)

    def send_all(self, name, **parameters):
        """All examples of the body, in their order."""
        content = self.operations[name].body["content"]["application/json"]
        replies = []
        for example in content["examples"].values():
            assert self.api.errors(content["schema"], example["value"]) is None, name
            replies.append(self.send(name, example["value"], **parameters))
        return replies


def test_every_operation_has_a_good_answer(running, api):
    """Objects are made, shown, changed and deleted one after the other, and each is what it says."""
    pki = pytest.importorskip("pki")
    examples = Examples(running, api)
    made = {name: examples.send_all(name) for name in CREATE}
    examples.send("putCertificate", pki.Authority("root").issue("a.example").pem, {"Content-Type": "application/x-pem-file"},
        name="example")
    for name in [*CHANGE, "putMembers"]:
        examples.send_all(name)
    lb_id = examples.operations["getLoadBalancer"].parameters_in("path")["loadbalancer_id"]["example"]
    known = {
        "amphora_id": running.get("/v2/octavia/amphorae").json["amphorae"][0]["id"],
        "name": "example",
        "revision": running.get(f"{LBS}/{lb_id}/revisions").json["revisions"][-1]["revision"],
    }
    offered = {operation.id: operation for operation in api.operations
        if not operation.path.startswith("/1.0") and min(operation.responses) < 300}
    for name, operation in offered.items():
        if operation.method == "GET":
            examples.send(name, **known).expect(200)
    examples.send("postRollback", {})
    examples.send("postRollback")
    for name in [*DELETE[:-1], "deleteCertificate"]:
        examples.send(name, **known)
    examples.send("putDefinition", {"loadbalancer": {"name": "last"}})
    examples.send("deleteDefinition")
    examples.send("deleteLoadBalancer", loadbalancer_id=made["createLoadBalancer"][1].json["loadbalancer"]["id"] + "?cascade=true")
    assert running.get(LBS).json["loadbalancers"] == []
    assert examples.good == set(offered)


def test_what_is_not_offered(running, api):
    """Operations without a good answer: 404 or 501, as they say."""
    own_id = running.get("/v2/octavia/amphorae").json["amphorae"][0]["id"]
    lb_id = running.request("POST", LBS, {"loadbalancer": {"name": "x"}}).expect(201).json["loadbalancer"]["id"]
    refused = [operation for operation in api.operations if min(operation.responses) >= 400]
    assert refused
    for operation in refused:
        status = 501 if 501 in operation.responses else 404
        body = {} if operation.body else None
        running.request(operation.method, target_of(operation, amphora_id=own_id, loadbalancer_id=lb_id), body).expect(status)
    running.request("DELETE", f"{LBS}/{lb_id}").expect(204)


def test_examples_of_definitions(running, api):
    """Each is applied, is answered as its schema says, comes back as it is stored, and goes again."""
    operation = next(o for o in api.operations if o.id == "putDefinition")
    content = operation.body["content"]["application/json"]
    assert content["examples"]
    for name, example in content["examples"].items():
        assert api.errors(content["schema"], example["value"]) is None, name
        lb_id = new_id()
        running.apply(lb_id, example["value"], "?dry_run=true")
        running.apply(lb_id, example["value"])
        stored = running.definition(lb_id)
        assert running.apply(lb_id, {"loadbalancer": stored})["apply"]["action"] == "none", name
        running.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)
