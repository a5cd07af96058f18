# SPDX-License-Identifier: GPL-2.0-only
"""Medians of paired measurements, and how far they can be trusted.

The interval of a median is taken from the measurements themselves, by their order: whatever their
distribution, the true median lies between the k-th smallest and the k-th largest of n independent
values unless fewer than k of them fall on one side of it, and that is the tossing of n coins.
Nothing is assumed of noise but that it hits both members of a pair alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

LEVEL = 0.95


def rank_of_bound(number: int, level: float = LEVEL) -> int:
    """The largest k for which the k-th smallest and k-th largest of that many values enclose the
    median with at least this probability; 0 if there are too few of them."""
    rank, tail = 0, 0.0
    while rank < number // 2:
        tail += math.comb(number, rank) / 2**number
        if 2 * tail > 1 - level:
            break
        rank += 1
    return rank


@dataclass(frozen=True)
class Median:
    """A median and its interval, which is unbounded where the values are too few for one."""

    median: float
    low: float
    high: float
    number: int

    @classmethod
    def of(cls, values: Iterable[float], level: float = LEVEL) -> Median:
        """Of at least one value."""
        ordered = sorted(values)
        rank = rank_of_bound(len(ordered), level)
        return cls(statistics.median(ordered), ordered[rank - 1] if rank else -math.inf,
                   ordered[-rank] if rank else math.inf, len(ordered))

    def times(self, factor: float) -> Median:
        """The same in another unit."""
        return Median(self.median * factor, self.low * factor, self.high * factor, self.number)

    def verdict(self, limit: float) -> str:
        """Whether the median is at most the limit, as far as the interval can tell."""
        if self.high <= limit:
            return "met"
        return "missed" if self.low > limit else "open"

    def interval(self, digits: int = 2) -> str:
        """As in a table."""
        if math.isinf(self.low):
            return "too few"
        return f"[{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def as_json(self) -> dict[str, Any]:
        """JSON has no infinity."""
        return {name: None if isinstance(value, float) and math.isinf(value) else value
                for name, value in asdict(self).items()}


def slowdowns(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """By how many per cent the second of each pair of costs exceeds the first."""
    return [100 * (watched / alone - 1) for alone, watched in pairs]
