"""Have a step run away from here, and take its result out of the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks import git, news, objects, processes, requests, store
from tasks.errors import UserError
from tasks.launch import LOG_LINES
from tasks.places import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.places import Away, Ended
    from tasks.preparation import Attempt, Prepared
    from tasks.runs import Run

DIGITS = 12
"""How much of a key is shown to people."""


class _Follower:
    """Keeps what a job prints as the log of a run, and shows what it tells."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt, self._watcher = attempt, attempt.watcher
        self.error: Mapping[str, Any] | None = None
        self._log = open(attempt.run.log, "wb", buffering=0)  # noqa: SIM115 - closed by whoever follows
        self._reader = news.Reader(self._write, self._hear)
        self.feed, self.close = self._reader.feed, self._log.close

    def tick(self) -> None:
        """Look on; raises UserError where the run is to end."""
        if line := self._watcher.tick():
            self._write(f"modelmake: {line}\n".encode())
        if processes.stopping():
            raise UserError("interrupted")

    def _write(self, data: bytes) -> None:
        self._log.write(data)
        self._watcher.echo(data)

    def _hear(self, told: Mapping[str, Any]) -> None:
        activity = self._attempt.activity
        for kind, value in told.items():
            if kind == "phase":
                activity.say(str(value))
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
    last, where it failed.
    """
    prepared, run, activity = attempt.prepared, attempt.run, attempt.activity
    activity.say("store")
    to = requests.put(prepared, attempt.state, git.head(), run.scratch)
    if force:
        objects.drop_entry(store.ROOT, prepared.key)
    activity.say(f"submitted to {place.name}")
    follower = _Follower(attempt)
    try:
        with processes.elsewhere():
            job = place.submit(Request(prepared.step, prepared.key, to.address, force))
            try:
                ended = job.follow(follower.feed, follower.tick)
            except BaseException:
                job.cancel()
                raise
    finally:
        follower.close()
    if not ended.ok:
        raise _failure(place.name, prepared, ended, follower.error, run)
    activity.say("store")
    if not store.restore(prepared.step, prepared.inputs, attempt.state, activity.alerts.append):
        raise UserError(
            f"The step {prepared.step.task} ended well, but its result is not in the store",
            ("place", place.name),
            ("store", to.address),
            ("key", prepared.key),
            hint="see that the same store is reached from there",
        )


def _failure(
    name: str, prepared: Prepared, ended: Ended, told: Mapping[str, Any] | None, run: Run
) -> UserError:
    """Return the error of a job, in the words that it was told in where there are some."""
    if told:
        facts = [(str(label), text) for label, text in told["facts"]]
        return UserError(str(told["headline"]), *facts, hint=str(told["hint"]))
    lines = processes.tail(run.log, LOG_LINES)
    why = [("reason", ended.message)] if ended.message else []
    headline = f"The step {prepared.step.task} ended on {name} without a result"
    return UserError(headline, *why, ("log", lines or "(empty)"))
