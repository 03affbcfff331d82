"""Evaluate: measure the network on rows that training has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .data import features, labels, read
from .network import load


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/evaluation.json`."""
    rows = read(data_conf)
    measured = load().evaluate(features(rows), labels(rows), verbose=0, return_dict=True)
    metrics = {name: float(measured[name]) for name in ("accuracy", "loss")}
    text = json.dumps({**metrics, "rows": len(rows)}) + "\n"
    Path("models", "evaluation.json").write_text(text, encoding="utf-8")
