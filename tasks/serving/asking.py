"""What clients put to models: at which address, in which form, and how it is read."""

from __future__ import annotations

import asyncio
import functools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import ClientDisconnect

from tasks.serving.arrays import RequestError
from tasks.serving.payloads import infer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope

    from tasks.serving.arrays import Array
    from tasks.serving.payloads import About, Reader, Wanted, Writer
    from tasks.serving.schema import Schema

LARGE = 1 << 18
"""Bytes that are read, or of an answer that is written, in a thread: others go on.

Not so where nothing is read of them but their number: the way to the thread takes longer.
"""

_ASK = re.compile(r"(?:/models/(?P<model>.+)|)/(?P<ask>predict|explain|invocations)")
_INFER = re.compile(r"/v2/models/(?P<model>.+?)(/versions/(?P<version>[^/]+))?/(?P<ask>infer)")


class Asked(NamedTuple):
    """What an address asks for: of which model (None: the only one), in which version, and what."""

    model: str | None
    version: str | None
    ask: str


@functools.lru_cache(maxsize=1024)  # clients ask for the same all the time
def asked(path: str) -> Asked | None:
    """Return what is put to a model at this address, None where nothing is."""
    found = _ASK.fullmatch(path) or _INFER.fullmatch(path)
    return _of(found.groupdict()) if found else None


def _of(found: Mapping[str, str | None]) -> Asked:
    return Asked(found.get("model"), found.get("version"), found["ask"] or "")


async def body_of(scope: Scope, receive: Receive, limit: int) -> bytes | memoryview:
    """Return the body of a request.  Raises RequestError where it has more than `limit` bytes."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = scope["state"].pop("body", None) or message.get("body", b"")
        size += len(part)
        if size > limit:
            told = f"a request has at most {limit} bytes"
            raise RequestError(told, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def understood(
    read: Reader, body: bytes | memoryview, headers: Mapping[str, str], schema: Schema
) -> tuple[Array, Wanted]:
    """Return what a request carries, as the model wants it.  Raises RequestError."""
    if read is infer.read and infer.is_light(body, headers):
        array, wanted = infer.read(body, headers)
        return schema.check(array), wanted
    given = bytes(body)

    def carried() -> tuple[Array, Wanted]:
        array, wanted = read(given, headers, schema.inputs)
        return schema.check(array), wanted

    return carried() if len(given) < LARGE else await asyncio.to_thread(carried)


async def written(
    write: Writer, answer: Array, about: About, wanted: Wanted
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an answer."""
    if len(answer.data) < LARGE:
        return write(answer, about, wanted)
    return await asyncio.to_thread(write, answer, about, wanted)
