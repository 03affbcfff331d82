"""What a model can use wherever it is run: telling how far it is, and the database of its dataset.

Appended to the path of every model's process, so that a module of the model's own wins.
"""

from model_runtime.progress import (
    AoaKerasProgressCallback,
    keras_callback,
    track,
    xgboost_callback,
)

__all__ = ["AoaKerasProgressCallback", "keras_callback", "track", "xgboost_callback"]
