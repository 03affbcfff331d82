"""Memory that the gateway shares with a worker: large payloads need not go through their socket.

There are a few pieces, the last for answers, the others for batches.  Each is written anew when
what it had has been used: a batch when it is answered, answers when they have come.  A model that
keeps values for longer is noticed, as Python counts who uses the memory; then it is left to that
model, and all goes through the socket.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import mmap
from typing import Any, List, Optional, Sequence

LEAST_BYTES = 1 << 16
"""A smaller payload goes through the socket."""


class Shared:
    """The pieces of memory that the gateway has made."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Open them.  Raises OSError where that cannot be."""
        self._pieces = []  # type: List[mmap.mmap]
        for path in paths:
            with open(path, "r+b") as file:
                self._pieces.append(mmap.mmap(file.fileno(), 0))

    def payload(self, number: int, start: int, size: int) -> memoryview:
        """Return so many bytes of a piece, which nobody can write to through that."""
        return memoryview(self._pieces[number])[start : start + size].toreadonly()

    def is_used(self, number: int) -> bool:
        """Return whether something still uses a payload in a piece."""
        piece = self._pieces[number]
        try:
            piece.resize(len(piece))  # which is refused then, and else does nothing
        except (BufferError, OSError, SystemError):
            return True
        return False

    def fits(self, size: int) -> bool:
        """Return whether answers of so many bytes are to go through it."""
        return LEAST_BYTES <= size <= len(self._pieces[-1])

    def put(self, parts: Sequence[Any]) -> List[int]:
        """Write answers, each as bytes, one behind the other; return where, as `payload` has it."""
        piece = self._pieces[-1]
        piece.seek(0)
        for part in parts:
            piece.write(part)
        return [len(self._pieces) - 1, 0, piece.tell()]


def opened(paths: Sequence[str]) -> Optional[Shared]:
    """Return the memory at these paths, None where it is not to be had."""
    if not paths or not hasattr(memoryview, "toreadonly"):  # Python before 3.8
        return None
    try:
        return Shared(paths)
    except OSError:
        return None
