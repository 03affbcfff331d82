"""What a model asks for: its `requirements.txt`, and the packages of this repository named there.

A requirement that is a path means a folder of this repository (or a wheel in it): code that models
share.  It is built from a copy of its files, and these files count, as a model's own do.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tasks import frameworks
from tasks.environments.corrections import normal, renamed
from tasks.environments.interpreters import specifier
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.folders import is_of_editor, is_there, walk_through_links, within
from tasks.looks import CACHES
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.fingerprint import Files
    from tasks.frameworks import Framework
    from tasks.model import Model
    from tasks.state import State

ANY_PYTHON = ">=3.6"
DESCRIPTIONS = ("pyproject.toml", "setup.py", "setup.cfg")

_NEVER_SOURCE = CACHES | {".git", ".venv", ".nox", ".tox"}
_BUILT = {"build", "dist"}  # by a build by hand, at the top of the package
_OPTION = re.compile(r"(--?[a-z-]+)[ =]?\s*(.*)")
_FIND_LINKS = ("-f", "--find-links")
_PLACES = (
    *_FIND_LINKS, "-i", "--index-url", "--extra-index-url", "--no-index", "--trusted-host",
)  # fmt: skip
_NAMED = re.compile(r"[\w.-]+\s*(\[[^]]*\])?\s*@\s*(.+)")
_PATH = re.compile(r"([^\[;#]+)(?:#[^\s;]*)?\s*(\[[^]]*\])?\s*(;.*)?")


@dataclass(frozen=True, order=True)
class Package:
    """A package of this repository: its folder or wheel, and the extras and marker asked for."""

    path: str
    extras: str = ""
    marker: str = ""

    def requirement(self, place: str = "") -> str:
        """Return the line that asks uv for it, with its files at `place`."""
        address = Path(os.path.abspath(place or self.path)).as_uri()
        return f"{address}{self.extras} {self.marker}".rstrip()


@dataclass(frozen=True)
class Requirements:
    """What a model asks for.

    `lines` are for the index, `constraints` and `options` (such as `--extra-index-url`) say how;
    `packages` are of this repository; `python` and `as_of` come from `model.json`; `files` is what
    was read; `renamed` has the lines with a dead name, and what stands in their place.
    """

    path: str
    python: str = ANY_PYTHON
    as_of: str = ""
    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    files: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def for_uv(self) -> list[str]:
        """Return the options with absolute paths: uv reads them from a file elsewhere."""
        found = [_OPTION.fullmatch(option) for option in self.options]
        return [
            f"{one[1]} {Path(os.path.abspath(one[2])).as_uri()}"
            if one[1] in _FIND_LINKS and "://" not in one[2]
            else one[0]
            for one in found
            if one
        ]

    @property
    def links(self) -> list[str]:
        """The files in folders of this repository in which packages are looked for."""
        found = [_OPTION.fullmatch(option) for option in self.options]
        folders = [one[2] for one in found if one and one[1] in _FIND_LINKS]
        return [
            f"{folder}/{name}"
            for folder in folders
            if os.path.isdir(folder) and not os.path.isabs(folder)
            for name in sorted(os.listdir(folder))
        ]

    @property
    def building(self) -> list[str]:
        """The options that decide what is installed of a package, such as `--no-binary NAME`.

        Not those that say where packages are found: what is locked has the same bytes everywhere.
        """
        return [option for option in self.options if not option.startswith(_PLACES)]

    @property
    def empty(self) -> bool:
        """Whether the standard library is enough."""
        return not self.lines and not self.packages


def read(model: Model, state: State) -> Requirements:
    """Return what a model asks for, and what its framework adds.

    Raises UserError for what cannot be read or is not there.
    """
    files = state.files
    framework = frameworks.read(model.framework, files)
    python = str(model.document.get("python") or framework.python or ANY_PYTHON).strip()
    try:
        specifier(python)
    except UserError as error:
        place = ("file", f"{model.folder}/model.json")
        raise UserError(error.headline, place, hint=error.hint) from error
    as_of = str(model.document.get("resolveAsOf") or "")
    path = f"{model.root}/{PACKAGE}/requirements.txt"
    if not files.exists(path):
        lines = tuple(sorted(_more(model, framework, frozenset(), state)))
        return Requirements(
            framework.path if lines else "", python, as_of, lines, files=(framework.path,)
        )
    found: dict[str, set[str]] = {"line": set(), "constraint": set(), "option": set()}
    packages, seen, dead = set(), list[str](), set()
    for kind, line, source, number in entries(path, "line", files, seen):
        package = package_of(line, source, number) if kind == "line" else None
        living = renamed(line) if kind == "line" else line
        if living != line:
            dead.add((line, living))
        if package:
            packages.add(package)
        else:
            found[kind].add(living)
    named = frozenset(_name(line) for line in found["line"])
    found["line"] |= _more(model, framework, named, state)
    seen.append(framework.path)
    lines, constraints, options = (tuple(sorted(found[kind])) for kind in found)
    if packages or options:
        files.untraced()  # folders are looked through for these
    return Requirements(
        path, python, as_of, lines, constraints, options, tuple(sorted(packages)), tuple(seen),
        tuple(sorted(dead)),
    )  # fmt: skip


def _more(model: Model, framework: Framework, named: frozenset[str], state: State) -> set[str]:
    """Return what framework and language add to the packages that the model names."""
    added = frameworks.language(model).requirements(model, state, named)
    return {line for line in (*framework.requirements, *added) if _name(line) not in named}


def _name(line: str) -> str:
    """Return the name of the package that a line asks for, as the index spells it."""
    return normal(re.split(r"[^\w.-]", line, maxsplit=1)[0])


def entries(
    path: str, kind: str, files: Files, seen: list[str]
) -> Iterator[tuple[str, str, str, int]]:
    """Yield each entry's kind, text, file and line; what a file includes is read in its place."""
    if path in seen:
        return
    seen.append(path)
    try:
        lines = json.loads(files.note(path, "requirements 2", _logical_lines))
    except (OSError, ValueError) as error:
        hint = "see that it is there, and that it is text in UTF-8"
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=hint) from error
    for number, line in lines:
        option = _OPTION.fullmatch(line)
        name, value = option.groups() if option else ("", "")
        near = os.path.normpath(os.path.join(os.path.dirname(path), value))
        if name in ("-r", "--requirement"):
            yield from entries(near, kind, files, seen)
        elif name in ("-c", "--constraint"):
            yield from entries(near, "constraint", files, seen)
        elif name in ("-e", "--editable"):
            yield kind, value, path, number
        elif name in _FIND_LINKS and "://" not in value:
            yield "option", f"--find-links {near if os.path.exists(near) else value}", path, number
        elif name:
            yield "option", line, path, number
        else:
            yield kind, line, path, number


def _logical_lines(data: bytes) -> str:
    """Return the lines as JSON, each with its number, without comments.

    They are decoded as editors of every system write them.
    """
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if wide else "utf-8-sig").replace("\r\n", "\n")
    found, number = [], 1
    for line in text.replace("\\\n", "\0").splitlines():
        said = re.sub(r"(^|\s)#.*$", "", line.replace("\0", " ")).strip()
        found += [(number, said)] if said else []
        number += 1 + line.count("\0")
    return json.dumps(found)


def package_of(line: str, source: str, number: int) -> Package | None:
    """Return the package of this repository that a requirement names, or None for the index's."""
    named = _NAMED.fullmatch(line)
    place = _PATH.fullmatch(named[2] if named else line)
    name = place[1].strip() if place else ""
    if not place or not (name.startswith((".", "/", "file:")) or re.match(r"[\w.-]+/", name)):
        return None
    name = unquote(re.sub(r"^file:(//)?", "", name)) if name.startswith("file:") else name
    for base in (os.path.dirname(source), ""):
        path = os.path.normpath(os.path.join(base, name))
        path = within(path)
        if os.path.isfile(path) or any(os.path.exists(f"{path}/{file}") for file in DESCRIPTIONS):
            extras = (named and named[1]) or place[2] or ""
            return Package(path, extras.replace(" ", ""), (place[3] or "").strip())
    raise UserError(
        f"`{source}:{number}` names a package folder that is not there",
        ("requirement", line),
        hint="a path starts at the file's folder or at the repository;"
        " a package has a pyproject.toml",
    )


def package_files(path: str) -> list[str]:
    """Return the files of a package, relative to it: what a build by hand leaves is not one.

    Raises UserError where a folder of it cannot be read.
    """
    if os.path.isfile(path):
        return [""]
    found: list[str] = []
    for top, folders, names in walk_through_links(path, _unreadable):
        built = {f for f in _BUILT if top == path and not os.path.exists(f"{top}/{f}/__init__.py")}
        left_out = _NEVER_SOURCE | built
        folders[:] = [f for f in folders if f not in left_out and not f.endswith(".egg-info")]
        kept = (one for one in names if not one.endswith(".pyc") and not is_of_editor(one))
        found += [f"{top}/{one}"[len(path) + 1 :] for one in kept if is_there(f"{top}/{one}")]
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"`{error.filename}` cannot be read",
        ("reason", error.strerror),
        hint="it is a part of a package of this repository: see that you can read it",
    )


def package_digest(path: str, files: Files) -> str:
    """Return the digest of a package: of its bytes, and of which files are programs."""
    digests = {}
    for name in package_files(path):
        file = f"{path}/{name}".rstrip("/")
        digest = files.digest(file)
        runs = os.stat(file).st_mode & stat.S_IXUSR
        digests[name] = canonical("program", digest) if runs else digest
    return canonical("package", digests)


def wanted(requirements: Requirements, files: Files) -> str:
    """Return the digest of what a lock answers: it is out of date when this changes."""
    descriptions = {
        package.path: {path: files.digest(path) for path in _descriptions(package.path)}
        for package in requirements.packages
    }
    parts = [
        _without_spaces(requirements.lines),
        _without_spaces(requirements.constraints),
        requirements.options,
        [(package.path, package.extras, package.marker) for package in requirements.packages],
        [requirements.python, requirements.as_of],
        descriptions,
    ]
    return canonical("requirements", parts)


def _without_spaces(lines: tuple[str, ...]) -> list[str]:
    return ["".join(line.split()) for line in lines]


def _descriptions(path: str) -> list[str]:
    """Return the files that may say what a package depends on."""
    if os.path.isfile(path):
        return [path]
    return sorted(
        entry.path for entry in os.scandir(path)
        if entry.name in DESCRIPTIONS or entry.name.endswith((".txt", ".in"))
    )  # fmt: skip
