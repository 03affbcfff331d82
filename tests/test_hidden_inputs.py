"""Ways in which a result could come to hold what its record does not say, and names that hurt."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import shutil
import sqlite3
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from tasks import datasets, folders
from tests.assertions import assert_works

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

MODEL = "model_definitions/good-python"
MODULES = f"{MODEL}/model_modules"
MODEL_FILE = "build/models/good-python/train/models/model.txt"
NOTHING = "nothing to do: 2 steps are up to date\n"

WRITES_VALUE = """

def train(data_conf, model_conf, **kwargs):
    with open("models/model.txt", "w") as file:
        file.write(feature.VALUE)
"""


def test_an_edit_within_a_second_is_never_an_earlier_edit(repository: Repository) -> None:
    """Code found through the working directory is read from its source, not from a `.pyc`."""
    repository.add("good-python")
    hidden = 'import sys\nsys.path.insert(0, "model_modules")\nimport feature\n'
    repository.write(f"{MODULES}/training.py", hidden + WRITES_VALUE)
    for number in "1234":
        repository.write(f"{MODULES}/feature.py", f'VALUE = "{number}"\n')
        repository.doit()

        assert number == repository.read(MODEL_FILE)
    assert not list((repository.path / MODULES).glob("**/__pycache__"))


def test_what_lies_beside_the_modules_is_not_found(repository: Repository) -> None:
    """A file that no key holds cannot be imported."""
    repository.add("good-python")
    repository.write(f"{MODEL}/feature.py", 'VALUE = "1"\n')
    repository.write(f"{MODULES}/training.py", "import feature\n" + WRITES_VALUE)

    done = repository.doit()

    assert 1 == done.returncode
    assert "No module named 'feature'" in done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        'import sys; sys.path.insert(0, "model_modules/lib")',
        "import os, sys; sys.path.insert(0, os.path.realpath(os.path.dirname(__file__)) + '/lib')",
    ],
)
def test_a_way_round_the_package_is_seen(repository: Repository, statement: str) -> None:
    """A source that is found along another path counts, even one that Python was made to forget."""
    repository.add("good-python")
    forgets = f"{statement}\nimport feature\ndel sys.modules['feature']\n"
    repository.write(f"{MODULES}/training.py", forgets + WRITES_VALUE)
    for number in "12":
        repository.write(f"{MODULES}/lib/feature.py", f'VALUE = "{number}"\n')
        repository.doit()

        assert number == repository.read(MODEL_FILE)


def test_a_source_run_as_a_program_counts(repository: Repository) -> None:
    """Where programs are started, every source counts."""
    name = repository.add("good-python")
    source = repository.read(f"{MODULES}/training.py")
    repository.write(f"{MODULES}/training.py", f"import subprocess\n{source}")
    repository.write(f"{MODULES}/helper.py", "VALUE = 1\n")
    assert_works(repository, name, "20.0")

    repository.write(f"{MODULES}/helper.py", "VALUE = 2\n")

    assert "train:good-python ok" in repository.doit().stdout


def test_a_folder_of_data_is_followed_through_links(repository: Repository) -> None:
    """What a link in a folder of data leads to is data as well."""
    repository.add("good-python")
    repository.write("real/inner/part.csv", "1,2\n")
    (repository.path / "data").mkdir()
    (repository.path / "data/inner").symlink_to("../real/inner")
    (repository.path / "real/inner/back").symlink_to("..")
    repository.write(f"{MODULES}/shared.py", "def total(path):\n    return 1.0\n")
    for step in ("train", "evaluate"):
        repository.write(f"{MODEL}/datasets/{step}.json", {"data_path": "data"})
    assert 0 == repository.doit().returncode

    repository.write("real/inner/part.csv", "3,4\n")

    assert "train:good-python ok" in repository.doit().stdout


def test_a_folder_of_data_with_two_names(repository: Repository) -> None:
    """Both count: a model may read by either, and one may lead elsewhere tomorrow."""
    repository.add("good-python")
    for year in ("2024", "2025"):
        repository.write(f"data/{year}/part.csv", f"{year},1\n")
    latest = repository.path / "data/latest"
    latest.symlink_to("2025")
    repository.write(f"{MODULES}/shared.py", "def total(path):\n    return 1.0\n")
    for step in ("train", "evaluate"):
        repository.write(f"{MODEL}/datasets/{step}.json", {"data_path": "data"})
    assert 0 == repository.doit().returncode

    latest.unlink()
    latest.symlink_to("2024")

    assert "train:good-python ok" in repository.doit().stdout
    names = ["2024/part.csv", "2025/part.csv", "latest/part.csv"]
    data = repository.path / "data"
    assert [str(data / name) for name in names] == datasets.members(str(data))


def test_folders_of_data_that_link_to_each_other(tmp_path: Path) -> None:
    """There are far too many ways through them, so not all of them are gone."""
    for one in range(10):
        (tmp_path / f"{one}").mkdir()
        (tmp_path / f"{one}/part.csv").touch()
        for other in {*range(10)} - {one}:
            (tmp_path / f"{one}/{other}").symlink_to(f"../{other}")

    assert 10 <= len(datasets.members(str(tmp_path))) <= 10 * folders.MOST_NAMES


def test_a_change_and_back_during_a_run_is_refused(repository: Repository) -> None:
    """The file is the same as before, but nobody knows what the training read of it."""
    repository.add("good-python")
    waits = "import time, os\nwhile not os.path.exists('{}'):\n    time.sleep(0.01)\n"
    flag = repository.path / "go"
    source = repository.read(f"{MODULES}/training.py")
    repository.write(f"{MODULES}/training.py", waits.format(flag) + source)
    process = repository.start()
    runs = repository.path / "build/runs"
    while not list(runs.glob("*/work/config.json")):
        time.sleep(0.05)
    data = repository.path / f"{MODEL}/data.csv"
    before = data.read_text()
    data.write_text("9,9\n")
    data.write_text(before)
    flag.touch()
    output, _ = process.communicate(timeout=60)

    assert "reads changed while it ran" in output
    assert f"{MODEL}/data.csv" in output
    assert 0 == repository.doit().returncode


def test_data_that_is_gone_is_noticed_though_its_checksum_is_known(repository: Repository) -> None:
    """A checksum says what a file must be, not that it is there."""
    repository.add("good-python")
    path = repository.path / f"{MODEL}/data.csv"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    repository.write(f"{MODEL}/datasets/train.json", {"data_path": "data.csv", "sha256": sha256})
    assert 0 == repository.doit().returncode

    path.unlink()

    assert "data data.csv is missing" in repository.doit("why", "train:good-python").stdout
    assert 1 == repository.doit().returncode


def test_a_folder_whose_name_would_be_that_of_another(repository: Repository) -> None:
    """The model that cannot be named does not stand in the way of the one that can."""
    repository.add("good-python", "a_b")
    repository.add("good-python", "a=b")

    done = repository.doit()

    assert 1 == done.returncode
    assert "evaluate:a_b ok" in done.stdout


@pytest.mark.parametrize("name", ["a=b", "x@pima", "a*b", os.fsdecode(b"caf\xe9"), "a\nb"])
def test_a_folder_whose_name_no_task_can_have(repository: Repository, name: str) -> None:
    """It is told as a fault of that model, and the others run."""
    repository.add("good-python")
    shutil.copytree(repository.path / MODEL, repository.path / "model_definitions" / name)

    done = repository.doit()

    assert 1 == done.returncode
    assert "which a task cannot have" in done.stdout
    assert "evaluate:good-python ok" in done.stdout
    assert 1 == repository.doit("check").returncode
    assert 0 == repository.doit("list").returncode


def test_folders_whose_names_no_task_can_have(repository: Repository) -> None:
    """Each is told by its own path, is taken for no other, and the others run."""
    repository.add("good-python")
    models = repository.path / "model_definitions"
    for name in ("a_b", "a:b", "a=b", "a%3Ab", "a\nb", os.fsdecode(b"caf\xe9")):
        shutil.copytree(repository.path / MODEL, models / name)
        document = {**repository.json(f"{MODEL}/model.json"), "id": f"of {name!a}"}
        (models / name / "model.json").write_text(json.dumps(document))

    done = repository.doit()
    checked = repository.doit("check")
    rows = json.loads(repository.doit("list", "--json").stdout)
    near = repository.doit("train:a_c")

    assert 1 == done.returncode
    for name in ("a_b", "a%3Ab", "good-python"):
        assert f"evaluate:{name} ok" in done.stdout
    names = ["a%0Ab", "a%3Ab", "a%3Ab%", "a%3Db", "a_b", "caf%E9", "good-python"]
    assert names == [row["name"] for row in rows]
    assert ["of 'a\\nb'", "of 'a%3Ab'", "of 'a:b'"] == [row["id"] for row in rows[:3]]
    assert {} == rows[0]["metrics"]
    for name in ("a:b", "a=b", "a\\nb", "caf\\xe9"):
        assert f"\nmodel_definitions/{name}: the folder's name is '" in f"\n{checked.stdout}"
    assert "7 models, of which 3 can run: 4 faults, 0 warnings" in checked.stdout
    assert "" == checked.stderr
    assert "hint: did you mean `a_b`?" in near.stderr


def test_a_badly_named_folder_that_is_a_copy(repository: Repository) -> None:
    """Its id is that of `model.json`, and its way is told as it can be shown."""
    repository.add("good-python")
    folder = os.fsdecode(b"caf\xe9")
    shutil.copytree(repository.path / MODEL, repository.path / "model_definitions" / folder)

    listed, checked = repository.doit("list"), repository.doit("check")

    assert ("", "") == (listed.stderr, checked.stderr)
    assert "is also the id of `model_definitions/caf\\xe9`" in checked.stdout
    assert "model_definitions/caf\\xe9/model.json: warning: `id`" in checked.stdout


def test_a_link_to_itself_and_one_that_leads_up(repository: Repository) -> None:
    """Neither is a model, and neither stops the others."""
    repository.add("good-python")
    (repository.path / "model_definitions/loop").symlink_to("loop")
    (repository.path / "model_definitions/up").symlink_to("..")

    assert 0 == repository.doit().returncode


def test_a_pipe_is_refused(repository: Repository) -> None:
    """Reading it would wait for ever."""
    repository.add("good-python")
    os.mkfifo(repository.path / MODULES / "pipe")

    done = repository.doit()

    assert 1 == done.returncode
    assert "Not a regular file" in done.stdout


def test_a_copy_of_results_without_links(repository: Repository) -> None:
    """A folder in the place of a link, as copying programs leave it, is not in the way."""
    name = repository.add("good-python")
    assert_works(repository, name, "20.0")
    link = repository.path / "build/models/good-python/train"
    result = link.resolve()
    link.unlink()
    shutil.copytree(result, link)
    repository.write(f"{MODEL}/data.csv", "1,1\n")

    assert 0 == repository.doit().returncode
    assert "4.0" == repository.read(MODEL_FILE)
    assert link.is_symlink()


def trains(repository: Repository, head: str, body: str = "") -> None:
    """Give the model a training with these lines in front and in its function."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    function = f"\n\ndef train(data_conf, model_conf, **kwargs):\n{lines}"
    repository.write(f"{MODULES}/training.py", f"{head}{function}{WRITES_MODEL}")


WRITES_MODEL = '    with open("models/model.txt", "w") as file:\n        file.write("20.0")\n'


@pytest.mark.parametrize("name", ["helper.py", "README.md", "requirements.txt"])
def test_a_file_that_is_read_by_its_path_counts(repository: Repository, name: str) -> None:
    """A source that is packed beside the model, and what else no step reads unless it names it."""
    model = repository.add("good-python")
    repository.write(f"{MODULES}/{name}", "# one\n")
    trains(repository, "import shutil\n", f'shutil.copy("model_modules/{name}", "models/{name}")')
    assert_works(repository, model, "20.0")

    repository.write(f"{MODULES}/{name}", "# two\n")

    assert "train:good-python ok" in repository.doit().stdout


@pytest.mark.parametrize("cache", [".ruff_cache", ".pytest_cache", ".mypy_cache"])
def test_caches_of_tools_are_no_part_of_a_model(repository: Repository, cache: str) -> None:
    """Whoever runs a linter or tests beside the sources trains nothing anew."""
    model = repository.add("good-python")
    assert_works(repository, model, "20.0")

    repository.write(f"{MODULES}/{cache}/v/found.json", "{}")

    assert NOTHING == repository.doit().stdout


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_a_model_starts_find_its_modules(
    repository: Repository, method: str
) -> None:
    """Workers of every kind import the model's package, and leave nothing compiled behind."""
    name = repository.add("good-python")
    repository.write(f"{MODULES}/work.py", "def double(number):\n    return 2 * number\n")
    head = "import multiprocessing\nfrom .work import double\n"
    start = f'with multiprocessing.get_context("{method}").Pool(1) as pool:\n'
    trains(repository, head, f"{start}    assert pool.map(double, [1]) == [2]")

    assert_works(repository, name, "20.0")
    assert not list((repository.path / MODULES).glob("**/__pycache__"))


def test_what_training_pickled_is_unpickled(repository: Repository) -> None:
    """An evaluation needs no import statement for the classes of what it loads."""
    name = repository.add("good-python")
    repository.write(f"{MODULES}/net.py", "class Net:\n    accuracy = 0.9\n")
    save = 'with open("models/net.pkl", "wb") as file:\n    pickle.dump(Net(), file)'
    trains(repository, "import pickle\nfrom .net import Net\n", save)
    load = '{"accuracy": pickle.load(open("models/net.pkl", "rb")).accuracy}'
    function = f"import pickle\n\n\ndef evaluate(data_conf, model_conf):\n    return {load}\n"
    repository.write(f"{MODULES}/evaluation.py", function)
    assert_works(repository, name, "20.0")

    repository.write(f"{MODULES}/net.py", "class Net:\n    accuracy = 0.8\n")

    assert "accuracy 0.800" in repository.doit().stdout


@pytest.mark.parametrize(
    "loads",
    [
        """spec = importlib.util.spec_from_file_location("h", "{path}/helper.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))""",
        "sys.path.insert(0, '{path}')\nimport helper",
        "sys.path.insert(0, '{path}/lib.zip')\nimport zipped",
    ],
)
def test_code_from_elsewhere_is_refused(repository: Repository, loads: str) -> None:
    """Nobody would notice a change of it."""
    repository.add("good-python")
    path = repository.write("shared/helper.py", "VALUE = 1\n").parent
    with zipfile.ZipFile(path / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 1\n")
    trains(repository, f"import importlib.util\nimport sys\n{loads.format(path=path)}\n")

    done = repository.doit()

    assert 1 == done.returncode
    assert "imported what no import statement in its model_modules names" in done.stdout


def test_only_our_own_results_are_removed(repository: Repository) -> None:
    """What else a link in `build/` leads to is nobody's to delete."""
    repository.add("good-python")
    assert 0 == repository.doit().returncode
    precious = repository.write("precious/file", "kept").parent
    for link in (repository.path / "build/models/good-python").iterdir():
        link.unlink()
        link.symlink_to(precious)

    assert 0 == repository.doit().returncode
    (repository.path / "build/models/good-python/train").unlink()
    (repository.path / "build/models/good-python/train").symlink_to(precious)
    assert 0 == repository.doit("forget", "train:good-python").returncode

    assert "kept" == repository.read("precious/file")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "loop"])
def test_a_path_that_cannot_be_looked_at(repository: Repository, path: str) -> None:
    """It is missing data of one model, and no other's trouble."""
    repository.add("good-python")
    repository.add("good-python", "other")
    (repository.path / "loop").symlink_to("loop")
    repository.write(f"{MODEL}/datasets/train.json", {"data_path": path})

    done = repository.doit()

    assert 1 == done.returncode
    assert "names a data file that is missing" in done.stdout
    assert "evaluate:other ok" in done.stdout


def test_the_version_of_the_trained_model(repository: Repository) -> None:
    """A step that names it runs again with another, though the artefacts are the same."""
    repository.add("good-python", "silent")
    repository.add("good-python", "telling")
    for name in ("silent", "telling"):
        document = {"id": name, "name": name, "language": "python"}
        repository.write(f"model_definitions/{name}/model.json", document)
    scoring = "def score(data_conf, model_conf, model_version):\n    return [model_version]\n"
    repository.write("model_definitions/telling/model_modules/scoring.py", scoring)
    assert 0 == repository.doit("score").returncode
    for name in ("silent", "telling"):
        training = f"model_definitions/{name}/model_modules/training.py"
        repository.write(training, repository.read(training) + "\nprint('other')\n")

    done = repository.doit("score")

    assert "score:telling ok" in done.stdout
    assert "score:silent ok" not in done.stdout
    key = repository.json("build/models/telling/train/run.json")["key"]
    assert key[:12] in repository.read("build/models/telling/score/predictions.csv")


def test_a_version_that_is_named_later(repository: Repository) -> None:
    """A training from before, that is restored, has scoring run again with the version it was."""
    name = repository.add("good-python")
    training, scoring = (f"{MODULES}/{step}.py" for step in ("training", "scoring"))
    first = repository.read(training)
    later = first + "\nprint('other')\n"
    for source in (first, later):
        repository.write(training, source)
        assert 0 == repository.doit(f"train:{name}").returncode
    telling = "def score(data_conf, model_conf, model_version):\n    return [model_version]\n"
    repository.write(scoring, telling)

    for source in (later, first):
        repository.write(training, source)
        assert 0 == repository.doit(f"score:{name}").returncode
        key = repository.json(f"build/models/{name}/train/run.json")["key"]
        assert key[:12] in repository.read(f"build/models/{name}/score/predictions.csv")


def test_what_a_database_has_beside_it(repository: Repository) -> None:
    """What DuckDB wrote last lies in a log beside the database, and is an input as well."""
    repository.add("good-python")
    repository.write(
        f"{MODEL}/datasets/train.json", {"data_path": "data.csv", "database": "a.duckdb"}
    )
    repository.write(f"{MODEL}/a.duckdb", "")
    assert 0 == repository.doit().returncode
    assert NOTHING == repository.doit().stdout

    repository.write(f"{MODEL}/a.duckdb.wal", "a row")

    why = repository.doit("why", "train:good-python").stdout
    assert f"data {MODEL}/a.duckdb changed" in why or "data a.duckdb changed" in why
    assert "train:good-python ok" in repository.doit().stdout


@pytest.mark.parametrize("changed", ["a.duckdb.wal", "samples/data.json"])
def test_what_changes_while_a_step_runs(repository: Repository, changed: str) -> None:
    """A log beside a database, and the sample of a model that is monitored, are held to it too."""
    name = repository.add("monitored-python", "good-python")
    repository.write(
        f"{MODEL}/datasets/train.json", {"data_path": "data.csv", "database": "a.duckdb"}
    )
    for path in ("data.csv", "a.duckdb", "a.duckdb.wal"):
        repository.write(f"{MODEL}/{path}", "1\n")
    assert (repository.path / MODEL / "samples/data.json").exists()
    path = repository.path / MODEL / changed
    training = "def train(data_conf, model_conf):\n    open('models/model.txt', 'w').write('1')\n"
    repository.write(f"{MODULES}/training.py", f"{training}    open({str(path)!r}, 'a').write(' ')")

    done = repository.doit(f"train:{name}")

    assert 1 == done.returncode
    assert "reads changed while it ran" in done.stdout


THERE_AND_BACK = {
    "a link on the way": ("data/cur -> A", "ln -sfn B data/cur; ln -sfn A data/cur"),
    "a link behind a link": ("data/cur/x -> y", "ln -sfn z data/A/x; ln -sfn y data/A/x"),
}


@pytest.mark.parametrize("case", THERE_AND_BACK)
def test_what_changes_there_and_back_while_a_step_runs(repository: Repository, case: str) -> None:
    """It may have been read meanwhile, though nothing tells of it in the end."""
    name = repository.add("good-python")
    named, commands = THERE_AND_BACK[case]
    for path in ("parts/1.csv", "A/y", "A/z", "B/x"):
        repository.write(f"data/{path}", "1\n")
    (repository.path / "data/cur").symlink_to("A")
    (repository.path / "data/A/x").symlink_to("y")
    (repository.path / "data/file").symlink_to("cur/x")
    dataset = {"data_path": "data/parts", "other": {"data_path": "data/file"}}
    repository.write(f"{MODEL}/datasets/train.json", dataset)
    train = f"{MODULES}/training.py"
    repository.write(
        train, "def train(data_conf, model_conf):\n    open('models/m', 'w').close()\n"
    )
    assert 0 == repository.doit(f"train:{name}").returncode
    end = f"    import os\n    os.system('cd {repository.path}; sleep 0.1; {commands}')\n"
    repository.write(train, repository.read(train) + end)

    done = repository.doit(f"train:{name}")

    assert 1 == done.returncode
    assert "reads changed while it ran" in done.stdout
    assert f"  changed  {named}\n" in done.stdout


def test_what_is_in_a_folder_of_data_for_a_while(repository: Repository) -> None:
    """A step may have read it; or a library keeps it there while a database is open."""
    name = repository.add("good-python")
    repository.write("data/parts/1.csv", "1\n")
    repository.write(f"{MODEL}/datasets/train.json", {"data_path": "data/parts"})
    text = "import sqlite3\ndef train(data_conf, model_conf):\n"
    text += "    with sqlite3.connect(data_conf['data_path'] + '/a.db') as data:\n"
    text += "        print(data.execute('select * from t').fetchall())\n"
    text += "    open('models/m', 'w').close()\n"
    repository.write(f"{MODULES}/training.py", text)
    with sqlite3.connect(repository.path / "data/parts/a.db") as data:
        data.execute("pragma journal_mode=wal")
        data.execute("create table t as select 1")
    data.close()

    done = repository.doit(f"train:{name}")

    assert 0 == done.returncode, done.stdout
    assert "`data/parts` was written to meanwhile, and has what it had" in done.stdout
    assert "`doit -a train:good-python` makes the result anew" in done.stdout
    assert "nothing to do: 1 step is up to date\n" == repository.doit(f"train:{name}").stdout


def test_files_in_a_list(repository: Repository) -> None:
    """Each is an input, and the model is told where it is."""
    repository.add("good-python")
    data = {"data_path": "data.csv", "more": {"data_path": ["a.csv", "b.csv"]}}
    repository.write(f"{MODEL}/datasets/train.json", data)
    for name in ("a.csv", "b.csv"):
        repository.write(f"{MODEL}/{name}", "1\n")
    training = f"{MODULES}/training.py"
    read = "    print(*(open(path).read() for path in data_conf['more']['data_path']))\n"
    repository.write(training, repository.read(training).rstrip() + "\n" + read)
    assert 0 == repository.doit().returncode
    assert NOTHING == repository.doit().stdout

    repository.write(f"{MODEL}/b.csv", "2\n")

    assert "b.csv changed" in repository.doit("why", "train:good-python").stdout


def test_files_in_a_list_of_all_kinds(repository: Repository, tmp_path: Path) -> None:
    """A list in a list, an object, an address: all are found, the model is told where they are."""
    repository.add("good-python")
    outside = (tmp_path / "d.csv").as_uri()
    listed = ["a.csv", ["b.csv"], {"url": "c.csv"}, outside, "https://host.example/e.csv"]
    repository.write(
        f"{MODEL}/datasets/train.json", {"data_path": "data.csv", "more": {"url": listed}}
    )
    for path in (*(repository.path / MODEL / f"{one}.csv" for one in "abc"), tmp_path / "d.csv"):
        path.write_text("1\n")
    told = (
        "    with open('models/told', 'w') as file:\n        file.write(str(data_conf['more']))\n"
    )
    repository.write(
        f"{MODULES}/training.py", f"def train(data_conf, model_conf, **kwargs):\n{told}"
    )
    assert 0 == repository.doit("train:good-python").returncode

    folder = repository.path / MODEL
    expected = [f"{folder}/a.csv", [f"{folder}/b.csv"], {"url": f"{folder}/c.csv"}, *listed[3:]]
    assert str({"url": expected}) == repository.read("build/models/good-python/train/models/told")
    for path in (*(folder / f"{one}.csv" for one in "abc"), tmp_path / "d.csv"):
        before = path.read_text()
        path.write_text("2\n")
        assert f"{path.name} changed" in repository.doit("why", "train:good-python").stdout
        path.write_text(before)


def test_compiled_code_alone(repository: Repository, tmp_path: Path) -> None:
    """A `.pyc` without its source is code from outside as well, wherever it lies."""
    repository.add("good-python")
    (tmp_path / "outer.py").write_text("VALUE = '1'\n")
    py_compile.compile(str(tmp_path / "outer.py"), str(tmp_path / "outer.pyc"))
    (tmp_path / "outer.py").unlink()
    hidden = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport outer\n"
    repository.write(f"{MODULES}/training.py", hidden + WRITES_VALUE.replace("feature", "outer"))
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    model = repository.json(f"{MODEL}/model.json")
    repository.write(f"{MODEL}/model.json", {**model, "python": python})

    done = repository.doit("train:good-python")

    assert 1 == done.returncode
    assert "imported what no import statement" in done.stdout
    assert "outer.pyc" in done.stdout


def test_what_numba_compiled_is_not_kept(repository: Repository) -> None:
    """What it would keep beside the sources goes with the run, whatever the user has set."""
    repository.add("good-python")
    told = "    from os import environ, path\n    with open('models/told', 'w') as file:\n"
    told += "        here = environ['MODEL_SCRATCH']\n"
    told += "        file.write(path.relpath(environ['NUMBA_CACHE_DIR'], here))\n"
    repository.write(
        f"{MODULES}/training.py", f"def train(data_conf, model_conf, **kwargs):\n{told}"
    )

    assert 0 == repository.doit("train:good-python", NUMBA_CACHE_DIR="/elsewhere").returncode

    assert "numba" == repository.read("build/models/good-python/train/models/told")
