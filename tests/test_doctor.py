"""`doit doctor`: what is looked for, what is found of it, and that a look leaves no trace."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks import diagnosis, doctor, machine
from tasks.diagnosis import MISSING, OK, WARNING, Check, Finding, carry_out
from tasks.errors import UserError
from tests import kubernetes_api
from tests.broker import PASSWORD, Broker, free_port
from tests.r_models import without_r
from tests.test_pyspark import write_java, write_spark
from tests.workshop import OFFLINE, Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repository

THING, STATE, FOUND, HINT = "thing", "state", "found", "hint"
QUIET = {"UV_OFFLINE": "1"}  # most tests ask no index


def findings(repository: Repository, *words: str, **variables: str) -> list[dict[str, str]]:
    """Return what the doctor finds; its exit status must say whether something is missing."""
    done = repository.doit("doctor", "--json", *words, **{**QUIET, **variables})
    assert done.stdout, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    missing = any(one[STATE] == MISSING for one in found)
    assert int(missing) == done.returncode, done.stderr
    return found


def found_of(found: list[dict[str, str]], thing: str, model: str = "") -> dict[str, str]:
    """Return the one finding of a thing."""
    of = [one for one in found if one[THING] == thing and one["model"] == model]
    assert 1 == len(of), found
    return of[0]


def things(found: list[dict[str, str]], model: str = "") -> list[str]:
    """Return what was looked at of a model, or of the machine without its Pythons."""
    names = [one[THING] for one in found if one["model"] == model]
    return [name for name in names if model or not name.startswith("Python ")]


def trees(*tops: Path) -> dict[str, tuple[int, int]]:
    """Return every path below some folders, with its time and size."""
    paths = [path for top in tops for path in [top, *top.rglob("*")]]
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in paths}


def write_model(repository: Repository, name: str, language: str = "python", **more: Any) -> str:  # noqa: ANN401 - any JSON
    """Write a model that trains nothing, and return its folder."""
    folder = f"model_definitions/{name}"
    document = {"id": name, "name": name, "language": language, **more}
    repository.write(f"{folder}/model.json", document)
    suffix, code = {"r": (".R", "train <- function(...) 1"), "sql": (".sql", "SELECT 1")}.get(
        language, (".py", "def train(data_conf): pass")
    )
    repository.write(f"{folder}/model_modules/training{suffix}", code)
    return folder


def test_all_is_well(repository: Repository) -> None:
    """A row for each thing of the machine, one for each model, and the last line."""
    name = repository.add("good-python")
    assert 0 == repository.doit(f"evaluate:{name}").returncode

    done = repository.doit("doctor", **QUIET)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "" == done.stderr
    lines = done.stdout.splitlines()
    assert "this machine" == lines[0]
    version = sys.version.split()[0]
    assert any(line.split()[:3] == ["Python", version, "ok"] for line in lines)
    of_model = next(line for line in lines if line.split()[:1] == [name])
    assert of_model.split()[1:6] == ["ok", "data", "of", "1", "file,"]
    assert of_model.endswith(" lock not needed, environment built")
    assert "all is well" == lines[-1]


def test_it_leaves_no_trace(repository: Repository) -> None:
    """Neither in a repository where nothing ran yet nor in one that was built anything changes."""
    name = repository.add("good-python")
    before = trees(repository.path)
    findings(repository)
    assert before == trees(repository.path)

    assert 0 == repository.doit(f"evaluate:{name}").returncode
    before = trees(repository.path, repository.cache)
    findings(repository)
    findings(repository, name)
    assert before == trees(repository.path, repository.cache)


def test_only_what_concerns_the_repository(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no model is in R, in Spark, or in a database, nothing is said of these."""
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    repository.add("good-python")
    always = ["uv", "package index", "git", "disk", "build/", "state file"]

    assert always == things(findings(repository))


def test_named_models(repository: Repository) -> None:
    """Of models that are named every thing is shown, and of the machine what they need."""
    name = repository.add("good-python")
    write_model(repository, "in-r", "r")
    repository.add("bad-json")

    found = findings(repository, "Good Python")
    done = repository.doit("doctor", name, **QUIET)

    assert "R" not in things(found)
    assert {"", name} == {one["model"] for one in found}
    assert ["files", "data", "Python", "lock", "environment"] == things(found, name)
    assert f"\n{name}\n  files " in done.stdout


def test_a_wrong_name(repository: Repository) -> None:
    """It is not understood, and the nearest name is told."""
    repository.add("good-python")

    done = repository.doit("doctor", "god-python")

    assert 3 == done.returncode
    assert "did you mean `good-python`?" in done.stderr


def test_the_command_that_mends(repository: Repository) -> None:
    """An environment that is not built yet is a warning; the command beneath it builds it."""
    name = repository.add("good-python")
    own = {"MODEL_CACHE": str(repository.path.parent / "own-cache")}
    found = found_of(findings(repository, **own), "environment", name)
    assert (WARNING, "not built yet", f"`doit env:{name}`") == (
        found[STATE], found[FOUND], found[HINT],
    )  # fmt: skip

    assert 0 == repository.doit(found[HINT].strip("`").removeprefix("doit "), **own).returncode

    assert OK == found_of(findings(repository, **own), "environment", name)[STATE]


def test_faults_of_files(repository: Repository) -> None:
    """A model's faults are told with their place; the others are looked at all the same."""
    repository.add("bad-json")
    repository.add("good-python")

    found = findings(repository)

    fault = found_of(found, "files", "bad-json")
    assert MISSING == fault[STATE]
    assert fault[FOUND].startswith("model_definitions/bad-json/model.json:4: invalid JSON")
    assert fault[HINT].startswith("a comma is missing")
    assert ["files"] == things(found, "bad-json")
    assert OK == found_of(found, "files", "good-python")[STATE]


def test_many_faults(repository: Repository) -> None:
    """The first of many are told, the worst first, and where the others are."""
    folder = write_model(repository, "m", descriptoin="", automtion={}, evaluatoin={}, dokcer={})
    repository.write(f"{folder}/config.json", "[]")

    found = [one for one in findings(repository) if one[THING] == "files"]

    assert [MISSING, WARNING, WARNING, WARNING] == [one[STATE] for one in found]
    assert ("2 more faults", "`doit check m`") == (found[-1][FOUND], found[-1][HINT])


def test_a_python_that_is_not_installed(repository: Repository) -> None:
    """The model that lacks it says which it needs and which there are."""
    write_model(repository, "old", python="2.7")

    found = found_of(findings(repository), "Python", "old")

    assert MISSING == found[STATE]
    assert found[FOUND].startswith("Model `old` needs a Python that is not installed\n  needs")
    assert "uv python install" in found[HINT]


def test_data(repository: Repository) -> None:
    """What a default dataset lacks keeps the model from running; what another lacks does not."""
    repository.add("missing-data-file")
    repository.add("wrong-checksum")
    name = repository.add("good-python")
    repository.write(f"model_definitions/{name}/datasets/big.json", {"url": "nowhere.csv"})

    found = findings(repository)

    missing = found_of(found, "data", "missing-data-file")
    assert MISSING == missing[STATE]
    assert "names a data file that is missing" in missing[FOUND]
    wrong = found_of(found, "data", "wrong-checksum")
    assert MISSING == wrong[STATE]
    assert "names a data file with another checksum" in wrong[FOUND]
    of_good = [one[STATE] for one in found if one["model"] == name and one[THING] == "data"]
    assert [WARNING, OK] == of_good


def test_downloads(repository: Repository, tmp_path: Path) -> None:
    """One that is neither here, nor in a mirror, nor to be had is missing."""
    folder = write_model(repository, "m")
    url = f"http://127.0.0.1:{free_port()}/big.csv"
    repository.write(f"{folder}/datasets/train.json", {"url": url, "sha256": "0" * 64})
    mirror = tmp_path / "mirror"
    mirror.mkdir()

    without = findings(repository, DATASET_MIRROR=str(mirror))
    (mirror / "big.csv").touch()
    with_it = findings(repository, DATASET_MIRROR=f"{mirror}:{tmp_path}/none")

    found = found_of(without, "data", "m")
    assert (MISSING, True) == (found[STATE], "Connection refused" in found[FOUND])
    assert "name the folder in `DATASET_MIRROR`" in found[HINT]
    assert OK == found_of(without, "DATASET_MIRROR")[STATE]
    assert OK == found_of(with_it, "data", "m")[STATE]
    assert WARNING == found_of(with_it, "DATASET_MIRROR")[STATE]
    assert f"`mkdir -p {tmp_path}/none`" in found_of(with_it, "DATASET_MIRROR")[HINT]


@pytest.mark.r
def test_r(repository: Repository, tmp_path: Path) -> None:
    """Without R an R model cannot run; packages that are missing are in one command."""
    folder = write_model(repository, "m", "r")
    repository.write(f"{folder}/model_modules/requirements.R", "library(gbm)\nlibrary(Not.There)\n")
    nowhere = f"http://127.0.0.1:{free_port()}"

    without = findings(repository, **without_r(tmp_path / "bin"))
    with_r = findings(repository, R_REPOS=nowhere)

    r = found_of(without, "R")
    assert (MISSING, True) == (r[STATE], "needs R, which is not installed" in r[FOUND])
    assert "`apt-get install --no-install-recommends r-base-core make`" in r[HINT]
    assert OK == found_of(with_r, "R")[STATE]
    packages = found_of(with_r, "R packages", "m")
    assert (MISSING, "not installed: Not.There") == (packages[STATE], packages[FOUND])
    assert "`apt-get install --no-install-recommends r-cran-not.there`" == packages[HINT]


def test_java_and_spark(repository: Repository, tmp_path: Path) -> None:
    """JAVA_HOME and SPARK_HOME that lead nowhere are told, before an environment is built too."""
    write_model(repository, "m", "pyspark", resources={"master": "local[1]"})
    spark, java = str(write_spark(tmp_path / "spark", "3.5.9")), write_java(tmp_path / "java", "17")

    no_spark = found_of(findings(repository, SPARK_HOME="/nowhere"), "packages", "m")
    no_java = found_of(
        findings(repository, SPARK_HOME=spark, JAVA_HOME="/nowhere"), "packages", "m"
    )
    both = findings(repository, SPARK_HOME=spark, JAVA_HOME=str(java))

    assert (MISSING, True) == (no_spark[STATE], "SPARK_HOME  /nowhere" in no_spark[FOUND])
    assert (MISSING, True) == (no_java[STATE], "JAVA_HOME  /nowhere" in no_java[FOUND])
    assert "local[1]" == found_of(both, "master", "m")[FOUND]


def test_yarn(repository: Repository) -> None:
    """A model for YARN needs the configuration of a cluster."""
    write_model(repository, "m", "pyspark", resources={"master": "yarn"})

    found = found_of(findings(repository, HADOOP_CONF_DIR="", YARN_CONF_DIR=""), "packages", "m")

    assert MISSING == found[STATE]
    assert "HADOOP_CONF_DIR  not set" in found[FOUND]
    assert "set HADOOP_CONF_DIR to the folder" in found[HINT]


def test_a_database(repository: Repository) -> None:
    """Its login must be set and its host must answer, where a default dataset names one."""
    folder = write_model(repository, "m", "sql")
    repository.write(f"{folder}/datasets/evaluate.json", {"hostname": "127.0.0.1"})
    login = {"TD_USERNAME": "alice", "TD_PASSWORD": PASSWORD}

    without = findings(repository, TD_USERNAME="alice")
    with_it = findings(repository, **login)
    (repository.path / f"{folder}/datasets/evaluate.json").rename(
        repository.path / f"{folder}/datasets/far.json"
    )
    named = findings(repository)

    assert {"state": MISSING, "found": "TD_PASSWORD not set"}.items() <= (
        found_of(without, "database login").items()
    )
    assert "read -rs TD_PASSWORD" in found_of(without, "database login")[HINT]
    assert OK == found_of(with_it, "database login")[STATE]
    host = found_of(with_it, "database 127.0.0.1")
    assert (MISSING, "port 1025: Connection refused") == (host[STATE], host[FOUND])
    assert WARNING == found_of(named, "database 127.0.0.1")[STATE]
    assert WARNING == found_of(named, "database login")[STATE]
    assert PASSWORD not in json.dumps([without, with_it])


def test_a_driver(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model with a database whose packages bring no driver is warned of."""
    del tmp_path
    shop = Workshop.opened(repository, monkeypatch)
    shop.wheel("tiny", "1.0")
    shop.wheel("teradatasql", "20.0")
    folder = write_model(repository, "m")
    repository.write(f"{folder}/datasets/train.json", {"hostname": "127.0.0.1"})
    requirements = f"{folder}/model_modules/requirements.txt"
    states = []
    for names in ("tiny", "tiny\nteradatasql"):
        repository.write(requirements, f"{OFFLINE}{names}\n")
        assert 0 == repository.doit("env:m").returncode
        states.append(found_of(findings(repository), "driver", "m"))

    assert [WARNING, OK] == [one[STATE] for one in states]
    assert f"add `teradatasql` to {requirements}" == states[0][HINT]


def test_an_index_out_of_reach(repository: Repository) -> None:
    """It keeps from running only what is not built yet."""
    name = repository.add("good-python")
    nowhere = {
        "UV_OFFLINE": "0",
        "UV_DEFAULT_INDEX": f"http://alice:{PASSWORD}@127.0.0.1:{free_port()}/index",
        "MODEL_CACHE": str(repository.path.parent / "own-cache"),
    }

    unbuilt = found_of(findings(repository, **nowhere), "package index")
    assert 0 == repository.doit(f"env:{name}", **nowhere).returncode
    built = found_of(findings(repository, **nowhere), "package index")

    assert (MISSING, WARNING) == (unbuilt[STATE], built[STATE])
    assert unbuilt[FOUND].endswith(", and environments of 1 model are to be built")
    assert "`UV_DEFAULT_INDEX` names another one" in unbuilt[HINT]
    assert PASSWORD not in json.dumps([unbuilt, built])


@pytest.fixture
def silent() -> Iterator[int]:
    """Yield the port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def test_who_never_answers(repository: Repository, silent: int) -> None:
    """No look waits for long: what says nothing is told to say nothing."""
    name = repository.add("good-python")
    assert 0 == repository.doit(f"env:{name}").returncode
    address = f"127.0.0.1:{silent}"
    url = {"url": f"http://{address}/a.csv", "sha256": "0" * 64}
    repository.write(f"model_definitions/{name}/datasets/far.json", url)

    found = findings(
        repository, UV_OFFLINE="0", UV_DEFAULT_INDEX=f"http://{address}/index",
        MODEL_PROGRESS_URL=f"stomp://alice:{PASSWORD}@{address}/topic/x",
        MODEL_STORE=f"http://alice:{PASSWORD}@{address}/store",
    )  # fmt: skip

    assert WARNING == found_of(found, "package index")[STATE]
    assert WARNING == found_of(found, "shared store")[STATE]
    assert "no answer within" in found_of(found, "shared store")[FOUND]
    assert WARNING == found_of(found, "progress broker")[STATE]
    assert "no answer within" in found_of(found, "progress broker")[FOUND]
    states = [one[STATE] for one in found if one["model"] == name and one[THING] == "data"]
    assert [WARNING, OK] == states
    assert PASSWORD not in json.dumps(found)


def test_the_broker(repository: Repository, tmp_path: Path) -> None:
    """A broker that answers is well, one that refuses the password is not, one is malformed."""
    broker = Broker(tmp_path)
    broker.start()
    try:
        well = findings(repository, MODEL_PROGRESS_URL=broker.url("/topic/x"))
        refused = findings(repository, MODEL_PROGRESS_URL=broker.url("/topic/x", "wrong-word"))
    finally:
        broker.kill()
    malformed = findings(repository, MODEL_PROGRESS_URL=f"stomp://a:{PASSWORD}@host/x")

    assert OK == found_of(well, "progress broker")[STATE]
    assert WARNING == found_of(refused, "progress broker")[STATE]
    assert MISSING == found_of(malformed, "progress broker")[STATE]
    said = json.dumps([well, refused, malformed])
    assert not [word for word in (PASSWORD, "wrong-word") if word in said]


def test_where_models_run(repository: Repository, tmp_path: Path) -> None:
    """An engine, a cluster and a scheduler are asked where models run there, and only then."""
    for place in ("container", "dask", "kubernetes", "local"):
        write_model(repository, f"in-{place}", runOn=place)
    stand_in = kubernetes_api.Cluster(tmp_path)
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    try:
        found = findings(repository, MODEL_DASK_SCHEDULER=nowhere, **stand_in.variables)
    finally:
        stand_in.close()
    without = findings(
        repository, "in-container", "in-kubernetes",
        MODEL_CONTAINER_ENGINE="nowhere/podman", **stand_in.variables,
    )  # fmt: skip

    assert [] == stand_in.faults
    assert found_of(found, "place container")[FOUND].startswith("podman ")
    answers = f"{stand_in.address} answers for the namespace {kubernetes_api.NAMESPACE}"
    assert answers == found_of(found, "place kubernetes")[FOUND]
    dask = found_of(found, "place dask")
    assert "Dask's scheduler cannot be reached" in dask[FOUND]
    assert MISSING == dask[STATE]
    assert "place local" not in things(found)
    assert "place dask" not in things(without)
    for place in ("container", "kubernetes"):
        assert MISSING == found_of(without, f"place {place}")[STATE]
        assert found_of(without, f"place {place}")[HINT]


def test_a_profile(repository: Repository) -> None:
    """It says where models run that do not say it themselves; its faults are told."""
    write_model(repository, "ant")
    repository.write("pyproject.toml", '[tool.modelmake.profiles.away]\non = "container"\n')

    plain = findings(repository)
    away = findings(repository, MODEL_PROFILE="away")
    wrong = findings(repository, MODEL_PROFILE="awya")

    assert "place container" not in things(plain)
    assert OK == found_of(away, "place container")[STATE]
    assert "There is no profile `awya`" in found_of(wrong, "profile")[FOUND]


def test_the_shared_store(repository: Repository, tmp_path: Path) -> None:
    """A folder is well; one that is only read has to be there; another kind is no address."""
    well = findings(repository, MODEL_STORE=str(tmp_path))
    gone = findings(repository, MODEL_STORE=f"{tmp_path}/gone", MODEL_STORE_READ_ONLY="1")
    malformed = findings(repository, MODEL_STORE="ftp://host/x")

    states = [found_of(found, "shared store")[STATE] for found in (well, gone, malformed)]
    assert [OK, WARNING, MISSING] == states


def test_a_build_that_cannot_be_written(repository: Repository) -> None:
    """It is told without a run, and so is what becomes of the state file."""
    repository.write("build", "no folder")

    found = findings(repository)

    assert MISSING == found_of(found, "build/")[STATE]
    assert f"`sudo chown -R $USER {repository.path}/build`" == found_of(found, "build/")[HINT]


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to take the folder above it, which may be the root of all."""
    (tmp_path / "it's").mkdir()
    monkeypatch.chdir(tmp_path / "it's")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # as for others than root

    (found,) = machine._build()

    build = shlex.quote(f"{tmp_path}/it's/build")
    assert f"`sudo mkdir -p {build}`, then `sudo chown -R $USER {build}`" == found.hint


def test_a_damaged_state_file(repository: Repository) -> None:
    """It is a warning, since nothing is lost with it, and the look leaves it as it is."""
    name = repository.add("good-python")
    assert 0 == repository.doit(f"evaluate:{name}").returncode
    path = repository.path / "build/state.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode=delete")  # all of it is in the one file
    data = path.read_bytes()
    damaged = data[:100] + bytes(len(data) - 100)
    path.write_bytes(damaged)

    found = found_of(findings(repository), "state file")

    assert (WARNING, "`doit list`") == (found[STATE], found[HINT])
    assert "build/state.db is damaged" in found[FOUND]
    assert damaged == path.read_bytes()
    assert 0 == repository.doit(found[HINT].strip("`").removeprefix("doit ")).returncode
    assert OK == found_of(findings(repository), "state file")[STATE]


@pytest.mark.parametrize("left", [["-shm", "-wal"], ["-wal"], []])
def test_what_is_beside_the_state_file(repository: Repository, left: list[str]) -> None:
    """Whatever a killed run has left of its log, it is read as far as it can, and stays."""
    repository.add("good-python")
    program = (
        "import os; from tasks.state import State; s = State('build/state.db');"
        " s.remember('a', 'b'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=repository.path, check=True)
    for suffix in ("-shm", "-wal"):
        if suffix not in left:
            (repository.path / f"build/state.db{suffix}").unlink()
    before = trees(repository.path)

    found = found_of(findings(repository), "state file")

    assert OK == found[STATE]
    assert before == trees(repository.path)


def test_an_altered_environment(repository: Repository) -> None:
    """An environment that somebody has edited keeps its models from running."""
    name = repository.add("good-python", "other")
    repository.write(f"model_definitions/{name}/model.json", {
        "id": "other", "name": "Other", "language": "python", "python": "==3.*",
    })  # fmt: skip
    cache = repository.path.parent / "own-cache"
    own = {"MODEL_CACHE": str(cache)}
    assert 0 == repository.doit(f"env:{name}", **own).returncode
    activate = next(cache.glob("environments/*/bin/activate"))
    activate.write_text("edited")

    found = found_of(findings(repository, **own), "packages", name)

    assert MISSING == found[STATE]
    assert "is not as it was built" in found[FOUND]
    assert "altered  /bin/activate" in found[FOUND]


def test_findings_come_in_order_and_faults_are_kept() -> None:
    """What a look has found before an error counts; an error of ours is raised."""

    def fails() -> Iterator[Finding]:
        yield Finding("a", OK, "found")
        raise UserError("Wrong", ("fact", "1"), hint="mend it")

    def breaks() -> Iterator[Finding]:
        raise ZeroDivisionError
        yield

    def quiet(_things: list[str], _seconds: float) -> None:
        pass

    checks = [Check("x", fails, "m"), Check("y", lambda: [Finding("b", OK, "")])]
    assert carry_out(checks, quiet) == [
        Finding("a", OK, "found", "", "m"),
        Finding("x", MISSING, "Wrong\n  fact  1", "mend it", "m"),
        Finding("b", OK, ""),
    ]
    with pytest.raises(ZeroDivisionError):
        carry_out([Check("z", breaks)], quiet)


def test_a_look_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for; what takes long is told."""
    monkeypatch.setattr(diagnosis, "PATIENCE_SECONDS", 0.5)
    reading, writing = os.pipe()
    told: list[list[str]] = []

    def hangs() -> list[Finding]:
        os.read(reading, 1)
        return []

    try:
        found = carry_out(
            [Check("slow", hangs), Check("quick", lambda: [Finding("quick", OK, "")])],
            lambda things, _seconds: told.append(things),
        )
    finally:
        os.write(writing, b".")

    assert [("slow", WARNING), ("quick", OK)] == [(one.thing, one.state) for one in found]
    assert ["slow"] == told[-1]


ROW = Finding("R packages", MISSING, "Model `m` lacks these\n  packages  one, two", "`apt-get x`")

GOLDEN = {
    120: [
        "  R packages  missing  Model `m` lacks these",
        "                         packages  one, two",
        "      hint: `apt-get x`",
    ],
    40: [
        "  R packages  missing  Model `m` lacks",
        "      these",
        "        packages  one, two",
        "      hint: `apt-get x`",
    ],
}


@pytest.mark.parametrize("width", GOLDEN)
def test_a_row(width: int) -> None:
    """A text stands in its column where there is room, else beneath; colour adds nothing to it."""
    plain = list(doctor._lines("R packages", ROW, 10, width, {}))
    coloured = list(doctor._lines("R packages", ROW, 10, width, doctor.COLOURS))

    assert GOLDEN[width] == plain
    assert [line.replace("\x1b[1;31m", "").replace("\x1b[0m", "") for line in coloured] == plain
    assert coloured != plain
