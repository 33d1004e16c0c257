# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import pathlib
import signal
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]

from control_plane import ControlPlane, LoadBalancer  # noqa: E402
from hosts import Client, Member  # noqa: E402

LIMIT_S = 300


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, f"report_{report.when}", report)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails in time to show what it saw."""
    def expired(*unused):
        raise TimeoutError(f"the test took more than {LIMIT_S} s")
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT_S * int(os.environ.get("AMPHORAD_TIME_FACTOR", "1")))
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def running_control_plane():
    control_plane = ControlPlane()
    try:
        yield control_plane.start()
    finally:
        control_plane.stop()


@pytest.fixture
def control_plane(running_control_plane, request):
    yield running_control_plane
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        print("--- the agents said\n" + running_control_plane.console()[-8000:])
        for name in ("worker", "health-manager"):
            lines = running_control_plane.log(name).read_text(errors="replace").splitlines()
            print(f"--- octavia-{name} said", *[line for line in lines if " ERROR " in line][-30:], sep="\n")


@pytest.fixture
def load_balancer(control_plane):
    return lambda **fields: LoadBalancer(control_plane, **fields)


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def members():
    """members("a") is a running server on the members' network; addresses are not used twice."""
    running = []

    def make(name, **options):
        running.append(Member(name, f"10.55.0.{next(addresses)}", **options))
        return running[-1]
    yield make
    for member in running:
        member.close()


addresses = itertools.count(10)
