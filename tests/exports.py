# SPDX-License-Identifier: GPL-2.0-only
"""What `sluice extents` writes, read back, and what has to hold for it whatever is free.

A document is what --json gives: format, page_size, pageblock_order, lowest_order and entries, and
the entries are the same however they were written.
"""

from __future__ import annotations

import struct
from typing import Any

MAGIC = b"sluicext"
HEADER = struct.Struct("<8sHHIBB6x")
FORMATS = {1: "ranges", 2: "orders", 3: "bitmap"}
END = 2 * 8
ONES = (1 << 64) - 1
REPORTED = 1 << 11
WORD_BLOCKS = 64

Document = dict[str, Any]
Entry = dict[str, Any]


def parse_text(export_format: str, text: str) -> list[Entry]:
    """The entries of the text style."""
    rows = [line.split(" ") for line in text.splitlines()]
    if export_format == "ranges":
        return [{"pfn": int(pfn), "pages": int(pages)} for pfn, pages in rows]
    if export_format == "bitmap":
        return [{"pfn": int(pfn), "free": free} for pfn, free in rows]
    assert all(mark in ("reported", "-") for _, _, mark in rows), "neither reported nor -"
    return [{"pfn": int(pfn), "order": int(order), "reported": mark == "reported"}
            for pfn, order, mark in rows]


def parse_binary(data: bytes) -> Document:
    """The document of the binary style; AssertionError unless it is whole."""
    magic, version, number, page_size, block_order, lowest = HEADER.unpack_from(data)
    assert (magic, version) == (MAGIC, 1), f"{magic} {version}"
    words = [word for (word,) in struct.iter_unpack("<Q", data[HEADER.size:])]
    read = {"ranges": _ranges, "orders": _orders, "bitmap": _bitmap}[FORMATS[number]]
    entries = read(words[:-2], block_order)
    assert words[-2:] == [ONES, len(entries)], f"{words[-2:]} ends {len(entries)} entries"
    return {"format": FORMATS[number], "page_size": page_size, "pageblock_order": block_order,
            "lowest_order": lowest, "entries": entries}


def _ranges(words: list[int], _block_order: int) -> list[Entry]:
    entries, rest = [], iter(words)
    for word in rest:
        pages = word & 0xfff or next(rest)
        entries.append({"pfn": word >> 12, "pages": pages})
    return entries


def _orders(words: list[int], _block_order: int) -> list[Entry]:
    return [{"pfn": word >> 12, "order": word & 0x1f, "reported": bool(word & REPORTED)}
            for word in words]


def _bitmap(words: list[int], block_order: int) -> list[Entry]:
    entries, rest = [], iter(words)
    for word in rest:
        pfn, blocks = word >> 12, next(rest)
        for first in range(0, blocks, WORD_BLOCKS):
            bits, count = next(rest), min(WORD_BLOCKS, blocks - first)
            assert bits >> count == 0, f"bits behind the end of the range at pfn {pfn}"
            entries.append({"pfn": pfn + (first << block_order),
                            "free": "".join(str(bits >> i & 1) for i in range(count))})
    return entries


def assert_document(found: Document) -> None:
    """Ascending and disjoint, extents aligned, ranges merged, bitmaps without a gap in a word."""
    end = -1
    for entry in found["entries"]:
        pfn = entry["pfn"]
        if found["format"] == "ranges":
            assert pfn > end and entry["pages"] > 0, f"{entry} behind {end}"
            end = pfn + entry["pages"]
        elif found["format"] == "orders":
            order = entry["order"]
            assert order >= found["lowest_order"], entry
            assert pfn >= end and pfn % (1 << order) == 0, f"{entry} behind {end}"
            end = pfn + (1 << order)
        else:
            assert pfn >= end and 0 < len(entry["free"]) <= WORD_BLOCKS, f"{entry} behind {end}"
            end = pfn + (len(entry["free"]) << found["pageblock_order"])


def free_pages(found: Document) -> int:
    """Pages that the entries say are free."""
    if found["format"] == "ranges":
        return sum(entry["pages"] for entry in found["entries"])
    if found["format"] == "orders":
        return sum(1 << entry["order"] for entry in found["entries"])
    return sum(entry["free"].count("1") for entry in found["entries"]) << found["pageblock_order"]


def order_counts(found: Document) -> dict[int, int]:
    """Extents by order, of an export of format orders."""
    counts = {order["order"]: 0 for order in found["orders"]}
    for entry in found["entries"]:
        counts[entry["order"]] += 1
    return counts


def equals_kernel(found: Document) -> bool:
    """Whether the entries of a JSON document are as many as the kernel counted right after, by
    order or, where entries have none, in pages; AssertionError unless it counts its own right."""
    free = {order["order"]: order["free_extents"] for order in found["orders"]}
    nr_free = {order["order"]: order["nr_free"] for order in found["orders"]}
    assert len(found["entries"]) == found["nr_entries"], found["nr_entries"]
    if found["format"] == "orders":
        assert order_counts(found) == free, f"{order_counts(found)} {free}"
    assert free_pages(found) == sum(count << order for order, count in free.items()), free
    return free == nr_free
