# SPDX-License-Identifier: Apache-2.0
"""A machine, as far as its network goes: mount and network namespaces of its own, with a private /run, so that the fixed
name of the amphora's namespace is only its own. Ports are veth pairs; their other ends are in a namespace "world" inside.
Fixtures start either agent on such a machine."""

import ctypes
import functools
import json
import os
import subprocess
import threading

import pytest

import python_agent
from octavia_driver import OctaviaAgent
from processes import die_with_parent, wait_for

NAMESPACE = "amphora-haproxy"
PREPARE = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && ip netns add world && " \
    "ip -n world link set lo up && echo ready && exec sleep infinity"
libc = ctypes.CDLL(None, use_errno=True)


@functools.lru_cache
def why_not():
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        trial = subprocess.run(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c",
            "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add world && "
            "ip link add name a type veth peer name b"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare is not installed"
    return f"namespaces cannot be made here: {trial.stderr.strip()}" if trial.returncode else None


class Machine:
    """Around a process that holds the namespaces: one that is given, or one of its own."""

    def __init__(self, process=None):
        self.process = process
        if process is None:
            self.process = subprocess.Popen(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", PREPARE],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            assert self.process.stdout.readline() == "ready\n"
        self.enter = ["nsenter", "-t", str(self.process.pid), "-m", "-n"]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def run(self, *command, check=True, timeout=60, **options):
        return subprocess.run([*self.enter, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=check, timeout=timeout, **options)

    def ip(self, *arguments, check=True):
        return self.run("ip", *arguments, check=check)

    def json(self, *arguments, namespace=NAMESPACE):
        output = self.ip(*(["-n", namespace] if namespace else []), "-j", *arguments, check=False).stdout
        return json.loads(output) if output.strip() else []

    def call(self, function, *arguments, namespace=None):
        """In a thread inside, or in a named namespace of this machine: the sockets that it opens are there."""
        path = f"/proc/{self.process.pid}/" + (f"root/run/netns/{namespace}" if namespace else "ns/net")
        result = []

        def run():
            try:
                fd = os.open(path, os.O_RDONLY)
                try:
                    assert libc.setns(fd, 0x40000000) == 0, os.strerror(ctypes.get_errno())
                finally:
                    os.close(fd)
                result.append((True, function(*arguments)))
            except BaseException as error:  # handed over
                result.append((False, error))
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if not result[0][0]:
            raise result[0][1]
        return result[0][1]

    # Ports

    def plug(self, name, mac, up=True):
        """A port that the cloud has plugged; its other end is "w-NAME" in the world."""
        self.ip("link", "add", "name", name, "address", mac, "type", "veth", "peer", "name", f"w-{name}", "netns", "world")
        if up:
            self.ip("-n", "world", "link", "set", f"w-{name}", "up")

    def unplug(self, name):
        self.ip("-n", "world", "link", "del", f"w-{name}", check=False)

    # What is there

    def addresses(self, name, namespace=NAMESPACE):
        """"ADDRESS/PREFIX" without IPv6's link-local ones."""
        return sorted(f"{a['local']}/{a['prefixlen']}" for link in self.json("address", "show", "dev", name,
            namespace=namespace) for a in link.get("addr_info", []) if not a["local"].startswith("fe80:"))

    def routes(self, name=None):
        """Of all tables but the kernel's own."""
        found = []
        for version in ("-4", "-6"):
            for route in self.json(version, "route", "show", "table", "all"):
                if route.get("table") == "local" or route["dst"].startswith("fe80:") or name not in (None, route.get("dev")):
                    continue
                found.append({"version": version, **{key: route.get(key) for key in ("dst", "gateway", "dev", "protocol",
                    "scope", "prefsrc", "metric", "flags")}, "table": route.get("table", "main")})
        return sorted(found, key=json.dumps)

    def rules(self):
        found = [{key: rule.get(key) for key in ("priority", "src", "srclen", "table")}
            for version in ("-4", "-6") for rule in self.json(version, "rule") if rule.get("src") != "all"]
        return sorted(found, key=json.dumps)

    def state(self):
        """All that an agent makes of the namespace."""
        links = [{key: link[key] for key in ("ifname", "mtu", "address")} | {"up": "UP" in link["flags"]}
            for link in self.json("link") if link["ifname"] != "lo"]
        return {"links": sorted(links, key=json.dumps), "routes": self.routes(), "rules": self.rules(),
            "addresses": {link["ifname"]: self.addresses(link["ifname"]) for link in links}}


class MachineAgent(OctaviaAgent):
    """An amphorad that runs on the machine."""

    def __init__(self, machine, **options):
        self.machine = machine
        super().__init__(**options)
        self.interfaces = self.folder / "interfaces"

    def write_config(self, amphorad="", *unused):
        super().write_config(f"network_namespace = {NAMESPACE}\n{amphorad}")
        self.config.write_text(self.config.read_text().replace("network_namespace =\n", "", 1) +
            f"[amphora_agent]\nagent_server_network_dir = {self.folder / 'interfaces'}\n")

    def start(self, **options):
        return super().start(wrapper=self.machine.enter, **options)

    def rest(self, *arguments, **options):
        return self.machine.call(lambda: super(MachineAgent, self).rest(*arguments, **options))

    @property
    def plugged(self):
        return self.state / "plugged_interfaces"

    def interface(self, *arguments, program=None, check=False, inside=False):
        """amphora-interface."""
        import amphora
        enter = ["ip", "netns", "exec", NAMESPACE] if inside else []
        return self.machine.run(*enter, program or amphora.BUILD / "amphora-interface", "--config-file", self.config,
            "--config-file", self.agent_config, *arguments, check=check, env=self.environment())


class MachinePythonAgent(python_agent.PythonAgent):
    """Octavia's, on a machine of its own."""

    def __init__(self, **options):
        super().__init__(network=True, **options)
        self.interfaces = self.folder / "octavia/interfaces"
        self.plugged = self.folder / "varlib/plugged_interfaces"

    def start(self):
        self.spawn()
        self.machine = Machine(self.process)

        def prepared():
            assert self.process.poll() is None, self.log
            return self.machine.run("ip", "netns", "list", check=False).stdout.count("world")
        wait_for(prepared, 30, "the sandbox is ready")
        wait_for(lambda: self.machine.call(self.listening), 60, "the Python agent listens")
        return self

    def rest(self, *arguments, **options):
        return self.machine.call(lambda: super(MachinePythonAgent, self).rest(*arguments, **options))


@pytest.fixture
def machines():
    if why_not():
        pytest.skip(why_not())
    made = []

    def make():
        made.append(Machine())
        return made[-1]
    yield make
    for machine in made:
        machine.close()
