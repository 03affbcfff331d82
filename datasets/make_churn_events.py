"""Write `churn-events.csv`: the events of a synthetic telephone company's customers.

No row comes from a person. Each customer has a mood that nobody sees: the worse it is, the more
dropped calls, escalations and calls about competitors there are. The events and the mood, with much
chance, make a risk; the 2 % of the customers at the highest risk leave, and their last event is
`closed`.

    python datasets/make_churn_events.py                     the sample in this repository
    python datasets/make_churn_events.py --customers 300000 --output events.csv

The file is the same, byte for byte, on every machine and Python: only `random()`, which Python
keeps stable, `fsum`, which rounds exactly, and plain arithmetic are used.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 12
CUSTOMERS = 12000
CHURNERS_PER_THOUSAND = 20
DAYS = 90
TARGET = Path(__file__).with_name("churn-events.csv")

CLOSED = "closed"
ESCALATION, RESOLUTION, UNRESOLVED = (
    "support escalation",
    "support resolution",
    "support unresolved",
)


class Event(NamedTuple):
    """How often an event happens, how much more often as the mood worsens, and its share of risk.

    `often` is relative to the other events; `mood` is added to it for each deviation of the mood;
    `risk` counts once for a customer, in deviations of the noise.
    """

    often: float
    mood: float = 0.0
    risk: float = 0.0


EVENTS = {
    "activation": Event(1.2, -0.1, -0.2),
    "rate plan change": Event(0.9, 0.0, -0.1),
    "device upgrade": Event(0.7, -0.2, -0.7),
    "customer care": Event(1.4, 0.3, 0.1),
    "bill overages": Event(0.7, 0.1, 0.4),
    "retail visit": Event(0.9, 0.0, 0.0),
    "dropped calls": Event(0.8, 0.3, 0.5),
    "call competition": Event(0.25, 0.15, 1.1),
    ESCALATION: Event(0.6, 0.3, 0.5),
    # These two follow an escalation and never stand alone
    RESOLUTION: Event(0.0, 0.0, -0.3),
    UNRESOLVED: Event(0.0, 0.0, 0.9),
}
MOOD_RISK = 0.5
NOISE = 1.0
RESOLVED = 0.6
FEWEST_EVENTS, MORE_EVENTS = 1, 5


class Customer(NamedTuple):
    """A customer's events in order, as (day from 1 to `DAYS`, token), and the risk of leaving."""

    events: list[tuple[int, str]]
    risk: float


def normal(rng: random.Random) -> float:
    """Return a number that is normal to the eye: mean 0, deviation 1, never beyond 6."""
    return math.fsum(rng.random() for _ in range(12)) - 6.0


def draw_token(rng: random.Random, mood: float) -> str:
    """Return the name of an event that does not follow from another."""
    weights = [max(0.0, event.often + event.mood * mood) for event in EVENTS.values()]
    left = rng.random() * math.fsum(weights)
    for token, weight in zip(EVENTS, weights, strict=True):
        left -= weight
        if left < 0:
            return token
    return "customer care"


def draw_customer(rng: random.Random) -> Customer:
    """Return one customer; an escalation is followed by how it ended."""
    mood = normal(rng)
    share = rng.random()
    tokens = []
    for _ in range(FEWEST_EVENTS + int(MORE_EVENTS * share * share)):
        token = draw_token(rng, mood)
        tokens.append(token)
        if token == ESCALATION:
            resolved = rng.random() < RESOLVED - 0.15 * mood
            tokens.append(RESOLUTION if resolved else UNRESOLVED)
    days = sorted(1 + int(DAYS * rng.random()) for _ in tokens)
    parts = [event.risk for token, event in EVENTS.items() if token in tokens]
    risk = math.fsum([*parts, MOOD_RISK * mood, NOISE * normal(rng)])
    return Customer(list(zip(days, tokens, strict=True)), risk)


def lines(count: int) -> Iterator[str]:
    """Return the file's lines: the header, then the events of `count` customers by id and day."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    customers = [draw_customer(rng) for _ in range(count)]
    by_risk = sorted(range(count), key=lambda number: -customers[number].risk)
    leaving = set(by_risk[: count * CHURNERS_PER_THOUSAND // 1000])
    yield "customerid,day,token,category\n"
    for number, customer in enumerate(customers):
        events, category = customer.events, "NON CHURN"
        if number in leaving:
            events, category = [*events, (events[-1][0] + 1, CLOSED)], "CHURN"
        for day, token in events:
            yield f"{number + 1},{day},{token},{category}\n"


def main() -> None:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make synthetic events of customers")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    with arguments.output.open("w", encoding="ascii", newline="") as file:
        file.writelines(lines(arguments.customers))


if __name__ == "__main__":
    main()
