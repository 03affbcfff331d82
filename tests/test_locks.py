"""Locks: what they hold, when they are made anew, and what is said where none can be made."""

from __future__ import annotations

import re
import sys
import textwrap

import pytest

from tasks.environments import interpreters, lock_file, locks, resolve, uv
from tasks.environments.requirements import Package, read
from tasks.errors import UserError
from tests.conftest import Repository
from tests.workshop import OFFLINE, Workshop, count_calls

CLOSED = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
OWN = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def shop(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a repository in the working directory, with two versions of one wheel."""
    shop = Workshop.opened(repository, monkeypatch)
    shop.wheel("one", "1.0")
    shop.wheel("one", "2.0")
    return shop


def refused(shop: Workshop, requirements: str, **document: str) -> str:
    """Return the message for requirements that cannot be locked."""
    with pytest.raises(UserError) as caught:
        shop.lock(shop.model(requirements, **document))
    return str(caught.value)


def test_a_lock_has_versions_hashes_and_the_python(shop: Workshop) -> None:
    """And neither an index nor a path of this machine."""
    shop.wheel("two", "1.0", "one<2")

    text = shop.lock(shop.model(f"{OFFLINE}two\n", python=OWN))

    expected = f"""\
        # What model tiny runs on. `doit lock:tiny` refreshes it.
        # format: 1
        # requirements: DIGEST
        # python: {OWN} (>={OWN})
        one==1.0 \\
            --hash=sha256:DIGEST
        two==1.0 \\
            --hash=sha256:DIGEST
        # end
        """
    assert textwrap.dedent(expected) == re.sub("[0-9a-f]{64}", "DIGEST", text)


def test_the_same_requirements_have_the_same_lock_in_another_folder(
    shop: Workshop, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone elsewhere has nothing to lock."""
    shop.package("features")
    model = shop.model(f"{OFFLINE}one\npackages/features\n", python=OWN)
    text = shop.lock(model)
    moved = repository.path.rename(repository.path.with_name("moved elsewhere"))
    monkeypatch.chdir(moved)
    there = Workshop(Repository(moved, repository.cache), shop.state)

    assert locks.fitting(model, read(model, shop.state), shop.state)
    assert text == there.lock(model, upgrade=True)
    assert str(repository.path) not in text


def test_a_new_model_takes_over_the_lock_of_one_that_asks_for_the_same(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is resolved for it; it has a lock of its own, which can be refreshed."""
    shop.wheel("tiny", "1.0")
    first = shop.lock(shop.model(f"{OFFLINE}tiny\n", "first"))
    shop.wheel("tiny", "2.0")
    calls = count_calls(monkeypatch)
    second = shop.model(f"{OFFLINE}tiny\n", "second")

    assert first.replace("first", "second") == shop.lock(second)
    assert [] == calls
    assert "second" in shop.lock(second, upgrade=True)
    assert ["tiny==2.0"] == shop.pins(second)
    assert first == shop.lock_text(shop.model(f"{OFFLINE}tiny\n", "first"))
    other = shop.model(f"{OFFLINE}tiny<3\n", "third")
    assert "third" in shop.lock(other)
    assert ["tiny==2.0"] == shop.pins(other)


def test_a_changed_requirement_keeps_the_other_pins(shop: Workshop) -> None:
    """Until `doit lock:tiny` refreshes them all."""
    model = shop.model(f"{OFFLINE}one<2\n", python=OWN)
    shop.lock(model)
    shop.wheel("two", "1.0")
    shop.model(f"{OFFLINE}one\ntwo\n", python=OWN)
    shop.lock(model)

    assert ["one==1.0", "two==1.0"] == shop.pins(model)

    shop.lock(model, upgrade=True)

    assert ["one==2.0", "two==1.0"] == shop.pins(model)


@pytest.mark.parametrize("damage", ["cut", "merge", "empty", "binary", "gone"])
def test_a_damaged_lock_is_made_anew_with_the_pins_that_it_has(shop: Workshop, damage: str) -> None:
    """A part of a lock would make an environment without the rest."""
    shop.wheel("two", "1.0")
    model = shop.model(f"{OFFLINE}one<2\ntwo\n", python=OWN)
    whole = shop.lock(model)
    path = shop.repository.path / lock_file.lock_path(model)
    texts = {
        "cut": whole[: whole.index("two==")],
        "merge": whole.replace("two==", "<<<<<<< ours\ntwo=="),
        "empty": "",
    }
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(texts.get(damage, "\udcff").encode("utf-8", "surrogateescape"))
    shop.again()

    assert lock_file.read_lock(model, shop.state.files) is None
    alerts: list[str] = []
    shop.ensure(model, alerts.append)
    assert whole == shop.lock_text(model)
    name = lock_file.lock_path(model)
    said = f"`{name}` was not whole and was made anew: compare it with what Git has"
    assert ([] if damage == "gone" else [said]) == alerts


def test_a_lock_of_a_later_runner(shop: Workshop) -> None:
    """It is not overwritten by accident; the message says both ways out."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    text = shop.lock(model)
    shop.repository.write(lock_file.lock_path(model), text.replace("format: 1", "format: 2"))
    shop.again()

    with pytest.raises(UserError) as caught:
        shop.ensure(model)

    expected = """\
`envs/locks/tiny.txt` was written by another version of the runner

hint: bring this clone up to date, or lock anew: `doit lock:tiny`"""
    assert expected == str(caught.value)
    assert text == shop.lock(model, upgrade=True)


def test_a_lock_as_git_writes_it_on_windows_is_the_same(shop: Workshop) -> None:
    """Line ends make no other environment."""
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    text = shop.lock(model)
    before = lock_file.read_lock(model, shop.state.files)
    path = shop.repository.path / lock_file.lock_path(model)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    shop.again()

    assert before == lock_file.read_lock(model, shop.state.files)


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ("one\n-c limits.txt\n", ["one==1.0"]),
        ("one\ntwo ; python_version < '3'\n", ["one==2.0"]),
        ("three[more]\n", ["one==1.0", "three==1.0"]),
    ],
    ids=["constraint", "marker", "extra"],
)
def test_what_requirements_may_say(shop: Workshop, requirements: str, expected: list[str]) -> None:
    """Constraints, markers and extras do what they do for pip."""
    shop.wheel("three", "1.0", "one==1.0 ; extra == 'more'")
    shop.repository.write("model_definitions/tiny/model_modules/limits.txt", "one<2\ntwo==7\n")
    model = shop.model(OFFLINE + requirements, python=OWN)
    shop.lock(model)

    assert expected == [pin.partition(" ;")[0] for pin in shop.pins(model)]


def test_the_resolver_explains_what_cannot_be_satisfied(shop: Workshop) -> None:
    """Once, in its own words, below the model's name and its file."""
    shop.wheel("two", "1.0", "one<2")

    message = refused(shop, f"{OFFLINE}one>=2\ntwo\n", python=OWN)

    lines = message.splitlines()
    assert [
        "The requirements of model `tiny` cannot be locked",
        "  file         model_definitions/tiny/model_modules/requirements.txt",
    ] == lines[:2]
    assert re.fullmatch(rf"  Python {OWN}  (?!.*conclude)[\w ]*\b(one|two)\b.*[^,]", lines[2])
    assert "  uv says      error: No solution found when resolving dependencies" == lines[3]
    assert re.fullmatch(r" +cause: Because .*\btwo\b.*", lines[4])
    assert message.endswith(
        "\n\nhint: change the requirement that is named, or `python` in model.json"
    )


def test_a_requirement_that_is_none(shop: Workshop) -> None:
    """It is told by its file and line, and once for all Pythons."""
    message = refused(shop, f"{OFFLINE}two\none=1.0\n")

    path = "model_definitions/tiny/model_modules/requirements.txt"
    expected = f"""\
The requirements of model `tiny` cannot be locked
    {path}:4: expected a requirement such as `numpy>=1.26`, found `one=1.0`
      hint: did you mean `one==1.0`?

hint: `doit check tiny` shows the same, and locks nothing"""
    assert expected == message


def test_a_requirement_that_uv_alone_refuses(shop: Workshop) -> None:
    """uv's own arrow points at it, and no path of a temporary folder is in the way."""
    message = refused(shop, f"{OFFLINE}one=${{ONE}}\n", python=OWN)

    assert "Couldn't parse requirement in `requirements.txt`" in message
    assert re.search(r"\n +one=.*\n +\^+\n", message)


def test_one_that_fits_all_pythons_of_a_range_is_preferred(shop: Workshop) -> None:
    """A lock for `>=3.9` serves a colleague who has that one; else the own Python's is made."""
    shop.wheel("two", "1.0", python=">=3.9")
    shop.wheel("three", "1.0", python=f">={OWN}")

    both = shop.lock(shop.model(f"{OFFLINE}two\n", python=f">=3.9,<={OWN}.99"))
    narrow = shop.lock(shop.model(f"{OFFLINE}three\n", "narrow", python=f">=3.9,<={OWN}.99"))

    assert f"# python: {OWN} (>=3.9)\n" in both
    assert f"# python: {OWN} (>={OWN})\n" in narrow


def test_a_python_that_is_not_installed(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists those that are, and three ways out where a lock is in the way."""
    one = interpreters.Interpreter("/python", f"{OWN}.1", "CPython", "x86_64")
    monkeypatch.setattr(locks, "installed", lambda _: (one,))
    model = shop.model(f"{OFFLINE}one\n", python="3.99")

    with pytest.raises(UserError) as caught:
        shop.ensure(model)

    expected = f"""\
Model `tiny` needs a Python that is not installed
  needs      3.99
  installed  {OWN}.1

hint: install it (its folder on PATH, or with pyenv or `uv python install`), or change `python` in \
model_definitions/tiny/model.json"""
    assert expected == str(caught.value)


def test_a_lock_that_no_installed_python_fits_is_left_alone(
    shop: Workshop,
) -> None:
    """It is a colleague's; to lock anew is for a person to decide."""
    model = shop.model(f"{OFFLINE}one\n")
    text = shop.lock(model).replace(f"(>={OWN})", "(>=3.99)")
    text = re.sub(r"\(>=3\.\d+\)", "(>=3.99)", text)
    shop.repository.write(lock_file.lock_path(model), text)
    shop.again()

    with pytest.raises(UserError) as caught:
        shop.ensure(model)

    assert ("needs", ">=3.6, and >=3.99 by its lock") == caught.value.facts[0]
    assert caught.value.hint.endswith("`doit lock:tiny` locks it for what is installed")
    assert text == shop.lock_text(model)


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_an_index_out_of_reach(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is asked once, not for each Python, and the ways out are named."""
    monkeypatch.setenv("UV_CACHE_DIR", str(shop.repository.path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv(variable, CLOSED["UV_DEFAULT_INDEX"])
    calls = count_calls(monkeypatch)

    message = refused(shop, "one\n")

    assert message.startswith("The requirements of model `tiny` cannot be fetched\n")
    assert "Connection refused" in message
    assert message.endswith(f"\n\nhint: {uv.UNREACHABLE_HINT}")
    assert 1 == len(calls)


def test_settings_for_uv_that_would_change_a_lock_are_left_out(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How packages are reached is a user's affair, which ones are not."""
    shop.repository.write("limits.txt", "one==1.0\n")
    for name in ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_BUILD_CONSTRAINT"):
        monkeypatch.setenv(name, "limits.txt")
    monkeypatch.setenv("UV_REQUIRE_HASHES", "1")
    model = shop.model(f"{OFFLINE}one\n", python=OWN)
    shop.lock(model)

    assert ["one==2.0"] == shop.pins(model)


def test_requirements_are_resolved_as_of_a_day(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resolveAsOf` in model.json goes to uv, and a change of it locks anew."""
    calls = count_calls(monkeypatch)
    model = shop.model(f"{OFFLINE}one\n", python=OWN, resolveAsOf="2019-08-31")
    later = shop.model(f"{OFFLINE}one\n", python=OWN, resolveAsOf="2020-08-31")
    shop.lock(model)

    assert "2019-08-31" == calls[0][calls[0].index("--exclude-newer") + 1]
    assert (True, None) == (shop.find(model) is not None, shop.find(later))


@pytest.mark.parametrize(
    ("pyproject", "expected"),
    [
        ('[build-system]\nrequires = ["uv_build>=0.13.9,<0.14"]\n', []),
        ('[build-system]\nrequires = ["uv_build==0.1"]\n', ["uv_build==0.1"]),
        ('[build-system]\nrequires = ["hatchling", "x>1"]\n', ["hatchling", "x>1"]),
        ("[project]\n", ["setuptools>=40.8.0"]),
    ],
)
def test_what_a_package_is_built_with(shop: Workshop, pyproject: str, expected: list[str]) -> None:
    """uv brings its own backend; what it does not bring is locked."""
    shop.repository.write("packages/features/pyproject.toml", pyproject)

    assert expected == resolve._backends(Package("packages/features"))


def test_a_package_with_a_broken_description(shop: Workshop) -> None:
    """Its file is named."""
    folder = shop.package("features", more="[")

    with pytest.raises(UserError, match=f"`{folder}/pyproject.toml` cannot be read"):
        shop.lock(shop.model(f"{OFFLINE}{folder}\n", python=OWN))


def test_a_package_that_only_another_package_names(shop: Workshop) -> None:
    """A change to it would not be seen, so it must be named."""
    other = shop.package("other")
    more = '[tool.uv.sources]\nother = { path = "../other" }\n'
    folder = shop.package("features", "other", more=more)

    message = refused(shop, f"{OFFLINE}{folder}\n", python=OWN)
    named = shop.lock(shop.model(f"{OFFLINE}{folder}\n{other}\n", python=OWN))

    assert "requirements.txt` does not name a package that another package needs" in message
    assert ["# package: packages/features", "# package: packages/other"] == [
        line for line in named.splitlines() if line.startswith("# package")
    ]


def test_a_dependency_that_a_package_gets_is_locked(shop: Workshop) -> None:
    """The models that use the package have an environment with it, the others the one before."""
    folder = shop.package("features")
    user = shop.model(f"{OFFLINE}{folder}\n", python=OWN)
    other = shop.model(f"{OFFLINE}one\n", "other", python=OWN)
    before = shop.lock(user), shop.lock(other)
    shop.package("features", "one<2")

    assert (None, before[1]) == (shop.find(user), shop.lock(other))
    assert before[0] != shop.lock(user)
    assert ["one==1.0"] == shop.pins(user)


def test_doit_refreshes_a_lock(shop: Workshop) -> None:
    """`doit lock:tiny` is what a person types, and a model without requirements has none."""
    shop.repository.add("good-python", "plain")
    shop.repository.add("good-python", "tiny")
    model = shop.model(f"{OFFLINE}one<2\n")
    shop.wheel("one", "1.5")

    kept = shop.repository.doit("env:tiny")
    before = shop.pins(model)
    shop.wheel("one", "1.7")
    done = shop.repository.doit("lock:tiny", "lock:plain")

    assert (0, 0) == (kept.returncode, done.returncode), kept.stdout + done.stdout
    assert (["one==1.5"], ["one==1.7"]) == (before, shop.pins(model))
    assert "\nlock:tiny: package one changed from 1.5 to 1.7\n" in done.stdout
    assert " 1 package changed\n" in done.stdout
    assert " the same versions\n" in shop.repository.doit("lock:tiny").stdout
    assert ["tiny.txt"] == [path.name for path in (shop.repository.path / "envs/locks").iterdir()]
