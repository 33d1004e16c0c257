# SPDX-License-Identifier: Apache-2.0
"""Requests made of openapi.yaml, good ones and spoiled ones: no answer is a failure of ours, none is undocumented."""

import os
import pathlib
import random
import tempfile
import time

import pytest

import contract
from amphora import LBS, Agent, UnixConnection, Reply
from processes import free_port

try:
    import hypothesis
except ImportError:
    pytest.skip("no Python module hypothesis (Debian package python3-hypothesis)", allow_module_level=True)
if contract.MISSING is not None:
    pytest.skip(f"no Python module {contract.MISSING} (Debian packages python3-yaml, python3-jsonschema)",
        allow_module_level=True)

import generate

# It keeps tables of characters, by default in a folder of the one that it is started in.
hypothesis.configuration.set_hypothesis_home_dir(pathlib.Path(tempfile.gettempdir()) / f"hypothesis-{os.getuid()}")

# The requests are the same each time, so that a failure is that of whoever broke something, as far as the time reaches;
# another seed gives others.
SECONDS = int(os.environ.get("AMPHORAD_REQUESTS_SECONDS", "25"))
SEED = int(os.environ.get("AMPHORAD_REQUESTS_SEED", "1"))
EXAMPLES = 20  # of an operation at a time


# The doors for controllers change the machine itself: its interfaces, its firewall, the agent's files.
def is_tried(operation):
    return not operation.path.startswith("/1.0") or operation.method == "GET"


@pytest.fixture(scope="module")
def running():
    with Agent().serving() as agent:
        yield agent


def tree(api):
    """The objects that the examples of parameters name, as one definition: (id, document)."""
    ids = {name: parameter["example"] for operation in api.operations
        for name, parameter in operation.parameters_in("path").items() if "example" in parameter}
    rule = {"id": ids["rule_id"], "type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}
    policy = {"id": ids["l7policy_id"], "action": "REJECT", "rules": [rule]}
    monitor = {"id": ids["healthmonitor_id"], "type": "TCP", "delay": 60, "timeout": 1, "max_retries": 1}
    members = [{"id": ids["member_id"], "address": "192.0.2.31", "protocol_port": 8080}]
    pool = {"id": ids["pool_id"], "name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members,
        "healthmonitor": monitor}
    listener = {"id": ids["listener_id"], "protocol": "HTTP", "protocol_port": free_port(), "default_pool_id": ids["pool_id"],
        "l7policies": [policy]}
    return ids["loadbalancer_id"], {"loadbalancer": {"name": "tree", "vip_address": "127.91.0.5", "listeners": [listener],
        "pools": [pool]}}


def restore(agent, lb_id, document):
    """The tree as it was, and no other."""
    for lb in agent.get(LBS).json["loadbalancers"]:
        if lb["id"] != lb_id:
            agent.request("DELETE", f"{LBS}/{lb['id']}?cascade=true").expect(204)
    agent.apply(lb_id, document)


def send(agent, method, target, headers, body):
    connection = UnixConnection(agent.socket_path, 60)
    try:
        connection.request(method, target, body, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()


class Enough(BaseException):
    """The time of an operation is over. Not an Exception, so that hypothesis lets it through."""


class Trial:
    def __init__(self, agent, api):
        self.agent, self.api = agent, api
        self.requests = generate.Requests(api)
        self.known = tree(api)
        self.statuses = {}
        self.failures = []  # (size, words): the smallest one is shown
        restore(agent, *self.known)

    def judge(self, request):
        method, target, headers, body = request
        reply = send(self.agent, method, target, headers, body)
        self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
        try:
            assert reply.status != 500, reply
            self.api.check(method, target, reply)
        except AssertionError as error:
            self.failures.append((len(str(request)), f"{method} {target} {headers} {body!r}: {error}"))
            raise
        if method != "GET" and reply.status < 300:
            restore(self.agent, *self.known)

    def run(self, operation, seed, seconds):
        ends = time.monotonic() + seconds

        @hypothesis.seed(seed)
        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
        @hypothesis.given(self.requests.of(operation))
        def run(request):
            # A failure is made smaller for a while.
            if time.monotonic() > ends + (10 if self.failures else 0):
                raise Enough
            self.judge(request)
        try:
            run()
        except Enough:
            pass
        except AssertionError:
            assert self.failures
        assert not self.failures, min(self.failures)[1]


@pytest.mark.limit(600)
def test_no_failure_and_nothing_undocumented(running, note):
    api = contract.contract()
    trial = Trial(running, api)
    # What has a body has more to get wrong.
    turns = [operation for operation in api.operations if is_tried(operation)
        for _ in range(6 if operation.body and min(operation.responses) < 300 else 1)]
    ends, seed = time.monotonic() + SECONDS, SEED
    while time.monotonic() < ends:
        random.Random(seed).shuffle(turns)
        for number, operation in enumerate(turns):
            left = ends - time.monotonic()
            if left > 0:
                trial.run(operation, seed * 1000 + number, left / (len(turns) - number))
        seed += 1
    assert running.process.poll() is None
    running.get("/healthz").expect(200)
    n = sum(trial.statuses.values())
    note(f"{n} requests: " + ", ".join(f"{status}: {times}" for status, times in sorted(trial.statuses.items())))
    # A slow machine makes few.
    assert n > 0 and (n < 100 or min(trial.statuses.get(status, 0) for status in (200, 400, 404)) > 0)
