"""doit's commands that only look: `list`, `why` and `check`."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase
from doit.cmd_list import List as DoitList
from doit.exceptions import InvalidCommand

from tasks import generators, listing, plan, profiles, sources
from tasks.environments import lock_file, reasons
from tasks.errors import Fault, UserError
from tasks.explain import acceptance, explain
from tasks.folders import no_models
from tasks.model import STEPS
from tasks.naming import KINDS, FriendlyCommand, folders_named, misspelled, named, option
from tasks.state import open_state
from tasks.wording import counted, main_metrics, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.model import Model
    from tasks.plan import Step

ROOM, LITTLE_ROOM = 60, 12  # characters for metrics in the list: off a terminal, at least on one
JSON_OPTION = option("json", bool, "print JSON, for programs")


def end_with_the_reader() -> None:
    """End without a word when nobody reads on, as in `doit list | head`."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class ListModels(FriendlyCommand, DoitList):
    """`doit list`: the models, their state and what they last measured."""

    name = "list"
    doc_purpose = "list the models, or with --all doit's tasks"
    doc_usage = "[MODEL ...]"
    cmd_options = (*DoitList.cmd_options, JSON_OPTION)

    def execute(self, params: Any, args: list[str]) -> int:
        """Note which form was asked for."""
        end_with_the_reader()
        self._json = params["json"]
        of_doit = any(params[name] for name in ("subtasks", "status", "list_deps", "template"))
        generators.Options.kinds = None if of_doit else frozenset()
        generators.Options.folders = None if of_doit else folders_named(args, bare=True)
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
        if pos_args:
            rows = [listing.row(model, state) for model in models_named(pos_args)]
        else:
            rows = listing.rows(state)
        if self._json:
            json.dump(rows, self.outstream, indent=2)
            self.outstream.write("\n")
        elif rows:
            wide = shutil.get_terminal_size().columns if self.outstream.isatty() else 0
            self.outstream.write(_table(rows, wide))
        else:
            self.outstream.write("no models: a folder with a model.json below model_definitions/\n")
        self.dep_manager.close()
        return 0


def models_named(words: Sequence[str]) -> Sequence[Model]:
    """Return the models that a person named, all where none is."""
    generators.Options.folders = generators.Options.folders or folders_named(words, bare=True)
    models = generators.models()
    try:
        return [plan.find_model(word, models) for word in words] if words else models
    except UserError as error:
        raise InvalidCommand(str(error)) from error


def _table(rows: Sequence[dict[str, Any]], wide: int) -> str:
    """Return the rows as aligned text, for a terminal as `wide` as that, 0: for none.

    Where a folder is named by its model's id, people know the model by its display name.
    """
    titled = any(row["name"] == row["id"] != row["title"] for row in rows)
    cells = [("MODEL", *(["NAME"] if titled else []), "FRAMEWORK", "STATE")]
    for row in rows:
        title = [one_line(row["title"])] if titled else []
        cells.append((row["name"], *title, row["framework"], row["state"]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = max(wide - sum(widths) - 2 * len(widths), LITTLE_ROOM) if wide else ROOM
    shown = [
        main_metrics(row["metrics"], "accepted" if row["accepted"] else "", room) for row in rows
    ]
    lines = [
        "  ".join([*map(str.ljust, line, widths), metrics])
        for line, metrics in zip(cells, ["METRICS", *shown], strict=True)
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


class ModelCommand(FriendlyCommand, DoitCmdBase):
    """A command that reads the models and runs nothing."""

    cmd_options: tuple[dict[str, Any], ...] = (JSON_OPTION,)

    def execute(self, params: Any, args: list[str]) -> int:
        """Have doit load no tasks: the models say it all."""
        end_with_the_reader()
        generators.Options.kinds = frozenset()
        return int(super().execute(params, args))


class Why(ModelCommand):
    """`doit why STEP:MODEL`: why a step would run, or an environment be built."""

    name = "why"
    doc_purpose = "tell why a step would run, or why an environment is as it is"
    doc_usage = "[STEP:MODEL ... | env:MODEL ... | MODEL ...]"
    doc_description = (
        "Without a name, all that `doit` would run.\nExit status 0: told; 3: there is no such step."
    )

    def execute(self, params: Any, args: list[str]) -> int:
        """Have only those models read that are named."""
        generators.Options.folders = folders_named(args, bare=True)
        return super().execute(params, args)

    def _execute(self, json: bool, pos_args: list[str]) -> int:
        """Tell each reason in one sentence; where none is named, of the steps that would run."""
        state = open_state()
        models = _models_of_environments(pos_args)
        steps = [word for word in pos_args or STEPS[:2] if word.partition(":")[0] != "env"]
        told = {f"env:{model.name}": reasons.why_built(model, state) for model in models}
        named = _steps(steps)
        told |= {step.task: explain(step, state) for step in named}
        about = {f"env:{model.name}": reasons.choice(model, state) for model in models}
        if json:
            print_json(told)
        else:
            shown = told if pos_args else {task: why for task, why in told.items() if why}
            if not shown:
                print(f"nothing to do: {counted(len(told), 'step')} are up to date")
            accepted = {step.task: acceptance(step, state) for step in named if step.task in shown}
            for task, because in shown.items():
                must = "must be built:" if task in about else "must run:"
                says = f": {accepted[task]}" if accepted.get(task) else ""
                print(f"{task} {must if because else f'is up to date{says}'}")
                for sentence in [*because, *about.get(task, ())]:
                    print(f"  {sentence}")
        self.dep_manager.close()
        return 0


def _models_of_environments(words: Sequence[str]) -> list[Model]:
    """Return the models whose environments a person named; `env` alone means all."""
    kinds = [word.partition(":") for word in words]
    names = [name for kind, _, name in kinds if kind == "env"]
    return list(models_named([] if "" in names else names)) if names else []


def _steps(words: Sequence[str]) -> list[Step]:
    """Return the steps that a person named; a model alone means its training and evaluation."""
    models = generators.models()
    for word in {*words} - {model.title for model in models}:
        if error := misspelled(word):
            raise InvalidCommand(str(error))
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
    names = named(words)
    for word in names:
        if word not in steps:
            raise InvalidCommand(f"`{word}` is not a step\n\nhint: for instance `train:MODEL`")
    return [steps[word] for word in names]


def print_json(value: object) -> None:
    """Print a value for programs."""
    json.dump(value, sys.stdout, indent=2)
    print()


class Check(ModelCommand):
    """`doit check`: look for faults in the models' files; nothing is built or run."""

    name = "check"
    doc_purpose = "check the files of the models, without running anything"
    doc_usage = "[MODEL ...]"
    doc_description = (
        "Exit status 1 where a model cannot run, there is no folder for models, a profile in"
        " pyproject.toml is not as it should be, or the table of models in README.md is not that"
        " of the models; warnings leave it 0."
    )

    def _execute(self, json: bool, pos_args: list[str]) -> int:
        """Show every fault of the models, and those of all else where no model is named."""
        from tasks import readme, strays  # noqa: PLC0415 - no other command needs them

        models = models_named(pos_args)
        each = [[*model.faults, *_found(model)] for model in models]
        faults = [fault for found in each for fault in found]
        if not pos_args:
            faults += strays.warnings({model.folder for model in models})
            others = (no_models(), readme.fault())
            faults += [*profiles.faults(), *(fault for fault in others if fault)]
        if json:
            print_json([asdict(fault) for fault in faults])
        else:
            for fault in faults:
                print(fault)
            warnings = sum(fault.warning for fault in faults)
            good = sum(all(fault.warning for fault in found) for found in each)
            print(
                f"{counted(len(models), 'model')}, of which {good} can run:"
                f" {counted(len(faults) - warnings, 'fault')}, {counted(warnings, 'warning')}"
            )
        self.dep_manager.close()
        return 1 if any(not fault.warning for fault in faults) else 0


def _found(model: Model) -> list[Fault]:
    """Return what the sources of a model show, its requirements, its lock and its data."""
    from tasks import data_checks  # noqa: PLC0415 - no other command needs them
    from tasks.environments import faults  # noqa: PLC0415

    found = [] if model.broken else [*_unparsed(model), *_steps_without(model)]
    found += [] if model.broken else faults.of_requirements(model, open_state())
    found += [] if model.broken else _damaged_lock(model)
    return [*found, *data_checks.warnings(model)]


def _damaged_lock(model: Model) -> Iterator[Fault]:
    """Yield a warning for a lock that will be made anew, maybe of other versions."""
    path = lock_file.lock_path(model)
    hint = f"`git checkout {path}` brings it back, `doit env:{model.name}` makes it anew"
    try:
        if lock_file.is_damaged(model, open_state().files):
            yield Fault(path, 0, "", "the lock is not whole", hint, warning=True)
    except UserError as error:  # that of a later version of this runner
        yield Fault(path, 0, "", error.headline, error.hint, warning=True)


def _unparsed(model: Model) -> Iterator[Fault]:
    """Yield a warning for each source that cannot be parsed: a newer Python might."""
    files = open_state().files
    found = {
        name: fault
        for step in STEPS
        for name, fault in sources.unparsed(step, model, files).items()
    }
    for name, (line, wrong) in sorted(found.items()):
        path = f"{model.root}/{sources.PACKAGE}/{name}"
        yield Fault(path, line, "", f"cannot be parsed: {wrong}", warning=True)


def _steps_without(model: Model) -> Iterator[Fault]:
    """Yield a warning for each step that plain `doit` takes and for which a model has no file."""
    for step in STEPS[:2]:
        names = sources.missing(step, model, open_state().files)
        if names:
            message = f"there is no {' or '.join(f'`{name}`' for name in names)}"
            hint = f"`doit {step}:{model.name}` has nothing to run"
            yield Fault(f"{model.root}/{sources.PACKAGE}", 0, "", message, hint, warning=True)
