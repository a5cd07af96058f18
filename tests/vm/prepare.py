# SPDX-License-Identifier: GPL-2.0-only
"""Preparation and the strategy `trim`, in real guests with a disk to read from.

    python3 tests/vm/prepare.py [NAME...]

Clean page cache that was idle goes and the host gets it back, while what is read all the time
stays; compaction gains blocks where it can, on the node where it can, and is left where it can't;
quotas hold; and a guest that is short of memory is left alone.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import Sluice, eligible, wait_ticks  # noqa: E402
from tap import Skip, Tap  # noqa: E402

KERNELS = ("5.10", "6.1", "7.2")
MIB = 1024 * 1024
DISK = "/dev/vda"
DISK_MIB = 512
COLD_MIB = 250
HOT_START_MIB, HOT_MIB = 400, 24
BROKEN_MIB = 400
NODES = (512, 640)  # MiB
LEAST_BLOCKS = 16
ATTEMPTS = 4
LONG = 240.0
IDLE_SECONDS = 8
DEBUGFS = "/sys/kernel/debug"
LRU_GEN = "/sys/kernel/mm/lru_gen/enabled"


def config(strategy: str, options: str, prepare: str) -> str:
    """A strategy that acts, logs every decision, and looks twice a second."""
    return (f'mode = "control"; strategy = "{strategy}"; interval = "500ms"; log_level = "debug";\n'
            f"{strategy} = {{ {options} }};\nprepare = {{ {prepare} }};\n")


def trim_config(min_idle: str = f"{IDLE_SECONDS}s", prepare: str = "") -> str:
    """Trims all that is idle, fast."""
    return config("trim", f'min_idle = "{min_idle}"; max_fraction = 100; rate = "32MiB"; '
                          'start = "8MiB";', f'floor = "16MiB"; backoff = "5s"; {prepare}')


def threshold_config(prepare: str) -> str:
    """Releases soon, so that what preparation gains is reported."""
    return config("threshold", 'start = "16MiB"; stop = "4MiB"; min_age = "0"; cooldown = "1s";',
                  f'floor = "16MiB"; {prepare}')


def cached(guest: Guest, start: int, size: int) -> int:
    """MiB of a part of the disk that are in the page cache."""
    return int(guest.check(f"cached {DISK} count {start} {size}"))


def counters(guest: Guest, *names: str) -> dict[str, int]:
    """Of /proc/vmstat; those that begin with a name are added up."""
    lines = [line.split() for line in guest.check("cat /proc/vmstat").splitlines()]
    return {name: sum(int(value) for key, value in lines if key.startswith(name))
            for name in names}


def preparation(sluice: Sluice) -> dict[str, Any]:
    """What the daemon says of it."""
    return dict(sluice.status()["preparation"])


@contextmanager
def opened(guest: Guest) -> Iterator[None]:
    """The page cache of a block device lasts as long as it is open."""
    pid = guest.spawn(f"cached {DISK} hold")
    try:
        yield
    finally:
        guest.stop(pid)


@contextmanager
def hot(guest: Guest) -> Iterator[None]:
    """A part that is read all the time."""
    pid = guest.spawn(f"cached {DISK} reread {HOT_START_MIB} {HOT_MIB}")
    try:
        guest.wait_for(lambda: cached(guest, HOT_START_MIB, HOT_MIB) == HOT_MIB, 60,
                       what="a hot file")
        time.sleep(1)
        yield
    finally:
        guest.stop(pid)


@contextmanager
def lru(guest: Guest, generations: bool, debugfs: bool) -> Iterator[None]:
    """Which lists the kernel keeps its page cache in, and whether it shows them."""
    before = guest.run(f"cat {LRU_GEN}").out.strip()
    if generations and not before:
        raise Skip("no multi-gen LRU in this kernel")
    if before:
        guest.check(f"echo {'y' if generations else 'n'} >{LRU_GEN}")
    if debugfs:
        guest.check(f"mount -t debugfs debugfs {DEBUGFS}")
    try:
        yield
    finally:
        guest.run(f"umount {DEBUGFS}")
        if before:
            guest.check(f"echo {before} >{LRU_GEN}")


# --- trim -----------------------------------------------------------------------------------------

def check_trim(guest: Guest, method: str, generations: bool, debugfs: bool) -> str:
    """What is idle goes and is reported, what is young stays, and so does what is hot."""
    with lru(guest, generations, debugfs), opened(guest), hot(guest):
        guest.check(f"cached {DISK} read 0 {COLD_MIB}", timeout=120)
        with Sluice(guest, trim_config("1h")) as sluice:
            wait_ticks(guest, sluice, 6)
            assert cached(guest, 0, COLD_MIB) == COLD_MIB, "young page cache went"
            resident, before = guest.host_resident(), counters(guest, "pgsteal_file")
            sluice.reload(trim_config())
            time.sleep(IDLE_SECONDS / 2)
            assert cached(guest, 0, COLD_MIB) == COLD_MIB, "page cache went before its time"
            least = watch_hot_and_cold(guest)
            guest.wait_for(lambda: guest.host_resident() < resident - COLD_MIB * MIB // 2, LONG,
                           what=f"half of {COLD_MIB} MiB off {resident // MIB} MiB on the host")
            status, log = sluice.status(), sluice.log()
            stolen = counters(guest, "pgsteal_file")["pgsteal_file"] - before["pgsteal_file"]
        assert status["preparation"]["method"] == method, status["preparation"]
        assert status["preparation"]["reclaimed_bytes"] <= stolen * 4096
        assert status["tally"]["releases"] > 0, status["tally"]
    wanted = "by generation" if debugfs and generations else "by order of arrival"
    assert wanted in log, log
    return (f"{method}: {cached_text(status)}; at least {least} of {HOT_MIB} hot MiB stayed; "
            f"{(resident - guest.host_resident()) / MIB:.0f} MiB less on the host")


def cached_text(status: dict[str, Any]) -> str:
    """Figures of the steps."""
    steps = status["preparation"]
    return (f"{steps['reclaimed_bytes'] / MIB:.0f} MiB in {steps['reclaims']} steps, "
            f"{steps['wall_ms']} ms, the longest {steps['longest_ms']} ms")


def watch_hot_and_cold(guest: Guest) -> int:
    """Until the cold part is gone, and for a while after; the least of the hot one."""
    least = HOT_MIB
    deadline = time.monotonic() + LONG
    rest = 0
    while rest < 20:
        least = min(least, cached(guest, HOT_START_MIB, HOT_MIB))
        cold = cached(guest, 0, COLD_MIB)
        rest += cold <= COLD_MIB // 4
        assert time.monotonic() < deadline, f"{cold} of {COLD_MIB} MiB are still cached"
        assert least >= HOT_MIB * 3 // 4, f"only {least} of {HOT_MIB} hot MiB are cached"
        time.sleep(0.5)
    return least


def check_trim_node(guest: Guest, node: int) -> str:
    """Page cache of one node of two goes, though the other one has nothing to give."""
    with lru(guest, generations=False, debugfs=False), opened(guest):
        guest.check(f"onnode {node} cached {DISK} read 0 {COLD_MIB}", timeout=120)
        free = node_free(guest, node)
        # that node 0 has nothing is no reason to wait
        text = trim_config().replace('backoff = "5s"', 'backoff = "1h"')
        with Sluice(guest, text) as sluice:
            guest.wait_for(lambda: cached(guest, 0, COLD_MIB) <= COLD_MIB // 4, LONG,
                           what="an empty page cache")
            status, log = sluice.status(), sluice.log()
        gained = node_free(guest, node) - free
        assert gained >= COLD_MIB // 2, f"{gained} MiB on node {node}"
    assert status["preparation"]["method"] == "node", status["preparation"]
    assert status["preparation"]["failures"] == 0, log
    return f"{cached_text(status)}; {gained} MiB more are free on node {node}"


def node_free(guest: Guest, node: int) -> int:
    """MiB of a node that are free."""
    path = f"/sys/devices/system/node/node{node}/meminfo"
    return int(guest.check(f"grep MemFree {path}").split()[3]) // 1024


def check_hidden(guest: Guest) -> str:
    """Generations that nobody can see: nothing tells what is hot, and nothing goes."""
    with lru(guest, generations=True, debugfs=False), opened(guest):
        guest.check(f"cached {DISK} read 0 {COLD_MIB}", timeout=120)
        with Sluice(guest, trim_config("2s")) as sluice:
            guest.wait_for(lambda: "mount debugfs" in sluice.log(), 60, what="a reason")
            wait_ticks(guest, sluice, 10)
            assert cached(guest, 0, COLD_MIB) == COLD_MIB
            return str(sluice.status()["decision"]["reason"])


def check_no_method(guest: Guest) -> str:
    """Without any way to reclaim the daemon says so, and goes on."""
    with opened(guest):
        guest.check(f"cached {DISK} read 0 {COLD_MIB}", timeout=120)
        text = trim_config("2s").replace('backoff = "5s"', 'backoff = "1h"')
        with Sluice(guest, text) as sluice:
            guest.wait_for(lambda: "no reclaim on request" in sluice.log(), 60,
                           what="a reason")
            wait_ticks(guest, sluice, 4)
            steps = preparation(sluice)
            assert steps["method"] == "none" and steps["reclaimed_bytes"] == 0, steps
            assert cached(guest, 0, COLD_MIB) == COLD_MIB
            assert sluice.log().count("no reclaim on request") == 2, "said again and again"
            assert "this kernel can't evict on request" in sluice.status()["decision"]["reason"]
    return str(steps["trouble"])


# --- preparation ----------------------------------------------------------------------------------

@contextmanager
def fragmented(guest: Guest, options: str = "", node: int = 0) -> Iterator[None]:
    """Memory of a node of which three of four pages are free, so that no block is."""
    pid = guest.spawn(f"onnode {node} workload fragment {BROKEN_MIB} --keep-every 4 {options}",
                      "/tmp/fragment")
    try:
        guest.wait_for(lambda: "fragmented" in guest.check("cat /tmp/fragment"), 120,
                       what="fragmented memory")
        yield
    finally:
        guest.stop(pid)


COMPACT = (f'enabled = true; compact = "node"; min_blocks = {LEAST_BLOCKS}; interval = "2s"; '
           'backoff = "10min";')


def check_compaction(guest: Guest, node: int = 0) -> str:
    """Nothing to gain: no compaction.  Fragmented memory: blocks are gained where it is, and
    reported.  The kernel's compaction gives up where one page finds no place, about once in seven
    times, and then again and again: memory is broken to pieces anew."""
    compact = threshold_config(COMPACT.replace('backoff = "10min"', 'backoff = "1s"'))
    with Sluice(guest, compact) as sluice:
        wait_ticks(guest, sluice, 10)
        steps = preparation(sluice)
        assert steps["compactions"] == 0, f"{steps}\n{sluice.log()}"
        for attempt in range(1, ATTEMPTS + 1):
            sluice.reload(threshold_config(""))  # none of memory that is still being broken
            with fragmented(guest, node=node):
                gained, said = compacted(guest, sluice, compact)
                if gained >= LEAST_BLOCKS:
                    guest.wait_for(lambda: eligible(sluice.hist()) < 16 * MIB, LONG,
                                   what="reports of what was gained")
                    break
        assert gained >= LEAST_BLOCKS, sluice.log()
        assert preparation(sluice)["drains"] > 0
        nodes = re.findall(r"compacted node (\d+):", sluice.log())
        assert set(nodes) == {str(node)}, f"compacted nodes {nodes}"
    return f"{said}, attempt {attempt}"


def compacted(guest: Guest, sluice: Sluice, text: str) -> tuple[int, str]:
    """Pageblocks that the next compaction gains, with a configuration that has one made."""
    before = preparation(sluice)["compactions"]
    sluice.reload(text)
    guest.wait_for(lambda: preparation(sluice)["compactions"] > before, 120, what="a compaction")
    found = list(re.finditer(r"compacted node \d+: (\d+) pageblocks gained in .*", sluice.log()))
    return int(found[before][1]), found[before][0]


def check_backoff(guest: Guest) -> str:
    """What can't be moved is tried once, and then left alone."""
    guest.check("echo 0 >/proc/sys/vm/compact_unevictable_allowed")
    with Sluice(guest, threshold_config("")) as sluice:
        with fragmented(guest, "--lock"):
            sluice.reload(threshold_config(COMPACT))
            guest.wait_for(lambda: preparation(sluice)["compactions"], 120, what="a compaction")
            wait_ticks(guest, sluice, 20)
            steps = preparation(sluice)
            log = sluice.log()
    guest.check("echo 1 >/proc/sys/vm/compact_unevictable_allowed")
    assert steps["compactions"] == 1 and steps["blocks_gained"] < 16, f"{steps}\n{log}"
    return f"1 compaction, {steps['blocks_gained']} blocks, {steps['longest_ms']} ms"


def check_quotas(guest: Guest) -> str:
    """No more than the bytes of an hour are reclaimed, and no more time is spent."""
    quota = 48
    text = threshold_config(f'enabled = true; compact = "off"; reclaim = true; interval = "0"; '
                            f'bytes_per_hour = "{quota}MiB"; pressure = 0;')
    with opened(guest):
        guest.check(f"cached {DISK} read 0 {COLD_MIB}", timeout=120)
        before = counters(guest, "pgsteal_file")["pgsteal_file"]
        with Sluice(guest, text) as sluice:
            guest.wait_for(lambda: preparation(sluice)["quota_bytes"] < 4 * MIB, 120,
                           what="a used-up quota")
            wait_ticks(guest, sluice, 10)
            steps = preparation(sluice)
            stolen = (counters(guest, "pgsteal_file")["pgsteal_file"] - before) * 4096 // MIB
            assert quota - 8 <= stolen <= quota + 1, f"{stolen} MiB"
            sluice.reload(text.replace('bytes_per_hour = "48MiB"',
                                       'bytes_per_hour = "1GiB"; time_per_hour = "0"'))
            guest.wait_for(lambda: "time of this hour is used up" in preparation(sluice)["reason"],
                           30, what="the end of the time")
            wait_ticks(guest, sluice, 4)
            assert preparation(sluice)["reclaims"] == steps["reclaims"], "reclaimed on"
    return f"{stolen} MiB of {quota} MiB in {steps['reclaims']} steps, {steps['wall_ms']} ms"


STALLS = ("allocstall", "oom_kill", "compact_stall")


def full_guest(guest: Guest, text: str) -> tuple[dict[str, int], dict[str, Any], str]:
    """A guest with 5 % of its memory left, for a while; what its kernel counted."""
    with opened(guest), Sluice(guest, text) as sluice:
        guest.check(f"cached {DISK} read 0 {COLD_MIB}", timeout=120)
        total, available = (int(guest.check(f"grep {key} /proc/meminfo").split()[1]) // 1024
                            for key in ("MemTotal", "MemAvailable"))
        pid = guest.spawn(f"workload fill {available - total // 20} --no-thp", "/tmp/fill")
        guest.wait_for(lambda: "filled" in guest.check("cat /tmp/fill"), 120, what="memory in use")
        before = counters(guest, *STALLS)
        wait_ticks(guest, sluice, 15)
        after = counters(guest, *STALLS)
        steps, log = preparation(sluice), sluice.log()
        assert guest.stop(pid) == 0, "the workload did not survive"
    return {name: after[name] - before[name] for name in STALLS}, steps, log


def check_full(guest: Guest) -> str:
    """At 95 % used nothing is prepared, nobody stalls, nothing is killed; as without it."""
    everything = f'{COMPACT} reclaim = true; floor = "16MiB"; interval = "0";'.replace(
        'interval = "2s";', "").replace('backoff = "10min"', 'backoff = "1s"')
    control, _, _ = full_guest(guest, threshold_config('enabled = false;'))
    # backoff and floor are in what trim_config() says
    text = trim_config("2s").replace('floor = "16MiB"; backoff = "5s";', everything)
    found, steps, log = full_guest(guest, text)
    assert found["oom_kill"] == 0 == control["oom_kill"], f"{found}, control {control}"
    assert found["allocstall"] <= control["allocstall"], f"{found}, control {control}"
    assert found["compact_stall"] <= control["compact_stall"], f"{found}, control {control}"
    assert "available, less than" in log, log
    return f"{found}, control {control}; {steps['reason']}"


# --- which checks ---------------------------------------------------------------------------------

def numa_checks_of(name: str) -> dict[str, Callable[[Guest], str]]:
    """In guests of two nodes."""
    checks: dict[str, Callable[[Guest], str]] = {
        "compaction of node 1 of two": partial(check_compaction, node=1)}
    if name == "7.2":
        checks["trim on node 1 of two"] = partial(check_trim_node, node=1)
    return checks


def checks_of(name: str) -> dict[str, Callable[[Guest], str]]:
    """By kernel: 5.10 can't reclaim on request, 6.1 by cgroup, 7.2 by node as well."""
    common: dict[str, Callable[[Guest], str]] = {
        "compaction where it gains": check_compaction,
        "compaction that gains nothing is left": check_backoff,
        "95 % used": check_full}
    if name == "5.10":
        return {"no reclaim on request": check_no_method, **common}
    plain = "cgroup" if name == "6.1" else "node"
    return {
        "trim, classic lists": partial(check_trim, method=plain, generations=False,
                                       debugfs=False),
        "trim by generation": partial(check_trim, method="lru_gen", generations=True,
                                      debugfs=True),
        "trim, generations unseen": check_hidden,
        "quotas hold": check_quotas, **common}


def run_kernel(tap: Tap, kernel: Kernel, only: str) -> None:
    """Each check in a guest of its own, since the page cache remembers."""
    files = matrix.files() | {f"/bin/{name}": matrix.STATIC / name for name in ("cached", "onnode")}
    for nodes, checks in (((), checks_of(kernel.name)), (NODES, numa_checks_of(kernel.name))):
        for what, check in checks.items():
            if only not in what:
                continue
            with Guest(kernel, memory_mib=matrix.MEMORY_MIB, nodes=nodes, files=files,
                       disk_mib=DISK_MIB) as guest:
                tap.check(f"{kernel.name}: {what}", partial(check, guest))


def main() -> int:
    tap = Tap()
    names = [word for word in sys.argv[1:] if word in KERNELS]
    only = "".join(word for word in sys.argv[1:] if word not in KERNELS)
    fetched: list[Kernel] = []
    for name in names or KERNELS:
        tap.check(f"{name}: kernel", partial(matrix.fetch, name, fetched))
    for kernel in fetched:
        tap.check(f"{kernel.name}: guests run", partial(run_kernel, tap, kernel, only))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
