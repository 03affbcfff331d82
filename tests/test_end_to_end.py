"""Real doit and real uv on tiny models: what runs, what does not, and what is left."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.assertions import assert_works, configure, results, told, trained
from tests.conftest import Repository

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "good-python"
FOLDER = f"model_definitions/{MODEL}"
TRAIN, EVALUATE = f"train:{MODEL}", f"evaluate:{MODEL}"
BOTH = [EVALUATE, TRAIN]
UNRELATED = "another"
ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository of two models, both trained and evaluated."""
    repository = Repository(tmp_path_factory.mktemp("once"), cache)
    repository.add(MODEL)
    repository.add(MODEL, UNRELATED)
    document = {"id": "m-2", "name": "Another One", "language": "python"}
    repository.write(f"model_definitions/{UNRELATED}/model.json", document)
    assert_works(repository, MODEL, "20.0")
    return repository


@pytest.fixture
def built(once: Repository, repository: Repository) -> Repository:
    """Return a copy of that repository."""
    shutil.copytree(once.path, repository.path, symlinks=True, dirs_exist_ok=True)
    return repository


def ran(repository: Repository, *words: str) -> list[str]:
    """Run doit, which must succeed, and return the steps that ran."""
    done = repository.doit(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(re.findall(r"(?m)^(\S+) ok ", done.stdout))


def edit(repository: Repository, path: str, old: str, new: str) -> None:
    """Replace a text in a file of the model."""
    before = repository.read(f"{FOLDER}/{path}")
    assert old in before
    repository.write(f"{FOLDER}/{path}", before.replace(old, new))


def test_evaluates_and_then_has_nothing_to_do(repository: Repository) -> None:
    """The first run trains and evaluates, the second finds both current."""
    name = repository.add(MODEL)

    first = repository.doit()
    second = repository.doit()

    assert first.returncode == 0, first.stdout + first.stderr
    metrics = repository.json(f"build/models/{name}/evaluate/metrics.json")["metrics"]
    assert metrics == {"accuracy": 0.9, "value": 20.0}
    assert second.stdout == "nothing to do: 2 steps are up to date\n"


EDITS = {
    "training": ("model_modules/training.py", "factor * total", "3 * total", BOTH),
    "shared": ("model_modules/shared.py", "sum(", "1 + sum(", BOTH),
    "package": ("model_modules/__init__.py", "", "import os\n", BOTH),
    "comment-in-training": ("model_modules/training.py", "def", "# Adds up.\ndef", []),
    "evaluation": ("model_modules/evaluation.py", "0.9", "0.8", [EVALUATE]),
    "scoring": ("model_modules/scoring.py", "return", "return 2 *", []),
    "config": ("config.json", "2", "3", BOTH),
    "layout-of-config": ("config.json", "{", "{\n", BOTH),
    "data": ("data.csv", "4", "5", BOTH),
    "dataset-of-training": ("datasets/train.json", "}", ', "rows": 2}', [TRAIN]),
    "dataset-of-evaluation": ("datasets/evaluate.json", "}", ', "rows": 2}', [EVALUATE]),
    "dataset-of-scoring": ("datasets/score.json", "}", ', "rows": 2}', []),
    "name": ("model.json", "Good Python", "Better Python", []),
    "description": ("model.json", "}", ', "description": "Adds up"}', []),
    "resources": ("model.json", "}", ', "resources": {"memory": "1Gi"}}', []),
    "identity": ("model.json", "8000", "9000", BOTH),
    "thresholds": (
        "model.json",
        "}",
        ', "evaluation": {"thresholds": {"accuracy": {"min": 0.5}}}}',
        [EVALUATE],
    ),
}
NEW_FILES = {
    "readme": ("README.md", "# Good", []),
    "notebook": ("notebooks/look.ipynb", "{}", []),
    "notebook-in-modules": ("model_modules/look.ipynb", "{}", []),
    "source-that-nobody-imports": ("model_modules/unused.py", "", []),
    "file-that-may-be-read": ("model_modules/words.txt", "a", BOTH),
}


@pytest.mark.parametrize("case", EDITS)
def test_edit_runs_what_reads_it(built: Repository, case: str) -> None:
    """An edit makes those steps run that read the file, and no step of another model."""
    path, old, new, expected = EDITS[case]

    edit(built, path, old, new)

    assert ran(built) == expected
    assert ran(built) == []


@pytest.mark.parametrize("case", NEW_FILES)
def test_new_file_runs_what_may_read_it(built: Repository, case: str) -> None:
    """A new file counts if a step could read it; sources count that are imported."""
    path, text, expected = NEW_FILES[case]

    built.write(f"{FOLDER}/{path}", text)

    assert ran(built) == expected


def test_reverted_edit_brings_the_result_back(built: Repository) -> None:
    """After an edit, a run and the edit's reversal, the result is the first one's again."""
    edit(built, "config.json", "2", "3")
    assert_works(built, MODEL, "30.0")

    edit(built, "config.json", "3", "2")

    assert_works(built, MODEL, "20.0")


def test_reverted_edit_without_a_run_between_changes_nothing(built: Repository) -> None:
    """An edit that is taken back before a run makes nothing run."""
    edit(built, "config.json", "2", "3")
    edit(built, "config.json", "3", "2")

    assert ran(built) == []


def test_git_stash(built: Repository) -> None:
    """`git stash` and `git stash pop` each end with the model of the files that are there."""

    def git(*words: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *words], cwd=built.path, check=True, capture_output=True)

    built.write(".gitignore", "build/\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "First")
    assert ran(built) == []
    edit(built, "model_modules/training.py", "factor *", "10 *")
    assert_works(built, MODEL, "100.0")
    git("stash")
    assert_works(built, MODEL, "20.0")
    git("stash", "pop")
    assert_works(built, MODEL, "100.0")
    record = built.json(f"build/models/{MODEL}/train/run.json")
    assert re.fullmatch("[0-9a-f]{40}", record["git"])


def test_other_dataset_has_results_of_its_own(built: Repository) -> None:
    """A named dataset is trained and evaluated apart, and only when it is asked for."""
    built.write(f"{FOLDER}/datasets/other.json", {"data_path": "other.csv"})
    built.write(f"{FOLDER}/other.csv", "100\n")

    assert ran(built) == []
    other = [f"evaluate:{MODEL}@other", f"train:{MODEL}@other"]
    assert ran(built, EVALUATE, "--dataset", "other") == other
    assert ran(built, f"{EVALUATE}@other") == []
    assert trained(built, f"{MODEL}@other") == "200.0"
    assert trained(built, MODEL) == "20.0"
    assert ran(built) == []


WORDS = {
    "folder": TRAIN,
    "id": f"train:{ID}",
    "part-of-the-id": "train:00000000",
    "part-of-the-folder": "train:goo",
    "display-name": "train:Good Python",
}


@pytest.mark.parametrize("form", WORDS)
def test_model_is_found_by(built: Repository, form: str) -> None:
    """A model is found by its folder, id, display name or the beginning of either."""
    edit(built, "config.json", "2", "3")

    assert ran(built, WORDS[form]) == [TRAIN]


REFUSED = {
    "train:good-pyhton": (
        "ERROR: There is no model `good-pyhton`\n\nhint: did you mean `good-python`?\n"
    ),
    "train:anything": (
        "ERROR: There is no model `anything`\n\nhint: `doit list` shows the models\n"
    ),
    f"{TRAIN} --dataset ohter": (
        f"ERROR: Model `{MODEL}` has no dataset `ohter`\n"
        "  datasets  `other`\n\n"
        "hint: did you mean `other`?\n"
    ),
    f"{TRAIN}@nothing": (
        f"ERROR: Model `{MODEL}` has no dataset `nothing`\n"
        "  datasets  `other`\n\n"
        f"hint: a file `{FOLDER}/datasets/nothing.json` makes one\n"
    ),
    f"evalute:{MODEL}": (
        f"ERROR: There is no task `evalute:{MODEL}`\n\nhint: did you mean `evaluate:{MODEL}`?\n"
    ),
    f"train {MODEL}": (
        f"ERROR: There is no task `{MODEL}`\n\nhint: name its step as well: `doit train:{MODEL}`\n"
    ),
    f"forget {MODEL}": (
        f"ERROR: There is no task `{MODEL}`\n\n"
        f"hint: name its step as well: `doit forget evaluate:{MODEL}`\n"
    ),
    f"clean {MODEL}": (
        f"ERROR: There is no task `{MODEL}`\n\n"
        f"hint: name its step as well: `doit clean evaluate:{MODEL}`\n"
    ),
    f"why trian:{MODEL}": (
        f"ERROR: There is no task `trian:{MODEL}`\n\nhint: did you mean `train:{MODEL}`?\n"
    ),
    "train:": "ERROR: No model is named\n\nhint: `doit list` shows the models\n",
    "accept --why x": 'ERROR: name a step: `doit accept train:MODEL --why "..."`\n',
    f"-n -1 {TRAIN}": (
        "ERROR: `-n` takes 0 or more, not -1\n\n"
        "hint: with 0 or 1 steps run one by one, without it as many at once as processors\n"
    ),
    "--dataset other": "ERROR: `--dataset` needs a step: `doit train:MODEL --dataset NAME`\n",
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_name_is_refused(repository: Repository, words: str) -> None:
    """What is none is refused before anything runs, a name with the nearest that there is."""
    repository.add(MODEL)
    repository.write(f"{FOLDER}/datasets/other.json", {"data_path": "data.csv"})

    done = repository.doit(*words.split())

    assert done.stderr == REFUSED[words]
    assert done.returncode == 3
    assert results(repository) == {}


def test_always_runs_what_is_current(built: Repository) -> None:
    """`-a` runs steps whose results are current, and their results are published anew."""
    before = results(built)

    assert ran(built, "-a", EVALUATE) == BOTH
    changed = {step for step, place in results(built).items() if before[step] != place}
    assert changed == {f"{MODEL}/evaluate", f"{MODEL}/train"}
    assert ran(built) == []


def test_reproducible_model_passes_twice(built: Repository) -> None:
    """`--twice` runs a step two times and says that it made the same bytes."""
    done = built.doit(TRAIN, "--twice")

    assert done.returncode == 0
    assert "  reproducible to the byte\n" in done.stdout


@pytest.mark.parametrize(
    ("gallery", "step", "file"),
    [
        ("writes-the-time", "train", "models/model.txt"),
        ("returns-the-time", "evaluate", "metrics.json"),
    ],
)
def test_irreproducible_model_fails_twice(
    repository: Repository, gallery: str, step: str, file: str
) -> None:
    """`--twice` names what differs between two runs; the first result stands."""
    name = repository.add(gallery)

    done = repository.doit(f"{step}:{name}", "--twice")

    assert done.returncode == 1
    assert told(repository, done) == (
        f"{step}:{name} FAILED\n"
        f"  The {step} step of model `{name}` is not reproducible: two runs on the same inputs"
        " made different files\n"
        f"    differs  {file}\n\n"
        "  hint: seed what is random; the first of the two results was kept"
    )
    assert f"{name}/{step}" in results(repository)


def test_random_numbers_follow_the_seed(repository: Repository) -> None:
    """Random numbers are the same in each run, until `hyperParameters.seed` is another."""
    name = repository.add("draws-at-random")
    drawn = []
    for seed in ({}, {}, {"seed": 0}, {"seed": 7}, {"seed": 7}):
        configure(repository, name, **seed)
        ran(repository, "-a", f"train:{name}")
        drawn.append(trained(repository, name))

    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[3] == drawn[4]
    assert drawn[0] != drawn[3]


def test_json_reporter(repository: Repository) -> None:
    """The JSON reporter writes an object a line: starts, ends with metrics, the summary."""
    repository.add(MODEL)

    done = repository.doit("--reporter", "json")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    short = [(event["event"], event.get("step"), event.get("state")) for event in events[:-1]]
    assert short == [
        ("start", TRAIN, None),
        ("finish", TRAIN, "ran"),
        ("start", EVALUATE, None),
        ("finish", EVALUATE, "ran"),
    ]
    assert "saved" not in events[1]
    assert events[3]["metrics"] == {"accuracy": 0.9, "value": 20.0}
    assert events[-1]["states"] == {"ran": 2}


def test_clean_removes_results(built: Repository) -> None:
    """`doit clean` removes the results of the named step, and they are restored."""
    would = built.doit("clean", "-n", TRAIN)

    assert would.stdout == f"would remove build/models/{MODEL}/train\n"
    assert f"{MODEL}/train" in results(built)

    done = built.doit("clean", TRAIN)

    assert done.returncode == 0
    assert done.stdout == f"removing build/models/{MODEL}/train\n"
    assert f"{MODEL}/train" not in results(built)
    assert f"{UNRELATED}/train" in results(built)
    assert f"{TRAIN} restored" in built.doit().stdout
    assert f"{MODEL}/train" in results(built)


def test_forget_makes_a_step_run_again(built: Repository) -> None:
    """`doit forget` removes what is known of a step, so that it runs again."""
    done = built.doit("forget", EVALUATE)

    assert done.returncode == 0
    assert done.stdout == f"forgetting {EVALUATE}\nremoving build/models/{MODEL}/evaluate\n"
    assert ran(built) == [EVALUATE]


def test_state_can_be_deleted(built: Repository) -> None:
    """The results say themselves what they were made from: without the state nothing runs."""
    for path in built.path.glob("build/state.db*"):
        path.unlink()

    assert ran(built) == []


def test_renamed_model(built: Repository) -> None:
    """A model in a folder of another name has results of its own there, which are restored."""
    shutil.move(built.path / FOLDER, built.path / "model_definitions/renamed")

    done = built.doit()

    assert "train:renamed restored" in done.stdout
    assert "evaluate:renamed restored" in done.stdout
    assert {"renamed/train", "renamed/evaluate"} <= set(results(built))


def test_a_dataset_for_one_step_alone(built: Repository) -> None:
    """The other steps use the default one."""
    built.write("model_definitions/good-python/datasets/late/evaluate.json", {"data_path": "x"})
    built.write("model_definitions/good-python/x", "1\n")

    done = built.doit("evaluate:good-python", "--dataset", "late")

    assert done.returncode == 0, done.stdout
    assert built.read("build/models/good-python@late/train/models/model.txt") == "20.0"


def test_an_evaluation_alone_of_what_is_not_trained(repository: Repository) -> None:
    """It says what is missing."""
    repository.add("good-python")

    done = repository.doit("run", "-s", "evaluate:good-python")

    assert done.returncode == 1
    assert "Model `good-python` is not trained" in done.stdout
    assert "hint: `doit train:good-python` trains it" in done.stdout
