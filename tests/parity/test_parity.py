# SPDX-License-Identifier: Apache-2.0
"""Random load balancers, rendered by Octavia's own templates and by amphorad: the same but for what differences.py lists.

AMPHORAD_SEED draws others, AMPHORAD_PARITY_CASES says how many load balancers there are.
"""

import concurrent.futures
import os
import re
import subprocess

import pytest

import configuration
import generate
from generate import SEED
from amphora import HAPROXY, SOURCE
from pki import Authority, put_certificate

octavia_rendering = pytest.importorskip("octavia_rendering", reason="python3-octavia is not installed")
from differences import DIFFERENCES  # noqa: E402

CASES = int(os.environ.get("AMPHORAD_PARITY_CASES", "2000"))
LOG = "/dev/log"


def haproxy_version():
    said = subprocess.run([HAPROXY, "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    return re.search(r"version (\d+)\.(\d+)\.(\d+)", said).groups()


def put_certificates(agent):
    authority = Authority("parity")
    for name in generate.Certificates.pairs:
        put_certificate(agent, name, authority.issue(name).pem).expect(201)
    for name in generate.Certificates.authorities:
        put_certificate(agent, name, authority.pem).expect(201)
    for name in generate.Certificates.lists:
        put_certificate(agent, name, authority.revoke()).expect(201)


def lost(sent, got, place=""):
    """Where "got" does not have what was sent; defaults may have been added."""
    if isinstance(sent, dict):
        return [where for name, value in sent.items() for where in lost(value, (got or {}).get(name), f"{place}/{name}")]
    if isinstance(sent, list) and sent and isinstance(sent[0], dict):
        return [f"{place}: {len(sent)} sent"] if len(sent) != len(got or []) else \
            [where for n, value in enumerate(sent) for where in lost(value, got[n], f"{place}/{n}")]
    same = got == sent or (not sent and not got) or str(got) == str(sent) or \
        (isinstance(sent, list) and sorted(sent) == sorted(got or []))
    return [] if same else [f"{place}: {sent!r} came back as {got!r}"]


class Parity:
    def __init__(self, agent):
        self.agent = agent
        self.octavia = octavia_rendering.Octavia(haproxy_version(), LOG)
        self.seen = {function.__name__: 0 for function in DIFFERENCES}

    def ask(self, lb):
        return self.agent.put(lb["id"], {"loadbalancer": lb}, "?dry_run=true")

    def judge(self, lb, reply):
        """What is wrong, as text; None if nothing is."""
        if reply.status != 200:
            return f"{reply.status}: {reply.text[:3000]}"
        stored = reply.json["loadbalancer"]
        missing = lost(lb, stored)
        if missing:
            return "\n".join(["the definition changed:", *missing])
        ours = reply.json["dry_run"]["haproxy_cfg"]
        theirs = self.octavia.render(stored)
        expected = configuration.read_octavia(theirs)
        context = dict(stored, tools_dir=str(SOURCE / "agent/tools"), default_connection_limit=50000)
        for function in DIFFERENCES:
            self.seen[function.__name__] += bool(function(expected, context))
        found = configuration.differences(expected, configuration.read_haproxy(ours))
        return "\n".join(["- is Octavia's, + is ours", *found, "", theirs, "", ours]) if found else None


@pytest.mark.limit(900)
def test_parity(make_agent, note):
    agent = make_agent(amphorad=f"haproxy_log = {LOG}").start()
    put_certificates(agent)
    parity = Parity(agent)
    generator = generate.Generator(SEED, hsts=octavia_rendering.HAS_HSTS)
    print(f"AMPHORAD_SEED={SEED} AMPHORAD_PARITY_CASES={CASES}")
    note(f"AMPHORAD_SEED={SEED}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        cases = (generator.load_balancer() for _ in range(CASES))
        for number, (lb, reply) in enumerate(pool.map(lambda lb: (lb, parity.ask(lb)), cases)):
            wrong = parity.judge(lb, reply)
            assert wrong is None, f"AMPHORAD_SEED={SEED}, load balancer {number}: {wrong}"
    print("differences:", parity.seen)
    if CASES >= 1000:
        never = [name for name, times in parity.seen.items() if times == 0]
        assert not never, f"in differences.py, and nowhere: {never}"
