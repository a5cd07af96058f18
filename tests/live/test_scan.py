# SPDX-License-Identifier: GPL-2.0-only
"""What sluice shows against what the kernel itself shows, on a machine that is not idle.

/proc/buddyinfo and /proc/kpageflags are read before and after each look of sluice's.  A count
that lies between the two is right as far as anybody can tell.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from daemon import (Daemon, config, plain_environment, require_bpf, require_root,  # noqa: E402
                    run_client, wait_for)
from tap import Skip, Tap  # noqa: E402

TRIES = 50
CLIENT_TRIES = 60
CLIENT_EQUAL = 5
HEADS_TRIES = 10
SHARE = 0.9  # of the comparisons that must hold, since others use memory meanwhile
MIB = 1 << 20

# Documentation/admin-guide/mm/pagemap.rst; PG_reported shares its bit with PG_uptodate
KPF_UPTODATE = 3
KPF_BUDDY = 10
FLAGS_BYTES = 8
CHUNK_PAGES = 1 << 13

Counts = dict[tuple[int, str], list[int]]


def buddyinfo() -> Counts:
    """{(node, zone): free extents by order}."""
    zones = {}
    for line in Path("/proc/buddyinfo").read_text().splitlines():
        words = line.replace(",", "").split()
        zones[int(words[1]), words[3]] = [int(word) for word in words[4:]]
    return zones


def counts(hist: dict[str, Any], key: str = "free_extents") -> Counts:
    """The same shape from a histogram."""
    return {(zone["node"], zone["zone"]): [order[key] for order in zone["orders"]]
            for zone in hist["zones"]}


def pages(zones: Counts) -> int:
    """Pages of all extents."""
    return sum(extents << order for zone in zones.values() for order, extents in enumerate(zone))


def outside(value: int, one: int, other: int) -> int:
    """How far a value lies outside two bounds, in whatever order they come."""
    low, high = min(one, other), max(one, other)
    return max(low - value, value - high, 0)


def drift_limit(free_pages: int) -> int:
    """Pages by which a look may differ: 1 %, and what one process may move."""
    return free_pages // 100 + 16 * MIB // mmap.PAGESIZE


@dataclass
class Agreement:
    """Comparisons so far."""

    compared: int = 0
    agreed: int = 0
    exact: int = 0
    worst: int = 0  # pages that a total lay outside

    def add(self, before: Counts, seen: Counts, after: Counts) -> None:
        """Compare order by order, and the totals."""
        assert seen.keys() == before.keys() == after.keys(), f"zones {list(seen)}"
        for zone, orders in seen.items():
            assert len(orders) == len(before[zone]), f"{zone}: {len(orders)} orders"
            for order, extents in enumerate(orders):
                off = outside(extents, before[zone][order], after[zone][order])
                self.compared += 1
                self.agreed += not off
                self.exact += before[zone][order] == extents == after[zone][order]
        off = outside(pages(seen), pages(before), pages(after))
        self.worst = max(self.worst, off)
        limit = drift_limit(pages(before))
        assert off <= limit, f"{off} of {pages(before)} pages off, {limit} are allowed"

    def judge(self) -> str:
        """AssertionError unless enough of them held."""
        text = (f"{self.agreed} of {self.compared} counts lie between, {self.exact} of them are "
                f"exact; the worst total was {self.worst} pages outside")
        assert self.agreed >= SHARE * self.compared, text
        return text


def check_daemon_hist(daemon: Daemon) -> str:
    """The daemon's histogram lies between two looks at /proc/buddyinfo, order by order."""
    require_bpf(daemon)
    agreement = Agreement()
    for _ in range(TRIES):
        before = buddyinfo()
        hist = daemon.hist()
        agreement.add(before, counts(hist), buddyinfo())
        assert (hist["version"], hist["scan"], hist["source"]) == (1, "full", "bpf"), hist
    return agreement.judge()


def check_client_hist() -> str:
    """The client alone counts as the kernel does, order by order: a process that starts moves the
    low orders, so each scan is held against the kernel's own totals from the same look, and their
    sum against /proc/buddyinfo. Others use memory during some of the looks, not during all."""
    require_root()
    equal = looks = worst = 0
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as folder:
        while equal < CLIENT_EQUAL and looks < CLIENT_TRIES:
            before = buddyinfo()
            done = run_client(Path(folder) / "none", "--json", "hist")
            after = buddyinfo()
            assert done.returncode == 0, done.stderr + done.stdout
            hist = json.loads(done.stdout)
            if hist["source"] != "bpf":
                raise Skip(f"no BPF scan here: the client's source is {hist['source']}")
            found = counts(hist)
            looks += 1
            equal += found == counts(hist, "nr_free")
            off = outside(pages(found), pages(before), pages(after))
            assert off <= drift_limit(pages(before)), f"{off} pages outside /proc/buddyinfo"
            worst = max(worst, off)
    text = (f"{equal} of {looks} looks equal the kernel's counts at that moment, order by order; "
            f"the worst total was {worst} pages outside /proc/buddyinfo")
    assert equal >= CLIENT_EQUAL, text
    return text


# --- an independent count ------------------------------------------------------------------------

@dataclass
class Flags:
    """What /proc/kpageflags shows."""

    free_pages: int = 0
    reported_extents: int = 0


def count_flags() -> Flags:
    """Count free pages and reported extents, eight bytes a page, a bit at a time for all pages."""
    found = Flags()
    buffer = bytearray(CHUNK_PAGES * FLAGS_BYTES)
    ones = int.from_bytes(b"\1" * CHUNK_PAGES, "little")
    with open("/proc/kpageflags", "rb", buffering=0) as file:
        while got := file.readinto(buffer):
            data = buffer[:got]
            low = int.from_bytes(data[KPF_UPTODATE // 8::FLAGS_BYTES], "little")
            high = int.from_bytes(data[KPF_BUDDY // 8::FLAGS_BYTES], "little")
            buddy = high >> KPF_BUDDY % 8 & ones
            found.free_pages += buddy.bit_count()
            found.reported_extents += (buddy & low >> KPF_UPTODATE % 8).bit_count()
    return found


def check_kpageflags(daemon: Daemon) -> str:
    """Reported extents and free pages equal a count of page flags that knows nothing of ours."""
    require_bpf(daemon)
    agreed = worst = reported = 0
    for _ in range(HEADS_TRIES):
        before = count_flags()
        hist = daemon.hist()
        after = count_flags()
        found = sum(sum(orders) for orders in counts(hist, "reported_extents").values())
        off = outside(found, before.reported_extents, after.reported_extents)
        agreed += off <= 1 + before.reported_extents // 100
        worst = max(worst, off)
        reported = max(reported, found)
        free = pages(counts(hist))
        off = outside(free, before.free_pages, after.free_pages)
        assert off <= drift_limit(free), f"{off} pages outside: {free}, {before}, {after}"
    text = (f"{agreed} of {HEADS_TRIES} sums agree, up to {reported} reported extents; the worst "
            f"was {worst} outside")
    assert agreed >= SHARE * HEADS_TRIES, text
    if not reported:
        raise Skip("nothing is reported on this machine: there was nothing to compare")
    return text


# --- cost ----------------------------------------------------------------------------------------

def present_pages() -> int:
    """Pages of memory that the zones hold."""
    return sum(map(int, re.findall(r"^ +present +(\d+)$", Path("/proc/zoneinfo").read_text(),
                                   re.MULTILINE)))


def check_cost() -> str:
    """What scans cost, for the record: time is never asserted here, the number of reads is."""
    with Daemon(config(interval="100ms", more='full_interval = "0";')) as daemon:
        require_bpf(daemon)
        start = daemon.status()["tally"]
        daemon.wait_ticks(30)
        status = daemon.status()
        assert status["memory"]["scan"] == "heads", status["memory"]
        ticks = status["tally"]["ticks"] - start["ticks"]
        heads_ms = (status["tally"]["scan_ns"] - start["scan_ns"]) / ticks / 1e6
        hist = daemon.hist()
    present = present_pages()
    probes = hist["probes"]
    # at best one read for each extent of the highest order, at worst one for each page
    highest = len(hist["zones"][0]["orders"]) - 1
    assert present >> highest <= probes <= present, f"{probes} reads for {present} pages"
    return (f"heads: {heads_ms:.2f} ms (mean of {ticks}); full: {hist['cost_ns'] / 1e6:.1f} ms, "
            f"{probes} reads for {present} pages")


# --- events --------------------------------------------------------------------------------------

def fault_pages(size: int = 256 * MIB) -> None:
    """Take memory page by page and give it back."""
    with mmap.mmap(-1, size) as area:
        with contextlib.suppress(OSError, AttributeError):
            area.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, size, mmap.PAGESIZE):
            area[offset] = 1


def copy_values(times: int = 200, size: int = 64 << 10) -> None:
    """Make the kernel take and free blocks of an order that has no per-CPU list: it copies the
    value of an extended attribute (vmemdup_user() in setxattr(2)) whatever becomes of it then."""
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(times):
            with contextlib.suppress(OSError):
                os.setxattr(file.name, "user.sluice", bytes(size))


def require_events(daemon: Daemon) -> dict[str, int]:
    """The counters; skips where the kernel lets us have none."""
    status = daemon.status()
    if status["events"] is None:
        raise Skip(f"no events here: {' '.join(status['notes'])}")
    return status["events"]


@contextlib.contextmanager
def events(level: str) -> Iterator[Daemon]:
    """A daemon that follows these events."""
    with Daemon(config(interval="1s", more=f'events = "{level}";')) as daemon:
        yield daemon


def check_counters(level: str) -> str:
    """The counters that belong to a level grow under a load of page faults, and stay healthy."""
    growing = {"lists": ("allocs", "drains"), "all": ("allocs", "drains", "direct_frees")}[level]
    with events(level) as daemon:
        start = require_events(daemon)
        assert daemon.status()["event_level"] == level

        def grown() -> dict[str, int] | None:
            fault_pages()
            if level == "all":
                copy_values()  # their frees would be missed at level lists, and be clamped
            now = require_events(daemon)
            more = {name: now[name] - start[name] for name in now}
            return more if all(more[name] > 100 for name in growing) else None

        more = wait_for(grown, f"growth of {', '.join(growing)}")
        now = require_events(daemon)
        drift = map_drift(daemon)
    assert all(now[name] >= start[name] for name in now), f"{start} {now}"
    assert now["unknown"] == 0, f"{now['unknown']} events of pages that no section holds"
    if level == "lists":
        assert now["direct_frees"] == 0, now
    # one that comes between the scan's look at a block and its write is lost until the next scan
    seen = now["allocs"] + now["drains"] + now["direct_frees"]
    assert now["clamped"] <= seen // 100 + 16, f"{now['clamped']} of {seen} clamped"
    return f"{more}; {drift}"


def map_drift(daemon: Daemon) -> str:
    """How far the map that the events keep is from the kernel's totals; not far."""
    found = daemon.status()["map"]
    if found is None:
        return "no map"
    limit = drift_limit(found["kernel_pages"])
    assert abs(found["drift_pages"]) <= limit, f"{found}, {limit} pages are allowed"
    return f"the map is {found['drift_pages']} of {found['kernel_pages']} pages off"


def check_no_events() -> None:
    """Without events there are no counters, and the histogram is there all the same."""
    with events("off") as daemon:
        status = daemon.status()
        assert status["events"] is None and status["event_level"] == "off", status
        assert pages(counts(daemon.hist())) > 0


def main() -> int:
    tap = Tap()

    def with_daemon(check: Callable[[Daemon], object]) -> object:
        with Daemon(config(interval="1h")) as daemon:
            return check(daemon)

    os.environ.update(plain_environment())
    checks: list[tuple[str, Callable[[], object]]] = [
        ("hist of the daemon lies between two looks at buddyinfo",
         partial(with_daemon, check_daemon_hist)),
        ("hist of the client alone equals the kernel's totals", check_client_hist),
        ("reported extents equal those in kpageflags", partial(with_daemon, check_kpageflags)),
        ("cost of scans", check_cost),
        ("events of level lists", partial(check_counters, "lists")),
        ("events of level all", partial(check_counters, "all")),
        ("no events at level off", check_no_events),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
