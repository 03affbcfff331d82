"""Where Linux keeps the control groups (cgroups) that this process is in, of version 1 and 2.

Version 1 has a tree of folders for each controller (`memory`, `cpu`), version 2 one for all; some
machines have both, and then each controller is in one of them.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROC = "/proc/self"


@dataclass(frozen=True)
class Tree:
    """A tree of groups that has a controller: its top folder, and the one that we are in."""

    version: int
    top: str
    own: str

    def upwards(self) -> Iterator[str]:
        """Yield our folder and those that it is in, up to the top: the limits of all hold."""
        folder = self.own
        yield folder
        while folder != self.top:
            folder = os.path.dirname(folder)
            yield folder


def tree(controller: str, proc: str = PROC) -> Tree | None:
    """Return the tree that has a controller, None where the machine has none."""
    groups: dict[str, str] = {}
    for line in text(f"{proc}/cgroup").splitlines():
        _, names, group = line.split(":", 2)
        groups |= dict.fromkeys(names.split(","), group)
    mounts = text(f"{proc}/mountinfo").splitlines()
    found = [one for line in mounts if (one := _mounted(line, controller, groups))]
    for one in sorted(found, key=lambda tree: tree.version):
        if one.version == 1 or controller in text(f"{one.own}/cgroup.controllers").split():
            return one
    return None


def _mounted(line: str, controller: str, groups: Mapping[str, str]) -> Tree | None:
    """Return the tree of a line of mountinfo, None where it has none with this controller."""
    fields, _, rest = line.partition(" - ")
    kind, *_, options = rest.split()
    if kind == "cgroup" and controller in groups and controller in options.split(","):
        version, group = 1, groups[controller]
    elif kind == "cgroup2" and "" in groups:
        version, group = 2, groups[""]
    else:
        return None
    root, top = fields.split()[3:5]
    inside = os.path.relpath(group, root)  # a container may see its own group as the top
    own = os.path.normpath(f"{top}/{inside}")
    return Tree(version, top, own if os.path.isdir(own) and inside[:2] != ".." else top)


def memory_limit(proc: str = PROC) -> float:
    """Return the bytes of memory that our groups may have; infinity where that is not limited."""
    found = tree("memory", proc)
    if found is None:
        return math.inf
    name = "memory.limit_in_bytes" if found.version == 1 else "memory.max"
    return min(map(_number, (text(f"{folder}/{name}") for folder in found.upwards())))


def cpu_limit(proc: str = PROC) -> float:
    """Return the processors that our groups may use; infinity where that is not limited."""
    found = tree("cpu", proc)
    if found is None:
        return math.inf
    return min(_processors(folder, found.version) for folder in found.upwards())


def processors(proc: str = PROC) -> float:
    """Return the processors that this process may use: those it may run on, as far as allowed."""
    return min(len(os.sched_getaffinity(0)), cpu_limit(proc))


@functools.cache
def cores() -> int:
    """Return how many threads or processes at once keep busy what there is of processors."""
    return max(1, int(processors()))


def _processors(folder: str, version: int) -> float:
    if version == 1:
        quota, period = (text(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
    else:
        quota, _, period = text(f"{folder}/cpu.max").partition(" ")
    return _number(quota) / _number(period) if _number(period) < math.inf else math.inf


def _number(found: str) -> float:
    """Return the number in a file; infinity for `max`, `-1` and a file that is not there."""
    return int(found) if found.strip().isdigit() else math.inf


def text(path: str) -> str:
    """Return what a file says, nothing where it cannot be read; names in it may be any bytes."""
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    return ""
