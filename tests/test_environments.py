"""Environments: built from a lock, whole or not at all, shared, and with code that models share."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.environments import build, contents, lock_file, uv
from tasks.environments.requirements import read, wanted
from tasks.errors import UserError
from tests.workshop import OFFLINE, Workshop, count_calls

if TYPE_CHECKING:
    from tests.conftest import Repository

OWN = ".".join(map(str, sys.version_info[:2]))
CLOSED = "http://127.0.0.1:9/simple"


@pytest.fixture
def shop(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a repository in the working directory with a wheel, and a cache of its own."""
    shop = Workshop.opened(repository, monkeypatch)
    monkeypatch.setenv("MODEL_CACHE", str(repository.path.parent / "cache"))
    shop.wheel("one", "1.0")
    return shop


def left_over(environment: build.Environment) -> list[str]:
    """Return what lies beside the environments and should not."""
    names = os.listdir(os.path.dirname(environment.folder))
    return [name for name in names if "making" in name]


def test_a_model_without_requirements(shop: Workshop) -> None:
    """It has the standard library, on the Python that it asks for, and no lock."""
    environment = shop.ensure(shop.model(None, python=OWN))

    assert {} == environment.packages()
    assert [environment.interpreter.description] == list(environment.identity.values())
    assert list(map(int, OWN.split("."))) == shop.evaluate(
        environment, "__import__('sys').version_info[:2]"
    )
    assert [] == list((shop.repository.path / "envs/locks").iterdir())


def test_an_environment_has_what_its_lock_says(shop: Workshop) -> None:
    """The versions are told in its description, and are what can be imported."""
    shop.wheel("two", "1.0", "one")
    environment = shop.ensure(shop.model(f"{OFFLINE}two\n", python=OWN))

    assert {"one": "1.0", "two": "1.0"} == environment.packages()
    assert "1.0" == shop.version(environment, "one")
    assert [] == left_over(environment)


def test_models_with_one_lock_share_an_environment(shop: Workshop) -> None:
    """Whatever else they say, and however they say it."""
    first = shop.ensure(shop.model(f"{OFFLINE}one\n", "first", python=OWN))
    second = shop.ensure(shop.model(f"{OFFLINE}one # why\n", "second", python=f"=={OWN}.*"))
    other = shop.ensure(shop.model(None, "other", python=OWN))

    assert first.folder == second.folder
    assert first.folder != other.folder


def test_comments_and_order_change_nothing(shop: Workshop) -> None:
    """Neither the lock nor what results depend on."""
    shop.wheel("two", "1.0")
    before = shop.ensure(shop.model(f"{OFFLINE}one\ntwo\n", python=OWN))
    text = shop.lock_text(before.model)
    after = shop.find(shop.model(f"# new\ntwo\n{OFFLINE}one  # last\n", python=OWN))

    assert after is not None
    assert before.identity == after.identity
    assert text == shop.lock_text(before.model)


def test_what_is_there_is_not_built_again(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find it takes no call of uv."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    shop.ensure(model)
    monkeypatch.setattr(uv, "run", None)

    assert shop.ensure(model).built


def test_one_without_its_interpreter_is_built_again(shop: Workshop) -> None:
    """Somebody has tidied up the cache."""
    model = shop.model(None, python=OWN)
    os.remove(shop.ensure(model).python)

    assert os.path.exists(shop.ensure(model).python)


def test_two_at_once_build_one(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and takes what it made."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    shop.lock(model)
    calls = count_calls(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shop.ensure, [model] * 4))

    assert {True} == {environment.built for environment in found}
    assert 1 == [words[0] for words in calls].count("venv")


def test_two_runs_at_once(shop: Workshop) -> None:
    """Two processes lock and build the same, with neither in the other's way."""
    shop.repository.add("good-python", "tiny")
    model = shop.model(f"{OFFLINE}one\n")
    runs = [
        shop.repository.start("env:tiny", MODEL_CACHE=os.environ["MODEL_CACHE"]) for _ in range(2)
    ]
    outputs = [run.communicate()[0] for run in runs]

    assert [0, 0] == [run.returncode for run in runs], outputs
    environment = shop.find(model)
    assert environment is not None
    assert "1.0" == shop.version(environment, "one")
    assert [] == left_over(environment)


@pytest.mark.parametrize("moment", range(6))
def test_killed_while_building(shop: Workshop, moment: int) -> None:
    """Whatever it left is not used, and is gone with the next build."""
    shop.repository.add("good-python", "tiny")
    model = shop.model(f"{OFFLINE}one\n")
    shop.lock(model)
    environments = Path(os.environ["MODEL_CACHE"], "environments")
    run = shop.repository.start("env:tiny", MODEL_CACHE=os.environ["MODEL_CACHE"])
    while run.poll() is None and not (environments.exists() and any(environments.glob("*making*"))):
        time.sleep(0.001)
    time.sleep(moment * 0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()

    environment = shop.ensure(model)

    assert "1.0" == shop.version(environment, "one")
    assert [] == left_over(environment)


def test_an_orphan_that_still_writes_does_no_harm(shop: Workshop) -> None:
    """The uv of a killed build has a folder of its own, which nobody takes for another's."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    shop.lock(model)
    environment = shop.find(model)
    assert environment is not None
    orphan = Path(f"{environment.folder}.making-orphan/lib")
    orphan.mkdir(parents=True)
    Path(environment.folder).mkdir()

    shop.ensure(model)
    orphan.mkdir(parents=True)

    assert "1.0" == shop.version(environment, "one")


def test_a_wrong_hash_is_refused(shop: Workshop) -> None:
    """Somebody has edited the lock, or the index has another file; nothing is left of the build."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    text = shop.lock(model)
    digest = text.partition("sha256:")[2][:64]
    shop.repository.write(lock_file.lock_path(model), text.replace(digest, "0" * 64))
    shop.again()

    with pytest.raises(UserError) as caught:
        shop.ensure(model)

    message = str(caught.value)
    assert message.startswith("The environment of model `tiny` cannot be built\n")
    assert "\n  lock     envs/locks/tiny.txt\n" in message
    assert "Hash mismatch for `one==1.0`" in message
    assert f"sha256:{digest}" in message
    assert message.endswith("hint: `doit lock:tiny` resolves the requirements anew")
    environment = shop.find(model)
    assert environment is not None
    assert (False, []) == (environment.built, left_over(environment))


def test_an_index_out_of_reach(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked and not in uv's cache cannot be had; the ways out are named."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    shop.lock(model)
    online = shop.model("one\n", python=OWN)
    digest = wanted(read(online, shop.state), shop.state.files)
    lines = shop.lock_text(model).splitlines()
    lines[2] = f"# requirements: {digest}"
    shop.repository.write(lock_file.lock_path(model), "\n".join(lines))
    shop.again()
    monkeypatch.setenv("UV_CACHE_DIR", str(shop.repository.path / "empty"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", CLOSED)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    with pytest.raises(UserError) as caught:
        shop.ensure(online)

    assert "Connection refused" in str(caught.value)
    assert uv.UNREACHABLE_HINT == caught.value.hint


def test_a_cache_that_cannot_be_written(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that names another is told."""
    shop.repository.write("file", "")
    monkeypatch.setenv("MODEL_CACHE", "file")

    with pytest.raises(UserError) as caught:
        shop.ensure(shop.model(None, python=OWN))

    assert "`MODEL_CACHE` names another folder for environments and data" == caught.value.hint


def test_one_with_a_package_more_is_refused(shop: Workshop) -> None:
    """What was installed by hand counts for all who share it; what packages keep does not."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    environment = shop.ensure(model)
    (packages,) = Path(environment.folder).glob("lib/*/site-packages")
    for kept in ("one-1.0.dist-info/tables.py", "__pycache__/six.pyc", ".DS_Store"):
        (packages / kept).parent.mkdir(exist_ok=True)
        (packages / kept).write_text("")
    contents.altered.cache_clear()
    assert environment == shop.ensure(model)
    for added in (packages / "six.py", Path(environment.folder) / "lib/R/jsonlite/DESCRIPTION"):
        added.parent.mkdir(parents=True, exist_ok=True)
        added.write_text("1")
        contents.altered.cache_clear()

        with pytest.raises(UserError) as caught:
            shop.ensure(model)

        assert "is not as it was built" in str(caught.value)
        assert str(added).removeprefix(environment.folder) in str(caught.value)
        added.unlink()


def test_one_that_was_altered_is_refused(shop: Workshop) -> None:
    """A package that was edited in its environment is named, with the way out."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    environment = shop.ensure(model)
    (path,) = Path(environment.folder).glob("lib/*/site-packages/one.py")
    path.unlink()  # it may be one file with that in uv's cache
    path.write_text("__version__ = '2.0'\n")
    contents.altered.cache_clear()

    with pytest.raises(UserError) as caught:
        shop.ensure(model)

    assert "is not as it was built" in str(caught.value)
    assert "site-packages/one.py" in str(caught.value)
