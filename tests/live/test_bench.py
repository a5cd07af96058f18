# SPDX-License-Identifier: GPL-2.0-only
"""That the benchmark measures what it says: its statistics, its loops, and the programs that it
takes over.  No time is looked at here; `make bench-observe` is for that."""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).absolute().parents[1]),
                str(Path(__file__).absolute().parents[1] / "bench")]

from daemon import Daemon, config, plain_environment, require_bpf, require_root  # noqa: E402
from paired import Median, rank_of_bound, slowdowns  # noqa: E402
from tap import Skip, Tap  # noqa: E402
from tools import Loops, Programs  # noqa: E402

# The sign test's table: k for a two-sided 5 %.
RANKS = {5: 0, 6: 1, 8: 1, 9: 2, 12: 3, 20: 6, 25: 8, 30: 10, 50: 18, 100: 40}

SAMPLES = 2000
SAMPLE_SIZE = 30
RUN_MS = 20
MIB = 4


def check_ranks() -> None:
    """Ranks of the interval's bounds, against the table in any book on the sign test."""
    found = {number: rank_of_bound(number) for number in RANKS}
    assert found == RANKS, found


def check_coverage() -> str:
    """The interval holds the true median as often as it says, of values far from normal."""
    draw = random.Random(1)
    inside = 0
    for _ in range(SAMPLES):
        median = Median.of(draw.expovariate(1) ** 3 for _ in range(SAMPLE_SIZE))
        inside += median.low <= 0.693147**3 <= median.high
    share = inside / SAMPLES
    # 0.957 is exact for 30 values; 2000 samples stray from it by 0.0045 (one deviation)
    assert 0.939 < share < 0.975, share
    return f"{share:.3f} of {SAMPLES} intervals"


def check_verdicts() -> None:
    """What is met, what is missed, and what nobody can tell."""
    few = Median.of([1.0, 2.0, 3.0])
    assert few.verdict(100.0) == "open" and few.as_json()["low"] is None, few
    many = Median.of(float(value) for value in range(101))
    assert many.median == statistics.median(range(101)) == 50, many
    assert [many.verdict(limit) for limit in (30, 50, 70)] == ["missed", "open", "met"], many
    assert slowdowns([(2.0, 2.5), (4.0, 3.0)]) == [25.0, -25.0]


def check_loop(loop: str) -> str:
    """A loop works at least as long as it was told, with one task and with two."""
    if loop == "cross" and len(os.sched_getaffinity(0)) < 2:
        raise Skip("the loop cross needs two CPUs")
    if loop == "thp" and not Path("/sys/kernel/mm/transparent_hugepage").is_dir():
        raise Skip("no transparent huge pages here")
    found = []
    for tasks in (1, 2):
        with Loops(loop, tasks, MIB) as loops:
            for _ in range(2):
                result = loops.run(RUN_MS)
                assert result["operations"] >= tasks and result["cpu_ns"] > 0, result
                seconds = tasks * result["operations"] / result["per_second"]
                assert seconds >= 0.99 * RUN_MS / 1000, result
            found.append(result["operations"])
    return f"{found[0]} and {found[1]} operations in {RUN_MS} ms"


def check_refusals() -> None:
    """What the helpers can't do is an error, not a figure."""
    with Programs() as programs:
        for line in ("attach nobody", "read nobody", "hold x 4194305", "empty a b", "fly"):
            try:
                answer = programs.ask(line)
            except RuntimeError:
                continue
            raise AssertionError(f"{line}: {answer}")


def check_programs() -> str:
    """Programs of a daemon count events after its end, if and only if they are attached."""
    require_root()
    with Programs() as programs, Loops("fork", 1, MIB) as loops:
        with Daemon(config(interval="1h", more='events = "all";')) as daemon:
            require_bpf(daemon)
            if daemon.status()["events"] is None:
                raise Skip("no events here")
            tracepoints = programs.hold("all", daemon.pid)
            programs.ask("empty empty all")
        with programs.statistics():
            def runs(name: str) -> int:
                before = sum(one["runs"] for one in programs.read(name))
                loops.run(RUN_MS)
                return sum(one["runs"] for one in programs.read(name)) - before

            alone = runs("all")
            programs.switch("all")
            attached, empty_meanwhile = runs("all"), runs("empty")
            programs.switch("empty")
            detached, empty = runs("all"), runs("empty")
            programs.switch(None)
    assert "mm_page_free" in tracepoints, tracepoints
    # a fork frees pages in any case; those of other processes come on top
    assert attached > 100 and empty > 100, f"{attached} and {empty} runs while attached"
    assert alone == detached == empty_meanwhile == 0, f"{alone}, {detached}, {empty_meanwhile}"
    return f"{attached} runs of {len(tracepoints)} programs, {empty} of empty ones"


def main() -> int:
    tap = Tap()
    os.environ.update(plain_environment())
    checks: list[tuple[str, Callable[[], object]]] = [
        ("ranks of the interval", check_ranks),
        ("coverage of the interval", check_coverage),
        ("verdicts", check_verdicts),
        *((f"loop {loop}", partial(check_loop, loop))
          for loop in ("fault", "fork", "file", "thp", "cross")),
        ("refusals", check_refusals),
        ("programs without their daemon", check_programs),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
