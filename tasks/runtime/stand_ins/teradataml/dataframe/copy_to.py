"""`copy_to_sql`, where it is defined."""

from model_runtime.frames import copy_to_sql

__all__ = ["copy_to_sql"]
