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
NAMES = {"first": "first build", "again": "replacing a result"}
both = pytest.mark.parametrize("start", STARTS)


@pytest.fixture
def subject(repository: Repository, tmp_path: Path, start: str) -> Subject:
    """Return a small build, of which the calls are known."""
    found = Subject(repository, tmp_path / "saved")
    found.prepare(start)
    return found


def resume_after(
    subject: Subject, numbers: Sequence[int], verdict: int, chance: random.Random | None = None
) -> dict[str, int]:
    """Give each of the calls this verdict, and check what stands and that a resume is right.

    With `chance` the power fails as well.  Returned is how many calls were reached, since not every
    build makes quite as many (SQLite's pages vary), and how many files lost something.
    """
    reached = lost = 0
    for number in numbers:
        subject.reset()
        disk = Disk(subject.repository.path) if chance else None
        ran = subject.build(deciding(number, verdict, disk))
        reached += len(ran.calls) >= number
        assert len(ran.calls) >= number or ran.status == 0, ran.said
        if disk:
            lost += disk.fail(chance if number % 2 else None)
        try:
            subject.assert_nothing_half_made()
            subject.assert_resumed()
        except (AssertionError, ValueError, OSError) as error:
            raise AssertionError(f"seed {SEED}, at {ran.calls[-1]}\n{ran.said}") from error
    return {"calls": reached, **({"files_lost": lost} if chance else {})}


def deciding(number: int, verdict: int, disk: Disk | None) -> Callable[[Call], int]:
    """Return who lets all calls pass but one, and shows them to a disk."""

    def decide(call: Call) -> int:
        if disk:
            disk.see(call)
        return verdict if call.number == number else interception.PASS

    return decide


@both
@part
def test_every_call_is_the_last_of_all(subject: Subject, start: str, part: int) -> None:
    """All processes die before a call: what stands is the earlier or the new result, all of it."""
    numbers = chosen(subject.calls, 6, part)
    counts = resume_after(subject, numbers, interception.KILL_ALL)
    count(f"last call of all, {NAMES[start]}", **counts)


@part
@pytest.mark.parametrize("start", ["again"])
def test_every_call_is_the_last_of_its_process(subject: Subject, part: int) -> None:
    """Only the process that makes the call dies: doit, the model, or what else runs."""
    numbers = chosen(subject.calls, 5, part)
    counts = resume_after(subject, numbers, interception.KILL_CALLER)
    count("last call of its process", **counts)


@part
@pytest.mark.parametrize("start", ["again"])
def test_every_write_is_torn(subject: Subject, part: int) -> None:
    """Half of what is written gets there, and nothing after it."""
    writes = [call for call in subject.calls if call.name in ("write", "pwrite64")]
    numbers = chosen(writes, 4, part)
    counts = resume_after(subject, numbers, interception.TEAR)
    count("torn write", **counts)


@both
@part
def test_the_power_fails_at_every_call(subject: Subject, start: str, part: int) -> None:
    """What was not synced is lost, all of it or some: a result that is published is not touched."""
    numbers = chosen(subject.calls, 6, part)
    counts = resume_after(subject, numbers, interception.KILL_ALL, random.Random(SEED))
    assert counts["files_lost"] or not numbers
    count(f"power failure, {NAMES[start]}", **counts)


@both
def test_what_is_published_is_on_the_disk(subject: Subject) -> None:
    """Every file and folder of a result is synced before its link is moved, the link after it."""
    for step in ("train", "evaluate"):
        link = subject.repository.path / "build/models/good-python" / step
        assert [] == order_of_publishing(subject.calls, link)
    assert subject.calls
    assert calls.TAKING_ROOM & {call.name for call in subject.calls}
