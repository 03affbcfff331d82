"""Pins of other years: the Python that they need, what is put right, and what is said of it.

The packages that were really there in those years come from the package index.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tasks.environments import corrections, interpreters, locks, reasons
from tasks.environments.days import of_the_time
from tasks.environments.interpreters import Interpreter
from tasks.errors import UserError
from tasks.state import State
from tests.conftest import GALLERY
from tests.workshop import OFFLINE, Workshop

if TYPE_CHECKING:
    from tests.conftest import Repository

OWN = ".".join(map(str, sys.version_info[:2]))
_AGAINST = re.compile(
    r"# not on ([\d., ]+): ((?:numpy|pandas)==\S+) has no usable wheels and you require \2"
)
OLDER = f"3.{sys.version_info[1] - 1}"


@pytest.fixture
def shop(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a repository in the working directory, with a folder for locks."""
    return Workshop.opened(repository, monkeypatch)


def minors() -> set[str]:
    """Return the Pythons that are installed here."""
    return {one.minor for one in interpreters.installed(State(":memory:"))}


def need(*some: str) -> None:
    """Leave a test out where none of these Pythons is installed; in CI they must be there."""
    if not minors().intersection(some):
        wanting = f"this test needs Python {' or '.join(some)}, which is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(wanting)


def head(shop: Workshop, *lines: str) -> list[str]:
    """Return the lines about how a lock came about, for a model with these requirements."""
    text = shop.lock(shop.model("".join(f"{line}\n" for line in lines)))
    return [line for line in text.splitlines() if re.match("# (not|corr|only|as|python)", line)]


def test_the_newest_python_that_the_pins_allow(shop: Workshop) -> None:
    """pandas 0.24 asks for `pytz>=2011k`, which is no version: it is put right, and told."""
    need("3.7")

    told = head(shop, "numpy==1.16.1", "pandas==0.24.2")

    newer = {minor for minor in minors() if int(minor[2:]) > 7}
    first, *against, pandas, setuptools = told
    found = [_AGAINST.fullmatch(line) for line in against]  # uv names one of the two
    assert f"# python: 3.7 (>=3.7,<{min(newer, key=lambda minor: int(minor[2:]))})" == first
    assert all(found), against
    assert newer == {minor for one in found if one for minor in one[1].split(", ")}
    assert [
        "# corrected: pandas 0.24.2 asks for pytz>=2011k, which is no version: pytz>=2011 is meant",
        "# corrected: setuptools is added: every environment had it before Python 3.12",
    ] == [pandas, setuptools]
    assert ["numpy==1.16.1", "pandas==0.24.2"] == shop.pins(shop.model(None))[:2]


@pytest.mark.parametrize("version", sorted(corrections._REQUIRES))
def test_every_correction_is_of_a_release_that_needs_it(version: str) -> None:
    """The configuration is one that uv reads, with each release once."""
    assert 1 == corrections.configuration().count(f'version = "{version}"\n')


def test_a_model_of_2019_beside_one_of_today(repository: Repository) -> None:
    """One `doit` trains and evaluates both, each on its own Python, with the code as it is."""
    need("3.7", "3.6")
    shutil.copytree(GALLERY / "pins-of-2019", repository.path, dirs_exist_ok=True)

    done = repository.doit()

    assert 0 == done.returncode, done.stdout
    old, today = (
        repository.json(f"build/models/{name}/evaluate/metrics.json")["metrics"]
        for name in ("000005a1-0000-4000-8000-0000000005a1", "python-today")
    )
    assert (old["python_3"] in (6, 7), today["python_3"] >= 11) == (True, True)
    assert (0.8, 0.9) == (old["accuracy"], today["accuracy"])
    run = repository.json("build/models/000005a1-0000-4000-8000-0000000005a1/train/run.json")
    pins = {"numpy": "1.16.1", "pandas": "0.24.2", "xgboost": "0.90", "scikit-learn": "0.21.3"}
    assert pins.items() <= run["environment"]["packages"].items()
    assert ["build", "data", "model_definitions"] == sorted(
        p.name for p in repository.path.iterdir()
    )


def test_packages_that_serve_no_later_python(shop: Workshop) -> None:
    """Pins that pip could install are locked for their own Python where none serve all."""
    need("3.9", "3.8", "3.7")

    told = head(shop, "numpy==1.20.3", "pandas==1.3.5", "scikit-learn==0.24.2")

    assert re.fullmatch(r"# python: 3\.[789] \(>=3\.[789],<3\.(8|9|10)\)", told[0])
    assert re.fullmatch(
        r"# only for Python 3\.[789] on \w+ \w+: there are no packages that serve others as well",
        told[-1],
    )


def test_a_dead_name(shop: Workshop) -> None:
    """`sklearn` means scikit-learn, whatever version is asked for of what has none."""
    told = head(shop, "sklearn==0.0")

    assert "# corrected: sklearn==0.0 stands for scikit-learn" in told
    assert any(pin.startswith("scikit-learn==") for pin in shop.pins(shop.model(None)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sklearn", "scikit-learn"),
        ("Sklearn == 0.0", "scikit-learn"),
        ("PIL; python_version > '3'", "Pillow; python_version > '3'"),
        ("pytorch[all]>=1", "torch"),
        ("sklearn-pandas==1.8", "sklearn-pandas==1.8"),
        ("sklearn @ https://example.invalid/x.whl", "sklearn @ https://example.invalid/x.whl"),
        ("scikit-learn==0.21.3", "scikit-learn==0.21.3"),
    ],
)
def test_what_is_renamed(line: str, expected: str) -> None:
    """A dead name alone, with the marker that it has."""
    assert expected == corrections.renamed(line)


@pytest.mark.parametrize(
    ("line", "python", "runs"),
    [
        ("pyspark==2.4.3", "3.8.18", False),
        ("pyspark==2.4.3", "3.7.16", True),
        ("pyspark==2.4.*", "3.11.7", False),
        ("pyspark==3.5.1", "3.11.7", True),
        ("pyspark>=2", "3.11.7", True),
        ("pandas==0.24.2", "3.11.7", True),
        ("not a requirement !", "3.11.7", True),
    ],
)
def test_a_python_that_a_release_does_not_run_on(line: str, python: str, *, runs: bool) -> None:
    """PySpark 2 can be installed on any Python, and imported up to 3.7."""
    assert runs == (not corrections.cannot_run([line], python))


def test_pyspark_of_2019_is_locked(shop: Workshop) -> None:
    """It is built with a limit on what it is built with, for a Python that it runs on."""
    need("3.7")

    told = head(shop, "pyspark==2.4.3")

    assert told[0].startswith("# python: 3.7 ")
    assert "# corrected: pyspark 2.4.3 is built with pypandoc<1.8" in told


def old_and_new(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> tuple[Interpreter, Interpreter]:
    """Have two Pythons: the runner's own, and the same one in the guise of an older one."""
    own = next(one for one in interpreters.installed(shop.state) if one.minor == OWN)
    older = replace(own, version=f"{OLDER}.1")
    monkeypatch.setattr(locks, "installed", lambda _: (own, older))
    return own, older


def test_pkg_resources_is_there(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of its time may import what every environment had; a model of today may not."""
    need("3.11", "3.10", "3.9", "3.8", "3.7")
    named = next(m for m in ("3.11", "3.10", "3.9", "3.8", "3.7") if m in minors())
    shop.wheel("old", "1.0", only=named)

    with shop.index(monkeypatch):
        old = shop.ensure(shop.model("old\n"))
        today = shop.ensure(shop.model("old\n", "today", python=named))

    assert shop.evaluate(old, "importlib.import_module('pkg_resources').__name__")
    assert "setuptools" not in today.packages()


def test_none_that_fits_any_python(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table says what speaks against each Python; uv's own words stand once, in full."""
    old_and_new(shop, monkeypatch)
    shop.wheel("one", "1.0", only=OLDER)
    shop.wheel("two", "1.0", "one>=2")

    with shop.index(monkeypatch), pytest.raises(UserError) as caught:
        shop.lock(shop.model("one\ntwo\n"))

    labels = [label for label, _ in caught.value.facts]
    assert ["file", f"Python {OWN}", f"Python {OLDER}", "uv says"] == labels
    assert "\n" not in "".join(value for _, value in caught.value.facts[:3])
    assert 1 == str(caught.value).count("No solution found")


def test_of_two_builds_from_source_the_fewest(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package without any wheel is built, and for the Python that has wheels of the rest."""
    old_and_new(shop, monkeypatch)
    shop.wheel("one", "1.0", only=OLDER)
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--sdist", "--offline"]
    subprocess.run([*command, shop.package("two"), "-o", "wheels"], check=True)

    with shop.index(monkeypatch):
        told = head(shop, "one", "two")

    assert told[0] == f"# python: {OLDER} (>={OLDER},<{OWN})"
    assert {"one==1.0", "two==1.0"} <= set(shop.pins(shop.model(None)))


# ---- as of a day --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("", "3.13 3.11 3.8 3.7"),
        ("2019-08-31", "3.7 3.8 3.11 3.13"),
        ("2019-10-14", "3.8 3.7 3.11 3.13"),
        ("2024-12-01", "3.13 3.11 3.8 3.7"),
        ("2001-01-01", "3.7 3.8 3.11 3.13"),
    ],
)
def test_pythons_of_a_day(day: str, expected: str) -> None:
    """Those that were out come first, the newest of them before the others; then the rest."""
    some = [Interpreter("", f"{m}.1", "CPython", "x86_64") for m in ("3.13", "3.11", "3.8", "3.7")]

    assert expected == " ".join(one.minor for one in of_the_time(some, day))


def commit(shop: Workshop, day: str) -> None:
    """Commit all of a repository on a day."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.invalid"]
    when = {"GIT_COMMITTER_DATE": f"{day}T12:00:00Z"}
    for words in (["init", "-q"], ["add", "model_definitions"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], cwd=shop.repository.path, check=True, env={**when})


def test_as_of_the_last_commit(shop: Workshop) -> None:
    """The packages of that day, on a Python of that day, until the lock is asked for anew."""
    need("3.7")
    repository = shop.repository
    repository.add("good-python", "tiny")
    model = shop.model("scikit-learn\n")
    commit(shop, "2019-08-31")

    done = repository.doit("lock:tiny", "--as-of", "commit")

    assert 0 == done.returncode, done.stdout
    assert "# as of: 2019-08-31, by --as-of" in shop.lock_text(model)
    assert "# python: 3.7 (>=3.7,<3.8)" in shop.lock_text(model)
    assert {"scikit-learn==0.21.3", "numpy==1.17.1"} <= set(shop.pins(model))
    shop.again()
    told = reasons.choice(model, shop.state)
    assert told[0].endswith("the newest installed one that is >=3.6 and was out on 2019-08-31")
    assert "as of: 2019-08-31, by --as-of" == told[1]

    repository.write("model_definitions/tiny/model_modules/requirements.txt", "scikit-learn\nsix\n")
    shop.again()
    shop.lock(model)  # as `doit train:tiny` does

    assert "# as of: 2019-08-31, by --as-of" in shop.lock_text(model)
    assert "six==1.12.0" in shop.pins(model)


def test_a_lock_that_is_asked_for_anew_is_of_today(shop: Workshop) -> None:
    """Without the option the day is gone, and with `resolveAsOf` it is that day."""
    shop.wheel("one", "1.0")
    model = shop.model(f"{OFFLINE}one\n")
    locks.make_lock(model, shop.state, say=str, upgrade=True, as_of="2030-01-01")
    before = locks._as_of(model, shop.state.files)
    shop.lock(model, upgrade=True)

    assert ("2030-01-01", "") == (before, locks._as_of(model, shop.state.files))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lock:tiny", "--as-of", "yesterday"], "`--as-of yesterday` is no day"),
        (["lock:tiny", "--as-of", "commit"], "Model `tiny` has no commit to take the day from"),
        (["train:tiny", "--as-of", "commit"], "`--as-of` is for locks"),
    ],
)
def test_a_day_that_is_none(shop: Workshop, words: list[str], expected: str) -> None:
    """The message names what is wrong, and the way out."""
    shop.repository.add("good-python", "tiny")
    shop.model(f"{OFFLINE}one\n")

    done = shop.repository.doit(*words, GIT_CEILING_DIRECTORIES=str(shop.repository.path.parent))

    assert 0 != done.returncode
    assert expected in done.stdout + done.stderr


# ---- doit why env:MODEL -------------------------------------------------------------------------


def why(shop: Workshop, *words: str) -> list[str]:
    """Return what `doit why` says, without the folder of an environment."""
    done = shop.repository.doit("why", *words)
    assert 0 == done.returncode, done.stderr
    return re.sub(r"\S+/environments/\w+", "FOLDER", done.stdout).splitlines()


def test_why_an_environment_must_be_built(shop: Workshop) -> None:
    """Not locked, locked and not built, built, out of date: each is told with its Python."""
    shop.repository.add("good-python", "tiny")
    shop.wheel("one", "1.0")
    model = shop.model(f"{OFFLINE}one\n")
    path = "model_definitions/tiny/model_modules/requirements.txt"
    version = interpreters.installed(shop.state)[0].version

    new = why(shop, "env:tiny")
    shop.lock(model)
    locked = why(shop, "env")
    shop.repository.doit("env:tiny")
    built = why(shop, "env:tiny")
    shop.repository.write(path, f"{OFFLINE}one>=1\n")
    changed = why(shop, "env:tiny", "train:tiny")

    about = locked[2:]
    assert ["env:tiny must be built:", f"  {path} has no whole lock yet"] == new
    assert [
        "env:tiny must be built:",
        "  none is there for this lock and Python, in FOLDER",
    ] == locked[:2]
    assert about[0].startswith(f"  on Python {version}: the newest installed one that is >=3.6")
    assert "  locked in envs/locks/tiny.txt" == about[-1]
    assert ["env:tiny is up to date", *about] == built
    assert [
        "env:tiny must be built:",
        f"  what {path} and `python` ask for changed since it was locked",
    ] == changed[:2]
    assert "train:tiny must run:" == changed[2]


def test_why_without_requirements(shop: Workshop) -> None:
    """The standard library is enough, on the best Python that the model allows."""
    shop.repository.add("good-python", "tiny")

    assert ["  it needs no packages"] == why(shop, "env:tiny")[-1:]
