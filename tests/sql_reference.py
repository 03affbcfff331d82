"""What scikit-learn makes of the customers on which a churn model was trained, beside that model.

    python sql_reference.py (bayes|machine) MODEL

It is run in a repository where the model has done every step, and prints JSON: differences,
objectives, and the metrics that scikit-learn finds.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from sklearn import metrics
from sklearn.naive_bayes import BernoulliNB
from sklearn.svm import LinearSVC


class Customers(NamedTuple):
    """What a model was trained on: `x` is (customers, tokens), the others (customers,)."""

    hyper: dict[str, Any]
    tokens: list[str]
    ids: list[int]
    x: np.ndarray
    y: np.ndarray
    held_out: np.ndarray


def read(model: str) -> Customers:
    """Read a model's configuration and events."""
    folder = Path("model_definitions", model)
    config = json.loads((folder / "config.json").read_text())
    data_conf = json.loads((folder / "datasets/train.json").read_text())
    tokens = config["tokens"]
    had: dict[int, list[float]] = {}
    left: dict[int, int] = {}
    with Path(data_conf["tables"]["CHURN_EVENTS"]["url"]).open(newline="") as file:
        for event in csv.DictReader(file):
            customer = int(event["customerid"])
            row = had.setdefault(customer, [0.0] * len(tokens))
            if event["token"] in tokens:
                row[tokens.index(event["token"])] = 1.0
            left[customer] = int(event["category"] == "CHURN")
    ids = sorted(had)
    held_out = np.array([i * 7919 % 10007 < 10007 * data_conf["test_split"] for i in ids])
    x, y = np.array([had[i] for i in ids]), np.array([left[i] for i in ids])
    return Customers(config["hyperParameters"], tokens, ids, x, y, held_out)


def predictions(model: str, ids: list[int]) -> dict[str, np.ndarray]:
    """Read the columns of a model's predictions, as text."""
    with Path("build/models", model, "score/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ids == [int(row["customerid"]) for row in rows]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def table(model: str, more: str = "") -> list[tuple[Any, ...]]:
    """Read a table that training has left; its name has the model's version of 12 digits."""
    place = f"build/models/{model}/train/models/warehouse/AOA_MODELS_{'?' * 12}{more}.parquet"
    return duckdb.sql(f"from '{place}'").fetchall()


def measured(y: np.ndarray, called: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return the metrics; all are of shape (customers,)."""
    tn, fp, fn, tp = metrics.confusion_matrix(y, called).ravel()
    return {
        "rows": len(y),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
        "recall": metrics.recall_score(y, called),
        "precision": metrics.precision_score(y, called),
        "f1": metrics.f1_score(y, called),
        "pr_auc": metrics.average_precision_score(y, score),
    }


def bayes(model: str) -> dict[str, Any]:
    """Hold a naive Bayes model against BernoulliNB."""
    hyper, tokens, ids, x, y, held_out = read(model)
    fitted = BernoulliNB(alpha=hyper["alpha"]).fit(x[~held_out], y[~held_out])
    found = predictions(model, ids)
    joint = fitted.predict_joint_log_proba(x)
    differences = [np.abs(joint[:, 0] - found["log_stay"].astype(float)).max()]
    differences += [np.abs(joint[:, 1] - found["log_churn"].astype(float)).max()]
    ours = {(category, token): numbers for category, token, *numbers in table(model)}
    for number, category in enumerate(["NON CHURN", "CHURN"]):
        for place, token in enumerate(tokens):
            present = fitted.feature_log_prob_[number][place]
            theirs = [fitted.class_log_prior_[number], present, np.log(1 - np.exp(present))]
            differences.append(np.abs(np.array(theirs) - ours[category, token]).max())
    probability = np.abs(fitted.predict_proba(x)[:, 1] - found["probability"].astype(float)).max()
    called, score = fitted.predict(x[held_out]), (joint[:, 1] - joint[:, 0])[held_out]
    return {
        "log-probability": max(differences),
        "probability": probability,
        "metrics": measured(y[held_out], called, score),
    }


def machine(model: str) -> dict[str, Any]:
    """Hold a support vector machine against LinearSVC."""
    hyper, tokens, ids, x, y, held_out = read(model)
    bias, cost = hyper["bias"], hyper["cost"]
    columns = np.c_[x, np.full(len(x), bias)] if bias else x
    importance = cost * np.where(y == 1, hyper["churn_weight"], 1)[~held_out]
    side = 2 * y[~held_out] - 1

    def objective(w: np.ndarray) -> float:
        losses = np.maximum(0, 1 - side * (columns[~held_out] @ w))
        return float(w @ w / 2 + importance @ losses)

    theirs = LinearSVC(
        loss="hinge",
        C=cost,
        class_weight={1: hyper["churn_weight"]},
        fit_intercept=False,
        max_iter=10**8,
        tol=1e-6,
        random_state=0,
    ).fit(columns[~held_out], y[~held_out])
    weights = dict(table(model))
    ours = [weights[token] for token in tokens]
    ours += [weights["(bias)"] / bias] if bias else []
    ((iterations, reported, bound),) = table(model, "_FIT")
    score = predictions(model, ids)["score"].astype(float)
    return {
        "ours": objective(np.array(ours)),
        "theirs": objective(theirs.coef_[0]),
        "iterations": iterations,
        "reported": reported,
        "bound": bound,
        "score": np.abs(score - columns @ ours).max(),
        "metrics": measured(y[held_out], score[held_out] > 0, score[held_out]),
    }


if __name__ == "__main__":
    compare = {"bayes": bayes, "machine": machine}[sys.argv[1]]
    sys.stdout.write(json.dumps(compare(sys.argv[2]), default=float))
