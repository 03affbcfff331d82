"""Score: predict for a file, or for the rows of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .classifier import classes, load, probabilities
from .data import KEY, TARGET, features, read


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `predictions.csv`: a line for each row of the data."""
    rows = read(data_conf)
    found = probabilities(load(), features(rows))
    table = pd.DataFrame({KEY: rows[KEY], "probability": found, TARGET: classes(found)})
    table.to_csv("predictions.csv", index=False, float_format="%.6f", lineterminator="\n")


class ModelScorer:
    """Answers requests with the model in `models/`."""

    def __init__(self) -> None:
        """Load the model."""
        self._model = load()

    def predict(self, data: Sequence[Any]) -> np.ndarray:
        """Return the class, 0 or 1, of one row (4 values) or of each row (n, 4)."""
        rows = np.atleast_2d(np.asarray(data, dtype=float))
        return classes(probabilities(self._model, rows))
