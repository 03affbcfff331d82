"""What the tests of crashes share: to find processes, to wait for them and to kill them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.assertions import wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Repository

PATIENCE_SECONDS = 30


def processes_of(*folders: Path) -> dict[int, str]:
    """Return the processes that have one of the folders in their command line, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if entry.name.isdigit() and any(str(folder) in line for folder in folders):
                found[int(entry.name)] = line
    found.pop(os.getpid(), None)
    return found


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def family_of(pid: int) -> list[int]:
    """Return a process and all that it started, and those, that are there now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry.name))
    found = [pid]
    for one in found:  # which grows meanwhile
        found += children.get(one, [])
    return found


def kill_doit(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill doit alone."""
    del repository
    kill(process.pid)


def kill_models(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill the models that run, once there is one."""
    runs = repository.path / "build/runs"
    wait_until(lambda: bool(processes_of(runs)) or process.poll() is not None)
    for pid in processes_of(runs):
        kill(pid)


def kill_both(process: subprocess.Popen[str], repository: Repository) -> None:
    """Kill doit's whole process group, then the models, which have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in processes_of(repository.path / "build/runs"):
        kill(pid)


VICTIMS = {"doit": kill_doit, "model": kill_models, "both": kill_both}
