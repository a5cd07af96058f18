# SPDX-License-Identifier: GPL-2.0-only
"""How large free memory is on the wire, by encoding: the table of docs/extents.md.

    python3 tests/bench/extents.py [--here] [--kernel NAME]

Boots a guest, brings its memory into several states and has `sluice extents` write each encoding
to /dev/null.  --here looks at the machine this runs on instead, as it is (as root).  Nothing is
asserted: this measures.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm")]

import kernels  # noqa: E402
from guest import BUILD, MIB, Guest  # noqa: E402

KERNEL = "6.12"
MEMORY_MIB = 4096
FRAGMENT_MIB = 3072
CHURN_MIB = 2560
RUNS = 5
SETTLE_SECONDS = 90
PAGE = 4096
PFN_BYTES = 4  # __virtio32 in the balloon's array of PFNs, drivers/virtio/virtio_balloon.c

SUMMARY = re.compile(r"(\d+) entries for ([\d.]+ \w+) of free memory .* (\d+) bytes in binary; "
                     r"found by (\w+) in ([\d.]+) (\w+), written in ([\d.]+) (\w+)")
SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
TIMES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}

# name, arguments; the second half shows no less than the bitmap can
ENCODINGS = (("ranges", "--format ranges"), ("orders", "--format orders"),
             ("ranges, order 9", "--format ranges --order 9"),
             ("orders, order 9", "--format orders --order 9"),
             ("bitmap", "--format bitmap"))

Run = Callable[[str], str]


@dataclass
class Measured:
    """One encoding in one state; the median of the runs."""

    entries: int
    size: int  # bytes
    free: int  # bytes of free memory that it describes
    scan_ms: float
    write_ms: float


def measure(run: Run, arguments: str) -> Measured:
    """`sluice extents --binary` some times over."""
    found = []
    for _ in range(RUNS):
        said = run(f"sluice extents --binary {arguments} --output /dev/null 2>&1")
        summary = SUMMARY.search(said)
        assert summary, said
        number, unit = summary[2].split()
        found.append(Measured(int(summary[1]), int(summary[3]), int(float(number) * SIZES[unit]),
                              float(summary[5]) * TIMES[summary[6]],
                              float(summary[7]) * TIMES[summary[8]]))
    return Measured(*(statistics.median(getattr(one, name) for one in found)
                      for name in Measured.__dataclass_fields__))


def size_text(size: float) -> str:
    """Three digits and a unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000 or unit == "GiB":
            return f"{size:.0f} {unit}" if size >= 100 or unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return ""


def show_state(name: str, run: Run, memory: int) -> str:
    """Print the sizes of one state; returns the row of its times."""
    found = {label: measure(run, arguments) for label, arguments in ENCODINGS}
    pages = found["ranges"].free // PAGE
    sizes = [found["ranges"].free, pages * PFN_BYTES, memory // PAGE // 8, found["ranges"].size,
             found["orders"].size, found["bitmap"].free, found["ranges, order 9"].size,
             found["orders, order 9"].size, found["bitmap"].size]
    print(f"| {name} | {' | '.join(map(size_text, sizes))} |", flush=True)
    times = [found["ranges"].scan_ms, found["ranges"].write_ms, found["orders"].write_ms,
             found["bitmap"].scan_ms, found["bitmap"].write_ms]
    return (f"| {name} | {found['ranges'].entries:.0f} | {found['orders'].entries:.0f} | "
            f"{' | '.join(f'{time:.3g}' for time in times)} |")


def show_head(title: str) -> None:
    """Print the head of the sizes."""
    print(f"{title}; median of {RUNS}\n\n"
          "| state | free | PFN list | bit per page | ranges | orders "
          "| free in whole pageblocks | ranges, order 9 | orders, order 9 | bitmap |\n"
          f"{'|---' * 10}|", flush=True)


def show_times(rows: list[str]) -> None:
    """Print the times of all states."""
    print("\n| state | ranges | orders | ms to find all | to write ranges | to write orders "
          "| ms to find whole pageblocks | to write a bitmap |\n"
          f"{'|---' * 8}|")
    print("\n".join(rows))


def fragmented(guest: Guest, keep_every: int) -> int:
    """A process that keeps one page of so many; its id."""
    log = f"/tmp/fragment{keep_every}"
    pid = guest.spawn(f"workload fragment {FRAGMENT_MIB} --keep-every {keep_every}", log)
    guest.wait_for(lambda: "fragmented" in guest.check(f"cat {log}"), 300, what="fragmented memory")
    return pid


def churn(guest: Guest) -> None:
    """Memory of several kinds taken and given back side by side: huge and small pages, processes,
    and files of which every second stays."""
    pids = [guest.spawn(f"workload churn {CHURN_MIB // 2} 20 {advice}", "/dev/null")
            for advice in ("--thp", "--no-thp")]
    guest.check("mkdir -p /tmp/churn; for i in $(seq 2000); do head -c $((i * 37 % 200))k "
                "/dev/zero >/tmp/churn/$i; done", timeout=300)
    for pid in pids:
        guest.wait_exit(pid, 300)
    guest.check("cd /tmp/churn; for i in $(seq 1 2 2000); do rm $i; done", timeout=300)


def show_guest(kernel_name: str) -> None:
    """All states, in a guest."""
    kernel = kernels.fetch(kernel_name)
    files = {f"/bin/{name}": BUILD / "static" / name for name in ("sluice", "workload")}
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files) as guest:
        def run(command: str) -> str:
            return guest.check(command, timeout=120)

        show_head(f"{MEMORY_MIB} MiB, Linux {kernel.version}, emulated")
        memory = MEMORY_MIB * MIB
        rows = [show_state("idle", run, memory)]
        for keep_every, what in ((1024, "4 MiB"), (16, "64 KiB"), (2, "8 KiB")):
            pid = fragmented(guest, keep_every)
            rows.append(show_state(f"{FRAGMENT_MIB // 1024} GiB, a page of each {what} in use",
                                   run, memory))
            guest.stop(pid)
        churn(guest)
        rows.append(show_state("after churn", run, memory))
    show_times(rows)


def show_here() -> None:
    """This machine as it is."""
    def run(command: str) -> str:
        return subprocess.run(["sh", "-c", command], text=True, capture_output=True, check=True,
                              env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}).stdout

    memory = os.sysconf("SC_PHYS_PAGES") * PAGE
    show_head(f"{size_text(memory)}, Linux {os.uname().release}")
    show_times([show_state("as it is", run, memory)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures encodings of free memory.")
    parser.add_argument("--here", action="store_true", help="this machine, not a guest")
    parser.add_argument("--kernel", default=KERNEL, help=f"of the guest (default {KERNEL})")
    options = parser.parse_args()
    if options.here:
        show_here()
    else:
        show_guest(options.kernel)


if __name__ == "__main__":
    main()
