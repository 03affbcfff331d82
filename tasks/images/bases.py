"""What an image stands on: its base, and the interpreters in it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from tasks import containers, profiles
from tasks.environments import build
from tasks.errors import UserError
from tasks.images import parts
from tasks.images.parts import Python
from tasks.model import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.containers import Engine, Image
    from tasks.environments.interpreters import Interpreter
    from tasks.model import Model
    from tasks.state import State

VARIABLE = "MODEL_BASE_IMAGE"
"""The variable that names the image that others are built on."""

_PROBE = """\
import os, platform, sys
print(sys.version.split()[0], platform.python_implementation(), os.uname()[4],
      os.path.realpath(sys.executable))
"""
_PROBE_KIND = "python in image 1"


def base_of(model: Model | None) -> tuple[str, str]:
    """Return the image that another is built on, and where its name is written.

    Raises UserError where it is written nowhere.
    """
    name, place = containers.image_named(model, PHASES["score"])
    if name:
        return name, place
    if image := os.environ.get(VARIABLE):
        return image, VARIABLE
    raise UserError(
        "No image is named that this one could be built on",
        hint=f"`{VARIABLE}` names one, for instance `python:3.11-slim`; so does `image` of a"
        f" profile in {profiles.FILE}, and `automation.deployment.dockerImage` in model.json",
    )


def for_runner(engine: Engine, base: Image, state: State) -> Python:
    """Return what the runner runs on in the image: any Python of the minor version that it has.

    Raises UserError where there is none, and the one here cannot be copied.
    """
    path, version = parts.own_python()
    minor = version.rpartition(".")[0]
    there = _there(engine, base, minor, state)
    if there:
        return Python(there[3], there[0])
    return _copied(base, path, version)


def for_model(engine: Engine, base: Image, state: State, wanted: Interpreter) -> Python:
    """Return the interpreter of a model in the image: the very same version.

    Raises UserError as for the runner.
    """
    there = _there(engine, base, wanted.minor, state)
    if there[:3] == [wanted.version, wanted.implementation, wanted.machine]:
        return Python(there[3], wanted.version)
    return _copied(base, wanted.path, wanted.version)


def wanted(models: Iterable[Model], state: State) -> list[Interpreter]:
    """Return the interpreters of models here, each once; of a model without one there is none."""
    found: dict[str, Interpreter] = {}
    for model in models:
        with contextlib.suppress(UserError):
            environment = None if model.broken else build.find(model, state)
            if environment:
                found[environment.interpreter.path] = environment.interpreter
    return [found[path] for path in sorted(found)]


def _copied(base: Image, path: str, version: str) -> Python:
    if path.startswith(containers.SYSTEM):
        raise UserError(
            f"The image `{base.name}` has no Python {version}",
            ("interpreter here", path),
            hint="name a base that has it, or use a Python outside /usr (`uv python install`),"
            " which is copied into the image",
        )
    return parts.copied(path, version)


def _there(engine: Engine, base: Image, minor: str, state: State) -> list[str]:
    """Return version, implementation, machine and path of a base's own Python, none without.

    Only what the image itself has said is remembered.  Raises UserError where it cannot be asked.
    """
    key = f"{_PROBE_KIND} {base.id} {minor}"
    said = state.recall(key)
    if said is None:
        done = containers.run_once(engine, base.id, [f"python{minor}", "-I", "-S", "-c", _PROBE])
        status = done.returncode
        if status in containers.FAILED and status != containers.NOT_FOUND:
            raise containers.failed(base.name, status, done.stderr)
        said = "" if status else done.stdout.strip()
        if status in (0, containers.NOT_FOUND):
            state.remember(key, said)
    return said.split()
