"""Attempts at a step that runs away from here: tried again by who sent it, with its checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tasks import discover, remote, results, store
from tasks.places import Ended, On
from tasks.plan import Step
from tasks.shared import shared
from tasks.snapshot import STATE_FILE
from tasks.state import State
from tests.assertions import wait_until
from tests.crashing import processes_of
from tests.test_retries import MODEL, RUN, told, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks.places import Request
    from tests.conftest import Repository


OFTEN = """
import sys
from tasks import travelling, worker

travelling.PAUSE_SECONDS = 0.1
sys.exit(worker.main(sys.argv[1:]))
"""


class Attic:
    """A place for tests: workers on this machine, in a folder of their own.

    `ends` says of each worker by which signal it is ended when its model waits, and which reason
    the place gives then.
    """

    name = "attic"

    def __init__(self, folder: Path, *ends: tuple[int, str]) -> None:
        self.folder, self.ends = folder, list(ends)
        self.submitted: list[list[str]] = []

    def submit(self, request: Request) -> Worker:
        """Start a worker."""
        self.submitted.append(request.words)
        self.folder.mkdir(exist_ok=True)
        number, reason = self.ends.pop(0) if self.ends else (0, "")
        variables = {**os.environ, "TMPDIR": str(self.folder), "MODEL_STORE": request.store}
        command = [sys.executable, "-c", OFTEN, *request.words[2:]]
        return Worker(command, self.folder, variables, number, reason)


class Worker:
    """A worker, and how it is ended."""

    def __init__(
        self, command: list[str], folder: Path, variables: dict[str, str], number: int, reason: str
    ) -> None:
        self.process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=subprocess.PIPE, start_new_session=True
        )
        self.folder, self.number, self.reason = folder, number, reason

    def follow(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> Ended:
        """Hand on what it prints, and end it as it is to be ended."""
        stream = self.process.stdout
        assert stream
        with stream:
            os.set_blocking(stream.fileno(), False)
            while self.process.poll() is None:
                write(stream.read() or b"")
                tick()
                if self.number and self._waits():
                    self.process.send_signal(self.number)
                    self.number = 0
                time.sleep(0.05)
            write(stream.read() or b"")
        return Ended(self.process.returncode == 0, self.reason)

    def _waits(self) -> bool:
        """Return whether its model waits, and what it has left so far is in the store."""
        stored = (self.folder / "../shared/checkpoints").glob("*/*")
        return any(epochs_in(path) == b"3" for path in stored)

    def cancel(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def epochs_in(path: Path) -> bytes:
    """Return how many epochs a stored checkpoint is of, nothing while the first is written."""
    with tarfile.open(path) as archive:
        file = archive.extractfile("epochs") if "epochs" in archive.getnames() else None
        return file.read() if file else b""


@pytest.fixture
def stored(here: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Return an empty repository with a store that others reach too."""
    monkeypatch.setenv("MODEL_STORE", str(here.path / "../shared"))
    shared.cache_clear()
    yield here
    shared.cache_clear()


def checkpoints(repository: Repository) -> list[Path]:
    """Return the checkpoints in the store."""
    return list((repository.path / "../shared/checkpoints").glob("*/*"))


def training() -> Step:
    """Return the training of the model."""
    return Step(discover.read_model(f"model_definitions/{MODEL}", State(STATE_FILE).files), "train")


def test_preempted(stored: Repository) -> None:
    """A worker that is asked to go leaves its checkpoint in the store; the next goes on from it."""
    told(stored, "wait 3", retries=1)
    attic = Attic(stored.path / "../attic", (signal.SIGTERM, "preempted"))

    outcome, alerts = train(On("attic", elsewhere=attic))

    assert outcome, alerts
    assert "second attempt, from a checkpoint" == outcome.message
    assert alerts[0].startswith("first attempt: its machine was taken away (")
    assert "goes on from 3\nepoch 4\nepoch 5\nepoch 6\n" == stored.read(f"{RUN}/run.log")
    assert (2, True) == tuple(stored.json(f"{RUN}/run.json")[k] for k in ("attempts", "resumed"))
    assert [2, 4] == [len(words[2:]) + 1 for words in attic.submitted]
    assert [] == checkpoints(stored)
    assert {} == processes_of(attic.folder)


def test_attempts_are_not_multiplied(stored: Repository) -> None:
    """A worker tries once and says why it failed; its timeout is its own."""
    told(stored, *["wait 0"] * 4, automation={"training": {"retries": 1, "timeout": 1}})
    attic = Attic(stored.path / "../attic")

    outcome, (alert, error) = train(On("attic", elsewhere=attic))

    assert outcome is None
    assert alert.startswith("first attempt: it took too long (The train step of model")
    assert "took longer than 1 s" in error
    assert "hint: raise `automation.training.timeout`" in error
    assert 2 == len(attic.submitted)
    assert ["wait 0"] * 2 == stored.read("../script").splitlines()


def test_a_worker_that_does_not_keep_to_its_time(
    stored: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that goes on long after its time is ended from here."""
    monkeypatch.setattr(remote, "GRACE_SECONDS", -1.5)
    told(stored, "wait 0", timeout=2)
    attic = Attic(stored.path / "../attic")

    outcome, (error,) = train(On("attic", elsewhere=attic))

    assert outcome is None
    assert "took longer than 2 s" in error
    assert wait_until(lambda: not processes_of(attic.folder))


def test_made_again_where_it_was_forgotten(stored: Repository) -> None:
    """A result that was forgotten here is made anew there, although the store still has it."""
    told(stored)
    attic = Attic(stored.path / "../attic")
    on = On("attic", elsewhere=attic)
    assert train(on)[0]
    first = stored.json(f"{RUN}/run.json")
    store.forget(training(), State(STATE_FILE))
    results.remove(training(), print)

    outcome, alerts = train(on)

    assert outcome, alerts
    assert "ran" == outcome.state
    assert first["started"] <= stored.json(f"{RUN}/run.json")["started"]
    assert [False, True] == ["--force" in words for words in attic.submitted]


def test_checkpoint_on_which_a_model_fails(stored: Repository) -> None:
    """One that it does not get beyond may be why: it is offered to nobody else."""
    told(stored, "raise 3", "raise 0")
    on = On("attic", elsewhere=Attic(stored.path / "../attic"))
    counts = []
    for _ in range(2):
        outcome, _ = train(on)
        assert outcome is None
        counts.append(len(checkpoints(stored)))

    assert [1, 0] == counts


def test_checkpoint_that_is_dropped(stored: Repository) -> None:
    """With the result, the checkpoint in the store goes; that it cannot be reached is told."""
    told(stored, "raise 3")
    said: list[str] = []

    outcome, (error,) = train(On("attic", elsewhere=Attic(stored.path / "../attic")))

    assert outcome is None
    assert 1 == error.count("\n  kept ")
    assert "\n  checkpoint " not in error
    assert 1 == len(checkpoints(stored))

    to = shared()
    assert to
    to.trouble = "no answer"
    results.remove(training(), said.append)
    assert 1 == len(checkpoints(stored))
    assert said.pop().startswith(f"warning: the checkpoint of train:{MODEL} stays in the store")

    to.trouble = ""
    results.remove(training(), said.append)
    assert [] == checkpoints(stored) == said


def test_compared_with_itself(stored: Repository) -> None:
    """That cannot be done elsewhere, which is told before anything runs."""
    told(stored)
    attic = Attic(stored.path / "../attic")

    outcome, (error,) = train(On("attic", elsewhere=attic), twice=True)

    assert outcome is None
    assert "compares runs on one machine" in error
    assert "hint: add `--on local`" in error
    assert [] == attic.submitted


def test_lost(stored: Repository) -> None:
    """What was put into the store while the step ran is there when its machine is gone."""
    told(stored, "wait 3", retries=1)
    attic = Attic(stored.path / "../attic", (signal.SIGKILL, ""))

    outcome, alerts = train(On("attic", elsewhere=attic))

    assert outcome, alerts
    assert alerts[0].startswith("first attempt: it was lost (")
    assert "goes on from 3\n" in stored.read(f"{RUN}/run.log")


def test_one_that_was_tampered_with(stored: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model that failed has left is gone on from if whoever put it there has signed it."""
    monkeypatch.setenv("MODEL_STORE_KEY", "hush hush")
    shared.cache_clear()
    told(stored, "raise 3", retries=3)
    attic = Attic(stored.path / "../attic")

    outcome, (error,) = train(On("attic", elsewhere=attic))

    assert outcome is None
    assert "ValueError: as told" in error
    (path,) = checkpoints(stored)
    data = path.read_bytes()
    path.write_bytes(data[:-33] + b"x" + data[-32:])

    outcome, (alert,) = train(On("attic", elsewhere=attic))

    assert outcome
    assert "it is not signed with MODEL_STORE_KEY, or is not what was stored" in alert
    assert "goes on from 0\n" in stored.read(f"{RUN}/run.log")
