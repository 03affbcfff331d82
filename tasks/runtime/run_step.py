"""Call one function of a model, inside the model's own environment.

    python run_step.py REQUEST RESULT

The working directory is the step's own folder.  REQUEST is a JSON file:

    format        3
    step          the function to call: `train`, `evaluate` or `score`
    engine        the module of `model_runtime.engines` that calls it
    root          the folder that holds the package `model_modules`
    modules       where the function may be, as names inside that package, in order
    arguments     what can be passed, by parameter name (`data_conf`, `model_conf`, ...)
    data_files    the data files, for batch scoring by a `ModelScorer`
    monitoring    of a training that is to record statistics of its data, else null: the places of a
                  sample request (`samples`), the `data_files`, the `modules` with the scorer
    seed          the seed for `random` and, when the model imports them, NumPy and TensorFlow
    scratch       a folder for files that nobody needs afterwards (MODEL_SCRATCH as well)
    progress      the file that progress messages are appended to, one JSON object a line
    trusted       folders outside the environment whose code need not be told
    parent        the process id of the runner, or 0 where another program stands between; when
                  the parent dies this process dies
    terminal      that which the step reads from and prints to, so that it can be debugged, or empty

RESULT is written as JSON, last of all, through a rename:

    format, ok
    returned      what the function returned, if it was a mapping of plain values, else null
    imported      the sources that were loaded from outside the environment, by their real paths
    error         {"type", "message", "where"} where ok is false

What the function prints goes to stdout and stderr and means nothing.  Exit status: 0 with a good
result, 1 with a failure of the model (its traceback is on stderr).  No RESULT: it ended early.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import faulthandler
import importlib
import json
import os
import sys
from typing import Any, Dict, List

from model_runtime import baseline
from model_runtime.contract import plain
from model_runtime.parent import die_with_parent
from model_runtime.process import describe, flush, loaded, prepare, trusted_folders
from model_runtime.progress import progress_handler

FORMAT = 3


def main(paths: List[str]) -> int:
    """Carry out the request and write the result.  Return the exit status."""
    faulthandler.enable()
    request_path, result_path = paths
    with open(request_path, encoding="utf-8") as file:
        request: Dict[str, Any] = json.load(file)
    die_with_parent(request["parent"])
    result: Dict[str, Any] = {"format": FORMAT, "ok": False, "returned": None}
    root, trusted = request["root"], trusted_folders(request)
    terminal = None
    if request["terminal"]:
        terminal = importlib.import_module("model_runtime.terminal")  # seldom, and pdb takes long
        terminal.take(request["terminal"])
    try:
        prepare(request, trusted)
        engine = importlib.import_module(f"model_runtime.engines.{request['engine']}")
        handler = progress_handler(request["progress"])
        arguments = {**request["arguments"], "progress_callback_handler": handler}
        result["returned"] = plain(engine.call(request, dict(arguments)))
        if request["monitoring"]:
            baseline.record(engine, request, arguments)
        result["ok"] = True
    except BaseException as error:  # noqa: BLE001 - a SystemExit is a failure too
        result["error"] = describe(error, root)
        if terminal:
            terminal.look_at(error)
    result["imported"] = loaded(trusted)
    flush()
    write(result_path, result)
    return 0 if result["ok"] else 1


def write(path: str, value: Any) -> None:
    """Write a JSON file under a temporary name, then give it its own."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(path + ".part", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
