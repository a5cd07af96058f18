# SPDX-License-Identifier: GPL-2.0-only
"""That the phases benchmark counts what it says: integrals, tables, its list of strategies, and
its load.  No guest runs here; `make bench-phases` is for that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm"), str(TESTS / "bench")]

import phase_table  # noqa: E402
import sampling  # noqa: E402
from phase_runs import PROGRAMS, STATIC, Scale, entries, known_strategies  # noqa: E402
from sampling import GIB, Sample, Sampler  # noqa: E402
from tap import Skip, Tap  # noqa: E402

LOAD_SECONDS = 60
WAIT_SECONDS = 30


def require(program: str) -> Path:
    """A static program."""
    path = STATIC / program
    if not path.exists():
        raise Skip(f"'{path}' is missing: make static build/static/phases")
    return path


def sample(at: float, resident: float, faults: int = 0, cpu: float = 0.0) -> Sample:
    """With memory in GiB; the host is busy with QEMU and half a CPU more."""
    return Sample(at, 0.01, int(resident * GIB), faults, cpu, cpu / 4, cpu / 2, cpu + at / 2)


def check_integral() -> None:
    """GiB x s, what was returned, and the differences of counters, of one phase out of many."""
    samples = [sample(0, 9), sample(1, 1), sample(2, 2, 10, 1.0), sample(4, 0.5, 30, 2.0),
               sample(5, 0.5, 35, 2.0), sample(6, 8)]
    found = sampling.phase(samples, samples[1], samples[4])
    assert found["gib_s"] == 1.5 + 2.5 + 0.5, found
    assert found["returned_gib"] == 1.5 and found["end_gib"] == 0.5, found
    assert found["minor_faults"] == 35 and found["cpu_s"] == 2.0, found
    assert found["main_cpu_s"] == 0.5 and found["system_s"] == 1.0, found
    assert found["host_seconds"] == 4 and abs(found["others_cpu"] - 0.5) < 1e-9, found


def wait_until(reached: Callable[[], bool]) -> None:
    """Work until then; this machine may be busy with something else."""
    end = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < end, f"not reached in {WAIT_SECONDS} s"


def check_sampler() -> str:
    """It looks by itself and when told, and does not hide what goes wrong."""
    with Sampler(os.getpid(), lambda: GIB, 0.01) as sampler:
        first, start = sampler.take(), time.process_time()
        wait_until(lambda: len(sampler.samples) > 5 and time.process_time() - start > 0.2)
        used, last = time.process_time() - start, sampler.take()
    found = sampling.phase(sampler.samples, first, last)
    assert used - 0.01 <= found["cpu_s"] <= found["host_seconds"] * 2, f"{found}, used {used}"
    assert abs(found["gib_s"] - found["host_seconds"]) < 1e-6, found

    def gone() -> int:
        raise FileNotFoundError("/proc/0/smaps")

    threads = threading.active_count()
    try:
        with Sampler(os.getpid(), gone, 0.01):
            wait_until(lambda: threading.active_count() == threads)
    except FileNotFoundError:
        return f"{len(sampler.samples)} looks"
    raise AssertionError("an error of the sampler was lost")


def run(name: str, number: int, gib_s: float, seconds: float, **more: Any) -> dict[str, Any]:
    """A run with these figures, all others the same for all."""
    part = {"ns": seconds * 1e9, "gib_s": gib_s, "cpu_s": seconds, "main_cpu_s": 0.1,
            "system_s": 0.1, "minor_faults": 100, "returned_gib": 1.0, "end_gib": 0.5,
            "others_cpu": 0.0}
    return {"session": "one", "round": number, "name": name, "kernel": "7.2", "memory_mib": 1536,
            "scale": {"burst_jobs": 100, "idle_seconds": 42.0}, "host": "Linux", "whole": part,
            "phases": {"burst1": part, "idle": part, "burst2": part}, "told_gib": 0.5,
            "idle_small_free_mib": 128, "daemon_cpu_s": 0.1, "date": "2026-01-01",
            "collapsed_mib": 0, "complaints": [], **more}


def row(text: str, name: str, which: int) -> list[str]:
    """Cells of a row of the first or the second table."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in rows[which].split("|")[1:-1]]


def check_tables() -> None:
    """Only runs of one round are compared; medians, extremes and shares are right."""
    runs = []
    for number, factor in enumerate((1.0, 2.0, 4.0)):  # a machine that gets slower
        runs += [run("kernel", number, 40 * factor, 10 * factor),
                 run("static0", number, 20 * factor, 12 * factor),
                 run("ladder", number, 25 * factor, 10.1 * factor)]
    # a round without a baseline is worth nothing for ratios
    runs.append(run("ladder", 3, 1000, 1000))
    text = phase_table.tables(runs)
    assert row(text, "static0", 0)[1:5] == ["3", "40.0 (20.0..80.0)", "40.0 (20.0..80.0)",
                                            "100 (100..100)"], text
    assert row(text, "ladder", 0)[4] == "75 (75..75)" and row(text, "ladder", 0)[1] == "4", text
    assert row(text, "static0", 1)[1] == "+20.0 (+20.0..+20.0)", text
    assert row(text, "ladder", 1)[1:4] == ["+1.0 (+1.0..+1.0)"] * 3, text
    assert row(text, "kernel", 1)[1] == "20.00 (10.00..40.00) s", text
    assert "Noise is not known" in text and "25 % of what the host kept" in text, text
    assert "not quiet" not in text and text.index("| kernel |") < text.index("| ladder |"), text


def check_notes() -> None:
    """Noise, other load and complaints are told; other kernels have tables of their own."""
    runs = [run("kernel", 0, 40, 10), run("kernel2", 0, 40, 10.2),
            run("burst", 0, 40, 10, complaints=["warning: x"], kernel="6.1")]
    runs[1]["whole"] = {**runs[1]["whole"], "others_cpu": 0.7}
    text = phase_table.tables(runs)
    assert "burst 1 +2.0, on average 2.0 off" in text, text
    assert "up to 0.7 CPUs" in text and "complained: burst: warning: x" in text, text
    assert text.count("| strategy | runs |") == 2 and row(text, "burst", 1)[1] == "–", text


def check_update() -> None:
    """What stands between the marks is replaced, again and again, and nothing else."""
    document = f"head\n{phase_table.BEGIN}\nold\n{phase_table.END}\ntail\n"
    once = phase_table.update(document, "new")
    assert "old" not in once and once.startswith("head\n") and once.endswith("\ntail\n"), once
    assert phase_table.update(once, "new") == once, once
    for wrong in ("no marks", f"{phase_table.END}\n{phase_table.BEGIN}\n", document * 2):
        try:
            phase_table.update(wrong, "new")
        except ValueError:
            continue
        raise AssertionError(f"{wrong!r} was updated")
    doc = (TESTS.parent / "docs" / "phases.md").read_text()
    assert phase_table.BEGIN in phase_table.update(doc, "new")


def check_strategies() -> str:
    """All that the daemon knows are compared, and what it doesn't know is told."""
    require("sluice")
    known = known_strategies()
    found, skipped = entries([])
    names = [entry.name for entry in found]
    assert {"kernel", "kernel2", "static0", *known} == set(names), names
    assert [entry.order for entry in found if entry.name == "static0"] == [0], found
    found, skipped = entries(["kernel", "oracle"])
    assert [entry.name for entry in found] == ["kernel"], found
    assert len(skipped) == 1 and skipped[0].startswith("skipped: oracle: "), skipped
    return ", ".join(names)


def load(seed: int, *steps: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Answers of the load to some steps, and the files that it leaves."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        done = subprocess.run([require("phases"), str(seed), folder], text=True, check=True,
                              input="".join(f"{step}\n" for step in steps), capture_output=True,
                              timeout=LOAD_SECONDS)
        files = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    return [json.loads(line) for line in done.stdout.splitlines()], files


def check_load() -> str:
    """The same seed is the same work; another is not; what can't be done is an error."""
    steps = ("warm 8 3", "burst 12", "settle 1")
    answers, files = load(1, *steps)
    assert [answer["step"] for answer in answers] == ["warm", "burst", "settle"], answers
    # 3 MiB of heap for each job
    assert answers[1]["pgfault"] > 12 * 768 and answers[2]["ns"] > 0.2e9, answers
    assert files and load(1, *steps)[1] == files and load(2, *steps)[1] != files, files
    refused, files = load(1, "burst 0", "burst", "warm 1", "burst 1 1", "fly 1")
    assert len(refused) == 5 and all("error" in answer for answer in refused), refused
    return f"{answers[1]['pgfault']} faults in a burst of 12 jobs"


def check_scale() -> str:
    """A run of the default takes as long as the table of an hour allows."""
    seconds = Scale.of(1.0, 1536).seconds()
    assert 60 < seconds < 100 and Scale.of(1.0, 1536).idle_seconds >= 40, seconds
    assert Scale.of(0.01, 1536).burst_jobs == 1
    return f"{len(PROGRAMS)} programs, {seconds:.0f} s"


def main() -> int:
    tap = Tap()
    checks: list[tuple[str, Callable[[], object]]] = [
        ("integrals", check_integral),
        ("the sampler", check_sampler),
        ("tables", check_tables),
        ("notes", check_notes),
        ("tables in a document", check_update),
        ("strategies", check_strategies),
        ("the load", check_load),
        ("the time of a run", check_scale),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
