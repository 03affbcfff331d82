"""Statistics of what a model was trained on, and of what it answers to that.

`record` writes `models/monitoring.json`, beside which the server holds what is scored later:

    format      1
    rows        how many rows the data has, `sampled` how many of them were looked at
    notes       a sentence for each thing that is left out
    inputs, outputs   for each column, in their order
        name        the column's name, its number from 1 where nobody named it
        kind        `number`, `category`, or `text`: strings that hardly repeat
        count, missing   how many values there are, and how many are missing
        min, max, mean, std   of numbers (of a text: of its length in characters)
        edges, bins   of these too: the upper edges of all bins but the last, and how many values
                    are in each.  A bin is without its lower and with its upper edge
        counts      of categories: how many values are of each, the most frequent first
        other       the values of all further categories

Of texts nothing is kept but their lengths.  The bins are those between the deciles of the data;
where there are at most ten different values each has its own.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import json
import math
import os
import sys
from bisect import bisect_left
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

from model_runtime.sampling import MISSING, finite, read_files, read_sample
from model_runtime.scoring import Scoring, Values

FILE = "models/monitoring.json"
FORMAT = 1
ROWS_ALONE = 1000
BINS = 10
MOST_COLUMNS = 200
MOST_LABELS = 50
LONGEST_LABEL = 100


def record(engine: Any, request: Dict[str, Any], arguments: Dict[str, Any]) -> None:
    """Write the statistics of a training, as far as its data and its scorer can be read.

    Whatever goes wrong is told in a line of the log: no training fails for it.
    """
    notes: List[str] = []
    found: Dict[str, Any] = {"format": FORMAT, "rows": 0, "sampled": 0, "notes": notes}
    found.update(inputs=[], outputs=[])
    missing = "inputs and outputs"
    try:
        sample = read_sample(request["monitoring"]["samples"])
        data = _inputs(request["monitoring"]["data_files"], sample, found)
        missing = "outputs"
        if data.values:
            found["outputs"] = _outputs(engine, request, arguments, sample, data)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
        first = (str(error).splitlines() or ["no reason given"])[0]
        notes.append(f"no {missing}: {type(error).__name__}: {first}")
    _write(found)
    counts = [found["sampled"], len(found["inputs"]), len(found["outputs"])]
    said = "monitoring: {} rows, {} columns in, {} out".format(*counts)
    sys.stdout.write("; ".join([said, *notes]) + "\n")


def _write(found: Dict[str, Any]) -> None:
    if os.path.exists(FILE):
        found["notes"].append(f"`{FILE}` is the model's own: nothing is recorded")
        return
    os.makedirs(os.path.dirname(FILE), exist_ok=True)
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)


def _inputs(paths: List[str], sample: Optional[Values], found: Dict[str, Any]) -> Values:
    """Describe the columns of the data, and return its rows as a scorer gets them."""
    notes = found["notes"]
    if not paths:
        notes.append("the dataset names no data file")
    names, rows, found["rows"] = read_files(paths, sample, notes)
    found["sampled"] = len(rows)
    found["inputs"] = described(names, rows)
    if rows and len(rows[0]) > MOST_COLUMNS:
        notes.append(f"of {len(rows[0])} columns the first {MOST_COLUMNS} are recorded")
    return Values(names, rows)


def _outputs(
    engine: Any,
    request: Dict[str, Any],
    arguments: Dict[str, Any],
    sample: Optional[Values],
    data: Values,
) -> List[Dict[str, Any]]:
    """Ask the model's own scorer for its answers to these rows, and describe them.

    One that takes a single row at a time, which may be slow, is asked about a thousand of them.
    """
    score = {**request, "step": "score", "modules": request["monitoring"]["modules"]}
    scoring = Scoring(engine.scorer(score, arguments))
    scoring.try_sample(sample or Values(data.names, data.values[:2]))
    step = 1 if scoring.rows else math.ceil(len(data.values) / ROWS_ALONE)
    answer = scoring.predict(Values(data.names, data.values[::step]))
    return described(list(answer.names), as_rows(answer.values))


def as_rows(values: Any) -> List[List[Any]]:
    """Return what a scorer answered as rows: of a flat list each value is the answer to one."""
    values = values.tolist() if hasattr(values, "tolist") else values
    return [flat(value) for value in values]


def flat(value: Any) -> List[Any]:
    """Return a row without further rows inside it."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        return [value]
    return [inner for item in value for inner in flat(item)]


def described(names: Sequence[str], rows: List[List[Any]]) -> List[Dict[str, Any]]:
    """Return the statistics of the first columns of rows that are all of one length."""
    if not rows:
        return []
    named = names if len(names) == len(rows[0]) else range(1, len(rows[0]) + 1)
    columns = zip(list(named)[:MOST_COLUMNS], zip(*rows))
    return [{"name": str(name), **column(cells)} for name, cells in columns]


def column(cells: Sequence[Any]) -> Dict[str, Any]:
    """Return the statistics of a column, of whatever kind it is."""
    values = [value for value in map(plain, cells) if value is not None]
    facts = {"count": len(values), "missing": len(cells) - len(values)}
    if values and not any(isinstance(value, str) for value in values):
        return {"kind": "number", **facts, **numbers(values)}
    labels = Counter(map(label, values))
    if is_text(labels, len(values)):
        lengths = [float(len(label(value))) for value in values]
        return {"kind": "text", **facts, **numbers(lengths)}
    first = sorted(labels.items(), key=lambda item: (-item[1], item[0]))[:MOST_LABELS]
    other = len(values) - sum(count for _, count in first)
    return {"kind": "category", **facts, "counts": dict(first), "other": other}


def plain(cell: Any) -> Any:
    """Return a cell as a finite number or a string, None where it is missing.

    True and false are strings: they are categories.
    """
    cell = cell.item() if hasattr(cell, "item") else cell
    if cell is None or isinstance(cell, (bool, str)):
        text = "" if cell is None else label(cell)
        return None if text.strip().lower() in MISSING else text
    return finite(cell) if isinstance(cell, (int, float)) else label(cell)


def label(value: Any) -> str:
    """Return the name of a category; true and false have one each, however they are written."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return text.lower() if text.lower() in {"true", "false"} else text


def is_text(labels: Dict[str, int], count: int) -> bool:
    """Return whether strings are no categories: they are long, or most are there only once."""
    long = any(len(name) > LONGEST_LABEL for name in labels)
    return long or (len(labels) > MOST_LABELS and len(labels) > count / 2)


def numbers(values: List[float]) -> Dict[str, Any]:
    """Return the statistics of numbers; `std` divides by their number less one."""
    values = sorted(values)
    mean = math.fsum(values) / len(values)
    edges = edges_of(values)
    bins = [0] * (len(edges) + 1)
    for value in values:
        bins[bisect_left(edges, value)] += 1
    return {
        "min": values[0],
        "max": values[-1],
        "mean": mean,
        "std": deviation(values, mean),
        "edges": edges,
        "bins": bins,
    }


def deviation(values: List[float], mean: float) -> Optional[float]:
    """Return the standard deviation of a sample, None of a single value."""
    if len(values) == 1:
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def edges_of(values: List[float]) -> List[float]:
    """Return the upper edges of all bins but the last, for values that are sorted."""
    different = sorted(set(values))
    if len(different) <= BINS:
        return different[:-1]
    last = len(values) - 1
    deciles = {values[(last * tenth) // BINS] for tenth in range(1, BINS)}
    return sorted(edge for edge in deciles if edge < values[-1])
