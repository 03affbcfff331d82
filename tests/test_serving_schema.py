"""What is told of a model's requests, which of them are refused, and how that is shown."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tasks.discover import discover
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.model import DataFile, Dataset, Model
from tasks.serving import arrays, bodies, examples
from tasks.serving.access import OPEN
from tasks.serving.arrays import Array, RequestError
from tasks.serving.examples import Example, answered, read, schema_of
from tasks.serving.openapi import Served, document
from tasks.serving.page import page
from tasks.serving.rows import pieces
from tasks.serving.schema import Column, Kind, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

NUMBERS = Schema(tuple(Column(name, "number") for name in ("age", "bmi", "glucose")))
STRICT = Schema(
    (
        Column("id", "integer", nullable=False),
        Column("town", "string", nullable=False),
        Column("smoker", "boolean"),
    )
)
PIXELS = Schema((Column("", "number"),) * 4)
ANY = Schema()

REFUSED: list[tuple[Schema, Array, int, str]] = [
    (NUMBERS, Array(b"[]"), 422, "There are no rows: the list is empty"),
    (NUMBERS, Array(b"[[]]"), 422, "Row 1: expected 3 values, found none"),
    (NUMBERS, Array(b"[1, 2]"), 422, "Expected 3 values, found 2"),
    (NUMBERS, Array(b"[[1, 2, 3], [1, 2, 3, 4]]"), 422, "Row 2: expected 3 values, found 4"),
    (
        NUMBERS,
        Array(b"[[1, 2, 3], 4]"),
        422,
        "Row 2: expected 3 values, found the number `4`",
    ),
    (
        NUMBERS,
        Array(b'[[1, 2, 3], [1, "high", 3]]'),
        422,
        "Row 2, column `bmi`: expected a number or `null`, found the string `high`",
    ),
    (
        NUMBERS,
        Array(b"[1, true, 3]"),
        422,
        "Column `bmi`: expected a number or `null`, found `true`",
    ),
    (NUMBERS, Array(b"[[1, 2, 1e400]]"), 422, "Row 1, column `glucose`: the number is too large"),
    (NUMBERS, Array(b"7"), 400, "Expected a list of values or of rows, found the number `7`"),
    (NUMBERS, Array(b"{}"), 400, "Expected a list of values or of rows, found an object"),
    (NUMBERS, Array(b"[1, 2,"), 400, "The values are no JSON: Input data was truncated"),
    (NUMBERS, Array(b"[1, 2, NaN]"), 400, "The values are no JSON: invalid character (byte 7)"),
    (NUMBERS, Array(b'[1, "a", 3]]'), 400, "The values are no JSON: trailing characters (byte 12)"),
    (NUMBERS, Array(b"[" * 100_000), 400, "Lists and objects are nested too deep"),
    (ANY, Array(b"[" * 100_000), 400, "Lists and objects are nested too deep"),
    (NUMBERS, Array(b"[1, 2, 3]", ("age", "bmi")), 422, "The column `glucose` is missing"),
    (
        NUMBERS,
        Array(b"[1, 2, 3]", ("age", "bmi", "glukose")),
        422,
        (
            "`glukose` is not a column of this model, did you mean `glucose`?; "
            "the column `glucose` is missing"
        ),
    ),
    (
        NUMBERS,
        Array(b"[1, 2, 3, 4]", ("age", "bmi", "glucose", "age")),
        422,
        "`age` is named twice",
    ),
    (
        NUMBERS,
        Array(b"[1]", tuple("abcdefg")),
        422,
        (
            "`a` is not a column of this model; `b` is not a column of this model; "
            "`c` is not a column of this model; `d` is not a column of this model; "
            "`e` is not a column of this model; and 5 more"
        ),
    ),
    (
        NUMBERS,
        Array(b'[["x", 2, 3]]', ("glucose", "age", "bmi")),
        422,
        "Row 1, column `glucose`: expected a number or `null`, found the string `x`",
    ),
    (
        NUMBERS,
        Array(b"[[1, 2, 3], [1, 2]]", ("glucose", "age", "bmi")),
        422,
        "Row 2: expected 3 values, found 2",
    ),
    (
        STRICT,
        Array(b'[1.5, "Oslo", true]'),
        422,
        "Column `id`: expected a whole number, found the number `1.5`",
    ),
    (
        STRICT,
        Array(b'[null, "Oslo", true]'),
        422,
        "Column `id`: expected a whole number, found `null`",
    ),
    (
        STRICT,
        Array(b'[9223372036854775808, "Oslo", true]'),
        422,
        "Column `id`: the number is too large",
    ),
    (STRICT, Array(b"[1, [], true]"), 422, "Column `town`: expected a string, found a list"),
    (
        STRICT,
        Array(b'[1, "", ""]'),
        422,
        "Column `smoker`: expected `true` or `false` or `null`, found an empty string",
    ),
    (
        PIXELS,
        Array(b'[[1, 2, 3, 4], [1, 2, {"a": 1}, 4]]'),
        422,
        "Row 2, value 3: expected a number or `null`, found an object",
    ),
    (PIXELS, Array(b"[1, 2, 3, 4]", ("a", "b")), 422, "2 names for 4 values a row"),
    (PIXELS, Array(b"[1, 2, 3, 4]", ("a", "b", "b", "c")), 422, "`b` is named twice"),
    (ANY, Array(b"[[1], []]"), 422, "Row 2: expected values, found none"),
    (ANY, Array(b'["a", "b"]', ("text",)), 422, "Expected 1 value, found 2"),
    (ANY, Array(b'[["a"], ["b", 1]]', ("text",)), 422, "Row 2: expected 1 value, found 2"),
    (
        NUMBERS,
        Array(bytes(32), (), "float64", (4,)),
        422,
        "The tensor's shape: expected [3] or [rows, 3], found [4]",
    ),
    (
        NUMBERS,
        Array(bytes(24), (), "float64", (1, 1, 3)),
        422,
        "The tensor's shape: expected [3] or [rows, 3], found [1, 1, 3]",
    ),
    (
        NUMBERS,
        Array(b"", (), "float64", (0, 3)),
        422,
        "There are no rows: the tensor's shape is [0, 3]",
    ),
    (
        NUMBERS,
        Array(bytes(24), (), "float64", (2, 3)),
        400,
        "A tensor of float64 of shape [2, 3] is 48 bytes, found 24",
    ),
    (
        NUMBERS,
        Array(bytes(3), (), "bool", (3,)),
        422,
        "Column `age`: expected a number, found a tensor of bool",
    ),
    (
        STRICT,
        Array(bytes(24), (), "int64", (3,)),
        422,
        "Column `town`: expected a string, found a tensor of int64",
    ),
    (NUMBERS, Array(bytes(24), (), "complex64", (3,)), 422, "Tensors of `complex64` are not known"),
    (
        ANY,
        Array(bytes(8), ("a", "b"), "int32", (2, 1)),
        422,
        "The tensor's shape: expected [2] or [rows, 2], found [2, 1]",
    ),
]

TAKEN: list[tuple[Schema, Array]] = [
    (NUMBERS, Array(b"[1, -2.5e3, null]")),
    (NUMBERS, Array(b" [ [1,2,3] , [4,5,6] ] ")),
    (NUMBERS, Array(struct.pack("<3f", 1, 2, 3), (), "float32", (3,))),
    (NUMBERS, Array(struct.pack("<6q", *range(6)), (), "int64", (2, 3))),
    (STRICT, Array(b'[-9223372036854775808, "", null]')),
    (PIXELS, Array(b"[1, 2, 3, 4]")),
    (PIXELS, Array(b"[1, 2, 3, 4]", ("a", "b", "c", "d"))),
    (ANY, Array(b'["good", "bad"]')),
    (ANY, Array(b'[[1, 2, 3], [{"a": [null]}]]')),
    (ANY, Array(b'[["good"], ["bad"]]', ("text",))),
    (ANY, Array(bytes(12), (), "uint8", (1, 2, 2, 3))),
]


def broken(value: float) -> float:
    """Return a number that is not whole.

    Of one such as 2.0 JSON Schema says that it is; it is not taken for a whole number here.
    """
    return 0.5 if value.is_integer() else value


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False).map(broken),
    st.text(max_size=4),
)
KINDS: list[Kind] = ["number", "integer", "string", "boolean", "any"]
COLUMNS = st.lists(
    st.builds(Column, st.uuids().map(str), st.sampled_from(KINDS), st.booleans()), max_size=4
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Return rows, most often of one length and with values of one kind in a column."""
    width = draw(st.integers(1, 4))
    kinds = [draw(st.sampled_from([CELLS, st.integers(-9, 9), st.text(max_size=3)]))] * width
    rows = draw(st.lists(st.tuples(*kinds).map(list), min_size=1, max_size=4))
    if draw(st.integers(0, 4)) == 0:
        rows.append(draw(st.lists(CELLS, min_size=1, max_size=5)))
    return rows


def array(values: object, *names: str) -> Array:
    """Return values as a client sends them."""
    return Array(json.dumps(values).encode(), names)


# What is refused and what is taken


@pytest.mark.parametrize(("schema", "sent", "status", "said"), REFUSED)
def test_what_does_not_fit_is_refused(schema: Schema, sent: Array, status: int, said: str) -> None:
    """The client is told row and column, what was expected there and what was found."""
    with pytest.raises(RequestError) as refusal:
        schema.check(sent)

    assert said == str(refusal.value)
    assert status == refusal.value.status


def test_many_wrong_names() -> None:
    """They are told at once: each is not compared with each column."""
    schema = Schema(tuple(Column(f"pixel_{index}", "number") for index in range(1_000)))
    names = [f"pixle_{index}" for index in range(1_000)]

    with pytest.raises(RequestError, match="; and 1995 more") as refusal:
        schema.check(array([[0] * 1_000], *names))

    assert str(refusal.value).startswith("`pixle_0` is not a column of this model; `pixle_1` ")


@pytest.mark.parametrize(("schema", "sent"), TAKEN)
def test_what_fits_is_left_as_it_is(schema: Schema, sent: Array) -> None:
    """Values are handed on as they came, under the model's names for the columns."""
    names = sent.names or schema.names

    assert Array(sent.data, names, sent.dtype, sent.shape) == schema.check(sent)


@given(st.data())
def test_columns_in_any_order(data: st.DataObject) -> None:
    """However a client orders its columns, the model gets them in its own order."""
    width = data.draw(st.integers(1, 5))
    schema = Schema(tuple(Column(f"c{index}", "number") for index in range(width)))
    order = data.draw(st.permutations(range(width)))
    rows = data.draw(st.lists(st.lists(CELLS_OF_NUMBERS, min_size=width, max_size=width)))
    flat = not rows
    rows = rows or [data.draw(st.lists(CELLS_OF_NUMBERS, min_size=width, max_size=width))]
    names = [schema.names[index] for index in order]
    moved = [[row[index] for index in order] for row in rows]
    cells = [cell for row in moved for cell in row]
    shape = (width,) if flat else (len(rows), width)
    tensor = Array(struct.pack(f"<{len(cells)}i", *cells), tuple(names), "int32", shape)

    checked = schema.check(array(moved[0] if flat else moved, *names))
    packed = schema.check(tensor)

    assert (schema.names, rows[0] if flat else rows) == (checked.names, json.loads(checked.data))
    assert [cell for row in rows for cell in row] == list(memoryview(packed.data).cast("i"))
    assert (schema.names, shape) == (packed.names, packed.shape)


CELLS_OF_NUMBERS = st.integers(-(2**31), 2**31 - 1)


MANY = [[number, 0.5, None] for number in range(60_000)]


@pytest.mark.parametrize("schema", [NUMBERS, ANY])
def test_many_rows(schema: Schema) -> None:
    """They are looked at part by part, and left as they are."""
    sent = array(MANY, *NUMBERS.names)
    assert len(sent.data) > 4 * arrays.PART

    assert sent == schema.check(sent)
    moved = schema.check(array(MANY, "glucose", "age", "bmi"))
    if schema is NUMBERS:
        assert (NUMBERS.names, [[0.5, None, row[0]] for row in MANY]) == (
            moved.names, json.loads(moved.data),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([1, 2, "x"], "Row 60001, column `glucose`: expected a number or `null`, found the string"),
        ([1, 2], "Row 60001: expected 3 values, found 2"),
        (7, "Row 60001: expected 3 values, found the number `7`"),
        ([1, 2, 10**400], "Row 60001, column `glucose`: the number is too large"),
    ],
)
def test_many_rows_and_one_that_does_not_fit(last: object, said: str) -> None:
    """The row is named as it would be among few."""
    with pytest.raises(RequestError) as refusal:
        NUMBERS.check(array([*MANY, last]))
    assert str(refusal.value).startswith(said)
    if last == [1, 2]:
        for schema, names in ((ANY, NUMBERS.names), (NUMBERS, ("glucose", "age", "bmi"))):
            with pytest.raises(RequestError, match=re.escape(said)):
                schema.check(array([*MANY, last], *names))


def test_a_list_of_nothing_but_blanks() -> None:
    """However long it is, there are no rows."""
    for blanks in (b" ", b" " * 2 * arrays.PART):
        with pytest.raises(RequestError, match="There are no rows"):
            NUMBERS.check(Array(b"[%b]" % blanks))


def test_a_row_that_begins_with_an_object() -> None:
    """It is one row, and a worker is told so; where nothing is known, objects are rows."""
    schema = Schema((Column("o", "any"), Column("n", "number")))

    assert b'[[{"a": 1}, 2]]' == schema.check(array([{"a": 1}, 2])).data
    assert b'[[{"a": 1}, 2]]' == schema.check(array([[{"a": 1}, 2]])).data
    assert b'[{"a": 1}, {"a": 2}]' == ANY.check(array([{"a": 1}, {"a": 2}])).data
    assert ANY == schema_of({}, [array([{"a": 1}, {"a": 2}])])


@pytest.mark.parametrize("large", [False, True])
def test_rows_of_an_array(large: bool) -> None:  # noqa: FBT001
    """All that was sent is summarised, in pieces of one size."""
    rows = MANY if large else MANY[:700]
    found = list(pieces(array(rows), 3))

    assert rows == [row for piece in found for row in piece]
    assert max(map(len, found)) == 1000 // 3


def test_values_are_moved_as_they_are_written() -> None:
    """A number is not rounded on its way into another place."""
    sent = Array(b"[[1.10, 12345678901234567890123, -0]]", ("glucose", "age", "bmi"))

    assert b"[[12345678901234567890123,-0,1.10]]" == NUMBERS.check(sent).data


@given(COLUMNS, st.binary(max_size=20) | st.text('[]{},:"01.e-ntrufals \\', max_size=20))
def test_nothing_but_refusals(columns: list[Column], sent: bytes | str) -> None:
    """Whatever a client sends is taken as a list in JSON, or refused with a sentence."""
    data = sent.encode() if isinstance(sent, str) else sent
    refusal = None
    try:
        Schema(tuple(columns)).check(Array(data))
    except RequestError as error:
        refusal = error

    if refusal:
        assert refusal.status in (400, 422)
        assert str(refusal)
    else:
        assert isinstance(json.loads(data), list)


@given(COLUMNS, st.data())
def test_what_is_documented_is_what_is_taken(columns: list[Column], data: st.DataObject) -> None:
    """The JSON Schema of a request allows exactly what is taken."""
    schema = Schema(tuple(columns))
    cells = data.draw(st.sampled_from([CELLS, *map(matching, columns)]))
    row = st.tuples(*(data.draw(st.sampled_from([cells, matching(c)])) for c in columns)).map(list)
    values = data.draw(st.one_of(row, st.lists(row, max_size=3), st.lists(CELLS, max_size=5)))
    names = data.draw(st.sampled_from([None, [], list(schema.names)]))
    documented = Draft202012Validator(bodies.predict(schema))

    try:
        schema.check(array(values, *(names or ())))
        taken = True
    except RequestError:
        taken = False

    assert taken == documented.is_valid({"data": {"names": names, "ndarray": values}})


def matching(column: Column) -> st.SearchStrategy[Any]:
    """Return the values that fit a column."""
    kinds: dict[Kind, st.SearchStrategy[Any]] = {
        "number": st.integers(-9, 9) | st.floats(-9, 9).map(broken),
        "integer": st.integers(-(2**63), 2**63 - 1),
        "string": st.text(max_size=3),
        "boolean": st.booleans(),
        "any": CELLS,
    }
    return kinds[column.kind] | st.none() if column.nullable else kinds[column.kind]


# What is inferred


def columns_of(schema: Schema) -> list[tuple[str, str, bool]]:
    """Return name, kind and whether null is allowed of each input."""
    return [(column.name, column.kind, column.nullable) for column in schema.inputs]


@given(st.lists(tables(), max_size=3), st.booleans())
def test_a_sample_fits_the_schema_that_it_shows(samples: list[list[list[Any]]], flat: bool) -> None:  # noqa: FBT001
    """No model refuses its own samples, whatever these are."""
    arrays = [array(rows[0] if flat else rows) for rows in samples]
    schema = schema_of({}, arrays)

    assert arrays == [Array(one.data) for one in map(schema.check, arrays)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([array([1, 2.5, None])], [("", "number", True), ("", "number", True), ("", "any", True)]),
        ([array([["a", True], ["b", None]], "x", "y")],
         [("x", "string", True), ("y", "boolean", True)]),
        ([array([[1], ["a"]], "x")], [("x", "any", True)]),
        ([array([[[1], {}]], "x", "y")], [("x", "any", True), ("y", "any", True)]),
        ([array([1, "a"], "x", "y"), array([["b", 2]], "y", "x")],
         [("x", "number", True), ("y", "string", True)]),
        ([array([1, 2]), array([3, 4], "x", "y")], [("x", "number", True), ("y", "number", True)]),
        ([array([1, 2]), array([1])], []),
        ([array([[1, 2], [1]])], []),
        ([array([[1, 2], 3])], []),
        ([array([1], "x"), array([1], "y")], []),
        ([array([1, 2], "x")], []),
        ([array([1, 2], "x", "x")], []),
        ([], []),
    ],
)  # fmt: skip
def test_samples(sent: list[Array], expected: list[tuple[str, str, bool]]) -> None:
    """The columns are those that all samples have; where they differ, anything goes."""
    assert expected == columns_of(schema_of({}, sent))


CSV = "id;town;smoker;empty;bmi\n1;Oslo;true;;23.5\n2;Rome;FALSE;NA;\n"


@pytest.mark.parametrize(
    ("text", "town", "smoker"),
    [
        (CSV, ("string", False), ("boolean", False)),
        (CSV.replace("Rome", ""), ("string", True), ("boolean", False)),
        (CSV.replace("Rome", "1").replace("Oslo", "2"), ("any", True), ("boolean", False)),
        (CSV.replace("true", "yes"), ("string", False), ("any", True)),
        ("\ufeff" + CSV.replace(";", ",").replace("town", '"town"').replace("\n", "\r\n"),
         ("string", False), ("boolean", False)),
        (CSV + "3;Bonn;true;;\n" * examples.MOST_ROWS, ("string", True), ("boolean", True)),
        (CSV + f"3;{'x' * examples.MOST_BYTES};;;\n", ("string", True), ("boolean", True)),
        ("1,Oslo,true\n", ("string", True), ("boolean", True)),
        ("\0\1\2PAR1", ("string", True), ("boolean", True)),
        ("", ("string", True), ("boolean", True)),
    ],
    ids=["all seen", "missing", "number", "text", "quoted", "many rows", "many bytes", "no header",
         "no text", "empty"],
)  # fmt: skip
def test_training_data(
    tmp_path: Path, text: str, town: tuple[str, bool], smoker: tuple[str, bool]
) -> None:
    """The training data tell what a sample leaves open, as far as they are looked at."""
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8", newline="")
    paths = [str(tmp_path), str(tmp_path / "missing"), str(path)]
    sample = array(["Oslo", True, 20], "town", "smoker", "bmi")
    expected = [("town", *town), ("smoker", *smoker), ("bmi", "number", True)]

    assert expected == columns_of(schema_of({}, [sample], paths))


def test_null_in_a_sample_allows_null(tmp_path: Path) -> None:
    """A sample says more than the training data."""
    (tmp_path / "data.csv").write_text(CSV)
    sample = array([["Oslo", None], [None, True]], "town", "smoker")
    expected = [("town", "string", True), ("smoker", "boolean", True)]

    assert expected == columns_of(schema_of({}, [sample], [str(tmp_path / "data.csv")]))


def test_model_json_goes_before_samples() -> None:
    """What `model.json` says of inputs and outputs counts, each by itself."""
    inputs = [{"name": "a", "type": "integer", "nullable": False}, {"name": "b", "type": "any"}]
    outputs = [{"name": "p", "type": "string"}]
    both = schema_of({"serving": {"schema": {"inputs": inputs, "outputs": outputs}}}, [])
    half = schema_of({"serving": {"schema": {"outputs": outputs}}}, [array([1.5], "x")])

    assert [("a", "integer", False), ("b", "any", True)] == columns_of(both)
    assert [("x", "number", True)] == columns_of(half)
    assert half.outputs == both.outputs == (Column("p", "string"),)
    assert both == answered(both, array([1, 2], "other"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (array([1, 0]), [Column("", "integer")]),
        (array(0.5), [Column("", "number")]),
        (array(["yes"], "class"), [Column("class", "string")]),
        (array([0.1, 0.9], "no", "yes"), [Column("no", "number"), Column("yes", "number")]),
        (array([[1, "a"], [2, "b"]], "id", "class"),
         [Column("id", "integer"), Column("class", "string")]),
        (array([[1, True]], "id"), [Column("", "integer"), Column("", "boolean")]),
        (array([[1], [1, 2]]), []),
        (array([]), []),
        (Array(bytes(16), (), "float64", (2,)), [Column("", "number")]),
        (Array(bytes(4), ("a", "b"), "bool", (2, 2)),
         [Column("a", "boolean"), Column("b", "boolean")]),
        (Array(bytes(16), ("a", "b"), "float64", (2,)),
         [Column("a", "number"), Column("b", "number")]),
        (Array(bytes(64), (), "float64", (2, 2, 2)), []),
    ],
)  # fmt: skip
def test_answers(answer: Array, expected: list[Column]) -> None:
    """The answer to a sample shows the columns of answers."""
    assert tuple(expected) == answered(ANY, answer).outputs


# The samples of models


def model_with(folder: Path, **samples: str) -> Model:
    """Return a model with these files in `samples/`, and data in which nothing is missing."""
    (folder / "model_modules/samples").mkdir(parents=True)
    for name, text in samples.items():
        (folder / f"model_modules/samples/{name}.json").write_text(text, encoding="utf-8")
    (folder / "data.csv").write_text("x,y\n1,a\n", encoding="utf-8")
    files = (DataFile(("url",), "data.csv", str(folder / "data.csv")),)
    dataset = Dataset("", "train.json", {"url": "data.csv"}, files)
    return Model("churn", str(folder), str(folder), datasets={("", "train"): dataset})


def test_read(tmp_path: Path) -> None:
    """`data.json` comes first; what is no request is passed over."""
    request = '\ufeff{"data": {"names": ["x", "y"], "ndarray": [[1, "a"]]}}'
    other = '{"data": {"ndarray": [2, "b"]}, "more": 1}'
    model = model_with(tmp_path, another=other, data=request, list="[1]", odd='{"data": 1}')

    schema, found = read(model)

    assert [("x", "number", True), ("y", "string", False)] == columns_of(schema)
    assert ["data", "another"] == [example.name for example in found]
    assert array([[1, "a"]], "x", "y").names == found[0].array.names
    assert [[[1, "a"]], [2, "b"]] == [json.loads(example.array.data) for example in found]


def test_a_model_without_samples(tmp_path: Path) -> None:
    """It takes anything."""
    assert (ANY, ()) == read(Model("churn", str(tmp_path), str(tmp_path)))


def test_samples_with_faults(tmp_path: Path) -> None:
    """A sample that cannot be read, or that the model would refuse, is named with the way out."""
    unread = model_with(tmp_path / "a", data='{"data": {')
    unfit = model_with(tmp_path / "b", data='{"data": {"names": ["x"], "ndarray": [1, 2]}}')

    with pytest.raises(UserError) as first:
        read(unread)
    with pytest.raises(UserError) as second:
        read(unfit)

    assert f"`{tmp_path}/a/model_modules/samples/data.json` cannot be read" == first.value.headline
    assert f"`{tmp_path}/b/model_modules/samples/data.json` does not fit the schema of `churn`" == (
        second.value.headline
    )
    assert ("reason", "Expected 1 value, found 2") in second.value.facts
    assert "model.json" in second.value.hint


DIABETES = [("number", True)] * 8
CHURN = [("number", True), ("string", True)]
KNOWN = {
    "pyspark-logistic-regression": [("number", True)] * 692,
    "python-mle-xgboost-diabetes": DIABETES,
    "python-xgboost-diabetes": DIABETES,
    "r-gbm": [("number", True), ("number", True), ("string", True), ("string", False),
              ("string", False), ("number", True)],
    "sql-naive-bayes-churn": CHURN,
    "sql-svm-churn": CHURN,
    "tensorflow-sentiment": [],
}  # fmt: skip


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    """Return the models of this repository as they are served, the first answers made up."""
    monkeypatch.chdir(ROOT)
    found = []
    for model in discover(Files()):
        schema, samples = read(model)
        schema = answered(schema, array([["yes", 0.5]], "class", "probability"))
        title, about = model.title, str(model.document["description"])
        found.append(Served(model.name, title, about, "0123456789ab", schema, samples))
    return found


def test_the_models_of_this_repository(served: list[Served]) -> None:
    """Each model's columns are known from its samples and its data."""
    assert KNOWN == {
        model.name: [(column.kind, column.nullable) for column in model.schema.inputs]
        for model in served
    }
    assert ["data", "texts"] == [example.name for example in served[-1].examples]
    assert ("X1", "X2", "X3", "X4", "X5", "X6") == served[3].schema.names


# The document


def operations(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and operation of all that a document tells of."""
    for path, methods in told["paths"].items():
        for operation in methods.values():
            yield path, operation


def resolved(told: dict[str, Any], value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a part of a document with what it refers to in its place."""
    if isinstance(value, dict) and "$ref" in value:
        place: Any = told
        for key in value["$ref"].removeprefix("#/").split("/"):
            place = place[key]
        return resolved(told, place)
    if isinstance(value, dict):
        return {key: resolved(told, item) for key, item in value.items()}
    return [resolved(told, item) for item in value] if isinstance(value, list) else value


def schemas(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Yield every schema of a body in a part of a document."""
    if isinstance(value, dict):
        yield from (value["schema"],) if isinstance(value.get("schema"), dict) else ()
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            yield from schemas(inner)


def test_document(served: list[Served]) -> None:
    """It is sound in itself, and each example is a request that its own schema allows."""
    told = document(served, secured=True)
    whole = resolved(told, json.loads(json.dumps(told, allow_nan=False)))
    ids = [operation["operationId"] for _, operation in operations(told)]
    contents = [one.get("requestBody", {}).get("content", {}) for _, one in operations(whole)]
    shown = [
        (body["schema"], example["value"])
        for content in contents
        for body in content.values()
        for example in body.get("examples", {}).values()
    ]

    assert len(ids) == len(set(ids))
    for schema in (*schemas(told), *told["components"]["schemas"].values()):
        Draft202012Validator.check_schema(schema)
    for schema, example in shown:
        Draft202012Validator(schema).validate(example)
    assert 3 * 8 == len(shown)  # predict, invocations, infer; of seven models, a second one of one


def test_statuses(served: list[Served]) -> None:
    """Each answer with a fault has the one form; a token is spoken of where one is asked for."""
    asked = {"200", *map(str, (400, 404, 405, 406, 408, 413, 415, 422, 429, 500, 503, 504))}
    free = document(served, secured=False)
    told = document(served, secured=True)
    errors = resolved(told, told["components"]["responses"])

    assert "securitySchemes" not in free["components"]
    assert all("401" not in one["responses"] for _, one in operations(free))
    assert asked | {"401"} == set(told["paths"]["/models/r-gbm/predict"]["post"]["responses"])
    assert asked == set(free["paths"]["/v2/models/r-gbm/infer"]["post"]["responses"])
    for path, operation in operations(told):
        assert ([] == operation.get("security")) == (path in OPEN)
        assert ("401" not in operation["responses"]) == (path in OPEN)
    forms = {name: error.get("content") for name, error in errors.items()}
    empty = {"RequestTimeout": None, "RequestTimeoutOfInference": None}
    assert empty == {name: form for name, form in forms.items() if not form}
    for name, form in forms.items():
        schema = bodies.ERROR_IN_A_WORD if name.endswith("OfInference") else bodies.ERROR
        assert form in (None, {"application/json": {"schema": schema}})


def test_paths() -> None:
    """What a model does not do has no path, and the only model has the shorter ones too."""
    one = Served("a b/{c}", "", "", "1", NUMBERS)
    more = Served("d", "", "", "1", NUMBERS, explains=True, monitoring=True)
    own = ["/models/a%20b/%7Bc%7D/predict", "/models/a%20b/%7Bc%7D/invocations"]
    v2 = ["", "/infer", "/ready"]
    server = ["/models", "/metrics", "/health/live", "/health/ready", "/v2", *OPEN[2:]]
    alone = {*own, *(f"/v2/models/a%20b/%7Bc%7D{end}" for end in v2), *server}
    asks = ("predict", "invocations", "explain")

    assert {*alone, "/predict", "/invocations"} == set(document([one], secured=False)["paths"])
    assert {
        *alone,
        *(f"/models/d/{ask}" for ask in (*asks, "drift")),
        *(f"/v2/models/d{end}" for end in v2),
    } == set(document([one, more], secured=False)["paths"])
    assert {f"/{ask}" for ask in (*asks, "drift")} <= set(document([more], secured=False)["paths"])


def test_examples_of_other_forms() -> None:
    """A sample is shown in each form in which it can be asked."""
    mixed = array([[1, "a"], [None, "b"]], "x", "y")

    assert {"dataframe_split": {"columns": ["x", "y"], "data": [[1, "a"], [None, "b"]]}} == (
        bodies.invocation_example(mixed)
    )
    assert {"inputs": [1, 2]} == bodies.invocation_example(array([1, 2]))
    assert {
        "inputs": [
            {"name": "x", "shape": [2, 1], "datatype": "FP64", "data": [1, None]},
            {"name": "y", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "b"]},
        ]
    } == bodies.infer_example(mixed)
    assert {
        "inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]
    } == bodies.infer_example(array([1, 2]))
    assert [None] * 3 == [*map(bodies.infer_example, (array([[1], [1, 2]]), array([[None]]),
                                                      array([1, "a"])))]  # fmt: skip


# The page


def test_page_needs_nothing_from_elsewhere() -> None:
    """Its headers allow its own script and style alone, and it names no other address."""
    text, headers = page()
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    for tag in (b"script", b"style"):
        (inner,) = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner).digest()).decode()
        assert f"'sha256-{digest}'" == rules[f"{tag.decode()}-src"]

    assert "'none'" == rules["default-src"]
    assert "'self'" == rules["connect-src"]
    assert [] == re.findall(rb"//\w[\w.-]*\.\w+|\bon\w+=|style=|innerHTML|eval\(", text)
    assert [] == re.findall(rb"(?:fetch|URL)\((?:operation|one)\.path", text)
    assert b"data:," == re.findall(rb'href="([^"]*)"', text)[0]


def test_page_reads_what_the_document_tells() -> None:
    """The facts that the page shows of a model are in the document."""
    sample = Example("data", "samples/data.json", array([1, 2, 3]))
    told = document([Served("m", "M", "", "1", STRICT, [sample])], secured=False)
    facts = told["tags"][0]["x-model"]
    script = page()[0].decode()

    assert {f"facts.{name}" for name in facts} == set(re.findall(r"facts\.\w+", script))
    assert {"name": "id", "type": "integer", "nullable": False} == facts["inputs"][0]
