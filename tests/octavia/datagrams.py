# SPDX-License-Identifier: Apache-2.0
"""Members and clients of UDP and SCTP. A member answers what it is told with {"server", "peer", "said"}."""

import ctypes
import json
import pathlib
import socket
import subprocess
import threading

from netns import IP
from processes import wait_for

END = b"end of this member"
SCTP_PEER = pathlib.Path(__file__).with_name("sctp_peer.py")


class UdpServer:
    def __init__(self, host, port):
        self.host, self.port, self.sockets = host, port, []
        self.start()

    def start(self):
        for address in self.host.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            opened = self.host.namespace.inside(socket.socket, family, socket.SOCK_DGRAM)
            opened.bind((address, self.port))
            self.sockets.append(opened)
            threading.Thread(target=self._serve, args=(opened,), daemon=True).start()

    def _serve(self, opened):
        with opened:
            while True:
                said, peer = opened.recvfrom(2048)
                if said == END:
                    return
                opened.sendto(json.dumps({"server": self.host.name, "peer": peer[0], "said": said.decode()}).encode(), peer)

    def stop(self):
        """Who asks is told that nobody listens (ICMP)."""
        for opened in self.sockets:
            opened.sendto(END, opened.getsockname())
        wait_for(lambda: all(opened.fileno() < 0 for opened in self.sockets), 10, "nobody listens")
        self.sockets = []


def ask_udp(client, source, address, port, text, timeout=20):
    """One datagram from a port of its own; what the member answered."""
    opened = client.namespace.inside(socket.socket, socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with opened:
        opened.settimeout(timeout)
        opened.bind((source, 0))
        opened.connect((address, port))
        opened.send(text.encode())
        return json.loads(opened.recv(2048))


def sctp_is_missing():
    """Why there can be no members of SCTP here, or None."""
    try:
        ctypes.CDLL("libusrsctp.so.2")
    except OSError:
        return "libusrsctp.so.2 is not installed (Debian package libusrsctp2)"
    return None


class SctpServer:
    def __init__(self, host, port):
        self.host, self.port, self.process = host, port, None
        self.start()

    def start(self):
        self.process = subprocess.Popen([IP, "netns", "exec", self.host.namespace.name, "/usr/bin/python3", str(SCTP_PEER), "serve",
            self.host.name, str(self.port), *self.host.addresses], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.kill()
        self.process.wait()


def ask_sctp(client, source, address, port, text):
    """One message in an association of its own; what the member answered."""
    done = client.namespace.run("/usr/bin/python3", str(SCTP_PEER), "ask", source, address, str(port), text, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
