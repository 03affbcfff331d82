"""A driver in the place of Teradata's: the server is a file, `server.duckdb`, which DuckDB reads.

What is a volatile table there is a temporary one here, seen by its session alone.  Each statement
is noted in `statements.json`, a line each.  With the first statement that begins as the file `lose`
says, if there is one, the session is lost for good.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb


class Error(Exception):
    """An error with the text that the real driver makes."""


class OperationalError(Error):
    """What the server or the network does not do."""


class Connection:
    """A session, whose tables are those of the file and its own temporary ones."""

    def __init__(self) -> None:
        """Open it."""
        self.database, self.lost = duckdb.connect("server.duckdb"), False

    def cursor(self) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    def close(self) -> None:
        """End the session."""
        if self.lost:
            raise OperationalError("[Version 20.0.0.72] [Error 434] the session is gone")
        self.database.close()


class Cursor:
    """Executes statements, and keeps the rows of the last one."""

    def __init__(self, connection: Connection) -> None:
        """Take the statements of this session."""
        self._connection, self.description, self._rows = connection, None, []

    def execute(self, statement: str, parameters: Any = ()) -> None:  # noqa: ANN401 - of any type
        """Execute a statement."""
        self.executemany(statement, [parameters])

    def executemany(self, statement: str, rows: list[Any]) -> None:
        """Execute a statement with each row of parameters."""
        with Path("statements.json").open("a") as file:
            file.write(json.dumps([statement, *rows]) + "\n")
        lose = Path("lose")
        if lose.exists() and statement.startswith(lose.read_text()):
            lose.unlink()
            self._connection.lost = True
        if self._connection.lost:
            raise OperationalError("[Version 20.0.0.72] [Error 434] the session is gone")
        try:
            for row in rows:
                done = self._connection.database.execute(_for_duckdb(statement), list(row))
        except duckdb.Error as error:
            number = 3807 if isinstance(error, duckdb.CatalogException) else 3706
            raise OperationalError(f"[Session 1] [Error {number}] {error}") from None
        self._rows = done.fetchall() if statement.startswith("SEL") else []
        self.description = done.description if statement.startswith("SEL") else None

    def fetchall(self) -> list[Any]:
        """Return the rows."""
        return self._rows

    def close(self) -> None:
        """Let go of the rows."""
        self._rows = []


def connect(**parameters: str) -> Connection:
    """Open a session."""
    if parameters["host"] != "stand-in":
        raise OperationalError(f"[Error 444] there is no host {parameters['host']}")
    return Connection()


def _for_duckdb(statement: str) -> str:
    text = re.sub(r"(?:MULTISET |SET )?VOLATILE TABLE", "TEMPORARY TABLE", statement)
    text = text.replace(" ON COMMIT PRESERVE ROWS", "")
    return "SELECT 'alice'" if text == "SELECT USER" else text
