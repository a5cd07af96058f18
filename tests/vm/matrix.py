# SPDX-License-Identifier: GPL-2.0-only
"""What sluice promises, asserted in real guests on real kernels.

    python3 tests/vm/matrix.py [NAME...]

Per kernel: a guest whose balloon reports, one without a balloon, one whose balloon does not
report.  The host's resident memory of the guest is the truth about what was given back.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import exports  # noqa: E402
import kernels  # noqa: E402
from guest import BUILD, MIB, Guest  # noqa: E402
from kernels import Kernel, KernelError  # noqa: E402
from tap import Skip, Tap  # noqa: E402

NAMES = ("5.10", "6.1", "6.12", "6.18", "7.2")
STATIC = BUILD / "static"
PROGRAMS = ("sluiced", "sluice", "workload", "agree")
STRACE = Path("/usr/bin/strace")
CONFIG = "/etc/sluice/sluice.conf"
ORDER = "/sys/module/page_reporting/parameters/page_reporting_order"
DELAY = "/sys/module/page_reporting/parameters/page_reporting_delay_ms"

MEMORY_MIB = 1024
GUESTS_AT_ONCE = 2  # of emulated CPUs that are never idle, as many as there are real ones
RSS_LIMIT_KIB = 8 * 1024
BLOCK_ORDER = 9  # pageblock order of x86-64
# without BPF a scan under strace takes so long that sluiced looks once in half a minute only
TICKS_SECONDS = 180.0
LOOKS = 5  # at a time
QUIET_LOOKS = 6
MOST_LOOKS = 100
AGREE_SHARE = 0.8  # of the quiet looks must be equal
DRIFT_LIMIT = 512  # pages; exact but for compaction and failed trylocks
CAPACITY = 32  # PAGE_REPORTING_CAPACITY


def config(mode: str = "control", start: str = "64MiB", stop: str = "16MiB",
           interval: str = "1s") -> str:
    """A configuration that reacts within seconds."""
    return (f'mode = "{mode}"; strategy = "threshold"; interval = "{interval}";\n'
            f'log_level = "debug";\n'
            f'threshold = {{ start = "{start}"; stop = "{stop}"; min_age = "500ms"; '
            f'cooldown = "2s"; }};\n')


class Sluice:
    """sluiced in a guest, and what its client says."""

    def __init__(self, guest: Guest, text: str, prefix: str = "") -> None:
        self.guest = guest
        self.write_config(text)
        self.log_path = "/tmp/sluiced.log"
        self.pid = guest.spawn(f"{prefix}sluiced", self.log_path)
        try:
            guest.wait_for(self._decided, 60, what="first decision of sluiced")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if error is not None:
            error.add_note(self.log())
        if self.guest.exit_status(self.pid) is None:
            self.stop()

    def write_config(self, text: str) -> None:
        """Replace the configuration file."""
        self.guest.check(f"mkdir -p /etc/sluice && cat >{CONFIG} <<'END'\n{text}END\n")

    def reload(self, text: str) -> None:
        """Replace the configuration and have it read."""
        self.write_config(text)
        self.guest.check(f"kill -HUP {self.daemon_pid()}")

    def daemon_pid(self) -> int:
        """Process id of the daemon itself, under strace too."""
        return int(self.guest.check("cat /run/sluice/lock"))

    def status(self) -> dict[str, Any]:
        """`sluice --json status`."""
        return json.loads(self.guest.check("sluice --json status"))

    def hist(self) -> dict[str, Any]:
        """`sluice hist --json`."""
        return json.loads(self.guest.check("sluice hist --json"))

    def log(self) -> str:
        """What the daemon has logged so far."""
        return self.guest.check(f"cat {self.log_path}")

    def stop(self, signal: str = "TERM") -> int:
        """End the daemon; returns its exit status."""
        self.guest.check(f"kill -{signal} {self.daemon_pid()}")
        return self.guest.wait_exit(self.pid)

    def _decided(self) -> bool:
        result = self.guest.run("sluice --json status")
        return result.rc == 0 and json.loads(result.out)["decision"]["age_ms"] is not None


def order_knob(guest: Guest) -> int | None:
    """Value of page_reporting_order; None where the kernel has none."""
    result = guest.run(f"cat {ORDER}")
    return int(result.out) if result.rc == 0 else None


def can_switch_off(guest: Guest) -> bool:
    """Whether an order above the highest is taken, which only Linux 5.14 to 6.1 do."""
    return guest.kernel.series == "6.1"


def eligible(hist: dict[str, Any], order: int = BLOCK_ORDER) -> int:
    """Bytes that the kernel would report if its order limit were `order`."""
    limit = min(hist["reporting_order"], len(hist["zones"][0]["orders"]) - 1)
    page = hist["page_size"]
    total = 0
    for zone in hist["zones"]:
        gate = zone["gate_bytes"] - (CAPACITY * page << limit) + (CAPACITY * page << order)
        if zone["free_bytes"] <= gate:
            continue
        total += sum((entry["free_extents"] - entry["reported_extents"]) * page << entry["order"]
                     for entry in zone["orders"] if entry["order"] >= order)
    return total


def reported(hist: dict[str, Any]) -> int:
    """Bytes that are reported."""
    return sum(entry["reported_extents"] * hist["page_size"] << entry["order"]
               for zone in hist["zones"] for entry in zone["orders"])


def fragment(guest: Guest, mib: int) -> int:
    """Memory of which every second pageblock is free: extents of just pageblock order."""
    pid = guest.spawn(f"workload fragment {mib} --keep-every 1024", "/tmp/fragment")
    guest.wait_for(lambda: "fragmented" in guest.check("cat /tmp/fragment"), 120,
                   what="fragmented memory")
    return pid


def fill_and_free(guest: Guest, mib: int) -> None:
    """Use memory and free it."""
    pid = guest.spawn(f"workload fill {mib}", "/tmp/fill")
    guest.wait_for(lambda: "filled" in guest.check("cat /tmp/fill"), 120, what="filled memory")
    assert guest.stop(pid) == 0, "workload failed"


# --- (1) what is shown is what is -----------------------------------------------------------------

def parse_buddyinfo(text: str) -> dict[tuple[int, str], list[int]]:
    """{(node, zone): free extents by order}."""
    zones = {}
    for line in text.splitlines():
        words = line.replace(",", "").split()
        zones[int(words[1]), words[3]] = [int(word) for word in words[4:]]
    return zones


def hist_counts(hist: dict[str, Any], key: str) -> dict[tuple[int, str], list[int]]:
    """The same shape from the histogram."""
    return {(zone["node"], zone["zone"]): [entry[key] for entry in zone["orders"]]
            for zone in hist["zones"]}


def settle(guest: Guest, sluice: Sluice) -> None:
    """Wait until the kernel's own reporting after the boot is done."""
    seen = [-1]

    def stands() -> bool:
        seen.append(reported(sluice.hist()))
        return seen[-1] > 0 and seen[-1] == seen[-2] and eligible(sluice.hist()) == 0

    guest.wait_for(stands, 120, interval=2.5, what="end of the reporting after the boot")


def quiet_looks(guest: Guest) -> list[dict[str, Any]]:
    """Looks at an idle guest, with no pass under way; as many of them as show something."""
    found: list[dict[str, Any]] = []
    looks = 0
    while len(found) < QUIET_LOOKS:
        assert looks < MOST_LOOKS, f"the guest was idle in {len(found)} of {looks} looks only"
        for line in guest.check(f"agree {LOOKS}", timeout=180).splitlines():
            look = json.loads(line)
            looks += 1
            if (look["before"] == look["after"]
                    and look["heads_before"] == look["heads_after"]):
                found.append(look)
    return found


def compare(guest: Guest, sluice: Sluice) -> str:
    """On an idle guest the histogram equals buddyinfo and kpageflags, order by order.

    A guest may move between the looks and be back at the last one, so that one look that differs
    shows nothing; a wrong scan would differ in most.
    """
    found = quiet_looks(guest)
    equal = 0
    other = ""
    for look in found:
        free = hist_counts(look["hist"], "free_extents")
        heads = sum(map(sum, hist_counts(look["hist"], "reported_extents").values()))
        assert heads > 0, "nothing is reported: the comparison shows nothing"
        if free == parse_buddyinfo(look["before"]) and heads == look["heads_before"]:
            equal += 1
        else:
            other += f"{heads} heads of {look['heads_before']}, {free}\n{look['before']}\n"
    source = found[-1]["hist"]["source"]
    wanted = "kpageflags" if guest.kernel.name == "5.10" else "bpf"
    assert source == wanted, f"scans read {source}, not {wanted}: {sluice.log()}"
    assert equal >= AGREE_SHARE * len(found), (f"{equal} of {len(found)} quiet looks are equal:\n"
                                               f"{other}")
    return f"{equal} of {len(found)} quiet looks equal, order by order; source {source}"


def check_agreement(guest: Guest) -> str:
    """The same on a guest that was just booted."""
    with Sluice(guest, config("observe", interval="1h")) as sluice:
        settle(guest, sluice)
        return compare(guest, sluice)


# --- (3) modes that must not act ------------------------------------------------------------------

def trace_of(guest: Guest, text: str, reloaded: str) -> tuple[str, str]:
    """System calls, and the log, of a daemon that starts, decides, reloads, decides and ends under
    strace.

    Left out are pread64, which only reads, but a thousand times per scan of kpageflags, and what
    strace itself does ahead of the daemon's execve.
    """
    trace = "/tmp/strace.log"
    with Sluice(guest, text, f"strace --seccomp-bpf -f -e trace=!pread64 -o {trace} ") as sluice:
        pid = fragment(guest, 200)
        wait_ticks(guest, sluice, 3)
        if '"control"' in text and order_knob(guest) is None:
            # Linux 5.10 reports by itself, so that a slow daemon may find nothing left to kick for
            guest.check("sluice kick")
        sluice.reload(reloaded)  # decides at once
        guest.wait_for(lambda: "reloaded" in sluice.log(), 60, what="a reload")
        wait_ticks(guest, sluice, 1)
        log = sluice.log()
        sluice.stop()
        guest.stop(pid)
    lines = guest.check(f"cat {trace}", timeout=120)
    return lines[lines.index("execve("):], log


def writes_to_kernel(trace: str) -> list[str]:
    """Lines that open a file below /proc or /sys for writing, or make a packet socket."""
    return [line for line in trace.splitlines()
            if ("openat(" in line and ("O_WRONLY" in line or "O_RDWR" in line)
                and ('"sys/' in line or '"/sys/' in line or '"proc/' in line or '"/proc/' in line))
            or "AF_PACKET" in line]


def check_quiet_modes(guest: Guest) -> str:
    """Modes that must not act do not, although there is something to do."""
    before = order_knob(guest)
    trace, log = trace_of(guest, config("observe"), config("dry-run", start="1MiB", stop="4KiB"))
    found = writes_to_kernel(trace)
    assert not found, "\n".join(found)
    assert "leave: mode is observe" in log and "would " in log, log
    assert order_knob(guest) == before, "page_reporting_order changed"
    return f"{len(trace.splitlines())} system calls, none writes to the kernel"


def check_control_is_traced(guest: Guest) -> str:
    """The same trace shows the writes of mode control, so it could show those of others; and
    no prctl(2), not by a library either."""
    text = config("control", start="16MiB", stop="4MiB")
    trace, _ = trace_of(guest, text, text)
    found = writes_to_kernel(trace)
    assert any("AF_PACKET" in line for line in found), "no kick in the trace"
    if order_knob(guest) is not None:
        assert any("page_reporting_order" in line for line in found), "no write in the trace"
    prctl = [line for line in trace.splitlines() if "prctl(" in line and "arch_prctl(" not in line]
    assert not prctl, "\n".join(prctl)
    return f"{len(found)} writes, no prctl in {len(trace.splitlines())} system calls"


# --- (2) threshold --------------------------------------------------------------------------------

def check_held(guest: Guest, sluice: Sluice, before: dict[str, Any]) -> int:
    """Below `start`: no release, the knob holds; returns bytes that wait, and none were reported
    where the kernel can be switched off."""
    status, hist = sluice.status(), sluice.hist()
    waiting = eligible(hist)
    assert status["decision"]["action"] == "hold", status["decision"]
    assert status["tally"]["releases"] == status["tally"]["kicks"] == 0, status["tally"]
    knob = order_knob(guest)
    if knob is not None:
        highest = len(hist["zones"][0]["orders"]) - 1
        assert knob == (highest + 1 if can_switch_off(guest) else highest), f"order is {knob}"
        assert waiting > 100 * MIB, f"only {waiting / MIB:.0f} MiB wait: the hold does not hold"
    if can_switch_off(guest):
        grown = reported(hist) - reported(before)
        assert grown <= 0, f"{grown / MIB:.0f} MiB were reported while reporting was held"
    return waiting


def check_threshold(guest: Guest) -> str:
    """Nothing is released below `start`; above it the host gets 90 % of what was eligible."""
    with Sluice(guest, config(start="900MiB")) as sluice:
        before = sluice.hist()
        pid = fragment(guest, 500)
        wait_ticks(guest, sluice, 6)
        check_held(guest, sluice, before)
        if order_knob(guest) is None:
            fill_and_free(guest, 300)  # Linux 5.10 reports by itself: start from a fresh backlog
        waiting, resident = eligible(sluice.hist()), guest.host_resident()
        assert waiting > 100 * MIB, f"only {waiting / MIB:.0f} MiB are eligible"
        sluice.reload(config(start="64MiB", stop="16MiB"))
        guest.wait_for(lambda: released(sluice), 90, what="a release that ends")
        left, given = eligible(sluice.hist()), resident - guest.host_resident()
        assert given >= 0.9 * waiting, f"host got {given / MIB:.0f} of {waiting / MIB:.0f} MiB"
        assert left <= 16 * MIB, f"{left / MIB:.0f} MiB are left, stop is 16 MiB"
        guest.stop(pid)
    return (f"{waiting / MIB:.0f} MiB eligible, host resident fell by {given / MIB:.0f} MiB, "
            f"{left / MIB:.0f} MiB left")


def released(sluice: Sluice) -> bool:
    """Whether a release has begun and ended; where the kernel needs no release, that it did."""
    status = sluice.status()
    if status["tally"]["releases"] == 0:
        return not status["reporting"]["has_order"] and eligible(sluice.hist()) <= 16 * MIB
    return status["decision"]["action"] == "hold"


# --- (4) every knob goes back ---------------------------------------------------------------------

def held(guest: Guest) -> tuple[Sluice, int]:
    """A daemon that holds, and the order before it."""
    before = order_knob(guest)
    assert before is not None
    sluice = Sluice(guest, config(start="900MiB"))
    assert order_knob(guest) != before, f"the daemon did not hold\n{sluice.log()}"
    return sluice, before


def wait_ticks(guest: Guest, sluice: Sluice, count: int) -> None:
    """Let the daemon decide `count` times."""
    wanted = sluice.status()["tally"]["ticks"] + count
    guest.wait_for(lambda: sluice.status()["tally"]["ticks"] >= wanted, TICKS_SECONDS,
                   what=f"{count} decisions")


def check_restored_at_end(guest: Guest, signal: str) -> None:
    """A daemon that ends gives the order back and leaves no journal."""
    sluice, before = held(guest)
    with sluice:
        assert sluice.stop(signal) == 0
        assert order_knob(guest) == before, f"order is {order_knob(guest)}, was {before}"
        assert guest.run("test -e /run/sluice/journal").rc != 0, "the journal is still there"


def check_restored_after_kill(guest: Guest, by_restart: bool) -> None:
    """kill -9 leaves the order held; `sluice restore`, or the next start, gives it back."""
    sluice, before = held(guest)
    with sluice:
        assert sluice.stop("KILL") == 137
        assert order_knob(guest) != before, "kill -9 cannot have restored"
    if by_restart:
        Sluice(guest, config("observe")).stop()
    else:
        assert "restored" in guest.check("sluice restore")
    assert order_knob(guest) == before, f"order is {order_knob(guest)}, was {before}"
    assert guest.check("sluice restore") == "nothing to restore\n"


def check_administrator(guest: Guest) -> None:
    """A knob that the administrator writes is let go of: not written, not restored."""
    sluice, before = held(guest)
    other = 8
    with sluice:
        guest.check(f"echo {other} >{ORDER}")
        guest.wait_for(lambda: sluice.status()["control"]["let_go"], 30, what="letting go")
        wait_ticks(guest, sluice, 3)
        assert order_knob(guest) == other, "sluice wrote over the administrator's value"
        assert "page_reporting_order" in sluice.log()
        sluice.stop()
        assert order_knob(guest) == other, "sluice restored over the administrator's value"
    guest.check(f"echo {before} >{ORDER}")


def check_restore_request(guest: Guest) -> None:
    """`sluice restore` with a running daemon: the knobs go back and stay back until a reload."""
    sluice, before = held(guest)
    with sluice:
        guest.check("sluice restore")
        wait_ticks(guest, sluice, 3)
        assert order_knob(guest) == before
        sluice.reload(config(start="900MiB"))
        guest.wait_for(lambda: order_knob(guest) != before, 30, what="control after a reload")
        sluice.stop()
        assert order_knob(guest) == before


def check_delay(guest: Guest) -> None:
    """Linux 7.3: the delay follows hold and release where configured, and goes back."""
    before = int(guest.check(f"cat {DELAY}"))

    def delay() -> int:
        return int(guest.check(f"cat {DELAY}"))

    wanted = 'delay = { hold = "20s"; release = "300ms"; };\n'
    with Sluice(guest, config(start="900MiB") + wanted) as sluice:
        assert delay() == 20000, delay()
        pid = fragment(guest, 300)
        sluice.reload(config(start="32MiB") + wanted)
        guest.wait_for(lambda: delay() == 300, 30, what="the delay of a release")
        guest.wait_for(lambda: delay() == 20000, 60, what="the delay of a hold")
        sluice.stop()
        guest.stop(pid)
    assert delay() == before, f"{delay()} ms, was {before} ms"


def check_no_knob(guest: Guest) -> None:
    """Linux 5.10 has no knob: nothing is written, nothing is left to restore."""
    with Sluice(guest, config(start="900MiB")) as sluice:
        wait_ticks(guest, sluice, 2)
        assert guest.run("test -e /run/sluice/journal").rc != 0, "a journal without a knob"
        assert "no order knob" in guest.check("sluice status")
    assert guest.check("sluice restore") == "nothing to restore\n"


def check_reload_error(guest: Guest) -> None:
    """A reload with errors names them all and changes nothing."""
    with Sluice(guest, config(start="900MiB")) as sluice:
        knob = order_knob(guest)
        sluice.reload('mode = "contrl";\nthreshold = { start = "64"; };\n')
        guest.wait_for(lambda: "running configuration stays" in sluice.log(), 30, what="refusal")
        log = sluice.log()
        assert f"{CONFIG}:1: mode:" in log and f"{CONFIG}:2: threshold.start:" in log
        assert sluice.status()["mode"] == "control" and order_knob(guest) == knob


# --- events ---------------------------------------------------------------------------------------

def check_events(guest: Guest) -> str:
    """Between scans events alone keep the map at the kernel's totals, with memory in use too."""
    text = config("observe", interval="1h") + 'full_interval = "0"; events = "all";\n'
    taken = 200
    with Sluice(guest, text) as sluice:
        start = sluice.status()["map"]
        pid = guest.spawn(f"workload fill {taken}", "/tmp/fill")
        guest.wait_for(lambda: "filled" in guest.check("cat /tmp/fill"), 120, what="filled memory")
        full = sluice.status()["map"]
        guest.stop(pid)
        guest.check("for i in $(seq 200); do /bin/true; done", timeout=120)
        end = sluice.status()
    fallen = (start["map_pages"] - full["map_pages"]) * 4096 / MIB
    # what the per-CPU lists held was off the buddy lists before
    assert fallen > 0.5 * taken, f"the map fell by {fallen:.0f} of {taken} MiB"
    drifts = [found["drift_pages"] for found in (start, full, end["map"])]
    assert all(abs(drift) <= DRIFT_LIMIT for drift in drifts), f"{drifts} pages, {end['events']}"
    assert end["events"]["unknown"] == 0, end["events"]
    return (f"drift {drifts} pages after the scan, with {taken} MiB taken, and freed; "
            f"{end['events']['allocs'] + end['events']['drains']} events")


# --- fallbacks ------------------------------------------------------------------------------------

def check_steps_down(guest: Guest) -> str:
    """Without BTF scans read kpageflags, without that totals are left: each said once, with what
    is lost; and a strategy that can't decide leaves the knob alone."""
    before = order_knob(guest)
    guest.check("mkdir -p /tmp/empty && mount -o bind /tmp/empty /sys/kernel/btf")
    try:
        with Sluice(guest, config("observe")) as sluice:
            notes = sluice.status()["notes"]
            assert sluice.status()["source"] == "kpageflags", notes
            assert len(notes) == 1 and "CONFIG_DEBUG_INFO_BTF" in notes[0], notes
            assert eligible(sluice.hist()) + reported(sluice.hist()) > 0
        guest.check("mount -o bind /dev/null /proc/kpageflags")
        with Sluice(guest, config(start="16MiB", stop="4MiB")) as sluice:
            status, hist = sluice.status(), sluice.hist()
            assert status["source"] == "buddyinfo", status["notes"]
            assert len(status["notes"]) == 2, status["notes"]
            assert "/proc/kpageflags is not used" in status["notes"][1], status["notes"]
            assert sluice.log().count("/proc/kpageflags is not used") == 1, "said more than once"
            assert status["decision"]["action"] == "leave", status["decision"]
            assert all(entry["reported_extents"] is None
                       for zone in hist["zones"] for entry in zone["orders"])
            assert "can't be seen" in guest.check("sluice hist")
            assert order_knob(guest) == before
    finally:
        guest.run("umount /proc/kpageflags; umount /sys/kernel/btf")
    return status["notes"][1]


def check_contradicted(guest: Guest) -> str:
    """A map that differs from the kernel's totals after a scan is not acted upon, until it agrees
    again.  Without BTF the totals are those of /proc/buddyinfo, which a mount can falsify."""
    before = order_knob(guest)
    fake = "awk '/DMA32/ { $NF -= 50 } { print }' /proc/buddyinfo >/tmp/buddyinfo"
    guest.check(f"mkdir -p /tmp/empty && mount -o bind /tmp/empty /sys/kernel/btf && {fake}")
    try:
        with Sluice(guest, config(start="16MiB", stop="4MiB")) as sluice:
            assert sluice.guest.run("sluice audit").rc == 0
            guest.check("mount -o bind /tmp/buddyinfo /proc/buddyinfo")
            try:
                found = guest.run("sluice audit")
                assert found.rc == 1 and "nothing is acted upon" in found.out, found
                wait_ticks(guest, sluice, 2)
                decision, text = sluice.status()["decision"], guest.check("sluice status")
                assert decision["action"] == "leave", decision
                assert "off the kernel's count" in decision["reason"], decision
                assert "NOTHING IS ACTED UPON" in text, text
            finally:
                guest.check("umount /proc/buddyinfo")
            assert guest.run("sluice audit").rc == 0
            wait_ticks(guest, sluice, 2)
            again = sluice.status()["decision"]
            assert "off the kernel's count" not in again["reason"], again
    finally:
        guest.run("umount /sys/kernel/btf")
    assert order_knob(guest) == before
    return f"{decision['reason']}; then {again['action']}"


# --- exports --------------------------------------------------------------------------------------

EXPORT = "/tmp/extents"
EXPORT_TRIES = 20


def export(guest: Guest, name: str) -> exports.Document:
    """`sluice extents --json`, through a file: a pipe's memory would come and go meanwhile."""
    guest.check(f"sluice extents --json --format {name} --output {EXPORT}")
    found = json.loads(guest.check(f"cat {EXPORT}"))
    exports.assert_document(found)
    return found


def equal_export(guest: Guest, name: str, wanted: int = 1) -> exports.Document:
    """The last of `wanted` exports that equal the kernel's counts; a reporting pass may have
    blocks off the lists now and then."""
    equal = 0
    for _ in range(EXPORT_TRIES):
        found = export(guest, name)
        equal += exports.equals_kernel(found)
        if equal == wanted:
            return found
    raise AssertionError(f"{equal} of {EXPORT_TRIES} exports as {name} equal the kernel's counts")


def check_extents(guest: Guest) -> str:
    """Extents, ranges and bitmap are what the kernel counts, in binary too, without BPF too; and
    where only totals are left, that is an error with its reason."""
    orders = equal_export(guest, "orders", 3)
    others = [equal_export(guest, name) for name in ("ranges", "bitmap")]
    source = "kpageflags" if guest.kernel.name == "5.10" else "bpf"
    assert orders["source"] == source, f"{orders['source']}, not {source}"
    for name in exports.FORMATS.values():
        said = guest.check(f"sluice extents --binary --format {name} --output {EXPORT} 2>&1")
        data = base64.b64decode(guest.check(f"base64 {EXPORT}"))
        found = exports.parse_binary(data)
        exports.assert_document(found)
        assert f"{len(found['entries'])} entries for " in said, said
        assert f" {len(data)} bytes in binary" in said, said
    guest.check("mkdir -p /tmp/empty && mount -o bind /tmp/empty /sys/kernel/btf")
    try:
        found = equal_export(guest, "orders")
        assert found["source"] == "kpageflags", found["source"]
        marks = [{entry["pfn"] for entry in document["entries"] if entry["reported"]}
                 for document in (orders, found)]
        assert len(marks[0] & marks[1]) >= 0.9 * len(marks[0] | marks[1]) > 0, \
            f"{len(marks[0])} extents are reported, {len(marks[1])} without BPF"
        guest.check("mount -o bind /dev/null /proc/kpageflags")
        result = guest.run("sluice extents --json")
        error = json.loads(result.out)["error"]
        assert result.rc == 1 and "not where" in error, result.out
        assert "/proc/kpageflags is not used" in error, error
    finally:
        guest.run("umount /proc/kpageflags; umount /sys/kernel/btf")
    return ", ".join(f"{found['format']}: {found['nr_entries']} entries, "
                     f"{found['binary_bytes']} bytes, {found['scan_ns'] / 1e6:.1f} ms"
                     for found in [orders, *others]) + f"; source {source}"


# --- size -----------------------------------------------------------------------------------------

def check_size(guest: Guest) -> str:
    """The daemon's resident memory stays small, start-up peak aside."""
    with Sluice(guest, config()) as sluice:
        fill_and_free(guest, 200)
        for _ in range(5):
            sluice.hist()
        text = guest.check(f"cat /proc/{sluice.daemon_pid()}/status")
    rss = int(text.split("VmRSS:")[1].split()[0])
    assert rss <= RSS_LIMIT_KIB, f"{rss} KiB"
    assert "Threads:\t1\n" in text, "more than one thread"
    return f"VmRSS {rss} KiB of {RSS_LIMIT_KIB} KiB"


# --- (5) nothing to report to ---------------------------------------------------------------------

def check_cannot_report(guest: Guest, reason: str) -> str:
    """Without a balloon that reports the daemon runs, observes and says why."""
    before = order_knob(guest)
    with Sluice(guest, config(start="16MiB", stop="4MiB")) as sluice:
        fill_and_free(guest, 200)
        wait_ticks(guest, sluice, 2)
        status = sluice.status()
        assert not status["control"]["usable"], status["control"]
        assert reason in status["control"]["unusable_reason"], status["control"]
        assert status["decision"]["action"] == "leave", status["decision"]
        assert reason in sluice.log()
        for command in ("status", "probe"):
            assert reason in guest.check(f"sluice {command}").replace("\n            ", " ")
        assert order_knob(guest) == before
        free = sum(map(sum, hist_counts(sluice.hist(), "free_extents").values()))
        assert free > 0, "the histogram is empty"
        assert sluice.stop() == 0
    return status["control"]["unusable_reason"]


def run_reporting(tap: Tap, name: str, guest: Guest) -> None:
    """All checks in a guest whose balloon reports."""
    checks: list[tuple[str, Callable[[], object]]] = [
        ("hist equals buddyinfo and kpageflags", lambda: check_agreement(guest)),
        ("exported extents equal the kernel's counts", lambda: check_extents(guest)),
        ("modes observe and dry-run write nothing", lambda: check_quiet_modes(guest)),
        ("mode control is traced, without prctl", lambda: check_control_is_traced(guest)),
        ("threshold holds, then gives back", lambda: check_threshold(guest)),
        ("steps down and says so", lambda: check_steps_down(guest)),
        ("a map that the totals contradict", lambda: check_contradicted(guest)),
        ("events keep the map", lambda: check_events(guest)),
        ("a bad reload changes nothing", lambda: check_reload_error(guest)),
        ("resident memory", lambda: check_size(guest)),
    ]
    knob: list[tuple[str, Callable[[], object]]] = [
        ("restored at SIGTERM", lambda: check_restored_at_end(guest, "TERM")),
        ("restored at SIGINT", lambda: check_restored_at_end(guest, "INT")),
        ("restored after kill -9", lambda: check_restored_after_kill(guest, False)),
        ("restored at the next start", lambda: check_restored_after_kill(guest, True)),
        ("restored on request", lambda: check_restore_request(guest)),
        ("the administrator's write stands", lambda: check_administrator(guest)),
    ]
    if guest.run(f"test -e {DELAY}").rc == 0:
        knob.append(("the delay follows and goes back", lambda: check_delay(guest)))
    if order_knob(guest) is None:
        knob = [("without a knob nothing is written", lambda: check_no_knob(guest))]
    for what, check in checks + knob:
        tap.check(f"{name}: {what}", check)


def files(static: Path = STATIC) -> dict[str, Path]:
    """What every guest gets."""
    return {f"/bin/{name}": static / name for name in PROGRAMS}


def fetch(name: str, fetched: list[Kernel]) -> str:
    """Get a kernel; one that Debian does not offer at the moment is skipped, loudly."""
    try:
        kernel = kernels.fetch(name)
    except KernelError as error:
        raise Skip(f"Linux {name} was not tested: {error}") from error
    fetched.append(kernel)
    return kernel.version


def run_kernel(tap: Tap, kernel: Kernel) -> None:
    """All guests of one kernel."""
    name = kernel.name
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files(), programs=[STRACE]) as guest:
        run_reporting(tap, name, guest)
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files(), balloon=None) as guest:
        tap.check(f"{name}: no balloon", lambda: check_cannot_report(guest, "no balloon device"))
    with Guest(kernel, memory_mib=MEMORY_MIB, files=files(), balloon="no-reporting") as guest:
        tap.check(f"{name}: balloon without reporting",
                  lambda: check_cannot_report(guest, "does not offer free page reporting"))


def run_all(names: Sequence[str], run: Callable[[Tap, Kernel], None]) -> int:
    """Fetch the kernels and carry out `run` with each; the exit status of the program."""
    tap = Tap()
    fetched: list[Kernel] = []
    for name in names:  # one after the other: apt's folders are shared
        tap.check(f"{name}: kernel", partial(fetch, name, fetched))
    with ThreadPoolExecutor(GUESTS_AT_ONCE) as pool:
        for kernel in fetched:
            pool.submit(tap.check, f"{kernel.name}: guests run", partial(run, tap, kernel))
    return tap.finish()


if __name__ == "__main__":
    sys.exit(run_all(sys.argv[1:] or NAMES, run_kernel))
