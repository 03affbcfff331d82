"""Results by the key that they were made under, wherever they are kept; nothing is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import records, store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.plan import Step
    from tasks.records import Record
    from tasks.state import State


@dataclass(frozen=True)
class Result:
    """A result that was found: its record, and its metrics where it has some."""

    record: Record
    metrics: Mapping[str, float]


def result(step: Step, key: str, state: State) -> Result | None:
    """Return the result of a step that was made under a key, None where nobody has it.

    It is looked for in `build/`, where a damaged one is none, and in the store.
    """
    record = records.read(step.folder, state.files)
    if record and key in record.keys and not records.damage(record, state.files):
        return Result(record, records.metrics(step.folder, state.files))
    stored = store.recorded(key) if key else None
    return Result(stored, store.metrics(stored)) if stored else None


def last(step: Step, key: str, state: State) -> Record | None:
    """Return the record of a step's last result here, or else of the one made under a key."""
    return records.read(step.folder, state.files) or (store.recorded(key) if key else None)
