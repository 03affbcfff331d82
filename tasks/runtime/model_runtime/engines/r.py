"""Call an R model: R runs inside this process, through rpy2.

What is R's business is done in `model_runtime/r/`; here R is started, values are handed over
and back, and what R prints goes to the log at once.
"""

import csv
import os
import sys
import warnings
from typing import Any, Callable, Dict, List, Sequence, Tuple

from model_runtime.columns import UNKNOWN, Column, columns_of
from model_runtime.contract import LOADED, ModelFault, StepError
from model_runtime.r_values import answer_from_r, columns_to_r, from_r, to_r

_SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "r")


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call the step's function in R, with what it asks for, and return what it returns."""
    r = start(request["scratch"])
    told = r.rternalize(teller(arguments.pop("progress_callback_handler"), r))
    ours = source("step.R", r)
    answer = from_r(ours["run_step"](asked(request, r), to_r(arguments, r), told), r)
    LOADED.update(answer["sources"])
    raise_error(answer.get("error"))
    if request["step"] == "score":
        write_table(answer["returned"])
        return None
    return answer["returned"]


class Scorer:
    """Puts requests to an R model: the rows of each are a data frame."""

    explain = None

    def __init__(self, request: Dict[str, Any], arguments: Dict[str, Any]) -> None:
        """Start R and load the model; the names and kinds of the sample's columns are kept."""
        self._r = r = start(request["scratch"])
        self._ours = source("step.R", r)
        r.baseenv["sys.source"](os.path.join(_SOURCES, "scoring.R"), envir=self._ours)
        told = r.rternalize(teller(ignore, r))
        arguments = {k: v for k, v in arguments.items() if k != "progress_callback_handler"}
        self._ask("load_model", asked(request, r), to_r(arguments, r), told)
        sample = request.get("sample")
        self._names = sample["names"] if sample else ()
        known = columns_of(self._names, sample["values"]) if sample else []
        self._kinds = {column.name: column.kind for column in known}

    def predict(self, names: Sequence[str], values: Any) -> Tuple[List[str], List[Any]]:
        """Return the names of the answer's columns and its rows; of a vector, its elements alone.

        Raises ValueError for rows that are no table, StepError for an error in R.
        """
        columns = [self._known(column) for column in columns_of(names or self._names, values)]
        rows = self._r.IntSexpVector([len(columns[0].values)])
        told = self._ask("predict", columns_to_r(columns, self._r), rows)
        return answer_from_r(told, self._r)

    def _known(self, column: Column) -> Column:
        """Return the column; where nothing is in it, it is of the kind that the sample has."""
        kind = self._kinds.get(column.name, UNKNOWN)
        return column._replace(kind=kind) if column.kind == UNKNOWN else column

    def _ask(self, function: str, *given: Any) -> Any:
        """Call a function of scoring.R, and return what the model returned."""
        answer = self._ours[function](*given)
        parts = dict(zip(answer.names, answer))
        if "error" in parts:
            raise_error(from_r(parts["error"], self._r))
        return parts["returned"]


def scorer(request: Dict[str, Any], arguments: Dict[str, Any]) -> Scorer:
    """Load the model of the working directory, to answer requests with."""
    return Scorer(request, arguments)


def start(scratch: str) -> Any:
    """Start R as `R --vanilla` would, where it has not, and return rpy2's interface to it."""
    os.environ["TMPDIR"] = scratch  # R would leave its folder behind when it is killed
    import rpy2.rinterface  # noqa: PLC0415 - the environment has it, the runner has not
    from rpy2.rinterface_lib import callbacks, embedded  # noqa: PLC0415

    if embedded.isready():
        return rpy2.rinterface
    embedded.set_initoptions(("rpy2", "--vanilla", "--quiet"))
    callbacks.consolewrite_print = writer(sys.stdout)
    callbacks.consolewrite_warnerror = writer(sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that R sets variables of its own
        # 0: R's own limit of the stack stands, else endless recursion would crash the process.
        rpy2.rinterface.initr(interactive=False, _c_stack_limit=0)
    return rpy2.rinterface


def source(name: str, r: Any) -> Any:
    """Run one of our files in an environment of its own, and return that."""
    ours = r.baseenv["new.env"](parent=r.baseenv)
    r.baseenv["sys.source"](os.path.join(_SOURCES, name), envir=ours)
    return ours


def asked(request: Dict[str, Any], r: Any) -> Any:
    """Return what R is to know of a request."""
    names = ("step", "modules", "root", "data_files", "seed")
    return to_r({name: request[name] for name in names}, r)


def raise_error(error: Any) -> None:
    """Raise what has failed in R, if anything has."""
    if error and error["kind"] == "ModelFault":
        raise ModelFault(error["message"])
    if error:
        raise StepError(error["kind"], error["message"], error["where"])


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


def ignore(**_told: Any) -> None:
    """Take progress that nobody waits for."""


def is_whole(value: Any) -> bool:
    """Return whether a number is an integer in the form of another."""
    return isinstance(value, float) and value.is_integer()


def write_table(table: Any) -> None:
    """Write predictions as `predictions.csv`, with the names of the columns where there are any."""
    if table is None:
        return
    with open("predictions.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if table["names"]:
            rows.writerow(table["names"])
        rows.writerows(zip(*table["columns"]))
