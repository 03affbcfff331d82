"""What is special about a language: how its sources are read, and how its process is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Start:
    """What is known when the process of a step is about to start.

    `document` is `model.json`; `step` is `train`, `evaluate` or `score`; `python` is the
    environment's interpreter; `program` is run_step.py with its two files; `work` is the step's
    working directory; `variables` are those of the process.  All paths are absolute.
    """

    document: Mapping[str, Any]
    step: str
    python: str
    program: tuple[str, ...]
    work: str
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Command:
    """A command line, and the variables that it runs with.

    `trusted` are folders outside the environment that code may come from, since their version
    counts for the result.  `direct` is whether the command is the model's process, and not what
    starts that.
    """

    words: tuple[str, ...]
    variables: Mapping[str, str]
    trusted: tuple[str, ...] = ()
    direct: bool = True


def plain_command(start: Start) -> Command:
    """Return the command for what runs in a Python process of its own."""
    return Command((start.python, "-s", *start.program), start.variables)
