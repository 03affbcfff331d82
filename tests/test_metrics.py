"""Metrics as models write them, as numbers, and held against thresholds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.errors import UserError
from tasks.metrics import check_thresholds, collect

if TYPE_CHECKING:
    from pathlib import Path


def write(work: Path, path: str, value: object) -> None:
    """Write a JSON file below the working folder."""
    (work / path).parent.mkdir(parents=True, exist_ok=True)
    (work / path).write_text(value if isinstance(value, str) else json.dumps(value))


def test_values_of_every_form(tmp_path: Path) -> None:
    """Numbers in strings are numbers, names are joined, the rest is kept apart."""
    write(
        tmp_path,
        "models/evaluation.json",
        {
            "accuracy": "0.73", "share": "95%", "rows": 5, "ok": True,
            "matrix": {"tp": 3, "fn": "1"}, "interval": "(0.1, 0.2)", "classes": ["a", "b"],
            "plot": {"Content-Type": "image/png", "location": "x", "object": "y"},
        },
    )  # fmt: skip
    metrics = {"accuracy": 0.73, "share": 95.0, "rows": 5, "ok": 1}
    expected = {
        "metrics": {**metrics, "matrix.tp": 3, "matrix.fn": 1.0},
        "other": {
            "interval": "(0.1, 0.2)",
            "classes": ["a", "b"],
            "plot": {"Content-Type": "image/png", "location": "x", "object": "y"},
        },
    }

    assert expected == collect(str(tmp_path), None, "churn")


@pytest.mark.parametrize("folder", ["models", "metrics", "artifacts/output"])
@pytest.mark.parametrize("name", ["evaluation.json", "metrics.json", "metric.json"])
def test_every_place(tmp_path: Path, folder: str, name: str) -> None:
    """Metrics are found wherever models have written them."""
    write(tmp_path, f"{folder}/{name}", {"f1": 0.5})

    assert {"f1": 0.5} == collect(str(tmp_path), None, "churn")["metrics"]


def test_returned_metrics(tmp_path: Path) -> None:
    """Without a file, what `evaluate` returned counts."""
    assert {"f1": 0.5} == collect(str(tmp_path), {"f1": 0.5}, "churn")["metrics"]


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ('{"f1": NaN}', "f1  nan"),
        ('{"f1": "inf"}', "f1  inf"),
        ('{"a": {"b": -Infinity}}', "a.b  -inf"),
        ('{"count": 1' + 400 * "0" + "}", "count  inf"),
        ("{", "models/evaluation.json"),
        ("{}", "left no metrics"),
    ],
)
def test_refused(tmp_path: Path, content: str, fact: str) -> None:
    """No metrics, no JSON and no numbers are the user's to mend; the message says which."""
    write(tmp_path, "models/evaluation.json", content)

    with pytest.raises(UserError) as caught:
        collect(str(tmp_path), None, "churn")

    assert "`churn`" in str(caught.value)
    assert fact in str(caught.value)


def test_thresholds_that_hold() -> None:
    """A value on the bound is good enough."""
    thresholds = {"f1": {"min": 0.5}, "loss": {"max": 1}}

    check_thresholds({"f1": 0.5, "loss": 1.0}, thresholds, "churn")


def test_thresholds_that_are_broken() -> None:
    """All are told at once, with both numbers."""
    thresholds = {"f1": {"min": 0.5}, "loss": {"max": 1}, "auc": {"min": 0.9}}

    with pytest.raises(UserError) as caught:
        check_thresholds({"f1": 0.25, "loss": 1.5}, thresholds, "churn")

    expected = (
        "Model `churn` is not good enough\n"
        "  f1    0.25 is below the minimum 0.5\n"
        "  loss  1.5 is above the maximum 1\n"
        "  auc   was not measured; measured: f1, loss\n"
        "\n"
        "hint: `evaluation.thresholds` in model.json says what is asked of it"
    )
    assert expected == str(caught.value)
