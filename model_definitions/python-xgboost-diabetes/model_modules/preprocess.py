"""The data: its columns, how it is read, and which rows are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    import numpy as np

FEATURES = (
    "pregnancies",  # times pregnant
    "glucose",  # plasma glucose after two hours of a tolerance test, mg/dl
    "pressure",  # diastolic blood pressure, mm Hg
    "skin",  # triceps skin fold, mm
    "insulin",  # serum insulin after two hours, mu U/ml
    "bmi",  # body mass index, kg/m2
    "pedigree",  # diabetes pedigree function
    "age",  # years
)
TARGET = "diabetes"  # 1: has diabetes, 0: has not
SPLIT_SEED = 42


def read(data_conf: dict[str, Any]) -> pd.DataFrame:
    """Read the CSV without a header that `url` names: eight features, then the class if known."""
    frame = pd.read_csv(data_conf["url"], header=None)
    columns = [*FEATURES, TARGET]
    if frame.shape[1] not in {len(FEATURES), len(columns)}:
        message = f"{data_conf['url']}: expected 8 or 9 columns, got {frame.shape[1]}"
        raise ValueError(message)
    return frame.set_axis(columns[: frame.shape[1]], axis="columns")


def features(frame: pd.DataFrame) -> np.ndarray:
    """Return the features, shape (rows, 8)."""
    return frame[list(FEATURES)].to_numpy(dtype=float)


def labels(frame: pd.DataFrame) -> np.ndarray:
    """Return the class of each row, 0 or 1, shape (rows,)."""
    if TARGET not in frame:
        message = "the data has no ninth column: training and evaluation need the class"
        raise ValueError(message)
    return frame[TARGET].to_numpy(dtype=int)


def split(data_conf: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on and the rows held out, always the same ones of a file.

    `test_split` is the fraction held out, between 0 and 1.
    """
    kept, held_out = train_test_split(
        read(data_conf), test_size=data_conf["test_split"], random_state=SPLIT_SEED
    )
    return kept, held_out
