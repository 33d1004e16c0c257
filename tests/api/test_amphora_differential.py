# SPDX-License-Identifier: Apache-2.0
"""The same requests to Octavia's Python agent and to amphorad: the same status, the same headers that matter, bodies of
the same shape. Where the Python agent cannot run, its recorded answers stand in for it.

    AMPHORAD_RECORD=1 tests/api/run tests/api/test_amphora_differential.py      records them anew
"""

import json
import os
import pathlib

import pytest

import amphora
import python_agent
from octavia_driver import Authority, OctaviaAgent, haproxy_cfg, md5, shared_pki, why_not_served
from processes import free_port, wait_for

RECORDED = pathlib.Path(__file__).with_name("recorded") / "python-agent-11.0.0.json"
LB = "6d3c2a1e-0a4f-4f0e-9f5e-0d2f1c6b7a01"
TCP_LB = "6d3c2a1e-0a4f-4f0e-9f5e-0d2f1c6b7a02"
MISSING = "6d3c2a1e-0a4f-4f0e-9f5e-0d2f1c6b7aff"
LISTENER = "11111111-2222-4333-8444-555555555501"
TCP_LISTENER = "11111111-2222-4333-8444-555555555502"
AMPHORA = "99999999-2222-4333-8444-555555555501"
CERTIFICATE = "0a4d55a8d778e5022fab701977c5d840bbc486d0.pem"

# Requests, in this order: name -> (method, path[, body[, options]]). A body that is a function gets the Setup.
REQUESTS = {
    # Discovery, unknown routes and methods
    "version": ("GET", "/"),
    "version, as the worker asks": ("GET", "//"),
    "version, HEAD": ("HEAD", "/"),
    "version, wrong method": ("PUT", "/", ""),
    "unknown path": ("GET", "/nothing"),
    "unknown path of the version": ("GET", "/1.0/nothing"),
    "other version": ("GET", "/0.5/info"),
    "only the version": ("GET", "/1.0"),
    "unknown path, PUT": ("PUT", "/1.0/nothing", "x"),
    "info": ("GET", "/1.0/info"),
    "info with a query": ("GET", "/1.0/info?x=y"),
    "info, slash at the end": ("GET", "/1.0/info/"),
    "info, wrong method": ("PUT", "/1.0/info", ""),
    "info, POST": ("POST", "/1.0/info", "{}"),
    "details of an idle amphora": ("GET", "/1.0/details"),
    "details, wrong method": ("DELETE", "/1.0/details"),
    "listeners of an idle amphora": ("GET", "/1.0/listeners"),
    "listeners, wrong method": ("DELETE", "/1.0/listeners"),
    # A load balancer that does not exist
    "missing: configuration": ("GET", f"/1.0/loadbalancer/{MISSING}/haproxy"),
    "missing: start": ("PUT", f"/1.0/loadbalancer/{MISSING}/start"),
    "missing: reload": ("PUT", f"/1.0/loadbalancer/{MISSING}/reload"),
    "missing: stop": ("PUT", f"/1.0/loadbalancer/{MISSING}/stop"),
    "missing: unknown action": ("PUT", f"/1.0/loadbalancer/{MISSING}/dance"),
    "missing: delete": ("DELETE", f"/1.0/listeners/{MISSING}"),
    "missing: id that is none": ("GET", "/1.0/loadbalancer/nobody/haproxy"),
    "missing: delete, id that is none": ("DELETE", "/1.0/listeners/nobody"),
    "missing: certificate": ("GET", f"/1.0/loadbalancer/{MISSING}/certificates/{CERTIFICATE}"),
    "missing: delete certificate": ("DELETE", f"/1.0/loadbalancer/{MISSING}/certificates/{CERTIFICATE}"),
    # Certificates come before the configuration that names them
    "certificate": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}", lambda setup: setup.pair.pem),
    "certificate, checksum": ("GET", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}"),
    "certificate, shorter": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}",
        lambda setup: setup.pair.pem[1:]),
    "certificate, checksum of the shorter": ("GET", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}"),
    "certificate, chunked": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}",
        lambda setup: setup.pair.pem, {"chunked": True}),
    "certificate, empty": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/empty.pem", ""),
    "certificate, checksum of the empty": ("GET", f"/1.0/loadbalancer/{LB}/certificates/empty.pem"),
    "certificate, short name": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/ab.pem", "x"),
    "certificate, dots in the name": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/www.example.com.pem", "x"),
    "certificate, not UTF-8": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/binary.pem", b"\xff\xfe\x00"),
    "certificate, checksum of what is not UTF-8": ("GET", f"/1.0/loadbalancer/{LB}/certificates/binary.pem"),
    "certificate, wrong name": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/cert.txt", "x"),
    "certificate, no name": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/", "x"),
    "certificate, only the suffix": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/.pem", "x"),
    "certificate, more after the suffix": ("PUT", f"/1.0/loadbalancer/{LB}/certificates/a1.pem.bak", "x"),
    "certificate, wrong name to read": ("GET", f"/1.0/loadbalancer/{LB}/certificates/cert.txt"),
    "certificate, wrong name to delete": ("DELETE", f"/1.0/loadbalancer/{LB}/certificates/cert.txt"),
    "certificate, one that is not there": ("GET", f"/1.0/loadbalancer/{LB}/certificates/other.pem"),
    "certificate, delete": ("DELETE", f"/1.0/loadbalancer/{LB}/certificates/ab.pem"),
    "certificate, delete again": ("DELETE", f"/1.0/loadbalancer/{LB}/certificates/ab.pem"),
    "certificate, wrong method": ("POST", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}", "x"),
    # Uploads
    "upload, broken": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", "global\n    nonsense\n"),
    "upload, broken: nothing there": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, certificate that is not there": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy",
        lambda setup: setup.cfg.replace(f":{setup.port}", f":{setup.port} ssl crt {setup.agent.cert_dir}/x.pem")),
    "upload": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", lambda setup: setup.cfg),
    "upload, read": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, again": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", lambda setup: setup.cfg),
    "upload, chunked": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", lambda setup: setup.cfg,
        {"chunked": True}),
    "upload, with a content type": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", lambda setup: setup.cfg,
        {"headers": {"Content-Type": "application/octet-stream"}}),
    "upload, with group": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy",
        lambda setup: setup.cfg.replace("    user nobody\n", "    user nobody\n    group nogroup\n")),
    "upload, read without group": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, then a broken one": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy",
        lambda setup: setup.cfg.replace("mode http", "mode nonsense")),
    "upload, the old one stays": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, other letters": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy",
        lambda setup: "# Grüße, 你好\n" + setup.cfg),
    "upload, read other letters": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, not UTF-8": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy",
        lambda setup: setup.cfg.encode() + b"# \xff\xfe\n"),
    "upload, empty": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", ""),
    "upload, final": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", lambda setup: setup.cfg),
    "upload, wrong method": ("POST", f"/1.0/loadbalancer/{AMPHORA}/{LB}/haproxy", "x"),
    "upload, delete": ("DELETE", f"/1.0/loadbalancer/{LB}/haproxy"),
    "upload, without the amphora": ("PUT", f"/1.0/loadbalancer/{LB}/haproxy", lambda setup: setup.cfg),
    "upload, TCP": ("PUT", f"/1.0/loadbalancer/{AMPHORA}/{TCP_LB}/haproxy", lambda setup: setup.tcp_cfg),
    # Actions
    "stopped: listeners": ("GET", "/1.0/listeners"),
    "stopped: stop": ("PUT", f"/1.0/loadbalancer/{LB}/stop"),
    "action, unknown": ("PUT", f"/1.0/loadbalancer/{LB}/dance"),
    "action, GET": ("GET", f"/1.0/loadbalancer/{LB}/start"),
    "action, reload of a stopped one": ("PUT", f"/1.0/loadbalancer/{LB}/reload"),
    "action, reload": ("PUT", f"/1.0/loadbalancer/{LB}/reload", None, {"running": True}),
    "action, start of a running one": ("PUT", f"/1.0/loadbalancer/{LB}/start"),
    "action, in capitals": ("PUT", f"/1.0/loadbalancer/{LB}/RELOAD", None, {"running": True}),
    "action, start": ("PUT", f"/1.0/loadbalancer/{TCP_LB}/start"),
    "action, with a body": ("PUT", f"/1.0/loadbalancer/{TCP_LB}/start", "{}"),
    "running: listeners": ("GET", "/1.0/listeners"),
    "running: details": ("GET", "/1.0/details"),
    "action, stop": ("PUT", f"/1.0/loadbalancer/{LB}/stop", None, {"running": True}),
    "action, stop again": ("PUT", f"/1.0/loadbalancer/{LB}/stop"),
    "action, start after stop": ("PUT", f"/1.0/loadbalancer/{LB}/start"),
    # The end of it
    "delete": ("DELETE", f"/1.0/listeners/{LB}", None, {"running": True}),
    "delete, again": ("DELETE", f"/1.0/listeners/{LB}"),
    "delete, configuration is gone": ("GET", f"/1.0/loadbalancer/{LB}/haproxy"),
    "delete, certificate is gone": ("GET", f"/1.0/loadbalancer/{LB}/certificates/{CERTIFICATE}"),
    "delete, reload": ("PUT", f"/1.0/loadbalancer/{LB}/reload"),
    "delete, the other": ("DELETE", f"/1.0/listeners/{TCP_LB}"),
    "delete, no listeners": ("GET", "/1.0/listeners"),
    "delete, wrong method": ("GET", f"/1.0/listeners/{LB}"),
    # The agent itself
    "config": ("PUT", "/1.0/config", lambda setup: setup.agent.agent_conf(heartbeat_interval=3)),
    "config, garbage": ("PUT", "/1.0/config", "this is no configuration\n"),
    "config, again": ("PUT", "/1.0/config", lambda setup: setup.agent.agent_conf()),
    "config, wrong method": ("GET", "/1.0/config"),
    "server certificate": ("PUT", "/1.0/certificate",
        lambda setup: setup.agent.pki.server_ca.issue(setup.agent.amphora_id).pem),
    "server certificate, wrong method": ("GET", "/1.0/certificate"),
    "server certificate, garbage": ("PUT", "/1.0/certificate", "garbage"),
}

# name -> what amphorad answers instead (fields of the answer), why.
DIFFERENCES = {
    "version": ({"more": ["versions"]}, "amphorad has a second API, a client that looks for it finds it here"),
    "version, as the worker asks": ({"more": ["versions"]}, "the same"),
    "details of an idle amphora": ({"more": ["active_tuned_profiles", "cpu_count"]}, "as newer Octavia has them"),
    "running: details": ({"more": ["active_tuned_profiles", "cpu_count"]}, "as newer Octavia has them"),
    "certificate, checksum of what is not UTF-8": (
        {"status": 200, "type": "application/json", "etag": "body", "shape": {"md5sum": None}, "message": None},
        "the Python agent cannot read back what it stored; DER or a comment in Latin-1 is no failure of ours"),
    "certificate, more after the suffix": (
        {"status": 400, "type": "application/json", "etag": None, "shape": {"message": None},
            "message": "Filename has wrong format"},
        "the Python agent looks for pem anywhere in the name; HAProxy would load a folder's other files too"),
    "upload, not UTF-8": (
        {"status": 202, "type": "application/json", "etag": "request", "shape": {"message": None}, "message": "OK"},
        "HAProxy reads bytes; a comment in another encoding is no failure of ours, let alone a 500"),
    "info, slash at the end": (
        {"status": 200, "shape": dict.fromkeys(["api_version", "haproxy_version", "hostname", "ipvsadm_version",
            "keepalived_version"])}, "slashes that are doubled or last make no other path"),
    "certificate, no name": (
        {"status": 400, "shape": {"details": None, "message": None}, "message": "Invalid Request",
            "details": "Unknown action: certificates"}, "the same, and then this is the route of actions"),
    "server certificate, garbage": (
        {"status": 400, "shape": {"details": None, "message": None}, "message": "Invalid certificate"},
        "the Python agent takes it, and no controller reaches it again"),
}

# Messages whose details are HAProxy's or the library's own words.
FREE_DETAILS = ("Invalid request", "Invalid certificate", "Unable to update amphora-agent configuration.")


class Setup:
    """What the bodies need, for one agent."""

    def __init__(self, agent):
        self.agent = agent
        self.pair = Authority("public").issue("www.example")
        self.port = free_port()
        backend = (amphora.new_id(), "127.0.0.1", free_port())
        self.cfg = haproxy_cfg(agent, LB, self.port, [backend], LISTENER)
        self.tcp_cfg = haproxy_cfg(agent, TCP_LB, free_port(), [backend], TCP_LISTENER, mode="tcp")


def shape(value, name=""):
    """The keys of a body; of a list, those of its first item."""
    if isinstance(value, dict):
        if name == "networks":
            return None  # names of interfaces of this machine
        return {key: shape(item, key) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else None
    return None


def describe(reply, sent):
    """What is compared of one answer."""
    etag = reply.headers.get("ETag")
    try:
        body = json.loads(reply.body)
    except ValueError:
        body = None
    if etag is not None:
        etag = "request" if etag == md5(sent) else "body" if etag in (md5(reply.body), (body or {}).get("md5sum")) \
            else "other"
    words = body if isinstance(body, dict) else {}
    details = None if words.get("message") in FREE_DETAILS else words.get("details")
    return {"status": reply.status, "type": reply.headers.get("Content-Type"), "etag": etag, "shape": shape(body),
        "message": words.get("message"), "details": details}


def ask_all(agent):
    """The answers of one running agent, by name."""
    setup, answers = Setup(agent), {}
    for name, (method, path, *rest) in REQUESTS.items():
        body, options = (*rest, None, None)[:2]
        options = dict(options or {})
        if callable(body):
            body = body(setup)
        body = body.encode() if isinstance(body, str) else body
        if options.pop("running", False) and isinstance(agent, python_agent.PythonAgent):
            wait_for((agent.state / LB / f"{LB}.pid").exists, 10, "HAProxy has written its pid file")
        answers[name] = describe(agent.rest(method, path, body, **options), body or b"")
    return answers


def record():
    agent = python_agent.PythonAgent(shared_pki())
    try:
        return ask_all(agent.start())
    finally:
        agent.close()


@pytest.fixture(scope="module")
def recorded():
    if os.environ.get("AMPHORAD_RECORD"):
        lines = [f"    {json.dumps(name)}: {json.dumps(answer)}" for name, answer in record().items()]
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return json.loads(RECORDED.read_text())


@pytest.fixture(scope="module")
def ours():
    """amphorad's answers, once for all rows."""
    if why_not_served():
        pytest.skip(why_not_served())
    with OctaviaAgent().serving() as agent:
        return ask_all(agent)


def test_every_difference_is_one(recorded):
    assert DIFFERENCES.keys() <= REQUESTS.keys() == recorded.keys()


def test_harness_record_is_what_the_python_agent_says(recorded):
    """The record is not stale: the installed Python agent still answers so."""
    reason = python_agent.why_not_run()
    if reason:
        pytest.skip(f"{reason}: its recorded answers are used")
    live = record()
    assert {name: answer for name, answer in live.items() if answer != recorded[name]} == {}


@pytest.mark.parametrize("name", REQUESTS)
def test_same_answer(recorded, ours, name):
    wanted = dict(recorded[name])
    changed, reason = DIFFERENCES.get(name, ({}, ""))
    changed = dict(changed)
    more = changed.pop("more", [])
    wanted.update(changed)
    got = dict(ours[name])
    for key in more:
        assert key in got["shape"], f"{key} is missing: {reason}"
        got["shape"].pop(key)
    assert got == wanted, reason
