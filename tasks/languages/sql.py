"""SQL in Jinja templates: what a source reads."""

from __future__ import annotations

import re

_READS_OTHERS = re.compile(rb"\{%[-+]?\s*(?:include|import|from|extends)\b\s*([^%]*)%\}")
_NAME = re.compile(rb"(['\"])([^'\"]+)\.sql\1\s*[-+]?(?:\s(?!.*else).*)?")


def read_source(data: bytes) -> tuple[list[str] | None, list[str]]:
    """Return the templates that a template reads, without suffix (None: unknown), and its steps.

    It can be the step of any name.
    """
    found = [_NAME.fullmatch(words) for words in _READS_OTHERS.findall(data)]
    names = sorted({match.group(2).decode() for match in found if match})
    return None if None in found else names, ["evaluate", "score", "train"]
