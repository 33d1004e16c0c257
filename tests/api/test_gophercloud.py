# SPDX-License-Identifier: Apache-2.0
"""gophercloud, the client of Terraform's provider and of Kubernetes' cloud provider, against one amphora; the program is
in tests/clients/gophercloud. Needs Go and its module proxy, or the module from an earlier run."""

import os
import shutil
import subprocess

import pytest

import amphora
import backends
from amphora import SOURCE, find_program
from processes import free_port

GO = find_program("go") or shutil.which("/usr/local/go/bin/go")
PROGRAM = SOURCE / "tests/clients/gophercloud"
DOWNLOAD_S = 60
BUILD_S = 480


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if GO is None:
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("gophercloud")
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(PROGRAM / name, folder)
    # The toolchain that is there, the pinned version; cgo and optimising would only cost time.
    environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", GOWORK="off", CGO_ENABLED="0")

    def go(*words, timeout):
        return subprocess.run([GO, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, check=False)
    try:
        done = go("mod", "download", timeout=DOWNLOAD_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the module proxy did not answer within {DOWNLOAD_S} s")
    if done.returncode != 0:
        pytest.skip(f"no module: {done.stderr.strip()[-300:]}")
    done = go("build", "-gcflags=all=-N -l", "-o", "drive", ".", timeout=BUILD_S)
    assert done.returncode == 0, done.stderr
    return folder / "drive"


@pytest.mark.limit(600)
def test_gophercloud(program, make_agent, origins):
    agent = make_agent()
    agent.add_http_door()
    agent.start()
    origin = origins("go", kind=backends.Origin)
    done = subprocess.run([program, f"http://127.0.0.1:{agent.http_port}", str(free_port()), str(origin.port)],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == "ok" and int(words[1]) > 100
    assert agent.get(amphora.LBS).json["loadbalancers"] == []
