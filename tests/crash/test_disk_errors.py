"""The disk fails or is full at each call: it is told plainly, and the next run is right."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.crash import interception
from tests.crash.amounts import PARTS, SEED, chosen, count, sample
from tests.crash.calls import TAKING_ROOM
from tests.crash.subject import Subject, assert_clean, assert_done, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conftest import Repository
    from tests.crash.calls import Call
    from tests.crash.interception import Ran

part = pytest.mark.parametrize("part", range(PARTS))


@pytest.fixture
def subject(repository: Repository, tmp_path: Path) -> Subject:
    """Return a small build that replaces an earlier result, and of which the calls are known."""
    found = Subject(repository, tmp_path / "saved")
    found.prepare("again")
    return found


def assert_told(subject: Subject, ran: Ran, number: int) -> None:
    """Check that a run either made all, or says what is wrong and what to do, as a user reads it.

    What the model's own process met with is told as the model's own error.
    """
    assert ran.status in (0, 1, 3), (ran.status, ran.said)
    if _call(ran, number).pid == ran.pid:
        assert "Traceback" not in ran.said, ran.said
        assert ran.status == 0 or "hint: " in ran.said, ran.said
    if ran.status == 0:
        subject.assert_all_made()


def _call(ran: Ran, number: int) -> Call:
    """Return the call of this number, the last of a run that had fewer than the one before."""
    return ran.calls[min(number, len(ran.calls)) - 1]


def tried(
    subject: Subject, numbers: Sequence[int], decide: Callable[[int], Callable[[Call], int]]
) -> tuple[list[str], int]:
    """Build while the disk fails at or from each of the calls, and resume.

    Returns what was wrong, and how many of the calls were come to: threads do not always make the
    same ones.
    """
    faults, reached = [], 0
    for number in numbers:
        subject.reset()
        ran = subject.build(decide(number))
        reached += number <= len(ran.calls)
        try:
            assert_told(subject, ran, number)
            subject.assert_nothing_half_made()
            subject.assert_resumed()
        except AssertionError as error:
            faults.append(f"seed {SEED}, {_call(ran, number)}\n{ran.said}\n{error}")
    assert 2 * reached > len(numbers), (reached, numbers)
    return faults, reached


@part
def test_every_call_fails(subject: Subject, part: int) -> None:
    """An I/O error at a call: what is published stands, the next run makes what is missing."""

    def failing(number: int) -> Callable[[Call], int]:
        return lambda call: errno.EIO if call.number == number else interception.PASS

    numbers = chosen(subject.calls, 6, part)
    faults, reached = tried(subject, numbers, failing)
    assert not faults, "\n\n".join(faults)
    count("I/O error", calls=reached)


@part
def test_the_disk_is_full_from_a_call_on(subject: Subject, part: int) -> None:
    """All that takes room fails from a call on; with room again, the next run is right."""

    def full(number: int) -> Callable[[Call], int]:
        def decide(call: Call) -> int:
            room = call.name in TAKING_ROOM and call.number >= number
            there = call.name in ("open", "openat", "creat") and os.path.exists(call.paths[0])
            return errno.ENOSPC if room and not there else interception.PASS

        return decide

    taking = [call for call in subject.calls if call.name in TAKING_ROOM]
    numbers = chosen(taking, 6, part)
    faults, reached = tried(subject, numbers, full)
    assert not faults, "\n\n".join(faults)
    count("full disk", calls=reached)


SIZES_KB = range(8, 328, 8)
"""The last is more than a build of the subject takes."""


@pytest.fixture
def small(repository: Repository) -> Iterator[Path]:
    """Return the folder of builds, a file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    build = repository.path / "build"
    build.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(build)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    yield build
    subprocess.run(["umount", "--lazy", str(build)], check=True)


def test_a_small_disk_is_full(small: Path, repository: Repository) -> None:
    """On a real disk that is too small it is said so, and on a larger one the build goes on."""
    name = repository.add("good-python")
    assert_done(repository)
    after, counts = results(repository), {"too_small": 0, "large_enough": 0}
    for size in sample(SIZES_KB, 4):
        for path in small.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        resize(small, f"{size}k")
        done = repository.doit()
        said = done.stdout + done.stderr
        assert "Traceback" not in said, (size, said)
        assert done.returncode == 0 or "hint: " in said, (size, said)
        counts["too_small" if done.returncode else "large_enough"] += 1
        assert results(repository).items() <= after.items()
        resize(small, "1m")
        assert_done(repository)
        assert after == results(repository), (size, name)
        assert_clean(repository)
    assert all(counts.values()), counts
    count("small disk", **counts)


def resize(small: Path, size: str) -> None:
    """Give a file system in memory another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(small)], check=True)
