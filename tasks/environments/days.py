"""Days: which Pythons were out on one, and which one a model's last commit was made on."""

from __future__ import annotations

import contextlib
from datetime import date
from typing import TYPE_CHECKING

from tasks import git
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.environments.interpreters import Interpreter
    from tasks.model import Model

RELEASED = {
    "3.6": "2016-12-23", "3.7": "2018-06-27", "3.8": "2019-10-14", "3.9": "2020-10-05",
    "3.10": "2021-10-04", "3.11": "2022-10-24", "3.12": "2023-10-02", "3.13": "2024-10-07",
    "3.14": "2025-10-07",
}  # fmt: skip
"""The day on which each Python came out; those that are not listed came out later."""


def was_out(minor: str, day: str) -> bool:
    """Return whether a Python was out on a day."""
    return RELEASED.get(minor, "9999") <= day


def of_the_time(interpreters: Sequence[Interpreter], day: str) -> tuple[Interpreter, ...]:
    """Return them in the order in which packages of a day are to be tried on them.

    Those that were out on that day come first, as they are; the later the others came, the
    further behind.
    """
    if not day:
        return tuple(interpreters)
    there = [one for one in interpreters if was_out(one.minor, day)]
    return (*there, *reversed([one for one in interpreters if one not in there]))


def day_of(model: Model, as_of: str) -> str:
    """Return the day that `--as-of` means: one that is written out, or that of the last commit.

    Raises UserError where it is neither.
    """
    if as_of != "commit":
        with contextlib.suppress(ValueError):
            return date.fromisoformat(as_of).isoformat()
        raise UserError(
            f"`--as-of {as_of}` is no day", hint="`--as-of commit`, or one such as `2019-08-31`"
        )
    facts: tuple[tuple[str, str], ...] = ()
    try:
        day = git.ask("log", "-1", "--format=%cs", "--", model.folder).strip()
    except UserError as error:
        day, facts = "", error.facts
    if day:
        return day
    raise UserError(
        f"Model `{model.name}` has no commit to take the day from",
        ("folder", model.folder),
        *facts,
        hint="`--as-of` takes a day as well, such as `2019-08-31`",
    )
