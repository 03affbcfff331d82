"""Locks: every package of a model's environment, with its version and hashes.

`requirements.txt` says what a model wants; the lock in `envs/locks/` says what it gets, here and
on a colleague's machine.  A folder named in the requirements is a package of this repository: its
own requirements are locked with the rest, its bytes count as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.environments.interpreters import Interpreter, allowed, installed
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State

FOLDER = "envs/locks"
FOLDER_ELSEWHERE = "build/locks"
ANY_PYTHON = ">=3.8"

_NOT_SOURCE = {"__pycache__", "build", "dist", ".git", ".venv"}
_HEADER = re.compile(r"^# (requirements|python|package): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Requirements:
    """What a model asks for: lines for the index, folders of this repository, Python versions."""

    path: str
    lines: tuple[str, ...]
    packages: tuple[str, ...]
    python: str
    files: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the standard library is enough."""
        return not self.lines and not self.packages


@dataclass(frozen=True)
class Lock:
    """A lock as read: the digest of its pins, and the Python it was made with and for."""

    path: str
    requirements: str
    minor: str
    bound: str
    pins: str = field(repr=False)

    @property
    def digest(self) -> str:
        """The digest of the pins alone: two models with the same ones share an environment."""
        return canonical("lock", self.pins)


def requirements_of(model: Model, files: Files) -> Requirements:
    """Return what a model asks for.  Raises UserError for a folder that is no package."""
    python = str(model.document.get("python") or ANY_PYTHON)
    path = f"{model.root}/{PACKAGE}/requirements.txt"
    if not os.path.exists(path):
        return Requirements("", (), (), python)
    lines, packages, read = [], [], []
    for line, source in _lines(path, files, read):
        package = _package_folder(line, source)
        if package:
            packages.append(package)
        else:
            lines.append(line)
    return Requirements(path, tuple(lines), tuple(packages), python, tuple(read))


def _lines(path: str, files: Files, read: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each requirement with the file that it stands in; `-r` files are read in place."""
    read.append(path)
    try:
        text = files.note(path, "text 1", lambda data: data.decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"`{path}` cannot be read", ("reason", error)) from error
    for raw in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        included = re.match(r"(?:-r|--requirement)[ =]?\s*(.+)", line)
        if included:
            yield from _lines(os.path.join(os.path.dirname(path), included[1]), files, read)
        elif line:
            yield line, path


def _package_folder(line: str, source: str) -> str:
    """Return the folder that a requirement names, relative to the repository, or nothing."""
    name = re.sub(r"^(?:-e|--editable)[ =]\s*|^file:(?://)?", "", line).split("[")[0].strip()
    if not name.startswith((".", "/")) and not re.match(r"^[\w.-]+/", name):
        return ""
    for base in (os.path.dirname(source), ""):
        folder = os.path.normpath(os.path.join(base, name))
        if any(os.path.exists(f"{folder}/{f}") for f in ("pyproject.toml", "setup.py")):
            return folder
    raise UserError(
        f"`{source}` names a package folder that is not there",
        ("requirement", line),
        hint="a path starts at the file's own folder or at the repository,"
        " and the folder has a pyproject.toml",
    )


def package_digest(folder: str, files: Files) -> str:
    """Return the digest of a package's bytes, what its build and its tests leave apart."""
    found = {}
    for top, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in _NOT_SOURCE and not f.endswith(".egg-info")]
        for name in names:
            if not name.endswith(".pyc"):
                path = f"{top}/{name}"
                found[os.path.relpath(path, folder)] = files.digest(path)
    return canonical("package", found)


def wanted(requirements: Requirements, files: Files) -> str:
    """Return the digest of what a lock answers: it is out of date when this changes."""
    metadata = [
        files.digest(path)
        for package in requirements.packages
        for name in ("pyproject.toml", "setup.py", "setup.cfg")
        if os.path.exists(path := f"{package}/{name}")
    ]
    parts = [sorted(requirements.lines), requirements.packages, requirements.python, metadata]
    return canonical("requirements", parts)


def lock_path(model: Model) -> str:
    """Return where a model's lock is: tracked beside the frameworks, or among what is generated.

    A repository without `envs/` is somebody else's, and only `build/` is written into it.
    """
    folder = FOLDER if os.path.isdir("envs") else FOLDER_ELSEWHERE
    return f"{folder}/{model.name.replace('/', '--')}.txt"


def read_lock(model: Model, files: Files) -> Lock | None:
    """Return a model's lock, None where it has none or it cannot be understood."""
    path = lock_path(model)
    try:
        text = files.note(path, "text 1", lambda data: data.decode())
    except (OSError, ValueError):
        return None
    header = dict(_HEADER.findall(text))
    minor, _, bound = header.get("python", "").partition(" ")
    pins = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    if not minor or "requirements" not in header:
        return None
    return Lock(path, header["requirements"], minor, bound.strip("()"), pins)


def choose(lock: Lock | None, requirements: Requirements, state: State) -> Interpreter | None:
    """Return the interpreter for a lock: the version it was made with, else the newest it allows.

    Without a lock it is the newest that the model allows; None where none is installed.
    """
    candidates = allowed(requirements.python, installed(state))
    if lock is not None:
        candidates = allowed(lock.bound, candidates)
        same = [one for one in candidates if one.minor == lock.minor]
        return (same or [*candidates, None])[0]
    return candidates[0] if candidates else None


def make_lock(
    model: Model,
    requirements: Requirements,
    state: State,
    *,
    say: Callable[[str], None],
    upgrade: bool,
) -> None:
    """Resolve a model's requirements and write its lock, on the newest Python that has an answer.

    Pins of an older lock are kept where they still fit, unless `upgrade` is set.  Raises UserError
    with the resolver's own explanation where no installed Python has an answer.
    """
    candidates = allowed(requirements.python, installed(state))
    if not candidates:
        raise no_python(model, requirements.python, state)
    explanations: dict[str, str] = {}
    tried = _one_a_minor(candidates)
    for binary_only in (True, False):  # a build from source is the last resort
        for interpreter in tried:
            say(f"resolving for Python {interpreter.minor}")
            bound = _lower_bound(requirements.python, interpreter)
            pins, explanation = _resolve(
                model, requirements, interpreter, bound, binary_only=binary_only, upgrade=upgrade
            )
            if pins is not None:
                _write(model, requirements, interpreter, bound, pins, state.files)
                return
            explanations[interpreter.minor] = explanation
    facts = [(f"Python {minor}", text) for minor, text in explanations.items()]
    raise UserError(
        f"The requirements of model `{model.name}` cannot be locked",
        ("file", requirements.path),
        *facts[:1],
        *((minor, text.splitlines()[-1]) for minor, text in facts[1:] if text),
        hint="change the requirement that is named, or `python` in model.json",
    )


def no_python(model: Model, python: str, state: State) -> UserError:
    """Return the error for a model whose Python is not installed."""
    return UserError(
        f"Model `{model.name}` needs a Python that is not installed",
        ("needs", python),
        ("installed", ", ".join(one.version for one in installed(state)) or "none"),
        hint="install it (its folder on PATH, or with pyenv or `uv python install`),"
        f" or change `python` in {model.folder}/model.json",
    )


def _one_a_minor(interpreters: Sequence[Interpreter]) -> list[Interpreter]:
    return list({one.minor: one for one in reversed(interpreters)}.values())[::-1]


def _lower_bound(python: str, interpreter: Interpreter) -> str:
    """Return the Python that a lock is made for: the model's own lower bound if it has one."""
    bounds = re.findall(r">=\s*(\d+\.\d+)", python) if python != ANY_PYTHON else []
    return f">={bounds[0]}" if bounds else f">={interpreter.minor}"


def _resolve(
    model: Model,
    requirements: Requirements,
    interpreter: Interpreter,
    bound: str,
    *,
    binary_only: bool,
    upgrade: bool,
) -> tuple[str | None, str]:
    """Ask uv for pins; return them and nothing, or None and uv's explanation."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "requirements.in"), Path(scratch, "lock.txt")
        packages = [os.path.abspath(folder) for folder in requirements.packages]
        source.write_text("\n".join([*requirements.lines, *packages, ""]), encoding="utf-8")
        old = Path(lock_path(model))
        if old.exists() and not upgrade:
            target.write_bytes(old.read_bytes())
        command = [
            uv(), "pip", "compile", "--quiet", "--universal", "--generate-hashes",
            "--no-header", "--no-annotate", "--no-emit-index-url",
            "--python", interpreter.path, "--python-version", bound.removeprefix(">="),
            *(["--only-binary", ":all:"] if binary_only and not packages else []),
            *(["--upgrade"] if upgrade else []),
            "--output-file", str(target), str(source),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=os.getcwd(),
            env=uv_variables(),
        )
        if done.returncode:
            return None, _cleaned(done.stderr, scratch)
        return _without_packages(target.read_text(encoding="utf-8"), packages), ""


def _cleaned(text: str, scratch: str) -> str:
    return text.replace(f"{scratch}/requirements.in", "requirements.txt").strip()


def _without_packages(text: str, packages: list[str]) -> str:
    """Drop the lines of this repository's own packages: their bytes are not in an index."""
    kept = []
    for line in text.splitlines():
        if line.strip().startswith("#") or any(folder in line for folder in packages):
            continue
        kept.append(line)
    return "\n".join(kept)


def _write(
    model: Model,
    requirements: Requirements,
    interpreter: Interpreter,
    bound: str,
    pins: str,
    files: Files,
) -> None:
    path = lock_path(model)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.forget([*requirements.files])
    lines = [
        f"# What model {model.name} runs on. `doit lock:{model.name}` refreshes it.",
        f"# requirements: {wanted(requirements, files)}",
        f"# python: {interpreter.minor} ({bound})",
        *(f"# package: {folder}" for folder in requirements.packages),
        pins.strip(),
        "",
    ]
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".lock-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.remove(temporary)
        raise
    files.forget([path])


def normal(name: str) -> str:
    """Return a package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def uv() -> str:
    """Return the path of the uv that the runner was installed with."""
    from uv import find_uv_bin  # noqa: PLC0415 - costs nothing on the runs that need no uv

    return os.fspath(find_uv_bin())


def uv_variables() -> dict[str, str]:
    """Return the variables for uv: the user's own, less what points at another environment."""
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON")
    return {key: value for key, value in os.environ.items() if key not in dropped}
