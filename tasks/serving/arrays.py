"""What a request carries to a model and what comes back, whichever form a client gave it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 1 << 18
"""Bytes of JSON that are decoded at once, about: while that lasts, nothing else runs."""

WORDS: dict[int, Any] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""The letter of a type for what has so many bytes, whatever it is, where it is only moved."""

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_HOLDS_ROWS = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\[").match


@dataclass(frozen=True, slots=True)
class Array:
    """Values for a model, or a model's answer, as they travel between gateway and worker.

    `names` are those of the columns, empty where nobody named them.  `data` is JSON text (UTF-8) of
    a list: a flat row, or rows; it is not parsed on the way.  With a `dtype` (`float64`, `int32`,
    `bool`: as NumPy names it) it is the bytes of a tensor of this `shape` instead, little-endian,
    the last index first.
    """

    data: bytes | memoryview
    names: tuple[str, ...] = ()
    dtype: str = ""
    shape: tuple[int, ...] = ()

    @property
    def json(self) -> bytes:
        """The text of values that are no tensor."""
        return bytes(self.data)


def holds_rows(data: bytes) -> bool:
    """Return whether a list in JSON is rows: whether its first value is a list."""
    return _HOLDS_ROWS(data) is not None


def in_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield a list in JSON as lists of some of its values, with the place of the first of each.

    Raises what msgspec raises where it is none.
    """
    if len(data) <= PART:
        yield 0, data
        return
    values = _ELEMENTS.decode(data)
    step = max(1, len(values) * PART // len(data))
    for at in range(0, len(values) or 1, step):
        yield at, b"[%b]" % b",".join(values[at : at + step])


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status, and a sentence for the client."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        """Keep what the client is told."""
        super().__init__(message)
        self.status = int(status)
