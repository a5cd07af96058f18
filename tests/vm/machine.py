# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU emulates, by Debian's name of the architecture.

One host thread for all CPUs (thread=single): with a thread each, QEMU 7.2 now and then runs code
that another CPU has patched meanwhile, which the guest takes for a stray breakpoint ("Oops:
int3"), and every attached tracepoint patches code.  It costs a boot less than a second.  The
buffer for translated code is limited because its default, up to 1 GiB, could be mistaken for the
guest's memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BUILD = Path(__file__).absolute().parents[2] / "build"
ACCELERATOR = ("-accel", "tcg,thread=single,tb-size=256")


@dataclass(frozen=True)
class Machine:
    """A machine with two serial ports: the kernel's console, and the channel for commands."""

    qemu: str
    package: str  # Debian's, with `qemu`
    board: str
    cpu: str
    console: str  # name in the guest of the port that the option -serial fills
    channel: str
    channel_device: str
    triplet: str  # CROSS= of the Makefile; "": the programs are built for the host itself

    def options(self, board_options: Iterable[str]) -> list[str]:
        """QEMU's options for the accelerator, the processor and the board with its own options."""
        return [*ACCELERATOR, "-cpu", self.cpu, "-machine", ",".join([self.board, *board_options])]

    def static(self, build: Path = BUILD) -> Path:
        """Where `make static` puts the programs for it."""
        return build / self.triplet / "static"


MACHINES = {
    # cmpxchg16b is left out because 6.12 was seen to crash on it
    "amd64": Machine("qemu-system-x86_64", "qemu-system-x86", "q35", "max,cx16=off",
                     "ttyS0", "ttyS1", "isa-serial", ""),
    # the board has one port of its own; cpu "max" spends its time on pointer authentication
    "arm64": Machine("qemu-system-aarch64", "qemu-system-arm", "virt", "cortex-a72",
                     "ttyAMA0", "ttyS0", "pci-serial", "aarch64-linux-gnu"),
}
