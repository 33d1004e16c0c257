# SPDX-License-Identifier: Apache-2.0
"""api/openapi.yaml as a judge: every reply that a black-box test gets is held against it (amphora.Agent.request())."""

import functools
import json
import os
import pathlib
import re
import threading
import urllib.parse

try:
    import jsonschema
    import yaml
except ImportError as error:  # python3-yaml, python3-jsonschema
    MISSING = error.name
else:
    MISSING = None

SOURCE = pathlib.Path(os.environ.get("AMPHORAD_SRC_DIR") or pathlib.Path(__file__).resolve().parents[2]).resolve()
FILE = SOURCE / "api/openapi.yaml"
METHODS = ("get", "put", "post", "delete")
# Said by the server before it knows what is asked for: RFC 9110, 15.5.9 and 15.5.15; RFC 6585, 5.
BEFORE_ROUTING = {408, 414, 431}
# Headers that a reply has only where the contract says so.
PROMISED = ("ETag", "Amphorad-Apply", "Location", "Retry-After")
LARGE = 64 * 1024  # bytes of a reply; of the lists in a larger one the ends are looked at
END = 5


class Operation:
    def __init__(self, contract, method, path, item):
        self.method = method.upper()
        self.path = path
        self.value = item[method]
        self.id = self.value["operationId"]
        self.parameters = [contract.resolve(p) for p in item.get("parameters", []) + self.value.get("parameters", [])]
        self.body = contract.resolve(self.value.get("requestBody", {}))
        self.responses = {int(status): contract.resolve(response)
            for status, response in self.value["responses"].items()}

    def parameters_in(self, place):
        return {p["name"]: p for p in self.parameters if p["in"] == place}

    def __repr__(self):
        return f"{self.method} {self.path}"


class Contract:
    def __init__(self, text):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.document = yaml.load(text, loader)
        self.lock = threading.Lock()  # a validator remembers where it is
        self.validators = {}
        self.paths = self.document["paths"]
        self.operations = [Operation(self, method, path, item) for path, item in self.paths.items()
            for method in METHODS if method in item]
        self.templates = {path: re.compile("/".join("([^/]+)" if part.startswith("{") else re.escape(part)
            for part in path.split("/"))) for path in self.paths}

    def resolve(self, value):
        """What a $ref refers to; all of ours are within the document."""
        while "$ref" in value:
            reference = value["$ref"]
            assert reference.startswith("#/"), reference
            value = self.document
            for part in reference[2:].split("/"):
                value = value[part.replace("~1", "/").replace("~0", "~")]
        return value

    def find_path(self, target):
        """The template that a request's path belongs to, or None."""
        path = "/" + urllib.parse.urlsplit("//x/" + target.lstrip("/")).path.strip("/")
        path = re.sub("^/v2[.]0(?=/|$)", "/v2", path)
        if any(urllib.parse.unquote(part) in (".", "..") for part in path.split("/")):
            return None
        # "lbaas" may be left out.
        paths = {path, re.sub("^/v2/(?!lbaas(?:/|$))", "/v2/lbaas/", path)}
        found = [template for template, pattern in self.templates.items() if any(map(pattern.fullmatch, paths))]
        # A literal goes before a parameter.
        return min(found, key=lambda template: template.count("{"), default=None)

    def find(self, method, target):
        path = self.find_path(target)
        method = "GET" if method == "HEAD" else method
        return next((o for o in self.operations if o.path == path and o.method == method), None)

    def validator(self, schema, partial=False):
        """Of a schema in the document. "partial" is for replies of which the client asked for some fields only."""
        key = (id(schema), partial)
        if key not in self.validators:
            root = {"components": self.document["components"], "allOf": [schema]}
            if partial:
                root = without_required(root)
            self.validators[key] = jsonschema.Draft202012Validator(root,
                format_checker=jsonschema.FormatChecker(("uuid", "ipv4", "ipv6")))
        return self.validators[key]

    def errors(self, schema, value, partial=False):
        with self.lock:
            error = jsonschema.exceptions.best_match(self.validator(schema, partial).iter_errors(value))
        return None if error is None else f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:600]}"

    # Replies

    def check(self, method, target, reply):
        """Fails if the reply is none that the contract allows."""
        if reply.status in BEFORE_ROUTING:
            return
        operation = self.find(method, target)
        if operation is None:
            self.check_unrouted(method, target, reply)
            return
        what = f"{method} {target}: {reply.status}"
        response = operation.responses.get(reply.status)
        assert response is not None, f"{what} is not in openapi.yaml for {operation}: {reply.body[:500]!r}"
        self.check_headers(what, response, reply)
        if method != "HEAD":
            self.check_body(what, target, response, reply)

    def check_unrouted(self, method, target, reply):
        """No such path, or not with this method."""
        template = self.find_path(target)
        if template is None:
            assert reply.status >= 400, f"{method} {target}: {reply.status} of a path that is not in openapi.yaml"
        elif reply.status == 405:
            methods = {m.upper() for m in METHODS if m in self.paths[template]}
            allowed = set(re.split(", *", reply.headers["Allow"]))
            assert allowed - {"HEAD"} == methods, f"{template}: Allow: {allowed}, openapi.yaml has {methods}"
        else:
            assert reply.status >= 400, f"{method} {target}: {reply.status} of a method that is not in openapi.yaml"

    def check_headers(self, what, response, reply):
        documented = {name: self.resolve(value) for name, value in response.get("headers", {}).items()}
        for name, header in documented.items():
            value = reply.headers.get(name)
            if value is None:
                assert not header.get("required"), f"{what} lacks the header {name}"
                continue
            schema = self.resolve(header["schema"])
            error = self.errors(schema, int(value) if schema.get("type") == "integer" else value)
            assert error is None, f"{what}: header {name}: {value!r}: {error}"
        for name in PROMISED:
            assert name in documented or name not in reply.headers, f"{what}: openapi.yaml does not tell of the header {name}"
        assert re.fullmatch("req-[0-9a-f-]{36}", reply.headers.get("x-openstack-request-id", "")), what

    def check_body(self, what, target, response, reply):
        content = response.get("content")
        if not content:
            assert not reply.body, f"{what} has a body: {reply.body[:500]!r}"
            return
        kind = reply.headers.get("Content-Type", "").split(";")[0].strip()
        assert kind in content, f"{what} is of type {kind!r}, openapi.yaml has {list(content)}"
        if kind != "application/json":
            reply.body.decode()
            return
        value = json.loads(reply.body)
        if len(reply.body) > LARGE:
            value = shorten(value)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query, keep_blank_values=True)
        error = self.errors(content[kind]["schema"], value, partial="fields" in query)
        assert error is None, f"{what} is not as openapi.yaml has it: {error}"


def without_required(value):
    if isinstance(value, dict):
        return {k: without_required(v) for k, v in value.items() if k != "required" or not isinstance(v, list)}
    return [without_required(v) for v in value] if isinstance(value, list) else value


def shorten(value):
    if isinstance(value, dict):
        return {k: shorten(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shorten(v) for v in (value if len(value) <= 2 * END else value[:END] + value[-END:])]
    return value


@functools.lru_cache(maxsize=None)
def contract():
    return Contract(FILE.read_text(encoding="utf-8"))


def check(method, target, reply):
    """For clients: does nothing where the Python modules are missing (tests/api/test_openapi.py says so then)."""
    if MISSING is None:
        contract().check(method, target, reply)
