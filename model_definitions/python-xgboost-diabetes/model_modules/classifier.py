"""The trained classifier: a scaler and boosted trees, and the two files they are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
from xgboost import Booster

if TYPE_CHECKING:
    import numpy as np
    from sklearn.preprocessing import MinMaxScaler

SCALER = Path("models", "scaler.joblib")
TREES = Path("models", "model.json")
THRESHOLD = 0.5


@dataclass(frozen=True)
class Classifier:
    """A fitted scaler and the trees that were trained on what it returns."""

    scaler: MinMaxScaler
    trees: Booster

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Return how probable diabetes is: rows of shape (n, 8) to fractions of shape (n,)."""
        return self.trees.inplace_predict(self.scaler.transform(rows))

    def save(self) -> None:
        """Write both files below the working directory's `models/`."""
        joblib.dump(self.scaler, SCALER)
        self.trees.save_model(TREES)


def classes(probabilities: np.ndarray) -> np.ndarray:
    """Return 1 where diabetes is more probable than not, else 0; the shape stays."""
    return (probabilities > THRESHOLD).astype(int)


def load() -> Classifier:
    """Read what `Classifier.save` wrote."""
    return Classifier(joblib.load(SCALER), Booster({"nthread": 1}, model_file=TREES))
