"""PySpark models through doit: the real Spark, alone and on a cluster, and what befalls it.

A machine without a Java is what these run on: that of the environment is used.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from tasks.languages import spark
from tests.assertions import wait_until
from tests.conftest import Repository
from tests.crashing import kill, processes_of
from tests.spark import (
    MODEL,
    QUICK,
    Cluster,
    add_model,
    add_tiny,
    cluster,
    interpreter,
    with_lock,
    without_java,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.pyspark

ROWS = 400
PATIENCE_SECONDS = 120
RESULTS = f"build/models/{MODEL}"

WAITS = """\
import time
from pathlib import Path

def train(data_conf, model_conf, **kwargs):
    Path("models/half").write_text("half")
    while {waits}:
        time.sleep(0.05)
"""

# Counts in functions that run in the executors' own processes, which must find the model's code
# and its packages, and says with which Python.
COUNTS = """\
from . import sums

def train(spark, data_conf):
    numbers = spark.sparkContext.parallelize(range(10), 2)
    with open("models/sum", "w") as file:
        file.write(str(numbers.map(sums.double).sum()))
    print("with", *numbers.map(sums.python).distinct().collect())
"""

SUMS = """\
import sys

def double(number):
    import numpy
    return int(numpy.add(number, number))

def python(_number):
    return sys.prefix
"""

# Two jobs, each of which is begun while all executors are there and waits until it may end.
LOSES = """\
import time
from pathlib import Path
from model_runtime import executors

def slow(here):
    def double(number):
        while not Path(here, f"go-{number // 100}").exists():
            time.sleep(0.05)
        return 2 * number
    return double

def train(spark, data_conf):
    context, here = spark.sparkContext, Path("models").absolute()
    context.parallelize(range(10), 2).count()
    print("on Spark", *map(executors.version_at, executors.worker_pages(context)))
    for first in (0, 100):
        Path(here, f"begun-{first // 100}").touch()
        numbers = context.parallelize(range(first, first + 10), 4)
        print("counted", numbers.map(slow(str(here))).sum())
"""

ASKS = """\
import json, sys

from model_modules.scoring import ModelScorer

with open(sys.argv[1]) as file:
    rows = json.load(file)["data"]["ndarray"]
scorer = ModelScorer()
answer = scorer.predict(rows)
assert scorer.predict(rows[0]) == answer[:1]
print(answer)
"""

REFEREE = """\
import csv

from sklearn.metrics import roc_auc_score

def train(data_conf, model_conf):
    with open(data_conf["data_path"]) as file:
        rows = [(int(row["label"]), float(row["probability"])) for row in csv.DictReader(file)]
    with open("models/area", "w") as file:
        file.write(repr(roc_auc_score(*zip(*rows))))
"""


def noisy_data() -> str:
    """Return synthetic rows in LIBSVM's form: five features, of which two tell a little."""
    chance = random.Random(1)
    lines = []
    for _ in range(ROWS):
        label = chance.randrange(2)
        values = [chance.gauss(0.8 * label * (place < 2), 1) for place in range(5)]
        cells = (f"{place}:{value:.1f}" for place, value in enumerate(values, 1))
        lines.append(f"{label} {' '.join(cells)}\n")
    return "".join(lines)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a machine without Java."""
    return without_java(tmp_path / "bin")


def add_referee(repository: Repository, scores: str) -> None:
    """Write a model that measures the area under the curve of some scores by scikit-learn."""
    about = {"id": "r", "name": "Referee", "language": "python", "python": ">=3.10"}
    repository.write("model_definitions/referee/model.json", about)
    repository.write("model_definitions/referee/model_modules/training.py", REFEREE)
    repository.write("model_definitions/referee/datasets/train.json", {"data_path": scores})
    with_lock(repository, "python-xgboost-diabetes", "referee")


def add_counting(repository: Repository) -> None:
    """Write a model whose training adds numbers up by a function of its own."""
    add_tiny(repository, COUNTS)
    repository.write("model_definitions/tiny/model_modules/sums.py", SUMS)


def asked(repository: Repository) -> str:
    """Return the trained model's answer to the sample request, outside of any step."""
    folder = repository.path / "model_definitions" / MODEL
    python = interpreter(repository.cache)
    java = spark.java_home(spark.find(python, {}), tempfile.mkdtemp(dir=repository.path / "build"))
    done = subprocess.run(
        [python, "-c", ASKS, str(folder / "samples/data.json")],
        cwd=repository.path / f"{RESULTS}/train", stdout=subprocess.PIPE, text=True, check=True,
        env={
            **os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
            "JAVA_HOME": java, "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )  # fmt: skip
    return done.stdout.strip()


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """Return what doit printed, after making sure that all went well."""
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_trains_evaluates_and_scores(repository: Repository, bare: dict[str, str]) -> None:
    """All three steps run on an environment's own Java; the area is what scikit-learn finds."""
    add_model(repository)
    repository.write("noisy.txt", noisy_data())
    folder = f"model_definitions/{MODEL}"
    for step in ("train", "evaluate", "score"):
        dataset = {"data_path": "noisy.txt", "test_split": 0.3}
        repository.write(f"{folder}/datasets/{step}.json", dataset)
    repository.write(
        f"{folder}/config.json",
        {"hyperParameters": {"maxIter": 10, "regParam": 0.01, "elasticNetParam": 0.5}},
    )
    document = repository.json(f"{folder}/model.json")
    document["evaluation"]["thresholds"]["area_under_roc"]["min"] = 0.6
    repository.write(f"{folder}/model.json", document)

    trained = ended(repository.doit(f"train:{MODEL}", "--twice", **bare))
    ended(repository.doit(f"evaluate:{MODEL}", f"score:{MODEL}", **bare))

    assert "reproducible to the byte" in trained

    measured = repository.json(f"{RESULTS}/evaluate/metrics.json")["metrics"]
    assert 0.6 < measured["area_under_roc"] < 0.95
    assert abs(0.3 * ROWS - measured["rows"]) < 0.1 * ROWS
    add_referee(repository, f"{RESULTS}/evaluate/models/scores.csv")
    ended(repository.doit("train:referee"))
    expected = float(repository.read("build/models/referee/train/models/area"))
    assert expected == pytest.approx(measured["area_under_roc"], abs=1e-12)

    rows = list(csv.DictReader(repository.read(f"{RESULTS}/score/predictions.csv").splitlines()))
    assert [str(number) for number in range(1, ROWS + 1)] == [row["row"] for row in rows]
    assert {"0", "1"} == {row["class"] for row in rows}

    artefacts = repository.json(f"{RESULTS}/train/artefacts.json")["files"]
    assert all(name.startswith("models/lr/") for name in artefacts)
    assert not any(name.endswith(".crc") for name in artefacts)
    events = list((repository.path / f"{RESULTS}/train/logs/spark-events").iterdir())
    last = json.loads(events[0].read_text().splitlines()[-1])
    assert "SparkListenerApplicationEnd" == last["Event"]
    assert "SparkContext" in repository.read(f"{RESULTS}/train/logs/spark-driver.log")
    assert "Trained on" in repository.read(f"{RESULTS}/train/run.log")
    assert f"evaluate:{MODEL} is up to date" in repository.doit("why", MODEL, **bare).stdout


@pytest.fixture(scope="module")
def ours(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster of Spark's own on this machine."""
    repository = Repository(tmp_path_factory.mktemp("cluster"), cache)
    add_tiny(repository, COUNTS)
    ended(repository.doit("env:tiny", **without_java(repository.path / "bin")))
    with cluster(interpreter(cache)) as found:
        yield found


def test_a_cluster(repository: Repository, bare: dict[str, str], ours: Cluster) -> None:
    """It makes the bytes that are made here, on machines that have no Python.

    The model's own code and its packages are there, and leave nothing beside the code here.
    """
    add_counting(repository)
    add_model(repository)
    ended(repository.doit("train", **bare))
    here = [
        repository.json(f"build/models/{name}/train/artefacts.json") for name in ("tiny", MODEL)
    ]
    assert "90" == repository.read("build/models/tiny/train/models/sum")
    assert [] == list(repository.path.glob("model_definitions/**/__pycache__"))

    ended(repository.doit("-a", "train", MODEL_SPARK_MASTER=ours.master, **QUICK, **bare))

    there = [repository.json(f"build/models/{n}/train/artefacts.json") for n in ("tiny", MODEL)]
    assert here == there
    where = repository.json(f"{RESULTS}/train/run.json")["where"]
    expected = {"place": "local", "spark": {"master": ours.master, "deploy_mode": "client"}}
    assert expected == where
    used = repository.read("build/models/tiny/train/run.log").split("with ")[1].split()
    assert all(re.fullmatch(rf"{ours.work}/app-\S+/environment", prefix) for prefix in used), used
    for name in ("tiny", MODEL):
        log = repository.read(f"build/models/{name}/train/logs/spark-driver.log")
        assert "Connected to Spark cluster" in log
    assert "Trained on 72 rows" in repository.read(f"{RESULTS}/train/run.log")
    assert "[0, 1]" == asked(repository)


def test_workers_are_lost(repository: Repository, bare: dict[str, str], ours: Cluster) -> None:
    """A job ends with the workers that are left; without any it is given up, and that is said.

    It is the last test with this cluster, whose executors are told of a Python here: that is quick.
    """
    add_tiny(repository, LOSES)
    more = {"AOA_SPARK_CONF": "--conf spark.modelmake.executorsWait=3", **QUICK, **bare}
    more |= {"PYSPARK_PYTHON": interpreter(repository.cache), "MODEL_SPARK_MASTER": ours.master}
    process = repository.start("train:tiny", **more)
    for number, worker in enumerate(ours.workers):
        pattern = f"build/runs/*/work/models/begun-{number}"
        assert wait_until(lambda at=pattern: any(repository.path.glob(at)), PATIENCE_SECONDS)
        kill(worker)
        begun = next(repository.path.glob(pattern))
        if worker != ours.workers[-1]:
            begun.with_name(f"go-{number}").touch()
    printed = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert 1 == process.returncode
    log = repository.read("build/failed/tiny/train/run.log")
    assert re.search(r"^on Spark (\d+\.\d+\.\d+) \1$", log, re.MULTILINE)
    assert "counted 90" in log
    assert (
        "Py4JJavaError: the cluster has lost all executors, and given no other for 3 s" in printed
    )


def test_an_error_of_java_is_told(repository: Repository, bare: dict[str, str]) -> None:
    """The headline says what went wrong inside Spark, and where in the model."""
    add_tiny(repository, "def train(spark):\n    spark.sparkContext.textFile('gone').count()\n")

    done = repository.doit("train:tiny", **bare)

    assert 1 == done.returncode
    assert re.search(r"failed to train: Py4JJavaError: .*Input path does not exist", done.stdout)
    assert "model_modules/training.py:2" in done.stdout


def started(repository: Repository, bare: dict[str, str]) -> subprocess.Popen[str]:
    """Start a training, and wait until its function runs."""
    process = repository.start("train:tiny", **bare)
    runs = repository.path / "build/runs"
    there = wait_until(lambda: any(runs.glob("*/work/models/half")), PATIENCE_SECONDS)
    assert there, process.communicate()[0]
    return process


def test_the_driver_is_killed(repository: Repository, bare: dict[str, str]) -> None:
    """The failure is clear, nothing of it is published, and the next run starts anew."""
    add_tiny(repository, WAITS.format(waits=f"not Path({str(repository.path)!r}, 'go').exists()"))
    process = started(repository, bare)
    runs = repository.path / "build/runs"
    javas = [pid for pid, line in processes_of(runs).items() if "SparkSubmit" in line]

    assert 1 == len(javas)
    kill(javas[0])
    printed = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert 1 == process.returncode
    assert "The train step of model `tiny` ended without a result: it was killed by sig" in printed
    assert {} == processes_of(runs)
    assert not (repository.path / "build/models/tiny").exists()
    repository.write("go", "")
    ended(repository.doit("train:tiny", **bare))


def test_the_runner_is_killed(repository: Repository, bare: dict[str, str]) -> None:
    """Java and the model's process go with it, and leave nothing behind in the end."""
    add_tiny(repository, WAITS.format(waits="True"))
    process = started(repository, bare)
    runs = repository.path / "build/runs"
    assert 2 == len(processes_of(runs))

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)

    assert wait_until(lambda: not processes_of(runs))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"JAVA_HOME": "/nowhere"}, "There is no Java to run Spark with"),
        ({"MODEL_SPARK_MASTER": "yarn"}, "`--master yarn` needs the configuration of a Hadoop"),
        ({"MODEL_SPARK_MASTER": "spark://127.0.0.1:1"}, "There is no Spark master at `spark://127"),
    ],
)
def test_what_is_not_there_is_told_at_once(
    repository: Repository, bare: dict[str, str], variables: dict[str, str], expected: str
) -> None:
    """A step ends with one clear error, before anything of Spark's is started."""
    add_tiny(repository, WAITS.format(waits="True"))

    done = repository.doit("train:tiny", **{**bare, **variables})

    assert 1 == done.returncode
    assert expected in done.stdout
    assert "hint: " in done.stdout
    assert not list(repository.path.glob("build/failed/tiny/train/**/spark-driver.log"))
