"""A repository as it was at a commit, held against a checkout of that commit."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import affected, basis, looks, mentions, revision
from tasks.fingerprint import Files
from tasks.state import State
from tests.versions import FOLDER, GOOD, NOBODY, Versioned, git, versioned

if TYPE_CHECKING:
    from tasks.basis import Basis
    from tests.conftest import Repository

MODELS = ("one", "two", "three")
EDITS = 12


@pytest.fixture(name="clone")
def a_clone(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Versioned:
    """Return a repository in the working directory that has a bit of everything."""
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    clone = versioned(repository)
    clone.write(".gitattributes", "*.py text eol=crlf\n*.txt ident\n")
    for number, name in enumerate(MODELS):
        top = f"model_definitions/{name}"
        clone.add(GOOD, name)
        clone.write(f"{top}/model.json", {"id": name, "name": name, "language": "python"})
        clone.write(f"{top}/model_modules/requirements.txt", "-r ../../../shared/base.txt\n")
        clone.write(f"{top}/datasets/train.json", {"data_path": f"data/{number % 2}.csv"})
        clone.write(f"{top}/model_modules/words.txt", "$Id$\n")
        link = clone.path / top / "model_modules/common.py"
        link.symlink_to(f"../../../shared/{number % 2}.py")
        clone.edit(f"{top}/model_modules/training.py", "from . import common\n")
    for number in range(2):
        clone.write(f"data/{number}.csv", f"{number}\n")
        clone.write(f"shared/{number}.py", f"X = {number}\n")
    clone.write("shared/base.txt", "numpy\n")
    committed(clone)
    monkeypatch.chdir(clone.path)
    return clone


def committed(clone: Versioned) -> None:
    """Commit all that there is, and have it as a checkout leaves it: with other line ends."""
    clone.commit()
    for name in clone.git("ls-files", "-z").split("\0")[:-1]:
        (clone.path / name).unlink()
    clone.git("checkout", "--quiet", "--", ".")


def taken(state: State) -> dict[str, Basis]:
    """Return every model of the working directory, without the artefacts, which Git has not."""
    return {folder: basis.now(folder, state) for folder in looks.model_folders()}


def comparable(one: Basis) -> object:
    """Return what of a model counts, and what is said of faults without where its folder is."""
    inputs = {
        step: {name: value for name, value in found.items() if name != basis.TRAINED}
        for step, found in one.inputs.items()
    }
    return one.model.name, inputs, one.faults, one.asked


def edit(clone: Versioned, chance: random.Random) -> None:
    """Change something at random: edit, add, remove, rename, link or chmod."""
    listed = clone.git("ls-files").splitlines()
    path = chance.choice([one for one in listed if not one.startswith(".")])
    full = clone.path / path
    what = chance.choice(("edit", "edit", "edit", "add", "remove", "rename", "link", "mode"))
    if not full.exists() or what == "add":
        full.parent.mkdir(parents=True, exist_ok=True)
        clone.write(f"{path}.{chance.randrange(9)}.txt", "new\n")
    elif what == "edit" and not full.is_symlink():
        clone.edit(path, chance.choice(("\n", " ", "X = 1\n")))
    elif what == "remove":
        full.unlink()
    elif what == "rename":
        top = clone.path / "model_definitions"
        names = sorted(one.name for one in top.iterdir())
        shutil.move(top / chance.choice(names), top / f"m{chance.randrange(99)}")
    elif what == "link":
        full.unlink()
        full.symlink_to(chance.choice(("training.py", "nowhere", "../config.json")))
    elif what == "mode" and not full.is_symlink():
        full.chmod(0o755)


@pytest.mark.parametrize("seed", range(8))
def test_as_a_checkout_has_it(clone: Versioned, tmp_path: Path, seed: int) -> None:
    """Whatever has changed since, every model is what it is in a checkout of the commit.

    And those that differ are all that `affected` finds, looking closely at as few as it does.
    """
    chance = random.Random(seed)
    state = State(str(tmp_path / "state.db"))
    for _ in range(chance.randrange(1, EDITS)):
        edit(clone, chance)
        if chance.random() < 0.2:
            committed(clone)
    base = clone.git("rev-list", "--max-parents=0", "HEAD") if seed % 4 == 0 else "HEAD"
    base = clone.git("rev-parse", base)
    checkout = tmp_path / "checkout"
    git("clone", "--quiet", str(clone.path), str(checkout))
    git("checkout", "--quiet", base, at=checkout)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        expected = {k: comparable(v) for k, v in taken(State(str(tmp_path / "other.db"))).items()}
    with revision.at(base, state) as then, then.there():
        found = {k: comparable(basis.then(k, then)) for k in expected}
    assert expected == found

    after = {folder: comparable(one) for folder, one in taken(state).items()}
    told = affected.since(base, state)
    by_name = {one.model.folder: one for one in told.affected}
    moved = {k for k in after.keys() - expected.keys() if k not in by_name}
    for folder in after.keys() & expected.keys():
        differs = after[folder] != expected[folder] or bool(after[folder][2])  # type: ignore[index]
        if not differs:
            assert folder not in by_name
        elif after[folder][1] != expected[folder][1]:  # type: ignore[index]
            assert folder in by_name
    for folder in moved:  # another name, the same model
        assert after[folder][1] in [one[1] for one in expected.values()]  # type: ignore[index]


def test_paths_however_they_are_spelled(clone: Versioned) -> None:
    """A path counts for whoever names it, in each way in which JSON and requirements can."""
    spelled = {
        '{"data_path": "data/0.csv"}': ["data/0.csv"],
        '{"data_path": "data\\/0.csv"}': ["data/0.csv"],
        '{"data_path": "d\\u0061ta/0.csv"}': ["data/0.csv"],
        '{"a": [{"url": "file:///x/my%20data.csv"}]}': ["x/my data.csv"],
        '{"location": "../../my data.csv"}': ["my data.csv", "model_definitions/my data.csv"],
        '{"data_path": "big/folder/"}': ["big/folder/deep/in/it.csv", "big/folder"],
        '{"data_path": "../.."}': ["anything", "at/all"],
        '{"database": "tables/ü.duckdb"}': ["tables/ü.duckdb"],
        '{"data_path": "data/a\\tb\\nc.csv"}': ["data/a\tb\nc.csv"],
        '{"data_path": "data/a\\bc.csv"}': ["data/a\bc.csv"],
        '{"data_path": "data/a\\\\new.csv"}': ["data/a\\new.csv"],
    }
    for text, paths in spelled.items():
        clone.write(f"{FOLDER}/datasets/train.json", text)
        for path in paths:
            assert FOLDER in mentions.Named().readers([path]), (text, path)
        assert FOLDER in mentions.Named().readers(
            ["x/[]"]
        )  # a name with no word: it might be anywhere
    clone.write(f"{FOLDER}/datasets/train.json", '{"data_path": "data/0.csv"}')
    assert [] == mentions.Named().readers(["README.md", "docs/data.md", "data/new.csv"])
    for line in ("../../packages/pkg[x]; x", "pkg @ file:../../packages/pkg", "-e packages/pkg"):
        clone.write(f"{FOLDER}/model_modules/requirements.txt", f"{line}\n")
        assert FOLDER in mentions.Named().readers(["packages/pkg/src/a.py"])
        assert FOLDER not in mentions.Named().readers(["packages/other/src/a.py"])
    (clone.path / FOLDER / "model_modules/requirements.txt").write_bytes("x".encode("utf-16"))
    assert FOLDER in mentions.Named().readers(["README.md"])


def test_links_that_lead_to_each_other(clone: Versioned, tmp_path: Path) -> None:
    """They end nothing, and nothing goes on for ever."""
    for name, target in (("a/b", "../c"), ("c/d", "../a"), ("a/self", "."), ("e", "e")):
        link = clone.path / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
    clone.write("a/x.csv", "1\n")
    clone.commit()
    clone.edit("a/x.csv", "2\n")
    with revision.at(clone.git("rev-parse", "HEAD"), State(str(tmp_path / "state.db"))) as then:
        assert {"a/x.csv", "c/d/x.csv"} <= then.changed
        with then.there():
            assert Files().digest("c/d/x.csv") == Files().digest("a/x.csv")
            assert b"1\n" == Path("c/d/x.csv").read_bytes()
