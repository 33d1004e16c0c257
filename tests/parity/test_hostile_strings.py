# SPDX-License-Identifier: Apache-2.0
"""Whatever an accepted definition has in its strings, the configuration has exactly the directives that it asks for: the same as
with harmless strings, word by word, but for those strings, and HAProxy accepts it.

AMPHORAD_SEED changes what is drawn (a number, or "random"), AMPHORAD_HOSTILE_CASES says how many load balancers there are.
"""

import copy
import os
import re

import pytest

import configuration
import generate
from generate import SEED
from pki import Authority, put_certificate

CASES = int(os.environ.get("AMPHORAD_HOSTILE_CASES", "150"))

PIECES = ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", " ", "  ", "'", "\"", "''", "\\", "\\\\", "\\n", "\\x0a", "\\'",
    "\\\"", "#", "# x", "$", "$HOME", "${HOME}", "${X-y}", "%", "%%", "%[src]", "%[env(HOME)]", "%{+Q}o", "%ci", "%20", "%0a", "{", "}",
    "{ always_true }", "(", ")", "),lower", "[", "]", "<", ">", "&", "&amp;", "|", ";", ",", "!", "!x", "-", "--", "-f", "-f /etc/passwd",
    "-i", "-m", "*", "?", "/", "..", "//", ":", "@", "=", "~", "^", "`", "`id`", "if TRUE", " if TRUE", "unless FALSE", "or", "||",
    "\nglobal\n    daemon", "\n    server x 127.0.0.1:1", "backend x", "ü", "€", "😀", "a", "Z", "0", "x" * 60]


class Field:
    """A string of the document: "good" is what it is with a harmless mark in it."""

    def __init__(self, holder, name, kind, number, make):
        self.holder, self.name, self.kind = holder, name, kind
        self.mark = f"qz{number}zq"
        self.make = make
        self.due = False

    def set(self, text):
        self.holder[self.name] = self.make(text)

    @property
    def value(self):
        return self.holder[self.name]


def plain(text):
    return text


def fields_of(lb):
    """Every string that a user may choose, with the text around it that the grammar asks for anyway."""
    found = []

    def add(holder, name, kind=None, make=plain):
        found.append(Field(holder, name, kind or name, len(found), make))

    for thing in [lb, *lb["pools"], *lb["listeners"], *(p for each in lb["listeners"] for p in each.get("l7policies", []))]:
        add(thing, "name")
        add(thing, "description")
        thing["tags"] = ["x"]
        add(thing["tags"], 0, "tag")
    for pool in lb["pools"]:
        for member in pool["members"]:
            add(member, "name")
        if pool["protocol"] == "HTTP":
            pool["session_persistence"] = {"type": "APP_COOKIE"}
            add(pool["session_persistence"], "cookie_name")
        monitor = pool.setdefault("healthmonitor", {})
        monitor.update(type="HTTP", delay=1, timeout=1, max_retries=1, http_version="1.1", admin_state_up=True)
        add(monitor, "url_path", make=lambda text: f"/{text}")
        add(monitor, "domain_name", make=lambda text: f"{text}.example")
        add(monitor, "expected_codes", make=lambda text: text if not text.startswith("qz") else "200")
        if pool.get("tls_enabled"):
            add(pool, "tls_ciphers", make=lambda text: f"DEFAULT:{text}")
    for listener in lb["listeners"]:
        if listener["protocol"] == "TERMINATED_HTTPS":
            add(listener, "tls_ciphers", make=lambda text: f"DEFAULT:{text}")
            add(listener, "default_tls_container_ref", "reference",
                lambda text: f"https://{text if not text.startswith('qz') else 'x'}/web")
        for policy in listener.get("l7policies", []):
            for name in ("redirect_url", "redirect_prefix"):
                if name in policy:
                    add(policy, name, make=lambda text: f"http://a.example/{text}")
            for rule in policy["rules"]:
                if rule["type"] in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT"):
                    continue
                if rule["type"] in ("HEADER", "COOKIE"):
                    add(rule, "key")
                regex = rule["compare_type"] == "REGEX"
                add(rule, "value", "regex" if regex else "value", make=re.escape if regex else plain)
    lb["stats_page"] = {"port": 1, "uri": "/", "username": "x", "password_hash": "x"}
    add(lb["stats_page"], "uri", make=lambda text: f"/{text}")
    add(lb["stats_page"], "username")
    add(lb["stats_page"], "password_hash", make=lambda text: f"$5$rounds=1000${text}$01234567890123456789")
    return found


def pointer(fault):
    """The place that an error names, as a list; None if it names none."""
    place = fault.split(":", 1)[0]
    return place.split("/")[2:] if place.startswith("/loadbalancer/") else None


def at(lb, place):
    """(holder, name) of a pointer into the document."""
    for name in place[:-1]:
        lb = lb[int(name)] if isinstance(lb, list) else lb[name]
    return lb, int(place[-1]) if isinstance(lb, list) else place[-1]


def call(word):
    """("req.hdr", "X-Name") of a word that is such a call, else the word."""
    found = re.fullmatch(r'(req\.hdr|req\.cook|res\.cook|ssl_c_s_dn)\((?:"([^"\\]*)"|([^"\\]*))\)', word, re.S)
    return (found[1], found[2] if found[2] is not None else found[3]) if found else word


# Characters that mean something to HAProxy and must get through, so that the test is about something.
MUST = {"name": "'\"#$%", "value": "'\"#$%{", "regex": " '\"#$%{\\", "url_path": "'$%", "redirect_url": "'%", "key": "'$",
    "cookie_name": "'$"}


class Run:
    def __init__(self, agent, generator):
        self.agent, self.random, self.generator = agent, generator.random, generator
        self.accepted = {}
        self.alone = {}  # kind: pieces that were refused
        # Before anything else, each of these by itself; "%" begins a character of a URL.
        self.due = {kind: ["%20" if c == "%" and "ur" in kind else c for c in characters]
            for kind, characters in MUST.items()}

    def ask(self, lb):
        return self.agent.put(lb["id"], {"loadbalancer": lb}, "?dry_run=true")

    def hostile(self, field):
        """Mostly of pieces that were not refused alone in such a field, so that most of it gets through."""
        if self.due.get(field.kind):
            field.due, field.pieces = True, [self.due[field.kind].pop(0)]
            return field.pieces[0]
        learnt = self.random.random() < 0.9
        pieces = [piece for piece in PIECES if not learnt or piece not in self.alone.get(field.kind, ())]
        field.pieces = [self.random.choice(pieces or PIECES) for _ in range(self.random.choice([1, 1, 2, 3, 5]))]
        return "".join(field.pieces)

    def refused(self, lb, fields, reply):
        """Makes the refused field harmless."""
        fault = reply.fault
        if "unable to set SSL cipher list" in fault:
            # A good list of words that OpenSSL does not know.
            for field in fields:
                if field.kind == "tls_ciphers":
                    field.set(field.mark)
            return
        assert "HAProxy" not in fault, f"accepted, and HAProxy refuses it: {fault}\n{lb}"
        place = pointer(fault)
        assert place, fault
        holder, name = at(lb, place)
        field = next((f for f in fields if f.holder is holder and f.name == name), None) or \
            next(f for f in fields if f.holder is holder[name])
        assert field.value != field.make(field.mark), f"harmless, and refused: {fault}"
        if len(field.pieces) == 1:
            self.alone.setdefault(field.kind, set()).add(field.pieces[0])
            if field.due:
                self.due[field.kind].append(field.pieces[0])  # another of its kind may take it
        field.set(field.mark)

    def try_one(self):
        lb = self.generator.load_balancer()
        lb["admin_state_up"] = True
        fields = fields_of(lb)
        for field in fields:
            field.set(self.hostile(field))
        for _ in range(len(fields) + 1):
            reply = self.ask(lb)
            if reply.status == 200:
                break
            self.refused(lb, fields, reply)
        assert reply.status == 200, reply.text
        marked = copy.deepcopy((lb, fields))
        for field in marked[1]:
            field.set(field.mark)
        self.compare(reply, self.ask(marked[0]).expect(200), fields, marked[1])

    def compare(self, reply, harmless, fields, marked):
        text, good = (r.json["dry_run"]["haproxy_cfg"] for r in (reply, harmless))
        lines, wanted = ([configuration.split_haproxy(line) for line in each.split("\n")] for each in (text, good))
        assert len(lines) == len(wanted), f"{len(lines)} lines, not {len(wanted)}:\n{text}\n{good}"
        values = {}
        for field, mark in zip(fields, marked):
            value = field.value
            quoted = field.kind == "value" and len(value) > 1 and value[0] == value[-1] == '"'
            values[mark.value] = value[1:-1] if quoted else value
            if value != mark.value:
                self.accepted.setdefault(field.kind, set()).add(value)
        for got, expected in zip(lines, wanted):
            meant = [self.substitute(word, values) for word in expected]
            assert [call(word) for word in got] == meant, f"{got}\ninstead of\n{meant}\n{text}"

    @staticmethod
    def substitute(word, values):
        word = call(word)
        if isinstance(word, tuple):
            return word[0], values.get(word[1], word[1])
        if "|" in word or word.isdigit():
            return word
        return values.get(word, word)


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
def test_what_is_no_text_is_no_document(agent, text):
    lb = generate.Generator(1).load_balancer()
    assert agent.put(lb["id"], {"loadbalancer": dict(lb, name=text)}, "?dry_run=true").expect(400).fault


@pytest.mark.limit(600)
def test_hostile_strings(make_agent, note):
    agent = make_agent().start()
    authority = Authority("hostile")
    for name in generate.Certificates.pairs:
        put_certificate(agent, name, authority.issue(name).pem).expect(201)
    for name in generate.Certificates.authorities:
        put_certificate(agent, name, authority.pem).expect(201)
    for name in generate.Certificates.lists:
        put_certificate(agent, name, authority.revoke()).expect(201)
    print(f"AMPHORAD_SEED={SEED} AMPHORAD_HOSTILE_CASES={CASES}")
    note(f"AMPHORAD_SEED={SEED}")
    run = Run(agent, generate.Generator(SEED, hsts=True))
    for number in range(CASES):
        try:
            run.try_one()
        except AssertionError as problem:
            raise AssertionError(f"AMPHORAD_SEED={SEED}, load balancer {number}: {problem}") from None
    print({kind: len(values) for kind, values in run.accepted.items()})
    if CASES >= 100:
        for kind, characters in MUST.items():
            seen = set("".join(run.accepted.get(kind, ())))
            assert set(characters) <= seen, f"no {kind} with {set(characters) - seen}: {run.accepted.get(kind)}"
