"""What the benchmarks share: a repository of tiny models, measured commands, aligned tables."""

from __future__ import annotations

import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

RUNNER = Path(__file__).resolve().parent.parent
SHARED_DATA = "data/shared.csv"
STEPS = ("train", "evaluate")
REQUIREMENTS = "jsonschema\nnox\nrich\n"  # what the runner itself needs, so it is at hand

_MODULES = {
    "__init__": '"""A model of a benchmark."""\n',
    "shared": "def total(path):\n"
    "    with open(path) as file:\n"
    "        return sum(float(cell) for line in file for cell in line.split(','))\n",
    "training": "from .scoring import weigh\nfrom .shared import total\n\n\n"
    "def train(data_conf, model_conf, **kwargs):\n"
    "    value = weigh(model_conf, total(data_conf['data_path']))\n"
    "    with open('models/model.txt', 'w') as file:\n"
    "        file.write(str(value))\n",
    "scoring": "def weigh(model_conf, value):\n"
    "    return model_conf['hyperParameters']['factor'] * value\n",
    "evaluation": "from .scoring import weigh\nfrom .shared import total\n\n\n"
    "def evaluate(data_conf, model_conf, **kwargs):\n"
    "    with open('models/model.txt') as file:\n"
    "        made = float(file.read())\n"
    "    value = weigh(model_conf, total(data_conf['data_path']))\n"
    "    return {'accuracy': 1.0 if made == value else 0.0}\n",
}
_READ = {
    "train": ("__init__", "training", "shared", "scoring"),
    "evaluate": ("__init__", "evaluation", "shared", "scoring"),
}


def model_name(number: int) -> str:
    """Return the name of a model of the benchmark's repository."""
    return f"model-{number:05d}"


def inputs_of(model: str, step: str) -> list[str]:
    """Return the files that a step reads, without the artefacts of training."""
    folder = f"model_definitions/{model}"
    sources = [f"{folder}/model_modules/{name}.py" for name in _READ[step]]
    rest = [f"{folder}/{name}.json" for name in ("model", "config", f"datasets/{step}")]
    return [*sources, *rest, SHARED_DATA]


def write_repository(folder: Path, models: int) -> list[str]:
    """Write a repository of standard-library models; return the paths of their files."""
    written = [SHARED_DATA]
    contents: dict[str, str] = {SHARED_DATA: "1,2,3\n" * 20_000}
    for number in range(models):
        top = f"model_definitions/{model_name(number)}"
        about = {"id": f"benchmark-{number}", "name": f"Model {number}", "language": "python"}
        values = {"model": about, "config": {"hyperParameters": {"factor": 3}}}
        values |= {f"datasets/{step}": {"data_path": SHARED_DATA} for step in STEPS}
        files = {f"{top}/{name}.json": json.dumps(value) for name, value in values.items()}
        files |= {f"{top}/model_modules/{name}.py": text for name, text in _MODULES.items()}
        contents |= files
        written += files
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return written


def doit(*words: str) -> list[str]:
    """Return the command line of our doit: run in the repository, with this checkout's dodo.py."""
    named = bool(words) and words[0].isalpha() and words[0] not in STEPS
    front = [words[0]] if named else []
    place = ["-f", str(RUNNER / "dodo.py"), "-d", "."]
    return [str(Path(sys.executable).with_name("doit")), *front, *place, *words[len(front) :]]


def variables(folder: Path) -> dict[str, str]:
    """Return the variables for a run: a cache inside the folder, and tools as they come.

    PYTHONDONTWRITEBYTECODE, for one, would have every command compile the build system anew.
    """
    dropped = ("DOIT_", "MODEL_", "MAKE", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "MODEL_CACHE": str(folder / "cache"), "NO_COLOR": "1"}


@dataclass(frozen=True)
class Sample:
    """What one run of a command took."""

    seconds: float
    cpu: float
    peak_mb: float
    output: str


@dataclass(frozen=True)
class Contender:
    """A command that is measured; `before` is called, unmeasured, ahead of each run."""

    name: str
    command: Sequence[str]
    cwd: Path
    before: Callable[[], None] | None = None
    env: Mapping[str, str] | None = None

    def run(self) -> Sample:
        """Run it once; end the benchmark where it fails."""
        if self.before:
            self.before()
        env = self.env or variables(self.cwd)
        with tempfile.TemporaryFile() as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                self.command, cwd=self.cwd, env=env, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
        if process.returncode:
            sys.exit(f"{shlex.join(self.command)} exited with {process.returncode}\n{text}")
        cpu = usage.ru_utime + usage.ru_stime
        return Sample(seconds, cpu, usage.ru_maxrss / 1024, text)


def race(contenders: Sequence[Contender], rounds: int) -> list[list[Sample]]:
    """Run the contenders A B C A B C and return each one's samples.

    A round that does not count goes first: it fills the caches of all of them.
    """
    samples: list[list[Sample]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        for contender, found in zip(contenders, samples, strict=True):
            progress(f"round {number} of {rounds}: {contender.name}")
            found.append(contender.run())
    progress("")
    return [found[1:] for found in samples]


def progress(text: str) -> None:
    """Show what goes on, on one line of a terminal; nothing in a log."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def milliseconds(seconds: Iterable[float]) -> tuple[str, str]:
    """Return the median and the least of some times, in milliseconds."""
    times = [1000 * one for one in seconds]
    return f"{statistics.median(times):.1f}", f"{min(times):.1f}"


SAMPLE_HEADS = ("median ms", "least ms", "CPU ms", "peak MB", "ratio")


def sample_row(name: str, samples: Sequence[Sample], base: Sequence[Sample]) -> tuple[str, ...]:
    """Return a contender's row: its times, its memory, and its CPU time against the base's.

    CPU time, since the time on the clock is shared with whatever else this machine does.
    """
    cpu = statistics.median(sample.cpu for sample in samples)
    ratio = cpu / statistics.median(sample.cpu for sample in base)
    median, least = milliseconds(sample.seconds for sample in samples)
    return name, median, least, f"{1000 * cpu:.0f}", _peak(samples), f"{ratio:.2f}"


def _peak(samples: Sequence[Sample]) -> str:
    """Return the most memory; one that stayed below this process, its parent, cannot be told."""
    peak = max(sample.peak_mb for sample in samples)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{peak:.0f}" if peak > own + 1 else f"< {own:.0f}"


def print_race(title: str, contenders: Sequence[Contender], rounds: int) -> list[list[Sample]]:
    """Run a race and print its table; ratios are to the first contender."""
    samples = race(contenders, rounds)
    named = zip(contenders, samples, strict=True)
    rows = [sample_row(one.name, found, samples[0]) for one, found in named]
    print_table((title, *SAMPLE_HEADS), rows)
    return samples


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns: the first one aligned to the left, the others to the right."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        first, *rest = (
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())
    print(flush=True)


def print_repeat() -> None:
    """Print the command that was run, at the end, for whoever wants to see it again."""
    print(f"load at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"repeat: {shlex.join(['python', *sys.argv])}")
