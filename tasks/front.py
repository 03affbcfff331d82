"""The command `doit`: answers at once where nothing is to do, and is doit itself for all else.

doit takes longer to load than thousands of files to look at.  So for a plain `doit`,
`doit train` or `doit train:MODEL` this looks first; where all of it is as it was when doit last
found nothing to do, it says so in doit's words.  It speaks only for a place that doit has vouched
for: that there, these words mean what they mean here, and nothing else is asked of it.
"""

from __future__ import annotations

import os
import sys

from tasks import looks, snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = ("train", "evaluate", "score")
RUNS = "build/runs"
"""Where runs under way have their folders, and runs that were killed what they left."""

NOT_UNDERSTOOD = 3
"""The exit status of a command that doit, or we, can make nothing of."""

PLACE = "place"
_CONFIGURATION = ("pyproject.toml", "doit.cfg")
_OPTIONS = ("-f", "-d")
_HELP = {"-h", "--help"}
_VARIABLES = ("MODEL_", "PYTHON")
_PLAIN = ("MODEL_CACHE", "MODEL_PROFILE", "PYTHON")


class Place:
    """Where doit was started: the folder, the file with the tasks, and the repository.

    `asked` is the place of this very command, where it is one of those that are answered here.
    """

    asked: Place | None = None

    def __init__(self, dodo: str, repository: str) -> None:
        """Take two of doit's options; empty ones were not given."""
        self.start = os.getcwd()
        self.dodo = os.path.abspath(dodo or "dodo.py")
        self.repository = os.path.abspath(repository or os.path.dirname(self.dodo))

    def __str__(self) -> str:
        """Name it, with the variables that count, as what doit has vouched for.

        Of one that may hold a secret, any but a few, its beginning counts: this is kept in a file.
        """
        names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
        values = {n: os.environ[n] for n in names}
        shown = {n: v.partition("://")[0] * ("://" in v) for n, v in values.items()}
        variables = [f"{n}={(values if n.startswith(_PLAIN) else shown)[n]}" for n in names]
        return "\n".join([self.start, self.dodo, *variables])

    @property
    def files(self) -> list[str]:
        """The files that say what a command means here."""
        return [self.dodo, *(f"{self.start}/{name}" for name in _CONFIGURATION)]


def main() -> int:
    """Answer, or have doit do it."""
    words = _understood(sys.argv[1:])
    if words is not None and Place.asked is not None:
        steps = 0
        try:
            steps = _current(words, Place.asked)
        except OSError:  # of all that can be wrong doit tells
            pass
        except KeyboardInterrupt as interrupt:
            from tasks.processes import status_after  # noqa: PLC0415 - slow to import

            return status_after(interrupt)
        if steps:
            _say(nothing_to_do(steps))
            return 0
    if "" in sys.argv:  # doit has no answer to that
        sys.stderr.write("ERROR: A word of the command is empty\n\nhint: is a variable not set?\n")
        return NOT_UNDERSTOOD
    from doit.doit_cmd import DoitMain  # noqa: PLC0415 - as above

    try:
        doit = DoitMain()
    except Exception as error:  # noqa: BLE001 - of whichever reader: the files are the user's
        sys.stderr.write(_unreadable(error))
        return NOT_UNDERSTOOD
    words = _spelled_out(sys.argv[1:])
    if words[:1] == ["help"] or not _HELP.isdisjoint(words):
        import signal  # noqa: PLC0415 - as above

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody may read on, as in `| head`
    try:
        return int(doit.run(words) or 0)
    except Exception as error:
        if not str(error).startswith("Plugin "):  # doit has no class of error for it
            raise
        sys.stderr.write(_unplugged(error))
        return NOT_UNDERSTOOD


def _say(answer: str) -> None:
    try:
        print(answer, flush=True)  # noqa: T201 - it is the command's answer
    except BrokenPipeError:  # nobody reads on, as in `| head`: nor what Python flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unreadable(error: Exception) -> str:
    """Return what is said where doit cannot read its configuration."""
    import configparser  # noqa: PLC0415 - slow to import

    file = _CONFIGURATION[isinstance(error, configparser.Error)]
    told = isinstance(error, (configparser.Error, ValueError, OSError))  # TOML's are ValueErrors
    reason = error if told else "`[tool.doit]` is not the table that doit's documentation tells of"
    return (
        f"ERROR: `{file}` cannot be read\n  file    {os.path.abspath(file)}\n"
        f"  reason  {reason}\n\nhint: correct it there; nothing was run\n"
    )


def _unplugged(error: Exception) -> str:
    """Return what is said where what doit is to load for a command is not there."""
    return (
        f"ERROR: {str(error).rstrip('.')}\n\n"
        "hint: after an update `./bootstrap doit list` brings the commands up to date;"
        f" a plugin of your own is named in `{'`, `'.join(_CONFIGURATION)}`\n"
    )


def nothing_to_do(steps: int) -> str:
    """Return what is said where all steps are up to date."""
    each = f": {steps} step{' is' if steps == 1 else 's are'} up to date" if steps else ""
    return f"nothing to do{each}"


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return a command line as doit knows it: `serve:MODEL` is `serve MODEL`, `-h` is `--help`.

    `serve:MODEL` is so as the first word alone; one behind an option may be what that takes.
    """
    if arguments[:1] == ["-h"]:
        return ["--help"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("serve:"):
            return ["serve", *(word.removeprefix("serve:") for word in arguments)]
        if not (word.startswith("-") or before.startswith("-")):
            break
    return [*arguments]


def _understood(arguments: Sequence[str]) -> list[str] | None:
    """Return the names of steps on a command line, None where there is anything else on it.

    The place that it is about becomes the one that was asked about.
    """
    options, words, rest = {}, [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word in _OPTIONS and rest and word not in options:
            options[word] = rest.pop(0)
        elif word.partition(":")[0] in STEPS and not set(word) & set("=*@"):
            words.append(word)
        elif word != "run" or words or "run" in options:
            return None
        else:
            options["run"] = ""
    if any(name.startswith("DOIT_") for name in os.environ):  # doit's options, in other words
        return None
    Place.asked = Place(options.get("-f", ""), options.get("-d", ""))
    return words


def _current(words: Sequence[str], place: Place) -> int:
    """Return how many steps these words mean, 0 unless all of them are known to be current."""
    before = os.getcwd()
    os.chdir(place.repository)
    try:
        if str(place) not in snapshot.held(PLACE, [str(place)]) or _left_over(RUNS):
            return 0
        named = [word for word in words if ":" in word]
        if named and len(named) < len(words):
            return 0
        return _named(named) if named else _all(words or ["evaluate"])
    finally:
        os.chdir(before)


def _all(names: Sequence[str]) -> int:
    """Return how many steps there are in all, 0 unless all are current."""
    steps = needed(names)
    folders, held = snapshot.survey(snapshot.kind_of(steps))
    return len(steps) * len(folders) if all(folder in held for folder in folders) else 0


def _named(tasks: Sequence[str]) -> int:
    """Return how many steps these tasks need, 0 unless all are current."""
    found = set()
    for task in tasks:
        step, _, name = task.partition(":")
        folder, steps = f"{looks.MODELS}/{name}", needed([step])
        if not looks.is_model_folder(folder) or not _holds(folder, steps):
            return 0
        found |= {f"{one}:{name}" for one in steps}
    return 0 if snapshot.ignored([*found]) else len(found)


def _holds(folder: str, steps: Sequence[str]) -> bool:
    """Return whether these steps of a model are current, by themselves or among all of them."""
    kinds = dict.fromkeys([snapshot.kind_of(steps), snapshot.kind_of(needed(["evaluate"]))])
    return any(
        folder in snapshot.held(kind, [folder]) for kind in kinds if set(steps) <= set(kind.split())
    )


def needed(steps: Sequence[str]) -> list[str]:
    """Return these kinds of steps with that which they work on, in their order."""
    return [step for step in STEPS if step in steps or step == "train"]


def _left_over(runs: str) -> bool:
    """Return whether a run that was killed has left its folder; those under way are held."""
    try:
        return not all(looks.is_held(f"{runs}/{name}/held") for name in os.listdir(runs))
    except FileNotFoundError:
        return False
