# SPDX-License-Identifier: Apache-2.0
"""openapi.yaml as others read it: schemathesis makes requests of it and judges the answers. It is in no distribution; the test
takes one from the PATH, or with AMPHORAD_SCHEMATHESIS=install the newest one of Python's package index."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from amphora import Agent, find_program

SECONDS = int(os.environ.get("AMPHORAD_REQUESTS_SECONDS", "25"))
CHECKS = ("status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance",
    "unsupported_method", "allow_header_conformance")
INSTALL_S = 240


def install(folder):
    """Of Debian's own Python and the first in PATH, the one that has venv and pip."""
    problem = "no Python has venv"
    for python in dict.fromkeys((shutil.which("python3") or sys.executable, sys.executable)):
        try:
            for command in ([python, "-m", "venv", folder], [folder / "bin/pip", "install", "--quiet", "schemathesis"]):
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=True)
            return folder / "bin/schemathesis"
        except subprocess.CalledProcessError as error:
            problem = (error.stderr or error.stdout).strip().splitlines()[-1:] or str(error)
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
    pytest.skip(f"schemathesis cannot be installed: {problem}")


@pytest.fixture(scope="module")
def schemathesis(tmp_path_factory):
    wish = os.environ.get("AMPHORAD_SCHEMATHESIS", "")
    if wish == "install":
        return install(tmp_path_factory.mktemp("schemathesis") / "venv")
    program = find_program(wish or "schemathesis")
    if program is None:
        pytest.skip("there is no schemathesis (AMPHORAD_SCHEMATHESIS=install takes it from Python's package index)")
    return program


@pytest.fixture
def running():
    agent = Agent()
    agent.add_http_door()
    with agent.serving():
        yield agent


def without_fields(document):
    """The query that asks for some fields only: which of them are in the reply no schema can say (contract.py can)."""
    if isinstance(document, dict):
        return {key: without_fields(value) for key, value in document.items()}
    if isinstance(document, list):
        return [without_fields(value) for value in document
            if not (isinstance(value, dict) and str(value.get("$ref", "")).lower().endswith("parameters/fields"))]
    return document


@pytest.mark.limit(600)
def test_schemathesis(schemathesis, running, note, tmp_path):
    """The doors for controllers are left out: they change the machine itself. That HAProxy cannot have a made-up address as
    its VIP is status 500, so that failures of the server are not looked for here (test_openapi_requests.py does)."""
    url = f"http://127.0.0.1:{running.http_port}"
    whole = running.get("/openapi.yaml").expect(200).text
    contract = tmp_path / "openapi.json"
    contract.write_text(json.dumps(without_fields(yaml.safe_load(whole)), default=str))
    assert whole.lower().count("parameters/fields") > 0 and "parameters/fields" not in contract.read_text().lower()
    done = subprocess.run([schemathesis, "run", str(contract), "--url", url, "--exclude-path-regex", "^/1[.]0",
        "--checks", ",".join(CHECKS), "--phases", "examples,fuzzing", "--max-time", str(SECONDS), "--max-examples", "10",
        "--seed", "1", "--warnings", "off", "--no-color"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS + 300, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found and found[1] == found[2] and int(found[1]) > 50, done.stdout[-6000:]
    note(f"{found[1]} requests")
    running.get("/healthz").expect(200)
