# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes Service with OCCM's annotations, applied to a real agent: what an ingress controller behind it sees."""

import json
import os
import re
import subprocess

import pytest

from amphora import BUILD, SOURCE, run_ctl
from backends import Origin
from clients import fetch
from processes import free_port, wait_for

DIFFERS, USAGE = 1, 2
PREFIX = "loadbalancer.openstack.org/"


def node(name, address, **spec):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec, "status": {
        "addresses": [{"type": "InternalIP", "address": address}], "conditions": [{"type": "Ready", "status": "True"}]}}


class Cluster:
    """One ingress controller on one node, as kubectl would list it."""

    def __init__(self, agent, port, node_port, health_port):
        self.agent, self.port = agent, port
        self.annotations = {PREFIX + "proxy-protocol": "v2", PREFIX + "health-monitor-delay": "1",
            PREFIX + "health-monitor-timeout": "1", PREFIX + "health-monitor-max-retries-down": "1"}
        self.service = {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "ingress", "namespace": "web", "annotations": self.annotations},
            "spec": {"type": "LoadBalancer", "loadBalancerIP": "127.0.0.1", "externalTrafficPolicy": "Local",
                "healthCheckNodePort": health_port, "loadBalancerSourceRanges": ["127.0.0.0/16"],
                "ports": [{"name": "http", "port": port, "nodePort": node_port}]}}
        self.nodes = [node("node-1", "127.0.0.1")]

    def run(self, *arguments):
        items = {"apiVersion": "v1", "kind": "List", "items": [self.service, *self.nodes]}
        return run_ctl(self.agent, "service", "-", *arguments, stdin=json.dumps(items))

    def apply(self, *arguments):
        done = self.run("--apply", *arguments)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture
def cluster(agent, nginx, origins):
    controller = nginx("ingress")
    kube_proxy = origins("kube-proxy", kind=Origin)
    made = Cluster(agent, free_port(), controller.port, kube_proxy.port)
    made.controller, made.kube_proxy = controller, kube_proxy
    return made


def test_the_member_sees_the_client(cluster):
    """The whole chain: annotation, definition, PROXY v2 before nginx; checks that ask kube-proxy, without a header."""
    assert "start" in cluster.apply()
    lb_id = json.loads(cluster.run().stdout)["loadbalancer"]["id"]
    wait_for(lambda: cluster.agent.status(lb_id)["operating_status"] == "ONLINE", 10, "ONLINE")
    assert cluster.kube_proxy.checks > 0
    for client in ("127.0.0.42", "127.0.5.6"):
        status, _, body = fetch(cluster.port, "/" + client, source=client)
        assert (status, body.decode()) == (200, f"ingress {client}\n")
        assert cluster.controller.wait_log("/" + client) == [[client, client, "200", "/" + client]]
    with pytest.raises(Exception):
        fetch(cluster.port, "/refused", source="127.1.0.1")  # not of loadBalancerSourceRanges
    assert cluster.controller.log_of("/refused") == []

    # The same again changes nothing; what changes in the cluster changes its part, at run time.
    assert "none" in cluster.apply()
    assert cluster.run("--apply", "--dry-run").returncode == 0
    cluster.nodes += [node("node-0", "127.0.0.9"), node("leaving", "127.0.0.8", taints=[
        {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}])]
    done = cluster.run("--apply", "--dry-run")
    assert done.returncode == DIFFERS and "runtime" in done.stdout, done
    assert "runtime" in cluster.apply()
    pools = cluster.agent.definition(lb_id)["pools"]
    assert [m["name"] for m in pools[0]["members"]] == ["node-0", "node-1"]
    assert len({m["id"] for m in pools[0]["members"]}) == 2

    # The same listener and pool after another port came first, and without PROXY.
    before = {l["protocol_port"]: l["id"] for l in cluster.agent.definition(lb_id)["listeners"]}
    cluster.service["spec"]["ports"].insert(0, {"name": "other", "port": free_port(), "nodePort": 1})
    del cluster.annotations[PREFIX + "proxy-protocol"]
    cluster.apply()
    after = cluster.agent.definition(lb_id)
    assert before.items() <= {l["protocol_port"]: l["id"] for l in after["listeners"]}.items()
    assert pools[0]["id"] in [p["id"] for p in after["pools"]]
    assert {p["protocol"] for p in after["pools"]} == {"TCP"}


def test_services_that_share(agent):
    """Both at once; what one of them would lose by itself is said, and not done with --strict."""
    first, second = (Cluster(agent, free_port(), 30080 + n, 32000) for n in range(2))
    for n, cluster in enumerate((first, second)):
        cluster.annotations[PREFIX + "load-balancer-id"] = "9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10"
        cluster.service["metadata"].update(name=f"web-{n}", creationTimestamp=f"2026-01-0{n + 1}T00:00:00Z")
    first.nodes.append(second.service)
    first.apply("--service", "web-1")
    lb = agent.definition(first.annotations[PREFIX + "load-balancer-id"])
    assert lb["tags"] == ["kube_service_kubernetes_web_web-0", "kube_service_kubernetes_web_web-1"]
    assert [listener["protocol_port"] for listener in lb["listeners"]] == [first.port, second.port]
    done = second.run("--apply", "--strict")
    assert done.returncode == USAGE and "kube_service_kubernetes_web_web-0" in done.stderr, done
    assert agent.definition(lb["id"]) == lb
    done = second.run("--apply")
    assert done.returncode == 0 and "kube_service_kubernetes_web_web-0" in done.stderr, done
    assert [listener["protocol_port"] for listener in agent.definition(lb["id"])["listeners"]] == [second.port]


def test_what_it_prints(make_agent, tmp_path):
    """No agent is asked; what cannot be honoured is on standard error, and is an error with --strict."""
    cluster = Cluster(make_agent(), 80, 30080, 32000)
    cluster.annotations[PREFIX + "hostname"] = "ingress.example.org"
    service, nodes = tmp_path / "service.json", tmp_path / "nodes.json"
    service.write_text(json.dumps(cluster.service))
    nodes.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": cluster.nodes}))

    def run(*arguments):
        return run_ctl(cluster.agent, "service", service, *arguments)
    done = run("--nodes", nodes)
    assert done.returncode == 0 and "warning: " + PREFIX + "hostname" in done.stderr, done
    assert json.loads(done.stdout)["loadbalancer"]["listeners"][0]["protocol_port"] == 80
    done = run("--nodes", nodes, "--strict")
    assert done.returncode == USAGE and done.stdout == "" and "hostname" in done.stderr, done
    done = run("--nodes", nodes, "--explain")
    assert done.returncode == 0 and "proxy-protocol" in done.stdout and "PROXYV2" in done.stdout, done
    explained = json.loads(run("--nodes", nodes, "--explain", "--json").stdout)
    assert {"source": PREFIX + "proxy-protocol", "target": "pool protocol", "value": "PROXYV2"}.items() <= \
        next(e for e in explained["explanation"] if "proxy" in e["source"]).items()
    assert [w["source"] for w in explained["warnings"]] == [PREFIX + "hostname"]
    assert run("--nodes", nodes, "--dry-run").returncode == USAGE
    assert run("--nodes", "-", "--endpoints", "-").returncode == USAGE
    done = run()
    assert done.returncode == USAGE and "--nodes" in done.stderr, done
    cluster.service["spec"]["ports"][0]["nodePort"] = 70000
    service.write_text(json.dumps(cluster.service))
    done = run("--nodes", nodes)
    assert done.returncode == USAGE and f"{service}: /spec/ports/0/nodePort: 70000" in done.stderr, done


def test_the_examples_of_the_manual(agent, tmp_path):
    """In examples/kubernetes, with an address and ports that this machine has."""
    for file in (SOURCE / "examples/kubernetes").iterdir():
        text = file.read_text().replace("192.0.2.10", "127.0.0.1")
        for port in ("80", "443"):
            text = text.replace(f'"port": {port}, "targetPort"', f'"port": {free_port()}, "targetPort"')
        (tmp_path / file.name).write_text(text)
    page = (SOURCE / "packaging/man/amphoractl-service.1").read_text()
    page = page[page.index(".Sh EXAMPLES"):page.index(".Sh SEE ALSO")].replace("\\e\n", "")
    commands = re.findall(r"^\$ (amphoractl service .*)$", page, re.M)
    assert len(commands) == 4
    for command in commands:
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
            env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "AMPHORAD_SOCKET": str(agent.socket_path)})
        assert done.returncode == (DIFFERS if "--dry-run" in command else 0), (command, done)
    assert json.loads((tmp_path / "lb.json").read_text())["loadbalancer"]["vip_address"] == "127.0.0.1"
    assert len(agent.get("/v2/lbaas/loadbalancers").json["loadbalancers"]) == 1
