"""A log that is never large: it keeps the first bytes of what is written, and the last ones."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

HEAD_BYTES = 8_000_000
TAIL_BYTES = 2_000_000


class BoundedLog:
    """Keeps the first bytes of what is written as it comes, and the last at the end."""

    def __init__(self, file: SupportsWrite[bytes]) -> None:
        """Begin with nothing in it."""
        self._file = file
        self._room = HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_size = self._left_out = 0

    def write(self, data: bytes) -> None:
        """Write what there is room for, and keep the end of the rest."""
        if self._room:
            head, data = data[: self._room], data[self._room :]
            self._file.write(head)
            self._room -= len(head)
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) > TAIL_BYTES:
                dropped = len(self._tail.popleft())
                self._tail_size -= dropped
                self._left_out += dropped

    def finish(self) -> None:
        """Write the end."""
        if self._left_out:
            self._file.write(b"\n... %d bytes left out ...\n" % self._left_out)
        for data in self._tail:
            self._file.write(data)
