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
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from tasks import furnishing, processes, runs
from tasks.errors import UserError
from tasks.serving import batches
from tasks.serving.arrays import Array, RequestError
from tasks.serving.batches import Pending, Queue
from tasks.serving.examples import answered
from tasks.serving.keeper import Keeper
from tasks.serving.monitoring import Monitor, read_baseline
from tasks.serving.payloads import About
from tasks.serving.settings import STOP_SECONDS, settings_of
from tasks.serving.workers import Channel, Worker, copy_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.serving.released import Release
    from tasks.serving.workers import Place

LOGS = "build/serving"
LOG_LINES = 20
LONGEST_FOLDER = 90
"""Bytes of the name of a folder that a socket can be in: its whole path has 107 at most."""

LOOK_SECONDS = 0.25
OVER = "this version of the model is ended"


@dataclass
class Watch:
    """What the pool tells others: of each batch its requests and seconds, of each restart."""

    batch: Callable[[int, float], None] = lambda _requests, _seconds: None
    restart: Callable[[], None] = lambda: None


class Pool:
    """One version of a model, with its workers."""

    def __init__(self, release: Release, say: Callable[[str], None], watch: Watch) -> None:
        """Make ready; `say` is told what somebody who looks on has to know."""
        self.release, self.watch, self._tell = release, watch, say
        self.settings = settings_of(release.step.model)
        self.queue = Queue(self.settings)
        facts = release.meta
        meta = msgspec.json.encode(facts)
        self.about = About(release.name, release.version, meta, release.schema.outputs)
        counted = ("version", "key", "lock", "code")
        self.headers = [(f"x-model-{name}".encode(), facts[name].encode()) for name in counted]
        self.explains = self.batches = False
        self.monitor: Monitor | None = None
        self._keeper = Keeper(self._say, self._leave, self._failed, watch.restart)
        self._idle: list[Place] = []
        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._closing = contextlib.ExitStack()
        self._numbers = itertools.count(1)
        self._socket = ""

    @property
    def ready(self) -> bool:
        """Whether a worker is there to answer."""
        return self.workers > 0

    @property
    def workers(self) -> int:
        """How many workers are there to answer."""
        return self._keeper.ready

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
        await asyncio.to_thread(furnishing.furnish, run, release.step, release.trained)
        await asyncio.to_thread(copy_code, release, run.work)
        self._socket = self._place_of_socket(run.folder)
        self._server = await self._loop.create_unix_server(
            lambda: Channel(self._received, self._keeper.lost), self._socket
        )
        self._looking = self._loop.create_task(self._look())
        for number in range(1, self.settings.workers + 1):
            self._keeper.add(Worker(number, release, run, self._log(number)), self._socket)
        await self._first
        if release.step.model.monitored:
            self.monitor = Monitor(read_baseline(release.trained.folder))
            self.monitor.start()
            self._closing.callback(self.monitor.close)

    def _place_of_socket(self, folder: str) -> str:
        folder = os.path.abspath(folder)
        if len(os.fsencode(folder)) > LONGEST_FOLDER:
            folder = tempfile.mkdtemp(prefix="modelmake-")
            self._closing.callback(shutil.rmtree, folder, ignore_errors=True)
        return f"{folder}/socket"

    def buffer(self, size: int, ahead: int) -> memoryview | None:
        """Return memory for a body that a worker sees too; in it a tensor begins at byte `ahead`.

        None where there is none.  A worker that is idle is the likeliest to be given the body.
        None too where it is looked at after the answer: a model may have written to it by then.
        """
        if self.monitor:
            return None
        for place in (*reversed(self._idle), *self._keeper.places):
            memory = place.channel.memory if place.channel else None
            if memory and (buffer := memory.buffer(size, ahead)):
                return buffer
        return None

    def submit(self, array: Array, ask: str, gone: Callable[[], bool]) -> asyncio.Future[Array]:
        """Return the answer to come; `gone` says whether who asks does not wait for it any more.

        Raises RequestError where the queue is full, or this version has ended.
        """
        if self._keeper.closed:
            raise RequestError(OVER, HTTPStatus.SERVICE_UNAVAILABLE)
        future = self._loop.create_future()
        deadline = self._loop.time() + self.settings.timeout
        self.queue.put(Pending(array, ask, future, deadline, gone))
        self._dispatch()
        return future

    def _dispatch(self) -> None:
        while self._idle and (batch := self.queue.take(together=self.batches)):
            place = self._idle.pop()
            place.batch, place.number = batch, next(self._numbers)
            place.deadline = self._loop.time() + self.settings.timeout
            for one in batch:
                one.deadline = place.deadline
            assert place.channel is not None  # noqa: S101 - it is idle
            place.channel.send(*batches.message(place.number, batch))

    def _received(self, channel: Channel, header: dict[str, Any], payload: memoryview) -> None:
        if "worker" in header:
            place = self._keeper.places[header["worker"] - 1]
            place.channel = channel
            channel.memory = place.worker.memory if header["memory"] else None
        for place in self._keeper.places:
            if place.channel is not channel:
                continue
            if "answers" in header:
                self._answered(place, header, payload)
            elif "ready" in header and not place.killed:
                self._is_ready(place, header["ready"], payload)
            elif "failed" in header:
                self._failed(place, header["failed"])

    def _answered(self, place: Place, header: dict[str, Any], payload: memoryview) -> None:
        batch, answers = place.batch, header["answers"]
        if header["batch"] != place.number or len(answers) != len(batch):
            place.kill()
            self._say("a worker answers what it was not asked, and is killed")
            return
        place.batch, place.ended, place.deadline = [], 0, math.inf
        self.queue.took(len(batch), header["seconds"])
        if not place.killed:
            self._idle.append(place)
        self._dispatch()  # so that it works while the answers go out
        batches.settle(batch, answers, payload)
        self._loop.call_soon(self.watch.batch, len(batch), header["seconds"])  # answers go first

    def _is_ready(self, place: Place, told: dict[str, Any], payload: memoryview) -> None:
        self.batches, self.explains = told["batches"], told["explains"]
        if told.get("answer"):
            answer = Array(bytes(payload), tuple(told["answer"]["names"]))
            try:
                outputs = answered(self.release.schema, answer).outputs
            except ValueError as error:
                place.kill()
                self._failed(place, f"its answer to the sample cannot be understood: {error}")
                return
            self.about = replace(self.about, outputs=outputs)
        place.ready, place.deadline = True, math.inf
        self._idle.append(place)
        if self.workers == self.settings.workers and not self._first.done():
            self._keeper.lasting = True
            self._first.set_result(None)
        self._dispatch()

    def _say(self, text: str) -> None:
        self._tell(f"{self.release.name}: {text}")

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
            self._say(f"a worker cannot start: {message} ({log})")

    def _log(self, number: int) -> str:
        return f"{LOGS}/{self.release.name}/{self.release.version}/worker-{number}.log"

    def _leave(self, place: Place) -> None:
        """Let go of a worker that has gone.

        The request that it had fails; of several nobody knows which it was, so that each is put to
        the next worker by itself.
        """
        late = self._loop.time() >= place.deadline
        place.channel, place.ready, place.deadline = None, False, math.inf
        place.killed = False
        if place in self._idle:
            self._idle.remove(place)
        batch, place.batch = place.batch, []
        if self._keeper.closed:
            _end(batch)
        elif len(batch) > 1:
            self.queue.put_back(batch, self._loop.time() + self.settings.timeout)
            self._dispatch()
        elif batch and late:
            batch[0].fail("the model took too long", HTTPStatus.GATEWAY_TIMEOUT)
        elif batch:
            told = "the model's process ended while it answered"
            batch[0].fail(told, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _look(self) -> None:
        """Give up what takes too long, a few times a second."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._keeper.kill_late()
            self.queue.give_up(self._loop.time())

    async def drain(self) -> None:
        """Answer what has come, as long as its time has not passed, then end."""
        while waiting := [one for one in self._taken() if not one.future.done()]:
            time_left = max(one.deadline for one in waiting) - self._loop.time() + STOP_SECONDS
            if time_left <= 0:
                break
            await asyncio.wait([one.future for one in waiting], timeout=time_left)
        await self.close()

    def _taken(self) -> list[Pending]:
        """Return the requests that wait, and those that workers have."""
        return [*self.queue, *(one for place in self._keeper.places for one in place.batch)]

    async def close(self) -> None:
        """End the workers; what they have not answered by then is told so."""
        if hasattr(self, "_looking"):
            self._looking.cancel()
        await self._keeper.close()
        if hasattr(self, "_server"):
            self._server.close()
        await asyncio.to_thread(self._closing.close)
        _end(self._taken())


def _end(waiting: Sequence[Pending]) -> None:
    """Tell who waits that nobody will answer."""
    for one in waiting:
        one.fail(OVER, HTTPStatus.SERVICE_UNAVAILABLE)
