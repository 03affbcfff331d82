"""The values that the rest works on: a model, its datasets, its steps' names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.errors import Fault

STEPS = ("train", "evaluate", "score")
"""The steps of a model that run its code, in the order in which they build on each other."""

PHASES = {"train": "training", "evaluate": "evaluation", "score": "deployment"}
"""What `automation` in `model.json` calls the steps."""

SAMPLES = ("samples/data.json", "model_modules/samples/data.json")
"""Where a model may have a sample request, the first that is there counts."""

MONITORING_FORMAT = 1
"""Raised when a training records other statistics of its data than before."""

DEFAULT_DATASET = ""
"""The name of the dataset that a step uses when none is named."""


@dataclass(frozen=True)
class DataFile:
    """A file (or folder) that a dataset names.

    `keys` is the path to the string inside the dataset, `source` that string as written, `path`
    where the bytes are on this machine (in the cache for a download), `sha256` what they must be.
    """

    keys: tuple[str | int, ...]
    source: str
    path: str
    sha256: str = ""
    url: str = ""


@dataclass(frozen=True)
class Dataset:
    """What one step is told about its data: free JSON, and the files named in it.

    `path` is empty where the model has no dataset for the step, and `content` then is `{}`.
    """

    name: str
    path: str
    content: Mapping[str, Any]
    files: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model, as its files describe it.

    `name` is the folder below `model_definitions/`, which is what people type; `id` is its
    identity.  `folder` holds `model.json`, `root` holds `config.json` and `model_modules/` (the
    same folder, or a framework folder below it).  `datasets` maps (dataset, step)
    to what the step is told.
    `faults` says why it cannot run; a model whose `model.json` cannot be read has only that.
    `worked_out` keeps what is asked for again and again of these same files.
    """

    name: str
    folder: str
    root: str
    document: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    config_path: str = ""
    sources: tuple[str, ...] = ()
    datasets: Mapping[tuple[str, str], Dataset] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    worked_out: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def id(self) -> str:
        """The identity, stable across renames; the folder's name where there is none."""
        return str(self.document.get("id") or self.name)

    @property
    def title(self) -> str:
        """The display name."""
        return str(self.document.get("name") or self.name)

    @property
    def language(self) -> str:
        """The engine that runs it: `python`, `r`, `sql` or `pyspark`, in lower case."""
        automation = self.document.get("automation")
        engine = automation.get("trainingEngine") if isinstance(automation, dict) else None
        engine = engine or self.document.get("launcher")
        return str(engine or self.document.get("language") or "").lower()

    @property
    def framework(self) -> str:
        """The name of the file in `envs/` that says what its environment brings."""
        return str(self.document.get("framework") or self.language)

    @property
    def monitored(self) -> bool:
        """Whether training records the statistics that what is scored is compared with."""
        return self.document.get("monitoring") is True

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """The datasets that can be named, without the default one."""
        return tuple(sorted({name for name, _ in self.datasets} - {DEFAULT_DATASET}))

    @property
    def thresholds(self) -> Mapping[str, Mapping[str, float]]:
        """What is asked of each metric; nothing where there are faults, which may be in that."""
        return {} if self.broken else self.document.get("evaluation", {}).get("thresholds", {})

    @property
    def broken(self) -> bool:
        """Whether a fault (not a mere warning) keeps it from running."""
        return any(not fault.warning for fault in self.faults)


def resources(document: Mapping[str, Any], step: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each place of `model.json` that may say what a step may use, and what is there.

    The first that says something counts.
    """
    ways = (
        ("automation", PHASES[step], "resources"),
        ("resources", "training"),
        ("automation", "resources", "training"),
        ("automation", "resources"),
        ("resources",),
    )
    found: list[tuple[str, Mapping[str, Any]]] = []
    for way in ways:
        place: Any = document
        for key in way:
            place = place.get(key) if isinstance(place, dict) else None
        found.append((".".join(way), place if isinstance(place, dict) else {}))
    return found
