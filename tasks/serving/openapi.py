"""What a server offers, as an OpenAPI document."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.serving import bodies
from tasks.serving.access import OPEN
from tasks.serving.payloads.parsing import ARROW, BYTES, CSV, JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tasks.serving.arrays import Array
    from tasks.serving.examples import Example
    from tasks.serving.schema import Column, Schema

FORMS = (JSON, CSV, ARROW)
"""The media types of requests and answers with tables."""

_ERRORS = {
    400: ("BadRequest", "The request cannot be read"),
    401: ("Unauthorized", "No token, or not the right one"),
    404: ("NotFound", "There is no such model, or it cannot do that"),
    405: ("MethodNotAllowed", "The address is asked with another method"),
    406: ("NotAcceptable", "No answer can be given as `Accept` asks"),
    408: ("RequestTimeout", "The request did not arrive in time"),
    413: ("ContentTooLarge", "The request is too large"),
    415: ("UnsupportedMediaType", "Requests of this media type are not read"),
    422: ("UnprocessableContent", "The values are not those that the model takes"),
    429: ("TooManyRequests", "Too many requests wait for the model"),
    500: ("InternalServerError", "The model failed"),
    503: ("ServiceUnavailable", "Nothing is ready to answer"),
    504: ("GatewayTimeout", "The model did not answer in time"),
}
_OF_ASKING = tuple(_ERRORS)
_OF_LOOKING = (400, 401, 404, 405, 408, 500, 503)
_LATER = {429, 503}
_EMPTY = {408}  # it is sent before the request is there
_HEADERS = {
    "X-Request-Id": "The name of the request",
    "X-Model-Version": "The version of the model that has answered",
    "X-Model-Key": "The key of the training that made it",
    "X-Model-Lock": "The digest of its environment's lock",
    "X-Model-Code": "The digest of the sources that answer",
    "Retry-After": "After how many seconds to try again",
}
_OF_MODEL = ("X-Model-Version", "X-Model-Key", "X-Model-Lock", "X-Model-Code")
_SECURITY = "bearer"
_INFERENCE = "/v2"
_IN_A_WORD = "OfInference"


@dataclass(frozen=True)
class Served:
    """A model as it is served: what it takes and answers, and what else it can do.

    `explains` and `monitoring` say whether there are `/explain` and `/drift`.
    """

    name: str
    title: str
    description: str
    version: str
    schema: Schema
    examples: Sequence[Example] = ()
    explains: bool = False
    monitoring: bool = False


def document(models: Sequence[Served], *, secured: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a server; `secured` where it asks for tokens."""
    paths: dict[str, Any] = {}
    for model in models:
        paths |= _of_model(model)
    if len(models) == 1:
        paths |= _own(models[0], "")
    paths |= _of_server()
    for path, operations in paths.items():
        for one in operations.values():
            if path.startswith(_INFERENCE):
                _told_in_a_word(one["responses"])
            one["operationId"] = path.strip("/")
            if not secured or path in OPEN:
                del one["responses"]["401"]
            if secured and path in OPEN:
                one["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trained models",
            "version": "1",
            "description": "Each request gets a name, `X-Request-Id`, which it may bring along.",
        },
        "servers": [{"url": "/"}],
        "tags": [*map(_tag, models), {"name": "server", "description": "The server itself"}],
        "paths": paths,
        "components": _components(secured=secured),
        **({"security": [{_SECURITY: []}]} if secured else {}),
    }


# A model


def _tag(model: Served) -> dict[str, Any]:
    facts = {
        "title": model.title,
        "version": model.version,
        "inputs": [*map(_told, model.schema.inputs)],
        "outputs": [*map(_told, model.schema.outputs)],
    }
    return {"name": model.name, "description": model.description, "x-model": facts}


def _told(column: Column) -> dict[str, Any]:
    return {"name": column.name, "type": column.kind, "nullable": column.nullable}


def _of_model(model: Served) -> dict[str, Any]:
    """Return the paths of a model."""
    quoted = urllib.parse.quote(model.name)
    v2 = f"/v2/models/{quoted}"
    return {
        **_own(model, f"/models/{quoted}"),
        f"{v2}/infer": {"post": _infer(model)},
        v2: {"get": _look(model.name, "Its tensors and versions", _metadata())},
        f"{v2}/ready": {"get": _ready(model.name, "Whether it can answer")},
    }


def _own(model: Served, at: str) -> dict[str, Any]:
    """Return the paths of a model below `at`; those of the only one are at the root too."""
    paths = {
        f"{at}/predict": {"post": _predict(model)},
        f"{at}/invocations": {"post": _invoke(model)},
    }
    if model.explains:
        paths[f"{at}/explain"] = {"post": _explain(model)}
    if model.monitoring:
        about = "How far what it is asked and answers has moved from its training"
        paths[f"{at}/drift"] = {"get": _look(model.name, about, {"type": "object"})}
    return paths


def _predict(model: Served) -> dict[str, Any]:
    answers = {JSON: {"schema": bodies.predicted(model.schema.outputs)}}
    answers |= {form: _bytes(form) for form in FORMS if form != JSON}
    return _asking(model.name, "Predict for a row or for rows", _bodies(model), answers)


def _explain(model: Served) -> dict[str, Any]:
    answers = {JSON: {"schema": bodies.predicted(())}}
    return _asking(model.name, "Explain predictions", _bodies(model), answers)


def _bodies(model: Served) -> dict[str, Any]:
    """Return the bodies of requests with a table, the examples in JSON."""
    body = {"schema": bodies.predict(model.schema), **_examples(model, bodies.predict_example)}
    return {JSON: body, **{form: _bytes(form) for form in FORMS if form != JSON}}


def _examples(model: Served, form: Callable[[Array], dict[str, Any] | None]) -> dict[str, Any]:
    found = {example.name: {"value": form(example.array)} for example in model.examples}
    found = {name: one for name, one in found.items() if one["value"]}
    return {"examples": found} if found else {}


def _bytes(form: str) -> dict[str, Any]:
    if form == CSV:
        told = "Lines of values; the first may name the columns"
        return {"schema": {"type": "string", "minLength": 1, "description": told}}
    return {"schema": {"type": "string", "format": "binary"}}


def _invoke(model: Served) -> dict[str, Any]:
    body = {"schema": bodies.invocation(model.schema)}
    body |= _examples(model, bodies.invocation_example)
    about = "Predict, in the forms of MLflow"
    answers = {JSON: {"schema": bodies.INVOKED}}
    return _asking(model.name, about, {JSON: body, CSV: _bytes(CSV)}, answers)


def _infer(model: Served) -> dict[str, Any]:
    about = "Predict, in the form of the Open Inference Protocol"
    body = {"schema": _ref("InferenceRequest"), **_examples(model, bodies.infer_example)}
    answers = {JSON: {"schema": _ref("InferenceResponse")}, BYTES: _bytes(BYTES)}
    return _asking(model.name, about, {JSON: body, BYTES: _bytes(BYTES)}, answers)


def _metadata() -> dict[str, Any]:
    tensors = {"type": "array", "items": {"type": "object", "required": ["name", "datatype"]}}
    names = {"type": "array", "items": {"type": "string"}}
    kinds = {"name": {"type": "string"}, "platform": {"type": "string"}, "versions": names}
    return {
        "type": "object",
        "required": ["name", "platform", "inputs", "outputs"],
        "properties": {**kinds, "inputs": tensors, "outputs": tensors},
    }


# The server


def _of_server() -> dict[str, Any]:
    models = {"models": {"type": "array", "items": {"type": "object"}}}
    listed = {"type": "object", "required": ["models"], "properties": models}
    metrics = _look("server", "Metrics for Prometheus", {"type": "string"}, "text/plain")
    live = {"type": "object", "required": ["live"], "properties": {"live": {"type": "boolean"}}}
    return {
        "/models": {"get": _look("server", "The models that are served", listed)},
        "/metrics": {"get": metrics},
        "/health/live": {"get": _look("server", "Whether the server is there", live)},
        "/health/ready": {"get": _ready("server", "Whether every model can answer")},
        "/ping": {"get": _ready("server", "The same, for MLflow's clients")},
        "/v2": {"get": _look("server", "What it is", {"type": "object", "required": ["name"]})},
        "/v2/health/live": {"get": _look("server", "Whether the server is there", live)},
        "/v2/health/ready": {"get": _ready("server", "Whether every model can answer")},
    }


def _asking(
    tag: str, about: str, requests: dict[str, Any], answers: dict[str, Any]
) -> dict[str, Any]:
    """Return the operation that puts something to a model."""
    answer = {"description": "The answer", "headers": _headers("X-Request-Id", *_OF_MODEL)}
    return {
        "tags": [tag],
        "summary": about,
        "requestBody": {"required": True, "content": requests},
        "responses": {"200": {**answer, "content": answers}, **_errors(_OF_ASKING)},
    }


def _look(tag: str, about: str, schema: dict[str, Any], form: str = JSON) -> dict[str, Any]:
    """Return the operation that only looks at something."""
    answer = {
        "description": about,
        "headers": _headers("X-Request-Id"),
        "content": {form: {"schema": schema}},
    }
    return {
        "tags": [tag],
        "summary": about,
        "responses": {"200": answer, **_errors(_OF_LOOKING)},
    }


def _ready(tag: str, about: str) -> dict[str, Any]:
    """Return the operation whose answer is the same with 200 and 503."""
    ready = {"ready": {"type": "boolean"}, "models": {"type": "object"}}
    one = _look(tag, about, {"type": "object", "required": ["ready"], "properties": ready})
    one["responses"]["503"] = {**one["responses"]["200"], "description": "Not yet, or not now"}
    return one


def _errors(statuses: Iterable[int]) -> dict[str, Any]:
    return {
        str(status): {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in statuses
    }


def _told_in_a_word(responses: dict[str, Any]) -> None:
    """Have errors be told as the Open Inference Protocol has it."""
    for status, response in responses.items():
        if "$ref" in response:
            responses[status] = {"$ref": f"{response['$ref']}{_IN_A_WORD}"}


# What all share


def _components(*, secured: bool) -> dict[str, Any]:
    token = {"type": "http", "scheme": "bearer"}
    return {
        "schemas": {
            "Error": bodies.ERROR,
            f"Error{_IN_A_WORD}": bodies.ERROR_IN_A_WORD,
            "InferenceRequest": bodies.INFER,
            "InferenceResponse": bodies.INFERRED,
        },
        "headers": {
            name: {"description": about, "schema": {"type": "string"}}
            for name, about in _HEADERS.items()
        },
        "responses": {
            f"{name}{form}": _error(status, about, f"Error{form}")
            for status, (name, about) in _ERRORS.items()
            for form in ("", _IN_A_WORD)
        },
        **({"securitySchemes": {_SECURITY: token}} if secured else {}),
    }


def _error(status: int, about: str, schema: str) -> dict[str, Any]:
    if status in _EMPTY:
        return {"description": about}
    wait = ["Retry-After"] if status in _LATER else []
    return {
        "description": about,
        "headers": _headers("X-Request-Id", *wait),
        "content": {JSON: {"schema": _ref(schema)}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
