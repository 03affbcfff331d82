"""Three models that are edited, built, disturbed, and held against what they must be.

Every model writes what it was made from into what it makes, so that a result can be held against
its own record and against the inputs, by code that shares nothing with the build system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.crash.amounts import SEED
from tests.crashing import processes_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

MODELS = ("ant", "bee", "cow")
PARTS = 5

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
            self.repository.write(
                f"{folder}/model.json", {**document, "language": "python", "keyBy": "bytes"}
            )
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


def evaluated(repository: Repository) -> Inputs:
    """Return the three models, in a repository where each has been evaluated once."""
    found = Inputs(repository, random.Random(SEED))
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


def steps_between(before: dict[str, str], after: dict[str, str]) -> Counter[str]:
    """Return how often each kind of step must run: an edit of the training brings both."""
    return Counter(name.partition("/")[2] for name in after if before[name] != after[name])


def assert_state_is_whole(repository: Repository) -> None:
    """Check the state file with SQLite's own look at every page, and that it reads as JSON."""
    with contextlib.closing(sqlite3.connect(repository.path / "build/state.db")) as connection:
        assert [("ok",)] == connection.execute("pragma integrity_check").fetchall()
        rows: list[tuple[Any, ...]] = connection.execute("select data from task").fetchall()
    assert {dict} == {type(json.loads(data)) for (data,) in rows}
