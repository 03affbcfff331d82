"""Score: predict for a file, or for the rows of a request."""

from __future__ import annotations

import csv
from typing import Any

from .model import KEY, TARGET, load, predict, read


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `predictions.csv`: a line for each row of the data."""
    rows = read(data_conf)
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([KEY, TARGET])
        writer.writerows(zip((row[KEY] for row in rows), predict(load(), rows)))


class ModelScorer:
    """Answers requests with the model in `models/`."""

    def __init__(self) -> None:
        """Load the model."""
        self._model = load()

    def predict(self, data: list[Any]) -> list[int]:
        """Return the class of each row."""
        return predict(self._model, data)
