"""What is told of a store's results: which are there, which go, and why.  Pure functions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tasks.records import utc
from tasks.wording import duration, shorten, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.storekeeping import Policy, Stock, Stored

MOST = 20
"""How many of the results that would go are told in lines."""

_DIGITS = 8  # of a key
_SHORTEST = 12  # columns for a step, however narrow the terminal


def there(found: Stock, width: int) -> list[str]:
    """Return a table of the results, for a terminal of some columns."""
    rows = [("STEP", "MADE (UTC)", "TOOK", "SIZE", "KEY")]
    rows += [
        (one.task, _minute(one.made), duration(one.seconds), size_text(one.size), one.key[:_DIGITS])
        for one in found.results
    ]
    return columns(rows, width) if found.results else []


def going(chosen: Sequence[Stored], found: Stock) -> list[str]:
    """Return a table of results that would go, and a line for each that cannot be used."""
    rows = [("STEP", "LAST USED (UTC)", "SIZE", "KEY")]
    rows += [
        (one.task, _minute(utc(one.used)), size_text(one.size), one.key[:_DIGITS]) for one in chosen
    ]
    lines = columns(rows[: MOST + 1]) if chosen else []
    lines += [f"and {len(chosen) - MOST} more"] if len(chosen) > MOST else []
    return [*lines, *unsound(found)]


def unsound(found: Stock) -> list[str]:
    """Return a line for each result that cannot be used."""
    return [f"{key[:_DIGITS]} cannot be used: {why}" for key, why in found.unsound.items()]


def staying(found: Stock, freed: int, policy: Policy, age: str) -> list[str]:
    """Return why more stays than was hoped for: than the size, or all.  Else nothing.

    `age` is how that of the policy was written.
    """
    left = found.size - freed
    if left <= policy.size if policy.size is not None else freed or not found.results:
        return []
    why = ["linked in build/models", "needed by a branch or tag"]
    why += [f"used within {age}"] if age else []
    why += [f"among the newest {policy.newest} of their step"] if policy.newest else []
    why += ["wanted for steps that run elsewhere"] if found.requests else []
    return [f"{size_text(left)} stay: {', '.join(why[:-1])} or {why[-1]}"]


def columns(rows: Sequence[Sequence[str]], width: int = sys.maxsize) -> list[str]:
    """Return rows as text in columns; where they do not fit, the first loses its middle."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + 2 * (len(widths) - 1) - width
    widths[0] = max(widths[0] - max(over, 0), min(widths[0], _SHORTEST))
    shown = [(shorten(row[0], widths[0]), *row[1:]) for row in rows]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]


def _minute(time: str) -> str:
    """Return a time of a record without its seconds: `2026-11-30 12:00`."""
    return time[:16].replace("T", " ")
