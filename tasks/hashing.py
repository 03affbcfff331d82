"""The SHA-256 of big files: as fast as a core hashes, on all cores, and how far it is is told.

Files are read, not mapped: of one that is cut short meanwhile, a mapping would kill the process.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from tasks import cgroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PIECE = 1 << 20
"""Bytes that are read at once."""

BIG = 8 << 20
"""Bytes from which it pays to read the next piece in another thread."""

TELL_SECONDS = 1.0

_GIGABYTE = 1e9


def of_file(file: BinaryIO, size: int, hashed: Callable[[int], None], *, alone: bool = True) -> str:
    """Return the SHA-256 of an unbuffered file; `hashed` is called with the bytes of each piece.

    Where it is `alone`, a big one is read while it is hashed; else the other cores have enough to
    do.  Raises OSError.
    """
    sha = hashlib.sha256()
    for piece in (_read_ahead if alone and size >= BIG else _read)(file):
        sha.update(piece)
        hashed(len(piece))
    return sha.hexdigest()


def _read(file: BinaryIO) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(PIECE))
    while size := file.readinto(buffer):  # type: ignore[attr-defined] # it is unbuffered
        yield buffer[:size]


def _read_ahead(file: BinaryIO) -> Iterator[memoryview]:
    """Yield the pieces of a file; the next one is read while one is worked on."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow, seldom needed

    buffers = [memoryview(bytearray(PIECE)) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(file.readinto, buffers[0])  # type: ignore[attr-defined] # as above
        while size := filling.result():
            piece = buffers[0][:size]
            buffers.reverse()
            filling = pool.submit(file.readinto, buffers[0])  # type: ignore[attr-defined]
            yield piece


class Gauge:
    """How much of some bytes is hashed, told once a second from the second on; for all threads."""

    def __init__(self, total: int, tell: Callable[[str], None]) -> None:
        """Begin with nothing of `total` bytes."""
        self.total, self._tell, self._done = total, tell, 0
        self._next = time.monotonic() + TELL_SECONDS
        self.told = False
        self._lock = threading.Lock()

    def hashed(self, size: int) -> None:
        """Count some bytes."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now >= self._next:
                self._next = now + TELL_SECONDS
                self.told = True
                done, total = self._done / _GIGABYTE, self.total / _GIGABYTE
                self._tell(f"hashed {done:.1f} of {total:.1f} GB")

    def end(self) -> None:
        """Take back what was told."""
        if self.told:
            self._tell("")


def each(items: Sequence[str], work: Callable[[str], object]) -> None:
    """Do some work on each item, on all cores, in the order of the items."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow, seldom needed

    waiting = iter(items)  # which threads may share: its next item is taken in one go

    def take(_number: int) -> None:
        for item in waiting:
            work(item)

    cores = cgroups.cores()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(take, range(cores)))
