"""What old releases say wrongly of themselves, or not at all: put right here.

Only what was seen to fail is listed, each with what it says.  Nothing here touches a release that
is right as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STANDS_FOR = {"pil": "Pillow", "pytorch": "torch", "sklearn": "scikit-learn"}
"""Names on the index that are dead, and what they stand for; a version of theirs means nothing."""

BUILT_WITH = ("pypandoc<1.8",)
"""Limits on what packages are built with: PySpark 2 calls what newer ones have no more."""

SETUPTOOLS = "setuptools<82; python_version < '3.12'"
"""What every environment had before Python 3.12, with the module `pkg_resources`."""

_RUNS_ON = {"pyspark": ("<3", "<3.8")}  # which releases, and the Pythons that they do not name

# What these releases ask for is no version (`pytz>=2011k`): so a resolver refuses them.
_PANDAS = {
    ("numpy>=1.7.0", "python-dateutil>=2"): "0.19.2 0.20.1 0.20.2 0.20.3",
    ("numpy>=1.9.0", "python-dateutil>=2"): "0.21.0 0.21.1 0.22.0",
    ("numpy>=1.9.0", "python-dateutil>=2.5.0"): "0.23.0 0.23.1 0.23.2 0.23.3 0.23.4",
    ("numpy>=1.12.0", "python-dateutil>=2.5.0"): "0.24.0 0.24.1 0.24.2",
}
_REQUIRES = {
    version: [*others, "pytz>=2011"]
    for others, versions in _PANDAS.items()
    for version in versions.split()
}
_NAME = re.compile(r"([\w.-]+)[^;@]*(;.*)?")


def normal(name: str) -> str:
    """Return a package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def configuration() -> str:
    """Return a configuration for uv that has the requirements of these releases."""
    return "".join(
        f'[[dependency-metadata]]\nname = "pandas"\nversion = "{version}"\n'
        f"requires-dist = {requires}\n\n"
        for version, requires in _REQUIRES.items()
    )


def renamed(line: str) -> str:
    """Return a requirement with the living name of its package, itself where that is its own."""
    found = _NAME.fullmatch(line)
    name = normal(found[1]) if found else ""
    return f"{STANDS_FOR[name]}{found[2] or ''}" if found and name in STANDS_FOR else line


def cannot_run(lines: Iterable[str], python: str) -> str:
    """Return which pinned release does not run on this version of Python, or nothing."""
    from packaging.requirements import (  # noqa: PLC0415 - slow to import, seldom needed
        InvalidRequirement,
        Requirement,
    )
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - as above

    for line in lines:
        try:
            wish = Requirement(line)
        except InvalidRequirement:
            continue
        releases, pythons = _RUNS_ON.get(wish.name.lower(), ("", ""))
        pins = [one.version for one in wish.specifier if one.operator == "=="]
        old = releases and any(pin.split(".*")[0] in SpecifierSet(releases) for pin in pins)
        if old and python not in SpecifierSet(pythons):
            return f"{line} runs on Python {pythons} alone, which it does not say"
    return ""


def applied(versions: Mapping[str, str], lines: Iterable[str]) -> list[str]:
    """Return a sentence for each correction that the pins of a lock came about with.

    `versions` are the pinned ones by package; `lines` are those that were added to the model's own.
    """
    found = []
    if versions.get("pandas") in _REQUIRES:
        asked = f"pandas {versions['pandas']} asks for pytz>=2011k, which is no version"
        found.append(f"{asked}: pytz>=2011 is meant")
    if versions.get("pyspark", "").startswith(("1.", "2.")):
        found.append(f"pyspark {versions['pyspark']} is built with {', '.join(BUILT_WITH)}")
    if SETUPTOOLS in lines:
        found.append("setuptools is added: every environment had it before Python 3.12")
    return found
