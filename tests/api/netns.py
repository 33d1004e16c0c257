# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of a test, under names of their own below /run/netns, veth pairs between them, and sockets inside.
Needs root and iproute2; need_namespaces() skips without."""

import ctypes
import functools
import json
import os
import subprocess
import threading
import uuid

import pytest

from amphora import find_program

CLONE_NEWNET = 0x40000000
IP = find_program("ip")
NFT = find_program("nft")
libc = ctypes.CDLL(None, use_errno=True)


@functools.lru_cache
def _problem():
    if os.geteuid() != 0:
        return "network namespaces need root"
    if IP is None:
        return "ip is not installed (package iproute2)"
    name = new_name()
    trial = subprocess.run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if trial.returncode:
        return f"no network namespace can be made here: {trial.stderr.strip()}"
    subprocess.run([IP, "netns", "delete", name], check=True)
    return None


def need_namespaces():
    if _problem():
        pytest.skip(_problem())


def need_nft():
    need_namespaces()
    if NFT is None:
        pytest.skip("nft is not installed (package nftables)")


def new_name():
    return f"amphorad-test-{uuid.uuid4().hex[:12]}"


def inside(name, function, *arguments):
    """Calls the function in a thread inside the namespace; sockets that it opens stay there."""
    result = []

    def run():
        try:
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            finally:
                os.close(fd)
            result.append((True, function(*arguments)))
        except BaseException as error:  # handed over to the caller
            result.append((False, error))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    good, value = result[0]
    if not good:
        raise value
    return value


def namespace_of(pid):
    """What distinguishes a process's network namespace."""
    return os.readlink(f"/proc/{pid}/ns/net")


class Namespace:
    def __init__(self, name=None):
        self.name = name or new_name()

    def create(self):
        subprocess.run([IP, "netns", "add", self.name], check=True)
        self.ip("link", "set", "lo", "up")
        # No duplicate can be there, and the detection takes seconds.
        for which in ("all", "default"):
            self.sysctl(f"net.ipv6.conf.{which}.accept_dad", "0")
        return self

    @property
    def exists(self):
        return os.path.exists(f"/run/netns/{self.name}")

    def delete(self):
        if self.exists:
            subprocess.run([IP, "netns", "delete", self.name], check=True)

    @property
    def identity(self):
        return inside(self.name, os.readlink, "/proc/thread-self/ns/net")

    def inside(self, function, *arguments):
        return inside(self.name, function, *arguments)

    def run(self, *command, check=True, **options):
        return subprocess.run([IP, "netns", "exec", self.name, *command], stdin=options.pop("stdin", subprocess.DEVNULL),
            capture_output=True, text=True, check=check, timeout=30, **options)

    def ip(self, *arguments, check=True):
        return subprocess.run([IP, "-n", self.name, *arguments], capture_output=True, text=True, check=check)

    def sysctl(self, key, value):
        def write():
            with open(f"/proc/sys/{key.replace('.', '/')}", "w", encoding="ascii") as file:
                file.write(value)
        self.inside(write)

    def ruleset(self):
        """Everything that nft knows there, as JSON objects without the first, which is about nft itself."""
        return json.loads(self.run(NFT, "-j", "list", "ruleset").stdout)["nftables"][1:]


class Wire:
    """A veth pair: "eth1" in the amphora's namespace, "wire" in that of its neighbour."""

    def __init__(self, amphora, neighbour, here="eth1", there="wire"):
        self.amphora, self.neighbour = amphora, neighbour
        self.here, self.there = here, there
        subprocess.run([IP, "link", "add", here, "netns", amphora.name, "type", "veth", "peer", "name", there, "netns",
            neighbour.name], check=True)
        amphora.ip("link", "set", here, "up")
        neighbour.ip("link", "set", there, "up")

    def address(self, amphora=None, neighbour=None):
        """Gives "ADDRESS/PREFIX" to the ends."""
        for namespace, name, address in ((self.amphora, self.here, amphora), (self.neighbour, self.there, neighbour)):
            if address:
                more = ["nodad"] if ":" in address else []
                namespace.ip("address", "add", address, "dev", name, *more)
        return self

    def mac(self, namespace, name):
        return json.loads(namespace.ip("-j", "link", "show", name).stdout)[0]["address"]

    @property
    def mac_here(self):
        return self.mac(self.amphora, self.here)


@pytest.fixture
def namespaces():
    """Makes namespaces: namespaces() has a new name and exists, namespaces(create=False) only has a name."""
    need_namespaces()
    made = []

    def make(create=True):
        made.append(Namespace())
        return made[-1].create() if create else made[-1]
    yield make
    for namespace in made:
        namespace.delete()
