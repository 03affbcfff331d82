"""doit's state and the digests of files, in one SQLite file.

Nothing here is the only copy of anything: a result's own record says what it was made from, so
this file can be deleted at any time.  What is lost with it is time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import snapshot, status_line
from tasks.errors import UserError
from tasks.fingerprint import Files, Seen
from tasks.snapshot import FORMAT, STATE_FILE, sound, summed

if TYPE_CHECKING:
    from tasks.fingerprint import Trace

BUSY_SECONDS = 60

_UNSIGNED = 1 << 64

_TABLES = """
create table if not exists task (name text primary key, data text, sum int) without rowid;
create table if not exists file (path text primary key, size int, mtime_ns int, ctime_ns int,
    inode int, hashed_ns int, digest text, kind text, note text, sum int) without rowid;
create table if not exists memo (key text primary key, value text, sum int) without rowid;
"""


class State:
    """The SQLite file: rows by task, digests by path, and small memos.

    In WAL mode two runs can read and write at once; each commit is one transaction.
    """

    def __init__(self, path: str) -> None:
        """Open or make the file; one that SQLite cannot read is set aside."""
        self.path = path
        self._lock = threading.Lock()
        try:
            self._connection = self._open()
        except sqlite3.OperationalError as error:
            raise unusable(path, error) from error
        except sqlite3.DatabaseError:
            _set_aside(path)
            self._connection = self._open()
        self.look_anew()
        self._verdicts: list[snapshot.Row] = []

    def look_anew(self) -> None:
        """Look at files as a new process would: what was seen by this one is from before."""
        self.files = Files(self._seen)
        self.files.tell = status_line.show

    def _open(self) -> sqlite3.Connection:
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        except OSError as error:
            raise unusable(self.path, error) from error
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        found = connection.execute("pragma user_version").fetchone()[0]
        if found != FORMAT:
            _switch_to_wal(connection)
            connection.execute("begin immediate")
            if connection.execute("pragma user_version").fetchone()[0] not in (0, FORMAT):
                for table in ("task", "file", "verdict", "memo"):
                    connection.execute(f"drop table if exists {table}")
            for statement in (_TABLES + snapshot.TABLE).strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
            connection.execute(f"pragma user_version={FORMAT}")
            connection.execute("commit")
        connection.execute("pragma synchronous=normal")
        connection.execute("select count(*) from task").fetchone()
        self._clear_journal(connection)
        return connection

    def _clear_journal(self, connection: sqlite3.Connection) -> None:
        """Remove the journal from before WAL mode, which a loss of power may have left.

        SQLite has looked at it by now and needs it no more, but lets it lie.
        """
        journal = f"{self.path}-journal"
        mode = "pragma journal_mode"
        if os.path.exists(journal) and connection.execute(mode).fetchone()[0] == "wal":
            with contextlib.suppress(FileNotFoundError):
                os.remove(journal)

    def _do(self, statement: str, *values: object) -> list[Any]:
        """Execute a statement and return its rows; a file found damaged only now is made anew."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._connection.close()
                _set_aside(self.path)
                self._connection = self._open()
                return self._connection.execute(statement, values).fetchall()

    def _seen(self, path: str) -> Seen | None:
        if not path.isprintable():
            return None
        rows = sound(self._do("select * from file where path = ?", path))
        return _as_seen(rows[0]) if rows else None

    def conclude(self, kind: str, subject: str, trace: Trace, conclusion: object = None) -> None:
        """Remember a conclusion, unless something was written while it was reached."""
        if trace.settled(self.files.began_ns):
            row = snapshot.row(kind, subject, json.dumps(conclusion), trace.looks)
            self._verdicts += [row] if row else []

    def task(self, name: str) -> str | None:
        """Return a task's row as JSON text."""
        rows = sound(self._do("select * from task where name = ?", name))
        return rows[0][1] if rows else None

    def save(self, rows: dict[str, str]) -> None:
        """Commit rows of tasks, and the digests that were worked out since the last commit.

        A full disk costs a warning: the results themselves are recorded elsewhere.
        """
        changed = _take(self.files.changed)
        seen = [_as_row(path, one) for path, one in changed if path.isprintable()]
        verdicts, self._verdicts = self._verdicts, []
        if not (rows or seen or verdicts):
            return
        tasks = [summed(*row) for row in rows.items()]
        with self._lock:
            try:
                self._connection.execute("begin immediate")
                self._connection.executemany("replace into task values (?, ?, ?)", tasks)
                self._connection.executemany(
                    "replace into file values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", seen
                )
                if verdicts:
                    snapshot.keep(self._connection, verdicts)
                self._connection.execute("commit")
            except (sqlite3.Error, UnicodeError) as error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                _warn(f"cannot save {self.path}: {error}")

    def remove(self, name: str | None) -> None:
        """Delete one task's row, or with None all of them."""
        try:
            if name is None:
                self._do("delete from task")
            else:
                self._do("delete from task where name = ?", name)
        except sqlite3.Error as error:
            _warn(f"cannot save {self.path}: {error}")

    def recall(self, key: str) -> str | None:
        """Return what was remembered under a key."""
        found = sound(self._do("select * from memo where key = ?", key))
        return found[0][1] if found else None

    def remember(self, key: str, value: str) -> None:
        """Keep a small value; losing it costs only time."""
        with contextlib.suppress(sqlite3.Error):
            self._do("replace into memo values (?, ?, ?)", *summed(key, value))


def _as_row(path: str, seen: Seen) -> snapshot.Row:
    """Return what was seen of a file as SQLite can hold it, whose numbers are signed.

    Some file systems number their files beyond that.  A time beyond it, after 2262, comes back as
    another one: such a file is always hashed anew, since it may be written before its time.
    """
    signed = (_signed(part) if isinstance(part, int) else part for part in seen)
    return summed(path, *signed)


def _as_seen(row: snapshot.Row) -> Seen:
    seen = Seen._make(row[1:])
    return seen._replace(inode=seen.inode % _UNSIGNED)


def _signed(number: int) -> int:
    return (number + _UNSIGNED // 2) % _UNSIGNED - _UNSIGNED // 2


def _warn(message: str) -> None:
    sys.stderr.write(f"warning: {message}\n")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode; SQLite itself does not wait here for another run that does the same."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode=wal")
        except sqlite3.OperationalError as error:  # noqa: PERF203 - it waits anyway
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _take(changed: dict[str, Seen]) -> list[tuple[str, Seen]]:
    taken = []
    while changed:
        with contextlib.suppress(KeyError):
            taken.append(changed.popitem())
    return taken


def unusable(path: str, error: Exception) -> UserError:
    """Return the error for a state file that cannot be opened or made."""
    folder = os.path.dirname(os.path.abspath(path))
    return UserError(
        f"Cannot use the state file `{path}`",
        ("reason", error),
        hint=f"make `{folder}` a folder that you can write to, with free space",
    )


def _set_aside(path: str) -> None:
    _warn(f"{path} is damaged; it is made anew, nothing is lost")
    os.replace(path, f"{path}.damaged")
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path + suffix)


def copied(path: str = STATE_FILE) -> State:
    """Return a State in memory that knows what the file holds, for what is to write nothing.

    Raises sqlite3.Error where the file is there and cannot be read, or is damaged.
    """
    state = State(":memory:")
    if not os.path.exists(path):
        return state
    # The index of its log is not written to; where there is none, SQLite is to make none either.
    how = "readonly_shm" if os.path.exists(f"{path}-shm") else "immutable"
    address = f"{Path(path).absolute().as_uri()}?mode=ro&{how}=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as source:
        health = source.execute("pragma quick_check(1)").fetchone()[0]
        if health != "ok":
            raise sqlite3.DatabaseError(health)
        if source.execute("pragma user_version").fetchone()[0] == FORMAT:
            source.backup(state._connection)  # noqa: SLF001 - its own
    return state


@functools.cache
def _opened(path: str) -> State:
    return State(path)


def open_state(path: str = STATE_FILE) -> State:
    """Return the state of the repository in the working directory, opened once a process."""
    return _opened(os.path.abspath(path))
