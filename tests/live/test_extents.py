# SPDX-License-Identifier: GPL-2.0-only
"""`sluice extents` on this machine: formats and styles agree, and equal the kernel's counts."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

import exports  # noqa: E402
from daemon import (SLUICE, plain_environment, require_root, run_as_nobody,  # noqa: E402
                    run_client)
from tap import Skip, Tap  # noqa: E402

TRIES = 60
EQUAL = 3
SECONDS = 60
NOWHERE = Path("/nonexistent")  # no daemon: the client never asks one
RSS_LIMIT_KIB = 24 * 1024


def export(*arguments: str) -> exports.Document:
    """`sluice extents --json`."""
    require_root()
    done = run_client(NOWHERE, "extents", "--json", *arguments)
    assert done.returncode == 0 and not done.stderr, done
    found = json.loads(done.stdout)
    if found["source"] == "buddyinfo":
        raise Skip("no scan works here")
    return found


def check_format(name: str) -> str:
    """It is what the kernel counts, in some of the looks: others use memory during the rest."""
    equal = looks = 0
    while equal < EQUAL and looks < TRIES:
        found = export("--format", name)
        exports.assert_document(found)
        looks += 1
        equal += exports.equals_kernel(found)
    text = f"{equal} of {looks} looks equal the kernel's counts; the last has {found['nr_entries']}"
    assert equal >= EQUAL, text
    return (f"{text} entries, {found['binary_bytes']} bytes in binary, found in "
            f"{found['scan_ns'] / 1e6:.1f} ms by {found['source']}")


def check_styles(name: str) -> str:
    """Text and binary are whole, and say on standard error what they hold."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as folder:
        path = Path(folder) / "binary"
        text = run_client(NOWHERE, "extents", "--format", name)
        binary = run_client(NOWHERE, "extents", "--format", name, "--binary", f"--output={path}")
        data = path.read_bytes()
    assert text.returncode == binary.returncode == 0, f"{text} {binary}"
    assert not binary.stdout, "something on standard output besides the file"
    found = exports.parse_binary(data)
    exports.assert_document(found)
    assert binary.stderr.startswith(f"{len(found['entries'])} entries for "), binary.stderr
    assert f" {len(data)} bytes in binary; found by " in binary.stderr, binary.stderr
    entries = exports.parse_text(name, text.stdout)
    exports.assert_document({**found, "entries": entries})
    assert text.stderr.startswith(f"{len(entries)} entries for "), text.stderr
    return binary.stderr.strip()


def check_order() -> None:
    """--order leaves out what is smaller; a bitmap can't go below a pageblock."""
    block = export("--format", "bitmap")["pageblock_order"]
    for order in (1, block):
        found = export("--format", "orders", "--order", str(order))
        assert found["lowest_order"] == order
        assert [entry["order"] for entry in found["orders"]][0] == order
        exports.assert_document(found)  # no smaller one
    done = run_client(NOWHERE, "extents", "--format=bitmap", f"--order={block - 1}")
    assert done.returncode == 1 and not done.stdout, done
    assert f"--order {block - 1}: with --format bitmap it is {block} to " in done.stderr, done


def check_memory() -> str:
    """The client's resident memory while it writes."""
    require_root()
    peak = lines = 0
    with subprocess.Popen([str(SLUICE), "extents", "--format=orders"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=plain_environment()) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 4096):
            lines += chunk.count(b"\n")
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
            peak = int(found[1]) if found else peak  # none once it has ended
    assert process.returncode == 0, process.returncode
    assert 0 < peak <= RSS_LIMIT_KIB, f"{peak} KiB"
    return f"at most {peak} KiB resident with {lines} extents; {RSS_LIMIT_KIB} are allowed"


def check_usage() -> None:
    """Wrong usage: status 2, and what is allowed."""
    for arguments, hint in (
            (("--format", "list"), "ranges, orders or bitmap"),
            (("--order", "-1"), "from 0 to 15"),
            (("--order", "9x"), "trailing"),
            (("--binary", "--json"), "not together"),
            (("ranges",), "unexpected argument"),
            (("--format",), "requires an argument"),
            (("--formats",), "unrecognized option")):
        done = run_client(NOWHERE, "extents", *arguments)
        assert done.returncode == 2 and not done.stdout, done
        assert hint in done.stderr, done.stderr


def check_failures() -> None:
    """Files that can't be written, nobody's rights, and a terminal."""
    require_root()
    for path, hint in (("/nonexistent/file", "No such file"), ("/dev/full", "No space left")):
        done = run_client(NOWHERE, "extents", "--output", path)
        assert done.returncode == 1 and f'"{path}": {hint}' in done.stderr, done
        done = run_client(NOWHERE, "extents", "--json", "--output", path)
        assert done.returncode == 1 and not done.stderr, done
        assert hint in json.loads(done.stdout)["error"], done
    for style in ((), ("--binary",), ("--json",)):
        with open("/dev/full", "w", encoding="ascii") as full:
            status = subprocess.run([str(SLUICE), "extents", *style], stdout=full, check=False,
                                    stderr=subprocess.PIPE, env=plain_environment())
        assert status.returncode == 1 and b"standard output: No space" in status.stderr, status
    done = run_as_nobody(SLUICE, "extents", "--json")
    assert done.returncode == 1 and "root" in json.loads(done.stdout)["error"], done
    leader, follower = pty.openpty()
    try:
        refused = subprocess.run([str(SLUICE), "extents", "--binary"], stdout=follower,
                                 stderr=subprocess.PIPE, env=plain_environment(), check=False,
                                 timeout=SECONDS)
    finally:
        os.close(leader)
        os.close(follower)
    assert refused.returncode == 2 and b"not to a terminal" in refused.stderr, refused


def main() -> int:
    tap = Tap()
    checks: list[tuple[str, Callable[[], object]]] = [
        *((f"{name} equal the kernel's counts", partial(check_format, name))
          for name in exports.FORMATS.values()),
        *((f"{name} as text and binary", partial(check_styles, name))
          for name in exports.FORMATS.values()),
        ("lowest order", check_order),
        ("memory of the client", check_memory),
        ("wrong usage", check_usage),
        ("failures", check_failures),
    ]
    for name, check in checks:
        tap.check(name, check)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
