"""Digests: of files, looked at once a run, and of values in a canonical form."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# A file written in the same tick of the file system's clock as our look at it could be written
# again without its times changing.  Such a digest is used in this run but not trusted in the next.
# Linux stamps files at the kernel's tick (at most 10 ms); whole seconds betray a coarser clock.
TICK_NS = 20_000_000
COARSE_TICK_NS = 2_000_000_000
SECOND_NS = 1_000_000_000


class Seen(NamedTuple):
    """What was seen of a file: its stat, when it was hashed (ns), its digest.

    `note` is what was worked out from the content, by the method `kind`.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    hashed_ns: int
    digest: str
    kind: str = ""
    note: str = ""


Look: TypeAlias = tuple[int, int, int, int] | None
"""The size, times and inode that were found at a path; None: there was nothing."""


@dataclass
class Trace:
    """All that was looked at to come to a conclusion; not `complete` where it cannot be told."""

    looks: dict[str, Look] = field(default_factory=dict)
    complete: bool = True

    def settled(self, since_ns: int) -> bool:
        """Return whether all of it was old when looking began: no write can have gone unseen."""
        return self.complete and all(_settled(look, since_ns) for look in self.looks.values())


class Files:
    """Digests of files: one stat a run, and at most one read.

    `known` holds what earlier runs saw, by path, and is updated; `changed` collects what is worth
    keeping.  A remembered digest is believed only while size, both times and inode are the same.
    Safe to use from several threads, but for tracing.
    """

    def __init__(self, load: Callable[[], dict[str, Seen]] = dict) -> None:
        """Start from what earlier runs saw, which is loaded when it is needed."""
        self._load = load
        self.changed: dict[str, Seen] = {}
        self.reads = 0
        self.began_ns = time.time_ns()
        self._current: dict[str, Seen] = {}
        self._trace: Trace | None = None
        self._lock = threading.Lock()

    @functools.cached_property
    def known(self) -> dict[str, Seen]:
        """What earlier runs saw, and this one."""
        return self._load()

    @contextlib.contextmanager
    def tracing(self) -> Iterator[Trace]:
        """Collect what is looked at meanwhile, in the one thread that there is then."""
        self._trace = Trace()
        try:
            yield self._trace
        finally:
            self._trace = None

    def untraced(self) -> None:
        """Say that something is looked at which a trace does not hold."""
        if self._trace is not None:
            self._trace.complete = False

    def look(self, path: str) -> Look:
        """Return what is at a path now, followed through links."""
        found = look(path)
        if self._trace is not None:
            self._trace.looks[path] = found
        return found

    def exists(self, path: str) -> bool:
        """Return whether there is anything at the path."""
        return self.look(path) is not None

    def is_folder(self, path: str) -> bool:
        """Return whether the path is a folder."""
        return self.exists(path) and os.path.isdir(path)

    def scan(self, folder: str) -> list[os.DirEntry[str]]:
        """Return a folder's entries by name; none where it is no folder."""
        self.look(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return []
        if any(entry.is_symlink() for entry in entries):
            self.untraced()  # where a link leads can change behind the folder's back
        return entries

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file's bytes.  Raises OSError where it cannot be read."""
        seen = self._current.get(path) or self._look(path)
        if self._trace is not None:
            self._trace.looks[path] = seen[:4]
        return seen.digest

    def note(self, path: str, kind: str, make: Callable[[bytes], str]) -> str:
        """Return what `make` works out from a small file's bytes, remembered by digest and `kind`.

        Raises OSError where it cannot be read, and what `make` raises.
        """
        seen = self._current.get(path)
        if seen is None or seen.kind != kind:
            seen = self._look(path, kind, make)
        if self._trace is not None:
            self._trace.looks[path] = seen[:4]
        return seen.note

    def forget(self, paths: Iterable[str]) -> None:
        """Look at these files again when they are next asked for: a step has just made them."""
        gone = list(paths)  # working them out may look at files, for which the lock must be free
        with self._lock:
            for path in gone:
                self._current.pop(path, None)

    def _look(self, path: str, kind: str = "", make: Callable[[bytes], str] | None = None) -> Seen:
        try:
            now = os.stat(path)
        except (OSError, ValueError) as error:
            self.look(path)
            if isinstance(error, OSError):
                raise
            raise OSError(errno.EINVAL, str(error), path) from error
        if stat.S_ISDIR(now.st_mode):
            self.untraced()
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(now.st_mode):  # reading a pipe would wait for ever
            self.untraced()
            raise OSError(errno.EINVAL, "Not a regular file", path)
        known = self.known.get(path)
        if known is not None and _same(known, now) and (make is None or known.kind == kind):
            seen = known
        else:
            seen = self._read(path) if make is None else self._read_small(path, kind, make)
            with self._lock:
                self.known[path] = self.changed[path] = seen
        with self._lock:
            self._current[path] = seen
        return seen

    def _read(self, path: str) -> Seen:
        self.reads += 1
        hashed_ns = time.time_ns()
        sha = hashlib.sha256()
        buffer = memoryview(bytearray(1 << 18))
        with open(path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            while size := file.readinto(buffer):
                sha.update(buffer[:size])
        return Seen(*_times(now), hashed_ns, sha.hexdigest())

    def _read_small(self, path: str, kind: str, make: Callable[[bytes], str]) -> Seen:
        self.reads += 1
        hashed_ns = time.time_ns()
        with open(path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            data = file.read()
        digest = hashlib.sha256(data).hexdigest()
        known = self.known.get(path)
        same = known is not None and (known.digest, known.kind) == (digest, kind)
        note = known.note if known is not None and same else make(data)
        return Seen(*_times(now), hashed_ns, digest, kind, note)


def _times(now: os.stat_result) -> tuple[int, int, int, int]:
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino


def look(path: str) -> Look:
    """Return what is at a path now, followed through links; nothing where it cannot be reached."""
    try:
        return _times(os.stat(path))
    except (OSError, ValueError):
        return None


def _same(seen: Seen, now: os.stat_result) -> bool:
    return seen[:4] == _times(now) and _settled(seen[:4], seen.hashed_ns)


def _settled(found: Look, since_ns: int) -> bool:
    """Return whether a file was written so long before that a later write has another time."""
    if found is None:
        return True
    newest = max(found[1:3])
    tick = TICK_NS if newest % SECOND_NS else COARSE_TICK_NS
    return newest + tick < since_ns


def canonical(tag: str, value: object) -> str:
    """Return the SHA-256 of a value in canonical form, behind a tag that says what it is.

    The order of keys never matters, any value does.  Raises TypeError for what JSON cannot hold
    and ValueError for NaN.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{tag}\0{text}".encode()).hexdigest()
