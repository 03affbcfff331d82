"""Evaluate: measure the model on rows that training has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sklearn.metrics import accuracy_score, roc_auc_score

from .classifier import classes, load, probabilities
from .data import features, labels, read


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/evaluation.json`."""
    rows = read(data_conf)
    known, found = labels(rows), probabilities(load(), features(rows))
    metrics = {
        "accuracy": float(accuracy_score(known, classes(found))),
        "roc_auc": float(roc_auc_score(known, found)),
        "rows": len(rows),
    }
    Path("models", "evaluation.json").write_text(json.dumps(metrics) + "\n", encoding="utf-8")
