"""Train: grow the trees, and write them into `models/`."""

from __future__ import annotations

from typing import Any

from model_runtime import xgboost_callback
from xgboost import XGBClassifier

from .classifier import save
from .data import features, labels, read


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/model.json`, the same bytes for the same inputs."""
    hyper, rows = model_conf["hyperParameters"], read(data_conf)
    told = xgboost_callback(kwargs.get("progress_callback_handler"), hyper["trees"])
    model = XGBClassifier(
        learning_rate=hyper["eta"],
        max_depth=hyper["max_depth"],
        n_estimators=hyper["trees"],
        random_state=hyper["seed"],
        eval_metric="logloss",
        n_jobs=1,  # the sums of several threads differ in the last digit
        callbacks=[told],
    )
    known = labels(rows)
    model.fit(features(rows), known, eval_set=[(features(rows), known)], verbose=False)
    save(model.get_booster())
    print(f"Trained on {len(rows)} rows")
