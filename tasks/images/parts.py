"""The parts of an image, from what changes most rarely to what changes most often."""

from __future__ import annotations

import glob
import importlib.metadata
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.containers import CACHE, EPOCH, HOME
from tasks.environments import contents, uv
from tasks.fingerprint import canonical
from tasks.images import layers
from tasks.images.compiled import with_compiled
from tasks.images.layers import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tasks.environments.build import Environment

PYTHONS = f"{HOME}/python"
RUNNER = f"{HOME}/runner"
REPOSITORY = f"{HOME}/repository"
"""A repository of the one model, with what was trained."""

TRAINED = f"{HOME}/trained"

PROJECT = "modelmake"
NOT_NEEDED = frozenset({"nox", "questionary", "uv"})
"""What the runner needs only where models are worked on, or environments are built."""

# Of a Python's own library: what tests it, draws windows, or builds and installs other things.
_UNUSED = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages",
    "pydoc_data",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A layer: what names it, and what yields its files; `key` is the same for the same files."""

    name: str
    key: str
    entries: Callable[[], Iterable[Entry]]


@dataclass(frozen=True)
class Python:
    """An interpreter as it is in an image: its path there, and the one here that is copied.

    `prefix` is empty where the image's base has it.
    """

    path: str
    version: str
    prefix: str = ""

    @property
    def libraries(self) -> str:
        """The folder that its own shared library is looked for in, empty where it needs none."""
        shared = self.prefix and glob.glob(f"{glob.escape(self.prefix)}/lib/libpython*.so*")
        return f"{PYTHONS}/{self.version}/lib" if shared else ""


def copied(path: str, version: str) -> Python:
    """Return an interpreter of this machine as its copy will be."""
    name = f"python{_minor(version)}"
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(path)))
    return Python(f"{PYTHONS}/{version}/bin/{name}", version, prefix)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def interpreter(python: Python) -> Part:
    """Return an interpreter with its own library, and nothing that was installed into it."""
    minor, target = _minor(python.version), os.path.dirname(os.path.dirname(python.path))
    library = f"lib/python{minor}"

    def skip(path: str) -> bool:
        name = os.path.basename(path)
        return name in _UNUSED or name.startswith("config-") or name.endswith(".a")

    def entries() -> Iterator[Entry]:
        yield Entry(python.path, source=program)
        for shared in glob.glob(f"{glob.escape(python.prefix)}/lib/libpython*.so*"):
            link = os.readlink(shared) if os.path.islink(shared) else ""
            name = f"{target}/lib/{os.path.basename(shared)}"
            yield Entry(name, link=link) if link else Entry(name, source=shared)
        own = layers.tree(f"{python.prefix}/{library}", f"{target}/{library}", skip)
        yield from with_compiled(program, own)

    program = os.path.realpath(f"{python.prefix}/bin/python{minor}")
    now = os.stat(program)
    key = {"python": python.version, "size": now.st_size, "time": int(now.st_mtime)}
    return Part(f"python {python.version}", canonical("image python", key), entries)


def runner(python: Python, more: Iterable[str] = ()) -> Part:
    """Return the runner with what it needs; `more` names further packages."""
    found = distributions(PROJECT, more)
    code = Path(__file__).parent.parent
    site = _site(python)

    def entries() -> Iterator[Entry]:
        yield from _environment_of(RUNNER, python)
        packages = [entry for one in found.values() for entry in _installed(one, site)]
        own = layers.tree(str(code), f"{site}/tasks")
        yield from with_compiled(sys.executable, [*packages, *own])
        yield from frameworks(f"{site}/envs")
        for name in ("", "/data", "/environments"):
            yield Entry(f"{CACHE}{name}", open=True)

    def frameworks(target: str) -> Iterator[Entry]:
        return layers.tree(str(code.parent / "envs"), target, lambda path: path == "locks")

    own = {e.path: e.digest for e in layers.tree(str(code), "tasks") if e.source}
    own |= {e.path: e.digest for e in frameworks("envs")}
    versions = {name: one.version for name, one in found.items()}
    return Part("runner", canonical("image runner", {"own": own, **versions}), entries)


def installer(python: Python) -> Part:
    """Return uv, which builds environments."""
    package = importlib.metadata.distribution("uv")

    def entries() -> Iterator[Entry]:
        yield from _installed(package, _site(python))
        yield Entry(f"{RUNNER}/bin/uv", source=uv.path())

    return Part("uv", canonical("image uv", {"version": package.version}), entries)


def _site(python: Python) -> str:
    """Return the folder of the runner's packages."""
    return f"{RUNNER}/lib/python{_minor(python.version)}/site-packages"


def _environment_of(folder: str, python: Python) -> Iterator[Entry]:
    """Yield what makes a folder an environment of an interpreter."""
    home = f"home = {os.path.dirname(python.path)}\ninclude-system-site-packages = false\n"
    yield Entry(f"{folder}/pyvenv.cfg", data=home.encode())
    yield Entry(f"{folder}/bin/python", link=python.path)


def distributions(
    name: str, more: Iterable[str] = ()
) -> dict[str, importlib.metadata.Distribution]:
    """Return what is installed here of what a package needs, without the package itself."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [*map(Requirement, more), *_needs(importlib.metadata.distribution(name))]
    while waiting:
        wanted = waiting.pop()
        normal = canonicalize_name(wanted.name)
        if normal in found or normal in NOT_NEEDED:
            continue
        try:
            found[normal] = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # one that is not needed on this machine
        waiting += _needs(found[normal], wanted.extras)
    return dict(sorted(found.items()))


def _needs(
    one: importlib.metadata.Distribution, extras: Iterable[str] = ()
) -> Iterator[Requirement]:
    for line in one.requires or ():
        wanted = Requirement(line)
        marker = wanted.marker
        if not marker or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield wanted


def _installed(one: importlib.metadata.Distribution, site: str) -> Iterator[Entry]:
    """Yield the files of an installed package, without its programs and what was compiled."""
    for file in one.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            source = str(one.locate_file(file))
            if os.path.isfile(source):
                yield Entry(f"{site}/{file}", source=source)


def environment_there(environment: Environment, python: Python) -> str:
    """Return the folder in which the runner in the image looks for an environment."""
    there = replace(environment, interpreter=replace(environment.interpreter, path=python.path))
    return f"{CACHE}/environments/{os.path.basename(there.folder)}"


def environment(found: Environment, python: Python) -> Part:
    """Return a model's environment, for its interpreter's place in the image."""
    folder = environment_there(found, python)

    def entries() -> Iterator[Entry]:
        files = {}
        for entry in with_compiled(found.python, _moved(found.folder, folder, python)):
            files[entry.path] = entry
        described = contents.described(found.folder)
        described["files"] = {
            path.removeprefix(folder): [entry.size, EPOCH]
            for path, entry in files.items()
            if "/__pycache__/" not in path
        }
        whole = {**described, "digest": canonical("description", described)}
        yield from files.values()
        text = json.dumps(whole, indent=2, ensure_ascii=False)
        yield Entry(f"{folder}/{contents.FILE}", data=text.encode())

    key = canonical("image environment", {"folder": found.folder, "python": python.path})
    return Part("environment", key, entries)


def _moved(source: str, target: str, python: Python) -> Iterator[Entry]:
    """Yield the files of an environment, with those changed that name its interpreter."""
    for entry in layers.tree(source, target, lambda path: path == contents.FILE):
        name = entry.path.removeprefix(f"{target}/")
        if name == "bin/python":
            yield Entry(entry.path, link=python.path)
        elif name == "pyvenv.cfg":
            lines = Path(entry.source).read_text(encoding="utf-8").splitlines()
            home = f"home = {os.path.dirname(python.path)}"
            text = "".join(f"{home if line.startswith('home') else line}\n" for line in lines)
            yield Entry(entry.path, data=text.encode())
        else:
            yield entry


def digest(folder: str) -> str:
    """Return the digest of all of an environment but what names its place.

    The same is asked inside the image.
    """
    named = ("bin/python", "pyvenv.cfg", contents.FILE)
    files = {
        entry.path: entry.digest for entry in layers.tree(folder, "", lambda path: path in named)
    }
    return canonical("environment files", files)


def own_python() -> tuple[str, str]:
    """Return the path and the version of the interpreter that the runner here is made from."""
    base: Any = getattr(sys, "_base_executable", sys.executable)
    return os.path.realpath(base), ".".join(map(str, sys.version_info[:3]))
