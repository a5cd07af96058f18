# SPDX-License-Identifier: GPL-2.0-only
"""What each strategy does that no other does, in a real guest.

    python3 tests/vm/strategies.py [NAME...]

`threshold` is in matrix.py, on every kernel; the others are here, on one that can be held (until
6.1 an order above the highest switches reporting off) and on one that can't.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import Sluice, can_switch_off, fill_and_free, fragment, order_knob  # noqa: E402
from matrix import reported, wait_ticks  # noqa: E402
from tap import Tap  # noqa: E402

KERNELS = ("6.1", "7.2")
MIB = 1024 * 1024
FREED_MIB = 250  # in extents of pageblock order, that every kernel can be made to hold back
DONE_SECONDS = 120.0
CYCLE = ["idle", "fill", "report", "settle", "drain"]
LARGE_MIB = 160  # more than a sweep's start
SMALL_MIB = 200  # in extents of 16 KiB and less
GIVE_MIB = 4  # per second
LARGEST_PASS_MIB = 256  # (ceil(n / 512) + 1) * 32 extents of order 10, n below 512
SLEW_SECONDS = 15.0
BUSY_TICKS = 3  # one that sees half an interval of the load, one that sees it all, and our own look


def config(strategy: str, options: str = "", more: str = "") -> str:
    """A strategy that acts, logs every decision, and looks twice a second."""
    return (f'mode = "control"; strategy = "{strategy}"; interval = "500ms"; log_level = "debug";\n'
            f"{strategy} = {{ {options} }};\n{more}\n")


@contextmanager
def freed(guest: Guest) -> Iterator[None]:
    """FREED_MIB free in pieces of one pageblock, as much in use between them, to the end."""
    pid = fragment(guest, 2 * FREED_MIB)
    try:
        yield
    finally:
        guest.stop(pid)


def kicks(log: str) -> list[int]:
    """Orders of the releases that were kicked, in the order of the log."""
    return [int(order) for order in re.findall(r"release at order (\d+), kick: ", log)]


def check_kernel(guest: Guest) -> str:
    """Touches nothing, and what is freed is reported all the same."""
    before = order_knob(guest)
    with Sluice(guest, config("kernel", "").replace("kernel = {  };", "")) as sluice:
        fill_and_free(guest, FREED_MIB)
        at_first = reported(sluice.hist())
        guest.wait_for(lambda: reported(sluice.hist()) >= at_first + FREED_MIB * MIB // 2,
                       DONE_SECONDS, what="reports by the kernel itself")
        status = sluice.status()
        assert status["decision"]["action"] == "leave", status["decision"]
        assert status["tally"]["releases"] == status["tally"]["kicks"] == 0, status["tally"]
        assert order_knob(guest) == before
    return status["decision"]["reason"]


def check_cycle(guest: Guest) -> str:
    """The five stages, in order, and the host has the memory."""
    with Sluice(guest, config("cycle", 'low_water = 4; cooldown = "2s";')) as sluice:
        wait_ticks(guest, sluice, 2)
        resident = guest.host_resident()
        with freed(guest):
            guest.wait_for(lambda: "drain: " in sluice.log(), DONE_SECONDS, what="stage drain")
            guest.wait_for(lambda: sluice.status()["decision"]["stage"] == "idle", DONE_SECONDS,
                           what="stage idle")
            log = sluice.log()
            grown = guest.host_resident() - resident - FREED_MIB * MIB
        assert order_knob(guest) != 9, "not held again"
    found = re.findall(r"(?:hold|release) [^:]*: (\w+): ", log)
    stages = [stage for stage, _ in itertools.groupby(found) if stage in CYCLE]
    text = " ".join(stages)
    assert " ".join(CYCLE) in text and stages[-1] == "idle", text
    assert grown < FREED_MIB * MIB // 4, f"{grown / MIB:.0f} MiB of {FREED_MIB} MiB did not return"
    return text


def check_burst(guest: Guest) -> str:
    """One sweep, one kick per order, from the highest down to the floor."""
    options = 'floor = 9; cooldown = "10min"; step_timeout = "15s";'
    with Sluice(guest, config("burst", f'start = "16TiB"; {options}')) as sluice:
        wait_ticks(guest, sluice, 2)
        with freed(guest):  # in small extents, and, what they don't hold, in large ones
            fill_and_free(guest, FREED_MIB + LARGE_MIB)
            sluice.reload(config("burst", f'start = "64MiB"; {options}'))
            guest.wait_for(lambda: "the sweep is done" in sluice.log(), DONE_SECONDS,
                           what="a sweep")
            log = sluice.log()
            wait_ticks(guest, sluice, 2)
            assert sluice.status()["decision"]["action"] == "hold", sluice.status()["decision"]
    orders = kicks(log)
    assert orders == sorted(set(orders), reverse=True), f"kicked at orders {orders}"
    wanted = {10, 9} if can_switch_off(guest) else {9}  # else the highest can't be held back
    assert wanted <= set(orders), f"kicked at orders {orders}"
    done = re.search(r"the sweep is done: .*", log)
    return f"kicked at orders {orders}; {done[0] if done else log}"


def check_slew(guest: Guest) -> str:
    """Gives no faster than it may, and stops at once when the guest takes memory."""
    text = config("slew", f'reserve = "16MiB"; give_rate = "{GIVE_MIB}MiB"; take_back = "20s";')
    with Sluice(guest, text) as sluice:
        wait_ticks(guest, sluice, 2)
        with freed(guest):
            # the pieces between were a taking
            guest.wait_for(lambda: "giving " in sluice.log(), DONE_SECONDS, what="giving")
            before, start = reported(sluice.hist()), time.monotonic()
            time.sleep(SLEW_SECONDS)
            given = reported(sluice.hist()) - before
            allowed = (GIVE_MIB * (time.monotonic() - start) + LARGEST_PASS_MIB) * MIB
            assert given <= allowed, f"{given / MIB:.0f} of {allowed / MIB:.0f} MiB were given"
            pid = guest.spawn("workload fill 300", "/tmp/fill")
            guest.wait_for(lambda: "filled" in guest.check("cat /tmp/fill"), 120,
                           what="filled memory")
            wait_ticks(guest, sluice, 2)
            decision = sluice.status()["decision"]
            assert decision["action"] == "hold", decision
            assert "the guest took memory" in decision["reason"], decision
            guest.stop(pid)
    return f"{given / MIB:.0f} MiB in {SLEW_SECONDS:g} s, then: {decision['reason']}"


def check_ladder(guest: Guest) -> str:
    """Busy: held. Idle: small pieces are reported in an excursion, and the order goes back up."""
    text = config("ladder", 'settle = "2s"; idle = "3s"; cpu = 101; busy = "40MiB";')
    with Sluice(guest, text) as sluice:
        pid = guest.spawn(f"workload fragment {SMALL_MIB} --keep-every 8", "/tmp/fragment")
        guest.wait_for(lambda: "fragmented" in guest.check("cat /tmp/fragment"), 120,
                       what="fragmented memory")
        resident = guest.host_resident()
        guest.wait_for(lambda: "excursion to order" in sluice.log(), DONE_SECONDS,
                       what="an excursion")
        guest.wait_for(lambda: resident - guest.host_resident() > SMALL_MIB * MIB // 2,
                       DONE_SECONDS, what="small pieces at the host")
        guest.wait_for(lambda: order_knob(guest) == 9, DONE_SECONDS, what="the order to go back up")
        returned = resident - guest.host_resident()
        excursions = re.findall(r"excursion to order \d+: [^;\n]*", sluice.log())
        busy = guest.spawn("workload churn 100 60", "/tmp/churn")
        before = sluice.status()["tally"]["ticks"]
        guest.wait_for(lambda: sluice.status()["decision"]["stage"] == "busy", 30, what="busy")
        ticks = sluice.status()["tally"]["ticks"] - before
        assert ticks <= BUSY_TICKS, f"busy after {ticks} decisions"
        assert sluice.status()["decision"]["action"] == "hold", sluice.status()["decision"]
        assert order_knob(guest) > 9, "not held while the guest is busy"
        guest.stop(busy)
        guest.wait_for(lambda: sluice.status()["decision"]["stage"] == "idle", 60, what="idle")
        guest.stop(pid)
    assert order_knob(guest) == 9, "not given back"
    return (f"{returned / MIB:.0f} of {SMALL_MIB} MiB returned; {excursions[0]}; "
            f"busy after {ticks} decisions")


def check_guards(guest: Guest) -> str:
    """Tasks that wait for memory veto a release, with an early warning, and are gone again."""
    # Without memory, a cgroup that is over its high limit is made to wait.
    guest.check("mkdir -p /tmp/cgroup && mount -t cgroup2 none /tmp/cgroup && "
                "echo +memory > /tmp/cgroup/cgroup.subtree_control && mkdir /tmp/cgroup/tight && "
                "echo 16M > /tmp/cgroup/tight/memory.high")
    text = config("threshold", 'start = "4KiB"; stop = 0; min_age = 0; cooldown = 0;',
                  'guards = { pressure = 5; dwell = "3s"; };')
    with Sluice(guest, text) as sluice:
        pid = guest.spawn("sh -c 'echo 0 > /tmp/cgroup/tight/cgroup.procs; "
                          "exec workload fill 100'", "/tmp/tight")
        with freed(guest):  # something to release
            guest.wait_for(lambda: "guard pressure: tasks waited" in sluice.log(), DONE_SECONDS,
                           what="a veto")
        warnings = sluice.status()["tally"]["warnings"]
        vetoes = sluice.status()["tally"]["vetoes"]
        guest.stop(pid, "KILL")  # it would be at it for minutes
        guest.wait_for(lambda: sluice.status()["decision"]["guard"] is None, DONE_SECONDS,
                       what="the end of the veto")
        reason = re.search(r"guard pressure: tasks waited[^\n]*", sluice.log())
    guest.check("rmdir /tmp/cgroup/tight && umount /tmp/cgroup")
    assert reason and vetoes >= 1
    assert warnings >= 1, "no early warning by the kernel"
    return f"{reason[0]}; {vetoes} vetoes, {warnings} warnings"


def check_switch(guest: Guest) -> str:
    """A reload with another strategy begins anew, and none of the old one is left."""
    with Sluice(guest, config("cycle", 'cooldown = "10min";')) as sluice:
        with freed(guest):
            guest.wait_for(lambda: sluice.status()["decision"]["stage"] == "drain", DONE_SECONDS,
                           what="stage drain")
            sluice.reload(config("burst", 'start = "16TiB";'))
            guest.wait_for(lambda: sluice.status()["decision"]["stage"] == "wait", 30,
                           what="burst")
            sluice.reload(config("cycle", 'cooldown = "10min";'))
            guest.wait_for(lambda: sluice.status()["decision"]["stage"] in ("idle", "fill"), 30,
                           what="cycle from its beginning")
        return str(sluice.status()["decision"]["reason"])


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All strategies in one guest."""
    checks: dict[str, Callable[[Guest], str]] = {
        "kernel touches nothing": check_kernel, "cycle goes through its stages": check_cycle,
        "burst sweeps from high to low": check_burst,
        "slew gives slowly and stops at once": check_slew,
        "ladder follows the phases": check_ladder,
        "pressure vetoes a release": check_guards,
        "a switch begins anew": check_switch}
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files()) as guest:
        for what, check in checks.items():
            tap.check(f"{kernel.name}: {what}", partial(check, guest))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, run_kernel))
