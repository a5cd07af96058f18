# SPDX-License-Identifier: GPL-2.0-only
"""How sluiced starts, answers, reloads and ends, and what it keeps open, as long as it observes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from daemon import (SLUICED, Daemon, as_nobody, config, observing_config,  # noqa: E402
                    read_all, require_bpf, require_root, run_as_nobody, wait_for)
from tap import Tap  # noqa: E402

RSS_LIMIT_KIB = 8 * 1024
MAX_REQUEST = 4096  # CONTROL_MAX_REQUEST
MAX_CONNECTIONS = 8  # src/daemon/control.c
IDLE_SECONDS = 5  # after which a silent connection may be replaced
REQUESTS = 200
# include/uapi/linux/capability.h
CAPABILITIES = {13: "CAP_NET_RAW", 38: "CAP_PERFMON", 39: "CAP_BPF"}
if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 2):
    CAPABILITIES[21] = "CAP_SYS_ADMIN"  # src/daemon/privileges.c
ORDER = Path("/sys/module/page_reporting/parameters/page_reporting_order")

STATUS_LINE = b'{"request":"status"}\n'


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that outlives a daemon."""
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as name:
        yield Path(name)


def process_status(pid: int) -> dict[str, str]:
    """Fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def descriptors(pid: int) -> list[str]:
    """What the open descriptors of a process are."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return sorted(found)


def check_guard() -> None:
    """No test can start a daemon that controls this machine, not by mistake either."""
    for text in ("", 'mode = "control";\n', 'interval = "1s";\n', '# mode = "observe";\n',
                 'mode = "observe"; mode = "control";\n', 'mode = "observe";\nmode = "control";',
                 'mode = "observe";\n@include "other.conf"\n', 'Mode = "observe";\n'):
        try:
            observing_config(text)
        except AssertionError:
            continue
        raise RuntimeError(f"{text!r} was let through")
    for mode in ("observe", "dry-run"):
        observing_config(f'mode = "{mode}";\ninterval = "1s";\n')


# --- start and end -------------------------------------------------------------------------------

def check_start_stop() -> None:
    """It starts, says so, answers, and ends with status 0 on either signal, leaving no socket."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with Daemon(config()) as daemon:
            status = daemon.status()
            assert status["version"] == 1 and status["mode"] == "observe", status
            assert status["pid"] == daemon.pid
            assert status["decision"]["action"] == "leave", status["decision"]
            assert "sluiced " in daemon.log() and "mode observe" in daemon.log(), daemon.log()
            assert (daemon.runtime / "lock").read_text() == f"{daemon.pid}\n"
            assert daemon.stop(number) == 0, daemon.log()
            assert not daemon.socket_path.exists(), "the socket is still there"
            assert not (daemon.runtime / "journal").exists(), "a journal, without control"


def check_second_instance() -> None:
    """A second daemon in the same runtime directory says why it can't run; the first goes on."""
    with temporary_folder() as folder, Daemon(config(), folder=folder) as first:
        second = Daemon(config(), folder=folder)
        second.start()
        assert second.process is not None
        assert second.process.wait(30) == 1, "exit status"
        assert "sluiced is running already" in first.log(), first.log()
        assert first.status()["pid"] == first.pid
        assert (first.runtime / "lock").read_text() == f"{first.pid}\n", "the lock's pid"
        first.wait_ticks(2)


def check_stale_files() -> None:
    """kill -9 leaves socket and lock; the next start does not mind, nor does the client."""
    with temporary_folder() as folder:
        with Daemon(config(), folder=folder) as killed:
            assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
            assert killed.socket_path.exists() and (killed.runtime / "lock").exists()
            client = killed.client("status")
            assert client.returncode == 1 and "not running" in client.stderr, client
        with Daemon(config(), folder=folder) as daemon:
            daemon.wait_ticks(1)
            assert daemon.stop() == 0


def check_signals_at_start() -> None:
    """Signals that come while it is starting are taken once it has: SIGHUP does not kill it."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        with temporary_folder() as folder:
            daemon = Daemon(config(), folder=folder)
            daemon.start()
            try:
                wait_for((daemon.runtime / "lock").exists, "the lock", interval=0.001)
                os.kill(daemon.pid, number)
                if number == signal.SIGHUP:
                    daemon.wait_decision()
                    wait_for(lambda: "reloaded" in daemon.log(), "reload")
                    daemon.stop()
                assert daemon.process is not None
                assert daemon.process.wait(30) == 0, daemon.log()
            finally:
                daemon.close()


def check_long_path() -> None:
    """A runtime directory whose name is too long is refused before anything is made there."""
    with temporary_folder() as folder:
        daemon = Daemon(config(), folder=folder)
        daemon.runtime = folder / ("x" * (252 - len(str(folder))))
        daemon.runtime.mkdir()
        daemon.start()
        assert daemon.process is not None
        assert daemon.process.wait(30) == 1 and "too long" in daemon.log(), daemon.log()
        names = {path.name for path in folder.rglob("*")}
        assert names == {"sluice.conf", "log", daemon.runtime.name}, f"it made files: {names}"


def check_usage() -> None:
    """Wrong options and arguments: status 2 and a hint.  As nobody, who could start nothing."""
    for arguments, said in ((["--wrong"], "Try sluiced --help"),
                            (["--config"], "Try sluiced --help"),
                            (["--mode=observe"], "Try sluiced --help"),
                            (["argument"], 'unexpected argument "argument"')):
        done = run_as_nobody(SLUICED, *arguments)
        assert done.returncode == 2, f"{arguments}: {done}"
        assert said in done.stderr and not done.stdout, f"{arguments}: {done}"
    for argument, said in (("--help", "Usage: sluiced"), ("--version", "sluiced ")):
        done = run_as_nobody(SLUICED, argument)
        assert done.returncode == 0 and said in done.stdout and not done.stderr, done
    wide = [line for line in run_as_nobody(SLUICED, "--help").stdout.splitlines() if len(line) > 80]
    assert not wide, "\n".join(wide)


def check_bad_start() -> None:
    """A configuration that is missing or wrong: status 1, every error with file and line."""
    done = run_as_nobody(SLUICED, "--config", "/nonexistent/sluice.conf")
    assert done.returncode == 1 and "/nonexistent/sluice.conf" in done.stderr, done
    assert "needs root" not in done.stderr, f"the file was not missed: {done}"
    with temporary_folder() as folder:
        daemon = Daemon(observing_config('mode = "observe";\nintervall = "1s";\n'
                                         'threshold = { start = "12"; };\n'), folder=folder)
        daemon.start()
        assert daemon.process is not None
        assert daemon.process.wait(30) == 1
        for line in (f"{daemon.config_path}:2: intervall:", f"{daemon.config_path}:3: threshold."):
            assert line in daemon.log(), daemon.log()
        assert not daemon.socket_path.exists()


def check_not_root() -> None:
    """Without root it says what it needs, and for what."""
    with temporary_folder() as folder:
        folder.chmod(0o755)
        path = folder / "sluice.conf"
        path.write_text(config())
        path.chmod(0o644)
        done = run_as_nobody(SLUICED, "--config", str(path), "--runtime-dir", str(folder / "run"))
    assert done.returncode == 1 and "needs root" in done.stderr, done


def check_dry_run() -> None:
    """dry-run decides and says what it would do; the order knob keeps its value."""
    before = ORDER.read_text() if ORDER.exists() else None
    with Daemon(config("dry-run", more='threshold = { start = "4KiB"; stop = "0"; '
                                       'min_age = "0"; cooldown = "0"; };')) as daemon:
        daemon.wait_ticks(5)
        status = daemon.status()
        assert status["mode"] == "dry-run" and status["tally"]["kicks"] == 0, status
        assert status["control"]["order_to_restore"] is None, status["control"]
        assert "would " in daemon.log(), daemon.log()
        assert not (daemon.runtime / "journal").exists()
        assert daemon.stop() == 0
    assert (ORDER.read_text() if ORDER.exists() else None) == before, "the order changed"


def check_journal_prefix() -> None:
    """Lines for the journal carry their priority, others do not."""
    with temporary_folder() as folder:
        log = folder / "log"
        log.touch()
        found = log.stat()
        stream = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        with Daemon(config(), folder=folder, env=stream) as daemon:
            daemon.wait_ticks(1)
            daemon.stop()
            lines = daemon.log().splitlines()
    assert lines and all(re.match("<[3467]>", line) for line in lines), lines


def check_lost_log() -> None:
    """Whoever read the log is gone: that ends no daemon, which might hold a knob."""
    ends = os.pipe()
    with open(ends[0], "rb") as reader, open(ends[1], "wb") as writer:
        with Daemon(config(), stderr=writer.fileno()) as daemon:
            writer.close()
            reader.close()
            daemon.wait_ticks(3)
            assert daemon.alive() and daemon.stop() == 0


# --- service manager -----------------------------------------------------------------------------

class Manager:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.name = "@" + address[1:] if address.startswith("\0") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self.messages: list[tuple[float, str]] = []

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def receive(self, seconds: float) -> None:
        """Take what comes for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                return
            self.messages.append((time.monotonic(), text))

    def wait(self, start: str, after: int = 0, timeout: float = 60) -> int:
        """Wait for a message that starts so, at an index of at least `after`; its index."""
        until = time.monotonic() + timeout
        while True:
            for index, (_, text) in enumerate(self.messages):
                if index >= after and text.startswith(start):
                    return index
            if time.monotonic() > until:
                raise TimeoutError(f"no {start!r} in {self.messages[after:]}")
            self.receive(0.1)


@contextlib.contextmanager
def managed(address: str = "", **env: str) -> Iterator[tuple[Daemon, Manager]]:
    """A daemon below a service manager whose socket has a path, or the given address."""
    require_root()
    with temporary_folder() as folder:
        manager = Manager(address or str(folder / "notify"))
        with contextlib.closing(manager):
            with Daemon(config(), folder=folder, env={"NOTIFY_SOCKET": manager.name,
                                                      **env}) as daemon:
                yield daemon, manager


def check_notify(abstract: bool) -> str:
    """READY, STATUS, RELOADING with its time, READY again, STOPPING: as sd_notify(3) has it."""
    name = f"\0sluice-live-{os.getpid()}" if abstract else ""
    with managed(name) as (daemon, manager):
        ready = manager.wait("READY=1")
        assert ready == 0, f"{manager.messages[0]} came before READY=1"
        status = manager.wait("STATUS=")
        started = time.monotonic()
        daemon.reload(config(interval="300ms"))
        reloading = manager.wait("RELOADING=1")
        again = manager.wait("READY=1", reloading)
        first, _, second = manager.messages[reloading][1].partition("\n")
        stamp = re.fullmatch(r"MONOTONIC_USEC=(\d+)", second)
        assert first == "RELOADING=1" and stamp, manager.messages[reloading]
        assert started <= int(stamp[1]) / 1e6 + 1e-5 <= time.monotonic(), stamp[0]
        manager.wait("STATUS=", again)
        assert daemon.stop() == 0
        manager.wait("STOPPING=1", again)
        known = ("READY=1", "STATUS=", "RELOADING=1\n", "STOPPING=1")
        odd = [text for _, text in manager.messages if not text.startswith(known)]
        assert not odd, odd
        return manager.messages[status][1]


def check_watchdog() -> str:
    """WATCHDOG=1 comes twice per period of $WATCHDOG_USEC, but for another $WATCHDOG_PID never."""
    seconds = 3.0
    with managed(WATCHDOG_USEC="600000") as (_, manager):
        first = manager.wait("WATCHDOG=1")
        manager.receive(seconds)
        times = [moment for moment, text in manager.messages[first:] if text == "WATCHDOG=1"]
    assert len(times) >= 5, f"{len(times)} in {seconds} s"
    with managed(WATCHDOG_USEC="200000", WATCHDOG_PID="1") as (_, manager):
        manager.wait("STATUS=")
        manager.receive(1)
        assert not any(text == "WATCHDOG=1" for _, text in manager.messages), manager.messages
    gaps = [later - sooner for sooner, later in zip(times, times[1:])]
    return f"{len(times)} in {seconds:g} s, every {min(gaps):.2f} to {max(gaps):.2f} s"


def check_deaf_manager() -> None:
    """A service manager that does not read, or is gone, does not stop the daemon."""
    with managed(WATCHDOG_USEC="40000") as (daemon, manager):
        require_bpf(daemon)
        # a datagram socket takes net.unix.max_dgram_qlen messages, 10 by default
        wait_for(lambda: daemon.log().count("leave: ") > 40, "decisions", 20)
        manager.close()
        daemon.wait_ticks(5)
        assert daemon.stop() == 0


# --- control socket ------------------------------------------------------------------------------

def check_socket_mode() -> None:
    """The socket belongs to root, and others can't use it."""
    with Daemon(config()) as daemon:
        found = daemon.socket_path.stat()
        assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660, found
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid()), found


GARBAGE = (b"\n", b"status\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b'["status"]\n',
           b'{"request":1}\n', b'{"request":null}\n', b'{"request":"status"\n',
           b'{"request":"status","request":"hist"}\n', b'{"request":"sta\0tus"}\n',
           b'{"request":"STATUS"}\n', b'{"request":" status"}\n', b'{"request":"\\ud800"}\n',
           b"\0\0\0\n", b"\xff\xfe\n", b"[" * 4000 + b"\n", b'{"a":' * 700 + b"\n",
           b"%n%n%s\n", b'{"request":"%n%s"}\n', b'{"request":"' + b"x" * 4000 + b'"}\n',
           b"GET / HTTP/1.1\r\n\r\n")


def check_garbage() -> None:
    """Whatever is no request is answered with an error in JSON, and the daemon goes on."""
    with Daemon(config()) as daemon:
        for line in GARBAGE:
            answer = json.loads(daemon.send(line))
            assert answer["version"] == 1 and answer["error"], f"{line[:60]!r}: {answer}"
        answer = json.loads(daemon.send(STATUS_LINE + b"garbage\n"))
        assert answer["pid"] == daemon.pid, "a line behind the first"
        padded = b'{"request":"status"'.ljust(MAX_REQUEST - 2) + b"}\n"
        assert json.loads(daemon.send(padded))["pid"] == daemon.pid, "the longest request"
        daemon.wait_ticks(2)


def check_oversize() -> None:
    """A line that is too long ends the connection, and not the daemon."""
    with Daemon(config()) as daemon:
        for size in (MAX_REQUEST, MAX_REQUEST + 1, 1 << 20):
            with daemon.connect() as connection:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(b"x" * size)
                answer = read_all(connection)
            assert not answer or "error" in json.loads(answer), f"{size}: {answer[:80]!r}"
        daemon.wait_ticks(2)


def check_half_lines() -> str:
    """Clients that send half a line and fall silent: sluiced goes on deciding, and once they have
    idled too long they make room for others."""
    with Daemon(config()) as daemon:
        require_bpf(daemon)
        ticks = daemon.status()["tally"]["ticks"]
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(daemon.connect()) for _ in range(MAX_CONNECTIONS)]
            for connection in silent:
                connection.sendall(b'{"request":')
            started = time.monotonic()
            client = daemon.client("status")
            assert client.returncode == 0 or "busy" in client.stderr, client
            status = wait_for(lambda: status_or_none(daemon), "room for another client",
                              IDLE_SECONDS + 25)
            waited = time.monotonic() - started
            assert status["tally"]["ticks"] - ticks >= min(waited / 0.2, 20) / 4, (ticks, status)
            # the first of them had to go, the last may still end its request
            assert read_all(silent[0]) == b""
            silent[-1].sendall(b'"status"}\n')
            assert json.loads(read_all(silent[-1]))["pid"] == daemon.pid
    return f"{MAX_CONNECTIONS} silent clients kept another one out for {waited:.1f} s"


def status_or_none(daemon: Daemon) -> dict[str, Any] | None:
    """The status, None if the daemon is busy with others."""
    try:
        answer = daemon.send(STATUS_LINE)
    except (BrokenPipeError, ConnectionResetError):
        return None
    return json.loads(answer) if answer else None


def check_slow_line() -> None:
    """A request that comes byte by byte is a request."""
    with Daemon(config()) as daemon, daemon.connect() as connection:
        for byte in STATUS_LINE:
            connection.sendall(bytes([byte]))
            time.sleep(0.005)
        assert json.loads(read_all(connection))["pid"] == daemon.pid


def check_many_clients() -> str:
    """Fifty at once: each is answered or turned away, and nothing is left open."""
    with Daemon(config()) as daemon:
        before = descriptors(daemon.pid)
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: status_or_none(daemon), range(50)))
        answered = sum(answer is not None for answer in answers)
        assert answered >= MAX_CONNECTIONS, f"{answered} of 50"
        wait_for(lambda: descriptors(daemon.pid) == before, "the end of all connections")
        daemon.wait_ticks(2)
    return f"{answered} of 50 were answered, the others turned away"


def check_deaf_clients() -> None:
    """Clients that never read, or leave in the middle, hold nobody up."""
    with Daemon(config()) as daemon, contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            connection = stack.enter_context(daemon.connect())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.sendall(b'{"request":"hist"}\n')
        daemon.wait_ticks(3)
        for _ in range(2 * MAX_CONNECTIONS):
            with daemon.connect() as connection:
                connection.sendall(b'{"request":"hist"}\n')
        wait_for(lambda: status_or_none(daemon), "an answer")
        assert daemon.alive()


def check_unprivileged() -> None:
    """Others are kept out by the socket's mode; where the administrator opens it, looking is
    allowed, and what acts is root's alone."""
    with Daemon(config()) as daemon:
        daemon.runtime.chmod(0o755)
        answer = as_nobody(lambda: daemon.status()["pid"])
        assert "PermissionError" in answer["raised"], answer
        daemon.socket_path.chmod(0o666)
        assert as_nobody(lambda: daemon.status()["pid"]) == daemon.pid
        assert as_nobody(lambda: daemon.ask("drain-status"))["drain"] == "none"
        for request in ("kick", "restore", "drain", "drain-stop"):
            answer = as_nobody(lambda request=request: daemon.ask(request))
            assert "root" in answer["error"], f"{request}: {answer}"
        assert "on request" not in daemon.log(), daemon.log()


def check_kick_refused() -> None:
    """Who observes does not kick, not even for root, and says why."""
    for mode in ("observe", "dry-run"):
        with Daemon(config(mode)) as daemon:
            answer = daemon.ask("kick")
            assert 'mode is not "control"' in answer["error"], answer
            assert daemon.status()["tally"]["kicks"] == 0


def check_drain_refused() -> None:
    """Nor does it drain; and what is wrong with a request is said, whatever the mode."""
    wrong = {"order": (-1, 16, 9.5, "9", None), "timeout_ms": (0, -1, 86400001, "1s", 2.5),
             "prepare": (1, "yes", None)}
    for mode in ("observe", "dry-run"):
        with Daemon(config(mode) + "order = { floor = 4; };\n") as daemon:
            def ask(**members: Any) -> dict[str, Any]:
                line = json.dumps({"request": "drain", **members})
                return json.loads(daemon.send(line.encode() + b"\n"))

            assert 'mode is not "control"' in ask()["error"], ask()
            assert 'mode is not "control"' in ask(timeout_ms=1, prepare=True)["error"]
            for name, values in wrong.items():
                for value in values:
                    error = ask(**{name: value})["error"]
                    assert f'"{name}"' in error, f"{name} {value}: {error}"
            assert "order 3" in ask(order=3)["error"], ask(order=3)
            assert daemon.ask("drain-status") == {"version": 1, "drain": "none"}
            assert daemon.ask("drain-stop") == {"version": 1, "drain": "none"}
            daemon.wait_ticks(1)
            assert daemon.status()["decision"]["stage"] is None
            assert daemon.status()["tally"]["kicks"] == 0


# --- reload --------------------------------------------------------------------------------------

def check_reload_errors() -> None:
    """A file with errors: all of them are logged with file and line, and nothing changes."""
    bad = ('mode = "observe";\ninterval = "5 apples";\nstrategie = "kernel";\n'
           'threshold = {\n  start = "1MiB";\n  stop = "2MiB";\n};\nlog_level = "loud";\n')
    with Daemon(config(interval="200ms")) as daemon:
        before = daemon.status()
        daemon.reload(bad)
        wait_for(lambda: "reload refused" in daemon.log(), "refusal")
        for line, name in ((2, "interval"), (3, "strategie"), (6, "threshold.stop"),
                           (8, "log_level")):
            assert f"{daemon.config_path}:{line}: {name}:" in daemon.log(), daemon.log()
        daemon.wait_ticks(2)
        after = daemon.status()
        for key in ("mode", "strategy", "config", "pid"):
            assert after[key] == before[key], f"{key}: {before[key]} {after[key]}"
        daemon.write_config('mode = "observe";\ninterval = "1s\n')
        os.kill(daemon.pid, signal.SIGHUP)
        wait_for(lambda: daemon.log().count("reload refused") == 2, "refusal of bad syntax")
        daemon.config_path.unlink()
        os.kill(daemon.pid, signal.SIGHUP)
        wait_for(lambda: daemon.log().count("reload refused") == 3, "refusal without a file")
        assert daemon.stop() == 0


def check_reload() -> None:
    """A good file takes effect; what can't change before the next start is named."""
    with Daemon(config(interval="200ms", more='events = "lists";')) as daemon:
        level = daemon.status()["event_level"]
        daemon.reload(config("dry-run", interval="700ms",
                             more='events = "off";\nstrategy = "kernel";'))
        wait_for(lambda: "reloaded" in daemon.log(), "reload")
        status = daemon.status()
        assert (status["mode"], status["strategy"]) == ("dry-run", "kernel"), status
        assert status["interval_ms"] >= 700 and status["event_level"] == level, status
        assert "events takes effect at the next start" in daemon.log(), daemon.log()
        daemon.reload(config("observe"))
        wait_for(lambda: daemon.status()["mode"] == "observe", "the second reload")
        daemon.wait_ticks(2)


# --- what it keeps -------------------------------------------------------------------------------

def check_size() -> str:
    """Little memory and the same descriptors after many requests and reloads."""
    with Daemon(config(interval="100ms")) as daemon:
        require_bpf(daemon)
        daemon.hist()
        daemon.wait_ticks(5)
        before = descriptors(daemon.pid)
        early = int(process_status(daemon.pid)["VmRSS"].split()[0])
        for number in range(REQUESTS):
            daemon.ask("hist" if number % 4 == 0 else "status")
            if number % 40 == 0:
                daemon.reload(config(interval="100ms"))
        late = int(process_status(daemon.pid)["VmRSS"].split()[0])
        assert descriptors(daemon.pid) == before, f"{before}\n{descriptors(daemon.pid)}"
    assert late <= RSS_LIMIT_KIB, f"VmRSS is {late} KiB"
    return f"VmRSS {early} KiB, {late} KiB after {REQUESTS} requests; {len(before)} descriptors"


def check_process() -> str:
    """One thread, no terminal, and only the capabilities that it goes on to need."""
    with Daemon(config()) as daemon:
        found = process_status(daemon.pid)
        words = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        assert words[4] == "0", f"controlling terminal {words[4]}"
        assert os.listdir(f"/proc/{daemon.pid}/task") == [str(daemon.pid)]
    assert found["Threads"] == "1", found["Threads"]
    for which in ("CapEff", "CapPrm"):
        held = {bit for bit in range(64) if int(found[which], 16) >> bit & 1}
        assert held <= CAPABILITIES.keys(), f"{which}: {held - CAPABILITIES.keys()}"
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0, found
    return ", ".join(name for bit, name in CAPABILITIES.items()
                     if int(found["CapEff"], 16) >> bit & 1)


def check_sockets() -> str:
    """Its sockets are Unix sockets: nothing listens on a network, and no packets are read."""
    with Daemon(config()) as daemon:
        found = descriptors(daemon.pid)
        table = Path(f"/proc/{daemon.pid}/net/unix").read_text().splitlines()
    inodes = {line.split()[6] for line in table[1:]}
    sockets = [match[1] for name in found if (match := re.fullmatch(r"socket:\[(\d+)\]", name))]
    assert sockets, f"not even the control socket: {found}"
    others = [inode for inode in sockets if inode not in inodes]
    assert not others, f"sockets {others} are no Unix sockets"
    knobs = [name for name in found if name.startswith(("/sys/", "/proc/sys/"))]
    assert not knobs, f"open below /sys or /proc/sys: {knobs}"
    return f"{len(found)} descriptors, {len(sockets)} of them Unix sockets"


def main() -> int:
    tap = Tap()
    checks: list[tuple[str, Callable[[], object]]] = [
        ("no test can control this machine", check_guard),
        ("starts, answers, ends", check_start_stop),
        ("a second instance fails, the first goes on", check_second_instance),
        ("files left by kill -9 do not matter", check_stale_files),
        ("signals while it starts", check_signals_at_start),
        ("a runtime directory with a long name", check_long_path),
        ("wrong usage", check_usage),
        ("a missing or wrong configuration", check_bad_start),
        ("not root", check_not_root),
        ("dry-run changes nothing", check_dry_run),
        ("log lines for the journal", check_journal_prefix),
        ("a log that nobody reads", check_lost_log),
        ("sd_notify, socket with a path", lambda: check_notify(abstract=False)),
        ("sd_notify, abstract socket", lambda: check_notify(abstract=True)),
        ("watchdog", check_watchdog),
        ("a service manager that does not read", check_deaf_manager),
        ("control socket: mode", check_socket_mode),
        ("control socket: garbage", check_garbage),
        ("control socket: oversize", check_oversize),
        ("control socket: half a line, then silence", check_half_lines),
        ("control socket: byte by byte", check_slow_line),
        ("control socket: fifty at once", check_many_clients),
        ("control socket: clients that never read", check_deaf_clients),
        ("control socket: unprivileged users", check_unprivileged),
        ("kick is refused while observing", check_kick_refused),
        ("drain is refused while observing", check_drain_refused),
        ("reload with errors", check_reload_errors),
        ("reload", check_reload),
        ("memory and descriptors", check_size),
        ("threads, terminal, capabilities", check_process),
        ("sockets", check_sockets),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
