"""Have a step run away from here, and take its result out of the store."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tasks import checkpoints, git, news, objects, processes, requests, retries, store
from tasks.bounded_log import BoundedLog
from tasks.errors import AttemptFailed, UserError
from tasks.failures import LOG_LINES, took_too_long
from tasks.places import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.places import Away, Ended
    from tasks.preparation import Attempt

GRACE_SECONDS = 60.0
"""How much longer than its `timeout` a step may seem to run there: it is ended by the worker."""

_THERE = {"kept", "checkpoint"}
"""The facts that name folders of the worker's, which are gone with it."""


class _Follower:
    """Keeps what a job prints as the log of a run, and shows what it tells."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt, self._watcher = attempt, attempt.watcher
        self.error: Mapping[str, Any] | None = None
        step = attempt.prepared.step
        self._policy = retries.of(step.model.document, step.name)
        self._due: float | None = None
        self._file = open(attempt.run.log, "wb", buffering=0)  # noqa: SIM115 - closed by whoever follows
        self._log = BoundedLog(self._file)
        self._reader = news.Reader(self._write, self._hear)
        self.feed = self._reader.feed

    def tick(self) -> None:
        """Look on; raises UserError where the run is to end."""
        if line := self._watcher.tick():
            self._write(f"modelmake: {line}\n".encode())
        if processes.stopping():
            raise UserError("interrupted")
        if self._due is not None and time.monotonic() > self._due:
            step = self._attempt.prepared.step
            raise took_too_long(step, self._policy, self._attempt.run)

    def close(self) -> None:
        """Write what is left of the log."""
        with self._file:
            self._log.finish()

    def _watch_time(self, phase: str) -> None:
        """Bound the time of the model itself; it is ended there, if that can still be done."""
        limit = self._policy.timeout
        runs = phase == self._attempt.prepared.step.name
        self._due = time.monotonic() + limit + GRACE_SECONDS if limit and runs else None

    def _write(self, data: bytes) -> None:
        self._log.write(data)
        self._watcher.echo(data)

    def _hear(self, told: Mapping[str, Any]) -> None:
        activity = self._attempt.activity
        for kind, value in told.items():
            if kind == "phase":
                activity.say(str(value))
                self._watch_time(str(value))
            elif kind == "detail":
                activity.tell(str(value))
            elif kind == "alert":
                activity.alerts.append(str(value))
            elif kind == "progress":
                with open(self._attempt.run.progress, "a", encoding="utf-8") as file:
                    file.write(json.dumps(value) + "\n")
            elif kind == "error":
                self.error = value


def carry_out(place: Away, attempt: Attempt, *, force: bool) -> None:
    """Have a step run at a place away from here, and publish its result.

    However that ends, nothing of it goes on there.  Raises UserError, with what the model printed
    last, where it failed.  With `force` it runs although there is a result, as it does where that
    is one that was forgotten here.
    """
    prepared, run, activity = attempt.prepared, attempt.run, attempt.activity
    activity.say("store")
    checkpoints.sent(prepared.step, prepared.key, attempt.state)
    to = requests.put(prepared, attempt.state, git.head(), run.scratch)
    force = force or store.forgotten(prepared.key, activity.alerts.append)
    if force:
        objects.drop_entry(store.ROOT, prepared.key)
    activity.say(f"submitted to {place.name}")
    follower = _Follower(attempt)
    try:
        request = Request(prepared.step, prepared.key, to.address, force, attempt.number)
        with processes.elsewhere():
            job = place.submit(request)
            try:
                ended = job.follow(follower.feed, follower.tick)
            except BaseException:
                job.cancel()
                raise
    finally:
        follower.close()
    if not ended.ok:
        raise _failure(place.name, attempt, ended, follower.error)
    activity.say("store")
    restored = None
    for _ in to.insisting():
        restored = store.restore(
            prepared.step, prepared.inputs, attempt.state, activity.alerts.append
        )
        if restored or not to.trouble:
            break
    if restored is None:
        raise UserError(
            f"The step {prepared.step.task} ended well, but its result is not in the store",
            ("place", place.name),
            ("store", to.address),
            ("key", prepared.key),
            hint="see that the same store is reached from there",
        )


def _failure(
    name: str, attempt: Attempt, ended: Ended, told: Mapping[str, Any] | None
) -> UserError:
    """Return the error of a job, in the words that it was told in where there are some."""
    if told:
        facts = [(str(label), text) for label, text in told["facts"] if label not in _THERE]
        headline, hint = str(told["headline"]), str(told["hint"])
        if told["reason"]:
            return AttemptFailed(headline, *facts, hint=hint, reason=str(told["reason"]))
        return UserError(headline, *facts, hint=hint)
    lines = processes.tail(attempt.run.log, LOG_LINES)
    why = [("reason", ended.message)] if ended.message else []
    return AttemptFailed(
        f"The step {attempt.prepared.step.task} ended on {name} without a result",
        *why,
        ("log", lines or "(empty)"),
        reason=ended.reason or "lost",
    )
