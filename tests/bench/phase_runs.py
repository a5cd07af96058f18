# SPDX-License-Identifier: GPL-2.0-only
"""One run of the phases benchmark: a fresh guest, a strategy, the load, and what the host saw."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sampling
from guest import BUILD, MIB, Guest
from kernels import Kernel
from matrix import BLOCK_ORDER, ORDER, Sluice, order_knob, parse_buddyinfo
from phase_names import BASELINE, CONTROL, STATIC_0
from sampling import GIB, Sample, Sampler
from tap import Skip

STATIC = BUILD / "static"
PROGRAMS = ("sluiced", "sluice", "phases")
PAGE = 4096

MEMORY_MIB = 1536
# what is measured besides all strategies that the daemon knows; name: strategy, order or None
FIXED: dict[str, tuple[str, int | None]] = {
    BASELINE: ("kernel", None), CONTROL: ("kernel", None), STATIC_0: ("kernel", 0)}
EXPECTED = ("threshold", "cycle", "burst", "slew", "trim", "ladder")

STEP_SECONDS = 600.0
# The guest's clock counts instructions, 4 ns each, and follows real time only while all CPUs are
# idle: how long a burst takes there depends on what the guest does and not on what else this
# machine does.  4 ns is about what emulation takes here, so that phases last as long on both sides.
CLOCK = ("-icount", "shift=2,sleep=on")
SETTLE_JOB_SECONDS = 0.22  # pause included
KHUGEPAGED = Path("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_collapsed")


@dataclass(frozen=True)
class Scale:
    """How much there is to do, and how long nothing."""

    warm_mib: int
    warm_jobs: int
    burst_jobs: int
    settle_jobs: int
    idle_seconds: float

    @classmethod
    def of(cls, factor: float, memory_mib: int) -> Scale:
        """1: about 80 s with the boot, on a machine of 2026 with nothing beside it."""
        def scaled(number: float) -> int:
            return max(round(number * factor), 1)

        return cls(round(0.4 * memory_mib * min(factor, 1)), scaled(25), scaled(100), scaled(20),
                   42 * factor)

    def seconds(self) -> float:
        """A run, roughly, by emulation."""
        return (10 + self.warm_mib / 130 + (self.warm_jobs + 2 * self.burst_jobs) * 0.1
                + self.settle_jobs * SETTLE_JOB_SECONDS + self.idle_seconds)


@dataclass(frozen=True)
class Entry:
    """What is compared: a strategy, by its name in tables, and the order limit at its start."""

    name: str
    strategy: str
    order: int | None


def known_strategies() -> list[str]:
    """Those of this build, out of what `sluice check` says to one that nobody knows."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write('strategy = "?";\n')
        file.flush()
        done = subprocess.run([STATIC / "sluice", "--json", "check", file.name], text=True,
                              capture_output=True, check=False)
    errors = json.loads(done.stdout)["errors"]
    names = re.findall(r'"(\w+)"', " ".join(errors))
    if "kernel" not in names:
        raise RuntimeError(f"'sluice check' names no strategies: {errors}")
    return names


def entries(wanted: list[str]) -> tuple[list[Entry], list[str]]:
    """What can be compared (of `wanted`, or all), and why the rest can't."""
    known = known_strategies()
    names = wanted or list(dict.fromkeys([*FIXED, *EXPECTED, *known]))
    found, skipped = [], []
    for name in names:
        strategy, order = FIXED.get(name, (name, None))
        if strategy in known:
            found.append(Entry(name, strategy, order))
        else:
            skipped.append(f"skipped: {name}: this build of sluiced knows {', '.join(known)}")
    return found, skipped


class Load:
    """The program of the load in the guest; it keeps what it has in use from step to step."""

    def __init__(self, guest: Guest, seed: int) -> None:
        self._guest = guest
        # a file system of its own: /tmp's would hold logs too
        guest.check("mkdir /tmp/files && mount -t tmpfs tmpfs /tmp/files && "
                    "mkfifo /tmp/steps /tmp/answers")
        guest.spawn(f"phases {seed} /tmp/files <>/tmp/steps 1<>/tmp/answers", "/tmp/phases.log")

    def step(self, line: str) -> dict[str, Any]:
        """Have one step done."""
        said = self._guest.check(f"echo '{line}' >/tmp/steps && read -r line </tmp/answers && "
                                 'echo "$line"', timeout=STEP_SECONDS)
        found: dict[str, Any] = json.loads(said)
        if "error" in found:
            raise RuntimeError(f"'{line}' in guest {self._guest.kernel.name}: {found['error']}")
        return found


def small_free_mib(guest: Guest) -> float:
    """Free memory in pieces below a pageblock."""
    zones = parse_buddyinfo(guest.check("cat /proc/buddyinfo"))
    return sum(count * PAGE << order for counts in zones.values()
               for order, count in enumerate(counts[:BLOCK_ORDER])) / MIB


def daemon_cpu(guest: Guest, pid: int) -> float:
    """CPU seconds of the daemon, as the guest sees them."""
    return int(guest.check(f"cat /proc/{pid}/schedstat").split()[0]) / 1e9


def complaints(log: str) -> list[str]:
    """Lines of the daemon's log that should not be there."""
    return [line for line in log.splitlines() if line.startswith(("error: ", "warning: "))]


def collapsed_mib() -> float:
    """Huge pages that the host has made out of small ones: where the guest had returned parts of
    them, those are back."""
    return int(KHUGEPAGED.read_text()) * 2 if KHUGEPAGED.exists() else 0.0


def set_order(guest: Guest, order: int) -> None:
    """As an administrator would."""
    if guest.run(f"echo {order} >{ORDER}").rc != 0:
        raise Skip(f"Linux {guest.kernel.version} does not take order {order}")


def run_phases(load: Load, guest: Guest, sampler: Sampler, scale: Scale) -> dict[str, Any]:
    """The measured part."""
    found: dict[str, dict[str, Any]] = {}
    borders: dict[str, tuple[Sample, Sample]] = {}

    def phase(name: str, function: Callable[[], dict[str, Any]]) -> None:
        first = sampler.take()
        said = function()
        borders[name] = first, sampler.take()
        found[name] = {key: said[key] for key in ("ns", "pgfault") if key in said}

    def idle() -> dict[str, Any]:
        time.sleep(scale.idle_seconds)
        return {}

    phase("burst1", lambda: load.step(f"burst {scale.burst_jobs}"))
    phase("settle", lambda: load.step(f"settle {scale.settle_jobs}"))
    phase("idle", idle)
    small = small_free_mib(guest)
    phase("burst2", lambda: load.step(f"burst {scale.burst_jobs}"))
    for name, (first, last) in borders.items():
        found[name] |= in_guest_time(sampling.phase(sampler.samples, first, last),
                                     found[name].get("ns"))
    whole = sampling.phase(sampler.samples, borders["burst1"][0], borders["burst2"][1])
    whole["gib_s"] = sum(figures["gib_s"] for figures in found.values())
    return {"phases": found, "whole": whole, "idle_small_free_mib": small}


def in_guest_time(figures: dict[str, float], ns: int | None) -> dict[str, float]:
    """GiB x s of a phase by the guest's clock: what the host kept on average, for as long as the
    phase took in the guest."""
    if ns is None:
        return figures
    return figures | {"gib_s": figures["gib_s"] * ns / 1e9 / figures["host_seconds"]}


def run_guest(kernel: Kernel, entry: Entry, scale: Scale, memory_mib: int,
              seed: int) -> dict[str, Any]:
    """Boot, warm up, and measure; all figures of the run."""
    started, collapsed = time.monotonic(), collapsed_mib()
    files = {f"/bin/{name}": STATIC / name for name in PROGRAMS}
    with Guest(kernel, memory_mib=memory_mib, files=files, cpus=1, qemu_args=CLOCK) as guest:
        load = Load(guest, seed)
        if entry.order is not None:
            set_order(guest, entry.order)
        with Sluice(guest, f'strategy = "{entry.strategy}";\n') as sluice:
            daemon = sluice.daemon_pid()
            warm = load.step(f"warm {scale.warm_mib} {scale.warm_jobs}")
            told, cpu = sluice.status()["tally"], daemon_cpu(guest, daemon)
            with Sampler(guest.qemu_pid, guest.host_resident) as sampler:
                found = run_phases(load, guest, sampler, scale)
            if entry.order is not None and order_knob(guest) != entry.order:
                raise RuntimeError(f"order {order_knob(guest)} at the end, not {entry.order}")
            found["daemon_cpu_s"] = daemon_cpu(guest, daemon) - cpu
            tally = sluice.status()["tally"]
            found |= {name: tally[name] - told[name] for name in ("releases", "kicks", "ticks")}
            found["told_gib"] = (tally["reported_bytes"] - told["reported_bytes"]) / GIB
            found["complaints"] = complaints(sluice.log())
    return {**found, "warm_ns": warm["ns"], "boot_s": guest.boot_seconds,
            "collapsed_mib": collapsed_mib() - collapsed, "wall_s": time.monotonic() - started}
