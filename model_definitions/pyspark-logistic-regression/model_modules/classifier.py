"""The Spark session, and the trained model: where it is kept, and in what form."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = "logistic-regression"
# Parquet lists the encodings of a column in an order that changes from run to run: with these
# there is one for each column.
SETTLED = {
    "spark.hadoop.parquet.writer.version": "v2",
    "spark.hadoop.parquet.enable.dictionary": "false",
}
CHANCE = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@contextlib.contextmanager
def session() -> Iterator[SparkSession]:
    """Give a Spark session, and stop it at the end."""
    builder = SparkSession.builder
    for key, value in SETTLED.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def place(spark: SparkSession) -> str:
    """Return the address of the model's folder: below `spark.aoa.modelPath`, else `models/`."""
    return spark.conf.get("spark.aoa.modelPath", f"file://{os.getcwd()}/models") + "/lr"


def save(model: LogisticRegressionModel, target: str) -> None:
    """Save a model in Spark's own form, in place of the one before."""
    model.write().overwrite().save(target)
    address = urlsplit(target)
    if address.scheme == "file":
        settle(Path(target[len("file://") :]))


def settle(folder: Path) -> None:
    """Make equal models equal bytes.

    Spark puts the time and an id drawn at random into the metadata, and another into the names of
    files.  Nothing reads either.  The checksums beside the files, which would not fit any more,
    may be missing.
    """
    for checksum in folder.glob("*/.*.crc"):
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
