"""The forms of requests and answers: what is read, what is written, and what is refused."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, Wanted, infer_answer
from tasks.serving.payloads import infer as infer_reader
from tasks.serving.payloads.negotiation import READERS, WRITERS, negotiate
from tasks.serving.payloads.tensors import values
from tasks.serving.schema import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.serving.schema import Kind

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
LENGTH = "inference-header-content-length"
ABOUT = About("churn", "3", b'{"model":"churn"}')
DATATYPES = {
    "BOOL": "bool", "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "FP32": "float32", "FP64": "float64",
}  # fmt: skip
LETTERS = dict(zip(DATATYPES.values(), "?bhiqBHIQfd", strict=True))


def read(route: str, body: object, media: str = JSON, **headers: str) -> Array:
    """Read a request's body, a value as its JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return negotiate(route, media)[0](sent, {"content-type": media, **given_headers})[0]


def write(
    route: str, answer: Array, media: str = JSON, wanted: Wanted = NOTHING
) -> tuple[bytes, dict[str, str]]:
    """Write an answer in a form."""
    return negotiate(route, "", media)[1](answer, ABOUT, wanted)


def tensor(dtype: str, shape: tuple[int, ...], *cells: float, names: tuple[str, ...] = ()) -> Array:
    """Return a tensor."""
    return Array(struct.pack(f"<{len(cells)}{LETTERS[dtype]}", *cells), names, dtype, shape)


def infer(*inputs: tuple[str, Sequence[float], str, object], **more: object) -> dict[str, Any]:
    """Return a request of the Open Inference Protocol whose tensors are JSON."""
    keys = ("name", "shape", "datatype", "data")
    return {"inputs": [dict(zip(keys, one, strict=True)) for one in inputs], **more}


def binary(
    *inputs: tuple[str, Sequence[float], str, bytes], **more: object
) -> tuple[bytes, Mapping[str, str]]:
    """Return the body and the header of such a request whose tensors are bytes."""
    request = infer(*inputs, **more)
    for one in request["inputs"]:
        one["parameters"] = {"binary_data_size": len(one.pop("data"))}
    head = json.dumps(request).encode()
    return head + b"".join(data for *_, data in inputs), {LENGTH: str(len(head))}


def refused(route: str, body: object, media: str = JSON, **headers: str) -> str:
    """Return what a client is told of a body that is not in the form."""
    with pytest.raises(RequestError) as caught:
        read(route, body, media, **headers)
    assert 400 == caught.value.status
    return str(caught.value)


# Our own form


@pytest.mark.parametrize("text", ["[1, 2.50]", '[[1,"a"] , [null,true]]', "[]", "[9e400]"])
def test_values_are_not_touched(text: str) -> None:
    """What a client sends is passed on to the letter, whatever else is in the body."""
    body = f'{{"meta": {{"id": 1}}, "data": {{"ndarray": {text}, "tags": []}}}}'

    assert Array(text.encode()) == read("predict", body.encode())


@pytest.mark.parametrize(("names", "expected"), [(["ä", "b"], ("ä", "b")), (None, ()), ([], ())])
def test_names(names: list[str] | None, expected: tuple[str, ...]) -> None:
    """The names of columns are optional."""
    body = {"data": {"names": names, "ndarray": [[1, 2]]}}

    assert Array(b"[[1, 2]]", expected) == read("predict", body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `data`"),
        (b'{"data": {"names": []}}', "missing required field `ndarray` - at `$.data`"),
        (b'{"data": {"ndarray": {"a": 1}}}', "`data.ndarray` must be a list"),
        (b'{"data": {"ndarray": 5}}', "`data.ndarray` must be a list"),
        (b'{"data": {"ndarray": [1], "names": [1]}}', "at `$.data.names[0]`"),
        (b'{"data": {"ndarray": [NaN]}}', "malformed"),
        (b'{"data": {"ndarray": ["\xff"]}}', "invalid start byte"),
        (b'{"data": {"ndarray": ' + b"[" * 9999 + b"]" * 9999 + b"}}", "nested too deep"),
    ],
)
def test_not_our_form(body: bytes, said: str) -> None:
    """What is wrong is said, with its place."""
    told = refused("predict", body)

    assert said in told
    assert '{"data": {"names": [...], "ndarray": [...]}}' in told or "`data.ndarray`" in told


def test_answer() -> None:
    """An answer has the names, the values as the model gave them, and what is known of it."""
    body, headers = write("predict", Array(b"[[0, 1.0]]", ("no", "yes")))

    assert b'{"data":{"names":["no","yes"],"ndarray":[[0, 1.0]]},"meta":{"model":"churn"}}' == body
    assert {"content-type": JSON} == headers


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (tensor("float64", (2, 2), 1, float("nan"), float("inf"), 0.1), [[1.0, None], [None, 0.1]]),
        (tensor("float32", (2,), 0.5, 2), [0.5, 2.0]),
        (tensor("int8", (2, 1, 2), 1, -2, 3, -4), [[[1, -2]], [[3, -4]]]),
        (tensor("bool", (1, 2), 1, 0), [[True, False]]),
        (tensor("uint64", (), 2**64 - 1), [2**64 - 1]),
        (Array(struct.pack("<2e", 0.5, -2), (), "float16", (2,)), [0.5, -2.0]),
    ],
)
def test_a_tensor_as_json(answer: Array, expected: object) -> None:
    """A tensor is written as lists of its shape; what JSON lacks is null."""
    assert expected == json.loads(write("predict", answer)[0])["data"]["ndarray"]


# Open Inference Protocol


@pytest.mark.parametrize("datatype", DATATYPES)
def test_tensors_of_every_type(datatype: str) -> None:
    """As JSON, nested or not, and as bytes: the same tensor, which is written as it came."""
    expected = tensor(DATATYPES[datatype], (3, 2), 0, 1, 1, 1, 1, 0)
    rows = values(expected)
    flat = [cell for row in rows for cell in row]
    body, headers = binary(("x", [3, 2], datatype, expected.data))

    assert expected == read("infer", infer(("x", [3, 2], datatype, rows)))
    assert expected == read("infer", infer(("x", [3, 2], datatype, flat)))
    assert expected == negotiate("infer")[0](body, headers)[0]
    assert {
        "model_name": "churn",
        "model_version": "3",
        "outputs": [{"name": "output", "shape": [3, 2], "datatype": datatype, "data": flat}],
    } == json.loads(write("infer", expected)[0])


def test_bytes_of_an_answer() -> None:
    """Tensors that are wanted as bytes follow the JSON, whose length a header tells."""
    answer = Array(b'[[1, "\xc3\xa4"], [2, null]]', ("n", "text"))
    outputs = [{"name": "text", "parameters": {"binary_data": True}}, {"name": "n"}]
    reader, writer = negotiate("infer")
    _, wanted = reader(
        json.dumps(infer(("x", [1], "FP64", [1]), id="7", outputs=outputs)).encode(), {}
    )
    body, headers = writer(answer, ABOUT, wanted)
    head = json.loads(body[: int(headers[LENGTH])])

    assert "application/octet-stream" == headers["content-type"]
    assert b"\2\0\0\0\xc3\xa4\0\0\0\0" == body[int(headers[LENGTH]) :]
    assert "7" == head["id"]
    assert [
        {
            "name": "text",
            "shape": [2, 1],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": 10},
        },
        {"name": "n", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]},
    ] == head["outputs"]


def test_all_outputs_as_bytes() -> None:
    """`binary_data_output` is for all tensors that the request does not name."""
    request = infer(("x", [1], "FP64", [1]), parameters={"binary_data_output": True})
    reader, writer = negotiate("infer", "application/octet-stream")
    _, wanted = reader(json.dumps(request).encode(), {})
    body, headers = writer(tensor("float32", (2,), 0.5, 1), ABOUT, wanted)

    assert struct.pack("<2f", 0.5, 1) == body[int(headers[LENGTH]) :]


@pytest.mark.parametrize(
    ("answer", "shape", "datatype", "data"),
    [
        ("[0.5, 2]", [2, 1], "FP64", [0.5, 2.0]),
        ("[[1, null], [2, 3]]", [2, 2], "FP64", [1.0, None, 2.0, 3.0]),
        ("[true, false]", [2, 1], "BOOL", [True, False]),
        ("[true, null]", [2, 1], "BYTES", ["true", ""]),
        ('["a", 1, null, [2]]', [4, 1], "BYTES", ["a", "1", "", "[2]"]),
        ("[[1], [2, 3]]", [2, 1], "BYTES", ["[1]", "[2,3]"]),
        ("[9223372036854775808]", [1, 1], "FP64", [2.0**63]),
        ("[]", [0, 1], "BYTES", []),
        ("7", [1, 1], "INT64", [7]),
        (f"[{'9' * 309}]", [1, 1], "BYTES", ["9" * 309]),
    ],
)
def test_types_of_rows(answer: str, shape: list[int], datatype: str, data: list[object]) -> None:
    """An answer in JSON becomes a tensor of the type that can hold all of it."""
    output = json.loads(write("infer", Array(answer.encode()))[0])["outputs"][0]

    assert {"name": "output", "shape": shape, "datatype": datatype, "data": data} == output


@pytest.mark.parametrize(
    ("kinds", "answer", "expected"),
    [
        ("number", tensor("float32", (2,), 0.5, 1), ("FP64", [2, 1], [0.5, 1.0])),
        ("number", tensor("float64", (2, 1), 0.5, 1), ("FP64", [2, 1], [0.5, 1.0])),
        ("number", Array(b"[1, null]"), ("FP64", [2, 1], [1.0, None])),
        ("number", Array(b'["none"]'), ("BYTES", [1, 1], ["none"])),
        ("integer", tensor("int32", (2, 1), 3, 4), ("INT64", [2, 1], [3, 4])),
        ("integer", tensor("uint64", (1,), 2**63), ("UINT64", [1, 1], [2**63])),
        ("integer", Array(b"[1, 0.5]"), ("FP64", [2, 1], [1.0, 0.5])),
        ("integer", Array(b"[1, null]"), ("FP64", [2, 1], [1.0, None])),
        ("boolean", Array(b"[true]"), ("BOOL", [1, 1], [True])),
        ("string", Array(b'[1, "a"]'), ("BYTES", [2, 1], ["1", "a"])),
        ("any", tensor("int32", (1,), 3), ("BYTES", [1, 1], ["3"])),
        ("number integer", Array(b"[[1, 2]]"), ("FP64", [1, 2], [1.0, 2.0])),
    ],
)
def test_an_answer_is_of_the_type_that_is_told(
    kinds: str, answer: Array, expected: tuple[str, list[int], list[object]]
) -> None:
    """Where it can be: whatever a worker has sent, clients find what the metadata says."""
    outputs = tuple(Column("", cast("Kind", kind)) for kind in kinds.split())
    body, _ = infer_answer.write(answer, About("churn", outputs=outputs), NOTHING)
    (output,) = json.loads(body)["outputs"]

    assert expected == (output["datatype"], output["shape"], output["data"])


def test_columns_whose_names_are_told() -> None:
    """A tensor a column, also where the answer itself does not name them."""
    outputs = (Column("label", "string"), Column("score", "number"))
    body, _ = infer_answer.write(Array(b'[["a", 1]]'), About("churn", outputs=outputs), NOTHING)

    assert [("label", "BYTES", ["a"]), ("score", "FP64", [1.0])] == [
        (one["name"], one["datatype"], one["data"]) for one in json.loads(body)["outputs"]
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (tensor("int32", (2, 2), 1, 2, 3, 4, names=("a", "b")), {"a": [1, 3], "b": [2, 4]}),
        (tensor("int32", (2,), 1, 2, names=("a",)), {"a": [1, 2]}),
        (tensor("int32", (2,), 1, 2, names=("a", "b")), {"a": [1], "b": [2]}),
        (Array(b"[1, 2]", ("a", "b")), {"a": [1], "b": [2]}),
        (Array(b'[[1, "x"], [2, "y"]]', ("a", "b")), {"a": [1, 2], "b": ["x", "y"]}),
        (Array(b"[[1, 2]]", ("a", "b", "c")), {"output": [1, 2]}),
    ],
)
def test_columns_of_an_answer(answer: Array, expected: dict[str, list[object]]) -> None:
    """Each column that has a name is a tensor."""
    outputs = json.loads(write("infer", answer)[0])["outputs"]

    assert expected == {one["name"]: one["data"] for one in outputs}


def test_columns_of_one_type() -> None:
    """Tensors of one type become one, their names those of its columns."""
    one, two = struct.pack("<3f", 1, 2, 3), struct.pack("<3f", 4, 5, 6)
    body, headers = binary(("a", [3], "FP32", one), ("b", [3, 1], "FP32", two))

    expected = tensor("float32", (3, 2), 1, 4, 2, 5, 3, 6, names=("a", "b"))

    assert expected == negotiate("infer")[0](body, headers)[0]


def test_columns_of_several_types() -> None:
    """Tensors of several types become rows."""
    texts = b"\1\0\0\0x\2\0\0\0\xc3\xa4"
    body, headers = binary(
        ("a", [2], "INT64", struct.pack("<2q", 1, 2)),
        ("b", [2], "BYTES", texts),
        ("c", [2], "FP64", struct.pack("<2d", 0.5, float("nan"))),
        ("d", [2], "BOOL", b"\1\0"),
    )

    expected = Array('[[1,"x",0.5,true],[2,"ä",null,false]]'.encode(), ("a", "b", "c", "d"))

    assert expected == negotiate("infer")[0](body, headers)[0]


def test_halves() -> None:
    """Half floats become floats, which everything that follows can hold."""
    body, headers = binary(("x", [2], "FP16", struct.pack("<2e", 0.5, -2)))

    assert tensor("float32", (2,), 0.5, -2) == negotiate("infer")[0](body, headers)[0]
    assert tensor("float32", (1,), 0.5) == read("infer", infer(("x", [1], "FP16", [0.5])))


def test_many_halves() -> None:
    """All are there, in their order."""
    cells = [number % 2048 for number in range(300_000)]
    body, headers = binary(("x", [300_000], "FP16", struct.pack("<300000e", *cells)))

    assert tensor("float32", (300_000,), *cells) == negotiate("infer")[0](body, headers, ())[0]


@pytest.mark.parametrize(
    ("shape", "data", "expected"),
    [
        ([2], ["a", "b"], '["a","b"]'),
        ([2, 1], ["a", "b"], '[["a"],["b"]]'),
        ([2, 2], [["a", None], ["", "ä"]], '[["a",null],["","ä"]]'),
    ],
)
def test_texts(shape: list[int], data: list[object], expected: str) -> None:
    """A tensor of texts is JSON of its shape."""
    assert Array(expected.encode()) == read("infer", infer(("x", shape, "BYTES", data)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "missing required field `inputs`"),
        ({"inputs": []}, "`inputs` is empty"),
        (infer(("x", [1], "FP65", [1])), "`FP65`, not one of BOOL"),
        (infer(("x", [], "FP64", [1])), "length >= 1 - at `$.inputs[0].shape`"),
        (infer(("x", [-1], "FP64", [1])), ">= 1 - at `$.inputs[0].shape[0]`"),
        (infer(("x", [10**400], "FP64", [])), "at `$.inputs[0].shape[0]`"),
        (infer(("x", [1.5], "FP64", [1])), "at `$.inputs[0].shape[0]`"),
        (infer(("x", [2**40, 0], "FP64", [])), "at `$.inputs[0].shape[1]`"),
        (infer(("x", [1] * 9, "FP64", [1])), "length <= 8 - at `$.inputs[0].shape`"),
        (infer(("x", [2, 2], "FP64", [[1, 2, 3, 4]])), "has the shape [1, 4], not [2, 2]"),
        (infer(("x", [2**40], "FP64", [1])), "has the shape [1], not"),
        (infer(("x", [2], "FP64", [[1], 2])), "no FP64"),
        (infer(("x", [1], "FP64", [10**400])), "no FP64"),
        (infer(("x", [1], "FP32", [1e300])), "no FP32"),
        (infer(("x", [1], "FP64", ["1"])), "no FP64"),
        (infer(("x", [1], "FP64", [True])), "no FP64"),
        (infer(("x", [1], "INT8", [128])), "no INT8"),
        (infer(("x", [1], "INT8", [None])), "no INT8"),
        (infer(("x", [1], "UINT64", [-1])), "no UINT64"),
        (infer(("x", [1], "BOOL", [1])), "no BOOL"),
        (infer(("x", [1], "BYTES", [1])), "no BYTES"),
        (infer(("x", [1], "FP64", None)), "a list in `data` of input `x`"),
        (infer(("x", [1], "FP64", [1]), ("x", [1], "FP64", [1])), "the same name"),
        (infer(("x", [1], "FP64", [1]), ("y", [2], "FP64", [1, 2])), "each is a column: [1] or"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64"}]}, "a list in `data`"),
        (infer(("x", [1], "FP64", [1]), id=5), "at `$.id`"),
    ],
)  # fmt: skip
def test_not_an_inference_request(body: object, said: str) -> None:
    """What is wrong is said, with the name of the tensor."""
    assert said in refused("infer", body)


@pytest.mark.parametrize(
    ("shape", "datatype", "data", "said"),
    [
        ([2], "FP64", bytes(15), "has 15 bytes; FP64 of shape [2] has 16"),
        ([2**62, 2**62], "FP64", bytes(16), "has 16 bytes"),
        ([1], "BOOL", b"\2", "neither 0 nor 1"),
        ([1], "BYTES", b"\5\0\0\0abc", "not those of 1 texts"),
        ([1], "BYTES", b"\1\0", "not those of 1 texts"),
        ([2], "BYTES", b"\1\0\0\0a", "not those of 2 texts"),
        ([1], "BYTES", b"\1\0\0\0\xff", "not in UTF-8"),
    ],
)
def test_wrong_bytes(shape: list[int], datatype: str, data: bytes, said: str) -> None:
    """The bytes of a tensor must be those of its type and shape."""
    body, headers = binary(("x", shape, datatype, data))

    assert said in refused("infer", body, **headers)


@pytest.mark.parametrize("length", ["", "-1", "1e2", "+5", "\uff19", "999", "9" * 5000, "5"])
def test_wrong_length_of_the_json(length: str) -> None:
    """The header must tell where the JSON ends."""
    body, _ = binary(("x", [1], "FP64", bytes(8)))

    refused("infer", body, **{LENGTH: length})


@pytest.mark.parametrize("size", [-1, 9, 2**63, "8", True, 1.5, None])
def test_wrong_size_of_bytes(size: object) -> None:
    """The bytes of a tensor must be in the body, and belong to one."""
    one = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [one]}).encode()

    refused("infer", head + bytes(8), **{LENGTH: str(len(head))})


def test_too_many_texts() -> None:
    """Empty texts, which take far more of memory than of a request."""
    count = infer_reader.MOST_TEXTS + 1
    body, headers = binary(("x", [count], "BYTES", bytes(4 * count)))

    with pytest.raises(RequestError, match="more than 4,194,304 texts") as caught:
        negotiate("infer")[0](body, headers, ())
    assert 413 == caught.value.status


def test_bytes_left_over() -> None:
    """Bytes that belong to no tensor are refused."""
    body, headers = binary(("x", [1], "FP64", bytes(8)))

    assert "3 bytes that belong to no input" in refused("infer", body + bytes(3), **headers)


def test_no_such_output() -> None:
    """A tensor that the model does not give is refused, with those that it gives."""
    with pytest.raises(RequestError, match="no output `c`; it has `a`, `b`"):
        write("infer", Array(b"[[1, 2]]", ("a", "b")), wanted=Wanted(outputs=(("c", False),)))


# MLflow


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"dataframe_split": {"columns": ["a", 2], "index": [0], "data": [[1, "x"]]}},
            Array(b'[[1, "x"]]', ("a", "2")),
        ),
        (
            {"dataframe_records": [{"a": 1, "b": "x"}, {"c": None, "a": 2.5}]},
            Array(b'[[1,"x",null],[2.5,null,null]]', ("a", "b", "c")),
        ),
        ({"instances": [[1, 2.0]], "params": {"x": 1}}, Array(b"[[1, 2.0]]")),
        ({"instances": [{"a": 1}, {"a": 2}]}, Array(b"[[1],[2]]", ("a",))),
        ({"inputs": [1, 2]}, Array(b"[1, 2]")),
        ({"inputs": {"a": [1, 2], "b": ["x", None]}}, Array(b'[[1,"x"],[2,null]]', ("a", "b"))),
    ],
)
def test_invocations(body: object, expected: Array) -> None:
    """Each of MLflow's keys."""
    assert expected == read("invocations", body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "a JSON object with one of `dataframe_split`"),
        ({"params": {}}, "it has none"),
        ({"inputs": [1], "instances": [1]}, "it has `instances` and `inputs`"),
        ({"inputs": "text"}, "`inputs` must be a list"),
        ({"inputs": {"a": [1], "b": []}}, "not all of one length"),
        ({"inputs": {}}, "not all of one length"),
        ({"inputs": {"a": 1}}, "at `$[...]`"),
        ({"dataframe_split": {"columns": ["a"]}}, "missing required field `data`"),
        ({"dataframe_split": {"data": {}}}, "`dataframe_split.data` must be a list"),
        ({"dataframe_records": {"a": [1]}}, "Expected `array`"),
        ({"dataframe_records": [{str(k): k} for k in range(100)]}, "too few of their columns"),
    ],
)
def test_not_mlflow(body: object, said: str) -> None:
    """What is wrong is said, with the key."""
    assert said in refused("invocations", body)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Array(b"[0,1]", ("label",)), [0, 1]),
        (Array(b"[[0, 1]]"), [[0, 1]]),
        (Array(b"[[0,1],[1,0]]", ("no", "yes")), [{"no": 0, "yes": 1}, {"no": 1, "yes": 0}]),
        (tensor("float64", (2,), 0.5, 1), [0.5, 1.0]),
    ],
)
def test_predictions(answer: Array, expected: object) -> None:
    """Rows with names are objects, as MLflow writes a data frame."""
    assert {"predictions": expected} == json.loads(write("invocations", answer)[0])


# CSV


@pytest.mark.parametrize(
    ("text", "media", "names", "expected"),
    [
        ("1,2.50\n-3e5,", CSV, (), "[[1,2.50],[-3e5,null]]"),
        ("a,b\n1,x", CSV, ("a", "b"), '[[1,"x"]]'),
        ("a,b\n1,x", "text/csv; header=absent", (), '[["a","b"],[1,"x"]]'),
        ("1,2\n3,4\n", 'text/csv; charset=utf-8; header="present"', ("1", "2"), "[[3,4]]"),
        ("a,\n1,2", CSV, (), '[["a",null],[1,2]]'),
        ('"a ""b""","c\r\nd"\r\n\r\n"x,y",true\r\n', CSV, ('a "b"', "c\r\nd"), '[["x,y",true]]'),
        ("\ufeffä\n007\n1_0\n nan\n+1", CSV, ("ä",), '[["007"],["1_0"],[" nan"],["+1"]]'),
        (f"n\n{'9' * 40}", CSV, ("n",), f"[[{'9' * 40}]]"),
    ],
)
def test_csv(text: str, media: str, names: tuple[str, ...], expected: str) -> None:
    """Numbers stay as they are written, and words in the first line are names."""
    assert Array(expected.encode(), names) == read("predict", text.encode(), media)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no row"),
        (b"a,b\n", "no row; for one without names say `text/csv; header=absent`"),
        (b"1,2\n\n1,2,3", "Line 3 of the CSV has 3 cells, not 2"),
        (b'"a', "Line 1 of the CSV: unexpected end of data"),
        (b'1\n"a"b', "Line 2 of the CSV: ',' expected after '\"'"),
        (b"a\n\xff", "not in UTF-8"),
        (b"1," + b"x" * 200_000, "Line 1 of the CSV: field larger than"),
    ],
)
def test_not_csv(text: bytes, said: str) -> None:
    """What is wrong is said, with the line."""
    assert said in refused("predict", text, CSV)


CHURN = (
    Column("town", "string"), Column("year", "string", nullable=False), Column("age", "integer"),
    Column("bmi", "number"), Column("note", "any"),
)  # fmt: skip


def csv(text: str, media: str = CSV) -> Array:
    """Read a CSV for a model of which the columns are known."""
    return negotiate("predict", media)[0](text.encode(), {"content-type": media}, CHURN)[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1984,true,7,1.5,x", '["1984","true",7,1.5,"x"]'),
        (",,,,", '[null,"",null,null,null]'),
        ("-1,0,+1,.5,1984", '["-1","0",1,0.5,1984]'),
        ("NaN,nan,-007,NaN,NaN", '["NaN","nan",-7,null,"NaN"]'),
        ("a,b,00,+5.E3,.5", '["a","b",0,5E3,".5"]'),
        ("a,b,true,inf,true", '["a","b",true,"inf",true]'),
        (f"a,b,+{'9' * 5000},-.0,-", f'["a","b",{"9" * 5000},-0.0,"-"]'),
        ("a,b,.,e5,", '["a","b",".","e5",null]'),
        ("a,b,000x,-00.5,-", '["a","b","000x",-0.5,"-"]'),
    ],
)
def test_csv_of_known_columns(line: str, expected: str) -> None:
    """What a cell says depends on its column, found by its name or its place."""
    names = ("town", "year", "age", "bmi", "note")
    turned = ",".join(reversed(line.split(",")))

    assert Array(f"[{expected}]".encode()) == csv(line, "text/csv; header=absent")
    assert Array(f"[{expected}]".encode(), names) == csv(f"{','.join(names)}\n{line}")
    assert json.loads(expected.replace("9" * 5000, "9")) == list(reversed(json.loads(
        csv(f"{','.join(reversed(names))}\n{turned}").data.replace(b"9" * 5000, b"9")
    )[0]))  # fmt: skip


def test_a_cell_of_many_zeros() -> None:
    """However long a cell is, it is read once: it cannot hold up whoever else asks."""
    cell = "0" * 100_000

    assert json.loads(csv(f"age\n{cell}7").data) == [[7]]
    assert json.loads(csv(f"age\n{cell}x").data) == [[f"{cell}x"]]


def test_csv_without_a_header() -> None:
    """Where the first line is taken for names that the model does not have, the way out is told."""
    with pytest.raises(
        RequestError, match=r"names no column .*`text/csv; header=absent`"
    ) as caught:
        csv("Oslo,x,y,z,w\nBergen,x,y,z,w")

    assert 422 == caught.value.status


def test_mlflow_csv_has_a_header() -> None:
    """There the first line names the columns, numbers or not."""
    assert Array(b"[[3,4]]", ("0", "1")) == read("invocations", b"0,1\n3,4\n", CSV)
    assert Array(b"[[3,4]]", ("0", "1")) == read("invocations", b"0,1\n3,4\n", "application/csv")


@pytest.mark.parametrize(
    ("answer", "header", "expected"),
    [
        (
            Array(b'[[1,"a,\\"b"],[null,true]]', ("x", "y")),
            "present",
            'x,y\r\n1,"a,""b"\r\n,true\r\n',
        ),
        (tensor("float64", (3,), 0.5, float("nan"), 1e300), "absent", '0.5\r\n""\r\n1e300\r\n'),
        (Array(b"[1,2]", ("x", "y")), "present", "x,y\r\n1,2\r\n"),
        (Array(b'[[[1,"a"]],[{"b":2}]]'), "absent", '"[1,""a""]"\r\n"{""b"":2}"\r\n'),
    ],
)
def test_answer_as_csv(answer: Array, header: str, expected: str) -> None:
    """With the names where they are known; what is no number or text is its JSON."""
    body, headers = write("predict", answer, CSV)

    assert expected == body.decode()
    assert {"content-type": f"text/csv; charset=utf-8; header={header}"} == headers


@pytest.mark.parametrize(
    ("route", "media"), [("predict", CSV), ("predict", ARROW), ("infer", JSON)]
)
def test_half_a_character(route: str, media: str) -> None:
    """JSON may hold one; elsewhere another character stands in its place."""
    answer = Array(rb'["a\ud800\\ud800\ud83d\ude00", "\udc00"]')
    body, _ = write(route, answer, media)

    assert b"\\ud800" in write("predict", answer)[0]
    assert "a\ufffd\\ud800\N{GRINNING FACE}" in body.decode(errors="replace").replace("\\\\", "\\")


# Which form


@pytest.mark.parametrize(
    ("route", "sent", "accept", "expected"),
    [
        ("predict", "", "", JSON),
        ("predict", "application/JSON ; charset=UTF-8", "*/*", JSON),
        ("predict", "application/x-www-form-urlencoded; charset=utf-8", "", JSON),
        ("predict", CSV, "", CSV),
        ("predict", CSV, "*/*", CSV),
        ("predict", CSV, "application/json, text/csv", CSV),
        ("predict", CSV, "application/json, text/csv;q=0.9", JSON),
        ("predict", CSV, "application/*", JSON),
        ("predict", ARROW, "application/*", ARROW),
        ("predict", JSON, "text/html, */*;q=0.1, application/json;q=0", CSV),
        ("predict", JSON, "text/*;q=nonsense", CSV),
        ("predict", JSON, ",", JSON),
        ("explain", CSV, "", JSON),
        ("invocations", CSV, "", JSON),
        ("infer", "application/octet-stream", "application/json", JSON),
    ],
)
def test_which_form_an_answer_has(route: str, sent: str, accept: str, expected: str) -> None:
    """That of the request, unless another is asked for more."""
    assert WRITERS[route][expected] is negotiate(route, sent, accept)[1]


@pytest.mark.parametrize(
    ("route", "sent", "accept", "status"),
    [
        ("predict", "text/plain", "", 415),
        ("predict", "application/json; charset=latin-1", "", 415),
        ("infer", CSV, "", 415),
        ("predict", JSON, "text/html", 406),
        ("predict", JSON, "*/*;q=0", 406),
        ("explain", JSON, CSV, 406),
    ],
)
def test_no_such_form(route: str, sent: str, accept: str, status: int) -> None:
    """What is not offered is refused, with what is."""
    with pytest.raises(RequestError, match=r"`application/json`|UTF-8") as caught:
        negotiate(route, sent, accept)

    assert status == caught.value.status


# Whatever a client sends

CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
KEYS = st.sampled_from(
    [
        "data",
        "ndarray",
        "names",
        "inputs",
        "outputs",
        "id",
        "name",
        "shape",
        "datatype",
        "parameters",
        "binary_data_size",
        "dataframe_split",
        "dataframe_records",
        "instances",
        "columns",
    ]
)
ANYTHING = st.recursive(
    CELLS | st.sampled_from(["FP64", "BYTES", "BOOL"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
SEEDS = [
    b'{"data":{"names":["a","b"],"ndarray":[[1,"\xc3\xa4"],[null,2e5]]}}',
    json.dumps(infer(("x", [2], "FP64", [1, 2]), ("y", [2, 1], "BYTES", ["a", "b"]))).encode(),
    binary(("x", [2], "FP64", bytes(16)), ("y", [2, 1], "BYTES", b"\1\0\0\0a\0\0\0\0"))[0],
    b'{"dataframe_split":{"columns":["a"],"data":[[1]]},"inputs":{"a":[1]}}',
    b'a,"b"\r\n1,"x""y"\r\n,true\r\n',
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a body with a few bytes changed, or cut off."""
    body = bytearray(draw(st.sampled_from(SEEDS)))
    for place in draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[place] = draw(st.integers(0, 255) | st.sampled_from(list(b'[]{}",0-9e')))
    return bytes(body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body)


@settings(max_examples=150, deadline=None)
@given(
    body=st.binary(max_size=64) | damaged() | ANYTHING.map(lambda any_: json.dumps(any_).encode()),
    length=st.none() | st.integers(-1, 300).map(str) | st.text(max_size=4),
)
def test_faults_are_request_errors(body: bytes, length: str | None) -> None:
    """A reader takes any bytes, or says in a sentence why not; what it takes can be written."""
    for route, readers in READERS.items():
        for media, reader in readers.items():
            headers = {"content-type": media} | ({} if length is None else {LENGTH: length})
            try:
                found, _ = reader(body, headers)
            except RequestError:
                continue
            assert found.dtype or found.data.startswith(b"[")
            assert route != "infer" or write("infer", found)


TABLES = st.integers(1, 4).flatmap(
    lambda count: st.lists(
        st.one_of(
            *(
                st.lists(kind, min_size=count, max_size=count)
                for kind in (
                    st.booleans(),
                    st.integers(-(2**63), 2**63 - 1),
                    st.floats(allow_nan=False, allow_infinity=False),
                    st.text(st.characters(codec="utf-8"), min_size=1),
                )
            )
        ),
        min_size=1,
        max_size=4,
    )
)


@settings(max_examples=60, deadline=None)
@given(columns=TABLES, as_bytes=st.booleans())
def test_what_is_written_is_read_again(columns: list[list[Any]], as_bytes: bool) -> None:  # noqa: FBT001
    """Columns that leave as tensors, or as a stream of Arrow, come back as they were."""
    names = tuple(f"c{index}" for index in range(len(columns)))
    rows = [list(row) for row in zip(*columns, strict=True)]
    answer = Array(json.dumps(rows).encode(), names)
    body, headers = write("infer", answer, wanted=Wanted(binary=as_bytes))
    head = int(headers.get(LENGTH, len(body)))
    sent = json.dumps({"inputs": json.loads(body[:head])["outputs"]}).encode()
    back, _ = negotiate("infer")[0](sent + body[head:], {LENGTH: str(len(sent))})
    stream = write("predict", answer, ARROW)[0]
    as_arrow = read("predict", stream, ARROW)

    for one in (back, as_arrow):
        if len(columns) > 1 or one.names:
            assert names == one.names
        assert rows == values(one)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_interleaving(datatype: str) -> None:
    """Many columns of each size of number come together in the right order."""
    cells = [cell % 2 for cell in range(21)]
    whole = tensor(DATATYPES[datatype], (21,), *cells).data
    size = len(whole) // 21
    body, headers = binary(
        *(
            (f"c{index}", [3], datatype, whole[index * 3 * size : (index + 1) * 3 * size])
            for index in range(7)
        )
    )
    found = negotiate("infer")[0](body, headers)[0]

    assert (DATATYPES[datatype], (3, 7)) == (found.dtype, found.shape)
    assert [cells[row::3] for row in range(3)] == values(found)
