# SPDX-License-Identifier: GPL-2.0-only
"""Checks the harness itself on every kernel, without anything of sluice in the guest.

Per kernel it boots guests that report free pages, prints what other tests have to know about
the kernel, and asserts that memory freed in the guest leaves the host; then one guest without
reporting, whose memory has to stay, and whose panic has to be noticed.

    python3 tests/vm/selftest.py [--times N] [--build DIR] [NAME...]

The workload has to be built, for each architecture.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

import kernels
from channel import CommandTimeout, Result
from guest import BUILD, MIB, Balloon, Guest, GuestDied
from kernels import Kernel, KernelError
from machine import MACHINES, Machine

STRACE = Path("/usr/bin/strace")
REPORTING = "/sys/module/page_reporting/parameters"
FILL_MIB = 400
# What has to be gone, and the drop that may come from elsewhere when nothing is reported.
GONE_MIB = 300
NOISE_MIB = 32
REPORT_SECONDS = 30.0


def check_channel(guest: Guest) -> None:
    """Sizes, statuses and timeouts that the tests rely on."""
    text = "".join(f"{secrets.token_hex(30)}\n" for _ in range(500))
    assert guest.check(f"cat <<'END'\n{text}END\n") == text, "long command"
    assert len(guest.check("head -c 300000 /dev/zero | tr '\\0' 'x'")) == 300000, "long output"
    result = guest.run("echo one; echo two >&2; exit 7")
    assert result == Result(7, "one\ntwo\n"), "status and output"
    try:
        guest.run("echo started; sleep 60", timeout=2)
        raise AssertionError("a command was not stopped after its time")
    except CommandTimeout as error:
        assert "started" in str(error), "the output before the timeout"
    assert guest.check("echo again") == "again\n", "the channel after a timeout"


def check_spawn(guest: Guest) -> None:
    """Background processes: the id is the program's own, the status is kept."""
    pid = guest.spawn("workload fill 8", "/tmp/spawned")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/spawned"), 30)
    assert guest.check(f"readlink /proc/{pid}/exe") == "/bin/workload\n", "the id of a process"
    assert guest.exit_status(pid) is None, "status of a running process"
    assert guest.stop(pid, "INT") == 0, "SIGINT reaches a background process"
    assert guest.stop(guest.spawn("sleep 60"), "KILL") == 137, "status after a signal"


def check_patching(guest: Guest) -> None:
    """A guest survives that its kernel patches its own code while another CPU runs it."""
    churn = guest.spawn("workload churn 32 600")
    guest.check("i=0; while [ $i -lt 200 ]; do i=$((i + 1)); "
                "echo $((i % 2)) >/proc/sys/kernel/sched_schedstats; done")
    assert guest.stop(churn) == 0, "workload failed"


def fill_and_free(guest: Guest) -> int:
    """Have the guest use and free FILL_MIB; returns what is resident at the most."""
    pid = guest.spawn(f"workload fill {FILL_MIB}", "/tmp/filled")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/filled"), 60, what="filled")
    filled = guest.host_resident()
    assert guest.stop(pid) == 0, "workload failed"
    return filled


def show_reporting(guest: Guest) -> None:
    """Print how resident memory follows the guest, and assert that it falls."""
    before, faults = guest.host_resident(), guest.host_minor_faults()
    filled = fill_and_free(guest)
    freed = time.monotonic()
    guest.wait_for(lambda: guest.host_resident() < filled - GONE_MIB * MIB, REPORT_SECONDS,
                   what=f"{GONE_MIB} MiB less than {filled // MIB} MiB resident")
    seconds = time.monotonic() - freed
    show("resident", f"{before // MIB} MiB before, {filled // MIB} MiB filled, "
                     f"{guest.host_resident() // MIB} MiB {seconds:.1f} s after freeing")
    show("minor faults", f"{guest.host_minor_faults() - faults} (of {guest.host_minor_faults()})")


def show_kernel(guest: Guest) -> None:
    """Print what differs between kernels."""
    show("boot", f"{guest.boot_seconds:.1f} s")
    show("modules", " ".join(guest.check("cut -d' ' -f1 /proc/modules").split()))
    show("packet sockets", "yes" if guest.run("test -e /proc/net/packet").rc == 0 else "no")
    show("BTF", "yes" if guest.run("test -e /sys/kernel/btf/vmlinux").rc == 0 else "no")
    show_knobs(guest)
    show("balloon", guest.check("cat /sys/bus/virtio/drivers/virtio_balloon/virtio*/features"))
    show("THP", guest.check("cat /sys/kernel/mm/transparent_hugepage/enabled"))
    show("buddyinfo", guest.check("cat /proc/buddyinfo"))
    show("strace", guest.check("strace -V | head -n 1"))


def show_knobs(guest: Guest) -> None:
    """Print the parameters of page_reporting, which 5.10 does not have."""
    knobs = guest.check(f"cd {REPORTING} 2>/dev/null && grep -H . * || echo none")
    show("knobs", knobs)


def show(what: str, value: str) -> None:
    """Print one line, or an indented block if there are more."""
    lines = value.rstrip("\n").split("\n")
    print(f"  {what + ':':<16}" + f"\n{'':18}".join(lines), flush=True)


def check_reporting_guest(kernel: Kernel, build: Path) -> None:
    """One boot with a balloon that reports."""
    with boot(kernel, "reporting", build) as guest:
        show_kernel(guest)
        check_channel(guest)
        check_spawn(guest)
        check_patching(guest)
        show_reporting(guest)
        folder = guest.folder
    assert not folder.exists(), f"'{folder}' was left behind"


def check_silent_guest(kernel: Kernel, build: Path) -> None:
    """One boot with a balloon that does not report, ended by a panic."""
    guest = boot(kernel, "no-reporting", build)
    guest.boot()
    try:
        filled = fill_and_free(guest)
        time.sleep(8)
        resident = guest.host_resident()
        assert resident > filled - NOISE_MIB * MIB, "memory left the host without reporting"
        show("not reporting", f"{filled // MIB} MiB filled, {resident // MIB} MiB 8 s later")
        show_knobs(guest)
        guest.run("echo c >/proc/sysrq-trigger")
        raise AssertionError("the guest survived a panic")
    except GuestDied as error:
        assert "sysrq triggered crash" in str(error), str(error)
        show("panic", "noticed")
    finally:
        guest.close()
        guest.remove_folder()


def boot(kernel: Kernel, balloon: Balloon, build: Path) -> Guest:
    """A guest with what the checks need, not started yet."""
    machine = MACHINES[kernel.architecture]
    return Guest(kernel, balloon=balloon, files={"/bin/workload": workload(machine, build)},
                 programs=[] if machine.triplet else [STRACE], build=build)


def workload(machine: Machine, build: Path) -> Path:
    """The program that uses memory in the guest."""
    return machine.static(build.absolute()) / "workload"


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description="Check the VM harness.")
    parser.add_argument("--times", type=int, default=1, help="boots with reporting per kernel")
    parser.add_argument("--build", type=Path, default=BUILD, help="the build folder")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(kernels.NAMES)}")
    return parser.parse_args()


def main() -> int:
    """Run all checks; a kernel that cannot be had is skipped loudly."""
    arguments = parse_arguments()
    tested = 0
    for name in arguments.names or kernels.NAMES:
        try:
            kernel = kernels.fetch(name)
        except KernelError as error:
            print(f"SKIP {name}: {error}", flush=True)
            continue
        print(f"{name}: {kernel.version}, package {kernel.package_version}", flush=True)
        for _ in range(arguments.times):
            check_reporting_guest(kernel, arguments.build)
        check_silent_guest(kernel, arguments.build)
        tested += 1
    return 0 if tested else 1


if __name__ == "__main__":
    sys.exit(main())
