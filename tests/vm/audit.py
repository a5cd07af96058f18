# SPDX-License-Identifier: GPL-2.0-only
"""The free-extent map against the kernel, under load, in real guests on real kernels.

    python3 tests/vm/audit.py [NAME...]

Each load runs beside sluiced with all events. Meanwhile the map is held against page flags: no
pageblock may be believed free for longer than one interval after it was taken. Behind each load an
audit finds how far events alone have kept the map: whatever differs must be explained by a path of
the kernel that is known to have no event, and be gone after the scan.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import (GUESTS_AT_ONCE, MEMORY_MIB, NAMES, STATIC, Sluice, fetch,  # noqa: E402
                    fill_and_free, fragment)
from tap import Tap  # noqa: E402

STRESS = Path("/usr/bin/stress-ng")
INTERVAL_MS = 500
# a look every interval and a half: what is wrong in two of them was so for longer than one interval
LOOK_MS = INTERVAL_MS * 3 // 2
LOOKS = 4


def config() -> str:
    """All events; audits on request only, so that nothing is repaired but by the scans of heads."""
    return (f'mode = "observe"; interval = "{INTERVAL_MS}ms"; full_interval = "0";\n'
            'events = "all"; log_level = "debug";\n')


def audit(guest: Guest) -> dict[str, Any]:
    """`sluice audit --json`."""
    return json.loads(guest.check("sluice audit --json"))


@contextmanager
def watched(guest: Guest) -> Iterator[dict[str, int]]:
    """Looks for stale blocks meanwhile; the outcome is in the dictionary afterwards."""
    outcome: dict[str, int] = {}
    pid = guest.spawn(f"stale {LOOK_MS} {LOOKS}", "/tmp/stale")
    yield outcome
    assert guest.wait_exit(pid, 120) == 0, guest.check("cat /tmp/stale")
    outcome.update(json.loads(guest.check("cat /tmp/stale")))


def check_load(guest: Guest, load: Callable[[Guest], None]) -> str:
    """The map while and after a load runs."""
    audit(guest)  # what came before is not the load's
    with watched(guest) as seen:
        load(guest)
    found = audit(guest)
    drift = sum(zone["drift_pages"] for zone in found["zones"])
    after = max(abs(zone["drift_after_pages"]) for zone in found["zones"])
    unexplained = sum(abs(zone["unexplained_pages"]) for zone in found["zones"])
    paths = [f"{path['pages']:+d} {path['path']}" for zone in found["zones"]
             for path in zone["explained"]]
    text = (f"drift {drift} pages ({', '.join(paths) or 'nothing to explain'}), {unexplained} "
            f"unexplained; {after} after a scan; {seen['wrong']} of {seen['checked']} blocks were "
            f"believed free and not, {seen['stale']} for longer than an interval")
    assert seen["checked"] > 0, f"no block was believed free: nothing was checked; {text}"
    assert seen["stale"] == 0, text
    assert unexplained == 0 and after == 0 and found["trusted"], f"{text}\n{found}"
    return text


def check_events(sluice: Sluice) -> dict[str, int]:
    """What the figures above rest on: events of every kind were seen."""
    events = sluice.status()["events"]
    for name in ("allocs", "drains", "isolated_pages"):
        assert events[name] > 0, events
    assert events["unknown"] == 0, events
    return events


# --- loads ----------------------------------------------------------------------------------------

def stress(arguments: str) -> Callable[[Guest], None]:
    """stress-ng with these arguments."""
    return lambda guest: guest.check(f"stress-ng --oomable --temp-path /tmp {arguments} "
                                     ">/tmp/stress 2>&1", timeout=120) and None


def churn(how: str) -> Callable[[Guest], None]:
    """Memory that is taken and freed again and again."""
    return lambda guest: guest.check(f"workload churn 250 4 {how}", timeout=120) and None


def files(guest: Guest) -> None:
    """Files in memory that are written, read and removed."""
    guest.check("for i in 1 2 3; do dd if=/dev/zero of=/tmp/big bs=1M count=200 2>/dev/null; "
                "cat /tmp/big >/dev/null; rm /tmp/big; done", timeout=120)


def compaction(guest: Guest) -> None:
    """Fragmented memory that is compacted, twice."""
    pid = fragment(guest, 300)
    guest.check("echo 1 >/proc/sys/vm/compact_memory", timeout=120)
    fill_and_free(guest, 200)
    guest.check("echo 1 >/proc/sys/vm/compact_memory", timeout=120)
    guest.stop(pid)


LOADS: list[tuple[str, Callable[[Guest], None]]] = [
    ("idle", lambda guest: guest.check("sleep 3") and None),
    ("pages of 4 KiB", churn("--no-thp")),
    ("huge pages", churn("--thp")),
    ("fork", stress("--fork 2 --fork-ops 600")),
    ("vm and mmap", stress("--vm 2 --vm-bytes 150M --mmap 1 --mmap-bytes 64M --timeout 4")),
    ("files in memory", files),
    ("compaction", compaction),
    ("pressure", stress("--vm 2 --vm-bytes 90% --timeout 4")),
]


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All loads in one guest."""
    programs = {f"/bin/{name}": STATIC / name
                for name in ("sluiced", "sluice", "workload", "stale")}
    with Guest(kernel, memory_mib=MEMORY_MIB, files=programs, programs=[STRESS]) as guest:
        with Sluice(guest, config()) as sluice:
            for name, load in LOADS:
                tap.check(f"{kernel.name}: {name}", partial(check_load, guest, load))
            tap.check(f"{kernel.name}: events behind this",
                      lambda: json.dumps(check_events(sluice)))


def main() -> int:
    tap = Tap()
    fetched: list[Kernel] = []
    for name in sys.argv[1:] or NAMES:
        tap.check(f"{name}: kernel", partial(fetch, name, fetched))
    with ThreadPoolExecutor(GUESTS_AT_ONCE) as pool:
        for kernel in fetched:
            pool.submit(tap.check, f"{kernel.name}: guests run", partial(run_kernel, tap, kernel))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
