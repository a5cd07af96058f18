# SPDX-License-Identifier: GPL-2.0-only
"""A/B experiments in a real guest: outcomes, interruptions, and that no arm is ever left behind.

    python3 tests/vm/ab.py [NAME...]

The experiments are short, to see that they run, not to find anything; docs/ab.md has real ones.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import Guest  # noqa: E402
from hostfeed import HostFeed, port  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import ORDER, Sluice, order_knob  # noqa: E402
from tap import Tap  # noqa: E402

KERNELS = ("6.1", "7.2")  # the host's port needs a module in 6.1
OWN = 'mode = "control"; strategy = "kernel"; interval = "500ms";\n'
ARMS = {"a": 'strategy = "threshold"; interval = "500ms"; threshold = { start = "16MiB"; };\n',
        "b": 'strategy = "ladder"; interval = "500ms";\n'}
SHORT = "--a /tmp/a.conf --b /tmp/b.conf --design pairs --blocks 6 --period 2s --sample 200ms"
FOLDER = "/var/lib/sluice/ab"
LEASE_SECONDS = 40.0  # 30 s and what a busy machine adds


class Experiment:
    """`sluice ab run` in the background."""

    def __init__(self, guest: Guest, name: str, arguments: str = "") -> None:
        self.guest = guest
        self.name = name
        self.log_path = f"/tmp/{name}.log"
        command = f"sluice ab run {SHORT} --washout 500ms --name {name} {arguments}"
        self.pid = guest.spawn(command, self.log_path)

    @classmethod
    def resume(cls, guest: Guest, name: str) -> "Experiment":
        """Go on with one."""
        found = cls.__new__(cls)
        found.guest, found.name, found.log_path = guest, name, f"/tmp/{name}-again.log"
        found.pid = guest.spawn(f"sluice ab run --resume={name}", found.log_path)
        return found

    def log(self) -> str:
        """What it has printed."""
        return self.guest.check(f"cat {self.log_path}")

    def lines(self, key: str) -> list[dict[str, Any]]:
        """Periods or events of its file so far."""
        text = self.guest.run(f"cat {FOLDER}/{self.name}.jsonl").out
        found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [line[key] for line in found if key in line]

    def wait_periods(self, number: int) -> None:
        """Until so many were measured."""
        def measured() -> bool:
            assert self.guest.exit_status(self.pid) is None, f"it has ended: {self.log()}"
            return len(self.lines("period")) >= number

        self.guest.wait_for(measured, 60, 0.2, f"{number} periods of {self.name}")

    def wait(self, timeout: float = 90) -> int:
        """Until its end; the exit status."""
        try:
            return self.guest.wait_exit(self.pid, timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.log()}") from error

    def events(self) -> list[str]:
        """What happened to it."""
        return [event["what"] for event in self.lines("event")]

    def status(self) -> dict[str, Any]:
        """`sluice ab status`."""
        return json.loads(self.guest.check(f"sluice --json ab status {self.name}"))

    def report(self) -> dict[str, Any]:
        """`sluice ab report`."""
        return json.loads(self.guest.check(f"sluice --json ab report {self.name}"))


def in_force(sluice: Sluice) -> str | None:
    """The arm."""
    found = sluice.status()["experiment"]
    return found["arm"] if found else None


def expect_own(sluice: Sluice, before: int | None) -> None:
    """Nothing of an arm is left."""
    status = sluice.status()
    assert status["experiment"] is None and status["strategy"] == "kernel", status
    assert order_knob(sluice.guest) == before, f"order {order_knob(sluice.guest)}, not {before}"


def check_whole(sluice: Sluice, before: int | None, feed: str) -> str:
    """One from begin to end: schedule, arms, outcomes, a metric, the host, and the report."""
    guest = sluice.guest
    metric = "--metric 'loop=awk \"BEGIN { print 0.5 }\"' --primary loop --higher loop"
    run = Experiment(guest, "whole", f"--host-feed {feed} --seed 5 {metric}")
    run.wait_periods(2)
    status = run.status()
    assert status["state"] == "running" and status["plan"]["seed"] == 5, status
    seen = {in_force(sluice) for _ in range(12) if not time.sleep(0.4)}
    assert {"A", "B"} <= seen, seen
    assert run.wait() == 0, run.log()
    expect_own(sluice, before)
    assert run.events() == ["started", "finished"], run.events()
    periods = run.lines("period")
    assert "".join(period["arm"] for period in periods) == status["plan"]["sequence"]
    report = run.report()
    assert report["whole_blocks"] == 6, report
    values = {name: [period["values"][name] for period in periods]
              for name in periods[0]["values"]}
    missing = [name for name, found in values.items() if None in found]
    assert not missing, f"{missing}: {values}"
    assert all(value == 0.5 for value in values["loop"]), values["loop"]
    # GiB x s in 1.5 s of a guest of 1 GiB
    assert all(0 < value < 1.6 for value in values["host"]), values["host"]
    assert all(value > 0 for value in values["daemon_cpu"]), values["daemon_cpu"]
    assert any(values["unreported"]), values["unreported"]
    text = guest.check("sluice ab report whole")
    assert re.search(r"loop +0\.50* +0\.50* +0 ", text) and "unreported" in text, text
    assert all(len(line) <= 80 for line in text.splitlines()), text
    plan = json.loads(guest.check("sluice --json ab plan --effect 50 whole"))
    assert {"unreported", "loop"} <= {entry["outcome"] for entry in plan["outcomes"]}, plan
    return text


def check_interrupted(sluice: Sluice, before: int | None) -> str:
    """A daemon that is killed, a reload and a drain: the block is measured again."""
    guest = sluice.guest
    run = Experiment(guest, "rough")
    run.wait_periods(1)
    sluice.stop("KILL")
    assert guest.run("sluice ab run --a /tmp/a.conf --b /tmp/b.conf").rc == 1
    sluice.pid = guest.spawn("sluiced", "/tmp/sluiced2.log")
    run.wait_periods(3)
    sluice.guest.check(f"kill -HUP {sluice.daemon_pid()}")
    run.wait_periods(5)
    assert guest.run("sluice drain --wait --timeout 5s", 30).rc in (0, 2)
    assert run.wait(150) == 0, run.log()
    expect_own(sluice, before)
    events = run.lines("event")
    why = [event["text"] for event in events if event["what"] == "interrupted"]
    assert any("anew" in text or "answer" in text for text in why), events
    assert any("drained" in text for text in why), events
    assert events[-1]["what"] == "finished", events
    numbers = [period["number"] for period in run.lines("period")]
    assert set(numbers) == set(range(12)), numbers
    return ", ".join(why)


def check_killed(sluice: Sluice, before: int | None) -> str:
    """The process that runs it is killed: the arm ends by itself, and it can be gone on with."""
    guest = sluice.guest
    run = Experiment(guest, "killed")
    run.wait_periods(3)
    guest.stop(run.pid, "KILL")
    assert in_force(sluice) is not None
    began = time.monotonic()
    guest.wait_for(lambda: in_force(sluice) is None, LEASE_SECONDS, what="end of the lease")
    lasted = time.monotonic() - began
    expect_own(sluice, before)
    assert run.status()["state"] == "interrupted", run.status()
    text = guest.check("sluice ab status killed")
    assert "--resume=killed" in text, text
    again = Experiment.resume(guest, "killed")
    assert again.wait() == 0, again.log()
    assert run.events() == ["started", "resumed", "finished"], run.events()
    refused = guest.run("sluice ab run --resume=killed")
    assert refused.rc == 1 and "finished" in refused.out, refused
    expect_own(sluice, before)
    return f"the lease ended after {lasted:.0f} s"


def check_stops(sluice: Sluice, before: int | None) -> str:
    """On request, by failing metrics, and by the administrator's write."""
    guest = sluice.guest
    run = Experiment(guest, "stopped")
    run.wait_periods(1)
    said = guest.check("sluice ab stop")
    assert "stopped" in said and run.wait() == 0, run.log()
    expect_own(sluice, before)
    failing = Experiment(guest, "failing", "--metric 'none=false' --period 16s")
    assert failing.wait() == 0, failing.log()
    assert "metrics failed" in failing.lines("event")[-1]["text"], failing.lines("event")
    expect_own(sluice, before)
    hung = Experiment(guest, "hung",
                      "--metric 'none=sleep 100' --metric-timeout 300ms --period 16s")
    assert hung.wait() == 0, hung.log()
    assert "metrics failed" in hung.lines("event")[-1]["text"], hung.lines("event")
    assert "too long" in hung.log(), hung.log()
    if before is None:
        return "no knob"
    foreign = Experiment(guest, "foreign")
    foreign.wait_periods(1)
    guest.check(f"echo 8 >{ORDER}")
    assert foreign.wait() == 0, foreign.log()
    last = foreign.lines("event")[-1]
    assert last["what"] == "stopped" and "page_reporting_order" in last["text"], last
    assert order_knob(guest) == 8, "the administrator's value is gone"
    guest.check(f"echo {before} >{ORDER}")
    sluice.reload(OWN)
    return f"{failing.lines('event')[-1]['text']}; {last['text']}"


def check_pressure(sluice: Sluice, before: int | None) -> str:
    """Tasks that wait for memory end it."""
    guest = sluice.guest
    guest.check("mkdir -p /sys/fs/cgroup/tight && "
                "echo +memory >/sys/fs/cgroup/cgroup.subtree_control; "
                "echo 8M >/sys/fs/cgroup/tight/memory.high")
    load = guest.spawn("sh -c 'echo $$ >/sys/fs/cgroup/tight/cgroup.procs; "
                       "exec workload fill 64'", "/tmp/load.log")
    run = Experiment(guest, "pressed", "--period 30s --stop-pressure 5")
    try:
        assert run.wait() == 0, run.log()
    finally:
        guest.run(f"kill -KILL {load}")
    last = run.lines("event")[-1]
    assert last["what"] == "stopped" and "waited for memory" in last["text"], last
    expect_own(sluice, before)
    return last["text"]


def check_churn(sluice: Sluice, before: int | None) -> str:
    """So does memory that is reported and used again at once."""
    guest = sluice.guest
    load = guest.spawn("sh -c 'while :; do workload fill 300 --hold 1; sleep 5; done'",
                       "/tmp/load.log")
    run = Experiment(guest, "churned", "--period 60s --stop-churn 5 --stop-pressure 0")
    try:
        assert run.wait(120) == 0, run.log()
    finally:
        guest.run(f"kill -KILL {load}; killall workload")
    last = run.lines("event")[-1]
    assert last["what"] == "stopped" and "used again at once" in last["text"], last
    expect_own(sluice, before)
    return last["text"]


def check_refused(sluice: Sluice, before: int | None) -> str:
    """What is wrong is said, with the place, before anything is changed."""
    guest = sluice.guest
    guest.check("printf 'strategy = \"ladder\";\\nladder = { cold = \"7\"; };\\n' >/tmp/bad.conf; "
                "printf 'events = \"off\";\\n' >/tmp/fixed.conf")
    wrong = {
        "--a /tmp/bad.conf --b /tmp/b.conf": "/tmp/bad.conf:2: ladder.cold",
        "--a /tmp/a.conf --b /tmp/fixed.conf": "events",
        "--a /tmp/a.conf --b /tmp/none.conf": "/tmp/none.conf",
        "--a /tmp/a.conf --b /tmp/b.conf --primary speed": "known are unreported",
        "--a /tmp/a.conf": "--b FILE",
        "--resume=none": "none.jsonl",
        f"{SHORT} --washout 2s": "leaves less than 1s",
        f"{SHORT} --metric 'unreported=true'": "an outcome of that name",
    }
    for arguments, text in wrong.items():
        done = guest.run(f"sluice ab run {arguments}")
        assert done.rc != 0 and text in done.out, f"{arguments}: {done}"
    first = Experiment(guest, "first")
    first.wait_periods(1)
    second = guest.run("sluice ab run --a /tmp/a.conf --b /tmp/b.conf --name second")
    assert second.rc == 1 and "runs an experiment" in second.out, second
    other = guest.run("sluice ab run --a /tmp/a.conf --b /tmp/b.conf --dir /tmp/ab")
    assert other.rc == 1 and "first" in other.out, other
    guest.check("sluice ab stop")
    assert first.wait() == 0, first.log()
    expect_own(sluice, before)
    return second.out.strip()


def check_reboot(kernel: Kernel, text: str) -> str:
    """A file from before: says so, reports what was measured, and goes on with nothing."""
    with Guest(kernel, memory_mib=512, files=matrix.files()) as guest:
        guest.check(f"mkdir -p {FOLDER} && cat >{FOLDER}/old.jsonl <<'END'\n{text}END\n")
        said = " ".join(guest.check("sluice ab status").split())
        assert "ended by a reboot" in said and "sluice ab report first" in said, said
        done = guest.run("sluice ab run --resume")
        assert done.rc == 1 and "started anew" in done.out, done
        assert json.loads(guest.check("sluice --json ab report"))["version"] == 1
        guest.check("sed -i 's/\"machine\":\"[^\"]*\"/\"machine\":\"another\"/' "
                    f"{FOLDER}/old.jsonl")
        done = guest.run("sluice ab run --resume")
        assert done.rc == 1 and "another guest" in done.out, done
        guest.check(f"echo '{{}}' >>{FOLDER}/old.jsonl")
        done = guest.run("sluice ab report")
        assert done.rc == 1 and "old.jsonl:" in done.out, done
        return done.out.strip()


def check_guest(tap: Tap, kernel: Kernel) -> None:
    """All of it in one guest, and the reboot in another."""
    began = ""
    with (Guest(kernel, files=matrix.files(), host_port=True) as guest, HostFeed(guest, 0.2)):
        for arm, text in ARMS.items():
            guest.check(f"cat >/tmp/{arm}.conf <<'END'\n{text}END\n")
        before = order_knob(guest)
        checks: dict[str, Callable[[Sluice, int | None], object]] = {
            "from begin to end": partial(check_whole, feed=port(guest)),
            "interruptions": check_interrupted, "a runner that is killed": check_killed,
            "stops": check_stops, "pressure": check_pressure, "churn": check_churn,
            "what is refused": check_refused}
        with Sluice(guest, OWN) as sluice:
            for name, check in checks.items():
                tap.check(f"{name}, Linux {kernel.name}", partial(check, sluice, before))
        began = "\n".join(guest.check(f"cat {FOLDER}/first.jsonl").splitlines()[:-1]) + "\n"
    tap.check(f"a reboot, Linux {kernel.name}", partial(check_reboot, kernel, began))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, check_guest))
