# SPDX-License-Identifier: GPL-2.0-only
"""What a host would tell its guest: how much of its memory is resident, once a second.

    with Guest(kernel, host_port=True) as guest, HostFeed(guest):
        device = port(guest)

The numbers go through a port of virtio-serial, one per line, as docs/ab.md describes it.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from guest import HOST_PORT, Guest

PERIOD = 1.0


def port(guest: Guest) -> str:
    """The device in the guest; without udev there is no /dev/virtio-ports."""
    found = guest.check(f"grep -l '^{HOST_PORT}$' /sys/class/virtio-ports/*/name").split("/")
    return f"/dev/{found[-2]}"


class HostFeed:
    """Sends from `with` to the end of the block; what the guest does not take is lost."""

    def __init__(self, guest: Guest, period: float = PERIOD) -> None:
        self._guest = guest
        self._period = period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.lost = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        connection = self._guest.host_connection()
        while not self._ended.wait(self._period):
            try:
                connection.send(f"{self._guest.host_resident()}\n".encode())
                self.sent += 1
            except BlockingIOError:
                self.lost += 1
            except OSError:
                return  # the guest has gone; whoever uses it will notice
