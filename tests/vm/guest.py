# SPDX-License-Identifier: GPL-2.0-only
"""A Linux guest under QEMU, for tests that need a kernel of their own.

    with Guest(kernels.fetch("6.12"), files={"/bin/workload": path}) as guest:
        print(guest.check("cat /proc/buddyinfo"))

Emulation (TCG) is enough for memory management and runs everywhere, without /dev/kvm.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import initramfs
import process
from channel import Channel, ChannelError, Result
from kernels import Kernel
from machine import BUILD, MACHINES
from qmp import Qmp

T = TypeVar("T")
Balloon = Literal["reporting", "no-reporting"] | None

MIB = 1024 * 1024

# A panic or an oops ends QEMU (-no-reboot) and so cannot pass unnoticed.
CMDLINE = "panic=-1 oops=panic"

HOTPLUG_SLOTS = 8
VIRTIO_MEM_MODULES = ("virtio_mem",)
DISK_MODULES = ("virtio_blk",)
PORT_MODULES = ("virtio_console",)
HOST_PORT = "sluice.host"  # port of virtio-serial
VIRTIO_MEM_PATH = "/machine/peripheral/virtio-mem"

LOW_MIB = 2048  # what QEMU's q35 has below its hole

RUN_TIMEOUT = 60.0
BOOT_TIMEOUT = 180.0
STOP_TIMEOUT = 20.0
UNPLUG_TIMEOUT = 60.0
# A stack trace with its registers, and what led to it.
PANIC_LINES = 80


class GuestDied(RuntimeError):
    """QEMU ended although nobody asked it to: a panic, or a wrong option."""


class CommandFailed(RuntimeError):
    """A command in the guest returned another status than 0."""


class Guest:
    """A guest that runs from `with` (or boot()) until the end of the block (or close()).

    `files` are {path in the guest: host file}, `programs` dynamically linked programs of the host
    that come with their libraries under their own paths.

    `nodes` are the sizes of NUMA nodes in MiB, in the place of `memory_mib` and in the order of
    their addresses, 0 for a node that has processors only; processors are dealt out in turns.  Up
    to `hotplug_mib` can be plugged later: `virtio_mem_mib` of it by request_memory(), the rest as
    DIMMs by plug().  With `low_mib` only that much memory is below 4 GiB (else up to 2 GiB are),
    so that a small guest has a zone Normal and a large hole.  A disk of
    `disk_mib`, all zeroes, is /dev/vda.  With `host_port` there is a port of virtio-serial, whose
    other end is host_connection().  With a `distribution` (distribution.fetch()) systemd runs.
    Without `huge_pages` the host backs the guest with small pages only.

    The folder of the guest, below `build` (the repository's build/ by default), holds console.log
    and qemu.log; it is removed at the end unless the block was left by an exception.
    """

    def __init__(self, kernel: Kernel, *, memory_mib: int = 1024, cpus: int = 2,
                 balloon: Balloon = "reporting", files: Mapping[str, Path] | None = None,
                 programs: Iterable[Path] = (), nodes: Sequence[int] = (),
                 low_mib: int | None = None, hotplug_mib: int = 0, virtio_mem_mib: int = 0,
                 disk_mib: int = 0, huge_pages: bool = True, host_port: bool = False,
                 distribution: Path | None = None, cmdline: str = "",
                 qemu_args: Iterable[str] = (),
                 build: Path = BUILD) -> None:
        self.kernel = kernel
        self.memory_mib = sum(nodes) or memory_mib
        self.cpus = cpus
        self.balloon = balloon
        self.boot_seconds = 0.0
        self.folder = Path()
        self._files = dict(files or {})
        for program in programs:
            self._files.update(initramfs.dynamic_program(program))
        self._machine = MACHINES[kernel.architecture]
        self._nodes = list(nodes)
        self._low_mib = low_mib
        self._hotplug_mib = hotplug_mib
        self._virtio_mem_mib = virtio_mem_mib
        self._disk_mib = disk_mib
        self._huge_pages = huge_pages
        self._host_port: tuple[socket.socket, socket.socket] | None = (
            socket.socketpair() if host_port else None)
        self._dimms: dict[str, int] = {}
        ports = f"console={self._machine.console} channel={self._machine.channel}"
        self._cmdline = f"{ports} {CMDLINE} {cmdline}".strip()
        self._distribution = distribution
        self._qemu_args = list(qemu_args)
        self._build = build
        self._qemu: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._qmp_connection: socket.socket | None = None
        self._qmp: Qmp | None = None
        self._channel: Channel | None = None
        self._memory: process.GuestMemory | None = None
        self._spawned: dict[int, str] = {}

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()
        if error is None:
            self.remove_folder()
        else:
            self._note_folder(error)

    def boot(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Start QEMU and wait until the guest takes commands."""
        top = self._build / "vm"
        top.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.kernel.name}-", dir=top))
        wanted = (VIRTIO_MEM_MODULES if self._virtio_mem_mib else ()) + (
            DISK_MODULES if self._disk_mib else ()) + (
            PORT_MODULES if self._host_port else ())
        image = initramfs.build(self.kernel, self.folder / "initramfs.cpio", self._files, wanted,
                                self._distribution)
        started = time.monotonic()
        try:
            self._start(image)
            self._wait_ready(timeout)
        except BaseException as error:
            self.close()
            self._note_folder(error)
            raise
        self.boot_seconds = time.monotonic() - started

    def run(self, command: str, timeout: float = RUN_TIMEOUT) -> Result:
        """Run a shell script in the guest; CommandTimeout if it takes longer than `timeout`."""
        return self._require(self._channel).call(command, timeout)

    def check(self, command: str, timeout: float = RUN_TIMEOUT) -> str:
        """Run a shell script that has to succeed and return its output."""
        result = self.run(command, timeout)
        if result.rc != 0:
            raise CommandFailed(f"'{command}' in guest {self.kernel.name}: status {result.rc}, "
                                f"output: {result.out}")
        return result.out

    def spawn(self, command: str, log_path: str = "/dev/null") -> int:
        """Start one simple command in the background and return its process id.

        The id is that of the program itself.  Its input never ends, its output goes to `log_path`
        in the guest, and no signal is ignored or blocked.
        """
        name = f"spawned{len(self._spawned)}"
        fifo = f"/run/channel/{name}.pid"
        supervise = shlex.join([name, log_path, command])
        pid = int(self.check(f"mkfifo {fifo} && start-stop-daemon -S -b -x /sbin/supervise -- "
                             f"{supervise} && cat {fifo}"))
        self._spawned[pid] = name
        return pid

    def exit_status(self, pid: int) -> int | None:
        """Exit status of a spawned process as a shell has it, None while it is running."""
        path = f"/run/channel/{self._spawned[pid]}.status"
        result = self.run(f"cat {path}")
        return int(result.out) if result.rc == 0 else None

    def wait_exit(self, pid: int, timeout: float = RUN_TIMEOUT) -> int:
        """Wait for the end of a spawned process and return its exit status."""
        found = self.wait_for(lambda: self._ended(pid), timeout, what=f"end of process {pid}")
        return found[0]

    def stop(self, pid: int, signal: str = "TERM", timeout: float = RUN_TIMEOUT) -> int:
        """Signal a spawned process and wait for its end; returns its exit status."""
        self.check(f"kill -{signal} {pid}")
        return self.wait_exit(pid, timeout)

    def wait_for(self, predicate: Callable[[], T], timeout: float, interval: float = 0.5,
                 what: str = "condition") -> T:
        """Poll until `predicate` returns something true, which is returned."""
        deadline = time.monotonic() + timeout
        while not (value := predicate()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"guest {self.kernel.name}: {what} not met in {timeout:g} s, "
                                   f"last value {value!r}")
            self._check_alive()
            time.sleep(interval)
        return value

    def qmp(self) -> Qmp:
        """Commands to QEMU itself."""
        if self._qmp is None:
            self._qmp = Qmp(self._require(self._qmp_connection), self._check_alive)
        return self._qmp

    def plug(self, name: str, mib: int, node: int = 0, address: int | None = None) -> None:
        """Plug a DIMM; what the guest makes of it is the guest's affair."""
        self.qmp().execute("object-add", qom_type="memory-backend-ram", id=f"{name}-ram",
                           size=mib * MIB)
        place = {} if address is None else {"addr": address}
        self.qmp().execute("device_add", driver="pc-dimm", id=name, memdev=f"{name}-ram",
                           node=node, **place)
        self._dimms[name] = mib
        self._find_memory()

    def unplug(self, name: str, timeout: float = UNPLUG_TIMEOUT) -> None:
        """Ask the guest for a DIMM and wait until it has let it go."""
        self.qmp().execute("device_del", id=name)
        self.qmp().wait_event("DEVICE_DELETED", timeout, device=name)
        self.qmp().execute("object-del", id=f"{name}-ram")
        del self._dimms[name]
        self._find_memory()

    def request_memory(self, mib: int) -> None:
        """Have the guest take or give memory through virtio-mem; plugged_memory() follows."""
        self.qmp().execute("qom-set", path=VIRTIO_MEM_PATH, property="requested-size",
                           value=mib * MIB)

    def plugged_memory(self) -> int:
        """MiB that the guest has through virtio-mem."""
        return self.qmp().execute("qom-get", path=VIRTIO_MEM_PATH, property="size") // MIB

    @property
    def qemu_pid(self) -> int:
        """Process id of QEMU on the host."""
        return self._require(self._qemu).pid

    def host_resident(self) -> int:
        """Bytes of the guest's memory (not of all of QEMU) that the host keeps in memory."""
        return self._require(self._memory).resident()

    def host_resident_pages(self) -> list[bool]:
        """For each page frame of the guest whether the host keeps it; of memory in one piece
        from address 0, so for x86 guests without nodes, DIMMs or a hole below 4 GiB."""
        assert not self._nodes and not self._dimms and self.memory_mib <= LOW_MIB
        return self._require(self._memory).resident_pages()

    def host_connection(self) -> socket.socket:
        """The host's end of the port; it does not block."""
        connection = self._require(self._host_port)[0]
        connection.setblocking(False)
        return connection

    def host_minor_faults(self) -> int:
        """Minor page faults of QEMU, all threads, since it started."""
        return process.minor_faults(self.qemu_pid)

    def console_tail(self, lines: int = 30) -> str:
        """The last lines of the kernel's console."""
        return _tail(self.folder / "console.log", lines)

    def close(self) -> None:
        """Power the guest off, by force if need be."""
        if self._qemu is not None:
            self._stop(self._qemu)
        for connection in (self._connection, self._qmp_connection, *(self._host_port or ())):
            if connection is not None:
                connection.close()
        self._qemu = self._connection = self._channel = self._memory = None
        self._qmp_connection = self._qmp = None
        self._dimms.clear()

    def remove_folder(self) -> None:
        """Remove the logs of a guest that was closed."""
        shutil.rmtree(self.folder)

    def _start(self, image: Path) -> None:
        self._connection, channel_end = socket.socketpair()
        self._qmp_connection, qmp_end = socket.socketpair()
        with channel_end, qmp_end, (self.folder / "qemu.log").open("wb") as log:
            fds = (channel_end.fileno(), qmp_end.fileno())
            port = (self._host_port[1].fileno(),) if self._host_port else ()
            self._qemu = subprocess.Popen(
                self._command(image, *fds), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(*fds, *port), preexec_fn=process.die_with_parent(self._huge_pages))

    def _wait_ready(self, timeout: float) -> None:
        channel = Channel(self._require(self._connection), self._check_alive)
        release = channel.wait_ready(timeout)
        if release != self.kernel.version:
            raise RuntimeError(f"guest runs '{release}' instead of '{self.kernel.version}'")
        self._find_memory()
        self._channel = channel

    def _command(self, image: Path, channel_fd: int, qmp_fd: int) -> list[str]:
        return [
            self._machine.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            *self._memory_options(), "-smp", str(self.cpus),
            "-kernel", str(self.kernel.vmlinuz), "-initrd", str(image),
            "-append", self._cmdline,
            "-chardev", f"file,id=console,path={self.folder / 'console.log'}",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=channel,fd={channel_fd}",
            "-device", f"{self._machine.channel_device},chardev=channel",
            "-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control",
            *_virtio_mem_device(self._virtio_mem_mib), *_balloon_device(self.balloon),
            *self._disk(), *self._port(),
            *self._qemu_args]

    def _port(self) -> list[str]:
        if self._host_port is None:
            return []
        return ["-device", "virtio-serial-pci",
                "-chardev", f"socket,id=host,fd={self._host_port[1].fileno()}",
                "-device", f"virtserialport,chardev=host,name={HOST_PORT}"]

    def _disk(self) -> list[str]:
        if not self._disk_mib:
            return []
        disk = self.folder / "disk.img"
        with disk.open("wb") as file:
            file.truncate(self._disk_mib * MIB)
        return ["-drive", f"file={disk},format=raw,if=none,id=disk,read-only=on",
                "-device", "virtio-blk-pci,drive=disk"]

    def _find_memory(self) -> None:
        parts = [*(self._nodes or [self.memory_mib]), self._virtio_mem_mib, *self._dimms.values()]
        self._memory = process.GuestMemory(self.qemu_pid, [mib * MIB for mib in parts if mib])

    def _memory_options(self) -> list[str]:
        board = []
        size = str(self.memory_mib)
        if self._low_mib is not None:
            board.append(f"max-ram-below-4g={self._low_mib}M")
        if self._hotplug_mib:
            size += f",slots={HOTPLUG_SLOTS},maxmem={self.memory_mib + self._hotplug_mib}M"
        if self._nodes:
            return [*self._machine.options(board), "-m", size, *self._numa_options()]
        return [*self._machine.options([*board, "memory-backend=ram"]), "-m", size,
                *_memory_backend("ram", self.memory_mib)]

    def _numa_options(self) -> list[str]:
        options = []
        for node, mib in enumerate(self._nodes):
            backend = ""
            if mib:
                options += _memory_backend(f"ram{node}", mib)
                backend = f",memdev=ram{node}"
            cpus = range(node, self.cpus, len(self._nodes))
            options += ["-numa", f"node,nodeid={node}{backend}"
                                 f"{''.join(f',cpus={cpu}' for cpu in cpus)}"]
        return options

    def _ended(self, pid: int) -> tuple[int] | None:
        status = self.exit_status(pid)
        return None if status is None else (status,)

    def _stop(self, qemu: subprocess.Popen[bytes]) -> None:
        if self._channel is not None and qemu.poll() is None:
            try:
                self._channel.post("poweroff -f")
                qemu.wait(STOP_TIMEOUT)
            except (ChannelError, GuestDied, subprocess.TimeoutExpired):
                pass
        if qemu.poll() is None:
            qemu.terminate()
            try:
                qemu.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                qemu.kill()
                qemu.wait()

    def _check_alive(self) -> None:
        qemu = self._require(self._qemu)
        status = qemu.poll()
        if status is not None:
            complaint = _tail(self.folder / "qemu.log", 10)
            raise GuestDied(f"guest {self.kernel.name}: QEMU ended with status {status}\n"
                            f"{complaint}{self.console_tail(PANIC_LINES)}")

    def _note_folder(self, error: BaseException) -> None:
        error.add_note(f"guest {self.kernel.name}: logs are in '{self.folder}'")

    def _require(self, part: T | None) -> T:
        if part is None:
            raise RuntimeError(f"guest {self.kernel.name} is not running")
        return part


def _balloon_device(balloon: Balloon) -> list[str]:
    if balloon is None:
        return []
    switch = "on" if balloon == "reporting" else "off"
    return ["-device", f"virtio-balloon-pci,free-page-reporting={switch}"]


def _virtio_mem_device(mib: int) -> list[str]:
    if not mib:
        return []
    return [*_memory_backend("virtio-mem-ram", mib), "-device",
            "virtio-mem-pci,id=virtio-mem,memdev=virtio-mem-ram,requested-size=0"]


def _memory_backend(name: str, mib: int) -> list[str]:
    return ["-object", f"memory-backend-ram,id={name},size={mib}M"]


def _tail(path: Path, lines: int) -> str:
    if not path.exists():
        return ""
    text = path.read_text(errors="replace").splitlines()
    return "".join(f"{line}\n" for line in text[-lines:])
