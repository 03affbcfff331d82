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
from typing import TYPE_CHECKING, NamedTuple

from tasks.hashing import BIG, Gauge, each, of_file
from tasks.looks import look, settled, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tasks.looks import Look


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


@dataclass
class Trace:
    """All that was looked at to come to a conclusion; not `complete` where it cannot be told."""

    looks: dict[str, Look] = field(default_factory=dict)
    complete: bool = True

    def settled(self, since_ns: int) -> bool:
        """Return whether all of it was old when looking began: no write can have gone unseen."""
        return self.complete and all(settled(look, since_ns) for look in self.looks.values())


class Files:
    """Digests of files: one stat a run, and at most one read.

    `recall` tells what earlier runs saw of a path; `changed` collects what is worth keeping.  A
    remembered digest is believed only while size, both times and inode are the same.  `tell` is
    told how far it is with files that take long.
    Safe to use from several threads, but for tracing.
    """

    def __init__(self, recall: Callable[[str], Seen | None] = lambda _path: None) -> None:
        """Start from what earlier runs saw, of which a path is asked for when it is needed."""
        self._recall = recall
        self.known: dict[str, Seen | None] = {}
        self.changed: dict[str, Seen] = {}
        self.tell: Callable[[str], None] = lambda _text: None
        self.reads = 0
        self.began_ns = time.time_ns()
        self._current: dict[str, Seen] = {}
        self._trace: Trace | None = None
        self._lock = threading.Lock()
        self._readers: dict[str, threading.Lock] = {}

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
        """Return a folder's entries by name; none where it is no folder.

        Raises OSError where it cannot be read.
        """
        self.look(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
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

    def digest_ahead(self, paths: Iterable[str], tell: Callable[[str], None] | None = None) -> None:
        """Work out the digests of many or big files, on all cores; they are known from then on.

        Where a file cannot be read, whoever asks for its digest is told.
        """
        sizes = {}
        for path in paths:
            found, known = look(path), self.earlier(path)
            if found and not (known and known[:4] == found):
                sizes[path] = found[0]
        gauge = Gauge(sum(sizes.values()), tell or self.tell)
        if gauge.total < BIG:
            return
        read = functools.partial(self._read, hashed=gauge.hashed, alone=len(sizes) == 1)

        def digest(path: str) -> None:
            with contextlib.suppress(OSError):
                self._look(path, read=read)

        each(sorted(sizes, key=sizes.__getitem__, reverse=True), digest)
        gauge.end()

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

    def _look(
        self,
        path: str,
        kind: str = "",
        make: Callable[[bytes], str] | None = None,
        read: Callable[[str], Seen] | None = None,
    ) -> Seen:
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
        with self._lock:
            reader = self._readers.setdefault(path, threading.Lock())
        with reader:  # who asks for it meanwhile waits, and finds it known
            known = self.earlier(path)
            if known is not None and _same(known, now) and (make is None or known.kind == kind):
                seen = known
            else:
                if make is None:
                    seen = (read or self._read)(path)
                else:
                    seen = self._read_small(path, kind, make)
                with self._lock:
                    self.known[path] = self.changed[path] = seen
        with self._lock:
            self._current[path] = seen
        return seen

    def earlier(self, path: str) -> Seen | None:
        """Return what was last seen of a path, by an earlier run or this one."""
        if path not in self.known:
            self.known[path] = self._recall(path)
        return self.known[path]

    def _read(
        self, path: str, hashed: Callable[[int], None] | None = None, *, alone: bool = True
    ) -> Seen:
        self.reads += 1
        hashed_ns = time.time_ns()
        with open(path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            gauge = Gauge(now.st_size, self.tell)
            digest = of_file(file, now.st_size, hashed or gauge.hashed, alone=alone)
            gauge.end()
        return Seen(*times(now), hashed_ns, digest)

    def _read_small(self, path: str, kind: str, make: Callable[[bytes], str]) -> Seen:
        self.reads += 1
        hashed_ns = time.time_ns()
        with open(path, "rb", buffering=0) as file:
            now = os.fstat(file.fileno())
            data = file.read()
        digest = hashlib.sha256(data).hexdigest()
        known = self.earlier(path)
        same = known is not None and (known.digest, known.kind) == (digest, kind)
        note = known.note if known is not None and same else make(data)
        return Seen(*times(now), hashed_ns, digest, kind, note)


def _same(seen: Seen, now: os.stat_result) -> bool:
    return seen[:4] == times(now) and settled(seen[:4], seen.hashed_ns)


def canonical(tag: str, value: object) -> str:
    """Return the SHA-256 of a value in canonical form, behind a tag that says what it is.

    The order of keys never matters, any value does.  Raises TypeError for what JSON cannot hold
    and ValueError for NaN.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{tag}\0{text}".encode()).hexdigest()
