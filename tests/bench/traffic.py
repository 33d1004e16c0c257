#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second through HAProxy as amphorad configures it, beside a minimal haproxy.cfg and nginx's stream module, turn by
turn: TCP with PROXY protocol v2, and HTTP on kept connections. `make bench-traffic` runs it; it needs wrk and nginx.

Client, server and HAProxy share the processors, and the kernel shares these out by session where processes have no control
groups of their own (sched(7), "The autogroup feature"): a HAProxy in a session of its own, in which amphorad and every service
manager start it, is scheduled otherwise than one in the session of wrk and nginx, and wakes more often for less. So the minimal
one has a session of its own, too; "of one session" is the same in that of wrk and nginx, and shows what that alone makes of it.
HAProxy's own processor time of a request is the second figure: others on the machine disturb it less."""

import argparse
import contextlib
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

import amphora  # noqa: E402
from amphora import Agent, document, listener, member, new_id, pool  # noqa: E402
from processes import end, free_port, wait_for  # noqa: E402

LIMIT = 0.97
MODULES = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error;
{load}
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path {folder}; keepalive_requests 1000000000;
    proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{plain} backlog=4096; location / {{ return 200 "hello\\n"; }} }}
    server {{ listen 127.0.0.1:{proxied} proxy_protocol backlog=4096; location / {{ return 200 "$proxy_protocol_addr\\n"; }} }}
}}
{stream}
"""
STREAM = """\
stream {{
    upstream members {{ server 127.0.0.1:{proxied}; }}
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass members; proxy_protocol on; }}
}}
"""
MINIMAL = """\
global
    maxconn 2000
defaults
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen tcp
    bind 127.0.0.1:{tcp}
    mode tcp
    server a 127.0.0.1:{proxied} send-proxy-v2
listen http
    bind 127.0.0.1:{http}
    mode http
    server a 127.0.0.1:{plain}
"""


def start(stack, command, port, own_session=False):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=own_session)
    stack.callback(end, process)
    wait_for(lambda: answers(port), 10, command[0])
    return process.pid


def processor_time(pid):
    """In µs, of all threads (the first number of schedstat: Documentation/scheduler/sched-stats.rst)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1000


def answers(port):
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
            return reply.status == 200
    return False


def load(port, pid, options):
    """Requests per second, and the processor time of the process for each in µs (None without a process)."""
    before = pid and processor_time(pid)
    done = subprocess.run(["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", f"http://127.0.0.1:{port}/"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=options.seconds + 30, check=True)
    if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    number = int(re.search(r"(\d+) requests in", done.stdout)[1])
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1]), pid and (processor_time(pid) - before) / number


def configured(agent, plain, proxied):
    """Two listeners of a definition: TCP to a PROXYV2 pool, HTTP to an HTTP pool. And the process that serves them."""
    lb_id, ports = new_id(), (free_port(), free_port())
    agent.apply(lb_id, document(
        listener(ports[0], pool([member(proxied)], protocol="PROXYV2", name="tcp"), protocol="TCP"),
        listener(ports[1], pool([member(plain)], protocol="HTTP", name="http"), protocol="HTTP")))
    master = agent.haproxy_pid(lb_id)
    return ports, int(pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def minimal(stack, folder, plain, proxied, own_session):
    """The ports and the process of the same by hand."""
    ports = free_port(), free_port()
    path = folder / f"minimal-{ports[0]}.cfg"
    path.write_text(MINIMAL.format(tcp=ports[0], http=ports[1], plain=plain, proxied=proxied))
    return ports, start(stack, [amphora.HAPROXY, "-db", "-f", str(path)], ports[1], own_session)


def compare(name, doors, options):
    """doors: who -> (port, process). A line of the report."""
    rates, times = {who: [] for who in doors}, {who: [] for who, door in doors.items() if door[1]}
    for who, (port, _) in doors.items():
        wait_for(lambda n=port: answers(n), 10, f"{who} to answer")
    for turn in range(options.turns):
        for who in (doors if turn % 2 else reversed(list(doors))):
            rate, spent = load(*doors[who], options)
            rates[who].append(rate)
            if spent is not None:
                times[who].append(spent)
            time.sleep(0.1)
    row = {"what": name, "requests per second": {who: statistics.median(each) for who, each in rates.items()},
        "processor time of a request, µs": {who: statistics.median(each) for who, each in times.items()},
        "all": rates, "all processor times": times}
    for key, values in (("to minimal", rates), ("processor time to minimal", times)):
        row[key] = {who: statistics.median(a / b for a, b in zip(values[who], values["minimal"])) for who in values}
    print(f"{name:24} " + ", ".join(f"{who} {value:.0f}/s" for who, value in row["requests per second"].items()) +
        f"; amphorad to minimal {row['to minimal']['amphorad']:.3f} "
        f"{'reached' if row['to minimal']['amphorad'] >= LIMIT else f'MISSED ({LIMIT})'}")
    print(f"{'':24} HAProxy's processor time of a request: " +
        ", ".join(f"{who} {value:.1f} µs" for who, value in row["processor time of a request, µs"].items()) +
        f"; amphorad to minimal {row['processor time to minimal']['amphorad']:.3f}", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each turn of each")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    missing = [name for name in ("wrk", "nginx") if not shutil.which(name)]
    if missing:
        sys.exit(f"not installed: {' '.join(missing)} (Debian packages wrk, nginx-light, libnginx-mod-stream)")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amphorad-traffic-")))
        plain, proxied, port = (free_port() for _ in range(3))
        module = f"load_module {MODULES};" if MODULES.exists() else ""
        stream = STREAM.format(proxied=proxied, port=port) if module else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, load=module, plain=plain, proxied=proxied, stream=stream))
        start(stack, ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], plain)
        agent = Agent()
        stack.callback(agent.close)
        agent.start()
        everyone = {"amphorad": configured(agent, plain, proxied)}
        for who, own_session in (("minimal", True), ("of one session", False)):
            everyone[who] = minimal(stack, folder, plain, proxied, own_session)
        rows = []
        for which, name in enumerate(("TCP, PROXY v2", "HTTP, kept connections")):
            doors = {who: (ports[which], pid) for who, (ports, pid) in everyone.items()}
            if stream and which == 0:
                doors["nginx stream"] = (port, None)
            rows.append(compare(name, doors, options))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
