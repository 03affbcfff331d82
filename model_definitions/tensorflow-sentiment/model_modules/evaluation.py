"""Evaluate: measure the trained network on the reviews of the split `test`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import network
from .preprocess import load_vocabulary, prepare, read_reviews, read_sentiments

METRICS = Path("models", "evaluation.json")


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:
    """Write `models/evaluation.json`."""
    hyper = model_conf["hyperParameters"]
    rows = prepare(read_reviews(data_conf, "test"), load_vocabulary(), hyper)
    sentiments = read_sentiments(data_conf, "test")
    measured = network.load().evaluate(rows, sentiments, verbose=0, return_dict=True)
    metrics = {
        "accuracy": float(measured["accuracy"]),
        "loss": float(measured["loss"]),
        "rows": len(rows),
    }
    METRICS.write_text(json.dumps(metrics, indent=4) + "\n", encoding="utf-8")
