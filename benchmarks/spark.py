"""What a step of a PySpark model costs beside bare spark-submit with the same settings.

    .venv/bin/python benchmarks/spark.py

Each starts Spark, runs one small job in it and stops; a step is all of `doit`, from its start to
its end, and has Spark's classes from the environment's archives.  Bare spark-submit runs with these
and without.  They take turns, so that what else this machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common import RUNNER, Contender, doit, print_race, print_repeat, variables

from tasks.languages import Start, pyspark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from common import Sample

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
        bare = _bare(folder, "bare spark-submit")
        step = Contender("a step", doit("-a", "train:tiny"), folder)
        made = step.run().seconds
        contenders = [bare, step, _bare(folder, "bare spark-submit, with archives")]
        plain, ours, quick = print_race("Spark, from start to end", contenders, options.rounds)
    ratio = _times(ours, plain)
    verdict = "held" if ratio <= TARGET else "missed"
    print(f"a step takes {ratio:.2f} times as long as bare spark-submit, the median of pairs")
    print(f"target of {TARGET}: {verdict}")
    print(f"it takes {_times(ours, quick):.2f} times as long as spark-submit with its archives")
    print(f"the step that made these took {made:.1f} s\n")
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


def _times(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Return how many times as long ours took, the median of pairs."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))


def _bare(folder: Path, name: str) -> Contender:
    """Return spark-submit as the runner calls it, with the job as a script of its own."""
    work, scratch = folder / name / "work", folder / name / "scratch"
    for made in (work / "models", scratch):
        made.mkdir(parents=True)
    script = work / "job.py"
    script.write_text(f"{JOB}\n\ntrain()\n", encoding="utf-8")
    python = next((folder / "cache/environments").glob("*/bin/python"))
    given = {**variables(folder), "MODEL_SCRATCH": str(scratch)}
    start = Start(DOCUMENT, "train", str(python), (str(script),), str(work), given)
    command = pyspark.command(start)
    words = command.words[command.words.index(f"{command.trusted[0]}/bin/spark-submit") :]
    return Contender(name, words, work, env=command.variables)


if __name__ == "__main__":
    os.environ.pop("MODEL_SPARK_MASTER", None)
    sys.exit(main())
