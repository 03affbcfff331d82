"""What a step uses: measured over all its processes, recorded, and shown."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from tasks import records, usage
from tasks.console import ConsoleReporter
from tasks.processes import Ended, Watcher, run_logged
from tasks.resources import MIB
from tasks.usage import Meter
from tasks.wording import Shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

SILENT = Watcher(lambda: "", lambda _data: None)
LARGE = 300 * MIB
TRAINING = """
def train(data_conf, model_conf):
    held = b"x" * ({memory} << 20)
    open("models/model.txt", "w").write("a" * len(held[:3]))
    total = sum(i * i for i in range({loops}))
"""


def run(program: str, tmp_path: Path) -> Ended:
    """Run a program in Python as a step is run."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program))
    with (tmp_path / "log").open("wb", buffering=0) as log:
        ended = run_logged(
            [sys.executable, "-S", str(path)], log, cwd=str(tmp_path), env=os.environ,
            watcher=SILENT,
        )  # fmt: skip
    assert "" == (tmp_path / "log").read_text()
    return ended


def test_one_process(tmp_path: Path) -> None:
    """What it had at most counts, however short that was."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # a runner has less
    large = max(LARGE, own + 100 * MIB)

    used = run(f"x = b'x' * {large}", tmp_path).usage

    assert large < used.peak_memory < large + 60 * MIB


def test_a_small_process(tmp_path: Path) -> None:
    """The memory of the runner, from which it was forked, is not its own."""
    ballast = b"x" * LARGE
    used = run("import time; time.sleep(0.5)", tmp_path).usage

    assert len(ballast) > used.peak_memory > 2 * MIB
    assert used.peak_memory < 60 * MIB


def test_the_kernel_counts_roughly() -> None:
    """What it says of a process is a little more than the runner had, from which it was forked."""
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        meter = Meter(process.pid)
        while not meter._peak:  # the kernel may not have counted a page yet
            meter.look()
        process.kill()
    rough = resource.struct_rusage([0.0, 0.0, (meter._ours >> 10) + 96, *[0] * 13])

    assert 0 < meter.end(rough).peak_memory < 20 * MIB


def test_several_processes(tmp_path: Path) -> None:
    """Of processes that run at once the memory is added up, in all that they have started."""
    program = f"""
        import subprocess, sys
        hold = "import time; x = b'x' * {LARGE}; time.sleep(1)"
        many = [subprocess.Popen([sys.executable, "-S", "-c", hold]) for _ in range(3)]
        [one.wait() for one in many]
        """
    used = run(program, tmp_path).usage

    assert 3 * LARGE < used.peak_memory < 3 * LARGE + 100 * MIB


def test_what_is_shared_counts_once(tmp_path: Path) -> None:
    """Processes that were forked share what they have not written to."""
    program = f"""
        import os, time
        x = b"x" * {LARGE}
        for _ in range(3):
            if not os.fork():
                break
        time.sleep(1)
        """
    used = run(program, tmp_path).usage

    assert LARGE < used.peak_memory < LARGE + 150 * MIB


def test_what_one_has_all_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that come while shared pages are looked at make no less of what there is."""
    monkeypatch.setattr(usage, "_share", lambda _pid: MIB)

    assert LARGE == Meter(os.getpid())._memory({1: LARGE, 2: LARGE // 2})


def test_processor_seconds(tmp_path: Path) -> None:
    """The time of children counts, whether they were waited for or left behind."""
    program = """
        import os, time
        def burn(seconds):
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
        for wait in (True, False):
            pid = os.fork()
            if not pid:
                burn(0.4)
                time.sleep(0 if wait else 60)
                os._exit(0)
            if wait:
                os.waitpid(pid, 0)
        burn(0.4)
        time.sleep(0.8)
        """
    used = run(program, tmp_path).usage

    assert 1.15 < used.cpu_seconds < 2


@pytest.mark.parametrize(("end", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", -9)])
def test_the_status_is_told(end: str, status: int, tmp_path: Path) -> None:
    """How a process ended is told beside what it used."""
    assert status == run(f"import os, sys; {end}", tmp_path).status


def test_measuring_is_cheap(tmp_path: Path) -> None:
    """A look at a process and its children takes a small part of the time between two looks."""
    before = time.process_time()
    run(f"import time, os; x = b'x' * {LARGE}; os.fork(); time.sleep(2)", tmp_path)

    assert time.process_time() - before < 0.4


def trained(repository: Repository, memory: int = 1, loops: int = 1) -> str:
    """Write a model that uses memory (in MiB) and time to train; return its name."""
    name = repository.add("good-python")
    training = TRAINING.format(memory=memory, loops=loops)
    repository.write(f"model_definitions/{name}/model_modules/training.py", training)
    return name


def finished(output: str) -> dict[str, Any]:
    """Return what the JSON reporter says of the first step that finished."""
    events = map(json.loads, output.splitlines())
    return next(event for event in events if event["event"] == "finish")


def test_recorded_and_told(repository: Repository) -> None:
    """`run.json` has it, the reporters show it, and a restored result shows what it once took."""
    name = trained(repository, memory=200)

    first = finished(repository.doit("run", "--reporter", "json", f"train:{name}").stdout)
    usage = repository.json(f"build/models/{name}/train/run.json")["usage"]
    repository.doit("clean", f"train:{name}")
    shown = repository.doit(f"train:{name}").stdout

    assert {"peak_memory", "cpu_seconds"} == usage.keys()
    assert 200 * MIB < usage["peak_memory"] < 260 * MIB
    assert 0 < usage["cpu_seconds"] < 10
    assert usage == first["usage"]
    head, row = (
        line for line in shown.splitlines() if line.startswith((f"train:{name}  ", "step "))
    )
    assert ["step", "state", "time", "memory"] == head.split()
    assert ["restored", f"{round(usage['peak_memory'] / MIB)}Mi"] == [
        row.split()[i] for i in (1, 4)
    ]


def test_what_is_found_current_keeps_it(repository: Repository) -> None:
    """A step whose result is there although doit knows of another one shows what that took."""
    name = trained(repository)
    training = f"model_definitions/{name}/model_modules/training.py"
    assert 0 == repository.doit(f"train:{name}").returncode
    repository.write(training, f"{repository.read(training)}\nX = 1\n")
    repository.doit("accept", f"train:{name}", "--why", "unused")

    told = finished(repository.doit("run", "--reporter", "json", f"train:{name}").stdout)

    usage = repository.json(f"build/models/{name}/train/run.json")["usage"]
    assert ("up to date", usage) == (told["state"], told["usage"])


def test_a_runner_with_many_files(tmp_path: Path) -> None:
    """A command is run also where its output has a descriptor that `select` does not take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        ended = run("", tmp_path)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 0 == ended.status


def test_a_result_of_before(repository: Repository) -> None:
    """A record without it is as good as it was."""
    name = trained(repository)
    repository.doit(f"train:{name}")
    folder = f"{repository.path}/build/models/{name}/train"
    run_json = json.loads((repository.path / folder / "run.json").read_text())
    del run_json["usage"]
    records.write_run(folder, run_json)

    assert "up to date" in repository.doit(f"train:{name}").stdout


def test_the_table_on_narrow_terminals() -> None:
    """The column is left out where the metrics need the room."""
    values = {"usage": {"peak_memory": 5 * MIB}, "metrics": {"accuracy": 0.5, "recall": 0.5}}
    task = SimpleNamespace(name="train:a", meta={"activity": object()}, values=values)
    streams = io.StringIO(), io.StringIO()
    for stream, width in zip(streams, (49, 48), strict=True):
        reporter = ConsoleReporter(stream, {})
        reporter._console = Console(file=stream, width=width)
        reporter._print_table([Shown(task, "ran", seconds=1.0)])

    assert [True, False] == ["5Mi" in stream.getvalue() for stream in streams]
