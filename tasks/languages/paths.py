"""Which of a model's files the strings in a source may be paths of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

UNKNOWN = "*"
"""Stands among what a source imports for what cannot be told: every source counts."""

NAMED = "*/"
"""Begins, among what a source imports, the end of a file's name that stands in a string of it."""

NEVER_READ = (".ipynb", "README.md")
SETUP = ("requirements.txt", "requirements.R")  # they decide the environment, nothing else

# A file with some ending.  If that is not the one of sources, it counts in any case.
_FILE = re.compile(r"model_modules/.*[^/.]\.\w+\Z", re.DOTALL)


def found(strings: Iterable[str], suffix: str, known: Container[str] = ()) -> set[str]:
    """Return what stands among a source's imports for the paths that its strings may be.

    `suffix` is that of the sources; those that are `known` stand there already.
    """
    imports = set()
    for text in strings:
        last = text.rpartition("/")[2]
        if text.endswith((*NEVER_READ, *SETUP)):
            imports.add(f"{NAMED}{last.lstrip('*')}")
        elif text not in known and _may_be_source(text, suffix):
            imports.add(UNKNOWN)
    return imports


def _may_be_source(text: str, suffix: str) -> bool:
    """Return whether a string may be the path of a source, or of a folder with sources."""
    return text.endswith(suffix) or ("model_modules" in text and not _FILE.search(text))
