#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a change of a large definition takes, beside `haproxy -c` of the very file: through the declarative door and through
that of single objects, turn by turn. `make bench-scale` runs it."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

import amphora  # noqa: E402
from amphora import LBS, Agent, document, listener, member, new_id, pool  # noqa: E402
from processes import free_port  # noqa: E402

LIMIT = 1.5  # of `haproxy -c`


def seconds(function, *arguments):
    began = time.monotonic()
    value = function(*arguments)
    return time.monotonic() - began, value


class LoadBalancer:
    def __init__(self, agent, members):
        self.agent, self.lb_id = agent, new_id()
        count = min(100, members)
        self.body = document(*[listener(free_port(), pool([member(9, f"m{m}", address=f"127.{p + 1}.0.{m}", weight=0)
            for m in range(1, members // count + 1)], name=f"pool-{p}")) for p in range(count)])
        agent.put(self.lb_id, self.body).expect(201)
        tree = agent.get(f"{LBS}/{self.lb_id}/definition").expect(200).json["loadbalancer"]
        self.pool = tree["pools"][len(tree["pools"]) // 2]
        self.turn = 0

    def check(self):
        path = self.agent.config_file(self.lb_id)
        done = subprocess.run([amphora.HAPROXY, "-c", "-q", "-f", str(path)], stdin=subprocess.DEVNULL, cwd=path.parent,
            capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def _put(self, path, body, action):
        """How long the exchange took."""
        took, reply = seconds(self.agent.exchange, "PUT", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert reply.status == 200, reply.text[-2000:]
        assert reply.headers["Amphorad-Apply"] == action, reply.headers["Amphorad-Apply"]
        return took

    def weight(self):
        self.turn += 1
        self.body["loadbalancer"]["listeners"][0]["default_pool"]["members"][0]["weight"] = self.turn
        return self._put(f"{LBS}/{self.lb_id}/definition", self.body, "runtime")

    def timeout(self):
        self.turn += 1
        self.body["loadbalancer"]["listeners"][0]["timeout_client_data"] = 40000 + self.turn
        return self._put(f"{LBS}/{self.lb_id}/definition", self.body, "reload")

    def one_member(self):
        self.turn += 1
        path = f"/v2/lbaas/pools/{self.pool['id']}/members/{self.pool['members'][0]['id']}"
        took = self._put(path, {"member": {"weight": self.turn}}, "runtime")
        # The other door's document stays what is in force.
        for each in self.body["loadbalancer"]["listeners"]:
            if each["default_pool"]["name"] == self.pool["name"]:
                each["default_pool"]["members"][0]["weight"] = self.turn
        return took


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    rows = []
    print(f"{'members':>8} {'change':28} {'haproxy -c':>12} {'change':>12}   times haproxy -c", flush=True)
    agent = Agent()
    try:
        agent.start()
        for members in options.members:
            lb = LoadBalancer(agent, members)
            for name, change in (("a weight, in the definition", lb.weight), ("a weight, of one member", lb.one_member),
                    ("a timeout (reload)", lb.timeout)):
                pairs = [(seconds(lb.check)[0], change()) for _ in range(options.turns)]
                check, took = (statistics.median(each) * 1000 for each in zip(*pairs))
                ratio = statistics.median(b / a for a, b in pairs)
                rows.append({"members": members, "change": name, "haproxy -c ms": check, "ms": took, "ratio": ratio})
                verdict = "" if "reload" in name else "  reached" if ratio <= LIMIT else f"  MISSED ({LIMIT})"
                print(f"{members:8} {name:28} {check:9.1f} ms {took:9.1f} ms   {ratio:.2f}{verdict}", flush=True)
            agent.request("DELETE", f"{LBS}/{lb.lb_id}/definition").expect(204)
    except AssertionError:
        print("\n".join(agent.log.splitlines()[-40:]))
        raise
    finally:
        agent.close()
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
