"""What a pod prints, whole and once, whatever becomes of the connection."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import Counter, deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasks.places.cluster import GONE, SILENCE_SECONDS, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.places.cluster import Cluster

OVERLAP_SECONDS = 60
"""How much longer ago than the last line a log is asked for again."""

KEPT_LINES = 5000
"""How many lines are known again when they come twice."""

ATTEMPTS = 5
"""How often the end of a log is asked for in vain."""

PAUSE_SECONDS = 0.5

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")
_UNKNOWN = (0, 0)


class PodLog:
    """Reads the log of a pod in a thread, and asks for it again when it breaks off.

    A log that is asked for again begins before the last line that came, by the cluster's own
    reckoning: each line has a time of the cluster's, which is only ever compared with others of it.
    """

    def __init__(self, cluster: Cluster, pod: str, container: str) -> None:
        self._cluster, self._pod, self._container = cluster, pod, container
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._left = False
        self._heard = 0.0
        self._known: deque[tuple[tuple[int, int], bytes]] = deque(maxlen=KEPT_LINES)
        self.trouble = ""
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Say that the pod has ended: nothing more comes than what there is."""
        self._ended.set()

    def leave(self) -> None:
        """Read no further."""
        self._left = True

    @property
    def ended(self) -> bool:
        """Whether the pod has ended."""
        return self._ended.is_set()

    @property
    def empty(self) -> bool:
        """Whether all has been read and handed on."""
        return not self._thread.is_alive() and self._lines.empty()

    def hand_on(self, write: Callable[[bytes], None], seconds: float) -> None:
        """Hand on the lines that there are, and wait for the first of them for some time."""
        try:
            write(self._lines.get(timeout=seconds))
            while True:
                write(self._lines.get_nowait())
        except queue.Empty:
            return

    def _read_all(self) -> None:
        """Read, and again, until a reading that began after the pod's end came to its own."""
        vain = 0
        while vain < ATTEMPTS and not self._left:
            ended = self._ended.is_set()
            try:
                self._read(final=ended)
                self.trouble = ""
                if ended:
                    return
            except Refused as refused:
                self.trouble = refused.reason
                if refused.status == GONE:
                    return
                vain += ended
            self._ended.wait(PAUSE_SECONDS)
            if ended:
                time.sleep(PAUSE_SECONDS)

    def _read(self, *, final: bool) -> None:
        """Read until the log ends or breaks off.  Raises Refused."""
        again = bool(self._known)
        since = int(time.monotonic() - self._heard) + OVERLAP_SECONDS if again else None
        more = {"since_seconds": since} if since else {}
        answer = self._cluster.open(
            self._cluster.core.read_namespaced_pod_log, self._pod, seconds=SILENCE_SECONDS,
            container=self._container, follow=True, timestamps=True, **more,
        )  # fmt: skip
        known = Counter(self._known)
        oldest = self._known[0][0] if again else _UNKNOWN
        try:
            for line in _lines(answer, final=final):
                self._heard = time.monotonic()
                stamp, text = _taken_apart(line)
                if known[stamp, text] > 0 or _UNKNOWN < stamp < oldest:
                    known[stamp, text] -= 1
                    continue
                self._known.append((stamp, text))
                self._lines.put(text)
        except Exception as error:
            # Whatever the connection broke off by: it is to be asked for again.
            raise Refused(0, str(error)) from error
        finally:
            answer.close()


def _lines(answer: Any, *, final: bool) -> Iterator[bytes]:  # noqa: ANN401 - the client's own
    """Yield the lines of an answer; one that has no end only where nothing comes after it."""
    held = b""
    for chunk in answer.stream():
        *whole, held = (held + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if held and final:
        yield held


def _taken_apart(line: bytes) -> tuple[tuple[int, int], bytes]:
    """Return the time that stands before a line, in seconds and nanoseconds, and the rest."""
    match = _STAMP.match(line)
    if not match:
        return _UNKNOWN, line
    second, fraction, zone = (part.decode() if part else "" for part in match.groups())
    moment = datetime.fromisoformat(second + zone.replace("Z", "+00:00"))
    return (int(moment.timestamp()), int(fraction.ljust(9, "0") or 0)), line[match.end() :]
