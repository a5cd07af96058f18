# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages of another architecture: the libraries to link with, and busybox for its guests.

They are unpacked into the cache and not installed, so that the package system of the machine
stays as it is (dpkg --add-architecture would have every library in both architectures move in
step).  The compiler and its C library are packages of the machine's own architecture.

    make static CROSS=aarch64-linux-gnu SYSROOT=$(python3 tests/vm/sysroot.py arm64)
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cache
from archive import Archive, ArchiveError
from machine import MACHINES

# The suite whose compiler links them, newest first.
SUITES = ("bookworm-security", "bookworm")
PACKAGES = ("libbpf-dev", "libelf-dev", "zlib1g-dev", "libconfig-dev", "libjansson-dev",
            "libgsl-dev", "busybox-static")


def fetch(architecture: str) -> Path:
    """The folder that holds the unpacked packages, from the cache or else from the archive."""
    folder = cache.top() / "sysroot" / architecture
    with cache.exclusive(folder.with_suffix(".flock")):
        wanted = folder / "wanted"
        if not wanted.exists() or wanted.read_text() != " ".join(PACKAGES):
            _unpack(architecture, folder)
    return folder


def _unpack(architecture: str, final: Path) -> None:
    """All of the packages or nothing."""
    archive = Archive(cache.top() / "apt" / f"sysroot-{architecture}", SUITES, architecture)
    archive.update()
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{architecture}-") as scratch:
        unpacked = Path(scratch, "unpacked")
        for name in PACKAGES:
            package = archive.newest(name)
            print(f"sysroot: {architecture}: {name} {package.version}", file=sys.stderr)
            deb = archive.download(package, Path(scratch))
            subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True)
            deb.unlink()
        (unpacked / "wanted").write_text(" ".join(PACKAGES))
        if final.exists():
            shutil.rmtree(final)
        unpacked.rename(final)


def main() -> int:
    """Print the folder."""
    others = [name for name, machine in MACHINES.items() if machine.triplet]
    parser = argparse.ArgumentParser(description="Fetch what cross-building needs.")
    parser.add_argument("architecture", choices=others)
    try:
        print(fetch(parser.parse_args().architecture))
    except ArchiveError as error:
        print(f"sysroot: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
