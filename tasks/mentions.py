"""Which models may read a path, told by a quick look at what their files name.

A model is looked at closely, now and as it was, only where something that it may read differs: of
ten thousand these are few.  Too many is a matter of time, too few would be wrong.  So whatever
might stand for a path counts: a name is compared with the last name of each word in the files that
name others, and what is spelled in a way that a plain look does not see counts as all of them.
Where a link leads elsewhere, so does each word that goes through a folder of its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING

from tasks import frameworks, looks
from tasks.looks import MODELS
from tasks.plan import file_name
from tasks.sources import PACKAGE
from tasks.surroundings import LOCKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What does not belong to a path in JSON or in requirements; a backslash begins what JSON escapes.
_WORDS = re.compile(rb"""[^"'\\\s\[\](){};,:#=@]+""")
_AROUND = re.compile(rb"""[^"'\\\s\[\](){};,:#=@/]+/""")
_SPELLED = re.compile(rb"\\u|%[0-9A-Fa-f]{2}|\A(?:\xff\xfe|\xfe\xff)")
_ANYTHING = b"*"
"""Stands among words for any word."""

_INCLUDED = re.compile(
    rb"(?m)^\s*(?:-r|-c|--requirement|--constraint)[ =]?\s*([^\r\n]+?)\s*(?:\s#.*)?$"
)

_LONGEST = 1 << 16
"""Bytes: who names files in more than that is looked at closely."""


def owner(path: str) -> str:
    """Return the folder of the model that a path belongs to in the working directory, or nothing.

    A model holds no further models.
    """
    if not path.startswith(f"{MODELS}/"):
        return ""
    names = path.split("/")
    ways = ("/".join(names[:count]) for count in range(2, len(names) + 1))
    return next((way for way in ways if os.path.exists(f"{way}/model.json")), "")


class Named:
    """What the files of every model of the working directory name, as the last names of paths.

    The names before these are there with a slash behind them.
    """

    def __init__(self) -> None:
        """Look through the files: some fifty microseconds each."""
        included: dict[str, frozenset[bytes]] = {}
        self._by_folder = {
            folder: frozenset().union(*(_words(path, included) for path in _naming(folder)))
            for folder in looks.model_folders()
        }

    def readers(self, changed: Iterable[str], moved: Iterable[str] = ()) -> list[str]:
        """Return the folders of the models that may read one of these paths.

        Of those that have `moved` all that is below counts as well.  Models that the paths belong
        to are not looked for.
        """
        paths, tops = list(changed), set(moved)
        names = _last_names(paths)
        if names is None or not tops.isdisjoint((frameworks.FOLDER, LOCKS)):
            return list(self._by_folder)
        ways = _last_names(os.path.basename(top) for top in tops) or set()
        names |= {_ANYTHING, b"", b".", b"..", *(way + b"/" for way in ways)}
        locks = {path for path in paths if path.startswith(f"{LOCKS}/")}
        words = _framework_names(paths)
        return [
            folder
            for folder, named in self._by_folder.items()
            if (paths and not named.isdisjoint(names))
            or (locks and _lock(folder) in locks)
            or (words and _is_of(folder, words))
        ]


def _last_names(paths: Iterable[str]) -> set[bytes] | None:
    """Return how paths, and the folders around them, end as words; None where one has no word.

    As they are, and as JSON spells them, a tab for instance.
    """
    names: set[str] = set()
    for path in paths:
        names.update(path.split("/"))
    found = set()
    for name in names - {".."}:
        for text in (name, json.dumps(name, ensure_ascii=False)):
            words = _WORDS.findall(os.fsencode(text))
            if not words:
                return None
            found.add(words[-1])
    return found


def _framework_names(paths: Iterable[str]) -> set[bytes]:
    """Return the words for frameworks whose files are among these paths, in lower case."""
    top = f"{frameworks.FOLDER}/"
    stems = {path[len(top) : -len(".toml")] for path in paths if path.startswith(top)}
    words = (_WORDS.findall(os.fsencode(stem.lower())) for stem in stems)
    return {found[-1] for found in words if found}


def _lock(folder: str) -> str:
    return f"{LOCKS}/{file_name(os.path.relpath(folder, MODELS))}.txt"


def _is_of(folder: str, words: set[bytes]) -> bool:
    """Return whether a model's `model.json` may name one of the frameworks, or its language."""
    with contextlib.suppress(OSError), open(f"{folder}/model.json", "rb") as file:
        data = file.read().lower()
        return bool(_SPELLED.search(data)) or not words.isdisjoint(_WORDS.findall(data))
    return True


def _words(path: str, included: dict[str, frozenset[bytes]]) -> frozenset[bytes]:
    """Return the last names of all that a file names, and what it includes; `included` keeps that.

    `_ANYTHING` is among them where that cannot be told.
    """
    data = _read(path)
    if data is None or _SPELLED.search(data):
        return frozenset([_ANYTHING])
    found = {word.rstrip(b"/").rpartition(b"/")[2] for word in _WORDS.findall(data)}
    found.update(_AROUND.findall(data))
    for value in _INCLUDED.findall(data) if not path.endswith(".json") else ():
        target = os.path.normpath(os.path.join(os.path.dirname(path), os.fsdecode(value)))
        if target not in included:
            included[target] = frozenset()  # files may include each other
            included[target] = _words(target, included)
        found |= included[target]
    return frozenset(found)


def _read(path: str) -> bytes | None:
    """Return a file's bytes, None for what is too long to be looked through; nothing if missing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would have us wait
    except (OSError, ValueError):
        return b""
    try:
        data = os.read(handle, _LONGEST)  # memory for all of it is set aside each time
    except OSError:
        return b""
    finally:
        os.close(handle)
    return None if len(data) == _LONGEST else data


def _naming(top: str) -> Iterator[str]:
    """Yield those files of a model that can name others: datasets, and requirements."""
    waiting, entered = [top], set()
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if looks.is_folder(entry):
                    if entry.name == PACKAGE:
                        yield f"{entry.path}/requirements.txt"
                    elif not entry.is_symlink():
                        waiting.append(entry.path)
                    elif (real := os.path.realpath(entry.path)) not in entered:
                        entered.add(real)  # a link may lead back
                        waiting.append(entry.path)
                elif entry.name.endswith(".json") and entry.name not in (
                    "model.json",
                    "config.json",
                ):
                    yield entry.path
