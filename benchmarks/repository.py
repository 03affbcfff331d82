"""A whole repository at once: how near a parallel run comes to the shortest that there could be.

Every model is trained and evaluated, two steps at a time.  No order can be faster than the longest
chain of steps (the training and the evaluation of one model), nor than half of all the work, with
the times that the steps took in this very run.  Then the same again, with nothing to do.

    python benchmarks/repository.py --models 7
    python benchmarks/repository.py --repository .
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

from common import Contender, doit, print_repeat, print_table, race, variables

PARALLEL = 2
TARGET = 1.15
IDLE_TARGET_SECONDS = 0.3
MADE = """
import time

def train(data_conf, model_conf, **kwargs):
    time.sleep({seconds})
    open("models/model", "w").write("m")

def evaluate(data_conf, model_conf, **kwargs):
    time.sleep({seconds} / 4)
    return {{"accuracy": 1}}
"""


def write_models(folder: Path, count: int) -> None:
    """Write models that only wait, each a second longer than the one before."""
    for number in range(count):
        top = folder / f"model_definitions/model-{number}"
        (top / "model_modules").mkdir(parents=True)
        about = {"id": f"benchmark-{number}", "name": f"Model {number}", "language": "python"}
        (top / "model.json").write_text(json.dumps(about), encoding="utf-8")
        text = MADE.format(seconds=number + 1)
        for name in ("training", "evaluation"):
            (top / f"model_modules/{name}.py").write_text(text, encoding="utf-8")


def measure(folder: Path) -> tuple[float, dict[str, float]]:
    """Run every model and return the time of the run (s), and that of each step."""
    command = doit("run", "-a", "-n", str(PARALLEL), "-r", "json")
    sample = Contender("all", command, folder, env=environment(folder)).run()
    events = [json.loads(line) for line in sample.output.splitlines() if line.startswith("{")]
    steps = {one["step"]: one["seconds"] for one in events if one["event"] == "finish"}
    return sample.seconds, steps


def environment(folder: Path) -> dict[str, str]:
    """Return the variables for a run; a repository that was there keeps the user's cache."""
    kept = variables(folder)
    if not folder.name.startswith("modelmake-"):
        kept.pop("MODEL_CACHE")
    return kept


def report(folder: Path) -> bool:
    """Measure, print and return whether both targets are met."""
    first = Contender("what is stale", doit("run"), folder, env=environment(folder)).run()
    print(f"what was stale, environments included: {first.seconds:.1f} s\n")
    seconds, steps = measure(folder)
    chains: dict[str, float] = defaultdict(float)
    for step, took in steps.items():
        chains[step.partition(":")[2]] += took
    longest, half = max(chains.values()), sum(steps.values()) / PARALLEL
    rows = [(name, f"{took:.1f}") for name, took in sorted(steps.items())]
    print_table(("step", "seconds"), rows)
    ratio = seconds / max(longest, half)
    print_table(
        ("all steps", "seconds"),
        [
            (f"the run, -n {PARALLEL}", f"{seconds:.1f}"),
            ("the longest chain", f"{longest:.1f}"),
            (f"all the work / {PARALLEL}", f"{half:.1f}"),
            (f"ratio (target {TARGET})", f"{ratio:.2f}"),
        ],
    )
    idle = Contender("nothing to do", doit("run"), folder, env=environment(folder))
    idle_seconds = min(sample.seconds for sample in race([idle], 5)[0])
    print(f"nothing to do: {idle_seconds:.2f} s (target {IDLE_TARGET_SECONDS})")
    return ratio <= TARGET and idle_seconds <= IDLE_TARGET_SECONDS


def main() -> None:
    """Measure a repository that is there, or one that is made."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=7, help="how many models to make")
    parser.add_argument("--repository", type=Path, help="a repository to measure instead")
    options = parser.parse_args()
    if options.repository:
        met = report(options.repository.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="modelmake-") as folder:
            write_models(Path(folder), options.models)
            met = report(Path(folder))
    print("both targets are met" if met else "a target is missed")
    print_repeat()


if __name__ == "__main__":
    main()
