"""Limits of memory and processors that the kernel holds a step to: `doit --enforce`.

A step runs in control groups (cgroups) of its own, inside those that the runner is in.  They are
noted in the folder of the run, so that those of a runner that was killed can be swept away.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import cgroups
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.cgroups import Tree
    from tasks.resources import Amounts

CONTROLLERS = ("memory", "cpu")
PREFIX = "modelmake-"
NOTE = "cgroups"
PERIOD = 100_000  # microseconds, the kernel's own default
LEAST_QUOTA = 1_000  # microseconds; the kernel takes no less
CLEAR_SECONDS = 5.0

# Moves itself into groups, and becomes the step: so no child of the step can be left outside.
_ENTER = """
count=$1; shift
while [ "$count" -gt 0 ]; do
    echo $$ > "$1/cgroup.procs" || exit 126
    count=$((count - 1)); shift
done
exec "$@"
"""


_open: set[str] = set()


class Setting(NamedTuple):
    """What is written into a file of a group; some kernels lack the file where not `needed`."""

    file: str
    value: str
    needed: bool = True


@dataclass(frozen=True)
class Group:
    """The groups of a step: one of version 2, or of version 1 one for each controller."""

    folders: tuple[str, ...]

    def entering(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs another command in here."""
        return ("/bin/sh", "-c", _ENTER, "sh", str(len(self.folders)), *self.folders, *words)

    def kills(self) -> int:
        """Return how many of the processes the kernel has killed for memory."""
        names = ("memory.oom_control", "memory.events")
        said = (cgroups.text(f"{folder}/{name}") for folder in self.folders for name in names)
        return sum(
            int(n) for text in said for n in re.findall(r"^oom_kill (\d+)", text, re.MULTILINE)
        )

    def peak(self) -> int:
        """Return the most bytes that the groups had, 0 where the kernel does not say."""
        names = ("memory.max_usage_in_bytes", "memory.peak")
        said = (cgroups.text(f"{folder}/{name}") for folder in self.folders for name in names)
        return max((int(text) for text in said if text.strip().isdigit()), default=0)


@contextlib.contextmanager
def group(folder: str, name: str, limits: Amounts) -> Iterator[Group]:
    """Make groups with these limits; what is in them ends with them, however this ends.

    `folder` is that of the run.  Raises UserError where no group can be made.
    """
    trees = {controller: parent(controller) for controller in CONTROLLERS}
    paths = {controller: f"{tree.own}/{PREFIX}{name}" for controller, tree in trees.items()}
    folders = tuple(dict.fromkeys(paths.values()))
    Path(folder, NOTE).write_text("\n".join(folders), encoding="utf-8")
    _open.update(folders)
    try:
        for path in folders:
            _made(path)
        for controller, path in paths.items():
            for setting in settings(controller, trees[controller].version, limits):
                if setting.needed or os.path.exists(f"{path}/{setting.file}"):
                    _written(f"{path}/{setting.file}", setting.value)
        yield Group(folders)
    finally:
        clear(folders)
        _open.difference_update(folders)


def _made(path: str) -> None:
    try:
        os.mkdir(path)
    except OSError as error:
        raise _unusable((path, error.strerror or error)) from error


def _written(path: str, value: str) -> None:
    try:
        Path(path).write_text(value, encoding="utf-8")
    except OSError as error:
        raise _unusable((path, f"{error.strerror}: {value}")) from error


def settings(controller: str, version: int, limits: Amounts) -> list[Setting]:
    """Return what is written into the files of a group, in this order, for one controller."""
    if controller == "memory" and limits.memory:
        most = str(limits.memory)
        if version == 1:
            swap = Setting("memory.memsw.limit_in_bytes", most, needed=False)
            return [Setting("memory.limit_in_bytes", most), swap]
        return [Setting("memory.max", most), Setting("memory.swap.max", "0", needed=False)]
    if controller == "cpu" and limits.cpu:
        # a quota above that of the groups around is refused by version 1
        quota = max(LEAST_QUOTA, int(min(limits.cpu, cgroups.cpu_limit()) * PERIOD))
        if version == 1:
            period = Setting("cpu.cfs_period_us", str(PERIOD))
            return [period, Setting("cpu.cfs_quota_us", str(quota))]
        return [Setting("cpu.max", f"{quota} {PERIOD}")]
    return []


def parent(controller: str, proc: str = cgroups.PROC) -> Tree:
    """Return the tree of a controller, `own` being the folder in which we may make a group.

    Of version 1 that is the one that we are in.  Of version 2 a group with processes cannot have
    groups with limits, so it is the nearest around us that has handed the controllers on.
    Raises UserError where there is none.
    """
    tree = cgroups.tree(controller, proc)
    if tree is None:
        raise _unusable((controller, "no cgroup of this machine has this controller"))
    reasons = []
    for folder in [tree.own] if tree.version == 1 else tree.upwards():
        handed_on = cgroups.text(f"{folder}/cgroup.subtree_control").split()
        if not (os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)):
            reasons.append((folder, "cannot be written to"))
        elif tree.version > 1 and not set(CONTROLLERS).issubset(handed_on):
            reasons.append((folder, "cgroup.subtree_control lacks memory and cpu"))
        else:
            return cgroups.Tree(tree.version, tree.top, folder)
    raise _unusable(*reasons)


def check() -> None:
    """Raise UserError where steps cannot be held to limits here."""
    for controller in CONTROLLERS:
        parent(controller)


def _unusable(*reasons: tuple[str, object]) -> UserError:
    return UserError(
        "`--enforce` cannot hold steps to their limits here: the kernel gives us no cgroup",
        *reasons,
        hint="`--on container` runs the steps in containers, which have limits; on a machine with"
        " systemd, `systemd-run --user --scope -p Delegate=yes doit --enforce` may do",
    )


def clear_all() -> None:
    """Remove every group, where the threads that made them end without a word: at Ctrl-C."""
    clear(list(_open))


def sweep(folder: str) -> None:
    """Remove the groups of a run whose runner was killed."""
    clear([path for path in cgroups.text(f"{folder}/{NOTE}").split("\n") if path])


def clear(folders: Sequence[str]) -> None:
    """End what is left in groups of ours, and remove them; another thread may do so too."""
    deadline = time.monotonic() + CLEAR_SECONDS
    for folder in folders:
        if not os.path.basename(folder).startswith(PREFIX):
            continue
        while os.path.isdir(folder) and time.monotonic() < deadline:
            for pid in cgroups.text(f"{folder}/cgroup.procs").split():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                os.rmdir(folder)
            except OSError:  # what was killed is still ending
                time.sleep(0.01)
