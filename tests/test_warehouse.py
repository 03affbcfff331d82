"""The database of a step: DuckDB for real; Teradata as far as can be gone without a server."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ask

CONNECT = """
import json, os, sys
from model_runtime.contract import StepError
from model_runtime.warehouse import connect, export
os.environ.setdefault("MODEL_SCRATCH", os.getcwd())
data_conf, *statements = json.loads(sys.argv[1])
try:
    with connect(data_conf) as connection:
        rows = [connection.execute(statement).fetchall() for statement in statements]
        print(json.dumps([rows[-1] if rows else [], export(connection)], default=str))
except StepError as error:
    print(json.dumps([error.kind, str(error), error.where]))
"""

HOLD = """
import duckdb, sys
connection = duckdb.connect("held.duckdb")
connection.execute("create table t as select 1 as a")
print("held", flush=True)
sys.stdin.read()
"""


def connect(python: str, folder: Path, data_conf: dict[str, Any], *statements: str) -> Any:  # noqa: ANN401
    """Return the rows of the last statement and the tables exported, or the parts of the error."""
    return ask(python, CONNECT, json.dumps([data_conf, *statements]), cwd=folder)


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of the exported tables."""
    files = sorted((folder / "models/warehouse").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class TestDuckDB:
    """Without a host."""

    def test_tables(self, sql_python: str, tmp_path: Path) -> None:
        """CSV and Parquet files are the tables that the dataset names, with types of their own."""
        (tmp_path / "a.csv").write_text("id,name\n1,x\n" + "2,y\n" * 50_000 + "2.5,z\n")
        connect(sql_python, tmp_path, {}, "copy (select 7 as v) to 'b.parquet'")
        tables = {"A": {"url": "a.csv"}, "B": {"url": "b.parquet"}}

        query = "select max(id) + max(v), typeof(max(id)) from a, b"
        found = connect(sql_python, tmp_path, {"tables": tables}, query)

        assert [[[9.5, "DOUBLE"]], []] == found

    def test_export(self, sql_python: str, tmp_path: Path) -> None:
        """What training made comes back; input and temporary tables are no artefacts."""
        (tmp_path / "a.csv").write_text("id\n1\n")
        tables = {"tables": {"a": {"url": "a.csv"}}}
        made = "create table M as select id + 1 as v from A", "create temp table t as select 1 as v"

        assert ["M"] == connect(sql_python, tmp_path, tables, *made)[1]
        (tmp_path / "warehouse.duckdb").unlink()
        assert [[2]] == connect(sql_python, tmp_path, {}, "select v from m")[0]

    def test_same_rows_same_bytes(self, sql_python: str, tmp_path: Path) -> None:
        """Tables with the same rows are exported as the same bytes, in whatever order they came."""
        rows = "select range as a, sin(range) as b, 'x' || range % 7 as c from range(500000)"
        seen = []
        for order in ("a", "b", "c desc, a desc"):
            folder = tmp_path / order[:1]
            folder.mkdir()
            connect(sql_python, folder, {}, f"create table m as {rows} order by {order}")
            seen.append(digests(folder))

        assert [seen[0]] * 3 == seen

    def test_schema(self, sql_python: str, tmp_path: Path) -> None:
        """A schema is there, and what is not named in full is in it."""
        made = "create table m as select 1 as v", "select * from aoa.m"

        assert [[[1]], ["m"]] == connect(sql_python, tmp_path, {"schema": "aoa"}, *made)

    def test_spills(self, sql_python: str, tmp_path: Path) -> None:
        """A sort that is larger than the memory limit ends well."""
        query = (
            "select count(*) from (select row_number() over (order by sha256(range::varchar)) as n"
            " from range(1000000))"
        )
        found = connect(sql_python, tmp_path, {"memory_limit": "100MB"}, query)

        assert [[1_000_000]] == found[0]

    def test_database(self, sql_python: str, tmp_path: Path) -> None:
        """The tables of a DuckDB file can be read; what the model makes goes elsewhere."""
        make = (
            "import duckdb; duckdb.connect('x.duckdb').execute('create table t as select 4 as v')"
        )
        subprocess.run([sql_python, "-c", make], cwd=tmp_path, check=True)
        before = (tmp_path / "x.duckdb").read_bytes()
        data_conf = {"database": "x.duckdb"}

        found = connect(sql_python, tmp_path, data_conf, "create table m as from t", "from m")

        assert [[[4]], ["m"]] == found
        assert before == (tmp_path / "x.duckdb").read_bytes()

    def test_locked_database(self, sql_python: str, tmp_path: Path) -> None:
        """A file that another process writes to is one clear line, and no wait."""
        with subprocess.Popen(
            [sql_python, "-c", HOLD],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as holder:  # fmt: skip
            assert holder.stdout
            holder.stdout.readline()
            found = connect(sql_python, tmp_path, {"database": "held.duckdb"})
            holder.communicate()

        message = f"`held.duckdb` is in use by another process ({holder.pid}), which writes to it"
        assert ["DuckDB", message, ""] == found

    def test_changes_beside_a_database(self, sql_python: str, tmp_path: Path) -> None:
        """A file with changes that are not in it yet is refused: no digest stands for them."""
        killed = HOLD.replace("sys.stdin.read()", "import os; os._exit(1)")
        subprocess.run([sql_python, "-c", killed], cwd=tmp_path, check=False, capture_output=True)

        found = connect(sql_python, tmp_path, {"database": "held.duckdb"})

        assert "`held.duckdb` has changes beside it in `held.duckdb.wal`: CHECKPOINT it" == found[1]

    @pytest.mark.parametrize(
        ("data_conf", "kind", "message"),
        [
            ({"tables": {"a; drop table b": {"url": "a.csv"}}}, "InvalidName", "`a; drop table b`"),
            ({"tables": {"a": {"url": "nope.csv"}}}, "DuckDB", "nope.csv"),
            ({"tables": {"a": {}}}, "Dataset", "`tables.a` names no file, such as by `url`"),
            ({"database": "nope.duckdb"}, "DuckDB", "does not exist"),
            ({"memory_limit": "much"}, "DuckDB", "Memory must have a number"),
        ],
        ids=["name", "no such file", "no file", "no such database", "memory"],
    )
    def test_errors(
        self, sql_python: str, tmp_path: Path, data_conf: dict[str, Any], kind: str, message: str
    ) -> None:
        """What is wrong in a dataset is one line."""
        found = connect(sql_python, tmp_path, data_conf)

        assert kind == found[0]
        assert message in found[1]
        assert "\n" not in found[1]


class TestTeradata:
    """The driver is real; there is no server here."""

    PASSWORD = "correct-horse-battery"  # noqa: S105 - of nobody

    def fails(self, python: str, monkeypatch: pytest.MonkeyPatch, **data_conf: str) -> str:
        """Return the message of a connection that cannot be made."""
        monkeypatch.setenv("TD_USERNAME", "alice")
        monkeypatch.setenv("TD_PASSWORD", self.PASSWORD)
        kind, message, _ = connect(python, Path(), data_conf)
        assert "Teradata" == kind
        assert "\n" not in message
        assert self.PASSWORD not in message
        return str(message)

    def test_unreachable(self, sql_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host where nothing listens is one line with the driver's reason."""
        message = self.fails(sql_python, monkeypatch, hostname="127.0.0.1")

        assert message.startswith("cannot connect to `127.0.0.1` (TDNEGO): Failed to connect")
        assert message.endswith("connection refused (error 444)")

    def test_unknown_host(self, sql_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that leads nowhere is said to be one."""
        message = self.fails(sql_python, monkeypatch, host="nowhere.invalid", schema="demo")

        assert "Hostname lookup failed for nowhere.invalid" in message

    def test_mechanism(self, sql_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """TD_LOGMECH chooses the mechanism of the login; the driver refuses one that it lacks."""
        monkeypatch.setenv("TD_LOGMECH", "CARRIERPIGEON")

        message = self.fails(sql_python, monkeypatch, host="127.0.0.1")

        assert "(CARRIERPIGEON): Invalid argument CARRIERPIGEON" in message

    def test_numbers(self, sql_python: str) -> None:
        """An error's number and reason are read from the text that the driver makes."""
        text = (
            "[Version 20.0.0.72] [Session 1] [Teradata Database] [Error 3807] Object 'a.b' does not"
            " exist.\n at gosqldriver/teradatasql.formatError ErrorUtil.go:84"
        )
        program = (
            "import json, sys; from model_runtime.warehouse import driver_code, driver_reason;"
            "error = ValueError(sys.argv[1]);"
            "print(json.dumps([driver_code(error), driver_reason(error)]))"
        )

        found = ask(sql_python, program, text)

        assert [3807, "Object 'a.b' does not exist. (error 3807)"] == found

    def test_no_login(self, sql_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who has set no name is told so."""
        for name in ("TD_USERNAME", "TD_PASSWORD"):
            monkeypatch.delenv(name, raising=False)

        found = connect(sql_python, Path(), {"host": "127.0.0.1"})

        assert found[1].endswith("; TD_USERNAME is not set")
