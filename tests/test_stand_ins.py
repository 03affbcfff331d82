"""The stand-ins for `aoa`, `tmo` and `teradataml`: what they compute, and when they are found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks.environments.requirements import read
from tasks.model import Model
from tests.conftest import RUNNER, Repository, ask
from tests.workshop import OFFLINE, Workshop

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME = RUNNER / "tasks/runtime"
BEFORE = f"""
import json, os, sys
sys.path.append({str(RUNTIME / "stand_ins")!r})
os.environ["MODEL_SCRATCH"] = os.getcwd()
from model_runtime import tables
from model_runtime.context import DatasetInfo, ModelContext
from model_runtime.contract import write_predictions
tables.begin({{"tables": {{"points": {{"url": "points.csv"}}}}}})
import pandas
import teradataml
from teradataml import DataFrame, copy_to_sql, in_schema

def rows(frame):
    return frame.to_pandas(all_rows=True).values.tolist()

def said(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except Exception as error:
        return [type(error).__name__, str(error).splitlines()[0]]
"""
POINTS = [[5, 0.5, "a"], [3, 1.5, "b"], [9, 2.5, "a"], [1, 3.5, "c"], [8, 4.5, "b"]]


@pytest.fixture(name="place")
def make_place(tmp_path: Path) -> Path:
    """Return a folder furnished for a step."""
    return furnish(tmp_path)


def furnish(tmp_path: Path) -> Path:
    """Put the data file of a dataset into a folder, and one for artefacts, and return it."""
    lines = ["id,x,kind", *(",".join(map(str, row)) for row in POINTS)]
    (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "models").mkdir()
    for alias in ("input", "output"):
        (tmp_path / "artifacts" / alias).symlink_to("../models")
    return tmp_path


def found(python: str, place: Path, expression: str, statements: str = "") -> Any:  # noqa: ANN401
    """Return what an expression is, where the dataset has the table `points`."""
    return ask(python, f"{BEFORE}\n{statements}\nprint(json.dumps({expression}))", cwd=place)


FRAMES: dict[str, tuple[str, Any]] = {
    "a table, in its own order": ("rows(DataFrame('points'))", POINTS),
    "of any case": ("rows(DataFrame.from_table('POINTS'))", POINTS),
    "in a schema": ("rows(DataFrame(in_schema('main', 'points')))", POINTS),
    "by its whole name": ("rows(DataFrame('main.points'))", POINTS),
    "a query": (
        "rows(DataFrame.from_query('SELECT id FROM points WHERE x > 2; '))", [[9], [1], [8]],
    ),
    "a query that ends in a comment": (
        "rows(DataFrame.from_query('SELECT MAX(id) FROM points -- all'))", [[9]],
    ),
    "columns": ("DataFrame('points').columns", ["id", "x", "kind"]),
    "shape": ("DataFrame('points').shape", [5, 3]),
    "select": ("rows(DataFrame('points').select(['kind', 'ID']).head(1))", [["a", 5]]),
    "get": ("DataFrame('points').get('x').columns", ["x"]),
    "brackets": ("DataFrame('points')[['x', 'id']].columns", ["x", "id"]),
    "drop": ("DataFrame('points').drop(columns=['x']).columns", ["id", "kind"]),
    "drop along an axis": ("DataFrame('points').drop('x', axis=1).columns", ["id", "kind"]),
    "assign": (
        "rows(DataFrame('points').assign(job='it''s', x=None).head(1))",
        [[5, "a", "its", None]],
    ),
    "assign alone": ("rows(DataFrame('points').assign(True, v=1.5).head(1))", [[1.5]]),
    "head": ("rows(DataFrame('points').head(2))", POINTS[:2]),
    "the first rows": ("DataFrame('points').to_pandas(num_rows=2).values.tolist()", POINTS[:2]),
    "an index": (
        "DataFrame('points').to_pandas(index_column='id')['x'].to_dict()",
        {str(number): value for number, value, _ in POINTS},
    ),
    "what a scoring returns": (
        "(write_predictions(DataFrame('points').head(1)), open('predictions.csv').read())[1]",
        "id,x,kind\n5,0.5,a\n",
    ),
    "shown": ("str(DataFrame('points')).split()[:3]", ["id", "x", "kind"]),
    "a sample is the same each time": (
        ("[rows(DataFrame('points').sample(n=3)) == rows(DataFrame('points').sample(n=3)),"
        " DataFrame('points').sample(frac=0.4).shape, DataFrame('points').sample(2).columns]"),
        [True, [2, 4], ["id", "x", "kind", "sampleid"]],
    ),
    "a sample of all": (
        "rows(DataFrame('points').sample(n=5))", [[*row, 1] for row in POINTS],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
def test_frames(answers: dict[str, Any], case: str) -> None:
    """A DataFrame answers as the rows of its table or query would."""
    assert FRAMES[case][1] == answers[case]


def test_a_cut_is_told(sql_python: str, place: Path) -> None:
    """Where not all rows are returned, the log says how many there are."""
    program = f"{BEFORE}\nDataFrame('points').to_pandas(num_rows=2)"

    done = run(sql_python, place, program)

    assert "modelmake: `to_pandas` returns 2 rows of 5" in done.stderr


COPIES: dict[str, tuple[str, str, Any]] = {
    "from pandas": (
        "copy_to_sql(pandas.DataFrame({'a': [2, 1]}), 'made')",
        "rows(DataFrame('made'))",
        [[2], [1]],
    ),
    "into a schema, which is made": (
        "copy_to_sql(df=pandas.DataFrame({'a': [2, 1]}), table_name='made', schema_name='demo')",
        "rows(DataFrame.from_query('SELECT * FROM demo.made'))",
        [[2], [1]],
    ),
    "appended, by the columns' names": (
        ("for frame in ({'a': [2], 'b': ['x']}, {'B': ['y'], 'A': [1]}):\n"
        "    copy_to_sql(pandas.DataFrame(frame), 'made', if_exists='append')"),
        "rows(DataFrame('made'))",
        [[2, "x"], [1, "y"]],
    ),
    "replaced": (
        "for a in (1, 2): copy_to_sql(pandas.DataFrame({'a': [a]}), 'made', if_exists='replace')",
        "rows(DataFrame('made'))",
        [[2]],
    ),
    "with its index": (
        "copy_to_sql(pandas.DataFrame({'a': [7]}), 'made', index=True, index_label='number')",
        "[DataFrame('made').columns, rows(DataFrame('made'))]",
        [["number", "a"], [[0, 7]]],
    ),
    "from a frame": (
        "copy_to_sql(DataFrame('points').select('id'), 'made', temporary=True, primary_index='id')",
        "rows(DataFrame('made'))",
        [[row[0]] for row in POINTS],
    ),
    "by the frame itself": (
        "DataFrame('points').select('id').to_sql('made', schema_name='demo')",
        "DataFrame('demo.made').shape",
        [5, 1],
    ),
    "of numbered columns": (
        "copy_to_sql(pandas.DataFrame([[7, 8]]), 'made')", "DataFrame('made').columns", ["0", "1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COPIES)
def test_copies(answers: dict[str, Any], case: str) -> None:
    """What is copied into a table is found there, in its order, also by a connection made anew."""
    assert COPIES[case][2] == answers[case]


MISSING: dict[str, tuple[str, str, str]] = {
    "a table": (
        "rows(DataFrame('nothing'))", "CatalogException",
        r".*nothing does not exist! \(`tables` of the dataset names: points\)",
    ),
    "SQL of another kind": (
        "rows(DataFrame.from_query('SELECT id MOD 2 FROM points'))", "ParserException",
        r".*\(statements go to DuckDB as they are\)",
    ),
    "a table that is there": (
        "copy_to_sql(DataFrame('points'), 'points', if_exists='fail')", "ValueError",
        r'the table "points" is there already',
    ),
    "other columns": (
        "copy_to_sql(pandas.DataFrame({'id': [1], 'y': [1]}), 'points')", "ValueError",
        r'the table "points" has other columns: kind, x, y',
    ),
    "a word that is none": (
        "copy_to_sql(DataFrame('points'), 'points', if_exists='add')", "ValueError",
        r"`if_exists` is `append`, `replace` or `fail`, not `add`",
    ),
    "a method": (
        "DataFrame('points').groupby('kind')", "AttributeError",
        (r"the stand-in has no `DataFrame.groupby`: work on what `to_pandas` returns, or name the"
        r" real package in requirements.txt"),
    ),
    "an expression": (
        "DataFrame('points').assign(y=lambda: 1)", "NotImplementedError",
        r"the stand-in has no `DataFrame.assign of `y``: put the expression into a query, or .*",
    ),
    "dropping rows": (
        "DataFrame('points').drop([1])", "NotImplementedError", r"the stand-in has no .*",
    ),
    "several samples": (
        "DataFrame('points').sample(frac=[0.8, 0.2])", "NotImplementedError",
        r"the stand-in has no .*",
    ),
    "neither table nor query": ("DataFrame()", "ValueError", r"a DataFrame is of .*"),
    "a name": (
        "teradataml.valib", "AttributeError",
        r"the stand-in has no `teradataml.valib`: name the real package in requirements.txt",
    ),
    "an imported name": (
        "exec('from teradataml import PMMLPredict')", "ImportError",
        r"the stand-in has no `teradataml.PMMLPredict`: name the real package .*",
    ),
    "an imported name of another package": (
        "exec('from tmo import nothing')", "ImportError", r"the stand-in has no `tmo.nothing`: .*",
    ),
    "a host": (
        "teradataml.create_context(host='h.invalid', username='u', password='p')",
        "NotImplementedError", r"no connection to `h.invalid`: .*",
    ),
    "what is only in Teradata": (
        "__import__('aoa.sto.util').sto.util.save_metadata(1)", "NotImplementedError",
        r"the stand-in has no `save_metadata`: .*",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
def test_what_is_missing(answers: dict[str, Any], case: str) -> None:
    """What a stand-in cannot do is an error in one line, with the way out."""
    _, kind, pattern = MISSING[case]
    error, text = answers[case]

    assert kind == error
    assert re.fullmatch(pattern, text), text


ANSWERS = """
import tempfile
answers = {}
for case, (statements, expression) in json.loads(sys.argv[1]).items():
    tables.remove_context()
    os.environ["MODEL_SCRATCH"] = tempfile.mkdtemp(dir=os.getcwd())  # a database for each
    exec(statements)
    if statements and "temporary" not in statements:
        teradataml.remove_context()
        teradataml.create_context()
    answers[case] = eval(expression)
"""


@pytest.fixture(scope="module", name="answers")
def ask_all(sql_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the answer to each case above, asked in one process."""
    cases = {case: ("", expression) for case, (expression, _) in FRAMES.items()}
    cases |= {case: words[:2] for case, words in COPIES.items()}
    cases |= {case: ("", f"said(lambda: {words[0]})") for case, words in MISSING.items()}
    place = furnish(tmp_path_factory.mktemp("stand-ins"))
    program = f"{BEFORE}\n{ANSWERS}\nprint(json.dumps(answers))"
    answers: dict[str, Any] = ask(sql_python, program, json.dumps(cases), cwd=place)
    return answers


def test_small_things(sql_python: str, place: Path) -> None:
    """Names can be looked for, options can be set, a model's bytes go into a table."""
    statements = """
from teradataml import configure, get_connection
from aoa import store_byom_tmp
configure.val_install_location = "VAL"
store_byom_tmp(get_connection(), "byom", "v1", b"\\x00\\x01")
"""
    expression = (
        "[hasattr(teradataml, 'valib'), configure.val_install_location,"
        " teradataml.execute_sql('SELECT model_version, octet_length(model) FROM byom').fetchall()]"
    )

    assert [False, "VAL", [["v1", 2]]] == found(sql_python, place, expression, statements)


def test_one_behind_every_name(sql_python: str, place: Path) -> None:
    """What models import is the same thing under its name of every year."""
    statements = """
import importlib
places = {
    "ModelContext DatasetInfo": "aoa tmo",
    "save_plot store_byom_tmp": "aoa aoa.util aoa.util.artefacts tmo tmo.util tmo.util.artefacts",
    "record_training_stats record_evaluation_stats record_scoring_stats":
        "aoa aoa.stats aoa.stats.stats tmo tmo.stats tmo.stats.stats",
    "aoa_create_context": "aoa aoa.util tmo tmo.util",
    "save_metadata save_evaluation_metrics cleanup_cli check_sto_version collect_sto_versions":
        "aoa.util aoa.sto.util tmo.util tmo.sto.util",
    "execute_sql": "aoa.util tmo.util",
    "create_context remove_context get_context get_connection":
        "teradataml teradataml.context.context",
    "DataFrame in_schema": "teradataml teradataml.dataframe.dataframe",
    "copy_to_sql": "teradataml teradataml.dataframe.copy_to",
}
same = {
    name: len({id(getattr(importlib.import_module(module), name)) for module in modules.split()})
    for names, modules in places.items() for name in names.split()
}
import aoa, tmo
from aoa.stats import stats
assert tmo.tmo_create_context is aoa.aoa_create_context
assert stats.record_training_stats is aoa.record_training_stats
"""
    assert {1} == set(found(sql_python, place, "same", statements).values())


def test_the_reference_names_all(sql_python: str, place: Path) -> None:
    """What a stand-in exports is in the reference, in the row of its module, and no more is."""
    text = (RUNNER / "docs/reference.md").read_text(encoding="utf-8").partition("### Stand-ins")[2]
    rows = re.findall(r"(?m)^\| `(aoa|teradataml)`.*? \| (.*) \|$", text)
    named = {module: set(re.findall(r"`(\w+)`", names)) - {"tmo"} for module, names in rows}
    statements = "import aoa, tmo"

    exported = {
        "aoa": found(sql_python, place, "[*aoa.__all__, *tmo.__all__]", statements),
        "teradataml": found(sql_python, place, "teradataml.__all__"),
    }
    assert {module: set(names) for module, names in exported.items()} == named


STATISTICS = """
import numpy, scipy.stats
from model_runtime.data_stats import continuous
values = numpy.random.default_rng(0).lognormal(size=1001).round(3)
column = pandas.Series([None, *values, None])
ours, theirs = continuous(column), pandas.Series(values)
counts, edges = numpy.histogram(values, bins=10)
expected = {
    "cnt": 1001, "min": theirs.min(), "max": theirs.max(), "mean": theirs.mean(),
    "std": theirs.std(), "skew": theirs.skew(), "kurt": theirs.kurt(), "ste": theirs.sem(),
    "cv": 100 * scipy.stats.variation(values, ddof=1), "var": theirs.var(), "sum": theirs.sum(),
    "uss": numpy.dot(values, values), "css": theirs.var(ddof=0) * 1001, "nulls": 2,
    "histogram": {"edges": edges.tolist(), "values": counts.tolist()},
}
assert abs(scipy.stats.skew(values, bias=False) - ours["skew"]) < 1e-9
assert abs(scipy.stats.kurtosis(values, bias=False) - ours["kurt"]) < 1e-9
"""


def test_statistics_of_numbers(sql_python: str, place: Path) -> None:
    """Each is what pandas, SciPy or NumPy make of the same values."""
    ours, theirs = found(sql_python, place, "[ours, expected]", STATISTICS)
    histogram, expected = ours.pop("histogram"), theirs.pop("histogram")

    assert list(theirs) == list(ours)
    assert pytest.approx(theirs, rel=1e-9) == ours
    assert expected == histogram
    assert (11, 10) == (len(histogram["edges"]), len(histogram["values"]))


def test_statistics_of_few_numbers(sql_python: str, place: Path) -> None:
    """What so few values do not have is null, and nothing is NaN."""
    statements = "from model_runtime.data_stats import continuous as of\nimport pandas as pd"
    columns = "[[], [None], [2.0], [2, 4], [1, 2, 4], [3, 3, 3, 3], [-1, 1], [2, 1e999]]"
    stats = found(
        sql_python, place, f"[of(pd.Series(c, dtype=float)) for c in {columns}]", statements
    )
    missing = [sorted(name for name, value in one.items() if value is None) for one in stats]

    assert [{"cnt": 0, "nulls": 0}, {"cnt": 0, "nulls": 1}] == stats[:2]
    assert ["cv", "kurt", "skew", "std", "ste", "var"] == missing[2]
    assert [["kurt", "skew"], ["kurt"], ["kurt", "skew"], ["cv", "kurt", "skew"]] == missing[3:7]
    assert {**stats[2], "nulls": 1} == stats[7]


RECORDS = """
from aoa import record_evaluation_stats, record_scoring_stats, record_training_stats
info = DatasetInfo(feature_names=["x", "KIND", "flag"], target_names=["id"],
                   feature_metadata={"monitoringGroup": "mine"})
context = ModelContext({}, info, artifact_input_path="artifacts/input")
frame = DataFrame("points").to_pandas()
frame["flag"] = [1, None, 1, 0, 0]
def written():
    with open("models/data_stats.json") as file:
        return json.load(file)
record_training_stats(frame, info.feature_names, info.target_names, ["flag"], {"X": 2}, context)
training = written()
frame["flag"] = [1, 1, 1, 0, 0]
record_evaluation_stats(frame, frame[["id"]], importance={"flag": 0.5}, context=context, other=1)
evaluation = written()
record_scoring_stats(DataFrame("points"), DataFrame("points"), context=context)
"""


def test_records(sql_python: str, place: Path) -> None:
    """Categories are texts, what was named, and what training has recorded as such."""
    names = "[training, evaluation, written()]"
    program = f"{BEFORE}\n{RECORDS}\nprint(json.dumps({names}))"
    done = run(sql_python, place, program)
    training, evaluation, scoring = json.loads(done.stdout)

    flag = {"type": "categorical", "group": "mine"}
    counted = {"frequency": {"0": 2, "1": 2}, "nulls": 1}
    assert {**flag, "statistics": counted} == training["features"]["flag"]
    assert {"a": 2, "b": 2, "c": 1} == training["features"]["kind"]["statistics"]["frequency"]
    assert (2.0, "continuous") == (
        training["features"]["x"]["importance"], training["targets"]["id"]["type"],
    )  # fmt: skip
    counted = {"frequency": {"1": 3, "0": 2}, "nulls": 0}
    assert {**flag, "importance": 0.5, "statistics": counted} == evaluation["features"]["flag"]
    assert ["x", "kind"] == list(scoring["features"])
    assert 5 == scoring["num_rows"]
    assert "modelmake: `other` has no effect on the statistics" in done.stderr
    assert "modelmake: `flag` is in no statistics: the columns are id, x, kind" in done.stderr


def test_a_column_that_is_not_there(sql_python: str, place: Path) -> None:
    """A feature that the data has not is an error that names those it has."""
    expression = "said(record_training_stats, DataFrame('points'), ['y'])"
    statements = "from tmo import record_training_stats"

    assert ["KeyError", "'no column `y`: the columns are id, x, kind'"] == found(
        sql_python, place, expression, statements
    )


def test_tables_of_a_training_are_found_again(sql_python: str, place: Path) -> None:
    """What a training leaves in tables is an artefact, whatever its schema; temporary ones not."""
    statements = """
copy_to_sql(pandas.DataFrame({"a": [1]}), "model_v1")
copy_to_sql(pandas.DataFrame({"a": [2]}), "odd.name", "demo")
copy_to_sql(pandas.DataFrame({"a": [3]}), "passing", temporary=True)
tables.keep("train", DatasetInfo())
os.remove("warehouse.duckdb")
"""
    expression = "[sorted(os.listdir('models/warehouse')), rows(DataFrame('model_v1')),"
    expression += " rows(DataFrame(in_schema('demo', 'odd.name')))]"

    files = ["demo.odd%2Ename.parquet", "model_v1.parquet"]
    assert [files, [[1]], [[2]]] == found(sql_python, place, expression, statements)


SERVER = """
class DataFrame:
    def __init__(self, name):
        self.shape = (7, 2) if name == "demo/found" else (0, 0)

def in_schema(schema, table):
    return f"{schema}/{table}"
"""


def test_predictions_on_a_server(place: Path) -> None:
    """With the real package the table stays on its server; a file says where and how long it is."""
    (place / "teradataml.py").write_text(SERVER)
    program = """
import json, teradataml
from model_runtime import tables
from model_runtime.context import DatasetInfo
tables.keep("score", DatasetInfo(predictions={"database": "demo", "table": "found"}))
print(open("predictions.json").read())
"""
    told = ask(sys.executable, program, cwd=place)

    assert {"table": "demo.found", "rows": 7} == told


def test_the_real_package_wins(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the name that requirements.txt asks for is installed and used, ours is not."""
    shop = Workshop.opened(repository, monkeypatch)
    shop.wheel("aoa", "7")
    shop.model(f"{OFFLINE}aoa\n")
    top = "model_definitions/tiny"
    repository.write(f"{top}/model.json", {"id": "t", "name": "T", "language": "python"})
    source = """
import aoa
def train(context):
    with open(f"{context.artifact_output_path}/model.txt", "w") as file:
        file.write(aoa.VERSION)
"""
    repository.write(f"{top}/model_modules/training.py", source)
    repository.write(f"{top}/model_modules/evaluation.py", "def evaluate(context): return {'a': 1}")

    done = repository.doit("train:tiny")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "7" == repository.read("build/models/tiny/train/models/model.txt")
    assert "stand-in" not in repository.read("build/models/tiny/train/run.log")
    assert ["aoa==7"] == shop.pins(Model("tiny", top, top))


NEEDED = {
    "import aoa": ("pandas", True),
    "from tmo.util import save_plot": ("pandas", True),
    "def f():\n    from teradataml import DataFrame": ("pandas>=1", True),
    "import subprocess\nimport aoa": ("pandas", True),
    "import aoa.stats.stats as s": ("aoa", False),
    "import tmo, teradataml": ("teradatamodelops==7", False),
    "import teradataml": ("Teradataml>=17 ; python_version > '3'", False),
    "import aoa, json": ("teradataml", True),
    "import aoa_like": ("pandas", False),
    "import json": ("pandas", False),
}


@pytest.mark.parametrize("source", NEEDED)
def test_requirements(repository: Repository, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A model that imports a stand-in gets what that needs, unless it names the real package."""
    line, needed = NEEDED[source]
    shop = Workshop.opened(repository, monkeypatch)
    tiny = shop.model(f"{line}\n")
    repository.write(f"{tiny.root}/model_modules/helper.py", source)
    model = Model(tiny.name, tiny.folder, tiny.root, tiny.document, sources=("helper.py", "a.csv"))

    added = {"duckdb>=1.1", "numpy", *(["pandas"] if "pandas" not in line else [])}
    assert {line, *(added if needed else ())} == set(read(model, shop.state).lines)


def run(python: str, place: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that can import `model_runtime`, to its good end."""
    done = subprocess.run(
        [python, "-c", program], cwd=place, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(RUNTIME)},
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return done
