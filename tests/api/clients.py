# SPDX-License-Identifier: Apache-2.0
"""The users of a load balancer in a test: single requests and continuous ones."""

import http.client
import json
import socket
import threading
import time


def fetch(port, path="/", source="127.0.0.1", headers=None, timeout=10, address="127.0.0.1"):
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout, source_address=(source, 0))
    try:
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def answer(port, path="/", **kwargs):
    """What an Origin said."""
    status, _, body = fetch(port, path, **kwargs)
    assert status == 200, (status, body)
    return json.loads(body)


def server_of(port, path="/", **kwargs):
    return answer(port, path, **kwargs)["server"]


class Load:
    """Threads that make one request after the other, each on a new connection, and keep every failure with its time."""

    def __init__(self, port, threads=3, timeout=10):
        self.port = port
        self.timeout = timeout
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.succeeded = []  # monotonic times
        self.failures = []   # (monotonic time, words)
        self.servers = {}
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                status, _, body = fetch(self.port, timeout=self.timeout)
                if status != 200:
                    raise OSError(f"status {status}: {body[:200]!r}")
                server = json.loads(body)["server"]
                with self.lock:
                    self.succeeded.append(time.monotonic())
                    self.servers[server] = self.servers.get(server, 0) + 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self.lock:
                    self.failures.append((time.monotonic(), f"began {began:.3f}: {type(error).__name__}: {error}"))
                time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_more(len(self.threads))
        return self

    def __exit__(self, *unused):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def wait_more(self, count, timeout=20):
        """Until "count" more requests were answered."""
        target = len(self.succeeded) + count
        deadline = time.monotonic() + timeout
        while len(self.succeeded) < target:
            assert time.monotonic() < deadline, f"no {count} answers in {timeout} s; failures: {self.failures[-5:]}"
            time.sleep(0.01)


class Session:
    """One long-lived TCP connection through the load balancer to a TcpOrigin."""

    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.file = self.socket.makefile("rwb")
        self.server = self.file.readline().decode().strip()

    def echo(self, text):
        self.file.write(text.encode() + b"\n")
        self.file.flush()
        assert self.file.readline().decode().strip() == text

    def close(self):
        self.file.close()
        self.socket.close()
