# SPDX-License-Identifier: GPL-2.0-only
"""Knobs and a trigger that the configuration names, and what happens where they fail.

    python3 tests/vm/extra.py [NAME...]

No kernel of Debian has a trigger, so a file and ioctls whose effect can be seen stand in for one:
they start no pass, and are only shown to be carried out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from guest import Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import MIB, ORDER, Sluice, eligible, fragment, order_knob, wait_ticks  # noqa: E402
from tap import Tap  # noqa: E402

KERNELS = ("6.1", "7.2")
KSM = "/sys/kernel/mm/ksm/pages_to_scan"  # with CONFIG_KSM, and nothing runs
CACHE = "/proc/sys/vm/vfs_cache_pressure"
SWAPPINESS = "/proc/sys/vm/swappiness"  # 0 to 200
MISSING = "/sys/kernel/no_such_knob"
SLEEP = "/sys/kernel/mm/ksm/sleep_millisecs"
# pages_to_scan has a rung, vfs_cache_pressure has none
HELD = {KSM: 11, CACHE: 44}
RELEASED = {KSM: 22, CACHE: 55}
KNOBS = f"""extra = (
    {{ path = "{KSM}"; hold = 11; release = 33;
       rungs = ( {{ order = 3; value = 1; }}, {{ order = "pageblock"; value = 22; }} ); }},
    {{ path = "{CACHE}"; hold = 44; release = "0x37"; }},
    {{ path = "{MISSING}"; hold = 1; release = 2; }}
  );"""
TTY = "/dev/ttyS0"
# TIOCSWINSZ: struct winsize of 77 rows and 99 columns
WINDOW = f'trigger = {{ device = "{TTY}"; request = "0x5414"; bytes = "4d00630000000000"; }};'
# RTC_IRQP_SET, whose argument is no pointer; up to 64 Hz are allowed to everyone
CLOCK = 'trigger = { device = "/dev/rtc0"; request = "0x4008700c"; argument = 32; };'
UNKNOWN = f'trigger = {{ device = "{TTY}"; request = "0x12345"; }};'
WRITE = f'trigger = {{ path = "{SLEEP}"; text = "77"; }};'
BREAKER_SECONDS = 90.0  # three decisions; 30 s until the next try


def config(actuators: str, start: str = "900MiB", stop: str = "16MiB") -> str:
    """The threshold strategy, with more to act on; it holds unless told otherwise."""
    return f"{matrix.config(start=start, stop=stop)}actuators = {{ {actuators} }};\n"


def read(guest: Guest, path: str) -> int:
    """What a knob holds."""
    return int(guest.check(f"cat {path}"))


def values(guest: Guest) -> dict[str, int]:
    """What the two knobs hold."""
    return {path: read(guest, path) for path in HELD}


def actuator(sluice: Sluice, name: str) -> dict[str, Any]:
    """What the status says about one of them."""
    return {entry["name"]: entry for entry in sluice.status()["actuators"]}[name]


def wait_values(guest: Guest, wanted: dict[str, int]) -> None:
    """Until the knobs hold these."""
    guest.wait_for(lambda: values(guest) == wanted, 60, interval=0.3,
                   what=f"{wanted} instead of {values(guest)}")


@contextmanager
def released(guest: Guest, sluice: Sluice, actuators: str) -> Iterator[tuple[int, int]]:
    """Something to release, and a configuration that wants to; how many bytes that are, and how
    many the host had in use before."""
    pid = fragment(guest, 500)
    try:
        before = eligible(sluice.hist()), guest.host_resident()
        sluice.reload(config(actuators, start="32MiB"))
        yield before
    finally:
        guest.stop(pid)


# --- further knobs --------------------------------------------------------------------------------

def check_follow(guest: Guest) -> str:
    """Knobs follow hold and release, by order where there is a rung, and go back at the end; one
    that this kernel does not have is mentioned once and stops nothing."""
    before, order = values(guest), order_knob(guest)
    with Sluice(guest, config(KNOBS)) as sluice:
        assert values(guest) == HELD, sluice.log()
        text = guest.check("sluice status").replace("\n            ", " ")
        assert f"{KSM}: 11 (to be restored: {before[KSM]})" in text, text
        assert f"{MISSING}: there is no such file" in text, text
        with released(guest, sluice, KNOBS):
            wait_values(guest, RELEASED)
            wait_values(guest, HELD)
        wait_ticks(guest, sluice, 4)
        log = sluice.log()
        assert log.count(f"{MISSING}: there is no such file") == 1, log
        assert "breaker" not in log, log
        sluice.stop()
    assert values(guest) == before, f"{values(guest)}, was {before}"
    assert order_knob(guest) == order
    assert guest.run("test -e /run/sluice/journal").rc != 0, "the journal is still there"
    return f"before {list(before.values())}, held {list(HELD.values())}, {list(RELEASED.values())}"


def check_killed(guest: Guest) -> None:
    """kill -9 leaves them as they are; `sluice restore` gives them back."""
    before, order = values(guest), order_knob(guest)
    with Sluice(guest, config(KNOBS)) as sluice:
        assert sluice.stop("KILL") == 137
        assert values(guest) == HELD, "kill -9 cannot have restored"
    said = guest.check("sluice restore")
    assert f"pages_to_scan: restored {before[KSM]} (was 11)" in said, said
    assert values(guest) == before and order_knob(guest) == order
    assert guest.check("sluice restore") == "nothing to restore\n"


def check_administrator(guest: Guest) -> None:
    """One that the administrator writes is let go of, the rest goes on; a reload takes it up."""
    before = values(guest)
    with Sluice(guest, config(KNOBS)) as sluice:
        guest.check(f"echo 70 >{CACHE}")
        guest.wait_for(lambda: actuator(sluice, CACHE)["let_go"], 30, what="letting go")
        assert "someone else wrote it" in guest.check("sluice status").replace("\n            ",
                                                                              " ")
        assert not sluice.status()["control"]["let_go"], "it let go of everything"
        guest.check(f"echo {before[CACHE]} >{CACHE}")  # the value before: still theirs
        wait_ticks(guest, sluice, 3)
        assert values(guest) == {KSM: 11, CACHE: before[CACHE]}, values(guest)
        sluice.reload(config(KNOBS))
        guest.wait_for(lambda: values(guest) == HELD, 30, what="control after a reload")
        guest.check(f"echo 71 >{CACHE}")
        guest.wait_for(lambda: actuator(sluice, CACHE)["let_go"], 30, what="letting go again")
        sluice.stop()
    assert values(guest) == {KSM: before[KSM], CACHE: 71}, values(guest)
    guest.check(f"echo {before[CACHE]} >{CACHE}")


def check_reload(guest: Guest) -> None:
    """What a reload leaves out goes back."""
    before = values(guest)
    with Sluice(guest, config(KNOBS)) as sluice:
        sluice.reload(config(f'extra = ( {{ path = "{CACHE}"; hold = 45; release = 46; }} );'))
        wait_values(guest, {KSM: before[KSM], CACHE: 45})
        sluice.reload(config(""))
        wait_values(guest, before)
        assert order_knob(guest) != 9, "the order is not held any more"


def check_refused(guest: Guest) -> str:
    """A value that the kernel refuses, three times: that knob has its old value then, and the rest
    goes on."""
    before = read(guest, SWAPPINESS)
    knobs = (f'extra = ( {{ path = "{SWAPPINESS}"; hold = 999; release = 1; }},'
             f'{{ path = "{KSM}"; hold = 12; release = 2; }} );')
    with Sluice(guest, config(knobs)) as sluice:
        guest.wait_for(lambda: actuator(sluice, SWAPPINESS)["breaker"] == "open", 30,
                       what="an open breaker")
        found = actuator(sluice, SWAPPINESS)
        assert found["failures"] == 3 and 0 < found["retry_in_ms"] <= 30000, found
        assert read(guest, SWAPPINESS) == before and read(guest, KSM) == 12
        assert sluice.log().count("cannot write \"999") == 1, sluice.log()
        text = guest.check("sluice status").replace("\n            ", " ")
        assert f"{SWAPPINESS}: open after 3 failures in a row, tried again in" in text, text
        assert sluice.status()["decision"]["action"] == "hold", sluice.status()["decision"]
    return str(found["error"])


def check_unsafe(guest: Guest) -> str:
    """What is not root's alone, or something else than it should be, is not used; said before it
    is needed."""
    guest.check(f"echo 5 >/dev/rogue && chmod 666 {KSM}")
    before = read(guest, KSM)
    texts = (
        (f'extra = ( {{ path = "{KSM}"; hold = 1; release = 1; }} );', "0666 lets everyone write"),
        ('trigger = { device = "/dev/rogue"; request = 1; };', "neither a character nor a block"),
        ('trigger = { device = "/dev/channel"; request = 1; };', "a symbolic link"),
        ('trigger = { device = "/dev/ptmx"; request = 1; };', "0666 lets everyone write"))
    try:
        with Sluice(guest, config("")) as sluice:
            for actuators, wanted in texts:
                sluice.reload(config(actuators))
                found = re.compile(f": not used: .*{wanted}")
                guest.wait_for(lambda found=found: found.search(sluice.log()), 30, what=wanted)
            wait_ticks(guest, sluice, 1)
        assert read(guest, KSM) == before, "it was written"
    finally:
        guest.check(f"chmod 644 {KSM} && rm /dev/rogue")
    return ", ".join(wanted for _, wanted in texts)


# --- the trigger ----------------------------------------------------------------------------------

def check_written(guest: Guest) -> None:
    """A file is written in place of the kick, on request and by a release."""
    before = read(guest, SLEEP)
    with Sluice(guest, config(WRITE)) as sluice:
        assert read(guest, SLEEP) == before
        guest.check("sluice kick")
        assert read(guest, SLEEP) == 77
        guest.check(f"echo {before} >{SLEEP}")
        with released(guest, sluice, WRITE):
            guest.wait_for(lambda: read(guest, SLEEP) == 77, 60, what="the trigger of a release")
        tally = sluice.status()["tally"]
        assert tally["triggers"] >= 2 and tally["kicks"] == 0, tally
        assert f'"77" into {SLEEP}: ' in guest.check("sluice status").replace("\n            ",
                                                                             " ")
        sluice.stop()
    assert read(guest, SLEEP) == 77, "a trigger is no knob: nothing is restored"
    guest.check(f"echo {before} >{SLEEP}")


def check_ioctls(guest: Guest) -> str:
    """ioctls with bytes and with a number, without any capability that they might need."""
    with Sluice(guest, config(WINDOW)) as sluice:
        guest.check("sluice kick")
        size = guest.check(f"stty -F {TTY} size").strip()
        assert size == "77 99", size
        sluice.reload(config(CLOCK))
        guest.wait_for(lambda: "reloaded" in sluice.log(), 30, what="a reload")
        guest.check("sluice kick")
        tally = sluice.status()["tally"]
        assert tally["triggers"] == 2 and tally["kicks"] == 0, f"{tally}\n{sluice.log()}"
    found = re.search(r"periodic IRQ frequency\s*: (\d+)", guest.check("cat /proc/driver/rtc"))
    assert found and found[1] == "32", found
    return f"window {size}, clock {found[1]} Hz"


def check_falls_back(guest: Guest) -> str:
    """A trigger that fails: each time a kick instead, then kicks alone; memory is reported."""
    with Sluice(guest, config(UNKNOWN)) as sluice:
        for count in range(1, 4):
            guest.check("sluice kick")
            tally = sluice.status()["tally"]
            assert tally["kicks"] == count and tally["triggers"] == 0, tally
        found = actuator(sluice, TTY)
        assert found["breaker"] == "open" and "does not know this request" in found["error"], found
        assert f"breaker open: {TTY} failed 3 times in a row" in sluice.log(), sluice.log()
        with released(guest, sluice, UNKNOWN) as (waiting, resident):
            guest.wait_for(lambda: matrix.released(sluice), 90, what="a release that ends")
            given = resident - guest.host_resident()
        assert given >= 0.9 * waiting > 0, f"host got {given / MIB:.0f} of {waiting / MIB:.0f} MiB"
        log = sluice.log()
        assert log.count("does not know this request") <= 2, log  # once for each configuration
    return f"host got {given / MIB:.0f} of {waiting / MIB:.0f} MiB by kicks"


# --- the breaker of the order ---------------------------------------------------------------------

def check_order(guest: Guest) -> str:
    """An order that can't be written: leave, with the reason; tried again after the back-off."""
    order = order_knob(guest)
    guest.check(f"mount -o bind {ORDER} {ORDER} && mount -o remount,bind,ro {ORDER}")
    try:
        with Sluice(guest, config(KNOBS)) as sluice:
            guest.wait_for(lambda: "breaker: " in sluice.status()["decision"]["reason"], 30,
                           what="an open breaker")
            decision = sluice.status()["decision"]
            assert decision["action"] == "leave", decision
            assert actuator(sluice, ORDER)["failures"] == 3
            guest.check(f"umount {ORDER}")
            guest.wait_for(lambda: sluice.status()["decision"]["action"] == "hold",
                           BREAKER_SECONDS, what="another try")
            guest.wait_for(lambda: order_knob(guest) != order, 10, what="a held order")
            assert f"breaker closed: {ORDER} works again" in sluice.log(), sluice.log()
            assert actuator(sluice, ORDER)["breaker"] == "closed"
            sluice.stop()
    finally:
        guest.run(f"umount {ORDER}")
    assert order_knob(guest) == order
    return str(decision["reason"])


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All of it in one guest."""
    checks: dict[str, Callable[[Guest], object]] = {
        "knobs follow and go back": check_follow, "restored after kill -9": check_killed,
        "the administrator's write stands, the rest goes on": check_administrator,
        "a reload changes what is written": check_reload,
        "a refused value opens the breaker": check_refused,
        "what is not safe is not used": check_unsafe,
        "a file is the trigger": check_written, "an ioctl is the trigger": check_ioctls,
        "a failing trigger falls back to the kick": check_falls_back,
        "an order that can't be written": check_order}
    with Guest(kernel, memory_mib=matrix.MEMORY_MIB, files=matrix.files()) as guest:
        for what, check in checks.items():
            tap.check(f"{kernel.name}: {what}", partial(check, guest))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, run_kernel))
