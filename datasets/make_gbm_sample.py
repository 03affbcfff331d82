"""Write `gbm-train.csv` and `gbm-test.csv`: simulated rows for the boosted regression in R.

`Y` leans on `X1`, `X2`, `X3` and `X5`, partly on two of them together; `X4` and `X6` are noise.
What is added to it by chance has a tenth of its variance. Of `X1` 10 % are missing and of `X3`
30 %, written as nothing.

The files are the same, byte for byte, on every machine and Python: only `random()`, which Python
keeps stable, `fsum` and `sqrt`, which round exactly, and plain arithmetic are used.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

SEED = 1000
ROWS = {"gbm-train.csv": 1000, "gbm-test.csv": 500}
SIGNAL_TO_NOISE = 10
MISSING = {"X1": 0.1, "X3": 0.3}
HEADER = ("Y", "X1", "X2", "X3", "X4", "X5", "X6")

STEPS = {"low": -1.2, "mid": -0.3, "high": 0.5, "peak": 1.4}
SLOPES = {"north": -0.9, "south": 0.2, "west": 1.1}
COLOURS = ("amber", "black", "coral", "denim", "ebony", "frost")


def normal(rng: random.Random) -> float:
    """Return a number that is normal to the eye: mean 0, deviation 1, never beyond 6."""
    return math.fsum(rng.random() for _ in range(12)) - 6.0


def choose(rng: random.Random, names: tuple[str, ...]) -> str:
    """Return one of the names; `choice` is not promised to stay as it is."""
    return names[int(rng.random() * len(names))]


def draw(rng: random.Random) -> tuple[float, dict[str, float | str]]:
    """Return the signal of a row and its features."""
    row: dict[str, float | str] = {}
    x1, x2 = rng.random(), 2 * rng.random()
    row |= {"X1": x1, "X2": x2, "X3": choose(rng, tuple(STEPS)), "X4": choose(rng, COLOURS)}
    row |= {"X5": choose(rng, tuple(SLOPES)), "X6": 3 * rng.random()}
    bend = 6 * (x1 - 0.4) * (x1 - 0.4)
    return math.fsum([bend, SLOPES[str(row["X5"])] * x2, STEPS[str(row["X3"])]]), row


def variance(values: list[float]) -> float:
    """Return the mean square around the mean."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) * (value - mean) for value in values) / len(values)


def without(rng: random.Random, rows: list[dict[str, float | str]], name: str) -> None:
    """Take the column's value away from its share of the rows, chosen by chance."""
    keys = {at: rng.random() for at in range(len(rows))}
    for at in sorted(keys, key=keys.__getitem__)[: round(MISSING[name] * len(rows))]:
        rows[at][name] = ""


def text(value: float | str) -> str:
    """Return a value as it is written."""
    return value if isinstance(value, str) else f"{value:.4f}"


def samples() -> dict[str, str]:
    """Return each file whole, a header first."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    files = {}
    for name, count in ROWS.items():
        drawn = [draw(rng) for _ in range(count)]
        noise = math.sqrt(variance([signal for signal, _ in drawn]) / SIGNAL_TO_NOISE)
        rows = [{"Y": signal + noise * normal(rng), **row} for signal, row in drawn]
        for column in MISSING:
            without(rng, rows, column)
        lines = [",".join(HEADER), *(",".join(text(row[of]) for of in HEADER) for row in rows)]
        files[name] = "\n".join([*lines, ""])
    return files


if __name__ == "__main__":
    for name, content in samples().items():
        Path(__file__).with_name(name).write_bytes(content.encode("ascii"))
