# SPDX-License-Identifier: Apache-2.0
"""amphoractl watch: status, sessions and rates as they change, on a terminal and elsewhere."""

import json
import re
import signal

import pytest

from amphora import AMPHORACTL, document, listener, member, monitor, new_id, pool, run_ctl
from clients import Load, Session
from backends import TcpOrigin
from processes import alive, free_port, wait_for
from terminal import Terminal

REFUSED, UNREACHABLE = 3, 4


@pytest.fixture
def shop(agent, origins):
    """HTTP on one listener, TCP on another."""
    class Shop:
        pass
    s = Shop()
    s.agent, s.id, s.http, s.tcp = agent, new_id(), free_port(), free_port()
    s.origins = [origins("a"), origins("b")]
    s.echo = origins("echo", kind=TcpOrigin)
    s.body = document(
        listener(s.http, pool([member(o.port, o.name) for o in s.origins], name="web",
            healthmonitor=monitor("HTTP", url_path="/health")), name="front"),
        listener(s.tcp, pool([member(s.echo.port, "echo", weight=7)], name="raw", protocol="TCP"), name="plain",
            protocol="TCP"), name="shop")
    agent.apply(s.id, s.body)
    return s


@pytest.fixture
def watch(shop):
    """Starts it on a terminal."""
    terminals = []

    def start(*arguments, **options):
        terminals.append(Terminal([AMPHORACTL, "--socket", shop.agent.socket_path, "watch", "--interval", "1",
            *arguments], **options))
        return terminals[-1]
    yield start
    for terminal in terminals:
        terminal.close()


def cells(screen, name):
    """The cells of the row with that name: status, weight (members only), sessions, rates."""
    for line in screen.splitlines():
        if re.match(rf" *(listener |pool )?{re.escape(name)} ", line):
            return re.split(r" {2,}", re.sub(rf"^ *(listener |pool )?{re.escape(name)} *", "", line))
    return None


def test_on_a_terminal(shop, watch):
    terminal = watch("shop")
    text = terminal.wait_screen(lambda t: (cells(t, "a") or [""])[0] == "ONLINE", "the members are up")
    assert terminal.screen.other and not terminal.screen.cursor
    assert [line.split()[0] for line in text.splitlines()[3:]] == \
        ["shop", "listener", "pool", "a", "b", "listener", "pool", "echo"], text
    assert cells(text, "echo")[:3] == ["NO_MONITOR", "7", "0"]

    held = Session(shop.tcp)
    terminal.wait_screen(lambda t: cells(t, "echo")[2] == "1" and cells(t, "plain")[1] == "1", "one session")
    held.close()
    terminal.wait_screen(lambda t: cells(t, "echo")[2] == "0", "no session")
    with Load(shop.http, threads=1):
        text = terminal.wait_screen(lambda t: cells(t, "front")[2] not in ("-", "0") and
            cells(t, "a")[3] not in ("-", "0") and cells(t, "b")[5] not in ("-", "0 B"), "rates")
    terminal.wait_screen(lambda t: cells(t, "front")[2] == "0", "no rate")
    shop.origins[0].health_status = 500
    terminal.wait_screen(lambda t: cells(t, "a")[0] == "ERROR" and cells(t, "web")[0] == "DEGRADED", "a is down")

    terminal.press("q")
    assert terminal.wait_end() == 0
    assert terminal.is_restored()
    # What was seen last is left to be read.
    assert cells(terminal.screen.text, "a")[0] == "ERROR"


def test_window_and_keys(shop, watch):
    terminal = watch("--interval", "600", rows=24, columns=100)
    terminal.wait_screen(lambda t: cells(t, "echo"), "all rows")
    terminal.resize(6, 30)
    text = terminal.wait_screen(lambda t: "more lines" in t, "the window is small")
    lines = text.splitlines()
    assert len(lines) == 6 and all(len(line) <= 30 for line in lines), text
    terminal.resize(24, 100)
    terminal.wait_screen(lambda t: cells(t, "echo") and "more lines" not in t, "the window is large again")
    shop.agent.apply(shop.id, {"loadbalancer": {**shop.body["loadbalancer"], "name": "bazaar"}})
    terminal.press("x")
    terminal.press(" ")
    terminal.wait_screen(lambda t: cells(t, "bazaar"), "the space bar looks at once")

    terminal.press("\x1a")
    stopped = lambda: open(f"/proc/{terminal.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T"
    wait_for(stopped, 10, "Ctrl-Z stops it")
    terminal.read()
    assert terminal.is_restored()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_screen(lambda t: terminal.screen.other and cells(t, "bazaar"), "it goes on")
    terminal.press("\x03")
    assert terminal.wait_end() == 0 and terminal.is_restored()


def test_signal_that_ends(shop, watch):
    terminal = watch()
    terminal.wait_screen(lambda t: cells(t, "echo"), "rows")
    terminal.process.terminate()
    assert terminal.wait_end() == -signal.SIGTERM and terminal.is_restored()


def test_agent_restarts(shop, watch):
    terminal = watch("shop")
    terminal.wait_screen(lambda t: (cells(t, "a") or [""])[0] == "ONLINE", "rows")
    shop.agent.stop()
    text = terminal.wait_screen(lambda t: "cannot reach amphorad" in t, "it tells")
    assert cells(text, "a")[0] == "ONLINE", "the last rows stay"
    shop.agent.start()
    terminal.wait_screen(lambda t: "cannot reach" not in t and cells(t, "a"), "it goes on")
    assert alive(terminal.process.pid)
    # One that hangs does not keep Ctrl-C from its work.
    shop.agent.process.send_signal(signal.SIGSTOP)
    try:
        terminal.press(" \x03")
        assert terminal.wait_end() == 0 and terminal.is_restored()
    finally:
        shop.agent.process.send_signal(signal.SIGCONT)


def test_count(shop, watch):
    terminal = watch("--count", "2")
    assert terminal.wait_end() == 0 and terminal.is_restored()
    assert cells(terminal.screen.text, "front")[2] in ("0", "-"), terminal.screen.text


def test_lines(shop):
    with Load(shop.http, threads=1):
        done = run_ctl(shop.agent, "watch", "shop", "--interval", "1", "--count", "2")
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout, done
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["TIME", "KIND", "STATUS", "WEIGHT", "SESSIONS", "REQ/S", "BYTES_IN/S", "BYTES_OUT/S",
        "NAME"]
    assert len(lines) == 16
    rows = {line.split()[8]: line.split() for line in lines[8:]}
    assert list(rows) == ["shop", "shop/front", "shop/front/web", "shop/front/web/a", "shop/front/web/b", "shop/plain",
        "shop/plain/raw", "shop/plain/raw/echo"]
    assert float(rows["shop/front"][5]) > 0 and float(rows["shop/front/web/a"][7]) > 0
    assert rows["shop/plain/raw/echo"][1:6] == ["member", "NO_MONITOR", "7", "0", "0.0"]


def test_json(shop):
    done = run_ctl(shop.agent, "watch", "-o", "json", "--interval", "1", "--count", "2")
    assert done.returncode == 0 and done.stderr == "", done
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(looks) == 2
    echo = looks[1]["rows"][7]
    assert (echo["path"], echo["weight"], echo["active_connections"], echo["requests_per_s"]) == \
        ("shop/plain/raw/echo", 7, 0, 0.0)


def test_errors(shop):
    assert run_ctl(shop.agent, "watch", "nope").returncode == REFUSED
    done = run_ctl(shop.agent, "watch", "--interval", "0")
    assert done.returncode == 2 and "from 1 to" in done.stderr
    shop.agent.stop()
    assert run_ctl(shop.agent, "watch").returncode == UNREACHABLE
    shop.agent.start()
