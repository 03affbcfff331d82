"""`nox -s evaluate` on real models: metrics before and after, thresholds, files for CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests import versions
from tests.assertions import wait_until
from tests.conftest import RUNNER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

GOOD, MISSES, CRASHES = "good-python", "misses-threshold", "crashes-in-evaluate"
ID = "00000000-0000-4000-8000-000000000001"
REPORTS = "build/reports"
NAMES = ["evaluate.json", "evaluate.md", "evaluate.xml"]


@pytest.fixture(name="front")
def with_front_doors(repository: Repository) -> Repository:
    """Return a repository with a noxfile and a dodo file of its own, and one model."""
    for name in ("noxfile.py", "dodo.py", "envs"):
        copy = shutil.copytree if (RUNNER / name).is_dir() else shutil.copyfile
        copy(RUNNER / name, repository.path / name)
    repository.add(GOOD)
    return repository


def nox(repository: Repository, *names: str) -> subprocess.CompletedProcess[str]:
    """Run `nox -s evaluate`, on the models that are named."""
    return subprocess.run(
        [sys.executable, "-m", "nox", "-s", "evaluate", *(["--", *names] if names else [])],
        env=repository.variables(),
        cwd=repository.path,
        capture_output=True,
        text=True,
        check=False,
    )


def evaluations(repository: Repository) -> dict[str, Any]:
    """Return what the JSON report says, by name."""
    found = repository.json(f"{REPORTS}/evaluate.json")["evaluations"]
    return {one["name"]: one for one in found}


def metric(repository: Repository, name: str = "accuracy") -> list[float | None]:
    """Return a metric of the good model before and after."""
    said = evaluations(repository)[GOOD]["metrics"][name]
    return [said["before"], said["after"]]


def test_before_and_after(front: Repository) -> None:
    """The first time there is nothing before; after an edit both are shown; then all is current."""
    first = nox(front)
    assert 0 == first.returncode, first.stdout + first.stderr
    assert [None, 0.9] == metric(front)

    path = f"model_definitions/{GOOD}/model_modules/evaluation.py"
    front.write(path, front.read(path).replace("0.9", "0.8"))
    second = nox(front)
    assert 0 == second.returncode, second.stdout + second.stderr
    assert [0.9, 0.8] == metric(front)
    assert "good-python  ran    accuracy   0.900  0.800  -0.100\n" in second.stdout
    assert "evaluate:good-python started\n" in second.stdout

    third = nox(front)
    assert 0 == third.returncode, third.stdout + third.stderr
    assert [0.8, 0.8] == metric(front)
    assert "up to date" == evaluations(front)[GOOD]["state"]
    assert "good-python  up to date  accuracy   0.800  0.800  0.000\n" in third.stdout


def test_what_another_doit_makes_meanwhile(front: Repository, tmp_path: Path) -> None:
    """The numbers are those that stand at the end, whoever has measured them."""
    assert 0 == nox(front).returncode
    path = f"model_definitions/{GOOD}/model_modules/evaluation.py"
    go = tmp_path / "go"
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n"
    front.write(path, waits + front.read(path).replace("0.9", "0.8"))
    other = front.start(f"evaluate:{GOOD}")
    assert wait_until(lambda: any(front.path.glob("build/runs/*/work/config.json")))
    with ThreadPoolExecutor() as pool:
        ours = pool.submit(nox, front)
        assert wait_until(lambda: not os.listdir(front.path / REPORTS))  # it has begun
        go.touch()
        done = ours.result()
    other.communicate()

    assert [0, 0] == [done.returncode, other.returncode], done.stdout + done.stderr
    assert [0.9, 0.8] == metric(front)


def test_failures(front: Repository) -> None:
    """A broken threshold shows the number, a crash its message, the others are as they are."""
    front.add(MISSES)
    front.add(CRASHES)
    done = nox(front)

    assert 1 == done.returncode
    assert sorted(NAMES) == sorted(os.listdir(front.path / REPORTS))
    said = evaluations(front)
    assert {GOOD: "ran", MISSES: "not good enough", CRASHES: "failed"} == {
        name: one["state"] for name, one in said.items()
    }
    accuracy = {"before": None, "after": 0.61, "delta": None, "min": 0.7, "max": None}
    assert {**accuracy, "broken": "0.61 is below the minimum 0.7"} == (
        said[MISSES]["metrics"]["accuracy"]
    )
    headline = "Model `crashes-in-evaluate` failed to evaluate: ValueError: no accuracy"
    assert headline == said[CRASHES]["error"]["headline"]
    row = "| `misses-threshold` | **not good enough** | `accuracy` |  | 0.610 |  | >= 0.7 |"
    assert f"{row} **BROKEN** |\n" in front.read(f"{REPORTS}/evaluate.md")
    root = ET.fromstring(front.read(f"{REPORTS}/evaluate.xml"))  # noqa: S314 - our own
    assert ["3", "1", "1"] == [root.get(name) for name in ("tests", "failures", "errors")]
    assert not (front.path / f"build/models/{MISSES}/evaluate").exists()


def test_threshold_that_broke_after_a_good_result(front: Repository) -> None:
    """What stood before is compared with what was measured now, and still stands."""
    assert 0 == nox(front).returncode
    document = front.json(f"model_definitions/{GOOD}/model.json")
    document["evaluation"] = {"thresholds": {"accuracy": {"min": 0.95}}}
    front.write(f"model_definitions/{GOOD}/model.json", document)

    assert 1 == nox(front).returncode
    assert [0.9, 0.9] == metric(front)
    assert 0.9 == front.json(f"build/models/{GOOD}/evaluate/metrics.json")["metrics"]["accuracy"]


def test_a_threshold_that_is_none(front: Repository) -> None:
    """It is that model's fault; the others are reported as ever, and compared."""
    front.add(GOOD, "other")
    document = front.json("model_definitions/other/model.json")
    document |= {"id": ID.replace("1", "2"), "name": "Other"}
    front.write("model_definitions/other/model.json", document)
    versions.git("init", "--quiet", ".", at=front.path)
    versions.git("add", "--all", at=front.path)
    versions.git("commit", "--quiet", "--message", "all", at=front.path)
    document["evaluation"] = {"thresholds": {"accuracy": 0.7}}
    front.write("model_definitions/other/model.json", document)

    done, compared = nox(front), front.doit("compare")

    assert 1 == done.returncode
    assert ["ran", "not run"] == [evaluations(front)[name]["state"] for name in (GOOD, "other")]
    assert "`evaluation.thresholds.accuracy`" in compared.stdout + compared.stderr
    assert "Traceback" not in done.stderr + compared.stderr


def test_training_that_fails(front: Repository) -> None:
    """An evaluation whose training fails is an error, with the message of the training."""
    front.add("crashes-in-train")
    assert 1 == nox(front, "crashes-in-train").returncode

    said = evaluations(front)
    assert ["crashes-in-train"] == list(said)
    assert "train:crashes-in-train" == said["crashes-in-train"]["error"]["step"]
    assert "ZeroDivisionError" in front.read(f"{REPORTS}/evaluate.md")


@pytest.mark.parametrize("word", ["goo", "Good Python", ID, "good-python@other"])
def test_names(front: Repository, word: str) -> None:
    """A model is named by whatever names it, with a dataset behind it where one is meant."""
    front.write(f"model_definitions/{GOOD}/datasets/other.json", {"data_path": "data.csv"})
    front.add(CRASHES)
    done = nox(front, word)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert [f"{GOOD}@other" if "@" in word else GOOD] == list(evaluations(front))


def test_unknown_name(front: Repository) -> None:
    """A name that is none fails, and says which is meant."""
    done = nox(front, "good-pyhton")

    assert 1 == done.returncode
    assert "did you mean `good-python`?" in done.stdout


def test_reports_of_an_earlier_run_go(front: Repository) -> None:
    """A run that is killed leaves no reports that could be taken for its own."""
    front.add("killed-in-train")
    assert 0 == nox(front, GOOD).returncode
    front.add("waits-in-train")
    started = front.start("-r", "evaluation", "evaluate:waits-in-train")
    assert started.stdout is not None
    assert "train:waits-in-train started\n" == started.stdout.readline()
    started.kill()
    started.communicate()

    assert [] == os.listdir(front.path / REPORTS)


def test_reports_that_cannot_be_written(front: Repository) -> None:
    """It is an error in one line, and no success."""
    front.write("build/reports", "a file where the folder should be")
    done = front.doit("-r", "evaluation", f"evaluate:{GOOD}")

    assert 3 == done.returncode
    assert done.stderr.startswith("ERROR: the reports cannot be written: ")


def test_json_reporter_has_the_metrics_too(repository: Repository) -> None:
    """What was measured but is not good enough is in the events as well."""
    done = repository.doit("-r", "json", f"evaluate:{repository.add(MISSES)}")
    events = [json.loads(line) for line in done.stdout.splitlines()]

    assert [{"accuracy": 0.61, "loss": 0.5}] == [e["metrics"] for e in events if "metrics" in e]


def test_the_last_lines_name_what_is_not_good_enough(repository: Repository) -> None:
    """Who looks at the end of a run alone sees each metric that breaks its threshold."""
    done = repository.doit(f"evaluate:{repository.add(MISSES)}")

    assert (
        f"failed evaluate:{MISSES}: Model `{MISSES}` is not good enough: accuracy 0.61 is below the"
        " minimum 0.7, loss 0.5 is above the maximum 0.4, f1 was not measured\n"
    ) in done.stdout
