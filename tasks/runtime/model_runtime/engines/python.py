"""Call a Python model."""

import importlib
import importlib.util
import inspect
from typing import Any, Callable, Dict, List, Optional

from model_runtime import tables
from model_runtime.context import context_of
from model_runtime.contract import PACKAGE, ModelFault, read_rows, select, write_predictions


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Find the step's function, call it with what it asks for, and return what it returns."""
    step = request["step"]
    function = find(step, request["modules"])
    if function is None and step == "score":
        return score_rows(request)
    if function is None:
        tried = " or ".join(f"`{PACKAGE}/{name}.py`" for name in request["modules"])
        raise ModelFault(f"no function `{step}` in {tried}")
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
    present = [m for m in modules if importlib.util.find_spec(f"{PACKAGE}.{m}")]
    for module in [f"{PACKAGE}.{m}" for m in present] + [PACKAGE]:
        found = getattr(importlib.import_module(module), name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


def score_rows(request: Dict[str, Any]) -> None:
    """Score the rows of the data files with the model's `ModelScorer`."""
    scorer_class = find("ModelScorer", request["modules"])
    if scorer_class is None:
        raise ModelFault("no function `score` and no class `ModelScorer` in `scoring.py`")
    if not request["data_files"]:
        raise ModelFault("no function `score`, and the dataset names no file to score")
    takes_config = "config" in inspect.signature(scorer_class).parameters
    config = {"config": request["arguments"]["model_conf"]} if takes_config else {}
    scorer = scorer_class(**config)
    rows = [row for path in request["data_files"] for row in read_rows(path)]
    write_predictions(scorer.predict(rows))
