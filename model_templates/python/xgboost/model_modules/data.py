"""The data: a CSV with a header. Its columns are named here, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

KEY = "customer"
FEATURES = ["age", "visits", "complaints", "spend"]
TARGET = "renewed"  # 1: stayed, 0: left


def read(data_conf: dict[str, Any]) -> pd.DataFrame:
    """Return the rows of the file that the dataset names as `url`."""
    return pd.read_csv(data_conf["url"])


def features(rows: pd.DataFrame) -> np.ndarray:
    """Return what to predict from, shape (rows, 4)."""
    return rows[FEATURES].to_numpy(dtype=float)


def labels(rows: pd.DataFrame) -> np.ndarray:
    """Return what is to be predicted, 0 or 1, shape (rows,)."""
    return rows[TARGET].to_numpy(dtype=int)
