"""Memory that the gateway shares with a worker: large payloads need not go through their socket.

There are a few segments, the last for answers, the others for batches.  Each is written anew when
what it had has been used: a batch when it is answered, answers when they have come.  A model may
keep values for longer.  CPython counts the views of a segment, so that this is noticed, and the
segment is left to the model; so it is where the model has forked, as the views of another process
are not counted.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import gc
import mmap
import os
from typing import Any, List, Optional, Sequence

LEAST_BYTES = 1 << 16
"""A smaller payload goes through the socket; the gateway holds to the same."""


class SharedMemory:
    """The segments that the gateway has made."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Open them.  Raises OSError where that cannot be."""
        self._segments: List[mmap.mmap] = []
        for path in paths:
            with open(path, "r+b") as file:
                self._segments.append(mmap.mmap(file.fileno(), 0))
        self._forked = False
        os.register_at_fork(after_in_parent=self._fork)

    def _fork(self) -> None:
        self._forked = True

    def payload(self, number: int, start: int, size: int) -> memoryview:
        """Return so many bytes of a segment, which nobody can write to through that."""
        self._forked = False
        return memoryview(self._segments[number])[start : start + size].toreadonly()

    def is_kept(self, number: int) -> bool:
        """Return whether something may still use the last payload, in this segment."""
        if self._forked:
            return True
        if self._is_used(number):
            gc.collect()  # what nobody can reach any more, such as an exception, is not kept
            return self._is_used(number)
        return False

    def _is_used(self, number: int) -> bool:
        segment = self._segments[number]
        try:
            segment.resize(len(segment))  # which is refused then, and else does nothing
        except BufferError:
            return True
        return False

    def fits(self, size: int) -> bool:
        """Return whether answers of so many bytes are to go through it."""
        return LEAST_BYTES <= size <= len(self._segments[-1])

    def put(self, parts: Sequence[Any]) -> int:
        """Write answers, each as bytes, one behind the other; return how many bytes that are."""
        segment = self._segments[-1]
        segment.seek(0)
        for part in parts:
            segment.write(part)
        return segment.tell()


def opened(paths: Sequence[str]) -> Optional[SharedMemory]:
    """Return the memory at these paths, None where there is none or it is not to be had."""
    if not paths or not hasattr(memoryview, "toreadonly"):  # Python before 3.8
        return None
    try:
        return SharedMemory(paths)
    except OSError:
        return None
