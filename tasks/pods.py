"""What a step is on a Kubernetes cluster: the Job whose pod carries it out.

Plain values as the API takes them; `manifests` writes them, `places.kubernetes` submits them.
"""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks import processes, profiles, retries
from tasks.clusters import base_name
from tasks.containers import CACHE, USER
from tasks.resources import of, quantities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.clusters import Settings
    from tasks.model import Model
    from tasks.plan import Step
    from tasks.resources import Amounts, Resources

Manifest: TypeAlias = dict[str, Any]

KEY_DIGITS = 12
"""How much of a step's key stands in the name of its Job."""

TMP = "/tmp"  # noqa: S108 - a folder of the pod's own
CONTAINER = "step"
GPU = "nvidia.com/gpu"
BESIDE = 256 << 20
"""The memory that a pod needs besides its step's: for the runner, and to build an environment."""

SELECTING = ("app.kubernetes.io/name", "app.kubernetes.io/component")
"""The labels by which pods are found."""

KEPT_SECONDS = 24 * 60 * 60
"""How long a Job that has ended can be looked at."""

SPARE_SECONDS = 600
"""How long a pod may take besides the step's own `timeout`: for its image, data and results."""

KILLED = processes.SIGNALLED + signal.SIGKILL
"""The exit status of a container that was killed, for its memory above all."""


def job_name(step: Step, key: str) -> str:
    """Return the name of the Job of a step: it follows from the key, so that it is found again."""
    return f"{base_name(step.model.name)}-{step.name}-{key[:KEY_DIGITS]}"


def labels(model: Model, component: str) -> dict[str, str]:
    """Return the labels of a model's objects."""
    return {
        "app.kubernetes.io/name": base_name(model.name),
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "modelmake",
    }


def metadata(model: Model, component: str, name: str, namespace: str) -> Manifest:
    """Return the metadata of an object."""
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": labels(model, component),
        "annotations": {"modelmake/model": model.name},
    }


def job(  # noqa: PLR0913 - one by name
    step: Step,
    key: str,
    image: str,
    words: Sequence[str],
    settings: Settings,
    *,
    alone: bool = True,
) -> Manifest:
    """Return the Job that carries a step out by a command of the image's Python.

    One that is `alone` tries again itself; else whoever submits it does.
    """
    name = job_name(step, key)
    made = metadata(step.model, step.name, name, settings.namespace)
    made["annotations"] |= {"modelmake/step": step.task, "modelmake/key": key}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": made,
        "spec": job_spec(step, image, words, settings, alone=alone),
    }


def job_spec(
    step: Step, image: str, words: Sequence[str], settings: Settings, *, alone: bool = True
) -> Manifest:
    """Return what a Job does.

    A pod that the cluster itself has ended (evicted, preempted, its machine lost) is made anew and
    does not count; of a Job that is `alone`, one that failed is tried again as often as `retries`
    says, if it failed for one of the reasons in `retryOn`, and the time of all tries is bounded,
    which includes what a pod waits for a machine.  Each holds the step itself to its `timeout`.
    """
    model = step.model
    policy = retries.of(model.document, step.name)
    tries = 1 + policy.retries if alone else 1
    timeout = math.ceil(policy.timeout or 0)
    container = {
        "name": CONTAINER,
        "image": image,
        "command": ["python", *words],
        "resources": amounts(of(model, step.name), BESIDE),
        "env": variables(model, settings, with_store=True),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    deadline = {"activeDeadlineSeconds": (settings.wait + timeout + SPARE_SECONDS) * tries}
    final = [retries.NOT_AGAIN, *([] if policy.reasons & {"oom", "lost"} else [KILLED])]
    return {
        "backoffLimit": tries - 1,
        **(deadline if timeout and alone else {}),
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": final},
                    "onPodConditions": [],  # older schemas have it in every rule
                },
            ]
        },
        "template": {
            "metadata": {"labels": labels(model, step.name)},
            "spec": {"restartPolicy": "Never", **pod(container, settings, with_store=True)},
        },
    }


def pod(container: Manifest, settings: Settings, *, with_store: bool) -> Manifest:
    """Return the pod of a container, which may do no more than it must.

    Its file system is read-only but for temporary files, and the environments that a step needs.
    """
    own = {"tmp": TMP, **({"cache": CACHE} if with_store else {})}
    mounts = [{"name": name, "mountPath": path} for name, path in own.items()]
    volumes: list[Manifest] = [{"name": name, "emptyDir": {}} for name in own]
    if with_store and settings.claim:
        mounts.append({"name": "store", "mountPath": settings.store})
        claim = {"claimName": settings.claim}
        volumes.append({"name": "store", "persistentVolumeClaim": claim})
    guarded = {
        **container,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    return {
        **({"serviceAccountName": settings.account} if settings.account else {}),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [guarded],
        "volumes": volumes,
    }


def variables(model: Model, settings: Settings, *, with_store: bool) -> list[Manifest]:
    """Return the variables of a pod.  What is secret is only referred to."""
    plain = dict(settings.variables)
    if with_store:
        plain |= {"UV_CACHE_DIR": f"{CACHE}/uv", profiles.STORE_VARIABLE: settings.store}
    secrets = {**model.document.get("secrets", {}), **settings.secrets}
    found: list[Manifest] = [
        {"name": name, "value": str(value)} for name, value in plain.items() if name not in secrets
    ]
    for name, reference in sorted(secrets.items()):
        secret, _, key = reference.partition("/")
        source = {"secretKeyRef": {"name": secret, "key": key}}
        found.append({"name": name, "valueFrom": source})
    return found


def amounts(found: Resources, beside: int = 0) -> Manifest:
    """Return the resources of a container, with some memory beside what they say."""
    both = {
        "requests": _amounts(found.requests, beside),
        "limits": _amounts(found.limits, beside),
    }
    return {name: some for name, some in both.items() if some}


def _amounts(some: Amounts, beside: int) -> dict[str, str]:
    memory = None if some.memory is None else some.memory + beside
    told = quantities(replace(some, memory=memory))
    return {{"gpu": GPU}.get(name, name): text for name, text in told.items()}
