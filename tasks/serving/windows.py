"""What was scored in a stretch of time, column by column, beside what was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.records import utc
from tasks.serving.columns import Column
from tasks.serving.divergence import TOO_FEW, verdict
from tasks.serving.rows import CELLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NO_BASELINE = "no baseline to compare with"
MOST_COLUMNS = 200
"""More are not looked at; as at training."""


class Side:
    """The columns of what goes in, or of what comes out.

    Without a baseline they are those that come, by their names or their numbers from 1.
    """

    def __init__(self, like: Sequence[Mapping[str, Any]] = ()) -> None:
        """Begin with the columns of the baseline."""
        self.columns = {str(one["name"]): Column(one) for one in like}
        self.compared = bool(like)
        self._kind: tuple[tuple[str, ...], int] = ((), 0)
        self._rows: list[Sequence[object]] = []

    @property
    def width(self) -> int:
        """How many columns there are to be, 0 where that is not known."""
        return len(self.columns) if self.compared else 0

    def add(self, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Take rows of one length; `names` are those of the columns or empty.

        A few wait for more, until `settle` is called: many at once cost a fifth each.
        """
        kind = (tuple(names), len(rows[0]))
        if kind != self._kind:
            self.settle()
            self._kind = kind
        self._rows += rows
        if len(self._rows) * len(rows[0]) >= CELLS:
            self.settle()

    def settle(self) -> None:
        """Summarise the rows that wait."""
        if self._rows:
            for name, place in self._places(*self._kind):
                self.columns[name].add([row[place] for row in self._rows if place < len(row)])
        self._rows = []

    def _places(self, names: Sequence[str], width: int) -> list[tuple[str, int]]:
        """Return where in a row each column is: by its name, where it has another by position."""
        if not self.compared:
            names = names if len(names) == width else [str(at + 1) for at in range(width)]
            for name in names:
                if len(self.columns) < MOST_COLUMNS:
                    self.columns.setdefault(name, Column())
        there = {name: place for place, name in enumerate(names)}
        by_name = [(name, there[name]) for name in self.columns if name in there]
        if self.compared and len(by_name) < len(self.columns):
            return [(name, place) for place, name in enumerate(self.columns)]
        return by_name

    def merge(self, more: Side) -> None:
        """Take all that another summary has."""
        for name, column in more.columns.items():
            if name in self.columns or len(self.columns) < MOST_COLUMNS:
                self.columns.setdefault(name, Column()).merge(column)

    def described(self) -> dict[str, Any]:
        """Return what there is to say of each column."""
        return {name: column.described() for name, column in self.columns.items()}


class Window:
    """What was scored from one request to another; `start` and `end` in seconds since 1970."""

    def __init__(self, baseline: Mapping[str, Any]) -> None:
        """Begin with nothing; the baseline is empty where there is none."""
        self.inputs = Side(baseline.get("inputs", ()))
        self.outputs = Side(baseline.get("outputs", ()))
        self.start = self.end = 0.0
        self.requests = self.rows = 0

    def count(self, rows: int, when: float) -> None:
        """Count a request."""
        self.start = self.start if self.requests else when
        self.end = when
        self.requests += 1
        self.rows += rows

    def merge(self, more: Window) -> None:
        """Take all that a later window has."""
        if more.requests:
            self.start = self.start if self.requests else more.start
            self.end = more.end
        self.requests += more.requests
        self.rows += more.rows
        self.inputs.merge(more.inputs)
        self.outputs.merge(more.outputs)

    def shifts(self) -> Iterator[tuple[str, float, float | None]]:
        """Yield each column of which it can be told: `input …` or `output …`, its PSI, its KS."""
        for kind, side in (("input", self.inputs), ("output", self.outputs)):
            for name, column in side.columns.items():
                distance, largest = column.shift()
                if distance is not None:
                    yield f"{kind} {name}", distance, largest

    def brief(self) -> dict[str, Any]:
        """Return when it was, how much came, and the column that has moved most."""
        worst = max(self.shifts(), key=lambda shift: shift[1], default=None)
        compared = self.inputs.compared or self.outputs.compared
        return {
            "start": utc(self.start) if self.requests else None,
            "end": utc(self.end) if self.requests else None,
            "requests": self.requests,
            "rows": self.rows,
            "worst": dict(zip(("column", "psi", "ks"), worst, strict=True)) if worst else None,
            "verdict": verdict(worst[1]) if worst else TOO_FEW if compared else NO_BASELINE,
        }

    def described(self) -> dict[str, Any]:
        """Return all that there is to say of it."""
        sides = {"inputs": self.inputs.described(), "outputs": self.outputs.described()}
        return {**self.brief(), **sides}
