"""Watch what is scored: summaries by window, and how far they are from the training's data.

The gateway notes each request and its answer, which costs it next to nothing.  A thread summarises
them in short pieces and rests in between, so that it takes a small part of one processor.  What it
cannot keep up with is left out, and counted.  Of a row nothing is kept but its part in counts, and
nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.model import MONITORING_FORMAT
from tasks.serving.rows import pieces
from tasks.serving.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tasks.serving.arrays import Array
    from tasks.serving.windows import Side

FILE = "models/monitoring.json"
WINDOW_SECONDS = 3600.0
WINDOW_ROWS = 100_000
KEPT_WINDOWS = 24
MOST_REQUESTS = 10_000
MOST_BYTES = 16 << 20
"""How much may wait to be summarised."""

LARGEST = 4 << 20
"""Bytes of a request and its answer; more would hold all others up while they are parsed."""

PAUSE_SECONDS = 0.25
PIECE_SECONDS = 0.001
REST = 4
"""How many times as long as it has worked the thread rests."""


def read_baseline(folder: str) -> dict[str, Any] | None:
    """Return the statistics that training left in the folder of its result, None without any."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("format") == MONITORING_FORMAT:
            return found
    return None


class Monitor:
    """What one version of a model is asked and answers.

    `baseline` is what its training has recorded (`read_baseline`), None where there is nothing.  A
    window ends with the first request after so many seconds or rows.  `start` starts the thread;
    without it `catch_up` is to be called.
    """

    def __init__(
        self,
        baseline: Mapping[str, Any] | None = None,
        *,
        seconds: float = WINDOW_SECONDS,
        rows: int = WINDOW_ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin the first window."""
        self._baseline = baseline or {}
        self._seconds, self._rows, self._clock = seconds, rows, clock
        self._waiting: deque[tuple[Array, Array]] = deque()
        # Each of these is written by one thread alone: that which notes, or that which summarises.
        self._noted_bytes = self._refused = 0
        self._taken_bytes = self._unread = 0
        self._spent = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="monitoring", daemon=True)
        self._running, self._last = Window(self._baseline), Window(self._baseline)
        self._closed: deque[dict[str, Any]] = deque(maxlen=KEPT_WINDOWS)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, which leaves what it has not summarised yet."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join()

    def note(self, inputs: Array, answer: Array) -> None:
        """Note a request that was answered; to be called by one thread."""
        size = len(inputs.data) + len(answer.data)
        room = MOST_BYTES - (self._noted_bytes - self._taken_bytes)
        if size > min(LARGEST, room) or len(self._waiting) >= MOST_REQUESTS:
            self._refused += 1
        else:
            self._noted_bytes += size
            self._waiting.append((inputs, answer))

    def catch_up(self) -> None:
        """Summarise all that waits, unless the monitor is closed meanwhile."""
        while self._waiting and not self._stop.is_set():
            inputs, answer = self._waiting.popleft()
            self._taken_bytes += len(inputs.data) + len(answer.data)
            self._roll()
            window = self._running
            try:
                rows = self._take(window.inputs, inputs)
                self._take(window.outputs, answer, rows)
            except (ValueError, TypeError, RecursionError):
                self._unread += 1
            else:
                with self._lock:
                    window.count(rows, self._clock())
        self._settle()

    def drift(self) -> dict[str, Any]:
        """Return what was scored lately beside the baseline, as `/models/<model>/drift` has it."""
        with self._lock:
            recent = self._recent()
            windows = [*self._closed, self._running.brief()]
            left_out = self._refused + self._unread
        known = ("rows", "sampled", "notes")
        return {
            "baseline": {name: self._baseline[name] for name in known} if self._baseline else None,
            "left_out": left_out,
            "recent": recent.described(),
            "windows": windows,
        }

    def shifts(self) -> list[tuple[str, float, float | None]]:
        """Return the PSI and the KS of each column of which they can be told, for metrics.

        The column is named `input …` or `output …`; a column of categories has no KS.
        """
        with self._lock:
            return list(self._recent().shifts())

    def _recent(self) -> Window:
        """Return the running window and the one before it in one."""
        recent = Window(self._baseline)
        recent.merge(self._last)
        recent.merge(self._running)
        return recent

    def _roll(self) -> None:
        """Begin the next window where the running one is over."""
        running = self._running
        old = self._clock() - running.start >= self._seconds
        if running.requests and (old or running.rows >= self._rows):
            self._settle()
            with self._lock:
                self._closed.append(running.brief())
                self._last, self._running = running, Window(self._baseline)

    def _settle(self) -> None:
        with self._lock:
            self._running.inputs.settle()
            self._running.outputs.settle()

    def _take(self, side: Side, array: Array, rows: int = 0) -> int:
        """Take an array's rows and return how many they are; `rows` is how many were asked."""
        taken = 0
        for piece in self._rested(pieces(array, side.width, rows)):
            with self._lock:
                side.add(array.names, piece)
            taken += len(piece)
        return taken

    def _rested(self, work: Iterator[Any]) -> Iterator[Any]:
        """Yield from an iterator, and rest whenever that and the caller have worked a while."""
        began = time.perf_counter()
        for item in work:
            yield item
            self._spent += time.perf_counter() - began
            if self._spent > PIECE_SECONDS and self._thread.ident:
                self._stop.wait(REST * self._spent)
                self._spent = 0.0
            began = time.perf_counter()

    def _work(self) -> None:
        """Do the thread's work until the end."""
        while not self._stop.wait(PAUSE_SECONDS):
            self.catch_up()
