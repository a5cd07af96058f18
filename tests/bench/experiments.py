# SPDX-License-Identifier: GPL-2.0-only
"""Experiments of `sluice ab` in real guests, with a load that works and idles, and the host's feed.

    python3 tests/bench/experiments.py aa [--guests N] [--runs N]   the same against itself
    python3 tests/bench/experiments.py compare [NAME...]            those of docs/ab.md

The files of the experiments go to build/bench/ab/, one per experiment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm")]

import kernels  # noqa: E402
from guest import BUILD, Guest  # noqa: E402
from hostfeed import HostFeed, port  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import Sluice  # noqa: E402

KERNEL = "7.2"
MEMORY_MIB = 1024
STATIC = BUILD / "static"
LOAD_SECONDS = 120
OUT = BUILD / "bench" / "ab"
FOLDER = "/var/lib/sluice/ab"
OWN = 'strategy = "kernel";\n'


@dataclass(frozen=True)
class Comparison:
    """Two configurations, and how they are compared."""

    a: str
    b: str
    options: str
    jobs: int  # of a burst, 0.1 s each by emulation
    idle: float


LONG = "--design abba --blocks 8 --period 60s --washout 15s --sample 1s --seed 11"
COMPARISONS = {
    "threshold-ladder": Comparison('strategy = "threshold"; threshold = { start = "64MiB"; };\n',
                                   'strategy = "ladder";\n', LONG, 30, 20),
    "start-16-256": Comparison('strategy = "threshold"; threshold = { start = "16MiB"; '
                               'stop = "4MiB"; };\n',
                               'strategy = "threshold"; threshold = { start = "256MiB"; '
                               'stop = "4MiB"; };\n', LONG, 30, 20),
}
SAME = Comparison('strategy = "ladder"; interval = "500ms";\n',
                  'strategy = "ladder"; interval = "500ms";\n',
                  "--design pairs --blocks 10 --period 3s --washout 500ms --sample 250ms", 5, 2)


def say(text: str) -> None:
    """A line, at once."""
    print(text, flush=True)


def files() -> dict[str, Path]:
    """Programs of the guest."""
    return {"/bin/ab_load": TESTS / "bench" / "ab_load.sh",
            **{f"/bin/{name}": STATIC / name for name in ("sluiced", "sluice", "phases")}}


def run(guest: Guest, name: str, comparison: Comparison, more: str = "") -> Path:
    """One experiment, under load; its file, copied out of the guest."""
    for arm, text in (("a", comparison.a), ("b", comparison.b)):
        guest.check(f"cat >/tmp/{arm}.conf <<'END'\n{text}END\n")
    pid = guest.spawn(f"sluice ab run --a /tmp/a.conf --b /tmp/b.conf --name {name} "
                      f"--host-feed {port(guest)} {comparison.options} {more}",
                      f"/tmp/{name}.log")
    status = guest.wait_exit(pid, 4 * 3600)
    if status != 0:
        raise RuntimeError(f"{name}: status {status}: {guest.check(f'cat /tmp/{name}.log')}")
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.jsonl"
    lines = int(guest.check(f"wc -l <{FOLDER}/{name}.jsonl"))
    # in parts: a command's answer is held in memory on both sides
    path.write_text("".join(guest.check(f"sed -n {at + 1},{at + 8}p {FOLDER}/{name}.jsonl")
                            for at in range(0, lines, 8)))
    return path


def report(path: Path) -> dict[str, Any]:
    """What `sluice ab report` of this machine's build says of a file."""
    done = subprocess.run([BUILD / "sluice", "--json", "ab", "report", path], text=True,
                          capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def with_load(kernel: Kernel, comparison: Comparison, seed: int, names: list[str],
              more: str = "") -> list[Path]:
    """Experiments, one after the other, in one guest."""
    found = []
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files(), host_port=True) as guest, \
            HostFeed(guest):
        guest.spawn(f"ab_load {seed} {comparison.jobs} {comparison.idle}", "/tmp/bursts")
        guest.wait_for(lambda: guest.check("cat /tmp/bursts").strip().isdigit(), LOAD_SECONDS,
                       what="a first burst")
        with Sluice(guest, OWN):
            for name in names:
                started = time.monotonic()
                found.append(run(guest, name, comparison, more))
                say(f"{name}: {time.monotonic() - started:.0f} s")
    return found


def compare(options: argparse.Namespace, kernel: Kernel) -> None:
    """The real ones, all at once, since their guests mostly idle."""
    names = options.names or list(COMPARISONS)
    metric = "--primary host --metric 'burst=tail -n 1 /tmp/bursts'"
    with ThreadPoolExecutor(len(names)) as pool:
        for paths in pool.map(lambda name: with_load(kernel, COMPARISONS[name], options.seed,
                                                     [name], metric), names):
            for path in paths:
                subprocess.run([BUILD / "sluice", "ab", "report", path], check=True)
                subprocess.run([BUILD / "sluice", "ab", "report", "--html",
                                path.with_suffix(".html"), path], check=True)


def same(options: argparse.Namespace, kernel: Kernel) -> None:
    """A against A: p of the primary outcome and what is found in any, of every run."""
    groups = [[f"aa-{guest}-{number}" for number in range(options.runs)]
              for guest in range(options.guests)]
    with ThreadPoolExecutor(options.guests) as pool:
        paths = [path for found in pool.map(
            lambda names: with_load(kernel, SAME, options.seed + int(names[0].split("-")[1]),
                                    names), groups) for path in found]
    table(paths)


def table(paths: list[Path]) -> None:
    """All runs, none left out."""
    say("| run | blocks | primary: B - A | p | verdict | other outcomes found |")
    say("|---|---|---|---|---|---|")
    hits = others = 0
    for path in paths:
        found = report(path)
        primary = next(effect for effect in found["effects"] if effect["primary"])
        differ = [effect["outcome"] for effect in found["effects"]
                  if not effect["primary"] and effect["adjusted_p"] <= 0.05]
        hits += primary["p"] <= 0.05
        others += bool(differ)
        say(f"| {path.stem} | {primary['blocks']} | {primary['difference']:+.3f} | "
            f"{primary['p']:.3f} | {primary['verdict']} | {', '.join(differ) or 'none'} |")
    say(f"\n{len(paths)} runs: the primary outcome was called different in {hits}, any other, "
        f"corrected, in {others}")


def main() -> int:
    parser = argparse.ArgumentParser(description="A/B experiments in guests.")
    parser.add_argument("what", choices=("aa", "compare", "table"))
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMPARISONS)}; files for table")
    parser.add_argument("--kernel", default=KERNEL)
    parser.add_argument("--guests", type=int, default=4)
    parser.add_argument("--runs", type=int, default=6, help="in each guest")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    if options.what == "table":
        table([Path(name) for name in options.names])
        return 0
    kernel = kernels.fetch(options.kernel)
    (same if options.what == "aa" else compare)(options, kernel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
