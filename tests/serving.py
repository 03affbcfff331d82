"""A server that a test starts: the real `doit serve`, and how to talk to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import RUNNER, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.conftest import Repository

START = """
import sys
from tasks.serving import connections, server

connections.PATIENCE_SECONDS = {patience}
server.END_SECONDS = {spare}
server.LOOK_SECONDS = {look}
from tasks.front import main

sys.argv[0] = "doit"
sys.exit(main())
"""


@dataclass(frozen=True)
class Answer:
    """What the server answered: `body` is the value of its JSON, or its text."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Server:
    """A server that runs: `port` on loopback, what it says on stderr and stdout in files."""

    process: subprocess.Popen[bytes]
    port: int
    said: Path
    log: Path

    def ask(self, path: str, body: object = None, method: str = "", **headers: str) -> Answer:
        """Ask once, with a body as JSON unless it is bytes, and return the answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method or ("POST" if body is not None else "GET"), path, data, named)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        is_json = found.get("content-type", "").startswith("application/json")
        return Answer(answer.status, found, json.loads(text) if is_json else text.decode())

    def predict(self, values: Sequence[Any], model: str = "", **headers: str) -> Answer:
        """Ask for predictions, in the form of our own."""
        path = f"/models/{model}/predict" if model else "/predict"
        return self.ask(path, {"data": {"ndarray": values}}, **headers)

    def wait_for(self, what: str, seconds: float = 60) -> str:
        """Wait until the server says something like this, and return all that it has said."""
        until = time.monotonic() + seconds
        while not re.search(what, text := self.said.read_text()):
            assert time.monotonic() < until, text
            assert self.process.poll() is None, text
            time.sleep(0.02)
        return text

    def end(self, number: int = signal.SIGTERM) -> int:
        """Have it end, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)


@contextmanager
def serving(
    repository: Repository, *words: str, patience: float = 60, spare: int = 10, look: float = 1,
    **variables: str,
) -> Iterator[Server]:  # fmt: skip
    """Serve the models of a repository on a free port, until the block is left."""
    said, log = repository.path.parent / "said.txt", repository.path.parent / "access.jsonl"
    start = START.format(patience=patience, spare=spare, look=look)
    command = [sys.executable, "-c", start, "serve"]
    command += ["-f", str(RUNNER / "dodo.py"), "-d", str(repository.path), "--port", "0", *words]
    with open(said, "wb") as err, open(log, "wb") as out:
        process = subprocess.Popen(
            command, cwd=repository.path, env=repository.variables(**variables), stderr=err,
            stdout=out,
        )  # fmt: skip
        server = Server(process, 0, said, log)
        try:
            text = server.wait_for(r"serving on https?://\S+:(\d+)\n", TIMEOUT_SECONDS)
            server.port = int(text.rpartition("serving on ")[2].split()[0].rpartition(":")[2])
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(TIMEOUT_SECONDS)


async def one_by_one(
    port: int, bodies: Sequence[bytes], path: str = "/predict"
) -> list[tuple[int, bytes]]:
    """Ask for predictions over one connection that stays open; return status and body of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    try:
        for body in bodies:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answers.append(await answer_of(reader))
    finally:
        writer.close()
    return answers


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    assert found, head
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(found.group(1)))


def asked(values: object) -> bytes:
    """Return the body of a request for predictions."""
    return json.dumps({"data": {"ndarray": values}}).encode()


def resident_bytes(process: int) -> int:
    """Return how much memory a process has, in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    path = f"/proc/{process}/task"
    found = [Path(f"{path}/{task}/children").read_text().split() for task in os.listdir(path)]
    return [int(child) for some in found for child in some]
