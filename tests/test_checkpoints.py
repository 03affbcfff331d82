"""Checkpoints: kept however an attempt ends, offered to the next one of the same inputs alone."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tasks import upkeep
from tasks.results import sweep
from tests.assertions import wait_until
from tests.conftest import ask
from tests.crashing import processes_of
from tests.test_retries import MODEL, RUN, told, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repository

CONFIG = f"model_definitions/{MODEL}/config.json"


def kept(repository: Repository) -> list[Path]:
    """Return the checkpoints that are kept."""
    return sorted((repository.path / "build/checkpoints").rglob("epochs"))


def ended(
    repository: Repository,
    number: int,
    *words: str,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Train to the third epoch, where the model waits, and end the runner by a signal there."""
    process = repository.start(f"train:{MODEL}", *words)

    def waits() -> bool:
        found = (repository.path / "build/runs").glob("*/work/models/checkpoint/epochs")
        return "3" in [path.read_text() for path in found]

    assert wait_until(waits), process.communicate(timeout=5)
    meanwhile()
    if number == signal.SIGKILL:
        os.kill(process.pid, number)
    else:
        os.killpg(process.pid, number)
    process.communicate(timeout=20)
    assert wait_until(lambda: not processes_of(repository.path))


def went_on_from(repository: Repository) -> int:
    """Train to the end, and return the epoch that the training went on from."""
    sweep()
    outcome, alerts = train()
    assert outcome, alerts
    epochs = repository.read(f"{RUN}/run.log").splitlines()
    first = int(epochs[0].removeprefix("goes on from "))
    assert [f"epoch {number}" for number in range(first + 1, 7)] == epochs[1:]
    assert bool(first) == repository.json(f"{RUN}/run.json").get("resumed", False)
    assert ("from a checkpoint" if first else "") == outcome.message
    assert [] == kept(repository)
    return first


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, []), (signal.SIGINT, ["-n", "2"]),
        (signal.SIGTERM, []), (signal.SIGKILL, []),
    ],
)  # fmt: skip
def test_a_runner_that_is_ended(here: Repository, number: signal.Signals, words: list[str]) -> None:
    """By Ctrl-C, by another signal or by kill -9 in the middle: the next one goes on from there."""
    told(here, "wait 3")

    ended(here, number, *words)

    assert 3 == went_on_from(here)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_of_other_inputs(here: Repository, number: signal.Signals) -> None:
    """A checkpoint is for the inputs that it was made from, and for no others."""
    told(here, "wait 3")
    ended(here, number)
    here.write(CONFIG, {"hyperParameters": {"other": 1}})

    assert 0 == went_on_from(here)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_inputs_that_moved_meanwhile(here: Repository, number: signal.Signals) -> None:
    """Where they changed and changed back, nobody could say what it was made from."""
    told(here, "wait 3")
    here.write(CONFIG, {"hyperParameters": {}})

    def change_and_back() -> None:
        here.write(CONFIG, {"hyperParameters": {"other": 1}})
        here.write(CONFIG, {"hyperParameters": {}})

    ended(here, number, meanwhile=change_and_back)

    assert 0 == went_on_from(here)


def test_always_and_forget_and_clean(here: Repository) -> None:
    """Who wants a step made anew, or removes its result, wants no checkpoint."""
    told(here, *["raise 3"] * 3)
    for command in ("forget", "clean"):
        train()
        assert 1 == len(kept(here))
        assert 0 == here.doit(command, f"train:{MODEL}").returncode
        assert [] == kept(here)
    train()
    assert 1 == len(kept(here))

    assert train(force=True)[0]

    assert "goes on from 0" in here.read(f"{RUN}/run.log")


def test_twice(here: Repository) -> None:
    """What is compared begins at the beginning, also when the first attempt at it is lost."""
    told(here, "raise 3", "kill 4", retries=1)
    train()
    assert 1 == len(kept(here))

    outcome, alerts = train(twice=True)

    assert outcome, alerts
    assert "reproducible to the byte" == outcome.message
    assert 1 == len(alerts)
    assert "resumed" not in here.json(f"{RUN}/run.json")
    assert "goes on from 0" in here.read(f"{RUN}/logs/attempt-1.log")
    assert "goes on from 0" in here.read(f"{RUN}/run.log")


def test_one_that_cannot_be_read(here: Repository) -> None:
    """A model that fails by itself on what it was offered begins anew the next time."""
    told(here, "raise 3")
    train()
    kept(here)[0].write_text("half of it")

    outcome, (error,) = train()

    assert outcome is None
    assert "invalid literal" in error
    assert 0 == went_on_from(here)


def test_one_that_was_got_beyond(here: Repository) -> None:
    """A model that fails after it went on from its checkpoint has left a newer one."""
    told(here, "raise 3", "raise 5")
    train()
    train()

    assert 5 == went_on_from(here)


def test_a_model_that_is_renamed_or_removed(here: Repository) -> None:
    """Its checkpoint goes with it, since the key stays; or goes with the model."""
    told(here, "raise 3")
    train()

    renamed = upkeep.rename(upkeep.find(MODEL), "Another")

    (moved,) = kept(here)
    assert moved.match("build/checkpoints/another/train/*/files/epochs")
    upkeep.remove(renamed, print)
    assert [] == kept(here)


SAVES = """
import json, os
from model_runtime import checkpoint

def break_off(path):
    open(path, "w").write("half")
    raise OSError

told = [checkpoint.found("a"), checkpoint.save("a", lambda path: open(path, "w").write("whole"))]
try:
    checkpoint.save("a", break_off)
except OSError:
    told.append(open(checkpoint.found("a")).read())
print(json.dumps(told))
"""


def test_saving(tmp_path: Path) -> None:
    """A checkpoint that could not be written to its end leaves the one before it as it was."""
    assert [None, "models/checkpoint/a", "whole"] == ask(sys.executable, SAVES, cwd=tmp_path)
