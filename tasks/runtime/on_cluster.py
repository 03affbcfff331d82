"""Be the driver of a step on a machine of a cluster, in the step's own folder there.

    python on_cluster.py WORK RUN_STEP REQUEST RESULT OUTPUT

WORK is the step's folder, RUN_STEP is run_step.py, with its two arguments; what the model prints
goes into the file OUTPUT.  All of them are at these paths on the machine where the step was
submitted, and here.  The folder is taken away when whoever submitted the step does not wait for it
any more: this process ends then.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import json
import os
import re
import runpy
import socket
import sys
import threading
import time
from typing import List

LOOK_SECONDS = 2.0

_OF_SPARK = re.compile(r"(pyspark|py4j-.*)\.zip$")


def main(paths: List[str]) -> None:
    """Run the step where its files are."""
    work, program, request, result, output = paths
    for path in (work, program, request):
        if not os.path.exists(path):
            sys.exit(
                f"{socket.gethostname()} has no {path}: a driver on a cluster needs the folder of"
                " the repository at the path where the step was submitted"
            )
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(printed, stream)
    threading.Thread(target=watch, args=(request,), daemon=True).start()
    sys.path[0] = os.path.dirname(program)
    sys.argv = [program, trusting_spark(request), result]
    os.chdir(work)
    runpy.run_path(program, run_name="__main__")


def trusting_spark(path: str) -> str:
    """Write the request once more, with Spark where it is on this machine; return its path."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    archives = [os.path.abspath(p) for p in sys.path if _OF_SPARK.match(os.path.basename(p))]
    home = os.environ.get("SPARK_HOME")
    request["trusted"] += archives + ([home] if home else [])
    with open(path + ".there", "w", encoding="utf-8") as file:
        json.dump(request, file)
    return path + ".there"


def watch(request: str) -> None:
    """End this process, and its application with it, when nobody waits for the result."""
    while os.path.exists(request):
        time.sleep(LOOK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
