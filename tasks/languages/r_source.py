"""What R sources say: the functions that they define, and the packages that they ask for.

They are read, never run.  Strings and comments are told apart from code; beyond that no grammar is
needed, for what is looked for is written in few ways.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tasks.languages import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<raw>[rR](["'])(?P<dashes>-*)(?:\((?P<in1>.*?)\)|\[(?P<in2>.*?)\]|\{(?P<in3>.*?)\})
        (?P=dashes)\3)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[^\W\d_][\w.]*|\.[\w.]*|`[^`]+`)
    |(?P<number>\d[\w.]*)
    |(?P<sign><<-|<-|->|:::?|[^\s\w])
    |(?P<line>\n)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
_ASSIGNS = ("<-", "=", "<<-")
_READS_FILE = {"source", "sys.source"}
_READS_ANYTHING = {
    *("parse", "str2expression", "str2lang", "system", "system2"),
    *("setwd", "with_dir", "local_dir"),  # paths are then seen from elsewhere
}
_BY_NAME = {"library", "require"}
_ATTACHES = _BY_NAME | {"requireNamespace", "loadNamespace"}
_INSTALLS = {
    "install.packages", "install_cran", "pkg_install",
    "install_github", "install_gitlab", "install_bitbucket",
}  # fmt: skip
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]")
_PLACE = re.compile(r"(?:\w+::)?[\w.-]+/([\w.-]+)(?:[@#].*)?")  # OWNER/NAME@BRANCH

INSTALLERS = frozenset({"devtools", "remotes", "pak", "renv", "packrat", "pacman", "BiocManager"})
"""Packages that install others, which is not left to the model."""


class Token(NamedTuple):
    """A word of R: its kind (`name`, `string`, `number`, `sign`), text, and line from 1."""

    kind: str
    text: str
    line: int


_Values: TypeAlias = "dict[str, list[Token]]"
_Argument: TypeAlias = "tuple[str, list[Token]]"


class Wanted(NamedTuple):
    """A package that is asked for, in this line; `version` is empty where any will do."""

    name: str
    line: int
    version: str = ""


def read_source(data: bytes) -> tuple[list[str], list[str]]:
    """Return the files that a source runs or may read, and the functions that it defines.

    What cannot be told and what its strings may be paths of stands as in `paths`.
    """
    words = tokens(data)
    depth, names = 0, set()
    read = set()
    for at, word in enumerate(words):
        if word.kind == "sign":
            depth += (word.text in _OPENING) - (word.text in _CLOSING)
        assigned, is_made_by, *_ = *(one.text for one in words[at + 1 : at + 3]), "", ""
        if depth == 0 and assigned in _ASSIGNS and is_made_by in ("function", "\\"):
            names.add(word.text)
        if word.kind == "name" and word.text in _READS_FILE | _READS_ANYTHING:
            path = _file(words, at) if word.text in _READS_FILE else ""
            read.add(path or paths.UNKNOWN)
        elif word.kind == "string" and word.text in _READS_FILE:  # do.call("source", ...)
            read.add(paths.UNKNOWN)
    strings = (word.text for word in words if word.kind == "string")
    return sorted(read | paths.found(strings, ".R", read)), sorted(names)


def _file(words: Sequence[Token], at: int) -> str:
    """Return the path in a call of source() here, if it is a string seen from where the run is."""
    called = at + 1 < len(words) and words[at + 1].text == "("
    arguments = _arguments(words, at + 1) if called else []
    unnamed = [value for name, value in arguments if not name]
    named = {name: value for name, value in arguments if name}
    if "file" not in named:
        named["file"], *unnamed = unnamed or [[]]
    path = named.pop("file")
    # R takes the beginning of an argument's name for it, and a third value as that of `chdir`.
    if len(unnamed) > 1 or any("file".startswith(n) or "chdir".startswith(n) for n in named):
        return ""
    plain = len(path) == 1 and path[0].kind == "string" and "\\" not in path[0].text
    return path[0].text if plain else ""


def tokens(data: bytes) -> list[Token]:
    """Return the words of a source, without comments."""
    found, line = [], 1
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    for match in _TOKEN.finditer(text):
        kind, content = match.lastgroup or "", match[0]
        if match["raw"]:
            kind, content = "string", match["in1"] or match["in2"] or match["in3"] or ""
        elif match["string"] or content.startswith("`"):
            content = content[1:-1]
        if kind in ("name", "string", "number", "sign"):
            found.append(Token(kind, content, line))
        line += match[0].count("\n")
    return found


def packages(data: bytes) -> list[Wanted]:
    """Return the packages that a source loads or installs, each where it is named first."""
    words = tokens(data)
    values = _values(words)
    found: dict[str, Wanted] = {}
    for one in sorted(_asked(words, values), key=lambda wanted: wanted.line):
        before = found.setdefault(one.name, one)
        if one.version and not before.version:
            found[one.name] = before._replace(version=one.version)
    return [one for one in found.values() if one.name not in INSTALLERS]


def _asked(words: Sequence[Token], values: _Values) -> Iterator[Wanted]:
    for word, arguments in _calls(words):
        first = next((value for name, value in arguments if name in ("", "package", "pkgs")), [])
        if word.text in _ATTACHES:
            by_name = word.text in _BY_NAME and "character.only" not in dict(arguments)
            if by_name and len(first) == 1 and first[0].kind == "name":
                yield Wanted(first[0].text, word.line)
            else:
                yield from _named(first, values, word.line)
        elif word.text in _INSTALLS:
            yield from _named(first, values, word.line)
        elif word.text == "install_version":
            yield from _version(arguments, first, values, word.line)
        elif word.text == "p_load":
            every = [one for name, value in arguments if not name for one in value]
            yield from (Wanted(one.text, word.line) for one in every if one.kind != "sign")
    triples = zip(words, words[1:], words[2:], strict=False)
    for at, (before, word, after) in enumerate(triples, start=1):
        if word.text in ("::", ":::") and before.kind == "name":
            yield Wanted(before.text, before.line)
        elif word.text in _ATTACHES and before.text == "," and after.text != "(":
            # lapply(wanted, library, character.only = TRUE)
            yield from _named(_argument_before(words, at), values, word.line)


def _version(
    arguments: Sequence[_Argument], first: list[Token], values: _Values, line: int
) -> Iterator[Wanted]:
    """Yield what `install_version("name", "1.2")` asks for."""
    unnamed = [value for name, value in arguments if not name]
    given = dict(arguments).get("version") or [word for value in unnamed[1:2] for word in value]
    version = given[0].text if given and given[0].kind == "string" else ""
    for one in _named(first, values, line):
        yield one._replace(version=version if re.fullmatch(r"\d[\d.-]*", version) else "")


def _calls(words: Sequence[Token]) -> Iterator[tuple[Token, list[_Argument]]]:
    """Yield the functions that are called, with their arguments."""
    for at, (word, after) in enumerate(itertools.pairwise(words)):
        if word.kind == "name" and after.text == "(":
            yield word, _arguments(words, at + 1)


def _values(words: Sequence[Token]) -> _Values:
    """Return the variables with the words of what they are set to, by `<-` or by a loop."""
    pairs = enumerate(itertools.pairwise(words))
    return {
        word.text: _expression(words, at + 2)
        for at, (word, after) in pairs
        if word.kind == "name" and after.text in (*_ASSIGNS, "in")
    }


def _expression(words: Sequence[Token], at: int) -> list[Token]:
    """Return the words from here to the end of the expression, as far as brackets tell."""
    depth = 0
    found: list[Token] = []
    for one in words[at:]:
        ended = one.text in (*_CLOSING, ",", ";") or bool(found and one.line > found[-1].line)
        if depth == 0 and ended:
            break
        if one.kind == "sign":
            depth += (one.text in _OPENING) - (one.text in _CLOSING)
        found.append(one)
    return found


def _arguments(words: Sequence[Token], opening: int) -> list[_Argument]:
    """Return the arguments of a call whose bracket opens here: names, empty ones too, and words."""
    depth = 0
    found: list[list[Token]] = [[]]
    for one in words[opening:]:
        if one.kind == "sign":
            depth += (one.text in _OPENING) - (one.text in _CLOSING)
        if depth == 0:
            break
        if depth == 1 and one.text == "," and one.kind == "sign":
            found.append([])
        else:
            found[-1].append(one)
    found[0] = found[0][1:]
    return [
        (value[0].text, value[2:]) if len(value) > 1 and value[1].text == "=" else ("", value)
        for value in found
        if value
    ]


def _argument_before(words: Sequence[Token], at: int) -> list[Token]:
    """Return the words between the bracket or comma before, and the comma in front of `at`."""
    start, depth = at - 1, 0
    while start > 0 and not (depth == 0 and words[start - 1].text in ("(", ",")):
        start -= 1
        depth += (words[start].text in _CLOSING) - (words[start].text in _OPENING)
    return list(words[start : at - 1])


def _named(value: Sequence[Token], values: _Values, line: int) -> Iterator[Wanted]:
    """Yield the packages that an argument stands for: its strings, and those of its variables.

    What is in square brackets chooses among them, and names none.
    """
    waiting, seen = [value], set[str]()
    while waiting:
        depth = 0
        for one in waiting.pop():
            if one.kind == "sign":
                depth += (one.text == "[") - (one.text == "]")
            elif depth == 0 and one.kind == "string":
                name = _PLACE.sub(r"\1", one.text)
                if _PACKAGE.fullmatch(name):
                    yield Wanted(name, line)
            elif depth == 0 and one.text in values and one.text not in seen:
                seen.add(one.text)
                waiting.append(values[one.text])
