"""Keeps the places of a pool filled: starts workers again that end, kills those that are late."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING

from tasks.serving.settings import STOP_SECONDS
from tasks.serving.workers import Channel, Place, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE_SECONDS = 1.0
LAST_SECONDS = 0.1
LONGEST_START = 600.0
"""After how many seconds a worker that does not get ready is killed."""

LONGEST_PAUSE = 30.0
"""How long at most is waited before a worker that keeps ending is started again, in seconds."""


class Keeper:
    """The places of a pool, and who is in them.

    `left` is told when a worker has gone, `failed` why the first one of a place cannot start: until
    `lasting` says that all of these have, none is started again.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        left: Callable[[Place], None],
        failed: Callable[[Place, str], None],
        restarted: Callable[[], None],
    ) -> None:
        """Begin without a place."""
        self._say, self._left, self._failed, self._restarted = say, left, failed, restarted
        self._loop = asyncio.get_running_loop()
        self._socket = ""
        self.places: list[Place] = []
        self.lasting = self.closed = False

    @property
    def ready(self) -> int:
        """How many workers are there to answer."""
        return sum(place.ready for place in self.places)

    def add(self, worker: Worker, socket: str) -> None:
        """Make a place for a worker, and start it."""
        self._socket = socket
        self.places.append(Place(worker))
        self._start(self.places[-1])

    def _start(self, place: Place) -> None:
        def ended(how: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all is over
                self._loop.call_soon_threadsafe(self._end_soon, place, how)

        if self.closed:
            return
        place.deadline = self._loop.time() + LONGEST_START
        try:
            place.worker.start(self._socket, ended)
        except RuntimeError as error:  # no thread can be had
            self._ended(place, f"could not be started: {error}")

    def _end_soon(self, place: Place, how: str) -> None:
        """Let a worker go that has ended, once what it said last is read: it may say why."""
        pause = LAST_SECONDS if place.channel else 0.0
        self._loop.call_later(pause, self._ended, place, how)

    def _ended(self, place: Place, how: str) -> None:
        """Start a worker again that has ended, after a pause that grows."""
        self._left(place)
        if self.closed:
            return
        if not self.lasting:
            self._failed(place, f"its process {how}")
            return
        pause = min(2.0**place.ended - 1, LONGEST_PAUSE)
        place.ended = min(place.ended + 1, 10)
        self._loop.call_later(pause, self._start, place)
        self._restarted()
        self._say(f"a worker is started again: its process {how}")

    def lost(self, channel: Channel) -> None:
        """Let go of the worker that has closed this connection, and see that it ends."""
        for place in self.places:
            if place.channel is channel:
                self._left(place)
                self._loop.call_later(GRACE_SECONDS, self._kill_unless_new, place)

    @staticmethod
    def _kill_unless_new(place: Place) -> None:
        """Kill a process that goes on although it has closed its connection."""
        if place.channel is None and place.deadline == math.inf:
            place.worker.kill()

    def kill_late(self) -> None:
        """Kill the workers whose time has passed."""
        now = self._loop.time()
        for place in self.places:
            if place.deadline <= now and not place.killed:
                place.kill()
                self._say("a worker took too long and is killed")

    async def close(self) -> None:
        """End the workers, by force those that do not end by themselves."""
        self.closed = True
        for place in self.places:
            if place.channel and place.ready:
                place.channel.close()
            else:
                place.worker.kill()
        await asyncio.to_thread(self._end_all)

    def _end_all(self) -> None:
        until = time.monotonic() + STOP_SECONDS
        for place in self.places:
            if not place.worker.join(max(0.0, until - time.monotonic())):
                place.worker.kill()
                place.worker.join(STOP_SECONDS)
