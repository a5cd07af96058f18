# SPDX-License-Identifier: GPL-2.0-only
"""The root file system of a guest: busybox, the modules of its kernel, and what a test brings.

The archive is written here and not by cpio(1), so that device nodes need no privilege; it is not
compressed, since unpacking costs an emulated guest more time than reading.
"""

from __future__ import annotations

import re
import stat
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import modules
import sysroot
from kernels import ON_REQUEST, Kernel
from machine import MACHINES

HERE = Path(__file__).parent
BUSYBOX = Path("/bin/busybox")
FOLDERS = ("dev", "proc", "sys", "run", "tmp", "root", "etc", "modules")
CONSOLE = (5, 1)
LIBRARY = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


class InitramfsError(RuntimeError):
    """Something that the guest needs is missing on the host."""


class Cpio:
    """An archive in the "newc" format that the kernel unpacks, every file owned by root."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._folders: set[str] = set()
        self._inode = 0

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file; the last one of a name wins."""
        self._add(path, stat.S_IFREG | mode, content)

    def add_character_device(self, path: str, number: tuple[int, int]) -> None:
        """Add a character device with a (major, minor) number."""
        self._add(path, stat.S_IFCHR | 0o600, device=number)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link; what is added below it later goes where it points."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())
        self._folders.add(path)

    def add_folder(self, path: str) -> None:
        """Add a folder and the ones above it, once."""
        parent = path.rpartition("/")[0]
        if parent:
            self.add_folder(parent)
        if path not in self._folders:
            self._folders.add(path)
            self._record(path, stat.S_IFDIR | 0o755)

    def finish(self) -> bytes:
        """The complete archive."""
        self._record("TRAILER!!!", 0)
        return bytes(self._data)

    def _add(self, path: str, mode: int, content: bytes = b"",
             device: tuple[int, int] = (0, 0)) -> None:
        path = path.lstrip("/")
        parent = path.rpartition("/")[0]
        if parent:
            self.add_folder(parent)
        self._record(path, mode, content, device)

    def _record(self, path: str, mode: int, content: bytes = b"",
                device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device of the file system, device, name, sum
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self._pad()
        self._data += content
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)


def build(kernel: Kernel, target: Path, files: Mapping[str, Path],
          wanted: Sequence[str] = (), distribution: Path | None = None) -> Path:
    """Write an initramfs for `kernel` to `target`; `files` are {path in the guest: host file}.

    It loads the modules that every guest loads, and `wanted` out of those on request.  With
    a distribution, a tar file, all of that is in it, and systemd runs.
    """
    archive = Cpio()
    busybox = "/bin/busybox"
    if distribution:
        _add_distribution(archive, distribution)
        busybox = "/opt/busybox"
    for folder in FOLDERS:
        archive.add_folder(folder)
    archive.add_character_device("/dev/console", CONSOLE)
    archive.add_file(busybox, _busybox(kernel.architecture).read_bytes(), 0o755)
    _add_modules(archive, kernel, wanted)
    for place, name in (("/init", "systemd" if distribution else "init"),
                        ("/sbin/channel", "channel"), ("/sbin/supervise", "supervise")):
        text = (HERE / f"{name}.sh").read_bytes()
        archive.add_file(place, text.replace(b"#!/bin/busybox", f"#!{busybox}".encode()), 0o755)
    for guest_path, host_path in files.items():
        _add_host_file(archive, guest_path, host_path)
    target.write_bytes(archive.finish())
    return target


def dynamic_program(program: Path) -> dict[str, Path]:
    """A dynamically linked program and its libraries, as `files` for build().

    Everything keeps its path, which is where its loader searches.
    """
    done = subprocess.run(["ldd", program], text=True, capture_output=True, check=False)
    if done.returncode != 0 or "not found" in done.stdout:
        raise InitramfsError(f"ldd '{program}': {done.stdout}{done.stderr}".strip())
    paths = [str(program.absolute()), *LIBRARY.findall(done.stdout)]
    return {path: Path(path) for path in paths}


def _busybox(architecture: str) -> Path:
    if MACHINES[architecture].triplet:
        return sysroot.fetch(architecture) / "bin" / "busybox"
    if not BUSYBOX.exists():
        raise InitramfsError(f"'{BUSYBOX}' is missing (Debian package busybox-static)")
    return BUSYBOX


def _add_distribution(archive: Cpio, distribution: Path) -> None:
    """All of its files but devices; they are root's, as all in the archive."""
    with tarfile.open(distribution) as tar:
        for member in tar:
            path = member.name.removeprefix(".").strip("/")
            if member.issym():
                archive.add_link(path, member.linkname)
            elif member.isfile() or member.islnk():
                content = tar.extractfile(member)
                assert content
                archive.add_file(path, content.read(), stat.S_IMODE(member.mode))
            elif member.isdir() and path:
                archive.add_folder(path)


def _add_modules(archive: Cpio, kernel: Kernel, wanted: Sequence[str]) -> None:
    names = []
    unknown = set(wanted) - set(ON_REQUEST)
    if unknown:
        raise InitramfsError(f"{', '.join(sorted(unknown))}: not in kernels.ON_REQUEST")
    # what is not there is built in, or fetching the kernel would have failed
    extra = [module for module in kernel.on_request if modules.name_of(module) in wanted]
    for module in [*kernel.modules, *extra]:
        names.append(f"/modules/{modules.name_of(module)}.ko")
        archive.add_file(names[-1], modules.read(module))
    archive.add_file("/modules/order", "".join(f"{name}\n" for name in names).encode())


def _add_host_file(archive: Cpio, guest_path: str, host_path: Path) -> None:
    if not host_path.is_file():
        raise InitramfsError(f"'{host_path}', wanted in the guest as '{guest_path}', is no file")
    mode = stat.S_IMODE(host_path.stat().st_mode)
    archive.add_file(guest_path, host_path.read_bytes(), mode)
