"""Score: predict for a whole file, or for the reviews of one request."""

from __future__ import annotations

import csv
import json
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import network
from .preprocess import load_vocabulary, number, pad, prepare, read_reviews

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np


def score(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:
    """Write a line for each review of the split `test`: row from 1, probability and class."""
    hyper = model_conf["hyperParameters"]
    rows = prepare(read_reviews(data_conf, "test"), load_vocabulary(), hyper)
    positive = network.probabilities(network.load(), rows)
    target = Path(data_conf.get("predictions", "predictions.csv"))
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "probability", "class"])
        for row, probability in enumerate(positive, 1):
            writer.writerow([row, f"{probability:.6f}", int(probability > network.THRESHOLD)])


class ModelScorer:
    """Answers requests with the network in the working directory's `models/`."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Load the network and the vocabulary; the configuration is that of `config.json`."""
        config = config or json.loads(Path("config.json").read_text(encoding="utf-8"))
        self._hyper = config["hyperParameters"]
        self._network = network.load()
        self._vocabulary = load_vocabulary()

    def predict(self, data: str | Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return how probably each review is positive, shape (reviews,).

        A review is a text, or the numbers of its words as the network reads them. A single one
        needs no list around it.
        """
        alone = isinstance(data, str) or isinstance(data[0], Real)
        numbered = [self._numbers(review) for review in ([data] if alone else data)]
        return network.probabilities(self._network, pad(numbered, self._hyper["maxlen"]))

    def _numbers(self, review: str | Sequence[Any]) -> list[int]:
        """Return the numbers of a review: a text, a row that holds one, or numbers already."""
        limit = self._hyper["max_features"]
        text = review if isinstance(review, str) else review[0]
        if not isinstance(text, str):
            if not all(0 <= value < limit and int(value) == value for value in review):
                message = f"the numbers of words are whole, from 0 to {limit - 1}"
                raise ValueError(message)
            return [int(value) for value in review]
        if not self._vocabulary:
            message = "the network was trained on numbers alone: it knows no words to read texts by"
            raise ValueError(message)
        return number(text, self._vocabulary, limit)
