# SPDX-License-Identifier: GPL-2.0-only
"""sluice ab: reports of experiments whose outcome is known, wrong options and files, and one that
really runs, on this machine, between two configurations that write nothing."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from ab_page import check_page  # noqa: E402
from daemon import Daemon, config, plain_environment, require_root  # noqa: E402
from daemon import SLUICE, run_as_nobody, wait_for  # noqa: E402
from tap import Tap  # noqa: E402

SECOND = 10**9
NAMES = {"unreported": "GiB s", "reported": "MiB", "reused": "MiB", "psi_some": "ms",
         "psi_full": "ms", "alloc_stalls": "stalls", "compact_stalls": "stalls",
         "refaults": "pages", "worker_cpu": "ms", "daemon_cpu": "ms", "host": "GiB s"}
HOSTILE = "p<script>alert(1)</script> 'quoted' \"%s\" $(x) } @{a}^2"


def ab(*arguments: str | Path, json_output: bool = False) -> subprocess.CompletedProcess[str]:
    """`sluice ab`."""
    words = ["--json"] if json_output else []
    return subprocess.run([str(SLUICE), *words, "ab", *(str(word) for word in arguments)],
                          text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120,
                          env=plain_environment(), check=False)


def header(blocks: int, seed: int, command: str) -> dict[str, Any]:
    """First line of a file."""
    draw = random.Random(seed)
    sequence = "".join(draw.choice(("ABBA", "BAAB")) for _ in range(blocks))
    outcomes = [{"name": name, "unit": unit, "command": "",
                 "better": "neither" if name == "reported" else "less"}
                for name, unit in NAMES.items()]
    outcomes.append({"name": "rps", "unit": "", "better": "more", "command": command})
    return {"sluice_ab": 1, "sluice": "0", "id": "made", "created_ms": 1764000000000,
            "guest": {"machine": "m", "boot": "b", "kernel": "6.1"},
            "plan": {"design": "abba", "blocks": blocks, "period_ns": 60 * SECOND,
                     "washout_ns": 10 * SECOND, "seed": seed, "sequence": sequence},
            "arms": [{"file": f"{name}.conf", "text": f"# {command}\n"} for name in "ab"],
            "outcomes": outcomes, "host_feed": "/dev/vport0p1", "primary": "unreported",
            "margin": 0.05, "alpha": 0.05, "power": 0.8, "sample_ns": SECOND,
            "metric_timeout_ns": SECOND, "stop": {"pressure": 20, "churn": 80, "errors": 50}}


def write(path: Path, *, blocks: int = 12, effect: float = 0.0, noise: float = 1.0, seed: int = 1,
          done: int | None = None, command: str = "cat /run/rps") -> None:
    """An experiment: levels around 40, B beyond A by `effect`, and a trend over all of it."""
    first = header(blocks, seed, command)
    sequence = first["plan"]["sequence"]
    draw = random.Random(seed)
    lines = [first, {"event": {"time_ms": 1764000000000, "what": "started", "text": ""}}]
    for number, arm in enumerate(sequence[:done]):
        def value() -> float:
            return (40 + 0.1 * number + draw.gauss(0, noise)  # noqa: B023  # used at once
                    + (effect if arm == "B" else 0))  # noqa: B023
        values = {name: value() for name in (*NAMES, "rps")}
        at = [float(second) for second in range(0, 60, 2)]
        lines.append({"period": {
            "number": number, "arm": arm, "start_ms": 1764000000000 + number * 60000,
            "seconds": 50.0, "values": values, "drift": {name: draw.gauss(0, 1) for name in values},
            "samples": {"host": [50, 0], "rps": [49, 1]},
            "lifetimes": [0, 1, 5, 9, 3], "reuse": [0, 0, 2, 1] if arm == "A" else [1, 7],
            "line": {"at": at, "unreported": [value() / 50 for _ in at],
                     "host": [value() / 20 for _ in at]}}})
    if done is None:
        lines.append({"event": {"time_ms": 1764000000000, "what": "finished", "text": "done"}})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def verdict(path: Path) -> dict[str, Any]:
    """The primary outcome's effect."""
    done = ab("report", path, json_output=True)
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    found: dict[str, Any] = next(effect for effect in report["effects"] if effect["primary"])
    return found


def check_verdicts(folder: Path) -> str:
    """A known effect, none, and too few blocks to tell."""
    path = folder / "x.jsonl"
    found = []
    for wanted, arguments in {"A is better": {"effect": 6.0},
                              "B is better": {"effect": -6.0},
                              "equivalent": {"noise": 0.5},
                              "not enough data": {"noise": 9.0}}.items():
        write(path, **arguments)
        effect = verdict(path)
        assert effect["verdict"] == wanted, f"{wanted}: {effect}"
        true = arguments.get("effect", 0.0)
        assert effect["low"] <= true <= effect["high"], effect
        text = ab("report", path).stdout
        assert all(len(line) <= 80 for line in text.splitlines()), text
        found.append(re.sub(r"\s+", " ", text.split("verdict", 1)[1].split("\n\n", 1)[0]).strip())
    return "\n".join(found)


def check_plan(folder: Path) -> str:
    """Twice the noise takes about four times the blocks."""
    needed = []
    for noise in (1.0, 2.0):
        path = folder / "pilot.jsonl"
        write(path, noise=noise, seed=3)
        done = ab("plan", "--effect", "2", path, json_output=True)
        outcomes = {entry["outcome"]: entry for entry in json.loads(done.stdout)["outcomes"]}
        needed.append(outcomes["unreported"]["blocks"])
    assert 2.5 < needed[1] / needed[0] < 5, needed
    return f"{needed[0]} and {needed[1]} blocks"


def check_html(folder: Path) -> str:
    """One page that a browser shows, with hostile names in it."""
    path, page = folder / "x.jsonl", folder / "page.html"
    write(path, effect=-3.0, command=HOSTILE)
    done = ab("report", "--html", page, path)
    assert done.returncode == 0 and str(page) in done.stdout, done
    seen = check_page(page, folder / "page.png")
    assert "B" in seen.headline + seen.verdict, seen
    assert "<script>alert" not in page.read_text()
    assert all(text == "plot" for text in seen.plots.values()), seen.plots
    return f"{seen}"


def check_files(folder: Path) -> str:
    """Files that are not what they should be."""
    path = folder / "x.jsonl"
    write(path, done=5)
    report = ab("report", path)
    assert report.returncode == 0 and "1 " in report.stdout, report
    with path.open("a") as file:
        file.write('{"period": {"number": 9999}}\n')
    wrong = ab("report", path)
    assert wrong.returncode == 1 and f"{path}:8: " in wrong.stderr, wrong
    path.write_text(json.dumps({**header(8, 1, "x"), "sluice_ab": 9}) + "\n")
    other = ab("report", path)
    assert other.returncode == 1 and "version 9" in other.stderr, other
    missing = ab("report", "--dir", folder / "none")
    assert missing.returncode == 1 and "holds no experiment" in missing.stderr, missing
    full = ab("report", "--html", "/dev/full/page", path)
    assert full.returncode == 1, full
    return wrong.stderr.strip()


def check_options(folder: Path) -> str:
    """Each wrong option is named, with what is allowed."""
    for name in "ab":
        (folder / f"{name}.conf").write_text(config())
    arms = ("--a", folder / "a.conf", "--b", folder / "b.conf")
    wrong = {"--blocks 1": "--blocks: ", "--period 1s": "--period: 1s is not from 2s",
             "--period 10": "unit", "--washout 5min": "leaves less than 1s",
             "--design abc": "abba or pairs", "--margin 0": "--margin: ",
             "--primary x": "known are unreported", "--metric x": "NAME=COMMAND",
             "--metric a/b=c": "NAME=COMMAND", "--higher x": "no --metric of that name",
             "--stop-churn 101": "--stop-churn: ", "--sample 1us": "--sample: 1us is not from",
             "--name ../x": "--name: ", "--seed 0": "--seed: ", "--seed 12abc": "--seed: ",
             "more": "unexpected argument"}
    for arguments, text in wrong.items():
        done = ab("run", *arms, "--dir", folder, *arguments.split())
        assert done.returncode == 2 and text in done.stderr, f"{arguments}: {done}"
    (folder / "latin1.conf").write_bytes(config().encode() + b"# caf\xe9\n")
    done = ab("run", "--a", folder / "latin1.conf", "--b", folder / "b.conf", "--schedule")
    assert done.returncode == 1 and "UTF-8" in done.stderr, done
    for verb in ("", "fly"):
        assert ab(*verb.split()).returncode == 2
    schedule = ab("run", *arms, "--schedule", "--seed", "7", "--blocks", "8")
    again = ab("run", *arms, "--schedule", "--seed", "7", "--blocks", "8")
    assert schedule.returncode == 0 and "seed 7" in schedule.stdout, schedule
    assert schedule.stdout.splitlines()[1:] == again.stdout.splitlines()[1:], again
    assert len(re.findall(r"\b(?:ABBA|BAAB)\b", schedule.stdout)) == 8, schedule.stdout
    for times, sample_ms in (("3min --washout 1min", 2000), ("4s --washout 1s", 750)):
        done = ab("run", *arms, "--schedule", "--json", "--period", *times.split())
        assert json.loads(done.stdout)["sample_ns"] == sample_ms * 1_000_000, done
    assert not list(folder.glob("*.jsonl")), "a schedule was written down"
    assert all(len(line) <= 80 and line == line.rstrip()
               for line in schedule.stdout.splitlines()), schedule.stdout
    return schedule.stdout


def read_screen(master: int, child: int) -> str:
    """Everything that a program on a terminal prints until it ends."""
    text = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # the other side has closed
            break
        if not data:
            break
        text += data
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text.decode()
    return text.decode()


def check_run(folder: Path) -> str:
    """One that runs here, between two that write nothing, on a terminal."""
    require_root()
    (folder / "a.conf").write_text(config("dry-run", more='strategy = "threshold";'))
    (folder / "b.conf").write_text(config("dry-run", more='strategy = "ladder";'))
    with Daemon(config()) as daemon:
        command = [str(SLUICE), "--runtime-dir", str(daemon.runtime), "ab", "run",
                   "--a", str(folder / "a.conf"), "--b", str(folder / "b.conf"),
                   "--dir", str(folder / "ab"), "--name", "here", "--design", "pairs",
                   "--blocks", "2", "--period", "2s", "--washout", "500ms", "--sample", "300ms",
                   "--metric", "load=cut -d' ' -f1 /proc/loadavg", "--stop-pressure", "0"]
        child, master = pty.fork()
        if child == 0:
            os.execve(command[0], command, plain_environment({"TERM": "xterm"}))
        wait_for(lambda: daemon.status()["experiment"], "an arm")
        nobody = run_as_nobody(SLUICE, "ab", "run", "--a", "/dev/null", "--b", "/dev/null")
        assert nobody.returncode == 1 and "needs root" in nobody.stderr, nobody
        text = read_screen(master, child)
        os.close(master)
        assert daemon.status()["experiment"] is None, daemon.status()
        assert daemon.status()["mode"] == "observe", daemon.status()
    progress = re.findall(r"\r(\[[# ]+\] block \d of 2, [AB], [^\x1b]*)", text)
    assert progress and all(len(line) <= 80 for line in progress), progress
    assert "Too few" in text and "sluice ab report --html" in text, text
    found = [json.loads(line) for line in (folder / "ab" / "here.jsonl").read_text().splitlines()]
    periods = [line["period"] for line in found if "period" in line]
    assert len(periods) == 4, found
    assert all(period["values"]["unreported"] > 0 for period in periods), periods
    assert all(period["values"]["load"] is not None for period in periods), periods
    return "\n".join([progress[len(progress) // 2], text[text.index("A/B"):]])


def main() -> int:
    tap = Tap()
    checks: dict[str, Callable[[Path], object]] = {
        "verdicts": check_verdicts, "a plan from a pilot": check_plan,
        "one page in a browser": check_html, "files": check_files, "options": check_options,
        "one that runs": check_run}
    for name, check in checks.items():
        with tempfile.TemporaryDirectory(prefix="sluice-ab-") as folder:
            tap.check(name, lambda check=check, folder=folder: check(Path(folder)))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
