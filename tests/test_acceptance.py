"""Steps keyed by the syntax trees of their sources, and changes that somebody accepts."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tasks import plan, runs
from tasks.acceptance import accept
from tasks.discover import read_model
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.model import Model
from tasks.plan import Step
from tasks.sources import trees
from tasks.state import State
from tests.assertions import await_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repository

MODEL = "model_definitions/good-python"
MODULES = f"{MODEL}/model_modules"
TRAIN = "build/models/good-python/train"
NOTHING = "nothing to do: 2 steps are up to date\n"
CHANGED = "file model_modules/training.py changed"


@pytest.fixture(scope="module")
def original(shared: Repository) -> Repository:
    """Return a repository in which all is up to date."""
    shared.add("good-python")
    assert 0 == shared.doit().returncode
    return shared


@pytest.fixture
def built(original: Repository, tmp_path: Path) -> Repository:
    """Return a copy of it."""
    return original.copied(tmp_path / "repository")


def append(repository: Repository, text: str, module: str = "training") -> None:
    """Write a text at the end of a module."""
    path = f"{MODULES}/{module}.py"
    repository.write(path, repository.read(path) + text)


def change_model(repository: Repository, **keys: object) -> None:
    """Set keys of model.json."""
    document = repository.json(f"{MODEL}/model.json")
    repository.write(f"{MODEL}/model.json", {**document, **keys})


class TestTrees:
    """Which edit of a source makes a step run."""

    def test_a_comment_makes_nothing_run(self, built: Repository) -> None:
        """Nor does a formatter; the record says that it is the tree which counts."""
        append(built, "\n\n# A remark.\n")
        append(built, '\n\nif False :\n    x = { "a":1 }\n', "scoring")

        assert NOTHING == built.doit().stdout
        assert "nothing to do" in built.doit("train:good-python").stdout
        inputs = built.json(f"{TRAIN}/run.json")["inputs"]
        kinds = {name: value[:5] for name, value in inputs.items() if name.endswith(".py")}
        assert {"tree "} == set(kinds.values())

    def test_code_makes_the_step_run(self, built: Repository) -> None:
        """It is told as ever."""
        append(built, "\nX = 1\n")

        assert f"  {CHANGED}\n" in built.doit("why").stdout
        assert "train:good-python ok" in built.doit().stdout

    def test_by_bytes(self, repository: Repository) -> None:
        """`keyBy` turns it off: then a comment is a change."""
        repository.add("good-python")
        change_model(repository, keyBy="bytes")
        assert 0 == repository.doit().returncode
        append(repository, "\n# A remark.\n")

        assert f"  {CHANGED}\n" in repository.doit("why").stdout

    def test_another_value(self, built: Repository) -> None:
        """It is one of two words."""
        change_model(built, keyBy="text")

        fault = "`keyBy`: expected `bytes` or `tree`, found the string `text`"
        assert fault in built.doit("check").stdout

    def test_one_that_looks_makes_all_count_by_bytes(self, built: Repository) -> None:
        """A source can read the text of another."""
        append(built, "\nimport inspect\n")
        assert 0 == built.doit().returncode
        append(built, "\n# A remark.\n", "shared")

        why = built.doit("why").stdout
        assert "file model_modules/shared.py changed (`training.py` imports it)" in why

    @pytest.mark.parametrize(
        ("python", "found"),
        [("CPython 3.10.0 x86_64", 1), ("CPython 3.9.18 x86_64", 0), ("CPython 2.7.18 x86_64", 0)],
    )
    def test_an_older_python(self, tmp_path: Path, python: str, found: int) -> None:
        """What it reads in a source is not always what the build system's own reads."""
        (tmp_path / "model_modules").mkdir()
        (tmp_path / "model_modules/training.py").write_text("x = 1\n")
        folder = str(tmp_path)
        model = Model("m", folder, folder, {"language": "python"}, sources=("training.py",))

        assert found == len(trees(["training.py"], model, python, Files()))

    def test_other_languages(self, tmp_path: Path) -> None:
        """R and SQL count by bytes."""
        (tmp_path / "model_modules").mkdir()
        folder = str(tmp_path)
        for language, name in (("r", "training.R"), ("sql", "training.sql")):
            (tmp_path / f"model_modules/{name}").write_text("")
            model = Model("m", folder, folder, {"language": language}, sources=(name,))

            assert {} == trees([name], model, "CPython 3.12.1 x86_64", Files())

    def test_a_comment_during_a_run(self, repository: Repository) -> None:
        """The result is refused: something may have been read while it was half written."""
        repository.add("good-python")
        flag = repository.path / "go"
        waits = f"import os, time\nopen('{flag}.began', 'w')\n"
        waits += f"while not os.path.exists('{flag}'):\n    time.sleep(0.01)\n"
        source = repository.read(f"{MODULES}/training.py")
        repository.write(f"{MODULES}/training.py", waits + source)
        process = repository.start()
        await_file(repository.path / "go.began")
        append(repository, "# A remark.\n")
        flag.touch()
        output, _ = process.communicate(timeout=60)

        assert "reads changed while it ran" in output
        assert f"changed  {MODULES}/training.py\n" in output


class TestAccept:
    """What an acceptance says, and how long it holds."""

    def test_it_makes_the_step_current(self, built: Repository) -> None:
        """The record keeps what the result was made from, and says who accepted what and why."""
        before = built.json(f"{TRAIN}/run.json")
        append(built, "\nX = 1\n")
        done = built.doit("accept", "train:good", "--why", "X is not used")

        assert 0 == done.returncode, done.stderr
        assert NOTHING == built.doit().stdout
        after = built.json(f"{TRAIN}/run.json")
        (accepted,) = after.pop("accepted")
        assert before.pop("sum") != after.pop("sum")
        assert before == after
        assert [["X is not used"], [CHANGED]] == [[accepted["why"]], accepted["changes"]]
        differs = [n for n in accepted["inputs"] if accepted["inputs"][n] != before["inputs"][n]]
        assert ["file model_modules/training.py"] == differs
        files = Files()
        for name, digest in before["outputs"].items():
            assert digest == files.digest(str(built.path / TRAIN / name))
        assert 2 == len(os.listdir(built.path / "build/results"))
        assert [] == os.listdir(built.path / "build/runs")

    def test_the_key_is_that_of_the_inputs(
        self, built: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store files the result under it."""
        append(built, "\nX = 1\n")
        accepted = accept_here(built, monkeypatch, "train")
        step = Step(read_model(MODEL, Files()), "train")

        assert plan.key(step, accepted.inputs) == accepted.key
        assert built.json(f"{TRAIN}/run.json")["key"] != accepted.key

    def test_it_is_shown(self, built: Repository) -> None:
        """By `why`, by `list`, and in the reports."""
        git = ["git", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q"], cwd=built.path, check=True)
        subprocess.run([*git, "config", "user.name", "Ada"], cwd=built.path, check=True)
        append(built, "\nX = 1\n")
        said = built.doit("accept", "train:good-python", "--why", "X is not used").stdout
        when = built.json(f"{TRAIN}/run.json")["accepted"][0]["when"]
        sentence = f'accepted by Ada on {when[:10]}: "X is not used" ({CHANGED})'

        assert f"train:good-python is up to date: {sentence}\n" == said
        assert said in built.doit("why", "good-python").stdout
        assert "value 20  accepted\n" in built.doit("list").stdout
        (row,) = json.loads(built.doit("list", "--json").stdout)
        listed = row["accepted"]["train:good-python"]
        assert ["Ada", when, "X is not used", [CHANGED]] == [
            listed[field] for field in ("who", "when", "why", "changes")
        ]
        events = [json.loads(line) for line in built.doit("-r", "json").stdout.splitlines()]
        assert sentence in [event.get("message") for event in events]
        assert f"train:good-python {sentence}" in built.doit("-r", "evaluation").stdout
        reports = built.path / "build/reports"
        assert f"- `train:good-python {sentence}`\n" in (reports / "evaluate.md").read_text()
        (evaluation,) = built.json("build/reports/evaluate.json")["evaluations"]
        assert [f"train:good-python {sentence}"] == evaluation["accepted"]
        assert 'name="accepted"' in (reports / "evaluate.xml").read_text()

    def test_a_later_change_counts(self, built: Repository) -> None:
        """It is held against what was accepted last; the result of the run has no acceptance."""
        append(built, "\nX = 1\n")
        assert 0 == built.doit("accept", "train:good-python", "--why", "unused").returncode
        built.write(f"{MODEL}/config.json", {"hyperParameters": {"factor": 3}})

        why = built.doit("why", "train:good-python").stdout
        assert "train:good-python must run:\n  file config.json changed\n" == why
        assert 0 == built.doit().returncode
        assert "30.0" == built.read(f"{TRAIN}/models/model.txt")
        assert "accepted" not in built.json(f"{TRAIN}/run.json")

    def test_a_change_back_needs_no_acceptance(self, built: Repository) -> None:
        """What a result was made from never stops to count, nor does what was accepted before."""
        source = built.read(f"{MODULES}/training.py")
        for text in ("\nX = 1\n", "\nY = 1\n"):
            append(built, text)
            assert 0 == built.doit("accept", "train:good-python", "--why", "unused").returncode
        assert 2 == len(built.json(f"{TRAIN}/run.json")["accepted"])

        built.write(f"{MODULES}/training.py", f"{source}\nX = 1\n")
        assert "accepted by" in built.doit("why", "train:good-python").stdout
        built.write(f"{MODULES}/training.py", source)
        assert "train:good-python is up to date\n" == built.doit("why", "train:good-python").stdout

    def test_it_is_stored(self, built: Repository) -> None:
        """An accepted result is restored with its acceptance, until it is forgotten."""
        source = built.read(f"{MODULES}/training.py")
        append(built, "\nX = 1\n")
        assert 0 == built.doit("accept", "train:good-python", "--why", "unused").returncode
        shutil.rmtree(built.path / "build/models")
        shutil.rmtree(built.path / "build/results")

        done = built.doit()
        assert "2 steps: 2 restored" in done.stdout
        assert "accepted by" in done.stdout
        assert "accepted by" in built.doit("why", "train:good-python").stdout
        built.write(f"{MODULES}/training.py", f"{source}\nY = 1\n")
        assert "train:good-python ok" in built.doit("train:good-python").stdout
        append(built, "\nX = 1\n")
        assert 0 == built.doit("accept", "train:good-python", "--why", "unused").returncode
        built.doit("forget", "train:good-python")
        assert "train:good-python ok" in built.doit("train:good-python").stdout

    def test_others_get_it(self, built: Repository, tmp_path: Path) -> None:
        """With the store of others comes what somebody has accepted, and who."""
        append(built, "\nX = 1\n")
        variables = {"MODEL_STORE": str(tmp_path / "shared")}
        done = built.doit("accept", "train:good-python", "--why", "unused", **variables)
        assert 0 == done.returncode, done.stderr
        shutil.rmtree(built.path / "build")

        done = built.doit("train:good-python", **variables)
        assert "train:good-python restored" in done.stdout
        assert "accepted by" in built.doit("why", "train:good-python").stdout

    def test_what_is_accepted_is_not_collected(self, built: Repository) -> None:
        """The key of a result that is there now is one of those that it was accepted for."""
        append(built, "\nX = 1\n")
        assert 0 == built.doit("accept", "train:good-python", "--why", "unused").returncode
        built.doit("gc", "--keep", "0")
        key = built.json(f"{TRAIN}/run.json")["accepted"][0]["key"]

        assert (built.path / f"build/store/results/{key[:2]}/{key[2:]}").exists()

    def test_several_steps(self, built: Repository) -> None:
        """A training is accepted before what works on it, in whatever order they are named."""
        append(built, "\nX = 1\n", "shared")
        append(built, "\nX = 1\n", "evaluation")
        steps = ("evaluate:good-python", "train:Good Python")
        done = built.doit("accept", "--why", "unused", *steps)

        assert ["train", "evaluate"] == [
            line[: line.index(":")] for line in done.stdout.split("\n")[:2]
        ]
        assert NOTHING == built.doit().stdout

    def test_a_named_dataset(self, built: Repository) -> None:
        """Its steps are accepted by their own names."""
        built.write(f"{MODEL}/datasets/big.json", {"data_path": "data.csv"})
        assert 0 == built.doit("train:good-python@big").returncode
        append(built, "\nX = 1\n")

        assert 0 == built.doit("accept", "train:good-python@big", "--why", "unused").returncode
        assert "nothing to do" in built.doit("train:good-python@big").stdout
        assert CHANGED in built.doit("why", "train:good-python").stdout

    @pytest.mark.parametrize(
        "words",
        [
            ("--why", "unused"),
            ("good-python", "--why", "unused"),
            ("train", "--why", "unused"),
            ("env:good-python", "--why", "unused"),
            ("train:nobody", "--why", "unused"),
            ("train:good-python",),
            ("train:good-python", "--why="),
            ("train:good-python", "--why", "  "),
        ],
    )
    def test_what_is_not_understood(self, built: Repository, words: tuple[str, ...]) -> None:
        """Steps are named one by one, and with a reason."""
        append(built, "\nX = 1\n")
        done = built.doit("accept", *words)

        assert 3 == done.returncode
        assert "accepted" not in built.json(f"{TRAIN}/run.json")

    def test_a_source_that_cannot_be_parsed(self, built: Repository) -> None:
        """What is accepted could be run as well."""
        append(built, "def (:\n")
        done = built.doit("accept", "train:good-python", "--why", "unused")

        assert 1 == done.returncode
        assert "cannot run with the sources as they are now" in done.stderr
        assert "accepted" not in built.json(f"{TRAIN}/run.json")

    def test_a_step_that_is_refused(self, built: Repository) -> None:
        """Its error is told, and the others are accepted all the same."""
        append(built, "\nX = 1\n")
        done = built.doit("accept", "score:good-python", "train:good-python", "--why", "unused")

        assert 1 == done.returncode
        assert "`score:good-python` has no result that could be accepted" in done.stderr
        assert "train:good-python is up to date: accepted by" in done.stdout


def accept_here(repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:  # noqa: ANN401
    """Accept a step in this process."""
    monkeypatch.chdir(repository.path)
    monkeypatch.setenv("MODEL_CACHE", str(repository.cache))
    step = Step(read_model(MODEL, Files()), name)
    return accept(step, "it cannot matter", State("build/state.db"), print)


def other_artefacts(repository: Repository) -> None:
    """Have training make another model, and change what the evaluation reads."""
    repository.write(f"{MODEL}/config.json", {"hyperParameters": {"factor": 3}})
    assert 0 == repository.doit("train:good-python").returncode


def failed(repository: Repository) -> None:
    """Have a run fail."""
    append(repository, "\n1 / 0\n")
    assert 1 == repository.doit("train:good-python").returncode


def strict(repository: Repository) -> None:
    """Ask more of the metrics than they are."""
    change_model(repository, evaluation={"thresholds": {"accuracy": {"min": 0.95}}})


def unlink(path: str) -> Callable[[Repository], None]:
    """Return what removes a file."""
    return lambda repository: (repository.path / path).unlink()


REFUSED: dict[str, tuple[str, Callable[[Repository], object], str]] = {
    "up to date": ("train", lambda _: None, "is up to date: there is nothing to accept"),
    "only a comment": ("train", lambda r: append(r, "# A remark.\n"), "there is nothing to accept"),
    "never run": ("score", lambda _: None, "has no result that could be accepted"),
    "removed": ("train", unlink(TRAIN), "has no result that could be accepted"),
    "a record that is torn": (
        "train", lambda r: r.write(f"{TRAIN}/run.json", r.read(f"{TRAIN}/run.json")[:-20]),
        "has no result that could be accepted",
    ),
    "a damaged result": (
        "train", lambda r: r.write(f"{TRAIN}/models/model.txt", "0"), "is damaged",
    ),
    "a file of it is gone": ("train", unlink(f"{TRAIN}/run.log"), "is damaged"),
    "a model with faults": ("train", lambda r: change_model(r, id=1), "cannot be used"),
    "requirements that no lock answers": (
        "train", lambda r: r.write(f"{MODULES}/requirements.txt", "tiny==1.0\n"),
        "has no lock that fits its requirements",
    ),
    "training is not up to date": (
        "evaluate", lambda r: append(r, "\nX = 1\n"), "`train:good-python` is not up to date",
    ),
    "training made another model": ("evaluate", other_artefacts, "worked on another model"),
    "data is missing": ("train", unlink(f"{MODEL}/data.csv"), "lacks what it reads"),
    "it has failed so": ("train", failed, "A run of `train:good-python` on these inputs failed"),
    "a threshold is broken": ("evaluate", strict, "is not good enough"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "headline"), REFUSED.values(), ids=list(REFUSED))
def test_refused(
    built: Repository,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: Callable[[Repository], object],
    headline: str,
) -> None:
    """What would be a lie, or cannot be known, is an error; the result is as it was."""
    change(built)
    link = built.path / f"build/models/good-python/{name}"
    before = os.path.lexists(link) and os.readlink(link)

    with pytest.raises(UserError, match=re.escape(headline)):
        accept_here(built, monkeypatch, name)

    assert before == (os.path.lexists(link) and os.readlink(link))


def test_an_older_failure(built: Repository) -> None:
    """What failed was an edit that was taken back; another one has never run."""
    before = built.read(f"{MODULES}/training.py")
    failed(built)
    assert "  failed  " in built.doit("list").stdout
    why = "  a run with these inputs failed, and what it left is in build/failed/good-python/train"
    assert why in built.doit("why", "train:good-python").stdout.splitlines()
    built.write(f"{MODULES}/training.py", before + "\nX = 1\n")

    assert "  changed  " in built.doit("list").stdout
    assert (
        f"train:good-python must run:\n  {CHANGED}\n"
        == built.doit("why", "train:good-python").stdout
    )
    accepted = built.doit("accept", "train:good-python", "--why", "nobody reads X")
    assert "is up to date: accepted" in accepted.stdout
    assert "nothing to do: 1 step is up to date\n" == built.doit("train:good-python").stdout


def test_a_step_that_is_running(built: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of the run is not known yet."""
    append(built, "\nX = 1\n")
    monkeypatch.chdir(built.path)
    step = Step(read_model(MODEL, Files()), "train")
    hold = f"from tasks import runs\nwith runs.hold({runs.lock_of(step)!r}):\n"
    hold += "    print(flush=True)\n    input()\n"
    root = os.path.dirname(os.path.dirname(runs.__file__))
    with subprocess.Popen(
        [os.sys.executable, "-c", hold], cwd=built.path, env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(UserError, match="is being run") as raised:
            accept_here(built, monkeypatch, "train")
        process.communicate(b"\n")

    assert "try again when that has ended" == raised.value.hint
    assert accept_here(built, monkeypatch, "train")


def test_a_stored_result_that_was_forgotten(built: Repository) -> None:
    """Nobody gets it back, so that it does not stand in the way either."""
    training = f"{MODULES}/training.py"
    before = built.read(training)
    changed = before.replace("\n\n", "\n\nX = 1\n", 1)
    assert changed != before
    words = ("accept", "train:good-python", "--why", "nobody reads X")
    assert 0 == built.doit().returncode
    built.write(training, changed)
    assert 0 == built.doit().returncode
    built.write(training, before)
    assert "restores it" in built.doit(*words).stderr
    assert 0 == built.doit("train:good-python").returncode
    assert 0 == built.doit("forget", "train:good-python").returncode
    built.write(training, changed)
    assert 0 == built.doit("train:good-python").returncode

    built.write(training, before)

    assert "is up to date: accepted" in built.doit(*words).stdout


def test_without_links(built: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no links costs a copy."""

    def refuse(*_: object) -> None:
        raise PermissionError

    append(built, "\nX = 1\n")
    monkeypatch.setattr(os, "link", refuse)
    accept_here(built, monkeypatch, "train")

    assert NOTHING == built.doit().stdout


def test_who_without_git(built: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the login."""
    append(built, "\nX = 1\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "grace")

    assert "grace" == getpass.getuser() == accept_here(built, monkeypatch, "train").who


def test_a_reason_is_one_line(built: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown in lines and tables, and can do nothing to a terminal."""
    append(built, "\nX = 1\n")
    monkeypatch.chdir(built.path)
    step = Step(read_model(MODEL, Files()), "train")
    state = State("build/state.db")

    with pytest.raises(UserError, match="needs a reason"):
        accept(step, " \n\x1b", state, print)
    assert "not [2Jused" == accept(step, "not\n\x1b[2Jused ", state, print).why


def test_thresholds_that_are_met(built: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other thresholds can be accepted where the metrics keep them."""
    change_model(built, evaluation={"thresholds": {"accuracy": {"min": 0.5}}})
    (change,) = accept_here(built, monkeypatch, "evaluate").changes

    assert change.startswith("model.json: thresholds changed")
    assert NOTHING == built.doit().stdout
