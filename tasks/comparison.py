"""Evaluations beside those that stood before them: values, and what is said of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks import metrics
from tasks.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GOOD = ("ran", "restored", "up to date")
BROKEN = "not good enough"
STATES = (BROKEN, "failed", "interrupted", "not run", "ran", "restored", "up to date", "ignored")


@dataclass(frozen=True)
class Change:
    """One metric: what it was, what it is, and what is asked of it; None where there is none.

    `broken` says what is wrong with it, nothing where it is good enough.
    """

    name: str
    before: float | None
    after: float | None
    least: float | None = None
    most: float | None = None
    broken: str = ""

    @property
    def delta(self) -> float | None:
        """How much it has changed."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    @property
    def cells(self) -> list[str]:
        """Name, before, after, delta, threshold and verdict as the tables show them."""
        numbers = ["" if n is None else number_text(n) for n in (self.before, self.after)]
        delta = "" if self.delta is None else _delta_text(self.delta)
        if delta and all(text.lstrip("-").isdigit() for text in numbers):
            delta = f"{int(self.delta):+}" if self.delta else "0"
        bounds = ((">=", self.least), ("<=", self.most))
        threshold = ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        good = "ok" if threshold and self.after is not None else ""
        return [self.name, *numbers, delta, threshold, "BROKEN" if self.broken else good]


def _delta_text(delta: float) -> str:
    """Return a difference with its sign; of small ones all have as many digits that count."""
    small = isinstance(delta, float) and 0 < abs(delta) < 1
    return f"{'+' * (delta > 0)}{f'{delta:#.3g}' if small else number_text(delta)}"


@dataclass(frozen=True)
class Trouble:
    """Why there is no new result: the step that failed, its message, and that in parts."""

    step: str
    headline: str
    text: str
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What came of one evaluation.

    `name` is the model's, with `@dataset` behind it where a dataset is named.  `state` is one of
    STATES, BROKEN where a threshold is broken.  `seconds` is None where it did not start.
    `accepted` says who accepted which change to it, or to the training that it worked on.  `usage`
    is what its processes used when it was made, None where nobody knows.
    """

    name: str
    state: str
    seconds: float | None
    changes: tuple[Change, ...]
    trouble: Trouble | None = None
    accepted: tuple[str, ...] = ()
    usage: Mapping[str, float] | None = None

    @property
    def measured(self) -> tuple[Change, ...]:
        """The metrics, where there are any to compare."""
        return self.changes if any(one.after is not None for one in self.changes) else ()

    @property
    def message(self) -> str:
        """What is wrong, in one line: of thresholds, each that is broken."""
        broken = "; ".join(f"{one.name} {one.broken}" for one in self.changes if one.broken)
        return broken or (self.trouble.headline if self.trouble else self.state)

    @property
    def after(self) -> dict[str, float]:
        """The metrics as they are."""
        return {one.name: one.after for one in self.changes if one.after is not None}


def compare(
    before: Mapping[str, float],
    after: Mapping[str, float],
    thresholds: Mapping[str, Mapping[str, float]],
) -> tuple[Change, ...]:
    """Return each metric that is, should be or was; none is broken where nothing was measured."""
    broken = metrics.broken(after, thresholds) if after else {}
    asked = {name: thresholds.get(name, {}) for name in [*after, *thresholds, *before]}
    return tuple(
        Change(
            name,
            before.get(name),
            after.get(name),
            bounds.get("min"),
            bounds.get("max"),
            broken.get(name, ""),
        )
        for name, bounds in asked.items()
    )


def counted(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """Return how many evaluations are in each state, the bad ones first."""
    found = Counter(one.state for one in evaluations)
    return {state: found[state] for state in STATES if found[state]}
