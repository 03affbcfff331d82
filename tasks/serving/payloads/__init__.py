"""The forms in which clients send values and have the answer, one module a form.

A form is a reader and a writer.  `negotiation` chooses them by route and headers.  A reader takes a
request's body and its headers (names in small letters) and returns the values, and what the request
wants of the form of its answer; whatever a client sent, its only error is a RequestError.  A writer
takes the model's answer and returns a body and headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.serving.arrays import Array


@dataclass(frozen=True, slots=True)
class About:
    """What an answer says of the model that gave it; `meta` is JSON text of an object."""

    model: str
    version: str = ""
    meta: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants of the form of its answer; most forms have nothing to want.

    `outputs` are the names of tensors, and of each whether it is wanted as bytes; empty: all,
    as bytes where `binary` is true.  `id` is the client's own name for the request.
    """

    id: str = ""
    outputs: tuple[tuple[str, bool], ...] = ()
    binary: bool = False


NOTHING = Wanted()

Reader: TypeAlias = "Callable[[bytes, Mapping[str, str]], tuple[Array, Wanted]]"
Writer: TypeAlias = "Callable[[Array, About, Wanted], tuple[bytes, dict[str, str]]]"
