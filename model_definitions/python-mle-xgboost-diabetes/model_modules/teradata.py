"""In Teradata: its own functions train and predict, and no row leaves the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_runtime.warehouse import identifier, literal

from .tables import FEATURES, ID, TARGET, drop

if TYPE_CHECKING:
    from model_runtime.warehouse import Connection

FIT = """
CREATE TABLE {model} AS (
    SELECT * FROM TD_XGBoost (
        ON {data} AS InputTable PARTITION BY ANY
        USING
        ResponseColumn({target})
        InputColumns({features})
        ModelType('Classification')
        RegularizationLambda({reg_lambda})
        ShrinkageFactor({shrinkage_factor})
        MaxDepth({max_depth})
        IterNum({iter_num})
        MinNodeSize({min_node_size})
        Seed({seed})
    ) AS fitted
) WITH DATA
"""

PREDICT = """
CREATE TABLE {predictions} AS (
    SELECT idx, CAST(Prediction AS INTEGER) AS prediction, Prob_1 AS probability
    FROM TD_XGBoostPredict (
        ON {data} AS InputTable PARTITION BY ANY
        ON {model} AS ModelTable DIMENSION ORDER BY task_index, tree_num, iter, class_num, tree_order
        USING
        IdColumn({id})
        ModelType('Classification')
        OutputProb('true')
        Responses('0', '1')
    ) AS predicted
) WITH DATA
"""


def fit_statement(data: str, model_table: str, hyper: dict[str, Any]) -> str:
    """Return the statement that trains on a table and leaves the model table."""
    numbers = {
        **{name: int(hyper[name]) for name in ("max_depth", "iter_num", "min_node_size", "seed")},
        **{name: float(hyper[name]) for name in ("reg_lambda", "shrinkage_factor")},
    }
    return FIT.format(
        model=identifier(model_table),
        data=identifier(data),
        target=literal(TARGET),
        features=", ".join(literal(name) for name in FEATURES),
        **numbers,
    )


def predict_statement(data: str, model_table: str, predictions: str) -> str:
    """Return the statement that predicts for a table and leaves the predictions table."""
    return PREDICT.format(
        predictions=identifier(predictions),
        data=identifier(data),
        model=identifier(model_table),
        id=literal(ID),
    )


def fit(connection: Connection, data: str, model_table: str, hyper: dict[str, Any]) -> None:
    """Train inside the database."""
    drop(connection, model_table)
    connection.execute(fit_statement(data, model_table, hyper))


def predict(connection: Connection, data: str, model_table: str, predictions: str) -> None:
    """Predict inside the database."""
    drop(connection, predictions)
    connection.execute(predict_statement(data, model_table, predictions))
