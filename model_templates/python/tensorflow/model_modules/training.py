"""Train: fit the network, and write its weights into `models/`."""

from __future__ import annotations

from typing import Any

import keras
from model_runtime import keras_callback

from .data import features, labels, read
from .network import build, save


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/weights.npz`, the same bytes for the same inputs on one machine."""
    hyper, rows = model_conf["hyperParameters"], read(data_conf)
    keras.utils.set_random_seed(hyper["seed"])
    inputs = features(rows)
    network = build(inputs.shape[1], hyper["hidden"])
    network.layers[0].adapt(inputs)
    network.fit(
        inputs,
        labels(rows),
        batch_size=hyper["batch_size"],
        epochs=hyper["epochs"],
        callbacks=[keras_callback(kwargs.get("progress_callback_handler"))],
        verbose=2,
    )
    save(network)
    print(f"Trained on {len(rows)} rows")
