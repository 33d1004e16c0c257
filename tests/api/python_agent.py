# SPDX-License-Identifier: Apache-2.0
"""Octavia's Python agent (Debian: octavia-agent) with the same handles as an amphorad, for comparison and to try the
tests themselves. It writes to fixed places and wants to be on an amphora: it gets a machine of namespaces."""

import functools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import amphora
from octavia_driver import TlsDoor
from processes import wait_for

PROGRAM = pathlib.Path("/usr/bin/amphora-agent")
USER_GROUP = pathlib.Path("/var/lib/octavia/haproxy-default-user-group.conf")  # of the package octavia-agent
SANDBOX = pathlib.Path(__file__).with_name("octavia_sandbox.py").resolve()
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


@functools.lru_cache
def why_not_run():
    """Why the Python agent cannot run here, None if it can."""
    if not PROGRAM.exists():
        return "octavia-agent is not installed"
    if os.geteuid() != 0:
        return "octavia-agent needs root"
    if not USER_GROUP.exists():
        return "octavia-agent is not installed"
    if subprocess.run(["/usr/bin/python3", "-c", "import gunicorn"], stderr=subprocess.DEVNULL, check=False).returncode:
        return "python3-gunicorn is not installed"
    folder = tempfile.mkdtemp()
    try:
        trial = subprocess.run([*NAMESPACES, "sh", "-c", f"mount --bind {folder} /etc/octavia"], check=False,
            stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return "unshare is not installed"
    finally:
        os.rmdir(folder)
    return "octavia-agent needs namespaces that cannot be made here" if trial.returncode else None


class PythonAgent(TlsDoor):
    """With "network", its machine has a network of its own (netmachine.py), in which it may plug ports."""

    def __init__(self, pki=None, amphora_id=None, network=False, **options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amphora-agent-"))
        self.folder.chmod(0o755)
        self.state = self.folder / "state"
        self.amphora_id = amphora_id or amphora.new_id()
        self.process = None
        self.namespaces = NAMESPACES + (["--net"] if network else [])
        for name in ("state", "system", "octavia", "shims") + (("varlib",) if network else ()):
            (self.folder / name).mkdir(mode=0o755)
        shims = ["octavia-agent-lvs-masquerade"] if network else ["ip"]
        for name in ("systemd", "systemctl", "service", "dpkg-query", *shims):
            shutil.copy(SANDBOX, self.folder / "shims" / name)
        self.prepare(pki, **options)
        self.agent_config = self.folder / "octavia/amphora-agent.conf"
        self.agent_config.write_text(self.agent_conf())

    def spawn(self):
        with open(self.folder / "agent.log", "ab") as log:
            self.process = subprocess.Popen([*self.namespaces, str(self.folder / "shims/systemd"), str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def listening(self):
        assert self.process.poll() is None, self.log
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True

    def start(self):
        self.spawn()
        wait_for(self.listening, 60, "the Python agent listens")
        return self

    @property
    def log(self):
        return (self.folder / "agent.log").read_text(errors="replace")

    def close(self):
        """unshare dies, its child (process 1 of the namespace) with it, all others with that."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
