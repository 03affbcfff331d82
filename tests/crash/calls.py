"""The system calls that change what is on a disk: their numbers, and what of it they name."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
from dataclasses import dataclass

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (number on x86_64, on aarch64, which arguments name files).  An argument is told by its
# place: `fd 0` is an open file, `path 0` a path, `at 0` a folder's handle and a path behind it.
CALLS = {
    "write": (1, 64, "fd 0"),
    "writev": (20, 66, "fd 0"),
    "pwrite64": (18, 68, "fd 0"),
    "pwritev": (296, 70, "fd 0"),
    "pwritev2": (328, 287, "fd 0"),
    "sendfile": (40, 71, "fd 0"),
    "copy_file_range": (326, 285, "fd 2"),
    "ftruncate": (77, 46, "fd 0"),
    "truncate": (76, 45, "path 0"),
    "fallocate": (285, 47, "fd 0"),
    "fsync": (74, 82, "fd 0"),
    "fdatasync": (75, 83, "fd 0"),
    "syncfs": (306, 267, "fd 0"),
    "sync": (162, 81, ""),
    "open": (2, None, "path 0"),
    "creat": (85, None, "path 0"),
    "openat": (257, 56, "at 0"),
    "rename": (82, None, "path 0, path 1"),
    "renameat": (264, 38, "at 0, at 2"),
    "renameat2": (316, 276, "at 0, at 2"),
    "link": (86, None, "path 0, path 1"),
    "linkat": (265, 37, "at 0, at 2"),
    "symlink": (88, None, "path 1"),
    "symlinkat": (266, 36, "at 1"),
    "unlink": (87, None, "path 0"),
    "unlinkat": (263, 35, "at 0"),
    "mkdir": (83, None, "path 0"),
    "mkdirat": (258, 34, "at 0"),
    "rmdir": (84, None, "path 0"),
    "chmod": (90, None, "path 0"),
    "fchmod": (91, 52, "fd 0"),
    "fchmodat": (268, 53, "at 0"),
    "utimensat": (280, 88, "at 0"),
    "ioctl": (16, 29, "fd 0"),
}
"""Written are also pages that are mapped and shared: of the index of SQLite's log, which it makes
anew after a crash."""

OPENING = {"open": 1, "openat": 2}
"""Which argument has the flags; an open file that is neither made nor emptied changes nothing."""

CLONE = 0x40049409
"""The one ioctl that counts (FICLONE): it fills a file with what another holds."""

DATA = frozenset({
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "copy_file_range",
    "ftruncate", "truncate", "fallocate", "ioctl",
})  # fmt: skip
"""The calls that change what is in a file."""

MAKING = frozenset({"mkdir", "mkdirat", "symlink", "symlinkat", "link", "linkat"})
NAMING = MAKING | {"unlink", "unlinkat", "rmdir"}
"""The calls that make a name, and those that take one away as well."""

TAKING_ROOM = (DATA - {"truncate"}) | MAKING | {"open", "creat", "openat"}
"""The calls that fail on a full disk; what frees room, renames and syncs does not."""

_LOAD, _IS, _HAS, _RETURN = 0x20, 0x15, 0x45, 0x06  # of the filter's machine
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_ARCHITECTURE_AT, _ARGUMENTS_AT = 4, 16
_HERE = 0xFFFFFF9C  # AT_FDCWD, in 32 bits


def numbers() -> dict[int, str]:
    """Return the calls of this machine by number."""
    column = ("x86_64", "aarch64").index(platform.machine())
    return {row[column]: name for name, row in CALLS.items() if row[column] is not None}


def program() -> bytes:
    """Return the filter that asks its listener about these calls, and lets all others pass."""
    code: list[tuple[int, int, int, int]] = []
    flags = os.O_CREAT | os.O_TRUNC
    found = numbers()
    size = sum(4 if name in OPENING or name == "ioctl" else 1 for name in found.values()) + 3

    def after(place: int) -> int:
        return place - len(code) - 1

    code.append((_LOAD, 0, 0, _ARCHITECTURE_AT))
    code.append((_IS, 0, size - len(code) - 1, ARCHITECTURE[platform.machine()]))
    code.append((_LOAD, 0, 0, 0))
    for number, name in found.items():
        if name not in OPENING and name != "ioctl":
            code.append((_IS, after(size + 1), 0, number))
            continue
        at, test, value = (1, _IS, CLONE) if name == "ioctl" else (OPENING[name], _HAS, flags)
        code.append((_IS, 0, 3, number))
        code.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * at))
        code.append((test, after(size + 1), 0, value))
        code.append((_RETURN, 0, 0, _ALLOW))
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK)]
    return b"".join(struct.pack("=HBBI", *one) for one in code)


@dataclass(frozen=True)
class Call:
    """A call that is about to be made: the how-manieth (from 1), by whom, on which paths."""

    number: int
    pid: int
    name: str
    paths: tuple[str, ...]
    arguments: tuple[int, ...]

    def __str__(self) -> str:
        """Render as strace would, more or less."""
        return f"{self.number}: {self.name}({', '.join(self.paths)})"


def named(pid: int, name: str, arguments: tuple[int, ...]) -> tuple[str, ...]:
    """Return the absolute paths that a call of a process is about; nothing where it has gone."""
    found = []
    with contextlib.suppress(OSError):
        for one in filter(None, CALLS[name][2].split(", ")):
            kind, place = one.split()
            at = int(place)
            if kind == "fd":
                found.append(_opened(pid, arguments[at]))
            elif kind == "path":
                found.append(_joined(pid, _HERE, arguments[at]))
            else:
                found.append(_joined(pid, arguments[at], arguments[at + 1]))
    return tuple(found)


def _opened(pid: int, handle: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/{handle & 0xFFFFFFFF}")


def _joined(pid: int, folder: int, address: int) -> str:
    """Return the path at an address, behind the folder; the folder where there is none."""
    text = read_text(pid, address) if address else ""
    if text.startswith("/"):
        return os.path.normpath(text)
    base = os.readlink(f"/proc/{pid}/cwd") if folder & 0xFFFFFFFF == _HERE else _opened(pid, folder)
    return os.path.normpath(os.path.join(base, text))


def read_text(pid: int, address: int) -> str:
    """Return the text at an address of a process."""
    found = b""
    while b"\0" not in found:
        page = 4096 - (address + len(found)) % 4096
        found += read_memory(pid, address + len(found), page)
    return os.fsdecode(found.partition(b"\0")[0])


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Return bytes of a process's memory."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)
