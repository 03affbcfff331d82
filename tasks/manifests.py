"""The manifests of a model: what `kubectl apply -f build/k8s/MODEL` brings to a cluster."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

from tasks import clusters, git, pods, preparation, profiles, records, requests
from tasks.containers import PORT, RUNNER
from tasks.model import STEPS
from tasks.places import Request
from tasks.plan import BUILD, Step
from tasks.resources import of
from tasks.serving.settings import END_SECONDS, STOP_SECONDS, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.clusters import Settings
    from tasks.model import Model
    from tasks.pods import Manifest
    from tasks.progress import Activity
    from tasks.resources import Resources
    from tasks.state import State

SERVE = "serve"
SCHEDULE = "schedule"

START_SECONDS = 600
"""How long the first answer of a model may take: it is started anew after that."""

LEAVING_SECONDS = 5
"""How long a server goes on after it was told to end: until then requests may still reach it."""

BUSY_PERCENT = 70
"""How much of what is set aside of processors is in use, above which there are to be more pods."""

LASTS_SECONDS = 400 * 86_400.0
"""How long the request of a Job is kept after it was read: it may be carried out once a year."""

LATEST_SECONDS = 3600
"""How much later than at its time a Job may be started."""


_FILES = {
    "Deployment": "deployment",
    "Service": "service",
    "HorizontalPodAutoscaler": "autoscaler",
    "PodDisruptionBudget": "disruption-budget",
}
_NAMES = frozenset({*STEPS, SCHEDULE, *_FILES.values()})
"""What a manifest can be called: files of other names are the user's."""


def folder_of(model: Model) -> str:
    """Return the folder that a model's manifests are written to."""
    return f"{BUILD}/k8s/{model.name}"


def make(model: Model, state: State, activity: Activity) -> tuple[str, str]:
    """Write a model's manifests; return their folder, and a remark on what is missing.

    What a Job needs of this machine is put into the store.  Raises UserError where it cannot be.
    """
    profile = profiles.chosen()
    served = serving(model, clusters.image_of(model.name, profile), clusters.settings(profile))
    found = {_FILES[manifest["kind"]]: manifest for manifest in served}
    if not os.environ.get(profiles.STORE_VARIABLE):
        said = f"no Jobs: `{profiles.STORE_VARIABLE}` names no store"
        return write(model, found), _remark(said, clusters.unbuilt([model.name]))
    missing, images = [], [model.name]
    for name in STEPS:
        step = Step(model, name)
        if name == "score" and not step.dataset.path:
            continue
        if step.upstream and records.read(step.upstream.folder, state.files) is None:
            missing.append(name)
            continue
        found |= _jobs(step, clusters.image_of(RUNNER, profile), state, activity)
        images = [model.name, RUNNER]
    said = f"no Job for {' and '.join(missing)}: it is not trained yet" if missing else ""
    return write(model, found), _remark(said, clusters.unbuilt(images))


def _remark(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _jobs(step: Step, image: str, state: State, activity: Activity) -> dict[str, Manifest]:
    """Return the manifests of a step by their files' names; its request is in the store then."""
    prepared = preparation.prepare(step, state, activity)
    with tempfile.TemporaryDirectory() as scratch:
        store = requests.put(prepared, state, git.head(), scratch, LASTS_SECONDS)
    settings = clusters.settings(profiles.chosen(), store.address)
    request = Request(step, prepared.key, store.address)
    found = {step.name: pods.job(step, prepared.key, image, request.words, settings)}
    if step.name == "train" and "schedule" in step.model.document:
        words = request._replace(force=True).words
        found[SCHEDULE] = scheduled(step, image, words, settings)
    return found


def scheduled(step: Step, image: str, words: Sequence[str], settings: Settings) -> Manifest:
    """Return what runs a command of the image's Python at the times of the model's `schedule`."""
    model = step.model
    zone = model.document.get("timeZone")
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": pods.metadata(
            model, SCHEDULE, clusters.base_name(model.name), settings.namespace
        ),
        "spec": {
            "schedule": model.document["schedule"],
            **({"timeZone": zone} if zone else {}),
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": LATEST_SECONDS,
            "jobTemplate": {
                "metadata": {"labels": pods.labels(model, SCHEDULE)},
                "spec": pods.job_spec(step, image, words, settings),
            },
        },
    }


def serving(model: Model, image: str, settings: Settings) -> Iterator[Manifest]:
    """Yield what answers requests with a model."""
    name = clusters.base_name(model.name)
    labels = pods.labels(model, SERVE)
    selector = {key: labels[key] for key in pods.SELECTING}
    least, most = replicas(model)
    found = of(model, "score")

    def made(api: str, kind: str, spec: Manifest) -> Manifest:
        about = pods.metadata(model, SERVE, name, settings.namespace)
        return {"apiVersion": api, "kind": kind, "metadata": about, "spec": spec}

    server = _server(model, image, found, settings)
    seconds = settings_of(model).longest + END_SECONDS + STOP_SECONDS
    deployment = {
        **({"replicas": least} if least == most else {}),
        "selector": {"matchLabels": selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": LEAVING_SECONDS + math.ceil(seconds),
                **pods.pod(server, settings, with_store=False),
            },
        },
    }
    yield made("apps/v1", "Deployment", deployment)
    yield made(
        "v1",
        "Service",
        {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    )
    if most > least:
        yield made("autoscaling/v2", "HorizontalPodAutoscaler", _autoscaler(name, least, most))
    if least > 1:  # of one alone, it could only keep machines from being maintained
        yield made(
            "policy/v1",
            "PodDisruptionBudget",
            {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        )


def _autoscaler(name: str, least: int, most: int) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": BUSY_PERCENT}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }


def _server(model: Model, image: str, found: Resources, settings: Settings) -> Manifest:
    def probe(path: str, **more: int) -> Manifest:
        return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5, **more}

    every = 5
    return {
        "name": SERVE,
        "image": image,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": pods.amounts(found),
        "env": pods.variables(model, settings, with_store=False),
        "startupProbe": probe(
            "/health/ready", periodSeconds=every, failureThreshold=START_SECONDS // every
        ),
        "readinessProbe": probe("/health/ready", periodSeconds=every),
        "livenessProbe": probe("/health/live", periodSeconds=10, failureThreshold=6),
        # Where a pod is about to end is told to others at the same time as to itself.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVING_SECONDS)]}}},
    }


def replicas(model: Model) -> tuple[int, int]:
    """Return how many pods answer requests, at least and at most."""
    said = model.document.get("serving", {}).get("replicas", {})
    least = said.get("min", 1)
    return least, max(least, said.get("max", 4))


# Written as YAML


def text_of(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as YAML that every parser reads as what it is."""
    import yaml  # noqa: PLC0415 - no other command needs it

    dumper: Any = type("Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})

    def written(to: Any, text: str) -> Any:  # noqa: ANN401 - the library's own
        # What begins as a number does may be one to some: 12e45, 0o17, 1_000, .inf, 2026-01-01.
        plain = re.fullmatch(r"[A-Za-z/][ -~]+", text) and text.lower() not in {"y", "n"}
        style = None if plain else '"'
        return to.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    dumper.add_representer(str, written)
    return str(
        yaml.dump(dict(manifest), Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    )


def write(model: Model, manifests: Mapping[str, Manifest]) -> str:
    """Write a model's manifests by their names, take away those of before; return the folder."""
    folder = folder_of(model)
    os.makedirs(folder, exist_ok=True)
    for name, manifest in manifests.items():
        part = f"{folder}/{name}.part"
        with open(part, "w", encoding="utf-8") as file:
            file.write(text_of(manifest))
        os.replace(part, f"{folder}/{name}.yaml")
    for left in _NAMES - manifests.keys():
        for path in (f"{folder}/{left}.yaml", f"{folder}/{left}.part"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
    return folder
