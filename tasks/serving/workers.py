"""A worker: a process in a model's own environment that answers requests over a Unix socket.

What is said over the socket is told in runtime/model_runtime/wire.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import socket
import struct
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tasks import folders, launch, plan, processes
from tasks.fingerprint import Files
from tasks.languages import RUNTIME
from tasks.processes import Watcher
from tasks.records import write_json
from tasks.serving import released
from tasks.serving.memory import SharedMemory
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

    from tasks.languages import Command
    from tasks.runs import Run
    from tasks.serving.batches import Pending
    from tasks.serving.released import Release

HEAD = struct.Struct("!IQ")
_DECODE = msgspec.json.Decoder().decode

BUFFER_BYTES = 1 << 20
"""Of a connection: what has been sent to a worker and not been read yet."""

JOINED_BYTES = 1 << 16
"""A message with a smaller payload is sent in one call of the system, a larger one not copied."""

PROGRAM = str(RUNTIME / "serve_model.py")

_COMPOSING = Lock()
"""Held while a command is composed: those of one model make files in the same folder."""


class Channel(asyncio.Protocol):
    """The connection to a worker: `received` is given each message, `lost` told when it ends.

    `memory` is for large payloads, where the worker has it too.
    """

    def __init__(
        self,
        received: Callable[[Channel, dict[str, Any], memoryview], None],
        lost: Callable[[Channel], None],
    ) -> None:
        """Wait for the worker's first message."""
        self._received, self._lost = received, lost
        self._buffer = bytearray()
        self._lent: memoryview | None = None  # so that what the worker reads is in use
        self._kept: list[memoryview | None] = []  # what its model has kept is so for ever
        self._transport: asyncio.Transport | None = None
        self.memory: SharedMemory | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection; a large batch fits into its buffer where the system allows that."""
        self._transport = cast("asyncio.Transport", transport)
        with contextlib.suppress(OSError):
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and hand on each message that is whole."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            of_header, of_payload = HEAD.unpack_from(self._buffer)
            start = HEAD.size + of_header
            end = start + of_payload
            if len(self._buffer) < end:
                return
            message = bytes(memoryview(self._buffer)[HEAD.size : end])
            del self._buffer[:end]
            header, payload = _header(message[:of_header]), memoryview(message)[of_header:]
            if self.memory and "written" in header:
                # A copy: these are used after the worker is given, and answers, the next batch.
                payload = self.memory.answers.copy(header["written"])
            if "kept" in header:
                self._kept.append(self._lent)
            self._lent = None
            self._received(self, header, payload)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell of the end."""
        del error
        self._lost(self)

    def send(self, header: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> None:
        """Send a message; its payload is the parts, one behind the other."""
        if self._transport is not None:
            size = sum(map(len, parts))
            if self.memory and (lent := self.memory.lend(parts)):
                number, start, self._lent = lent
                header, parts, size = {**header, "at": (number, start, size)}, (), 0
            text = msgspec.json.encode(header)
            message = [HEAD.pack(len(text), size), text, *parts]
            if size < JOINED_BYTES:
                self._transport.write(b"".join(message))
            else:
                self._transport.writelines(message)

    def close(self) -> None:
        """Let the worker end: it has nothing to answer any more."""
        if self._transport is not None:
            self._transport.close()


def _header(text: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what a header says; msgspec refuses halves of characters, which a model's may have."""
    try:
        return _DECODE(text)
    except msgspec.DecodeError:
        return json.loads(text)


class _Log:
    """A worker's log.  What cannot be written, as on a full disk, is lost: the worker goes on."""

    def __init__(self, path: str, *, anew: bool) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            self._open()
            if anew:  # another server may write to it: each adds at the end, wherever that is
                os.truncate(path, 0)

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._file = cast("IO[bytes]", open(self._path, "ab", buffering=0))  # noqa: SIM115 - see `close`

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._file is None:
                self._open()
            if self._file is not None:
                self._file.write(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()


class Worker:
    """The process itself, watched by a thread of its own for as long as it lives.

    The kernel kills it when that thread ends, and so with this process.
    """

    def __init__(self, number: int, release: Release, run: Run, log: str) -> None:
        """Make ready to start it; `log` is the file that what it prints goes to."""
        self.number, self.log, self._release, self._run = number, log, release, run
        self._group = self._starts = 0
        self._killed = False
        self._thread: Thread | None = None
        self.memory: SharedMemory | None = None

    def start(self, socket: str, ended: Callable[[str], None]) -> None:
        """Start the process, which connects to the socket; `ended` is told how it ended.

        That is called in another thread.  Raises RuntimeError where no thread can be had.
        """
        self._killed = False
        self._starts += 1

        def watch() -> None:
            log = _Log(self.log, anew=self._starts == 1)
            try:
                how = self._ran(socket, log)
            except Exception as error:  # noqa: BLE001 - whatever it is, another is to be started
                how = f"could not be started: {error}"
            log.close()
            if self.memory:
                self.memory.close()
                self.memory = None
            self._group = 0
            ended(how)

        name = f"{self._release.name} {self.number}"
        self._thread = Thread(target=watch, name=name, daemon=True)
        self._thread.start()

    def _ran(self, socket: str, log: _Log) -> str:
        """Run the process until it ends, and return how it ended."""
        with _COMPOSING:
            command, variables = self._composed(socket)
        if self._killed:
            return "was killed before it began"
        end = processes.run_logged(
            [*command.tie, *command.words], log, cwd=self._run.work, env=variables,
            watcher=Watcher(lambda: "", lambda _data: None), started=self._started,
        )  # fmt: skip
        killed = f"was killed by signal {-end.status}"
        return killed if end.status < 0 else f"exited with {end.status}"

    def _share(self) -> list[str]:
        """Make the memory to share with the process; return where that finds it."""
        with contextlib.suppress(OSError, AttributeError):  # not every system has such memory
            self.memory = SharedMemory()
            return self.memory.paths
        return []

    def _composed(self, socket: str) -> tuple[Command, dict[str, str]]:
        """Return the command that starts the process, and its variables."""
        run, release = self._run, self._release
        path = os.path.abspath(f"{run.folder}/worker-{self.number}.json")
        command = launch.command_for(
            [PROGRAM, path], release.step, release.environment, run, lasting=True
        )
        scratch = os.path.abspath(f"{run.scratch}/{self.number}")
        os.makedirs(scratch, exist_ok=True)
        told = {
            **launch.request(release.step, run, release.version),
            "root": os.path.abspath(run.work),  # the code that was there when serving began
            "trusted": command.trusted,
            "parent": os.getpid() if command.direct else 0,
            "socket": socket,
            "memory": self._share() if command.direct else [],
            "worker": self.number,
            "sample": release.sample,
            "scratch": scratch,
        }
        write_json(path, told)
        return command, {**command.variables, "MODEL_SCRATCH": scratch}

    def _started(self, group: int) -> None:
        self._group = group
        if self._killed:
            self.kill()

    def kill(self) -> None:
        """Kill the process, with all that it has started, also one that is just being started."""
        self._killed = True
        if self._group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)

    def join(self, seconds: float) -> bool:
        """Wait until it has ended, so long at most; return whether it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()


@dataclass(eq=False)
class Place:
    """A worker's place in the pool: who is in it, and what that one is doing.

    `number` is that of its batch; it is killed when it is not done, or has not started, by its
    `deadline`; `killed` says that it was, so that it is given nothing more; `ended` counts how
    often it has ended without an answer in between.
    """

    worker: Worker
    channel: Channel | None = None
    ready: bool = False
    batch: list[Pending] = field(default_factory=list)
    number: int = 0
    deadline: float = math.inf
    killed: bool = False
    ended: int = 0

    def kill(self) -> None:
        """Kill the worker, who may still have an answer on its way."""
        self.killed = True
        self.worker.kill()


def copy_code(release: Release, work: str) -> None:
    """Put a copy in the place of the link to the model's code, which may be edited meanwhile.

    It has those files that are the model's: not what an editor keeps beside them.  Raises UserError
    where it is not the code of the release.
    """
    package, files = f"{work}/{PACKAGE}", Files()
    code = os.path.realpath(package)
    os.remove(package)
    os.mkdir(package)
    for name in folders.walk(code, files):
        os.makedirs(os.path.dirname(f"{package}/{name}"), exist_ok=True)
        shutil.copy2(f"{code}/{name}", f"{package}/{name}")
    root = release.step.model.root
    released.check_code(
        release,
        {
            path: files.digest(f"{work}/{os.path.relpath(path, root)}")
            for path in plan.source_paths(release.step, files)
        },
    )
