"""Nothing is made twice: results are filed by their key, restored, and never wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import objects, shared
from tasks.objects import Entry

if TYPE_CHECKING:
    from tests.conftest import Repository

NAME = "good-python"
CONFIG = f"model_definitions/{NAME}/config.json"
STEPS = (f"train:{NAME}", f"evaluate:{NAME}")
STORE = "build/store"


@pytest.fixture(scope="module")
def original(shared: Repository) -> Repository:
    """Return a repository with a model that is trained and evaluated."""
    shared.add(NAME)
    assert (0, dict.fromkeys(STEPS, "ran")) == states(shared)
    return shared


@pytest.fixture
def made(original: Repository, tmp_path: Path) -> Repository:
    """Return a copy of it."""
    return original.copied(tmp_path / "repository")


def states(repository: Repository, **variables: str) -> tuple[int, dict[str, str]]:
    """Run doit; return its exit status, and the state that each step ended in."""
    status, events = told(repository, **variables)
    return status, {e["step"]: e["state"] for e in events if e["event"] == "finish"}


def told(repository: Repository, **variables: str) -> tuple[int, list[dict[str, object]]]:
    """Run doit; return its exit status and all that it tells."""
    done = repository.doit("run", "--reporter", "json", **variables)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def warnings(events: list[dict[str, object]]) -> str:
    """Return all warnings of a run."""
    return "\n".join(str(e["message"]) for e in events if e["event"] == "warning")


def contents(repository: Repository) -> dict[str, bytes]:
    """Return the bytes of every file of the results."""
    top = repository.path / "build/models"
    return {
        os.path.relpath(f"{folder}/{name}", top): Path(folder, name).read_bytes()
        for folder, _, names in os.walk(top, followlinks=True)
        for name in names
    }


def unmake(repository: Repository) -> None:
    """Remove the results, and all else that is not the store."""
    for name in os.listdir(repository.path / "build"):
        if name != "store":
            path = repository.path / "build" / name
            (shutil.rmtree if path.is_dir() else os.remove)(path)


def clone(repository: Repository, name: str) -> Repository:
    """Return another repository with the same models, and no results."""
    path = repository.path.parent / name
    shutil.copytree(
        repository.path / "model_definitions", path / "model_definitions", symlinks=True
    )
    return replace(repository, path=path)


def stored(top: Path, kind: str) -> list[Path]:
    """Return every file of a kind in a store."""
    return sorted(path for path in (top / kind).rglob("*") if path.is_file())


def object_of(repository: Repository, name: str, top: Path | None = None) -> Path:
    """Return where the store has a file of the training's result."""
    digest = repository.json(f"build/models/{NAME}/train/run.json")["outputs"][name]
    return (top or repository.path / STORE) / objects.place(objects.OBJECTS, digest)


def spoil(path: Path) -> None:
    """Flip a bit of a file, behind the back of its times."""
    before = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class TestRestored:
    """A step whose key is known does not run."""

    def test_back_to_what_it_was(self, made: Repository) -> None:
        """Another configuration and back: the first results stand again, byte for byte."""
        first, config = contents(made), made.read(CONFIG)
        made.write(CONFIG, {"hyperParameters": {"factor": 3}})
        assert (0, dict.fromkeys(STEPS, "ran")) == states(made)
        assert first != contents(made)

        made.write(CONFIG, config)
        status, events = told(made)

        ended = [e for e in events if e["event"] == "finish"]
        assert (0, ["restored", "restored"]) == (status, [e["state"] for e in ended])
        seconds = made.json(f"build/models/{NAME}/train/run.json")["seconds"]
        assert seconds == ended[0]["saved"]
        assert first == contents(made)
        assert made.doit().stdout == "nothing to do: 2 steps are up to date\n"

    def test_branches(self, made: Repository) -> None:
        """Switching branches in Git, there and back, trains each once."""

        def git(*words: str) -> None:
            options = ("-c", "user.name=a", "-c", "user.email=a@b.example")
            subprocess.run(["git", *options, *words], cwd=made.path, check=True)

        made.write(".gitignore", "build/\n")
        git("init", "-q", "-b", "main", ".")
        git("add", ".")
        git("commit", "-qm", "a model")
        git("checkout", "-qb", "other")
        made.write(CONFIG, {"hyperParameters": {"factor": 5}})
        git("commit", "-qam", "another factor")
        assert "2 ran" in made.doit().stdout

        for branch in ("main", "other", "main"):
            git("checkout", "-q", branch)
            assert "2 steps: 2 restored" in made.doit().stdout

    def test_what_is_shown(self, made: Repository) -> None:
        """What was saved is told; what the model once printed has not been printed now."""
        training = f"model_definitions/{NAME}/model_modules/training.py"
        made.write(training, made.read(training) + "    print('one')\n    print('two')\n")
        made.doit()
        unmake(made)

        shown = made.doit().stdout

        assert " restored " in shown
        assert "two" not in shown
        assert "2 steps: 2 restored in " in shown
        assert " instead of " in shown.splitlines()[-1]

    def test_without_an_environment(self, made: Repository, tmp_path: Path) -> None:
        """Nothing is built for what is restored."""
        unmake(made)

        assert (0, dict.fromkeys(STEPS, "restored")) == states(
            made, MODEL_CACHE=str(tmp_path / "empty")
        )
        assert not (tmp_path / "empty/environments").exists()

    def test_files_are_shared_with_the_store(self, made: Repository) -> None:
        """A big file takes no room twice where a link or a clone can be made; a small one does."""
        training = f"model_definitions/{NAME}/model_modules/training.py"
        more = "    with open('models/big.bin', 'wb') as big:\n        big.write(bytes(1 << 20))\n"
        made.write(training, made.read(training) + more)
        made.doit()
        result = made.path / f"build/models/{NAME}/train/models"
        big, small = (object_of(made, f"models/{name}") for name in ("big.bin", "model.txt"))

        assert 0 == (big.stat().st_mode | small.stat().st_mode) & 0o222
        assert os.path.samefile(result / "big.bin", big) or _can_clone(made.path)
        assert not os.path.samefile(result / "model.txt", small)
        assert (result / "model.txt").read_bytes() == small.read_bytes()

    def test_the_longest_name_of_a_file(self, made: Repository) -> None:
        """What could be filed can be restored."""
        name = "models/" + "x" * 255
        training = f"model_definitions/{NAME}/model_modules/training.py"
        made.write(training, made.read(training) + f"    open('{name}', 'w').write('long')\n")
        made.doit()
        unmake(made)

        assert (0, dict.fromkeys(STEPS, "restored")) == states(made)
        assert "long" == made.read(f"build/models/{NAME}/train/{name}")

    def test_forget_clean_and_always(self, made: Repository) -> None:
        """What was cleaned is restored; what was forgotten runs, and with `-a` everything."""
        made.doit("clean", *STEPS)
        assert (0, dict.fromkeys(STEPS, "restored")) == states(made)

        made.doit("forget", *STEPS)
        assert (0, dict.fromkeys(STEPS, "ran")) == states(made)

        assert "2 steps: 2 ran" in made.doit("-a").stdout

    def test_what_is_no_part_of_the_build(self, made: Repository, tmp_path: Path) -> None:
        """A run apart neither takes a result from the store nor puts one in."""
        before = stored(made.path / STORE, objects.ENTRIES)
        runner = Path(__file__).parent.parent / "cli/run-model-cli.py"
        words = ["python3", str(runner), "-id", NAME, "-m", "train", "-o", str(tmp_path / "out")]

        done = subprocess.run(
            words, cwd=made.path, env=made.variables(), capture_output=True, text=True, check=False
        )

        assert 0 == done.returncode, done.stdout + done.stderr
        assert "restored" not in done.stdout
        assert before == stored(made.path / STORE, objects.ENTRIES)


def _can_clone(folder: Path) -> bool:
    done = subprocess.run(
        ["cp", "--reflink=always", f"{folder}/{CONFIG}", f"{folder}/clone"], check=False
    )
    return done.returncode == 0


def twisted(path: Path, **changes: str) -> None:
    """Change values of an entry."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def entry_of(repository: Repository, step: str = "train", top: Path | None = None) -> Path:
    """Return where the store has the entry of a step's result."""
    key = repository.json(f"build/models/{NAME}/{step}/run.json")["key"]
    return (top or repository.path / STORE) / objects.place(objects.ENTRIES, key)


class TestUnsound:
    """What is not as it was stored costs a run, never a wrong result."""

    def assert_made_anew(self, made: Repository, warning: str) -> None:
        """Assert that training runs with a warning, is right, and is stored well again."""
        status, events = told(made)
        ended = {e["step"]: e["state"] for e in events if e["event"] == "finish"}
        assert (0, "ran") == (status, ended[f"train:{NAME}"])
        assert warning in warnings(events)
        assert "20.0" == made.read(f"build/models/{NAME}/train/models/model.txt")
        unmake(made)
        assert (0, dict.fromkeys(STEPS, "restored")) == states(made)

    @pytest.mark.parametrize("name", ["models/model.txt", "artefacts.json"])
    def test_spoilt_object(self, made: Repository, name: str) -> None:
        """A file of the result has a flipped bit, and the times and size that it had."""
        place = object_of(made, name)
        unmake(made)
        spoil(place)
        self.assert_made_anew(made, "its stored result is not used: object ")

    def test_missing_object(self, made: Repository) -> None:
        """A file of the result is gone."""
        place = object_of(made, "models/model.txt")
        unmake(made)
        place.unlink()
        self.assert_made_anew(made, " is gone")

    def test_spoilt_record(self, made: Repository) -> None:
        """The record has a flipped bit."""
        place = entry_of(made)
        record = json.loads(place.read_text())["record"]
        unmake(made)
        spoil(made.path / STORE / objects.place(objects.OBJECTS, record))
        self.assert_made_anew(made, f"object {record[:12]} is not what was stored")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "\0"])
    def test_torn_entry(self, made: Repository, text: str) -> None:
        """The entry is torn, or something else."""
        place = entry_of(made)
        unmake(made)
        place.write_text(text)
        self.assert_made_anew(made, "its entry cannot be read")

    def test_entry_of_another_step(self, made: Repository) -> None:
        """The entry leads to the record of the evaluation."""
        place, other = entry_of(made), json.loads(entry_of(made, "evaluate").read_text())
        unmake(made)
        twisted(place, record=other["record"])
        self.assert_made_anew(made, "its record is that of something else")

    def test_edited_result(self, made: Repository) -> None:
        """An artefact that was edited in place is seen."""
        model = made.path / f"build/models/{NAME}/train/models/model.txt"
        model.chmod(0o644)
        model.write_text("21.0")
        status, events = told(made)
        ended = {e["step"]: e["state"] for e in events if e["event"] == "finish"}
        assert (0, f"train:{NAME}") == (status, next(iter(ended)))
        assert "20.0" == model.read_text()

    def test_no_room(self, made: Repository) -> None:
        """Where nothing can be stored, the result stands all the same."""
        made.doit("forget", *STEPS)
        shutil.rmtree(made.path / STORE)
        made.write(STORE, "no folder")

        status, events = told(made)

        assert 0 == status
        assert "the result is not kept in build/store: " in warnings(events)
        assert made.doit().stdout == "nothing to do: 2 steps are up to date\n"


@pytest.fixture
def others(tmp_path: Path) -> str:
    """Return the address of a store that is shared."""
    return str(tmp_path / "others")


class TestShared:
    """A store that others use as well."""

    def test_another_clone(self, repository: Repository, others: str) -> None:
        """What one has made, another has restored; then it is in the other's own store too."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        other = clone(repository, "other")

        assert (0, dict.fromkeys(STEPS, "restored")) == states(other, MODEL_STORE=others)
        assert contents(repository) == contents(other)
        unmake(other)
        assert (0, dict.fromkeys(STEPS, "restored")) == states(other)

    def test_what_was_made_before(self, made: Repository, others: str) -> None:
        """A result that is restored from here is shared then."""
        unmake(made)
        states(made, MODEL_STORE=others)

        other = clone(made, "other")
        assert (0, dict.fromkeys(STEPS, "restored")) == states(other, MODEL_STORE=others)

    def test_forgotten(self, repository: Repository, others: str) -> None:
        """What was forgotten runs again, although others still have it; then it is theirs."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        repository.doit("forget", *STEPS, MODEL_STORE=others)
        for file in (repository.path / "build").glob("state.db*"):
            file.unlink()

        assert (0, dict.fromkeys(STEPS, "ran")) == states(repository, MODEL_STORE=others)
        made = json.loads(entry_of(repository).read_text())["record"]
        assert made == json.loads(entry_of(repository, top=Path(others)).read_text())["record"]

    def test_an_acceptance_takes_no_place(self, repository: Repository, others: str) -> None:
        """Where somebody has made it, nothing is accepted in its place; nor is that shared."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        other = clone(repository, "other")
        states(other, MODEL_STORE=others)
        for one in (repository, other):
            one.write(CONFIG, {"hyperParameters": {"factor": 7}})
        states(repository, MODEL_STORE=others)

        done = other.doit("accept", STEPS[0], "--why", "no matter", MODEL_STORE=others)
        assert done.returncode
        assert "The store has a result of" in done.stderr
        assert 0 == other.doit("accept", STEPS[0], "--why", "no matter").returncode
        unmake(repository)
        shutil.rmtree(repository.path / STORE)
        other.doit("clean", STEPS[0])
        other.doit(STEPS[0], MODEL_STORE=others)

        assert (0, dict.fromkeys(STEPS, "restored")) == states(repository, MODEL_STORE=others)
        assert "70.0" == repository.read(f"build/models/{NAME}/train/models/model.txt")

    def test_a_home_and_odd_names(self, repository: Repository, tmp_path: Path) -> None:
        """A folder's name is taken as it is, but for the home at its beginning."""
        repository.add(NAME)
        for address, folder in (("~/s", "home/s"), (f"{tmp_path}/a::b#c[x]*", "a::b#c[x]*")):
            done = repository.doit("-a", MODEL_STORE=address, HOME=str(tmp_path / "home"))
            assert "warning" not in done.stdout
            assert (tmp_path / folder / objects.ENTRIES).is_dir()
        assert not (repository.path / "~").exists()

    def test_gone(self, repository: Repository, tmp_path: Path) -> None:
        """A store that is not there costs one warning."""
        repository.add(NAME)
        (tmp_path / "file").write_text("no folder")

        status, events = told(repository, MODEL_STORE=f"{tmp_path}/file/store")

        assert 0 == status
        assert 1 == warnings(events).count("is left alone in this run")

    def test_read_only(self, repository: Repository, others: str) -> None:
        """Nothing is written to a store that is to be read only."""
        repository.add(NAME)
        variables = {"MODEL_STORE": others, "MODEL_STORE_READ_ONLY": "1"}

        status, events = told(repository, **variables)
        assert 0 == status
        assert "there is no such folder" in warnings(events)

        Path(others).mkdir()
        repository.doit("-a", **variables)
        assert [] == os.listdir(others)

    def test_what_cannot_be_written_is_read(self, repository: Repository, others: str) -> None:
        """A store that takes nothing, as on a disk that is only read, still gives what it has."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        other = clone(repository, "other")
        first = other.path / "model_definitions/a-new-one"
        shutil.copytree(other.path / f"model_definitions/{NAME}", first)
        document = json.loads((first / "model.json").read_text())
        (first / "model.json").write_text(json.dumps({**document, "id": "new", "name": "New"}))
        shutil.rmtree(f"{others}/{objects.MAKING}")
        Path(others, objects.MAKING).write_text("no folder")

        done = other.doit("run", "-n", "1", "--reporter", "json", MODEL_STORE=others)

        events = [json.loads(line) for line in done.stdout.splitlines()]
        ended = {e["step"]: e["state"] for e in events if e["event"] == "finish"}
        assert ["train:a-new-one", "ran"] == list(next(iter(ended.items())))
        assert dict.fromkeys(STEPS, "restored") == {step: ended[step] for step in STEPS}
        assert 1 == warnings(events).count(f"nothing more is put into the store {others} in this")
        assert "is left alone" not in warnings(events)

    def test_spoilt(self, repository: Repository, others: str) -> None:
        """A spoilt object is not believed, and made good by whoever may write."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        spoil(object_of(repository, "models/model.txt", Path(others)))
        other = clone(repository, "other")

        status, events = told(other, MODEL_STORE=others)

        assert 0 == status
        assert "is not what was stored" in warnings(events)
        assert "20.0" == other.read(f"build/models/{NAME}/train/models/model.txt")
        third = clone(repository, "third")
        assert "restored" == states(third, MODEL_STORE=others)[1][f"train:{NAME}"]

    @pytest.mark.parametrize("lost", ["all", "one", "a part of one"])
    def test_lost(self, repository: Repository, others: str, lost: str) -> None:
        """Whoever has a result puts back what is lost, so that those who only read have it."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        path = object_of(repository, "models/model.txt", Path(others))
        if lost == "all":
            shutil.rmtree(Path(others) / objects.OBJECTS)
        elif lost == "one":
            path.unlink()
        else:
            path.chmod(0o644)
            path.write_text("2")
        unmake(repository)
        assert (0, dict.fromkeys(STEPS, "restored")) == states(repository, MODEL_STORE=others)

        reader = clone(repository, "reader")
        assert (0, dict.fromkeys(STEPS, "restored")) == states(
            reader, MODEL_STORE=others, MODEL_STORE_READ_ONLY="1"
        )

    def test_what_is_spoilt_here_is_fetched(self, repository: Repository, others: str) -> None:
        """An object that is spoilt here comes from the store of others."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        place = object_of(repository, "models/model.txt")
        unmake(repository)
        spoil(place)

        assert (0, dict.fromkeys(STEPS, "restored")) == states(repository, MODEL_STORE=others)

    def test_no_way_out_of_the_folder(self, repository: Repository, others: str) -> None:
        """A forged record writes nowhere but into its result."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        place = entry_of(repository, top=Path(others))
        path = Path(others) / objects.place(
            objects.OBJECTS, json.loads(place.read_text())["record"]
        )
        record = json.loads(path.read_text())
        record["outputs"]["../../../../escaped"] = record["outputs"]["models/model.txt"]
        forged = repository.write("forged", record)
        digest = objects.digest_of(str(forged))
        shutil.copy(forged, Path(others, objects.place(objects.OBJECTS, digest)).parent.parent)
        target = Path(others, objects.place(objects.OBJECTS, digest))
        target.parent.mkdir(exist_ok=True)
        shutil.move(forged, target)
        twisted(place, record=digest)
        other = clone(repository, "other")

        _, events = told(other, MODEL_STORE=others)

        assert "would lie outside" in warnings(events)
        assert not list(other.path.rglob("escaped"))

    @pytest.mark.parametrize(
        ("secrets", "state"),
        [
            (("a", "a"), "restored"),
            (("a", "b"), "ran"),
            (("", "a"), "ran"),
            (("a", ""), "restored"),
        ],
    )
    def test_signature(
        self, repository: Repository, others: str, secrets: tuple[str, str], state: str
    ) -> None:
        """Where a key is given, only what was signed with it is believed."""
        repository.add(NAME)
        made, asked = ({"MODEL_STORE_KEY": key} if key else {} for key in secrets)
        states(repository, MODEL_STORE=others, **made)
        other = clone(repository, "other")

        status, events = told(other, MODEL_STORE=others, **asked)

        ended = {e["step"]: e["state"] for e in events if e["event"] == "finish"}
        assert (0, dict.fromkeys(STEPS, state)) == (status, ended)
        assert ("is not signed with MODEL_STORE_KEY" in warnings(events)) == (state == "ran")

    def test_what_was_fetched_is_not_signed(self, repository: Repository, others: str) -> None:
        """A result that was taken without a key is neither believed nor shared with one."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        victim, third = clone(repository, "victim"), clone(repository, "third")
        assert (0, dict.fromkeys(STEPS, "restored")) == states(victim, MODEL_STORE=others)
        fetched = entry_of(victim).read_bytes()
        unmake(victim)
        signed = {"MODEL_STORE_KEY": "secret"}

        status, events = told(victim, **signed)

        ended = {e["step"]: e["state"] for e in events if e["event"] == "finish"}
        assert (0, dict.fromkeys(STEPS, "ran")) == (status, ended)
        assert "it was fetched, and is not signed with MODEL_STORE_KEY" in warnings(events)
        entry_of(victim).write_bytes(fetched)
        unmake(victim)
        assert "ran" == states(victim, MODEL_STORE=others, **signed)[1][STEPS[0]]
        assert (0, dict.fromkeys(STEPS, "restored")) == states(third, MODEL_STORE=others, **signed)
        record = f"build/models/{NAME}/train/run.json"
        assert victim.read(record) == third.read(record) != repository.read(record)

    def test_what_was_fetched_with_a_signature(self, repository: Repository, others: str) -> None:
        """It stays signed, also where it went through a clone without the key."""
        repository.add(NAME)
        signed = {"MODEL_STORE_KEY": "secret"}
        states(repository, MODEL_STORE=others, **signed)
        other = clone(repository, "other")
        states(other, MODEL_STORE=others)
        unmake(other)
        shutil.rmtree(others)

        assert (0, dict.fromkeys(STEPS, "restored")) == states(other, MODEL_STORE=others)
        unmake(other)
        assert (0, dict.fromkeys(STEPS, "restored")) == states(other, **signed)
        third = clone(repository, "third")
        assert (0, dict.fromkeys(STEPS, "restored")) == states(third, MODEL_STORE=others, **signed)

    def test_an_acceptance_does_not_sign(self, repository: Repository, others: str) -> None:
        """What was fetched without a signature gets none by being accepted."""
        repository.add(NAME)
        states(repository, MODEL_STORE=others)
        victim, third = clone(repository, "victim"), clone(repository, "third")
        states(victim, MODEL_STORE=others)
        for one in (victim, third):
            one.write(CONFIG, {"hyperParameters": {"factor": 7}})
        signed = {"MODEL_STORE_KEY": "secret"}

        done = victim.doit("accept", STEPS[0], "--why", "no matter", MODEL_STORE=others, **signed)

        assert 0 == done.returncode, done.stderr
        assert "ran" == states(third, MODEL_STORE=others, **signed)[1][STEPS[0]]

    def test_the_secret_stays_with_the_runner(self, made: Repository, others: str) -> None:
        """A model cannot read what signs."""
        training = f"model_definitions/{NAME}/model_modules/training.py"
        made.write(
            training,
            made.read(training) + "    import os\n    assert 'MODEL_STORE_KEY' not in os.environ\n",
        )
        variables = {"MODEL_STORE": others, "MODEL_STORE_KEY": "secret"}
        assert "ran" == states(made, **variables)[1][STEPS[0]]

    @pytest.mark.parametrize("address", ["ftp://host/x", "s4://bucket"])
    def test_unknown_address(self, made: Repository, address: str) -> None:
        """An address of another kind is told before anything runs."""
        done = made.doit(MODEL_STORE=address)

        assert 3 == done.returncode
        assert "`MODEL_STORE` is no address of a store" in done.stderr

    def test_package_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A kind of store that needs a package which is not there says which."""
        monkeypatch.setitem(shared.PACKAGES, "s3", "package_that_nobody_has")
        monkeypatch.setenv("MODEL_STORE", "s3://bucket/models")
        with pytest.raises(shared.UserError, match="needs the package `package_that_nobody_has`"):
            shared.check()


class TestEntry:
    """Which record belongs to a key."""

    def test_round_trip(self) -> None:
        """What is written is read again; only the secret that signed it verifies it."""
        entry = Entry("a" * 64, "b" * 64).signed("secret")

        assert entry == objects.read_entry(entry.key, entry.written())
        assert entry.is_signed("secret")
        assert not Entry("a" * 64, "b" * 64, "\udcff\u00e9").is_signed("secret")
        assert not entry.is_signed("other")
        assert not Entry("c" * 64, "b" * 64, entry.signature).is_signed("secret")
        assert not Entry("a" * 64, "c" * 64, entry.signature).is_signed("secret")

    def test_whether_it_was_fetched(self) -> None:
        """It is kept; an entry of before, which does not say, was made here."""
        entry = Entry("a" * 64, "b" * 64, fetched=True)
        before = {"format": 1, "key": "a" * 64, "record": "b" * 64, "signature": ""}

        assert entry == objects.read_entry(entry.key, entry.written())
        assert not objects.read_entry(entry.key, json.dumps(before).encode()).fetched

    def test_of_another_key(self) -> None:
        """An entry counts under its own key alone."""
        with pytest.raises(objects.Unsound, match="something else"):
            objects.read_entry("c" * 64, Entry("a" * 64, "b" * 64).written())

    @pytest.mark.parametrize("record", ["", "b" * 63, "../" + "b" * 61, "B" * 64])
    def test_record_that_is_no_digest(self, record: str) -> None:
        """A record's digest is one, and no path."""
        with pytest.raises(objects.Unsound):
            objects.read_entry("a" * 64, Entry("a" * 64, record).written())
