"""Train: learn the vocabulary and the network from the reviews of the split `train`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from model_runtime import keras_callback

from . import network
from .preprocess import (
    ABOVE_RANK,
    learn_vocabulary,
    prepare,
    read_reviews,
    read_sentiments,
    save_vocabulary,
)

VALIDATION = 0.1  # the fraction of the reviews to train on that is only watched


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
    """Write `models/model.keras` and `models/vocabulary.json`, the same bytes for the same inputs.

    A dataset's `epochs` goes before that of the hyperparameters. The reviews of the split `test`
    are not looked at.
    """
    hyper = model_conf["hyperParameters"]
    keras.utils.set_random_seed(hyper["seed"])
    reviews, sentiments = read_reviews(data_conf, "train"), read_sentiments(data_conf, "train")
    order = np.random.default_rng(hyper["seed"]).permutation(len(reviews))
    watched, used = np.split(order, [int(VALIDATION * len(order))])
    vocabulary = learn_vocabulary(
        [reviews[i] for i in used], data_conf, hyper["max_features"] - ABOVE_RANK - 1
    )
    rows = prepare(reviews, vocabulary, hyper)

    trained = network.build(hyper)
    trained.fit(
        rows[used],
        sentiments[used],
        batch_size=hyper["batch_size"],
        epochs=data_conf.get("epochs", hyper["epochs"]),
        validation_data=(rows[watched], sentiments[watched]),
        callbacks=[keras_callback(kwargs.get("progress_callback_handler"))],
        verbose=2,
    )
    network.save(trained)
    save_vocabulary(vocabulary)
    print(f"Trained on {len(used)} reviews, with {keras.backend.backend()}")  # noqa: T201
