# SPDX-License-Identifier: Apache-2.0
"""What stands behind a load balancer in a test: plain HTTP and TCP servers, and nginx as an ingress controller."""

import http.server
import json
import pathlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading

from amphora import find_program
from processes import die_with_parent, end, free_port, wait_for

NGINX = find_program("nginx")


class Origin:
    """An HTTP server that answers with its name, who asked and the headers it was sent. Health checks go to /health and
    are answered with "health_status"; they are not counted."""

    def __init__(self, name, port=None, address="127.0.0.1", context=None):
        """"context": an ssl.SSLContext of a server; it speaks HTTPS then and tells about the client's certificate."""
        self.name = name
        self.context = context
        self.port = port or free_port()
        self.address = address
        self.health_status = 200
        self.requests = 0
        self.checks = 0
        self.last_sni = None
        self.server = None
        self.thread = None

    def start(self):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30
            disable_nagle_algorithm = True

            def do_GET(self):
                status, body = 200, b""
                if self.path.startswith("/health"):
                    origin.checks += 1
                    status = origin.health_status
                else:
                    origin.requests += 1
                    headers = {}
                    for key, value in self.headers.items():
                        headers.setdefault(key.lower(), []).append(value)
                    said = {"server": origin.name, "client": self.client_address[0], "headers": headers,
                        "path": self.path}
                    if origin.context:
                        said["certificate"] = self.connection.getpeercert()
                        said["sni"] = origin.last_sni
                        said["version"] = self.connection.version()
                        said["cipher"] = self.connection.cipher()[0]
                        said["alpn"] = self.connection.selected_alpn_protocol()
                    body = json.dumps(said).encode()
                self.send_response(status)
                if self.path.startswith("/login"):
                    self.send_header("Set-Cookie", f"JSESSIONID=session-of-{origin.name}; path=/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 512
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass  # clients that go away

        Server.address_family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.server = Server((self.address, self.port), Handler)
        if self.context:
            # The handshake belongs to the thread of the connection: a health check that never ends one is no harm.
            self.context.sni_callback = lambda unused, name, context: setattr(origin, "last_sni", name)
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.server = None

    close = stop


class TcpOrigin:
    """Sends its name as the first line, then echoes. Keeps the first bytes of every connection."""

    def __init__(self, name, greet=True, port=None, address="127.0.0.1"):
        self.name = name
        self.port = port or free_port()
        self.first_bytes = []
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                if greet:
                    self.request.sendall(origin.name.encode() + b"\n")
                first = True
                while True:
                    try:
                        data = self.request.recv(65536)
                    except OSError:
                        return
                    if first:
                        origin.first_bytes.append(data)
                        first = False
                    if not data:
                        return
                    self.request.sendall(data)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass

        Server.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = Server((address, self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def start(self):
        self.thread.start()
        return self

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Nginx:
    """nginx set up as ingress-nginx does with use-proxy-protocol (or without), in the foreground, with an access log of
    "remote_addr proxy_protocol_addr status request_uri" a line. Every answer is its name."""

    def __init__(self, name, proxy_protocol=True, trusted="127.0.0.0/8", pair=None):
        """"pair": a certificate and key; it speaks HTTPS then, after the PROXY header if there is one."""
        self.name = name
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amphorad-nginx-"))
        self.folder.chmod(0o755)
        self.access_log = self.folder / "access.log"
        listen = (" ssl" if pair else "") + (" proxy_protocol" if proxy_protocol else "")
        tls = ""
        if pair:
            pair.save(self.folder / "pair.pem")
            tls = f"ssl_certificate {self.folder}/pair.pem;\n\t\tssl_certificate_key {self.folder}/pair.pem;"
        real_ip = f"set_real_ip_from {trusted};\n\t\treal_ip_header proxy_protocol;" if proxy_protocol else ""
        temp = "\n\t".join(f"{kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""\
daemon off;
master_process off;
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log info;
events {{ worker_connections 512; }}
http {{
	{temp}
	log_format addresses '$remote_addr $proxy_protocol_addr $status $request_uri';
	access_log {self.access_log} addresses;
	server {{
		listen 127.0.0.1:{self.port}{listen};
		{real_ip}
		{tls}
		default_type text/plain;
		location / {{ return 200 "{self.name} $remote_addr\\n"; }}
	}}
}}
""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"),
            "-e", str(self.folder / "error.log")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

        def listening():
            assert self.process.poll() is None, (self.folder / "error.log").read_text()
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        wait_for(listening, 10, "nginx listens")
        return self

    def log_of(self, path):
        """The log lines of requests for "path", split: [remote_addr, proxy_protocol_addr, status, path]."""
        if not self.access_log.exists():
            return []
        lines = [line.split(" ") for line in self.access_log.read_text().splitlines()]
        return [line for line in lines if line[3] == path]

    def wait_log(self, path, count=1):
        return wait_for(lambda: len(self.log_of(path)) >= count and self.log_of(path), 20, f"nginx logs {path}")

    def close(self):
        if self.process is not None:
            end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)
