"""What doit's tasks do that are about a model and not about a step of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed

from tasks import manifests
from tasks.environments import build, days, lock_file, locks
from tasks.errors import InvalidModel, UserError
from tasks.explain import packages_changed
from tasks.state import open_state
from tasks.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.images.build import Built
    from tasks.model import Model
    from tasks.progress import Activity


def acted(act: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any] | TaskFailed:
    """Call an action; what a user can do wrong becomes doit's failure, without a traceback."""
    try:
        return act(*arguments)
    except UserError as error:
        failure = TaskFailed(str(error))
        failure.user_error = error
        return failure


def environment(model: Model, activity: Activity) -> dict[str, Any]:
    """Build a model's environment."""
    _refuse_broken(model)
    activity.say("environment")
    built = build.ensure(model, open_state(), activity.tell, activity.alerts.append)
    return {"state": "ran", "folder": built.folder}


def lock(model: Model, activity: Activity, *, as_of: str) -> dict[str, Any]:
    """Resolve a model's requirements anew, with the packages of a day where one is named."""
    _refuse_broken(model)
    activity.say("lock")
    day = days.day_of(model, as_of) if as_of else ""
    before = _versions(model)
    if not locks.make_lock(model, open_state(), say=activity.tell, upgrade=True, as_of=day):
        return {"state": "ran", "message": "no requirements to lock"}
    now = _versions(model) or {}
    changes = [] if before is None else packages_changed(before, now)
    same = "the same versions" if before else counted(len(now), "package")
    message = f"{counted(len(changes), 'package')} changed" if changes else same
    folder = lock_file.lock_path(model)
    return {"state": "ran", "folder": folder, "message": message, "changes": changes}


def _versions(model: Model) -> dict[str, str] | None:
    """Return the versions of a model's lock by package, None where no lock can be read."""
    with contextlib.suppress(UserError):  # of a later runner: it is made anew
        found = lock_file.read_lock(model, open_state().files)
        if found:
            own = {name: version for name, version, *_ in map(str.split, found.library)}
            return {**found.versions, **own}
    return None


def manifest(model: Model, activity: Activity) -> dict[str, Any]:
    """Write a model's Kubernetes manifests."""
    _refuse_broken(model)
    folder, remark = manifests.make(model, open_state(), activity)
    message = "; ".join(filter(None, (folder, remark)))
    return {"state": "ran", "folder": folder, "message": message}


def image(model: Model, activity: Activity) -> dict[str, Any]:
    """Build the image that serves a model."""
    _refuse_broken(model)
    # Slow to import, and no other task needs it.
    from tasks.images.build import model_image  # noqa: PLC0415

    activity.say("image")
    return _told(model_image(model, open_state(), activity.tell))


def runner_image(models: Callable[[], Sequence[Model]], activity: Activity) -> dict[str, Any]:
    """Build the image that carries out steps of these models elsewhere."""
    from tasks.images.build import runner_image as build_it  # noqa: PLC0415 - as above

    activity.say("image")
    return _told(build_it(models(), open_state(), activity.tell))


def _told(built: Built) -> dict[str, Any]:
    return {"state": "ran" if built.anew else "current", "message": str(built)}


def _refuse_broken(model: Model) -> None:
    if model.broken:
        raise InvalidModel(model.name, model.faults)
