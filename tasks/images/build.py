"""Build an image: a layer on a layer, each made only where no image has it yet.

Every layer is an image of its own, named by the digest of what it is made from, so that models
share what is the same and only what has changed is built, whichever engine does it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import containers, plan
from tasks.clusters import base_name
from tasks.containers import CACHE, PORT, RUNNER, USER
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.images import bases, bill, layers, parts, sealed
from tasks.local import VERSION_DIGITS
from tasks.profiles import STORE_VARIABLE
from tasks.records import write_json
from tasks.runs import HELD, fresh_folder, hold
from tasks.serving import released
from tasks.shared import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.containers import Engine, Image
    from tasks.images.parts import Part, Python
    from tasks.model import Model
    from tasks.serving.released import Release
    from tasks.state import State

LAYERS = "modelmake/layer"
BASES = "modelmake/base"
RECIPE = "modelmake.recipe"
"""The label with the digest of all that an image is made from."""

_TITLE = "org.opencontainers.image"
_PROGRAM = f"{parts.RUNNER}/bin/python"
_HEALTH = (
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/health/ready', timeout=3)"
)


@dataclass(frozen=True)
class Recipe:
    """What an image is made from: its base, its parts, and what stands below them.

    `name` is what it is called; `check` are the arguments with which the runner in it says whether
    it is as it should be.
    """

    name: str
    base: Image
    parts: Sequence[Part]
    labels: Mapping[str, str]
    ends: Sequence[str]
    check: Sequence[str]
    version: str

    @property
    def tags(self) -> tuple[str, str]:
        """The names of the image."""
        plain = base_name(self.name)
        return f"modelmake/{plain}:{self.version}", f"modelmake/{plain}:latest"

    @property
    def folder(self) -> str:
        """Where it is told what was built."""
        return f"{containers.IMAGES}/{plan.file_name(self.name)}"


@dataclass(frozen=True)
class Built:
    """An image, and whether it was built just now."""

    image: Image
    anew: bool

    def __str__(self) -> str:
        """Return it as one line."""
        size = f"{self.image.size / 1e6:.0f} MB"
        return f"{self.image.name}, {size}, {self.image.id[: len('sha256:') + VERSION_DIGITS]}"


def model_image(model: Model, state: State, say: Callable[[str], None]) -> Built:
    """Build the image that serves a model as it was evaluated.

    Raises UserError where the model is not current, or an image cannot be built or is not what it
    should be.
    """
    engine = containers.find(containers.BUILDERS)
    release = released.find(model, state, say)
    step, environment = release.step, release.environment
    key = plan.key(step, plan.inputs(step, state.files, environment.identity))
    base = containers.image(engine, *bases.base_of(step.model))
    own = bases.for_runner(engine, base, state)
    python = bases.for_model(engine, base, state, environment.interpreter)
    text = bill.written(release, base.name)
    listed = [
        *_interpreters(own),
        parts.runner(own, _of_store()),
        *(_interpreters(python) if python != own else ()),
        parts.environment(environment, python),
        sealed.part(release, sealed.seal(release, key, python), text, state),
    ]
    ends = [
        *_variables((own, python), base),
        f"EXPOSE {PORT}",
        f"ENTRYPOINT {json.dumps([_PROGRAM, '-m', 'tasks.serve_image'])}",
    ]
    if engine.kind == "docker":  # the others write OCI's format, which has no such thing
        ends.append(f"HEALTHCHECK CMD {json.dumps([_PROGRAM, '-c', _HEALTH])}")
    check = ("-m", "tasks.serve_image", "--check")
    version = key[:VERSION_DIGITS]
    recipe = Recipe(model.name, base, listed, _labels(release, key), ends, check, version)
    built = _build(engine, recipe, say)
    with open(f"{recipe.folder}/sbom.json", "wb") as file:
        file.write(text)
    return built


def _of_store() -> list[str]:
    """Return the package that the store needs which the user names, if it needs one."""
    scheme, is_address, _ = os.environ.get(STORE_VARIABLE, "").partition("://")
    return [PACKAGES[scheme]] if is_address and PACKAGES.get(scheme) else []


def runner_image(models: Iterable[Model], state: State, say: Callable[[str], None]) -> Built:
    """Build the image that carries out steps of these models when they are sent to it.

    It has the runner, uv and the Pythons of the models, which are as here; no model, and no
    environment: those are built where it runs.
    """
    engine = containers.find(containers.BUILDERS)
    base = containers.image(engine, *bases.base_of(None))
    own = bases.for_runner(engine, base, state)
    pythons = {own.path: own}
    for wanted in bases.wanted(models, state):
        found = bases.for_model(engine, base, state, wanted)
        pythons[found.path] = found
    listed = [
        *_interpreters(own),
        parts.runner(own, _of_store()),
        parts.installer(own),
        *(part for python in pythons.values() if python != own for part in _interpreters(python)),
    ]
    program = json.dumps([_PROGRAM, "-m", "tasks.worker"])
    ends = [*_variables([*pythons.values()], base), f"ENTRYPOINT {program}"]
    labels = {f"{_TITLE}.title": "modelmake runner"}
    version = canonical("image", {"base": base.id, "parts": [part.key for part in listed]})
    check = ("-m", "tasks.worker", "--help")
    return _build(
        engine, Recipe(RUNNER, base, listed, labels, ends, check, version[:VERSION_DIGITS]), say
    )


def _interpreters(python: Python) -> list[Part]:
    return [parts.interpreter(python)] if python.prefix else []


def _labels(release: Release, key: str) -> dict[str, str]:
    document = release.step.model.document
    return {
        f"{_TITLE}.title": release.step.model.title,
        f"{_TITLE}.description": str(document.get("description", "")),
        f"{_TITLE}.version": key[:VERSION_DIGITS],
        f"{_TITLE}.revision": str(release.trained.run.get("git") or ""),
        "modelmake.model": release.name,
        "modelmake.key": key,
        "modelmake.trained": release.key,
        "modelmake.lock": release.lock,
        "modelmake.code": release.code,
    }


def _variables(pythons: Sequence[Python], base: Image) -> list[str]:
    """Return the lines about the variables of an image, and the folder that it begins in."""
    libraries = dict.fromkeys(filter(None, (python.libraries for python in pythons)))
    variables = {
        "PATH": f"{parts.RUNNER}/bin:{base.path or containers.PATH}",
        "HOME": "/tmp",  # noqa: S108 - in the image
        "MODEL_CACHE": CACHE,
        "UV_PYTHON_INSTALL_DIR": parts.PYTHONS,
        "PYTHONUNBUFFERED": "1",
        **({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}),
    }
    return [*(f"ENV {name}={_quoted(value)}" for name, value in variables.items()), "WORKDIR /tmp"]


def _quoted(value: str) -> str:
    """Return a value as a Containerfile takes it as it is."""
    return json.dumps(" ".join(value.split()), ensure_ascii=False).replace("$", r"\$")


def _build(engine: Engine, recipe: Recipe, say: Callable[[str], None]) -> Built:
    """Return the image of a recipe, built where it is not there.

    It gets its names when it has been checked.
    """
    names, key = [], recipe.base.id
    for part in recipe.parts:
        key = canonical("image layer", {"on": key, "part": part.key})
        names.append(f"{LAYERS}:{key[:32]}")
    lines = [f"LABEL {name}={_quoted(value)}" for name, value in recipe.labels.items()]
    lines += [*recipe.ends, "CMD []", f"USER {USER}:{USER}"]
    digest = canonical("image recipe", {"on": key, "lines": lines})
    os.makedirs(recipe.folder, exist_ok=True)
    found, anew = containers.look_up(engine, recipe.tags[0]), False
    if found is None or found.labels.get(RECIPE) != digest:
        on, anew = _lasting_name(engine, recipe.base), True
        for part, name in zip(recipe.parts, names, strict=True):
            _build_layer(engine, part, on, name, say)
            on = name
        say("image")
        text = "\n".join([f"FROM {on}", *lines, f"LABEL {RECIPE}={digest}", ""])
        with fresh_folder(plan.BUILD, "image") as run:
            number = containers.build(engine, run.work, text)
        say("checking")
        _check(engine, recipe, number)
        containers.tag(engine, number, recipe.tags[0])
        found = containers.look_up(engine, recipe.tags[0])
        assert found is not None  # noqa: S101 - it has just got its name
    containers.tag(engine, found.id, recipe.tags[1])
    facts = {
        "format": 1, "tags": recipe.tags, "image_id": found.id, "size": found.size,
        "engine": str(engine), "labels": recipe.labels, "layers": found.layers,
    }  # fmt: skip
    write_json(f"{recipe.folder}/image.json", facts)
    return Built(found, anew)


def _lasting_name(engine: Engine, base: Image) -> str:
    """Give a base a name that stays with this very image: its own may be given to a newer one.

    Not every engine builds on an image by its id.
    """
    name = f"{BASES}:{base.id.removeprefix('sha256:')[:32]}"
    containers.tag(engine, base.id, name)
    return name


def _build_layer(
    engine: Engine, part: Part, on: str, name: str, say: Callable[[str], None]
) -> None:
    """Build the image of a layer, where nobody has built it."""
    with hold(f"{plan.BUILD}/{HELD}/{plan.file_name(name)}"):
        if containers.look_up(engine, name):
            return
        say(f"layer {part.name}")
        with fresh_folder(plan.BUILD, "image") as run:
            layers.write(f"{run.work}/layer.tar", part.entries())
            number = containers.build(engine, run.work, f"FROM {on}\nADD layer.tar /\n")
        containers.tag(engine, number, name)


def _check(engine: Engine, recipe: Recipe, number: str) -> None:
    """Hold an image against what it was made from, inside it."""
    done = containers.run_once(engine, number, [_PROGRAM, *recipe.check])
    if done.returncode:
        engine.ask("rmi", number)
        raise UserError(
            f"The image `{recipe.tags[0]}` cannot be used",
            ("base", recipe.base.name),
            ("it says", done.stderr.strip() or done.stdout.strip() or "nothing"),
            hint="see that the base has the C library of this machine or a newer one, and the other"
            " libraries that the Python needs",
        )
