"""Helpers for models that run inside Teradata: each says that it is missing here."""

from model_runtime.modelops import (
    check_sto_version,
    cleanup_cli,
    collect_sto_versions,
    save_evaluation_metrics,
    save_metadata,
)

__all__ = [
    "check_sto_version",
    "cleanup_cli",
    "collect_sto_versions",
    "save_evaluation_metrics",
    "save_metadata",
]
