"""Random edits, damage and failures against a naive model: "rebuild everything".

Whatever was done to the inputs, the outputs and the state file, what a run publishes is what a pure
function of the present inputs says.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

EXAMPLES = int(os.environ.get("RANDOM_EXAMPLES", "12"))

NAMES = ("ant", "bee", "cow", "dog")
EDITABLE = ("training", "evaluation", "shared", "config", "data", "dataset", "threshold")
STEPS = ("train", "evaluate")

SHARED = """\
import os

TOKEN = "{token}"


def fail_if_told(step, model_id):
    if os.path.exists(os.path.join(os.environ["FLAGS"], f"{step}-{model_id}")):
        raise RuntimeError("told to fail")
"""

TRAINING = """\
from . import shared

TOKEN = "{token}"


def train(data_conf, model_conf, model_id, **kwargs):
    with open("models/model.txt", "w") as file:
        file.write("half")
        file.flush()
        shared.fail_if_told("train", model_id)
        with open(data_conf["data_path"]) as data:
            parts = [TOKEN, shared.TOKEN, str(model_conf["token"]), data_conf["token"], data.read()]
        file.seek(0)
        file.write("|".join(parts))
"""

EVALUATION = """\
import json

from .shared import TOKEN as SHARED, fail_if_told

TOKEN = "{token}"


def evaluate(data_conf, model_conf, model_id, **kwargs):
    fail_if_told("evaluate", model_id)
    with open("models/model.txt") as file:
        parts = [TOKEN, SHARED, str(model_conf["token"]), data_conf["token"], file.read()]
    with open("models/report.txt", "w") as file:
        file.write("|".join(parts))
    with open("models/evaluation.json", "w") as file:
        json.dump({"value": int(TOKEN)}, file)
"""


@dataclass
class World:
    """A repository and what its inputs are: one small number for each thing that can be edited."""

    repository: Repository
    names: tuple[str, ...]
    inputs: dict[str, dict[str, int]] = field(default_factory=dict)

    def create(self) -> None:
        """Write every input of every model."""
        self.flags.mkdir(parents=True)
        for name in self.names:
            self.inputs[name] = dict.fromkeys(EDITABLE, 0)
            self.repository.write(f"model_definitions/{name}/model_modules/__init__.py", "")
            for what in EDITABLE:
                self.write(name, what)

    @property
    def flags(self) -> Path:
        """The folder of the flags that make a step fail."""
        return self.repository.path.parent / f"{self.repository.path.name}-flags"

    def path(self, name: str, what: str) -> Path:
        """Return the file that one thing to edit is in."""
        places = {
            "training": "model_modules/training.py",
            "evaluation": "model_modules/evaluation.py",
            "shared": "model_modules/shared.py",
            "config": "config.json",
            "data": "data.csv",
            "dataset": "datasets/train.json",
            "threshold": "model.json",
        }
        return self.repository.path / "model_definitions" / name / places[what]

    def write(self, name: str, what: str) -> None:
        """Write one input as it is now."""
        token = str(self.inputs[name][what])
        dataset = json.dumps({"data_path": "data.csv", "token": token})
        texts = {
            "training": TRAINING.replace("{token}", token),
            "evaluation": EVALUATION.replace("{token}", token),
            "shared": SHARED.replace("{token}", token),
            "config": json.dumps({"token": int(token)}),
            "data": f"{token}\n",
            "dataset": dataset,
            "threshold": json.dumps(
                {
                    "id": name,
                    "name": name,
                    "language": "python",
                    "evaluation": {"thresholds": {"value": {"min": -int(token)}}},
                }
            ),
        }
        self.path(name, what).parent.mkdir(exist_ok=True, parents=True)
        self.path(name, what).write_text(texts[what])
        if what == "dataset":
            other = self.path(name, what).with_name("evaluate.json")
            other.write_text(dataset)

    def made(self, name: str) -> dict[str, str]:
        """Return what rebuilding everything makes of a model, by step: the naive model."""
        now = {what: str(token) for what, token in self.inputs[name].items()}
        common = [now["shared"], now["config"], now["dataset"]]
        trained = "|".join([now["training"], *common, now["data"] + "\n"])
        return {"train": trained, "evaluate": "|".join([now["evaluation"], *common, trained])}

    def broken(self, name: str) -> bool:
        """Return whether a step of the model would fail now."""
        return any((self.flags / f"{step}-{name}").exists() for step in STEPS)

    def output(self, name: str, step: str) -> Path:
        """Return the folder of a result."""
        return self.repository.path / "build/models" / name / step


def edit(world: World, name: str, number: int) -> None:
    """Change (or revert) one input."""
    what = EDITABLE[number % len(EDITABLE)]
    world.inputs[name][what] = number // len(EDITABLE) % 3
    world.write(name, what)


def edit_keeping_its_time(world: World, name: str, number: int) -> None:
    """Change one input and give the file its old modification time again."""
    path = world.path(name, EDITABLE[number % len(EDITABLE)])
    before = path.stat()
    edit(world, name, number)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(world: World, name: str, number: int) -> None:
    """Change the times of every input and of nothing else."""
    del number
    for what in EDITABLE:
        world.path(name, what).touch()


def _files(world: World, name: str, number: int) -> list[Path]:
    folder = world.output(name, STEPS[number % len(STEPS)])
    return sorted(path for path in folder.rglob("*") if path.is_file())


def delete_output(world: World, name: str, number: int) -> None:
    """Delete one file of a result."""
    files = _files(world, name, number)
    if files:
        files[number % len(files)].unlink()


def corrupt_output(world: World, name: str, number: int) -> None:
    """Overwrite one file of a result by as many other bytes."""
    files = _files(world, name, number)
    if files:
        path = files[number % len(files)]
        path.write_bytes(b"?" * path.stat().st_size)


def delete_result(world: World, name: str, number: int) -> None:
    """Delete the name under which a result is published."""
    world.output(name, STEPS[number % len(STEPS)]).unlink(missing_ok=True)


def delete_state(world: World, name: str, number: int) -> None:
    """Delete the state file; what SQLite keeps beside it may be forgotten there."""
    del name
    for suffix in ("", "-wal", "-shm")[: 1 + number % 3]:
        (world.repository.path / f"build/state.db{suffix}").unlink(missing_ok=True)


def corrupt_state(world: World, name: str, number: int) -> None:
    """Make garbage of the state file: all of it, its second half, or cut it off."""
    del name
    path = world.repository.path / "build/state.db"
    if path.exists():
        data = path.read_bytes()
        garbage = hashlib.sha512(str(number).encode()).digest() * (len(data) // 64)
        half = len(data) // 2
        path.write_bytes((garbage, data[:half] + garbage[half:], data[:half])[number % 3])


def break_step(world: World, name: str, number: int) -> None:
    """Make a step fail from now on."""
    (world.flags / f"{STEPS[number % len(STEPS)]}-{name}").touch()


def mend(world: World, name: str, number: int) -> None:
    """Let every step of a model work again."""
    del number
    for step in STEPS:
        (world.flags / f"{step}-{name}").unlink(missing_ok=True)


OPERATIONS = (
    edit,
    edit_keeping_its_time,
    touch,
    delete_output,
    corrupt_output,
    delete_result,
    delete_state,
    corrupt_state,
    break_step,
    mend,
)

operations = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 3), st.integers(0, 41))
edits = st.tuples(st.just(edit), st.integers(0, 3), st.integers(0, 41))
rounds = st.tuples(
    st.lists(st.one_of(edits, operations), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(0, 3)),
)


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a smaller example would cost minutes
    suppress_health_check=list(HealthCheck),
)
@given(size=st.integers(1, 4), story=st.lists(rounds, min_size=3, max_size=3))
def test_every_result_is_that_of_a_rebuild(
    repository: Repository,
    size: int,
    story: list[tuple[list[tuple[object, int, int]], int | None]],
) -> None:
    """After any edits, damage and failures, what a run publishes is what a rebuild would make."""
    number = len(list(repository.path.parent.iterdir()))
    path = repository.path.parent / f"world-{number}"
    world = World(replace(repository, path=path), NAMES[:size])
    world.create()
    build_and_check(world, world.names)
    for steps, chosen in story:
        for operation, model, value in steps:
            operation(world, world.names[model % size], value)  # type: ignore[operator]
        build_and_check(world, world.names if chosen is None else (world.names[chosen % size],))
    for name in world.names:
        mend(world, name, 0)
    build_and_check(world, world.names)
    steps_in_all = len(STEPS) * size
    said = world.repository.doit(FLAGS=str(world.flags)).stdout
    assert f"nothing to do: {steps_in_all} steps are up to date\n" == said


def build_and_check(world: World, names: tuple[str, ...]) -> None:
    """Run doit for these models, and hold what it published against the naive model."""
    words = () if names == world.names else tuple(f"evaluate:{name}" for name in names)
    done = world.repository.doit(*words, FLAGS=str(world.flags))
    broken = [name for name in names if world.broken(name)]
    assert done.returncode == 0 or broken, done.stdout + done.stderr
    for name in names:
        if done.returncode == 0 or name not in broken:
            check_result(world, name)


def check_result(world: World, name: str) -> None:
    """Check that a model's results are those of its present inputs, and as recorded."""
    made = {
        "train": (world.output(name, "train") / "models/model.txt").read_text(),
        "evaluate": (world.output(name, "evaluate") / "models/report.txt").read_text(),
    }
    assert world.made(name) == made
    metrics = json.loads((world.output(name, "evaluate") / "metrics.json").read_text())
    assert {"value": float(world.inputs[name]["evaluation"])} == metrics["metrics"]
    for step in STEPS:
        folder = world.output(name, step)
        outputs = json.loads((folder / "run.json").read_text())["outputs"]
        found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in outputs}
        assert outputs == found
