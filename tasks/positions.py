"""Read JSON as the standard has it, and remember the line of every key and item.

`json` itself says neither where a value stands nor that a key is given twice, words its errors
differently from one Python to the next, and takes `NaN`.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from tasks.errors import Fault

Keys = tuple[str | int, ...]
"""The way from the document to a value in it: keys of objects and places in lists."""

DEEPEST = 100
"""As deep as objects and lists may stand in each other: json and jsonschema both recurse."""

_LONGEST_SHOWN = 60
_SPACES = (" ", "\t", "\r", "\n")
_CLOSES = {"{": "}", "[": "]"}
_LITERALS = {"true": True, "false": False, "null": None}
_MEANT = {"none": "null", "nil": "null", "na": "null", "yes": "true", "no": "false"}
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\],:]|[^ \t\r\n{}\[\],:"]+')
_PLAIN_KEY = re.compile(r"[\w-]+")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Parsed:
    """What was read: the value, the line of each part of it, and what is wrong with the text.

    Where not `valid` the value is None, or it is good for nothing but looking for more faults.
    """

    file: str
    value: object
    lines: dict[Keys, int]
    faults: tuple[Fault, ...]
    valid: bool

    def fault(self, keys: Keys, message: str, hint: str = "", *, warning: bool = False) -> Fault:
        """Return a fault of the value at `keys`, or of what holds it where it is missing."""
        line = self.lines.get(keys) or self.lines[keys[:-1]]
        return Fault(self.file, line, dotted(keys), message, hint, warning)


def parse(text: str, file: str) -> Parsed:
    """Read a JSON document; `file` is its name in the faults."""
    reader = _Reader(text.removeprefix("\ufeff"), file)
    try:
        value = reader.document()
    except _InvalidJSONError as error:
        return Parsed(file, None, reader.lines, (*reader.faults, error.fault), valid=False)
    return Parsed(file, value, reader.lines, tuple(reader.faults), valid=reader.valid)


def dotted(keys: Keys) -> str:
    """Return keys as people write them: `automation.training`, `columns[0]`, `["n.trees"]`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key, ensure_ascii=not key.isprintable())}]"
    return text


def shown(text: str) -> str:
    """Return a piece of a file for a message: short, and nothing that moves the cursor."""
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
    return f"`{short if short.isprintable() else json.dumps(short)[1:-1]}`"


class _InvalidJSONError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Open(NamedTuple):
    """An object or a list that is being read: its bracket, and where that stands."""

    bracket: str
    at: int


class _Reader:
    """A recursive descent over one text; `at` is the place that it has come to."""

    def __init__(self, text: str, file: str) -> None:
        self.lines: dict[Keys, int] = {}
        self.faults: list[Fault] = []
        self.valid = True
        self._text = text
        self._file = file
        self._at = 0
        self._before = 0  # where the last scalar or closing bracket begins
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> object:
        if not self._peek():
            self._stop("an object", hint="the smallest document is `{}`")
        self.lines[()] = self._line(self._at)
        value = self._value(())
        if self._peek():
            self._stop("the end of the file")
        return value

    def _value(self, keys: Keys) -> object:
        found = self._peek()
        if len(keys) > DEEPEST:
            self._stop(f"at most {DEEPEST} objects and lists in each other")
        if found == "{":
            return self._object(keys)
        if found == "[":
            return self._list(keys)
        return self._string() if found == '"' else self._word(keys)

    def _object(self, keys: Keys) -> dict[str, object]:
        members: dict[str, object] = {}
        opened = _Open("{", self._at)
        self._at += 1
        while self._more(opened, first=not members):
            line = self._line(self._at)
            key = self._key()
            path = (*keys, key)
            if key in members:
                again = f"expected each key once, found it on line {self.lines[path]} too"
                hint = "the last one counts: remove the others"
                self.faults.append(Fault(self._file, line, dotted(path), again, hint))
            self.lines[path] = line
            members[key] = self._value(path)
        return members

    def _list(self, keys: Keys) -> list[object]:
        items: list[object] = []
        opened = _Open("[", self._at)
        self._at += 1
        while self._more(opened, first=not items):
            path = (*keys, len(items))
            self.lines[path] = self._line(self._at)
            items.append(self._value(path))
        return items

    def _more(self, opened: _Open, *, first: bool) -> bool:
        """Step to the next member or item, or over the closing bracket and return False."""
        close = _CLOSES[opened.bracket]
        found = self._peek()
        if found == close:
            self._before = self._at
            self._at += 1
            return False
        if first and found:
            return True
        if found != ",":
            hint = self._hint_for_missing(opened, found)
            self._stop(f"`,` or `{close}`" if not first else f"a value or `{close}`", hint)
        comma = self._at
        self._at += 1
        found = self._peek()
        if not found:
            self._stop("a value after the comma", self._hint_for_missing(opened, found))
        if found == close:
            self._stop("a value after the comma", f"remove the comma of line {self._line(comma)}")
        return True

    def _hint_for_missing(self, opened: _Open, found: str) -> str:
        if not found or found in "}]":
            return f"the `{opened.bracket}` of line {self._line(opened.at)} is not closed"
        before = self._token(self._before)
        if found in ":,":
            return ""
        if self._text[self._at - 1] == '"' and before.endswith('"'):
            return 'a `"` inside a string is written `\\"`'
        return f"a comma is missing after {shown(before)} on line {self._line(self._before)}"

    def _key(self) -> str:
        if self._peek() != '"':
            self._stop("a key in double quotes", _hint_for_word(self._token(self._at)))
        key = self._string()
        if self._peek() != ":":
            self._stop(f"`:` after the key {shown(key)}")
        self._at += 1
        return key

    def _string(self) -> str:
        self._before = self._at
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            start, self._at = self._at, error.pos
            wrong = self._text[error.pos : error.pos + 1]
            if error.pos == start or wrong in ("", "\r", "\n"):
                self._stop('a `"` at the end of the string', "a string ends on its own line")
            if wrong < " ":
                self._stop("no control character in a string", f"write it {shown(wrong)}")
            self._stop("an escape that JSON has", "a `\\` inside a string is written `\\\\`")
        return str(value)

    def _word(self, keys: Keys) -> object:
        word = self._token(self._at)
        if word in _LITERALS:
            self._step_over(word)
            return _LITERALS[word]
        if word not in _NOT_FINITE and not _NUMBER.fullmatch(word):
            self._stop("a value", _hint_for_word(word))
        number = float(word)
        if math.isfinite(number):
            number = json.loads(word)
        else:
            hint = "leave the key out, or write `null`" if word in _NOT_FINITE else ""
            message = f"expected a finite number, found {shown(word)}"
            fault = Fault(self._file, self.lines[keys], dotted(keys), message, hint)
            self.faults.append(fault)
            self.valid = False
        self._step_over(word)
        return number

    def _step_over(self, word: str) -> None:
        self._before = self._at
        self._at += len(word)

    def _peek(self) -> str:
        """Step over white space and return the next character, nothing at the end."""
        while self._text.startswith(_SPACES, self._at):
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _token(self, at: int) -> str:
        found = _TOKEN.match(self._text, at)
        return found[0] if found else ""

    def _line(self, at: int) -> int:
        return bisect_left(self._newlines, at) + 1

    def _stop(self, expected: str, hint: str = "") -> NoReturn:
        line = self._line(self._at)
        column = self._at - (self._newlines[line - 2] if line > 1 else -1)
        token = self._token(self._at) or self._text[self._at : self._at + 1].strip("\r\n")
        end = "the end of the line" if self._at < len(self._text) else "the end of the file"
        message = f"invalid JSON in column {column}: expected {expected}, found "
        message += shown(token) if token else end
        if token.startswith(("//", "/*", "#")):
            hint = "JSON has no comments: remove it"
        elif token[:1].isspace() and not token.isascii():
            hint = "it looks like a space and is none: replace it"
        raise _InvalidJSONError(Fault(self._file, line, "", message, hint))


def _hint_for_word(word: str) -> str:
    """Return what is likely meant by a word that JSON does not have."""
    lowered = word.lower()
    if lowered in _LITERALS or lowered in _MEANT:
        return f"did you mean `{_MEANT.get(lowered, lowered)}`?"
    if word.startswith("'"):
        return "JSON has double quotes only"
    if re.match(r"[-+.]?[0-9]", word):
        return "numbers are written as `12`, `-0.5` or `1e-3`"
    quoted = shown(f'"{word}"')
    return f"text is written in double quotes: {quoted}" if _PLAIN_KEY.fullmatch(word) else ""
