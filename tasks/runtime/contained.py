"""The first process of a container: it starts a step's program and ends with the runner.

    python contained.py HELD USAGE PROGRAM [ARGUMENT ...]

HELD is a file whose lock the runner holds for as long as the run goes on.  The kernel lets go of it
when the runner dies, however it dies; this process gets it then and ends, and with the first
process of a container all others in it end.  Engines do not do that: a container goes on when the
program that has started it is killed.  SIGTERM is handed on, and ends the rest soon after.

USAGE is written at the end, a JSON file:

    peak_memory   bytes at most that the container had (with files in memory); where the kernel does
                  not tell, those of its largest process
    cpu_seconds   of all its processes
    memory_limit  bytes that it may have, null for no limit
    out_of_memory whether the kernel killed a process for that
    status        of the program, negative: the number of the signal that ended it

Exit status: that of the program, 128 + the number of the signal that ended it; 127 where there is
no such program.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import fcntl
import json
import os
import resource
import signal
import sys
import threading
from typing import Any, Dict, List, Optional

END_SECONDS = 3.0
"""How long a program may take to end after SIGTERM; the runner's patience is a bit more."""

UNLIMITED = 1 << 60

V2 = "/sys/fs/cgroup/"
V1 = "/sys/fs/cgroup/memory/"


def main(words: List[str]) -> int:
    """Run the program and return its exit status."""
    held, usage, program = words[0], words[1], words[2:]
    child = os.fork()
    if not child:
        try:
            os.execv(program[0], program)  # noqa: S606 - no shell is wanted
        except OSError as error:
            sys.stderr.write("%s: %s\n" % (program[0], error.strerror))  # noqa: UP031
            sys.stderr.flush()
        os._exit(127)
    threading.Thread(target=end_with_runner, args=(held,), daemon=True).start()

    def end(number: int, _frame: Any) -> None:
        timer = threading.Timer(END_SECONDS, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()
        os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    status = wait_for(child)
    with open(usage, "w", encoding="utf-8") as file:
        json.dump(dict(used(), status=status), file)
    return status if status >= 0 else 128 - status


def end_with_runner(held: str) -> None:
    """End, and so the container, when the lock can be had."""
    with open(held, "r+", encoding="utf-8") as file:  # NFS locks only what can be written to
        fcntl.flock(file, fcntl.LOCK_EX)
        os._exit(128 + signal.SIGKILL)


def wait_for(child: int) -> int:
    """Return the exit status of a process, negative: the signal that ended it.

    Others that have lost their parent are reaped.
    """
    while True:
        ended, status = os.wait()
        if ended == child:
            if os.WIFSIGNALED(status):
                return -os.WTERMSIG(status)
            return os.WEXITSTATUS(status)


def used() -> Dict[str, Any]:
    """Return what the container has used, from the files of its control group."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    limit = number_in(V2 + "memory.max") or number_in(V1 + "memory.limit_in_bytes")
    peak = number_in(V2 + "memory.peak") or number_in(V1 + "memory.max_usage_in_bytes")
    return {
        "peak_memory": peak or of_children.ru_maxrss * 1024,  # Linux tells it from 5.19 on
        "cpu_seconds": round(of_children.ru_utime + of_children.ru_stime, 3),
        "memory_limit": limit if limit and limit < UNLIMITED else None,
        "out_of_memory": bool(
            number_in(V2 + "memory.events", "oom_kill")
            or number_in(V1 + "memory.oom_control", "oom_kill")
        ),
    }


def number_in(path: str, name: str = "") -> Optional[int]:
    """Return the number in a file, behind a name where one is given; None without it."""
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    for line in lines:
        if line[:-1] == ([name] if name else []) and line[-1:] and line[-1].isdigit():
            return int(line[-1])
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
