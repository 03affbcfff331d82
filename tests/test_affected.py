"""`doit affected`: the models that differ from a commit, in repositories of Git's own making."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.versions import FOLDER, GOOD, NOBODY, TRAINING, Versioned, begin, git, versioned

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

OTHER = "model_definitions/other"
SHARED = "packages/features"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let Git know nothing of who runs the tests, here as in what is started."""
    for name, value in {**NOBODY, "MODEL_CACHE": str(cache)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(name="clone")
def a_clone(repository: Repository) -> Versioned:
    """Return a repository with one model, committed."""
    return versioned(repository)


def other(clone: Versioned, **parts: str) -> None:
    """Add a second model that has its data outside of its folder."""
    clone.add(GOOD, "other")
    clone.write(f"{OTHER}/model.json", {"id": "other", "name": "Other", "language": "python"})
    for step in ("train", "evaluate", "score"):
        clone.write(f"{OTHER}/datasets/{step}.json", {"data_path": parts.get("data", "data/x.csv")})
    (clone.path / OTHER / "data.csv").unlink()
    clone.write("data/x.csv", "1,2\n")


def test_nothing_differs(clone: Versioned) -> None:
    """What is not read by a step, and what only looks changed, makes no model differ."""
    clone.write("README.md", "About\n")
    clone.write(f"{FOLDER}/README.md", "About\n")
    clone.edit(f"{FOLDER}/model_modules/scoring.py")
    os.utime(clone.path / TRAINING, (1, 1))
    (clone.path / TRAINING).chmod(0o755)

    commit = clone.git("rev-parse", "HEAD")
    assert f"no model differs from HEAD ({commit[:12]})\n" == clone.told("affected", "--base=HEAD")
    assert [] == clone.matrix()


def test_the_reasons_are_those_of_why(clone: Versioned) -> None:
    """After a run of what was committed, `doit why` gives the same reasons for the same edits."""
    assert 0 == clone.doit("evaluate").returncode
    clone.write(f"{FOLDER}/config.json", {"hyperParameters": {"factor": 3}})
    clone.write(f"{FOLDER}/data.csv", "5,6\n")
    clone.edit(f"{FOLDER}/model_modules/evaluation.py")

    why = json.loads(clone.told("why", "--json", GOOD))

    why[f"evaluate:{GOOD}"].remove(f"train:{GOOD} must run first")
    why[f"evaluate:{GOOD}"].append(f"train:{GOOD} differs")  # whether it was run meanwhile or not
    assert why == {f"{step}:{GOOD}": said for step, said in clone.told_affected()[GOOD].items()}
    assert ["data data.csv changed", "file config.json changed"] == why[f"train:{GOOD}"]


def test_where_the_edit_is_does_not_matter(clone: Versioned) -> None:
    """It may be in the working tree, in the index, or committed on a branch."""
    expected = clone.trained(GOOD, "file model_modules/training.py changed")
    expected[GOOD]["evaluate"] = [f"train:{GOOD} differs"]
    clone.edit(TRAINING)
    assert expected == clone.affected()
    clone.git("add", "--all")
    assert expected == clone.affected()
    clone.git("checkout", "--quiet", "-b", "topic")
    clone.commit()
    assert {} == clone.affected()
    assert expected == clone.affected("main")
    clone.git("checkout", "--quiet", "main", "--", TRAINING)  # and taken back, not committed
    assert {} == clone.affected("main")


def test_data_that_hides_other_data(clone: Versioned) -> None:
    """A new file in the model's folder goes before that of the repository, committed or not."""
    other(clone)
    clone.commit()

    clone.write(f"{OTHER}/data/x.csv", "3,4\n")

    assert ["data data/x.csv changed"] == clone.affected()["other"]["train"]


def test_what_others_did_meanwhile_does_not_count(clone: Versioned) -> None:
    """Compared is with the commit at which the branch left the other one."""
    clone.git("checkout", "--quiet", "-b", "topic")
    clone.edit(f"{FOLDER}/model_modules/evaluation.py")
    clone.commit()
    clone.git("checkout", "--quiet", "main")
    clone.edit(TRAINING)
    clone.commit()
    clone.git("checkout", "--quiet", "topic")

    assert {GOOD: {"evaluate": ["file model_modules/evaluation.py changed"]}} == clone.affected(
        "main"
    )


def test_nothing_is_touched(clone: Versioned) -> None:
    """The index, the working tree and the references stay as they were, to the byte."""

    def seen() -> dict[str, tuple[int, bytes]]:
        paths = [p for p in clone.path.rglob("*") if p.is_file() and "build" not in p.parts]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}

    clone.edit(TRAINING)
    clone.write(f"{FOLDER}/new.txt", "x")
    os.utime(clone.path / FOLDER / "config.json", (1, 1))  # Git would refresh its index
    before = seen()
    clone.told_affected()
    clone.told("compare")
    assert before == seen()


def test_new_removed_and_renamed_models(clone: Versioned) -> None:
    """A new one is to be built, one that is gone is told; another name alone is no difference."""
    other(clone)
    clone.commit()
    clone.git("mv", OTHER, "model_definitions/another")
    assert {} == clone.told_affected()

    clone.add("misses-threshold")
    shutil.rmtree(clone.path / FOLDER)
    new = {
        "train": ["the model is new"],
        "evaluate": ["the model is new", "train:misses-threshold differs"],
    }
    gone = f"{GOOD} is gone: there is nothing to build"
    assert {"misses-threshold": new, gone: {}} == clone.told_affected()
    assert ["misses-threshold"] == [one["model"] for one in clone.matrix()]


def test_a_model_that_hides_others(clone: Versioned) -> None:
    """A `model.json` in a folder around a model makes one of that, and back."""
    shutil.move(clone.path / FOLDER, clone.path / "model_definitions/group/good-python")
    clone.commit()
    clone.add("misses-threshold", "outer")
    shutil.copytree(
        clone.path / "model_definitions/outer", clone.path / "model_definitions/group",
        dirs_exist_ok=True,
    )  # fmt: skip
    shutil.rmtree(clone.path / "model_definitions/outer")

    assert ["group", "group/good-python is gone: there is nothing to build"] == [*clone.affected()]
    clone.commit()
    (clone.path / "model_definitions/group/model.json").unlink()
    assert ["group/good-python", "group is gone: there is nothing to build"] == [*clone.affected()]


def test_broken_models(clone: Versioned) -> None:
    """One that is broken now is told with its faults, and so is one that was."""
    clone.write(f"{FOLDER}/model.json", '{"id": ')
    (said,) = {reason for some in clone.told_affected()[GOOD].values() for reason in some}
    assert said.startswith(f"the model has faults: {FOLDER}/model.json:1: ")

    clone.commit()
    clone.git("checkout", "--quiet", "HEAD~1", "--", FOLDER)
    said = clone.told_affected()[GOOD]["train"][0]
    assert said.startswith(f"it could not run before: {FOLDER}/model.json:1: ")


def test_an_unknown_commit(clone: Versioned) -> None:
    """Each way in which there is none to compare with is told, and the way out."""
    done = clone.doit("affected", "--base", "origin/main", **NOBODY)
    assert 3 == done.returncode
    assert (
        "There is no commit `origin/main` in this clone\n\nhint: `git fetch` brings" in done.stderr
    )
    for wrong in ("-x", "^HEAD", "HEAD:.gitignore"):
        done = clone.doit("affected", f"--base={wrong}", **NOBODY)
        assert 3 == done.returncode
        assert f"There is no commit `{wrong}`" in done.stderr

    clone.git("checkout", "--quiet", "--orphan", "apart")
    clone.write("apart", "")  # in the second of the first commit, it would be that one again
    clone.commit()
    done = clone.doit("affected", "--base", "main", **NOBODY)
    assert 3 == done.returncode
    assert "`main` and HEAD have no commit in common" in done.stderr
    assert 3 == clone.doit("affected", **NOBODY).returncode


def test_a_shallow_clone(clone: Versioned, tmp_path: Path) -> None:
    """What a shallow clone lacks is said to be lacking, with the way to get it."""
    clone.git("checkout", "--quiet", "-b", "topic")
    clone.commit()
    shallow = Versioned(tmp_path / "shallow", clone.cache)
    git("clone", "--quiet", "--depth=1", f"file://{clone.path}", str(shallow.path))
    shallow.git("fetch", "--quiet", "--depth=1", "origin", "main:main")

    for base, said in (("main", "no commit in common in this clone"), ("HEAD~1", "no commit")):
        done = shallow.doit("affected", "--base", base, **NOBODY)
        assert 3 == done.returncode
        assert said in done.stderr
        assert "`git fetch --unshallow` brings the rest" in done.stderr


def test_no_git_at_all(repository: Repository) -> None:
    """A repository that is not in Git cannot be compared with a commit."""
    repository.add(GOOD)
    done = repository.doit("affected", "--base", "HEAD", **NOBODY)

    assert 3 == done.returncode
    assert "This is no working tree of Git" in done.stderr


def test_odd_names(clone: Versioned) -> None:
    """Names with spaces, with a line's end in them and in any alphabet, of models and of files."""
    clone.add(GOOD, "mit Übung & Mühe")
    top = "model_definitions/mit Übung & Mühe"
    for name in ("a b.txt", "ü.txt", "line\nend.txt", '"quoted".txt'):
        clone.write(f"{top}/model_modules/{name}", "1")
    clone.commit()
    for name in ("a b.txt", "ü.txt", "line\nend.txt"):
        clone.edit(f"{top}/model_modules/{name}")

    (entry,) = clone.matrix()
    assert "mit Übung & Mühe" == entry["model"]
    assert "'evaluate:mit Übung & Mühe'" == entry["tasks"]
    assert {f"file model_modules/{n} changed" for n in ("a b.txt", "ü.txt", "line\nend.txt")} == {
        reason for reason in entry["reasons"] if reason.startswith("file")
    }


def test_data_that_models_share(clone: Versioned) -> None:
    """A data file or folder outside of the models counts for those that name it."""
    other(clone)
    clone.add(GOOD, "third")
    clone.write("model_definitions/third/datasets/train.json", '{"data_path": "d\\u0061ta\\/more"}')
    clone.write("data/more/y.csv", "1,2\n")
    clone.commit()
    clone.edit("data/x.csv", "3,4\n")
    assert clone.trained("other", "data data/x.csv changed") == clone.affected()

    clone.git("checkout", "--quiet", "--", ".")
    clone.edit("data/more/y.csv", "3,4\n")
    assert {
        "third": {
            "train": ["data data/more changed"],
            "evaluate": ["train:third differs"],
        }
    } == clone.affected()


@pytest.mark.parametrize("form", ["{}/data/x.csv", "file://{}/data/x.csv"])
def test_data_named_by_an_absolute_path(clone: Versioned, form: str) -> None:
    """A path into the repository is that of its file, however it is written."""
    other(clone, data=form.format(clone.path))
    clone.commit()
    assert [] == clone.matrix()

    clone.write("data/x.csv", "8,8\n")

    assert "train:other differs:" in clone.told("affected", "--base=HEAD")


def test_a_package_named_by_an_absolute_path(clone: Versioned) -> None:
    """It is the same package at another commit."""
    clone.write(f"{SHARED}/pyproject.toml", '[project]\nname = "features"\nversion = "1"\n')
    place = f"features @ file://{clone.path}/{SHARED}\n"
    clone.write(f"{FOLDER}/model_modules/requirements.txt", place)
    clone.commit()
    clone.write(f"{FOLDER}/README.md", "hi\n")
    assert [] == clone.matrix()

    clone.write(f"{SHARED}/features.py", "X = 1\n")
    assert f"package {SHARED} changed" in clone.told("affected", "--base=HEAD")


def test_a_fault_that_was_there_before(clone: Versioned) -> None:
    """A model that cannot run, for the same reason as before, is no news."""
    document = {"id": "one", "name": "One", "language": "pythn"}
    clone.write(f"{FOLDER}/model.json", document)
    clone.commit()
    clone.write(f"{FOLDER}/README.md", "hi\n")

    assert [] == clone.matrix()


def test_nothing_committed_yet(repository: Repository) -> None:
    """A repository without a commit says so; zeros are no commit either; nor is nothing."""
    begin(repository.path)
    nothing = "nothing is committed yet: `git add -A && git commit`\n"
    for base, said in (("HEAD", nothing), ("0" * 40, "zeros alone")):
        done = repository.doit("affected", "--base", base)
        assert 3 == done.returncode
        assert said in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal(clone: Versioned, tmp_path: Path, number: int) -> None:
    """What it has laid out goes, however it is ended."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for number_of_models in range(30):
        clone.add(GOOD, f"m{number_of_models}")
    running = clone.start("affected", "--base=HEAD", TMPDIR=str(scratch))
    while not os.listdir(scratch) and running.poll() is None:
        time.sleep(0.001)
    running.send_signal(number)
    running.communicate()

    assert [] == os.listdir(scratch)


def test_data_that_git_does_not_hold(clone: Versioned) -> None:
    """Ignored or never added, it is taken to have been there, whatever it is now."""
    clone.edit(".gitignore", "/data/ignored/\n")
    other(clone, data="data/ignored/x.csv")
    (clone.path / "data/x.csv").unlink()
    clone.write("data/ignored/x.csv", "1\n")
    clone.add(GOOD, "third")
    clone.write("model_definitions/third/datasets/train.json", {"data_path": "data/late/y.csv"})
    clone.commit()
    clone.write("data/late/y.csv", "1\n")

    assert {} == clone.affected()
    for name in ("other", "third"):
        clone.edit(f"model_definitions/{name}/model_modules/training.py")
    reasons = {name: steps["train"] for name, steps in clone.affected().items()}
    assert {
        key: ["file model_modules/training.py changed"] for key in ("other", "third")
    } == reasons


def test_line_ends(clone: Versioned) -> None:
    """Line ends that Git converts make no difference, and what was is as a checkout leaves it."""
    clone.write(".gitattributes", "*.py text eol=crlf\n*.json text=auto\n")
    clone.commit()
    shutil.rmtree(clone.path / FOLDER)
    clone.git("checkout", "--quiet", "--", ".")
    assert b"\r\n" in (clone.path / TRAINING).read_bytes()
    config = clone.path / FOLDER / "config.json"
    config.write_bytes(config.read_bytes().rstrip(b"\n") + b"\r\n")  # what an editor may do
    clone.commit()
    assert {} == clone.affected("HEAD~1")

    clone.edit(TRAINING)
    clone.commit()
    data = (clone.path / TRAINING).read_bytes().removesuffix(b"EDITED = 1\n")
    (clone.path / TRAINING).write_bytes(data)
    assert {} == clone.affected("HEAD~1")
    assert [GOOD] == [*clone.affected("HEAD")] == [*clone.affected()]


def test_filters(clone: Versioned) -> None:
    """What a filter makes of a file for the working tree is what counts."""
    clone.git("config", "filter.swap.clean", "tr a-z A-Z")
    clone.git("config", "filter.swap.smudge", "tr A-Z a-z")
    clone.write(".gitattributes", "*.txt filter=swap\n")
    clone.write(f"{FOLDER}/model_modules/words.txt", "one\n")
    clone.commit()
    clone.write(f"{FOLDER}/model_modules/words.txt", "two\n")
    clone.commit()
    assert "TWO" == clone.git("cat-file", "-p", f"HEAD:{FOLDER}/model_modules/words.txt")
    assert [GOOD] == [*clone.affected("HEAD~1")]
    clone.write(f"{FOLDER}/model_modules/words.txt", "one\n")
    assert {} == clone.affected("HEAD~1")


def test_large_files(clone: Versioned) -> None:
    """A pointer of Git LFS stands for the data that it names; nothing is fetched."""
    pointer = 'printf "version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 4\\n"'
    script = clone.write("../clean.sh", f"#!/bin/sh\n{pointer} $(sha256sum | cut -d' ' -f1)\n")
    script.chmod(0o755)
    clone.git("config", "filter.lfs.clean", str(script))
    clone.git("config", "filter.lfs.smudge", "false")  # a fetch, with no network
    clone.git("config", "filter.lfs.required", "true")
    clone.write(".gitattributes", "*.csv filter=lfs\n")
    other(clone)
    clone.commit()
    assert clone.git("cat-file", "-p", "HEAD:data/x.csv").startswith("version https://git-lfs")
    clone.write("data/x.csv", "3,4\n")
    clone.commit()

    assert clone.trained("other", "data data/x.csv changed") == clone.affected("HEAD~1")
    clone.write("data/x.csv", "1,2\n")
    assert {} == clone.affected("HEAD~1")
    assert clone.trained("other", "data data/x.csv changed") == clone.affected()


def test_links(clone: Versioned) -> None:
    """A file that is reached through a link counts; so does where the link leads."""
    clone.write("shared/common.py", "X = 1\n")
    clone.write("shared/later.py", "X = 2\n")
    link = clone.path / FOLDER / "model_modules/common.py"
    link.symlink_to("../../../shared/common.py")
    clone.edit(TRAINING, "from . import common\n")
    clone.commit()
    assert {} == clone.affected()

    clone.edit("shared/common.py")
    expected = {
        "train": ["file model_modules/common.py changed"],
        "evaluate": ["file model_modules/common.py changed", f"train:{GOOD} differs"],
    }
    assert {GOOD: expected} == clone.affected()
    clone.git("checkout", "--quiet", "--", ".")
    link.unlink()
    link.symlink_to("../../../shared/later.py")
    assert {GOOD: expected} == clone.affected()
    clone.commit()
    clone.write("shared/common.py", "X = 2\n")  # now it is as the other was: no difference
    assert [GOOD] == [*clone.affected("HEAD~1")]


def leading(clone: Versioned, link: str, target: str) -> None:
    """Have a link lead elsewhere, whatever is in its place."""
    path = clone.path / link
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.fixture(name="linked")
def linked_data(clone: Versioned) -> Versioned:
    """Return a repository with a model each that names data through links, in several ways."""
    ways = {"below": "data/cur/x", "file": "data/file", "folder": "../../data/inner/in it"}
    ways |= {"whole": "data/all", "plain": "data/C/x"}
    for name, data in ways.items():
        clone.add(GOOD, name)
        for step in ("train", "evaluate", "score"):
            clone.write(f"model_definitions/{name}/datasets/{step}.json", {"data_path": data})
    for name in "ABC":
        clone.write(f"data/{name}/x", f"{name}\n")
        clone.write(f"data/{name}/sub/in it/y", f"{name}\n")
    for link, target in {
        "data/cur": "A",
        "data/file": "cur/x",
        "data/all/deep/link": "../../cur",
        "data/inner": "all/deep/link/sub",
    }.items():
        (clone.path / link).parent.mkdir(parents=True, exist_ok=True)
        leading(clone, link, target)
    clone.write("data/here", "1\n")
    leading(clone, "data/all/here", "../here")
    clone.commit()
    assert {} == clone.affected()
    return clone


def test_a_link_that_leads_elsewhere(linked: Versioned) -> None:
    """Whatever is named by a path through it counts, also by one through a link to there."""
    leading(linked, "data/cur", "B")
    expected = {"below", "file", "folder", "whole"}
    assert expected == linked.affected().keys()
    assert "data data/cur/x changed" == linked.affected()["below"]["train"][0]
    linked.commit()
    assert expected == linked.told_affected("HEAD~1").keys()


def test_a_folder_that_becomes_a_link(linked: Versioned) -> None:
    """And back."""
    leading(linked, "data/A", "B")
    expected = {"below", "file", "folder", "whole"}
    assert expected == linked.affected().keys()
    linked.commit()
    assert expected == linked.affected("HEAD~1").keys()
    (linked.path / "data/A").unlink()
    shutil.copytree(linked.path / "data/C", linked.path / "data/A")
    assert expected == linked.affected().keys()
    linked.commit()
    assert expected == linked.affected("HEAD~1").keys()


def test_what_a_moved_link_does_not_reach(linked: Versioned) -> None:
    """A link to the same bytes is no difference; of others than its readers nothing is asked."""
    shutil.rmtree(linked.path / "data/B")
    shutil.copytree(linked.path / "data/A", linked.path / "data/B")
    linked.commit()
    leading(linked, "data/cur", "B")
    assert {} == linked.affected()
    leading(linked, "data/here", "A/x")
    assert ["whole"] == [*linked.affected()]


def test_a_package_behind_a_link(clone: Versioned) -> None:
    """A package, and what requirements include, may be behind a link that leads elsewhere."""
    for name in "ab":
        clone.write(f"packages/{name}/p/pyproject.toml", f'[project]\nname = "p{name}"\n')
        clone.write(f"packages/{name}/base.txt", f"numpy=={ord(name)}\n")
    leading(clone, "packages/cur", "a")
    for name, line in (("package", "../../../packages/cur/p"), ("included", "-r ../cur.txt")):
        clone.add(GOOD, name)
        clone.write(f"model_definitions/{name}/model_modules/requirements.txt", f"{line}\n")
    leading(clone, "model_definitions/included/cur.txt", "../../packages/cur/base.txt")
    clone.commit()
    assert {} == clone.affected()

    leading(clone, "packages/cur", "b")
    assert {"package", "included"} == clone.affected().keys()


def test_locks_behind_a_link(clone: Versioned) -> None:
    """Where the folder of locks is another, each model may have another."""
    clone.write(f"{FOLDER}/model_modules/requirements.txt", "numpy\n")
    for number in range(2):
        lock(clone, GOOD, f"numpy=={number}")
        shutil.move(clone.path / "envs/locks", clone.path / f"locks{number}")
    leading(clone, "envs/locks", "../locks0")
    clone.commit()
    assert {} == clone.affected()
    leading(clone, "envs/locks", "../locks1")
    assert [GOOD] == [*clone.affected()]


def test_a_model_behind_a_link(clone: Versioned) -> None:
    """A whole model, or its datasets, may be elsewhere in the repository."""
    shutil.move(clone.path / FOLDER, clone.path / "elsewhere")
    (clone.path / FOLDER).symlink_to("../elsewhere")
    clone.write("datasets/good/train.json", {"data_path": "tables/x.csv"})
    clone.write("tables/x.csv", "1\n")
    shutil.rmtree(clone.path / "elsewhere/datasets")
    (clone.path / "elsewhere/datasets").symlink_to("../datasets/good")
    clone.commit()
    assert {} == clone.affected()
    for path in ("elsewhere/model_modules/training.py", "datasets/good/train.json", "tables/x.csv"):
        clone.edit(path, "X = 1\n" if path.endswith(".py") else "\n")
        assert [GOOD] == [*clone.affected()], path
        clone.git("checkout", "--quiet", "--", ".")


def test_a_file_becomes_a_folder(clone: Versioned) -> None:
    """And back: what was there is laid out as it was."""
    top = clone.path / FOLDER / "model_modules"
    clone.write(f"{FOLDER}/model_modules/table", "1\n")
    clone.commit()
    (top / "table").unlink()
    clone.write(f"{FOLDER}/model_modules/table/part", "1\n")
    expected = ["file model_modules/table is gone", "file model_modules/table/part is new"]
    assert expected == clone.affected()[GOOD]["train"]
    clone.commit()
    assert expected == clone.affected("HEAD~1")[GOOD]["train"]
    shutil.rmtree(top / "table")
    clone.write(f"{FOLDER}/model_modules/table", "1\n")
    assert {} == clone.affected("HEAD~1")


def test_a_repository_in_a_folder_of_another(repository: Repository) -> None:
    """Models may be in a part of what Git holds, and name what is around it."""
    top = repository.path.parent / "all"
    clone = Versioned(top / "ml/models", repository.cache)
    clone.write("../../.gitignore", "build/\n")
    clone.write("../shared/x.csv", "1\n")
    clone.add(GOOD)
    clone.write(f"{FOLDER}/datasets/train.json", {"data_path": "../shared/x.csv"})
    clone.write("../../service/main.go", "package main\n")
    begin(top)
    clone.commit("../..")
    clone.edit("../../service/main.go", "\n")
    assert {} == clone.affected()
    clone.edit("../shared/x.csv", "2\n")
    assert ["data ../shared/x.csv changed"] == clone.affected()[GOOD]["train"]
    clone.git("checkout", "--quiet", "--", "../..")
    clone.edit(TRAINING)
    assert ["file model_modules/training.py changed"] == clone.affected()[GOOD]["train"]


def test_submodules(clone: Versioned, tmp_path: Path) -> None:
    """Data in a submodule are as the commit that it was at has them."""
    tables = tmp_path / "tables"
    tables.mkdir()
    begin(tables)
    for text in ("1\n", "2\n"):
        (tables / "x.csv").write_text(text)
        git("add", "--all", at=tables)
        git("commit", "--quiet", "--message", "data", at=tables)
    other(clone, data="tables/x.csv")
    clone.git("submodule", "--quiet", "add", str(tables), "tables")
    clone.git("-C", "tables", "checkout", "--quiet", "HEAD~1")
    clone.commit()
    assert {} == clone.affected()

    clone.git("-C", "tables", "checkout", "--quiet", "main")
    assert clone.trained("other", "data tables/x.csv changed") == clone.affected()
    clone.commit()
    assert clone.trained("other", "data tables/x.csv changed") == clone.affected("HEAD~1")
    clone.write("tables/x.csv", "1\n")  # not committed there, and as it was
    assert {} == clone.affected("HEAD~1")

    clone.git("submodule", "--quiet", "deinit", "--force", "tables")
    assert {} == clone.affected("HEAD")  # nothing is there now, nor can anything be had


def test_models_in_a_submodule(clone: Versioned, tmp_path: Path) -> None:
    """Models may come with a submodule, and go with it; its commits are looked into."""
    group = Versioned(tmp_path / "group", clone.cache)
    shutil.copytree(clone.path / FOLDER, group.path / "theirs")
    group.write("theirs/model.json", {"id": "t", "name": "T", "language": "python"})
    begin(group.path)
    group.commit()
    clone.git("submodule", "--quiet", "add", str(group.path), "model_definitions/group")
    assert ["the model is new"] == clone.affected()["group/theirs"]["train"]
    clone.commit()
    assert {} == clone.affected()
    clone.edit("model_definitions/group/theirs/model_modules/training.py")
    reason = "file model_modules/training.py changed"
    assert [reason] == clone.affected()["group/theirs"]["train"]
    clone.git("-C", "model_definitions/group", "commit", "--quiet", "--all", "--message", "edit")
    assert [reason] == clone.affected()["group/theirs"]["train"]

    clone.commit()
    git("clone", "--quiet", "--depth=1", f"file://{clone.path}/model_definitions/group", "shallow",
        at=tmp_path)  # fmt: skip
    shutil.rmtree(clone.path / "model_definitions/group")
    shutil.copytree(tmp_path / "shallow", clone.path / "model_definitions/group")
    done = clone.doit("affected", "--base=HEAD~1", **NOBODY)
    assert 3 == done.returncode
    assert "Submodule `model_definitions/group` lacks the commit" in done.stderr


def lock(clone: Versioned, name: str, pin: str) -> None:
    """Write a lock for a Python that nobody has."""
    clone.write(
        f"envs/locks/{name}.txt",
        f"# format: 1\n# requirements: x\n# python: 3.6 (==3.6.*)\n{pin}\n# end\n",
    )


def test_locks(clone: Versioned) -> None:
    """A lock counts on a machine too that cannot have what it says, as one that only plans."""
    clone.write(f"{FOLDER}/model_modules/requirements.txt", "numpy\n")
    lock(clone, GOOD, "numpy==1.0")
    lock(clone, "unrelated", "numpy==1.0")
    clone.commit()
    lock(clone, "unrelated", "numpy==2.0")
    assert {} == clone.affected()
    lock(clone, GOOD, "numpy==2.0")
    assert clone.trained(GOOD, "package numpy changed from 1.0 to 2.0") == clone.affected()


def test_what_requirements_include(clone: Versioned) -> None:
    """Files that requirements include, these in turn, and packages of the repository all count."""
    clone.write(f"{FOLDER}/model_modules/requirements.txt", "-r ../../../shared/base.txt\n")
    clone.write("shared/base.txt", f"-c more/pins.txt\n../{SHARED}\n")
    clone.write("shared/more/pins.txt", "numpy<2\n")
    clone.write(f"{SHARED}/pyproject.toml", '[project]\nname = "features"\nversion = "1"\n')
    clone.write(f"{SHARED}/src/features/__init__.py", "")
    clone.commit()
    clone.edit("shared/more/pins.txt", "pandas<2\n")
    assert clone.trained(GOOD, "environment requirements changed") == clone.affected()
    clone.git("checkout", "--quiet", "--", ".")
    clone.write(f"{SHARED}/src/features/new.py", "")
    assert clone.trained(GOOD, f"environment package {SHARED} changed") == clone.affected()


def test_frameworks(clone: Versioned) -> None:
    """The file of a framework counts for its models, whichever way they say that it is theirs."""
    other(clone)
    clone.write(
        f"{OTHER}/model.json",
        {"id": "other", "name": "Other", "language": "Python", "framework": "ours"},
    )
    clone.write("envs/ours.toml", 'language = "python"\n')
    clone.commit()
    clone.write("envs/ours.toml", 'language = "python"\nvariables = {X = "1"}\n')
    assert ["other"] == [*clone.affected()]
    clone.git("checkout", "--quiet", "--", ".")
    clone.write("envs/python.toml", 'language = "python"\nvariables = {X = "1"}\n')
    assert clone.trained(GOOD, "framework: variables is new") == clone.affected()


def test_in_the_middle_of_a_merge(clone: Versioned) -> None:
    """Where Git has no answer yet, what lies in the working tree counts."""
    config = f"{FOLDER}/config.json"
    for branch, factor in (("topic", 3), ("main", 4)):
        clone.git("checkout", "--quiet", "-B", branch)
        clone.write(config, {"hyperParameters": {"factor": factor}})
        clone.commit(config)
        clone.git("checkout", "--quiet", "--detach", "HEAD~1")
    clone.git("checkout", "--quiet", "main")
    with pytest.raises(AssertionError):
        clone.git("merge", "--quiet", "topic")
    assert "UU" in clone.git("status", "--short")
    said = clone.affected()[GOOD]["train"][0]
    assert said.startswith(f"the model has faults: {config}:")

    clone.write(config, {"hyperParameters": {"factor": 3}})
    assert ["file config.json changed"] == clone.affected()[GOOD]["train"]
    (clone.path / config).write_text(clone.git("show", f"HEAD:{config}"))
    assert {} == clone.affected()


def test_inside_a_hook(clone: Versioned) -> None:
    """The variables that Git gives to its hooks lead nowhere else."""
    clone.edit(TRAINING)
    given = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_PREFIX": "x"}
    assert [GOOD] == [*clone.told_affected(**given)]


def test_the_matrix(clone: Versioned) -> None:
    """An entry says what to run, on which machine, with what, and why."""
    clone.write(
        f"{FOLDER}/model.json",
        {
            **clone.json(f"{FOLDER}/model.json"),
            "automation": {
                "training": {"resources": {"memory": "2Gi", "limits": {"cpu": "2"}}},
                "resources": {"memory": "1Gi", "gpu": "1"},
            },
        },
    )
    other(clone)
    clone.write(
        f"{OTHER}/model.json",
        {"id": "o", "name": "O", "language": "python", "automation": {"runner": "large"}},
    )
    clone.edit(TRAINING)

    first, second = clone.matrix()

    assert {
        "model": GOOD,
        "models": [GOOD],
        "steps": ["train", "evaluate"],
        "tasks": f"evaluate:{GOOD}",
        "framework": "python",
        "resources": {"memory": "2Gi", "cpu": "2", "gpu": "1"},
        "runner": "gpu",
        "seconds": None,
        "reasons": ["file model_modules/training.py changed", f"train:{GOOD} differs"],
    } == {name: value for name, value in first.items() if name != "environment"}
    assert ("large", {}) == (second["runner"], second["resources"])
    assert first["environment"] == second["environment"]
    assert first.keys() == second.keys()


def test_a_matrix_of_many(clone: Versioned) -> None:
    """Where there are too many for GitHub, entries have several models, each of them once."""
    for number in range(300):
        clone.add(GOOD, f"m{number:03}")
    gpu = {f"m{number:03}" for number in range(20)}
    for name in gpu:
        path = f"model_definitions/{name}/model.json"
        clone.write(path, {**clone.json(path), "automation": {"runner": "gpu"}})

    entries = clone.matrix()

    assert 200 < len(entries) < 256
    listed = [name for entry in entries for name in entry["models"]]
    assert [f"m{number:03}" for number in range(300)] == sorted(listed)
    assert gpu == {n for entry in entries for n in entry["models"] if entry["runner"] == "gpu"}
    assert 2 == max(len(entry["models"]) for entry in entries)
    several = next(entry for entry in entries if len(entry["models"]) == 2)
    assert several.keys() == entries[-1].keys()
    assert " ".join(f"evaluate:{name}" for name in several["models"]) == several["tasks"]
