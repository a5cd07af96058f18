# SPDX-License-Identifier: GPL-2.0-only
"""sluiced as a service: what `make install` brings, in a Debian 12 with systemd.

    python3 tests/vm/service.py [NAME...]

The unit shuts the daemon in, and everything it does has to work there: BPF, the knobs, the kick,
reclaim by cgroup or generation with the many groups of a real system, experiments.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import distribution  # noqa: E402
import matrix  # noqa: E402
from guest import MIB, Guest  # noqa: E402
from kernels import Kernel  # noqa: E402
from matrix import fill_and_free, order_knob  # noqa: E402
from prepare import DISK, DISK_MIB, HOT_MIB, HOT_START_MIB, cached, trim_config  # noqa: E402
from tap import Tap  # noqa: E402

KERNELS = ("6.1", "7.2")
REPOSITORY = Path(__file__).absolute().parents[2]
MEMORY_MIB = 1536  # the distribution is in it
FREED_MIB = 300
GROUPS, GROUP_MIB = 12, 20
SECONDS = 120.0
CONFIG = "/etc/sluice/sluice.conf"
HOLDS = ('mode = "control"; strategy = "threshold"; interval = "500ms";\n'
         'threshold = { start = "16TiB"; stop = "8MiB"; };\n')


def installed(top: Path) -> dict[str, Path]:
    """What `make install prefix=/usr` puts where, as files of a guest."""
    subprocess.run(["make", "-s", "install", "prefix=/usr", f"DESTDIR={top}"], cwd=REPOSITORY,
                   check=True, stdout=subprocess.DEVNULL)
    return {f"/{path.relative_to(top)}": path for path in top.rglob("*") if path.is_file()}


def journal(guest: Guest) -> str:
    """What the service has logged."""
    return guest.check("journalctl --no-pager -o cat -u sluiced")


def status(guest: Guest) -> dict[str, Any]:
    """`sluice --json status`."""
    return dict(json.loads(guest.check("sluice --json status")))


def state(guest: Guest) -> str:
    """active, activating, failed..."""
    return guest.run("systemctl is-active sluiced").out.strip()


def main_pid(guest: Guest) -> int:
    """Process id of the daemon, 0: there is none."""
    return int(guest.check("systemctl show --property=MainPID --value sluiced"))


def configure(guest: Guest, text: str) -> None:
    """Have the service take another configuration."""
    before = journal(guest).count("reloaded /etc")
    guest.check(f"cat >{CONFIG} <<'END'\n{text}END\nsystemctl reload sluiced")
    guest.wait_for(lambda: journal(guest).count("reloaded /etc") > before, SECONDS, what="a reload")


def check_start(guest: Guest) -> str:
    """As README says it; and the host gets memory back."""
    guest.check("sluice probe && sluice check && systemctl enable --now sluiced", timeout=SECONDS)
    assert state(guest) == "active", journal(guest)
    found = status(guest)
    assert (found["mode"], found["source"]) == ("control", "bpf"), found
    assert found["event_level"] != "off", found
    fill_and_free(guest, FREED_MIB)
    resident = guest.host_resident()
    guest.wait_for(lambda: guest.host_resident() < resident - FREED_MIB // 2 * MIB, SECONDS,
                   what="memory at the host")
    for word in ("error", "warning", "denied", "not permitted", "can't"):
        assert word not in journal(guest).lower(), journal(guest)
    caps = guest.check(f"grep CapEff /proc/{main_pid(guest)}/status").split()[1]
    return f"{(resident - guest.host_resident()) / MIB:.0f} MiB returned; capabilities {caps}"


def check_killed(guest: Guest, before: int | None) -> str:
    """Killed while it holds: systemd has the order given back, and starts it again."""
    configure(guest, HOLDS)
    guest.wait_for(lambda: order_knob(guest) != before, SECONDS, what="a hold")
    held, pid = order_knob(guest), status(guest)["pid"]
    guest.check("systemctl kill -s KILL sluiced")
    guest.wait_for(lambda: state(guest) == "active" and main_pid(guest) not in (0, pid), SECONDS,
                   what="a new start")
    back = f"page_reporting_order: restored {before} (was {held})"
    assert back in journal(guest), journal(guest)
    guest.wait_for(lambda: order_knob(guest) == held, SECONDS, what="a hold again")
    guest.check("systemctl stop sluiced")
    assert order_knob(guest) == before, f"{order_knob(guest)} is left behind, it was {before}"
    left = guest.check("ls /run/sluice").split()
    assert left == ["lock"], left
    guest.check("systemctl start sluiced")
    return f"{before}, held at {held}, killed, {before}"


def check_trim(guest: Guest) -> str:
    """Page cache of services that have ended goes, that of one that reads all the time stays."""
    guest.check(f"systemd-run -q --unit=holder cached {DISK} hold")
    for group in range(GROUPS):
        guest.check(f"systemd-run -q --unit=reader{group} cached {DISK} read {group * GROUP_MIB} "
                    f"{GROUP_MIB}")
    guest.check(f"systemd-run -q --unit=hot cached {DISK} reread {HOT_START_MIB} {HOT_MIB}")
    size = GROUPS * GROUP_MIB
    guest.wait_for(lambda: cached(guest, 0, size) == size and
                   cached(guest, HOT_START_MIB, HOT_MIB) == HOT_MIB, SECONDS, what="page cache")
    groups = len(guest.check("find /sys/fs/cgroup -name memory.current").split())
    time.sleep(1)
    configure(guest, trim_config())
    guest.wait_for(lambda: cached(guest, 0, size) <= size // 4, 2 * SECONDS,
                   what="an empty page cache")
    hot = cached(guest, HOT_START_MIB, HOT_MIB)
    assert hot >= HOT_MIB * 3 // 4, f"only {hot} of {HOT_MIB} hot MiB are cached"
    steps = status(guest)["preparation"]
    assert steps["failures"] == 0, journal(guest)
    guest.check("systemctl stop hot holder")
    return (f"{steps['method']}: {steps['reclaimed_bytes'] / MIB:.0f} MiB in {steps['reclaims']} "
            f"steps with {groups} groups; {hot} of {HOT_MIB} hot MiB stayed")


def check_experiment(guest: Guest) -> str:
    """Arms out of a home that the daemon can't see."""
    guest.check("mkdir -p /root/arms && cp /usr/share/sluice/strategies/[lt]*.conf /root/arms")
    done = guest.check("sluice ab run --a /root/arms/ladder.conf --b /root/arms/threshold.conf "
                       "--design pairs --blocks 6 --period 3s --washout 1s --name first",
                       timeout=SECONDS)
    assert "/var/lib/sluice/ab/first.jsonl has it all" in done, done
    assert status(guest)["experiment"] is None
    assert status(guest)["strategy"] == "trim", "not the daemon's own configuration"
    report = json.loads(guest.check("sluice ab report --json first"))
    return str(report["verdict"]["text"])


def check_guest(tap: Tap, kernel: Kernel) -> None:
    """All of it in one guest."""
    with tempfile.TemporaryDirectory(prefix="sluice-service-") as top:
        files = installed(Path(top)) | {f"/usr/bin/{name}": matrix.STATIC / name
                                        for name in ("workload", "cached")}
        with Guest(kernel, memory_mib=MEMORY_MIB, files=files, disk_mib=DISK_MIB,
                   distribution=distribution.fetch()) as guest:
            guest.wait_for(lambda: guest.run("systemctl is-active multi-user.target").rc == 0,
                           SECONDS, what="a system that is up")
            checks: dict[str, Callable[[Guest], str]] = {
                "a start": check_start,
                "killed, and stopped": partial(check_killed, before=order_knob(guest)),
                "trim among many groups": check_trim, "an experiment": check_experiment}
            for name, check in checks.items():
                tap.check(f"{kernel.name}: {name}", partial(check, guest))


if __name__ == "__main__":
    sys.exit(matrix.run_all(sys.argv[1:] or KERNELS, check_guest))
