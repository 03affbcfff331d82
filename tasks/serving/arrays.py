"""What a request carries to a model and what comes back, whichever form a client gave it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Array:
    """Values for a model, or a model's answer, as they travel between gateway and worker.

    `names` are those of the columns, empty where nobody named them.  `data` is JSON text (UTF-8) of
    a list: a flat row, or rows; it is not parsed on the way.  With a `dtype` (`float64`, `int32`,
    `bool`: as NumPy names it) it is the bytes of a tensor of this `shape` instead, little-endian,
    the last index first.
    """

    data: bytes
    names: tuple[str, ...] = ()
    dtype: str = ""
    shape: tuple[int, ...] = ()


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status, and a sentence for the client."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        """Keep what the client is told."""
        super().__init__(message)
        self.status = int(status)
