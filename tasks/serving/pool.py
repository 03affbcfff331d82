"""The workers of one version of a model, and the queue before them.

A request goes to a worker at once when one is free.  While all are busy requests wait, and a worker
that becomes free is given as many of them as may be put together: so batches grow with the load
and nobody waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from tasks import launch, processes, runs
from tasks.errors import UserError
from tasks.serving import batches
from tasks.serving.arrays import Array, RequestError
from tasks.serving.batches import Pending
from tasks.serving.examples import answered
from tasks.serving.monitoring import Monitor, read_baseline
from tasks.serving.payloads import About
from tasks.serving.settings import settings_of
from tasks.serving.workers import Channel, Worker
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.serving.released import Release

LOGS = "build/serving"
LOG_LINES = 20
LONGEST_FOLDER = 90
"""Letters of a folder that a socket can be in: its whole path has 107 at most."""

LOOK_SECONDS = 0.25
STOP_SECONDS = 10.0
LONGEST_PAUSE = 30.0
"""How long at most is waited before a worker that keeps ending is started again, in seconds."""


@dataclass(eq=False)
class Place:
    """A worker's place in the pool: who is in it, and what that one is doing."""

    worker: Worker
    channel: Channel | None = None
    ready: bool = False
    batch: list[Pending] = field(default_factory=list)
    deadline: float = 0.0
    ended: int = 0


@dataclass
class Watch:
    """What the pool tells others: of each batch its requests and seconds, of each restart."""

    batch: Callable[[int, float], None] = lambda _requests, _seconds: None
    restart: Callable[[], None] = lambda: None


class Pool:
    """One version of a model, with its workers."""

    def __init__(self, release: Release, say: Callable[[str], None], watch: Watch) -> None:
        """Make ready; `say` is told what somebody who looks on has to know."""
        self.release, self.say, self.watch = release, say, watch
        self.settings = settings_of(release.step.model)
        self.queue: deque[Pending] = deque()
        self.outputs = release.schema.outputs
        facts = release.meta
        self.about = About(release.name, release.version, msgspec.json.encode(facts))
        counted = ("version", "key", "lock")
        self.headers = [(f"x-model-{name}".encode(), facts[name].encode()) for name in counted]
        self.explains = self.batches = False
        self.monitor: Monitor | None = None
        self._places: list[Place] = []
        self._idle: list[Place] = []
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._closing = contextlib.ExitStack()
        self._draining = False
        self._socket = ""

    @property
    def ready(self) -> bool:
        """Whether a worker is there to answer."""
        return any(place.ready for place in self._places)

    @property
    def workers(self) -> int:
        """How many workers are there to answer."""
        return sum(place.ready for place in self._places)

    async def start(self) -> None:
        """Start the workers and wait until each has answered the sample request.

        Raises UserError, with the end of the log, where one cannot.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        release = self.release
        run = self._closing.enter_context(runs.fresh_run(release.step))
        await asyncio.to_thread(launch.furnish, run, release.step, release.trained)
        await asyncio.to_thread(_copy_code, f"{run.work}/{PACKAGE}")
        self._socket = self._place_of_socket(run.folder)
        self._server = await self._loop.create_unix_server(
            lambda: Channel(self._received, self._lost), self._socket
        )
        logs = os.path.dirname(self._log(1))
        shutil.rmtree(os.path.dirname(logs), ignore_errors=True)
        os.makedirs(logs)
        for number in range(1, self.settings.workers + 1):
            self._places.append(Place(Worker(number, release, run, self._log(number))))
            self._start_worker(self._places[-1])
        await self._first
        self._looking = self._loop.create_task(self._look())
        if release.step.model.monitored:
            self.monitor = Monitor(read_baseline(release.trained.folder))
            self.monitor.start()
            self._closing.callback(self.monitor.close)

    def _place_of_socket(self, folder: str) -> str:
        folder = os.path.abspath(folder)
        if len(folder) > LONGEST_FOLDER:
            folder = tempfile.mkdtemp(prefix="modelmake-")
            self._closing.callback(shutil.rmtree, folder, ignore_errors=True)
        return f"{folder}/socket"

    def submit(self, array: Array, ask: str = "predict") -> asyncio.Future[Array]:
        """Return the answer to come.  Raises RequestError where the queue is full."""
        if len(self.queue) >= self.settings.queue:
            message = f"{len(self.queue)} requests are waiting for this model"
            raise RequestError(message, HTTPStatus.TOO_MANY_REQUESTS)
        future = self._loop.create_future()
        deadline = self._loop.time() + self.settings.timeout
        self.queue.append(Pending(array, ask, future, deadline))
        self._dispatch()
        return future

    def _dispatch(self) -> None:
        most = self.settings.batch if self.batches else 1
        while self._idle and (batch := batches.take(self.queue, most)):
            place = self._idle.pop()
            place.batch = batch
            place.deadline = max(one.deadline for one in batch)
            assert place.channel is not None  # noqa: S101 - it is idle
            place.channel.send(*batches.message(batch))

    def _received(self, channel: Channel, header: dict[str, Any], payload: memoryview) -> None:
        if "answers" in header:
            place = next(one for one in self._places if one.channel is channel)
            batch, place.batch, place.ended = place.batch, [], 0
            self._idle.append(place)
            self._dispatch()  # so that it works while the answers go out
            self.watch.batch(len(batch), header["seconds"])
            batches.settle(batch, header["answers"], payload)
        elif "worker" in header:
            self._places[header["worker"] - 1].channel = channel
        elif "ready" in header:
            place = next(one for one in self._places if one.channel is channel)
            try:
                self._is_ready(place, header["ready"], payload)
            except (ValueError, TypeError, LookupError) as error:
                self._failed(f"its answer to the sample cannot be understood: {error}")
        else:
            self._failed(header["failed"])

    def _is_ready(self, place: Place, told: dict[str, Any], payload: memoryview) -> None:
        place.ready = True
        self.batches, self.explains = told["batches"], told["explains"]
        if told.get("answer"):
            answer = Array(bytes(payload), tuple(told["answer"]["names"]))
            self.outputs = answered(self.release.schema, answer).outputs
        self._idle.append(place)
        if self.workers == self.settings.workers and not self._first.done():
            self._first.set_result(None)
        self._dispatch()

    def _failed(self, message: str) -> None:
        """Have whoever waits for the first start know why it failed."""
        error = UserError(
            f"Model `{self.release.name}` cannot be served: {message}",
            ("log", processes.tail(self._log(1), LOG_LINES) or "(empty)"),
        )
        if not self._first.done():
            self._first.set_exception(error)
        else:
            self.say(f"{self.release.name}: a worker cannot start: {message} ({self._log(1)})")

    def _log(self, number: int) -> str:
        return f"{LOGS}/{self.release.name}/{self.release.version}/worker-{number}.log"

    def _start_worker(self, place: Place) -> None:
        def ended(status: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all is over
                self._loop.call_soon_threadsafe(self._ended, place, status)

        place.worker.start(self._socket, ended)

    def _lost(self, channel: Channel) -> None:
        for place in self._places:
            if place.channel is channel:
                self._leave(place)

    def _leave(self, place: Place) -> None:
        """Let go of a worker that has gone; the requests that it had fail."""
        place.channel, place.ready = None, False
        if place in self._idle:
            self._idle.remove(place)
        batch, place.batch = place.batch, []
        late = self._loop.time() >= place.deadline
        status = HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.INTERNAL_SERVER_ERROR
        told = "the model took too long" if late else "the model's process ended while it answered"
        for one in batch:
            one.fail(told, status)

    def _ended(self, place: Place, status: int) -> None:
        """Start a worker again that has ended, after a pause that grows."""
        self._leave(place)
        if self._draining:
            return
        if not self._first.done():
            how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            self._failed(f"its process {how}")
            return
        self.watch.restart()
        pause = min(2.0**place.ended - 1, LONGEST_PAUSE)
        place.ended += 1
        self.say(f"{self.release.name}: a worker has ended (status {status}) and is started again")
        self._loop.call_later(pause, self._start_again, place)

    def _start_again(self, place: Place) -> None:
        if not self._draining:
            self._start_worker(place)

    async def _look(self) -> None:
        """Give up what takes too long, a few times a second."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._loop.time()
            for place in self._places:
                if place.batch and now >= place.deadline:
                    self.say(f"{self.release.name}: a worker took too long and is killed")
                    place.worker.kill()
            while self.queue and now >= self.queue[0].deadline:
                late = self.queue.popleft()
                late.fail("no worker was free in time", HTTPStatus.SERVICE_UNAVAILABLE)

    async def drain(self) -> None:
        """Answer what has come, then end."""
        waiting = [*self.queue, *(one for place in self._places for one in place.batch)]
        if waiting:
            await asyncio.wait([one.future for one in waiting], timeout=self.settings.timeout)
        await self.close()

    async def close(self) -> None:
        """End the workers, by force those that do not end by themselves."""
        self._draining = True
        if hasattr(self, "_looking"):
            self._looking.cancel()
        for place in self._places:
            if place.channel:
                place.channel.close()
            elif not place.ready:
                place.worker.kill()
        await asyncio.to_thread(self._end_all)
        if hasattr(self, "_server"):
            self._server.close()
        self._closing.close()

    def _end_all(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        for place in self._places:
            if not place.worker.join(max(0.0, until - time.monotonic())):
                place.worker.kill()
                place.worker.join(STOP_SECONDS)


def _copy_code(package: str) -> None:
    """Put a copy in the place of the link to the model's code, which may be edited meanwhile."""
    code = os.path.realpath(package)
    os.remove(package)
    shutil.copytree(code, package, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
