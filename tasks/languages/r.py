"""R: what a source reads."""

from __future__ import annotations

import re

# A function that is defined at the top of a file: `train <- function(`.
_FUNCTION = re.compile(rb"^([A-Za-z.][\w.]*)\s*(?:<-|=)\s*function\b", re.MULTILINE)
_READS_OTHERS = re.compile(rb"\b(?:source|sys\.source|eval|parse)\s*\(")


def read_source(data: bytes) -> tuple[list[str] | None, list[str]]:
    """Return what a source reads, nothing or None: unknown, and the functions that it defines."""
    names = sorted(name.decode() for name in _FUNCTION.findall(data))
    return None if _READS_OTHERS.search(data) else [], names
