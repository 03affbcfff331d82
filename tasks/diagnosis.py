"""What a look at one thing finds, and how many looks are taken at once, none for long."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import urllib.request
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

OK, WARNING, MISSING = "ok", "warning", "missing"
"""All is well; something to know that keeps no model from running; something that does."""

CONNECT_SECONDS = 3.0
PATIENCE_SECONDS = 6.0  # what has not answered by then is not waited for
THREADS = 32
LOOK_SECONDS = 0.1

_News: TypeAlias = "tuple[int, list[Finding] | BaseException]"
_NO_ANSWER = f"no answer within {PATIENCE_SECONDS:g} s"


@dataclass(frozen=True)
class Finding:
    """What was found of one thing: `hint` mends it; `model` is empty for a thing of the machine."""

    thing: str
    state: str
    found: str
    hint: str = ""
    model: str = ""


@dataclass(frozen=True)
class Check:
    """A look at one thing of a model, or of the machine where `model` is empty."""

    thing: str
    look: Callable[[], Iterable[Finding]]
    model: str = ""


def finding_of(thing: str, error: UserError, state: str = MISSING) -> Finding:
    """Return what an error says, as a finding."""
    bare = UserError(error.headline, *error.facts)
    return Finding(thing, state, str(bare), error.hint)


def carry_out(
    checks: Sequence[Check], waiting: Callable[[list[str], float], None]
) -> list[Finding]:
    """Take all looks, in threads, and return what they find in the order of the checks.

    `waiting` is called a few times a second with the things that are still looked at, and for how
    many seconds they have been.  Raises what is no fault of the user's.
    """
    to_do: SimpleQueue[int] = SimpleQueue()
    news: SimpleQueue[_News] = SimpleQueue()
    started: dict[int, float] = {}
    for number in range(len(checks)):
        to_do.put(number)
    threads = min(THREADS, len(checks))
    for _ in range(threads):
        threading.Thread(target=_work, args=(checks, to_do, started, news), daemon=True).start()
    began = time.monotonic()
    found: dict[int, list[Finding]] = {}
    while len(found) < len(checks):
        try:
            number, result = news.get(timeout=LOOK_SECONDS)
        except Empty:
            left = [check for number, check in enumerate(checks) if number not in found]
            if _silent(started.copy(), found) >= min(threads, len(left)):
                break  # not one of the threads gets on
            waiting([check.model or check.thing for check in left], time.monotonic() - began)
            continue
        if isinstance(result, BaseException):
            raise result
        found[number] = result
    return [
        replace(finding, model=check.model)
        for number, check in enumerate(checks)
        for finding in found.get(number, [Finding(check.thing, WARNING, _NO_ANSWER)])
    ]


def _work(
    checks: Sequence[Check],
    to_do: SimpleQueue[int],
    started: dict[int, float],
    news: SimpleQueue[_News],
) -> None:
    """Take one look after the other, until none is left."""
    with contextlib.suppress(Empty):
        while True:
            number = to_do.get_nowait()
            started[number] = time.monotonic()
            try:
                news.put((number, list(_findings(checks[number]))))
            except BaseException as error:  # noqa: BLE001 - the main thread raises it
                news.put((number, error))


def _silent(started: Mapping[int, float], found: Mapping[int, list[Finding]]) -> int:
    """Return how many looks take too long."""
    since = time.monotonic() - PATIENCE_SECONDS
    return sum(number not in found and when < since for number, when in started.items())


def _findings(check: Check) -> Iterator[Finding]:
    """Yield what a look finds, up to an error that is the user's to mend."""
    try:
        yield from check.look()
    except UserError as error:
        yield finding_of(check.thing, error)
    except OSError as error:
        yield Finding(check.thing, MISSING, f"cannot be looked at: {error}")


def unfetched(address: str) -> Exception | None:
    """Return what goes wrong when an address is asked for, `None` for nothing.

    Asked as for the data, which are not read: some servers refuse to tell of them alone.
    """
    try:
        urllib.request.urlopen(address, timeout=CONNECT_SECONDS).close()  # noqa: S310 - of a dataset
    except (http.client.HTTPException, OSError, ValueError) as error:
        return error
    return None
