"""The process of a model: how it is made ready, what it has loaded, and how failures are told.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import contextlib
import importlib
import importlib.machinery
import os
import random
import sys
import sysconfig
import traceback
from typing import Any, Callable, Dict, List, Tuple

from model_runtime.contract import LOADED, PACKAGE, ModelFault, StepError

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of the programs of the runtime, where `model_runtime` lies."""


class PackageFinder:
    """Finds the package `model_modules` of the model, wherever `sys.path` leads."""

    def __init__(self, root: str) -> None:
        """Look in this folder."""
        self.root = root

    def find_spec(self, fullname: str, _path: Any = None, target: Any = None) -> Any:
        """Return the package's spec; everything else is for others to find."""
        if fullname != PACKAGE:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self.root], target)


def trusted_folders(request: Dict[str, Any]) -> Tuple[str, ...]:
    """Return the real paths, each with a slash behind it, of the folders whose code is known.

    An archive is as good as a folder.
    """
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [HERE, *request["trusted"], *(sysconfig.get_path(kind) for kind in kinds)]
    return tuple(os.path.realpath(path) + os.sep for path in folders)


def prepare(request: Dict[str, Any], trusted: Tuple[str, ...]) -> None:
    """Make the package of the model importable, nothing else of its folder, and ours last."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    # Processes that the model starts find its package by the link in the working directory; they
    # are to leave no compiled files behind there.
    sys.path += [os.getcwd(), HERE, os.path.join(HERE, "stand_ins")]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    watch(trusted)
    sys.meta_path.insert(0, PackageFinder(request["root"]))
    random.seed(request["seed"])
    seed_when_imported(request["seed"])


def seed_when_imported(seed: int) -> None:
    """Have libraries that draw random numbers seeded right after their import."""
    seeders: Dict[str, Callable[[Any], None]] = {
        "numpy": lambda numpy: numpy.random.seed(seed % 2**32),
        "tensorflow": lambda tensorflow: tensorflow.random.set_seed(seed),
    }
    source = importlib.machinery.SourceFileLoader
    execute = source.exec_module

    def exec_module(self: Any, module: Any) -> None:
        execute(self, module)
        if module.__name__ in seeders:
            seeders[module.__name__](module)

    source.exec_module = exec_module  # type: ignore[method-assign]


def watch(trusted: Tuple[str, ...]) -> None:
    """Note what is loaded from outside these folders, and load sources there as they are now.

    A cached `.pyc` is believed by size and whole seconds of time, so it can be that of an earlier
    edit; and a model's folder is not ours to write into.
    """
    source, sourceless, extension = (
        importlib.machinery.SourceFileLoader,
        importlib.machinery.SourcelessFileLoader,
        importlib.machinery.ExtensionFileLoader,
    )
    compiled, alone, created = source.get_code, sourceless.get_code, extension.create_module

    def get_code(self: Any, fullname: str) -> Any:
        path = self.get_filename(fullname)
        if os.path.realpath(path).startswith(trusted):
            return compiled(self, fullname)
        LOADED.add(os.path.realpath(path))
        return self.source_to_code(self.get_data(path), path)

    def get_code_alone(self: Any, fullname: str) -> Any:
        path = os.path.realpath(self.get_filename(fullname))
        if not path.startswith(trusted):
            LOADED.add(path)
        return alone(self, fullname)

    def create_module(self: Any, spec: Any) -> Any:
        if not os.path.realpath(self.path).startswith(trusted):
            LOADED.add(os.path.realpath(self.path))
        return created(self, spec)

    source.get_code = get_code  # type: ignore[method-assign]
    sourceless.get_code = get_code_alone  # type: ignore[method-assign]
    extension.create_module = create_module  # type: ignore[method-assign]


def loaded(trusted: Tuple[str, ...]) -> List[str]:
    """Return what was noted, and the archives that Python has looked for modules in."""
    finders = list(sys.path_importer_cache.items())
    archives = {os.path.realpath(path) for path, finder in finders if hasattr(finder, "archive")}
    strange = {path for path in archives if not (path + os.sep).startswith(trusted)}
    return sorted(strange.union(LOADED))


def describe(error: BaseException, root: str) -> Dict[str, str]:
    """Print the model's traceback without our own frames, and return the error in short."""
    if isinstance(error, ModelFault):
        tell(f"{error}\n")
        return {"type": "ModelFault", "message": str(error), "where": ""}
    if isinstance(error, StepError):  # whoever raised it has shown where it comes from
        return {"type": error.kind, "message": str(error), "where": error.where}
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    hide_ours(report)
    tell("".join(report.format()))
    own = [(frame.filename, frame.lineno) for frame in report.stack]
    if isinstance(error, SyntaxError):  # it stands where nothing has run yet
        own.append((error.filename or "", error.lineno))
    own = [place for place in own if place[0].startswith(root + os.sep)]
    where = f"{os.path.relpath(own[-1][0], root)}:{own[-1][1]}" if own else ""
    if isinstance(error, SystemExit):
        message = f"called sys.exit({error.code!r})"
        return {"type": "SystemExit", "message": message, "where": where}
    return {"type": type(error).__name__, "message": message_of(error), "where": where}


def message_of(error: BaseException) -> str:
    """Return what an error says, if it can say that."""
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - it is the model's
        return f"(its message cannot be made: {type(another).__name__})"


def tell(text: str) -> None:
    """Write to stderr, if the model has left it open."""
    with contextlib.suppress(Exception):
        sys.stderr.write(text)


def flush() -> None:
    """Let what the model has printed reach its log, if it has left that open."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def hide_ours(report: traceback.TracebackException) -> None:
    """Take the frames of this file and of the import system out of a traceback."""
    hidden = (HERE + os.sep, "<frozen importlib", importlib.__file__)
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith(hidden)]
    for linked in (report.__cause__, report.__context__):
        if linked is not None:
            hide_ours(linked)
