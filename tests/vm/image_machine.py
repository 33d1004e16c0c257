# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with the image of an amphora, as nova would make one: a copy of the image on a larger disk, a config
drive, a management port, and a port that is plugged while it runs. QEMU's user networking connects both to this host, so
that no rights are needed: 10.0.2.2 and 10.10.0.1 are this host's loopback, and ports of loopback lead into the machine."""

import pathlib
import subprocess
import time

from processes import wait_for
from qemu import Control, Door, write_drive

VIP, VRRP_IP, HOST = "10.10.0.9", "10.10.0.5", "10.10.0.1"
VIP_CIDR = "10.10.0.0/24"
MANAGEMENT_MAC, VIP_MAC = "fa:16:3e:00:00:01", "fa:16:3e:11:22:01"


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
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(pathlib.Path(image).resolve()), "-F",
            "raw", str(self.disk), "2G"], check=True)

    def make_drive(self, files):
        """A config drive, made as nova does it. "files": {path: text}."""
        write_drive(self.folder, files)
        # The other kind that nova makes ([DEFAULT] config_drive_format = vfat), under a name that is not looked for.
        with open(self.folder / "drive.vfat", "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["/usr/sbin/mkfs.fat", "-n", "OTHER", str(self.folder / "drive.vfat")], check=True,
            stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-s", "-i", str(self.folder / "drive.vfat"), str(self.folder / "drive/openstack"), "::/"], check=True)

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
        self.control = wait_for(lambda: self.running() and Control(self.folder / "qmp", self.patience), self.patience,
            "QEMU listens")
        self.door = Door(self.folder / "door", self.patience)

    def running(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"QEMU ended with {self.process.returncode}: {(self.folder / 'qemu.log').read_text()}")
        return True

    def plug(self):
        """The VIP's port, as nova plugs it."""
        self.control.run("device_add", **self._vip_arguments())
        self.plugged = True

    def run(self, command, check=True):
        return self.door.run(command, check)

    def shut_down(self):
        """The power button, as nova does it."""
        self.control.run("system_powerdown")
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
