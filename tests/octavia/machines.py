# SPDX-License-Identifier: Apache-2.0
"""What a test does to an amphora that no controller would: looking inside, and breaking it."""

import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import cloud
from netns import inside
from processes import alive, command_line, kill, parent_of, wait_for
from qemu import Control, Door

# For what has to come true: long enough for a machine that has other work, too. Nothing takes longer because of it.
PATIENCE_S = 900 if cloud.IMAGE else 90


def _children():
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            found.setdefault(parent_of(int(entry)), []).append(int(entry))
    return found


class Machine:
    """The server of an amphora, by what the API says of the amphora."""

    def __init__(self, amphora):
        self.id = amphora["compute_id"]
        self.amphora = amphora
        with cloud.state() as data:
            self.server = data["servers"][self.id]
            self.management_port = self.server["port"]
        self.folder = cloud.FOLDER / self.id
        self.config = "etc/octavia/amphora-agent.conf"

    # What runs there

    def processes(self, program):
        """Pids of those whose program has this name, a parent before its children."""
        children, todo, found = _children(), [self.server["pid"]], []
        while todo:
            pid = todo.pop(0)
            todo += sorted(children.get(pid, []))
            if os.path.basename(command_line(pid)[0]) == program and alive(pid):
                found.append(pid)
        return found

    @property
    def init(self):
        """Process 1 of the amphora."""
        return _children()[self.server["pid"]][0]

    @property
    def agent(self):
        found = self.processes("amphora-agent")
        return found[0] if found else None

    def path(self, name):
        """A file of the amphora."""
        return pathlib.Path(f"/proc/{self.init}/root/{name}")

    def run(self, *command, check=True):
        done = subprocess.run(["nsenter", "-t", str(self.init), "-m", "-n", "-p", *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def addresses(self):
        """Where HAProxy runs."""
        links = json.loads(self.run("ip", "-n", "amphora-haproxy", "-j", "address") or "[]")
        return {info["local"] for link in links for info in link["addr_info"]}

    @property
    def console(self):
        return (self.folder / "console.log").read_text(errors="replace")

    def said_from_here(self):
        """said() is what the console says after this."""
        begin = len(self.console)
        return lambda: self.console[begin:]

    # What is done to it

    def send(self, program, number):
        for pid in self.processes(program):
            kill(pid, number)

    def restart_agent(self, number=signal.SIGTERM, environment=None):
        """It is started again whenever it ends; with these variables, if given."""
        if environment is not None:
            (self.folder / "environment").write_text("".join(f"export {key}='{value}'\n" for key, value in environment.items()))
        before = self.agent
        kill(before, number)
        wait_for(lambda: self.agent not in (None, before), PATIENCE_S, "the agent runs again")

    def agent_version(self):
        """Of the program that runs, also when its file is another one by now."""
        return subprocess.check_output([f"/proc/{self.agent}/exe", "--version"], text=True).split()[1]

    def upgrade_agent(self, program):
        """As a package does it: a new file under the old name, and a restart."""
        installed = self.path(os.readlink(f"/proc/{self.agent}/exe").lstrip("/"))
        fresh = installed.with_name(installed.name + ".dpkg-new")
        shutil.copy2(program, fresh)
        fresh.rename(installed)
        self.restart_agent(signal.SIGTERM)

    def hold_requests(self):
        """Nothing reaches the agent's API until release_requests(); what it sends goes out."""
        self.run("nft", "add table inet held; add chain inet held input { type filter hook input priority 0; }; "
            "add rule inet held input tcp dport 9443 drop")

    def release_requests(self):
        self.run("nft", "delete table inet held")

    def ask_haproxy(self, load_balancer, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(self.path(f"var/lib/octavia/{load_balancer}.sock")))
            connection.sendall(command.encode() + b"\n")
            with connection.makefile() as reply:
                return reply.read()

    def running_weight(self, load_balancer, member):
        """What HAProxy says of a member."""
        rows = list(csv.DictReader(self.ask_haproxy(load_balancer, "show stat").lstrip("# ").strip().splitlines()))
        [weight] = {int(row["weight"]) for row in rows if row["svname"] == member}
        return weight

    def sticking(self, load_balancer):
        """How many clients each of HAProxy's stick tables knows."""
        return dict(re.findall(r"(?m)^# table: (\S+),.* used:(\d+)", self.ask_haproxy(load_balancer, "show table")))

    @property
    def lives(self):
        return alive(self.server["pid"])

    def die(self):
        """Without a word."""
        kill(self.server["pid"])
        wait_for(lambda: not self.lives, PATIENCE_S, "the amphora has died")

    def cut_off(self, state="down"):
        """From the controllers."""
        cloud.set_link(self.management_port, state)

    def fill_disk(self):
        """Nothing can be written any more until free_disk()."""
        total, free, size = map(int, self.run("stat", "-f", "-c", "%b %f %S", "/mnt").split())
        self.run("mount", "-o", f"remount,size={(total - free) * size}", "/mnt")

    def free_disk(self):
        self.run("mount", "-o", "remount,size=1g", "/mnt")


class Doors:
    """The ways into virtual machines. As soon as QEMU has one it is opened, and then kept: the guest's end gives up whenever
    nobody is at this one, and QEMU closes it whenever the guest does."""

    def __init__(self):
        self.lock, self.open = threading.Lock(), {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            for path in cloud.FOLDER.glob("*/door"):
                if path not in self.open:
                    with contextlib.suppress(OSError):
                        self.open[path] = Door(path, 120)
            time.sleep(0.3)

    def run(self, path, command, check, timeout):
        with self.lock:
            door = wait_for(lambda: self.open.get(path), timeout, "the door of the amphora is open")
            door.wire.socket.settimeout(timeout)
            try:
                return door.run(command, check)
            except OSError:
                # Of no use any more, also where it is only late.
                door.close()
                self.open.pop(path)
                raise


class VirtualMachine(Machine):
    """With the disk image; there are no namespaces to look into."""

    doors = Doors() if cloud.IMAGE else None

    def run(self, command, check=True, timeout=120):
        return self.doors.run(self.folder / "door", command, check, timeout)

    def boot_id(self):
        """Another one after each boot."""
        return self.run("cat /proc/sys/kernel/random/boot_id", timeout=20)

    def press_power_button(self):
        with Control(self.folder / "qmp", 30) as qemu:
            qemu.run("system_powerdown")
        wait_for(lambda: not alive(self.server["pid"]), 300, "the amphora is off", 0.2)

    def journal(self):
        """What the agent and those it started said."""
        try:
            return self.run("journalctl -b --no-pager -o short-monotonic -p warning | tail -n 30; journalctl -b --no-pager "
                "-o short-monotonic -u amphorad -u 'amphora-*' -u 'octavia-*' | tail -n 80", check=False)
        except OSError as error:
            return f"{error}; the console:\n{self.console[-3000:]}"


def in_namespace_of(machine, function, *arguments):
    """With sockets in the network namespace of the amphora, where its agent's API is."""
    return inside(machine.server["namespace"], function, *arguments)
