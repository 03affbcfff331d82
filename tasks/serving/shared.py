"""Memory that the gateway shares with a worker: large payloads need not go through their socket.

The body of a request can be received there, so that a tensor in it is never copied.  How the worker
uses the memory is told in runtime/model_runtime/shared.py.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_BYTES = 1 << 16
"""A smaller payload goes through the socket."""

MOST_BYTES = 1 << 23
"""So does a larger one.  Of the memory only what has been used takes space."""

INPUTS = 2
"""Pieces of memory for requests: one is received while another is answered."""

ALIGNMENT = 64
"""Where a tensor begins is divisible by so many bytes, as numerical libraries like it."""


class Memory:
    """A piece of memory that other processes of this user can open at its `path`, until `close`."""

    def __init__(self) -> None:
        """Make it.  Raises OSError where the system has none."""
        self._file = os.memfd_create("payloads")
        os.ftruncate(self._file, MOST_BYTES)
        self._memory = mmap.mmap(self._file, MOST_BYTES)
        self._address = _address(memoryview(self._memory))
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"

    def is_used(self) -> bool:
        """Return whether there is a view of it: Python counts them."""
        try:
            self._memory.resize(MOST_BYTES)  # which is refused then, and else does nothing
        except BufferError:
            return True
        return False

    def room(self, size: int, ahead: int) -> memoryview:
        """Return room for a body in which a tensor begins after so many bytes."""
        start = -ahead % ALIGNMENT
        return memoryview(self._memory)[start : start + size]

    def put(self, parts: Sequence[bytes | memoryview]) -> memoryview:
        """Write the parts, one behind the other, and return a view of them."""
        view, at = memoryview(self._memory), 0
        for part in parts:
            view[at : at + len(part)] = part
            at += len(part)
        return view[:at]

    def place_of(self, view: memoryview) -> int | None:
        """Return where a view begins in this memory, None where it is one of something else."""
        place = _address(view) - self._address
        return place if 0 <= place < MOST_BYTES else None

    def taken(self, start: int, size: int) -> memoryview:
        """Return a copy of some bytes."""
        return memoryview(self._memory[start : start + size])

    def close(self) -> None:
        """Have nobody open it any more; who has opened it keeps it."""
        os.close(self._file)


class Shared:
    """The memory that is shared with one worker: `inputs` for requests, `answers` for answers."""

    def __init__(self) -> None:
        """Make it.  Raises OSError where the system has none."""
        self.inputs = [Memory() for _ in range(INPUTS)]
        self.answers = Memory()

    @property
    def paths(self) -> list[str]:
        """Where the worker opens it: the inputs, then the answers."""
        return [memory.path for memory in (*self.inputs, self.answers)]

    def room(self, size: int, ahead: int) -> memoryview | None:
        """Return room for a body, None where there is none; while the view lives it is kept."""
        if size + ALIGNMENT <= MOST_BYTES:
            for memory in self.inputs:
                if not memory.is_used():
                    return memory.room(size, ahead)
        return None

    def lend(
        self, parts: Sequence[bytes | memoryview], size: int
    ) -> tuple[int, int, memoryview] | None:
        """Return which of the inputs has a payload, from where on, and a view to keep meanwhile.

        None where it is to go through the socket: for its size, or as the memory is in use.
        """
        if not LEAST_BYTES <= size <= MOST_BYTES:
            return None
        first = memoryview(parts[0])
        if len(parts) == 1 and not first.readonly:
            for number, memory in enumerate(self.inputs):
                if (place := memory.place_of(first)) is not None:
                    return number, place, first
        for number, memory in enumerate(self.inputs):
            if not memory.is_used():
                return number, 0, memory.put(parts)
        return None

    def close(self) -> None:
        """Have nobody open it any more."""
        for memory in (*self.inputs, self.answers):
            memory.close()


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
