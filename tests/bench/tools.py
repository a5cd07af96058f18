# SPDX-License-Identifier: GPL-2.0-only
"""The two helpers of the benchmark, and the programs that are measured, as Python objects."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm"), str(TESTS / "live")]

from daemon import BUILD, Daemon, config, plain_environment, wait_for  # noqa: E402
from process import die_with_parent  # noqa: E402
from tap import Skip  # noqa: E402

EVENTS = Path("/sys/kernel/tracing/events")
# Where a tracepoint keeps the order of the extent that it speaks of; "" is not counted by order.
ORDER_FIELDS = ("order", "alloc_order")

# What is measured; the interval is part of "everything on".
DEFAULT = config(interval="2s")
EVERYTHING = config(interval="100ms", more='events = "all";')

BPFTRACE_SECONDS = 60.0


class Server:
    """A program that answers each line with one line of JSON."""

    def __init__(self, *command: str | Path) -> None:
        self.name = Path(command[0]).name
        self._process = subprocess.Popen(
            [str(word) for word in command], text=True, bufsize=1, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=plain_environment(), preexec_fn=die_with_parent())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, line: str) -> dict[str, Any]:
        """The answer; RuntimeError if it is an error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended at '{line}'")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise RuntimeError(f"{self.name}: {line}: {found['error']}")
        return found


class Programs(Server):
    """BPF programs, taken over from processes and switched on and off at once (programs.c)."""

    def __init__(self) -> None:
        super().__init__(BUILD / "bench" / "programs")

    def hold(self, name: str, pid: int) -> list[str]:
        """Take over what a process has attached; the tracepoints."""
        if self.ask(f"hold {name} {pid}")["programs"] == 0:
            raise Skip(f"process {pid} ({name}) has no program on any tracepoint")
        return [program["tracepoint"] for program in self.read(name)]

    def switch(self, name: str | None) -> int:
        """Attach this set alone, or none; how many programs of others are attached."""
        others: int = self.ask(f"attach {name}" if name else "detach")["others"]
        return others

    def read(self, name: str) -> list[dict[str, Any]]:
        """What the kernel has counted of each program of a set."""
        programs: list[dict[str, Any]] = self.ask(f"read {name}")["programs"]
        return programs

    @contextlib.contextmanager
    def statistics(self) -> Iterator[None]:
        """The kernel counts runs and time meanwhile."""
        self.ask("stats on")
        try:
            yield
        finally:
            self.ask("stats off")


class Loops(Server):
    """One of the loops, with its tasks (loops.c)."""

    def __init__(self, loop: str, tasks: int, mib: int) -> None:
        super().__init__(BUILD / "bench" / "loops", loop, str(tasks), str(mib))

    def run(self, milliseconds: int) -> dict[str, Any]:
        """Let it run; operations, operations per second, CPU time."""
        return self.ask(str(milliseconds))


@contextlib.contextmanager
def bpftrace(tracepoints: Sequence[str]) -> Iterator[int]:
    """bpftrace counts these tracepoints by order until the end of the block; its process id."""
    program = shutil.which("bpftrace")
    if program is None:
        raise Skip("bpftrace is not installed: apt-get install bpftrace")
    if not EVENTS.is_dir():
        raise Skip(f"'{EVENTS}' is missing: no tracefs")
    probes = " ".join(probe_of(name) for name in tracepoints)
    process = subprocess.Popen([program, "-e", probes], text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=plain_environment(), preexec_fn=die_with_parent())

    def attached() -> bool:
        if process.poll() is not None:
            raise Skip(f"bpftrace does not work here: {process.communicate()[0][-300:].strip()}")
        # besides one for each probe it has one for the output of each CPU
        return perf_events(process.pid) >= len(tracepoints) + (os.cpu_count() or 1)

    try:
        wait_for(attached, "probes of bpftrace", BPFTRACE_SECONDS)
        yield process.pid
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate()


def probe_of(tracepoint: str) -> str:
    """A probe that counts a tracepoint by the order that it tells."""
    group = "compaction" if tracepoint.startswith("mm_compaction_") else "kmem"
    file = EVENTS / group / tracepoint / "format"
    if not file.exists():
        raise Skip(f"'{file}' is missing: bpftrace can't count {tracepoint}")
    words = file.read_text().replace(";", " ").split()
    field = next((field for field in ORDER_FIELDS if field in words), "")
    key = f"[args->{field}]" if field else ""
    return f"tracepoint:{group}:{tracepoint} {{ @{tracepoint}{key} = count(); }}"


def perf_events(pid: int) -> int:
    """Perf events that a process holds."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += "[perf_event]" in os.readlink(entry)
    return count


def cpu_seconds(pid: int) -> float:
    """CPU time of a process of one thread so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


__all__ = ["BUILD", "DEFAULT", "EVENTS", "EVERYTHING", "Daemon", "Loops", "Programs", "Skip",
           "bpftrace", "config", "cpu_seconds"]
