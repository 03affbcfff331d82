"""Write `diabetes-sample.csv`: a synthetic stand-in for the Pima Indians diabetes data.

The same rows are written once more as two tables of a database, with names and ids.

No row comes from a person. Each column is a normal variable that leans on those before it
(`LATENT`), then takes the shape of the real column through a table of percentiles (`COLUMNS`):
the row that ranks at 25 % gets the value at 25 %. The class is the highest ranks of a risk.

The file is the same, byte for byte, on every machine and Python: only `random()`, which Python
keeps stable, `fsum`, which rounds exactly, and plain arithmetic are used. (`sum` of floats changed
in Python 3.12, and `shuffle` and the logarithm inside `gauss` may differ too.)
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import NamedTuple

SEED = 768
ROWS = 768
POSITIVE = 268
TARGET = Path(__file__).with_name("diabetes-sample.csv")
# The tables that training and evaluation inside a database read: file, first row, last row
TABLES = (("diabetes-sample-train.csv", 0, 599), ("diabetes-sample-test.csv", 600, 767))
HEAD = "idx,numtimesprg,plglcconc,bloodp,skinthick,twohourserins,bmi,dipedfunc,age,hasdiabetes\n"

PERCENTS = (0, 5, 25, 50, 75, 95, 99, 100)


class Column(NamedTuple):
    """The shape of one column: its values at `PERCENTS`, and how many are missing, written as 0.

    `together` values are missing in rows where others are missing too, `alone` ones anywhere else.
    """

    values: tuple[float, ...]
    decimals: int = 0
    together: int = 0
    alone: int = 0


COLUMNS = {
    "pregnancies": Column((0, 0, 1, 3, 6, 10, 13, 17)),
    "glucose": Column((44, 80, 99, 117, 141, 181, 196, 199), alone=5),
    "pressure": Column((24, 52, 64, 72, 80, 92, 106, 122), together=33, alone=2),
    "skin": Column((7, 13, 22, 29, 36, 46, 54, 99), together=227),
    "insulin": Column((14, 42, 76, 125, 190, 396, 580, 846), together=374),
    "bmi": Column((18.2, 22.2, 27.5, 32.3, 36.6, 44.5, 50.0, 67.1), 1, together=9, alone=2),
    "pedigree": Column((0.078, 0.14, 0.244, 0.372, 0.626, 1.133, 1.699, 2.42), 3),
    "age": Column((21, 21, 24, 29, 41, 58, 67, 81)),
}

# Variable: (weights of the variables that it leans on, weight of its own noise)
LATENT: dict[str, tuple[dict[str, float], float]] = {
    "age": ({}, 1.0),
    "bmi": ({}, 1.0),
    "pregnancies": ({"age": 0.6}, 0.8),
    "glucose": ({"age": 0.27, "bmi": 0.22}, 0.93),
    "pressure": ({"age": 0.33, "bmi": 0.28}, 0.9),
    "skin": ({"age": 0.12, "bmi": 0.68}, 0.72),
    "insulin": ({"glucose": 0.65, "bmi": 0.1}, 0.74),
    "pedigree": ({"bmi": 0.12, "glucose": 0.08}, 0.98),
    "risk": ({"glucose": 0.8, "bmi": 0.4, "age": 0.3, "pedigree": 0.25}, 0.6),
}


def normal(rng: random.Random) -> float:
    """Return a number that is normal to the eye: mean 0, deviation 1, never beyond 6."""
    return math.fsum(rng.random() for _ in range(12)) - 6.0


def draw_latents(rng: random.Random) -> dict[str, list[float]]:
    """Return `ROWS` values for each variable of `LATENT`."""
    drawn: dict[str, list[float]] = {}
    for name, (weights, noise) in LATENT.items():
        drawn[name] = [
            math.fsum([noise * normal(rng), *(w * drawn[of][row] for of, w in weights.items())])
            for row in range(ROWS)
        ]
    return drawn


def shuffled(rng: random.Random, rows: list[int]) -> list[int]:
    """Return the row numbers in a random order."""
    keys = {row: rng.random() for row in rows}
    return sorted(rows, key=keys.__getitem__)


def value_at(percent: float, values: tuple[float, ...]) -> float:
    """Return the value at a percentage (0 to 100), on straight lines between the table's points."""
    upper = next(i for i, point in enumerate(PERCENTS) if i and percent <= point)
    low, high = PERCENTS[upper - 1], PERCENTS[upper]
    share = (percent - low) / (high - low)
    return values[upper - 1] + share * (values[upper] - values[upper - 1])


def shape(latent: list[float], missing: set[int], column: Column) -> list[str]:
    """Return a column as text: the present rows by their rank, the missing ones as 0."""
    present = sorted((row for row in range(ROWS) if row not in missing), key=latent.__getitem__)
    shaped = [0.0] * ROWS
    for rank, row in enumerate(present):
        shaped[row] = value_at(100 * rank / (len(present) - 1), column.values)
    return [f"{value:.{column.decimals}f}" for value in shaped]


def sample() -> str:
    """Return the whole file: `ROWS` lines of eight features and the class, without a header."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    latents = draw_latents(rng)
    unmeasured_first = shuffled(rng, list(range(ROWS)))
    table = []
    for name, column in COLUMNS.items():
        together = unmeasured_first[: column.together]
        alone = shuffled(rng, unmeasured_first[column.together :])[: column.alone]
        table.append(shape(latents[name], {*together, *alone}, column))
    by_risk = sorted(range(ROWS), key=latents["risk"].__getitem__)
    positive = set(by_risk[ROWS - POSITIVE :])
    table.append([str(int(row in positive)) for row in range(ROWS)])
    return "".join(",".join(cells) + "\n" for cells in zip(*table, strict=True))


def table(text: str, first: int, last: int) -> str:
    """Return some rows of the file (from 0, the last included) with a head and with their ids."""
    lines = list(enumerate(text.splitlines()))[first : last + 1]
    return HEAD + "".join(f"{row},{line}\n" for row, line in lines)


if __name__ == "__main__":
    TEXT = sample()
    TARGET.write_bytes(TEXT.encode("ascii"))
    for name, first, last in TABLES:
        TARGET.with_name(name).write_bytes(table(TEXT, first, last).encode("ascii"))
