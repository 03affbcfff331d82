"""What doit's commands share here: how models and tasks are named, and how errors are told."""

from __future__ import annotations

import fnmatch
import os
import re
import signal
from typing import TYPE_CHECKING, Any

from doit.cmd_base import Command, subtasks_iter
from doit.cmdparse import CmdParse, CmdParseError
from doit.exceptions import InvalidCommand, InvalidDodoFile

from tasks import generators, plan, processes, slips
from tasks.errors import UserError, did_you_mean
from tasks.looks import MODELS, is_model_folder
from tasks.model import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.model import Model

KINDS = ("env", "lock", "image", "k8s", *STEPS)

_OF_DOITS_STATE = ("DB backend", "doit core")
"""doit's sections of options that work and that nobody needs here."""

_NO_NUMBER = re.compile(
    r"Error parsing parameter '(?P<option>\w+)' <class 'int'>\.\n"
    r"invalid literal for int\(\) with base 10: (?P<quote>['\"])(?P<value>.*)(?P=quote)"
)
"""How doit and Python say it."""


def option(name: str, kind: type, help_text: str) -> dict[str, Any]:
    """Return an option as doit describes one; its default is that of its type."""
    default = kind()
    return {"name": name, "long": name, "type": kind, "default": default, "help": help_text}


def parsed(command: Any, words: list[str], first: str = "") -> tuple[Any, list[str]]:
    """Return the options of a command line and the rest, or say in short what is wrong with it.

    `first` is a word before them that may be a misspelled command.
    """
    try:
        options, rest = command.cmdparser.parse(words)
    except CmdParseError as error:
        reason = str(error).partition("(parsing options")[0].strip().rpartition("parsing Command: ")
        meant = slip(first, command.loader.cmd_names) or _option_meant(command, reason[2])
        raise InvalidCommand(
            f"`doit {command.name}`: {_no_number(command, words, reason[2]) or reason[2]}\n\n"
            f"hint: {meant or f'`doit help {command.name}` lists its options'}"
        ) from error
    return options, rest


def slip(word: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?` for the known word of which this is a slip, or nothing."""
    meant = slips.meant(word, known)
    return f"did you mean `{meant}`?" if meant else ""


def _option_meant(command: Command, reason: str) -> str:
    """Return `did you mean ...?` for an option that there is not, an empty string for the rest."""
    found = re.fullmatch(r"option --(.+) not recognized", reason)
    known = [name.rstrip("=") for name in command.cmdparser.get_long()]
    return did_you_mean(found[1], known).replace(" `", " `--") if found else ""


def _no_number(command: Command, words: Sequence[str], reason: str) -> str:
    """Return what is wrong with an option that takes a number, nothing for another reason."""
    found = _NO_NUMBER.fullmatch(reason)
    if not found:
        return ""
    short = command.cmdparser[found["option"]].short
    name = command.cmdparser[found["option"]].long
    typed = f"-{short}" if short and any(w.startswith(f"-{short}") for w in words) else f"--{name}"
    return f"{typed} takes a number, not {found['value']}"


class FriendlyCommand:
    """What our commands have in common: help where it is asked for, and short errors.

    Options count behind words too, where people write them, and not only before the first.
    """

    def takes_options_behind(self, _word: str) -> bool:
        """Return whether what stands behind a word can be an option of this command."""
        return True

    def help(self: Any) -> str:
        """Return doit's help with our defaults, without the options for a state of its own."""
        parser = self.cmdparser
        shown = [one for one in parser.options if one.section not in _OF_DOITS_STATE]
        self._cmdparser = CmdParse(shown)
        self._cmdparser.overwrite_defaults(generators.CONFIG)
        try:
            return str(Command.help(self))
        finally:
            self._cmdparser = parser

    def parse_execute(self: Any, in_args: list[str]) -> int:
        """Parse and execute, as doit calls it; Ctrl-C needs no traceback."""
        if not {"-h", "--help"}.isdisjoint(in_args):
            print(self.help())
            return 0
        params, rest = parsed(self, in_args)
        params.update(self.opt_vals)
        args = []
        while rest:
            args.append(rest.pop(0))
            if self.takes_options_behind(args[-1]):
                ours = self.takes_options_behind(args[0])
                more, rest = parsed(self, rest, "" if ours else args[0])
                for name in more._non_default_keys:  # noqa: SLF001 - doit's own way to know
                    params[name] = more[name]
        before = {
            number: signal.signal(number, processes.terminated)
            for number in processes.ENDING
            if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` has it
        }
        try:
            return int(self.execute(params, args) or 0)
        except InvalidDodoFile as error:
            raise InvalidDodoFile(f"{error}{_where_else(params['dodoFile'])}") from error
        except KeyboardInterrupt as interrupt:
            return processes.status_after(interrupt)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _where_else(dodo: str) -> str:
    """Return where doit is to be run whose tasks are missing here, nothing where they are not."""
    name, above = os.path.basename(dodo), os.path.dirname(os.path.abspath(dodo))
    if os.path.exists(dodo):
        return ""
    while not os.path.exists(f"{above}/{name}"):
        if above == os.path.dirname(above):
            return "\nhint: run it in the folder of a repository of models"
        above = os.path.dirname(above)
    return f"\nhint: `doit -k` runs in {above}"


def folders_named(words: Sequence[str], *, bare: bool = False) -> tuple[str, ...] | None:
    """Return the folders of the models, where each word names one by it; None where others may.

    So that of thousands of models only these are read.  With `bare`, a word may lack its kind.
    """
    found = []
    for word in words:
        kind, colon, variant = word.partition(":") if ":" in word or not bare else ("", "", word)
        found.append(f"{MODELS}/{variant.partition('@')[0]}")
        if (colon and kind not in KINDS) or not is_model_folder(found[-1]):
            return None
    return tuple(dict.fromkeys(found)) or None


def named(
    words: Sequence[str],
    dataset: str = "",
    tasks: Sequence[Any] = (),
    command: str = "doit",
    commands: Iterable[str] = (),
) -> list[str]:
    """Return doit's task names for what a person typed; what `tasks` has is right already.

    Of a model without its step it is said how `command` takes it.  The first word may be one of
    `commands` that is misspelled.
    """
    exact = set() if dataset else {task.name for task in tasks}
    exact |= {target for task in tasks for target in task.targets}
    if not dataset and exact.issuperset(words):
        return list(words)
    models = generators.models()
    try:
        found = [w if w in exact else plan.find_task(w, dataset, models, KINDS) for w in words]
        kind = next((word for word in words if word in KINDS), "evaluate")
        for word in found if tasks else ():
            others = {*commands} - {word} if word == found[0] else set()
            _check_known(word, exact, models, f"{command} {kind}", others)
    except UserError as error:
        raise InvalidCommand(str(error)) from error
    return found


def alone(words: Sequence[str], tasks: Sequence[Any]) -> None:
    """Have the tasks that are named wait for no other task: `doit --single`.

    doit's own way to do that forgets all of them but the first.
    """
    known = {task.name: task for task in tasks}
    patterns = [word for word in words if "*" in word]
    chosen = {
        task.name: task
        for task in tasks
        if not {task.name, *task.targets}.isdisjoint(words)
        or any(fnmatch.fnmatch(task.name, pattern) for pattern in patterns)
    }
    chosen |= {sub.name: sub for task in [*chosen.values()] for sub in subtasks_iter(known, task)}
    for name, task in known.items():
        if name not in chosen:
            task.targets = []  # a task that reads them waits for this one
        elif not task.has_subtask:
            task.task_dep = [other for other in task.task_dep if other in chosen]
            task.wild_dep = []


def _check_known(
    word: str, exact: set[str], models: Sequence[Model], how: str, commands: set[str]
) -> None:
    """Raise UserError for a word that is no task, no target, and like none.

    `how` is what stands before the name of a model, `commands` are what else may be meant.
    """
    if "*" in word and not fnmatch.filter(exact, word):
        raise UserError(f"No task is like `{word}`", hint="`doit list --all` shows the tasks")
    if "*" not in word and word not in exact and word.partition(":")[0] not in KINDS:
        raise _unknown(word, exact, models, how, commands)


def misspelled(word: str) -> UserError | None:
    """Return the error for a word whose kind is nearly one, or a command, None for any other."""
    kind, colon, rest = word.partition(":")
    if not colon or kind in KINDS:
        return None
    if kind == "serve":
        return UserError(f"`{word}` is no step, but a command", hint=f"`doit {word}`")
    near = did_you_mean(kind, KINDS)
    hint = re.sub("`(.+?)`", lambda found: f"`{found[1]}:{rest}`", near)
    return UserError(f"There is no task `{word}`", hint=hint) if near else None


def _unknown(
    word: str, exact: set[str], models: Sequence[Model], how: str, commands: set[str]
) -> UserError:
    """Return the error for a word that is no task, a model's name without its step above all."""
    if error := misspelled(word):
        return error
    hint = ""
    if word in {value for model in models for value in (model.name, model.id, model.title)}:
        hint = f"name its step as well: `{how}:{word}`"
    elif ":" not in word:
        known = sorted({*exact, *commands, *(model.name for model in models)})
        hint = slip(word, known) or did_you_mean(word, known)
    return UserError(f"There is no task `{word}`", hint=hint or "`doit list` shows the models")
