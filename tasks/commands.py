"""doit's commands as this project has them: `run`, `list`, `why`, `check` and `forget`."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase, subtasks_iter, tasks_and_deps_iter
from doit.cmd_forget import Forget as DoitForget
from doit.cmd_list import List as DoitList
from doit.cmd_run import Run as DoitRun
from doit.exceptions import InvalidCommand

from tasks import execute, generators, plan, processes, records
from tasks.errors import UserError
from tasks.explain import explain
from tasks.model import STEPS
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


def _named(words: Sequence[str], dataset: str = "", tasks: Sequence[Any] = ()) -> list[str]:
    """Return doit's task names for what a person typed; the names of `tasks` are right already."""
    exact = set() if dataset else {task.name for task in tasks}
    models = generators.models()
    try:
        return [w if w in exact else plan.find_task(w, dataset, models, KINDS) for w in words]
    except UserError as error:
        raise InvalidCommand(str(error)) from error


def _kinds(words: Sequence[str]) -> frozenset[str] | None:
    """Return the kinds of tasks that a run of these can come to; None where that is not plain."""
    kinds = {word.partition(":")[0] for word in words} or {"evaluate"}
    if not kinds <= set(KINDS):
        return None
    return frozenset(kinds | {"train"} if kinds & {"evaluate", "score"} else kinds)


class Run(DoitRun):
    """`doit [STEP:MODEL ...]`: run what must be run."""

    doc_usage = "[STEP:MODEL [--dataset NAME] [--twice] ...]"
    cmd_options = (
        *DoitRun.cmd_options,
        _option("dataset", str, "the dataset to use: datasets/NAME.json in the model's folder"),
        _option("twice", bool, "run each named step twice and compare what it made, byte by byte"),
    )

    def execute(self, params: Any, args: list[str]) -> int:
        """Take our options from behind the steps' names too, where people write them."""
        words, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            if word == "--twice":
                params["twice"] = True
            elif word == "--dataset" and rest:
                params["dataset"] = rest.pop(0)
            elif word.startswith("--dataset="):
                params["dataset"] = word.partition("=")[2]
            else:
                words.append(word)
        generators.Options.kinds = _kinds(words)
        plain = set(words) <= set(KINDS) and not (params["always"] or params["twice"])
        generators.Options.only_stale = plain and params["reporter"] != "json"
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
            return int(
                super()._execute(
                    outfile, verbosity, always, continue_, reporter, num_process, par_type,
                    single, auto_delayed_regex, force_verbosity, failure_verbosity, pdb,
                )
            )  # fmt: skip
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


class ListModels(DoitList):
    """`doit list`: the models, their state and what they last measured."""

    doc_purpose = "list the models, or with --all or a name doit's tasks"
    doc_usage = "[TASK ...]"
    cmd_options = (*DoitList.cmd_options, JSON_OPTION)

    def execute(self, params: Any, args: list[str]) -> int:
        """Note which form was asked for."""
        _end_with_the_reader()
        self._json = params["json"]
        of_doit = args or any(params[n] for n in ("subtasks", "status", "list_deps", "template"))
        generators.Options.kinds = None if of_doit else frozenset()
        return int(super().execute(params, args))

    def _execute(
        self, subtasks: bool = False, quiet: bool = True, status: bool = False,
        private: bool = False, list_deps: bool = False, template: str | None = None,
        sort: str = "name", pos_args: Any = None,
    ) -> int:  # fmt: skip
        """List the models; every form of doit's own list is still there."""
        if subtasks or status or list_deps or template or pos_args:
            return int(
                super()._execute(
                    subtasks, quiet, status, private, list_deps, template, sort, pos_args
                )
            )
        state = open_state()
        rows = [_row(model, state) for model in generators.models()]
        if self._json:
            json.dump(rows, self.outstream, indent=2)
            self.outstream.write("\n")
        elif rows:
            self.outstream.write(_table(rows))
        else:
            self.outstream.write("no models: a folder with a model.json below model_definitions/\n")
        self.dep_manager.close()
        return 0


def _row(model: Model, state: State) -> dict[str, Any]:
    """Return what `doit list` says of a model."""
    train, evaluate, _ = plan.steps_of(model)[:3]
    reasons = {step.task: explain(step, state) for step in (train, evaluate)}
    stale = [step for step in (train, evaluate) if reasons[step.task]]
    if model.broken:
        word = "broken"
    elif any(os.path.exists(execute.failed_folder(step)) for step in stale):
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


class _ModelCommand(DoitCmdBase):
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
    doc_purpose = "check the files of every model, without running anything"
    doc_usage = ""
    doc_description = "Exit status 1 where a model cannot run; warnings leave it 0."

    def _execute(self, json: bool) -> int:
        """Show every fault of every model."""
        models = generators.models()
        faults = [fault for model in models for fault in model.faults]
        broken = [model for model in models if model.broken]
        if json:
            _print_json([asdict(fault) for fault in faults])
        else:
            for fault in faults:
                print(fault)
            warnings = sum(fault.warning for fault in faults)
            print(
                f"{len(models)} models: {len(models) - len(broken)} can run, {len(broken)} cannot"
                f" ({len(faults) - warnings} faults, {warnings} warnings)"
            )
        self.dep_manager.close()
        return 1 if broken else 0


class Forget(DoitForget):
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
