"""doit's commands as this project has them: `run`, `list`, `why`, `check` and `forget`."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from doit.cmd_base import Command, DoitCmdBase, subtasks_iter, tasks_and_deps_iter
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_info import Info as DoitInfo
from doit.cmd_list import List as DoitList
from doit.cmd_run import Run as DoitRun
from doit.cmdparse import CmdParseError
from doit.exceptions import InvalidCommand

from tasks import execute, generators, plan, processes, records
from tasks.errors import UserError, did_you_mean
from tasks.explain import explain
from tasks.model import RUNNABLE, STEPS
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from tasks.model import Model
    from tasks.plan import Step
    from tasks.state import State

KINDS = ("env", "lock", *STEPS)
LISTED_METRICS = 3
SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a command, as its exit status."""


def _option(name: str, kind: type, help_text: str) -> dict[str, Any]:
    default = kind()
    return {"name": name, "long": name, "type": kind, "default": default, "help": help_text}


JSON_OPTION = _option("json", bool, "print JSON, for programs")


def _parsed(command: Command, words: list[str]) -> tuple[Any, list[str]]:
    """Return the options of a command line and the rest, or say in short what is wrong with it."""
    try:
        options, rest = command.cmdparser.parse(words)
    except CmdParseError as error:
        reason = str(error).partition("(parsing options")[0].strip().rpartition("parsing Command: ")
        raise InvalidCommand(
            f"`doit {command.name}`: {reason[2]}\n\n"
            f"hint: `doit help {command.name}` lists its options"
        ) from error
    return options, rest


class _Command:
    """What our commands have in common: help where it is asked for, and short errors."""

    def parse_execute(self: Any, in_args: list[str]) -> int:
        """Parse and execute, as doit calls it."""
        if "--help" in in_args:
            print(self.help())
            return 0
        params, args = _parsed(self, in_args)
        params.update(self.opt_vals)
        return int(self.execute(params, args) or 0)


def _named(words: Sequence[str], dataset: str = "", tasks: Sequence[Any] = ()) -> list[str]:
    """Return doit's task names for what a person typed; what `tasks` has is right already."""
    exact = set() if dataset else {task.name for task in tasks}
    exact |= {target for task in tasks for target in task.targets}
    if not dataset and exact.issuperset(words):
        return list(words)
    models = generators.models()
    try:
        named = [w if w in exact else plan.find_task(w, dataset, models, KINDS) for w in words]
        for word in named:
            if tasks and word not in exact and word.partition(":")[0] not in KINDS:
                raise _unknown(word, exact, models)
    except UserError as error:
        raise InvalidCommand(str(error)) from error
    return named


def _unknown(word: str, exact: set[str], models: Sequence[Model]) -> UserError:
    """Return the error for a word that is no task, a model's name without its step above all."""
    kind, colon, rest = word.partition(":")
    if colon:
        near = did_you_mean(kind, KINDS)
        hint = near and f"{near}, as in `doit {near.split('`')[1]}:{rest}`"
    elif word in {value for model in models for value in (model.name, model.id, model.title)}:
        hint = f"name its step as well: `doit evaluate:{word}`"
    else:
        hint = did_you_mean(word, {*exact, *(model.name for model in models)})
    return UserError(f"There is no task `{word}`", hint=hint or "`doit list` shows the models")


def _kinds(words: Sequence[str]) -> frozenset[str] | None:
    """Return the kinds of tasks that a run of these can come to; None where that is not plain."""
    kinds = {word.partition(":")[0] for word in words} or {"evaluate"}
    if not kinds <= set(KINDS):
        return None
    return frozenset(kinds | {"train"} if kinds & {"evaluate", "score"} else kinds)


class Run(_Command, DoitRun):
    """`doit [STEP:MODEL ...]`: run what must be run."""

    doc_usage = "[STEP:MODEL [--dataset NAME] [--twice] ...]"
    cmd_options = (
        *DoitRun.cmd_options,
        _option("dataset", str, "the dataset to use: datasets/NAME.json in the model's folder"),
        _option("twice", bool, "run each named step twice and compare what it made, byte by byte"),
    )

    def execute(self, params: Any, args: list[str]) -> int:
        """Take options from behind the steps' names too, where people write them."""
        words, rest = [], list(args)
        while rest:
            words.append(rest.pop(0))
            if words[-1].partition(":")[0] in KINDS:
                more, rest = _parsed(self, rest)
                for name in more._non_default_keys:  # noqa: SLF001 - doit's own way to know
                    params[name] = more[name]
        generators.Options.kinds = _kinds(words)
        plain = set(words) <= set(KINDS) and not (params["always"] or params["twice"])
        generators.Options.only_stale = plain and params["reporter"] != "json"
        generators.Options.counted_by = words[0] if words else "evaluate"
        self._ours = {"dataset": params["dataset"], "twice": params["twice"]}
        return int(super().execute(params, words))

    def _execute(
        self, outfile: Any, verbosity: Any = None, always: bool = False,
        continue_: bool = False, reporter: Any = "console", num_process: int = 0,
        par_type: str = "thread", single: bool = False, auto_delayed_regex: bool = False,
        force_verbosity: bool = False, failure_verbosity: int = 0, pdb: bool = False,
    ) -> int:  # fmt: skip
        """Run; an interruption ends what runs and leaves nothing half-made."""
        dataset, twice = self._ours["dataset"], self._ours["twice"]
        if dataset and self.sel_default_tasks:
            raise InvalidCommand("`--dataset` needs a step: `doit train:MODEL --dataset NAME`")
        self.sel_tasks: list[str] = _named(self.sel_tasks, dataset, self.task_list)
        generators.Options.force = always
        generators.Options.twice = frozenset(self.sel_tasks) if twice else frozenset()
        before = signal.signal(signal.SIGTERM, _terminated)
        try:
            execute.sweep()
            status = int(
                super()._execute(
                    outfile, verbosity, always, continue_, reporter, num_process, par_type,
                    single, auto_delayed_regex, force_verbosity, failure_verbosity, pdb,
                )
            )  # fmt: skip
            # doit's 2 says that a step could not run because another failed: no news to a caller.
            return min(status, 1)
        except KeyboardInterrupt as interrupt:
            processes.stop_all()
            number = interrupt.args[0] if interrupt.args else signal.SIGINT
            return SIGNALLED + int(number)
        except BrokenPipeError:  # nobody reads on, as in `doit | head`
            processes.stop_all()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return SIGNALLED + signal.SIGPIPE
        finally:
            signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: FrameType | None) -> None:
    del frame
    raise KeyboardInterrupt(number)


def _end_with_the_reader() -> None:
    """End without a word when nobody reads on, as in `doit list | head`."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class ListModels(_Command, DoitList):
    """`doit list`: the models, their state and what they last measured."""

    name = "list"
    doc_purpose = "list the models, or with --all doit's tasks"
    doc_usage = "[MODEL ...]"
    cmd_options = (*DoitList.cmd_options, JSON_OPTION)

    def execute(self, params: Any, args: list[str]) -> int:
        """Note which form was asked for."""
        _end_with_the_reader()
        self._json = params["json"]
        of_doit = any(params[name] for name in ("subtasks", "status", "list_deps", "template"))
        generators.Options.kinds = None if of_doit else frozenset()
        return int(super().execute(params, args))

    def _execute(
        self, subtasks: bool = False, quiet: bool = True, status: bool = False,
        private: bool = False, list_deps: bool = False, template: str | None = None,
        sort: str = "name", pos_args: Any = None,
    ) -> int:  # fmt: skip
        """List the models; every form of doit's own list is still there."""
        if subtasks or status or list_deps or template:
            return int(
                super()._execute(
                    subtasks, quiet, status, private, list_deps, template, sort, pos_args
                )
            )
        state = open_state()
        rows = [_row(model, state) for model in _models(pos_args)]
        if self._json:
            json.dump(rows, self.outstream, indent=2)
            self.outstream.write("\n")
        elif rows:
            self.outstream.write(_table(rows))
        else:
            self.outstream.write("no models: a folder with a model.json below model_definitions/\n")
        self.dep_manager.close()
        return 0


def _models(words: Sequence[str]) -> Sequence[Model]:
    """Return the models that a person named, all where none is."""
    models = generators.models()
    try:
        return [plan.find_model(word, models) for word in words] if words else models
    except UserError as error:
        raise InvalidCommand(str(error)) from error


def _row(model: Model, state: State) -> dict[str, Any]:
    """Return what `doit list` says of a model."""
    train, evaluate, _ = plan.steps_of(model)[:3]
    reasons = {step.task: explain(step, state) for step in (train, evaluate)}
    stale = [step for step in (train, evaluate) if reasons[step.task]]
    if model.broken:
        word = "broken"
    elif any(os.path.exists(step.failed_folder) for step in stale):
        word = "failed"
    elif train in stale and not os.path.exists(train.folder):
        word = "new"
    else:
        word = "changed" if stale else "up to date"
    return {
        "name": model.name,
        "id": model.id,
        "title": model.title,
        "framework": model.language or "unknown",
        "state": word,
        "reasons": next((reasons[step.task] for step in stale), []),
        "datasets": list(model.dataset_names),
        "metrics": records.metrics(evaluate.folder, state.files),
        "faults": [asdict(fault) for fault in model.faults],
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as aligned text; the last column is as long as it is."""
    heads = ("MODEL", "FRAMEWORK", "STATE", "METRICS")
    cells = [heads]
    for row in rows:
        shown = list(row["metrics"].items())[:LISTED_METRICS]
        metrics = "  ".join(f"{name} {value:.4g}" for name, value in shown)
        cells.append((row["name"], row["framework"], row["state"], metrics))
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        "  ".join(
            [*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[3]]
        )
        for line in cells
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


class _ModelCommand(_Command, DoitCmdBase):
    """A command that reads the models and runs nothing."""

    cmd_options = (JSON_OPTION,)

    def execute(self, params: Any, args: list[str]) -> int:
        """Have doit load no tasks: the models say it all."""
        _end_with_the_reader()
        generators.Options.kinds = frozenset()
        if "--json" in args:  # behind the names, where people write it too
            params["json"] = True
        return int(super().execute(params, [word for word in args if word != "--json"]))


class Why(_ModelCommand):
    """`doit why STEP:MODEL`: why a step would run."""

    name = "why"
    doc_purpose = "tell why a step would run"
    doc_usage = "STEP:MODEL ... | MODEL ..."
    doc_description = "Exit status 0: told; 3: there is no such step."

    def _execute(self, json: bool, pos_args: list[str]) -> int:
        """Tell each reason in one sentence."""
        if not pos_args:
            raise InvalidCommand("`doit why` needs a step or a model: `doit why train:MODEL`")
        state = open_state()
        told = {step.task: explain(step, state) for step in _steps(pos_args)}
        if json:
            _print_json(told)
        else:
            for task, reasons in told.items():
                print(f"{task} {'must run:' if reasons else 'is up to date'}")
                for reason in reasons:
                    print(f"  {reason}")
        self.dep_manager.close()
        return 0


def _steps(words: Sequence[str]) -> list[Step]:
    """Return the steps that a person named; a model alone means its training and evaluation."""
    models = generators.models()
    words = [
        f"{step}:{word}" if step else word
        for word in words
        for step in (("",) if word.partition(":")[0] in KINDS else STEPS[:2])
    ]
    words = [
        name
        for word in words
        for name in ([f"{word}:{model.name}" for model in models] if word in STEPS else [word])
    ]
    steps = {step.task: step for model in models for step in plan.steps_of(model)}
    named = _named(words)
    for word in named:
        if word not in steps:
            raise InvalidCommand(f"`{word}` is not a step\n\nhint: for instance `train:MODEL`")
    return [steps[word] for word in named]


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()


class Check(_ModelCommand):
    """`doit check`: look for faults in the models' files; nothing is built or run."""

    name = "check"
    doc_purpose = "check the files of the models, without running anything"
    doc_usage = "[MODEL ...]"
    doc_description = "Exit status 1 where a model cannot run; warnings leave it 0."

    def _execute(self, json: bool, pos_args: list[str]) -> int:
        """Show every fault of the models."""
        models = _models(pos_args)
        faults = [fault for model in models for fault in model.faults]
        broken = [model for model in models if model.broken]
        if json:
            _print_json([asdict(fault) for fault in faults])
        else:
            for fault in faults:
                print(fault)
            warnings = sum(fault.warning for fault in faults)
            good = sum(model.language in RUNNABLE and not model.broken for model in models)
            print(
                f"{_count(len(models), 'model')}, of which {good} can run:"
                f" {_count(len(faults) - warnings, 'fault')}, {_count(warnings, 'warning')}"
            )
        self.dep_manager.close()
        return 1 if broken else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Clean(_Command, DoitClean):
    """`doit clean STEP:MODEL`: remove results."""

    doc_purpose = "remove the results of steps"

    def _execute(
        self, dryrun: bool, cleandep: bool, cleanall: bool, cleanforget: bool,
        pos_args: list[str] | None = None,
    ) -> None:  # fmt: skip
        """Clean as doit does, with models named as people name them."""
        named = _named(pos_args or (), tasks=self.task_list)
        super()._execute(dryrun, cleandep, cleanall, cleanforget, named)


class Info(_Command, DoitInfo):
    """`doit info STEP:MODEL`: what doit knows of a task."""

    def _execute(self, pos_args: list[str], hide_status: bool = False) -> int:
        """Show a task as doit does, with its model named as people name it."""
        return int(super()._execute(_named(pos_args, tasks=self.task_list), hide_status))


class Forget(_Command, DoitForget):
    """`doit forget STEP:MODEL`: make a step run again, by removing its result."""

    doc_purpose = "forget steps, so that they run again: their results are removed"

    def _execute(
        self,
        forget_sub: bool,
        forget_disable_default: bool,
        forget_all: bool,
    ) -> None:
        """Forget as doit does, and remove the results, which would otherwise be found current."""
        self.sel_tasks: list[str] = _named(self.sel_tasks, tasks=self.task_list)
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
        for task in chosen:
            step = (task.meta or {}).get("step")
            if step:
                execute.remove(step, print)
