# SPDX-License-Identifier: Apache-2.0
"""Ports that a controller plugs into the amphora: addresses, routes and rules in its network namespace, read back with
ip(8). What Octavia's driver asks for gives the same with Octavia's Python agent and with amphorad."""

import concurrent.futures
import itertools
import json
import pathlib
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

import amphora
import python_agent
from netmachine import NAMESPACE, MachineAgent, MachinePythonAgent, machines  # noqa: F401
from octavia_driver import make_controller  # noqa: F401
from processes import wait_for

VIP_MAC, MEMBER_MAC, OTHER_MAC = "fa:16:3e:11:22:01", "fa:16:3e:11:22:02", "fa:16:3e:11:22:03"
VIP_NET = {"subnet_cidr": "10.10.0.0/24", "gateway": "10.10.0.1", "mac_address": VIP_MAC, "mtu": 1450,
    "vrrp_ip": "10.10.0.5", "host_routes": [{"destination": "172.31.0.0/16", "nexthop": "10.10.0.254"}]}
VIP6_NET = {"subnet_cidr": "2001:db8:10::/64", "gateway": "2001:db8:10::1", "mac_address": VIP_MAC,
    "vrrp_ip": "2001:db8:10::5"}


@pytest.fixture
def make_machine_agent(request, machines):  # noqa: F811
    with amphora.maker(request, lambda machine=None, **options: MachineAgent(machine or machines(), **options)) as make:
        yield make


@pytest.fixture
def agent(make_machine_agent):
    return make_machine_agent().start()


@pytest.fixture
def machine(agent):
    return agent.machine


def plug_vip(agent, vip="10.10.0.9", **more):
    return agent.rest("POST", f"/1.0/plug/vip/{vip}", {**VIP_NET, **more})


def plug_network(agent, mac=MEMBER_MAC, *fixed_ips, **more):
    return agent.rest("POST", "/1.0/plug/network", {"mac_address": mac, "fixed_ips": list(fixed_ips), **more})


def fixed_ip(address, cidr, **more):
    return {"ip_address": address, "subnet_cidr": cidr, "gateway": None, "host_routes": [], **more}


# With Octavia's driver, beside Octavia's agent


class Cloud:
    """What the worker hands to the driver."""

    def __init__(self, controller):
        from octavia.network import data_models
        self.models = data_models
        self.controller = controller
        self.driver = controller.driver
        self.amphora = controller.amphora
        self.amphora.vrrp_port_id = "vrrp-port"

    def subnet(self, cidr, gateway=None, *routes):
        return self.models.Subnet(id=cidr, cidr=cidr, gateway_ip=gateway, ip_version=6 if ":" in cidr else 4,
            host_routes=[self.models.HostRoute(destination=d, nexthop=n) for d, n in routes])

    def port(self, name, mac, *addresses, mtu=1450):
        return self.models.Port(id=name, mac_address=mac, network=self.models.Network(id="net", mtu=mtu),
            fixed_ips=[self.models.FixedIP(subnet_id=subnet.id, ip_address=address, subnet=subnet)
                for address, subnet in addresses])

    def config(self, subnet, *more):
        return self.models.AmphoraNetworkConfig(amphora=self.amphora, vip_subnet=subnet,
            vrrp_port=self.port("vrrp-port", VIP_MAC), additional_vip_data=[
                self.models.AdditionalVipData(ip_address=address, subnet=other) for address, other in more])

    def vip(self, address, vrrp_ip, subnet, *more):
        self.amphora.vrrp_ip, self.amphora.ha_ip = vrrp_ip, address
        lb = self.controller.load_balancer(address)
        self.network_config = self.config(subnet, *more)
        self.driver.post_vip_plug(self.amphora, lb, {self.amphora.id: self.network_config})

    def network(self, port):
        self.driver.post_network_plug(self.amphora, port, getattr(self, "network_config", None))

    def interface(self, address):
        return self.driver.clients["1.0"].get_interface(self.amphora, address)


def vip_ipv4(cloud):
    cloud.vip("10.10.0.9", "10.10.0.5", cloud.subnet("10.10.0.0/24", "10.10.0.1", ("172.31.0.0/16", "10.10.0.254"),
        ("0.0.0.0/0", "10.10.0.253")))
    yield


def vip_without_gateway(cloud):
    cloud.vip("10.10.0.9", "10.10.0.5", cloud.subnet("10.10.0.0/24"))
    yield


def vip_ipv6(cloud):
    cloud.vip("2001:db8:10::9", "2001:db8:10::5", cloud.subnet("2001:db8:10::/64", "2001:db8:10::1",
        ("2001:db8:ffff::/48", "2001:db8:10::fe")))
    yield


def additional_vips(cloud):
    ipv6 = cloud.subnet("2001:db8:10::/64", "2001:db8:10::1")
    cloud.vip("10.10.0.9", "10.10.0.5", cloud.subnet("10.10.0.0/24", "10.10.0.1"), ("2001:db8:10::9", ipv6),
        ("10.11.0.9", cloud.subnet("10.11.0.0/24", "10.11.0.1", ("172.30.0.0/16", "10.11.0.254"))))
    yield


def member_ports(cloud):
    yield from vip_ipv4(cloud)
    first = cloud.subnet("192.168.7.0/24", "192.168.7.1", ("172.29.0.0/16", "192.168.7.254"))
    second = cloud.subnet("2001:db8:77::/64", "2001:db8:77::1", ("2001:db8:7777::/48", "2001:db8:77::fe"))
    cloud.network(cloud.port("member", MEMBER_MAC, ("192.168.7.5", first), ("2001:db8:77::5", second), mtu=1400))
    yield
    # A subnet is taken away, then another is added
    cloud.network(cloud.port("member", MEMBER_MAC, ("192.168.7.5", first), mtu=1400))
    yield
    cloud.network(cloud.port("member", MEMBER_MAC, ("192.168.7.5", first),
        ("192.168.8.5", cloud.subnet("192.168.8.0/24")), mtu=1400))
    yield
    cloud.network(cloud.port("other", OTHER_MAC, ("192.168.9.5", cloud.subnet("192.168.9.0/24")), mtu=1500))
    yield


def members_on_the_vip_port(cloud):
    subnet = cloud.subnet("10.10.0.0/24", "10.10.0.1")
    cloud.vip("10.10.0.9", "10.10.0.5", subnet)
    yield
    other = cloud.subnet("10.12.0.0/24", "10.12.0.1", ("172.28.0.0/16", "10.12.0.254"))
    cloud.network(cloud.port("vrrp-port", VIP_MAC, ("10.10.0.5", subnet), ("10.12.0.5", other)))
    yield
    cloud.network(cloud.port("vrrp-port", VIP_MAC, ("10.10.0.5", subnet)))
    yield


SCENARIOS = {
    "VIP, IPv4": (vip_ipv4, "SINGLE"),
    "VIP without gateway": (vip_without_gateway, "SINGLE"),
    "VIP, IPv6": (vip_ipv6, "SINGLE"),
    "additional VIPs": (additional_vips, "SINGLE"),
    "ports of members": (member_ports, "SINGLE"),
    "members on the VIP's port": (members_on_the_vip_port, "SINGLE"),
    "VIP, IPv4, two amphorae": (vip_ipv4, "ACTIVE_STANDBY"),
    "additional VIPs, two amphorae": (additional_vips, "ACTIVE_STANDBY"),
}


def files_of(agent):
    """The interface files without what later versions of Octavia's agent have added."""
    found = {}
    for path in agent.interfaces.glob("*.json"):
        content = json.loads(path.read_text())
        for name in ("if_type", "is_sriov"):
            content.pop(name, None)
        for scripts in content["scripts"].values():
            for script in scripts:
                script["command"] = re.sub("^\\S*masquerade(.sh)?", "lvs-masquerade.sh", script["command"])
            scripts.sort(key=json.dumps)  # of a set, there
        found[path.name] = content
    return found


def play(agent, make_controller, steps, note):  # noqa: F811
    """The states after each step, the answers to get_interface, and the files at the end."""
    for name, mac in (("ens5", VIP_MAC), ("ens6", MEMBER_MAC), ("ens7", OTHER_MAC)):
        agent.machine.plug(name, mac)
    controller = make_controller(agent)
    cloud, states = Cloud(controller), []
    scenario = steps(cloud)

    def step():
        for _ in scenario:
            return True
        return False
    while True:
        started = time.monotonic()
        if not agent.machine.call(step):
            break
        note(f"{type(agent).__name__}: step {len(states) + 1} took {time.monotonic() - started:.2f} s")
        states.append(agent.machine.state())
    names = {address: agent.machine.call(cloud.interface, address.split("/")[0])["interface"]
        for name, addresses in states[-1]["addresses"].items() for address in addresses}
    assert {call[2] for call in controller.calls} <= {200, 202}
    plugged = sorted(agent.plugged.read_text().splitlines())
    controller.close()
    return states, names, files_of(agent), plugged


@pytest.mark.limit(240)
@pytest.mark.parametrize("name", SCENARIOS)
def test_same_as_the_python_agent(name, make_machine_agent, make_controller, note):  # noqa: F811
    if python_agent.why_not_run():
        pytest.skip(python_agent.why_not_run())
    steps, topology = SCENARIOS[name]
    theirs = MachinePythonAgent(topology=topology)
    try:
        expected = play(theirs.start(), make_controller, steps, note)
    except BaseException:
        print("\n".join(["--- the Python agent's log", *theirs.log.splitlines()[-60:]]))
        raise
    finally:
        theirs.close()
    got = play(make_machine_agent(topology=topology).start(), make_controller, steps, note)
    for step, (their_state, our_state) in enumerate(zip(expected[0], got[0])):
        if steps is member_ports:
            # 11.0.0 removes the VIP's rules with every other port; corrected in 12.0.0 (if_type).
            their_state["rules"] = expected[0][0]["rules"]
        for part in their_state:
            assert our_state[part] == their_state[part], f"{part} after step {step + 1}"
    assert got[1] == expected[1]
    assert got[2] == expected[2]
    assert [line.split()[1] for line in got[3]] == [line.split()[1] for line in expected[3]]
    assert got[3] == expected[3]


REFUSED = {
    "vip: no JSON": ("vip/10.10.0.9", "nonsense"),
    "vip: a list": ("vip/10.10.0.9", "[]"),
    "vip: empty object": ("vip/10.10.0.9", {}),
    "vip: no gateway": ("vip/10.10.0.9", {k: v for k, v in VIP_NET.items() if k != "gateway"}),
    "vip: no address": ("vip/nobody", VIP_NET),
    "vip: four numbers": ("vip/10.10.0.999", VIP_NET),
    "vip: subnet is none": ("vip/10.10.0.9", {**VIP_NET, "subnet_cidr": "10.10.0.0/33"}),
    "vip: subnet with host bits": ("vip/10.10.0.9", {**VIP_NET, "subnet_cidr": "10.10.0.5/24"}),
    "vip: VRRP address is none": ("vip/10.10.0.9", {**VIP_NET, "vrrp_ip": "me"}),
    "vip: no such port": ("vip/10.10.0.9", {**VIP_NET, "mac_address": "fa:16:3e:00:00:99"}),
    "network: no JSON": ("network", "nonsense"),
    "network: no MAC": ("network", {"fixed_ips": []}),
    "network: address is none": ("network", {"mac_address": VIP_MAC, "fixed_ips": [fixed_ip("x", "10.0.0.0/8")]}),
    "network: no such port": ("network", {"mac_address": "fa:16:3e:00:00:99", "fixed_ips": []}),
}


def test_refusals_are_those_of_the_python_agent(make_machine_agent):
    if python_agent.why_not_run():
        pytest.skip(python_agent.why_not_run())

    def answers(agent):
        # What asks for the namespace comes to nothing there as long as no port has created it.
        agent.machine.plug("ens5", OTHER_MAC)
        plug_vip(agent, mac_address=OTHER_MAC).expect(202)
        agent.machine.plug("ens6", VIP_MAC)
        plug_network(agent, VIP_MAC, fixed_ip("192.168.9.5", "192.168.9.0/24")).expect(202)
        found = {name: agent.rest("POST", f"/1.0/plug/{path}", body) for name, (path, body) in REFUSED.items()}
        for address in ("10.10.0.99", "192.168.9.5", "nobody", "2001:db8::99"):
            found[address] = agent.rest("GET", f"/1.0/interface/{address}")
        found["vip: again"] = plug_vip(agent)
        return found
    theirs = MachinePythonAgent()
    try:
        expected = answers(theirs.start())
    finally:
        theirs.close()
    got = answers(make_machine_agent().start())
    for name, answer in expected.items():
        ours = got[name]
        assert ours.status == answer.status, name
        assert ours.headers["Content-Type"] == answer.headers["Content-Type"] == "application/json"
        for key, value in answer.json.items():
            # Behind "Invalid VIP: " come the words of each one's library.
            assert str(ours.json[key]).split(": ")[0] == str(value).split(": ")[0], (name, key)
            if key == "error":
                assert ours.json[key] == value, name


# What Octavia's agent does not do, or not well


def test_no_time_is_lost_with_ipv6(agent, machine, note):
    machine.plug("ens5", VIP_MAC)
    started = time.monotonic()
    agent.rest("POST", "/1.0/plug/vip/2001:db8:10::9", VIP6_NET).expect(202)
    took = time.monotonic() - started
    note(f"POST plug/vip with IPv6: {took * 1000:.0f} ms")
    assert took < 1  # Octavia's agent: 2 to 2.8 s
    # At once, HAProxy can listen on it, and members be reached from the port's own address.
    for address in ("2001:db8:10::9", "2001:db8:10::5"):
        machine.run("ip", "netns", "exec", NAMESPACE, "/usr/bin/python3", "-c",
            f"import socket; socket.create_server(('{address}', 80), family=socket.AF_INET6)")
    detection = {a["local"]: a for a in machine.json("-6", "address", "show", "dev", "eth1")[0]["addr_info"]}
    assert detection["2001:db8:10::9"].get("nodad")


def test_a_vip_that_the_other_amphora_still_has(agent, machine):
    machine.plug("ens5", VIP_MAC)
    machine.ip("-n", "world", "address", "add", "2001:db8:10::9/64", "dev", "w-ens5", "nodad")
    agent.rest("POST", "/1.0/plug/vip/2001:db8:10::9", VIP6_NET).expect(202)
    time.sleep(2.5)  # in which the detection would have found it
    assert machine.addresses("eth1") == ["2001:db8:10::5/64", "2001:db8:10::9/128"]
    addresses = machine.json("-6", "address", "show", "dev", "eth1")[0]["addr_info"]
    assert not [a for a in addresses if a.get("dadfailed") or a.get("tentative")]


def test_without_a_carrier_nothing_is_waited_for(agent, machine):
    machine.plug("ens5", VIP_MAC, up=False)
    started = time.monotonic()
    agent.rest("POST", "/1.0/plug/vip/2001:db8:10::9", VIP6_NET).expect(202)
    assert time.monotonic() - started < 2
    assert machine.addresses("eth1") == ["2001:db8:10::5/64", "2001:db8:10::9/128"]


def test_high_interface_numbers(agent, machine):
    """Octavia's agent answers 500 from 256 on."""
    machine.ip("link", "add", "name", "ens5", "index", "70000", "address", VIP_MAC, "type", "veth", "peer", "name", "w-ens5",
        "netns", "world")
    plug_vip(agent).expect(202)
    assert machine.json("link", "show", "eth1")[0]["ifindex"] == 70000
    assert machine.addresses("eth1") == ["10.10.0.5/24", "10.10.0.9/32"]


def test_the_port_comes_late(agent, machine):
    late = plug_vip(agent)
    assert late.status == 404 and late.headers["Content-Type"] == "application/json"
    assert late.json == {"details": "No suitable network interface found"}
    assert not agent.plugged.exists() and not list(agent.interfaces.glob("eth*"))
    machine.plug("ens5", VIP_MAC)
    done = plug_vip(agent).expect(202)
    assert done.json == {"message": "OK", "details": "VIPs plugged on interface eth1: 10.10.0.9"}
    again = plug_vip(agent)
    assert again.status == 409 and again.json == {"message": "Interface already exists"}


def test_an_attempt_that_was_cut_short_is_finished(agent, machine):
    """The agent died between the move and the rest: the controller's next attempt must not be told that all is done."""
    machine.plug("ens5", VIP_MAC)
    machine.ip("link", "set", "ens5", "netns", NAMESPACE, "name", "eth1")
    plug_vip(agent).expect(202)
    assert machine.addresses("eth1") == ["10.10.0.5/24", "10.10.0.9/32"]
    assert plug_vip(agent).status == 409


def test_another_port_has_the_name(agent, machine):
    machine.plug("ens5", VIP_MAC)
    plug_vip(agent).expect(202)
    machine.plug("ens6", OTHER_MAC)
    before = agent.plugged.read_text()
    refused = plug_vip(agent, mac_address=OTHER_MAC)
    assert refused.status == 500 and refused.json["message"] == "Error plugging VIP"
    assert "another port is eth1 already" in refused.json["details"]
    assert agent.plugged.read_text() == before
    assert json.loads((agent.interfaces / "eth1.json").read_text())["addresses"]
    assert machine.json("link", "show", "ens6", namespace=None)


def test_updates_leave_exactly_what_is_asked(agent, machine):
    machine.plug("ens6", MEMBER_MAC)
    route = {"destination": "172.29.0.0/16", "nexthop": "192.168.7.254"}
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.5", "192.168.7.0/24", host_routes=[route]),
        fixed_ip("2001:db8:77::5", "2001:db8:77::/64"), mtu=1400).expect(202)
    assert machine.addresses("eth2") == ["192.168.7.5/24", "2001:db8:77::5/64"]
    # With the first address of a network the kernel removes the others of it, and what routes over the old gateway
    # stays if the new one is refused first: both go wrong in Octavia's agent.
    changed = {"destination": "172.29.0.0/16", "nexthop": "192.168.7.253"}
    more = {"destination": "172.27.1.1", "nexthop": "192.168.7.253"}
    reply = plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.6", "192.168.7.0/24", host_routes=[changed, more]),
        fixed_ip("192.168.7.7", "192.168.7.0/24"), mtu=1300).expect(202)
    assert reply.json["details"] == "Updated existing interface eth2"
    assert machine.addresses("eth2") == ["192.168.7.6/24", "192.168.7.7/24"]
    assert [(r["dst"], r["gateway"]) for r in machine.routes("eth2") if r["protocol"] == "static"] == [
        ("172.27.1.1", "192.168.7.253"), ("172.29.0.0/16", "192.168.7.253")]
    assert machine.json("link", "show", "eth2")[0]["mtu"] == 1300
    # Down to nothing but what others made
    machine.ip("-n", NAMESPACE, "route", "add", "172.26.0.0/16", "via", "192.168.7.1", "dev", "eth2", "proto", "keepalived")
    machine.ip("-n", NAMESPACE, "address", "add", "2001:db8:99::1/64", "dev", "eth2", "valid_lft", "600", "preferred_lft",
        "600", "nodad")
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.6", "192.168.7.0/24")).expect(202)
    assert machine.addresses("eth2") == ["192.168.7.6/24", "2001:db8:99::1/64"]
    assert [r["dst"] for r in machine.routes("eth2") if r["protocol"] != "kernel"] == ["172.26.0.0/16"]


def test_a_vip_moves_to_other_addresses(agent, machine):
    """On the port that is there, rules included; keepalived's stay."""
    machine.plug("ens5", VIP_MAC)
    plug_vip(agent, additional_vips=[{"ip_address": "10.11.0.9", "subnet_cidr": "10.11.0.0/24", "gateway": None,
        "host_routes": []}]).expect(202)
    assert [rule["src"] for rule in machine.rules()] == ["10.10.0.9", "10.11.0.9"]
    machine.ip("-n", NAMESPACE, "rule", "add", "from", "10.9.9.9", "table", "7", "protocol", "keepalived")
    plug_network(agent, VIP_MAC, fixed_ip("10.10.0.5", "10.10.0.0/24"),
        vip_net_info={**VIP_NET, "vip": "10.10.0.19"}).expect(202)
    assert sorted(rule["src"] for rule in machine.rules()) == ["10.10.0.19", "10.9.9.9"]
    assert machine.addresses("eth1") == ["10.10.0.19/32", "10.10.0.5/24"]
    assert not [route for route in machine.routes() if route["dst"].startswith("10.11")]


def test_connections_survive_an_update(agent, machine):
    """What is already so is not touched."""
    machine.plug("ens5", VIP_MAC)
    machine.ip("-n", "world", "address", "add", "10.10.0.1/24", "dev", "w-ens5")
    plug_vip(agent).expect(202)
    with subprocess.Popen([*machine.enter, "ip", "-n", NAMESPACE, "monitor", "address", "route", "rule"],
            stdout=subprocess.PIPE) as monitor:
        try:
            os.set_blocking(monitor.stdout.fileno(), False)
            seen, marks = b"", itertools.count()

            def marked(mark):
                """Whether a change of our own is seen, and with it all that came before it."""
                nonlocal seen
                machine.ip("-n", NAMESPACE, "route", "add", f"198.51.100.{next(marks)}", "dev", "lo", "table", str(mark))
                seen += monitor.stdout.read() or b""
                return b"table %d" % mark in seen
            wait_for(lambda: marked(77), 10, "ip monitor works")
            plug_network(agent, VIP_MAC, fixed_ip("10.10.0.5", "10.10.0.0/24", gateway="10.10.0.1"),
                vip_net_info={**VIP_NET, "vip": "10.10.0.9"}, mtu=1450).expect(202)
            wait_for(lambda: marked(78), 10, "all was seen")
        finally:
            monitor.kill()
    assert not [line for line in seen.decode().splitlines() if "198.51.100." not in line], seen.decode()


def test_hostile_requests(agent, machine):
    machine.plug("ens5", VIP_MAC)
    before = machine.state()
    route = {"destination": "172.16.0.0/12", "nexthop": "10.10.0.254"}
    bad_macs = ["", "fa:16:3e:11:22", "fa:16:3e:11:22:01:02", "fa-16-3e-11-22-01", "00:00:00:00:00:00", "../../etc/passwd",
        "fa:16:3e:11:22:0g", "fa:16:3e:11:22:01\n", "x" * 5000, 17, None, ["fa:16:3e:11:22:01"], {}]
    bad_networks = ["", "10.10.0.0", "10.10.0.0/-1", "10.10.0.0/+24", "10.10.0.0/24/24", "10.10.0.0/255.255.255.0", "::/0x10",
        "10.10.0.0/ 24", "fe80::%eth0/64", "2001:db8::/64", "0/0", 24, None, {}]
    bad_addresses = ["", "10.10.0", "0x0a0a0001", "10.10.0.1/24", "10.10.0.1 ", "::ffff:999.1.1.1", "fe80::1%lo", "2001:db8::1",
        "224.0.0.1", "0.0.0.0", "localhost", 167772161, True, [], {}]
    cases = [{"mac_address": mac} for mac in bad_macs]
    cases += [{"subnet_cidr": network} for network in bad_networks if network != "10.10.0.0"]
    cases += [{"gateway": address} for address in bad_addresses]
    cases += [{"vrrp_ip": address} for address in bad_addresses]
    cases += [{"mtu": mtu} for mtu in (-1, 1, 67, 65536, 10**18, 10**30, "1500", 1500.5, True, [])]
    cases += [{"is_sriov": value} for value in (0, "yes", [])]
    cases += [{"host_routes": value} for value in ("x", {}, 5, [5], [{}], [{"destination": "172.16.0.0/12"}],
        [{"nexthop": "10.10.0.254"}], [{**route, "destination": "172.16.0.0/99"}], [{**route, "nexthop": "2001:db8::1"}],
        [route] * 1025)]
    cases += [{"additional_vips": value} for value in ("x", {}, [5], [{}], [{"ip_address": "10.11.0.9"}],
        [{"ip_address": "10.11.0.9", "subnet_cidr": "2001:db8::/64"}],
        [{"ip_address": f"10.11.0.{n % 200}", "subnet_cidr": "10.11.0.0/24"} for n in range(200)])]
    for case in cases:
        reply = plug_vip(agent, **case)
        assert reply.status == 400, (case, reply)
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.json["message"].startswith("Invalid "), (case, reply)
    for vip in ("nobody", "10.10.0", "10.10.0.9%2f24", "..", "%2e%2e", "10.10.0.9%00", "0.0.0.0", "224.0.0.9", "x" * 3000):
        reply = plug_vip(agent, vip)
        assert reply.status in (400, 404), (vip, reply)
        assert "No suitable" not in reply.text
    for body in ("", "null", "5", "[" * 5000, '{"mac_address": "fa:16:3e:11:22:01", "mac_address": "x"}', b"\xff\xfe",
            '{"mac_address": "\\u0000"}', "{}" * 2):
        assert agent.rest("POST", "/1.0/plug/vip/10.10.0.9", body).status == 400, body
        assert agent.rest("POST", "/1.0/plug/network", body).status == 400, body
    assert agent.rest("POST", "/1.0/plug/network", "x" * (2 << 20)).status == 413
    for address in bad_addresses:
        reply = plug_network(agent, VIP_MAC, fixed_ip(address, "10.0.0.0/8"))
        if address != "2001:db8::1":
            assert reply.status == 400 and reply.json["message"] == "Invalid network port", (address, reply)
    for info in ("x", 5, [], {"vip": "10.10.0.9"}, {**VIP_NET, "vip": None}, {**VIP_NET}):
        if info != []:
            assert plug_network(agent, VIP_MAC, vip_net_info=info).status == 400, info
    assert machine.state() == before
    assert not agent.plugged.exists()
    # It still works.
    plug_vip(agent).expect(202)


def test_a_route_that_the_kernel_refuses_is_no_failure(agent, machine):
    """Host routes are the user's, and Neutron takes any."""
    machine.plug("ens5", VIP_MAC)
    plug_vip(agent, host_routes=[{"destination": "172.31.0.0/16", "nexthop": "10.10.0.9"},
        {"destination": "172.30.0.0/16", "nexthop": "10.10.0.254"}]).expect(202)
    assert "172.30.0.0/16" in [route["dst"] for route in machine.routes("eth1")]
    assert "adding route to 172.31.0.0/16 via 10.10.0.9" in agent.log


def test_an_mtu_that_ipv6_cannot_have(agent, machine):
    machine.plug("ens5", VIP_MAC)
    assert agent.rest("POST", "/1.0/plug/vip/2001:db8:10::9", {**VIP6_NET, "mtu": 1000}).status == 500
    reply = plug_network(agent, VIP_MAC, fixed_ip("2001:db8:10::5", "2001:db8:10::/64"), mtu=1000)
    assert reply.status == 500 and reply.json["message"] == "Error plugging network"
    assert "cannot add address 2001:db8:10::5/64 to eth1" in reply.json["details"]
    # The next attempt is better.
    plug_network(agent, VIP_MAC, fixed_ip("2001:db8:10::5", "2001:db8:10::/64"), mtu=1300).expect(202)
    assert machine.addresses("eth1") == ["2001:db8:10::5/64"]
    assert machine.json("link", "show", "eth1")[0]["mtu"] == 1300


def test_many_at_once(agent, machine):
    ports = [(f"ens{n}", f"fa:16:3e:aa:00:{n:02x}") for n in range(10, 26)]
    for name, mac in ports:
        machine.plug(name, mac)

    def plug(item):
        n, (_, mac) = item
        return plug_network(agent, mac, fixed_ip(f"192.168.{n}.5", f"192.168.{n}.0/24")).expect(202).json["details"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        details = list(pool.map(plug, enumerate(ports)))
    assert sorted(details) == sorted(f"Plugged on interface eth{n}" for n in range(2, 18))
    lines = dict(line.split() for line in agent.plugged.read_text().splitlines())
    assert sorted(lines.values()) == sorted(f"eth{n}" for n in range(2, 18))
    for name, address in ((link["ifname"], link["address"]) for link in machine.json("link") if link["ifname"] != "lo"):
        assert lines[address] == name


def test_addresses_of_members_ports_are_advertised(agent, machine):
    """On the wire: gratuitous ARP and an unsolicited neighbor advertisement, for a new port and for one that changes."""
    def listen():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind(("w-ens6", 3))
        wire.settimeout(10)
        return wire

    def seen(wire, what):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if what(wire.recv(2048)):
                return True
        return False
    machine.plug("ens6", MEMBER_MAC)
    mac = bytes.fromhex(MEMBER_MAC.replace(":", ""))
    for address, address6 in (("192.168.7.5", "2001:db8:77::5"), ("192.168.7.6", "2001:db8:77::6")):
        arp = b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" + mac + socket.inet_aton(address)
        with machine.call(listen, namespace="world") as wire:
            plug_network(agent, MEMBER_MAC, fixed_ip(address, "192.168.7.0/24"),
                fixed_ip(address6, "2001:db8:77::/64")).expect(202)
            assert seen(wire, lambda packet: packet[12:].startswith(arp))
        with machine.call(listen, namespace="world") as wire:
            plug_network(agent, MEMBER_MAC, fixed_ip(address, "192.168.7.0/24"),
                fixed_ip(address6, "2001:db8:77::/64")).expect(202)
            target = socket.inet_pton(socket.AF_INET6, address6)
            assert seen(wire, lambda packet: packet[12:14] == b"\x86\xdd" and packet[54] == 136 and packet[62:78] == target)


def test_details_count_the_namespace(agent, machine):
    machine.plug("ens5", VIP_MAC)
    plug_vip(agent).expect(202)
    networks = agent.rest("GET", "/1.0/details").expect(200).json["networks"]
    assert list(networks) == ["eth1"] and set(networks["eth1"]) == {"network_tx", "network_rx"}


# Reboot


def reboot(agent, machine, ports):
    """Everything that is not a file is gone; the ports are where the kernel has found them."""
    agent.stop()
    for name, _ in ports:
        machine.unplug(name)
    machine.ip("netns", "delete", NAMESPACE)
    wait_for(lambda: not machine.json("link", "show", "type", "veth", namespace="world"), 10, "the ports are gone")
    for name, mac in ports:
        machine.plug(name, mac)


def test_everything_is_restored_after_a_reboot(agent, machine):
    ports = [("ens5", VIP_MAC), ("ens6", MEMBER_MAC), ("ens7", OTHER_MAC)]
    for name, mac in ports:
        machine.plug(name, mac)
    plug_vip(agent, additional_vips=[{"ip_address": "2001:db8:10::9", "subnet_cidr": "2001:db8:10::/64",
        "gateway": "2001:db8:10::1", "host_routes": []}]).expect(202)
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.5", "192.168.7.0/24"), mtu=1400).expect(202)
    plug_network(agent, OTHER_MAC, fixed_ip("2001:db8:77::5", "2001:db8:77::/64")).expect(202)
    before = machine.state()
    assert len(before["rules"]) == 2 and len(before["routes"]) > 8
    reboot(agent, machine, list(reversed(ports)))
    result = agent.interface("up", "all")
    assert result.returncode == 0, result.stderr
    assert machine.state() == before
    assert machine.json("address", "show", "lo")[0]["addr_info"][0]["local"] == "127.0.0.1"
    # Once more, from inside as Octavia's unit has it, it changes nothing; the agent finds it so.
    assert agent.interface("up", "all", inside=True).returncode == 0
    assert machine.state() == before
    agent.start()
    assert machine.state() == before
    assert plug_vip(agent).status == 409
    assert agent.rest("GET", "/1.0/interface/2001:db8:77::5").json["interface"] == "eth3"


def test_the_agent_restores_where_no_unit_has(agent, machine):
    ports = [("ens5", VIP_MAC), ("ens6", MEMBER_MAC)]
    for name, mac in ports:
        machine.plug(name, mac)
    plug_vip(agent).expect(202)
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.5", "192.168.7.0/24")).expect(202)
    before = machine.state()
    reboot(agent, machine, ports)
    agent.start()
    assert machine.state() == before


def test_interfaces_go_down_and_up(agent, machine):
    for name, mac in (("ens5", VIP_MAC), ("ens6", MEMBER_MAC)):
        machine.plug(name, mac)
    plug_vip(agent).expect(202)
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.5", "192.168.7.0/24")).expect(202)
    before = machine.state()
    assert agent.interface("down", "eth2").returncode == 0
    assert not machine.addresses("eth2") and not machine.routes("eth2")
    assert machine.rules() == before["rules"] and machine.addresses("eth1") == before["addresses"]["eth1"]
    assert agent.interface("down", "all").returncode == 0
    empty = machine.state()
    assert not empty["rules"] and not empty["routes"] and not any(link["up"] for link in empty["links"])
    assert agent.interface("up", "eth1").returncode == 0
    assert machine.addresses("eth1") == before["addresses"]["eth1"] and not machine.addresses("eth2")
    assert agent.interface("up", "all").returncode == 0
    assert machine.state() == before


def test_a_port_that_is_gone_keeps_nobody_else(agent, machine):
    for name, mac in (("ens5", VIP_MAC), ("ens6", MEMBER_MAC)):
        machine.plug(name, mac)
    plug_network(agent, MEMBER_MAC, fixed_ip("192.168.7.5", "192.168.7.0/24")).expect(202)
    plug_vip(agent).expect(202)
    (agent.interfaces / "eth9.json").write_text("{ cut short")
    (agent.interfaces / ".tmp-eth8.json").write_text("{}")
    reboot(agent, machine, [("ens5", VIP_MAC)])
    result = agent.interface("up", "all")
    assert result.returncode == 2
    assert "eth2.json" in result.stderr and "eth9.json" in result.stderr and "eth8" not in result.stderr
    assert machine.addresses("eth1") == ["10.10.0.5/24", "10.10.0.9/32"]


def test_a_file_of_the_python_agent(agent, machine):
    """11.0.0: without types, with the name of its own masquerading program, another order, and a VIP of keepalived's."""
    machine.plug("ens5", VIP_MAC)
    machine.ip("link", "set", "ens5", "netns", NAMESPACE, "name", "eth1")
    (agent.interfaces / "eth1.json").write_text(json.dumps({
        "name": "eth1",
        "addresses": [{"address": "2001:0db8:0010:0000:0000:0000:0000:0005", "prefixlen": 64},
            {"address": "2001:0db8:0010:0000:0000:0000:0000:0009", "prefixlen": 128, "octavia_owned": False}],
        "routes": [{"dst": "::/0", "gateway": "2001:db8:10::1", "flags": ["onlink"]},
            {"dst": "2001:0db8:0010:0000:0000:0000:0000:0000/64", "scope": "link"}],
        "rules": [{"src": "2001:0db8:0010:0000:0000:0000:0000:0009", "src_len": 128, "table": 1}],
        "scripts": {"up": [{"command": "octavia-agent-lvs-masquerade-that-is-not-there add ipv6 eth1"}], "down": []},
        "mtu": 1450}))
    result = agent.interface("up", "eth1")
    assert result.returncode == 0, result.stderr
    assert machine.addresses("eth1") == ["2001:db8:10::5/64"]
    assert [rule["src"] for rule in machine.rules()] == ["2001:db8:10::9"]
    # What keepalived sets stays.
    machine.ip("-n", NAMESPACE, "address", "add", "2001:db8:10::9/128", "dev", "eth1", "nodad")
    assert agent.interface("up", "eth1").returncode == 0
    assert machine.addresses("eth1") == ["2001:db8:10::5/64", "2001:db8:10::9/128"]


def test_amphora_interface_is_told_nonsense(agent):
    assert agent.interface("up", "eth9").returncode == 2
    assert agent.interface("up", "../../etc/passwd").returncode == 2
    assert agent.interface("sideways", "all").returncode == 1
    assert agent.interface("up").returncode == 1
    assert agent.interface().returncode == 1
    assert agent.interface("--help").returncode == 0


def test_kernel_parameters_stay_inside(agent, machine):
    def read(key, *enter):
        path = "/proc/sys/" + key.replace(".", "/")
        return machine.run(*enter, "cat", path, check=False).stdout.strip()
    inside = ("ip", "netns", "exec", NAMESPACE)
    keys = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind")
    assert [read(key, *inside) for key in keys] == ["1"] * 4
    assert [read(key) for key in keys] == ["0"] * 4
    # HAProxy's user may ping, as on Octavia's images: monitors of type PING.
    assert read("net.ipv4.ping_group_range", *inside).split() == ["0", "2147483647"]


def test_only_the_network_part_of_sysctl_d_is_copied(make_machine_agent):
    """What "sysctl --system" in a namespace does to the whole machine."""
    agent = make_machine_agent()
    key = "/proc/sys/fs/inotify/max_user_instances"
    before = agent.machine.run("cat", key).stdout.strip()
    agent.machine.run("sh", "-c", "mount -t tmpfs tmpfs /etc/sysctl.d && printf 'net.ipv4.tcp_keepalive_time = 299\\n"
        f"fs.inotify.max_user_instances = {int(before) + 1}\\n' >/etc/sysctl.d/99-test.conf")
    try:
        agent.start()
        assert agent.machine.run("cat", key).stdout.strip() == before
    finally:
        agent.machine.run("sh", "-c", f"echo {before} >{key}")
    inside = agent.machine.run("ip", "netns", "exec", NAMESPACE, "cat", "/proc/sys/net/ipv4/tcp_keepalive_time").stdout
    if "systemd-sysctl cannot be run" not in agent.log:
        assert inside.strip() == "299"


# Rights


def test_without_rights(make_machine_agent):
    agent = make_machine_agent()
    for path in (agent.folder, *agent.folder.iterdir()):
        shutil.chown(path, "nobody")
    drop = ["setpriv", "--reuid", "nobody", "--clear-groups", "--bounding-set", "-all"]
    result = agent.machine.run(*drop, *agent.command("--log-target", "stderr"), check=False, env=agent.environment())
    assert result.returncode == 1
    assert f"cannot create network namespace {NAMESPACE}: it takes root's rights" in result.stderr
    assert "leave it empty to have HAProxy run here" in result.stderr
    result = agent.machine.run(*drop, amphora.BUILD / "amphora-interface", "--config-file", agent.config,
        "--config-file", agent.agent_config, "up", "all", check=False)
    assert result.returncode == 2 and "root's rights" in result.stderr


def test_without_a_namespace_nothing_is_touched(make_machine_agent):
    agent = make_machine_agent()
    agent.config.write_text(agent.config.read_text().replace(f"network_namespace = {NAMESPACE}", "network_namespace ="))
    agent.start()
    agent.machine.plug("ens5", VIP_MAC)
    reply = plug_vip(agent)
    assert reply.status == 501 and "no network namespace is configured" in reply.json["details"]
    assert plug_network(agent, VIP_MAC).status == 501
    assert agent.machine.json("link", "show", "ens5", namespace=None)
    assert agent.rest("GET", "/1.0/interface/127.0.0.1").expect(200).json["interface"] == "lo"


# Addresses from the network


def world_answers(machine, port, *command):
    """A server in the world, in the foreground; ended with the machine's processes."""
    return subprocess.Popen([*machine.enter, "ip", "netns", "exec", "world", *command], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def clients_of(machine):
    """Processes in the amphora's namespace."""
    return machine.ip("netns", "pids", NAMESPACE).stdout.split()


def test_dhcp(agent, machine, tmp_path):
    if not amphora.find_program("dnsmasq"):
        pytest.skip("dnsmasq is not installed")
    if not any(amphora.find_program(name) for name in ("dhclient", "dhcpcd", "udhcpc")):
        pytest.skip("no DHCP client is installed")
    machine.plug("ens5", VIP_MAC)
    machine.ip("-n", "world", "address", "add", "10.10.0.1/24", "dev", "w-ens5")
    server = world_answers(machine, "w-ens5", amphora.find_program("dnsmasq"), "--no-daemon", "--conf-file=/dev/null",
        "--port=0", "--interface=w-ens5", "--bind-interfaces", "--dhcp-range=10.10.0.50,10.10.0.60,255.255.255.0,1h",
        f"--dhcp-leasefile={tmp_path}/leases", "--dhcp-option=3", "--dhcp-option=6,10.10.0.53", f"--pid-file={tmp_path}/pid")
    resolver = pathlib.Path("/etc/resolv.conf").read_bytes()
    try:
        reply = plug_vip(agent, vrrp_ip=None)
        assert reply.status == 202, reply
        # The name server of the VIP's network (10.10.0.53) is none of this machine's.
        assert pathlib.Path("/etc/resolv.conf").read_bytes() == resolver
        found = machine.addresses("eth1")
        assert "10.10.0.9/32" in found and len(found) == 2
        lease = next(address for address in found if address != "10.10.0.9/32")
        assert lease.startswith("10.10.0.5") or lease == "10.10.0.60/24"
        assert json.loads((agent.interfaces / "eth1.json").read_text())["addresses"][0] == {"dhcp": True}
        # It keeps the lease, and the client that is there.
        assert agent.interface("up", "all").returncode == 0
        assert machine.addresses("eth1") == found
        assert len(clients_of(machine)) == 1
        assert agent.interface("down", "eth1").returncode == 0
        assert not machine.addresses("eth1")
        assert not clients_of(machine)
    finally:
        server.terminate()
        server.wait()
        agent.interface("down", "all")


def test_router_advertisements(agent, machine, tmp_path):
    if not amphora.find_program("radvd"):
        pytest.skip("radvd is not installed")
    machine.plug("ens5", VIP_MAC)
    machine.ip("-n", "world", "address", "add", "2001:db8:10::1/64", "dev", "w-ens5", "nodad")
    (tmp_path / "radvd.conf").write_text("interface w-ens5 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; "
        "prefix 2001:db8:10::/64 { AdvOnLink on; AdvAutonomous on; }; };")
    agent.rest("POST", "/1.0/plug/vip/2001:db8:10::9", {**VIP6_NET, "vrrp_ip": None}).expect(202)
    server = world_answers(machine, "w-ens5", amphora.find_program("radvd"), "-n", "-C", str(tmp_path / "radvd.conf"), "-p",
        str(tmp_path / "radvd.pid"), "-u", "root")
    try:
        mine = "2001:db8:10:0:f816:3eff:fe11:2201/64"
        wait_for(lambda: mine in machine.addresses("eth1"), 30, "an address by autoconfiguration")
        # What came that way is not removed by the next look.
        assert agent.interface("up", "all").returncode == 0
        assert machine.addresses("eth1") == sorted([mine, "2001:db8:10::9/128"])
    finally:
        server.terminate()
        server.wait()
