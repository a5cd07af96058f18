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
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
COMMANDS = ("probe", "status", "hist", "explain", "map", "extents", "audit", "check", "kick",
            "drain", "restore")
VIEWS = ("orders", "runs", "ages", "almost-free")
SCREEN_LINES = 24
MOVES_TRIES = 5

HIST_KEYS = {"version", "source", "scan", "cost_ns", "probes", "page_size", "pageblock_order",
             "reporting_order", "zones"}
ZONE_KEYS = {"node", "zone", "start_pfn", "managed_bytes", "free_bytes", "gate_bytes",
             "gate_open", "drift_pages", "orders"}
ORDER_KEYS = {"order", "free_extents", "reported_extents", "reportable_extents", "free_bytes",
              "nr_free"}
EXPLAIN_KEYS = {"version", "source", "page_size", "managed_pages", "reporting", "reporting_order",
                "lag_pages", "daemon", "lines", "outside", "notes"}
STATUS_KEYS = {"version", "sluice", "pid", "uptime_ms", "config", "mode", "strategy",
               "interval_ms", "source", "event_level", "reporting", "control", "decision",
               "memory", "tally", "preparation", "map", "events", "drain", "notes"}

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
        for command in ("probe", "hist", "explain", "map", "status"):
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
                      ["probe", "--samples", "64"], ["probe", "--host", "--samples", "59"],
                      ["probe", "--host", "--memory", "2GiB"], ["probe", "--host", "more"],
                      ["kick", "more"], ["kick", "--wrong"], ["explain", "more"],
                      ["explain", "--view", "runs"], ["restore", "more"], ["hist", "more"],
                      ["hist", "--wrong"], ["hist", "--watch", "0"], ["hist", "--watch=x"],
                      ["hist", "--watch=5x"], ["hist", "--watch", "3601"],
                      ["hist", "--view"], ["hist", "--view", "run"], ["hist", "--view="],
                      ["map", "more"], ["map", "--cell", "page"], ["map", "--cell"],
                      ["map", "--width", "39"], ["map", "--width=1001"], ["map", "--width=x"],
                      ["check", "one", "two"], ["check", "--wrong"], ["--runtime-dir"]):
        done = run_as_nobody(SLUICE, *arguments)
        assert done.returncode == 2, f"{arguments}: {done}"
        assert done.stderr and not done.stdout, f"{arguments}: {done}"


# --- drain ---------------------------------------------------------------------------------------

def drain_status(outcome: str, **more: Any) -> dict[str, Any]:
    """What the daemon says of a drain."""
    residue = {"waiting_bytes": 7 << 20, "changed_bytes": 3 << 20, "gated_bytes": 14 << 20,
               "below_order_bytes": 50 << 20, "in_flight_bytes": 64 << 20}
    progress = {"free_bytes": 900 << 20, "initial_bytes": 500 << 20, "left_bytes": 10 << 20,
                "passes_left": 2, "estimate_ms": 4000, "kicks": 1, "residue": residue}
    return {"version": 1, "drain": outcome, "id": 7, "order": 9, "prepare": False,
            "elapsed_ms": 5123, "timeout_ms": 300000, "reason": "because of this " * 15,
            "progress": progress, **more}


def check_drain() -> None:
    """Exit statuses: 0 is dry, 2 is that the time was over, and nothing else is either."""
    for outcome, code in (("dry", 0), ("timeout", 2), ("stopped", 1), ("failed", 1)):
        answer = drain_status(outcome)
        text = assert_text(ask_counterfeit(answer, "drain", "--wait"), code)
        for words in ("order 9", "5.1 s", "14 MiB ", "a zone's gate", "below the order"):
            assert words in text, f"no {words!r} in {text!r}"
        assert ("because" in text) == (outcome == "failed"), text
        done = ask_counterfeit(answer, "drain", "--wait", "--json")
        assert done.returncode == code and json.loads(done.stdout) == answer, done
    begun = drain_status("running", progress=None)
    assert "after 5 min at the latest" in assert_text(ask_counterfeit(begun, "drain"))
    assert document(ask_counterfeit(begun, "drain", "--json"))["drain"] == "running"
    assert "there was no drain" in assert_text(
        ask_counterfeit({"version": 1, "drain": "none"}, "drain", "--stop"))
    refused = {"version": 1, "error": "not at this order"}
    assert "not at this order" in document(ask_counterfeit(refused, "drain", "--json"), 1)["error"]
    with empty_runtime() as runtime:
        done = run_as_nobody(SLUICE, "--runtime-dir", str(runtime), "drain", "--wait")
        assert done.returncode == 1 and 'mode = "control"' in done.stderr, done
    for arguments in (["more"], ["--wrong"], ["--order"], ["--order", "16"], ["--order=x"],
                      ["--timeout", "5"], ["--timeout", "0"], ["--timeout=2d"],
                      ["--stop", "--wait"]):
        done = run_as_nobody(SLUICE, "drain", *arguments)
        assert done.returncode == 1 and done.stderr and not done.stdout, f"{arguments}: {done}"


def check_drain_interrupted() -> None:
    """Progress, a line per change; Ctrl-C ends the drain that was waited for."""
    asked: list[dict[str, Any]] = []
    with empty_runtime() as runtime, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime / "control"))
        listener.listen(8)
        client = subprocess.Popen([SLUICE, "--runtime-dir", str(runtime), "drain", "--wait",
                                   "--order", "5", "--timeout", "90s", "--prepare"],
                                  stdout=subprocess.PIPE, text=True, env=plain_environment())
        while client.poll() is None and len(asked) < 10:
            connection, _ = listener.accept()
            with connection:
                asked.append(json.loads(connection.recv(4096)))
                stop = asked[-1]["request"] == "drain-stop"
                answer = drain_status("stopped" if stop else "running")
                connection.sendall(json.dumps(answer).encode())
            if len(asked) == 3:
                client.send_signal(signal.SIGINT)
            if stop:
                break
        text, _ = client.communicate(timeout=30)
    assert client.returncode == 1, client.returncode
    assert asked[0] == {"request": "drain", "order": 5, "timeout_ms": 90000, "prepare": True}
    assert [request["request"] for request in asked[1:]] == [
        "drain-status", "drain-status", "drain-stop"], asked
    assert_narrow(text)
    assert text.count("10 MiB of 500 MiB left, at most 2 passes, about 4 s") == 1, text
    assert "\nstopped " in text, text


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
        for command in ("status", "hist", "explain", "map", "kick", "drain", "restore"):
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


# --- explain -------------------------------------------------------------------------------------

def managed_pages() -> int:
    """What all zones manage, by /proc/zoneinfo."""
    text = Path("/proc/zoneinfo").read_text(encoding="ascii")
    return sum(int(number) for number in re.findall(r"^ +managed +(\d+)$", text, re.MULTILINE))


def explain(run: Callable[..., Completed]) -> dict[str, Any]:
    """`sluice explain --json`, whose lines add up to what /proc/zoneinfo says, to the page."""
    for _ in range(MOVES_TRIES):  # memory may be plugged meanwhile
        before = managed_pages()
        found = document(run("explain", "--json"))
        if managed_pages() == before:
            break
    assert EXPLAIN_KEYS <= found.keys(), EXPLAIN_KEYS - found.keys()
    total = sum(line["pages"] or 0 for line in found["lines"])
    assert total == found["managed_pages"] == before, f"{total} of {before} pages"
    for line in found["lines"]:
        assert {"name", "pages", "bytes", "in_use", "share", "returned_by"} == line.keys(), line
        assert line["returned_by"], line
        if line["pages"] is not None:
            assert line["pages"] >= 0 or line["name"] == "other_kernel", line
            assert line["bytes"] == line["pages"] * found["page_size"], line
            assert abs(line["share"] - line["pages"] / before) < 1e-9, line
    assert [line["name"] for line in found["outside"]] == ["balloon", "reserved", "holes"]
    return found


def check_explain(daemon: Daemon) -> str:
    """With and without a daemon, in JSON and as text; figures are those of the kernel."""
    require_root()
    found = explain(daemon.client)
    assert found["daemon"] is True, found["daemon"]
    with empty_runtime() as runtime:
        alone = explain(partial(run_client, runtime))
        assert_text(run_client(runtime, "explain"))
    assert alone["daemon"] is False, alone["daemon"]
    text = assert_text(daemon.client("explain"))
    for label in ("in use", "  anonymous", "free", "  reported", "managed", "not in the sum"):
        assert any(line.startswith(label) for line in text.splitlines()), f"no {label!r}: {text}"
    sizes = {line["name"]: line["bytes"] for line in found["lines"]}
    meminfo = dict(re.findall(r"^(\w+): +(\d+) kB$",
                              Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE))
    for name, field in (("anonymous", "AnonPages"), ("shared_memory", "Shmem"),
                        ("slab_reclaimable", "SReclaimable"), ("page_tables", "PageTables")):
        wanted = int(meminfo[field]) * 1024
        # the machine is in use meanwhile
        assert 0.5 * wanted - (64 << 20) <= sizes[name] <= 2 * wanted + (64 << 20), \
            f"{name}: {sizes[name]} bytes, {field} says {wanted}"
    return text


def check_explained_states(daemon: Daemon) -> None:
    """What sluiced does stands in the lines; long reasons and large numbers are wrapped."""
    hist, status = daemon.hist(), daemon.status()
    reason = "because of this " * 15
    status["reporting"].update(backend="virtio-balloon", device="virtio0", driver_bound=True,
                               feature_reporting=True, has_order=True, order=9)
    status["control"].update(usable=True, let_go=False)
    status["decision"].update(action="hold", reason=reason)
    status["mode"] = "control"
    held = {**status, **hist, "reporting_order": len(hist["zones"][0]["orders"])}
    found = document(ask_counterfeit(held, "explain", "--json"))
    (line,) = (line for line in found["lines"] if line["name"] == "held")
    assert found["reporting"] == "held" and line["pages"] > 0, line
    assert line["returned_by"] == f"sluiced holds it: {reason}", line
    for shown in (held, {**held, **big_hist(hist)}, {**held, **big_hist(hist, reported=False)},
                  {**held, "reporting_order": 9}, {**held, "mode": "observe"}):
        assert_text(ask_counterfeit(shown, "explain"))
    held["reporting"]["driver_bound"] = False
    assert "modprobe" in assert_text(ask_counterfeit(held, "explain"))
    old = copy.deepcopy(held)
    del old["zones"][0]["low_bytes"]
    done = ask_counterfeit(old, "explain")
    assert done.returncode == 1 and "restart sluiced" in done.stderr, done


# --- views ---------------------------------------------------------------------------------------

def rows_of(text: str, pattern: str) -> list[list[tuple[str, ...]]]:
    """What a pattern finds in the lines of each zone."""
    zones: list[list[tuple[str, ...]]] = []
    for line in text.splitlines():
        if line.startswith("node "):
            zones.append([])
        elif zones and (found := re.match(pattern, line)):
            zones[-1].append(found.groups())
    return zones


def shown(hist: dict[str, Any], view: str) -> str:
    """What a view makes of a document."""
    return assert_text(ask_counterfeit(hist, "hist", "--view", view))


def check_views(daemon: Daemon) -> None:
    """Each view shows each zone's numbers as the JSON has them; the JSON is the same for all."""
    require_bpf(daemon)
    hist = daemon.hist()
    zones = hist["zones"]
    for view in VIEWS:
        with_view = ask_counterfeit(hist, "--json", "hist", "--view", view)
        assert document(with_view) == hist, view
        for zone in zones:
            assert f"node {zone['node']} {zone['zone']}: " in shown(hist, view), view
    assert shown(hist, "orders") == assert_text(ask_counterfeit(hist, "hist"))

    size = r" *[\d.]+ [KMGT]?i?B"
    time_ = r" *[\d.]+ (?:ns|us|ms|s|min|h|d)"
    orders = rows_of(shown(hist, "orders"), rf" *(\d+){size} +(\d+){size} +\S+ +[<>]?(\d+)%")
    for found, zone in zip(orders, zones, strict=True):
        assert [(int(order), int(extents)) for order, extents, _ in found] == [
            (order["order"], order["free_extents"]) for order in zone["orders"]]
        for (_, _, share), order in zip(found, zone["orders"], strict=True):
            assert abs(int(share) - 100 * order["unusable_share"]) <= 1, (share, order)
    runs = rows_of(shown(hist, "runs"), rf"{size} +(?:-|{size}) +(\d+){size}")
    for found, zone in zip(runs, zones, strict=True):
        assert [int(row[0]) for row in found] == [
            entry["runs"] for entry in zone["runs"]["classes"]], zone["runs"]
    ages = rows_of(shown(hist, "ages"), rf"{time_}{time_}{size}{size}{size}")
    assert [len(found) for found in ages] == [len(zone["ages"]) for zone in zones], ages
    almost = rows_of(shown(hist, "almost-free"), rf" *(\d+) to +(\d+) +(\d+){size}{size}")
    for found, zone in zip(almost, zones, strict=True):
        classes = [entry for entry in zone["almost_free"]["classes"] if entry["blocks"]]
        assert [tuple(map(int, row)) for row in found] == [
            (entry["from_pages"], entry["below_pages"] - 1, entry["blocks"])
            for entry in reversed(classes)], zone["almost_free"]
        for entry in classes:
            assert (entry["from_pages"] * entry["blocks"] <= entry["free_pages"]
                    < entry["below_pages"] * entry["blocks"]), entry


def check_times(daemon: Daemon) -> None:
    """Lifetimes and reuse of all zones are added up, and their median is named."""
    hist = daemon.hist()
    tick = 1 << 24
    for zone in hist["zones"]:
        zone.update(lifetimes=[], reuse=[], reported_blocks=0, reused_blocks=0)
    text = " ".join(shown(hist, "ages").split())
    assert "reuse 0 of 0 reported" in text and "median" not in text, text
    for zone in (hist["zones"][0], hist["zones"][-1]):
        zone["reported_blocks"] = 100 * len(hist["zones"])
        for name, blocks in (("lifetimes", 30), ("reuse", 20)):
            zone[name] = [
                {"from_ns": 0, "below_ns": tick, "blocks": 1},
                {"from_ns": tick << 6, "below_ns": tick << 7, "blocks": blocks},
                {"from_ns": tick << 16, "below_ns": tick << 17, "blocks": blocks - 2}]
    several = len(hist["zones"]) > 1
    text = shown(hist, "ages")
    words = " ".join(text.split())
    reported = sum(zone["reported_blocks"] for zone in hist["zones"])
    assert f"{78 if several else 39} of {reported} reported pageblocks" in words, text
    assert words.count("median after 1.1 s to 2.1 s") == 2, text
    assert f"\n18.3 min 36.7 min {56 if several else 28:9} " in text, text
    hist["observed_ns"] = 90 * 60 * 10 ** 9
    assert "observed for 1.5 h" in " ".join(shown(hist, "ages").split())


def check_wide_views(daemon: Daemon) -> None:
    """Terabytes, years and high nodes fit 80 columns."""
    require_bpf(daemon)
    hist = big_hist(daemon.hist())
    tick = 1 << 24
    for zone in hist["zones"]:
        pages = 268_173_312
        zone["runs"] = {"longest_pages": pages, "longest_start_pfn": 1 << 36, "classes": [
            {"from_pages": 1 << n, "below_pages": (2 << n) if n < 18 else None,
             "runs": pages >> n, "free_pages": pages} for n in range(19)]}
        zone["ages"] = [{"from_ns": tick << n, "below_ns": tick << n + 1,
                         "free_blocks": 523_776, "reported_blocks": 261_888,
                         "partial_pages": pages} for n in range(32)]
        zone["almost_free"] = {"free_pages": 8 * pages, "classes": [
            {"from_pages": 32 * n, "below_pages": 32 * (n + 1), "blocks": 999_999,
             "free_pages": 999_999 * 33 * n} for n in range(8, 16)]}
        zone["lifetimes"] = zone["reuse"] = [
            {"from_ns": tick << n, "below_ns": tick << n + 1, "blocks": 999_999}
            for n in range(32)]
        zone.update(reported_blocks=1 << 40, reused_blocks=1 << 39)
    for view in VIEWS:
        shown(hist, view)


def check_no_map(daemon: Daemon) -> None:
    """Where only totals are known, the orders are shown, and other views say what is missing."""
    hist = daemon.hist()
    hist["source"] = "buddyinfo"
    for zone in hist["zones"]:
        for name in ("runs", "ages", "almost_free", "lifetimes", "reuse"):
            zone.pop(name, None)
    assert "unusable" in shown(hist, "orders")
    for view in VIEWS[1:]:
        done = ask_counterfeit(hist, "hist", "--view", view)
        assert done.returncode == 1 and not done.stdout and "buddyinfo" in done.stderr, done


# --- map -----------------------------------------------------------------------------------------

MAP_KEYS = {"version", "page_size", "pageblock_order", "section_order", "parts"}
CELL = re.compile(r"one cell is (\S+ \S+);")


def picture_rows(text: str) -> list[tuple[int, str]]:
    """Address and cells of each row of a picture, holes and headings left out."""
    found = (re.fullmatch(r"0x([0-9a-f]+)  (\S(?:.*\S)?)", line) for line in text.splitlines())
    return [(int(row[1], 16), row[2]) for row in found if row and "hole: " not in row[2]]


def check_picture() -> None:
    """A small machine, cell by cell: states, holes, zones and nodes, totals."""
    blocks = "4RRRRRR0" + "F" * 10 + "0123456700"
    made = {"version": 1, "page_size": 4096, "pageblock_order": 9, "section_order": 11, "parts": [
        {"node": 0, "zone": "DMA", "start_pfn": 0, "blocks": blocks[:8]},
        {"node": 0, "zone": "DMA32", "start_pfn": 8 << 9, "blocks": blocks[8:]},
        {"node": 1, "zone": "Movable", "start_pfn": 128 << 9, "blocks": "R" * 70},
        {"node": 1, "zone": "Movable", "start_pfn": 200 << 9, "blocks": "RR00"}]}
    run = partial(ask_counterfeit, made, "map")
    assert document(ask_counterfeit(made, "--json", "map")) == made
    text = assert_text(run("--cell", "block"))
    assert text == """\
node 0 DMA: 16 MiB
0x00000000  4RRRRRR.
node 0 DMA32: 40 MiB
0x01000000  FFFFFFFFFF.1234567..
0x03800000  hole: 200 MiB
node 1 Movable: 148 MiB
0x10000000  RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR
0x18000000  RRRRRR  RR..

one cell is 2 MiB; of pageblocks, which are 2 MiB each, there are
R      156 MiB  reported
F       20 MiB  free, not reported
1-7     16 MiB  partly free, so many eighths or more: at least 8 MiB
.       12 MiB  in use: less than an eighth is free
         4 MiB  holes in and between cells
""", text
    text = assert_text(run("--cell", "section"))
    assert "one cell is 8 MiB;" in text, text
    assert picture_rows(text) == [(0, "rr"), (0x1000000, "FF433"),
                                  (0x10000000, 18 * "R" + "r")], text


def map_letters(document_: dict[str, Any]) -> str:
    """All pageblocks, in a picture's letters."""
    return "".join(part["blocks"] for part in document_["parts"]).replace("0", ".")


def check_map(daemon: Daemon) -> None:
    """The picture of this machine: every pageblock is in it once, whatever a cell is."""
    require_bpf(daemon)
    for name in ("with a daemon", "alone"):
        with empty_runtime() as empty:
            runtime = daemon.runtime if name == "with a daemon" else empty
            found = document(run_client(runtime, "map", "--json"))
            assert_text(run_client(runtime, "map"))
            assert_text(run_client(runtime, "map", "--cell", "section"))
            assert_text(run_client(runtime, "map", "--cell", "block"))
        assert MAP_KEYS <= found.keys(), MAP_KEYS - found.keys()
        block = found["page_size"] << found["pageblock_order"]
        letters = map_letters(found)
        assert set(letters) <= set("RF.1234567"), set(letters)
        text = assert_text(ask_counterfeit(found, "map", "--cell", "block"))
        rows = picture_rows(text)
        assert "".join(cells for _, cells in rows).replace(" ", "") == letters, name
        starts = {part["start_pfn"] * found["page_size"]: part["blocks"]
                  for part in found["parts"]}
        for address, cells in rows:
            start = max(start for start in starts if start <= address)
            first = (address - start) // block
            assert starts[start][first:first + 1].replace("0", ".") == cells[0], hex(address)
        whole = assert_text(ask_counterfeit(found, "map"))
        assert len(whole.splitlines()) < SCREEN_LINES, f"{name}: it does not fit a screen"
        assert whole.splitlines()[-4:] == text.splitlines()[-4:] or "r:" in whole, whole


def map_states(found: dict[str, Any]) -> dict[str, list[int]]:
    """Pageblocks by state in each zone: free, reported, and eighths that are free in others."""
    zones: dict[str, list[int]] = {}
    for part in found["parts"]:
        state = zones.setdefault(f"{part['node']} {part['zone']}", [0, 0, 0, 0])
        blocks = part["blocks"]
        state[0] += blocks.count("F") + blocks.count("R")
        state[1] += blocks.count("R")
        state[2] += sum(int(letter) for letter in blocks if letter.isdigit())
        state[3] += sum(letter.isdigit() for letter in blocks)
    return zones


def hist_states(hist: dict[str, Any]) -> dict[str, list[int]]:
    """The same from a histogram, with the free pages of other pageblocks."""
    return {f"{zone['node']} {zone['zone']}":
            [sum(age[name] for age in zone["ages"])
             for name in ("free_blocks", "reported_blocks", "partial_pages")]
            for zone in hist["zones"]}


def check_sums(daemon: Daemon) -> str:
    """Sums of the map are those of the histogram, in every zone where nothing moved meanwhile."""
    require_bpf(daemon)
    still: set[str] = set()
    with empty_runtime() as empty:
        for runtime in (daemon.runtime, empty):
            compared: set[str] = set()
            for _ in range(MOVES_TRIES):
                before, found, after = (document(run_client(runtime, "--json", command))
                                        for command in ("hist", "map", "hist"))
                states, old, new = map_states(found), hist_states(before), hist_states(after)
                eighth = (1 << found["pageblock_order"]) // 8
                assert states.keys() == old.keys(), (states.keys(), old.keys())
                for zone, (free, reported, eighths, others) in states.items():
                    if old[zone] != new[zone]:
                        continue
                    assert [free, reported] == old[zone][:2], (zone, states[zone], old[zone])
                    assert (eighths * eighth <= old[zone][2] <= (eighths + others) * eighth
                            ), (zone, states[zone], old[zone])
                    compared.add(zone)
                if compared == states.keys():
                    break
            if not compared:
                raise Skip(f"memory moved in every zone, in each of {MOVES_TRIES} tries")
            still |= compared
    return f"compared in {', '.join(sorted(still))}"


def check_big_map() -> str:
    """A guest of 1 TiB: the picture fits a screen; a width of one's own is kept."""
    half = 1 << 18  # pageblocks of 512 GiB
    blocks = "".join("RF0R7"[index * index % 5] for index in range(half))
    made = {"version": 1, "page_size": 4096, "pageblock_order": 9, "section_order": 19, "parts": [
        {"node": 0, "zone": "DMA", "start_pfn": 0, "blocks": blocks[:8]},
        {"node": 0, "zone": "DMA32", "start_pfn": 8 << 9, "blocks": blocks[8:1536]},
        {"node": 0, "zone": "Normal", "start_pfn": 2048 << 9, "blocks": blocks},
        {"node": 1, "zone": "Normal", "start_pfn": half + 2048 << 9, "blocks": blocks}]}
    text = assert_text(ask_counterfeit(made, "map"))
    assert len(text.splitlines()) < SCREEN_LINES, text
    found = CELL.search(text)
    assert found, text
    for width in (40, 60, 80, 200):
        lines = ask_counterfeit(made, "map", "--width", str(width)).stdout.splitlines()
        rows = [line for line in lines if line.startswith("0x") and "hole" not in line]
        assert width / 4 < max(map(len, rows)) <= width, f"{width}: {max(map(len, rows))}"
    return f"one cell is {found[1]}"


def check_odd_maps() -> None:
    """A map that makes no sense: status 1, and no picture."""
    good: dict[str, Any] = {
        "version": 1, "page_size": 4096, "pageblock_order": 9, "section_order": 15,
        "parts": [{"node": 0, "zone": "Normal", "start_pfn": 512, "blocks": "R0"}]}
    assert_text(ask_counterfeit(good, "map"))
    part = good["parts"][0]
    for odd in ({"page_size": 0}, {"page_size": 1 << 40}, {"pageblock_order": 63},
                {"pageblock_order": -1}, {"section_order": 8}, {"section_order": 64},
                {"parts": []}, {"parts": None}, {"parts": [None]},
                {"parts": [{**part, "zone": 1}]}, {"parts": [{**part, "blocks": ""}]},
                {"parts": [{**part, "blocks": None}]}, {"parts": [{**part, "start_pfn": -1}]},
                {"parts": [part, {**part, "start_pfn": 0}]}):
        done = ask_counterfeit({**good, **odd}, "map")
        assert done.returncode == 1 and done.stderr and not done.stdout, (odd, done)


def terminal_output(*arguments: str, env: Mapping[str, str]) -> str:
    """What a client prints onto a terminal of 80 columns."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (SCREEN_LINES, WIDTH))
    text = bytearray()
    try:
        with running(*arguments, stdout=follower, env=env) as process:
            os.close(follower)
            with contextlib.suppress(OSError):  # the end of the other side
                while chunk := os.read(leader, 65536):
                    text += chunk
            assert process.wait(30) == 0, process.returncode
    finally:
        os.close(leader)
    return text.decode().replace("\r", "")


def check_colours(daemon: Daemon) -> None:
    """Colours on a terminal only, none where they are not wanted; the letters stay."""
    require_bpf(daemon)
    base = ("--runtime-dir", str(daemon.runtime), "map")
    plain = {"TERM": "xterm", "NO_COLOR": ""}  # an empty one does not count
    text = terminal_output(*base, env=plain)
    assert "\033[0;30;42mR" in text, text
    bare = re.sub(r"\033\[[0-9;]*m", "", text)
    assert_narrow(bare)
    assert "\033" not in bare and picture_rows(bare), bare
    for env in ({**plain, "NO_COLOR": "1"}, {**plain, "TERM": "dumb"}):
        assert "\033" not in terminal_output(*base, env=env), env


# --- hist --watch --------------------------------------------------------------------------------

@contextlib.contextmanager
def running(*arguments: str, stdout: int,
            env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A client in a session of its own, without a terminal to control it."""
    process = subprocess.Popen([str(SLUICE), *arguments], text=True, stdin=subprocess.DEVNULL,
                               stdout=stdout, stderr=subprocess.PIPE, env=plain_environment(env),
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
    text, _ = watch("or longer\n", 2, *base, "hist", "--watch=1", "--view", "runs")
    assert_narrow(text)
    assert "\033" not in text, text
    with empty_runtime() as runtime:
        text, _ = watch("observed ", 2, "--runtime-dir", str(runtime), "hist", "--view", "ages",
                        "--watch=1")
        assert "since this client first looked" in " ".join(text.split()), text
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
                      ("hist", "--view", "ages"), ("map",), ("--json", "map"),
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
                      ("hist", "--view", "runs"), ("map",), ("--json", "map"),
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
        ("drain, by a counterfeit daemon", check_drain),
        ("drain, interrupted", check_drain_interrupted),
        ("answers that make no sense", check_bad_answers),
        ("a wide histogram", partial(with_daemon, check_wide_hist)),
        ("explain", partial(with_daemon, check_explain)),
        ("explain, by a counterfeit daemon", partial(with_daemon, check_explained_states)),
        ("views", partial(with_daemon, check_views)),
        ("lifetimes and reuse", partial(with_daemon, check_times)),
        ("wide views", partial(with_daemon, check_wide_views)),
        ("views without a map", partial(with_daemon, check_no_map)),
        ("map, cell by cell", check_picture),
        ("map of this machine", partial(with_daemon, check_map)),
        ("sums of map and histogram", partial(with_daemon, check_sums)),
        ("map of 1 TiB", check_big_map),
        ("maps that make no sense", check_odd_maps),
        ("map in colour", partial(with_daemon, check_colours)),
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
