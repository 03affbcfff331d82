"""Serve: start the workers, answer until told to end, take over what is published meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks.errors import UserError
from tasks.serving import released
from tasks.serving.gateway import Gateway
from tasks.serving.pool import Pool, Watch
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.model import Model
    from tasks.serving.released import Release

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """Where and how to serve: `limit` is the size of a request's body in bytes."""

    host: str = "127.0.0.1"
    port: int = 8080
    limit: int = 64 << 20
    patience: float = 30.0


def serve(models: Sequence[Model], options: Options) -> int:
    """Serve models until told to end, and return the exit status.

    Raises UserError where none of them can be served.
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
    _many_files()
    with _listening(options) as listening:
        uvloop.run(Server(releases, options).run(listening))
    return 0


class Server:
    """Pools of workers behind a gateway."""

    def __init__(self, releases: Sequence[Release], options: Options) -> None:
        """Make ready to serve these."""
        self._releases, self._options = releases, options
        self._pools: dict[str, Pool] = {}

    async def run(self, listening: socket.socket) -> None:
        """Serve until a signal says to end, then answer what has come."""
        loop = asyncio.get_running_loop()
        options = self._options
        for release in self._releases:
            _say(f"{release.name}: starting")
        pools = [Pool(release, _say, Watch()) for release in self._releases]
        found = await asyncio.gather(*(pool.start() for pool in pools), return_exceptions=True)
        for pool, error in zip(pools, found, strict=True):
            if isinstance(error, UserError):
                sys.stderr.write(f"{error}\n\n")
            elif error:
                raise error
            else:
                self._pools[pool.release.name] = pool
        if not self._pools:
            raise UserError("There is no model to serve")
        config = uvicorn.Config(
            Gateway(self._pools, options.limit), http=HttpToolsProtocol, lifespan="off",
            log_config=None, access_log=False, server_header=False, proxy_headers=False,
            ws="none",
        )  # fmt: skip
        server = _Uvicorn(config)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, server.end)
        host, port = listening.getsockname()[:2]
        _say(f"serving on http://{host}:{port}")
        await server.serve([listening])
        await asyncio.gather(*(pool.drain() for pool in self._pools.values()))
        _say("ended")


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


def _listening(options: Options) -> socket.socket:
    """Return the socket that requests come to.  Raises UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on port {options.port} of `{options.host}`",
            ("reason", getattr(error, "strerror", None) or error),
            hint="`--port` names another, 0 any that is free",
        ) from error


def _many_files() -> None:
    """Allow as many connections as the system does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
