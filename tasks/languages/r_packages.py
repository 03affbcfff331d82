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
from typing import TYPE_CHECKING

from tasks.errors import UserError
from tasks.languages import r_home, r_source
from tasks.languages.r_source import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.languages.r_home import R
    from tasks.model import Model
    from tasks.state import State

_LINE = re.compile(r"(\S+) (\S+) (?:\(system\)|sha256:([0-9a-f]{64}))")


def identity(model: Model, lines: Sequence[str], state: State) -> dict[str, str] | None:
    """Return each package that a result depends on, with its version.

    Those of the system are followed to all that they need, and so is what the model's sources
    load though `requirements.R` does not name it.  None where the lines do not answer what is
    asked for.
    """
    r = r_home.find(model.name, state)
    locked = parsed(lines)
    own = {name: f"{version} sha256:{of}" for name, (version, of) in locked.items() if of}
    for wanted in asked(model, state):
        there = r_home.package(wanted.name, r.libraries, state)
        version = locked.get(wanted.name, ("", ""))[0] if wanted.name in own else ""
        version = version or (there.version if there else "")
        listed = wanted.name in locked or (there is not None and there.base)
        if not listed or not version or wanted.version not in ("", version):
            return None
    system = [name for name in locked if name not in own]
    found = _installed([*system, *_loaded(model, state)], own, r, state)
    if any(name not in found for name in system):
        return None
    return {f"R package {name}": of for name, of in sorted({**found, **own}.items())}


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


def parsed(lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return version and digest by package; an empty digest for one of the system."""
    found = (match for line in lines if (match := _LINE.fullmatch(line)))
    return {match[1]: (match[2], match[3] or "") for match in found}


def _wanted(path: str, state: State) -> list[Wanted]:
    """Return what a source asks for, worked out once for each content of it."""
    try:
        key = f"R packages 1 {state.files.digest(path)}"
        found = state.recall(key)
        if found is None:
            found = json.dumps(r_source.packages(Path(path).read_bytes()))
            state.remember(key, found)
    except OSError as error:
        raise UserError(f"`{path}` cannot be read", ("reason", error)) from error
    return [Wanted(*one) for one in json.loads(found)]
