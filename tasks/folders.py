"""Which folders are models: those below `model_definitions/` that hold a `model.json`."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.errors import UserError

MODELS = "model_definitions"

SKIPPED = {"__pycache__", ".ipynb_checkpoints", ".git", ".DS_Store"}
"""Names that are no part of a model."""


def model_folders(top: str = MODELS) -> list[str]:
    """Return the folders that hold a `model.json`, sorted; a model holds no further models."""
    found = []
    try:
        entries = sorted(os.scandir(top), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    for entry in entries:
        if entry.name in SKIPPED or not is_folder(entry):
            continue
        if os.path.exists(f"{entry.path}/model.json"):
            found.append(entry.path)
        elif not entry.is_symlink():  # which may lead back up
            found += model_folders(entry.path)
    return found


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: it is told when it is read
        return False


def repository_of(folder: str) -> str:
    """Return the nearest folder, from this one upwards, that has models.  Raises UserError."""
    for place in (Path(folder), *Path(folder).parents):
        if (place / MODELS).is_dir():
            return str(place)
    raise UserError(
        f"There is no `{MODELS}/` in `{folder}` or above it",
        hint="change to the folder of a repository of models, or begin one:"
        " `cli/repo-cli.py --init DIR`",
    )
