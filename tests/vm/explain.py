# SPDX-License-Identifier: GPL-2.0-only
"""`sluice explain` in real guests: its lines are what a load does, and add up to the page.

    python3 tests/vm/explain.py [NAME...]

check_account() and check_hold() work on any guest that runs and whose balloon reports,
check_off() on one whose balloon does not.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import Sluice, can_switch_off, config, order_knob  # noqa: E402
from tap import Tap  # noqa: E402

KERNELS = ("5.10", "6.1", "7.2")
MIB = 1024 * 1024
WIDTH = 80
FILL_MIB = 200
BALLOON_MIB = 128
TAKES_BACK = "virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=on"
KEEP_EVERY = 16  # pages: what is between is free in extents of order 3 and below
SLACK_MIB = 8  # per-CPU lists, page tables, and what else a guest does meanwhile
IN_USE = ("anonymous", "page_cache_clean", "page_cache_dirty", "shared_memory",
          "slab_reclaimable", "slab_unreclaimable", "page_tables", "kernel_stacks",
          "other_kernel")

Lines = dict[str, float]  # MiB


def managed_pages(guest: Guest) -> int:
    """What all zones manage, by /proc/zoneinfo."""
    text = guest.check("cat /proc/zoneinfo")
    return sum(int(number) for number in re.findall(r"^ +managed +(\d+)$", text, re.MULTILINE))


def look(guest: Guest) -> dict[str, Any]:
    """`sluice explain --json`, after a look at what it always promises."""
    found = json.loads(guest.check("sluice explain --json"))
    assert found["version"] == 1, found
    managed = managed_pages(guest)
    total = sum(line["pages"] for line in found["lines"] if line["pages"] is not None)
    assert total == found["managed_pages"] == managed, f"{total} of {managed} pages"
    for line in found["lines"]:
        assert line["returned_by"], line
        assert line["pages"] is None or line["bytes"] == line["pages"] * found["page_size"], line
    for name in IN_USE:
        assert line_of(found, name)["pages"] is not None, f"{name} is not counted"
    assert not any("moved while it was counted" in note for note in found["notes"]), found["notes"]
    return found


def line_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """One line of the sum."""
    line: dict[str, Any]
    (line,) = (line for line in found["lines"] if line["name"] == name)
    return line


def line_of_outside(found: dict[str, Any], name: str) -> int:
    """Pages of what is outside the sum."""
    return next(int(row["pages"]) for row in found["outside"] if row["name"] == name)


def mib(found: dict[str, Any]) -> Lines:
    """The lines' sizes, and the sums of both groups."""
    lines = {line["name"]: (line["bytes"] or 0) / MIB for line in found["lines"]}
    for name, in_use in (("in use", True), ("free", False)):
        lines[name] = sum(lines[line["name"]] for line in found["lines"]
                          if line["in_use"] == in_use)
    return lines


def grown(before: Lines, after: Lines) -> Lines:
    """By how much each line grew."""
    return {name: after[name] - size for name, size in before.items()}


def assert_near(lines: Lines, name: str, wanted: float, slack: float = SLACK_MIB) -> None:
    """One line grew by so much."""
    assert abs(lines[name] - wanted) <= slack, (
        f"{name} grew by {lines[name]:.1f} MiB, not {wanted:g}: "
        f"{ {line: round(size, 1) for line, size in lines.items() if abs(size) >= 0.1} }")


def load(guest: Guest, command: str, said: str) -> int:
    """A workload that has done its part and holds still."""
    pid = guest.spawn(f"workload {command}", "/tmp/workload")
    guest.wait_for(lambda: said in guest.check("cat /tmp/workload"), 120, what=said)
    return pid


def assert_text(guest: Guest) -> str:
    """The screen, within its width."""
    text = guest.check("sluice explain")
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    assert not wide, "\n".join(wide)
    for part in ("in use", "anonymous", "free", "reported", "managed", "not in the sum"):
        assert part in text, text
    return text


def check_alone(guest: Guest) -> str:
    """Without a daemon: the sum, and what a small zone's gate keeps."""
    found = look(guest)
    gated = line_of(found, "behind_gate")
    assert found["daemon"] is False and found["reporting"] == "on", found
    assert gated["pages"] > 0 and "node 0 DMA must have more than" in gated["returned_by"], gated
    assert line_of_outside(found, "reserved") > 0, found["outside"]
    return assert_text(guest)


def report_again(guest: Guest, filled: Lines) -> Lines:
    """What was freed becomes reported, by kicks, as the line says; but for what fragments that wait
    on per-CPU lists keep too small."""
    def done() -> Lines | None:
        lines = mib(look(guest))
        if (lines["reportable"] <= SLACK_MIB
                and lines["reported"] >= filled["reported"] + FILL_MIB / 4):
            return lines
        guest.check("sluice kick")
        return None

    found = guest.wait_for(done, 90, interval=2.5, what="reports")
    assert found is not None
    return found


def check_account(guest: Guest) -> str:
    """What a load takes is anonymous, what it frees is free, and reported; in pieces it is too
    small for that."""
    text = config(interval="1h").replace('"threshold";', '"kernel";', 1)
    with Sluice(guest, text):
        start = mib(look(guest))
        pid = load(guest, f"fill {FILL_MIB}", "filled")
        at_most = mib(look(guest))
        filled = grown(start, at_most)
        assert_near(filled, "anonymous", FILL_MIB, 2)
        assert_near(filled, "free", -FILL_MIB)
        assert_near(filled, "other_kernel", 0)
        guest.stop(pid)
        freed = grown(start, report_again(guest, at_most))
        assert_near(freed, "anonymous", 0, 2)
        assert_near(freed, "free", 0)
        pid = load(guest, f"fragment {FILL_MIB} --keep-every {KEEP_EVERY}", "fragmented")
        found = look(guest)
        pieces = grown(start, mib(found))
        guest.stop(pid)
    assert_near(pieces, "anonymous", FILL_MIB / KEEP_EVERY, 2)
    assert_near(pieces, "free", -FILL_MIB / KEEP_EVERY)
    # the rest is on per-CPU lists
    free = FILL_MIB * (1 - 1 / KEEP_EVERY)
    assert_near(pieces, "too_small", 0.75 * free, free / 4)
    said = line_of(found, "too_small")["returned_by"]
    assert "vm.compact_memory" in said, said
    assert "no knob" in said if order_knob(guest) is None else "page_reporting_order" in said, said
    return (f"{FILL_MIB} MiB filled: anonymous +{filled['anonymous']:.2f} MiB, other kernel "
            f"{filled['other_kernel']:+.2f}; freed: anonymous {freed['anonymous']:+.2f}, free "
            f"{freed['free']:+.2f}, reported {freed['reported']:+.2f}; every {KEEP_EVERY}th page "
            f"kept: too small +{pieces['too_small']:.1f} of {free:.1f} MiB: {said}")


def check_hold(guest: Guest) -> str:
    """While sluiced holds, the lines say so and until when; where it can't, they do not."""
    with Sluice(guest, config(start="900MiB")) as sluice:
        reason = "start is 900 MiB"
        found, decision = look(guest), sluice.status()["decision"]
        assert decision["action"] == "hold" and reason in decision["reason"], decision
        held, small = line_of(found, "held"), line_of(found, "too_small")
        if order_knob(guest) is None:
            assert held["pages"] == 0 and "sluiced holds" not in small["returned_by"], small
            return str(small["returned_by"])
        line = held if can_switch_off(guest) else small
        assert found["reporting"] == ("held" if can_switch_off(guest) else "on"), found
        assert line["pages"] > 0, line
        assert "sluiced holds it" in line["returned_by"] and reason in line["returned_by"], line
        assert_text(guest)
    return str(line["returned_by"])


def check_totals_only(guest: Guest) -> str:
    """Where only /proc/buddyinfo is left, what can't be told apart is one line, and says so."""
    guest.check("mkdir -p /tmp/empty && mount -o bind /tmp/empty /sys/kernel/btf && "
                "mount -o bind /dev/null /proc/kpageflags")
    try:
        found = look(guest)
        text = assert_text(guest)
    finally:
        guest.run("umount /proc/kpageflags; umount /sys/kernel/btf")
    line = line_of(found, "reported_or_not")
    assert found["source"] == "buddyinfo" and line["pages"] > 0, found
    assert line_of(found, "reported")["pages"] is None, line_of(found, "reported")
    assert "can't be told apart" in text.replace("\n" + " " * 37, " "), text
    return text


def check_balloon(guest: Guest, stays_managed: bool = False) -> str:
    """What the host takes by inflating the balloon is named: outside the sum, since it is no longer
    managed, or inside where it stays so (DEFLATE_ON_OOM)."""
    before = look(guest)
    whole, left = guest.memory_mib * MIB, (guest.memory_mib - BALLOON_MIB) * MIB
    guest.qmp().execute("balloon", value=left)
    try:
        guest.wait_for(lambda: guest.qmp().execute("query-balloon")["actual"] == left, 60,
                       what="an inflated balloon")
        found = look(guest)
    finally:
        guest.qmp().execute("balloon", value=whole)
    pages = BALLOON_MIB * MIB // found["page_size"]
    lost = before["managed_pages"] - found["managed_pages"]
    outside, inside = line_of_outside(found, "balloon"), line_of(found, "balloon")["pages"]
    wanted = (0, 0, pages) if stays_managed else (pages, pages, 0)
    assert (lost, outside, inside) == wanted, f"{(lost, outside, inside)} pages, not {wanted}"
    assert line_of_outside(found, "reserved") == line_of_outside(before, "reserved"), found
    guest.wait_for(lambda: guest.qmp().execute("query-balloon")["actual"] == whole, 60,
                   what="a deflated balloon")
    after = look(guest)
    assert after["managed_pages"] == before["managed_pages"], after["managed_pages"]
    assert line_of_outside(after, "balloon") == line_of(after, "balloon")["pages"] == 0, after
    return f"{pages} pages inflated: {lost} no longer managed, {inside} in the sum"


def check_off(guest: Guest) -> str:
    """Without free page reporting, what is missing stands at all free memory."""
    found = look(guest)
    line = line_of(found, "held")
    assert found["reporting"] == "off", found["reporting"]
    assert mib(found)["held"] > 0.9 * (mib(found)["free"] - mib(found)["per_cpu_lists"]), line
    assert "balloon" in line["returned_by"] and "QEMU" in line["returned_by"], line
    return str(line["returned_by"])


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All checks, in three guests."""
    checks: dict[str, Callable[[Guest], str]] = {
        "alone": check_alone, "what a load does": check_account, "sluiced holds": check_hold,
        "totals only": check_totals_only, "balloon": check_balloon}
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files()) as guest:
        for what, check in checks.items():
            tap.check(f"{kernel.name}: {what}", partial(check, guest))
    with Guest(kernel, memory_mib=256, files=matrix.files(), balloon=None) as guest:
        tap.check(f"{kernel.name}: no balloon", partial(check_off, guest))
    with Guest(kernel, memory_mib=384, files=matrix.files(), balloon=None,
               qemu_args=["-device", TAKES_BACK]) as guest:
        tap.check(f"{kernel.name}: a balloon that the guest may take back",
                  partial(check_balloon, guest, True))


def main() -> int:
    tap = Tap()
    fetched: list[Kernel] = []
    for name in sys.argv[1:] or KERNELS:
        tap.check(f"{name}: kernel", partial(matrix.fetch, name, fetched))
    for kernel in fetched:
        tap.check(f"{kernel.name}: guests run", partial(run_kernel, tap, kernel))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
