"""A stand-in for the package `aoa`, found only where that is not installed."""

from model_runtime.context import DatasetInfo, ModelContext
from model_runtime.data_stats import (
    record_evaluation_stats,
    record_scoring_stats,
    record_training_stats,
)
from model_runtime.modelops import create_context as aoa_create_context
from model_runtime.modelops import save_plot, store_byom_tmp
from model_runtime.stand_in import stand_in

__all__ = [
    "DatasetInfo",
    "ModelContext",
    "aoa_create_context",
    "record_evaluation_stats",
    "record_scoring_stats",
    "record_training_stats",
    "save_plot",
    "store_byom_tmp",
]

stand_in(__name__)
