"""The table of models in README.md: `doit readme` writes it, `doit check` holds it to be right."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repository

HEAD = "| model | what it does | framework |\n|---|---|---|\n"
START, END = "<!-- models: anything -->\n", "<!-- /models -->\n"


def write_model(repository: Repository, name: str, **document: str) -> None:
    """Write a model.json and nothing else."""
    facts = {"id": name, "name": f"The {name}", "language": "python", **document}
    repository.write(f"model_definitions/{name}/model.json", facts)


def test_a_line_for_each_model(repository: Repository) -> None:
    """Every model is there, sorted, in words that stay in their cells; all around it stays."""
    write_model(repository, "b c/ü", description="Does | this,\n<!-- /models --> and that")
    write_model(repository, "a", language="R")
    write_model(repository, "k", framework="tensorflow", description=" ")
    repository.add("bad-json")
    repository.write("README.md", f"before\n{START}old\n\nold\n{END}after, no end")

    assert 0 == repository.doit("readme").returncode
    assert (
        f"before\n{START}{HEAD}"
        "| [a](model_definitions/a) | The a | r |\n"
        "| [b c/ü](model_definitions/b%20c/%C3%BC) | Does \\| this, &lt;!-- /models --> and that"
        " | python |\n"
        "| [bad-json](model_definitions/bad-json) | bad-json | unknown |\n"
        "| [k](model_definitions/k) | The k | tensorflow |\n"
        f"{END}after, no end"
    ) == repository.read("README.md")


def test_a_folder_whose_name_is_not_utf_8(repository: Repository) -> None:
    """It stands in the table as it can be written, the link leads there."""
    write_model(repository, os.fsdecode(b"caf\xe9"), id="c", description="Coffee")
    repository.write("README.md", START + END)

    assert 0 == repository.doit("readme").returncode
    assert "| [caf\\xe9](model_definitions/caf%E9) | Coffee | python |" in repository.read(
        "README.md"
    )
    checked = repository.doit("check")
    assert (1, "") == (checked.returncode, checked.stderr)


def test_windows_line_ends_stay(repository: Repository) -> None:
    """A file with CR and LF keeps them, and the table has them too."""
    write_model(repository, "a")
    path = repository.path / "README.md"
    path.write_bytes(f"x\n{START}{END}".replace("\n", "\r\n").encode())

    assert 0 == repository.doit("readme").returncode
    row = "| [a](model_definitions/a) | The a | python |\n"
    assert f"x\n{START}{HEAD}{row}{END}".replace("\n", "\r\n").encode() == path.read_bytes()


def test_what_is_as_it_should_be_is_not_written(repository: Repository) -> None:
    """A second time changes nothing, the mode and a link stay as well."""
    write_model(repository, "a")
    repository.write("docs/all.md", START + END).chmod(0o640)
    (repository.path / "README.md").symlink_to("docs/all.md")

    assert 0 == repository.doit("readme").returncode
    before = os.stat(repository.path / "README.md")
    assert 0 == repository.doit("readme").returncode

    after = os.stat(repository.path / "README.md")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert 0o640 == after.st_mode & 0o777
    assert (repository.path / "README.md").is_symlink()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "`README.md` has no place for the table of models"),
        ("# no markers\n", "`README.md` has no place for the table of models"),
        (START, "`README.md` has 1 lines `<!-- models -->` and 0 lines `<!-- /models -->`"),
        (END + START, "`README.md` has 1 lines `<!-- models -->` and 1 lines `<!-- /models -->`"),
        (
            2 * (START + END),
            "`README.md` has 2 lines `<!-- models -->` and 2 lines `<!-- /models -->`",
        ),
    ],
)
def test_where_there_is_no_place(repository: Repository, text: str | None, reason: str) -> None:
    """Without a pair of markers nothing is written, and what is missing is told."""
    if text is not None:
        repository.write("README.md", text)

    done = repository.doit("readme")

    assert 3 == done.returncode
    assert f"ERROR: {reason}" == done.stderr.splitlines()[0]
    assert "hint: " in done.stderr
    assert text is None or text == repository.read("README.md")


def test_check_tells_where_it_is_stale(repository: Repository) -> None:
    """A stale table is a fault with file and line, and the way out; then it is none."""
    write_model(repository, "a")
    repository.add("good-python", "b")
    repository.add("good-python", "c")
    repository.doit("readme")
    repository.write("README.md", f"x\n{START}{END}")
    assert 0 == repository.doit("readme").returncode
    repository.write(
        "model_definitions/c/model.json", {"id": "c", "name": "Other", "language": "R"}
    )

    faults = json.loads(repository.doit("check", "--json").stdout)
    stale = [fault for fault in faults if fault["file"] == "README.md"]
    named = repository.doit("check", "b").stdout

    assert [
        {
            "file": "README.md", "line": 7, "key": "", "warning": False,
            "message": "the table is not that of the models in model_definitions/",
            "hint": "`doit readme` writes it",
        }
    ] == stale  # fmt: skip
    assert "README.md" not in named


def test_check_fails_for_it_alone(repository: Repository) -> None:
    """The exit status is that of a fault although every model can run, but without markers."""
    repository.add("good-python")
    repository.write("README.md", START + END)
    stale = repository.doit("check")
    repository.doit("readme")
    written = repository.doit("check")
    repository.write("README.md", END)
    half = repository.doit("check")
    repository.write("README.md", "# none\n")

    assert (1, 0, 1, 0) == (
        stale.returncode, written.returncode, half.returncode, repository.doit("check").returncode,
    )  # fmt: skip
    assert stale.stdout.splitlines()[0].startswith("README.md:2: ")
