"""Which steps run at once: never more than this machine has memory and processors for.

A step is let in by what it asks for, in the order in which steps come, so that a large one is not
passed by small ones for ever.  It is one process that counts here.  Of others on the machine,
another doit among them, the memory that they use is seen, not what they ask for.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tasks import cgroups, processes, resources
from tasks.resources import Amounts, cpu_text, memory_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.plan import Step
    from tasks.progress import Activity

LOOK_SECONDS = 0.5
ROUNDING = 1e-6  # sums of tenths of processors are not exact


@contextlib.contextmanager
def admitted(step: Step, activity: Activity) -> Iterator[None]:
    """Wait until there is room for what a step asks for, and keep it for the step."""
    asked = resources.of(step.model, step.name).requests
    with _making:  # or the first two steps, in their threads, would have a gate each
        gate = _gate()
    with gate.admitted(asked, activity):
        yield


_making = threading.Lock()


@functools.cache
def _gate() -> Gate:
    return Gate(machine(), lambda: _meminfo("MemAvailable"))


def machine(proc: str = cgroups.PROC) -> Amounts:
    """Return what there is for steps: what the machine has, as far as this process may use it."""
    return Amounts(
        cgroups.processors(proc), int(min(_meminfo("MemTotal"), cgroups.memory_limit(proc)))
    )


def _meminfo(name: str) -> int:
    for line in cgroups.text("/proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/meminfo says nothing of {name}")


class Gate:
    """Lets steps in: `whole` is what there is for all of them, `free` says what memory is free."""

    def __init__(self, whole: Amounts, free: Callable[[], int]) -> None:
        """Begin with nothing that runs."""
        self._whole = whole
        self._free = free
        self._waiting: deque[object] = deque()
        self._running: dict[object, tuple[float, int]] = {}
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def admitted(self, asked: Amounts, activity: Activity) -> Iterator[None]:
        """Wait until what is asked for is there, and keep it until the end."""
        cpu, memory = asked.cpu or 0, asked.memory or 0
        if excess := self._excess(cpu, memory):
            activity.alerts.append(f"it asks for {excess}: it runs alone")
            cpu, memory = self._whole.cpu or 0, self._whole.memory or 0
        cpu = min(cpu, self._whole.cpu or 0)
        ticket, came = object(), time.monotonic()
        with self._changed:
            self._waiting.append(ticket)
            while (lacking := self._lacking(ticket, cpu, memory)) and not processes.stopping():
                activity.say(f"waiting for {lacking}")
                self._changed.wait(LOOK_SECONDS)
            activity.waited += time.monotonic() - came
            self._waiting.remove(ticket)
            self._running[ticket] = cpu, memory
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                del self._running[ticket]
                self._changed.notify_all()

    def _excess(self, cpu: float, memory: int) -> str:
        """Return what is more than the machine has, nothing where it is not."""
        most_cpu, most_memory = self._whole.cpu or 0, self._whole.memory or 0
        parts = []
        if memory > most_memory:
            there = f"of which there are {memory_text(most_memory)} here"
            parts.append(f"{memory_text(memory)} of memory, {there}")
        if cpu > max(1, most_cpu) + ROUNDING:  # what a step asks for of which nothing is said
            parts.append(
                f"{cpu_text(cpu)} processors, of which there are {cpu_text(most_cpu)} here"
            )
        return ", and ".join(parts)

    def _lacking(self, ticket: object, cpu: float, memory: int) -> str:
        """Return what a step has to wait for, nothing where it can run.

        A step that would run alone need not wait for memory that others than steps of ours use.
        """
        if not self._running and self._waiting[0] is ticket:
            return ""
        used = [sum(column) for column in zip((0.0, 0), *self._running.values(), strict=True)]
        too_much = used[1] + memory > (self._whole.memory or 0) or memory > self._free()
        lacking = ["memory"] if too_much else []
        if used[0] + cpu > (self._whole.cpu or 0) + ROUNDING:
            lacking.append("processors")
        if self._waiting[0] is ticket:
            return " and ".join(lacking)
        return " and ".join(lacking) or "the steps before it"
