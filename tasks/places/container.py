"""A container on this machine: it has the run's folder, what the step reads, and nothing more.

All of that is at the paths that it has here, so that the process is told the same as without a
container; the environment is the very same one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import containers, datasets, profiles, resources
from tasks.errors import UserError
from tasks.languages import RUNTIME
from tasks.model import PHASES
from tasks.sources import PACKAGE
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.containers import Engine, Image
    from tasks.environments.build import Environment
    from tasks.languages import Command
    from tasks.model import Model
    from tasks.plan import Step
    from tasks.resources import Amounts
    from tasks.runs import Run

NAME = "container"
AWAY = False
CLIENT = ""

LABEL = "modelmake.run"
"""The label of a step's container; its value is the run."""

_PROBE = """\
import hashlib, os, ssl, sys, ctypes
files = [hashlib.sha256(open(p, "rb").read()).hexdigest() if os.path.isfile(p) else "missing"
         for p in sys.argv[1:]]
print(sys.version.split()[0], *files)
"""
_PROBE_KIND = "image probe 1"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Place:
    """A container for one step; of its image is known what it is once the step was enclosed."""

    def __init__(self) -> None:
        """Know no image yet."""
        self._where: dict[str, Any] = {"place": NAME}

    def enclose(self, command: Command, step: Step, environment: Environment, run: Run) -> Command:
        """Return the command that runs a step's command in a container.

        Raises UserError where there is no engine or image, or the image cannot run it.
        """
        engine = containers.find()
        image = containers.image(engine, *image_of(step))
        self._where |= {"engine": str(engine), "image": image.name, "image_id": image.id}
        mounts = _mounts(command, step, environment)
        _check(engine, image, environment, mounts, command.variables)
        limits = resources.of(step.model, step.name).limits
        folder = os.path.abspath(run.folder)
        variables = _variables(command, [*mounts, folder])
        words = [
            engine.program, "run", *containers.run_options(engine),
            "--name", f"modelmake-{os.urandom(6).hex()}", "--label", f"{LABEL}={run.id}",
            *_limits(limits, engine),
            "--volume", f"{folder}:{folder}",
            *(word for path in mounts for word in ("--volume", f"{path}:{path}:ro")),
            "--workdir", os.path.abspath(run.work),
            *(word for name in variables for word in ("--env", name)),
            "--env", f"PATH={os.path.dirname(environment.python)}:{image.path or containers.PATH}",
            "--env", f"HOME={os.path.abspath(run.scratch)}",
            "--entrypoint", environment.python,
            image.id, "-E", "-s", "-S", str(RUNTIME / "contained.py"),
            os.path.abspath(run.held), os.path.abspath(run.usage), *command.words,
        ]  # fmt: skip
        return replace(
            command, words=tuple(words), variables={**os.environ, **variables}, direct=False,
            tie=(), image=image.name,
        )  # fmt: skip

    def look(self) -> str:
        """Return which engine answers.  Raises UserError where none does."""
        return str(containers.find())

    def describe(self) -> Mapping[str, Any]:
        """Return what a record says of it."""
        return self._where


def image_of(step: Step) -> tuple[str, str]:
    """Return the image that a step runs in, and the key that names it.

    Raises UserError where none does.
    """
    phase = PHASES[step.name]
    name, place = containers.image_named(step.model, phase)
    if name:
        return name, place
    raise UserError(
        f"No image is named for the {step.name} step of model `{step.model.name}` to run in",
        ("key", f"automation.{phase}.dockerImage of {step.model.folder}/model.json"),
        hint=f"name one there, or for all models as `image` of a profile in {profiles.FILE}",
    )


def _mounts(command: Command, step: Step, environment: Environment) -> list[str]:
    """Return the paths of this machine that a step reads, none of them below another."""
    model: Model = step.model
    variables = command.variables
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(environment.interpreter.path)))
    code = [f"{model.root}/{PACKAGE}/{name}" for name in model.sources]
    data = [path for file in step.dataset.files for path in datasets.members(file.path)]
    named = [model.root, model.config_path, step.dataset.path]
    named += [file.path for file in step.dataset.files]
    paths = [
        *(os.path.abspath(path) for path in named if path),
        *map(os.path.realpath, [*code, *data]),  # what links in a folder lead to
        str(RUNTIME),
        environment.folder,
        prefix,
        *command.trusted,
        *(variables[name] for name in ("JAVA_HOME", "R_HOME") if variables.get(name)),
    ]
    found = outermost([*paths, *map(os.path.realpath, paths)])
    if unfit := next((path for path in found if ":" in path), None):
        raise UserError(
            "A path with a colon cannot be brought into a container",
            ("path", unfit),
            hint="give it a name without one, or run the step with `--on local`",
        )
    return found


def outermost(paths: Iterable[str]) -> list[str]:
    """Return those paths that are below none of the others, and are not the image's own."""
    found: list[str] = []
    for path in sorted(set(paths), key=lambda path: f"{path}/"):
        inside = found and (path + "/").startswith(found[-1] + "/")
        if not inside and not (path + "/").startswith(containers.SYSTEM) and os.path.exists(path):
            found.append(path)
    return found


def _variables(command: Command, visible: Iterable[str]) -> dict[str, str]:
    """Return the variables of the process, without PATH and HOME, which are the container's own.

    One of the user's that names a place of this machine which is not there is left out.
    """
    folders = tuple(f"{path}/" for path in visible)

    def leads_nowhere(value: str) -> bool:
        paths = [path for path in value.split(":") if path.startswith("/")]
        return any(os.path.exists(p) and not (p + "/").startswith(folders) for p in paths)

    return {
        name: value
        for name, value in command.variables.items()
        if _NAME.fullmatch(name) and name not in ("PATH", "HOME")
        and not (os.environ.get(name) == value and leads_nowhere(value))
    }  # fmt: skip


def _limits(limits: Amounts, engine: Engine) -> list[str]:
    """Return the options for what a container may use at most."""
    options = []
    if limits.memory:
        options += ["--memory", str(limits.memory), "--memory-swap", str(limits.memory)]
    if limits.cpu:
        options += ["--cpus", f"{limits.cpu:g}"]
    if limits.gpu and engine.kind == "docker":
        options += ["--gpus", str(limits.gpu)]
    elif limits.gpu:
        devices = (f"nvidia.com/gpu={number}" for number in range(limits.gpu))
        options += [word for device in devices for word in ("--device", device)]
    return options


def _check(
    engine: Engine,
    image: Image,
    environment: Environment,
    mounts: list[str],
    variables: Mapping[str, str],
) -> None:
    """Raise UserError where the environment's Python does not run in the image, or as another.

    The same holds for what else counts for a result and is the image's own: R, Java.  Asked once
    an image.
    """
    state = open_state()
    tools = _tools(variables, mounts)
    asked = [image.id, environment.interpreter.path, environment.folder, *tools]
    remembered = f"{_PROBE_KIND} {hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"
    said = state.recall(remembered)
    if said is None:
        volumes = [word for path in mounts for word in ("--volume", f"{path}:{path}:ro")]
        words = [*containers.run_options(engine), *volumes, "--entrypoint", environment.python]
        done = engine.ask("run", *words, image.id, "-I", "-S", "-c", _PROBE, *tools)
        said = done.stdout.strip()
        if done.returncode in containers.FAILED and done.returncode != containers.NOT_FOUND:
            raise containers.failed(image.name, done.returncode, done.stderr)
        if done.returncode or not said:
            raise _does_not_run(image, environment, containers.last_line(done.stderr))
        state.remember(remembered, said)
    version, *digests = said.split()
    if version != environment.interpreter.version:
        raise _other(image, "Python", version, environment.interpreter.version)
    for tool, digest in zip(tools, digests, strict=True):
        if digest != hashlib.sha256(Path(tool).read_bytes()).hexdigest():
            raise _other(image, tool, "another one or none", "the one of this machine")


def _tools(variables: Mapping[str, str], mounts: list[str]) -> list[str]:
    """Return the files that tell the version of a program that the image is to have."""
    named = (("R_HOME", "library/base/DESCRIPTION"), ("JAVA_HOME", "release"))
    files = [f"{variables[name]}/{file}" for name, file in named if variables.get(name)]
    folders = tuple(f"{path}/" for path in mounts)
    return [file for file in files if os.path.isfile(file) and not file.startswith(folders)]


def _does_not_run(image: Image, environment: Environment, said: str) -> UserError:
    path = environment.interpreter.path
    own = path.startswith(containers.SYSTEM)
    return UserError(
        f"Python {environment.interpreter.version} does not run in the image `{image.name}`",
        ("key", image.key),
        ("interpreter", f"{path}, which is to be the image's own" if own else path),
        ("it says", said or "nothing"),
        hint=f"use an image with Python {environment.interpreter.version} in this place, or make"
        " the environment from a Python outside /usr (`uv python install`)"
        if own
        else "use an image with the same C library or a newer one, and the libraries that this"
        " Python needs",
    )


def _other(image: Image, what: str, there: str, here: str) -> UserError:
    return UserError(
        f"The image `{image.name}` does not have what the result's key says",
        ("key", image.key),
        (what, f"{there} in the image, {here} here"),
        hint="use an image that has the same, or run the step without a container: `--on local`",
    )
