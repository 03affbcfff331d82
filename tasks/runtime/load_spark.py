"""Have Spark do what models mostly ask of it, so that what it loads for that can be archived.

    spark-submit load_spark.py

It reads and writes in the working directory.

Only the standard library and Spark are used, in a form that Python 3.6 parses.
"""

import contextlib
from typing import Any


def main() -> None:
    """Read and write, count, and train and save a model."""
    from pyspark.sql import SparkSession  # noqa: PLC0415

    spark = SparkSession.builder.getOrCreate()
    cells = [(float(number % 2), float(number), str(number)) for number in range(20)]
    spark.createDataFrame(cells, ["label", "number", "text"]).write.csv("csv", header=True)
    read = spark.read.csv("csv", header=True, inferSchema=True)
    read.createOrReplaceTempView("cells")
    asked = "select label, count(*) rows, avg(number) mean from cells group by label order by rows"
    spark.sql(asked).collect()
    read.write.parquet("parquet")
    rows = spark.read.parquet("parquet").cache()
    rows.rdd.map(len).sum()
    with contextlib.suppress(ImportError):  # without NumPy
        train(rows)
    spark.stop()


def train(rows: Any) -> None:
    """Train a model, measure it, save it and load it."""
    from pyspark.ml import Pipeline, PipelineModel  # noqa: PLC0415
    from pyspark.ml.classification import LogisticRegression  # noqa: PLC0415
    from pyspark.ml.evaluation import BinaryClassificationEvaluator  # noqa: PLC0415
    from pyspark.ml.feature import VectorAssembler  # noqa: PLC0415

    stages = [VectorAssembler(inputCols=["number"], outputCol="features"), LogisticRegression()]
    Pipeline(stages=stages).fit(rows).save("model")
    answers = PipelineModel.load("model").transform(rows)
    BinaryClassificationEvaluator().evaluate(answers)


if __name__ == "__main__":
    main()
