"""Scorers of models in R and SQL, in the models' own environments.

Teradata is a stand-in on DuckDB, besides the real driver's own errors and the parser of Teradata's
dialect: there is no server.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import RUNNER, Repository, ask
from tests.r_models import write_model
from tests.scorers import ask_sql, ask_trained, tiny

if TYPE_CHECKING:
    from pathlib import Path

GBM, BAYES, MACHINE = "r-gbm", "sql-naive-bayes-churn", "sql-svm-churn"
MODELS = (GBM, BAYES, MACHINE)
LESS = {"n.trees": 80, "cv.folds": 2}  # of the training


def sample_of(model: str) -> dict[str, Any]:
    """Return the request that a model of this repository brings along."""
    path = RUNNER / f"model_definitions/{model}/samples/data.json"
    data = json.loads(path.read_text())["data"]
    return {"names": data["names"], "values": data["ndarray"]}


@pytest.fixture(scope="module", name="built")
def build(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository in which this one's models have scored the rows of their samples."""
    repository = Repository(tmp_path_factory.mktemp("scorers"), cache)
    for folder in ("datasets", "envs", *(f"model_definitions/{name}" for name in MODELS)):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    for model in MODELS:
        sample, place = sample_of(model), f"model_definitions/{model}"
        with (repository.path / place / "sample.csv").open("w", newline="") as file:
            csv.writer(file).writerows([sample["names"], *sample["values"]])
        conf = repository.json(f"{place}/datasets/score.json")
        here = {"url": "sample.csv"}
        conf |= here if model == GBM else {"tables": {"CHURN_EVENTS": here}}
        repository.write(f"{place}/datasets/score.json", conf)
    about = f"model_definitions/{GBM}/model.json"
    repository.write(about, repository.json(about) | {"monitoring": True})
    config = f"model_definitions/{GBM}/config.json"
    hyper = repository.json(config)["hyperParameters"] | LESS
    repository.write(config, {"hyperParameters": hyper})
    done = repository.doit("score")
    assert 0 == done.returncode, done.stdout + done.stderr
    return repository


def scored(built: Repository, model: str) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of what `doit score` has predicted, numbers as numbers."""
    with (built.path / f"build/models/{model}/score/predictions.csv").open(newline="") as file:
        names, *rows = csv.reader(file)
    return names, [[value_of(text) for text in row] for row in rows]


def value_of(text: str) -> float | str:
    """Return a number where the text is one."""
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="module", name="answered")
def answer(built: Repository) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what the models' scorers answer to the rows of their samples, and to others."""
    gbm = sample_of(GBM)
    names, rows = gbm["names"], gbm["values"]
    with_target = [["Y", *names], [[0.5, *row] for row in rows]]
    asked = {GBM: {"asks": [[names, rows], [[], rows[1]], with_target], "sample": gbm}}
    for model in (BAYES, MACHINE):
        sample = sample_of(model)
        other = [sample["names"], [9, "activation"]]
        asks = [[[], sample["values"]], other, [[], sample["values"]]]
        asked[model] = {"asks": asks, "sample": sample}
    return ask_trained(built, asked)


class TestModels:
    """The models of this repository, asked for the rows of their samples."""

    @pytest.mark.r
    def test_r(self, built: Repository, answered: dict[str, Any]) -> None:
        """Rows, one row, and a column that the model does not need: what `doit score` predicts."""
        expected = [prediction for _, prediction in scored(built, GBM)[1]]

        assert [[[], expected], [[], expected[1:]], [[], expected]] == answered[GBM]

    @pytest.mark.sql
    @pytest.mark.parametrize("model", [BAYES, MACHINE])
    def test_sql(self, built: Repository, answered: dict[str, Any], model: str) -> None:
        """The same, to the last digit, and again after other rows."""
        first, other, again = answered[model]

        assert list(scored(built, model)) == first == again
        assert [9] == [row[0] for row in other[1]]

    @pytest.mark.r
    def test_monitoring_in_r(self, built: Repository) -> None:
        """After a training R scores its data, in the same process."""
        place = f"build/models/{GBM}/train/models/monitoring.json"

        found = built.json(place)

        assert [] == found["notes"]
        assert [1000] == [one["count"] for one in found["outputs"]]

    @pytest.mark.sql
    def test_teradata(self, built: Repository, sql_python: str, tmp_path: Path) -> None:
        """With a stand-in for Teradata the answer is the same, in statements that it can parse."""
        place = f"model_definitions/{BAYES}"
        shutil.copytree(built.path / place / "model_modules", tmp_path / "model_modules")
        tables = sorted(built.path.glob(f"build/models/{BAYES}/train/models/warehouse/*.parquet"))
        events = built.path / "datasets/churn-events.csv"
        serve(
            sql_python, tmp_path,
            "CREATE SCHEMA telco", f"CREATE TABLE telco.CHURN_EVENTS AS FROM '{events}'",
            f"CREATE TABLE model AS FROM '{tables[0]}'",
        )  # fmt: skip
        data_conf = {
            "hostname": "stand-in",
            "data_table": "telco.CHURN_EVENTS",
            "predictions_table": "telco.CHURN_PREDICTIONS",
        }
        sample, conf = sample_of(BAYES), built.json(f"{place}/config.json")

        request = tiny(tmp_path, data_conf, [[[], sample["values"]]] * 2, sample=sample, conf=conf)
        found = ask_sql(sql_python, tmp_path, request, stand_in=True)[0]

        assert [list(scored(built, BAYES))] * 2 == found
        sent = statements(tmp_path)
        assert {"Create", "Delete", "Drop", "Insert", "Select"} == kinds(sql_python, sent)
        assert [] == [text for text in sent if "CREATE" in text and "VOLATILE" not in text]
        assert [] == [text for text in sent if "CHURN_PREDICTIONS" in text]


SCORING_R = """\
library(stats)
initialise_model <- function(model_conf, ...) readRDS("models/model.rds")
score.batch <- function(data_conf, ...) stop("not for requests")
score <- function(data, model, ...) {
  switch(data$ask[1],
    kinds = vapply(data, function(column) class(column)[1], ""),
    missing = is.na(data$x),
    texts = data$text,
    above = data$x > model,
    table = data.frame(text = factor(data$text), more = data$x > model, by = data$x - model,
      day = as.Date("2024-05-01") + data$x),
    matrix = matrix(1:4, 2),
    wide = data.frame(x = data$x, m = I(cbind(a = 1:2, b = 3:4))),
    count = nrow(data),
    stop = stop("no rows"),
    deep = (function(n) sys.function()(n + 1))(1),
    quit = quit(status = 3),
    nothing = NULL,
    code = mean)
}
"""
ASKED = ["ask", "x", "text", "truth", "empty"]
SAMPLE_R = {"names": ASKED, "values": [["count", 1.5, "a", True, "text"]]}


@pytest.fixture(scope="module", name="r_model")
def build_r(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository with trained models in R: `tiny`, and two of other ages."""
    repository = Repository(tmp_path_factory.mktemp("r"), cache)
    train = 'train <- function(...) saveRDS(1, "models/model.rds")\n'
    write_model(repository, training=train, scoring=SCORING_R)
    load = "initialise_model <- function() NULL\n"
    old = f"{load}predict.model <- function(model, data) names(data)\n"
    write_model(repository, "old", training=train, scorer=old)
    write_model(
        repository, "batch", training=train, scoring=f"{load}score <- function(data_conf) 1"
    )
    done = repository.doit("train")
    assert 0 == done.returncode, done.stdout
    return repository


FIRST, SECOND, MIXED = [2, "ü", True, None], [None] * 4, [1, 5, 1, 2.0]
ODD = "'); quit() # \\ \"\n\u2028"
PLAIN = [1, "a", None, None]
GOOD = [
    ["kinds", FIRST, SECOND], ["kinds", FIRST, MIXED], ["missing", FIRST, SECOND],
    ["texts", FIRST, SECOND, [0, ODD, True, ""], [0, "NA", None, None]],
    ["texts", FIRST, MIXED, [0, 2.5, None, None], [0, True, None, None]],
    ["above", FIRST, SECOND], ["table", FIRST, SECOND], ["matrix", FIRST],
    ["wide", FIRST, FIRST], ["texts", SECOND],
]  # fmt: skip
BAD = [
    ["stop", PLAIN], ["quit", PLAIN], ["deep", PLAIN], ["nothing", PLAIN], ["code", PLAIN],
    ["texts", [1, "a\0b", None, None]], ["texts", [1, "\ud800", None, None]],
    ["texts", PLAIN[1:]], ["texts", [[], *PLAIN[1:]]],
]  # fmt: skip
LAST = ["count", *[PLAIN] * 3]


@pytest.fixture(scope="module", name="of_r")
def answer_in_r(r_model: Repository) -> Any:  # noqa: ANN401 - JSON is any value
    """Return what the models in R answer; `tiny` does what the first column of a request says."""
    rows = [[[does, *row] for row in values] for does, *values in (*GOOD, *BAD, LAST)]
    asked = {
        "tiny": {"asks": [[ASKED, values] for values in rows], "sample": SAMPLE_R},
        "old": {"asks": [[[], [[1, "a"]]]]},
        "batch": {"asks": []},
    }
    return ask_trained(r_model, asked)


@pytest.mark.r
class TestR:
    """Tiny models in R."""

    def test_values(self, of_r: dict[str, Any]) -> None:
        """Each column has one type in R, and comes back as it is; a missing value is null."""
        found = of_r["tiny"][: len(GOOD)]

        kinds_of_first = ["character", "numeric", "character", "logical", "character"]
        kinds_of_mixed = ["character", "numeric", "character", "numeric", "numeric"]
        assert [[[], kinds_of_first], [[], kinds_of_mixed], [[], [False, True]]] == found[:3]
        assert [[], ["ü", None, ODD, "NA"]] == found[3]
        assert [[], ["ü", "5", "2.5", "TRUE"]] == found[4]
        assert [[], [True, None]] == found[5]
        columns = ["text", "more", "by", "day"]
        assert [columns, [["ü", True, 1.0, "2024-05-03"], [None] * 4]] == found[6]
        assert [[], [[1, 3], [2, 4]]] == found[7]
        assert [["x", "m.a", "m.b"], [[2, 1, 3], [2, 2, 4]]] == found[8]
        assert [[], [None]] == found[9]

    def test_failures(self, of_r: dict[str, Any]) -> None:
        """A request that fails says why and where, and the next one is answered."""
        *errors, last = of_r["tiny"][len(GOOD) :]

        line = 1 + SCORING_R.splitlines().index("  switch(data$ask[1],")
        where = f"model_modules/scoring.R:{line}"
        stopped = {"type": "R error", "message": "score(): no rows", "where": where}
        assert stopped == errors[0]
        assert ("quit", "called quit(status = 3)") == (errors[1]["type"], errors[1]["message"])
        assert "R error" == errors[2]["type"]
        assert re.search("C stack usage|nested too deeply", errors[2]["message"])
        told = [f"{error['type']}: {error['message']}"[:65] for error in errors[3:]]
        assert [
            "ModelFault: `score` returned no data: NULL",
            "ModelFault: `score` returned no data: function",
            "ValueError: R cannot hold a text with a NUL in it",
            r"UnicodeEncodeError: 'utf-8' codec can't encode character '\ud800'",
            "ValueError: row 1 has 4 values, and there are 5 columns",
            "ValueError: row 1, column `x`: no single value but a list",
        ] == told
        assert [[], [3]] == last

    def test_older_models(self, of_r: dict[str, Any]) -> None:
        """`predict.model` is called too, columns without names have some; a batch function not."""
        assert [[[], ["V1", "V2"]]] == of_r["old"]
        expected = "no function `score.restful`, `predict.model` or `score` in `scoring.R` takes"
        assert f"{expected} `data`" == of_r["batch"]["message"]
        assert "ModelFault" == of_r["batch"]["type"]


SCORING = """\
DROP TABLE {{ data_conf.predictions_table|identifier }};
CREATE TABLE {{ data_conf.predictions_table|identifier }} AS (
    SELECT id, name, day, label, amount > mean AS more, CAST(amount AS DECIMAL(9, 2)) AS exact
    FROM {{ data_conf.data_table|identifier }}
    CROSS JOIN {{ model_table|identifier }}
) WITH DATA;
INSERT INTO {{ data_conf.predictions_table|identifier }} (id, name)
SELECT CAST(name AS INTEGER), name FROM {{ data_conf.data_table|identifier }} WHERE name = 'bad';
"""
TERADATA = {"hostname": "stand-in", "data_table": "shop.rows", "predictions_table": "shop.found"}
ROWS = "id,name,amount,day,label\n1,x,0.5,2024-01-31,sold\n"
DATA_CONF = {
    "tables": {"rows": {"url": "rows.csv"}, "other": {"url": "rows.csv"}},
    "data_table": "ROWS",
    "predictions_table": "found",
}
NAMES = ["id", "name", "amount", "day"]
SAMPLE = {"names": NAMES, "values": [[1, "x", 2, "2024-01-31"]]}
HOSTILE = '\'); DROP TABLE model; --\n"{{ x }}" ?\0ü'


@pytest.fixture(scope="module", name="mean")
def write_mean(sql_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the training of the tiny model in SQL has left."""
    folder = tmp_path_factory.mktemp("mean")
    made = "COPY (SELECT 1.5 AS mean) TO 'model.parquet'"
    ask(sql_python, f'import duckdb; duckdb.execute("{made}"); print(0)', cwd=folder)
    return folder / "model.parquet"


def write_sql(mean: Path, folder: Path, **scripts: str) -> None:
    """Write a model in SQL, whose mean is 1.5, with these scripts."""
    (folder / "model_modules").mkdir()
    for name, text in scripts.items():
        (folder / f"model_modules/{name}.sql").write_text(text)
    (folder / "models/warehouse").mkdir(parents=True)
    (folder / "rows.csv").write_text(ROWS)
    shutil.copy(mean, folder / "models/warehouse")


def serve(python: str, folder: Path, *made: str) -> Any:  # noqa: ANN401 - of any type
    """Execute statements in the file that is the stand-in's server, and return their rows."""
    program = (
        "import duckdb, json, sys; server = duckdb.connect('server.duckdb')\n"
        "print(json.dumps([server.execute(one).fetchall() for one in sys.argv[1:]], default=str))"
    )
    return ask(python, program, *made, cwd=folder)


def statements(folder: Path) -> list[str]:
    """Return the statements that the stand-in was sent."""
    lines = (folder / "statements.json").read_text().splitlines()
    return [json.loads(line)[0] for line in lines]


def kinds(python: str, sent: list[str]) -> set[str]:
    """Return what the statements are in Teradata's dialect."""
    program = (
        "import json, sqlglot, sys\n"
        "parsed = [sqlglot.parse_one(text, read='teradata') for text in json.loads(sys.argv[1])]\n"
        "print(json.dumps([type(one).__name__ for one in parsed]))"
    )
    return set(ask(python, program, json.dumps(sorted(set(sent)))))


@pytest.mark.sql
class TestDuckDB:
    """A tiny model in SQL."""

    def test_the_rows_are_the_input_table(
        self, sql_python: str, mean: Path, tmp_path: Path
    ) -> None:
        """With its types and no row of its own; what the sample does not name is null."""
        write_sql(mean, tmp_path, scoring=SCORING)
        rows = [[2, HOSTILE, 2, "2024-02-29"], [1, None, 1.0, None]]
        moved = [["Name", "day", "AMOUNT", "id", "label"], [["x", None, 9, 5.0, "kept"]]]

        found = ask_sql(
            sql_python, tmp_path, tiny(tmp_path, DATA_CONF, [[[], rows], moved], sample=SAMPLE)
        )[0]

        columns = ["id", "name", "day", "label", "more", "exact"]
        second = [2, HOSTILE, "2024-02-29", None, True, 2.0]
        assert [columns, [[1, None, None, None, False, 1.0], second]] == found[0]
        assert [columns, [[5, "x", None, "kept", True, 9.0]]] == found[1]

    def test_requests_do_not_see_each_other(
        self, sql_python: str, mean: Path, tmp_path: Path
    ) -> None:
        """Whatever they change, and where one of them fails half-way."""
        changes = (
            "CREATE TABLE made AS SELECT 1 AS a; CREATE TEMP TABLE scratch AS FROM made;",
            "INSERT INTO {{ model_table }} VALUES (1); DELETE FROM other;",
            "SELECT CASE WHEN name = 'bad' THEN error('as told') END FROM rows;",
            "CREATE TABLE found AS (SELECT COUNT(*) AS models FROM {{ model_table }});",
        )
        write_sql(mean, tmp_path, scoring="\n".join(changes))
        asks = [[[], [1, name, 1, None]] for name in ("good", "bad", "good")]

        first, failed, last = ask_sql(
            sql_python, tmp_path, tiny(tmp_path, DATA_CONF, asks, sample=SAMPLE)
        )[0]

        assert [["models"], [[2]]] == first == last
        assert "Invalid Input Error: as told, in statement 5 of 6: SELECT" in failed["message"]
        assert ("InvalidInputException", "model_modules/scoring.sql:3") == (
            failed["type"], failed["where"],
        )  # fmt: skip

    def test_what_does_not_fit(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """Columns and values that the table cannot hold are refused by name, not executed."""
        write_sql(mean, tmp_path, scoring=SCORING)
        row = [1, "x", 1, None]
        asks = [
            [[*NAMES, 'x"; DROP TABLE model; --'], [[*row, 1]]],
            [["id", "name"], [[1, "x"]]],
            [[*NAMES, "ID"], [[*row, 2]]],
            [[*NAMES, "id"], [[*row, 2]]],
            [[], [["one", "x", 1, None]]],
            [[], [[10**30, "x", 1, None]]],
            [[], row],
        ]

        *errors, last = ask_sql(
            sql_python, tmp_path, tiny(tmp_path, DATA_CONF, asks, sample=SAMPLE)
        )[0]

        assert {"ValueError"} == {error["type"] for error in errors}
        told = [error["message"] for error in errors]
        known = "`id`, `name`, `amount`, `day`, `label`"
        assert f'`x"; DROP TABLE model; --` is no column of `ROWS`, which has {known}' == told[0]
        assert "the column `amount` of `ROWS` is missing" == told[1]
        assert "a column of `ROWS` is there twice, in other letters" == told[2]
        assert "a column is there twice: `id`" == told[3]
        assert told[4].startswith("the rows do not fit `ROWS`: Conversion Error: Could not convert")
        assert told[5].startswith("the rows do not fit `ROWS`: Conversion Error")
        assert [[1, "x", None, None, False, 1.0]] == last[1]

    def test_faults(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """What stands against answering is told before the first request."""
        write_sql(mean, tmp_path, scoring=SCORING, ends="SELECT 1;\nCOMMIT")
        models = [
            tiny(tmp_path, DATA_CONF | {"data_table": None}, []),
            tiny(tmp_path, DATA_CONF | {"data_table": "gone"}, []),
            tiny(tmp_path, DATA_CONF | {"predictions_table": None}, []),
            tiny(tmp_path, DATA_CONF, [], modules=["ends"]),
            tiny(tmp_path, TERADATA | {"hostname": "127.0.0.1"}, []),
        ]

        *found, unreachable = ask_sql(sql_python, tmp_path, *models)

        assert {"ModelFault"} == {error["type"] for error in found}
        unclear, gone, unnamed, ends = (error["message"] for error in found)
        expected = "the dataset does not say which table the rows of a request stand for: name it"
        assert f"{expected} as `data_table`, such as `other` or `rows`" == unclear
        assert gone.startswith("`data_table` of the dataset is no table: Catalog Error: ")
        assert unnamed.startswith("the dataset has no `predictions_table`")
        assert ends.startswith("`model_modules/ends.sql:2`: each request is a transaction")
        expected = "cannot connect to `127.0.0.1` (TDNEGO): Failed to connect"
        assert unreachable["message"].startswith(expected)

    def test_a_database_that_has_gone(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """It is opened again, with the model, for the request that finds it gone."""
        write_sql(mean, tmp_path, scoring=SCORING)
        request = tiny(tmp_path, DATA_CONF, [], sample=SAMPLE)
        program = (
            "import json, sys; from model_runtime.engines import sql\n"
            "request = json.loads(sys.argv[1])\n"
            "scorer = sql.scorer(request, request['arguments'])\n"
            "first = scorer.predict([], [1, 'x', 2, None])\n"
            "scorer._session._connection.close()\n"
            "print(json.dumps([first, scorer.predict([], [1, 'x', 2, None])]))"
        )

        first, second = ask(sql_python, program, json.dumps(request), cwd=tmp_path)

        assert [[1, "x", None, None, True, 2.0]] == first[1]
        assert first == second

    def test_a_query_for_an_input(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """Where the dataset has a query, the rows stand for what it gives."""
        made = "CREATE TABLE a.b AS SELECT * FROM ({{ context.dataset_info.sql }})"
        write_sql(mean, tmp_path, scoring=made)
        data_conf = {
            "type": "CatalogBody",
            "sql": "SELECT id, label AS l FROM rows;",
            "predictions": {"database": "a", "table": "b"},
            "tables": {"rows": {"url": "rows.csv"}},
        }
        asks: list[Any] = [[["id", "l"], [[7, "x"]]], [[], [[7, "x"]]], [["id"], [[7]]]]

        rows, unnamed, fewer = ask_sql(sql_python, tmp_path, tiny(tmp_path, data_conf, asks))[0]

        assert [["id", "l"], [[7, "x"]]] == rows
        assert "the columns have no names, which a table needs" == unnamed["message"]
        assert "the column `l` of `MODELMAKE_ROWS` is missing" == fewer["message"]


@pytest.mark.sql
class TestTeradata:
    """The same model, with a stand-in for the server."""

    TABLES = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY ALL"

    def start(self, python: str, mean: Path, folder: Path, **scripts: str) -> None:
        """Make the server with the input, the model, and predictions that are not to be touched."""
        write_sql(mean, folder, **scripts)
        serve(
            python, folder,
            "CREATE SCHEMA shop", "CREATE TABLE shop.rows AS FROM 'rows.csv'",
            "CREATE TABLE model AS SELECT 1.5 AS mean", "CREATE TABLE shop.found AS SELECT 1 AS a",
        )  # fmt: skip

    def test_answers(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """They are DuckDB's, after a failure and in another session; nothing of them stays."""
        self.start(sql_python, mean, tmp_path, scoring=SCORING)
        (tmp_path / "lose").write_text('INSERT INTO "MODELMAKE_PREDICTIONS"')
        rows = [[2, HOSTILE, True, "2024-02-29"], [1, None, 2.5, None]]
        asks: list[Any] = [[[], rows], [[], [1, "bad", 1, None]], [[], [3, "x", 1, None]]]
        asks += [[["id"], [[1]]], [[], ["one", "x", 1, None]], asks[0]]

        found = ask_sql(
            sql_python, tmp_path, tiny(tmp_path, TERADATA, asks, sample=SAMPLE), stand_in=True
        )[0]

        assert not (tmp_path / "lose").exists()
        assert found[0] == found[5]
        expected = ask_sql(sql_python, tmp_path, tiny(tmp_path, DATA_CONF, asks, sample=SAMPLE))[0]
        assert [expected[0], expected[2]] == [found[0], found[2]]
        assert "OperationalError" == found[1]["type"]
        assert "in statement 2 of 2: INSERT INTO" in found[1]["message"]
        assert "the column `name` of `MODELMAKE_ROWS` is missing" == found[3]["message"]
        assert found[4]["message"].startswith("the rows do not fit `shop.rows`: ")
        left = serve(sql_python, tmp_path, self.TABLES, "FROM shop.found")
        assert [[["main", "model"], ["shop", "found"], ["shop", "rows"]], [[1]]] == left
        assert [] == [text for text in statements(tmp_path) if HOSTILE[:8] in text]

    def test_faults(self, sql_python: str, mean: Path, tmp_path: Path) -> None:
        """A script that would change the server's tables, or reads them all, is not executed."""
        reads = "SEL * FROM {{ data_conf.data_table }};\n"
        changes = ("DELETE FROM model", "DROP TABLE model", "CALL tidy()", "CREATE VIEW v AS SEL 1")
        scripts = {f"changes{number}": reads + text for number, text in enumerate(changes)}
        self.start(sql_python, mean, tmp_path, scoring="SELECT * FROM shop.rows", **scripts)
        models = [tiny(tmp_path, TERADATA, [], modules=[name]) for name in ("scoring", *scripts)]

        unread, *changing = ask_sql(sql_python, tmp_path, *models, stand_in=True)

        expected = "`scoring.sql` does not read the table that the dataset names as `data_table`"
        assert unread["message"].startswith(expected)
        for number, error in enumerate(changing):
            assert "ModelFault" == error["type"]
            place = f"`model_modules/changes{number}.sql:2`"
            assert error["message"].startswith(f"{place}: a script that answers requests on")
            assert error["message"].endswith(f": {changes[number]}")
        assert [["1"]] == serve(sql_python, tmp_path, "SELECT a::VARCHAR FROM shop.found")[0]
