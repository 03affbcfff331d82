"""Code that models share: a package of the repository is built into their environments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tasks.environments import build, lock_file
from tasks.errors import UserError
from tests.workshop import OFFLINE, Workshop

if TYPE_CHECKING:
    from tasks.model import Model
    from tests.conftest import Repository

OWN = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def shop(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a repository in the working directory with a wheel, and a cache of its own."""
    shop = Workshop.opened(repository, monkeypatch)
    monkeypatch.setenv("MODEL_CACHE", str(repository.path.parent / "cache"))
    shop.wheel("one", "1.0")
    return shop


def test_a_package_of_the_repository_is_built_in(shop: Workshop) -> None:
    """From a copy: nothing is left in its folder, and later changes do not reach in."""
    shop.wheel("two", "1.0")
    folder = shop.package("features", "one", more='[project.optional-dependencies]\nx = ["two"]\n')
    environment = shop.ensure(shop.model(f"{OFFLINE}{folder}[x]\n", python=OWN))
    shop.package("features", value=2)

    assert {"one": "1.0", "two": "1.0", "features": "1.0 from packages/features"} == (
        environment.packages()
    )
    assert 1 == shop.evaluate(environment, "importlib.import_module('features').VALUE")
    assert ["pyproject.toml", "src"] == sorted(os.listdir(folder))


def test_a_wheel_of_the_repository_is_installed(shop: Workshop) -> None:
    """A path may lead to a wheel as well, and its bytes count."""
    path = "wheels/one-1.0-py3-none-any.whl"
    environment = shop.ensure(shop.model(f"{OFFLINE}{path}\n", python=OWN))

    assert {"one": f"1.0 from {path}"} == environment.packages()
    assert f"package {path}" in environment.identity


def test_a_package_for_other_pythons_is_left_out(shop: Workshop) -> None:
    """A marker holds for it as for any requirement."""
    folder = shop.package("features")
    model = shop.model(f"{OFFLINE}one\n{folder} ; python_version < '3'\n", python=OWN)

    assert {"one": "1.0"} == shop.ensure(model).packages()


def test_a_marker_that_changes(shop: Workshop) -> None:
    """The lock is the same, and the environment is another."""
    folder = shop.package("features")
    without = shop.ensure(shop.model(f"{OFFLINE}{folder} ; python_version < '3'\n", python=OWN))
    with_it = shop.ensure(shop.model(f"{OFFLINE}{folder}\n", python=OWN))

    assert [False, True] == ["features" in one.packages() for one in (without, with_it)]


def test_what_editors_leave_in_a_package(shop: Workshop) -> None:
    """It counts for nothing, also where it leads nowhere."""
    folder = shop.package("features")
    model = shop.model(f"{OFFLINE}{folder}\n", python=OWN)
    before = shop.ensure(model)
    source = shop.repository.path / folder / "src/features"
    (source / ".#code.py").symlink_to("me@host.1:2")
    for name in (".code.py.swp", "code.py~"):
        (source / name).write_text("x")

    after = shop.find(model)

    assert after
    assert before.identity == after.identity


def test_a_change_to_a_package_counts_for_those_who_use_it(shop: Workshop) -> None:
    """By its bytes: the lock stays as it is."""
    folder = shop.package("features")
    user = shop.model(f"{OFFLINE}{folder}\n", "user", python=OWN)
    other = shop.model(f"{OFFLINE}one\n", "other", python=OWN)
    before = [shop.ensure(model) for model in (user, other)]
    shop.package("features", value=2)
    after = [shop.find(model) for model in (user, other)]

    assert [False, True] == [
        one.identity == two.identity for one, two in zip(before, after, strict=True) if two
    ]
    assert 2 == shop.evaluate(shop.ensure(user), "importlib.import_module('features').VALUE")


def test_a_package_that_changes_while_it_is_copied(shop: Workshop) -> None:
    """An environment is never other than what it is named for."""
    folder = shop.package("features")
    model = shop.model(f"{OFFLINE}{folder}\n", python=OWN)
    shop.lock(model)

    def say(message: str) -> None:
        if message == f"installing {folder}":
            shop.package("features", value=2)

    with pytest.raises(UserError, match="changed while it was installed"):
        build.ensure(model, shop.state, say, say)


def test_a_package_that_cannot_be_built(shop: Workshop) -> None:
    """It is named with what its build says, and no path of a temporary folder is in the way."""
    folder = shop.package("features")
    os.remove(f"{folder}/src/features/__init__.py")

    with pytest.raises(UserError) as caught:
        shop.ensure(shop.model(f"{OFFLINE}{folder}\n", python=OWN))

    expected = """\
The environment of model `tiny` cannot be built
  file     model_definitions/tiny/model_modules/requirements.txt
  package  packages/features
  lock     envs/locks/tiny.txt
  uv says  error: Failed to build `features @ packages/features`
             cause: Expected a Python module at: packages/features/src/features/__init__.py

hint: see that `packages/features` can be built, and names all that its build needs"""
    assert expected == str(caught.value)


def test_from_a_git_commit(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit says what it is, as a hash does, and stands in the lock."""
    folder = shop.package("features")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.invalid")
    for words in ("init -q", "add .", "commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    address = (shop.repository.path / folder).as_uri()
    model = shop.model(f"{OFFLINE}one\nfeatures @ git+{address}\n", python=OWN)

    assert {"one": "1.0", "features": "1.0"} == shop.ensure(model).packages()
    assert len("0" * 40) == len(shop.pins(model)[0].rpartition("@")[2])


@pytest.fixture
def indexed(shop: Workshop) -> Model:
    """Return a model with requirements and a build backend that come from the index."""
    project = """\
        [build-system]
        requires = ["flit_core<4"]
        build-backend = "flit_core.buildapi"

        [project]
        name = "features"
        version = "1.0"
        description = "shared"
        dependencies = ["six"]
        """
    shop.repository.write("packages/features/pyproject.toml", textwrap.dedent(project))
    shop.repository.write("packages/features/features/__init__.py", "from six import PY3\n")
    return shop.model("idna\n./packages/features\n", python=OWN)


def test_with_packages_of_the_index(
    shop: Workshop, indexed: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With uv's cache a rebuild needs no network, although the package is built by a backend."""
    environment = shop.ensure(indexed)
    shutil.rmtree(environment.folder)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    again = shop.ensure(indexed)

    assert ["features", "idna", "six"] == sorted(again.packages())
    assert shop.evaluate(again, "importlib.import_module('features').PY3")


def test_a_build_backend_is_locked(shop: Workshop, indexed: Model) -> None:
    """Apart from what is installed, and uv refuses one with another hash."""
    text = shop.lock(indexed)
    pins, _, build_pins = text.partition("# build: ")

    assert (True, False) == ("six==" in pins, "flit-core==" in pins)
    assert (False, True) == ("six==" in build_pins, "flit-core==" in build_pins)
    assert ("://" in text, str(shop.repository.path) in text) == (False, False)

    build_pins = re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", build_pins)
    shop.repository.write(lock_file.lock_path(indexed), f"{pins}# build: {build_pins}")
    shop.again()
    with pytest.raises(UserError, match="Hash mismatch for `flit-core=="):
        shop.ensure(indexed)


def test_a_change_to_a_package_reruns_exactly_its_users(shop: Workshop) -> None:
    """With doit: one model imports it, the other does not."""
    folder = shop.package("features")
    for name in ("user", "other"):
        shop.repository.add("good-python", name)
    training = "model_definitions/user/model_modules/training.py"
    shop.repository.write(training, f"import features\n{shop.repository.read(training)}")
    shop.model(f"{OFFLINE}{folder}\n", "user")

    first = shop.repository.doit("train")
    shop.package("features", value=2)
    told = shop.repository.doit("why", "train:user")
    second = shop.repository.doit("run", "--reporter=json", "train")

    assert (0, 0) == (first.returncode, second.returncode), first.stdout + second.stdout
    assert "package packages/features changed" in told.stdout
    assert ["train:user"] == ran(second.stdout)


def ran(output: str) -> list[str]:
    """Return the tasks that ran, from the JSON report."""
    events = [json.loads(line) for line in output.splitlines() if line]
    return [event["step"] for event in events if event.get("state") == "ran"]
