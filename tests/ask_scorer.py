"""Load a model's scorer in the model's own environment and put requests to it.

    python ask_scorer.py REQUEST ANSWERS

REQUEST is a list of what serve_model.py is given, with `asks` besides: the names and the values of
each request.  For each, ANSWERS has `[names, values]`, or the error, `type`, `message`
and `where`; a model that cannot be loaded has that one error for all of its answers.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

RUNTIME = Path(__file__).parent.parent / "tasks/runtime"


def answers(request: dict[str, Any]) -> Any:  # noqa: ANN401 - an error, or a list
    """Return what comes of the requests."""
    process = importlib.import_module("model_runtime.process")
    engine = importlib.import_module(f"model_runtime.engines.{request['engine']}")

    def told(function: Any, *given: Any) -> Any:  # noqa: ANN401 - of a scorer
        try:
            return function(*given)
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            return process.describe(error, request["root"])

    scorer = told(engine.scorer, request, request["arguments"])
    if isinstance(scorer, dict):
        return scorer
    return [told(scorer.predict, names, values) for names, values in request["asks"]]


if __name__ == "__main__":
    sys.path.insert(0, str(RUNTIME))
    found = [answers(one) for one in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
