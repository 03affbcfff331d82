"""`doit --enforce`: the kernel holds steps to their limits, and what is over says so."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import cgroups, limits
from tasks.errors import UserError
from tasks.resources import MIB, Amounts
from tests.assertions import await_end, await_file

if TYPE_CHECKING:
    from tests.conftest import Repository

HOARDER = """
import subprocess
import sys
import time

HOARD = "import time; held = [b'x' * (1 << 20) for _ in range({memory})]; time.sleep(0.5)"

def train(data_conf, model_conf):
    if data_conf.get("in_a_child"):
        subprocess.run([sys.executable, "-c", HOARD], check=True)
    else:
        exec(HOARD)
    began, end = time.process_time(), time.monotonic() + data_conf.get("burn", 0)
    while time.monotonic() < end:
        pass
    open("models/model.txt", "w").write(str(time.process_time() - began))
"""
WAITER = """
import os
import subprocess
import sys
import time

def train(data_conf, model_conf):
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(words, start_new_session=True)
    with open(data_conf["started"] + ".new", "w") as file:
        file.write(f"{os.getpid()} {left.pid}")
    os.rename(data_conf["started"] + ".new", data_conf["started"])
    time.sleep(data_conf["seconds"])
    open("models/model.txt", "w").write("x")
"""


def trained(
    repository: Repository, training: str, said: dict[str, Any], conf: dict[str, Any]
) -> str:
    """Write a model of which this is said; return its name."""
    name = repository.add("good-python")
    folder = f"model_definitions/{name}"
    repository.write(f"{folder}/model_modules/training.py", training)
    repository.write(f"{folder}/datasets/train.json", conf)
    automation = {"training": {"resources": said}}
    document = repository.json(f"{folder}/model.json")
    repository.write(f"{folder}/model.json", {**document, "automation": automation})
    return name


def groups() -> list[str]:
    """Return the groups of ours that are on this machine."""
    trees = filter(None, map(cgroups.tree, limits.CONTROLLERS))
    tops = {tree.top for tree in trees}
    return [str(path) for top in tops for path in Path(top).rglob(f"{limits.PREFIX}*")]


@pytest.fixture
def nothing_left() -> Any:  # noqa: ANN401 - a generator
    """See that a test leaves no group behind; only where this machine lets us make one."""
    try:
        limits.check()
    except UserError as error:
        pytest.skip(str(error))
    before = groups()
    yield
    assert before == groups()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("in_a_child", [False, True])
def test_more_memory_than_the_limit(in_a_child: bool, repository: Repository) -> None:  # noqa: FBT001
    """A step that takes more is killed, and is told which key to raise; others are not touched."""
    training = HOARDER.replace("{memory}", "200")
    name = trained(
        repository, training, {"limits": {"memory": "128Mi"}}, {"in_a_child": in_a_child}
    )
    key = "automation.training.resources.limits.memory"

    free = repository.doit(f"train:{name}")
    held = repository.doit("-a", "--enforce", f"train:{name}")

    assert 0 == free.returncode, free.stdout
    assert 1 == held.returncode
    assert f"The train step of model `{name}` was killed for memory" in held.stdout
    assert "  limit  128Mi\n" in held.stdout
    peak = re.search(r"  peak   (\d+)Mi\n", held.stdout)
    assert peak
    assert int(peak[1]) <= 128
    assert f"hint: raise `{key}` in model_definitions/{name}/model.json\n" in held.stdout


@pytest.mark.usefixtures("nothing_left")
def test_within_the_limits(repository: Repository) -> None:
    """A step that takes no more runs as ever; a limit of processors slows it down."""
    training = HOARDER.replace("{memory}", "50")
    name = trained(repository, training, {"memory": "256Mi", "cpu": "250m"}, {"burn": 1.5})

    done = repository.doit("--enforce", f"train:{name}")

    assert 0 == done.returncode, done.stdout
    used = float(repository.read(f"build/models/{name}/train/models/model.txt"))
    assert 0.2 < used < 0.7  # of 1.5 s


@pytest.mark.usefixtures("nothing_left")
def test_the_peak_is_that_of_the_group(repository: Repository) -> None:
    """Files that a step writes are in memory too: they count, as they do for the limit."""
    training = (
        "def train(data_conf, model_conf):\n"
        "    with open('models/model.txt', 'wb') as file:\n"
        "        for _ in range(90):\n"
        "            file.write(b'x' * (1 << 20))\n"
    )
    name = trained(repository, training, {"memory": "256Mi"}, {})

    done = repository.doit("--enforce", f"train:{name}")

    assert 0 == done.returncode, done.stdout
    used = repository.json(f"build/models/{name}/train/run.json")["usage"]
    assert 90 * MIB < used["peak_memory"] <= 256 * MIB


@pytest.mark.usefixtures("nothing_left")
def test_no_limits(repository: Repository) -> None:
    """A step of which no limit is said is held to none, and a warning says so."""
    name = repository.add("good-python")

    done = repository.doit("--enforce", f"train:{name}")

    assert 0 == done.returncode, done.stdout
    key = "automation.training.resources.memory"
    assert f"it is held to no limit: `{key}` in model.json says none\n" in done.stdout


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("how", [None, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(how: signal.Signals | None, repository: Repository) -> None:
    """The groups and all that is in them end with the step, and with its runner at the latest.

    Where the runner is killed, that is when the next one begins.
    """
    started = repository.path / "started"
    conf = {"started": str(started), "seconds": 600 if how else 0}
    name = trained(repository, WAITER, {"memory": "256Mi"}, conf)
    process = repository.start("--enforce", f"train:{name}")
    _, left = await_file(started).split()
    if how:
        assert groups()
        os.kill(process.pid, how)
    output, _ = process.communicate()
    if how == signal.SIGKILL:
        repository.doit("--enforce", "train:none")
        repository.doit("env")

    assert {None: 0, signal.SIGINT: 130, signal.SIGKILL: -9}[how] == process.returncode, output
    await_end(left)


def test_no_groups_here(repository: Repository) -> None:
    """Where no group can be made, nothing is run, and it is said what is missing."""
    name = repository.add("good-python")
    command = repository.command("--enforce", f"train:{name}")
    hidden = f"mount -t tmpfs none /sys/fs/cgroup && exec {shlex.join(command)}"
    command = ["unshare", "--mount", "sh", "-c", hidden] if os.geteuid() == 0 else command

    done = subprocess.run(
        command, cwd=repository.path, env=repository.variables(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert 3 == done.returncode
    assert "`--enforce` cannot hold steps to their limits here" in done.stderr
    assert "cannot be written to\n" in done.stderr
    assert "hint: `--on container` runs the steps in containers" in done.stderr
    assert not (repository.path / "build/models").exists()


def test_killed_without_a_word(repository: Repository) -> None:
    """A step that is killed by nobody of ours may have been killed for memory; its peak is told."""
    name = repository.add("killed-in-train")

    done = repository.doit(f"train:{name}")

    assert re.search(r"it was killed by signal 9\n +peak memory  \d+(\.\d)?Mi\n", done.stdout)
    assert "hint: the kernel does that where memory runs out" in done.stdout
    assert "`automation.training.resources.memory`" in done.stdout


MEBI = "1048576"
SETTINGS = [
    (
        "memory",
        1,
        [("memory.limit_in_bytes", MEBI), ("memory.memsw.limit_in_bytes", MEBI)],
    ),
    ("cpu", 1, [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")]),
    ("memory", 2, [("memory.max", MEBI), ("memory.swap.max", "0")]),
    ("cpu", 2, [("cpu.max", "50000 100000")]),
]


@pytest.mark.parametrize(("controller", "version", "expected"), SETTINGS)
def test_settings(controller: str, version: int, expected: list[tuple[str, str]]) -> None:
    """What is written into which file, for each version of the kernel's interface."""
    found = limits.settings(controller, version, Amounts(0.5, MIB))
    assert expected == [(one.file, one.value) for one in found]
    assert [] == limits.settings(controller, version, Amounts())


def test_the_least_quota() -> None:
    """The kernel takes no quota below a millisecond."""
    (setting,) = limits.settings("cpu", 2, Amounts(0.001, MIB))
    assert "1000 100000" == setting.value


class Machine:
    """A folder that looks like the groups of version 2 of a machine."""

    def __init__(self, folder: Path, *handed_on: str) -> None:
        """Make three folders in each other that hand these controllers on; we are in the last."""
        self.top, self.proc = folder / "top", folder / "proc"
        self.proc.mkdir()
        (self.proc / "cgroup").write_text("0::/user.slice/app.scope\n")
        (self.proc / "mountinfo").write_text(f"1 2 0:3 / {self.top} rw - cgroup2 cgroup2 rw\n")
        self.folders = [self.top, self.top / "user.slice", self.top / "user.slice/app.scope"]
        for one, handed in zip(self.folders, handed_on, strict=True):
            one.mkdir()
            (one / "cgroup.procs").touch()
            (one / "cgroup.controllers").write_text("cpu memory pids\n")
            (one / "cgroup.subtree_control").write_text(f"{handed}\n")

    def parent(self) -> str:
        """Return the folder in which a group would be made."""
        return limits.parent("memory", str(self.proc)).own


def test_the_nearest_that_hands_both_on(tmp_path: Path) -> None:
    """Of version 2, a group is made beside ours, where memory and processors are handed on."""
    machine = Machine(tmp_path, "cpu memory pids", "cpu memory", "")
    assert str(machine.folders[1]) == machine.parent()


def test_further_up(tmp_path: Path) -> None:
    """One that hands on less is passed over."""
    machine = Machine(tmp_path, "cpu memory pids", "memory pids", "")
    assert str(machine.top) == machine.parent()


def test_none_hands_them_on(tmp_path: Path) -> None:
    """Where none does, it is told of each why not, and what there is besides."""
    machine = Machine(tmp_path, "", "memory pids", "")

    with pytest.raises(UserError) as caught:
        machine.parent()

    assert [str(one) for one in reversed(machine.folders)] == [
        label for label, _ in caught.value.facts
    ]
    assert {"cgroup.subtree_control lacks memory and cpu"} == {v for _, v in caught.value.facts}
    assert "--on container" in caught.value.hint


def test_no_controller(tmp_path: Path) -> None:
    """A machine without groups says that."""
    with pytest.raises(UserError) as caught:
        limits.parent("memory", str(tmp_path))

    assert (("memory", "no cgroup of this machine has this controller"),) == caught.value.facts


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """A note that names another folder has no effect."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / limits.NOTE).write_text(str(other))

    limits.sweep(str(tmp_path))

    assert other.is_dir()


def test_elsewhere(repository: Repository) -> None:
    """Dask's workers hold no step to a limit, and nobody is to believe it."""
    name = repository.add("good-python")

    done = repository.doit("--enforce", f"train:{name}", "--on", "dask")

    assert 1 == done.returncode
    assert "`--enforce` holds processes of this machine, and not on dask" in done.stdout
