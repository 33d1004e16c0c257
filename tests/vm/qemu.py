# SPDX-License-Identifier: Apache-2.0
"""What every virtual machine with the image of an amphora has: QEMU's sockets, and a config drive."""

import base64
import json
import socket
import subprocess
import time


class Wire:
    """Lines of text over one of QEMU's sockets."""

    def __init__(self, path, timeout):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def receive(self):
        line = self.stream.readline()
        if not line:
            raise ConnectionError("QEMU closed the connection")
        return line.decode()

    def close(self):
        self.stream.close()
        self.socket.close()


class Control:
    """QEMU's own socket (QMP): with Control(path, timeout) as qemu: qemu.run("system_reset")"""

    def __init__(self, path, timeout):
        self.wire = Wire(path, timeout)
        self.wire.receive()
        self.run("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def run(self, command, **arguments):
        self.wire.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            reply = json.loads(self.wire.receive())
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def close(self):
        self.wire.close()


class Door:
    """The way in that a test has (door/door)."""

    def __init__(self, path, timeout):
        self.wire = Wire(path, timeout)
        self.count = time.monotonic_ns()  # an answer may be for somebody before

    def run(self, command, check=True):
        """Inside, as root."""
        self.count += 1
        self.wire.send(f"{self.count} {base64.b64encode(command.encode()).decode()}")
        while True:
            number, status, *output = self.wire.receive().split()
            if number == str(self.count):
                break
        text = base64.b64decode(output[0]).decode().rstrip("\n") if output else ""
        assert not check or status == "0", f"{command}: status {status}: {text}"
        return text

    def close(self):
        self.wire.close()


def write_drive(folder, files):
    """FOLDER/drive.iso, a config drive as nova makes it. "files": {path: text or bytes}; they stay in FOLDER/drive."""
    tree = folder / "drive"
    for path, content in files.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    subprocess.run(["genisoimage", "-quiet", "-o", str(folder / "drive.iso"), "-ldots", "-allow-lowercase",
        "-allow-multidot", "-l", "-J", "-r", "-V", "config-2", str(tree)], check=True, capture_output=True)
