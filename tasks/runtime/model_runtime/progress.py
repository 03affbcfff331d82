"""Telling how far a training is: the handler that a model is given, and callbacks that call it.

Each message has some of these: `epoc` and `iter`, which count epochs and iterations from 1 (the
iterations of one epoch, where there are epochs), `epocs` and `iters`, how many there will be, and
`score`, a number.  Telling never fails a training.

Only the standard library is used, in a form that Python 3.6 parses; what is for a framework
imports it where it is called.
"""

import contextlib
import json
import time
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional

from model_runtime.contract import plain

Handler = Callable[..., Any]
Values = Callable[[], Dict[str, Any]]

PAUSE_SECONDS = 0.2  # between two messages of iterations, of which there may be thousands a second
ACCURACY = ("accuracy", "acc")  # Keras has named it either way


def progress_handler(path: str) -> Callable[..., None]:
    """Return the callable that takes `iter`, `epoc` and `score` and never fails a training."""

    def progress_callback_handler(**values: Any) -> None:
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({key: plain(value) for key, value in values.items()}) + "\n")
        except (OSError, TypeError, ValueError):
            pass

    return progress_callback_handler


def keras_callback(handler: Optional[Handler]) -> Any:
    """Return a Keras callback that tells of batches and epochs: `callbacks=[keras_callback(h)]`.

    The score is the accuracy on the training data, the loss where accuracy is not measured.
    """
    try:
        import keras  # noqa: PLC0415 - only there where a model needs it
    except ImportError:  # TensorFlow before 2.6 has it inside
        from tensorflow import keras  # noqa: PLC0415

    class KerasProgress(keras.callbacks.Callback):  # type: ignore[misc]
        """Tells a handler of each epoch, and of batches now and then."""

        def __init__(self) -> None:
            super().__init__()
            self._epoch = 1
            self._batch = 0
            self._tell = _teller(handler)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._epoch = epoch + 1

        # The only name of it that every Keras knows.
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self._batch = batch + 1
            self._tell(lambda: self._values(logs), last=False)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._tell(lambda: self._values(logs), last=True)

        def _values(self, logs: Any) -> Dict[str, Any]:
            values = {"epoc": self._epoch, "iter": self._batch, "score": _keras_score(logs or {})}
            return {**values, "epocs": self.params.get("epochs"), "iters": self.params.get("steps")}

    return KerasProgress()


AoaKerasProgressCallback = keras_callback
"""The name that models of 2019 have for it."""


def xgboost_callback(handler: Optional[Handler], rounds: Optional[int] = None) -> Any:
    """Return an XGBoost callback that tells of rounds: `callbacks=[xgboost_callback(h, 100)]`.

    `rounds` is how many there will be.  A round sees all rows, so that it counts as an epoch too.
    The score is the last metric of the last evaluation set, if there is one.  An estimator that
    holds the callback can be pickled: the copy is silent.
    """
    from xgboost.callback import TrainingCallback  # noqa: PLC0415 - only there where needed

    class XGBoostProgress(TrainingCallback):  # type: ignore[misc]
        """Tells a handler of the rounds."""

        def __init__(self) -> None:
            super().__init__()
            self._tell = _teller(handler)

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            done = epoch + 1
            values = {"iter": done, "epoc": done, "iters": rounds}
            last = done == rounds
            self._tell(lambda: {**values, "score": _xgboost_score(evals_log)}, last=last)
            return False  # do not stop

        def __deepcopy__(self, memo: Any) -> Any:
            return self

        def __reduce__(self) -> Any:
            return xgboost_callback, (None, rounds)

    return XGBoostProgress()


def track(
    items: Iterable[Any],
    handler: Optional[Handler],
    score: Optional[Callable[[], Any]] = None,
    total: Optional[int] = None,
) -> Iterator[Any]:
    """Yield the items of a loop, and tell of each when the loop's body is through with it.

        for _ in track(range(20), handler, score=lambda: model.score(rows, classes)):
            model.partial_fit(rows, classes)

    `score` is called for each message; `total` is how many items there are, where they have no
    length.
    """
    tell = _teller(handler)
    try:
        length = len(items) if total is None else total  # type: ignore[arg-type]
    except TypeError:
        length = None
    done = 0

    def values() -> Dict[str, Any]:
        measured = score() if score else None
        return {"iter": done, "epoc": done, "iters": length, "score": measured}

    for item in items:
        yield item
        done += 1
        tell(values, last=done == length)


def _teller(handler: Optional[Handler]) -> Callable[..., None]:
    """Return a function that hands values to the handler, without those that are None.

    They are made only when they are told: the first at once, the next after a pause or where they
    are the `last`.  What fails in it fails nothing else.
    """
    due = 0.0

    def tell(values: Values, *, last: bool) -> None:
        nonlocal due
        now = time.monotonic()
        if handler is None or (now < due and not last):
            return
        due = now + PAUSE_SECONDS
        with contextlib.suppress(Exception):
            handler(**{key: value for key, value in values().items() if value is not None})

    return tell


def _keras_score(logs: Mapping[str, Any]) -> Optional[float]:
    for name in (*ACCURACY, "loss"):
        if logs.get(name) is not None:
            return float(logs[name])
    return None


def _xgboost_score(evals_log: Mapping[str, Mapping[str, Any]]) -> Optional[float]:
    for metrics in reversed(list(evals_log.values())):
        for history in reversed(list(metrics.values())):
            value = history[-1]
            return float(value[0] if isinstance(value, tuple) else value)  # mean and deviation
    return None
