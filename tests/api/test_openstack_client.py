# SPDX-License-Identifier: Apache-2.0
"""`openstack loadbalancer`, unchanged, against one amphora: every subcommand that the installed client has, driven from
one table, authentication of type none. The client starts slowly, so its main function is called once a row, in this
process; what it prints and how it exits is all that is looked at."""

import contextlib
import importlib.metadata
import io
import json
import logging
import os
import subprocess

import pytest

import amphora
import backends
from amphora import LBS, SOURCE, find_program
from processes import free_port

pytest.importorskip("octaviaclient", reason="octaviaclient is not installed (Debian: python3-octaviaclient)")
shell = pytest.importorskip("openstackclient.shell", reason="openstackclient is not installed")

# Subcommands that insist on another service, and why; amphorad(8) lists them.
LEFT_OUT = {
    "create": "looks the port, subnet or network of the VIP up in Neutron",
}


class Refused(str):
    """The command fails, with these words."""


NOTHING_THERE = Refused("Unable to locate")
NOT_OFFERED = Refused("does not support a requested action")
# The one name of a project that the client does not look up in Keystone.
PROJECT = "non-uuid"

# In this order: subcommand, its arguments, and what it prints: members of an object, a list of objects with such
# members, "" for nothing, None for whatever it is, or how it fails. {words} are of the fixture "names".
STEPS = [
    ("list", "", [{"name": "cli", "provisioning_status": "ACTIVE", "vip_address": "127.0.0.1"}]),
    ("list", "--name nobody", []),
    ("list", "--name cli --enable --provisioning-status ACTIVE", [{"name": "cli"}]),
    ("list", "--disable", []),
    ("show", "cli", {"name": "cli", "provider": "amphorad", "admin_state_up": True, "provisioning_status": "ACTIVE"}),
    ("show", "nobody", NOTHING_THERE),
    ("set", "cli --description words --tag blue --wait", ""),
    ("list", "--tags blue", [{"name": "cli"}]),
    ("list", "--not-tags blue", []),
    ("show", "cli", {"description": "words", "tags": "blue"}),
    ("unset", "cli --description --tag blue --wait", ""),
    ("show", "cli", {"description": "", "tags": ""}),

    ("pool create", "--name back --loadbalancer cli --protocol HTTP --lb-algorithm ROUND_ROBIN --wait",
        {"name": "back", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "provisioning_status": "ACTIVE"}),
    ("pool create", "--name other --loadbalancer cli --protocol TCP --lb-algorithm LEAST_CONNECTIONS --disable",
        {"name": "other", "admin_state_up": False}),
    ("pool list", "", [{"name": "back", "protocol": "HTTP"}, {"name": "other", "protocol": "TCP"}]),
    ("pool list", "--loadbalancer cli", [{"name": "back"}, {"name": "other"}]),
    ("pool set", "back --session-persistence type=SOURCE_IP --lb-algorithm SOURCE_IP --tag t --wait", ""),
    ("pool show", "back", {"lb_algorithm": "SOURCE_IP", "tags": "t"}),
    ("pool unset", "back --session-persistence --tag t --wait", ""),
    ("pool show", "back", {"session_persistence": None, "tags": ""}),

    ("listener create", "--name web --protocol HTTP --protocol-port {port} --default-pool back --wait "
        "--insert-headers X-Forwarded-For=true,X-Forwarded-Port=true --allowed-cidr 127.0.0.0/8 cli",
        {"name": "web", "protocol": "HTTP", "protocol_port": "{port}", "default_pool_id": "{back}"}),
    ("listener create", "--name web2 --protocol HTTP --protocol-port {port} cli", Refused("{port}")),
    ("listener list", "", [{"name": "web", "protocol_port": "{port}"}]),
    ("listener list", "--loadbalancer cli --name web --enable", [{"name": "web"}]),
    ("listener set", "web --connection-limit 7 --timeout-client-data 9000 --name web-1 --wait", ""),
    ("listener show", "web-1", {"connection_limit": 7, "timeout_client_data": 9000, "allowed_cidrs": "127.0.0.0/8"}),
    ("listener unset", "web-1 --connection-limit --timeout-client-data --insert-headers --allowed-cidrs --wait", ""),
    ("listener show", "web-1", {"connection_limit": -1, "timeout_client_data": 50000, "insert_headers": None,
        "allowed_cidrs": None}),

    ("member create", "--name one --address 127.0.0.1 --protocol-port {origin} --weight 3 --wait back",
        {"name": "one", "address": "127.0.0.1", "protocol_port": "{origin}", "weight": 3, "backup": False}),
    ("member create", "--name two --address 127.0.0.2 --protocol-port {origin} --disable back", {"admin_state_up": False}),
    ("member list", "back", [{"name": "one", "weight": 3}, {"name": "two"}]),
    ("member set", "back one --weight 5 --monitor-port 8080 --wait", ""),
    ("member show", "back one", {"weight": 5, "monitor_port": 8080}),
    ("member unset", "back one --weight --monitor-port --wait", ""),
    ("member show", "back one", {"weight": 1, "monitor_port": None}),
    ("member delete", "back two --wait", ""),
    ("member show", "back two", NOTHING_THERE),

    ("healthmonitor create",
        "--name check --type HTTP --delay 1 --timeout 1 --max-retries 1 --url-path /health --wait back",
        {"name": "check", "type": "HTTP", "url_path": "/health", "http_method": "GET", "expected_codes": "200"}),
    ("healthmonitor list", "", [{"name": "check", "type": "HTTP"}]),
    ("healthmonitor set", "check --max-retries-down 2 --expected-codes 200-204 --wait", ""),
    ("healthmonitor show", "check", {"max_retries_down": 2, "expected_codes": "200-204"}),
    ("healthmonitor unset", "check --max-retries-down --expected-codes --wait", ""),
    ("healthmonitor show", "check", {"max_retries_down": 3, "expected_codes": "200"}),

    ("l7policy create", "--name no --action REJECT --wait web-1", {"name": "no", "action": "REJECT", "position": 1}),
    ("l7policy create", "--name away --action REDIRECT_TO_POOL --redirect-pool back web-1",
        {"redirect_pool_id": "{back}"}),
    ("l7policy list", "", [{"name": "no"}, {"name": "away"}]),
    ("l7policy list", "--listener web-1", [{"name": "no"}, {"name": "away"}]),
    ("l7policy set", "no --description words --position 2 --wait", ""),
    ("l7policy show", "no", {"description": "words", "position": 2}),
    ("l7policy unset", "no --description --wait", ""),
    ("l7policy show", "no", {"description": ""}),
    # With --wait this client asks for the rule with the ids of policy and rule in each other's place.
    ("l7rule create", "--type PATH --compare-type STARTS_WITH --value /no no", {"type": "PATH", "value": "/no"}),
    ("l7rule list", "no", [{"type": "PATH", "compare_type": "STARTS_WITH"}]),
    ("l7rule set", "no {rule} --type HEADER --key X-No --value yes --invert --wait", ""),
    ("l7rule show", "no {rule}", {"type": "HEADER", "key": "X-No", "value": "yes", "invert": True}),
    ("l7rule unset", "no {rule} --invert --wait", ""),
    ("l7rule show", "no {rule}", {"invert": False}),

    ("status show", "cli", None),
    ("stats show", "cli", {"request_errors": 0}),
    ("listener stats show", "web-1", {"request_errors": 0}),
    ("failover", "cli", NOT_OFFERED),

    ("provider list", "", [{"name": "amphora"}, {"name": "amphorad"}, {"name": "octavia"}]),
    ("provider capability list", "amphora", []),
    ("provider capability list", "--flavor amphora", []),
    ("provider capability list", "--availability-zone ovn", Refused("not enabled")),
    ("quota defaults show", "", {"load_balancer": -1, "l7rule": -1}),
    ("quota list", "", []),
    ("quota show", "0123456789abcdef0123456789abcdef", {"listener": -1, "pool": -1}),
    ("quota set", f"--pool 3 {PROJECT}", NOT_OFFERED),
    ("quota unset", f"--pool {PROJECT}", NOT_OFFERED),
    ("quota reset", PROJECT, NOT_OFFERED),
    ("amphora list", "", [{"id": "{amphora}", "status": "ALLOCATED", "role": "STANDALONE"}]),
    ("amphora list", "--loadbalancer cli --status ALLOCATED", [{"id": "{amphora}"}]),
    ("amphora list", "--role MASTER", []),
    ("amphora show", "{amphora}", {"id": "{amphora}", "ha_ip": "127.0.0.1"}),
    ("amphora stats show", "{amphora}", {"request_errors": 0}),
    ("amphora stats show", "{amphora} --listener web-1", {"request_errors": 0}),
    ("amphora configure", "{amphora}", NOT_OFFERED),
    ("amphora failover", "{amphora}", NOT_OFFERED),
    ("amphora delete", "{amphora}", NOT_OFFERED),

    ("flavorprofile list", "", []),
    ("flavorprofile create", "--name f --provider amphora --flavor-data {{}}", NOT_OFFERED),
    ("flavorprofile show", "f", NOTHING_THERE),
    ("flavorprofile set", "f --name g", NOTHING_THERE),
    ("flavorprofile delete", "f", NOTHING_THERE),
    ("flavor list", "", []),
    ("flavor create", "--name f --flavorprofile f", NOTHING_THERE),
    ("flavor show", "f", NOTHING_THERE),
    ("flavor set", "f --name g", NOTHING_THERE),
    ("flavor unset", "f --description", NOTHING_THERE),
    ("flavor delete", "f", NOTHING_THERE),
    ("availabilityzoneprofile list", "", []),
    ("availabilityzoneprofile create", "--name z --provider amphora --availability-zone-data {{}}", NOT_OFFERED),
    ("availabilityzoneprofile show", "z", NOTHING_THERE),
    ("availabilityzoneprofile set", "z --name y", NOTHING_THERE),
    ("availabilityzoneprofile delete", "z", NOTHING_THERE),
    ("availabilityzone list", "", []),
    ("availabilityzone create", "--name z --availabilityzoneprofile z", NOTHING_THERE),
    ("availabilityzone show", "z", NOTHING_THERE),
    ("availabilityzone set", "z --description y", NOTHING_THERE),
    ("availabilityzone unset", "z --description", NOTHING_THERE),
    ("availabilityzone delete", "z", NOTHING_THERE),

    ("l7rule delete", "no {rule}", ""),
    ("l7rule list", "no", []),
    ("l7policy delete", "no", ""),
    ("l7policy delete", "away --wait", ""),
    ("l7policy list", "", []),
    ("healthmonitor delete", "check", ""),
    ("healthmonitor list", "", []),
    ("listener delete", "web-1 --wait", ""),
    ("listener list", "", []),
    ("pool delete", "other --wait", ""),
    ("pool show", "other", NOTHING_THERE),
    ("delete", "cli", Refused("{lb}")),
    ("delete", "cli --cascade --wait", ""),
    ("list", "", []),
]


@pytest.fixture(scope="module")
def agent():
    running = amphora.Agent()
    running.add_http_door()
    with running.serving():
        yield running


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory):
    """Neither the caller's cloud nor its configuration."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("OS_"):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("COLUMNS", "200")
        yield


@pytest.fixture(scope="module")
def names(agent):
    """The words of the table that are known only now; ids are looked up when they are needed first."""
    origin = backends.Origin("cli").start()
    lb = agent.request("POST", LBS, {"loadbalancer": {"name": "cli", "vip_address": "127.0.0.1"}}).expect(201).json

    class Names(dict):
        def __missing__(self, name):
            found = {
                "back": lambda: agent.get("/v2/lbaas/pools?name=back").json["pools"][0]["id"],
                "rule": lambda: agent.get(f"/v2/lbaas/l7policies/{self['no']}/rules").json["rules"][0]["id"],
                "no": lambda: agent.get("/v2/lbaas/l7policies?name=no").json["l7policies"][0]["id"],
            }[name]()
            self[name] = found
            return found
    yield Names(port=free_port(), origin=origin.port, lb=lb["loadbalancer"]["id"], amphora=agent.amphora_id)
    origin.close()


def installed():
    """The subcommands that the client really has."""
    group = importlib.metadata.entry_points(group="openstack.load_balancer.v2")
    return {point.name.removeprefix("loadbalancer_").replace("_", " ") for point in group}


def openstack(agent, *words):
    """Exit status, standard output and standard error of one command."""
    out, err = io.StringIO(), io.StringIO()
    handlers, logging.root.handlers = logging.root.handlers, []
    options = ["--os-auth-type", "none", "--os-endpoint", f"http://127.0.0.1:{agent.http_port}"]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = shell.OpenStackShell().run([*options, "loadbalancer", *words])
            except SystemExit as ended:  # argparse
                status = ended.code
    finally:
        logging.root.handlers = handlers
    return status, out.getvalue(), err.getvalue()


def fill(value, names):
    """A text of the table with its {words}; a text that is nothing but one keeps its type."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and value.count("{") == 1:
        return names[value[1:-1]]
    return value.format_map(names) if isinstance(value, str) else value


def assert_has(found, expected, names):
    assert {name: found[name] for name in expected} == {name: fill(value, names) for name, value in expected.items()}


@pytest.mark.parametrize("step", range(len(STEPS)),
    ids=[f"{i}-{step[0].replace(' ', '-')}" for i, step in enumerate(STEPS)])
def test_step(agent, names, step):
    command, arguments, expected = STEPS[step]
    if command not in installed():
        pytest.skip(f"this client has no 'loadbalancer {command}'")
    words = [*command.split(), *(fill(word, names) for word in arguments.split())]
    if isinstance(expected, (dict, list)):
        words += ["-f", "json"]
    status, out, err = openstack(agent, *map(str, words))
    if isinstance(expected, Refused):
        assert status != 0 and str(fill(str(expected), names)) in err, (status, out, err)
        assert "Traceback" not in err
        return
    assert status == 0, err
    if isinstance(expected, dict):
        assert_has(json.loads(out), expected, names)
    elif isinstance(expected, list):
        # What was created within one second is in the order of random ids.
        found = sorted(json.loads(out), key=lambda one: one.get("name", ""))
        assert len(found) == len(expected), found
        for one, wanted in zip(found, sorted(expected, key=lambda one: one.get("name", ""))):
            assert_has(one, wanted, names)
    elif expected is not None:
        assert (out, err) == (expected, "")


def test_the_table_is_complete():
    """Every subcommand of the client is driven or left out for a reason that the manual gives."""
    driven = {step[0] for step in STEPS}
    assert not driven & set(LEFT_OUT)
    assert installed() <= driven | set(LEFT_OUT), installed() - driven - set(LEFT_OUT)
    manual = " ".join((SOURCE / "packaging/man/amphorad.8").read_text().split())
    for command in LEFT_OUT:
        assert f"Cm loadbalancer {command}" in manual, command


def test_as_a_program(agent):
    """Once as users call it."""
    program = find_program("openstack")
    if program is None:
        pytest.skip("there is no program openstack")
    done = subprocess.run([program, "--os-auth-type", "none", "--os-endpoint", f"http://127.0.0.1:{agent.http_port}/",
        "loadbalancer", "provider", "list", "-f", "value", "-c", "name"], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["amphora", "amphorad", "octavia"]), done
