"""What is known of a Kubernetes cluster here: the profile's settings, and names that fit there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks import profiles
from tasks.containers import IMAGES, RUNNER
from tasks.errors import UserError, without_password
from tasks.plan import file_name
from tasks.shared import SECRET_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_NAME = 40
"""Behind it there is room for a step and a key: a name has 63 letters at most."""

WAIT_SECONDS = 1800
"""How long a pod may wait for a machine, where the profile does not say."""

_HASH_DIGITS = 10
_DIGESTED = re.compile(f"-[0-9a-f]{{{_HASH_DIGITS}}}$")


@dataclass(frozen=True)
class Settings:
    """What a profile says of a cluster, and where the store is.

    `secrets` are the variables of pods that secrets hold, each as `secret/key`; `claim` names the
    volume that is mounted where the store is, if that is a folder; `account` is whom pods run as;
    `variables` are further ones of theirs; `wait` is for how many seconds one may not run yet.
    """

    namespace: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    claim: str = ""
    account: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    wait: int = WAIT_SECONDS


def settings(profile: Mapping[str, Any], store: str = "", namespace: str = "") -> Settings:
    """Return the settings of a profile.

    Raises UserError for a store that pods could not reach, or whose password would be seen.
    """
    found = Settings(
        namespace or profile.get("namespace", ""),
        profile.get("secrets", {}),
        store.removeprefix("file://"),
        profile.get("claim", ""),
        profile.get("serviceAccount", ""),
        profile.get("variables", {}),
        profile.get("wait", WAIT_SECONDS),
    )
    if os.path.isabs(found.store) and not found.claim:
        raise UserError(
            "The store is a folder, which no pod can see",
            ("store", store),
            hint="name the claim of a volume that has this folder, `claim` of the profile, or use"
            " a store such as `s3://bucket/models`",
        )
    if without_password(store) != store and profiles.STORE_VARIABLE not in found.secrets:
        raise UserError(
            "The store's address has a password, which everybody could read in a manifest",
            ("store", without_password(store)),
            hint="put the address into a secret of the cluster: `secrets = {MODEL_STORE ="
            ' "store/address"}` in the profile',
        )
    if store and SECRET_VARIABLE in os.environ and SECRET_VARIABLE not in found.secrets:
        raise UserError(
            f"Pods would not have `{SECRET_VARIABLE}`, with which results in the store are signed",
            hint=f"put it into a secret of the cluster: `secrets = {{{SECRET_VARIABLE} ="
            ' "store/key"}` in the profile',
        )
    return found


def image_of(name: str, profile: Mapping[str, Any]) -> str:
    """Return what a cluster knows an image as: the one of a model, or the runner.

    It is the one that was built last here.
    """
    registry = str(profile.get("registry", "")).rstrip("/")
    tag = _built(name) or f"modelmake/{name if name == RUNNER else base_name(name)}:latest"
    return f"{registry}/{tag}" if registry else tag


def unbuilt(names: Iterable[str]) -> str:
    """Return what is to be told of images that were not built here, nothing where all were."""
    commands = [f"`doit image:{name}`" for name in names if not _built(name)]
    which = "an image is" if len(commands) == 1 else "images are"
    return f"{which} not built here yet: {' and '.join(commands)}" if commands else ""


def _built(name: str) -> str:
    """Return what the image of a model, or the runner, was called when it was last built here."""
    try:
        with open(f"{IMAGES}/{file_name(name)}/image.json", encoding="utf-8") as file:
            return str(json.load(file)["tags"][0])
    except (FileNotFoundError, ValueError):  # the last: one of which only a part was written
        return ""


def base_name(model: str) -> str:
    """Return the name of a model's objects: a DNS label, and no two models share one.

    A model's own name where it can be, else what is left of it with a digest.
    """
    plain = re.sub("[^a-z0-9]+", "-", model.lower()).strip("-")
    fits = plain == model and plain[0].isalpha() and len(plain) <= LONGEST_NAME
    if fits and not _DIGESTED.search(plain):
        return plain
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    stem = plain if plain[:1].isalpha() else f"model-{plain}"
    return f"{stem[: LONGEST_NAME - _HASH_DIGITS - 1].strip('-')}-{digest}"
