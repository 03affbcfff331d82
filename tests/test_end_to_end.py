"""Real doit and real uv on tiny models: what runs, what does not, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Repository


def test_evaluates_and_then_has_nothing_to_do(repository: Repository) -> None:
    """The first run trains and evaluates, the second finds both current."""
    name = repository.add("good-python")

    first = repository.doit()
    second = repository.doit()

    assert 0 == first.returncode, first.stdout + first.stderr
    metrics = repository.json(f"build/models/{name}/evaluate/metrics.json")["metrics"]
    assert {"accuracy": 0.9, "value": 20.0} == metrics
    assert "nothing to do: 2 steps are up to date\n" == second.stdout
