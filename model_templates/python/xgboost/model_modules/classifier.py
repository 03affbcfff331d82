"""The trained trees, and the file they are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xgboost import XGBClassifier

PLACE = Path("models", "model.json")
THRESHOLD = 0.5


def save(model: XGBClassifier) -> None:
    """Write the trees."""
    model.save_model(PLACE)


def load() -> XGBClassifier:
    """Read what `save` wrote."""
    model = XGBClassifier(n_jobs=1)
    model.load_model(PLACE)
    return model


def probabilities(model: XGBClassifier, rows: np.ndarray) -> np.ndarray:
    """Return how probable class 1 is: rows (n, 4) to fractions (n,)."""
    return model.predict_proba(rows)[:, 1]


def classes(found: np.ndarray) -> np.ndarray:
    """Return 1 where class 1 is more probable than not, else 0."""
    return (found > THRESHOLD).astype(int)
