"""Profiles: where steps run and what is needed there, by name, in the repository's pyproject.toml.

    [tool.modelmake.profiles.cluster]
    on = "kubernetes"
    store = "s3://bucket/models"

`MODEL_PROFILE` chooses one; `default` counts where it chooses none.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.errors import Fault, UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "pyproject.toml"
VARIABLE = "MODEL_PROFILE"
DEFAULT = "default"
STORE_VARIABLE = "MODEL_STORE"
TABLE = "tool.modelmake.profiles"

PLACES = ("local", "container", "kubernetes", "dask")
"""The names of the places that steps run at, see `places`."""

IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
"""The name of an image: none that an engine could take for an option.

The schema of `model.json` has the same pattern.
"""

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_REGISTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[A-Za-z0-9._-]+)*")
_SECRET = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/[-._a-zA-Z0-9]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Rule(NamedTuple):
    """What the value of a key must be: its type, its form, and both in words."""

    kind: type[Any]
    expected: str
    form: re.Pattern[str] | None = None


KEYS: Mapping[str, _Rule] = {
    "on": _Rule(
        str, f"one of {', '.join(f'`{name}`' for name in PLACES)}", re.compile("|".join(PLACES))
    ),
    "store": _Rule(str, "an address or a folder"),
    "image": _Rule(str, "the name of an image", IMAGE),
    "registry": _Rule(
        str, "`HOST/PATH`, without a scheme before it or a slash at its end", _REGISTRY
    ),
    "namespace": _Rule(
        str, "a DNS label: small letters, digits and `-`, 63 at most", re.compile(_LABEL)
    ),
    "secrets": _Rule(dict, "`secret/key` for each variable", _SECRET),
    "variables": _Rule(dict, "a value for each variable"),
    "claim": _Rule(str, "the name of an object: small letters, digits, `-` and `.`", _NAME),
    "serviceAccount": _Rule(
        str, "the name of an object: small letters, digits, `-` and `.`", _NAME
    ),
    "wait": _Rule(int, "a whole number of seconds, not below 0"),
    "scheduler": _Rule(str, "an address such as `tcp://HOST:8786`"),
}
"""The keys that a profile may have."""


@functools.cache
def chosen() -> Mapping[str, Any]:
    """Return the profile that counts, empty where there is none; read once a process.

    Raises UserError for one that is not there, or not as it should be.
    """
    name = os.environ.get(VARIABLE, "")
    text = _text()
    profiles = _profiles(text)
    if not isinstance(profiles, Mapping):
        raise _unfit(_faults(text))
    if name and name not in profiles:
        known = ", ".join(f"`{one}`" for one in profiles) or "none"
        raise UserError(
            f"There is no profile `{name}`",
            ("profiles", known),
            hint=did_you_mean(name, profiles) or f"a table `[{TABLE}.{name}]` in {FILE} makes one",
        )
    name = name or DEFAULT
    wrong = [*_profile_faults(name, profiles.get(name, {}), text)]
    if wrong:
        raise _unfit(wrong)
    return dict(profiles.get(name, {}))


def use_store() -> None:
    """Have the store of the profile used, where the user names no other."""
    store = chosen().get("store")
    if store:
        os.environ.setdefault(STORE_VARIABLE, store)


def faults() -> list[Fault]:
    """Return what is wrong with the profiles, of whichever name."""
    try:
        return _faults(_text())
    except UserError as error:
        (_, reason), *_ = error.facts
        return [Fault(FILE, 0, "", f"it cannot be read: {reason}", error.hint)]


def _unfit(wrong: list[Fault]) -> UserError:
    first, *rest = wrong
    return UserError(
        str(first).partition("\n")[0],
        *(("", fault) for fault in rest),
        hint=first.hint or "`doit check` shows the faults of all profiles",
    )


def _text() -> str:
    """Return what pyproject.toml says, nothing where it is not there."""
    try:
        with open(FILE, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise _unreadable(error) from error


def _profiles(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """Return the table of the profiles, or what stands in its place."""
    try:
        found: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(error) from error
    for key in TABLE.split("."):
        if not isinstance(found, Mapping):
            return {}
        found = found.get(key, {})
    return found


def _unreadable(error: Exception) -> UserError:
    return UserError(f"`{FILE}` cannot be read", ("reason", error), hint="correct it: it is TOML")


def _faults(text: str) -> list[Fault]:
    profiles = _profiles(text)
    if not isinstance(profiles, Mapping):
        return [_fault(text, TABLE, f"expected a table of profiles, found `{profiles}`")]
    return [
        fault
        for name, profile in profiles.items()
        for fault in _profile_faults(name, profile, text)
    ]


def _profile_faults(name: str, profile: object, text: str) -> Iterator[Fault]:
    """Yield what is wrong with one profile."""
    place = f"{TABLE}.{name}"
    if not isinstance(profile, Mapping):
        hint = f"begin it with a line `[{place}]`"
        yield _fault(text, place, f"expected a table, found `{profile}`", hint)
        return
    for key, value in profile.items():
        way = f"{place}.{key}"
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f"known: {', '.join(KEYS)}"
            yield _fault(text, way, "this key is not known", hint)
            continue
        rule = KEYS[key]
        if rule.kind is dict and not isinstance(value, Mapping):
            yield _fault(text, way, f"expected a table: {rule.expected}")  # it may be a secret
        elif not isinstance(value, rule.kind) or isinstance(value, bool):
            yield _fault(text, way, f"expected {rule.expected}, found `{value}`")
        elif isinstance(value, dict):
            yield from _variable_faults(text, way, value, rule)
        elif (rule.form and not rule.form.fullmatch(value)) or (rule.kind is int and value < 0):
            hint = did_you_mean(value, PLACES) if key == "on" else ""
            yield _fault(text, way, f"expected {rule.expected}, found `{value}`", hint)


def _variable_faults(
    text: str, way: str, table: Mapping[str, object], rule: _Rule
) -> Iterator[Fault]:
    """Yield what is wrong with a table of variables; what a secret is to be is not shown."""
    for name, value in table.items():
        if not _VARIABLE.fullmatch(name):
            yield _fault(text, f"{way}.{name}", "expected the name of a variable")
        elif isinstance(value, (Mapping, list)):
            yield _fault(text, f"{way}.{name}", f"expected a value, found `{value}`")
        elif rule.form and not (isinstance(value, str) and rule.form.fullmatch(value)):
            hint = 'for instance `secrets = {TD_PASSWORD = "teradata/password"}`'
            yield _fault(text, f"{way}.{name}", "expected `secret/key`", hint)


def _fault(text: str, way: str, message: str, hint: str = "") -> Fault:
    return Fault(FILE, _line(text, way), way, message, hint)


def _line(text: str, way: str) -> int:
    """Return the line of a key, or else of the table around it; 0 where it is written otherwise."""
    table, lines = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = header[1].replace('"', "").replace(" ", "")
            lines.setdefault(table, number)
        elif key := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line):
            lines.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    while way and way not in lines:
        way = way.rpartition(".")[0]
    return lines.get(way, 0) if way.startswith(TABLE) else 0
