"""What is special about a language: how its sources are read, and how its process is started."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State

_Imports: TypeAlias = "list[str] | None"
ReadSource: TypeAlias = (
    "Callable[[bytes], tuple[_Imports, list[str]] | tuple[_Imports, list[str], str]]"
)
"""Returns what a source imports (None: unknown), and the names that its top level gives.

What it may read by a path is among what it imports, see `paths`.
The name `*` stands for what cannot be told, in both.  A language may return a third: the digest of
what of the source can count for a result, empty where that is every byte.
"""

RUNTIME = Path(__file__).parent.parent / "runtime"
"""The programs that a model's own environment executes."""

GRAMMAR = (3, 10)
"""The Python in whose syntax trees are compared: the oldest that runs the build system."""

VERSIONS = ("model_version", "model_table")
"""The words for the version of the trained model: itself, and a table that has it in its name."""

# With the Python that reads, for another knows newer syntax.
_KIND = f"source 14 {sys.version_info[0]}.{sys.version_info[1]}"


def _nobody(_detail: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Start:
    """What is known when the process of a step is about to start.

    `document` is `model.json`; `step` is `train`, `evaluate` or `score`; `python` is the
    environment's interpreter; `program` is run_step.py with its two files; `work` is the step's
    working directory; `variables` are those of the process.  All paths are absolute.  `lasting` is
    whether it goes on until it is told to end, and is to leave nothing that grows.  `tell` is told
    what takes long before the process starts.  `cpu` and `memory` (in bytes) are the most that the
    step may use, None where nothing is said.
    """

    document: Mapping[str, Any]
    step: str
    python: str
    program: tuple[str, ...]
    work: str
    variables: Mapping[str, str]
    lasting: bool = False
    tell: Callable[[str], None] = _nobody
    cpu: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Command:
    """A command line, and the variables that it runs with.

    `trusted` are folders outside the environment that code may come from, since their version
    counts for the result.  `direct` is whether the command is the model's process, and not what
    starts that; `tie` then stands before the words, and has the process die with this one.
    `where` says more of where the model runs, for the record; `hint` what to do where the process
    ends without a result.  `output` is a file that holds what the model printed, empty where it
    printed into the command's own output.  `image` is that of the container which all of it
    runs in, empty where there is none.
    """

    words: tuple[str, ...]
    variables: Mapping[str, str]
    trusted: tuple[str, ...] = ()
    direct: bool = True
    tie: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""
    output: str = ""
    image: str = ""


@dataclass(frozen=True)
class Library:
    """Packages of a language that uv knows nothing of, locked beside those that it does.

    `kind` is what one is called.  `lock` returns a line for each package that a model needs, which
    stands in the lock behind the kind; it is given the lines of the lock before, a folder that
    keeps what is fetched, and what to tell the progress to.  `identity` returns what of the
    packages in such lines counts for a result, None where they do not answer what the model asks
    for.  `install` puts them into an environment, whose folder is the last that it is given.  Each
    raises UserError.
    """

    kind: str
    lock: Callable[[Model, Sequence[str], State, str, Callable[[str], None]], tuple[str, ...]]
    identity: Callable[[Model, Sequence[str], State], dict[str, str] | None]
    install: Callable[[Model, Sequence[str], State, str, str], None]


def said(path: str, read_source: ReadSource, files: Files) -> dict[str, Any]:
    """Return what a source says: `imports`, `names` and `tree`, as `read_source` found them.

    `versions` are those words for the version of the trained model that stand in it.  Raises
    OSError where it cannot be read.
    """

    def note(data: bytes) -> str:
        imports, names, *tree = read_source(data)
        versions = [word for word in VERSIONS if word.encode() in data]
        found = {"imports": imports, "names": names, "tree": "".join(tree), "versions": versions}
        return json.dumps(found)

    kind = f"{_KIND} {path.rpartition('.')[2]}"
    found: dict[str, Any] = json.loads(files.note(path, kind, note))
    return found


def plain_command(start: Start) -> Command:
    """Return the command for what runs in a Python process of its own."""
    return Command((start.python, "-s", *start.program), start.variables)
