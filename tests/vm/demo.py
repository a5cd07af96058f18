# SPDX-License-Identifier: GPL-2.0-only
"""`make demo`: a real guest, its free memory, and what the host gets back, in about a minute.

A workload in the guest takes memory and frees it; sluiced decides when that is reported; beside
the guest's histogram stands what the host sees: the resident memory of the guest.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kernels
from guest import BUILD, MIB, Guest

KERNEL = "6.1"  # Debian 12's own
MEMORY_MIB = 1536
FILL_MIB = 800
ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
CONFIG = """# release once 64 MiB are free and unreported, until 8 MiB are left
strategy  = "threshold";
interval  = "1s";
threshold = { start = "64MiB"; stop = "8MiB"; min_age = "2s"; cooldown = "5s"; };
"""

LEFT = 45  # columns of the histogram
BAR = 26
CHART = 30  # looks in the chart beside it
STEP = 200 * MIB  # where no terminal repaints, a change of this size is worth a frame


def size(value: float) -> str:
    """Human-readable bytes."""
    if value < MIB:
        return f"{value / 1024:.0f} KiB"
    return f"{value / MIB:.0f} MiB" if value < 1000 * MIB else f"{value / MIB / 1024:.2f} GiB"


@dataclass
class Demo:
    """The guest, and what has been shown of it."""

    guest: Guest
    started: float = field(default_factory=time.monotonic)
    resident: list[int] = field(default_factory=list)
    shown_lines: int = 0
    terminal: bool = field(default_factory=sys.stdout.isatty)
    highest: int = 1
    recent: list[str] = field(default_factory=list)  # lines of the log that stay on a terminal
    painted: int = 0  # resident memory in the last frame

    def decisions(self) -> list[str]:
        """New lines of sluiced's log."""
        lines = self.guest.check("cat /tmp/sluiced.log").splitlines()
        new, self.shown_lines = lines[self.shown_lines:], len(lines)
        return new

    def hist(self) -> dict[str, Any]:
        """The histogram as sluice prints it for programs."""
        return json.loads(self.guest.check("sluice hist --json"))

    def status(self) -> dict[str, Any]:
        """The daemon's state."""
        return json.loads(self.guest.check("sluice --json status"))

    def sample(self, title: str, always: bool = False) -> None:
        """Look once; on a terminal every look is painted, elsewhere those that tell something."""
        self.resident.append(self.guest.host_resident())
        self.highest = max(self.highest, self.resident[-1])
        new = self.decisions()
        if self.terminal:
            print("\033[H\033[2J", end="")
        moved = abs(self.resident[-1] - self.painted) > STEP
        if self.terminal or always or new or moved:
            self.painted = self.resident[-1]
            self.recent = (self.recent + new)[-4:]
            self.paint(title, self.recent if self.terminal else new)

    def paint(self, title: str, log: list[str]) -> None:
        """One frame: histogram left, host right, decisions below."""
        seconds = time.monotonic() - self.started
        left, right = histogram(self.hist()), chart(self.resident[-CHART:], self.highest)
        print(f"{seconds:5.1f} s  {title}")
        for row in range(max(len(left), len(right))):
            one = left[row] if row < len(left) else ""
            two = right[row] if row < len(right) else ""
            print(f"{one:<{LEFT}.{LEFT}}  {two}")
        for line in log:
            print(textwrap.fill(line, 80, initial_indent="sluiced: ", subsequent_indent=" " * 9))
        print(flush=True)

    def watch(self, title: str, seconds: float, until: str = "") -> None:
        """Sample every second, for a time or until a line of the log says `until`."""
        deadline = time.monotonic() + seconds
        begun = self.count(until)
        while time.monotonic() < deadline:
            self.sample(title)
            if until and self.count(until) > begun:
                return
            time.sleep(0.6)

    def count(self, text: str) -> int:
        """Lines of the log with `text`."""
        return int(self.guest.run(f"grep -c '{text}' /tmp/sluiced.log").out)


def histogram(hist: dict[str, Any]) -> list[str]:
    """All zones together: free memory by order, # reported, + not yet."""
    page = hist["page_size"]
    free: dict[int, int] = {}
    told: dict[int, int] = {}
    for zone in hist["zones"]:
        for entry in zone["orders"]:
            order = entry["order"]
            free[order] = free.get(order, 0) + (entry["free_extents"] * page << order)
            told[order] = told.get(order, 0) + (entry["reported_extents"] * page << order)
    scale = BAR / max(sum(free.values()), 1)
    lines = ["order      free  # reported  + not yet"]
    for order in sorted(free, reverse=True):
        done = round(told[order] * scale)
        bar = "#" * done + "+" * (round(free[order] * scale) - done)
        lines.append(f"{order:5}  {size(free[order]):>8}  {bar}")
    return lines


def chart(samples: list[int], highest: int, height: int = 11) -> list[str]:
    """Resident memory of the guest on the host, one column per look."""
    lines = [f"on the host: {size(samples[-1])} resident"]
    for row in range(height, 0, -1):
        level = highest * row / height
        lines.append("|" + "".join("#" if sample >= level - highest / height / 2 else " "
                                   for sample in samples))
    return lines


def run(demo: Demo) -> dict[str, int]:
    """The story: hold, fill, free, decide, report; returns the figures of the summary."""
    guest = demo.guest
    before = int(guest.check(f"cat {ORDER}"))
    guest.check(f"mkdir -p /etc/sluice && cat >/etc/sluice/sluice.conf <<'END'\n{CONFIG}END\n")
    daemon = guest.spawn("sluiced", "/tmp/sluiced.log")
    guest.wait_for(lambda: guest.run("sluice status").rc == 0, 30, what="sluiced")
    demo.watch("the guest has booted; what it never used is reported once", 25, until="done:")
    workload = guest.spawn(f"workload fill {FILL_MIB}", "/tmp/workload.log")
    while "filled" not in guest.check("cat /tmp/workload.log"):
        demo.sample(f"a workload takes {FILL_MIB} MiB")
        time.sleep(0.4)
    demo.sample(f"the workload holds its {FILL_MIB} MiB", always=True)
    full = guest.host_resident()
    reported = demo.status()["tally"]["reported_bytes"]
    guest.stop(workload)
    demo.sample(f"the workload has freed its {FILL_MIB} MiB: the host does not know yet",
                always=True)
    demo.watch(f"{FILL_MIB} MiB were freed", 40, until="done:")
    demo.sample("the host has its memory back", always=True)
    reported = demo.status()["tally"]["reported_bytes"] - reported
    returned = full - guest.host_resident()
    held = int(guest.check(f"cat {ORDER}"))
    print(guest.check("sluice status"))
    guest.stop(daemon)
    for line in demo.decisions():
        print(f"sluiced: {line}")
    return {"reported": reported, "returned": returned, "before": before, "held": held,
            "after": int(guest.check(f"cat {ORDER}"))}


def main() -> int:
    static = BUILD / "static"
    kernel = kernels.fetch(KERNEL)
    files = {f"/bin/{name}": Path(static / name) for name in ("sluiced", "sluice", "workload")}
    print(f"booting Linux {kernel.version}: {MEMORY_MIB} MiB, virtio balloon. "
          f"Configuration:\n\n{CONFIG}", flush=True)
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files) as guest:
        found = run(Demo(guest))
    restored = found["after"] == found["before"]
    print(f"\nreported by the guest   {size(found['reported'])} of {FILL_MIB} MiB freed\n"
          f"returned to the host    {size(found['returned'])}\n"
          f"page_reporting_order    {found['before']} before, {found['held']} while held, "
          f"{found['after']} after: {'restored' if restored else 'NOT RESTORED'}")
    given = found["returned"] >= 0.9 * FILL_MIB * MIB
    if not given:
        print("the host did not get its memory back")
    return 0 if restored and given else 1


if __name__ == "__main__":
    sys.exit(main())
