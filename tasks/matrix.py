"""The versions that each framework promises, and a copy of the repository for each combination.

`[versions]` of `envs/<framework>.toml` lists versions of Python and of packages, the oldest first.
For every combination of them nox has a session, which works in `build/matrix/<combination>/`: a
copy of this repository in which the framework's models ask for just these versions.  Environments
are shared as ever; the repository's own locks and results are not touched, and those of the copy
are kept, so that the next time only what changed runs.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from tasks import discover, frameworks, plan
from tasks.environments import build, lock_file
from tasks.environments.corrections import normal
from tasks.environments.interpreters import allowed, installed, specifier
from tasks.environments.requirements import ANY_PYTHON
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.frameworks import Framework
    from tasks.model import Model
    from tasks.state import State

FOLDER = f"{plan.BUILD}/matrix"
REQUIREMENTS = f"{PACKAGE}/requirements.txt"

VARIABLES = {"master": "MODEL_SPARK_MASTER"}
"""What can be listed besides versions: the variable that says it to the runner."""

_BUILDS = ("", "-cpu", "-gpu")  # of one package, under names of their own


@dataclass(frozen=True)
class Combination:
    """One version of each thing that a framework lists; `newest` is that of the last of each."""

    framework: str
    versions: Mapping[str, str]
    newest: bool

    @property
    def name(self) -> str:
        """What stands in a command and names the copy's folder: `python-3.13-xgboost-3`."""
        words = [self.framework]
        for key, version in self.versions.items():
            plain = re.sub(r"[^\w.]+", "-", version.replace(".*", "")).strip("-")
            words.append(plain if key == self.framework else f"{key}-{plain}")
        return "-".join(words)

    @property
    def told(self) -> str:
        """What an error calls it: `Python 3.13, xgboost 3.*`."""
        return ", ".join(f"{k.replace('python', 'Python')} {v}" for k, v in self.versions.items())

    @property
    def tags(self) -> list[str]:
        """What `nox --tags` finds it by."""
        found = [self.framework, *self.versions, *(["newest"] if self.newest else [])]
        return list(dict.fromkeys(found))

    @property
    def folder(self) -> str:
        """Where the copy of the repository is."""
        return f"{FOLDER}/{self.name}"

    @property
    def on_cluster(self) -> bool:
        """Whether its steps run on a cluster of Spark's own, which nox starts for them."""
        return self.versions.get("master") == "standalone"

    @property
    def packages(self) -> dict[str, str]:
        """The versions of packages among the versions."""
        return {k: v for k, v in self.versions.items() if k not in ("python", *VARIABLES)}

    @property
    def variables(self) -> dict[str, str]:
        """The variables that its steps run with; whoever starts a cluster tells its address."""
        told = () if self.on_cluster else VARIABLES.keys() & self.versions.keys()
        return {VARIABLES[key]: self.versions[key] for key in told}


def combinations() -> list[Combination]:
    """Return every combination of what the frameworks list, one for a framework with no list."""
    found, files = [], Files()
    for name in frameworks.names():
        versions = frameworks.read(name, files).versions
        newest = tuple(listed[-1] for listed in versions.values())
        for chosen in itertools.product(*versions.values()):
            pairs = dict(zip(versions, chosen, strict=True))
            found.append(Combination(name, pairs, chosen == newest))
    return found


class NotHere(UserError):
    """A combination for which there is no model, or no Python, or no R, on this machine."""


def lay_out(combination: Combination, state: State) -> list[str]:
    """Make the copy of the repository for a combination, and return the models to build in it.

    Raises NotHere where there is none that can be built, UserError where the list is wrong.
    """
    framework = frameworks.read(combination.framework, state.files)
    models = _models(combination, framework, state)
    _copy(combination.folder, [lock_file.lock_path(model) for model in models])
    python = combination.versions.get("python")
    packages = combination.packages
    used: set[str] = set()
    for model in models:
        used |= _ask_for(model, framework, packages, combination.folder)
        if python:
            _set_python(f"{combination.folder}/{model.folder}/model.json", python)
    unused = packages.keys() - used
    if unused:
        raise UserError(
            f"No model of framework `{framework.name}` asks for `{min(unused)}`",
            ("file", framework.path),
            hint="take it out of `[versions]`: its versions promise nothing",
        )
    return [model.name for model in models]


def interpreter(name: str, state: State) -> str:
    """Return the interpreter of a model's environment, for the working directory's repository."""
    model = plan.find_model(name, discover.discover(state.files))
    environment = build.find(model, state)
    if environment is None:
        raise UserError(f"Model `{name}` has no environment", hint=f"`doit env:{name}` makes it")
    return environment.python


def _models(combination: Combination, framework: Framework, state: State) -> list[Model]:
    """Return the framework's models that may be run on the combination's Python, which is here."""
    models = [one for one in discover.discover(state.files) if one.framework == framework.name]
    python = combination.versions.get("python", "")
    fitting = [one for one in models if not python or _allows(one, framework, python)]
    fitting = [one for one in fitting if not _leaves_out(one, combination.packages)]
    if not models:
        raise NotHere(f"No model is of framework `{framework.name}`")
    if not fitting:
        raise NotHere(f"No model of framework `{framework.name}` allows {combination.told}")
    if python and not allowed(python, installed(state)):
        raise NotHere(f"Python {python} is not installed")
    try:
        frameworks.language(fitting[0]).tools(fitting[0], state)
    except UserError as error:
        raise NotHere(error.headline, *error.facts, hint=error.hint) from error
    return fitting


def _allows(model: Model, framework: Framework, python: str) -> bool:
    """Return whether a model may be run on a minor version of Python."""
    text = str(model.document.get("python") or framework.python or ANY_PYTHON)
    return specifier(text).contains(f"{python}.0")


def _leaves_out(model: Model, packages: Mapping[str, str]) -> bool:
    """Return whether a range in a model's requirements has no such version; a pin is replaced."""
    for line in _lines(Path(model.root)):
        requirement = _requirement(line)
        key = _package(requirement, packages) if requirement else ""
        if requirement and key and not _meet(requirement.specifier, _versions(packages[key])):
            return True
    return False


def _meet(own: SpecifierSet, other: SpecifierSet) -> bool:
    """Return whether some version is in both: if one is, it is so at an end of one of the two."""
    if any(one.operator in ("==", "===") for one in own):
        return True
    ends = [one.version.removesuffix(".*") for one in [*own, *other]]
    both = own & other
    return any(both.contains(f"{end}{more}") for end in ends for more in ("", ".9999"))


def _copy(folder: str, own_locks: Sequence[str]) -> None:
    """Copy the repository into a folder of its own.

    What was built there is kept, and so are the locks that were made there, which never come from
    the repository.
    """

    def left_out(place: str, names: list[str]) -> set[str]:
        if place == ".":
            return {name for name in names if name.startswith(".")} | {plan.BUILD}
        there = {os.path.normpath(f"{place}/{name}"): name for name in names}
        return {"__pycache__", *(there[lock] for lock in own_locks if lock in there)}

    fresh = f"{folder}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(".", fresh, symlinks=True, ignore=left_out)
    for kept in (plan.BUILD, *own_locks):
        if os.path.exists(f"{folder}/{kept}"):
            os.renames(f"{folder}/{kept}", f"{fresh}/{kept}")
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(fresh, folder)


def _set_python(path: str, python: str) -> None:
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    document["python"] = python
    Path(path).write_text(json.dumps(document, indent=4), encoding="utf-8")


def _ask_for(
    model: Model, framework: Framework, packages: Mapping[str, str], folder: str
) -> set[str]:
    """Have a model's requirements ask for just these versions; return the packages of them."""
    root = Path(folder, model.root)
    pinned, used = pin(_lines(root), framework.requirements, packages)
    if used:
        (root / REQUIREMENTS).write_text("\n".join([*pinned, ""]), encoding="utf-8")
    return used


def _lines(root: Path) -> list[str]:
    path = root / REQUIREMENTS
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def pin(
    lines: Iterable[str], more: Iterable[str], packages: Mapping[str, str]
) -> tuple[list[str], set[str]]:
    """Return the lines of a requirements.txt, asking for just these versions of the packages.

    One that `more` (what the framework adds) asks for gets a line, so that the model names it
    itself.  Returned as well are those packages that are asked for at all.
    """
    pinned, named, used = [], set(), set()
    for line, own in [*((line, True) for line in lines), *((line, False) for line in more)]:
        requirement = _requirement(line)
        key = _package(requirement, packages) if requirement else ""
        if requirement and key and (own or requirement.name not in named):
            requirement.specifier = _versions(packages[key])
            named.add(requirement.name)
            used.add(key)
            pinned.append(str(requirement))
        elif own:
            pinned.append(line)
    return pinned, used


def _versions(text: str) -> SpecifierSet:
    return SpecifierSet(text if text[0] in "<>=~!" else f"=={text}")


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(re.sub(r"(^|\s)#.*", "", line))
    except InvalidRequirement:
        return None


def _package(requirement: Requirement, packages: Mapping[str, str]) -> str:
    """Return which of the packages it asks for; `xgboost-cpu` is a build of `xgboost`."""
    name = normal(requirement.name)
    return next((key for key in packages for end in _BUILDS if name == f"{key}{end}"), "")
