"""Locks: every package of a model's environment, with its version and hashes.

`requirements.txt` says what a model wants; the lock in `envs/locks/` says what it gets, here and
on a colleague's machine.  What packages of this repository need is locked with the rest, and so is
what they are built with; their own bytes count as they are and stand in no lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import frameworks
from tasks.datasets import cache_folder
from tasks.environments.days import of_the_time
from tasks.environments.interpreters import Interpreter, allowed, installed
from tasks.environments.requirements import Requirements, read, wanted
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.plan import file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.environments.resolve import Answer
    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State

FORMAT = 1
FOLDER = "envs/locks"
FOLDER_ELSEWHERE = "build/locks"

_HEADER = re.compile(r"# (format|requirements|python): (.*)")
_AS_OF = re.compile(r"# as of: (\d{4}-\d\d-\d\d)\b.*")
_NOTE = re.compile(r"# ((?:as of|not on|only for|corrected)\b.*)")
_LIBRARY = re.compile(r"# ([A-Z]\w* package): (.*)")
_PYTHON = re.compile(r"(\d+\.\d+) \((.+)\)")
_PIN = re.compile(r"^[A-Za-z0-9][\w.-]*==[^\\\n]+", re.MULTILINE)
_VERSION = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
_BUILD = "# build: what the packages of this repository are built with"
_END = "# end"


@dataclass(frozen=True)
class Lock:
    """A lock as read: the digest of its pins, and the Python it was made with and for.

    `library` has the lines about packages that uv knows nothing of, `as_of` the day that it was
    asked for with, `notes` what is told of how it came about.
    """

    path: str
    requirements: str
    minor: str
    bound: str
    digest: str
    library: tuple[str, ...] = ()
    as_of: str = ""
    notes: tuple[str, ...] = ()

    @property
    def pins(self) -> str:
        """What is installed from the index."""
        return self._parts()[0]

    @property
    def versions(self) -> dict[str, str]:
        """The pinned versions by package; more than one where they differ by Python or platform."""
        found: dict[str, list[str]] = {}
        for name, version in _VERSION.findall(self.pins):
            found.setdefault(normal(name), []).append(version)
        return {name: " or ".join(versions) for name, versions in found.items()}

    @property
    def build_pins(self) -> str:
        """What packages of this repository are built with; empty where uv itself does it."""
        return self._parts()[1]

    def _parts(self) -> tuple[str, str]:
        text = Path(self.path).read_text(encoding="utf-8-sig")
        parts = _parts(text.splitlines())
        if canonical("lock", parts) != self.digest:
            raise UserError(f"`{self.path}` changed while it was used", hint="run `doit` again")
        return parts


def read_lock(model: Model, files: Files) -> Lock | None:
    """Return a model's lock, None where it has none or only a part of one.

    Raises UserError for a lock that a later version of the runner wrote.
    """
    return _read_lock(lock_path(model), model.name, files)


def _read_lock(path: str, name: str, files: Files) -> Lock | None:
    try:
        found = json.loads(files.note(path, "lock 3", _read))
    except (OSError, UnicodeDecodeError):
        return None
    if found is None:
        return None
    if found.pop("format") != str(FORMAT):
        raise UserError(
            f"`{path}` was written by another version of the runner",
            hint=f"bring this clone up to date, or lock anew: `doit lock:{name}`",
        )
    several = {name: tuple(found[name]) for name in ("library", "notes")}
    return Lock(path, **{**found, **several})


def _read(data: bytes) -> str:
    """Return what a lock says as JSON, null where it is cut short or two are merged into one."""
    lines = data.decode("utf-8-sig").rstrip().splitlines()
    header = {found[1]: found[2] for line in lines if (found := _HEADER.fullmatch(line))}
    python = _PYTHON.fullmatch(header.pop("python", ""))
    merging = any(line.startswith(("<<<<<<<", ">>>>>>>")) for line in lines)
    if not python or len(header) != len(("format", "requirements")) or lines[-1] != _END or merging:
        return "null"
    digest = canonical("lock", _parts(lines))
    library = [found[2] for line in lines if (found := _LIBRARY.fullmatch(line))]
    notes = [found[1] for line in lines if (found := _NOTE.fullmatch(line))]
    days = [found[1] for line in lines if (found := _AS_OF.fullmatch(line))]
    said = {"minor": python[1], "bound": python[2], "digest": digest, "as_of": "".join(days[:1])}
    return json.dumps({**header, **said, "library": library, "notes": notes})


def _parts(lines: list[str]) -> tuple[str, str]:
    """Return the pins of a lock and those of its build part."""
    start = lines.index(_BUILD) if _BUILD in lines else len(lines)
    pins, build_pins = (
        "\n".join(line for line in part if line and not line.startswith("#"))
        for part in (lines[:start], lines[start:])
    )
    return pins, build_pins


def lock_path(model: Model) -> str:
    """Return where a model's lock is: tracked beside the frameworks, or among what is generated.

    A repository without a folder `envs/locks` has not asked for them: only `build/` is written
    into it.
    """
    folder = FOLDER if os.path.isdir(FOLDER) else FOLDER_ELSEWHERE
    return f"{folder}/{file_name(model.name)}.txt"


def fitting(model: Model, requirements: Requirements, state: State) -> Lock | None:
    """Return a model's lock where it answers these requirements."""
    lock = read_lock(model, state.files)
    if lock is None or lock.requirements != wanted(requirements, state.files):
        return None
    return None if library_identity(model, lock, state) is None else lock


def library_identity(model: Model, lock: Lock | None, state: State) -> dict[str, str] | None:
    """Return what counts of the packages that uv knows nothing of; None where the lock is old."""
    library = frameworks.language(model).library
    return library.identity(model, lock.library if lock else (), state) if library else {}


def choose(lock: Lock | None, requirements: Requirements, state: State) -> Interpreter | None:
    """Return the interpreter for a lock: of the minor version nearest to that it was made with.

    Without a lock it is the best that the model allows; None where none is installed.
    """
    candidates = allowed(requirements.python, installed(state))
    if lock is None:
        return candidates[0] if candidates else None
    made_with = int(lock.minor.split(".")[1])
    return min(
        allowed(lock.bound, candidates),
        key=lambda one: abs(int(one.minor.split(".")[1]) - made_with),
        default=None,
    )


@contextlib.contextmanager
def _held(path: str) -> Iterator[None]:
    """Keep others who would make the same lock waiting."""
    os.makedirs("build/held", exist_ok=True)
    with open(f"build/held/{path.replace('/', '--')}", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_lock(
    model: Model,
    state: State,
    *,
    say: Callable[[str], None],
    upgrade: bool,
    as_of: str = "",
) -> bool:
    """Resolve a model's requirements and write its lock, on the best Python that has an answer.

    Pins of an older lock are kept where they still fit, and so is the day `as_of` that it was asked
    for with, unless `upgrade` is set; without it a lock that somebody else has made meanwhile will
    do.  Returned is whether there was anything to lock.  Raises UserError with the resolver's own
    explanation where no installed Python has an answer.
    """
    path = lock_path(model)
    with _held(path):
        requirements = read(model, state)
        state.files.forget([path, *requirements.files])
        requirements = read(model, state)
        if requirements.empty:
            return False
        if not upgrade and fitting(model, requirements, state):
            return True
        if not (upgrade or as_of) and _taken_over(model, requirements, state):
            return True
        as_of = as_of or ("" if upgrade else _as_of(model, state.files))
        asked = replace(requirements, as_of=as_of or requirements.as_of)
        candidates = of_the_time(allowed(asked.python, installed(state)), asked.as_of)
        if not candidates:
            raise no_python(model, None, requirements, state)
        from tasks.environments import resolve  # noqa: PLC0415 - slow to import, seldom needed

        lines = _lock_library(model, state, say=say, upgrade=upgrade)
        answer = resolve.resolve(
            model, asked, candidates, kept="" if upgrade else _pins_of(path), say=say
        )
        _write(model, requirements, answer, [*_notes(answer, as_of), *lines], state.files)
    return True


def _taken_over(model: Model, requirements: Requirements, state: State) -> bool:
    """Give a model that has no lock that of another one which asks for the same.

    Models that ask for the same run on the same, and resolving takes its time.  Returned is whether
    there was such a lock, for a Python that is installed.
    """
    path = lock_path(model)
    if os.path.exists(path) or frameworks.language(model).library:
        return False
    asked = wanted(requirements, state.files)
    for other in sorted(Path(path).parent.glob("*.txt")):
        with contextlib.suppress(UserError, OSError):
            lock = _read_lock(str(other), other.stem, state.files)
            if lock and lock.requirements == asked and not lock.as_of:
                lines = other.read_text(encoding="utf-8-sig").splitlines()
                if choose(lock, requirements, state):
                    _put(path, [_title(model), *lines[1:], ""], state.files)
                    return True
    return False


def _notes(answer: Answer, as_of: str) -> list[str]:
    """Return the lines of a lock that tell how it came about."""
    return [
        *([f"# as of: {as_of}, by --as-of"] if as_of else []),
        *(f"# not on {', '.join(minors)}: {why}" for why, minors in answer.refused.items()),
        *(f"# {note}" for note in answer.notes),
    ]


def _as_of(model: Model, files: Files) -> str:
    """Return the day that a model's lock was asked for with."""
    lock = read_lock(model, files)
    return lock.as_of if lock else ""


def _lock_library(
    model: Model, state: State, *, say: Callable[[str], None], upgrade: bool
) -> list[str]:
    """Return the lines of a lock about packages that uv knows nothing of."""
    library = frameworks.language(model).library
    if library is None:
        return []
    before = None if upgrade else read_lock(model, state.files)
    kept = before.library if before else ()
    lines = library.lock(model, kept, state, cache_folder(), say)
    return [f"# {library.kind}: {line}" for line in lines]


def _pins_of(path: str) -> str:
    """Return the pins of a lock without their hashes, even if it is out of date or damaged."""
    with contextlib.suppress(OSError):
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        return "".join(f"{pin.strip()}\n" for pin in _PIN.findall(text))
    return ""


def no_python(
    model: Model, lock: Lock | None, requirements: Requirements, state: State
) -> UserError:
    """Return the error for a model whose Python is not installed."""
    needs = f"{requirements.python}, and {lock.bound} by its lock" if lock else requirements.python
    locking = f"; `doit lock:{model.name}` locks it for what is installed" if lock else ""
    return UserError(
        f"Model `{model.name}` needs a Python that is not installed",
        ("needs", needs),
        ("installed", ", ".join(one.version for one in installed(state)) or "none"),
        hint="install it (its folder on PATH, or with pyenv or `uv python install`),"
        f" or change `python` in {model.folder}/model.json{locking}",
    )


def _write(
    model: Model, requirements: Requirements, answer: Answer, more: list[str], files: Files
) -> None:
    """Write a model's lock; `more` are lines for its head."""
    lines = [
        _title(model),
        f"# format: {FORMAT}",
        f"# requirements: {wanted(requirements, files)}",
        f"# python: {answer.interpreter.minor} ({answer.bound})",
        *(f"# package: {package.path}{package.extras}" for package in requirements.packages),
        *more,
        *filter(None, [answer.pins]),
        *([_BUILD, answer.build_pins] if answer.build_pins else []),
        _END,
        "",
    ]
    _put(lock_path(model), lines, files)


def _title(model: Model) -> str:
    return f"# What model {model.name} runs on. `doit lock:{model.name}` refreshes it."


def _put(path: str, lines: list[str], files: Files) -> None:
    """Write a lock, all of it or nothing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
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
