"""The trained pipeline, and the file it is kept in."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

PLACE = Path("models", "model.joblib")
THRESHOLD = 0.5


def save(model: Pipeline) -> None:
    """Write the pipeline."""
    joblib.dump(model, PLACE)


def load() -> Pipeline:
    """Read what `save` wrote."""
    return joblib.load(PLACE)


def probabilities(model: Pipeline, rows: np.ndarray) -> np.ndarray:
    """Return how probable class 1 is: rows (n, 4) to fractions (n,)."""
    return model.predict_proba(rows)[:, 1]


def classes(found: np.ndarray) -> np.ndarray:
    """Return 1 where class 1 is more probable than not, else 0."""
    return (found > THRESHOLD).astype(int)
