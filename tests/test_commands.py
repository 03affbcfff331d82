"""`doit list`, `why` and `check`: what they say, to people and to programs."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pytest

from tasks import generators
from tasks.plan import file_name
from tasks.runs import hold
from tests.assertions import assert_works, configure
from tests.conftest import Repository

if TYPE_CHECKING:
    from pathlib import Path

BAD = "model_definitions/bad-json/model.json"
FAULT = {
    "file": BAD,
    "line": 4,
    "key": "",
    "message": 'invalid JSON in column 3: expected `,` or `}`, found `"language"`',
    "hint": 'a comma is missing after `"Bad JSON"` on line 3',
    "warning": False,
}


LISTED = "hint: `doit help run` lists its options"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository with a model in each state: current, changed, new, failed, broken."""
    repository = Repository(tmp_path_factory.mktemp("once"), cache)
    for name in ("current", "changed"):
        repository.add("good-python", name)
        document = {"id": f"m-{name}", "name": f"The {name} one", "language": "Python"}
        repository.write(f"model_definitions/{name}/model.json", document)
    assert_works(repository, "current", "20.0")
    configure(repository, "changed", factor=3)
    repository.add("crashes-in-train", "failed")
    assert repository.doit("train:failed").returncode == 1
    repository.add("bad-json")
    repository.add("framework-folder", "new")
    return repository


@pytest.fixture
def varied(once: Repository, repository: Repository) -> Repository:
    """Return a copy of that repository."""
    shutil.copytree(once.path, repository.path, symlinks=True, dirs_exist_ok=True)
    return repository


def asked(repository: Repository, *words: str) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what a command answers in JSON."""
    return json.loads(repository.doit(*words, "--json").stdout)


@pytest.mark.parametrize("command", entry_points(group="doit.COMMAND"), ids=str)
def test_help_is_wrapped_once(command: EntryPoint) -> None:
    """No line of a description ends within a sentence: doit wraps each by itself."""
    lines = (command.load().doc_description or "").splitlines()
    assert [] == [line for line in lines if not line.endswith(".")]


@pytest.mark.parametrize("command", ["run", "list", "gc"])
def test_help_without_what_is_doits_own(repository: Repository, command: str) -> None:
    """Options for a state that is not ours are not shown, by either way to ask; they work still."""
    asked_for = repository.doit("help", command).stdout

    assert asked_for == repository.doit(command, "--help").stdout
    for option in ("--db-file", "--backend", "--check_file_uptodate"):
        assert option not in asked_for
    assert "--seek-file" in asked_for
    assert 0 == repository.doit("list", "--check_file_uptodate", "md5").returncode


def test_help_shows_the_defaults_that_hold(repository: Repository) -> None:
    """They are ours where doit has others."""
    shown = " ".join(repository.doit("help", "run").stdout.split())

    assert "Choose output reporter. [default: modelmake]" in shown
    assert f"number of subprocesses [default: {generators.CONFIG['num_process']}]" in shown
    assert "continue executing tasks even after a failure [default: True]" in shown


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("comapre", "did you mean `compare`?"),
        ("train:god-python", "did you mean `train:good-python`?"),
        ("nosuch", "`doit help` lists the commands"),
    ],
)
def test_help_of_what_is_not_there(repository: Repository, word: str, hint: str) -> None:
    """It is told; that of a task is doit's."""
    repository.add("good-python")

    done = repository.doit("help", word)

    expected = f"ERROR: There is no command or task `{word}`\n\nhint: {hint}\n"
    assert (3, "", expected) == (done.returncode, done.stdout, done.stderr)
    helped = repository.doit("help", "train:good-python")
    assert (0, "train:good-python  train Good Python\n") == (helped.returncode, helped.stdout)


def test_info_is_for_people(repository: Repository) -> None:
    """It shows what doit knows of a step, and nothing of how that is kept."""
    name = repository.add("good-python")

    shown = repository.doit("info", f"train:{name}").stdout

    assert "status     : run\n * It is not as it was: `doit why` tells more.\n" in shown
    assert f" - build/models/{name}/train/artefacts.json\n" in shown
    for word in ("function", "object", "Activity"):
        assert word not in shown


def test_list(varied: Repository) -> None:
    """The list has a line a model: its state and what it last measured."""
    done = varied.doit("list")

    assert done.returncode == 0
    assert done.stdout == (
        "MODEL     FRAMEWORK  STATE       METRICS\n"
        "bad-json  unknown    broken\n"
        "changed   python     changed     accuracy 0.900  value 20\n"
        "current   python     up to date  accuracy 0.900  value 20\n"
        "failed    python     failed\n"
        "new       python     new\n"
    )


@pytest.mark.parametrize("command", ["clean", "forget"])
def test_a_step_that_is_running_is_left_alone(varied: Repository, command: str) -> None:
    """Its result is about to be published; it is not taken away from under it."""
    task = "train:current"
    with hold(f"{varied.path}/build/held/{file_name(task)}"):
        done = varied.doit(command, task, "evaluate:current", "train:changed")

    told = f"ERROR: `{task}` is being run, by another `doit`\n\nhint: try again when that has ended"
    assert (3, told) == (done.returncode, done.stderr.rstrip())
    assert (varied.path / "build/models/current/train").exists()
    assert not (varied.path / "build/models/current/evaluate").exists()
    assert not (varied.path / "build/models/changed/train").exists()
    assert 0 == varied.doit(command, task).returncode
    assert not (varied.path / "build/models/current/train").exists()


@pytest.mark.parametrize("command", ["list", "why", "check", "resources", "doctor", "compare"])
def test_options_behind_words(repository: Repository, command: str) -> None:
    """They count as before them; one that there is not is no name of a model."""
    name = repository.add("good-python")
    words = [name]
    if command == "compare":
        for git in ("init -q", "add -A", "-c user.name=a -c user.email=b commit -qm c"):
            subprocess.run(["git", *git.split()], cwd=repository.path, check=True)
        words = ["HEAD"]

    assert asked(repository, command, "--json", *words) == asked(repository, command, *words)
    done = repository.doit(command, *words, "--jsn")

    assert done.returncode == 3
    assert f"`doit {command}`: option --jsn not recognized" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-n x", "`doit run`: -n takes a number, not x"),
        ("run --process=1.5", "`doit run`: --process takes a number, not 1.5"),
        ("gc --keep it's", "`doit gc`: --keep takes a number, not it's"),
        ("serve --port 80a", "`doit serve`: --port takes a number, not 80a"),
    ],
)
def test_what_is_no_number(repository: Repository, words: str, said: str) -> None:
    """An option that takes one says so, in our words."""
    done = repository.doit(*words.split())

    command = said.split("`")[1].removeprefix("doit ")
    hint = f"hint: `doit help {command}` lists its options"
    assert (3, f"ERROR: {said}\n\n{hint}\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("command", ["run", "serve"])
def test_steps_run_in_threads(repository: Repository, command: str) -> None:
    """There is no other way, and no option for it: no task of ours can be pickled."""
    done = repository.doit(command, "-P", "process")

    assert 3 == done.returncode
    assert f"`doit {command}`: option -P not recognized" in done.stderr
    assert "multiprocessing" not in repository.doit("help", command).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("comapre", "There is no task `comapre`\n\nhint: did you mean `compare`?"),
        ("chek good-python", "There is no task `chek`\n\nhint: did you mean `check`?"),
        ("doctr --json", "There is no task `doctr`\n\nhint: did you mean `doctor`?"),
        ("servee", "There is no task `servee`\n\nhint: did you mean `serve`?"),
        (
            "accpet train:good-python --why y",
            "`doit run`: option --why not recognized\n\nhint: did you mean `accept`?",
        ),
        ("train chek", "There is no task `chek`\n\nhint: `doit list` shows the models"),
        ("run check", "There is no task `check`\n\nhint: `doit list` shows the models"),
        (
            "train:good-python --datset x",
            "`doit run`: option --datset not recognized\n\nhint: did you mean `--dataset`?",
        ),
        (
            "list --josn=1",
            "`doit list`: option --josn not recognized\n\nhint: did you mean `--json`?",
        ),
        ("score --jsn", "`doit run`: option --jsn not recognized\n\n" + LISTED),
    ],
)
def test_a_slip_of_the_finger(repository: Repository, words: str, said: str) -> None:
    """What was meant is proposed: an option, or a command, which is none behind another word."""
    repository.add("good-python")

    done = repository.doit(*words.split())

    assert (3, f"ERROR: {said}\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("path", "reason"), [("/nowhere/x", "No such file or directory"), (".", "Is a directory")]
)
def test_a_report_that_cannot_be_written(repository: Repository, path: str, reason: str) -> None:
    """It is named with the reason, before anything is run."""
    name = repository.add("good-python")

    done = repository.doit("-o", path, f"train:{name}")

    assert (3, "") == (done.returncode, done.stdout)
    assert f"ERROR: `{path}` cannot be used\n  reason  {reason}\n\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (repository.path / "build/models").exists()


def test_list_on_a_terminal(varied: Repository) -> None:
    """As many metrics are shown as there is room for; how many more there are is said."""
    reading, terminal = pty.openpty()
    subprocess.run(
        varied.command("list", "current"), cwd=varied.path, stdout=terminal, check=True,
        env=varied.variables(COLUMNS="52"),
    )  # fmt: skip
    os.close(terminal)

    head, line = os.read(reading, 65536).decode().splitlines()

    os.close(reading)
    assert head == "MODEL    FRAMEWORK  STATE       METRICS"
    assert line == "current  python     up to date  accuracy 0.900  +1"


def test_list_of_nothing(repository: Repository) -> None:
    """A repository without models says what a model would be."""
    done = repository.doit("list")

    assert done.stdout == "no models: a folder with a model.json below model_definitions/\n"
    assert done.returncode == 0


def test_list_for_programs(varied: Repository) -> None:
    """The list in JSON has the same and more: why a model would run, and its faults."""
    rows = {row["name"]: row for row in asked(varied, "list")}

    assert rows["changed"] == {
        "name": "changed",
        "id": "m-changed",
        "title": "The changed one",
        "framework": "python",
        "state": "changed",
        "reasons": ["file config.json changed"],
        "datasets": [],
        "metrics": {"accuracy": 0.9, "value": 20.0},
        "accepted": {},
        "faults": [],
    }
    assert rows["bad-json"]["faults"] == [FAULT]
    assert {name: row["state"] for name, row in rows.items()} == {
        "bad-json": "broken",
        "changed": "changed",
        "current": "up to date",
        "failed": "failed",
        "new": "new",
    }


def test_list_where_the_training_is_gone(varied: Repository) -> None:
    """A model that is as new has no metrics, although its evaluation is still there."""
    assert 0 == varied.doit("clean", "train:current").returncode

    assert "current  python     new" in varied.doit("list", "current").stdout.splitlines()
    assert 0 == varied.doit("train:current").returncode
    assert "accuracy 0.900" in varied.doit("list", "current").stdout


def test_list_of_tasks_is_doits_own(varied: Repository) -> None:
    """With `--all`, the list is doit's own, of its tasks."""
    done = varied.doit("list", "--all", "train")

    assert done.stdout.splitlines() == [
        "train            train every model",
        "train:bad-json   train bad-json",
        "train:changed    train The changed one",
        "train:current    train The current one",
        "train:failed     train Crashes In Train",
        "train:new        train Framework Folder",
    ]


def test_why(varied: Repository) -> None:
    """Each reason is told in a sentence; a model alone means its training and evaluation."""
    done = varied.doit("why", "changed", "evaluate:current", "score:current", "train:bad-json")

    assert done.returncode == 0
    assert done.stdout == (
        "train:changed must run:\n"
        "  file config.json changed\n"
        "evaluate:changed must run:\n"
        "  file config.json changed\n"
        "  train:changed must run first\n"
        "evaluate:current is up to date\n"
        "score:current must run:\n"
        "  it has no result yet\n"
        "train:bad-json must run:\n"
        f"  the model has faults: {BAD}:4: {FAULT['message']}\n"
        f"  hint: {FAULT['hint']}\n"
    )


def test_why_of_all(varied: Repository) -> None:
    """Without a name, the steps that plain `doit` would run are told, and no others."""
    told = varied.doit("why").stdout
    heads = [line for line in told.splitlines() if not line.startswith(" ")]

    names = ("train:bad-json", "train:changed", "train:failed", "train:new")
    names += tuple(name.replace("train", "evaluate") for name in names)
    assert sorted(heads) == sorted(f"{name} must run:" for name in names)
    assert "train:current" in asked(varied, "why")


def test_why_of_all_where_nothing_is_to_do(repository: Repository) -> None:
    """It is said that there is nothing to do."""
    repository.add("good-python", "current")
    assert repository.doit().returncode == 0

    assert repository.doit("why").stdout == "nothing to do: 2 steps are up to date\n"


def test_why_says_which_import_brings_a_file_in(varied: Repository) -> None:
    """A source that is reached through another is told with the one that imports it."""
    path = "model_definitions/current/model_modules/shared.py"
    varied.write(path, varied.read(path) + "X = 1\n")

    assert asked(varied, "why", "current") == {
        "train:current": ["file model_modules/shared.py changed (`training.py` imports it)"],
        "evaluate:current": [
            "file model_modules/shared.py changed (what `training.py` pickles may be of it)",
            "train:current must run first",
        ],
    }


def test_why_of_a_lost_training(varied: Repository) -> None:
    """Artefacts are several."""
    assert 0 == varied.doit("clean", "train:current").returncode

    assert asked(varied, "why", "evaluate:current") == {
        "evaluate:current": ["artefacts of train are missing", "train:current must run first"]
    }


def test_why_of_what_is_lost(varied: Repository) -> None:
    """Outputs that are gone or changed are named."""
    folder = "build/models/current/train"
    (varied.path / folder / "models/model.txt").unlink()
    varied.write(f"{folder}/run.log", "another")

    assert varied.doit("why", "train:current").stdout == (
        "train:current must run:\n"
        f"  `{folder}/models/model.txt` is missing\n"
        f"  `{folder}/run.log` is not what the step made\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["curent"], "ERROR: There is no model `curent`\n\nhint: did you mean `current`?\n"),
        (
            ["lock:current"],
            "ERROR: `lock:current` is not a step\n\nhint: for instance `train:MODEL`\n",
        ),
    ],
)
def test_why_of_what_is_not_there(repository: Repository, words: list[str], expected: str) -> None:
    """A word that names no step is refused."""
    repository.add("good-python", "current")

    done = repository.doit("why", *words)

    assert done.returncode == 3
    assert done.stderr == expected


def test_a_source_that_cannot_be_parsed(repository: Repository) -> None:
    """It is named with its line; of files that are as they were nothing is said."""
    name = repository.add("good-python")
    assert 0 == repository.doit().returncode
    training = f"model_definitions/{name}/model_modules/training.py"
    before = repository.read(training)
    repository.write(training, f"{before}def f(:\n")
    line = len(before.splitlines()) + 1

    assert (
        f"train:{name} must run:\n"
        f"  file model_modules/training.py cannot be parsed: invalid syntax in line {line}\n"
        f"evaluate:{name} must run:\n"
        f"  train:{name} must run first\n"
    ) == repository.doit("why", name).stdout
    checked = repository.doit("check")
    assert checked.stdout.splitlines() == [
        f"{training}:{line}: warning: cannot be parsed: invalid syntax",
        "1 model, of which 1 can run: 0 faults, 1 warning",
    ]
    assert 0 == checked.returncode


def test_files_that_count_in_another_way(repository: Repository) -> None:
    """Of those nothing is said: they have not changed."""
    name = repository.add("good-python")
    assert 0 == repository.doit().returncode
    training = f"model_definitions/{name}/model_modules/training.py"
    repository.write(training, "import inspect\n" + repository.read(training))

    assert (
        f"train:{name} must run:\n  file model_modules/training.py changed\n"
    ) == repository.doit("why", f"train:{name}").stdout


def test_check(varied: Repository) -> None:
    """The check shows each fault with its file and line, and fails where a model cannot run."""
    done = varied.doit("check")

    assert done.returncode == 1
    first, second, last = done.stdout.splitlines()
    assert [first, second] == [f"{BAD}:4: {FAULT['message']}", f"  hint: {FAULT['hint']}"]
    assert last == "5 models, of which 4 can run: 1 fault, 0 warnings"
    assert asked(varied, "check") == [FAULT]


def test_check_of_a_model_without_an_evaluation(repository: Repository) -> None:
    """That plain `doit` has nothing to evaluate is told before it trains."""
    name = repository.add("good-python")
    modules = repository.path / f"model_definitions/{name}/model_modules"
    for file in ("evaluation.py", "scoring.py"):
        (modules / file).unlink()

    done = repository.doit("check")

    assert 0 == done.returncode
    files = "`evaluation.py` or `evaluate.py` or `scoring.py`"
    assert done.stdout.splitlines() == [
        f"{modules.relative_to(repository.path)}: warning: there is no {files}",
        f"  hint: `doit evaluate:{name}` has nothing to run",
        "1 model, of which 1 can run: 0 faults, 1 warning",
    ]


def test_check_of_a_lock_that_is_not_whole(repository: Repository) -> None:
    """It is told before it is made anew."""
    name = repository.add("good-python")
    repository.write(f"envs/locks/{name}.txt", "# cut")

    done = repository.doit("check")

    assert 0 == done.returncode
    assert f"envs/locks/{name}.txt: warning: the lock is not whole" in done.stdout


def test_check_of_good_models(repository: Repository) -> None:
    """Good models have nothing to tell; nothing is run for it."""
    repository.add("good-python")

    done = repository.doit("check")

    assert done.returncode == 0
    assert done.stdout == "1 model, of which 1 can run: 0 faults, 0 warnings\n"
    assert asked(repository, "check") == []
    assert not (repository.path / "build/models").exists()


def test_single_takes_all_that_are_named(repository: Repository) -> None:
    """`doit -s` runs each of the named steps, and none that they work on."""
    for name in ("one", "two"):
        repository.add("good-python", name)
    assert 0 == repository.doit("evaluate:one", "evaluate:two").returncode

    done = repository.doit("-a", "-s", "evaluate:one", "evaluate:two")

    assert 0 == done.returncode, done.stdout
    assert "2 steps: 2 ran" in done.stdout
    for name in ("one", "two"):
        assert f"evaluate:{name} started" in done.stdout
    assert "2 steps: 2 ran" in repository.doit("-a", "-s", "evaluate").stdout
