# SPDX-License-Identifier: GPL-2.0-only
"""Tables of the phases benchmark, as Markdown, out of the figures of its runs."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paired import slowdowns
from phase_names import BASELINE, CONTROL, STATIC_0

BEGIN = "<!-- figures of phases.py: begin -->"
END = "<!-- figures of phases.py: end -->"
NOTHING = "–"
MIB_PER_GIB = 1024
SMALL_DIFFERENCE = 0.02  # GiB x s between order 0 and the kernel, of which no share can be told
OTHERS_LIMIT = 0.2  # CPUs; looking alone takes about 0.05

Run = Mapping[str, Any]
Round = Mapping[str, Run]
Figure = Callable[[Run], float]


def figure(part: str, key: str, factor: float = 1.0) -> Figure:
    """A figure of a phase, or of the whole."""
    def take(run: Run) -> float:
        return factor * float((run["whole"] if part == "whole" else run["phases"][part])[key])
    return take


def of_bursts(key: str) -> Figure:
    """The same of both bursts."""
    return lambda run: float(run["phases"]["burst1"][key] + run["phases"]["burst2"][key])


def spread(values: Sequence[float], digits: int, signed: bool = False) -> str:
    """Median and extremes; one value is neither."""
    if not values:
        return NOTHING
    sign = "+" if signed else ""
    middle, low, high = (f"{value:{sign}.{digits}f}"
                         for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low}..{high})"


def values_of(rounds: Iterable[Round], name: str, take: Figure) -> list[float]:
    """Of all rounds with this entry."""
    return [take(found[name]) for found in rounds if name in found]


def percent_more(rounds: Iterable[Round], name: str, take: Figure) -> list[float]:
    """Than the baseline of the same round."""
    return slowdowns((take(found[BASELINE]), take(found[name])) for found in rounds
                     if name in found and BASELINE in found)


def shares(rounds: Iterable[Round], name: str, take: Figure) -> list[float]:
    """What an entry saves against the baseline, in per cent of what static order 0 saves."""
    found = []
    for one in rounds:
        if {name, BASELINE, STATIC_0} <= one.keys():
            possible = take(one[BASELINE]) - take(one[STATIC_0])
            if possible > SMALL_DIFFERENCE:
                found.append(100 * (take(one[BASELINE]) - take(one[name])) / possible)
    return found


def by_round(runs: Iterable[Run]) -> list[Round]:
    """Runs that may be compared."""
    rounds: dict[tuple[str, int], dict[str, Run]] = defaultdict(dict)
    for run in runs:
        rounds[run["session"], run["round"]][run["name"]] = run
    return list(rounds.values())


def names_in(rounds: Iterable[Round]) -> list[str]:
    """The baseline first, then itself, then order 0, then the rest by name."""
    present = {name for found in rounds for name in found}
    first = [name for name in (BASELINE, CONTROL, STATIC_0) if name in present]
    return first + sorted(present - set(first))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def memory_table(rounds: Sequence[Round]) -> str:
    """What the host kept, and what it got."""
    head = ["strategy", "runs", "GiB x s", "of them idle", "share of order 0's gain, %",
            "the same, idle, %", "left at the end of idle, MiB", "returned, GiB",
            "reported, GiB"]
    everything, idle = figure("whole", "gib_s"), figure("idle", "gib_s")
    rows = []
    for name in names_in(rounds):
        rows.append([
            name, str(len(values_of(rounds, name, everything))),
            spread(values_of(rounds, name, everything), 1),
            spread(values_of(rounds, name, idle), 1),
            spread(shares(rounds, name, everything), 0), spread(shares(rounds, name, idle), 0),
            spread(values_of(rounds, name, figure("idle", "end_gib", MIB_PER_GIB)), 0),
            spread(values_of(rounds, name, figure("whole", "returned_gib")), 2),
            spread(values_of(rounds, name, lambda run: run["told_gib"]), 2)])
    return table(head, rows)


def burst_cells(rounds: Sequence[Round], name: str) -> list[str]:
    """Times of the baseline itself, and per cent beyond it."""
    columns: tuple[tuple[Figure, float], ...] = (
        (figure("burst1", "ns"), 1e-9), (figure("burst2", "ns"), 1e-9), (of_bursts("cpu_s"), 1.0))
    if name == BASELINE:
        return [spread([unit * value for value in values_of(rounds, name, take)], 2) + " s"
                for take, unit in columns]
    return [spread(percent_more(rounds, name, take), 1, True) for take, _ in columns]


def cost_table(rounds: Sequence[Round]) -> str:
    """What it cost guest and host."""
    head = ["strategy", "burst 1, % slower", "burst 2, % slower", "host CPU of both, % more",
            "host kernel in both, s", "host faults", "in burst 1", "in burst 2",
            "host CPU for devices, s", "daemon's CPU, s"]
    rows = []
    for name in names_in(rounds):
        rows.append([
            name, *burst_cells(rounds, name),
            spread(values_of(rounds, name, of_bursts("system_s")), 2),
            *(spread(values_of(rounds, name, figure(part, "minor_faults")), 0)
              for part in ("whole", "burst1", "burst2")),
            spread(values_of(rounds, name, figure("whole", "main_cpu_s")), 2),
            spread(values_of(rounds, name, lambda run: run["daemon_cpu_s"]), 2)])
    return table(head, rows)


def noise(rounds: Sequence[Round]) -> str:
    """What differs between two that are the same."""
    texts = []
    for what, take in (("burst 1", figure("burst1", "ns")), ("burst 2", figure("burst2", "ns")),
                       ("host CPU of both", of_bursts("cpu_s")),
                       ("GiB x s", figure("whole", "gib_s"))):
        found = percent_more(rounds, CONTROL, take)
        if found:
            texts.append(f"{what} {spread(found, 1, True)}, on average "
                         f"{statistics.mean(map(abs, found)):.1f} off")
    return ("Noise, by `kernel` against itself (`kernel2`), %: " + "; ".join(texts) + "."
            if texts else f"Noise is not known: no round has both {BASELINE} and {CONTROL}.")


def notes(rounds: Sequence[Round]) -> list[str]:
    """What a reader of the tables should know of these runs."""
    runs = [run for found in rounds for run in found.values()]
    found = [noise(rounds)]
    small = [100 * run["idle_small_free_mib"] / MIB_PER_GIB / run["phases"]["idle"]["end_gib"]
             for run in runs if run["name"] == BASELINE]
    if small:
        found.append(f"At the end of idle, {statistics.median(small):.0f} % of what the host kept "
                     f"for `{BASELINE}` was free in the guest, in pieces below 2 MiB.")
    others = max(run["whole"]["others_cpu"] for run in runs)
    if others > OTHERS_LIMIT:
        found.append(f"**The host was not quiet**: something else kept up to {others:.1f} CPUs "
                     "busy during a run.")
    collapsed = max(run["collapsed_mib"] for run in runs)
    if collapsed:
        found.append(f"The host collapsed up to {collapsed:.0f} MiB into huge pages during a run.")
    said = {f"{run['name']}: {line}" for run in runs for line in run["complaints"]}
    return found + [f"The daemon complained: {line}" for line in sorted(said)]


def tables(runs: Sequence[Run]) -> str:
    """All runs, those that differ in kernel, memory or scale apart."""
    groups = defaultdict(list)
    for run in runs:
        groups[run["kernel"], run["memory_mib"], json.dumps(run["scale"])].append(run)
    texts = []
    for (kernel, memory, scale), some in groups.items():
        rounds = by_round(some)
        load = json.loads(scale)
        dates = sorted({run["date"] for run in some})
        texts += [f"Linux {kernel} with {memory} MiB under {some[0]['host']}; "
                  f"{load['burst_jobs']} jobs per burst, idle for {load['idle_seconds']:g} s; "
                  f"{len(rounds)} rounds; {dates[0]}"
                  + (f" to {dates[-1]}" if len(dates) > 1 else "")
                  + ". Medians, with the lowest and the highest.",
                  memory_table(rounds), cost_table(rounds),
                  "\n".join(f"* {note}" for note in notes(rounds))]
    return "\n\n".join(texts)


def update(document: str, text: str) -> str:
    """The document with this between its marks."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs the lines '{BEGIN}' and '{END}', once each")
    head, _, rest = document.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"'{END}' stands before '{BEGIN}'")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"
