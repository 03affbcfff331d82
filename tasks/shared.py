"""The store that others use as well, at `MODEL_STORE`: a folder, or what fsspec can speak to.

It is laid out like the one on this disk (`objects`).  Nothing that it says is believed but by its
digest, and where `MODEL_STORE_KEY` is set, by a signature.  It may be slow, full, spoilt or gone:
the first trouble is told, and for the rest of the run it is left alone.  One that cannot be written
to is still read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tasks import objects, processes
from tasks.answers import Unreachable, within
from tasks.errors import UserError, installing, without_password
from tasks.objects import ENTRIES, OBJECTS, Entry, Unsound
from tasks.profiles import STORE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET_VARIABLE = "MODEL_STORE_KEY"  # noqa: S105 - its name
READ_ONLY_VARIABLE = "MODEL_STORE_READ_ONLY"
ANSWER_SECONDS = 10.0
"""How long a store may take for an answer, and besides a second for each of these bytes."""
SLOWEST_BYTES = 1_000_000
COLLECTION_SECONDS = 60.0
"""How long one is waited for who removes from a folder what nobody needs."""
PAUSES = (0.0, 1.0, 4.0, 15.0)
"""Seconds before it is asked, and asked again, for what would be lost without an answer."""
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "http": "aiohttp", "https": "aiohttp", "file": ""}
"""The schemes that an address may have, each with the package that it needs besides fsspec."""

T = TypeVar("T")


@dataclass
class Shared:
    """A store elsewhere.

    `trouble` is why it is left alone, `write_trouble` why it is only read; each is told once.
    """

    address: str
    root: str
    system: Any
    secret: str = ""
    read_only: bool = False
    trouble: str = ""
    write_trouble: str = ""
    told: frozenset[str] = frozenset()

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a key, None where there is none that is good."""
        data = self._ask(lambda: self._read(objects.place(ENTRIES, key)))
        if data is None:
            return None
        entry = objects.read_entry(key, data)
        if self.secret and not entry.is_signed(self.secret):
            raise Unsound(f"its entry is not signed with {SECRET_VARIABLE}")
        return replace(entry, fetched=True)

    def fetch(self, digest: str, path: str) -> None:
        """Write an object to a path.  Raises Unsound where it is not there, or not what it says."""
        name = objects.place(OBJECTS, digest)
        size = self._ask(lambda: self._size(name))
        if size is None:
            raise Unsound(f"object {digest[:12]} is not there")
        self._ask(lambda: self.system.get_file(self._at(name), path), size)
        if objects.digest_of(path) != digest:
            os.remove(path)
            self._remove_spoilt(digest)
            raise Unsound(f"object {digest[:12]} is not what was stored")

    def read(self, digest: str) -> bytes:
        """Return an object that is small.  Raises Unsound, as `fetch`."""
        data = self._ask(lambda: self._read(objects.place(OBJECTS, digest)))
        if data is None:
            raise Unsound(f"object {digest[:12]} is not there")
        if hashlib.sha256(data).hexdigest() != digest:
            self._remove_spoilt(digest)
            raise Unsound(f"object {digest[:12]} is not what was stored")
        return data

    def has(self, digest: str, size: int) -> bool:
        """Return whether there is an object of a digest and size."""
        return self._ask(lambda: self._size(objects.place(OBJECTS, digest))) == size

    def put(self, digest: str, path: str) -> None:
        """Put a file, unless there is an object of its digest and size."""
        name, size = objects.place(OBJECTS, digest), os.path.getsize(path)
        if not self.has(digest, size):
            self._change(lambda: self._write(name, path), size)

    def put_entry(self, entry: Entry, path: str) -> None:
        """Put the entry of a key, after all that it leads to; `path` is free for it."""
        signed = entry.signed(self.secret) if self.secret else replace(entry, fetched=False)
        with open(path, "wb") as file:
            file.write(signed.written())
        self._change(lambda: self._write(objects.place(ENTRIES, entry.key), path))

    def document(self, kind: str, key: str) -> bytes | None:
        """Return a small file of some other kind that is kept under a key, None without one."""
        return self._ask(lambda: self._read(objects.place(kind, key)))

    def put_document(self, kind: str, key: str, data: bytes, scratch: str) -> None:
        """Put such a file, after all that it leads to."""
        with open(f"{scratch}/document", "wb") as file:
            file.write(data)
        self._change(lambda: self._write(objects.place(kind, key), file.name))

    def put_file(self, kind: str, key: str, path: str) -> None:
        """Put a file of any size that is kept under a key."""
        name = objects.place(kind, key)
        self._change(lambda: self._write(name, path), os.path.getsize(path))

    def fetch_file(self, kind: str, key: str, path: str) -> bool:
        """Write such a file to a path, and return whether there is one."""
        name = objects.place(kind, key)
        size = self._ask(lambda: self._size(name))
        if size is None:
            return False
        self._ask(lambda: self.system.get_file(self._at(name), path), size)
        return True

    def drop_document(self, kind: str, key: str) -> None:
        """Remove what is kept under a key, whatever its size."""
        self._change(lambda: self._remove(objects.place(kind, key)))

    def used(self, kind: str, key: str) -> None:
        """Note in a folder that something was used just now, so that it is not collected soon."""
        if self.is_folder:
            with contextlib.suppress(OSError):
                os.utime(self._at(objects.place(kind, key)))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a folder while something is put in: nothing of it is collected meanwhile."""
        with contextlib.ExitStack() as held:
            if self.is_folder:
                hold = objects.writing(self.root)
                self._change(lambda: held.enter_context(hold), seconds=COLLECTION_SECONDS)
            yield

    def insisting(self) -> Iterator[None]:
        """Yield a few times, and have it asked each time as if there had been no trouble."""
        for pause in PAUSES:
            processes.pause(pause)
            self.ask_again()
            yield

    def ask_again(self) -> None:
        """Have it asked from now on as if there had been no trouble."""
        self.trouble = self.write_trouble = ""

    def trouble_now(self) -> str:
        """Return why it cannot be read, asked for what is surely not there; empty where it can."""
        with contextlib.suppress(Unsound, Unreachable):
            self.entry("0" * 64)
        return self.trouble

    def troubles_to_tell(self) -> list[str]:
        """Return what is wrong with it, each the first time that it is asked for."""
        troubles = {
            f"the store {self.address} is left alone in this run": self.trouble,
            f"nothing more is put into the store {self.address} in this run": self.write_trouble,
        }
        found = {text: why for text, why in troubles.items() if why and text not in self.told}
        self.told |= found.keys()
        return [f"{text}: {why}" for text, why in found.items()]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and not a server's."""
        return "file" in self.system.protocol

    def _ask(self, act: Callable[[], T], size: int = 0) -> T:
        """Do something within a time, or raise Unreachable and do not ask again."""
        if self.trouble:
            raise Unreachable(self.trouble)
        try:
            return within(ANSWER_SECONDS + size / SLOWEST_BYTES, act)
        except Unreachable as error:
            self.trouble = str(error)
            raise

    def _change(
        self, act: Callable[[], object], size: int = 0, *, seconds: float | None = None
    ) -> None:
        """Do something that writes within a time, or raise Unreachable and write no more."""
        if trouble := self.trouble or self.write_trouble:
            raise Unreachable(trouble)
        seconds = ANSWER_SECONDS if seconds is None else seconds
        try:
            within(seconds + size / SLOWEST_BYTES, act)
        except Unreachable as error:
            self.write_trouble = str(error)
            raise

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self.system.cat_file(self._at(name)))
        except FileNotFoundError:
            return None

    def _size(self, name: str) -> int | None:
        try:
            return int(self.system.info(self._at(name))["size"] or 0)
        except FileNotFoundError:
            return None

    def _write(self, name: str, path: str) -> None:
        """Write a file in one move: as an object store does anyway, and a folder by renaming."""
        if self.is_folder:
            self.system.makedirs(os.path.dirname(self._at(name)), exist_ok=True)
            made = f"{self.root}/{objects.MAKING}/{os.urandom(6).hex()}"
            self.system.makedirs(os.path.dirname(made), exist_ok=True)
            try:
                self.system.put_file(path, made)
                self.system.mv(made, self._at(name))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    self.system.rm_file(made)
        elif "http" in self.system.protocol:
            self.system.put_file(path, self._at(name), method="put")
        else:
            self.system.put_file(path, self._at(name))

    def _remove_spoilt(self, digest: str) -> None:
        """Remove an object that is not what was stored: whoever has it puts it back then."""
        if not self.read_only:
            with contextlib.suppress(Unreachable):  # where that may not be, other things still may
                within(ANSWER_SECONDS, lambda: self._remove(objects.place(OBJECTS, digest)))

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotImplementedError):
            self.system.rm_file(self._at(name))


def check() -> None:
    """Raise UserError for an address that cannot be used; nobody is asked for that."""
    address = os.environ.get(STORE_VARIABLE, "")
    scheme, named, _ = address.partition("://")
    if named and scheme not in PACKAGES:
        raise UserError(
            f"`{STORE_VARIABLE}` is no address of a store: `{scheme}://` is not known",
            ("known", ", ".join(PACKAGES)),
            hint="name a folder, or for instance `s3://bucket/models`",
        )
    package = PACKAGES[scheme] if named else ""
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f"`{STORE_VARIABLE}` needs the package `{package}`, which is not installed",
            hint=installing(package),
        )


def secret() -> str:
    """Return what entries are signed with, empty where they are not."""
    return os.environ.get(SECRET_VARIABLE, "")


@functools.cache
def shared() -> Shared | None:
    """Return the store that the user names, None where there is none.

    Raises UserError as `check` does.
    """
    check()
    address = os.environ.get(STORE_VARIABLE, "").rstrip("/")
    if not address:
        return None
    import fsspec  # noqa: PLC0415 - slow, and needed only where there is such a store

    folder = "://" not in address or address.startswith("file://")
    if folder:  # whatever its name has in it
        system = fsspec.filesystem("file")
        root = address = os.path.abspath(os.path.expanduser(address.removeprefix("file://")))
    else:
        system, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
    read_only = os.environ.get(READ_ONLY_VARIABLE, "") not in {"", "0"}
    gone = folder and read_only and not os.path.isdir(root)
    return Shared(
        without_password(address),
        root.rstrip("/"),
        system,
        secret(),
        read_only,
        "there is no such folder" if gone else "",
    )
