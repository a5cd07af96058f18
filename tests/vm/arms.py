# SPDX-License-Identifier: GPL-2.0-only
"""Arms of experiments in real guests: each has the order knob for itself, and leaves nothing of it.

    python3 tests/vm/arms.py [NAME...]

The daemon's own strategy touches nothing, so that the knob shows who is in force: as at boot
without an arm, held under arm A, at LOW_ORDER under arm B.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import matrix  # noqa: E402
from drain import begin_drain, fill  # noqa: E402
from guest import MIB, Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import (BLOCK_ORDER, ORDER, STATIC, Sluice, can_switch_off, order_knob,  # noqa: E402
                    wait_ticks)
from tap import Tap  # noqa: E402

KERNELS = ("6.1", "7.2")
MEMORY_MIB = 512
PROGRAMS = ("sluiced", "sluice", "workload", "ask")
JOURNAL = "/run/sluice/journal"
LOW_ORDER = 8
FILL_MIB = 150
LEASE_MS = 120000  # longer than a check
SHORT_MS = 1000
SOON_SECONDS = 15.0
END_SECONDS = 30.0
# The daemon's own counts, an arm's never: nothing is used again so soon.
OWN_AGE, ARM_AGE = "1h", "100ms"

OWN = (f'mode = "control"; strategy = "kernel"; interval = "10min"; log_level = "debug";\n'
       f'guards = {{ churn_age = "{OWN_AGE}"; }};\n')
GUARDS = f'guards = {{ churn_age = "{ARM_AGE}"; churn = 0; }};\n'
ARMS = {
    "A": 'mode = "control"; strategy = "threshold"; interval = "500ms"; log_level = "debug";\n'
         f'threshold = {{ start = "16TiB"; }};\n{GUARDS}',
    "B": 'mode = "control"; strategy = "ladder"; interval = "500ms"; log_level = "debug";\n'
         f'order = {{ floor = 5; ceiling = {LOW_ORDER}; }};\n{GUARDS}',
}
STRATEGIES = {"A": "threshold", "B": "ladder", None: "kernel"}


def request(name: str, **members: Any) -> str:
    """A command of a guest that asks sluiced."""
    return f"ask {shlex.quote(json.dumps({'request': name, **members}))}"


def ask(guest: Guest, name: str, **members: Any) -> dict[str, Any]:
    """What sluiced answers."""
    return json.loads(guest.check(request(name, **members)))


def arm(guest: Guest, which: str, lease_ms: int = LEASE_MS) -> str:
    """The request for an arm, whose configuration is written."""
    path = f"/etc/sluice/{which}.conf"
    guest.check(f"cat >{path} <<'END'\n{ARMS[which]}END\n")
    return request("arm", experiment="vm", arm=which, config=path, lease_ms=lease_ms)


def knob_of(guest: Guest, which: str | None) -> int:
    """What the knob is to hold under an arm, or without one."""
    if which is None:
        return BLOCK_ORDER
    if which == "B":
        return LOW_ORDER
    return 11 if can_switch_off(guest) else 10


def assert_in_force(guest: Guest, sluice: Sluice, which: str | None) -> None:
    """The arm, or none: its strategy and its knob, and what a restore would bring is the boot's."""
    guest.wait_for(lambda: order_knob(guest) == knob_of(guest, which), SOON_SECONDS, 0.1,
                   f"order {knob_of(guest, which)} of arm {which}")
    status = sluice.status()
    experiment = status["experiment"]
    assert (experiment and experiment["arm"]) == which, experiment
    assert status["strategy"] == STRATEGIES[which], status
    assert_journal(guest, None if which is None else BLOCK_ORDER)


def assert_journal(guest: Guest, original: int | None) -> None:
    """The order to restore that the journal names; None: there is no journal."""
    result = guest.run(f"cat {JOURNAL}")
    words = [line.split() for line in result.out.splitlines()] if result.rc == 0 else []
    found = [int(line[1]) for line in words if f"/{line[0]}" == ORDER]
    assert found == ([] if original is None else [original]), result.out
    assert original is not None or result.rc != 0, result.out


def begin(guest: Guest, sluice: Sluice, which: str) -> dict[str, Any]:
    """Put an arm in force, and see that it is; the answer."""
    answer = json.loads(guest.check(arm(guest, which)))
    assert "error" not in answer, answer
    assert (answer["experiment"], answer["arm"]) == ("vm", which), answer
    assert_in_force(guest, sluice, which)
    return answer


def end(guest: Guest, sluice: Sluice) -> None:
    """End the arm, and see that nothing is left of it; at once, without a decision."""
    assert ask(guest, "arm-end", experiment="vm")["ended"]
    assert order_knob(guest) == BLOCK_ORDER, f"order is {order_knob(guest)}"
    assert_in_force(guest, sluice, None)


def check_turns(guest: Guest, sluice: Sluice) -> str:
    """Arms in turns, one of them twice in a row: the knob goes back each time, and in the end."""
    assert_in_force(guest, sluice, None)
    for count, which in enumerate("ABAAB", 1):
        assert begin(guest, sluice, which)["arms"] == count
    log = sluice.log()
    end(guest, sluice)
    told = [line for line in log.splitlines() if "page_reporting_order: restored" in line]
    held = knob_of(guest, "A")
    assert told == [f"page_reporting_order: restored {BLOCK_ORDER} (was {was})"
                    for was in (held, LOW_ORDER, held, held)], told
    return f"orders {held} and {LOW_ORDER}, and {BLOCK_ORDER} between"


def check_lease(guest: Guest, sluice: Sluice) -> str:
    """A lease that is over ends the arm in time, although no decision is due for minutes."""
    answer = json.loads(guest.check(arm(guest, "B", SHORT_MS)))
    assert answer["arm"] == "B", answer
    guest.wait_for(lambda: sluice.status()["experiment"] is None, SOON_SECONDS, 0.1,
                   "the end of the lease")
    assert_in_force(guest, sluice, None)
    said = [line for line in sluice.log().splitlines() if "was not renewed" in line]
    assert sluice.status()["decision"]["action"] == "leave", sluice.status()["decision"]
    assert len(said) == 1, sluice.log()
    return said[0]


def check_drain(guest: Guest, sluice: Sluice) -> str:
    """A drain on request comes first: no other arm meanwhile, the same one afterwards.  And what
    is used again soon after it is counted by the daemon's own measure."""
    drains = begin(guest, sluice, "A")["drains"]
    client = begin_drain(guest, "--timeout 8s", f"{arm(guest, 'B')} >/tmp/refused; "
                         f"cat {ORDER} >/tmp/order")
    assert guest.wait_exit(client, END_SECONDS) in (0, 2), guest.check("cat /tmp/drain")
    error = json.loads(guest.check("cat /tmp/refused"))["error"]
    assert "a drain at order" in error and "sluice drain --stop" in error, error
    assert int(guest.check("cat /tmp/order")) == BLOCK_ORDER, "the drain had not the knob"
    assert_in_force(guest, sluice, "A")
    before = ask(guest, "sample", experiment="vm")
    assert before["drains"] == drains + 1 and before["arm"] == "A", before
    guest.stop(fill(guest, FILL_MIB))
    after = ask(guest, "sample", experiment="vm")
    end(guest, sluice)
    reused = after["churn_reused_bytes"] - before["churn_reused_bytes"]
    fallen = before["reported_bytes"] - after["reported_bytes"]
    assert reused >= FILL_MIB * MIB // 4, f"{reused / MIB:.0f} MiB of {FILL_MIB} MiB count"
    assert fallen >= FILL_MIB * MIB // 4, f"what is reported fell by {fallen / MIB:.0f} MiB"
    return f"{error}; {reused / MIB:.0f} of {FILL_MIB} MiB count as used again"


def check_administrator(guest: Guest, sluice: Sluice) -> str:
    """What the administrator writes during an arm stands, after it and under the next one too."""
    other = 7
    begin(guest, sluice, "A")
    guest.check(f"echo {other} >{ORDER}")
    guest.wait_for(lambda: ask(guest, "sample", experiment="vm")["let_go"], SOON_SECONDS,
                   what="letting go")
    answer = json.loads(guest.check(arm(guest, "B")))
    assert answer["arm"] == "B" and answer["let_go"], answer
    wait_ticks(guest, sluice, 2)
    assert order_knob(guest) == other, "an arm wrote over the administrator's value"
    ask(guest, "arm-end", experiment="vm")
    assert order_knob(guest) == other, "the end wrote over the administrator's value"
    guest.check(f"echo {BLOCK_ORDER} >{ORDER}")
    sluice.reload(OWN)
    guest.wait_for(lambda: not ask(guest, "sample")["let_go"], SOON_SECONDS, what="a reload")
    begin(guest, sluice, "B")
    end(guest, sluice)
    return answer["let_go_reason"]


def check_kill(guest: Guest, sluice: Sluice) -> None:
    """kill -9 leaves the arm's order; the next start gives it back, and knows of no arm.  SIGTERM
    leaves nothing."""
    begin(guest, sluice, "B")
    assert sluice.stop("KILL") == 137
    assert order_knob(guest) == LOW_ORDER, "kill -9 cannot have restored"
    assert_journal(guest, BLOCK_ORDER)
    with Sluice(guest, OWN) as restarted:
        assert_in_force(guest, restarted, None)
        assert ask(guest, "sample")["arms"] == 0
        begin(guest, restarted, "A")
        assert restarted.stop() == 0
    assert order_knob(guest) == BLOCK_ORDER, f"order is {order_knob(guest)}"
    assert_journal(guest, None)


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All in one guest, with one daemon until that is killed."""
    checks: dict[str, Callable[[Guest, Sluice], object]] = {
        "arms in turns": check_turns, "the end of a lease": check_lease,
        "a drain during an arm": check_drain,
        "the administrator's write stands": check_administrator,
        "kill -9, and the end of the daemon": check_kill}
    files = {f"/bin/{name}": STATIC / name for name in PROGRAMS}
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files) as guest:
        with Sluice(guest, OWN) as sluice:
            for what, check in checks.items():
                tap.check(f"{kernel.name}: {what}", partial(check, guest, sluice))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, run_kernel))
