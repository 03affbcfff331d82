"""Repositories with something odd in them: what is wrong is told, and all else runs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import GALLERY, Repository

if TYPE_CHECKING:
    from pathlib import Path

NEAREST = "000001c1-0000-4000-8000-0000000001c1"  # the model of era-l1b


def copied(era: str, repository: Repository) -> Repository:
    """Return the empty repository as a copy of one of the gallery."""
    shutil.copytree(GALLERY / era, repository.path, dirs_exist_ok=True)
    return repository


def described(repository: Repository, model: str, **keys: str) -> None:
    """Set keys of model.json."""
    place = f"model_definitions/{model}/model.json"
    repository.write(place, {**repository.json(place), **keys})


def evaluated(repository: Repository) -> list[str]:
    """Return the models that have been evaluated."""
    found = (repository.path / "build/models").glob("*/evaluate/metrics.json")
    return sorted(path.parent.parent.name for path in found)


@pytest.mark.parametrize("broken", ["model.json", "config.json", ".cli/datasets/train.json"])
def test_one_broken_file_keeps_no_other_model_from_running(
    repository: Repository, broken: str
) -> None:
    """A comma too few, as it was committed more than once: it is told with file and line."""
    copied("era-l2-cli", repository)
    place = "model_definitions/000002b3-0000-4000-8000-0000000002b3"
    repository.write(f"{place}/{broken}", '{"id": "a"\n "name": "b"}')
    (repository.path / "model_definitions/000002b4-0000-4000-8000-0000000002b4/model.json").unlink()

    listed = repository.doit("list")
    done = repository.doit("evaluate")

    assert 0 == listed.returncode
    assert "broken" in next(line for line in listed.stdout.splitlines() if "2b3-" in line)
    assert 1 == done.returncode
    assert f"{place}/{broken}:2: invalid JSON in column 2" in done.stdout
    assert [f"000002b{n}-0000-4000-8000-0000000002b{n}" for n in (1, 2)] == evaluated(repository)


def test_two_models_with_one_id(repository: Repository) -> None:
    """Each is told of the other; the folder's name tells them apart, the id does not."""
    copied("era-l4b", repository)
    shared = "000004b3-0000-4000-8000-0000000004b3"

    first, again = repository.doit("list", "--json"), repository.doit("list", "--json")
    by_id = repository.doit(f"evaluate:{shared}")
    by_name = repository.doit("evaluate:iforest")

    rows = {row["name"]: row for row in json.loads(first.stdout)}
    faults = [rows[name]["faults"] for name in ("iforest", "python_pima_osml_dt")]
    assert [
        f"`{shared}` is also the id of `model_definitions/python_pima_osml_dt`",
        f"`{shared}` is also the id of `model_definitions/iforest`",
    ] == [fault["message"] for (fault,) in faults]
    assert first.stdout == again.stdout
    assert (3, 0) == (by_id.returncode, by_name.returncode)
    assert f"`{shared}` names more than one model" in by_id.stderr
    assert "hint: use the folder's name" in by_id.stderr
    assert ["iforest"] == evaluated(repository)


def test_a_model_is_called_by_its_id_or_display_name(repository: Repository) -> None:
    """In a repository of ids for folders the list has the display names, which can be typed."""
    copied("era-l1b", repository)

    listed = repository.doit("list").stdout.splitlines()
    done = [repository.doit(f"train:{name}") for name in ("000001c1", "Nearest mean")]

    assert ["MODEL", "NAME", "FRAMEWORK", "STATE", "METRICS"] == listed[0].split()
    assert f"{NEAREST}  Nearest mean  python     new" == listed[1]
    assert [0, 0] == [one.returncode for one in done]
    assert "nothing to do" in done[1].stdout


def test_folders_that_are_no_models(repository: Repository) -> None:
    """An empty folder, one of notes, a file, and what tools leave are passed over."""
    repository.add("good-python")
    top = repository.path / "model_definitions"
    for folder in ("empty", ".git", "__pycache__", ".ipynb_checkpoints", "notes"):
        (top / folder).mkdir()
    repository.write("model_definitions/notes/README.md", "later")
    repository.write("model_definitions/model.json", "{")
    repository.write("model_definitions/.DS_Store", "")
    repository.write("model_definitions/.git/model.json", "{")

    rows = json.loads(repository.doit("list", "--json").stdout)

    assert ["good-python"] == [row["name"] for row in rows]
    assert [] == rows[0]["faults"]


NAMES = [
    "two words", "v1.2.model", "..dots", "Größe-模型", "ümlaut \u0301", "a;b|c&d", "quote'\"",
    "$(touch pwned)", "`touch pwned`", "\\", "~", "#1", "%s{}",
]  # fmt: skip


def test_names_of_folders(repository: Repository) -> None:
    """Spaces, dots, letters of any script and what a shell takes for its own are names."""
    for number, name in enumerate(NAMES):
        described(repository, repository.add("good-python", name), id=f"id-{number}")

    done = repository.doit(*(f"evaluate:{name}" for name in NAMES))

    assert 0 == done.returncode, done.stdout
    assert sorted(NAMES) == evaluated(repository)
    assert ["build", "model_definitions"] == sorted(p.name for p in repository.path.iterdir())


def test_an_id_or_name_breaks_out_of_nothing(repository: Repository, tmp_path: Path) -> None:
    """No path and no command is made of either."""
    values = ("../../../escaped", "/tmp/escaped", "$(touch pwned)", "a; rm x")  # noqa: S108
    for number, value in enumerate(values):
        described(repository, repository.add("good-python", f"id-{number}"), id=value)
        name = repository.add("good-python", f"name-{number}")
        described(repository, name, id=name, name=value)
    before = sorted(path.name for path in tmp_path.iterdir())

    done = repository.doit("evaluate", "score")

    assert 0 == done.returncode, done.stdout
    names = [f"{key}-{number}" for key in ("id", "name") for number in range(len(values))]
    assert names == evaluated(repository)
    assert ["build", "model_definitions"] == sorted(p.name for p in repository.path.iterdir())
    assert before == sorted(path.name for path in tmp_path.iterdir())


def on_windows(repository: Repository) -> None:
    """Give every text in a repository the line ends of Windows."""
    for path in repository.path.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("era", "models"),
    [
        ("era-l2-cli", 4),
        pytest.param("era-l3", 2, marks=pytest.mark.r),
    ],
)
def test_line_ends_of_windows(repository: Repository, era: str, models: int) -> None:
    """In JSON, requirements, Python, SQL, R and data alike."""
    copied(era, repository)
    on_windows(repository)

    done = repository.doit("evaluate")

    assert 0 == done.returncode, done.stdout
    assert models == len(evaluated(repository))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder outside the repository, with a model in it."""
    shutil.copytree(GALLERY / "good-python", tmp_path / "outside")
    return tmp_path / "outside"


@pytest.mark.parametrize(
    "link",
    [
        "", "model.json", "config.json", "datasets", "datasets/train.json", "model_modules",
        "model_modules/shared.py", "model_modules/more",
    ],
)  # fmt: skip
def test_a_link_out_of_the_repository_is_refused(
    repository: Repository, outside: Path, link: str
) -> None:
    """Another clone would have another model; the file, where it leads and a way out are told."""
    name, good = repository.add("good-python", "linked"), repository.add("good-python", "good")
    path = repository.path / "model_definitions" / name / link
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.symlink_to(outside / link if link != "model_modules/more" else outside)

    done = repository.doit("evaluate")

    place = f"model_definitions/{name}/{link}".rstrip("/")
    target = path.readlink()
    assert 1 == done.returncode
    assert f"{place}: a link that leads out of the repository, to `{target}`\n" in done.stdout
    assert "hint: put a copy in its place" in done.stdout
    assert [good] == evaluated(repository)


def test_a_link_within_the_repository_is_followed(repository: Repository) -> None:
    """Models may share a file that way."""
    name = repository.add("good-python")
    modules = repository.path / f"model_definitions/{name}/model_modules"
    (modules / "shared.py").rename(repository.path / "shared.py")
    (modules / "shared.py").symlink_to("../../../shared.py")

    assert 0 == repository.doit("evaluate").returncode


@pytest.mark.parametrize("way", ["relative", "absolute", "link"])
def test_data_may_be_outside(repository: Repository, tmp_path: Path, way: str) -> None:
    """Wherever a dataset says: its bytes count as those of any other, and nothing is copied."""
    name = repository.add("good-python")
    place = f"model_definitions/{name}/datasets/train.json"
    (tmp_path / "data.csv").write_text("1,2\n3,4\n")
    (repository.path / "linked.csv").symlink_to(tmp_path / "data.csv")
    sources = {"relative": "../data.csv", "absolute": f"{tmp_path}/data.csv", "link": "linked.csv"}
    repository.write(place, {"data_path": sources[way]})

    first = repository.doit(f"train:{name}")
    (tmp_path / "data.csv").write_text("5,6\n")
    told = repository.doit("why", f"train:{name}")

    assert 0 == first.returncode, first.stdout
    assert f"data {sources[way]} changed" in told.stdout


@pytest.mark.parametrize("model", ["good-python", "monitored-python"])
def test_data_whose_name_is_not_utf_8(repository: Repository, model: str) -> None:
    """In a folder of data a file may have any name: it counts, and is given to the model."""
    name = repository.add(model)
    repository.write(f"model_definitions/{name}/datasets/train.json", {"data_path": "data"})
    code = "import os\ndef train(data_conf, model_conf, **kwargs):\n"
    code += "    (name,) = os.listdir(data_conf['data_path'])\n"
    code += "    text = open(os.path.join(data_conf['data_path'], name)).read()\n"
    code += "    open('models/model.txt', 'w').write(text)\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", code)
    (repository.path / f"model_definitions/{name}/data").mkdir()
    data = f"{repository.path}/model_definitions/{name}/data/".encode() + b"caf\xe9.csv"
    for text in ("1,2", "3,4"):
        with open(data, "w", encoding="utf-8") as file:
            file.write(text)

        done, again = (repository.doit(f"train:{name}") for _ in range(2))

        assert 0 == done.returncode, done.stdout + done.stderr
        assert "nothing to do" in again.stdout
        assert text == repository.read(f"build/models/{name}/train/models/model.txt")
    with open(data, "w", encoding="utf-8") as file:
        file.write("1,2")
    assert "restored" in repository.doit(f"train:{name}").stdout


OURS = [
    "json", "random", "os", "sys", "csv", "inspect", "importlib", "traceback", "model_runtime",
    "tasks", "run_step", "start", "doit", "engines", "contract", "numpy", "site", "types",
]  # fmt: skip


def test_modules_named_like_others(repository: Repository) -> None:
    """What a model's own package holds hides neither the standard library nor our code."""
    name = repository.add("good-python")
    modules = f"model_definitions/{name}/model_modules"
    for module in OURS:
        repository.write(f"{modules}/{module}.py", f"NAME = '{module}'\n")
    source = repository.read(f"{modules}/training.py")
    imports = "".join(f"from . import {module} as own_{module}\n" for module in OURS)
    check = "import json, model_runtime, os, sys\n"
    check += "assert json.dumps([1]) == '[1]' and model_runtime.track and os.sep and sys.path\n"
    check += f"assert [{', '.join(f'own_{m}.NAME' for m in OURS)}] == {OURS}\n"
    repository.write(f"{modules}/training.py", imports + check + source)

    done = repository.doit("evaluate", "score")

    assert 0 == done.returncode, done.stdout
    assert [name] == evaluated(repository)


def test_a_model_that_puts_its_modules_on_the_path(repository: Repository) -> None:
    """As of 2019: its `util` and `json` are found first from then on, by itself alone."""
    name = repository.add("good-python")
    modules = f"model_definitions/{name}/model_modules"
    repository.write(f"{modules}/util.py", "WORD = 'own'\n")
    repository.write(f"{modules}/tasks.py", "WORD = 'own'\n")
    source = repository.read(f"{modules}/training.py")
    insert = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
    insert += "import tasks, util\nassert tasks.WORD == util.WORD == 'own'\n"
    repository.write(f"{modules}/training.py", insert + source)

    done = repository.doit("evaluate")

    assert 0 == done.returncode, done.stdout
