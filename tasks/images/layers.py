"""A layer of an image: files in a tar archive, whose bytes follow from what is in it alone."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.containers import EPOCH
from tasks.objects import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SKIPPED = frozenset({"__pycache__"})


@dataclass(frozen=True)
class Entry:
    """A file of an image: the one at `source`, or `data`; a link to `link`; else a folder.

    `open` is for a folder that everybody may write into, `runs` for data that can be executed.
    """

    path: str
    source: str = ""
    data: bytes | None = None
    link: str = ""
    open: bool = False
    runs: bool = False

    @property
    def size(self) -> int:
        """How many bytes it has, as `lstat` would tell."""
        if self.link:
            return len(os.fsencode(self.link))
        return len(self.data) if self.data is not None else os.path.getsize(self.source)

    @property
    def digest(self) -> str:
        """The digest of what it is: its bytes, or where it leads."""
        if self.link:
            return f"-> {self.link}"
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest()
        return digest_of(self.source)


def tree(
    source: str, target: str, skip: Callable[[str], bool] = lambda _path: False
) -> Iterator[Entry]:
    """Yield all files and links below a folder; `skip` is given each path relative to it."""
    for top, folders, names in os.walk(source):
        inner = os.path.relpath(top, source).removeprefix(".").lstrip("/")

        def of(name: str, inner: str = inner) -> str:
            return f"{inner}/{name}".lstrip("/")

        links = [name for name in folders if os.path.islink(f"{top}/{name}")]
        folders[:] = [n for n in folders if n not in SKIPPED and n not in links and not skip(of(n))]
        for name in [*names, *links]:
            path = f"{top}/{name}"
            if skip(of(name)):
                continue
            if os.path.islink(path):
                yield Entry(f"{target}/{of(name)}", link=os.readlink(path))
            else:
                yield Entry(f"{target}/{of(name)}", source=path)


def write(path: str, entries: Iterable[Entry]) -> None:
    """Write an archive of entries and the folders that they are in, all owned by root."""
    by_path = {entry.path.strip("/"): entry for entry in entries}
    folders = {parent for name in by_path for parent in _parents(name)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(folders | by_path.keys()):
            _add(archive, name, by_path.get(name, Entry(name)))


def _parents(name: str) -> Iterator[str]:
    parent = os.path.dirname(name)
    while parent:
        yield parent
        parent = os.path.dirname(parent)


def _add(archive: tarfile.TarFile, name: str, entry: Entry) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = EPOCH
    if entry.link:
        member.type, member.linkname = tarfile.SYMTYPE, entry.link
    elif entry.data is not None:
        member.size, member.mode = len(entry.data), 0o755 if entry.runs else 0o644
        archive.addfile(member, io.BytesIO(entry.data))
        return
    elif entry.source:
        member.size = entry.size
        runs = os.stat(entry.source).st_mode & stat.S_IXUSR
        member.mode = 0o755 if runs else 0o644
        with open(entry.source, "rb") as file:
            archive.addfile(member, file)
        return
    else:
        member.type, member.mode = tarfile.DIRTYPE, 0o1777 if entry.open else 0o755
    archive.addfile(member)
