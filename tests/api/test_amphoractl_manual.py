# SPDX-License-Identifier: Apache-2.0
"""The examples of amphoractl(1): run in their order, against a real agent."""

import json
import os
import re
import shutil
import subprocess

import pytest

from amphora import AMPHORACTL, SOURCE
from processes import free_port

PAGE = SOURCE / "packaging/man/amphoractl.1"
# How HAProxy gets a change depends on its version, and time goes by.
VARYING = [(re.compile(r", (runtime|reload)$"), ", (changed)"), (re.compile(r", \d+ s$"), ", (time)"), (re.compile(r" +"), " ")]


def displays():
    """The literal displays of EXAMPLES, without the escapes of mandoc_char(7)."""
    chapter = PAGE.read_text().split(".Sh EXAMPLES\n")[1].split("\n.Sh ")[0]
    for display in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", chapter, re.M | re.S):
        yield re.sub(r"\\([-e&])", lambda m: {"-": "-", "e": "\\", "&": ""}[m.group(1)], display)


def commands(display):
    """[command, [lines of output that the page shows]]"""
    found = []
    for line in display.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        else:
            found[-1][1].append(line)
    return found


def same(line):
    for pattern, replacement in VARYING:
        line = pattern.sub(replacement, line)
    return line


@pytest.fixture
def folder(tmp_path):
    """What the examples find in their folder."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=www.example", "-keyout",
        tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"], check=True, capture_output=True)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexec sed -i 's/ROUND_ROBIN/LEAST_CONNECTIONS/' \"$1\"\n")
    editor.chmod(0o755)
    return tmp_path


def test_examples(agent, folder):
    found = list(displays())
    document = found.pop(0)
    assert json.loads(document)["loadbalancer"]["vip_address"] == "192.0.2.10"
    # Only what a test machine may bind is different.
    (folder / "web.json").write_text(document.replace("192.0.2.10", "127.0.0.1").replace(" 443,", f" {free_port()},"))
    env = {**os.environ, "PATH": f"{AMPHORACTL.parent}:{os.environ['PATH']}", "AMPHORAD_SOCKET": str(agent.socket_path),
        "EDITOR": str(folder / "editor"), "LC_ALL": "C"}
    number = 0
    for command, shown in (item for display in found for item in commands(display)):
        done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, check=False)
        differs = command.startswith("amphoractl diff ")
        assert done.returncode == (1 if differs else 0) and done.stderr == "", (command, done)
        assert not shown or [same(line) for line in done.stdout.splitlines()] == [same(line) for line in shown], \
            f"{command}\n{done.stdout}"
        number += 1
    assert number > 25
    assert agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"] == []


def test_every_everyday_verb_has_an_example():
    text = "\n".join(displays())
    listed = re.findall(r"^\.It Cm ((?:member|proxy-protocol|certificate) [a-z]+|watch|revisions|rollback)", PAGE.read_text(),
        re.M)
    missing = {verb for verb in listed if f"amphoractl {verb} " not in text and f"json {verb} " not in text}
    assert len(set(listed)) > 12 and missing <= {"certificate show", "certificate list"}, missing
