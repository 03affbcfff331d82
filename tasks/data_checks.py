"""What `doit check` warns of in a model's data: nothing of it keeps the model from running."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tasks.errors import Fault
from tasks.model import STEPS
from tasks.slips import meant, squashed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.model import Model

_ALSO = {
    "training": "train", "eval": "evaluate", "evaluation": "evaluate", "scoring": "score",
}  # fmt: skip
"""What people call the steps."""


def warnings(model: Model) -> Iterator[Fault]:
    """Yield all that looks wrong."""
    top = f"{model.folder}/datasets"
    if os.path.isdir(top):
        yield from _misnamed(top)
        for entry in sorted(os.scandir(top), key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _misnamed(entry.path)


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
