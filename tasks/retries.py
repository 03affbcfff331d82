"""How often a step is tried and how long an attempt may take: what `model.json` says of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.model import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping

REASONS = ("oom", "preempted", "lost", "timeout", "error")
"""Why an attempt may end without a result.

Memory ran out; the place took the machine away; the process, or the machine, was gone from one
moment to the next; it took too long; or the model itself failed.
"""

RETRIED = frozenset(REASONS) - {"error"}
"""The reasons to try again where nothing is said: on the same inputs a model fails the same way."""

NOT_AGAIN = 65
"""The exit status of a worker whose step is not to be tried again."""

LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Policy:
    """How often a step is tried again, and for which reasons.

    `timeout` is how many seconds one attempt may take, and `timeout_key` where that is said.
    """

    retries: int
    reasons: frozenset[str]
    timeout: float | None
    timeout_key: str


def of(document: Mapping[str, Any], step: str) -> Policy:
    """Return what `model.json` says for a step: of the two places the nearer one counts."""
    retries, _ = _said(document, step, "retries")
    reasons, _ = _said(document, step, "retryOn")
    timeout, key = _said(document, step, "timeout")
    return Policy(
        int(retries or 0), RETRIED if reasons is None else frozenset(reasons), timeout, key
    )


def _said(document: Mapping[str, Any], step: str, name: str) -> tuple[Any, str]:
    """Return the value that counts and the path of its key; None where nothing is said."""
    phase = document.get("automation", {}).get(PHASES[step], {})
    if name in phase:
        return phase[name], f"automation.{PHASES[step]}.{name}"
    return document.get(name), name


def pause(attempt: int) -> float:
    """Return for how many seconds to wait after an attempt: longer each time, up to a minute."""
    return min(2.0 ** (attempt - 1), LONGEST_PAUSE)
