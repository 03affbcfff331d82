"""Become another program, one that dies with the runner.

    python start.py PARENT PROGRAM [ARGUMENT ...]

PARENT is the process id of the runner.  What is asked of the kernel here holds for the program
that takes this process's place: Spark's scripts, and the Java that these become in turn.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import os
import sys

from model_runtime.parent import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted
