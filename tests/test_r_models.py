"""R models through doit: the contract, what goes wrong, and what makes them run again.

They need R and fail without it: `./bootstrap` installs it.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.assertions import GALLERY, results, told
from tests.r_models import add, without_r, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

pytestmark = pytest.mark.r

FAULTS = sorted(path.parent.name for path in GALLERY.glob("r-*/fault.txt"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told(repository: Repository, fault: str) -> None:
    """A fault is told in these words, with the place in the model's own files."""
    add(repository, fault)

    done = repository.doit(f"train:{fault}", R_REPOS="file:///nowhere")

    assert (GALLERY / fault / "fault.txt").read_text().rstrip("\n") == told(repository, done)
    assert 1 == done.returncode
    assert "" == done.stderr
    assert {} == results(repository)


def test_a_file_that_is_not_there(repository: Repository) -> None:
    """It is not told as one that lacks a function."""
    write_model(repository, train="train <- function() 1")

    said = repository.doit("train:tiny").stdout

    assert "  Model `tiny` cannot train: there is no `model_modules/training.R`\n" in said


def test_a_model_is_trained_evaluated_and_scored(repository: Repository) -> None:
    """Metrics come from the returned list, predictions from the data frame, digit by digit."""
    name = add(repository, "good-r")
    done = repository.doit(f"evaluate:{name}", f"score:{name}")
    assert 0 == done.returncode, done.stdout

    measured = repository.json(f"build/models/{name}/evaluate/metrics.json")
    draw = measured["metrics"].pop("draw")
    predicted = repository.read(f"build/models/{name}/score/predictions.csv")
    log = repository.read(f"build/models/{name}/train/run.log")
    assert {"mean": 3.0, "more.low": 1} == measured["metrics"]
    assert {"more.high": None, "kind": "tiny"} == measured["other"]
    assert 0 < draw < 1
    assert "name,more,by\na,False,-2.0\nb,False,-1.0\nc,,\n" == predicted
    assert "x\nname\n" == repository.read(f"build/models/{name}/train/models/names.txt")
    assert "told to stderr: ü\n" in log
    for argument in ("model_id", "model_version", "model_table", "project_id", "job_id"):
        assert f" $ {argument}" in log


def test_a_training_repeats_to_the_byte(repository: Repository) -> None:
    """Chance is seeded before the model's code begins."""
    name = add(repository, "good-r")

    done = repository.doit(f"train:{name}", "--twice")

    assert "reproducible to the byte" in done.stdout


def test_progress_reaches_the_runner(repository: Repository) -> None:
    """What R tells is shown while the training goes on, counts as whole numbers."""
    name = add(repository, "good-r")
    go = repository.path / "go"
    conf = {"data_path": "data.csv", "names": [], "wait_for": str(go)}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)

    running = repository.start("run", "--reporter", "json", f"train:{name}")
    assert running.stdout is not None
    told = (json.loads(line).get("values") for line in running.stdout)
    values = next(one for one in told if one and one["iter"] == 3)
    go.touch()
    running.communicate()

    assert {"iter": 3, "iters": 3, "score": 1 / 3} == values
    assert isinstance(values["iter"], int)
    assert 0 == running.returncode


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("score.batch <- function(data_conf, model_version, job_id, ...) c(1.5, NA)", '1.5\n""\n'),
        ("score <- function(data_conf, model_conf, ...) 1:2", "1\n2\n"),
        ("score <- function(data, model, ...) data$x * model$mean", '3.0\n6.0\n""\n'),
        ("predict.model <- function(model, data) as.matrix(data['x'])", 'x\n1\n2\n""\n'),
        ("score.restful <- function(model, data, ...) list('a', 'b')", "a\nb\n"),
    ],
)
def test_every_age_of_scoring(repository: Repository, scoring: str, expected: str) -> None:
    """Batch functions read the data themselves; the others are given the model and the rows."""
    name = add(repository, "good-r")
    modules = f"model_definitions/{name}/model_modules"
    load = 'initialise_model <- function() readRDS("models/model.rds")\n'
    (repository.path / modules / "scoring.R").unlink()
    repository.write(f"{modules}/scorer.R", load + scoring)

    done = repository.doit(f"train:{name}", f"score:{name}")

    assert 0 == done.returncode, done.stdout
    predicted = repository.read(f"build/models/{name}/score/predictions.csv")
    assert expected == predicted.replace("\r", "")


def test_endless_recursion_is_an_error(repository: Repository) -> None:
    """R's own limit of the stack holds inside of Python, so that the process survives it."""
    deeper = "deeper <- function(n) deeper(n + 1)\n"
    write_model(repository, training=f"{deeper}train <- function(...) deeper(1)\n")

    done = repository.doit("train:tiny")

    assert "Model `tiny` failed to train: R error: C stack usage " in done.stdout


def test_an_error_names_its_function(repository: Repository) -> None:
    """Not what it was called with: that may be long, and is in the traceback."""
    write_model(
        repository,
        training="check <- function(...) stop('no rows')\n"
        "train <- function(data_conf, ...) check(data_conf, colour = 'red')\n",
    )

    done = repository.doit("train:tiny")

    assert "failed to train: R error: check(): no rows\n" in done.stdout
    assert 'training.R:2: check(data_conf, colour = "red")\n' in done.stdout


def test_settings_of_the_user_are_not_read(repository: Repository, tmp_path: Path) -> None:
    """Neither a profile nor an environment file nor a library of the user's is looked at."""
    write_model(
        repository,
        training="train <- function(data_conf, ...) {\n"
        "  writeLines(c(Sys.getenv('OF_THE_USER'), .libPaths()), 'models/seen.txt')\n}\n",
    )
    home, library = tmp_path / "home", tmp_path / "library"
    home.mkdir()
    library.mkdir()
    (home / ".Rprofile").write_text("stop('the profile was read')\n")
    (home / ".Renviron").write_text("OF_THE_USER=yes\n")
    own = {"R_PROFILE_USER": str(home / ".Rprofile"), "R_ENVIRON_USER": str(home / ".Renviron")}
    libraries = dict.fromkeys(("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"), str(library))

    done = repository.doit("train:tiny", **own, **libraries)

    assert 0 == done.returncode, done.stdout
    seen = repository.read("build/models/tiny/train/models/seen.txt")
    assert seen.startswith("\n")
    assert str(library) not in seen


def test_without_r_the_others_run(repository: Repository, tmp_path: Path) -> None:
    """The R model says what to install, in one line; a model in Python is not touched by it."""
    add(repository, "good-r")
    repository.add("good-python")

    done = repository.doit("-c", **without_r(tmp_path / "bin"))

    assert 1 == done.returncode
    assert "Model `good-r` needs R, which is not installed\n" in done.stdout
    expected = "hint: `apt-get install --no-install-recommends r-base-core make`, or set `R_HOME`"
    assert expected in done.stdout
    assert "evaluate:good-python ok" in done.stdout
    listed = repository.doit("list", **without_r(tmp_path / "again"))
    assert 0 == listed.returncode, listed.stdout


def test_r_home_goes_before_path(repository: Repository, tmp_path: Path) -> None:
    """The R that is named is used, or missed: no other is taken in its place."""
    add(repository, "good-r")

    done = repository.doit("train:good-r", R_HOME=str(tmp_path))

    assert "Model `good-r` needs R, and `R_HOME` names no R\n" in done.stdout
    assert f"    missing  {tmp_path}/bin/R\n" in done.stdout


def test_an_edit_reruns_what_reads_the_file(repository: Repository) -> None:
    """Editing the R model leaves others alone, and its evaluation needs no new training."""
    name = add(repository, "good-r")
    repository.add("good-python")
    assert 0 == repository.doit().returncode
    modules = f"model_definitions/{name}/model_modules"

    evaluation = repository.read(f"{modules}/evaluation.R")
    repository.write(f"{modules}/evaluation.R", f"{evaluation}\n# edited\n")
    assert {f"evaluate:{name}"} == ran(repository)

    helper = repository.read(f"{modules}/helper.R")
    repository.write(f"{modules}/helper.R", f"{helper}\n# edited\n")
    assert {f"train:{name}"} == ran(repository)
    assert set() == ran(repository)


def ran(repository: Repository) -> set[str]:
    """Run doit and return the steps that it ran."""
    lines = repository.doit("run", "--reporter", "json").stdout.splitlines()
    ends = [event for event in map(json.loads, lines) if event["event"] == "finish"]
    assert {"ran", "up to date"} >= {event["state"] for event in ends}
    return {event["step"] for event in ends if event["state"] == "ran"}


def test_a_worker_of_a_model_can_tell_progress(repository: Repository) -> None:
    """The handler is harmless in a process that R starts, where there is no Python."""
    write_model(
        repository,
        training="train <- function(data_conf, progress_callback_handler, ...) {\n"
        "  workers <- parallel::makeCluster(1)\n"
        "  parallel::clusterApply(workers, 1, function(n, tell) tell(iter = n),"
        " progress_callback_handler)\n"
        "  parallel::stopCluster(workers)\n"
        "  progress_callback_handler(iter = 'x', score = quote(y), other = mean)\n"
        "  writeLines('made', 'models/model.txt')\n}\n",
    )

    done = repository.doit("train:tiny")

    assert 0 == done.returncode, done.stdout


def test_a_checkpoint_is_offered(repository: Repository) -> None:
    """There is none at first; what a training that failed has left is named to the next one."""
    write_model(
        repository,
        training="train <- function(data_conf, model_conf, checkpoint) {\n"
        "  if (is.null(checkpoint)) {\n"
        "    dir.create('models/checkpoint')\n"
        "    saveRDS(41, 'models/checkpoint/new')\n"
        "    file.rename('models/checkpoint/new', 'models/checkpoint/fit.rds')\n"
        "    stop('not yet')\n  }\n"
        "  print(1 + readRDS(file.path(checkpoint, 'fit.rds')))\n"
        "  writeLines('made', 'models/model.txt')\n}\n",
    )

    failed, done = repository.doit("train:tiny"), repository.doit("train:tiny")

    assert "not yet" in failed.stdout
    assert 0 == done.returncode, done.stdout
    assert "from a checkpoint" in done.stdout
    assert "[1] 42\n" == repository.read("build/models/tiny/train/run.log")


def test_an_r_that_does_not_start_is_told(repository: Repository, tmp_path: Path) -> None:
    """A broken R is told with what it says."""
    add(repository, "good-r")
    variables = without_r(tmp_path / "bin")
    shutil.copyfile("/bin/false", tmp_path / "bin/R")
    (tmp_path / "bin/R").chmod(0o755)

    done = repository.doit("train:good-r", **variables)

    assert "Model `good-r` needs R, which does not start" in done.stdout
