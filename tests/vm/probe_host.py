# SPDX-License-Identifier: GPL-2.0-only
"""`sluice probe --host` against hosts of which is known whether they release what is reported.

    python3 tests/vm/probe_host.py [--times N] [NAME...]

Per kernel: a host that discards, one whose memory is locked, so that QEMU acknowledges reports but
its discards fail, and guests in which it can't tell.  What really happens is seen in the guest's
resident memory on the host, with a load of another kind before the probe.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import MIB, Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from tap import Skip, Tap  # noqa: E402

NAMES = ("5.10", "6.1", "7.2")
MEMORY_MIB = 1024
MOST_MIB = 192
SAMPLES = 128
# More of them where the machine is busy; a wrong verdict is wrong at the first try.
TRIES = 3
PROBE_SECONDS = 180.0
LEFT_MIB = 62  # below the gate of order limit 9, in all zones together
FILL_MIB = 300
GONE_MIB = 200
NOISE_MIB = 32
STEADY_MIB = 8  # looking takes memory too
REPORT_SECONDS = 60.0
STATUSES = {"releases": 0, "keeps": 3, "unknown": 4}
CAP_IPC_LOCK = 14
KNOBS = "/sys/module/page_reporting/parameters"

# Emulation of "rep stos", by which kernels zero pages, is so slow that a host's fault is lost in
# it; without X86_FEATURE_REP_GOOD and _ERMS they write words.  A host that backs memory in small
# pages takes longer for it.
FAST_ZEROING = "clearcpuid=112,297"
LOCKED = ("-overcommit", "mem-lock=on")


def probe(guest: Guest, samples: int = SAMPLES, memory_mib: int = MOST_MIB) -> dict[str, Any]:
    """The answer in JSON, whose verdict is the exit status as well."""
    result = guest.run(f"sluice probe --host --samples {samples} --memory {memory_mib}MiB --json",
                       PROBE_SECONDS)
    answer = json.loads(result.out)
    assert result.rc == STATUSES[answer["verdict"]], f"status {result.rc}: {result.out}"
    assert answer["memory_bytes"] <= memory_mib * MIB, result.out
    return answer


def state(guest: Guest) -> str:
    """What the probe must leave as it was."""
    return guest.check(f"cat {KNOBS}/* 2>/dev/null; true")


def free_mib(guest: Guest) -> int:
    """Free memory by the kernel's count."""
    return int(re.findall(r"MemFree: +(\d+)", guest.check("cat /proc/meminfo"))[0]) // 1024


def fall_of_resident(guest: Guest) -> int:
    """By how many MiB the guest's resident memory falls when it frees FILL_MIB: the truth."""
    pid = guest.spawn(f"workload fill {FILL_MIB} --thp", "/tmp/filled")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/filled"), 120, what="filled")
    filled = guest.host_resident()
    assert guest.stop(pid) == 0, "workload failed"
    guest.check("sluice kick")
    seen = [-1]

    def settled() -> bool:
        seen.append(matrix.reported(json.loads(guest.check("sluice hist --json"))))
        return seen[-1] >= GONE_MIB * MIB and abs(seen[-1] - seen[-2]) <= STEADY_MIB * MIB

    guest.wait_for(settled, REPORT_SECONDS, interval=2.5, what="end of reporting")
    return (filled - guest.host_resident()) // MIB


def summary(answer: dict[str, Any]) -> str:
    """One line of an answer."""
    text = (f"{answer['verdict']}: {answer['samples']} pairs in {answer['rounds']} rounds, "
            f"{answer['elapsed_ns'] / 1e9:.1f} s")
    if answer["effect"]:
        ratio, extra = answer["effect"]["ratio"], answer["effect"]["extra_ns"]
        text += (f"; ratio {ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}), "
                 f"extra {extra['low'] / 1000:.0f} to {extra['high'] / 1000:.0f} us, "
                 f"p {answer['effect']['p']:.2g}")
    return text


def check_verdict(guest: Guest, expected: str) -> str:
    """The verdict is right; on a busy machine it may take a further try, but is never wrong."""
    knobs, free = state(guest), free_mib(guest)
    said = []
    for attempt in range(1, TRIES + 1):
        answer = probe(guest, SAMPLES * attempt)
        said.append(summary(answer))
        assert answer["verdict"] in (expected, "unknown"), "\n".join([*said, answer["reason"]])
        assert answer["samples"] == SAMPLES * attempt, "\n".join([*said, str(answer)])
        if answer["verdict"] == expected:
            break
    else:
        raise AssertionError("\n".join(["no verdict", *said, answer["reason"]]))
    assert state(guest) == knobs, "a knob was written"
    assert free - free_mib(guest) < NOISE_MIB, f"{free} MiB were free, now {free_mib(guest)}"
    return "\n".join(said)


def check_truth(guest: Guest, releases: bool) -> str:
    """The host does what the test takes it to do."""
    fall = fall_of_resident(guest)
    if releases:
        assert fall >= GONE_MIB, f"resident memory fell by {fall} MiB only"
    else:
        assert fall <= NOISE_MIB, f"resident memory fell by {fall} MiB"
    return f"resident memory fell by {fall} MiB of {FILL_MIB} MiB that were freed"


def check_text(guest: Guest) -> str:
    """The text has the verdict of its status, in lines that fit."""
    result = guest.run("sluice probe --host", PROBE_SECONDS)
    first = {0: "the host releases what is reported",
             3: "the host acknowledges reports but keeps the memory", 4: "cannot tell"}
    assert result.out.startswith(f"verdict     {first[result.rc]}\n"), result.out
    assert max(map(len, result.out.splitlines())) <= 80, result.out
    assert "64 MiB at a time, all freed again" in result.out, result.out
    return result.out


def check_unknown(guest: Guest, reason: str) -> str:
    """Without a verdict there is a reason, and nothing was touched for it."""
    answer = probe(guest)
    assert answer["verdict"] == "unknown" and reason in answer["reason"], f"{answer}"
    assert answer["memory_bytes"] == answer["rounds"] == 0, f"{answer}"
    return answer["reason"]


def check_held(guest: Guest) -> str:
    """With an order limit above that of a huge page nothing of it would be reported."""
    limit = matrix.order_knob(guest)
    if limit is None:
        raise Skip("this kernel has no page_reporting_order")
    guest.check(f"echo 10 >{matrix.ORDER}")
    try:
        return check_unknown(guest, "the order limit is 10")
    finally:
        guest.check(f"echo {limit} >{matrix.ORDER}")


def check_no_huge_pages(guest: Guest) -> str:
    """Blocks of reportable size can't be had where huge pages are switched off."""
    enabled = "/sys/kernel/mm/transparent_hugepage/enabled"
    guest.check(f"echo never >{enabled}")
    try:
        return check_unknown(guest, "never")
    finally:
        guest.check(f"echo always >{enabled}")


def check_full(guest: Guest) -> str:
    """What the kernel would not report from is left alone."""
    pid = guest.spawn(f"workload fill {free_mib(guest) - LEFT_MIB} --thp", "/tmp/full")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/full"), 120, what="filled")
    try:
        return check_unknown(guest, "as much free memory as the kernel wants")
    finally:
        assert guest.stop(pid) == 0, "workload failed"


def check_not_root(guest: Guest) -> str:
    """Page frame numbers are for root."""
    guest.check("grep -q ^nobody: /etc/passwd 2>/dev/null || "
                "echo nobody::65534:65534::/:/bin/sh >>/etc/passwd")
    result = guest.run("su nobody -s /bin/sh -c 'sluice probe --host --json'")
    assert result.rc == 4 and "needs root" in json.loads(result.out)["reason"], result
    return json.loads(result.out)["reason"]


def run_kernel(tap: Tap, kernel: Kernel, times: int) -> None:
    """All hosts, one after the other: what is measured is time."""
    name = kernel.name
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files(), huge_pages=False,
               cmdline=FAST_ZEROING) as guest:
        tap.check(f"{name}: the host discards", lambda: check_truth(guest, True))
        for _ in range(times):
            tap.check(f"{name}: it releases", lambda: check_verdict(guest, "releases"))
        tap.check(f"{name}: in text", lambda: check_text(guest))
        tap.check(f"{name}: held back", lambda: check_held(guest))
        tap.check(f"{name}: without huge pages", lambda: check_no_huge_pages(guest))
        tap.check(f"{name}: not root", lambda: check_not_root(guest))
        tap.check(f"{name}: too little memory", lambda: check_full(guest))
    run_locked(tap, kernel, times)
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files(), balloon=None) as guest:
        tap.check(f"{name}: no balloon", lambda: check_unknown(guest, "no balloon device"))


def may_lock() -> bool:
    """Whether this process and its children may lock as much memory as they like."""
    found = re.search(r"^CapEff:\s+(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) & 1 << CAP_IPC_LOCK)


def run_locked(tap: Tap, kernel: Kernel, times: int) -> None:
    """A host that keeps what is reported: madvise(2) refuses to drop memory that is locked."""
    name = kernel.name
    if not may_lock():
        tap.check(f"{name}: it keeps", partial(skip, "locking a guest's memory needs CAP_IPC_LOCK"))
        return
    with Guest(kernel, memory_mib=MEMORY_MIB, files=matrix.files(), huge_pages=False,
               cmdline=FAST_ZEROING, qemu_args=LOCKED) as guest:
        tap.check(f"{name}: the host can't discard", lambda: check_truth(guest, False))
        for _ in range(times):
            tap.check(f"{name}: it keeps", lambda: check_verdict(guest, "keeps"))


def skip(reason: str) -> None:
    """Say why something was not tested."""
    raise Skip(reason)


def main() -> int:
    parser = argparse.ArgumentParser(description="Tests sluice probe --host.")
    parser.add_argument("--times", type=int, default=1, help="verdicts per host (default 1)")
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    wanted = parser.parse_args()
    tap = Tap()
    fetched: list[Kernel] = []
    for name in wanted.names:
        tap.check(f"{name}: kernel", partial(matrix.fetch, name, fetched))
    for kernel in fetched:
        tap.check(f"{kernel.name}: guests run", partial(run_kernel, tap, kernel, wanted.times))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
