"""`doit serve` and the clients of others: tritonclient, MLflow's own, and schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import TIMEOUT_SECONDS, Repository, ask
from tests.serving import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "adds-up"
ABOUT = {"id": "00000000-0000-4000-8000-000000000062", "name": "Adds Up", "language": "python"}
SAMPLE = {"data": {"names": ["first", "second"], "ndarray": [[3, 1], [0.5, 2]]}}
FILES = {
    "model.json": ABOUT,
    "datasets/train.json": {},
    "datasets/evaluate.json": {},
    "samples/data.json": SAMPLE,
    "model_modules/__init__.py": "",
    "model_modules/training.py": """\
def train(data_conf, model_conf, **kwargs):
    with open("models/weight.txt", "w") as file:
        file.write("10")
""",
    "model_modules/evaluation.py": """\
def evaluate(data_conf, model_conf, **kwargs):
    return {"accuracy": 1}
""",
    "model_modules/scoring.py": """\
class ModelScorer:
    def __init__(self, config=None):
        with open("models/weight.txt") as file:
            self.weight = int(file.read())

    def predict(self, data):
        return [(first or 0) + self.weight * (second or 0) for first, second in data]
""",
}
PREDICTED = [13.0, 20.5]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
"""What schemathesis looks at.  Not whether all that fits the document is accepted: that a tensor's
shape and its data go together, or the lines of a CSV, a schema cannot say."""

TRITON = """
import json, sys
import numpy
from tritonclient import http
from tritonclient.utils import InferenceServerException

client, model = http.InferenceServerClient(sys.argv[1]), sys.argv[2]
rows = numpy.array([[3, 1], [0.5, 2]])


def infer(name, *, binary, outputs=None):
    asked = http.InferInput("input", list(rows.shape), "FP64")
    asked.set_data_from_numpy(rows, binary_data=binary)
    found = client.infer(name, [asked], outputs=outputs, request_id="by-triton")
    return {**found.get_response(), "values": found.as_numpy("output").tolist()}


try:
    refused = infer("nobody", binary=True)
except InferenceServerException as error:
    refused = [error.status(), error.message()]
print(json.dumps({
    "live": client.is_server_live(),
    "ready": [client.is_server_ready(), client.is_model_ready(model)],
    "server": client.get_server_metadata(),
    "model": client.get_model_metadata(model),
    "json": infer(model, binary=False, outputs=[http.InferRequestedOutput("output", False)]),
    "binary": infer(model, binary=True),
    "refused": refused,
}))
"""

MLFLOW = """
import json, sys
import pandas
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

client = ScoringServerClient("127.0.0.1", sys.argv[1])
client.wait_server_ready(timeout=10)
rows = pandas.DataFrame({"second": [1, 2], "first": [3, 0.5]})
asked = {"frame": rows, "array": rows[["first", "second"]].to_numpy()}
found = {name: client.invoke(data).get_predictions() for name, data in asked.items()}
try:
    client.invoke(rows.rename(columns={"first": "fist"}))
except Exception as error:
    refused = str(error)
print(json.dumps({
    **{name: frame[0].tolist() for name, frame in found.items()},
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment that has the clients of others."""
    folder = tmp_path_factory.mktemp("clients")
    packages = [
        "tritonclient[http]>=2.50",
        "mlflow-skinny>=3",
        "pandas",
        "schemathesis>=4",
        "scipy",
    ]
    for words in (
        ["venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "--python", str(folder / "bin/python"), *packages],
    ):
        subprocess.run([sys.executable, "-m", "uv", *words], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Server]:
    """Return a server of a model that adds up, trained by doit."""
    repository = Repository(tmp_path_factory.mktemp("serving") / "repository", cache)
    for path, text in FILES.items():
        repository.write(f"model_definitions/{MODEL}/{path}", text)
    with serving(repository, MODEL) as found:
        yield found


def test_tritonclient(server: Server, clients: Path) -> None:
    """It finds the model and its tensors, and has answers to both kinds of tensors."""
    found = ask(str(clients / "python"), TRITON, f"127.0.0.1:{server.port}", MODEL)

    assert (True, [True, True]) == (found["live"], found["ready"])
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert (MODEL, [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]) == (
        found["model"]["name"],
        found["model"]["inputs"],
    )
    assert [{"name": "output", "datatype": "FP64", "shape": [-1, 1]}] == found["model"]["outputs"]
    (version,) = found["model"]["versions"]
    for kind in ("json", "binary"):
        answer = found[kind]
        assert [[one] for one in PREDICTED] == answer["values"]
        assert (MODEL, version, "by-triton") == (
            answer["model_name"],
            answer["model_version"],
            answer["id"],
        )
    assert "data" in found["json"]["outputs"][0]
    assert 16 == found["binary"]["outputs"][0]["parameters"]["binary_data_size"]
    status, message = found["refused"]
    assert "404" in status
    assert f"`{MODEL}`" in message


def test_the_client_of_mlflow(server: Server, clients: Path) -> None:
    """It sees that the server is there, and sends frames and arrays as to a server of MLflow."""
    found = ask(str(clients / "python"), MLFLOW, str(server.port))

    assert PREDICTED == found["frame"]
    assert PREDICTED == found["array"]
    assert "422" in found["refused"]
    assert "did you mean `first`" in found["refused"]


def test_the_document_is_kept(server: Server, clients: Path, tmp_path: Path) -> None:
    """Nothing that is made up from the OpenAPI document is answered otherwise than it says."""
    report = tmp_path / "report.json"
    command = [
        str(clients / "schemathesis"), "run", f"http://127.0.0.1:{server.port}/openapi.json",
        "--checks", ",".join(CHECKS), "--max-examples", "20", "--seed", "1", "--no-color",
        "--report-json-path", str(report),
    ]  # fmt: skip

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
    )

    assert 0 == done.returncode, done.stdout
    assert "/v2/models/adds-up/infer" in json.dumps(json.loads(report.read_text()))
