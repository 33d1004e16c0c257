# SPDX-License-Identifier: Apache-2.0
"""What the "openstack" command asks beside Octavia: an identity service that trusts everybody, and a network service that
knows the subnets. On loopback only."""

import http.client
import http.server
import json
import threading
import urllib.parse

import cloud
from control_plane import API_PORT, PATIENCE_S, PROJECT

PORT = 5000
ME = f"http://127.0.0.1:{PORT}"
ENVIRONMENT = {"OS_AUTH_URL": f"{ME}/v3", "OS_USERNAME": "test", "OS_PASSWORD": "test", "OS_PROJECT_NAME": "test",
    "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "OS_IDENTITY_API_VERSION": "3"}


def _token():
    services = (("identity", "/v3"), ("network", "/network"), ("load-balancer", "/load-balancer"))
    return {"token": {"methods": ["password"], "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": "2099-01-01T00:00:00.000000Z", "roles": [{"id": "a", "name": "admin"}],
        "user": {"id": "u" * 32, "name": "test", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": PROJECT, "name": "test", "domain": {"id": "default", "name": "Default"}},
        "catalog": [{"type": kind, "name": kind, "id": kind, "endpoints": [{"interface": "public", "region": "here",
            "region_id": "here", "url": ME + path, "id": kind}]} for kind, path in services]}}


def _subnets():
    return [{"id": subnet["id"], "name": f"{name}{'6' if ':' in subnet['cidr'] else ''}", "cidr": subnet["cidr"],
        "network_id": net["id"], "ip_version": 6 if ":" in subnet["cidr"] else 4, "gateway_ip": subnet["gateway"],
        "enable_dhcp": False} for name, net in cloud.NETWORKS.items() for subnet in net["subnets"]]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/load-balancer"):
            return self.forward(url, body)
        if url.path.rstrip("/") == "/v3":
            return self.answer(200, {"version": {"id": "v3.14", "status": "stable",
                "links": [{"rel": "self", "href": f"{ME}/v3/"}], "media-types": []}})
        if url.path == "/v3/auth/tokens":
            return self.answer(201, _token(), X_Subject_Token="token")
        if url.path.startswith("/network/v2.0/subnets"):
            asked = urllib.parse.parse_qs(url.query)
            wanted = asked.get("name", []) + asked.get("id", []) + url.path.split("/")[4:]
            found = [subnet for subnet in _subnets() if not wanted or subnet["name"] in wanted or subnet["id"] in wanted]
            one = len(url.path.split("/")) > 4
            return self.answer(200 if found or not one else 404, {"subnet": found[0]} if one and found else {"subnets": found})
        if url.path.rstrip("/") in ("/network", "/network/v2.0"):
            return self.answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT",
                "links": [{"rel": "self", "href": f"{ME}/network/v2.0/"}]}]})
        return self.answer(404, {"error": {"code": 404, "message": self.path}})

    def forward(self, url, body):
        connection = http.client.HTTPConnection("127.0.0.1", API_PORT, timeout=2 * PATIENCE_S)
        path = url.path.removeprefix("/load-balancer") or "/"
        connection.request(self.command, f"{path}?{url.query}" if url.query else path, body or None,
            {"Content-Type": "application/json", "X-Project-Id": PROJECT})
        reply = connection.getresponse()
        text = reply.read().replace(f"http://127.0.0.1:{API_PORT}/".encode(), f"{ME}/load-balancer/".encode())
        connection.close()
        self.answer(reply.status, text)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request

    def log_message(self, *unused):
        pass


class Identity:
    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
