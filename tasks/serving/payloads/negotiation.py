"""Which form a request has, and which its answer shall have: by the route and two headers."""

from __future__ import annotations

import functools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from tasks.serving.arrays import RequestError
from tasks.serving.payloads import (
    arrow,
    arrow_answer,
    csv_text,
    infer,
    infer_answer,
    invocations,
    plain,
)
from tasks.serving.payloads.parsing import ARROW, BYTES, CSV, JSON, media_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.serving.payloads import Reader, Writer

UNSAID = {"", "application/x-www-form-urlencoded"}  # what curl says of JSON

_TABLES: dict[str, Reader] = {JSON: plain.read, CSV: csv_text.read, ARROW: arrow.read}
READERS: dict[str, dict[str, Reader]] = {
    "predict": _TABLES,
    "explain": _TABLES,
    "invocations": {
        JSON: invocations.read,
        CSV: csv_text.read_frame,
        "application/csv": csv_text.read_frame,
    },
    "infer": {JSON: infer.read, BYTES: infer.read},
}
"""By route and media type; the first of a route is meant where a request names none."""

WRITERS: dict[str, dict[str, Writer]] = {
    "predict": {JSON: plain.write, CSV: csv_text.write, ARROW: arrow_answer.write},
    "explain": {JSON: plain.write},
    "invocations": {JSON: invocations.write},
    "infer": {JSON: infer_answer.write, BYTES: infer_answer.write},
}
"""By route and media type; the first of a route is meant where the request's own is not here."""

_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
_UTF8 = {"utf-8", "utf8", "us-ascii"}


@functools.lru_cache(maxsize=256)  # clients send the same headers all the time
def negotiate(route: str, content_type: str = "", accept: str = "") -> tuple[Reader, Writer]:
    """Return what reads a request and what writes its answer.

    Without a wish, or with several that are alike, the answer has the form of the request.
    Raises RequestError: 415 for a media type that is not read there, 406 where none is accepted.
    """
    readers = READERS[route]
    media, parameters = media_type(content_type)
    media = next(iter(readers)) if media in UNSAID else media
    if media not in readers:
        raise RequestError(
            f"A request of the type `{media[:80]}` cannot be read; send {_listed(readers)}",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    charset = parameters.get("charset", "utf-8")
    if charset not in _UTF8:
        raise RequestError(
            f"A request in `{charset[:80]}` cannot be read; send it in UTF-8",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    writers = WRITERS[route]
    ranges = _ranges(accept)
    wishes = {offered: _wish(offered, ranges) for offered in writers}
    best = max(wishes, key=lambda offered: (wishes[offered], offered == media))
    if not wishes[best]:
        raise RequestError(
            f"No answer can be given as `Accept` asks; ask for {_listed(writers)}",
            HTTPStatus.NOT_ACCEPTABLE,
        )
    return readers[media], writers[best]


def _ranges(accept: str) -> dict[str, float]:
    """Return how much each range of media types of an `Accept` header is wished for, 0 to 1."""
    ranges = {}
    for one in filter(str.strip, accept.split(",")):
        media, parameters = media_type(one)
        said = parameters.get("q", "1")
        ranges[media] = float(said) if _QUALITY.fullmatch(said) else 1.0
    return ranges or {"*/*": 1.0}


def _wish(media: str, ranges: dict[str, float]) -> float:
    """Return how much a media type is wished for; the range that fits it closest says so."""
    fitting = (media, f"{media.partition('/')[0]}/*", "*/*")
    return next((ranges[one] for one in fitting if one in ranges), 0.0)


def _listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them."""
    return " or ".join(f"`{name}`" for name in names)
