"""Train tiny Keras networks with the callback of `model_runtime`, and print what it told as JSON.

    python keras_reference.py METRIC[/broken | /none] ...

For each argument a network is trained. The last of its messages has what Keras itself reported at
the end, under `reported`. Behind the slash is a handler that raises, or none at all: then nothing
is told.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import keras
import numpy as np
from model_runtime import AoaKerasProgressCallback, progress

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


print(json.dumps({wish: told(*wish.partition("/")[::2]) for wish in sys.argv[1:]}))
