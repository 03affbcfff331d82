"""Run a command and decide about every call, of all its processes, that changes files.

The kernel asks us before it carries such a call out (seccomp's user notification) and the process
waits for the answer: the calls of all processes and threads stand in one order, and each can be let
pass, made to fail, or be the last.  While we do not answer, none of them writes anything, so a
kill is the same for all of them at once, as it is when a machine stops.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash import calls
from tests.crash.calls import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MARK = "CRASH_MARK"
"""The variable by which the processes of a command are known."""

PATIENCE_SECONDS = 120
PASS = 0
KILL_ALL, KILL_CALLER, TEAR = -1, -2, -3
"""What can become of a call besides its passing, and its failing with an errno.

`TEAR` is to write half of what is to be written, and then to kill all.
"""

_LAUNCHER = str(Path(__file__).parent / "launcher.py")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION, _ANSWER = "=QIIiIQ6Q", "=QqiI"
_CONTINUE = 1


@dataclass(frozen=True)
class Ran:
    """What came of a command: its status, what it said, and the calls that it made."""

    status: int
    said: str
    calls: tuple[Call, ...]
    pid: int


def run(
    command: Sequence[str],
    decide: Callable[[Call], int],
    *,
    cwd: Path,
    env: Mapping[str, str],
    folders: Sequence[Path],
) -> Ran:
    """Run a command to its end; `decide` is asked about each call on what lies in the folders."""
    mark = secrets.token_hex(8)
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as said:
        with ours, theirs:
            handle = str(theirs.fileno())
            process = subprocess.Popen(
                [sys.executable, "-S", _LAUNCHER, handle, calls.program().hex(), *command],
                cwd=cwd, env={**env, MARK: mark}, pass_fds=[theirs.fileno()],
                stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            theirs.close()
            _, handles, _, _ = socket.recv_fds(ours, 1, 1)
        assert handles, (process.wait(), _text(said))
        made: list[Call] = []
        try:
            _answer(handles[0], made, decide, mark, tuple(map(os.path.realpath, folders)))
            status = process.wait(timeout=PATIENCE_SECONDS)
        finally:
            kill_marked(mark)
            process.wait()
            os.close(handles[0])
        return Ran(status, _text(said), tuple(made), process.pid)


def _text(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return file.read().decode("utf-8", "replace")  # type: ignore[attr-defined,no-any-return]


def _answer(
    listener: int,
    made: list[Call],
    decide: Callable[[Call], int],
    mark: str,
    folders: tuple[str, ...],
) -> None:
    """Answer the kernel's questions until nobody is left who could raise one."""
    names = calls.numbers()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, ("it does not end", made[-3:])
        events = poll.poll(1000)
        if events and not events[0][1] & select.POLLIN:
            return
        question = bytearray(struct.calcsize(_QUESTION))
        try:
            if events:
                fcntl.ioctl(listener, _RECEIVE, question)
        except FileNotFoundError:  # whoever was to ask has been killed
            continue
        if not events:
            continue
        ident, pid, _, number, _, _, *arguments = struct.unpack(_QUESTION, question)
        paths = calls.named(pid, names[number], tuple(arguments))
        verdict = PASS
        if names[number] == "sync" or any(_inside(path, folders) for path in paths):
            caller = _process_of(pid)
            made.append(Call(len(made) + 1, caller, names[number], paths, tuple(arguments)))
            verdict = decide(made[-1])
        if verdict in (KILL_ALL, TEAR):
            if verdict == TEAR:
                tear(made[-1])
            kill_marked(mark)
            return
        if verdict == KILL_CALLER:
            os.kill(pid, signal.SIGKILL)
            continue
        failing = struct.pack(_ANSWER, ident, 0, -verdict, 0 if verdict else _CONTINUE)
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, _SEND, bytearray(failing))


def _process_of(thread: int) -> int:
    """Return the process that a thread belongs to."""
    with contextlib.suppress(OSError):
        said = Path(f"/proc/{thread}/status").read_text(encoding="utf-8")
        return int(said.partition("Tgid:")[2].split()[0])
    return thread


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def tear(call: Call) -> None:
    """Write half of what a call is to write, in its place."""
    handle, address, size = call.arguments[:3]
    with contextlib.suppress(OSError):
        data = calls.read_memory(call.pid, address, size // 2)
        lines = Path(f"/proc/{call.pid}/fdinfo/{handle}").read_text(encoding="utf-8").splitlines()
        said = dict(line.split(":\t") for line in lines[:2])
        at = call.arguments[3] if call.name == "pwrite64" else int(said["pos"])
        if int(said["flags"], 8) & os.O_APPEND:
            at = os.path.getsize(call.paths[0])
        with open(call.paths[0], "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, at)


def marked(mark: str) -> list[int]:
    """Return the processes of a command, known by their variable."""
    found = []
    needle = f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and needle in Path(f"/proc/{entry}/environ").read_bytes():
                found.append(int(entry))
    return found


def kill_marked(mark: str) -> None:
    """Kill all processes of a command, and return when they have gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
