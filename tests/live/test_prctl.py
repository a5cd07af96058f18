# SPDX-License-Identifier: GPL-2.0-only
"""System calls: no prctl(2), by no library either, and nothing written by who only looks.

sluiced runs for a minute under strace, in both modes that must not act, with a reload in it.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from daemon import SLUICE, Daemon, config, require_root, wait_for  # noqa: E402
from tap import Skip, Tap  # noqa: E402

# -D: what is traced keeps the process id that it was started with, and its parent
STRACE = ["strace", "-D", "-f", "-y", "-q", "-s", "256", "-o"]
MINUTE = 60.0
CLIENT_SECONDS = 120.0
MODES = {"observe": "", "dry-run": 'threshold = { start = "4KiB"; stop = "0"; min_age = "0"; '
                                   'cooldown = "0"; };'}

CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", re.MULTILINE)
OPEN = re.compile(r'\b(?:open|openat|openat2|creat)\((?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"'
                  r'(.*)')
END = re.compile(r"^\d+ +\+\+\+ (?:exited|killed)", re.MULTILINE)
FOR_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
SOCKET = re.compile(r"\bsocket(?:pair)?\((\w+)")
WRITE = re.compile(r"\b(?:p?write(?:v|64|v2)?|ftruncate|sendfile)\(\d+<([^>]*)>")
# other ways to change the machine, or to become more than one process
FORBIDDEN = ("prctl", "_sysctl", "mount", "umount2", "init_module", "finit_module",
             "delete_module", "ptrace", "reboot", "clone", "clone3", "fork", "vfork", "setns",
             "unshare", "process_madvise", "swapon", "swapoff")


@dataclass
class Trace:
    """What strace saw."""

    text: str
    folder: str  # the only place that may be written to

    def calls(self) -> Counter[str]:
        """How often each system call was entered, by name."""
        return Counter(name for name in CALL.findall(self.text) if not name.isdigit())

    def written(self) -> set[str]:
        """Paths that were opened, or tried, for writing, and those that were written to."""
        found = {path for path in WRITE.findall(self.text) if path.startswith("/")}
        for folder, path, rest in OPEN.findall(self.text):
            if FOR_WRITING.search(rest):
                found.add(path if path.startswith("/") else f"{folder.rstrip('/')}/{path}")
        return found

    def families(self) -> set[str]:
        """Address families of its sockets."""
        return set(SOCKET.findall(self.text))


def read_trace(path: Path, folder: Path) -> Trace:
    """A whole trace: strace writes on for a moment when the program has ended."""
    text = wait_for(lambda: ended_trace(path), f"the end of '{path}'")
    return Trace(text, str(folder))


def ended_trace(path: Path) -> str:
    """The trace, empty as long as the program has not ended in it."""
    text = path.read_text(errors="replace")
    return text if END.search(text) else ""


def require_strace() -> None:
    """Skip if system calls can't be watched here."""
    require_root()
    try:
        done = subprocess.run([*STRACE, "/dev/null", "true"], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)
    except FileNotFoundError as error:
        raise Skip(f"strace is not installed: {error}") from error
    if done.returncode != 0:
        raise Skip(f"strace is not permitted here: {done.stderr.strip()}")


@contextlib.contextmanager
def traced(mode: str, top: Path) -> Iterator[Daemon]:
    """A daemon under strace, whose trace goes to `top`."""
    folder = top / mode
    folder.mkdir()
    with Daemon(config(mode, interval="1s", more=MODES[mode] + 'full_interval = "10s";'),
                folder=folder, prefix=[*STRACE, str(top / f"{mode}.trace")]) as daemon:
        yield daemon


def record(top: Path) -> dict[str, Trace]:
    """The traces of a start, a minute, a reload and an end, in both modes at the same time."""
    require_strace()
    with traced("observe", top) as observing, traced("dry-run", top) as dry:
        time.sleep(MINUTE)
        for mode, daemon in (("observe", observing), ("dry-run", dry)):
            daemon.reload(config(mode, interval="500ms", more=MODES[mode]))
            wait_for(lambda daemon=daemon: "reloaded" in daemon.log(), "reload")
            daemon.wait_ticks(2)
            daemon.hist()
            assert daemon.stop() == 0, daemon.log()
    return {mode: read_trace(top / f"{mode}.trace", top / mode) for mode in MODES}


def trace_client(top: Path, command: str) -> Trace:
    """The trace of the client alone, without a daemon."""
    require_strace()
    path = top / f"{command}.trace"
    subprocess.run([*STRACE, str(path), str(SLUICE), "--runtime-dir", str(top / "none"), command],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=CLIENT_SECONDS,
                   check=True)
    return read_trace(path, top / "none")


def check_sight(top: Path) -> None:
    """The same look at a program that does what sluiced must not does find it."""
    require_strace()
    path, target = top / "sight.trace", top / "elsewhere"
    program = ("import ctypes, socket; libc = ctypes.CDLL(None); libc.prctl(16, bytes(16)); "
               f"open({str(target)!r}, 'w').write('x'); socket.socket(socket.AF_INET).close()")
    subprocess.run([*STRACE, str(path), sys.executable, "-c", program], stdin=subprocess.DEVNULL,
                   timeout=CLIENT_SECONDS, check=True)
    trace = read_trace(path, top / "none")
    assert trace.calls()["prctl"] == 1, "prctl"
    assert str(target) in trace.written(), sorted(trace.written())
    assert "AF_INET" in trace.families(), trace.families()


def assert_quiet(trace: Trace, sockets: set[str]) -> str:
    """No prctl, nothing written outside of its folder, no other sockets than these."""
    calls = trace.calls()
    found = {name: calls[name] for name in FORBIDDEN if calls[name]}
    assert not found, f"system calls {found}"
    outside = {path for path in trace.written() - {"/dev/null"}
               if not path.startswith(trace.folder)}
    assert not outside, f"written: {sorted(outside)}"
    assert trace.families() <= sockets, f"sockets {trace.families()}"
    assert "PACKET_RX_RING" not in trace.text, "a kick"
    return f"{calls.total()} system calls of {len(calls)} kinds"


def check_daemon(traces: dict[str, Trace], mode: str) -> str:
    """The daemon in one mode; first that the trace shows what must be there."""
    if mode not in traces:
        raise Skip("there is no trace, see above")
    trace = traces[mode]
    calls = trace.calls()
    for name in ("execve", "openat", "capset", "flock", "epoll_wait", "sendto"):
        assert calls[name], f"the trace lacks {name}: it does not show the daemon"
    assert calls["execve"] == 1
    assert trace.text.count(f'"{trace.folder}/sluice.conf"') >= 2, "no reload in the trace"
    assert any(path.endswith("/run/lock") for path in trace.written()), "no lock in the trace"
    return assert_quiet(trace, {"AF_UNIX"})


def main() -> int:
    tap = Tap()
    traces: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as name:
        top = Path(name)
        top.chmod(0o755)
        checks: list[tuple[str, Callable[[], object]]] = [
            ("a minute of sluiced under strace", lambda: traces.update(record(top))),
            ("mode observe: no prctl, no write, no packet socket",
             partial(check_daemon, traces, "observe")),
            ("mode dry-run: no prctl, no write, no packet socket",
             partial(check_daemon, traces, "dry-run")),
            ("the look at the traces misses nothing", partial(check_sight, top)),
            ("client alone, hist: the same",
             lambda: assert_quiet(trace_client(top, "hist"), {"AF_UNIX"})),
            ("client alone, probe: the same, but for a packet socket without a ring",
             lambda: assert_quiet(trace_client(top, "probe"), {"AF_UNIX", "AF_PACKET"})),
        ]
        for what, check in checks:
            tap.check(what, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
