#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The cases of run-image: image_cases.py [--accel NAME] IMAGE. A line "ok NAME" or "not ok NAME" each, with the time; later
cases go on with what earlier ones left. The exit status is 0 if none failed."""

import argparse
import http.server
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]
import amphora  # noqa: E402
from image_machine import HOST, MANAGEMENT_MAC, VIP, VIP_CIDR, VIP_MAC, VRRP_IP, Machine  # noqa: E402
from octavia_driver import HEARTBEAT_KEY, Controller, Pki, TlsDoor  # noqa: E402
from processes import free_port, wait_for  # noqa: E402

BASE = "/var/lib/octavia"


class Amphora(TlsDoor):
    """What octavia_driver.py wants to know of an agent."""

    def __init__(self, port):
        self.pki = Pki()
        self.port = port
        self.amphora_id = amphora.new_id()
        self.state, self.cert_dir = BASE, f"{BASE}/certs"
        self.client_ca_file, self.server_cert = "/etc/octavia/certs/client_ca.pem", "/etc/octavia/certs/server.pem"
        self.pair = self.pki.server_ca.issue(self.amphora_id)

    def serial(self):
        connection = self.connect()
        try:
            return connection.serial
        finally:
            connection.close()


class Member(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"member")

    def log_message(self, *unused):
        pass


class Heartbeats:
    """Opens what arrives with Octavia's own code."""

    def __init__(self):
        from octavia.amphorae.backends.health_daemon import status_message
        self.unwrap = status_message.unwrap_envelope
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.messages = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            self.messages.append(self.unwrap(self.socket.recv(65536), HEARTBEAT_KEY))

    def wait(self, condition, what, timeout):
        """Until a message that comes from now on satisfies the condition."""
        start = len(self.messages)
        return wait_for(lambda: next((m for m in self.messages[start:] if condition(m)), None), timeout, what)


def free_udp_port():
    """free_port() holds the number for UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def echo():
    """A member of UDP: answers "member: " and what it got."""
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member.bind(("127.0.0.1", 0))

    def run():
        while True:
            data, client = member.recvfrom(2048)
            member.sendto(b"member: " + data, client)
    threading.Thread(target=run, daemon=True).start()
    return member.getsockname()[1]


class Cases:
    def __init__(self, image, accel, folder):
        self.image = pathlib.Path(image)
        self.folder = pathlib.Path(folder)
        # Emulated on a machine that has other work, too.
        self.patience = (900 if accel == "tcg" else 180) * int(os.environ.get("AMPHORAD_TIME_FACTOR") or 1)
        self.amp = Amphora(free_port())
        self.ports = {"api": self.amp.port, "tcp": free_port(), "udp": free_udp_port()}
        self.heartbeats = Heartbeats()
        self.members = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Member)
        threading.Thread(target=self.members.serve_forever, daemon=True).start()
        self.udp_member = echo()
        self.controller = Controller(self.amp, folder)
        self.controller.amphora.vrrp_ip, self.controller.amphora.ha_ip = VRRP_IP, VIP
        self.machine = Machine(image, folder, self.ports, accel, self.patience)
        self.figures = []
        self.failed = 0

    def prepare(self):
        """The config drive: Octavia's own configuration of the agent, the certificates as nova injects them, the rest by
        Octavia's own user data."""
        from octavia.common.jinja import user_data_jinja_cfg
        self.controller.set("health_manager", controller_ip_port_list=[f"10.0.2.2:{self.heartbeats.port}"])
        self.controller.set("haproxy_amphora", bind_host="::", bind_port=9443)
        self.agent_conf = self.controller.agent_config()
        self.controller.set("haproxy_amphora", bind_port=self.amp.port, rest_request_conn_timeout=60,
            rest_request_read_timeout=self.patience)
        user_data = user_data_jinja_cfg.UserDataJinjaCfg().build_user_data_config({
            "/etc/octavia/amphora-agent.conf": self.agent_conf})
        files = {"0000": (self.amp.server_cert, self.amp.pair.pem),
            "0001": (self.amp.client_ca_file, self.amp.pki.client_ca.pem)}
        self.machine.make_drive({
            "openstack/latest/meta_data.json": json.dumps({"uuid": self.amp.amphora_id, "name": "amphora",
                "hostname": f"amphora-{self.amp.amphora_id}.novalocal", "public_keys": {"me": "ssh-ed25519 AAAA me"},
                "files": [{"path": path, "content_path": f"/content/{name}"} for name, (path, _) in files.items()]}),
            "openstack/latest/user_data": user_data,
            "openstack/latest/network_data.json": json.dumps({
                "links": [{"id": "tap0", "type": "ovs", "mtu": 1450, "ethernet_mac_address": MANAGEMENT_MAC}],
                "networks": [{"id": "network0", "link": "tap0", "type": "ipv4_dhcp"}], "services": []}),
            **{f"openstack/content/{name}": text for name, (_, text) in files.items()}})

    def figure(self, what, value):
        self.figures.append(f"{what}: {value}")

    def wait_api(self):
        def answers():
            self.machine.running()
            return self.amp.rest("GET", "/", timeout=30).status == 200
        wait_for(answers, self.patience, "GET / is answered", 0.2)
        return time.monotonic() - self.machine.began

    def get(self, timeout=60):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['tcp']}/", timeout=timeout) as reply:
            return reply.read().decode()

    def ask(self, text, timeout=60):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect(("127.0.0.1", self.ports["udp"]))
            client.send(text.encode())
            return client.recv(2048).decode()

    def serves(self):
        wait_for(lambda: self.get() == "member", self.patience, "HTTP is served", 0.2)
        wait_for(lambda: self.ask("x", 5) == "member: x", self.patience, "UDP is served", 0.2)

    def property(self, unit, name):
        return self.machine.run(f"systemctl show --value -p {name} {unit}")

    # The cases, in this order

    def boots(self):
        self.machine.start()
        seconds = self.wait_api()
        self.figure("power on to GET / over mutual TLS", f"{seconds:.1f} s ({self.machine.accel})")
        assert self.amp.rest("GET", "/").json["api_version"] == "1.0"
        assert self.amp.serial() == self.amp.pair.serial

    def only_controllers_are_served(self):
        try:
            self.amp.rest("GET", "/", client=False)
        except OSError:
            return
        raise AssertionError("served without a certificate")

    def is_who_the_drive_says(self):
        run = self.machine.run
        name = f"amphora-{self.amp.amphora_id}"
        assert run("cat /proc/sys/kernel/hostname /etc/hostname") == f"{name}\n{name}"
        assert run("cat /etc/octavia/amphora-agent.conf") == self.agent_conf.rstrip("\n")
        assert run("stat -c '%a %U:%G' /etc/octavia/amphora-agent.conf /etc/octavia/certs/*") == "\n".join(3 * ["600 root:root"])
        assert "MACAddress=" + MANAGEMENT_MAC in run("cat /etc/systemd/network/70-amphora-0.network")
        assert run("cat /sys/class/net/eth0/mtu") == "1450"
        other = run("amphora-config-drive --device /dev/vdb --dry-run")
        assert f"instance {self.amp.amphora_id}" in other and "write /etc/octavia/certs/server.pem" in other, other
        assert run("findmnt -rn -o TARGET | grep config-drive", check=False) == ""

    def is_closed(self):
        run = self.machine.run
        assert run("command -v sshd ssh", check=False) == ""
        assert run("awk -F: '$2 !~ /^[!*]/' /etc/shadow") == ""
        assert run("systemctl list-units --plain --no-legend --type=service '*getty*' 'ssh*'") == ""
        # But for the sockets that heartbeats are sent from and that DHCP needs.
        listening = run("ss -Hlntup | grep -v '^udp .*\"amphorad\"' | awk '{print $1, $5}' | grep -v '%eth0:68$' | sort -u")
        assert set(listening.splitlines()) <= {"tcp *:9443", "tcp [::]:9443"}, listening
        assert "Read-only file system" in run("touch /usr/bin/x", check=False)
        assert run("findmnt -n -o FSTYPE /") == "squashfs" and run("findmnt -n -o FSTYPE /tmp") == "tmpfs"
        mounts = [line.split() for line in run("cat /proc/mounts").splitlines()]
        certs = [mount for mount in mounts if mount[1] == "/var/lib/octavia/certs"]
        assert certs and certs[-1][2] == "tmpfs" and {"nosuid", "nodev", "noexec"} <= set(certs[-1][3].split(",")), certs
        mode = run("stat -c %a /var/lib/octavia/certs")
        assert mode == "700", mode
        # The state has grown to the end of the flavor's disk.
        assert int(run("df --output=size -m /var | tail -n 1")) > 1500
        failed = run("systemctl list-units --plain --no-legend --state=failed")
        assert failed == "", failed

    def tells_its_versions(self):
        info = self.controller.driver.get_info(self.controller.amphora)
        assert info["haproxy_version"].startswith("2.6.") and info["hostname"] == f"amphora-{self.amp.amphora_id}", info
        details = self.controller.driver.get_diagnostics(self.controller.amphora) or self.amp.rest("GET", "/1.0/details").json
        assert details["haproxy_count"] == 0 and details["cpu_count"] == 2, details

    def vip_is_plugged(self):
        from test_network_plug import Cloud
        cloud = Cloud(self.controller)
        self.machine.plug()
        cloud.vip(VIP, VRRP_IP, cloud.subnet(VIP_CIDR, HOST))
        cloud.interface(VIP)
        found = self.machine.run("ip -n amphora-haproxy address show eth1")
        assert VIP_MAC in found and f"inet {VIP}/" in found and f"inet {VRRP_IP}/" in found, found
        self.lb = self.controller.amphora.load_balancer

    def tcp_and_udp_are_served(self):
        make = self.controller
        self.member = make.member(self.members.server_address[1], HOST)
        pool = make.pool("HTTP", self.member)
        pool.health_monitor = make.monitor("TCP", delay=2, timeout=5)
        self.tcp = make.listener(self.lb, "HTTP", pool, port=80)
        self.udp = make.listener(self.lb, "UDP", make.pool("UDP", make.member(self.udp_member, HOST)), port=5353)
        make.update(self.lb)
        self.serves()

    def heartbeats_tell(self):
        def told(message):
            listeners = message["listeners"]
            return set(listeners) == {self.tcp.id, self.udp.id} and listeners[self.tcp.id]["stats"]["totconns"] > 0 and any(
                pool["members"].get(self.member.id) == "UP" for pool in message["pools"].values())
        threading.Thread(target=self.get, daemon=True).start()
        message = self.heartbeats.wait(told, "a heartbeat with both listeners and the member up", self.patience)
        assert message["id"] == self.amp.amphora_id and message["ver"] == 3

    def certificate_is_rotated(self):
        self.rotated = self.amp.pki.server_ca.issue(self.amp.amphora_id)
        self.controller.driver.upload_cert_amp(self.controller.amphora, self.rotated.pem.encode())
        assert self.rotated.serial != self.amp.pair.serial
        assert self.amp.serial() == self.rotated.serial
        self.controller.driver.get_info(self.controller.amphora)

    def memory(self):
        text = self.machine.run("cat /proc/$(systemctl show --value -p MainPID amphorad)/{status,smaps_rollup} "
            "| awk '/^(VmRSS|Pss):/ {print $1, $2}'")
        found = dict(line.split(": ") for line in text.splitlines())
        assert int(found["Pss"]) < 20000, found
        self.figure("amphorad in the machine", f"VmRSS {found['VmRSS']} kB, Pss {found['Pss']} kB")
        sizes = self.machine.run("dpkg-query -W -f '${Package} ${Installed-Size} kB\\n' amphorad amphoractl")
        self.figure("installed", ", ".join(sizes.splitlines()))
        self.figure("memory of the machine in use", self.machine.run(
            "awk '/^MemTotal/ {t=$2} /^MemAvailable/ {print int((t-$2)/1024) \" MiB\"}' /proc/meminfo"))
        ready = int(self.property("amphorad", "ActiveEnterTimestampMonotonic")) / 1e6
        self.figure("kernel's start to amphorad ready", f"{ready:.1f} s")
        spent = self.machine.run("systemctl show --value -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic "
            "amphora-config-drive").split()
        self.figure("amphora-config-drive", f"{(int(spent[1]) - int(spent[0])) / 1e6:.2f} s")

    def the_clock_jumps(self):
        """That of the whole machine, for HAProxy and keepalived, too. Nobody ends, every connection is counted once, and
        heartbeats come at their pace."""
        def processes():
            return [self.property(unit, "MainPID") for unit in ("amphorad", f"amphora-haproxy@{self.lb.id}")]

        def counted():
            """What a controller has been told."""
            told = [m["listeners"].get(self.tcp.id) for m in list(self.heartbeats.messages)]
            return sum(listener["stats"]["totconns"] for listener in told if listener)

        def quiet(message):
            listener = message["listeners"].get(self.tcp.id)
            return listener and listener["stats"]["totconns"] == 0 and any(
                pool["members"].get(self.member.id) == "UP" for pool in message["pools"].values())
        running = processes()
        self.heartbeats.wait(quiet, "a heartbeat that says nothing new", self.patience)
        connections = counted()
        for offset in ("+ 5 days", "- 8 days", "+ 3 days"):
            self.machine.run(f"date -s \"$(date '+%F %T') {offset}\"")
            assert self.get() == "member"
            assert self.ask("x") == "member: x"
            connections += 1
            wait_for(lambda: counted() >= connections, self.patience, "it is counted")
            message = self.heartbeats.wait(quiet, "a heartbeat", self.patience)
            self.heartbeats.wait(lambda m: m["seq"] > message["seq"] + 1, "the next but one", self.patience)
            assert counted() == connections
        assert processes() == running
        self.controller.update(self.lb)
        self.serves()

    def agent_is_killed(self):
        haproxy = self.property(f"amphora-haproxy@{self.lb.id}", "MainPID")
        pid = self.property("amphorad", "MainPID")
        self.machine.run(f"kill -9 {pid}")
        assert self.get() == "member"
        wait_for(lambda: self.property("amphorad", "MainPID") not in ("0", pid), self.patience, "the agent is back", 0.2)
        self.wait_api()
        assert self.property(f"amphora-haproxy@{self.lb.id}", "MainPID") == haproxy
        self.serves()

    def haproxy_is_killed(self):
        unit = f"amphora-haproxy@{self.lb.id}"
        pid = self.property(unit, "MainPID")
        self.machine.run(f"kill -9 {pid}")
        wait_for(lambda: self.property(unit, "MainPID") not in ("0", pid), self.patience, "HAProxy is back", 0.2)
        self.serves()
        self.heartbeats.wait(lambda m: self.tcp.id in m["listeners"], "the listener in a heartbeat", self.patience)

    def is_back_after_a_reboot(self):
        """With the port in its place from the start, and without a word of the controller."""
        self.machine.shut_down()
        self.machine.start()
        self.serves()
        self.figure("power on to traffic, second boot", f"{time.monotonic() - self.machine.began:.1f} s")
        self.heartbeats.wait(lambda m: set(m["listeners"]) == {self.tcp.id, self.udp.id}, "both in a heartbeat", self.patience)
        self.wait_api()
        # The drive still has the old one.
        assert self.amp.serial() == self.rotated.serial
        assert "earlier boot" in self.machine.run("journalctl -b -o cat -u amphora-config-drive")
        failed = self.machine.run("systemctl list-units --plain --no-legend --state=failed")
        assert failed == "", failed
        self.lb.listeners.remove(self.udp)
        self.controller.driver.delete(self.udp)
        self.controller.update(self.lb)
        assert self.get() == "member"

    def is_shut_down(self):
        self.machine.shut_down()

    def run(self, name):
        start = time.monotonic()
        try:
            getattr(self, name)()
            verdict = "ok"
        except Exception:
            verdict = "not ok"
            self.failed += 1
            traceback.print_exc(file=sys.stdout)
        print(f"{verdict} {name.replace('_', ' ')} ({time.monotonic() - start:.1f} s)", flush=True)
        return verdict == "ok"

    def close(self):
        self.machine.close()
        self.controller.close()
        self.members.shutdown()


# Without the first ones there is nothing to try the rest on.
ORDER = ("prepare", "boots", "only_controllers_are_served", "is_who_the_drive_says", "is_closed", "tells_its_versions",
    "vip_is_plugged", "tcp_and_udp_are_served", "heartbeats_tell", "certificate_is_rotated", "memory", "the_clock_jumps",
    "agent_is_killed", "haproxy_is_killed", "is_back_after_a_reboot", "is_shut_down")
NEEDED = ("prepare", "boots", "vip_is_plugged")


def show(cases):
    """What the machine says, when something failed."""
    try:
        if cases.machine.process is not None:
            cases.machine.door.wire.socket.settimeout(120)
            print(cases.machine.run("journalctl -b --no-pager -o short-monotonic -p notice | tail -n 60; "
                "journalctl -b --no-pager -o short-monotonic -u amphorad -u 'amphora-*' -u 'octavia-*' | tail -n 100; "
                f"tail -n 40 {BASE}/vrrp/*.log", check=False))
    except (OSError, AttributeError):
        pass
    print((cases.folder / "qemu.log").read_text())
    if cases.machine.console.exists():
        print("--- the end of the console")
        print("\n".join(cases.machine.console.read_text(errors="replace").splitlines()[-40:]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("image")
    arguments = parser.parse_args()
    began = time.monotonic()
    # A unix socket's name has room for 107 bytes only.
    folder = tempfile.mkdtemp(prefix="image-")
    cases = Cases(arguments.image, arguments.accel, folder)
    try:
        for name in ORDER:
            if not cases.run(name) and name in NEEDED:
                break
        if cases.failed:
            show(cases)
    finally:
        cases.close()
        shutil.rmtree(folder)
    print(f"image: {cases.image.stat().st_blocks / 2**11:.0f} MiB (raw, compressed quickly)")
    print("\n".join(cases.figures))
    print(f"{'failed' if cases.failed else 'passed'} in {time.monotonic() - began:.0f} s")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
