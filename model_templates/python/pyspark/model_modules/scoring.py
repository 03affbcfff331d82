"""Score: predict for a file, or for the rows of a request."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from pyspark.ml.linalg import Vectors

from .classifier import load, session
from .data import KEY, TARGET, read


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `predictions.csv`: a line for each row of the data."""
    spark = session()
    scored = load(spark).transform(read(spark, data_conf))
    rows = scored.select(KEY, "probability", "prediction").toLocalIterator()
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([KEY, "probability", TARGET])
        for key, probability, found in rows:
            writer.writerow([key, f"{probability[1]:.6f}", int(found)])
    spark.stop()


class ModelScorer:
    """Answers requests with the model in `models/`."""

    def __init__(self) -> None:
        """Load the model into a Spark session that stays."""
        self._model = load(session())

    def predict(self, data: Sequence[Any]) -> list[int]:
        """Return the class, 0 or 1, of one row (4 values) or of each row (n, 4)."""
        rows = data if hasattr(data[0], "__len__") else [data]
        return [int(self._model.predict(Vectors.dense(list(row)))) for row in rows]
