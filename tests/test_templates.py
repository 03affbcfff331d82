"""The templates: each is made into a model, built for real, and held to what its files promise."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli import made
from tests.conftest import RUNNER, Repository

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = {
    "python/empty": "",
    "python/sklearn": "",
    "python/xgboost": "python-xgboost-diabetes",
    "python/tensorflow": "tensorflow-sentiment",
    "python/pyspark": "pyspark-logistic-regression",
    "R/empty": "",
    "R/gbm": "",
    "sql/empty": "sql-naive-bayes-churn",
    "sql/naive-bayes": "sql-naive-bayes-churn",
}
"""The templates, each with the model whose requirements and lock it shares."""

ANSWER = (
    "import json, os, sys; sys.path.insert(0, sys.argv[1]);"
    "from model_modules.scoring import ModelScorer;"
    "print(json.dumps([int(one) for one in ModelScorer().predict(json.loads(sys.argv[2]))]))"
)


def slug(template: str) -> str:
    """Return the name of the folder that a model of this name gets."""
    return f"from-{template.lower().replace('/', '-')}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository with a model of each template: trained, evaluated and scored."""
    repository = Repository(tmp_path_factory.mktemp("templates"), cache)
    (repository.path / "model_definitions").mkdir()
    locks = repository.path / "envs/locks"
    locks.mkdir(parents=True)
    for template, like in TEMPLATES.items():
        model = made(repository.path, "--name", f"From {template}", "--template", template)
        assert slug(template) == model.name
        if like:  # the same packages, so that one environment is built for both
            shutil.copy(RUNNER / f"envs/locks/{like}.txt", locks / f"{model.name}.txt")
    done = repository.doit("evaluate", "score")
    assert 0 == done.returncode, done.stdout + done.stderr
    return repository


def test_all_templates_are_built() -> None:
    """No template is left out of these tests."""
    folders = (RUNNER / "model_templates").glob("*/*/model.json")

    assert sorted(TEMPLATES) == sorted(f"{p.parts[-3]}/{p.parts[-2]}" for p in folders)


def test_the_models_own_tests_pass(built: Repository) -> None:
    """The tests that the templates bring pass on the results, four of each."""
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "--import-mode=importlib", "model_definitions",
        ],
        cwd=built.path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == done.returncode, done.stdout
    assert f"{4 * len(TEMPLATES)} passed" in done.stdout


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_shared_lock_is_kept(built: Repository, template: str) -> None:
    """A template that claims a model's requirements has them: its lock was not made anew."""
    like = TEMPLATES[template]
    lock = built.read(f"envs/locks/{slug(template)}.txt") if like else ""

    assert lock == ((RUNNER / f"envs/locks/{like}.txt").read_text() if like else "")


@pytest.mark.parametrize("template", ["python/empty", "python/sklearn", "python/xgboost"])
def test_the_sample_request_is_answered(built: Repository, template: str) -> None:
    """`ModelScorer` answers the two rows of the request with a class each: stays, leaves."""
    model = built.path / "model_definitions" / slug(template)
    trained = built.path / "build/models" / slug(template) / "train"
    python = json.loads((trained / "run.json").read_text())["environment"]["folder"]
    rows = json.loads((model / "samples/data.json").read_text())["data"]["ndarray"]
    done = subprocess.run(
        [f"{python}/bin/python", "-B", "-c", ANSWER, str(model), json.dumps(rows)],
        cwd=trained, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    assert ([1, 1] if template == "python/empty" else [1, 0]) == json.loads(done.stdout)


def test_the_data_regenerates() -> None:
    """The script gives the files that the templates share, byte for byte."""
    script = runpy.run_path(str(RUNNER / "datasets/make_template_sample.py"))

    assert {name: text.encode() for name, text in script["sample"]().items()} == {
        path.name: path.read_bytes() for path in script["DATA"].iterdir()
    }


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_readme_says_what_is_there(built: Repository, template: str) -> None:
    """The README is rendered, labels the data, and has each hyperparameter with its default."""
    folder = f"model_definitions/{slug(template)}"
    readme = built.read(f"{folder}/README.md")
    about = built.json(f"{folder}/model.json")["description"]
    hyper = built.json(f"{folder}/config.json")["hyperParameters"]

    assert readme.startswith(f"# From {template}\n\n{about}\n")
    assert "\n\n\n" not in readme
    assert "**synthetic**" in readme
    assert f"doit train:{slug(template)}" in readme
    assert "{{" not in readme
    assert [] == [name for name, value in hyper.items() if f"`{name}` | {value} |" not in readme]
