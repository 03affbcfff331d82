"""The gateway: HTTP on one side, the pools of workers on the other."""

from __future__ import annotations

import json
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from tasks.serving.arrays import Array, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from tasks.serving.pool import Pool

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class _Data(msgspec.Struct):
    ndarray: msgspec.Raw
    names: tuple[str, ...] | None = None


class _Body(msgspec.Struct):
    data: _Data


_DECODER = msgspec.json.Decoder(_Body)


class Gateway:
    """The ASGI application: `pools` has the version of each model that is served, by its name."""

    def __init__(self, pools: Mapping[str, Pool], limit: int) -> None:
        """Serve these; a body has at most `limit` bytes."""
        self.pools, self.limit = pools, limit
        self._routes = Router(
            [
                Route("/models/{model:path}/predict", self.predict, methods=["POST"]),
                Route("/models/{model:path}/explain", self.explain, methods=["POST"]),
                Route("/predict", self.predict, methods=["POST"]),
                Route("/explain", self.explain, methods=["POST"]),
                Route("/health/live", self.live),
                Route("/health/ready", self.is_ready),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request_id = _request_id(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id))
            await send(message)

        try:
            await self._routes(scope, receive, sending)
        except RequestError as error:
            await failure(error, request_id)(scope, receive, sending)
        except HTTPException as error:
            told = RequestError(error.detail, error.status_code)
            await failure(told, request_id)(scope, receive, sending)

    def pool(self, request: Request) -> Pool:
        """Return the pool that a request is for.  Raises RequestError."""
        name = request.path_params.get("model")
        if name is None and len(self.pools) == 1:
            return next(iter(self.pools.values()))
        found = self.pools.get(name or "")
        if found is None:
            known = ", ".join(f"`{one}`" for one in self.pools)
            raise RequestError(f"there is no such model; served are {known}", HTTPStatus.NOT_FOUND)
        return found

    async def predict(self, request: Request) -> Response:
        """Answer with predictions."""
        return await self._ask(request, "predict")

    async def explain(self, request: Request) -> Response:
        """Answer with what the model says of how it came to its predictions."""
        return await self._ask(request, "explain")

    async def _ask(self, request: Request, ask: str) -> Response:
        pool = self.pool(request)
        body = await self.body(request)
        try:
            data = _DECODER.decode(body).data
        except msgspec.DecodeError as error:
            raise RequestError(str(error)) from None
        array = Array(bytes(data.ndarray), data.names or ())
        answer = await pool.submit(array, ask)
        names = json.dumps(answer.names).encode()
        text = b'{"data":{"names":%b,"ndarray":%b},"meta":{}}' % (names, answer.data)
        return Response(text, media_type="application/json")

    async def body(self, request: Request) -> bytes:
        """Return the body of a request.  Raises RequestError where it is too large."""
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self.limit:
                message = f"a request has at most {self.limit} bytes"
                raise RequestError(message, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def live(self, request: Request) -> Response:
        """Say that the gateway is there."""
        del request
        return JSONResponse({"live": True})

    async def is_ready(self, request: Request) -> Response:
        """Say whether each model has a worker to answer."""
        del request
        models = {name: pool.ready for name, pool in self.pools.items()}
        ready = all(models.values())
        return JSONResponse({"ready": ready, "models": models}, 200 if ready else 503)


def failure(error: RequestError, request_id: bytes) -> Response:
    """Return the answer to a request that cannot be answered."""
    told = {"status": error.status, "message": str(error), "request": request_id.decode()}
    later = error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse({"error": told}, error.status, {"Retry-After": "1"} if later else None)


def _request_id(scope: Scope) -> bytes:
    """Return the name of a request: the client's, if that is one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return bytes(value)
    return os.urandom(8).hex().encode()
