"""Evaluate: measure the trained model on the held-out rows, which training never saw."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import functions as sql

from .classifier import load, session
from .data import read, split

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

METRICS = Path("models", "evaluation.json")
SCORES = Path("models", "scores.csv")


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **_kwargs: object) -> None:
    """Write `models/evaluation.json`, and `models/scores.csv` with the rows behind it."""
    del model_conf
    with session() as spark:
        model = load(spark)
        rows = read(spark, data_conf, model.numFeatures)
        _, held_out = split(rows, float(data_conf["test_split"]))
        scored = model.transform(held_out).cache()
        METRICS.write_text(json.dumps(measure(scored), indent=4) + "\n", encoding="utf-8")
        write_scores(scored)


def measure(scored: DataFrame) -> dict[str, float]:
    """Return the metrics as fractions of 1, and the number of rows."""
    right = (sql.col("label") == sql.col("prediction")).cast("double")
    accuracy, count = scored.agg(sql.avg(right), sql.count("*")).first()
    exact = BinaryClassificationEvaluator(metricName="areaUnderROC", numBins=0)
    return {"area_under_roc": exact.evaluate(scored), "accuracy": accuracy, "rows": count}


def write_scores(scored: DataFrame) -> None:
    """Write the class and the probability of a one for every row, to all their digits."""
    rows = scored.select("label", "probability").toLocalIterator()
    with SCORES.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("label", "probability"))
        writer.writerows((int(label), float(probability[1])) for label, probability in rows)
