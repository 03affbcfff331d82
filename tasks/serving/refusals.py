"""What a client is told where a request cannot be answered, as its protocol has it."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tasks.serving.arrays import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

LONGEST_MESSAGE = 1000
"""Letters of what is told of an error, which may name what the client has sent."""

_LOG = logging.getLogger(__name__)


def answer(error: Exception, scope: Scope, request_id: bytes) -> Response:
    """Return the answer to a request that ended in an error."""
    told, headers = _told(error)
    message = str(told).encode(errors="backslashreplace").decode()
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[: LONGEST_MESSAGE - 4]} ..."
    own = {}
    if told.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        own["Retry-After"] = "1"
    if told.status == HTTPStatus.UNAUTHORIZED:
        own["WWW-Authenticate"] = "Bearer"
    facts = {"status": told.status, "message": message, "request": request_id.decode()}
    body = {"error": message if scope["path"].startswith("/v2") else facts}
    return JSONResponse(body, told.status, {**headers, **own})


def _told(error: Exception) -> tuple[RequestError, Mapping[str, str]]:
    """Return what a client is told of an error, and headers; of ours the log has the traceback."""
    if isinstance(error, RequestError):
        return error, {}
    if isinstance(error, HTTPException):
        return RequestError(error.detail, error.status_code), error.headers or {}
    _LOG.error("A request cannot be answered", exc_info=error)
    return RequestError("an error of the server's own", HTTPStatus.INTERNAL_SERVER_ERROR), {}
