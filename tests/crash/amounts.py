"""How much the tests of crashes do: all of it (`CRASH=long`), or a sample in two minutes.

The sample is the same for the same `CRASH_SEED`, which stands at the head of pytest's report.
`CRASH_CALLS=57,58` tries these calls alone, to look closer at a failure.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.crash.calls import Call

Item = TypeVar("Item")

LONG = os.environ.get("CRASH") == "long"
SEED = int(os.environ.get("CRASH_SEED", "1"))
CALLS = [int(number) for number in os.environ.get("CRASH_CALLS", "").split(",") if number]
PARTS = 8 if LONG else 1
"""Into how many tests the calls of a build are divided, so that all processors have work."""


def amount(few: int, many: int) -> int:
    """Return how many rounds to make."""
    return many if LONG else few


def sample(items: Sequence[Item], few: int) -> list[Item]:
    """Return all items in the long form, else a few: by chance, but spread over all of them."""
    if LONG or len(items) <= few:
        return list(items)
    chance = random.Random(SEED)
    bounds = [len(items) * place // few for place in range(few + 1)]
    return [items[chance.randrange(*pair)] for pair in itertools.pairwise(bounds)]


def chosen(calls: Sequence[Call], few: int, part: int) -> list[int]:
    """Return the numbers of the calls to try, those of one part of all tests."""
    numbers = CALLS or [call.number for call in sample(calls, few)]
    return numbers[part::PARTS]


def count(what: str, **numbers: int) -> None:
    """Add to what was counted, where `nox -s crash` asks for it (in the folder `CRASH_COUNTS`)."""
    folder = os.environ.get("CRASH_COUNTS")
    if folder:
        line = json.dumps({"what": what, **numbers})
        with Path(folder, f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
