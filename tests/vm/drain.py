# SPDX-License-Identifier: GPL-2.0-only
"""`sluice drain --wait` in real guests: when it says that a guest is dry, the host says so too.

    python3 tests/vm/drain.py [NAME...]

The host's page table of QEMU is looked at for just those page frames that the guest says are
free: what of them the host still keeps was not given back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import MIB, Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import (BLOCK_ORDER, ORDER, Sluice, fragment, order_knob)  # noqa: E402
from tap import Tap  # noqa: E402

PAGE = 4096
LOW_ORDER = 5
THOROUGH_KERNELS = ("6.1", "7.2", "7.3")
LEFT_SHARE = 0.02  # of the free memory at the order may be left at the host
FILL_MIB = 300
BACKLOG_MIB = 150  # where a part of it is all that matters
TIME_OUT_MIB = 450
PASS_MIB = 256  # (ceil(n / 512) + 1) * 32 extents of order 10, n below 512
SLACK_MIB = 4  # that the guest may use and free between a drain and the look at the host
REFUSING_KERNEL = "6.1"
FRAGMENT_MIB = 120  # half of it free, in pieces of one pageblock
SMALL_MIB = 60
SMALL_EVERY = 2 << LOW_ORDER  # pages: the free pieces between are of order LOW_ORDER and below
END_SECONDS = 60.0
MARK = "--- map"
WATCH = f"until grep -qx {BLOCK_ORDER} {ORDER}; do sleep 0.05; done"


def config(strategy: str = "threshold", more: str = "") -> str:
    """A daemon that would not release anything by itself."""
    return (f'mode = "control"; strategy = "{strategy}"; interval = "1s"; log_level = "debug";\n'
            f'threshold = {{ start = "16TiB"; }};\norder = {{ floor = {LOW_ORDER}; }};\n{more}\n')


def extents(guest: Guest, order: int) -> list[tuple[int, int]]:
    """(page frame number, pages) of every free extent of the order and above."""
    lines = guest.check(f"sluice extents --format orders --order {order} 2>/dev/null").split("\n")
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(int(pfn, 0), 1 << int(size)) for pfn, size, _ in words]


def pageblocks(memory: dict[str, Any]) -> dict[int, str]:
    """{number: how much of it is free} of every pageblock, out of `sluice map --json`."""
    return {(part["start_pfn"] >> BLOCK_ORDER) + index: state
            for part in memory["parts"] for index, state in enumerate(part["blocks"])}


def free_frames(guest: Guest, order: int, memory: dict[str, Any]) -> list[tuple[int, int]]:
    """(page frame number, pages) of what was free at the order and above when `memory` was seen.

    Below the order of a pageblock the extents have to be listed, which takes seconds: pageblocks
    that were in use at first are left out, for per-CPU lists give back whole ones meanwhile.
    """
    blocks = pageblocks(memory)
    if order >= BLOCK_ORDER:
        return [(number << BLOCK_ORDER, 1 << BLOCK_ORDER)
                for number, state in blocks.items() if state in "RF"]
    return [(pfn, count) for pfn, count in extents(guest, order)
            if blocks[pfn >> BLOCK_ORDER] != "0"]


def after(end: int | None, command: str) -> str:
    """A shell script that runs a command right after process `end` has freed its memory, so that
    the kernel has no time for a pass of its own."""
    if end is None:
        return command
    return f"kill {end}; while kill -0 {end} 2>/dev/null; do sleep 0.1; done; exec {command}"


def drain(guest: Guest, arguments: str, rc: int) -> dict[str, Any]:
    """`sluice drain --wait --json` with this exit status; what it printed."""
    result = guest.run(f"sluice drain --wait --json {arguments}", timeout=120)
    assert result.rc == rc, f"status {result.rc}, not {rc}: {result.out}"
    return json.loads(result.out)


def drain_and_map(guest: Guest, arguments: str, end: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a drain that succeeds prints, and `sluice map --json` right after it."""
    script = after(end, f"sluice drain --wait --json {arguments}")
    text = guest.check(f"({script}) && echo {MARK} && sluice map --json", timeout=120)
    status, _, memory = text.partition(MARK)
    return json.loads(status), json.loads(memory)


def begin_drain(guest: Guest, arguments: str, then: str = "") -> int:
    """A client that waits for a drain, which has much to do; as soon as it is under way, `then` is
    run, in which $pid is the client.  All in the guest: a drain may last for some seconds only."""
    script = after(fill(guest, BACKLOG_MIB), f"sluice drain --wait {arguments}")
    pid = guest.spawn(f"sh -c '{script}'", "/tmp/drain")
    if then:
        running = "sluice --json status | grep -q '\"drain\": \"running\"'"
        guest.check(f"pid={pid}; until {running}; do sleep 0.05; done; {then}")
    return pid


def check_held(guest: Guest, sluice: Sluice, held: int | None) -> None:
    """After a drain the knob holds what the strategy wants, and the strategy decides."""
    guest.wait_for(lambda: sluice.status()["decision"]["stage"] != "drain", 10, what="a decision")
    assert sluice.status()["drain"]["drain"] != "running", sluice.status()["drain"]
    assert order_knob(guest) == held, f"order is {order_knob(guest)}, was {held}"


def fill(guest: Guest, mib: int) -> int:
    """A process that uses memory, in huge pages, until it is stopped."""
    pid = guest.spawn(f"workload fill {mib} --thp", "/tmp/fill")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/fill"), 60, 0.1, "filled memory")
    return pid


def drain_to_host(guest: Guest, sluice: Sluice, order: int, arguments: str) -> str:
    """Drains, and compares with what the host keeps before and after."""
    held = order_knob(guest)
    pid = fill(guest, FILL_MIB)
    before = guest.host_resident()
    status, memory = drain_and_map(guest, f"--timeout 50s {arguments}", pid)
    pages = guest.host_resident_pages()
    given = before - sum(pages) * PAGE
    frames = free_frames(guest, order, memory)
    free = sum(count for _, count in frames) * PAGE
    left = sum(sum(pages[pfn:pfn + count]) for pfn, count in frames) * PAGE
    assert status["drain"] == "dry" and status["order"] == order, status
    progress, residue = status["progress"], status["progress"]["residue"]
    assert given >= FILL_MIB * MIB // 2, \
        f"the host got {given / MIB:.0f} MiB, when {FILL_MIB} MiB had been freed: {status}"
    assert left <= LEFT_SHARE * free, \
        f"the host keeps {left / MIB:.1f} of {free / MIB:.0f} MiB: {status}"
    explained = residue["changed_bytes"] + residue["gated_bytes"] + residue["in_flight_bytes"]
    assert left <= explained + SLACK_MIB * MIB, \
        f"the host keeps {left / MIB:.1f} MiB, which the residue does not explain: {status}"
    check_held(guest, sluice, held)
    return (f"the host got {given / MIB:.0f} MiB and keeps {left / MIB:.2f} of "
            f"{free / MIB:.0f} MiB free at order {order}+ ({100 * left / free:.2f} %); "
            f"{status['elapsed_ms'] / 1000:.1f} s, {progress['kicks']} kicks, from "
            f"{progress['initial_bytes'] / MIB:.0f} MiB; residue {residue}")


def check_pageblocks(guest: Guest, sluice: Sluice) -> str:
    """At the default order, with extents of both orders that count, and preparation."""
    pid = fragment(guest, FRAGMENT_MIB)
    text = drain_to_host(guest, sluice, BLOCK_ORDER, "--prepare")
    guest.stop(pid)
    return text


def check_small(guest: Guest, sluice: Sluice) -> str:
    """At an order below that of a pageblock, down to the floor and no further."""
    error = drain(guest, f"--order {LOW_ORDER - 1}", 1)["error"]
    assert f"order.floor, {LOW_ORDER}" in error, error
    pid = guest.spawn(f"workload fragment {SMALL_MIB} --keep-every {SMALL_EVERY}", "/tmp/small")
    guest.wait_for(lambda: "fragmented" in guest.check("cat /tmp/small"), 60, what="pieces")
    text = drain_to_host(guest, sluice, LOW_ORDER, f"--order {LOW_ORDER}")
    guest.stop(pid)
    return text


def check_time_out(guest: Guest, sluice: Sluice) -> str:
    """One pass at the most comes within a second: status 2, with what is left."""
    held = order_knob(guest)
    pid = fill(guest, TIME_OUT_MIB)
    script = after(pid, "sluice drain --wait --json --timeout 1s")
    result = guest.run(f"({script})")
    assert result.rc == 2, result
    status = json.loads(result.out)
    progress, residue = status["progress"], status["progress"]["residue"]
    assert status["drain"] == "timeout", status
    assert residue["waiting_bytes"] + residue["changed_bytes"] == progress["left_bytes"], status
    assert status["elapsed_ms"] >= 1000, status
    if held is not None:  # else the kernel may have sent it all before the first look
        assert progress["left_bytes"] > (TIME_OUT_MIB - PASS_MIB) * MIB // 2, status
        assert progress["passes_left"] >= 1, status
    check_held(guest, sluice, held)
    return f"{progress}"


def check_vanished_client(guest: Guest, sluice: Sluice) -> str:
    """A client that was killed, or interrupted, leaves nothing behind."""
    held = order_knob(guest)
    pid = begin_drain(guest, "", "! sluice drain && kill -INT $pid")  # no two at once
    assert guest.wait_exit(pid) == 1, guest.check("cat /tmp/drain")
    said = guest.check("cat /tmp/drain")
    assert sluice.status()["drain"]["drain"] == "stopped", sluice.status()["drain"]
    check_held(guest, sluice, held)
    pid = begin_drain(guest, "--timeout 3s", "kill -KILL $pid")
    assert guest.wait_exit(pid) == 137
    guest.wait_for(lambda: sluice.status()["drain"]["drain"] in ("timeout", "dry"), END_SECONDS,
                   what="end of the drain")
    check_held(guest, sluice, held)
    return said


def check_strategy_kernel(guest: Guest, sluice: Sluice) -> str:
    """Under a strategy that touches nothing the order goes back to the administrator's; and the
    administrator's own write ends a drain."""
    own, other = 8, 7
    sluice.reload(config("kernel"))
    guest.wait_for(lambda: sluice.status()["strategy"] == "kernel", 30, what="a reload")
    before = order_knob(guest)
    assert before == BLOCK_ORDER, f"order is {before}"
    guest.check(f"echo {own} >{ORDER}")
    watcher = guest.spawn(f"sh -c '{WATCH}'")  # polled from here it might be missed
    pid = begin_drain(guest, "--timeout 3s")
    assert guest.wait_exit(pid, END_SECONDS) in (0, 2), guest.check("cat /tmp/drain")
    assert guest.wait_exit(watcher, 10) == 0, "the order of the drain was not written"
    check_held(guest, sluice, own)
    watcher = guest.spawn(f"sh -c '{WATCH}; echo {other} >{ORDER}'")
    pid = begin_drain(guest, "")
    assert guest.wait_exit(watcher, 30) == 0, "the order of the drain was not written"
    assert guest.wait_exit(pid, END_SECONDS) == 1, guest.check("cat /tmp/drain")
    assert order_knob(guest) == other, "sluice wrote over the administrator's value"
    said = guest.check("cat /tmp/drain")
    assert "\nfailed " in said and "page_reporting_order" in said, said
    assert f"someone else wrote {other}" in " ".join(said.split()), said
    assert guest.run("sluice drain").rc == 1, "a drain although the knob was let go of"
    guest.check(f"echo {before} >{ORDER}")
    sluice.reload(config())
    guest.wait_for(lambda: order_knob(guest) != before, 30, what="the order of a hold")
    return said


def check_refused(guest: Guest) -> str:
    """Where nothing can be reported, a drain is an error with the reason."""
    with Sluice(guest, config()) as sluice:
        error = drain(guest, "", 1)["error"]
        assert "does not offer free page reporting" in error, error
        assert sluice.status()["drain"]["drain"] == "none"
    return error


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """One guest with one daemon; and one guest that can't report."""
    checks: dict[str, Callable[[Guest, Sluice], str]] = {
        "dry for the host too": check_pageblocks, "a time-out": check_time_out}
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files()) as guest:
        before = order_knob(guest)
        if before is not None:
            checks["clients that vanish"] = check_vanished_client
        if kernel.name in THOROUGH_KERNELS:
            checks["strategy kernel, and the administrator"] = check_strategy_kernel
            checks["dry at a low order"] = check_small
        with Sluice(guest, config()) as sluice:
            for what, check in checks.items():
                tap.check(f"{kernel.name}: {what}", partial(check, guest, sluice))
        assert order_knob(guest) == before, "the order was not restored"
    if kernel.name == REFUSING_KERNEL:
        with Guest(kernel, memory_mib=256, files=matrix.files(), balloon="no-reporting") as guest:
            tap.check(f"{kernel.name}: refused", partial(check_refused, guest))


def main() -> int:
    tap = Tap()
    fetched: list[Kernel] = []
    for name in sys.argv[1:] or matrix.NAMES:
        tap.check(f"{name}: kernel", partial(matrix.fetch, name, fetched))
    with ThreadPoolExecutor(matrix.GUESTS_AT_ONCE) as pool:
        for kernel in fetched:
            pool.submit(tap.check, f"{kernel.name}: guest runs", partial(run_kernel, tap, kernel))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
