"""Evaluate: measure the trained classifier on the held-out rows, which training never saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from .classifier import classes, load
from .preprocess import features, labels, split

if TYPE_CHECKING:
    import numpy as np

METRICS = Path("models", "evaluation.json")


def measure(known: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the metrics as fractions of 1, and the number of rows; both arrays are (rows,)."""
    predicted = classes(probabilities)
    return {
        "accuracy": float(accuracy_score(known, predicted)),
        "recall": float(recall_score(known, predicted, zero_division=0)),
        "precision": float(precision_score(known, predicted, zero_division=0)),
        "f1": float(f1_score(known, predicted, zero_division=0)),
        "roc_auc": float(roc_auc_score(known, probabilities)),
        "rows": len(known),
    }


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:  # noqa: ARG001
    """Write `models/evaluation.json`."""
    _, held_out = split(data_conf)
    metrics = measure(labels(held_out), load().probabilities(features(held_out)))
    METRICS.write_text(json.dumps(metrics, indent=4) + "\n", encoding="utf-8")
