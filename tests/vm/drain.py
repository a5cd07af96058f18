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
from matrix import (BLOCK_ORDER, ORDER, Sluice, can_switch_off, fill_and_free,  # noqa: E402
                    fragment, order_knob)
from tap import Tap  # noqa: E402

PAGE = 4096
LOW_ORDER = 5
LOW_ORDER_KERNELS = ("6.1", "7.2", "7.3")
LEFT_SHARE = 0.02  # of the free memory at the order may be left at the host
RESIDENT_BEFORE = 0.4  # of it has to be there before, or the test shows nothing
FILL_MIB = 450
FRAGMENT_MIB = 300  # half of it free, in pieces of one pageblock
SMALL_MIB = 100
SMALL_EVERY = 2 << LOW_ORDER  # pages: the free pieces between are of order LOW_ORDER and below
END_SECONDS = 60.0


def config(strategy: str = "threshold", more: str = "") -> str:
    """A daemon that would not release anything by itself."""
    return (f'mode = "control"; strategy = "{strategy}"; interval = "1s"; log_level = "debug";\n'
            f'threshold = {{ start = "16TiB"; }};\norder = {{ floor = {LOW_ORDER}; }};\n{more}\n')


def free_frames(guest: Guest, order: int) -> list[tuple[int, int]]:
    """(page frame number, pages) of every free extent of the order and above."""
    lines = guest.check(f"sluice extents --format orders --order {order} 2>/dev/null").split("\n")
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(int(pfn, 0), 1 << int(size)) for pfn, size, _ in words]


def kept(guest: Guest, order: int) -> tuple[int, int]:
    """Bytes that are free at the order and above, and what the host keeps of them."""
    frames = free_frames(guest, order)
    pages = guest.host_resident_pages()
    free = sum(count for _, count in frames)
    resident = sum(sum(pages[pfn:pfn + count]) for pfn, count in frames)
    return free * PAGE, resident * PAGE


def drain(guest: Guest, arguments: str, rc: int) -> dict[str, Any]:
    """`sluice drain --wait --json` with this exit status; what it printed."""
    result = guest.run(f"sluice drain --wait --json {arguments}", timeout=120)
    assert result.rc == rc, f"status {result.rc}, not {rc}: {result.out}"
    return json.loads(result.out)


def check_held(guest: Guest, sluice: Sluice, held: int | None) -> None:
    """After a drain the knob holds what the strategy wants, and the strategy decides."""
    guest.wait_for(lambda: sluice.status()["decision"]["stage"] != "drain", 10, what="a decision")
    assert sluice.status()["drain"]["drain"] != "running", sluice.status()["drain"]
    assert order_knob(guest) == held, f"order is {order_knob(guest)}, was {held}"


def drain_to_host(guest: Guest, sluice: Sluice, order: int, arguments: str) -> str:
    """Drains, and compares with what the host keeps before and after."""
    held = order_knob(guest)
    free, before = kept(guest, order)
    assert before >= RESIDENT_BEFORE * free, \
        f"the host keeps {before / MIB:.0f} of {free / MIB:.0f} MiB before: nothing to show"
    status = drain(guest, f"--timeout 50s {arguments}", 0)
    free, after = kept(guest, order)
    assert status["drain"] == "dry" and status["order"] == order, status
    assert after <= LEFT_SHARE * free, \
        f"the host keeps {after / MIB:.1f} of {free / MIB:.0f} MiB: {status}"
    check_held(guest, sluice, held)
    progress = status["progress"]
    return (f"host keeps {before / MIB:.0f} -> {after / MIB:.2f} of {free / MIB:.0f} MiB free at "
            f"order {order}+ ({100 * after / free:.2f} %), {status['elapsed_ms'] / 1000:.1f} s, "
            f"{progress['kicks']} kicks, from {progress['initial_bytes'] / MIB:.0f} MiB; "
            f"residue {progress['residue']}")


def check_pageblocks(guest: Guest) -> str:
    """At the default order, with extents of both orders that count, and preparation."""
    with Sluice(guest, config()) as sluice:
        pid = fragment(guest, FRAGMENT_MIB)
        fill_and_free(guest, FILL_MIB)
        text = drain_to_host(guest, sluice, BLOCK_ORDER, "--prepare")
        guest.stop(pid)
    return text


def check_small(guest: Guest) -> str:
    """At an order below that of a pageblock, down to the floor and no further."""
    with Sluice(guest, config()) as sluice:
        error = drain(guest, f"--order {LOW_ORDER - 1}", 1)["error"]
        assert f"order.floor, {LOW_ORDER}" in error, error
        pid = guest.spawn(f"workload fragment {SMALL_MIB} --keep-every {SMALL_EVERY}",
                          "/tmp/small")
        guest.wait_for(lambda: "fragmented" in guest.check("cat /tmp/small"), 60, what="pieces")
        fill_and_free(guest, FILL_MIB)
        text = drain_to_host(guest, sluice, LOW_ORDER, f"--order {LOW_ORDER}")
        guest.stop(pid)
    return text


def check_time_out(guest: Guest) -> str:
    """No pass comes within the first second after a kick: status 2, with what is left."""
    with Sluice(guest, config()) as sluice:
        held = order_knob(guest)
        pid = fragment(guest, FRAGMENT_MIB)
        fill_and_free(guest, FILL_MIB)
        status = drain(guest, "--timeout 1s", 2)
        residue = status["progress"]["residue"]
        assert status["drain"] == "timeout", status
        assert residue["waiting_bytes"] + residue["changed_bytes"] > 100 * MIB, status
        assert status["progress"]["passes_left"] >= 1, status
        assert 1000 <= status["elapsed_ms"] <= 10000, status
        check_held(guest, sluice, held)
        text = guest.run("sluice drain --wait --timeout 1ms")
        assert text.rc == 2 and "time-out at order 9" in text.out, text
        guest.stop(pid)
    return f"{status['progress']}"


def check_vanished_client(guest: Guest) -> str:
    """A client that was killed, or interrupted, leaves nothing behind."""
    with Sluice(guest, config()) as sluice:
        held = order_knob(guest)
        fill_and_free(guest, FILL_MIB)
        pid = guest.spawn("sluice drain --wait --timeout 3s", "/tmp/drain")
        guest.wait_for(lambda: sluice.status()["drain"]["drain"] == "running", 5, 0.1, "a drain")
        assert guest.run("sluice drain").rc == 1, "two drains at once"
        assert guest.stop(pid, "KILL") == 137
        guest.wait_for(lambda: sluice.status()["drain"]["drain"] in ("timeout", "dry"),
                       END_SECONDS, what="end of the drain")
        check_held(guest, sluice, held)
        fill_and_free(guest, FILL_MIB)
        pid = guest.spawn("sluice drain --wait", "/tmp/drain")
        guest.wait_for(lambda: sluice.status()["drain"]["drain"] == "running", 5, 0.1, "a drain")
        assert guest.stop(pid, "INT") == 1, guest.check("cat /tmp/drain")
        assert sluice.status()["drain"]["drain"] == "stopped", sluice.status()["drain"]
        check_held(guest, sluice, held)
        return guest.check("cat /tmp/drain")


def check_strategy_kernel(guest: Guest) -> str:
    """Under a strategy that touches nothing the order goes back to the administrator's; and the
    administrator's own write ends a drain."""
    before = order_knob(guest)
    own = 8
    guest.check(f"echo {own} >{ORDER}")
    with Sluice(guest, config("kernel")) as sluice:
        fill_and_free(guest, FILL_MIB)
        pid = guest.spawn("sluice drain --wait --timeout 4s", "/tmp/drain")
        guest.wait_for(lambda: order_knob(guest) == BLOCK_ORDER, 10, 0.2, "the order of the drain")
        assert guest.wait_exit(pid, END_SECONDS) in (0, 2), guest.check("cat /tmp/drain")
        check_held(guest, sluice, own)
        fill_and_free(guest, FILL_MIB)
        pid = guest.spawn("sluice drain --wait", "/tmp/drain")
        guest.wait_for(lambda: order_knob(guest) == BLOCK_ORDER, 10, 0.2, "the order of the drain")
        guest.check(f"echo 7 >{ORDER}")
        assert guest.wait_exit(pid, END_SECONDS) == 1, guest.check("cat /tmp/drain")
        assert order_knob(guest) == 7, "sluice wrote over the administrator's value"
        said = guest.check("cat /tmp/drain").splitlines()
        failed = [line for line in said if "failed" in line]
        assert failed and "page_reporting_order" in failed[0], said
        assert guest.run("sluice drain").rc == 1, "a drain although the knob was let go of"
    guest.check(f"echo {before} >{ORDER}")
    return failed[0]


def check_refused(guest: Guest) -> str:
    """Where nothing can be reported, a drain is an error with the reason."""
    with Sluice(guest, config()) as sluice:
        error = drain(guest, "", 1)["error"]
        assert "does not offer free page reporting" in error, error
        assert sluice.status()["drain"]["drain"] == "none"
    return error


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """One guest that reports, and one that does not."""
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files()) as guest:
        checks: dict[str, Callable[[Guest], str]] = {
            "dry for the host too": check_pageblocks, "a time-out": check_time_out,
            "clients that vanish": check_vanished_client}
        if order_knob(guest) is not None:
            checks["strategy kernel, and the administrator"] = check_strategy_kernel
        if kernel.name in LOW_ORDER_KERNELS:
            checks["dry at a low order"] = check_small
        for what, check in checks.items():
            tap.check(f"{kernel.name}: {what}", partial(check, guest))
        if can_switch_off(guest):
            assert order_knob(guest) == BLOCK_ORDER, "the order was not restored"
    if kernel.name == "6.1":
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
