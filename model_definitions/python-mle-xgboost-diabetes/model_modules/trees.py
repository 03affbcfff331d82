"""In DuckDB: trees that are fed from a query batch by batch, kept in a table, and called in SQL."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import xgboost as xgb
from model_runtime.warehouse import identifier

from .tables import FEATURES, ID, TARGET, drop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model_runtime.warehouse import Connection

BATCH_ROWS = 65_536
PART_CHARACTERS = 30_000  # of the trees as text, in one row of the model table
FUNCTION = "probability_of_diabetes"


class Batches(xgb.DataIter):
    """The rows of a table in the order of their ids, a batch at a time.

    What the trees need of them is kept in files beside `cache_prefix`, not in memory.
    """

    def __init__(self, connection: Connection, table: str, cache_prefix: str) -> None:
        """Remember the query; it is asked anew for each pass."""
        columns = ", ".join(identifier(name) for name in (*FEATURES, TARGET))
        self._query = f"SELECT {columns} FROM {identifier(table)} ORDER BY {identifier(ID)}"
        self._connection = connection
        self._reader: Any = None
        super().__init__(cache_prefix=cache_prefix, on_host=False)

    def reset(self) -> None:
        """Begin again with the first row."""
        self._reader = None

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over the next batch; False where there is none."""
        if self._reader is None:
            self._reader = self._connection.raw.sql(self._query).to_arrow_reader(BATCH_ROWS)
        try:
            batch = self._reader.read_next_batch()
        except StopIteration:
            return False
        columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        rows = np.column_stack(columns).astype(np.float32)
        input_data(data=rows[:, :-1], label=rows[:, -1], feature_names=list(FEATURES))
        return True


def parameters(hyper: dict[str, Any]) -> dict[str, Any]:
    """Return XGBoost's parameters; one thread, as the sums of several differ in the last digit."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "reg_lambda": float(hyper["reg_lambda"]),
        "learning_rate": float(hyper["shrinkage_factor"]),
        "max_depth": int(hyper["max_depth"]),
        "min_child_weight": float(hyper["min_node_size"]),
        "seed": int(hyper["seed"]),
        "nthread": 1,
    }


def fit(
    connection: Connection,
    table: str,
    hyper: dict[str, Any],
    callbacks: Sequence[xgb.callback.TrainingCallback],
) -> xgb.Booster:
    """Train on a table that may be larger than the memory."""
    # A relative path: XGBoost does not find one with letters that are not ASCII.
    cache = os.path.relpath(os.path.join(os.environ.get("MODEL_SCRATCH", "."), "trees"))
    data = xgb.ExtMemQuantileDMatrix(Batches(connection, table, cache), nthread=1)
    return xgb.train(
        parameters(hyper),
        data,
        num_boost_round=int(hyper["iter_num"]),
        evals=[(data, "train")],
        callbacks=list(callbacks),
        verbose_eval=False,
    )


def save(connection: Connection, booster: xgb.Booster, model_table: str) -> None:
    """Write the trees into the model table, as text in parts."""
    text = booster.save_raw("json").decode()
    json.loads(text)  # all of it, and text
    table = identifier(model_table)
    drop(connection, model_table)
    connection.execute(f"CREATE TABLE {table} (part INTEGER, trees VARCHAR({PART_CHARACTERS}))")
    for part, start in enumerate(range(0, len(text), PART_CHARACTERS)):
        row = [part, text[start : start + PART_CHARACTERS]]
        connection.execute(f"INSERT INTO {table} VALUES (?, ?)", row)


def load(connection: Connection, model_table: str) -> xgb.Booster:
    """Return the trees of a model table."""
    query = f"SELECT trees FROM {identifier(model_table)} ORDER BY part"
    text = "".join(trees for (trees,) in connection.execute(query).fetchall())
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(text.encode()))
    return booster


def probabilities(booster: xgb.Booster, rows: np.ndarray) -> np.ndarray:
    """Return the probability of diabetes of each row, (rows, 8) to (rows,)."""
    return np.asarray(booster.inplace_predict(rows.astype(np.float32)))


def predict(connection: Connection, booster: xgb.Booster, data: str, predictions: str) -> None:
    """Fill the predictions table by a function of SQL that is called with thousands of rows."""

    def scored(*columns: pa.ChunkedArray) -> pa.Array:
        rows = np.column_stack([column.to_numpy() for column in columns])
        return pa.array(probabilities(booster, rows).astype(np.float64))

    double = duckdb.sqltypes.DOUBLE
    raw = connection.raw
    raw.create_function(
        FUNCTION, scored, None, double, type="arrow",
        null_handling="special",  # a missing value is one for the trees too
    )  # fmt: skip
    arguments = ", ".join(f"CAST({identifier(name)} AS DOUBLE)" for name in FEATURES)
    drop(connection, predictions)
    raw.execute(f"""
        CREATE TABLE {identifier(predictions)} AS
        SELECT {ID}, CASE WHEN probability >= 0.5 THEN 1 ELSE 0 END AS prediction, probability
        FROM (
            SELECT {ID}, {FUNCTION}({arguments}) AS probability FROM {identifier(data)}
        ) AS scored
    """)
