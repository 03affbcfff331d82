"""The gateway: HTTP on one side, the pools of workers on the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from tasks.serving import access, inference, openapi, refusals
from tasks.serving.arrays import RequestError
from tasks.serving.asking import asked, body_of, understood, written
from tasks.serving.batches import GONE
from tasks.serving.page import page
from tasks.serving.payloads import infer
from tasks.serving.payloads.negotiation import negotiate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from tasks.serving.arrays import Array
    from tasks.serving.asking import Asked
    from tasks.serving.metrics import Metrics
    from tasks.serving.payloads import Reader, Wanted
    from tasks.serving.pool import Pool


class Gateway:
    """The ASGI application: `pools` has the version of each model that is served, by its name.

    `names` are those of all models, also of those that are still being started.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a server has one of each
        self,
        pools: Mapping[str, Pool],
        names: AbstractSet[str],
        metrics: Metrics,
        log: access.Log,
        tokens: access.Tokens,
        limit: int,
    ) -> None:
        """Serve these; a body has at most `limit` bytes."""
        self._names = names
        self.pools, self._metrics, self._log, self._tokens = pools, metrics, log, tokens
        self._limit = limit
        self._routes = Router(self._looks())

    def _looks(self) -> list[Route]:
        """Return the addresses at which nothing is put to a model."""
        model = "/v2/models/{model:path}"
        versioned = f"{model}/versions/{{version}}"
        return [
            *(Route(f"{one}/ready", self._model_ready) for one in (versioned, model)),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
            Route("/v2", self._server),
            *(Route(one, self._model) for one in (versioned, model)),
            Route("/health/live", self._live),
            *(Route(one, self._ready) for one in ("/health/ready", "/ping")),  # of MLflow's clients
            *(Route(f"{one}/drift", self._drift) for one in ("/models/{model:path}", "")),
            Route("/metrics", self._told),
            Route("/models", self._models),
            Route("/openapi.json", self._document),
            Route("/docs", self._docs),
            Route("/", self._start),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, count it and write it into the log."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        name = access.request_id(scope)
        status = GONE

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", name))
            await send(message)

        told: dict[str, str] = {}
        scope["app"] = self  # so that Starlette raises what it has no route for
        try:
            self._tokens.check(scope)
            if put := asked(scope["path"]):
                await self._ask(put, scope, receive, sending, told)
            else:
                await self._routes(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            if status == GONE:  # nothing was answered yet
                await refusals.answer(error, scope, name)(scope, receive, sending)
        scope["state"].pop("body", None)  # of a request that was refused before it was read
        seconds = time.perf_counter() - began
        if told:
            self._metrics.answered(told["model"], told["ask"], status, seconds)
        self._log.tell(scope, status, seconds, request=name.decode(), **told)

    def buffer_for(self, scope: Scope, size: int) -> memoryview | None:
        """Return where a body of so many bytes is to be put, None where that does not matter.

        Neither does it where all memory is in use.
        """
        put = asked(scope["path"])
        pool = self.pools.get(put.model or "") if put and put.ask == "infer" else None
        ahead = infer.told_length(access.header(scope, infer.LENGTH.encode()).decode("latin-1"))
        if pool is None or ahead is None:
            return None
        with contextlib.suppress(RequestError):
            self._tokens.check(scope)
            return pool.buffer(size, ahead)
        return None

    async def _ask(
        self, put: Asked, scope: Scope, receive: Receive, send: Send, told: dict[str, str]
    ) -> None:
        """Put what a client asks to a model; `told` is filled with what the log says of that."""
        if scope["method"] != "POST":
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
        name, ask = self._name(put.model, put.version, put.ask), put.ask
        told |= {"model": name, "ask": ask}
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        if headers.get("content-encoding", "identity") != "identity":
            message = "A compressed body is not read; send it as it is"
            raise RequestError(message, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        media, accept = headers.get("content-type", ""), headers.get("accept", "")
        read, write = negotiate(ask, media, accept)
        body = await body_of(scope, receive, self._limit)
        pool, array, wanted = await self._taken(put, name, read, body, headers)
        if ask == "explain" and not pool.explains:
            raise RequestError(f"model `{name}` does not explain", HTTPStatus.NOT_FOUND)
        cycle = getattr(receive, "__self__", None)  # of the connection, which knows

        def gone() -> bool:
            return getattr(cycle, "left", False) or getattr(cycle, "disconnected", False)

        answer = await pool.submit(array, "explain" if ask == "explain" else "predict", gone)
        if pool.monitor and ask != "explain":
            pool.monitor.note(array, answer)
        text, more = await written(write, answer, pool.about, wanted)
        told["version"] = pool.release.version
        own = [(key.encode(), value.encode()) for key, value in more.items()]
        fields = [*own, (b"content-length", b"%d" % len(text)), *pool.headers]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": fields})
        await send({"type": "http.response.body", "body": text})

    async def _taken(
        self,
        put: Asked,
        name: str,
        read: Reader,
        body: bytes | memoryview,
        headers: Mapping[str, str],
    ) -> tuple[Pool, Array, Wanted]:
        """Return who is to answer a request, and what that one takes from it.

        While a body comes, or is read, another version may take over: that one's schema counts.
        Raises RequestError, also where it is not the version that is asked for.
        """
        while True:
            pool = self.pools[self._name(name, put.version, put.ask)]
            array, wanted = await understood(read, body, headers, pool.release.schema)
            if pool is self.pools[name]:
                return pool, array, wanted

    def _name(self, name: str | None, version: str | None, ask: str) -> str:
        """Return the name of the model that is asked for `ask`.  Raises RequestError."""
        if name is None and len(self._names) == 1:
            name = next(iter(self._names))
        found = self.pools.get(name or "")
        if found is not None and version in {None, found.release.version}:
            return found.release.name
        if found is None and name in self._names:
            message = f"model `{name}` is being started"
            raise RequestError(message, HTTPStatus.SERVICE_UNAVAILABLE)
        known = [f"`{one}` {self.pools[one].release.version}" for one in sorted(self.pools)]
        known += [f"`{one}` (being started)" for one in sorted({*self._names} - {*self.pools})]
        message = "there is no such model or version; served are"
        if name is None and known:
            message = f"several models are served: ask /models/MODEL/{ask}; they are"
        raise RequestError(f"{message} {', '.join(known)}", HTTPStatus.NOT_FOUND)

    def _pool(self, request: Request) -> Pool:
        asked, ask = request.path_params, request.url.path.rpartition("/")[2]
        return self.pools[self._name(asked.get("model"), asked.get("version"), ask)]

    async def _live(self, request: Request) -> Response:
        """Say that the gateway is there."""
        del request
        return JSONResponse({"live": True})

    async def _ready(self, request: Request) -> Response:
        """Say whether each model has a worker to answer."""
        del request
        models = {name: name in self.pools and self.pools[name].ready for name in self._names}
        ready = all(models.values())
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready, "models": models}, status)

    async def _model_ready(self, request: Request) -> Response:
        ready = self._pool(request).ready
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready}, status)

    async def _server(self, request: Request) -> Response:
        del request
        return JSONResponse(inference.server())

    async def _model(self, request: Request) -> Response:
        return JSONResponse(inference.model(self._pool(request)))

    async def _models(self, request: Request) -> Response:
        """Say which models are served, and which version of each."""
        del request
        return JSONResponse({"models": [_facts(pool) for pool in self.pools.values()]})

    async def _drift(self, request: Request) -> Response:
        """Say how far what is scored is from what the model was trained on."""
        pool = self._pool(request)
        monitor = pool.monitor
        if monitor is None:
            message = f'model `{pool.release.name}` is not watched: it has no `"monitoring": true`'
            raise RequestError(message, HTTPStatus.NOT_FOUND)
        return JSONResponse(await asyncio.to_thread(monitor.drift))

    async def _document(self, request: Request) -> Response:
        """Say for programs what can be asked."""
        del request
        served = [_served(pool) for pool in self.pools.values()]
        return JSONResponse(openapi.document(served, secured=bool(self._tokens)))

    async def _docs(self, request: Request) -> Response:
        """Say it for people."""
        del request
        text, headers = page()
        return Response(text, headers=headers)

    async def _start(self, request: Request) -> Response:
        """Lead who comes without an address to what is there."""
        del request
        return RedirectResponse("docs")

    async def _told(self, request: Request) -> Response:
        del request
        text = await asyncio.to_thread(self._metrics.text)  # drift takes its time
        return Response(text, headers={"content-type": self._metrics.TYPE})


def _facts(pool: Pool) -> dict[str, Any]:
    release = pool.release
    model = release.step.model
    return {
        **release.meta,
        "title": model.title,
        "description": model.document.get("description", ""),
        "ready": pool.ready,
    }


def _served(pool: Pool) -> openapi.Served:
    release = pool.release
    model = release.step.model
    return openapi.Served(
        name=release.name,
        title=model.title,
        description=model.document.get("description", ""),
        version=release.version,
        schema=replace(release.schema, outputs=pool.about.outputs),
        examples=release.examples,
        explains=pool.explains,
        monitoring=pool.monitor is not None,
    )
