# SPDX-License-Identifier: GPL-2.0-only
"""Kernel modules: what is built in, what depends on what, and in which order to load it.

modules.dep does not exist in a package (depmod writes it on installation), so the dependencies
are read where depmod has them from: the "depends=" string in each module.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path

DEPENDS = re.compile(rb"(?:\A|\0)depends=([^\0]*)\0")
SUFFIXES = (".ko", ".ko.xz")


def read(module: Path) -> bytes:
    """The module as insmod wants it: busybox knows no compressed modules."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def name_of(module: Path) -> str:
    """The kernel takes '-' and '_' in a module name for the same."""
    return module.name.split(".ko")[0].replace("-", "_")


def load_order(tree: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Files to load for `wanted`, dependencies first, below a lib/modules/RELEASE `tree`."""
    present = {name_of(path): path for path in tree.rglob("*.ko*") if _is_module(path)}
    builtin = _builtin(tree)
    order: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in order or name in builtin:
            return
        if name not in present:
            raise FileNotFoundError(f"module '{name}' is neither in '{tree}' nor built in")
        for dependency in _dependencies(present[name]):
            visit(dependency)
        order[name] = present[name]

    for name in wanted:
        visit(name)
    return list(order.values())


def _is_module(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def _builtin(tree: Path) -> set[str]:
    lines = (tree / "modules.builtin").read_text().splitlines()
    return {name_of(Path(line)) for line in lines}


def _dependencies(module: Path) -> list[str]:
    found = DEPENDS.search(read(module))
    if found is None:
        raise ValueError(f"'{module}' does not say what it depends on")
    return [name.replace("-", "_") for name in found[1].decode().split(",") if name]
