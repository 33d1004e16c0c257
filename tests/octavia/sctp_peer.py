#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A member or a client of SCTP on a kernel without it: the whole protocol in user space (libusrsctp.so.2, Debian package
libusrsctp2) on raw sockets of the network namespace that this runs in. One at a time in each: what is not for one of them, it refuses for all (ABORT).

    sctp_peer.py serve NAME PORT ADDRESS [ADDRESS]  says "ready", answers each message with {"server", "peer", "said"}
    sctp_peer.py ask SOURCE ADDRESS PORT TEXT       an association of its own; prints the answer
"""

import ctypes
import json
import os
import socket
import struct
import sys
import threading

SCTP = 132
LIMIT_S = 20


class Stack:
    def __init__(self):
        self.library = ctypes.CDLL("libusrsctp.so.2", use_errno=True)
        for name in ("socket", "accept"):
            getattr(self.library, f"usrsctp_{name}").restype = ctypes.c_void_p
        for name in ("sendv", "recvv"):
            getattr(self.library, f"usrsctp_{name}").restype = ctypes.c_ssize_t
        # Without a port of UDP to put packets into: on raw sockets.
        self.library.usrsctp_init(ctypes.c_uint16(0), None, None)

    def call(self, name, *arguments):
        """Pointers as integers."""
        result = getattr(self.library, f"usrsctp_{name}")(*[ctypes.c_void_p(one) if isinstance(one, int) and one > 0xffff else one
            for one in arguments])
        if result is None or result < 0:
            raise OSError(ctypes.get_errno(), f"usrsctp_{name}: {os.strerror(ctypes.get_errno())}")
        return result

    def open(self, address, port):
        """A socket on this address alone: who has several offers all, also those that the other side cannot reach."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        opened = self.call("socket", family, socket.SOCK_STREAM, SCTP, None, None, 0, None)
        self.call("bind", opened, *pack(address, port))
        return opened

    def send(self, to, data):
        self.call("sendv", to, data, ctypes.c_size_t(len(data)), None, 0, None, 0, 0, 0)

    def receive(self, source):
        """b"" at the end."""
        data = ctypes.create_string_buffer(65536)
        nothing = ctypes.create_string_buffer(256)
        size, info_size = ctypes.c_uint32(128), ctypes.c_uint32(128)
        kind, flags = ctypes.c_uint(0), ctypes.c_int(0)
        count = self.call("recvv", source, data, ctypes.c_size_t(len(data)), nothing, ctypes.byref(size),
            ctypes.byref(nothing, 128), ctypes.byref(info_size), ctypes.byref(kind), ctypes.byref(flags))
        return data.raw[:count]

    def accept(self, listening):
        """(association, who made it)"""
        address, size = ctypes.create_string_buffer(128), ctypes.c_uint32(128)
        return self.call("accept", listening, address, ctypes.byref(size)), unpack(address.raw)


    def close(self, opened):
        self.library.usrsctp_close(ctypes.c_void_p(opened))


def pack(address, port):
    """struct sockaddr_in or sockaddr_in6, and its size."""
    if ":" in address:
        raw = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, address), 0)
    else:
        raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(address))
    return raw, len(raw)


def unpack(raw):
    if struct.unpack_from("=H", raw)[0] == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, raw[8:24])
    return socket.inet_ntoa(raw[4:8])


def serve(name, port, *addresses):
    stack = Stack()
    listening = [stack.open(address, int(port)) for address in addresses]
    for one in listening:
        stack.call("listen", one, 16)

    def answer(association, peer):
        try:
            while data := stack.receive(association):
                stack.send(association, json.dumps({"server": name, "peer": peer, "said": data.decode()}).encode())
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        stack.close(association)

    def accept(one):
        while True:
            threading.Thread(target=answer, args=stack.accept(one), daemon=True).start()
    for one in listening:
        threading.Thread(target=accept, args=(one,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def ask(source, address, port, text):
    stack = Stack()
    # The library's own time to give an association up is minutes.
    threading.Timer(LIMIT_S, lambda: os._exit(1)).start()
    association = stack.open(source, 0)
    stack.call("connect", association, *pack(address, int(port)))
    stack.send(association, text.encode())
    print(stack.receive(association).decode(), flush=True)
    stack.close(association)
    # It has ended when its SHUTDOWN was answered.
    while stack.library.usrsctp_finish() != 0:
        threading.Event().wait(0.01)
    os._exit(0)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
