"""What the sentiment model's own modules do, beside Keras, told to the test that asks.

    python sentiment_reference.py QUESTION MODEL [ARGUMENT]

MODEL is the model's folder. It prints JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np


def hyperparameters(model: str) -> dict[str, Any]:
    """Return the model's hyperparameters."""
    config: dict[str, Any] = json.loads(Path(model, "config.json").read_text())
    return config["hyperParameters"]


def loaded_again(model: str) -> dict[str, Any]:
    """Train a little, save into `models/`, load, and tell what both networks say."""
    from model_modules import network  # noqa: PLC0415 - found when the path is set

    hyper = hyperparameters(model)
    rows = np.random.default_rng(0).integers(0, hyper["max_features"], (64, hyper["maxlen"]))
    trained = network.build(hyper)
    untrained = network.probabilities(trained, rows)
    trained.fit(rows, rows[:, 0] % 2, epochs=2, verbose=0)
    before = network.probabilities(trained, rows)
    Path("models").mkdir()
    network.save(trained)
    again = network.load()
    return {
        "untrained": untrained.tolist(),
        "before": before.tolist(),
        "after": network.probabilities(again, rows).tolist(),
        "layers": [
            [type(layer).__name__, *(round(size, 1) for size in sizes(layer.get_config()))]
            for layer in again.layers
        ],
        "optimizer": again.optimizer.name,
        "loss": again.loss,
    }


def sizes(config: dict[str, Any]) -> list[Any]:
    """Return what a layer's configuration says of its size."""
    names = ("input_dim", "output_dim", "filters", "kernel_size", "units", "rate")
    found = [config[name] for name in names if name in config]
    return [
        item for size in found for item in (size if isinstance(size, (list, tuple)) else [size])
    ]


def as_keras_reads(model: str) -> dict[str, Any]:
    """Write a small file in the form of Keras's IMDB data, and tell how both number its words."""
    from model_modules import preprocess  # noqa: PLC0415 - found when the path is set

    hyper = hyperparameters(model)
    random = np.random.default_rng(0)
    lengths = {"train": [3, 40, 500, 7], "test": [12, 401]}
    arrays: dict[str, np.ndarray] = {}
    for split, sizes_ in lengths.items():
        reviews = np.empty(len(sizes_), dtype=object)
        reviews[:] = [random.integers(1, 9000, size).tolist() for size in sizes_]
        arrays |= {f"x_{split}": reviews, f"y_{split}": np.arange(len(sizes_)) % 2}
    np.savez("imdb.npz", **arrays)

    source = sys.modules[keras.datasets.imdb.load_data.__module__]
    source.get_file = lambda **_: "imdb.npz"  # not from the network
    found = {}
    splits = zip(
        lengths, keras.datasets.imdb.load_data(num_words=hyper["max_features"]), strict=True
    )
    for split, (reviews, sentiments) in splits:
        theirs = keras.utils.pad_sequences(reviews, hyper["maxlen"]).tolist()
        ours = preprocess.prepare(preprocess.read_reviews({"url": "imdb.npz"}, split), {}, hyper)
        known = preprocess.read_sentiments({"url": "imdb.npz"}, split)
        found[split] = [  # Keras shuffles
            sorted(zip(theirs, sentiments.tolist(), strict=True)),
            sorted(zip(ours.tolist(), known.tolist(), strict=True)),
        ]
    return found


def answers(model: str, requests: str) -> list[list[float]]:
    """Tell what a `ModelScorer` answers to each request, from the `models/` that are here."""
    from model_modules.scoring import ModelScorer  # noqa: PLC0415 - found when the path is set

    scorer = ModelScorer({"hyperParameters": hyperparameters(model)})
    return [scorer.predict(data).tolist() for data in json.loads(requests)]


if __name__ == "__main__":
    QUESTION, MODEL, *ARGUMENTS = sys.argv[1:]
    sys.path.insert(0, MODEL)
    print(json.dumps(globals()[QUESTION](MODEL, *ARGUMENTS)))
