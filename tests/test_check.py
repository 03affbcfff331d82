"""What `doit check` says beyond the faults of a model's JSON files."""

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


OF_PATHS = "a relative path starts at the model's folder or at the repository"
OF_ADDRESSES = "addresses of this kind are not fetched, but `http://` and `https://` are"
OF_HOME = "`~` is not expanded: name the folder in full, or from the model's folder"
OF_WINDOWS = "a path has `/` between its folders, and no drive in front: `data/train.csv`"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("data/nowhere.csv", OF_PATHS),
        ("/nowhere.csv", OF_PATHS),
        ("file:///nowhere.csv", OF_PATHS),
        ("s3://me:secret@bucket/x.csv", OF_ADDRESSES),
        ("abfss://container/x.csv", OF_ADDRESSES),
        ("~/data.csv", OF_HOME),
        ("C:\\x.csv", OF_WINDOWS),
        ("a\\b.csv", OF_WINDOWS),
        ("D:/x.csv", OF_WINDOWS),
    ],
)
def test_a_data_file_that_is_missing(repository: Repository, source: str, hint: str) -> None:
    """It may come later, so it is a warning, with its file, key and line; a run says the same."""
    repository.add("good-python")
    train = f"{MODEL}/datasets/train.json"
    repository.write(train, {"a": 1, "parts": [{"data_path": source}]})
    shown = source.replace("me:secret", "***")

    assert (0, [
        f"{train}:5: warning: `parts[0].data_path`: expected a file that is there, found `{shown}`",
        f"  hint: {hint}",
    ]) == checked(repository)  # fmt: skip

    done = repository.doit("train")
    assert 1 == done.returncode
    assert f"`{train}` names a data file that is missing" in done.stdout
    assert f"hint: {hint}" in done.stdout
    assert (hint == OF_PATHS) == ("looked for" in done.stdout)
    assert "secret" not in done.stdout


def test_a_data_file_of_many_steps(repository: Repository) -> None:
    """A dataset that serves every step is told once; what is fetched is no file to miss."""
    repository.add("good-python")
    repository.write(f"{MODEL}/datasets/big.json", {"url": "nowhere.csv"})
    fetched = {"url": "https://example.org/a.csv", "sha256": 64 * "0"}
    repository.write(f"{MODEL}/datasets/far.json", fetched)

    status, said = checked(repository)

    assert 0 == status
    assert [f"{MODEL}/datasets/big.json:2: warning: `url`", f"  hint: {OF_PATHS}"] == [
        said[0].partition(": expected")[0], *said[1:],
    ]  # fmt: skip


FORM = 'a sample is a request: `{"data": {"names": [...], "ndarray": [...]}}`'
OTHER = [
    "1: warning: `data`: expected an object `data` with a list `ndarray`, found another form",
    f"  hint: {FORM}",
]
NO_JSON = ["2: warning: invalid JSON in column 1: expected a value, found the end of the file"]


@pytest.mark.parametrize("folder", ["samples", "model_modules/samples"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"data":\n', NO_JSON),
        ("[1]", OTHER),
        ('{"instances": [[1]]}', OTHER),
        ('{"data": {"ndarray": []}}', OTHER),
    ],
)
def test_a_sample_request_that_is_none(
    repository: Repository, folder: str, text: str, said: list[str]
) -> None:
    """It is told where it is, before a server stops at it."""
    repository.add("good-python")
    sample = f"{MODEL}/{folder}/data.json"
    repository.write(sample, text)
    repository.write(f"{MODEL}/{folder}/other.json", {"anything": 1})

    assert (0, [f"{sample}:{said[0]}", *said[1:]]) == checked(repository)


def test_other_samples(repository: Repository) -> None:
    """Every file that a server reads must be JSON; a good sample is told nothing of."""
    repository.add("good-python")
    repository.write(f"{MODEL}/samples/data.json", {"data": {"ndarray": [[1.5]]}})
    (repository.path / MODEL / "samples/more.json").write_bytes(b'{"a": "\xe9"}')

    status, said = checked(repository)

    assert 0 == status
    start = f"{MODEL}/samples/more.json: warning: cannot be read: "
    assert [start, f"  hint: {FORM}"] == [said[0][: len(start)], *said[1:]]


def test_what_is_nearly_a_model(repository: Repository) -> None:
    """Each would be passed over in silence; what is in a model is the model's."""
    repository.add("good-python")
    top = "model_definitions"
    for name in ("upper", "group/swapped", "without"):
        repository.add("good-python", name)
    models = repository.path / top
    (models / "upper/model.json").rename(models / "upper/Model.json")
    (models / "group/swapped/model.json").rename(models / "group/swapped/modle.json")
    (models / "without/model.json").unlink()
    repository.write(f"{top}/model.json", "{}")
    repository.write(f"{top}/notes/README.md", "later")
    repository.write(f"{MODEL}/old/model_modules/training.py", "")
    (models / "up").symlink_to("..")

    assert (0, [
        f"{top}/model.json: warning: expected a folder around each model, found none",
        "  hint: move it into a folder of its own, with its model_modules",
        f"{top}/group/swapped/modle.json: warning: expected `model.json`, found `modle.json`",
        "  hint: did you mean `model.json`?",
        f"{top}/upper/Model.json: warning: expected `model.json`, found `Model.json`",
        "  hint: did you mean `model.json`?",
        f"{top}/without: warning: expected `model.json` beside model_modules, found none",
        "  hint: only a folder with a `model.json` is a model",
    ]) == checked(repository)  # fmt: skip
    assert (0, []) == checked(repository, "good-python")


NO_REPOSITORY = (
    "change to the folder of a repository of models, or begin one: `cli/repo-cli.py --init DIR`"
)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model_definitons", "`model_definitons/` has nearly this name: rename it"),
        ("models", NO_REPOSITORY),
    ],
)
def test_no_folder_for_models(repository: Repository, name: str, hint: str) -> None:
    """That nothing is to do there is no good news."""
    repository.add("good-python")
    (repository.path / "model_definitions").rename(repository.path / name)
    wrong = f"there is no such folder in `{repository.path}`\n  hint: {hint}\n"

    for words in ([], ["train"]):
        done = repository.doit(*words)
        assert (0, f"model_definitions: warning: {wrong}") == (done.returncode, done.stderr)
    assert wrong in repository.doit("train:good-python").stderr
    told = repository.doit("check")
    counted = "0 models, of which 0 can run: 1 fault, 0 warnings\n"
    assert (1, f"model_definitions: {wrong}{counted}") == (told.returncode, told.stdout)
    assert (0, "") == ((listed := repository.doit("list")).returncode, listed.stderr)


def test_what_requirements_ask_for(repository: Repository) -> None:
    """A line that cannot be met is a fault, with its file and line, and nothing is resolved."""
    name = repository.add("good-python")
    place = f"{MODEL}/model_modules"
    lines = ["# ours", "numpy \\", "  >=1.26", "", "pyyaml=6.0  # as conda has it", "pandas (2"]
    lines += ["../../../packages/feat", "../../../packages/features[fast]", "-r more.txt"]
    lines += ["one==1 --hash=sha256:00", "https://host.invalid/two.whl", "three==${V}", "-r no.txt"]
    repository.write(f"{place}/requirements.txt", "\n".join(lines))
    repository.write(f"{place}/more.txt", "--no-index\n\nfour>>1\n")
    repository.write("packages/features/pyproject.toml", "")

    such = "expected a requirement such as `numpy>=1.26`, found"
    paths = "a path starts at the file's folder or at the repository"
    none = "expected the folder of a package, found none at"
    expected = [
        f"{place}/requirements.txt:5: {such} `pyyaml=6.0`",
        "  hint: did you mean `pyyaml==6.0`?",
        f"{place}/requirements.txt:6: {such} `pandas (2`",
        f"{place}/requirements.txt:7: {none} `../../../packages/feat`",
        f"  hint: {paths}; a package has a pyproject.toml",
        f"{place}/more.txt:3: {such} `four>>1`",
        f"{place}/requirements.txt: `{place}/no.txt` cannot be read",
        "  hint: see that it is there, and that it is text in UTF-8",
    ]
    assert (1, expected) == checked(repository)
    told = repository.doit("check", name).stdout.splitlines()[-1]
    assert "1 model, of which 0 can run: 5 faults, 0 warnings" == told
