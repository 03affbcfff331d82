"""What plain doit gets wrong, one test each, and our state backend and checker by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import state as state_module
from tasks.errors import UserError
from tasks.fingerprint import Seen
from tasks.state import FORMAT, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repository

RUNNER = Path(__file__).parent.parent
PATIENCE_SECONDS = 30

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


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something holds, and fail where it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def known_tasks(repository: Repository) -> set[str]:
    """Return the tasks that the state file knows of."""
    with contextlib.closing(sqlite3.connect(repository.path / "build/state.db")) as connection:
        return {name for (name,) in connection.execute("select name from task")}


def test_a_target_half_made_by_a_killed_run_is_made_anew(held: Repository, tmp_path: Path) -> None:
    """Killed while it rebuilds what was missing, it does not take the half for the whole."""
    hold = tmp_path / "hold"
    succeed(held, "train:ant")
    (held.path / "build/models/ant/train").unlink()
    hold.touch()
    with started(held, "train:ant", HOLD_train=str(hold)):
        wait_until(lambda: half_made(held, "train"))
    hold.unlink()

    assert not (held.path / "build/models/ant/train").exists()
    succeed(held, "train:ant")

    assert result(held, "ant", "train") == "half and 1,2\n3,4\n"
    assert "nothing to do" in succeed(held, "train:ant")


def test_a_killed_run_keeps_what_it_had_finished(held: Repository, tmp_path: Path) -> None:
    """Killed in the second of two steps, it has recorded the first, which is not run again."""
    hold, log = tmp_path / "hold", tmp_path / "log"
    hold.touch()
    with started(held, "evaluate:ant", HOLD_evaluate=str(hold)):
        wait_until(lambda: half_made(held, "evaluate"))
    hold.unlink()

    assert "train:ant" in known_tasks(held)
    assert "evaluate:ant" not in known_tasks(held)
    succeed(held, "evaluate:ant", RUN_LOG=str(log))

    assert log.read_text() == "evaluate ant\n"


def test_two_runs_on_one_state_file_keep_both_records(held: Repository, tmp_path: Path) -> None:
    """A run that ends inside another loses nothing of either."""
    hold, log = tmp_path / "hold", tmp_path / "log"
    hold.touch()
    with started(held, "evaluate:ant", HOLD_train=str(hold)) as outer:
        wait_until(lambda: half_made(held, "train"))
        succeed(held, "evaluate:bee")
        hold.unlink()
        said = outer.communicate(timeout=PATIENCE_SECONDS)[0]
        assert outer.returncode == 0, said

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
        wait_until(lambda: half_made(held, "train"))
        file = held.path / "model_definitions/ant" / path
        file.write_text(file.read_text() + "\n")
        hold.unlink()
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert process.returncode == 1
    assert "reads changed while it ran" in said
    assert not (held.path / "build/models/ant/train").exists()
    succeed(held, "train:ant", RUN_LOG=str(log))
    assert log.read_text() == "train ant\n"
    assert result(held, "ant", "train") == f"half and {held.read('model_definitions/ant/data.csv')}"


@pytest.mark.parametrize("name", ["models/train.txt", "artefacts.json", "run.json", "run.log"])
def test_a_target_that_is_garbage_is_noticed(held: Repository, tmp_path: Path, name: str) -> None:
    """Every file of a result is held against its record, and a wrong one is made anew."""
    log = tmp_path / "log"
    held.write("model_definitions/ant/model_modules/__init__.py", "print('so that it has a log')\n")
    succeed(held, "train:ant")
    path = held.path / "build/models/ant/train" / name
    before = path.stat()
    path.write_bytes(b"?" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert "must run" in held.doit("why", "train:ant").stdout
    succeed(held, "train:ant", RUN_LOG=str(log))

    assert log.read_text() == "train ant\n"
    assert result(held, "ant", "train") == "half and 1,2\n3,4\n"


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
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to do" in done.stdout
    return int(done.stdout.rpartition("reads ")[2])


def test_touched_files_are_read_once(held: Repository) -> None:
    """After a touch of every input a run reads each at most once, and the next one none."""
    held.write("shared.csv", "1,2\n")
    for name in ("ant", "bee"):
        for step in ("train", "evaluate"):
            held.write(f"model_definitions/{name}/datasets/{step}.json", {"data_path": "shared.csv"})
    succeed(held)
    inputs = [path for path in (held.path / "model_definitions").rglob("*") if path.is_file()]
    inputs.append(held.path / "shared.csv")
    reads(held)  # results that were made a moment ago are read once more before they are trusted
    assert reads(held) == 0

    for path in inputs:
        path.touch()
    after_touch = reads(held)

    assert 0 < after_touch <= len(inputs)
    assert reads(held) == 0


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


OWN_DODO = """\
from tasks.generators import CONFIG

DOIT_CONFIG = {**CONFIG, "default_tasks": ["copy", "slow"], "num_process": 0}


def task_copy():
    return {
        "file_dep": ["in.txt"],
        "targets": ["out.txt"],
        "actions": ["cp in.txt out.txt", "echo copy >> log"],
    }


def task_slow():
    return {
        "file_dep": ["out.txt"],
        "actions": ["echo slow >> log; while [ -e hold ]; do sleep 0.01; done"],
    }
"""


class Own:
    """A folder with a dodo.py of a user's own, on our state and checker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "dodo.py").write_text(OWN_DODO)
        (path / "in.txt").write_text("1\n")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start doit."""
        return subprocess.Popen(
            [sys.executable, "-m", "doit", *words],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(RUNNER), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ran(self, *words: str) -> list[str]:
        """Run doit and return the names of the tasks that ran."""
        (self.path / "log").unlink(missing_ok=True)
        process = self.start(*words)
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        assert process.returncode == 0, said
        return self.log()

    def log(self) -> list[str]:
        """Return the names of the tasks that ran."""
        log = self.path / "log"
        return log.read_text().split() if log.exists() else []


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Return a user's own tasks, run once."""
    found = Own(tmp_path)
    assert found.ran() == ["copy", "slow"]
    return found


def test_own_task_runs_when_its_input_has_changed(own: Own) -> None:
    """It is the content that counts, not the time, and not the size."""
    path = own.path / "in.txt"
    assert own.ran() == []
    path.touch()
    assert own.ran() == []
    before = path.stat()
    path.write_text("2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert own.ran() == ["copy", "slow"]
    path.write_text("1\n")
    assert own.ran("copy") == ["copy"]


def test_own_task_runs_when_its_target_is_gone_or_it_is_forgotten(own: Own) -> None:
    """What doit promises of targets and of `forget` holds."""
    (own.path / "out.txt").unlink()
    assert own.ran() == ["copy"]
    assert own.ran("forget", "slow") == []
    assert own.ran() == ["slow"]
    assert own.ran("forget", "--all") == []
    assert own.ran() == ["copy", "slow"]


def test_own_task_that_had_ended_is_not_run_again_after_a_kill(own: Own) -> None:
    """State is committed task by task."""
    (own.path / "in.txt").write_text("2\n")
    (own.path / "hold").touch()
    (own.path / "log").unlink()
    process = own.start()
    wait_until(lambda: own.log() == ["copy", "slow"])
    process.kill()
    (own.path / "hold").unlink()
    process.communicate()

    assert own.ran() == ["slow"]


def test_own_task_survives_a_state_file_of_another_format(own: Own) -> None:
    """What another version wrote is dropped, and costs only time."""
    with contextlib.closing(sqlite3.connect(own.path / "build/state.db")) as connection:
        connection.execute("drop table task")
        connection.execute("create table task (other)")
        connection.execute("pragma user_version=99")
        connection.commit()

    assert own.ran() == ["copy", "slow"]
    assert own.ran() == []


def filled(path: Path) -> bytes:
    """Make a state file of many pages and return its bytes."""
    state = State(str(path))
    state.files.changed.update(
        {f"file/{n}": Seen(1, 2, 3, 4, 5, "0" * 64, "kind", "note" * 20) for n in range(200)}
    )
    state.save({f"task:{n}": json.dumps({"deps:": ["x" * 100]}) for n in range(200)})
    for n in range(100):
        state.remember(f"key {n}", "value" * 10)
    state._connection.close()
    return path.read_bytes()


def use(path: Path) -> None:
    """Do everything with a state file that can be done, and see that it keeps what it is given."""
    state = State(str(path))
    state.tasks()
    state.recall("key 7")
    state.remember("key", "value")
    state.remove("task:5")
    state.save({"task:new": "{}"})
    assert state.recall("key") == "value"
    assert state.tasks()["task:new"] == "{}"
    state._connection.close()
    again = State(str(path))
    assert again.tasks()["task:new"] == "{}"
    again._connection.close()


@pytest.mark.parametrize("how", ["garbage", "zeroes", "cut"])
def test_a_damaged_state_file_is_made_anew(tmp_path: Path, how: str) -> None:
    """Whichever page is damaged, nobody has to clean up by hand."""
    path = tmp_path / "state.db"
    data = filled(path)
    page = 4096
    for start in range(0, len(data), page):
        changed = {
            "garbage": data[:start] + b"\xa5\x5a" * (page // 2) + data[start + page :],
            "zeroes": data[:start] + bytes(page) + data[start + page :],
            "cut": data[: start + page // 2],
        }
        path.write_bytes(changed[how])
        use(path)


def test_a_state_file_that_is_in_use_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another run's long write does not keep us from reading; what we cannot save is said."""
    monkeypatch.setattr(state_module, "BUSY_SECONDS", 0.05)
    path = tmp_path / "state.db"
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        state = State(str(path))

        state.save({"task:new": "{}"})
        state.remove("task:5")

        assert len(state.tasks()) == 200
        other.execute("rollback")
    state._connection.close()
    assert "warning: cannot save" in capsys.readouterr().err


def test_a_state_file_that_is_locked_for_good_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot even be read, the message names the file."""
    monkeypatch.setattr(state_module, "BUSY_SECONDS", 0.05)
    path = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(UserError, match="Cannot use the state file") as caught:
            State(str(path))

    assert ("reason", "database is locked") in [(k, str(v)) for k, v in caught.value.facts]


def test_a_state_file_has_its_format(tmp_path: Path) -> None:
    """The number of the format stands in the file."""
    path = tmp_path / "state.db"
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma user_version").fetchone() == (FORMAT,)
