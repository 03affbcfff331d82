"""Evaluate: measure the model on rows that training has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import functions as sql

from .classifier import load, session
from .data import TARGET, read


def evaluate(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write `models/evaluation.json`."""
    spark = session()
    scored = load(spark).transform(read(spark, data_conf)).cache()
    right = (sql.col(TARGET) == sql.col("prediction")).cast("double")
    accuracy, rows = scored.agg(sql.avg(right), sql.count("*")).first()
    area = BinaryClassificationEvaluator(labelCol=TARGET, numBins=0).evaluate(scored)
    metrics = {"accuracy": accuracy, "area_under_roc": area, "rows": rows}
    Path("models", "evaluation.json").write_text(json.dumps(metrics) + "\n", encoding="utf-8")
    spark.stop()
