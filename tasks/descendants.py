"""The processes that one has left behind in sessions of their own, where no group holds them.

They are known by a variable that each process gets from the one that started it.  That is so on
Linux, where Python has what it takes.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "MODEL_PROCESS"
"""The variable with the mark of a process, which is that of no other."""

MOST_LOOKS = 10
"""How often is looked for more at most: one that is about to end may have started another."""


def new_mark() -> str:
    """Return a mark for a process that is to be started."""
    return os.urandom(8).hex()


def end(mark: str) -> None:
    """End all processes with a mark that can be ended, at once."""
    for _ in range(MOST_LOOKS):
        found = False
        for process in _marked(f"{VARIABLE}={mark}".encode()):
            found = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        if not found:
            return


def _marked(entry: bytes) -> Iterator[int]:
    """Yield a handle of each process with this among its variables: a number may be used anew."""
    if not hasattr(os, "pidfd_open"):  # some builds of Python have it on Linux, others not
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            process = os.pidfd_open(int(name))
        except OSError:  # it has ended
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as variables:
                if entry in variables.read().split(b"\0"):
                    yield process
        except OSError:  # somebody else's, or it has ended
            pass
        finally:
            os.close(process)
