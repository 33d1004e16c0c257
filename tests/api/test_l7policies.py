# SPDX-License-Identifier: Apache-2.0
"""L7 policies and rules: which request goes where."""

import pytest

from amphora import document, listener, member, new_id, pool
from clients import fetch, server_of
from processes import free_port


def rule(type_, value, compare_type="EQUAL_TO", **more):
    return {"type": type_, "compare_type": compare_type, "value": value, **more}


def policy(action, *rules, **more):
    return {"action": action, "rules": list(rules), **more}


@pytest.fixture
def site(agent, origins):
    class Site:
        def __init__(self):
            self.port, self.lb_id = free_port(), new_id()
            self.default, self.other = origins("default"), origins("other")
            self.other_pool = pool([member(self.other.port)], name="other")

        def apply(self, *policies, **fields):
            return agent.apply(self.lb_id, document(listener(self.port, pool([member(self.default.port)]),
                l7policies=list(policies), **fields)))

        def goes_to(self, path="/", **headers):
            return server_of(self.port, path, headers=headers)

        def redirect(self, path="/", **headers):
            status, answered, _ = fetch(self.port, path, headers=headers)
            return status, answered["Location"]
    return Site()


# rule, requests that match, requests that do not: (path, headers)
RULES = [
    (rule("PATH", "/api", "STARTS_WITH"), [("/api", {}), ("/api/v1", {})], [("/", {}), ("/v1/api", {})]),
    (rule("PATH", "/end", "ENDS_WITH"), [("/the/end", {})], [("/end/of", {})]),
    (rule("PATH", "mid", "CONTAINS"), [("/a/mid/b", {})], [("/a/b", {})]),
    (rule("PATH", "/exactly"), [("/exactly", {})], [("/exactly/not", {})]),
    (rule("PATH", "^/[0-9]+$", "REGEX"), [("/123", {})], [("/12a", {})]),
    (rule("HOST_NAME", "www.example.com"), [("/", {"Host": "www.example.com"})], [("/", {"Host": "example.com"})]),
    (rule("HOST_NAME", ".example.com", "ENDS_WITH"), [("/", {"Host": "x.example.com"})], [("/", {"Host": "x.example.org"})]),
    (rule("HOST_NAME", "^(a|b)\\.example$", "REGEX"), [("/", {"Host": "b.example"})], [("/", {"Host": "c.example"})]),
    (rule("FILE_TYPE", "jpg"), [("/a/b.jpg", {})], [("/a/b.png", {}), ("/a/b.jpg/c", {})]),
    (rule("FILE_TYPE", "jpe?g", "REGEX"), [("/a.jpeg", {}), ("/a.jpg", {})], [("/a.gif", {})]),
    (rule("HEADER", "blue", key="X-Colour"), [("/", {"X-Colour": "blue"})], [("/", {}), ("/", {"X-Colour": "red"})]),
    (rule("HEADER", "\"it's \"so\" # 100% ${HOME} \\\"", "CONTAINS", key="X-Odd"),
        [("/", {"X-Odd": "well, it's \"so\" # 100% ${HOME} \\ here"})], [("/", {"X-Odd": "it's so"})]),
    (rule("COOKIE", "yes", key="beta"), [("/", {"Cookie": "a=b; beta=yes"})], [("/", {"Cookie": "beta=no"}), ("/", {})]),
    (rule("COOKIE", "ye", "STARTS_WITH", key="beta"), [("/", {"Cookie": "beta=yes"})], [("/", {"Cookie": "beta=no"})]),
]


@pytest.mark.parametrize("given, yes, no", RULES,
    ids=[f"{r['type']}-{r['compare_type']}-{n}" for n, (r, _, _) in enumerate(RULES)])
@pytest.mark.parametrize("invert", [False, True])
def test_rules(site, given, yes, no, invert):
    site.apply(policy("REDIRECT_TO_POOL", dict(given, invert=invert), redirect_pool=site.other_pool))
    for path, headers in yes:
        assert site.goes_to(path, **headers) == ("default" if invert else "other"), (path, headers)
    for path, headers in no:
        assert site.goes_to(path, **headers) == ("other" if invert else "default"), (path, headers)


def test_all_rules_of_a_policy_must_match(site):
    site.apply(policy("REDIRECT_TO_POOL", rule("PATH", "/api", "STARTS_WITH"), rule("HEADER", "1", key="X-Beta"),
        redirect_pool=site.other_pool))
    assert site.goes_to("/api") == "default"
    assert site.goes_to("/", **{"X-Beta": "1"}) == "default"
    assert site.goes_to("/api", **{"X-Beta": "1"}) == "other"


def test_reject(site):
    site.apply(policy("REJECT", rule("PATH", "/admin", "STARTS_WITH")))
    assert fetch(site.port, "/admin/x")[0] == 403
    assert site.goes_to("/") == "default"


@pytest.mark.parametrize("code", [None, 301, 302, 303, 307, 308])
def test_redirect_to_url(site, code):
    fields = {} if code is None else {"redirect_http_code": code}
    url = "https://www.example.com/there?a=1&b=%20c"
    site.apply(policy("REDIRECT_TO_URL", rule("PATH", "/here"), redirect_url=url, **fields))
    assert site.redirect("/here") == (code or 302, url)
    assert site.goes_to("/other") == "default"


def test_redirect_prefix(site):
    site.apply(policy("REDIRECT_PREFIX", rule("HOST_NAME", "old.example"), redirect_prefix="https://new.example",
        redirect_http_code=301))
    assert site.redirect("/a/b?c=d&e", Host="old.example") == (301, "https://new.example/a/b?c=d&e")


def test_a_policy_and_a_rule_that_are_down_do_nothing(site):
    site.apply(policy("REJECT", rule("PATH", "/admin", "STARTS_WITH"), admin_state_up=False))
    assert site.goes_to("/admin") == "default"
    site.apply(policy("REJECT", rule("PATH", "/admin", "STARTS_WITH"),
        rule("HEADER", "1", key="X-Never", admin_state_up=False)))
    assert fetch(site.port, "/admin")[0] == 403


def test_positions(site):
    """The first policy that matches counts."""
    first = policy("REDIRECT_TO_URL", rule("PATH", "/", "STARTS_WITH"), redirect_url="http://first.example/", position=1)
    second = policy("REDIRECT_TO_URL", rule("PATH", "/", "STARTS_WITH"), redirect_url="http://second.example/",
        position=2)
    site.apply(second, first)
    assert site.redirect("/") == (302, "http://first.example/")
    site.apply(dict(first, position=2), dict(second, position=1))
    assert site.redirect("/") == (302, "http://second.example/")


def test_a_pool_shared_by_policy_and_listener(agent, origins):
    origin, port, second, lb_id = origins("shared"), free_port(), free_port(), new_id()
    shared = dict(pool([member(origin.port)]), id=new_id())
    agent.apply(lb_id, document(
        dict(listener(port, l7policies=[policy("REDIRECT_TO_POOL", rule("PATH", "/x"), redirect_pool_id=shared["id"])])),
        dict(listener(second), default_pool_id=shared["id"]), pools=[shared]))
    assert server_of(port, "/x") == "shared" and server_of(second) == "shared"
    assert fetch(port, "/y")[0] == 503
