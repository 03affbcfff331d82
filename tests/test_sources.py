"""Which of a model's files a step reads, from its import statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.fingerprint import Files
from tasks.model import Model
from tasks.sources import read_by_step

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "relative": ({"training.py": "from .helper import f", "helper.py": ""}, {"helper.py"}),
    "relative module": ({"training.py": "from . import helper", "helper.py": ""}, {"helper.py"}),
    "by the package's name": (
        {"training.py": "from model_modules.helper import f", "helper.py": ""}, {"helper.py"},
    ),
    "whole package": (
        {"training.py": "import model_modules.helper", "helper.py": ""}, {"helper.py"},
    ),
    "sibling on sys.path": ({"training.py": "import helper", "helper.py": ""}, {"helper.py"}),
    "star": ({"training.py": "from .helper import *", "helper.py": ""}, {"helper.py"}),
    "inside a function": (
        {"training.py": "def f():\n    from . import helper", "helper.py": ""}, {"helper.py"},
    ),
    "chain": (
        {"training.py": "from . import a", "a.py": "from .b import x", "b.py": ""},
        {"a.py", "b.py"},
    ),
    "cycle": ({"training.py": "from . import a", "a.py": "from . import training"}, {"a.py"}),
    "unrelated": ({"training.py": "import json", "helper.py": "", "scoring.py": ""}, set()),
    "not the standard library's": (
        {"training.py": "import json", "json.py": ""}, {"json.py"},
    ),
    "package's own file": (
        {"__init__.py": "from .scoring import score", "scoring.py": "", "training.py": ""},
        {"__init__.py", "scoring.py"},
    ),
    "inner package": (
        {"training.py": "from .lib.a import x", "lib/__init__.py": "from . import b",
         "lib/a.py": "from .. import top", "lib/b.py": "", "top.py": ""},
        {"lib/__init__.py", "lib/a.py", "lib/b.py", "top.py"},
    ),
    "importlib": (
        {"training.py": "import importlib", "helper.py": "", "scoring.py": ""},
        {"helper.py", "scoring.py"},
    ),
    "exec": ({"training.py": "exec('import helper')", "helper.py": ""}, {"helper.py"}),
    "dynamic in a helper": (
        {"training.py": "from . import a", "a.py": "x = __import__('b')", "b.py": ""},
        {"a.py", "b.py"},
    ),
    "exec by the module with it": (
        {"training.py": "import builtins\nbuiltins.exec(text)", "helper.py": ""}, {"helper.py"},
    ),
    "exec by an import": (
        {"training.py": "from builtins import exec as run", "helper.py": ""}, {"helper.py"},
    ),
    "a source read by its path": (
        {"training.py": "copy('model_modules/scoring.py')", "scoring.py": "", "helper.py": ""},
        {"scoring.py", "helper.py"},
    ),
    "a source read by its name": (
        {"training.py": "open(folder / 'helper.py')", "helper.py": ""}, {"helper.py"},
    ),
    "a source read by a path of bytes": (
        {"training.py": "open(b'model_modules/helper.py')", "helper.py": ""}, {"helper.py"},
    ),
    "a source read by a name made at run time": (
        {"training.py": "open(f'model_modules/{name}')", "helper.py": ""}, {"helper.py"},
    ),
    "a module by its name in a string": (
        {"training.py": "find('model_modules.helper')", "helper.py": ""}, {"helper.py"},
    ),
    "a path in a helper": (
        {"training.py": "from . import a", "a.py": "open('b.py')", "b.py": ""}, {"a.py", "b.py"},
    ),
    "the folder that it lies in": (
        {"training.py": "copytree(Path(__file__).parent, 'models/code')", "helper.py": ""},
        {"helper.py"},
    ),
    "all of one kind in that folder": (
        {"training.py": "for p in Path(__file__).parent.glob('*'): p.read_text()", "helper.py": ""},
        {"helper.py"},
    ),
    "all data in that folder": (
        {"training.py": "for p in Path(__file__).parent.glob('*.csv'): read(p)", "helper.py": ""},
        set(),
    ),
    "a program that may be a source": (
        {"training.py": "os.system(command)", "helper.py": ""}, {"helper.py"},
    ),
    "a program by an import": (
        {"training.py": "from os import spawnv as run", "helper.py": ""}, {"helper.py"},
    ),
    "a program of asyncio": (
        {"training.py": "await asyncio.create_subprocess_exec(*words)", "helper.py": ""},
        {"helper.py"},
    ),
    "a program by an import of all": (
        {"training.py": "from os import *\nsystem(command)", "helper.py": ""}, {"helper.py"},
    ),
    "the name of the system": (
        {"training.py": "import platform\nprint(platform.system())", "helper.py": ""}, set(),
    ),
    "a folder elsewhere": (
        {"training.py": "os.walk(data_conf['data_path'])", "helper.py": ""}, set(),
    ),
    "other files by their path": (
        {"training.py": "open('model_modules/data/x.csv')", "data/x.csv": "", "helper.py": ""},
        {"data/x.csv"},
    ),
    "a docstring is no path": (
        {"training.py": "'Train, see model_modules and helper.py'\ndef f():\n    'As helper.py'",
         "helper.py": ""},
        set(),
    ),
    "syntax error": ({"training.py": "def", "helper.py": ""}, {"helper.py"}),
    "other files count": (
        {"training.py": "", "query.sql": "", "data/x.csv": ""}, {"query.sql", "data/x.csv"},
    ),
    "these do not": (
        {"training.py": "", "requirements.txt": "", "Notes.ipynb": "", "README.md": ""}, set(),
    ),
    "these do where a source names them": (
        {"training.py": "from . import a\ncopy('model_modules/requirements.txt')",
         "a.py": "open(f'{folder}/README.md'), open(b'Notes.ipynb')", "requirements.txt": "",
         "Notes.ipynb": "", "Other.ipynb": "", "README.md": "", "lib/README.md": ""},
        {"a.py", "requirements.txt", "Notes.ipynb", "README.md", "lib/README.md"},
    ),
    "these do not where others name them": (
        {"training.py": "'See README.md'", "scoring.py": "open('README.md')", "README.md": ""},
        set(),
    ),
}  # fmt: skip


def write(folder: Path, texts: dict[str, str], language: str = "python") -> Model:
    """Write the files into a model's folder, and return the model."""
    for name, text in texts.items():
        path = folder / "model_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    root = str(folder)
    return Model("m", root, root, {"language": language}, sources=tuple(texts))


@pytest.mark.parametrize(("texts", "expected"), CASES.values(), ids=list(CASES))
def test_what_training_reads(tmp_path: Path, texts: dict[str, str], expected: set[str]) -> None:
    """The entry module, and what its imports lead to."""
    model = write(tmp_path, texts)

    assert {"training.py", *expected} == set(read_by_step("train", model, Files()))


def test_the_entry_of_an_evaluation(tmp_path: Path) -> None:
    """It is evaluation.py, evaluate.py, or in older models scoring.py."""
    function = "def evaluate(): pass"
    older = write(tmp_path / "older", {"scoring.py": function, "training.py": ""})
    newer = write(tmp_path / "newer", {"evaluation.py": function, "scoring.py": function})
    mixed = write(tmp_path / "mixed", {"evaluation.py": "x = 1", "scoring.py": function})

    assert {"scoring.py"} == set(read_by_step("evaluate", older, Files()))
    assert {"evaluation.py"} == set(read_by_step("evaluate", newer, Files()))
    assert {"evaluation.py", "scoring.py"} == set(read_by_step("evaluate", mixed, Files()))


def test_says_why_a_file_counts(tmp_path: Path) -> None:
    """Each file that is not plain to see has its importer's name."""
    texts = {"__init__.py": "from .scoring import score", "scoring.py": "", "training.py": ""}
    model = write(tmp_path, texts)
    expected = {"__init__.py": "", "training.py": "", "scoring.py": "`__init__.py` imports it"}

    assert expected == read_by_step("train", model, Files())


LANGUAGES = {
    "R functions": ("r", {"training.R": "train <- function(x) 1", "scoring.R": ""}, set()),
    "R source()": (
        "r", {"training.R": 'source("./model_modules/a.R")', "a.R": "", "scoring.R": ""}, {"a.R"},
    ),
    "R source() of a name made at run time": (
        "r", {"training.R": "source(a)", "a.R": "", "scoring.R": ""}, {"a.R", "scoring.R"},
    ),
    "R source read by its path": (
        "r", {"training.R": 'file.copy("model_modules/scoring.R", "models")', "scoring.R": ""},
        {"scoring.R"},
    ),
    "R other files by their path": (
        "r", {"training.R": 'read.csv("model_modules/a.csv")', "a.csv": "", "scoring.R": ""},
        {"a.csv"},
    ),
    "R packages named by a source": (
        "r", {"training.R": 'readLines("model_modules/requirements.R") # README.md',
              "requirements.R": "", "README.md": ""},
        {"requirements.R"},
    ),
    "R packages": ("r", {"training.R": "library(a)", "requirements.R": "library(a)"}, set()),
    "SQL": ("sql", {"training.sql": "select 1", "scoring.sql": ""}, set()),
    "SQL for one database": (
        "sql", {"training.sql": "", "training.teradata.sql": "", "evaluation.sql": ""},
        {"training.teradata.sql"},
    ),
    "SQL include": (
        "sql", {
            "training.sql": "{%- include 'a.sql' -%}{% from \"sub/b.sql\" import x, y %}",
            "a.sql": "{% include 'c.sql' ignore missing %}", "c.sql": "", "sub/b.sql": "",
            "evaluation.sql": "",
        },
        {"a.sql", "c.sql", "sub/b.sql"},
    ),
    "SQL include of what no step reads": (
        "sql", {
            "training.sql": '{% include "README.md" %}', "README.md": "", "requirements.txt": "",
        },
        {"README.md"},
    ),
    "SQL script read by its path": (
        "sql", {"training.sql": "from read_text('model_modules/a.sql')", "a.sql": ""}, {"a.sql"},
    ),
    "SQL other files by their path": (
        "sql", {"training.sql": "from 'model_modules/a.csv'", "a.csv": "", "b.sql": ""}, {"a.csv"},
    ),
    "SQL include by an expression": (
        "sql", {"training.sql": "{% include x ~ '.sql' %}", "a.sql": "", "scoring.sql": ""},
        {"a.sql", "scoring.sql"},
    ),
    "SQL include of one or the other": (
        "sql", {"training.sql": "{% include 'a.sql' if x else y %}", "a.sql": "", "b.sql": ""},
        {"a.sql", "b.sql"},
    ),
    "SQL include of a script for one database": (
        "sql", {"training.sql": "{% include 'a.duckdb.sql' %}", "a.duckdb.sql": "", "b.sql": ""},
        {"a.duckdb.sql", "b.sql"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("language", "texts", "expected"), LANGUAGES.values(), ids=list(LANGUAGES))
def test_what_training_reads_in_other_languages(
    tmp_path: Path, language: str, texts: dict[str, str], expected: set[str]
) -> None:
    """The step's own file, and every source where one reads others."""
    entry = next(iter(texts))

    assert {entry, *expected} == set(
        read_by_step("train", write(tmp_path, texts, language), Files())
    )
