"""What `doit check` warns of in a model's data: nothing of it keeps the model from running."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import Fault, without_password
from tasks.fetching import way_out
from tasks.model import SAMPLES, STEPS
from tasks.positions import parse, shown
from tasks.slips import meant, squashed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.model import Dataset, Model

_ALSO = {
    "training": "train", "eval": "evaluate", "evaluation": "evaluate", "scoring": "score",
}  # fmt: skip
"""What people call the steps."""


def warnings(model: Model) -> Iterator[Fault]:
    """Yield all that looks wrong."""
    by_path = {dataset.path: dataset for dataset in model.datasets.values()}
    for dataset in by_path.values():
        yield from _missing(dataset)
    top = f"{model.folder}/datasets"
    if os.path.isdir(top):
        yield from _misnamed(top)
        for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _misnamed(entry.path)
    if any(os.path.isdir(f"{model.root}/{os.path.dirname(place)}") for place in SAMPLES):
        from tasks.serving import examples  # noqa: PLC0415 - slow to import, seldom needed

        yield from examples.faults(model.root)


def _missing(dataset: Dataset) -> Iterator[Fault]:
    """Yield a warning for each data file that is not there: it may come later."""
    missing = [one for one in dataset.files if not one.url and not os.path.exists(one.path)]
    if missing:
        parsed = parse(Path(dataset.path).read_bytes().decode(), dataset.path)
        for file in missing:
            message = f"expected a file that is there, found {shown(without_password(file.source))}"
            yield parsed.fault(file.keys, message, way_out(file.source), warning=True)


def _misnamed(folder: str) -> Iterator[Fault]:
    """Yield a warning for each dataset that has nearly the name of a step's, which is not there."""
    names = sorted(os.listdir(folder))
    lacking = [step for step in STEPS if f"{step}.json" not in names]
    for name in names:
        stem, extension = os.path.splitext(name)
        also = _ALSO.get(squashed(stem), "")
        step = also if also in lacking else meant(stem, lacking)
        if step and extension.lower() == ".json" and not os.path.isdir(f"{folder}/{name}"):
            message = f"expected `{step}.json`, found `{name}` alone"
            hint = f"did you mean `{step}.json`?"
            yield Fault(f"{folder}/{name}", 0, "", message, hint, warning=True)
