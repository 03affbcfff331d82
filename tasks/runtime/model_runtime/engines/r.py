"""Call an R model: R runs inside this process, through rpy2.

What is R's business is done in `model_runtime/r/step.R`; here R is started, values are handed over
and back, and what R prints goes to the log at once.
"""

import csv
import os
import sys
import warnings
from typing import Any, Callable, Dict

from model_runtime.contract import LOADED, ModelFault, StepError

_STEP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "r", "step.R")
_INTEGERS_END = 2**31


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call the step's function in R, with what it asks for, and return what it returns."""
    r = start(request["scratch"])
    told = r.rternalize(teller(arguments.pop("progress_callback_handler"), r))
    ours = r.baseenv["new.env"](parent=r.baseenv)
    r.baseenv["sys.source"](_STEP, envir=ours)
    names = ("step", "modules", "root", "data_files", "seed")
    asked = to_r({name: request[name] for name in names}, r)
    answer = from_r(ours["run_step"](asked, to_r(arguments, r), told), r)
    LOADED.update(answer["sources"])
    error = answer.get("error")
    if error and error["kind"] == "ModelFault":
        raise ModelFault(error["message"])
    if error:
        raise StepError(error["kind"], error["message"], error["where"])
    if request["step"] == "score":
        write_table(answer["returned"])
        return None
    return answer["returned"]


def start(scratch: str) -> Any:
    """Start R as `R --vanilla` would, and return rpy2's low-level interface to it."""
    os.environ["TMPDIR"] = scratch  # R would leave its folder behind when it is killed
    import rpy2.rinterface  # noqa: PLC0415 - the environment has it, the runner has not
    from rpy2.rinterface_lib import callbacks, embedded  # noqa: PLC0415

    embedded.set_initoptions(("rpy2", "--vanilla", "--quiet"))
    callbacks.consolewrite_print = writer(sys.stdout)
    callbacks.consolewrite_warnerror = writer(sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that R sets variables of its own
        # 0: R's own limit of the stack stands, else endless recursion would crash the process.
        rpy2.rinterface.initr(interactive=False, _c_stack_limit=0)
    return rpy2.rinterface


def writer(stream: Any) -> Callable[[str], None]:
    """Return what writes R's output into the log at once."""

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write


def teller(handler: Callable[..., None], r: Any) -> Callable[[Any], Any]:
    """Return the function behind R's progress handler: it is given one named list."""

    def tell(values: Any) -> Any:
        told = from_r(values, r)
        # R's own numbers are doubles; a count is told as what it is.
        handler(**{k: int(v) if k != "score" and is_whole(v) else v for k, v in told.items()})
        return r.BoolSexpVector([True])  # rpy2 cannot give R a NULL back

    return tell


def is_whole(value: Any) -> bool:
    """Return whether a number is an integer in the form of another."""
    return isinstance(value, float) and value.is_integer()


def to_r(value: Any, r: Any) -> Any:
    """Return a plain value as `jsonlite::read_json` has it in R: arrays and objects are lists."""
    if value is None:
        return r.NULL
    if isinstance(value, (dict, list, tuple)):
        items = value.values() if isinstance(value, dict) else value
        made = r.ListSexpVector([to_r(item, r) for item in items])
        if isinstance(value, dict):
            made.names = r.StrSexpVector(list(value))
        return made
    if isinstance(value, bool):
        return r.BoolSexpVector([value])
    if isinstance(value, int) and abs(value) < _INTEGERS_END:
        return r.IntSexpVector([value])
    if isinstance(value, (int, float)):
        return r.FloatSexpVector([float(value)])
    return r.StrSexpVector([value])


def from_r(value: Any, r: Any) -> Any:
    """Return what `plain` in step.R has made of a value: a vector of one is that one."""
    if isinstance(value, r.NULLType):
        return None
    names = value.names
    if not isinstance(value, r.ListSexpVector):
        found = list(value)
        return found[0] if len(found) == 1 else found
    items = [from_r(item, r) for item in value]
    return items if isinstance(names, r.NULLType) else dict(zip(names, items))


def write_table(table: Any) -> None:
    """Write predictions as `predictions.csv`, with the names of the columns where there are any."""
    if table is None:
        return
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if table["names"]:
            rows.writerow(table["names"])
        rows.writerows(zip(*table["columns"]))
