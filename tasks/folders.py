"""Which folders are models: those below `model_definitions/` that hold a `model.json`."""

from __future__ import annotations

import os

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
