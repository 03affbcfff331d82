"""Rename and remove models, with all that goes by their names: lock, results, README.md."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import discover, git, plan, readme, results, runs
from tasks.environments import lock_file
from tasks.errors import UserError, printable
from tasks.fingerprint import Files
from tasks.folders import remove_tree
from tasks.looks import MODELS
from tasks.positions import parse
from tasks.scaffold import line, slug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.model import Model


def find(word: str) -> Model:
    """Return the model that a person means.  Raises UserError where there is none."""
    model = plan.find_model(word, discover.discover(Files()))
    shown = printable(model.folder)
    if shown != model.folder:
        raise UserError(f"`{shown}` cannot be written as it is", hint="rename the folder with `mv`")
    return model


def rename(model: Model, new: str) -> Model:
    """Give a model another name and folder; its `id`, lock and results stay.

    Raises UserError where the folder is taken, `model.json` cannot be read, or a step is being run.
    """
    title = line("name", new)
    if model.broken and not model.document:
        raise UserError(f"`{model.folder}/model.json` cannot be read", hint="`doit check`")
    name = os.path.relpath(f"{os.path.dirname(model.folder)}/{slug(title)}", MODELS)
    renamed = replace(model, name=name, folder=f"{MODELS}/{name}")
    if name != model.name and os.path.lexists(renamed.folder):
        raise UserError(f"`{renamed.folder}` exists", hint="choose another name for the model")
    with _alone(model):
        _write_name(f"{model.folder}/model.json", title)
        if name != model.name:
            os.rename(model.folder, renamed.folder)
            _move_lock(model, renamed)
            _move_results(model, renamed)
    readme.update()
    return renamed


def _write_name(path: str, title: str) -> None:
    """Change the name in a `model.json`, and nothing else in it where that can be done."""
    file = Path(path)
    text = file.read_bytes().decode("utf-8")
    wanted = {**json.loads(text.removeprefix("\ufeff")), "name": title}
    at = parse(text, path).lines.get(("name",), 1) - 1
    lines = text.split("\n")
    value = json.dumps(title, ensure_ascii=False)
    lines[at] = re.sub(
        r'("name"\s*:\s*)"(?:[^"\\]|\\.)*"', lambda found: found[1] + value, lines[at], count=1
    )
    changed = "\n".join(lines)
    if json.loads(changed.removeprefix("\ufeff")) != wanted:
        changed = json.dumps(wanted, indent=4, ensure_ascii=False) + "\n"
    file.write_bytes(changed.encode())


def _move_lock(model: Model, renamed: Model) -> None:
    """Move a lock; the name in its first line is for people alone."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(lock_file.lock_path(model), lock_file.lock_path(renamed))
        lock = Path(lock_file.lock_path(renamed))
        first, end, rest = lock.read_text(encoding="utf-8").partition("\n")
        first = first.replace(f" {model.name} ", f" {renamed.name} ")
        first = first.replace(f"`doit lock:{model.name}`", f"`doit lock:{renamed.name}`")
        lock.write_text(first + end + rest, encoding="utf-8")


def _move_results(model: Model, renamed: Model) -> None:
    """Move the results: nothing that they are made from has changed."""
    for step in plan.steps_of(model):
        moved = replace(step, model=renamed)
        for old, new in (
            (step.folder, moved.folder),
            (step.failed_folder, moved.failed_folder),
            (step.checkpoint_folder, moved.checkpoint_folder),
        ):
            if os.path.lexists(old) and not os.path.lexists(new):
                os.makedirs(os.path.dirname(new), exist_ok=True)
                _move_result(old, new, runs.run_name(step), runs.run_name(moved))
                _drop_empty(os.path.dirname(old))


def _move_result(old: str, new: str, run: str, moved_run: str) -> None:
    """Move a result's folder and the link to it, or a plain folder."""
    if os.path.islink(old):
        there = os.path.realpath(old)
        home, name = os.path.split(there)
        prefix, _, number = name.rpartition("-")
        if prefix == run and os.path.isdir(there):
            moved = f"{home}/{moved_run}-{number}"
            os.rename(there, moved)
            os.symlink(os.path.relpath(moved, os.path.realpath(os.path.dirname(new))), new)
        os.unlink(old)
    else:
        os.rename(old, new)


def unsaved(model: Model) -> int:
    """Return how many files of a model Git does not have as they are: all, outside of Git."""
    options = ("--porcelain", "--untracked-files=all", "--ignored=matching")
    with contextlib.suppress(UserError):
        return len(git.ask("status", *options, "--", model.folder).splitlines())
    return sum(path.is_file() for path in Path(model.folder).rglob("*"))


@contextlib.contextmanager
def _alone(model: Model) -> Iterator[None]:
    """Hold the locks of a model's steps that ever ran.  Raises UserError where one is being run."""
    with contextlib.ExitStack() as held:
        for step in plan.steps_of(model):
            if os.path.exists(runs.lock_of(step)):
                held.enter_context(runs.alone(step))
        yield


def remove(model: Model, say: Callable[[str], None]) -> None:
    """Remove a model with its lock and results.  Raises UserError where a step is being run."""
    with _alone(model):
        _remove(model, say)
    readme.update()


def _remove(model: Model, say: Callable[[str], None]) -> None:
    for step in plan.steps_of(model):
        results.remove(step, say)
        for folder in (step.failed_folder, step.checkpoint_folder):
            remove_tree(folder)
            _drop_empty(os.path.dirname(folder))
        _drop_empty(os.path.dirname(step.folder))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(lock_file.lock_path(model))
    say(f"removing {model.folder}")
    if os.path.islink(model.folder):
        os.unlink(model.folder)
    else:
        # Out of the way in one move: no half of a model is ever seen.
        with tempfile.TemporaryDirectory(prefix=".removed-", dir=".") as temporary:
            os.rename(model.folder, f"{temporary}/model")
    if os.path.dirname(model.folder) != MODELS:
        _drop_empty(os.path.dirname(model.folder))


def _drop_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
