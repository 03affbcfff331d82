"""Train: fit the scaler and the trees on the rows that are not held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.preprocessing import MinMaxScaler
from xgboost import XGBClassifier
from xgboost.callback import TrainingCallback

from .classifier import Classifier
from .preprocess import features, labels, split

if TYPE_CHECKING:
    from collections.abc import Callable

LOSS = "logloss"


class Progress(TrainingCallback):
    """Tell a handler about every boosting round.

    A round sees all rows once, so that it counts as an iteration and as an epoch, both from 1.
    The score is the log loss on the training rows: lower is better.
    """

    def __init__(self, handler: Callable[..., object]) -> None:
        """Keep the handler, which is called with `iter`, `epoc` and `score`."""
        self._handler = handler

    def after_iteration(self, model: object, epoch: int, evals_log: dict[str, Any]) -> bool:  # noqa: ARG002
        """Report the round that ended; False lets the training go on."""
        loss = float(evals_log["validation_0"][LOSS][-1])
        self._handler(iter=epoch + 1, epoc=epoch + 1, score=loss)
        return False


def build_trees(model_conf: dict[str, Any], callbacks: list[TrainingCallback]) -> XGBClassifier:
    """Return the untrained trees; one thread, as the sums of several differ in the last digit."""
    hyper = model_conf["hyperParameters"]
    return XGBClassifier(
        learning_rate=float(hyper["eta"]),
        max_depth=int(hyper["max_depth"]),
        n_estimators=100,
        random_state=int(hyper["seed"]),
        eval_metric=LOSS,
        n_jobs=1,
        callbacks=callbacks,
    )


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
    """Write `models/scaler.joblib` and `models/model.json`, the same bytes for the same inputs."""
    kept, _ = split(data_conf)
    scaler = MinMaxScaler()
    rows, known = scaler.fit_transform(features(kept)), labels(kept)

    handler = kwargs.get("progress_callback_handler")
    trees = build_trees(model_conf, [Progress(handler)] if handler else [])
    trees.fit(rows, known, eval_set=[(rows, known)], verbose=False)

    Classifier(scaler, trees).save()
    print(f"Trained on {len(kept)} rows")  # noqa: T201 - the step's log
