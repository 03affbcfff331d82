"""The tie to the process that started this one.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int = 0) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere nothing happens.

    `parent` is the process id that the parent must have: if it is another one by now, the parent
    is gone.  0 stands for whoever it is.
    """
    parent = parent or os.getppid()
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the runner is gone")
