"""`doit compare`: what models measure and are made from, beside a commit."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tasks.comparison import Change
from tasks.difference_forms import markdown, table
from tasks.differences import Compared, Comparison, Difference
from tests.versions import FOLDER, GOOD, NOBODY, Versioned, git, versioned

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

UNKNOWN = "not known: no result with this key in the store"
NONE_NOW = f"now: {UNKNOWN}"


@pytest.fixture(scope="module")
def original(shared: Repository) -> Versioned:
    """Return a repository with one model, committed, trained and evaluated."""
    clone = versioned(shared)
    assert 0 == clone.doit("evaluate").returncode
    return clone


@pytest.fixture(name="clone")
def a_clone(original: Versioned, tmp_path: Path) -> Versioned:
    """Return a copy of it."""
    original.copied(tmp_path / "repository")
    return Versioned(tmp_path / "repository", original.cache)


def compared(clone: Versioned, *words: str) -> dict[str, Any]:
    """Return what is told of the models, by name."""
    document = json.loads(clone.told("compare", *words, "--json"))
    assert ["format", "revision", "commit", "same", "models"] == list(document)
    return {one.pop("name"): one for one in document["models"]}


def metric(said: dict[str, Any], name: str = "accuracy") -> list[float | None]:
    """Return a metric before, after, and the difference."""
    one = said["metrics"][name]
    return [one["before"], one["after"], one["delta"]]


def test_nothing_differs(clone: Versioned) -> None:
    """Where no commit is named it is HEAD; models that are the same are counted."""
    commit = clone.git("rev-parse", "HEAD")[:12]

    assert f"no model differs from HEAD ({commit}), 1 is the same\n" == clone.told("compare")
    assert {} == compared(clone, "HEAD")


def test_what_differs(clone: Versioned) -> None:
    """Parameters, data and other inputs are told in parts; a result is found by its key alone."""
    before = clone.json(f"build/models/{GOOD}/train/run.json")["inputs"]
    clone.write(f"{FOLDER}/config.json", {"hyperParameters": {"factor": 3, "deep": {"er": [1]}}})
    clone.write(f"{FOLDER}/data.csv", "5,6\n")
    clone.edit(f"{FOLDER}/model_modules/training.py")

    said = compared(clone)[GOOD]
    assert "differs" == said["state"]
    assert [0.9, None, None] == metric(said)
    assert [NONE_NOW] == said["notes"]
    assert {
        "hyperParameters.factor": {"before": 2, "after": 3},
        "hyperParameters.deep.er": {"before": None, "after": "[1]"},
    } == said["parameters"]

    assert 0 == clone.doit("evaluate").returncode
    said = compared(clone)[GOOD]
    assert ([0.9, 0.9, 0.0], []) == (metric(said), said["notes"])
    after = clone.json(f"build/models/{GOOD}/train/run.json")["inputs"]
    name = "file model_modules/training.py"
    assert {name: {"before": before[name], "after": after[name]}} == said["inputs"]
    name = "data data.csv"
    assert {"data.csv": {"before": before[name], "after": after[name]}} == said["data"]


def test_metrics_of_both(clone: Versioned, tmp_path: Path) -> None:
    """A metric is shown beside what it was, with the difference; nothing is run for it.

    In a clone that has nothing but the store it is the same.
    """
    path = f"{FOLDER}/model_modules/evaluation.py"
    clone.write(path, clone.read(path).replace("0.9", "0.8"))
    assert 0 == clone.doit("evaluate").returncode
    clone.commit()
    other = Versioned(tmp_path / "other", clone.cache)
    git("clone", "--quiet", str(clone.path), str(other.path))
    (other.path / "build").mkdir()
    shutil.copytree(clone.path / "build/store", other.path / "build/store")

    for each in (clone, other):
        said = compared(each, "HEAD~1")[GOOD]
        assert ([0.9, 0.8], []) == (metric(said)[:2], said["notes"])
        assert -0.1 == pytest.approx(metric(said)[2])
        line = each.told("compare", "HEAD~1").splitlines()[1]
        assert f"{GOOD} metric accuracy 0.900 0.800 -0.100" == " ".join(line.split())
    assert not (other.path / "build/models").exists()


def test_an_unknown_result(clone: Versioned) -> None:
    """A result that is not as it was recorded, here and in the store, is not shown."""
    clone.edit(f"{FOLDER}/model_modules/evaluation.py")
    metrics = clone.path / f"build/models/{GOOD}/evaluate/metrics.json"
    metrics.unlink()
    metrics.write_text('{"metrics": {"accuracy": 1}}')
    assert 0.9 == metric(compared(clone)[GOOD])[0]

    shutil.rmtree(clone.path / "build/store")
    said = compared(clone)[GOOD]
    assert {} == said["metrics"]
    assert [f"HEAD: {UNKNOWN}", NONE_NOW] == said["notes"]


def test_models_on_one_side_alone(clone: Versioned) -> None:
    """A new model has no metrics before, one that is gone none after, a broken one says why."""
    clone.add("misses-threshold")
    clone.add(GOOD, "third")
    clone.commit()
    shutil.rmtree(clone.path / FOLDER)
    clone.write("model_definitions/third/config.json", "{")
    clone.add(GOOD, "new")
    clone.write("model_definitions/new/model.json", {"id": "n", "name": "N", "language": "python"})

    said = compared(clone)
    assert {"new": "new", "third": "differs", GOOD: "gone"} == {
        name: one["state"] for name, one in said.items()
    }
    assert [0.9, None, None] == metric(said[GOOD])
    assert said["third"]["notes"][-1].startswith("now: model_definitions/third/config.json:1: ")
    lines = clone.told("compare").splitlines()
    assert "3 models differ" in lines[-3]
    assert lines[-3].endswith("1 is the same")
    assert "`doit` makes what is not known now" == lines[-1]
    assert "  it is gone" in lines
    assert ["new", "new"] in [line.split() for line in lines]
    assert {} == said["third"]["parameters"]


def test_packages(clone: Versioned) -> None:
    """The versions of packages are those that the locks say, on any machine."""
    lock = "# format: 1\n# requirements: x\n# python: 3.6 (==3.6.*)\n{}\n# end\n"
    clone.write(f"{FOLDER}/model_modules/requirements.txt", "numpy\n")
    clone.write(f"envs/locks/{GOOD}.txt", lock.format("numpy==1.0\nold==1"))
    clone.commit()
    clone.write(f"envs/locks/{GOOD}.txt", lock.format("numpy==2.0\nnew==1"))

    said = compared(clone)[GOOD]
    assert {
        "numpy": {"before": "1.0", "after": "2.0"},
        "new": {"before": None, "after": "1"},
        "old": {"before": "1", "after": None},
    } == said["packages"]
    assert {} == said["inputs"]
    assert all("environment" in note for note in said["notes"])


def test_markdown(clone: Versioned) -> None:
    """A comment has the same, and nothing in it means anything to Markdown."""
    clone.write(f"{FOLDER}/config.json", {"hyperParameters": {"factor": 3, "a|b": "`c`\n# d"}})

    said = clone.told("compare", "--markdown", "HEAD")

    assert said.startswith("### 1 model differs from HEAD (")
    assert "| `good-python` | metric | `accuracy` | 0.900 |  |  |\n" in said
    assert "|  | parameter | `factor` | `2` | `3` |  |\n" in said
    assert "|  | parameter | `a\\|b` |  | `'c' # d` |  |\n" in said
    assert f"\n- `{GOOD}`: `{NONE_NOW}`\n" in said


def test_what_cannot_be_asked(clone: Versioned) -> None:
    """One commit, in one form, that there is."""
    for words in (("HEAD", "HEAD"), ("--json", "--markdown"), ("nowhere",)):
        assert 3 == clone.doit("compare", *words, **NOBODY).returncode


@pytest.mark.parametrize(
    ("words", "headline", "hint"),
    [
        ("compare --base main", "`doit compare` takes its commit without `--base`",
         "`doit compare main`"),
        ("compare --json --base=a=b", "`doit compare` takes its commit without `--base`",
         "`doit compare a=b`"),
        ("affected main", "`doit affected` takes its commit behind `--base`",
         "`doit affected --base main`"),
        (f"affected --base HEAD {GOOD}", f"`doit affected` tells of every model, not of `{GOOD}`",
         "`doit affected --base HEAD`"),
        (f"compare HEAD {GOOD}", f"`doit compare` takes one commit, and not `{GOOD}` behind it",
         "`doit compare HEAD` shows what differs of every model"),
        ("compare --json --markdown", "`doit compare` takes one of `--json` and `--markdown`",
         "`doit compare HEAD --json` is for programs, `--markdown` for a pull request"),
        ("affected", "`doit affected` takes a commit", "`doit affected --base origin/main`"),
        (f"compare {GOOD}", f"`{GOOD}` is a model, and `doit compare` takes a commit",
         "`doit compare HEAD` shows what differs of every model"),
        (f"affected --base {GOOD}", f"`{GOOD}` is a model, and `doit affected` takes a commit",
         "`doit affected --base HEAD` shows what differs of every model"),
        ("compare god-python", "There is no commit `god-python` in this clone",
         "`git fetch` brings what others have"),
    ],
)  # fmt: skip
def test_how_a_commit_is_named(clone: Versioned, words: str, headline: str, hint: str) -> None:
    """Who names it as the other command takes it, or names a model, is told the right line."""
    done = clone.doit(*words.split(), **NOBODY)

    assert (3, f"ERROR: {headline}\n\nhint: {hint}\n") == (done.returncode, done.stderr)


def test_a_model_that_is_named_like_a_branch(clone: Versioned) -> None:
    """It is taken for the commit that it stands for too."""
    clone.git("branch", GOOD)

    assert "no model differs" in clone.told("compare", GOOD)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_table_fits(width: int) -> None:
    """Rows are no wider than the terminal; the beginning and the end of long names stay."""
    long = "model_modules/a/very/long/way/to/some/source/with_a_name_that_goes_on.py"
    model = Compared(
        "a-model-with-a-rather-long-name-of-its-own",
        "differs",
        (Change("accuracy", 0.5, 0.75), Change("a.rather.long.name.of.a.metric", 1.0, None)),
        (
            Difference("input", f"file {long}", "a" * 64, "b" * 64),
            Difference("parameter", "x", "text " * 30, [1, {"y": None}]),
            Difference("data", "data/x.csv", None, "c" * 64),
        ),
        (),
    )
    one = Comparison("a-branch-with-quite-a-long-name", "0" * 40, (model,), 3)

    lines = table(one, width)[:-2]
    assert 6 == len(lines)
    assert width >= max(map(len, lines))
    (measured,) = (line for line in lines if line.endswith("+0.250"))
    assert lines[0].endswith("  delta")
    assert len(lines[0]) == len(measured)
    assert lines[0].index("now") + len("now") == measured.index("0.750") + len("0.750")
    assert "| file | `a/very/long/way/to/some/source" in markdown(one)


def test_a_comment_has_an_end() -> None:
    """What does not fit into a comment is left out, and that is said."""
    models = [
        Compared(f"m{number}", "differs", (Change("accuracy", 0.5, 0.75),) * 9, (), ())
        for number in range(300)
    ]
    text = markdown(Comparison("main", "0" * 40, tuple(models), 0))

    assert 60_100 > len(text)
    assert text.endswith("`doit compare --json` has the rest.\n")
