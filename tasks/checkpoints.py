"""Checkpoints: what an attempt at a step leaves in `models/checkpoint/` for the next one.

Of an attempt that made no result it is kept beside the results, under the step's key, and laid
into the folder of the next attempt that has this key.  There is one at most for a step.

While a run is under way, a note in its folder says which key it has and what its inputs looked
like, so that also what a killed runner left can be kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from tasks.answers import Unreachable
from tasks.folders import is_there, raised, remove_tree
from tasks.looks import look
from tasks.records import write_json
from tasks.shared import shared
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.looks import Look
    from tasks.plan import Step
    from tasks.runs import Run
    from tasks.state import State

FOLDER = "models/checkpoint"
"""Where a model writes them, in its working directory."""

KIND = "checkpoints"
"""The folder for those of all steps, in `build/` and in a store."""

FILES = "files"
"""The folder with its files, where one is kept."""

_NOTE = "checkpoint.json"
_SENT = "checkpoints: sent"
_LOOKS = "looks.json"


def offer(step: Step, key: str, looks: Mapping[str, tuple[Look, str]], run: Run) -> None:
    """Lay a step's checkpoint, if there is one, into the folder of its run.

    `looks` is how the inputs look: one of a runner that was killed is offered only where none of
    them was touched since that began.  Those of other keys are removed.
    """
    seen = {path: [list(at) if at else None, digest] for path, (at, digest) in looks.items()}
    there = f"{step.checkpoint_folder}/{key}"
    _remove_others(step.checkpoint_folder, key)
    kept, laid = f"{there}/{FILES}", f"{run.work}/{FOLDER}"
    sound = _read(f"{there}/{_LOOKS}") in ({"looks": None}, {"looks": seen})
    found = state_of(kept) if sound and not os.path.lexists(laid) else {}
    note = {"folder": step.checkpoint_folder, "key": key, "looks": seen, "offered": found}
    write_json(f"{run.folder}/{_NOTE}", note)
    if found:
        os.rename(kept, laid)
    remove_tree(there)


def offered(run: Run) -> bool:
    """Return whether a run was given a checkpoint."""
    note = _read(f"{run.folder}/{_NOTE}")
    return bool(note and note["offered"])


def keep(folder: str, *, blamed: bool) -> str:
    """Keep what a run left, whose inputs are what they were; return where, empty without any.

    Where the model itself is to be `blamed` for the end of the run, and it has not got beyond the
    checkpoint that it was offered, that may be why: it is not kept.
    """
    note = _read(f"{folder}/{_NOTE}")
    if note is None or (blamed and note["offered"] == state_of(_left(folder))):
        return ""
    return _keep(folder, note, verified=True)


def rescue(folder: str) -> None:
    """Keep what the run of a killed runner left; its inputs are looked at when it is offered."""
    note = _read(f"{folder}/{_NOTE}")
    if note is not None:
        _keep(folder, note, verified=False)


def bring(step: Step, key: str, files: str) -> None:
    """Have a folder of files be a step's checkpoint: it was kept somewhere else."""
    there = f"{step.checkpoint_folder}/{key}"
    os.makedirs(there)
    write_json(f"{there}/{_LOOKS}", {"looks": None})
    os.rename(files, f"{there}/{FILES}")


def exists(folder: str) -> bool:
    """Return whether there is something in a run's folder that could be kept."""
    return os.path.exists(f"{folder}/{_NOTE}") and bool(state_of(_left(folder)))


def remove(work: str) -> None:
    """Remove the checkpoint from what a step has left: it is no artefact.

    Raises OSError where that cannot be.
    """
    left = f"{work}/{FOLDER}"
    if os.path.isdir(left) and not os.path.islink(left):
        remove_tree(left)
        if os.path.lexists(left):
            shutil.rmtree(left)  # which says why it stays


def sent(step: Step, key: str, state: State) -> None:
    """Note that a step goes elsewhere, where its checkpoint is kept in the store."""
    state.remember(f"{_SENT} {step.task}", key)


def drop(step: Step, say: Callable[[str], None]) -> None:
    """Remove a step's checkpoint, here and in the store that it may have been sent to."""
    remove_tree(step.checkpoint_folder)
    state = open_state()
    key, to = state.recall(f"{_SENT} {step.task}"), shared()
    if not key or to is None or to.read_only:
        return
    try:
        to.drop_document(KIND, key)
        state.remember(f"{_SENT} {step.task}", "")
    except Unreachable as error:
        say(f"warning: the checkpoint of {step.task} stays in the store {to.address}: {error}")


def _keep(folder: str, note: Mapping[str, Any], *, verified: bool) -> str:
    """Move it to its place, the files last: what has none is no checkpoint."""
    left = _left(folder)
    if not state_of(left):
        return ""
    there = f"{note['folder']}/{note['key']}"
    with contextlib.suppress(OSError):  # a full disk: the step begins anew
        remove_tree(note["folder"])
        os.makedirs(there)
        write_json(f"{there}/{_LOOKS}", {"looks": None if verified else note["looks"]})
        os.rename(left, f"{there}/{FILES}")
        return there
    return ""


def _left(folder: str) -> str:
    return f"{folder}/work/{FOLDER}"


def state_of(folder: str) -> dict[str, Any]:
    """Return how each file of a folder looks, by its path there; empty without any.

    Empty too where a part of it cannot be read: with the rest alone nobody could go on.
    """
    if os.path.islink(folder):
        return {}
    try:
        tree = os.walk(folder, onerror=raised)
        paths = [f"{top}/{name}" for top, _, names in tree for name in names]
        looks = {os.path.relpath(path, folder): look(path) for path in paths if is_there(path)}
    except OSError:
        return {}
    return {name: list(at) for name, at in looks.items() if at}


def _read(path: str) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what a file of ours says, None where there is none that is whole."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        return json.load(file)
    return None


def _remove_others(folder: str, key: str) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name != key:
                remove_tree(f"{folder}/{name}")
