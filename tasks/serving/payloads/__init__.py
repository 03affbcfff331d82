"""The forms in which clients send values and have the answer, one module a form.

A form is a reader and a writer.  `negotiation` chooses them by route and headers.  A reader takes a
request's body, its headers (names in small letters) and the columns that the model takes, as far as
they are known, and returns the values, and what the request wants of the form of its answer;
whatever a client sent, its only error is a RequestError.  A writer takes the model's answer and
returns a body and headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.serving.arrays import Array
    from tasks.serving.schema import Column


@dataclass(frozen=True, slots=True)
class About:
    """What an answer says of the model that gave it; `meta` is JSON text of an object.

    `outputs` are the columns that the model is said to answer.
    """

    model: str
    version: str = ""
    meta: bytes = b"{}"
    outputs: tuple[Column, ...] = ()


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

Reader: TypeAlias = "Callable[[bytes, Mapping[str, str], Sequence[Column]], tuple[Array, Wanted]]"
Writer: TypeAlias = "Callable[[Array, About, Wanted], tuple[bytes, dict[str, str]]]"
