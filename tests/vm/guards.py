# SPDX-License-Identifier: GPL-2.0-only
"""Guards in real guests: each is given its cause, keeps memory from the host, and lets go again.

    python3 tests/vm/guards.py [NAME...]

`pressure` is in strategies.py, the administrator's write in matrix.py.

All that is free in these guests is in pieces of one pageblock and less, with memory in use between
them, so that every kernel can be made to hold it back. Whether the host keeps the pieces that are
at stake is looked up page by page.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from extra import actuator  # noqa: E402
from guest import MIB, Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import BLOCK_ORDER, ORDER, Sluice, can_switch_off, order_knob  # noqa: E402
from tap import Skip, Tap  # noqa: E402

KERNELS = ("6.1", "7.2")
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
# Per-CPU lists hold up to an eighth of the memory since 6.7, and keep free memory from merging.
LISTS = "/proc/sys/vm/percpu_pagelist_high_fraction"
MEMORY_MIB = 384
SPARE_MIB = 40  # not touched when memory is broken to pieces
BLOCK_MIB = 2
PIECES_MIB = 50
LEAST_MIB = 40
KEPT = 0.9  # of the pieces
GONE = 0.2
NEVER = "16TiB"
LOW_ORDER = 1
ENTRY_NS = 50
LOOK = 0.3  # looks cost the guest memory and time
DWELL_SECONDS = 8  # some decisions long on a busy machine
LONG_DWELL_SECONDS = 300
PASS_SECONDS = 3.2  # had one been started: it begins 2 s later
WAIT_SECONDS = 45.0
CHURN_SECONDS = 120.0  # a pass that a busy machine delays may find the memory in use again
BACKOFF_MS = 30000
LOG_LINES = 30
OFF = {"pressure": "0", "churn": "0", "reserve": "0", "lock_time": "0",
       "dwell": f'"{DWELL_SECONDS}s"'}
INIT_ON_FREE = "init_on_free=1"
NO_PAGE_POISON = ("-global", "virtio-balloon-device.page-poison=off")
MUST_OFFER = ("with init_on_free or page_poison the host must offer page poison too "
              "(QEMU: page-poison=on")


def config(start: str = "16MiB", order: str = '"pageblock"', **guards: str) -> str:
    """Releases whatever there is, unless a guard is in the way: those alone that are given."""
    options = " ".join(f"{name} = {value};" for name, value in {**OFF, **guards}.items())
    return ('mode = "control"; strategy = "threshold"; interval = "500ms"; log_level = "debug";\n'
            f'threshold = {{ start = "{start}"; stop = "8MiB"; min_age = 0; cooldown = 0; '
            f"order = {order}; }};\nguards = {{ {options} }};\n")


def decision(sluice: Sluice) -> dict[str, Any]:
    """The last one."""
    return sluice.status()["decision"]


def hold(sluice: Sluice) -> None:
    """No release, whatever there is."""
    sluice.reload(config(NEVER))
    sluice.guest.wait_for(lambda: "start is 16 TiB" in decision(sluice)["reason"], WAIT_SECONDS,
                          LOOK, "a hold")


# --- memory ---------------------------------------------------------------------------------------

@contextmanager
def running(guest: Guest, workload: str, says: str = "") -> Iterator[None]:
    """A load of the guest, once it has said so, to the end of the block."""
    path = "/tmp/" + workload.replace(" ", "-")
    guest.check(f"rm -f {path}")
    pid = guest.spawn(f"workload {workload}", path)
    try:
        if says:
            guest.wait_for(lambda: says in guest.run(f"cat {path}").out, 60, LOOK, says)
        yield
    finally:
        guest.stop(pid)


@contextmanager
def in_pieces(guest: Guest) -> Iterator[None]:
    """Of each two pageblocks one is free and one has a page in use."""
    guest.check(f"echo madvise >{THP} && echo 10000 >{LISTS}")
    mib = int(re.findall(r"MemFree: +(\d+)", guest.check("cat /proc/meminfo"))[0]) // 1024
    with running(guest, f"fragment {mib - SPARE_MIB} --keep-every {2 << BLOCK_ORDER}",
                 "fragmented"):
        yield


@dataclass
class Pieces:
    """Free memory in pieces of one pageblock each."""

    guest: Guest
    blocks: list[int]  # their first page frames

    def mib(self) -> int:
        """Size of all of them."""
        return len(self.blocks) * BLOCK_MIB

    def at_host(self) -> float:
        """The share of them that the host keeps."""
        pages = self.guest.host_resident_pages()
        kept = sum(sum(pages[pfn:pfn + (1 << BLOCK_ORDER)]) for pfn in self.blocks)
        return kept / (len(self.blocks) << BLOCK_ORDER)


def find_pieces(guest: Guest) -> Pieces | None:
    """Those that are not reported and that the host keeps, if there are enough."""
    said = guest.run("sluice extents --format orders 2>/dev/null | "
                     f"grep -E '^[0-9]+ {BLOCK_ORDER} -$'").out
    pages = guest.host_resident_pages()
    pfns = [int(line.split()[0]) for line in said.splitlines()]
    found = Pieces(guest, [pfn for pfn in pfns if all(pages[pfn:pfn + (1 << BLOCK_ORDER)])])
    return found if found.mib() >= LEAST_MIB else None


def make_pieces(guest: Guest) -> Pieces:
    """Memory in pieces that was in use just now; whatever holds it back does so already."""
    with running(guest, f"fill {PIECES_MIB} --thp", "filled"):
        pass
    found = guest.wait_for(partial(find_pieces, guest), WAIT_SECONDS, what="memory in pieces")
    assert found
    return found


# --- what a veto does -----------------------------------------------------------------------------

def further(sluice: Sluice, ticks: int) -> dict[str, int] | None:
    """How many decisions of which kind there were, if there are more than that by now."""
    tally = sluice.status()["tally"]
    return tally if tally["ticks"] > ticks else None


def check_kept(sluice: Sluice, kept: Pieces) -> dict[str, int]:
    """For as long as a pass would take nothing is done and nothing reaches the host; how many
    decisions of which kind there were."""
    guest = sluice.guest
    before = sluice.status()["tally"]
    time.sleep(PASS_SECONDS)
    after = guest.wait_for(partial(further, sluice, before["ticks"] + 1), WAIT_SECONDS, LOOK,
                           "two decisions")
    assert after
    assert after["kicks"] == before["kicks"], f"{before}, {after}"
    assert after["releases"] == before["releases"], f"{before}, {after}"
    held = order_knob(guest)
    assert held == (11 if can_switch_off(guest) else 10), f"order is {held}"
    share = kept.at_host()
    assert share >= KEPT, f"the host keeps {share:.0%} of the pieces"
    return {name: after[name] - before[name] for name in after}


def check_veto(sluice: Sluice, guard: str, kept: Pieces) -> str:
    """The guard vetoes every decision; its reason."""
    sluice.guest.wait_for(lambda: decision(sluice)["guard"] == guard, WAIT_SECONDS, LOOK,
                          f"guard {guard}")
    done = check_kept(sluice, kept)
    last = decision(sluice)
    assert last["action"] == "hold" and last["guard"] == guard, last
    assert last["reason"].startswith(f"guard {guard}: "), last
    assert done["vetoes"] == done["ticks"] >= 2, done
    reason = re.search(rf"guard {guard}: (?!its cause is gone)[^\n]*", sluice.log())
    assert reason, "no reason"
    return (f"{reason[0]}; {done['vetoes']} vetoes, host keeps {kept.at_host():.0%} of "
            f"{kept.mib()} MiB")


def check_resumes(sluice: Sluice, kept: Pieces, order: int = BLOCK_ORDER) -> str:
    """Releases go on, and the host gets what was kept from it."""
    started = time.monotonic()
    sluice.guest.wait_for(lambda: kept.at_host() <= GONE, WAIT_SECONDS, LOOK,
                          "pieces at the host")
    elapsed = time.monotonic() - started
    assert decision(sluice)["guard"] is None, decision(sluice)
    released = re.findall(r"release at order (\d+)", sluice.log())
    assert int(released[-1]) == order, f"released at order {released[-1]}"
    return f", {kept.at_host():.0%} {elapsed:.1f} s later"


def check_dwell(sluice: Sluice, guard: str) -> None:
    """The veto outlasted its cause."""
    assert f"guard {guard}: its cause is gone for" in sluice.log(), "no dwell"


# --- causes ---------------------------------------------------------------------------------------

def churn_config(dwell_seconds: int) -> str:
    """The guard alone."""
    return config(churn="30", churn_age='"5s"', dwell=f'"{dwell_seconds}s"')


def check_churn(sluice: Sluice) -> str:
    """What was reported is used again, several times, until the guest has done with it; and the
    veto lasts longer than that."""
    guest = sluice.guest
    sluice.reload(churn_config(LONG_DWELL_SECONDS))
    pid = guest.spawn("sh -c 'while :; do workload churn 100 1 --thp; sleep 3; done'")
    try:
        guest.wait_for(lambda: decision(sluice)["guard"] == "churn", CHURN_SECONDS, LOOK,
                       "guard churn")
    finally:
        guest.stop(pid)
    kept = guest.wait_for(partial(find_pieces, guest), WAIT_SECONDS, what="memory in pieces")
    assert kept
    said = check_veto(sluice, "churn", kept)
    guest.wait_for(lambda: "its cause is gone for" in decision(sluice)["reason"], WAIT_SECONDS,
                   LOOK, "a veto without a cause")
    sluice.reload(churn_config(DWELL_SECONDS))
    return said + check_resumes(sluice, kept)


def check_alloc_rate(sluice: Sluice) -> str:
    """The guest allocates all the time."""
    hold(sluice)
    kept = make_pieces(sluice.guest)
    with running(sluice.guest, "churn 16 60 --no-thp"):
        time.sleep(1)
        sluice.reload(config(alloc_rate='"20MiB"'))
        said = check_veto(sluice, "alloc_rate", kept)
    said += check_resumes(sluice, kept)
    check_dwell(sluice, "alloc_rate")
    return said


def check_reserve(sluice: Sluice) -> str:
    """Memory is short, by the measure of the configuration."""
    hold(sluice)
    with running(sluice.guest, "fill 100 --no-thp", "filled"):
        kept = make_pieces(sluice.guest)
        free = sluice.status()["memory"]["free_bytes"] // MIB
        sluice.reload(config(reserve=f'"{free + 50}MiB"'))
        said = check_veto(sluice, "reserve", kept)
    said += check_resumes(sluice, kept)
    check_dwell(sluice, "reserve")
    return said


def entries(sluice: Sluice) -> int:
    """What a pass at LOW_ORDER would walk: of lists below those of pageblocks."""
    return sum(entry["free_extents"] for zone in sluice.hist()["zones"]
               for entry in zone["orders"][LOW_ORDER:BLOCK_ORDER])


def check_lock_time(sluice: Sluice) -> str:
    """Lists are long at the order that the strategy wants."""
    hold(sluice)
    kept = make_pieces(sluice.guest)
    short = entries(sluice)
    with running(sluice.guest, "fragment 60 --keep-every 4", "fragmented"):
        limit = (short + entries(sluice)) * ENTRY_NS // 2000
        sluice.reload(config(order=str(LOW_ORDER), lock_time=f'"{limit}us"'))
        said = check_veto(sluice, "lock_time", kept)
    return said + check_resumes(sluice, kept, LOW_ORDER)


# --- the breaker, whose back-off is longer than all else ------------------------------------------

def check_breaker_opens(sluice: Sluice, left: list[Pieces]) -> str:
    """A release whose order can't be written: left alone, with the wait announced; adds what is
    left to be released."""
    guest = sluice.guest
    hold(sluice)
    kept = make_pieces(guest)
    guest.check(f"mount -o bind {ORDER} {ORDER} && mount -o remount,bind,ro {ORDER}")
    try:
        sluice.reload(config())
        guest.wait_for(lambda: actuator(sluice, ORDER)["breaker"] == "open", WAIT_SECONDS, LOOK,
                       "an open breaker")
        found = actuator(sluice, ORDER)
        assert found["failures"] == 3 and 0 < found["retry_in_ms"] <= BACKOFF_MS, found
        guest.wait_for(lambda: decision(sluice)["action"] == "leave", WAIT_SECONDS, LOOK,
                       "a decision to leave it alone")
        reason = str(decision(sluice)["reason"])
        assert reason.startswith("breaker: page_reporting_order failed 3 times"), reason
        check_kept(sluice, kept)
        assert actuator(sluice, ORDER)["failures"] == 3, "it was tried again"
    finally:
        guest.check(f"umount {ORDER}")
    left.append(kept)
    return reason


def check_breaker_closes(sluice: Sluice, left: list[Pieces]) -> str:
    """After the back-off it is tried again, and what was to be released is."""
    check_resumes(sluice, left[0])
    assert actuator(sluice, ORDER)["breaker"] == "closed", actuator(sluice, ORDER)
    said = re.search(r"breaker closed: [^\n]*", sluice.log())
    assert said
    return said[0]


# --- free pages that hold something ---------------------------------------------------------------

def probe(guest: Guest) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What `sluice probe` says of reporting, and its findings by name."""
    answer = json.loads(guest.check("sluice probe --json"))
    return answer["reporting"], {entry["name"]: entry for entry in answer["findings"]}


def check_zeroed(guest: Guest) -> str:
    """Zeroes may be dropped: page_poison=1 means nothing to a kernel without
    CONFIG_PAGE_POISONING."""
    if guest.run("grep -w __kernel_poison_pages /proc/kallsyms").out:
        raise Skip("this kernel has CONFIG_PAGE_POISONING, and fills free pages")
    reporting, findings = probe(guest)
    assert reporting["feature_poison"] and not reporting["poisoned"], reporting
    assert findings["reporting"]["available"] and not findings["poison"]["available"], findings
    with Sluice(guest, config(NEVER)) as sluice:
        kept = make_pieces(guest)
        sluice.reload(config())
        said = check_resumes(sluice, kept)
        assert "guard poison" not in sluice.log()
    return f"{kept.mib()} MiB at the host{said}"


def check_poisoned(guest: Guest) -> str:
    """The guard, as where the kernel has what it lacks here."""
    fake = "/tmp/kallsyms"
    guest.check(f"cat /proc/kallsyms >{fake} && echo '0 T __kernel_poison_pages' >>{fake} && "
                f"mount -o bind {fake} /proc/kallsyms")
    reporting, findings = probe(guest)
    assert reporting["poisoned"] and findings["poison"]["available"], findings
    with Sluice(guest, config(NEVER)) as sluice:
        kept = make_pieces(guest)
        sluice.reload(config())
        said = check_veto(sluice, "poison", kept)
        sluice.reload(config(poison="false"))
        said += check_resumes(sluice, kept)
    return said


def check_not_offered(guest: Guest) -> str:
    """Without page poison at the host such a kernel reports nothing, and why is said."""
    reporting, findings = probe(guest)
    assert not reporting["feature_reporting"] and not reporting["feature_poison"], reporting
    assert not findings["reporting"]["available"], findings
    assert MUST_OFFER in findings["reporting"]["detail"], findings
    said = matrix.check_cannot_report(guest, MUST_OFFER)
    share = guest.host_resident() / (MEMORY_MIB * MIB)
    assert share > KEPT, f"the host keeps {share:.0%} of the guest"
    return f"{said}; the host keeps {share:.0%} of the guest"


# --- order ----------------------------------------------------------------------------------------

def run_poison(tap: Tap, kernel: Kernel) -> None:
    """Guests with other command lines."""
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files(),
               cmdline=f"{INIT_ON_FREE} page_poison=1") as guest, in_pieces(guest):
        tap.check(f"{kernel.name}: zeroed pages are reported", partial(check_zeroed, guest))
        tap.check(f"{kernel.name}: guard poison", partial(check_poisoned, guest))
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files(), cmdline=INIT_ON_FREE,
               qemu_args=NO_PAGE_POISON) as guest:
        tap.check(f"{kernel.name}: no page poison at the host", partial(check_not_offered, guest))


def with_log(check: Callable[[Sluice], str], sluice: Sluice) -> str:
    """The check; if it fails, what the daemon said last."""
    try:
        return check(sluice)
    except Exception as error:
        error.add_note("\n".join(sluice.log().splitlines()[-LOG_LINES:]))
        raise


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All guests of one kernel."""
    left: list[Pieces] = []
    checks: dict[str, Callable[[Sluice], str]] = {
        "guard churn": check_churn, "guard alloc_rate": check_alloc_rate,
        "guard reserve": check_reserve, "guard lock_time": check_lock_time,
        "the breaker opens": partial(check_breaker_opens, left=left)}
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files()) as guest, \
            in_pieces(guest), Sluice(guest, config()) as sluice:
        for what, check in checks.items():
            tap.check(f"{kernel.name}: {what}", partial(with_log, check, sluice))
        run_poison(tap, kernel)  # while the back-off passes
        if left:
            tap.check(f"{kernel.name}: the breaker closes",
                      partial(with_log, partial(check_breaker_closes, left=left), sluice))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, run_kernel))
