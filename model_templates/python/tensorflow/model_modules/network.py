"""The network, and the file that its weights are kept in."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

PLACE = Path("models", "weights.npz")
THRESHOLD = 0.5


def build(features: int, hidden: int) -> keras.Model:
    """Return the untrained network; its first layer scales the features once it is adapted."""
    network = keras.Sequential(
        [
            keras.Input((features,)),
            layers.Normalization(),
            layers.Dense(hidden, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return network


def save(network: keras.Model) -> None:
    """Write the weights in an archive without dates, so that equal ones are equal bytes."""
    np.savez(PLACE, *network.get_weights())


def load() -> keras.Model:
    """Return the network that `save` wrote; its sizes are those of the weights."""
    with np.load(PLACE) as archive:
        weights = list(archive.values())
    first = next(values for values in weights if values.ndim == 2)
    network = build(*first.shape)
    network.set_weights(weights)
    network.layers[0].finalize_state()
    return network


def probabilities(network: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Return how probable class 1 is: rows (n, 4) to fractions (n,)."""
    return network.predict(rows, verbose=0)[:, 0]
