"""What is said of errors."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import failures, processes
from tasks.errors import telling_line, without_password
from tasks.model import Model
from tasks.plan import Step
from tasks.usage import Usage

OF_A_WORKER = """
An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "training.py", line 3, in double
ValueError: no rows
"""


ERRORS = {"UserError", "AttemptFailed", "NotGoodEnough"}
WITHOUT_A_HINT = {
    ("acceptance", "f'`{step.task}` is up to date: there is nothing to accept'"): "all is well",
    ("diagnosis", "error.headline"): "the hint stands beside, in a finding of the doctor's",
    ("pool", "f'Model `{self.release.name}` cannot be served: {message}'"): "so is this one",
    ("remote", "f'The step {attempt.prepared.step.task} ended on {name} without a result'"): (
        "the place's own reason and the log are all that is known"
    ),
    ("remote", "'interrupted'"): "it is told to nobody: who interrupts a run needs no way out",
}
"""The errors that have no way out, by module and headline, and why there is none to tell."""


def errors_without_a_hint() -> set[tuple[str, str]]:
    """Return the module and the headline, as it stands there, of each error without a hint."""
    found = set()
    for path in (Path(__file__).parent.parent / "tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ERRORS:
                continue
            if "hint" not in {keyword.arg for keyword in node.keywords}:
                found.add((path.stem, ast.unparse(node.args[0])))
    return found


def test_every_error_has_a_way_out() -> None:
    """What a user can do wrong is told with a hint, but for what is listed here."""
    assert WITHOUT_A_HINT.keys() == errors_without_a_hint()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no rows\nsecond line", "no rows"),
        ("\n  no rows\n", "no rows"),
        (OF_A_WORKER, "ValueError: no rows"),
        ("", ""),
    ],
)
def test_the_line_that_tells_most(message: str, expected: str) -> None:
    """It is the first with a text, or what an error elsewhere says at the end."""
    assert expected == telling_line(message)


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ("ModuleNotFoundError", "No module named 'lightgbm'",
         "add it to models/a/model_modules/requirements.txt, by the name of its package"),
        ("ModuleNotFoundError", "No module named 'classifier'",
         "it is in model_modules: write `from .classifier import …`"),
        ("ModuleNotFoundError", "No module named 'features'",
         "it is in model_modules: write `from .features import …`"),
        ("ModuleNotFoundError", "No module named 'pandas.nothing'", ""),
        ("packageNotFoundError", "there is no package called \u2018glmnet\u2019",
         "add it to models/a/model_modules/requirements.R"),
        ("simpleError", "Error in library(x) : there is no package called 'glm.net'",
         "add it to models/a/model_modules/requirements.R"),
        ("ValueError", "no rows", ""),
    ],
)  # fmt: skip
def test_a_module_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, message: str, hint: str
) -> None:
    """It is told where to name its package, or how a module of the model's own is imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/a/model_modules/features").mkdir(parents=True)
    (tmp_path / "models/a/model_modules/classifier.py").touch()
    step = Step(Model("a", "models/a", "models/a", {}), "train")
    result = {"error": {"type": kind, "message": message, "where": ""}}

    error = failures.failed(step, 1, Usage(0, 0.0), result, SimpleNamespace(log="none"), "")

    assert (f"Model `a` failed to train: {kind}: {message}", hint) == (error.headline, error.hint)


def test_a_long_line_of_a_log(tmp_path: Path) -> None:
    """What is shown of it ends where nobody reads on; the file has it whole."""
    log = tmp_path / "run.log"
    text = f"first\nFatal Python error\n{'numpy.core, ' * 500}\n{'é' * processes.LONGEST_SHOWN}\n"
    log.write_text(text, encoding="utf-8")

    told = processes.tail(str(log), 3).splitlines()

    assert ["Fatal Python error", "é" * processes.LONGEST_SHOWN] == [told[0], told[2]]
    assert told[1].startswith("numpy.core, numpy.core, ")
    assert (processes.LONGEST_SHOWN + 2, " …") == (len(told[1]), told[1][-2:])
    assert text == log.read_text(encoding="utf-8")


def test_an_address_without_its_password() -> None:
    """Who logs in somewhere is not shown, all else is."""
    text = "see https://me:hunter2@example.org/a@b and file:///a@b"

    assert "see https://***@example.org/a@b and file:///a@b" == without_password(text)
