#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Changes under load, through both doors: what breaks, what it costs. `make bench-hitless` runs it and prints a table.

Three kinds of clients hold on to the load balancer meanwhile: HTTP requests on kept connections, long-lived TCP connections
and upgraded (WebSocket-like) ones. The same changes are then made by reloads (runtime_updates = false) in the same run, so
that the two can be compared whatever the machine. A request or connection that fails is a failure of the run."""

import argparse
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

import amphora  # noqa: E402
from backends import Origin, TcpOrigin  # noqa: E402
from clients import server_of  # noqa: E402
from octavia_driver import VIP, OctaviaAgent  # noqa: E402
from pki import Authority, Https, client, put_certificate  # noqa: E402
from processes import end, free_port, wait_for  # noqa: E402

SERVERS = 8
OCTAVIA = """\
global
    daemon
    user nobody
    stats socket {state}/{lb}.sock mode 0666 level user
    server-state-file {state}/{lb}/servers-state
    maxconn 20000

defaults
    log global
    retries 3
    option redispatch
    option http-keep-alive
"""
LISTENER = """
frontend {listener}
    maxconn 10000
    bind {vip}:{port}
    mode {mode}
    default_backend {pool}:{listener}
    timeout client 600000

backend {pool}:{listener}
    mode {mode}
    balance roundrobin
    fullconn 10000
    option allbackups
    timeout connect 5000
    timeout server 600000
"""


class Upgrading:
    """Says 101 to any request and echoes from then on."""

    def __init__(self):
        self.port = free_port()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
                for line in self.rfile:
                    self.wfile.write(line)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 512
        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


class Clients:
    """All that hold on to the load balancer, and what happened to them."""

    def __init__(self, address, http_port, tcp_port, upgraded_port):
        self.stopping = threading.Event()
        self.failures, self.requests, self.closed = [], 0, 0
        self.lock = threading.Lock()
        jobs = [(self.keep_alive, http_port)] * 3 + [(self.tcp, tcp_port)] * 4 + [(self.upgraded, upgraded_port)] * 2
        self.threads = [threading.Thread(target=self.guard, args=(job, address, port), daemon=True) for job, port in jobs]

    def guard(self, job, address, port):
        try:
            job(address, port)
        except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
            with self.lock:
                self.failures.append(f"{job.__name__}: {type(error).__name__}: {error}")

    def count(self):
        with self.lock:
            self.requests += 1
        time.sleep(0.005)

    def keep_alive(self, address, port):
        connection = http.client.HTTPConnection(address, port, timeout=10)
        while not self.stopping.is_set():
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # RFC 9112, 9.3.1: an idle connection may be closed at any time, and the request is sent again. The
                # old worker of a reload does that; changes at run time must not.
                with self.lock:
                    self.closed += 1
                connection.close()
                connection.request("GET", "/")
                response = connection.getresponse()
            assert response.status == 200, response.status
            response.read()
            self.count()

    def tcp(self, address, port):
        with socket.create_connection((address, port), 10) as connection:
            stream = connection.makefile("rwb")
            assert stream.readline()
            self.echo(stream)

    def upgraded(self, address, port):
        with socket.create_connection((address, port), 10) as connection:
            stream = connection.makefile("rwb")
            stream.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            stream.flush()
            assert b" 101 " in stream.readline()
            while stream.readline().strip():
                pass
            self.echo(stream)

    def echo(self, stream):
        number = 0
        while not self.stopping.is_set():
            number += 1
            stream.write(b"%d\n" % number)
            stream.flush()
            assert stream.readline() == b"%d\n" % number, "the connection was cut"
            self.count()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.requests > 50 or self.failures, 20, "the clients are served")
        return self

    def __exit__(self, *unused):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Backends:
    """Servers of each kind; which of them are members, with which weight, changes at random."""

    def __init__(self, rng):
        self.rng = rng
        self.web = [Origin(f"w{n}").start() for n in range(SERVERS)]
        self.tcp = [TcpOrigin(f"t{n}").start() for n in range(SERVERS)]
        self.upgrading = [Upgrading() for _ in range(SERVERS)]
        self.members = {kind: {n: {"port": server.port, "weight": 1, "up": True, "id": amphora.new_id()}
            for n, server in enumerate(servers[:SERVERS // 2])} for kind, servers in self.kinds().items()}

    def kinds(self):
        return {"web": self.web, "tcp": self.tcp, "upgraded": self.upgrading}

    def serving(self, kind):
        return [n for n, member in self.members[kind].items() if member["up"] and member["weight"]]

    def change(self):
        """One random change of one member; its name."""
        kind = self.rng.choice(list(self.members))
        members, servers = self.members[kind], self.kinds()[kind]
        used = {member["port"] for member in members.values()}
        free = [server.port for server in servers if server.port not in used]
        spare = [n for n in members if n not in self.serving(kind)] or \
            (list(members) if len(self.serving(kind)) > 2 else [])
        verb = self.rng.choice(["add", "remove", "weight", "drain", "address", "state"])
        if verb == "add" and free:
            members[max(members) + 1] = {"port": self.rng.choice(free), "weight": self.rng.randint(1, 10), "up": True,
                "id": amphora.new_id()}
        elif verb == "remove" and spare and len(members) > 2:
            del members[self.rng.choice(spare)]
        elif verb == "drain" and len(self.serving(kind)) > 2:
            members[self.rng.choice(self.serving(kind))]["weight"] = 0
        elif verb == "address" and free:
            members[self.rng.choice(list(members))]["port"] = self.rng.choice(free)
        elif verb == "state" and len(self.serving(kind)) > 2:
            member = members[self.rng.choice(list(members))]
            member["up"] = not member["up"]
        else:
            verb = "weight"
            member = members[self.rng.choice(list(members))]
            member["weight"] = member["weight"] % 10 + 1
        return verb


class Door:
    """One load balancer on one agent, changed through one door."""

    def __init__(self, agent, backends):
        self.agent, self.backends, self.lb_id = agent, backends, amphora.new_id()
        self.ports = {kind: free_port() for kind in backends.members}
        self.ids = {kind: (amphora.new_id(), amphora.new_id()) for kind in backends.members}

    def worker(self):
        master = self.agent.haproxy_pid(self.lb_id)
        return [pid for pid in self.agent.haproxy_processes() if pid != master
            and any(self.lb_id in word for word in amphora.command_line(pid))]

    def memory(self):
        """Proportional memory of every HAProxy, MiB."""
        total = 0
        for pid in self.agent.haproxy_processes():
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(text.split("\nPss:")[1].split()[0])
            except (OSError, IndexError):
                pass  # it has just ended
        return total / 1024


class Definitions(Door):
    name, address = "definitions", "127.0.0.1"

    def apply(self):
        listeners = []
        for kind, members in self.backends.members.items():
            mode = "TCP" if kind == "tcp" else "HTTP"
            listeners.append(amphora.listener(self.ports[kind], amphora.pool([amphora.member(m["port"], m["id"],
                weight=m["weight"], admin_state_up=m["up"], id=m["id"]) for m in members.values()],
                name=kind, protocol=mode), name=kind, protocol=mode, timeout_client_data=600000,
                timeout_member_data=600000))
            listeners[-1]["default_pool"]["members"] = [dict(m) for m in listeners[-1]["default_pool"]["members"]]
        return self.agent.put(self.lb_id, amphora.document(*listeners)).expect(200, 201).headers["Amphorad-Apply"]


class Uploads(Door):
    name, address = "uploads", VIP

    def apply(self):
        text = OCTAVIA.format(state=self.agent.state, lb=self.lb_id)
        for kind, members in self.backends.members.items():
            listener, pool = self.ids[kind]
            text += LISTENER.format(listener=listener, pool=pool, vip=VIP, port=self.ports[kind],
                mode="tcp" if kind == "tcp" else "http")
            text += "".join(f"    server {m['id']} 127.0.0.1:{m['port']} weight {m['weight']}"
                f"{'' if m['up'] else ' disabled'}\n" for m in members.values())
        self.agent.upload(self.lb_id, text).expect(202)
        self.agent.action(self.lb_id, "reload").expect(202)
        return None


def servers_state(path):
    """{backend server: (address, port, weight, in maintenance)} of the HAProxy behind a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"show servers state\n")
        text = b""
        while chunk := connection.recv(65536):
            text += chunk
    rows = [line.split() for line in text.decode().splitlines()]
    names = next(row for row in rows if row[:1] == ["#"])[1:]
    servers = {}
    for row in rows:
        if len(row) == len(names):
            value = dict(zip(names, row))
            # A server that is "disabled" in the file and one that was put into maintenance do the same.
            servers[f"{value['be_name']} {value['srv_name']}"] = (value["srv_addr"], value["srv_port"],
                value["srv_uweight"], bool(int(value["srv_admin_state"]) & 0x05))
    return servers


def differences_to_a_fresh_haproxy(door):
    """What runs beside what a HAProxy of its own, in a network of its own, makes of the file on disk."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="amphorad-fresh-"))
    fresh = None
    try:
        own, admin = folder / "fresh.cfg", folder / "fresh.sock"
        text = door.agent.config_file(door.lb_id).read_text().replace(f"{door.agent.state}/{door.lb_id}.sock",
            str(folder / "user.sock"))
        text = "\n".join(line for line in text.splitlines() if "server-state" not in line)
        own.write_text(text + f"\nglobal\n    stats socket {admin} level admin\n    no strict-limits\n")
        fresh = subprocess.Popen(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", amphora.HAPROXY,
            "-db", "-C", str(door.agent.state / door.lb_id), "-f", str(own)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted = wait_for(lambda: servers_state(admin), 20, "the fresh HAProxy answers")
        running = servers_state(next(door.agent.run.rglob(f"{door.lb_id}.sock")))
        return [name for name in wanted.keys() | running.keys() if wanted.get(name) != running.get(name)
            # Removed, in maintenance, and still held by a client.
            and not (name not in wanted and running[name][3])]
    finally:
        if fresh:
            end(fresh)
        shutil.rmtree(folder, ignore_errors=True)


def percentiles(values):
    values = sorted(values)
    return statistics.median(values) * 1000, values[min(len(values) - 1, int(len(values) * 0.99))] * 1000


def changes_under_load(door, count):
    """One row of the table: "count" random changes."""
    door.apply()
    wait_for(lambda: server_of(door.ports["web"], address=door.address), 10, "it serves")
    before, actions, latencies = door.worker(), {}, []
    with Clients(door.address, door.ports["web"], door.ports["tcp"], door.ports["upgraded"]) as clients:
        for number in range(count):
            verb = door.backends.change()
            began = time.monotonic()
            action = door.apply()
            latencies.append(time.monotonic() - began)
            actions[action] = actions.get(action, 0) + 1
            assert not clients.failures, (number, verb, action, clients.failures)
        wait_for(lambda: clients.stopping.is_set() or clients.requests > 100, 10, "the clients go on")
        workers = door.worker()
    different = differences_to_a_fresh_haproxy(door) if os.geteuid() == 0 else []
    p50, p99 = percentiles(latencies)
    return {"door": door.name, "changes": count, "actions": actions, "requests": clients.requests,
        "failed": len(clients.failures), "closed while idle": clients.closed, "failures": clients.failures[:5], "same worker": workers == before,
        "old workers": len(workers) - 1, "differs from a fresh HAProxy": different, "p50 ms": p50, "p99 ms": p99}


def request_to_traffic(door, count):
    """Times from the request that replaces the only member to the first answer of the new one."""
    members, times = door.backends.members["web"], []
    for number in range(count + 1):
        server = door.backends.web[number % 2]
        members.clear()
        members[number] = {"port": server.port, "weight": 1, "up": True, "id": amphora.new_id()}
        began = time.monotonic()
        door.apply()
        while server_of(door.ports["web"], address=door.address) != server.name:
            assert time.monotonic() < began + 10, "the new member gets no traffic"
        if number:
            times.append(time.monotonic() - began)
    return percentiles(times)


def memory_with_idle_connections(door, connections, changes):
    """What all HAProxy processes hold after some changes while clients come and stay: (MiB, old workers)."""
    door.apply()
    held = []
    for number in range(changes):
        for _ in range(connections * (number + 1) // changes - len(held)):
            held.append(socket.create_connection((door.address, door.ports["tcp"]), 10))
        wait_for(lambda: held[-1].recv(1, socket.MSG_PEEK), 10, "the last connection is served")
        door.backends.change()
        door.apply()
    result = door.memory(), len(door.worker()) - 1
    for connection in held:
        connection.close()
    return result


def certificates(agent, count):
    """Replacements of a certificate that a listener uses."""
    ca, origin, port, lb_id = Authority("CA"), Origin("web").start(), free_port(), amphora.new_id()
    put_certificate(agent, "bench", ca.issue("a.example", hosts=["a.example"]).pem).expect(200, 201)
    agent.apply(lb_id, amphora.document(amphora.listener(port, amphora.pool([amphora.member(origin.port)]),
        protocol="TERMINATED_HTTPS", default_tls_container_ref="bench")))
    before = [pid for pid in agent.haproxy_processes() if any(lb_id in w for w in amphora.command_line(pid))]
    latencies, wrong = [], 0
    for _ in range(count):
        pair = ca.issue("a.example", hosts=["a.example"])
        began = time.monotonic()
        put_certificate(agent, "bench", pair.pem).expect(200)
        latencies.append(time.monotonic() - began)
        wrong += int(Https(port, client(ca)).certificate["serialNumber"], 16) != pair.serial
    after = [pid for pid in agent.haproxy_processes() if any(lb_id in w for w in amphora.command_line(pid))]
    origin.stop()
    p50, p99 = percentiles(latencies)
    return {"replacements": count, "wrong certificate seen": wrong, "same worker": before == after, "p50 ms": p50,
        "p99 ms": p99}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1000, help="random member changes through each door")
    parser.add_argument("--certificates", type=int, default=200, help="replacements of a certificate")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections held for the memory figure")
    parser.add_argument("--memory-changes", type=int, default=100, help="changes while they come")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    print(f"seed {options.seed}, {amphora.HAPROXY}", flush=True)
    figures, failed = {"seed": options.seed, "rows": []}, False
    for runtime in (True, False):
        # The bound on old workers would end the ones that are counted here.
        agent = OctaviaAgent(amphorad="max_old_workers = 1000" + ("" if runtime else "\nruntime_updates = false"))
        try:
            agent.start()
            how = "runtime" if runtime else "reload"
            for kind in (Definitions, Uploads):
                # By reloads a tenth: they are what the others are compared with.
                count = options.changes if runtime else max(options.changes // 10, 1)
                row = changes_under_load(kind(agent, Backends(random.Random(options.seed))), count)
                row["by"] = how
                figures["rows"].append(row)
                print(f"{row['door']:12} {how:8} {count:5} changes: p50 {row['p50 ms']:7.1f} ms, p99 "
                    f"{row['p99 ms']:7.1f} ms, {row['requests']} requests, {row['failed']} failed, "
                    f"{row['closed while idle']} kept connections closed, worker "
                    f"{'kept' if row['same worker'] else 'replaced'}, {row['old workers']} old; "
                    f"{len(row['differs from a fresh HAProxy'])} servers differ from a fresh HAProxy; {row['actions']}",
                    flush=True)
                traffic = kind(agent, Backends(random.Random(options.seed)))
                row["traffic p50 ms"], row["traffic p99 ms"] = request_to_traffic(traffic, 50)
                print(f"{row['door']:12} {how:8}    50 members replaced: traffic after p50 {row['traffic p50 ms']:.1f} ms, "
                    f"p99 {row['traffic p99 ms']:.1f} ms", flush=True)
                failed |= row["failed"] > 0 or bool(row["differs from a fresh HAProxy"])
                failed |= runtime and (not row["same worker"] or row["old workers"] > 0 or row["closed while idle"] > 0)
            door = Definitions(agent, Backends(random.Random(options.seed)))
            memory, old = memory_with_idle_connections(door, options.idle, options.memory_changes)
            figures[f"memory MiB by {how}"] = memory
            print(f"{'memory':12} {how:8} {options.memory_changes:5} changes with {options.idle} idle connections: "
                f"{memory:.1f} MiB in all HAProxy processes, {old} old workers", flush=True)
            if runtime and options.certificates:
                row = figures["certificates"] = certificates(agent, options.certificates)
                print(f"certificates {how:8} {row['replacements']:5} replacements: p50 {row['p50 ms']:.1f} ms, p99 "
                    f"{row['p99 ms']:.1f} ms, worker {'kept' if row['same worker'] else 'replaced'}, "
                    f"{row['wrong certificate seen']} wrong", flush=True)
                failed |= row["wrong certificate seen"] > 0 or not row["same worker"]
        except AssertionError:
            print("\n".join(agent.log.splitlines()[-40:]))
            raise
        finally:
            agent.close()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("AMPHORAD_TIME_FACTOR", "1")
    sys.exit(main())
