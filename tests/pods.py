"""What Spark asks of Kubernetes, done here: pods are processes that begin in a folder of their own.

It answers for one namespace whatever Spark's client asks: pods are made, listed, watched and
deleted, everything else is taken note of.  A container's command is what the start script of
Spark's images makes of its arguments.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tasks.languages import spark
from tests.spark import QUICK, programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOOK_SECONDS = 0.1
BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
NAMED = {
    "--driver-url": "SPARK_DRIVER_URL", "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES", "--app-id": "SPARK_APPLICATION_ID",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
}  # fmt: skip
"""What an executor is told, and the variables of its container that say it."""


class Pods:
    """The pods of a namespace, and what else was made in it, by kind and name."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """Run containers below a folder, with the variables of the image."""
        self.folder, self.image = folder, variables
        self.made: dict[tuple[str, str], Any] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.over = threading.Event()

    def make(self, thing: Any) -> Any:  # noqa: ANN401 - JSON is any value
        """Take note of what is made; start what is a pod."""
        kind, about = thing["kind"], thing["metadata"]
        about.setdefault("name", f"{about.get('generateName', '')}{len(self.made)}")
        about |= {"uid": about["name"], "resourceVersion": "1", "namespace": "default"}
        self.made[kind, about["name"]] = thing
        if kind == "Pod":
            threading.Thread(target=self._start, args=(about["name"],), daemon=True).start()
        return self.state(thing)

    def state(self, thing: Any) -> Any:  # noqa: ANN401 - as above
        """Return a thing as it is now."""
        process = self.processes.get(thing["metadata"]["name"])
        if thing["kind"] != "Pod":
            return thing
        code = process.poll() if process else None
        phase = "Pending" if process is None else "Running"
        inner: dict[str, Any] = {"running": {}}
        if code is not None:
            phase = "Failed" if code else "Succeeded"
            inner = {"terminated": {"exitCode": code}}
        name = thing["spec"]["containers"][0]["name"]
        container = {
            "name": name, "image": "spark", "imageID": "", "ready": True, "restartCount": 0,
            "state": inner,
        }  # fmt: skip
        ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
        status = {"phase": phase, "podIP": "127.0.0.1", "containerStatuses": [container]}
        status["conditions"] = [ready]
        return {**thing, "status": status}

    def chosen(self, query: Mapping[str, list[str]]) -> list[Any]:
        """Return the pods that a query selects, by name or labels."""
        (fields,), (labels,) = query.get("fieldSelector", [""]), query.get("labelSelector", [""])
        name = fields.partition("metadata.name=")[2]
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if "=" in pair)
        return [
            self.state(thing)
            for (kind, own), thing in list(self.made.items())
            if kind == "Pod" and name in ("", own)
            and wanted.items() <= thing["metadata"].get("labels", {}).items()
        ]  # fmt: skip

    def end(self, name: str) -> None:
        """End a pod's process and wait for it."""
        process = self.processes.get(name)
        if process:
            process.kill()
            process.wait()

    def _start(self, name: str) -> None:
        pod = self.made["Pod", name]
        container = next(c for c in pod["spec"]["containers"] if c["name"].startswith("spark"))
        work = self.folder / name
        work.mkdir()
        told = {one["name"]: one.get("value", "127.0.0.1") for one in container["env"]}
        for mount in container.get("volumeMounts", ()):
            told = {k: v.replace(mount["mountPath"], f"{work}/mounted") for k, v in told.items()}
        kind, *words = container["args"]
        if kind == "driver":
            words = self._driver(work, words)
        else:
            options = [v for k, v in sorted(told.items()) if k.startswith("SPARK_JAVA_OPT_")]
            named = [word for option, key in NAMED.items() for word in (option, told[key])]
            java, jars = f"{self.image['JAVA_HOME']}/bin/java", f"{self.image['SPARK_HOME']}/jars/*"
            words = [java, *options, "-cp", jars, BACKEND, *named]
            words += ["--hostname", "127.0.0.1", "--podName", name]
        with (work / "log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                words, cwd=work, env={**self.image, **told},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _driver(self, work: Path, words: list[str]) -> list[str]:
        (work / "mounted").mkdir()
        for name, text in self._mounted().items():
            (work / "mounted" / name).write_text(text)
        words = [re.sub(r"^/opt/spark/conf/", f"{work}/mounted/", word) for word in words]
        here = ["--deploy-mode", "client"]
        for key in ("spark.driver.bindAddress", "spark.driver.host"):
            here += ["--conf", f"{key}=127.0.0.1"]
        submit = f"{self.image['SPARK_HOME']}/bin/spark-submit"
        return [submit, *here, *words]

    def _mounted(self) -> dict[str, str]:
        """Return the files of the configuration, which is made after the pod."""
        while not self.over.wait(LOOK_SECONDS):
            for (kind, _), thing in list(self.made.items()):
                if kind == "ConfigMap":
                    return dict(thing["data"])
        return {}


class _Handler(BaseHTTPRequestHandler):
    pods: Pods
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a pod, a list of them, or what becomes of them."""
        place = urlsplit(self.path)
        query = parse_qs(place.query)
        name = place.path.partition("/pods/")[2]
        if "watch" in query:
            self._watch(query)
        elif name:
            pod = self.pods.made.get(("Pod", name))
            self._answer(self.pods.state(pod) if pod else {"kind": "Status"}, 200 if pod else 404)
        else:
            kind = "PodList" if place.path.endswith("/pods") else "List"
            items = self.pods.chosen(query) if kind == "PodList" else []
            about = {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}
            self._answer({**about, "items": items})

    def do_POST(self) -> None:
        """Make what is asked for."""
        said = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        whole = "kind" in said and {"spec", "data"} & said.keys()
        self._answer(self.pods.make(said) if whole else {})

    do_PATCH = do_POST  # noqa: N815 - the name is the server's
    do_PUT = do_POST  # noqa: N815

    def do_DELETE(self) -> None:
        """End the pods that are named or selected."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = urlsplit(self.path)
        name = place.path.partition("/pods/")[2]
        named = [name] if name else []
        if place.path.endswith("/pods"):
            named = [pod["metadata"]["name"] for pod in self.pods.chosen(parse_qs(place.query))]
        for one in named:
            self.pods.end(one)
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _answer(self, said: Any, code: int = 200) -> None:  # noqa: ANN401 - JSON is any value
        data = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, query: Mapping[str, list[str]]) -> None:
        """Tell each change, until nobody listens or asks any more."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        before: dict[str, str] = {}
        with contextlib.suppress(OSError):
            while not self.pods.over.wait(LOOK_SECONDS):
                for pod in self.pods.chosen(query):
                    name, text = pod["metadata"]["name"], json.dumps(pod["status"])
                    if before.get(name) != text:
                        kind = "MODIFIED" if name in before else "ADDED"
                        before[name] = text
                        self.wfile.write(json.dumps({"type": kind, "object": pod}).encode() + b"\n")
                self.wfile.flush()


def image(python: str, folder: Path) -> dict[str, str]:
    """Return the variables of an image with the Spark and the Java of an environment, no Python."""
    found = spark.find(python, {})
    java = spark.java_home(found, str(folder))
    path = programs(folder / "bin", "python")
    return {"SPARK_HOME": found.home, "JAVA_HOME": java, "PATH": path, **QUICK}


@contextlib.contextmanager
def kubernetes(folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Give the master for Spark; the containers have these variables."""
    pods = Pods(folder, variables)
    handler = type("Handler", (_Handler,), {"pods": pods})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"k8s://http://127.0.0.1:{server.server_address[1]}"
    finally:
        pods.over.set()
        server.shutdown()
        server.server_close()
        for name in pods.processes:
            pods.end(name)
