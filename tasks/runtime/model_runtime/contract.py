"""What a model and whoever calls it have agreed on: which arguments, which files, which failures.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import csv
import inspect
from typing import Any, Callable, Dict, List, Set

PACKAGE = "model_modules"
PREDICTIONS = "predictions.csv"

_LARGEST = 2**1024  # what no float is as large as

LOADED: Set[str] = set()
"""The sources that were run from outside the environment, by their real paths."""


class ModelFault(Exception):
    """The model does not keep the contract; the message says how."""


class StepError(Exception):
    """A failure of the model that is no Python exception: a statement in SQL, an error in R.

    `kind` says what kind of error it is, `where` is `model_modules/FILE:LINE`, empty if unknown.
    """

    def __init__(self, kind: str, message: str, where: str = "") -> None:
        """Keep the parts, which stand apart in the result."""
        super().__init__(message)
        self.kind = kind
        self.where = where


def select(function: Callable[..., Any], available: Dict[str, Any]) -> Dict[str, Any]:
    """Return the arguments that a function asks for by name; all of them if it takes **kwargs."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        asked = dict(available)
    else:
        asked = {p.name: available[p.name] for p in parameters if p.name in available}
    for parameter in parameters:
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in asked:
            given = ", ".join(sorted(available))
            raise ModelFault(
                f"`{function.__name__}` asks for `{parameter.name}`,"
                f" which is not among what a model is given: {given}"
            )
    return asked


def read_rows(path: str) -> List[List[Any]]:
    """Return the rows of a CSV file; numbers where they are numbers, without a header of words."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [[number(text) for text in row] for row in csv.reader(file) if row]
    headed = len(rows) > 1 and all(isinstance(value, str) for value in rows[0])
    return rows[1:] if headed else rows


def number(text: str) -> Any:
    """Return a number where the text is one."""
    try:
        return float(text)
    except ValueError:
        return text


def write_rows(cursor: Any) -> None:
    """Write the rows of a database's cursor as `predictions.csv`, with the names of the columns."""
    with open(PREDICTIONS, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column[0] for column in cursor.description])
        rows = cursor.fetchmany(10000)
        while rows:
            writer.writerows(rows)
            rows = cursor.fetchmany(10000)


def write_predictions(predictions: Any) -> None:
    """Write what a model returned as `predictions.csv`: a data frame, an array, or rows."""
    if isinstance(predictions, tuple) and predictions:
        predictions = predictions[0]  # models of 2019 return (predictions, ...)
    if hasattr(predictions, "to_pandas"):  # rows in a database, or another library's
        predictions = predictions.to_pandas(**select(predictions.to_pandas, {"all_rows": True}))
    if hasattr(predictions, "to_csv"):
        predictions.to_csv(PREDICTIONS, index=False)
        return
    rows = predictions.tolist() if hasattr(predictions, "tolist") else predictions
    rows = list(rows) if isinstance(rows, (list, tuple)) else [rows]
    with open(PREDICTIONS, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(row if isinstance(row, (list, tuple)) else [plain(row)] for row in rows)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, None for what it cannot."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
        if getattr(getattr(value, "dtype", None), "kind", "") == "f":  # wider than Python's own
            value = float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return float("inf") if value > 0 else float("-inf")
    return value if isinstance(value, (str, int, float, bool)) else None
