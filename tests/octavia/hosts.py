# SPDX-License-Identifier: Apache-2.0
"""Machines beside the amphorae: clients on the VIPs' network, and members that read the PROXY protocol."""

import http.client
import ipaddress
import json
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

import cloud
from netns import IP, Namespace

# For an answer of a machine that has other work, too.
ANSWER_S = 30
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Host:
    """A namespace with one interface on one of the networks."""

    def __init__(self, network, *addresses):
        self.address, self.addresses = addresses[0], addresses
        self.namespace = Namespace().create()
        net = cloud.NETWORKS[network]
        end = f"x{self.namespace.name[-12:]}"
        subprocess.run([IP, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", self.namespace.name],
            check=True)
        subprocess.run([IP, "link", "set", end, "master", net["bridge"], "up"], check=True)
        for address in addresses:
            prefix = cloud.find_subnet(cloud.subnet_of(address))[1]["cidr"].partition("/")[2]
            self.namespace.ip("address", "add", f"{address}/{prefix}", "dev", "eth0",
                *(["nodad"] if ":" in address else []))
        self.namespace.ip("link", "set", "eth0", "up")

    def close(self):
        self.namespace.delete()


class Reply:
    def __init__(self, connection):
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def said(self):
        """What the member saw."""
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)


class Client(Host):
    def __init__(self, *addresses):
        super().__init__("vip", *addresses)

    def connect(self, address, port, source=None, timeout=ANSWER_S):
        return self.namespace.inside(socket.create_connection, (address, port), timeout, source and (source, 0))

    def request(self, url, source=None, sni=None, timeout=ANSWER_S):
        """One request on a connection of its own; the reply, with the server's certificate in "certificate" (DER)."""
        parts = urllib.parse.urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        with self.connect(parts.hostname, parts.port, source, timeout) as connection:
            certificate = None
            if parts.scheme == "https":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = context.wrap_socket(connection, server_hostname=sni)
                certificate = connection.getpeercert(True)
            with connection:
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                connection.sendall(f"GET {path or '/'} HTTP/1.1\r\nHost: {sni or host}\r\nConnection: close\r\n\r\n".encode())
                reply = Reply(connection)
        reply.certificate = certificate
        return reply

    def get(self, url, **options):
        """What the member saw."""
        return self.request(url, **options).said

    def servers(self, url, count=8, **options):
        """The names of those that answered, in order."""
        return [self.get(url, **options)["server"] for _ in range(count)]


class Traffic:
    """Requests one after the other in a thread, from entering to leaving; none may fail."""

    def __init__(self, client, url, pause=0.05):
        self.client, self.url, self.pause, self.count, self.failures = client, url, pause, 0, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.ended.wait(self.pause):
            try:
                self.client.get(self.url)
                self.count += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.failures.append(f"{time.strftime('%T')} {error!r}")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.ended.set()
        self.thread.join()


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


class Server:
    """Answers HTTP requests with its name and what it was told; reads headers of the PROXY protocol where they are sent.
    Health checks (/health) are answered with "health" and not counted. With a TLS context it speaks HTTPS."""

    def __init__(self, host, address, port, context=None):
        self.host, self.address, self.port, self.context = host, address, port, context
        self.requests, self.health, self.server = 0, 200, None
        self.start()

    def start(self):
        this = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                # A client may hold its request back over restarts and updates of whatever is between.
                self.request.settimeout(600)
                if this.context:
                    self.request = this.context.wrap_socket(self.request, server_side=True)
                with self.request.makefile("rb") as stream, self.request:
                    this.serve(stream, self.client_address[0], self.request)

        class Listening(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in self.address else socket.AF_INET

            def handle_error(self, request, client_address):
                pass  # checks that go away

        # Its socket is made in the namespace and stays there.
        self.server = self.host.namespace.inside(Listening, (self.address, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, stream, peer, connection):
        proxy = read_proxy_header(stream)
        words = stream.readline(8192).split()
        headers = {}
        while line := stream.readline(8192).strip().decode("latin-1"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if len(words) < 2:
            return
        status = 200
        if words[1].startswith(b"/health"):
            status = self.health
        else:
            self.requests += 1
        body = json.dumps({"server": self.host.name, "peer": peer, "proxy": proxy, "headers": headers,
            "path": words[1].decode("latin-1")})
        connection.sendall(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Member(Host):
    """A machine with a server, on 8080; serve() makes more."""

    def __init__(self, name, *addresses, port=8080):
        super().__init__("member", *addresses)
        self.name, self.port, self.servers = name, port, []
        self.main = self.serve(port)

    def serve(self, port, address=None, context=None):
        self.servers.append(Server(self, address or self.address, port, context))
        return self.servers[-1]

    @property
    def requests(self):
        return self.main.requests

    def stop(self):
        self.main.stop()

    def start(self):
        self.main.start()

    def close(self):
        for server in self.servers:
            server.stop()
        super().close()
