"""Train: fit the model in Spark, and write it into `models/`."""

from __future__ import annotations

from typing import Any

from pyspark.ml.classification import LogisticRegression

from .classifier import place, save, session
from .data import TARGET, read


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write the folder `models/lr`, the same bytes for the same inputs."""
    spark = session()
    rows = read(spark, data_conf)
    model = LogisticRegression(labelCol=TARGET, **model_conf["hyperParameters"]).fit(rows)
    save(model, place(spark))
    print(f"Trained on {rows.count()} rows")
    spark.stop()
