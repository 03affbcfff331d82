"""The versions that frameworks promise, and the copy of the repository for each combination."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tasks import matrix
from tasks.environments.interpreters import installed
from tasks.errors import UserError
from tasks.matrix import Combination, NotHere, combinations, interpreter, lay_out, pin
from tasks.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

GOOD = "good-python"


@pytest.fixture(name="there")
def in_repository(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return a repository that is the working directory, with a model of a framework `own`."""
    monkeypatch.chdir(repository.path)
    repository.add(GOOD)
    add_model(repository, "own")
    return repository


def add_model(repository: Repository, name: str, python: str = ">=3.8") -> None:
    """Add a model of the framework `own`."""
    folder = f"model_definitions/{repository.add(GOOD, name)}"
    document = {"id": name, "name": name, "language": "python", "framework": "own"}
    repository.write(f"{folder}/model.json", {**document, "python": python})


def state(repository: Repository) -> State:
    """Return the state of a repository."""
    return State(str(repository.path / "build/state.db"))


def newest_python(repository: Repository) -> str:
    """Return the newest Python that is installed."""
    return installed(state(repository))[0].minor


def list_versions(repository: Repository, **versions: list[str]) -> None:
    """Write what the framework `own` promises."""
    lines = [f"{key} = {value!r}" for key, value in versions.items()]
    text = 'language = "python"\nrequirements = ["numpy>=1"]\n[versions]\n'
    repository.write("envs/own.toml", "\n".join([text, *lines]))


def of_own() -> list[Combination]:
    """Return the combinations of the framework `own`."""
    return [one for one in combinations() if one.framework == "own"]


def test_every_combination(there: Repository) -> None:
    """Each version stands beside each of the others; the last of all are the newest."""
    list_versions(there, python=["3.10", "3.13"], xgboost=["2.*", ">=3,<4"], master=["local[2]"])

    assert {
        "own-python-3.10-xgboost-2-master-local-2": False,
        "own-python-3.10-xgboost-3-4-master-local-2": False,
        "own-python-3.13-xgboost-2-master-local-2": False,
        "own-python-3.13-xgboost-3-4-master-local-2": True,
    } == {one.name: one.newest for one in of_own()}
    assert ["own", "python", "xgboost", "master", "newest"] == of_own()[-1].tags
    assert {"MODEL_SPARK_MASTER": "local[2]"} == of_own()[0].variables


def test_a_cluster(there: Repository) -> None:
    """Its address is told by whoever starts it."""
    list_versions(there, master=["local", "standalone"])

    assert [(False, {"MODEL_SPARK_MASTER": "local"}), (True, {})] == [
        (one.on_cluster, one.variables) for one in of_own()
    ]


def test_a_framework_without_a_list(there: Repository) -> None:
    """It is built as it is, once."""
    there.write("envs/own.toml", 'language = "python"\n')

    assert [("own", ["own", "newest"])] == [(one.name, one.tags) for one in of_own()]


@pytest.mark.parametrize(
    ("lines", "more", "pinned"),
    [
        (["xgboost>=1,<9"], [], ["xgboost==2.*"]),
        (["XGBoost[plot] >= 1 ; python_version < '4' # why"], [],
         ['XGBoost[plot]==2.*; python_version < "4"']),
        (["xgboost-cpu", "xgboost; sys_platform == 'darwin'"], [],
         ["xgboost-cpu==2.*", 'xgboost==2.*; sys_platform == "darwin"']),
        (["xgboost-extras==1"], ["xgboost>=3"], ["xgboost-extras==1", "xgboost==2.*"]),
        (["xgboost==3"], ["xgboost>=3"], ["xgboost==2.*"]),
        (["# xgboost", "-r more.txt", "../own/xgboost", ""], ["numpy"],
         ["# xgboost", "-r more.txt", "../own/xgboost", ""]),
    ],
)  # fmt: skip
def test_pin(lines: list[str], more: list[str], pinned: list[str]) -> None:
    """The version of a package is another one, whatever else its lines say; all else stays."""
    used = {"xgboost"} if any("==2.*" in line for line in pinned) else set()

    assert (pinned, used) == pin(lines, more, {"xgboost": "2.*"})


def test_a_range_is_taken_as_it_is() -> None:
    """What is no version is a specifier already."""
    assert (["a<3,>=2"], {"a"}) == pin(["a==1"], [], {"a": ">=2,<3"})


def test_the_copy(there: Repository) -> None:
    """The models of the framework ask for just these versions, all else is as it is."""
    python = newest_python(there)
    list_versions(there, python=[python], numpy=["2.*"])
    there.write("model_definitions/own/.cli/note", "hidden files of a model are copied too")
    there.write(".hidden/note", "not copied")
    there.write("envs/locks/own.txt", "a lock of the repository")
    there.write(f"envs/locks/{GOOD}.txt", "a lock of a model of another framework")
    (one,) = of_own()
    before = snapshot(there.path)

    assert ["own"] == lay_out(one, state(there))

    copy = f"build/matrix/{one.name}"
    assert python == there.json(f"{copy}/model_definitions/own/model.json")["python"]
    requirements = there.read(f"{copy}/model_definitions/own/model_modules/requirements.txt")
    assert "numpy==2.*\n" == requirements
    assert (there.path / copy / "model_definitions/own/.cli/note").exists()
    assert not (there.path / copy / ".hidden").exists()
    assert [f"{GOOD}.txt"] == os.listdir(there.path / copy / "envs/locks")
    good = f"model_definitions/{GOOD}/model.json"
    assert there.read(good) == there.read(f"{copy}/{good}")
    assert before == snapshot(there.path)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the files of a repository but for what is built in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {str(path.relative_to(folder)): path for path in files}
    return {name: p.read_bytes() for name, p in named.items() if not name.startswith("build/")}


def test_what_the_copy_built_is_kept(there: Repository) -> None:
    """Results and locks of the copy stand; what is gone from the repository is gone there too."""
    list_versions(there)
    there.write("model_definitions/own/gone", "")
    (there.path / "envs/locks").mkdir()
    (one,) = of_own()
    lay_out(one, state(there))
    there.write(f"{one.folder}/build/result", "kept")
    there.write(f"{one.folder}/envs/locks/own.txt", "kept")
    (there.path / "model_definitions/own/gone").unlink()

    lay_out(one, state(there))

    assert "kept" == there.read(f"{one.folder}/build/result")
    assert "kept" == there.read(f"{one.folder}/envs/locks/own.txt")
    assert not (there.path / one.folder / "model_definitions/own/gone").exists()


def test_a_python_that_is_not_installed(there: Repository) -> None:
    """It is told, and no copy is made."""
    list_versions(there, python=["3.99"])

    with pytest.raises(NotHere, match=r"Python 3[.]99 is not installed"):
        lay_out(of_own()[0], state(there))
    assert not (there.path / matrix.FOLDER).exists()


def test_a_python_that_a_model_does_not_allow(there: Repository) -> None:
    """A model's own range holds: one that does not fit is left out, and there must be another."""
    python = newest_python(there)
    list_versions(there, python=["3.7", python])
    older, newer = of_own()
    with pytest.raises(NotHere, match=r"No model of framework `own` allows Python 3[.]7"):
        lay_out(older, state(there))
    add_model(there, "other", "<3.8")

    assert ["own"] == lay_out(newer, state(there))


@pytest.mark.parametrize(
    ("line", "models"),
    [
        ("xgboost>=3,<4", ["own"]),
        ("xgboost~=3.1", ["own"]),
        ("xgboost<2", ["own"]),
        ("xgboost>2.1", ["other", "own"]),
        ("xgboost>=1,<2.1", ["other", "own"]),
        ("xgboost-cpu>=2.1,<4", ["other", "own"]),
        ("xgboost==3.0.1", ["other", "own"]),
        ("xgboost", ["other", "own"]),
    ],
)
def test_a_version_that_a_model_does_not_allow(
    there: Repository, line: str, models: list[str]
) -> None:
    """A range of a model's own holds, a pin is replaced."""
    list_versions(there, xgboost=["2.*"])
    there.write("model_definitions/own/model_modules/requirements.txt", "xgboost\n")
    add_model(there, "other")
    there.write("model_definitions/other/model_modules/requirements.txt", f"{line}\n")

    assert models == lay_out(of_own()[0], state(there))


def test_a_version_that_no_model_allows(there: Repository) -> None:
    """It is told which."""
    list_versions(there, xgboost=["2.*"])
    there.write("model_definitions/own/model_modules/requirements.txt", "xgboost>=3\n")

    with pytest.raises(NotHere, match=r"No model of framework `own` allows xgboost 2[.][*]"):
        lay_out(of_own()[0], state(there))


def test_no_model_of_a_framework(there: Repository) -> None:
    """A framework that nobody uses has nothing to build."""
    there.write("envs/idle.toml", 'language = "python"\n')
    idle = next(one for one in combinations() if one.framework == "idle")

    with pytest.raises(NotHere, match="No model is of framework `idle`"):
        lay_out(idle, state(there))


def test_a_version_of_nothing(there: Repository) -> None:
    """A promise about a package that no model asks for would be tested by nothing."""
    list_versions(there, xgboost=["2.*"])

    with pytest.raises(UserError, match="No model of framework `own` asks for `xgboost`"):
        lay_out(of_own()[0], state(there))


def test_the_promised_versions_are_those_that_run(
    there: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy, built by the real doit, runs on the Python that the combination names."""
    monkeypatch.setenv("MODEL_CACHE", str(there.cache))
    pythons = list(dict.fromkeys(one.minor for one in installed(state(there))))[:2]
    there.write("envs/own.toml", f'language = "python"\n[versions]\npython = {pythons!r}\n')

    for one in of_own():
        assert ["own"] == lay_out(one, state(there))
        done = type(there)(there.path / one.folder, there.cache).doit("evaluate:own")
        assert 0 == done.returncode, done.stdout + done.stderr
        record = there.json(f"{one.folder}/build/models/own/train/run.json")
        assert f" {one.versions['python']}." in record["inputs"]["environment python"]
        monkeypatch.chdir(one.folder)
        python = interpreter("own", State("build/state.db"))
        assert record["environment"]["folder"] == os.path.dirname(os.path.dirname(python))
        monkeypatch.chdir(there.path)
