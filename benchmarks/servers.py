"""The servers that `serving.py` compares: one model, each in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Contender, doit, progress, variables
from trained import COLUMNS, MODEL, ROWS, Trained, environment, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MLFLOW, FASTAPI, OURS = "MLflow", "FastAPI", "doit serve"
NUMERIC = ("numpy", "scikit-learn", "xgboost-cpu", "xgboost")
GATEWAY = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec")
READY_SECONDS = 300
END_SECONDS = 20

APP = f"""\
import numpy as np
from fastapi import FastAPI
from model_modules.scoring import ModelScorer
from pydantic import BaseModel


class Data(BaseModel):
    names: list[str] | None = None
    ndarray: list[list[float]]


class Body(BaseModel):
    data: Data


api = FastAPI()
scorer = ModelScorer()


@api.post("/predict")
async def predict(body: Body):
    return {{"data": {{"names": [], "ndarray": scorer.predict(body.data.ndarray).tolist()}}}}


async def app(scope, receive, send):
    if scope.get("path") != "/tensor":
        return await api(scope, receive, send)
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message["body"])
        more = message["more_body"]
    rows = np.frombuffer(b"".join(parts)).reshape(-1, {len(COLUMNS)})
    answer = scorer.predict(rows).tobytes()
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": answer}})
"""

SAVE = f"""\
import mlflow
import numpy as np
import pandas as pd
from model_modules.scoring import ModelScorer


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.scorer = ModelScorer()

    def predict(self, context, model_input, params=None):
        return self.scorer.predict(model_input)


rows = pd.DataFrame(np.fromfile({ROWS!r}).reshape(-1, {len(COLUMNS)}), columns={COLUMNS!r})
mlflow.pyfunc.save_model(
    "saved",
    python_model=Served(),
    code_paths=["model_modules"],
    pip_requirements=[],
    signature=mlflow.models.infer_signature(rows, ModelScorer().predict(rows)),
)
"""


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
    """Serve the model by MLflow, with a signature, by which it checks requests as the others do."""
    python = environment(trained, MLFLOW, "mlflow>=3")
    print(f"{MLFLOW}: {versions(python, ('mlflow', 'uvicorn', 'fastapi', *NUMERIC))}")
    save = [python, "-c", SAVE]
    Contender("", save, trained.work, env=variables(trained.folder)).run()
    port = _free_port()
    command = [str(Path(python).with_name("mlflow")), "models", "serve", "-m", "saved"]
    command += ["--env-manager", "local", "--workers", "1", "-p", str(port)]
    with _started(command, trained.work, port, "/ping") as (pid, url):
        yield Server(MLFLOW, pid, url, "/invocations", MLFLOW_BODY)


@contextlib.contextmanager
def fastapi(trained: Trained) -> Iterator[Server]:
    """Serve the model by an application of FastAPI, as it is written in a minute.

    `/tensor` goes past FastAPI: what is left is uvicorn and `predict`.
    """
    python = environment(trained, FASTAPI, "fastapi", "uvicorn[standard]")
    names = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", *NUMERIC)
    print(f"{FASTAPI}: {versions(python, names)}")
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
    print(f"{OURS}: worker: {versions(trained.python, NUMERIC)}\n", flush=True)
    port = _free_port()
    command = doit(f"serve:{MODEL}", "--port", str(port))
    with _started(command, trained.folder, port, "/health/ready") as (pid, url):
        yield Server(OURS, pid, url, f"/models/{MODEL}/predict", OUR_BODY)


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
