"""Secrets are hidden in what is kept: passwords and tokens that are given as variables."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHORTEST_SECRET = 4  # bytes; a shorter one would be found by chance in everything
HIDDEN = b"***"

_SECRET_NAME = re.compile("(?:PASSWORD|PASSWD|SECRET|TOKEN)(?![A-Z])")


class Redacted:
    """Writes on what it is given, secrets hidden, also those that come in pieces."""

    def __init__(self, write: Callable[[bytes], object], hidden: tuple[bytes, ...]) -> None:
        self._write = write
        self._secrets = hidden
        self._pattern = re.compile(b"|".join(map(re.escape, hidden)))
        self._held = b""

    def write(self, data: bytes) -> None:
        """Write all but an end that may be the beginning of a secret."""
        if not self._secrets:
            self._write(data)
            return
        data = self._held + data
        open_end = self._open_end(data)
        parts, at = [], 0
        for found in self._pattern.finditer(data):
            if found.start() >= open_end:
                break
            parts += [data[at : found.start()], HIDDEN]
            at = found.end()
        open_end = max(open_end, at)
        self._held = data[open_end:]
        self._write(b"".join([*parts, data[at:open_end]]))

    def finish(self) -> None:
        """Write what was held back: nothing more comes."""
        if self._held:
            self._write(self._pattern.sub(HIDDEN, self._held))

    def _open_end(self, data: bytes) -> int:
        """Return where the longest end that is the beginning of a secret starts."""
        first = len(data)
        for secret in self._secrets:
            at = data.find(secret[:1], max(0, len(data) - len(secret) + 1))
            while 0 <= at < first:
                if secret.startswith(data[at:]):
                    first = at
                at = data.find(secret[:1], at + 1)
        return first


def secrets(variables: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the values of variables that are named as passwords, tokens or secrets are."""
    values = {os.fsencode(value) for name, value in variables.items() if _SECRET_NAME.search(name)}
    return tuple(sorted((v for v in values if len(v) >= SHORTEST_SECRET), key=len, reverse=True))


def redact(text: str, variables: Mapping[str, str]) -> str:
    """Return a text, or the text of a JSON file, without the values of secret variables."""
    for form in _forms(variables):
        text = text.replace(os.fsdecode(form), HIDDEN.decode())
    return text


def redact_value(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON is any value
    """Return a value of JSON without the values of secret variables in its texts; keys stay."""
    if isinstance(value, str):
        return redact(value, variables)
    if isinstance(value, list):
        return [redact_value(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: redact_value(item, variables) for key, item in value.items()}
    return value


def redact_files(folder: str, variables: Mapping[str, str], spare: str) -> None:
    """Take the values of secret variables out of all files of a folder, whatever wrote them.

    Not out of what is compressed or encoded.  `spare` is where a file is that is not whole yet, on
    the same file system.
    """
    hidden = _forms(variables)
    paths = [f"{top}/{name}" for top, _, names in os.walk(folder) for name in names if hidden]
    for path in paths:
        if not os.path.isfile(path) or os.path.islink(path):
            continue
        with open(path, "rb") as source, open(spare, "wb") as target:
            redacted = Redacted(target.write, hidden)
            while data := source.read(1 << 20):
                redacted.write(data)
            redacted.finish()
        os.replace(spare, path)


def _forms(variables: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the values of secret variables as they are, and as they stand in JSON."""
    values = secrets(variables)
    escaped = (os.fsencode(json.dumps(os.fsdecode(value))[1:-1]) for value in values)
    return tuple(sorted({*values, *escaped}, key=len, reverse=True))
