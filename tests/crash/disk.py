"""What a disk holds when the power fails: of what was not synced, nothing can be counted on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash import calls

if TYPE_CHECKING:
    from random import Random

    from tests.crash.calls import Call


class Disk:
    """Follows a build's calls, and can then take away what had not reached the disk.

    Names are taken to reach it at once and contents not before they are synced, which is the worse
    of what file systems do.  Kept is what each file held when it was last synced, by inode.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._safe: dict[int, bytes] = {}
        self._sync_all()

    def see(self, call: Call) -> None:
        """Take notice of a call that is about to be carried out."""
        if call.name in ("sync", "syncfs"):
            self._sync_all()
        elif call.name in ("fsync", "fdatasync"):
            self._sync(Path(call.paths[0]))
        elif call.name in ("unlink", "unlinkat", "rename", "renameat", "renameat2"):
            with contextlib.suppress(OSError):
                gone = os.lstat(call.paths[-1])
                if gone.st_nlink == 1:
                    self._safe.pop(gone.st_ino, None)

    def fail(self, chance: Random | None) -> int:
        """Take away what was not synced, or by chance some of it; return of how many files."""
        lost = 0
        for path in _files(self._folder):
            safe = self._safe.get(path.stat().st_ino, b"")
            if safe != path.read_bytes() and (chance is None or chance.random() < 1 / 2):
                path.write_bytes(safe)
                lost += 1
        return lost

    def _sync_all(self) -> None:
        for path in _files(self._folder):
            self._sync(path)

    def _sync(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                self._safe[path.stat().st_ino] = path.read_bytes()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def order_of_publishing(made: tuple[Call, ...], link: Path) -> list[str]:
    """Return what was published without being safe before, or was not made safe after; sentences.

    Before `link` is moved every file of its result and every folder there, and the folder that it
    is in, must have been synced after the last change to it; its own folder after that.
    """
    renames = [call for call in made if call.name.startswith("rename")]
    moves = [call for call in renames if call.paths[-1] == str(link)]
    faults = [] if moves else [f"{link} was never published"]
    for move in moves:
        result = os.path.realpath(link)
        placed = next(call for call in renames if call.paths[-1] == result)
        work = placed.paths[0]
        wanted = {work, *(str(path) for path in Path(result).rglob("*"))}
        names = {path.replace(result, work, 1) for path in wanted}
        faults += [
            f"{name} was not safe when {link} was moved"
            for name in sorted(names)
            if not _synced(made, name, before=move.number)
        ]
        for folder, first, last in (
            (os.path.dirname(result), placed.number, move.number),
            (str(link.parent), move.number, len(made) + 1),
        ):
            if not _synced(made, folder, after=first, before=last):
                faults.append(f"{folder} was not synced between {first} and {last}")
    return faults


def _synced(made: tuple[Call, ...], path: str, *, before: int, after: int = 0) -> bool:
    """Return whether a file or folder was synced, and what is in it not changed since."""
    safe = False
    for call in made[after : before - 1]:
        if call.name in ("fsync", "fdatasync"):
            safe = safe or path in call.paths
        elif path in _changed(call):
            safe = False
    return safe


def _changed(call: Call) -> set[str]:
    """Return the files and folders of which a call changes what is in them."""
    if call.name in calls.DATA:
        return {call.paths[0]}
    if call.name in ("open", "openat", "creat"):
        return {call.paths[0], os.path.dirname(call.paths[0])}
    if call.name.startswith("rename"):
        return set(map(os.path.dirname, call.paths))
    if call.name in calls.NAMING:
        return {os.path.dirname(call.paths[-1])}
    return set()
