"""What a model measured, as numbers, and whether that is good enough."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from tasks.errors import NotGoodEnough, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = ("models", "metrics", "artifacts/output", ".")
NAMES = ("evaluation.json", "metrics.json", "metric.json")

GIVEN_NS = 0
"""The time of the files that an evaluation is given: metrics of that time are the training's."""


def collect(work: str, returned: object, model: str) -> dict[str, dict[str, Any]]:
    """Return `{"metrics": numbers, "other": the rest}` of an evaluation in the folder `work`.

    Metrics come from the files that models write, or from the mapping that `evaluate` returned.
    Strings that hold numbers become numbers, nested names are joined with dots, what is no number
    is kept apart.  Raises UserError where there are none, or where one is NaN or infinite.
    """
    found: dict[str, Any] = {}
    for path in _files(work):
        found |= _read(path, work, model)
    if not found and isinstance(returned, dict):
        found = returned
    if not found:
        raise UserError(
            f"The evaluation of model `{model}` left no metrics",
            ("looked for", " or ".join(NAMES)),
            ("in", " or ".join(f"{folder}/" for folder in FOLDERS[:3])),
            hint='write one, for instance {"accuracy": 0.9} into models/evaluation.json,'
            " or return a mapping from `evaluate`",
        )
    numbers: dict[str, float] = {}
    other: dict[str, Any] = {}
    _sort(found, "", numbers, other)
    wrong = [name for name, value in numbers.items() if not math.isfinite(value)]
    if wrong:
        raise UserError(
            f"The evaluation of model `{model}` gave a metric that is not a number",
            *((name, numbers[name]) for name in wrong),
            hint="look for an empty test set, a division by zero or missing values",
        )
    return {"metrics": numbers, "other": other}


def _files(work: str) -> list[str]:
    paths = [f"{work}/{folder}/{name}" for folder in FOLDERS for name in NAMES]
    found: dict[str, str] = {}
    for path in paths:
        if os.path.isfile(path) and os.stat(path).st_mtime_ns != GIVEN_NS:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _read(path: str, work: str, model: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            value = json.load(file)
    except ValueError as error:
        raise UserError(
            f"The metrics of model `{model}` are not JSON",
            ("file", os.path.relpath(path, work)),
            ("reason", error),
            hint="write one object into it, and nothing else: `json.dump(metrics, file)`",
        ) from error
    return value if isinstance(value, dict) else {"value": value}


def _sort(
    value: Mapping[str, Any], prefix: str, numbers: dict[str, float], other: dict[str, Any]
) -> None:
    """Put each value under its joined name among the numbers or among the rest."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        number = _number(item)
        if number is not None:
            numbers[name] = number
        elif isinstance(item, dict) and "Content-Type" not in item:
            _sort(item, f"{name}.", numbers, other)
        else:
            other[name] = item


def _number(value: object) -> float | None:
    if isinstance(value, int):
        # A whole number in JSON may be larger than any float.
        return int(value) if abs(value) <= sys.float_info.max else math.inf
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        try:
            return float(value.strip().removesuffix("%"))
        except ValueError:
            return None
    return None


def broken(
    numbers: Mapping[str, float], thresholds: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    """Return what is wrong with each metric that breaks its threshold, with both numbers."""
    found = {}
    for name, bounds in thresholds.items():
        value = numbers.get(name)
        if value is None:
            found[name] = f"was not measured; measured: {', '.join(numbers) or 'nothing'}"
        elif "min" in bounds and value < bounds["min"]:
            found[name] = f"{value:g} is below the minimum {bounds['min']:g}"
        elif "max" in bounds and value > bounds["max"]:
            found[name] = f"{value:g} is above the maximum {bounds['max']:g}"
    return found


def check_thresholds(
    numbers: Mapping[str, float], thresholds: Mapping[str, Mapping[str, float]], model: str
) -> None:
    """Raise NotGoodEnough where a metric breaks its threshold."""
    found = broken(numbers, thresholds)
    if found:
        raise NotGoodEnough(
            f"Model `{model}` is not good enough",
            *found.items(),
            hint="`evaluation.thresholds` in model.json says what is asked of it",
            metrics=numbers,
        )
