"""Serve: start the workers, answer until told to end, take over what is published meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import resource
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from tasks.errors import UserError
from tasks.launch import TOKENS
from tasks.serving import released
from tasks.serving.access import Log, tokens_said
from tasks.serving.connections import Connection
from tasks.serving.gateway import Gateway
from tasks.serving.metrics import Metrics
from tasks.serving.pool import Pool, Watch
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from tasks.model import Model
    from tasks.serving.released import Release

LOOK_SECONDS = 1.0
END_SECONDS = 70
"""How long clients may take with their answers when the server ends."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FLUSH_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """Where and how to serve: `limit` is the size of a request's body in MiB.

    `certificate` and `key` are PEM files, for HTTPS; empty for HTTP.
    """

    host: str
    port: int
    limit: int
    certificate: str = ""
    key: str = ""


def check(options: Options) -> None:
    """Raise UserError for options that cannot be."""
    if options.limit < 1:
        raise UserError(f"`--limit {options.limit}` allows no request", hint="it is in MiB")
    if options.key and not options.certificate:
        raise UserError("`--key` is that of a certificate", hint="name it by `--certificate`")
    _check_certificate(options)
    if not tokens_said() and options.host not in LOOPBACK:
        _say(f"everybody who reaches {options.host} may ask: {TOKENS} would ask for a token")


def serve(models: Sequence[Model], options: Options) -> int:
    """Serve models until told to end, and return the exit status.

    Raises UserError where none of them can be served, or not in the way that is asked for.
    """
    state = open_state()
    releases, refused = [], []
    for model in models:
        try:
            releases.append(released.find(model, state, _say))
        except UserError as error:  # noqa: PERF203 - of a model that says nothing of the others
            refused.append(error)
    for one in refused:
        sys.stderr.write(f"{one}\n\n")
    if not releases:
        raise UserError("There is no model to serve")
    return answer(releases, options)


def answer(releases: Sequence[Release], options: Options) -> int:
    """Answer requests with releases until told to end, and return the exit status."""
    _many_files()
    with _listening(options) as listening:
        uvloop.run(Server(options).run(releases, listening))
    return 0


class Server:
    """Pools of workers behind a gateway."""

    def __init__(self, options: Options) -> None:
        """Make ready to serve."""
        self._options = options
        self._pools: dict[str, Pool] = {}
        self._names: set[str] = set()
        self._open: set[Pool] = set()
        self._metrics = Metrics(self._pools)
        self._log = Log()
        self._looking = asyncio.Lock()  # the state is for one at a time

    async def run(self, releases: Sequence[Release], listening: socket.socket) -> None:
        """Serve until a signal says to end, then answer what has come.

        A second signal ends it at once, and so does one before it serves.
        """
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        for number in ENDING:
            loop.add_signal_handler(number, told.set)
        self._names.update(release.name for release in releases)
        server = self._uvicorn()
        serving = loop.create_task(server.serve([listening]))  # it says what is ready from now on
        try:
            if await _unless(told, self._start(releases)):
                host, port = listening.getsockname()[:2]
                scheme = "https" if self._options.certificate else "http"
                _say(f"serving on {scheme}://{f'[{host}]' if ':' in host else host}:{port}")
                await self._serve(server, serving, told)
        finally:
            server.should_exit = True
            await serving
            await asyncio.gather(*(pool.close() for pool in self._open))
            self._log.close()
            _say("ended")

    def _uvicorn(self) -> _Uvicorn:
        options = self._options
        gateway = Gateway(
            self._pools, self._names, self._metrics, self._log, tokens_said(), options.limit << 20
        )
        return _Uvicorn(
            uvicorn.Config(
                gateway, http=Connection, ws="none", lifespan="off", log_config=None,
                access_log=False, server_header=False, proxy_headers=False,
                timeout_graceful_shutdown=END_SECONDS,
                ssl_certfile=options.certificate or None, ssl_keyfile=options.key or None,
            )
        )  # fmt: skip

    async def _serve(
        self, server: _Uvicorn, serving: asyncio.Task[None], told: asyncio.Event
    ) -> None:
        """Answer until a signal says to end, and then what has come."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, server.end, told)
        slow = asyncio.to_thread(importlib.import_module, "nanoarrow.ipc")  # to be there by then
        works = [self._flush(), slow, *(self._follow(name) for name in self._pools)]
        beside = [loop.create_task(work) for work in works]
        await serving
        for task in beside:
            task.cancel()
        if not server.force_exit:
            told.clear()
            drained = asyncio.gather(*(pool.drain() for pool in self._pools.values()))
            await _unless(told, drained)

    async def _start(self, releases: Sequence[Release]) -> None:
        """Start all workers at once; what cannot be served is told."""
        await asyncio.gather(*(self._start_one(release) for release in releases))
        if not self._pools:
            raise UserError("There is no model to serve")

    async def _start_one(self, release: Release) -> None:
        pool = self._pool(release)
        try:
            await pool.start()
        except UserError as error:
            sys.stderr.write(f"{error}\n\n")
            self._names.discard(release.name)
        else:
            self._pools[release.name] = pool

    def _pool(self, release: Release) -> Pool:
        _say(f"{release.name}: starting version {release.version}")
        name, metrics = release.name, self._metrics
        watch = Watch(
            lambda requests, seconds: metrics.worked(name, requests, seconds),
            lambda: metrics.restarted(name),
        )
        pool = Pool(release, _say, watch)
        self._open.add(pool)
        return pool

    async def _follow(self, name: str) -> None:
        """Take over each version of a model that is published; what goes wrong changes nothing."""
        seen = self._pools[name].release.published
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = self._pools[name]
            now = released.published(before.release.step)
            if now != seen:
                seen = now
                try:
                    await self._take_over(before)
                except Exception as error:  # noqa: BLE001 - the version before goes on, and this too
                    said = error if isinstance(error, UserError) else repr(error)
                    _say(f"{name}: version {before.release.version} stays\n{said}\n")

    async def _take_over(self, before: Pool) -> None:
        """Start the workers of what is published now, have them answer, and let the others end."""
        async with self._looking:
            state = open_state()
            state.look_anew()
            model = before.release.step.model
            release = await asyncio.to_thread(released.find, model, state, _say)
        if (release.key, release.lock) == (before.release.key, before.release.lock):
            return
        pool = self._pool(release)
        await pool.start()
        self._pools[release.name] = pool
        _say(f"{release.name}: version {release.version} answers")
        await before.drain()
        self._open.discard(before)

    async def _flush(self) -> None:
        """Write the access log, a few times a second."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._log.flush()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, without its own handling of signals: the workers end after it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def end(self, told: asyncio.Event) -> None:
        """End in peace; called again, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        told.set()


async def _unless(told: asyncio.Event, work: Awaitable[object]) -> bool:
    """Do some work, unless or until somebody says to end; return whether it was done."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    await asyncio.wait([doing, waiting], return_when=asyncio.FIRST_COMPLETED)
    done = doing.done()
    for task in (doing, waiting):
        task.cancel()
    if done:
        await doing
    return done


def _listening(options: Options) -> socket.socket:
    """Return the socket that requests come to.  Raises UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on port {options.port} of `{options.host}`",
            ("reason", getattr(error, "strerror", None) or error),
            hint="`--port` names another port, 0 any that is free; `--host` one of this machine's"
            " addresses",
        ) from error


def _check_certificate(options: Options) -> None:
    """Raise UserError for a certificate that cannot be used."""
    if not options.certificate:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The certificate `{options.certificate}` cannot be used",
            *([("key", options.key)] if options.key else []),
            ("reason", error),
            hint="`--certificate` and `--key` are files in PEM format; the key has no password",
        ) from error


def _many_files() -> None:
    """Allow as many connections as the system does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
