# SPDX-License-Identifier: GPL-2.0-only
"""A small Debian 12 with systemd, as an archive of its files: made by mmdebstrap(1), cached."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import cache
from archive import DEFAULT_MIRROR

SUITE = "bookworm"
# systemd, what is asked of it, and the libraries that sluice is linked with
PACKAGES = ("systemd-sysv", "udev", "procps", "libbpf1", "libconfig9", "libelf1", "libgsl27",
            "libjansson4")
# what nobody reads there; each byte has to be unpacked in an emulated guest
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")


class DistributionError(RuntimeError):
    """It can't be had."""


def fetch() -> Path:
    """The archive, a tar file."""
    final = cache.top() / "distribution" / f"{SUITE}.tar"
    wanted = final.with_suffix(".wanted")
    with cache.exclusive(final.with_suffix(".flock")):
        recipe = " ".join((*PACKAGES, *LEFT_OUT))
        if not final.exists() or not wanted.exists() or wanted.read_text() != recipe:
            _make(final)
            wanted.write_text(recipe)
    return final


def _make(final: Path) -> None:
    mirror = os.environ.get("SLUICE_MIRROR", DEFAULT_MIRROR).rstrip("/")
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{SUITE}-") as scratch:
        made = Path(scratch, final.name)
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}",
             *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
             # a mirror may stand still: its signature still says whose it is
             "--aptopt=Acquire::Check-Valid-Until false",
             SUITE, made, f"{mirror}/debian"],
            text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise DistributionError(f"mmdebstrap: {done.stderr[-2000:].strip()}")
        made.rename(final)
