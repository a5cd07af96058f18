# SPDX-License-Identifier: GPL-2.0-only
"""What strategies return and what they cost, on a load that works, settles, idles and works again.

    python3 tests/bench/phases.py [--rounds N] [--kernel NAME] [--phases-scale X] [--out FILE]
    python3 tests/bench/phases.py --table FILE [--update docs/phases.md]

Each run is a fresh guest (see phases.c for its load), looked at from the host.  A round is a run
of each strategy in an order drawn anew; only runs of one round are compared.  Every run is added
to a file of JSON lines, which can be tabulated at any time; docs/phases.md says what the columns
mean.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm")]

import kernels  # noqa: E402
from guest import BUILD  # noqa: E402
from kernels import Kernel  # noqa: E402
from phase_runs import MEMORY_MIB, Entry, Scale, entries, run_guest  # noqa: E402
from phase_table import tables, update  # noqa: E402
from tap import Skip  # noqa: E402

KERNEL = "7.2"
ROUNDS = 5
BUSY_LOAD = 0.3


def say(text: str = "") -> None:
    """A line, at once."""
    print(text, flush=True)


def read_runs(path: Path) -> list[dict[str, Any]]:
    """All runs of a file."""
    runs = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SystemExit(f"{path}:{number}: no run of this benchmark: {error}") from error
    return runs


def show(path: Path, doc: Path | None) -> None:
    """Print the tables of a file, and put them into a document."""
    text = tables(read_runs(path))
    say(text)
    if doc:
        doc.write_text(update(doc.read_text(), text))
        say(f"\n{doc} has these tables now")


def tell(run: dict[str, Any]) -> str:
    """One line about a run."""
    phases, whole = run["phases"], run["whole"]
    return (f"{run['name']:10} {whole['gib_s']:6.1f} GiB x s, idle {phases['idle']['gib_s']:5.1f}; "
            f"bursts {phases['burst1']['ns'] / 1e9:.2f} and {phases['burst2']['ns'] / 1e9:.2f} s; "
            f"{whole['minor_faults']} host faults; {run['wall_s']:.0f} s")


class Session:
    """Rounds that are measured now."""

    def __init__(self, options: argparse.Namespace, kernel: Kernel) -> None:
        self._kernel = kernel
        self._options = options
        self._scale = Scale.of(options.phases_scale, options.memory)
        self._name = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {options.seed}"
        self.failed = 0

    def run(self, found: Sequence[Entry]) -> None:
        """All rounds."""
        rounds = self._options.rounds
        minutes = rounds * len(found) * self._scale.seconds() / 60
        say(f"Linux {self._kernel.version}, {self._options.memory} MiB, seed {self._options.seed}: "
            f"{rounds} rounds of {len(found)} runs, about {minutes:.0f} min; figures go to "
            f"{self._options.out}")
        for number in range(rounds):
            draw = random.Random(f"{self._options.seed}/{number}")
            for entry in draw.sample(found, len(found)):
                self._run_one(entry, number)

    def _run_one(self, entry: Entry, number: int) -> None:
        """One run, of which an error is the end, but not that of the round."""
        # the same load for all runs of a round
        seed = 1000 * self._options.seed + number + 1
        try:
            figures = run_guest(self._kernel, entry, self._scale, self._options.memory, seed)
        except Skip as reason:
            say(f"skipped: {entry.name}: {reason}")
            return
        except Exception as error:  # pylint: disable=broad-except  # whatever it is, it failed
            self.failed += 1
            said = "".join(traceback.format_exception_only(error)).strip()
            say(f"FAILED: {entry.name} in round {number + 1}: {said}")
            return
        run = {"version": 1, "session": self._name, "round": number, "name": entry.name,
               "kernel": self._kernel.version, "memory_mib": self._options.memory,
               "scale": asdict(self._scale), "seed": seed, "date": time.strftime("%Y-%m-%d"),
               "host": f"Linux {platform.release()}, {os.cpu_count()} CPUs", **figures}
        with self._options.out.open("a") as file:
            file.write(json.dumps(run, allow_nan=False) + "\n")
        say(f"{number + 1}/{self._options.rounds} {tell(run)}")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compares strategies on a load in phases.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default %(default)s")
    parser.add_argument("--kernel", default=KERNEL, help="of the guests; default %(default)s")
    parser.add_argument("--memory", type=int, default=MEMORY_MIB, metavar="MIB",
                        help="of each guest; default %(default)s")
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=[],
                        metavar="NAME,...",
                        help="these alone; default: all that the daemon knows, kernel2, static0")
    parser.add_argument("--phases-scale", type=float, default=1.0, metavar="X",
                        help="work and pauses times this; less than 1 for a trial only")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6),
                        help="of loads and of the order within rounds")
    parser.add_argument("--out", type=Path, default=BUILD / "bench" / "phases.jsonl",
                        help="file to which runs are added; default %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE",
                        help="run nothing, tabulate this file")
    parser.add_argument("--update", type=Path, metavar="DOC",
                        help="put the tables between the marks of this document")
    return parser.parse_args()


def main() -> int:
    """0 unless a run failed."""
    options = parse_options()
    if options.table:
        show(options.table, options.update)
        return 0
    found, skipped = entries(options.strategies)
    for text in skipped:
        say(text)
    if os.getloadavg()[0] > BUSY_LOAD:
        say(f"note: the load of this machine is {os.getloadavg()[0]}: times will be noisy")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    session = Session(options, kernels.fetch(options.kernel))
    session.run(found)
    if options.out.exists():
        say()
        show(options.out, options.update)
    for text in skipped:
        say(text)
    return 1 if session.failed else 0


if __name__ == "__main__":
    sys.exit(main())
