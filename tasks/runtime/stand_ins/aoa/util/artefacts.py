"""Helpers for artefacts, at their older place."""

from model_runtime.modelops import create_context as aoa_create_context
from model_runtime.modelops import save_plot, store_byom_tmp

__all__ = ["aoa_create_context", "save_plot", "store_byom_tmp"]
