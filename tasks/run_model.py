"""`cli/run-model-cli.py`: run one step of a model into a scratch folder, and show what came of it.

What the model prints and how far it is goes to stderr, the result to stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
import termios
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tasks import discover, plan, processes, prompts, publish, records, scratch
from tasks.errors import NotGoodEnough, UserError, did_you_mean, refused
from tasks.folders import remove_tree, repository_of
from tasks.looks import MODELS
from tasks.model import DEFAULT_DATASET, STEPS
from tasks.places import HERE, On
from tasks.screen import Screen
from tasks.state import open_state
from tasks.wording import number_text, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tasks.execute import Outcome
    from tasks.model import Model
    from tasks.plan import Step
    from tasks.state import State

RUNNER = Path(__file__).parent.parent
NOT_UNDERSTOOD = 2
PREFIX = "run-model-"
LISTED = 20  # so many artefacts are named, the rest is counted

_ABOUT = {
    "train": "train the model",
    "evaluate": "measure the trained model",
    "score": "predict with the trained model",
}
_DATASETS = (
    "`-d` takes the name of a dataset of the model, or a JSON file: that names a CSV by its `url`"
)
LAID_OUT = {"checkpoints", "failed", "held", "models", "results", "runs"}
"""What is in a scratch folder."""


@dataclass(frozen=True)
class Asked:
    """What the command line said, empty where it said nothing; paths are absolute."""

    model: str
    mode: str
    data: str
    data_file: str
    output: str
    debug: bool


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    for number in processes.ENDING:
        signal.signal(number, processes.terminated)
    status = NOT_UNDERSTOOD
    try:
        asked = _parsed(words)
        os.chdir(repository_of(os.getcwd()))
        publish.publisher()
        state = open_state()
        on = On(terminal=_terminal()) if asked.debug else HERE
        step = _chosen(asked, state)
        status = 1
        with _restored(on.terminal):
            return _run(step, state, on, temporary=not asked.output)
    except UserError as error:
        error.facts = tuple(fact for fact in error.facts if fact[0] != "log")  # it was shown
        sys.stderr.write(f"{error}\n")
        return status
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.stop_all()
        return processes.status_after(interrupt)
    except BrokenPipeError:  # nobody reads the result
        return processes.status_unread()
    except OSError as error:
        sys.stderr.write(f"{refused(error)}\n")
        return 1


def _parsed(words: Sequence[str]) -> Asked:
    """Return what the command line says; it ends here, with status 2, where that is no sense."""
    parser = argparse.ArgumentParser(
        prog="run-model-cli.py",
        usage="%(prog)s [-id MODEL] [-m MODE] [-d DATASET] [-o DIR] [--debug]\n"
        "       %(prog)s MODEL MODE [-d DATASET] [-o DIR] [--debug]",
        description="Run one step of a model as `doit` would, into a scratch folder.",
        epilog="What is not said is asked for. Exit status: 0 done, 1 the step failed,"
        " 2 not understood, 130 ended by Ctrl-C.",
    )
    add = parser.add_argument
    add("words", nargs="*", help=argparse.SUPPRESS)
    add("-id", "--model_id", metavar="MODEL", help="its folder, id or name, or how one begins")
    add("-m", "--mode", metavar="MODE", help=f"{', '.join(STEPS[:-1])} or {STEPS[-1]}")
    add("-d", "--data", metavar="DATASET", help="a dataset of the model, or a JSON file anywhere")
    add("-o", "--output", metavar="DIR", help="the scratch folder; else a new temporary one")
    add("--debug", action="store_true", help="give the step this terminal; an error opens pdb")
    found = parser.parse_args(words)
    rest = iter(found.words)
    model, mode = found.model_id or next(rest, ""), found.mode or next(rest, "")
    for word in rest:
        parser.error(f"`{word}` is one word too many")
    if mode and mode not in STEPS:
        near = did_you_mean(mode, STEPS)
        parser.error(f"there is no mode `{mode}`: {', '.join(STEPS)}" + (near and f"; {near}"))
    data, output = found.data or "", found.output and os.path.abspath(found.output)
    data_file = os.path.abspath(data) if os.path.isfile(data) else ""
    return Asked(model, mode, data, data_file, output or "", found.debug)


def _terminal() -> str:
    """Return the path of the terminal that a person sits at.  Raises UserError without one."""
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError):
        raise UserError(
            "There is no terminal to debug the step in",
            hint="leave `--debug` out, or start the command in a terminal",
        ) from None


@contextlib.contextmanager
def _restored(terminal: str) -> Iterator[None]:
    """Leave a terminal as it was: a process that is ended while it is edited does not."""
    number = sys.stdin.fileno() if terminal else None
    before = termios.tcgetattr(number) if number is not None else None
    try:
        yield
    finally:
        if number is not None and before is not None:
            termios.tcsetattr(number, termios.TCSADRAIN, before)


def _chosen(asked: Asked, state: State) -> Step:
    """Return the step that is to be run, asked for where the command line does not say."""
    models = sorted(discover.discover(state.files), key=lambda model: model.name)
    if not models:
        hint = "`cli/repo-cli.py --add` of modelmake makes one"
        raise UserError(f"There is no model below `{MODELS}/`", hint=hint)
    titles = [(model.name, model.title) for model in models]
    model = plan.find_model(asked.model or prompts.choose("Select Model:", titles, "-id"), models)
    mode = asked.mode or prompts.choose("Select Mode:", list(_ABOUT.items()), "-m")
    name, given = asked.data, None
    people = prompts.on_terminal() or not (asked.model and asked.mode)
    if not name and model.dataset_names and people:
        name = _ask_dataset(model, mode)
    if asked.data_file and name not in model.dataset_names:
        name, given = DEFAULT_DATASET, discover.read_dataset(asked.data_file, model, state.files)
    elif ("/" in name or "." in name) and name not in model.dataset_names:
        near = did_you_mean(name, model.dataset_names)
        raise UserError(f"There is no file `{name}`", hint=near or _DATASETS)
    elif name:
        plan.find_task(f"{mode}:{model.name}", name, models, STEPS)
    place = _checked(asked.output) if asked.output else tempfile.mkdtemp(prefix=PREFIX)
    return plan.Step(model, mode, name, place, given)


def _checked(folder: str) -> str:
    """Return a scratch folder that a person names.  Raises UserError where it is something else."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UserError(f"`{folder}` is no folder", hint="`-o DIR` names a new folder")
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    foreign = there - LAID_OUT or (there and "held" not in there)
    if foreign or os.path.realpath(folder) == os.path.realpath(plan.BUILD):
        raise UserError(
            f"`{folder}` holds other things",
            hint="`-o DIR` names a new or an empty folder, or one that an earlier run has made",
        )
    return folder


def _ask_dataset(model: Model, mode: str) -> str:
    """Have one of a model's datasets chosen; the default one is the empty name."""
    default = "default"
    while default in model.dataset_names:
        default += "_"
    about = plan.Step(model, mode).dataset.path or "no dataset"
    named = [(name, plan.Step(model, mode, name).dataset.path) for name in model.dataset_names]
    answer = prompts.choose("Select Dataset:", [(default, about), *named], "-d")
    return DEFAULT_DATASET if answer == default else answer


def _run(step: Step, state: State, on: On, *, temporary: bool) -> int:
    """Run the step and show what came of it; return the exit status."""
    status = 1
    try:
        with Screen(sys.stderr, live=not on.terminal) as screen:
            screen.say(f"in {step.build}")
            outcome = _waited_for(lambda: scratch.run(step, state, screen.begin, screen.say, on))
        status = 0
    except NotGoodEnough as error:
        _show_metrics(error.metrics)
        raise
    finally:
        state.save({})
        if temporary and status and not os.path.exists(f"{step.build}/failed"):
            remove_tree(step.build)
    _show(step, outcome)
    return status


def _waited_for(act: Callable[[], Outcome]) -> Outcome:
    """Act in a thread, so that a signal finds this one free to end what the other has started."""
    future: Future[Outcome] = Future()

    def work() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return future.result()
    except KeyboardInterrupt:
        processes.stop_all()
        wait([future], processes.STOP_SECONDS)  # it clears away what it has begun
        raise


def _show(step: Step, outcome: Outcome) -> None:
    """Print the metrics, where the artefacts are, and the line that does the same in the build."""
    _show_metrics(outcome.metrics)
    print("artefacts    ", step.folder)
    with open(f"{step.folder}/{plan.ARTEFACTS}", encoding="utf-8") as file:
        artefacts = {name: facts["size"] for name, facts in json.load(file)["files"].items()}
    shown = list(artefacts.items())[:LISTED]
    width = max((len(name) for name, _ in shown), default=0)
    for name, size in shown:
        print(f"                {name:<{width}}  {size} bytes")
    if len(artefacts) > LISTED:
        print(f"                and {len(artefacts) - LISTED} more")
    print("log          ", f"{step.folder}/{records.LOG}")
    if not step.given or os.path.isdir(f"{step.model.folder}/datasets"):
        print("in the build ", _doit(step), flush=True)


def _show_metrics(metrics: Mapping[str, float]) -> None:
    width = max((len(one_line(name)) for name in metrics), default=0)
    for name, value in metrics.items():
        print(f"{one_line(name):<{width}}  {number_text(value)}")
    if metrics:
        print()


def _doit(step: Step) -> str:
    """Return the command line that makes this result in the build."""
    own = os.path.exists("dodo.py")
    runner = [] if own else ["-f", str(RUNNER / "dodo.py"), "-d", os.getcwd()]
    words = ["doit", *runner, step.task]
    if not step.given:
        return shlex.join(words)
    name = Path(step.given.path).stem
    folder = f"{step.model.folder}/datasets/{name}"  # for this step alone
    commands = [
        ["mkdir", "-p", folder],
        ["cp", step.given.path, f"{folder}/{step.name}.json"],
        [*words, "--dataset", name],
    ]
    return " && ".join(map(shlex.join, commands))
