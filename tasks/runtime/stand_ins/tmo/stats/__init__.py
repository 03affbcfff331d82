"""Statistics of data."""

from model_runtime.data_stats import (
    record_evaluation_stats,
    record_scoring_stats,
    record_training_stats,
)

__all__ = ["record_evaluation_stats", "record_scoring_stats", "record_training_stats"]
