# SPDX-License-Identifier: GPL-2.0-only
"""A guest seen from its host, several times a second: resident memory, faults and CPU time of QEMU,
each with its time, and what follows from two of them."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import process

PERIOD = 0.25
GIB = 1 << 30
TICK = 1 / os.sysconf("SC_CLK_TCK")
HOST_IDLE = (3, 4)  # idle and iowait among the fields of the first line of /proc/stat


@dataclass(frozen=True)
class Sample:
    """One look; seconds, bytes, and counters since QEMU started."""

    at: float
    took: float
    resident: int
    minor_faults: int
    cpu: float  # of all threads of QEMU
    main_cpu: float  # of the thread that runs devices, which is where reports are worked on
    system: float  # of `cpu`, what the host's kernel took: faults, pages cleared, pages returned
    host_busy: float  # CPU seconds of the whole host


def host_busy() -> float:
    """CPU seconds that the host was not idle, since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(int(value) for at, value in enumerate(fields) if at not in HOST_IDLE) * TICK


def look(pid: int, resident: Callable[[], int]) -> Sample:
    """All of it now; `resident` takes the longest, and its memory is as of the middle of that."""
    start = time.monotonic()
    memory = resident()
    end = time.monotonic()
    threads = process.thread_seconds(pid)
    return Sample((start + end) / 2, end - start, memory, process.minor_faults(pid),
                  sum(threads.values()), threads[pid], process.system_seconds(pid), host_busy())


class Sampler:
    """Looks in a thread of its own from `with` to the end of the block, and when it is told to."""

    def __init__(self, pid: int, resident: Callable[[], int], period: float = PERIOD) -> None:
        self.samples: list[Sample] = []
        self._look = lambda: look(pid, resident)
        self._period = period
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def take(self) -> Sample:
        """Look now, at the border of a phase."""
        with self._lock:
            self.samples.append(self._look())
            return self.samples[-1]

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._period):
                self.take()
        except Exception as error:  # pylint: disable=broad-except  # raised where it is waited for
            self._error = error


def between(samples: Iterable[Sample], first: Sample, last: Sample) -> list[Sample]:
    """Those of a phase, its borders included."""
    return [sample for sample in samples if first.at <= sample.at <= last.at]


def integral(samples: Sequence[Sample]) -> float:
    """GiB x s that the host kept, straight from look to look."""
    return sum((one.resident + other.resident) / 2 * (other.at - one.at)
               for one, other in pairwise(samples)) / GIB


def returned(samples: Sequence[Sample]) -> float:
    """GiB that went back to the host: all that resident memory fell by from look to look.  What
    rises in between hides some of it."""
    return sum(max(one.resident - other.resident, 0) for one, other in pairwise(samples)) / GIB


def others_cpu(first: Sample, last: Sample) -> float:
    """CPUs that something else than QEMU kept busy, on average; looking is part of it."""
    busy = last.host_busy - first.host_busy - (last.cpu - first.cpu)
    return max(busy, 0.0) / (last.at - first.at)


def phase(samples: Iterable[Sample], first: Sample, last: Sample) -> dict[str, float]:
    """The figures of one phase."""
    inside = between(samples, first, last)
    return {"host_seconds": last.at - first.at, "gib_s": integral(inside),
            "returned_gib": returned(inside), "end_gib": last.resident / GIB,
            "minor_faults": last.minor_faults - first.minor_faults, "cpu_s": last.cpu - first.cpu,
            "main_cpu_s": last.main_cpu - first.main_cpu, "system_s": last.system - first.system,
            "others_cpu": others_cpu(first, last),
            "look_ms": 1000 * statistics.mean(sample.took for sample in inside)}
