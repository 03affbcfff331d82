"""The bill of materials of an image: every package in it, in CycloneDX's JSON."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from tasks.images import parts

if TYPE_CHECKING:
    from tasks.serving.released import Release

VERSION = "1.5"


def written(release: Release, base: str) -> bytes:
    """Return the bill of a release: the same bytes for the same packages.

    `base` is the image that it stands on, whose own packages are not listed.
    """
    environment = release.environment
    python = environment.interpreter
    listed = [
        *(
            _package(name, version, "model")
            for name, version in sorted(environment.packages().items())
        ),
        *(
            _package(name, one.version, "runner")
            for name, one in parts.distributions(parts.PROJECT).items()
        ),
        {
            "type": "platform",
            "bom-ref": "python",
            "name": python.implementation,
            "version": python.version,
        },
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'modelmake:{release.key}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": release.name,
                "version": release.version,
                "properties": [
                    {"name": "modelmake:key", "value": release.key},
                    {"name": "modelmake:lock", "value": release.lock},
                    {"name": "modelmake:base", "value": base},
                ],
            }
        },
        "components": listed,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _package(name: str, version: str, whose: str) -> dict[str, object]:
    number, _, origin = version.partition(" from ")
    # A package of the repository itself is in no index.
    known = {"description": f"from {origin}"} if origin else {"purl": f"pkg:pypi/{name}@{number}"}
    return {
        "type": "library",
        "bom-ref": f"{whose}/{name}",
        "name": name,
        "version": number,
        **known,
        "properties": [{"name": "modelmake:environment", "value": whose}],
    }
