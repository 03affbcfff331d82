"""What the SQL models take at a million events in DuckDB: time and memory, step by step.

    python benchmarks/sql.py --events 1000000

The events come from `datasets/make_churn_events.py`, for as many customers as it takes.  Each step
is run once through doit, with its environment at hand; memory is the most that any process of the
step held.  The base is DuckDB that reads the file in the same environment, counts customers, and
does nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import RUNNER, Contender, Sample, doit, print_repeat, print_table, progress, variables

MODELS = ("sql-naive-bayes-churn", "sql-svm-churn")
STEPS = ("train", "evaluate", "score")
SAMPLE = "datasets/churn-events.csv"
EVENTS_PER_CUSTOMER = 2.44  # a little less than there are
LIMIT_MB = 2000

READ = """
import sys, duckdb
print(duckdb.sql(f"select count(*), count(distinct customerid) from '{sys.argv[1]}'"))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="default: 1000000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sql-") as name:
        folder = Path(name)
        events = write_repository(folder, options.events)
        progress("making the environments")
        run(folder, *doit("env"))
        samples = {}
        for task in [f"{step}:{model}" for model in MODELS for step in STEPS]:
            progress(task)
            samples[task] = run(folder, *doit(task))
        record = folder / f"build/models/{MODELS[0]}/train/run.json"
        environment = json.loads(record.read_text(encoding="utf-8"))["environment"]["folder"]
        progress("reading alone")
        base = run(folder, f"{environment}/bin/python", "-c", READ, SAMPLE)
    progress("")
    show(events, base, samples)
    print_repeat()


def write_repository(folder: Path, events: int) -> int:
    """Copy the models and make the events; return how many there are."""
    for part in ("envs", *(f"model_definitions/{model}" for model in MODELS)):
        shutil.copytree(RUNNER / part, folder / part)
    (folder / "datasets").mkdir()
    progress("making the events")
    script, target = RUNNER / "datasets/make_churn_events.py", folder / SAMPLE
    customers = str(int(events / EVENTS_PER_CUSTOMER) + 1)
    command = [sys.executable, str(script), "--customers", customers, "--output", str(target)]
    subprocess.run(command, check=True)
    with target.open("rb") as file:
        return sum(1 for _ in file) - 1


def run(folder: Path, *command: str) -> Sample:
    """Run a command once in the repository."""
    return Contender("", command, folder, env=variables(folder)).run()


def show(events: int, base: Sample, samples: dict[str, Sample]) -> None:
    """Print the table, and whether memory stayed below its limit."""
    rows = [("DuckDB reads the file", f"{base.seconds:.1f}", f"{base.peak_mb:.0f}", "1.0")]
    for task, sample in samples.items():
        ratio = f"{sample.seconds / base.seconds:.1f}"
        rows.append((task, f"{sample.seconds:.1f}", f"{sample.peak_mb:.0f}", ratio))
    print_table((f"{events:,} events", "s", "peak MB", "ratio"), rows)
    most = max(sample.peak_mb for sample in samples.values())
    verdict = "below" if most < LIMIT_MB else "ABOVE"
    print(f"peak {most:.0f} MB: {verdict} the limit of {LIMIT_MB} MB")


if __name__ == "__main__":
    main()
