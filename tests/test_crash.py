"""Killed at any moment, and two at once: nothing half-made is believed, and nothing is left behind.

Every model writes what it was made from into what it makes, so that a result can be held against
its own record and against the inputs, by code that shares nothing with the build system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repository

KILLS = int(os.environ.get("CRASH_KILLS", "30"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "5"))
SEED = int(os.environ.get("CRASH_SEED", "1"))

MODELS = ("ant", "bee", "cow")
PARTS = 5
PATIENCE_SECONDS = 30

TRAINING = """\
import os
import time

TOKEN = "{token}"


def train(data_conf, model_conf, **kwargs):
    with open(data_conf["data_path"]) as file:
        data = file.read()
    for part in range(5):
        with open(f"models/part-{part}.txt", "w") as file:
            for text in (TOKEN, "\\n", data):
                file.write(text)
                file.flush()
                time.sleep(0.001)
    with open(os.environ.get("RUN_LOG", os.devnull), "a") as file:
        file.write("train\\n")
"""

EVALUATION = """\
import json
import os

TOKEN = "{token}"


def evaluate(data_conf, model_conf, **kwargs):
    parts = [open(f"models/part-{part}.txt").read() for part in range(5)]
    assert len(set(parts)) == 1, parts
    with open("models/report.txt", "w") as file:
        file.write(TOKEN + "\\n" + parts[0])
    with open("models/evaluation.json", "w") as file:
        json.dump({"length": len(parts[0])}, file)
    with open(os.environ.get("RUN_LOG", os.devnull), "a") as file:
        file.write("evaluate\\n")
"""


@dataclass
class Inputs:
    """What the three models are made from now, changed one small piece at a time."""

    repository: Repository
    chance: random.Random
    training: dict[str, str] = field(default_factory=lambda: dict.fromkeys(MODELS, "0"))
    evaluation: dict[str, str] = field(default_factory=lambda: dict.fromkeys(MODELS, "0"))
    data: dict[str, str] = field(default_factory=lambda: dict.fromkeys(MODELS, "0\n"))
    edits: int = 0

    def create(self) -> None:
        """Write the three models."""
        for number, name in enumerate(MODELS):
            folder = f"model_definitions/{name}"
            document = {"id": f"00000000-0000-4000-8000-00000000000{number}", "name": name}
            self.repository.write(f"{folder}/model.json", {**document, "language": "python"})
            self.repository.write(f"{folder}/config.json", {"hyperParameters": {}})
            self.repository.write(f"{folder}/model_modules/__init__.py", "")
            for step in ("train", "evaluate"):
                self.repository.write(f"{folder}/datasets/{step}.json", {"data_path": "data.csv"})
            self._write(name)

    def edit(self) -> None:
        """Change one input of one model to what it never was."""
        self.edits += 1
        name = self.chance.choice(MODELS)
        what = self.chance.choice((self.training, self.evaluation, self.data))
        what[name] = f"{self.edits}\n" if what is self.data else str(self.edits)
        self._write(name)

    def sources(self, name: str) -> dict[str, str]:
        """Return a model's changing files, by the names that a record gives them."""
        training, evaluation = self.training[name], self.evaluation[name]
        return {
            "file model_modules/training.py": TRAINING.replace("{token}", training),
            "file model_modules/evaluation.py": EVALUATION.replace("{token}", evaluation),
            "data data.csv": self.data[name],
        }

    def _write(self, name: str) -> None:
        for title, text in self.sources(name).items():
            path = self.repository.path / "model_definitions" / name / title.split(" ")[1]
            if not path.exists() or path.read_text() != text:
                self.repository.write(str(path.relative_to(self.repository.path)), text)

    def expected(self) -> dict[str, str]:
        """Return the artefact of every step as a rebuild of everything would make it."""
        found = {}
        for name in MODELS:
            part = f"{self.training[name]}\n{self.data[name]}"
            found[f"{name}/train"] = part
            found[f"{name}/evaluate"] = f"{self.evaluation[name]}\n{part}"
        return found


@pytest.fixture
def inputs(repository: Repository) -> Inputs:
    """Return the three models, in a repository where each has been evaluated once."""
    chance = random.Random(SEED)  # noqa: S311 - moments to kill at, no secrets
    found = Inputs(repository, chance)
    found.create()
    done = repository.doit()
    assert 0 == done.returncode, done.stdout + done.stderr
    return found


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def published(repository: Repository) -> dict[str, Path]:
    """Return the folder of every result that is published, by `model/step`."""
    top = repository.path / "build/models"
    return {str(p.relative_to(top)): p for p in sorted(top.glob("*/*")) if p.is_symlink()}


def main_artefact(name: str, folder: Path) -> str:
    """Return the text that tells what a result was made from; all parts of it must agree."""
    if name.endswith("/evaluate"):
        return (folder / "models/report.txt").read_text()
    texts = {(folder / f"models/part-{part}.txt").read_text() for part in range(PARTS)}
    assert 1 == len(texts), texts
    return texts.pop()


def verify_published(repository: Repository) -> None:
    """Hold every published result against its own record, byte by byte."""
    results = published(repository)
    for name, folder in results.items():
        record = json.loads((folder / "run.json").read_text())
        files = {
            str(path.relative_to(folder)): digest(path.read_bytes())
            for path in folder.rglob("*")
            if path.is_file() and path.name != "run.json"
        }
        assert record["outputs"] == files, name
        verify_truth(name, main_artefact(name, folder), record["inputs"], results)


def verify_truth(name: str, text: str, recorded: dict[str, str], results: dict[str, Path]) -> None:
    """Compare what a record says of the inputs with what the artefact was made from."""
    model, _, step = name.partition("/")
    token, _, rest = text.partition("\n")
    if step == "train":
        source = TRAINING.replace("{token}", token)
        assert recorded["file model_modules/training.py"] == digest(source.encode())
        assert recorded["data data.csv"] == digest(rest.encode())
        return
    source = EVALUATION.replace("{token}", token)
    assert recorded["file model_modules/evaluation.py"] == digest(source.encode())
    train = results[f"{model}/train"]
    if recorded["artefacts of train"] == digest((train / "artefacts.json").read_bytes()):
        assert main_artefact(f"{model}/train", train) == rest


def processes_of(*folders: Path) -> dict[int, str]:
    """Return the processes that have one of the folders in their command line, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if entry.name.isdigit() and any(str(folder) in line for folder in folders):
                found[int(entry.name)] = line
    found.pop(os.getpid(), None)
    return found


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until something holds; return False where it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_doit(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill doit alone."""
    del repository
    kill(process.pid)


def kill_models(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill the models that run, once there is one."""
    runs = repository.path / "build/runs"
    wait_until(lambda: bool(processes_of(runs)) or process.poll() is not None)
    for pid in processes_of(runs):
        kill(pid)


def kill_both(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill doit's whole process group, then the models, which have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in processes_of(repository.path / "build/runs"):
        kill(pid)


VICTIMS = {"doit": kill_doit, "model": kill_models, "both": kill_both}


def assert_clean(repository: Repository) -> None:
    """Check that no run, no result that nobody points at, and no process is left."""
    build = repository.path / "build"
    linked = {folder.resolve().name for folder in published(repository).values()}
    assert linked == {path.name for path in (build / "results").iterdir()}
    assert [] == list((build / "runs").iterdir())
    assert [] == [path for path in (build / "failed").rglob("*") if path.is_file()]
    assert {} == processes_of(repository.path)


def assert_current(inputs: Inputs, context: object) -> None:
    """Check that the next run makes all of the present inputs, and the one after nothing."""
    repository = inputs.repository
    done = repository.doit()
    assert 0 == done.returncode, (context, done.stdout, done.stderr)
    verify_published(repository)
    made = {name: main_artefact(name, path) for name, path in published(repository).items()}
    assert inputs.expected() == made, context
    assert_clean(repository)
    again = repository.doit()
    assert "nothing to do: 6 steps are up to date\n" == again.stdout, (context, again.stderr)


def test_killed_at_any_moment(inputs: Inputs, tmp_path: Path) -> None:
    """Doit, a model, or both are killed: what is published is true, the next run sees to all."""
    repository, chance = inputs.repository, inputs.chance
    counts: Counter[str] = Counter()
    longest = 1.0
    for number in range(KILLS):
        for _ in range(chance.randint(1, 4)):
            inputs.edit()
        victim = list(VICTIMS)[number % len(VICTIMS)]
        began = time.monotonic()
        process = repository.start()
        time.sleep(chance.uniform(0, longest))
        VICTIMS[victim](process, repository)
        process.communicate(timeout=PATIENCE_SECONDS)
        counts[f"{victim}: doit ended with {process.returncode}"] += 1
        if process.returncode == 0:
            longest = time.monotonic() - began
        nobody_left = wait_until(lambda: not processes_of(repository.path))
        assert nobody_left, processes_of(repository.path)
        verify_published(repository)
        assert_current(inputs, (number, victim))
    (tmp_path / "counts.json").write_text(json.dumps(counts, indent=2))


def test_an_orphaned_model_dies(inputs: Inputs) -> None:
    """A model that would run for minutes ends with the doit that started it."""
    repository = inputs.repository
    source = TRAINING.replace("0.001", "600")
    repository.write("model_definitions/ant/model_modules/training.py", source)
    process = repository.start("train:ant")
    runs = repository.path / "build/runs"
    assert wait_until(lambda: any(path.exists() for path in runs.glob("*/work/models/part-0.txt")))

    kill(process.pid)
    process.communicate()

    assert wait_until(lambda: not processes_of(repository.path))
    verify_published(repository)


PACKAGE = {
    "pyproject.toml": """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1.0"
""",
    "backend.py": """\
import os
import time
import zipfile

METADATA = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def say(word):
    with open(os.environ.get("BUILD_LOG", os.devnull), "a") as log:
        log.write(word + "\\n")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    say("begin")
    while os.path.exists(os.environ.get("HOLD", "")):
        time.sleep(0.01)
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for part in sorted(os.listdir("tiny")):
            time.sleep(0.02)
            wheel.write(f"tiny/{part}")
        about = "tiny-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", METADATA)
        wheel.writestr(f"{about}/WHEEL", WHEEL)
        wheel.writestr(f"{about}/RECORD", "")
    say("end")
    return name
""",
    "tiny/__init__.py": "",
}

USING = """\
import os

import tiny


def train(data_conf, model_conf, **kwargs):
    folder = os.path.dirname(tiny.__file__)
    found = sorted(name for name in os.listdir(folder) if name.endswith(".txt"))
    with open("models/model.txt", "w") as file:
        file.write("".join(open(os.path.join(folder, name)).read() for name in found))
"""


@pytest.fixture
def user(repository: Repository) -> Repository:
    """Return a repository whose one model needs a package of the repository."""
    repository.add("good-python", "user")
    for path, text in PACKAGE.items():
        repository.write(f"packages/tiny/{path}", text)
    repository.write("model_definitions/user/model_modules/requirements.txt", "packages/tiny\n")
    repository.write("model_definitions/user/model_modules/training.py", USING)
    return repository


def write_package(repository: Repository, number: int) -> str:
    """Give the package new content, and return what the model makes of it."""
    parts = [f"{number}.{part}\n" for part in range(8)]
    for part, text in enumerate(parts):
        repository.write(f"packages/tiny/tiny/{part}.txt", text)
    return "".join(parts)


def variables(cache: Path) -> dict[str, str]:
    """Return the variables for an empty cache and no network."""
    return {"MODEL_CACHE": str(cache), "UV_OFFLINE": "1"}


def assert_built(repository: Repository, expected: str, cache: Path) -> None:
    """Check the model's result, and that its environment is the only one and nobody's work now."""
    assert expected == repository.read("build/models/user/train/models/model.txt")
    assert wait_until(lambda: not processes_of(repository.path, cache))
    (environment,) = [path for path in (cache / "environments").iterdir() if path.is_dir()]
    assert (environment / "environment.json").exists()
    assert [] == list(environment.glob(".source-*"))
    assert "nothing to do" in repository.doit("train:user", **variables(cache)).stdout


def test_killed_while_an_environment_is_built(user: Repository, tmp_path: Path) -> None:
    """A build that is cut off is never taken for an environment."""
    chance = random.Random(SEED)  # noqa: S311 - moments to kill at, no secrets
    for number in range(max(5, KILLS // 5)):
        cache = tmp_path / f"cache-{number}"
        expected = write_package(user, number)
        process = user.start("train:user", **variables(cache))
        time.sleep(chance.uniform(0, 1.2))
        VICTIMS[("doit", "both")[number % 2]](process, user)

        done = user.doit("train:user", **variables(cache))  # uv may have outlived its doit

        process.communicate()
        assert 0 == done.returncode, (number, done.stdout, done.stderr)
        assert_built(user, expected, cache)


def test_a_build_waits_for_the_uv_of_one_that_was_killed(user: Repository, tmp_path: Path) -> None:
    """While a killed run's uv still writes into an environment, nobody else does."""
    hold, log, cache = tmp_path / "hold", tmp_path / "log", tmp_path / "cache"
    hold.touch()
    expected = write_package(user, 0)
    more = {**variables(cache), "BUILD_LOG": str(log)}
    first = user.start("train:user", **more, HOLD=str(hold))
    assert wait_until(log.exists)
    kill(first.pid)
    second = user.start("train:user", **more)
    wait_until(lambda: log.read_text().count("begin") > 1, seconds=2)
    hold.unlink()

    said = second.communicate(timeout=PATIENCE_SECONDS)[0]

    first.communicate()
    assert 0 == second.returncode, said
    assert ["begin", "end"] * 2 == log.read_text().split()
    assert_built(user, expected, cache)


def test_two_at_once(inputs: Inputs, tmp_path: Path) -> None:
    """Two runs on one repository both end well, and share the work instead of doing it twice."""
    repository, chance = inputs.repository, inputs.chance
    for number in range(ROUNDS):
        before = inputs.expected()
        for _ in range(chance.randint(1, 4)):
            inputs.edit()
        if number % 3 == 2:
            for path in (repository.path / "build").glob("state.db*"):
                path.unlink()
        log = tmp_path / f"log-{number}"
        log.touch()
        both = [repository.start(RUN_LOG=str(log))]
        time.sleep(chance.choice((0, chance.uniform(0, 0.5))))
        both.append(repository.start(RUN_LOG=str(log)))
        said = [process.communicate(timeout=PATIENCE_SECONDS * 4)[0] for process in both]

        assert [0, 0] == [process.returncode for process in both], (number, said)
        assert steps_between(before, inputs.expected()) == Counter(log.read_text().split())
        assert_state_is_whole(repository)
        assert_current(inputs, (number, said))


def steps_between(before: dict[str, str], after: dict[str, str]) -> Counter[str]:
    """Return how often each kind of step must run: an edit of the training brings both."""
    return Counter(name.partition("/")[2] for name in after if before[name] != after[name])


def assert_state_is_whole(repository: Repository) -> None:
    """Check the state file with SQLite's own look at every page, and that it reads as JSON."""
    with contextlib.closing(sqlite3.connect(repository.path / "build/state.db")) as connection:
        assert [("ok",)] == connection.execute("pragma integrity_check").fetchall()
        rows: list[tuple[Any, ...]] = connection.execute("select data from task").fetchall()
    assert {dict} == {type(json.loads(data)) for (data,) in rows}
