"""What a user, a model or the machine can do wrong: what is said, what stands, what works next."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assertions import GALLERY, assert_works, configure, overlay, results, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

FAULTS = sorted(
    path.parent.name
    for path in GALLERY.glob("*/fault.txt")
    if not path.parent.name.startswith("r-")  # in R: test_r_models.py
)
FAILED = 1  # the exit status of doit where a step failed
LOG_BYTES = 10_000_000
MEMORY_KB = 200_000


@pytest.fixture(scope="module")
def trained(shared: Repository) -> Repository:
    """Return a repository with a good model, and its results."""
    name = shared.add("good-python")
    assert_works(shared, name, "20.0")
    return shared


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_told_and_mended(trained: Repository, tmp_path: Path, fault: str) -> None:
    """A fault is told in these words, the earlier result stands, and all is well once mended."""
    repository = trained.copied(tmp_path / "repository")
    definitions = repository.path / "model_definitions"
    (definitions / "good-python").rename(definitions / fault)
    assert_works(repository, fault, "20.0")
    before = results(repository)
    overlay(repository, fault, fault)

    done = repository.doit()

    message = told(repository, done)
    assert message == (GALLERY / fault / "fault.txt").read_text().rstrip("\n")
    assert done.returncode == FAILED
    assert done.stderr == ""
    failed = message.partition(":")[0]
    standing = [f"{fault}/{step}" for step in ("train", "evaluate") if failed in ("train", step)]
    after = results(repository)
    assert [after[step] for step in standing] == [before[step] for step in standing]

    overlay(repository, "good-python", fault)
    configure(repository, fault, factor=3)
    assert_works(repository, fault, "30.0")


@pytest.mark.parametrize(
    ("step", "path", "function", "said"),
    [
        ("train", "train", "train", "there is no {training}"),
        ("train", "training", "trian", "no function `train` in {training}"),
        ("evaluate", "scoring", "eval", "no function `evaluate` in {evaluation}"),
        ("score", "scoring", "scored", "no function `score` and no class `ModelScorer` in {own}"),
    ],
)
def test_a_name_that_is_not_looked_for(
    repository: Repository, step: str, path: str, function: str, said: str
) -> None:
    """A file that is not there is not told as one that lacks a function."""
    name = repository.add("good-python")
    modules = f"model_definitions/{name}/model_modules"
    assert 0 == repository.doit(f"train:{name}").returncode
    for entry in {"train": ["training"], "evaluate": ["evaluation"]}.get(step, []):
        (repository.path / modules / f"{entry}.py").unlink()
    repository.write(f"{modules}/{path}.py", f"def {function}(): 1\n")

    done = repository.doit(f"{step}:{name}")

    training, *others = (
        f"`model_modules/{entry}.py`" for entry in ("training", "evaluation", "evaluate", "scoring")
    )
    expected = said.format(training=training, evaluation=" or ".join(others), own=others[-1])
    meant = f", but `{function}`: did you mean `{step}`?" if function != step else ""
    assert f"  Model `{name}` cannot {step}: {expected}{meant}\n" in done.stdout


def test_a_key_that_is_missing(repository: Repository) -> None:
    """Where `doit check` warns of it the hint says so; where there is no dataset, that."""
    name = repository.add("good-python")
    folder = f"model_definitions/{name}"
    repository.write(f"{folder}/config.json", '{\n  "hyperParametres": {"factor": 2}\n}')
    repository.write(f"{folder}/datasets/train.json", {"data_paht": "data.csv"})

    said = repository.doit(f"train:{name}").stdout
    place = f"hint: `doit check {name}` warns of {folder}"
    assert f"{place}/config.json:2: did you mean `hyperParameters`?\n" in said

    configure(repository, name, factor=2)
    said = repository.doit(f"train:{name}").stdout
    assert f"{place}/datasets/train.json:2: did you mean `data_path`?\n" in said

    (repository.path / folder / "datasets/train.json").unlink()
    said = repository.doit(f"train:{name}").stdout
    none = "hint: the step has no dataset, and is given `{}` as `data_conf`"
    assert f"{none}: {folder}/datasets/train.json makes one\n" in said

    repository.write(f"{folder}/datasets/train.json", {"other": "data.csv"})
    said = repository.doit(f"train:{name}").stdout
    assert "KeyError: 'data_path'" in said
    assert "hint:" not in said


def test_status_of_a_model_that_exits_is_told(repository: Repository) -> None:
    """A training that ends itself with a status of its own has no result."""
    name = repository.add("os-exits-in-train")
    configure(repository, name, status=3)

    done = repository.doit(f"train:{name}")

    assert "ended without a result: it exited with status 3\n" in done.stdout
    assert done.returncode == 1
    assert results(repository) == {}


def test_flood_of_output_is_bounded(repository: Repository) -> None:
    """Of a gigabyte of output the log keeps the beginning and the end, and memory stays flat."""
    name = repository.add("prints-a-lot")
    process, peak = repository.start(), 0

    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max(peak, *map(int, re.findall(r"VmHWM:\s+(\d+)", status)), 0)
        time.sleep(0.01)
    output, _ = process.communicate()

    log = (repository.path / f"build/models/{name}/train/run.log").read_bytes()
    assert process.returncode == 0, output
    assert LOG_BYTES <= len(log) <= LOG_BYTES * 1.01
    assert log.startswith(b"xxx")
    assert b" bytes left out ..." in log
    assert log.endswith(b"x\nthe last line\n")
    assert 0 < peak < MEMORY_KB


def test_strings_that_are_numbers_are_metrics(repository: Repository) -> None:
    """Numbers written as strings count as numbers, and what is none is kept apart."""
    name = repository.add("string-metrics")

    done = repository.doit()

    assert done.returncode == 0
    assert repository.json(f"build/models/{name}/evaluate/metrics.json") == {
        "format": 1,
        "metrics": {"accuracy": 0.73, "share": 95.0},
        "other": {"note": "good", "range": "(0.1, 0.2)"},
    }


@pytest.mark.parametrize("name", ["artifacts/output", "artifacts/input", "model_modules"])
def test_a_folder_in_the_place_of_a_link(repository: Repository, name: str) -> None:
    """A training that clears the way for a folder of its own is told what it has replaced."""
    model = repository.add("no-metrics")
    text = f"import os\ndef train(data_conf, model_conf):\n    os.remove('{name}')\n"
    text += f"    os.mkdir('{name}')\n    open('{name}/model.txt', 'w').write('1')\n"
    repository.write(f"model_definitions/{model}/model_modules/training.py", text)

    done = repository.doit(f"train:{model}")

    assert done.returncode == FAILED
    assert f"  The model put a folder in the place of `{name}`, which it was given\n" in done.stdout
    assert "hint: let it write into models/" in done.stdout


LINKED = """
import os
def train(data_conf, model_conf):
    open("models/best", "w").write("20.0")
    os.symlink(os.path.abspath("models/best"), "models/model.txt")
def evaluate(data_conf, model_conf):
    os.symlink("best", "models/alias")
    open("models/metrics.json", "w").write('{"value": 1}')
"""


def test_links_among_artefacts(repository: Repository) -> None:
    """Each is kept as the file that it leads to: where that was is no place later."""
    name = repository.add("good-python")
    for step in ("training", "evaluation"):
        repository.write(f"model_definitions/{name}/model_modules/{step}.py", LINKED)

    done = repository.doit()

    assert 0 == done.returncode, done.stdout
    assert "nothing to do: 2 steps are up to date\n" == repository.doit().stdout
    for made, expected in (
        ("train/models/model.txt", ["models/best", "models/model.txt"]),
        ("evaluate/models/alias", ["models/alias"]),
    ):
        path = repository.path / f"build/models/{name}/{made}"
        assert (False, "20.0") == (path.is_symlink(), path.read_text())
        left = repository.json(f"build/models/{name}/{made.partition('/')[0]}/artefacts.json")
        assert {*expected} == {*left["files"]} - {"models/metrics.json"}


@pytest.mark.parametrize(
    ("line", "said"),
    [("breakpoint()", "BdbQuit"), ("input()", "EOFError: EOF when reading a line")],
)
def test_nobody_answers(repository: Repository, line: str, said: str) -> None:
    """A step that stops for its debugger, or asks, is told that nobody is there."""
    name = repository.add("good-python")
    text = f"def train(data_conf, model_conf):\n    {line}\n    print()\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", text)

    done = repository.doit(f"train:{name}")

    assert f"Model `{name}` failed to train: {said}\n" in done.stdout
    assert "hint: a step has no terminal" in done.stdout


def test_a_file_that_ends_early_is_nobodys_answer(repository: Repository) -> None:
    """An empty pickle fails in the same way, and has nothing to do with a terminal."""
    name = repository.add("good-python")
    text = "import pickle\ndef train(data_conf, model_conf):\n    pickle.loads(b'')\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", text)

    done = repository.doit(f"train:{name}")

    assert f"Model `{name}` failed to train: EOFError: Ran out of input\n" in done.stdout
    assert "terminal" not in done.stdout


def test_metrics_of_training_are_not_those_of_evaluation(repository: Repository) -> None:
    """An evaluation that writes nothing does not pass with what training wrote."""
    name = repository.add("no-metrics")
    text = 'def train(data_conf, model_conf):\n    open("models/metrics.json", "w").write("{}")\n'
    repository.write(f"model_definitions/{name}/model_modules/training.py", text)

    done = repository.doit()

    assert f"The evaluation of model `{name}` left no metrics\n" in done.stdout
    assert done.returncode == FAILED


def download(repository: Repository, url: str, content: bytes) -> str:
    """Add a model whose data is to be fetched, and return its name."""
    name = repository.add("missing-data-file", "downloads")
    digest = hashlib.sha256(content).hexdigest()
    conf = {"data_path": url, "sha256": digest}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    return name


@contextmanager
def served(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Serve bytes on a port of this machine; yield the address and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def closed_address() -> str:
    """Return an address of this machine where nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_data_out_of_reach_can_come_from_a_folder(repository: Repository) -> None:
    """Without a network the message says the way out, and the way out works."""
    content = os.urandom(100)
    address = closed_address()
    name = download(repository, f"{address}/rows.csv", content)

    done = repository.doit(f"train:{name}")

    conf = f"model_definitions/{name}/datasets/train.json"
    assert told(repository, done).replace(address, "ADDRESS").splitlines() == [
        "train:downloads FAILED",
        f"  `{conf}` names a data file that cannot be fetched",
        "    url     ADDRESS/rows.csv",
        "    reason  [Errno 111] Connection refused",
        "",
        "  hint: put `rows.csv` into a folder and name the folder in `DATASET_MIRROR`",
    ]
    mirror = repository.path / "mirror"
    mirror.mkdir()
    (mirror / "rows.csv").write_bytes(b"others")
    wrong = repository.doit(f"train:{name}", DATASET_MIRROR=str(mirror))
    assert wrong.returncode == 1
    assert f"expected  sha256 {hashlib.sha256(content).hexdigest()}" in wrong.stdout
    assert f"found     sha256 {hashlib.sha256(b'others').hexdigest()}" in wrong.stdout
    (mirror / "rows.csv").write_bytes(content)
    right = repository.doit(f"train:{name}", DATASET_MIRROR=str(mirror))
    assert right.returncode == 0, right.stdout
    made = repository.path / f"build/models/{name}/train/models/model.txt"
    assert made.read_bytes() == content


@pytest.mark.parametrize("rest", ["my rows.csv", "zeil\u00e9.csv"])
def test_an_address_that_is_none(repository: Repository, rest: str) -> None:
    """The doctor finds it among other things, and a step says so."""
    name = download(repository, f"{closed_address()}/{rest}", b"x")

    done, doctor = repository.doit(f"train:{name}"), repository.doit("doctor")

    assert "names a data file that cannot be fetched" in told(repository, done)
    assert "Traceback" not in done.stdout + done.stderr + doctor.stdout + doctor.stderr
    assert rest in doctor.stdout


def test_data_is_fetched_once(repository: Repository) -> None:
    """A download is checked and kept: the server is asked once, and not missed afterwards."""
    content = os.urandom(3_000_000)
    with served(content) as (address, asked):
        name = download(repository, f"{address}/data/rows.csv", content)
        first = repository.doit(f"train:{name}")
    shutil.rmtree(repository.path / "build")
    second = repository.doit(f"train:{name}")

    assert first.returncode == 0, first.stdout
    assert second.returncode == 0, second.stdout
    assert asked == ["/data/rows.csv"]


def test_download_with_another_checksum_is_not_kept(repository: Repository) -> None:
    """A wrong download is refused with both digests, and fetched again the next time."""
    content = os.urandom(100)
    with served(content[::-1]) as (address, asked):
        name = download(repository, f"{address}/rows.csv", content)
        done = [repository.doit(f"train:{name}") for _ in range(2)]

    assert [one.returncode for one in done] == [1, 1]
    assert f"expected  sha256 {hashlib.sha256(content).hexdigest()}" in done[1].stdout
    assert f"found     sha256 {hashlib.sha256(content[::-1]).hexdigest()}" in done[1].stdout
    assert asked == ["/rows.csv", "/rows.csv"]


LEFTOVERS = (".training.py.swp", "training.py~", "#training.py#", ".DS_Store")


def test_leftovers_of_editors_are_no_inputs(repository: Repository) -> None:
    """What an editor leaves beside a file that it has open makes nothing run, and fails nothing."""
    name = repository.add("good-python")
    assert_works(repository, name, "20.0")
    modules = f"model_definitions/{name}/model_modules"

    for leftover in LEFTOVERS:
        repository.write(f"{modules}/{leftover}", "")
    (repository.path / modules / ".#training.py").symlink_to("me@host.1:2")

    assert repository.doit().stdout == "nothing to do: 2 steps are up to date\n"


def test_links_that_lead_in_circles(repository: Repository) -> None:
    """Folders that are linked into each other are read once."""
    name = repository.add("good-python")
    modules = repository.path / f"model_definitions/{name}/model_modules"
    for folder, other in (("a", "b"), ("b", "a")):
        repository.write(f"model_definitions/{name}/model_modules/{folder}/words.txt", folder)
        (modules / folder / "link").symlink_to(f"../{other}")
    (modules / "here").symlink_to(".")

    assert_works(repository, name, "20.0")

    repository.write(f"model_definitions/{name}/model_modules/a/words.txt", "other")
    assert f"train:{name} ok" in repository.doit().stdout


def test_link_that_leads_nowhere(repository: Repository) -> None:
    """A source that cannot be read is named, and stops no other model."""
    name = repository.add("good-python")
    repository.add("framework-folder")
    link = repository.path / f"model_definitions/{name}/model_modules/words.txt"
    link.symlink_to("nowhere")

    done = repository.doit()

    where = f"model_definitions/{name}/model_modules/words.txt"
    assert told(repository, done) == (
        f"train:{name} FAILED\n"
        f"  Model `{name}` cannot be used\n"
        f"      {where}: cannot be read\n"
        "        hint: remove it, or see that it can be read and, where it is a link,"
        " leads somewhere\n\n  hint: `doit check` shows the faults of all models"
    )
    assert f"{where}: cannot be read" in repository.doit("check").stdout
    assert set(results(repository)) == {"framework-folder/train", "framework-folder/evaluate"}
    link.unlink()
    assert_works(repository, name, "20.0")
