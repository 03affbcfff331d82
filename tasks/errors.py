"""What a user can do wrong, in one shape: a headline, aligned facts, and the way out."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class UserError(Exception):
    """An expected failure, shown without a traceback.

    `headline` is one sentence without a full stop that names the file, key or model; `facts` are
    (label, value) pairs shown aligned below it; `hint` says the way out.
    """

    def __init__(self, headline: str, *facts: tuple[str, object], hint: str = "") -> None:
        """Keep the three parts apart, so that a JSON report can show them apart."""
        super().__init__(headline)
        self.headline = headline
        self.facts = tuple((label, str(value)) for label, value in facts)
        self.hint = hint

    def __str__(self) -> str:
        """Render the headline, the facts in a column and the hint after a blank line."""
        width = max((len(label) for label, _ in self.facts), default=0)
        lines = [self.headline]
        for label, value in self.facts:
            first, *rest = value.split("\n")
            lines.append(f"  {label:<{width}}  {first}")
            lines.extend(f"  {'':<{width}}  {line}" for line in rest)
        if self.hint:
            lines += ["", f"hint: {self.hint}"]
        return "\n".join(lines)


def refused(error: OSError) -> UserError:
    """Return what is told of a file or folder that the system does not let us use."""
    file = error.filename2 or error.filename  # of two, the one that was to be made
    return UserError(
        f"`{file}` cannot be used" if file else "A file cannot be used",
        ("reason", error.strerror or error),
        hint="see that it can be read and written to, or name another place",
    )


def installing(package: str) -> str:
    """Return the command that brings a package into the environment of this process."""
    python = os.path.abspath(sys.executable)
    below = os.path.relpath(python)
    python = shlex.quote(python if below.startswith("..") else below)
    return f"`{python} -m uv pip install --python {python} {package}`"


class NotGoodEnough(UserError):
    """An evaluation that breaks a threshold; `metrics` is all that it measured."""

    def __init__(
        self,
        headline: str,
        *facts: tuple[str, object],
        hint: str,
        metrics: Mapping[str, float],
    ) -> None:
        """Keep the numbers, which a report shows although there is no result."""
        super().__init__(headline, *facts, hint=hint)
        self.metrics = dict(metrics)
        self.missed = self.facts  # to which others are added, such as where the run was kept


class AttemptFailed(UserError):
    """An attempt at a step that ended without a result; `reason` is one of `retries.REASONS`.

    `again` is whether the model has its steps tried again for that reason.
    """

    again = False

    def __init__(
        self, headline: str, *facts: tuple[str, object], hint: str = "", reason: str
    ) -> None:
        """Keep why it ended, by which it is known whether the step is tried again."""
        super().__init__(headline, *facts, hint=hint)
        self.reason = reason


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in one file.

    `line` counts from 1 (0: the whole file); `key` is the path to the value, as in
    `automation.training.resources.memory`.  A warning does not stop a model from running.
    """

    file: str
    line: int
    key: str
    message: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """Render as `file:line: key: message`, the form that editors and CI logs link."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        kind = "warning: " if self.warning else ""
        key = f"`{self.key}`: " if self.key else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}: {kind}{key}{self.message}{hint}"


class InvalidModel(UserError):
    """A model whose files have faults; it never hides the other models."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        """Show every fault of the model at once."""
        self.faults = tuple(faults)
        super().__init__(
            f"Model `{name}` cannot be used",
            *(("", fault) for fault in self.faults),
            hint="`doit check` shows the faults of all models",
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?` for the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""


def without_password(text: str) -> str:
    """Return a text in which addresses name nobody who logs in, and no password."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def printable(path: str) -> str:
    """Return a path as it can be shown on one line: what has no letter is escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: ascii(found[0])[1:-1], text)


def telling_line(message: str) -> str:
    """Return the line of a model's error that tells most: its first one.

    An error of another process, such as a worker of Spark, comes with that one's traceback, and
    what it says stands last.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    elsewhere = any(line.startswith("Traceback (most recent call last)") for line in lines)
    return lines[-1 if elsewhere else 0] if lines else ""
