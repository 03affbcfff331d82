"""The data: where it is, how it is read, and which rows are held out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPLIT_SEED = 42
SPLIT_STEPS = 10_000  # fractions are told apart to this


def path(data_conf: dict[str, Any]) -> str:
    """Return the address of the data.

    `url` or `data_path` is a file of the user's; `spark_data` one below Spark's own `data/`, which
    `spark-submit` tells where it is: the package itself may be imported from an archive.
    """
    named = data_conf.get("url") or data_conf.get("data_path")
    named = named or os.path.join(os.environ["SPARK_HOME"], "data", data_conf["spark_data"])
    return f"file://{named}" if named.startswith("/") else named


def read(spark: SparkSession, data_conf: dict[str, Any], features: int | None = None) -> DataFrame:
    """Return the rows of a LIBSVM file: `label` (0 or 1) and `features`, a sparse vector.

    `features` is how many there are; without it they are counted, by one more pass.
    """
    reader = spark.read.format("libsvm")
    if features:
        reader = reader.option("numFeatures", features)
    return reader.load(path(data_conf))


def split(frame: DataFrame, held_out: float) -> tuple[DataFrame, DataFrame]:
    """Return the rows to train on and the rows held out.

    `held_out` is the fraction held out, between 0 and 1.  What a row holds decides where it goes,
    so that all steps agree, however the file is cut into partitions, and equal rows stay together.
    """
    digest = sql.xxhash64(sql.lit(SPLIT_SEED), "label", "features")
    spot = sql.pmod(digest, sql.lit(SPLIT_STEPS))
    out = spot < held_out * SPLIT_STEPS
    return frame.where(~out), frame.where(out)
