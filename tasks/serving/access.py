"""Around every request: its name, whether it may be made, and what is told of it afterwards."""

from __future__ import annotations

import functools
import hmac
import os
import re
import sys
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.serving.arrays import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

TOKENS = "MODEL_SERVE_TOKENS"
"""The variable with the tokens of which a client must show one, separated by commas."""

OPEN = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping")
"""What is answered without a token: whoever starts the server asks there."""

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header of a request, empty where it has none."""
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def request_id(scope: Scope) -> bytes:
    """Return the name of a request: the client's, if that is one, else a new one."""
    given = header(scope, b"x-request-id")
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex().encode()


class Tokens:
    """The tokens that clients may show; without any, everybody may ask."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Take the tokens, none empty."""
        self._tokens = [token.encode() for token in tokens]

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
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Log:
    """The access log: a line of JSON a request, on stdout."""

    def __init__(self) -> None:
        """Begin; what is told is written by `flush`."""
        self._lines: list[bytes] = []

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
        """Write what was told since the last time; where nobody reads, it is dropped."""
        lines, self._lines = self._lines, []
        if lines:
            try:
                sys.stdout.buffer.write(b"\n".join([*lines, b""]))
                sys.stdout.buffer.flush()
            except OSError:
                pass
