"""Have Spark do what models mostly ask of it, so that what it loads for that can be archived.

    spark-submit load_spark.py

It reads and writes in the working directory.

Only the standard library and Spark are used, in a form that Python 3.6 parses.
"""

import contextlib
from typing import Any


def main() -> None:
    """Read and write, count, and train and save a model."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - the environment has it

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
    from pyspark import ml  # noqa: PLC0415 - it needs NumPy
    from pyspark.ml import classification, evaluation, feature  # noqa: PLC0415

    assembler = feature.VectorAssembler(inputCols=["number"], outputCol="features")
    pipeline = ml.Pipeline(stages=[assembler, classification.LogisticRegression()])
    pipeline.fit(rows).save("model")
    answers = ml.PipelineModel.load("model").transform(rows)
    evaluation.BinaryClassificationEvaluator().evaluate(answers)


if __name__ == "__main__":
    main()
