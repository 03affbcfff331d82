"""The trained trees, and the file they are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xgboost import Booster

PLACE = Path("models", "model.json")
THRESHOLD = 0.5


def save(trees: Booster) -> None:
    """Write the trees."""
    trees.save_model(PLACE)


def load() -> Booster:
    """Read what `save` wrote."""
    return Booster({"nthread": 1}, model_file=PLACE)


def probabilities(trees: Booster, rows: np.ndarray) -> np.ndarray:
    """Return how probable class 1 is: rows (n, 4) to fractions (n,)."""
    return trees.inplace_predict(rows)


def classes(found: np.ndarray) -> np.ndarray:
    """Return 1 where class 1 is more probable than not, else 0."""
    return (found > THRESHOLD).astype(int)
