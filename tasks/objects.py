"""Files under the digest of what is in them, and results under their key: a store on this disk.

    objects/ab/cdef...      a file, read-only, under its SHA-256
    results/ab/cdef...      which record belongs to a key, as JSON
    requests/ab/cdef...     what a step reads that was sent elsewhere, under its key (`requests`)
    checkpoints/ab/cdef...  where a step that did not end goes on elsewhere (`checkpoints`)
    tmp/, held              files that are not whole yet, and the lock of those who put something in

The record (`run.json`) is an object itself and names all others of its result, so an entry is small
and nothing that it leads to is believed but by its digest.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tasks.fingerprint import canonical
from tasks.hashing import of_file

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
OBJECTS, ENTRIES, REQUESTS, MAKING, HELD = "objects", "results", "requests", "tmp", "held"
REQUEST_SECONDS = 86_400.0
"""How long a request is kept, and all that it leads to: a worker may be about to read it."""
READ_ONLY = 0o444
SMALL = 1 << 16
"""Bytes below which a file is copied rather than shared."""
_CLONE = 0x40049409  # FICLONE of linux/fs.h: the bytes are shared until one side is written to
_DIGEST_LENGTH = 64


class Unsound(Exception):
    """What a store holds is not what it says; the message says what."""


@dataclass(frozen=True)
class Entry:
    """Which record belongs to a key; `signature` is empty where nobody has signed it.

    In the store on this disk it says whether it was `fetched` from the store of others.
    """

    key: str
    record: str
    signature: str = ""
    fetched: bool = False

    def signed(self, secret: str) -> Entry:
        """Return it with the HMAC-SHA256 (RFC 2104) of key and record under a secret."""
        text = canonical("entry", {"key": self.key, "record": self.record})
        found = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return Entry(self.key, self.record, found)

    def is_signed(self, secret: str) -> bool:
        """Return whether who wrote it knew the secret."""
        said = self.signature.encode(errors="surrogatepass")
        return hmac.compare_digest(said, self.signed(secret).signature.encode())

    def written(self) -> bytes:
        """Return it as a file."""
        return (json.dumps({"format": FORMAT, **asdict(self)}) + "\n").encode()


def read_entry(key: str, data: bytes) -> Entry:
    """Return what an entry's file says.  Raises Unsound where it is not that of this key."""
    try:
        found = json.loads(data)
        entry = Entry(
            found["key"], found["record"], found["signature"],
            bool(found.get("fetched")),  # one of before does not say
        )  # fmt: skip
        good = found["format"] == FORMAT and entry.key == key and is_digest(entry.record)
    except (ValueError, KeyError, TypeError) as error:
        raise Unsound("its entry cannot be read") from error
    if not good:
        raise Unsound("its entry is that of something else")
    return entry


def is_digest(text: str) -> bool:
    """Return whether a text is a SHA-256 as it is written here."""
    return len(text) == _DIGEST_LENGTH and not set(text) - set("0123456789abcdef")


def place(kind: str, digest: str) -> str:
    """Return where an object or the entry of a key is, within a store."""
    return f"{kind}/{digest[:2]}/{digest[2:]}"


@contextlib.contextmanager
def writing(root: str, *, alone: bool = False) -> Iterator[None]:
    """Hold a store while something is put in; with `alone`, while nobody else puts anything in."""
    os.makedirs(root, exist_ok=True)
    # Others may have made the file, so that it can only be read; NFS wants more of who is alone.
    mode = os.O_RDWR if alone else os.O_RDONLY
    held = os.open(f"{root}/{HELD}", mode | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(held)


def put(root: str, digest: str, path: str) -> None:
    """Put a file that is on the disk into a store, under the digest that it is known to have."""
    target = f"{root}/{place(OBJECTS, digest)}"
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileExistsError), in_the_making(root) as made:
            _appear(os.path.realpath(path), target, made)


def put_entry(root: str, entry: Entry) -> None:
    """Put the entry of a key into a store, after all that it leads to."""
    target = f"{root}/{place(ENTRIES, entry.key)}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with in_the_making(root) as made:
        with open(made, "wb") as file:
            file.write(entry.written())
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, target)


def beside(path: str) -> str:
    """Return a free path in the same folder: its own name may be as long as a name can be."""
    return os.path.join(os.path.dirname(path), f"{os.urandom(6).hex()}.part")


def take(root: str, digest: str, path: str) -> None:
    """Have an object appear at a path, where nothing is.

    Raises Unsound where there is none, and where it is not what it should be; it is gone then.
    """
    source = f"{root}/{place(OBJECTS, digest)}"
    try:
        _appear(source, path, beside(path))
    except FileNotFoundError:
        if os.path.exists(source):
            raise
        raise Unsound(f"object {digest[:12]} is gone") from None
    if digest_of(path) != digest:
        os.remove(path)
        with contextlib.suppress(FileNotFoundError):
            os.remove(source)
        raise Unsound(f"object {digest[:12]} is not what was stored")


def find_entry(root: str, key: str) -> Entry | None:
    """Return the entry of a key, None where there is none.  Raises Unsound as `read_entry`."""
    try:
        with open(f"{root}/{place(ENTRIES, key)}", "rb") as file:
            return read_entry(key, file.read())
    except FileNotFoundError:
        return None


def drop_entry(root: str, key: str) -> None:
    """Take the entry of a key out of a store; what it leads to stays until it is collected.

    One that cannot be removed stays, and is found wanting again.
    """
    with contextlib.suppress(OSError):
        os.remove(f"{root}/{place(ENTRIES, key)}")


def read(root: str, digest: str) -> bytes:
    """Return an object that is small.

    Raises FileNotFoundError where there is none, and Unsound where it is not what it should be.
    """
    with open(f"{root}/{place(OBJECTS, digest)}", "rb") as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise Unsound(f"object {digest[:12]} is not what was stored")
    return data


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb", buffering=0) as file:
        return of_file(file, os.path.getsize(path), lambda _size: None)


def _appear(source: str, target: str, made: str) -> None:
    """Have a file's bytes appear at a place in one move, read-only: shared if that can be.

    A clone is best, since neither side can spoil the other; a hard link needs no room either.
    Small files are copied: a link changes the time of all other names of a file, which would have
    to be looked at again.  `made` is where a file is that is not whole yet.
    """
    found = os.stat(source)
    if found.st_size < SMALL:
        shutil.copyfile(source, made)
    elif not _clone(source, made):
        if found.st_mode & 0o222:
            os.chmod(source, READ_ONLY)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EEXIST}:
                raise
            shutil.copyfile(source, made)
        else:
            return
    os.chmod(made, READ_ONLY)
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    os.replace(made, target)


def _clone(source: str, target: str) -> bool:
    """Return whether a file could be cloned; nothing is there where it could not."""
    try:
        with open(source, "rb") as old, open(target, "wb") as new:
            fcntl.ioctl(new, _CLONE, old.fileno())
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.remove(target)
        return False
    return True


@contextlib.contextmanager
def in_the_making(root: str) -> Iterator[str]:
    """Give a path for a file that is not whole yet; nothing is there afterwards."""
    os.makedirs(f"{root}/{MAKING}", exist_ok=True)
    made = f"{root}/{MAKING}/{os.urandom(6).hex()}"
    try:
        yield made
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(made)


def sweep(root: str) -> None:
    """Remove what those have left who were killed while they put something in."""
    with contextlib.suppress(OSError):
        left = os.listdir(f"{root}/{MAKING}")
        if not left:
            return
        with open(f"{root}/{HELD}", "r+", encoding="utf-8") as file:  # as NFS wants it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in left:
                os.remove(f"{root}/{MAKING}/{name}")
