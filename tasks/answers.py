"""Asking a store that may fail, or never answer: in a thread, for a while."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.errors import without_password

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Unreachable(Exception):
    """The store does not do what it is asked for; the message says why."""


def within(seconds: float, act: Callable[[], T]) -> T:
    """Return what a function does, or raise Unreachable where it fails or takes longer.

    The thread of one that never answers is left behind: nothing can end it.
    """
    answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((act(), None))
        except Exception as error:  # noqa: BLE001 - whatever a library raises, a step goes on
            answers.put((None, error))

    threading.Thread(target=work, name="store", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except Empty:
        raise Unreachable(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise Unreachable(_said(error)) from error
    return value  # type: ignore[no-any-return]


def _said(error: Exception) -> str:
    lines = without_password(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
