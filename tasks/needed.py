"""The keys of the results that branches and tags need: those that a checkout would restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import basis, git, looks, revision, store
from tasks.errors import UserError
from tasks.plan import ARTEFACTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.basis import Basis
    from tasks.state import State


def keys(state: State, told: Callable[[str], None]) -> set[str]:
    """Return the keys that some branch or tag of this clone has; none outside of Git.

    `told` is given which one is looked at.  One that cannot be laid out, for want of a submodule
    for instance, has none: what it needs can be made again.  Raises UserError where Git cannot say
    which there are.
    """
    heads = {} if git.is_outside() else git.heads()
    found: set[str] = set()
    for number, (commit, name) in enumerate(heads.items(), 1):
        told(f"{name}, {number} of {len(heads)}")
        try:
            with revision.at(commit, state) as then:
                with then.there():
                    folders = looks.model_folders()
                    models = [basis.then(folder, then) for folder in folders]
                found |= {key for one in models for key in _keys(one)}
        except UserError:
            continue
    return found


def _keys(one: Basis) -> Iterator[str]:
    """Yield the keys of a model's steps; that of the evaluation where its training is stored."""
    train, evaluate = basis.COMPARED
    key = basis.keyed(one, train)
    yield key
    record = store.recorded(key) if key else None
    if record:
        yield basis.keyed(one, evaluate, record.outputs[ARTEFACTS])
