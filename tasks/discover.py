"""Find the models of a repository and read their files; nothing of theirs is run."""

from __future__ import annotations

import functools
import json
import os
import re
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import frameworks, validate
from tasks.datasets import locate
from tasks.errors import Fault, UserError, printable
from tasks.folders import links_out, walk
from tasks.looks import MODELS, model_folders
from tasks.model import DEFAULT_DATASET, SAMPLES, STEPS, Dataset, Model
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from tasks.fingerprint import Files

# Where the datasets of older repositories are, by step, newest first.
_OLDER_DATASETS: dict[str, tuple[str, ...]] = {
    "train": (
        ".cli/datasets/train.json",
        ".cli/datasets/train_data_conf.json",
        ".cli/train_data_conf.json",
        "train_data.json",
        "DOCKER/examples/train_dataset1.json",
        "examples/dataset.json",
    ),
    "evaluate": (
        ".cli/datasets/evaluate.json",
        ".cli/datasets/evaluate_data_conf.json",
        ".cli/evaluate_data_conf.json",
        "test_data.json",
        "DOCKER/examples/evaluate_dataset.json",
        "examples/dataset.json",
    ),
}
# They were scored on what they are evaluated on.
_OLDER_DATASETS["score"] = (".cli/datasets/score.json", *_OLDER_DATASETS["evaluate"])
_NO_TASK_NAME = re.compile(r"[=@*:\x00-\x1f\x7f\ud800-\udfff]|^-")
_UNREADABLE = re.compile("[\ud800-\udfff]")


def discover(files: Files) -> list[Model]:
    """Return every model below `model_definitions/`, sorted by name, each with its faults."""
    models = [read_model(folder, files) for folder in model_folders()]
    return with_shared_ids(models)


def read_again(model: Model, files: Files) -> Model:
    """Return a model as its files are on the disk now."""
    if not os.path.isdir(model.folder):
        return model
    held = [f"{model.root}/{PACKAGE}/{name}" for name in model.sources]
    held += [dataset.path for dataset in model.datasets.values()]
    held += [f"{model.root}/config.json", f"{model.root}/{SAMPLES[0]}"]
    files.forget([*held, f"{model.folder}/model.json"])
    return read_model(model.folder, files)


def read_model(folder: str, files: Files) -> Model:
    """Return the model of a folder with its faults, as it is known in this run."""
    name = os.path.relpath(folder, MODELS)
    if _NO_TASK_NAME.search(name):
        return _unnameable(name, folder, files)
    model = Model(name=name, folder=folder, root=folder)
    try:
        return _read_all(model, files)
    except OSError as error:  # of a folder: what is in it would count for nothing
        fault = Fault(error.filename or folder, 0, "", f"cannot be read: {error.strerror}")
        return replace(model, faults=(fault,))


def _read_all(model: Model, files: Files) -> Model:
    """Return a model with all that its files say.  Raises OSError where a folder is unreadable."""
    folder = model.folder
    document, faults = _read("model", f"{folder}/model.json", files)
    if document is None:
        return replace(model, faults=tuple(faults))
    root = _config_root(folder, files)
    config: dict[str, Any] | None = {}
    config_path = f"{root}/config.json"
    if files.exists(config_path):
        config, found = _read("config", config_path, files)
        faults += found
    else:
        config_path = ""
    names = sorted(walk(f"{root}/{PACKAGE}", files))
    sources = tuple(name for name in names if not _UNREADABLE.search(name))
    for name in names:
        if _UNREADABLE.search(name):
            faults.append(Fault(f"{root}/{PACKAGE}", 0, "", f"the file name {name!a} is not UTF-8"))
        elif not os.access(f"{root}/{PACKAGE}/{name}", os.R_OK):
            hint = "remove it, or see that it can be read and, where it is a link, leads somewhere"
            faults.append(Fault(f"{root}/{PACKAGE}/{name}", 0, "", "cannot be read", hint))
    if not any(fault.key == "language" for fault in faults):
        described = replace(model, document=document)
        faults += [*_framework_faults(described, files), *_engine_faults(described)]
    if not sources:
        faults.append(_without_modules(folder, files))
    datasets, found = _datasets(folder, files)
    read = [f"{folder}/model.json", config_path, f"{folder}/datasets", f"{root}/{PACKAGE}"]
    read += [f"{root}/{SAMPLES[0]}"] if document.get("monitoring") is True else []
    read += [*(one.path for one in datasets.values()), *(f"{root}/{PACKAGE}/{n}" for n in names)]
    found += links_out(root, read)
    return replace(
        model,
        root=root,
        document=document,
        config_path=config_path,
        config=config or {},
        sources=sources,
        datasets=datasets,
        faults=tuple(faults + found),
    )


def _framework_faults(model: Model, files: Files) -> list[Fault]:
    """Return what is wrong with the framework that a model names."""
    place, key = f"{model.folder}/model.json", "framework"
    try:
        language = frameworks.read(model.framework, files).language
    except UserError as error:
        return [Fault(place, 0, key, error.headline, error.hint)]
    if language != model.language:
        wrong = f"`{model.framework}` is for models in `{language}`, and this one is in"
        return [Fault(place, 0, key, f"{wrong} `{model.language}`")]
    return []


def _engine_faults(model: Model) -> list[Fault]:
    """Return a fault for each step that is to have another engine than the model."""
    automation = model.document.get("automation")
    faults = []
    for phase, settings in automation.items() if isinstance(automation, dict) else ():
        engine = settings.get("engine") if isinstance(settings, dict) else None
        if isinstance(engine, str) and engine.lower() != model.language:
            key = f"automation.{phase}.engine"
            wrong = f"`{engine}`, and the model is in `{model.language}`: its steps share one"
            hint = "`automation.trainingEngine` counts for all steps"
            faults.append(Fault(f"{model.folder}/model.json", 0, key, wrong, hint))
    return faults


def _unnameable(name: str, folder: str, files: Files) -> Model:
    """Return a model whose folder's name is a fault: a name that no other has stands for it."""
    quoted = _quoted(name)
    while files.exists(f"{MODELS}/{quoted}"):  # a folder is called so
        quoted += "%"
    fault = Fault(
        printable(folder), 0, "",
        f"the folder's name is {name!a}, which a task cannot have",
        hint="rename the folder without `=`, `@`, `*`, `:`, a `-` in front and control characters",
    )  # fmt: skip
    document, found = _read("model", f"{folder}/model.json", files)
    found = [replace(one, file=printable(one.file)) for one in found]
    return Model(quoted, folder, folder, document or {}, faults=(fault, *found))


def _quoted(name: str) -> str:
    """Return a name that a task can have; `%` is quoted too, so that no two become one."""

    def quote(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in os.fsencode(found[0]))

    return re.sub(f"%|{_NO_TASK_NAME.pattern}", quote, name)


def _config_root(folder: str, files: Files) -> str:
    """Return the model's folder, or the one framework folder in it that has the modules."""
    if files.is_folder(f"{folder}/{PACKAGE}") or files.exists(f"{folder}/config.json"):
        return folder
    paths = [entry.path for entry in files.scan(folder)]
    children = [path for path in paths if files.is_folder(f"{path}/{PACKAGE}")]
    return children[0] if len(children) == 1 else folder


def _without_modules(folder: str, files: Files) -> Fault:
    inner = [e.name for e in files.scan(folder) if files.is_folder(f"{e.path}/{PACKAGE}")]
    found = f"; {' and '.join(f'`{name}`' for name in inner)} in it have one" if inner else ""
    hint = f"keep one of them, or a {PACKAGE} beside model.json" if inner else ""
    return Fault(f"{folder}/{PACKAGE}", 0, "", f"the folder is missing or empty{found}", hint)


def _datasets(folder: str, files: Files) -> tuple[dict[tuple[str, str], Dataset], list[Fault]]:
    found: dict[tuple[str, str], Dataset] = {}
    faults: list[Fault] = []
    for (name, step), path in _dataset_paths(folder, files).items():
        if _NO_TASK_NAME.search(name):
            faults.append(
                Fault(f"{folder}/datasets", 0, "", f"a task cannot hold the name {name!a}")
            )
            continue
        content, wrong = _read("dataset", path, files)
        faults += [fault for fault in wrong if fault not in faults]
        if content is not None:
            found[name, step] = Dataset(name, path, content, locate(content, folder, files))
    return found, faults


def read_dataset(path: str, model: Model, files: Files) -> Dataset:
    """Return the dataset of a JSON file anywhere, for a model.

    Paths in it mean what they mean in a dataset of the model's own.  Raises UserError for its
    faults.
    """
    files.forget([path])
    content, faults = _read("dataset", path, files)
    wrong = [fault for fault in faults if not fault.warning]
    if content is None or wrong:
        raise UserError(
            f"`{path}` is no dataset",
            *(("", fault) for fault in wrong or faults),
            hint="it is a JSON file, which names a CSV by its `url`; docs/reference.md of modelmake"
            " says what else it holds",
        )
    return Dataset(os.path.basename(path), path, content, locate(content, model.folder, files))


def _dataset_paths(folder: str, files: Files) -> dict[tuple[str, str], str]:
    """Return the dataset files by name and step.

    `datasets/{train,evaluate,score}.json` are the default ones, `datasets/NAME.json` serves every
    step, `datasets/NAME/STEP.json` one.
    """
    paths: dict[tuple[str, str], str] = {}
    if not files.is_folder(f"{folder}/datasets"):
        return _older_dataset_paths(folder, files)
    for entry in files.scan(f"{folder}/datasets"):
        stem, extension = os.path.splitext(entry.name)
        if entry.is_dir():
            for step in STEPS:
                if files.exists(f"{entry.path}/{step}.json"):
                    paths[entry.name, step] = f"{entry.path}/{step}.json"
        elif extension == ".json" and stem in STEPS:
            paths[DEFAULT_DATASET, stem] = entry.path
        elif extension == ".json":
            for step in STEPS:
                paths.setdefault((stem, step), entry.path)
    return paths


def _older_dataset_paths(folder: str, files: Files) -> dict[tuple[str, str], str]:
    return {
        (DEFAULT_DATASET, step): path
        for step, places in _OLDER_DATASETS.items()
        if (path := next((p for q in places if files.exists(p := f"{folder}/{q}")), ""))
    }


def _read(kind: str, path: str, files: Files) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Return a JSON document and its faults, remembered from run to run by the file's digest."""

    def check(data: bytes) -> str:
        checked = validate.check(kind, data, path)
        return json.dumps([checked.value, [asdict(fault) for fault in checked.faults]])

    try:
        note = files.note(path, f"{kind} {_rules(files)}", check)
    except OSError as error:
        return None, [Fault(path, 0, "", f"cannot be read: {error.strerror}")]
    value, faults = json.loads(note)
    return value, [Fault(**{**fault, "file": path}) for fault in faults]


@functools.lru_cache(maxsize=1)  # what is known of files is kept no longer than it is used
def _rules(files: Files) -> str:
    """Return the digest of the rules that documents are checked by."""
    here = Path(__file__).parent
    rules = (
        *(here / f"{name}.py" for name in ("positions", "rules", "slips", "validate")),
        *sorted((here / "schemas").glob("*.json")),
    )
    return "".join(files.digest(str(path))[:8] for path in rules)


def with_shared_ids(models: list[Model]) -> list[Model]:
    """Warn of two models with one id: they are told apart by their folders."""
    by_id = defaultdict(list)
    for model in models:
        by_id[model.id].append(model)
    return [
        replace(model, faults=(*model.faults, _shared_id(model, by_id[model.id])))
        if len(by_id[model.id]) > 1
        else model
        for model in models
    ]


def _shared_id(model: Model, sharing: list[Model]) -> Fault:
    folders = [printable(other.folder) for other in sharing if other is not model]
    others = " and ".join(f"`{folder}`" for folder in folders)
    return Fault(
        f"{printable(model.folder)}/model.json", 0, "id",
        f"`{model.id}` is also the id of {others}",
        hint="give one of them an id of its own: `python3 -c 'import uuid; print(uuid.uuid4())'`",
        warning=True,
    )  # fmt: skip
