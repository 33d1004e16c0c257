# SPDX-License-Identifier: Apache-2.0
"""Bugs that Octavia's Python agent once had, by its release notes (releasenotes/notes/ of openstack/octavia) or its
history, and that could exist here. Each test names its note."""

import hashlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid

import pytest

from amphora import new_id
from clients import fetch, server_of
from octavia_driver import (HEARTBEAT_KEY, VIP, amp, haproxy_cfg,  # noqa: F401
    health_managers, make_amphora, md5, peer_name, remote, tls_door)
from pki import CLIENT, SERVER, Authority
from processes import alive, command_line, free_port, kill, wait_for


def http_lb(agent, origin, lb_id=None, port=None, **more):
    """A running load balancer with that Origin: (its id, its port)."""
    lb_id, port = lb_id or new_id(), port or free_port()
    agent.publish(lb_id, haproxy_cfg(agent, lb_id, port, [(new_id(), "127.0.0.1", origin.port)], **more))
    assert server_of(port, address=VIP) == origin.name
    return lb_id, port


def is_open(port):
    try:
        socket.create_connection((VIP, port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


# Certificates


def test_certificate_overwritten_by_a_shorter_one(amp):
    """fix-listener-update-certs-failed-315c66f4806e76c8: an existing certificate gets overwritten properly."""
    lb_id, name = new_id(), "0123456789abcdef.pem"
    file = amp.cert_dir / lb_id / name
    for text in ("x" * 9000, "short\n", "", "longer again\n" * 100):
        reply = amp.put_certificate(lb_id, name, text).expect(200)
        assert reply.headers["ETag"] == md5(text)
        assert file.read_text() == text
        assert amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/certificates/{name}").json == {"md5sum": md5(text)}
    assert [path.name for path in file.parent.iterdir()] == [name]


def test_failed_rotation_keeps_the_old_certificate(amp):
    """amp-agent-py3-cert-upload-binary-74e0ab35c5a85c68: a rotation that failed left an empty certificate behind, and
    no controller could reach the amphora again. Also one that broke off halfway."""
    before = amp.server_cert.read_bytes()
    new = amp.pki.server_ca.issue(amp.amphora_id).pem.encode()
    connection = amp.connect()
    connection.send("PUT", "/1.0/certificate", new[:200], {"Content-Length": str(len(new))})
    connection.close()
    amp.rest("PUT", "/1.0/certificate", new[:200]).expect(400)
    assert amp.server_cert.read_bytes() == before
    assert amp.rest("GET", "/1.0/info").status == 200
    amp.rest("PUT", "/1.0/certificate", "# Grüße\n".encode() + new).expect(202)
    assert amp.rest("GET", "/1.0/info").status == 200
    assert [path.name for path in amp.folder.glob("server.pem*")] == ["server.pem"]


def test_secrets_are_not_logged(amp, health_managers):
    """stop-logging-amphora-cert-2e188675699d60d5, with everything at debug level."""
    lb_id, pair = new_id(), Authority("public").issue("www.example", (SERVER,))
    new = amp.pki.server_ca.issue(amp.amphora_id)
    amp.put_certificate(lb_id, "a.pem", pair.pem).expect(200)
    amp.rest("PUT", "/1.0/certificate", new.pem).expect(202)
    amp.rest("PUT", "/1.0/certificate", new.certificate + pair.key).expect(400)
    manager = health_managers()
    manager.key = "a-new-key-Zz81"
    amp.rest("PUT", "/1.0/config", amp.agent_conf(controllers=manager.address, heartbeat_key=manager.key,
        debug=True)).expect(202)
    amp.rest("PUT", "/1.0/config", amp.agent_conf(heartbeat_key=manager.key) + "\nbroken line\n")
    manager.wait_more(1)
    for secret in (HEARTBEAT_KEY, manager.key, "PRIVATE KEY", pair.key.splitlines()[1], new.key.splitlines()[1]):
        assert secret not in amp.log


def test_stranger_is_refused(amp):
    """correct-amp-client-auth-vulnerability-6803f4bac2508e4c (CVE-2019-17134): both sides show a certificate. The
    rest of it is in test_tls.py."""
    for client in (False, amp.pki.server_ca.issue("x", (CLIENT,))):
        with pytest.raises(OSError):
            reply = amp.rest("GET", "/1.0/info", client=client)
            raise AssertionError(f"was answered: {reply}")


# Configuration of the agent


def test_health_sender_takes_a_new_controller_list(make_amphora, health_managers):
    """Fix-Amphora-Config-Update-06b649883c7a4f44: the sender kept the old list."""
    old, new, third = health_managers(), health_managers(), health_managers()
    amp = make_amphora(controllers=old.address).start()
    old.wait_more(2)
    amp.rest("PUT", "/1.0/config", amp.agent_conf(controllers=f"{new.address}, {third.address}")).expect(202)
    first = new.wait_more(1)[0]["seq"]
    new.wait_more(2)
    third.wait_more(1)
    # Not by their number at an instant: what was sent before may be read later.
    assert all(message["seq"] < first for message in old.messages)
    amp.rest("PUT", "/1.0/config", amp.agent_conf(controllers=third.address)).expect(202)
    third.wait_more(2)
    # And after a restart it is still so.
    amp.stop()
    amp.start()
    count = len(old.messages)
    third.wait_more(2)
    assert not old.errors and not new.errors and not third.errors and len(old.messages) == count


def test_bad_configuration_changes_nothing(make_amphora, health_managers):
    """fix-amphora-update-api-call-d90853d7f75304a4 and the file that the Python agent has overwritten by then."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    before = amp.agent_config.read_text()
    for bad in ("no configuration at all\n", amp.agent_conf(controllers=manager.address, heartbeat_interval="soon")):
        reply = amp.rest("PUT", "/1.0/config", bad).expect(500)
        assert set(reply.json) == {"message", "details"} and reply.json["details"]
        assert amp.agent_config.read_text() == before
    manager.wait_more(2)
    assert manager.errors == []


def test_controllers_in_brackets(make_amphora, health_managers):
    """fix-ipv6-address-enclosed-in-brackets-c1cfc4717465ba09."""
    try:
        six = health_managers("::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    four = health_managers()
    make_amphora(controllers=f"{four.address}, {six.address}").start()
    six.wait_more(2)
    four.wait_more(2)


def test_unknown_options_are_accepted(make_amphora):
    """remove-use_upstart-448eaf86a7a46c54 and all the others: files of older and newer controllers are read, what is
    not known is logged once."""
    amp = make_amphora()
    text = amp.agent_config.read_text().replace("[amphora_agent]\n", "[amphora_agent]\nagent_server_network_dir = "
        "/etc/netns\nagent_server_network_file = /x\nan_option_of_2030 = 1\n") + "\n[a_section_of_2030]\nkey = value\n"
    amp.agent_config.write_text(text)
    amp.start()
    assert amp.rest("GET", "/1.0/info").status == 200
    amp.rest("PUT", "/1.0/config", text).expect(202)
    assert sum("an_option_of_2030" in line for line in amp.log.splitlines()) in (1, 2)


# State files after a crash


COUNTERS = {
    "empty": "",
    "cut off": "{",
    "list": "[]",
    "other object": "{\"a\": 1}",
    "zeros": "\0" * 100,
    "null": "null",
    "wrong types": "{\"x\": {\"y\": \"z\"}}",
    "deep": "{\"a\":" * 20000,
    "infinite": "1e999",
}


@pytest.mark.parametrize("kind", COUNTERS)
def test_corrupt_counters(make_amphora, health_managers, origins, kind):
    """No note: a stats_counters.json that a power cut had emptied stopped the Python agent's sender for good."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    listener_id = new_id()
    _, port = http_lb(amp, origins("a"), listener_id=listener_id)
    manager.wait_for(lambda m: listener_id in m["listeners"], "it is reported")
    amp.stop()
    (amp.state / "stats_counters.json").write_text(COUNTERS[kind])
    amp.start()
    messages = manager.wait_more(2)
    assert server_of(port, address=VIP) == "a"
    stats = [m["listeners"][listener_id]["stats"] for m in messages if listener_id in m["listeners"]]
    assert stats and all(0 <= value < 1 << 40 for each in stats for value in each.values())
    assert manager.errors == []


PID_FILES = {
    "empty": lambda: "",
    "words": lambda: "not a number\n",
    "negative": lambda: "-1\n",
    "zero": lambda: "0\n",
    "init": lambda: "1\n",
    "huge": lambda: "99999999999999999999\n",
    "path": lambda: "self\n",
    "another process": lambda: f"{os.getpid()}\n",
    "binary": lambda: "\0\1\2",
}


@pytest.mark.parametrize("kind", PID_FILES)
def test_garbage_in_the_pid_file(amp, origins, kind):
    """No note: with an empty pid file the Python agent finds "/proc/" and takes HAProxy for running; a pid that some
    other process has by now, too. It reloads what is not there, and the load balancer stays down."""
    origin = origins("a")
    lb_id, port = http_lb(amp, origin)
    amp.stop()
    for pid in amp.haproxy_processes():
        kill(pid)
    wait_for(lambda: not amp.haproxy_processes(), 10, "HAProxy is dead")
    (amp.state / lb_id / f"{lb_id}.pid").write_text(PID_FILES[kind]())
    amp.start()
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"
    (amp.state / lb_id / f"{lb_id}.pid").write_text(PID_FILES[kind]())
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"
    (amp.state / lb_id / f"{lb_id}.pid").write_text(PID_FILES[kind]())
    amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200)
    wait_for(lambda: not is_open(port), 10, "it is stopped")
    wait_for(lambda: not amp.haproxy_processes(), 10, "nothing of it is left")
    assert alive(os.getpid())


def test_pid_of_another_process_is_not_touched(amp, origins):
    """No note: what has the pid now is somebody else; stop and delete leave it alone."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        lb_id, port = http_lb(amp, origins("a"))
        pid_file = amp.state / lb_id / f"{lb_id}.pid"
        for action in ("stop", "reload", "reload"):
            pid_file.write_text(f"{other.pid}\n")
            amp.action(lb_id, action).expect(202)
        pid_file.write_text(f"{other.pid}\n")
        amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200)
        assert other.poll() is None and not is_open(port)
    finally:
        other.kill()
        other.wait()


SERVER_STATES = {
    "empty": "",
    "garbage": "garbage\n",
    "cut off": "1\n# be_id be_name srv_id",
    "zeros": "\0" * 5000,
    "other version": "7\n",
    "short lines": "1\n# x\n1 a 1 b\n",
}


@pytest.mark.parametrize("kind", SERVER_STATES)
def test_corrupt_server_state(amp, origins, kind):
    """fix-corrupted-global-server-state-file-325ab7c62e21ff14: HAProxy's saved state without its last newline or
    worse."""
    lb_id, port = http_lb(amp, origins("a"), check=True)
    (amp.state / lb_id / "servers-state").write_text(SERVER_STATES[kind])
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"
    amp.action(lb_id, "stop").expect(202)
    (amp.state / lb_id / "servers-state").write_text(SERVER_STATES[kind])
    amp.action(lb_id, "start").expect(202)
    assert server_of(port, address=VIP) == "a"


def test_saved_server_state_ends_in_a_newline(amp, origins):
    """fix-corrupted-global-server-state-file-325ab7c62e21ff14."""
    lb_id, port = http_lb(amp, origins("a"), check=True)
    other = (new_id(), "127.0.0.1", origins("b").port)
    amp.publish(lb_id, haproxy_cfg(amp, lb_id, port, [other], check=True, extra="    retries 2"))
    state = amp.state / lb_id / "servers-state"
    if state.exists():  # only a reload needs it
        assert state.read_text().startswith("1\n# ") and state.read_text().endswith("\n")


def test_uploads_that_broke_off(amp, origins):
    """No note: the Python agent publishes what it has got when the connection breaks."""
    lb_id, port = http_lb(amp, origins("a"))
    text = haproxy_cfg(amp, lb_id, free_port(), [])
    before = (amp.state / lb_id / "haproxy.cfg").read_text()

    def names():
        return sorted(path.name for path in (amp.state / lb_id).iterdir() if "cfg" in path.name)
    names_before = names()
    for chunked in (False, True):
        connection = amp.connect()
        path = f"/1.0/loadbalancer/{amp.amphora_id}/{lb_id}/haproxy"
        if chunked:
            connection.socket.sendall(f"PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                f"{len(text):x}\r\n{text}\r\n".encode())  # the last chunk is missing
        else:
            connection.send("PUT", path, text.encode(), {"Content-Length": str(len(text) + 100)})
        connection.close()
    amp.rest("GET", "/1.0/info").expect(200)
    assert (amp.state / lb_id / "haproxy.cfg").read_text() == before
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"
    wait_for(lambda: names() == names_before, 10, "nothing of them is left")


# HAProxy


def ids_with_a_dash():
    """Amphora ids whose hash begins with "-" in Octavia's alphabet."""
    for number in itertools.count():
        candidate = str(uuid.UUID(int=number))
        if hashlib.sha1(candidate.encode(), usedforsecurity=False).digest()[0] >> 2 == 63:
            yield candidate


@pytest.mark.parametrize("number", range(2))
def test_peer_name_with_a_leading_dash(make_amphora, origins, number):
    """fix-peer-name-prefix-hypen-e74a87e9a01b4f4c: HAProxy takes "-x…" for an option; the controller writes "x…"."""
    amphora_id = next(itertools.islice(ids_with_a_dash(), number, None))
    name = peer_name(amphora_id)
    assert name.startswith("x") and not name.endswith("=")
    amp = make_amphora(amphora_id=amphora_id).start()
    origin, lb_id, port, peers_port = origins("a"), new_id(), free_port(), free_port()
    peers = f"peers {lb_id.replace('-', '')}_peers\n    peer {name} 127.0.0.1:{peers_port}\n"
    table = f"    stick-table type ip size 10k peers {lb_id.replace('-', '')}_peers\n    stick on src\n"
    text = haproxy_cfg(amp, lb_id, port, [(new_id(), "127.0.0.1", origin.port)], extra=peers, pool_extra=table)
    for more in ("", "# changed\n"):
        amp.publish(lb_id, text + more)
        assert server_of(port, address=VIP) == "a"
    assert any(name in command_line(pid) for pid in amp.haproxy_processes())
    socket.create_connection(("127.0.0.1", peers_port), 5).close()  # it knows itself: it listens there


@pytest.mark.parametrize("line", ["    group nogroup\n", "\tgroup nogroup\n", "    group   haproxy # words\n",
    "    group nogroup\n    group nogroup\n"], ids=["blanks", "tab", "words", "twice"])
def test_group_lines_of_old_controllers(amp, origins, line):
    """auto_detect_haproxy_user_group-c220b6a2c8f1d589: the agent knows the group, the controller's is dropped."""
    lb_id, port, origin = new_id(), free_port(), origins("a")
    text = haproxy_cfg(amp, lb_id, port, [(new_id(), "127.0.0.1", origin.port)])
    sent = text.replace("    user nobody\n", "    user nobody\n" + line)
    reply = amp.upload(lb_id, sent).expect(202)
    assert reply.headers["ETag"] == md5(sent)
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"
    kept = amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy").expect(200).text
    assert "group " not in kept and kept.split() == text.split()


def test_haproxy_died_before_the_reload(amp, origins):
    """workaround-for-haproxy-crash-on-reload-813859171a6ac023: the call succeeds and traffic flows again."""
    lb_id, port = http_lb(amp, origins("a"))
    for change in ("", "# another\n"):
        for pid in amp.haproxy_processes():
            kill(pid)
        text = amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy").text
        amp.publish(lb_id, text + change)
        assert server_of(port, address=VIP) == "a"


def test_worker_died_in_the_reload(amp, origins):
    """workaround-for-haproxy-crash-on-reload-813859171a6ac023, the worker only."""
    lb_id, port = http_lb(amp, origins("a"))
    master = amp.haproxy_pid(lb_id)
    for pid in amp.haproxy_processes():
        if pid != master:
            kill(pid, signal.SIGSEGV)
    text = amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy").text
    amp.publish(lb_id, text + "# another\n")
    wait_for(lambda: server_of(port, address=VIP) == "a", 10, "it answers again")


def test_default_connection_limit(amp, origins):
    """new-default_connection_limit-config-option-3ed9f0ed6ec2b514, fix-nr_open-limit-value-7f475c3e301a608d: maxconn
    50000 wants 125029 descriptors; without the right to have them HAProxy refuses to start."""
    lb_id, port, origin = new_id(), free_port(), origins("a")
    text = haproxy_cfg(amp, lb_id, port, [(new_id(), "127.0.0.1", origin.port)]).replace("maxconn 200", "maxconn 50000")
    amp.publish(lb_id, text.replace("fullconn 200", "fullconn 50000"))
    assert server_of(port, address=VIP) == "a"


def test_haproxy_count(amp, origins):
    """fix-amphora-haproxy-count-b1b1df43a7150926: listener ids were looked for among load balancers,
    the count was 0."""
    def count():
        details = amp.rest("GET", "/1.0/details").expect(200).json
        return details["haproxy_count"], len(details["listeners"])
    assert count() == (0, 0)
    first, _ = http_lb(amp, origins("a"))
    http_lb(amp, origins("b"))
    assert count() == (2, 2)
    amp.action(first, "stop").expect(202)
    assert count() == (1, 2)
    amp.rest("DELETE", f"/1.0/listeners/{first}").expect(200)
    assert count() == (1, 1)


def test_version_of_haproxy_is_split_by_dots(amp):
    """"Support haproxy development snapshot version parsing" (commit 7dc54eb9c): controllers make integers of it."""
    major, minor = amp.rest("GET", "/1.0/info").expect(200).json["haproxy_version"].split(".")[:2]
    assert int(major) >= 2 and int(minor) >= 0


def test_details_do_not_fill_the_log(amp):
    """fix-spurious-tuned-log-messages-in-amphora-agent-api-4c0be968d4be4d98: no tuned, no complaint."""
    amp.rest("GET", "/1.0/details").expect(200)
    assert not re.search(r"(?i)(warning|error).*tuned", amp.log)


# Members in heartbeats


def member_states(manager, pool, member):
    return [m["pools"][pool]["members"].get(member) for m in manager.messages if pool in m["pools"]]


@pytest.mark.parametrize("change", ["another member", "another monitor"])
def test_member_in_error_is_not_up_after_a_change(make_amphora, health_managers, origins, change):
    """fix-member-operating-status-on-reload-fe3688603bae8726: for a moment a dead member was ONLINE. HAProxy checks the
    first server at once, the last one when most of the interval is over: whoever believes after the change that the
    dead member, now the last one, is up, says so for ten seconds."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    lb_id, port, listener_id, pool_id = new_id(), free_port(), new_id(), new_id()
    dead, good, more = ((new_id(), "127.0.0.1", number) for number in (free_port(), origins("a").port, free_port()))
    pool = f"{pool_id}:{listener_id}"

    def text(inter, *members):
        return haproxy_cfg(amp, lb_id, port, members, listener_id, pool_id, check=True) \
            .replace("check inter 1s", f"check inter {inter}s")
    amp.publish(lb_id, text(20, dead, good))
    manager.wait_for(lambda m: m["pools"].get(pool, {}).get("members", {}).get(dead[0]) == "DOWN", "one is down")
    manager.messages.clear()
    amp.publish(lb_id, text(20, good, more, dead) if change == "another member" else text(21, good, dead))
    manager.wait_more(3)
    assert set(member_states(manager, pool, dead[0])) == {"DOWN"}


def test_drained_disabled_and_unchecked_members(make_amphora, health_managers, origins):
    """fix-drain-status-detection-b9395fa4fe8c936f, Report-more-accurate-haproxy-statuses-7e995bb4c7cc0dd6,
    render-disabled-members-to-make-statuses-consistent-69189f71da2e02e8."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    lb_id, listener_id, pool_id = new_id(), new_id(), new_id()
    port = origins("a").port
    drained, off, plain = ((new_id(), "127.0.0.1", port, *words) for words in (
        ("weight 0 check inter 1s",), ("disabled check inter 1s",), ()))
    text = haproxy_cfg(amp, lb_id, free_port(), [drained, off, plain], listener_id, pool_id)
    amp.publish(lb_id, text)
    wanted = {drained[0]: "DRAIN", off[0]: "MAINT", plain[0]: "no check"}
    manager.wait_for(lambda m: m["pools"].get(f"{pool_id}:{listener_id}", {}).get("members") == wanted, "their states")


def test_last_listener_gone_is_no_failure(make_amphora, health_managers, origins):
    """Fix-listener-delete-causing-failover-251efdb79af24c0a: the controller fails an amphora over whose heartbeats stop
    or that reports other listeners than it should."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    listener_id = new_id()
    lb_id, _ = http_lb(amp, origins("a"), listener_id=listener_id)
    manager.wait_for(lambda m: listener_id in m["listeners"], "it is reported")
    amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200)
    start = len(manager.messages)
    wait_for(lambda: any(not m["listeners"] for m in manager.messages[start:]), 10, "it is reported no longer")
    messages = manager.wait_more(2)
    assert all(m["listeners"] == {} and m["pools"] == {} for m in messages)
    sequence = [m["seq"] for m in manager.messages]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_prometheus_listener_is_not_in_heartbeats(make_amphora, health_managers, origins):
    """Add-PROMETHEUS-listeners-1b3924680b409a1a: its internal proxies are none of the controller's."""
    manager = health_managers()
    amp = make_amphora(controllers=manager.address).start()
    lb_id, listener_id, port, inner = new_id(), new_id(), free_port(), free_port()
    extra = f"""
frontend prometheus-exporter-internal-endpoint
    bind 127.0.0.1:{inner}
    mode http
    no log
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request reject
    timeout http-request 5s
    timeout client 5s
backend prometheus-exporter-internal
    mode http
    no log
    balance first
    timeout connect 5s
    timeout server 5s
    server prometheus-internal 127.0.0.1:{inner}
"""
    text = haproxy_cfg(amp, lb_id, port, [], listener_id, extra=extra)
    amp.publish(lb_id, re.sub("default_backend .*", "default_backend prometheus-exporter-internal", text))
    status, _, body = fetch(port, "/metrics", address=VIP)
    assert status == 200 and b"haproxy_process" in body
    manager.wait_for(lambda m: listener_id in m["listeners"], "the listener is reported")
    assert not any("prometheus" in json.dumps(m) for m in manager.messages)


# Answers


def test_words_of_haproxy_are_in_the_answer(amp, origins):
    """No note, but what an operator looks at: the details name the line, and the file is kept."""
    lb_id, port = http_lb(amp, origins("a"))
    text = haproxy_cfg(amp, lb_id, port, []).replace("mode http", "mode nonsense")
    reply = amp.upload(lb_id, text).expect(400)
    assert reply.json["message"] == "Invalid request"
    assert "[ALERT]" in reply.json["details"] and "nonsense" in reply.json["details"]
    assert (amp.state / lb_id / "haproxy.cfg.new-failed").read_text() == text
    missing = f"{amp.cert_dir}/{lb_id}/missing.pem"
    reply = amp.upload(lb_id, haproxy_cfg(amp, lb_id, port, []).replace(f":{port}", f":{port} ssl crt {missing}"))
    assert "missing.pem" in reply.expect(400).json["details"]
    assert server_of(port, address=VIP) == "a"


def test_failed_start_is_reported(amp):
    """A port that is taken: 500 with HAProxy's words, for start and for reload; it does not say OK and die."""
    lb_id, port = new_id(), free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((VIP, port))
        taken.listen()
        amp.upload(lb_id, haproxy_cfg(amp, lb_id, port, [])).expect(202)
        for action in ("start", "reload"):
            reply = amp.action(lb_id, action).expect(500)
            assert reply.json["message"] in ("Error starting haproxy", "Error reloading haproxy")
            assert f"{VIP}:{port}" in reply.json["details"] or "bind" in reply.json["details"]
    amp.action(lb_id, "reload").expect(202)
    assert is_open(port)


def test_large_configuration(amp):
    """5 000 members, about a megabyte; with Content-Length and chunked."""
    lb_id, port = new_id(), free_port()
    backends = [(new_id(), f"10.{n >> 8 & 255}.{n & 255}.9", 80) for n in range(5000)]
    text = haproxy_cfg(amp, lb_id, port, backends, pool_extra=f"# {'x' * 1000}\n" * 500)
    assert len(text) > 800000
    path = f"/1.0/loadbalancer/{amp.amphora_id}/{lb_id}/haproxy"
    for chunked in (False, True):
        reply = amp.rest("PUT", path, text, chunked=chunked).expect(202)
        assert reply.headers["ETag"] == md5(text)
    assert amp.rest("GET", f"/1.0/loadbalancer/{lb_id}/haproxy").expect(200).text == text
    amp.action(lb_id, "reload").expect(202)
    assert is_open(port)


def test_restart_of_the_agent_drops_nothing(amp, origins):
    """The agent finds uploaded load balancers again: what runs goes on, what was stopped by the controller stays so."""
    lb_id, port = http_lb(amp, origins("a"))
    stopped, stopped_port = http_lb(amp, origins("b"))
    amp.action(stopped, "stop").expect(202)
    pids = set(amp.haproxy_processes())
    amp.stop()
    assert server_of(port, address=VIP) == "a"
    amp.start()
    assert set(amp.haproxy_processes()) >= pids and server_of(port, address=VIP) == "a"
    assert not is_open(stopped_port)
    amp.action(lb_id, "reload").expect(202)
    assert server_of(port, address=VIP) == "a"


def test_boot(amp, origins):
    """After a reboot, that is without HAProxy, every uploaded load balancer is started: it was enabled at boot."""
    lb_id, port = http_lb(amp, origins("a"))
    amp.kill()
    for pid in amp.haproxy_processes():
        kill(pid)
    wait_for(lambda: not amp.haproxy_processes(), 10, "HAProxy is dead")
    amp.start()
    wait_for(lambda: server_of(port, address=VIP) == "a", 10, "it serves again")
    assert amp.rest("GET", "/1.0/listeners").json[0]["status"] == "ACTIVE"
    amp.rest("DELETE", f"/1.0/listeners/{lb_id}").expect(200)
