"""Train: fit the model on the rows that are not held out."""

from __future__ import annotations

from typing import Any

from pyspark.ml.classification import LogisticRegression

from .classifier import place, save, session
from .data import read, split


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:
    """Write the folder `models/lr`, the same bytes for the same inputs."""
    hyper = model_conf["hyperParameters"]
    with session() as spark:
        kept, _ = split(read(spark, data_conf), float(data_conf["test_split"]))
        model = LogisticRegression(
            maxIter=int(hyper["maxIter"]),
            regParam=float(hyper["regParam"]),
            elasticNetParam=float(hyper["elasticNetParam"]),
        ).fit(kept)
        save(model, place(spark))
        report(model.summary.objectiveHistory, kwargs.get("progress_callback_handler"))
        print(f"Trained on {kept.count()} rows with {model.numFeatures} features")


def report(losses: list[float], handler: Any) -> None:
    """Tell the loss of each iteration, from 0, which is where it starts: lower is better.

    Spark tells them when it has done with all of them.
    """
    for iteration, loss in enumerate(losses):
        if handler:
            handler(iter=iteration, iters=len(losses) - 1, score=loss)
