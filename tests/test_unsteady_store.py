"""A store that fails at times: what was made is not lost, and nothing is left lying about."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from tasks import (
    answers,
    discover,
    manifests,
    objects,
    preparation,
    processes,
    remote,
    requests,
    shared,
    store,
    storekeeping,
)
from tasks.bounded_log import HEAD_BYTES, TAIL_BYTES
from tasks.errors import UserError
from tasks.model import Model
from tasks.plan import Step
from tasks.progress import Activity
from tasks.snapshot import STATE_FILE
from tasks.state import State
from tasks.storekeeping import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.records import Record
    from tests.conftest import Repository

MODEL = "model_definitions/ant"
TRAINING = """
import os, subprocess, time

def train(data_conf, model_conf, **kwargs):
    os.makedirs("models/checkpoint")
    for number in range(8):
        with open("models/checkpoint/new", "w") as file:
            file.write(str(number) * 1000)
        os.replace("models/checkpoint/new", "models/checkpoint/state")
        time.sleep(0.25)
    subprocess.run(["model_modules/prepare.sh"], check=True)
    with open("models/sum", "w") as file:
        file.write("six")
"""

# A worker whose store does not do all that it is asked for; the first word says what.
WORKER = """
import os, sys
from collections import Counter
from fsspec.implementations.local import LocalFileSystem
from tasks import shared, travelling, worker

travelling.PAUSE_SECONDS = 0.1
shared.PAUSES = (0, 0.1, 0.1)
fault, *words = sys.argv[1:]
written = Counter()


class Unsteady(LocalFileSystem):
    def put_file(self, path, target, **more):
        if "/checkpoint-" in path:
            beside = os.listdir(os.path.dirname(path))
            print("beside it:", len(beside), file=sys.stderr)
        super().put_file(path, target, **more)

    def mv(self, path, target, **more):
        kind = target.split("/")[-3]
        written[kind] += 1
        which = {"checkpoints": 2, "results": 1, "never": 0}
        if fault == kind and written[kind] == which[kind] or (fault, kind) == ("never", "results"):
            raise OSError("503 Slow Down")
        super().mv(path, target, **more)

    def rm_file(self, path):
        if fault == "removal" and "/tmp/" not in path.split("shared store")[1]:
            raise PermissionError("Access Denied")
        super().rm_file(path)


shared.shared().system = Unsteady()
sys.exit(worker.main(words))
"""


@pytest.fixture
def sent(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Return a repository with a model that leaves checkpoints, and a store."""
    repository.write(f"{MODEL}/model.json", {"id": "ant", "name": "Ant", "language": "python"})
    repository.write(f"{MODEL}/model_modules/__init__.py", "")
    repository.write(f"{MODEL}/model_modules/training.py", TRAINING)
    repository.write(f"{MODEL}/model_modules/prepare.sh", "#!/bin/sh\n")
    (repository.path / MODEL / "model_modules/prepare.sh").chmod(0o755)
    monkeypatch.chdir(repository.path)
    monkeypatch.setenv("MODEL_CACHE", str(repository.cache))
    monkeypatch.setenv("MODEL_STORE", str(repository.path.parent / "shared store"))
    shared.shared.cache_clear()
    yield repository
    shared.shared.cache_clear()


def root() -> Path:
    """Return the folder of the store."""
    return Path(os.environ["MODEL_STORE"])


def put(scratch: Path, **more: Any) -> str:  # noqa: ANN401 - of any kind
    """Put the request of the training into the store, and return its key."""
    state = State(STATE_FILE)
    step = Step(discover.read_model(MODEL, state.files), "train")
    ready = preparation.prepare(step, state, Activity())
    requests.put(ready, state, None, str(scratch), **more)
    return ready.key


def work(repository: Repository, fault: str, key: str) -> subprocess.CompletedProcess[str]:
    """Carry a request out in another folder, with a store that has a fault."""
    elsewhere = repository.path.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    env = repository.variables(TMPDIR=str(elsewhere), MODEL_STORE=str(root()))
    return subprocess.run(
        [sys.executable, "-c", WORKER, fault, key],
        cwd=elsewhere, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("checkpoints", "its checkpoint in the store"),  # the second one cannot be put
        ("removal", "Access Denied"),  # nothing may be removed there
        (
            "results",
            "nothing more is put into the store",
        ),  # the result cannot be put, the first time
    ],
)
def test_a_result_outlives_it(sent: Repository, tmp_path: Path, fault: str, said: str) -> None:
    """A hiccup is told, and the result comes into the store all the same."""
    key = put(tmp_path)

    done = work(sent, fault, key)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert said in done.stdout
    assert [key] == [one.key for one in storekeeping.stock(str(root())).results]
    assert {"beside it: 1"} == set(done.stderr.splitlines())


def test_a_result_that_cannot_be_put(sent: Repository, tmp_path: Path) -> None:
    """Whoever has sent the step may try again: it was not the model's fault."""
    done = work(sent, "never", put(tmp_path))

    assert 1 == done.returncode, done.stdout + done.stderr
    assert '"reason": "lost"' in done.stdout
    assert "503 Slow Down" in done.stdout


@pytest.mark.usefixtures("sent")
def test_trouble_is_not_for_ever(tmp_path: Path) -> None:
    """A step that is sent away asks the store anew, whatever trouble others had with it."""
    to = shared.shared()
    assert to is not None
    to.trouble = "no answer within 10 s"

    key = put(tmp_path)

    assert requests.get(key).folder == MODEL


@pytest.mark.usefixtures("sent")
def test_nothing_is_collected_of_what_is_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a result or a request is put into a folder, it is held."""
    held, tops = list[bool](), [root()]
    put_entry, put_object = shared.Shared.put_entry, shared.Shared.put

    def is_held(top: Path) -> bool:
        with (top / objects.HELD).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def looking(real: Any) -> Any:  # noqa: ANN401 - a function
        def act(*words: Any) -> None:  # noqa: ANN401 - of any kind
            held.append(all(is_held(top) for top in tops))
            real(*words)

        return act

    monkeypatch.setattr(shared.Shared, "put_entry", looking(put_entry))
    monkeypatch.setattr(shared.Shared, "put", looking(put_object))
    key = put(tmp_path)
    of_request = len(held)
    record = {"key": key, "outputs": {}, "step": "train", "model": {"name": "ant"}}
    (tmp_path / "run").write_text(json.dumps(record))
    digest = objects.digest_of(str(tmp_path / "run"))
    objects.put(store.ROOT, digest, str(tmp_path / "run"))
    objects.put_entry(store.ROOT, objects.Entry(key, digest))
    tops.append(Path(store.ROOT))  # what is put is not collected here either
    store.share(key, str(tmp_path), pytest.fail)

    assert of_request
    assert len(held) > of_request
    assert all(held)


@pytest.mark.usefixtures("sent")
def test_troubles_are_two(tmp_path: Path) -> None:
    """What cannot be written is read; what cannot be read is left alone; each is told once."""
    key = put(tmp_path)
    to = shared.shared()
    assert to is not None
    system, to.system = to.system, SimpleNamespace(protocol="s3")

    with pytest.raises(answers.Unreachable, match="put_file"):
        to.put_file("checkpoints", key, str(tmp_path / "document"))
    to.system = system
    assert to.document(objects.REQUESTS, key)
    with pytest.raises(answers.Unreachable, match="put_file"):
        to.put_file("checkpoints", key, str(tmp_path / "document"))
    (told,) = to.troubles_to_tell()
    assert f"nothing more is put into the store {to.address} in this run: " in told

    to.system = SimpleNamespace(protocol="s3")
    for _ in range(2):
        with pytest.raises(answers.Unreachable, match="cat_file"):
            to.document(objects.REQUESTS, key)
        to.system = system
    (told,) = to.troubles_to_tell()
    assert f"the store {to.address} is left alone in this run: " in told
    to.ask_again()
    assert to.document(objects.REQUESTS, key)
    to.put_file("checkpoints", key, str(tmp_path / "document"))
    assert [] == to.troubles_to_tell()


@pytest.mark.usefixtures("sent")
def test_a_file_that_is_missing_here(tmp_path: Path) -> None:
    """It is told as one, and the store is not blamed."""
    said: list[str] = []
    record = {"key": "a" * 64, "outputs": {"file": "b" * 64}, "step": "train"}
    (tmp_path / "run").write_text(json.dumps(record))
    digest = objects.digest_of(str(tmp_path / "run"))
    objects.put(store.ROOT, digest, str(tmp_path / "run"))
    objects.put_entry(store.ROOT, objects.Entry("a" * 64, digest))

    store.share("a" * 64, str(tmp_path), said.append)

    missing = f"{store.ROOT}/{objects.place(objects.OBJECTS, 'b' * 64)}"
    assert [f"the result is not shared: {missing} is gone"] == said
    to = shared.shared()
    assert to is not None
    assert [] == to.troubles_to_tell()


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("read_only", [False, True])
def test_a_small_object_that_is_spoilt(tmp_path: Path, *, read_only: bool) -> None:
    """It is removed by whoever may write, so that it is put anew."""
    (tmp_path / "file").write_text("good")
    digest = objects.digest_of(str(tmp_path / "file"))
    to = shared.shared()
    assert to is not None
    to.put(digest, str(tmp_path / "file"))
    path = root() / objects.place(objects.OBJECTS, digest)
    path.write_text("evil")
    to.read_only = read_only

    with pytest.raises(objects.Unsound):
        to.read(digest)

    assert read_only == path.exists()


def made(repository: Repository, scratch: Path) -> preparation.Prepared:
    """Have the training made elsewhere, and restored here once; return it, ready to run."""
    key = put(scratch)
    assert 0 == work(repository, "none", key).returncode
    state = State(STATE_FILE)
    step = Step(discover.read_model(MODEL, state.files), "train")
    ready = preparation.prepare(step, state, Activity())
    assert restored(ready, pytest.fail)
    return ready


def restored(ready: preparation.Prepared, say: Callable[[str], None]) -> Record | None:
    """Restore the training."""
    return store.restore(ready.step, ready.inputs, State(STATE_FILE), say)


def test_nothing_is_swept_of_what_is_restored(
    sent: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another `doit` that starts meanwhile leaves alone what a restore has in the making."""
    ready, put_entry = made(sent, tmp_path), objects.put_entry
    half = sent.write(f"{store.ROOT}/{objects.MAKING}/half", "half")

    def sweeping(root: str, entry: objects.Entry) -> None:
        objects.sweep(root)
        assert half.exists()
        put_entry(root, entry)

    monkeypatch.setattr(objects, "put_entry", sweeping)

    assert restored(ready, pytest.fail)


@pytest.mark.parametrize("name", ["put_entry", "take"])
def test_an_entry_is_dropped_for_its_objects_alone(
    sent: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A result that is laid out stands without its entry too; other files are no reason."""
    ready, said = made(sent, tmp_path), []

    def failing(*_words: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "build/something else")

    with monkeypatch.context() as patched:
        patched.setattr(objects, name, failing)
        record = restored(ready, said.append)

    assert (name == "put_entry") == (record is not None)
    assert "build/something else is gone" in said[0]
    assert objects.find_entry(store.ROOT, ready.key)


def test_an_interrupted_restore(
    sent: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored is still stored."""
    ready, said = made(sent, tmp_path), []
    monkeypatch.setattr(processes, "stopping", lambda: True)

    assert restored(ready, said.append) is None

    assert ["its stored result is not used: interrupted"] == said
    assert objects.find_entry(store.ROOT, ready.key)


@pytest.mark.usefixtures("sent")
def test_who_collects_waits(tmp_path: Path) -> None:
    """Until nothing is put into the store any more."""
    put(tmp_path)
    to = shared.shared()
    assert to is not None
    collecting = threading.Thread(target=storekeeping.collect, args=(str(root()), lambda _: []))

    with to.writing():
        collecting.start()
        collecting.join(0.3)
        waits = collecting.is_alive()
    collecting.join(30)

    assert waits
    assert not collecting.is_alive()


@pytest.mark.usefixtures("sent")
def test_a_request_of_a_manifest(tmp_path: Path) -> None:
    """It lasts for more than a year after it was read, also where others send the same step."""
    key = put(tmp_path, lasts=manifests.LASTS_SECONDS)
    put(tmp_path)
    path = root() / objects.place(objects.REQUESTS, key)
    long_ago = time.time() - manifests.LASTS_SECONDS + DAY
    os.utime(path, (long_ago, long_ago))

    storekeeping.collect(str(root()), lambda _: [])
    requests.get(key)

    assert path.stat().st_mtime > time.time() - DAY


@pytest.mark.usefixtures("sent")
def test_a_file_that_comes_in_part(tmp_path: Path) -> None:
    """Nothing of it is left."""

    class Torn(LocalFileSystem):
        def get_file(self, path: str, target: str, **_more: object) -> None:
            del path
            Path(target).write_text("half")
            raise OSError("the connection broke")

    key = put(tmp_path)
    contents = requests.get(key)
    to = shared.shared()
    assert to is not None
    to.system = Torn()

    with pytest.raises(UserError, match="cannot be had from the store"):
        requests.lay_out(contents, str(tmp_path / "there"))

    assert [] == [path for path in (tmp_path / "there").rglob("*") if path.is_file()]


def test_what_a_model_prints_elsewhere(tmp_path: Path) -> None:
    """The log has its beginning and its end, as it has of a step that runs here."""
    log, model = tmp_path / "run.log", Model("ant", MODEL, MODEL)
    attempt: Any = SimpleNamespace(
        prepared=SimpleNamespace(step=Step(model, "train")),
        run=SimpleNamespace(log=str(log)),
        watcher=SimpleNamespace(echo=lambda _data: None, tick=lambda: ""),
    )
    follower = remote._Follower(attempt)
    piece = b"x" * 99 + b"\n"

    for _ in range(3 * (HEAD_BYTES + TAIL_BYTES) // len(piece)):
        follower.feed(piece)
    follower.feed(b"the end\n")
    follower.close()

    assert log.stat().st_size < 1.1 * (HEAD_BYTES + TAIL_BYTES)
    assert log.read_bytes().endswith(b"the end\n")
    assert b"bytes left out" in log.read_bytes()
