"""Each kind of file that builds keep is torn, emptied, flipped: it is mended or told, not believed.

The damage keeps a file's times where it keeps its size, but a change cannot be hidden from the
file system: bytes that rot below it are found when they are next read.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash import interception
from tests.crash.amounts import LONG, PARTS, SEED, count, sample
from tests.crash.kinds import KINDS, Kind, kept, kind_of
from tests.crash.subject import Results, results
from tests.crash.test_half_made_environments import PACKAGE, write_package

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repository
    from tests.crash.calls import Call

DATA = "1,2\n3,4\n"
DIGEST = hashlib.sha256(DATA.encode()).hexdigest()

TRAINING = """\
import os

import tiny


def train(data_conf, model_conf, **kwargs):
    print("a line for the log")
    with open("logs/notes.txt", "w") as file:
        file.write("a further log\\n")
    with open("models/model.txt", "w") as file:
        file.write(open(data_conf["data_path"]).read())
"""

EVALUATION = """\
import json


def evaluate(data_conf, model_conf, **kwargs):
    print("another line")
    with open("models/evaluation.json", "w") as file:
        json.dump({"length": len(open("models/model.txt").read())}, file)
"""


@dataclass
class Whole:
    """A repository with a file of each kind, and what its results are."""

    repository: Repository
    results: Results

    @property
    def files(self) -> dict[Kind, list[Path]]:
        """Every file that is kept, by kind."""
        found: dict[Kind, list[Path]] = {}
        for name, path in kept(self.repository).items():
            kind = kind_of(name)
            assert kind is not None, f"{name} is of no kind: tests/crash/kinds.py lists them"
            found.setdefault(kind, []).append(path)
        return found

    def leave_open(self) -> None:
        """Run all steps, and die when SQLite is about to tidy its log away: it stays, full."""
        published = []

        def decide(call: Call) -> int:
            published.append(call.paths[-1].endswith("/evaluate") if call.paths else False)
            writing = call.name == "pwrite64" and call.paths[0].endswith("/state.db")
            return interception.KILL_ALL if writing and any(published) else interception.PASS

        ran = interception.run(
            self.repository.command("-a"), decide, cwd=self.repository.path,
            env=self.repository.variables(), folders=[self.repository.path],
        )  # fmt: skip
        assert "evaluate:user ok" in ran.said, ran.said
        assert self.results == results(self.repository)


@pytest.fixture
def whole(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whole:
    """Return a repository whose build has made a file of each kind."""
    own = type(repository)(repository.path, tmp_path / "cache")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "data.csv").write_text(DATA)
    monkeypatch.setenv("DATASET_MIRROR", str(mirror))
    monkeypatch.setenv("UV_OFFLINE", "1")
    own.add("good-python", "user")
    for path, text in PACKAGE.items():
        own.write(f"packages/tiny/{path}", text)
    write_package(own, 0)
    folder = "model_definitions/user"
    own.write(f"{folder}/model_modules/requirements.txt", "packages/tiny\n")
    own.write(f"{folder}/model_modules/training.py", TRAINING)
    own.write(f"{folder}/model_modules/evaluation.py", EVALUATION)
    data = {"data_path": "https://data.invalid/data.csv", "sha256": DIGEST}
    for step in ("train", "evaluate"):
        own.write(f"{folder}/datasets/{step}.json", data)
    done = own.doit()
    assert 0 == done.returncode, done.stdout + done.stderr
    return Whole(own, results(own))


def empty(path: Path, chance: random.Random) -> None:
    """Take all of a file away."""
    del chance
    os.truncate(path, 0)


def tear(path: Path, chance: random.Random) -> None:
    """Cut a file off somewhere."""
    os.truncate(path, chance.randrange(max(1, path.stat().st_size)))


def flip(path: Path, chance: random.Random) -> None:
    """Flip a bit somewhere, with the size and times as they were.

    Of an environment's files no more is compared than size and time: there the time is another.
    """
    before, data = path.stat(), bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        if "environments" not in path.parts:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def zero(path: Path, chance: random.Random) -> None:
    """Lose a block of 512 bytes."""
    data = bytearray(path.read_bytes())
    start = chance.randrange(max(1, len(data))) // 512 * 512
    end = min(start + 512, len(data))
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def remove(path: Path, chance: random.Random) -> None:
    """Remove a file."""
    del chance
    path.unlink()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "emptied": empty, "torn": tear, "flipped": flip, "zeroed": zero, "removed": remove,
}  # fmt: skip
TIMES = 3 if LONG else 1
CASES = [
    (kind, how, time)
    for kind in KINDS
    if not kind.passing
    for how in DAMAGES
    for time in range(TIMES if how in ("torn", "flipped", "zeroed") else 1)
]


def test_every_file_is_of_a_kind(whole: Whole) -> None:
    """A whole build has a file of each kind that lasts, and none of another."""
    whole.leave_open()
    lasting = {kind for kind in KINDS if not kind.passing}

    assert {kind.name for kind in lasting} == {kind.name for kind in whole.files}


@pytest.mark.parametrize("part", range(PARTS))
def test_damage_is_never_believed(whole: Whole, part: int) -> None:
    """Whatever is done to a file, what `doit` then shows is right, or it says what is not."""
    chance = random.Random(f"{SEED} {part}")
    faults, tried = [], 0
    for kind, how, _ in sample(CASES, 16)[part::PARTS]:
        whole.leave_open()
        files = whole.files.get(kind, [])
        if not files:
            continue  # the test before this one says so
        path = chance.choice(files)
        before = path.read_bytes()
        if kind.name.endswith("of the store"):  # which is read where a result is not there
            shutil.rmtree(whole.repository.path / "build/models")
            shutil.rmtree(whole.repository.path / "build/results")
        DAMAGES[how](path, chance)
        tried += 1
        try:
            assert_mended_or_said(whole, kind, path, before)
        except AssertionError as error:
            faults.append(f"seed {SEED}, {kind.name} {how}, {path}\n{error}")
    assert not faults, "\n\n".join(faults)
    count("damaged files", files=tried)


def assert_mended_or_said(whole: Whole, kind: Kind, path: Path, before: bytes) -> None:
    """Check what a kind promises, and that after doing as the message says all is right."""
    repository = whole.repository
    changed = not path.exists() or path.read_bytes() != before
    words = ("-a", "evaluate:user") if kind.promise == "said" else ()
    done = repository.doit(*words)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    if done.returncode != 0:
        assert kind.promise == "said", said
        assert "hint: " in said, said
        assert results(repository) == whole.results
        follow(said)
        done = repository.doit(*words)
        said = done.stdout + done.stderr
    elif kind.promise == "rerun" and changed:
        assert " ran " in said or " restored " in said, said
    elif kind.promise == "ignored":
        assert "nothing to do" in said, said
    assert 0 == done.returncode, said
    assert results(repository) == whole.results, said
    assert [] == os.listdir(repository.path / "build/runs")
    again = repository.doit()
    assert "nothing to do: 2 steps are up to date\n" == again.stdout, again.stdout + again.stderr
    assert "" == again.stderr


def follow(said: str) -> None:
    """Do as a message says: remove the folder of an environment."""
    for line in said.splitlines():
        label, _, value = line.strip().partition("  ")
        folder = Path(value.strip())
        if label == "folder" and "environments" in folder.parts and folder.is_dir():
            shutil.rmtree(folder)
