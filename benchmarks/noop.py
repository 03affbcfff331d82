"""How long nothing takes: a repository of N models where all is up to date, against other tools.

The same graph, two steps a model and eight inputs a step, is given to plain doit, ninja and make;
`pip install ninja` brings the second.  Then one file is edited, one model is named, and every input
is touched.  With `--locked` each model has requirements and a lock (made once, so the package index
is asked for it), two inputs more.

    python benchmarks/noop.py --models 1000
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from common import (
    SAMPLE_HEADS,
    Contender,
    Sample,
    doit,
    model_name,
    print_race,
    print_repeat,
    print_table,
    progress,
    sample_row,
    variables,
)
from graph import SETTLE_SECONDS, others, plain, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FEW = 10
MANY_MODELS = 10_000
FEW_MODELS = 1000  # up to here, doit's own start may come on top
START_RATIO, RATIO, FOUND_RATIO, ONE_RATIO = 3.0, 4.0, 1.3, 1.1
PEAK_MB = 250

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
        repository, few = folder / "many", folder / "few"
        for place, models in ((repository, options.models), (few, FEW)):
            place.mkdir(exist_ok=True)
            files = prepare(place, models, locked=options.locked)
            print(f"{models} models, {2 * models} steps, {len(files)} files", flush=True)
            for contender in [Contender("ours", doit(), place), *others(place)]:
                progress(f"the first time with {contender.name}")
                contender.run()
        print()
        _compare(repository, options.models, options.rounds)
        _found(repository, options.models, options.rounds)
        _one(repository, few, options.rounds)
        _commands(repository, options.rounds)
        if options.touch:
            _touch(repository, options.rounds)
    print_repeat()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=1000, help="default: 1000")
    parser.add_argument("--rounds", type=int, default=7, help="of each comparison, default: 7")
    parser.add_argument("--touch", action="store_true", help="touch every input, too")
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


def _compare(folder: Path, models: int, rounds: int) -> None:
    """Compare a no-op with each tool, beside doit's own start."""
    start = Contender("doit, empty dodo.py", plain(folder, "dbm", "empty.py").command, folder)
    racing = [Contender("ours", doit(), folder), start, *others(folder)]
    samples = print_race("no-op", racing, rounds)
    found = dict(zip((one.name for one in racing), samples, strict=True))
    _expect(found["ours"], "nothing to do")
    for name in ("plain doit, dbm", "plain doit, sqlite3"):
        _expect(found[name], "\n-- evaluate:")
        if any("\n.  " in sample.output for sample in found[name]):
            sys.exit("plain doit had something to do")
    if "ninja" in found:
        _expect(found["ninja"], "no work to do")
        pairs = zip(found["ours"], found["doit, empty dodo.py"], found["ninja"], strict=True)
        few = models <= FEW_MODELS
        _meets(
            f"no-op against {'doit, empty, + 3 x ninja' if few else '4 x ninja'}",
            [
                ours.seconds / (start.seconds + START_RATIO * ninja.seconds)
                if few
                else ours.seconds / (RATIO * ninja.seconds)
                for ours, start, ninja in pairs
            ],
            1.0,
        )
    _meets("peak MB", [max(sample.peak_mb for sample in found["ours"])], PEAK_MB)


def _meets(what: str, values: Sequence[float], limit: float) -> None:
    """Print a figure, the median of these values, beside what it is to be at most."""
    value = statistics.median(values)
    word = "met" if value <= limit else "MISSED"
    print(f"{what}: {value:.2f} (least {min(values):.2f}), at most {limit:g}: {word}\n", flush=True)


def _expect(samples: Sequence[Sample], words: str) -> None:
    """End the benchmark where what was measured is not what was meant."""
    wrong = [sample.output for sample in samples if words not in sample.output]
    if wrong:
        sys.exit(f"expected {words!r}, found:\n{wrong[0][-2000:]}")


def _found(folder: Path, models: int, rounds: int) -> None:
    """Compare how long it takes until the step of an edited file starts with a no-op."""
    source = folder / f"model_definitions/{model_name(models // 2)}/model_modules/training.py"
    idle = Contender("ours", doit(), folder)
    ratios = []
    for number in range(rounds):
        progress(f"one edited file, round {number + 1} of {rounds}")
        idle.run()  # which has something to learn of what ran
        before = idle.run()
        _expect([before], "nothing to do")
        with source.open("a", encoding="utf-8") as file:
            file.write(f"EDITED = {time.time_ns()}\n")
        time.sleep(SETTLE_SECONDS)
        ratios.append(_until_started(folder) / before.seconds)
    progress("")
    # Among few models, what is measured is doit's own start.
    limit = FOUND_RATIO if models >= MANY_MODELS else math.inf
    _meets(f"one edited file among {models} models found, against a no-op", ratios, limit)


def _until_started(folder: Path) -> float:
    """Return how long doit takes (s) until it starts a step; then it goes on to its end."""
    began = time.perf_counter()
    with subprocess.Popen(
        doit(), cwd=folder, env=variables(folder), stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        took = time.perf_counter() - began
        process.communicate()
    if not line.endswith("started\n"):
        sys.exit(f"expected a step to start, found: {line}")
    return took


def _one(many: Path, few: Path, rounds: int) -> None:
    """Compare one model among many with one among few, current and run."""
    for words in ([], ["-a"]):
        command = doit("run", *words, f"train:{model_name(1)}")
        racing = [
            Contender(f"{' '.join(['doit', *words])} train:one of {name}", command, folder)
            for name, folder in (("many", many), ("few", few))
        ]
        samples = print_race("one model", racing, rounds)
        ratios = [a.cpu / b.cpu for a, b in zip(*samples, strict=True)]
        _meets(f"{racing[0].name}, CPU against {FEW}", ratios, ONE_RATIO)


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


def _touch(folder: Path, rounds: int) -> None:
    """Compare the first and the second no-op after every input has a new time, and count reads.

    ninja and make would build all of it anew, so they are not asked.
    """
    place = ["-f", doit()[2], "-d", "."]
    inputs = [path for path in folder.glob("model_definitions/**/*") if path.is_file()]
    files = [str(path.relative_to(folder)) for path in inputs]
    runs = {
        "ours": Contender("ours", [sys.executable, "-c", COUNTED_DOIT, "run", *place], folder),
        "plain doit, dbm": plain(folder, "dbm"),
        "plain doit, sqlite3": plain(folder, "sqlite3"),
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


if __name__ == "__main__":
    main()
