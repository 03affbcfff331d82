"""The files of a model, the links that lead out of a repository, and where one is."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import Fault, UserError
from tasks.looks import MODELS, SKIPPED, is_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tasks.fingerprint import Files

_PLACES = ["."]
"""The folders whose files are the repository's."""

MOST_LINKS = 40
"""So many links follow one another at most, as the kernel has it; more may lead in a circle."""

MOST_NAMES = 8
"""Folders that link to each other have more ways through them than can be walked."""

_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""The errors of a path at which nothing is, also of a link that leads round in a circle."""

_BEGIN = (
    "change to the folder of a repository of models, or begin one: `cli/repo-cli.py --init DIR`"
)
_OF_EDITORS = re.compile(r"\.#.*|#.*#|.*~|\..*\.sw[a-z]")


def walk(top: str, files: Files, below: str = "") -> Iterator[str]:
    """Yield the files of a folder, relative to `top`, with forward slashes.

    A link that leads out of the repository is yielded as it is, not entered.
    """
    for entry in files.scan(f"{top}/{below}" if below else top):
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.name in SKIPPED or is_of_editor(entry.name):
            continue
        if not is_folder(entry) or (entry.is_symlink() and _target_outside(entry.path)):
            yield path
        elif not (entry.is_symlink() and _leads_back(top, path)):
            yield from walk(top, files, path)


def _leads_back(top: str, link: str) -> bool:
    """Return whether a link in a folder leads to one of the folders on the way to it."""
    around = [top]
    for name in link.split("/")[:-1]:
        around.append(f"{around[-1]}/{name}")
    return os.path.realpath(f"{top}/{link}") in map(os.path.realpath, around)


def walk_through_links(
    top: str, onerror: Callable[[OSError], object]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what `os.walk` does, links followed: a folder comes under each of its names.

    Not so those that lead back to a folder on the way, nor more than `MOST_NAMES` of one.
    """
    entered: Counter[str] = Counter()
    for here, folders, names in os.walk(top, onerror=onerror, followlinks=True):
        real, below = os.path.realpath(here), here[len(top) + 1 :]
        entered[real] += 1
        back = below and os.path.islink(here) and _leads_back(top, below)
        if back or entered[real] > MOST_NAMES:
            folders.clear()
            continue
        folders.sort()  # so that the same names come on every machine
        yield here, folders, names


def links_on(paths: Iterable[str]) -> set[str]:
    """Return the links that are followed on the way to these paths, each by where it is."""
    found: set[str] = set()
    waiting = {prefix for path in paths for prefix in _prefixes(path)}
    for _ in range(MOST_LINKS):
        links = {path for path in waiting - found if os.path.islink(path)}
        found |= links
        ends = (os.path.join(os.path.dirname(link), os.readlink(link)) for link in links)
        waiting = {prefix for end in ends for prefix in _prefixes(end)}
    return found


def _prefixes(path: str) -> Iterator[str]:
    """Yield a path and the folders that it names on its way."""
    while path not in {"", os.sep}:
        yield path
        path = os.path.dirname(path.rstrip(os.sep))


def is_of_editor(name: str) -> bool:
    """Return whether a file of this name is what an editor keeps beside what it edits."""
    return _OF_EDITORS.fullmatch(name) is not None


def links_out(root: str, paths: Iterable[str]) -> list[Fault]:
    """Return a fault for each link among a model's files that leads out of the repository.

    Whoever clones the repository would have another model.
    """
    links = [path for path in paths if path and os.path.islink(path)]
    return [
        Fault(
            path, 0, "", f"a link that leads out of the repository, to `{target}`",
            hint="put a copy in its place; only data may be outside, where a dataset names it",
        )
        for path in [root, *links]
        if (target := _target_outside(path))
    ]  # fmt: skip


def _target_outside(path: str) -> str:
    """Return where a path really leads if that is not in the repository, else nothing."""
    real = os.path.realpath(path)
    places = map(os.path.realpath, _PLACES)
    return "" if any(os.path.commonpath([real, one]) == one for one in places) else real


def within(path: str) -> str:
    """Return a path in the repository relative to it, also one that was absolute."""
    for place in map(os.path.abspath, _PLACES):
        if path.startswith(place + os.sep):
            return os.path.relpath(path, place)
    return path


def raised(error: OSError) -> None:
    """Raise an error of `os.walk`, which else passes over what it cannot read.

    A folder that is gone meanwhile is none to read.
    """
    if not isinstance(error, FileNotFoundError):
        raise error


def is_there(path: str) -> bool:
    """Return whether there is anything at a path.  Raises OSError where that cannot be known."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in _NOWHERE:
            return False
        raise
    return True


def remove_tree(top: str) -> None:
    """Remove a folder with all in it, whatever modes a model gave the folders; what stays stays."""
    shutil.rmtree(top, ignore_errors=True)
    if os.path.isdir(top) and not os.path.islink(top):
        _open_up(top)
        for folder, inner, _ in os.walk(top):  # they are opened before they are entered
            for name in inner:
                _open_up(f"{folder}/{name}")
        shutil.rmtree(top, ignore_errors=True)


def link_or_copy(file: str, name: str) -> None:
    """Give a file another name, or copy it where the file system has no links."""
    try:
        os.link(os.path.realpath(file), name)
    except OSError:
        shutil.copy2(file, name)


def _open_up(folder: str) -> None:
    if not os.path.islink(folder):
        with contextlib.suppress(OSError):  # somebody else's
            os.chmod(folder, 0o700)


@contextlib.contextmanager
def also_in(place: str) -> Iterator[None]:
    """Take the files of another folder for the repository's as well, meanwhile.

    The working directory is then a folder of links to that one, see `revision`.
    """
    _PLACES.append(place)
    try:
        yield
    finally:
        _PLACES.pop()


def repository_of(folder: str) -> str:
    """Return the nearest folder, from this one upwards, that has models.  Raises UserError."""
    for place in (Path(folder), *Path(folder).parents):
        if (place / MODELS).is_dir():
            return str(place)
    raise UserError(
        f"There is no `{MODELS}/` in `{folder}` or above it",
        hint=_BEGIN,
    )


def no_models() -> Fault | None:
    """Return what is wrong where the working directory has no folder for models."""
    if os.path.isdir(MODELS):
        return None
    folders = [entry.name for entry in os.scandir() if is_folder(entry)]
    near = difflib.get_close_matches(MODELS, folders, n=1, cutoff=0.8)
    hint = f"`{near[0]}/` has nearly this name: rename it" if near else _BEGIN
    return Fault(MODELS, 0, "", f"there is no such folder in `{os.getcwd()}`", hint)
