# SPDX-License-Identifier: GPL-2.0-only
"""What watching the page allocator costs the loads that live on it.

    python3 tests/bench/observe.py [--quick] [--seed N] [--json FILE]

Loops run on this machine, as it is, with nothing attached, with what sluiced attaches by default,
with all that it can attach, and with bpftrace counting the same tracepoints by order.  Only
neighbours in time are compared, and what is told is the median of the pairs' ratios with its 95 %
interval: from one second to the next a machine that others use changes by more than any of these
costs.  Targets are judged, but nothing fails by them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import (FULL, NOTHING, QUICK, WORST_CASE, Bench, Events, Load, Scans, measure_bpftrace,
                     measure_events, measure_processes, measure_programs, measure_scans,
                     start_loops, take_over)
from paired import LEVEL, Median
from tools import BUILD, EVENTS, Programs, Skip

TRACEFS = EVENTS.parent
IN_NAMESPACE = "SLUICE_BENCH_TRACEFS"

SLOWDOWN_LIMIT = 1.0  # per cent, by default
PROGRAM_LIMIT = 25.0  # ns per event above an empty program
HEADS_LIMIT = 1.5  # ms per SCAN_GIB
FULL_LIMIT = 30.0
SCAN_GIB = 24
SLUICED = ("default", "everything")

NICE = -20

Slowdowns = Mapping[Load, Mapping[str, Median]]


def say(text: str = "") -> None:
    """A line, at once."""
    print(text, flush=True)


def judged(name: str, median: Median, limit: float) -> str:
    """The last column."""
    return median.verdict(limit) if name == "default" else ""


def tell_slowdowns(title: str, found: Slowdowns, events: Events | None) -> None:
    """A table with a line for each load and observer."""
    say()
    say(title)
    say(f"{'loop':6}{'tasks':>6}  {'with':13}{'events/op':>10}{'slower by %':>13}"
        f"{'95 % interval':>18}  pairs")
    for (loop, tasks), medians in found.items():
        for name, median in medians.items():
            rate = events.per_operation[loop, tasks].get(name) if events else None
            verdict = judged(name, median, SLOWDOWN_LIMIT) if loop != WORST_CASE else ""
            shown = "" if rate is None else f"{rate:.3f}"
            say(f"{loop:6}{tasks:6}  {name:13}{shown:>10}{median.median:+13.2f}"
                f"{median.interval():>18}{median.number:7} {verdict}".rstrip())


def tell_events(events: Events) -> None:
    """ns per event of each program, and the share of the loops' time that they are."""
    say()
    say(f"Time of one run of each program above that of an empty one on its tracepoint; target: "
        f"{PROGRAM_LIMIT:g} ns")
    say(f"{'with':12}{'program':16}{'runs':>10}{'empty':>8}{'above, ns':>10}"
        f"{'95 % interval':>16}{'missed':>8}")
    for state, programs in events.runs.items():
        for (tracepoint, name), runs in sorted(programs.items()):
            above = events.above[state].get((tracepoint, name))
            line = f"{state:12}{name:16}{runs:10}"
            if above:
                median = Median.of(above)
                line += (f"{statistics.median(events.empty[tracepoint]):8.1f}{median.median:10.1f}"
                         f"{median.interval(1):>16}")
            else:
                line += f"{'too few events at a time':>34}"
            line += f"{events.missed[state][tracepoint, name]:8}"
            say(line + (f" {median.verdict(PROGRAM_LIMIT)}" if above else ""))
    say()
    say("Share of the loops' CPU time inside programs, statistics included, %")
    say(f"{'loop':6}{'tasks':>6}{'empty':>10}{'default':>10}{'everything':>12}")
    for (loop, tasks), share in events.share.items():
        say(f"{loop:6}{tasks:6}{share['empty']:10.3f}{share['default']:10.3f}"
            f"{share['everything']:12.3f}")


def tell_scans(scans: Scans) -> None:
    """Heads and full."""
    say()
    say(f"Scans of {scans.gib:.1f} GiB of memory, ms per {SCAN_GIB} GiB, warm")
    for name, median, limit in (("heads", scans.heads, HEADS_LIMIT),
                                ("full", scans.full, FULL_LIMIT)):
        scaled = median.times(SCAN_GIB / scans.gib)
        say(f"{name:6}{scaled.median:8.2f}  {scaled.interval():18} of {scaled.number}; target: "
            f"{limit:g}: {scaled.verdict(limit)}")
    say("sluiced itself takes " + ", ".join(f"{share:.2f} % of one CPU by {name}"
                                            for name, share in scans.cpu_share.items()))


def machine() -> dict[str, Any]:
    """Where and when this was measured."""
    model = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return {"date": time.strftime("%Y-%m-%d"), "kernel": platform.release(),
            "machine": platform.machine(), "cpus": os.cpu_count(),
            "model": model[0] if model else None, "load": os.getloadavg()[0]}


def slowdowns_json(found: Slowdowns) -> list[dict[str, Any]]:
    """A list, since JSON's keys are text."""
    return [{"loop": loop, "tasks": tasks, "with": name, "slower_percent": median.as_json()}
            for (loop, tasks), medians in found.items() for name, median in medians.items()]


def events_json(events: Events) -> dict[str, Any]:
    """The programs, and the loads."""
    programs = [
        {"with": state, "program": name, "tracepoint": tracepoint, "runs": runs,
         "recursion_misses": events.missed[state][tracepoint, name],
         "empty_ns": (statistics.median(events.empty[tracepoint])
                      if events.empty.get(tracepoint) else None),
         "above_empty_ns": (Median.of(above).as_json()
                            if (above := events.above[state].get((tracepoint, name))) else None)}
        for state, counted in events.runs.items() for (tracepoint, name), runs in counted.items()]
    loads = [{"loop": loop, "tasks": tasks, "events_per_operation": rates,
              "share_percent": events.share[loop, tasks]}
             for (loop, tasks), rates in events.per_operation.items()]
    return {"programs": programs, "loads": loads}


def lap(result: dict[str, Any], part: str) -> None:
    """Note when a part was done, in seconds since the start."""
    result["done_after_s"][part] = round(time.monotonic() - result["started"])


def run(bench: Bench, result: dict[str, Any]) -> None:
    """All parts, each told as soon as it is there."""
    held = take_over(bench)
    for name, tracepoints in held.items():
        say(f"{name}: {', '.join(sorted(tracepoints))}")
    events = measure_events(bench)
    tell_events(events)
    result["events"] = events_json(events)
    lap(result, "events")

    programs = measure_programs(bench, [name for name in held if name in SLUICED])
    tracers = [name for name in held if name not in SLUICED]
    if tracers:
        for load, medians in measure_bpftrace(bench, tracers).items():
            programs[load] |= medians
    tell_slowdowns("Programs alone: CPU time per operation against that with nothing attached; "
                   f"target\nof default: {SLOWDOWN_LIMIT:g} % (not of the loop cross, which is the "
                   "worst case)", programs, events)
    result["programs"] = slowdowns_json(programs)
    lap(result, "programs")

    processes = measure_processes(bench, [name for name in held if name != "bpftrace-all"])
    tell_slowdowns("Whole processes, scans included: time per operation against that with nothing "
                   "running", processes, None)
    result["processes"] = slowdowns_json(processes)
    lap(result, "processes")

    try:
        scans = measure_scans(bench)
    except Skip as reason:
        bench.note(f"skipped: scans: {reason}")
    else:
        tell_scans(scans)
        result["scans"] = {"gib": scans.gib, "heads_ms": scans.heads.as_json(),
                           "full_ms": scans.full.as_json(), "cpu_percent": scans.cpu_share}
    lap(result, "scans")


def with_tracefs(arguments: list[str]) -> None:
    """bpftrace needs tracefs: where it is not mounted, go on in a mount namespace that has it."""
    if EVENTS.is_dir() or IN_NAMESPACE in os.environ:
        return
    os.environ[IN_NAMESPACE] = "1"
    script = f'mount -t tracefs tracefs {TRACEFS} || echo "no tracefs" >&2; exec "$@"'
    with contextlib.suppress(FileNotFoundError):
        os.execvp("unshare", ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable,
                              *arguments])


def main() -> int:
    """0 unless something could not be measured at all."""
    parser = argparse.ArgumentParser(description="What watching the page allocator costs.")
    parser.add_argument("--quick", action="store_true", help="a trial of a minute, wide intervals")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6),
                        help="of the order within rounds")
    parser.add_argument("--json", type=Path, default=BUILD / "bench" / "observe.json",
                        help="file that gets all figures; default %(default)s")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        say("skipped: not root: BPF programs can be attached by root only")
        return 0
    with_tracefs(sys.argv)
    # ahead of whatever else runs here: what others take is not what is measured
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    result: dict[str, Any] = {"version": 1, **machine(), "started": time.monotonic(),
                              "done_after_s": {}, "seed": arguments.seed,
                              "quick": arguments.quick, "level": LEVEL, "nothing": NOTHING}
    say(f"Linux {result['kernel']}, {result['cpus']} CPUs, {result['model']}, {result['date']}, "
        f"seed {arguments.seed}")
    with Programs() as programs, contextlib.ExitStack() as stack:
        bench = Bench(QUICK if arguments.quick else FULL, random.Random(arguments.seed), programs)
        start_loops(bench, stack)
        run(bench, result)
    if bench.waits:
        bench.note(f"waited {bench.waits} times for others to leave raw tracepoints alone")
    del result["started"]
    result |= {"notes": bench.notes, "load_after": os.getloadavg()[0]}
    arguments.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    say()
    for note in bench.notes:
        say(f"note: {note}")
    say(f"{result['done_after_s']} s; all figures: {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
