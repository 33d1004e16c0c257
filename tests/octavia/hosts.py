# SPDX-License-Identifier: Apache-2.0
"""Machines beside the amphorae: clients on the VIPs' network, and members that read the PROXY protocol."""

import ipaddress
import json
import socket
import socketserver
import struct
import subprocess
import threading
import urllib.parse

import cloud
from netns import IP, Namespace

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Host:
    """A namespace with one interface on one of the networks."""

    def __init__(self, network, address):
        self.address = address
        self.namespace = Namespace().create()
        net = cloud.NETWORKS[network]
        end = f"x{self.namespace.name[-12:]}"
        subprocess.run([IP, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", self.namespace.name],
            check=True)
        subprocess.run([IP, "link", "set", end, "master", net["bridge"], "up"], check=True)
        self.namespace.ip("address", "add", f"{address}/{net['cidr'].partition('/')[2]}", "dev", "eth0")
        self.namespace.ip("link", "set", "eth0", "up")

    def close(self):
        self.namespace.delete()


class Client(Host):
    def __init__(self, address="10.44.0.200"):
        super().__init__("vip", address)

    def get(self, url):
        """One request on a connection of its own; what the member saw."""
        parts = urllib.parse.urlsplit(url)
        connection = self.namespace.inside(socket.create_connection, (parts.hostname, parts.port), 5)
        with connection, connection.makefile("rb") as answer:
            connection.sendall(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.hostname}\r\n\r\n".encode())
            head, _, body = answer.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 "), head
        return json.loads(body)


def read_proxy_header(stream):
    """(version, source, destination) of a PROXY protocol header at the start of the stream (proxy-protocol.txt 2.1 and
    2.2), None where there is none; addresses are None in a LOCAL one."""
    start = stream.peek(12)[:12]
    if start.startswith(b"PROXY "):
        words = stream.readline(108).decode("ascii").split()
        return (1, *words[2:4]) if len(words) == 6 else (1, None, None)
    if start == V2_SIGNATURE:
        command, family, length = struct.unpack("!BBH", stream.read(16)[12:])
        rest = stream.read(length)
        if command & 15 == 0:
            return (2, None, None)
        size = {0x11: 4, 0x21: 16}[family]
        return (2, *(str(ipaddress.ip_address(rest[i * size:(i + 1) * size])) for i in (0, 1)))
    return None


class Member(Host):
    """Answers HTTP requests with its name and what the PROXY protocol said; reads headers where they are sent. Health
    checks (/health) are answered but not counted."""

    def __init__(self, name, address, port=8080):
        super().__init__("member", address)
        self.name, self.port, self.requests, self.server = name, port, 0, None
        self.start()

    def start(self):
        member = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self):
                proxy = read_proxy_header(self.rfile)
                words = self.rfile.readline(8192).split()
                while self.rfile.readline(8192).strip():
                    pass
                if len(words) < 2:
                    return
                if not words[1].startswith(b"/health"):
                    member.requests += 1
                body = json.dumps({"server": member.name, "peer": self.client_address[0], "proxy": proxy})
                self.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # checks that go away

        # Its socket is made in the namespace and stays there.
        self.server = self.namespace.inside(Server, (self.address, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def close(self):
        self.stop()
        super().close()
