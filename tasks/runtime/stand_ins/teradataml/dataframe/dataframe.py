"""`DataFrame`, where it is defined."""

from model_runtime.frames import DataFrame
from model_runtime.tables import in_schema

__all__ = ["DataFrame", "in_schema"]
