# SPDX-License-Identifier: GPL-2.0-only
"""What the host knows about a QEMU process: the memory behind its guest, and page faults."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PAGE = os.sysconf("SC_PAGE_SIZE")
PAGEMAP_BYTES = 8
PAGEMAP_KEPT = 3 << 62  # present or swapped, Documentation/admin-guide/mm/pagemap.rst
PR_SET_THP_DISABLE = 41
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+) *(.*)")
# Number of the field in /proc/PID/stat, counted from the one after the program's name.
STAT_MINFLT = 7
STAT_STIME = 12


@dataclass(frozen=True)
class Mapping:
    """One mapping of a process with the bytes of it that are in memory."""

    start: int
    end: int
    mode: str
    anonymous: bool
    resident: int


class GuestMemory:
    """The mappings of a process that are the memory of its guest.

    QEMU maps each NUMA node and each DIMM in one piece; a discard by MADV_DONTNEED changes no
    mapping, but MADV_HUGEPAGE or the like on a part would split it, so its address range is what
    counts from then on.
    """

    def __init__(self, pid: int, sizes: Sequence[int]) -> None:
        self._pid = pid
        private = [m for m in mappings(pid) if m.anonymous and m.mode == "rw-p"]
        found = [m for m in private if m.end - m.start in sizes]
        if sorted(m.end - m.start for m in found) != sorted(sizes):
            raise RuntimeError(f"process {pid} has {len(found)} private mappings where guest "
                               f"memory of {sizes} bytes is looked for: which ones are it?")
        self.ranges = [(m.start, m.end) for m in found]

    def resident(self) -> int:
        """Bytes of guest memory that the host keeps in memory (what it swapped out is not)."""
        present = list(mappings(self._pid))
        return sum(self._resident_in(present, start, end) for start, end in self.ranges)

    def resident_pages(self) -> list[bool]:
        """For each page of guest memory whether the host keeps it, in memory or swapped out.

        In the order of the mappings' addresses: that is the guest's own for memory in one piece.
        """
        pages: list[bool] = []
        with Path(f"/proc/{self._pid}/pagemap").open("rb") as pagemap:
            for start, end in sorted(self.ranges):
                pagemap.seek(start // PAGE * PAGEMAP_BYTES)
                entries = array("Q")
                entries.frombytes(pagemap.read((end - start) // PAGE * PAGEMAP_BYTES))
                pages += [entry & PAGEMAP_KEPT != 0 for entry in entries]
        return pages

    def _resident_in(self, present: Iterable[Mapping], start: int, end: int) -> int:
        inside = [m for m in present if m.start < end and m.end > start]
        covered = sum(m.end - m.start for m in inside)
        if covered != end - start:
            raise RuntimeError(f"process {self._pid}: mappings of {covered} bytes where "
                               f"{end - start} bytes of guest memory were")
        return sum(m.resident for m in inside)


def mappings(pid: int) -> Iterator[Mapping]:
    """All mappings out of /proc/PID/smaps."""
    for block in re.split(r"\n(?=[0-9a-f]+-)", Path(f"/proc/{pid}/smaps").read_text()):
        header = MAPPING.match(block)
        resident = re.search(r"^Rss: +(\d+) kB$", block, re.MULTILINE)
        if header and resident:
            anonymous = header[4] == "0" and not header[5].startswith("/")
            yield Mapping(int(header[1], 16), int(header[2], 16), header[3], anonymous,
                          int(resident[1]) * 1024)


def minor_faults(pid: int) -> int:
    """Minor page faults of all threads since the process started."""
    return int(_stat(pid)[STAT_MINFLT])


def system_seconds(pid: int) -> float:
    """Of the CPU time of all threads, what the kernel took; by the kernel's own ticks."""
    return int(_stat(pid)[STAT_STIME]) / os.sysconf("SC_CLK_TCK")


def thread_seconds(pid: int) -> dict[int, float]:
    """CPU time of each thread that has not ended; the first one's number is the process id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def die_with_parent(huge_pages: bool = True) -> Callable[[], None]:
    """For preexec_fn: have the kernel kill the child when its parent dies, however that happens.

    Without `huge_pages` it gets none, whatever it asks for.

    "Parent" is the thread that started the child, so that thread has to live as long.  The
    function is looked up before the fork: in the child of a process with threads, the lock of the
    dynamic loader might be held for ever.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    parent = os.getpid()

    def prepare() -> None:
        if prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if not huge_pages and prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_THP_DISABLE)")
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
