"""Requests that wait, those of them that can be put to a worker together, and their answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tasks.serving.arrays import Array, RequestError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Sequence

    from tasks.serving.settings import Settings

GONE = 499
"""The status, in the log, of a request whose client has gone; nobody is told of it."""

BATCH_BYTES = 1 << 20
"""A batch that has so many bytes of values takes no further request."""


@dataclass(eq=False, slots=True)
class Pending:
    """A request that waits for a worker, given up at `deadline` (of the loop's clock).

    `gone` says whether who has asked is gone; `alone` whether it was among others when their worker
    ended, so that it is put to the next one by itself.
    """

    array: Array
    ask: str
    future: asyncio.Future[Array]
    deadline: float
    gone: Callable[[], bool]
    alone: bool = False

    @property
    def alike(self) -> tuple[object, ...]:
        """What requests have in common that can be put together."""
        return self.ask, self.array.names, self.array.dtype, self.array.shape[1:]

    def fail(self, message: str, status: int) -> None:
        """Tell who has asked that there is no answer, if that one still waits."""
        if not self.future.done():
            self.future.set_exception(RequestError(message, status))


class Queue:
    """The requests that wait for a worker, and how many of them are put to one at once."""

    def __init__(self, settings: Settings) -> None:
        """Begin with none."""
        self._settings = settings
        self._waiting: deque[Pending] = deque()
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._waiting)

    def put(self, one: Pending) -> None:
        """Take in a request.  Raises RequestError where as many wait as may."""
        if len(self) >= self._settings.queue:
            told = f"{len(self)} requests are waiting for this model"
            raise RequestError(told, HTTPStatus.TOO_MANY_REQUESTS)
        self._waiting.append(one)

    def put_back(self, batch: Sequence[Pending], deadline: float) -> None:
        """Have requests whose worker has gone put to the next one, each by itself."""
        for one in reversed(batch):
            one.alone, one.deadline = True, deadline
            self._waiting.appendleft(one)

    def took(self, requests: int, seconds: float) -> None:
        """Learn how long a worker takes for a request: what takes longer is believed at once."""
        each = seconds / requests
        self._seconds = max(each, (each + self._seconds) / 2)

    def take(self, *, together: bool) -> list[Pending]:
        """Take off the next requests; those that are put together take half of the time at most."""
        most = self._settings.batch if together else 1
        if self._seconds:
            most = int(max(1, min(most, self._settings.timeout / 2 / self._seconds)))
        return take(self._waiting, most)

    def give_up(self, now: float) -> None:
        """Fail those that have waited for too long."""
        for late in [one for one in self._waiting if now >= one.deadline]:
            self._waiting.remove(late)
            late.fail("no worker was free in time", HTTPStatus.SERVICE_UNAVAILABLE)


def take(queue: deque[Pending], most: int) -> list[Pending]:
    """Take the next requests that can be put together off the queue, at most so many."""
    batch: list[Pending] = []
    size = 0
    while queue and len(batch) < most and size < BATCH_BYTES:
        one = queue[0]
        if batch and (one.alone or one.alike != batch[0].alike):
            break
        queue.popleft()
        if one.gone():
            one.fail("who has asked is gone", GONE)
        elif not one.future.done():
            batch.append(one)
            size += len(one.array.data)
            if one.alone:
                break
    return batch


def message(
    number: int, batch: Sequence[Pending]
) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """Return what a worker is sent of a batch: the header, and the parts of the payload."""
    arrays = [one.array for one in batch]
    entries = [
        {"names": a.names, "dtype": a.dtype, "shape": a.shape, "size": len(a.data)} for a in arrays
    ]
    header = {"do": batch[0].ask, "batch": number, "requests": entries}
    return header, [array.data for array in arrays]


def settle(
    batch: Sequence[Pending], answers: Sequence[dict[str, Any]], payload: memoryview
) -> None:
    """Give each request of a batch its answer."""
    at = 0
    for one, entry in zip(batch, answers, strict=True):
        data = payload[at : at + entry["size"]]
        at += entry["size"]
        if "error" in entry:
            refused = HTTPStatus.UNPROCESSABLE_ENTITY
            status = refused if entry["refused"] else HTTPStatus.INTERNAL_SERVER_ERROR
            one.fail(entry["error"], status)
        elif not one.future.done():
            names, dtype, shape = tuple(entry["names"]), entry["dtype"], tuple(entry["shape"])
            one.future.set_result(Array(data if dtype else bytes(data), names, dtype, shape))
