"""Where a step runs: what each of the places in `profiles.PLACES` can do.

Each but this machine's own is a module here, which has a class `Place`, says whether it is `AWAY`,
and names the package that it asks through (`CLIENT`), if there is one.
*Here* a step's process works on this machine's files, and the place only says how it is started.
*Away* it works on what a request in the store holds, and its result comes back through the store.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tasks import profiles
from tasks.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from tasks.environments.build import Environment
    from tasks.languages import Command
    from tasks.model import Model
    from tasks.plan import Step
    from tasks.runs import Run

LOCAL = "local"


class Here(Protocol):
    """A place where processes see this machine's files."""

    def enclose(self, command: Command, step: Step, environment: Environment, run: Run) -> Command:
        """Return the command that runs a step's command in this place.

        Raises UserError where it cannot be run there.
        """

    def describe(self) -> Mapping[str, Any]:
        """Return what a record says of where a step ran; `place` is the name in the table."""


class Ended(NamedTuple):
    """How a job ended: `reason` (`oom`, `preempted`, `lost`) and `message` say why it did not."""

    ok: bool
    reason: str = ""
    message: str = ""


class Job(Protocol):
    """A step that was submitted to a place away from here, or found there."""

    def follow(self, write: Callable[[bytes], None], tick: Callable[[], None]) -> Ended:
        """Hand on what it prints until it ends.

        `tick` is to be called a few times a second; it raises where the run is to end.  Raises
        UserError where the place gives no answer any more.
        """

    def cancel(self) -> None:
        """End it and leave nothing of it running; it may have ended already."""


class Away(Protocol):
    """A place that takes requests from the store; `name` is its own in the table.

    `limits` is whether it holds steps to their limits of memory and processors.
    """

    name: str
    limits: bool

    def submit(self, request: Request) -> Job:
        """Have a request carried out; one that is being carried out already is found again.

        Raises UserError where the place cannot be reached, or takes no such step.
        """


class Request(NamedTuple):
    """What a place away from here is told: `key` leads to all else in the store at `store`."""

    step: Step
    key: str
    store: str
    force: bool = False
    attempt: int = 1

    @property
    def words(self) -> list[str]:
        """The arguments of Python that carry it out, see `worker`."""
        again = ["--attempt", str(self.attempt)] if self.attempt > 1 else []
        return ["-m", "tasks.worker", self.key, *(["--force"] if self.force else []), *again]


class Local:
    """This machine, where a step's process is started as it is; `where` is what is recorded."""

    def __init__(self, where: Mapping[str, Any] | None = None) -> None:
        self._where = where or {"place": LOCAL}

    def enclose(self, command: Command, step: Step, environment: Environment, run: Run) -> Command:
        """Return the command as it is."""
        del step, environment, run
        return command

    def describe(self) -> Mapping[str, Any]:
        """Return what a record says of it."""
        return self._where


@dataclass(frozen=True)
class On:
    """Where a step is to run: `elsewhere`, or else `here`.

    `commit` is what the step's files are of, where that is not what is checked out here.  With
    `enforce`, the kernel is to hold a process of this machine's to the limits of the step.
    `attempt` is the number of the only one to be made, of a step that was sent here: who sent it
    tries again.  `terminal` is the path of that which a step's process here is given, to be
    debugged: it is tried once, and may take as long as it takes.
    """

    name: str = LOCAL
    here: Here = field(default_factory=Local)
    elsewhere: Away | None = None
    commit: str | None = None
    enforce: bool = False
    attempt: int | None = None
    terminal: str = ""


HERE = On()


def chosen(step: Step, name: str = "") -> On:
    """Return where a step is to run: at the place `name`, else where its model or profile says.

    Raises UserError for a place that is not known, or cannot be used.
    """
    name = name or named(step.model)
    check(name)
    if name == LOCAL:
        return HERE
    module = _module(name)
    return On(name, elsewhere=module.Place()) if module.AWAY else On(name, module.Place())


def named(model: Model) -> str:
    """Return the name of the place where a model's steps run, unless the user says otherwise.

    Raises UserError for a profile that cannot be used.
    """
    return str(model.document.get("runOn", "")) or str(profiles.chosen().get("on", LOCAL))


def load(name: str) -> None:
    """Import the client of a place, which may take seconds; one that is not there `look` tells."""
    client = _module(name).CLIENT
    with contextlib.suppress(ImportError):
        if client:
            importlib.import_module(client)


def look(name: str) -> str:
    """Return what answers at a place other than here.  Raises UserError where nothing does."""
    return str(_module(name).Place().look())


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def check(name: str) -> None:
    """Raise UserError for a name that no place has."""
    if name not in profiles.PLACES:
        raise UserError(
            f"There is no place `{name}` for steps to run",
            ("places", ", ".join(f"`{one}`" for one in profiles.PLACES)),
            hint=did_you_mean(name, profiles.PLACES),
        )
