"""What the command `doit` answers without doit is what doit would have said, to the byte."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RUNNER, TIMEOUT_SECONDS, Repository
from tests.test_verdicts import same_size_and_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MODELS = "model_definitions"
ONE = f"{MODELS}/one"
SETTLED_SECONDS = 0.05  # what was written in this very moment is not believed in the next run
IDLE = "nothing to do: 4 steps are up to date\n"

# The command `doit`, which says in the end whether doit itself was needed.
FRONT = """
import sys
from tasks.front import main

sys.argv[0] = "doit"
try:
    status = main()
finally:
    open("{told}", "w").write(str("doit.doit_cmd" in sys.modules))
sys.exit(status)
"""


PROGRAM = "import sys; from tasks.front import main; sys.argv[0] = 'doit'; sys.exit(main())"


@dataclass(frozen=True)
class Said:
    """What a command said, and whether doit was loaded to say it."""

    status: int
    out: str
    err: str
    by_doit: bool


@dataclass(frozen=True)
class Front:
    """The command `doit` on a repository of two models."""

    repository: Repository
    told: Path

    @property
    def place(self) -> list[str]:
        """The options that name the runner's tasks and the repository."""
        return ["-f", str(RUNNER / "dodo.py"), "-d", str(self.repository.path)]

    def __call__(self, *words: str, cwd: Path | None = None, **variables: str) -> Said:
        """Run it to its end."""
        program = FRONT.format(told=self.told)
        done = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=cwd or self.repository.path,
            env=self.repository.variables(**variables), capture_output=True, text=True,
            check=False, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr, self.told.read_text() == "True")

    def here(self, *words: str, **variables: str) -> Said:
        """Run it on the repository, by options before the words."""
        return self(*self.place, *words, **variables)


@pytest.mark.parametrize("words", ["-h", "list -h", "serve --help", "help serve", "train:one -h"])
def test_help_that_nobody_reads_on(repository: Repository, words: str) -> None:
    """It ends without a word; `-h` is `--help`."""
    reading, writing = os.pipe()
    os.close(reading)

    done = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *words.split()], cwd=repository.path,
            env=repository.variables(), stdout=out, stderr=subprocess.PIPE, text=True, check=False,
        )
        for out in (writing, subprocess.PIPE)
    ]  # fmt: skip
    os.close(writing)

    assert [(-signal.SIGPIPE, ""), (0, "")] == [(one.returncode, one.stderr) for one in done]
    assert "doit" in done[1].stdout


@pytest.fixture(scope="module")
def trained(shared: Repository) -> Repository:
    """Return a repository of two models with all their results, to be copied."""
    shared.add("good-python", "one")
    shared.add("good-python", "group/two")
    assert 0 == shared.doit().returncode
    return shared


@pytest.fixture
def front(trained: Repository, tmp_path: Path) -> Front:
    """Return a repository in which nothing is to do, and all that can be known of it is known."""
    return settled(trained, tmp_path)


@pytest.fixture(scope="module")
def unchanged(trained: Repository, tmp_path_factory: pytest.TempPathFactory) -> Front:
    """Return such a repository for all tests that leave it as it is."""
    return settled(trained, tmp_path_factory.mktemp("unchanged"))


def settled(trained: Repository, folder: Path) -> Front:
    """Return a copy in this folder, of which all is known that can be."""
    found = Front(trained.copied(folder / "repository"), folder / "told")
    time.sleep(SETTLED_SECONDS)
    assert Said(0, IDLE, "", by_doit=True) == found.here()
    assert Said(0, IDLE, "", by_doit=False) == found.here()
    return found


@pytest.mark.parametrize(
    "words",
    [[], ["run"], ["train"], ["evaluate", "train"], ["train:one"], ["evaluate:group/two"],
     ["train:one", "evaluate:one", "train:one"], ["run", "evaluate:one", "evaluate:group/two"]],
    ids=" ".join,
)  # fmt: skip
def test_it_says_what_doit_says(unchanged: Front, words: list[str]) -> None:
    """Once doit has been asked, the same is answered without it, in the same words."""
    expected = unchanged.repository.doit(*words)
    unchanged.here(*words)

    assert Said(0, expected.stdout, "", by_doit=False) == unchanged.here(*words)
    assert expected.stdout.startswith("nothing to do: ")


def test_an_answer_that_nobody_reads(unchanged: Front) -> None:
    """It ends without a word there too."""
    unchanged.here()
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *unchanged.place], cwd=unchanged.repository.path,
        env=unchanged.repository.variables(), stdout=writing, stderr=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    os.close(writing)

    assert (0, "") == (done.returncode, done.stderr)


DEAF = """\
import os
import signal
import time


def train(data_conf, model_conf, model_id, **kwargs):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while model_id == "deaf" or not os.path.exists(os.environ["GONE"]):
        time.sleep(0.01)
    open("models/model.txt", "w").close()
"""


@pytest.mark.parametrize("noticed", ["by the end of a step", "by Ctrl-C"])
def test_a_run_that_nobody_reads_on(repository: Repository, tmp_path: Path, noticed: str) -> None:
    """It ends without a word, although another step still runs that will not end."""
    for name in ("deaf", "quick"):
        repository.add("good-python", name)
        document = {"id": name, "name": name, "language": "python"}
        repository.write(f"{MODELS}/{name}/model.json", document)
        repository.write(f"{MODELS}/{name}/model_modules/training.py", DEAF)
    with subprocess.Popen(
        repository.command("-n", "2", "train:deaf", "train:quick"), cwd=repository.path,
        env=repository.variables(GONE=str(tmp_path / "gone")), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stderr
        assert [True, True] == [process.stdout.readline().endswith("started\n") for _ in range(2)]
        process.stdout.close()
        if noticed == "by Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            (tmp_path / "gone").touch()
        said = process.stderr.read()

    assert (128 + signal.SIGPIPE, "") == (process.returncode, said)


@pytest.mark.parametrize("words", [[], ["train"], ["evaluate:one"], ["evaluate:group/two"]])
def test_what_was_just_made_is_known(front: Front, words: list[str]) -> None:
    """A run looks at what it has made once more: already the next one needs no doit."""
    front.repository.write(f"{ONE}/config.json", '{"hyperParameters": {"factor": 31}}')
    front.repository.write(f"{MODELS}/group/two/config.json", '{"hyperParameters": {"factor": 32}}')

    assert front.here(*words).by_doit
    said = front.here(*words)

    assert (0, False) == (said.status, said.by_doit)
    assert said.out.startswith("nothing to do: ")


def test_what_was_changed_meanwhile_is_not_known(front: Front) -> None:
    """An edit in the moment in which a run ends is found by the next one."""
    front.repository.write(f"{ONE}/config.json", '{"hyperParameters": {"factor": 31}}')
    front.here()
    front.repository.write(f"{ONE}/config.json", '{"hyperParameters": {"factor": 32}}')

    assert front.here().by_doit


@pytest.mark.parametrize(
    "words",
    [["--reporter", "json"], ["-n", "1"], ["-a", "train:one"], ["train:on"], ["train:none"],
     ["train:one@small"], ["train:*"], ["bogus"], ["train", "evaluate:one"],
     ["train:one", "--twice"], ["env:one"], ["list"], ["why", "train:one"], ["train:group"],
     ["train:group/../one"], ["train:"]],
    ids=" ".join,
)  # fmt: skip
def test_all_else_is_left_to_doit(unchanged: Front, words: list[str]) -> None:
    """Options, models by other names, mistakes and other commands are doit's."""
    split = words[:1] if words[0] in {"list", "why"} else []
    said = unchanged(*split, *unchanged.place, *words[len(split) :])

    assert said.by_doit
    expected = unchanged.repository.doit(*words)
    assert expected.returncode == said.status
    assert expected.stderr == said.err


def other_python(front: Front) -> Mapping[str, str]:
    """Put another Python first on PATH."""
    folder = front.repository.path.parent / "bin"
    folder.mkdir()
    shutil.copy(os.path.realpath(sys.executable), folder / "python3.9")
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def write(path: str, text: str) -> Callable[[Front], object]:
    """Return what writes a file into the repository."""
    return lambda front: front.repository.write(path, text)


def rename(front: Front) -> None:
    """Rename a model."""
    os.rename(front.repository.path / ONE, front.repository.path / f"{MODELS}/other")


def tampered(front: Front) -> None:
    """Write into an artefact, with its size and time kept."""
    path = front.repository.path / "build/models/one/train/models/model.txt"
    before = path.stat()
    path.write_text("9" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Front], Mapping[str, str] | object]] = {
    "an edited file": write(f"{ONE}/model_modules/training.py", "def train(**_):\n    1 / 0\n"),
    "an edit that keeps size and time": lambda front: same_size_and_time(front.repository, ONE),
    "a touched file": lambda front: (
        front.repository.path / f"{ONE}/model_modules/training.py"
    ).touch(),
    "a broken model": write(f"{ONE}/model.json", "{"),
    "a new model": lambda front: front.repository.add("good-python", "three"),
    "a new model in a folder of its own": lambda front: front.repository.add(
        "good-python", "group/sub/three"
    ),
    "a model around a model": write(f"{MODELS}/group/model.json", "{}"),
    "a model renamed": rename,
    "a tampered artefact": tampered,
    "the state file gone": lambda front: (front.repository.path / "build/state.db").unlink(),
    "the state file damaged": lambda front: (front.repository.path / "build/state.db").write_text(
        "no database " * 500
    ),
    "results gone": lambda front: shutil.rmtree(front.repository.path / "build/results"),
    "what a killed run left": lambda front: (
        front.repository.path / "build/runs/train-one-0123456789ab/work"
    ).mkdir(parents=True),
    "doit's configuration": write("doit.cfg", "[GLOBAL]\nreporter = json\n"),
    "another interpreter": other_python,
    "a variable of ours": lambda _front: {"MODEL_BROKER": "nonsense"},
    "another cache": lambda front: {"MODEL_CACHE": str(front.repository.path.parent / "cache2")},
    "locks are to be tracked": lambda front: (front.repository.path / "envs/locks").mkdir(
        parents=True
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_what_has_changed_is_not_passed_over(
    front: Front, change: Callable[[Front], Mapping[str, str] | object]
) -> None:
    """Whatever it is, doit is asked, and says of it what it says without the front."""
    front.here("evaluate:one")
    copy = front.repository.path.with_name("copy")
    variables = change(front)
    variables = variables if isinstance(variables, dict) else {}
    shutil.copytree(front.repository.path, copy, symlinks=True)

    said = front.here(**variables)
    place = ["-f", str(RUNNER / "dodo.py"), "-d", str(copy)]
    plain = subprocess.run(
        [sys.executable, "-m", "doit", *place], cwd=copy, capture_output=True, text=True,
        env=front.repository.variables(**variables), check=False, timeout=TIMEOUT_SECONDS,
    )  # fmt: skip

    assert said.by_doit
    assert plain.returncode == said.status
    assert ("nothing to do" in plain.stdout) == ("nothing to do" in said.out)


def test_a_step_that_doit_is_to_ignore_is_left_to_it(front: Front) -> None:
    """What `doit ignore` was told is in doit's own rows."""
    front.here("evaluate:one")
    assert 0 == front.repository.doit("ignore", "train:one").returncode

    said = front.here("evaluate:one")

    assert said.by_doit
    assert front.repository.doit("evaluate:one").stdout == said.out


def test_a_model_that_is_gone_is_not_counted(front: Front) -> None:
    """What is left is still as it was."""
    shutil.rmtree(front.repository.path / ONE)

    assert Said(0, IDLE.replace("4", "2"), "", by_doit=False) == front.here()
    assert front.here("train:one").by_doit


@pytest.mark.parametrize("change", ["an edited file", "a tampered artefact", "a broken model"])
def test_one_model_that_has_changed_is_not_passed_over(front: Front, change: str) -> None:
    """The same for a model that is named; of another one nothing is asked."""
    front.here("evaluate:one")
    front.here("evaluate:group/two")
    CHANGES[change](front)

    assert front.here("evaluate:one").by_doit
    assert not front.here("evaluate:group/two").by_doit


def test_a_model_that_is_named_is_the_only_one_read(front: Front) -> None:
    """What a run of one model costs does not depend on the others: they are not looked at."""
    for number in range(3):
        front.repository.add("good-python", f"more-{number}")
    with sqlite3.connect(front.repository.path / "build/state.db") as connection:
        connection.execute("delete from file")
        connection.execute("delete from verdict")

    assert front.here("-a", "train:one").by_doit

    with sqlite3.connect(front.repository.path / "build/state.db") as connection:
        seen = connection.execute("select path from file where path like 'model_def%'").fetchall()
    assert {ONE} == {"/".join(path.split("/")[:2]) for (path,) in seen}


def test_own_tasks_beside_ours_are_doits(front: Front) -> None:
    """A file of tasks that has others as well may mean anything by a word; each task is there."""
    own = "\n\ndef task_copy():\n    return {'actions': ['true'], 'task_dep': ['evaluate:one']}\n"
    front.repository.write("dodo.py", (RUNNER / "dodo.py").read_text() + own)

    for words in ([], ["train"], ["train:group/two"], ["copy"]):
        assert front(*words, PYTHONPATH=str(RUNNER)).status == 0
        assert front(*words, PYTHONPATH=str(RUNNER)).by_doit


def test_it_is_the_same_repository_from_elsewhere(front: Front, tmp_path: Path) -> None:
    """Each folder that it is called from is vouched for by itself; files there count."""
    (tmp_path / "doit.cfg").write_text("[GLOBAL]\nverbosity = 0\n")

    assert [True, True] == [front(*front.place, cwd=tmp_path).by_doit for _ in range(2)]
    (tmp_path / "doit.cfg").unlink()
    assert [True, False] == [front(*front.place, cwd=tmp_path).by_doit for _ in range(2)]


def test_a_further_link_to_an_artefact_costs_a_look(front: Front) -> None:
    """It has another time of change then, and the same bytes."""
    artefact = front.repository.path / "build/models/one/train/models/model.txt"
    os.link(artefact, front.repository.path / "link")

    assert Said(0, IDLE, "", by_doit=True) == front.here()
    assert Said(0, IDLE, "", by_doit=False) == front.here()


def test_the_installed_command_is_ours() -> None:
    """`doit` is the command of this package, and does what doit does."""
    command = os.path.join(os.path.dirname(sys.executable), "doit")
    texts = [
        subprocess.run(
            [*words, "--version"], capture_output=True, text=True, check=True, cwd=RUNNER
        ).stdout
        for words in ([command], [sys.executable, "-m", "doit"])
    ]

    assert "tasks.front" in (RUNNER / command).read_text()
    assert texts[0] == texts[1]


def test_a_folder_without_tasks(front: Front, tmp_path: Path) -> None:
    """Where they are is told, or that they are nowhere above."""
    below = front.repository.path / "model_definitions"
    (front.repository.path / "dodo.py").write_text("")

    said, nowhere = front("list", cwd=below), front("list", cwd=tmp_path)

    assert 3 == said.status == nowhere.status
    assert said.err.endswith(f"\nhint: `doit -k` runs in {front.repository.path}\n")
    assert nowhere.err.endswith("\nhint: run it in the folder of a repository of models\n")


@pytest.mark.parametrize(
    "words",
    ["why serve:one", "run serve:one", "train:one serve:one", "clean serve:one"],
)
def test_serving_is_no_step(unchanged: Front, words: str) -> None:
    """Behind another word it is told to be a command, and the words before are no models."""
    command, place = words.split(), unchanged.place
    named = command[:1] if ":" not in command[0] else []

    said = unchanged(*named, *place, *command[len(named) :])

    expected = "ERROR: `serve:one` is no step, but a command\n\nhint: `doit serve:one`\n"
    assert (3, "", expected) == (said.status, said.out, said.err)
    assert "There is no model `serve:one`" in unchanged("list", *place, "serve:one").err


def test_serving_behind_options(unchanged: Front) -> None:
    """Options may stand before the command, with what they take; a reason may begin as it does."""
    for words in (["-n", "1"], ["-a"], ["--port=0"]):
        said = unchanged.here(*words, "serve:none")
        assert "There is no model `none`" in said.err
    why = unchanged("accept", *unchanged.place, "train:one", "--why", "serve:one needs it not")
    assert "There is no model" not in why.err
    assert "train:one" in why.err


def test_an_empty_word(unchanged: Front) -> None:
    """A variable that is not set makes an empty word, which is told."""
    for words in ([""], ["affected", "--base", ""]):
        said = unchanged(*words)
        assert (3, True) == (said.status, "A word of the command is empty" in said.err)


def test_an_address_of_another_kind(front: Front, tmp_path: Path) -> None:
    """An address that cannot be one is told, although there is nothing to do."""
    good = {"MODEL_STORE": f"{tmp_path}/others"}
    front.here(**good)
    assert not front.here(**good).by_doit

    assert 3 == front.here(MODEL_STORE="ftp://nope").status


def test_no_secret_is_kept(front: Front, tmp_path: Path) -> None:
    """What doit vouches for names variables; those that may hold a password without their value."""
    secrets = {"MODEL_STORE": f"{tmp_path}/others", "MODEL_STORE_KEY": "hunter2"}
    secrets |= {"MODEL_SERVE_TOKENS": "hunter2", "MODEL_OF_MINE": "hunter2"}
    front.here(**secrets)

    assert Said(0, IDLE, "", by_doit=False) == front.here(**secrets)
    kept = b"".join(p.read_bytes() for p in front.repository.path.glob("build/state.db*"))
    assert b"MODEL_STORE_KEY" in kept
    assert b"hunter2" not in kept
