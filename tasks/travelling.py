"""Checkpoints of steps that run away from here: kept in the store, under the step's key.

A worker that is to go on from one finds it there, whatever has become of the worker before it.  It
is put there while the step runs, now and then, and when the step is ended; it is gone when the
step has made its result.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import hmac
import os
import shutil
import tarfile
import tempfile
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks import checkpoints
from tasks.answers import Unreachable
from tasks.checkpoints import KIND
from tasks.errors import AttemptFailed
from tasks.fingerprint import canonical
from tasks.objects import Unsound
from tasks.runs import RUNS
from tasks.shared import SECRET_VARIABLE, Shared, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.plan import Step

PAUSE_SECONDS = 60.0
"""How long after one was put the next is, at least; and ten times as long as that took."""

TIMES = 5
"""How often it is tried to find a folder in which no file comes or goes."""

_ENDED_SECONDS = 20.0
_SUM_BYTES = 32
_MEBIBYTE = 1 << 20


@contextlib.contextmanager
def travelling(step: Step, key: str, tell: Callable[[str], None], *, anew: bool) -> Iterator[None]:
    """Have the checkpoint of a step here before it runs, and in the store if it does not end well.

    One that is there when the step is to be made `anew` is removed.  What goes wrong is told.
    """
    others = shared()
    if others is None:
        yield
        return
    to = replace(others)  # its trouble is not that of the result
    with tempfile.TemporaryDirectory(prefix="checkpoint-", dir=step.build) as scratch:
        fetched = False
        with _told(to, tell):
            if anew:
                to.drop_document(KIND, key)
            else:
                fetched = _fetch(to, step, key, scratch)
        ended = threading.Event()
        sender = _Sender(to, step, key, scratch, tell)
        thread = threading.Thread(target=sender.follow, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            ended.set()
            thread.join(_ENDED_SECONDS)
            kept = f"{step.checkpoint_folder}/{key}/{checkpoints.FILES}"
            sender.send(kept)
            if _is_the_models(error) and not checkpoints.state_of(kept):
                with _told(to, tell):  # it did not get beyond it, which may be why
                    to.drop_document(KIND, key)
            raise
        ended.set()
        thread.join(_ENDED_SECONDS)
        if fetched or sender.sent:
            with _told(to, tell):
                to.drop_document(KIND, key)


def _is_the_models(error: BaseException) -> bool:
    """Return whether a step ended by an error of the model's own."""
    return isinstance(error, AttemptFailed) and error.reason == "error"


class _Sender:
    """Puts a checkpoint into the store where it has changed."""

    def __init__(
        self, to: Shared, step: Step, key: str, scratch: str, tell: Callable[[str], None]
    ) -> None:
        self._to, self._step, self._key, self._scratch, self._tell = to, step, key, scratch, tell
        self.sent: object = None

    def follow(self, ended: threading.Event) -> None:
        """Put what the step has left so far, now and then, until it has ended."""
        pause = PAUSE_SECONDS
        while not ended.wait(pause):
            began = time.monotonic()
            for folder in glob.glob(f"{self._step.build}/{RUNS}/*/work/{checkpoints.FOLDER}"):
                self.send(folder)
            pause = max(PAUSE_SECONDS, 10 * (time.monotonic() - began))

    def send(self, folder: str) -> None:
        """Put the files of a folder, if there are any that were not put yet."""
        state = checkpoints.state_of(folder)
        if not state or state == self.sent:
            return
        path = f"{self._scratch}/{os.urandom(4).hex()}"
        with _told(self._to, self._tell), contextlib.ExitStack() as made:
            made.callback(os.remove, path)
            if not any(_pack(folder, path) for _ in range(TIMES)):
                return
            with open(path, "ab") as file:
                file.write(_sum(self._to, self._key, path, os.path.getsize(path)))
            self._to.put_file(KIND, self._key, path)
            self.sent = state


@contextlib.contextmanager
def _told(to: Shared, tell: Callable[[str], None]) -> Iterator[None]:
    """Ask the store anew, and tell what goes wrong: a step runs as well without."""
    to.ask_again()
    try:
        yield
    except (OSError, tarfile.TarError, Unreachable, Unsound) as error:
        tell(f"its checkpoint in the store {to.address}: {error}")


def _pack(folder: str, path: str) -> bool:
    """Write the files of a folder as one file, each as it was or as it is.

    Returns whether all are in it: of a folder in which files are replaced meanwhile, one may not
    have been seen at all.
    """
    before = checkpoints.state_of(folder)
    with tarfile.open(path, "w") as archive:
        for name in before:
            with contextlib.suppress(FileNotFoundError), open(f"{folder}/{name}", "rb") as file:
                archive.addfile(archive.gettarinfo(arcname=name, fileobj=file), file)
        packed = set(archive.getnames())
    return packed == before.keys() == checkpoints.state_of(folder).keys()


def _fetch(to: Shared, step: Step, key: str, scratch: str) -> bool:
    """Have the checkpoint of a key here, and return whether there is one.

    Raises Unsound where it is not as it was put there by one who knows the store's secret: it may
    be code.
    """
    packed, files = f"{scratch}/packed", f"{scratch}/{checkpoints.FILES}"
    if not to.fetch_file(KIND, key, packed):
        return False
    size = os.path.getsize(packed) - _SUM_BYTES
    with open(packed, "rb") as file:
        file.seek(max(0, size))
        told = file.read()
    if size < 0 or not hmac.compare_digest(told, _sum(to, key, packed, size)):
        to.drop_document(KIND, key)
        signed = f"is not signed with {SECRET_VARIABLE}, or " if to.secret else ""
        raise Unsound(f"it {signed}is not what was stored")
    os.truncate(packed, size)
    with tarfile.open(packed) as archive:
        for member in archive:
            _take_out(archive, member, files)
    os.remove(packed)
    checkpoints.bring(step, key, files)
    return True


def _take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    path = os.path.normpath(f"{folder}/{member.name}")
    source = archive.extractfile(member) if member.isreg() else None
    if source is None or not path.startswith(folder + os.sep):
        raise Unsound(f"its file {member.name!a} would lie outside")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with source, open(path, "wb") as target:
        shutil.copyfileobj(source, target)


def _sum(to: Shared, key: str, path: str, size: int) -> bytes:
    """Return the HMAC-SHA256 (RFC 2104) of the first bytes of a file, and of what they are for."""
    found = hmac.new(to.secret.encode(), canonical("checkpoint", key).encode(), hashlib.sha256)
    with open(path, "rb") as file:
        while size > 0:
            data = file.read(min(size, _MEBIBYTE))
            found.update(data)
            size -= len(data)
    return found.digest()
