"""How requests are put to a model's scorer: in which form it takes values, one or many at a time.

A request has a flat row or rows.  Models differ: some take rows, some one flat row, some both;
some answer each row by itself, so that the rows of many requests can be put to them at once, and
some do not.  Which it is with a model is found out by trying its sample request.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import itertools
import math
import sys
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""How far the answer to a row may be from that to the same row among others: sums of single
precision come out differently in another order."""


class Values(NamedTuple):
    """The values of a request or an answer: a flat row or rows, and the names of the columns."""

    names: Sequence[str]
    values: Any


def is_flat(values: Any) -> bool:
    """Return whether values are one row and not rows: the first of which holds values.

    Objects are rows where all are; one among other values is a value.
    """
    if hasattr(values, "ndim"):
        return bool(values.ndim < 2)  # noqa: PLR2004 - rows and columns
    if len(values) and isinstance(values[0], dict):
        return not all(isinstance(value, dict) for value in values)
    return not (len(values) and isinstance(values[0], (list, tuple)))


def listed(value: Any) -> Any:
    """Return an answer as a list, or as an array of at least one dimension: a single one as one."""
    if hasattr(value, "ndim"):
        return value.reshape(1) if value.ndim == 0 else value
    return list(value) if isinstance(value, (list, tuple)) else [value]


class Scoring:
    """A model's scorer, with what is known of the form that it takes.

    A scorer whose `batches` is False answers in an order of its own.

    `rows` and `flat` say whether it takes those (None: not known yet), `batches` whether it can be
    given the rows of many requests at once.
    """

    def __init__(self, scorer: Any) -> None:
        """Wrap a scorer of which nothing is known."""
        self.scorer = scorer
        self.rows = self.flat = None  # type: Any
        self.batches = False

    def try_sample(self, sample: Values) -> Values:
        """Learn from the sample request in which form values are taken; return the answer to it.

        Raises what the model raises where it takes the sample in neither form.
        """
        flat = is_flat(sample.values)
        rows = [sample.values] if flat else sample.values
        by_rows, of_rows = self._tried(sample.names, rows)
        by_row, of_row = self._tried(sample.names, rows[0])
        if isinstance(of_rows, Exception) and isinstance(of_row, Exception):
            raise of_row if flat else of_rows
        self.rows, self.flat = by_rows is not None, by_row is not None
        self.batches = getattr(self.scorer, "batches", True) and self.rows
        self.batches = self.batches and self._answers_each(sample.names, rows, by_rows)
        if self.batches and self.flat:
            self.flat = alike(listed(by_row.values), listed(by_rows.values)[:1])
        return self.predict(sample)

    def _tried(self, names: Sequence[str], values: Any) -> Tuple[Any, Any]:
        try:
            return Values(*self.scorer.predict(names, values)), None
        except Exception as error:  # noqa: BLE001 - it may take another form
            return None, error

    def _answers_each(self, names: Sequence[str], rows: List[Any], together: Values) -> bool:
        """Return whether each row is answered by itself: alone, among others, and twice."""
        answers = listed(together.values)
        if len(answers) != len(rows):
            return False
        alone, _ = self._tried(names, rows[:1])
        doubled, _ = self._tried(names, [*rows, *rows])
        if alone is None or doubled is None:
            return False
        twice = listed(doubled.values)
        return (
            len(twice) == 2 * len(rows)
            and alike(listed(alone.values), answers[:1])
            and alike(twice[: len(rows)], answers)
            and alike(twice[len(rows) :], answers)
        )

    def predict(self, request: Values) -> Values:
        """Return the answer to one request, its values as a list or an array."""
        return self._put(self.scorer.predict, request)

    def explain(self, request: Values) -> Values:
        """Return the model's explanation of its answer to one request."""
        return self._put(self.scorer.explain, request)

    def predict_many(self, requests: Sequence[Values]) -> List[Values]:
        """Return the answers to requests with the same columns, whose rows are put together.

        Raises ValueError where there is not an answer to each row.
        """
        parts = [[one.values] if is_flat(one.values) else one.values for one in requests]
        ends = list(itertools.accumulate(map(len, parts)))
        if hasattr(requests[0].values, "dtype"):
            rows = sys.modules["numpy"].concatenate(parts)
        else:
            rows = [row for part in parts for row in part]
        names, values = self.scorer.predict(requests[0].names, rows)
        answers = listed(values)
        if len(answers) != len(rows):
            message = f"{len(answers)} answers to {len(rows)} rows"
            raise ValueError(message)
        return [Values(names, answers[a:b]) for a, b in zip([0, *ends], ends)]

    def _put(self, ask: Callable[..., Any], request: Values) -> Values:
        names, values = request
        flat = is_flat(values)
        takes, other = (self.flat, self.rows) if flat else (self.rows, self.flat)
        if takes is None:  # nothing is known: as it was sent, then in the other form
            try:
                return _answer(ask(names, values))
            except Exception:
                other_form = self._other(ask, request)
                if other_form is None:
                    raise
                return other_form
        if takes or not other:
            return _answer(ask(names, values))
        return _answer(ask(names, [values])) if flat else self._row_by_row(ask, request)

    def _other(self, ask: Callable[..., Any], request: Values) -> Optional[Values]:
        names, values = request
        try:
            if is_flat(values):
                return _answer(ask(names, [values]))
            return self._row_by_row(ask, request)
        except Exception:  # noqa: BLE001 - what it said of the form that was sent is told
            return None

    @staticmethod
    def _row_by_row(ask: Callable[..., Any], request: Values) -> Values:
        answers = [_answer(ask(request.names, row)) for row in request.values]
        each = [
            answer.values[0] if len(answer.values) == 1 else answer.values for answer in answers
        ]
        return Values(answers[0].names if answers else (), each)


def _answer(found: Tuple[Sequence[str], Any]) -> Values:
    names, values = found
    return Values(names, listed(values))


def alike(one: Any, other: Any) -> bool:
    """Return whether two answers are the same, but for what rounding does."""
    one, other = (v.tolist() if hasattr(v, "tolist") else v for v in (one, other))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        both = math.isnan(one) and math.isnan(other)
        return both or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(one == other)
