"""Two and eight runs at once: all end well, and share the work instead of doing it twice."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.crash.amounts import PARTS, SEED, amount, count
from tests.crash.inputs import (
    assert_current,
    assert_state_is_whole,
    digest,
    evaluated,
    main_artefact,
    published,
    steps_between,
    verify_published,
)
from tests.crashing import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

ROUNDS = {2: amount(4, 200), 8: amount(2, 200)}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("runs", ROUNDS)
def test_many_at_once(repository: Repository, tmp_path: Path, runs: int, part: int) -> None:
    """Each step that must run does so once, whoever does it; now and then the state is gone."""
    inputs = evaluated(repository)
    chance = inputs.chance
    chance.seed(f"{SEED} {part} {runs}")
    rounds = max(1, ROUNDS[runs] // PARTS)
    for number in range(rounds):
        before = inputs.expected()
        for _ in range(chance.randint(1, 4)):
            inputs.edit()
        if number % 3 == 2:
            for path in (repository.path / "build").glob("state.db*"):
                path.unlink()
        log = tmp_path / f"log-{number}"
        log.touch()
        all_of_them = []
        for _ in range(runs):
            all_of_them.append(repository.start(RUN_LOG=str(log)))
            time.sleep(chance.choice((0, chance.uniform(0, 0.5))))
        said = [one.communicate(timeout=PATIENCE_SECONDS * runs)[0] for one in all_of_them]

        assert [0] * runs == [one.returncode for one in all_of_them], (number, said)
        assert steps_between(before, inputs.expected()) == Counter(log.read_text().split())
        assert_state_is_whole(repository)
        assert_current(inputs, (SEED, number, said))
    count(f"{runs} at once on one repository", rounds=rounds, runs=rounds * runs)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("runs", ROUNDS)
def test_many_clones_on_one_store(
    repository: Repository, tmp_path: Path, runs: int, part: int
) -> None:
    """Clones that share a store all end well, with the same results, and all it holds is sound."""
    inputs = evaluated(repository)
    chance = inputs.chance
    chance.seed(f"{SEED} {part} {runs} store")
    store = tmp_path / "store"
    clones = [replace(repository, path=tmp_path / f"clone-{number}") for number in range(runs)]
    rounds = max(1, ROUNDS[runs] // PARTS)
    for number in range(rounds):
        for _ in range(chance.randint(1, 4)):
            inputs.edit()
        all_of_them = []
        for one in clones:
            given = "model_definitions"
            shutil.copytree(repository.path / given, one.path / given, dirs_exist_ok=True)
            all_of_them.append(one.start(MODEL_STORE=str(store)))
        said = [one.communicate(timeout=PATIENCE_SECONDS * runs)[0] for one in all_of_them]

        assert [0] * runs == [one.returncode for one in all_of_them], (number, said)
        assert "warning" not in "".join(said)
        for one in clones:
            verify_published(one)
            found = {name: main_artefact(name, path) for name, path in published(one).items()}
            assert inputs.expected() == found, (SEED, number, said)
        assert_store_is_sound(store)
    assert_current(replace(inputs, repository=chance.choice(clones)), SEED)
    count(f"{runs} clones at once on one store", rounds=rounds, runs=rounds * runs)


def assert_store_is_sound(store: Path) -> None:
    """Check that each object is what it is named for, and that nothing half-made is left."""
    objects = [path for path in store.glob("objects/*/*") if path.is_file()]
    assert objects
    for path in objects:
        assert path.parent.name + path.name == digest(path.read_bytes())
    assert [] == list((store / "tmp").iterdir())
