"""Data files are made present: from the cache, a mirror or the network, and held to their sums."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tasks.datasets import ADDRESS
from tasks.errors import UserError, without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.fingerprint import Files
    from tasks.model import DataFile

TIMEOUT_SECONDS = 60

_FETCHING = ".fetching-"
_DRIVE = re.compile(r"[A-Za-z]:/")
_STARTS = "a relative path starts at the model's folder or at the repository"


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
        places = _places(data_file.source, where) if hint == _STARTS else []
        raise UserError(
            f"`{where}` names a data file that is missing",
            ("key", ".".join(map(str, data_file.keys))),
            ("file", without_password(data_file.source)),
            *(("looked for", os.path.abspath(place)) for place in places),
            hint=hint,
        )
    if data_file.sha256 and not os.path.isdir(data_file.path):
        _verify(data_file, files.digest(data_file.path), where)


def _places(source: str, where: str) -> list[str]:
    """Return where a file is looked for that the dataset `where` names, the nearer place first."""
    folder = os.path.dirname(where)
    while folder and folder != os.sep and not os.path.exists(f"{folder}/model.json"):
        folder = os.path.dirname(folder)
    ours = [f"{folder}/{source}"] if folder.strip(os.sep) and not os.path.isabs(source) else []
    return [*ours, source]


def way_out(source: str) -> str:
    """Return the hint for a data file that is missing, by the way in which it is named."""
    if ADDRESS.match(source):
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
