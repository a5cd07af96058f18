# SPDX-License-Identifier: GPL-2.0-only
"""Every test of the project, one step after the other.

    python3 tests/check.py [--all] [STEP...]

The guests mostly wait, so they run beside the other steps; what they print is held back until it
can be shown in one piece.  Skips and failures are repeated at the end, and the last line counts.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).absolute().parents[1]
JOBS = "-j2"

BUILD_SECONDS = 900
TEST_SECONDS = 600
VM_SECONDS = 3000

OUTCOME = re.compile(r"(not )?ok\b *\d*(?: +-)? *(.*)")
SKIP = re.compile(r"(.*?) *# *SKIP\b *(.*)", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+) *(?:# *SKIP\b *(.*))?", re.IGNORECASE)

# Leaks, reads behind the end of strings and uses after a return fail a unit test.
SANITIZERS = {
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:"
                    "check_initialization_order=1:allocator_may_return_null=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}

INSTALLED = {
    "usr/local/sbin/sluiced": 0o755,
    "usr/local/bin/sluice": 0o755,
    "usr/local/share/man/man1/sluice.1": 0o644,
    "usr/local/share/man/man8/sluiced.8": 0o644,
    "usr/local/share/man/man5/sluice.conf.5": 0o644,
    "usr/local/lib/systemd/system/sluiced.service": 0o644,
    "etc/sluice/sluice.conf": 0o644,
}
INSTALLED |= {f"usr/local/share/sluice/strategies/{path.name}": 0o644
              for path in (REPOSITORY / "configs" / "strategies").glob("*.conf")}
CONFIG = "etc/sluice/sluice.conf"
GROUP_PAGES = ("guards", "prepare")  # of options that belong to no strategy
UNIT = "usr/local/lib/systemd/system/sluiced.service"


class Processes:
    """What this program has started and not yet seen the end of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ending = False

    def start(self, command: Sequence[str], env: Mapping[str, str] | None) -> subprocess.Popen[str]:
        """Start a program in a session of its own, with its output to be read line by line."""
        with self._lock:
            if self._ending:
                raise InterruptedError("the tests were interrupted")
            process = subprocess.Popen(
                command, cwd=REPOSITORY, text=True, errors="replace", stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **(env or {})})
            self._running.add(process)
        return process

    def ended(self, process: subprocess.Popen[str]) -> None:
        """Forget one that has been waited for."""
        with self._lock:
            self._running.discard(process)

    def end_all(self) -> None:
        """End what is running, and start nothing more."""
        with self._lock:
            self._ending = True
            for process in self._running:
                end_group(process, signal.SIGTERM)


def end_group(process: subprocess.Popen[str], number: int) -> None:
    """Signal the session that a process of ours leads, unless it has been waited for."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass


@dataclass
class Step:
    """One step's output and outcome."""

    name: str
    held: bool  # keep the output until it can be printed in one piece
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def say(self, line: str) -> None:
        """Print a line, or keep it."""
        if self.held:
            self.lines.append(line)
        else:
            print(line, flush=True)

    def add(self, part: Step) -> None:
        """What a part of this step found."""
        for line in part.lines:
            self.say(line)
        self.passed += part.passed
        self.failed += part.failed
        self.skipped += part.skipped

    def check(self, name: str, function: Callable[[], object]) -> None:
        """One test inside this program: it passes unless it raises."""
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except  # whatever it is, it failed
            self.say(f"not ok - {name}: {error}")
            self.failed.append(f"{name}: {error}")
        else:
            self.say(f"ok - {name}")
            self.passed += 1


processes = Processes()


def run(step: Step, command: Sequence[str], timeout: float, see: Callable[[str], None],
        env: Mapping[str, str] | None = None) -> str:
    """Run a program, show each line of its output to `see`; "" or how it failed."""
    process = processes.start(command, env)
    late = threading.Event()

    def expire() -> None:
        late.set()
        end_group(process, signal.SIGKILL)

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        step.say(line.rstrip("\n"))
        see(line.rstrip("\n"))
    status = process.wait()
    timer.cancel()
    processes.ended(process)
    if late.is_set():
        return f"not done after {timeout:g} s"
    return f"ended with status {status}" if status else ""


def run_command(step: Step, name: str, *command: str) -> bool:
    """A command that is one test."""
    step.say(f"$ {' '.join(command)}")
    problem = run(step, command, BUILD_SECONDS, lambda line: None)
    if problem:
        step.failed.append(f"{name}: {problem}")
        step.say(f"not ok - {name}: {problem}")
    else:
        step.passed += 1
        step.say(f"ok - {name}")
    return not problem


class TapReader:
    """Counts what a program says in the Test Anything Protocol."""

    def __init__(self, step: Step, program: str) -> None:
        self._step = step
        self._program = program
        self._seen = self._failed = 0
        self._plan: int | None = None

    def see(self, line: str) -> None:
        """One line of its output."""
        if plan := PLAN.fullmatch(line):
            self._plan = int(plan[1])
            if self._plan == 0:
                self._step.skipped.append(f"{self._program}: {plan[2] or 'no reason given'}")
        elif outcome := OUTCOME.fullmatch(line):
            self._seen += 1
            self._count(outcome[1] is None, outcome[2])

    def finish(self, problem: str) -> None:
        """A crash, a missing plan, or tests that are missing are one failure more."""
        if self._plan is None:
            problem = problem or "ended with status 0"
            self._fail(f"{problem}, without a plan, after {self._seen} tests")
        elif self._plan != self._seen:
            self._fail(f"{self._seen} of {self._plan} tests {problem}".strip())
        elif problem and not self._failed:
            self._fail(problem)

    def _count(self, passed: bool, name: str) -> None:
        if skip := SKIP.fullmatch(name):
            self._step.skipped.append(f"{self._program}: {skip[1] or '?'}: "
                                      f"{skip[2] or 'no reason given'}")
        elif passed:
            self._step.passed += 1
        else:
            self._fail(name)

    def _fail(self, what: str) -> None:
        self._failed += 1
        self._step.failed.append(f"{self._program}: {what}")


def run_tap(step: Step, program: str, *command: str, timeout: float = TEST_SECONDS,
            env: Mapping[str, str] | None = None) -> None:
    """A program that speaks TAP."""
    step.say(f"# {program}")
    reader = TapReader(step, program)
    reader.finish(run(step, command, timeout, reader.see, env))


# --- steps ---------------------------------------------------------------------------------------

def build(step: Step) -> None:
    """Programs, documents, and what the guests get."""
    run_command(step, "build with gcc", "make", JOBS)
    run_command(step, "static build", "make", JOBS, "static", "build/static/workload",
                "build/static/agree", "build/static/ask", "build/static/cached",
                "build/static/onnode", "build/static/stale", "build/static/phases")
    run_command(step, "build of the benchmark", "make", JOBS, "build/bench/loops",
                "build/bench/programs")


def clang(step: Step) -> None:
    """The same with the other compiler and its warnings."""
    run_command(step, "build with clang", "make", JOBS, "clang-build")


def install(step: Step) -> None:
    """What `make install` puts where, and that it keeps a configuration."""
    with tempfile.TemporaryDirectory(prefix="sluice-install-") as name:
        top = Path(name)
        if not run_command(step, "install", "make", "-s", "install", f"DESTDIR={top}"):
            return
        step.check("what is installed", lambda: check_installed(top))
        step.check("the unit", lambda: check_unit((top / UNIT).read_text()))
        step.check("the programs run", lambda: check_programs(top))
        step.check("strategies", lambda: check_strategies(top))
        (top / CONFIG).write_text("# mine\n")
        run_command(step, "install again", "make", "-s", "install", f"DESTDIR={top}")
        step.check("a configuration is kept", lambda: check_kept(top))


def check_installed(top: Path) -> None:
    """Exactly the known files with the known modes."""
    found = {str(path.relative_to(top)): stat.S_IMODE(path.stat().st_mode)
             for path in top.rglob("*") if path.is_file()}
    odd = found.items() ^ INSTALLED.items()
    assert not odd, ", ".join(sorted(f"{path} ({mode:o})" for path, mode in odd))


def check_unit(text: str) -> None:
    """The unit starts what was installed."""
    assert "ExecStart=/usr/local/sbin/sluiced\n" in text, "ExecStart"
    assert "ExecStopPost=/usr/local/bin/sluice restore\n" in text, "ExecStopPost"
    assert "@" not in text, "a place that was not filled in"


def output(*command: str | Path) -> str:
    """What a command prints."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True,
                          cwd=REPOSITORY, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: status {done.returncode}: {done.stderr}"
    return done.stdout


def check_programs(top: Path) -> None:
    """They know their version, the manual has its pages, the example is good and up to date."""
    version = (REPOSITORY / "VERSION").read_text().strip()
    for path in ("usr/local/sbin/sluiced", "usr/local/bin/sluice"):
        said = output(top / path, "--version")
        assert said == f"{Path(path).name} {version}\n", f"{path} says {said!r}"
    for path in INSTALLED:
        if "/man/" in path:
            page = (top / path).read_text()
            assert ".TH" in page and "@" not in page, f"{path} is no manual page"
    output(top / "usr/local/bin/sluice", "check", top / CONFIG)
    made = output(REPOSITORY / "build" / "gendoc", "example")
    assert made == (top / CONFIG).read_text(), "configs/sluice.conf is not what gendoc makes"


def check_strategies(top: Path) -> str:
    """Each strategy has a preset that is right, and a page with its options as in the code."""
    said = output(top / "usr/local/sbin/sluiced", "--help")
    names = sorted(path.stem for path in (REPOSITORY / "configs" / "strategies").glob("*.conf"))
    assert names == sorted(path.stem for path in (REPOSITORY / "docs" / "strategies").glob("*.md"))
    for name in names:
        output(top / "usr/local/bin/sluice", "check",
               REPOSITORY / "configs" / "strategies" / f"{name}.conf")
        if f"\n  {name}." not in said:
            continue  # it has no options
        page = (REPOSITORY / "docs" / "strategies" / f"{name}.md").read_text()
        options = output(REPOSITORY / "build" / "gendoc", "options", name)
        assert options in page, f"docs/strategies/{name}.md lacks what gendoc makes:\n{options}"
    for name in GROUP_PAGES:
        options = output(REPOSITORY / "build" / "gendoc", "options", name)
        assert options in (REPOSITORY / "docs" / f"{name}.md").read_text(), f"docs/{name}.md"
    return ", ".join(names)


def check_kept(top: Path) -> None:
    """An existing configuration stays."""
    assert (top / CONFIG).read_text() == "# mine\n", "it was replaced"


def lint(step: Step) -> None:
    """What can be seen without running anything."""
    run_tap(step, "lint", sys.executable, "tests/lint.py")


def unit(step: Step) -> None:
    """Unit tests, with the address and undefined behaviour sanitizers."""
    if not run_command(step, "build of the unit tests", "make", "-s", JOBS, "unit"):
        return
    for source in sorted((REPOSITORY / "tests" / "unit").glob("test_*.c")):
        run_tap(step, source.stem, f"build/unit/{source.stem}", env=SANITIZERS)
    if run_command(step, "build of the large map", "make", "-s", "build/bigmap"):
        run_tap(step, "bigmap", "build/bigmap")
    if run_command(step, "build of the simulated experiments", "make", "-s", "build/absim"):
        run_tap(step, "absim", "build/absim")


def live(step: Step) -> None:
    """The daemon and the client on this machine, observing."""
    for path in sorted((REPOSITORY / "tests" / "live").glob("test_*.py")):
        run_tap(step, path.stem, sys.executable, str(path))


# Programs that run guests. What is given to one makes it leave out kernels that others stand for,
# so that all of this ends in time: the oldest, the last that can be switched off, and the newest
# are in the matrix; --all leaves out nothing. The first run two guests at once, one program after
# the other; the rest run one, and mostly wait, so that a few go at once: the longest first.
VM_PAIRS: Mapping[str, Sequence[str]] = {
    "matrix": ("5.10", "6.1", "7.2"), "drain": ("6.1", "7.2"), "audit": ("5.10", "7.2"),
    "shapes": ("DIMMs=7.2", "virtio-mem=6.1", "two nodes", "zone Movable", "node without memory"),
}
VM_SINGLE: Mapping[str, Sequence[str]] = {
    "ab": ("7.2",), "strategies": ("6.1",), "prepare": ("7.2",), "guards": ("7.2",),
    "arms": ("6.1",), "probe_host": ("6.1",), "extra": ("6.1",), "arm64": (), "explain": ("7.2",),
    "service": ("6.1",),
}
VM_AT_ONCE = 3
EVERY_KERNEL = "--all" in sys.argv


def vm_program(name: str, kernels: Sequence[str]) -> Step:
    """One program, its output kept."""
    step = Step(name, held=True)
    arguments = () if EVERY_KERNEL else kernels
    run_tap(step, name, sys.executable, f"tests/vm/{name}.py", *arguments, timeout=VM_SECONDS)
    if arguments:
        step.say(f"# {name}: {', '.join(arguments)} alone; make check-all leaves out nothing")
    return step


def vm(step: Step) -> None:
    """Real guests with real kernels."""
    for name, kernels in VM_PAIRS.items():
        step.add(vm_program(name, kernels))
    with ThreadPoolExecutor(VM_AT_ONCE) as pool:
        for done in pool.map(vm_program, VM_SINGLE.keys(), VM_SINGLE.values()):
            step.add(done)


STEPS: dict[str, Callable[[Step], None]] = {
    "build": build, "clang": clang, "install": install, "lint": lint, "unit": unit, "live": live,
    "vm": vm,
}
BESIDE = "vm"  # needs nothing but the build, and mostly waits


# --- order and summary ---------------------------------------------------------------------------

def take(step: Step) -> Step:
    """Carry out one step."""
    step.say(f"\n=== {step.name}: {(STEPS[step.name].__doc__ or '').splitlines()[0]}")
    started = time.monotonic()
    try:
        STEPS[step.name](step)
    except Exception as error:  # pylint: disable=broad-except  # the others still count
        step.failed.append(f"{step.name}: {error!r}")
        step.say(f"not ok - {step.name}: {error!r}")
    step.seconds = time.monotonic() - started
    step.say(f"=== {step.name}: {step.passed} passed, {len(step.failed)} failed, "
             f"{len(step.skipped)} skipped in {step.seconds:.0f} s")
    return step


def take_all(names: Sequence[str]) -> list[Step]:
    """All steps; the guests run beside those that come after the build."""
    done: list[Step] = []
    beside: Future[Step] | None = None
    with ThreadPoolExecutor(1) as pool:
        for name in names:
            if name == BESIDE:
                continue
            if name != "build" and beside is None and BESIDE in names:
                print(f"\n=== {BESIDE}: runs beside the following steps, and is printed behind "
                      "them", flush=True)
                beside = pool.submit(take, Step(BESIDE, held=True))
            done.append(take(Step(name, held=False)))
        if beside is not None:
            done.append(beside.result())
            print("\n".join(done[-1].lines), flush=True)
        elif BESIDE in names:
            done.append(take(Step(BESIDE, held=False)))
    return done


def summary(steps: Sequence[Step]) -> int:
    """Print what matters once more; the exit status."""
    print("\n=== summary")
    for step in steps:
        print(f"{step.name:8} {step.passed:4} passed {len(step.failed):4} failed "
              f"{len(step.skipped):4} skipped {step.seconds:6.0f} s")
    for step in steps:
        for skip in step.skipped:
            print(f"SKIPPED  {step.name}: {skip}")
    for step in steps:
        for failure in step.failed:
            print(f"FAILED   {step.name}: {failure}")
    passed = sum(step.passed for step in steps)
    failed = sum(len(step.failed) for step in steps)
    skipped = sum(len(step.skipped) for step in steps)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the tests of sluice.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}")
    parser.add_argument("--all", action="store_true", help="guests with every kernel")
    wanted = parser.parse_args().steps
    unknown = [name for name in wanted if name not in STEPS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; steps are {', '.join(STEPS)}")

    def interrupt(number: int, _frame: object) -> None:
        processes.end_all()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    return summary(take_all([name for name in STEPS if not wanted or name in wanted]))


if __name__ == "__main__":
    sys.exit(main())
