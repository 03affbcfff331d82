"""Lock the packages of R that a model needs, and install those that the system does not have."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.errors import UserError
from tasks.languages import r_cran, r_home
from tasks.languages.r_packages import Locked, asked, parsed, path_of
from tasks.languages.r_source import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.languages.r_cran import Source
    from tasks.languages.r_home import R
    from tasks.model import Model
    from tasks.state import State

_CHECK = "for (name in commandArgs(TRUE)) loadNamespace(name)"
_LOG_LINES = 15


@dataclass
class _Resolution:
    """What is being locked: packages by name, in an order in which they can be installed."""

    model: Model
    r: R
    state: State
    cache: str
    kept: Mapping[str, str]
    say: Callable[[str], None]
    roots: frozenset[str]
    locked: dict[str, Locked] = field(default_factory=dict)

    def add(self, wanted: Wanted, least: str = "", needed_by: str = "") -> None:
        """Lock a package and, before it, those that it needs.  Raises UserError without one."""
        name = wanted.name
        if name in self.locked or name == "R":
            return
        there = r_home.package(name, self.r.libraries, self.state)
        if there and there.base:
            return
        if there and _answers(there.version, wanted.version, least):
            self._note(Locked(name, there.version), needed_by)
            return
        self.say(f"fetching the R package {name}")
        try:
            version, source = self._fetch(wanted, least)
        except r_cran.NotToBeHad as error:
            raise _missing(self.model, wanted, needed_by, str(error)) from error
        for other, at_least in source.needs:
            self.add(wanted._replace(name=other, version=""), at_least, name)
        self._note(Locked(name, version, source.sha256), needed_by)

    def _note(self, package: Locked, needed_by: str) -> None:
        needed_by = "" if package.name in self.roots else needed_by
        self.locked[package.name] = package._replace(needed_by=needed_by)

    def _fetch(self, wanted: Wanted, least: str) -> tuple[str, Source]:
        """Return the version that is asked for, else that of the lock before, else the newest."""
        before = self.kept.get(wanted.name, "")
        if before and _answers(before, wanted.version, least):
            try:
                return before, r_cran.fetch(wanted.name, before, self.cache)
            except r_cran.NotToBeHad:
                pass  # it is there no more
        version = wanted.version or r_cran.newest(wanted.name, self.r.version)
        return version, r_cran.fetch(wanted.name, version, self.cache)


def _answers(version: str, asked_for: str, least: str) -> bool:
    return asked_for in ("", version) and r_home.at_least(version, least)


def lock(
    model: Model, kept: Sequence[str], state: State, cache: str, say: Callable[[str], None]
) -> tuple[str, ...]:
    """Return a line for each package that `requirements.R` asks for, and for what those need.

    Versions from CRAN stay as they are in the lines of an older lock, `kept`, where they can.
    Raises UserError where a package is not to be had.
    """
    r = r_home.find(model.name, state)
    versions = {one.name: one.version for one in parsed(kept) if one.digest}
    roots = asked(model, state)
    names = frozenset(wanted.name for wanted in roots)
    resolution = _Resolution(model, r, state, cache, versions, say, names)
    for wanted in roots:
        resolution.add(wanted)
    return tuple(map(str, resolution.locked.values()))


def install(model: Model, lines: Sequence[str], state: State, cache: str, folder: str) -> None:
    """Install what is locked into the library of the environment in `folder`, and load it all.

    Raises UserError where that fails: R itself only warns.
    """
    locked = parsed(lines)
    if not locked:
        return
    r = r_home.find(model.name, state)
    library = os.path.join(folder, r_home.LIBRARY)
    os.makedirs(library)
    variables = r_home.process_variables(r, library, os.environ)
    asked_in = {one.name: one.line for one in asked(model, state)}
    for one in locked:
        if one.digest:
            wanted = Wanted(one.name, asked_in.get(one.needed_by or one.name, 1), one.version)
            source = _fetched(model, wanted, one, cache)
            _run(model, [r.program, "CMD", "INSTALL", "--no-docs", source.path], variables)
    check = [r.program, "--vanilla", "--no-echo", "-e", _CHECK, "--args"]
    _run(model, [*check, *(one.name for one in locked)], variables)


def _fetched(model: Model, wanted: Wanted, locked: Locked, cache: str) -> Source:
    try:
        return r_cran.fetch(locked.name, locked.version, cache, locked.digest)
    except r_cran.NotToBeHad as error:
        raise _missing(model, wanted, locked.needed_by, str(error)) from error


def _run(model: Model, command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Run R to its end.  Raises UserError, with the end of what it says, where it fails."""
    done = subprocess.run(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(
            f"The R packages of model `{model.name}` cannot be installed",
            ("file", path_of(model)),
            ("R says", "\n".join(done.stdout.strip().splitlines()[-_LOG_LINES:])),
            hint=f"what is compiled needs `{r_home.APT} r-base-dev`; Debian has many packages"
            " ready to use, as `r-cran-NAME`",
        )


def _missing(model: Model, wanted: Wanted, needed_by: str, reason: str) -> UserError:
    return UserError(
        f"Model `{model.name}` needs the R package `{wanted.name}`, which is not installed and"
        " cannot be fetched",
        ("file", f"{path_of(model)}:{wanted.line}"),
        *([("version", wanted.version)] if wanted.version else []),
        *([("needed by", needed_by)] if needed_by else []),
        ("reason", reason),
        hint=f"`{r_home.APT} r-cran-{wanted.name.lower()}`, or set `R_REPOS` to the address of a"
        " repository that has it",
    )
