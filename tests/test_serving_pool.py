"""The queue before the workers, what is said meanwhile, and what a worker's program is made of."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tasks import discover, generators
from tasks.serving import output, released
from tasks.serving.access import Tokens
from tasks.serving.arrays import Array, RequestError
from tasks.serving.batches import Pending, Queue
from tasks.serving.memory import SharedMemory
from tasks.serving.options import Options
from tasks.serving.pool import LONGEST_FOLDER, Pool, Watch
from tasks.serving.server import Server
from tasks.serving.settings import Settings
from tasks.serving.workers import Place, Worker, _Log
from tasks.state import open_state
from tests.conftest import RUNNER, Repository

sys.path.append(str(RUNNER / "tasks/runtime"))
import serve_model
from model_runtime.contract import plain
from model_runtime.scoring import Values

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runs import Run
    from tasks.serving.monitoring import Monitor
    from tasks.serving.released import Release
    from tasks.serving.workers import Channel

ROW = Array(b"[[1,2]]", ())


def pending(loop: asyncio.AbstractEventLoop, seconds: float = 60) -> Pending:
    """Return a request that somebody waits for, so long."""
    return Pending(ROW, "predict", loop.create_future(), loop.time() + seconds, lambda: False)


def pool() -> Pool:
    """Return a pool without a worker."""
    model = SimpleNamespace(document={"serving": {"timeout": 5}})
    meta = dict.fromkeys(("version", "key", "lock", "code"), "")
    release = SimpleNamespace(
        step=SimpleNamespace(model=model), schema=SimpleNamespace(outputs=()), meta=meta,
        name="model", version="",
    )  # fmt: skip
    return Pool(cast("Release", release), lambda _text: None, Watch())


def test_what_is_put_together_is_done_in_time() -> None:
    """Of requests that take a second each no more than fit into half of the timeout."""

    async def taken(*, seconds: float) -> list[int]:
        queue = Queue(Settings(timeout=5))
        counts = []
        for _ in range(3):
            for _ in range(13 - len(queue)):
                queue.put(pending(asyncio.get_running_loop()))
            batch = queue.take(together=True)
            counts.append(len(batch))
            queue.took(len(batch), len(batch) * seconds)
        return counts

    assert [13, 2, 2] == asyncio.run(taken(seconds=1))
    assert [13, 1, 1] == asyncio.run(taken(seconds=20))
    assert [13, 13, 13] == asyncio.run(taken(seconds=0.001))


def test_a_slow_spell_passes() -> None:
    """After one slow request more and more are put together again."""

    async def taken() -> list[int]:
        queue = Queue(Settings(timeout=5))
        queue.took(1, 5.0)
        counts = []
        for _ in range(9):
            for _ in range(64 - len(queue)):
                queue.put(pending(asyncio.get_running_loop()))
            counts.append(len(queue.take(together=True)))
            queue.took(counts[-1], 0.001)
        return counts

    counts = asyncio.run(taken())

    assert (1, 64) == (counts[0], counts[-1])
    assert sorted(counts) == counts


def test_who_waits_at_the_end_is_told() -> None:
    """What is in the queue when a pool closes fails, and nothing is taken after that."""

    async def close() -> tuple[BaseException | None, int]:
        closed = pool()
        future = closed.submit(ROW, "predict", lambda: False)
        await closed.close()
        with pytest.raises(RequestError) as raised:
            closed.submit(ROW, "predict", lambda: False)
        return future.exception() if future.done() else None, raised.value.status

    error, status = asyncio.run(close())

    assert (503, 503) == (getattr(error, "status", None), status)


def test_what_is_put_back_meanwhile_is_waited_for() -> None:
    """A request whose worker has gone is answered too before a pool ends, in its own time."""

    async def drain() -> Any:  # noqa: ANN401 - whatever the answer is
        loop = asyncio.get_running_loop()
        drained = pool()
        first = drained.submit(ROW, "predict", lambda: False)
        draining = asyncio.create_task(drained.drain())
        await asyncio.sleep(0)
        again = pending(loop)
        drained.queue.put_back([again], again.deadline)
        first.set_result(ROW)
        await asyncio.sleep(0.1)
        assert not draining.done()
        again.future.set_result(ROW)
        await draining
        return again.future.result()

    assert ROW == asyncio.run(drain())


class Silent:
    """Both a worker and the connection to it, of which only what they are told is of interest."""

    log = ""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.batches: list[int] = []

    def send(self, header: dict[str, Any], _parts: object) -> None:
        """Take a batch."""
        self.batches.append(header["batch"])

    def kill(self) -> None:
        """Go on for a moment, as processes do."""


def test_a_worker_that_is_killed_is_given_nothing_more() -> None:
    """An answer that was on its way goes out, and the next request waits for another worker."""

    async def answer() -> tuple[list[int], bool, list[bool]]:
        kept, silent = pool(), Silent()
        place = Place(cast("Worker", silent), cast("Channel", silent), ready=True)
        kept._keeper.places.append(place)
        kept._idle.append(place)
        first, second = (kept.submit(ROW, "predict", lambda: False) for _ in range(2))
        place.deadline = asyncio.get_running_loop().time()
        kept._keeper.kill_late()
        entry = {"size": 2, "names": (), "dtype": "", "shape": ()}
        told = {"batch": 1, "seconds": 1, "answers": [entry]}
        kept._received(cast("Channel", silent), told, memoryview(b"[]"))
        kept._keeper.lost(cast("Channel", silent))
        return silent.batches, place.killed, [first.done(), second.done()]

    assert ([1], False, [True, False]) == asyncio.run(answer())


def test_where_a_body_is_received() -> None:
    """In the memory of a worker, but not where monitoring looks at it after the answer."""

    async def received(*, monitored: bool) -> bool:
        asked, memory = pool(), SharedMemory()
        channel = SimpleNamespace(memory=memory)
        place = Place(cast("Worker", Silent()), cast("Channel", channel), ready=True)
        asked._keeper.places.append(place)
        asked.monitor = cast("Monitor", object()) if monitored else None
        buffer = asked.buffer(1 << 16, 0)
        memory.close()
        return buffer is not None

    assert [True, False] == [asyncio.run(received(monitored=one)) for one in (False, True)]


def test_a_folder_whose_name_is_longer_in_bytes(tmp_path: Path) -> None:
    """A socket fits where it is put: what counts is the bytes of its path."""
    folder = tmp_path / ("ü" * (LONGEST_FOLDER - len(str(tmp_path)) - 1))
    assert LONGEST_FOLDER == len(str(folder))

    async def listen() -> str:
        listening = pool()
        place = listening._place_of_socket(str(folder))
        server = await asyncio.get_running_loop().create_unix_server(asyncio.Protocol, place)
        server.close()
        await listening.close()
        return os.path.dirname(place)

    assert not os.path.exists(asyncio.run(listen()))


def test_what_is_said_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that nobody reads hold nobody up, and neither does a reader that has gone."""
    end, descriptor = os.pipe()
    monkeypatch.setattr(output, "STDERR", descriptor)
    ended = threading.Event()

    def say() -> None:
        with output.messages() as messages:
            for _ in range(output.MOST_MESSAGES + 1000):
                messages.say("x" * 100)
            os.close(end)
            messages.say("to nobody")
        ended.set()

    threading.Thread(target=say, daemon=True).start()

    assert ended.wait(20)
    os.close(descriptor)


def test_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads again after a while knows that something is missing."""
    end, descriptor = os.pipe()
    monkeypatch.setattr(output, "STDERR", descriptor)
    monkeypatch.setattr(output, "MOST_MESSAGES", 1)
    with output.messages() as messages, os.fdopen(end, "rb") as reader:
        messages.say("x" * (1 << 17))  # more than fits
        messages.say("this waits or is left out")
        messages.say("this is left out")
        assert b"x" == reader.read(1)
        reader.read(1 << 17)
        told = b""
        while b"are left out" not in told:
            messages.say("and now")
            told = reader.readline()
    os.close(descriptor)


def test_a_token_that_is_no_text() -> None:
    """Its bytes are compared."""
    tokens = Tokens([os.fsdecode(b"a\xff")])
    scope = {"path": "/predict", "headers": [(b"authorization", b"Bearer a\xff")]}

    tokens.check(scope)
    scope["headers"] = [(b"authorization", b"Bearer a")]
    with pytest.raises(RequestError):
        tokens.check(scope)


class Wide:
    """A number as NumPy's `longdouble` is: its `tolist` and `item` return it as it is."""

    dtype = SimpleNamespace(kind="f", itemsize=16)

    def __init__(self, value: float) -> None:
        """Stand for this number."""
        self.value = value

    def __float__(self) -> float:
        return self.value

    def tolist(self) -> Wide:
        """Return it."""
        return self

    item = tolist


@pytest.mark.parametrize(
    ("values", "text"), [([Wide(0.5)], b"[0.5]"), ([Wide(0.5), Wide(float("nan"))], b"[0.5,null]")]
)
def test_a_number_that_is_wider_than_pythons(values: list[Wide], text: bytes) -> None:
    """It is answered as one of Python's, and so are the figures of a step."""
    assert text == serve_model.encoded(Values((), values))[1]
    assert 0.5 == plain(Wide(0.5))


def test_a_worker_that_is_killed_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at once, and nobody waits for its process."""
    composing = threading.Event()

    def composed(_worker: Worker, _socket: str) -> tuple[Any, dict[str, str]]:
        assert composing.wait(20)
        return SimpleNamespace(tie=(), words=("sleep", "60")), {}

    monkeypatch.setattr(Worker, "_composed", composed)
    release, run = SimpleNamespace(name="model"), SimpleNamespace(work=str(tmp_path))
    worker = Worker(1, cast("Release", release), cast("Run", run), str(tmp_path / "log"))
    said: list[str] = []
    worker.start("socket", said.append)
    worker.kill()
    composing.set()

    assert worker.join(20)
    assert ["was killed before it began"] == said


def test_servers_that_share_a_log(tmp_path: Path) -> None:
    """The later one begins it anew, and both go on at its end."""
    path = tmp_path / "logs/log"
    first = _Log(str(path), anew=True)
    first.write(b"a long time ago\n")
    second = _Log(str(path), anew=True)
    for log, text in ((first, b"one\n"), (second, b"two\n"), (first, b"three\n")):
        log.write(text)

    assert b"one\ntwo\nthree\n" == path.read_bytes()
    first.close()
    second.close()


def test_what_is_published_later_is_another_version(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release knows where the evaluation was that it was held against."""
    made = Repository(tmp_path / "repository", cache)
    name = made.add("answers-requests")
    done = made.doit()
    assert 0 == done.returncode, done.stdout
    monkeypatch.chdir(made.path)
    monkeypatch.setenv("MODEL_CACHE", str(cache))
    (model,) = generators.models()
    release = released.find(model, open_state(), lambda _text: None)
    assert release.published == released.published(release.step)

    link = made.path / f"build/models/{name}/evaluate"
    link.rename(f"{link}.before")
    link.symlink_to(made.path / "build/elsewhere")

    assert release.published != released.published(release.step)


def test_files_that_change_while_serving_begins(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is gone, or edited, is told of the model whose it is, and the others are served."""
    made = Repository(tmp_path / "repository", cache)
    first = made.add("answers-requests")
    second, third = (made.add("answers-requests", name) for name in ("second", "third"))
    for number, name in enumerate((second, third), 63):
        document = made.json(f"model_definitions/{name}/model.json")
        document |= {"id": f"00000000-0000-4000-8000-0000000000{number}", "name": name.title()}
        made.write(f"model_definitions/{name}/model.json", document)
    done = made.doit()
    assert 0 == done.returncode, done.stdout
    monkeypatch.chdir(made.path)
    monkeypatch.setenv("MODEL_CACHE", str(cache))
    state = open_state()
    releases = [released.find(one, state, str) for one in discover.discover(state.files)]
    (made.path / f"build/models/{third}/train/models/model.txt").unlink()
    scoring = made.path / f"model_definitions/{second}/model_modules/scoring.py"
    scoring.write_text(f"{scoring.read_text()}\nLATER = True\n")
    said: list[str] = []

    async def start() -> list[str]:
        server = Server(Options("localhost", 0, 1), said.append)
        await server._start(releases)
        await asyncio.gather(*(pool.close() for pool in server._open))
        return list(server._pools)

    assert [first] == asyncio.run(start())
    assert "Model `third` cannot be served: [Errno 2] No such file" in "".join(said)
    assert "The sources of model `second` were edited while they were copied" in "".join(said)
