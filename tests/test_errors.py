"""What is said of errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tasks import processes
from tasks.errors import telling_line, without_password

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
    ("failures", "headline"): "it is the model's own error, of which the line and the log are told",
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
