"""The servers that `serving.py` compares: one model, each in an environment of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from array import array
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import RUNNER, Contender, doit, progress, variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODEL = "python-xgboost-diabetes"
COLUMNS = ("pregnancies", "glucose", "pressure", "skin", "insulin", "bmi", "pedigree", "age")
ROWS = "rows.float64"
MLFLOW, FASTAPI, OURS = "MLflow", "FastAPI", "doit serve"
NUMERIC = ("numpy", "scikit-learn", "xgboost-cpu", "xgboost")
GATEWAY = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec")
READY_SECONDS = 300
END_SECONDS = 20

APP = """\
from fastapi import FastAPI
from model_modules.scoring import ModelScorer
from pydantic import BaseModel


class Data(BaseModel):
    names: list[str] | None = None
    ndarray: list[list[float]]


class Body(BaseModel):
    data: Data


app = FastAPI()
scorer = ModelScorer()


@app.post("/predict")
async def predict(body: Body):
    return {"data": {"names": [], "ndarray": scorer.predict(body.data.ndarray).tolist()}}
"""

SAVE = """\
import mlflow


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        from model_modules.scoring import ModelScorer

        self.scorer = ModelScorer()

    def predict(self, context, model_input, params=None):
        return self.scorer.predict(model_input)


mlflow.pyfunc.save_model(
    "saved", python_model=Served(), code_paths=["model_modules"], pip_requirements=[]
)
"""

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


@dataclass(frozen=True)
class Server:
    """A server that answers at `url` + `path`; its body has one `%s`, for a row as JSON."""

    name: str
    pid: int
    url: str
    path: str
    body: str

    def ask(self, row: Sequence[float]) -> Any:  # noqa: ANN401 - JSON is any value
        """Return the answer to a row."""
        body = (self.body % json.dumps(row)).encode()
        request = urllib.request.Request(  # noqa: S310 - a server of this benchmark
            self.url + self.path, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)


OUR_BODY = json.dumps({"data": {"names": COLUMNS, "ndarray": ["%s"]}}).replace('"%s"', "%s")
MLFLOW_BODY = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": ["%s"]}}).replace(
    '"%s"', "%s"
)


@contextlib.contextmanager
def mlflow(trained: Trained) -> Iterator[Server]:
    """Serve the model by MLflow, as one of Python functions."""
    python = _environment(trained, MLFLOW, "mlflow>=3")
    print(f"{MLFLOW}: {_versions(python, ('mlflow', 'uvicorn', 'fastapi', *NUMERIC))}")
    save = [python, "-c", SAVE]
    Contender("", save, trained.work, env=variables(trained.folder)).run()
    port = _free_port()
    command = [str(Path(python).with_name("mlflow")), "models", "serve", "-m", "saved"]
    command += ["--env-manager", "local", "--workers", "1", "-p", str(port)]
    with _started(command, trained.work, port, "/ping") as (pid, url):
        yield Server(MLFLOW, pid, url, "/invocations", MLFLOW_BODY)


@contextlib.contextmanager
def fastapi(trained: Trained) -> Iterator[Server]:
    """Serve the model by an application of FastAPI, as it is written in a minute."""
    python = _environment(trained, FASTAPI, "fastapi", "uvicorn[standard]")
    names = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", *NUMERIC)
    print(f"{FASTAPI}: {_versions(python, names)}")
    (trained.work / "app.py").write_text(APP, encoding="utf-8")
    port = _free_port()
    command = [str(Path(python).with_name("uvicorn")), "app:app", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    with _started(command, trained.work, port, "/openapi.json") as (pid, url):
        yield Server(FASTAPI, pid, url, "/predict", OUR_BODY)


@contextlib.contextmanager
def ours(trained: Trained) -> Iterator[Server]:
    """Serve the model by doit."""
    found = ", ".join(f"{name} {metadata.version(name)}" for name in GATEWAY)
    print(f"{OURS}: gateway: Python {sys.version.split()[0]}, {found}")
    print(f"{OURS}: worker: {_versions(trained.python, NUMERIC)}\n", flush=True)
    port = _free_port()
    command = doit(f"serve:{MODEL}", "--port", str(port))
    with _started(command, trained.folder, port, "/health/ready") as (pid, url):
        yield Server(OURS, pid, url, f"/models/{MODEL}/predict", OUR_BODY)


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


def _environment(trained: Trained, name: str, *packages: str) -> str:
    """Make an environment of these packages and the model's own ones; return its Python."""
    progress(f"making the environment of {name}")
    pins = trained.folder / "pins.txt"
    own = trained.record["environment"]["packages"]
    pins.write_text("".join(f"{one}=={version}\n" for one, version in own.items()))
    python = str(trained.folder / "environments" / name / "bin/python")
    _uv("venv", "--python", trained.python, str(trained.folder / "environments" / name))
    _uv("pip", "install", "--python", python, "-r", str(pins), *packages)
    return python


def _versions(python: str, names: Sequence[str]) -> str:
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def _started(
    command: Sequence[str], folder: Path, port: int, path: str
) -> Iterator[tuple[int, str]]:
    """Start a server, wait until a path of it is answered, and end it afterwards."""
    program = Path(command[0])
    progress(f"starting {program.name}")
    given = {**variables(folder), "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    log = folder / f"{program.name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=given, stdout=file, stderr=file, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(url + path):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{program.name} does not answer\n{log.read_text(errors='replace')}")
            time.sleep(0.2)
        yield process.pid, url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    """Return whether a URL is answered as it should be."""
    try:
        with urllib.request.urlopen(url):  # noqa: S310 - a server of this benchmark
            return True
    except OSError:  # HTTP's errors too
        return False
