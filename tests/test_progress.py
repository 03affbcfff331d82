"""How far a step is: what is read of a model's messages, and how it is put into a line."""
# ruff: noqa: E501 - the lines that are expected are as wide as the terminals that they are for

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tasks.model import Model
from tasks.plan import Step
from tasks.progress import READ_BYTES, Activity, Progress, _Follower, advanced, share
from tasks.wording import Shown, live_lines, log_line

if TYPE_CHECKING:
    from pathlib import Path

SHARES = [
    ({"iter": 25, "iters": 100}, 0.25),
    ({"epoc": 3, "epocs": 10}, 0.3),
    ({"epoc": 3, "epocs": 10, "iter": 50, "iters": 100}, 0.25),
    ({"epoc": 1.0, "epocs": 4.0, "iter": 4.0, "iters": 4.0}, 0.25),
    ({"epocs": 10, "iter": 50, "iters": 100}, 0.5),
    ({"epoc": 0, "epocs": 10, "iter": 0, "iters": 100}, 0.0),
    ({"iter": 200, "iters": 100}, 1.0),
    ({"iter": 25}, None),
    ({"iter": 25, "iters": 0}, None),
    ({"iter": "25", "iters": "100"}, None),
    ({"iter": True, "iters": True}, None),
    ({"iter": float("nan"), "iters": 100}, None),
    ({"iter": 25, "iters": float("inf")}, None),
    ({"epoc": None, "epocs": 3, "score": 0.5}, None),
    ({}, None),
]


@pytest.mark.parametrize(("values", "expected"), SHARES)
def test_share(values: dict[str, Any], expected: float | None) -> None:
    """What is done follows from counts and totals; without them it is not known."""
    assert expected == share(values)


def test_the_time_that_is_left() -> None:
    """The end follows from the pace since the first message; a slow start does not count."""
    progress = Progress(told=0.0)
    ends = []
    for now, iteration in ((60.0, 10), (61.0, 20), (63.0, 30), (64.0, 30), (70.0, 100)):
        progress = advanced(progress, {"iter": iteration, "iters": 100}, now)
        ends.append(progress.ends)

    assert [None, 69.0, 73.5, 78.0, 70.0] == [end and round(end, 6) for end in ends]


def test_starting_over() -> None:
    """A count that falls back, as in the next fold, is reckoned anew."""
    progress = advanced(Progress(told=0.0), {"iter": 1, "iters": 2}, 10.0)
    progress = advanced(progress, {"iter": 2, "iters": 2}, 20.0)
    progress = advanced(progress, {"iter": 0, "iters": 2}, 30.0)
    assert (0.0, None) == (progress.done, progress.ends)
    progress = advanced(progress, {"iter": 1, "iters": 2}, 35.0)
    assert (0.5, 40.0) == (progress.done, progress.ends)
    assert Progress(50.0, {"score": 1}) == advanced(progress, {"score": 1}, 50.0)


@pytest.fixture
def follower(tmp_path: Path) -> _Follower:
    """Return what follows a file that is not there yet."""
    step = Step(Model("m", "m", "m"), "train")
    return _Follower(step, str(tmp_path / "progress.jsonl"), Activity())


def test_reading(tmp_path: Path, follower: _Follower) -> None:
    """Each look returns the last whole message that is new; what is no message is passed over."""
    path = tmp_path / "progress.jsonl"
    assert follower._news() is None
    with path.open("w", encoding="utf-8", buffering=1) as file:
        file.write('{"iter": 1}\n{"iter": 2}\n{"it')
        file.flush()
        assert {"iter": 2} == follower._news()
        assert follower._news() is None
        file.write('er": 3}\nno JSON\n[4]\n\n')
        file.flush()
        assert {"iter": 3} == follower._news()
        file.write("\x00\n")
        assert follower._news() is None


def test_reading_a_lot(tmp_path: Path, follower: _Follower) -> None:
    """Of many messages only the last bytes are read, and of a line without an end none for ever."""
    path = tmp_path / "progress.jsonl"
    lines = [json.dumps({"iter": number}) for number in range(200_000)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert path.stat().st_size > 10 * READ_BYTES
    assert {"iter": 199_999} == follower._news()
    with path.open("a", encoding="utf-8") as file:
        file.write("x" * 3 * READ_BYTES)
        file.flush()
        assert follower._news() is None
        file.write('\n{"iter": 1}\n')
        file.flush()
        assert {"iter": 1} == follower._news()


NOW = 1000.0


def shown(
    name: str, phase: str, began: float, progress: Progress | None, detail: str = ""
) -> Shown:
    """Return a step as the reporter has it."""
    task = SimpleNamespace(name=name, meta={"activity": Activity(phase, detail, progress)})
    return Shown(task, "running", began)


def running() -> list[Shown]:
    """Return steps of all kinds that run at once."""
    epochs = {"epoc": 3, "epocs": 10, "iter": 50, "iters": 98, "score": 0.8125, "loss": 0.5}
    keras = advanced(Progress(900.0), {**epochs, "epoc": 1}, 920.0)
    keras = advanced(keras, epochs, 1000.0)
    free = Progress(990.0, {"iter": 17.0, "score": 0.5, "note": "a\x1b[31mb", "none": None})
    silent = Progress(935.0, {"iter": 5, "iters": 10}, 0.5, 940.0, stalled=True)
    return [
        shown("train:tensorflow-sentiment", "train", 890.0, keras),
        shown("train:r-gbm", "train", 955.0, free),
        shown("evaluate:pyspark-logistic-regression", "environment", 996.0, None, "one\ntwo"),
        shown("train:silent", "train", 870.0, silent),
    ]


GOLDEN = {
    60: [
        "⠋ train:t…timent  1 min 50 s  ━━────────  25%  epoch 3/10",
        "⠋ train:r-gbm           45 s  iter 17  score 0.500  note ab",
        "⠋ evaluat…ession         4 s  environment  two",
        "⠋ train:silent    2 min 10 s  ━━━━━─────  50%  iter 5/10",
    ],
    100: [
        "⠋ train:tensorflow-sentiment          1 min 50 s  ━━────────  25%  epoch 3/10  score 0.812",
        "⠋ train:r-gbm                               45 s  iter 17  score 0.500  note ab",
        "⠋ evaluate:pyspark-…istic-regression         4 s  environment  two",
        "⠋ train:silent                        2 min 10 s  ━━━━━─────  50%  silent for 1 min 05 s  iter 5/10",
    ],
    140: [
        "⠋ train:tensorflow-sentiment            1 min 50 s  ━━━━━───────────────  25%  epoch 3/10  iter 50/98  score 0.812  5 min 00 s left",
        "⠋ train:r-gbm                                 45 s  iter 17  score 0.500  note ab",
        "⠋ evaluate:pyspark-logistic-regression         4 s  environment  two",
        "⠋ train:silent                          2 min 10 s  ━━━━━━━━━━──────────  50%  silent for 1 min 05 s  iter 5/10",
    ],
}


@pytest.mark.parametrize("width", GOLDEN)
def test_live_lines(width: int) -> None:
    """At every width the lines fit, stand in columns, and what matters most is there."""
    lines = ["".join(text for text, _ in line) for line in live_lines(running(), width, NOW)]

    assert GOLDEN[width] == [line.rstrip() for line in lines]
    assert max(map(len, lines)) <= width


def test_live_lines_fit() -> None:
    """No line of a step that tells its progress is wider than the terminal, whatever its width."""
    for width in range(40, 220):
        for line in live_lines(running()[:2], width, NOW):
            assert sum(len(text) for text, _ in line) <= width


def test_log_lines() -> None:
    """A line of a log has all that is known."""
    assert [
        "train:tensorflow-sentiment running 1 min 50 s  25%  epoch 3/10  iter 50/98  score 0.812  loss 0.500  5 min 00 s left",
        "train:r-gbm running 45 s  iter 17  score 0.500  note ab",
        "evaluate:pyspark-logistic-regression running 4 s  environment  two",
        "train:silent running 2 min 10 s  50%  silent for 1 min 05 s  iter 5/10",
    ] == [log_line(step, NOW) for step in running()]
