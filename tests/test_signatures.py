"""The forms in which models of every age are written: all of them run as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.wording import counted

if TYPE_CHECKING:
    from tests.conftest import Repository

SAVES = """
def save(**values):
    import json
    with open("models/model.json", "w") as file:
        json.dump(values, file, sort_keys=True)
"""
MEASURES = """
def evaluate(data_conf, model_conf, **kwargs):
    return {"accuracy": 0.9}
"""
CONF = {"rows": 3}
MODEL_CONF = {"hyperParameters": {"eta": 0.2}}


def add(repository: Repository, *, init: str | None = "", **modules: str) -> str:
    """Add a model of these modules, with a package file unless that is None."""
    name = "model"
    top = f"model_definitions/{name}"
    repository.write(f"{top}/model.json", {"id": "m-1", "name": "Model", "language": "python"})
    repository.write(f"{top}/config.json", MODEL_CONF)
    for step in ("train", "evaluate", "score"):
        repository.write(f"{top}/datasets/{step}.json", CONF)
    for module, text in modules.items():
        repository.write(f"{top}/model_modules/{module}.py", text)
    if init is not None:
        repository.write(f"{top}/model_modules/__init__.py", init)
    return name


def run(repository: Repository, *words: str) -> str:
    """Run doit, which must succeed, and return what it said."""
    done = repository.doit(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def artefact(repository: Repository, path: str) -> str:
    """Return an artefact of the model."""
    return repository.read(f"build/models/model/{path}")


EXTRAS = {
    "checkpoint": None,
    "job_id": "cli",
    "model_id": "m-1",
    "model_table": "AOA_MODELS_{version}",
    "model_version": "{version}",
    "project_id": "cli",
}
SIGNATURES = {
    "data_conf, model_conf": {},
    "data_conf, model_conf, **kwargs": EXTRAS,
    "model_conf, data_conf": {},
    "data_conf, model_conf, model_version, **kwargs": EXTRAS,
    "data_conf, model_conf, *, model_id, model_table=None": {
        "model_id": "m-1",
        "model_table": "AOA_MODELS_{version}",
    },
    "data_conf, model_conf, is_evaluation=False, model_version='1'": {
        "is_evaluation": False,
        "model_version": "{version}",
    },
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_arguments_are_passed_by_name(repository: Repository, signature: str) -> None:
    """A function gets what it asks for by name, and with `**kwargs` all that there is."""
    text = f"""
def train({signature}):
    values = dict(locals())
    values.update(values.pop("kwargs", {{}}))
    context = values.pop("context", None)
    assert context is None or context.model_version == values["model_version"]
    handler = values.pop("progress_callback_handler", None)
    if handler:
        handler(iter=1, score=0.5)
    save(**values)
"""
    add(repository, training=SAVES + text)

    run(repository, "train:model")

    expected = {"data_conf": CONF, "model_conf": MODEL_CONF} | SIGNATURES[signature]
    version = json.loads(artefact(repository, "train/run.json"))["key"][:12]
    given = {k: v.format(version=version) if "{v" in str(v) else v for k, v in expected.items()}
    assert given == json.loads(artefact(repository, "train/models/model.json"))


def test_progress_is_always_taken(repository: Repository) -> None:
    """The progress callback takes each of its names, any value, and never fails a training."""
    text = """
def train(data_conf, model_conf, progress_callback_handler):
    for step in range(3):
        progress_callback_handler(iter=step, epoc=1, score=0.5)
    progress_callback_handler(score=float("nan"))
    progress_callback_handler(score=object())
    progress_callback_handler()
    save(done=True)
"""
    add(repository, training=SAVES + text)

    run(repository, "train:model")

    assert json.loads(artefact(repository, "train/models/model.json")) == {"done": True}


WRITES = """
def score(data_conf, model_conf, **kwargs):
    with open("scored.csv", "w") as file:
        file.write("7\\n")
"""
RETURNS = """
class Frame:
    def to_csv(self, path, index):
        with open(path, "w") as file:
            file.write(f"index {index}\\n")

class Array:
    ndim = 1
    def tolist(self):
        return [1.5, 2.5]

def score(data_conf, model_conf, **kwargs):
    return
"""
SCORES = {
    "writes": (WRITES, "scored.csv", "7\n"),
    "list": (f"{RETURNS.rstrip()} [1, 0]\n", "predictions.csv", "1\n0\n"),
    "rows": (f"{RETURNS.rstrip()} [[1, 'a'], [0, 'b']]\n", "predictions.csv", "1,a\n0,b\n"),
    "tuple": (f"{RETURNS.rstrip()} ([1, 0], 'x', 3, 4)\n", "predictions.csv", "1\n0\n"),
    "array": (f"{RETURNS.rstrip()} Array()\n", "predictions.csv", "1.5\n2.5\n"),
    "frame": (f"{RETURNS.rstrip()} Frame()\n", "predictions.csv", "index False\n"),
    "number": (f"{RETURNS.rstrip()} 3\n", "predictions.csv", "3\n"),
}
TRAINS = """
def train(data_conf, model_conf, **kwargs):
    with open("models/model.txt", "w") as file:
        file.write("10")
"""


@pytest.mark.parametrize("form", SCORES)
def test_score_returns_or_writes(repository: Repository, form: str) -> None:
    """What `score` returns becomes `predictions.csv`; what it writes is kept as it is."""
    text, path, expected = SCORES[form]
    add(repository, training=TRAINS, scoring=text)

    said = run(repository, "score:model")

    assert artefact(repository, f"score/{path}").replace("\r\n", "\n") == expected
    place, lines = "build/models/model/score", counted(expected.count("\n"), "line")
    place += f"/{path}  {lines}" if path == "predictions.csv" else ""
    assert f"\npredictions  {place}\n" in said


SCORER = """
class ModelScorer:
    def __init__(self{parameter}):
        with open("{folder}/model.txt") as file:
            self.model = float(file.read())
        with open("config.json") as file:
            assert "eta" in file.read()

    def predict(self, data):
        return [self.model + sum(row) for row in data]
"""


@pytest.mark.parametrize("parameter", ["", ", config", ", config=None"])
@pytest.mark.parametrize("folder", ["models", "artifacts/input"])
def test_scorer_scores_rows(repository: Repository, parameter: str, folder: str) -> None:
    """A model with nothing but a `ModelScorer` scores the rows of the dataset's files."""
    name = add(repository, training=TRAINS, scoring=SCORER.format(**locals()))
    repository.write(f"model_definitions/{name}/datasets/score.json", {"data_path": "rows.csv"})
    repository.write(f"model_definitions/{name}/rows.csv", "a,b\n1,2\n3,4\n")

    run(repository, "score:model")

    rows = artefact(repository, "score/predictions.csv").split()
    assert rows == ["13.0", "17.0"]


def test_evaluation_of_2019_is_in_scoring(repository: Repository) -> None:
    """The package re-exports its functions, and scoring holds evaluation beside the scorer."""
    init = "from .training import train\nfrom .scoring import evaluate, ModelScorer\n"
    scoring = MEASURES + SCORER.format(parameter=", config=None", folder="models")
    add(repository, init=init, training=TRAINS, scoring=scoring)

    run(repository)

    assert measured(repository) == {"accuracy": 0.9}


def measured(repository: Repository) -> dict[str, float]:
    """Return the metrics of the model."""
    metrics: dict[str, float] = repository.json("build/models/model/evaluate/metrics.json")[
        "metrics"
    ]
    return metrics


def test_functions_in_the_package_itself(repository: Repository) -> None:
    """A function that only the package has is found there."""
    init = "from .steps import train, evaluate\n"
    add(repository, init=init, steps=TRAINS + MEASURES)

    run(repository)

    assert measured(repository) == {"accuracy": 0.9}


def test_evaluation_module_of_another_name(repository: Repository) -> None:
    """`evaluate.py` is read where there is no `evaluation.py`."""
    add(repository, training=TRAINS, evaluate=MEASURES)

    run(repository)

    assert measured(repository) == {"accuracy": 0.9}


def test_no_package_file(repository: Repository) -> None:
    """Without `__init__.py`, relative imports still work."""
    training = "from .helper import train\n"
    add(repository, init=None, training=training, helper=TRAINS, evaluation=MEASURES)

    run(repository)

    assert measured(repository) == {"accuracy": 0.9}


def test_import_after_appending_to_the_path(repository: Repository) -> None:
    """A helper that is imported by its bare name counts as an input like any other."""
    training = "import os, sys\nsys.path.append(os.path.dirname(__file__))\nimport helper\n"
    training += "train = helper.train\n"
    name = add(repository, training=training, helper=TRAINS, evaluation=MEASURES)
    run(repository)

    repository.write(
        f"model_definitions/{name}/model_modules/helper.py", TRAINS.replace("10", "11")
    )
    run(repository)

    assert artefact(repository, "train/models/model.txt") == "11"


def test_a_number_too_large_for_anything(repository: Repository) -> None:
    """It is a metric that is no number, whatever it is returned as."""
    trains = "def train():\n    open('models/m', 'w').close()\n"
    name = add(
        repository,
        training=trains,
        evaluation="def evaluate():\n    return {'count': 10 ** 5000}\n",
    )

    done = repository.doit(f"evaluate:{name}")

    assert 1 == done.returncode
    assert "gave a metric that is not a number\n    count  inf\n" in done.stdout


PLACES = [
    f"{folder}/{name}"
    for folder in ("models", "metrics", "artifacts/output")
    for name in ("evaluation.json", "metrics.json", "metric.json")
]


@pytest.mark.parametrize("place", PLACES)
def test_metrics_are_found(repository: Repository, place: str) -> None:
    """Metrics are found in each place where a model of some age has left them."""
    text = f"""
import json

def evaluate(data_conf, model_conf, **kwargs):
    with open("artifacts/input/model.txt") as file:
        value = float(file.read())
    with open("{place}", "w") as file:
        json.dump({{"value": value, "nested": {{"share": "95%"}}}}, file)
"""
    training = TRAINS.replace("models/", "artifacts/output/")
    add(repository, training=training, evaluation=text)

    run(repository)

    assert measured(repository) == {"value": 10.0, "nested.share": 95.0}


def test_config_is_in_the_working_directory(repository: Repository) -> None:
    """A model may read `config.json` and its own sources from the working directory."""
    text = """
def train(data_conf, model_conf):
    with open("config.json") as config, open("model_modules/training.py") as source:
        save(config=config.read(), same="same" in source.read())
"""
    add(repository, training=SAVES + text)

    run(repository, "train:model")

    assert json.loads(artefact(repository, "train/models/model.json")) == {
        "config": json.dumps(MODEL_CONF, indent=2),
        "same": True,
    }


@pytest.mark.parametrize(
    ("gallery", "expected"),
    [
        ("framework-folder", "3"),
        ("imports-dynamically", "first"),
        ("ships-json-py", "my own 4"),
    ],
)
def test_unusual_model_of_the_gallery(repository: Repository, gallery: str, expected: str) -> None:
    """Framework folders, dynamic imports and files named like the standard library's all work."""
    name = repository.add(gallery)

    run(repository)

    assert repository.read(f"build/models/{name}/train/models/model.txt") == expected
