"""Every kind of file that a build keeps: a test fails where one is found that is not here."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository


@dataclass(frozen=True)
class Kind:
    """Files of one purpose: where they are, and what is promised of one that is damaged.

    `promise` is `rerun` (the step runs again), `restored` (made anew, no step need run), `said` (a
    plain error tells what is wrong and what to do), or `ignored` (nobody reads what is in it).
    `passing` are those that a whole build has none of.
    """

    name: str
    pattern: str
    promise: str
    passing: bool = False


RESULT, STORE = "build/results/*", "build/store"

KINDS = (
    Kind("record", f"{RESULT}/run.json", "rerun"),
    Kind("list of artefacts", f"{RESULT}/artefacts.json", "rerun"),
    Kind("metrics", f"{RESULT}/metrics.json", "rerun"),
    Kind("log", f"{RESULT}/run.log", "rerun"),
    Kind("further log", f"{RESULT}/logs/*", "rerun"),
    Kind("artefact", f"{RESULT}/models/*", "rerun"),
    Kind("object of the store", f"{STORE}/objects/*", "restored"),
    Kind("entry of the store", f"{STORE}/results/*", "restored"),
    Kind("what was forgotten", f"{STORE}/forgotten/*", "ignored", passing=True),
    Kind("store held", f"{STORE}/held", "ignored"),
    Kind("half-stored file", f"{STORE}/tmp/?*", "ignored", passing=True),  # noqa: S108
    Kind("state", "build/state.db", "restored"),
    Kind("log of the state", "build/state.db-wal", "restored"),
    Kind("index of the state's log", "build/state.db-shm", "restored"),
    Kind("journal of the state", "build/state.db-journal", "restored", passing=True),
    Kind("state set aside", "build/state.db.damaged*", "ignored", passing=True),
    Kind("held", "build/held/*", "ignored"),
    Kind("lock", "build/locks/*.txt", "restored"),
    Kind("run", "build/runs/*", "ignored", passing=True),
    Kind("failed run", "build/failed/*", "ignored", passing=True),
    Kind("environment held", "CACHE/environments/*.held", "ignored"),
    Kind("marker of an environment", "CACHE/environments/*/environment.json", "said"),
    Kind("half-made environment", "CACHE/environments/*.making-*", "ignored", passing=True),
    Kind("file of an environment", "CACHE/environments/*/*", "said"),
    Kind("data", "CACHE/data/*/data.csv", "said"),
    Kind("data held", "CACHE/data/*/.held", "ignored"),
    Kind("half-fetched data", "CACHE/data/*/.fetching-*", "ignored", passing=True),
)
"""The first that fits counts; `*` stands for anything, further folders included."""


def kind_of(path: str) -> Kind | None:
    """Return the kind of a file, by its path within the repository, or `CACHE/…`."""
    return next((kind for kind in KINDS if fnmatchcase(path, kind.pattern)), None)


def kept(repository: Repository, *, cache: bool = True) -> dict[str, Path]:
    """Return every file that builds keep, by its path as `kind_of` knows it."""
    tops = [(repository.path / "build", "build"), (repository.cache, "CACHE")][: 1 + cache]
    return {
        f"{name}/{path.relative_to(top)}": path
        for top, name in tops
        for path in sorted(top.rglob("*"))
        if path.is_file() and not any(one.is_symlink() for one in (path, *path.parents))
    }
