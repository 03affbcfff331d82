"""What `doit check` warns of beyond the faults of models: it keeps nothing from running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Repository

MODEL = "model_definitions/good-python"


def checked(repository: Repository, *models: str) -> tuple[int, list[str]]:
    """Return the status of `doit check`, and what it says but for the last line."""
    done = repository.doit("check", *models)
    assert "" == done.stderr
    return done.returncode, done.stdout.splitlines()[:-1]


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("train", "tarin.json"), ("train", "Train.json"), ("train", "training.json"),
        ("evaluate", "evalute.json"), ("evaluate", "eval.json"), ("score", "scores.json"),
    ],
)  # fmt: skip
def test_a_dataset_with_nearly_the_name_of_a_step(
    repository: Repository, step: str, name: str
) -> None:
    """A slip in the file's name makes it a dataset of another name, and the step has none."""
    repository.add("good-python")
    folder = repository.path / MODEL / "datasets"
    (folder / f"{step}.json").rename(folder / name)

    assert (0, [
        f"{MODEL}/datasets/{name}: warning: expected `{step}.json`, found `{name}` alone",
        f"  hint: did you mean `{step}.json`?",
    ]) == checked(repository)  # fmt: skip


def test_a_dataset_with_a_name_of_its_own(repository: Repository) -> None:
    """Where the step has its file, or the name is none of a step's, nothing is said."""
    repository.add("good-python")
    repository.write(f"{MODEL}/datasets/tarin.json", {})
    repository.write(f"{MODEL}/datasets/big/train.json", {})
    (repository.path / MODEL / "datasets/score.json").unlink()
    for name in ("test", "main", "store_sales", "score2"):
        repository.write(f"{MODEL}/datasets/{name}.json", {})

    assert (0, []) == checked(repository)


def test_a_step_of_a_named_dataset(repository: Repository) -> None:
    """A file that no step reads is told where it has nearly the name of one."""
    repository.add("good-python")
    folder = f"{MODEL}/datasets/big"
    repository.write(f"{folder}/trian.json", {})
    repository.write(f"{folder}/notes.json", {})

    status, said = checked(repository, "good-python")

    assert 0 == status
    assert [
        f"{folder}/trian.json: warning: expected `train.json`, found `trian.json` alone",
        "  hint: did you mean `train.json`?",
    ] == said
