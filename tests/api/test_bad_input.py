# SPDX-License-Identifier: Apache-2.0
"""What bad input gets: the right status, the field by JSON Pointer, and nothing changed anywhere."""

import contextlib
import copy
import json
import shutil
import socket

import pytest

from amphora import LBS, SOURCE, Agent, document, listener, member, monitor, new_id, pool
from backends import Origin
from clients import server_of
from processes import free_port, wait_for

LB = "/loadbalancer"
L0 = "/loadbalancer/listeners/0"
P0 = L0 + "/default_pool"
M0 = P0 + "/members/0"
H0 = P0 + "/healthmonitor"
S0 = P0 + "/session_persistence"


def base():
    return document(listener(30000, pool([member(30001)], healthmonitor=monitor("HTTP"),
        session_persistence={"type": "SOURCE_IP"})))


def at(pointer, value):
    """base() with "value" at "pointer"."""
    body = base()
    *path, last = pointer.strip("/").split("/")
    target = body
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    if isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
    return body


def twice(pointer):
    """base() with the first item of a list there twice, its name changed."""
    body = base()
    target = body
    for step in pointer.strip("/").split("/"):
        target = target[int(step)] if isinstance(target, list) else target[step]
    target.append(dict(copy.deepcopy(target[0]), name="another"))
    return body


INJECTION = "x\n\tbind 0.0.0.0:1\n"

# (name, document, statuses, the pointer that faultstring begins with; a tuple: one of these)
ROWS = [
    ("not an object", [], 400, ""),
    ("a string", "x", 400, ""),
    ("no loadbalancer", {}, 400, ""),
    ("loadbalancer is null", {"loadbalancer": None}, 400, LB),
    ("loadbalancer is a list", {"loadbalancer": []}, 400, LB),
    ("unknown beside it", dict(base(), other=1), 400, "/other"),
    ("unknown field", at(LB + "/listener", []), 400, LB + "/listener"),
    ("unknown listener field", at(L0 + "/port", 80), 400, L0 + "/port"),
    ("unknown pool field", at(P0 + "/algorithm", "x"), 400, P0 + "/algorithm"),
    ("unknown member field", at(M0 + "/ip", "127.0.0.1"), 400, M0 + "/ip"),
    ("unknown monitor field", at(H0 + "/interval", 1), 400, H0 + "/interval"),
    ("unknown persistence field", at(S0 + "/cookie", "x"), 400, S0 + "/cookie"),
    ("field name with a slash", {"loadbalancer": {"a/b~c": 1}}, 400, LB + "/a~1b~0c"),
    ("listeners is an object", at(LB + "/listeners", {}), 400, LB + "/listeners"),
    ("listener is a number", at(L0, 7), 400, L0),
    ("member is a string", at(M0, "127.0.0.1:80"), 400, M0),
    ("name is a number", at(L0 + "/name", 5), 400, L0 + "/name"),
    ("name too long", at(L0 + "/name", "n" * 256), 400, L0 + "/name"),
    ("name with a newline", at(L0 + "/name", INJECTION), 400, L0 + "/name"),
    ("name of the load balancer with a newline", at(LB + "/name", INJECTION), 400, LB + "/name"),
    ("description with a newline", at(L0 + "/description", INJECTION), 400, L0 + "/description"),
    ("pool name with CR", at(P0 + "/name", "x\ry"), 400, P0 + "/name"),
    ("member name with a NUL", at(M0 + "/name", "x\0y"), 400, ""),
    ("name with DEL", at(P0 + "/name", "x\x7fy"), 400, P0 + "/name"),
    ("name with escape", at(P0 + "/name", "\x1b[31m"), 400, P0 + "/name"),
    ("name with a C1 control", at(P0 + "/name", "x\x85y"), 400, P0 + "/name"),
    ("protocol unknown", at(L0 + "/protocol", "FTP"), 400, L0 + "/protocol"),
    ("protocol with newline", at(L0 + "/protocol", "HTTP\n"), 400, L0 + "/protocol"),
    ("protocol missing", {"loadbalancer": {"listeners": [{"name": "l", "protocol_port": 80}]}}, 400, L0),
    ("port missing", {"loadbalancer": {"listeners": [{"name": "l", "protocol": "TCP"}]}}, 400, L0),
    ("port zero", at(L0 + "/protocol_port", 0), 400, L0 + "/protocol_port"),
    ("port negative", at(L0 + "/protocol_port", -1), 400, L0 + "/protocol_port"),
    ("port too large", at(L0 + "/protocol_port", 65536), 400, L0 + "/protocol_port"),
    ("port huge", at(L0 + "/protocol_port", 2 ** 63 - 1), 400, L0 + "/protocol_port"),
    ("port is a word", at(L0 + "/protocol_port", "http"), 400, L0 + "/protocol_port"),
    ("port with a tail", at(L0 + "/protocol_port", "80 ssl"), 400, L0 + "/protocol_port"),
    ("port is a float", at(L0 + "/protocol_port", 80.5), 400, L0 + "/protocol_port"),
    ("port is true", at(L0 + "/protocol_port", True), 400, L0 + "/protocol_port"),
    ("port is null", at(L0 + "/protocol_port", None), 400, L0 + "/protocol_port"),
    ("admin_state_up is a number", at(L0 + "/admin_state_up", 7), 400, L0 + "/admin_state_up"),
    ("admin_state_up is a word", at(L0 + "/admin_state_up", "maybe"), 400, L0 + "/admin_state_up"),
    ("connection_limit below -1", at(L0 + "/connection_limit", -2), 400, L0 + "/connection_limit"),
    ("timeout negative", at(L0 + "/timeout_client_data", -1), 400, L0 + "/timeout_client_data"),
    ("timeout beyond HAProxy's timers", at(L0 + "/timeout_member_data", 2 ** 31), 400, L0 + "/timeout_member_data"),
    ("vip is no address", at(LB + "/vip_address", "localhost"), 400, LB + "/vip_address"),
    ("vip with a port", at(LB + "/vip_address", "127.0.0.1:80"), 400, LB + "/vip_address"),
    ("vip injects", at(LB + "/vip_address", "127.0.0.1 name x"), 400, LB + "/vip_address"),
    ("vip as old notation", at(LB + "/vip_address", "127.1"), 400, LB + "/vip_address"),
    ("member address missing", at(M0, {"name": "m", "protocol_port": 80}), 400, M0),
    ("member address a name", at(M0 + "/address", "example.org"), 400, M0 + "/address"),
    ("member address cut", at(M0 + "/address", "10.0.0"), 400, M0 + "/address"),
    ("member address with zone", at(M0 + "/address", "fe80::1%eth0"), 400, M0 + "/address"),
    ("member address injects", at(M0 + "/address", "127.0.0.1 check"), 400, M0 + "/address"),
    ("member address a socket", at(M0 + "/address", "unix@/run/x"), 400, M0 + "/address"),
    ("monitor_address no address", at(M0 + "/monitor_address", "x"), 400, M0 + "/monitor_address"),
    ("monitor_port too large", at(M0 + "/monitor_port", 70000), 400, M0 + "/monitor_port"),
    ("weight too large", at(M0 + "/weight", 257), 400, M0 + "/weight"),
    ("weight negative", at(M0 + "/weight", -1), 400, M0 + "/weight"),
    ("backup is a word", at(M0 + "/backup", "later"), 400, M0 + "/backup"),
    ("pool protocol unknown", at(P0 + "/protocol", "PROXYV3"), 400, P0 + "/protocol"),
    ("algorithm unknown", at(P0 + "/lb_algorithm", "RANDOM"), 400, P0 + "/lb_algorithm"),
    ("monitor type unknown", at(H0 + "/type", "GOPHER"), 400, H0 + "/type"),
    ("monitor delay zero", at(H0 + "/delay", 0), 400, H0 + "/delay"),
    ("monitor retries too many", at(H0 + "/max_retries", 11), 400, H0 + "/max_retries"),
    ("monitor retries_down zero", at(H0 + "/max_retries_down", 0), 400, H0 + "/max_retries_down"),
    ("url_path relative", at(H0 + "/url_path", "health"), 400, H0 + "/url_path"),
    ("url_path injects", at(H0 + "/url_path", "/ HTTP/1.1\r\nX: y"), 400, H0 + "/url_path"),
    ("url_path with a blank", at(H0 + "/url_path", "/a b"), 400, H0 + "/url_path"),
    ("expected_codes a word", at(H0 + "/expected_codes", "ok"), 400, H0 + "/expected_codes"),
    ("expected_codes injects", at(H0 + "/expected_codes", "200 or rstring x"), 400, H0 + "/expected_codes"),
    ("expected_codes range turned", at(H0 + "/expected_codes", "300-200"), 400, H0 + "/expected_codes"),
    ("http_method unknown", at(H0 + "/http_method", "BREW"), 400, H0 + "/http_method"),
    ("domain_name injects", at(H0 + "/domain_name", "a b"), 400, H0 + "/domain_name"),
    ("http_version unknown", at(H0 + "/http_version", 2.5), 400, H0 + "/http_version"),
    ("persistence type unknown", at(S0 + "/type", "TLS"), 400, S0 + "/type"),
    ("app cookie without a name", at(S0, {"type": "APP_COOKIE"}), 400, S0),
    ("cookie_name injects", at(S0, {"type": "APP_COOKIE", "cookie_name": "a len 9"}), 400, S0 + "/cookie_name"),
    ("cookie_name with a semicolon", at(S0, {"type": "APP_COOKIE", "cookie_name": "a;b"}), 400, S0 + "/cookie_name"),
    ("insert_headers a list", at(L0 + "/insert_headers", ["X-Forwarded-For"]), 400, L0 + "/insert_headers"),
    ("insert_headers unknown", at(L0 + "/insert_headers", {"X-Evil": "true"}), 400, L0 + "/insert_headers"),
    ("insert_headers injects", at(L0 + "/insert_headers", {"X-Forwarded-For": "a\nb"}), 400, L0 + "/insert_headers"),
    ("cidr no cidr", at(L0 + "/allowed_cidrs", ["everyone"]), 400, L0 + "/allowed_cidrs/0"),
    ("cidr too long", at(L0 + "/allowed_cidrs", ["10.0.0.0/8", "10.0.0.0/33"]), 400, L0 + "/allowed_cidrs/1"),
    ("cidr injects", at(L0 + "/allowed_cidrs", ["10.0.0.0/8 || TRUE"]), 400, L0 + "/allowed_cidrs/0"),
    ("cidr of the other family", at(L0 + "/allowed_cidrs", ["2001:db8::/32"]), 400, L0 + "/allowed_cidrs/0"),
    ("expected_codes list of ranges", at(H0 + "/expected_codes", "200,202-204"), 400, H0 + "/expected_codes"),
    ("X-SSL header without TLS", at(L0 + "/insert_headers", {"X-SSL-Client-CN": "true"}), 400,
        L0 + "/insert_headers/X-SSL-Client-CN"),
    ("TLS without a certificate", at(L0 + "/protocol", "TERMINATED_HTTPS"), 400, L0 + "/default_tls_container_ref"),
    ("certificate without TLS", at(L0 + "/default_tls_container_ref", "c"), 400, L0 + "/default_tls_container_ref"),
    ("certificate is a path", at(L0 + "/default_tls_container_ref", "../../etc/.shadow"), 400,
        L0 + "/default_tls_container_ref"),
    ("ciphers inject", at(L0 + "/tls_ciphers", "AES no-sslv3"), 400, L0 + "/tls_ciphers"),
    ("versions without TLS", at(L0 + "/tls_versions", ["TLSv1.3"]), 400, L0 + "/tls_versions"),
    ("HSTS without TLS", at(L0 + "/hsts_max_age", 1), 400, L0 + "/hsts_max_age"),
    ("PROMETHEUS with a pool", at(L0 + "/protocol", "PROMETHEUS"), 400, P0),
    ("UDP listener, HTTP pool", at(L0 + "/protocol", "UDP"), 400, P0),
    ("PROXY protocol without accept", at(L0 + "/proxy_protocol", {}), 400, L0 + "/proxy_protocol/accept"),
    ("TLV unknown", at(P0 + "/proxy_protocol_options", ["ssl send-proxy"]), 400, P0 + "/proxy_protocol_options/0"),
    ("monitor of UDP", at(H0, monitor("UDP-CONNECT")), 400, H0 + "/type"),
    ("persistence_timeout of HTTP", at(S0 + "/persistence_timeout", 5), 400, S0 + "/persistence_timeout"),
    ("member is the metadata service", at(M0 + "/address", "169.254.169.254"), 400, M0 + "/address"),
    ("policy without an action", at(L0 + "/l7policies", [{}]), 400, L0 + "/l7policies/0/action"),
    ("policy to nowhere", at(L0 + "/l7policies", [{"action": "REDIRECT_TO_URL"}]), 400,
        L0 + "/l7policies/0/redirect_url"),
    ("redirect injects", at(L0 + "/l7policies", [{"action": "REDIRECT_TO_URL", "redirect_url":
        "http://a/\r\nSet-Cookie: x"}]), 400, L0 + "/l7policies/0/redirect_url"),
    ("redirect is a format", at(L0 + "/l7policies", [{"action": "REDIRECT_TO_URL", "redirect_url":
        "http://a/%[src]"}]), 400, L0 + "/l7policies/0/redirect_url"),
    ("redirect to a script", at(L0 + "/l7policies", [{"action": "REDIRECT_PREFIX", "redirect_prefix":
        "javascript:alert(1)"}]), 400, L0 + "/l7policies/0/redirect_prefix"),
    ("rule key injects", at(L0 + "/l7policies", [{"action": "REJECT", "rules": [{"type": "HEADER", "compare_type":
        "EQUAL_TO", "key": "a) -m found", "value": "x"}]}]), 400, L0 + "/l7policies/0/rules/0/key"),
    ("rule value injects", at(L0 + "/l7policies", [{"action": "REJECT", "rules": [{"type": "PATH", "compare_type":
        "EQUAL_TO", "value": INJECTION}]}]), 400, L0 + "/l7policies/0/rules/0/value"),
    ("rule is no expression", at(L0 + "/l7policies", [{"action": "REJECT", "rules": [{"type": "PATH", "compare_type":
        "REGEX", "value": "(a"}]}]), 400, L0 + "/l7policies/0/rules/0/value"),
    ("additional VIP twice", at(LB + "/additional_vips", [{"ip_address": "::1"}, {"ip_address": "::1"}]), 409,
        LB + "/additional_vips/1/ip_address"),
    ("statistics page with a password in clear", at(LB + "/stats_page", {"port": 30002, "username": "u",
        "password_hash": "secret"}), 400, LB + "/stats_page/password_hash"),
    ("statistics page on a listener's port", at(LB + "/stats_page", {"port": 30000}), 409, LB + "/stats_page/port"),
    ("tags not strings", at(L0 + "/tags", [1]), 400, L0 + "/tags"),
    ("id no uuid", at(L0 + "/id", "listener-1"), 400, L0 + "/id"),
    ("id a path", at(L0 + "/id", "../../../../etc/passwd"), 400, L0 + "/id"),
    ("default_pool_id unknown", document({"name": "l", "protocol": "TCP", "protocol_port": 30000,
        "default_pool_id": new_id()}), (400, 404), L0 + "/default_pool_id"),
    ("default_pool_id a number", document({"name": "l", "protocol": "TCP", "protocol_port": 30000,
        "default_pool_id": 5}), 400, L0 + "/default_pool_id"),
    ("default_pool and default_pool_id", at(L0 + "/default_pool_id", new_id()), (400, 404, 409), L0),
    ("http listener, tcp pool", at(P0 + "/protocol", "TCP"), 400, L0),
    ("algorithm that HAProxy has not", at(P0 + "/lb_algorithm", "SOURCE_IP_PORT"), 501, P0 + "/lb_algorithm"),
    ("duplicate port", twice(LB + "/listeners"), 409, LB + "/listeners/1"),
    ("duplicate member", twice(P0 + "/members"), 409, P0 + "/members/1"),
    ("duplicate id", document(
        listener(30000, protocol="TCP", id="6c4d1dfe-5a0c-4fd7-9bfc-3d1b7f5c2b10"),
        listener(30001, protocol="TCP", id="6c4d1dfe-5a0c-4fd7-9bfc-3d1b7f5c2b10")), 409, LB + "/listeners/1"),
    ("other id than the path's", at(LB + "/id", new_id()), (400, 409), LB + "/id"),
]


@pytest.fixture(scope="module")
def good_agent():
    """One load balancer that all rows leave as it is."""
    with contextlib.closing(Origin("good").start()) as origin, Agent().serving() as agent:
        agent.lb_id, agent.port = new_id(), free_port()
        agent.good = document(listener(agent.port, pool([member(origin.port)])))
        agent.apply(agent.lb_id, agent.good)
        wait_for(lambda: server_of(agent.port) == "good", 10, "it serves")
        remember(agent)
        assert agent.disk and agent.workers
        yield agent


def remember(agent):
    agent.etag = agent.get(f"{LBS}/{agent.lb_id}/definition").headers["ETag"]
    agent.disk = agent.bytes_on_disk()
    agent.workers = sorted(agent.haproxy_processes())


@pytest.fixture
def running(good_agent):
    """The same for every row; what a failed row has changed is put right, so that it fails alone."""
    yield good_agent
    if good_agent.bytes_on_disk() != good_agent.disk:
        for lb in good_agent.get(LBS).json["loadbalancers"]:
            if lb["id"] != good_agent.lb_id:
                good_agent.request("DELETE", f"{LBS}/{lb['id']}/definition").expect(204)
        good_agent.apply(good_agent.lb_id, good_agent.good)
        wait_for(lambda: len(good_agent.haproxy_processes()) == 2, 10, "old workers have left")
        remember(good_agent)


def check_untouched(agent):
    assert agent.bytes_on_disk() == agent.disk
    assert sorted(agent.haproxy_processes()) == agent.workers
    assert agent.get(f"{LBS}/{agent.lb_id}/definition").headers["ETag"] == agent.etag
    assert server_of(agent.port) == "good"


@pytest.mark.parametrize("body, statuses, pointer", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("target", ["existing", "new"])
def test_document(running, body, statuses, pointer, target):
    statuses = statuses if isinstance(statuses, tuple) else (statuses,)
    lb_id = running.lb_id if target == "existing" else new_id()
    reply = running.put(lb_id, json.dumps(body))
    reply.expect(*statuses)
    assert reply.fault.startswith(pointer), reply.fault
    # Never a line of ours broken by a line of theirs.
    assert "\n\tbind" not in reply.fault
    dry = running.put(lb_id, json.dumps(body), "?dry_run=true")
    assert (dry.status, dry.fault) == (reply.status, reply.fault)
    check_untouched(running)
    if target == "new":
        running.get(f"{LBS}/{lb_id}/definition").expect(404)


@pytest.mark.parametrize("body", [b"", b"{", b'{"loadbalancer": {}', b'{"loadbalancer": {}} x', b"{'a': 1}", b"nul",
    b"\xff\xfe{\0}\0", b'{"loadbalancer": {"name": "\xc3"}}', b'{"loadbalancer": {"name": "\\ud800"}}',
    b'{"loadbalancer": {"name": NaN}}', b'{"loadbalancer": {"listeners": 1e999}}',
    b'{"loadbalancer": {"name": "a", "name": "b"}}', b"[" * 100000, b'{"a":' * 100000,
    b'{"loadbalancer": {"name": "a\nb"}}', b"\0" * 64],
    ids=["empty", "brace", "cut", "tail", "quotes", "word", "utf16", "utf8 cut", "surrogate", "nan", "1e999",
        "duplicate key", "deep list", "deep object", "raw newline", "nuls"])
def test_malformed_json(running, body):
    assert running.put(running.lb_id, body).expect(400).fault
    check_untouched(running)


@pytest.mark.parametrize("method, path, status, allow", [
    ("GET", "/v2/lbaas/loadbalancer", 404, None),
    ("GET", "/v2/nothing", 404, None),
    ("GET", f"{LBS}/{new_id()}/definition", 404, None),
    ("GET", f"{LBS}/{new_id()}", 404, None),
    ("GET", f"{LBS}/{new_id()}/status", 404, None),
    ("GET", f"{LBS}/{new_id()}/stats", 404, None),
    ("GET", f"{LBS}/{new_id()}/haproxy.cfg", 404, None),
    ("DELETE", f"{LBS}/{new_id()}/definition", 404, None),
    ("GET", f"{LBS}/not-a-uuid/definition", (400, 404), None),
    ("GET", f"{LBS}/..%2f..%2fetc/definition", (400, 404), None),
    ("GET", f"{LBS}/%00/definition", (400, 404), None),
    ("GET", f"{LBS}/%zz/definition", (400, 404), None),
    ("PATCH", "{lb}/definition", 405, {"GET", "PUT", "DELETE"}),
    ("POST", "{lb}/definition", 405, {"GET", "PUT", "DELETE"}),
    ("PUT", "{lb}/status", 405, {"GET"}),
    ("DELETE", "{lb}/haproxy.cfg", 405, {"GET"}),
    ("BREW", "{lb}/definition", 405, {"GET", "PUT", "DELETE"}),
])
def test_method_and_path(running, method, path, status, allow):
    reply = running.request(method, path.replace("{lb}", f"{LBS}/{running.lb_id}"))
    reply.expect(*(status if isinstance(status, tuple) else (status,)))
    assert reply.fault
    if allow:
        assert allow <= set(reply.headers["Allow"].replace(" ", "").split(","))
    check_untouched(running)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp",
    "multipart/form-data"])
def test_media_type(running, kind):
    assert running.put(running.lb_id, base(), headers={"Content-Type": kind}).expect(415).fault
    check_untouched(running)


def test_json_with_charset_is_json(running):
    running.put(running.lb_id, at(L0 + "/protocol_port", 0),
        headers={"Content-Type": "Application/JSON; charset=utf-8"}).expect(400)


@pytest.mark.parametrize("query, status", [("?dry_run=maybe", 400), ("?dry_run=2", 400)])
def test_query(running, query, status):
    running.put(running.lb_id, base(), query).expect(status)
    check_untouched(running)


def test_body_too_large(running):
    big = b'{"loadbalancer": {"name": "' + b"x" * (16 * 1024 * 1024) + b'"}}'
    try:
        assert running.put(running.lb_id, big).expect(413).fault
    except (BrokenPipeError, ConnectionResetError):
        pass  # it may hang up on who goes on sending; what counts follows
    check_untouched(running)


def raw(agent, data, timeout=20):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(str(agent.socket_path))
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while data_ := s.recv(65536):
                answer += data_
        except ConnectionResetError:
            pass
        return answer


def put_head(agent, *headers):
    return "\r\n".join([f"PUT {LBS}/{agent.lb_id}/definition HTTP/1.1", "Host: x", "Connection: close",
        "Content-Type: application/json", *headers, "", ""]).encode()


def test_body_too_large_is_said_before_it_is_sent(running):
    answer = raw(running, put_head(running, "Content-Length: 99999999999", "Expect: 100-continue"))
    assert b" 413 " in answer.split(b"\r\n")[0], answer[:300]
    check_untouched(running)


def test_chunked_body_too_large(running):
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = raw(running, put_head(running, "Transfer-Encoding: chunked") + chunk * 18 + b"0\r\n\r\n")
    assert answer == b"" or b" 413 " in answer.split(b"\r\n")[0], answer[:300]
    check_untouched(running)


@pytest.mark.parametrize("length", ["x", "-1", "1 1", "18446744073709551616"])
def test_content_length_is_nonsense(running, length):
    answer = raw(running, put_head(running, f"Content-Length: {length}"))
    assert answer == b"" or answer.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"413"), answer[:300]
    check_untouched(running)


def test_client_goes_away_in_the_middle(running):
    head = put_head(running, "Content-Length: 1000")
    for sent in (b"", b"PUT", head, head + b"{"):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(running.socket_path))
            s.sendall(sent)
    check_untouched(running)


def test_not_http(running):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00" * 20, b"\0" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(running.socket_path))
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                pass
    check_untouched(running)


def test_words_that_look_like_directives_are_only_words(running, origins):
    """Names are data, whatever they spell: quotes, comments, variables, mustaches, section names."""
    origin, lb_id, port = origins("named"), new_id(), free_port()
    nasty = ['global', '" quoted', "it's", "# comment", "${HOME}", "$(id)", "{{name}}", "{{{x}}}",
        "\\", "a\\nbind", "ä ☃ 🙂", "server x 127.0.0.1:1", "%[env(PATH)]", "--", " leading", ".if 1"]
    for name in nasty:
        body = document(listener(port, pool([member(origin.port, name)], name=name), name=name), name=name,
            description=name)
        reply = running.put(lb_id, body).expect(200, 201)
        assert reply.json["loadbalancer"]["name"] == name
        assert running.definition(lb_id)["listeners"][0]["name"] == name
        assert server_of(port) == "named"
    running.request("DELETE", f"{LBS}/{lb_id}/definition").expect(204)
    remember(running)


@pytest.fixture
def reload_state(agent, origins):
    origin, lb_id, port = origins("good"), new_id(), free_port()
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    agent.lb_id, agent.port, agent.origin = lb_id, port, origin
    agent.etag = agent.get(f"{LBS}/{lb_id}/definition").headers["ETag"]
    agent.disk = agent.bytes_on_disk()
    return agent


def check_rolled_back(agent, pid):
    assert agent.haproxy_pid(agent.lb_id) == pid
    assert agent.bytes_on_disk() == agent.disk
    assert agent.get(f"{LBS}/{agent.lb_id}/definition").headers["ETag"] == agent.etag
    assert server_of(agent.port) == "good"
    # And it is not stuck.
    agent.apply(agent.lb_id, document(
        listener(agent.port, pool([member(agent.origin.port)]), timeout_client_data=1234)))
    assert server_of(agent.port) == "good"


def test_port_of_somebody_else_rolls_back(reload_state):
    """HAProxy -c does not bind: this is found out when it is applied, and taken back."""
    agent = reload_state
    pid = agent.haproxy_pid(agent.lb_id)
    with socket.socket() as stranger:
        taken = free_port()
        stranger.bind(("127.0.0.1", taken))
        stranger.listen()
        reply = agent.put(agent.lb_id, document(listener(agent.port, pool([member(agent.origin.port)])),
            listener(taken, pool([member(agent.origin.port)], name="p2"), name="second")))
        assert reply.status >= 400, reply
        assert str(taken) in reply.fault or "in use" in reply.fault, reply.fault
        check_rolled_back(agent, pid)


def test_foreign_address_rolls_back(reload_state):
    agent = reload_state
    pid = agent.haproxy_pid(agent.lb_id)
    with open("/proc/sys/net/ipv4/ip_nonlocal_bind", encoding="ascii") as f:
        if f.read().strip() != "0":
            pytest.skip("net.ipv4.ip_nonlocal_bind is on: any address can be bound here")
    reply = agent.put(agent.lb_id, document(listener(agent.port, pool([member(agent.origin.port)])),
        vip_address="192.0.2.77"))
    assert reply.status >= 400 and reply.fault, reply
    check_rolled_back(agent, pid)


def test_first_definition_that_cannot_start_leaves_nothing(agent):
    lb_id = new_id()
    with socket.socket() as stranger:
        taken = free_port()
        stranger.bind(("127.0.0.1", taken))
        stranger.listen()
        reply = agent.put(lb_id, document(listener(taken, pool([member(1)]))))
        assert reply.status >= 400 and reply.fault, reply
        agent.get(f"{LBS}/{lb_id}/definition").expect(404)
        assert agent.haproxy_processes() == []
        assert not agent.config_file(lb_id).exists()
    agent.put(lb_id, document(listener(taken, pool([member(1)])))).expect(201)


def test_port_of_another_load_balancer(running, origins):
    reply = running.put(new_id(), document(listener(running.port, pool([member(origins("x").port)]))))
    assert reply.status in (400, 409), reply
    assert "protocol_port" in reply.fault or "vip_address" in reply.fault, reply.fault
    check_untouched(running)


def test_what_haproxy_refuses_is_said_in_its_own_words(make_agent, origins, tmp_path):
    """A template of the administrator's own with a mistake: the reply carries HAProxy's message, what runs runs on."""
    agent, origin, lb_id, port = make_agent(), origins("good"), new_id(), free_port()
    agent.start()
    agent.apply(lb_id, document(listener(port, pool([member(origin.port)]))))
    pid, disk = agent.haproxy_pid(lb_id), agent.bytes_on_disk()
    assert agent.stop() == 0
    templates = agent.folder / "templates"
    shutil.copytree(SOURCE / "templates", templates)
    main = next(templates.glob("haproxy.cfg*"))
    main.write_text(main.read_text() + "\nlisten broken\n\tno-such-keyword-here 1\n")
    agent.write_config(template_dir=templates)
    agent.start()
    body = document(listener(port, pool([member(origin.port)]), timeout_client_data=4321))
    reply = agent.put(lb_id, body)
    assert reply.status >= 400 and "no-such-keyword-here" in reply.text, reply
    dry = agent.put(lb_id, body, "?dry_run=true")
    assert "no-such-keyword-here" in dry.text, dry
    assert agent.haproxy_pid(lb_id) == pid
    assert agent.bytes_on_disk() == disk
    assert server_of(port) == "good"
