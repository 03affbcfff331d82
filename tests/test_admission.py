"""Steps that run at once never ask for more than the machine has."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tasks import admission, cgroups
from tasks.admission import Gate, machine
from tasks.model import Model
from tasks.plan import Step
from tasks.progress import Activity
from tasks.resources import GIB, MIB, Amounts, memory_text
from tests.assertions import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

WHOLE = Amounts(4.0, 8 * GIB)
PATIENCE_SECONDS = 20

TRAINING = """
import time

def train(data_conf, model_conf):
    began = time.monotonic()
    time.sleep(data_conf["seconds"])
    with open(data_conf["span"], "w") as file:
        file.write(f"{began} {time.monotonic()}")
    open("models/model.txt", "w").write("x")
"""


class Steps:
    """Steps in threads of their own that go through a gate and stay in it until they are let go."""

    def __init__(self, free: int = WHOLE.memory or 0) -> None:
        """Begin with a machine on which nothing runs."""
        self.free = free
        self.gate = Gate(WHOLE, lambda: self.free)
        self.running: list[str] = []
        self.activities: dict[str, Activity] = {}
        self._go_on: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, cpu: float, memory: int) -> None:
        """Start a step, and return once it runs or waits."""
        self.activities[name], self._go_on[name] = Activity(), threading.Event()

        def run() -> None:
            with self.gate.admitted(Amounts(cpu, memory), self.activities[name]):
                self.running.append(name)
                assert self._go_on[name].wait(PATIENCE_SECONDS)
                self.running.remove(name)

        self._threads[name] = threading.Thread(target=run)
        self._threads[name].start()
        assert wait_until(lambda: name in self.running or self.activities[name].phase)

    def end(self, name: str) -> None:
        """End a step that runs."""
        self._go_on[name].set()
        self._threads[name].join(PATIENCE_SECONDS)

    def says(self, name: str) -> str:
        """Return what a step says that it does."""
        return self.activities[name].phase

    def runs(self, *names: str) -> None:
        """Wait until just these steps run."""
        assert wait_until(lambda: sorted(names) == sorted(self.running))


def test_memory_and_processors() -> None:
    """A step waits for what is lacking, says so, and runs as soon as that is there."""
    steps = Steps()
    steps.start("a", 3, GIB)
    steps.start("b", 2, GIB)
    assert (["a"], "waiting for processors") == (steps.running, steps.says("b"))
    steps.end("a")
    steps.runs("b")
    steps.start("c", 1, 7 * GIB)
    steps.start("d", 4, 6 * GIB)
    assert "waiting for memory and processors" == steps.says("d")
    steps.end("b")
    steps.end("c")
    steps.runs("d")
    steps.end("d")


def test_first_come_first_served() -> None:
    """A small step does not pass a large one that waits."""
    steps = Steps()
    steps.start("a", 1, 5 * GIB)
    steps.start("large", 1, 6 * GIB)
    steps.start("small", 1, GIB)
    assert ["a"] == steps.running
    assert "waiting for memory" == steps.says("large")
    assert "waiting for the steps before it" == steps.says("small")
    steps.end("a")
    steps.runs("large", "small")
    steps.end("large")
    steps.end("small")


def test_more_than_the_machine_has() -> None:
    """A step that asks for more runs alone, and a warning says so."""
    steps = Steps()
    steps.start("a", 1, GIB)
    steps.start("huge", 1, 16 * GIB)
    steps.start("b", 0.1, MIB)
    assert ["a"] == steps.running
    steps.end("a")
    steps.runs("huge")
    assert (
        "it asks for 16Gi of memory, of which there are 8Gi here: it runs alone"
        == steps.activities["huge"].alerts.popleft()
    )
    steps.end("huge")
    steps.runs("b")
    steps.end("b")


def test_memory_that_others_use() -> None:
    """While a step of ours runs, another one waits until what it asks for is free."""
    steps = Steps(free=GIB)
    steps.start("a", 1, 2 * GIB)
    steps.start("b", 1, 2 * GIB)
    assert (["a"], "waiting for memory") == (steps.running, steps.says("b"))
    steps.free = 3 * GIB
    steps.runs("a", "b")
    steps.end("a")
    steps.end("b")


def test_tenths_of_processors() -> None:
    """Ten tenths are one."""
    steps = Steps()
    for number in range(40):
        steps.start(str(number), 0.1, MIB)
    assert 40 == len(steps.running)
    for number in range(40):
        steps.end(str(number))


def test_any_steps() -> None:
    """Whatever comes, all of it ends, and the machine never has too little."""
    chance = random.Random(7)
    gate = Gate(WHOLE, lambda: 8 * GIB)
    lock, running, excess, done = threading.Lock(), [], [], []

    def run(cpu: float, memory: int) -> None:
        with gate.admitted(Amounts(cpu, memory), Activity()):
            with lock:
                running.append((cpu, memory))
                sums = [sum(column) for column in zip(*running, strict=True)]
                if len(running) > 1 and (sums[0] > 4 + 1e-6 or sums[1] > 8 * GIB):
                    excess.append(list(running))
            time.sleep(chance.random() / 200)
            with lock:
                running.remove((cpu, memory))
                done.append(cpu)

    asked = [(chance.choice((0.1, 0.5, 1, 3, 9)), chance.randint(1, 9) * GIB) for _ in range(200)]
    threads = [threading.Thread(target=run, args=one) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert ([], 200) == (excess, len(done))


def test_one_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are the first at the same moment share a gate."""
    made: list[float] = []

    def slow() -> Amounts:
        made.append(time.monotonic())
        time.sleep(0.1)
        return WHOLE

    def run() -> None:
        with admission.admitted(Step(Model("m", "f", "f"), "train"), Activity()):
            pass

    monkeypatch.setattr(admission, "machine", slow)
    admission._gate.cache_clear()
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    admission._gate.cache_clear()

    assert 1 == len(made)


def spans(
    repository: Repository, *said: dict[str, str], events: list[Any], seconds: float = 0.7
) -> list[list[float]]:
    """Train models of which this is said, all at once; return when each began and ended."""
    for number, resources in enumerate(said):
        name = repository.add("good-python", f"m{number}")
        folder = f"model_definitions/{name}"
        repository.write(f"{folder}/model_modules/training.py", TRAINING)
        conf = {"span": str(repository.path / f"span{number}"), "seconds": seconds}
        repository.write(f"{folder}/datasets/train.json", conf)
        document = repository.json(f"{folder}/model.json")
        automation = {"training": {"resources": resources}}
        document |= {"id": name, "automation": automation}
        repository.write(f"{folder}/model.json", document)
    done = repository.doit("run", "-n", "3", "--reporter", "json", "train")
    assert 0 == done.returncode, done.stdout
    events += map(json.loads, done.stdout.splitlines())
    lines = (repository.read(f"span{number}") for number in range(len(said)))
    return sorted([float(word) for word in line.split()] for line in lines)


def phases(events: list[Any]) -> set[str]:
    """Return what steps were said to do."""
    return {event["phase"] for event in events if event["event"] == "progress"}


@pytest.mark.parametrize("what", ["memory", "cpu"])
def test_doit_runs_no_more_than_fits(what: str, repository: Repository) -> None:
    """With `-n`, of two steps that do not fit together one waits, and says for what."""
    there = machine()
    part = {
        "cpu": f"{int((there.cpu or 0) * 700)}m",
        "memory": memory_text(0.55 * (there.memory or 0)),
    }
    small = {"cpu": "1m", "memory": "32Mi"}
    said = {**small, what: part[what]}
    events: list[Any] = []

    (_, first), (second, _) = spans(repository, said, said, events=events, seconds=2.7)

    assert first < second
    each = [event["seconds"] for event in events if event["event"] == "finish"]
    assert max(each) < events[-1]["seconds"] - 1  # that one of them waited does not count
    assert f"waiting for {'processors' if what == 'cpu' else what}" in phases(events)


def test_doit_runs_at_once_what_fits(repository: Repository) -> None:
    """Steps that fit together do not wait for each other."""
    small = {"cpu": "1m", "memory": "32Mi"}

    (_, first), (second, _) = spans(repository, small, small, events=[])

    assert second < first


def test_doit_warns_of_what_is_too_large(repository: Repository) -> None:
    """A step that asks for more than the machine has is run all the same."""
    events: list[Any] = []
    huge = {"cpu": "1m", "memory": "900Ti"}

    (_, first), (second, _) = spans(repository, huge, {"cpu": "1m"}, events=events)

    (warning,) = (event["message"] for event in events if event["event"] == "warning")
    assert warning.startswith("it asks for 921600Gi of memory, of which there are ")
    assert warning.endswith(" here: it runs alone")
    assert first < second


def test_this_machine() -> None:
    """What there is, is what the kernel says, less what this process may not use."""
    there = machine()
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < (there.cpu or 0) <= len(os.sched_getaffinity(0))
    assert 0 < (there.memory or 0) <= total


def test_steps_at_once_where_one_processor_is_allowed() -> None:
    """As many steps run at once as there are processors for this process, not for the machine."""
    program = "from tasks import generators; print(generators.CONFIG['num_process'])"
    one = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "--cpu-list", one, sys.executable, "-c", program]

    assert "1\n" == subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_limits_of_groups_1(tmp_path: Path) -> None:
    """Of version 1, the limits of our own folder and of those above hold in each tree."""
    tree = Tree(tmp_path, "5:memory:/a/b", "3:cpu,cpuacct:/a")
    tree.mount("memory", "cgroup", "rw,memory")
    tree.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    tree.write("memory/memory.limit_in_bytes", "9223372036854771712")
    tree.write("memory/a/memory.limit_in_bytes", str(2 * GIB))
    tree.write("memory/a/b/memory.limit_in_bytes", str(3 * GIB))
    tree.write("cpu,cpuacct/a/cpu.cfs_quota_us", "50000")
    tree.write("cpu,cpuacct/a/cpu.cfs_period_us", "100000")
    tree.write("cpu,cpuacct/cpu.cfs_quota_us", "-1")
    tree.write("cpu,cpuacct/cpu.cfs_period_us", "100000")

    assert (2 * GIB, 0.5) == (cgroups.memory_limit(tree.proc), cgroups.cpu_limit(tree.proc))
    assert Amounts(0.5, 2 * GIB) == machine(tree.proc)
    assert 0.5 == cgroups.processors(tree.proc)


def test_limits_of_groups_2(tmp_path: Path) -> None:
    """Of version 2 likewise, in its one tree."""
    tree = Tree(tmp_path, "0::/user.slice/x.scope")
    tree.mount("", "cgroup2", "rw")
    tree.write("user.slice/x.scope/cgroup.controllers", "cpu memory pids")
    tree.write("user.slice/x.scope/memory.max", "max")
    tree.write("user.slice/memory.max", str(GIB))
    tree.write("user.slice/x.scope/cpu.max", "150000 100000")
    tree.write("user.slice/cpu.max", "max 100000")

    assert (GIB, 1.5) == (cgroups.memory_limit(tree.proc), cgroups.cpu_limit(tree.proc))


def test_limits_inside_a_container(tmp_path: Path) -> None:
    """Where the container's own group is the top of what is mounted, that is where we are."""
    tree = Tree(tmp_path, "5:memory:/docker/1234")
    tree.mount("memory", "cgroup", "rw,memory", root="/docker/1234")
    tree.write("memory/memory.limit_in_bytes", str(GIB))

    assert GIB == cgroups.memory_limit(tree.proc)


def test_a_place_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """Whatever else is mounted on the machine, its limits are found."""
    tree = Tree(tmp_path, "0::/user.slice/x.scope", "")
    tree.mount("", "cgroup2", "rw")
    tree.write("user.slice/x.scope/cgroup.controllers", "cpu memory pids")
    tree.write("user.slice/x.scope/memory.max", str(GIB))
    with open(f"{tree.proc}/mountinfo", "ab") as file:
        file.write(b"999 1 8:17 / /media/B\xfccher rw - vfat /dev/sdb1 rw\n")

    assert GIB == cgroups.memory_limit(tree.proc)


def test_no_groups(tmp_path: Path) -> None:
    """A machine without them limits nothing."""
    assert cgroups.memory_limit(str(tmp_path)) == cgroups.cpu_limit(str(tmp_path)) == float("inf")


class Tree:
    """A folder that looks like the groups of a machine, and what /proc says of them."""

    def __init__(self, folder: Path, *groups: str) -> None:
        """Begin with nothing mounted; `groups` are the lines of /proc/self/cgroup."""
        self.folder = folder / "cgroup"
        self.proc = str(folder / "proc")
        (folder / "proc").mkdir()
        (folder / "proc/cgroup").write_text("\n".join(groups))
        self._mounts = folder / "proc/mountinfo"
        self._mounts.write_text("")

    def mount(self, name: str, kind: str, options: str, root: str = "/") -> None:
        """Mount a tree below the folder."""
        top = self.folder / name
        top.mkdir(parents=True, exist_ok=True)
        line = f"32 31 0:29 {root} {top} rw,relatime shared:7 - {kind} none {options}\n"
        self._mounts.write_text(self._mounts.read_text() + line)

    def write(self, path: str, content: str) -> None:
        """Write one of the kernel's files."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
