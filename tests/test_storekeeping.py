"""What is in a store, what of it goes, and whether it is as it was stored."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import objects, store_forms, storekeeping
from tasks.records import RUN
from tasks.storekeeping import DAY, Policy, Stock, Stored
from tests.test_store import CONFIG, NAME, STEPS, STORE, entry_of, object_of, spoil, states, stored

if TYPE_CHECKING:
    from tests.conftest import Repository

NOW = 1_000 * DAY
MEBIBYTE = 1 << 20


def result(name: str, age: float, *digests: str, task: str = "train:a") -> Stored:
    """Return a stored result that was last used so many days ago."""
    return Stored(name, task, "", 1.0, NOW - age * DAY, 0, frozenset(digests))


def going(policy: Policy, *results: Stored) -> str:
    """Return the keys that a policy lets go, in its order; each object is a mebibyte."""
    sizes = dict.fromkeys({digest for one in results for digest in one.objects}, MEBIBYTE)
    return "".join(one.key for one in storekeeping.to_go(Stock(results, sizes, {}), policy, NOW))


class TestPolicy:
    """Which results go."""

    OLD = tuple(result(name, age, name) for name, age in zip("abcde", (5, 4, 3, 2, 1), strict=True))

    def test_newest(self) -> None:
        """The newest of each step stay; those that were used longest ago go first."""
        other = result("x", 9, "x", task="evaluate:a")

        assert "abc" == going(Policy(2, frozenset()), *self.OLD, other)
        assert "xabcde" == going(Policy(0, frozenset()), *self.OLD, other)

    def test_keys(self) -> None:
        """What is needed stays."""
        assert "cd" == going(Policy(1, frozenset("ab")), *self.OLD)

    def test_age(self) -> None:
        """What was used within a while stays."""
        assert "ab" == going(Policy(1, frozenset(), age=3.5 * DAY), *self.OLD)

    def test_size(self) -> None:
        """No more goes than must for a size; an object that another result has frees nothing."""
        assert "" == going(Policy(0, frozenset(), size=5 * MEBIBYTE), *self.OLD)
        assert "ab" == going(Policy(0, frozenset(), size=3 * MEBIBYTE), *self.OLD)
        twin = result("t", 6, "e")
        assert "tab" == going(Policy(0, frozenset(), size=3 * MEBIBYTE), *self.OLD, twin)

    def test_size_that_cannot_be_reached(self) -> None:
        """What must stay stays, whatever the size."""
        assert "abc" == going(Policy(2, frozenset(), size=0), *self.OLD)

    def test_freed(self) -> None:
        """Objects that no result has count as freed, and those of what goes alone."""
        sizes = {"a": 1, "b": 10, "c": 100, "lost": 1000}
        results = [result("1", 1, "a", "b"), result("2", 1, "b", "c")]

        found = Stock(results, sizes, {})

        assert (1, 1000) == storekeeping.freed(found, [])
        assert (2, 1001) == storekeeping.freed(found, results[:1])


@pytest.fixture(scope="module")
def original(shared: Repository) -> Repository:
    """Return a repository whose model was made with the factors 2, 3 and 4."""
    shared.add(NAME)
    for factor in (2, 3, 4):
        shared.write(CONFIG, {"hyperParameters": {"factor": factor}})
        assert (0, dict.fromkeys(STEPS, "ran")) == states(shared)
    return shared


@pytest.fixture
def made(original: Repository, tmp_path: Path) -> Repository:
    """Return a copy of it."""
    return original.copied(tmp_path / "repository")


def asked(repository: Repository, *words: str) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what a command prints as JSON."""
    done = repository.doit(*words, "--json")
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_store(made: Repository) -> None:
    """`doit store` lists each result with its step, and counts what is shared once."""
    found = asked(made, "store")

    assert ["evaluate:good-python"] * 3 + ["train:good-python"] * 3 == [
        one["task"] for one in found["results"]
    ]
    files = stored(made.path / STORE, objects.OBJECTS)
    assert len(files) == found["objects"]
    assert sum(file.stat().st_size for file in files) == found["bytes"]
    assert (STORE, 0, {}) == (found["folder"], found["restored"], found["unsound"])
    shown = made.doit("store").stdout
    assert f"build/store: 6 results, {len(files)} objects, " in shown
    assert 6 == len(re.findall(r":good-python +2", shown))


def test_the_store_fits_a_terminal() -> None:
    """A row has at most 80 columns: a long name loses its middle, and all else stays."""
    key, name = "ab" * 32, "evaluate:python-xgboost-diabetes-with-a-name-that-goes-on"
    made = [
        Stored(key, task, "2026-11-30T21:59:29Z", 3725, NOW, 987_654_321, frozenset())
        for task in (name, "evaluate:python-xgboost-diabetes")
    ]

    lines = store_forms.there(Stock(made, {}, {}), 80)

    assert [80] == sorted({len(line) for line in lines[1:]})
    assert lines[1].endswith("  2026-11-30 21:59  1 h 02 min  987.7 MB  abababab")
    assert lines[1].startswith("evaluate:pyth")
    assert name in store_forms.there(Stock(made, {}, {}), 120)[1]


def test_gc(made: Repository) -> None:
    """`doit gc` leaves what is linked and the newest; what is left is whole and serves."""
    assert 4 == asked(made, "gc", "--keep", "1", "--dry-run")["results"]
    assert 6 == len(stored(made.path / STORE, objects.ENTRIES))

    assert "4 results went, " in made.doit("gc", "--keep", "1").stdout

    assert 2 == len(asked(made, "store")["results"])
    assert [] == asked(made, "verify")["unsound"]
    made.write(CONFIG, {"hyperParameters": {"factor": 2}})
    assert (0, dict.fromkeys(STEPS, "ran")) == states(made)
    made.write(CONFIG, {"hyperParameters": {"factor": 4}})
    assert (0, dict.fromkeys(STEPS, "restored")) == states(made)


def test_gc_says_what_would_go(made: Repository) -> None:
    """Each with its step, its last use, its size and the beginning of its key, up to a number."""
    words = ("gc", "--keep", "1", "--dry-run")
    told = asked(made, *words)["gone"]
    assert 4 == len(told)
    assert told[0] in asked(made, "store")["results"]

    first, empty, head, *lines = made.doit(*words).stdout.splitlines()

    assert ("", "STEP LAST USED (UTC) SIZE KEY") == (empty, " ".join(head.split()))
    assert first.startswith("build/store: 4 results would go, ")
    assert [(one["task"], one["key"][:8]) for one in told] == [
        (line.split()[0], line.split()[-1]) for line in lines
    ]
    assert all(re.search(r"  20\d\d-\d\d-\d\d \d\d:\d\d  \d", line) for line in lines)

    many = [result(str(number), 1) for number in range(22)]
    lines = store_forms.going(many, Stock(many, {}, {"ab": "its entry cannot be read"}))
    assert 1 + store_forms.MOST + 2 == len(lines)
    assert ["and 2 more", "ab cannot be used: its entry cannot be read"] == lines[-2:]


def test_gc_says_why_more_stays(made: Repository) -> None:
    """Where a size cannot be reached, or nothing goes, it is said what keeps the rest."""
    kept = "stay: linked in build/models, needed by a branch or tag"
    for words, why in (
        (["--size", "1"], f"{kept} or among the newest 3 of their step"),
        ([], f"{kept} or among the newest 3 of their step"),
        (["--keep", "0", "--age", "30d"], f"{kept} or used within 30d"),
        (["--keep", "0", "--size", "1", "--dry-run"], "stay: linked in build/models or needed"),
    ):
        assert why in made.doit("gc", *words).stdout, words
    for words in (["--size", "1G"], ["--keep", "1", "--dry-run"], ["--keep", "1"]):
        assert "stay" not in made.doit("gc", *words).stdout, words


def test_gc_keeps_what_is_linked(made: Repository) -> None:
    """What is current stays, although newer results of its step have been made."""
    made.write(CONFIG, {"hyperParameters": {"factor": 2}})
    states(made)
    for entry in stored(made.path / STORE, objects.ENTRIES):
        os.utime(entry, (NOW, NOW))
    for step in ("train", "evaluate"):
        os.utime(entry_of(made, step), (1, 1))

    made.doit("gc", "--keep", "1")

    kept = {path.parent.name + path.name for path in stored(made.path / STORE, objects.ENTRIES)}
    linked = {made.json(f"build/models/{NAME}/{s}/{RUN}")["key"] for s in ("train", "evaluate")}
    assert linked < kept
    assert 4 == len(kept)


def test_gc_keeps_what_branches_and_tags_need(made: Repository) -> None:
    """What a checkout would restore stays; what was made of uncommitted files goes."""

    def git(*words: str) -> None:
        options = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        subprocess.run(["git", *options, *words], cwd=made.path, check=True)

    made.write(".gitignore", "build/\n")
    git("init", "-q", "-b", "main", ".")
    for factor, name in ((2, "branch"), (3, "v1")):
        made.write(CONFIG, {"hyperParameters": {"factor": factor}})
        git("add", ".")
        git("commit", "-qm", name)
        git("branch" if name == "branch" else "tag", name)
    git("checkout", "-q", "--detach")
    git("branch", "-qD", "main")
    for factor in (5, 6):
        made.write(CONFIG, {"hyperParameters": {"factor": factor}})
        states(made)

    made.doit("gc", "--keep", "0")

    for factor, state in ((2, "restored"), (3, "restored"), (4, "ran"), (5, "ran")):
        made.write(CONFIG, {"hyperParameters": {"factor": factor}})
        assert (0, dict.fromkeys(STEPS, state)) == states(made)


LATE = """
import sys
from tasks import front, storekeeping

real = storekeeping.stock

def stock(root):
    storekeeping.stock = real
    return storekeeping.Stock((), {}, {})

storekeeping.stock = stock
sys.argv[0] = "doit"
sys.exit(front.main())
"""


def test_gc_when_results_come_while_it_looks(made: Repository, tmp_path: Path) -> None:
    """Git is asked before anything goes, though nothing had to go at first."""
    subprocess.run(["git", "init", "-q", "."], cwd=made.path, check=True)
    before = stored(made.path / STORE, objects.ENTRIES)
    words = made.command("gc", "--keep", "0")[3:]

    done = subprocess.run(
        [sys.executable, "-c", LATE, *words], cwd=made.path, capture_output=True, text=True,
        env=made.variables(PATH=str(tmp_path)), check=False,
    )  # fmt: skip

    assert 3 == done.returncode
    assert "Git cannot be started" in done.stderr
    assert before == stored(made.path / STORE, objects.ENTRIES)


def test_gc_without_git(made: Repository, tmp_path: Path) -> None:
    """In a clone nothing goes that a branch may need, where Git cannot say what that is."""
    subprocess.run(["git", "init", "-q", "."], cwd=made.path, check=True)
    before = stored(made.path / STORE, objects.ENTRIES)

    done = made.doit("gc", "--keep", "0", PATH=str(tmp_path))

    assert 3 == done.returncode
    assert "Git cannot be started" in done.stderr
    assert before == stored(made.path / STORE, objects.ENTRIES)


def test_gc_of_what_a_kill_left(made: Repository) -> None:
    """A file that is not whole is swept away by the next run; one that nobody needs by `gc`."""
    made.write(f"{STORE}/{objects.MAKING}/half", "half")
    lost = made.write(f"{STORE}/objects/ab/{'c' * 62}", "nobody's")

    made.doit("-a")
    assert [] == os.listdir(made.path / STORE / "tmp")
    assert lost.exists()

    made.doit("gc")
    assert not lost.exists()


def test_gc_of_a_store_of_others(made: Repository, tmp_path: Path) -> None:
    """`--shared` means the folder that `MODEL_STORE` names."""
    others = str(tmp_path / "others")
    made.doit("-a", MODEL_STORE=others)

    made.doit("clean", *STEPS)
    done = made.doit("gc", "--keep", "0", "--shared", MODEL_STORE=others)

    assert f"{others}: 2 results went, " in done.stdout
    assert [] == stored(Path(others), objects.OBJECTS)
    assert 6 == len(asked(made, "store")["results"])
    for address in ({}, {"MODEL_STORE": "http://127.0.0.1:9/x"}):
        done = made.doit("gc", "--shared", **address)
        assert 3 == done.returncode
        assert "`--shared` needs a folder in `MODEL_STORE`" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--keep", "-1"),
        ("--age", "3"),
        ("--age", "d"),
        ("--size", "big"),
        ("--size", "-1G"),
        ("--keep", "x"),
    ],
)
def test_measures_that_are_none(repository: Repository, words: tuple[str, str]) -> None:
    """A measure that is not understood is told, with one that is."""
    done = repository.doit("gc", *words)

    assert 3 == done.returncode
    assert words[1] in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("store", "gc"), "\n\nhint: `doit gc`"),
        (("store", "verify"), "\n\nhint: `doit verify`"),
        (("store", "churn"), ""),
    ],
)
def test_names(repository: Repository, words: tuple[str, str], hint: str) -> None:
    """The commands take none; who takes one for a part of another is told how it is called."""
    done = repository.doit(*words)

    said = f"ERROR: `doit store` takes no names, not `{words[1]}`{hint}\n"
    assert (3, said) == (done.returncode, done.stderr)


def test_verify(made: Repository) -> None:
    """`doit verify` finds what is spoilt, removes it, and then finds nothing."""
    spoil(object_of(made, "models/model.txt"))
    torn = entry_of(made, "evaluate")
    torn.write_text("{")

    done = made.doit("verify")

    assert 1 == done.returncode
    assert "is not what was stored" in done.stdout
    assert f"the result {torn.parent.name}{torn.name[:10]}: its entry cannot be read" in done.stdout
    assert "2 things removed" in done.stdout
    done = made.doit("verify")
    assert (0, True) == (done.returncode, done.stdout.endswith("all as it was stored\n"))


def test_empty(repository: Repository) -> None:
    """A store that is not there is empty."""
    assert [] == asked(repository, "store")["results"]
    assert 0 == asked(repository, "gc")["results"]
    assert 0 == asked(repository, "verify")["objects"]


def test_what_is_not_ours(made: Repository) -> None:
    """Files of other programs are left alone; one that is no result is unsound."""
    for path in ("objects/.DS_Store", "results/ab/.nfs01", "objects/notes"):
        made.write(f"{STORE}/{path}", "other")

    assert 6 == len(asked(made, "store")["results"])
    assert 4 == asked(made, "gc", "--keep", "1")["results"]
    assert [] == asked(made, "verify")["unsound"]
    assert made.read(f"{STORE}/objects/.DS_Store") == "other"


def test_what_cannot_be_read(made: Repository) -> None:
    """What cannot be read may be good: nothing is removed, and it is said."""
    entry = entry_of(made)
    entry.unlink()
    entry.mkdir()  # as unreadable as a file can be, for root too

    for words in (["store"], ["gc", "--keep", "0"], ["verify"]):
        done = made.doit(*words)
        assert 3 == done.returncode
        assert "The store cannot be worked on: " in done.stderr
        assert "Traceback" not in done.stderr
    assert 5 == len(stored(made.path / STORE, objects.ENTRIES))


def test_used_lately_in_another_clone(made: Repository, tmp_path: Path) -> None:
    """What was restored a moment ago is not old in the shared store either."""
    others = str(tmp_path / "others")
    made.doit("-a", MODEL_STORE=others)
    for path in stored(Path(others), objects.ENTRIES):
        os.utime(path, (1, 1))
    made.doit("clean", *STEPS)
    assert (0, dict.fromkeys(STEPS, "restored")) == states(made, MODEL_STORE=others)
    made.doit("clean", *STEPS)

    done = made.doit("gc", "--keep", "0", "--age", "30d", "--shared", MODEL_STORE=others)

    assert "0 results went" in done.stdout


def test_a_folder_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    """A misspelt folder is no empty store."""
    for command in ("store", "gc", "verify"):
        done = repository.doit(command, "--shared", MODEL_STORE=f"{tmp_path}/misspelt")
        assert 3 == done.returncode
        assert f"There is no folder `{tmp_path}/misspelt`" in done.stderr


def test_checkpoints_of_steps_that_were_given_up(tmp_path: Path) -> None:
    """They go after a week; newer ones are still to be gone on from."""
    for name, days in (("a", 8), ("b", 6)):
        path = tmp_path / objects.place("checkpoints", name * 64)
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, times=2 * (time.time() - days * DAY,))

    storekeeping.collect(str(tmp_path), lambda _stock: [])

    assert ["b" * 62] == [path.name for path in (tmp_path / "checkpoints").glob("*/*")]
