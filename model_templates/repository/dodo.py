"""doit's front door: `doit list` shows the models, `doit` evaluates those that changed."""

try:
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
except ModuleNotFoundError as error:
    if error.name not in ("tasks", "tasks.generators"):
        raise
    raise SystemExit("this doit knows no modelmake: README.md says how to get it") from error

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
