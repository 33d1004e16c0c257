#!/usr/bin/python3 -SEs
# SPDX-License-Identifier: Apache-2.0
"""A machine for Octavia's Python agent, as far as that looks: started in new mount and process namespaces it is process
1, called "systemd" (the agent reads /proc/1/comm); under the names of the programs that the agent runs it is those.

    systemd FOLDER      mounts what the agent writes outside of its options, runs the agent, reaps
    systemctl, service  start, stop and reload of the units that the agent wrote; enable and disable do nothing
    ip                  "ip netns exec NAME ..." without the namespace: the tests reach HAProxy on loopback
    dpkg-query          versions of packages that need not be installed here
    octavia-agent-lvs-masquerade        nothing

If the machine has a network of its own, what the agent keeps in /var/lib/octavia goes to FOLDER/varlib, and "ip" is the
real one.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

UNITS = "/usr/lib/systemd/system"
PIDS = "/run/units"


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


# Process 1


def machine(folder):
    shims = os.path.join(folder, "shims")
    for target in (UNITS, "/etc/octavia"):
        mount("--bind", os.path.join(folder, os.path.basename(target)), target)
    for target in ("/run", "/var/log"):
        mount("-t", "tmpfs", "tmpfs", target)
    mount("--bind", os.path.join(shims, "service"), "/usr/sbin/service")
    for path in ("/run/netns", "/run/rsyslog/octavia", PIDS):
        os.makedirs(path)
    if os.path.exists(os.path.join(folder, "varlib")):
        mount("--bind", os.path.join(folder, "varlib"), "/var/lib/octavia")
        subprocess.run("ip link set lo up; ip netns add world; ip -n world link set lo up", shell=True, check=True)
    else:
        with open("/run/netns/amphora-haproxy", "wb"):
            pass
        mount("--bind", "/proc/self/ns/net", "/run/netns/amphora-haproxy")
    syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslog.bind("/run/rsyslog/octavia/log")
    os.chmod("/run/rsyslog/octavia/log", 0o666)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *unused: None)
    environment = dict(os.environ, PATH=shims + ":/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LANG="C.UTF-8")
    agent = subprocess.Popen(["/usr/bin/amphora-agent", "--config-file", "/etc/octavia/amphora-agent.conf"],
        env=environment, stdin=subprocess.DEVNULL, cwd="/")
    import select
    with open(os.path.join(folder, "syslog"), "ab", buffering=0) as log:
        while True:
            ready, _, _ = select.select([syslog, wake], [], [], 60)
            if syslog in ready:
                log.write(syslog.recv(65536).rstrip(b"\0\n") + b"\n")
            if wake in ready:
                os.read(wake, 512)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return 1
                if pid == 0:
                    break
                if pid == agent.pid:
                    return os.waitstatus_to_exitcode(status)


# systemctl


def pid_file(name):
    return os.path.join(PIDS, name)


def main_pid(name):
    try:
        with open(pid_file(name), encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return pid if file.read().rpartition(")")[2].split()[0] != "Z" else 0
    except (OSError, ValueError):
        return 0


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def read_unit(name):
    try:
        with open(os.path.join(UNITS, name + ".service"), encoding="utf-8") as file:
            lines = [line.strip().partition("=") for line in file]
    except OSError:
        fail(f"Failed to start {name}.service: Unit {name}.service not found.")
    environment = {}
    for key, _, value in lines:
        if key == "Environment":
            environment.update(item.split("=", 1) for item in shlex.split(value))
    return lines, environment


def commands(unit, key):
    lines, environment = unit
    for name, _, value in lines:
        if name == key:
            words = [re.sub(r"\$\{?(\w+)\}?", lambda m: environment.get(m[1], ""), w) for w in shlex.split(value)]
            yield words[4:] if words[:3] == ["/sbin/ip", "netns", "exec"] else words


def start(name):
    if main_pid(name):
        return
    unit = read_unit(name)
    for words in commands(unit, "ExecStartPre"):
        if subprocess.run(words, check=False).returncode:
            fail(f"Job for {name}.service failed because the control process exited with error code.")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = os.path.join(PIDS, name + ".notify")
    if os.path.exists(path):
        os.unlink(path)
    notify.bind(path)
    notify.settimeout(0.05)
    process = subprocess.Popen(next(commands(unit, "ExecStart")), env={**os.environ, "NOTIFY_SOCKET": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 15
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if b"READY=1" in notify.recv(4096):
                with open(pid_file(name), "w", encoding="ascii") as file:
                    file.write(str(process.pid))
                return
        except TimeoutError:
            pass
    fail(f"Job for {name}.service failed because the control process exited with error code.")


def stop(name):
    pid = main_pid(name)
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while main_pid(name):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def reload(name):
    pid = main_pid(name)
    if not pid:
        fail(f"{name}.service is not active, cannot reload.")
    lines, environment = read_unit(name)
    environment["MAINPID"] = str(pid)
    for words in commands((lines, environment), "ExecReload"):
        if subprocess.run(words, check=False).returncode:
            fail(f"Job for {name}.service failed.")


def systemctl(action, name):
    if action not in ("enable", "disable", "daemon-reload"):
        {"start": start, "stop": stop, "reload": reload}[action](name.removesuffix(".service"))


def main():
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    if name == "systemd":
        sys.exit(machine(*arguments))
    elif name == "systemctl":
        systemctl(arguments[0], (arguments[1:] or [""])[0])
    elif name == "service":
        systemctl(arguments[1], arguments[0])
    elif name == "ip" and arguments[:2] == ["netns", "exec"]:
        os.execvp(arguments[3], arguments[3:])
    elif name == "ip":
        os.execv("/sbin/ip", ["ip", *arguments])
    elif name == "dpkg-query":
        package = arguments[-1]
        known = {"keepalived": "1:2.2.7-1+b2", "ipvsadm": "1:1.31-1+b1"}
        if package not in known:
            os.execv("/usr/bin/dpkg-query", ["dpkg-query", *arguments])
        sys.stdout.write(known[package])


main()
