"""The forms of a report on evaluations: a table, Markdown, JUnit XML and JSON.

Pure functions from evaluations to text.
"""

from __future__ import annotations

import html
import json
import re
import sys
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

from tasks.comparison import BROKEN, GOOD, counted
from tasks.wording import clean, main_metrics, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.comparison import Change, Evaluation, Trouble

Line: TypeAlias = "list[str | tuple[str, str]]"  # its texts, some with a style

FORMAT = 1
LONGEST_MARKDOWN = 60_000
"""Characters: a comment on a pull request may have a few more."""

LONGEST_MESSAGE = 4_000

_HEADS = ["evaluation", "state", "metric", "before", "after", "delta", "threshold", ""]
_RIGHT = ("before", "after", "delta")
_STYLES = {"ran": "green", "up to date": "dim", "ok": "green"}
_STYLES |= dict.fromkeys((BROKEN, "failed", "BROKEN"), "bold red")
_NOT_XML = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHORTEST_NAMES = 20


def table(evaluations: Sequence[Evaluation], width: int) -> list[Line]:
    """Return the lines of a table: a row for each metric, of what was up to date as well."""
    names = max(_SHORTEST_NAMES, width // 3)
    rows = [_HEADS]
    for one in evaluations:
        first = [shorten(clean(one.name), names), one.state]
        for cells in [change.cells for change in one.measured] or [[""] * len(_HEADS[2:])]:
            rows.append([*first, *map(clean, cells)])
            first = ["", ""]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def accepted(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return a line for each step that is up to date because somebody said so."""
    return [clean(line) for one in evaluations for line in one.accepted]


def _short(one: Evaluation) -> str:
    """Return the main metrics of an evaluation."""
    return clean(main_metrics(one.after, "", sys.maxsize))


def _line(row: list[str], widths: list[int]) -> Line:
    """Return a row as aligned texts; the head has a style, and so have states and verdicts."""
    line: Line = []
    for head, text, wide in zip(_HEADS, row, widths, strict=True):
        aligned = f"{text:>{wide}}" if head in _RIGHT else f"{text:<{wide}}"
        style = "dim" if row is _HEADS else _STYLES.get(text, "")
        line += [(aligned, style), "  "]
    while not line[-1][0].strip():  # or a narrow terminal would wrap nothing
        line.pop()
    return line


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """Return a comment for a pull request; what does not fit into one is left out at its end."""
    states = ", ".join(f"{count} {state}" for state, count in counted(evaluations).items())
    blocks = [f"### Evaluation: {states or 'nothing to evaluate'}", ""]
    new = [one for one in evaluations if one.state != "up to date"]
    current = [one for one in evaluations if one.state == "up to date"]
    if new:
        rules = ["--:" if head in _RIGHT else "---" for head in _HEADS]
        blocks += [row(_HEADS), row(rules), *(row for one in new for row in _rows(one)), ""]
    if current:
        blocks += [row(["up to date", "metrics"]), row(["---", "---"])]
        blocks += [row([code(one.name), code(_short(one))]) for one in current]
        blocks.append("")
    told = [f"- {code(line)}" for line in accepted(evaluations)]
    blocks += [*told, ""] if told else []
    blocks += [_details(one.trouble) for one in evaluations if one.trouble]
    return fitting(blocks, "The rest is in `evaluate.json`.")


def _rows(one: Evaluation) -> list[str]:
    first = [code(one.name), one.state if one.state in GOOD else f"**{one.state}**"]
    rows = []
    for name, *cells in [change.cells for change in one.measured] or [[""] * len(_HEADS[2:])]:
        bold = [f"**{cell}**" if cell == "BROKEN" else cell for cell in cells]
        rows.append(row([*first, code(name), *bold]))
        first = ["", ""]
    return rows


def row(cells: Sequence[str]) -> str:
    """Return a row of a table in Markdown."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def code(text: str) -> str:
    """Return a text in which nothing means anything to Markdown."""
    text = clean(text).replace("\n", " ").replace("`", "'")
    return f"`{text}`" if text else ""


def _details(trouble: Trouble) -> str:
    """Return a message that opens when its headline is clicked on."""
    text = shorten(clean(trouble.text), LONGEST_MESSAGE)
    fence = "`" * (max(map(len, re.findall("`+", f"{text}``"))) + 1)
    summary = html.escape(clean(f"{trouble.step}: {trouble.headline}"))
    return f"<details><summary>{summary}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>\n"


def fitting(blocks: Sequence[str], rest: str) -> str:
    """Join as many blocks as a comment can hold; `rest` says where the others are."""
    room = LONGEST_MARKDOWN
    for number, block in enumerate(blocks):
        room -= len(block) + 1
        if room < 0:
            return "\n".join([*blocks[:number], "", rest, ""])
    return "\n".join(blocks)


def junit(evaluations: Sequence[Evaluation], started: str) -> str:
    """Return JUnit XML: a suite for each evaluation, with its metrics as properties, and one case.

    A threshold that is broken is a `failure`, all else that is no result an `error`, what was not
    run for no fault of its own is `skipped`.  `started` is when the run began, ISO 8601 in UTC.
    """
    root = ET.Element("testsuites", {"name": "evaluate", **_counts(evaluations)})
    for one in evaluations:
        kind, name = _kind(one), _xml(one.name)
        counts = _counts([one])
        suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "timestamp": started})
        suite.set("skipped", str(int(kind == "skipped")))
        _properties(suite, one)
        case = ET.SubElement(
            suite, "testcase", classname="evaluate", name=name, time=counts["time"]
        )
        if kind:
            bad = ET.SubElement(case, kind, type=one.state, message=_xml(one.message))
            bad.text = _xml(one.trouble.text) if one.trouble else None
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _counts(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Return the attributes that say how many there are, how many went wrong, and their seconds."""
    kinds = [_kind(one) for one in evaluations]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "time": f"{sum(one.seconds or 0 for one in evaluations):.3f}",
    }


def _kind(one: Evaluation) -> str:
    """Return the element that says what is wrong, nothing where all is well."""
    if one.state in GOOD:
        return ""
    if one.trouble is None:
        return "skipped"
    return "failure" if one.state == BROKEN else "error"


def _properties(suite: ET.Element, one: Evaluation) -> None:
    """Give a suite the state and each number of its evaluation."""
    properties = ET.SubElement(suite, "properties")
    found = {"state": one.state}
    for change in one.changes:
        numbers = {"": change.after, ".before": change.before}
        found |= {f"{change.name}{end}": repr(n) for end, n in numbers.items() if n is not None}
    if one.accepted:
        found["accepted"] = _xml("\n".join(one.accepted))
    for name, value in found.items():
        ET.SubElement(properties, "property", name=_xml(name), value=value)


def _xml(text: str) -> str:
    """Return a text with nothing in it that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", clean(text))


def document(evaluations: Sequence[Evaluation], started: str) -> str:
    """Return JSON, for programs: every key is always there, null where there is nothing."""
    value = {
        "format": FORMAT,
        "started": started,
        "ok": all(one.state in GOOD for one in evaluations),
        "states": counted(evaluations),
        "evaluations": [
            {
                "name": one.name,
                "state": one.state,
                "seconds": one.seconds,
                "usage": dict(one.usage) if one.usage else None,
                "metrics": {change.name: parts(change) for change in one.changes},
                "accepted": list(one.accepted),
                "error": {"step": one.trouble.step, **one.trouble.parts} if one.trouble else None,
            }
            for one in evaluations
        ],
    }
    return json.dumps(value, indent=2, default=str) + "\n"


def parts(change: Change) -> dict[str, object]:
    """Return a metric for programs: every key is always there."""
    return {
        "before": change.before,
        "after": change.after,
        "delta": change.delta,
        "min": change.least,
        "max": change.most,
        "broken": change.broken or None,
    }
