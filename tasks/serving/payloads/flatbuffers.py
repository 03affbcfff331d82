"""Reading what FlatBuffers wrote, from bytes that nobody vouches for.

A place or a length that leads out of the bytes raises Malformed, nothing worse: this is Python.
A table's fields are known by their number in its schema.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


class Malformed(Exception):
    """Bytes that are not what they should be."""


def number(data: bytes, at: int, letter: str) -> int:
    """Return the integer at a place; `letter` is its type as `struct` names it."""
    if not 0 <= at <= len(data) - struct.calcsize(f"<{letter}"):
        raise Malformed("a place outside of the message")
    return int(struct.unpack_from(f"<{letter}", data, at)[0])


@dataclass(frozen=True, slots=True)
class Table:
    """A table at a place in the bytes."""

    data: bytes
    at: int

    def integer(self, field: int, letter: str) -> int:
        """Return a field that is an integer, 0 if it is not there."""
        at = self._place(field)
        return number(self.data, at, letter) if at else 0

    def table(self, field: int) -> Table | None:
        """Return a field that is a table, or None where there is none."""
        at = self._place(field)
        return follow(self.data, at) if at else None

    def text(self, field: int) -> str:
        """Return a field that is a text."""
        at, length = self.vector(field, 1)
        try:
            return self.data[at : at + length].decode()
        except UnicodeDecodeError:
            raise Malformed("a name that is not in UTF-8") from None

    def tables(self, field: int) -> list[Table]:
        """Return a field that is a list of tables."""
        at, length = self.vector(field, 4)
        return [follow(self.data, at + 4 * index) for index in range(length)]

    def vector(self, field: int, size: int) -> tuple[int, int]:
        """Return where a field's list begins and how long it is; each element has so many bytes."""
        at = self._place(field)
        if not at:
            return 0, 0
        at += number(self.data, at, "I")
        length = number(self.data, at, "I")
        if length * size > len(self.data) - at - 4:
            raise Malformed("a list longer than the message")
        return at + 4, length

    def _place(self, field: int) -> int:
        """Return where a field is, 0 if it is not there."""
        index = self.at - number(self.data, self.at, "i")
        if 4 + 2 * field >= number(self.data, index, "H"):
            return 0
        offset = number(self.data, index + 4 + 2 * field, "H")
        return self.at + offset if offset else 0


def follow(data: bytes, at: int) -> Table:
    """Return the table that is pointed to from a place."""
    return Table(data, at + number(data, at, "I"))
