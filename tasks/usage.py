"""What the processes of a step use: their memory at its highest, and their processor seconds.

They are looked at a few times a second in /proc; where there is none, what the kernel tells of a
process at its end has to do.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import resource

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024  # the unit of ru_maxrss and of the files in /proc

PATIENCE = 50
"""After a look at shared pages, so many times as long as it took passes until the next one.

Linux walks over every page for it: 0.15 s for each GiB.
"""

ROUGH = 32 << 20
"""Bytes by which the kernel's highest of the runner and of a process forked from it may differ.

Each processor counts pages by itself for a while (lib/percpu_counter.c).
"""


@dataclass(frozen=True)
class Usage:
    """The most bytes of memory that all processes of a step had together, and their CPU time."""

    peak_memory: int
    cpu_seconds: float


class _Seen(NamedTuple):
    session: int
    ticks: int
    resident: int


class Meter:
    """Measures a process that leads a session, and all that is in the session with it."""

    def __init__(self, leader: int) -> None:
        """Begin; what the runner itself has had at most is remembered, see `end`."""
        self._leader = leader
        self._known: set[int] = set()
        self._members: set[int] = set()
        self._peak = self._ticks = 0
        self._shared, self._sharing, self._next = 0, set[int](), 0.0
        self._ours = _kilobytes("/proc/self/status", b"VmHWM:")

    def look(self) -> None:
        """See what the processes use now; to be called before the leader is waited for, too."""
        with contextlib.suppress(OSError):
            there = {int(name) for name in os.listdir("/proc") if name.isdigit()}
            found = {pid: _stat(pid) for pid in (there - self._known) | (self._members & there)}
            seen = {pid: one for pid, one in found.items() if one and one.session == self._leader}
            self._known, self._members = there, set(seen)
            # what a process has waited for is in its own ticks; a leader that has ended has them
            self._ticks = max(self._ticks, sum(one.ticks for one in seen.values()))
            alive = {pid: one.resident for pid, one in seen.items() if one.resident}
            self._peak = max(self._peak, self._memory(alive))

    def _memory(self, resident: dict[int, int]) -> int:
        """Return the bytes that some processes have together; what they share counts once.

        Shared pages are looked at only where that could make a new peak.  Until it is time for
        that again, processes are taken to share what they did: what they write to, they share
        less of.  Of others than those nothing is told until then.
        """
        total = sum(resident.values())
        if len(resident) == 1:
            return max(total, *(_kilobytes(f"/proc/{pid}/status", b"VmHWM:") for pid in resident))
        if total <= self._peak:
            return total
        if time.monotonic() >= self._next:
            began = time.thread_time()
            # A process forked meanwhile takes its part of what they share, so that their shares are
            # too little; yet together they have no less than the largest.
            known = max(sum(map(_share, resident)), *resident.values())
            self._next = time.monotonic() + PATIENCE * (time.thread_time() - began)
            self._shared, self._sharing = max(0, total - known), set(resident)
            return known
        return total - self._shared if self._sharing == set(resident) else 0

    def end(self, waited: resource.struct_rusage | None) -> Usage:
        """Return what was used; `waited` is what the kernel told at the leader's end.

        Its peak is of one process, and begins with that of the runner, from which it was forked.
        """
        peak, seconds = self._peak, self._ticks / TICKS
        if waited:
            seconds = max(seconds, waited.ru_utime + waited.ru_stime)
            highest = waited.ru_maxrss * KIB
            own = highest > self._ours + ROUGH
            peak = max(peak, highest) if own or not peak else peak
        return Usage(peak, round(seconds, 3))


def _stat(pid: int) -> _Seen | None:
    """Return the session, the clock ticks and the resident bytes of a process, None without it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Seen(int(fields[3]), sum(map(int, fields[11:15])), int(fields[21]) * PAGE)


def _share(pid: int) -> int:
    """Return the bytes of a process, of what it shares with others its part.

    That is all it has where another user's may not be looked at, and none once it has ended.
    """
    share = _kilobytes(f"/proc/{pid}/smaps_rollup", b"Pss:")
    one = None if share else _stat(pid)
    return one.resident if one else share


def _kilobytes(path: str, name: bytes) -> int:
    """Return a number of a file in /proc, in bytes; 0 where it is not there."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * KIB
    return 0
