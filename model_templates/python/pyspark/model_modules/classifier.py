"""The trained model, and the folder it is kept in."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import SparkSession

UID = "logistic-regression"
CHANCE = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def session() -> SparkSession:
    """Return a Spark session. Parquet lists encodings in an order of chance: here there is one."""
    builder = SparkSession.builder.config("spark.hadoop.parquet.writer.version", "v2")
    return builder.config("spark.hadoop.parquet.enable.dictionary", "false").getOrCreate()


def place(spark: SparkSession) -> str:
    """Return the address of the model's folder."""
    return spark.conf.get("spark.aoa.modelPath", f"file://{os.getcwd()}/models") + "/lr"


def save(model: LogisticRegressionModel, target: str) -> None:
    """Write the model in Spark's form, less the time and the ids of chance that are put into it."""
    model.write().overwrite().save(target)
    if not target.startswith("file://"):
        return
    folder = Path(target[len("file://") :])
    for checksum in folder.glob("*/.*.crc"):  # of the bytes that are changed now
        checksum.unlink()
    for part in folder.glob("*/part-*"):
        part.rename(part.with_name(CHANCE.sub("", part.name)))
    for part in folder.glob("metadata/part-*"):
        text = part.read_text(encoding="utf-8")
        if text:
            facts = {**json.loads(text), "timestamp": 0, "uid": UID}
            part.write_text(json.dumps(facts, sort_keys=True) + "\n", encoding="utf-8")


def load(spark: SparkSession) -> LogisticRegressionModel:
    """Read what `save` wrote."""
    return LogisticRegressionModel.load(place(spark))
