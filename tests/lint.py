# SPDX-License-Identifier: GPL-2.0-only
"""What can be seen without running anything: format, static analysis, and the project's habits.

Needs a build (build/gen and build/bpf hold headers that are made).
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tap import Tap

REPOSITORY = Path(__file__).absolute().parents[1]
JOBS = 2
MAX_LINES = 450
MAX_COLUMNS = 100

INCLUDES = ["-Iinclude", "-Isrc", "-Ibuild/gen"]
C_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", *INCLUDES, "-isystem", "build/bpf"]
BPF_FLAGS = ["-target", "bpf", "-O2", "-mcpu=v3", "-ffreestanding", "-Iinclude", "-Ibpf"]
# What follows is arithmetic that the verifier has to understand; sizes are known to be small.
BPF_CHECKS = ("--checks=-bugprone-implicit-widening-of-multiplication-result,"
              "-bugprone-narrowing-conversions")
FINDING = re.compile(r"[^:]+:\d+:\d+: (?:warning|error): .*\]$")

# cppcheck does not know the macros of libraries.
CPPCHECK_LIBRARY = """\
<?xml version="1.0"?>
<def format="2">
  <define name="json_array_foreach(array, index, value)"
    value="for (index = 0; (value = json_array_get(array, index)); index++)"/>
  <define name="LIBBPF_OPTS(type, name, ...)" value="struct type name = { __VA_ARGS__ }"/>
</def>
"""
CPPCHECK_FLAGS = ["--enable=warning,performance,portability", "--inline-suppr", "--std=c11",
                  "-D_GNU_SOURCE", "-D__GNUC__", '-DSOURCE_DIR=""', "-Iinclude", "-Isrc",
                  "--error-exitcode=1", "--quiet", f"-j{JOBS}"]

FORBIDDEN = ("prctl", "atoi", "atol", "atoll", "strcpy", "strcat", "sprintf", "vsprintf", "gets",
             "system", "popen")
FORBIDDEN_CALL = re.compile(rf"\b(?:{'|'.join(FORBIDDEN)})\s*\(")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                               re.DOTALL)
VERSION_TEST = re.compile(r"^\s*#\s*(?:el)?if.*(?:LINUX_VERSION|KERNEL_VERSION|UTS_RELEASE)")
SPDX = "SPDX-License-Identifier: GPL-2.0-only"
SPDX_LINES = 3
SHELL = re.compile(rb"#!(?:/usr/bin/env |/bin/|/usr/bin/|/bin/busybox )(?:sh|dash)\b")


@functools.cache
def files() -> list[Path]:
    """Files that belong to the repository, those of the next commit included."""
    # safe.directory: the owner of a checkout may be another user than the one who tests it
    done = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached",
                           "--others", "--exclude-standard"],
                          cwd=REPOSITORY, text=True, capture_output=True, check=True)
    paths = {Path(name) for name in done.stdout.split("\0") if name}
    return sorted(path for path in paths if (REPOSITORY / path).is_file())


def select(folders: Iterable[str] = (), suffixes: Iterable[str] = (".c", ".h")) -> list[Path]:
    """Those below one of the folders (all, if none is given) with one of the suffixes."""
    folders, suffixes = tuple(folders), tuple(suffixes)
    return [path for path in files()
            if path.suffix in suffixes and (not folders or path.parts[0] in folders)]


def text_of(path: Path) -> str:
    """Content of a file of ours."""
    return (REPOSITORY / path).read_text()


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool in the repository."""
    return subprocess.run([str(word) for word in command], cwd=REPOSITORY, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, check=False)


def assert_none(found: Iterable[str]) -> None:
    """Fail with all that was found."""
    found = list(found)
    assert not found, f"{len(found)} found\n" + "\n".join(found)


# --- tools ---------------------------------------------------------------------------------------

def check_format() -> str:
    """clang-format would change nothing."""
    paths = select()
    done = run("clang-format", "--dry-run", "-Werror", *paths)
    lines = [line for line in done.stderr.splitlines() if ": error: " in line]
    per_file: dict[str, int] = {}
    for line in lines:
        name = line.split(":")[0]
        per_file[name] = per_file.get(name, 0) + 1
    assert_none(f"{name}: {count} places" for name, count in per_file.items())
    assert done.returncode == 0, done.stderr
    return f"{len(paths)} files"


def tidy(path: Path) -> list[str]:
    """Findings of clang-tidy in one file and our headers; generated ones are not ours to change."""
    if path.parts[0] == "bpf":
        machine = run("gcc", "-print-multiarch").stdout.strip()
        done = run("clang-tidy", "--quiet", BPF_CHECKS, path, "--", *BPF_FLAGS, "-idirafter",
                   f"/usr/include/{machine}")
    else:
        done = run("clang-tidy", "--quiet", path, "--", *C_FLAGS)
    lines = [line.removeprefix(f"{REPOSITORY}/") for line in done.stdout.splitlines()]
    found = [line for line in lines if FINDING.match(line)]
    if done.returncode != 0 and not found:
        return [f"{path}: clang-tidy: status {done.returncode}: {done.stderr.strip()}"]
    return [line for line in found if not line.startswith("build/")]


def check_tidy() -> str:
    """clang-tidy with .clang-tidy; not of the unit tests, which do what it forbids on purpose."""
    skeleton = REPOSITORY / "build" / "bpf" / "sluice.skel.h"
    assert skeleton.exists(), f"'{skeleton}' is missing: run make first"
    paths = [path for path in select(("src", "docs", "tests", "bpf"), (".c",))
             if path.parts[:2] != ("tests", "unit")]
    paths.sort(key=lambda path: (REPOSITORY / path).stat().st_size, reverse=True)
    with ThreadPoolExecutor(JOBS) as pool:
        found = {line for lines in pool.map(tidy, paths) for line in lines}
    assert_none(sorted(found))
    return f"{len(paths)} files"


def check_cppcheck() -> str:
    """cppcheck, of the unit tests too."""
    paths = select(("src", "docs", "tests"), (".c",))
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as library:
        library.write(CPPCHECK_LIBRARY)
        library.flush()
        done = run("cppcheck", *CPPCHECK_FLAGS, f"--library={library.name}", *paths)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{len(paths)} files"


def check_shell() -> str:
    """sh -n takes every shell script."""
    paths = [path for path in files()
             if path.suffix == ".sh"
             or not path.suffix and SHELL.match((REPOSITORY / path).read_bytes())]
    problems = []
    for path in paths:
        done = run("sh", "-n", path)
        if done.returncode != 0:
            problems.append(done.stderr.strip())
    assert_none(problems)
    return ", ".join(str(path) for path in paths)


def check_python() -> str:
    """Every Python file compiles, without a warning."""
    paths = select(suffixes=(".py",))
    for path in paths:
        compile(text_of(path), str(path), "exec", dont_inherit=True)
    return f"{len(paths)} files"


# --- habits --------------------------------------------------------------------------------------

def code_of(path: Path) -> str:
    """The C code of a file: comments and strings are blanked, lines stay where they are."""
    return COMMENT_OR_STRING.sub(lambda found: "\n" * found[0].count("\n"), text_of(path))


def matches(paths: Iterable[Path], pattern: re.Pattern[str]) -> list[str]:
    """Lines of code that match."""
    return [f"{path}:{number}: {line.strip()}" for path in paths
            for number, line in enumerate(code_of(path).splitlines(), 1) if pattern.search(line)]


def check_calls() -> str:
    """None of the calls that have a safer sister, and no prctl(2)."""
    assert_none(matches(select(("src", "bpf", "include")), FORBIDDEN_CALL))
    return ", ".join(FORBIDDEN)


def check_versions() -> None:
    """BPF code asks for fields, not for kernel versions."""
    assert_none(matches(select(("bpf",)), VERSION_TEST))


def check_spdx() -> str:
    """A licence in the first lines of each source file."""
    paths = [path for path in files()
             if path.suffix in (".c", ".h", ".py", ".sh", ".service") or path.name == "Makefile"
             or path == Path(".ci/run")]
    assert_none(str(path) for path in paths
                if SPDX not in "\n".join(text_of(path).splitlines()[:SPDX_LINES]))
    return f"{len(paths)} files"


def check_white_space() -> str:
    """No tabs in Python, no blanks at line ends, an end of line at the end, lines that fit."""
    found = []
    paths = select(suffixes=(".py", ".sh"))
    for path in paths:
        text = text_of(path)
        for number, line in enumerate(text.splitlines(), 1):
            if path.suffix == ".py" and "\t" in line:
                found.append(f"{path}:{number}: tab")
            if line != line.rstrip():
                found.append(f"{path}:{number}: blanks at the end")
            if len(line) > MAX_COLUMNS:
                found.append(f"{path}:{number}: {len(line)} columns")
        if not text.endswith("\n") or text.endswith("\n\n"):
            found.append(f"{path}: end of file")
    assert_none(found)
    return f"{len(paths)} files"


def check_lengths() -> str:
    """No file that has outgrown its subject."""
    lengths = {path: len(text_of(path).splitlines()) for path in select(("src", "bpf", "include"))}
    assert_none(f"{path}: {length} lines, {MAX_LINES} are allowed"
                for path, length in lengths.items() if length > MAX_LINES)
    longest = max(lengths, key=lambda path: lengths[path])
    return f"{len(lengths)} files, the longest is {longest} with {lengths[longest]} lines"


def main() -> int:
    tap = Tap()
    checks: list[tuple[str, Callable[[], object]]] = [
        ("clang-format", check_format),
        ("clang-tidy", check_tidy),
        ("cppcheck", check_cppcheck),
        ("shell syntax", check_shell),
        ("Python syntax", check_python),
        ("forbidden calls", check_calls),
        ("no kernel versions in bpf/", check_versions),
        ("licences", check_spdx),
        ("white space", check_white_space),
        ("lengths of files", check_lengths),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
