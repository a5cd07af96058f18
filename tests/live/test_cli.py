# SPDX-License-Identifier: GPL-2.0-only
"""The client: every command's text and JSON, its errors and exit statuses.

`sluice kick` works without a daemon, so that it is run here only against a counterfeit daemon,
and without the privileges that a kick takes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from daemon import (REPOSITORY, SLUICE, Daemon, config, plain_environment,  # noqa: E402
                    require_bpf, require_root, run_as_nobody, run_client)
from tap import Skip, Tap  # noqa: E402

WIDTH = 80
WATCH_SECONDS = 60
COMMANDS = ("probe", "status", "hist", "extents", "check", "kick", "restore")

HIST_KEYS = {"version", "source", "scan", "cost_ns", "probes", "page_size", "pageblock_order",
             "reporting_order", "zones"}
ZONE_KEYS = {"node", "zone", "start_pfn", "managed_bytes", "free_bytes", "gate_bytes",
             "gate_open", "drift_pages", "orders"}
ORDER_KEYS = {"order", "free_extents", "reported_extents", "reportable_extents", "free_bytes",
              "nr_free"}
STATUS_KEYS = {"version", "sluice", "pid", "uptime_ms", "config", "mode", "strategy",
               "interval_ms", "source", "event_level", "reporting", "control", "decision",
               "memory", "tally", "map", "events", "notes"}

Completed = subprocess.CompletedProcess[str]


@contextlib.contextmanager
def empty_runtime() -> Iterator[Path]:
    """A runtime directory in which nothing runs and nothing was left behind."""
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def counterfeit(answer: bytes) -> Iterator[Path]:
    """A runtime directory with a daemon that gives everybody the same answer."""
    with empty_runtime() as runtime, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime / "control"))
        (runtime / "control").chmod(0o666)
        listener.listen(8)

        def serve() -> None:
            with contextlib.suppress(OSError):  # the end of the listener
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield runtime
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask_counterfeit(answer: Any, *arguments: str) -> Completed:
    """Run the client, as nobody, against a daemon that answers `answer` (or these bytes)."""
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    with counterfeit(data) as runtime:
        return run_as_nobody(SLUICE, "--runtime-dir", str(runtime), *arguments)


def document(done: Completed, status: int = 0) -> dict[str, Any]:
    """The JSON that a command printed, after a look at what every command promises."""
    assert done.returncode == status, f"exit status {done.returncode}, not {status}: {done}"
    assert not done.stderr, f"standard error besides JSON: {done.stderr}"
    found = json.loads(done.stdout)
    assert found["version"] == 1, found
    assert ("error" in found) <= (status == 1), found
    return found


def assert_narrow(text: str) -> None:
    """No line is wider than a terminal."""
    wide = [f"{len(line)} columns: {line}" for line in text.splitlines() if len(line) > WIDTH]
    assert not wide, "\n".join(wide)


def assert_text(done: Completed, status: int = 0) -> str:
    """The text that a command printed."""
    assert done.returncode == status, f"exit status {done.returncode}, not {status}: {done}"
    assert_narrow(done.stdout)
    return done.stdout


def assert_hist(hist: dict[str, Any]) -> None:
    """The documented shape of a histogram."""
    assert hist["version"] == 1 and HIST_KEYS <= hist.keys(), HIST_KEYS - hist.keys()
    assert hist["zones"], "no zones"
    for zone in hist["zones"]:
        assert ZONE_KEYS <= zone.keys(), ZONE_KEYS - zone.keys()
        assert [order["order"] for order in zone["orders"]] == list(range(len(zone["orders"])))
        for order in zone["orders"]:
            assert ORDER_KEYS <= order.keys(), ORDER_KEYS - order.keys()
            if order["reported_extents"] is not None:
                assert (order["reported_extents"] + order["reportable_extents"]
                        <= order["free_extents"]), order
            size = hist["page_size"] << order["order"]
            assert order["free_bytes"] == order["free_extents"] * size, order


# --- with and without a daemon -------------------------------------------------------------------

def check_json_with_daemon(daemon: Daemon) -> None:
    """--json before the command, and behind it; every answer is JSON of version 1."""
    status = document(daemon.client("--json", "status"))
    assert STATUS_KEYS <= status.keys(), STATUS_KEYS - status.keys()
    assert_hist(document(daemon.client("--json", "hist")))
    assert_hist(document(daemon.client("hist", "--json")))
    assert document(daemon.client("status", "--json")).keys() == status.keys()
    assert document(daemon.client("probe", "--json"))["findings"]
    probe = document(daemon.client("--json", "probe"))
    assert {"kernel", "reporting", "findings"} <= probe.keys(), probe.keys()
    names = [finding["name"] for finding in probe["findings"]]
    assert {"reporting", "order", "hold", "delay", "kick", "scan"} <= set(names), names
    assert all(set(finding) >= {"name", "available", "detail"} for finding in probe["findings"])
    restored = document(daemon.client("--json", "restore"))
    assert "restored" in restored, restored
    assert daemon.status()["control"]["let_go"], "the daemon did not hear of the restore"


def check_text_with_daemon(daemon: Daemon) -> None:
    """Text within 80 columns."""
    status = assert_text(daemon.client("status"))
    assert f"pid {daemon.pid}" in status and "mode observe" in status, status
    hist = assert_text(daemon.client("hist"))
    for zone in daemon.hist()["zones"]:
        assert f"node {zone['node']} {zone['zone']}: " in hist, hist
    assert_text(daemon.client("probe"))
    assert_text(daemon.client("restore"))


def check_alone() -> None:
    """probe, hist and restore without a daemon; status says that none runs."""
    require_root()
    with empty_runtime() as runtime:
        run = partial(run_client, runtime)
        assert_hist(document(run("--json", "hist")))
        assert assert_text(run("hist")).startswith("node 0 ")
        assert document(run("--json", "probe"))["findings"]
        assert "kernel" in assert_text(run("probe"))
        assert document(run("--json", "restore"))["restored"] == 0
        assert assert_text(run("restore")) == "nothing to restore\n"
        done = run("status")
        assert done.returncode == 1 and not done.stdout, done
        assert done.stderr.startswith("sluice: "), done.stderr
        error = document(run("--json", "status"), 1)["error"]
        assert str(runtime / "control") in error, error


def check_unprivileged() -> None:
    """Without root and without a daemon: status 1, and what is missing."""
    with empty_runtime() as runtime:
        for command in ("probe", "hist", "status"):
            options = ("--runtime-dir", str(runtime))
            done = run_as_nobody(SLUICE, *options, command)
            assert done.returncode == 1 and not done.stdout, done
            assert command == "status" or "root" in done.stderr, done.stderr
            document(run_as_nobody(SLUICE, *options, "--json", command), 1)
        document(run_as_nobody(SLUICE, "--runtime-dir", str(runtime), "hist", "--json"), 1)


def check_locked_socket() -> None:
    """Somebody whom the socket's mode keeps out is told so."""
    with Daemon(config()) as daemon:
        daemon.runtime.chmod(0o755)
        done = run_as_nobody(SLUICE, "--runtime-dir", str(daemon.runtime), "status")
        assert done.returncode == 1 and "Permission denied" in done.stderr, done


# --- usage ---------------------------------------------------------------------------------------

def check_help() -> None:
    """Help names every command with what it does, within 80 columns."""
    done = run_as_nobody(SLUICE, "--help")
    text = assert_text(done)
    assert not done.stderr
    for command in COMMANDS:
        line = next((line for line in text.splitlines() if line.startswith(f"  {command} ")), "")
        words = line.split("]")[-1].split()[0 if "]" in line else 1:]
        assert len(words) > 2, f"no summary behind {command!r}: {line!r}"
    assert run_as_nobody(SLUICE, "--version").stdout.startswith("sluice ")


def check_usage() -> None:
    """Wrong usage: status 2, a hint on standard error, nothing else."""
    for arguments in ([], ["--wrong", "status"], ["wrong"], ["status", "more"], ["probe", "more"],
                      ["kick", "more"], ["kick", "--wrong"], ["restore", "more"], ["hist", "more"],
                      ["hist", "--wrong"], ["hist", "--watch", "0"], ["hist", "--watch=x"],
                      ["hist", "--watch=5x"], ["hist", "--watch", "3601"],
                      ["check", "one", "two"], ["check", "--wrong"], ["--runtime-dir"]):
        done = run_as_nobody(SLUICE, *arguments)
        assert done.returncode == 2, f"{arguments}: {done}"
        assert done.stderr and not done.stdout, f"{arguments}: {done}"


# --- check ---------------------------------------------------------------------------------------

def check_check() -> None:
    """Good files, bad files, missing files; the example that is installed is good."""
    with empty_runtime() as folder:
        good, bad = folder / "good.conf", folder / "bad.conf"
        shutil.copy(REPOSITORY / "configs" / "sluice.conf", good)
        bad.write_text('mode = "contrl";\ninterval = "1ms";\nthreshold = { start = "x"; };\n'
                       'colour = "red";\n')
        for path in (good, bad):
            path.chmod(0o644)
        run = partial(run_as_nobody, SLUICE)
        assert assert_text(run("check", str(good))) == f"{good}: ok\n"
        assert document(run("check", str(good), "--json"))["ok"] is True
        found = document(run("--json", "check", str(good)))
        assert found["ok"] is True and found["errors"] == [], found
        assert found["file"] == str(good)
        done = run("check", str(bad))
        assert done.returncode == 1 and not done.stdout, done
        lines = done.stderr.splitlines()
        assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "4"], lines
        assert all(line.startswith(f"{bad}:") for line in lines), lines
        done = run("--json", "check", str(bad))
        assert done.returncode == 1 and not done.stderr, done
        found = json.loads(done.stdout)
        assert (found["version"], found["ok"], found["errors"]) == (1, False, lines), found
        done = run("check", str(folder / "missing.conf"))
        assert done.returncode == 1 and "missing.conf" in done.stderr, done
        assert run("--json", "check", str(folder / "missing.conf")).returncode == 1


# --- counterfeit daemons -------------------------------------------------------------------------

def check_kick() -> None:
    """What kick says, from a daemon that kicks and from one that refuses."""
    kicked = {"version": 1, "kicked": True, "pass_in_ms": 2000}
    found = document(ask_counterfeit(kicked, "--json", "kick"))
    assert found["kicked"] is True and found["pass_in_ms"] == 2000, found
    assert "2 s" in assert_text(ask_counterfeit(kicked, "kick"))
    refused = {"version": 1, "error": "not today"}
    assert "not today" in document(ask_counterfeit(refused, "--json", "kick"), 1)["error"]
    done = ask_counterfeit(refused, "kick")
    assert done.returncode == 1 and "not today" in done.stderr and not done.stdout, done


def check_bad_answers() -> None:
    """A daemon that answers nonsense, nothing or too much: status 1 and a reason."""
    for answer in (b"", b"nonsense\n", b'{"version":1', b"[]", b"\0" * 100, b"x" * (5 << 20)):
        for command in ("status", "hist", "kick", "restore"):
            done = ask_counterfeit(answer, command)
            assert done.returncode == 1 and done.stderr, f"{command}, {answer[:20]!r}: {done}"
            document(ask_counterfeit(answer, "--json", command), 1)


def big_hist(hist: dict[str, Any], reported: bool = True) -> dict[str, Any]:
    """A histogram of a large machine: many nodes, wide numbers."""
    big = copy.deepcopy(hist)
    zones = []
    for node in (0, 63):
        for zone in big["zones"]:
            zone = copy.deepcopy(zone)
            zone.update(node=node, zone="Movable", managed_bytes=1023 << 30, gate_open=True,
                        gate_bytes=(1023 << 20) + (400 << 10))
            for order in zone["orders"]:
                extents = 268_173_312 >> order["order"]
                order.update(free_extents=extents, reported_extents=extents // 3,
                             reportable_extents=extents // 3)
                if not reported:
                    order.update(reported_extents=None, reportable_extents=None)
            zones.append(zone)
    big["zones"] = zones
    return big


def check_wide_hist(daemon: Daemon) -> None:
    """Terabytes fit 80 columns as well; so does a kernel that does not show what is reported."""
    hist = daemon.hist()
    for shown in (big_hist(hist), big_hist(hist, reported=False),
                  {**big_hist(hist), "reporting_order": -1},
                  {**big_hist(hist), "reporting_order": len(hist["zones"][0]["orders"])}):
        assert_text(ask_counterfeit(shown, "hist"))


def check_wide_status(daemon: Daemon) -> None:
    """Long paths, reasons and numbers are wrapped."""
    status = daemon.status()
    status["config"] = "/etc/a/rather/long/path/to/some/configuration/file/of/sluice.conf"
    status["control"].update(usable=True, let_go=True, let_go_reason="somebody wrote " * 20,
                             order_to_restore=9)
    status["decision"].update(action="release", kick=True, reason="because of this " * 15)
    status["tally"].update({name: 1 << 60 for name in status["tally"]})
    status["memory"].update(managed_bytes=1 << 50, free_bytes=1 << 50, reported_bytes=1 << 50)
    status["notes"] = ["something is missing here " * 10] * 3
    assert_text(ask_counterfeit(status, "status"))
    status["control"].update(usable=False, unusable_reason="no balloon device " * 15)
    assert_text(ask_counterfeit(status, "status"))


# --- hist --watch --------------------------------------------------------------------------------

@contextlib.contextmanager
def running(*arguments: str, stdout: int) -> Iterator[subprocess.Popen[str]]:
    """A client in a session of its own, without a terminal to control it."""
    process = subprocess.Popen([str(SLUICE), *arguments], text=True, stdin=subprocess.DEVNULL,
                               stdout=stdout, stderr=subprocess.PIPE, env=plain_environment(),
                               start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def watch(mark: str, frames: int, *arguments: str) -> tuple[str, float]:
    """What the client prints until `mark` has come in so many frames, and the seconds between the
    first and the last; then it is ended by SIGTERM."""
    text, times = bytearray(), []
    with running(*arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.fileno()
        deadline = time.monotonic() + WATCH_SECONDS
        while len(times) < frames:
            assert time.monotonic() < deadline, f"{len(times)} frames in {WATCH_SECONDS} s"
            if select.select([output], [], [], 0.2)[0]:
                chunk = os.read(output, 65536)
                assert chunk, f"it ended: {process.wait(30)}"
                text += chunk
            times += [time.monotonic()] * (text.count(mark.encode()) - len(times))
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM and not err, (process.returncode, err)
    whole = text[:text.rindex(b"\n")]  # without the beginning of one more line
    return whole.decode(), times[-1] - times[0]


def check_watch(daemon: Daemon) -> str:
    """--watch 1 gives a frame a second, as JSON a line each."""
    require_bpf(daemon)
    base = ("--runtime-dir", str(daemon.runtime))
    text, took = watch(" free: # ", 4, *base, "hist", "--watch", "1")
    assert took > 2, f"4 frames in {took:.1f} s"
    assert_narrow(text)
    assert "\033" not in text, "escape sequences, although this is no terminal"
    text, took = watch("}\n", 4, *base, "--json", "hist", "--watch=1")
    assert took > 2, f"4 lines in {took:.1f} s"
    for line in text.splitlines():
        assert_hist(json.loads(line))
    with empty_runtime() as runtime:
        text, _ = watch("}\n", 2, "--runtime-dir", str(runtime), "hist", "--json", "--watch=1")
    for line in text.splitlines():
        assert_hist(json.loads(line))
    return f"4 lines of JSON in {took:.1f} s"


def check_terminal(daemon: Daemon) -> None:
    """On a terminal each frame starts with a clear screen."""
    leader, follower = pty.openpty()
    try:
        with running("--runtime-dir", str(daemon.runtime), "hist", "--watch=1",
                     stdout=follower) as process:
            text = bytearray()
            deadline = time.monotonic() + 30
            while text.count(b"\033[2J") < 2 and time.monotonic() < deadline:
                if select.select([leader], [], [], 0.2)[0]:
                    text += os.read(leader, 65536)
            process.terminate()
            process.wait(30)
    finally:
        os.close(leader)
        os.close(follower)
    assert text.count(b"\033[H\033[2J") >= 2, text[:200]


def check_closed_pipe(daemon: Daemon) -> None:
    """Nobody reads what it prints: it ends, without a crash."""
    for arguments in (("hist",), ("--json", "hist"), ("hist", "--watch=1"), ("status",),
                      ("--json", "status"), ("--help",)):
        reader, writer = os.pipe()
        os.close(reader)
        with running("--runtime-dir", str(daemon.runtime), *arguments, stdout=writer) as process:
            os.close(writer)
            status = process.wait(30)
        assert status in (1, -signal.SIGPIPE), f"{arguments}: status {status}"


def check_full_disk(daemon: Daemon) -> None:
    """Output that can't be written is a failure."""
    if not Path("/dev/full").exists():
        raise Skip("/dev/full is missing")
    for arguments in (("hist",), ("--json", "hist"), ("status",), ("--json", "status"),
                      ("--json", "probe"), ("probe",), ("--help",)):
        with open("/dev/full", "w", encoding="ascii") as full:
            with running("--runtime-dir", str(daemon.runtime), *arguments,
                         stdout=full.fileno()) as process:
                status = process.wait(60)
        assert status == 1, f"{arguments}: status {status} although nothing was written"


def check_stuck_daemon() -> str:
    """A daemon that stands still holds no client for ever, not even one that can't connect."""
    with Daemon(config()) as daemon, contextlib.ExitStack() as stack:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            queue = 0
            with contextlib.suppress(TimeoutError):
                while queue < 64:
                    stack.enter_context(daemon.connect(timeout=0.5))
                    queue += 1
            started = time.monotonic()
            with running("--runtime-dir", str(daemon.runtime), "status",
                         stdout=subprocess.PIPE) as process:
                try:
                    _, err = process.communicate(timeout=90)
                except subprocess.TimeoutExpired as error:
                    raise AssertionError("`sluice status` waits for ever") from error
            assert process.returncode == 1 and "sluiced" in err, (process.returncode, err)
            return f"{queue} queue; gave up after {time.monotonic() - started:.0f} s: {err.strip()}"
        finally:
            os.kill(daemon.pid, signal.SIGCONT)


def main() -> int:
    tap = Tap()

    def with_daemon(check: Callable[[Daemon], object]) -> object:
        with Daemon(config()) as daemon:
            return check(daemon)

    checks: list[tuple[str, Callable[[], object]]] = [
        ("JSON, with a daemon", partial(with_daemon, check_json_with_daemon)),
        ("text, with a daemon", partial(with_daemon, check_text_with_daemon)),
        ("without a daemon", check_alone),
        ("without root", check_unprivileged),
        ("kept out by the socket's mode", check_locked_socket),
        ("--help and --version", check_help),
        ("wrong usage", check_usage),
        ("check", check_check),
        ("kick, by a counterfeit daemon", check_kick),
        ("answers that make no sense", check_bad_answers),
        ("a wide histogram", partial(with_daemon, check_wide_hist)),
        ("a wide status", partial(with_daemon, check_wide_status)),
        ("hist --watch", partial(with_daemon, check_watch)),
        ("hist --watch on a terminal", partial(with_daemon, check_terminal)),
        ("output into a closed pipe", partial(with_daemon, check_closed_pipe)),
        ("output onto a full disk", partial(with_daemon, check_full_disk)),
    ]
    with ThreadPoolExecutor(1) as pool:  # it mostly waits, for a minute
        pool.submit(tap.check, "a daemon that stands still", check_stuck_daemon)
        for name, check in checks:
            tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
