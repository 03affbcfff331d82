"""The folder of a run: laid out as models of every age expect it, and cleared of that again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from tasks import checkpoints
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.folders import link_or_copy
from tasks.metrics import GIVEN_NS
from tasks.records import LOGS, artefacts
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from tasks.plan import Step
    from tasks.records import Record
    from tasks.runs import Run

# What the runner puts into a step's folder; the rest is the step's own doing.
_FURNITURE = frozenset({"config.json", "model_modules", "artifacts/input", "artifacts/output"})


def furnish(run: Run, step: Step, upstream: Record | None) -> dict[str, str]:
    """Lay out a run's folder as models of every age expect it; return what it was given.

    That is `config.json`, `model_modules`, `models/` with the artefacts of training, `metrics/`,
    `logs/`, and `artifacts/{input,output}` as other names of `models/`.  Returned are the digests
    of the copied artefacts by path.  Raises UserError where one is not what was recorded.
    """
    model, work = step.model, run.work
    for folder in ("models", "metrics", "artifacts", LOGS):
        os.mkdir(f"{work}/{folder}")
    for alias in ("input", "output"):
        os.symlink("../models", f"{work}/artifacts/{alias}")
    os.symlink(os.path.abspath(f"{model.root}/{PACKAGE}"), f"{work}/{PACKAGE}")
    if model.config_path:
        shutil.copyfile(model.config_path, f"{work}/config.json")
    return _copy_artefacts(upstream, work) if upstream else {}


def _copy_artefacts(upstream: Record, work: str) -> dict[str, str]:
    files = Files()
    given = {}
    with open(f"{upstream.folder}/artefacts.json", encoding="utf-8") as file:
        listed = json.load(file)["files"]
    for name, facts in listed.items():
        os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)
        shutil.copyfile(f"{upstream.folder}/{name}", f"{work}/{name}")
        os.utime(f"{work}/{name}", ns=(GIVEN_NS, GIVEN_NS))
        given[name] = files.digest(f"{work}/{name}")
        if given[name] != facts["sha256"]:
            raise UserError(
                f"Artefact `{upstream.folder}/{name}` is not what training made",
                hint="run `doit` again: it is trained anew",
            )
    return given


def _check_in_place(run: Run, name: str) -> None:
    path = f"{run.work}/{name}"
    if os.path.isdir(path) and not os.path.islink(path):
        raise UserError(
            f"The model put a folder in the place of `{name}`, which it was given",
            hint="let it write into models/, or into artifacts/output as that is: a link to there",
        )


def _unlink(path: str) -> None:
    """Put the file itself in the place of a link to it: what that names is moved, or removed."""
    if os.path.islink(path):
        file = os.path.realpath(path)
        os.unlink(path)
        link_or_copy(file, path)


def left_behind(run: Run, given: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the artefacts of a run, after clearing away what it was given and left as it was.

    Raises UserError where the model has put a folder in the place of what it was given, and as
    `records.artefacts` does.
    """
    for name in _FURNITURE:
        _check_in_place(run, name)
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{run.work}/{name}")
    checkpoints.remove(run.work)
    found = artefacts(run.work)
    for name in found:
        _unlink(f"{run.work}/{name}")
    for name, digest in given.items():
        if found.get(name, {}).get("sha256") == digest:
            os.remove(f"{run.work}/{name}")
            del found[name]
    for top, _, _ in os.walk(run.work, topdown=False):
        if top != run.work:
            with contextlib.suppress(OSError):
                os.rmdir(top)
    return found
