"""Run a process to its end: output into a bounded log, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from tasks import descendants
from tasks.bounded_log import BoundedLog
from tasks.redaction import Redacted, secrets
from tasks.usage import Meter, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from _typeshed import SupportsWrite

STOP_SECONDS = 5.0
ELSEWHERE_SECONDS = 20.0
LOOK_SECONDS = 0.2
LONGEST_SHOWN = 400  # characters of a line
FIRST_SECONDS = 0.05  # how often a process is measured while it is younger than a second

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""The signals besides Ctrl-C that end a command of ours as Ctrl-C does."""

PR_SET_PDEATHSIG = 1
STDOUT = 1  # the descriptor

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command, as its exit status."""

_running: dict[subprocess.Popen[bytes], str] = {}  # with the marks of what they leave behind
_elsewhere: set[object] = set()
_stopping = threading.Event()


class Watcher(NamedTuple):
    """Who looks on while a command runs.

    `tick` is called a few times a second, and once more at the end; it returns a line for the log,
    mostly none.  `echo` is given what the log is given, as it comes, and all of it.
    """

    tick: Callable[[], str]
    echo: Callable[[bytes], None]


class Ended(NamedTuple):
    """How a command ended: its exit status (negative: a signal), and what it used."""

    status: int
    usage: Usage


class TimedOut(Exception):
    """A command took more time than it may."""


def run_logged(  # noqa: PLR0913 - all but two by name
    command: Sequence[str],
    log: SupportsWrite[bytes],
    *,
    cwd: str,
    env: Mapping[str, str],
    watcher: Watcher,
    started: Callable[[int], None] | None = None,
    seconds: float | None = None,
) -> Ended:
    """Run a command with its output in `log`, and return how it ended.

    `started` is told the number of its process group.  Raises TimedOut where it takes more than
    `seconds`; it is ended then, kindly at first.

    The log keeps the first 8 MB and the last 2 MB, without the values of the command's secret
    variables.  What it left in the background is ended with it: its process group, and on Linux
    what has left that.
    """
    if _stopping.is_set():
        return Ended(-signal.SIGTERM, Usage(0, 0.0))
    mark = descendants.new_mark()
    process = subprocess.Popen(
        command, cwd=cwd, env={**env, descendants.VARIABLE: mark}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    _running[process] = mark
    if started:
        started(process.pid)
    try:
        return _follow(process, log, secrets(env), watcher, seconds)
    except KeyboardInterrupt:
        _end_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        raise
    finally:
        _end_group(process, signal.SIGKILL)
        process.wait()
        descendants.end(mark)
        del _running[process]
        if process.stdout:
            process.stdout.close()


def _follow(
    process: subprocess.Popen[bytes],
    log: SupportsWrite[bytes],
    hidden: tuple[bytes, ...],
    watcher: Watcher,
    seconds: float | None,
) -> Ended:
    """Copy what a process prints until it ends, or is ended, and return how it ended."""
    bounded, meter = BoundedLog(log), Meter(process.pid)

    def write(data: bytes) -> None:
        bounded.write(data)
        watcher.echo(data)

    redacted = Redacted(write, hidden)
    looks = (lambda: _note(log, watcher), meter.look)
    in_time = _copy_output(process, redacted, *looks, seconds)
    if not in_time:
        _end_group(process, signal.SIGTERM)
        _copy_output(process, redacted, *looks, STOP_SECONDS)
        _end_group(process, signal.SIGKILL)
    redacted.finish()
    bounded.finish()
    if not in_time:
        raise TimedOut
    meter.look()
    ended = Ended(*_wait(process, meter))
    _note(log, watcher)
    return ended


def _note(log: SupportsWrite[bytes], watcher: Watcher) -> None:
    """Write a line of the runner's own into the log, if there is one."""
    if line := watcher.tick():
        data = f"modelmake: {line}\n".encode()
        log.write(data)
        watcher.echo(data)


def _copy_output(
    process: subprocess.Popen[bytes],
    log: Redacted,
    tick: Callable[[], None],
    measure: Callable[[], None],
    seconds: float | None,
) -> bool:
    """Copy until the process has ended and nothing more comes; return whether that was in time."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    source = process.stdout.fileno()
    poll = select.poll()  # which takes descriptors of any number, as a server may have them
    poll.register(source, select.POLLIN)
    began = ticked = measured = time.monotonic()
    while seconds is None or time.monotonic() < began + seconds:
        ended, now = _has_ended(process), time.monotonic()
        pause = FIRST_SECONDS if now < began + 1 else LOOK_SECONDS
        if now > measured + pause:
            measured = now
            measure()
        if now > ticked + LOOK_SECONDS:
            ticked = now
            tick()
        ready = poll.poll(0 if ended else pause * 1000)
        data = os.read(source, 1 << 16) if ready else b""
        if data:
            log.write(data)
        elif ready or ended:
            return True
    return False


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has ended, and leave it to be waited for."""
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None
    except ChildProcessError:  # `stop_all` was there before
        return True


def _wait(process: subprocess.Popen[bytes], meter: Meter) -> tuple[int, Usage]:
    """Wait for a process, and return its exit status and what was used."""
    try:
        _, status, used = os.wait4(process.pid, 0)
    except ChildProcessError:  # `stop_all` was there before
        return process.wait(), meter.end(None)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, meter.end(used)


def _end_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)


def stopping() -> bool:
    """Return whether every process is being ended."""
    return _stopping.is_set()


def pause(seconds: float) -> None:
    """Wait, but no longer than until every process is being ended."""
    _stopping.wait(seconds)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Have `stop_all` wait for what is done within: it ends something on another machine."""
    mark = object()
    _elsewhere.add(mark)
    try:
        yield
    finally:
        _elsewhere.discard(mark)


def stop_all() -> None:
    """End every process that runs, kindly at first; none is started after this.

    What runs elsewhere is ended by who follows it.
    """
    _stopping.set()
    for process in list(_running):
        _end_group(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running and time.monotonic() < deadline:
        if all(process.poll() is not None for process in list(_running)):
            break
        time.sleep(0.05)
    for process, mark in list(_running.items()):
        _end_group(process, signal.SIGKILL)
        descendants.end(mark)
    deadline += ELSEWHERE_SECONDS - STOP_SECONDS
    while _elsewhere and time.monotonic() < deadline:
        time.sleep(0.05)


def tail(path: str, lines: int = 20) -> str:
    """Return the last lines of a log as they are shown: decoded as well as can be, none too long.

    After a segfault, for instance, there is a line with the names of all extension modules.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 65536))
        last = file.read().decode("utf-8", "replace").splitlines()[-lines:]
        return "\n".join(
            f"{one[:LONGEST_SHOWN]} …" if len(one) > LONGEST_SHOWN else one for one in last
        )
    return ""


def end_with(parent: int) -> None:
    """Have this process told to end (SIGTERM) when its parent dies; on Linux alone."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise KeyboardInterrupt(signal.SIGTERM)


def terminated(number: int, frame: FrameType | None) -> None:
    """Handle one of the signals of `ENDING`: raise KeyboardInterrupt with its number."""
    del frame
    raise KeyboardInterrupt(number)


def status_after(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status of a command that Ctrl-C or another signal has ended."""
    return SIGNALLED + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


def status_unread() -> int:
    """Let what is still printed go nowhere, and return the status of who was not read to the end.

    That is the end of `doit | head`.  While a step runs in another thread, `sys.stdout` is what
    doit keeps its output in.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return SIGNALLED + signal.SIGPIPE
