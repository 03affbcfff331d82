"""What `serving.py` puts to a server: one row a request by wrk, and batches by itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import usage
from trained import COLUMNS, MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from servers import Server

WORKER = "serve_model.py"
BODIES = 500  # different requests that wrk sends in turn
CHECKED = 50  # of which so many answers are compared with those of the model itself
TIMEOUT = "60s"
END = b"\r\n\r\n"  # of a head
ANSWER_BYTES = 1 << 22  # of an answer and its head, at most
LENGTH = "Inference-Header-Content-Length"
TYPES = {"INT64": "q", "INT32": "i", "FP64": "d", "FP32": "f"}

WRK = """\
local requests, turn = {}, 0

function init(args)
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format('\\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "failed": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"""


@dataclass(frozen=True)
class Load:
    """What was seen under load: requests/s, latencies (ms), CPU time of a request (us).

    `gateway` is the part of that which is not the model's process's, where there is such a part.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    gateway: float


def prepare(
    server: Server, rows: Sequence[Sequence[float]], answers: Sequence[float], folder: Path
) -> None:
    """Write what wrk sends to a server, and see that it answers as the model itself does."""
    (folder / "load.lua").write_text(WRK, encoding="utf-8")
    bodies = "".join(f"{server.body % json.dumps(row)}\n" for row in rows[:BODIES])
    (folder / f"{server.name}.bodies").write_text(bodies, encoding="utf-8")
    for row, expected in zip(rows[:CHECKED], answers, strict=False):
        answer = server.ask(row)
        found = answer["predictions"] if "predictions" in answer else answer["data"]["ndarray"]
        if found != [expected]:
            sys.exit(f"{server.name} answers {found} to {row}; the model itself: {[expected]}")


def put(server: Server, connections: int, seconds: int, folder: Path) -> Load:
    """Put a load to a server; end the benchmark where a request fails."""
    pids = usage.family(server.pid)
    gateway = [pid for pid in pids if not usage.runs(pid, WORKER)]
    bodies = str(folder / f"{server.name}.bodies")
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency"]
    command += ["--timeout", TIMEOUT, "-s", str(folder / "load.lua"), server.url + server.path]
    before, before_gateway = usage.cpu_seconds(pids), usage.cpu_seconds(gateway)
    done = subprocess.run([*command, "--", bodies], capture_output=True, text=True, check=False)
    cpu, of_gateway = usage.cpu_seconds(pids), usage.cpu_seconds(gateway)
    seen = json.loads(done.stdout.rstrip().rpartition("\n")[2]) if not done.returncode else {}
    if not seen.get("requests") or seen["failed"]:
        sys.exit(f"{server.name} failed under load\n{done.stdout}{done.stderr}")
    each = 1e6 / seen["requests"]
    return Load(
        rate=1e6 * seen["requests"] / seen["us"],
        p50=seen["p50"] / 1e3,
        p99=seen["p99"] / 1e3,
        cpu=(cpu - before) * each,
        gateway=(of_gateway - before_gateway) * each,
    )


class Batch:
    """Many rows in one request to a server.

    It is sent in one call, and its answer received into a buffer that was made before, for each
    server alike: so the client's own copies do not count.
    """

    def __init__(self, server: Server, rows: Sequence[Sequence[float]]) -> None:
        """Make the requests ready."""
        self._answer = bytearray(ANSWER_BYTES)
        self._host = server.url.rpartition("/")[2]
        self._path = server.path
        self._json = json.dumps({"data": {"names": COLUMNS, "ndarray": rows}}).encode()
        self._bytes = array("d", (cell for row in rows for cell in row)).tobytes()
        asked = {
            "inputs": [
                {
                    "name": "rows",
                    "shape": [len(rows), len(COLUMNS)],
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": len(self._bytes)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
        head = json.dumps(asked).encode()
        self._binary = head + self._bytes
        self._length = str(len(head))

    def connect(self) -> None:
        """Have one connection for the requests that follow, as clients do that ask often."""
        host, _, port = self._host.partition(":")
        self._connection = socket.create_connection((host, int(port)))

    def as_json(self) -> tuple[float, list[float]]:
        """Ask in JSON; return the seconds that it took, and the answers."""
        seconds, data, _ = self._ask(self._path, self._json, {"Content-Type": "application/json"})
        return seconds, json.loads(data)["data"]["ndarray"]

    def as_tensor(self) -> tuple[float, list[float]]:
        """Ask for a binary tensor with one; return the seconds that it took, and the answers."""
        headers = {"Content-Type": "application/octet-stream", LENGTH: self._length}
        seconds, data, size = self._ask(f"/v2/models/{MODEL}/infer", self._binary, headers)
        (output,) = json.loads(data[:size])["outputs"]
        return seconds, array(TYPES[output["datatype"]], data[size:]).tolist()

    def as_bytes(self) -> tuple[float, list[float]]:
        """Ask the application for the bytes of the answers with those of the rows alone."""
        headers = {"Content-Type": "application/octet-stream"}
        seconds, data, _ = self._ask("/tensor", self._bytes, headers)
        return seconds, array("q", data).tolist()

    def _ask(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[float, bytes, int]:
        """Return the seconds until the answer was there, the answer, and its head's length."""
        given = {"Host": self._host, **headers, "Content-Length": str(len(body))}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        head = "\r\n".join([*lines, "", ""]).encode()
        request = head + body
        answer = memoryview(self._answer)
        began = time.perf_counter()
        self._connection.sendall(request)
        size = self._received(answer)
        while (at := self._answer.find(END, 0, size)) < 0:
            size += self._received(answer[size:])
        start = at + len(END)
        status, *told = bytes(answer[:start]).decode().lower().splitlines()
        found = dict(line.split(": ", 1) for line in told if line)
        end = start + int(found["content-length"])
        while size < end:
            size += self._received(answer[size:])
        seconds = time.perf_counter() - began
        data = bytes(answer[start:end])
        if f" {HTTPStatus.OK.value} " not in status:
            sys.exit(f"{path} answers {status}: {data[:1000]!r}")
        return seconds, data, int(found.get(LENGTH.lower(), 0))

    def _received(self, rest: memoryview) -> int:
        """Return how many bytes more of an answer have come."""
        if not rest:
            sys.exit(f"an answer has more than {ANSWER_BYTES} bytes")
        return self._connection.recv_into(rest) or sys.exit("the connection has ended")
