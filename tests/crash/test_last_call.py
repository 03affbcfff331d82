"""Each call of a build that changes a file is made its last, and the build is then resumed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash import calls, interception
from tests.crash.amounts import PARTS, SEED, chosen, count
from tests.crash.disk import Disk, order_of_publishing
from tests.crash.subject import STARTS, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Repository
    from tests.crash.calls import Call

part = pytest.mark.parametrize("part", range(PARTS))
both = pytest.mark.parametrize("start", STARTS)


@pytest.fixture
def subject(repository: Repository, tmp_path: Path, start: str) -> Subject:
    """Return a small build, of which the calls are known."""
    found = Subject(repository, tmp_path / "saved")
    found.prepare(start)
    return found


def at(number: int, verdict: int) -> Callable[[Call], int]:
    """Return who lets all calls pass but one."""
    return lambda call: verdict if call.number == number else interception.PASS


def resume_after(subject: Subject, numbers: Sequence[int], verdict: int, what: str) -> None:
    """Let each of the calls have this verdict, and check what stands and that a resume is right."""
    reached = 0
    for number in numbers:
        subject.reset()
        ran = subject.build(at(number, verdict))
        reached += len(ran.calls) >= number
        try:
            subject.assert_nothing_half_made()
            subject.assert_resumed()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, {what}, at {ran.calls[-1]}\n{ran.said}") from error
    assert reached == len(numbers), (what, reached, numbers)
    count(what, calls=reached)


@both
@part
def test_every_call_is_the_last_of_all(subject: Subject, start: str, part: int) -> None:
    """All processes die before a call: what stands is the earlier or the new result, all of it."""
    numbers = chosen(subject.calls, 6, part)
    resume_after(subject, numbers, interception.KILL_ALL, f"last call of all, {start}")


@part
@pytest.mark.parametrize("start", ["again"])
def test_every_call_is_the_last_of_its_process(subject: Subject, part: int) -> None:
    """Only the process that makes the call dies: doit, the model, or what else runs."""
    numbers = chosen(subject.calls, 5, part)
    resume_after(subject, numbers, interception.KILL_CALLER, "last call of one process")


@part
@pytest.mark.parametrize("start", ["again"])
def test_every_write_is_torn(subject: Subject, part: int) -> None:
    """Half of what is written gets there, and nothing after it."""
    writes = [call for call in subject.calls if call.name in ("write", "pwrite64")]
    numbers = chosen(writes, 4, part)
    resume_after(subject, numbers, interception.TEAR, "torn write")


@both
@part
def test_the_power_fails_at_every_call(subject: Subject, start: str, part: int) -> None:
    """What was not synced is lost, all of it or some: a result that is published is not touched."""
    lost, chance = 0, random.Random(SEED)
    numbers = chosen(subject.calls, 6, part)
    for number in numbers:
        subject.reset()
        disk = Disk(subject.repository.path)

        def decide(call: Call, disk: Disk = disk, number: int = number) -> int:
            disk.see(call)
            return interception.KILL_ALL if call.number == number else interception.PASS

        ran = subject.build(decide)
        lost += disk.fail(chance if number % 2 else None)
        try:
            subject.assert_nothing_half_made()
            subject.assert_resumed()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, power, at {ran.calls[-1]}\n{ran.said}") from error
    assert lost
    count(f"power failure, {start}", calls=len(numbers), files_lost=lost)


@both
def test_what_is_published_is_on_the_disk(subject: Subject) -> None:
    """Every file and folder of a result is synced before its link is moved, the link after it."""
    for step in ("train", "evaluate"):
        link = subject.repository.path / "build/models/good-python" / step
        assert [] == order_of_publishing(subject.calls, link)
    assert subject.calls
    assert calls.TAKING_ROOM & {call.name for call in subject.calls}
