# SPDX-License-Identifier: Apache-2.0
"""The parity test is about something: it fails when any line of the templates that it can see is left out.

AMPHORAD_SEED draws others, AMPHORAD_PARITY_MUTATIONS says how many of these lines are tried, each with an agent of its own; 0 is
all of them.
"""

import os
import random
import re
import shutil

import pytest

import generate
from generate import SEED
from amphora import SOURCE
from test_parity import LOG, Parity, octavia_rendering, put_certificates

TEMPLATES = SOURCE / "templates"
CASES = 250
MUTATIONS = int(os.environ.get("AMPHORAD_PARITY_MUTATIONS", "12"))
# What Octavia has no rendering of: extensions, and the file of an empty load balancer.
EXTENSIONS = re.compile(r"proxy_options|check_send_proxy|accept_proxy|expect-proxy|client-hs|unique.id|stats_page|stats-page"
    r"|trusted_file|header_timeout|no log" + ("" if octavia_rendering.HAS_HSTS else "|hsts"))


def mutations():
    """(file, number of the line, what, the text without it)"""
    for path in sorted(TEMPLATES.glob("*.mustache")):
        # The first has no counterpart, the second one of its own (lvs.py).
        if path.name == "stats-page.mustache" or path.name.startswith("keepalived"):
            continue
        lines = path.read_text().split("\n")
        for number, line in enumerate(lines):
            text = line.strip()
            if not text or text.startswith("#") or EXTENSIONS.search(text):
                continue
            if path.name in ("bind.mustache", "server.mustache"):
                # One line of HAProxy: its sections, one by one.
                for name, body in re.findall(r"{{#(\w+)}}(.*?){{/\1}}", line):
                    if not EXTENSIONS.search(name):
                        cut = line.replace(f"{{{{#{name}}}}}{body}{{{{/{name}}}}}", "")
                        yield path.name, number, f"without {name}", "\n".join(lines[:number] + [cut] + lines[number + 1:])
            elif not re.fullmatch(r"{{[#^/!>].*|}}.*", text):
                yield path.name, number, f"without {text}", "\n".join(lines[:number] + lines[number + 1:])


@pytest.mark.limit(900)
def test_every_line_counts(make_agent, tmp_path, note):
    note(f"AMPHORAD_SEED={SEED}")
    generator = generate.Generator(SEED, hsts=octavia_rendering.HAS_HSTS)
    cases = [generator.load_balancer() for _ in range(CASES)]
    found, unseen = list(mutations()), []
    assert len(found) > 50
    tried = random.Random(SEED).sample(found, MUTATIONS) if 0 < MUTATIONS < len(found) else found
    for name, number, what, text in tried:
        folder = tmp_path / f"{tried.index((name, number, what, text))}"
        shutil.copytree(TEMPLATES, folder)
        (folder / name).write_text(text)
        agent = make_agent(amphorad=f"haproxy_log = {LOG}", template_dir=folder).start()
        put_certificates(agent)
        parity = Parity(agent)
        if all(parity.judge(lb, parity.ask(lb)) is None for lb in cases):
            unseen.append(f"{name}:{number + 1} {what}")
        agent.stop()
    assert not unseen, "\n".join([f"AMPHORAD_SEED={SEED}", *unseen])
