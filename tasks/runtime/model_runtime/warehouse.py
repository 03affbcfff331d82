"""The database of a step: DuckDB in the run's scratch folder, or Teradata where there is a host.

    from model_runtime.warehouse import connect, export

    with connect(data_conf) as connection:
        connection.execute("SELECT COUNT(*) FROM EVENTS").fetchone()

On DuckDB the file is a throw-away one.  The dataset's input tables are there, and so is
what training exported: the tables it left are artefacts, `models/warehouse/<table>.parquet`, so
that they are recorded, published and copied like any other; the same rows give the same bytes.

On Teradata the tables are the server's.  The name, password and mechanism of the login come from
TD_USERNAME, TD_PASSWORD and TD_LOGMECH; no message of ours holds the password.
"""

import glob
import importlib
import json
import os
import re
import tempfile
import urllib.parse
import urllib.request
from typing import Any, Dict, FrozenSet, List, Optional, Sequence

from model_runtime.contract import StepError

FOLDER = "models/warehouse"
DATABASE_SUFFIX = ".duckdb"
DEFAULT_MEMORY = "1GB"
NO_SUCH_OBJECT = 3807  # Teradata's number for it
FILE_KEYS = ("data_path", "url", "dataset_file_path", "location")

_NAME = re.compile(r"[^\W\d][\w$#]{0,127}")
_DRIVER_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")
_DRIVER_CODE = re.compile(r"\[Error (\d+)\]")


class Connection:
    """An open database: `engine` is `duckdb` or `teradata`, `raw` the driver's own connection.

    `error` is the class of the driver's errors; `inputs` are the names of the tables that the
    dataset brought, in lower case.
    """

    def __init__(
        self, engine: str, raw: Any, error: Any, inputs: FrozenSet[str] = frozenset()
    ) -> None:
        """Wrap the driver's connection."""
        self.engine, self.raw, self.error, self.inputs = engine, raw, error, inputs

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Execute one statement and return the cursor: `fetchone`, `fetchall`, `description`."""
        # DuckDB's cursors are connections of their own, which see no temporary tables.
        cursor = self.raw if self.engine == "duckdb" else self.raw.cursor()
        cursor.execute(statement, *([list(parameters)] if parameters else []))
        return cursor

    def finish(self, cursor: Any) -> None:
        """Let go of a cursor: a server keeps the results of few.  DuckDB's is the connection."""
        if self.engine == "teradata":
            cursor.close()

    def close(self) -> None:
        """Close the database."""
        self.raw.close()

    def __enter__(self) -> "Connection":  # noqa: PYI034 - Python 3.6 has no Self
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def identifier(name: str) -> str:
    """Return the name of a table or column, `a` or `a.b`, quoted for a statement.

    Raises StepError where it is none: letters, digits, `_`, `$` and `#`, not a digit first.
    """
    parts = str(name).split(".")
    if not all(_NAME.fullmatch(part) for part in parts):
        raise StepError(
            "InvalidName",
            f"`{name}` is not the name of a table or column:"
            " letters, digits, `_`, `$` and `#`, not a digit first",
        )
    return ".".join(f'"{part}"' for part in parts)


def literal(value: Any) -> str:
    """Return a text, number or None as it is written in a statement."""
    if value is None:
        return "null"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def connect(data_conf: Dict[str, Any], empty: str = "") -> Connection:
    """Open the database that the dataset means; of the input table `empty` no row is loaded.

    Keys of the dataset: `hostname` (or `host`) means Teradata, with `schema` or `database` as the
    default database.  For DuckDB: `tables` (`{"NAME": {"url": "a.csv"}}`, CSV with a header or
    Parquet), `database` (`x.duckdb`: a file to read from), `schema`, and `memory_limit`.
    Raises StepError, in one line, where the database cannot be opened.
    """
    host = host_of(data_conf)
    return _teradata(host, data_conf) if host else _duckdb(data_conf, empty)


def host_of(data_conf: Dict[str, Any]) -> str:
    """Return the host of the Teradata that the dataset means, nothing where it means DuckDB."""
    return str(data_conf.get("hostname") or data_conf.get("host") or "")


def export(connection: Connection, tables: Sequence[str] = ()) -> List[str]:
    """Leave what training made as artefacts below `models/warehouse/`, and return the tables.

    On DuckDB it is every table but the input and temporary ones, and the model's folder then holds
    their rows.  On Teradata the tables named stay where they are; a file
    says which they are and how many rows they have.
    """
    if connection.engine == "teradata":
        return _name_tables(connection, tables)
    found = connection.execute(
        "SELECT table_name, nullif(schema_name, current_schema()) FROM duckdb_tables()"
        " WHERE database_name = current_database() AND NOT temporary ORDER BY ALL"
    ).fetchall()
    ways = [(schema, name) if schema else (name,) for name, schema in found]
    ways = [way for way in ways if ".".join(way).lower() not in connection.inputs]
    os.makedirs(FOLDER, exist_ok=True)
    for way in ways:
        # Rows have no order in a table: the same rows are to give the same bytes.
        target = literal(f"{FOLDER}/{_file_name(way)}.parquet")
        connection.execute(f"COPY (FROM {quoted(way)} ORDER BY ALL) TO {target} (FORMAT parquet)")
    return [".".join(way) for way in ways]


def _file_name(way: Sequence[str]) -> str:
    """Return the name of the file for a table, whose schema is before it where it is another."""
    return ".".join(urllib.parse.quote(name, safe=" ").replace(".", "%2E") for name in way)


def quoted(way: Sequence[str]) -> str:
    """Return a name of any characters, with what it lies in before it, quoted for a statement."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in way)


def _name_tables(connection: Connection, tables: Sequence[str]) -> List[str]:
    """Write which of the tables there are, and how many rows they have."""
    counted = [(table, _count(connection, table)) for table in tables]
    rows = {table: count for table, count in counted if count is not None}
    if rows:
        os.makedirs(FOLDER, exist_ok=True)
        with open(f"{FOLDER}/teradata.json", "w", encoding="utf-8") as file:
            json.dump({"rows": rows}, file, indent=4, sort_keys=True)
    return list(rows)


def _count(connection: Connection, table: str) -> Optional[int]:
    """Return the number of a table's rows, None where there is no such table."""
    try:
        cursor = connection.execute(f"SELECT COUNT(*) FROM {identifier(table)}")  # noqa: S608 - quoted
    except connection.error as error:
        if driver_code(error) == NO_SUCH_OBJECT:
            return None
        raise
    return int(cursor.fetchone()[0])


def _duckdb(data_conf: Dict[str, Any], empty: str) -> Connection:
    duckdb = importlib.import_module("duckdb")
    scratch = os.environ.get("MODEL_SCRATCH") or tempfile.mkdtemp(prefix="warehouse-")
    settings = {
        "memory_limit": str(data_conf.get("memory_limit") or DEFAULT_MEMORY),
        "temp_directory": os.path.join(scratch, "spilled"),
        "autoinstall_known_extensions": "false",  # a model does not fetch programs
    }
    raw = None
    try:
        raw = duckdb.connect(os.path.join(scratch, "warehouse.duckdb"), config=settings)
        path = _search_path(raw, data_conf)
        inputs = _load_inputs(raw, data_conf.get("tables") or {}, empty)
        predictions = data_conf.get("predictions")
        if isinstance(predictions, dict) and predictions.get("database"):
            _make_schema(raw, [predictions["database"], ""])
        _load_exported(raw)
        raw.execute(f"SET search_path = {literal(','.join(path))}")
    except (duckdb.Error, StepError) as error:
        if raw:
            raw.close()
        if isinstance(error, StepError):
            raise
        raise StepError("DuckDB", _first_line(error)) from None
    return Connection("duckdb", raw, duckdb.Error, inputs)


def _search_path(raw: Any, data_conf: Dict[str, Any]) -> List[str]:
    """Attach the database file, if one is named, and return where tables are looked for."""
    file = str(data_conf.get("database") or "")
    named = data_conf.get("schema") or (file if not file.endswith(DATABASE_SUFFIX) else "")
    schema = identifier(named) if named else "main"
    raw.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    raw.execute(f"SET schema = {literal('warehouse.' + schema)}")
    path = [f"warehouse.{schema}"]
    if not file.endswith(DATABASE_SUFFIX):
        return path
    duckdb = importlib.import_module("duckdb")
    try:
        raw.execute(f"ATTACH IF NOT EXISTS {literal(file)} AS attached (READ_ONLY)")
    except duckdb.Error as error:
        text = _first_line(error)
        holder = re.search(r"\(PID (\d+)\)", text)
        if "lock" in text and holder:
            text = f"`{file}` is in use by another process ({holder.group(1)}), which writes to it"
        raise StepError("DuckDB", text) from None
    if os.path.exists(f"{file}.wal"):  # which no input of the step stands for
        raise StepError("DuckDB", f"`{file}` has changes beside it in `{file}.wal`: CHECKPOINT it")
    return [*path, "attached.main"]


def _load_inputs(raw: Any, tables: Dict[str, Any], empty: str) -> FrozenSet[str]:
    """Make the tables that the dataset names: Parquet is read where it is, CSV once."""
    for name, entry in tables.items():
        file = next((str(entry[key]) for key in FILE_KEYS if entry.get(key)), "")
        if not file:
            raise StepError("Dataset", f"`tables.{name}` names no file, such as by `url`")
        if file.startswith("file://"):
            file = urllib.request.url2pathname(urllib.parse.urlsplit(file).path)
        if file.lower().endswith(".parquet"):
            kind, source = "view", f"read_parquet({literal(file)})"
        else:  # every row is looked at to tell the types
            kind, source = "table", f"read_csv({literal(file)}, header = true, sample_size = -1)"
        if name.lower() == empty.lower():
            kind, source = "table", f"{source} LIMIT 0"
        identifier(name)  # is it one?
        _make_schema(raw, name.split("."))
        raw.execute(f"CREATE OR REPLACE {kind} {identifier(name)} AS FROM {source}")
    return frozenset(name.lower() for name in tables)


def _load_exported(raw: Any) -> None:
    """Make the tables that training exported, where they are not there yet."""
    for path in sorted(glob.glob(f"{FOLDER}/*.parquet")):
        way = [urllib.parse.unquote(name) for name in os.path.basename(path).split(".")[:-1]]
        _make_schema(raw, way)
        source = f"read_parquet({literal(path)})"
        raw.execute(f"CREATE TABLE IF NOT EXISTS {quoted(way)} AS FROM {source}")


def _make_schema(raw: Any, way: Sequence[str]) -> None:
    """Make the schema that a table's name has before it, where there is one."""
    if way[:-1]:
        raw.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(way[:-1])}")


def _teradata(host: str, data_conf: Dict[str, Any]) -> Connection:
    teradatasql = importlib.import_module("teradatasql")
    given = {
        "user": os.environ.get("TD_USERNAME"),
        "password": os.environ.get("TD_PASSWORD"),
        "database": data_conf.get("schema") or data_conf.get("database"),
    }
    parameters = {name: str(value) for name, value in given.items() if value}
    parameters["logmech"] = os.environ.get("TD_LOGMECH") or "TDNEGO"
    try:
        raw = teradatasql.connect(host=host, **parameters)
    except teradatasql.Error as error:
        reason = driver_reason(error)
        if given["password"]:
            reason = reason.replace(given["password"], "***")
        login = "" if given["user"] else "; TD_USERNAME is not set"
        message = f"cannot connect to `{host}` ({parameters['logmech']}): {reason}{login}"
        raise StepError("Teradata", message) from None  # whose cause would show the parameters
    return Connection("teradata", raw, teradatasql.Error)


def driver_code(error: BaseException) -> int:
    """Return Teradata's number of an error, 0 where it has none."""
    found = _DRIVER_CODE.search(str(error))
    return int(found.group(1)) if found else 0


def driver_reason(error: BaseException) -> str:
    """Return what Teradata's driver says, without its own stack: its first line, the root cause."""
    lines = str(error).splitlines() or [type(error).__name__]
    causes = [line[len("Caused by ") :] for line in lines if line.startswith("Caused by ")]
    roots = [cause for cause in causes if not cause.startswith("[")]
    texts = [_DRIVER_PREFIX.sub("", line).strip() for line in [lines[0], *roots[:1]]]
    code = driver_code(error)
    return ": ".join(texts) + (f" (error {code})" if code else "")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
