"""What an environment says of what is in it, and so whether it is as it was built."""

from __future__ import annotations

import functools
import json
import os
import re
from typing import Any

from tasks.fingerprint import canonical
from tasks.records import write_json

FILE = "environment.json"

_PACKAGE = re.compile(r"(?:/site-packages/|^/lib/R/)([^./][^/]*)")  # of Python, or of R


@functools.cache
def altered(folder: str) -> str:
    """Return a file that was changed or removed since an environment was built, or nothing.

    A package that was added counts too, a file within one does not: some keep caches there.  Looked
    at once a run.
    """
    try:
        before = described(folder)["files"]
    except ValueError:
        return f"/{FILE}"
    now = listing(folder)
    changed = (name for name, facts in before.items() if now.get(name) != facts)
    packages = {_package(name) for name in before}
    added = (name for name in now if _package(name) not in packages)
    return next(changed, "") or next(added, "")


def _package(name: str) -> str:
    """Return the package that a file is of, empty where it is of none."""
    found = _PACKAGE.search(name)
    return found[1] if found else ""


def described(folder: str) -> dict[str, Any]:
    """Return what an environment's description says.  Raises ValueError where it is damaged."""
    with open(os.path.join(folder, FILE), encoding="utf-8") as file:
        description: dict[str, Any] = json.load(file)
    digest = description.pop("digest", None)  # none in what was built before there was one
    if digest not in (None, canonical("description", description)):
        raise ValueError(f"{folder} has a damaged description")
    return description


def listing(folder: str) -> dict[str, list[int]]:
    """Return size and time (s) of every file of an environment, without the compiled ones."""
    found: dict[str, list[int]] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for entry in os.scandir(folder + below):
            name = f"{below}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    waiting.append(name)
            elif entry.name != FILE:
                now = entry.stat(follow_symlinks=False)
                found[name] = [now.st_size, int(now.st_mtime)]
    return found


def write(folder: str, facts: dict[str, Any]) -> None:
    """Write the description of a finished environment: facts, its files, a digest of all that."""
    whole = {**facts, "files": listing(folder)}
    write_json(os.path.join(folder, FILE), {**whole, "digest": canonical("description", whole)})
