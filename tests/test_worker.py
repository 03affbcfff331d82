"""A step that is sent elsewhere: the request, the worker that carries it out, and its result."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import (
    discover,
    frameworks,
    news,
    objects,
    preparation,
    requests,
    store,
    storekeeping,
)
from tasks.plan import Step
from tasks.progress import Activity
from tasks.shared import shared
from tasks.snapshot import STATE_FILE
from tasks.state import State
from tests.workshop import OFFLINE, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

TRAINING = """
import json, os, sys
import model_modules.helper

def train(data_conf, model_conf, **kwargs):
    kwargs["progress_callback_handler"](epoc=1, epocs=2)
    print("training on", sum(map(int, open(data_conf["url"]))))
    with open("models/sum", "w") as file:
        file.write(model_modules.helper.TEXT)
"""
EVALUATION = """
def evaluate(data_conf, model_conf, **kwargs):
    return {"length": len(open("models/sum").read())}
"""


@pytest.fixture
def sent(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Return a repository with a model whose data lie beside it, and a store."""
    model = "model_definitions/ant"
    repository.write(f"{model}/model.json", {"id": "ant", "name": "Ant", "language": "python"})
    repository.write(f"{model}/config.json", {"hyperParameters": {"x": 1}})
    repository.write(f"{model}/datasets/train.json", {"url": "../data/numbers"})
    repository.write(f"{model}/model_modules/__init__.py", "")
    repository.write(f"{model}/model_modules/helper.py", "TEXT = 'six'\n")
    repository.write(f"{model}/model_modules/training.py", TRAINING)
    repository.write(f"{model}/model_modules/evaluation.py", EVALUATION)
    repository.write("../data/numbers", "1\n2\n3\n")
    monkeypatch.chdir(repository.path)
    monkeypatch.setenv("MODEL_CACHE", str(repository.cache))
    monkeypatch.setenv("MODEL_STORE", str(repository.path / "../shared store"))
    shared.cache_clear()
    yield repository
    shared.cache_clear()


def prepared(name: str) -> preparation.Prepared:
    """Return a step of the model, ready to run."""
    state = State(STATE_FILE)
    model = discover.read_model("model_definitions/ant", state.files)
    return preparation.prepare(Step(model, name), state, Activity())


def request(name: str, scratch: Path) -> str:
    """Put the request of a step into the store, and return its key."""
    ready = prepared(name)
    requests.put(ready, State(STATE_FILE), "c0ffee", str(scratch))
    return ready.key


def work(
    repository: Repository, key: str, *words: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Carry a request out in another folder, as another machine would."""
    command = [sys.executable, "-m", "tasks.worker", key, *words]
    elsewhere = repository.path.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    chosen = {"MODEL_STORE": os.environ["MODEL_STORE"], **variables}
    env = repository.variables(TMPDIR=str(elsewhere), **chosen)
    return subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, check=False)


def told(done: subprocess.CompletedProcess[bytes]) -> tuple[list[dict[str, object]], str]:
    """Return the news of a worker, and what else it printed."""
    heard: list[dict[str, object]] = []
    printed: list[bytes] = []
    news.Reader(printed.append, lambda one: heard.append(dict(one))).feed(done.stdout)
    return heard, b"".join(printed).decode()


def test_trained_and_evaluated_elsewhere(sent: Repository, tmp_path: Path) -> None:
    """Both results come back through the store, under the keys that they have here."""
    key = request("train", tmp_path)

    done = work(sent, key, "--where", json.dumps({"place": "attic"}))

    heard, printed = told(done)
    assert (0, b"") == (done.returncode, done.stderr)
    assert "training on 6" in printed
    assert {"progress": {"epoc": 1, "epocs": 2}} in heard
    assert [] == os.listdir(sent.path.parent / "elsewhere")
    ready = prepared("train")
    record = store.restore(ready.step, ready.inputs, State(STATE_FILE), pytest.fail)
    assert record
    assert ({"place": "attic"}, "c0ffee", key) == (
        record.run["where"], record.run["git"], record.key,
    )  # fmt: skip

    done = work(sent, request("evaluate", tmp_path))

    assert 0 == done.returncode, done.stdout
    ready = prepared("evaluate")
    assert store.restore(ready.step, ready.inputs, State(STATE_FILE), pytest.fail)
    assert 3 == sent.json("build/models/ant/evaluate/metrics.json")["metrics"]["length"]
    assert "up to date" in sent.doit("evaluate:ant").stdout


def test_a_framework_of_the_repository_s_own(sent: Repository, tmp_path: Path) -> None:
    """Its file goes with the step: elsewhere nobody knows the framework otherwise."""
    model, root = "model_definitions/ant/model.json", Path(frameworks.__file__).parents[1]
    sent.write("envs/ours.toml", (root / "envs/python.toml").read_text())
    described = {"id": "ant", "name": "Ant", "language": "python", "framework": "ours"}
    sent.write(model, described)

    done = work(sent, request("train", tmp_path))

    assert (0, b"") == (done.returncode, done.stderr)


def test_packages_of_a_folder_of_the_repository(sent: Repository, tmp_path: Path) -> None:
    """What the folder holds travels too, and the lock fits there as it does here."""
    (sent.path / "wheels").mkdir()
    Workshop(sent, State(STATE_FILE)).wheel("two", "1.0")
    modules = "model_definitions/ant/model_modules"
    sent.write(f"{modules}/requirements.txt", f"{OFFLINE}two\n")
    sent.write(f"{modules}/helper.py", "import two\n\nTEXT = two.VERSION\n")
    key = request("train", tmp_path)

    done = work(sent, key, MODEL_CACHE=str(tmp_path / "another cache"))

    assert 0 == done.returncode, done.stdout
    ready = prepared("train")
    assert store.restore(ready.step, ready.inputs, State(STATE_FILE), pytest.fail)


def test_a_model_that_fails_elsewhere(sent: Repository, tmp_path: Path) -> None:
    """Its error is told in the words that it would have here."""
    source = TRAINING.replace("with open", "raise ValueError('too little')\n    with open")
    sent.write("model_definitions/ant/model_modules/training.py", source)

    done = work(sent, request("train", tmp_path))

    heard, printed = told(done)
    error = next(one["error"] for one in heard if "error" in one)
    assert isinstance(error, dict)
    assert 65 == done.returncode
    assert "Model `ant` failed to train: ValueError: too little" == error["headline"]
    assert "training on 6" in printed


def test_a_worker_that_is_not_the_same(sent: Repository, tmp_path: Path) -> None:
    """What would come out otherwise there is not made."""
    key = request("train", tmp_path)
    path = Path(os.environ["MODEL_STORE"], "requests", key[:2], key[2:])
    document = json.loads(path.read_text())
    document["inputs"]["environment python"] = "cpython 2.7.18"
    helper = "model_definitions/ant/model_modules/helper.py"
    document["files"][helper] = document["files"]["model_definitions/ant/model_modules/__init__.py"]
    path.write_text(json.dumps(document))

    heard, _ = told(work(sent, key))

    error = next(one["error"] for one in heard if "error" in one)
    assert isinstance(error, dict)
    assert "The step train:ant would make something else there than here" == error["headline"]
    facts = dict(error["facts"])
    assert "cpython 2.7.18 here" in facts["environment python"]
    assert "file model_modules/helper.py" in facts


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MODEL_STORE_KEY": "hush hush"}, "The request is not signed with `MODEL_STORE_KEY`"),
        ({"MODEL_STORE": "/proc/nowhere"}, "The store has no such request"),
        ({"MODEL_STORE": "http://127.0.0.1:9/"}, "The store cannot be reached from here"),
    ],
)
def test_requests_that_cannot_be_had(
    sent: Repository, tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    """The worker says why, and carries out nothing that nobody has signed."""
    done = work(sent, request("train", tmp_path), **variables)

    heard, _ = told(done)
    error = next(one["error"] for one in heard if "error" in one)
    assert isinstance(error, dict)
    assert 65 == done.returncode
    assert expected in error["headline"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "\udcff"])
def test_a_damaged_request(sent: Repository, tmp_path: Path, text: str) -> None:
    """It is told as such, with the way out."""
    key = request("train", tmp_path)
    path = Path(os.environ["MODEL_STORE"], "requests", key[:2], key[2:])
    path.write_text(text, errors="surrogateescape")

    heard, _ = told(work(sent, key))

    error = next(one["error"] for one in heard if "error" in one)
    assert isinstance(error, dict)
    assert "The request in the store is damaged" == error["headline"]


def test_paths_that_lead_out(sent: Repository, tmp_path: Path) -> None:
    """A request cannot write anywhere but into the worker's own folder."""
    key = request("train", tmp_path)
    path = Path(os.environ["MODEL_STORE"], "requests", key[:2], key[2:])
    document = json.loads(path.read_text())
    document["files"]["up/../../../../../../evil"] = next(iter(document["files"].values()))
    document["downloads"]["../../evil"] = next(iter(document["files"].values()))
    path.write_text(json.dumps(document))

    heard, _ = told(work(sent, key))

    error = next(one["error"] for one in heard if "error" in one)
    assert isinstance(error, dict)
    assert "The request has a file that would lie outside" == error["headline"]


def test_a_training_that_nobody_has_signed(
    sent: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was fetched without a key is not signed to be worked on elsewhere."""
    assert 0 == work(sent, request("train", tmp_path)).returncode
    ready = prepared("train")
    assert store.restore(ready.step, ready.inputs, State(STATE_FILE), pytest.fail)
    monkeypatch.setenv("MODEL_STORE_KEY", "hush hush")
    shared.cache_clear()

    with pytest.raises(requests.UserError) as caught:
        request("evaluate", tmp_path)

    assert "it was fetched, and is not signed with MODEL_STORE_KEY" in str(caught.value)


@pytest.mark.usefixtures("sent")
def test_a_program_that_is_none_of_its_files(tmp_path: Path) -> None:
    """What is no file of the request keeps its mode."""
    contents = requests.get(request("train", tmp_path))
    top = tmp_path.joinpath("there", *["up"] * max(p.count("../") for p in contents.files))
    top.mkdir(parents=True)
    (top / "outside").touch(0o600)

    requests.lay_out(replace(contents, programs=["../outside"]), str(tmp_path / "there"))

    assert 0o600 == stat.S_IMODE((top / "outside").stat().st_mode)


def test_no_store(sent: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store, or with one that is only read or not there, nothing can be sent."""
    monkeypatch.setenv("MODEL_STORE_READ_ONLY", "1")
    shared.cache_clear()
    with pytest.raises(requests.UserError, match="that can be written to"):
        request("train", tmp_path)
    monkeypatch.delenv("MODEL_STORE_READ_ONLY")
    monkeypatch.setenv("MODEL_STORE", str(tmp_path / "mount/store"))
    shared.cache_clear()
    with pytest.raises(requests.UserError, match="nor the one that it would be in"):
        request("train", tmp_path)
    assert not (tmp_path / "mount").exists()
    monkeypatch.delenv("MODEL_STORE")
    shared.cache_clear()
    with pytest.raises(requests.UserError, match="needs a store that both sides reach"):
        request("train", tmp_path)
    assert sent.path.exists()


def test_collected(sent: Repository, tmp_path: Path) -> None:
    """A request and what it leads to are kept for a day, the training that it works on too."""
    assert 0 == work(sent, request("train", tmp_path)).returncode
    ready = prepared("train")
    assert store.restore(ready.step, ready.inputs, State(STATE_FILE), pytest.fail)
    key = request("evaluate", tmp_path)
    root = Path(os.environ["MODEL_STORE"])
    place = {"MODEL_STORE": str(root)}
    count = len(list(root.glob("objects/*/*")))

    gone = json.loads(sent.doit("gc", "--shared", "--keep", "0", "--json", **place).stdout)

    assert {"dry_run": False, "results": 0, "objects": 0, "bytes": 0, "gone": []} == gone
    assert 0 == sent.doit("verify", "--shared", **place).returncode
    stored = json.loads(sent.doit("store", "--shared", "--json", **place).stdout)
    assert (1, count, {}) == (len(stored["results"]), stored["objects"], stored["unsound"])
    assert 0 == work(sent, key).returncode

    for path in root.glob("requests/*/*"):
        ago = path.stat().st_mtime - objects.REQUEST_SECONDS
        os.utime(path, (ago, ago))
    shutil.rmtree(sent.path / "build/models")
    gone = json.loads(sent.doit("gc", "--shared", "--keep", "0", "--json", **place).stdout)

    assert 2 == gone["results"]
    assert [] == [*root.glob("requests/*/*"), *root.glob("objects/*/*")]


def test_requests_that_cannot_be_read(tmp_path: Path) -> None:
    """They go when they are old, as the others do, and hinder nobody."""
    for number, text in enumerate(("", "[]", '{"files": 3}', "\udcff")):
        path = tmp_path / "requests/ab" / f"{number:062}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="surrogateescape")
        os.utime(path, (0, 0))

    assert (0, 0, 0) == storekeeping.collect(str(tmp_path), lambda _: [])
    assert [] == list(tmp_path.glob("requests/*/*"))


def test_news_cut_anywhere() -> None:
    """News and what a model prints are told apart wherever the stream is cut."""
    stream = b"one " + news.written("phase", "train") + b"two\n\x1enot json\n" + b"three"
    for size in range(1, len(stream)):
        printed: list[bytes] = []
        heard: list[object] = []
        reader = news.Reader(printed.append, heard.append)
        for at in range(0, len(stream), size):
            reader.feed(stream[at : at + size])
        assert [{"phase": "train"}] == heard
        assert b"one two\nnot json\nthree" == b"".join(printed)
