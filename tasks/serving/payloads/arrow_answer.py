"""Answers as Arrow IPC streams, in one batch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from tasks.serving.payloads.infer_answer import OUTPUT
from tasks.serving.payloads.parsing import ARROW
from tasks.serving.payloads.tensors import DTYPES, FORMATS, as_text, columns, dtype_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tasks.serving.arrays import Array
    from tasks.serving.payloads import About, Wanted


def write(answer: Array, _about: About, _wanted: Wanted) -> tuple[bytes, dict[str, str]]:
    """Return an answer; columns without names are called `output`, or `output_0`, `output_1` ...

    What is no number, boolean or text is a text, its JSON.
    """
    import nanoarrow  # noqa: PLC0415 - it takes a third of a second, and few ask for it
    from nanoarrow.ipc import StreamWriter  # noqa: PLC0415

    found = columns(answer)
    names = answer.names
    if len(names) != len(found):
        names = tuple(f"{OUTPUT}_{index}" if index else OUTPUT for index in range(len(found)))
    children = [_column(nanoarrow, column) for column in found]
    fields = zip(names, children, strict=True)
    batch = nanoarrow.c_array_from_buffers(
        nanoarrow.struct([child.schema.modify(name=name) for name, child in fields]),
        len(found[0]) if found else 0,
        [None],
        children=children,
    )
    written = io.BytesIO()
    with StreamWriter.from_writable(written) as stream:
        stream.write_array(batch)
    return written.getvalue(), {"content-type": ARROW}


def _column(nanoarrow: ModuleType, cells: Sequence[Any]) -> Any:  # noqa: ANN401 - it has no types
    """Return a column of an answer as nanoarrow has it."""
    if isinstance(cells, memoryview):
        if cells.format != FORMATS["bool"]:
            schema = getattr(nanoarrow, DTYPES[cells.format])()
            return nanoarrow.c_array_from_buffers(schema, len(cells), [None, cells.tobytes()])
        cells = cells.tolist()
    dtype = dtype_of(cells)
    if dtype == "bool":
        return nanoarrow.c_array(cells, nanoarrow.bool_())
    if dtype:
        return nanoarrow.c_array(cells, getattr(nanoarrow, dtype)())
    texts = [cell if cell is None else as_text(cell) for cell in cells]
    return nanoarrow.c_array(texts, nanoarrow.string())
