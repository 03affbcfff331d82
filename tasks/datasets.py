"""The data files that a dataset names, and where they are."""

from __future__ import annotations

import copy
import os
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.folders import is_there, raised, walk_through_links, within
from tasks.model import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.fingerprint import Files

FILE_KEYS = ("data_path", "url", "dataset_file_path", "location")
"""The keys of a dataset whose string value names a data file."""

DATABASE_SUFFIX = ".duckdb"
"""What the value of `database` ends in where it is a file, and not the name of a database."""

ADDRESS = re.compile(r"(?!file://)[A-Za-z][\w.+-]*://")
"""What an address begins with that names no file of this machine."""


def cache_folder() -> str:
    """Return the folder that all clones on this machine share: `MODEL_CACHE`, or the user's."""
    chosen = os.environ.get("MODEL_CACHE")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")  # a relative one is to be ignored
    home = base if os.path.isabs(base) else os.path.join(Path.home(), ".cache")
    return os.path.join(home, "modelmake")


def data_folder() -> str:
    """Return the folder that downloads are kept in."""
    return os.path.join(cache_folder(), "data")


def locate(content: Mapping[str, Any], folder: str, files: Files) -> tuple[DataFile, ...]:
    """Return the data files that a dataset of the model in `folder` names; nothing is fetched."""
    return tuple(_locate(content, folder, files, ()))


def _locate(
    value: object, folder: str, files: Files, keys: tuple[str | int, ...]
) -> Iterator[DataFile]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and item and _is_file(key, item):
                near = _near(item, folder, files)
                yield _data_file((*keys, key), item, str(value.get("sha256", "")), near)
            elif key in FILE_KEYS and isinstance(item, list):
                yield from _listed(item, folder, files, (*keys, key))
            else:
                yield from _locate(item, folder, files, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _locate(item, folder, files, (*keys, index))


def _listed(
    values: list[Any], folder: str, files: Files, keys: tuple[str | int, ...]
) -> Iterator[DataFile]:
    """Yield the data files of a list under a key that names one."""
    for index, item in enumerate(values):
        if isinstance(item, list):
            yield from _listed(item, folder, files, (*keys, index))
        elif not isinstance(item, str):
            yield from _locate(item, folder, files, (*keys, index))
        elif item and not ADDRESS.match(item):  # of that a sum would be asked
            yield _data_file((*keys, index), item, "", _near(item, folder, files))


def _is_file(key: str, value: str) -> bool:
    return key in FILE_KEYS or (key == "database" and value.endswith(DATABASE_SUFFIX))


def _near(source: str, folder: str, files: Files) -> str:
    """Return the path that a name means: below the model's folder if it is there, or as it is."""
    near = within(os.path.normpath(os.path.join(folder, source)))
    return near if "://" not in source and files.exists(near) else os.path.normpath(source)


def is_misspelt(source: str) -> bool:
    """Return whether a source is meant as an address, and can be none."""
    if "://" not in source:
        return False
    try:
        _ = urllib.parse.urlsplit(source).port
    except ValueError:
        return True
    return False


def _data_file(keys: tuple[str | int, ...], source: str, sha256: str, near: str) -> DataFile:
    if is_misspelt(source):
        return DataFile(keys, source, source, sha256.lower())
    scheme, _, rest = source.partition("://")
    if scheme in ("http", "https") and rest:
        name = os.path.basename(urllib.parse.urlsplit(source).path) or "data"
        path = os.path.join(data_folder(), sha256.lower(), name)
        return DataFile(keys, source, path, sha256.lower(), source)
    if scheme == "file":
        source_path = urllib.parse.unquote(urllib.parse.urlsplit(source).path)
        return DataFile(keys, source, within(source_path), sha256.lower())
    return DataFile(keys, source, near, sha256.lower())


def members(path: str) -> list[str]:
    """Return the file itself, or the files of a folder and of those that it links to, sorted.

    With a database comes the log beside it, in which it has what was written last.
    Raises OSError where a part of the folder cannot be read: what is in it would count for nothing.
    """
    if not os.path.isdir(path):
        log = f"{path}.wal"
        return [path, log] if path.endswith(DATABASE_SUFFIX) and os.path.exists(log) else [path]
    found = []
    for top, _, names in walk_through_links(path, raised):
        paths = [os.path.join(top, name) for name in names]
        found += [file for file in paths if is_there(file)]  # editors lock by dangling links
    return sorted(found)


def folders_of(path: str) -> list[str]:
    """Return the folder at a path and those in it, also by way of links; none where it is a file.

    Raises OSError as `members` does.
    """
    return [top for top, _, _ in walk_through_links(path, raised)] if os.path.isdir(path) else []


def resolved(content: Mapping[str, Any], data_files: tuple[DataFile, ...]) -> dict[str, Any]:
    """Return the dataset as the model gets it: each file's absolute path in place of its name."""
    result = copy.deepcopy(dict(content))
    for data_file in data_files:
        holder: Any = result
        for key in data_file.keys[:-1]:
            holder = holder[key]
        path = os.path.abspath(data_file.path)
        is_file_url = data_file.source.startswith("file://")
        holder[data_file.keys[-1]] = Path(path).as_uri() if is_file_url else path
    return result
