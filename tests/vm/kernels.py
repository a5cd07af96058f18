# SPDX-License-Identifier: GPL-2.0-only
"""The Debian kernels that the guests of the tests run.

Each name stands for the newest cloud kernel of a series in some suites of the archive; a name
without an architecture means amd64.
It is downloaded once, and only the image and the few modules that a guest needs are kept in
the cache ($SLUICE_CACHE, else ~/.cache/sluice).  kernels.lock records what was tested: another
version than the recorded one is used and mentioned, another file of the same version is an
error.

    python3 tests/vm/kernels.py [NAME...]                 fetch
    python3 tests/vm/kernels.py --update-lock [NAME...]   fetch and record
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cache
import modules
from archive import Archive, ArchiveError, Package

# The suites that have the series, newest first.  A series leaves unstable and experimental when
# the next one enters; until then the cache and the recorded version are all that remains of it.
SUITES: dict[str, tuple[str, ...]] = {
    "5.10": ("bullseye-security", "bullseye"),
    "6.1": ("bookworm-security", "bookworm"),
    "6.12": ("trixie-security", "trixie"),
    "6.18": ("trixie-backports",),
    "7.2": ("sid", "trixie-backports"),
    "7.3": ("experimental", "sid"),
    "6.12-arm64": ("trixie-security", "trixie"),
}
NAMES = tuple(SUITES)

# The balloon on a PCI bus, and packet sockets (they start a reporting pass).
WANTED_MODULES = ("virtio_pci", "virtio_balloon", "af_packet")
# Loaded only by guests that ask for them; each needs nothing beyond WANTED_MODULES.
ON_REQUEST = ("virtio_mem", "virtio_blk", "virtio_console")
KEPT_MODULES = WANTED_MODULES + ON_REQUEST

LOCK_FILE = Path(__file__).with_name("kernels.lock")
LOCK_HEADER = """\
# Kernels that the tests ran on, written by kernels.py --update-lock.
# name package version sha256
"""
ASK_AGAIN_SECONDS = 24 * 3600

Records = dict[str, list[Package]]


class KernelError(RuntimeError):
    """A kernel cannot be had, or is not the one that was recorded."""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot; `modules` in the order in which they have to be loaded.

    `on_request` holds what a guest may load behind them.
    """

    name: str
    series: str
    architecture: str
    version: str
    vmlinuz: Path
    modules: list[Path]
    on_request: list[Path]
    packages: list[Package]

    @property
    def package_version(self) -> str:
        """The version of the Debian packages, which all parts of a kernel share."""
        return self.packages[0].version


def fetch(name: str) -> Kernel:
    """The newest kernel called `name`, from the archive or from the cache.

    With a kernel in the cache the archive is asked once a day, and that it cannot be reached is
    no error.
    """
    kernel = _get(name)
    _compare(kernel, _read_records(LOCK_FILE).get(name, []))
    return kernel


def _get(name: str, ask: bool = False) -> Kernel:
    if name not in SUITES:
        raise KernelError(f"unknown kernel '{name}', known are {', '.join(NAMES)}")
    with cache.exclusive(_folder(name).with_name(f"{name}.flock")):
        return _get_alone(name, ask)


def _get_alone(name: str, ask: bool) -> Kernel:
    held = _load(name)
    stamp = cache.top() / "apt" / name / "stamp"
    if held and not ask and _age(stamp) < ASK_AGAIN_SECONDS:
        _say(f"{name}: {held.package_version} from the cache")
        return held
    series, architecture = _parse(name)
    archive = Archive(cache.top() / "apt" / name, SUITES[name], architecture)
    try:
        archive.update()
        packages = archive.newest_kernel(series)
        stamp.touch()
        if held and held.packages == packages:
            _say(f"{name}: {held.package_version} from the cache, the archive has the same")
            return held
        _say(f"{name}: downloading {packages[0].version}")
        _install(name, archive, packages)
    except ArchiveError as error:
        if held is None:
            raise KernelError(f"{name}: {error}") from error
        _say(f"{name}: {held.package_version} from the cache, no answer from the archive: {error}")
        return held
    fetched = _load(name)
    assert fetched is not None
    return fetched


def _install(name: str, archive: Archive, packages: Iterable[Package]) -> None:
    """Put a kernel into the cache, all of it or nothing."""
    final = _folder(name)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{name}-") as scratch:
        unpacked, kept = Path(scratch, "unpacked"), Path(scratch, "kept")
        for package in packages:
            deb = archive.download(package, Path(scratch))
            subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True)
            deb.unlink()
        _keep_needed(unpacked, kept)
        _write_records(kept / "packages", {name: list(packages)})
        if final.exists():
            shutil.rmtree(final)
        kept.rename(final)


def _keep_needed(unpacked: Path, kept: Path) -> None:
    """Of about 100 MiB the image, a few modules and notes on them."""
    tree = _one(unpacked, "lib/modules/*", "usr/lib/modules/*")
    image = _one(unpacked, f"boot/vmlinuz-{tree.name}", f"usr/lib/modules/{tree.name}/vmlinuz")
    order = modules.load_order(tree, KEPT_MODULES)
    (kept / "modules").mkdir(parents=True)
    shutil.copy(image, kept / "vmlinuz")
    for module in order:
        shutil.copy(module, kept / "modules")
    (kept / "release").write_text(tree.name)
    (kept / "wanted").write_text(" ".join(KEPT_MODULES))
    (kept / "order").write_text(" ".join(module.name for module in order))


def _load(name: str) -> Kernel | None:
    """The kernel in the cache, unless it was kept for another list of modules."""
    folder = _folder(name)
    wanted = folder / "wanted"
    if not wanted.exists() or wanted.read_text() != " ".join(KEPT_MODULES):
        return None
    order = [folder / "modules" / file for file in (folder / "order").read_text().split()]
    on_request = [module for module in order if modules.name_of(module) in ON_REQUEST]
    return Kernel(name, *_parse(name), (folder / "release").read_text(), folder / "vmlinuz",
                  [module for module in order if module not in on_request], on_request,
                  _read_records(folder / "packages")[name])


def _compare(kernel: Kernel, recorded: list[Package]) -> None:
    """Mention another version than the recorded one, refuse another file of the same."""
    if kernel.packages == recorded:
        return
    sha256 = {(package.name, package.version): package.sha256 for package in recorded}
    for package in kernel.packages:
        expected = sha256.get((package.name, package.version), package.sha256)
        if expected != package.sha256:
            raise KernelError(f"'{package.name}' {package.version}: sha256 {package.sha256}, "
                              f"'{LOCK_FILE}' says {expected}")
    before = recorded[0].version if recorded else "nothing"
    _say(f"{kernel.name}: {kernel.package_version} differs from the recorded one, {before}")


def _read_records(path: Path) -> Records:
    records: Records = {}
    if not path.exists():
        return records
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 4:
            raise KernelError(f"'{path}', line {number}: {len(fields)} fields instead of 4")
        records.setdefault(fields[0], []).append(Package(*fields[1:]))
    return records


def _write_records(path: Path, records: Records) -> None:
    lines = [f"{name} {package.name} {package.version} {package.sha256}\n"
             for name in NAMES for package in records.get(name, [])]
    path.write_text(LOCK_HEADER + "".join(lines))


def _parse(name: str) -> tuple[str, str]:
    """Series and architecture that a name stands for."""
    series, _, architecture = name.partition("-")
    return series, architecture or "amd64"


def _folder(name: str) -> Path:
    return cache.top() / "kernels" / name


def _age(stamp: Path) -> float:
    return time.time() - stamp.stat().st_mtime if stamp.exists() else float("inf")


def _one(top: Path, *patterns: str) -> Path:
    found = [path for pattern in patterns for path in top.glob(pattern)]
    if len(found) != 1:
        raise KernelError(f"{len(found)} files match {' or '.join(patterns)}, not 1")
    return found[0]


def _say(message: str) -> None:
    print(f"kernels: {message}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fetch the kernels for the guests.")
    parser.add_argument("--update-lock", action="store_true", help="record what was fetched")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    return parser.parse_args()


def main() -> int:
    """Fetch what was asked for; a kernel that cannot be had does not keep others away."""
    arguments = _arguments()
    fetched: Records = {}
    failed = False
    for name in arguments.names or NAMES:
        try:
            kernel = _get(name, ask=True) if arguments.update_lock else fetch(name)
        except KernelError as error:
            print(f"kernels: {error}", file=sys.stderr)
            failed = True
            continue
        fetched[name] = kernel.packages
        print(f"{name} {kernel.version} {kernel.vmlinuz}")
    if arguments.update_lock:
        _write_records(LOCK_FILE, {**_read_records(LOCK_FILE), **fetched})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
