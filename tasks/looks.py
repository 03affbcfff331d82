"""What is on the disk now, as stats and the entries of folders tell it; no file is read.

This and what it stands before (`surroundings`, `snapshot`, `front`) import next to nothing: a run
that has nothing to do is over before anything else of the build system, or doit, is loaded.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False  # `typing` alone would take longer to import than all that is needed here
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import TypeAlias

# A file written in the same tick of the file system's clock as our look at it could be written
# again without its times changing.  Such a digest is used in this run but not trusted in the next.
# Linux stamps files at the kernel's tick (at most 10 ms); whole seconds betray a coarser clock.
TICK_NS = 20_000_000
COARSE_TICK_NS = 2_000_000_000
SECOND_NS = 1_000_000_000

MODELS = "model_definitions"

CACHES = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
"""Folders that tools leave beside sources."""

SKIPPED = CACHES | {".ipynb_checkpoints", ".git", ".DS_Store"}
"""Names that are no part of a model."""

Look: TypeAlias = "tuple[int, int, int, int] | None"
"""The size, times and inode that were found at a path; None: there was nothing."""


def look(path: str) -> Look:
    """Return what is at a path now, followed through links; nothing where it cannot be reached."""
    try:
        return times(os.stat(path))
    except (OSError, ValueError):
        return None


def times(now: os.stat_result) -> tuple[int, int, int, int]:
    """Return what of a stat tells one content from another."""
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino


def settled(found: Look, since_ns: int) -> bool:
    """Return whether a file was written so long before that a later write has another time."""
    if found is None:
        return True
    newest = max(found[1:3])
    tick = TICK_NS if newest % SECOND_NS else COARSE_TICK_NS
    return newest + tick < since_ns


def is_held(path: str) -> bool:
    """Return whether a process holds the file's lock."""
    try:
        with open(path, "r+", encoding="utf-8") as file:  # NFS locks only what can be written to
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def model_folders(top: str = MODELS, known: Container[str] = ()) -> list[str]:
    """Return the folders that hold a `model.json`, sorted; a model holds no further models.

    Of those that are `known` to hold one it is not asked.
    """
    found = []
    try:
        entries = sorted(os.scandir(top), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return [top]  # what keeps it from being read is told as of a model
    for entry in entries:
        if entry.name in SKIPPED or not is_folder(entry):
            continue
        if entry.path in known or os.path.exists(f"{entry.path}/model.json"):
            found.append(entry.path)
        elif not entry.is_symlink():  # which may lead back up
            found += model_folders(entry.path, known)
    return found


def is_model_folder(folder: str) -> bool:
    """Return whether a folder is that of a model: the first on its way that has a `model.json`."""
    names = folder.split("/")
    if names[0] != MODELS or not SKIPPED.isdisjoint(names) or os.path.normpath(folder) != folder:
        return False
    around = ["/".join(names[:depth]) for depth in range(2, len(names))]
    has = [os.path.exists(f"{one}/model.json") or os.path.islink(one) for one in around]
    return len(names) > 1 and not any(has) and os.path.exists(f"{folder}/model.json")


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, followed through links."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: it is told when it is read
        return False
