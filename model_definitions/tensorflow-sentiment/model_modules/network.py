"""The network: a convolution over neighbouring words, and of each filter its strongest answer.

Only Keras is used, so that it runs on any of its backends.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

NETWORK = Path("models", "model.keras")
DROPPED = 0.2  # the fraction of values that are left out in training, at random
THRESHOLD = 0.5


def build(hyper: Mapping[str, Any]) -> keras.Model:
    """Return the untrained network: `maxlen` numbers of words to how probably it is positive."""
    network = keras.Sequential(
        [
            keras.Input((hyper["maxlen"],), dtype="int32"),
            layers.Embedding(hyper["max_features"], hyper["embedding_dims"]),
            layers.Dropout(DROPPED),
            layers.Conv1D(
                hyper["filters"], hyper["kernel_size"], padding="valid", activation="relu"
            ),
            layers.GlobalMaxPooling1D(),
            layers.Dense(hyper["hidden_dims"]),
            layers.Dropout(DROPPED),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return network


def probabilities(network: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Return how probably each review is positive: (reviews, maxlen) to fractions (reviews,)."""
    return network.predict(rows, verbose=0)[:, 0]


def save(network: keras.Model) -> None:
    """Write the network below the working directory's `models/`."""
    network.save(NETWORK)
    make_reproducible(NETWORK)


def make_reproducible(path: Path) -> None:
    """Take times and memory addresses out of a saved network, so that equal ones have equal bytes.

    Where training again gives the same network, nothing that depends on it must run again.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({**metadata, "date_saved": ""}).encode()
    addresses: dict[bytes, bytes] = {}
    members["config.json"] = re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda match: addresses.setdefault(match[0], b"%d" % (len(addresses) + 1)),
        members["config.json"],
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980


def load() -> keras.Model:
    """Read what `save` wrote."""
    return keras.saving.load_model(NETWORK)
