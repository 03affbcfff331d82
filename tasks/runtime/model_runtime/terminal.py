"""A terminal for a model's process, which otherwise has none: there it can be debugged.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import bdb
import os
import pdb  # noqa: T100 - that is what it is for
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def take(path: str) -> None:
    """Read from this terminal, and print to it, from now on; the log says so."""
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    sys.stdout.write("the step has the terminal: what it prints is in no log\n")
    sys.stdout.flush()
    for stream in range(3):
        os.dup2(terminal, stream)
    os.close(terminal)


def look_at(error: BaseException) -> None:
    """Have a person look at where an error was raised, with pdb; not where they have left that."""
    trace = error.__traceback__
    while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(HERE):
        trace = trace.tb_next  # down to the model's own frames
    if trace and isinstance(error, Exception) and not isinstance(error, bdb.BdbQuit):
        pdb.post_mortem(trace)
