"""The tables: their columns, and what is the same in every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_runtime.warehouse import driver_code, identifier

if TYPE_CHECKING:
    from model_runtime.warehouse import Connection

ID = "idx"
TARGET = "hasdiabetes"
# hasdiabetes ~ numtimesprg + plglcconc + bloodp + skinthick + twohourserins + bmi + dipedfunc + age
FEATURES = (
    "numtimesprg",  # times pregnant
    "plglcconc",  # plasma glucose after two hours of a tolerance test, mg/dl
    "bloodp",  # diastolic blood pressure, mm Hg
    "skinthick",  # triceps skin fold, mm
    "twohourserins",  # serum insulin after two hours, mu U/ml
    "bmi",  # body mass index, kg/m2
    "dipedfunc",  # diabetes pedigree function
    "age",  # years
)
NO_SUCH_TABLE = 3807  # Teradata's number for it

CONFUSION = """
SELECT
    COUNT(*),
    COALESCE(SUM(CASE WHEN t.hasdiabetes = 1 AND p.prediction = 1 THEN 1 ELSE 0 END), 0),
    COALESCE(SUM(CASE WHEN t.hasdiabetes = 0 AND p.prediction = 1 THEN 1 ELSE 0 END), 0),
    COALESCE(SUM(CASE WHEN t.hasdiabetes = 1 AND p.prediction = 0 THEN 1 ELSE 0 END), 0),
    COALESCE(SUM(CASE WHEN t.hasdiabetes = 0 AND p.prediction = 0 THEN 1 ELSE 0 END), 0)
FROM {data} AS t
INNER JOIN {predictions} AS p ON p.idx = t.idx
"""


def drop(connection: Connection, table: str) -> None:
    """Drop a table that an earlier run may have left, so that no versions pile up."""
    try:
        connection.execute(f"DROP TABLE {identifier(table)}")
    except connection.error as error:
        missing = type(error).__name__ == "CatalogException" and "does not exist" in str(error)
        if not missing and driver_code(error) != NO_SUCH_TABLE:
            raise


def confusion(connection: Connection, data: str, predictions: str) -> tuple[int, ...]:
    """Return the rows, true positives, false positives, false negatives and true negatives."""
    statement = CONFUSION.format(data=identifier(data), predictions=identifier(predictions))
    return tuple(int(count) for count in connection.execute(statement).fetchone())
