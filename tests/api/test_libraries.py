# SPDX-License-Identifier: Apache-2.0
"""Libraries that are loaded when they are needed (agent/base/library.h): not before, not where they are missing."""

import json
import pathlib
import re
import struct
import subprocess

import amphora
from octavia_driver import amp, make_amphora, remote, tls_door  # noqa: F401
from processes import wait_for

SONAMES = {"libnl-3.so.200", "libnl-route-3.so.200", "libnl-genl-3.so.200", "libsystemd.so.0"}
# Packages that have them.
DEBIAN = {"libnl-3-200", "libnl-route-3-200", "libnl-genl-3-200", "libsystemd0"}
FEDORA = {"libnl3", "systemd-libs"}
LOOPBACK = "/1.0/interface/127.0.0.1"


def loaded(agent):
    maps = pathlib.Path(f"/proc/{agent.process.pid}/maps").read_text()
    return {name for name in SONAMES if re.search(rf"/{re.escape(name)}(\.|\s|$)", maps, re.MULTILINE)}


def start(agent, **environment):
    """Without systemd, so that the socket has to be waited for."""
    agent.start(env=environment, wait=False)
    wait_for(lambda: "is ready" in agent.log, 30, "amphorad is ready")


def test_none_is_there_that_is_not_needed(make_amphora):
    agent = make_amphora()
    start(agent, NOTIFY_SOCKET="")
    assert agent.rest("GET", "/1.0/info").status == 200
    assert not loaded(agent)
    assert agent.rest("GET", LOOPBACK).json["interface"] == "lo"
    assert not loaded(agent)  # not any more


def test_systemd_is_answered(amp):
    assert loaded(amp) == {"libsystemd.so.0"}


def test_what_is_missing_is_said(make_amphora, tmp_path):
    for name in SONAMES:
        (tmp_path / name).write_text("no library")
    haproxy = tmp_path / "haproxy"  # is linked with libsystemd
    haproxy.write_text(f'#!/bin/sh\nunset LD_LIBRARY_PATH\nexec {amphora.HAPROXY} "$@"\n')
    haproxy.chmod(0o755)
    agent = make_amphora(haproxy_cmd=str(haproxy))
    start(agent, LD_LIBRARY_PATH=str(tmp_path))
    assert "NOTIFY_SOCKET is set, and systemd cannot be answered: the library libsystemd.so.0 cannot be loaded" in agent.log
    reply = agent.rest("GET", LOOPBACK)
    assert reply.status == 501 and "libnl-3.so.200 cannot be loaded" in reply.json["details"]
    assert agent.rest("GET", "/1.0/info").status == 200


def notes(program, folder):
    """What .note.dlopen says (https://systemd.io/ELF_DLOPEN_METADATA/)."""
    file = folder / "notes"
    subprocess.run(["objcopy", "--dump-section", f".note.dlopen={file}", str(program), str(folder / "copy")], check=True)
    data, found = file.read_bytes(), []
    while data:
        name_size, size, kind = struct.unpack("=III", data[:12])
        assert (name_size, kind, data[12:16]) == (4, 0x407c0c0a, b"FDO\0")
        found += json.loads(data[16:16 + size].rstrip(b"\0"))
        data = data[16 + -(-size // 4) * 4:]
    return found


def test_notes_and_packages(tmp_path):
    """Nothing else names these libraries: the tools that look for dependencies see linked ones."""
    found = notes(amphora.AMPHORAD, tmp_path)
    assert {soname for note in found for soname in note["soname"]} == SONAMES
    assert all(note["description"] and note["priority"] in ("required", "recommended", "suggested") for note in found)
    packaging = amphora.SOURCE / "packaging"
    depends = re.search(r"^Package: amphorad\n.*?^Depends:\n(.*?)^\w", (packaging / "debian/control").read_text(),
        re.MULTILINE | re.DOTALL).group(1)
    assert set(re.findall(r"^ (lib[\w-]+)", depends, re.MULTILINE)) == DEBIAN
    spec = (packaging / "rpm/amphorad.spec").read_text()
    assert FEDORA <= set(re.findall(r"^Requires: +([\w-]+)", spec, re.MULTILINE))
