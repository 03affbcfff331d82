"""What a step of a PySpark model costs beside bare spark-submit with the same settings.

    .venv/bin/python benchmarks/spark.py

Both start Spark, run one small job in it and stop; a step is all of `doit`, from its start to its
end.  They take turns, so that what else this machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from common import RUNNER, Contender, doit, print_race, print_repeat, variables

from tasks.languages import Start, pyspark

TARGET = 1.10
LIKE = "pyspark-logistic-regression"  # whose environment is used
DOCUMENT = {
    "id": "tiny", "name": "Tiny", "language": "pyspark", "python": ">=3.9,<3.13",
    "automation": {"resources": {"master": "local[2]"}},
}  # fmt: skip
JOB = """\
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession


def train(**kwargs):
    spark = SparkSession.builder.getOrCreate()
    rows = VectorAssembler(inputCols=["id"], outputCol="vector").transform(spark.range(1000))
    with open("models/rows", "w") as file:
        file.write(str(rows.selectExpr("sum(id)").first()[0]))
    spark.stop()
"""


def main() -> None:
    """Run the race and print how much longer a step takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="runs of each, default: 10")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spark-") as name:
        folder = Path(name)
        _write_model(folder)
        Contender("env", doit("env:tiny"), folder).run()
        contenders = [_bare(folder), Contender("a step", doit("-a", "train:tiny"), folder)]
        bare, step = print_race("Spark, from start to end", contenders, options.rounds)
    ratio = statistics.median(
        ours.seconds / theirs.seconds for ours, theirs in zip(step, bare, strict=True)
    )
    verdict = "held" if ratio <= TARGET else "missed"
    print(f"a step takes {ratio:.2f} times as long, the median of pairs")
    print(f"target of {TARGET}: {verdict}\n")
    print_repeat()


def _write_model(folder: Path) -> None:
    top = folder / "model_definitions/tiny"
    modules, like = top / "model_modules", RUNNER / "model_definitions" / LIKE / "model_modules"
    modules.mkdir(parents=True)
    (folder / "envs/locks").mkdir(parents=True)
    (top / "model.json").write_text(json.dumps(DOCUMENT), encoding="utf-8")
    (modules / "training.py").write_text(JOB, encoding="utf-8")
    (modules / "requirements.txt").write_bytes((like / "requirements.txt").read_bytes())
    lock = (RUNNER / f"envs/locks/{LIKE}.txt").read_bytes()
    (folder / "envs/locks/tiny.txt").write_bytes(lock)


def _bare(folder: Path) -> Contender:
    """Return spark-submit as the runner calls it, with the job as a script of its own."""
    work, scratch = folder / "bare", folder / "scratch"
    for made in (work / "models", scratch):
        made.mkdir(parents=True)
    script = work / "job.py"
    script.write_text(f"{JOB}\n\ntrain()\n", encoding="utf-8")
    python = next((folder / "cache/environments").glob("*/bin/python"))
    given = {**variables(folder), "MODEL_SCRATCH": str(scratch)}
    start = Start(DOCUMENT, "train", str(python), (str(script),), str(work), given)
    command = pyspark.command(start)
    words = command.words[command.words.index(f"{command.trusted[0]}/bin/spark-submit") :]
    return Contender("bare spark-submit", words, work, env=command.variables)


if __name__ == "__main__":
    os.environ.pop("MODEL_SPARK_MASTER", None)
    sys.exit(main())
