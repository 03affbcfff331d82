"""Files and folders that their owner may not read or write: told, or cleared away all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks import checkpoints
from tasks.folders import remove_tree
from tests.conftest import TIMEOUT_SECONDS
from tests.test_faults import FAILED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

WITHOUT_POWERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
"""Starts a command that root's files obey: root itself may read and write whatever a mode says."""

BOUND = WITHOUT_POWERS if os.geteuid() == 0 else ()

LISTED_ALONE, ENTERED_ALONE = 0o600, 0o300
"""A folder whose files can be listed and not read, and one whose files have to be known."""

TRAINING = """
import os
def train(data_conf, model_conf):
    os.makedirs("models/part")
    for name in ("models/part/weights", "models/model.txt"):
        with open(name, "w") as file:
            file.write("trained on " + str(model_conf["hyperParameters"]))
    os.chmod("models/part{of}", {mode})
"""


def doit(repository: Repository, *words: str) -> subprocess.CompletedProcess[str]:
    """Run doit as one whom the modes of files bind."""
    return subprocess.run(
        [*BOUND, *repository.command(*words)],
        env=repository.variables(),
        cwd=repository.path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def trains(repository: Repository, mode: int, of: str = "") -> str:
    """Add a model that leaves a folder, or a file `of` it, with a mode; return its name."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model_modules/training.py"
    repository.write(path, TRAINING.format(mode=mode, of=of))
    return name


@pytest.mark.parametrize("mode", [LISTED_ALONE, ENTERED_ALONE])
def test_a_folder_of_data(repository: Repository, mode: int) -> None:
    """What cannot be read of it might be anything: no result is taken for one of such data."""
    name = repository.add("good-python")
    repository.write(f"model_definitions/{name}/datasets/train.json", {"data_path": "data"})
    code = "import os\ndef train(data_conf, model_conf):\n"
    code += "    open('models/model.txt', 'w').write(str(os.listdir(data_conf['data_path'])))\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", code)
    repository.write(f"model_definitions/{name}/data/a.csv", "1")
    hidden = repository.write(f"model_definitions/{name}/data/more/b.csv", "2").parent
    assert 0 == doit(repository, f"train:{name}").returncode
    hidden.chmod(mode)

    why, done = doit(repository, "why", f"train:{name}"), doit(repository, f"train:{name}")

    hidden.chmod(0o755)
    assert FAILED == done.returncode, done.stdout
    assert "Traceback" not in why.stderr + done.stderr
    place = f"model_definitions/{name}/data/more"
    file = f"{place}/b.csv" if mode == LISTED_ALONE else place
    assert f"`{file}` cannot be read: Permission denied" in why.stdout
    assert f"    file    {file}\n    reason  Permission denied\n" in done.stdout
    assert "nothing to do" in doit(repository, f"train:{name}").stdout


def test_a_link_of_data_that_leads_nowhere(repository: Repository) -> None:
    """It holds nothing that could be read: editors lock by such links."""
    name = repository.add("good-python")
    repository.write(f"model_definitions/{name}/datasets/train.json", {"data_path": "data"})
    code = "def train(data_conf, model_conf):\n    open('models/model.txt', 'w').write('1')\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", code)
    data = repository.write(f"model_definitions/{name}/data/a.csv", "1").parent
    (data / ".#a.csv").symlink_to("me@host.1:2")
    (data / "round").symlink_to("round")

    assert 0 == doit(repository, f"train:{name}").returncode


def test_a_folder_of_models(repository: Repository) -> None:
    """One that cannot be entered is told as of a model, and no other one is kept from running."""
    repository.add("good-python")
    hidden = repository.path / "model_definitions/closed"
    hidden.mkdir()
    hidden.chmod(0)

    done = doit(repository)

    hidden.chmod(0o755)
    assert FAILED == done.returncode
    assert "model_definitions/closed" in done.stdout
    assert "train:good-python ok" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_of_sources(repository: Repository) -> None:
    """The model has a fault, and no other one is kept from running."""
    name, good = repository.add("good-python"), repository.add("good-python", "good")
    modules = f"model_definitions/{name}/model_modules"
    hidden = repository.write(f"{modules}/words/de.txt", "eins").parent
    hidden.chmod(ENTERED_ALONE)

    done = doit(repository, "train")

    hidden.chmod(0o755)
    assert FAILED == done.returncode
    assert f"{modules}/words: cannot be read: Permission denied\n" in done.stdout
    assert f"train:{good} ok" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("of", ["", "/weights"])
def test_an_artefact_that_cannot_be_read(repository: Repository, of: str) -> None:
    """A result without it would be less than what the model has left."""
    name = trains(repository, ENTERED_ALONE, of)

    done = doit(repository, f"train:{name}")

    assert FAILED == done.returncode, done.stdout
    told = f"Artefact `models/part{of}` cannot be read\n    reason  Permission denied\n"
    assert told in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


PACKAGE = """
from tasks.environments.requirements import package_files
from tasks.errors import UserError
try:
    package_files("package")
except UserError as error:
    print(error)
"""


def test_a_package_of_the_repository(tmp_path: Path) -> None:
    """Its files count as a model's own do."""
    inner = tmp_path / "package/inner"
    inner.mkdir(parents=True)
    inner.chmod(ENTERED_ALONE)

    done = subprocess.run(
        [*BOUND, sys.executable, "-c", PACKAGE],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.startswith("`package/inner` cannot be read\n  reason  Permission denied\n")


STATE = "from tasks import checkpoints; print(checkpoints.state_of('checkpoint'))"


@pytest.mark.parametrize("mode", [LISTED_ALONE, ENTERED_ALONE])
def test_a_checkpoint_that_cannot_be_read(tmp_path: Path, mode: int) -> None:
    """One of which a part is missing is none: who goes on from that goes astray."""
    inner = tmp_path / "checkpoint/inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "file").write_text("1")
    assert {"file", "inner/file"} == checkpoints.state_of(str(inner.parent)).keys()
    inner.chmod(mode)

    done = subprocess.run(
        [*BOUND, sys.executable, "-c", STATE],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    inner.chmod(0o755)
    assert "{}\n" == done.stdout


def test_a_result_that_may_not_be_written(repository: Repository) -> None:
    """Whoever is no root can replace and remove it, and nothing of a run is left behind."""
    name = trains(repository, 0o555)
    for value in (1, 2):
        repository.write(f"model_definitions/{name}/config.json", {"hyperParameters": {"a": value}})
        done = doit(repository, f"train:{name}")
        assert 0 == done.returncode, done.stdout
    assert [] == os.listdir(repository.path / "build/runs")
    assert 1 == len(os.listdir(repository.path / "build/results"))

    assert 0 == doit(repository, "clean", f"train:{name}").returncode

    assert [] == os.listdir(repository.path / "build/results")


def test_links_to_results_that_cannot_be_read(repository: Repository) -> None:
    """What a killed run left is swept away later: which results are nobody's, nobody knows now."""
    name, other = trains(repository, 0o755), repository.add("good-python", "other")
    assert 0 == doit(repository, f"train:{name}").returncode
    results, runs = repository.path / "build/results", repository.path / "build/runs"
    before = os.listdir(results)
    (runs / "dead").mkdir()
    links = repository.path / f"build/models/{name}"

    links.chmod(ENTERED_ALONE)
    assert 0 == doit(repository, f"train:{other}").returncode
    collected = doit(repository, "gc", "--keep", "0")
    links.chmod(0o755)

    assert 3 == collected.returncode
    assert "nothing is removed of what cannot be read" in collected.stderr
    assert set(before) < set(os.listdir(results))
    assert ["dead"] == os.listdir(runs)
    assert 0 == doit(repository, f"evaluate:{other}").returncode
    assert [] == os.listdir(runs)
    assert set(before) < set(os.listdir(results))


@pytest.mark.parametrize("command", ["clean", "forget"])
def test_a_link_that_may_not_be_removed(repository: Repository, command: str) -> None:
    """It is named with the reason, and without a traceback."""
    name = repository.add("good-python")
    assert 0 == doit(repository, f"train:{name}").returncode
    folder = repository.path / f"build/models/{name}"

    folder.chmod(0o555)
    done = doit(repository, command, f"train:{name}")
    folder.chmod(0o755)

    said = f"ERROR: `build/models/{name}/train` cannot be used\n  reason  Permission denied\n"
    assert 3 == done.returncode
    assert done.stderr.startswith(said)


REMOVE = "from tasks.folders import remove_tree; remove_tree('top')"


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400, 0o555])
def test_trees_of_every_mode(tmp_path: Path, mode: int) -> None:
    """What links lead to is neither removed nor given another mode."""
    deep = tmp_path / "top/a/b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("1")
    other = tmp_path / "other"
    other.mkdir(0o555)
    (tmp_path / "top/a/link").symlink_to(other)
    for folder in (deep, deep.parent, deep.parent.parent):
        folder.chmod(mode)

    subprocess.run([*BOUND, sys.executable, "-c", REMOVE], cwd=tmp_path, check=True)

    assert ["other"] == os.listdir(tmp_path)
    assert 0o555 == other.stat().st_mode & 0o777


def test_nothing_to_remove(tmp_path: Path) -> None:
    """What is not there need not be removed, and a link to a folder is no tree."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")

    for name in ("missing", "link"):
        remove_tree(str(tmp_path / name))

    assert ["kept", "link"] == sorted(os.listdir(tmp_path))
