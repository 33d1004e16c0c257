# SPDX-License-Identifier: Apache-2.0
"""GET /metrics, as Prometheus reads it."""

import re

from amphora import document, listener, member, monitor, new_id, pool
from clients import server_of
from processes import free_port, stopped, wait_for

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+)$')


def scrape(agent):
    """{name: {labels: value}}, after a look at the form of the page: each metric once, with its type and help before it."""
    reply = agent.get("/metrics").expect(200)
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families, current = {}, None
    for line in reply.text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, current
            families[current] = {}
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current and line.split()[3] in ("gauge", "counter")
        else:
            name, labels, value = SAMPLE.match(line).groups()
            assert name == current, line
            key = frozenset(re.findall(r'([a-z_]+)="([^"]*)"', labels or ""))
            assert key not in families[name], line
            families[name][key] = float(value)
    return families


def test_an_agent_without_load_balancers(agent):
    families = scrape(agent)
    assert list(families["amphorad_build_info"].values()) == [1]
    assert 1 << 20 < list(families["process_resident_memory_bytes"].values())[0] < 1 << 30
    assert "amphorad_load_balancer_up" not in families


def test_what_it_says_is_what_status_and_statistics_say(agent, origins):
    up, down, port, lb_id = origins("up"), free_port(), free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(up.port, "up"), member(down, "down")],
        healthmonitor=monitor("HTTP", url_path="/health")))))
    tree = wait_for(lambda: (t := agent.status(lb_id))["operating_status"] == "DEGRADED" and t, 20, "one member is down")
    for _ in range(7):
        assert server_of(port) == "up"
    wait_for(lambda: agent.stats(lb_id)["total_connections"] == 7, 10, "7 connections")
    wait_for(lambda: sum(scrape(agent)["amphorad_listener_connections_total"].values()) == 7, 10, "the same here")
    families = scrape(agent)
    members = {dict(labels)["member"]: value for labels, value in families["amphorad_member_up"].items()}
    ids = {m["name"]: m["id"] for m in tree["listeners"][0]["pools"][0]["members"]}
    assert members == {ids["up"]: 1, ids["down"]: 0}
    statistics = agent.stats(lb_id)
    assert sum(families["amphorad_listener_bytes_out_total"].values()) == statistics["bytes_out"]
    assert set(families["amphorad_load_balancer_up"].values()) == {1}
    assert set(families["amphorad_load_balancer_trouble"].values()) == {0}
    assert set(families["amphorad_load_balancer_revision"].values()) == {1}
    assert set(families["amphorad_haproxy_old_workers"].values()) == {0}
    assert sum(families["amphorad_haproxy_memory_bytes"].values()) > 1 << 20


def test_a_load_balancer_whose_haproxy_hangs_is_not_up(agent, origins):
    port, lb_id = free_port(), new_id()
    agent.apply(lb_id, document(listener(port, pool([member(origins("web").port)]))))
    with stopped(agent.haproxy_processes()):
        # A look at HAProxy is good for a second.
        wait_for(lambda: set(scrape(agent)["amphorad_load_balancer_up"].values()) == {0}, 20, "it is not up")
    wait_for(lambda: set(scrape(agent)["amphorad_load_balancer_up"].values()) == {1}, 10, "it is up again")


def test_changes_are_counted_by_what_they_took(agent, origins):
    web, port, lb_id = origins("web"), free_port(), new_id()

    def send(weight, timeout=50000):
        return agent.put(lb_id, document(listener(port, pool([member(web.port, weight=weight)]),
            timeout_client_data=timeout)))
    for weight, timeout in ((1, 50000), (1, 50000), (2, 50000), (3, 50000), (3, 60000)):
        send(weight, timeout).expect(200, 201)
    send(1, "soon").expect(400)  # no change of the load balancer came of it
    agent.put(lb_id, document(listener(port, pool([member(web.port)]), default_tls_container_ref="none",
        protocol="TERMINATED_HTTPS"))).expect(400)
    families = scrape(agent)
    made = {dict(labels)["action"]: value for labels, value in families["amphorad_changes_total"].items()}
    assert made == {"start": 1, "none": 1, "runtime": 2, "reload": 1}
    seconds = {dict(labels)["action"]: value for labels, value in families["amphorad_change_seconds_total"].items()}
    assert seconds["start"] > 0 and seconds["runtime"] > 0
    assert list(families["amphorad_changes_failed_total"].values()) == [1]
    assert list(families["amphorad_heartbeats_total"].values()) == [0]
