"""What plain doit gets wrong, one test each."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assertions import wait_until
from tests.crashing import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

RUNNER = Path(__file__).parent.parent

# Writes half of its result, waits while it is held, and writes the rest.
HELD = """\
import json
import os
import time


def {step}(data_conf, model_conf, model_id, **kwargs):
    with open(os.environ.get("RUN_LOG", os.devnull), "a") as log:
        log.write("{step} " + model_id + "\\n")
    with open("models/{step}.txt", "w") as file:
        file.write("half")
        file.flush()
        while os.path.exists(os.environ.get("HOLD_{step}", "")):
            time.sleep(0.005)
        with open(data_conf["data_path"]) as data:
            file.write(" and " + data.read())
    with open("models/evaluation.json", "w") as file:
        json.dump({"value": 1}, file)
"""


@pytest.fixture
def held(repository: Repository) -> Repository:
    """Return a repository of two models that can be held in the middle of a step."""
    for name in ("ant", "bee"):
        add_held(repository, name)
    return repository


def add_held(repository: Repository, name: str) -> None:
    """Add a model that can be held in the middle of a step."""
    repository.add("good-python", name)
    folder = f"model_definitions/{name}"
    document = {"id": name, "name": name, "language": "python"}
    repository.write(f"{folder}/model.json", document)
    for step, module in (("train", "training"), ("evaluate", "evaluation")):
        path = f"{folder}/model_modules/{module}.py"
        repository.write(path, HELD.replace("{step}", step))


def half_made(repository: Repository, step: str, name: str = "") -> bool:
    """Return whether a run of the step is in the middle of its result."""
    folders = (repository.path / "build/runs").glob(f"{step}-{name}*")
    paths = [folder / f"work/models/{step}.txt" for folder in folders]
    return any(path.exists() and path.read_text() == "half" for path in paths)


@contextlib.contextmanager
def started(
    repository: Repository, *words: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Start doit; whatever happens, it is gone afterwards."""
    process = repository.start(*words, **variables)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def result(repository: Repository, name: str, step: str) -> str:
    """Return what a step made."""
    return repository.read(f"build/models/{name}/{step}/models/{step}.txt")


def succeed(repository: Repository, *words: str, **variables: str) -> str:
    """Run doit, check that it ended well, and return what it said."""
    done = repository.doit(*words, **variables)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def known_tasks(repository: Repository) -> set[str]:
    """Return the tasks that the state file knows of."""
    with contextlib.closing(sqlite3.connect(repository.path / "build/state.db")) as connection:
        return {name for (name,) in connection.execute("select name from task")}


def test_a_target_half_made_by_a_killed_run_is_made_anew(held: Repository, tmp_path: Path) -> None:
    """Killed while it rebuilds what was missing, it does not take the half for the whole."""
    hold = tmp_path / "hold"
    succeed(held, "train:ant")
    succeed(held, "forget", "train:ant")
    hold.touch()
    with started(held, "train:ant", HOLD_train=str(hold)):
        assert wait_until(lambda: half_made(held, "train"))
    hold.unlink()

    assert not (held.path / "build/models/ant/train").exists()
    succeed(held, "train:ant")

    assert "half and 1,2\n3,4\n" == result(held, "ant", "train")
    assert "nothing to do" in succeed(held, "train:ant")


def test_a_killed_run_keeps_what_it_had_finished(held: Repository, tmp_path: Path) -> None:
    """Killed in the second of two steps, it has recorded the first, which is not run again."""
    hold, log = tmp_path / "hold", tmp_path / "log"
    hold.touch()
    with started(held, "evaluate:ant", HOLD_evaluate=str(hold)):
        assert wait_until(lambda: half_made(held, "evaluate"))
    hold.unlink()

    assert "train:ant" in known_tasks(held)
    assert "evaluate:ant" not in known_tasks(held)
    succeed(held, "evaluate:ant", RUN_LOG=str(log))

    assert "evaluate ant\n" == log.read_text()


def test_two_runs_on_one_state_file_keep_both_records(held: Repository, tmp_path: Path) -> None:
    """A run that ends inside another loses nothing of either."""
    hold, log = tmp_path / "hold", tmp_path / "log"
    hold.touch()
    with started(held, "evaluate:ant", HOLD_train=str(hold)) as outer:
        assert wait_until(lambda: half_made(held, "train"))
        succeed(held, "evaluate:bee")
        hold.unlink()
        said = outer.communicate(timeout=PATIENCE_SECONDS)[0]
        assert 0 == outer.returncode, said

    expected = {f"{step}:{name}" for step in ("train", "evaluate") for name in ("ant", "bee")}
    assert expected <= known_tasks(held)
    assert "nothing to do: 4 steps are up to date\n" in succeed(held, RUN_LOG=str(log))
    assert not log.exists()


@pytest.mark.parametrize(
    "path", ["data.csv", "config.json", "model_modules/training.py", "datasets/train.json"]
)
def test_an_input_edited_meanwhile_is_not_recorded(
    held: Repository, tmp_path: Path, path: str
) -> None:
    """A result whose input moved under the step is refused, and made of the new one next time."""
    hold, log = tmp_path / "hold", tmp_path / "log"
    hold.touch()
    with started(held, "train:ant", HOLD_train=str(hold)) as process:
        assert wait_until(lambda: half_made(held, "train"))
        file = held.path / "model_definitions/ant" / path
        file.write_text(file.read_text() + "\n")
        hold.unlink()
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert 1 == process.returncode
    assert "reads changed while it ran" in said
    assert not (held.path / "build/models/ant/train").exists()
    succeed(held, "train:ant", RUN_LOG=str(log))
    assert "train ant\n" == log.read_text()
    assert f"half and {held.read('model_definitions/ant/data.csv')}" == result(held, "ant", "train")


@pytest.mark.parametrize("name", ["models/train.txt", "artefacts.json", "run.json", "run.log"])
def test_a_target_that_is_garbage_is_noticed(held: Repository, tmp_path: Path, name: str) -> None:
    """Every file of a result is held against its record; what is wrong with it is made good."""
    log = tmp_path / "log"
    held.write("model_definitions/ant/model_modules/__init__.py", "print('so that it has a log')\n")
    succeed(held, "train:ant")
    path = held.path / "build/models/ant/train" / name
    before = path.stat()
    path.write_bytes(b"?" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert "must run" in held.doit("why", "train:ant").stdout
    assert "train:ant restored" in succeed(held, "train:ant", RUN_LOG=str(log))

    assert not log.exists()
    assert "half and 1,2\n3,4\n" == result(held, "ant", "train")


COUNTING = """\
import sys

from doit.doit_cmd import DoitMain

status = DoitMain().run(sys.argv[1:])
from tasks.state import open_state

print("reads", open_state().files.reads)
sys.exit(status)
"""


def reads(repository: Repository) -> int:
    """Run doit, which must have nothing to do, and return how many files it read to know that."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, "-f", str(RUNNER / "dodo.py"), "-d", str(repository.path)],
        env=repository.variables(),
        cwd=repository.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "nothing to do" in done.stdout
    return int(done.stdout.rpartition("reads ")[2])


def test_touched_files_are_read_once(held: Repository) -> None:
    """After a touch of every input a run reads each at most once, and the next one none."""
    held.write("shared.csv", "1,2\n")
    for name in ("ant", "bee"):
        for step in ("train", "evaluate"):
            held.write(
                f"model_definitions/{name}/datasets/{step}.json", {"data_path": "shared.csv"}
            )
    succeed(held)
    inputs = [path for path in (held.path / "model_definitions").rglob("*") if path.is_file()]
    inputs.append(held.path / "shared.csv")
    reads(held)  # results that were made a moment ago are read once more before they are trusted
    assert 0 == reads(held)

    for path in inputs:
        path.touch()
    after_touch = reads(held)

    assert 0 < after_touch <= len(inputs)
    assert 0 == reads(held)


MEETING = """\
import os
import time


def train(data_conf, model_conf, model_id, **kwargs):
    open(os.path.join(os.environ["MEET"], model_id), "w").close()
    deadline = time.monotonic() + 30
    while len(os.listdir(os.environ["MEET"])) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("nobody else is here")
        time.sleep(0.005)
    open("models/model.txt", "w").close()
"""


def test_steps_run_side_by_side_by_default(held: Repository, tmp_path: Path) -> None:
    """Two models that wait for each other both end: no option, and nothing to pickle."""
    meet = tmp_path / "meet"
    meet.mkdir()
    for name in ("ant", "bee"):
        held.write(f"model_definitions/{name}/model_modules/training.py", MEETING)

    assert "2 ran" in succeed(held, "train", MEET=str(meet))
