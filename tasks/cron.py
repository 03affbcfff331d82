"""Check a schedule as Kubernetes reads it: five fields, or a word such as `@daily`."""

from __future__ import annotations

import re
import zoneinfo
from typing import TYPE_CHECKING, NamedTuple

from tasks.positions import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.errors import Fault
    from tasks.positions import Parsed

MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"([*?]|\w+)(?:-(\w+))?(?:/(\w+))?", re.ASCII)


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a fault for a schedule or a time zone of a model that a cluster would refuse."""
    document = parsed.value if isinstance(parsed.value, dict) else {}
    schedule, zone = document.get("schedule"), document.get("timeZone")
    if isinstance(schedule, str) and (reason := wrong(schedule)):
        message = f"expected a schedule such as `0 3 * * 1`, found {shown(schedule)}: {reason}"
        yield parsed.fault(("schedule",), message)
    if isinstance(zone, str) and not is_zone(zone):
        message = f"expected a time zone such as `Europe/Berlin`, found {shown(zone)}"
        yield parsed.fault(("timeZone",), message)


def wrong(expression: str) -> str:
    """Return what is wrong with a schedule, an empty text where nothing is."""
    parts = expression.split()
    if len(parts) == 1 and parts[0].startswith("@"):
        return "" if parts[0] in MACROS else f"`{parts[0]}` is none of {', '.join(MACROS)}"
    if len(parts) != len(_FIELDS):
        return f"it has {len(parts)} fields in place of {len(_FIELDS)}"
    try:
        values = [_values(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
    except ValueError as error:
        return str(error)
    _, _, days, months, _ = values
    # Where a day of the week is named as well, one of the two is enough.
    if parts[4][0] in "*?" and min(days) > max(_LENGTHS[month - 1] for month in months):
        return "there is no such day in these months"
    return ""


def is_zone(name: str) -> bool:
    """Return whether a time zone is known; any may be where this machine knows none at all."""
    return name != "Local" and (_is_known(name) or not _is_known("Etc/UTC"))


def _is_known(zone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _values(part: str, field: _Field) -> set[int]:
    """Return all that a field stands for.  Raises ValueError, in words."""
    found: set[int] = set()
    for item in part.split(","):
        match = _ITEM.fullmatch(item)
        if not match:
            raise ValueError(f"the {field.name} cannot be `{part}`")
        first, last, step = match.groups()
        if first in ("*", "?"):
            if last:
                raise ValueError(f"the {field.name} cannot be `{part}`")
            low, high = field.least, field.most
        else:
            low = _number(first, field)
            high = _number(last, field) if last else field.most if step else low
        if low > high:
            raise ValueError(f"the {field.name} goes from {first} back to {last}")
        if step and not (step.isdigit() and int(step)):
            raise ValueError(f"the {field.name} cannot go by `{step}`")
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _number(text: str, field: _Field) -> int:
    word = text.lower()
    if word in field.words:
        return field.words.index(word) + field.least
    if not text.isdigit() or not field.least <= int(text) <= field.most:
        raise ValueError(f"the {field.name} is {field.least} to {field.most}, not `{text}`")
    return int(text)
