"""Score: predict for a whole file, or for the rows of one request."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

from .classifier import load, session
from .data import read

if TYPE_CHECKING:
    from collections.abc import Sequence


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:
    """Write a line for each row of the data: its number from 1, the probability and the class."""
    del model_conf
    with session() as spark:
        model = load(spark)
        scored = model.transform(read(spark, data_conf, model.numFeatures))
        rows = scored.select("probability", "prediction").toLocalIterator()
        target = data_conf.get("predictions", "predictions.csv")
        with open(target, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("row", "probability", "class"))
            for number, (probability, found) in enumerate(rows, 1):
                writer.writerow((number, f"{probability[1]:.6f}", int(found)))


class ModelScorer:
    """Answers requests with the model in the working directory's `models/`."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """Load the model into a Spark session that stays; the configuration is not needed."""
        del config
        self._model = load(SparkSession.builder.getOrCreate())

    def predict(self, data: Sequence[Any]) -> list[int]:
        """Return the class, 0 or 1, of one row of pixels or of rows (n, 692), as a list of n."""
        rows = data if len(data) and hasattr(data[0], "__len__") else [data]
        for row in rows:
            if len(row) != self._model.numFeatures:
                message = f"expected rows of {self._model.numFeatures} values, got {len(row)}"
                raise ValueError(message)
        return [int(self._model.predict(Vectors.dense(list(row)))) for row in rows]
