"""What `model.json` says under `serving`, and what holds where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.model import Model

END_SECONDS = 10
"""How long clients may take with their answers when the server ends, beside a model's `longest`."""

STOP_SECONDS = 10.0
"""How long a worker that is to end may take, before it is killed."""


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    `workers` is the number of its processes, `batch` how many requests are put to it at once where
    it answers each row by itself, `queue` how many may wait, `timeout` how many seconds a request
    waits for a worker, and then for its answer.
    """

    workers: int = 1
    batch: int = 64
    queue: int = 1024
    timeout: float = 60.0

    @property
    def longest(self) -> float:
        """How many seconds a request may take, unless its worker ends and another takes it."""
        return 2 * self.timeout


def settings_of(model: Model) -> Settings:
    """Return a model's settings; `model.json` has been checked against its schema."""
    said = model.document.get("serving") or {}
    known = {name: said[name] for name in Settings.__dataclass_fields__ if name in said}
    return Settings(**known)
