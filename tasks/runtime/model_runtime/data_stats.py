"""Statistics of the data that a step has seen: `data_stats.json` among its artefacts.

They are those of a sample, as pandas has them: `var` divides by the number of values less one,
`skew` and `kurt` (0 for a normal distribution) are corrected for small samples.  `cv` is in
percent.

Only the standard library is used, in a form that Python 3.6 parses; NumPy is there where pandas is.
"""

import importlib
import json
import math
import os
from typing import Any, Dict, Iterable, List, Optional, Set

from model_runtime.context import INPUT, OUTPUT
from model_runtime.stand_in import note

FILE = "data_stats.json"
BINS = 10
GROUP = "default"

Names = Optional[Iterable[str]]


def record_training_stats(  # noqa: PLR0913, PLR0917 - as models call it
    df: Any,
    features: Iterable[str],
    targets: Names = None,
    categorical: Names = None,
    feature_importance: Optional[Dict[str, float]] = None,
    context: Any = None,
    **older: Any,
) -> None:
    """Record the statistics of the features and targets of a training.

    `categorical` are the columns that hold categories, besides those that hold no numbers.
    `importance` and `predictors` are older names of `feature_importance` and `targets`.
    """
    kind = "predictors" if targets is None and "predictors" in older else "targets"
    targets = older.pop("predictors", None) if targets is None else targets
    importance = feature_importance or older.pop("importance", None)
    _leave_out(older)
    frame, categories = _pandas(df), {name.lower() for name in categorical or ()}
    found = {
        "num_rows": len(frame),
        "features": _described(frame, features, categories, context, importance),
        kind: _described(frame, targets or (), categories, context),
    }
    _write(found, context)


def record_evaluation_stats(
    features_df: Any,
    predicted_df: Any,
    feature_importance: Optional[Dict[str, float]] = None,
    context: Any = None,
    **older: Any,
) -> None:
    """Record the statistics of the features and predictions of an evaluation.

    What training has recorded as categories is categories here; `importance` is the older name
    of `feature_importance`.
    """
    importance = feature_importance or older.pop("importance", None)
    _leave_out(older)
    _record_predicted(features_df, predicted_df, context, importance)


def record_scoring_stats(
    features_df: Any, predicted_df: Any, context: Any = None, **older: Any
) -> None:
    """Record the statistics of the features and predictions of a scoring."""
    _leave_out(older)
    _record_predicted(features_df, predicted_df, context, None)


def _record_predicted(
    features_df: Any, predicted_df: Any, context: Any, importance: Optional[Dict[str, float]]
) -> None:
    frame, predicted = _pandas(features_df), _pandas(predicted_df)
    info = context.dataset_info if context else None
    categories = _categories_of_training(context)
    features = _present(info.feature_names if info else None, frame)
    targets = _present(info.target_names if info else None, predicted)
    found = {
        "num_rows": len(frame),
        "features": _described(frame, features, categories, context, importance),
        "targets": _described(predicted, targets, categories, context),
    }
    _write(found, context)


def _leave_out(keywords: Iterable[str]) -> None:
    """Say of keywords which nothing is known of that they have no effect."""
    for keyword in keywords:
        note(f"`{keyword}` has no effect on the statistics")


def _pandas(frame: Any) -> Any:
    """Return a data frame of pandas, all rows of one of `teradataml`."""
    return frame.to_pandas(all_rows=True) if hasattr(frame, "to_pandas") else frame


def _present(names: Names, frame: Any) -> List[str]:
    """Return those columns that the frame has; all of them where none are named."""
    there = [str(column) for column in frame.columns]
    if names is None:
        return there
    lower = {column.lower() for column in there}
    for name in names:
        if name.lower() not in lower:
            note(f"`{name}` is in no statistics: the columns are {', '.join(there)}")
    return [name for name in names if name.lower() in lower]


def _categories_of_training(context: Any) -> Set[str]:
    path = os.path.join((context and context.artifact_input_path) or INPUT, FILE)
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    kinds = ("features", "targets", "predictors")
    columns = [item for kind in kinds for item in before.get(kind, {}).items()]
    return {name for name, facts in columns if facts["type"] == "categorical"}


def _described(
    frame: Any,
    names: Iterable[str],
    categories: Set[str],
    context: Any,
    importance: Optional[Dict[str, float]] = None,
) -> Dict[str, Any]:
    """Return the type and statistics of these columns, by name in lower case.

    Raises KeyError where there is no such column.
    """
    columns = {str(column).lower(): column for column in frame.columns}
    weights = {name.lower(): value for name, value in (importance or {}).items()}
    info = context.dataset_info if context else None
    group = (info and info.feature_metadata_monitoring_group) or GROUP
    found = {}
    for name in map(str.lower, names):
        if name not in columns:
            raise KeyError(f"no column `{name}`: the columns are {', '.join(columns)}")
        column = frame[columns[name]]
        is_categorical = name in categories or column.dtype.kind not in "iuf"
        facts = {"type": "categorical" if is_categorical else "continuous", "group": group}
        if name in weights:
            facts["importance"] = float(weights[name])
        facts["statistics"] = categorical(column) if is_categorical else continuous(column)
        found[name] = facts
    return found


def categorical(column: Any) -> Dict[str, Any]:
    """Return how often each value of a column occurs, the most frequent first."""
    values = column.dropna()
    counts = {}  # type: Dict[str, int]
    for value in values.tolist():
        whole = isinstance(value, float) and value.is_integer()  # an integer beside missing ones
        label = str(int(value) if whole else value)
        counts[label] = counts.get(label, 0) + 1
    frequency = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return {"frequency": frequency, "nulls": len(column) - len(values)}


def continuous(column: Any) -> Dict[str, Any]:
    """Return the statistics of a column of numbers; None for those that so few values have not.

    A value that is infinite counts as missing.
    """
    numpy = importlib.import_module("numpy")
    values = numpy.asarray(column.dropna(), dtype=float)
    values = values[numpy.isfinite(values)]
    count = len(values)
    if not count:
        return {"cnt": 0, "nulls": len(column)}
    mean = float(values.mean())
    squares, cubes, fourths = (float(((values - mean) ** power).sum()) for power in (2, 3, 4))
    variance = squares / (count - 1) if count > 1 else None
    deviation = math.sqrt(variance) if variance is not None else None
    counts, edges = numpy.histogram(values, bins=BINS)
    return {
        "cnt": count,
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": mean,
        "std": deviation,
        "skew": _skewness(count, cubes, deviation),
        "kurt": _kurtosis(count, fourths, variance),
        "ste": deviation / math.sqrt(count) if deviation is not None else None,
        "cv": 100 * deviation / mean if deviation is not None and mean else None,
        "var": variance,
        "sum": float(values.sum()),
        "uss": float((values**2).sum()),
        "css": squares,
        "nulls": len(column) - count,
        "histogram": {"edges": edges.tolist(), "values": counts.tolist()},
    }


def _skewness(count: int, cubes: float, deviation: Optional[float]) -> Optional[float]:
    if count < 3 or not deviation:  # noqa: PLR2004 - the divisors
        return None
    return count * cubes / ((count - 1) * (count - 2) * deviation**3)


def _kurtosis(count: int, fourths: float, variance: Optional[float]) -> Optional[float]:
    if count < 4 or not variance:  # noqa: PLR2004 - the divisors
        return None
    divisor = (count - 2) * (count - 3)
    weighted = count * (count + 1) * fourths / (variance**2 * (count - 1))
    return (weighted - 3 * (count - 1) ** 2) / divisor


def _write(found: Dict[str, Any], context: Any) -> None:
    folder = context.artifact_output_path if context else OUTPUT
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
        json.dump(found, file, indent=4, allow_nan=False)
