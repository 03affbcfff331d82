"""Looks after the executors of a Spark standalone cluster, for which Spark itself would wait.

Spark waits without an end where all workers are lost, and where the cluster's Spark is another
than the driver's, whose tasks its executors cannot read.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import contextlib
import re
import sys
import threading
import time
import urllib.request
from typing import Any, List, Optional

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
WAIT = "spark.modelmake.executorsWait"
"""The property with the seconds for which a job goes on without any executor."""
WAIT_SECONDS = 60.0

LOG = "logs/spark-driver.log"
"""Where Spark's driver logs, from the step's working directory."""

_END = re.compile(r"Application has been killed\. Reason: (.*)")
_VERSION = re.compile(r'class="version"[^>]*>\s*([\d.]+)')


class Watch(threading.Thread):
    """Has Spark give up its jobs where they can never end; `reason` says why, empty till then."""

    def __init__(self) -> None:
        """Look at whatever session the model makes."""
        super().__init__(name="executors", daemon=True)
        self.reason = ""
        self._met = False  # whether there were executors
        self._since: Optional[float] = None  # when a job began to be without any

    def run(self) -> None:
        """Look once a second."""
        while True:
            time.sleep(LOOK_SECONDS)
            with contextlib.suppress(Exception):  # the session may end at any time
                self._look(sys.modules["pyspark"].SparkContext._active_spark_context)  # noqa: SLF001

    def _look(self, context: Any) -> None:
        if context is None or not context.master.startswith("spark://"):
            return
        count = len(scala(context).statusTracker().getExecutorInfos()) - 1  # the driver's own
        if count and not self._met:
            self._met = True
            theirs = next(filter(None, map(version_at, worker_pages(context))), "")
            self._tell(strange(theirs, context.version))
        busy = bool(context.statusTracker().getActiveJobsIds())
        if count or not (self._met and busy):
            self._since = None
        else:
            self._since = self._since or time.monotonic()
            wait = float(context.getConf().get(WAIT, str(WAIT_SECONDS)))
            if time.monotonic() - self._since >= wait:
                self._tell(f"the cluster has lost all executors, and given no other for {wait:g} s")
        if self.reason and busy:
            context.cancelAllJobs()

    def _tell(self, reason: str) -> None:
        if reason and not self.reason:
            self.reason = reason
            sys.stderr.write(f"Spark's jobs are given up: {reason}\n")
            sys.stderr.flush()


def given_up() -> str:
    """Return why Spark has given up its application, empty where it has not."""
    with contextlib.suppress(OSError), open(LOG, encoding="utf-8", errors="replace") as file:
        told = _END.search(file.read())
        if told:
            return (
                f"Spark has given up the cluster: {told.group(1)}"
                " Its master is to run, and to be of this step's version of Spark"
            )
    return ""


def scala(context: Any) -> Any:
    """Return what a context stands for, which knows more than PySpark hands on."""
    return context._jsc.sc()  # noqa: SLF001


def strange(theirs: str, ours: str) -> str:
    """Return what is wrong with the version of the cluster's Spark, empty where nothing is."""
    if not theirs or theirs.split(".")[:2] == ours.split(".")[:2]:
        return ""
    return (
        f"the cluster has Spark {theirs}, this step Spark {ours}: its requirements are to name that"
        " of the cluster, or SPARK_HOME a folder with it"
    )


def worker_pages(context: Any) -> List[str]:
    """Return the address of the page of each worker with an executor."""
    found = []
    listed = scala(context).statusStore().executorList(True)  # noqa: FBT003 - that is Java's
    for place in range(listed.size()):
        log = listed.apply(place).executorLogs().get("stderr")
        if log.isDefined():
            found.append(log.get().partition("logPage")[0])
    return found


def version_at(page: str) -> str:
    """Return the version that a page of Spark tells, empty where it does not."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, ValueError):
        with direct.open(page, timeout=ANSWER_SECONDS) as answer:
            told = _VERSION.search(answer.read().decode("utf-8", "replace"))
        return told.group(1) if told else ""
    return ""
