# SPDX-License-Identifier: GPL-2.0-only
"""Arms of experiments: how sluiced takes them up and gives them back, as long as it observes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from daemon import Daemon, as_nobody, config, require_bpf, wait_for  # noqa: E402
from tap import Tap  # noqa: E402

LEASE_MS = 60000  # longer than any check takes
SHORT_MS = 1000
SOON_SECONDS = 10.0  # a lease of SHORT_MS is over, on a busy machine too
BUCKETS = 33  # SLUICE_TIME_BUCKETS
ARMS = 40
LOOKS = 20
RARELY = "1h"  # no decision but the first, and those that an arm brings

MEMBERS = {
    "version": int, "time_ns": int, "instance": int, "pid": int, "experiment": (str, type(None)),
    "arm": (str, type(None)), "arms": int, "reloads": int, "free_bytes": int,
    "reported_bytes": (int, type(None)), "churn_reported_bytes": int, "churn_reused_bytes": int,
    "lifetimes": list, "reuse": list, "map_renewed": int, "releases": int, "kicks": int,
    "vetoes": int, "drains": int, "let_go": bool, "let_go_reason": str, "trusted": bool,
    "untrusted_reason": str, "usable": bool, "unusable_reason": str,
}
TOTALS = ("time_ns", "arms", "reloads", "churn_reported_bytes", "churn_reused_bytes", "map_renewed",
          "releases", "kicks", "vetoes", "drains")


def begin(daemon: Daemon, arm: str = "A", text: str = "", **members: Any) -> dict[str, Any]:
    """Put an arm of experiment "test" in force, as far as the daemon lets us."""
    path = daemon.write_arm(arm, text or config("dry-run", more='strategy = "kernel";'))
    return daemon.ask("arm", **{"experiment": "test", "arm": arm, "config": path,
                                "lease_ms": LEASE_MS, **members})


def running(daemon: Daemon) -> tuple[str, str, str | None]:
    """Mode, strategy and arm."""
    status = daemon.status()
    experiment = status["experiment"]
    return status["mode"], status["strategy"], experiment and experiment["arm"]


def wait_own(daemon: Daemon) -> None:
    """Wait until no arm is in force."""
    wait_for(lambda: daemon.status()["experiment"] is None, "the end of a lease", SOON_SECONDS)


def assert_sample(sample: dict[str, Any]) -> None:
    """Exactly what include/sluice/control.h documents."""
    assert sample.keys() == MEMBERS.keys(), sample.keys() ^ MEMBERS.keys()
    for name, kind in MEMBERS.items():
        assert isinstance(sample[name], kind), f"{name}: {sample[name]!r}"
    for name in ("lifetimes", "reuse"):
        assert len(sample[name]) == BUCKETS and min(sample[name]) >= 0, sample[name]


def check_check() -> None:
    """What would be refused is, and what would be taken changes nothing."""
    with Daemon(config()) as daemon:
        own = running(daemon)
        path = daemon.write_arm("A", config("dry-run"))
        assert daemon.ask("arm-check", experiment="test", config=path) == {"version": 1}
        bad = daemon.write_arm("B", 'mode = "observe";\ninterval = "5 apples";\n')
        assert daemon.ask("arm-check", experiment="test",
                          config=bad)["error"].startswith(f"{bad}:2: interval: ")
        for name in ("experiment", "config"):
            members = {"experiment": "test", "config": path, name: 1}
            error = daemon.ask("arm-check", **members)["error"]
            assert error.startswith(f'arm-check: "{name}"'), error
        assert running(daemon) == own and daemon.ask("sample")["arms"] == 0
        assert "experiment" not in daemon.log(), daemon.log()
        begin(daemon)
        assert daemon.ask("arm-check", experiment="test", config=path) == {"version": 1}
        error = daemon.ask("arm-check", experiment="other", config=path)["error"]
        assert 'experiment "test" is under way' in error, error
        assert daemon.ask("sample")["arms"] == 1


def check_begin_end() -> str:
    """Each arm is in force at once; afterwards all is as before."""
    with Daemon(config()) as daemon:
        own = running(daemon)
        assert own == ("observe", "threshold", None), own
        sample = begin(daemon)
        assert_sample(sample)
        assert (sample["experiment"], sample["arm"], sample["arms"]) == ("test", "A", 1), sample
        assert running(daemon) == ("dry-run", "kernel", "A"), running(daemon)
        sample = begin(daemon, "B", config("dry-run", "300ms", 'strategy = "ladder";'))
        assert (sample["arm"], sample["arms"]) == ("B", 2), sample
        assert running(daemon) == ("dry-run", "ladder", "B"), running(daemon)
        found = daemon.status()["experiment"]
        assert found.keys() == {"id", "arm", "since_ms", "lease_left_ms", "arms"}, found
        assert found["id"] == "test" and found["arms"] == 2, found
        assert 0 <= found["since_ms"] < 30000 and 30000 < found["lease_left_ms"] <= LEASE_MS, found
        line = [line for line in daemon.client("status").stdout.splitlines()
                if line.startswith("experiment ")]
        assert len(line) == 1 and "test: arm B for " in line[0], line
        assert "; its lease ends in " in line[0], line
        assert daemon.ask("arm-end", experiment="test") == {"version": 1, "ended": True}
        assert running(daemon) == own, running(daemon)
        assert daemon.ask("arm-end", experiment="test") == {"version": 1, "ended": False}
        assert daemon.ask("sample")["arms"] == 2
        assert "experiment" not in daemon.client("status").stdout
        for said in ("experiment test: arm A: ", "experiment test: arm B: ",
                     "experiment test: arm B ended: on request"):
            assert said in daemon.log(), daemon.log()
    return line[0]


def check_anew() -> None:
    """Each begin of an arm is a start: it decides at once, and the same arm again no less."""
    text = config("dry-run", RARELY, 'threshold = { start = "4KiB"; stop = "0"; min_age = "0"; '
                  'cooldown = "1h"; };')
    with Daemon(config(interval=RARELY)) as daemon:
        for number in range(3):
            ticks, decided = daemon.status()["tally"]["ticks"], daemon.log().count("would ")
            begin(daemon, "A", text)
            wait_for(lambda ticks=ticks: daemon.status()["tally"]["ticks"] > ticks, "a decision")
            # what an arm decides first is news, whatever was decided before it
            assert daemon.log().count("would ") == decided + 1, f"{number}: {daemon.log()}"
            assert daemon.status()["activity"] is None, "measured over the change"
            assert daemon.status()["tally"]["ticks"] == ticks + 1, "more than one decision"
        ticks = daemon.status()["tally"]["ticks"]
        daemon.ask("arm-end", experiment="test")
        wait_for(lambda: daemon.status()["tally"]["ticks"] > ticks, "a decision of its own")
        assert daemon.status()["decision"]["reason"] == "mode is observe"


def check_expiry() -> None:
    """Without a renewal the own configuration returns, however rarely decisions come."""
    with Daemon(config(interval=RARELY)) as daemon:
        ticks, started = daemon.status()["tally"]["ticks"], time.monotonic()
        begin(daemon, text=config("dry-run", RARELY), lease_ms=SHORT_MS)
        wait_own(daemon)
        assert time.monotonic() - started >= SHORT_MS / 1000, "before its time"
        assert running(daemon) == ("observe", "threshold", None), running(daemon)
        assert "arm A ended: its lease was not renewed for 1 s" in daemon.log(), daemon.log()
        wait_for(lambda: daemon.status()["tally"]["ticks"] > ticks and
                 daemon.status()["decision"]["reason"] == "mode is observe", "its own decision")
        sample = daemon.ask("sample", experiment="test")
        assert sample["experiment"] is None and sample["arm"] is None, sample


def check_renewal() -> None:
    """A sample for the experiment renews its lease, no other does; and none brings a decision."""
    with Daemon(config(interval=RARELY)) as daemon:
        require_bpf(daemon)
        begin(daemon, text=config("dry-run", RARELY), lease_ms=3 * SHORT_MS)
        wait_for(lambda: daemon.status()["decision"]["reason"] != "mode is observe", "a decision")
        ticks = daemon.status()["tally"]["ticks"]
        until = time.monotonic() + 4 * SHORT_MS / 1000
        while time.monotonic() < until:
            assert daemon.ask("sample", experiment="test")["arm"] == "A", daemon.log()
            time.sleep(SHORT_MS / 4000)
        assert daemon.status()["tally"]["ticks"] == ticks, "samples brought decisions"
        left = daemon.status()["experiment"]["lease_left_ms"]
        for members in ({}, {"experiment": "other"}):
            assert daemon.ask("sample", **members)["experiment"] == "test"
        assert daemon.status()["experiment"]["lease_left_ms"] <= left
        until = time.monotonic() + SOON_SECONDS
        while daemon.ask("sample", experiment="other")["arm"] is not None:
            assert time.monotonic() < until, "the lease was renewed by others"
            time.sleep(SHORT_MS / 4000)


def check_others() -> None:
    """One experiment at a time; the other is told which."""
    with Daemon(config()) as daemon:
        begin(daemon)
        for request in ("arm", "arm-end"):
            error = daemon.ask(request, experiment="other", arm="B", lease_ms=SHORT_MS,
                               config=str(daemon.config_path))["error"]
            assert '"test"' in error, error
        assert running(daemon) == ("dry-run", "kernel", "A"), running(daemon)
        assert daemon.status()["experiment"]["arms"] == 1
        assert "error" not in begin(daemon, "B")
        daemon.ask("arm-end", experiment="test")
        assert begin(daemon, experiment="other")["experiment"] == "other"


def check_members() -> None:
    """What is wrong with a request is said: the member, its value, and what is allowed."""
    wrong: dict[str, tuple[Any, ...]] = {
        "experiment": ("", "x" * 64, "a b", "a/b", "ä", "a\n", 1, None, True),
        "arm": ("", "a", "C", "AB", 1, None), "config": ("", "sluice.conf", "./x", 1, None),
        "lease_ms": (0, 999, 600001, -1, 1 << 62, 1.5, "1000", None)}
    allowed = {"experiment": "1 to 63", "arm": '"A" or "B"', "config": "absolute path",
               "lease_ms": "1000 to 600000"}
    with Daemon(config()) as daemon:
        good = {"experiment": "x" * 63, "arm": "A", "config": str(daemon.config_path),
                "lease_ms": 1000}
        for name, values in wrong.items():
            for value in values:
                error = daemon.ask("arm", **{**good, name: value})["error"]
                assert error.startswith(f'arm: "{name}"'), f"{name} {value!r}: {error}"
                if isinstance(value, str) and name != "lease_ms":
                    assert allowed[name] in error, error
                    assert value.isascii() is False or value[:60] in error or "\\n" in error, error
            missing = {key: value for key, value in good.items() if key != name}
            error = daemon.ask("arm", **missing)["error"]
            assert f'"{name}": is missing' in error and allowed[name] in error, error
        for request in ("arm-end", "sample"):
            for value in wrong["experiment"]:
                error = daemon.ask(request, experiment=value)["error"]
                assert error.startswith(f'{request}: "experiment"'), error
        assert '"experiment": is missing' in daemon.ask("arm-end")["error"]
        assert daemon.status()["experiment"] is None
        assert "error" not in daemon.ask("arm", **good)


def check_bad_config() -> None:
    """A file with errors: each of them with file and line, and what was in force stays."""
    bad = ('mode = "observe";\ninterval = "5 apples";\nstrategie = "kernel";\n'
           'threshold = {\n  start = "1MiB";\n  stop = "2MiB";\n};\n')
    with Daemon(config()) as daemon:
        for arm in (None, "A"):
            if arm:
                begin(daemon, arm)
            before = running(daemon)
            error = begin(daemon, "B", bad)["error"]
            wanted = [(2, "interval"), (3, "strategie"), (6, "threshold.stop")]
            lines = error.split("\n")
            assert len(lines) == len(wanted), error
            for line, (number, name) in zip(lines, wanted):
                assert line.startswith(f"{daemon.folder}/B.conf:{number}: {name}: "), error
            for path in ("/nonexistent/arm.conf", str(daemon.folder), "/dev/zero"):
                error = begin(daemon, "B", config=path)["error"]
                assert error.startswith(f"{path}:0: "), error
            assert running(daemon) == before, running(daemon)
        assert daemon.status()["experiment"]["arms"] == 1


def check_fixed() -> None:
    """What only a start can change is no subject of an experiment."""
    with Daemon(config(more='events = "lists";')) as daemon:
        error = begin(daemon, text=config("dry-run", more='events = "off";'))["error"]
        assert error.startswith(f"{daemon.folder}/A.conf: ") and error.endswith("\nevents"), error
        assert running(daemon)[2] is None
        assert "error" not in begin(daemon, text=config("dry-run", more='events = "lists";'))


def check_reload() -> None:
    """A reload meanwhile is checked, and replaces what returns; the arm stays."""
    with Daemon(config()) as daemon:
        begin(daemon)
        daemon.reload(config(interval="300ms", more='strategie = "kernel";'))
        wait_for(lambda: "reload refused" in daemon.log(), "refusal")
        assert daemon.ask("sample")["reloads"] == 0
        daemon.reload(config("dry-run", "700ms", 'strategy = "cycle";'))
        wait_for(lambda: "arm A stays in force" in daemon.log(), "reload")
        assert running(daemon) == ("dry-run", "kernel", "A"), running(daemon)
        assert daemon.ask("sample")["reloads"] == 1
        daemon.ask("arm-end", experiment="test")
        assert running(daemon) == ("dry-run", "cycle", None), running(daemon)
        assert daemon.status()["interval_ms"] >= 700, daemon.status()
        daemon.reload(config())
        wait_for(lambda: running(daemon) == ("observe", "threshold", None), "a reload without arm")
        assert daemon.ask("sample")["reloads"] == 2


def check_restart() -> None:
    """A daemon that starts knows of no arm, however the last one ended."""
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as name:
        instances = set()
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            with Daemon(config(), folder=Path(name)) as daemon:
                assert running(daemon) == ("observe", "threshold", None), running(daemon)
                sample = daemon.ask("sample")
                assert sample["pid"] == daemon.pid and sample["arms"] == 0, sample
                instances.add(sample["instance"])
                assert begin(daemon)["instance"] in instances
                files = {path.name for path in daemon.runtime.iterdir()}
                assert files == {"control", "lock"}, files
                assert daemon.stop(number) == (0 if number == signal.SIGTERM else -number)
        assert len(instances) == 3, instances


def check_restore() -> None:
    """`sluice restore` ends the arm and lets go; only a reload takes up again."""
    with Daemon(config()) as daemon:
        begin(daemon)
        assert daemon.ask("restore")["restored"]
        assert running(daemon) == ("observe", "threshold", None), running(daemon)
        assert 'arm A ended: "sluice restore"' in daemon.log(), daemon.log()
        sample = begin(daemon)
        assert sample["let_go"] and "sluice restore" in sample["let_go_reason"], sample
        daemon.wait_ticks(1)
        decision = daemon.status()["decision"]
        assert decision["action"] == "leave" and "sluice restore" in decision["reason"], decision
        daemon.ask("arm-end", experiment="test")
        assert daemon.ask("sample")["let_go"]
        begin(daemon)
        os.kill(daemon.pid, signal.SIGHUP)
        wait_for(lambda: not daemon.ask("sample")["let_go"], "control after a reload")
        assert running(daemon)[2] == "A"


def check_unprivileged() -> None:
    """Root's alone, even where others may look."""
    with Daemon(config()) as daemon:
        begin(daemon)
        daemon.runtime.chmod(0o755)
        daemon.socket_path.chmod(0o666)
        for request in ("arm", "arm-check", "arm-end", "sample"):
            answer = as_nobody(lambda request=request: daemon.ask(
                request, experiment="test", arm="B", config=str(daemon.config_path),
                lease_ms=LEASE_MS))
            assert answer == {"version": 1, "error": "only root may ask for that"}, answer
        assert as_nobody(lambda: daemon.status()["experiment"]["arm"]) == "A"
        assert running(daemon)[2] == "A"


def check_sample() -> str:
    """Totals only grow, over arms and ends of arms."""
    with Daemon(config(interval="100ms")) as daemon:
        assert daemon.ask("sample").get("experiment", "") is None
        samples = []
        for number in range(6):
            if number % 3 == 0:
                begin(daemon, "AB"[number % 2], config(
                    "dry-run", "100ms", f'guards = {{ churn_age = "{1 + number}s"; }};'))
            elif number % 3 == 2:
                daemon.ask("arm-end", experiment="test")
            samples.append(daemon.ask("sample", experiment="test"))
            assert_sample(samples[-1])
            time.sleep(0.1)
        buddyinfo = daemon.status()["source"] == "buddyinfo"
        managed = daemon.status()["memory"]["managed_bytes"]
    for earlier, later in zip(samples, samples[1:]):
        for name in TOTALS:
            assert earlier[name] <= later[name], f"{name}: {earlier[name]}, then {later[name]}"
        for name in ("lifetimes", "reuse"):
            assert all(map(lambda a, b: a <= b, earlier[name], later[name])), name
        for name in ("instance", "pid"):
            assert earlier[name] == later[name], name
    for sample in samples:
        assert 0 < sample["free_bytes"] <= managed, sample
        assert (sample["reported_bytes"] is None) == buddyinfo, sample
    assert [sample["arm"] for sample in samples] == ["A", "A", None, "B", "B", None]
    return f"{sum(samples[-1]['lifetimes'])} lifetimes; reported {samples[-1]['reported_bytes']}"


def check_size() -> str:
    """Nothing stays behind of many arms."""
    with Daemon(config(interval="100ms")) as daemon:
        def descriptors() -> int:
            """Those that stay: a decision that is under way has files open."""
            found = []
            for _ in range(LOOKS):
                found.append(len(os.listdir(f"/proc/{daemon.pid}/fd")))
                time.sleep(0.02)
            return min(found)

        def resident() -> int:
            text = Path(f"/proc/{daemon.pid}/status").read_text()
            return int(text.split("VmRSS:")[1].split()[0])

        begin(daemon)
        before, early = descriptors(), resident()
        for number in range(ARMS):
            assert "error" not in begin(daemon, "AB"[number % 2])
            begin(daemon, text='mode = "observe";\ninterval = 1;\n')
        after, late = descriptors(), resident()
    assert after == before, f"{before} descriptors, then {after}"
    assert late <= early + 512, f"{early} KiB, then {late} KiB"
    return f"{early} KiB, {late} KiB after {ARMS} arms"


def main() -> int:
    tap = Tap()
    checks: list[tuple[str, Callable[[], object]]] = [
        ("what would be refused is told before", check_check),
        ("an arm begins, and ends on request", check_begin_end),
        ("all begins anew, with the same arm too", check_anew),
        ("the lease ends in time", check_expiry),
        ("samples renew the lease", check_renewal),
        ("two experiments at once", check_others),
        ("wrong members", check_members),
        ("a configuration with errors", check_bad_config),
        ("what only a start can change", check_fixed),
        ("a reload during an arm", check_reload),
        ("a restart during an arm", check_restart),
        ("sluice restore during an arm", check_restore),
        ("unprivileged users", check_unprivileged),
        ("samples", check_sample),
        ("memory and descriptors", check_size),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
