"""Write `data/train.csv` and `data/test.csv` that all templates share: synthetic customers.

Nothing in them is real.  They are copied into a model's folder, so that it trains in any
repository.  The files are the same, byte for byte, on every machine and Python: only
`random()`, which Python keeps stable, `fsum`, which rounds exactly, and plain arithmetic are used.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

SEED = 2024
ROWS = {"train.csv": 400, "test.csv": 200}
DATA = Path(__file__).parents[1] / "model_templates/shared/data"
HEAD = "customer,age,visits,complaints,spend,renewed\n"


def normal(rng: random.Random) -> float:
    """Return a number that is normal to the eye: mean 0, deviation 1, never beyond 6."""
    return math.fsum(rng.random() for _ in range(12)) - 6.0


def customer(rng: random.Random) -> tuple[int, ...]:
    """Return age (years), visits and complaints (of a year), spend (a month), and who renewed."""
    age = int(18 + 62 * rng.random())
    contentment = normal(rng)
    visits = max(0, round(9 + 4 * contentment + 3 * normal(rng)))
    complaints = max(0, round(1.2 - 1.1 * contentment + normal(rng)))
    spend = max(5, round(60 + 0.4 * age + 2.5 * visits + 18 * normal(rng)))
    lean = [0.16 * (visits - 9), -0.5 * (complaints - 1.2), 0.012 * (spend - 100), 0.25]
    renewed = math.fsum([*lean, 0.7 * normal(rng)]) > 0
    return age, visits, complaints, spend, int(renewed)


def sample() -> dict[str, str]:
    """Return the text of each file; no two customers are alike."""
    rng = random.Random(SEED)  # noqa: S311 - a sample, not a secret
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    while len(seen) < sum(ROWS.values()):
        drawn = customer(rng)
        seen.setdefault(drawn[:-1], drawn)
    lines = [",".join(map(str, (n, *row))) + "\n" for n, row in enumerate(seen.values(), 1)]
    texts, start = {}, 0
    for name, rows in ROWS.items():
        texts[name] = HEAD + "".join(lines[start : start + rows])
        start += rows
    return texts


if __name__ == "__main__":
    for name, text in sample().items():
        (DATA / name).write_bytes(text.encode("ascii"))
