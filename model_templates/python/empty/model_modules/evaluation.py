"""Evaluate: measure the model on rows that training has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .model import TARGET, load, predict, read


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/evaluation.json`."""
    rows = read(data_conf)
    predicted = predict(load(), rows)
    right = sum(int(row[TARGET]) == found for row, found in zip(rows, predicted))
    metrics = {"accuracy": right / len(rows), "rows": len(rows)}
    Path("models", "evaluation.json").write_text(json.dumps(metrics) + "\n", encoding="utf-8")
