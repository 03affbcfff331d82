"""Conclusions that are remembered with all that was looked at to come to them.

That a model has nothing to do is concluded from its files, its results, its lock and the
interpreters here.  While each path that was looked at is as it was (size, both times, inode, or
nothing there), and all else is the same (the token), so is the conclusion: a stat a path, and no
file is read, parsed or hashed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import fingerprint, frameworks
from tasks.datasets import cache_folder
from tasks.environments.interpreters import installed
from tasks.fingerprint import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.fingerprint import Look, Trace
    from tasks.state import State


def token(state: State, kinds: Sequence[str]) -> str:
    """Return the digest of what every conclusion rests on besides its files."""
    here = Path(__file__).parent
    code = sorted([*here.rglob("*.py"), *here.rglob("*.json")])
    return canonical(
        "token",
        {
            "kinds": list(kinds),
            "code": [[str(path), fingerprint.look(str(path))] for path in code],
            "interpreters": [str(one) for one in installed(state)],
            "cache": cache_folder(),
            "envs": os.path.isdir("envs"),
            "variables": {name: os.environ.get(name) for name in frameworks.VARIABLES},
        },
    )


class Verdicts:
    """The models of which it was concluded that they have nothing to do."""

    def __init__(self, state: State, kinds: Sequence[str]) -> None:
        """Recall what was concluded of these kinds of steps."""
        self._state = state
        self._token = token(state, kinds)
        self._known = state.recall_verdicts(self._token)
        self._looked: dict[str, Look] = {}

    def holds(self, subject: str) -> bool:
        """Return whether the conclusion was reached before and all it rests on is as it was."""
        text = self._known.get(subject)
        if text is None:
            return False
        return all(self._look(path) == found for path, found in _looks(text))

    def keep(self, subject: str, trace: Trace) -> None:
        """Remember the conclusion, unless something was written while it was reached."""
        if trace.settled(self._state.files.began_ns):
            looks = [[path, *(found or ())] for path, found in trace.looks.items()]
            self._state.verdicts[subject] = (self._token, json.dumps(looks))

    def _look(self, path: str) -> Look:
        if path not in self._looked:
            self._looked[path] = fingerprint.look(path)
        return self._looked[path]


def _looks(text: str) -> list[tuple[str, Look]]:
    return [(path, tuple(found) or None) for path, *found in json.loads(text)]
