"""Train a few trees with the callback of `model_runtime`, and print what it told as JSON.

For each question there is an answer, and under `told` the messages.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
from typing import Any

import numpy as np
import xgboost as xgb
from model_runtime import progress, xgboost_callback
from model_runtime.checkpoint import found, save

progress.PAUSE_SECONDS = 0  # every round is told
TOLD: list[dict[str, Any]] = []
ROUNDS = 5
ROWS = np.random.default_rng(0).random((200, 3))
CLASSES = (ROWS[:, 0] + ROWS[:, 1] > 1).astype(int)


def tell(**values: object) -> None:
    """Note what a handler is told."""
    TOLD.append(values)


def broken(**_: object) -> None:
    """Raise, as a handler of somebody else's might."""
    raise RuntimeError


def fitted(callback: Any) -> xgb.XGBClassifier:  # noqa: ANN401 - what the factory returns
    """Return trees that were evaluated on two sets, with two metrics each."""
    trees = xgb.XGBClassifier(
        n_estimators=ROUNDS, callbacks=[callback], eval_metric=["auc", "logloss"]
    )
    sets = [(ROWS, CLASSES), (ROWS[:50], CLASSES[:50])]
    return trees.fit(ROWS, CLASSES, eval_set=sets, verbose=False)


def trained() -> dict[str, Any]:
    """Train an estimator."""
    return {"history": fitted(xgboost_callback(tell, ROUNDS)).evals_result()}


def plain() -> dict[str, Any]:
    """Train without anything to measure, and without telling how many rounds there are."""
    data = xgb.DMatrix(ROWS, CLASSES)
    xgb.train({}, data, ROUNDS, callbacks=[xgboost_callback(tell)])
    return {}


def folds() -> dict[str, Any]:
    """Cross-validate."""
    parameters = {"objective": "binary:logistic", "eval_metric": "logloss"}
    callback = xgboost_callback(tell, ROUNDS)
    history = xgb.cv(
        parameters, xgb.DMatrix(ROWS, CLASSES), ROUNDS, callbacks=[callback], as_pandas=False
    )
    return {"history": {"mean": history["test-logloss-mean"][0]}}


def pickled() -> dict[str, Any]:
    """Pickle an estimator that holds the callback, and train the copy."""
    trees = fitted(xgboost_callback(tell, ROUNDS))
    copy = pickle.loads(pickle.dumps(trees))  # noqa: S301 - just made
    before, after = (one.predict_proba(ROWS).tolist() for one in (trees, copy))
    TOLD.clear()
    copy.fit(ROWS, CLASSES, eval_set=[(ROWS, CLASSES)], verbose=False)
    return {"before": before, "after": after}


def broken_handler() -> dict[str, Any]:
    """Train with a handler that raises."""
    booster = fitted(xgboost_callback(broken, ROUNDS)).get_booster()
    return {"rounds": booster.num_boosted_rounds()}


class Saved(xgb.callback.TrainingCallback):
    """Saves the trees so far after each round; in the third, it breaks off if it is told to."""

    def __init__(self, *, breaks: bool) -> None:
        self._breaks = breaks

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401, ARG002
        """Save them."""
        save("trees.ubj", model.save_model)
        if self._breaks and model.num_boosted_rounds() == 3:
            raise KeyboardInterrupt
        return False


def boosted(*, breaks: bool = False) -> xgb.Booster:
    """Train, from the checkpoint on where there is one."""
    done = found("trees.ubj")
    before = xgb.Booster(model_file=done) if done else None
    left = ROUNDS - (before.num_boosted_rounds() if before else 0)
    callbacks = [Saved(breaks=breaks)]
    data = xgb.DMatrix(ROWS, CLASSES)
    return xgb.train({"nthread": 1}, data, left, xgb_model=before, callbacks=callbacks)


def resumed() -> dict[str, Any]:
    """Break off a training, go on with it, and train another one at one go."""
    with contextlib.suppress(KeyboardInterrupt):
        boosted(breaks=True)
    rounds = xgb.Booster(model_file=found("trees.ubj")).num_boosted_rounds()
    data = xgb.DMatrix(ROWS, CLASSES)
    in_two = boosted().predict(data)
    shutil.rmtree("models")
    at_once = boosted().predict(data)
    return {"rounds": rounds, "in two": in_two.tolist(), "at once": at_once.tolist()}


QUESTIONS = {
    "trained": trained,
    "plain": plain,
    "folds": folds,
    "pickled": pickled,
    "broken": broken_handler,
    "resumed": resumed,
}
ANSWERS = {}
for name, question in QUESTIONS.items():
    TOLD.clear()
    ANSWERS[name] = {**question(), "told": list(TOLD)}
print(json.dumps(ANSWERS, default=float))
