"""Evaluate: from the model table and a table with known answers to confusion-matrix statistics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_runtime.warehouse import connect

from .scoring import predict
from .tables import confusion

METRICS = Path("models", "evaluation.json")


def statistics(rows: int, tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """Return what the four counts say, as fractions of 1, and the counts."""

    def share(part: int, whole: int) -> float:
        return part / whole if whole else 0.0

    return {
        "accuracy": share(tp + tn, rows),
        "recall": share(tp, tp + fn),
        "precision": share(tp, tp + fp),
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "specificity": share(tn, tn + fp),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
        "rows": rows,
    }


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401, ARG001
    """Write `models/evaluation.json`."""
    data, predictions = data_conf["data_table"], data_conf["predictions_table"]
    with connect(data_conf) as connection:
        predict(connection, data, kwargs["model_table"], predictions)
        metrics = statistics(*confusion(connection, data, predictions))
    METRICS.write_text(json.dumps(metrics, indent=4) + "\n", encoding="utf-8")
