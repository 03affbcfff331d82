"""Steps on the workers of a Dask cluster: a real scheduler and real workers, on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import discover
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.places import dask, dask_client
from tasks.plan import Step
from tests.assertions import wait_until
from tests.conftest import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINING = """
import os, time

def train(data_conf, model_conf, **kwargs):
    print("training on", sum(map(int, open(data_conf["url"]))), flush=True)
    kwargs["progress_callback_handler"](epoc=1, epocs=2)
    name, notes = model_conf["hyperParameters"]["name"], os.environ.get("NOTES")
    if notes:  # on a worker: say which process this is, and wait until it may go on
        with open(f"{notes}/{name}", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while not os.path.exists(f"{notes}/{name} may end"):
            time.sleep(0.05)
    with open("models/sum", "w") as file:
        file.write("six")
"""
EVALUATION = """
def evaluate(data_conf, model_conf, **kwargs):
    return {"length": len(open("models/sum").read())}
"""
PATIENCE = 60.0


def is_there(process: int) -> bool:
    """Return whether a process runs."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(process: int) -> int:
    """Return the process that has started a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("\nPPid:\t")[2].split("\n")[0])


@dataclass
class Cluster:
    """A scheduler of Dask and its workers; `notes` is where models say that they train."""

    folder: Path
    cache: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the scheduler is."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def notes(self) -> Path:
        """The folder that models write into."""
        return self.folder / "notes"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of workers."""
        return self.folder / "scratch"

    def start(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a part of Dask, and wait until it is ready."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MODEL_", "DASK_"))}
        ours = {"NOTES": str(self.notes), "TMPDIR": str(self.scratch)}
        env = {**kept, "MODEL_CACHE": str(self.cache), **ours, **variables}
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--no-dashboard"],
                cwd=self.folder, env=env, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.processes.append(process)
        ready = ("Registered to", "Scheduler at:")
        assert wait_until(lambda: any(text in log.read_text() for text in ready)), name
        return process

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler; it has a step tried twice at most."""
        words = ("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        return self.start("scheduler", *words, **failures)

    def start_worker(self, name: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        words = ("worker", self.address, "--name", name, "--nthreads", "1", *words)
        here = ("--host", "127.0.0.1", "--local-directory", str(self.folder))
        return self.start(name, *words, *here, **variables)

    def trains(self, name: str, times: int = 1) -> int:
        """Wait until a model trains for the nth time, and return its process."""
        file = self.notes / name
        assert wait_until(lambda: file.exists() and len(file.read_text().split()) >= times), name
        return int(file.read_text().split()[-1])

    def let_end(self, *names: str) -> None:
        """Let models end that train."""
        for name in names:
            (self.notes / f"{name} may end").touch()


@contextlib.contextmanager
def cluster(folder: Path, cache: Path) -> Iterator[Cluster]:
    """Give a cluster that has a scheduler; all of it has ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Cluster(folder, cache, free.getsockname()[1])
    made.notes.mkdir(parents=True)
    made.scratch.mkdir()
    try:
        made.start_scheduler()
        yield made
    finally:
        for process in reversed(made.processes):  # the scheduler last: workers take leave of it
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(PATIENCE)
    assert wait_until(lambda: not list(made.scratch.glob("modelmake-*")))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Cluster]:
    """Return a cluster with two workers."""
    with cluster(tmp_path_factory.mktemp("pool"), cache) as made:
        for name in ("alpha", "beta"):
            made.start_worker(name, "--resources", "CPU=2 MEMORY=2e9")
        yield made


def write_model(repository: Repository, name: str) -> None:
    """Write a model into a repository."""
    model = f"model_definitions/{name}"
    repository.write(f"{model}/model.json", {"id": name, "name": name, "language": "python"})
    repository.write(f"{model}/config.json", {"hyperParameters": {"name": name}})
    repository.write(f"{model}/datasets/train.json", {"url": "../data/numbers"})
    repository.write(f"{model}/model_modules/__init__.py", "")
    repository.write(f"{model}/model_modules/training.py", TRAINING)
    repository.write(f"{model}/model_modules/evaluation.py", EVALUATION)
    repository.write("../data/numbers", "1\n2\n3\n")


def variables(repository: Repository, pool: Cluster) -> dict[str, str]:
    """Return the variables of doit for a cluster."""
    store = str(repository.path.parent / "shared store")
    return {"MODEL_STORE": store, "MODEL_DASK_SCHEDULER": pool.address}


def start(repository: Repository, pool: Cluster, *words: str) -> subprocess.Popen[str]:
    """Start doit with its steps on a cluster."""
    return repository.start("run", *words, "--on", "dask", **variables(repository, pool))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until doit ends; return its exit status and what it printed."""
    printed, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, printed


def hear(repository: Repository, times: int = 1) -> None:
    """Wait until what the model prints has come to who waits for it, the nth time."""
    assert wait_until(lambda: times == log_of(repository).count("training on"))


def log_of(repository: Repository) -> str:
    """Return what was printed of the step that a repository waits for."""
    return "".join(log.read_text() for log in repository.path.glob("build/runs/*/run.log"))


def test_the_same_here_and_there(repository: Repository, pool: Cluster) -> None:
    """A model that was trained on a worker is the one that is trained here."""
    write_model(repository, "same")
    pool.let_end("same")
    assert 0 == repository.doit("run", "train:same", "--on", "local").returncode
    artefacts = "build/models/same/train/artefacts.json"
    local = repository.read(artefacts)

    done = repository.doit(
        "run", "-a", "evaluate:same", "--on", "dask", **variables(repository, pool)
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "" == done.stderr
    assert local == repository.read(artefacts)
    for step in ("train", "evaluate"):
        where = repository.json(f"build/models/same/{step}/run.json")["where"]
        assert where["place"] == "dask"
        assert where["worker"] in {"alpha", "beta"}
    assert 3 == repository.json("build/models/same/evaluate/metrics.json")["metrics"]["length"]
    assert "training on 6\n" == repository.read("build/models/same/train/run.log")


def test_the_doctor_sees_it(repository: Repository, pool: Cluster) -> None:
    """It tells of the scheduler and how many workers it has."""
    write_model(repository, "seen")
    repository.write("pyproject.toml", '[tool.modelmake.profiles.default]\non = "dask"\n')

    done = repository.doit("doctor", **variables(repository, pool))

    assert f"{pool.address} answers, with 2 workers" in done.stdout


def test_two_at_once(repository: Repository, pool: Cluster) -> None:
    """Two steps run on two workers at once."""
    write_model(repository, "one")
    write_model(repository, "two")
    doit = start(repository, pool, "-n", "2", "train:one", "train:two")
    pool.trains("one")
    pool.trains("two")
    pool.let_end("one", "two")

    status, printed = ended(doit)

    assert 0 == status, printed
    records = [repository.json(f"build/models/{name}/train/run.json") for name in ("one", "two")]
    assert {"alpha", "beta"} == {record["where"]["worker"] for record in records}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends(repository: Repository, pool: Cluster, number: signal.Signals) -> None:
    """The step begins again on another worker, and nothing of it goes on where it was."""
    name = f"again-{number}"
    write_model(repository, name)
    doit = start(repository, pool, f"train:{name}")
    first = pool.trains(name)
    carrier = parent_of(first)
    hear(repository)
    os.kill(parent_of(carrier), number)
    assert wait_until(lambda: not is_there(first) and not is_there(carrier)), "nothing is left"
    assert first != pool.trains(name, 2)
    pool.let_end(name)

    status, printed = ended(doit)

    assert 0 == status, printed
    assert "was lost, the step began again on" in printed
    assert "training on 6\n" == repository.read(f"build/models/{name}/train/run.log")


def test_every_worker_is_killed(repository: Repository, pool: Cluster) -> None:
    """A step that takes worker after worker along is given up."""
    write_model(repository, "deadly")
    doit = start(repository, pool, "train:deadly")
    for times in (1, 2):
        model = pool.trains("deadly", times)
        hear(repository, times)
        os.kill(parent_of(parent_of(model)), signal.SIGKILL)

    status, printed = ended(doit)

    assert 1 == status
    assert "The step train:deadly ended on dask without a result" in printed
    assert re.search("the worker (alpha|beta) was lost, the step began again on ", printed)
    assert re.search("the worker (alpha|beta) was lost, the last of 2 that tried", printed)
    assert "training on 6" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_doit_ends(repository: Repository, pool: Cluster, number: signal.Signals) -> None:
    """When doit is interrupted or killed, the step ends too."""
    name = number.name.lower()
    write_model(repository, name)
    doit = start(repository, pool, f"train:{name}")
    model = pool.trains(name)
    carrier = parent_of(model)
    os.killpg(doit.pid, number)
    status, _ = ended(doit)
    assert wait_until(lambda: not is_there(model) and not is_there(carrier)), "nothing is left"
    assert {signal.SIGINT: 130, signal.SIGKILL: -9}[number] == status
    assert not (repository.path / f"build/models/{name}/train").exists()


def test_two_share_a_run(repository: Repository, pool: Cluster) -> None:
    """Two that submit the same step wait for one run, also when one of them leaves."""
    write_model(repository, "shared")
    other = Repository(repository.path.with_name("other"), repository.cache)
    write_model(other, "shared")
    first = start(repository, pool, "train:shared")
    model = pool.trains("shared")
    second = start(other, pool, "train:shared")
    hear(other)
    os.killpg(first.pid, signal.SIGINT)
    assert 130 == ended(first)[0]
    time.sleep(1)
    assert is_there(model)
    pool.let_end("shared")

    status, printed = ended(second)

    assert 0 == status, printed
    assert 1 == len((pool.notes / "shared").read_text().split())


@pytest.fixture
def small(tmp_path: Path, cache: Path) -> Iterator[Cluster]:
    """Return a cluster that has no worker yet."""
    with cluster(tmp_path / "small", cache) as made:
        yield made


def test_the_scheduler_is_killed(repository: Repository, small: Cluster) -> None:
    """That is told, and nothing of the step goes on."""
    scheduler = small.processes[0]
    small.start_worker("gamma")
    write_model(repository, "orphan")
    doit = start(repository, small, "train:orphan")
    model = small.trains("orphan")
    scheduler.kill()

    status, printed = ended(doit)

    assert 1 == status
    assert f"the connection to {small.address} broke" in printed
    assert wait_until(lambda: not is_there(model)), "nothing is left"


def test_workers_that_cannot(repository: Repository, small: Cluster, tmp_path: Path) -> None:
    """A worker without modelmake, with another version, or without the store says so."""
    write_model(repository, "sad")
    hidden, older = tmp_path / "hidden/tasks", tmp_path / "older/modelmake-0.0.9.dist-info"
    for folder in (hidden, older):
        folder.mkdir(parents=True)
    (hidden / "__init__.py").write_text("")
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: modelmake\nVersion: 0.0.9\n")
    cases = {
        "hidden": ({"PYTHONPATH": str(hidden.parent)}, "there is no modelmake"),
        "older": ({"PYTHONPATH": str(older.parent)}, "there is another version of modelmake"),
        "apart": ({"MODEL_STORE": "/proc/nowhere"}, "The store has no such request"),
    }
    for name, (variables, expected) in cases.items():
        worker = small.start_worker(name, "--no-nanny", **variables)

        status, printed = ended(start(repository, small, "train:sad"))

        assert 1 == status
        assert expected in printed
        worker.kill()
        worker.wait()


def test_asked_for_again_while_it_ends(repository: Repository, small: Cluster) -> None:
    """A step that was let go, and is asked for again before it has ended, begins again."""
    small.start_worker("delta", "--no-nanny")
    write_model(repository, "slow")
    other = Repository(repository.path.with_name("other"), repository.cache)
    write_model(other, "slow")
    first = start(repository, small, "train:slow")
    carrier = parent_of(small.trains("slow"))
    os.kill(carrier, signal.SIGSTOP)
    os.killpg(first.pid, signal.SIGKILL)
    ended(first)
    second = start(other, small, "train:slow")
    hear(other)
    os.kill(carrier, signal.SIGCONT)
    small.trains("slow", 2)
    small.let_end("slow")

    status, printed = ended(second)

    assert 0 == status, printed


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([], {}),
        ([{}], {}),
        ([{"CPU": 2.0}, {}], {"CPU": 1.0}),
        ([{"CPU": 1.0, "MEMORY": 1e6}, {"CPU": 1.0, "MEMORY": 1e9}], {"CPU": 1.0, "MEMORY": 3e8}),
        ([{"CPU": 4.0}, {"MEMORY": 1e9}], "asked for     CPU 1, MEMORY 286Mi"),
        ([{"GPU": 1.0}], "asked for     GPU 2"),
    ],
)
def test_resources(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    declared: list[dict[str, float]],
    expected: dict[str, float] | str,
) -> None:
    """A step asks for what some worker declares, and is refused where none has all of that."""
    write_model(repository, "large")
    document = {"id": "large", "name": "large", "language": "python"}
    amounts = {"memory": 300_000_000, "gpu": 2}
    repository.write(
        "model_definitions/large/model.json", {**document, "resources": {"training": amounts}}
    )
    monkeypatch.chdir(repository.path)
    step = Step(discover.read_model("model_definitions/large", Files()), "train")

    if isinstance(expected, str):
        with pytest.raises(UserError) as caught:
            dask.needs(step, list(declared))
        assert expected in str(caught.value)
    else:
        assert expected == dask.needs(step, list(declared))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "foo://127.0.0.1:1", "tcp://127.0.0.1:9", "tcp://127.0.0.1:9/x"]
)
def test_no_scheduler(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """An address that leads nowhere is told."""
    monkeypatch.setenv("MODEL_DASK_SCHEDULER", address)
    monkeypatch.setattr(dask_client, "CONNECT_SECONDS", 1)
    with pytest.raises(UserError, match="cannot be reached") as caught:
        dask.Place().submit(None)  # type: ignore[arg-type] - it comes to nothing
    assert ("scheduler", address) in caught.value.facts
    assert "invalid literal" not in str(caught.value)


def test_a_worker_that_is_killed() -> None:
    """Its step is lost, as here: who has killed it is not known, and memory may be why."""
    ended = dask._judged(-signal.SIGKILL)

    assert (False, "lost") == (ended.ok, ended.reason)
    assert "memory may be too small" in ended.message
    assert "lost" == dask._judged(-signal.SIGTERM).reason


def test_nobody_names_a_scheduler(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is told, and that Dask is not installed."""
    monkeypatch.chdir(repository.path)
    monkeypatch.delenv("MODEL_DASK_SCHEDULER", raising=False)
    with pytest.raises(UserError, match="Nobody says where"):
        dask.Place().submit(None)  # type: ignore[arg-type]
    monkeypatch.setattr(dask_client, "PACKAGE", "distributed_is_not_here")
    with pytest.raises(UserError, match="which is not installed"):
        dask.Place().submit(None)  # type: ignore[arg-type]
