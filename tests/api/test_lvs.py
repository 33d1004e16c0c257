# SPDX-License-Identifier: Apache-2.0
"""Listeners of UDP and SCTP: Octavia's own configurations and those of definitions, kept running by real keepalived. Where
the kernel has no IPVS, keepalived runs for listeners without a pool only; the rest is told by what it says."""

import os
import signal

import pytest

import amphora
from amphora import LBS, document, listener, member, new_id, pool
from netns import need_namespaces, namespaces  # noqa: F401
from octavia_driver import (health_managers, make_amphora, make_controller, md5,  # noqa: F401
    tls_door)
from processes import alive, free_port, wait_for

KEEPALIVED = amphora.find_program("keepalived")
HAS_IPVS = os.path.exists("/proc/net/ip_vs")
VIP = "10.78.0.5"

pytestmark = pytest.mark.skipif(KEEPALIVED is None, reason="keepalived is not installed")


@pytest.fixture
def served(namespaces, make_amphora, monkeypatch):
    """An amphora under a controller, with a namespace in which the VIP is."""
    need_namespaces()
    namespace = namespaces()
    namespace.ip("address", "add", f"{VIP}/24", "dev", "lo")
    monkeypatch.setenv("PATH", f"{amphora.BUILD}:{os.environ['PATH']}:/usr/sbin:/sbin")
    agent = make_amphora(amphorad=f"network_namespace = {namespace.name}")
    agent.namespace = namespace
    return agent.start()


@pytest.fixture
def octavia(served, make_controller, monkeypatch):
    from octavia.common import constants
    monkeypatch.setattr(constants, "AMPHORA_NAMESPACE", served.namespace.name)
    from octavia.common.jinja.lvs import jinja_cfg
    controller = make_controller(served)
    controller.driver.lvs_jinja = jinja_cfg.LvsJinjaTemplater(base_amp_path=str(served.state))
    return controller


def lvs_file(agent, listener_id, extension):
    return agent.state / f"lvs/octavia-keepalivedlvs-{listener_id}.{extension}"


def pid_of(agent, listener_id):
    try:
        return int(lvs_file(agent, listener_id, "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def runs(agent, listener_id):
    pid = pid_of(agent, listener_id)
    return pid is not None and alive(pid)


def action(agent, listener_id, name):
    return agent.rest("PUT", f"/1.0/loadbalancer/{listener_id}/{name}")


# Octavia's driver


def test_octavia_uploads_a_listener(served, octavia, health_managers):
    manager = health_managers()
    served.rest("PUT", "/1.0/config", served.agent_conf(controllers=manager.address)).expect(202)
    lb = octavia.load_balancer(VIP)
    udp = octavia.listener(lb, "UDP", None)
    octavia.update(lb)
    calls = [call for call in octavia.calls if call[0] == "PUT"]
    assert calls == [("PUT", f"/1.0/listeners/{served.amphora_id}/{udp.id}/udp_listener", 200),
        ("PUT", f"/1.0/loadbalancer/{udp.id}/reload", 202)]
    first = pid_of(served, udp.id)
    assert alive(first)
    assert served.namespace.identity == os.readlink(f"/proc/{first}/ns/net")
    reply = served.rest("GET", f"/1.0/listeners/{udp.id}/udp_listener").expect(200)
    assert reply.body == lvs_file(served, udp.id, "conf").read_bytes()
    assert reply.headers["Content-Type"].startswith("text/plain") and reply.headers["ETag"] == md5(reply.body)
    # Nothing is served yet: offline, as Octavia's agent says.
    assert served.rest("GET", "/1.0/listeners").expect(200).json == [
        {"status": "OFFLINE", "uuid": udp.id, "type": "UDP"}]
    details = served.rest("GET", "/1.0/details").expect(200).json
    assert details["lvs_listener_process_count"] == 1 and details["listeners"] == [udp.id]
    message = manager.wait_for(lambda m: m["listeners"], "the listener is reported")
    assert message["listeners"] == {udp.id: {"status": "OPEN",
        "stats": {"tx": 0, "rx": 0, "conns": 0, "totconns": 0, "ereq": 0}}}
    assert message["pools"] == {}
    octavia.update(lb)
    assert pid_of(served, udp.id) == first, "a reload keeps the process"
    octavia.driver.delete(udp)
    assert not alive(first)
    assert not list((served.state / "lvs").glob("octavia*"))
    assert served.rest("GET", "/1.0/listeners").expect(200).json == []


def test_octavia_uploads_a_pool_without_members(served, octavia):
    """keepalived passes over a virtual server without real servers and says so: no reason to refuse it."""
    lb = octavia.load_balancer(VIP)
    empty = octavia.listener(lb, "UDP", octavia.pool("UDP"))
    octavia.update(lb)
    assert {call[2] for call in octavia.calls} == {200, 202}
    assert runs(served, empty.id)
    assert "has no real servers - ignoring" in served.log


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_octavia_uploads_a_pool(served, octavia, protocol):
    from octavia.amphorae.drivers.haproxy import exceptions
    lb = octavia.load_balancer(VIP)
    members = octavia.pool(protocol, octavia.member(5353, "10.78.0.11"), octavia.member(5353, "10.78.0.12", enabled=False))
    members.health_monitor = octavia.monitor("UDP-CONNECT" if protocol == "UDP" else "SCTP", delay=3)
    each = octavia.listener(lb, protocol, members)
    try:
        octavia.update(lb)
    except exceptions.InternalServerError:
        assert not HAS_IPVS
    assert ("PUT", f"/1.0/listeners/{served.amphora_id}/{each.id}/udp_listener", 200) in octavia.calls
    script = served.state / "lvs/check/udp_check.sh"
    assert script.read_text() == (amphora.SOURCE / "agent/tools/udp_check.sh").read_text()
    assert script.stat().st_mode & 0o777 == 0o755
    if HAS_IPVS:
        assert runs(served, each.id)
        return
    reply = action(served, each.id, "start").expect(500)
    assert reply.json["message"] == f"Failed to start keepalivedlvs listener {each.id}"
    assert "ipvs" in reply.json["details"]
    assert not runs(served, each.id)


# What else a controller does


CONFIG = """\
# Configuration for Loadbalancer {lb}
# Configuration for Listener {listener}

net_namespace {namespace}

"""


@pytest.fixture
def uploaded(served):
    """A listener that runs; (agent, listener id)."""
    listener_id = new_id()
    text = CONFIG.format(lb=new_id(), listener=listener_id, namespace=served.namespace.name)
    path = f"/1.0/listeners/{served.amphora_id}/{listener_id}/udp_listener"
    reply = served.rest("PUT", path, text).expect(200)
    assert reply.json == {"message": "OK"} and reply.headers["ETag"] == md5(text)
    reply = action(served, listener_id, "start").expect(202)
    assert reply.json == {"message": "OK", "details": f"keepalivedlvs listener {listener_id} started"}
    return served, listener_id


def test_actions(uploaded):
    agent, listener_id = uploaded
    first = pid_of(agent, listener_id)
    assert action(agent, listener_id, "Start").expect(202).json["details"].endswith("started")
    assert pid_of(agent, listener_id) == first
    assert action(agent, listener_id, "reload").expect(202).json["details"].endswith(" reloaded")
    assert pid_of(agent, listener_id) == first
    assert action(agent, listener_id, "frobnicate").expect(400).json == {"message": "Invalid Request",
        "details": "Unknown action: frobnicate"}
    assert action(agent, listener_id, "stop").expect(202).json["details"].endswith(" stoped")
    assert not alive(first) and not lvs_file(agent, listener_id, "pid").exists()
    assert action(agent, listener_id, "reload").expect(202).json["details"].endswith(" started")
    assert runs(agent, listener_id)
    agent.rest("DELETE", f"/1.0/listeners/{listener_id}").expect(200)
    assert not runs(agent, listener_id)
    agent.rest("DELETE", f"/1.0/listeners/{listener_id}").expect(200)
    reply = agent.rest("GET", f"/1.0/listeners/{listener_id}/udp_listener").expect(404)
    assert reply.json == {"message": "UDP Listener Not Found", "details": f"No UDP listener with UUID: {listener_id}"}
    assert action(agent, listener_id, "start").expect(404).json["message"] == "Loadbalancer Not Found"


@pytest.mark.parametrize("text,words", [
    ("virtual_server_group x {\n", "missing"),
    ("frobnicate 1\n", "frobnicate"),
    ("", "empty"),
    ("a\0b", "NUL"),
])
def test_bad_configurations_are_refused(uploaded, text, words):
    agent, listener_id = uploaded
    before = lvs_file(agent, listener_id, "conf").read_bytes()
    for each in (listener_id, new_id()):
        reply = agent.rest("PUT", f"/1.0/listeners/{agent.amphora_id}/{each}/udp_listener", text).expect(400)
        assert reply.json["message"] == "Invalid request" and words in reply.json["details"]
        assert each == listener_id or not list((agent.state / "lvs").glob(f"*{each}*"))
    assert lvs_file(agent, listener_id, "conf").read_bytes() == before


@pytest.mark.parametrize("name", ["..", "%2e%2e", "x", "A" * 300, "octavia-keepalived"])
def test_ids_are_no_paths(served, name):
    reply = served.rest("PUT", f"/1.0/listeners/{served.amphora_id}/{name}/udp_listener", "x")
    assert reply.status in (400, 404)
    assert not (served.state / "lvs").exists()


def test_it_is_kept_running_and_outlives_the_agent(uploaded):
    agent, listener_id = uploaded
    first = pid_of(agent, listener_id)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: runs(agent, listener_id) and pid_of(agent, listener_id) != first, 20, "another one runs")
    second = pid_of(agent, listener_id)
    assert agent.stop() == 0
    assert alive(second)
    agent.start()
    assert pid_of(agent, listener_id) == second
    assert agent.rest("GET", "/1.0/details").json["lvs_listener_process_count"] == 1
    action(agent, listener_id, "stop").expect(202)
    agent.stop()
    agent.start()
    assert not runs(agent, listener_id)


def test_one_that_cannot_run_is_tried_with_patience(uploaded):
    """What the agent starts again and again is waited for longer each time."""
    agent, listener_id = uploaded
    lvs_file(agent, listener_id, "conf").write_text("net_namespace there-is-none\n")
    os.kill(pid_of(agent, listener_id), signal.SIGKILL)
    wait_for(lambda: "restart in 800 ms" in agent.log, 30, "the third failure")
    assert agent.rest("GET", "/1.0/details").json["lvs_listener_process_count"] == 0


# Definitions


@pytest.fixture
def local(make_agent, namespaces, monkeypatch):
    need_namespaces()
    namespace = namespaces()
    namespace.ip("address", "add", f"{VIP}/24", "dev", "lo")
    monkeypatch.setenv("PATH", f"{amphora.BUILD}:{os.environ['PATH']}:/usr/sbin:/sbin")
    agent = make_agent(amphorad=f"network_namespace = {namespace.name}")
    agent.namespace = namespace
    return agent.start()


def udp(port=5353, default_pool=None, protocol="UDP", **more):
    found = {"name": "dns", "protocol": protocol, "protocol_port": port, **more}
    if default_pool:
        found["default_pool"] = default_pool
    return found


def definition(*listeners, **more):
    return {"loadbalancer": {"name": "lvs", "vip_address": VIP, "listeners": list(listeners), **more}}


def udp_pool(protocol="UDP"):
    return {"name": "p", "protocol": protocol, "lb_algorithm": "ROUND_ROBIN",
        "members": [{"name": "m", "address": "10.78.0.11", "protocol_port": 5353}]}


def test_a_definition_is_served(local):
    lb = new_id()
    reply = local.put(lb, definition(udp())).expect(201)
    listener_id = reply.json["loadbalancer"]["listeners"][0]["id"]
    assert reply.headers["Amphorad-Apply"] == "start"
    first = pid_of(local, listener_id)
    assert alive(first) and os.readlink(f"/proc/{first}/ns/net") == local.namespace.identity
    status = local.get(f"{LBS}/{lb}/status").expect(200).json["statuses"]["loadbalancer"]
    assert status["operating_status"] == status["listeners"][0]["operating_status"] == "ONLINE"
    # The same again does nothing; another port is a reload of the same keepalived.
    assert local.put(lb, definition(udp())).expect(200).headers["Amphorad-Apply"] == "none"
    reply = local.put(lb, definition(udp(connection_limit=5))).expect(200)
    assert pid_of(local, listener_id) == first
    # Disabled listeners, and those that are gone, have none.
    local.put(lb, definition(udp(admin_state_up=False))).expect(200)
    assert not alive(first) and not list((local.state / "lvs").glob("octavia*"))
    reply = local.put(lb, definition(udp())).expect(200)
    assert reply.headers["Amphorad-Apply"] == "reload"
    assert any("is new" in reason for reason in reply.json["apply"]["reasons"])
    second = pid_of(local, listener_id)
    assert alive(second)
    # It outlives the agent, and dies with its load balancer.
    local.kill()
    local.start()
    assert pid_of(local, listener_id) == second
    local.request("DELETE", f"{LBS}/{lb}/definition").expect(204)
    assert not alive(second) and not list((local.state / "lvs").glob("octavia*"))


def test_what_stopped_meanwhile_is_started(local):
    lb = new_id()
    listener_id = local.put(lb, definition(udp())).expect(201).json["loadbalancer"]["listeners"][0]["id"]
    local.kill()
    os.kill(pid_of(local, listener_id), signal.SIGKILL)
    local.start()
    wait_for(lambda: runs(local, listener_id), 20, "it runs again")
    # A file of ours without its definition is removed.
    other = new_id()
    text = lvs_file(local, listener_id, "conf").read_text().replace(listener_id, other)
    local.stop()
    lvs_file(local, other, "conf").write_text(text)
    local.start()
    assert not lvs_file(local, other, "conf").exists() and not runs(local, other)
    assert runs(local, listener_id)


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_a_dry_run_asks_keepalived(local, protocol):
    health = {"type": "UDP-CONNECT" if protocol == "UDP" else "SCTP", "delay": 3, "timeout": 2, "max_retries": 2}
    reply = local.put(new_id(), definition(udp(protocol=protocol, default_pool={**udp_pool(protocol),
        "healthmonitor": health, "session_persistence": {"type": "SOURCE_IP"}})), "?dry_run=true").expect(200)
    assert any("keepalived" in reason for reason in reply.json["dry_run"]["reasons"])
    listener_id = reply.json["loadbalancer"]["listeners"][0]["id"]
    assert f"protocol {protocol}" in reply.json["dry_run"]["keepalived"][listener_id]
    assert not list((local.state / "lvs").glob("octavia*"))


@pytest.mark.skipif(HAS_IPVS, reason="this kernel has IPVS: keepalived runs")
def test_all_or_nothing(local, origins):
    """keepalived cannot serve a pool without IPVS: nothing of the change is taken, HAProxy's part neither."""
    lb, web = new_id(), new_id()
    local.put(lb, definition(udp())).expect(201)
    before = local.definition(lb)
    first = pid_of(local, before["listeners"][0]["id"])
    config = local.get(f"{LBS}/{lb}/haproxy.cfg").text
    reply = local.put(lb, definition(udp(), udp(5454, udp_pool(), name="more"),
        {"name": "web", "id": web, "protocol": "TCP", "protocol_port": 8080}))
    assert reply.status >= 400 and "ipvs" in reply.text
    assert local.definition(lb) == before
    assert local.get(f"{LBS}/{lb}/haproxy.cfg").text == config
    assert pid_of(local, before["listeners"][0]["id"]) == first and alive(first)
    assert len(list((local.state / "lvs").glob("*.conf"))) == 1
    # The listener that runs cannot take a pool either, and goes on.
    assert "ipvs" in local.put(lb, definition(udp(default_pool=udp_pool()))).text
    assert local.definition(lb) == before
    wait_for(lambda: runs(local, before["listeners"][0]["id"]), 10, "what was before runs again")
    assert "virtual_server" not in lvs_file(local, before["listeners"][0]["id"], "conf").read_text()
    # A new load balancer that fails leaves nothing.
    other = new_id()
    assert local.put(other, definition(udp(5555, udp_pool()))).status >= 400
    assert local.get(f"{LBS}/{other}/definition").status == 404
    assert len(list((local.state / "lvs").glob("*.conf"))) == 1


def test_controllers_and_definitions_keep_apart(uploaded):
    agent, listener_id = uploaded
    lb = new_id()
    reply = agent.put(lb, definition(udp(id=listener_id))).expect(409)
    assert "by a controller" in reply.text
    mine = agent.put(lb, definition(udp())).expect(201).json["loadbalancer"]["listeners"][0]["id"]
    for method, path in (("PUT", f"/1.0/listeners/{agent.amphora_id}/{mine}/udp_listener"),
            ("PUT", f"/1.0/loadbalancer/{mine}/stop"), ("DELETE", f"/1.0/listeners/{mine}")):
        assert "has a definition" in agent.rest(method, path, "net_namespace x\n").expect(409).text
    assert runs(agent, mine)


def test_a_vip_is_needed(local):
    reply = local.put(new_id(), {"loadbalancer": {"name": "x", "listeners": [udp()],
        "vip_address": "0.0.0.0"}})
    assert reply.status == 400 and "needs an address" in reply.text


def test_without_keepalived_it_is_said(make_agent):
    agent = make_agent(amphorad="keepalived_cmd = /nonexistent/keepalived").start()
    reply = agent.put(new_id(), definition(udp())).expect(501)
    assert "/nonexistent/keepalived is missing" in reply.text
    agent.apply(new_id(), document(listener(free_port(), pool([member(1)]))))
