#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""amphorad beside Octavia's own agent (Debian's octavia-agent), each in machines of namespaces that the same process 1
starts, turn by turn in one run. `make bench-agents` runs it and prints a table; the last column is amphorad's part of the other."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import types
import uuid

import machine
from machine import AMPHORAD, PYTHON, Installed, Machine, cpu_ms, memory_kib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

import amphora  # noqa: E402
from octavia_driver import HealthManager, haproxy_cfg  # noqa: E402
from pki import Authority  # noqa: E402

KINDS = (AMPHORAD, PYTHON)
# What amphorad may be at most of the other.
LIMITS = {"start": 1 / 30, "memory idle": 1 / 25, "memory 1000 members": 1 / 25, "heartbeat 1000 members": 1 / 15,
    "GET info": 1 / 10, "GET details": 1 / 10, "upload 1000 members, above haproxy -c": 1 / 10,
    "member change by reload": 1 / 10}


def share(ratio):
    return "-" if ratio is None else "below 0" if ratio <= 0 else f"1/{1 / ratio:.1f}"


class Table:
    def __init__(self):
        self.rows = []

    def add(self, key, unit, values, digits=2):
        """values: kind -> list of figures; the median is what counts."""
        medians = {kind: statistics.median(each) for kind, each in values.items() if each}
        ratio = medians[AMPHORAD] / medians[PYTHON] if medians.get(PYTHON) else None
        row = {"what": key, "unit": unit, "median": medians, "ratio": ratio, "limit": LIMITS.get(key),
            "p99": {kind: sorted(each)[-(-99 * len(each) // 100) - 1] for kind, each in values.items() if each},
            "n": {kind: len(each) for kind, each in values.items()}}
        self.rows.append(row)
        shown = "".join(f" {medians[kind]:12.{digits}f} {row['p99'][kind]:10.{digits}f}" for kind in KINDS)
        verdict = "" if row["limit"] is None else f"  {'reached' if ratio <= row['limit'] else 'MISSED'} (1/{1 / row['limit']:.0f})"
        print(f"{key:44} {unit:4}{shown}   {share(ratio):>8}{verdict}", flush=True)

    @staticmethod
    def head():
        print(f"{'':44} {'':4} {'amphorad':>12} {'p99':>10} {'Octavia':>12} {'p99':>10}   {'ratio':>8}", flush=True)


def milliseconds(function, *arguments):
    began = time.monotonic()
    function(*arguments)
    return (time.monotonic() - began) * 1000


def config(lb_id, members, weight=1):
    """Always the same members, as a controller would send them."""
    agent = types.SimpleNamespace(state="/var/lib/octavia")
    listener, pool = (str(uuid.uuid5(uuid.UUID(lb_id), name)) for name in ("listener", "pool"))
    backends = [(str(uuid.uuid5(uuid.UUID(lb_id), f"member {n}")), f"10.55.{1 + n // 250}.{1 + n % 250}", 8080,
        *(("send-proxy-v2",) if n or weight == 1 else ("send-proxy-v2", "weight", str(weight)))) for n in range(members)]
    return haproxy_cfg(agent, lb_id, 80, backends, listener, pool, mode="tcp")


def interleaved(machines, count, function):
    """function(machine) -> a figure; turn by turn, so that what disturbs one disturbs the other."""
    figures = {kind: [] for kind in machines}
    for turn in range(count):
        for kind in (KINDS if turn % 2 else reversed(KINDS)):
            figures[kind].append(function(machines[kind]))
    return figures


def both(installed, **options):
    return {kind: Machine(installed, kind, **options) for kind in KINDS}


def close(machines):
    for each in machines.values():
        each.close()


def measure_starts(table, installed, options):
    starts, idle, plugs = ({kind: [] for kind in KINDS} for _ in range(3))
    for _ in range(options.starts):
        machines = both(installed)
        try:
            for kind, each in machines.items():
                starts[kind].append(each.start_s * 1000)
            time.sleep(options.settle)
            for kind, each in machines.items():
                idle[kind].append(memory_kib(each.agent_processes())[1] / 1024)
                plugs[kind].append(each.plug_vip() * 1000)
        finally:
            close(machines)
    table.add("start", "ms", starts)
    table.add("memory idle", "MiB", idle)
    table.add("plug of a VIP", "ms", plugs)


def bare_check(folder, text, beside=None):
    """`haproxy -c` of the same text, in milliseconds; "beside" is a second file."""
    path, other = folder / "haproxy.cfg", folder / "beside.cfg"
    path.write_text(text)
    other.write_text(beside or "")
    state = folder / "servers-state"
    state.write_text("1\n")
    command = [amphora.HAPROXY, "-c", "-q", "-f", str(path)] + (["-f", str(other)] if beside else [])
    return milliseconds(lambda: subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True))


# What amphorad puts beside an uploaded file: HAProxy reads no CA certificates, which nothing uses, and is quicker for it.
QUICK = "global\n    httpclient.ssl.verify none\n"


def measure_uploads(table, machines, lb_id, options):
    folder = machines[AMPHORAD].folder
    for members in (2, 100, 1000):
        figures, above, above_own = ({kind: [] for kind in KINDS} for _ in range(3))
        text = config(lb_id, members)
        for turn in range(options.uploads):
            # Another text each time: neither may answer from what it remembers.
            bare, quick = (bare_check(folder, f"# {turn}\n{text}", beside) for beside in (None, QUICK))
            for kind, each in machines.items():
                took = milliseconds(each.upload, lb_id, f"# {turn}\n{text}")
                figures[kind].append(took)
                above[kind].append(took - bare)
                above_own[kind].append(took - (quick if kind == AMPHORAD else bare))
        table.add(f"upload {members} members", "ms", figures)
        if members == 1000:
            table.add("upload 1000 members, above haproxy -c", "ms", above)
            table.add("the same, above the check that each makes", "ms", above_own)


def measure_requests(table, installed, options):
    machines = both(installed)
    lb_id = str(uuid.uuid4())
    try:
        for each in machines.values():
            each.upload(lb_id, config(lb_id, 2))
            each.reload(lb_id)
        for key, path in (("GET /", "/"), ("GET info", "/1.0/info"), ("GET details", "/1.0/details")):
            table.add(key, "ms", interleaved(machines, options.requests, lambda m, p=path: milliseconds(m.request, "GET", p)))
        measure_uploads(table, machines, lb_id, options)
        turns = iter(range(1, 100000))

        def change(each):
            each.upload(lb_id, config(lb_id, 2, weight=2 + next(turns) % 200))
            return milliseconds(each.reload, lb_id)
        for each in machines.values():
            change(each)
        table.add("member change by reload", "ms", interleaved(machines, options.reloads, change))
        authority = Authority("bench")
        pems = [authority.issue(f"{n}.example").pem for n in range(4)]

        def certificate(each):
            return milliseconds(each.request, "PUT", f"/1.0/loadbalancer/{lb_id}/certificates/{'0' * 40}.pem",
                pems[next(turns) % len(pems)])
        table.add("certificate", "ms", interleaved(machines, options.reloads, certificate))
        time.sleep(options.settle)
        table.add("memory after these requests", "MiB",
            {kind: [memory_kib(each.agent_processes())[1] / 1024] for kind, each in machines.items()})
    finally:
        close(machines)


def measure_heartbeats(table, installed, options):
    managers = {kind: HealthManager("0.0.0.0") for kind in KINDS}
    machines = {kind: Machine(installed, kind, heartbeat_interval=1, manager=managers[kind]) for kind in KINDS}
    lb_id = str(uuid.uuid4())
    try:
        for members in (0, 10, 100, 1000, 10000):
            for kind, each in machines.items():
                if members:
                    each.upload(lb_id, config(lb_id, members))
                    each.reload(lb_id)
            if members == 10000:  # a heartbeat of them is larger than a datagram
                time.sleep(options.settle)
                table.add("memory 10000 members", "MiB",
                    {kind: [memory_kib(each.agent_processes())[1] / 1024] for kind, each in machines.items()})
                break
            time.sleep(options.settle)
            before = {kind: (cpu_ms(each.agent_processes()), len(managers[kind].messages)) for kind, each in machines.items()}
            for kind in KINDS:
                managers[kind].wait_more(options.beats, timeout=options.beats * 4 + 20)
            used = {}
            for kind, each in machines.items():
                cpu, count = before[kind]
                used[kind] = [(cpu_ms(each.agent_processes()) - cpu) / (len(managers[kind].messages) - count)]
            table.add(f"heartbeat {members} members", "ms", used, 3)
            if members == 1000:
                table.add("memory 1000 members", "MiB",
                    {kind: [memory_kib(each.agent_processes())[1] / 1024] for kind, each in machines.items()})
    finally:
        close(machines)
        for each in managers.values():
            each.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="machines of each kind")
    parser.add_argument("--requests", type=int, default=100, help="of each kind of request")
    parser.add_argument("--uploads", type=int, default=30)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--beats", type=int, default=15, help="heartbeats, one a second")
    parser.add_argument("--settle", type=float, default=12, help="seconds of rest before memory is looked at")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("needs root: machines are made of namespaces")
    if not os.path.exists(machine.COMMANDS[PYTHON][0]):
        sys.exit("Octavia's agent is not installed: apt-get install --no-install-recommends octavia-agent")
    installed, table = Installed(), Table()
    try:
        table.head()
        measure_starts(table, installed, options)
        measure_requests(table, installed, options)
        measure_heartbeats(table, installed, options)
    finally:
        installed.close()
        if options.json:
            options.json.write_text(json.dumps(table.rows, indent=1))
    return 0  # a figure that is missed is printed as such; the other benchmarks follow


if __name__ == "__main__":
    os.environ.setdefault("AMPHORAD_TIME_FACTOR", "1")
    sys.exit(main())
