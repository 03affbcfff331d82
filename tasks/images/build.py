"""Build an image: a layer on a layer, each made only where no image has it yet.

Every layer is an image of its own, named by the digest of what it is made from, so that models
share what is the same and only what has changed is built, whichever engine does it.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import containers, plan, profiles
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.images import bill, layers, parts, sealed
from tasks.records import write_json
from tasks.serving import released
from tasks.shared import PACKAGES, VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.containers import Engine, Image
    from tasks.environments.interpreters import Interpreter
    from tasks.images.parts import Part, Python
    from tasks.model import Model
    from tasks.serving.released import Release
    from tasks.state import State

BASE = "MODEL_BASE_IMAGE"
"""The variable that names the image that others are built on."""

FOLDER = "build/images"
LAYERS = "modelmake/layer"
RUNNER = "modelmake/runner"
PORT = 8080
USER = 10001
"""Nobody's number: what runs in the image owns nothing there."""

RECIPE = "modelmake.recipe"
_SHORT = 12
_PROGRAM = f"{parts.RUNNER}/bin/python"
_HEALTH = (
    "import urllib.request as r; "
    f"r.urlopen('http://127.0.0.1:{PORT}/health/ready', timeout=3)"
)
_PROBE = """\
import os, platform, sys
print(sys.version.split()[0], platform.python_implementation(), os.uname()[4],
      os.path.realpath(sys.executable))
"""


@dataclass(frozen=True)
class Built:
    """An image that was built, or found to be there: `tags` are its names."""

    image: Image
    tags: tuple[str, ...]
    anew: bool

    def __str__(self) -> str:
        """Return it as one line."""
        size = f"{self.image.size / 1e6:.0f} MB"
        return f"{self.tags[0]}, {size}, {self.image.id[:19]}"


def model_image(model: Model, state: State, say: Callable[[str], None]) -> Built:
    """Build the image that serves a model as it was evaluated.

    Raises UserError where the model is not current, or an image cannot be built or is not what it
    should be.
    """
    engine = containers.find(containers.BUILDERS)
    release = released.find(model, state, say)
    step, found = release.step, release.environment
    key = plan.key(step, plan.inputs(step, state.files, found.identity))
    base = containers.image(engine, *_base_of(model))
    own = _own_python(engine, base, state)
    python = _python(engine, base, state, found.interpreter)
    known = sealed.seal(release, key, python)
    text = bill.written(release, base.name)
    listed = [
        *_with_python(own), parts.runner(own), *_with_python(python),
        parts.environment(found, python), sealed.part(release, known, text, state),
    ]  # fmt: skip
    labels = {
        "org.opencontainers.image.title": model.title,
        "org.opencontainers.image.description": str(model.document.get("description", "")),
        "org.opencontainers.image.version": key[:_SHORT],
        "org.opencontainers.image.revision": str(release.trained.run.get("git") or ""),
        "modelmake.model": model.name,
        "modelmake.key": key,
        "modelmake.trained": release.key,
        "modelmake.lock": release.lock,
    }
    served = ["ENTRYPOINT", json.dumps([_PROGRAM, "-m", "tasks.serve_image"])]
    ends = [" ".join(served), f"EXPOSE {PORT}"]
    if engine.kind == "docker":  # the images of others, in OCI's format, have no such thing
        ends.append(f"HEALTHCHECK CMD {json.dumps([_PROGRAM, '-c', _HEALTH])}")
    tags = (f"modelmake/{_plain(model.name)}:{key[:_SHORT]}", f"modelmake/{_plain(model.name)}:latest")
    last = _finish((own, python), base, labels, ends)
    folder = f"{FOLDER}/{plan.file_name(model.name)}"
    check = ["-m", "tasks.serve_image", "--check"]
    built = _build(engine, base, listed, last, tags, say, check)
    _tell(folder, built, text, labels)
    return built


def runner_image(state: State, say: Callable[[str], None]) -> Built:
    """Build the image that carries out steps that are sent to it: the runner, uv, no model."""
    engine = containers.find(containers.BUILDERS)
    base = containers.image(engine, *_base("", ""))
    own = _own_python(engine, base, state)
    store = os.environ.get(VARIABLE, "").partition("://")
    further = [PACKAGES[store[0]]] if store[1] and PACKAGES.get(store[0]) else []
    listed = [*_with_python(own), parts.runner(own, further), parts.installer(own)]
    ends = [f"ENTRYPOINT {json.dumps([_PROGRAM, '-m', 'tasks.worker'])}"]
    labels = {"org.opencontainers.image.title": "modelmake runner"}
    last = _finish((own,), base, labels, ends)
    key = canonical("image", {"parts": [part.key for part in listed], "last": last})
    tags = (f"{RUNNER}:{key[:_SHORT]}", f"{RUNNER}:latest")
    built = _build(engine, base, listed, last, tags, say, ["-m", "tasks.worker", "--help"])
    _tell(f"{FOLDER}/runner", built, b"", labels)
    return built


def _base_of(model: Model) -> tuple[str, str]:
    """Return the image that a model's is built on, and the key that names it."""
    document, file = model.document, f"{model.folder}/model.json"
    automation, docker = document.get("automation", {}), document.get("docker", {})
    deployment = automation.get("deployment", {}).get("dockerImage", "")
    if deployment:
        return deployment, f"automation.deployment.dockerImage of {file}"
    return _base(docker.get("trainerImage", ""), f"docker.trainerImage of {file}")


def _base(named: str, key: str) -> tuple[str, str]:
    if named:
        return named, key
    if image := profiles.chosen().get("image"):
        return image, f"image of the profile in {profiles.FILE}"
    if image := os.environ.get(BASE):
        return image, BASE
    raise UserError(
        "No image is named that this one could be built on",
        hint=f"`{BASE}` names one, for instance `python:3.11-slim`; so does `image` of a profile"
        f" in {profiles.FILE}, and `automation.deployment.dockerImage` in a model's model.json",
    )


def _with_python(python: Python) -> list[Part]:
    return [parts.interpreter(python)] if python.prefix else []


def _own_python(engine: Engine, base: Image, state: State) -> Python:
    """Return what the runner runs on in the image: any Python of the same minor version."""
    path, version = parts.own_python()
    minor = version.rpartition(".")[0]
    there = _there(engine, base, minor, state)
    if there and there[0].rpartition(".")[0] == minor:
        return parts.Python(there[3], there[0])
    if path.startswith(containers.SYSTEM):
        raise _no_python(base, minor, path)
    return parts.copied(path, version)


def _python(engine: Engine, base: Image, state: State, wanted: Interpreter) -> Python:
    """Return the interpreter of a model in the image: the very same version."""
    there = _there(engine, base, wanted.minor, state)
    if there and there[:3] == [wanted.version, wanted.implementation, wanted.machine]:
        return parts.Python(there[3], wanted.version)
    if wanted.path.startswith(containers.SYSTEM):
        raise _no_python(base, wanted.version, wanted.path)
    return parts.copied(wanted.path, wanted.version)


def _no_python(base: Image, version: str, path: str) -> UserError:
    return UserError(
        f"The image `{base.name}` has no Python {version}",
        ("interpreter here", path),
        hint="name a base that has it, or use a Python outside /usr (`uv python install`), which"
        " is copied into the image",
    )


def _there(engine: Engine, base: Image, minor: str, state: State) -> list[str]:
    """Return version, implementation, machine and path of a base's own Python, none without."""
    key = f"python in image 1 {base.id} {minor}"
    said = state.recall(key)
    if said is None:
        done = containers.run_once(engine, base.id, [f"python{minor}", "-I", "-S", "-c", _PROBE])
        said = done.stdout.strip() if done.returncode == 0 else ""
        state.remember(key, said)
    return said.split()


def _finish(
    pythons: Sequence[Python], base: Image, labels: Mapping[str, str], ends: Sequence[str]
) -> str:
    """Return what an image is told after its layers: variables, labels, and what it runs."""
    libraries = dict.fromkeys(filter(None, (python.libraries for python in pythons)))
    variables = {
        "PATH": f"{parts.RUNNER}/bin:{base.path or containers.PATH}",
        "HOME": "/tmp",  # noqa: S108 - in the image
        "MODEL_CACHE": parts.CACHE,
        "UV_PYTHON_INSTALL_DIR": parts.PYTHONS,
        "PYTHONUNBUFFERED": "1",
        **({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}),
    }
    lines = [f"ENV {name}={json.dumps(value)}" for name, value in variables.items()]
    lines += [f"LABEL {name}={json.dumps(v).replace('$', chr(92) + '$')}" for name, v in labels.items()]
    return "\n".join([*lines, "WORKDIR /tmp", *ends, "CMD []", f"USER {USER}:{USER}", ""])


def _build(  # noqa: PLR0913, PLR0917 - what an image is made of
    engine: Engine, base: Image, listed: Sequence[Part], last: str, tags: Sequence[str],
    say: Callable[[str], None], check: Sequence[str] = (),
) -> Built:  # fmt: skip
    """Build what is not there yet of the layers, and the image on the last of them.

    It gets its names when the command `check` has succeeded in it.
    """
    keys, key = [], base.id
    for part in listed:
        key = canonical("image layer", {"on": key, "part": part.key})
        keys.append(key)
    recipe = canonical("image recipe", {"on": key, "last": last})
    there = containers.look_up(engine, tags[0])
    if there and there.labels.get(RECIPE) == recipe:
        containers.tag(engine, there.id, *tags)
        return Built(there, tuple(tags), anew=False)
    os.makedirs(FOLDER, exist_ok=True)
    on = base.name
    for part, key in zip(listed, keys, strict=True):
        name = f"{LAYERS}:{key[:32]}"
        if containers.look_up(engine, name) is None:
            say(f"layer {part.name}")
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                layers.write(f"{folder}/layer.tar", part.entries())
                number = containers.build(engine, folder, f"FROM {on}\nADD layer.tar /\n")
            containers.tag(engine, number, name)
        on = name
    say("image")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        text = f"FROM {on}\n{last}LABEL {RECIPE}={recipe}\n"
        number = containers.build(engine, folder, text)
    say("checking")
    _check(engine, number, tags[0], check)
    containers.tag(engine, number, *tags)
    found = containers.look_up(engine, tags[0])
    assert found is not None  # noqa: S101 - it was built
    return Built(found, tuple(tags), anew=True)


def _check(engine: Engine, number: str, name: str, words: Sequence[str]) -> None:
    """Hold an image against what it was made from, inside it."""
    done = containers.run_once(engine, number, [_PROGRAM, *words])
    if done.returncode:
        engine.ask("rmi", number)
        raise UserError(
            f"The image `{name}` cannot be used",
            ("it says", done.stderr.strip() or done.stdout.strip() or "nothing"),
            hint="see that the base has the C library of this machine, or a newer one, and what the"
            " Python needs",
        )


def _tell(folder: str, built: Built, text: bytes, labels: Mapping[str, str]) -> None:
    """Write what was built beside it, for people and for programs."""
    os.makedirs(folder, exist_ok=True)
    facts: dict[str, Any] = {
        "format": 1, "tags": built.tags, "image_id": built.image.id, "size": built.image.size,
        "labels": dict(labels), "layers": built.image.layers,
    }  # fmt: skip
    write_json(f"{folder}/image.json", facts)
    if text:
        Path(f"{folder}/sbom.json").write_bytes(text)


def _plain(name: str) -> str:
    """Return a model's name as a repository of images may be called."""
    import re

    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
