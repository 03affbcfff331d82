"""What the place `dask` has done on a worker of Dask: a step, in a process of its own.

What it prints is kept in the worker's memory, from where whoever waits for it fetches it piece by
piece: any number of them, each from where it was.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from tasks import processes
from tasks.profiles import STORE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEPT_BYTES = 8_000_000
"""How much of what a step prints is kept for those who have not fetched it yet."""

STOP_SECONDS = 30.0
"""How long a step may take to end when nobody waits for it any more."""


class _Printed:
    """What a step has printed, without its beginning where it is much."""

    def __init__(self) -> None:
        self._data, self._start, self._lock = bytearray(), 0, threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._data += data
            over = len(self._data) - KEPT_BYTES
            if over > 0:
                self._start += over
                del self._data[:over]

    def since(self, offset: int) -> tuple[int, bytes]:
        with self._lock:
            start = max(offset, self._start)
            return start, bytes(self._data[start - self._start :])


_printed: dict[str, _Printed] = {}


PRINTED = "modelmake-printed"
"""The name by which workers answer what a step has printed."""


def _answer(attempt: str, offset: int) -> tuple[int, bytes] | None:
    """Return what a step that runs here has printed since; None where it does not run here.

    Before it stands where that begins: what was printed before may be gone.
    """
    output = _printed.get(attempt)
    return output.since(offset) if output else None


def version() -> str:
    """Return the version of modelmake."""
    try:
        return importlib.metadata.version("modelmake")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def carry_out(expected: str, words: list[str], store: str) -> dict[str, Any]:
    """Run Python with these words, as a task of Dask, and return how that ended.

    It ends with the worker, and when nobody waits for the task any more.  `store` is where the
    request is, unless the worker has a name of its own for that.  What is returned is of plain
    values: `version`, which is not the `expected` one where nothing was run, `worker`, `status`,
    and the end of what was `printed`, which begins at `start`.
    """
    from distributed import Reschedule, get_worker  # noqa: PLC0415 - an extra

    worker = get_worker()
    name = str(worker.name)
    if version() != expected:
        return {"version": version(), "worker": name}
    key, attempt, output = worker.get_current_task(), os.urandom(8).hex(), _Printed()
    _printed[attempt] = output
    worker.handlers[PRINTED] = _answer
    # Dask has an item `worker` of its own in that.
    worker.log_event(key, {"attempt": attempt, "name": name, "address": worker.address})
    where = json.dumps({"place": "dask", "worker": name})
    command = [sys.executable, *words, "--where", where, "--parent", str(os.getpid())]
    ending = _Ending(lambda: _is_wanted(worker, key))
    try:
        with open(os.devnull, "wb") as nowhere:
            ended = processes.run_logged(
                command, nowhere, cwd=worker.local_directory, env=_variables(store),
                watcher=processes.Watcher(ending.tick, output.write), started=ending.watch,
            )  # fmt: skip
    finally:
        del _printed[attempt]
    if ending.begun:  # who waits for it still, since the worker alone ends, has it elsewhere
        raise Reschedule
    start, data = output.since(0)
    return {
        "version": expected, "worker": name, "attempt": attempt, "status": ended.status,
        "start": start, "printed": data,
    }  # fmt: skip


class _Ending:
    """Ends a process when it is wanted no more, kindly at first."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted, self._process, self._since = wanted, 0, 0.0

    @property
    def begun(self) -> bool:
        return self._since > 0

    def watch(self, process: int) -> None:
        self._process = process

    def tick(self) -> str:
        if self.begun:
            if time.monotonic() > self._since + STOP_SECONDS:
                _signal(self._process, signal.SIGKILL)
        elif not self._wanted():
            self._since = time.monotonic()
            _signal(self._process, signal.SIGTERM)
        return ""


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _is_wanted(worker: Any, key: str) -> bool:  # noqa: ANN401 - Dask's own class
    """Return whether the worker goes on and somebody waits for its task."""
    task = worker.state.tasks.get(key)
    running = worker.status.name in {"running", "paused", "closing_gracefully"}
    return running and task is not None and task.state not in {"cancelled", "released"}


def _variables(store: str) -> Mapping[str, str]:
    """Return the worker's own variables, without those that are for Dask's threads alone."""
    import dask  # noqa: PLC0415 - an extra

    for_dask = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    kept = {k: v for k, v in os.environ.items() if k not in for_dask or v != str(for_dask[k])}
    return {**({STORE_VARIABLE: store} if store else {}), **kept}
