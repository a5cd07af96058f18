# SPDX-License-Identifier: GPL-2.0-only
"""The parts of the benchmark: slices of time in which a loop runs, in rounds of all that is
compared, in an order drawn anew for each round."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paired import Median, slowdowns
from tools import (DEFAULT, EVERYTHING, Daemon, Loops, Programs, Skip, bpftrace, config,
                   cpu_seconds)

# Areas are as large as leaves rounds of some ms: the shorter the time between the members of a
# pair, the less of the machine's own change comes between them.
SIZES_MIB = {"fault": 8, "fork": 1, "file": 8, "thp": 16, "cross": 8}
TASKS = (1, 2)
WORST_CASE = "cross"

NOTHING = "nothing"
CONTROL = "nothing again"  # compared like the others: what the method itself finds
EMPTY = "empty"

MIN_EVENTS = 200  # of a program in a slice, for a mean worth the name
OTHERS_SECONDS = 120.0  # that somebody else's programs may be waited for


@dataclass(frozen=True)
class Effort:
    """How long the parts take."""

    program_seconds: float = 30.0  # per loop and number of tasks
    program_ms: int = 6
    warm_ms: int = 6  # not counted: the kernel has just patched its code
    statistics_rounds: int = 12
    statistics_ms: int = 60
    bpftrace_rounds: int = 50
    process_rounds: int = 30
    process_ms: int = 100
    scans: int = 30
    min_rounds: int = 30


FULL = Effort()
QUICK = Effort(program_seconds=2.0, statistics_rounds=6, bpftrace_rounds=6, process_rounds=6,
               scans=10)

Load = tuple[str, int]  # a loop, a number of tasks
Medians = dict[Load, dict[str, Median]]


@dataclass
class Bench:
    """What all parts share."""

    effort: Effort
    random: random.Random
    programs: Programs
    loops: dict[Load, Loops] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    waits: int = 0

    def note(self, text: str) -> None:
        """Say something now, and again at the end."""
        self.notes.append(text)
        print(f"note: {text}", flush=True)

    def shuffled(self, names: Sequence[str]) -> list[str]:
        """In an order of its own."""
        return self.random.sample(names, len(names))

    def attach(self, name: str) -> None:
        """Attach this set of programs alone, as soon as nobody else has any."""
        deadline = time.monotonic() + OTHERS_SECONDS
        while self.programs.switch(None if name in (NOTHING, CONTROL) else name):
            self.waits += 1
            if time.monotonic() > deadline:
                raise RuntimeError(f"somebody else has had programs on raw tracepoints for "
                                   f"{OTHERS_SECONDS:g} s: their cost would be in our figures")
            time.sleep(0.2)


def start_loops(bench: Bench, stack: contextlib.ExitStack) -> None:
    """All loops with all numbers of tasks, except those that don't run here."""
    for loop, mib in SIZES_MIB.items():
        for tasks in TASKS:
            server = stack.enter_context(Loops(loop, tasks, mib))
            try:
                server.run(bench.effort.program_ms)
            except RuntimeError as error:
                bench.note(f"skipped: loop {loop} with {tasks} tasks: {error}")
            else:
                bench.loops[loop, tasks] = server


# --- programs ------------------------------------------------------------------------------------

def take_over(bench: Bench) -> dict[str, list[str]]:
    """Hold the programs of all observers; the tracepoints of those that work here."""
    held: dict[str, list[str]] = {}
    for name, text in (("default", DEFAULT), ("everything", EVERYTHING)):
        with Daemon(text) as daemon:
            held[name] = bench.programs.hold(name, daemon.pid)
    for name, like in (("bpftrace", "default"), ("bpftrace-all", "everything")):
        try:
            with bpftrace(held[like]) as pid:
                held[name] = bench.programs.hold(name, pid)
        except Skip as reason:
            bench.note(f"skipped: {name}: {reason}")
    bench.programs.ask(f"empty {EMPTY} everything")
    return held


def cpu_cost(result: dict[str, Any]) -> float:
    """CPU time per operation."""
    return result["cpu_ns"] / result["operations"]


def wall_cost(result: dict[str, Any]) -> float:
    """Time per operation."""
    return 1 / result["per_second"]


def measure_programs(bench: Bench, names: Sequence[str]) -> Medians:
    """Slowdown by programs that are switched within milliseconds: load by load."""
    names = [CONTROL, *names]
    found: Medians = {}
    for load, loops in bench.loops.items():
        pairs = defaultdict(list)
        end = time.monotonic() + bench.effort.program_seconds
        rounds = 0
        while rounds < bench.effort.min_rounds or time.monotonic() < end:
            costs = {}
            for name in bench.shuffled([NOTHING, *names]):
                bench.attach(name)
                loops.run(bench.effort.warm_ms)
                costs[name] = cpu_cost(loops.run(bench.effort.program_ms))
            for name in names:
                pairs[name].append((costs[NOTHING], costs[name]))
            rounds += 1
        bench.attach(NOTHING)
        found[load] = {name: Median.of(slowdowns(pairs[name])) for name in names}
    return found


def measure_slow(bench: Bench, names: Sequence[str], rounds: int, milliseconds: int,
                 entered: Callable[[str], contextlib.AbstractContextManager[None]],
                 cost: Callable[[dict[str, Any]], float]) -> Medians:
    """Slowdown by what takes long to switch: all loads each time."""
    pairs: dict[Load, dict[str, list[tuple[float, float]]]] = {
        load: defaultdict(list) for load in bench.loops}
    for _ in range(rounds):
        costs: dict[Load, dict[str, float]] = {load: {} for load in bench.loops}
        for name in bench.shuffled([NOTHING, *names]):
            with entered(name):
                for load, loops in bench.loops.items():
                    loops.run(bench.effort.warm_ms)
                    costs[load][name] = cost(loops.run(milliseconds))
        for load, found in costs.items():
            for name in names:
                pairs[load][name].append((found[NOTHING], found[name]))
    return {load: {name: Median.of(slowdowns(some)) for name, some in found.items()}
            for load, found in pairs.items()}


def measure_bpftrace(bench: Bench, names: Sequence[str]) -> Medians:
    """Its programs alone, as those of sluiced; the kernel detaches perf events at its leisure."""
    @contextlib.contextmanager
    def attached(name: str) -> Iterator[None]:
        bench.attach(name)
        yield

    found = measure_slow(bench, names, bench.effort.bpftrace_rounds, bench.effort.program_ms,
                         attached, cpu_cost)
    bench.attach(NOTHING)
    return found


def measure_processes(bench: Bench, names: Sequence[str]) -> Medians:
    """Observers as users start them, their scans included."""
    tracepoints = [one["tracepoint"] for one in bench.programs.read("default")]

    @contextlib.contextmanager
    def running(name: str) -> Iterator[None]:
        bench.attach(NOTHING)
        with contextlib.ExitStack() as stack:
            if name == "bpftrace":
                stack.enter_context(bpftrace(tracepoints))
            elif name != NOTHING:
                stack.enter_context(Daemon(DEFAULT if name == "default" else EVERYTHING))
            yield

    return measure_slow(bench, names, bench.effort.process_rounds, bench.effort.process_ms,
                        running, wall_cost)


# --- events --------------------------------------------------------------------------------------

Program = tuple[str, str]  # its tracepoint, its name


@dataclass
class Events:
    """What the kernel's statistics of programs say, of each state."""

    per_operation: dict[Load, dict[str, float]] = field(default_factory=dict)
    share: dict[Load, dict[str, float]] = field(default_factory=dict)  # per cent of CPU time
    above: dict[str, dict[Program, list[float]]] = field(default_factory=dict)
    empty: dict[str, list[float]] = field(default_factory=dict)  # by tracepoint
    runs: dict[str, dict[Program, int]] = field(default_factory=dict)
    missed: dict[str, dict[Program, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Counted:
    """One slice with statistics: what grew by how much."""

    runs: dict[Program, int]
    ns: dict[Program, int]
    operations: int
    cpu_ns: int


def counters(bench: Bench, state: str) -> dict[Program, dict[str, int]]:
    """The kernel's counters of all programs of a set."""
    return {(one["tracepoint"], one["name"]): one for one in bench.programs.read(state)}


def counted_slice(bench: Bench, loops: Loops, state: str) -> Counted:
    """Run with the state attached already."""
    before = counters(bench, state)
    result = loops.run(bench.effort.statistics_ms)
    after = counters(bench, state)
    return Counted({key: one["runs"] - before[key]["runs"] for key, one in after.items()},
                   {key: one["ns"] - before[key]["ns"] for key, one in after.items()},
                   result["operations"], result["cpu_ns"])


def measure_events(bench: Bench) -> Events:
    """Time per event of each program against that of an empty one on the same tracepoint, in which
    are the two looks at the clock that the statistics themselves take."""
    states = ("default", "everything")
    events = Events(above={state: defaultdict(list) for state in states},
                    empty=defaultdict(list))
    with bench.programs.statistics():
        for load, loops in bench.loops.items():
            slices = defaultdict(list)
            for _ in range(bench.effort.statistics_rounds):
                found = {}
                for state in bench.shuffled([EMPTY, *states]):
                    bench.attach(state)
                    found[state] = counted_slice(bench, loops, state)
                    slices[state].append(found[state])
                add_differences(events, found)
            for key, table in (("runs", events.per_operation), ("ns", events.share)):
                table[load] = {state: ratio(ones, key) for state, ones in slices.items()}
    bench.attach(NOTHING)
    for state in states:
        found = counters(bench, state)
        events.runs[state] = {key: one["runs"] for key, one in found.items()}
        events.missed[state] = {key: one["missed"] for key, one in found.items()}
    return events


def ratio(slices: Sequence[Counted], key: str) -> float:
    """Events per operation, or the per cent of CPU time that was spent in programs."""
    if key == "runs":
        return (sum(sum(one.runs.values()) for one in slices) /
                sum(one.operations for one in slices))
    return 100 * sum(sum(one.ns.values()) for one in slices) / sum(one.cpu_ns for one in slices)


def add_differences(events: Events, found: dict[str, Counted]) -> None:
    """Of one round: ns per event above the empty program's, where there were events enough."""
    nothing = found[EMPTY]
    for (tracepoint, name), runs in nothing.runs.items():
        if runs < MIN_EVENTS:
            continue
        base = nothing.ns[tracepoint, name] / runs
        events.empty[tracepoint].append(base)
        for state, above in events.above.items():
            for key, some in found[state].runs.items():
                if key[0] == tracepoint and some >= MIN_EVENTS:
                    above[key].append(found[state].ns[key] / some - base)


# --- scans ---------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Scans:
    """Milliseconds per scan, the memory that was scanned, and the daemon's own CPU time."""

    heads: Median
    full: Median
    gib: float
    cpu_share: dict[str, float]  # per cent of one CPU

def present_gib() -> float:
    """Memory that the zones hold."""
    pages = [line.split()[1] for line in Path("/proc/zoneinfo").read_text().splitlines()
             if line.split()[:1] == ["present"]]
    return sum(map(int, pages)) * os.sysconf("SC_PAGESIZE") / 2**30


def head_scans(daemon: Daemon, number: int) -> Iterator[float]:
    """Milliseconds of single scans of heads, as the daemon itself counts them."""
    tally = daemon.status()["tally"]
    while number:
        time.sleep(0.02)
        now = daemon.status()["tally"]
        if now["ticks"] == tally["ticks"] + 1:
            number -= 1
            yield (now["scan_ns"] - tally["scan_ns"]) / 1e6
        tally = now


def cpu_share(text: str, seconds: float) -> float:
    """Per cent of one CPU that a daemon of this configuration takes once it has settled."""
    with Daemon(text) as daemon:
        time.sleep(1)
        cpu, start = cpu_seconds(daemon.pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (cpu_seconds(daemon.pid) - cpu) / (time.monotonic() - start)


def measure_scans(bench: Bench) -> Scans:
    """The first of each are left out: they find their tables out of the caches."""
    number = bench.effort.scans
    with Daemon(config(interval="100ms", more='full_interval = "0";')) as daemon:
        status = daemon.status()
        if status["source"] != "bpf":
            raise Skip(f"no BPF scan here: {' '.join(status['notes'])}")
        heads = list(head_scans(daemon, number + 3))[3:]
        full = [daemon.hist()["cost_ns"] / 1e6 for _ in range(number + 3)][3:]
    shares = {"default": cpu_share(DEFAULT, 12), "everything": cpu_share(EVERYTHING, 3)}
    return Scans(Median.of(heads), Median.of(full), present_gib(), shares)
