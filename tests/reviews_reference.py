"""How well logistic regression tells the sentiment of the sample, from words and from their order.

    python reviews_reference.py CSV

It prints JSON: the accuracy on the split `test`, for single words and for up to three in a row.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

WORD = r"[\w']+"


def main(path: str) -> None:
    """Fit on the split `train`, count on the split `test`."""
    with Path(path).open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    texts, known = {}, {}
    for split in ("train", "test"):
        texts[split] = [row["review"] for row in rows if row["split"] == split]
        known[split] = [row["sentiment"] for row in rows if row["split"] == split]
    accuracy = {}
    for name, longest in {"words": 1, "threes": 3}.items():
        vectors = CountVectorizer(ngram_range=(1, longest), token_pattern=WORD)
        model = make_pipeline(vectors, LogisticRegression(max_iter=2000))
        model.fit(texts["train"], known["train"])
        accuracy[name] = model.score(texts["test"], known["test"])
    print(json.dumps(accuracy))


if __name__ == "__main__":
    main(sys.argv[-1])
