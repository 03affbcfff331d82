"""Summaries of the columns of what is scored, beside what training recorded of them.

What is a number, a category or missing is decided as at training, see `baseline` in the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.serving.counts import Labels, Numbers
from tasks.serving.divergence import is_enough, ks, psi, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST = 1e150
"""What is as large counts as infinite, and infinite as missing; as at training."""

MISSING = frozenset({"", "na", "n/a", "nan", "null"})
"""What stands for no value where all is text, in small letters; as at training."""


@dataclass
class Column:
    """What came in one column, beside `like`: what the baseline says of it, empty without one.

    `unseen` are the values in a column of numbers that are none.
    """

    like: Mapping[str, Any] = field(default_factory=dict)
    missing: int = 0
    unseen: int = 0
    numbers: Numbers = field(default_factory=Numbers)
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        like = self.like
        if "edges" in like:
            self.numbers = Numbers(like["edges"], like["min"], like["max"])
        if "counts" in like:
            self.labels = Labels(frozenset(like["counts"]))

    @property
    def kind(self) -> str:
        """What the baseline takes it for: `number`, `category`, `text`, or nothing."""
        return str(self.like.get("kind", ""))

    def add(self, cells: Sequence[Any]) -> None:
        """Take values as JSON has them."""
        if self.kind in {"number", ""} and set(map(type, cells)) == {float}:
            finite = [value for value in cells if -LARGEST < value < LARGEST]
            self.missing += len(cells) - len(finite)
            self.numbers.add(finite)
            return
        present = [value for value in map(plain, cells) if value is not None]
        self.missing += len(cells) - len(present)
        if self.kind == "text":
            self.numbers.add([len(named(value)) for value in present])
        elif self.kind == "category":
            self.labels.add(map(named, present))
        else:
            self.numbers.add([value for value in present if isinstance(value, float)])
            self._add_strings([value for value in present if isinstance(value, str)])

    def _add_strings(self, texts: list[str]) -> None:
        """Take strings in a column of numbers, or in one of which nothing is known."""
        if not self.kind:
            self.labels.add(texts)
            return
        read = [number for text in texts if (number := as_number(text)) is not None]
        self.unseen += len(texts) - len(read)
        self.numbers.add(read)

    def merge(self, more: Column) -> None:
        """Take all that another summary of the column has."""
        self.missing += more.missing
        self.unseen += more.unseen
        self.numbers.merge(more.numbers)
        self.labels.merge(more.labels)

    def shift(self) -> tuple[float | None, float | None]:
        """Return the PSI, and the KS where there is an order; None where it cannot be told.

        The PSI has a bin more for missing values, and one for those that are unseen.
        """
        if not self.like:
            return None, None
        ordered = "bins" in self.like
        counts = self.like["bins"] if ordered else self.like["counts"].values()
        labels = self.labels.counts
        known = self.numbers.bins if ordered else [labels[name] for name in self.like["counts"]]
        other = self.unseen if ordered else self.labels.other
        before = [*counts, self.like.get("other", 0), self.like["missing"]]
        now = [*known, other, self.missing]
        if not is_enough(before, now):
            return None, None
        return psi(before, now), ks(self.like["bins"], self.numbers.bins) if ordered else None

    def described(self) -> dict[str, Any]:
        """Return what there is to say of the column, in shares of its values (from 0 to 1)."""
        count = self.numbers.count + self.labels.counts.total() + self.labels.other + self.unseen
        found: dict[str, Any] = {"count": count}
        if count or self.missing:
            found["missing"] = self.missing / (count + self.missing)
        found |= self.numbers.described() | self.labels.described()
        if self.like:
            distance, largest = self.shift()
            found = {"kind": self.kind} | found | self._unseen(count)
            found |= {"psi": distance, "ks": largest, "verdict": verdict(distance)}
        return found

    def _unseen(self, count: int) -> dict[str, Any]:
        """Return what came that training had not: other categories, or what is no number.

        Which categories are new cannot be told where training had more than the baseline counts.
        """
        if not count or self.like.get("other"):
            return {}
        unseen = self.labels.other if self.kind == "category" else self.unseen
        found: dict[str, Any] = {"unseen": unseen / count}
        if self.labels.strangers:
            found["unseen_values"] = list(self.labels.strangers)
        return found


def plain(cell: object) -> float | str | None:
    """Return a value as a finite number or a string, None where it is missing; as at training."""
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        try:
            number = float(cell)
        except OverflowError:
            return None
        return number if -LARGEST < number < LARGEST else None
    text = "" if cell is None else named(cell)
    return None if text.strip().lower() in MISSING else text


def named(value: object) -> str:
    """Return the name of a category; true and false have one each, however they are written."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return text.lower() if text.lower() in {"true", "false"} else text


def as_number(text: str) -> float | None:
    """Return the finite number that a text is, None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if -LARGEST < number < LARGEST else None
