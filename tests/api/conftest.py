# SPDX-License-Identifier: Apache-2.0
import signal

import pytest

import amphora
import backends
from processes import TIME_FACTOR

DEFAULT_LIMIT_S = 180
NOTES = pytest.StashKey()


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): time that this test may take")


def pytest_collection_modifyitems(items):
    missing = None
    if amphora.HAPROXY is None:
        missing = "haproxy is not installed"
    elif not amphora.AMPHORAD.exists():
        missing = f"{amphora.AMPHORAD} is not built"
    if missing:
        for item in items:
            if "harness" not in item.name:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, f"report_{report.when}", report)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails in time to clean up after itself."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else DEFAULT_LIMIT_S
    seconds *= TIME_FACTOR

    def expired(*unused):
        raise TimeoutError(f"the test took more than {seconds} s")
    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pytest_sessionfinish(session, exitstatus):
    """Automake's word for "nothing could be tested here" is 77."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    if exitstatus == 0 and counts["skipped"] and not counts["passed"]:
        session.exitstatus = 77


def pytest_unconfigure(config):
    """One line for whoever adds up the results of several runs (bootstrap check)."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
        print(f"\ncases: {counts['passed']} passed, {counts['failed'] + counts['error']} failed, "
            f"{counts['skipped']} skipped")


@pytest.fixture
def note(request):
    """note("words"): a measurement that is printed at the end of the run, also when all is well."""
    return lambda text: request.config.stash.setdefault(NOTES, []).append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter, config):
    for text in config.stash.get(NOTES, []):
        terminalreporter.write_line(f"note: {text}")


@pytest.fixture
def make_agent(request):
    """Makes agents (not started) and ends all that they started."""
    with amphora.maker(request) as make:
        yield make


@pytest.fixture
def agent(make_agent):
    return make_agent().start()


@pytest.fixture
def origins():
    """Makes running servers: origins("a") is an Origin, origins("a", kind=TcpOrigin) one of another kind."""
    running = []

    def make(name, kind=backends.Origin, **options):
        server = kind(name, **options)
        running.append(server)
        return server.start()
    yield make
    for server in running:
        server.close()


@pytest.fixture
def nginx(origins):
    if backends.NGINX is None:
        pytest.skip("nginx is not installed")
    return lambda name, **options: origins(name, kind=backends.Nginx, **options)
