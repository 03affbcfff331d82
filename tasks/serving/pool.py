"""The workers of one version of a model, and the queue before them.

A request goes to a worker at once when one is free.  While all are busy requests wait, and a worker
that becomes free is given as many of them as may be put together: so batches grow with the load
and nobody waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass
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
from tasks.serving.workers import Channel, Place, Worker, copy_code
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
GRACE_SECONDS = 1.0
LONGEST_START = 600.0
"""After how many seconds a worker that does not get ready is killed."""

LONGEST_PAUSE = 30.0
"""How long at most is waited before a worker that keeps ending is started again, in seconds."""


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
        counted = ("version", "key", "lock", "code")
        self.headers = [(f"x-model-{name}".encode(), facts[name].encode()) for name in counted]
        self.explains = self.batches = False
        self.monitor: Monitor | None = None
        self._places: list[Place] = []
        self._idle: list[Place] = []
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._closing = contextlib.ExitStack()
        self._draining = False
        self._numbers = itertools.count(1)
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
        await asyncio.to_thread(copy_code, f"{run.work}/{PACKAGE}")
        self._socket = self._place_of_socket(run.folder)
        self._server = await self._loop.create_unix_server(
            lambda: Channel(self._received, self._lost), self._socket
        )
        logs = os.path.dirname(self._log(1))
        os.makedirs(logs, exist_ok=True)
        self._looking = self._loop.create_task(self._look())
        for number in range(1, self.settings.workers + 1):
            self._places.append(Place(Worker(number, release, run, self._log(number))))
            self._start_worker(self._places[-1])
        await self._first
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

    def submit(self, array: Array, ask: str, gone: Callable[[], bool]) -> asyncio.Future[Array]:
        """Return the answer to come; `gone` says whether who asks does not wait for it any more.

        Raises RequestError where the queue is full.
        """
        if len(self.queue) >= self.settings.queue:
            message = f"{len(self.queue)} requests are waiting for this model"
            raise RequestError(message, HTTPStatus.TOO_MANY_REQUESTS)
        future = self._loop.create_future()
        deadline = self._loop.time() + self.settings.timeout
        self.queue.append(Pending(array, ask, future, deadline, gone))
        self._dispatch()
        return future

    def _dispatch(self) -> None:
        most = self.settings.batch if self.batches else 1
        while self._idle and (batch := batches.take(self.queue, most)):
            place = self._idle.pop()
            place.batch, place.number = batch, next(self._numbers)
            place.deadline = self._loop.time() + self.settings.timeout
            assert place.channel is not None  # noqa: S101 - it is idle
            place.channel.send(*batches.message(place.number, batch))

    def _received(self, channel: Channel, header: dict[str, Any], payload: memoryview) -> None:
        if "worker" in header:
            self._places[header["worker"] - 1].channel = channel
        for place in self._places:
            if place.channel is not channel:
                continue
            if "answers" in header:
                self._answered(place, header, payload)
            elif "ready" in header:
                self._is_ready(place, header["ready"], payload)
            elif "failed" in header:
                self._failed(place, header["failed"])

    def _answered(self, place: Place, header: dict[str, Any], payload: memoryview) -> None:
        batch, answers = place.batch, header["answers"]
        if header["batch"] != place.number or len(answers) != len(batch):
            self.say(f"{self.release.name}: a worker answers what it was not asked, and is killed")
            place.worker.kill()
            return
        place.batch, place.ended, place.deadline = [], 0, math.inf
        self._idle.append(place)
        self._dispatch()  # so that it works while the answers go out
        self.watch.batch(len(batch), header["seconds"])
        batches.settle(batch, answers, payload)

    def _is_ready(self, place: Place, told: dict[str, Any], payload: memoryview) -> None:
        place.ready, place.deadline = True, math.inf
        self.batches, self.explains = told["batches"], told["explains"]
        if told.get("answer"):
            answer = Array(bytes(payload), tuple(told["answer"]["names"]))
            try:
                self.outputs = answered(self.release.schema, answer).outputs
            except ValueError as error:
                self._failed(place, f"its answer to the sample cannot be understood: {error}")
                return
        self._idle.append(place)
        if self.workers == self.settings.workers and not self._first.done():
            self._first.set_result(None)
        self._dispatch()

    def _failed(self, place: Place, message: str) -> None:
        """Have whoever waits for the first start know why it failed."""
        log = place.worker.log
        error = UserError(
            f"Model `{self.release.name}` cannot be served: {message}",
            ("log", processes.tail(log, LOG_LINES) or "(empty)"),
        )
        if not self._first.done():
            self._first.set_exception(error)
        else:
            self.say(f"{self.release.name}: a worker cannot start: {message} ({log})")

    def _log(self, number: int) -> str:
        return f"{LOGS}/{self.release.name}/{self.release.version}/worker-{number}.log"

    def _start_worker(self, place: Place) -> None:
        def ended(status: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all is over
                self._loop.call_soon_threadsafe(self._ended, place, status)

        place.deadline = self._loop.time() + LONGEST_START
        try:
            place.worker.start(self._socket, ended)
        except (UserError, OSError) as error:
            self._failed(place, str(error))

    def _lost(self, channel: Channel) -> None:
        for place in self._places:
            if place.channel is channel:
                self._leave(place)
                self._loop.call_later(GRACE_SECONDS, self._kill_unless_new, place)

    def _kill_unless_new(self, place: Place) -> None:
        """Kill a process that goes on although it has closed its connection."""
        if place.channel is None and place.deadline == math.inf:
            place.worker.kill()

    def _leave(self, place: Place) -> None:
        """Let go of a worker that has gone.

        The request that it had fails; of several nobody knows which it was, so that each is put to
        the next worker by itself.
        """
        late = self._loop.time() >= place.deadline
        place.channel, place.ready, place.deadline = None, False, math.inf
        if place in self._idle:
            self._idle.remove(place)
        batch, place.batch = place.batch, []
        if len(batch) > 1:
            for one in reversed(batch):
                one.alone, one.deadline = True, self._loop.time() + self.settings.timeout
                self.queue.appendleft(one)
            self._dispatch()
        elif batch and late:
            batch[0].fail("the model took too long", HTTPStatus.GATEWAY_TIMEOUT)
        elif batch:
            told = "the model's process ended while it answered"
            batch[0].fail(told, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _ended(self, place: Place, status: int) -> None:
        """Start a worker again that has ended, after a pause that grows."""
        self._leave(place)
        if self._draining:
            return
        if not self._first.done():
            how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            self._failed(place, f"its process {how}")
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
                if -math.inf < place.deadline <= now:
                    place.deadline = -math.inf  # it is late, and told so once
                    self.say(f"{self.release.name}: a worker took too long and is killed")
                    place.worker.kill()
            for late in [one for one in self.queue if now >= one.deadline]:
                self.queue.remove(late)
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
            if place.channel and place.ready:
                place.channel.close()
            else:
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
