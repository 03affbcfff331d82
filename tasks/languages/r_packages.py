"""The packages of R that a model needs: from the system's libraries, else from CRAN.

`requirements.R` names them.  One that the R which is installed has is used from there; its version
counts as it is now, as that of the interpreter does.  Another is locked with version and digest,
and installed into a library inside the model's environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.errors import UserError
from tasks.languages import r_cran, r_home, r_source
from tasks.languages.r_source import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tasks.languages.r_home import R
    from tasks.model import Model
    from tasks.state import State

LIBRARY = "lib/R"
"""The environment's own library, inside its folder."""

_LINE = re.compile(r"(\S+) (\S+) (?:\(system\)|sha256:([0-9a-f]{64}))")
_CHECK = "for (name in commandArgs(TRUE)) loadNamespace(name)"
_LOG_LINES = 15


@dataclass
class _Resolution:
    """What is being locked: `lines` by package, in an order in which they can be installed."""

    model: Model
    r: R
    state: State
    cache: str
    kept: Mapping[str, str]
    say: Callable[[str], None]
    lines: dict[str, str] = field(default_factory=dict)

    def add(self, wanted: Wanted, least: str = "", needed_by: str = "") -> None:
        """Lock a package and, before it, those that it needs.  Raises UserError without one."""
        name = wanted.name
        if name in self.lines or name == "R":
            return
        there = r_home.package(name, self.r.libraries, self.state)
        if there and wanted.version in ("", there.version) and r_home.at_least(there.version, least):
            if not there.base:
                self.lines[name] = f"{name} {there.version} (system)"
            return
        self.say(f"fetching the R package {name}")
        try:
            version, source = self._fetch(wanted, least)
        except r_cran.NotToBeHad as error:
            raise _missing(self.model, wanted, needed_by, str(error)) from error
        for other, at_least in source.needs:
            self.add(wanted._replace(name=other, version=""), at_least, name)
        self.lines[name] = f"{name} {version} sha256:{source.sha256}"

    def _fetch(self, wanted: Wanted, least: str) -> tuple[str, r_cran.Source]:
        """Return the version that is asked for, else that of the lock before, else the newest."""
        before = self.kept.get(wanted.name, "")
        if not wanted.version and before and r_home.at_least(before, least):
            try:
                return before, r_cran.fetch(wanted.name, before, self.cache)
            except r_cran.NotToBeHad:
                pass  # it is there no more
        version = wanted.version or r_cran.newest(wanted.name, self.r.version)
        return version, r_cran.fetch(wanted.name, version, self.cache)


def lock(
    model: Model, kept: Sequence[str], state: State, cache: str, say: Callable[[str], None]
) -> tuple[str, ...]:
    """Return a line for each package that `requirements.R` asks for, and for what those need.

    Versions from CRAN stay as they are in the lines of an older lock, `kept`, where they can.
    Raises UserError where a package is not to be had.
    """
    r = r_home.find(model.name, state)
    versions = {name: version for name, (version, digest) in _parsed(kept).items() if digest}
    resolution = _Resolution(model, r, state, cache, versions, say)
    for wanted in asked(model, state):
        resolution.add(wanted)
    return tuple(resolution.lines.values())


def identity(model: Model, lines: Sequence[str], state: State) -> dict[str, str] | None:
    """Return each package that a result depends on, with its version.

    Those of the system are followed to all that they need, and so is what the model's sources
    load though `requirements.R` does not name it.  None where the lines do not answer what is
    asked for.
    """
    r = r_home.find(model.name, state)
    locked = _parsed(lines)
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


def _installed(
    names: Iterable[str], own: Mapping[str, str], r: R, state: State
) -> dict[str, str]:
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
    path = _path(model)
    return _wanted(path, state) if state.files.exists(path) else []


def _loaded(model: Model, state: State) -> list[str]:
    """Return the packages that the model's sources name."""
    folder = os.path.dirname(_path(model))
    sources = [f"{folder}/{name}" for name in model.sources if name.endswith(".R")]
    return [wanted.name for path in sources for wanted in _wanted(path, state)]


def _path(model: Model) -> str:
    return f"{model.root}/model_modules/requirements.R"


def _parsed(lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return version and digest by package; an empty digest for one of the system."""
    found = (match for line in lines if (match := _LINE.fullmatch(line)))
    return {match[1]: (match[2], match[3] or "") for match in found}


def _wanted(path: str, state: State) -> list[Wanted]:
    try:
        found = json.loads(state.files.note(path, "R packages 1", _read))
    except OSError as error:
        raise UserError(f"`{path}` cannot be read", ("reason", error)) from error
    return [Wanted(*one) for one in found]


def _read(data: bytes) -> str:
    return json.dumps(r_source.packages(data))


def install(model: Model, lines: Sequence[str], state: State, cache: str, folder: str) -> None:
    """Install what is locked into the library of the environment in `folder`, and load it all.

    Raises UserError where that fails: R itself only warns.
    """
    locked = _parsed(lines)
    if not locked:
        return
    r = r_home.find(model.name, state)
    library = os.path.join(folder, LIBRARY)
    os.makedirs(library)
    variables = r_home.process_variables(r, library, os.environ)
    for name, (version, digest) in locked.items():
        if digest:
            line = next((one.line for one in asked(model, state) if one.name == name), 1)
            source = _fetched(model, Wanted(name, line, version), digest, cache)
            _run(model, [r.program, "CMD", "INSTALL", "--no-docs", source.path], variables)
    check = [r.program, "--vanilla", "--no-echo", "-e", _CHECK, "--args", *locked]
    _run(model, check, variables)


def _fetched(model: Model, wanted: Wanted, digest: str, cache: str) -> r_cran.Source:
    try:
        return r_cran.fetch(wanted.name, wanted.version, cache, digest)
    except r_cran.NotToBeHad as error:
        raise _missing(model, wanted, "", str(error)) from error


def _run(model: Model, command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run R to its end.  Raises UserError, with the end of what it says, where it fails."""
    done = subprocess.run(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(
            f"The R packages of model `{model.name}` cannot be installed",
            ("file", _path(model)),
            ("R says", "\n".join(done.stdout.strip().splitlines()[-_LOG_LINES:])),
            hint=f"what is compiled needs `{r_home.APT} r-base-dev`; Debian has many packages"
            " ready to use, as `r-cran-NAME`",
        )


def _missing(model: Model, wanted: Wanted, needed_by: str, reason: str) -> UserError:
    return UserError(
        f"Model `{model.name}` needs the R package `{wanted.name}`, which is not installed and"
        " cannot be fetched",
        ("file", f"{_path(model)}:{wanted.line}"),
        *([("version", wanted.version)] if wanted.version else []),
        *([("needed by", needed_by)] if needed_by else []),
        ("reason", reason),
        hint=f"`{r_home.APT} r-cran-{wanted.name.lower()}`, or set `R_REPOS` to the address of a"
        " repository that has it",
    )
