# SPDX-License-Identifier: Apache-2.0
"""amphoractl's everyday verbs, with traffic: members, the PROXY protocol, revisions."""

import json
import os
import re
import socket
import subprocess
import threading

import pytest

from amphora import AMPHORACTL, document, listener, member, new_id, pool, run_ctl
from backends import TcpOrigin
from clients import Session, fetch
from processes import free_port, wait_for
from terminal import Terminal

USAGE, REFUSED, UNREACHABLE, TIMEOUT = 2, 3, 4, 5
SIGNATURE_V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def lb(agent, origins):
    """A TCP load balancer "lb" whose listener "front" leads to the pool "app" with "a" (weight 5) and "b"."""
    class Lb:
        pass
    lb = Lb()
    lb.agent, lb.id, lb.port = agent, new_id(), free_port()
    lb.a, lb.b = origins("a", kind=TcpOrigin), origins("b", kind=TcpOrigin)
    agent.apply(lb.id, document(listener(lb.port, pool([member(lb.a.port, "a", weight=5), member(lb.b.port, "b")],
        name="app", protocol="TCP"), name="front", protocol="TCP"), name="lb"))
    lb.ctl = lambda *arguments, **options: run_ctl(agent, *arguments, **options)

    def ok(*arguments, **options):
        done = lb.ctl(*arguments, **options)
        assert done.returncode == 0 and done.stderr == "", done
        return done.stdout
    lb.ok = ok
    lb.pool = lambda: agent.definition(lb.id)["pools"][0]
    lb.member = lambda name: next(m for m in lb.pool()["members"] if m["name"] == name)
    return lb


def refused(done, status, *words):
    assert done.returncode == status and done.stdout == "", done
    assert all(word in done.stderr for word in words), done.stderr


def test_members_come_and_go(lb, origins):
    c = origins("c", kind=TcpOrigin)
    assert lb.ok("member", "add", "app", f"127.0.0.1:{c.port}", "--name", "c", "--weight", "256") == \
        "member c of pool app: added, runtime\n"
    assert {Session(lb.port).server for _ in range(20)} >= {"c"}
    assert lb.ok("member", "weight", "app", "a", "b", "0") == \
        "member a of pool app: weight 0, runtime\nmember b of pool app: weight 0, runtime\n"
    assert {Session(lb.port).server for _ in range(10)} == {"c"}
    assert "runtime" in lb.ok("member", "weight", "app", "b", "1")
    # One that is removed serves the session that it has.
    held = next(s for s in iter(lambda: Session(lb.port), None) if s.server == "c")
    assert lb.ok("member", "remove", "app", f"127.0.0.1:{c.port}") == "member c of pool app: removed, runtime\n"
    assert {Session(lb.port).server for _ in range(5)} == {"b"}
    held.echo("still there")
    held.close()


def test_member_list(lb):
    held = [Session(lb.port) for _ in range(6)]
    rows = [re.split(r" {2,}", line) for line in lb.ok("member", "list", "app").splitlines()]
    assert rows[0] == ["MEMBER", "ADDRESS", "STATUS", "WEIGHT", "SESSIONS", "POOL", "ID"]
    assert [row[:6] for row in rows[1:]] == [["a", f"127.0.0.1:{lb.a.port}", "NO_MONITOR", "5", "5", "app"],
        ["b", f"127.0.0.1:{lb.b.port}", "NO_MONITOR", "1", "1", "app"]]
    listed = json.loads(lb.ok("-o", "json", "member", "list"))["members"]
    assert [(m["name"], m["weight"], m["active_connections"], m["pool_name"]) for m in listed] == \
        [("a", 5, 5, "app"), ("b", 1, 1, "app")]
    for session in held:
        session.close()


def test_drain_waits_for_the_last_session(lb):
    held = [Session(lb.port) for _ in range(12)]
    of_a = [s for s in held if s.server == "a"]
    drain = subprocess.Popen([str(AMPHORACTL), "--socket", str(lb.agent.socket_path), "member", "drain", "app", "a",
        "--wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(drain.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        wait_for(lambda: any(f"{len(of_a)} sessions left" in line for line in lines), 10, "progress")
        assert lb.member("a")["weight"] == 0
        assert {Session(lb.port).server for _ in range(5)} == {"b"}
        for session in of_a[1:]:
            session.close()
        wait_for(lambda: any(line.startswith("1 session left") for line in lines), 10, "one session left")
        # A reload makes the worker that serves the session an old one, and the agent may go and come.
        body = lb.agent.definition(lb.id)
        body["listeners"][0]["timeout_client_data"] = 77000
        assert lb.agent.apply(lb.id, {"loadbalancer": body})["apply"]["action"] == "reload"
        lb.agent.stop()
        lb.agent.start()
        of_a[0].echo("alive")
        assert drain.poll() is None
        of_a[0].close()
        assert drain.wait(20) == 0
        reader.join()
        assert lines[0] == "member a of pool app: draining, runtime\n" and lines[-1].startswith("0 sessions left")
    finally:
        drain.kill()
        drain.wait()
        drain.stderr.close()
        for session in held:
            session.close()


def test_drain_gives_up_in_time(lb):
    held = next(s for s in iter(lambda: Session(lb.port), None) if s.server == "a")
    done = lb.ctl("member", "drain", "app", "a", "--wait", "--timeout", "1")
    assert done.returncode == TIMEOUT and "sessions are left" in done.stderr and "member enable" in done.stderr, done
    held.echo("still there")
    held.close()
    terminal = Terminal([AMPHORACTL, "--socket", lb.agent.socket_path, "member", "drain", "app", "a", "-w"])
    try:
        assert terminal.wait_end() == 0
        assert "0 sessions left" in terminal.screen.text
    finally:
        terminal.close()
    refused(lb.ctl("member", "drain", "app", "a", "--timeout", "1"), USAGE, "--wait")
    done = lb.ctl("member", "drain", "app", "b")
    assert done.returncode == 0 and "no member of pool app takes new sessions" in done.stderr, done


def test_enable_gives_the_weight_back(lb):
    lb.agent.apply(lb.id, {"loadbalancer": (body := lb.agent.definition(lb.id))})
    body["pools"][0]["members"][0]["tags"] = ["kept"]
    lb.agent.apply(lb.id, {"loadbalancer": body})
    lb.ok("member", "drain", "app", "a")
    lb.ok("member", "drain", "app", "a")
    for weight in range(12):  # more than there are revisions
        lb.ok("member", "weight", "app", "b", str(weight + 2))
    assert lb.ok("member", "enable", "app", "a") == "member a of pool app: enabled, weight 5, runtime\n"
    assert (lb.member("a")["weight"], lb.member("a")["tags"]) == (5, ["kept"])
    done = lb.ctl("member", "enable", "app", "a")
    assert done.returncode == 0 and "enabled already" in done.stderr
    # Drained by others: the revisions tell.
    lb.ok("member", "weight", "app", "a", "0")
    assert "weight 5" in lb.ok("member", "enable", "app", "a")
    assert "weight 9" in lb.ok("member", "enable", "app", "a", "--weight", "9")
    body = lb.agent.definition(lb.id)
    body["pools"][0]["members"][0]["admin_state_up"] = False
    lb.agent.apply(lb.id, {"loadbalancer": body})
    lb.ok("member", "enable", "app", "a")
    assert lb.member("a")["admin_state_up"] and lb.member("a")["weight"] == 9


def test_names_that_do_not_do(lb, origins):
    refused(lb.ctl("member", "drain", "apps", "a"), REFUSED, '"apps"', "amphoractl status")
    refused(lb.ctl("member", "drain", "app", "c"), REFUSED, '"c"', "amphoractl member list app")
    refused(lb.ctl("member", "drain", "app", "127.0.0.1"), USAGE, "2 members", lb.member("b")["id"])
    refused(lb.ctl("member", "weight", "app", "a", "x"), USAGE, "0 to 256")
    refused(lb.ctl("member", "add", "app", "127.0.0.1"), USAGE, "ADDRESS:PORT")
    refused(lb.ctl("member", "add", "app", "::1:80"), USAGE, "[IPv6]:PORT")
    refused(lb.ctl("member", "add", "app", "nowhere:80"), REFUSED, "/member/address")
    refused(lb.ctl("member", "add", "app", f"127.0.0.1:{lb.a.port}"), REFUSED, "409")
    refused(lb.ctl("member", "frobnicate"), USAGE, "frobnicate", "member --help")
    refused(lb.ctl("member"), USAGE, "drain")
    # The same name in two load balancers.
    other = new_id()
    lb.agent.apply(other, document(listener(free_port(), pool([member(lb.a.port, "a")], name="app", protocol="TCP"),
        name="front", protocol="TCP"), name="other"))
    refused(lb.ctl("member", "drain", "app", "a"), USAGE, "2 pools", "--loadbalancer", "load balancer other")
    assert "weight 3" in lb.ok("member", "weight", "app", "a", "3", "--loadbalancer", "other")
    assert lb.agent.definition(other)["pools"][0]["members"][0]["weight"] == 3 and lb.member("a")["weight"] == 5
    assert "weight 4" in lb.ok("member", "weight", lb.pool()["id"], "a", "4")


def test_ipv6_member(lb, origins):
    six = origins("six", kind=TcpOrigin, address="::1")
    assert "added" in lb.ok("member", "add", "app", f"[::1]:{six.port}", "--weight", "256")
    assert "six" in {Session(lb.port).server for _ in range(10)}
    assert f"member [::1]:{six.port} of pool app: removed" in lb.ok("member", "remove", "app", f"[::1]:{six.port}")


def first_bytes(origin, port):
    """What the member gets first of one connection."""
    seen = len(origin.first_bytes)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"x\n")
        wait_for(lambda: len(origin.first_bytes) > seen, 20, "bytes at the member")
    return origin.first_bytes[-1]


def test_proxy_protocol_to_the_members(lb):
    lb.ok("member", "remove", "app", "b")
    before = Session(lb.port)
    before.echo("plain")
    assert lb.a.first_bytes[-1] == b"plain\n"
    old_worker = lb.agent.haproxy_processes()
    out = lb.ok("proxy-protocol", "on", "pool", "app")
    assert re.fullmatch(r"pool app: PROXY protocol v1 to its members, (runtime|reload)\n", out)
    pool_id = lb.pool()["id"]
    # From now on, and nothing is made anew: the connection that was there goes on as it began.
    assert first_bytes(lb.a, lb.port).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    before.echo("as it began")
    assert set(old_worker) <= set(lb.agent.haproxy_processes())

    assert "v2 to its members with crc32c" in lb.ok("proxy-protocol", "on", "pool", "app", "--tlv", "crc32c")
    data = first_bytes(lb.a, lb.port)
    assert data.startswith(SIGNATURE_V2) and data[28:31] == b"\x03\x00\x04", "the checksum's TLV"
    assert "none" in lb.ok("proxy-protocol", "on", "pool", "app", "v2", "--tlv", "crc32c")
    assert "off (TCP)" in lb.ok("proxy-protocol", "off", "pool", "app")
    assert first_bytes(lb.a, lb.port) == b"x\n"
    before.echo("still")
    before.close()
    assert (lb.pool()["id"], lb.pool()["protocol"], lb.pool().get("proxy_protocol_options")) == (pool_id, "TCP", None)


def test_proxy_protocol_from_a_load_balancer_in_front(lb):
    lb.ok("member", "remove", "app", "b")
    lb.ok("proxy-protocol", "on", "pool", "app")
    out = lb.ok("proxy-protocol", "on", "listener", "front", "--trusted", "127.0.0.0/24,10.0.0.0/8", "--header-timeout",
        "2000")
    assert "accepted from 127.0.0.0/24, 10.0.0.0/8, within 2000 ms" in out

    def client_address(source, header=b""):
        """The address that the member is told of this client."""
        seen = len(lb.a.first_bytes)
        with socket.create_connection(("127.0.0.1", lb.port), 10, (source, 0)) as client:
            client.sendall(header + b"x\n")
            wait_for(lambda: len(lb.a.first_bytes) > seen, 20, "bytes at the member")
        return lb.a.first_bytes[-1].split()[2].decode()
    assert client_address("127.0.0.1", b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 80\r\n") == "192.0.2.77"
    assert client_address("127.0.1.5") == "127.0.1.5"  # not trusted: a plain connection
    shown = lb.ok("proxy-protocol", "show")
    assert re.search(r"^listener +front +accepted from 127.0.0.0/24, 10.0.0.0/8, within 2000 ms +lb$", shown, re.M)
    assert re.search(r"^pool +app +v1 to its members +lb$", shown, re.M)
    rows = json.loads(lb.ok("proxy-protocol", "show", "lb", "-o", "json"))
    assert [(r["kind"], r["name"], r["on"]) for r in rows] == [("listener", "front", True), ("pool", "app", True)]
    assert "off" in lb.ok("proxy-protocol", "off", "listener", "front")
    assert lb.agent.definition(lb.id)["listeners"][0].get("proxy_protocol") is None


def test_proxy_protocol_as_it_is_not_meant(lb):
    refused(lb.ctl("proxy-protocol", "on", "listener", "front"), USAGE, "--trusted")
    refused(lb.ctl("proxy-protocol", "on", "front", "app"), USAGE, "pool NAME")
    refused(lb.ctl("proxy-protocol", "on", "pool", "app", "v3"), USAGE, "v1 or v2")
    refused(lb.ctl("proxy-protocol", "on", "pool", "app", "v1", "--tlv", "ssl"), USAGE, "v2")
    refused(lb.ctl("proxy-protocol", "on", "pool", "app", "--tlv", "nonsense"), REFUSED, "proxy_protocol_options/0")
    refused(lb.ctl("proxy-protocol", "on", "listener", "front", "--trusted", "here"), REFUSED, "trusted_cidrs/0")
    refused(lb.ctl("proxy-protocol", "off", "pool", "app", "--protocol", "PROXY"), USAGE, "TCP, HTTP or HTTPS")
    refused(lb.ctl("proxy-protocol", "on", "pool", "front"), REFUSED, "no pool")


def test_off_is_what_the_listener_speaks(lb, nginx):
    server, port = nginx("ingress"), free_port()
    lb.agent.apply(new_id(), document(listener(port, pool([member(server.port)], name="web", protocol="PROXY"),
        protocol="HTTP"), name="http"))
    assert fetch(port, "/x", source="127.0.0.9")[2] == b"ingress 127.0.0.9\n"
    assert "off (HTTP)" in lb.ok("proxy-protocol", "off", "pool", "web")
    assert "off (TCP), none" in lb.ok("proxy-protocol", "off", "pool", "app")
    assert "off (HTTP), none" in lb.ok("proxy-protocol", "off", "pool", "web")
    assert "off (HTTPS)" in lb.ok("proxy-protocol", "off", "pool", "app", "--protocol", "HTTPS")
    assert "off (HTTPS), none" in lb.ok("proxy-protocol", "off", "pool", "app")


def test_changes_of_others_are_kept(lb):
    """The pool is changed in the definition: what others change in the meantime stays."""
    failures = []

    def weigh(name, weights):
        for weight in weights:
            done = lb.ctl("member", "weight", "app", name, str(weight))
            if done.returncode != 0:
                failures.append(done)
    threads = [threading.Thread(target=weigh, args=(name, range(1, 9))) for name in "ab"]
    for thread in threads:
        thread.start()
    for action in (["on", "pool", "app"], ["on", "pool", "app", "v2"], ["off", "pool", "app"], ["on", "pool", "app"]):
        lb.ok("proxy-protocol", *action)
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert (lb.member("a")["weight"], lb.member("b")["weight"], lb.pool()["protocol"]) == (8, 8, "PROXY")


def test_revisions_and_rollback(lb):
    lb.ok("member", "weight", "app", "a", "7")
    lb.ok("member", "remove", "app", "b")
    lines = lb.ok("revisions", "lb").splitlines()
    assert [line.split()[0] for line in lines] == ["REVISION", "3", "2", "1"]
    assert lines[1].endswith("- member b of pool app")
    assert lines[2].endswith("~ member a of pool app: weight 5 -> 7")
    assert lb.ok("revisions", "lb", "1") == "~ member a of pool app: weight 5 -> 7\n- member b of pool app\n"
    assert lb.ok("revisions", "lb", "2", "1") == "~ member a of pool app: weight 7 -> 5\n"
    assert lb.ok("revisions", "lb", "3") == "There is no difference.\n"

    planned = lb.ok("rollback", "lb", "1", "--dry-run")
    assert "+ member b of pool app" in planned and "Plan for lb" in planned and len(lb.pool()["members"]) == 1
    out = lb.ok("rollback", "lb")
    assert out.splitlines()[0] == "+ member b of pool app" and "revision 4" in out and "runtime" in out
    assert "b" in {Session(lb.port).server for _ in range(20)}
    lb.ok("rollback", "lb", "1")
    assert lb.member("a")["weight"] == 5
    changes = json.loads(lb.ok("revisions", "lb", "4", "-o", "json"))
    assert changes[0]["fields"] == {"weight": {"from": 7, "to": 5}}
    refused(lb.ctl("rollback", "lb", "77"), REFUSED, "amphoractl revisions")
    refused(lb.ctl("rollback", "lb", "first"), USAGE, "number")
    refused(lb.ctl("revisions", "nope"), REFUSED, "nope")


def test_quiet_and_unreachable(lb):
    assert lb.ok("-q", "member", "weight", "app", "a", "6") == ""
    assert json.loads(lb.ok("-j", "member", "weight", "app", "a", "5"))["member"]["weight"] == 5
    lb.agent.stop()
    refused(lb.ctl("member", "weight", "app", "a", "6"), UNREACHABLE, "Is amphorad running?")
    lb.agent.start()


def test_every_verb_has_help():
    def listed(*command):
        done = subprocess.run([str(AMPHORACTL), *command, "--help"], capture_output=True, text=True, check=True,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return done.stdout
    actions = re.findall(r"^  ((?:member|proxy-protocol|certificate) [a-z]+)", "".join(listed(c) for c in
        ("member", "proxy-protocol", "certificate")), re.M)
    assert len(actions) == 13
    for action in actions:
        assert listed(*action.split()).startswith(f"Usage: amphoractl [OPTION...] {action}"), action
