"""What there is to do: the steps of each model, and all that a step's result depends on."""

from __future__ import annotations

import json
import os
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import datasets, frameworks
from tasks.errors import UserError, did_you_mean
from tasks.fingerprint import canonical
from tasks.model import DEFAULT_DATASET, MONITORING_FORMAT, SAMPLES, STEPS, Dataset, Model
from tasks.sources import PACKAGE, names_version, read_by_step, trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.fingerprint import Files

BUILD = "build"
RESULTS = "models"
"""The folder below `build/` that the links to results are in."""

ARTEFACTS = "artefacts.json"

TRAINED = "artefacts of train"
"""The input that is what training has left: the one that says nothing of the repository."""

VERSION = "model_version"
"""The input of training that says that its version is told: a source of the model names it."""

RUNTIME_FORMAT = 5
"""Raised when the way in which a model is called changes, so that every result is made anew."""

LONGEST_NAME = 150

MISSING = "missing"
"""What stands for the digest of a file that is not there."""

_NO_DATA = Dataset("", "", {})


@dataclass(frozen=True, repr=False)
class Step:
    """One step of one model on one dataset: what doit calls a task.

    `build` is the folder that it is run in and that has its result; `given` is a dataset that goes
    before those of the model.  Both are other than plain for a run that is no part of the build.
    """

    model: Model
    name: str
    dataset_name: str = DEFAULT_DATASET
    build: str = BUILD
    given: Dataset | None = None

    def __repr__(self) -> str:
        """Show the task's name: doit prints it."""
        return f"Step({self.task})"

    @property
    def variant(self) -> str:
        """The model's name, with `@dataset` behind it where a dataset is named."""
        return f"{self.model.name}@{self.dataset_name}" if self.dataset_name else self.model.name

    @property
    def task(self) -> str:
        """doit's name of the task."""
        return f"{self.name}:{self.variant}"

    @property
    def folder(self) -> str:
        """Where its result is published: `build/models/<model>[@<dataset>]/<step>`."""
        return f"{self.build}/{RESULTS}/{self.variant}/{self.name}"

    @property
    def failed_folder(self) -> str:
        """Where what a failed run left is kept, until the step succeeds."""
        return f"{self.build}/failed/{self.variant}/{self.name}"

    @property
    def failed_key(self) -> str:
        """The file in there with the key that the run failed with."""
        return f"{self.failed_folder}/key"

    @property
    def checkpoint_folder(self) -> str:
        """Where what it may go on from is kept, until the step succeeds."""
        return f"{self.build}/checkpoints/{self.variant}/{self.name}"

    @property
    def upstream(self) -> Step | None:
        """The step whose artefacts it works on."""
        return (
            None
            if self.name == "train"
            else Step(self.model, "train", self.dataset_name, self.build)
        )

    @property
    def dataset(self) -> Dataset:
        """The given or named dataset, else the default one for this step, or an empty one."""
        of, default = self.model.datasets, (DEFAULT_DATASET, self.name)
        return self.given or of.get((self.dataset_name, self.name)) or of.get(default, _NO_DATA)


def file_name(text: str) -> str:
    """Return a name for a file that stands for a text: readable, and no two texts share one."""
    name = urllib.parse.quote(text, safe=" ")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 17]}-{canonical('name', text)[:16]}"


def steps_of(model: Model) -> list[Step]:
    """Return every step of a model: on its default dataset, then on each that can be named."""
    names = (DEFAULT_DATASET, *model.dataset_names)
    return [Step(model, step, name) for name in names for step in STEPS]


def source_paths(step: Step, files: Files) -> list[str]:
    """Return the files of the model that the step reads, relative to the repository."""
    model = step.model
    paths: list[str] | None = model.worked_out.get(step.name)
    if paths is None:
        folder = f"{model.root}/{PACKAGE}"
        names = sorted(read_by_step(step.name, model, files))
        paths = [f"{folder}/{name}" for name in names]
        paths += [model.config_path] if model.config_path else []
        model.worked_out[step.name] = paths
    return paths


def read_paths(step: Step, files: Files) -> list[str]:
    """Return all the files of the repository that the step reads and that are there now.

    Raises OSError where a folder of data cannot be read.
    """
    paths = [*source_paths(step, files), *data_paths(step)]
    paths += [step.dataset.path] if step.dataset.path else []
    sample = f"{step.model.root}/{SAMPLES[0]}"
    return [*paths, sample] if is_recorded(step) and os.path.exists(sample) else paths


def data_paths(step: Step) -> list[str]:
    """Return the data files that are there now.  Raises OSError as `datasets.members` does."""
    paths = (path for item in step.dataset.files for path in datasets.members(item.path))
    return [path for path in paths if os.path.exists(path)]


def is_recorded(step: Step) -> bool:
    """Return whether the step records statistics of its data, for monitoring."""
    return step.name == "train" and step.model.monitored


def inputs(step: Step, files: Files, environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return all that the step's result depends on, each by a name that a person understands.

    Raises OSError where a source or a folder of data cannot be read.
    """
    model = step.model
    found = {
        "runtime": str(RUNTIME_FORMAT),
        "model.json: id": model.id,
        "model.json: language": model.language,
    }
    if step.name == "evaluate":
        found["model.json: thresholds"] = json.dumps(model.thresholds, sort_keys=True)
    if is_recorded(step):
        found["model.json: monitoring"] = str(MONITORING_FORMAT)
        found[f"file {SAMPLES[0]}"] = _digest_or(f"{model.root}/{SAMPLES[0]}", MISSING, files)
    for name, value in frameworks.language(model).settings(model.document, step.name).items():
        found[f"model.json: {name}"] = value
    variables = frameworks.read(model.framework, files).variables
    if variables:
        found["framework: variables"] = json.dumps(variables, sort_keys=True)
    if step.name == "train" and names_version(model, files):
        found[VERSION] = "told"
    found |= _sources(step, files, (environment or {}).get("python", ""))
    files.digest_ahead(data_paths(step))
    if step.dataset.path:
        found["dataset"] = files.digest(step.dataset.path)
    for item in step.dataset.files:
        found[f"data {item.source}"] = _data_digest(
            item.path, item.sha256 if item.url else "", files
        )
    for name, value in (environment or {"": "not locked yet"}).items():
        found[f"environment {name}".rstrip()] = value
    if step.upstream:
        found[TRAINED] = _digest_or(f"{step.upstream.folder}/{ARTEFACTS}", MISSING, files)
    return found


def _sources(step: Step, files: Files, python: str) -> dict[str, str]:
    """Return the digest of each of the model's files that the step reads."""
    root = step.model.root
    paths = {path[len(root) + 1 :]: path for path in source_paths(step, files)}
    modules = [name[len(PACKAGE) + 1 :] for name in paths if name.startswith(f"{PACKAGE}/")]
    by_tree = trees(modules, step.model, python, files)
    return {
        f"file {name}": by_tree.get(name[len(PACKAGE) + 1 :]) or files.digest(path)
        for name, path in paths.items()
    }


def key(step: Step, found: Mapping[str, str]) -> str:
    """Return the step's key: the digest of its name and inputs."""
    return key_of(step.name, found)


def key_of(name: str, found: Mapping[str, str]) -> str:
    """Return the key of a step by its name."""
    return canonical("step", {"step": name, "inputs": dict(found)})


def _data_digest(path: str, expected: str, files: Files) -> str:
    """Return the digest of a data file or folder; of one not fetched yet, what it must be."""
    if files.is_folder(path):
        files.untraced()
        digests = {
            os.path.relpath(member, path): files.digest(member) for member in datasets.members(path)
        }
        return canonical("folder", digests)
    digest = _digest_or(path, expected or MISSING, files)
    log = f"{path}.wal"
    if path.endswith(datasets.DATABASE_SUFFIX) and files.exists(log):
        return canonical("database", [digest, files.digest(log)])
    return digest


def _digest_or(path: str, default: str, files: Files) -> str:
    try:
        return files.digest(path)
    except OSError:
        return default


def find_model(word: str, models: Sequence[Model]) -> Model:
    """Return the model that a person means: by folder, id, display name or unique id prefix.

    Raises UserError where there is none, or more than one.
    """
    for attribute in ("name", "id", "title"):
        found = [model for model in models if getattr(model, attribute) == word]
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(word, found)
    found = [m for m in models if word and (m.name.startswith(word) or m.id.startswith(word))]
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(word, found)
    names, titles = ([getattr(model, of) for model in models] for of in ("name", "title"))
    hint = did_you_mean(word, names) or did_you_mean(word, titles)
    headline = f"There is no model `{word}`" if word else "No model is named"
    raise UserError(headline, hint=hint or "`doit list` shows the models")


def _ambiguous(word: str, found: Iterable[Model]) -> UserError:
    return UserError(
        f"`{word}` names more than one model",
        *((model.name, model.id) for model in found),
        hint="use the folder's name",
    )


def find_task(word: str, dataset: str, models: Sequence[Model], kinds: Iterable[str]) -> str:
    """Return doit's name for `kind:model` as a person may write it; other words are left alone.

    Raises UserError for a model or dataset that is not there.
    """
    kind, colon, name = word.partition(":")
    if not colon or kind not in kinds:
        if dataset:
            raise UserError(
                f"`--dataset` needs the step of one model, not `{word}`",
                hint=f"for instance `doit train:{models[0].name if models else 'MODEL'}"
                f" --dataset {dataset}`",
            )
        return word
    if "*" in name:
        return word
    if not dataset and "@" in name and name not in {model.name for model in models}:
        name, _, dataset = name.rpartition("@")
    model = find_model(name, models)
    if dataset and dataset not in model.dataset_names and not model.broken:
        hint = did_you_mean(dataset, model.dataset_names)
        known = ", ".join(f"`{known}`" for known in model.dataset_names) or "none"
        raise UserError(
            f"Model `{model.name}` has no dataset `{dataset}`",
            ("datasets", known),
            hint=hint or f"a file `{model.folder}/datasets/{dataset}.json` makes one",
        )
    return f"{kind}:{model.name}@{dataset}" if dataset else f"{kind}:{model.name}"
