"""The folder of a run that is under way, and the locks that say which are."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from tasks.errors import UserError
from tasks.folders import remove_tree
from tasks.plan import file_name
from tasks.records import LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.plan import Step

RUNS = "runs"
HELD = "held"
CREATING = f"{HELD}/creating"
WAITING = "waiting for another run of this step"


@dataclass(frozen=True)
class Run:
    """The folder of a run that is under way: `work` is the model's working directory."""

    id: str
    folder: str

    @property
    def work(self) -> str:
        """The working directory of the model."""
        return f"{self.folder}/work"

    @property
    def scratch(self) -> str:
        """A folder for what the model needs only while it runs."""
        return f"{self.folder}/scratch"

    @property
    def log(self) -> str:
        """What the model prints."""
        return f"{self.folder}/{LOG}"

    @property
    def progress(self) -> str:
        """What the model tells of its progress."""
        return f"{self.folder}/progress.jsonl"

    @property
    def held(self) -> str:
        """The file whose lock is held for as long as the run goes on."""
        return f"{self.folder}/held"

    @property
    def usage(self) -> str:
        """What a place tells of what the run has used; of others there is no such file."""
        return f"{self.folder}/usage.json"


def run_name(step: Step) -> str:
    """Return the name of a step's runs, without the number behind its last `-`."""
    return file_name(f"{step.name}-{step.variant}")


@contextlib.contextmanager
def fresh_run(step: Step) -> Iterator[Run]:
    """Make a folder for a run; it is gone afterwards, whatever happens."""
    with fresh_folder(step.build, run_name(step)) as run:
        yield run


@contextlib.contextmanager
def fresh_folder(build: str, name: str) -> Iterator[Run]:
    """Make a folder for something that is under way; it is gone afterwards, whatever happens.

    It is held meanwhile, so that another process can tell it from one whose owner was killed.
    """
    run_id = f"{name}-{os.urandom(6).hex()}"
    run = Run(run_id, f"{build}/{RUNS}/{run_id}")
    try:
        with contextlib.ExitStack() as stack:
            with hold(f"{build}/{CREATING}"):
                os.makedirs(run.work)
                os.makedirs(run.scratch)
                stack.enter_context(hold(run.held))
            yield run
    finally:
        remove_tree(run.folder)


def lock_of(step: Step) -> str:
    """Return the file whose lock is held by whoever makes the step's result."""
    return f"{step.build}/{HELD}/{file_name(step.task)}"


@contextlib.contextmanager
def alone(step: Step) -> Iterator[None]:
    """Hold a step's lock.  Raises UserError where another process holds it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(lock_of(step), wait=False))
        except BlockingIOError as error:
            raise UserError(
                f"`{step.task}` is being run, by another `doit`",
                hint="try again when that has ended",
            ) from error
        yield


@contextlib.contextmanager
def hold(path: str, *, wait: bool = True) -> Iterator[IO[str]]:
    """Hold a file's lock; the kernel lets go of it when the process ends, however it ends.

    Raises BlockingIOError where another process holds it and that is not to be waited for.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
