"""Build environments: one for each lock and interpreter, shared, and never half-made."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import frameworks
from tasks.datasets import cache_folder
from tasks.environments import contents, lock_file, locks, uv
from tasks.environments.corrections import BUILT_WITH, normal
from tasks.environments.requirements import package_digest, package_files, read
from tasks.errors import UserError
from tasks.fingerprint import Files, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.environments.interpreters import Interpreter
    from tasks.environments.lock_file import Lock
    from tasks.environments.requirements import Package, Requirements
    from tasks.model import Model
    from tasks.state import State

FORMAT = 2


@dataclass(frozen=True)
class Environment:
    """An environment that a model's lock stands for, built or not.

    `identity` is what of it counts for a result, `variables` are for the processes of its models,
    `folder` is where it is built on this machine.
    """

    model: Model
    requirements: Requirements
    lock: Lock | None
    interpreter: Interpreter
    identity: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The folder in the cache of this machine, named by the digest of all that is in it."""
        parts = {"format": FORMAT, "base": self.interpreter.path, **self.identity}
        return os.path.join(cache_folder(), "environments", canonical("environment", parts)[:32])

    @property
    def python(self) -> str:
        """The interpreter inside."""
        return os.path.join(self.folder, "bin", "python")

    @property
    def built(self) -> bool:
        """Whether it is there, whole: its description is written before it gets its name."""
        description = os.path.join(self.folder, contents.FILE)
        return os.path.exists(description) and os.path.exists(self.python)

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages inside, by name.  Raises ValueError if damaged."""
        return dict(contents.described(self.folder)["packages"])


def find(model: Model, state: State) -> Environment | None:
    """Return a model's environment as its lock says; None where there is no lock that fits.

    Nothing is run or built but a look at the interpreters that are new.  Raises UserError where
    the requirements cannot be read.
    """
    requirements = read(model, state)
    lock = locks.fitting(model, requirements, state)
    if lock is None and not requirements.empty:
        return None
    interpreter = locks.choose(lock, requirements, state)
    if interpreter is None:
        return None
    identity = {"python": interpreter.description}
    if lock:
        identity["lock"] = lock.digest
        if requirements.building:
            identity["options"] = canonical("options", requirements.building)
    identity |= frameworks.language(model).tools(model, state)
    identity |= locks.library_identity(model, lock, state) or {}
    for package in requirements.packages:
        identity[f"package {package.path}"] = package_digest(package.path, state.files)
        if package.marker:  # by which it may be left out
            identity[f"marker of package {package.path}"] = package.marker
    variables = frameworks.read(model.framework, state.files).variables
    return Environment(model, requirements, lock, interpreter, identity, variables)


def is_built(model: Model, state: State) -> bool:
    """Return whether a model's environment is there already."""
    try:
        environment = find(model, state)
    except UserError:
        return False
    return environment is not None and environment.built


def ensure(
    model: Model, state: State, say: Callable[[str], None], alert: Callable[[str], None]
) -> Environment:
    """Return a model's environment, locked and built, doing what is missing.

    Its files are looked at anew.  `alert` is told where a damaged lock was made anew.  Raises
    UserError where requirements cannot be resolved or installed, or no Python fits.
    """
    state.files.forget([*_read_files(model, state)])
    requirements = read(model, state)
    if not requirements.empty and not locks.fitting(model, requirements, state):
        damaged = lock_file.is_damaged(model, state.files)
        locks.make_lock(model, state, say=say, upgrade=False)
        if damaged:
            path = lock_file.lock_path(model)
            alert(f"`{path}` was not whole and was made anew: compare it with what Git has")
    environment = find(model, state)
    if environment is None:
        lock = lock_file.read_lock(model, state.files)
        raise locks.no_python(model, lock, requirements, state)
    if not environment.built:
        _build(environment, state, say)
    check_unaltered(environment)
    return environment


def check_unaltered(environment: Environment) -> None:
    """Raise UserError for an environment that is not as it was built."""
    altered = contents.altered(environment.folder)
    if altered:
        raise UserError(
            f"The environment of model `{environment.model.name}` is not as it was built",
            ("folder", environment.folder),
            ("altered", altered),
            hint="remove the folder and run `doit` again; if a package was edited in it, run"
            " `uv cache clean` as well, which shares files with it; what a step installs belongs in"
            " the requirements",
        )


def _read_files(model: Model, state: State) -> Iterator[str]:
    """Yield the files that decide a model's environment."""
    requirements = read(model, state)
    yield from requirements.files
    yield lock_file.lock_path(model)
    for package in requirements.packages:
        for name in package_files(package.path):
            yield f"{package.path}/{name}".rstrip("/")


def _build(environment: Environment, state: State, say: Callable[[str], None]) -> None:
    """Build in a temporary folder beside the final one, then rename; others wait meanwhile."""
    folder = environment.folder
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with open(f"{folder}.held", "w", encoding="utf-8") as held:
            say("waiting for another build of the same environment")
            fcntl.flock(held, fcntl.LOCK_EX)
            if not environment.built:
                _build_alone(environment, state, say)
    except OSError as error:
        raise UserError(
            f"The environment of model `{environment.model.name}` cannot be built",
            ("folder", folder),
            ("reason", error),
            hint="`MODEL_CACHE` names another folder for environments and data",
        ) from error


def _build_alone(environment: Environment, state: State, say: Callable[[str], None]) -> None:
    """Build, while nobody else does.

    What lies at either place was left by a build that was killed.  Its uv may have outlived it and
    still write, so the temporary folder has a name of its own each time.
    """
    folder = environment.folder
    for left in (folder, *glob.glob(f"{glob.escape(folder)}.making-*")):
        shutil.rmtree(left, ignore_errors=True)
    making = f"{folder}.making-{os.urandom(16).hex()}"
    try:
        _install(environment, making, state, say)
        _sync(making)
        os.rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _sync(folder: str) -> None:
    """Make all that was written there reach the disk: its name must not get there first."""
    with contextlib.suppress(OSError):
        if subprocess.run(["sync", "-f", folder], check=False).returncode == 0:
            return
    os.sync()


def _install(
    environment: Environment, folder: str, state: State, say: Callable[[str], None]
) -> None:
    interpreter, lock = environment.interpreter, environment.lock
    say(f"making an environment with Python {interpreter.version}")
    options = ("--relocatable", "--no-project", "--python", interpreter.path)
    answer = uv.run("venv", *options, folder)
    if not answer.ok:
        raise _failed(environment, answer, None)
    if lock:
        _install_pins(environment, lock.pins, folder, say)
    packages = _installed(folder)
    for package in environment.requirements.packages:
        say(f"installing {package.path}")
        _install_package(environment, package, folder)
        now = _installed(folder)
        packages |= {name: f"{now[name]} from {package.path}" for name in now.keys() - packages}
    library = frameworks.language(environment.model).library
    if library and lock:
        say(f"installing its {library.kind}s")
        library.install(environment.model, lock.library, state, cache_folder(), folder)
    contents.write(folder, {"format": FORMAT, **environment.identity, "packages": packages})


def _install_pins(
    environment: Environment, pins: str, folder: str, say: Callable[[str], None]
) -> None:
    """Install what is locked: by hash, or by the commit where it comes from a Git repository."""
    entries = re.split(r"\n(?=\S)", pins) if pins else []
    commits = [entry for entry in entries if re.search(r"\bgit\+\S+@[0-9a-f]{40}", entry)]
    hashed = [entry for entry in entries if entry not in commits]
    say(f"installing {len(entries)} packages")
    limits = os.path.join(folder, "build.txt")
    Path(limits).write_text("\n".join(BUILT_WITH), encoding="utf-8")
    for chosen, options in ((hashed, ["--require-hashes"]), (commits, [])):
        if chosen:
            _pip_install(environment, folder, chosen, *options, "--build-constraints", limits)


def _install_package(environment: Environment, package: Package, folder: str) -> None:
    """Install a package of this repository from a copy, so that its build leaves nothing behind.

    Raises UserError where the copy is not what the environment is named for.
    """
    copy = os.path.join(folder, ".source", os.path.basename(package.path))
    for name in package_files(package.path):
        target = os.path.join(copy, name).rstrip("/")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(package.path, name).rstrip("/"), target)
    if package_digest(copy, Files()) != environment.identity[f"package {package.path}"]:
        raise UserError(
            f"Package `{package.path}` changed while it was installed", hint="run `doit` again"
        )
    options = ["--no-sources"]
    if environment.lock and environment.lock.build_pins:
        constraints = os.path.join(folder, "build.txt")
        Path(constraints).write_text(environment.lock.build_pins, encoding="utf-8")
        options += ["--build-constraints", constraints, "--require-build-hashes"]
    _pip_install(environment, folder, [package.requirement(copy)], *options, package=package)
    shutil.rmtree(os.path.join(folder, ".source"))


def _pip_install(
    environment: Environment,
    folder: str,
    entries: list[str],
    *options: str,
    package: Package | None = None,
) -> None:
    """Install entries as they are, from uv's cache if all is there: that needs no index."""
    path = os.path.join(folder, "requirements.txt")
    lines = [*environment.requirements.for_uv(), *entries, ""]
    Path(path).write_text("\n".join(lines), encoding="utf-8")
    python = os.path.join(folder, "bin", "python")
    command = ("pip", "install", "--python", python, "--no-deps", *options, "--requirement", path)
    if uv.run("--offline", *command).ok:
        return
    answer = uv.run(*command)
    if not answer.ok:
        raise _failed(environment, answer, package)


def _installed(folder: str) -> dict[str, str]:
    """Return the versions of what is installed, by name."""
    found = glob.glob(f"{glob.escape(folder)}/lib/python3*/site-packages/*.dist-info")
    names = (os.path.basename(path).removesuffix(".dist-info").partition("-") for path in found)
    return {normal(name): version for name, _, version in sorted(names)}


def _failed(environment: Environment, answer: uv.Answer, package: Package | None) -> UserError:
    """Return the error for an environment that uv could not build, with what uv says."""
    model, lock, explanation = environment.model, environment.lock, answer.explanation
    hint = f"`doit lock:{model.name}` resolves the requirements anew"
    if package:
        explanation = re.sub(r"(file://)?/\S+/\.source/[^\s/`]+", package.path, explanation)
        hint = f"see that `{package.path}` can be built, and names all that its build needs"
    return UserError(
        f"The environment of model `{model.name}` cannot be built",
        ("file", environment.requirements.path or "no requirements.txt"),
        *([("package", package.path)] if package else []),
        *([("lock", lock.path)] if lock else []),
        ("uv says", explanation),
        hint=uv.UNREACHABLE_HINT if answer.unreachable else hint,
    )
