# SPDX-License-Identifier: GPL-2.0-only
"""The page of an experiment's report, as a browser shows it.

    seen = check_page(Path("report.html"), Path("report.png"))

    python3 tests/ab_page.py report.html report.png [WIDTH]

A headless Chromium loads the page, with an empty profile.  Nothing here fetches anything, and a
page that would want to fails.
"""

from __future__ import annotations

import itertools
import operator
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM_SECONDS = 120
WIDTH, HEIGHT = 1280, 3600
PLOTS = ("differences", "intervals", "timeline", "lifetimes")
LEAST_COLOURS = 16

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--force-device-scale-factor=1")

# Elements and attributes that run something or fetch something, whatever they point to.
FORBIDDEN_TAGS = {"script", "link", "iframe", "frame", "object", "embed", "base", "form", "img",
                  "image", "audio", "video", "source", "foreignobject"}
POINTERS = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}
FETCHES = re.compile(r"url\(\s*['\"]?(?!#)|@import|@font-face|javascript:", re.IGNORECASE)

PNG_START = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}  # by colour type: RGB and RGBA


@dataclass
class Seen:
    """What the page shows."""

    headline: str = ""
    verdict: str = ""
    plots: dict[str, str] = field(default_factory=dict)  # by figure: "plot", or why there is none
    rows: int = 0  # of the table of outcomes
    width: int = 0
    height: int = 0
    colours: int = 0


# --- browser -------------------------------------------------------------------------------------

def chromium(html: Path, *flags: str) -> str:
    """What Chromium prints of a page."""
    with tempfile.TemporaryDirectory(prefix="sluice-page-") as profile:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", *flags,
                   html.absolute().as_uri()]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                output, errors = process.communicate(timeout=CHROMIUM_SECONDS)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    assert process.returncode == 0, f"chromium: {process.returncode}\n{errors.decode()}"
    return output.decode()


# --- document ------------------------------------------------------------------------------------

class Page(HTMLParser):
    """Collects what is to be seen, and what must not be there."""

    VOID = {"meta", "br", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self.wrong: list[str] = []
        self.ids: set[str] = set()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.figure = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        attributes = {name: value or "" for name, value in attrs}
        self._judge(tag, attributes)
        if tag == "figure":
            self.figure = attributes.get("id", "")
        elif tag == "svg" and self.figure:
            self.seen.plots[self.figure] = "plot"
        elif tag == "tr" and ("tbody", {}) in self.open:
            self.seen.rows += 1
        if tag not in self.VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        """Back to what was around it."""
        while self.open and self.open.pop()[0] != tag:
            pass
        if tag == "figure":
            self.figure = ""

    def handle_data(self, data: str) -> None:
        """Text goes to the element that it stands in."""
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag == "h1":
            self.seen.headline += data
        elif attributes.get("class") == "says":
            self.seen.verdict += data
        elif attributes.get("class") == "none" and self.figure:
            self.seen.plots[self.figure] = self.seen.plots.get(self.figure, "") + data
        elif tag == "style" and FETCHES.search(data):
            self.wrong.append("the style sheet fetches something")

    def _judge(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in FORBIDDEN_TAGS:
            self.wrong.append(f"<{tag}>")
        for name, value in attributes.items():
            if name.startswith("on") or FETCHES.search(value):
                self.wrong.append(f'<{tag} {name}="{value}">')
            if name in POINTERS and not value.startswith("#"):
                self.wrong.append(f'<{tag} {name}="{value}">')
            if name == "id" and value in self.ids:
                self.wrong.append(f'id "{value}" twice')
            if name == "id":
                self.ids.add(value)


def read_dom(html: Path) -> Seen:
    """What the browser made of the page; AssertionError if that is not as it should be."""
    page = Page()
    page.feed(chromium(html, "--dump-dom"))
    page.close()
    seen = page.seen
    assert not page.wrong, f"{html}: {', '.join(page.wrong)}"
    assert seen.headline and seen.verdict, f"{html}: no verdict"
    assert tuple(seen.plots) == PLOTS, f"{html}: plots of {list(seen.plots)}"
    empty = [name for name, text in seen.plots.items() if not text.strip()]
    assert not empty, f"{html}: neither a plot nor a sentence for {empty}"
    return seen


# --- picture -------------------------------------------------------------------------------------

def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the parts of a PNG file."""
    position = len(PNG_START)
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        yield kind, png[position + 8:position + 8 + length]
        position += length + 12


def paeth(left: int, above: int, corner: int) -> int:
    """The predictor of the PNG specification, 9.4."""
    estimate = left + above - corner
    distances = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
    return (left, above, corner)[distances.index(min(distances))]


def unfilter(kind: int, row: bytearray, above: bytes, step: int) -> bytes:
    """One row of pixels as it was before the filter."""
    if kind == 0:
        return bytes(row)
    if kind == 1:
        for channel in range(step):
            sums = itertools.accumulate(row[channel::step])
            row[channel::step] = bytes(value & 255 for value in sums)
        return bytes(row)
    if kind == 2:
        return bytes(value & 255 for value in map(operator.add, row, above))
    for i, value in enumerate(row):
        left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
        predicted = (left + above[i]) // 2 if kind == 3 else paeth(left, above[i], corner)
        row[i] = (value + predicted) & 255
    return bytes(row)


def png_colours(path: Path) -> tuple[int, int, int]:
    """Width, height, and how many colours there are."""
    png = path.read_bytes()
    assert png.startswith(PNG_START), f"{path} is no PNG file"
    parts = list(chunks(png))
    width, height, depth, colour_type, *_, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    assert depth == 8 and colour_type in CHANNELS and not interlaced, f"{path}: another kind"
    step = CHANNELS[colour_type]
    data = zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"))
    colours: set[bytes] = set()
    size = width * step
    above = bytes(size)
    for start in range(0, len(data), size + 1):
        row = bytearray(data[start + 1:start + 1 + size])
        above = unfilter(data[start], row, above, step)
        colours.update(above[i:i + step] for i in range(0, size, step))
    return width, height, len(colours)


# --- both ----------------------------------------------------------------------------------------

def check_page(html: Path, png: Path, width: int = WIDTH, height: int = HEIGHT) -> Seen:
    """Open a page, leave a picture of it, and return what was seen; AssertionError: it is wrong."""
    seen = read_dom(html)
    chromium(html, f"--screenshot={png.absolute()}", f"--window-size={width},{height}")
    seen.width, seen.height, seen.colours = png_colours(png)
    assert (seen.width, seen.height) == (width, height), f"{png}: {seen.width} x {seen.height}"
    assert seen.colours >= LEAST_COLOURS, f"{png}: nothing but {seen.colours} colours"
    return seen


if __name__ == "__main__":
    print(check_page(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4])))
