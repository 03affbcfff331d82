"""Run a process to its end: output into a bounded log, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEAD_BYTES = 8_000_000
TAIL_BYTES = 2_000_000
STOP_SECONDS = 5.0
LOOK_SECONDS = 0.2

_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


def run_logged(
    command: Sequence[str],
    log: IO[bytes],
    *,
    cwd: str,
    env: Mapping[str, str],
    tick: Callable[[], None],
) -> int:
    """Run a command with its output in `log`, and return its exit status (negative: a signal).

    The log keeps the first 8 MB and the last 2 MB.  `tick` is called a few times a
    second.  The process has a group of its own, which is ended with it, so that what it left in
    the background ends too.
    """
    if _stopping.is_set():
        return -signal.SIGTERM
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    _running.add(process)
    try:
        _copy_output(process, log, tick)
        return process.wait()
    finally:
        _end_group(process, signal.SIGKILL)
        process.wait()
        _running.discard(process)
        if process.stdout:
            process.stdout.close()


class _BoundedLog:
    """Keeps the first bytes of what is written as it comes, and the last at the end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._room = HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_size = self._left_out = 0

    def write(self, data: bytes) -> None:
        if self._room:
            head, data = data[: self._room], data[self._room :]
            self._file.write(head)
            self._room -= len(head)
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) > TAIL_BYTES:
                dropped = len(self._tail.popleft())
                self._tail_size -= dropped
                self._left_out += dropped

    def finish(self) -> None:
        if self._left_out:
            self._file.write(b"\n... %d bytes left out ...\n" % self._left_out)
        for data in self._tail:
            self._file.write(data)


def _copy_output(
    process: subprocess.Popen[bytes], log: IO[bytes], tick: Callable[[], None]
) -> None:
    """Copy until the process has ended and nothing more comes."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    source = process.stdout.fileno()
    bounded = _BoundedLog(log)
    ticked = time.monotonic()
    while True:
        ended = process.poll() is not None
        if time.monotonic() > ticked + LOOK_SECONDS:
            ticked = time.monotonic()
            tick()
        ready, _, _ = select.select([source], [], [], 0 if ended else LOOK_SECONDS)
        data = os.read(source, 1 << 16) if ready else b""
        if data:
            bounded.write(data)
        elif ready or ended:
            break
    bounded.finish()


def _end_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)


def stopping() -> bool:
    """Return whether every process is being ended."""
    return _stopping.is_set()


def stop_all() -> None:
    """End every process that runs, kindly at first; none is started after this."""
    _stopping.set()
    for process in list(_running):
        _end_group(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running and time.monotonic() < deadline:
        if all(process.poll() is not None for process in list(_running)):
            break
        time.sleep(0.05)
    for process in list(_running):
        _end_group(process, signal.SIGKILL)


def tail(path: str, lines: int = 20) -> str:
    """Return the last lines of a log, decoded as well as can be."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 65536))
        text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])
    return ""
