"""Stores of others over a network: real servers, on this machine."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from tasks import answers, objects, shared
from tasks.objects import Entry
from tests.test_store import NAME, STEPS, clone, contents, states, told, warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

BUCKET = "models"


class Folder(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and takes files where `takes` says so."""

    takes = True

    def do_PUT(self) -> None:
        """Write a file."""
        if not self.takes:
            self.send_error(405)
            return
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._body())
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def log_message(self, *_words: object) -> None:
        """Be silent."""


class Closed(Folder):
    """Serves a folder that is only read."""

    takes = False


def serve(folder: Path, handler: type[Folder]) -> Iterator[str]:
    """Serve a folder and yield its address."""
    folder.mkdir(exist_ok=True)

    def handle(*words: object) -> Folder:
        return handler(*words, directory=str(folder))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/store"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a server that takes files."""
    yield from serve(tmp_path / "web", Folder)


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """Yield the variables for a bucket of S3, on a server of moto's."""
    import boto3  # noqa: PLC0415 - slow

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    login = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret"}
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="user", aws_secret_access_key=login["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield {**login, "AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
    server.stop()


def assert_shared(repository: Repository, **variables: str) -> None:
    """Assert that what one repository makes, another has restored; and that damage is seen."""
    repository.add(NAME)
    status, events = told(repository, **variables)
    assert (0, "") == (status, warnings(events))
    other = clone(repository, "other")

    assert (0, dict.fromkeys(STEPS, "restored")) == states(other, **variables)
    assert contents(repository) == contents(other)


def test_http(repository: Repository, web: str) -> None:
    """A server that answers HEAD, GET and PUT."""
    assert_shared(repository, MODEL_STORE=web)


def test_http_that_takes_nothing(repository: Repository, tmp_path: Path) -> None:
    """A server that takes nothing costs a warning, but not where it is only read."""
    repository.add(NAME)
    for address in serve(tmp_path / "web", Closed):
        status, events = told(repository, MODEL_STORE=address)
        assert 0 == status
        assert 1 == warnings(events).count(f"nothing more is put into the store {address} in this")

        done = repository.doit("-a", MODEL_STORE=address, MODEL_STORE_READ_ONLY="1")
        assert 0 == done.returncode
        assert "warning" not in done.stdout


def test_s3(repository: Repository, bucket: dict[str, str]) -> None:
    """A bucket of S3."""
    assert_shared(repository, MODEL_STORE=f"s3://{BUCKET}/some/folder", **bucket)


@pytest.fixture
def google(capfd: pytest.CaptureFixture[str]) -> Iterator[dict[str, str]]:
    """Yield the variables for a bucket of Google Cloud Storage, on an emulator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    yield {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
        "FSSPEC_GS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would ask over gRPC, which is not there
    }
    server.stop()
    capfd.readouterr()  # the emulator prints a traceback where a client leaves early


def test_google(repository: Repository, google: dict[str, str]) -> None:
    """A bucket of Google Cloud Storage."""
    assert_shared(repository, MODEL_STORE=f"gs://{BUCKET}/some/folder", **google)


def test_s3_without_a_bucket(repository: Repository, bucket: dict[str, str]) -> None:
    """A bucket that is not there costs a warning, which names no secret."""
    repository.add(NAME)

    status, events = told(repository, MODEL_STORE="s3://no-such-bucket/x", **bucket)

    assert 0 == status
    said = "nothing more is put into the store s3://no-such-bucket/x in this run"
    assert 1 == warnings(events).count(said)


def test_server_that_is_not_there(repository: Repository) -> None:
    """An address that nobody listens at costs a warning."""
    repository.add(NAME)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}/store"

        status, events = told(repository, MODEL_STORE=address)

    assert 0 == status
    assert 1 == warnings(events).count("is left alone in this run")


def test_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing is waited for once, for a while."""
    monkeypatch.setattr(shared, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/store"
        monkeypatch.setenv("MODEL_STORE", address)
        shared.shared.cache_clear()
        store = shared.shared()
        shared.shared.cache_clear()
        assert store is not None
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(
                answers.Unreachable, match=r"no answer within 0 s|no answer within 1 s"
            ):
                store.entry("a" * 64)
        assert time.monotonic() - began < shared.ANSWER_SECONDS

    (trouble,) = store.troubles_to_tell()
    assert f"the store {address} is left alone" in trouble
    assert [] == store.troubles_to_tell()


def test_password_in_an_address(repository: Repository) -> None:
    """Where an address holds a password, no warning does."""
    repository.add(NAME)
    done = repository.doit(MODEL_STORE="http://user:hunter2@127.0.0.1:9/store")

    assert 0 == done.returncode
    assert "is left alone in this run" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_entry_of_another_store(web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that stands under another key than its own is not believed."""
    monkeypatch.setenv("MODEL_STORE", web)
    shared.shared.cache_clear()
    store = shared.shared()
    shared.shared.cache_clear()
    assert store is not None
    store.put_entry(Entry("a" * 64, "b" * 64), str(tmp_path / "entry"))
    assert Entry("a" * 64, "b" * 64, fetched=True) == store.entry("a" * 64)
    assert store.entry("c" * 64) is None
    there = tmp_path / "web/store" / objects.place(objects.ENTRIES, "a" * 64)
    twin = tmp_path / "web/store" / objects.place(objects.ENTRIES, "d" * 64)
    twin.parent.mkdir(parents=True)
    there.rename(twin)

    with pytest.raises(objects.Unsound, match="something else"):
        store.entry("d" * 64)
