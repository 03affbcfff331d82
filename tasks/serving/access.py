"""Around every request: its name, whether it may be made, and what is told of it afterwards."""

from __future__ import annotations

import functools
import hmac
import os
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.errors import UserError
from tasks.launch import TOKENS
from tasks.records import utc
from tasks.serving.arrays import RequestError
from tasks.serving.output import STDOUT, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

OPEN = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping")
"""What is answered without a token: whoever starts the server asks there."""

MOST_PARTS = 120
"""How many parts of the log may wait to be written: those of a minute."""

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header of a request, empty where it has none."""
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def request_id(scope: Scope) -> bytes:
    """Return the name of a request: the client's, if that is one, else a new one."""
    given = header(scope, b"x-request-id")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex().encode()


def tokens_said() -> Tokens:
    """Return the tokens that the variable has.  Raises UserError where it is there and has none."""
    said = os.environ.get(TOKENS)
    found = [one.strip() for one in (said or "").split(",") if one.strip()]
    if said is not None and not found:
        hint = "give it tokens, separated by commas, or unset it: then everybody may ask"
        raise UserError(f"`{TOKENS}` is set and has no token", hint=hint)
    return Tokens(found)


class Tokens:
    """The tokens that clients may show; without any, everybody may ask."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Take the tokens, none empty."""
        self._tokens = [os.fsencode(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def check(self, scope: Scope) -> None:
        """Raise RequestError for a request that shows none of them."""
        if not self._tokens or scope["path"] in OPEN:
            return
        scheme, _, shown = header(scope, b"authorization").partition(b" ")
        # Each is compared, in a time that does not tell how much of it is right.
        fits = [hmac.compare_digest(shown.strip(), token) for token in self._tokens]
        if scheme.lower() != b"bearer" or not any(fits):
            message = "a token is asked for: `Authorization: Bearer TOKEN`"
            raise RequestError(message, HTTPStatus.UNAUTHORIZED)


@functools.lru_cache(maxsize=2)
def _written(seconds: int) -> str:
    return utc(seconds)


class Log:
    """The access log: a line of JSON a request, on stdout.

    What nobody reads in time is left out, and counted.
    """

    def __init__(self) -> None:
        """Begin; what is told is written from the next `flush` on."""
        self._lines: list[bytes] = []
        self._left_out = 0
        self._writer = Writer(STDOUT, MOST_PARTS)

    def tell(self, scope: Scope, status: int, seconds: float, **more: Any) -> None:  # noqa: ANN401 - of any kind
        """Tell of a request that was answered."""
        client = scope.get("client")
        line = {
            "time": _written(int(time.time())),
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 6),
            **more,
        }
        self._lines.append(msgspec.json.encode(line))

    def flush(self) -> None:
        """Hand on what was told since the last time."""
        lines, self._lines = self._lines, []
        count = len(lines)
        if self._left_out and lines:
            lines.append(msgspec.json.encode({"left_out": self._left_out}))
        if not lines:
            return
        if self._writer.put(b"\n".join([*lines, b""])):
            self._left_out = 0
        else:
            self._left_out += count

    def close(self) -> None:
        """Write the rest, if it is taken within a second."""
        self.flush()
        self._writer.close()
