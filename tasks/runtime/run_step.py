"""Call one function of a model, inside the model's own environment.

    python run_step.py REQUEST RESULT

The working directory is the step's own folder.  REQUEST is a JSON file:

    format        1
    step          the function to call: `train`, `evaluate` or `score`
    root          the folder that holds the package `model_modules`
    modules       where the function may be, as names inside that package, in order
    arguments     what can be passed, by parameter name (`data_conf`, `model_conf`, ...)
    data_files    the data files, for batch scoring by a `ModelScorer`
    seed          the seed for `random` and, where it is installed, NumPy
    progress      the file that progress messages are appended to, one JSON object a line
    parent        the process id of the runner; when that dies this process dies

RESULT is written as JSON, last of all, through a rename:

    format, ok
    returned      what the function returned, if it was a mapping of plain values, else null
    imported      the sources that were loaded from outside the environment, by their real paths
    error         {"type", "message", "where"} where ok is false

What the function prints goes to stdout and stderr and means nothing.  Exit status: 0 with a good
result, 1 with a failure of the model (its traceback is on stderr).  No RESULT: it ended early.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import csv
import ctypes
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import random
import signal
import sys
import sysconfig
import traceback
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

FORMAT = 1
PACKAGE = "model_modules"
PR_SET_PDEATHSIG = 1


class ModelFault(Exception):
    """The model does not keep the contract; the message says how."""


LOADED: Set[str] = set()


class PackageFinder:
    """Finds the package `model_modules` of the model, wherever `sys.path` leads."""

    def __init__(self, root: str) -> None:
        """Look in this folder."""
        self.root = root

    def find_spec(self, fullname: str, _path: Any = None, target: Any = None) -> Any:
        """Return the package's spec; everything else is for others to find."""
        if fullname != PACKAGE:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self.root], target)


def main(arguments: List[str]) -> int:
    """Carry out the request and write the result.  Return the exit status."""
    request_path, result_path = arguments
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    die_with_parent(request["parent"])
    result = {"format": FORMAT, "ok": False, "returned": None}  # type: Dict[str, Any]
    root = request["root"]
    try:
        prepare(request)
        result["returned"] = plain(call(request))
        result["ok"] = True
    except BaseException as error:  # noqa: BLE001 - a SystemExit is a failure too
        result["error"] = describe(error, root)
    result["imported"] = loaded()
    sys.stdout.flush()
    sys.stderr.flush()
    write(result_path, result)
    return 0 if result["ok"] else 1


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when the runner dies; elsewhere nothing happens."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the runner is gone")


def prepare(request: Dict[str, Any]) -> None:
    """Make the package of the model importable, and nothing else of its folder or of ours."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    # Processes that the model starts find its package by the link in the working directory; they
    # are to leave no compiled files behind there.
    sys.path.append(os.getcwd())
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    watch(tuple(os.path.realpath(sysconfig.get_path(kind)) + os.sep for kind in kinds))
    sys.meta_path.insert(0, PackageFinder(request["root"]))
    random.seed(request["seed"])
    if importlib.util.find_spec("numpy"):
        importlib.import_module("numpy").random.seed(request["seed"] % 2**32)


def watch(trusted: Tuple[str, ...]) -> None:
    """Note what is loaded from outside these folders, and load sources there as they are now.

    A cached `.pyc` is believed by size and whole seconds of time, so it can be that of an earlier
    edit; and a model's folder is not ours to write into.
    """
    source, extension = (
        importlib.machinery.SourceFileLoader,
        importlib.machinery.ExtensionFileLoader,
    )
    compiled, created = source.get_code, extension.create_module

    def get_code(self: Any, fullname: str) -> Any:
        path = self.get_filename(fullname)
        if os.path.realpath(path).startswith(trusted):
            return compiled(self, fullname)
        LOADED.add(os.path.realpath(path))
        return self.source_to_code(self.get_data(path), path)

    def create_module(self: Any, spec: Any) -> Any:
        if not os.path.realpath(self.path).startswith(trusted):
            LOADED.add(os.path.realpath(self.path))
        return created(self, spec)

    source.get_code = get_code  # type: ignore[method-assign]
    extension.create_module = create_module  # type: ignore[method-assign]


def loaded() -> List[str]:
    """Return what was noted, and the archives that Python has looked for modules in."""
    finders = list(sys.path_importer_cache.items())
    archives = {os.path.realpath(path) for path, finder in finders if hasattr(finder, "archive")}
    return sorted(archives.union(LOADED))


def call(request: Dict[str, Any]) -> Any:
    """Find the step's function, call it with what it asks for, and return what it returns."""
    step = request["step"]
    available = dict(request["arguments"])
    available["progress_callback_handler"] = progress_handler(request["progress"])
    function = find(step, request["modules"])
    if function is None and step == "score":
        return score_rows(request)
    if function is None:
        tried = " or ".join(f"`{PACKAGE}/{name}.py`" for name in request["modules"])
        raise ModelFault(f"no function `{step}` in {tried}")
    returned = function(**select(function, available))
    if step == "score" and returned is not None:
        write_predictions(returned)
        return None
    return returned


def find(name: str, modules: List[str]) -> Optional[Callable[..., Any]]:
    """Return a function or class from the first module, or the package, that has it."""
    present = [m for m in modules if importlib.util.find_spec(f"{PACKAGE}.{m}")]
    for module in [f"{PACKAGE}.{m}" for m in present] + [PACKAGE]:
        found = getattr(importlib.import_module(module), name, None)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


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


def progress_handler(path: str) -> Callable[..., None]:
    """Return the callable that takes `iter`, `epoc` and `score` and never fails a training."""

    def progress_callback_handler(**values: Any) -> None:
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({key: plain(value) for key, value in values.items()}) + "\n")
        except (OSError, TypeError, ValueError):
            pass

    return progress_callback_handler


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


def write_predictions(predictions: Any) -> None:
    """Write what a model returned as `predictions.csv`: a data frame, an array, or rows."""
    if isinstance(predictions, tuple) and predictions:
        predictions = predictions[0]  # models of 2019 return (predictions, ...)
    if hasattr(predictions, "to_csv"):
        predictions.to_csv("predictions.csv", index=False)
        return
    rows = predictions.tolist() if hasattr(predictions, "tolist") else predictions
    rows = list(rows) if isinstance(rows, (list, tuple)) else [rows]
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(row if isinstance(row, (list, tuple)) else [plain(row)] for row in rows)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, None for what it cannot."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def describe(error: BaseException, root: str) -> Dict[str, str]:
    """Print the model's traceback without our own frames, and return the error in short."""
    if isinstance(error, ModelFault):
        sys.stderr.write(f"{error}\n")
        return {"type": "ModelFault", "message": str(error), "where": ""}
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    hide_ours(report)
    sys.stderr.write("".join(report.format()))
    own = [(frame.filename, frame.lineno) for frame in report.stack]
    if isinstance(error, SyntaxError):  # it stands where nothing has run yet
        own.append((error.filename or "", error.lineno))
    own = [place for place in own if place[0].startswith(root + os.sep)]
    where = f"{os.path.relpath(own[-1][0], root)}:{own[-1][1]}" if own else ""
    if isinstance(error, SystemExit):
        message = f"called sys.exit({error.code!r})"
        return {"type": "SystemExit", "message": message, "where": where}
    return {"type": type(error).__name__, "message": str(error), "where": where}


def hide_ours(report: traceback.TracebackException) -> None:
    """Take the frames of this file and of the import system out of a traceback."""
    hidden = (os.path.abspath(__file__), "<frozen importlib", importlib.__file__)
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith(hidden)]
    for linked in (report.__cause__, report.__context__):
        if linked is not None:
            hide_ours(linked)


def write(path: str, value: Any) -> None:
    """Write a JSON file under a temporary name, then give it its own."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(path + ".part", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
