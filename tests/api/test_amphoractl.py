# SPDX-License-Identifier: Apache-2.0
"""amphoractl against the real daemon: what it prints, and exit statuses that scripts can rely on."""

import copy
import json
import re
import socket
import subprocess

import pytest

from amphora import AMPHORACTL, document, listener, member, monitor, new_id, pool, run_ctl
from clients import server_of
from processes import free_port, wait_for

DIFFERS, USAGE, REFUSED, UNREACHABLE = 1, 2, 3, 4
ESCAPE = "\x1b"


@pytest.fixture
def shop(agent, origins, tmp_path):
    """A definition in a file, without ids."""
    class Shop:
        pass
    s = Shop()
    s.agent, s.port, s.file = agent, free_port(), tmp_path / "shop.json"
    s.origins = [origins("a"), origins("b")]
    s.body = document(listener(s.port, pool([member(o.port, o.name) for o in s.origins], name="web-pool",
        healthmonitor=monitor("HTTP", url_path="/health")), name="front"), name="shop")

    def write(**more):
        body = copy.deepcopy(s.body)
        body["loadbalancer"]["listeners"][0].update(more)
        s.file.write_text(json.dumps(body, indent=2))
    s.write = write
    s.ctl = lambda *arguments, **options: run_ctl(agent, *arguments, **options)
    write()
    return s


def ok(done):
    assert done.returncode == 0, done
    assert done.stderr == "" or "amphoractl" not in done.stderr, done
    return done.stdout


def test_apply(shop):
    out = ok(shop.ctl("apply", shop.file))
    assert "start" in out
    assert server_of(shop.port) in ("a", "b")
    assert "none" in ok(shop.ctl("apply", shop.file))
    shop.write(connection_limit=50)
    assert "runtime" in ok(shop.ctl("apply", shop.file))
    assert len(shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"]) == 1


def test_apply_from_standard_input_with_an_id(shop):
    lb_id = new_id()
    ok(shop.ctl("apply", "--id", lb_id, "-", stdin=shop.file.read_text()))
    assert shop.agent.definition(lb_id)["name"] == "shop"


def test_diff(shop):
    ok(shop.ctl("apply", shop.file))
    assert shop.ctl("diff", shop.file).returncode == 0
    shop.write(connection_limit=50)
    done = shop.ctl("diff", shop.file)
    assert done.returncode == DIFFERS, done
    assert "runtime" in done.stdout and "set maxconn frontend" in done.stdout
    assert re.search(r"^\+\s*maxconn 50$", done.stdout, re.M), done.stdout
    listed = shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"]
    assert shop.agent.definition(listed[0]["id"])["listeners"][0]["connection_limit"] != 50


def test_diff_of_what_is_new(shop):
    done = shop.ctl("diff", shop.file)
    assert done.returncode == DIFFERS and "start" in done.stdout
    assert shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"] == []


def test_list_show_config(shop):
    ok(shop.ctl("apply", shop.file))
    lb = shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"][0]
    out = ok(shop.ctl("list"))
    assert lb["id"] in out and "shop" in out and "127.0.0.1" in out
    assert ok(shop.ctl("show", "shop")) == ok(shop.ctl("show", lb["id"]))
    assert lb["id"] in ok(shop.ctl("show", "shop"))
    assert ok(shop.ctl("config", "shop")).rstrip("\n") == shop.agent.rendered(lb["id"]).rstrip("\n")
    assert json.loads(ok(shop.ctl("--json", "list")))["loadbalancers"] == [lb]


def test_status_is_a_tree(shop):
    ok(shop.ctl("apply", shop.file))
    lb_id = shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"][0]["id"]
    wait_for(lambda: shop.agent.status(lb_id)["operating_status"] == "ONLINE", 10, "ONLINE")
    out = ok(shop.ctl("status"))
    names = ["shop", "front", "web-pool", "a", "b"]
    lines = [next((n for n, line in enumerate(out.splitlines()) if re.search(rf"\b{name}\b", line)), None)
        for name in names]
    assert None not in lines and lines == sorted(lines), out
    assert "ONLINE" in out and ESCAPE not in out
    shop.origins[0].health_status = 500
    wait_for(lambda: "DEGRADED" in ok(shop.ctl("status", "shop")), 10, "DEGRADED")
    tree = json.loads(ok(shop.ctl("status", "shop", "--json")))
    assert "DEGRADED" in json.dumps(tree)


def test_colour_when_asked(shop):
    ok(shop.ctl("apply", shop.file))
    help_ = subprocess.run([str(AMPHORACTL), "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=30, check=True).stdout
    option = re.search(r"--colou?r", help_).group(0)
    assert ESCAPE in ok(shop.ctl(f"{option}=always", "status"))
    assert ESCAPE not in ok(shop.ctl(f"{option}=never", "status"))


def test_stats(shop):
    ok(shop.ctl("apply", shop.file))
    for _ in range(5):
        server_of(shop.port)
    wait_for(lambda: re.search(r"\b5\b", ok(shop.ctl("stats", "shop"))), 10, "5 connections")


def test_delete(shop):
    ok(shop.ctl("apply", shop.file))
    ok(shop.ctl("delete", "shop"))
    assert shop.agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"] == []
    assert shop.ctl("delete", "shop").returncode != 0
    assert shop.ctl("show", "shop").returncode != 0


def test_if_match(shop):
    ok(shop.ctl("apply", shop.file))
    shop.write(connection_limit=50)
    done = shop.ctl("apply", "--if-match", "999", shop.file)
    assert done.returncode == REFUSED, done
    ok(shop.ctl("apply", "--if-match", "1", shop.file))


def test_a_vip_that_is_not_here_comes_with_advice(shop):
    body = json.loads(shop.file.read_text())
    body["loadbalancer"]["vip_address"] = "192.0.2.1"
    done = shop.ctl("apply", "-", stdin=json.dumps(body))
    assert done.returncode == REFUSED and "Cannot assign requested address" in done.stderr, done
    assert "Does that machine have the address?" in done.stderr, done


def test_refusal_names_the_field(shop):
    shop.write(protocol="GOPHER")
    for command in ("apply", "diff"):
        done = shop.ctl(command, shop.file)
        assert done.returncode == (REFUSED if command == "apply" else USAGE), done
        assert "/loadbalancer/listeners/0/protocol" in done.stderr and done.stdout == "", done


def test_bad_files(shop, tmp_path):
    shop.file.write_text('{"loadbalancer": {')
    done = shop.ctl("apply", shop.file)
    assert done.returncode == USAGE and "shop.json" in done.stderr, done
    done = shop.ctl("apply", tmp_path / "missing.json")
    assert done.returncode == USAGE and "missing.json" in done.stderr, done


def test_usage(shop):
    for arguments in ([], ["frobnicate"], ["apply"], ["list", "--no-such-option"], ["delete"]):
        done = shop.ctl(*arguments)
        assert done.returncode == USAGE and done.stderr, (arguments, done)
    assert "apply" in ok(shop.ctl("--help")) and "amphoractl" in ok(shop.ctl("--version"))
    for command in ("apply", "diff", "list", "show", "status", "stats", "config", "delete", "heartbeat"):
        assert command in ok(shop.ctl(command, "--help"))


def test_no_daemon(make_agent):
    agent = make_agent()
    done = run_ctl(agent, "list")
    assert done.returncode == UNREACHABLE, done
    assert str(agent.socket_path) in done.stderr


def test_terminal_escapes_are_not_passed_on(shop):
    """A JSON reply is not trusted with the terminal; names come from other people."""
    shop.body["loadbalancer"]["name"] = "evil\u202ename"
    shop.write()
    done = shop.ctl("apply", shop.file)
    if done.returncode == 0:
        assert "\u202e" not in ok(shop.ctl("list"))


def test_heartbeat_decode(make_agent, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as controller:
        controller.bind(("127.0.0.1", 0))
        controller.settimeout(20)
        agent = make_agent(health_manager=f"controller_ip_port_list = 127.0.0.1:{controller.getsockname()[1]}\n"
            "heartbeat_key = some-key\nheartbeat_interval = 1").start()
        data = controller.recv(65536)
    file, key = tmp_path / "beat", tmp_path / "key"
    file.write_bytes(data)
    key.write_text("some-key\n")
    out = ok(run_ctl(agent, "heartbeat", "--decode", "--key-file", key, file))
    assert agent.amphora_id in out
    key.write_text("another-key\n")
    assert run_ctl(agent, "heartbeat", "--decode", "--key-file", key, file).returncode != 0
    file.write_bytes(data[:40])
    done = run_ctl(agent, "heartbeat", "--decode", file)
    assert done.returncode not in (0, -6, -11) and done.stderr, done
