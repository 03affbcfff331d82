"""Large tensors: received into memory that gateway and worker share, and not copied any more."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.serving.payloads.parsing import BYTES
from tasks.serving.shared import ALIGNMENT, INPUTS, MOST_BYTES, Shared
from tests.conftest import RUNNER, Repository
from tests.serving import Server, answer_of, children, one_by_one, serving

sys.path.append(str(RUNNER / "tasks/runtime"))
from model_runtime import shared as of_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUMS, KEEPS = "sums", "keeps"
WIDTH = 4
KEEP, KEPT = -1.0, -2.0

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
        return rows.sum(axis=1)
""",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Server]:
    """Return a server of models that add up: one by two workers, one that keeps what it is told."""
    repository = Repository(tmp_path_factory.mktemp("shared") / "repository", cache)
    for number, (model, more) in enumerate(((SUMS, {"serving": {"workers": 2}}), (KEEPS, {}))):
        key = f"00000000-0000-4000-8000-00000000064{number}"
        about = {"id": key, "name": model, "language": "python", **more}
        repository.write(f"model_definitions/{model}/model.json", about)
        for path, text in FILES.items():
            repository.write(f"model_definitions/{model}/{path}", text)
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


def shared_bytes(server: Server, model: str) -> int:
    """Return how much of the shared memory the workers of a model have used."""
    size = 0
    for process in children(server.process.pid):
        if model.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
            text = Path(f"/proc/{process}/smaps").read_text()
            for piece in re.findall(r"memfd:payloads.*?\nRss: +(\d+) kB", text, re.DOTALL):
                size += int(piece) << 10
    return size


def test_a_large_tensor_is_shared(server: Server) -> None:
    """Its worker finds it in the memory into which it was received, and answers from there."""
    cells = rows_of(30_000)
    before = shared_bytes(server, SUMS)

    assert sums(cells) == ask(server, cells)
    assert shared_bytes(server, SUMS) - before >= len(cells) * 8


def test_many_at_once(server: Server) -> None:
    """Each is answered by its own rows, whether there is memory for it or not."""
    asked = [rows_of(2_000 * (1 + number % 7), first=number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda cells: ask(server, cells), asked))

    assert list(map(sums, asked)) == answers


def test_larger_than_the_memory(server: Server) -> None:
    """It goes through the socket."""
    cells = rows_of(MOST_BYTES // 8 // WIDTH + 1)

    assert sums(cells) == ask(server, cells)


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
    """The connection, and the memory, serve the next request."""
    cells = rows_of(6_000)
    stream = request_of(cells, told=20) + request_of(cells)

    async def answers() -> list[tuple[int, bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        found = []
        for _ in range(INPUTS + 1):
            writer.write(stream)
            found += [await answer_of(reader), await answer_of(reader)]
        writer.close()
        return found

    found = asyncio.run(answers())

    assert [400, 200] * (INPUTS + 1) == [status for status, _ in found]
    assert sums(cells) == json.loads(found[-1][1])["outputs"][0]["data"]


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
    """A large body that is for nobody, or of another form, is read as ever."""
    body, headers = body_of(rows_of(10_000))
    path = f"/v2/models/{SUMS}/infer"

    assert 404 == server.ask("/v2/models/nobody/infer", body, **headers).status
    assert 405 == server.ask(path, body, "PUT", **headers).status
    assert 415 == server.ask(path, body, **{**headers, "content-type": "text/csv"}).status
    text = json.dumps({"data": {"ndarray": [[1.5, 2, 3, 4]] * 9_000}}).encode()
    ((status, answer),) = asyncio.run(one_by_one(server.port, [text], f"/models/{SUMS}/predict"))
    assert (200, [10.5] * 9_000) == (status, json.loads(answer)["data"]["ndarray"])


def test_room_is_found_again(server: Server) -> None:
    """When all is answered the gateway keeps no view of the memory: the next tensor lies there."""
    for size in (10_000, 10_000, 10_000, 10_000, 10_000, 100_000):
        before = shared_bytes(server, SUMS)
        cells = rows_of(size)
        assert sums(cells) == ask(server, cells)

    assert shared_bytes(server, SUMS) - before > 1_000_000


def test_room_and_views() -> None:
    """A tensor begins where it should; what is used by anybody is not given again."""
    shared = Shared()
    first, second = (shared.room(1000, ahead) for ahead in (13, 200))
    assert first is not None
    assert second is not None
    assert (1000, 1000) == (len(first), len(second))
    assert shared.room(1000, 0) is None

    tensor = first[13:]
    number, start, _ = shared.lend([tensor], 1 << 16) or (-1, -1, None)
    assert (0, 0) == (number, start % ALIGNMENT)
    del first
    assert shared.lend([b"x" * (1 << 16)], 1 << 16) is None
    del second
    number, start, view = shared.lend([b"x" * (1 << 16)], 1 << 16) or (-1, -1, None)
    assert (1, 0, b"x" * (1 << 16)) == (number, start, bytes(view or b""))
    assert shared.lend([tensor], 100) is None
    assert shared.room(MOST_BYTES, 0) is None
    shared.close()


def test_what_the_worker_sees() -> None:
    """It reads what the gateway has written, writes answers, and knows what is still used."""
    gateway = Shared()
    worker = of_worker.opened(gateway.paths)
    assert worker
    lent = gateway.lend([b"ab", b"c" * (1 << 16)], (1 << 16) + 2)
    payload = worker.payload(0, 0, 4)
    assert (lent and lent[:2], b"abcc", True) == ((0, 0), bytes(payload), payload.readonly)
    assert worker.is_used(0)
    del payload
    assert not worker.is_used(0)
    assert [INPUTS, 0, 5] == worker.put([b"xy", b"zzz"])
    assert b"xyzzz" == bytes(gateway.answers.taken(0, 5))
    gateway.close()
    assert of_worker.opened(gateway.paths) is None
    assert of_worker.opened([]) is None
