"""SQL scripts: how templates are rendered, and where one statement ends and the next begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ask

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, os, sys
from model_runtime import scripts
from model_runtime.contract import StepError
variables = {"table": "db.events", "words": ["a;b", "it's"], "conf": {}, "bad": "x; DROP TABLE y"}
def split(text):
    with open("training.sql", "w", encoding="utf-8") as file:
        file.write(text)
    try:
        script = scripts.render(os.getcwd(), "training.sql", variables)
        return [list(statement) for statement in scripts.split(script, sys.argv[1])]
    except StepError as error:
        return [error.kind, str(error), error.where]
print(json.dumps([split(text) for text in json.loads(sys.argv[2])]))
"""

ENGINES = ["duckdb", "teradata"]


def split(python: str, folder: Path, engine: str, *texts: str) -> list[Any]:
    """Return the statements of each text, or the parts of its error."""
    found: list[Any] = ask(python, PROGRAM, engine, json.dumps(texts), cwd=folder)
    return found


TEXTS = {
    "two": ("select 1; select 2", ["select 1", "select 2"]),
    "the last ended": ("select 1;\n", ["select 1"]),
    "nothing between": (";; select 1 ;;", ["select 1"]),
    "nothing at all": ("-- only; a comment\n", []),
    "in a string": ("select 'a;b'; select ';'", ["select 'a;b'", "select ';'"]),
    "in a string with a quote": (
        "select 'it''s; so'; select 2",
        ["select 'it''s; so'", "select 2"],
    ),
    "in a name": ('select 1 as "a;b"; select 2', ['select 1 as "a;b"', "select 2"]),
    "in comments": (
        "select 1 -- one; two\n, /* three; */ 3; select 2",
        ["select 1 -- one; two\n, /* three; */ 3", "select 2"],
    ),
    "a comment before": ("-- why;\n/* and ; how */ drop table t;", ["drop table t"]),
    "not only ASCII": ("select 'é;ß€𝄞'; select 'ü'", ["select 'é;ß€𝄞'", "select 'ü'"]),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_split(sql_python: str, tmp_path: Path, engine: str) -> None:
    """A `;` in a string, a name or a comment ends no statement."""
    texts = [text for text, _ in TEXTS.values()]
    found = split(sql_python, tmp_path, engine, *texts)

    expected = {name: statements for name, (_, statements) in TEXTS.items()}
    assert expected == {
        name: [text for text, _, _ in statements]
        for name, statements in zip(TEXTS, found, strict=True)
    }


TERADATA = {
    "CREATE MULTISET VOLATILE TABLE t (a INTEGER) ON COMMIT PRESERVE ROWS; SEL * FROM t": 2,
    "SELECT a MOD 5, b (FORMAT '9;9') FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1; DEL t": 2,
    "REPLACE VIEW v AS LOCKING ROW FOR ACCESS SELECT 1 AS a; COLLECT STATISTICS COLUMN (a) ON t": 2,
    "INSERT INTO t VALUES (DATE '2020-01-01', INTERVAL '1' DAY, X'4F3B'XB, 'a;b'); ET": 2,
}


def test_split_teradata(sql_python: str, tmp_path: Path) -> None:
    """What only Teradata knows is split too, and nothing of it is changed."""
    found = split(sql_python, tmp_path, "teradata", *TERADATA)

    assert list(TERADATA.values()) == [len(statements) for statements in found]
    assert list(TERADATA) == ["; ".join(text for text, _, _ in script) for script in found]


def test_lines(sql_python: str, tmp_path: Path) -> None:
    """Each line of a statement knows the line of the source, through loops and includes."""
    training = """\
-- A comment
{% for word in words -%}
select {{ word|literal }},
    2;
{% endfor %}
{% include "other.sql" %}
{# one line,
   and another #} select
    4
"""
    (tmp_path / "other.sql").write_text("\nselect 3;\n")
    (found,) = split(sql_python, tmp_path, "duckdb", training)

    expected = [
        ["select 'a;b',\n    2", ["training.sql:3", "training.sql:4"]],
        ["select 'it''s',\n    2", ["training.sql:3", "training.sql:4"]],
        ["select 3", ["other.sql:2"]],
        ["select\n    4", ["training.sql:8", "training.sql:9"]],
    ]
    assert expected == [[text, lines] for text, _, lines in found]


def test_filters(sql_python: str, tmp_path: Path) -> None:
    """Names are quoted, values are written as literals, and nothing is escaped as HTML is."""
    training = (
        "select {{ 'a<b' }}, {{ 0.5|literal }}, {{ none|literal }} from {{ table|identifier }}"
    )

    (found,) = split(sql_python, tmp_path, "duckdb", training)

    assert 'select a<b, 0.5, null from "db"."events"' == found[0][0]


ERRORS = {
    "undefined": ("select 1;\n\nselect {{ nope }}", "UndefinedError", 3, "'nope' is undefined"),
    "undefined in an object": ("\n{{ conf.nope }}", "UndefinedError", 2, "nope"),
    "template": ("select 1;\n{% if %}", "TemplateSyntaxError", 2, "Expected an expression"),
    "name": ("\n\n\n{{ bad|identifier }}", "InvalidName", 4, "`x; DROP TABLE y`"),
    "no end": ("select 1;\nselect 'a", "TokenError", 2, "has no end: 'a"),
    "no end before others": (
        "select 'x'';y' from a;\nselect 'abc from d;\nselect /* \"b\" */\n1;",
        "TokenError", 2, "has no end: 'abc from d;",
    ),
    "no end of a comment": ("select 1;\n/* select 'a'\n;", "TokenError", 2, "/* select 'a'"),
    "no such file": ("\n{% include 'nope.sql' %}", "TemplateNotFound", 2, "nope.sql"),
    "arithmetic": ("\n{{ 1 / 0 }}", "ZeroDivisionError", 2, "division by zero"),
}  # fmt: skip


def test_errors(sql_python: str, tmp_path: Path) -> None:
    """A template that cannot be rendered or split tells why, and its line."""
    found = split(sql_python, tmp_path, "duckdb", *(text for text, *_ in ERRORS.values()))

    for (_, kind, line, message), error in zip(ERRORS.values(), found, strict=True):
        assert [kind, f"model_modules/training.sql:{line}"] == [error[0], error[2]]
        assert message in error[1]
