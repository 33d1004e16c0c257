# SPDX-License-Identifier: Apache-2.0
"""Ports of SR-IOV pass Neutron's security groups by: the amphora filters itself, by rules that Octavia sends its agent."""

import json
import signal

import pytest

from control_plane import LoadBalancer
from machines import PATIENCE_S
from processes import wait_for
from shop import monitor
from test_failover import in_charge

feature = pytest.mark.feature("security-group rules in the amphora")


@pytest.fixture
def filtered(control_plane, farm):
    """filtered(topology) makes a load balancer whose VIP is a port of SR-IOV, with a pool of two."""
    made = []
    # Since 2024.2.
    if int(control_plane.version.partition(".")[0]) < 15:
        pytest.skip("this Octavia has no rules of amphorae (they came with 15.0)")

    def make(topology):
        flavor = control_plane.make_flavor(f"sriov-{topology}", sriov_vip=True, loadbalancer_topology=topology)
        lb = LoadBalancer(control_plane, name=f"filtered-{topology}", flavor_id=flavor)
        made.append(lb)
        assert control_plane.get(lb.path)["loadbalancer"]["vip_vnic_type"] == "direct"
        lb.pool = lb.add("pool", protocol="TCP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=lb.id)
        for host in farm:
            lb.add_member(lb.pool, host.address, host.port)
        lb.add("healthmonitor", pool_id=lb.pool, **monitor("TCP"))
        return lb
    yield make
    for lb in made:
        lb.delete()


def rules(machine):
    """What lets something in: [(protocol, port, source or None)], but for replies of DHCP, which are always let in; all
    else that arrives has to be dropped."""
    found = []
    ruleset = json.loads(machine.run("ip", "netns", "exec", "amphora-haproxy", "nft", "-j", "list", "ruleset"))["nftables"]
    policies = [one["chain"].get("policy") for one in ruleset if "chain" in one and one["chain"].get("hook") == "input"]
    assert policies == ["drop"], ruleset
    for rule in (one["rule"]["expr"] for one in ruleset if "rule" in one):
        said = {}
        for match in (part["match"] for part in rule if "match" in part):
            left, right = match["left"], match["right"]
            if "payload" in left:
                said[left["payload"]["protocol"], left["payload"]["field"]] = right
            elif left.get("meta", {}).get("key") == "l4proto":
                said["meta", "l4proto"] = right
        for protocol in ("tcp", "udp", "sctp"):
            if (protocol, "dport") in said:
                found.append((protocol, said[protocol, "dport"], said.get(("ip", "saddr"))))
        if "vrrp" in map(str, said.values()) or 112 in said.values():
            found.append(("vrrp", None, said.get(("ip", "saddr"))))
    dhcp = {("udp", 68, None), ("udp", 546, None)}
    assert dhcp <= set(found), found
    return sorted(set(found) - dhcp, key=str)


def is_shut_out(client, lb, port, source):
    """Nobody answers, not even with a refusal."""
    try:
        client.connect(lb.vip, port, source, timeout=1.5).close()
    except TimeoutError:
        return True
    return False


@feature
def test_rules_follow_the_listeners(filtered, client):
    inside, outside = client.addresses[:2]
    lb = filtered("SINGLE")
    listener = lb.add("listener", protocol="TCP", protocol_port=80, loadbalancer_id=lb.id, default_pool_id=lb.pool,
        allowed_cidrs=[f"{inside}/32"])
    machine = lb.machine()
    assert rules(machine) == [("tcp", 80, inside)]
    lb.wait_online()
    assert set(client.servers(lb.url(80), source=inside)) == {"a", "b"}
    assert is_shut_out(client, lb, 80, outside)

    # For everybody, and for nobody who has not been named.
    open_to_all = lb.add("listener", protocol="TCP", protocol_port=81, loadbalancer_id=lb.id, default_pool_id=lb.pool)
    assert rules(machine) == [("tcp", 80, inside), ("tcp", 81, None)]
    for source in (inside, outside):
        assert set(client.servers(lb.url(81), 4, source=source)) == {"a", "b"}
    assert is_shut_out(client, lb, 80, outside)
    assert is_shut_out(client, lb, 82, inside)

    # Changed under an open connection, which stays.
    with client.connect(lb.vip, 80, inside) as held:
        held.sendall(b"GET /held HTTP/1.1\r\n")
        lb.change(f"listeners/{listener}", allowed_cidrs=[f"{outside}/32"])
        assert rules(machine) == [("tcp", 80, outside), ("tcp", 81, None)]
        assert set(client.servers(lb.url(80), 4, source=outside)) == {"a", "b"}
        assert is_shut_out(client, lb, 80, inside)
        held.sendall(b"Host: x\r\n\r\n")
        assert b" 200 " in held.recv(65536)

    # They are the kernel's, and there again after what a controller does to an amphora.
    machine.restart_agent(signal.SIGKILL)
    assert rules(machine) == [("tcp", 80, outside), ("tcp", 81, None)]
    lb.control_plane.request("PUT", f"{lb.path}/failover")
    wait_for(lambda: machine.amphora["id"] not in [one["id"] for one in lb.amphorae], 2 * PATIENCE_S, "another amphora",
        interval=0.3)
    lb.settle()
    machine = lb.machine()
    assert rules(machine) == [("tcp", 80, outside), ("tcp", 81, None)]
    lb.wait_online()
    assert set(client.servers(lb.url(80), 4, source=outside)) == {"a", "b"}
    assert is_shut_out(client, lb, 80, inside)

    # No rule, no way in.
    lb.change(f"listeners/{listener}", allowed_cidrs=[])
    assert rules(machine) == [("tcp", 80, None), ("tcp", 81, None)]
    lb.remove(f"listeners/{listener}")
    assert rules(machine) == [("tcp", 81, None)]
    assert is_shut_out(client, lb, 80, outside)
    lb.remove(f"listeners/{open_to_all}")
    assert rules(machine) == []
    assert is_shut_out(client, lb, 81, outside)


@feature
def test_partners_hear_each_other(filtered, client):
    """Keepalived's messages come through the rules of both, or both would have the VIP."""
    inside, outside = client.addresses[:2]
    lb = filtered("ACTIVE_STANDBY")
    lb.add("listener", protocol="TCP", protocol_port=80, loadbalancer_id=lb.id, default_pool_id=lb.pool,
        allowed_cidrs=[f"{inside}/32"])
    lb.wait_online()
    master, backup = lb.machine("MASTER"), lb.machine("BACKUP")
    for one, other in ((master, backup), (backup, master)):
        assert rules(one) == [("tcp", 80, inside), ("vrrp", None, other.amphora["vrrp_ip"])]
    in_charge(lb)
    assert set(client.servers(lb.url(80), 4, source=inside)) == {"a", "b"}
    assert is_shut_out(client, lb, 80, outside)
