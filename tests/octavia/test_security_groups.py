# SPDX-License-Identifier: Apache-2.0
"""Ports of SR-IOV pass Neutron's security groups by: the amphora filters itself, by rules that Octavia sends its agent."""

import pytest

from control_plane import LoadBalancer
from shop import monitor


def has_rules(control_plane):
    """Since 15.0 (2024.2)."""
    return int(control_plane.version.partition(".")[0]) >= 15


@pytest.mark.feature("security-group rules in the amphora")
def test_rules_follow_the_listeners(control_plane, client, farm):
    if not has_rules(control_plane):
        pytest.skip("this Octavia has no rules of amphorae (they came with 15.0)")
    pytest.skip("the network driver of these tests does not bring Octavia to send rules yet")
    a, b = farm
    inside, outside = client.addresses[:2]
    lb = LoadBalancer(control_plane, name="filtered", flavor_id=control_plane.make_flavor("sriov", sriov_vip=True))
    try:
        pool = lb.add("pool", protocol="TCP", lb_algorithm="ROUND_ROBIN", loadbalancer_id=lb.id)
        for host in (a, b):
            lb.add_member(pool, host.address, host.port)
        lb.add("healthmonitor", pool_id=pool, **monitor("TCP"))
        listener = lb.add("listener", protocol="TCP", protocol_port=80, loadbalancer_id=lb.id, default_pool_id=pool,
            allowed_cidrs=[f"{inside}/32"])
        lb.wait_online()
        assert lb.machine().run("ip", "netns", "exec", "amphora-haproxy", "nft", "list", "ruleset").count("dport") >= 1
        assert set(client.servers(lb.url(80), source=inside)) == {"a", "b"}
        with pytest.raises(OSError):
            client.get(lb.url(80), source=outside, timeout=2)
        lb.change(f"listeners/{listener}", allowed_cidrs=["10.44.0.0/24"])
        assert set(client.servers(lb.url(80), source=outside)) == {"a", "b"}
        # No rule, no way in.
        lb.remove(f"listeners/{listener}")
        assert "dport 80 " not in lb.machine().run("ip", "netns", "exec", "amphora-haproxy", "nft", "list", "ruleset")
    finally:
        lb.delete()
