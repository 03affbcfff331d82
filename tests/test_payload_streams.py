"""Arrow streams: those that other libraries write and read, and those that would do harm."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import nanoarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nanoarrow.ipc import InputStream

from tasks.serving.arrays import Array, RequestError
from tasks.serving.payloads import NOTHING, About, arrow, arrow_answer
from tasks.serving.payloads.flatbuffers import Malformed, follow
from tasks.serving.payloads.tensors import values

# Three batches that PyArrow 26 wrote, each with its own dictionary: the second adds to that of the
# first, the third has another.  Columns `whole` (int64), `half` (float16), `text` (utf8), `large`
# (large_utf8), `yes` (bool), `nothing` (null), `kind` (dictionary of utf8).
TABLE = (
    "eNqtVbGO00AQnV3biYWsk4sIpaC4kpIyBTqF7oorKK+M4czlRJQ7QaQz3RUUV1BQUlKCRJGCP+AXrqDkIygRZsa7C+sn"
    "b5xEbDSZnZ23s7PjN3Zd1/VaEeUk4x5lNKCEUp7xUDHFrD4yRvSQ5YSxGcsPnn9leccyYxmRxBjzzgHjMp6PbEyViG/C"
    "csgSkxmiX14sz2Se8k9WUrv+83ddy8Yp/z3msye12EpJvLEXQ/JZXq7mF8tzOmPMzOAGuc3H4SKWN+VrumX/W4MZYayE"
    "ZVG8Oi9ZrxnzxeASxIleldVK5t8Zc2dwkeAeAG5eLF6Yuamj1MTVRyxbH51DbSSX6/nlomxqk7EMm9q4msjgY+tP9p4y"
    "Mp6ZJ5c10UnHjW9s/eaJmhq7Zz1mZGw9J3Zd078RUXhkVudW+/sU2F3rzwrvHsq/x/32PaK4ucP6b5R23r9sDn6uB3Cm"
    "ub8Zrh6H4H9o9cDqR+CfwH2PoUZPAX8K51TgvwH7Fuz3YH+A/B3/I8D9LzsK+BOwKYCnI3ri490eZTHFt8+dHFMBXQXO"
    "D+0nr0/WtIFf2vAr9/h10PBlaN6BHHJTv6gt+yUFrTrq0tUvz2m3Prnp6RO9ZZ/kHXzz7binjzLoG+efQrwpxD0F/Azs"
    "OdhXEO8K8nd9omEfvp/29esAXgX46Poi9PyLnjhVYF138H6b70O+4/dhX75HW/BdMMvyeie+H/fwXQX43pcvrusOXlGr"
    "fm0eK+gPAjvv+c7Qjv2TAt9Vz3txX1v14Y/aayE+Vxve16L/AHi4gW8="
)
COMPRESSED = (
    "eNp1UDsKwkAQfZOsmyBbpEghKGJhITZewQsIHsEjWHocL2HvvYKMbyaDBsQH890383ZXVfUKoINhjoKMGVpmhCTWYNXS"
    "p/Bs03qf6dnLaJzVxQ6pLS6Ci+DfyDNu9k4Fyuo99hgKJ0bl4ttQJ6wYNviiYE2N9OGcadvQOmIK02pCC1LhP5aTXH72"
    "+FUdu8fhdYGc/KcEw/45Htg7LL4B1O0Vsw=="
)
DATES = (
    "eNp1jsEKAjEMRF+11rL0sIdFPPgp/o7gyat+gn8dJyHisuBAM0mYTMfM7AXMOCYGjQNdnVCqZjR11ZpVa70lbhbtGsdQ"
    "zelRuvMltSQ/77cH0rq+8YO+t3f6OQanTDDClX3lHBm+mDSPSOMZr5m9rDx3/Edd9WVzxyaX8we7gBEN"
)
NULLS = (
    "eNpNTkEOgCAMKziRGGI4cPBpPsOjv58dTsIStrXpWlRVbwAVVjsKElZkbqwgxCDK7OKdNF/rN41cwtZV1T1CsHm6Fq5/"
    "OpbBMVYv94FnH3P2IuNPjf7ivOnLdxAx+U84/v42X9xxDyU="
)
REPEATED = (
    "eNrt3DFOw0AQAMB1ckks5CJFhFKk4CEUPADxB37BEyh5Bo/gb2bPviQkAmqEZqzL+W53fXa7RcZxHN8iYhvVTQyxjlX0"
    "eZe6EiWnj8ypc5djN+XuM2Mdm8ze5s5c261q7CHHIUeJWa15ydHnVXfr7zCthxybaV3T5mg51eWR43s7L6aaXXuzYaqP"
    "RZli/Xx4e+P5+cdv2WdmaZHHtt/F2TJ+1l/N7aGnb+q+K8qcZwAAAODfq32L14u+xe1l32JZYp/T3dOxaXDZp7hvrYZz"
    "PGLxS5/ia153tQYAAAAAAAAAAAAAAAAAAAAAAADg76j/V1fnTxdILGE="
)


def stream(text: str) -> bytes:
    """Return a stream from its text above."""
    return zlib.decompress(base64.b64decode(text))


def written(array: Array) -> bytes:
    """Return an answer as a stream."""
    return arrow_answer.write(array, About("churn"), NOTHING)[0]


def rows(names: tuple[str, ...], *found: list[Any]) -> Array:
    """Return rows with names."""
    return Array(json.dumps(found).encode(), names)


def refused(body: bytes, status: int = 400) -> str:
    """Return what a client is told of a body that is not read."""
    with pytest.raises(RequestError) as caught:
        arrow.read(body, {})
    assert status == caught.value.status
    return str(caught.value)


def test_columns_of_every_kind() -> None:
    """Numbers, booleans, texts, nulls, dictionaries that grow and change, in several batches."""
    array, _ = arrow.read(stream(TABLE), {})

    assert ("whole", "half", "text", "large", "yes", "nothing", "kind") == array.names
    assert [
        [1, 1.5, "a", "x", True, None, "b"],
        [None, 2.5, None, "", None, None, "a"],
        [3, None, "é", None, False, None, None],
        [1, 1.5, "a", "x", True, None, "c"],
        [None, 2.5, None, "", None, None, "b"],
        [1, 1.5, "a", "x", True, None, "new"],
    ] == values(array)


@pytest.mark.parametrize(
    ("dtype", "letter"),
    [
        ("int8", "b"), ("int16", "h"), ("int32", "i"), ("int64", "q"), ("uint8", "B"),
        ("uint16", "H"), ("uint32", "I"), ("uint64", "Q"), ("float32", "f"), ("float64", "d"),
        ("bool", "?"),
    ],
)  # fmt: skip
def test_numbers_of_one_type(dtype: str, letter: str) -> None:
    """They leave as columns and come back as one tensor, of the same type."""
    array = Array(struct.pack(f"<6{letter}", 0, 1, 1, 0, 1, 1), ("a", "b"), dtype, (3, 2))

    assert (array, NOTHING) == arrow.read(written(array), {})


def test_numbers_in_batches() -> None:
    """Batches follow one another, and a stream may end without its last mark."""
    body = written(Array(struct.pack("<2d", 1, 2), ("a", "b"), "float64", (1, 2)))
    schema = 8 + int.from_bytes(body[4:8], "little")
    batch = body[schema:-8]

    array, _ = arrow.read(body[:schema] + batch + batch, {})

    assert Array(struct.pack("<4d", 1, 2, 1, 2), ("a", "b"), "float64", (2, 2)) == array


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (rows(("a", "b"), [1, "x"], [None, None]), {"a": [1, None], "b": ["x", None]}),
        (rows(("a", "b"), [True, 1], [None, 2.5]), {"a": [True, None], "b": [1.0, 2.5]}),
        (rows((), [[1], None], [{}, "ä"]), {"output": ["[1]", "{}"], "output_1": [None, "ä"]}),
        (Array(b"[0.5, null]", ("p",)), {"p": [0.5, None]}),
        (Array(b"[1, 2]", ("a", "b")), {"a": [1], "b": [2]}),
        (Array(struct.pack("<2f", 0.5, 1), ("p",), "float32", (2,)), {"p": [0.5, 1.0]}),
        (Array(struct.pack("<2e", 0.5, 1), (), "float16", (2,)), {"output": [0.5, 1.0]}),
    ],
)  # fmt: skip
def test_answers(answer: Array, expected: dict[str, list[object]]) -> None:
    """What is written, Arrow's own library reads."""
    with InputStream.from_readable(written(answer)) as found:
        table = nanoarrow.Array(found)
        names = [table.schema.field(index).name for index in range(table.schema.n_fields)]
        columns = [table.child(index).to_pylist() for index in range(table.n_children)]

    assert expected == dict(zip(names, columns, strict=True))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (stream(COMPRESSED), "compressed; send it without compression"),
        (stream(DATES), "Column `when` is of Arrow's type date"),
        (b"ARROW1\0\0", "an Arrow file; send it as an Arrow stream"),
        (b"", "no row"),
        (stream(TABLE)[:700], "cut off"),
        (stream(TABLE)[:3], "outside of the message"),
        (b"\xff\xff\xff\xff" + stream(TABLE), "no Arrow stream"),
        (stream(TABLE) * 2, None),
        (stream(TABLE)[:-8] * 2, "a second schema"),
    ],
)
def test_not_a_stream(body: bytes, said: str | None) -> None:
    """What is wrong is said; what is behind the end of a stream does not matter."""
    if said:
        assert said in refused(body)
    else:
        assert 6 == len(values(arrow.read(body, {})[0]))


def test_what_is_small_does_not_become_large() -> None:
    """Columns of nulls have any number of rows for nothing, dictionaries any number of letters."""
    assert "more than 16,777,216 cells" in refused(stream(NULLS), 413)
    assert "more than 67,108,864 letters by way of dictionaries" in refused(stream(REPEATED), 413)


def test_what_dictionaries_hold_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of a dictionary can hold eight booleans, and as many may be sent as fit the body."""
    cells, listed = 6 * 7, 2 + 1 + 1

    monkeypatch.setattr(arrow, "MOST_CELLS", cells + listed)
    assert 6 == len(values(arrow.read(stream(TABLE), {})[0]))

    monkeypatch.setattr(arrow, "MOST_CELLS", cells + listed - 1)
    assert f"more than {cells + listed - 1} cells" in refused(stream(TABLE), 413)


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.sampled_from([1, 4, 8]),
            st.sampled_from([0, 1, -1, 2, 8, 64, 255, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63)]),
        ),
        min_size=1,
        max_size=4,
    ),
    end=st.none() | st.integers(0, 2000),
)
def test_damage_is_a_request_error(edits: list[tuple[int, int, int]], end: int | None) -> None:
    """Whatever a client sends is read, or refused: nothing worse."""
    body = bytearray(stream(TABLE))
    for place, size, number in edits:
        at = place // size * size % len(body)
        body[at : at + size] = (number % 256**size).to_bytes(size, "little")
    try:
        array, _ = arrow.read(bytes(body[:end]), {})
    except RequestError:
        return

    assert len(array.names) == len(values(array)[0])


def test_places_outside_of_a_message() -> None:
    """A table's places are checked, on both sides."""
    message = struct.pack("<IIiHH", 8, 0, 2**31 - 1, 0, 0)

    for field in range(3):
        with pytest.raises(Malformed):
            follow(message, 0).integer(field, "q")
    with pytest.raises(Malformed):
        follow(message, len(message) - 3)
    with pytest.raises(Malformed):
        follow(message, -4)
