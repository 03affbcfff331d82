"""Steps in containers, of a real engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import failures
from tasks.containers import Engine
from tasks.containers import image as find_image
from tasks.errors import UserError
from tasks.runs import Run
from tests import containers
from tests.assertions import wait_until

if TYPE_CHECKING:
    from tests.conftest import Repository

IMAGE = {
    phase: {"dockerImage": containers.BASE} for phase in ("training", "evaluation", "deployment")
}
ENGINE = {"MODEL_CONTAINER_OPTIONS": containers.OPTIONS, "MODEL_CONTAINER_ENGINE": "podman"}


@pytest.fixture(autouse=True)
def base(cache: Path) -> str:
    """Have the image made."""
    return containers.base_image(cache.parent)


def described(repository: Repository, name: str, **more: Any) -> None:  # noqa: ANN401 - JSON
    """Change what `model.json` of a model says."""
    path = f"model_definitions/{name}/model.json"
    repository.write(path, {**repository.json(path), **more})


def running(repository: Repository) -> list[str]:
    """Return the containers of the repository's runs."""
    runs = [path.name for path in repository.path.glob("build/runs/*")]
    words = ("ps", "--quiet", "--all", "--filter")
    return [one for run in runs for one in containers.podman(*words, f"label=modelmake.run={run}")]


def test_the_same_artefacts_as_without(repository: Repository) -> None:
    """The key, the artefacts and the metrics are those of a run on this machine."""
    name = repository.add("good-python")
    described(repository, name, automation=IMAGE)
    here = repository.doit("evaluate:good-python")
    assert 0 == here.returncode, here.stdout
    results = ("train/artefacts.json", "evaluate/metrics.json")
    before = [repository.read(f"build/models/{name}/{result}") for result in results]
    keys = [
        repository.json(f"build/models/{name}/{s}/run.json")["key"] for s in ("train", "evaluate")
    ]

    again = repository.doit("-a", "evaluate:good-python", "--on", "container", **ENGINE)

    assert 0 == again.returncode, again.stdout
    assert before == [repository.read(f"build/models/{name}/{result}") for result in results]
    runs = [repository.json(f"build/models/{name}/{s}/run.json") for s in ("train", "evaluate")]
    assert keys == [run["key"] for run in runs]
    where = runs[0]["where"]
    assert "Mi (container)  " in repository.doit("resources").stdout
    version = containers.podman("version", "--format", "{{.Client.Version}}")
    image = containers.podman("image", "inspect", "--format", "{{.Id}}", containers.BASE)
    assert {
        "place": "container",
        "engine": f"podman {version}",
        "image": containers.BASE,
        "image_id": f"sha256:{image}",
    } == where


def test_sees_no_more_than_it_reads(repository: Repository) -> None:
    """It sees its own files, read-only, none of the machine's besides, and no other process.

    A password gets there, and stands in no command line.
    """
    name = repository.add("looks-around")
    described(repository, name, automation=IMAGE)
    conf = {"root": str(repository.path), "seconds": 1}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    repository.write("secret.txt", "not for the model")
    more = {
        "WAREHOUSE_PASSWORD": "open sesame",
        "CERTIFICATE": str(repository.path / "secret.txt"),
        "REGION": "north",
    }
    process = repository.start("train:looks-around", "--on", "container", **ENGINE, **more)
    assert wait_until(lambda: running(repository)), "no container runs"
    lines = [read(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert any(b"WAREHOUSE_PASSWORD" in line for line in lines)
    assert not any(b"open sesame" in line for line in lines)
    output, _ = process.communicate()
    assert 0 == process.returncode, output

    seen = repository.json(f"build/models/{name}/train/models/seen.json")

    assert ["build", "model_definitions"] == seen["root"]
    assert not seen["written"]
    assert [os.getuid(), os.getgid()] == seen["user"]
    assert len(seen["processes"]) < 4
    variables = seen["variables"]
    assert "north" == variables["REGION"]
    assert "open sesame" == variables["WAREHOUSE_PASSWORD"]
    assert "CERTIFICATE" not in variables
    assert os.environ["HOME"] != variables["HOME"]
    result = repository.path / f"build/models/{name}/train/models/seen.json"
    assert os.getuid() == result.stat().st_uid


def read(path: str) -> bytes:
    """Return a file's bytes; of a process that has ended, none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_nothing_goes_on_without_the_runner(repository: Repository, number: int) -> None:
    """However the runner ends, its container ends with it, and all that is in it."""
    name = repository.add("looks-around")
    described(repository, name, automation=IMAGE)
    conf = {"root": "/", "seconds": 600}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    process = repository.start("train:looks-around", "--on", "container", **ENGINE)
    assert wait_until(lambda: list(repository.path.glob("build/runs/*/work/models/seen.json")))
    runs = [path.name for path in repository.path.glob("build/runs/*")]

    os.kill(process.pid, number)
    process.communicate()

    words = ("ps", "--quiet", "--all", "--filter")
    assert wait_until(lambda: not containers.podman(*words, f"label=modelmake.run={runs[0]}"))


def test_no_more_memory_than_it_may(repository: Repository) -> None:
    """What goes beyond its limit ends, and the limit is told."""
    name = repository.add("uses-much")
    automation = {"training": {**IMAGE["training"], "resources": {"memory": "100Mi"}}}
    described(repository, name, automation=automation)
    config = {"hyperParameters": {"megabytes": 200, "seconds": 0}}
    repository.write(f"model_definitions/{name}/config.json", config)

    done = repository.doit("train:uses-much", "--on", "container", **ENGINE)

    assert 1 == done.returncode
    said = "The train step of model `uses-much` was killed for memory: it needs more than its limit"
    assert f"{said}\n    limit  100Mi\n    peak   100Mi\n" in done.stdout
    assert "raise `automation.training.resources.memory` in model_def" in done.stdout


def test_no_more_processors_than_it_may(repository: Repository) -> None:
    """A fifth of a processor takes five times as long."""
    name = repository.add("uses-much")
    automation = {"training": {**IMAGE["training"], "resources": {"cpu": "200m"}}}
    described(repository, name, automation=automation)
    config = {"hyperParameters": {"megabytes": 0, "seconds": 0.4}}
    repository.write(f"model_definitions/{name}/config.json", config)

    done = repository.doit("train:uses-much", "--on", "container", **ENGINE)

    assert 0 == done.returncode, done.stdout
    took = float(repository.read(f"build/models/{name}/train/models/took.txt").split()[0])
    assert took > 1


@pytest.mark.parametrize(
    ("image", "reason"),
    [("nothing-here:1", "nothing-here"), ("registry.invalid/nothing:1", "lookup registry.invalid")],
)
def test_an_image_that_is_not_there(repository: Repository, image: str, reason: str) -> None:
    """The message names the key, and says what the engine does."""
    name = repository.add("good-python")
    automation = {"training": {"dockerImage": image}}
    described(repository, name, automation=automation)

    done = repository.doit("train:good-python", "--on", "container", **ENGINE)

    assert 1 == done.returncode
    file = f"model_definitions/{name}/model.json"
    assert f"The image `{image}` is not here and cannot be fetched\n" in done.stdout
    assert re.search(rf"podman says +Error: .*{re.escape(reason)}", done.stdout)
    assert f"key          automation.training.dockerImage of {file}\n" in done.stdout


def test_no_image_is_named(repository: Repository) -> None:
    """The message says where one could be."""
    repository.add("good-python")

    done = repository.doit("train:good-python", "--on", "container", **ENGINE)

    assert 1 == done.returncode
    assert "No image is named for the train step of model `good-python` to run in" in done.stdout


def test_the_image_of_the_profile(repository: Repository) -> None:
    """It is that of all models which name none."""
    repository.add("good-python")
    profile = f'[tool.modelmake.profiles.default]\non = "container"\nimage = "{containers.BASE}"\n'
    repository.write("pyproject.toml", profile)

    done = repository.doit("train:good-python", **ENGINE)

    assert 0 == done.returncode, done.stdout
    assert (
        "container" == repository.json("build/models/good-python/train/run.json")["where"]["place"]
    )


def test_no_engine(repository: Repository) -> None:
    """What was looked for is told, and the way out."""
    name = repository.add("good-python")
    described(repository, name, automation=IMAGE)
    engine = {**ENGINE, "MODEL_CONTAINER_ENGINE": "nerdctl"}

    done = repository.doit("train:good-python", "--on", "container", **engine)

    assert 1 == done.returncode
    assert "`MODEL_CONTAINER_ENGINE=nerdctl` is no container engine that can be used" in done.stdout
    assert "not one of podman, docker" in done.stdout


def test_a_python_that_the_image_does_not_have(repository: Repository) -> None:
    """Where the environment is made from the system's own Python, the image has to have it."""
    name = repository.add("good-python")
    words = [python(), "-c", "import sys; print(sys.version.split()[0])"]
    version = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    described(repository, name, automation=IMAGE, python=f"=={version}")
    variables = {**ENGINE, "PATH": f"/usr/bin:{os.environ['PATH']}", "HOME": "/nonexistent"}

    done = repository.doit("train:good-python", "--on", "container", **variables)

    assert 1 == done.returncode
    assert f"Python {version} does not run in the image `{containers.BASE}`" in done.stdout
    assert "which is to be the image's own" in done.stdout
    assert f"use an image with Python {version} in this place" in done.stdout


def python() -> str:
    """Return the system's own Python."""
    return os.path.realpath("/usr/bin/python3")


def test_an_engine_leaves_nothing_among_the_artefacts(repository: Repository) -> None:
    """Where a child is killed for memory and training goes on, its artefacts are those of here."""
    name = repository.add("good-python")
    training = (
        "import subprocess\nimport sys\n\n\n"
        "def train(data_conf, model_conf):\n"
        "    eater = \"import os; os.kill(os.getpid(), 9) if {here} else [b'x' * (1 << 27)]\"\n"
        "    here = not __import__('os').environ.get('IN_CONTAINER')\n"
        "    words = [sys.executable, '-c', eater.format(here=here)]\n"
        "    status = subprocess.run(words, check=False).returncode\n"
        "    with open('models/model.txt', 'w') as file:\n"
        "        file.write(str(status))\n"
    )
    repository.write(f"model_definitions/{name}/model_modules/training.py", training)
    said = {"training": {**IMAGE["training"], "resources": {"memory": "64Mi"}}}
    described(repository, name, automation=said)
    listed = f"build/models/{name}/train/artefacts.json"
    assert 0 == repository.doit(f"train:{name}").returncode
    here = repository.json(listed)

    words = ("-a", f"train:{name}", "--on", "container")
    done = repository.doit(*words, **ENGINE, IN_CONTAINER="1")

    assert 0 == done.returncode, done.stdout
    assert here == repository.json(listed)


def test_killed_reads_as_it_does_here(repository: Repository) -> None:
    """A signal is told as one."""
    name = repository.add("killed-in-train")
    described(repository, name, automation=IMAGE)

    done = repository.doit(f"train:{name}", "--on", "container", **ENGINE)

    assert "ended without a result: it was killed by signal 9" in done.stdout


def test_an_engine_that_cannot_start_a_container(repository: Repository) -> None:
    """Its own words are shown, and the variable for its options; the image is not blamed."""
    name = repository.add("good-python")
    described(repository, name, automation=IMAGE)
    unfit = {**ENGINE, "MODEL_CONTAINER_OPTIONS": "--runtime runc --ulimit nofile=99999999"}
    said = f"The container engine cannot start a container of the image `{containers.BASE}`"

    unprobed = repository.doit(f"train:{name}", "--on", "container", **unfit).stdout
    assert 0 == repository.doit(f"train:{name}", "--on", "container", **ENGINE).returncode
    probed = repository.doit("-a", f"train:{name}", "--on", "container", **unfit).stdout

    for told in (unprobed, probed):
        assert said in told
        assert "rlimit" in told.partition("it says")[2].partition("\n")[0]
        assert "hint: `MODEL_CONTAINER_OPTIONS` adds what `run` needs" in told


def test_a_program_that_the_image_lacks(tmp_path: Path) -> None:
    """A status of 127 out of a container that began is told as a program that is missing."""
    run = Run("one", str(tmp_path))
    Path(run.log).write_text("env: 'bash': No such file or directory\n")
    with pytest.raises(UserError, match="A program that the step starts is not in the image `x`"):
        failures.check_container("x", 127, run, began=True)
    failures.check_container("x", 1, run, began=False)


def test_an_option_in_the_place_of_an_image(repository: Repository) -> None:
    """It is told by `doit check`, and no engine gets it."""
    name = repository.add("good-python")
    described(repository, name, automation={"training": {"dockerImage": "--help"}})

    done = repository.doit("check")

    assert "`automation.training.dockerImage`: expected the name of an image" in done.stdout
    with pytest.raises(UserError, match="`--help` is no name of an image"):
        find_image(Engine("podman", "podman", ""), "--help", "image of the profile")
