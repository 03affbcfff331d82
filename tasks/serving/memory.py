"""Memory that the gateway shares with a worker: large payloads need not go through their socket.

The body of a request can be received into it, so that the worker reads a tensor where it came to.
How the worker uses the memory is told in runtime/model_runtime/memory.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

LEAST_BYTES = 1 << 16
"""A smaller payload goes through the socket; the worker holds to the same."""

SEGMENT_BYTES = 1 << 23
"""A payload that is larger does too.  Of a segment only what has been used takes space."""

INPUTS = 2
"""Segments for requests: one is received while another is answered."""

ALIGNMENT = 64
"""The place of a tensor is a multiple of so many bytes, as numerical libraries like it."""


class Segment:
    """A piece of memory, which other processes of this user can open at its `path`."""

    def __init__(self, file: IO[bytes]) -> None:
        """Make it of a file that is open.  Raises OSError where the system has none."""
        file.truncate(SEGMENT_BYTES)
        self._memory = mmap.mmap(file.fileno(), SEGMENT_BYTES)
        self._address = _address(memoryview(self._memory))
        self.path = f"/proc/{os.getpid()}/fd/{file.fileno()}"

    def is_used(self) -> bool:
        """Return whether there is a view of it: CPython counts them."""
        try:
            self._memory.resize(SEGMENT_BYTES)  # which is refused then, and else does nothing
        except BufferError:
            return True
        return False

    def buffer(self, size: int, ahead: int) -> memoryview:
        """Return so many bytes for a body in which a tensor begins after `ahead` bytes."""
        start = -ahead % ALIGNMENT
        return memoryview(self._memory)[start : start + size]

    def put(self, parts: Sequence[bytes | memoryview]) -> memoryview:
        """Write the parts, one behind the other, and return a view of them."""
        view, at = memoryview(self._memory), 0
        for part in parts:
            view[at : at + len(part)] = part
            at += len(part)
        return view[:at]

    def start_of(self, view: memoryview) -> int | None:
        """Return where a view begins in this segment, None where it is one of something else."""
        start = _address(view) - self._address
        return start if 0 <= start < SEGMENT_BYTES else None

    def copy(self, size: int) -> memoryview:
        """Return a copy of the first bytes."""
        return memoryview(self._memory[:size])


class SharedMemory:
    """The segments that are shared with one worker: `inputs` for requests, `answers`."""

    def __init__(self) -> None:
        """Make them.  Raises OSError where the system has none."""
        with contextlib.ExitStack() as files:
            *self.inputs, self.answers = [
                Segment(files.enter_context(open(os.memfd_create("payloads"), "r+b", buffering=0)))
                for _ in range(INPUTS + 1)
            ]
            self._files = files.pop_all()

    @property
    def paths(self) -> list[str]:
        """Where the worker opens them: the inputs, then the answers."""
        return [segment.path for segment in (*self.inputs, self.answers)]

    def buffer(self, size: int, ahead: int) -> memoryview | None:
        """Return a buffer for a body, which is in use while there is a view of it.

        None where all segments are, or for the body's size.
        """
        if LEAST_BYTES <= size <= SEGMENT_BYTES - ALIGNMENT:
            for segment in self.inputs:
                if not segment.is_used():
                    return segment.buffer(size, ahead)
        return None

    def lend(self, parts: Sequence[bytes | memoryview]) -> tuple[int, int, memoryview] | None:
        """Return which of the inputs has a payload, from where on, and a view to keep meanwhile.

        None where it is to go through the socket: for its size, or as all segments are in use.
        """
        if not LEAST_BYTES <= sum(map(len, parts)) <= SEGMENT_BYTES:
            return None
        first = memoryview(parts[0])
        if len(parts) == 1 and not first.readonly:  # as only what was received into memory is
            for number, segment in enumerate(self.inputs):
                if (start := segment.start_of(first)) is not None:
                    return number, start, first
        for number, segment in enumerate(self.inputs):
            if not segment.is_used():
                return number, 0, segment.put(parts)
        return None

    def close(self) -> None:
        """Have nobody open them any more; who has opened them keeps them."""
        self._files.close()


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
