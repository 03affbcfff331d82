"""SQL in Jinja templates: what a source reads."""

from __future__ import annotations

import re

from tasks.languages import paths

_READS_OTHERS = re.compile(rb"\{%[-+]?\s*(?:include|import|from|extends)\b(.*?)[-+]?%\}", re.DOTALL)
# A template that is named as it is, and not by an expression.
_NAMED = re.compile(rb"\s*(['\"])([^'\".]+)\.sql\1(?!.*\bif\b)[\w\s,]*", re.DOTALL)
_IN_QUOTES = re.compile(rb"""([^'"\n]*)['"]""")


def read_source(data: bytes) -> tuple[list[str], list[str]]:
    """Return the files that a template reads or may read, and the steps that it can be.

    Templates are named without their suffix; any can be the step of any name.  What cannot be told
    and what its strings may be paths of stands as in `paths`.
    """
    found = [_NAMED.fullmatch(words) for words in _READS_OTHERS.findall(data)]
    names = {match.group(2).decode() if match else paths.UNKNOWN for match in found}
    known = {f"{name}.sql" for name in names}
    strings = (text.decode("utf-8", "replace") for text in _IN_QUOTES.findall(data))
    return sorted(names | paths.found(strings, ".sql", known)), ["evaluate", "score", "train"]
