"""The model that `serving.py` measures: trained by doit, loaded alone, its packages elsewhere."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common import RUNNER, Contender, doit, progress, variables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MODEL = "python-xgboost-diabetes"
COLUMNS = ("pregnancies", "glucose", "pressure", "skin", "insulin", "bmi", "pedigree", "age")
ROWS = "rows.float64"

BARE = f"""\
import json, sys, time
import numpy as np
from model_modules.scoring import ModelScorer

scorer = ModelScorer()
rows = np.fromfile({ROWS!r}).reshape(-1, {len(COLUMNS)})
one = rows[:1].tolist()
for line in sys.stdin:
    ask, times = line.split()
    if ask == "answers":
        print(json.dumps(scorer.predict(rows).tolist()), flush=True)
        continue
    given, took = one if ask == "row" else rows, []
    for _ in range(int(times)):
        began = time.perf_counter()
        scorer.predict(given)
        took.append(time.perf_counter() - began)
    print(json.dumps(took), flush=True)
"""


@dataclass(frozen=True)
class Trained:
    """The model as doit made it: its repository, and the record of its training."""

    folder: Path
    record: dict[str, Any]

    @property
    def work(self) -> Path:
        """Where `models/` and `model_modules/` are, and the rows that are asked for."""
        return self.folder / "work"

    @property
    def python(self) -> str:
        """The Python of the model's environment."""
        return f"{self.record['environment']['folder']}/bin/python"


def train(folder: Path, count: int) -> Trained:
    """Train the model in a repository of its own, and write so many rows to ask for."""
    for part in ("envs", "datasets", f"model_definitions/{MODEL}"):
        shutil.copytree(RUNNER / part, folder / part)
    progress("training the model")
    Contender("", doit(f"evaluate:{MODEL}"), folder).run()
    result = folder / f"build/models/{MODEL}/train"
    trained = Trained(folder, json.loads((result / "run.json").read_text(encoding="utf-8")))
    trained.work.mkdir()
    (trained.work / "models").symlink_to(result.resolve() / "models")
    modules = folder / f"model_definitions/{MODEL}/model_modules"
    (trained.work / "model_modules").symlink_to(modules)
    with (folder / "datasets/diabetes-sample.csv").open(encoding="utf-8") as file:
        lines = [list(map(float, line.split(",")[: len(COLUMNS)])) for line in file]
    cells = itertools.chain.from_iterable(itertools.islice(itertools.cycle(lines), count))
    (trained.work / ROWS).write_bytes(array("d", cells).tobytes())
    return trained


class Bare:
    """A process in the model's environment that loads the model, predicts, and does no more."""

    def __init__(self, trained: Trained) -> None:
        """Load it, and predict once."""
        self._process = subprocess.Popen(
            [trained.python, "-c", BARE], cwd=trained.work, env=variables(trained.folder),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self.ask("row", 1)

    def ask(self, what: str, times: int = 0) -> list[float]:
        """Return how long (s) predicting a `row` or the `batch` takes each time, or `answers`."""
        asking, answering = self._process.stdin, self._process.stdout
        if asking is None or answering is None or self._process.poll() is not None:
            sys.exit("the bare model has ended")
        asking.write(f"{what} {times}\n")
        asking.flush()
        return list(json.loads(answering.readline()))

    def end(self) -> None:
        """End it."""
        self._process.communicate()


def environment(trained: Trained, name: str, *packages: str) -> str:
    """Make an environment of these packages and the model's own ones; return its Python."""
    progress(f"making the environment of {name}")
    pins = trained.folder / "pins.txt"
    own = trained.record["environment"]["packages"]
    pins.write_text("".join(f"{one}=={version}\n" for one, version in own.items()))
    python = str(trained.folder / "environments" / name / "bin/python")
    _uv("venv", "--python", trained.python, str(trained.folder / "environments" / name))
    _uv("pip", "install", "--python", python, "-r", str(pins), *packages)
    return python


def versions(python: str, names: Sequence[str]) -> str:
    """Return the versions of Python and of those of these packages that are there."""
    listed = json.loads(_uv("pip", "list", "--format", "json", "--python", python))
    found = {one["name"]: one["version"] for one in listed}
    said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    return ", ".join([said.strip(), *(f"{name} {found[name]}" for name in names if name in found)])


def _uv(*words: str) -> str:
    command = [sys.executable, "-m", "uv", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited with {done.returncode}\n{done.stderr}")
    return done.stdout
