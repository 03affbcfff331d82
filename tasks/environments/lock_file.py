"""The file of a lock: what a model runs on, as text that people can read and Git can merge.

What it says above its pins is in comments: the format, the digest of the requirements that it
answers, the Python that it was made with and for, and how it came about.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.environments.corrections import normal
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.plan import file_name
from tasks.surroundings import LOCKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.environments.resolve import Answer
    from tasks.fingerprint import Files
    from tasks.model import Model

FORMAT = 1
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
    return read_at(lock_path(model), model.name, files)


def is_damaged(model: Model, files: Files) -> bool:
    """Return whether a lock is there, and only a part of one, or two that are merged into one."""
    return files.exists(lock_path(model)) and read_lock(model, files) is None


def read_at(path: str, name: str, files: Files) -> Lock | None:
    """Return the lock of a file, that of the model of this name; see `read_lock`."""
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
    folder = LOCKS if os.path.isdir(LOCKS) else FOLDER_ELSEWHERE
    return f"{folder}/{file_name(model.name)}.txt"


def pins_of(path: str) -> str:
    """Return the pins of a lock without their hashes, even if it is out of date or damaged."""
    with contextlib.suppress(OSError):
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        return "".join(f"{pin.strip()}\n" for pin in _PIN.findall(text))
    return ""


def write(model: Model, wanted: str, answer: Answer, notes: Sequence[str], files: Files) -> None:
    """Write a model's lock: the answer to requirements, of which `wanted` is the digest.

    `notes` are further lines for its head.
    """
    lines = [
        f"# format: {FORMAT}",
        f"# requirements: {wanted}",
        f"# python: {answer.interpreter.minor} ({answer.bound})",
        *(f"# {note}" for note in notes),
        *filter(None, [answer.pins]),
        *([_BUILD, answer.build_pins] if answer.build_pins else []),
        _END,
    ]
    _put(model, lines, files)


def copy(other: Path, model: Model, files: Files) -> None:
    """Give a model the lock of another one."""
    _put(model, other.read_text(encoding="utf-8-sig").splitlines()[1:], files)


def _put(model: Model, lines: Sequence[str], files: Files) -> None:
    """Write a lock below its title, all of it or nothing."""
    path = lock_path(model)
    title = f"# What model {model.name} runs on. `doit lock:{model.name}` refreshes it."
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".lock-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join([title, *lines, ""]))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.remove(temporary)
        raise
    files.forget([path])
