"""Train: from the input table to the model table."""

from __future__ import annotations

from typing import Any

from model_runtime import xgboost_callback
from model_runtime.warehouse import connect, export

from . import teradata, trees


def train(data_conf: dict[str, Any], model_conf: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
    """Fill the model table, whose name is in `model_table`."""
    data, hyper = data_conf["data_table"], model_conf["hyperParameters"]
    model_table = kwargs["model_table"]
    with connect(data_conf) as connection:
        if connection.engine == "teradata":
            teradata.fit(connection, data, model_table, hyper)
        else:
            callback = xgboost_callback(kwargs["progress_callback_handler"], int(hyper["iter_num"]))
            booster = trees.fit(connection, data, hyper, [callback])
            trees.save(connection, booster, model_table)
        export(connection, [model_table])
