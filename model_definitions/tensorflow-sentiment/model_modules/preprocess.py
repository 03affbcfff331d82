"""The reviews: how they are read, and how their words become the numbers that the network reads.

The numbers are those of the IMDB data in Keras: 0 pads, 1 starts a review, 2 is any word that is
not among the `max_features` most frequent, and the most frequent word is 4, the next 5 (3 is free).
Training and scoring both number words here; what training learned is in `models/vocabulary.json`.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Review = str | Sequence[int]  # a text, or the rank of each of its words, from 1

VOCABULARY = Path("models", "vocabulary.json")
ARRAYS = {"review": "x", "sentiment": "y"}  # how the columns begin in an .npz
START, UNKNOWN = 1, 2
ABOVE_RANK = 3  # the number of a word is so much above its rank


def column(data_conf: Mapping[str, Any], split: str, name: str) -> list[Any]:
    """Return the column `review` or `sentiment` of a split, `train` or `test`.

    The dataset's `url` is an `.npz` as Keras has the IMDB data, or a CSV with these columns and, if
    not all of its rows are for every split, `split`.
    """
    path = data_conf["url"]
    if path.endswith(".npz"):
        # Lists of several lengths are pickled in it: such a file must be trusted as code is.
        with np.load(path, allow_pickle=True) as arrays:
            return list(arrays[f"{ARRAYS[name]}_{split}"])
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split", split) == split]
    if not rows or name not in rows[0]:
        message = f"{path} has no column `{name}`, or no row of the split `{split}`"
        raise ValueError(message)
    return [row[name] for row in rows]


def read_reviews(data_conf: Mapping[str, Any], split: str) -> list[Review]:
    """Return the reviews of a split."""
    return column(data_conf, split, "review")


def read_sentiments(data_conf: Mapping[str, Any], split: str) -> np.ndarray:
    """Return 1 for each positive and 0 for each negative review of a split, shape (reviews,)."""
    return np.array(column(data_conf, split, "sentiment"), dtype=int)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def learn_vocabulary(
    reviews: Iterable[Review], data_conf: Mapping[str, Any], limit: int
) -> dict[str, int]:
    """Return the `limit` most frequent words with their ranks, from 1.

    Reviews that are ranks already have no words: theirs are in the JSON file that the dataset's
    `word_index` names. Without it there are none, and texts cannot be scored.
    """
    if "word_index" in data_conf:
        known = json.loads(Path(data_conf["word_index"]["url"]).read_text(encoding="utf-8"))
        return {word: rank for word, rank in sorted(known.items()) if rank <= limit}
    counts = Counter(word for text in reviews if isinstance(text, str) for word in words_of(text))
    return {word: rank for rank, (word, _) in enumerate(counts.most_common(limit), 1)}


def number(review: Review, vocabulary: Mapping[str, int], max_features: int) -> list[int]:
    """Return the numbers of a review, from its start."""
    if isinstance(review, str):
        ranks: Iterable[int | None] = map(vocabulary.get, words_of(review))
    else:
        ranks = review
    numbers = [UNKNOWN if rank is None else int(rank) + ABOVE_RANK for rank in ranks]
    return [START, *(n if n < max_features else UNKNOWN for n in numbers)]


def pad(numbered: Sequence[Sequence[int]], maxlen: int) -> np.ndarray:
    """Return the reviews' last `maxlen` numbers, zeros in front: shape (reviews, maxlen)."""
    return keras.utils.pad_sequences(numbered, maxlen=maxlen, dtype="int32")


def prepare(
    reviews: Iterable[Review], vocabulary: Mapping[str, int], hyper: Mapping[str, Any]
) -> np.ndarray:
    """Return what the network reads: shape (reviews, `maxlen`), from 0 to below `max_features`."""
    numbered = [number(review, vocabulary, hyper["max_features"]) for review in reviews]
    return pad(numbered, hyper["maxlen"])


def save_vocabulary(vocabulary: Mapping[str, int]) -> None:
    """Write the vocabulary below the working directory's `models/`."""
    VOCABULARY.write_text(json.dumps(vocabulary, indent=0) + "\n", encoding="utf-8")


def load_vocabulary() -> dict[str, int]:
    """Read what `save_vocabulary` wrote."""
    vocabulary: dict[str, int] = json.loads(VOCABULARY.read_text(encoding="utf-8"))
    return vocabulary
