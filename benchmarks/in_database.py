"""Training in the database on tables of growing size: the memory that it takes, and the time.

    python benchmarks/in_database.py --rows 1000000 4000000

The rows are random numbers, written as Parquet by DuckDB.  The model
`python-mle-xgboost-diabetes` is trained on them through doit; memory is the most that any process
of the run held.  Beside it stands what the rows would take as an array of doubles in Python.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from common import RUNNER, Contender, doit, print_repeat, print_table, progress, variables

MODEL = "python-mle-xgboost-diabetes"
COLUMNS = 10
LIMIT = "300MB"  # of DuckDB, which otherwise takes up to 1 GB before it uses the disk
MAKE = """
import sys, duckdb
duckdb.sql("select setseed(0.5)")
duckdb.sql(f'''
    copy (
        select * rename (range as idx), (plglcconc + random() > 1)::int as hasdiabetes
        from (
            select range, {", ".join(f"random() as {name}" for name in sys.argv[3].split(","))}
            from range({sys.argv[1]})
        )
    ) to '{sys.argv[2]}' (format parquet)
''')
"""
FEATURES = "numtimesprg,plglcconc,bloodp,skinthick,twohourserins,bmi,dipedfunc,age"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="in-database-") as name:
        table = [measure(Path(name), rows) for rows in options.rows]
    progress("")
    print_table(("rows", "s", "peak MB", "as doubles MB"), table)
    print_repeat()


def measure(folder: Path, rows: int) -> tuple[str, ...]:
    """Train on so many rows, and return the table's line."""
    progress(f"{rows:,} rows")
    if not (folder / "envs").exists():
        for part in ("envs", "datasets", f"model_definitions/{MODEL}"):
            shutil.copytree(RUNNER / part, folder / part)
        run(folder, *doit("env"))
        run(folder, *doit("train"))
    record = json.loads((folder / f"build/models/{MODEL}/train/run.json").read_text("utf-8"))
    python = f"{record['environment']['folder']}/bin/python"
    data = folder / f"rows-{rows}.parquet"
    run(folder, python, "-c", MAKE, str(rows), str(data), FEATURES)
    dataset = {"tables": {"MANY": {"url": str(data)}}, "data_table": "MANY", "memory_limit": LIMIT}
    path = folder / f"model_definitions/{MODEL}/datasets/train.json"
    path.write_text(json.dumps(dataset), encoding="utf-8")
    seconds, peak = run(folder, *doit("train"))
    return f"{rows:,}", f"{seconds:.1f}", f"{peak:.0f}", f"{rows * COLUMNS * 8 / 1e6:.0f}"


def run(folder: Path, *command: str) -> tuple[float, float]:
    """Run a command once in the repository; return its time (s) and its most memory (MB)."""
    sample = Contender("", command, folder, env=variables(folder)).run()
    return sample.seconds, sample.peak_mb


if __name__ == "__main__":
    main()
