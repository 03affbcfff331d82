"""`cli/run-model-cli.py`: a step of any language, run apart from the build as the build runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.wording import number_text
from tests.assertions import WAIT_SECONDS, await_end, await_file, is_alive, wait_until
from tests.conftest import RUNNER, TIMEOUT_SECONDS, Repository
from tests.r_models import add as add_r

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = RUNNER / "cli/run-model-cli.py"
SECRET = "hunter22"  # noqa: S105 - of nobody
DOWN, ENTER, INTERRUPT = b"\x1b[B", b"\r", b"\x03"

SQL = {
    "training": "CREATE TABLE {{ model_table }} AS SELECT {{ model_conf.hyperParameters.f }} AS v",
    "evaluation": """CREATE TABLE M AS SELECT 'v' AS "key", v AS "value" FROM {{ model_table }}""",
}

SPARK = """\
from pyspark.sql import SparkSession
def train(data_conf, model_conf, **kwargs):
    spark = SparkSession.builder.getOrCreate()
    open("models/model.txt", "w").write(str(spark.range(3).count()))
    spark.stop()
def evaluate(data_conf, model_conf, **kwargs):
    return {"value": float(open("models/model.txt").read())}
"""


def write_sql(repository: Repository) -> str:
    """Write a small model in SQL, with the lock of one of this repository's."""
    folder = "model_definitions/sql"
    repository.write(f"{folder}/model.json", {"id": "s", "name": "SQL", "language": "sql"})
    repository.write(f"{folder}/config.json", {"hyperParameters": {"f": 2}})
    repository.write(f"{folder}/datasets/evaluate.json", {"metrics_table": "M"})
    for name, text in SQL.items():
        repository.write(f"{folder}/model_modules/{name}.sql", text)
    repository.write("envs/locks/sql.txt", (RUNNER / "envs/locks/sql-svm-churn.txt").read_text())
    return "sql"


def write_spark(repository: Repository) -> str:
    """Write a small PySpark model, with the lock of this repository's."""
    folder = "model_definitions/spark"
    about = {"id": "p", "name": "Spark", "language": "pyspark", "resources": {"master": "local[1]"}}
    repository.write(f"{folder}/model.json", about)
    repository.write(f"{folder}/model_modules/training.py", SPARK)
    repository.write(f"{folder}/model_modules/evaluation.py", SPARK)
    lock = RUNNER / "envs/locks/pyspark-logistic-regression.txt"
    repository.write("envs/locks/spark.txt", lock.read_text())
    return "spark"


def run_model(
    repository: Repository, *words: str, answers: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script to its end, with these answers on a standard input that is no terminal."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=repository.path, env=repository.variables(**variables), input=answers,
        capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
    )  # fmt: skip


def artefacts(folder: Path) -> dict[str, str]:
    """Return the digests of a result's artefacts by path."""
    listed = json.loads((folder / "artefacts.json").read_text())["files"]
    return {name: facts["sha256"] for name, facts in listed.items()}


def build_of(repository: Repository) -> dict[str, int]:
    """Return the files of the build's results and failures, with when they were last written."""
    folders = [repository.path / "build" / name for name in ("models", "results", "failed")]
    paths = [path for folder in folders for path in [folder, *folder.rglob("*")]]
    return {str(path): path.lstat().st_mtime_ns for path in paths if os.path.lexists(path)}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Return where a scratch folder is to be."""
    return tmp_path / "scratch folder"


def _add_python(repository: Repository) -> str:
    return repository.add("good-python")


def _add_r(repository: Repository) -> str:
    return add_r(repository, "good-r")


@pytest.mark.parametrize(
    "add",
    [
        pytest.param(_add_python, id="python", marks=pytest.mark.python),
        pytest.param(_add_r, id="r", marks=pytest.mark.r),
        pytest.param(write_sql, id="sql", marks=pytest.mark.sql),
        pytest.param(write_spark, id="pyspark", marks=pytest.mark.pyspark),
    ],
)
def test_each_language(
    repository: Repository, scratch: Path, add: Callable[[Repository], str]
) -> None:
    """A training and an evaluation leave the same bytes as in the build, which stays untouched."""
    name = add(repository)
    done = run_model(repository, "-id", name, "-m", "evaluate", "--output", str(scratch))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert {} == build_of(repository)
    shown = dict(line.split() for line in done.stdout.partition("\n\n")[0].splitlines())

    assert 0 == repository.doit(f"evaluate:{name}").returncode

    for step in ("train", "evaluate"):
        place = f"models/{name}/{step}"
        assert artefacts(repository.path / "build" / place) == artefacts(scratch / place)
    measured = repository.json(f"build/models/{name}/evaluate/metrics.json")["metrics"]
    assert {key: number_text(value) for key, value in measured.items()} == shown


def test_what_it_says(repository: Repository, scratch: Path) -> None:
    """What happens goes to stderr; metrics, places and the line for the build go to stdout."""
    name = repository.add("good-python")

    done = run_model(repository, name, "evaluate", "-o", str(scratch))

    assert re.sub(r"\d+\.\d s", "0.0 s", done.stderr).splitlines() == [
        f"in {scratch}",
        f"build/models/{name}/train is not up to date: train:{name} runs first",
        f"train:{name} started",
        f"train:{name} ok 0.0 s",
        f"evaluate:{name} started",
        f"evaluate:{name} ok 0.0 s",
    ]
    place = f"{scratch}/models/{name}/evaluate"
    assert done.stdout.splitlines() == [
        "accuracy  0.900",
        "value     20",
        "",
        f"artefacts     {place}",
        "                models/evaluation.json  32 bytes",
        f"log           {place}/run.log",
        f"in the build  doit -f {RUNNER}/dodo.py -d {repository.path} evaluate:{name}",
    ]


def test_the_line_for_the_build(repository: Repository) -> None:
    """The line that is printed makes the same result in the build."""
    name = repository.add("good-python", "good's python")
    done = run_model(repository, name, "train")
    line = done.stdout.splitlines()[-1].removeprefix("in the build  ")

    words = [sys.executable, "-m", *shlex.split(line)]
    again = subprocess.run(
        words, env=repository.variables(), capture_output=True, text=True, check=False
    )

    assert "doit" == words[2]
    assert 0 == again.returncode, again.stdout + again.stderr
    made = Path(done.stdout.split("\n")[0].removeprefix("artefacts     "))
    assert artefacts(repository.path / f"build/models/{name}/train") == artefacts(made)
    shutil.rmtree(made.parents[2])


def test_whose_training(repository: Repository, scratch: Path) -> None:
    """It is the scratch folder's own while that is current, else the build's, else a new one."""
    name = repository.add("good-python")
    config = f"model_definitions/{name}/config.json"
    original = repository.read(config)
    words = (name, "evaluate", "--output", str(scratch))
    assert 0 == repository.doit(f"train:{name}").returncode
    before = build_of(repository)

    of_build = run_model(repository, *words)
    repository.write(config, {"hyperParameters": {"factor": 3}})
    new = run_model(repository, *words)
    own = run_model(repository, *words)
    repository.write(config, original)
    of_build_again = run_model(repository, *words)

    of = [done.stderr.splitlines()[1] for done in (of_build, new, own, of_build_again)]
    built = f"build/models/{name}/train"
    assert of == [
        f"the training is that of {built}",
        f"{built} is not up to date: train:{name} runs first",
        f"the training is that of {scratch}/models/{name}/train",
        f"the training is that of {built}",
    ]
    runs = (of_build, new, own, of_build_again)
    values = [re.search(r"value +(\d+)", done.stdout) for done in runs]
    assert ["20", "30", "30", "20"] == [value and value[1] for value in values]
    assert before == build_of(repository)


def test_datasets(repository: Repository, scratch: Path) -> None:
    """A dataset of the model by its name, or a JSON file from the folder that one is in."""
    name = repository.add("good-python")
    folder = f"model_definitions/{name}"
    repository.write(f"{folder}/seven.csv", "7\n")
    repository.write(f"{folder}/datasets/big.json", {"data_path": "seven.csv"})
    (repository.path / "mine").mkdir()
    (repository.path / "mine/my own.json").write_text('{"data_path": "seven.csv"}')
    inner = Repository(repository.path / "mine", repository.cache)

    named = run_model(repository, name, "train", "-d", "big", "-o", str(scratch))
    own = run_model(inner, name, "train", "-d", "my own.json", "-o", str(scratch))

    assert (0, 0) == (named.returncode, own.returncode), named.stderr + own.stderr
    assert "14.0" == (scratch / f"models/{name}@big/train/models/model.txt").read_text()
    assert "14.0" == (scratch / f"models/{name}/train/models/model.txt").read_text()
    assert named.stdout.splitlines()[-1].endswith(f" train:{name}@big")
    place = f"{folder}/datasets/my own"
    copied = f"mkdir -p '{place}' && cp '{inner.path}/my own.json' '{place}/train.json' && doit"
    assert own.stdout.splitlines()[-1].startswith(f"in the build  {copied}")


def test_a_file_is_for_the_one_step(repository: Repository, scratch: Path) -> None:
    """Data to evaluate on are not what the model is trained on."""
    name = repository.add("good-python")
    repository.write("my.json", {"data_path": "missing.csv"})

    done = run_model(repository, name, "evaluate", "-d", "my.json", "-o", str(scratch))

    assert 1 == done.returncode
    assert f"train:{name} ok" in done.stderr
    assert "`" + str(repository.path / "my.json") + "` names a data file that is missing" in (
        done.stderr
    )


def test_a_scratch_folder_that_is_something_else(repository: Repository) -> None:
    """A file, the build and a folder with other things are refused, and stay as they are."""
    name = repository.add("good-python")
    repository.write("file", "mine")

    done = [
        run_model(repository, name, "train", "-o", str(repository.path / place))
        for place in ("file", ".", "build")
    ]

    assert [2, 2, 2] == [one.returncode for one in done]
    assert f"`{repository.path}/file` is no folder\n" in done[0].stderr
    assert f"`{repository.path}` holds other things\n" in done[1].stderr
    assert f"`{repository.path}/build` holds other things\n" in done[2].stderr
    assert {} == build_of(repository)
    assert {"build", "file", "model_definitions"} == set(os.listdir(repository.path))


def test_a_scratch_folder_that_cannot_be_made(repository: Repository) -> None:
    """It is told in a sentence, also where the training is the build's and only linked to."""
    name = repository.add("good-python")
    assert 0 == repository.doit(f"train:{name}").returncode

    done = run_model(repository, name, "evaluate", "-o", "/proc/scratch")

    assert done.returncode
    assert "`/proc/scratch" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure(repository: Repository, scratch: Path) -> None:
    """The log is shown as it comes, once; what was left is kept in the scratch folder alone."""
    name = repository.add("crashes-in-train")

    done = run_model(repository, name, "train", "-o", str(scratch))

    assert (1, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("ZeroDivisionError: division by zero\ntrain:")
    assert 1 == done.stderr.count("Traceback")
    kept = scratch / f"failed/{name}/train"
    assert f"  kept   {kept}" in done.stderr.splitlines()
    assert (kept / "run.log").is_file()
    assert {} == build_of(repository)


def test_a_threshold(repository: Repository, scratch: Path) -> None:
    """An evaluation that is not good enough shows its metrics all the same, and fails."""
    name = repository.add("misses-threshold")

    done = run_model(repository, name, "evaluate", "-o", str(scratch))

    assert (1, "accuracy  0.610\nloss      0.500\n\n") == (done.returncode, done.stdout)
    assert f"Model `{name}` is not good enough" in done.stderr


def test_a_secret_in_the_log(repository: Repository, scratch: Path) -> None:
    """What is shown of the log has no secret in it, as the log itself has none."""
    name = repository.add("tells-progress")

    done = run_model(repository, name, "train", "-o", str(scratch), A_TOKEN=SECRET)

    assert 0 == done.returncode, done.stderr
    assert "'A_TOKEN': '***'" in done.stderr
    assert SECRET not in done.stdout + done.stderr


ANSWERS = [
    ("2\n1\n", "good-python"),
    ("crashes\n7\n0\ngood-python\ntrain\n", "good-python"),
]


@pytest.mark.parametrize(("answers", "name"), ANSWERS)
def test_plain_questions(repository: Repository, answers: str, name: str, tmp_path: Path) -> None:
    """Without a terminal, what is missing is asked for by number or name, sorted."""
    repository.add("good-python")
    repository.add("crashes-in-train")

    done = run_model(repository, answers=answers, TMPDIR=str(tmp_path))

    assert 0 == done.returncode, done.stderr
    assert done.stderr.splitlines()[:2] == [
        "[1] crashes-in-train  Crashes In Train",
        "[2] good-python  Good Python",
    ]
    assert "Select Model: " in done.stderr
    assert f"train:{name} ok" in done.stderr


def test_a_question_without_an_answer(repository: Repository, tmp_path: Path) -> None:
    """Where nobody answers it is said which option does, and nothing is made."""
    repository.add("good-python")
    (tmp_path / "temporary").mkdir()

    done = run_model(repository, "-m", "train", TMPDIR=str(tmp_path / "temporary"))

    assert 2 == done.returncode
    assert done.stderr.endswith("Nobody answers `Select Model:`\n\nhint: `-id` gives the answer\n")
    assert [] == os.listdir(tmp_path / "temporary")


NOT_UNDERSTOOD = [
    (("good", "trian"), "there is no mode `trian`: train, evaluate, score; did you mean `train`?"),
    (("god-python", "train"), "hint: did you mean `good-python`?"),
    (("good", "train", "-d", "big"), "Model `good-python` has no dataset `big`"),
    (("good", "train", "-d", "big.json"), "There is no file `big.json`"),
    (("good", "train", "-d", "broken.json"), "broken.json` is no dataset"),
    (("good", "train", "-d", "data/some.csv"), "There is no file `data/some.csv`\n\nhint: `-d`"),
    (("good", "train", "-d", "some.csv"), "or a JSON file: that names a CSV by its `url`\n"),
    (("good", "train", "-d", "mine.csv"), "hint: it is a JSON file, which names a CSV by"),
    (("good", "train", "more"), "`more` is one word too many"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), NOT_UNDERSTOOD)
def test_what_is_not_understood(repository: Repository, words: tuple[str, ...], said: str) -> None:
    """A wrong word ends it with status 2 before anything is made, and says what would be right."""
    repository.add("good-python")
    repository.write("broken.json", '{"data_path": }')
    repository.write("mine.csv", "1,2\n")

    done = run_model(repository, *words)

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert not (repository.path / "build/runs").exists()


def test_no_repository(tmp_path: Path) -> None:
    """Outside a repository it says so."""
    done = run_model(Repository(tmp_path, tmp_path), "a", "train")

    assert 2 == done.returncode
    assert "There is no `model_definitions/`" in done.stderr


def test_a_model_with_faults(repository: Repository, tmp_path: Path) -> None:
    """Its faults are shown, and the temporary folder is gone: there is nothing to look at."""
    repository.add("bad-json")
    (tmp_path / "temporary").mkdir()

    done = run_model(repository, "bad-json", "train", TMPDIR=str(tmp_path / "temporary"))

    assert 1 == done.returncode
    assert "Model `bad-json` cannot be used" in done.stderr
    assert [] == os.listdir(tmp_path / "temporary")


class TestDebugging:
    """`--debug`, on a terminal."""

    def test_a_breakpoint(self, repository: Repository, scratch: Path) -> None:
        """The step stops there, answers what is asked, and goes on."""
        name = self.written(repository, "    breakpoint()\n    answer = input('how many? ')")
        terminal = Terminal(repository, name, "train", "-o", str(scratch), "--debug")

        terminal.until("(Pdb) ")
        terminal.type(b"p 'is', 40 + answer\r")
        terminal.until("('is', 42)")
        terminal.type(b"c\r")
        terminal.until("how many? ")
        terminal.type(b"3\r")

        assert 0 == terminal.status(), terminal.text
        assert "train:debugged ok" in terminal.text
        result = scratch / "models/debugged/train"
        assert "3" == (result / "models/answer").read_text()
        assert (
            "the step has the terminal: what it prints is in no log\n"
            == (result / "run.log").read_text()
        )

    def test_an_error(self, repository: Repository, scratch: Path) -> None:
        """A person can look at where it was raised, once, and then the step has failed."""
        name = self.written(repository, "    raise ValueError(answer)")
        terminal = Terminal(repository, name, "train", "-o", str(scratch), "--debug")

        terminal.until("(Pdb) ")
        assert "ValueError: 2" in terminal.text
        terminal.type(b"p 'is', 40 + answer\r")
        terminal.until("('is', 42)")
        terminal.type(b"q\r")

        assert 1 == terminal.status(), terminal.text
        assert "failed to train: ValueError: 2" in terminal.text

    def test_an_end_amid_debugging(self, repository: Repository, scratch: Path) -> None:
        """Ctrl-C ends the step as well, and leaves the terminal as it was."""
        name = self.written(repository, "    breakpoint()")
        terminal = Terminal(repository, name, "train", "-o", str(scratch), "--debug")
        before = terminal.settings()
        terminal.until("(Pdb) ")

        terminal.type(INTERRUPT)

        assert wait_until(lambda: before == terminal.settings(), WAIT_SECONDS)
        assert 130 == terminal.status(), terminal.text

    def test_without_a_terminal(self, repository: Repository, scratch: Path) -> None:
        """Nothing is run."""
        name = self.written(repository, "    breakpoint()")

        done = run_model(repository, name, "train", "-o", str(scratch), "--debug")

        assert 2 == done.returncode
        assert "There is no terminal to debug the step in" in done.stderr
        assert not scratch.exists()

    def written(self, repository: Repository, lines: str) -> str:
        """Write a model whose training has these lines, and return its name."""
        repository.write("model_definitions/debugged/model.json", {"id": "d", "name": "Debugged",
                         "language": "python", "timeout": 0.1, "retries": 1})  # fmt: skip
        text = f"def train(data_conf, model_conf):\n    answer = 2\n{lines}\n"
        text += "    open('models/answer', 'w').write(answer)\n"
        repository.write("model_definitions/debugged/model_modules/training.py", text)
        return "debugged"


def test_another_python(tmp_path: Path) -> None:
    """A Python without the runner's packages hands over to the bootstrap of the checkout."""
    (tmp_path / "cli").mkdir()
    shutil.copy(SCRIPT, tmp_path / "cli")
    (tmp_path / "bootstrap").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "bootstrap").chmod(0o755)
    script = tmp_path / "cli/run-model-cli.py"

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "-id", "a b"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.splitlines() == ["python", str(script), "-id", "a b"], done.stderr


class Terminal:
    """The script on a terminal of its own."""

    def __init__(self, repository: Repository, *words: str, **variables: str) -> None:
        """Start it."""
        self._output = b""
        settings = {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", **variables}
        environment = repository.variables(**settings)
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            os.chdir(repository.path)
            command = [sys.executable, str(SCRIPT), *words]
            os.execve(sys.executable, command, environment)  # noqa: S606 - in a child's place

    @property
    def text(self) -> str:
        """What it has written since keys were last pressed, without what moves the cursor."""
        return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", self._output.decode("utf-8", "replace"))

    def until(self, text: str) -> None:
        """Read until this is there."""
        while text not in self.text:
            assert self._read(), self.text

    def settings(self) -> list[object]:
        """Return how the terminal is set."""
        return list(termios.tcgetattr(self._handle))

    def type(self, keys: bytes) -> None:
        """Press keys; what was read before is forgotten."""
        self._output = b""
        os.write(self._handle, keys)

    def status(self) -> int:
        """Return its exit status, once it has ended."""
        while self._read():
            pass
        os.close(self._handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bytes:
        """Return what comes next, nothing where it has ended."""
        ready, _, _ = select.select([self._handle], [], [], WAIT_SECONDS)
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
            pytest.fail(f"it waits for something else: {self.text}")
        data = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            data = os.read(self._handle, 1 << 16)
        if b"\x1b[6n" in data:  # where is the cursor?
            os.write(self._handle, b"\x1b[1;1R")
        self._output += data
        return data


def test_questions_on_a_terminal(repository: Repository, tmp_path: Path) -> None:
    """Arrow keys choose, typing narrows the choice; the log and the result follow."""
    repository.add("crashes-in-train")
    name = repository.add("good-python")
    repository.write(f"model_definitions/{name}/datasets/big.json", {"data_path": "data.csv"})
    terminal = Terminal(repository, TMPDIR=str(tmp_path))
    terminal.until("Select Model:")
    terminal.until("good-python")
    terminal.type(DOWN)
    terminal.type(ENTER)
    terminal.until("Select Mode:")
    terminal.until("score")
    terminal.type(b"eva")
    terminal.until("/ eva")
    terminal.type(ENTER)
    terminal.until("Select Dataset:")
    terminal.until("big")
    terminal.type(ENTER)

    assert 0 == terminal.status(), terminal.text
    assert "evaluate:good-python ok" in terminal.text
    assert "accuracy  0.900" in terminal.text


def test_ctrl_c_in_a_question(repository: Repository, tmp_path: Path) -> None:
    """It ends at once with status 130, and nothing is left behind."""
    repository.add("good-python")
    (tmp_path / "temporary").mkdir()
    terminal = Terminal(repository, TMPDIR=str(tmp_path / "temporary"))
    terminal.until("good-python")
    terminal.type(INTERRUPT)

    assert 130 == terminal.status()
    assert "Traceback" not in terminal.text
    assert [] == os.listdir(tmp_path / "temporary")


@pytest.fixture
def waiting(repository: Repository, tmp_path: Path) -> tuple[str, Path, str]:
    """Return a model whose training waits, the file that says it does, and its temporary folder."""
    name = repository.add("waits-in-train")
    conf = {"started": str(tmp_path / "started"), "until": str(tmp_path / "until")}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    (tmp_path / "temporary").mkdir()
    return name, tmp_path / "started", str(tmp_path / "temporary")


def test_ctrl_c_in_a_run(repository: Repository, waiting: tuple[str, Path, str]) -> None:
    """It ends the model's processes, all of them, with status 130; nothing is left behind."""
    name, started, temporary = waiting
    terminal = Terminal(repository, name, "train", TMPDIR=temporary)
    pids = await_file(started).split()
    terminal.type(INTERRUPT)

    assert 130 == terminal.status(), terminal.text
    assert [] == [pid for pid in pids if is_alive(pid)]
    assert f"train:{name} interrupted" in terminal.text
    assert "Traceback" not in terminal.text
    assert [] == os.listdir(temporary)


def test_it_is_terminated(repository: Repository, waiting: tuple[str, Path, str]) -> None:
    """A signal from outside does the same, with the status that a shell gives it."""
    name, started, temporary = waiting
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), name, "train"], cwd=repository.path,
        env=repository.variables(TMPDIR=temporary),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    pids = await_file(started).split()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert 128 + signal.SIGTERM == process.returncode, output
    for pid in pids:
        await_end(pid)
    assert [] == os.listdir(temporary)


def test_beside_the_build(repository: Repository, waiting: tuple[str, Path, str]) -> None:
    """A run apart holds nothing up: meanwhile the build trains the same model."""
    name, started, temporary = waiting
    until = started.parent / "until"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), name, "train"], cwd=repository.path,
        env=repository.variables(TMPDIR=temporary),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    await_file(started)
    conf = {"started": str(started) + "-2", "until": str(repository.path)}
    repository.write(f"model_definitions/{name}/datasets/other.json", conf)

    done = repository.doit(f"train:{name}", "--dataset", "other")

    until.touch()
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert (0, 0) == (done.returncode, process.returncode), done.stdout + output
