"""Helpers for models."""

from model_runtime.modelops import (
    check_sto_version,
    cleanup_cli,
    collect_sto_versions,
    execute_sql,
    save_evaluation_metrics,
    save_metadata,
    save_plot,
    store_byom_tmp,
)
from model_runtime.modelops import create_context as aoa_create_context
from model_runtime.modelops import create_context as tmo_create_context

__all__ = [
    "aoa_create_context",
    "check_sto_version",
    "cleanup_cli",
    "collect_sto_versions",
    "execute_sql",
    "save_evaluation_metrics",
    "save_metadata",
    "save_plot",
    "store_byom_tmp",
    "tmo_create_context",
]
