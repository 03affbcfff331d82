"""Conclusions that are remembered with all that was looked at to come to them.

That a model has nothing to do is concluded from its files, its results, its lock and what
surrounds them.  While each path that was looked at is as it was (size, both times, inode, or
nothing there), and the surroundings are the same, so is the conclusion: a stat a path, and no file
is read, parsed or hashed.  They lie in the state file, a row a subject, and one transaction reads
or writes them with the surroundings that all of them belong to.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from array import array
from contextlib import closing

from tasks import looks
from tasks.surroundings import surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

    from tasks.looks import Look

    Row: TypeAlias = tuple[Any, ...]

STATE_FILE = "build/state.db"
FORMAT = 4
TABLE = """
create table if not exists verdict (kind text, subject text, conclusion text, shared text, own text,
    looks blob, sum int, primary key (kind, subject));
"""
SURROUNDINGS = "surroundings"
_BUILD = "build/"
_GONE = (0, 0, 0, 0)
_BETWEEN = "\0"

_around: dict[str, str] = {}
_surveys: dict[tuple[str, str], tuple[list[str], Mapping[str, str]]] = {}


def summed(*row: object) -> Row:
    """Return a row with its checksum behind it: SQLite does not see that a byte has changed."""
    found = 0
    for part in row:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        found = zlib.crc32(data, found ^ len(data))
    return (*row, found)


def sound(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that are as they were written, without their checksums."""
    return [row[:-1] for row in rows if summed(*row[:-1]) == row]


def around() -> str:
    """Return what surrounds the repository in the working directory, looked at once a process."""
    here = os.getcwd()
    if here not in _around:
        _around[here] = surroundings()
    return _around[here]


def kind_of(steps: Iterable[str]) -> str:
    """Return the kind of the conclusion that these steps have nothing to do."""
    return " ".join(steps)


def survey(kind: str) -> tuple[list[str], Mapping[str, str]]:
    """Return the folders of all models, and the conclusions of a kind that hold, by folder.

    A process looks once: doit goes on from what was seen before it was loaded.
    """
    key = (os.getcwd(), kind)
    if key not in _surveys:
        found = held(kind)
        _surveys[key] = looks.model_folders(known=found), found
    return _surveys[key]


def held(kind: str, subjects: Sequence[str] | None = None) -> dict[str, str]:
    """Return the conclusions of a kind that hold now, by subject: of all, or of these."""
    try:
        with closing(_opened()) as connection:
            connection.execute("begin")
            return _those_that_hold(_rows(connection, kind, subjects))
    except sqlite3.Error:  # it costs only time, and who opens the file to write tells of it
        return {}


def ignored(tasks: Sequence[str]) -> bool:
    """Return whether doit was told to ignore one of these tasks, or that cannot be known."""
    marks = ", ".join("?" * len(tasks))
    query = f"select 1 from task where name in ({marks}) and data like '%\"ignore:\"%'"  # noqa: S608
    try:
        with closing(_opened()) as connection:
            return connection.execute(query, tasks).fetchone() is not None
    except sqlite3.Error:
        return True


def _opened() -> sqlite3.Connection:
    return sqlite3.connect(f"file:{STATE_FILE}?mode=rw", uri=True)


def _rows(
    connection: sqlite3.Connection, kind: str, subjects: Sequence[str] | None
) -> Iterable[Row]:
    """Return what was remembered in these surroundings."""
    execute = connection.execute
    if execute("pragma user_version").fetchone() != (FORMAT,):
        return ()
    if not _belongs(connection):
        return ()
    query = "select * from verdict where kind = ?"
    if subjects is None:
        return execute(query, [kind])
    marks = ", ".join("?" * len(subjects))
    return execute(f"{query} and subject in ({marks})", [kind, *subjects])


def _those_that_hold(rows: Iterable[Row]) -> dict[str, str]:
    """Look at every path; what many models share is looked at once."""
    found, seen = {}, {}
    for row in rows:
        if summed(*row[:-1]) != row:
            continue
        _, subject, conclusion, shared, own, before, _ = row
        now = array("Q")
        try:
            for path in _split(shared):
                if path not in seen:
                    seen[path] = looks.look(path)
                now.extend(seen[path] or _GONE)
            for path in _split(own):
                now.extend(looks.look(path) or _GONE)
        except OverflowError:  # a time before 1970
            continue
        if now.tobytes() == before:
            found[subject] = conclusion
    return found


def row(kind: str, subject: str, conclusion: str, found: Mapping[str, Look]) -> Row | None:
    """Return a conclusion as it is kept, with all that was looked at; None where it cannot be."""
    of_its_own = (f"{subject}/", _BUILD)
    own = [path for path in found if path.startswith(of_its_own)]
    shared = [path for path in found if not path.startswith(of_its_own)]
    paths = [_BETWEEN.join(shared), _BETWEEN.join(own)]
    try:
        packed = array("Q", (part for path in shared + own for part in found[path] or _GONE))
        "".join([subject, *paths]).encode()
    except (OverflowError, UnicodeError):
        return None
    if len(packed) != sum(len(_GONE) for text in paths for _ in _split(text)):
        return None  # a path that cannot be
    return summed(kind, subject, conclusion, *paths, packed.tobytes())


def keep(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write conclusions, in a transaction of the caller's; those of other surroundings go."""
    if not _belongs(connection):
        connection.execute("delete from verdict")
        row = summed(SURROUNDINGS, around())
        connection.execute("replace into memo values (?, ?, ?)", row)
    connection.executemany("replace into verdict values (?, ?, ?, ?, ?, ?, ?)", rows)


def _belongs(connection: sqlite3.Connection) -> bool:
    """Return whether what is remembered was concluded in these surroundings."""
    query = "select * from memo where key = ?"
    return connection.execute(query, [SURROUNDINGS]).fetchall() == [summed(SURROUNDINGS, around())]


def _split(text: str) -> list[str]:
    return text.split(_BETWEEN) if text else []
