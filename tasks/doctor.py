"""`doit doctor`: what this machine has of all that the models need, and what mends the rest."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase
from doit.exceptions import InvalidCommand

from tasks import machine, plan, readiness, redaction, status_line
from tasks.diagnosis import MISSING, OK, WARNING, carry_out
from tasks.discover import discover
from tasks.environments.interpreters import installed
from tasks.errors import UserError, without_password
from tasks.naming import FriendlyCommand
from tasks.queries import JSON_OPTION, end_with_the_reader
from tasks.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.diagnosis import Finding
    from tasks.model import Model

SOON_SECONDS = 1.0  # a look that takes longer is told on a terminal
WIDEST = 120  # columns: longer lines are hard to read
ROOM, LITTLE_ROOM = 60, 30  # columns for a text with lines beneath it, for one without
HINT = 6  # columns before what stands beneath a row
WHOLE_WORDS: Any = {"break_long_words": False, "break_on_hyphens": False}
COLOURS = {OK: "32", WARNING: "33", MISSING: "1;31"}


class Doctor(FriendlyCommand, DoitCmdBase):
    """`doit doctor`: whether all is there; nothing is run of a model, and nothing is written."""

    name = "doctor"
    doc_purpose = "tell what this machine lacks to run the models, and what mends it"
    doc_usage = "[MODEL ...]"
    doc_description = (
        "With models named, every thing of theirs. Nothing is built, run or written.\n"
        "Exit status 1 where something keeps a model from running; warnings leave it 0."
    )
    cmd_options = (JSON_OPTION,)

    def execute(self, params: Any, args: list[str]) -> int:
        """Look; doit's own state is not opened, since that would make it."""
        self.loader.setup(params)  # which enters the repository
        state, trouble = machine.state_and_trouble()
        models = discover(state.files)
        try:
            chosen = [plan.find_model(word, models) for word in args] if args else models
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        installed(state)  # asked once, and not by every look at the same time
        looks = list(machine.checks(chosen, state, trouble))
        looks += [check for model in chosen for check in readiness.checks(model, state)]
        found = [_safe(finding) for finding in carry_out(looks, _tell_waiting)]
        status_line.clear()
        end_with_the_reader()  # only now: a broken connection is no reason to end
        if params["json"]:
            json.dump([asdict(finding) for finding in found], self.outstream, indent=2)
            self.outstream.write("\n")
        else:
            _show(found, chosen, in_full=bool(args))
        return 1 if any(finding.state == MISSING for finding in found) else 0


def _safe(finding: Finding) -> Finding:
    """Return a finding without what logs in somewhere."""
    found, hint = (
        without_password(redaction.redact(text, os.environ))
        for text in (finding.found, finding.hint)
    )
    return replace(finding, found=found, hint=hint)


def _tell_waiting(things: list[str], seconds: float) -> None:
    """Say on a terminal what takes long."""
    if seconds > SOON_SECONDS:
        status_line.show(f"looking at {', '.join(dict.fromkeys(things))}")


def _show(found: Sequence[Finding], models: Sequence[Model], *, in_full: bool) -> None:
    """Print the findings: those of the machine, then those of the models."""
    groups = [("this machine", [(one.thing, one) for one in found if not one.model])]
    of_models = [
        (model.name, [one for one in found if one.model == model.name]) for model in models
    ]
    if in_full:
        groups += [(name, [(one.thing, one) for one in them]) for name, them in of_models]
    else:
        groups += [("models", [row for name, them in of_models for row in _brief(name, them)])]
    on_terminal = sys.stdout.isatty()
    width = min(shutil.get_terminal_size().columns, WIDEST) if on_terminal else sys.maxsize
    colours = COLOURS if on_terminal and "NO_COLOR" not in os.environ else {}
    for title, rows in groups:
        names = max((len(name) for name, _ in rows), default=0)
        lines = [line for row in rows for line in _lines(*row, names, width, colours)]
        print("\n".join([title, *lines, ""]) if rows else f"no {title}\n")
    print(_verdict(found))


def _brief(name: str, findings: Sequence[Finding]) -> Iterator[tuple[str, Finding]]:
    """Yield a row for each thing that is not well with a model, one row for all where all is."""
    troubles = [one for one in findings if one.state != OK]
    for number, one in enumerate(sorted(troubles, key=lambda one: one.state != MISSING)):
        yield ("" if number else name), replace(one, found=f"{one.thing}: {one.found}")
    if not troubles:
        said = [f"{one.thing} {one.found}" for one in findings if one.thing != "files"]
        yield name, replace(findings[0], found=", ".join(said))


def _lines(
    name: str, finding: Finding, names: int, width: int, colours: dict[str, str]
) -> Iterator[str]:
    """Yield the lines of a row: what was found in a column, what mends it beneath."""
    before = f"  {name:<{names}}  "
    head = f"{before}{finding.state:<{len(MISSING)}}  "
    room = ROOM if finding.hint or "\n" in finding.found else LITTLE_ROOM
    first, *rest = _wrapped(
        head + finding.found, width, len(head) if width > len(head) + room else HINT
    )
    if colours:
        at, end = len(before), len(before + finding.state)
        first = f"{before}\x1b[{colours[finding.state]}m{first[at:end]}\x1b[0m{first[end:]}"
    yield from (first, *rest)
    if finding.hint:
        yield from textwrap.wrap(
            f"hint: {finding.hint}", width, initial_indent=" " * HINT,
            subsequent_indent=" " * (HINT + len("hint: ")), **WHOLE_WORDS,
        )  # fmt: skip


def _wrapped(text: str, width: int, column: int) -> list[str]:
    """Return lines no wider than the width; those after the first start at the column.

    Lines that are indented already stay so, beyond that.
    """
    first, *rest = text.split("\n")
    lines = textwrap.wrap(first, width, subsequent_indent=" " * column, **WHOLE_WORDS)
    for line in rest:
        indent = " " * (column + len(line) - len(line.lstrip()))
        lines += textwrap.wrap(
            line.strip(), width, initial_indent=indent, subsequent_indent=indent, **WHOLE_WORDS
        )
    return lines


def _verdict(found: Sequence[Finding]) -> str:
    """Return the last line."""
    counts = Counter(finding.state for finding in found)
    warnings = counted(counts[WARNING], "warning")
    if counts[MISSING]:
        things = "1 thing is" if counts[MISSING] == 1 else f"{counts[MISSING]} things are"
        return f"{things} missing, {warnings}"
    return f"nothing keeps a model from running: {warnings}" if counts[WARNING] else "all is well"
