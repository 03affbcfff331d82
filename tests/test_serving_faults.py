"""`doit serve` while the machine or a model misbehaves: full disks, unread pipes, odd answers."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assertions import wait_until
from tests.broker import free_port
from tests.conftest import RUNNER, Repository
from tests.serving import Server, asked, children, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "answers-oddly"
ID = "00000000-0000-4000-8000-000000000061"
SCORING = f"model_definitions/{MODEL}/model_modules/scoring.py"
FRONT = "import sys; from tasks.front import main; sys.argv[0] = 'doit'; sys.exit(main())"
PIPE_BYTES = 1 << 16

ODD = """
import os
import signal
import sys


class Unsaid(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class ModelScorer:
    def __init__(self, config=None):
        with open("models/model.txt") as file:
            self.factor = float(file.read())

    def predict(self, data):
        return [self._answer(*row) for row in data]

    def _answer(self, first, second):
        if first == "exit":
            os._exit(7)
        if first == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if first == "pid":
            return os.getpid()
        if first == "print":
            print("said to nobody", flush=True)
        if first == "close":
            sys.stdout.close()
            sys.stderr.close()
        if first == "none":
            sys.stdout = sys.stderr = None
        if first == "unsaid":
            raise Unsaid
        if first == "keys":
            return {(1, 2): 3}
        return self.factor * (first if isinstance(first, (int, float)) else 0) + second
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository with a model that misbehaves at a word, trained and evaluated."""
    made = Repository(tmp_path_factory.mktemp("faults") / "repository", cache)
    made.add("answers-requests", MODEL)
    made.write(SCORING, ODD)
    done = made.doit()
    assert 0 == done.returncode, done.stderr
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Server]:
    """Return a server of it, named twice: under `nohup`, and nobody reads what it says."""
    port = free_port()
    command = [sys.executable, "-c", FRONT, "serve", MODEL, ID, "-f", str(RUNNER / "dodo.py")]
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command, "-d", str(repository.path),
         "--port", str(port)],
        cwd=repository.path, env=repository.variables(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    found = Server(process, port, repository.path, repository.path)
    try:
        assert wait_until(lambda: ready(found))
        yield found
        assert 0 == found.end()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe
            pipe.close()


def ready(server: Server) -> bool:
    """Return whether the server has a worker."""
    try:
        return server.ask("/health/ready").status == HTTPStatus.OK
    except OSError:
        return False


def statuses(server: Server, *words: str) -> list[int]:
    """Ask for a row with each of these words, and return the statuses."""

    async def ask() -> list[tuple[int, bytes]]:
        bodies = [asked([[word, 1]]) for word in words]
        return await asyncio.wait_for(one_by_one(server.port, bodies), 20)

    return [status for status, _ in asyncio.run(ask())]


def log_of(repository: Repository) -> Path:
    """Return the worker's log."""
    version = repository.json(f"build/models/{MODEL}/train/run.json")["key"][:12]
    return repository.path / f"build/serving/{MODEL}/{version}/worker-1.log"


def test_a_model_that_is_named_twice(server: Server) -> None:
    """It is served once."""
    assert 1 == len(children(server.process.pid))


def test_a_hangup_that_is_ignored(server: Server) -> None:
    """Under `nohup` the end of the terminal is none of the server's."""
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)

    assert [200] == statuses(server, "good")


def test_invalid_requests_while_nobody_reads(server: Server) -> None:
    """They do not fill a pipe that then holds up all others."""
    for _ in range(PIPE_BYTES // 30):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"nothing of the kind\r\n\r\n")

    assert [200] == statuses(server, "good")


@pytest.mark.parametrize("word", ["unsaid", "keys"])
def test_an_answer_that_is_the_models_fault(server: Server, word: str) -> None:
    """Neither is the client blamed nor does the worker end."""
    pid = server.predict([["pid", 0]]).body["data"]["ndarray"]

    answer = server.predict([[word, 1]])

    assert 500 == answer.status
    assert ("Unsaid" if word == "unsaid" else "TypeError") in answer.body["error"]["message"]
    assert pid == server.predict([["pid", 0]]).body["data"]["ndarray"]


@pytest.mark.parametrize("word", ["close", "none"])
def test_a_model_that_closes_its_output(server: Server, word: str) -> None:
    """The worker goes on, failures too are told."""
    pid = server.predict([["pid", 0]]).body["data"]["ndarray"]

    assert [200, 500] == statuses(server, word, "unsaid")
    assert pid == server.predict([["pid", 0]]).body["data"]["ndarray"]
    assert [500, 200] == statuses(server, "exit", "good")  # with its output open again


def test_a_crash_leaves_its_place(server: Server, repository: Repository) -> None:
    """The log says where the process was when it was ended by a signal of its own making."""
    assert [500, 200] == statuses(server, "crash", "good")

    log = log_of(repository).read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "scoring.py" in log


def test_a_full_disk(server: Server, repository: Repository) -> None:
    """What a worker prints is lost, and it goes on."""
    log = log_of(repository)
    log.rename(f"{log}.old")
    log.symlink_to("/dev/full")
    try:
        assert [500, 200, 200] == statuses(server, "exit", "print", "good")
    finally:
        log.unlink()

    assert [500, 200, 200] == statuses(server, "exit", "print", "good")
    assert wait_until(lambda: "said to nobody" in log.read_text())


@pytest.mark.parametrize("name", ["work", "worker-1.json"])
def test_a_start_that_fails(server: Server, repository: Repository, name: str) -> None:
    """It is tried again."""
    (path,) = (repository.path / "build/runs").glob(f"*/{name}")
    path.rename(f"{path}.away")
    if name == "worker-1.json":
        path.mkdir()  # over which no file can be written
    before = restarts(server)
    assert 500 == server.predict([["exit", 1]]).status
    assert wait_until(lambda: restarts(server) == before + 2)
    assert not ready(server)
    if name == "worker-1.json":
        path.rmdir()
    Path(f"{path}.away").rename(path)

    assert [200] == statuses(server, "good")


def restarts(server: Server) -> float:
    """Return how often a worker was started again."""
    lines = server.ask("/metrics").body.splitlines()
    found = [one for one in lines if one.startswith("modelmake_worker_restarts_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_stderr_that_is_gone(server: Server) -> None:
    """A worker that ends is started again, although that cannot be said."""
    assert server.process.stderr
    server.process.stderr.close()

    assert [500, 200, 500, 200] == statuses(server, "exit", "good", "exit", "good")


def test_a_version_that_cannot_take_over_at_first(
    server: Server, repository: Repository, tmp_path: Path
) -> None:
    """It is tried again with other sources, and after a while."""
    flag, loads = tmp_path / "flag", tmp_path / "loads"
    begin = "def __init__(self, config=None):\n"

    def failing(how: str) -> str:
        more = f"{begin}        open({str(loads)!r}, 'a').write('x')\n        {how}\n"
        return ODD.replace(begin, more)

    repository.write(SCORING, failing("1 / 0"))
    config = {"hyperParameters": {"factor": 5}}
    repository.write(f"model_definitions/{MODEL}/config.json", config)
    assert 0 == repository.doit().returncode
    assert wait_until(loads.exists)
    assert [2.0 + 1] == server.predict([[1, 1]]).body["data"]["ndarray"]

    repository.write(SCORING, failing(f"open({str(flag)!r})"))  # other sources
    loads.unlink()
    assert wait_until(loads.exists)
    assert [2.0 + 1] == server.predict([[1, 1]]).body["data"]["ndarray"]

    flag.touch()  # after a while
    assert wait_until(lambda: server.predict([[1, 1]]).body["data"]["ndarray"] == [5.0 + 1])
