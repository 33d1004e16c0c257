# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal, as a person sees it: a pseudo-terminal and the screen that its control sequences make."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from processes import end, wait_for

SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """What the sequences of api/client/screen.c leave on the glass; others are taken for colours."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.other = False   # the alternate screen
        self.cursor = True
        self.wraps = True
        self.drawing = False  # between the beginning of a picture and its end
        self.lines = [""]
        self.row = self.column = 0
        self.rest = ""

    def feed(self, text):
        text, self.rest = self.rest + text, ""
        position = 0
        while position < len(text):
            match = SEQUENCE.match(text, position)
            if match:
                self.obey(*match.groups())
                position = match.end()
            elif text[position] == "\x1b":
                self.rest = text[position:]
                return
            else:
                self.put(text[position])
                position += 1

    def obey(self, private, argument, final):
        if private:
            on = final == "h"
            if argument == "1049":
                self.other, self.lines, self.row, self.drawing = on, [""], 0, False
            elif argument == "25":
                self.cursor = on
            elif argument == "7":
                self.wraps = on
        elif final == "H":
            self.row = 0
            self.column = 0
            self.drawing = True
        elif final == "K":
            at = self.column if self.wraps else min(self.column, self.columns - 1)
            self.lines[self.row] = self.lines[self.row][:at]
        elif final == "J":
            self.lines = self.lines[:self.row + 1]
            self.drawing = False

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            while len(self.lines) <= self.row:
                self.lines.append("")
        else:
            # Without wrapping the last column takes what does not fit, one after the other.
            at = self.column if self.wraps else min(self.column, self.columns - 1)
            line = self.lines[self.row].ljust(at)
            self.lines[self.row] = line[:at] + character + line[at + 1:]
            self.column = at + 1

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)


class Terminal:
    """A process in the foreground of a terminal of its own."""

    def __init__(self, command, rows=24, columns=100, env=None):
        self.leader, follower = pty.openpty()
        self.before = termios.tcgetattr(follower)
        self.follower = follower
        self.screen = Screen(rows, columns)
        self.resize(rows, columns)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([str(c) for c in command], stdin=follower, stdout=follower, stderr=follower,
            preexec_fn=take_terminal, env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})})

    def resize(self, rows, columns):
        self.screen.rows, self.screen.columns = rows, columns
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.leader], [], [], 0)[0]:
            try:
                data = os.read(self.leader, 65536)
            except OSError:
                return
            if not data:
                return
            self.screen.feed(data.decode(errors="replace"))

    def wait_screen(self, condition, what, timeout=15):
        """Until condition(text of the screen); the text. A picture that has only come in part is no text yet."""
        def reads():
            self.read()
            return not self.screen.drawing and condition(self.screen.text) and self.screen.text
        try:
            return wait_for(reads, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen.text}") from None

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def wait_end(self, timeout=15):
        def ended():
            self.read()
            return self.process.poll() is not None
        wait_for(ended, timeout, "it ends")
        self.read()
        return self.process.returncode

    def is_restored(self):
        """Whether the terminal is as it was found."""
        return termios.tcgetattr(self.follower) == self.before and not self.screen.other and self.screen.cursor \
            and self.screen.wraps

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        end(self.process)
        os.close(self.leader)
        os.close(self.follower)
