"""What is nearly a model, and passed over: `doit check` warns of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tasks.errors import Fault, printable
from tasks.looks import MODELS, SKIPPED, is_folder
from tasks.slips import meant
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

FILE = "model.json"


def warnings(models: Container[str]) -> Iterator[Fault]:
    """Yield a warning for each file and folder that looks as if a model was meant.

    What is in the folders of `models` is theirs.
    """
    if not os.path.isdir(MODELS):
        return
    if os.path.isfile(f"{MODELS}/{FILE}"):
        hint = f"move it into a folder of its own, with its {PACKAGE}"
        yield _warning(f"{MODELS}/{FILE}", "expected a folder around each model, found none", hint)
    yield from _below(MODELS, models)


def _below(top: str, models: Container[str]) -> Iterator[Fault]:
    for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
        if entry.name in SKIPPED or entry.path in models or not is_folder(entry):
            continue
        if entry.is_symlink() or not os.access(entry.path, os.R_OK | os.X_OK):
            continue
        names = sorted(os.listdir(entry.path))
        near = next((name for name in names if meant(name, [FILE])), "")
        if near:
            hint = f"did you mean `{FILE}`?"
            yield _warning(f"{entry.path}/{near}", f"expected `{FILE}`, found `{near}`", hint)
        elif PACKAGE in names:
            hint = f"only a folder with a `{FILE}` is a model"
            yield _warning(entry.path, f"expected `{FILE}` beside {PACKAGE}, found none", hint)
        else:
            yield from _below(entry.path, models)


def _warning(path: str, message: str, hint: str) -> Fault:
    return Fault(printable(path), 0, "", printable(message), hint, warning=True)
