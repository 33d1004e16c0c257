# SPDX-License-Identifier: Apache-2.0
"""Requests out of api/openapi.yaml, for hypothesis: good ones by the schemas, and the same with something wrong in them."""

import json
import string
import urllib.parse

from hypothesis import strategies as st

# What has to be so for HAProxy to run it on whatever machine this is: addresses of the loopback network. Ports are drawn
# from all; another program on the same address has few.
ADDRESSES = {
    "vip_address": st.sampled_from(["127.91.0.1", "127.91.0.2"]),
    "ip_address": st.sampled_from(["127.91.0.3", "127.91.0.4"]),
}
# keepalived and IPVS are not everywhere.
WITHOUT_LVS = {"UDP", "SCTP"}
# Not a word of what the schemas have, but what such things are often written like, and what breaks programs.
HOSTILE = st.one_of(
    st.sampled_from([None, True, -1, 0, 2 ** 31, 2 ** 63 - 1, 2 ** 63, -2 ** 63 - 1, 1e308, 0.5, "", " ", "0", "null", "true",
        "\u0000", "a\nbind :1", "x" * 300, "é" * 256, "\ud7ff", "../..", "%s%n", "' \" \\ #", "1.2.3.4/33", "::1%lo", [], {},
        [[]], {"": {}}, ["x"] * 60, {"id": None}]),
    st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False))


class Generator:
    def __init__(self, contract):
        self.contract = contract
        self.known = {}

    def values(self, schema, name=None):
        """Of a property "name", if it is one."""
        if name in ADDRESSES:
            return ADDRESSES[name]
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if reference is None:
            return self.of_schema(schema, name)
        if reference not in self.known:
            target = self.contract.resolve(schema)
            self.known[reference] = st.deferred(lambda: self.of_schema(target, reference.rpartition("/")[2]))
        return self.known[reference]

    def of_schema(self, schema, name):
        if schema is True:
            return st.one_of(st.none(), st.just({}), st.just("x"))
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from([value for value in schema["enum"] if value not in WITHOUT_LVS])
        if "anyOf" in schema and "properties" in schema:
            whole = {key: value for key, value in schema.items() if key != "anyOf"}
            return st.one_of([self.of_object({**whole, "required": whole.get("required", []) + option["required"]})
                for option in schema["anyOf"]])
        if "anyOf" in schema:
            options = schema["anyOf"]
            if all("format" in option for option in options):
                return st.sampled_from(["127.0.0.1", "192.0.2.7", "2001:db8::7"])
            return st.one_of([self.values(option, name) for option in options])
        kind = schema["type"]
        if isinstance(kind, list):
            return st.one_of([self.of_schema({**schema, "type": one}, name) for one in kind])
        return getattr(self, f"of_{kind}")(schema)

    @staticmethod
    def of_null(unused):
        return st.none()

    @staticmethod
    def of_boolean(unused):
        return st.sampled_from([True, False, "true", "False"])

    @staticmethod
    def of_integer(schema):
        low, high = schema.get("minimum"), schema.get("maximum")
        edges = [value for value in (low, high, schema.get("default")) if value is not None]
        numbers = st.integers(low, high)
        if edges:
            numbers = st.one_of(numbers, st.sampled_from(edges))
        return st.one_of(numbers, numbers.map(str))

    of_number = of_integer

    @staticmethod
    def of_string(schema):
        if schema.get("format") == "uuid":
            return st.uuids().map(str)
        if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True).filter(
                lambda value: len(value) <= schema.get("maxLength", 200) and "\n" not in value)
        letters = st.characters(blacklist_categories=("Cs", "Cc"))
        return st.one_of(st.text(string.ascii_letters + string.digits + "-_./ ", min_size=schema.get("minLength", 0),
            max_size=min(schema.get("maxLength", 40), 40)), st.text(letters, min_size=schema.get("minLength", 0),
            max_size=min(schema.get("maxLength", 20), 20)))

    def of_array(self, schema):
        if schema.get("maxItems") == 0:
            return st.just([])
        return st.lists(self.values(schema["items"]), min_size=schema.get("minItems", 0),
            max_size=min(schema.get("maxItems", 3), 3), unique_by=json.dumps if schema.get("uniqueItems") else None)

    def of_object(self, schema):
        properties = schema.get("properties", {})
        required = set(schema.get("required", []))
        # Not too much at once: the more there is, the more often one thing excludes another.
        return st.sets(st.sampled_from(sorted(properties)), max_size=6).flatmap(lambda chosen: st.fixed_dictionaries(
            {name: self.values(properties[name], name) for name in sorted(chosen | required)})) if properties else st.just({})


def places(value, path=()):
    """Where something stands in a document."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@st.composite
def spoiled(draw, values):
    """A document with something wrong in it: another value, one member less, one more."""
    value = draw(values)
    path = draw(st.sampled_from(list(places(value))))
    kind = draw(st.sampled_from(["replace", "remove", "add"]))
    if kind == "replace" or not path:
        return replaced(value, path, draw(HOSTILE))
    target = value
    for step in path[:-1]:
        target = target[step]
    copy = dict(target) if isinstance(target, dict) else list(target)
    if kind == "remove":
        del copy[path[-1]]
    elif isinstance(copy, dict):
        copy[draw(st.sampled_from(["", "x", "id", "members", "created_at", "tenant_id", "a/b~c"]))] = draw(HOSTILE)
    else:
        copy += [draw(HOSTILE)]
    return replaced(value, path[:-1], copy)


BYTES = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"{", b"[" * 100, b'{"a":1,"a":2}', b"\xff\xfe", b"null", b"0",
    b'{"loadbalancer":{"name":"\\ud800"}}', b'{"pool":{"name":"\\u0000"}}', b"{}" * 2]))
WORDS = st.one_of(st.sampled_from(["", ".", "x", "..", "%2e%2e", "%00", "%", "%zz", "a%2fb", "x" * 300, "%ff", "0", "-1",
    "00000000-0000-0000-0000-000000000000"]), st.text(max_size=8).map(lambda text: urllib.parse.quote(text, safe="")))


class Requests:
    """Whole requests: (method, path with query, headers, body)."""

    def __init__(self, contract):
        self.contract = contract
        self.generator = Generator(contract)

    def of(self, operation):
        return st.tuples(st.just(operation.method), self.target(operation), self.headers(operation), self.body(operation))

    def target(self, operation):
        parts = []
        for part in operation.path.split("/"):
            if not part.startswith("{"):
                parts.append(st.just(part))
                continue
            parameter = operation.parameters_in("path")[part[1:-1]]
            good = self.generator.values(parameter["schema"]).map(lambda value: urllib.parse.quote(str(value), safe=""))
            known = st.just(str(parameter["example"])) if "example" in parameter else good
            # Mostly what there is, so that more is reached than the first check.
            parts.append(st.one_of(known, known, known, known, good, WORDS))
        return st.tuples(st.tuples(*parts).map("/".join), self.query(operation)).map(
            lambda pair: pair[0] + (f"?{pair[1]}" if pair[1] else ""))

    def query(self, operation):
        pairs = [st.tuples(st.just("x"), WORDS)]
        for name, parameter in operation.parameters_in("query").items():
            schema = parameter["schema"]
            if schema["type"] == "object":
                pairs.append(st.tuples(st.sampled_from(["name", "id", "admin_state_up", "weight", "listeners", "tags"]), WORDS))
            elif schema["type"] == "array":
                pairs.append(st.tuples(st.just(name), st.sampled_from(["id", "name,id", "", "nothing"])))
            else:
                good = self.generator.values(schema).map(lambda value: urllib.parse.quote(str(value), safe=""))
                pairs.append(st.tuples(st.just(name), st.one_of(good, good, good, WORDS)))
        # Most requests have none.
        return st.one_of(st.just([]), st.lists(st.one_of(pairs), max_size=3)).map(
            lambda chosen: "&".join(f"{name}={value}" for name, value in chosen))

    @staticmethod
    def headers(operation):
        more = [st.just({}), st.just({})]
        if "If-Match" in operation.parameters_in("header"):
            more.append(st.sampled_from(["*", '"1"', '"7"', "1", '"', "x", '"1", "2"']).map(lambda value: {"If-Match": value}))
        if operation.body:
            more.append(st.sampled_from(["application/json; charset=utf-8", "text/html", "", "x"]).map(
                lambda value: {"Content-Type": value}))
        return st.one_of(more)

    def body(self, operation):
        if not operation.body:
            return st.one_of([st.none()] * 5 + [st.just(b"{}")])
        content = operation.body["content"]
        if "application/json" not in content:
            return BYTES
        values = self.generator.values(content["application/json"]["schema"])
        examples = [example["value"] for example in content["application/json"].get("examples", {}).values()]
        values = st.one_of([values, values] + [st.just(example) for example in examples])
        as_bytes = st.one_of(values, values, spoiled(values)).map(lambda value: json.dumps(value).encode())
        return st.one_of([as_bytes] * 6 + [BYTES])
