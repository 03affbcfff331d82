"""`doit [STEP:MODEL ...]`: doit's command `run`, with what the models' steps need of it."""

from __future__ import annotations

import ast
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from doit.cmd_run import Run as DoitRun
from doit.exceptions import InvalidCommand

from tasks import (
    front,
    generators,
    limits,
    looks,
    objects,
    places,
    processes,
    profiles,
    publish,
    results,
    shared,
    store,
)
from tasks.errors import UserError, refused
from tasks.folders import no_models
from tasks.model import STEPS
from tasks.naming import (
    KINDS,
    FriendlyCommand,
    alone,
    folders_named,
    named,
    option,
)
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TELLING_ALL = ("json", "evaluation")
"""The reporters that speak of steps with nothing to do as well."""


def _kinds(words: Sequence[str]) -> frozenset[str] | None:
    """Return the kinds of tasks that a run of these can come to; None where that is not plain."""
    kinds = {word.partition(":")[0] for word in words} or {"evaluate"}
    if not kinds <= set(KINDS):
        return None
    kinds |= {"evaluate"} if "image" in kinds else set()
    return frozenset(kinds | {"train"} if kinds & {"evaluate", "score"} else kinds)


def _has_only_ours(dodo: str) -> bool:
    """Return whether a file of tasks does nothing but import ours.

    Tasks of a user's own can name any of ours, which then have to be there.
    """
    try:
        with open(dodo, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, ValueError, SyntaxError):
        return False
    return all(map(_is_harmless, tree.body))


def _is_harmless(node: ast.stmt) -> bool:
    """Return whether a statement imports ours, in a `try` or not, or sets something to a value."""
    if isinstance(node, ast.Try):
        return all(map(_is_harmless, node.body)) and not (node.orelse or node.finalbody)
    if isinstance(node, ast.ImportFrom):
        return node.module == generators.__name__
    plain = (ast.Constant, ast.List)
    return isinstance(node, (ast.Assign, ast.Expr)) and isinstance(node.value, plain)


DOITS_OPTIONS = tuple(one for one in DoitRun.cmd_options if one["name"] != "par_type")
"""The options of doit's `run` but for one: our tasks run in threads, being processes anyway."""

RUN_OPTIONS = (
    option("dataset", str, "the dataset to use: datasets/NAME.json in the model's folder"),
    option("twice", bool, "run each named step twice and compare what it made, byte by byte"),
    option("on", str, "where steps run: local, container, kubernetes or dask"),
    option("enforce", bool, "hold each step to its limits of memory and processors"),
    option("as-of", str, "lock with the packages of a day, or of the model's last `commit`"),
)
"""The options of `run` that are not doit's own."""


def _check_surroundings() -> None:
    """Raise InvalidCommand where what is around the models cannot be used as it is asked for."""
    try:
        if generators.Options.on:
            places.check(generators.Options.on)
        publish.publisher()
        profiles.use_store()
        shared.check()
        if generators.Options.enforce and generators.Options.on in {"", places.LOCAL}:
            limits.check()
    except UserError as error:
        raise InvalidCommand(str(error)) from error


class Run(FriendlyCommand, DoitRun):
    """`doit [STEP:MODEL ...]`: run what must be run."""

    doc_usage = "[STEP:MODEL [--dataset NAME] [--twice] ...]"
    cmd_options = (*DOITS_OPTIONS, *RUN_OPTIONS)

    def takes_options_behind(self, word: str) -> bool:
        """Return whether it is a step of ours: behind a user's own task stand that task's."""
        return word.partition(":")[0] in KINDS

    def execute(self, params: Any, words: list[str]) -> int:
        """Note what is asked for, and of which models."""
        ours = _has_only_ours(params["dodoFile"])
        generators.Options.kinds = _kinds(words) if ours else None
        generators.Options.folders = folders_named(words) if ours else None
        generators.Options.force = params["always"]
        plain = set(words) <= set(KINDS) and not (params["always"] or params["twice"])
        quiet = params["reporter"] not in TELLING_ALL
        generators.Options.only_stale = ours and plain and quiet
        generators.Options.counted_by = words[0] if words else "evaluate"
        generators.Options.as_of = params["as-of"]
        generators.Options.on = params["on"]
        generators.Options.enforce = params["enforce"]
        if params["as-of"] and {word.partition(":")[0] for word in words} != {"lock"}:
            raise InvalidCommand("`--as-of` is for locks: `doit lock:MODEL --as-of commit`")
        self._ours = {"dataset": params["dataset"], "twice": params["twice"]}
        configured = any(self.config.values()) or not set(KINDS).isdisjoint(self.loader.cmd_names)
        self._words, self._plain = words, ours and not configured
        return int(super().execute(params, words))

    def _execute(
        self, outfile: Any, verbosity: Any = None, always: bool = False,
        continue_: bool = False, reporter: Any = "console", num_process: int = 0,
        single: bool = False, auto_delayed_regex: bool = False,
        force_verbosity: bool = False, failure_verbosity: int = 0, pdb: bool = False,
    ) -> int:  # fmt: skip
        """Run; an interruption ends what runs and leaves nothing half-made."""
        dataset, twice = self._ours["dataset"], self._ours["twice"]
        if dataset and self.sel_default_tasks:
            raise InvalidCommand("`--dataset` needs a step: `doit train:MODEL --dataset NAME`")
        if num_process < 0:
            raise InvalidCommand(
                f"`-n` takes 0 or more, not {num_process}\n\n"
                "hint: with 0 or 1 steps run one by one, without it as many at once as processors"
            )
        self._warn_without_models()
        self.sel_tasks: list[str] = named(
            self.sel_tasks, dataset, self.task_list, commands=self.loader.cmd_names
        )
        _check_surroundings()
        generators.Options.twice = frozenset(self.sel_tasks) if twice else frozenset()
        if single:
            alone(self.sel_tasks, self.task_list)
        to_do = self._vouch(generators.Options.folders or ())
        try:
            results.sweep()
            objects.sweep(store.ROOT)
            status = int(
                super()._execute(
                    outfile, verbosity, always, continue_, reporter, num_process, "thread",
                    False, auto_delayed_regex, force_verbosity, failure_verbosity, pdb,
                )
            )  # fmt: skip
            if status == 0:
                self._vouch_anew(to_do)
            # doit's 2 says that a step could not run because another failed: no news to a caller.
            return min(status, 1)
        except KeyboardInterrupt as interrupt:
            processes.stop_all()
            limits.clear_all()
            return processes.status_after(interrupt)
        except BrokenPipeError:  # nobody reads on, as in `doit | head`
            processes.stop_all()
            limits.clear_all()
            return processes.status_unread()
        except OSError as error:
            if error.filename != outfile:
                raise
            raise InvalidCommand(str(refused(error))) from error

    def _warn_without_models(self) -> None:
        """Say on standard error that there is no folder for models, where steps are asked for."""
        kinds = {word.partition(":")[0] for word in self._words}
        fault = no_models() if kinds <= set(STEPS) and (kinds or self._plain) else None
        if fault:
            sys.stderr.write(f"{replace(fault, warning=True)}\n")

    def _vouch(self, folders: Iterable[str]) -> list[str]:
        """Have the next command that is like this one answered without doit, see `front`.

        Returns those of the models' folders in which something is to be done.
        """
        place, state = front.Place.asked, open_state()
        if place is None or not self._plain or self.sel_tasks != (self._words or ["evaluate"]):
            return []
        kinds = [step for step in STEPS if step in (_kinds(self._words) or ())]
        to_do = [folder for folder in folders if generators.learnt(folder, kinds)]
        with state.files.tracing() as trace:
            for path in place.files:
                state.files.look(path)
        state.conclude(front.PLACE, str(place), trace)
        return to_do

    def _vouch_anew(self, made: Iterable[str]) -> None:
        """Look again at the models that this command has made, as the next one would have to."""
        folders = [*made, *generators.stale_folders()]
        if folders and front.Place.asked:
            time.sleep(looks.TICK_NS / looks.SECOND_NS)
            state = open_state()
            state.look_anew()
            self._vouch(folders)
            state.save({})
