"""Train: learn from the rows of the dataset, and write what was learned into `models/`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .model import TARGET, read, save


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/model.json`: the class that is more frequent, the smaller one of a tie."""
    counts = Counter(int(row[TARGET]) for row in read(data_conf))
    most = min(counts, key=lambda known: (-counts[known], known))
    save({TARGET: most})
    print(f"{counts[most]} of {sum(counts.values())} rows are of class {most}")
