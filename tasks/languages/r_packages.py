"""The packages of R that a model asks for, and which of them a result depends on.

`requirements.R` names them.  One that the R which is installed has is used from there; its version
counts as it is now, as that of the interpreter does.  Another is locked with version and digest,
and installed into a library inside the model's environment (`r_library`).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import UserError
from tasks.languages import r_home, r_source
from tasks.languages.r_source import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.languages.r_home import R
    from tasks.model import Model
    from tasks.state import State

_LINE = re.compile(r"(\S+) (\S+) (?:\(system\)|sha256:([0-9a-f]{64}))(?: for (\S+))?")


class Locked(NamedTuple):
    """A package as it stands in a lock: `digest` is empty for one of the system.

    `needed_by` is empty for one that the model itself asks for.
    """

    name: str
    version: str
    digest: str = ""
    needed_by: str = ""

    def __str__(self) -> str:
        """Return the line."""
        source = f"sha256:{self.digest}" if self.digest else "(system)"
        return f"{self.name} {self.version} {source}" + (
            f" for {self.needed_by}" if self.needed_by else ""
        )


def parsed(lines: Sequence[str]) -> list[Locked]:
    """Return the packages of a lock, in an order in which they can be installed."""
    found = (_LINE.fullmatch(line) for line in lines)
    return [Locked(*(part or "" for part in match.groups())) for match in found if match]


def identity(model: Model, lines: Sequence[str], state: State) -> dict[str, str] | None:
    """Return each package that a result depends on, with its version.

    Those of the system are followed to all that they need, and so is what the model's sources
    load though `requirements.R` does not name it.  None where the lines do not answer what is
    asked for.
    """
    r = r_home.find(model.name, state)
    locked = parsed(lines)
    own = {one.name: f"{one.version} sha256:{one.digest}" for one in locked if one.digest}
    system = [one.name for one in locked if not one.digest]
    found = _installed([*system, *_loaded(model, state)], own, r, state)
    versions = {one.name: one.version for one in locked} | found
    wanted = {one.name: one.version for one in asked(model, state) if not _is_base(one, r, state)}
    if wanted.keys() != {one.name for one in locked if not one.needed_by}:
        return None
    if any(version not in ("", versions[name]) for name, version in wanted.items()):
        return None
    if any(name not in found for name in system):
        return None
    return {f"R package {name}": of for name, of in sorted({**found, **own}.items())}


def _is_base(wanted: Wanted, r: R, state: State) -> bool:
    there = r_home.package(wanted.name, r.libraries, state)
    return there is not None and there.base


def _installed(names: Iterable[str], own: Mapping[str, str], r: R, state: State) -> dict[str, str]:
    """Return the version of each package of the system, and of those that it needs."""
    found: dict[str, str] = {}
    waiting = [name for name in names if name not in own]
    while waiting:
        there = r_home.package(waiting.pop(), r.libraries, state)
        if there is None or there.base or there.name in found:
            continue
        found[there.name] = there.version
        waiting += [name for name, _ in there.needs if name not in own]
    return found


def asked(model: Model, state: State) -> list[Wanted]:
    """Return the packages that `requirements.R` names."""
    path = path_of(model)
    return _wanted(path, state) if state.files.exists(path) else []


def _loaded(model: Model, state: State) -> list[str]:
    """Return the packages that the model's sources name."""
    folder = os.path.dirname(path_of(model))
    sources = [f"{folder}/{name}" for name in model.sources if name.endswith(".R")]
    return [wanted.name for path in sources for wanted in _wanted(path, state)]


def path_of(model: Model) -> str:
    """Return where a model says which packages it needs."""
    return f"{model.root}/model_modules/requirements.R"


def _wanted(path: str, state: State) -> list[Wanted]:
    """Return what a source asks for, worked out once for each content of it."""
    try:
        key = f"R packages 1 {state.files.digest(path)}"
        found = state.recall(key)
        if found is None:
            found = json.dumps(r_source.packages(Path(path).read_bytes()))
            state.remember(key, found)
    except OSError as error:
        hint = "see that it is a file, and that you may read it"
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=hint) from error
    return [Wanted(*one) for one in json.loads(found)]
