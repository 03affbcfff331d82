"""Python's compiled files for an image: nobody can write them there, and each start would compile.

They are held against their source by its hash: its time is that of all files in an image.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from typing import TYPE_CHECKING

from tasks import cgroups
from tasks.images.layers import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What cannot be compiled (a template, a source in newer syntax) is left to whoever imports it.
# Python 3.6 knows compiled files by time alone.
_PROGRAM = """\
import importlib.util, json, os, py_compile, sys
checked = py_compile.PycInvalidationMode.CHECKED_HASH
with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)
for number, (source, name) in enumerate(asked):
    try:
        target = "%s.%d" % (sys.argv[1], number)
        py_compile.compile(source, target, name, doraise=True, invalidation_mode=checked)
        print(number, importlib.util.cache_from_source(name))
    except (py_compile.PyCompileError, ValueError, OSError):
        pass
"""


def with_compiled(program: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries, and the compiled file of each that is a source of Python.

    The tests that packages bring along, half of what some of them are, nobody imports.  `program`
    is an interpreter of the version that the image has.
    """
    sources = []
    for entry in entries:
        yield entry
        if entry.source and entry.path.endswith(".py") and "/tests/" not in entry.path:
            sources.append(entry)
    sources.sort(key=lambda entry: entry.path)
    chunks = cgroups.cores()
    with tempfile.TemporaryDirectory() as folder:
        started = [
            (path, _start(program, path, sources[number::chunks]))
            for number in range(chunks)
            if (path := f"{folder}/{number}")
        ]
        for path, process in started:
            said, _ = process.communicate()
            for line in said.splitlines():
                number, name = line.split(" ", 1)
                with open(f"{path}.{number}", "rb") as file:
                    yield Entry(name, data=file.read())


def _start(program: str, path: str, sources: list[Entry]) -> subprocess.Popen[str]:
    """Start to compile sources, each for its place in the image."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump([(entry.source, f"/{entry.path.strip('/')}") for entry in sources], file)
    return subprocess.Popen(
        [program, "-I", "-S", "-W", "ignore", "-c", _PROGRAM, path], text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={"PYTHONHASHSEED": "0"},
    )  # fmt: skip
