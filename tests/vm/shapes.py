# SPDX-License-Identifier: GPL-2.0-only
"""The free-extent map on every shape that a guest's memory has, and while memory comes and goes.

    python3 tests/vm/shapes.py [SHAPE[=KERNEL]...]

Each shape is a guest, or one per kernel where kernels differ.  Every check first makes sure that
the kernel shows the shape that is meant.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace, field
from functools import partial
from pathlib import Path
from typing import Any

import matrix
from guest import MIB, Guest
from kernels import Kernel
from matrix import BLOCK_ORDER, DRIFT_LIMIT, GUESTS_AT_ONCE, Sluice, compare, config
from tap import Skip, Tap

PAGE = 4096
BLOCK = PAGE << BLOCK_ORDER
GIB = 1024 * MIB
RECORD_BYTES = 8
# What the map may cost whatever the size of memory: the table of sections, counters, totals.
FIXED_BYTES = 256 * 1024
FOLLOW_SECONDS = 120.0
CALM_SECONDS = 120.0
LOAD_MIB = 200
DIMM_MIB = 256
VIRTIO_MEM_MIB = 1024
LARGE_MIB = 16 * 1024
MEMORY = "/sys/devices/system/memory"
FOLDER = re.compile(rf"{MEMORY}/memory(\d+)/(.*)")


# --- what the kernel shows -----------------------------------------------------------------------

@dataclass
class MemoryBlock:
    """A memory block of /sys/devices/system/memory, the unit in which memory comes and goes."""

    state: str = ""
    zones: str = ""  # valid_zones: the one zone of an online block, or "none" if it has several
    nodes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Span:
    """A populated zone out of /proc/zoneinfo, in pages."""

    start: int
    spanned: int
    present: int
    managed: int

    def contains(self, other: Span) -> bool:
        """Whether all of another zone lies between the first and the last page of this one."""
        return (self.start <= other.start
                and other.start + other.spanned <= self.start + self.spanned)


def memory_blocks(guest: Guest) -> dict[int, MemoryBlock]:
    """All memory blocks by number."""
    # blocks may vanish between the shell's look and that of grep
    text = guest.run(f"grep -H . {MEMORY}/memory[0-9]*/state {MEMORY}/memory[0-9]*/valid_zones; "
                     f"ls -d {MEMORY}/memory[0-9]*/node*").out
    blocks: dict[int, MemoryBlock] = {}
    for number, rest in FOLDER.findall(text):
        block = blocks.setdefault(int(number), MemoryBlock())
        name, _, value = rest.partition(":")
        if name == "state":
            block.state = value
        elif name == "valid_zones":
            block.zones = value
        else:
            block.nodes.append(int(name.removeprefix("node")))
    return blocks


def zones(guest: Guest) -> dict[tuple[int, str], Span]:
    """The populated zones by node and name."""
    found = {}
    for text in re.split(r"^(?=Node )", guest.check("cat /proc/zoneinfo"), flags=re.MULTILINE):
        title = re.match(r"Node (\d+), zone +(\w+)", text)
        values = {name: int(value) for name, value in
                  re.findall(r"^ +(spanned|present|managed|start_pfn:) +(\d+)$", text,
                             re.MULTILINE)}
        if title and values.get("present"):
            found[int(title[1]), title[2]] = Span(values["start_pfn:"], values["spanned"],
                                                  values["present"], values["managed"])
    return found


def block_bytes(guest: Guest) -> int:
    """Size of a memory block."""
    return int(guest.check(f"cat {MEMORY}/block_size_bytes"), 16)


def online_bytes(guest: Guest) -> int:
    """Memory blocks that are online, in bytes."""
    online = [block for block in memory_blocks(guest).values() if block.state == "online"]
    return len(online) * block_bytes(guest)


def map_cost(guest: Guest, pid: int) -> int:
    """What the kernel charges for the BPF maps of a process, in bytes."""
    text = guest.run(f"grep -h ^memlock: /proc/{pid}/fdinfo/*").out
    return sum(map(int, re.findall(r"^memlock:\s+(\d+)$", text, re.MULTILINE)))


# --- what sluice makes of it ---------------------------------------------------------------------

def observe(interval: str = "1s") -> str:
    """A configuration that follows everything and does nothing."""
    return config("observe", interval=interval) + 'events = "all";\n'


def noted(function: Callable[..., str], guest: Guest, sluice: Sluice, *more: int) -> str:
    """A check that adds to its error what the daemon says, which runs on."""
    try:
        return function(guest, sluice, *more)
    except Exception as error:
        status = guest.run("sluice --json status", timeout=20).out
        error.add_note(f"{sluice.log()}{status}")
        raise


def check_sound(guest: Guest, sluice: Sluice) -> None:
    """Nothing was lost on the way: no step down, no complaint."""
    notes = sluice.status()["notes"]
    expected = 1 if guest.kernel.name == "5.10" else 0  # it has no BPF programs that scan
    assert len(notes) == expected, f"{notes}"
    complaints = [line for line in sluice.log().splitlines()
                  if line.startswith(("error: ", "warning: "))]
    assert len(complaints) == expected, f"{complaints}"


def check_map(guest: Guest, sluice: Sluice) -> str:
    """A record for each pageblock of online memory and for nothing else, at 8 bytes each."""
    sluice.hist()  # a full scan
    found, online = sluice.status()["map"], online_bytes(guest)
    cost = map_cost(guest, sluice.daemon_pid())
    fixed = cost - online // BLOCK * RECORD_BYTES
    assert found["blocks"] == online // BLOCK, f"{found}, {online / MIB:.0f} MiB are online"
    assert abs(found["drift_pages"]) <= DRIFT_LIMIT, f"{found}"
    assert 0 < fixed <= FIXED_BYTES, f"{cost} bytes for {found['blocks']} pageblocks"
    check_sound(guest, sluice)
    return (f"{found['blocks']} records cost {cost / 1024:.0f} KiB, {RECORD_BYTES} bytes each and "
            f"{fixed / 1024:.0f} KiB; drift {found['drift_pages']} pages")


def wait_calm(guest: Guest, sluice: Sluice) -> None:
    """Wait until reporting stands still, so that no extent is on its way to the host."""
    seen = [-1]

    def stands() -> bool:
        seen.append(matrix.reported(sluice.hist()))
        return 0 < seen[-1] == seen[-2]

    guest.wait_for(stands, CALM_SECONDS, interval=2.5, what="end of reporting")


def check_quiet(guest: Guest, sluice: Sluice) -> str:
    """Map and histogram of a guest at rest."""
    wait_calm(guest, sluice)
    return f"{compare(guest, sluice)}\n{check_map(guest, sluice)}"


@contextmanager
def load(guest: Guest, mib: int = LOAD_MIB) -> Iterator[None]:
    """Page faults, and now and then new processes, until the end of the block.

    It pauses half of the time: an emulated guest has to do everything else as well.
    """
    pid = guest.spawn(f"sh -c 'while workload churn {mib} 1; do sleep 1; done'")
    try:
        yield
        assert guest.exit_status(pid) is None, "the workload failed"
    finally:
        if guest.exit_status(pid) is None:
            guest.stop(pid)


def check_events(guest: Guest, sluice: Sluice) -> str:
    """No event on a page without a record, while a load is on."""
    before = sluice.status()["events"]
    matrix.wait_ticks(guest, sluice, 3)
    after = sluice.status()["events"]
    moved = after["allocs"] + after["drains"] - before["allocs"] - before["drains"]
    assert moved > 0, "no event under load"
    assert after["unknown"] == before["unknown"], f"{before}, then {after}"
    return f"{moved} events, {after['unknown']} on unknown pages before them"


def follow(guest: Guest, sluice: Sluice) -> None:
    """Wait until the map holds what is online."""
    guest.wait_for(lambda: sluice.status()["map"]["blocks"] * BLOCK == online_bytes(guest),
                   FOLLOW_SECONDS, what=f"map of {online_bytes(guest) / MIB:.0f} MiB online")


def check_static(guest: Guest) -> str:
    """A guest whose memory stays: quiet, and then under load without one event unknown."""
    with Sluice(guest, observe()) as sluice:
        detail = check_quiet(guest, sluice)
        with load(guest):
            events = check_events(guest, sluice)
        assert sluice.status()["events"]["unknown"] == 0, sluice.status()["events"]
        check_sound(guest, sluice)
    return f"{detail}\n{events}"


# --- memory that stays ---------------------------------------------------------------------------

def check_two_nodes(guest: Guest) -> str:
    """Two nodes, each with a zone Normal."""
    found = zones(guest)
    assert {(0, "Normal"), (1, "Normal")} <= found.keys(), f"{found}"
    return check_static(guest)


def check_empty_node(guest: Guest) -> str:
    """A node that is online but has no memory."""
    assert guest.check("cat /sys/devices/system/node/online") == "0-1\n"
    assert guest.check("cat /sys/devices/system/node/has_memory") == "0\n"
    return check_static(guest)


def check_sparse(guest: Guest) -> str:
    """Some memory a long way behind the rest: what lies between has no records."""
    far = 128 * GIB
    before = online_bytes(guest)
    set_auto_online(guest, "offline")
    guest.plug("far", DIMM_MIB, address=far)
    set_online_all(guest, "online")
    end = max(span.start + span.spanned for span in zones(guest).values()) * PAGE
    assert end > far and online_bytes(guest) == before + DIMM_MIB * MIB, f"{zones(guest)}"
    detail = check_static(guest)
    return f"{online_bytes(guest) / MIB:.0f} MiB within {end / GIB:.0f} GiB\n{detail}"


def check_large(guest: Guest) -> str:
    """16 GiB."""
    assert online_bytes(guest) >= LARGE_MIB * MIB
    return check_static(guest)


def check_movable(guest: Guest) -> str:
    """Zone Movable on both nodes; its boundary with Normal lies inside of memory blocks."""
    found = zones(guest)
    assert {(0, "Movable"), (1, "Movable"), (0, "Normal"), (1, "Normal")} <= found.keys(), found
    shared = [number for number, block in memory_blocks(guest).items()
              if number and block.zones == "none"]
    assert len(shared) == 2, f"{shared}"
    return check_static(guest)


def check_movable_spanned(guest: Guest) -> str:
    """A DIMM as Normal behind zone Movable: Normal now spans it, and the block that they share."""
    guest.plug("behind", DIMM_MIB)
    set_online_all(guest, "online_kernel")
    found = zones(guest)
    assert found[0, "Normal"].contains(found[0, "Movable"]), f"{found}"
    assert found[0, "Normal"].contains(found[1, "Movable"]), f"{found}"
    return check_static(guest)


# --- memory that comes and goes ------------------------------------------------------------------

def set_auto_online(guest: Guest, policy: str) -> None:
    """What the guest does with memory that is added."""
    guest.check(f"echo {policy} >{MEMORY}/auto_online_blocks")


def wait_offline(guest: Guest, mib: int) -> list[int]:
    """Wait for memory that was plugged; numbers of its blocks, which are offline."""
    count = mib * MIB // block_bytes(guest)

    def offline() -> list[int]:
        numbers = sorted(number for number, block in memory_blocks(guest).items()
                         if block.state == "offline")
        return numbers if len(numbers) == count else []

    return guest.wait_for(offline, FOLLOW_SECONDS, what=f"{count} memory blocks offline")


def set_online(guest: Guest, number: int, how: str) -> None:
    """Put one memory block online: online, online_kernel or online_movable."""
    guest.check(f"echo {how} >{MEMORY}/memory{number}/state")


def set_online_all(guest: Guest, how: str, mib: int = DIMM_MIB) -> None:
    """The same with all memory that was plugged."""
    for number in wait_offline(guest, mib):
        set_online(guest, number, how)


def check_added(guest: Guest, sluice: Sluice) -> str:
    """A DIMM for node 0, behind the memory of node 1, under load."""
    with load(guest):
        guest.plug("first", DIMM_MIB)
        numbers = wait_offline(guest, DIMM_MIB)
        matrix.wait_ticks(guest, sluice, 2)
        blocks = sluice.status()["map"]["blocks"]
        assert blocks * BLOCK == online_bytes(guest), "memory that is offline has records"
        for number in reversed(numbers):
            set_online(guest, number, "online_movable")
        follow(guest, sluice)
        events = check_events(guest, sluice)
    assert (0, "Movable") in zones(guest), f"{zones(guest)}"
    return f"{events}\n{check_quiet(guest, sluice)}"


def check_removed(guest: Guest, sluice: Sluice) -> str:
    """The same DIMM leaves, under load."""
    with load(guest):
        guest.unplug("first")
        follow(guest, sluice)
        events = check_events(guest, sluice)
    assert (0, "Movable") not in zones(guest), f"{zones(guest)}"
    return f"{events}\n{check_quiet(guest, sluice)}"


def check_interleaved(guest: Guest, sluice: Sluice) -> str:
    """A DIMM in three blocks, Normal, Movable and Normal: node 0's zone Normal spans node 0's
    zone Movable and node 1's zone Normal."""
    size = 3 * block_bytes(guest) // MIB
    with load(guest):
        guest.plug("second", size)
        numbers = wait_offline(guest, size)
        for number, how in zip(numbers, ("online_kernel", "online_movable", "online_kernel")):
            set_online(guest, number, how)
        follow(guest, sluice)
        events = check_events(guest, sluice)
    found = zones(guest)
    assert found[0, "Normal"].contains(found[0, "Movable"]), f"{found}"
    assert found[0, "Normal"].contains(found[1, "Normal"]), f"{found}"
    return f"{events}\n{check_quiet(guest, sluice)}"


def check_given_back(guest: Guest, sluice: Sluice) -> str:
    """With mode control the daemon that has seen all this gives back what is free."""
    matrix.fill_and_free(guest, LOAD_MIB)
    sluice.reload(config("control", start="16MiB", stop="8MiB"))
    guest.wait_for(lambda: matrix.eligible(sluice.hist()) <= 8 * MIB, 90, what="all given back")
    hist = sluice.hist()
    assert all(any(entry["reported_extents"] for entry in zone["orders"])
               for zone in hist["zones"] if zone["zone"] != "DMA"), f"{hist}"
    sluice.reload(observe())
    return (f"{matrix.reported(hist) / MIB:.0f} MiB reported, resident on the host "
            f"{guest.host_resident() / MIB:.0f} MiB")


def request(guest: Guest, mib: int) -> None:
    """Have the guest take or give memory through virtio-mem, and wait for that."""
    guest.request_memory(mib)
    guest.wait_for(lambda: guest.plugged_memory() == mib, FOLLOW_SECONDS,
                   what=f"{mib} MiB through virtio-mem")


def check_requested(guest: Guest, sluice: Sluice, mib: int) -> str:
    """Another size of virtio-mem, under load; the last memory block has parts that are not there.

    Pages that are not plugged are neither free nor managed (PageOffline), though their memory
    block is online and has records.
    """
    with load(guest):
        request(guest, mib)
        follow(guest, sluice)
        events = check_events(guest, sluice)
    found = zones(guest)
    if mib:
        span = found[0, "Movable"]
        assert span.managed == mib * MIB // PAGE < span.present, f"{span}"
    else:
        assert (0, "Movable") not in found, f"{found}"
    return f"{events}\n{check_quiet(guest, sluice)}"


# --- shapes --------------------------------------------------------------------------------------

# How one check is run: its name, and what raises if it fails.
Check = Callable[[str, Callable[[], object]], object]


@dataclass(frozen=True)
class Shape:
    """A guest, the kernels that it is tried with, and the checks in it."""

    name: str
    kernels: tuple[str, ...]
    arguments: Mapping[str, Any]  # of Guest
    run: Callable[[Check, Guest], None]
    free_mib: int = 0  # that the host must have


def run_two_nodes(check: Check, guest: Guest) -> None:
    """Memory that stays, with zones of the same name."""
    check("map and histogram", lambda: check_two_nodes(guest))
    check("threshold holds, then gives back", lambda: matrix.check_threshold(guest))


def run_movable(check: Check, guest: Guest) -> None:
    """movablecore=, and what a DIMM makes of it."""
    check("map and histogram", lambda: check_movable(guest))
    set_auto_online(guest, "offline")
    check("spanned by Normal", lambda: check_movable_spanned(guest))


def run_dimms(check: Check, guest: Guest) -> None:
    """DIMMs that come and go while one daemon runs."""
    set_auto_online(guest, "offline")
    with Sluice(guest, observe()) as sluice:
        for what, function in {
                "added under load": check_added,
                "removed under load": check_removed,
                "zones interleave": check_interleaved,
                "all of it is given back": check_given_back}.items():
            check(what, partial(noted, function, guest, sluice))
    check("interleaved from the start", lambda: check_static(guest))


def run_virtio_mem(check: Check, guest: Guest) -> None:
    """Memory that comes and goes in steps of 2 MiB."""
    set_auto_online(guest, "online_movable")
    with Sluice(guest, observe()) as sluice:
        for mib in (300, 500, 100, 0, 200):
            check(f"{mib} MiB", partial(noted, check_requested, guest, sluice, mib))
        check("all of it is given back", partial(noted, check_given_back, guest, sluice))


def run_one(function: Callable[[Guest], str]) -> Callable[[Check, Guest], None]:
    """A shape with a single check."""
    return lambda check, guest: check("map and histogram", lambda: function(guest)) and None


TWO_NODES: Mapping[str, Any] = {"nodes": (512, 512), "low_mib": 256}
SHAPES = (
    Shape("DIMMs", ("5.10", "7.2"), {**TWO_NODES, "hotplug_mib": 1024}, run_dimms),
    Shape("virtio-mem", ("6.1", "7.2"),
          {"memory_mib": 768, "hotplug_mib": VIRTIO_MEM_MIB, "virtio_mem_mib": VIRTIO_MEM_MIB},
          run_virtio_mem),
    Shape("16 GiB", ("6.12",), {"memory_mib": LARGE_MIB}, run_one(check_large),
          free_mib=LARGE_MIB),
    Shape("two nodes", ("6.1",), TWO_NODES, run_two_nodes),
    Shape("zone Movable", ("6.18",),
          {**TWO_NODES, "cmdline": "movablecore=300M", "hotplug_mib": DIMM_MIB}, run_movable),
    Shape("sparse", ("6.12",),
          {"memory_mib": 512, "low_mib": 256, "hotplug_mib": 256 * 1024}, run_one(check_sparse)),
    Shape("node without memory", ("6.18",), {"nodes": (768, 0)}, run_one(check_empty_node)),
)


def require_free(mib: int) -> None:
    """Skip, loudly, what this host is too small for."""
    text = Path("/proc/meminfo").read_text()
    free = int(text.split("MemAvailable:")[1].split()[0]) // 1024
    if free < mib:
        raise Skip(f"{free} MiB of memory are available, the guest may take {mib} MiB")


def run_shape(tap: Tap, shape: Shape, kernel: Kernel) -> None:
    """One guest with its checks."""
    require_free(shape.free_mib)
    with Guest(kernel, files=matrix.files(), **shape.arguments) as guest:
        shape.run(lambda what, function: tap.check(f"{shape.name}, {kernel.name}: {what}",
                                                   function), guest)


def main() -> int:
    tap = Tap()
    wanted = dict(word.partition("=")[::2] for word in sys.argv[1:])
    shapes = [replace(shape, kernels=(wanted[shape.name],)) if wanted.get(shape.name) else shape
              for shape in SHAPES if not wanted or shape.name in wanted]
    fetched: list[Kernel] = []
    for name in sorted({name for shape in shapes for name in shape.kernels}):
        tap.check(f"{name}: kernel", partial(matrix.fetch, name, fetched))
    kernels = {kernel.name: kernel for kernel in fetched}
    with ThreadPoolExecutor(GUESTS_AT_ONCE) as pool:
        for shape in shapes:
            for name in kernels.keys() & shape.kernels:
                pool.submit(tap.check, f"{shape.name}, {name}: guest runs",
                            partial(run_shape, tap, shape, kernels[name]))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
