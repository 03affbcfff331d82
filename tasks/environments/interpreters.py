"""The Python interpreters that are installed here."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import cgroups
from tasks.errors import UserError
from tasks.surroundings import searched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from tasks.state import State

# Each new clone starts every interpreter once: imports would be most of what that costs.
_PROBE = """\
import os, sys
name = "CPython"
if sys.implementation.name != "cpython":
    import platform
    name = platform.python_implementation()
name += getattr(sys, "abiflags", "").replace("m", "")
print('["%s", "%s", "%s"]' % (sys.version.split()[0], name, os.uname()[4]))
"""
_PROBE_KIND = 2
_PROBE_SECONDS = 20


@dataclass(frozen=True)
class Interpreter:
    """A Python that can be run: its path, full version, implementation and machine."""

    path: str
    version: str
    implementation: str
    machine: str

    @property
    def minor(self) -> str:
        """The version as people say it: `3.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def description(self) -> str:
        """What of it can change a result."""
        return f"{self.implementation} {self.version} {self.machine}"

    @property
    def preference(self) -> tuple[bool, bool, Version]:
        """The greater, the better: plain CPython, a final release, the newest."""
        from packaging.version import Version  # noqa: PLC0415 - slow to import, seldom needed

        version = Version(self.version)
        return self.implementation == "CPython", not version.is_prerelease, version


def installed(state: State) -> tuple[Interpreter, ...]:
    """Return the interpreters on PATH and of pyenv, uv and their like, best first, one a version.

    An environment stands for the interpreter that it was made from, and so does the runner's own.
    What is not a program itself (a shim, which starts another Python in each folder) is left out.
    """
    return _installed(state, tuple(searched()))


@functools.cache
def _installed(state: State, paths: tuple[str, ...]) -> tuple[Interpreter, ...]:
    found: dict[tuple[str, str], Interpreter] = {}
    with ThreadPoolExecutor(cgroups.cores()) as pool:
        for interpreter in pool.map(functools.partial(_probe, state=state), _candidates(paths)):
            if interpreter:
                found.setdefault((interpreter.version, interpreter.implementation), interpreter)
    return tuple(sorted(found.values(), key=lambda one: one.preference, reverse=True))


def _candidates(paths: Iterable[str]) -> Iterator[str]:
    """Yield the real paths of what may be interpreters, each once."""
    seen = set()
    for path in paths:
        if not os.access(path, os.X_OK):
            continue
        real = os.path.realpath(path)
        if real not in seen and not _in_environment(real):
            seen.add(real)
            yield real


def _in_environment(path: str) -> bool:
    """Return whether an interpreter is an environment's own copy."""
    return os.path.exists(f"{os.path.dirname(os.path.dirname(path))}/pyvenv.cfg")


def _probe(path: str, state: State) -> Interpreter | None:
    """Ask an interpreter what it is, once for as long as its file stays the same."""
    try:
        now = os.stat(path)
        key = f"interpreter {_PROBE_KIND} {path} {now.st_size} {now.st_mtime_ns} {now.st_ino}"
        answer = state.recall(key)
        if answer is None:
            answer = _ask(path)
            state.remember(key, answer)
        return Interpreter(path, *json.loads(answer))
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return None


def _ask(path: str) -> str:
    """Return an interpreter's answer.  Raises OSError or SubprocessError where it has none."""
    with open(path, "rb") as file:
        if file.read(2) == b"#!":
            raise OSError(path)
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [path, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, check=True,
        timeout=_PROBE_SECONDS, env=variables, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout.strip()


@functools.cache
def specifier(text: str) -> SpecifierSet:
    """Return what a `"python"` key allows: `3.11` means any 3.11, the rest is PEP 440.

    Raises UserError where it is neither.
    """
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - slow to import, seldom needed
    from packaging.version import Version  # noqa: PLC0415 - as above

    try:
        if not text[:1].isdigit():
            return SpecifierSet(text)
        version = Version(text.removesuffix(".*"))
        return SpecifierSet(f"=={version}" if version.is_prerelease else f"=={version}.*")
    except ValueError as error:  # both InvalidSpecifier and InvalidVersion
        raise UserError(
            f"`{text}` is not a Python version", hint='write "3.11" or ">=3.10,<3.13"'
        ) from error


@functools.cache
def allowed(text: str, interpreters: tuple[Interpreter, ...]) -> tuple[Interpreter, ...]:
    """Return those of the interpreters that a `"python"` key allows, in the same order."""
    allows = specifier(text)
    return tuple(one for one in interpreters if allows.contains(one.version, prereleases=True))
