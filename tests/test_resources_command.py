"""`doit resources`: what is asked for, what was used, and what is proposed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tasks.resources import GIB, MIB, Amounts, Resources
from tasks.resources_command import proposed
from tasks.validate import check

if TYPE_CHECKING:
    from tests.conftest import Repository


@pytest.mark.parametrize(
    ("peak", "seconds", "cpu_seconds", "asked", "limit"),
    [
        (20 * MIB, 10, 0, (0.1, 64), (1, 128)),
        (200 * MIB, 10, 5, (0.5, 256), (1, 320)),
        (200 * MIB, 10, 5.1, (0.6, 256), (2, 320)),
        (3 * GIB, 100, 400, (4, 3840), (8, 4608)),
        (200 * MIB, 0, 0, (0.1, 256), (1, 320)),
    ],
)
def test_proposals(
    peak: int,
    seconds: float,
    cpu_seconds: float,
    asked: tuple[float, int],
    limit: tuple[float, int],
) -> None:
    """There is room above what was used, and the numbers are round."""
    usage = {"peak_memory": peak, "cpu_seconds": cpu_seconds, "seconds": seconds}
    expected = [Amounts(cpu, mebi * MIB, 1) for cpu, mebi in (asked, limit)]
    assert Resources(*expected) == proposed(usage, 1)


def test_doit_resources(repository: Repository) -> None:
    """It shows what was used, and what it proposes can be pasted: then nothing runs again."""
    name, broken = repository.add("good-python"), repository.add("bad-json")
    path = f"model_definitions/{name}/model.json"

    before = repository.doit("resources").stdout
    assert 0 == repository.doit(f"evaluate:{name}").returncode
    shown = repository.doit("resources", name).stdout.splitlines()
    (told,) = json.loads(repository.doit("resources", "--json").stdout)
    repository.write(path, {**repository.json(path), **told["proposed"]})

    assert f"{name}\n  train     1 512Mi\n  evaluate  1 512Mi\n" in before
    assert broken not in before
    assert ["STEP", "REQUESTS", "LIMITS", "USED", "CPU", "TIME", "PROPOSED"] == shown[0].split()
    assert [name, "train", "evaluate", "score"] == [line.split()[0] for line in shown[1:]]
    assert shown[2].endswith(" 128Mi")
    assert None is told["steps"]["score"]["usage"]
    assert [told["steps"][step]["place"] for step in ("train", "score")] == ["local", None]
    usage = repository.json(f"build/models/{name}/train/run.json")["usage"]
    assert {**told["steps"]["train"]["usage"], **usage} == told["steps"]["train"]["usage"]
    assert {"training", "evaluation"} == told["proposed"]["automation"].keys()
    assert () == check("model", repository.read(path), path).faults
    assert "nothing to do" in repository.doit(f"evaluate:{name}").stdout
    (told,) = json.loads(repository.doit("resources", "--json").stdout)
    assert 64 * MIB == told["steps"]["train"]["requests"]["memory"]
    assert 128 * MIB == told["steps"]["train"]["limits"]["memory"]


def test_the_report_of_evaluations(repository: Repository) -> None:
    """`evaluate.json` says what an evaluation used, also when it was restored or is current."""
    repository.add("good-python")
    found = []
    for words in ([], ["-a"], []):
        assert 0 == repository.doit("run", "-r", "evaluation", *words).returncode
        (one,) = repository.json("build/reports/evaluate.json")["evaluations"]
        found.append((one["state"], one["usage"]["peak_memory"] > MIB))

    assert [("ran", True), ("ran", True), ("up to date", True)] == found
