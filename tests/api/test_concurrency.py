# SPDX-License-Identifier: Apache-2.0
"""Eight clients change one load balancer at once, object by object: every change is there in the end, none half, and HAProxy
has what is stored. Their order is random; the seed is printed and may be given: AMPHORAD_CRASH_SEED=…"""

import os
import random
import re
import socket
import threading
import time

import pytest

from amphora import LBS
from crud import Api, ids, serving
from processes import free_port
from test_runtime_changes import runtime, servers_of_backends, wanted

SEED = int(os.environ.get("AMPHORAD_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
CLIENTS = 8
STEPS = 14  # of each client
MERGED = re.compile(r"(\d+) changes were made at once")


@pytest.fixture(scope="module")
def api():
    with serving() as running:
        yield running


class Client(threading.Thread):
    """Makes objects of its own and members of the pool that all share, and keeps what there has to be in the end."""

    def __init__(self, api, lb, shared, number, seed):
        super().__init__(daemon=True)
        self.api, self.lb, self.shared, self.number = Api(api.agent), lb, shared, number
        self.random = random.Random(f"{seed}-{number}")
        self.failure = None
        self.changes = 0
        self.next_address = 0
        self.listeners, self.pools, self.members, self.monitors = {}, {}, {}, {}  # id -> what it has to be
        self.must_not_be = []  # names that only refused changes had

    def run(self):
        try:
            self.add_pool()
            for _ in range(STEPS):
                self.random.choice([self.add_pool, self.add_listener, self.add_listener, self.add_member, self.add_member,
                    self.add_member, self.change_member, self.change_member, self.change_listener, self.change_pool,
                    self.remove_member, self.remove_listener, self.replace_members, self.add_monitor, self.be_refused])()
        except Exception as error:  # for the test's own thread
            self.failure = error

    def done(self, objects, resource, **fields):
        """What was asked for is what is answered, whatever the others did."""
        for name, value in fields.items():
            assert resource[name] == value, (name, value, resource)
        objects.setdefault(resource["id"], {}).update(fields)
        self.changes += 1

    def address(self):
        self.next_address += 1
        return {"address": f"192.0.2.{self.number + 1}", "protocol_port": self.next_address}

    def any_pool(self):
        return self.random.choice([self.shared["id"], *self.pools])

    def mine(self, pool_id):
        return [m for m, value in self.members.items() if value["pool"] == pool_id]

    def add_pool(self):
        fields = {"name": f"pool-{self.number}-{len(self.pools)}", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
        self.done(self.pools, self.api.pool(self.lb, **fields), **fields)

    def change_pool(self):
        pool_id = self.random.choice(list(self.pools))
        fields = {"description": f"{self.random.random()}",
            "lb_algorithm": self.random.choice(["ROUND_ROBIN", "LEAST_CONNECTIONS"])}
        self.done(self.pools, self.api.update(f"pools/{pool_id}", **fields), **fields)

    def add_listener(self):
        # One that needs a port that nobody else has, with a policy and its rule in the same step.
        port = free_port()
        fields = {"default_pool_id": self.any_pool(), "connection_limit": 100}
        policy = {"action": "REJECT", "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": f"/{self.number}"}]}
        self.done(self.listeners, self.api.listener(self.lb, port, l7policies=[policy], **fields), protocol_port=port, **fields)

    def change_listener(self):
        if self.listeners:
            listener_id = self.random.choice(list(self.listeners))
            fields = {"connection_limit": self.random.randrange(1, 1000), "default_pool_id": self.any_pool()}
            self.done(self.listeners, self.api.update(f"listeners/{listener_id}", **fields), **fields)

    def remove_listener(self):
        if self.listeners:
            listener_id = self.random.choice(list(self.listeners))
            self.api.delete(f"listeners/{listener_id}")
            del self.listeners[listener_id]
            self.changes += 1

    def add_member(self):
        pool_id = self.any_pool()
        fields = {"name": f"m{self.changes}", "weight": self.random.randrange(1, 257), "tags": [str(self.number)],
            **self.address()}
        self.done(self.members, self.api.create(f"pools/{pool_id}/members", **fields), **fields)
        self.members[list(self.members)[-1]]["pool"] = pool_id

    def change_member(self):
        if self.members:
            member_id = self.random.choice(list(self.members))
            fields = {"weight": self.random.randrange(0, 257), "admin_state_up": self.random.random() < 0.8}
            self.done(self.members, self.api.update(f"pools/{self.members[member_id]['pool']}/members/{member_id}", **fields),
                **fields)

    def remove_member(self):
        if self.members:
            member_id = self.random.choice(list(self.members))
            self.api.delete(f"pools/{self.members[member_id]['pool']}/members/{member_id}")
            del self.members[member_id]
            self.changes += 1

    def replace_members(self):
        """Of a pool of its own: those that are there are kept by their address, the others go."""
        pool_id = self.random.choice(list(self.pools))
        kept = self.random.sample(self.mine(pool_id), len(self.mine(pool_id)) // 2)
        said = [{k: self.members[m][k] for k in ("address", "protocol_port")} | {"weight": 7} for m in kept]
        new = [{**self.address(), "weight": 9} for _ in range(2)]
        self.api.request("PUT", f"pools/{pool_id}/members", {"members": said + new}).expect(202)
        self.changes += 1
        for gone in set(self.mine(pool_id)) - set(kept):
            del self.members[gone]
        for member_id in kept:
            self.members[member_id].update(weight=7, admin_state_up=True)
        for member in self.api.list(f"pools/{pool_id}/members"):
            if member["weight"] == 9 and member["protocol_port"] in [m["protocol_port"] for m in new]:
                self.members[member["id"]] = {"pool": pool_id, **{k: member[k] for k in ("address", "protocol_port", "weight")}}

    def add_monitor(self):
        pool_id = next((p for p in self.pools if p not in [m["pool"] for m in self.monitors.values()]), None)
        if pool_id:
            fields = {"delay": 60, "timeout": 30, "max_retries": 3, "type": "TCP"}
            self.done(self.monitors, self.api.create("healthmonitors", pool_id=pool_id, **fields), **fields)
            self.monitors[list(self.monitors)[-1]]["pool"] = pool_id

    def be_refused(self):
        """Something whole of which one part is wrong: nothing of it comes to be."""
        name = f"wrong-{self.number}-{len(self.must_not_be)}"
        self.must_not_be.append(name)
        members = [{"name": name, "address": "192.0.2.200", "protocol_port": 1}, {"address": "192.0.2.200", "protocol_port": 1}]
        pool = {"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
        body = {"listener": {"name": name, "loadbalancer_id": self.lb["id"], "protocol": "HTTP", "protocol_port": free_port(),
            "default_pool": pool}}
        self.api.request("POST", "listeners", body).expect(409)


def together(clients):
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for client in clients:
        if client.failure is not None:
            raise client.failure


def merge(clients, what):
    return {key: value for client in clients for key, value in getattr(client, what).items()}


def assert_shown(resources, expected, without=("pool",)):
    found = {resource["id"]: resource for resource in resources}
    assert set(found) == set(expected)
    for key, fields in expected.items():
        for name, value in fields.items():
            if name not in without:
                assert found[key][name] == value, (key, name, value, found[key])


def assert_everything_is_there(api, lb, clients, shared):
    expected = merge(clients, "members")
    assert_shown([item for item in api.list("listeners") if item["loadbalancers"] == [{"id": lb["id"]}]],
        merge(clients, "listeners"))
    pools = {**merge(clients, "pools"), shared["id"]: {}}
    assert_shown([item for item in api.list("pools") if item["loadbalancers"] == [{"id": lb["id"]}]], pools)
    for pool_id in pools:
        assert_shown(api.list(f"pools/{pool_id}/members"),
            {key: value for key, value in expected.items() if value["pool"] == pool_id})
    monitors = merge(clients, "monitors")
    assert_shown([item for item in api.list("healthmonitors") if item["pools"][0]["id"] in pools], monitors)
    text = str(api.agent.definition(lb["id"]))
    for client in clients:
        assert not [name for name in client.must_not_be if name in text]


def reloads(agent, lb_id):
    """Of HAProxy's master; management.txt, "show proc"."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(agent.run / f"{lb_id}.master"))
        connection.sendall(b"show proc\n")
        answer = b""
        while not answer.endswith(b"\n\n"):
            answer += connection.recv(65536)
    return next(int(line.split()[2]) for line in answer.decode().splitlines() if line.split()[1:2] == ["master"])


def assert_haproxy_has_it(api, lb):
    """The file on disk is what is rendered of the tree, and HAProxy has its frontends and servers, in the state that they have."""
    definition = api.agent.definition(lb["id"])
    text = api.agent.rendered(lb["id"])
    assert api.agent.config_file(lb["id"]).read_text() == text
    frontends = set(re.findall(r"^frontend (\S+)", text, re.MULTILINE))
    assert frontends == set(ids(definition["listeners"]))
    assert api.agent.apply(lb["id"], {"loadbalancer": definition})["apply"]["action"] == "none"
    pools = {pool["id"]: pool for pool in definition["pools"]}
    found = servers_of_backends(api.agent, lb["id"])
    for listener in definition["listeners"]:
        expected = wanted({"pools": [pools[listener["default_pool_id"]]]})
        # A member that was removed stays in maintenance until HAProxy lets it go.
        assert {name: value for name, value in found.pop(f"{listener['default_pool_id']}:{listener['id']}", {}).items()
            if name in expected or not value[-1]} == expected
    assert not found
    rows = [line.split(",") for line in runtime(api.agent, lb["id"], "show stat").splitlines() if line and line[0] != "#"]
    assert {row[0] for row in rows if row[1] == "FRONTEND"} >= frontends
    limits = {row[0]: int(row[6]) for row in rows if row[1] == "FRONTEND" and row[0] in frontends}
    assert limits == {listener["id"]: listener["connection_limit"] for listener in definition["listeners"]}


def assert_revisions_are_whole(api, lb):
    """Each one that is kept can be put in force again, with every reference in it."""
    kept = api.agent.get(f"{LBS}/{lb['id']}/revisions").expect(200).json["revisions"]
    assert len(kept) == 10 and [item["revision"] for item in kept] == sorted((r["revision"] for r in kept), reverse=True)
    for item in kept:
        document = api.agent.get(f"{LBS}/{lb['id']}/revisions/{item['revision']}").expect(200).json["loadbalancer"]
        pools = ids(document["pools"])
        assert (len(document["listeners"]), len(pools)) == (item["listeners"], item["pools"])
        assert {listener["default_pool_id"] for listener in document["listeners"] if "default_pool_id" in listener} <= set(pools)
        api.agent.apply(lb["id"], {"loadbalancer": document}, "?dry_run=true")


def test_eight_clients_change_one_load_balancer(api, note):
    print(f"AMPHORAD_CRASH_SEED={SEED}")
    lb = api.load_balancer()
    shared = api.pool(lb, name="shared")
    before, reloads_before = len(api.agent.log), reloads(api.agent, lb["id"])
    clients = [Client(api, lb, shared, number, SEED) for number in range(CLIENTS)]
    began = time.monotonic()
    together(clients)
    seconds = time.monotonic() - began
    changes = sum(client.changes for client in clients)
    reloaded = reloads(api.agent, lb["id"]) - reloads_before
    merged = [int(n) for n in MERGED.findall(api.agent.log[before:])]
    note(f"{changes} changes by {CLIENTS} clients in {seconds:.1f} s with {reloaded} reloads; {sum(merged)} of them in "
        f"{len(merged)} steps")
    assert_everything_is_there(api, lb, clients, shared)
    assert_haproxy_has_it(api, lb)
    assert_revisions_are_whole(api, lb)
    # What comes in while a change is being made is made in one step after it.
    assert merged and reloaded < changes / 2
    # A new agent finds the same.
    assert api.agent.stop() == 0
    api.agent.start()
    assert_everything_is_there(api, lb, clients, shared)
    assert_haproxy_has_it(api, lb)
    api.request("DELETE", f"loadbalancers/{lb['id']}?cascade=true").expect(204)
