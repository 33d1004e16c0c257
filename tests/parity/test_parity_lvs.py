# SPDX-License-Identifier: Apache-2.0
"""Random load balancers with listeners of UDP and SCTP, rendered by Octavia's own templates and by amphorad: the same but for what
lvs.py lists. AMPHORAD_SEED draws others, AMPHORAD_PARITY_CASES says how many load balancers there are."""

import difflib
import os

import pytest

import amphora
import generate
from generate import SEED

lvs = pytest.importorskip("lvs", reason="python3-octavia is not installed")

CASES = int(os.environ.get("AMPHORAD_PARITY_CASES", "400"))


class Generator(generate.Generator):
    def lvs_monitor(self, protocol):
        kind = self.choice(["UDP-CONNECT" if protocol == "UDP" else "SCTP", "TCP", "HTTP"])
        monitor = {"id": self.id(), "type": kind, "delay": self.random.randint(3, 100), "timeout": self.random.randint(1, 100),
            "max_retries": self.random.randint(1, 10), "max_retries_down": self.random.randint(1, 10),
            "admin_state_up": self.chance(0.8)}
        if kind == "HTTP":
            self.maybe(monitor, http_method=self.choice(["GET", "HEAD", "POST"]),
                url_path=self.choice(["/", "/health", "/a?b=c&d=%20", "/x;y='z'", "/$a!b~(c)*@d"]),
                expected_codes=self.choice(["200", "200,204", "200-204", "301,404,599"]))
            if self.chance(0.5):
                monitor["http_version"] = 1.1
                self.maybe(monitor, domain_name="www.example.com")
        return monitor

    def lvs_pool(self, protocol, vip, versions):
        pool = {"id": self.id(), "protocol": protocol, "admin_state_up": self.chance(0.9),
            "lb_algorithm": self.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"]), "members": []}
        for _ in range(self.random.randint(0, 4)):
            member = {"id": self.id(), "address": self.address(self.choice(versions)),
                "protocol_port": self.random.randint(1, 65535)}
            self.maybe(member, weight=self.random.randint(0, 256), admin_state_up=False)
            self.maybe(member, 0.3, monitor_address=self.address(6 if ":" in member["address"] else 4),
                monitor_port=self.random.randint(1, 65535))
            if all((m["address"], m["protocol_port"]) != (member["address"], member["protocol_port"])
                    for m in pool["members"]):
                pool["members"].append(member)
        if self.chance(0.6):
            pool["healthmonitor"] = self.lvs_monitor(protocol)
        if self.chance(0.5):
            pool["session_persistence"] = {"type": "SOURCE_IP"}
            self.maybe(pool["session_persistence"], persistence_timeout=self.random.randint(1, 1000),
                persistence_granularity=self.choice(["64", "128"] if ":" in vip else ["255.255.255.0", "255.255.0.0"]))
        return pool

    def lvs_load_balancer(self):
        lb = {"id": self.id(), "vip_address": self.address(self.choice([4, 6])), "admin_state_up": self.chance(0.95),
            "listeners": [], "pools": []}
        lb["additional_vips"] = [{"ip_address": address} for address in
            {self.address(self.choice([4, 6])) for _ in range(self.random.randint(0, 3))} - {lb["vip_address"]}]
        # Members of another version than all VIPs cannot be reached.
        versions = sorted({6 if ":" in address else 4 for address in
            [lb["vip_address"], *(vip["ip_address"] for vip in lb["additional_vips"])]})
        for protocol in self.some(["UDP", "SCTP", "UDP"], 1):
            listener = {"id": self.id(), "protocol": protocol, "protocol_port": self.random.randint(1, 65535),
                "admin_state_up": self.chance(0.9)}
            self.maybe(listener, connection_limit=self.choice([-1, 1, 1000]))
            if self.chance(0.9):
                lb["pools"].append(self.lvs_pool(protocol, lb["vip_address"], versions))
                listener["default_pool_id"] = lb["pools"][-1]["id"]
            if all((e["protocol"], e["protocol_port"]) != (protocol, listener["protocol_port"]) for e in lb["listeners"]):
                lb["listeners"].append(listener)
        return lb


@pytest.mark.skipif(amphora.find_program("keepalived") is None, reason="keepalived is not installed")
@pytest.mark.limit(600)
def test_parity_of_lvs(make_agent, note):
    agent = make_agent().start(env={"PATH": f"{amphora.BUILD}:{os.environ['PATH']}"})
    octavia = lvs.Octavia(agent.state)
    generator = Generator(SEED)
    seen = {function.__name__: 0 for function in lvs.DIFFERENCES}
    compared = 0
    note(f"AMPHORAD_SEED={SEED}")
    for number in range(CASES):
        lb = generator.lvs_load_balancer()
        where = f"AMPHORAD_SEED={SEED}, load balancer {number}"
        # keepalived judges each in the dry run.
        reply = agent.put(lb["id"], {"loadbalancer": lb}, "?dry_run=true")
        assert reply.status == 200, f"{where}: {reply.text[:3000]}"
        stored = reply.json["loadbalancer"]
        rendered = reply.json["dry_run"]["keepalived"]
        runs = {each["id"] for each in stored["listeners"] if each["admin_state_up"] and stored["admin_state_up"]}
        assert set(rendered) == runs, where
        for listener in (each for each in stored["listeners"] if each["id"] in runs):
            theirs = octavia.render(stored, listener["id"])
            expected = lvs.read(theirs)
            for function in lvs.DIFFERENCES:
                seen[function.__name__] += bool(function(expected, stored, listener))
            found = list(difflib.unified_diff(list(lvs.show(expected)), list(lvs.show(lvs.read(rendered[listener["id"]]))),
                "Octavia", "amphorad", lineterm=""))
            assert not found, "\n".join([where, *found, theirs])
            compared += 1
    print("listeners:", compared, "differences:", seen)
    if CASES >= 200:
        never = [name for name, times in seen.items() if times == 0]
        assert not never, f"in lvs.py, and nowhere: {never}"
