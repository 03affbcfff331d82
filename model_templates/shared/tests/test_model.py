"""What this model promises. Run it when it is evaluated and scored: README.md says how."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

MODEL = Path(__file__).resolve().parents[1]
MODELS = next(folder for folder in MODEL.parents if folder.name == "model_definitions")
RESULTS = MODELS.parent / "build/models" / MODEL.relative_to(MODELS)
FEATURES = ["age", "visits", "complaints", "spend"]


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def document(path: Path) -> Any:
    """Return the value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


TRAIN, TEST = rows(MODEL / "data/train.csv"), rows(MODEL / "data/test.csv")


def test_no_row_is_trained_on_and_measured_on() -> None:
    """A customer in both files would flatter the metrics."""
    seen = {tuple(row[name] for name in FEATURES) for row in TRAIN}

    assert [] == [row for row in TEST if tuple(row[name] for name in FEATURES) in seen]


def test_the_request_is_in_the_order_of_the_data() -> None:
    """The sample request names the columns that the model reads."""
    request = document(MODEL / "samples/data.json")["data"]

    assert [name for name in TEST[0] if name in request["names"]] == request["names"]
    assert {len(request["names"])} == {len(row) for row in request["ndarray"]}


def test_every_row_is_predicted_once() -> None:
    """Each customer of the data has one prediction, and it is one of the classes."""
    predicted = rows(RESULTS / "score/predictions.csv")

    assert sorted(row["customer"] for row in TEST) == sorted(row["customer"] for row in predicted)
    assert {row["renewed"] for row in predicted} <= {"0", "1"}


def test_the_accuracy_is_that_of_the_predictions() -> None:
    """Evaluation and scoring agree; the model is no worse than a guess, nor than is asked of it."""
    known = {row["customer"]: row["renewed"] for row in TEST}
    predicted = rows(RESULTS / "score/predictions.csv")
    right = sum(known[row["customer"]] == row["renewed"] for row in predicted)
    accuracy = document(RESULTS / "evaluate/metrics.json")["metrics"]["accuracy"]
    ones = sum(row["renewed"] == "1" for row in TEST)

    assert abs(right / len(TEST) - accuracy) < 1e-6
    asked = document(MODEL / "model.json")["evaluation"]["thresholds"]["accuracy"]["min"]
    assert accuracy >= max(ones, len(TEST) - ones) / len(TEST)
    assert accuracy >= asked
