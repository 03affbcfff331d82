"""Plain XGBoost on the rows on which the trees in the database were trained, beside those trees.

    python mle_reference.py

It is run in a repository where the model has done every step, and prints JSON: the predictions of
both, by idx, and what plain Python counts.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import xgboost as xgb

MODEL = "python-mle-xgboost-diabetes"


def read(name: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the ids, the features (rows, 8) and the classes (rows,) of a table's file."""
    with Path("datasets", name).open(newline="", encoding="ascii") as file:
        _, *lines = csv.reader(file)
    rows = np.array([[float(cell or "nan") for cell in line] for line in lines])
    return [int(idx) for idx in rows[:, 0]], rows[:, 1:-1].astype(np.float32), rows[:, -1]


def main() -> None:
    """Train on arrays in memory, as anybody would, and compare."""
    config = json.loads(Path("model_definitions", MODEL, "config.json").read_text())
    hyper = config["hyperParameters"]
    _, features, classes = read("diabetes-sample-train.csv")
    parameters = {
        "objective": "binary:logistic",
        "learning_rate": hyper["shrinkage_factor"],
        "max_depth": hyper["max_depth"],
        "reg_lambda": hyper["reg_lambda"],
        "min_child_weight": hyper["min_node_size"],
        "seed": hyper["seed"],
    }
    trees = xgb.train(parameters, xgb.DMatrix(features, classes), hyper["iter_num"])
    ids, features, classes = read("diabetes-sample-test.csv")
    probabilities = trees.predict(xgb.DMatrix(features))
    called = probabilities >= 0.5
    counts = {
        "true_positives": int((called & (classes == 1)).sum()),
        "false_positives": int((called & (classes == 0)).sum()),
        "false_negatives": int((~called & (classes == 1)).sum()),
        "true_negatives": int((~called & (classes == 0)).sum()),
    }
    expected = dict(zip(map(str, ids), probabilities.astype(float).tolist(), strict=True))
    print(json.dumps({"probabilities": expected, "counts": counts}))


if __name__ == "__main__":
    main()
