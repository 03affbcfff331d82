"""The Python interpreters that are installed here."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.state import State

MINORS = range(6, 21)

_PROBE = (
    "import json, platform, sys; print(json.dumps([platform.python_version(),"
    " platform.python_implementation(), platform.machine(), sys.base_prefix]))"
)
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


def installed(state: State) -> tuple[Interpreter, ...]:
    """Return the interpreters found on PATH, of pyenv and of uv, newest first, one a version.

    A path that does not run (a pyenv shim without a version behind it) is left out.
    """
    return _installed(state, os.environ.get("PATH", ""))


@functools.cache
def _installed(state: State, path: str) -> tuple[Interpreter, ...]:
    found: dict[str, Interpreter] = {}
    for candidate in _candidates(path):
        interpreter = _probe(candidate, state)
        if interpreter:
            found.setdefault(interpreter.version, interpreter)
    return tuple(sorted(found.values(), key=lambda i: Version(i.version), reverse=True))


def _candidates(path: str) -> Iterator[str]:
    """Yield the real paths of what may be interpreters, each once."""
    names = [f"python3.{minor}" for minor in reversed(MINORS)] + ["python3"]
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    folders = [folder for folder in path.split(os.pathsep) if folder]
    folders += os.environ.get("UV_PYTHON_SEARCH_PATH", "").split(os.pathsep)
    folders += [str(folder / "bin") for top in (pyenv / "versions", uv) for folder in _below(top)]
    seen = set()
    for folder in filter(None, folders):
        for name in names:
            real = os.path.realpath(f"{folder}/{name}")
            if real not in seen and os.access(real, os.X_OK) and not _in_environment(folder):
                seen.add(real)
                yield real


def _below(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _in_environment(folder: str) -> bool:
    return os.path.exists(f"{folder}/../pyvenv.cfg")


def _probe(path: str, state: State) -> Interpreter | None:
    """Ask an interpreter what it is, once for as long as its file stays the same."""
    now = os.stat(path)
    key = f"interpreter {path} {now.st_size} {now.st_mtime_ns} {now.st_ino}"
    answer = state.recall(key)
    if answer is None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            done = subprocess.run(
                [path, "-I", "-c", _PROBE], capture_output=True, text=True, check=False,
                timeout=_PROBE_SECONDS, env=environment,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        answer = done.stdout.strip() if done.returncode == 0 else "null"
        state.remember(key, answer)
    try:
        facts = json.loads(answer)
    except ValueError:
        return None
    return Interpreter(path, *facts[:3]) if facts else None


def specifier(text: str) -> SpecifierSet:
    """Return what a `"python"` key allows: `3.11` means any 3.11, the rest is PEP 440.

    Raises UserError where it is neither.
    """
    try:
        return SpecifierSet(text if not text[:1].isdigit() else f"=={text.removesuffix('.*')}.*")
    except InvalidSpecifier as error:
        raise UserError(
            f"`{text}` is not a Python version", hint='write "3.11" or ">=3.10,<3.13"'
        ) from error


@functools.cache
def allowed(text: str, interpreters: tuple[Interpreter, ...]) -> tuple[Interpreter, ...]:
    """Return those of the interpreters that a `"python"` key allows, in the same order."""
    allows = specifier(text)
    return tuple(one for one in interpreters if allows.contains(one.version, prereleases=True))
