"""The state file and the checker by themselves: a user's own tasks, damage, other runs."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import state as state_module
from tasks.errors import UserError
from tasks.fingerprint import Seen
from tasks.snapshot import FORMAT
from tasks.state import State
from tests.assertions import wait_until
from tests.crashing import PATIENCE_SECONDS

RUNNER = Path(__file__).parent.parent

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
        assert 0 == process.returncode, said
        return self.log()

    def log(self) -> list[str]:
        """Return the names of the tasks that ran."""
        log = self.path / "log"
        return log.read_text().split() if log.exists() else []


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Return a user's own tasks, run once."""
    found = Own(tmp_path)
    assert ["copy", "slow"] == found.ran()
    return found


def test_own_task_runs_when_its_input_has_changed(own: Own) -> None:
    """It is the content that counts, not the time, and not the size."""
    path = own.path / "in.txt"
    assert [] == own.ran()
    path.touch()
    assert [] == own.ran()
    before = path.stat()
    path.write_text("2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ["copy", "slow"] == own.ran()
    path.write_text("1\n")
    assert ["copy"] == own.ran("copy")


def test_own_task_runs_when_its_target_is_gone_or_it_is_forgotten(own: Own) -> None:
    """What doit promises of targets and of `forget` holds."""
    (own.path / "out.txt").unlink()
    assert ["copy"] == own.ran()
    assert [] == own.ran("forget", "slow")
    assert ["slow"] == own.ran()
    assert [] == own.ran("forget", "--all")
    assert ["copy", "slow"] == own.ran()


def test_own_task_that_had_ended_is_not_run_again_after_a_kill(own: Own) -> None:
    """State is committed task by task."""
    (own.path / "in.txt").write_text("2\n")
    (own.path / "hold").touch()
    (own.path / "log").unlink()
    process = own.start()
    assert wait_until(lambda: own.log() == ["copy", "slow"])
    process.kill()
    (own.path / "hold").unlink()
    process.communicate()

    assert ["slow"] == own.ran()


def test_own_task_survives_a_state_file_of_another_format(own: Own) -> None:
    """What another version wrote is dropped, and costs only time."""
    with contextlib.closing(sqlite3.connect(own.path / "build/state.db")) as connection:
        connection.execute("drop table task")
        connection.execute("create table task (other)")
        connection.execute("pragma user_version=99")
        connection.commit()

    assert ["copy", "slow"] == own.ran()
    assert [] == own.ran()


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
    state.task("task:7")
    state.recall("key 7")
    state.remember("key", "value")
    state.remove("task:5")
    state.save({"task:new": "{}"})
    assert "value" == state.recall("key")
    assert "{}" == state.task("task:new")
    state._connection.close()
    again = State(str(path))
    assert "{}" == again.task("task:new")
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

        assert state.task("task:199")
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
        assert (FORMAT,) == connection.execute("pragma user_version").fetchone()


@pytest.mark.parametrize("left", [b"", bytes(512)])
def test_a_journal_that_a_loss_of_power_has_left(tmp_path: Path, left: bytes) -> None:
    """It is cleared away, and what is in the state file stays."""
    path = tmp_path / "state.db"
    State(str(path)).remember("a", "b")
    journal = tmp_path / "state.db-journal"
    journal.write_bytes(left)

    assert "b" == State(str(path)).recall("a")
    assert not journal.exists()


@pytest.mark.parametrize("seconds", [-(10**9), 10**10, 10**11])
def test_a_file_of_any_time(
    tmp_path: Path, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time before 1970, or beyond what SQLite or 64 bits can hold, keeps nothing from saving."""
    path, file = str(tmp_path / "state.db"), tmp_path / "data.csv"
    file.write_text("1")
    os.utime(file, (seconds, seconds))
    state = State(path)
    digest = state.files.digest(str(file))

    state.save({"task:a": "{}"})

    assert "" == capsys.readouterr().err
    again = State(path)
    assert "{}" == again.task("task:a")
    assert digest == again.files.digest(str(file))
    again.save({"task:b": "{}"})
    assert "{}" == State(path).task("task:b")


@pytest.mark.parametrize("inode", [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_file_of_any_number(tmp_path: Path, inode: int) -> None:
    """What was seen of it comes back as it was."""
    path, seen = str(tmp_path / "state.db"), Seen(1, -2, 3, inode, 5, "0" * 64, "kind", "note")
    state = State(path)
    state.files.changed["data.csv"] = seen

    state.save({})

    assert seen == State(path).files.earlier("data.csv")
