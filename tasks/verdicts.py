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
from typing import TYPE_CHECKING, Any

from tasks import fingerprint, frameworks
from tasks.datasets import cache_folder
from tasks.environments import lock_file
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
            "locks": os.path.isdir(lock_file.FOLDER),
            "variables": {name: os.environ.get(name) for name in frameworks.VARIABLES},
        },
    )


class Verdicts:
    """What was concluded of models: that they have nothing to do, or how they are listed."""

    def __init__(self, state: State, kinds: Sequence[str]) -> None:
        """Recall what was concluded of these kinds of steps, or whatever else `kinds` names."""
        self._state = state
        self._token = token(state, kinds)
        self._known = state.recall_verdicts(self._token)
        self._looked: dict[str, Look] = {}

    def holds(self, subject: str) -> bool:
        """Return whether the conclusion was reached before and all it rests on is as it was."""
        return self.recall(subject) is not None

    def recall(self, subject: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what was concluded, None where all it rests on is not as it was."""
        text = self._known.get(subject)
        if text is None:
            return None
        conclusion, looks = json.loads(text)
        same = all(self._look(path) == (tuple(found) or None) for path, *found in looks)
        return conclusion if same else None

    def keep(self, subject: str, trace: Trace, conclusion: object = True) -> None:  # noqa: FBT002
        """Remember the conclusion, unless something was written while it was reached."""
        if trace.settled(self._state.files.began_ns):
            looks = [[path, *(found or ())] for path, found in trace.looks.items()]
            self._state.verdicts[subject] = (self._token, json.dumps([conclusion, looks]))

    def _look(self, path: str) -> Look:
        if path not in self._looked:
            self._looked[path] = fingerprint.look(path)
        return self._looked[path]
