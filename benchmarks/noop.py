"""How long nothing takes: a repository of N models where all is up to date, against other tools.

The same graph, two steps a model and about eight inputs a step, is given to plain doit, ninja and
make.  Then every input is touched, and one is edited.  With `--locked` each model has requirements
and a lock (made once, so the package index is asked for it), two inputs more.

    python benchmarks/noop.py --models 1000
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from common import (
    REQUIREMENTS,
    SAMPLE_HEADS,
    STEPS,
    Contender,
    Sample,
    doit,
    inputs_of,
    model_name,
    print_race,
    print_repeat,
    print_table,
    progress,
    sample_row,
    variables,
    write_repository,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PLACE = "model_definitions/{}"
LOCK = "envs/locks/{}.txt"
SETTLE_SECONDS = 0.1  # a digest taken in the tick of the write is not believed in the next run

PLAIN_DODO = """
import os

MODELS = sorted(os.listdir("model_definitions"))
DOIT_CONFIG = {"default_tasks": ["evaluate"]}


def write(targets):
    for target in targets:
        with open(target, "w") as file:
            file.write(target)


def step(model, name, sources, *more):
    folder = f"model_definitions/{model}"
    return {
        "name": model,
        "actions": [write],
        "file_dep": [
            *(f"{folder}/model_modules/{source}.py" for source in sources),
            f"{folder}/model.json",
            f"{folder}/config.json",
            f"{folder}/datasets/{name}.json",
            "data/shared.csv",
            *(path.format(model) for path in MORE),
            *more,
        ],
        "targets": [f"out/plain/{model}.{name}"],
    }


def task_train():
    for model in MODELS:
        yield step(model, "train", ("__init__", "training", "shared", "scoring"))


def task_evaluate():
    sources = ("__init__", "evaluation", "shared", "scoring")
    for model in MODELS:
        yield step(model, "evaluate", sources, f"out/plain/{model}.train")
"""

# doit as it comes: it finds our plugins like any other command does, and does not take them.
PLAIN_DOIT = """
import sys
import doit.plugin
from doit.doit_cmd import DoitMain

found = doit.plugin.entry_points_impl()
doit.plugin.entry_points_impl = lambda: lambda **of: [
    point for point in found(**of) if not point.value.startswith("tasks.")
]
sys.exit(DoitMain().run(sys.argv[1:]))
"""

# Our doit, which says at the end how many files it read.
COUNTED_DOIT = """
import sys
from doit.doit_cmd import DoitMain

status = DoitMain().run(sys.argv[1:])
from tasks.state import open_state

print("\\nreads", open_state().files.reads)
sys.exit(status)
"""


def main() -> None:
    """Measure and print."""
    options = _options()
    with _folder(options.at) as folder:
        files = _prepare(folder, options.models, locked=options.locked)
        _compare(folder, options.rounds)
        _commands(folder, options.rounds)
        _touch(folder, files, options.rounds)
        _edit(folder, options.models, options.rounds)
    print_repeat()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=1000, help="default: 1000")
    parser.add_argument("--rounds", type=int, default=7, help="of each comparison, default: 7")
    parser.add_argument("--locked", action="store_true", help="models with requirements")
    parser.add_argument("--at", type=Path, help="make the repository here and leave it")
    return parser.parse_args()


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="noop-") as folder:
            yield Path(folder)


def _prepare(folder: Path, models: int, *, locked: bool) -> list[str]:
    """Write the repository and the other tools' files, and build all of it once with each."""
    shutil.rmtree(folder / "model_definitions", ignore_errors=True)
    files = write_repository(folder, models)
    if locked:
        files += _lock(folder, models)
    for tool in ("plain", "ninja", "make"):
        (folder / "out" / tool).mkdir(parents=True, exist_ok=True)
    more = [f"{PLACE}/model_modules/requirements.txt", LOCK] if locked else []
    (folder / "plain.py").write_text(PLAIN_DODO.replace("MORE", repr(more)), encoding="utf-8")
    (folder / "build.ninja").write_text(_ninja(models, more), encoding="utf-8")
    (folder / "Makefile").write_text(_makefile(models, more), encoding="utf-8")
    time.sleep(SETTLE_SECONDS)
    print(f"{models} models, {2 * models} steps, {len(files)} files\n", flush=True)
    began = time.monotonic()
    _build_ours(folder, 2 * models)
    each = 1000 * (time.monotonic() - began) / (2 * models)
    print(f"built once with ours: {each:.0f} ms a step, on {os.cpu_count()} cores\n", flush=True)
    for contender in _contenders(folder)[1:]:
        progress(f"building with {contender.name}")
        contender.run()
    progress("")
    return files


def _lock(folder: Path, models: int) -> list[str]:
    """Give every model the same requirements, and the lock that one of them gets."""
    names = [model_name(number) for number in range(models)]
    wanted = [f"{PLACE}/model_modules/requirements.txt".format(name) for name in names]
    locks = [LOCK.format(name) for name in names]
    for path in wanted:
        (folder / path).write_text(REQUIREMENTS, encoding="utf-8")
    (folder / "envs" / "locks").mkdir(parents=True, exist_ok=True)
    progress("locking one model and building its environment")
    Contender("env", doit("run", f"env:{names[0]}"), folder).run()
    for path in locks[1:]:
        shutil.copyfile(folder / locks[0], folder / path)
    return [*wanted, *locks]


def _build_ours(folder: Path, steps: int) -> None:
    """Really train and evaluate every model, and show how far that is."""
    command = doit("run", "--reporter", "json")
    done = 0
    with subprocess.Popen(
        command, cwd=folder, env=variables(folder), stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            event = json.loads(line)
            done += event["event"] == "finish"
            progress(f"building with ours: {done} of {steps} steps")
            if event.get("error"):
                sys.exit(line)
    progress("")
    if process.returncode:
        sys.exit(f"building with ours exited with {process.returncode}")


def _rules(models: int, tool: str, more: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each step's target and what it is made from."""
    for number in range(models):
        name = model_name(number)
        also = [path.format(name) for path in more]
        targets = [f"out/{tool}/{name}.{step}" for step in STEPS]
        yield targets[0], [*inputs_of(name, "train"), *also]
        yield targets[1], [*inputs_of(name, "evaluate"), *also, targets[0]]


def _ninja(models: int, more: Sequence[str]) -> str:
    steps = _rules(models, "ninja", more)
    rules = (f"build {target}: touch {' '.join(made)}" for target, made in steps)
    return "\n".join(["rule touch", "  command = touch $out", *rules, ""])


def _makefile(models: int, more: Sequence[str]) -> str:
    rules = dict(_rules(models, "make", more))
    lines = [f"all: {' '.join(rules)}", ".PHONY: all"]
    lines += [f"{target}: {' '.join(made)}\n\ttouch $@" for target, made in rules.items()]
    return "\n".join([*lines, ""])


def _plain(folder: Path, backend: str) -> Contender:
    place = ["-f", "plain.py", "--backend", backend, "--db-file", f"out/plain.{backend}"]
    return Contender(
        f"plain doit, {backend}", [sys.executable, "-c", PLAIN_DOIT, "run", *place], folder
    )


def _contenders(folder: Path) -> list[Contender]:
    """Return who runs a no-op on the same graph; ours is the first."""
    found = [
        Contender("ours", doit(), folder),
        _plain(folder, "dbm"),
        _plain(folder, "sqlite3"),
    ]
    others = {"ninja": ["ninja"], "make": ["make", "--silent", "--no-builtin-rules"]}
    return found + [
        Contender(name, command, folder)
        for name, command in others.items()
        if shutil.which(name) or print(f"{name} is not installed\n")
    ]


def _compare(folder: Path, rounds: int) -> None:
    """Compare a no-op with each tool, beside the start of Python with doit."""
    floor = Contender("import doit", [sys.executable, "-c", "import doit.doit_cmd"], folder)
    samples = print_race("no-op", [*_contenders(folder), floor], rounds)
    _expect(samples[0], "nothing to do")
    for others in samples[1:3]:
        _expect(others, "\n-- evaluate:")
        if any("\n.  " in sample.output for sample in others):
            sys.exit("plain doit had something to do")


def _expect(samples: Sequence[Sample], words: str) -> None:
    """End the benchmark where what was measured is not what was meant."""
    wrong = [sample.output for sample in samples if words not in sample.output]
    if wrong:
        sys.exit(f"expected {words!r}, found:\n{wrong[0][-2000:]}")


def _commands(folder: Path, rounds: int) -> None:
    """Compare the commands that run nothing."""
    name = model_name(0)
    commands = {
        "doit": doit(),
        "doit list": doit("list"),
        "doit why one": doit("why", f"train:{name}"),
        "doit check": doit("check"),
        "doit evaluate:one": doit("run", f"evaluate:{name}"),
    }
    print_race(
        "commands", [Contender(words, line, folder) for words, line in commands.items()], rounds
    )


def _touch(folder: Path, files: Sequence[str], rounds: int) -> None:
    """Compare the first and the second no-op after every input has a new time, and count reads.

    ninja and make would build all of it anew, so they are not asked.
    """
    place = ["-f", doit()[4], "-d", "."]
    runs = {
        "ours": Contender("ours", [sys.executable, "-c", COUNTED_DOIT, "run", *place], folder),
        "plain doit, dbm": _plain(folder, "dbm"),
        "plain doit, sqlite3": _plain(folder, "sqlite3"),
    }
    samples: dict[str, list[Sample]] = {"ours, untouched": []}
    for number in range(rounds):
        samples["ours, untouched"].append(runs["ours"].run())
        _touch_all(folder, files)
        for name, contender in runs.items():
            progress(f"touched, round {number + 1} of {rounds}: {name}")
            for when in ("1st", "2nd"):
                samples.setdefault(f"{name}, {when}", []).append(contender.run())
    progress("")
    base = samples["ours, untouched"]
    rows = [
        (*sample_row(name, found, base), _reads(found, len(files)))
        for name, found in samples.items()
    ]
    print_table((f"touched {len(files)} files", *SAMPLE_HEADS, "reads a file"), rows)


def _touch_all(folder: Path, files: Sequence[str]) -> None:
    for path in files:
        os.utime(folder / path)
    time.sleep(SETTLE_SECONDS)


def _reads(samples: Sequence[Sample], files: int) -> str:
    """Return how often each file was read, where the command says so."""
    said = [sample.output.rpartition("\nreads ")[2] for sample in samples]
    if not all(text.strip().isdigit() for text in said):
        return ""
    return f"{statistics.median(int(text) for text in said) / files:.3f}"


def _edit(folder: Path, models: int, rounds: int) -> None:
    """Compare what tells of an edit, with the edit new to it each time, and then known."""
    name = model_name(models // 2)
    source = folder / "model_definitions" / name / "model_modules" / "training.py"
    edit = functools.partial(_append, source)
    why = doit("why", f"train:{name}")
    contenders = [
        Contender("doit list, just edited", doit("list"), folder, edit),
        Contender("doit list, again", doit("list"), folder),
        Contender("doit why, just edited", why, folder, edit),
        Contender("doit why, again", why, folder),
    ]
    samples = print_race("one edited file", contenders, rounds)
    _expect([*samples[2], *samples[3]], "training.py changed")


def _append(source: Path) -> None:
    with source.open("a", encoding="utf-8") as file:
        file.write(f"# edited at {time.time_ns()}\n")
    time.sleep(SETTLE_SECONDS)


if __name__ == "__main__":
    main()
