"""Be the driver of a step on a machine of a cluster, in the step's own folder there.

    python on_cluster.py WORK RUN_STEP REQUEST RESULT

WORK is the step's folder, RUN_STEP is run_step.py, the others are its arguments.  All of them are
at these paths on the machine where the step was submitted, and here.  The folder is taken away
when whoever submitted the step does not wait for it any more: this process ends then.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import os
import runpy
import socket
import sys
import threading
import time
from typing import List

LOOK_SECONDS = 5.0


def main(paths: List[str]) -> None:
    """Run the step where its files are."""
    work, program, request, _ = paths
    for path in (work, program, request):
        if not os.path.exists(path):
            sys.exit(
                f"{socket.gethostname()} has no {path}: a driver on a cluster needs the folder of"
                " the repository at the path where the step was submitted"
            )
    os.chdir(work)
    threading.Thread(target=watch, args=(request,), daemon=True).start()
    sys.argv = [program, *paths[2:]]
    sys.path[0] = os.path.dirname(program)
    runpy.run_path(program, run_name="__main__")


def watch(request: str) -> None:
    """End this process, and its application with it, when nobody waits for the result."""
    while os.path.exists(request):
        time.sleep(LOOK_SECONDS)
    sys.stderr.write(f"{request} is gone: nobody waits for the result\n")
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
