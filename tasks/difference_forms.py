"""The forms of a comparison with a commit: a table, Markdown and JSON.  Pure functions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tasks.differences import KINDS, NOW, UNKNOWN
from tasks.forms import code, fitting, parts, row
from tasks.sources import PACKAGE
from tasks.wording import clean, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.differences import Compared, Comparison

FORMAT = 1

_SHOWN = 12  # characters of a commit
_DIGITS = 8  # of a digest
_DIGEST = re.compile(r"(?:tree )?([0-9a-f]{64})")
_SHORTEST = 12  # columns for a name or a value, however narrow the terminal
_LONGEST = 40  # for a value
_RIGHT = 3  # from here on, columns of metrics are aligned to the right


def heads(one: Comparison) -> list[str]:
    """Return the heads of the columns."""
    return ["model", "what", "name", shorten(clean(one.revision), 20), NOW, "delta"]


def table(one: Comparison, width: int) -> list[str]:
    """Return the lines of a table for a terminal of some columns, and a line about the others."""
    rows = [heads(one)]
    notes: dict[int, list[str]] = {}
    for model in one.models:
        name, state = clean(model.name), "" if model.state == "differs" else model.state
        cells = list(_cells(model))
        for number, row_ in enumerate(cells or [(state, "", "", "", "")]):
            rows.append(["" if number else name, *row_])
        notes[len(rows) - 1] = [*([f"it is {state}"] if state and cells else []), *model.notes]
    lines = _aligned(rows, width) if len(rows) > 1 else []
    found = []
    for number, line in enumerate(lines):
        found += [line, *(f"  {note}" for note in notes.get(number, ()))]
    unknown = any(
        note.startswith(f"{NOW}: {UNKNOWN}") for model in one.models for note in model.notes
    )
    hint = ["", "`doit` makes what is not known now"] if unknown else []
    return [*found, *([""] if found else []), summary(one), *hint]


def summary(one: Comparison) -> str:
    """Return how many models differ, and how many do not."""
    others = f"{one.same} {'is' if one.same == 1 else 'are'} the same"
    return f"{differing(len(one.models), one.revision, one.commit)}, {others}"


def differing(count: int, revision: str, commit: str) -> str:
    """Return how many models differ from a commit."""
    differ = (
        f"{count} models differ" if count > 1 else ("no model differs", "1 model differs")[count]
    )
    return f"{differ} from {clean(revision)} ({commit[:_SHOWN]})"


def _cells(model: Compared) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield what, name, before, now and delta of all that differs, metrics first."""
    for change in model.metrics:
        name, before, after, delta, *_ = change.cells
        yield "metric", clean(name), before, after, delta
    for kind in KINDS:
        for one in model.differences:
            if one.kind == kind:
                yield *_named(kind, clean(one.name)), _text(one.before), _text(one.after), ""


def _named(kind: str, name: str) -> tuple[str, str]:
    """Return a kind and a name as people say them."""
    if name.startswith("file "):
        return "file", name.removeprefix("file ").removeprefix(f"{PACKAGE}/")
    return kind, name.removeprefix("hyperParameters.")


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value as it stands in a table: of a digest the beginning, nothing for None."""
    text = (
        "" if value is None else clean(str(value) if isinstance(value, str) else json.dumps(value))
    )
    digest = _DIGEST.fullmatch(text)
    return digest[1][:_DIGITS] if digest else shorten(" ".join(text.split()), _LONGEST)


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as text in columns; what does not fit loses its middle, the longest first."""
    widths = [max(len(one[column]) for one in rows) for column in range(len(rows[0]))]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max((0, 2, 3, 4), key=lambda column: widths[column])
        if widths[widest] <= _SHORTEST:
            break
        widths[widest] -= 1
    lines, measured = [], any(one[1] == "metric" for one in rows)
    for one in rows:
        cells = [shorten(text, wide) for text, wide in zip(one, widths, strict=True)]
        right = one[1] == "metric" or (measured and one is rows[0])
        lines.append(
            "  ".join(
                f"{text:>{wide}}" if right and column >= _RIGHT else f"{text:<{wide}}"
                for column, (text, wide) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
        )
    return lines


def markdown(one: Comparison) -> str:
    """Return a comment for a pull request; what does not fit into one is left out at its end."""
    blocks = [f"### {summary(one)}", ""]
    if any(list(_cells(model)) for model in one.models):
        blocks += [row(heads(one)), row(["---", "---", "---", "--:", "--:", "--:"])]
        for model in one.models:
            name = code(model.name)
            for kind, what, before, after, delta in _cells(model):
                values = (before, after) if kind == "metric" else (code(before), code(after))
                blocks.append(row([name, kind, code(what), *values, delta]))
                name = ""
        blocks.append("")
    for model in one.models:
        said = [*([model.state] if model.state != "differs" else []), *model.notes]
        blocks += [f"- {code(model.name)}: {code(note)}" for note in said]
    return fitting([*blocks, ""], "`doit compare --json` has the rest.")


def document(one: Comparison) -> dict[str, Any]:
    """Return JSON, for programs: every key is always there, null where there is nothing."""
    return {
        "format": FORMAT,
        "revision": one.revision,
        "commit": one.commit,
        "same": one.same,
        "models": [
            {
                "name": model.name,
                "state": model.state,
                "metrics": {change.name: parts(change) for change in model.metrics},
                **{
                    f"{kind}s" if kind != "data" else kind: {
                        each.name: {"before": each.before, "after": each.after}
                        for each in model.differences
                        if each.kind == kind
                    }
                    for kind in KINDS
                },
                "notes": list(model.notes),
            }
            for model in one.models
        ],
    }
