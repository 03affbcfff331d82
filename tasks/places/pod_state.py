"""What the state of a Job and of its pods means, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks import processes
from tasks.places import Ended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.pods import Manifest

STUCK = frozenset({
    "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip
"""Why a container does not start that never will."""

DISRUPTED = frozenset(
    {"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown"}
)
KILLED_FOR_MEMORY = "OOMKilled"


def age(pod: Manifest) -> tuple[str, bool]:
    """Return by what pods of a Job are ordered; of two of one second, one that goes on is newer."""
    goes_on = pod["status"].get("phase") in ("Pending", "Running")
    return str(pod["metadata"].get("creationTimestamp")), goes_on


def condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return a condition of an object that holds."""
    for found in job.get("status", {}).get("conditions") or ():
        if found["type"] == kind and found["status"] == "True":
            return dict(found)
    return None


def _container(pod: Manifest) -> Mapping[str, Any]:
    """Return what state the pod's container is in."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    return dict(statuses[0].get("state") or {})


def waits_for(pod: Manifest) -> tuple[str, str, bool]:
    """Return why a pod does not run, in a word and in words, and whether it waits in vain."""
    phase, conditions = pod["status"].get("phase"), pod["status"].get("conditions") or ()
    about = {one["type"]: (one["status"], one.get("message", "")) for one in conditions}
    if phase == "Running" and about.get("Ready", ("",))[0] == "Unknown":
        return "lost", "the machine of its pod gives no answer", False
    if phase != "Pending":
        return "", "", False
    placed, message = about.get("PodScheduled", ("", ""))
    if placed == "False":
        return "unschedulable", f"no machine takes its pod: {message}", False
    waiting = _container(pod).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in STUCK:
        return reason, f"{reason}: {message}", True
    return reason or "pending", f"{reason}: {message}" if message else "", False


def disruption(pod: Manifest) -> str:
    """Return by what the cluster has ended a pod, an empty text where it has not."""
    found = condition(pod, "DisruptionTarget")
    if found:
        return f"the cluster has ended its pod: {found.get('reason')}: {found.get('message', '')}"
    status = pod["status"]
    if status.get("phase") == "Failed" and status.get("reason") in DISRUPTED:
        return f"the cluster has ended its pod: {status['reason']}: {status.get('message', '')}"
    return ""


def ended_of(job: Manifest, made: list[Manifest]) -> Ended:
    """Return how a Job ended that has ended."""
    failed = condition(job, "Failed")
    if not failed:
        return Ended(ok=True)
    pod = made[-1] if made else {"status": {}}
    state = _container(pod).get("terminated") or {}
    if state.get("reason") == KILLED_FOR_MEMORY:
        limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
        limit = limits.get("memory")
        said = f"it used more memory than its limit of {limit}" if limit else "out of memory"
        return Ended(ok=False, reason="oom", message=f"{said}, and was killed")
    if failed.get("reason") == "DeadlineExceeded":
        return Ended(ok=False, reason="timeout", message="it took longer than `timeout` allows")
    if why := disruption(pod):
        return Ended(ok=False, reason="preempted", message=why)
    code = state.get("exitCode")
    how = f"exit status {code}" if code is not None else failed.get("message", "")
    killed = code is not None and code > processes.SIGNALLED
    reason = "lost" if killed else str(failed.get("reason", ""))
    return Ended(ok=False, reason=reason, message=str(how))
