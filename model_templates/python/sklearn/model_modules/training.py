"""Train: fit the pipeline, and write it into `models/`."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .classifier import save
from .data import features, labels, read


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/model.joblib`, the same bytes for the same inputs."""
    hyper, rows = model_conf["hyperParameters"], read(data_conf)
    classifier = LogisticRegression(C=hyper["C"], max_iter=hyper["max_iter"])
    model = make_pipeline(StandardScaler(), classifier)
    model.fit(features(rows), labels(rows))
    save(model)
    print(f"Trained on {len(rows)} rows")
