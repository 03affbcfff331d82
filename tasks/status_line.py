"""The last line of a terminal, where it is said what takes long; off a terminal there is none."""

from __future__ import annotations

import shutil
import sys
import textwrap

_CLEARED = "\r\x1b[K"


def show(text: str) -> None:
    """Say it in place of what stands there, shortened to the width of the terminal."""
    if sys.stderr.isatty():
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_CLEARED + textwrap.shorten(text, room))
        sys.stderr.flush()


def clear() -> None:
    """Leave the line empty."""
    if sys.stderr.isatty():
        sys.stderr.write(_CLEARED)
        sys.stderr.flush()
