"""Results on the disk: published in one move, removed, and swept where a run was killed.

`build/models/<model>/<step>` is a link to a folder below `build/results/`; moving the link is what
publishes.  Until then the result before it stands.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from tasks import checkpoints, limits, plan, records, runs
from tasks.folders import raised, remove_tree
from tasks.looks import is_held

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.fingerprint import Files
    from tasks.plan import Step
    from tasks.runs import Run

RESULTS = "results"
"""The folder below `build/` that the results themselves are in."""


def publish(run: Run, step: Step, files: Files) -> None:
    """Make a run's folder the result of its step, in one move, once it is settled.

    Of the earlier result and the new one, that which the link does not lead to is removed, however
    this ends.
    """
    for left in (step.failed_folder, step.checkpoint_folder):
        remove_tree(left)  # first: nobody would come back for it
    results = f"{step.build}/{RESULTS}"
    os.makedirs(results, exist_ok=True)
    result, before = f"{results}/{run.id}", ""
    os.rename(run.work, result)
    try:
        sync_folder(results)
        _clear_the_way(step, run)
        home = os.path.dirname(step.folder)
        os.makedirs(home, exist_ok=True)
        before = _own_result(step)
        link = f"{run.folder}/link"
        os.symlink(os.path.relpath(os.path.realpath(result), os.path.realpath(home)), link)
        os.replace(link, step.folder)
        sync_folder(home)
    finally:
        look_again(step, files)
        published = os.path.realpath(step.folder)
        for left in (before, result):
            if left and os.path.realpath(left) != published:
                _discard(left, run)


def _discard(result: str, run: Run) -> None:
    """Remove a result with its run: what cannot be removed now is swept away with it later."""
    try:
        os.rename(result, f"{run.folder}/discarded")
    except OSError:
        remove_tree(result)


def _own_result(step: Step) -> str:
    """Return the folder that a step's link leads to, if it is one that we made for this step.

    A link that somebody has put there can lead anywhere, to another model's result as well.
    """
    target = os.path.realpath(step.folder)
    inside = os.path.dirname(target) == os.path.realpath(f"{step.build}/{RESULTS}")
    own = os.path.basename(target).rpartition("-")[0] == runs.run_name(step)
    return target if inside and own else ""


def _clear_the_way(step: Step, run: Run) -> None:
    """Move aside what stands where a result's link goes and is none, or is one on the way there.

    A copy of `build/` may hold folders for links; a model may have been where others now are.
    """
    folder = step.folder
    way = os.path.dirname(folder)
    while len(way) > len(f"{step.build}/{plan.RESULTS}"):
        if os.path.islink(way):
            os.unlink(way)
        way = os.path.dirname(way)
    if os.path.isdir(folder) and not os.path.islink(folder):
        os.rename(folder, f"{run.folder}/in-the-way")


def look_again(step: Step, files: Files) -> None:
    """Forget what was seen of a step's result: this run or another one has published since."""
    seen = records.read(step.folder, files)
    names = {records.RUN, records.METRICS, plan.ARTEFACTS, *(seen.outputs if seen else ())}
    files.forget([f"{step.folder}/{name}" for name in names])


def settle(folder: str) -> None:
    """Make every file and folder below reach the disk."""
    for top, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(f"{top}/{name}", "rb") as file:
                os.fsync(file.fileno())
        sync_folder(top)


def sync_folder(folder: str) -> None:
    """Make what is in a folder, by name, reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(step: Step, say: Callable[[str], None]) -> None:
    """Remove a step's result, and what it might have gone on from; its lock is to be held."""
    checkpoints.drop(step, say)
    if os.path.lexists(step.folder):
        say(f"removing {step.folder}")
        result = _own_result(step)
        if os.path.islink(step.folder):
            os.unlink(step.folder)
        remove_tree(result or step.folder)


def sweep(build: str = plan.BUILD) -> None:
    """Remove what runs that were killed have left: their folders, and results nobody points at.

    A checkpoint that one of them has left is kept.
    Nothing is looked at while a run is being created, so that a new one is not taken for dead.
    """
    under_way, results = f"{build}/{runs.RUNS}", f"{build}/{RESULTS}"
    if not _names(under_way):
        return
    with runs.hold(f"{build}/{runs.CREATING}"):
        dead = [n for n in _names(under_way) if not is_held(f"{under_way}/{n}/held")]
        orphans = set(_names(results)) - (set(_names(under_way)) - set(dead))
        # Links are read after that: a run that ended meanwhile has moved its link already.
        try:
            links = _links(f"{build}/{plan.RESULTS}")
        except OSError:
            return  # whose results they are cannot be told
        orphans -= {os.path.basename(os.path.realpath(path)) for path in links}
        for name in orphans:
            remove_tree(f"{results}/{name}")
        for name in dead:
            limits.sweep(f"{under_way}/{name}")
            checkpoints.rescue(f"{under_way}/{name}")
            remove_tree(f"{under_way}/{name}")


def _names(folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)
    return []


def _links(top: str) -> list[str]:
    return [
        f"{folder}/{name}"
        for folder, names, _ in os.walk(top, onerror=raised)
        for name in names
        if os.path.islink(f"{folder}/{name}")
    ]
