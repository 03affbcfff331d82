"""Large tensors: received into memory that the gateway and a worker share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import mmap
import os
import random
import re
import socket
import sys
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tasks.serving.arrays import Array
from tasks.serving.batches import Pending, message
from tasks.serving.memory import ALIGNMENT, INPUTS, SEGMENT_BYTES, SharedMemory
from tasks.serving.payloads.parsing import BYTES
from tasks.serving.workers import HEAD, Channel
from tests.assertions import wait_until
from tests.conftest import RUNNER, Repository
from tests.serving import Server, answer_of, children, one_by_one, serving

sys.path.append(str(RUNNER / "tasks/runtime"))
from model_runtime import memory as of_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUMS, KEEPS = "sums", "keeps"
WIDTH = 4
KEEP, KEPT, MANY, FORK, FORKED = -1.0, -2.0, -3.0, -4.0, -5.0

FILES = {
    "datasets/train.json": "{}",
    "datasets/evaluate.json": "{}",
    "samples/data.json": json.dumps({"data": {"ndarray": [[1, 2, 3, 4], [5, 6, 7, 8]]}}),
    "model_modules/__init__.py": "",
    "model_modules/requirements.txt": "numpy\n",
    "model_modules/training.py": """\
def train(data_conf, model_conf, **kwargs):
    open("models/nothing.txt", "w").close()
""",
    "model_modules/evaluation.py": """\
def evaluate(data_conf, model_conf, **kwargs):
    return {"accuracy": 1}
""",
    "model_modules/scoring.py": f"""\
import os
import time

import numpy


class ModelScorer:
    def __init__(self, config=None):
        self.kept = []

    def predict(self, data):
        rows = numpy.asarray(data, dtype=float)
        assert rows.flags.aligned
        if rows[0, 0] == {KEEP}:
            self.kept.append(rows)
        if rows[0, 0] == {KEPT}:
            return numpy.array([kept.sum() for kept in self.kept])
        if rows[0, 0] == {MANY}:
            return numpy.arange(100_000.0)
        path = os.environ["MODEL_SCRATCH"] + "/forked"
        if rows[0, 0] == {FORK} and not os.fork():
            time.sleep(1)
            with open(path, "w") as file:
                file.write(str(rows.sum()))
            os._exit(0)
        if rows[0, 0] == {FORKED}:
            return [float(open(path).read()) if os.path.exists(path) else 0.0]
        return rows.sum(axis=1)
""",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return models that add up: one with two workers, one that can keep what it is told."""
    repository = Repository(tmp_path_factory.mktemp("shared") / "repository", cache)
    for number, (model, more) in enumerate(((SUMS, {"serving": {"workers": 2}}), (KEEPS, {}))):
        key = f"00000000-0000-4000-8000-00000000064{number}"
        about = {"id": key, "name": model, "language": "python", **more}
        repository.write(f"model_definitions/{model}/model.json", about)
        for path, text in FILES.items():
            repository.write(f"model_definitions/{model}/{path}", text)
    return repository


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Server]:
    """Return a server of them."""
    with serving(repository) as found:
        yield found


def rows_of(count: int, first: float = 0.5) -> list[float]:
    """Return the cells of so many rows, whose sums differ."""
    return [first, *map(float, range(1, count * WIDTH))]


def body_of(cells: Sequence[float], *, told: int = 0) -> tuple[bytes, dict[str, str]]:
    """Return a request for the sums of rows, and its headers; `told` is said to be the head's."""
    data = array("d", cells).tobytes()
    shape, parameters = [len(cells) // WIDTH, WIDTH], {"binary_data_size": len(data)}
    one = {"name": "rows", "shape": shape, "datatype": "FP64", "parameters": parameters}
    head = json.dumps({"inputs": [one]}).encode()
    named = {"inference-header-content-length": str(told or len(head)), "content-type": BYTES}
    return head + data, named


def sums(cells: Sequence[float]) -> list[float]:
    """Return what the model answers."""
    return [sum(cells[at : at + WIDTH]) for at in range(0, len(cells), WIDTH)]


def ask(server: Server, cells: Sequence[float], model: str = SUMS) -> list[float]:
    """Ask for the sums of rows."""
    body, headers = body_of(cells)
    answer = server.ask(f"/v2/models/{model}/infer", body, **headers)
    assert 200 == answer.status, answer.body
    found: list[float] = answer.body["outputs"][0]["data"]
    return found


def request_of(cells: Sequence[float], *, told: int = 0) -> bytes:
    """Return a whole request for the sums of rows."""
    body, headers = body_of(cells, told=told)
    lines = [f"POST /v2/models/{SUMS}/infer HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_csv(request: bytes) -> bytes:
    """Return a request that is refused, as it says to be of another form."""
    return request.replace(b"content-type: ", b"content-type: text/csv; was=")


def shared_bytes(process: int) -> int:
    """Return how much of shared memory a process has used."""
    text = Path(f"/proc/{process}/smaps").read_text()
    pieces = re.findall(r"memfd:payloads.*?\nRss: +(\d+) kB", text, re.DOTALL)
    return sum(int(piece) << 10 for piece in pieces)


def of_workers(server: Server, model: str = SUMS) -> int:
    """Return how much of shared memory the workers of a model have used."""
    processes = children(server.process.pid)
    words = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in processes}
    return sum(shared_bytes(one) for one in processes if model.encode() in words[one])


def test_a_large_tensor_is_shared(server: Server) -> None:
    """It is received into the memory, also behind another, and the worker finds it there."""
    cells = rows_of(30_000)
    request = request_of(cells)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request_of(rows_of(3_000)))
        said = b""
        while not said.endswith(b"]}]}"):
            more = connection.recv(1 << 20)
            assert more, said
            said += more
        before, before_workers = shared_bytes(server.process.pid), of_workers(server)
        connection.sendall(request[: len(request) // 2])
        grown = len(cells) * 8 // 2 - 100_000
        assert wait_until(lambda: shared_bytes(server.process.pid) - before >= grown)
        assert of_workers(server) == before_workers
        connection.sendall(request[len(request) // 2 :])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")

    assert of_workers(server) - before_workers >= len(cells) * 8
    assert sums(cells) == ask(server, cells)


def test_many_answers_are_shared(server: Server) -> None:
    """Large answers come back in the memory too, whatever was asked."""
    before = of_workers(server, KEEPS)

    answer = server.predict([[MANY, 0, 0, 0]], model=KEEPS)

    assert list(range(100_000)) == answer.body["data"]["ndarray"]
    assert of_workers(server, KEEPS) - before >= 100_000 * len("1.0,")


def test_many_at_once(server: Server) -> None:
    """Each is answered by its own rows, whether there is memory for it or not."""
    asked = [rows_of(2_000 * (1 + number % 7), first=number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda cells: ask(server, cells), asked))

    assert list(map(sums, asked)) == answers


def test_larger_than_the_memory(server: Server) -> None:
    """It goes through the socket."""
    cells = rows_of(SEGMENT_BYTES // 8 // WIDTH + 1)

    assert sums(cells) == ask(server, cells)


def test_values_that_another_process_reads(server: Server) -> None:
    """A process that a model has forked finds what it was given, whatever has come since."""
    cells = rows_of(6_000, first=FORK)
    assert sums(cells) == ask(server, cells, KEEPS)
    for _ in range(3):
        ask(server, [7.0] * len(cells), KEEPS)

    def read() -> float:
        found: float = server.predict([[FORKED, 0, 0, 0]], model=KEEPS).body["data"]["ndarray"][0]
        return found

    assert wait_until(lambda: read() != 0.0)
    assert sum(cells) == read()


def test_values_that_a_model_keeps(server: Server) -> None:
    """They stay what they were, however many requests follow."""
    kept = [rows_of(5_000 + number, first=KEEP) for number in range(3)]
    for cells in kept:
        assert sums(cells) == ask(server, cells, KEEPS)
        assert sums(other := rows_of(9_000)) == ask(server, other, KEEPS)

    answer = server.predict([[KEPT, 0, 0, 0]], model=KEEPS)

    assert list(map(sum, kept)) == answer.body["data"]["ndarray"]


@pytest.mark.parametrize("seed", range(4))
def test_a_body_in_pieces(server: Server, seed: int) -> None:
    """However it is cut, and with the next request right behind it, each has its answer."""
    draw = random.Random(seed)
    asked = [rows_of(count, first=seed) for count in (6_000, 40, 7_000, 2_500)]
    stream = b"".join(map(request_of, asked))

    async def answers() -> list[tuple[int, bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        at = 0
        while at < len(stream):
            size = draw.choice((1, 300, 17_000, 70_000, 300_000))
            writer.write(stream[at : at + size])
            at += size
            await writer.drain()
            await asyncio.sleep(draw.choice((0, 0.005)))
        found = [await answer_of(reader) for _ in asked]
        writer.close()
        return found

    found = asyncio.run(answers())

    assert [200] * 4 == [status for status, _ in found]
    assert list(map(sums, asked)) == [json.loads(text)["outputs"][0]["data"] for _, text in found]


def test_what_is_refused(server: Server) -> None:
    """The connection serves the next request, and the memory that of others."""
    cells = rows_of(6_000)
    wrong = request_of(cells, told=20)
    other = as_csv(request_of(cells))

    async def answers() -> list[tuple[int, bytes]]:
        found = []
        waiting = []
        for stream in (wrong, other) * (2 * INPUTS):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(stream)
            found.append(await answer_of(reader))
            waiting.append((reader, writer))
        before, larger = of_workers(server), rows_of(50_000)
        assert sums(larger) == await asyncio.to_thread(ask, server, larger)
        assert of_workers(server) > before
        for reader, writer in waiting:
            writer.write(request_of(cells))
            found.append(await answer_of(reader))
            writer.close()
        return found

    found = asyncio.run(answers())

    assert [400, 415] * (2 * INPUTS) + [200] * 4 * INPUTS == [status for status, _ in found]
    assert sums(cells) == json.loads(found[-1][1])["outputs"][0]["data"]


@pytest.mark.parametrize("told", ["9" * 5000, "x", "-1", "²"])
def test_a_length_that_is_none(server: Server, told: str) -> None:
    """It is refused as such, however large the body is."""
    body, headers = body_of(rows_of(6_000))
    headers["inference-header-content-length"] = told

    answer = server.ask(f"/v2/models/{SUMS}/infer", body, **headers)

    assert (400, True) == (answer.status, "Inference-Header-Content-Length" in answer.body["error"])


@pytest.mark.parametrize("rows", [1, 6_000])
def test_a_last_request(server: Server, rows: int) -> None:
    """Behind a large tensor it is answered as ever, and what follows it means nothing."""
    last = request_of(rows_of(rows)).replace(b"host: x", b"host: x\r\nconnection: close")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request_of(rows_of(6_000)) + last + b"behind")
        said = b""
        while more := connection.recv(1 << 20):
            said += more

    assert (2, 0) == (said.count(b"HTTP/1.1 200 "), said.count(b"HTTP/1.1 400 "))


@pytest.mark.parametrize("rows", [1, 6_000, 30_000])
def test_who_closes_one_side(server: Server, rows: int) -> None:
    """Still has the answer."""
    request = request_of(rows_of(rows))
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_length_with_zeros_before_it(server: Server) -> None:
    """It is one, however many these are."""
    request = request_of(rows_of(6_000))
    request = request.replace(b"\r\ncontent-length: ", b"\r\ncontent-length: " + b"0" * 5000)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_refused_upload_that_goes_on(server: Server) -> None:
    """It may take longer than a connection is kept open that nothing comes over."""
    request = as_csv(request_of(rows_of(30_000)))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request[:300_000])
        assert connection.recv(10_000).startswith(b"HTTP/1.1 415 ")
        for at in range(300_000, len(request), 100_000):
            time.sleep(1)
            connection.sendall(request[at : at + 100_000])
        connection.sendall(request_of(rows_of(1)))
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_finds_no_memory(server: Server) -> None:
    """What has none when it begins needs none later, though much of it was handed on by then."""
    cells = rows_of(60_000)
    request = request_of(cells)
    with contextlib.ExitStack() as stack:
        begun = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(2 * INPUTS + 1)
        ]
        for connection in begun:
            connection.sendall(request[:100_000])
        time.sleep(0.2)
        begun[-1].sendall(request[100_000:1_500_000])
        time.sleep(0.2)
        for connection in begun[:-1]:
            connection.close()
        time.sleep(0.2)
        begun[-1].sendall(request[1_500_000:])
        said = begun[-1].recv(10_000)
        assert said.startswith(b"HTTP/1.1 200 ")


def test_uploads_that_are_broken_off(server: Server) -> None:
    """While they last others are answered, and afterwards too."""
    cells = rows_of(10_000)
    request = request_of(cells)
    begun = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * INPUTS)]
    for connection in begun:
        connection.sendall(request[: len(request) // 2])

    assert sums(cells) == ask(server, cells)
    for connection in begun:
        connection.close()
    assert sums(cells) == ask(server, cells)


def test_where_no_tensor_is_expected(server: Server) -> None:
    """A large body that is for nobody, or of another form, is answered as ever."""
    body, headers = body_of(rows_of(10_000))
    path = f"/v2/models/{SUMS}/infer"

    assert 404 == server.ask("/v2/models/nobody/infer", body, **headers).status
    assert 405 == server.ask(path, body, "PUT", **headers).status
    assert 415 == server.ask(path, body, **{**headers, "content-type": "text/csv"}).status
    text = json.dumps({"data": {"ndarray": [[1.5, 2, 3, 4]] * 9_000}}).encode()
    ((status, answer),) = asyncio.run(one_by_one(server.port, [text], f"/models/{SUMS}/predict"))
    assert (200, [10.5] * 9_000) == (status, json.loads(answer)["data"]["ndarray"])


def test_who_may_not_ask(repository: Repository) -> None:
    """Occupies no memory, and who may has it."""
    request = request_of(rows_of(30_000))
    shown = request.replace(b"host: x", b"host: x\r\nauthorization: Bearer secret")
    with (
        serving(repository, SUMS, MODEL_SERVE_TOKENS="secret") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as refused,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as taken,
    ):
        before = shared_bytes(server.process.pid)
        refused.sendall(request[:-1000])
        assert refused.recv(1000).startswith(b"HTTP/1.1 401 ")
        assert shared_bytes(server.process.pid) == before
        taken.sendall(shown)
        assert taken.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert shared_bytes(server.process.pid) - before > 900_000


def test_buffers_and_views() -> None:
    """A tensor begins where it should; what is used by anybody is not given again."""
    memory, size = SharedMemory(), 1 << 16
    first, second = (memory.buffer(size, ahead) for ahead in (13, 200))
    assert first is not None
    assert second is not None
    assert (size, size) == (len(first), len(second))
    assert memory.buffer(size, 0) is None
    del second
    assert memory.buffer(size - 1, 0) is None
    assert memory.buffer(SEGMENT_BYTES, 0) is None

    longer = memory.buffer(size + 13, 13)
    assert longer is not None
    number, start, view = memory.lend([longer[13:]]) or (-1, -1, None)
    assert (1, 0, size) == (number, start % ALIGNMENT, len(view or b""))
    del first, longer
    number, start, view = memory.lend([b"x" * size, b"y"]) or (-1, -1, None)
    assert (0, 0, b"x" * size + b"y") == (number, start, bytes(view or b""))
    assert memory.lend([b"x"]) is None
    memory.close()


def test_what_is_lent_is_in_use() -> None:
    """From a batch to its answers nobody else is given the segment; what is kept, never again."""
    loop = asyncio.new_event_loop()
    memory, received = SharedMemory(), []
    channel = Channel(lambda _channel, header, payload: received.append((header, payload)), print)
    channel._transport = cast("asyncio.Transport", SimpleNamespace(write=lambda _data: None))
    channel.memory = memory
    array = Array(b"x" * (1 << 16), (), "int8", (1 << 16,))
    batch = [Pending(array, "predict", loop.create_future(), 0, lambda: False)]
    loop.close()

    def free() -> int:
        return sum(not segment.is_used() for segment in memory.inputs)

    def answer(**told: object) -> None:
        text = json.dumps({"answers": [], "batch": 1, "seconds": 1, **told}).encode()
        channel.data_received(HEAD.pack(len(text), 0) + text)

    channel.send(*message(1, batch))
    assert INPUTS - 1 == free()
    memory.answers.put([b"first"])
    answer(written=5)
    memory.answers.put([b"other"])
    assert (INPUTS, b"first") == (free(), bytes(received[-1][1]))
    channel.send(*message(1, batch))
    answer(kept=True)
    assert INPUTS - 1 == free()
    memory.close()


def test_what_the_worker_sees() -> None:
    """It reads what the gateway has written, writes answers, and knows what is still used."""
    gateway, size = SharedMemory(), 1 << 16
    worker = of_worker.opened(gateway.paths)
    assert worker
    lent = gateway.lend([b"ab", b"c" * size])
    payload = worker.payload(0, 0, 4)
    assert (lent and lent[:2], b"abcc", True) == ((0, 0), bytes(payload), payload.readonly)
    assert worker.is_kept(0)
    cycle = [payload]
    cycle.append(cycle)  # type: ignore[arg-type]
    del payload, cycle
    assert not worker.is_kept(0)
    assert 5 == worker.put([b"xy", b"zzz"])
    assert b"xyzzz" == bytes(gateway.answers.copy(5))
    gateway.close()
    assert of_worker.opened(gateway.paths) is None
    assert of_worker.opened([]) is None


def test_where_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made of it by then is given back."""

    def full(*_given: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(OSError, match="no memory"):
        SharedMemory()

    assert before == os.listdir("/proc/self/fd")
