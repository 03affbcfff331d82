"""Serve: start the workers, answer until told to end, take over what is published meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import math
import resource
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop

from tasks.errors import UserError
from tasks.serving import output, released
from tasks.serving.access import Log, tokens_said
from tasks.serving.connections import Receiver
from tasks.serving.gateway import Gateway
from tasks.serving.metrics import Metrics
from tasks.serving.options import listening
from tasks.serving.pool import Pool, Watch
from tasks.serving.settings import END_SECONDS
from tasks.state import open_state

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tasks.model import Model
    from tasks.serving.options import Options
    from tasks.serving.released import Release

LOOK_SECONDS = 1.0
LONGEST_PAUSE = 300.0
"""How long at most is waited before a version that could not take over is tried again."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FLUSH_SECONDS = 0.5

_SAID = "what keeps each model from it is said above"


def serve(models: Sequence[Model], options: Options) -> int:
    """Serve models until told to end, and return the exit status.

    Raises UserError where none of them can be served, or not in the way that is asked for.
    """
    state = open_state()
    releases, refused = [], []
    with output.messages() as messages:
        for model in models:
            try:
                releases.append(released.find(model, state, messages.say))
            except UserError as error:  # noqa: PERF203 - of a model that says nothing of the others
                refused.append(error)
        for one in refused:
            messages.say(f"{one}\n")
    if not releases:
        hint = _SAID if models else "`cli/repo-cli.py --add` of modelmake makes one"
        raise UserError("There is no model to serve", hint=hint)
    return answer(releases, options)


def answer(releases: Sequence[Release], options: Options) -> int:
    """Answer requests with releases until told to end, and return the exit status."""
    _many_files()
    with listening(options) as door, output.messages() as messages:
        uvloop.run(Server(options, messages.say).run(releases, door))
    return 0


@dataclass(frozen=True)
class _Trial:
    """A take-over that is tried, until it succeeds, after pauses that grow.

    `code` is the digest of the sources that it was last tried with, `said` what came of it.
    """

    code: str = ""
    said: str = ""
    again: float = -math.inf
    pause: float = LOOK_SECONDS


class Server:
    """Pools of workers behind a gateway."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        """Make ready to serve; `say` is told what somebody who looks on has to know."""
        self._options, self._say = options, say
        self._pools: dict[str, Pool] = {}
        self._names: set[str] = set()
        self._open: set[Pool] = set()
        self._metrics = Metrics(self._pools)
        self._log = Log()
        self._looking = asyncio.Lock()  # the state is for one at a time

    async def run(self, releases: Sequence[Release], door: socket.socket) -> None:
        """Serve until a signal says to end, then answer what has come.

        A second signal ends it at once, and so does one before it serves.
        """
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        _on_signals(told.set)
        flushing = loop.create_task(self._flush())
        self._names.update(release.name for release in releases)
        server = self._uvicorn()
        serving = loop.create_task(server.serve([door]))  # it says what is ready from now on
        try:
            if await _unless(told, self._start(releases)):
                host, port = door.getsockname()[:2]
                scheme = "https" if self._options.certificate else "http"
                self._say(f"serving on {scheme}://{f'[{host}]' if ':' in host else host}:{port}")
                await self._serve(server, serving)
        finally:
            server.should_exit = True
            await serving
            await asyncio.gather(*(pool.close() for pool in self._open))
            flushing.cancel()
            self._log.close()
            self._say("ended")

    def _uvicorn(self) -> _Uvicorn:
        options = self._options
        gateway = Gateway(
            self._pools, self._names, self._metrics, self._log, tokens_said(), options.limit << 20
        )
        receiver: Any = functools.partial(Receiver, gateway.buffer_for)
        return _Uvicorn(
            uvicorn.Config(
                gateway, http=receiver, ws="none", lifespan="off", log_config=None,
                access_log=False, server_header=False, proxy_headers=False,
                timeout_graceful_shutdown=END_SECONDS,
                ssl_certfile=options.certificate or None, ssl_keyfile=options.key or None,
            )
        )  # fmt: skip

    async def _serve(self, server: _Uvicorn, serving: asyncio.Task[None]) -> None:
        """Answer until a signal says to end, and then what has come."""
        loop = asyncio.get_running_loop()
        _on_signals(self._end, server)
        slow = asyncio.to_thread(importlib.import_module, "nanoarrow.ipc")  # to be there by then
        works = [slow, *(self._follow(name) for name in self._pools)]
        beside = [loop.create_task(work) for work in works]
        await serving
        for task in beside:
            task.cancel()

    def _end(self, server: _Uvicorn) -> None:
        """Let each model answer what it has been asked, but no client wait for ever."""
        longest = max((pool.settings.longest for pool in self._open), default=0)
        server.config.timeout_graceful_shutdown = math.ceil(longest) + END_SECONDS
        server.end()

    async def _start(self, releases: Sequence[Release]) -> None:
        """Start all workers at once; what cannot be served is told."""
        await asyncio.gather(*(self._start_one(release) for release in releases))
        if not self._pools:
            raise UserError("There is no model to serve", hint=_SAID)

    async def _start_one(self, release: Release) -> None:
        pool = self._pool(release)
        try:
            await pool.start()
        except (UserError, OSError) as error:
            said = isinstance(error, UserError)
            self._say(f"{'' if said else f'Model `{release.name}` cannot be served: '}{error}\n")
            self._names.discard(release.name)
        else:
            self._pools[release.name] = pool
            if len(self._names) > 1:
                self._say(f"{release.name}: ready")

    def _pool(self, release: Release) -> Pool:
        self._say(f"{release.name}: starting version {release.version}")
        name, metrics = release.name, self._metrics
        watch = Watch(
            lambda requests, seconds: metrics.worked(name, requests, seconds),
            lambda: metrics.restarted(name),
        )
        pool = Pool(release, self._say, watch)
        self._open.add(pool)
        return pool

    async def _follow(self, name: str) -> None:
        """Take over each version of a model that is published.

        What goes wrong changes nothing, and is tried again: after a while, or with other sources.
        """
        loop = asyncio.get_running_loop()
        seen, trial = self._pools[name].release.published, None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = self._pools[name]
            now = released.published(before.release.step)
            if now == seen and trial is None:
                continue
            code = await self._code(before)
            if now != seen or trial is None or code != trial.code:
                seen, trial = now, _Trial(code)
            if loop.time() >= trial.again:
                trial = await self._try(before, trial)

    async def _try(self, before: Pool, trial: _Trial) -> _Trial | None:
        """Have the next version take over; where that fails return when to try it again."""
        try:
            await self._take_over(before)
        except Exception as error:  # noqa: BLE001 - the version before goes on, and this too
            said = str(error) if isinstance(error, UserError) else repr(error)
            if said != trial.said:
                self._say(
                    f"{before.release.name}: version {before.release.version} stays\n{said}\n"
                )
            again = asyncio.get_running_loop().time() + trial.pause
            return _Trial(trial.code, said, again, min(2 * trial.pause, LONGEST_PAUSE))
        return None

    async def _code(self, pool: Pool) -> str:
        """Return the digest of a model's sources as they are now, empty where one has gone."""
        async with self._looking:
            state = open_state()
            state.look_anew()
            with contextlib.suppress(OSError, UserError):
                return await asyncio.to_thread(released.code_of, pool.release.step, state.files)
        return ""

    async def _take_over(self, before: Pool) -> None:
        """Start the workers of what is published now, have them answer, and let the others end."""
        async with self._looking:
            state = open_state()
            state.look_anew()
            model = before.release.step.model
            release = await asyncio.to_thread(released.find, model, state, self._say)
        if (release.key, release.lock) == (before.release.key, before.release.lock):
            return
        pool = self._pool(release)
        try:
            await pool.start()
        except Exception:
            self._open.discard(pool)  # it has closed itself
            raise
        self._pools[release.name] = pool
        self._say(f"{release.name}: version {release.version} answers")
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

    def end(self) -> None:
        """End in peace; called again, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _on_signals(act: Callable[..., object], *given: object) -> None:
    """Have something done at a signal to end, unless who has started us has that one ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, act, *given)


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


def _many_files() -> None:
    """Allow as many connections as the system does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
