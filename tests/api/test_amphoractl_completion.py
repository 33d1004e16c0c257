# SPDX-License-Identifier: Apache-2.0
"""bash completion of amphoractl: in a real bash, against a real agent."""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from amphora import AMPHORACTL, SOURCE, document, listener, member, new_id, pool, run_ctl
from processes import end, free_port, wait_for

SCRIPT = SOURCE / "packaging/completion/amphoractl"
BASH_COMPLETION = pathlib.Path("/usr/share/bash-completion/bash_completion")


@pytest.fixture
def shop(agent):
    """Names as people give them: with blanks, and with what a shell or a terminal would obey."""
    members = [member(free_port(), name) for name in ("node-1", "node-2")]
    members.append({**member(free_port(), address="127.0.0.77"), "name": ""})
    agent.apply(new_id(), document(listener(free_port(), pool(members, name="blue pool"), name="front"),
        listener(free_port(), pool([], name="blue-$(exit)"), name="back"), name="shop"))
    return agent


def complete(agent, *words):
    done = run_ctl(agent, "complete", "--", *words)
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    return lines[1:] if lines[0] == "words" else lines[0]


def pools_of(agent):
    return agent.definition(agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"][0]["id"])["pools"]


def test_names_are_those_of_the_agent(shop):
    assert complete(shop, "show", "") == ["shop"]
    assert sorted(complete(shop, "member", "drain", "")) == ["blue pool", "blue-$(exit)"]
    pools = pools_of(shop)
    unnamed = next(m for p in pools for m in p["members"] if not m["name"])
    endpoint = f"127.0.0.77:{unnamed['protocol_port']}"
    assert sorted(complete(shop, "member", "drain", "blue\\ pool", "")) == sorted(["node-1", "node-2", endpoint])
    assert complete(shop, "member", "weight", "'blue pool'", "127.0.0.77") == [endpoint]
    assert complete(shop, "member", "enable", pools[0]["id"][:12]) == [pools[0]["id"]]
    assert sorted(complete(shop, "proxy-protocol", "on", "listener", "")) == ["back", "front"]
    assert complete(shop, "rollback", "shop", "") == ["1"]
    assert complete(shop, "certificate", "remove", "") == []
    assert complete(shop, "member", "drain", "--loadbalancer=s") == ["--loadbalancer=shop"]
    assert complete(shop, "apply", "") == "files"


def test_certificates(shop, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout",
        tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    assert run_ctl(shop, "certificate", "add", "www.example", tmp_path / "cert.pem", tmp_path / "key.pem").returncode == 0
    assert complete(shop, "certificate", "show", "w") == ["www.example"]


def test_commands_and_options_are_those_of_help(shop):
    def help_of(*command):
        return run_ctl(shop, *command, "--help", env={"LC_ALL": "C.UTF-8"}).stdout
    commands = re.findall(r"^  ([a-z][a-z-]*)", help_of().split("\nOptions")[0], re.M)
    assert len(commands) > 15 and complete(shop, "") == commands
    for command in commands:
        actions = re.findall(rf"^  {command} ([a-z]+)", help_of(command), re.M)
        assert not actions or complete(shop, command, "") == actions
        for words in [(command, action) for action in actions] or [(command,)]:
            options = set(re.findall(r"^ +(?:-., )?(--[a-z-]+=?)", help_of(*words) + help_of(), re.M))
            assert set(complete(shop, *words, "--")) == options, words


def test_quiet_and_fast_without_an_answer(shop):
    """Somebody is typing: nothing is said, and nobody waits for long."""
    assert complete(shop, "--socket", "/nonexistent", "show", "") == []
    shop.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert complete(shop, "show", "") == []
        assert time.monotonic() - began < 5
    finally:
        shop.process.send_signal(signal.SIGCONT)
    shop.stop()
    assert complete(shop, "member", "drain", "x", "") == []
    shop.start()


class Bash:
    """An interactive one with the completion loaded."""

    def __init__(self, socket_path):
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=follower, stdout=follower,
            stderr=follower, start_new_session=True, env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8",
                "AMPHORAD_SOCKET": str(socket_path), "PATH": f"{AMPHORACTL.parent}:{os.environ['PATH']}",
                "INPUTRC": "/dev/null"})
        os.close(follower)
        self.output = ""
        self.type(f"PS1='> ' HISTFILE= ; bind 'set bell-style none'; . {BASH_COMPLETION}; . {SCRIPT}; echo rea''dy\n")
        self.wait(lambda text: "ready" in text)

    def type(self, keys):
        os.write(self.leader, keys.encode())

    def wait(self, condition):
        def read():
            while select.select([self.leader], [], [], 0)[0]:
                self.output += os.read(self.leader, 65536).decode(errors="replace")
            return condition(self.output)
        try:
            wait_for(read, 15, "bash")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def complete(self, typed, becomes):
        """Types a line and the tab key; waits until it reads as wanted, and gives it up."""
        self.output = ""
        self.type(typed + "\t")
        self.wait(lambda text: becomes in text)
        self.output = ""
        self.type("\x15echo do''ne\n")
        self.wait(lambda text: "done" in text)

    def close(self):
        end(self.process)
        os.close(self.leader)


def test_in_bash(shop):
    if not BASH_COMPLETION.exists() or not shutil.which("bash"):
        pytest.skip("bash-completion is not installed")
    bash = Bash(shop.socket_path)
    try:
        bash.complete("amphoractl mem", "amphoractl member ")
        bash.complete("amphoractl member drain blue\\ ", "amphoractl member drain blue\\ pool ")
        bash.complete("amphoractl member drain 'blue ", "amphoractl member drain 'blue pool' ")
        bash.complete("amphoractl member drain blue-", "amphoractl member drain blue-\\$\\(exit\\) ")
        port = next(m["protocol_port"] for p in pools_of(shop) for m in p["members"]
            if not m["name"])
        bash.complete(f"amphoractl member drain blue\\ pool 127.0.0.77:{str(port)[:2]}", f"127.0.0.77:{port} ")
        bash.complete("amphoractl member drain --loadbalancer=s", "amphoractl member drain --loadbalancer=shop ")
        bash.complete("amphoractl --color=ne", "amphoractl --color=never ")
        bash.complete("amphoractl --soc", "amphoractl --socket=")
        bash.complete(f"amphoractl --socket={SCRIPT.parent}/amphorac", f"amphoractl --socket={SCRIPT} ")
    finally:
        bash.close()
