"""Score: from the model table and a table of rows to the predictions table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from model_runtime.warehouse import connect, identifier

from . import teradata, trees
from .tables import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model_runtime.warehouse import Connection

PREDICTIONS = Path("predictions.csv")


def predict(connection: Connection, data: str, model_table: str, predictions: str) -> None:
    """Fill the predictions table: idx, prediction, probability."""
    if connection.engine == "teradata":
        teradata.predict(connection, data, model_table, predictions)
    else:
        booster = trees.load(connection, model_table)
        trees.predict(connection, booster, data, predictions)


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401, ARG001
    """Fill the predictions table, and write what is in it."""
    predictions = data_conf["predictions_table"]
    with connect(data_conf) as connection:
        predict(connection, data_conf["data_table"], kwargs["model_table"], predictions)
        query = f"SELECT idx, prediction, probability FROM {identifier(predictions)} ORDER BY idx"
        cursor = connection.execute(query)
        with PREDICTIONS.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["idx", "prediction", "probability"])
            while rows := cursor.fetchmany(10_000):
                writer.writerows((idx, label, f"{value:.6f}") for idx, label, value in rows)


class ModelScorer:
    """Answers requests with the trees of the model table in `models/warehouse/`."""

    def __init__(self) -> None:
        """Load the trees from the one table that training has left."""
        (path,) = Path("models/warehouse").glob("*.parquet")
        with connect({}) as connection:
            self._booster = trees.load(connection, path.stem)

    def predict(self, data: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return the class, 0 or 1, of one row (8 values) or of rows (n, 8): shape (n,)."""
        rows = np.atleast_2d(np.asarray(data, dtype=float))
        if rows.shape[1:] != (len(FEATURES),):
            message = f"expected rows of {len(FEATURES)} values, got the shape {rows.shape}"
            raise ValueError(message)
        return (trees.probabilities(self._booster, rows) >= 0.5).astype(int)  # noqa: PLR2004
