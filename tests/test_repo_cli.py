"""cli/repo-cli.py: models made, listed, renamed and removed, and what can go wrong with each."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.plan import file_name
from tasks.runs import hold
from tests.assertions import assert_works, results
from tests.cli import COMMAND, CTRL_C, DOWN, ENTER, Terminal, files, made, repo_cli
from tests.conftest import GALLERY, RUNNER

if TYPE_CHECKING:
    from tests.conftest import Repository

MARKED = "# Models\n\n<!-- models -->\n<!-- /models -->\n"


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Return the exit status, the first line of the error, and its hint."""
    lines = done.stderr.splitlines() or [""]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    return done.returncode, lines[0], "".join(hints)


class TestAdd:
    """`-a`: a model from a template."""

    def test_with_options(self, repository: Repository) -> None:
        """What is said goes into model.json; the id is fresh, the rest the template's."""
        model = made(
            repository.path, "--name", "Größe & Co.", "--description", 'Says "how\tmuch" | why',
            "--language", "r", "--template", "gbm",
        )  # fmt: skip
        document = json.loads((model / "model.json").read_text())

        assert "grosse-co" == model.name
        assert str(uuid.UUID(document["id"])) == document.pop("id")
        assert {
            "name": "Größe & Co.",
            "description": 'Says "how much" | why',
            "language": "R",
            "python": ">=3.10",
            "evaluation": {"thresholds": {"accuracy": {"min": 0.7}}},
        } == document

    def test_with_nothing_said(self, repository: Repository) -> None:
        """With --yes alone the least model is made, and the next commands are told."""
        done = repo_cli(repository.path, "-a", "--yes")

        assert (0, "") == (done.returncode, done.stderr)
        assert "made model_definitions/new-model from python/empty" == done.stdout.splitlines()[0]
        assert re.search(r"(?m)^  doit .*evaluate:new-model$", done.stdout)
        assert 0 == repository.doit("evaluate:new-model").returncode

    def test_two_have_two_ids(self, repository: Repository) -> None:
        """Each model has an id of its own."""
        models = [made(repository.path, "--name", name) for name in "ab"]

        assert 2 == len({json.loads((one / "model.json").read_text())["id"] for one in models})

    def test_from_a_folder_below(self, repository: Repository) -> None:
        """The repository is found from any folder in it."""
        below = repository.path / "some/where"
        below.mkdir(parents=True)

        assert 0 == repo_cli(below, "-a", "--yes").returncode
        assert (repository.path / "model_definitions/new-model/model.json").exists()

    def test_with_lines_on_stdin(self, repository: Repository) -> None:
        """Without a terminal questions are plain lines; an empty description is the template's."""
        done = repo_cli(repository.path, "-a", stdin="Mine\n\nsql\nnaive-bayes\n")

        assert 0 == done.returncode, done.stderr
        assert "sql" == repository.json("model_definitions/mine/model.json")["language"]

    def test_where_the_lines_end(self, repository: Repository) -> None:
        """Where nobody answers, nothing is made."""
        done = repo_cli(repository.path, "-a", stdin="Mine\n")

        assert (1, "`--description` gives the answer") == told(done)[::2]
        assert ["model_definitions"] == files(repository.path)

    def test_by_keys(self, repository: Repository) -> None:
        """On a terminal, arrow keys choose, and typing a part of a name does."""
        terminal = Terminal.opened(repository.path, "-a")
        terminal.answer("Model name", f"Typed{ENTER}")
        terminal.answer("Model description", f"By hand{ENTER}")
        terminal.answer("Model language", DOWN + DOWN + ENTER)
        terminal.answer("Template", f"naiv{ENTER}")

        terminal.wait_for("made model_definitions/typed from sql/naive-bayes")
        assert 0 == terminal.status()
        document = repository.json("model_definitions/typed/model.json")
        assert ("Typed", "By hand") == (document["name"], document["description"])

    @pytest.mark.parametrize("answered", range(4))
    def test_ctrl_c_at_a_question(self, repository: Repository, answered: int) -> None:
        """Ctrl-C at any question leaves nothing, and the status is that of an interruption."""
        terminal = Terminal.opened(repository.path, "-a")
        questions = ("Model name", "Model description", "Model language", "Template")
        for question in questions[:answered]:
            terminal.answer(question, f"x{ENTER}" if question == "Model name" else ENTER)
        terminal.answer(questions[answered], CTRL_C)

        assert 130 == terminal.status()
        assert ["model_definitions"] == files(repository.path)

    def test_killed_in_the_middle(self, repository: Repository) -> None:
        """A template that takes for ever is interrupted: nothing is left."""
        source = repository.path / "model_templates/python/slow"
        shutil.copytree(RUNNER / "model_templates/python/empty", source)
        os.mkfifo(source / "never.jinja")  # it is no file, so that it is left out
        (source / "slow.txt.jinja").write_text(
            "{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        )
        before = files(repository.path)
        words = ["-a", "--yes", "--template", "slow"]
        process = subprocess.Popen([*COMMAND, *words], cwd=repository.path, stderr=subprocess.PIPE)
        while not list(repository.path.glob(".new-*/made")):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)

        process.communicate()
        assert 143 == process.returncode
        assert before == files(repository.path)

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("../../etc", "etc"),
            ("$(touch x); rm -rf *", "touch-x-rm-rf"),
            ("a.b/c\\d:e@f=g*h", "a-b-c-d-e-f-g-h"),
            ("--yes", "yes"),
            ("Modèle Ünïcode", "modele-unicode"),
            ("模型 ガ", "模型-ガ"),
            ("x" * 300, "x" * 60),
        ],
    )
    def test_odd_names(self, repository: Repository, name: str, folder: str) -> None:
        """A folder is named by letters and digits; the name itself is kept, and a step is named."""
        model = made(repository.path, f"--name={name}")

        assert folder == model.name
        assert name == json.loads((model / "model.json").read_text())["name"]
        assert ["model_definitions"] == os.listdir(repository.path)
        assert f"train:{folder} must run" in repository.doit("why", f"train:{folder}").stdout

    @pytest.mark.parametrize("name", ["../..", "  ", "a\x1b[2J", "b\udcff"])
    def test_names_that_are_refused(self, repository: Repository, name: str) -> None:
        """A name without a letter, or with what cannot be shown, is no name."""
        done = repo_cli(repository.path, "-a", "--yes", f"--name={name}")

        assert 1 == done.returncode
        assert ["model_definitions"] == files(repository.path)

    def test_what_exists_is_refused(self, repository: Repository) -> None:
        """A folder that is there is left as it is, before anything else is asked."""
        repository.write("model_definitions/mine/notes.txt", "mine")

        done = repo_cli(repository.path, "-a", "--yes", "--name", "Mine")

        expected = "`model_definitions/mine` exists", "choose another name for the model"
        assert (1, *expected) == told(done)
        assert "mine" == repository.read("model_definitions/mine/notes.txt")

    @pytest.mark.parametrize(
        ("words", "headline", "hint"),
        [
            (["--template", "sklern"], "There is no template `sklern`", "did you mean `sklearn`?"),
            (
                ["--template", "./no"],
                "There is no folder `./no`",
                "`--list` shows the templates that have names; an address begins as `https://`",
            ),
            (
                ["--language", "pyton"],
                "There is no template for the language `pyton`",
                "did you mean `python`?",
            ),
            (
                ["--template", "empty", "--name", "a"],
                "`empty` names more than one template",
                "say `python/empty` or `R/empty` or `sql/empty`",
            ),
        ],
    )
    def test_wrong_words(
        self, repository: Repository, words: list[str], headline: str, hint: str
    ) -> None:
        """A word that is none is told with what is like it, and nothing is made."""
        done = repo_cli(repository.path, "-a", "--yes", *words)

        assert (1, headline, hint) == told(done)
        assert ["model_definitions"] == files(repository.path)

    def test_readme_that_cannot_be_written(self, repository: Repository) -> None:
        """A README with half of its markers is told before anything is made."""
        repository.write("README.md", "<!-- models -->\n")

        done = repo_cli(repository.path, "-a", "--yes")

        assert (1, "") == (done.returncode, done.stdout)
        assert "1 lines `<!-- models -->` and 0 lines" in done.stderr
        assert ["README.md", "model_definitions"] == files(repository.path)

    def test_outside_of_a_repository(self, tmp_path: Path) -> None:
        """Where there are no models, the way to begin is told."""
        status, headline, hint = told(repo_cli(tmp_path, "-a", "--yes"))

        assert (1, f"There is no `model_definitions/` in `{tmp_path}` or above it") == (
            status, headline,
        )  # fmt: skip
        assert "`cli/repo-cli.py --init DIR`" in hint

    def test_in_a_fresh_clone(self, repository: Repository) -> None:
        """With another Python's packages, the checkout's own environment is taken."""
        script = RUNNER / "cli/repo-cli.py"
        plain = ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "python3", "-I"]
        asked = [[*plain, "-c", "import tasks"], [*plain, str(script), "--list"]]
        other, done = (
            subprocess.run(words, cwd=repository.path, capture_output=True, text=True, check=False)
            for words in asked
        )

        assert 1 == other.returncode
        assert 0 == done.returncode, done.stderr
        assert "python/sklearn" in done.stdout


class TestOfTheRepository:
    """Templates that are not ours: the repository's own, older ones, and broken ones."""

    def write(self, repository: Repository, **more: str) -> Path:
        """Write a template `python/own`, and return its folder."""
        folder = "model_templates/python/own"
        repository.write(f"{folder}/model.json", {"language": "python"})
        repository.write(f"{folder}/model_modules/training.py", "def train(**kwargs): pass\n")
        for name, text in more.items():
            repository.write(f"{folder}/{name.replace('__', '.')}", text)
        return repository.path / folder

    def test_is_rendered(self, repository: Repository) -> None:
        """Only what ends in .jinja is rendered, with the facts of the model."""
        text = "{{ name }} {{ folder }} {{ description }} {{ language }}"
        self.write(repository, a__txt__jinja=text, b__sql="{{ data_conf.table }}")

        model = made(repository.path, "--name", "It", "--template", "own", "--description", "Does")

        assert "It it Does python" == (model / "a.txt").read_text()
        assert "{{ data_conf.table }}" == (model / "b.sql").read_text()

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{{ nmae }}", ":1: 'nmae' is undefined"),
            ("\n{{ 1 / 0 }}", ":2: division by zero"),
            ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
            ("one\n{% if %}", ":2: "),
            ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
        ],
    )
    def test_cannot_be_rendered(self, repository: Repository, text: str, reason: str) -> None:
        """A fault of a template names its file, and leaves nothing."""
        self.write(repository, a__txt__jinja=text)
        before = files(repository.path)

        done = repo_cli(repository.path, "-a", "--yes", "--template", "own")

        assert 1 == done.returncode
        assert "model_templates/python/own/a.txt.jinja" in done.stderr
        assert reason in done.stderr
        assert before == files(repository.path)

    def test_a_broken_one(self, repository: Repository) -> None:
        """One that cannot be read is told, and the others can be used."""
        repository.write("model_templates/python/broken/model.json", "{")

        done = repo_cli(repository.path, "-a", "--yes")

        assert 0 == done.returncode
        assert "warning: `" in done.stderr
        assert "model_templates/python/broken/model.json` cannot be read\n" in done.stderr

    def test_what_they_share(self, repository: Repository) -> None:
        """What stands beside the templates is in each, rendered, unless it has its own."""
        self.write(repository, own__txt="own")
        repository.write("model_templates/shared/own.txt", "shared")
        repository.write("model_templates/shared/data/about.txt.jinja", "data of {{ name }}")

        model = made(repository.path, "--name", "It", "--template", "own")

        assert "own" == (model / "own.txt").read_text()
        assert "data of It" == (model / "data/about.txt").read_text()

    def test_goes_before_ours(self, repository: Repository) -> None:
        """A template of the same name is the repository's."""
        shutil.move(self.write(repository), repository.path / "model_templates/python/sklearn")

        model = made(repository.path, "--template", "sklearn")

        assert ["model.json", "model_modules", "model_modules/training.py"] == files(model)

    def test_of_an_older_repository(self, repository: Repository) -> None:
        """One without model.json is a template too: its folder says the language."""
        self.write(repository)
        (repository.path / "model_templates/python/own/model.json").unlink()
        repository.write("model_templates/python/README.md", "no template")

        model = made(repository.path, "--template", "own")

        assert "python" == json.loads((model / "model.json").read_text())["language"]


class TestAnotherModel:
    """A path or a Git address as a template."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Return another repository with a model, its data beside it, and what is not copied."""
        source = tmp_path / "source"
        shutil.copytree(GALLERY / "good-python", source / "model_definitions/other")
        model = source / "model_definitions/other"
        (model / "datasets/train.json").write_text('{"data_path": "shared/data.csv"}')
        parts = {"parts": [{"data_path": ["shared/more.csv"]}, {"location": "shared/folder"}]}
        (model / "datasets/parts.json").write_text(json.dumps(parts))
        (model / "datasets/base.json").write_text('{"database": "shared/base.duckdb"}')
        (source / "shared").mkdir()
        shutil.move(model / "data.csv", source / "shared/data.csv")
        (source / "shared/folder").mkdir()
        for name in ("more.csv", "folder/part.csv", "base.duckdb", "base.duckdb.wal"):
            (source / "shared" / name).write_text("1\n")
        (source / "shared/folder/secret").symlink_to("../../secret")
        (source / "shared/folder/.#part.csv").symlink_to("me@host.1:2")
        (source / "secret").write_text("secret")
        for name in (".git", "build", "__pycache__"):
            (model / name).mkdir()
            (model / name / "file").write_text("left")
        (model / "link").symlink_to(source / "secret")
        (model / "link-to-a-folder").symlink_to(source)
        (model / "kept.jinja").write_text("{{ as it is }}")
        return source

    def git(self, folder: Path) -> str:
        """Commit a folder, and return its address."""
        for words in (
            "init -q",
            "add -Af",
            "-c user.name=a -c user.email=a@b.invalid commit -qm x",
        ):
            subprocess.run(["git", *words.split()], cwd=folder, check=True)
        return folder.as_uri()

    @pytest.mark.parametrize("behind", ["", "#other", "#model_definitions/other"])
    def test_by_its_path(self, repository: Repository, source: Path, behind: str) -> None:
        """The model is copied with the data that it finds in its repository, and works."""
        model = made(repository.path, "--name", "Mine", "--template", f"{source}{behind}")
        document = json.loads((model / "model.json").read_text())
        theirs = json.loads((source / "model_definitions/other/model.json").read_text())

        assert ("Mine", theirs["id"]) == (document["name"], document["source_model_id"])
        assert theirs["id"] != document["id"]
        assert "{{ as it is }}" == (model / "kept.jinja").read_text()
        assert set() == {"link", "link-to-a-folder", ".git", "build"} & set(os.listdir(model))
        names = ("data.csv", "more.csv", "folder/part.csv", "base.duckdb", "base.duckdb.wal")
        assert {f"shared/{name}" for name in names} == {
            name for name in files(model) if name.startswith("shared/") and "." in name
        }
        done = repository.doit("train:mine")
        assert 0 == done.returncode, done.stdout

    def test_by_a_path_from_here(self, repository: Repository, source: Path) -> None:
        """A path is seen from the folder where it is typed, and `.` has the model's name."""
        below = repository.path / "model_definitions"
        place = os.path.relpath(source / "model_definitions/other", below)

        done = repo_cli(below, "-a", "--yes", "--template", place)

        assert (0, "") == (done.returncode, done.stderr)
        assert "made model_definitions/new-model from other\n" in done.stdout

    def test_a_password_in_an_address(self, repository: Repository) -> None:
        """It is not shown where the address cannot be cloned."""
        address = "http://me:hunter2@127.0.0.1:9/models.git"

        done = repo_cli(repository.path, "-a", "--yes", "--template", address)

        assert (1, "`http://***@127.0.0.1:9/models.git` cannot be cloned") == told(done)[:2]
        assert "hunter2" not in done.stderr

    def test_by_git(self, repository: Repository, source: Path) -> None:
        """An address is cloned, and the clone is gone afterwards."""
        shutil.rmtree(source / "model_definitions/other/.git")
        before = set(Path(os.environ.get("TMPDIR", "/tmp")).glob("model-template-*"))  # noqa: S108

        model = made(repository.path, "--template", f"{self.git(source)}#other")

        assert "shared/data.csv" in files(model)
        assert before == set(Path(os.environ.get("TMPDIR", "/tmp")).glob("model-template-*"))  # noqa: S108

    def test_data_from_outside_stays_there(self, repository: Repository, source: Path) -> None:
        """A dataset that leads out of its repository brings nothing in."""
        dataset = source / "model_definitions/other/datasets/train.json"
        dataset.write_text('{"url": "../outside.csv"}')
        (source.parent / "outside.csv").write_text("secret")

        model = made(repository.path, "--template", str(source))

        assert [] == [name for name in files(repository.path) if "outside" in name]
        assert (model / "model.json").exists()

    def test_one_of_several(self, repository: Repository, source: Path) -> None:
        """Where there are several, all are told, and a wrong name with what is like it."""
        shutil.copytree(GALLERY / "string-metrics", source / "model_definitions/another")
        shutil.copytree(GALLERY / "bad-json", source / "model_definitions/bad")
        asked = [*["-a", "--yes", "--template"]]

        plain = repo_cli(repository.path, *asked, str(source))
        wrong = repo_cli(repository.path, *asked, f"{source}#anothr")

        assert (1, f"`{source}` has several models") == told(plain)[:2]
        assert (1, f"There is no model `anothr` in `{source}`") == told(wrong)[:2]
        assert "did you mean `another` or `other`?" == told(wrong)[2]

    def test_what_is_no_model(self, repository: Repository, tmp_path: Path) -> None:
        """A folder without a model, and an address without a repository, are told."""
        (tmp_path / "nothing").mkdir()
        asked = [*["-a", "--yes", "--template"]]

        assert (
            f"There is no model in `{tmp_path}/nothing`"
            in repo_cli(repository.path, *asked, f"{tmp_path}/nothing").stderr
        )
        assert (
            "cannot be cloned"
            in repo_cli(repository.path, *asked, f"file://{tmp_path}/nothing").stderr
        )
        assert ["model_definitions"] == files(repository.path)


class TestList:
    """`--list`."""

    def test_templates_and_models(self, repository: Repository) -> None:
        """All are there, a model with a broken model.json too."""
        repository.add("good-python")
        repository.add("bad-json")

        found = json.loads(repo_cli(repository.path, "--list", "--json").stdout)
        lines = repo_cli(repository.path, "--list").stdout.splitlines()

        assert {"python/empty", "R/gbm", "sql/naive-bayes"} <= {
            f"{one['language']}/{one['name']}" for one in found["templates"]
        }
        assert [("bad-json", "unknown"), ("good-python", "python")] == [
            (one["name"], one["framework"]) for one in found["models"]
        ]
        assert "good-python  python     Good Python" in lines

    def test_ends_with_its_reader(self, repository: Repository) -> None:
        """Nobody who stops reading is shown a traceback."""
        done = subprocess.run(
            ["sh", "-c", f'{" ".join(COMMAND)} --list | true'],
            cwd=repository.path, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert "" == done.stderr


class TestRename:
    """`--rename`."""

    def test_all_that_goes_by_the_name(self, repository: Repository) -> None:
        """The folder, the name, the lock and the results move: nothing must run again."""
        repository.write("README.md", MARKED)
        repository.write("envs/locks/old.txt", "# What model old runs on. `doit lock:old` is\nx\n")
        repository.add("good-python", "old")
        assert 0 == repository.doit("evaluate:old", "score:old").returncode
        before = repository.read("model_definitions/old/model.json")
        name = json.loads(before)["name"]

        done = repo_cli(repository.path, "--rename", "old", "Brand new")

        assert (0, "") == (done.returncode, done.stderr)
        after = repository.read("model_definitions/brand-new/model.json")
        assert before.replace(json.dumps(name), '"Brand new"') == after
        assert "nothing to do: 2 steps are up to date\n" == repository.doit().stdout
        assert {"brand-new/train", "brand-new/evaluate", "brand-new/score"} == set(
            results(repository)
        )
        lock = repository.read("envs/locks/brand-new.txt")
        assert "# What model brand-new runs on. `doit lock:brand-new` is\nx\n" == lock
        assert not (repository.path / "envs/locks/old.txt").exists()
        assert "[brand-new](model_definitions/brand-new)" in repository.read("README.md")
        assert 0 == repository.doit("-a").returncode
        assert 3 == len(os.listdir(repository.path / "build/results"))

    @pytest.mark.parametrize("words", [["--rename", "old", "New"], ["--remove", "old", "--yes"]])
    def test_of_one_that_is_running(self, repository: Repository, words: list[str]) -> None:
        """Nothing of it is moved away from under the run."""
        repository.add("good-python", "old")
        assert 0 == repository.doit("evaluate:old").returncode
        before = files(repository.path / "model_definitions")

        with hold(f"{repository.path}/build/held/{file_name('evaluate:old')}"):
            done = repo_cli(repository.path, *words)

        assert 0 != done.returncode
        assert "`evaluate:old` is being run, by another `doit`" in done.stderr
        assert before == files(repository.path / "model_definitions")
        assert {"old/train", "old/evaluate"} == set(results(repository))
        assert 0 == repo_cli(repository.path, *words).returncode

    def test_of_its_name_alone(self, repository: Repository) -> None:
        """A name with the same folder leaves the folder."""
        repository.add("good-python", "old")

        assert 0 == repo_cli(repository.path, "--rename", "old", "OLD!").returncode
        assert "OLD!" == repository.json("model_definitions/old/model.json")["name"]

    def test_of_one_in_a_group(self, repository: Repository) -> None:
        """A model stays in its group; one line of JSON is written anew where it must be."""
        repository.add("good-python", "group/old")
        repository.write(
            "model_definitions/group/old/model.json",
            '{"x": {"name": "other"}, "name": "Old", "id": "i", "language": "python"}',
        )

        assert 0 == repo_cli(repository.path, "--rename", "group/old", "New").returncode
        document = repository.json("model_definitions/group/new/model.json")
        assert ("New", "other") == (document["name"], document["x"]["name"])

    @pytest.mark.parametrize(
        ("words", "headline", "hint"),
        [
            (["odl", "new"], "There is no model `odl`", "did you mean `old`?"),
            (["old", "taken"], "`model_definitions/taken` exists", "choose another name"),
            (["old", "../.."], "The name '../..' has no letter or digit", ""),
            (["bad-json", "x"], "`model_definitions/bad-json/model.json` cannot be read", "`doit"),
        ],
    )
    def test_what_cannot_be(
        self, repository: Repository, words: list[str], headline: str, hint: str
    ) -> None:
        """What cannot be renamed stays as it is."""
        repository.add("good-python", "old")
        repository.add("string-metrics", "taken")
        repository.add("bad-json")
        before = files(repository.path)

        status, first, way_out = told(repo_cli(repository.path, "--rename", *words))

        assert (1, headline) == (status, first[: len(headline)])
        assert hint == way_out[: len(hint)]
        assert before == [name for name in files(repository.path) if not name.startswith("build")]


class TestRemove:
    """`--remove`."""

    def test_all_of_it(self, repository: Repository) -> None:
        """The model goes with its lock, its results and its line in the table; others stay."""
        repository.write("README.md", MARKED)
        repository.write("envs/locks/old.txt", "x\n")
        repository.add("good-python", "old")
        repository.add("good-python", "kept")
        repository.write(
            "model_definitions/kept/model.json", {"id": "k", "name": "K", "language": "python"}
        )
        assert 0 == repository.doit().returncode
        kept = [
            name for name in files(repository.path) if "old" not in name and name[:6] != "build/"
        ]

        done = repo_cli(repository.path, "--remove", "old", "--yes")

        assert 0 == done.returncode, done.stderr
        assert kept == [name for name in files(repository.path) if name[:6] != "build/"]
        assert {"kept/train", "kept/evaluate"} == set(results(repository))
        assert ["kept"] == os.listdir(repository.path / "build/models")
        assert "(model_definitions/old)" not in repository.read("README.md")
        assert_works(repository, "kept", "20.0")

    @pytest.mark.parametrize("answer", ["\n", "n\n", "no\n"])
    def test_no_is_the_default(self, repository: Repository, answer: str) -> None:
        """Only a yes removes."""
        repository.add("good-python", "old")

        done = repo_cli(repository.path, "--remove", "old", stdin=answer)

        assert "nothing is removed\n" == done.stdout
        assert "files of it that Git does not have unchanged?" in done.stderr
        assert (repository.path / "model_definitions/old/model.json").exists()

    def test_what_git_does_not_have_is_told(self, repository: Repository) -> None:
        """The question counts the files that would be lost for good."""
        subprocess.run(["git", "init", "-q"], cwd=repository.path, check=True)
        repository.write(
            "model_definitions/old/model.json", {"id": "o", "name": "O", "language": "python"}
        )
        repository.write(".gitignore", "*.csv\n")
        repository.write("model_definitions/old/data.csv", "1\n")

        done = repo_cli(repository.path, "--remove", "old", stdin="y\n")

        assert "and 2 files of it that Git does not have unchanged" in done.stderr
        assert [] == os.listdir(repository.path / "model_definitions")

    def test_a_link_to_a_model(self, repository: Repository, tmp_path: Path) -> None:
        """Of a model that is a link, the link is removed."""
        shutil.copytree(GALLERY / "good-python", tmp_path / "elsewhere")
        (repository.path / "model_definitions/old").symlink_to(tmp_path / "elsewhere")

        assert 0 == repo_cli(repository.path, "--remove", "old", "--yes").returncode
        assert [] == os.listdir(repository.path / "model_definitions")
        assert (tmp_path / "elsewhere/model.json").exists()

    def test_ctrl_c(self, repository: Repository) -> None:
        """Ctrl-C at the question removes nothing."""
        repository.add("good-python", "old")
        terminal = Terminal.opened(repository.path, "--remove", "old")
        terminal.answer("Remove model_definitions/old", CTRL_C)

        assert 130 == terminal.status()
        assert (repository.path / "model_definitions/old/model.json").exists()


class TestInit:
    """`--init DIR`."""

    def test_a_repository_that_runs(self, tmp_path: Path, cache: Path) -> None:
        """doit works in it as it is; nothing but build/ and the lock's folder is generated."""
        done = repo_cli(tmp_path, "--init", "shop", "--yes", "--name", "First")
        assert 0 == done.returncode, done.stderr
        place = tmp_path / "shop"
        variables = {**os.environ, "MODEL_CACHE": str(cache), "NO_COLOR": "1"}

        def doit(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "doit", *words], cwd=place, env=variables,
                capture_output=True, text=True, check=False,
            )  # fmt: skip

        assert 0 == doit().returncode
        assert "accuracy 0.570" in doit("list").stdout
        assert (0, "1 model, of which 1 can run: 0 faults, 0 warnings\n") == (
            doit("check").returncode, doit("check").stdout,
        )  # fmt: skip
        status = ["git", "status", "--porcelain", "--untracked-files=all"]
        listed = subprocess.run(status, cwd=place, capture_output=True, text=True, check=True)
        assert "build/" not in listed.stdout
        assert (place / "README.md").read_text().startswith("# shop\n")

    def test_its_dodo_is_ours(self) -> None:
        """The front door of a new repository has all that ours has."""
        names = [
            re.search(r"__all__ = .*", (RUNNER / place / "dodo.py").read_text())
            for place in ("", "model_templates/repository")
        ]

        assert names[0]
        assert names[1]
        assert names[0][0] == names[1][0]

    def test_without_the_runner(self, tmp_path: Path) -> None:
        """A doit that has no modelmake says so in one line."""
        assert 0 == repo_cli(tmp_path, "--init", "shop", "--yes").returncode
        blind = "import sys; sys.modules['tasks'] = None; import runpy; runpy.run_path('dodo.py')"

        done = subprocess.run(
            [sys.executable, "-c", blind], cwd=tmp_path / "shop", capture_output=True, text=True,
            check=False,
        )  # fmt: skip

        assert "this doit knows no modelmake: README.md says how to get it\n" == done.stderr

    def test_in_what_exists(self, tmp_path: Path) -> None:
        """A folder with something in it is refused; an empty one is taken."""
        (tmp_path / "full").mkdir()
        (tmp_path / "full/mine").write_text("mine")
        (tmp_path / "empty").mkdir()

        full = repo_cli(tmp_path, "--init", "full", "--yes")
        missing = repo_cli(tmp_path, "--init", "no/where", "--yes")
        nothing = repo_cli(tmp_path, "--init", "", "--yes")
        here = repo_cli(tmp_path / "empty", "--init", ".", "--yes")
        closed = repo_cli(tmp_path, "--init", "/proc/shop", "--yes")

        assert (1, "`full` exists") == told(full)[:2]
        assert (1, f"There is no folder `{tmp_path}/no` to make `where` in") == told(missing)[:2]
        assert (1, "A new repository needs a folder") == told(nothing)[:2]
        assert "hint: do it from the folder above: `cd ..`, and `--init empty`\n" in here.stderr
        assert "`/proc/" in told(closed)[1]
        assert [1, 1] == [here.returncode, closed.returncode]
        assert ["empty", "full", "full/mine"] == files(tmp_path)
        assert 0 == repo_cli(tmp_path, "--init", "empty", "--yes").returncode
        assert (tmp_path / "empty/dodo.py").exists()

    def test_ctrl_c(self, tmp_path: Path) -> None:
        """Ctrl-C at a question leaves nothing."""
        terminal = Terminal.opened(tmp_path, "--init", "shop")
        terminal.answer("Model name", CTRL_C)

        assert 130 == terminal.status()
        assert [] == files(tmp_path)
