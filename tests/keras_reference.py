"""Train tiny Keras networks with the callback of `model_runtime`, and print what it told as JSON.

    python keras_reference.py METRIC[/broken | /none] ... [resumed]

For each argument a network is trained. The last of its messages has what Keras itself reported at
the end, under `reported`. Behind the slash is a handler that raises, or none at all: then nothing
is told.  For `resumed` a training is broken off, and the answer is the epochs that are left.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import keras
import numpy as np
from model_runtime import AoaKerasProgressCallback, checkpoint, progress

progress.PAUSE_SECONDS = 0  # every batch is told


def broken(**_: object) -> None:
    """Raise, as a handler of somebody else's might."""
    raise RuntimeError


def told(metric: str, kind: str) -> list[dict[str, Any]]:
    """Train two epochs of nine batches, and return the messages."""
    messages: list[dict[str, Any]] = []
    handlers = {"broken": broken, "none": None}
    handler = handlers.get(kind, lambda **values: messages.append(values))
    rows = np.random.default_rng(0).random((90, 4))
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    network.compile(loss="binary_crossentropy", metrics=[metric] if metric else None)
    done = network.fit(
        rows, rows[:, 0] > 0.5, batch_size=10, epochs=2, verbose=0,
        callbacks=[AoaKerasProgressCallback(handler)],
    )  # fmt: skip
    if messages:
        messages[-1]["reported"] = {name: values[-1] for name, values in done.history.items()}
    return messages


def resumed() -> list[int]:
    """Break a training off in its third epoch, and return the epochs that the next one makes."""
    begun: list[int] = []

    class Breaks(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ANN401, ARG002
            begun.append(epoch)
            if begun == [0, 1, 2]:
                raise KeyboardInterrupt

    def fit() -> None:
        rows = np.random.default_rng(0).random((90, 4))
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        network.compile(loss="mse")
        kept = keras.callbacks.BackupAndRestore(checkpoint.folder())
        network.fit(rows, rows[:, 0], epochs=4, verbose=0, callbacks=[kept, Breaks()])

    with contextlib.suppress(KeyboardInterrupt):
        fit()
    begun.clear()
    fit()
    return begun


def answer(wish: str) -> list[Any]:
    """Return what is told of a wish."""
    return resumed() if wish == "resumed" else told(*wish.partition("/")[::2])


print(json.dumps({wish: answer(wish) for wish in sys.argv[1:]}))
