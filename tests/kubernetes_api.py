"""A stand-in for the part of a Kubernetes cluster that steps use, on this machine's loopback.

It keeps Jobs and pods, runs a pod's command as a process, and serves the API for them.  Every
object that comes in or goes out is held against the published schema, every query against those
that the API has.  What goes wrong on real clusters can be asked for: each pod has a `Fate`,
requests can be refused, logs cut.

It is no cluster: scheduling, images, networks and permissions are only told of.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils
from referencing import Registry, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAMESPACE = "models"
TOKEN = "not-a-secret"  # noqa: S105 - of this stand-in
VERSION = kubernetes_validate.latest_version()
SKEW_SECONDS = -7200.0
"""How far the cluster's clock is from this machine's."""

_JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?")
_CORE = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|events)(?:/([^/]+)(/log)?)?")

# The queries that the API has for each of these; another is a fault of the client's.
_QUERIES = {
    ("POST", "jobs"): {"pretty", "dryRun", "fieldManager", "fieldValidation"},
    ("GET", "job"): {"pretty"},
    ("DELETE", "job"): {"pretty", "dryRun", "gracePeriodSeconds", "propagationPolicy"},
    ("GET", "pods"): {"pretty", "labelSelector", "fieldSelector", "limit", "continue"},
    ("GET", "events"): {"pretty", "labelSelector", "fieldSelector", "limit", "continue"},
    ("GET", "log"): {"container", "follow", "pretty", "sinceSeconds", "tailLines", "timestamps"},
}


@dataclass
class Fate:
    """What becomes of a pod.

    `waiting` is the reason for which its container never starts, `unplaced` for how many seconds no
    machine takes it.  When it has printed `after` lines it is ended `by` the cluster (`evicted`),
    by the kernel (`oom`), or by nobody: its machine is lost.
    """

    waiting: str = ""
    message: str = ""
    unplaced: float = 0.0
    after: int = 0
    by: str = ""


@dataclass
class Pod:
    """A pod: its manifest, its process, and what it has printed, line by line with its time."""

    manifest: dict[str, Any]
    fate: Fate
    lines: list[tuple[float, bytes]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def phase(self) -> str:
        """Its phase."""
        return str(self.manifest["status"]["phase"])

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.phase in {"Succeeded", "Failed"}


class Cluster:
    """The stand-in: what it holds, and what is to go wrong with it."""

    def __init__(self, folder: Path, secret_values: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.secrets = dict(secret_values or {})
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, Pod] = {}
        self.fates: deque[Fate] = deque()
        self.refusals: list[tuple[str, int]] = []
        self.cuts: deque[int] = deque()
        self.warning = ""
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.made = 0
        self.changed = threading.Condition(threading.RLock())
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.cluster = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address of its API."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which a runner finds this cluster."""
        path = self.folder / "kubeconfig"
        named = {"name": "here", "context": {"cluster": "it", "user": "me", "namespace": NAMESPACE}}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [named],
            "clusters": [{"name": "it", "cluster": {"server": self.address}}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(config))
        return {"KUBECONFIG": str(path)}

    def close(self) -> None:
        """End it, and all that runs in it."""
        self._server.shutdown()
        self._server.server_close()
        for pod in self.pods.values():
            _kill(pod)

    # What the API is asked for

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        """Take a Job in, and make its pod."""
        name = job["metadata"]["name"]
        if name in self.jobs:
            raise _Answer(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        job["metadata"] |= {
            "namespace": NAMESPACE, "uid": secrets.token_hex(8), "creationTimestamp": _now()
        }  # fmt: skip
        job["status"] = {}
        self.jobs[name] = job
        if not self.warning:
            self._make_pod(name)
        return job

    def job(self, name: str) -> dict[str, Any]:
        """Return a Job."""
        if name not in self.jobs:
            raise _Answer(404, "NotFound", f'jobs.batch "{name}" not found')
        return self.jobs[name]

    def delete(self, name: str, options: Mapping[str, Any]) -> None:
        """Delete a Job, and its pods where that is asked for."""
        self.job(name)
        del self.jobs[name]
        for pod in [pod for pod in self.pods.values() if _job_of(pod) == name]:
            # Without a policy, pods of a Job that is deleted through this version stay.
            if options.get("propagationPolicy") in {"Background", "Foreground"}:
                _kill(pod)
                del self.pods[pod.manifest["metadata"]["name"]]

    def events(self) -> list[dict[str, Any]]:
        """Return what the cluster has to say of Jobs."""
        if not self.warning:
            return []
        involved = {"kind": "Job", "name": next(iter(self.jobs))}
        return [
            {
                "metadata": {"name": "event", "namespace": NAMESPACE},
                "involvedObject": involved, "type": "Warning", "reason": "FailedCreate",
                "message": self.warning,
            }
        ]  # fmt: skip

    # What becomes of pods

    def _make_pod(self, job: str) -> None:
        template = self.jobs[job]["spec"]["template"]
        name = f"{job}-{secrets.token_hex(3)}"
        labels = {**template["metadata"]["labels"], "job-name": job}
        pod = Pod(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": NAMESPACE, "labels": labels,
                    "creationTimestamp": _now(),
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            },
            self.fates.popleft() if self.fates else Fate(),
        )  # fmt: skip
        self.pods[name] = pod
        self.made += 1
        threading.Thread(target=self._run, args=(pod,), daemon=True).start()

    def _run(self, pod: Pod) -> None:
        """Have a pod scheduled, started and run to its end."""
        if pod.fate.unplaced:
            said = "0/3 nodes are available: 3 Insufficient memory."
            self._condition(pod, "PodScheduled", "False", "Unschedulable", said)
            time.sleep(pod.fate.unplaced)
        self._condition(pod, "PodScheduled", "True")
        if pod.fate.waiting:
            reason = {"reason": pod.fate.waiting, "message": pod.fate.message}
            self._set(pod, "Pending", {"waiting": reason})
            return
        container = pod.manifest["spec"]["containers"][0]
        try:
            variables = self._variables(container)
        except KeyError as error:
            reason = {
                "reason": "CreateContainerConfigError",
                "message": f"secret {error} not found",
            }
            self._set(pod, "Pending", {"waiting": reason})
            return
        program, *words = container["command"]
        assert "python" == program
        pod.process = subprocess.Popen(
            [sys.executable, *words], env=variables, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._set(pod, "Running", {"running": {"startedAt": _now()}})
        if self._printed_all(pod, pod.process):
            self._ended(pod, pod.process.wait())
        else:
            self._struck(pod)

    def _printed_all(self, pod: Pod, process: subprocess.Popen[bytes]) -> bool:
        """Keep what a pod prints; return whether it was not struck in the midst of it."""
        assert process.stdout
        with process.stdout as printed:
            for line in printed:
                with self.changed:
                    pod.lines.append((time.time() + SKEW_SECONDS, line))
                    self.changed.notify_all()
                if pod.fate.by and len(pod.lines) >= pod.fate.after:
                    return False
        return True

    def _struck(self, pod: Pod) -> None:
        """Have happen to a running pod what is to happen."""
        _kill(pod)
        if pod.fate.by == "oom":
            self._ended(pod, 137, "OOMKilled")
        elif pod.fate.by == "lost":
            self._condition(pod, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting")
        else:
            said = "Eviction API: evicting"
            self._condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", said)
            self._ended(pod, 143)

    def _variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        kept = ("PATH", "LANG", "VIRTUAL_ENV", "UV_PYTHON_SEARCH_PATH", "MODEL_CACHE", "PYTHONPATH")
        found = {name: os.environ[name] for name in kept if name in os.environ}
        for variable in container.get("env") or ():
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            found[variable["name"]] = (
                self.secrets[f"{reference['name']}/{reference['key']}"]
                if reference
                else variable["value"]
            )
        return found

    def _condition(
        self, pod: Pod, kind: str, status: str, reason: str = "", text: str = ""
    ) -> None:
        with self.changed:
            conditions = pod.manifest["status"].setdefault("conditions", [])
            conditions[:] = [one for one in conditions if one["type"] != kind]
            more = {"reason": reason, "message": text} if reason else {}
            conditions.append({"type": kind, "status": status, **more})

    def _set(self, pod: Pod, phase: str, state: Mapping[str, Any]) -> None:
        container = pod.manifest["spec"]["containers"][0]
        about = {
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": phase == "Running", "restartCount": 0, "state": dict(state),
        }  # fmt: skip
        with self.changed:
            pod.manifest["status"] |= {"phase": phase, "containerStatuses": [about]}
            self.changed.notify_all()

    def _ended(self, pod: Pod, status: int, reason: str = "") -> None:
        """Note how a pod ended, and do what a Job's controller does then."""
        code = status if status >= 0 else 128 - status
        why = reason or ("Error" if code else "Completed")
        self._set(
            pod,
            "Failed" if code else "Succeeded",
            {"terminated": {"exitCode": code, "reason": why}},
        )
        with self.changed:
            name = _job_of(pod)
            job = self.jobs.get(name)
            if job is None:
                return
            conditions = {one["type"] for one in pod.manifest["status"]["conditions"]}
            rules = job["spec"].get("podFailurePolicy", {}).get("rules", ())
            ignored = {
                c["type"] for r in rules if r["action"] == "Ignore" for c in r["onPodConditions"]
            }
            final = {
                c for r in rules if r["action"] == "FailJob" for c in r["onExitCodes"]["values"]
            }
            about = job["status"]
            if not code:
                about |= {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
            elif conditions & ignored:
                self._make_pod(name)
            elif code in final or about.get("failed", 0) >= job["spec"]["backoffLimit"]:
                about |= {"failed": about.get("failed", 0) + 1}
                why = "PodFailurePolicy" if code in final else "BackoffLimitExceeded"
                about["conditions"] = [{"type": "Failed", "status": "True", "reason": why}]
            else:
                about["failed"] = about.get("failed", 0) + 1
                self._make_pod(name)


def check(value: Mapping[str, Any], kind: str = "") -> None:
    """Raise an error for an object that is not as the schema of the newest version says."""
    if not kind:
        kubernetes_validate.validate(dict(value), VERSION, strict=True)
        return
    folder = f"kubernetes-json-schema/v{VERSION}-local-strict"
    schema = utils.schema_contents(f"{folder}/{kind}-meta-v1.json", VERSION)
    parts = utils.schema_contents(f"{folder}/_definitions.json", VERSION)
    registry: Any = Resource.from_contents(parts) @ (Resource.from_contents(schema) @ Registry())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(value)


class _Answer(Exception):
    """An answer that is none to what was asked, as the API gives it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        }  # fmt: skip


_REASONS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", 'jobs.batch is forbidden: User "me" cannot create resource "jobs"'),
    409: ("AlreadyExists", "already exists"),
    410: ("Expired", "too old resource version"),
    429: ("TooManyRequests", "the server has received too many requests"),
    500: ("InternalError", "etcdserver: request timed out"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    cluster: Cluster


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        """Answer a request; a fault of either side's is noted."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        self.server.cluster.asked.append(f"{method} {self.path}")
        try:
            self._refuse(f"{method} {address.path}")
            if found := _JOBS.fullmatch(address.path):
                value = self._jobs(method, *found.groups(), query, body)
            elif found := _CORE.fullmatch(address.path):
                namespace, kind, name, log = found.groups()
                self._known(namespace, method, "log" if log else kind, query)
                value = self._log(name, query) if log else self._listed(kind, query)
            else:
                value = None
                self.server.cluster.faults.append(f"{method} {self.path}: no such resource")
                self._send(404, _Answer(404, "NotFound", "no such resource").status)
            if value is not None:
                self._send(200, value)
        except _Answer as answer:
            self._send(answer.code, answer.status)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:
            self.server.cluster.faults.append(
                f"{method} {self.path}: {type(error).__name__}: {error}"
            )
            raise

    def _refuse(self, asked: str) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Answer(401, *_REASONS[401])
        refusals = self.server.cluster.refusals
        with self.server.cluster.changed:
            due = next((one for one in refusals if re.search(one[0], asked)), None)
            if due is None:
                return
            refusals.remove(due)
        if not due[1]:  # no answer at all
            self.close_connection = True
            self.connection.close()
            raise ConnectionResetError
        raise _Answer(due[1], *_REASONS[due[1]])

    def _jobs(
        self, method: str, namespace: str, name: str, query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any]:
        self._known(namespace, method, "job" if name else "jobs", query)
        with self.server.cluster.changed:
            if method == "POST":
                if body:
                    check(body)
                made = self.server.cluster.create(body)
                check(made)
                return made
            if method == "DELETE":
                options = {**(body or {}), **query}
                check(options, "deleteoptions")
                self.server.cluster.delete(name, options)
                done = {"apiVersion": "v1", "kind": "Status", "status": "Success"}
                check(done, "status")
                return done
            check(self.server.cluster.job(name))
            return self.server.cluster.job(name)

    def _listed(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        with self.server.cluster.changed:
            items = (
                self.server.cluster.events()
                if kind == "events"
                else _chosen(self.server.cluster, query)
            )
            listed = {
                "apiVersion": "v1", "kind": {"pods": "PodList", "events": "EventList"}[kind],
                "metadata": {"resourceVersion": "1"}, "items": items,
            }  # fmt: skip
            check(listed)
            return dict(json.loads(json.dumps(listed)))

    def _known(self, namespace: str, method: str, kind: str, query: dict[str, str]) -> None:
        """Raise an error for what is not asked as the API has it."""
        assert NAMESPACE == namespace
        assert set() == set(query) - _QUERIES[method, kind]

    def _log(self, name: str, query: dict[str, str]) -> None:
        """Send the log of a pod as it is printed."""
        pod = self.server.cluster.pods.get(name)
        if pod is None:
            raise _Answer(404, "NotFound", f'pods "{name}" not found')
        assert query["container"] == pod.manifest["spec"]["containers"][0]["name"]
        if pod.phase == "Pending":
            raise _Answer(400, "BadRequest", "container is waiting to start")
        if pod.fate.by == "lost" and pod.process and pod.process.poll() is not None:
            raise _Answer(500, *_REASONS[500])
        since = float(query.get("sinceSeconds", "inf"))
        first = time.time() + SKEW_SECONDS - since
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        cut = self.server.cluster.cuts.popleft() if self.server.cluster.cuts else None
        for count, (stamp, line) in enumerate(self._lines(pod, query)):
            if stamp < first:
                continue
            data = (f"{_stamp(stamp)} ".encode() if "timestamps" in query else b"") + line
            if count == cut:  # in the midst of the line
                self._chunk(data[: len(data) // 2])
                self.close_connection = True
                self.connection.close()
                raise ConnectionResetError
            self._chunk(data)
        self.wfile.write(b"0\r\n\r\n")

    def _lines(self, pod: Pod, query: dict[str, str]) -> Iterator[tuple[float, bytes]]:
        sent = 0
        while True:
            with self.server.cluster.changed:
                more, ended = pod.lines[sent:], pod.ended
                if not more and not ended and query.get("follow") == "true":
                    self.server.cluster.changed.wait(0.5)
                    continue
            yield from more
            sent += len(more)
            if not more:
                return

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, code: int, value: Mapping[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _chosen(cluster: Cluster, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the pods that a selector of labels means."""
    wanted = dict(one.split("=") for one in query["labelSelector"].split(","))
    return [
        pod.manifest
        for pod in cluster.pods.values()
        if wanted.items() <= pod.manifest["metadata"]["labels"].items()
    ]


def _job_of(pod: Pod) -> str:
    return str(pod.manifest["metadata"]["labels"]["job-name"])


def _kill(pod: Pod) -> None:
    if pod.process and pod.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pod.process.pid, signal.SIGKILL)
        pod.process.wait()


def _now() -> str:
    moment = datetime.fromtimestamp(time.time() + SKEW_SECONDS, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"
