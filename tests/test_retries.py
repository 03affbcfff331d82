"""Attempts at a step: which are made again, how long one may take, and what is told of them."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tasks import discover, execute, processes, retries
from tasks.errors import UserError
from tasks.places import HERE
from tasks.plan import Step
from tasks.progress import Activity
from tasks.snapshot import STATE_FILE
from tasks.state import State
from tasks.validate import check
from tests.assertions import wait_until
from tests.crashing import processes_of

if TYPE_CHECKING:
    from tasks.places import On
    from tests.conftest import Repository

MODEL = "ends-as-told"
RUN = f"build/models/{MODEL}/train"
FAILED = f"build/failed/{MODEL}/train"


def told(repository: Repository, *script: str, **settings: object) -> None:
    """Add the model, with what its attempts are to do and more keys in `model.json`."""
    repository.add(MODEL)
    path = f"model_definitions/{MODEL}/model.json"
    repository.write(path, {**repository.json(path), **settings})
    script_path = repository.write("../script", "\n".join(script))
    dataset = {"script": str(script_path)}
    repository.write(f"model_definitions/{MODEL}/datasets/train.json", dataset)


def train(
    on: On = HERE, *, force: bool = False, twice: bool = False
) -> tuple[execute.Outcome | None, list[str]]:
    """Train the model; return what came of it, and what was told: alerts, then the error."""
    state, activity = State(STATE_FILE), Activity()
    step = Step(discover.read_model(f"model_definitions/{MODEL}", state.files), "train")
    try:
        outcome = execute.run_step(step, state, activity, on, force=force, twice=twice)
    except UserError as error:
        return None, [*activity.alerts, str(error)]
    return outcome, [*activity.alerts]


def test_a_second_attempt(repository: Repository) -> None:
    """A process that is lost is started again; its log is kept, and it is told."""
    told(repository, "kill 3", retries=2, automation={"training": {"retries": 1}})

    done = repository.doit(f"train:{MODEL}")

    assert (0, "") == (done.returncode, done.stderr)
    said = done.stdout
    assert "first attempt: it was lost (The train step of model `ends-as-told` ended" in said
    assert "tried again in 1 s" in said
    assert "second attempt, from a checkpoint" in said
    run = repository.json(f"{RUN}/run.json")
    assert (2, True) == (run["attempts"], run["resumed"])
    assert "epoch 3\n" in repository.read(f"{RUN}/logs/attempt-1.log")
    assert "goes on from 3\nepoch 4\nepoch 5\nepoch 6\n" == repository.read(f"{RUN}/run.log")
    assert ["models/model.txt"] == list(repository.json(f"{RUN}/artefacts.json")["files"])
    assert "up to date" in repository.doit(f"train:{MODEL}").stdout
    assert not (repository.path / FAILED).exists()
    assert not list((repository.path / "build/checkpoints").rglob("files"))


def test_too_many(here: Repository) -> None:
    """The last error is told when no attempt is left, and the logs of all are kept."""
    told(here, "memory 1", "exit 2", "raise 3", "raise 4", retries=2, retryOn=["oom", "error"])

    outcome, (first, second, error) = train()

    assert outcome is None
    assert first.startswith("first attempt: memory ran out (")
    assert second.startswith("second attempt: it failed (The train step of model `ends-as-told`")
    assert "failed to train: ValueError: as told" in error
    assert f"checkpoint  build/checkpoints/{MODEL}/train/" in error
    assert "epoch 3\n" in here.read(f"{FAILED}/run.log")
    assert "epoch 1\n" in here.read(f"{FAILED}/earlier/attempt-1.log")
    assert "epoch 2\n" in here.read(f"{FAILED}/earlier/attempt-2.log")
    assert "raise 4" == here.read("../script")


def test_not_again(here: Repository) -> None:
    """A model's own exception comes again: it is not tried where nothing is said."""
    told(here, "raise 1", retries=5)

    outcome, (error,) = train()

    assert outcome is None
    assert "ValueError: as told" in error


def test_timeouts(here: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that takes too long is asked to end, then killed; told is which key to raise."""
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    settings = {"training": {"timeout": 3, "retries": 1}}
    told(here, "stubborn 2", "kindly 4", automation=settings)

    outcome, (alert, error) = train()

    assert outcome is None
    headline = f"The train step of model `{MODEL}` was ended: it took longer than 3 s"
    assert alert.startswith(f"first attempt: it took too long ({headline})")
    assert error.startswith(headline)
    assert f"hint: raise `automation.training.timeout` in model_definitions/{MODEL}/model." in error
    assert "well, then" in error
    assert "not yet" in here.read(f"{FAILED}/earlier/attempt-1.log")
    assert "goes on from 2\nepoch 3\nepoch 4\n" in here.read(f"{FAILED}/run.log")
    assert {} == processes_of(here.path)


def test_interrupted_between_attempts(repository: Repository) -> None:
    """Ctrl-C ends the wait for the next attempt, and none is made."""
    told(repository, *["kill 0"] * 9, retries=9)
    process = repository.start(f"train:{MODEL}")
    assert wait_until(lambda: 6 == len(repository.read("../script").splitlines()))

    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    said = process.communicate(timeout=20)[0]

    assert 130 == process.returncode, said
    assert time.monotonic() - began < 3
    assert 6 == len(repository.read("../script").splitlines())


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, (0, retries.RETRIED, None, "timeout")),
        ({"retries": 2, "timeout": 5}, (2, retries.RETRIED, 5, "timeout")),
        (
            {
                "retries": 2, "timeout": 5, "retryOn": ["oom"],
                "automation": {"training": {"retries": 0, "timeout": 0.5, "retryOn": []}},
            },
            (0, frozenset(), 0.5, "automation.training.timeout"),
        ),
        (
            {"automation": {"evaluation": {"retries": 3, "timeout": 7}}},
            (0, retries.RETRIED, None, "timeout"),
        ),
    ],
)  # fmt: skip
def test_what_counts(document: dict[str, Any], expected: tuple[object, ...]) -> None:
    """What is said of a step itself goes before what is said of all; other steps say nothing."""
    found = retries.of(document, "train")

    assert expected == (found.retries, found.reasons, found.timeout, found.timeout_key)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("retries", -1, "expected a whole number, 0 or more, found the number `-1`"),
        ("retries", True, "expected a whole number, 0 or more, found `true`"),
        ("timeout", 0, "expected a number of seconds above 0, found the number `0`"),
        ("timeout", "2h", "expected a number of seconds above 0, found the string `2h`"),
        ("retryOn", "oom", "expected a list of `oom`, `preempted`, `lost`, `timeout` or `error`"),
        ("retryOn", ["omm"], "expected `oom`, `preempted`, `lost`, `timeout` or `error`, found"),
    ],
)
def test_faults(key: str, value: object, expected: str) -> None:
    """What is wrong is said with the path of its key, wherever it stands."""
    base = {"id": "1", "name": "n", "language": "python"}
    for way, document in (
        (key, {**base, key: value}),
        (f"automation.evaluation.{key}", {**base, "automation": {"evaluation": {key: value}}}),
    ):
        (fault,) = check("model", json.dumps(document), "model.json").faults
        assert way == fault.key.partition("[")[0]
        assert expected in fault.message


def test_pauses() -> None:
    """The longer it goes wrong the longer the pause, up to a minute."""
    assert [1, 2, 4, 8, 16, 32, 60, 60] == [retries.pause(number) for number in range(1, 9)]
