"""A Kubernetes cluster: each step is a Job there, whose name follows from the step's key.

So a runner that is started again finds the Job of the one before it.  The cluster makes pods anew
that it has ended itself; one that failed ends its Job, and whoever submitted that tries again.
Here the pods are looked at, their log is handed on, and what keeps them from running is said.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

from tasks import answers, clusters, news, pods, profiles, shared
from tasks.containers import RUNNER
from tasks.errors import UserError
from tasks.objects import Unsound
from tasks.places import Ended, pod_state
from tasks.places.cluster import CONFLICT, FIRST_PATIENCE_SECONDS, GONE, Cluster, Refused
from tasks.places.pod_log import PodLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.places import Request
    from tasks.pods import Manifest

NAME = "kubernetes"
AWAY = True
CLIENT = "kubernetes.config"

LOOK_SECONDS = 0.2
POLL_SECONDS = 1.0
REMOVAL_SECONDS = 60
"""How long the Job of a run before this one may take to go away."""

END_SECONDS = 60
"""How long the end of a log is waited for when its pod has ended."""

MOST_DISRUPTIONS = 10
"""How often a pod may be ended by the cluster."""


class Place:
    """The cluster that the user's kubeconfig names; `name` is this place's in the table."""

    name, limits = NAME, True

    def look(self) -> str:
        """Return which cluster answers.  Raises UserError where it does not."""
        cluster = Cluster(profiles.chosen().get("namespace", ""))
        selector = {"label_selector": "app.kubernetes.io/managed-by=modelmake", "limit": 1}
        try:
            cluster.ask(cluster.core.list_namespaced_pod, patience=0, **selector)
        except Refused as refused:
            raise cluster.fault(refused, "list its pods") from refused
        return f"{cluster.address} answers for the namespace {cluster.namespace}"

    def submit(self, request: Request) -> Job:
        """Create the Job of a request, or find the one that is there.

        Raises UserError where that cannot be.
        """
        profile = profiles.chosen()
        cluster = Cluster(profile.get("namespace", ""))
        name = pods.job_name(request.step, request.key)
        where = {"place": NAME, "namespace": cluster.namespace, "job": name}
        words = [*request.words, "--where", json.dumps(where)]
        settings = clusters.settings(profile, request.store, cluster.namespace)
        manifest = pods.job(
            request.step, request.key, clusters.image_of(RUNNER, profile), words, settings,
            alone=False,
        )  # fmt: skip
        job = Job(cluster, request, name, settings.wait)
        try:
            job.create(manifest)
        except Refused as refused:
            raise cluster.fault(refused, f"create the Job `{name}`") from refused
        return job


class Job:
    """A step's Job on a cluster."""

    def __init__(self, cluster: Cluster, request: Request, name: str, wait: float) -> None:
        self._cluster, self._request, self.name, self._wait = cluster, request, name, wait
        self._logs: dict[str, PodLog] = {}
        self._said: set[str] = set()
        self._disrupted: set[str] = set()
        self._waiting_since = time.monotonic()
        self._tell: Callable[[str, str], None] = lambda _kind, _text: None

    def create(self, manifest: Manifest) -> None:
        """Create the Job; one of the same step that is under way is taken for it.

        Raises Refused.
        """
        deadline = time.monotonic() + REMOVAL_SECONDS
        while not (self._created(manifest) or self._goes_on()):
            if time.monotonic() > deadline:
                namespace = self._cluster.namespace
                raise UserError(
                    f"The Job `{self.name}` of a run before this one does not go away",
                    ("namespace", namespace),
                    hint=f"`kubectl delete job {self.name} --namespace {namespace}` removes it",
                )
            time.sleep(POLL_SECONDS)

    def _created(self, manifest: Manifest) -> bool:
        """Return whether the Job was created, and there was none of its name."""
        try:
            self._cluster.ask(
                self._cluster.batch.create_namespaced_job, body=manifest,
                field_validation="Strict", patience=FIRST_PATIENCE_SECONDS,
            )  # fmt: skip
        except Refused as refused:
            if refused.status == CONFLICT:
                return False
            raise
        return True

    def _goes_on(self) -> bool:
        """Return whether the Job that has the name is one to follow; remove it if it is not."""
        try:
            job = self._cluster.ask(self._cluster.batch.read_namespaced_job, self.name)
        except Refused as refused:
            if refused.status == GONE:
                return False
            raise
        if job["metadata"].get("annotations", {}).get("modelmake/key") != self._request.key:
            space = self._cluster.namespace
            raise UserError(
                f"The cluster has a Job `{self.name}` that is not of this step",
                hint=f"`kubectl --namespace {space} delete job {self.name}`, if nobody needs it",
            )
        if "deletionTimestamp" in job["metadata"]:
            return False
        failed, complete = (pod_state.condition(job, kind) for kind in ("Failed", "Complete"))
        if failed or (complete and self._request.force):
            self.remove()
            return False
        return True

    def follow(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> Ended:
        """Hand on what the Job's pods print until it ends, and take it away then.

        Raises UserError where the cluster gives no answer any more.
        """
        self._tell = lambda kind, text: write(news.written(kind, text))
        self._cluster.waiting = tick
        try:
            ended = self._follow(write, tick)
        except Refused as refused:
            raise self._cluster.fault(refused, f"follow the Job `{self.name}`") from refused
        finally:
            self._cluster.waiting = lambda: None
            for log in self._logs.values():
                log.leave()
        self.remove()
        return ended

    def _follow(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> Ended:
        polled = float("-inf")
        while True:
            if time.monotonic() - polled >= POLL_SECONDS:
                polled = time.monotonic()
                try:
                    job = self._cluster.ask(self._cluster.batch.read_namespaced_job, self.name)
                except Refused as refused:
                    if refused.status == GONE:
                        return self._taken_away()
                    raise
                made = self._pods()
                stopped = self._look_at(job, made)
                if stopped:
                    return stopped
                if pod_state.condition(job, "Complete") or pod_state.condition(job, "Failed"):
                    self._drain(write, tick)
                    return pod_state.ended_of(job, made)
            self._hand_on(write)
            tick()

    def _pods(self) -> list[Manifest]:
        """Return the Job's pods, the newest last."""
        found = self._cluster.ask(
            self._cluster.core.list_namespaced_pod, label_selector=f"job-name={self.name}"
        )["items"]
        return sorted(found, key=pod_state.age)

    def _look_at(self, job: Manifest, made: list[Manifest]) -> Ended | None:
        """Read the logs of pods, and say what keeps them from running; return what ends it all."""
        for pod in made:
            name, phase = pod["metadata"]["name"], pod["status"].get("phase")
            if name not in self._logs and phase in ("Running", "Succeeded", "Failed"):
                self._logs[name] = PodLog(self._cluster, name, pods.CONTAINER)
            if name in self._logs and phase in ("Succeeded", "Failed"):
                self._logs[name].end()
            if name not in self._disrupted and (why := pod_state.disruption(pod)):
                self._disrupted.add(name)
                self._tell("alert", f"{why}; the step is started anew")
        if len(self._disrupted) > MOST_DISRUPTIONS:
            times = f"the cluster has ended its pods {len(self._disrupted)} times"
            return Ended(ok=False, reason="preempted", message=times)
        return self._held_up(job, made[-1] if made else None)

    def _held_up(self, job: Manifest, pod: Manifest | None) -> Ended | None:
        """Say what the newest pod waits for; return the end where that is in vain."""
        reason, why, vain = (
            pod_state.waits_for(pod) if pod else ("unschedulable", self._no_pod(job), False)
        )
        if vain:
            return Ended(ok=False, reason=reason, message=why)
        if not reason:
            self._waiting_since = time.monotonic()
        elif why:
            self._say_once(why)
        if time.monotonic() - self._waiting_since > self._wait:
            waited = f"it has not run for {self._wait:g} s: {why or 'no reason is given'}"
            return Ended(ok=False, reason=reason, message=waited)
        return None

    def _no_pod(self, job: Manifest) -> str:
        """Return why a Job has no pod, as far as the cluster says; a quota above all."""
        if job["spec"].get("suspend"):
            return "its Job is suspended"
        try:
            events = self._cluster.ask(
                self._cluster.core.list_namespaced_event,
                field_selector=f"involvedObject.name={self.name}",
            )["items"]
        except Refused:  # one may be allowed to see pods but no events
            return ""
        told = [event.get("message", "") for event in events if event.get("type") == "Warning"]
        return str(told[-1]) if told else ""

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._tell("alert", text)

    def _hand_on(self, write: Callable[[bytes], None]) -> None:
        """Hand on what the pods print; of one that has ended all, before what the next prints."""
        reading = [log for log in self._logs.values() if not log.empty]
        reading = next(([log] for log in reading if log.ended), reading)
        for log in reading:
            log.hand_on(write, LOOK_SECONDS / len(reading))
        if not reading:
            time.sleep(LOOK_SECONDS)

    def _drain(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> None:
        """Hand on what is left of the logs."""
        deadline = time.monotonic() + END_SECONDS
        for log in self._logs.values():
            log.end()
            while not log.empty and time.monotonic() < deadline:
                log.hand_on(write, LOOK_SECONDS)
                tick()
            if not log.empty or log.trouble:
                reason = log.trouble or "it takes too long"
                self._say_once(f"the end of what it printed could not be had: {reason}")

    def _taken_away(self) -> Ended:
        """Return the end of a Job that somebody has deleted; another runner may have, when done."""
        store, made = shared.shared(), False
        with contextlib.suppress(answers.Unreachable, Unsound):
            made = store is not None and store.entry(self._request.key) is not None
        return Ended(ok=made, reason="deleted", message="" if made else "its Job was deleted")

    def cancel(self) -> None:
        """Delete the Job with its pods; it may be gone already."""
        self.remove()

    def remove(self) -> None:
        """Delete the Job; its pods are ended in the background."""
        with contextlib.suppress(Refused):
            self._cluster.ask(
                self._cluster.batch.delete_namespaced_job, self.name, patience=POLL_SECONDS,
                body={"propagationPolicy": "Background"},
            )  # fmt: skip
