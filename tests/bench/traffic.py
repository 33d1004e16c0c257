#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second through HAProxy as amphorad configures it, beside a minimal haproxy.cfg and nginx's stream module, turn by
turn: TCP with PROXY protocol v2, and HTTP on kept connections. `make bench-traffic` runs it; it needs wrk and nginx."""

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


def start(stack, command, port):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(end, process)
    wait_for(lambda: answers(port), 10, command[0])


def answers(port):
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
            return reply.status == 200
    return False


def requests_per_second(port, options):
    done = subprocess.run(["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", f"http://127.0.0.1:{port}/"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=options.seconds + 30, check=True)
    if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])


def configured(agent, plain, proxied):
    """Two listeners of a definition: TCP to a PROXYV2 pool, HTTP to an HTTP pool."""
    ports = free_port(), free_port()
    agent.apply(new_id(), document(
        listener(ports[0], pool([member(proxied)], protocol="PROXYV2", name="tcp"), protocol="TCP"),
        listener(ports[1], pool([member(plain)], protocol="HTTP", name="http"), protocol="HTTP")))
    return ports


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
        plain, proxied, port, tcp, http = (free_port() for _ in range(5))
        load = f"load_module {MODULES};" if MODULES.exists() else ""
        stream = STREAM.format(proxied=proxied, port=port) if load else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, load=load, plain=plain, proxied=proxied, stream=stream))
        start(stack, ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], plain)
        (folder / "minimal.cfg").write_text(MINIMAL.format(tcp=tcp, http=http, plain=plain, proxied=proxied))
        start(stack, [amphora.HAPROXY, "-db", "-f", str(folder / "minimal.cfg")], http)
        agent = Agent()
        stack.callback(agent.close)
        agent.start()
        ours = configured(agent, plain, proxied)
        doors = {"TCP, PROXY v2": {"amphorad": ours[0], "minimal": tcp}, "HTTP, kept connections": {"amphorad": ours[1], "minimal": http}}
        if stream:
            doors["TCP, PROXY v2"]["nginx stream"] = port
        rows = []
        for name, ports in doors.items():
            figures = {who: [] for who in ports}
            for who, number in ports.items():
                wait_for(lambda n=number: answers(n), 10, f"{who} to answer")
            for turn in range(options.turns):
                for who in (ports if turn % 2 else reversed(list(ports))):
                    figures[who].append(requests_per_second(ports[who], options))
                    time.sleep(0.1)
            medians = {who: statistics.median(each) for who, each in figures.items()}
            ratio = statistics.median(a / b for a, b in zip(figures["amphorad"], figures["minimal"]))
            rows.append({"what": name, "requests per second": medians, "all": figures, "to minimal": ratio})
            print(f"{name:24} " + ", ".join(f"{who} {value:.0f}/s" for who, value in medians.items()) +
                f"; amphorad to minimal {ratio:.3f} {'reached' if ratio >= LIMIT else f'MISSED ({LIMIT})'}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
