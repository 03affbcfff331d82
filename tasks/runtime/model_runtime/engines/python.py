"""Call a Python model."""

import difflib
import importlib
import importlib.util
import inspect
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from model_runtime import tables
from model_runtime.context import context_of
from model_runtime.contract import PACKAGE, ModelFault, read_rows, select, write_predictions

WAYS = ("predict", "explain")
"""What a scorer may be asked for."""


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Find the step's function, call it with what it asks for, and return what it returns."""
    step = request["step"]
    function = find(step, request["modules"])
    if function is None and step == "score":
        return score_rows(request)
    if function is None:
        raise lacking(f"function `{step}`", request)
    context = context_of(step, arguments)
    tables.begin(arguments["data_conf"])
    returned = function(**select(function, {**arguments, "context": context}))
    if step == "score" and returned is not None:
        write_predictions(returned)
        returned = None
    tables.keep(step, context.dataset_info)
    return returned


def find(name: str, modules: List[str]) -> Optional[Callable[..., Any]]:
    """Return a function or class from the first module, or the package, that has it."""
    for module in [*there(modules), PACKAGE]:
        found = getattr(importlib.import_module(module), name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


def there(modules: List[str]) -> List[str]:
    """Return those of the modules that are in the package, by their full names."""
    return [f"{PACKAGE}.{m}" for m in modules if importlib.util.find_spec(f"{PACKAGE}.{m}")]


def lacking(what: str, request: Dict[str, Any]) -> ModelFault:
    """Return the fault of a model that has no file for a step, or no such `what` in it."""
    step, modules = request["step"], request["modules"]
    files = " or ".join(f"`{PACKAGE}/{name}.py`" for name in modules)
    present = there(modules)
    if not present:
        return ModelFault(f"there is no {files}")
    known = [name for one in present for name in vars(importlib.import_module(one))]
    near = difflib.get_close_matches(step, known, 1)
    meant = f", but `{near[0]}`: did you mean `{step}`?" if near else ""
    return ModelFault(f"no {what} in {files}{meant}")


def score_rows(request: Dict[str, Any]) -> None:
    """Score the rows of the data files with the model's `ModelScorer`."""
    if find("ModelScorer", request["modules"]) is None:
        raise lacking("function `score` and no class `ModelScorer`", request)
    if not request["data_files"]:
        raise ModelFault("no function `score`, and the dataset names no file to score")
    model = model_scorer(request, request["arguments"])
    rows = [row for path in request["data_files"] for row in read_rows(path)]
    write_predictions(model.predict(rows))


def model_scorer(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Return the model's own `ModelScorer`, given `config` and `context` if it asks for them."""
    scorer_class = find("ModelScorer", request["modules"])
    if scorer_class is None:
        raise ModelFault("no class `ModelScorer` in `scoring.py`, which answers requests")
    config = arguments["model_conf"]
    available = {"config": config, "model_conf": config, "context": context_of("score", arguments)}
    asked = inspect.signature(scorer_class).parameters
    return scorer_class(**{name: available[name] for name in asked if name in available})


class Scorer:
    """Puts requests to a `ModelScorer`: `explain` is None where that has no such method."""

    def __init__(self, model: Any) -> None:
        """Wrap the model's own scorer."""
        self._names_for = {way: asks_for_names(getattr(model, way, None)) for way in WAYS}
        self._model = model
        self.explain = self._explain if callable(getattr(model, "explain", None)) else None

    def predict(self, names: Sequence[str], values: Any) -> Tuple[Sequence[str], Any]:
        """Return the names of the answer's columns, where it has any, and its values."""
        return self._ask("predict", names, values)

    def _explain(self, names: Sequence[str], values: Any) -> Tuple[Sequence[str], Any]:
        return self._ask("explain", names, values)

    def _ask(self, way: str, names: Sequence[str], values: Any) -> Tuple[Sequence[str], Any]:
        more = {name: list(names) for name in self._names_for[way]}
        return named(getattr(self._model, way)(values, **more))


def scorer(request: Dict[str, Any], arguments: Dict[str, Any]) -> Scorer:
    """Load the model of the working directory, to answer requests with."""
    return Scorer(model_scorer(request, arguments))


def asks_for_names(function: Optional[Callable[..., Any]]) -> List[str]:
    """Return by which of its parameters a method is told the names of the columns."""
    if function is None:
        return []
    parameters = list(inspect.signature(function).parameters)[1:]
    return [name for name in parameters if name in ("names", "feature_names", "features_names")]


def named(found: Any) -> Tuple[Sequence[str], Any]:
    """Return the names of an answer's columns, where it has any, and its values."""
    if isinstance(found, tuple) and found:
        found = found[0]  # models of 2019 return (predictions, ...)
    if hasattr(found, "to_pandas"):
        found = found.to_pandas()
    columns = getattr(found, "columns", None)
    if columns is not None and hasattr(found, "values"):
        return [str(name) for name in columns], found.values.tolist()
    return (), found.to_numpy() if hasattr(found, "to_numpy") else found
