"""Killed while an environment is built: one that is half-made is never used."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.assertions import wait_until
from tests.crash import interception
from tests.crash.amounts import PARTS, SEED, amount, chosen, count
from tests.crash.interception import KILL_ALL, PASS
from tests.crashing import VICTIMS, kill, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repository
    from tests.crash.calls import Call

PACKAGE = {
    "pyproject.toml": """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1.0"
""",
    "backend.py": """\
import os
import time
import zipfile

METADATA = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def say(word):
    with open(os.environ.get("BUILD_LOG", os.devnull), "a") as log:
        log.write(word + "\\n")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    say("begin")
    while os.path.exists(os.environ.get("HOLD", "")):
        time.sleep(0.01)
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for part in sorted(os.listdir("tiny")):
            time.sleep(0.02)
            wheel.write(f"tiny/{part}")
        about = "tiny-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", METADATA)
        wheel.writestr(f"{about}/WHEEL", WHEEL)
        wheel.writestr(f"{about}/RECORD", "")
    say("end")
    return name
""",
    "tiny/__init__.py": "",
}

USING = """\
import os

import tiny


def train(data_conf, model_conf, **kwargs):
    folder = os.path.dirname(tiny.__file__)
    found = sorted(name for name in os.listdir(folder) if name.endswith(".txt"))
    with open("models/model.txt", "w") as file:
        file.write("".join(open(os.path.join(folder, name)).read() for name in found))
"""


@pytest.fixture
def user(repository: Repository) -> Repository:
    """Return a repository whose one model needs a package of the repository."""
    repository.add("good-python", "user")
    for path, text in PACKAGE.items():
        repository.write(f"packages/tiny/{path}", text)
    repository.write("model_definitions/user/model_modules/requirements.txt", "packages/tiny\n")
    repository.write("model_definitions/user/model_modules/training.py", USING)
    return repository


def write_package(repository: Repository, number: int) -> str:
    """Give the package new content, and return what the model makes of it."""
    parts = [f"{number}.{part}\n" for part in range(8)]
    for part, text in enumerate(parts):
        repository.write(f"packages/tiny/tiny/{part}.txt", text)
    return "".join(parts)


def variables(cache: Path) -> dict[str, str]:
    """Return the variables for an empty cache and no network."""
    return {"MODEL_CACHE": str(cache), "UV_OFFLINE": "1"}


def assert_built(repository: Repository, expected: str, cache: Path) -> None:
    """Check the model's result, and that its environment is whole and nobody's work now."""
    assert expected == repository.read("build/models/user/train/models/model.txt")
    assert wait_until(lambda: not processes_of(repository.path, cache))
    described = [path.parent for path in (cache / "environments").glob("*/environment.json")]
    (environment,) = [path for path in described if ".making-" not in path.name]
    packages = environment.glob("lib/python*/site-packages/tiny/*.txt")
    assert expected == "".join(path.read_text() for path in sorted(packages))
    assert "nothing to do" in repository.doit("train:user", **variables(cache)).stdout


def test_killed_while_an_environment_is_built(user: Repository, tmp_path: Path) -> None:
    """A build that is cut off is never taken for an environment."""
    chance = random.Random(SEED)
    kills = amount(4, 60)
    for number in range(kills):
        cache = tmp_path / f"cache-{number}"
        expected = write_package(user, number)
        process = user.start("train:user", **variables(cache))
        time.sleep(chance.uniform(0, 1.2))
        VICTIMS[("doit", "both")[number % 2]](process, user)

        done = user.doit("train:user", **variables(cache))  # uv may have outlived its doit

        process.communicate()
        assert 0 == done.returncode, (number, done.stdout, done.stderr)
        assert_built(user, expected, cache)
    count("kill -9 while an environment is built", kills=kills)


def build(user: Repository, cache: Path, decide: Callable[[Call], int]) -> interception.Ran:
    """Lock, build and train, and decide about every call in the repository or the cache."""
    return interception.run(
        user.command("train:user"), decide, cwd=user.path,
        env=user.variables(**variables(cache)), folders=[user.path, cache],
    )  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_every_call_is_the_last_of_all(user: Repository, tmp_path: Path, part: int) -> None:
    """A lock and an environment are made anew where all processes died before a call: uv's, too."""
    write_package(user, 0)
    calls = build(user, tmp_path / "cache", lambda _: PASS).calls
    numbers = chosen(calls, 6, part)
    for number in numbers:
        cache = tmp_path / f"cache-{number}"
        expected = write_package(user, number)
        shutil.rmtree(user.path / "build")
        ran = build(
            user, cache, lambda call, last=number: KILL_ALL if call.number == last else PASS
        )
        done = user.doit("train:user", **variables(cache))
        assert 0 == done.returncode, (SEED, ran.calls[-1], done.stdout, done.stderr)
        assert_built(user, expected, cache)
        shutil.rmtree(cache)
    count("last call of all, lock and environment", calls=len(numbers))


def test_a_uv_that_outlives_its_doit_harms_nobody(user: Repository, tmp_path: Path) -> None:
    """While a killed run's uv goes on, and after it has ended, the environment is whole."""
    hold, log, cache = tmp_path / "hold", tmp_path / "log", tmp_path / "cache"
    hold.touch()
    expected = write_package(user, 0)
    more = variables(cache)
    first = user.start("train:user", **more, HOLD=str(hold), BUILD_LOG=str(log))
    assert wait_until(log.exists)
    kill(first.pid)

    done = user.doit("train:user", **more)
    assert 0 == done.returncode, done.stdout + done.stderr
    hold.unlink()

    first.communicate()
    assert_built(user, expected, cache)
    user.write("model_definitions/user/config.json", {"hyperParameters": {"factor": 3}})
    assert 0 == user.doit("train:user", **more).returncode
    assert_built(user, expected, cache)
