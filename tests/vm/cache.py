# SPDX-License-Identifier: GPL-2.0-only
"""Where the tests keep what they have downloaded: $SLUICE_CACHE, else ~/.cache/sluice."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def top() -> Path:
    """The folder of all that is kept."""
    chosen = os.environ.get("SLUICE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "sluice"


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Two test runs at a time must not unpack the same packages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
