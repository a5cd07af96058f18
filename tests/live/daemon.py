# SPDX-License-Identifier: GPL-2.0-only
"""sluiced on this very machine, in a folder of its own, and only where it cannot do any harm.

    with Daemon(config()) as daemon:
        print(daemon.ask("status"))

Nothing here lets a daemon control anything: observing_config() refuses every other mode, and the
client's `kick`, which works without a daemon, is never run as root.  Kernels under test are the
business of tests/vm.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

TESTS = Path(__file__).absolute().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "vm")]

from process import die_with_parent  # noqa: E402
from tap import Skip  # noqa: E402

T = TypeVar("T")

REPOSITORY = TESTS.parent
BUILD = REPOSITORY / "build"
SLUICED = BUILD / "sluiced"
SLUICE = BUILD / "sluice"
NOBODY = 65534

START_SECONDS = 60.0  # loading BPF and three scans, on a machine that others keep busy
WAIT_SECONDS = 30.0
STOP_SECONDS = 30.0

MODE_LINE = re.compile(r'mode = "(observe|dry-run)";')
OTHER_MODE = re.compile(r"\bmode\b|@include")
# What a service manager around the tests may have set; a test that wants one of them sets it.
SERVICE_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")

# Without this, SIGTERM would end the tests before any `with` could clean up.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def observing_config(text: str) -> str:
    """The configuration itself; AssertionError unless a daemon that reads it writes nothing.

    The mode has to stand alone on the first line, since without one it is "control", and nothing
    behind that line may speak of it again.
    """
    first, _, rest = text.partition("\n")
    assert MODE_LINE.fullmatch(first), f"{first!r} names neither mode that writes nothing"
    assert not OTHER_MODE.search(rest), f"a second mode, or a file with one, in {rest!r}"
    return text


def config(mode: str = "observe", interval: str = "200ms", more: str = "") -> str:
    """A configuration that looks often and logs everything; `more` is appended."""
    return observing_config(f'mode = "{mode}";\ninterval = "{interval}";\n'
                            f'log_level = "debug";\n{more}\n')


def require_root() -> None:
    """Skip what needs root."""
    if os.geteuid() != 0:
        raise Skip("not root: sluiced can be started by root only")


def wait_for(predicate: Callable[[], T | None], what: str, timeout: float = WAIT_SECONDS,
             interval: float = 0.05) -> T:
    """Poll until `predicate` returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s, last value {value!r}")
        time.sleep(interval)
    return value


def plain_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without a service manager's, and `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in SERVICE_VARIABLES}
    return {**kept, "LC_ALL": "C.UTF-8", **(more or {})}


def as_nobody(function: Callable[[], Any]) -> Any:
    """What `function` returns (as JSON has it) in a child of this process without privileges."""
    require_root()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            text = json.dumps(function())
        except BaseException as error:  # pylint: disable=broad-except  # the parent must hear it
            text = json.dumps({"raised": repr(error)})
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def run_as_nobody(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of one of our programs without privileges: the build may lie in a locked folder.

    A daemon could not even start like this, and a client could not kick.
    """
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as folder:
        Path(folder).chmod(0o755)
        copy = shutil.copy(program, folder)
        return subprocess.run([copy, *arguments], text=True, capture_output=True, cwd="/",
                              stdin=subprocess.DEVNULL, timeout=WAIT_SECONDS, check=False,
                              env=plain_environment(), user=NOBODY if root else None,
                              group=NOBODY if root else None, extra_groups=[] if root else None)


class Daemon:
    """A daemon that runs from `with` (or start()) until the end of the block (or stop()).

    `folder`, if given, stays; it holds the configuration, the log and the runtime directory.
    `prefix` is a command that becomes the daemon, whose command line is appended; `stderr` replaces
    the log.
    """

    def __init__(self, text: str, *, folder: Path | None = None,
                 env: Mapping[str, str] | None = None, prefix: Sequence[str] = (),
                 stderr: int | None = None) -> None:
        self._temporary = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sluice-live-")
            folder = Path(self._temporary.name)
        folder.chmod(0o755)
        self.folder = folder
        self.runtime = folder / "run"
        self.socket_path = self.runtime / "control"
        self.config_path = folder / "sluice.conf"
        self.log_path = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._env = plain_environment(env)
        self._prefix = list(prefix)
        self._stderr = stderr
        self.write_config(text)

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_decision()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"log of sluiced:\n{self.log()[-4000:]}")
        self.close()

    def start(self) -> None:
        """Start the program without waiting for it."""
        require_root()
        observing_config(self.config_path.read_text())
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, str(SLUICED), "--config", str(self.config_path),
                 "--runtime-dir", str(self.runtime)],
                stdin=subprocess.DEVNULL, stdout=log, env=self._env, cwd="/",
                stderr=log if self._stderr is None else self._stderr,
                start_new_session=True, preexec_fn=die_with_parent())

    def wait_decision(self) -> None:
        """Wait until the daemon answers and has looked once."""
        wait_for(self._has_decided, "a first decision of sluiced", START_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon; the exit status, or minus the signal that it died of."""
        assert self.process is not None, "the daemon was not started"
        if self.process.poll() is None:
            os.kill(self.pid, number)
        return self.process.wait(STOP_SECONDS)

    def close(self) -> None:
        """End the daemon, by force if need be, and remove the folder unless it was given."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self.process is not None, "the daemon was not started"
        return self.process.pid

    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process is not None and self.process.poll() is None

    def write_config(self, text: str) -> None:
        """Replace the configuration file at once: a daemon may be about to read it."""
        new = self.config_path.with_suffix(".new")
        new.write_text(observing_config(text))
        new.replace(self.config_path)

    def write_arm(self, name: str, text: str) -> str:
        """Path of a configuration for an arm of an experiment; it controls nothing either."""
        path = self.folder / f"{name}.conf"
        path.write_text(observing_config(text))
        return str(path)

    def reload(self, text: str) -> None:
        """Replace the configuration and tell the daemon."""
        self.write_config(text)
        os.kill(self.pid, signal.SIGHUP)

    def log(self) -> str:
        """All that it has logged so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def connect(self, timeout: float = WAIT_SECONDS) -> socket.socket:
        """A connection to the control socket; waits while the daemon's queue is full."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        deadline = time.monotonic() + timeout
        try:
            while (code := connection.connect_ex(str(self.socket_path))) == errno.EAGAIN:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"sluiced takes no connection within {timeout:g} s")
                time.sleep(0.01)
            if code in (errno.ECONNREFUSED, errno.ENOENT) and not self.alive():
                raise RuntimeError("sluiced has ended" if self.process is None else
                                   f"sluiced has ended: status {self.process.returncode}")
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            connection.close()
            raise
        return connection

    def send(self, data: bytes, timeout: float = WAIT_SECONDS) -> bytes:
        """Send anything at all, then read until the daemon closes."""
        with self.connect(timeout) as connection:
            connection.sendall(data)
            return read_all(connection)

    def ask(self, request: str, **members: Any) -> dict[str, Any]:
        """The answer to one request; the daemon's errors are answers like others."""
        line = json.dumps({"request": request, **members})
        return json.loads(self.send(line.encode() + b"\n"))

    def status(self) -> dict[str, Any]:
        """Answer to "status"."""
        return self.ask("status")

    def hist(self) -> dict[str, Any]:
        """Answer to "hist"."""
        return self.ask("hist")

    def wait_ticks(self, more: int) -> None:
        """Wait for a number of further decisions."""
        until = self.status()["tally"]["ticks"] + more
        wait_for(lambda: self.status()["tally"]["ticks"] >= until, f"{more} further decisions")

    def client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the client as the user that we are."""
        return run_client(self.runtime, *arguments)

    def _has_decided(self) -> bool:
        if not self.alive():
            raise RuntimeError(f"sluiced ended while it was starting:\n{self.log()}")
        try:
            return self.status()["decision"]["age_ms"] is not None
        except (FileNotFoundError, ConnectionError):
            return False


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the other side closes; a reset is an end too."""
    data = bytearray()
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return bytes(data)


def run_client(runtime: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client; never a kick, which it would give by itself if it found no daemon."""
    assert "kick" not in arguments, "a kick would be a real one without a daemon"
    return subprocess.run([str(SLUICE), "--runtime-dir", str(runtime), *arguments], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, env=plain_environment(),
                          start_new_session=True, timeout=2 * WAIT_SECONDS, check=False)


def require_bpf(daemon: Daemon) -> None:
    """Skip what only the BPF scan can show, or what takes many looks: others cost so much that
    sluiced looks every few seconds only, whatever its interval."""
    status = daemon.status()
    if status["source"] != "bpf":
        raise Skip(f"no BPF scan here: {' '.join(status['notes'])}")
