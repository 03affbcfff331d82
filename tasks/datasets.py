"""The data files that a dataset names: where they are, and how they get there."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import hashlib
import os
import re
import tempfile
import urllib.parse
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tasks.errors import UserError, without_password
from tasks.folders import is_there, raised, walk_through_links, within
from tasks.model import DataFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.fingerprint import Files

FILE_KEYS = ("data_path", "url", "dataset_file_path", "location")
"""The keys of a dataset whose string value names a data file."""

DATABASE_SUFFIX = ".duckdb"
"""What the value of `database` ends in where it is a file, and not the name of a database."""

TIMEOUT_SECONDS = 60

_FETCHING = ".fetching-"
_ADDRESS = re.compile(r"(?!file://)[A-Za-z][\w.+-]*://")
_DRIVE = re.compile(r"[A-Za-z]:/")
_STARTS = "a relative path starts at the model's folder or at the repository"


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
        elif item and not _ADDRESS.match(item):  # of that a sum would be asked
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


def fetch(data_file: DataFile, where: str, files: Files, say: Callable[[str], None]) -> None:
    """Make a data file present and right: from the cache, a mirror, or the network.

    `where` names the dataset's file for the message.  Raises UserError where it is missing, cannot
    be fetched, or is not what its `sha256` says.
    """
    if data_file.url and not os.path.exists(data_file.path):
        with _alone(os.path.dirname(data_file.path), say):
            if not os.path.exists(data_file.path):
                _into_cache(data_file, where, say)
    check(data_file, where, files)


def check(data_file: DataFile, where: str, files: Files) -> None:
    """Raise UserError for a data file that is missing here, or is not what its `sha256` says."""
    if not os.path.exists(data_file.path):
        hint = way_out(data_file.source)
        looked_for = [("looked for", os.path.abspath(data_file.path))] if hint == _STARTS else []
        raise UserError(
            f"`{where}` names a data file that is missing",
            ("key", ".".join(map(str, data_file.keys))),
            ("file", without_password(data_file.source)),
            *looked_for,
            hint=hint,
        )
    if data_file.sha256 and not os.path.isdir(data_file.path):
        _verify(data_file, files.digest(data_file.path), where)


def way_out(source: str) -> str:
    """Return the hint for a data file that is missing, by the way in which it is named."""
    if _ADDRESS.match(source):
        return "addresses of this kind are not fetched, but `http://` and `https://` are"
    if source.startswith("~"):
        return "`~` is not expanded: name the folder in full, or from the model's folder"
    if "\\" in source or _DRIVE.match(source):
        return "a path has `/` between its folders, and no drive in front: `data/train.csv`"
    return _STARTS


def _verify(data_file: DataFile, found: str, where: str) -> None:
    if found == data_file.sha256:
        return
    hint = "the file is not the one that the dataset means: fetch it again, or correct `sha256`"
    if data_file.url:
        with contextlib.suppress(OSError):
            os.remove(data_file.path)
    raise UserError(
        f"`{where}` names a data file with another checksum",
        ("file", data_file.source),
        ("expected", f"sha256 {data_file.sha256}"),
        ("found", f"sha256 {found}"),
        hint=hint,
    )


@contextlib.contextmanager
def _alone(folder: str, say: Callable[[str], None]) -> Iterator[None]:
    """Keep others who want the same data waiting, and clear away what a killed one has left."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.held", "w", encoding="utf-8") as held:
        say("waiting for another download of the same data")
        fcntl.flock(held, fcntl.LOCK_EX)
        for left in Path(folder).glob(f"{_FETCHING}*"):
            left.unlink(missing_ok=True)
        yield


def _into_cache(data_file: DataFile, where: str, say: Callable[[str], None]) -> None:
    folder = os.path.dirname(data_file.path)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=_FETCHING)
    try:
        with os.fdopen(handle, "wb") as target:
            mirrored = in_mirror(data_file)
            if mirrored:
                with open(mirrored, "rb") as source:
                    digest = _copy(source, target, 0, data_file, say)
            else:
                digest = _download(data_file, target, where, say)
            target.flush()
            os.fsync(target.fileno())
        _verify(data_file, digest, where)
        os.replace(temporary, data_file.path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def in_mirror(data_file: DataFile) -> str | None:
    """Return the file of the same name (or named by its digest) in a `DATASET_MIRROR` folder."""
    folders = os.environ.get("DATASET_MIRROR", "").split(os.pathsep)
    names = (os.path.basename(data_file.path), data_file.sha256)
    paths = [os.path.join(folder, name) for folder in folders if folder for name in names]
    return next((path for path in paths if os.path.isfile(path)), None)


def _download(
    data_file: DataFile,
    target: IO[bytes],
    where: str,
    say: Callable[[str], None],
) -> str:
    import http.client  # noqa: PLC0415 - slow to import, seldom needed
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    broken = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
    none = ValueError  # an address with signs that no address has
    try:
        with urllib.request.urlopen(data_file.url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            size = int(answer.headers.get("Content-Length") or 0)
            return _copy(answer, target, size, data_file, say)
    except (*broken, none) as error:
        raise not_to_be_had(data_file, where, error) from error


def not_to_be_had(data_file: DataFile, where: str, error: Exception) -> UserError:
    """Return the error for a download that fails."""
    name = os.path.basename(data_file.path)
    return UserError(
        f"`{where}` names a data file that cannot be fetched",
        ("url", without_password(data_file.url)),
        ("reason", getattr(error, "reason", error)),
        hint=f"put `{name}` into a folder and name the folder in `DATASET_MIRROR`",
    )


def _copy(
    source: IO[bytes],
    target: IO[bytes],
    size: int,
    data_file: DataFile,
    say: Callable[[str], None],
) -> str:
    sha, done = hashlib.sha256(), 0
    while chunk := source.read(1 << 20):
        target.write(chunk)
        sha.update(chunk)
        done += len(chunk)
        share = f" of {size / 1e6:.1f}" if size else ""
        say(f"fetching {os.path.basename(data_file.path)}: {done / 1e6:.1f}{share} MB")
    return sha.hexdigest()
