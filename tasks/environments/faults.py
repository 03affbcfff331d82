"""What is wrong with the lines of a `requirements.txt`, as far as a look at them tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from tasks.environments.requirements import entries, package_of
from tasks.errors import Fault, UserError
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.model import Model
    from tasks.state import State

_OF_UV = re.compile(r"://|\$\{")  # an address alone, or a variable: uv's own to read
_SINGLE = re.compile(r"(?<![=<>!~])=(?!=)")


def of_requirements(model: Model, state: State) -> Iterator[Fault]:
    """Yield a fault for each line that nothing can answer; no index is asked for the others."""
    path = f"{model.root}/{PACKAGE}/requirements.txt"
    if not state.files.exists(path):
        return
    try:
        for kind, line, source, number in entries(path, "line", state.files, []):
            try:
                known = kind == "option" or (kind == "line" and package_of(line, source, number))
            except UserError as error:
                message = f"expected the folder of a package, found none at `{line}`"
                yield Fault(source, number, "", message, error.hint)
                continue
            if not known and not _is_requirement(line):
                meant = _SINGLE.sub("==", line)
                hint = f"did you mean `{meant}`?" if _is_requirement(meant) else ""
                message = f"expected a requirement such as `numpy>=1.26`, found `{line}`"
                yield Fault(source, number, "", message, hint)
    except UserError as error:  # what is included cannot be read
        yield Fault(path, 0, "", error.headline, error.hint)


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return _OF_UV.search(line) is not None
    return True
