"""SQL in Jinja templates: what a source reads."""

from __future__ import annotations

import re

_READS_OTHERS = re.compile(rb"\{%[-+]?\s*(?:include|import|from|extends)\b(.*?)[-+]?%\}", re.DOTALL)
# A template that is named as it is, and not by an expression.
_NAMED = re.compile(rb"\s*(['\"])([^'\".]+)\.sql\1(?!.*\bif\b)[\w\s,]*", re.DOTALL)


def read_source(data: bytes) -> tuple[list[str] | None, list[str]]:
    """Return the templates that a template reads (None: unknown), and the steps that it can be.

    Templates are named without their suffix; any can be the step of any name.
    """
    found = [_NAMED.fullmatch(words) for words in _READS_OTHERS.findall(data)]
    names = sorted({match.group(2).decode() for match in found if match})
    return None if None in found else names, ["evaluate", "score", "train"]
