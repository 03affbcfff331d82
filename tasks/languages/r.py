"""R: models run in a Python process that R is loaded into, through rpy2."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tasks.languages import Command, r_home, r_packages, r_source
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from tasks.languages import Start
    from tasks.model import Model
    from tasks.state import State

NEWER_R = "4.5"
"""The R from which on rpy2 3.6 is needed, and before which it does not load."""

read_source = r_source.read_source
library_identity = r_packages.identity


def requirements(model: Model, state: State, _named: AbstractSet[str]) -> tuple[str, ...]:
    """Return what the environment needs besides: the rpy2 for the R that is installed."""
    version = r_home.find(model.name, state).version
    return ("rpy2>=3.6" if r_home.at_least(version, NEWER_R) else "rpy2==3.5.17",)


def tools(model: Model, state: State) -> dict[str, str]:
    """Return the version of R."""
    return {"R": r_home.find(model.name, state).version}


def command(start: Start) -> Command:
    """Return the command: what R reads at its start is set by variables."""
    r = r_home.find("", open_state())
    folder = os.path.dirname(os.path.dirname(start.python))
    library = os.path.join(folder, r_home.LIBRARY)
    variables = r_home.process_variables(r, library, start.variables)
    return Command((start.python, "-s", *start.program), variables)


def lock_library(
    model: Model, kept: Sequence[str], state: State, cache: str, say: Callable[[str], None]
) -> tuple[str, ...]:
    """Return the lines of a lock for the packages of R, see `Library`."""
    from tasks.languages import r_library  # noqa: PLC0415 - slow to import, seldom needed

    return r_library.lock(model, kept, state, cache, say)


def install_library(
    model: Model, lines: Sequence[str], state: State, cache: str, folder: str
) -> None:
    """Install the packages of R into an environment, see `Library`."""
    from tasks.languages import r_library  # noqa: PLC0415 - slow to import, seldom needed

    r_library.install(model, lines, state, cache, folder)
