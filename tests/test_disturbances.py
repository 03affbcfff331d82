"""What happens around a run: edits, damage, signals, clocks, disks; and that the next run works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import descendants
from tests.assertions import (
    WAIT_SECONDS,
    assert_works,
    await_end,
    await_file,
    configure,
    is_alive,
    overlay,
    results,
    told,
    trained,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

NOTHING = "nothing to do: 2 steps are up to date\n"
DAY_SECONDS = 86_400


@pytest.fixture
def waiting(repository: Repository) -> Iterator[tuple[Repository, subprocess.Popen[str], str]]:
    """Yield a repository whose model is being trained for the second time, and waits."""
    name = repository.add("waits-in-train")
    started, until = repository.path / "started", repository.path / "until"
    conf = {"started": str(started), "until": str(until)}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    until.touch()
    assert_works(repository, name, "1")
    started.unlink()
    until.unlink()
    configure(repository, name, factor=2)
    process = repository.start()
    yield repository, process, await_file(started)
    until.touch()
    process.communicate(timeout=WAIT_SECONDS)


def release(repository: Repository, process: subprocess.Popen[str]) -> str:
    """Let a waiting model go on, and return what doit printed."""
    (repository.path / "until").touch()
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    return output


def test_another_doit_waits_and_says_so(
    waiting: tuple[Repository, subprocess.Popen[str], str],
) -> None:
    """Who waits for a run of another process says so once, and takes what comes of it."""
    repository, process, _ = waiting
    second = repository.start("train:waits-in-train")
    assert second.stdout is not None
    line = second.stdout.readline()

    release(repository, process)

    assert "train:waits-in-train is waiting for another run of this step\n" == line
    assert re.fullmatch(
        r"train:waits-in-train up to date \d+\.\d s\nnothing to do: 1 step is up to date\n",
        second.communicate(timeout=WAIT_SECONDS)[0],
    )


def test_input_edited_while_training_runs(
    waiting: tuple[Repository, subprocess.Popen[str], str],
) -> None:
    """A result whose input moved under it is refused; the edit is what is trained on next."""
    repository, process, _ = waiting
    configure(repository, "waits-in-train", factor=3)

    output = release(repository, process)

    assert told(repository, subprocess.CompletedProcess([], 0, output, "")).splitlines() == [
        "train:waits-in-train FAILED",
        "  What the train step of model `waits-in-train` reads changed while it ran",
        "    changed  file config.json",
        "    kept     build/failed/waits-in-train/train",
        "",
        "  hint: run `doit` again; if the model itself writes there, let it write to models/",
    ]
    assert process.returncode == 1
    assert trained(repository, "waits-in-train") == "1"
    assert_works(repository, "waits-in-train", "3")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption(
    waiting: tuple[Repository, subprocess.Popen[str], str], number: signal.Signals
) -> None:
    """Ctrl-C ends every process, says so in one line, keeps what was there and the next works."""
    repository, process, pids = waiting
    before = results(repository)

    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=WAIT_SECONDS)

    assert process.returncode == 128 + number
    assert [pid for pid in pids.split() if is_alive(pid)] == []
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("interrupted after ")
    assert output.endswith(" 2 steps: 1 interrupted, 1 not run\n")
    assert results(repository) == before
    (repository.path / "until").touch()
    assert_works(repository, "waits-in-train", "2")


def test_runner_killed(waiting: tuple[Repository, subprocess.Popen[str], str]) -> None:
    """A runner that is killed takes its model with it; nothing half-made is taken for a result."""
    repository, process, pids = waiting

    process.kill()
    process.communicate(timeout=WAIT_SECONDS)

    model, child = pids.split()
    await_end(model)
    os.kill(int(child), signal.SIGKILL)  # nobody is left who could
    assert trained(repository, "waits-in-train") == "1"
    (repository.path / "until").touch()
    assert_works(repository, "waits-in-train", "2")


def test_child_of_a_model_ends_with_it(repository: Repository) -> None:
    """What a model leaves running in the background ends with its step."""
    name = repository.add("leaves-a-child")

    done = repository.doit()

    assert done.returncode == 0, done.stdout
    assert not is_alive(trained(repository, name))


LEAVES = """
import subprocess
def train(data_conf, model_conf):
    words = ["sh", "-c", "trap '' TERM; echo $$ > models/model.txt; while :; do sleep 0.01; done"]
    subprocess.Popen(["setsid", "setsid", *words])
    while not open("models/model.txt", "a+").tell():
        pass
"""


def test_process_of_its_own_session_ends_with_it(repository: Repository) -> None:
    """Nothing writes on into a result, whatever it has done to be left alone."""
    name = repository.add("leaves-a-child")
    repository.write(f"model_definitions/{name}/model_modules/training.py", LEAVES)

    done = repository.doit(f"train:{name}")

    assert done.returncode == 0, done.stdout
    assert not is_alive(trained(repository, name))


@pytest.mark.parametrize("words", [[], ["-n", "2"]])
def test_process_of_its_own_session_ends_with_the_runner(
    repository: Repository, words: list[str]
) -> None:
    """So it does where the run is interrupted."""
    name = repository.add("leaves-a-child")
    place = repository.path / "process"
    text = "import subprocess, time\ndef train(data_conf, model_conf):\n"
    text += "    child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
    text += f"    open({str(place)!r}, 'w').write(f'{{child.pid}}\\n')\n    time.sleep(1000)\n"
    repository.write(f"model_definitions/{name}/model_modules/training.py", text)
    process = repository.start(*words, f"train:{name}")
    assert wait_until(lambda: place.exists() and place.read_text().endswith("\n"))

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_SECONDS)

    assert wait_until(lambda: not is_alive(place.read_text().strip()))


def test_where_python_cannot_hold_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds have no way to name one for sure: then none is ended."""
    mark = descendants.new_mark()
    variables = {descendants.VARIABLE: mark, "PATH": os.defpath}
    with subprocess.Popen(["sleep", "1000"], env=variables) as process:
        with monkeypatch.context() as patched:
            patched.delattr(os, "pidfd_open")
            descendants.end(mark)
        assert process.poll() is None

        descendants.end(mark)

        assert -signal.SIGKILL == process.wait(WAIT_SECONDS)


def truncate(path: Path) -> None:
    """Make a file empty."""
    os.truncate(path, 0)


def garble(path: Path) -> None:
    """Change a file's content and neither its size nor its time."""
    before = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file in the place of one."""
    path.unlink()
    path.write_text("{}")


DAMAGES = {"deleted": Path.unlink, "truncated": truncate, "garbled": garble, "replaced": replace}
OUTPUTS = {
    "artefact": "train/models/model.txt",
    "list": "train/artefacts.json",
    "record": "train/run.json",
    "metrics": "evaluate/metrics.json",
}


def identify(repository: Repository, name: str) -> None:
    """Give a model an id of its own."""
    path = f"model_definitions/{name}/model.json"
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    repository.write(path, {**repository.json(path), "id": own})


def test_damaged_output_is_made_anew(repository: Repository) -> None:
    """An output that is no longer what a step made is noticed, and is made or restored."""
    paths = {}
    for damage in DAMAGES:
        for output, path in OUTPUTS.items():
            name = repository.add("good-python", f"{output}-{damage}")
            identify(repository, name)
            paths[name] = repository.path / f"build/models/{name}/{path}"
    assert repository.doit().returncode == 0
    whole = {name: path.read_bytes() for name, path in paths.items()}

    for name, path in paths.items():
        DAMAGES[name.partition("-")[2]](path)

    done = repository.doit()
    ended = re.compile(r" (ok|restored) [\d.]+ s$")
    ran = sorted(line for line in done.stdout.splitlines() if ended.search(line))
    expected = [f"{OUTPUTS[name.partition('-')[0]].partition('/')[0]}:{name}" for name in paths]
    assert done.returncode == 0
    assert [line.partition(" ")[0] for line in ran] == sorted(expected)
    again = {name: path.read_bytes() for name, path in paths.items() if "record" not in name}
    assert again == {name: whole[name] for name in again}
    assert repository.doit().stdout == f"nothing to do: {2 * len(paths)} steps are up to date\n"


@pytest.mark.parametrize("folder", ["build/results", "build"])
def test_lost_folder_is_made_anew(repository: Repository, folder: str) -> None:
    """Whatever of `build/` is removed, the next run makes what is missing."""
    name = repository.add("good-python")
    assert_works(repository, name, "20.0")

    shutil.rmtree(repository.path / folder)

    assert_works(repository, name, "20.0")
    assert repository.doit().stdout == NOTHING


@pytest.mark.parametrize("offset", [-DAY_SECONDS, DAY_SECONDS])
def test_touched_files_change_nothing(repository: Repository, offset: int) -> None:
    """Files of the same content and another time, past or future, make nothing run."""
    name = repository.add("good-python")
    assert_works(repository, name, "20.0")

    for path in (repository.path / f"model_definitions/{name}").rglob("*.*"):
        now = path.stat().st_mtime + offset
        os.utime(path, (now, now))

    assert [repository.doit().stdout for _ in range(2)] == [NOTHING, NOTHING]


@pytest.mark.parametrize("offset", [0, -DAY_SECONDS, DAY_SECONDS])
def test_edit_is_seen_whatever_the_clock_says(repository: Repository, offset: int) -> None:
    """An edit of the same size counts, with the time kept or set into the past or the future."""
    name = repository.add("good-python")
    assert_works(repository, name, "20.0")
    data = repository.path / f"model_definitions/{name}/data.csv"
    time = data.stat().st_mtime + offset

    data.write_text("1,2\n3,9\n")
    os.utime(data, (time, time))

    assert_works(repository, name, "30.0")
    assert repository.doit().stdout == NOTHING


def test_broken_model_stands_beside_good_ones(repository: Repository) -> None:
    """The good models run, the broken ones are told, each with its file and line."""
    broken = [repository.add("bad-json"), repository.add("crashes-in-train")]
    good = [repository.add("good-python", name) for name in ("a-good-one", "z-good-one")]
    identify(repository, "z-good-one")

    done = repository.doit()

    assert done.returncode == 1
    assert set(results(repository)) == {
        f"{name}/{s}" for name in good for s in ("train", "evaluate")
    }
    assert "model_definitions/bad-json/model.json:4: invalid JSON" in done.stdout
    assert "model_definitions/crashes-in-train/model_modules/features.py:2\n" in done.stdout
    assert "8 steps: 4 ran, 2 failed, 2 not run in " in done.stdout
    for name in broken:
        overlay(repository, "good-python", name)
    for name in broken:
        assert_works(repository, name, "20.0")


def test_two_models_of_one_id(repository: Repository) -> None:
    """Two models with one id are both named in a warning, and both run."""
    for name in ("first", "second"):
        repository.add("good-python", name)

    checked, done = repository.doit("check"), repository.doit()

    model_id = "00000000-0000-4000-8000-000000000001"
    hint = "give one of them an id of its own: `python3 -c 'import uuid; print(uuid.uuid4())'`"
    assert checked.stdout == (
        f"model_definitions/first/model.json: warning: `id`: `{model_id}` is also the id of"
        f" `model_definitions/second`\n  hint: {hint}\n"
        f"model_definitions/second/model.json: warning: `id`: `{model_id}` is also the id of"
        f" `model_definitions/first`\n  hint: {hint}\n"
        "2 models, of which 2 can run: 0 faults, 2 warnings\n"
    )
    assert checked.returncode == 0
    assert done.returncode == 0
    assert [trained(repository, name) for name in ("first", "second")] == ["20.0", "20.0"]


def test_build_that_is_a_file(repository: Repository) -> None:
    """A `build` that is no folder is told in one message, and all is well once it is gone."""
    name = repository.add("good-python")
    repository.write("build", "")

    done = repository.doit()

    folder = repository.path / "build"
    assert done.returncode == 3
    assert done.stderr == (
        f"ERROR: Cannot use the state file `{folder}/state.db`\n"
        f"  reason  [Errno 17] File exists: '{folder}'\n\n"
        f"hint: make `{folder}` a folder that you can write to, with free space\n"
    )
    folder.unlink()
    assert_works(repository, name, "20.0")


def mounted(repository: Repository, options: str, script: str) -> list[str]:
    """Run a shell script where `build/` is a file system of its own; return what it prints."""
    (repository.path / "build").mkdir(exist_ok=True)
    # In a chroot the root is no mount point, and cannot be made private.
    private = "mount --make-rprivate / 2>/dev/null; trap 'umount build' EXIT"
    script = f"{private}; exec 2>&1; mount -t tmpfs -o {options} none build\n{script}"
    own = ["unshare", "-m" if os.geteuid() == 0 else "-Urm", "--propagation", "unchanged"]
    done = subprocess.run(
        [*own, "sh", "-c", script.replace("DOIT", shlex.join(repository.command()))],
        env=repository.variables(), cwd=repository.path, stdout=subprocess.PIPE, text=True,
        check=False, timeout=WAIT_SECONDS,
    )  # fmt: skip
    return done.stdout.replace(str(repository.path), "REPOSITORY").splitlines()


UNUSABLE = [
    "ERROR: Cannot use the state file `REPOSITORY/build/state.db`",
    "  reason  unable to open database file",
    "",
    "hint: make `REPOSITORY/build` a folder that you can write to, with free space",
    "3",
]


def test_build_that_cannot_be_written_to(repository: Repository) -> None:
    """A `build/` on a read-only file system is told in one message."""
    repository.add("good-python")

    assert mounted(repository, "ro", "DOIT; echo $?") == UNUSABLE


FULL = """
DOIT >first; echo $?
echo '{"hyperParameters": {"factor": 3}}' >model_definitions/good-python/config.json
head -c 9000000 /dev/zero >build/filler 2>/dev/null
DOIT >second 2>&1; echo $?; grep -c Traceback second
cat build/models/good-python/train/models/model.txt; echo
rm build/filler
DOIT >third; echo $?
cat build/models/good-python/train/models/model.txt; echo
ls build/runs
"""


def test_full_disk(repository: Repository) -> None:
    """A full disk fails the run and harms nothing; with room again, the next run works."""
    repository.add("good-python")

    output = mounted(repository, "size=1m", FULL)

    # Which write meets the full disk first decides: the state's (3) or that of the step (1).
    status = output.pop(1)
    assert status in ("1", "3")
    assert output == ["0", "0", "20.0", "0", "30.0"]


def test_disk_that_fills_during_a_run(repository: Repository) -> None:
    """A disk that a model's output fills is named as the reason; afterwards there is room again."""
    name = repository.add("prints-a-lot")
    repository.add("good-python")

    script = f"DOIT train:{name}; echo $?; ls build/runs; DOIT evaluate:good-python >log; echo $?"
    output = mounted(repository, "size=1m", script)

    assert told(repository, subprocess.CompletedProcess([], 0, "\n".join(output), "")) == (
        f"train:{name} FAILED\n"
        f"  The train step of model `{name}` cannot be carried out here\n"
        "    reason  No space left on device\n\n"
        "  hint: see that the disk has room and that `build/` can be written to"
    )
    assert output[-2:] == ["1", "0"]
