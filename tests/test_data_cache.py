"""The cache of fetched data: whole files only, and one download for all who want it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import datasets, fetching
from tasks.fingerprint import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.model import DataFile

DATA = b"a,b\n1,2\n" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()

FETCH = """
import sys
from tasks import datasets, fetching
from tasks.fingerprint import Files
(data,) = datasets.locate({"url": sys.argv[1], "sha256": sys.argv[2]}, ".", Files())
fetching.fetch(data, "train.json", Files(), lambda message: None)
"""


class Server(ThreadingHTTPServer):
    """Serves the data in two parts with a pause between, and counts who asked."""

    asked = 0

    @property
    def url(self) -> str:
        """The address of the data."""
        return f"http://127.0.0.1:{self.server_port}/data.csv"


class Handler(BaseHTTPRequestHandler):
    """Answers every request with the data."""

    server: Server

    def do_GET(self) -> None:
        """Send the data slowly enough for another to come in between."""
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[:100])
        time.sleep(0.5)
        self.wfile.write(DATA[100:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server on this machine."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cached(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFile:
    """Return the data file of a download, in a cache that is empty."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "DATASET_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_CACHE", str(tmp_path))
    (found,) = datasets.locate({"url": server.url, "sha256": SHA256}, ".", Files())
    return found


def start(server: Server) -> subprocess.Popen[str]:
    """Start a process that fetches the data."""
    command = [sys.executable, "-c", FETCH, server.url, SHA256]
    root = Path(__file__).parent.parent
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)


def test_two_at_once_fetch_once(server: Server, cached: DataFile) -> None:
    """The second waits for the first, and both have the whole file."""
    runs = [start(server) for _ in range(3)]
    errors = [run.communicate()[1] for run in runs]

    assert ["", "", ""] == errors
    assert 1 == server.asked
    assert DATA == Path(cached.path).read_bytes()


def test_killed_while_fetching(server: Server, cached: DataFile) -> None:
    """What it left is no data, and is cleared away by the next."""
    folder = Path(cached.path).parent
    run = start(server)
    while not server.asked:
        assert run.poll() is None
        time.sleep(0.01)
    run.kill()
    run.communicate()
    left = [path.name for path in folder.glob(".fetching-*")]

    assert (1, False) == (len(left), Path(cached.path).exists())

    fetching.fetch(cached, "train.json", Files(), print)

    assert DATA == Path(cached.path).read_bytes()
    assert [".held", "data.csv"] == sorted(path.name for path in folder.iterdir())
