"""What is asked of a Kubernetes cluster, through the official client, and its faults in words."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError, installing, without_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.pods import Manifest

CONNECT_SECONDS = 5
ANSWER_SECONDS = 15
"""How long one request may take; one that is sent again may take longer in all."""

PATIENCE_SECONDS = 60
"""How long a cluster may give no answer while a step runs there."""

FIRST_PATIENCE_SECONDS = 15
"""How long it may give none before a step is there."""

PAUSE_SECONDS = 1.0
SILENCE_SECONDS = 60
"""How long a log may bring nothing before it is asked for anew."""

FORBIDDEN = frozenset({401, 403})
GONE = 404
CONFLICT = 409
PASSING = frozenset({0, 410, 429, 500, 502, 503, 504})
"""The statuses after which a request is sent again; 0: there was no answer."""

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
"""The file with the namespace, where the runner is in a pod itself."""


class Refused(Exception):
    """An answer of the cluster's that is none to what was asked: its status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Cluster:
    """A cluster within reach, and a namespace of it."""

    def __init__(self, namespace: str = "") -> None:
        client, config, _ = _modules()
        self._settings = client.Configuration()
        self._settings.retries = False  # what is sent again, and how long, is decided here
        own = _configure(config, self._settings)
        self.namespace: str = namespace or own
        self.address = without_password(str(self._settings.host))
        connection = client.ApiClient(self._settings)
        self.batch, self.core = client.BatchV1Api(connection), client.CoreV1Api(connection)
        self.waiting: Callable[[], None] = lambda: None

    def ask(
        self, call: Callable[..., Any], *words: object, patience: float = PATIENCE_SECONDS,
        **more: object,
    ) -> Manifest:  # fmt: skip
        """Return what a call of the client's answers.

        What passes is waited for, but no longer than `patience`; `waiting` is called meanwhile.
        Raises Refused.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                answer = self.open(call, *words, seconds=ANSWER_SECONDS, **more)
                return dict(json.loads(answer.read()))
            except Refused as refused:
                if refused.status not in PASSING or time.monotonic() > deadline:
                    raise
            except _failures() as error:
                if time.monotonic() > deadline:
                    raise Refused(0, _told(error)) from error
            self.waiting()
            time.sleep(PAUSE_SECONDS)

    def open(self, call: Callable[..., Any], *words: object, seconds: float, **more: object) -> Any:  # noqa: ANN401 - the client's own
        """Return the answer of a call to be read as it comes.  Raises Refused."""
        client, _, _ = _modules()
        try:
            answer = call(
                *words, namespace=self.namespace, _preload_content=False,
                _request_timeout=(CONNECT_SECONDS, seconds), **more,
            )  # fmt: skip
        except client.ApiException as error:
            raise Refused(error.status or 0, _reason(error.body, error.reason)) from error
        except _failures() as error:
            raise Refused(0, _told(error)) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own
            raise Refused(answer.status, _reason(answer.read(), answer.reason))
        return answer

    def fault(self, refused: Refused, what: str) -> UserError:
        """Return the error for what a cluster did not do."""
        facts = [
            ("cluster", self.address), ("namespace", self.namespace), ("reason", refused.reason)
        ]  # fmt: skip
        if refused.status in FORBIDDEN:
            return UserError(
                f"The cluster does not let you {what}",
                *facts,
                hint="docs/kubernetes.md lists what a user of the cluster must be allowed; `kubectl"
                " auth can-i create jobs` asks for it",
            )
        if refused.status in PASSING:
            return UserError(
                f"The cluster gives no answer: cannot {what}", *facts,
                hint="`kubectl cluster-info` shows whether it is within reach",
            )  # fmt: skip
        return UserError(
            f"The cluster refuses to {what}", *facts,
            hint="docs/kubernetes.md lists what must be there; a profile says what is asked for",
        )  # fmt: skip


def _modules() -> tuple[Any, Any, Any]:
    try:
        import urllib3  # noqa: PLC0415 - an optional dependency's own
        from kubernetes import client, config  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(
            "Steps run on Kubernetes through its Python client, which is not installed",
            ("reason", error),
            hint=installing("kubernetes"),
        ) from error
    return client, config, urllib3


def _failures() -> tuple[type[Exception], ...]:
    """Return what there is where an answer does not come, or is cut short."""
    return OSError, json.JSONDecodeError, _modules()[2].exceptions.HTTPError


def _configure(config: Any, settings: Any) -> str:  # noqa: ANN401 - the client's own
    """Fill in how the cluster is reached, and return the namespace that belongs to it."""
    import yaml  # noqa: PLC0415 - the client's own

    inside = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    file_name = os.environ.get("KUBECONFIG") or None  # the client knows only what it was at first
    try:
        if inside and os.path.exists(ACCOUNT):
            config.load_incluster_config(client_configuration=settings)
            with open(ACCOUNT, encoding="utf-8") as file:
                return file.read().strip()
        config.load_kube_config(file_name, client_configuration=settings)
        context = config.list_kube_config_contexts(file_name)[1]["context"]
    except (
        config.ConfigException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        yaml.YAMLError,
    ) as error:
        raise UserError(
            "It is not known how a Kubernetes cluster is reached",
            ("reason", error),
            hint="`KUBECONFIG` names the file that says it, else it is ~/.kube/config;"
            " `kubectl cluster-info` shows whether that is right",
        ) from error
    return str(context.get("namespace") or "default")


def _reason(body: bytes | str | None, reason: str | None) -> str:
    """Return what the cluster says of a refusal."""
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, KeyError, TypeError):
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        return (text or "").strip()[:200] or str(reason)


def _told(error: Exception) -> str:
    """Return an error of the connection in one line."""
    return " ".join(str(error).split()) or type(error).__name__
