"""What a model asks for, as it is read from `requirements.txt` and `model.json`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tasks.environments.requirements import (
    Package,
    Requirements,
    package_digest,
    package_files,
    read,
    wanted,
)
from tasks.errors import UserError
from tasks.fingerprint import Files
from tests.workshop import Workshop

if TYPE_CHECKING:
    from tests.conftest import Repository

HERE = "model_definitions/tiny/model_modules"


@pytest.fixture
def shop(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Return a repository in the working directory."""
    return Workshop.opened(repository, monkeypatch)


def asked(shop: Workshop, text: str | bytes | None, **document: str) -> Requirements:
    """Return what a model with these requirements asks for."""
    return read(shop.model(text, **document), shop.state)


def digest(shop: Workshop, text: str | bytes, **document: str) -> str:
    """Return the digest of what a lock for these requirements answers."""
    return wanted(asked(shop, text, **document), shop.state.files)


def test_a_model_without_requirements_asks_for_nothing(shop: Workshop) -> None:
    """It needs no lock, and any Python will do."""
    requirements = asked(shop, None)

    assert requirements.empty
    assert Requirements("", ">=3.6", files=requirements.files) == requirements
    assert ["python.toml"] == [os.path.basename(path) for path in requirements.files]


@pytest.mark.parametrize(
    "data",
    [
        b"one>=1\ntwo\n",
        b"two\r\none>=1\r\n",
        b"\xef\xbb\xbftwo\none>=1",
        "two\r\none>=1\r\n".encode("utf-16"),
        b"# comment\n\none>=1  # why\ntwo # \\\n",
        b"one \\\r\n  >=1\ntwo\n",
        b"-r more.txt\none>=1\n",
        b"--requirement=more.txt\none>=1\ntwo\n",
    ],
    ids=["plain", "CRLF", "BOM", "UTF-16", "comments", "continued", "-r", "twice"],
)
def test_the_same_is_asked_for_however_it_is_written(shop: Workshop, data: bytes) -> None:
    """Order, comments and the habits of editors make no other lock."""
    shop.repository.write(f"{HERE}/more.txt", "two\n")

    found = asked(shop, data)

    assert ["one>=1", "two"] == [" ".join(line.split()).replace(" >", ">") for line in found.lines]
    assert digest(shop, b"one>=1\ntwo\n") == digest(shop, data)


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("one>=2\ntwo\n", {}),
        ("one>=1\n", {}),
        ("one>=1\ntwo\n-c limits.txt\n", {}),
        ("one>=1\ntwo\n--extra-index-url https://index.invalid/simple\n", {}),
        ("one>=1\ntwo ; python_version < '3.12'\n", {}),
        ("one>=1\ntwo[more]\n", {}),
        ("one>=1\ntwo\n", {"python": "3.11"}),
        ("one>=1\ntwo\n", {"resolveAsOf": "2019-08-31"}),
    ],
    ids=["version", "gone", "constraint", "index", "marker", "extra", "python", "day"],
)
def test_another_wish_makes_another_lock(
    shop: Workshop, text: str, document: dict[str, str]
) -> None:
    """All that can change what is installed counts."""
    shop.repository.write(f"{HERE}/limits.txt", "one<2\n")

    assert digest(shop, "one>=1\ntwo\n") != digest(shop, text, **document)


def test_a_constraint_counts_by_its_content(shop: Workshop) -> None:
    """It is no requirement itself, and a change in its file is seen."""
    shop.repository.write(f"{HERE}/limits.txt", "one<2\n")
    before = digest(shop, "one\n-c limits.txt\n")
    found = asked(shop, "one\n-c limits.txt\n")
    shop.repository.write(f"{HERE}/limits.txt", "one<3\n")

    assert (("one",), ("one<2",)) == (found.lines, found.constraints)
    assert before != digest(shop, "one\n-c limits.txt\n")


def test_files_that_include_each_other_are_read_once(shop: Workshop) -> None:
    """A circle ends."""
    shop.repository.write(f"{HERE}/more.txt", "-r requirements.txt\ntwo\n")

    assert ("one", "two") == asked(shop, "-r more.txt\none\n").lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./packages/features", Package("packages/features")),
        ("packages/features", Package("packages/features")),
        ("../../../packages/features", Package("packages/features")),
        ("-e ../../../packages/features", Package("packages/features")),
        ("--editable=./packages/features/", Package("packages/features")),
        ("./packages/features[x, y]", Package("packages/features", "[x,y]")),
        ("features[x] @ ./packages/features", Package("packages/features", "[x]")),
        ("features @ file:packages/features", Package("packages/features")),
        ("./packages/features#egg=features", Package("packages/features")),
        (
            "./packages/features ; python_version < '3.9'",
            Package("packages/features", "", "; python_version < '3.9'"),
        ),
    ],
)
def test_a_path_is_a_package_of_this_repository(
    shop: Workshop, line: str, expected: Package
) -> None:
    """It starts at the file's own folder or at the repository, and is known by the latter."""
    shop.package("features")

    assert (expected,) == asked(shop, f"{line}\n").packages


def test_an_absolute_path_in_the_repository_is_known_as_any_other(shop: Workshop) -> None:
    """Another clone has the same package elsewhere."""
    folder = shop.package("features")
    line = f"file://{shop.repository.path}/{folder}\n"

    assert (Package(folder),) == asked(shop, line).packages


@pytest.mark.parametrize(
    "line", ["one @ https://host.invalid/one/one.whl", "one @ git+https://host.invalid/one.git"]
)
def test_an_address_is_no_path(shop: Workshop, line: str) -> None:
    """It is uv's to fetch."""
    assert (line,) == asked(shop, f"{line}\n").lines


def test_a_package_that_is_not_there(shop: Workshop) -> None:
    """The line and its file are named, and where paths start."""
    with pytest.raises(UserError) as caught:
        asked(shop, "one\n./packages/feature\n")

    expected = f"""\
`{HERE}/requirements.txt:2` names a package folder that is not there
  requirement  ./packages/feature

hint: a path starts at the file's folder or at the repository; a package has a pyproject.toml"""
    assert expected == str(caught.value)


def test_an_included_file_that_is_not_there(shop: Workshop) -> None:
    """The file is named."""
    with pytest.raises(UserError, match=rf"`{HERE}/missing.txt` cannot be read"):
        asked(shop, "-r missing.txt\n")


def test_a_python_that_is_none_names_model_json(shop: Workshop) -> None:
    """What the schema lets through and PEP 440 does not."""
    with pytest.raises(UserError) as caught:
        asked(shop, "one\n", python="~=3")

    assert "`~=3` is not a Python version" == caught.value.headline
    assert (("file", "model_definitions/tiny/model.json"),) == caught.value.facts


def test_a_package_is_its_sources(shop: Workshop) -> None:
    """What a build by hand, a run or a link back leaves there does not count; a folder does."""
    folder = shop.package("features")
    before = package_digest(folder, Files())
    for left in ("build/lib/x.py", "dist/x.whl", "src/features.egg-info/PKG-INFO", ".git/HEAD"):
        shop.repository.write(f"{folder}/{left}", "left")
    shop.repository.write(f"{folder}/src/features/__pycache__/x.pyc", "left")
    shop.repository.write(f"{folder}/.pytest_cache/README.md", "left")
    os.symlink("..", shop.repository.path / folder / "src/loop")

    assert before == package_digest(folder, Files())
    assert ["pyproject.toml", "src/features/__init__.py"] == package_files(folder)

    shop.repository.write(f"{folder}/src/features/build/plan.py", "counts")

    there = package_digest(folder, Files())
    assert before != there

    (shop.repository.path / folder / "src/features/build/plan.py").chmod(0o755)

    assert there != package_digest(folder, Files())


def test_a_package_that_is_called_as_a_build_is(shop: Workshop) -> None:
    """Its modules count, in whichever folder they are."""
    folder = shop.package("features")
    shop.repository.write(f"{folder}/dist/__init__.py", "")

    assert "dist/__init__.py" in package_files(folder)


def test_options_that_decide_what_is_built(shop: Workshop) -> None:
    """They are told from those that say where packages are."""
    found = asked(
        shop, "one\n--no-binary one\n--find-links wheels\n-i https://index.invalid/simple\n"
    )

    assert ["--no-binary one"] == found.building
