# SPDX-License-Identifier: GPL-2.0-only
"""Test Anything Protocol: one line per check, and a count at the end."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable


class Skip(Exception):
    """A check that cannot run here; the text says why."""


class Tap:
    """Runs checks, in any thread, and prints their outcome; details stand below it."""

    def __init__(self) -> None:
        self.number = 0
        self.failed = 0
        self._lock = threading.Lock()

    def check(self, name: str, function: Callable[[], object]) -> bool:
        """Run one check: it passes unless it raises.  A text that it returns is printed."""
        started = time.monotonic()
        try:
            detail = function()
        except Skip as reason:
            self._print(True, f"{name} # SKIP {reason}", "")
            return True
        except Exception:  # pylint: disable=broad-except  # whatever it is, it failed the check
            self._print(False, name, traceback.format_exc())
            return False
        text = detail if isinstance(detail, str) else ""
        self._print(True, f"{name} ({time.monotonic() - started:.1f} s)", text)
        return True

    def _print(self, passed: bool, name: str, detail: str) -> None:
        with self._lock:
            self.number += 1
            self.failed += not passed
            lines = [f"{'ok' if passed else 'not ok'} {self.number} - {name}"]
            lines += [f"#   {line}" for line in detail.splitlines()]
            print("\n".join(lines), flush=True)

    def finish(self) -> int:
        """Print the plan; the exit status of the program."""
        print(f"1..{self.number}", flush=True)
        return 1 if self.failed else 0
