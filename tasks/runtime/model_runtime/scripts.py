"""SQL scripts: Jinja templates that are rendered, then split into statements by a tokenizer.

Each statement knows the line of the source that it comes from, through loops and includes: marks
that say file and line are put into the template's text before it is rendered, and taken out after.
"""

import importlib
import os
import re
from bisect import bisect_right
from typing import Any, Dict, List, NamedTuple, Optional

from model_runtime.contract import PACKAGE, StepError
from model_runtime.warehouse import identifier, literal

_MARK = re.compile("\x02([^\x02\x03]*)\x03")
SHORT = 100


class Statement(NamedTuple):
    """One statement: its text, the first word in capitals, and the `FILE:LINE` of each line."""

    text: str
    verb: str
    lines: List[str]

    @property
    def short(self) -> str:
        """The statement in one line that is not too long."""
        text = " ".join(self.text.split())
        return text if len(text) <= SHORT else f"{text[: SHORT - 4]} ..."


class Script(NamedTuple):
    """A rendered template: its text, and from which `FILE:LINE` the text behind each offset is."""

    text: str
    offsets: List[int]
    sources: List[str]

    def source(self, offset: int) -> str:
        """Return the `FILE:LINE` of a place in the text."""
        before = bisect_right(self.offsets, offset)
        return self.sources[before - 1] if before else ""


def render(folder: str, name: str, variables: Dict[str, Any]) -> Script:
    """Render a template of a folder, nothing escaped; what is not defined is an error.

    The filters `identifier` and `literal` quote a name or a value.  Raises StepError with the line
    of the template.
    """
    jinja2 = importlib.import_module("jinja2")
    environment = jinja2.Environment(
        autoescape=False,  # this is SQL; the filters quote
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(folder),
        extensions=[_marking()],
    )
    environment.filters.update(identifier=identifier, literal=literal)
    try:
        marked = environment.get_template(name).render(variables)
    except jinja2.TemplateSyntaxError as error:
        where = f"{PACKAGE}/{error.name or name}:{error.lineno}"
        raise StepError("TemplateSyntaxError", str(error.message), where) from None
    except (StepError, jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        kind = error.kind if isinstance(error, StepError) else type(error).__name__
        raise StepError(kind, str(error), _template_line(error, folder)) from None
    return _unmarked(marked)


def _marking() -> Any:
    """Return the Jinja extension that puts a mark at the start of each line of text."""
    ext, lexer = (importlib.import_module(f"jinja2.{name}") for name in ("ext", "lexer"))

    class Marking(ext.Extension):  # type: ignore[name-defined,misc]
        def filter_stream(self, stream: Any) -> Any:
            for token in stream:
                if token.type != "data":
                    yield token
                    continue
                lines = token.value.split("\n")
                marked = [
                    f"\x02{stream.name}:{token.lineno + number}\x03{line}"
                    for number, line in enumerate(lines)
                ]
                yield lexer.Token(token.lineno, "data", "\n".join(marked))

    return Marking


def _unmarked(marked: str) -> Script:
    script, parts, length, at = Script("", [], []), [], 0, 0
    for mark in _MARK.finditer(marked):
        parts.append(marked[at : mark.start()])
        length += len(parts[-1])
        script.offsets.append(length)
        script.sources.append(mark.group(1))
        at = mark.end()
    return script._replace(text="".join([*parts, marked[at:]]))


def _template_line(error: BaseException, folder: str) -> str:
    """Return the line of the template that was being rendered, which Jinja has put in the trace."""
    found, trace = "", error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if os.path.dirname(path).startswith(folder):
            found = f"{PACKAGE}/{os.path.relpath(path, folder)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def split(script: Script, engine: str) -> List[Statement]:
    """Return the statements of a script: a `;` in a string or comment ends none.

    `engine` is `duckdb` or `teradata`, whose strings and comments are meant.  Raises StepError
    where a string or comment has no end.
    """
    tokens = _tokens(script.text, engine)
    if tokens is None:
        start = _start_of_open(script.text, engine)
        opened = script.text[start:].splitlines()[0]
        message = f"a string or comment has no end: {opened}"
        raise StepError("TokenError", message, f"{PACKAGE}/{script.source(start)}")
    statements, started = [], []  # type: List[Statement], List[Any]
    for token in tokens:
        if token.token_type.name != "SEMICOLON":
            started.append(token)
        elif started:
            statements.append(_statement(script, started))
            started = []
    return statements + ([_statement(script, started)] if started else [])


def _tokens(text: str, engine: str) -> Optional[List[Any]]:
    """Return the tokens of a text, None where a string or comment in it has no end."""
    sqlglot = importlib.import_module("sqlglot")
    errors = importlib.import_module("sqlglot.errors")
    try:
        return list(sqlglot.tokenize(text, read=engine))
    except errors.TokenError:
        return None


def _start_of_open(text: str, engine: str) -> int:
    """Return where the string or comment without an end starts: all is well up to there."""
    starts = [found.start() for found in re.finditer(r"'|\"|/\*|\$", text)]
    return next((at for at in reversed(starts) if _tokens(text[:at], engine) is not None), 0)


def _statement(script: Script, tokens: List[Any]) -> Statement:
    first, last = tokens[0].start, tokens[-1].end + 1
    text = script.text[first:last]
    starts = [first] + [first + found.end() for found in re.finditer("\n", text)]
    return Statement(text, tokens[0].text.upper(), [script.source(start) for start in starts])
