"""In which form requests are put to models that take rows, one row, or both."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import RUNNER

sys.path.append(str(RUNNER / "tasks/runtime"))
from model_runtime.scoring import Scoring, Values, alike, is_flat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


class Model:
    """A scorer around a function of the values."""

    explain = None

    def __init__(self, predict: Callable[[Any], Any]) -> None:
        """Answer with this, and count how often."""
        self._predict = predict
        self.calls = 0

    def predict(self, names: Sequence[str], values: Any) -> tuple[Sequence[str], Any]:  # noqa: ANN401 - of any form
        """Answer."""
        del names
        self.calls += 1
        return (), self._predict(values)


def of_rows(rows: Any) -> list[float]:  # noqa: ANN401 - as a model has it
    """Take rows, as libraries do."""
    return [first + second for first, second in rows]


def of_one(row: Any) -> float:  # noqa: ANN401 - as a model has it
    """Take one row, as models that put a list around it do: rows in rows are an error then."""
    return of_rows([row])[0] + 0.0


def of_both(values: Any) -> list[float]:  # noqa: ANN401 - as a model has it
    """Take a row or rows."""
    return of_rows(values if isinstance(values[0], list) else [values])


def ranked(rows: Any) -> list[int]:  # noqa: ANN401 - as a model has it
    """Answer each row by its place among the others."""
    sums = of_rows(rows)
    return [sorted(sums).index(one) for one in sums]


@pytest.mark.parametrize(
    ("values", "flat"),
    [
        ([1, 2], True), ([[1, 2]], False), ([{"a": 1}, {"a": 2}], False), ([{"a": 1}, 2], True),
        ([[{"a": 1}, 2]], False), ([], True),
    ],
)  # fmt: skip
def test_what_a_row_is(values: list[Any], flat: bool) -> None:  # noqa: FBT001
    """Lists are rows, and so are objects among nothing but objects."""
    assert flat == is_flat(values)


def of_groups(rows: Any) -> list[float]:  # noqa: ANN401 - as a model has it
    """Answer once for all."""
    return [sum(of_rows(rows))]


def known(predict: Callable[[Any], Any], sample: Any) -> tuple[Model, Scoring]:  # noqa: ANN401
    """Return a model whose sample was tried."""
    model = Model(predict)
    scoring = Scoring(model)
    if sample is not None:
        scoring.try_sample(Values((), sample))
    return model, scoring


@pytest.mark.parametrize("predict", [of_rows, of_one, of_both])
@pytest.mark.parametrize("sample", [ROWS, ROWS[:1], ROWS[0], None])
def test_a_row_and_rows_are_answered(predict: Callable[[Any], Any], sample: Any) -> None:  # noqa: ANN401
    """Whichever form the model takes, and whichever its sample has, if it has any."""
    _, scoring = known(predict, sample)

    assert [3.0] == scoring.predict(Values((), ROWS[0])).values
    assert [3.0, 7.0, 11.0] == scoring.predict(Values((), ROWS)).values
    assert [3.0] == scoring.predict(Values((), ROWS[:1])).values


@pytest.mark.parametrize("predict", [of_rows, of_both])
def test_rows_of_many_requests_are_put_together(predict: Callable[[Any], Any]) -> None:
    """A model that answers each row by itself is asked once."""
    model, scoring = known(predict, ROWS)
    model.calls = 0

    answers = scoring.predict_many([Values((), ROWS[:2]), Values((), ROWS[2]), Values((), ROWS)])

    assert [[3.0, 7.0], [11.0], [3.0, 7.0, 11.0]] == [one.values for one in answers]
    assert 1 == model.calls


@pytest.mark.parametrize("predict", [of_one, ranked, of_groups])
def test_rows_that_are_not_answered_one_by_one_are_not_put_together(
    predict: Callable[[Any], Any],
) -> None:
    """Where an answer depends on the other rows, or is none of rows, each request is by itself."""
    _, scoring = known(predict, ROWS)

    assert not scoring.batches


def test_without_a_sample_nothing_is_put_together() -> None:
    """Nothing is known of the model then."""
    assert not known(of_rows, None)[1].batches


def test_a_sample_that_the_model_takes_in_no_form() -> None:
    """Its own error is raised: of the form that was sent."""

    def broken(values: Any) -> None:  # noqa: ANN401 - as a model has it
        raise ValueError(f"{len(values)} values")

    with pytest.raises(ValueError, match="3 values"):
        known(broken, ROWS)
    with pytest.raises(ValueError, match="2 values"):
        known(broken, ROWS[0])


def test_the_error_is_that_of_the_form_that_was_sent() -> None:
    """What the model says of another form would mislead."""
    _, scoring = known(of_both, None)

    with pytest.raises(TypeError):
        scoring.predict(Values((), [1.0, None]))


def test_rounding_makes_no_difference() -> None:
    """Sums in single precision come out differently among others; words and counts do not."""
    assert alike([0.1, [1, "a"]], [0.1000001, [1, "a"]])
    assert alike(float("nan"), float("nan"))
    assert not alike([0.1], [0.2])
    assert not alike([1], [1, 2])
    assert not alike("a", "b")
