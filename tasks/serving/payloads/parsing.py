"""What all forms read: media types, and JSON whose faults become RequestErrors."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tasks.serving.arrays import RequestError

T = TypeVar("T")

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
BYTES = "application/octet-stream"  # JSON with the bytes of tensors behind it


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, form: str) -> T:
    """Return the body decoded; `form` says in the error what it should have been.

    What a decoder leaves as `msgspec.Raw` is well-formed JSON in UTF-8 all the same.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder does not look into what it leaves raw
        return decoder.decode(body)
    except RecursionError:
        raise RequestError(f"The body is nested too deep for {form}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RequestError(f"The body is not {form}: {error}") from None


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """Return the type that a header names and its parameters, all in small letters."""
    kind, *parameters = header.lower().split(";")
    pairs = (one.partition("=") for one in parameters)
    return kind.strip(), {name.strip(): value.strip(' \t"') for name, _, value in pairs}
