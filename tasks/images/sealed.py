"""A release as it is in an image: what was found out where it was made, written beside its files.

In the image there is no data, so that a schema could not be inferred there, nor a result be called
current: both was done before the image was built.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import datasets, discover, frameworks, plan, records, requests
from tasks.containers import CACHE, HOME
from tasks.environments.build import Environment, check_unaltered
from tasks.environments.interpreters import Interpreter
from tasks.environments.requirements import read
from tasks.errors import InvalidModel, UserError
from tasks.fingerprint import canonical
from tasks.images import parts
from tasks.images.layers import Entry
from tasks.images.parts import REPOSITORY, TRAINED, Part
from tasks.plan import Step
from tasks.serving import examples
from tasks.serving.released import Release, check_code, published
from tasks.serving.schema import Column, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.images.parts import Python
    from tasks.state import State

FORMAT = 1
FILE = f"{HOME}/release.json"
BILL = f"{HOME}/sbom.json"

_ANEW = "build the image anew, where the model is: `doit image:MODEL`"


@dataclass(frozen=True)
class Sealed:
    """What `release.json` says: the model's folder, what it takes, and its environment.

    `key` is that of scoring, `code` the digest of the sources that answer, `digest` that of the
    environment's files; `interpreter` has path, version, implementation and machine.
    """

    folder: str
    key: str
    code: str
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    identity: dict[str, str]
    variables: dict[str, str]
    interpreter: tuple[str, str, str, str]
    digest: str


def seal(release: Release, key: str, python: Python) -> Sealed:
    """Return what is to be known of a release in an image."""
    environment, schema = release.environment, release.schema
    was = environment.interpreter
    return Sealed(
        release.step.model.folder, key, release.code, schema.inputs, schema.outputs,
        dict(environment.identity), dict(environment.variables),
        (python.path, was.version, was.implementation, was.machine),
        parts.digest(environment.folder),
    )  # fmt: skip


def part(release: Release, sealed: Sealed, bill: bytes, state: State) -> Part:
    """Return the model's own layer: its files, what was trained, what is known of it."""
    trained = release.trained.folder
    document = {"format": FORMAT, **asdict(sealed)}
    text = json.dumps(document, indent=2, ensure_ascii=False).encode()
    sources = {path: _read_once(path) for path in plan.source_paths(release.step, state.files)}
    check_code(release, {path: entry.digest for path, entry in sources.items()})
    files = [
        sources.get(path) or Entry(f"{REPOSITORY}/{path}", source=path)
        for path in sorted(set(_files(release.step, state)))
    ]
    outputs = [records.RUN, *release.trained.outputs]
    data = list(_data(release.step))
    digests = {entry.path: entry.digest for entry in [*files, *data]}
    whole = {"release": document, "bill": bill.decode(), "files": digests, "run": release.key}

    def entries() -> Iterator[Entry]:
        yield from files
        yield from data
        for name in outputs:
            yield Entry(f"{TRAINED}/{name}", source=os.path.realpath(f"{trained}/{name}"))
        yield Entry(FILE, data=text)
        yield Entry(BILL, data=bill)

    return Part("model", canonical("image model", whole), entries)


def _read_once(path: str) -> Entry:
    """Return a source as it is now: it may be edited while other layers are made."""
    data = Path(path).read_bytes()
    return Entry(f"{REPOSITORY}/{path}", data=data, runs=os.access(path, os.X_OK))


def _files(step: Step, state: State) -> Iterator[str]:
    """Yield the files of the repository that the model is scored with."""
    model = step.model
    yield from requests.model_paths(step, state)
    yield from (example.path for example in examples.examples(model.root))


def _data(step: Step) -> Iterator[Entry]:
    """Yield the data that the model is scored with."""
    if frameworks.language(step.model).engine == "sql":  # rows become the table of that file's kind
        for path in plan.data_paths(step):
            below = os.path.relpath(path, datasets.data_folder())
            if not os.path.isabs(path):
                yield Entry(f"{REPOSITORY}/{path}", source=path)
            elif not below.startswith(".."):
                yield Entry(f"{CACHE}/data/{below}", source=path)


def opened(state: State) -> Release:
    """Return the release of the image that this process runs in, held against what was recorded.

    The working directory is a copy of the repository there.  Raises UserError where something is
    not as it was when the image was built.
    """
    sealed = _read()
    model = discover.read_model(sealed.folder, state.files)
    if model.broken:
        raise InvalidModel(model.name, model.faults)
    trained = records.read(TRAINED, state.files)
    damaged = records.damage(trained, state.files) if trained else ["it has no record"]
    if trained is None or damaged:
        raise UserError(
            f"What was trained of model `{model.name}` is not what the image was made with",
            *(("reason", sentence) for sentence in damaged),
            hint=_ANEW,
        )
    interpreter = Interpreter(*sealed.interpreter)
    environment = Environment(
        model, read(model, state), None, interpreter, sealed.identity, sealed.variables
    )
    check_unaltered(environment)
    found = examples.examples(model.root)
    schema = Schema(sealed.inputs, sealed.outputs)
    step = Step(model, "score")
    where = published(step)
    return Release(step, trained, environment, sealed.code, schema, found, where)


def check_digests(release: Release) -> None:
    """Raise UserError where a byte of the environment is other than where it was locked.

    So too where the training was made with another.
    """
    sealed, environment = _read(), release.environment
    if parts.digest(environment.folder) != sealed.digest:
        raise UserError(
            "The environment in the image is not the one that it was made from", hint=_ANEW
        )
    prefix = "environment "
    recorded = {
        name.removeprefix(prefix): value
        for name, value in release.trained.inputs.items()
        if name.startswith(prefix)
    }
    if recorded != dict(environment.identity):
        raise UserError(
            "The environment in the image is not the one that the model was trained in", hint=_ANEW
        )


def _read() -> Sealed:
    with open(FILE, encoding="utf-8") as file:
        document: dict[str, Any] = json.load(file)
    if document.pop("format") != FORMAT:
        raise UserError(f"`{FILE}` is in a form that is not known here", hint=_ANEW)
    columns = {n: tuple(Column(**one) for one in document.pop(n)) for n in ("inputs", "outputs")}
    document["interpreter"] = tuple(document["interpreter"])
    return Sealed(**{**document, **columns})
