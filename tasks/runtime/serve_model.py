"""Answer requests with a trained model, inside the model's own environment.

    python serve_model.py REQUEST

The working directory is the folder of the run, with the artefacts of training.  REQUEST is a JSON
file as run_step.py has it, for the step `score`, and besides

    socket        the Unix socket that the gateway listens on
    worker        the number by which the gateway knows this process
    memory        where the segments of memory are that the gateway shares, if any
    sample        `names` and `values` of a request to try the model with, or null

What is said over the socket is told in model_runtime/wire.py.  It ends when the gateway closes the
connection.  What the model prints goes to stdout and stderr and means nothing.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import array
import faulthandler
import functools
import importlib
import json
import os
import socket
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from model_runtime import wire
from model_runtime.contract import StepError, plain
from model_runtime.memory import SharedMemory, opened
from model_runtime.parent import die_with_parent
from model_runtime.process import describe, flush, message_of, prepare, tell, trusted_folders
from model_runtime.scoring import Scoring, Values

COMPACT = (",", ":")

WIDEST = 8
"""Bytes of the largest float that Python and a tensor have."""

REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, StepError)
"""What a model raises that cannot take some values, as far as that can be told."""


def main(paths: List[str]) -> int:
    """Answer until the gateway goes.  Return the exit status."""
    faulthandler.enable()
    with open(paths[0], encoding="utf-8") as file:
        request = json.load(file)  # type: Dict[str, Any]
    die_with_parent(request["parent"])
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(request["socket"])
        memory = opened(request["memory"])
        told = {"worker": request["worker"], "pid": os.getpid(), "memory": memory is not None}
        wire.send(connection, told)
        try:
            scoring, learnt = load(request)
        except BaseException as error:  # noqa: BLE001 - a SystemExit is a failure too
            said = describe(error, request["root"])
            where = f" ({said['where']})" if said["where"] else ""
            wire.send(connection, {"failed": f"{said['type']}: {said['message']}{where}"})
            return 1
        finally:
            flush()
        answer, parts = learnt
        wire.send(connection, {"ready": answer}, parts)
        answer_all(connection, memory, scoring, request["root"])
    return 0


def load(request: Dict[str, Any]) -> Tuple[Scoring, Tuple[Dict[str, Any], List[bytes]]]:
    """Load the model and try it; return it, and what is to be told of it with its first answer."""
    prepare(request, trusted_folders(request))
    engine = importlib.import_module(f"model_runtime.engines.{request['engine']}")
    scoring = Scoring(engine.scorer(request, request["arguments"]))
    sample = request["sample"]
    answer = scoring.try_sample(Values(sample["names"], sample["values"])) if sample else None
    told = {"batches": scoring.batches, "explains": bool(scoring.scorer.explain)}  # type: Dict[str, Any]
    if answer is None:
        return scoring, (told, [])
    told["answer"], part = encoded(answer)
    return scoring, (told, [part])


def answer_all(
    connection: Any, memory: Optional[SharedMemory], scoring: Scoring, root: str
) -> None:
    """Answer each batch that comes."""
    stream = connection.makefile("rb")
    message = wire.receive(stream, memory)
    while message is not None:
        header, payload = message
        began = time.perf_counter()
        answers = answered(header, payload, scoring, root)
        told = {"answers": [entry for entry, _ in answers]}  # type: Dict[str, Any]
        told["batch"] = header["batch"]
        told["seconds"] = time.perf_counter() - began
        del message, payload  # from here on the model alone can still have its values
        if memory and "at" in header and memory.is_kept(header["at"][0]):
            told["kept"] = True
        wire.send(connection, told, [part for _, part in answers], memory)
        flush()
        message = wire.receive(stream, memory)


def answered(
    header: Dict[str, Any], payload: memoryview, scoring: Scoring, root: str
) -> List[Tuple[Dict[str, Any], bytes]]:
    """Return an entry and the bytes of the answer to each request of a batch."""
    explain = header["do"] == "explain"
    requests, at = [], 0  # type: List[Tuple[Dict[str, Any], memoryview]], int
    for entry in header["requests"]:
        requests.append((entry, payload[at : at + entry["size"]]))
        at += entry["size"]
    if len(requests) > 1 and scoring.batches and not explain:
        try:
            values = [decoded(entry, part) for entry, part in requests]
            tensor = bool(requests[0][0]["dtype"])
            return [encoded(one, tensor=tensor) for one in scoring.predict_many(values)]
        except Exception as error:  # noqa: BLE001 - one of them may spoil it: each is asked then
            tell(f"{len(requests)} requests at once: {type(error).__name__}: {message_of(error)}\n")
    ask = scoring.explain if explain else scoring.predict
    return [answered_alone(entry, part, ask, root) for entry, part in requests]


def answered_alone(
    entry: Dict[str, Any], part: memoryview, ask: Callable[[Values], Values], root: str
) -> Tuple[Dict[str, Any], bytes]:
    """Return an entry and the bytes of the answer to one request; that of a failure tells of it."""
    refusals = REFUSALS  # type: Tuple[Any, ...]
    try:
        answer = ask(decoded(entry, part))
        refusals = ()  # it has taken the values
        return encoded(answer, tensor=bool(entry["dtype"]))
    except Exception as error:  # noqa: BLE001 - it is the model's
        said = describe(error, root)
        message = f"{said['type']}: {said['message']}"
        return {"error": message, "refused": isinstance(error, refusals), "size": 0}, b""


def decoded(entry: Dict[str, Any], part: memoryview) -> Values:
    """Return the values of a request: lists, or for a tensor an array where there is NumPy."""
    names = entry["names"]
    if not entry["dtype"]:
        return Values(names, json.loads(bytes(part).decode()))
    read, kind = numpy_type(entry["dtype"])
    if read is None:
        return Values(names, nested(part, entry["dtype"], entry["shape"]))
    return Values(names, read(part, kind).reshape(entry["shape"]))


@functools.lru_cache(maxsize=None)
def numpy_type(dtype: str) -> Tuple[Optional[Callable[..., Any]], Any]:
    """Return what reads bytes as an array, and the type of its elements; None without NumPy."""
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        return None, None
    return numpy.frombuffer, numpy.dtype(dtype).newbyteorder("<")


def nested(part: memoryview, dtype: str, shape: List[int]) -> List[Any]:
    """Return a tensor as lists of lists."""
    codes = {
        "bool": "b", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B",
        "uint16": "H", "uint32": "I", "uint64": "Q", "float32": "f", "float64": "d",
    }  # fmt: skip
    values = array.array(codes[dtype], bytes(part)).tolist()  # type: List[Any]
    values = list(map(bool, values)) if dtype == "bool" else values
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def encoded(answer: Values, *, tensor: bool = False) -> Tuple[Dict[str, Any], bytes]:
    """Return an entry and the bytes of an answer, as a tensor where it has numbers."""
    names, values = list(answer.names), answer.values
    if hasattr(values, "astype") and values.dtype.kind == "f" and values.dtype.itemsize > WIDEST:
        values = values.astype("float64")
    if tensor and hasattr(values, "dtype") and values.dtype.kind in "biuf":
        data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        entry = {"names": names, "dtype": values.dtype.name, "shape": list(values.shape)}
        return {**entry, "size": len(data)}, data
    if hasattr(values, "tolist"):
        values = values.tolist()
    try:
        text = json.dumps(values, allow_nan=False, default=native, separators=COMPACT)
    except ValueError:
        text = json.dumps(without_nan(plain(values)), separators=COMPACT)
    data = text.encode()
    return {"names": names, "dtype": "", "shape": [], "size": len(data)}, data


def native(value: Any) -> Any:
    """Return a number or array of a library as one of Python's, everything else as text."""
    if not hasattr(value, "tolist"):
        return str(value)
    found = value.tolist()
    if type(found) is not type(value):
        return found
    return float(value) if value.dtype.kind == "f" else str(value)  # it is wider than Python's


def without_nan(value: Any) -> Any:
    """Return a value with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    finite = not isinstance(value, float) or value - value == 0
    return value if finite else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
