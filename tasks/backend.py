"""What doit keeps of its tasks is kept in our state: its BACKEND, and the checker of its files."""

from __future__ import annotations

from typing import Any

from doit.dependency import FileChangedChecker
from doit.exceptions import InvalidCommand

from tasks.errors import UserError
from tasks.state import open_state


class StateBackend:
    """doit's BACKEND: a JSON row a task, committed when doit has saved the task's success."""

    desc = "SQLite in WAL mode, committed task by task"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:  # noqa: ANN401 - doit's signature
        """Open the file named by doit's `dep_file`."""
        del module_name
        try:
            self._state = open_state(name)
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        self.name = name
        self._codec = codec
        self._rows: dict[str, dict[str, Any]] = {}
        self._dirty: set[str] = set()

    def get(self, task_id: str, dependency: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return a value of a task's row, or None."""
        row = self._rows.get(task_id)
        if row is None:
            text = self._state.task(task_id)
            row = self._rows[task_id] = self._codec.decode(text) if text else {}
        return row.get(dependency)

    def set(self, task_id: str, dependency: str, value: object) -> None:
        """Set a value; `deps:` is the last that doit sets of a task, and commits."""
        self.get(task_id, dependency)
        self._rows[task_id][dependency] = value
        self._dirty.add(task_id)
        if dependency == "deps:":
            self._commit()

    def in_(self, task_id: str) -> bool:
        """Return whether anything is known of a task."""
        return task_id in self._dirty or self._state.task(task_id) is not None

    def remove(self, task_id: str) -> None:
        """Forget a task at once."""
        self._rows.pop(task_id, None)
        self._dirty.discard(task_id)
        self._state.remove(task_id)

    def remove_all(self) -> None:
        """Forget every task at once."""
        self._rows = {}
        self._dirty.clear()
        self._state.remove(None)

    def dump(self) -> None:
        """Commit what is left, at the end of a command."""
        self._commit()

    def _commit(self) -> None:
        rows = {name: self._codec.encode(self._rows[name]) for name in self._dirty}
        self._state.save(rows)
        self._dirty.clear()


class FileChecker(FileChangedChecker):
    """doit's checker: a file is what its digest is, worked out at most once a run.

    A touched file is read once; its new time is remembered, so that the next run only stats it.
    """

    def info(self, file_path: str) -> str:
        """Return the digest.  Raises OSError where the file is missing."""
        return open_state().files.digest(file_path)

    def check_modified(self, file_path: str, file_stat: str, state: str) -> bool:
        """Return whether the digest differs from the saved one."""
        del file_path
        return file_stat != state

    def get_state(self, dep: str, current_state: str | None) -> str | None:
        """Return the digest to save, None where it is saved already."""
        digest = open_state().files.digest(dep)
        return None if digest == current_state else digest
