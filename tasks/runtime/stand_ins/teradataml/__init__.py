"""A stand-in for the package `teradataml`, found only where that is not installed."""

from model_runtime.frames import DataFrame, copy_to_sql
from model_runtime.stand_in import stand_in
from model_runtime.tables import (
    configure,
    create_context,
    execute_sql,
    get_connection,
    get_context,
    in_schema,
    remove_context,
)

__all__ = [
    "DataFrame",
    "configure",
    "copy_to_sql",
    "create_context",
    "execute_sql",
    "get_connection",
    "get_context",
    "in_schema",
    "remove_context",
]

stand_in(__name__)
