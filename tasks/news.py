"""What a worker away from here tells, in the midst of what the model prints.

A piece of news is a line of JSON that a record separator (as in RFC 7464) stands before.  All else
is the model's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SEPARATOR = b"\x1e"
LONGEST = 1 << 20
"""Bytes of a piece of news; what is longer is none."""


def written(kind: str, value: object) -> bytes:
    """Return a piece of news: `phase`, `detail`, `alert`, `progress` or `error`, with its value."""
    return SEPARATOR + json.dumps({kind: value}).encode() + b"\n"


class Reader:
    """Takes what a worker prints apart: news for `tell`, and the rest for `write`."""

    def __init__(
        self, write: Callable[[bytes], None], tell: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._write, self._tell = write, tell
        self._begun: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Take what comes next, cut anywhere."""
        while data:
            if self._begun is None:
                plain, separator, data = data.partition(SEPARATOR)
                if plain:
                    self._write(plain)
                self._begun = b"" if separator else None
                continue
            line, newline, data = data.partition(b"\n")
            self._begun += line
            if newline or len(self._begun) > LONGEST:
                self._end(newline)

    def _end(self, newline: bytes) -> None:
        text, self._begun = self._begun or b"", None
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            self._tell(found)
        else:
            self._write(text + newline)
