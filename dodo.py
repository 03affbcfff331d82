"""doit's front door: `doit list` shows the models, `doit` evaluates those that changed."""

from tasks.generators import (
    CONFIG as DOIT_CONFIG,
)
from tasks.generators import (
    task_env,
    task_evaluate,
    task_image,
    task_k8s,
    task_lock,
    task_score,
    task_train,
)

__all__ = [
    "DOIT_CONFIG",
    "task_env",
    "task_evaluate",
    "task_image",
    "task_k8s",
    "task_lock",
    "task_score",
    "task_train",
]
