"""doit's commands that change what is known of steps, and `info` and `help` of doit's own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase, subtasks_iter, tasks_and_deps_iter
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_help import Help as DoitHelp
from doit.cmd_info import Info as DoitInfo
from doit.exceptions import InvalidCommand

from tasks import (
    generators,
    results,
    runs,
    store,
)
from tasks.errors import UserError, did_you_mean, refused
from tasks.model import STEPS
from tasks.naming import FriendlyCommand, folders_named, named, option, slip
from tasks.plan import steps_of
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tasks.plan import Step


def _each_alone(steps: Iterable[Step], act: Callable[[Step], None]) -> None:
    """Do something to each step, its lock held; say at the end which are being run.

    Raises InvalidCommand where some are, or a file cannot be changed.
    """
    running = []
    for step in steps:
        try:
            with runs.alone(step):
                act(step)
        except UserError as error:  # noqa: PERF203 - of a step that says nothing of the others
            running.append(str(error))
        except OSError as error:
            raise InvalidCommand(str(refused(error))) from error
    if running:
        raise InvalidCommand("\n".join(running))


class Clean(FriendlyCommand, DoitClean):
    """`doit clean STEP:MODEL`: remove results."""

    doc_purpose = "remove the results of steps"

    def _execute(
        self, dryrun: bool, cleandep: bool, cleanall: bool, cleanforget: bool,
        pos_args: list[str] | None = None,
    ) -> None:  # fmt: skip
        """Clean as doit does, with models named as people name them."""
        names = named(pos_args or (), tasks=self.task_list, command="doit clean")
        super()._execute(dryrun, cleandep, cleanall, cleanforget, names)

    def clean_tasks(self, tasks: Sequence[Any], dryrun: bool, cleanforget: bool) -> None:
        """Remove the results of our steps; the tasks of a user's own doit cleans."""
        steps = [task.meta["step"] for task in tasks if "step" in (task.meta or {})]
        for step in steps if dryrun else ():
            if os.path.lexists(step.folder):
                print(f"would remove {step.folder}")
        super().clean_tasks(tasks, dryrun, cleanforget)
        if not dryrun:
            _each_alone(steps, lambda step: results.remove(step, print))


class Info(FriendlyCommand, DoitInfo):
    """`doit info STEP:MODEL`: what doit knows of a task."""

    def _execute(self, pos_args: list[str], hide_status: bool = False) -> int:
        """Show a task as doit does, but for what only programs can read."""
        names = named(pos_args, tasks=self.task_list, command="doit info")
        for task in self.task_list:
            if "activity" in (task.meta or {}):
                task.meta = None
        return int(super()._execute(names, hide_status))

    @staticmethod
    def get_reasons(reasons: dict[str, Any]) -> str:
        """Return doit's reasons; our own, functions to doit, are told by `doit why`."""
        asked = reasons["uptodate_false"]
        theirs = [
            one for one in asked if not getattr(one[0], "__module__", "").startswith("tasks.")
        ]
        ours = [" * It is not as it was: `doit why` tells more."] if theirs != asked else []
        reasons["uptodate_false"] = theirs
        told = DoitInfo.get_reasons(reasons)
        return "\n".join([*ours, *filter(None, [told])])


class Help(FriendlyCommand, DoitHelp):
    """`doit help [COMMAND]`: what doit can do."""

    def _execute(self, pos_args: list[str]) -> bool:
        """Show the options of a task, and say where there is none of that name."""
        if not super()._execute(pos_args):
            (word,) = pos_args
            known = sorted({*self.cmds, *(task.name for task in self.task_list)})
            hint = (
                slip(word, known) or did_you_mean(word, known) or "`doit help` lists the commands"
            )
            raise InvalidCommand(f"There is no command or task `{word}`\n\nhint: {hint}")
        return True


class Forget(FriendlyCommand, DoitForget):
    """`doit forget STEP:MODEL`: make a step run again, by removing its result."""

    doc_purpose = "forget steps, so that they run again: their results are removed"

    def _execute(
        self,
        forget_sub: bool,
        forget_disable_default: bool,
        forget_all: bool,
    ) -> None:
        """Forget as doit does, and remove the results, which would otherwise be found current."""
        self.sel_tasks: list[str] = named(
            self.sel_tasks, tasks=self.task_list, command="doit forget"
        )
        tasks = {task.name: task for task in self.task_list}
        chosen = list(tasks.values()) if forget_all else []
        if not (forget_all or (self.sel_default_tasks and forget_disable_default)):
            known = [name for name in self.sel_tasks if name in tasks]
            chosen = [
                *(tasks_and_deps_iter(tasks, known, yield_duplicates=True) if forget_sub else ()),
                *(tasks[name] for name in known),
                *(sub for name in known for sub in subtasks_iter(tasks, tasks[name])),
            ]
        super()._execute(forget_sub, forget_disable_default, forget_all)

        def forget(step: Step) -> None:
            store.forget(step, open_state())
            results.remove(step, print)

        _each_alone([t.meta["step"] for t in chosen if "step" in (t.meta or {})], forget)


class Accept(FriendlyCommand, DoitCmdBase):
    """`doit accept STEP:MODEL --why "..."`: say that a change cannot matter."""

    name = "accept"
    doc_purpose = "mark a step as up to date after a change that cannot matter"
    doc_usage = 'STEP:MODEL ... --why "WHY"'
    doc_description = (
        "It is recorded with the result, and `doit why` shows it.\n"
        "Exit status 0: accepted; 1: of a step that must be run; 3: there is no such step."
    )
    cmd_options = (option("why", str, "why the change cannot matter"),)

    def execute(self, params: Any, args: list[str]) -> int:
        """Have doit load no tasks: the models say it all."""
        generators.Options.kinds = frozenset()
        generators.Options.folders = folders_named(args)
        return int(super().execute(params, args))

    def _execute(self, why: str, pos_args: list[str]) -> int:
        """Accept each step, a training before what works on it."""
        from tasks.acceptance import accept  # noqa: PLC0415 - no other command needs it

        steps = {step.task: step for model in generators.models() for step in steps_of(model)}
        names = named(pos_args)
        if not names:
            raise InvalidCommand('name a step: `doit accept train:MODEL --why "..."`')
        for name in names:
            if name not in steps:
                raise InvalidCommand(f"`{name}` is no step\n\nhint: for instance `train:MODEL`")
        if not why.strip():
            raise InvalidCommand(f'say why: `doit accept {" ".join(names)} --why "..."`')
        refused = []
        for step in sorted((steps[name] for name in names), key=lambda one: STEPS.index(one.name)):
            try:
                print(f"{step.task} is up to date: {accept(step, why, open_state(), _warn)}")
            except UserError as error:  # noqa: PERF203 - of a step that says nothing of the others
                refused.append(str(error))
        sys.stderr.write("\n\n".join([*refused, ""])[:-1])
        self.dep_manager.close()
        return 1 if refused else 0


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


class Readme(FriendlyCommand, DoitCmdBase):
    """`doit readme`: write the table of models into README.md."""

    name = "readme"
    doc_purpose = "write the table of models into README.md"
    doc_usage = ""
    doc_description = "Exit status 0: it is as it should be; 3: README.md has no place for it."

    def execute(self, params: Any, args: list[str]) -> int:
        """Have doit load no tasks: the models say it all."""
        if args:
            raise InvalidCommand(f"`doit readme` takes no names, not `{args[0]}`")
        generators.Options.kinds = frozenset()
        return int(super().execute(params, args))

    def _execute(self) -> int:
        """Write the table between its markers."""
        from tasks import readme  # noqa: PLC0415 - no other command needs it

        try:
            written = readme.update()
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        self.dep_manager.close()
        if not written:
            raise InvalidCommand(
                f"`{readme.README}` has no place for the table of models\n\n"
                f"hint: add two lines, `{readme.START}` and `{readme.END}`"
            )
        return 0
