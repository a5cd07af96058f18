# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's machine protocol: commands to a running QEMU, and the events that it announces.

One JSON document per line in either direction (docs/interop/qmp-spec.txt of QEMU).
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any

ANSWER_SECONDS = 60.0


class QmpError(RuntimeError):
    """QEMU refused a command, or the line to it is out of order."""


class Qmp:
    """A connection to QEMU; `check_alive` raises when QEMU has gone."""

    def __init__(self, connection: socket.socket, check_alive: Callable[[], None]) -> None:
        self._connection = connection
        self._check_alive = check_alive
        self._received = bytearray()
        self._events: list[dict[str, Any]] = []
        greeting = self._document(time.monotonic() + ANSWER_SECONDS)
        if "QMP" not in greeting:
            raise QmpError(f"{greeting} is no greeting of QEMU")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its answer; `_` in an argument's name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        line = json.dumps({"execute": command, "arguments": named})
        self._connection.sendall(line.encode() + b"\n")
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._document(deadline)
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise QmpError(f"'{line}': {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name: str, timeout: float, **data: object) -> None:
        """Wait for an event with this data, among others, and forget it."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return
            self._events.append(self._document(deadline))

    def _document(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._received:
            self._receive(deadline)
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        return json.loads(line)

    def _receive(self, deadline: float) -> None:
        while not select.select([self._connection], [], [], 0.2)[0]:
            self._check_alive()
            if time.monotonic() > deadline:
                raise QmpError(f"QEMU is silent; events so far: {self._events}")
        data = self._connection.recv(65536)
        if not data:
            self._check_alive()
            raise QmpError("QEMU closed the line")
        self._received += data
