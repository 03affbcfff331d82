"""Profiles: where steps run and what is needed there, by name, in the repository's pyproject.toml.

    [tool.modelmake.profiles.cluster]
    on = "kubernetes"
    store = "s3://bucket/models"

`MODEL_PROFILE` chooses one; `default` counts where it chooses none.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "pyproject.toml"
VARIABLE = "MODEL_PROFILE"
DEFAULT = "default"
STORE_VARIABLE = "MODEL_STORE"

KEYS: Mapping[str, type] = {
    "on": str,
    "store": str,
    "image": str,
    "registry": str,
    "namespace": str,
    "secrets": dict,
    "variables": dict,
    "claim": str,
    "serviceAccount": str,
    "wait": int,
    "scheduler": str,
}
"""The keys that a profile may have, each with the type of its value."""


@functools.cache
def chosen() -> Mapping[str, Any]:
    """Return the profile that counts, empty where there is none; read once a process.

    Raises UserError for one that is not there, or not as it should be.
    """
    name = os.environ.get(VARIABLE, "")
    profiles = _profiles()
    if name and name not in profiles:
        known = ", ".join(f"`{one}`" for one in profiles) or "none"
        raise UserError(
            f"There is no profile `{name}`",
            ("profiles", known),
            hint=did_you_mean(name, profiles)
            or f"a table `[tool.modelmake.profiles.{name}]` in {FILE} makes one",
        )
    name = name or DEFAULT
    profile = profiles.get(name, {})
    for key, value in profile.items() if isinstance(profile, dict) else [("", profile)]:
        _check(name, key, value)
    return dict(profile)


def use_store() -> None:
    """Have the store of the profile used, where the user names no other."""
    store = chosen().get("store")
    if store:
        os.environ.setdefault(STORE_VARIABLE, store)


def _profiles() -> dict[str, Any]:
    try:
        with open(FILE, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"`{FILE}` cannot be read", ("reason", error)) from error
    tool = document.get("tool", {})
    found = tool.get("modelmake", {}).get("profiles", {}) if isinstance(tool, dict) else {}
    return found if isinstance(found, dict) else {}


def _check(name: str, key: str, value: object) -> None:
    """Raise UserError for a key that a profile cannot have, or a value that it cannot."""
    place = f"tool.modelmake.profiles.{name}"
    if key not in KEYS:
        raise UserError(
            f"`{FILE}`: `{place}.{key}` is not known"
            if key
            else f"`{FILE}`: `{place}` is no table",
            ("known", ", ".join(KEYS)),
            hint=did_you_mean(key, KEYS),
        )
    if not isinstance(value, KEYS[key]):
        kind = {str: "a string", dict: "a table", int: "a whole number"}[KEYS[key]]
        raise UserError(f"`{FILE}`: `{place}.{key}` is {kind}, not `{value}`")
