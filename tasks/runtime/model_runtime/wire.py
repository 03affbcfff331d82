"""Messages between the gateway and a model's worker, over a Unix socket.

A message is a head of 12 bytes (the length of the header, 4 bytes, and of the payload, 8 bytes,
both with the first byte the highest), a header in JSON, and the payload: the values of a batch of
requests, or of its answers, one behind the other.  In either, an entry for each says

    names     the names of the columns, empty where nobody named them
    dtype     empty where the values are JSON text; else what NumPy calls the elements of a tensor
    shape     of a tensor
    size      how many bytes of the payload are its values

A large payload can lie in memory that both share instead (memory.py): then the message has none,
and its header says where: `"at": [SEGMENT, START, SIZE]` of a batch, `"written": SIZE` of answers.

The gateway sends `{"do": "predict" or "explain", "batch": NUMBER, "requests": [entry, ...]}`.  The
worker says first `{"worker": NUMBER, "pid": PID, "memory": whether it has that memory}`, then
`{"ready": {...}}` or `{"failed": MESSAGE}`, and then to each `{"answers": [entry, ...], "batch":
NUMBER, "seconds": TIME}`; the entry of a request that failed has `error`, a message, and `refused`:
whether it was the values that the model could not take.  With `"kept": true` the segment that had
the batch is not to be used again.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import json
import struct
from typing import Any, Dict, Optional, Sequence, Tuple

from model_runtime.memory import SharedMemory

HEAD = struct.Struct("!IQ")


def send(
    connection: Any,
    header: Dict[str, Any],
    values: Sequence[Any] = (),
    memory: Optional[SharedMemory] = None,
) -> None:
    """Send a message; `values` are the parts of its payload, each as bytes."""
    size = sum(len(part) for part in values)
    if memory and memory.fits(size):
        header, values, size = {**header, "written": memory.put(values)}, (), 0
    text = json.dumps(header).encode()
    connection.sendall(b"".join([HEAD.pack(len(text), size), text, *values]))


def receive(
    stream: Any, memory: Optional[SharedMemory]
) -> Optional[Tuple[Dict[str, Any], memoryview]]:
    """Return the next message's header and payload, None when the other side has gone."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    of_header, of_payload = HEAD.unpack(head)
    header, payload = stream.read(of_header), stream.read(of_payload)
    if len(header) + len(payload) < of_header + of_payload:
        return None
    told = json.loads(header.decode())
    if "at" in told:
        assert memory is not None  # noqa: S101 - only who has it is told so
        return told, memory.payload(*told["at"])
    return told, memoryview(payload)
