"""The place `dask`: a pool of machines that already runs, one step on one worker of it.

Dask is asked for one thing: to run `dask_worker.carry_out` on some worker, and again on another
where that is lost.  All else goes through the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import news, resources
from tasks.errors import UserError
from tasks.places import Ended, dask_client, dask_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.places import Request
    from tasks.plan import Step

AWAY = True
CLIENT = dask_client.PACKAGE
NAME = "dask"

ANSWER_SECONDS = 30.0
"""How long the scheduler may take for an answer."""
LOOK_SECONDS = 3.0
"""How long it may where it is only looked at."""
READ_SECONDS = 3.0
"""How long a worker may: it is asked again."""
TICK_SECONDS = 0.2
ASK_SECONDS, LONGEST_PAUSE = 0.5, 20.0
SHOWN = 5
"""How many workers an error names."""


class Place:
    """Dask's scheduler at the address that the user names."""

    name, limits = NAME, False

    def look(self) -> str:
        """Return which scheduler answers, with its workers.  Raises UserError where none does."""
        dask_client.check_installed()
        address = dask_client.scheduler_address()
        client = dask_client.connected(address, LOOK_SECONDS)
        try:
            workers = len(_workers(client, address))
        finally:
            dask_client.close(client)
        return f"{address} answers, with {workers} worker{'' if workers == 1 else 's'}"

    def submit(self, request: Request) -> _Job:
        """Have a worker carry a request out; who asks for the same shares its run.

        Raises UserError where that cannot be.
        """
        dask_client.check_installed()
        address = dask_client.scheduler_address()
        client = dask_client.connected(address, dask_client.CONNECT_SECONDS)
        with contextlib.ExitStack() as trouble:
            trouble.callback(dask_client.close, client)
            workers = _workers(client, address)
            needed = needs(request.step, [one["resources"] for one in workers])
            future = client.submit(
                # By name: the scheduler unpickles all that it is sent, and need not have modelmake.
                eval,
                "__import__('tasks.places.dask_worker', fromlist=['carry_out']).carry_out"
                f"{(dask_worker.version(), request.words, _told_store(request.store))!r}",
                key=_key(request), pure=False, resources=needed,
            )  # fmt: skip
            trouble.pop_all()
        return _Job(client, future, address, idle=not workers)


def _workers(client: Any, address: str) -> list[dict[str, Any]]:  # noqa: ANN401 - Dask's own class
    """Return what the scheduler says of its workers."""
    try:
        return list(client.scheduler_info(n_workers=-1)["workers"].values())
    except OSError as error:
        raise dask_client.unreachable(address, error) from error


def _key(request: Request) -> str:
    """Return what Dask knows a step by: whoever asks for the same has the same run of it."""
    store = hashlib.sha256(request.store.encode()).hexdigest()[:8]
    anew = "-anew" if request.force else ""
    return f"{request.step.task}{anew}-{store}-{request.key}"


def _told_store(address: str) -> str:
    """Return the address that a worker is told, nothing where a password is missing in it."""
    return "" if "://***@" in address else address


def needs(step: Step, workers: list[Mapping[str, float]]) -> dict[str, float]:
    """Return what of Dask's resources a step asks for: of those that some worker declares.

    Raises UserError where no worker has that much.
    """
    asked = resources.of(step.model, step.name).requests
    amounts = {"CPU": asked.cpu, "MEMORY": asked.memory, "GPU": asked.gpu}
    declared = {name for one in workers for name in one}
    needed = {name: amount for name, amount in amounts.items() if amount and name in declared}
    if not workers or any(_has(one, needed) for one in workers):
        return needed
    shown = [("a worker has", _written(one)) for one in workers[:SHOWN]]
    raise UserError(
        f"No worker of Dask has what the step {step.task} asks for",
        ("asked for", _written(needed)),
        *shown,
        hint="start one with more (`dask worker --resources`), or have `resources` in model.json"
        " ask for less",
    )


def _has(worker: Mapping[str, float], needed: Mapping[str, float]) -> bool:
    return all(worker.get(name, 0) >= amount for name, amount in needed.items())


def _written(amounts: Mapping[str, float]) -> str:
    said = {n: resources.memory_text(a) if n == "MEMORY" else f"{a:g}" for n, a in amounts.items()}
    return ", ".join(f"{name} {amount}" for name, amount in sorted(said.items())) or "nothing"


class _Answer(NamedTuple):
    """What came of asking once: an attempt at the step, its worker, and what it printed since."""

    attempt: str = ""
    worker: str = ""
    start: int = 0
    data: bytes = b""


class _Job:
    """A step on some worker; `idle` is whether there was none when it was submitted."""

    def __init__(self, client: Any, future: Any, address: str, *, idle: bool) -> None:  # noqa: ANN401
        self._client, self._future, self._address, self._idle = client, future, address, idle
        self._last, self._pause = _Answer(), ASK_SECONDS
        self._heard = time.monotonic()

    def follow(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> Ended:
        """Hand on what it prints until it ends; see `places.Job`."""
        if self._idle:
            write(news.written("detail", "waits for a first worker of Dask"))
        asking: Future[_Answer] = Future()
        asking.set_result(_Answer())
        again = 0.0
        while not self._future.done():
            tick()
            if time.monotonic() > self._heard + ANSWER_SECONDS:
                raise self._no_answer()
            if not asking.done():
                wait([asking], TICK_SECONDS)
            elif time.monotonic() < again:
                time.sleep(TICK_SECONDS)
            else:
                if asking.exception() is None:
                    self._take(asking.result(), write)
                loop = self._client.loop.asyncio_loop
                asking = asyncio.run_coroutine_threadsafe(self._ask(), loop)
                again = time.monotonic() + self._pause
        asking.cancel()
        ended = self._ended(write)
        dask_client.close(self._client)
        return ended

    def cancel(self) -> None:
        """End it, unless somebody else waits for it too; see `places.Job`."""
        with contextlib.suppress(Exception):  # the scheduler may be gone, and all else with it
            self._future.cancel()
        dask_client.close(self._client)

    async def _ask(self) -> _Answer:
        """Ask the scheduler which worker has the step, and that one what was printed since."""
        events = await self._client.get_events(self._future.key)
        self._heard = time.monotonic()
        if not events:
            return _Answer()
        _, told = events[-1]
        attempt, worker = told["attempt"], told["name"]
        message = {"op": dask_worker.PRINTED, "attempt": attempt, "offset": self._offset(attempt)}
        asked = self._client.scheduler.proxy(msg=message, worker=told["address"])
        try:
            piece = await asyncio.wait_for(asked, READ_SECONDS)
        except Exception:  # noqa: BLE001 - it is lost or busy: the scheduler will see
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return _Answer()
        self._pause = ASK_SECONDS
        return _Answer(attempt, worker, *piece) if piece else _Answer()

    def _offset(self, attempt: str) -> int:
        """Return how much of what an attempt prints was handed on."""
        return self._last.start + len(self._last.data) if attempt == self._last.attempt else 0

    def _take(self, answer: _Answer, write: Callable[[bytes], None]) -> None:
        """Hand on what was printed since."""
        if not answer.attempt:
            return
        if self._last.attempt not in {"", answer.attempt}:
            lost = f"the worker {self._last.worker} was lost, the step began again"
            write(news.written("alert", f"{lost} on {answer.worker}"))
        left_out = answer.start - self._offset(answer.attempt)
        if left_out:
            write(b"\n... %d bytes left out ...\n" % left_out)
        if answer.data:
            write(answer.data)
        self._last = answer

    def _ended(self, write: Callable[[bytes], None]) -> Ended:
        """Hand on the end of what was printed, and say how it ended."""
        from distributed import (  # noqa: PLC0415 - an extra
            CancelledError,
            KilledWorker,
            TimeoutError,  # noqa: A004 - it is another one on older Pythons
        )

        try:
            result = self._future.result(timeout=ANSWER_SECONDS)
        except CancelledError as error:
            broke = getattr(error, "reason", "") == "scheduler-connection-lost"
            why = f"the connection to {self._address} broke" if broke else f"Dask says: {error}"
            return Ended(ok=False, reason="lost", message=why)
        except KilledWorker as error:
            message = f"the worker {error.last_worker.name} was lost, the last of"
            tries = error.allowed_failures + 1
            return Ended(ok=False, reason="lost", message=f"{message} {tries} that tried")
        except TimeoutError:
            raise self._no_answer() from None
        except ImportError as error:
            raise UserError(
                "Where the worker of Dask runs, there is no modelmake",
                ("scheduler", self._address),
                ("reason", error),
                hint="install the same version there, into the environment of `dask worker`",
            ) from error
        except Exception as error:  # noqa: BLE001 - whatever Dask has, or a worker
            return Ended(ok=False, message=f"{type(error).__name__}: {error}")
        if "status" not in result:
            raise UserError(
                "Where the worker of Dask runs, there is another version of modelmake",
                ("worker", result["worker"]),
                ("there", result["version"]),
                ("here", dask_worker.version()),
                hint="install the same version there, into the environment of `dask worker`",
            )
        attempt, offset = result["attempt"], self._offset(result["attempt"])
        start, data = result["start"], result["printed"]
        seen = max(0, offset - start)
        self._take(_Answer(attempt, result["worker"], start + seen, data[seen:]), write)
        return _judged(result["status"])

    def _no_answer(self) -> UserError:
        return UserError(
            f"Dask's scheduler has given no answer for {ANSWER_SECONDS:.0f} s",
            ("scheduler", self._address),
            hint="see whether it still runs, and `doit` again",
        )


def _judged(status: int) -> Ended:
    """Return how a step ended whose process has ended so; what went wrong it has told itself."""
    if status >= 0:
        return Ended(ok=status == 0)
    why = ": its memory may be too small" if status == -signal.SIGKILL else ""
    return Ended(
        ok=False, reason="lost", message=f"its process was killed by signal {-status}{why}"
    )
