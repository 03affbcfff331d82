"""Train: fit the scaler and the trees on the rows that are not held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_runtime import xgboost_callback
from sklearn.preprocessing import MinMaxScaler
from xgboost import XGBClassifier

from .classifier import Classifier
from .preprocess import features, labels, split

if TYPE_CHECKING:
    from xgboost.callback import TrainingCallback

LOSS = "logloss"
TREES = 100


def build_trees(model_conf: dict[str, Any], progress: TrainingCallback) -> XGBClassifier:
    """Return the untrained trees; one thread, as the sums of several differ in the last digit."""
    hyper = model_conf["hyperParameters"]
    return XGBClassifier(
        learning_rate=float(hyper["eta"]),
        max_depth=int(hyper["max_depth"]),
        n_estimators=TREES,
        random_state=int(hyper["seed"]),
        eval_metric=LOSS,
        n_jobs=1,
        callbacks=[progress],
    )


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
    """Write `models/scaler.joblib` and `models/model.json`, the same bytes for the same inputs."""
    kept, _ = split(data_conf)
    scaler = MinMaxScaler()
    rows, known = scaler.fit_transform(features(kept)), labels(kept)

    progress = xgboost_callback(kwargs.get("progress_callback_handler"), TREES)
    trees = build_trees(model_conf, progress)
    trees.fit(rows, known, eval_set=[(rows, known)], verbose=False)

    Classifier(scaler, trees.get_booster()).save()
    print(f"Trained on {len(kept)} rows")  # noqa: T201 - the step's log
