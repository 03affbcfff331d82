"""`doit serve`: a real server on loopback, with real workers, and what goes wrong around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.serving.arrays import RequestError
from tasks.serving.gateway import Gateway
from tasks.serving.payloads.parsing import BYTES
from tests.assertions import wait_until
from tests.broker import free_port
from tests.conftest import RUNNER, TIMEOUT_SECONDS, Repository
from tests.serving import Server, answer_of, asked, children, one_by_one, resident_bytes, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "answers-requests"
FRONT = "import sys; from tasks.front import main; sys.argv[0] = 'doit'; sys.exit(main())"
INFER = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [3, 1]}]}
FLAT_BYTES = 20_000_000
"""By how much more memory a process may have after many requests."""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository with a model that is trained and evaluated."""
    made = Repository(tmp_path_factory.mktemp("serving") / "repository", cache)
    made.add(MODEL)
    done = made.doit()
    assert 0 == done.returncode, done.stderr
    return made


@pytest.fixture(scope="module")
def server(evaluated: Repository) -> Iterator[Server]:
    """Return a server of that model, for tests that leave it as it was."""
    with serving(evaluated) as found:
        yield found


@pytest.fixture
def copy(evaluated: Repository, tmp_path: Path) -> Repository:
    """Return a repository of a test's own."""
    shutil.copytree(evaluated.path, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository", evaluated.cache)


def run(evaluated: Repository) -> dict[str, Any]:
    """Return the record of the training."""
    found: dict[str, Any] = evaluated.json(f"build/models/{MODEL}/train/run.json")
    return found


def test_rows_and_a_flat_row(server: Server, evaluated: Repository) -> None:
    """Each row has its answer, with what is known of the model."""
    answer = server.predict([[3, 1], [0.5, 2]])

    key = run(evaluated)["key"]
    assert (200, [7.0, 3.0]) == (answer.status, answer.body["data"]["ndarray"])
    meta = answer.body["meta"]
    code = meta.pop("code")
    assert {"model": MODEL, "version": key[:12], "key": key, "lock": ""} == meta
    assert (64, code) == (len(code), answer.headers["x-model-code"])
    assert key == answer.headers["x-model-key"]
    assert key[:12] == answer.headers["x-model-version"]
    assert [7.0] == server.predict([3, 1]).body["data"]["ndarray"]
    assert [7.0] == server.predict([3, 1], MODEL).body["data"]["ndarray"]


def test_explanations(server: Server) -> None:
    """A model that can explain is asked to."""
    answer = server.ask("/explain", {"data": {"ndarray": [[3, 1]]}})

    assert [[6.0, 1]] == answer.body["data"]["ndarray"]


def test_names_say_which_column_is_which(server: Server) -> None:
    """Columns in another order are put into the model's."""
    data = {"names": ["second", "first"], "ndarray": [[1, 3]]}

    assert [7.0] == server.ask("/predict", {"data": data}).body["data"]["ndarray"]


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "words"),
    [
        ("/predict", b"nothing of the kind", "POST", 400, "ndarray"),
        ("/predict", b"", "POST", 400, "ndarray"),
        ("/predict", asked([]), "POST", 422, "no rows"),
        ("/predict", asked([[1, 2, 3]]), "POST", 422, "found 3"),
        ("/predict", asked([["refuse", 1]]), "POST", 422, "ValueError: not this one"),
        ("/predict", asked([["odd", 1]]), "POST", 422, "ud800"),
        ("/predict", asked([["break", 1]]), "POST", 500, "RuntimeError: this is a bug"),
        ("/models/other/predict", asked([[1, 2]]), "POST", 404, f"`{MODEL}`"),
        ("/models/../predict", asked([[1, 2]]), "POST", 404, ""),
        ("/nowhere", None, "GET", 404, ""),
        ("/predict", None, "GET", 405, ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_answered(  # noqa: PLR0913, PLR0917 - one case in a line
    server: Server, path: str, body: bytes | None, method: str, status: int, words: str
) -> None:
    """The answer says what is wrong, in one form, and the server goes on."""
    answer = server.ask(path, body, method)

    assert status == answer.status
    error = answer.body["error"]
    assert (status, answer.headers["x-request-id"]) == (error["status"], error["request"])
    assert words in error["message"]
    assert 200 == server.predict([[3, 1]]).status


def test_a_compressed_body(server: Server) -> None:
    """It is refused, and not taken for nonsense."""
    answer = server.ask("/predict", b"\x1f\x8b", "POST", content_encoding="gzip")

    assert (415, True) == (answer.status, "compressed" in answer.body["error"]["message"])


def test_a_bad_request_spoils_no_other(server: Server) -> None:
    """Of requests that are put to the model together, only the one that is wrong fails."""
    bodies = [asked([["refuse", 1] if number == 7 else [number, 0]]) for number in range(16)]

    async def ask_all() -> list[tuple[int, bytes]]:
        found = await asyncio.gather(*(one_by_one(server.port, [body]) for body in bodies))
        return [answer for (answer,) in found]

    answers = asyncio.run(ask_all())

    statuses = [status for status, _ in answers]
    assert [422 if number == 7 else 200 for number in range(16)] == statuses
    values = [json.loads(body)["data"]["ndarray"] for status, body in answers if status == 200]
    assert [[2.0 * number] for number in range(16) if number != 7] == values


def test_requests_are_put_together(server: Server) -> None:
    """While the worker is busy others wait, and are answered at once."""

    async def ask_all() -> list[list[tuple[int, bytes]]]:
        busy = asyncio.create_task(one_by_one(server.port, [asked([["wait", 2]])]))
        await asyncio.sleep(0.2)
        others = [one_by_one(server.port, [asked([[number, 0]])]) for number in range(32)]
        return await asyncio.gather(busy, *others)

    before = metric(server, "modelmake_batch_requests_count")
    answers = asyncio.run(ask_all())

    assert [200] * 33 == [status for some in answers for status, _ in some]
    # After the slow one fewer at first: they are to be done in time.
    assert metric(server, "modelmake_batch_requests_count") - before <= 4


def metric(server: Server, name: str) -> float:
    """Return a number that Prometheus is told of the model."""
    lines = server.ask("/metrics").body.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_metrics_and_the_access_log(server: Server, evaluated: Repository) -> None:
    """What was asked is counted, and has a line of JSON by which it can be found again."""
    before = metric(server, "modelmake_requests_total")
    assert (
        "by-hand-17" == server.predict([[3, 1]], x_request_id="by-hand-17").headers["x-request-id"]
    )

    assert before + 1 <= metric(server, "modelmake_requests_total")
    assert f'version="{run(evaluated)["key"][:12]}"' in server.ask("/metrics").body
    assert wait_until(lambda: "by-hand-17" in server.log.read_text())
    lines = server.log.read_text().splitlines()
    (line,) = [json.loads(one) for one in lines if "by-hand-17" in one]
    assert ("POST", "/predict", 200, MODEL) == tuple(
        line[name] for name in ("method", "path", "status", "model")
    )


def test_health(server: Server) -> None:
    """It says that it is there, and which models have a worker."""
    assert {"live": True} == server.ask("/health/live").body
    assert {"ready": True, "models": {MODEL: True}} == server.ask("/health/ready").body


def test_drift(repository: Repository) -> None:
    """Of a model that is watched it is told how far what is scored is from what was trained on."""
    name = repository.add("monitored-python")
    evaluation = "def evaluate(data_conf, model_conf):\n    return {'accuracy': 1.0}\n"
    repository.write(f"model_definitions/{name}/model_modules/evaluation.py", evaluation)
    people = [f"{number},{number % 2},a" for number in range(2000)]
    repository.write("datasets/people.csv", "\n".join(["income,town,note", *people]) + "\n")
    with serving(repository) as server:
        columns = {"names": ["income", "town", "note"]}
        rows = [[2000 + number, "1", "far above all"] for number in range(1000)]
        assert 200 == server.ask("/predict", {"data": {**columns, "ndarray": rows}}).status
        until = time.monotonic() + 30
        while (found := server.ask("/drift").body)["recent"]["rows"] < len(rows):
            assert time.monotonic() < until
            time.sleep(0.1)

        income = found["recent"]["inputs"]["income"]
        assert ("shifted", 1.0) == (income["verdict"], income["out_of_range"])
        assert metric(server, "modelmake_drift_psi") > 0.25


def test_a_model_that_is_not_watched(server: Server) -> None:
    """There is nothing to tell of its drift."""
    answer = server.ask("/drift")

    assert (404, True) == (answer.status, "not watched" in answer.body["error"]["message"])


def test_large_bodies(copy: Repository) -> None:
    """A body past the limit is refused, whether its length is told or not; others go on."""
    with serving(copy, "--limit", "1") as server:
        assert 413 == server.ask("/predict", b"x" * 100_000_000, "POST").status
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            for _ in range(32):
                connection.sendall(part)
            assert b" 413 " in connection.recv(1000)
        assert 200 == server.predict([[3, 1]]).status


def chunked(behind: bytes) -> bytes:
    """Return a request in chunks with this behind its last one."""
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    body = asked([[3, 1]])
    return b"%b%x\r\n%b\r\n0\r\n%b" % (head, len(body), body, behind)


def test_fields_behind_a_body(server: Server) -> None:
    """They mean nothing, and are not taken without end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(chunked(b"x-request-id: from-behind\r\n\r\n"))
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"from-behind" not in answer
    for endless in (b"x-a: %b" % (b"a" * 10_000_000), b"x-a: aaaaaaaa\r\n" * 1_000_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            before = resident_bytes(server.process.pid)
            with contextlib.suppress(ConnectionError):
                connection.sendall(chunked(endless))
                assert b" 431 " in connection.recv(1000)
            assert resident_bytes(server.process.pid) - before < 5_000_000


def test_an_upload_that_is_broken_off(server: Server) -> None:
    """Nothing of it is kept until it would have been late."""
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 60000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head + b" " * 1_000_000)
        connection.shutdown(socket.SHUT_WR)
        assert b"" == connection.recv(1000)


@pytest.mark.parametrize("at_once", [False, True])
def test_another_protocol_that_is_offered(server: Server, at_once: bool) -> None:  # noqa: FBT001
    """It stays HTTP/1.1: the request is answered, and so is the one behind it."""
    body = asked([[3, 1]])
    head = (
        "POST /predict?a HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\n"
        "upgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
        f"x-request-id: first\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    parts = [head[:70], head[70:], body[:5], body[5:] + head + body]
    before = server.said.read_text()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for part in [b"".join(parts)] if at_once else parts:
            connection.sendall(part)
            time.sleep(0.05)
        said = b""
        while said.count(b"7.0") < 2:
            more = connection.recv(1000)
            assert more, said
            said += more
    assert (2, 2) == (said.count(b"HTTP/1.1 200 "), said.count(b"x-request-id: first"))
    assert before == server.said.read_text()


def test_a_large_body_holds_nobody_up(server: Server) -> None:
    """While rows are looked at that take long, others are answered."""
    rows = [[1.5, "x"]] * 1_700_000 + [["y", "x"]]
    body = json.dumps({"data": {"names": ["second", "first"], "ndarray": rows}}).encode()
    assert len(body) > 20_000_000
    longest = 0.0
    with ThreadPoolExecutor() as pool:
        large = pool.submit(server.ask, "/predict", body)
        while not large.done():
            began = time.monotonic()
            assert 200 == server.ask("/health/live").status
            longest = max(longest, time.monotonic() - began)
    answer = large.result()

    assert (422, True) == (answer.status, "Row 1700001" in answer.body["error"]["message"])
    assert longest < 2


@pytest.mark.parametrize("length", ["9" * 5000, "5"])
def test_a_length_that_is_not_asked_for(server: Server, length: str) -> None:
    """It counts for the protocol that has it alone, and is checked there."""
    named = {"inference-header-content-length": length}

    assert 200 == server.predict([[3, 1]], **named).status
    assert 400 == server.ask(f"/v2/models/{MODEL}/infer", INFER, **named).status


def test_tensors_are_as_they_are_told(server: Server) -> None:
    """The answer over the Open Inference Protocol is what its metadata says."""
    path = f"/v2/models/{MODEL}"
    told = server.ask(path).body["outputs"]
    shape, data = [2, 2], [3, 1, 0.5, 2]
    body = {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": data}]}
    (output,) = server.ask(f"{path}/infer", body).body["outputs"]

    assert [{"name": "output", "datatype": "FP64", "shape": [-1, 1]}] == told
    assert {"name": "output", "datatype": "FP64", "shape": [2, 1], "data": [7.0, 3.0]} == output


def tensor(rows: int, width: int) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a request with numbers from 0 on, as bytes."""
    data = array("d", range(rows * width)).tobytes()
    parameters = {"binary_data_size": len(data)}
    one = {"name": "x", "shape": [rows, width], "datatype": "FP64", "parameters": parameters}
    head = json.dumps({"inputs": [one]}).encode()
    headers = {"inference_header_content_length": str(len(head)), "content_type": BYTES}
    return head + data, headers


@pytest.mark.parametrize("rows", [20_000, 80_000])
def test_a_large_tensor(server: Server, rows: int) -> None:
    """It comes in many parts, and each row has its answer."""
    body, headers = tensor(rows, 2)
    (output,) = server.ask(f"/v2/models/{MODEL}/infer", body, **headers).body["outputs"]

    first, *_, last = server.predict([[0, 1], [2 * rows - 2, 2 * rows - 1]]).body["data"]["ndarray"]
    assert ([rows, 1], first, last) == (output["shape"], output["data"][0], output["data"][-1])


def test_a_large_body_after_its_head(server: Server) -> None:
    """A body that arrives apart from its head, all at once, is no head."""
    body = asked([[3, 1]] * 12_500)
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode())
        time.sleep(0.2)
        server.process.send_signal(signal.SIGSTOP)
        connection.sendall(body)
        server.process.send_signal(signal.SIGCONT)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_large_headers(server: Server) -> None:
    """A head that does not end is refused, and holds nobody up."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /models HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 1_000_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert 200 == server.predict([[3, 1]]).status


def test_a_log_that_nobody_reads(copy: Repository) -> None:
    """The server goes on although its stdout is full."""
    command = [sys.executable, "-c", FRONT, "serve", "-f", str(RUNNER / "dodo.py"), "-d"]
    said = copy.path / "said.txt"
    with open(said, "wb") as err:
        process = subprocess.Popen(
            [*command, str(copy.path), "--port", "0"], cwd=copy.path, env=copy.variables(),
            stderr=err, stdout=subprocess.PIPE,
        )  # fmt: skip
    server = Server(process, 0, said, said)
    try:
        text = server.wait_for(r"serving on http://\S+:\d+\n")
        server.port = int(text.split("serving on ")[1].split()[0].rpartition(":")[2])
        for _ in range(2):
            answers = asyncio.run(one_by_one(server.port, [asked([[3, 1]])] * 500))
            assert {200} == {status for status, _ in answers}
            time.sleep(0.6)  # in which the log is written
        assert 0 == server.end()
    finally:
        process.kill()
        process.communicate()


def test_slow_and_half_closed_clients(copy: Repository) -> None:
    """Who does not finish a request is cut off; who closes one side still has the answer."""
    with serving(copy, patience=1) as server:
        address = ("127.0.0.1", server.port)
        head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
        for sent in (b"", b"POST /pre", head, head + b'{"data"'):
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(sent)
                assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
                assert b"" == connection.recv(1000)
        body = asked([[3, 1]])
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(head.replace(b"1000", str(len(body)).encode()) + body)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(head + b"{")  # and goes
        assert 200 == server.predict([[3, 1]]).status


def test_clients_that_do_not_read_their_answers(copy: Repository) -> None:
    """Who takes nothing of them is cut off; who is slow has them all."""
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n"
    with serving(copy, patience=1) as server:
        times = 30_000_000 // len(json.dumps(server.ask("/openapi.json").body))
        with socket.socket() as idle, socket.socket() as slow:
            for connection in (idle, slow):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                connection.settimeout(30)
                connection.connect(("127.0.0.1", server.port))
                connection.sendall((request + b"\r\n") * times)
                connection.sendall(request + b"connection: close\r\n\r\n")
            gone = select.poll()
            gone.register(idle, 0)  # that it is gone is told all the same
            read = b""
            for _ in range(40):
                read += slow.recv(1 << 15)
                time.sleep(0.1)
            assert gone.poll(30_000)
            while got := slow.recv(1 << 20):
                read += got
            assert times + 1 == read.count(b"HTTP/1.1 200 OK")
        assert 200 == server.predict([[3, 1]]).status


def test_a_thousand_connections(server: Server) -> None:
    """All are answered, although all come at once."""

    async def ask_all() -> list[list[tuple[int, bytes]]]:
        gate = asyncio.Semaphore(200)  # of the client's own connecting
        all_there = asyncio.Event()

        async def ask(number: int) -> list[tuple[int, bytes]]:
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            connected.append(writer)
            if len(connected) == 1000:
                all_there.set()
            await all_there.wait()
            body = asked([[number, 0]])
            head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            return [await answer_of(reader)]

        connected: list[asyncio.StreamWriter] = []
        try:
            return await asyncio.gather(*(ask(number) for number in range(1000)))
        finally:
            for writer in connected:
                writer.close()

    answers = [answer for some in asyncio.run(ask_all()) for answer in some]

    assert {200} == {status for status, _ in answers}
    values = [json.loads(body)["data"]["ndarray"] for _, body in answers]
    assert [[2.0 * number] for number in range(1000)] == values


def test_memory_stays_flat(server: Server) -> None:
    """Many requests leave nothing behind, in the gateway or the worker."""
    processes = [server.process.pid, *children(server.process.pid)]

    async def ask(count: int) -> None:
        bodies = [asked([[number, 0]]) for number in range(count)]
        await asyncio.gather(*(one_by_one(server.port, bodies) for _ in range(8)))

    asyncio.run(ask(100))
    before = [resident_bytes(process) for process in processes]
    asyncio.run(ask(400))
    after = [resident_bytes(process) for process in processes]

    assert len(processes) > 1
    assert all(now - then < FLAT_BYTES for then, now in zip(before, after, strict=True))


def test_a_worker_that_dies(copy: Repository) -> None:
    """The request that it had fails, others are answered by the next, and it is counted."""
    with serving(copy) as server:
        answer = server.predict([["exit", 0]])
        assert (500, "ended while it answered") == (
            answer.status, answer.body["error"]["message"][-23:],
        )  # fmt: skip
        assert [7.0] == server.predict([[3, 1]]).body["data"]["ndarray"]
        assert 1 == metric(server, "modelmake_worker_restarts_total")
        (pid,) = server.predict([["pid", 0]]).body["data"]["ndarray"]

        async def ask_all() -> list[list[tuple[int, bytes]]]:
            bodies = [asked([[number, 0]]) for number in range(50)]
            asking = [asyncio.create_task(one_by_one(server.port, bodies)) for _ in range(8)]
            await asyncio.wait(asking, timeout=0.005)  # some are answered before, some after
            os.kill(int(pid), signal.SIGKILL)
            return await asyncio.gather(*asking)

        statuses = [status for some in asyncio.run(ask_all()) for status, _ in some]
        assert {200, 500} >= set(statuses)
        assert statuses.count(500) <= 8
        # It may have died when all was answered.
        assert wait_until(lambda: 2 == metric(server, "modelmake_worker_restarts_total"))


def all_at_once(server: Server, rows: list[list[Any]]) -> list[int]:
    """Ask for each row over a connection of its own, and return the statuses."""

    async def ask_all() -> list[list[tuple[int, bytes]]]:
        asking = []
        for row in rows:
            asking.append(asyncio.create_task(one_by_one(server.port, [asked([row])])))
            await asyncio.sleep(0.01)
        return await asyncio.gather(*asking)

    return [status for some in asyncio.run(ask_all()) for status, _ in some]


def test_a_request_takes_no_other_along(copy: Repository) -> None:
    """Of requests that a worker had together when it died, only the one that killed it fails."""
    good = [[number, 0] for number in range(12)]
    with serving(copy) as server:
        statuses = all_at_once(server, [["wait", 1], *good, ["exit", 1], *good])

    assert [500 if place == 13 else 200 for place in range(26)] == statuses


def test_a_process_that_goes_on_without_answering(copy: Repository) -> None:
    """A worker that has closed its connection is ended, and another takes its place."""
    with serving(copy) as server:
        assert 500 == server.predict([["leave", 600]]).status
        began = time.monotonic()
        assert 200 == server.predict([[3, 1]]).status
        assert time.monotonic() - began < 15


def test_clients_that_have_gone(copy: Repository) -> None:
    """Nobody computes what they have asked for, and the log says that they went."""
    with serving(copy) as server:
        body = asked([["wait", 1]])
        head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        busy = socket.create_connection(("127.0.0.1", server.port))
        busy.sendall(head.encode() + body)
        time.sleep(0.3)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(head.encode() + body)
                time.sleep(0.02)
        began = time.monotonic()
        assert 200 == server.predict([[3, 1]]).status
        assert time.monotonic() - began < 10
        busy.close()
    statuses = [json.loads(line)["status"] for line in server.log.read_text().splitlines()]
    assert statuses.count(499) >= 20


def test_a_request_that_takes_too_long(copy: Repository) -> None:
    """It is given up, with the worker that is stuck on it; a full queue turns others away."""
    document = copy.json(f"model_definitions/{MODEL}/model.json")
    document["serving"] |= {"timeout": 1, "queue": 2}
    copy.write(f"model_definitions/{MODEL}/model.json", document)
    with serving(copy) as server:

        async def ask_all() -> list[tuple[int, bytes]]:
            stuck = asyncio.create_task(one_by_one(server.port, [asked([["wait", 600]])]))
            await asyncio.sleep(0.3)
            waiting = [one_by_one(server.port, [asked([[1, 0]])]) for _ in range(6)]
            found = await asyncio.gather(stuck, *waiting)
            return [answer for some in found for answer in some]

        answers = asyncio.run(ask_all())
        statuses = [status for status, _ in answers]
        assert 504 == statuses[0]
        assert 4 == statuses.count(429)
        assert {200, 503, 504} >= {*statuses} - {429}
        assert wait_until(lambda: 200 == server.predict([[3, 1]]).status)


def begun(server: Server, path: str) -> socket.socket:
    """Ask over the Open Inference Protocol, but for the last byte; return the connection."""
    body = json.dumps(INFER)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS)
    connection.sendall(f"{head}{body[:-1]}".encode())
    return connection


def ended(connection: socket.socket) -> str:
    """Send the last byte of such a request; return the status of the answer."""
    with connection:
        connection.sendall(b"}")
        return connection.recv(1000).split()[1].decode()


def test_a_new_version_takes_over(copy: Repository) -> None:
    """What is published while requests come answers from then on, and no request is lost."""
    with serving(copy) as server:
        first = server.predict([[3, 1]]).body["meta"]["version"]
        addresses = (f"/v2/models/{MODEL}/infer", f"/v2/models/{MODEL}/versions/{first}/infer")
        slow = [begun(server, address) for address in addresses]
        copy.write(f"model_definitions/{MODEL}/config.json", {"hyperParameters": {"factor": 5}})

        async def ask_all() -> list[tuple[int, bytes]]:
            doit = await asyncio.create_subprocess_exec(
                *copy.command(), env=copy.variables(), stdout=subprocess.DEVNULL
            )
            found = []
            while not found or b"16.0" not in found[-1][1]:
                some = await asyncio.gather(
                    *(one_by_one(server.port, [asked([[3, 1]])] * 5) for _ in range(4))
                )
                found += [answer for answers in some for answer in answers]
            assert 0 == await doit.wait()
            return found

        answers = asyncio.run(asyncio.wait_for(ask_all(), 120))

        assert {200} == {status for status, _ in answers}
        assert {(7.0,), (16.0,)} == {tuple(json.loads(b)["data"]["ndarray"]) for _, b in answers}
        assert first != server.predict([[3, 1]]).body["meta"]["version"]
        server.wait_for(r"version \w+ answers")
        assert ["200", "404"] == [ended(connection) for connection in slow]


def test_what_is_not_good_enough_does_not_take_over(copy: Repository) -> None:
    """A version whose evaluation fails is not served; the one before goes on."""
    with serving(copy, look=0.1) as server:
        document = copy.json(f"model_definitions/{MODEL}/model.json")
        document["evaluation"] = {"thresholds": {"factor": {"max": 3}}}
        copy.write(f"model_definitions/{MODEL}/model.json", document)
        copy.write(f"model_definitions/{MODEL}/config.json", {"hyperParameters": {"factor": 5}})
        assert 1 == copy.doit().returncode

        time.sleep(1)  # several looks of the server
        assert 1 == server.said.read_text().count(": starting version ")
        assert [7.0] == server.predict([[3, 1]]).body["data"]["ndarray"]


def test_doit_meanwhile(copy: Repository) -> None:
    """While a server runs, a run that has nothing to do is still answered without doit."""
    with serving(copy):
        command = [sys.executable, "-X", "importtime", "-c", FRONT]
        command += ["-f", str(RUNNER / "dodo.py"), "-d", str(copy.path)]
        for _ in range(2):
            done = subprocess.run(
                command, cwd=copy.path, env=copy.variables(), capture_output=True, text=True,
                check=True,
            )  # fmt: skip

    assert "nothing to do" in done.stdout
    assert "doit.doit_cmd" not in done.stderr


def test_the_end(copy: Repository) -> None:
    """What has come is answered, then all is gone: the processes and the folder of the run."""
    with serving(copy) as server:

        async def ask() -> list[tuple[int, bytes]]:
            asking = asyncio.create_task(one_by_one(server.port, [asked([["wait", 1]])]))
            await asyncio.sleep(0.4)
            server.process.send_signal(signal.SIGTERM)
            return await asking

        workers = children(server.process.pid)
        assert [200] == [status for status, _ in asyncio.run(ask())]
        assert 0 == server.process.wait(30)
        assert workers
        assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)
        assert [] == os.listdir(copy.path / "build/runs")


@pytest.mark.parametrize(("seconds", "status"), [(4, 200), (600, 504)])
def test_an_answer_that_takes_long_at_the_end(copy: Repository, seconds: int, status: int) -> None:
    """The server ends when it has gone out, or when the model's own time is over."""
    document = copy.json(f"model_definitions/{MODEL}/model.json")
    document["serving"] |= {"timeout": 8}
    copy.write(f"model_definitions/{MODEL}/model.json", document)
    with serving(copy, spare=2) as server:

        async def ask() -> list[tuple[int, bytes]]:
            asking = asyncio.create_task(one_by_one(server.port, [asked([["wait", seconds]])]))
            await asyncio.sleep(0.4)
            server.process.send_signal(signal.SIGTERM)
            return await asking

        assert [status] == [found for found, _ in asyncio.run(ask())]
        assert 0 == server.process.wait(30)


def test_a_client_that_does_not_read_at_the_end(copy: Repository) -> None:
    """It keeps the server for no longer than the model may take, and some seconds."""
    document = copy.json(f"model_definitions/{MODEL}/model.json")
    document["serving"] |= {"timeout": 1}
    copy.write(f"model_definitions/{MODEL}/model.json", document)
    body = asked([[1, 2]] * 300_000)
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with serving(copy, spare=1) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(head.encode() + body)
        assert b"HTTP" == client.recv(4)
        server.process.send_signal(signal.SIGTERM)

        assert 0 == server.process.wait(30)


def test_a_second_signal(copy: Repository) -> None:
    """It ends the server at once, whatever is still being answered."""
    with serving(copy) as server:

        async def ask() -> float:
            asking = asyncio.create_task(one_by_one(server.port, [asked([["wait", 19]])]))
            await asyncio.sleep(0.4)
            server.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.4)
            began = time.monotonic()
            server.process.send_signal(signal.SIGINT)
            await asyncio.gather(asking, return_exceptions=True)
            return time.monotonic() - began

        assert asyncio.run(ask()) < 15
        assert 0 == server.process.wait(30)
    assert [] == os.listdir(copy.path / "build/runs")


def test_while_models_load(copy: Repository) -> None:
    """The server says that it is there and not ready; told to end, it leaves nothing."""
    port = free_port()
    path = f"model_definitions/{MODEL}/model_modules/scoring.py"
    copy.write(path, copy.read(path).replace("def __init__(self, config=None):\n", (
        "def __init__(self, config=None):\n        print('loading', flush=True)\n"
        "        time.sleep(600)\n"
    )))  # fmt: skip
    command = [sys.executable, "-c", FRONT, "serve", "-f", str(RUNNER / "dodo.py"), "-d"]
    log = copy.path / "access.jsonl"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, str(copy.path), "--port", str(port)], cwd=copy.path, env=copy.variables(),
            stderr=subprocess.DEVNULL, stdout=out,
        )  # fmt: skip
    server = Server(process, port, copy.path, log)
    logs = "build/serving/*/*/*"
    assert wait_until(lambda: any("loading" in log.read_text() for log in copy.path.glob(logs)))
    assert 200 == server.ask("/health/live").status
    ready = server.ask("/health/ready")
    assert (503, {MODEL: False}) == (ready.status, ready.body["models"])
    assert "is being started" in server.predict([[3, 1]]).body["error"]["message"]
    nope = server.predict([[3, 1]], "nope").body["error"]["message"]
    assert f"there is no such model or version; served are `{MODEL}` (being started)" == nope
    assert wait_until(lambda: "/predict" in log.read_text())
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(30)
    assert [] == os.listdir(copy.path / "build/runs")


def test_no_model_is_named() -> None:
    """Where several are served, it is told how one is asked, and which there are, sorted."""
    pools = {
        name: SimpleNamespace(release=SimpleNamespace(name=name, version="7"))
        for name in ("b", "group/a")
    }
    gateway = Gateway(pools, {*pools, "c"}, None, None, None, 0)  # type: ignore[arg-type]
    served = "`b` 7, `group/a` 7, `c` (being started)"

    for name, version, ask, said in (
        (None, None, "predict", "several models are served: ask /models/MODEL/predict; they are"),
        (None, None, "drift", "several models are served: ask /models/MODEL/drift; they are"),
        ("d", None, "predict", "there is no such model or version; served are"),
        ("b", "8", "infer", "there is no such model or version; served are"),
    ):
        with pytest.raises(RequestError) as raised:
            gateway._name(name, version, ask)
        assert (404, f"{said} {served}") == (raised.value.status, str(raised.value))
    assert "b" == gateway._name("b", "7", "infer")


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["--key", "key.pem"], {}, "`--certificate`"),
        (["--limit", "0"], {}, "MiB"),
        (["--port", "99999"], {}, "Cannot listen on port 99999"),
        (["--host", "a..b"], {}, "Cannot listen on port 0 of `a..b`"),
        ([], {"MODEL_SERVE_TOKENS": ","}, "has no token"),
    ],
)
def test_options_that_cannot_be(
    copy: Repository, words: list[str], variables: dict[str, str], said: str
) -> None:
    """They are told before anything runs."""
    done = copy.doit("serve", "--port", "0", *words, **variables)

    assert (3, True, "") == (done.returncode, said in done.stderr, done.stdout)
    assert "up to date" not in done.stderr


def test_a_server_that_is_killed_takes_its_workers_along(copy: Repository) -> None:
    """The kernel sees to that; the next run sweeps the folder away."""
    with serving(copy) as server:
        (pid,) = server.predict([["pid", 0]]).body["data"]["ndarray"]
        server.process.kill()
        server.process.wait()
        assert wait_until(lambda: not os.path.exists(f"/proc/{int(pid)}"))

    assert 0 == copy.doit().returncode
    assert [] == os.listdir(copy.path / "build/runs")


def test_an_artefact_that_is_not_what_training_made(copy: Repository) -> None:
    """It is trained anew before it is served; and a copy is checked again."""
    path = copy.path / f"build/models/{MODEL}/train/models/model.txt"
    path.write_text("9.0")

    with serving(copy) as server:
        assert [7.0] == server.predict([[3, 1]]).body["data"]["ndarray"]


def test_a_model_that_cannot_be_served(copy: Repository) -> None:
    """One that does not take its own sample is refused with its traceback; others are served."""
    copy.add(MODEL, "second")
    document = copy.json("model_definitions/second/model.json")
    document |= {"id": "00000000-0000-4000-8000-000000000062", "name": "Second"}
    copy.write("model_definitions/second/model.json", document)
    source = "class ModelScorer:\n    def predict(self, data):\n        return 1 / 0\n"
    copy.write("model_definitions/second/model_modules/scoring.py", source)

    with serving(copy) as server:
        assert {MODEL: True} == server.ask("/health/ready").body["models"]
        said = server.said.read_text()
    done = copy.doit("serve", "second", "--port", "0")

    for text in (said, done.stderr):
        assert "Model `second` cannot be served: ZeroDivisionError" in text
        assert "scoring.py" in text
    assert "There is no model to serve" in done.stderr
    assert 3 == done.returncode


def test_what_editors_and_links_leave_beside_the_code(copy: Repository) -> None:
    """A lock that leads nowhere and a link to the folder itself are no part of what is served."""
    modules = copy.path / f"model_definitions/{MODEL}/model_modules"
    (modules / ".#scoring.py").symlink_to("user@host.1234:1700000000")
    (modules / "self").symlink_to(".")
    (modules / "scoring.py").rename(modules.parent / "linked.py")
    (modules / "scoring.py").symlink_to("../linked.py")

    with serving(copy) as server:
        assert [7.0] == server.predict([[3, 1]]).body["data"]["ndarray"]


def test_a_model_that_is_not_good_enough(copy: Repository) -> None:
    """It is said which threshold it breaks: an evaluation would break it again."""
    copy.add("misses-threshold")

    done = copy.doit("serve", "misses-threshold", "--port", "0")

    said = done.stderr.partition("Model `misses-threshold` is not served\n")[2]
    task = "evaluate:misses-threshold"
    assert said.startswith(
        f"  {task}  it has no result yet\n"
        f"  {task}  it is not good enough: accuracy 0.61 is below the minimum 0.7\n"
        f"  {task}  it is not good enough: loss 0.5 is above the maximum 0.4\n"
        f"  {task}  it is not good enough: f1 was not measured; measured: accuracy, loss\n\n"
        "hint: `evaluation.thresholds` in model.json says what is asked of it\n"
    )
    assert 3 == done.returncode


def test_a_model_whose_evaluation_fails(copy: Repository) -> None:
    """It is said where the log is."""
    copy.add("crashes-in-evaluate")

    done = copy.doit("serve", "crashes-in-evaluate", "--port", "0")

    assert "hint: it failed: see build/failed/crashes-in-evaluate/evaluate/run.log" in done.stderr


def test_a_port_that_is_taken(copy: Repository) -> None:
    """The error says so, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = copy.doit("serve", "--port", str(port))

    assert 3 == done.returncode
    assert f"Cannot listen on port {port} of `127.0.0.1`" in done.stderr
    assert "`--port`" in done.stderr
    assert "up to date" not in done.stderr  # it is told before anything is trained


def test_tokens(copy: Repository) -> None:
    """Without one of the tokens nothing is answered but whether the server is there."""
    with serving(copy, MODEL_SERVE_TOKENS="first-token, second-token") as server:
        assert 401 == server.predict([[3, 1]]).status
        assert 401 == server.predict([[3, 1]], authorization="Bearer other").status
        assert 401 == server.ask("/metrics").status
        for token in ("first-token", "second-token"):
            assert 200 == server.predict([[3, 1]], authorization=f"Bearer {token}").status
        assert 200 == server.ask("/health/ready").status


def test_https(copy: Repository, tmp_path: Path) -> None:
    """With a certificate requests come by HTTPS; one that cannot be used is told."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
         "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(copy, "--certificate", certificate, "--key", key) as server:
        context = ssl.create_default_context(cafile=certificate)
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            body = asked([[3, 1]])
            head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
            body, headers = tensor(40_000, 2)
            fields = {**headers, "host": "x", "content_length": str(len(body))}
            lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
            first = f"POST /v2/models/{MODEL}/infer HTTP/1.1"
            connection.sendall("\r\n".join([first, *lines, "", ""]).encode() + body)
            answer = b""
            while not answer.endswith(b"]}]}"):
                answer += connection.recv(1 << 20) or b"]}]}"
    (output,) = json.loads(answer.partition(b"\r\n\r\n")[2])["outputs"]
    assert [6.0 * row + 1 for row in range(40_000)] == output["data"]
    done = copy.doit("serve", "--port", "0", "--certificate", f"{tmp_path}/none.pem")

    assert 3 == done.returncode
    assert "none.pem` cannot be used" in done.stderr
