"""What an environment says of what is in it, and so whether it is as it was built."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from tasks.fingerprint import canonical
from tasks.records import write_json

FILE = "environment.json"


@functools.cache
def altered(folder: str) -> str:
    """Return a file that was changed or removed since an environment was built, or nothing.

    Looked at once a run.  What was added is left alone: packages keep caches of their own.
    """
    try:
        before = described(folder)["files"]
    except ValueError:
        return f"/{FILE}"
    now = listing(folder)
    return next((name for name, facts in before.items() if now.get(name) != facts), "")


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
