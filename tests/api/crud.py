# SPDX-License-Identifier: Apache-2.0
"""Words for tests of single objects: one agent for all tests of a file, and requests as Octavia's clients make them."""

import contextlib

from amphora import Agent, new_id

BASE = "/v2/lbaas"
# collection -> the name of one of them
SINGULAR = {"loadbalancers": "loadbalancer", "listeners": "listener", "pools": "pool", "members": "member",
    "healthmonitors": "healthmonitor", "l7policies": "l7policy", "rules": "rule"}


class Api:
    """Paths are those below /v2/lbaas: "listeners", "pools/{id}/members"."""

    def __init__(self, agent):
        self.agent = agent

    def request(self, method, path, body=None, base=BASE):
        return self.agent.request(method, f"{base}/{path}", body)

    def post(self, path, _id=None, **fields):
        return self.request("POST", path, {SINGULAR[path.rsplit("/", 1)[-1]]: fields})

    def create(self, path, **fields):
        return self.post(path, **fields).expect(201).json[SINGULAR[path.rsplit("/", 1)[-1]]]

    def put(self, path, **fields):
        return self.request("PUT", path, {SINGULAR[path.rsplit("/", 2)[-2]]: fields})

    def update(self, path, **fields):
        return self.put(path, **fields).expect(200).json[SINGULAR[path.rsplit("/", 2)[-2]]]

    def show(self, path):
        return self.request("GET", path).expect(200).json[SINGULAR[path.rsplit("/", 2)[-2]]]

    def list(self, path):
        return self.request("GET", path).expect(200).json[path.rsplit("/", 1)[-1]]

    def delete(self, path):
        reply = self.request("DELETE", path).expect(204)
        assert reply.body == b""

    def refused(self, status, message, method, path, body=None):
        """The whole message, or its end after "…"."""
        fault = self.request(method, path, body).expect(status).fault
        if message.startswith("…"):
            assert fault.endswith(message[1:]), fault
        else:
            assert fault == message

    # Each test has a load balancer of its own, so that they share the agent and nothing else.

    def load_balancer(self, **fields):
        return self.create("loadbalancers", **{"name": "lb", "vip_address": "127.0.0.1", **fields})

    def listener(self, lb, port, **fields):
        return self.create("listeners", **{"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": port, **fields})

    def pool(self, lb=None, **fields):
        parent = {"loadbalancer_id": lb["id"]} if lb else {}
        return self.create("pools", **{**parent, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **fields})

    def member(self, pool, port, **fields):
        return self.create(f"pools/{pool['id']}/members", **{"address": "127.0.0.1", "protocol_port": port, **fields})

    def monitor(self, pool, **fields):
        return self.create("healthmonitors", **{"pool_id": pool["id"], "type": "HTTP", "delay": 5, "timeout": 2,
            "max_retries": 2, **fields})

    def policy(self, listener, **fields):
        return self.create("l7policies", **{"listener_id": listener["id"], "action": "REJECT", **fields})

    def rule(self, policy, **fields):
        return self.create(f"l7policies/{policy['id']}/rules", **{"type": "PATH", "compare_type": "STARTS_WITH",
            "value": "/x", **fields})


@contextlib.contextmanager
def serving(**options):
    with Agent(**options).serving() as agent:
        yield Api(agent)


def ids(objects):
    return [item["id"] for item in objects]


UNKNOWN = new_id()
