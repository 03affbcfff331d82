"""Trained models behind HTTP: `doit serve` beside `mlflow models serve` and a FastAPI app.

    python benchmarks/serving.py --rounds 5 --seconds 5

One XGBoost model, trained by doit in a repository of its own, is served by all three, one process
each (ours: the gateway and one worker).  They take turns, so that what else this machine does falls
on all of them: in each round wrk asks each for one row a request, over one connection and over 32.
Ratios are within a round, and the median of the rounds counts.  wrk corrects its percentiles for
the requests that a slow answer kept it from sending.  A batch of 10,000 rows, as a binary tensor of
the Open Inference Protocol and as JSON, takes turns with `predict` called in a process of the
model's environment; so does the same batch put to an application on uvicorn that calls `predict`
with the bytes of the body and does no more: so much of the time is that of HTTP.  Each has turns of
its own, since a request in JSON leaves cold caches to whoever comes next.  Memory is PSS: a page
that several processes share is split among them.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import loads
import servers
import usage
from common import milliseconds, print_repeat, print_table, progress
from loads import Batch, Load
from servers import FASTAPI, MLFLOW, OURS, Server
from trained import COLUMNS, ROWS, Bare, train

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, MANY = 1, 32  # connections
BATCH_ROWS = 10_000
PAIRS = 10  # batches of each kind in a round
ROW_TIMES = 500
HEADS = {
    "rate": ("requests/s", 0),
    "p50": ("median ms", 2),
    "p99": ("p99 ms", 2),
    "cpu": ("CPU us", 0),
    "gateway": ("of it gateway", 0),
}
DIRECT, HANDLER = "predict itself", "predict on uvicorn alone"
TENSOR, JSON = "a binary tensor", "JSON"


@dataclass
class Found:
    """All that was measured."""

    loads: dict[tuple[str, int], list[Load]] = field(default_factory=dict)
    rows: list[float] = field(default_factory=list)
    """How long (s) the bare model takes for a row, in each round."""

    batches: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """How long (s) 10,000 rows take `predict`, and as they are asked for, each time."""

    memory: dict[str, float] = field(default_factory=dict)

    def middle(self, name: str, connections: int, what: str) -> float:
        """Return the median of a figure of a server."""
        return statistics.median(getattr(one, what) for one in self.loads[name, connections])

    def times(self, base: str, connections: int, what: str) -> float:
        """Return a figure of ours in terms of another's in the same round, the median."""
        pairs = zip(self.loads[OURS, connections], self.loads[base, connections], strict=True)
        return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)

    def batch_times(self, kind: str) -> float:
        """Return how many times as long a batch takes as by `predict` itself, the median."""
        return statistics.median(took / direct for direct, took in self.batches[kind])

    def beside_predict(self) -> float:
        """Return what a request over one connection takes (us) beside `predict` itself."""
        pairs = zip(self.loads[OURS, ONE], self.rows, strict=True)
        return statistics.median(1e3 * load.p50 - 1e6 * row for load, row in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=int, default=5, help="of each load, default: 5")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: `apt-get install -y wrk`")
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        trained = train(Path(name), BATCH_ROWS)
        with contextlib.ExitStack() as running:
            starts = (servers.mlflow, servers.fastapi, servers.ours)
            served = [running.enter_context(start(trained)) for start in starts]
            bare = Bare(trained)
            running.callback(bare.end)
            found = measure(served, bare, trained.work, options)
    progress("")
    show(found)
    print_repeat()


def measure(
    served: Sequence[Server], bare: Bare, folder: Path, options: argparse.Namespace
) -> Found:
    """See that all answer alike, then let them take turns; a round goes first that is not kept."""
    cells = array("d", (folder / ROWS).read_bytes()).tolist()
    rows = [cells[at : at + len(COLUMNS)] for at in range(0, len(cells), len(COLUMNS))]
    answers = bare.ask("answers")
    for server in served:
        progress(f"{server.name}: comparing its answers")
        loads.prepare(server, rows, answers, folder)
    _, plain, our = served
    batch, handler = Batch(our, rows), Batch(plain, rows)
    for ask in (batch.as_tensor, batch.as_json, handler.as_bytes):
        batch.connect()
        handler.connect()
        if ask()[1] != answers:
            sys.exit(f"10,000 rows are answered {ask.__name__} otherwise than by the model itself")
    found = Found()
    (worker,) = (pid for pid in usage.family(our.pid) if usage.runs(pid, loads.WORKER))
    alone = {"the bare model": bare.pid, "our worker": worker}
    found.memory = {f"{name}, at first": usage.pss_mb([pid]) for name, pid in alone.items()}
    for number in range(options.rounds + 1):
        progress(f"round {number} of {options.rounds}")
        seconds = options.seconds if number else 1
        for connections in (ONE, MANY):
            for server in served:
                load = loads.put(server, connections, seconds, folder)
                if number:
                    found.loads.setdefault((server.name, connections), []).append(load)
        if number:
            _alone(found, bare, batch, handler)
    found.memory |= {f"{name}, at the end": usage.pss_mb([pid]) for name, pid in alone.items()}
    for server in served:
        found.memory[f"{server.name}, all of it"] = usage.pss_mb(usage.family(server.pid))
    return found


def _alone(found: Found, bare: Bare, batch: Batch, handler: Batch) -> None:
    """Measure a row by the bare model, and the batches in turn."""
    found.rows.append(statistics.median(bare.ask("row", ROW_TIMES)))
    batch.connect()
    handler.connect()
    for kind, ask in (
        (HANDLER, handler.as_bytes),
        (TENSOR, batch.as_tensor),
        (JSON, batch.as_json),
    ):
        for _ in range(PAIRS):
            pair = (bare.ask("batch", 1)[0], ask()[0])
            found.batches.setdefault(kind, []).append(pair)


def show(found: Found) -> None:
    """Print what was measured, and whether it is what it should be."""
    rows = []
    for name, connections in found.loads:
        figures = {what: found.middle(name, connections, what) for what in HEADS}
        *told, gateway = (f"{figure:.{HEADS[what][1]}f}" for what, figure in figures.items())
        rows.append((f"{name}, {connections} at once", *told, gateway if name == OURS else ""))
    print_table(("one row a request", *(head for head, _ in HEADS.values())), rows)
    heads = (f"{BATCH_ROWS:,} rows", "median ms", "least ms", DIRECT, "least ms", "ratio")
    batches = []
    for kind, pairs in found.batches.items():
        direct, took = zip(*pairs, strict=True)
        ratio = f"{found.batch_times(kind):.2f}"
        batches.append((kind, *milliseconds(took), *milliseconds(direct), ratio))
    print_table(heads, batches)
    print_table(("memory", "PSS MB"), [(n, f"{mb:.0f}") for n, mb in found.memory.items()])
    print_table(("target", "measured", "asked for", ""), [_verdict(*one) for one in targets(found)])


def targets(found: Found) -> list[tuple[str, float, float, bool]]:
    """Return what is asked for: its name, the figure, its limit, whether that is the least."""
    worker = {
        when: found.memory[f"our worker, {when}"] - found.memory[f"the bare model, {when}"]
        for when in ("at first", "at the end")
    }
    return [
        (f"requests/s at {MANY}, times {MLFLOW}'s", found.times(MLFLOW, MANY, "rate"), 25, True),
        (f"requests/s at {MANY}, times {FASTAPI}'s", found.times(FASTAPI, MANY, "rate"), 3, True),
        (f"p99 at {MANY}, times {MLFLOW}'s", found.times(MLFLOW, MANY, "p99"), 0.1, False),
        (f"median at {ONE}, times {FASTAPI}'s", found.times(FASTAPI, ONE, "p50"), 1.3, False),
        (f"a request at {ONE} beside predict, us", found.beside_predict(), 300, False),
        ("the gateway's CPU time a request, us", found.middle(OURS, ONE, "gateway"), 300, False),
        (f"{BATCH_ROWS:,} rows, times predict itself", found.batch_times(TENSOR), 1.1, False),
        *(
            (f"our worker beside the bare model, {w}, MB", mb, 20, False)
            for w, mb in worker.items()
        ),
    ]


def _verdict(name: str, figure: float, limit: float, least: bool) -> tuple[str, ...]:  # noqa: FBT001
    held = figure >= limit if least else figure <= limit
    sign = "at least" if least else "at most"
    return name, f"{figure:.3g}", f"{sign} {limit:g}", "held" if held else "missed"


if __name__ == "__main__":
    main()
