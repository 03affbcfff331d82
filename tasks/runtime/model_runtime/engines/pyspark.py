"""Call a PySpark model, in the driver that `spark-submit` has started."""

import contextlib
import inspect
from typing import Any, Dict

from model_runtime.engines import python
from model_runtime.executors import Watch, given_up


def call(request: Dict[str, Any], arguments: Dict[str, Any]) -> Any:
    """Call a Python model; one that asks for `spark` by that name gets the Spark session.

    Others make it themselves, with what they want of it.
    """
    watch = Watch()
    watch.start()
    try:
        function = python.find(request["step"], request["modules"])
        if function is not None and "spark" in inspect.signature(function).parameters:
            from pyspark.sql import SparkSession  # noqa: PLC0415 - not in every environment

            arguments = {**arguments, "spark": SparkSession.builder.getOrCreate()}
        return python.call(request, arguments)
    except Exception as error:
        name_cause(error, watch.reason)
        raise


def scorer(request: Dict[str, Any], arguments: Dict[str, Any]) -> python.Scorer:
    """Load the model, as a Python model is; Spark's session stays."""
    return python.scorer(request, arguments)


def name_cause(error: Any, reason: str) -> None:
    """Have an error from Java begin with what Java says, not with how it was called.

    `reason` is why the jobs were given up, empty where they were not.
    """
    if hasattr(error, "java_exception") and hasattr(error, "errmsg"):
        with contextlib.suppress(Exception):  # Java may be gone
            said = error.java_exception.toString()
            if "SparkContext" in said:  # it is gone; why, only Spark's own log says
                said = given_up() or said
            error.errmsg = (reason or said).partition("\n")[0] + "\n"
