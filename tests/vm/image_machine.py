# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with the image of an amphora, as nova would make one: a copy of the image on a larger disk, a config
drive, a management port, and a port that is plugged while it runs. QEMU's user networking connects both to this host, so
that no rights are needed: 10.0.2.2 and 10.10.0.1 are this host's loopback, and ports of loopback lead into the machine."""

import base64
import json
import pathlib
import socket
import subprocess
import time

from processes import wait_for

VIP, VRRP_IP, HOST = "10.10.0.9", "10.10.0.5", "10.10.0.1"
VIP_CIDR = "10.10.0.0/24"
MANAGEMENT_MAC, VIP_MAC = "fa:16:3e:00:00:01", "fa:16:3e:11:22:01"


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


class Machine:
    def __init__(self, image, folder, ports, accel="tcg", patience=240):
        """"ports": {"api", "tcp", "udp"} of this host's loopback."""
        self.folder = pathlib.Path(folder)
        self.ports = ports
        self.accel = accel
        self.patience = patience
        self.disk = self.folder / "disk.qcow2"
        self.console = self.folder / "console"
        self.process = None
        self.plugged = False
        self.count = 0
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(pathlib.Path(image).resolve()), "-F",
            "raw", str(self.disk), "2G"], check=True)

    def make_drive(self, files):
        """A config drive, made as nova does it. "files": {path: text}."""
        tree = self.folder / "drive"
        for path, text in files.items():
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        subprocess.run(["genisoimage", "-quiet", "-o", str(self.folder / "drive.iso"), "-ldots", "-allow-lowercase",
            "-allow-multidot", "-l", "-J", "-r", "-V", "config-2", str(tree)], check=True, capture_output=True)
        # The other kind that nova makes ([DEFAULT] config_drive_format = vfat), under a name that is not looked for.
        with open(self.folder / "drive.vfat", "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["/usr/sbin/mkfs.fat", "-n", "OTHER", str(self.folder / "drive.vfat")], check=True,
            stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-s", "-i", str(self.folder / "drive.vfat"), str(tree / "openstack"), "::/"], check=True)

    def _vip_arguments(self):
        return {"driver": "virtio-net-pci", "netdev": "vip", "mac": VIP_MAC, "id": "vip-port"}

    def start(self):
        management = f"user,id=management,hostfwd=tcp:127.0.0.1:{self.ports['api']}-:9443"
        vip = f"user,id=vip,net={VIP_CIDR},host={HOST},dhcpstart=10.10.0.100,dns=10.10.0.3," \
            f"hostfwd=tcp:127.0.0.1:{self.ports['tcp']}-{VIP}:80,hostfwd=udp:127.0.0.1:{self.ports['udp']}-{VIP}:5353"
        command = ["qemu-system-x86_64", "-no-user-config", "-nodefaults", "-M", "pc", "-accel", self.accel, "-cpu", "max",
            "-smp", "2", "-m", "1024", "-display", "none", "-vga", "std", "-serial", f"file:{self.console}",
            "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=door,path={self.folder}/door,server=on,wait=off",
            "-device", "virtserialport,chardev=door,name=door",
            "-drive", f"file={self.disk},if=virtio,format=qcow2,cache=unsafe",
            "-drive", f"file={self.folder}/drive.iso,if=ide,media=cdrom,readonly=on",
            "-drive", f"file={self.folder}/drive.vfat,if=virtio,format=raw,readonly=on",
            "-netdev", management, "-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC}", "-netdev", vip]
        if self.plugged:
            command += ["-device", ",".join(f"{key}={value}" for key, value in self._vip_arguments().items())]
        self.began = time.monotonic()
        with open(self.folder / "qemu.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.control = wait_for(lambda: self.running() and Wire(self.folder / "qmp", 30), 20, "QEMU listens")
        self.control.receive()
        self.qmp("qmp_capabilities")
        self.door = Wire(self.folder / "door", self.patience)

    def running(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"QEMU ended with {self.process.returncode}: {(self.folder / 'qemu.log').read_text()}")
        return True

    def qmp(self, command, **arguments):
        self.control.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            reply = json.loads(self.control.receive())
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def plug(self):
        """The VIP's port, as nova plugs it."""
        self.qmp("device_add", **self._vip_arguments())
        self.plugged = True

    def run(self, command, check=True):
        """Inside, as root."""
        self.count += 1
        self.door.send(f"{self.count} {base64.b64encode(command.encode()).decode()}")
        while True:
            number, status, *output = self.door.receive().split()
            if number == str(self.count):
                break
        text = base64.b64decode(output[0]).decode().rstrip("\n") if output else ""
        assert not check or status == "0", f"{command}: status {status}: {text}"
        return text

    def shut_down(self):
        """The power button, as nova does it."""
        self.qmp("system_powerdown")
        wait_for(lambda: self.process.poll() is not None, self.patience, "the machine is off", 0.2)
        self.close()

    def close(self):
        if self.process is None:
            return
        for wire in ("control", "door"):
            if hasattr(self, wire):
                getattr(self, wire).close()
                delattr(self, wire)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process = None
        for name in ("qmp", "door"):
            (self.folder / name).unlink(missing_ok=True)
