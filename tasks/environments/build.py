"""Build environments: one for each lock and interpreter, shared, and never half-made."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from tasks.datasets import cache_folder
from tasks.environments import locks
from tasks.errors import UserError
from tasks.fingerprint import Files, canonical
from tasks.records import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.environments.interpreters import Interpreter
    from tasks.environments.locks import Lock, Requirements
    from tasks.model import Model
    from tasks.state import State

FORMAT = 1
DESCRIPTION = "environment.json"


@dataclass(frozen=True)
class Environment:
    """An environment that a model's lock stands for, built or not.

    `identity` is what of it counts for a result; `folder` is where it is built on this machine.
    """

    model: Model
    requirements: Requirements
    lock: Lock | None
    interpreter: Interpreter
    identity: Mapping[str, str]

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
        return os.path.exists(os.path.join(self.folder, DESCRIPTION))

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages inside, by name."""
        with open(os.path.join(self.folder, DESCRIPTION), encoding="utf-8") as file:
            return dict(json.load(file)["packages"])


def find(model: Model, state: State) -> Environment | None:
    """Return a model's environment as its lock says; None where there is no lock that fits.

    Nothing is run or built but a look at the interpreters that are new.  Raises UserError where
    the requirements cannot be read.
    """
    requirements = locks.requirements_of(model, state.files)
    lock = None
    if not requirements.empty:
        lock = locks.read_lock(model, state.files)
        if lock is None or lock.requirements != locks.wanted(requirements, state.files):
            return None
    interpreter = locks.choose(lock, requirements, state)
    if interpreter is None:
        return None
    identity = {"python": interpreter.description}
    if lock:
        identity["lock"] = lock.digest
    for folder in requirements.packages:
        identity[f"package {folder}"] = locks.package_digest(folder, state.files)
    return Environment(model, requirements, lock, interpreter, identity)


def ensure(model: Model, state: State, say: Callable[[str], None]) -> Environment:
    """Return a model's environment, locked and built, doing what is missing.

    Raises UserError where requirements cannot be resolved or installed, or no Python fits.
    """
    environment = find(model, state)
    if environment is None:
        requirements = locks.requirements_of(model, state.files)
        if not requirements.empty:
            with _held(locks.lock_path(model)):
                if find(model, state) is None:
                    locks.make_lock(model, requirements, state, say=say, upgrade=False)
        environment = find(model, state)
    if environment is None:
        raise locks.no_python(model, _needed(model, state), state)
    if not environment.built:
        _build(environment, say)
    return environment


def _needed(model: Model, state: State) -> str:
    lock = locks.read_lock(model, state.files)
    python = locks.requirements_of(model, state.files).python
    return f"{python} and its lock {lock.bound}" if lock else python


@contextlib.contextmanager
def _held(name: str) -> Iterator[None]:
    """Hold a lock that another process on this repository would wait for."""
    os.makedirs("build/held", exist_ok=True)
    with open(f"build/held/{name.replace('/', '--')}", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(environment: Environment, say: Callable[[str], None]) -> None:
    """Build in a temporary folder beside the final one, then rename; others wait meanwhile."""
    folder = environment.folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(f"{folder}.held", "w", encoding="utf-8") as held:
        say("waiting for another build of the same environment")
        fcntl.flock(held, fcntl.LOCK_EX)
        if environment.built:
            return
        # What lies at either place was left by a build that was killed: nobody else is here.
        making = f"{folder}.making"
        for left in (making, folder):
            shutil.rmtree(left, ignore_errors=True)
        try:
            _install(environment, making, functools.partial(_uv, environment, held), say)
            os.rename(making, folder)
        except OSError as error:
            raise UserError(
                f"The environment of model `{environment.model.name}` cannot be built",
                ("folder", folder),
                ("reason", error),
                hint="`MODEL_CACHE` names another folder for environments and data",
            ) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)


def _install(
    environment: Environment, folder: str, uv: Callable[..., str], say: Callable[[str], None]
) -> None:
    interpreter, lock = environment.interpreter, environment.lock
    say(f"making an environment with Python {interpreter.version}")
    uv("venv", "--relocatable", "--no-project", "--python", interpreter.path, folder)
    python = os.path.join(folder, "bin", "python")
    pip = ("pip", "install", "--python", python, "--no-deps")
    if lock and lock.pins:
        say(f"installing {lock.pins.count('==')} packages")
        pins = os.path.join(folder, "lock.txt")
        with open(pins, "w", encoding="utf-8") as file:
            file.write(lock.pins + "\n")
        uv(*pip, "--require-hashes", "--requirement", pins)
    for package in environment.requirements.packages:
        say(f"installing {package}")
        copy = os.path.join(folder, f".source-{uuid.uuid4().hex}")
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        if locks.package_digest(copy, Files()) != environment.identity[f"package {package}"]:
            raise UserError(
                f"Package `{package}` changed while an environment was made of it",
                hint="run `doit` again",
            )
        uv(*pip, copy)
        shutil.rmtree(copy)
    listed = json.loads(uv("pip", "list", "--python", python, "--format", "json"))
    packages = {item["name"]: item["version"] for item in listed}
    description = {"format": FORMAT, **environment.identity, "packages": packages}
    write_json(os.path.join(folder, DESCRIPTION), description)


_NOT_COPIED = ("__pycache__", "build", "dist", "*.egg-info", ".git", ".venv")


def _uv(environment: Environment, held: IO[str], *arguments: str) -> str:
    """Run uv and return what it prints.  Raises UserError with what it says went wrong.

    It holds the lock with us: where we are killed and it lives on, others wait for it as well.
    """
    command = [locks.uv(), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=locks.uv_variables(),
        pass_fds=[held.fileno()],
    )  # fmt: skip
    if done.returncode:
        raise UserError(
            f"The environment of model `{environment.model.name}` cannot be built",
            ("command", f"uv {' '.join(arguments[:2])}"),
            ("file", environment.requirements.path or "no requirements.txt"),
            ("uv says", done.stderr.strip()),
            hint=f"`doit lock:{environment.model.name}` resolves the requirements anew",
        )
    return done.stdout
