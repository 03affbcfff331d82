"""The data: a CSV with a header. Its columns are named here, and nowhere else."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np

KEY = "customer"
FEATURES = ["age", "visits", "complaints", "spend"]
TARGET = "renewed"  # 1: stayed, 0: left


def read(data_conf: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the file that the dataset names as `url`."""
    with open(data_conf["url"], newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def features(rows: list[dict[str, str]]) -> np.ndarray:
    """Return what to predict from, shape (rows, 4)."""
    return np.array([[row[name] for name in FEATURES] for row in rows], dtype="float32")


def labels(rows: list[dict[str, str]]) -> np.ndarray:
    """Return what is to be predicted, 0 or 1, shape (rows,)."""
    return np.array([row[TARGET] for row in rows], dtype="float32")
