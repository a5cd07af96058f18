# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages out of suites that the running system does not use.

Everything is left to apt, with a state and cache directory of its own, so that every index is
verified against Debian's archive keys and every package against its index, while the package
system of the machine itself stays untouched.  There is deliberately no way to switch that
verification off.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEFAULT_MIRROR = "http://deb.debian.org"

# The parts of a kernel depend on each other in just one version (base has modules.builtin since
# 7.1); what else an image depends on is of no use without an installed system around it.
KERNEL_PART = re.compile(r"(linux-(?:base|image|binary|modules)-\S+) \(= (\S+)\)")

# The hooks of the machine (notifications to a desktop, for instance) have no business with a
# private state directory; #clear needs a file, an option on the command line cannot do it.
APT_CONF = """\
Dir::State "{top}/state";
Dir::State::status "{top}/state/status";
Dir::Cache "{top}/cache";
Dir::Etc::sourcelist "{top}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
// The user _apt cannot enter a cache below somebody's home directory.
APT::Sandbox::User "root";
// Without this a failed download of an index is a warning and the exit status 0.
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""


class ArchiveError(RuntimeError):
    """The archive cannot be reached, does not verify, or lacks a package."""


@dataclass(frozen=True)
class Package:
    """One binary package as the signed index describes it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class _Stanza:
    package: Package
    depends: str


class Archive:
    """Some suites of the Debian archive, with apt's state below `top`."""

    def __init__(self, top: Path, suites: Sequence[str], architecture: str) -> None:
        self._top = top.absolute()
        self._suites = suites
        self._architecture = architecture
        self._conf = self._top / "apt.conf"

    def update(self) -> None:
        """Fetch and verify the indexes; they stay as they were when that fails.

        A mirror may stand still, so that an index outlives its validity.  Its signature still
        says whose it is, and kernels.lock what is in it: it is taken, but not silently.
        """
        self._configure()
        try:
            self._apt("apt-get", "update")
        except ArchiveError as error:
            if "is expired" not in str(error):
                raise
            print(f"kernels: taken in spite of its age: {error}", file=sys.stderr)
            self._apt("apt-get", "-o", "Acquire::Check-Valid-Until=false", "update")

    def newest_kernel(self, series: str) -> list[Package]:
        """All packages of the newest cloud kernel of `series` that is there completely.

        An image may be offered before its modules (or the other way round) while the parts
        pass through the archive, hence the search downwards from the newest.
        """
        pattern = re.compile(rf"linux-image-{re.escape(series)}(?:[.+-]\S*)?"
                             rf"-cloud-{self._architecture}")
        names = self._apt("apt-cache", "pkgnames", f"linux-image-{series}").split()
        images = [name for name in names if pattern.fullmatch(name)]
        if not images:
            raise ArchiveError(f"no cloud kernel {series} in {', '.join(self._suites)}")
        stanzas = list(self._show(*images))
        stanzas.sort(key=lambda s: _version_key(s.package.version), reverse=True)
        problems = []
        for stanza in stanzas:
            try:
                return self._parts(stanza)
            except ArchiveError as error:
                problems.append(str(error))
        raise ArchiveError(f"no complete cloud kernel {series}: {'; '.join(problems)}")

    def newest(self, name: str) -> Package:
        """The newest version of one package."""
        return max((stanza.package for stanza in self._show(name)),
                   key=lambda package: _version_key(package.version))

    def download(self, package: Package, into: Path) -> Path:
        """Download one package and check it against the index once more."""
        self._apt("apt-get", "download", f"{package.name}={package.version}", cwd=into)
        found = list(into.glob(f"{package.name}_*.deb"))
        if len(found) != 1:
            raise ArchiveError(f"'{package.name}': {len(found)} files after the download, not 1")
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
        if digest != package.sha256:
            raise ArchiveError(f"'{found[0]}': sha256 {digest}, the index says {package.sha256}")
        return found[0]

    def _configure(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self._top / folder).mkdir(parents=True, exist_ok=True)
        (self._top / "state/status").touch()
        self._conf.write_text(APT_CONF.format(top=self._top,
                                              architecture=self._architecture))
        mirror = os.environ.get("SLUICE_MIRROR", DEFAULT_MIRROR).rstrip("/")
        lines = [self._source_line(mirror, suite) for suite in self._suites]
        (self._top / "sources.list").write_text("".join(lines))

    def _source_line(self, mirror: str, suite: str) -> str:
        folder = "debian-security" if suite.endswith("-security") else "debian"
        options = f"arch={self._architecture} signed-by={KEYRING}"
        return f"deb [{options}] {mirror}/{folder} {suite} main\n"

    def _parts(self, stanza: _Stanza) -> list[Package]:
        parts = {stanza.package: None}
        for name, version in KERNEL_PART.findall(stanza.depends):
            for found in self._show(f"{name}={version}"):
                parts |= dict.fromkeys(self._parts(found))
        return list(parts)

    def _show(self, *packages: str) -> Iterator[_Stanza]:
        for text in self._apt("apt-cache", "show", *packages).split("\n\n"):
            field = dict(re.findall(r"^([A-Z]\w*): (.*)$", text, re.MULTILINE))
            if field:
                package = Package(field["Package"], field["Version"], field["SHA256"])
                yield _Stanza(package, field.get("Depends", ""))

    def _apt(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        command = [tool, "-q", "-c", str(self._conf), *arguments]
        done = subprocess.run(command, cwd=cwd, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise ArchiveError(_explain(f"{tool} {arguments[0]}", done.stderr))
        return done.stdout


def _explain(what: str, stderr: str) -> str:
    message = f"{what} failed: {' '.join(stderr.split())}"
    if "NO_PUBKEY" in stderr:
        message += f" (a newer debian-archive-keyring is needed in '{KEYRING}')"
    return message


@functools.cmp_to_key
def _version_key(one: str, other: str) -> int:
    """Debian's version order has too many corners to be written a second time."""
    for relation, result in (("lt", -1), ("gt", 1)):
        command = ["dpkg", "--compare-versions", one, relation, other]
        if subprocess.run(command, check=False).returncode == 0:
            return result
    return 0
