"""What is wrong with the JSON documents that describe a model and a schema cannot say."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from tasks.datasets import FILE_KEYS
from tasks.errors import Fault, did_you_mean
from tasks.positions import Keys, Parsed, shown
from tasks.slips import meant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def objects(value: object, keys: Keys) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    """Yield every object in a value, with the way there."""
    if isinstance(value, dict):
        yield keys, value
        for key, item in value.items():
            yield from objects(item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*keys, index))


def file_faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a warning for each key that is nearly one of a data file's, and each that is empty.

    Any key is allowed in a dataset, so only a slip counts, of a key that is missing beside it.
    """
    for keys, value in objects(parsed.value, ()):
        lacking = [key for key in (*FILE_KEYS, "sha256") if key not in value]
        for key, item in value.items():
            if not isinstance(item, str):
                continue
            if near := meant(key, lacking):
                message = f"expected a known key, found {shown(key)}"
                hint = did_you_mean(near, [near])
                yield parsed.fault((*keys, key), message, hint, warning=True)
            elif key in FILE_KEYS and not item:
                message = "expected a file, found an empty string"
                hint = "leave the key out, or write `null`"
                yield parsed.fault((*keys, key), message, hint, warning=True)


def argument_faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a fault for the arguments of a program that a shell could not split."""
    for keys, value in objects(parsed.value, ()):
        text = value.get("args")
        if isinstance(text, str) and "resources" in keys:
            try:
                shlex.split(text)
            except ValueError as error:
                reason = str(error).lower()
                yield parsed.fault((*keys, "args"), f"expected arguments, found {reason}")


def threshold_faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a fault for each threshold that no number can meet."""
    for keys, value in objects(parsed.value, ()):
        least, most = (value.get(key) for key in ("min", "max"))
        if keys[:2] != ("evaluation", "thresholds"):
            continue
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
            message = f"expected `min` below `max`, found {least:g} and {most:g}"
            yield parsed.fault(keys, message)


def column_faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a fault for each column of requests or answers that is named as one before it."""
    lines: dict[Keys, int] = {}
    for keys, value in objects(parsed.value, ()):
        name = value.get("name")
        if keys[:2] == ("serving", "schema") and isinstance(name, str):
            column = (keys[2], name)
            if column in lines:
                again = f"expected each name once, found {shown(name)} on line {lines[column]} too"
                yield parsed.fault((*keys, "name"), again)
            lines.setdefault(column, parsed.lines[(*keys, "name")])
