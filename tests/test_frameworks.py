"""Frameworks: what `envs/` says of them, and what comes of it for their models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import frameworks
from tasks.errors import UserError
from tasks.fingerprint import Files

if TYPE_CHECKING:
    from tests.conftest import Repository

RUNTIME = Path(__file__).parent.parent / "tasks/runtime/model_runtime"
DOCUMENT = {"id": "m-1", "name": "Model", "language": "python"}
WRITES = "def train(data_conf, model_conf):\n    open('models/m', 'w').write({})\n"


def write_model(repository: Repository, training: str, **more: object) -> str:
    """Write a model whose training is this source."""
    repository.write("model_definitions/model/model.json", {**DOCUMENT, **more})
    repository.write("model_definitions/model/model_modules/training.py", training)
    return "build/models/model/train"


@pytest.mark.parametrize("name", frameworks.names())
def test_every_framework_can_be_read(name: str) -> None:
    """Each file of `envs/` is as it must be, and its language has an engine."""
    framework = frameworks.read(name, Files())

    engine = frameworks.LANGUAGES[framework.language].engine
    assert (RUNTIME / f"engines/{engine}.py").exists() or name == "r"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requirements = []", "`envs/own.toml`: `language` is none of"),
        ('language = "cobol"', "`envs/own.toml`: `language` is none of"),
        ('language = "python"\nversion = 1', "`envs/own.toml` has an unknown key `version`"),
        ('language = "python"\npython = 3.11', "`envs/own.toml`: `python` is no str"),
        ("language = ", "`envs/own.toml` cannot be read"),
    ],
)
def test_a_fault_in_a_framework_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    """What is wrong is said of the file and the key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/own.toml").write_text(text)

    with pytest.raises(UserError) as caught:
        frameworks.read("own", Files())

    assert caught.value.headline.startswith(expected)


def test_a_model_names_its_framework(repository: Repository) -> None:
    """A framework of the repository sets variables, which the user's own go before."""
    repository.write("envs/own.toml", 'language = "python"\n[variables]\nOWN = "of the file"\n')
    training = "import os\n" + WRITES.format("os.environ['OWN']")
    result = write_model(repository, training, framework="own")

    assert 0 == repository.doit("train:model").returncode
    assert "of the file" == repository.read(f"{result}/models/m")

    repository.write("envs/own.toml", 'language = "python"\n[variables]\nOWN = "changed"\n')
    assert "framework: variables changed" in repository.doit("why", "train:model").stdout
    assert 0 == repository.doit("train:model", OWN="of the user").returncode
    assert "of the user" == repository.read(f"{result}/models/m")


def test_an_unknown_framework_is_a_fault(repository: Repository) -> None:
    """The fault names the key and those that there are."""
    write_model(repository, "", framework="tensorflwo")

    done = repository.doit("check")

    assert 1 == done.returncode
    expected = "model.json: `framework`: There is no framework `tensorflwo`"
    assert expected in done.stdout
    assert "did you mean `tensorflow`" in done.stdout


def test_a_framework_of_another_language_is_a_fault(repository: Repository) -> None:
    """A Python model cannot be run as R."""
    write_model(repository, "", framework="r")

    assert "`r` is for models in `r`" in repository.doit("check").stdout


def test_an_engine_for_one_step_is_a_fault(repository: Repository) -> None:
    """The steps of a model share an engine; naming it once more is no fault."""
    automation = {"training": {"engine": "Python"}, "evaluation": {"engine": "sql"}}
    write_model(repository, "", automation=automation)

    told = repository.doit("check").stdout

    assert "`automation.evaluation.engine`: `sql`, and the model is in `python`" in told
    assert "automation.training.engine" not in told


def test_logs_are_kept_and_are_no_artefacts(repository: Repository) -> None:
    """A log with another time in it does not make the evaluation run again, and is verified."""
    times = "import time\n" + WRITES.format("'m'")
    training = times + "    open('logs/events', 'w').write(str(time.time()))\n"
    result = write_model(repository, training)
    evaluation = "def evaluate(data_conf, model_conf):\n    return {'accuracy': 1}\n"
    repository.write("model_definitions/model/model_modules/evaluation.py", evaluation)
    assert 0 == repository.doit().returncode
    before = repository.read(f"{result}/logs/events")

    assert 0 == repository.doit("-a", "train:model").returncode

    assert before != repository.read(f"{result}/logs/events")
    assert ["models/m"] == list(repository.json(f"{result}/artefacts.json")["files"])
    assert "logs/events" in repository.json(f"{result}/run.json")["outputs"]
    assert "evaluate:model is up to date" in repository.doit("why", "model").stdout
    repository.write(f"{result}/logs/events", "garbage")
    assert "logs/events` is not what the step made" in repository.doit("why", "model").stdout


def test_the_longest_model_starts_first(repository: Repository) -> None:
    """A run of everything starts with what took longest before, so that it ends soonest."""
    for name, seconds in {"a-quick": 0, "b-slow": 1.5, "c-quick": 0}.items():
        folder = f"model_definitions/{name}"
        repository.write(f"{folder}/model.json", {"id": name, "name": name, "language": "python"})
        training = f"import time\n{WRITES.format(repr('m'))}    time.sleep({seconds})\n"
        repository.write(f"{folder}/model_modules/training.py", training)
        evaluation = "def evaluate(data_conf, model_conf):\n    return {'accuracy': 1}\n"
        repository.write(f"{folder}/model_modules/evaluation.py", evaluation)
    assert 0 == repository.doit().returncode

    done = repository.doit("-a", "-n", "1")

    started = [line for line in done.stdout.splitlines() if line.endswith("started")]
    assert "train:b-slow started" == started[0]
