"""Score: predict for a file, or for the rows of a request."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from .data import KEY, TARGET, features, read
from .network import THRESHOLD, load, probabilities


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `predictions.csv`: a line for each row of the data."""
    rows = read(data_conf)
    found = probabilities(load(), features(rows))
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([KEY, "probability", TARGET])
        for row, probability in zip(rows, found):
            writer.writerow([row[KEY], f"{probability:.6f}", int(probability > THRESHOLD)])


class ModelScorer:
    """Answers requests with the network in `models/`."""

    def __init__(self) -> None:
        """Load the network."""
        self._network = load()

    def predict(self, data: Sequence[Any]) -> np.ndarray:
        """Return how probably each stays: one row (4 values) or rows (n, 4) to fractions (n,)."""
        return probabilities(self._network, np.atleast_2d(np.asarray(data, dtype="float32")))
