# SPDX-License-Identifier: GPL-2.0-only
"""Host side of the command channel to a guest; channel.sh describes the protocol.

The line to the guest is an emulated serial port in raw mode.  One command is under way at a time,
and a checksum shows when bytes were lost on the way.
"""

from __future__ import annotations

import base64
import hashlib
import math
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

# The guest buffers at most 64 KiB (the default limit of a tty) while its shell reads the line.
MAX_LINE = 48 * 1024
# For the answer to arrive after the guest has ended the command, on a busy host.
GRACE_SECONDS = 60.0
EXIT_SECONDS = 10.0
STATUS_KILLED = 128 + 9


class ChannelError(RuntimeError):
    """The channel is out of step or silent; nothing can be asked of this guest any more."""


class CommandTimeout(RuntimeError):
    """The guest killed a command that ran too long; the channel still works."""


@dataclass(frozen=True)
class Result:
    """Exit status and output (stdout and stderr) of a command."""

    rc: int
    out: str


class Channel:
    """Runs commands; `check_alive` raises when the guest has gone."""

    def __init__(self, connection: socket.socket, check_alive: Callable[[], None]) -> None:
        self._connection = connection
        self._check_alive = check_alive
        self._received = bytearray()
        self._last_id = 0
        self._broken = False

    def wait_ready(self, timeout: float) -> str:
        """Wait for a fresh guest and return its kernel release."""
        word, _, release = self._line(time.monotonic() + timeout).partition(" ")
        if word != "ready":
            raise self._fail(f"'{word}' instead of 'ready'")
        return release

    def call(self, command: str, timeout: float) -> Result:
        """Run a shell script in the guest."""
        limit = math.ceil(timeout)
        self._last_id += 1
        started = time.monotonic()
        self.post(command, limit)
        result = self._answer(started + limit + GRACE_SECONDS)
        if result.rc == STATUS_KILLED and time.monotonic() - started >= limit:
            raise CommandTimeout(f"'{command}': not done after {limit} s; output: {result.out}")
        return result

    def post(self, command: str, limit: int = 10) -> None:
        """Send a command without waiting for its answer, which may never come."""
        if self._broken:
            raise ChannelError(f"'{command}': the channel failed before")
        encoded = base64.b64encode(command.encode()).decode()
        line = f"{self._last_id} {limit} {encoded}\n".encode()
        if len(line) > MAX_LINE:
            raise ValueError(f"command of {len(line)} encoded bytes, {MAX_LINE} are possible")
        try:
            self._connection.sendall(line)
        except ConnectionError as error:
            raise self._closed() from error

    def _answer(self, deadline: float) -> Result:
        header = self._line(deadline)
        fields = header.split()
        if len(fields) != 4 or fields[0] != str(self._last_id):
            raise self._fail(f"'{header}' is no answer to command {self._last_id}")
        data = self._take(int(fields[2]), deadline)
        if hashlib.md5(data).hexdigest() != fields[3]:
            raise self._fail(f"answer {self._last_id} of {len(data)} bytes arrived damaged")
        return Result(int(fields[1]), data.decode(errors="replace"))

    def _line(self, deadline: float) -> str:
        while b"\n" not in self._received:
            self._receive(deadline)
        return self._take(self._received.index(b"\n") + 1, deadline).decode(errors="replace")[:-1]

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            self._receive(deadline)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _receive(self, deadline: float) -> None:
        """Take what has arrived, looking after the guest while nothing does."""
        while not select.select([self._connection], [], [], 0.2)[0]:
            self._check_alive()
            if time.monotonic() > deadline:
                raise self._fail(f"the guest is silent, received so far: {self._received!r}")
        try:
            data = self._connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise self._closed()
        self._received += data

    def _closed(self) -> ChannelError:
        """QEMU closes the line on its way out, a moment before it has gone."""
        deadline = time.monotonic() + EXIT_SECONDS
        while time.monotonic() < deadline:
            self._check_alive()
            time.sleep(0.05)
        return self._fail("the line was closed")

    def _fail(self, reason: str) -> ChannelError:
        self._broken = True
        return ChannelError(reason)
