"""The data: a CSV with a header. Its columns are named here, and nowhere else."""

from __future__ import annotations

from typing import Any

from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession

KEY = "customer"
FEATURES = ["age", "visits", "complaints", "spend"]
TARGET = "renewed"  # 1: stayed, 0: left


def read(spark: SparkSession, data_conf: dict[str, Any]) -> DataFrame:
    """Return the rows of the file that the dataset names as `url`, with a vector `features`."""
    path = data_conf["url"]
    address = f"file://{path}" if path.startswith("/") else path
    rows = spark.read.csv(address, header=True, inferSchema=True)
    return VectorAssembler(inputCols=FEATURES, outputCol="features").transform(rows)
