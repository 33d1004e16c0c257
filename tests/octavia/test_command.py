# SPDX-License-Identifier: Apache-2.0
"""The command that people type: python3-octaviaclient of Debian."""

import os
import shutil
import subprocess

import pytest

import identity
from control_plane import PATIENCE_S, LoadBalancer


def openstack(*lines):
    """All in one process, as typed."""
    with identity.Identity():
        done = subprocess.run(["openstack"], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=4 * PATIENCE_S, env=os.environ | identity.ENVIRONMENT)
    return done.stdout


@pytest.mark.feature("openstack loadbalancer command", "IPv6 VIP")
@pytest.mark.skipif(not shutil.which("openstack"), reason="openstack is not installed (Debian package python3-octaviaclient)")
def test_openstack_loadbalancer(control_plane, client, farm):
    a, b = farm
    said = openstack(
        "loadbalancer create --name typed --vip-subnet-id vip6 --wait",
        "loadbalancer listener create --name typed-web --protocol HTTP --protocol-port 80 --wait typed",
        "loadbalancer pool create --name typed-pool --protocol HTTP --lb-algorithm ROUND_ROBIN --listener typed-web --wait",
        f"loadbalancer member create --name one --address {a.address} "
        f"--protocol-port {a.port} --subnet-id member --wait typed-pool",
        f"loadbalancer member create --name two --address {b.address} "
        f"--protocol-port {b.port} --subnet-id member --wait typed-pool",
        "loadbalancer healthmonitor create --name look --type HTTP --url-path /health --delay 1 --timeout 1 --max-retries 1 "
        "--wait typed-pool")
    made = control_plane.get("/lbaas/loadbalancers?name=typed")["loadbalancers"]
    assert len(made) == 1, said
    lb = LoadBalancer(control_plane, made[0]["id"])
    lb.wait_online()
    # Each made for itself: monitors are ONLINE, too.
    assert set(lb.operating().values()) == {"ONLINE"}
    assert sorted(value["name"] for value in lb.objects().values()) == ["look", "one", "two", "typed", "typed-pool",
        "typed-web"]
    assert lb.vip.startswith("fd44::")
    assert set(client.servers(lb.url(80))) == {"a", "b"}
    said = openstack("loadbalancer show typed -c operating_status -f value", "loadbalancer amphora list -c role -f value",
        "loadbalancer member set --weight 0 --wait typed-pool two", "loadbalancer stats show typed",
        "loadbalancer status show typed")
    assert "ONLINE" in said and "STANDALONE" in said and "total_connections" in said and "protocol_port" in said, said
    assert set(client.servers(lb.url(80), 4)) == {"a"}
    openstack("loadbalancer delete --cascade --wait typed")
    lb.wait_gone()
