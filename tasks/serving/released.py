"""Which trained models may be served: those that were evaluated, as they were evaluated."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tasks import fetching, frameworks, metrics, plan, preparation, records
from tasks.environments import build
from tasks.errors import UserError
from tasks.explain import has_failed, why
from tasks.fingerprint import Files, canonical
from tasks.local import VERSION_DIGITS
from tasks.plan import Step
from tasks.serving import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.environments.build import Environment
    from tasks.model import Model
    from tasks.records import Record
    from tasks.serving.examples import Example
    from tasks.serving.schema import Schema
    from tasks.state import State


@dataclass(frozen=True)
class Release:
    """A trained model that may be served: its `score` step, training's record, its environment.

    `code` is the digest of the sources that answer, `published` where the evaluation was that it
    stands on: another since then is that of a newer version.  `schema` is what it takes, as far as
    that is known, and `examples` are requests that it brings along.
    """

    step: Step
    trained: Record
    environment: Environment
    code: str
    schema: Schema
    examples: Sequence[Example]
    published: str

    @property
    def name(self) -> str:
        """The model's name."""
        return self.step.model.name

    @property
    def key(self) -> str:
        """The key of the training that made it."""
        return self.trained.key

    @property
    def version(self) -> str:
        """What stands for that key."""
        return self.key[:VERSION_DIGITS]

    @property
    def lock(self) -> str:
        """The digest of its environment's lock, empty where it has none."""
        return self.environment.identity.get("lock", "")

    @property
    def sample(self) -> dict[str, Any] | None:
        """The first of the examples as its names and values, None without one."""
        if not self.examples:
            return None
        array = self.schema.check(self.examples[0].array)
        return {"names": array.names, "values": json.loads(array.json)}

    @property
    def meta(self) -> dict[str, str]:
        """What a client is told of the version that answers."""
        return {
            "model": self.name,
            "version": self.version,
            "key": self.key,
            "lock": self.lock,
            "code": self.code,
        }


def published(step: Step) -> str:
    """Return where the result of evaluation is now: it changes when a new version may be served."""
    return os.path.realpath(replace(step, name="evaluate").folder)


def code_of(step: Step, files: Files) -> str:
    """Return the digest of the sources that answer, as they are now."""
    return _code({path: files.digest(path) for path in plan.source_paths(step, files)})


def _code(digests: Mapping[str, str]) -> str:
    return canonical("code", digests)


def check_code(release: Release, copies: Mapping[str, str]) -> None:
    """Raise UserError where the copies of the sources that answer are not those of the release.

    `copies` are the digests by the path of each source.
    """
    if _code(copies) != release.code:
        raise UserError(
            f"The sources of model `{release.name}` were edited while they were copied",
            ("folder", release.step.model.root),
            hint="do the same again when nobody edits them",
        )


def _bases(step: Step) -> tuple[Step, Step]:
    return replace(step, name="train"), replace(step, name="evaluate")


def find(model: Model, state: State, say: Callable[[str], None]) -> Release:
    """Return a model as it may be served, its environment built.

    Raises UserError, with all that stands against it, where it is not trained, or what was trained
    is not what was evaluated, or an artefact is not what its record says.
    """
    step = preparation.read_again(Step(model, "score"), state)
    where = published(step)  # before anything is checked: what comes later is another version
    for base in _bases(step):
        if reasons := why(base, state):
            raise _not_current(base, reasons, state)
    trained = records.read(_bases(step)[0].folder, state.files)
    assert trained is not None  # noqa: S101 - it is current
    environment = build.ensure(step.model, state, say, say)
    if frameworks.language(step.model).engine == "sql":  # rows become the table of that file's kind
        for data_file in step.dataset.files:
            fetching.fetch(data_file, step.dataset.path, state.files, say)
    schema, known = examples.read(step.model)
    return Release(step, trained, environment, code_of(step, state.files), schema, known, where)


def _not_current(base: Step, reasons: Sequence[str], state: State) -> UserError:
    """Return the error for a model that is not served since a step of it is not current."""
    hint = f"`doit evaluate:{base.model.name}` makes it current"
    short: list[str] = []
    if has_failed(base, state):
        hint = f"it failed: see {base.failed_folder}/{records.LOG}"
        short = _shortfall(base) if base.name == "evaluate" else []
    if short:
        hint = "`evaluation.thresholds` in model.json says what is asked of it"
    facts = ((base.task, reason) for reason in [*reasons, *short])
    return UserError(f"Model `{base.model.name}` is not served", *facts, hint=hint)


def _shortfall(evaluation: Step) -> list[str]:
    """Return what the metrics of a failed evaluation lack; nothing where it failed otherwise."""
    model, folder = evaluation.model, evaluation.failed_folder
    try:
        with open(f"{folder}/result.json", encoding="utf-8") as file:
            returned = json.load(file)["returned"]
        found = metrics.collect(f"{folder}/work", returned, model.name)
    except (OSError, ValueError, KeyError, UserError):
        return []
    broken = metrics.broken(found["metrics"], model.thresholds)
    return [f"it is not good enough: {name} {wrong}" for name, wrong in broken.items()]
