# SPDX-License-Identifier: Apache-2.0
import itertools
import json
import os
import pathlib
import signal
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api"), str(HERE.parent / "vm")]

from control_plane import ControlPlane  # noqa: E402
from hosts import Client, Member  # noqa: E402
from shop import Plain, Shop  # noqa: E402

LIMIT_S = 600
IMAGE = os.environ.get("AMPHORAD_IMAGE")
ALL = bool(os.environ.get("AMPHORAD_OCTAVIA_ALL"))


def pytest_configure(config):
    config.addinivalue_line("markers", "feature(*names): rows of the matrix in docs/octavia.md that the case stands for")
    config.addinivalue_line("markers", "long: takes long; only with --all")
    config.addinivalue_line("markers", "last: after all others, for what needs the time that they take")
    config.addinivalue_line("markers", "image: boots virtual machines; only with --image, and nothing else then")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
    for item in items:
        if not ALL and item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: ./bootstrap check-octavia --all"))
        if not IMAGE and item.get_closest_marker("image"):
            item.add_marker(pytest.mark.skip(reason="boots virtual machines: ./bootstrap check-octavia --image"))
        if IMAGE and not item.get_closest_marker("image"):
            item.add_marker(pytest.mark.skip(reason="needs amphorae of namespaces: not with --image"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, f"report_{report.when}", report)
    if report.failed and "control_plane" in known:
        report.sections += known["control_plane"].witnesses()
    for marker in item.iter_markers("feature"):
        for name in marker.args:
            results.setdefault(name, []).append((report.when, report.outcome, _reason(report)))


def _reason(report):
    if not report.skipped:
        return ""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)


results = {}


def pytest_sessionfinish(session):
    """What matrix makes the table of: {"version": …, "features": {name: "passed", "failed" or why it was skipped}}."""
    path = os.environ.get("AMPHORAD_OCTAVIA_RESULTS")
    if not path or not results or "version" not in known:
        return
    features = {}
    for name, reports in results.items():
        outcomes = [outcome for _, outcome, _ in reports]
        skipped = sorted({reason for _, outcome, reason in reports if outcome == "skipped"})
        if "failed" in outcomes:
            features[name] = "failed"
        elif any(when == "call" and outcome == "passed" for when, outcome, _ in reports):
            features[name] = "passed"
        elif skipped:
            features[name] = skipped[0]
    pathlib.Path(path).write_text(json.dumps({"version": known["version"], "features": features}, indent=1, sort_keys=True) + "\n")


known = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails in time to show what it saw."""
    def expired(*unused):
        pytest.fail(f"the test took more than {LIMIT_S} s")  # no Exception: nobody takes it for a condition that is not true yet
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT_S * int(os.environ.get("AMPHORAD_TIME_FACTOR", "1")))
    yield
    signal.alarm(0)


# What the cases share. It is there from the first that wants it to the end; each leaves it as it was.


@pytest.fixture(scope="session")
def running_control_plane():
    control_plane = ControlPlane()
    try:
        known.update(control_plane=control_plane, version=control_plane.version)
        yield control_plane.start()
    finally:
        control_plane.stop()


@pytest.fixture
def control_plane(running_control_plane):
    return running_control_plane


@pytest.fixture(scope="session")
def next_version(running_control_plane):
    """(program, version) of an amphorad that is not the one that the amphorae were made with."""
    return running_control_plane.make_next_version()


@pytest.fixture(scope="session")
def client(running_control_plane):
    """With addresses enough for stick tables."""
    client = Client(*(f"10.44.0.{i}" for i in range(200, 208)), "fd44::200")
    yield client
    client.close()


@pytest.fixture(scope="session")
def make_member(running_control_plane):
    """make_member("a") is a running server on the members' network; addresses are not used twice."""
    running, numbers = [], itertools.count(10)

    def make(name, **options):
        number = next(numbers)
        running.append(Member(name, f"10.55.0.{number}", f"fd55::{number}", **options))
        return running[-1]
    yield make
    for member in running:
        member.close()


@pytest.fixture(scope="session")
def farm(make_member):
    """Two machines that serve and go on serving; a test that needs another that it may stop makes it."""
    return make_member("a"), make_member("b")


@pytest.fixture(scope="session")
def running_shop(running_control_plane, farm):
    shop = Shop(running_control_plane, *farm)
    yield shop
    shop.delete()


@pytest.fixture
def shop(running_shop, control_plane):
    """A load balancer with a listener of every kind."""
    return running_shop


@pytest.fixture(scope="session")
def running_plain(running_control_plane, farm):
    plain = Plain(running_control_plane, farm, name="plain")
    yield plain
    plain.delete()


@pytest.fixture
def plain(running_plain, control_plane):
    """A load balancer with one TCP listener and two members that may be stopped, for what is done to it; it is well before
    and after."""
    running_plain.wait_online()
    yield running_plain
    for server in running_plain.servers.values():
        if server.server is None:
            server.start()
    running_plain.settle()
    running_plain.wait_online()
