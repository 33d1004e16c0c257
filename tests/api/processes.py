# SPDX-License-Identifier: Apache-2.0
"""What every test needs and the standard library lacks: ports, waiting, processes of our own."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import time

# How many times longer than usual things may take here, as with sanitizers.
TIME_FACTOR = int(os.environ.get("AMPHORAD_TIME_FACTOR", "1"))


class Ports:
    """Free loopback ports, below the kernel's ephemeral range so that no outgoing connection takes one.

    A UDP socket on the same number is held as a reservation for as long as this process lives: test programs that
    run side by side do not get in each other's way.
    """

    def __init__(self):
        self.reservations = {}

    def free(self):
        for _ in range(2000):
            port = random.SystemRandom().randrange(12000, 32000)
            if port in self.reservations:
                continue
            reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                reservation.bind(("127.0.0.1", port))
                with socket.socket() as probe:
                    probe.bind(("0.0.0.0", port))
            except OSError:
                reservation.close()
                continue
            self.reservations[port] = reservation
            return port
        raise RuntimeError("no free port found")


_ports = Ports()


def free_port():
    return _ports.free()


def wait_for(condition, timeout, what, interval=0.05):
    """Polls until condition() is true and returns what it returned. An OSError or AssertionError means "not yet"."""
    timeout *= TIME_FACTOR
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"after {timeout} s still not: {what} (last: {last!r})")
        time.sleep(interval)


def command_line(pid):
    """Its words; one that is empty for a process that has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def alive(pid):
    """Whether there is such a process and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def processes_naming(text):
    """Pids of processes whose command line holds "text", a folder that only one test uses."""
    pids = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            if any(text in argument for argument in command_line(int(entry))):
                pids.append(int(entry))
    return pids


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def is_stopped(pid):
    """All of its threads: one that is running notices a SIGSTOP some time later."""
    def state(thread):
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    try:
        return all(state(thread) in "TtZX" for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return not alive(pid)


@contextlib.contextmanager
def stopped(pids):
    """They hang meanwhile."""
    try:
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        wait_for(lambda: all(map(is_stopped, pids)), 20, "they have stopped")
        yield
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)


def end(process, timeout=5):
    """Ends a subprocess.Popen of ours: SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except Exception:
            process.kill()
            process.wait()


def die_with_parent():
    """For preexec_fn: a server of a test does not outlive a test run that was killed (prctl(PR_SET_PDEATHSIG))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
