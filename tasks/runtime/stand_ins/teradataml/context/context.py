"""The connection, where it is made."""

from model_runtime.tables import create_context, get_connection, get_context, remove_context

__all__ = ["create_context", "get_connection", "get_context", "remove_context"]
