"""What training records of its data, and what is scored beside it."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import discover, plan
from tasks.fingerprint import Files
from tasks.model import MONITORING_FORMAT
from tasks.plan import Step
from tasks.serving import columns, windows
from tasks.serving.arrays import Array
from tasks.serving.columns import Column
from tasks.serving.counts import ACCURACY, QUANTILES, Labels, Numbers
from tasks.serving.divergence import TOO_FEW, is_enough, ks, psi, rare_chi_square, verdict
from tasks.serving.monitoring import LARGEST, MOST_REQUESTS, Monitor, read_baseline
from tasks.serving.rows import pieces
from tasks.serving.windows import NO_BASELINE
from tests.conftest import ask
from tests.test_docs import listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import Repository

NAME = "monitored-python"
HEADER = "id,town,income,note,left"
NAMES = ("income", "town", "note")
ROWS = 2000
WAIT_SECONDS = 60

steady = settings(deadline=None)
"""How long an example takes depends on what else the machine does."""

Row = list[Any]


def people(count: int, seed: int = 1, mean: float = 1000) -> list[Row]:
    """Return rows as a client sends them, with NAMES: some incomes are missing."""
    chance = random.Random(seed)
    towns = ["north"] * 5 + ["south"] * 3 + ["east"]
    return [
        [
            None if chance.random() < 0.1 else round(chance.gauss(mean, 200), 2),
            chance.choice(towns),
            f"note {chance.random()}",
        ]
        for _ in range(count)
    ]


def write_people(repository: Repository, rows: Sequence[Row]) -> None:
    """Write rows into the file that the model is trained on, among other columns."""
    lines = [
        f"{number},{town},{'' if income is None else income},{note},{number % 2}"
        for number, (income, town, note) in enumerate(rows)
    ]
    repository.write("datasets/people.csv", "\n".join([HEADER, *lines]) + "\n")


def as_json(values: object, *names: str) -> Array:
    """Return values in an array, as JSON has them."""
    return Array(json.dumps(values).encode(), names)


DESCRIBE = """
import json, sys
from model_runtime import baseline, sampling
with open(sys.argv[1]) as file:
    sides = json.load(file)
found = {side: baseline.described([], rows) for side, rows in sides.items()}
limits = [baseline.FORMAT, baseline.MOST_COLUMNS, sampling.LARGEST, sorted(sampling.MISSING)]
print(json.dumps([found, limits]))
"""


def trained_on(inputs: Sequence[Row], outputs: Sequence[Row]) -> dict[str, Any]:
    """Return what training records of these rows and answers."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # too long for an argument
        json.dump({"inputs": inputs, "outputs": outputs}, file)
        file.flush()
        found, limits = ask(sys.executable, DESCRIBE, file.name)
    ours = [MONITORING_FORMAT, windows.MOST_COLUMNS, columns.LARGEST, sorted(columns.MISSING)]
    assert ours == limits
    return {"rows": len(inputs), "sampled": len(inputs), "notes": [], **found}


@pytest.fixture(scope="module")
def baseline() -> dict[str, Any]:
    """Return what training records of some people, whose income is the answer too."""
    rows = people(ROWS)
    return trained_on(rows, [[row[0]] for row in rows])


def watched(monitor: Monitor, rows: Sequence[Row]) -> dict[str, Any]:
    """Put rows to a monitor, one a request, and return what it says."""
    for row in rows:
        monitor.note(as_json([row], *NAMES), as_json([row[0]]))
    monitor.catch_up()
    return monitor.drift()


# At training


def test_training_records_its_data_and_the_answers(repository: Repository) -> None:
    """What the sample names is described, twice the same; the same rows have not shifted later."""
    repository.add(NAME)
    rows = people(ROWS)
    write_people(repository, rows)

    done = repository.doit(f"train:{NAME}", "--twice")

    assert 0 == done.returncode, done.stdout + done.stderr
    folder = f"build/models/{NAME}/train"
    assert "models/monitoring.json" in repository.json(f"{folder}/artefacts.json")["files"]
    assert "monitoring: 2000 rows, 3 columns in, 1 out\n" in repository.read(f"{folder}/run.log")
    found = read_baseline(str(repository.path / folder))
    assert found
    assert (ROWS, ROWS, []) == (found["rows"], found["sampled"], found["notes"])
    income, town, note = found["inputs"]
    assert [*NAMES] == [one["name"] for one in found["inputs"]]
    assert ("number", "category", "text") == (income["kind"], town["kind"], note["kind"])
    incomes = [row[0] for row in rows if row[0] is not None]
    assert (len(incomes), ROWS - len(incomes)) == (income["count"], income["missing"])
    assert (min(incomes), max(incomes)) == (income["min"], income["max"])
    assert 10 == len(income["bins"])
    assert max(income["bins"]) - min(income["bins"]) <= 10
    assert ["north", "south", "east"] == list(town["counts"])
    assert not any(row[2] in json.dumps(found) for row in rows)

    threshold = float(repository.read(f"{folder}/models/model.txt"))
    monitor = Monitor(found)
    for row in rows:
        monitor.note(as_json([row], *NAMES), as_json([int((row[0] or 0) > threshold)]))
    monitor.catch_up()

    recent = monitor.drift()["recent"]
    assert ("stable", ROWS, ROWS) == (recent["verdict"], recent["rows"], recent["requests"])
    shifts = monitor.shifts()
    expected = ["input income", "input town", "input note", "output 1"]
    assert expected == [one for one, _, _ in shifts]
    assert [] == [one for one in shifts if one[1] > 1e-3 or one[2] not in {0, None}]
    for name in ("mean", "std"):
        assert income[name] == pytest.approx(recent["inputs"]["income"][name])
    assert 0 == recent["inputs"]["income"]["out_of_range"] == recent["inputs"]["town"]["unseen"]


def test_monitoring_is_part_of_the_key(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on counts, with the scorer and the sample; where it is off nothing of it does."""
    repository.add(NAME)
    write_people(repository, people(3))
    monkeypatch.chdir(repository.path)
    model = discover.read_model(f"model_definitions/{NAME}", Files())
    plain = {"id": model.id, "language": "python", "name": model.title}
    without = replace(model, document=plain, worked_out={})
    off = replace(model, document={**plain, "monitoring": False}, worked_out={})
    monitored = {
        "model.json: monitoring", "file samples/data.json", "file model_modules/scoring.py",
    }  # fmt: skip

    def inputs(of: Any, step: str) -> dict[str, str]:  # noqa: ANN401
        return plan.inputs(Step(of, step), Files(), None)

    on = inputs(model, "train")
    assert model.monitored
    assert not off.monitored
    assert inputs(without, "train") == inputs(off, "train")
    assert monitored == on.keys() - inputs(off, "train").keys()
    assert inputs(off, "evaluate") == inputs(model, "evaluate")
    assert f"model_definitions/{NAME}/samples/data.json" in plan.read_paths(
        Step(model, "train"), Files()
    )
    (repository.path / f"model_definitions/{NAME}/samples/data.json").unlink()
    gone = inputs(model, "train")
    assert {"file samples/data.json"} == {name for name in on if on[name] != gone[name]}


RECORD = """
import io, json, os, sys, contextlib, tempfile
from model_runtime import baseline
class Scorer:
    explain = None
    def predict(self, names, values):
        if answer == "raises":
            raise ValueError("no such tree\\nand more")
        if answer == "exits":
            sys.exit("enough")
        if answer == "one":
            return [], [float(values[0]) + values[1]]
        return ["sum"], [[row[0] + row[1]] for row in values]
class Engine:
    scorer = staticmethod(lambda request, arguments: Scorer())
found = []
for files, sample, answer in json.loads(sys.argv[1]):
    os.chdir(tempfile.mkdtemp(dir=sys.argv[2]))
    os.mkdir("models")
    for name, text in files.items():
        with open(name, "wb") as file:
            file.write(text.encode("latin-1"))
    if sample is not None:
        with open("sample.json", "w") as file:
            file.write(sample)
    paths = [name for name in files if "/" not in name]
    asked = {"samples": ["none.json", "sample.json"], "data_files": paths, "modules": []}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        baseline.record(Engine, {"monitoring": asked}, {})
    with open("models/monitoring.json") as file:
        found.append([said.getvalue(), json.load(file)])
print(json.dumps(found))
"""
BY_NAME = '{"data": {"names": ["b", "a"], "ndarray": [[1, 2]]}}'
BY_POSITION = '{"data": {"ndarray": [1, 2]}}'
HEADED, PLAIN = "a,X,B\n1,x,10\n2,y,20\n", "1,10,x\n2,20,y\n"
LINES: dict[str, tuple[dict[str, str], str | None, str, str]] = {
    "by name": ({"f.csv": HEADED}, BY_NAME, "rows", "2 rows, 2 columns in, 1 out"),
    "by position": ({"f.csv": PLAIN}, BY_POSITION, "rows", "2 rows, 2 columns in, 1 out"),
    "names without a header": ({"f.csv": PLAIN}, BY_NAME, "rows", "2 rows, 2 columns in, 1 out"),
    "one row at a time": ({"f.csv": PLAIN}, BY_POSITION, "one", "2 rows, 2 columns in, 1 out"),
    "no sample": ({"f.csv": "a,b\n1,2\n3,4\n"}, None, "rows", "2 rows, 2 columns in, 1 out"),
    "two files": (
        {"f.csv": HEADED, "g.csv": "B,A\n5,6\n", "h.csv": "c\n1\n"}, BY_NAME, "rows",
        "3 rows, 2 columns in, 1 out; h.csv is left out: no column `b`, `a`",
    ),
    "ragged": ({"f.csv": PLAIN + "3\n"}, BY_POSITION, "rows", "2 rows, 2 columns in, 1 out"),
    "libsvm": (
        {"f.txt": "0 1:2 3:4\n1 5:6\n"}, BY_POSITION, "rows",
        ("0 rows, 0 columns in, 0 out; f.txt is left out: its rows have 1 columns, those of the"
         " sample request 2"),
    ),
    "no text": (
        {"f.npz": "PK\x03\x04\xff\xfe"}, BY_NAME, "rows",
        "0 rows, 0 columns in, 0 out; f.npz is left out: it is no text",
    ),
    "empty": (
        {"f.csv": ""}, BY_NAME, "rows",
        "0 rows, 0 columns in, 0 out; f.csv is left out: it is empty",
    ),
    "no file": ({}, BY_NAME, "rows", "0 rows, 0 columns in, 0 out; the dataset names no data file"),
    "broken sample": (
        {"f.csv": HEADED}, "[1]", "rows",
        ("0 rows, 0 columns in, 0 out; no inputs and outputs: ValueError: the sample request is not"
         ' {"data": {"ndarray": [...]}}'),
    ),
    "the scorer fails": (
        {"f.csv": HEADED}, BY_NAME, "raises",
        "2 rows, 2 columns in, 0 out; no outputs: ValueError: no such tree",
    ),
    "the scorer exits": (
        {"f.csv": HEADED}, BY_NAME, "exits",
        "2 rows, 2 columns in, 0 out; no outputs: SystemExit: enough",
    ),
    "its own file": (
        {"f.csv": HEADED, "models/monitoring.json": '{"mine": 1}'}, BY_NAME, "rows",
        ("2 rows, 2 columns in, 1 out; `models/monitoring.json` is the model's own:"
         " nothing is recorded"),
    ),
}  # fmt: skip


def test_what_cannot_be_read_is_told_and_fails_nothing(tmp_path: Path) -> None:
    """The log has a line, whatever the data and the model are like."""
    cases = json.dumps([case[:3] for case in LINES.values()])
    found = dict(zip(LINES, ask(sys.executable, RECORD, cases, str(tmp_path)), strict=True))

    expected = {name: f"monitoring: {case[3]}\n" for name, case in LINES.items()}
    assert expected == {name: line for name, (line, _) in found.items()}
    written = {name: document for name, (_, document) in found.items()}
    assert {"mine": 1} == written.pop("its own file")
    facts = {
        name: [(one["name"], one["min"], one["max"]) for one in one["inputs"] + one["outputs"]]
        for name, one in written.items()
    }
    assert [("b", 10, 20), ("a", 1, 2), ("sum", 11, 22)] == facts["by name"]
    assert [("1", 1, 2), ("2", 10, 20), ("sum", 11, 22)] == facts["by position"]
    assert [("b", 1, 2), ("a", 10, 20), ("sum", 11, 22)] == facts["names without a header"]
    assert [("1", 1, 2), ("2", 10, 20), ("1", 11, 22)] == facts["one row at a time"]
    assert [("a", 1, 3), ("b", 2, 4), ("sum", 3, 7)] == facts["no sample"]
    assert [("b", 5, 20), ("a", 1, 6), ("sum", 11, 22)] == facts["two files"]
    assert facts["by position"] == facts["ragged"]


RESERVOIR = """
import json
from model_runtime import sampling
sampling.MOST_ROWS = 1000
taken = []
for _ in range(2):
    reservoir = sampling.Reservoir()
    for number in range(20000):
        reservoir.add([str(number)])
    taken.append([row[0] for row in reservoir.rows()])
sampling.MOST_CELLS = 10
wide = sampling.Reservoir()
for number in range(5):
    wide.add(["1"] * 4)
print(json.dumps([taken, reservoir.seen, len(wide.rows())]))
"""


def test_of_many_rows_some_are_chosen_always_the_same() -> None:
    """The choice is of a bounded size, in the order of the file, and from all of it."""
    (first, second), seen, wide = ask(sys.executable, RESERVOIR)

    assert first == second == sorted(first)
    assert (20000, 1000, 2) == (seen, len(set(first)), wide)
    for quarter in range(4):
        assert 200 < sum(quarter * 5000 <= number < (quarter + 1) * 5000 for number in first) < 300


def test_kinds_of_columns() -> None:
    """Numbers, categories of which the most frequent are told, and texts of which nothing is."""
    many = [f"c{number % 60}" for number in range(600)]
    texts = [f"text {number}" for number in range(600)]
    rows = [[n % 3, n % 2 == 0, many[n], texts[n], "x" * 101, None] for n in range(600)]
    found = trained_on(rows, [])["inputs"]
    few, flag, often, text, long, empty = found

    assert ("number", [0, 1], [200, 200, 200]) == (few["kind"], few["edges"], few["bins"])
    assert {"true": 300, "false": 300} == flag["counts"]
    assert (50, 100) == (len(often["counts"]), often["other"])
    assert ("text", 6, 8) == (text["kind"], text["min"], text["max"])
    assert ("text", 101) == (long["kind"], long["max"])
    assert (0, 600, {}) == (empty["count"], empty["missing"], empty["counts"])


# How far

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)
PAIRS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=12)


def test_psi_by_hand() -> None:
    """Worked out by hand, with many rows as the plain formula, and with few as it is smoothed."""
    plain = 0.1 * math.log(0.6 / 0.5) + 0.1 * math.log(0.5 / 0.4)
    few = (2.5 / 3 - 0.5) * math.log(5 / 3) + (0.5 / 3 - 0.5) * math.log(1 / 3)

    assert plain == pytest.approx(psi((500_000, 500_000), (600_000, 400_000)), rel=1e-4)
    assert few == pytest.approx(psi((1, 1), (2, 0)))
    assert few == pytest.approx(psi((1, 0, 1), (2, 0, 0)))


@steady
@given(COUNTS)
def test_psi_of_the_same_is_next_to_nothing(counts: list[int]) -> None:
    """As many in each bin, or a hundred times as many in each, is no shift."""
    many = [count * 100 + 100 for count in counts]

    assert 0 == pytest.approx(psi(many, many), abs=1e-3)
    assert 0 == pytest.approx(psi(many, [100 * count for count in many]), abs=1e-3)


@steady
@given(PAIRS, st.randoms(use_true_random=False))
def test_psi_does_not_know_the_order_of_bins(
    pairs: list[tuple[int, int]], chance: random.Random
) -> None:
    """It is not below 0, and the same for bins in any order."""
    before, now = zip(*pairs, strict=True)
    found = psi(before, now)
    chance.shuffle(pairs)

    assert found >= 0
    assert found == pytest.approx(psi(*zip(*pairs, strict=True)))


def test_psi_of_a_shift_is_large() -> None:
    """All in one bin of ten is far above what the convention calls a shift."""
    assert psi([100] * 10, [1000] + [0] * 9) > 1
    assert psi([1000, 0], [900, 100]) > 0.25


@steady
@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_ks_where_each_value_has_a_bin_is_that_of_the_samples(
    before: list[int], now: list[int]
) -> None:
    """The largest distance of the two empirical distributions, looked for at each value."""
    exact = max(
        abs(sum(x <= at for x in before) / len(before) - sum(x <= at for x in now) / len(now))
        for at in range(10)
    )
    counts = [[values.count(at) for at in range(10)] for values in (before, now)]

    assert exact == pytest.approx(ks(*counts))


def test_ks_by_hand() -> None:
    """Shares of 0.25, 0.5 and 1 beside 0.5, 0.75 and 1; nothing beside nothing."""
    assert 0.25 == ks((1, 1, 2), (2, 1, 1))
    assert 1 == ks((5, 0), (0, 7))
    assert ks((0, 0), (1, 1)) is None


def test_what_chance_exceeds_once_in_a_thousand() -> None:
    """As the tables of the chi-square distribution have it."""
    tables = {1: 10.828, 2: 13.816, 9: 27.877, 50: 86.661}

    for freedom, expected in tables.items():
        assert expected == pytest.approx(rare_chi_square(freedom), rel=0.031)


def test_what_is_called_enough_keeps_chance_out() -> None:
    """With just so many rows, chance alone is taken for a shift next to never; with few, often."""
    chance = random.Random(3)
    before = [1000] * 10
    enough = next(n for n in range(1, 1000) if is_enough(before, [n // 10] * 9 + [n - n // 10 * 9]))

    def shifts(rows: int) -> int:
        drawn = [chance.choices(range(10), k=rows) for _ in range(300)]
        found = [psi(before, [one.count(at) for at in range(10)]) for one in drawn]
        return sum(distance >= 0.1 for distance in found)

    assert 250 < enough < 320
    assert shifts(enough) <= 3
    assert shifts(enough // 4) > 100
    assert not is_enough(before, [0] * 10)


def test_verdicts() -> None:
    """The convention, from its edges on."""
    found = [verdict(value) for value in (None, 0.0999, 0.1, 0.2499, 0.25)]

    assert [TOO_FEW, "stable", "some shift", "some shift", "shifted"] == found


# Summaries

VALUES = st.lists(
    st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)
    | st.integers(-3, 3).map(float),
    min_size=1,
)


@steady
@given(VALUES)
def test_quantiles_are_near(values: list[float]) -> None:
    """Each is a value of that rank, but for a fiftieth of it."""
    summary = Numbers()
    summary.add(values)
    ordered = sorted(values)

    for share in QUANTILES:
        exact = ordered[math.floor(share * (len(values) - 1))]
        assert abs(summary.quantile(share) - exact) <= ACCURACY * 1.0001 * abs(exact)


@steady
@given(VALUES, VALUES, st.lists(st.floats(-10, 10), unique=True, max_size=9).map(sorted))
def test_merged_numbers_are_those_of_the_whole(
    first: list[float], second: list[float], edges: list[float]
) -> None:
    """Counts to the last one, means and deviations but for the rounding."""
    parts, whole = [Numbers(edges, -5, 5) for _ in range(2)], Numbers(edges, -5, 5)
    parts[0].add(first)
    parts[1].add(second)
    whole.add(first + second)
    parts[0].merge(parts[1])
    size = max(map(abs, first + second))

    assert whole.mean == pytest.approx(parts[0].mean, rel=1e-9, abs=1e-9 * size)
    assert whole.squares == pytest.approx(parts[0].squares, rel=1e-9, abs=1e-9 * size**2)
    same = {"mean": 0.0, "squares": 0.0}
    assert replace(whole, **same) == replace(parts[0], **same)
    assert sum(whole.bins) == len(first) + len(second)


@steady
@given(st.lists(st.text("abcdefghijklmnop", max_size=1)), st.lists(st.text("ghijklmnopqrstuvw")))
def test_merged_categories_are_those_of_the_whole(first: list[str], second: list[str]) -> None:
    """Counts, what is not known, and the first examples of it."""
    parts, whole = [Labels(frozenset("abcg")) for _ in range(2)], Labels(frozenset("abcg"))
    parts[0].add(first)
    parts[1].add(second)
    whole.add(first + second)
    parts[0].merge(parts[1])

    assert whole == parts[0]
    assert list(whole.strangers) == list(parts[0].strangers)
    assert whole.counts.total() + whole.other == len(first) + len(second)


def test_a_column_takes_what_clients_send(baseline: dict[str, Any]) -> None:
    """Numbers in strings, missing values in all their forms, and what is no value of its kind."""
    income, town, note = (Column(one) for one in baseline["inputs"])
    income.add([900.0, 1000, "1100.5", None, "", "NA", math.nan, 1e200, 10**400, "much", True])
    town.add(["north", "west", "North", True, 7, 7.0, None, "null"])
    note.add(["abc", 12345, None])

    assert (3, 6, 2) == (income.numbers.count, income.missing, income.unseen)
    assert (1000.1666666, 0.4) == pytest.approx(
        (income.numbers.mean, income.described()["unseen"]),
    )
    assert ({"north": 1}, 5, 2) == (dict(town.labels.counts), town.labels.other, town.missing)
    assert ["west", "North", "true", "7"] == town.described()["unseen_values"]
    assert (3, 5, 1) == (note.numbers.least, note.numbers.most, note.missing)


# Arrays

TENSOR = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def rows_of(array: Array, known: int = 0, rows: int = 0) -> list[list[Any]]:
    """Return all rows of an array."""
    return [list(row) for piece in pieces(array, known, rows) for row in piece]


def tensor(code: str, dtype: str, *shape: int) -> Array:
    """Return the numbers as a tensor."""
    whole = code not in "efd"
    values = [int(value) if whole else value for value in TENSOR]
    return Array(struct.pack(f"<6{code}", *values), dtype=dtype, shape=shape)


def test_rows_in_json() -> None:
    """A flat row, rows, values one a row where there is one column, and rows in rows."""
    assert [[1, 2, 3]] == rows_of(as_json([1, 2, 3]), 3)
    assert [[1], [2], [3]] == rows_of(as_json([1, 2, 3]), 1)
    assert [[1], [2], [3]] == rows_of(as_json([1, 2, 3]), 0, 3)
    assert [[1, 2], [3, 4]] == rows_of(as_json([[1, 2], [3, 4]]), 2)
    assert [[1, 2, 3, 4]] == rows_of(as_json([[[1, 2], [3, 4]]]))
    assert [["yes"]] == rows_of(as_json("yes"))
    assert [] == rows_of(as_json([]))
    assert 5000 == len(rows_of(as_json([[n, n] for n in range(5000)])))


@pytest.mark.parametrize(
    ("code", "dtype"),
    [("d", "float64"), ("f", "float32"), ("e", "float16"), ("q", "int64"), ("B", "uint8")],
)
def test_rows_in_tensors(code: str, dtype: str) -> None:
    """As in JSON, whatever the dtype."""
    assert [[1, 2, 3], [4, 5, 6]] == rows_of(tensor(code, dtype, 2, 3))
    assert [TENSOR] == rows_of(tensor(code, dtype, 1, 3, 2))
    assert [TENSOR] == rows_of(tensor(code, dtype, 6), 6)
    assert [[value] for value in TENSOR] == rows_of(tensor(code, dtype, 6), 1)
    assert [[value] for value in TENSOR] == rows_of(tensor(code, dtype, 6), 0, 6)


@pytest.mark.parametrize(
    "array",
    [Array(b"[1,"), tensor("d", "complex64", 6), tensor("d", "float64", 2, 4)],
    ids=["cut off", "unknown dtype", "other shape"],
)
def test_what_is_no_array(array: Array) -> None:
    """It is a ValueError, and to a monitor a request that is left out."""
    with pytest.raises(ValueError, match=r"\w"):
        rows_of(array)
    monitor = Monitor()
    monitor.note(array, as_json([1]))
    monitor.catch_up()

    assert (1, 0) == (monitor.drift()["left_out"], monitor.drift()["recent"]["requests"])


# The monitor


def test_a_shift_is_seen(baseline: dict[str, Any]) -> None:
    """Incomes that have moved, a town that training had not, and who has moved most."""
    rows = people(500, seed=2, mean=1300)
    for row in rows[::5]:
        row[1] = "west"
    told = watched(Monitor(baseline), rows)["recent"]

    assert "shifted" == told["verdict"] == told["inputs"]["1"]["verdict"]
    assert "input 1" == told["worst"]["column"]
    assert told["worst"]["psi"] > 0.25
    assert told["worst"]["ks"] > 0.4
    assert 0.01 < told["inputs"]["1"]["out_of_range"] < 0.1
    assert (0.2, ["west"]) == (told["inputs"]["2"]["unseen"], told["inputs"]["2"]["unseen_values"])
    assert "stable" == told["inputs"]["3"]["verdict"]
    assert told["outputs"]["1"]["ks"] > 0.4
    assert 1300 == pytest.approx(told["inputs"]["1"]["quantiles"]["0.5"], rel=0.05)


def test_the_order_of_requests_does_not_matter(baseline: dict[str, Any]) -> None:
    """Nor does it how many rows a request has."""
    rows = people(400, seed=4)
    one, all_at_once = Monitor(baseline), Monitor(baseline)
    watched(one, rows)
    random.Random(5).shuffle(rows)
    all_at_once.note(as_json(rows), as_json([row[0] for row in rows]))
    all_at_once.catch_up()

    assert [shift[0] for shift in one.shifts()] == [shift[0] for shift in all_at_once.shifts()]
    assert [shift[1:] for shift in one.shifts()] == [shift[1:] for shift in all_at_once.shifts()]


def test_few_rows_say_nothing(baseline: dict[str, Any]) -> None:
    """There is no number that means nothing: not for a column, nor for metrics."""
    monitor = Monitor(baseline)
    told = watched(monitor, people(20, seed=2, mean=9000))["recent"]

    assert (TOO_FEW, None) == (told["verdict"], told["worst"])
    assert (None, TOO_FEW) == (told["inputs"]["1"]["psi"], told["inputs"]["1"]["verdict"])
    assert [] == monitor.shifts()
    assert 1 == told["inputs"]["1"]["out_of_range"]


def test_columns_are_found_by_their_names() -> None:
    """In whatever order they come; where they have other names, by position."""
    baseline = trained_on([[1, "a"], [2, "b"]], [[1], [2]])
    for column, name in zip(baseline["inputs"], ("number", "letter"), strict=True):
        column["name"] = name
    monitor = Monitor(baseline)
    monitor.note(as_json([["b", 0, 5.5]], "letter", "more", "number"), as_json([1]))
    monitor.note(as_json([6.5, "a"]), as_json([2]))
    monitor.catch_up()
    told = monitor.drift()["recent"]

    assert (5.5, 6.5) == (told["inputs"]["number"]["min"], told["inputs"]["number"]["max"])
    assert {"a": 0.5, "b": 0.5} == told["inputs"]["letter"]["shares"]
    assert (2, 1, 2) == tuple(told["outputs"]["1"][name] for name in ("count", "min", "max"))


def test_windows(baseline: dict[str, Any]) -> None:
    """One ends after its time or its rows; the last and the running one are told together."""
    now = [1_000_000_000.0]
    rows = people(800, seed=6)
    monitor = Monitor(baseline, seconds=60, rows=300, clock=lambda: now[0])

    watched(monitor, rows[:400])
    now[0] += 61
    watched(monitor, rows[400:500])
    now[0] += 30
    told = watched(monitor, rows[500:600])

    assert [300, 100, 200] == [window["rows"] for window in told["windows"]]
    assert ["2001-09-09T01:46:40Z", "2001-09-09T01:46:40Z", "2001-09-09T01:47:41Z"] == [
        window["start"] for window in told["windows"]
    ]
    recent = told["recent"]
    assert (300, "2001-09-09T01:46:40Z", "2001-09-09T01:48:11Z") == (
        recent["rows"], recent["start"], recent["end"],
    )  # fmt: skip
    whole = watched(Monitor(baseline), rows[300:600])["recent"]
    for name in ("psi", "ks", "shares", "quantiles", "missing", "min", "max"):
        for side in ("inputs", "outputs"):
            for column in whole[side]:
                assert whole[side][column].get(name) == recent[side][column].get(name)
    assert whole["inputs"]["1"]["mean"] == pytest.approx(recent["inputs"]["1"]["mean"])


def test_without_a_baseline_the_windows_are_told() -> None:
    """Columns are those that come, with no verdict; a flat answer has a value for each row."""
    monitor = Monitor(None)
    monitor.note(as_json([[1.5, "a"], [2.5, "b"]], "x", "y"), as_json([0, 1]))
    monitor.note(as_json([3.5, "a"]), as_json([[1]]))
    monitor.catch_up()
    told = monitor.drift()

    assert told["baseline"] is None
    assert (NO_BASELINE, 2, 3) == tuple(told["recent"][n] for n in ("verdict", "requests", "rows"))
    assert (2, 1.5, 2.5) == tuple(told["recent"]["inputs"]["x"][n] for n in ("count", "min", "max"))
    assert {"a": 0.5, "b": 0.5} == told["recent"]["inputs"]["y"]["shares"]
    assert 3 == told["recent"]["outputs"]["1"]["count"]
    assert [] == monitor.shifts()


def test_what_it_cannot_keep_up_with_is_left_out() -> None:
    """Too many requests, or one that is too large, are counted and take no memory."""
    monitor = Monitor(None)
    large = Array(b"[" + b"1," * (LARGEST // 2) + b"1]")
    monitor.note(large, as_json([1]))
    for _ in range(MOST_REQUESTS + 5):
        monitor.note(as_json([1]), as_json([1]))

    assert 6 == monitor.drift()["left_out"]
    monitor.catch_up()
    assert MOST_REQUESTS == monitor.drift()["recent"]["requests"]
    monitor.note(as_json([1]), as_json([1]))
    monitor.catch_up()
    assert (6, MOST_REQUESTS + 1) == (
        monitor.drift()["left_out"], monitor.drift()["recent"]["requests"],
    )  # fmt: skip


def test_no_text_is_told(baseline: dict[str, Any]) -> None:
    """Of what hardly repeats only the length is known."""
    rows = people(100, seed=7)
    told = json.dumps(watched(Monitor(baseline), rows))

    assert not any(row[2] in told for row in rows)


def test_the_thread_summarises(baseline: dict[str, Any]) -> None:
    """What is noted is told some time later, and the thread ends when it is closed."""
    monitor = Monitor(baseline)
    monitor.start()
    for row in people(300):
        monitor.note(as_json([row]), as_json([row[0]]))
    deadline = time.monotonic() + WAIT_SECONDS
    while monitor.drift()["recent"]["requests"] < 300 and time.monotonic() < deadline:
        time.sleep(0.05)
    monitor.close()

    assert 300 == monitor.drift()["recent"]["requests"]
    assert not monitor._thread.is_alive()


def test_the_reference_has_every_field(baseline: dict[str, Any]) -> None:
    """Of what training records, and of what the server answers."""
    rows = people(400)
    rows[0][1] = "west"
    found = watched(Monitor(baseline), rows)
    recent = found["recent"]
    ours = {key for column in baseline["inputs"] for key in column}
    told = {key for column in recent["inputs"].values() for key in column}

    recorded = listed("What training records", "`models/monitoring.json`")
    assert recorded == {"format", *baseline, *ours}
    assert set(found) == listed("Drift", "field")
    assert set(recent) == listed("Drift", "field of a window")
    assert told == listed("Drift", "field of a column")


def test_what_is_no_baseline(tmp_path: Path) -> None:
    """A file of another format, of the model's own or none is not taken for one."""
    assert read_baseline(str(tmp_path)) is None
    (tmp_path / "models").mkdir()
    for text in ("[1]", "{", '{"format": 0}', '{"mine": 1}'):
        (tmp_path / "models/monitoring.json").write_text(text)
        assert read_baseline(str(tmp_path)) is None
