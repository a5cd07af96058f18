# SPDX-License-Identifier: GPL-2.0-only
"""What sluice promises, on the other architecture: cross-built, in a guest with an arm64 kernel.

    python3 tests/vm/arm64.py

The checks are those of matrix.py.  Without the packages it takes (cross compiler, QEMU for arm64,
arm64 libraries and kernel) there is nothing to run, which is said and counted as skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
import sysroot  # noqa: E402
from archive import ArchiveError  # noqa: E402
from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from machine import MACHINES  # noqa: E402
from tap import Skip, Tap  # noqa: E402

ARCHITECTURE = "arm64"
KERNEL = "6.12-arm64"
REPOSITORY = Path(__file__).absolute().parents[2]
MACHINE = MACHINES[ARCHITECTURE]
STATIC = MACHINE.static().relative_to(REPOSITORY)
BUILD_SECONDS = 600


def prepare(fetched: list[Kernel]) -> str:
    """Get all that is not of the project; what cannot be had is skipped, loudly."""
    find_tools()
    try:
        sysroot.fetch(ARCHITECTURE)
    except ArchiveError as error:
        raise Skip(f"{ARCHITECTURE} was not tested, no libraries to link with: {error}") from error
    return matrix.fetch(KERNEL, fetched)


def find_tools() -> None:
    """The compiler and the emulator, which are packages of this machine."""
    tools = {f"{MACHINE.triplet}-gcc": f"gcc-{MACHINE.triplet}", MACHINE.qemu: MACHINE.package}
    missing = [f"'{tool}' (Debian package {package})" for tool, package in tools.items()
               if shutil.which(tool) is None]
    if missing:
        raise Skip(f"{ARCHITECTURE} was not tested: {', '.join(missing)} missing; as root: "
                   "sh tests/deps.sh")


def cross_build() -> None:
    """The static pair and the helpers, with the libraries of the other architecture."""
    done = subprocess.run(
        ["make", "-j2", f"CROSS={MACHINE.triplet}", f"SYSROOT={sysroot.fetch(ARCHITECTURE)}",
         *(str(STATIC / name) for name in matrix.PROGRAMS)],
        cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout


def run_guest(tap: Tap, kernel: Kernel) -> None:
    """A guest whose balloon reports, and what is promised of it."""
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files(MACHINE.static())) as guest:
        checks: list[tuple[str, Callable[[], object]]] = [
            ("hist equals buddyinfo and kpageflags", lambda: matrix.check_agreement(guest)),
            ("threshold holds, then gives back", lambda: matrix.check_threshold(guest)),
            ("events keep the map", lambda: matrix.check_events(guest)),
            ("restored at SIGTERM", lambda: matrix.check_restored_at_end(guest, "TERM")),
            ("restored after kill -9", lambda: matrix.check_restored_after_kill(guest, False)),
        ]
        for what, check in checks:
            tap.check(f"{kernel.name}: {what}", check)


def main() -> int:
    tap = Tap()
    fetched: list[Kernel] = []
    tap.check(f"{KERNEL}: packages", partial(prepare, fetched))
    if fetched and tap.check(f"{KERNEL}: cross build", cross_build):
        tap.check(f"{KERNEL}: guest runs", lambda: run_guest(tap, fetched[0]))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
