"""The digest of a Python source's syntax tree: comments and layout do not change it.

Keys are shared between people, so the digest is the same on every Python that can run the build
system: the form is our own, `ast.dump`'s changes from one Python to the next.  A source in newer
syntax than all of them read has no such digest.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys

from tasks.languages import GRAMMAR

DEEPEST = 200
"""How many nodes may stand in one another; how many Python can take depends on its version."""

# Whoever reads the source itself can see meaning in it (TorchScript takes types from comments).
_TYPE_COMMENT = re.compile(rb"#\s*type:(?!\s*ignore\b)")
_ENCODING = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BOM = b"\xef\xbb\xbf"

# A string as Python read it before 3.12: it ends at the first quote of its kind.
_STRING = re.compile(
    rb"""[A-Za-z]{0,2}(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\""""
    rb"""|'(?:[^\\\r\n']|\\.)*'|"(?:[^\\\r\n"]|\\.)*")""",
    re.DOTALL,
)
_BETWEEN_STRINGS = re.compile(rb"(?:\s|\\\r?\n|#[^\r\n]*)*")
_INNER_STRING = re.compile(rb"""'''.*?'''|\"\"\".*?\"\"\"|'[^']*'|"[^"]*\"""", re.DOTALL)

_IN_BRACES = (ast.Dict, ast.Set, ast.DictComp, ast.SetComp)


class _NoDigestError(Exception):
    """The tree, or what stands in the source beside it, is none that all Pythons read alike."""


def parse(data: bytes) -> tuple[ast.Module, str]:
    """Return a source's tree and the digest of that, which is empty where its bytes must count.

    Raises what `ast.parse` does for a source that this Python cannot read.
    """
    try:
        tree = ast.parse(data, feature_version=GRAMMAR)
    except SyntaxError:
        return ast.parse(data), ""
    try:
        return tree, _digest(data.removeprefix(_BOM), tree)
    except _NoDigestError:
        return tree, ""


def _digest(data: bytes, tree: ast.Module) -> str:
    if _TYPE_COMMENT.search(data) or not _is_utf8(data):
        raise _NoDigestError
    if sys.version_info >= (3, 12):
        _check_strings(data, tree)
    parts: list[str] = []
    _write(tree, parts, 0)
    return hashlib.sha256("".join(["python tree 1\0", *parts]).encode()).hexdigest()


def _is_utf8(data: bytes) -> bool:
    """Return whether a source says nothing of its encoding, or that it is in UTF-8."""
    found = [_ENCODING.match(line) for line in data.split(b"\n", 2)[:2]]
    return all(one[1].lower().replace(b"_", b"-") in {b"utf-8", b"utf8"} for one in found if one)


def _write(node: object, parts: list[str], depth: int) -> None:
    """Append a node as text: its kind, and its fields by name, without those that are empty."""
    if depth > DEEPEST:
        raise _NoDigestError
    if isinstance(node, list):
        parts.append("[")
        for item in node:
            _write(item, parts, depth)
            parts.append(",")
        parts.append("]")
    elif isinstance(node, ast.Constant):
        parts.append(_constant(node))
    elif isinstance(node, ast.JoinedStr):
        parts.append("JoinedStr")
        _write(_joined(node), parts, depth + 1)
    elif isinstance(node, ast.AST):
        _check(node)
        parts.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            # Further fields of newer Pythons are empty where a source does not use them; whether a
            # name is read or written follows from its place.
            if _says_something(value):
                parts.append(f"{name}=")
                _write(value, parts, depth + 1)
                parts.append(" ")
        parts.append(")")
    else:  # a name, a number such as the dots of a relative import, None in a list
        parts.append(ascii(node))


def _says_something(value: object) -> bool:
    empty = value is None or value == [] or (value == 0 and value is not False)
    return not (empty or isinstance(value, ast.expr_context))


def _joined(node: ast.JoinedStr) -> list[object]:
    """Return the parts of an f-string, its text in as few as can be: Pythons cut it differently."""
    joined: list[object] = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            before = joined.pop() if joined and isinstance(joined[-1], str) else ""
            joined.append(f"{before}{part.value!s}")
        else:
            joined.append(part)
    return [part for part in joined if part != ""]


def _constant(node: ast.Constant) -> str:
    """Return a constant with its type: 1, 1.0 and True are equal, and not the same."""
    value = node.value
    # Decimal digits have a limit, and what can be printed depends on the Python.
    text = hex(value) if isinstance(value, int) else ascii(value)
    return f"{node.kind or ''}{type(value).__name__}:{text}"


def _check(node: ast.AST) -> None:
    """Raise for what `feature_version` lets through, and what Pythons do not read alike."""
    starred: list[object] = []
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        starred += node.slice.elts
    elif isinstance(node, ast.arg):
        starred.append(node.annotation)
    elif isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
        # `{{` behind the colon is a brace since 3.13, and was the start of a set.
        for one in node.format_spec.values:
            value = getattr(one, "value", None)
            if isinstance(value, _IN_BRACES) or (isinstance(value, str) and {*"{}"} & {*value}):
                raise _NoDigestError
    if any(isinstance(one, ast.Starred) for one in starred):  # since 3.11
        raise _NoDigestError


def _check_strings(data: bytes, tree: ast.Module) -> None:
    """Raise for an f-string that Python could not read before 3.12, or read otherwise."""
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.expr) -> tuple[int, int]:
        """Return where a node begins and ends in the source."""
        last = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return starts[node.lineno - 1] + node.col_offset, last

    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    specs = [value.format_spec for node in strings for value in _values(node)]
    for node in strings:
        values = [(value, *span(value)) for value in _values(node)]
        for value, first, last in values:
            end = span(value.format_spec)[0] if value.format_spec else last
            code = data[first:end]
            if b"\\" in code or b"#" in _INNER_STRING.sub(b"", code):
                raise _NoDigestError
        if node in specs:  # fields in it may say how they are written, but not by further fields
            if any(_values(value.format_spec) for value, _, _ in values):
                raise _NoDigestError
        else:
            found = _strings(data, *span(node))
            for _, first, last in values:
                if not any(begin < first and last < end for begin, end in found):
                    raise _NoDigestError


def _values(node: ast.expr | None) -> list[ast.FormattedValue]:
    """Return the fields of an f-string."""
    values = node.values if isinstance(node, ast.JoinedStr) else ()
    return [value for value in values if isinstance(value, ast.FormattedValue)]


def _strings(data: bytes, first: int, last: int) -> list[tuple[int, int]]:
    """Return where the strings between two places are, as Python read them before 3.12.

    Raises where there is anything but strings.
    """
    found = []
    while first < last:
        string = _STRING.match(data, first, last)
        if string is None:
            raise _NoDigestError
        found.append(string.span())
        between = _BETWEEN_STRINGS.match(data, string.end(), last)
        first = between.end() if between else last
    return found
