"""The models whose steps have other keys than they had at a commit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import basis, looks, mentions, revision
from tasks.plan import Step
from tasks.surroundings import LOCKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tasks.basis import Basis
    from tasks.mentions import Named
    from tasks.model import Model
    from tasks.revision import Revision
    from tasks.state import State


@dataclass(frozen=True)
class Affected:
    """A model that differs: its steps to run, each with the reasons; how it was, None if new."""

    now: Basis
    before: Basis | None
    reasons: Mapping[str, Sequence[str]]

    @property
    def model(self) -> Model:
        """The model as it is."""
        return self.now.model


@dataclass(frozen=True)
class Found:
    """What differs from a commit: models to build, and those that are gone, as they were."""

    commit: str
    affected: tuple[Affected, ...]
    gone: tuple[Basis, ...]


def since(commit: str, state: State) -> Found:
    """Return what differs from a commit in the working directory.  Raises UserError."""
    # What models name takes as long as Git does to say what differs, so both are done at once.
    with ThreadPoolExecutor(1) as pool:
        named = pool.submit(mentions.Named)
        with revision.at(commit, state) as then:
            before, after = _bases(then, named.result(), state)
    renamed = _renamed(before, after)
    found = []
    for folder, now in after.items():
        earlier = before.get(renamed.get(folder, folder))
        reasons = _reasons(earlier, now)
        if reasons:
            found.append(Affected(now, earlier, reasons))
    gone = before.keys() - after.keys() - set(renamed.values())
    return Found(commit, tuple(found), tuple(before[folder] for folder in sorted(gone)))


def _bases(then: Revision, named: Named, state: State) -> tuple[dict[str, Basis], dict[str, Basis]]:
    """Return the models that may differ, as they were and as they are, by folder."""
    folders_ = {*named.readers(then.changed, then.moved), *_owners(then.changed)}
    with then.there():
        locked = os.path.isdir(LOCKS)
        folders_ |= set(_owners(then.changed))
    if locked != os.path.isdir(LOCKS):  # all locks are at another place
        folders_ |= set(looks.model_folders())
    after = {folder: basis.now(folder, state) for folder in _there(folders_)}
    with then.there():
        before = {folder: basis.then(folder, then) for folder in _there(folders_)}
    return before, after


def _owners(changed: Iterable[str]) -> Iterator[str]:
    """Yield the models that paths belong to, and those that a new `model.json` would hide.

    A path may also be a folder with models: a submodule, or a link.
    """
    for path in changed:
        folder = mentions.owner(path)
        if folder:
            yield folder
        if not f"{path}/".startswith(f"{looks.MODELS}/"):
            continue
        if os.path.basename(path) == "model.json":
            yield from looks.model_folders(os.path.dirname(path))
        elif os.path.isdir(path):
            yield from looks.model_folders(path)


def _there(some: Iterable[str]) -> list[str]:
    """Return those of some folders that are models in the working directory."""
    return sorted(folder for folder in some if mentions.owner(folder) == folder)


def _renamed(before: Mapping[str, Basis], after: Mapping[str, Basis]) -> dict[str, str]:
    """Return the earlier folder of each model that has moved: it has its id from `model.json`."""
    gone = {before[folder].model.id: folder for folder in before.keys() - after.keys()}
    new = {after[folder].model.id: folder for folder in after.keys() - before.keys()}
    return {new[name]: gone[name] for name in new.keys() & gone.keys()}


def _reasons(before: Basis | None, now: Basis) -> dict[str, list[str]]:
    """Return what differs of each step of a model that has another key."""
    found: dict[str, list[str]] = {}
    for name in basis.COMPARED:
        upstream = Step(now.model, name).upstream
        if before is None:
            reasons = [f"the model has faults: {fault}" for fault in now.faults]
            reasons = reasons or ["the model is new"]
        else:
            reasons = basis.differences(before, now, name)
        if upstream and upstream.name in found and not now.faults:
            reasons.append(f"{upstream.task} differs")
        if reasons:
            found[name] = reasons
    return found
