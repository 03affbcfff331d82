"""Summaries of numbers and of categories: of bounded size, fed in batches, merged without loss.

A merged summary is that of all the values together, to the last count; means and deviations are so
but for the rounding.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ACCURACY = 0.02
"""How far a quantile may be from a value that has its rank, as a part of that value."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_LABELS = 50
MOST_STRANGERS = 10
LONGEST_LABEL = 100

_GROWTH = math.log((1 + ACCURACY) / (1 - ACCURACY))
_SMALLEST, _LARGEST = 1e-9, 1e12
_OFFSET = 1 - math.ceil(math.log(_SMALLEST) / _GROWTH)


@dataclass
class Numbers:
    """Numbers in a few counts: `bins` between the baseline's `edges`, and a sketch for quantiles.

    The sketch counts values in buckets that grow by a constant factor: DDSketch of C. Masson, J. E.
    Rim and H. K. Lee, DDSketch: a fast and fully-mergeable quantile sketch with relative-error
    guarantees, Proceedings of the VLDB Endowment 12 (2019).  Its buckets end at 1e-9 and 1e12.
    `lowest` and `highest` are those of the baseline, `squares` sums the squared distances from the
    mean.
    """

    edges: Sequence[float] = ()
    lowest: float = -math.inf
    highest: float = math.inf
    count: int = 0
    outside: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    bins: list[int] = field(default_factory=list)
    buckets: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.bins = self.bins or [0] * (len(self.edges) + 1)

    def add(self, values: Sequence[float]) -> None:
        """Take finite numbers."""
        if not values:
            return
        for place, count in Counter(map(partial(bisect_left, self.edges), values)).items():
            self.bins[place] += count
        self.buckets.update(map(_bucket, values))
        least, most = min(values), max(values)
        if least < self.lowest or most > self.highest:
            self.outside += sum(not self.lowest <= value <= self.highest for value in values)
        self.least, self.most = min(self.least, least), max(self.most, most)
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        self._join(len(values), mean, squares)

    def merge(self, other: Numbers) -> None:
        """Take all that another summary with the same edges has."""
        self.bins = [mine + theirs for mine, theirs in zip(self.bins, other.bins, strict=True)]
        self.buckets.update(other.buckets)
        self.outside += other.outside
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self._join(other.count, other.mean, other.squares)

    def _join(self, count: int, mean: float, squares: float) -> None:
        """Join means and squares: T. F. Chan, G. H. Golub, R. J. LeVeque, report STAN-CS-79-773."""
        if not count:
            return
        both, apart = self.count + count, mean - self.mean
        self.mean += apart * count / both
        self.squares += squares + apart**2 * (self.count * count / both)
        self.count = both

    def quantile(self, share: float) -> float:
        """Return about the value that this share of all values is not above."""
        rank, seen = share * (self.count - 1), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen > rank:
                return min(max(_middle(bucket), self.least), self.most)
        return self.most

    def described(self) -> dict[str, Any]:
        """Return what there is to say of the numbers."""
        if not self.count:
            return {}
        deviation = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else None
        found: dict[str, Any] = {
            "min": self.least,
            "max": self.most,
            "mean": self.mean,
            "std": deviation,
            "quantiles": {str(share): self.quantile(share) for share in QUANTILES},
        }
        if self.lowest > -math.inf:
            found["out_of_range"] = self.outside / self.count
        return found


def _bucket(value: float) -> int:
    """Return the number of a value's bucket: 0 for next to nothing, below 0 for those below it."""
    size = abs(value)
    if size < _SMALLEST:
        return 0
    number = math.ceil(math.log(min(size, _LARGEST)) / _GROWTH) + _OFFSET
    return number if value > 0 else -number


def _middle(bucket: int) -> float:
    """Return the value that is as near as can be to all in a bucket."""
    if not bucket:
        return 0.0
    upper = math.exp((abs(bucket) - _OFFSET) * _GROWTH)
    return math.copysign(upper * (1 - ACCURACY), bucket)


@dataclass
class Labels:
    """How often each category occurs: those that are known, and all others together.

    `known` are those that the baseline counts; None where there is no baseline: then the first that
    come are.  `strangers` are the first few that are not known, `other` how often such came.
    """

    known: frozenset[str] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    other: int = 0
    strangers: dict[str, None] = field(default_factory=dict)

    def add(self, labels: Iterable[str]) -> None:
        """Take the names of categories."""
        for label, count in Counter(labels).items():
            self._take(label, count)

    def merge(self, more: Labels) -> None:
        """Take all that another summary has."""
        for label, count in more.counts.items():
            self._take(label, count)
        self.other += more.other
        for label in more.strangers:
            self._note(label)

    def _take(self, label: str, count: int) -> None:
        if label in self.known if self.known is not None else self._has_room(label):
            self.counts[label] += count
        else:
            self.other += count
            self._note(label)

    def _has_room(self, label: str) -> bool:
        short = len(label) <= LONGEST_LABEL
        return label in self.counts or (short and len(self.counts) < MOST_LABELS)

    def _note(self, label: str) -> None:
        if self.known is not None and len(self.strangers) < MOST_STRANGERS:
            self.strangers[label[:LONGEST_LABEL]] = None

    def described(self) -> dict[str, Any]:
        """Return the share of each category, the most frequent first."""
        count = self.counts.total() + self.other
        if not count:
            return {}
        shares = {label: n / count for label, n in self.counts.most_common()}
        return {"shares": shares, "other": self.other / count}
