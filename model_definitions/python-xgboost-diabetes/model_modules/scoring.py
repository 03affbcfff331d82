"""Score: predict for a whole file, or for the rows of one request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .classifier import classes, load
from .preprocess import FEATURES, features, read

if TYPE_CHECKING:
    from collections.abc import Sequence


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:  # noqa: ARG001
    """Write a line for each row of the data: its number from 1, the probability and the class."""
    frame = read(data_conf)
    probabilities = load().probabilities(features(frame))
    table = pd.DataFrame(
        {
            "row": np.arange(1, len(frame) + 1),
            "probability": probabilities,
            "class": classes(probabilities),
        }
    )
    target = Path(data_conf.get("predictions", "predictions.csv"))
    table.to_csv(target, index=False, float_format="%.6f", lineterminator="\n")


class ModelScorer:
    """Answers requests with the classifier in the working directory's `models/`."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """Load the classifier; the configuration is not needed."""
        del config
        self._classifier = load()

    def predict(self, data: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return the class, 0 or 1, of one row (8 values) or of rows (n, 8): shape (n,)."""
        rows = np.atleast_2d(np.asarray(data, dtype=float))
        if rows.shape[1:] != (len(FEATURES),):
            message = f"expected rows of {len(FEATURES)} values, got the shape {rows.shape}"
            raise ValueError(message)
        return classes(self._classifier.probabilities(rows))
