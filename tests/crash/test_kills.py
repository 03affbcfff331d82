"""Killed at any moment: nothing half-made is believed, and nothing is left behind."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.assertions import wait_until
from tests.crash.amounts import PARTS, SEED, amount, count
from tests.crash.inputs import TRAINING, assert_current, evaluated, verify_published
from tests.crashing import PATIENCE_SECONDS, family_of, kill, processes_of

if TYPE_CHECKING:
    from tests.conftest import Repository

KILLS = amount(24, 1000)
SETTLED = 4
"""Every so many runs one is left alone, and all must be as it should be; the others begin with what
the killed one before them left."""


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_moment(repository: Repository, part: int) -> None:
    """Any process of a run is killed, again and again: what is published is always true."""
    inputs = evaluated(repository)
    inputs.chance.seed(f"{SEED} {part}")
    counts: Counter[str] = Counter()
    longest = 1.0
    while counts["kills"] < KILLS // PARTS or counts["runs"] % SETTLED:
        for _ in range(inputs.chance.randint(1, 4)):
            inputs.edit()
        process = repository.start()
        began = time.monotonic()
        while process.poll() is None:
            time.sleep(inputs.chance.uniform(0, longest))
            victim = inputs.chance.choice(family_of(process.pid))
            if process.poll() is None:
                kill(victim)
                counts["kills"] += 1
                counts["doit killed" if victim == process.pid else "others killed"] += 1
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        assert not said.startswith("Traceback"), said
        assert "\nTraceback" not in said, said
        if process.returncode == 0:
            longest = time.monotonic() - began
        assert wait_until(lambda: not processes_of(repository.path)), processes_of(repository.path)
        verify_published(repository)
        counts["runs"] += 1
        if counts["runs"] % SETTLED == 0:
            assert_current(inputs, (SEED, part, counts))
    count("random kill -9", **counts)


def test_an_orphaned_model_dies(repository: Repository) -> None:
    """A model that would run for minutes ends with the doit that started it."""
    evaluated(repository)
    source = TRAINING.replace("0.001", "600")
    repository.write("model_definitions/ant/model_modules/training.py", source)
    process = repository.start("train:ant")
    runs = repository.path / "build/runs"
    assert wait_until(lambda: any(path.exists() for path in runs.glob("*/work/models/part-0.txt")))

    kill(process.pid)
    process.communicate()

    assert wait_until(lambda: not processes_of(repository.path))
    verify_published(repository)
